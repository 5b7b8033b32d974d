/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* IPv4's part of packet.h. */
#ifndef EVENKEEL_PACKET4_H
#define EVENKEEL_PACKET4_H

#define DONT_FRAGMENT bpf_htons(0x4000)
#define MORE_FRAGMENTS bpf_htons(0x2000)
#define FRAGMENT_OFFSET bpf_htons(0x1fff)
#define FRAGMENT_BITS (MORE_FRAGMENTS | FRAGMENT_OFFSET)

#define ICMP_DEST_UNREACH 3
#define ICMP_PORT_UNREACH 3 /* a code of it */
#define ICMP_FRAG_NEEDED 4  /* another one */
#define ICMP_SOURCE_QUENCH 4
#define ICMP_TIME_EXCEEDED 11
#define ICMP_EXC_TTL 0 /* a code of it */
#define ICMP_PARAMETERPROB 12

static __always_inline address_t header_from(const struct iphdr *ip)
{
	return ip->saddr;
}

static __always_inline address_t header_to(const struct iphdr *ip)
{
	return ip->daddr;
}

static __always_inline address_t *field_from(struct iphdr *ip)
{
	return &ip->saddr;
}

static __always_inline address_t *field_to(struct iphdr *ip)
{
	return &ip->daddr;
}

static __always_inline __u8 header_hops(const struct iphdr *ip)
{
	return ip->ttl;
}

static __always_inline __u8 header_class(const struct iphdr *ip)
{
	return ip->tos;
}

/* Bytes of the packet, by what it says itself. */
static __always_inline __u16 header_bytes(const struct iphdr *ip)
{
	return bpf_ntohs(ip->tot_len);
}

static __always_inline __u8 packet_protocol(const struct packet *packet)
{
	return packet->ip->protocol;
}

static __always_inline __u8 quoted_protocol(const struct packet *packet)
{
	return packet->quoted->protocol;
}

static __always_inline fragment_id_t packet_fragment_id(const struct packet *packet)
{
	return packet->ip->id;
}

/* Whether its sender wants to be told rather than have it split. */
static __always_inline int must_not_be_split(const struct packet *packet)
{
	return (packet->ip->frag_off & DONT_FRAGMENT) != 0;
}

/* Where the IP header ends; its options pass through unchanged. */
static __always_inline void *after_header(struct iphdr *ip)
{
	return (void *)ip + ip->ihl * 4;
}

static __always_inline enum parsed parse(struct packet *packet, void *data, void *end)
{
	struct ethhdr *ethernet = data;
	struct iphdr *ip = (void *)(ethernet + 1);
	struct tcphdr *tcp;
	struct udphdr *udp;

	if ((void *)(ip + 1) > end)
		return NOT_OURS;
	if (ethernet->h_proto != bpf_htons(ETH_P_IP) || ip->version != 4 || ip->ihl < 5)
		return NOT_OURS;
	packet->ethernet = ethernet;
	packet->ip = ip;
	packet->quoted = ip; /* only an error quotes another one */
	packet->bytes = bpf_ntohs(ip->tot_len);
	packet->ports = (void *)(ip + 1);
	packet->carries = CARRIES_SEGMENT;
	packet->has_checksum = 1;
	packet->is_first = 0;
	if (is_loopback(ip->daddr))
		return LOOPBACK;
	udp = after_header(ip);
	tcp = (void *)udp;
	if (ip->frag_off & FRAGMENT_BITS) {
		if (!is_balanced(ip->protocol))
			return NOT_OURS;
		if (ip->frag_off & FRAGMENT_OFFSET)
			return FRAGMENT;
		packet->is_first = 1;
	}
	if (ip->protocol == IPPROTO_TCP) {
		if ((void *)(tcp + 1) > end)
			return NOT_OURS;
		packet->is_tcp = 1;
		packet->is_sctp = 0;
		packet->tcp_flags = ((__u8 *)tcp)[13];
		note_upper(packet, (((__u8 *)tcp)[12] >> 4) * 4);
		packet->checksum = &tcp->check;
	} else if (ip->protocol == IPPROTO_UDP) {
		if ((void *)(udp + 1) > end)
			return NOT_OURS;
		packet->is_tcp = 0;
		packet->is_sctp = 0;
		packet->tcp_flags = 0;
		note_upper(packet, sizeof(struct udphdr));
		packet->checksum = &udp->check;
	} else if (ip->protocol == IPPROTO_SCTP) {
		if ((void *)udp + sizeof(struct sctp_header) > end)
			return NOT_OURS;
		packet->is_tcp = 0;
		packet->is_sctp = 1;
		packet->tcp_flags = 0;
		note_upper(packet, sizeof(struct sctp_header));
		packet->checksum = (void *)&((struct sctp_header *)udp)->checksum;
	} else {
		return ip->protocol == IPPROTO_ICMP ? ICMP : NOT_OURS;
	}
	packet->ports = (void *)udp;
	return PARSED;
}

static __always_inline struct icmphdr *icmp_of(const struct packet *packet, void *data)
{
	return after_header(packet->ip);
}

/* Bytes of the IP header of an ICMP packet. */
static __always_inline __u32 headers_of(const struct packet *packet)
{
	return packet->ip->ihl * 4;
}

/* Which ICMP messages are about a packet that somebody sent. */
static __always_inline int is_error(__u8 type)
{
	return type == ICMP_DEST_UNREACH || type == ICMP_SOURCE_QUENCH ||
	       type == ICMP_TIME_EXCEEDED || type == ICMP_PARAMETERPROB;
}

/* An ICMP packet after parse(): whether it is an error about TCP, UDP or SCTP, with what it takes to
 * know the connection. Routers quote at least eight bytes after the header (RFC 792): the ports,
 * and UDP's checksum. TCP's and SCTP's may be missing. */
static __always_inline int parse_error(struct packet *packet, void *data, void *end)
{
	struct icmphdr *icmp = after_header(packet->ip);
	struct iphdr *quoted = (void *)(icmp + 1);
	struct udphdr *udp;
	struct tcphdr *tcp;
	__u32 before;

	if ((void *)(quoted + 1) > end)
		return 0;
	if (!is_error(icmp->type) || quoted->version != 4 || quoted->ihl < 5)
		return 0;
	if (quoted->frag_off & FRAGMENT_OFFSET || quoted->saddr != packet->ip->daddr)
		return 0;
	udp = after_header(quoted);
	tcp = (void *)udp;
	if ((void *)(udp + 1) > end)
		return 0;
	packet->carries = CARRIES_ERROR;
	packet->icmp = icmp;
	packet->quoted = quoted;
	packet->ports = (void *)udp;
	packet->tcp_flags = 0;
	packet->is_tcp = 0;
	packet->is_sctp = 0;
	if (quoted->protocol == IPPROTO_UDP) {
		packet->checksum = &udp->check;
		return 1;
	}
	before = (packet->ip->ihl + quoted->ihl) * 4 + sizeof(*icmp);
	packet->has_checksum = 0;
	if (quoted->protocol == IPPROTO_SCTP) {
		packet->is_sctp = 1;
		packet->checksum = (void *)udp; /* not used */
		packet->has_checksum = (void *)udp + sizeof(struct sctp_header) <= end &&
				       before + sizeof(struct sctp_header) <= packet->bytes;
		return 1;
	}
	if (quoted->protocol != IPPROTO_TCP)
		return 0;
	packet->is_tcp = 1;
	if ((void *)(&tcp->check + 1) <= end &&
	    before + offsetof(struct tcphdr, check) + sizeof(tcp->check) <= packet->bytes) {
		packet->checksum = &tcp->check;
		packet->has_checksum = 1;
	}
	return 1;
}

/* Changes one side of what a packet says about its connection: an address and a port. In an error
 * they stand in the quoted packet too, and ICMP's checksum covers that. */
static __always_inline void
rewrite_side(frame_t *frame, struct packet *packet, __be32 *address, __be32 *quoted, __be16 *port,
	     __be32 new_address, __be16 new_port)
{
	__u32 change = change_of_address(*address, new_address);
	__u32 upper, icmp;
	__u16 before;

	change_checksum(&packet->ip->check, change);
	*address = new_address;
	if (packet->carries == CARRIES_FRAGMENT)
		return;
	if (packet->carries == CARRIES_SEGMENT && packet->is_sctp) {
		change_sctp_port((void *)packet->ports, port, new_port,
				 packet->bytes - packet->ip->ihl * 4, 1);
		return;
	}
	if (packet->carries == CARRIES_SEGMENT) {
		upper = change_of_port(*port, new_port);
		*port = new_port;
		change_segment_checksum(frame, packet, change, upper);
		return;
	}
	change = change_of_address(*quoted, new_address);
	upper = change;
	if (packet->is_sctp)
		upper += change_sctp_port((void *)packet->ports, port, new_port,
					  header_bytes(packet->quoted) - packet->quoted->ihl * 4,
					  packet->has_checksum);
	else
		upper += change_of_port(*port, new_port);
	before = packet->quoted->check;
	change_checksum(&packet->quoted->check, change);
	icmp = upper + change_of_port(before, packet->quoted->check);
	*quoted = new_address;
	*port = new_port;
	if (!packet->is_sctp)
		icmp += change_upper_checksum(packet, upper);
	change_checksum(&packet->icmp->checksum, icmp);
}

static __always_inline void decrement_ttl(struct packet *packet)
{
	/* The TTL is the high byte of its word: the sum grows by what the word loses. */
	__u32 sum = packet->ip->check + (__u32)bpf_htons(0x0100);

	packet->ip->check = sum + (sum >= 0xffff);
	packet->ip->ttl--;
}

#endif
