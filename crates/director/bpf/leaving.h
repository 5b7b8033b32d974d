/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Answers that leave by the kernel: those it forwards because XDP could not (their next hop was
 * unknown), those of servers on this machine, and the errors that it makes itself about requests it
 * got translated. They get the virtual address on their way out (tc, egress). */
#ifndef EVENKEEL_LEAVING_H
#define EVENKEEL_LEAVING_H

#include "forward.h"
#include "ours.h"
#include <linux/pkt_cls.h>

#define ETHERNET sizeof(struct ethhdr)
#define USUAL_HEADERS (ETHERNET + sizeof(ip_header_t) + sizeof(struct tcphdr))
/* Of an IP packet, with options or as many extensions as a few options need. */
#define LARGEST_HEADER (FAMILY == 4 ? 60 : 120)
/* With them, or those of an error and what it quotes. */
#define LARGEST_HEADERS                                                                            \
	(ETHERNET + 2 * LARGEST_HEADER + sizeof(struct icmphdr) + sizeof(struct tcphdr))

/* Makes the headers readable, as far as there are any. */
static __always_inline long pull(struct __sk_buff *skb, __u32 bytes)
{
	return bpf_skb_pull_data(skb, skb->len < bytes ? skb->len : bytes);
}

static __always_inline enum parsed parse_leaving(struct packet *packet, struct __sk_buff *skb)
{
	return parse(packet, (void *)(long)skb->data, (void *)(long)skb->data_end);
}

/* An error is never larger than a frame, and its checksum is complete: it is changed in place. */
static __always_inline int error_leaving(struct __sk_buff *skb)
{
	struct packet packet;
	struct target target;
	struct conn_key key;
	struct conn conn;

	if (parse_leaving(&packet, skb) != ICMP ||
	    !parse_error(&packet, (void *)(long)skb->data, (void *)(long)skb->data_end))
		return TC_ACT_OK;
	key = error_key(&packet);
	if (!conn_find_answer(&key, &conn))
		return LEFT_TO_FORMER;
	target = conn_target(&conn);
	account_out(target.destination, packet.bytes);
	count(COUNT_errors_to_client);
	rewrite_source(&packet, target.address, target.port);
	return TC_ACT_OK;
}

#if FAMILY == 4

static __always_inline void
rewrite_source_address(struct __sk_buff *skb, address_t old, address_t new)
{
	bpf_l3_csum_replace(skb, ETHERNET + offsetof(struct iphdr, check), old, new, sizeof(new));
	bpf_skb_store_bytes(skb, ETHERNET + offsetof(struct iphdr, saddr), &new, sizeof(new), 0);
}

static __always_inline void
change_sum_of_address(struct __sk_buff *skb, __u32 at, address_t old, address_t new, __u64 flags)
{
	bpf_l4_csum_replace(skb, at, old, new, flags | sizeof(new));
}

static __always_inline __u32 upper_place(const struct packet *packet)
{
	return ETHERNET + packet->ip->ihl * 4;
}

static __always_inline int is_usual_header(const struct iphdr *ip)
{
	return ip->ihl == 5 && ip->protocol != IPPROTO_ICMP;
}

#else

static __always_inline void
rewrite_source_address(struct __sk_buff *skb, address_t old, address_t new)
{
	bpf_skb_store_bytes(skb, ETHERNET + offsetof(struct ipv6hdr, saddr), &new, sizeof(new), 0);
}

static __always_inline void
change_sum_of_address(struct __sk_buff *skb, __u32 at, address_t old, address_t new, __u64 flags)
{
	__s64 change = bpf_csum_diff((__be32 *)&old, sizeof(old), (__be32 *)&new, sizeof(new), 0);

	bpf_l4_csum_replace(skb, at, 0, change, flags);
}

static __always_inline __u32 upper_place(const struct packet *packet)
{
	return packet->upper;
}

static __always_inline int is_usual_header(const struct ipv6hdr *ip)
{
	return ip->nexthdr == IPPROTO_TCP || ip->nexthdr == IPPROTO_UDP;
}

#endif

static __always_inline int fragment_leaving(struct __sk_buff *skb, const struct packet *packet)
{
	struct trail *trail = follow_trail(packet);

	if (!trail || trail->towards != TO_CLIENT)
		return LEFT_TO_FORMER;
	account_out(trail->target.destination, packet->bytes);
	count(COUNT_forwarded_by_kernel);
	rewrite_source_address(skb, header_from(packet->ip), trail->target.address);
	return TC_ACT_OK;
}

/* A segment may be larger than a frame and have its checksum completed by the device, so the
 * helpers do the arithmetic. */
static __always_inline void
rewrite_leaving(struct __sk_buff *skb, const struct conn_key *key, __u32 upper, int is_tcp,
		const struct target *target)
{
	address_t address = target->address;
	__be16 port = target->port;
	__u32 checksum_at = upper;
	__u64 of_header = BPF_F_PSEUDO_HDR, of_field = 0;

	if (is_tcp) {
		checksum_at += offsetof(struct tcphdr, check);
	} else {
		checksum_at += offsetof(struct udphdr, check);
		of_header |= BPF_F_MARK_MANGLED_0;
		of_field |= BPF_F_MARK_MANGLED_0;
	}
	change_sum_of_address(skb, checksum_at, key->from, address, of_header);
	bpf_l4_csum_replace(skb, checksum_at, key->from_port, port, of_field | sizeof(port));
	rewrite_source_address(skb, key->from, address);
	bpf_skb_store_bytes(skb, upper, &port, sizeof(port), 0);
}

/* Whether the usual headers are not all of them. */
static __always_inline int has_more_headers(struct __sk_buff *skb)
{
	struct ethhdr *ethernet = (void *)(long)skb->data;
	ip_header_t *ip = (void *)(ethernet + 1);

	if ((void *)(ip + 1) > (void *)(long)skb->data_end)
		return 0;
	return !is_usual_header(ip);
}

static __always_inline int handle_leaving(struct __sk_buff *skb)
{
	struct packet packet;
	struct target target;
	struct conn_key key;
	struct conn conn;

	if (skb->protocol != FAMILY_ETHERTYPE || pull(skb, USUAL_HEADERS))
		return TC_ACT_OK;
	if (has_more_headers(skb) && pull(skb, LARGEST_HEADERS))
		return TC_ACT_OK;
	switch (parse_leaving(&packet, skb)) {
	case PARSED:
		break;
	case FRAGMENT:
		return fragment_leaving(skb, &packet);
	case ICMP:
		return error_leaving(skb);
	case LOOPBACK:
	case NOT_OURS:
		return TC_ACT_OK;
	}
	key = packet_key(&packet);
	if (!conn_find_answer(&key, &conn))
		return LEFT_TO_FORMER;
	target = conn_target(&conn);
	if (packet.is_first)
		leave_trail(&packet, &target, TO_CLIENT);
	if (packet.is_tcp)
		conn_step(&conn, FROM_SERVER, packet.tcp_flags);
	conn_touch(&conn, conn_clock());
	account_out(target.destination, packet.bytes);
	count(COUNT_forwarded_by_kernel);
	rewrite_leaving(skb, &key, upper_place(&packet), packet.is_tcp, &target);
	return TC_ACT_OK;
}

#endif
