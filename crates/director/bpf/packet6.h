/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* IPv6's part of packet.h. */
#ifndef EVENKEEL_PACKET6_H
#define EVENKEEL_PACKET6_H

#define ICMPV6_DEST_UNREACH 1
#define ICMPV6_PORT_UNREACH 4 /* a code of it */
#define ICMPV6_PKT_TOOBIG 2
#define ICMPV6_TIME_EXCEED 3
#define ICMPV6_PARAMPROB 4
#define ICMPV6_EXC_HOPLIMIT 0 /* a code of ICMPV6_TIME_EXCEED */

/* Extension headers before TCP, UDP or ICMPv6: those that RFC 8200 4.1 recommends, and one more. */
#define HEADERS_MAX 6
#define PLACE_MAX 0x1fff /* where they end in the frame */

struct extension {
	__u8 next;
	__u8 length; /* in units of eight bytes, the first not counted */
	__u8 type;   /* of a routing header */
	__u8 left;   /* of a routing header: segments */
	__be32 rest;
};

struct fragment_header {
	__u8 next;
	__u8 unused;
	__be16 place; /* offset in bytes, a multiple of eight, and flags */
	__be32 id;
};
#define FRAGMENT_MORE bpf_htons(1)
#define FRAGMENT_PLACE bpf_htons(0xfff8)

static __always_inline address_t header_from(const struct ipv6hdr *ip)
{
	return *(const address_t *)&ip->saddr;
}

static __always_inline address_t header_to(const struct ipv6hdr *ip)
{
	return *(const address_t *)&ip->daddr;
}

static __always_inline address_t *field_from(struct ipv6hdr *ip)
{
	return (address_t *)&ip->saddr;
}

static __always_inline address_t *field_to(struct ipv6hdr *ip)
{
	return (address_t *)&ip->daddr;
}

static __always_inline __u8 header_hops(const struct ipv6hdr *ip)
{
	return ip->hop_limit;
}

static __always_inline __u8 header_class(const struct ipv6hdr *ip)
{
	return ip->priority << 4 | ip->flow_lbl[0] >> 4;
}

/* Bytes of the packet, by what it says itself. */
static __always_inline __u16 header_bytes(const struct ipv6hdr *ip)
{
	return bpf_ntohs(ip->payload_len) + sizeof(*ip);
}

static __always_inline __u8 packet_protocol(const struct packet *packet)
{
	return packet->protocol;
}

static __always_inline __u8 quoted_protocol(const struct packet *packet)
{
	return packet->quoted_protocol;
}

static __always_inline fragment_id_t packet_fragment_id(const struct packet *packet)
{
	return packet->fragment_id;
}

/* Nobody splits it but its sender. */
static __always_inline int must_not_be_split(const struct packet *packet)
{
	return 1;
}

/* Where the extension headers lead. */
struct walk {
	__be32 fragment_id;
	__be16 fragment; /* place and flags; zero when it is whole */
	__u8 next;
};

/* Follows the extension headers from `at` in the frame. Returns where they end, or zero if they are
 * not for us: cut short, too many, or the packet's destination is not its last one. A later
 * fragment has none behind its fragment header. */
static __noinline __u32 walk_headers(void *data, void *end, __u32 at, struct walk *walk)
{
#pragma unroll
	for (int step = 0; step < HEADERS_MAX; step++) {
		struct extension *extension;
		struct fragment_header *fragment;

		at &= PLACE_MAX;
		extension = data + at;
		switch (walk->next) {
		case IPPROTO_ROUTING:
			if ((void *)(extension + 1) > end || extension->left)
				return 0;
			break;
		case IPPROTO_HOPOPTS:
		case IPPROTO_DSTOPTS:
			if ((void *)(extension + 1) > end)
				return 0;
			break;
		case IPPROTO_FRAGMENT:
			fragment = (void *)extension;
			if ((void *)(fragment + 1) > end)
				return 0;
			walk->fragment = fragment->place & (FRAGMENT_PLACE | FRAGMENT_MORE);
			walk->fragment_id = fragment->id;
			walk->next = fragment->next;
			at += sizeof(*fragment);
			if (walk->fragment & FRAGMENT_PLACE)
				return at;
			continue;
		default:
			return at;
		}
		walk->next = extension->next;
		at += (extension->length + 1) * 8;
		if (at > PLACE_MAX)
			return 0;
	}
	return 0;
}

/* Whether TCP, UDP or ICMPv6 follows at once. */
static __always_inline int has_no_extensions(__u8 next)
{
	return next == IPPROTO_TCP || next == IPPROTO_UDP || next == IPPROTO_ICMPV6;
}

static __always_inline enum parsed parse(struct packet *packet, void *data, void *end)
{
	struct ethhdr *ethernet = data;
	struct ipv6hdr *ip = (void *)(ethernet + 1);
	struct walk walk = {};
	struct tcphdr *tcp;
	struct udphdr *udp;
	__u32 at = sizeof(*ethernet) + sizeof(*ip);

	if ((void *)(ip + 1) > end)
		return NOT_OURS;
	if (ethernet->h_proto != bpf_htons(ETH_P_IPV6) || ip->version != 6 || !ip->payload_len)
		return NOT_OURS;
	packet->ethernet = ethernet;
	packet->ip = ip;
	packet->quoted = ip; /* only an error quotes another one */
	packet->bytes = header_bytes(ip);
	packet->ports = (void *)(ip + 1);
	packet->carries = CARRIES_SEGMENT;
	packet->has_checksum = 1;
	packet->is_first = 0;
	packet->fragment_id = 0;
	if (is_loopback(header_to(ip)))
		return LOOPBACK;
	walk.next = ip->nexthdr;
	if (!has_no_extensions(walk.next)) {
		at = walk_headers(data, end, at, &walk);
		if (!at)
			return NOT_OURS;
		at &= PLACE_MAX;
	}
	packet->protocol = walk.next;
	packet->upper = at;
	udp = data + at;
	tcp = (void *)udp;
	if (walk.fragment) {
		if (walk.next != IPPROTO_TCP && walk.next != IPPROTO_UDP)
			return NOT_OURS;
		packet->fragment_id = walk.fragment_id;
		if (walk.fragment & FRAGMENT_PLACE)
			return FRAGMENT;
		packet->is_first = 1;
	}
	if (walk.next == IPPROTO_TCP) {
		if ((void *)(tcp + 1) > end)
			return NOT_OURS;
		packet->is_tcp = 1;
		packet->tcp_flags = ((__u8 *)tcp)[13];
		note_upper(packet, (((__u8 *)tcp)[12] >> 4) * 4);
		packet->checksum = &tcp->check;
	} else if (walk.next == IPPROTO_UDP) {
		if ((void *)(udp + 1) > end)
			return NOT_OURS;
		packet->is_tcp = 0;
		packet->tcp_flags = 0;
		note_upper(packet, sizeof(struct udphdr));
		packet->checksum = &udp->check;
	} else {
		return walk.next == IPPROTO_ICMPV6 ? ICMP : NOT_OURS;
	}
	packet->ports = (void *)udp;
	return PARSED;
}

static __always_inline struct icmphdr *icmp_of(const struct packet *packet, void *data)
{
	return data + (packet->upper & PLACE_MAX);
}

/* Bytes of the IP header of an ICMPv6 packet, its extensions included. */
static __always_inline __u32 headers_of(const struct packet *packet)
{
	return (packet->upper & PLACE_MAX) - sizeof(struct ethhdr);
}

/* Which ICMPv6 messages are about a packet that somebody sent. */
static __always_inline int is_error(__u8 type)
{
	return type >= ICMPV6_DEST_UNREACH && type <= ICMPV6_PARAMPROB;
}

/* An ICMPv6 packet after parse(): whether it is an error about TCP or UDP, with what it takes to
 * know the connection. Routers quote as much as fits into 1280 bytes (RFC 4443 2.4 (c)); some do
 * less. TCP's checksum may be missing. `data` is the frame. */
static __always_inline int parse_error(struct packet *packet, void *data, void *end)
{
	struct icmphdr *icmp = data + (packet->upper & PLACE_MAX);
	struct ipv6hdr *quoted = (void *)(icmp + 1);
	struct walk walk = {};
	struct udphdr *udp;
	struct tcphdr *tcp;
	__u32 at = (packet->upper & PLACE_MAX) + sizeof(*icmp) + sizeof(*quoted);

	if ((void *)(quoted + 1) > end)
		return 0;
	if (!is_error(icmp->type) || quoted->version != 6)
		return 0;
	if (!address_is_equal(header_from(quoted), header_to(packet->ip)))
		return 0;
	walk.next = quoted->nexthdr;
	if (!has_no_extensions(walk.next)) {
		at = walk_headers(data, end, at & PLACE_MAX, &walk);
		if (!at || walk.fragment & FRAGMENT_PLACE)
			return 0;
	}
	at &= PLACE_MAX;
	udp = data + at;
	tcp = (void *)udp;
	if ((void *)(udp + 1) > end)
		return 0;
	packet->carries = CARRIES_ERROR;
	packet->icmp = icmp;
	packet->quoted = quoted;
	packet->ports = (void *)udp;
	packet->tcp_flags = 0;
	packet->quoted_protocol = walk.next;
	if (walk.next == IPPROTO_UDP) {
		packet->is_tcp = 0;
		packet->checksum = &udp->check;
		return 1;
	}
	if (walk.next != IPPROTO_TCP)
		return 0;
	packet->is_tcp = 1;
	packet->has_checksum = 0;
	if ((void *)(&tcp->check + 1) <= end &&
	    at + offsetof(struct tcphdr, check) + sizeof(tcp->check) <=
		    packet->bytes + sizeof(struct ethhdr)) {
		packet->checksum = &tcp->check;
		packet->has_checksum = 1;
	}
	return 1;
}

/* Changes one side of what a packet says about its connection: an address and a port. In an error
 * they stand in the quoted packet too; ICMPv6's checksum covers that, and the addresses of the
 * packet itself. */
static __always_inline void
rewrite_side(frame_t *frame, struct packet *packet, address_t *address, address_t *quoted,
	     __be16 *port, address_t new_address, __be16 new_port)
{
	__u32 change = change_of_address(*address, new_address);
	__u32 upper, icmp;

	*address = new_address;
	if (packet->carries == CARRIES_FRAGMENT)
		return;
	if (packet->carries == CARRIES_SEGMENT) {
		upper = change_of_port(*port, new_port);
		*port = new_port;
		change_segment_checksum(frame, packet, change, upper);
		return;
	}
	upper = change_of_address(*quoted, new_address) + change_of_port(*port, new_port);
	icmp = change + upper;
	*quoted = new_address;
	*port = new_port;
	icmp += change_upper_checksum(packet, upper);
	change_checksum(&packet->icmp->checksum, icmp);
}

static __always_inline void decrement_ttl(struct packet *packet)
{
	packet->ip->hop_limit--;
}

#endif
