/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What nearly every packet is: one more of a connection that is known, to a server whose next hop is
 * known. Everything else, and whatever is out of the ordinary about it, is left to those who do the
 * whole of it; nothing was changed by then. */
#ifndef EVENKEEL_USUAL_H
#define EVENKEEL_USUAL_H

#include "forward.h"
#include "ours.h"

/* Why it is not usual; verdicts are not negative. */
#define NO_SEGMENT (-1)
#define UNUSUAL (-2)
#define UNKNOWN (-3) /* no connection of a client's packet */

/* Whether a server takes a client's packet of this size, and how is known. */
static __always_inline int is_ready(const struct destination *server, __u32 bytes)
{
	__u32 wanted = DESTINATION_IN_USE | DESTINATION_RESOLVED;
	__u32 flags = server->flags & (wanted | DESTINATION_REMOVED | DESTINATION_LOCAL);

	return flags == wanted && bytes <= server->mtu;
}

/* A function of its own: it has the packet in registers and no room for anything on the stack. */
static __noinline int handle_usual(frame_t *ctx)
{
	struct packet packet;
	struct conn_key key;
	struct conn conn;
	__u32 now;
	int nat;

	if (parse(&packet, frame_data(ctx), frame_end(ctx)) != PARSED)
		return NO_SEGMENT;
	if (explaining)
		return UNUSUAL; /* the whole of it tells its steps */
	if (packet.is_first || header_hops(packet.ip) <= 1 ||
	    packet.tcp_flags & (TCP_SYN | TCP_FIN | TCP_RST) || is_sctp(&packet) ||
	    !is_for_us(ctx, &packet))
		return UNUSUAL;
#if FAMILY == 4
	packet.is_sctp = 0;
#endif
	key = packet_key(&packet);
	if (!conn_find(&key, &conn))
		return UNKNOWN;
	nat = conn.forwarding == FORWARD_NAT;
	if (!is_ready(conn.server, longest(ctx, &packet)) || (!nat && conn.forwarding != FORWARD_DIRECT))
		return UNUSUAL;
	if (packet.is_tcp &&
	    !conn_stays(&conn, nat ? FROM_CLIENT : CLIENT_ONLY, packet.tcp_flags))
		return UNUSUAL;
	now = conn_clock();
	/* A gate that closes stops those who are on their way with the next tick. */
	if (!conn_is_fresh(&conn, now)) {
		if (!gate_is_open(key.to) || conn_expired(&conn, now))
			return UNUSUAL;
		conn_touch(&conn, now);
	}
	account_in(conn.destination, packet.bytes, 0);
	decrement_ttl(&packet);
	set_macs(&packet, conn.server->mac, conn.server->source_mac);
	count(COUNT_forwarded_to_server);
	if (nat)
		rewrite_destination(ctx, &packet, conn.peer, conn.peer_port);
	return bpf_redirect(conn.server->ifindex, 0);
}

#endif
