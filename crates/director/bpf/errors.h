/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* ICMP errors about packets of our connections, to whom they concern. Kernel: ip_vs_in_icmp,
 * ip_vs_out_icmp.
 *
 * An error quotes the packet it is about, so it belongs to the connection whose packets go the
 * other way. From the client's side it is about an answer and goes to the server, translated if
 * the connection is; from the server's side it is about a translated request and goes to the
 * client, from the virtual address whoever sent it: the client knows nobody else. Errors neither
 * keep a connection alive nor change its state. One about a packet of a tunnel quotes the client's
 * packet inside it. */
#ifndef EVENKEEL_ERRORS_H
#define EVENKEEL_ERRORS_H

#include "forward.h"
#include "ours.h"

#define MTU_LEAST 68 /* of IPv4: RFC 791 */

/* How many bytes a quoted packet of a tunnel has before the client's; 0 if it is none. */
static __always_inline __u32 before_inner(const struct iphdr *quoted, void *end)
{
	const struct gre *gre = (void *)quoted + quoted->ihl * 4;

	switch (quoted->protocol) {
	case IPPROTO_IPIP:
		return quoted->ihl * 4;
	case IPPROTO_GRE:
		if ((void *)(&gre->protocol + 1) > end || gre->protocol != bpf_htons(ETH_P_IP))
			return 0;
		return quoted->ihl * 4 + (gre->flags & GRE_CHECKSUM ? sizeof(*gre) : GRE_SHORT);
	case IPPROTO_UDP:
		return quoted->ihl * 4 + sizeof(struct gue);
	default:
		return 0;
	}
}

/* The server of the connection of a client's packet, at `ip` in a quoted packet of a tunnel. */
static __always_inline struct destination *
server_inside(const struct iphdr *quoted, struct iphdr *ip, void *end)
{
	struct conn_key key = {};
	struct ports *ports;
	struct conn conn;

	if ((void *)(ip + 1) > end || ip->version != 4 || ip->ihl < 5 ||
	    ip->frag_off & FRAGMENT_OFFSET)
		return 0;
	ports = after_header(ip);
	if ((void *)(ports + 1) > end)
		return 0;
	key.from = ip->saddr;
	key.to = ip->daddr;
	key.from_port = ports->from;
	key.to_port = ports->to;
	key.protocol = ip->protocol;
	if (!conn_find(&key, &conn) || conn.forwarding != FORWARD_TUNNEL ||
	    conn.peer != quoted->daddr || !gate_is_open(key.to))
		return 0;
	return conn.server;
}

/* A router on the way of a tunnel says why a packet went no further. It says so to us: we tell the
 * client, about its own packet, as IPVS does. */
__noinline int handle_tunnel_error(struct xdp_md *ctx)
{
	void *end = (void *)(long)ctx->data_end;
	struct destination *destination;
	struct ethhdr ethernet, *now;
	struct packet packet;
	struct iphdr *quoted;
	__u32 before, inside, mtu = 0;
	struct icmphdr icmp;

	if (parse(&packet, (void *)(long)ctx->data, end) != ICMP)
		return pass(COUNT_passed_not_ours);
	packet.icmp = after_header(packet.ip);
	quoted = (void *)(packet.icmp + 1);
	if ((void *)(quoted + 1) > end || !is_error(packet.icmp->type) || quoted->version != 4 ||
	    quoted->ihl < 5 || quoted->saddr != packet.ip->daddr)
		return pass(COUNT_passed_not_ours);
	before = before_inner(quoted, end);
	if (!before)
		return pass(COUNT_passed_not_ours);
	destination = server_inside(quoted, (void *)quoted + before, end);
	if (!destination)
		return pass(COUNT_passed_not_ours);
	icmp = *packet.icmp;
	if (icmp.type == ICMP_DEST_UNREACH && icmp.code == ICMP_FRAG_NEEDED) {
		mtu = bpf_ntohs(icmp.mtu);
		if (mtu < MTU_LEAST + tunnel_overhead(destination))
			return drop(COUNT_dropped_unanswered);
		mtu -= tunnel_overhead(destination);
	}
	ethernet = *packet.ethernet;
	inside = packet.ip->ihl * 4 + sizeof(icmp) + before;
	if (bpf_xdp_adjust_head(ctx, inside))
		return drop(COUNT_dropped_no_headroom);
	now = (void *)(long)ctx->data;
	if ((void *)(now + 1) > (void *)(long)ctx->data_end)
		return drop(COUNT_dropped_no_headroom);
	*now = ethernet;
	count(COUNT_errors_to_client);
	return answer_sender(ctx, icmp.type, icmp.code, mtu);
}

/* Verified on its own: the way of the usual packets stays short. */
__noinline int handle_icmp(struct xdp_md *ctx)
{
	void *end = (void *)(long)ctx->data_end;
	struct target target;
	struct packet packet;
	struct conn_key key;
	struct conn conn;

	if (parse(&packet, (void *)(long)ctx->data, end) != ICMP)
		return pass(COUNT_passed_not_ours);
	if (!parse_error(&packet, end))
		return ABOUT_TUNNEL;
	key = error_key(&packet);
	if (!conn_find(&key, &conn)) {
		if (!conn_find_answer(&key, &conn))
			return ABOUT_TUNNEL;
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
