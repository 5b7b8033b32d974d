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

#if FAMILY == 4

#define MTU_LEAST 68 /* of IPv4: RFC 791 */

static __always_inline int is_whole_header(const struct iphdr *ip)
{
	return ip->version == 4 && ip->ihl >= 5;
}

static __always_inline __u32 quoted_header(const struct iphdr *quoted)
{
	return quoted->ihl * 4;
}

static __always_inline __u8 header_protocol(const struct iphdr *ip)
{
	return ip->protocol;
}

static __always_inline int has_no_ports(const struct iphdr *ip)
{
	return (ip->frag_off & FRAGMENT_OFFSET) != 0;
}

/* What fits, if that is what the error says. */
static __always_inline __u32 told_mtu(const struct icmphdr *icmp)
{
	return bpf_ntohs(icmp->mtu);
}

#else

#define MTU_LEAST 1280 /* of IPv6: RFC 8200 5 */

/* One with extension headers is not followed: our tunnels have none. */
static __always_inline int is_whole_header(const struct ipv6hdr *ip)
{
	return ip->version == 6;
}

static __always_inline __u32 quoted_header(const struct ipv6hdr *quoted)
{
	return sizeof(*quoted);
}

static __always_inline __u8 header_protocol(const struct ipv6hdr *ip)
{
	return ip->nexthdr;
}

static __always_inline int has_no_ports(const struct ipv6hdr *ip)
{
	return !has_no_extensions(ip->nexthdr);
}

/* What fits, if that is what the error says. */
static __always_inline __u32 told_mtu(const struct icmphdr *icmp)
{
	return bpf_ntohl(icmp->mtu6);
}

#endif

/* How many bytes a quoted packet of a tunnel has before the client's; 0 if it is none. The client's
 * is of the tunnel's family: about others the kernel hears, and knows what fits from then on. */
static __always_inline __u32 before_inner(const ip_header_t *quoted, void *end)
{
	__u32 header = quoted_header(quoted);
	const struct gre *gre = (void *)quoted + header;

	switch (header_protocol(quoted)) {
	case INNER_PROTOCOL:
		return header;
	case IPPROTO_GRE:
		if ((void *)(&gre->protocol + 1) > end || gre->protocol != FAMILY_ETHERTYPE)
			return 0;
		return header + (gre->flags & GRE_CHECKSUM ? sizeof(*gre) : GRE_SHORT);
	case IPPROTO_UDP:
		return header + sizeof(struct gue);
	default:
		return 0;
	}
}

/* The server of the connection of a client's packet, at `ip` in a quoted packet of a tunnel. */
static __always_inline struct destination *
server_inside(const ip_header_t *quoted, ip_header_t *ip, void *end)
{
	struct conn_key key = {};
	struct ports *ports;
	struct conn conn;

	if ((void *)(ip + 1) > end || !is_whole_header(ip) || has_no_ports(ip))
		return 0;
	ports = (void *)ip + quoted_header(ip);
	if ((void *)(ports + 1) > end)
		return 0;
	key.from = header_from(ip);
	key.to = header_to(ip);
	key.from_port = ports->from;
	key.to_port = ports->to;
	key.protocol = header_protocol(ip);
	if (!conn_find(&key, &conn) || conn.forwarding != FORWARD_TUNNEL ||
	    !address_is_equal(conn.peer, header_to(quoted)) || !gate_is_open(key.to))
		return 0;
	return conn.server;
}

/* A router on the way of a tunnel says why a packet went no further. It says so to us: we tell the
 * client, about its own packet, as IPVS does. */
__noinline int handle_tunnel_error(frame_t *ctx)
{
	void *end = frame_end(ctx);
	struct destination *destination;
	struct ethhdr ethernet, *now;
	struct packet packet;
	ip_header_t *quoted;
	__u32 before, inside, mtu = 0;
	struct icmphdr icmp;

	if (parse(&packet, frame_data(ctx), end) != ICMP)
		return pass_unknown(COUNT_passed_not_ours);
	packet.icmp = icmp_of(&packet, frame_data(ctx));
	quoted = (void *)(packet.icmp + 1);
	if ((void *)(quoted + 1) > end || !is_error(packet.icmp->type) ||
	    !is_whole_header(quoted) ||
	    !address_is_equal(header_from(quoted), header_to(packet.ip)))
		return pass_unknown(COUNT_passed_not_ours);
	before = before_inner(quoted, end);
	if (!before)
		return pass_unknown(COUNT_passed_not_ours);
	destination = server_inside(quoted, (void *)quoted + before, end);
	if (!destination)
		return pass_unknown(COUNT_passed_not_ours);
	icmp = *packet.icmp;
	if (icmp.type == ERROR_TOO_BIG && icmp.code == CODE_TOO_BIG) {
		mtu = told_mtu(&icmp);
		if (mtu < MTU_LEAST + tunnel_overhead(destination))
			return drop(COUNT_dropped_unanswered);
		mtu -= tunnel_overhead(destination);
	}
	ethernet = *packet.ethernet;
	inside = headers_of(&packet) + sizeof(icmp) + before;
	if (frame_shrink(ctx, inside))
		return drop(COUNT_dropped_no_headroom);
	now = frame_data(ctx);
	if ((void *)(now + 1) > frame_end(ctx))
		return drop(COUNT_dropped_no_headroom);
	*now = ethernet;
	count(COUNT_errors_to_client);
	return answer_sender(ctx, icmp.type, icmp.code, mtu);
}

/* Verified on its own: the way of the usual packets stays short. */
__noinline int handle_icmp(frame_t *ctx)
{
	void *end = frame_end(ctx);
	struct target target;
	struct packet packet;
	struct conn_key key;
	struct conn conn;

	if (parse(&packet, frame_data(ctx), end) != ICMP)
		return pass_unknown(COUNT_passed_not_ours);
	if (!parse_error(&packet, frame_data(ctx), end))
		return ABOUT_TUNNEL;
	key = error_key(&packet);
	if (!conn_find(&key, &conn)) {
		if (!conn_find_answer(&key, &conn))
			return ABOUT_TUNNEL;
		target = conn_target(&conn);
		return other_to_client(ctx, &packet, &target);
	}
	if (!gate_is_open(key.to))
		return pass(COUNT_passed_gate_closed);
	if (!is_available(conn.server))
		return drop(COUNT_dropped_server_removed);
	target = conn_target(&conn);
	account_in(target.destination, packet.bytes, 0);
	return other_to_server(ctx, &packet, &target, conn.server);
}

#endif
