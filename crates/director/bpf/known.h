/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What becomes of a client's packet whose connection is known, by its state and its server's. */
#ifndef EVENKEEL_KNOWN_H
#define EVENKEEL_KNOWN_H

#include "opening.h"

/* Whether a packet that means to begin anew takes the place of the connection that is there. Kernel:
 * is_new_conn_expected and before it in ip_vs_in_hook. */
static __always_inline int is_replaced(const struct conn *conn)
{
	__u32 switches = conn_switches(conn);

	if (switches & SWITCH_EXPIRE_NODEST && !conn->server->weight)
		return 1;
	if (!(switches & SWITCH_REUSE))
		return 0;
	return has_ended(conn->state) ||
	       (switches & SWITCH_REUSE_WAITING && conn->state == FIN_WAIT &&
		conn->forwarding != FORWARD_NAT);
}

/* A segment of a connection whose server left is answered with an RST; one that is an RST itself is
 * believed. */
static __always_inline int
end_lost(const struct conn *conn, __u32 now, __u32 direction, __u32 event)
{
	conn_step(conn, direction, ON_RST);
	conn_touch(conn, now);
	return event == ON_RST ? drop(COUNT_dropped_server_removed) : TELL_RESET;
}

/* The server left: who starts over gets another one, and so does UDP. Others wait for its return,
 * unless the service says otherwise. */
static __always_inline int handle_lost(const struct conn *conn, __u32 now, __u32 about)
{
	if (about & (ABOUT_TCP | ABOUT_SCTP) && !(about & ABOUT_NEW)) {
		if (about & ABOUT_TCP && conn->server->flags & DESTINATION_RESETS)
			return TO_DO(end_lost(conn, now, FROM_CLIENT, about_event(about)));
		if (!(conn->server->flags & DESTINATION_EXPIRES))
			return TO_DO(drop(COUNT_dropped_server_removed));
	}
	conn_remove(conn);
	return TO_NOBODY;
}

/* A client's packet of a connection that is known; TO_NOBODY if there is none, or none any more. */
__noinline int handle_known(const struct conn_key *key, __u32 now, __u32 about)
{
	struct conn conn;

	if (!key || !conn_find(key, &conn)) {
		tell(STEP_connection_unknown, 0);
		return TO_NOBODY;
	}
	tell(STEP_connection_known, conn.destination | (__u64)conn.state << 32);
	if (!gate_is_open(key->to))
		return TO_DO(pass(COUNT_passed_gate_closed));
	if (!is_available(conn.server))
		return handle_lost(&conn, now, about);
	if (conn_expired(&conn, now) || (about & ABOUT_NEW && is_replaced(&conn))) {
		tell(STEP_connection_over, conn.destination);
		conn_remove(&conn);
		return TO_NOBODY;
	}
	conn_step(&conn, conn.forwarding == FORWARD_NAT ? FROM_CLIENT : CLIENT_ONLY,
		  about_event(about));
	conn_touch(&conn, now);
	account_in(conn.destination, about & ABOUT_BYTES, 0);
	return TO(conn.destination, conn.forwarding);
}

#endif
