/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Ends a TCP connection whose server left: an RST to whoever sends something still, made of the very
 * segment (RFC 9293 3.10.7.1), as if the other end had sent it. */
#ifndef EVENKEEL_RESET_H
#define EVENKEEL_RESET_H

#include "answer.h"

#define RESET_HEADERS (sizeof(struct ethhdr) + sizeof(ip_header_t))
#define RESET_BYTES (RESET_HEADERS + sizeof(struct tcphdr))

#if FAMILY == 4

static __always_inline void write_reset_header(struct iphdr *ip, address_t from, address_t to)
{
	write_header(ip, from, to, 0, sizeof(struct tcphdr));
	ip->tos = 0;
	ip->protocol = IPPROTO_TCP;
	ip->check = 0;
	ip->check = header_checksum(ip);
}

static __always_inline __u32 sum_of_reset(const struct iphdr *ip)
{
	return (ip->saddr & 0xffff) + (ip->saddr >> 16) + (ip->daddr & 0xffff) +
	       (ip->daddr >> 16) + bpf_htons(IPPROTO_TCP) + bpf_htons(sizeof(struct tcphdr));
}

#else

static __always_inline void write_reset_header(struct ipv6hdr *ip, address_t from, address_t to)
{
	write_header(ip, from, to, 0, sizeof(struct tcphdr));
	ip->nexthdr = IPPROTO_TCP;
}

static __always_inline __u32 sum_of_reset(const struct ipv6hdr *ip)
{
	return sum_of_ends((const void *)&ip->saddr, (const void *)&ip->daddr) +
	       bpf_htons(IPPROTO_TCP) + bpf_htons(sizeof(struct tcphdr));
}

#endif

/* What an RST says to be believed: the number that the segment's sender waits for, or, if it named
 * none, an acknowledgement of the segment. */
static __always_inline void
write_reset(struct tcphdr *tcp, const struct tcphdr *segment, __u32 payload)
{
	__u8 flags = ((const __u8 *)segment)[13];
	__u32 length = payload + (flags & TCP_SYN ? 1 : 0) + (flags & TCP_FIN ? 1 : 0);

	__builtin_memset(tcp, 0, sizeof(*tcp));
	tcp->source = segment->dest;
	tcp->dest = segment->source;
	tcp->doff = sizeof(*tcp) / 4;
	if (flags & TCP_ACK) {
		tcp->seq = segment->ack_seq;
		((__u8 *)tcp)[13] = TCP_RST;
	} else {
		tcp->ack_seq = bpf_htonl(bpf_ntohl(segment->seq) + length);
		((__u8 *)tcp)[13] = TCP_RST | TCP_ACK;
	}
}

/* Sends it, from the other end's address as the segment has it. One with options or extension
 * headers of IP is dropped. */
__noinline int reset_sender(frame_t *ctx)
{
	struct ethhdr cause, *ethernet = frame_data(ctx);
	ip_header_t *ip = (void *)(ethernet + 1);
	__u32 ingress = frame_ingress(ctx), headers;
	struct packet packet;
	struct tcphdr segment, *tcp;
	address_t from, to;

	if (parse(&packet, ethernet, frame_end(ctx)) != PARSED || !packet.is_tcp)
		return drop(COUNT_dropped_server_removed);
	tcp = (void *)(ip + 1);
	if ((void *)(tcp + 1) > frame_end(ctx) || (void *)packet.ports != (void *)tcp ||
	    !is_one_machine(header_from(ip)))
		return drop(COUNT_dropped_server_removed);
	cause = *ethernet;
	from = header_to(ip);
	to = header_from(ip);
	segment = *tcp;
	headers = sizeof(*ip) + segment.doff * 4;
	if (frame_cut(ctx, frame_length(ctx) - RESET_BYTES))
		return drop(COUNT_dropped_server_removed);
	ethernet = frame_data(ctx);
	ip = (void *)(ethernet + 1);
	tcp = (void *)(ip + 1);
	if ((void *)(tcp + 1) > frame_end(ctx))
		return drop(COUNT_dropped_server_removed);
	write_reset_header(ip, from, to);
	write_reset(tcp, &segment, packet.bytes > headers ? packet.bytes - headers : 0);
	tcp->check = ~fold(bpf_csum_diff(0, 0, (void *)tcp, sizeof(*tcp), sum_of_reset(ip)));
	count(COUNT_answered_reset);
	return send_answer(ctx, ethernet, ip, &cause, ingress);
}

#endif
