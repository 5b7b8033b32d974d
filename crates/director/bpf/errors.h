/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* ICMP errors about packets of our connections, to whom they concern. Kernel: ip_vs_in_icmp,
 * ip_vs_out_icmp.
 *
 * An error quotes the packet it is about, so it belongs to the connection whose packets go the
 * other way. From the client's side it is about an answer and goes to the server, translated if
 * the connection is; from the server's side it is about a translated request and goes to the
 * client, from the virtual address whoever sent it: the client knows nobody else. Errors neither
 * keep a connection alive nor change its state. */
#ifndef EVENKEEL_ERRORS_H
#define EVENKEEL_ERRORS_H

#include "forward.h"
#include "ours.h"

/* Verified on its own: the way of the usual packets stays short. */
__noinline int handle_icmp(struct xdp_md *ctx)
{
	void *end = (void *)(long)ctx->data_end;
	struct target target;
	struct packet packet;
	struct conn_key key;
	struct conn conn;

	if (parse(&packet, (void *)(long)ctx->data, end) != ICMP || !parse_error(&packet, end))
		return pass(COUNT_passed_not_ours);
	key = error_key(&packet);
	if (!conn_find(&key, &conn)) {
		if (!conn_find_answer(&key, &conn))
			return pass(COUNT_passed_not_ours);
		target = conn_target(&conn);
		return send_to_client(ctx, &packet, &target);
	}
	if (!gate_is_open(key.to))
		return pass(COUNT_passed_gate_closed);
	if (!is_available(conn.server))
		return drop(COUNT_dropped_server_removed);
	target = conn_target(&conn);
	account_in(target.destination, packet.bytes, 0);
	return send_to_server(ctx, &packet, &target, conn.server);
}

#endif
