/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Tells the sender of a packet why it goes no further: an ICMP error made of the packet itself,
 * from the address it was sent to. The client knows the virtual address only, and the kernel cannot
 * say it: to the kernel the packet is for this machine. */
#ifndef EVENKEEL_ANSWER_H
#define EVENKEEL_ANSWER_H

#include "checksum.h"
#include "clock.h"
#include "route.h"
#include "unfinished.h"

#define ANSWER_TTL 64
/* Errors per second and processor, as net.ipv4.icmp_msgs_per_sec. Not of those that say which size
 * fits: the kernel does not bound them either, connections wait for them. */
#define ANSWERS_PER_SECOND 1000

/* Bytes before the quote. */
#define ANSWER_HEADERS (sizeof(struct ethhdr) + sizeof(ip_header_t) + sizeof(struct icmphdr))

struct pace {
	__u64 second;
	__u64 answers;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(key, __u32);
	__type(value, struct pace);
} paces SEC(".maps");

/* Whether this second has room for one more answer. */
static __always_inline int may_answer(void)
{
	__u64 second = coarse_clock() / SECOND;
	__u32 only = 0;
	struct pace *pace = bpf_map_lookup_elem(&paces, &only);

	if (!pace)
		return 0;
	if (pace->second != second) {
		pace->second = second;
		pace->answers = 0;
	}
	return pace->answers++ < ANSWERS_PER_SECOND;
}

#if FAMILY == 4

#define QUOTE_MAX 512 /* RFC 1812 4.3.2.3: the answer shall not be larger than 576 bytes */
#define QUOTE_MIN 28  /* RFC 792: the header and eight bytes */

static __always_inline void write_header(struct iphdr *ip, address_t from, address_t to,
					 __u8 traffic_class, __u32 bytes)
{
	__builtin_memset(ip, 0, sizeof(*ip));
	ip->version = 4;
	ip->ihl = sizeof(*ip) / 4;
	/* Of network control's precedence, as the kernel's. */
	ip->tos = (traffic_class & 0x1e) | 0xc0;
	ip->tot_len = bpf_htons(sizeof(*ip) + bytes);
	ip->frag_off = DONT_FRAGMENT;
	ip->ttl = ANSWER_TTL;
	ip->protocol = IPPROTO_ICMP;
	ip->saddr = from;
	ip->daddr = to;
	ip->check = header_checksum(ip);
}

/* What ICMP's checksum covers besides the message. */
static __always_inline __u32 pseudo_header(const struct iphdr *ip, __u32 bytes)
{
	return 0;
}

static __always_inline void set_mtu(struct icmphdr *icmp, __u32 mtu)
{
	icmp->mtu = bpf_htons(mtu);
}

#else

#define QUOTE_MAX 1232 /* RFC 4443 2.4 (c): the answer shall not be larger than 1280 bytes */
#define QUOTE_MIN 48   /* the header and the ports */

static __always_inline void write_header(struct ipv6hdr *ip, address_t from, address_t to,
					 __u8 traffic_class, __u32 bytes)
{
	__builtin_memset(ip, 0, sizeof(*ip));
	ip->version = 6;
	/* That of the packet it is about, as the kernel's. */
	ip->priority = traffic_class >> 4;
	ip->flow_lbl[0] = traffic_class << 4;
	ip->payload_len = bpf_htons(bytes);
	ip->nexthdr = IPPROTO_ICMPV6;
	ip->hop_limit = ANSWER_TTL;
	*field_from(ip) = from;
	*field_to(ip) = to;
}

/* What ICMPv6's checksum covers besides the message. */
static __always_inline __u32 pseudo_header(const struct ipv6hdr *ip, __u32 bytes)
{
	return sum_of_ends((const void *)&ip->saddr, (const void *)&ip->daddr) +
	       bpf_htons(bytes) + bpf_htons(IPPROTO_ICMPV6);
}

static __always_inline void set_mtu(struct icmphdr *icmp, __u32 mtu)
{
	icmp->mtu6 = bpf_htonl(mtu);
}

#endif

/* Sends the answer by route, or back where its cause came from if the kernel does not know the
 * next hop: with direct routing it never learns it. */
static __always_inline int
send_answer(frame_t *ctx, struct ethhdr *ethernet, const ip_header_t *ip,
	    const struct ethhdr *cause, __u32 ingress)
{
	struct bpf_fib_lookup found = {
		.family = FAMILY_NUMBER,
		.l4_protocol = PROTOCOL_OF_ERRORS,
		.tot_len = header_bytes(ip),
		.ifindex = ingress,
	};

	set_ends(&found, header_from(ip), header_to(ip));
	if (bpf_fib_lookup(ctx, &found, sizeof(found), 0) == BPF_FIB_LKUP_RET_SUCCESS) {
		__builtin_memcpy(ethernet->h_dest, found.dmac, ETH_ALEN);
		__builtin_memcpy(ethernet->h_source, found.smac, ETH_ALEN);
		return bpf_redirect(found.ifindex, 0);
	}
	__builtin_memcpy(ethernet->h_dest, cause->h_source, ETH_ALEN);
	__builtin_memcpy(ethernet->h_source, cause->h_dest, ETH_ALEN);
	return bpf_redirect(ingress, 0);
}

#ifdef HOOK_TC

static __always_inline struct unfinished unfinished_quote(void *data, void *end)
{
	struct unfinished whole = {};
	struct packet packet;

	return parse(&packet, data, end) == PARSED ? unfinished_part(&packet) : whole;
}

#else

static __always_inline struct unfinished unfinished_quote(void *data, void *end)
{
	struct unfinished whole = {};

	return whole;
}

#endif

/* Makes of the packet, as it came, the error about it. `mtu` goes with ICMP_FRAG_NEEDED. */
__noinline int answer_sender(frame_t *ctx, __u32 type, __u32 code, __u32 mtu)
{
	void *data = frame_data(ctx), *end = frame_end(ctx);
	struct ethhdr cause, *ethernet = data;
	ip_header_t *ip = (void *)(ethernet + 1);
	__u32 quote, there, at, ingress = frame_ingress(ctx);
	struct unfinished unfinished;
	struct icmphdr *icmp;
	address_t from, to;
	__u16 sum = 0;
	__u32 surplus;
	__u8 traffic_class;

	if ((void *)(ip + 1) > end || !is_one_machine(header_from(ip)))
		return drop(COUNT_dropped_unanswered);
	cause = *ethernet;
	from = header_to(ip);
	to = header_from(ip);
	traffic_class = header_class(ip);
	quote = header_bytes(ip);
	if (quote > QUOTE_MAX)
		quote = QUOTE_MAX;
	/* Of a packet that was quoted itself there may be less than it says. */
	there = frame_length(ctx) - sizeof(*ethernet);
	quote = (quote < there ? quote : there) & ~3U;
	surplus = there - quote;
	unfinished = unfinished_quote(data, end);
	if (quote < QUOTE_MIN || frame_cut(ctx, surplus) ||
	    frame_grow(ctx, ANSWER_HEADERS - sizeof(*ethernet), 0))
		return drop(COUNT_dropped_unanswered);
	ethernet = frame_data(ctx);
	ip = (void *)(ethernet + 1);
	icmp = (void *)(ip + 1);
	if ((void *)(icmp + 1) > frame_end(ctx))
		return drop(COUNT_dropped_unanswered);
	ethernet->h_proto = FAMILY_ETHERTYPE;
	write_header(ip, from, to, traffic_class, sizeof(*icmp) + quote);
	__builtin_memset(icmp, 0, sizeof(*icmp));
	icmp->type = type;
	icmp->code = code;
	set_mtu(icmp, mtu);
	at = sizeof(*ethernet) + sizeof(*ip);
	if (checksum_over(ctx, at, at + sizeof(*icmp), at + sizeof(*icmp) + quote,
			  pseudo_header(ip, sizeof(*icmp) + quote), &unfinished, &sum))
		return drop(COUNT_dropped_unanswered);
	icmp->checksum = sum;
	return send_answer(ctx, ethernet, ip, &cause, ingress);
}

#endif
