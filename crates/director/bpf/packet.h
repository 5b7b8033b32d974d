/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Parsing and rewriting of one frame by direct access (XDP). */
#ifndef EVENKEEL_PACKET_H
#define EVENKEEL_PACKET_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "checksum.h"
#include "conn.h"

#define DONT_FRAGMENT bpf_htons(0x4000)
#define MORE_FRAGMENTS bpf_htons(0x2000)
#define FRAGMENT_OFFSET bpf_htons(0x1fff)
#define FRAGMENT_BITS (MORE_FRAGMENTS | FRAGMENT_OFFSET)

/* linux/icmp.h needs the C library. */
struct icmphdr {
	__u8 type;
	__u8 code;
	__sum16 checksum;
	__be16 unused;
	__be16 mtu; /* ICMP_FRAG_NEEDED */
};

#define ICMP_DEST_UNREACH 3
#define ICMP_FRAG_NEEDED 4 /* a code of it */
#define ICMP_SOURCE_QUENCH 4
#define ICMP_TIME_EXCEEDED 11
#define ICMP_EXC_TTL 0 /* a code of it */
#define ICMP_PARAMETERPROB 12

struct ports {
	__be16 from;
	__be16 to;
};

/* What is behind the IP header, and translated with it. */
enum carried {
	CARRIES_SEGMENT,  /* of TCP, or a UDP datagram; perhaps only its first fragment */
	CARRIES_FRAGMENT, /* a later one: there are no ports, and no checksum */
	CARRIES_ERROR,    /* of ICMP, which quotes such a packet */
};

struct packet {
	struct ethhdr *ethernet;
	struct iphdr *ip;
	struct icmphdr *icmp; /* of an error... */
	struct iphdr *quoted; /* ... and the header it quotes */
	struct ports *ports;  /* in an error: those quoted */
	__sum16 *checksum;    /* of TCP or UDP; in an error: the one quoted, if... */
	__u8 has_checksum;    /* ... it is there */
	__u8 carries;
	__u8 tcp_flags; /* 0 for UDP */
	__u8 is_tcp;    /* in an error: the packet it quotes */
	__u8 is_first;  /* others of the same datagram follow */
	__u16 bytes;    /* of the IP packet */
};

enum parsed {
	PARSED,   /* it has ports */
	FRAGMENT, /* a later one of TCP or UDP */
	ICMP,
	LOOPBACK, /* to 127.0.0.0/8 */
	NOT_OURS,
};

/* 127.0.0.0/8 */
static __always_inline int is_loopback(__be32 address)
{
	return (address & bpf_htonl(0xff000000)) == bpf_htonl(0x7f000000);
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
		if (ip->protocol != IPPROTO_TCP && ip->protocol != IPPROTO_UDP)
			return NOT_OURS;
		if (ip->frag_off & FRAGMENT_OFFSET)
			return FRAGMENT;
		packet->is_first = 1;
	}
	if (ip->protocol == IPPROTO_TCP) {
		if ((void *)(tcp + 1) > end)
			return NOT_OURS;
		packet->is_tcp = 1;
		packet->tcp_flags = ((__u8 *)tcp)[13];
		packet->checksum = &tcp->check;
	} else if (ip->protocol == IPPROTO_UDP) {
		if ((void *)(udp + 1) > end)
			return NOT_OURS;
		packet->is_tcp = 0;
		packet->tcp_flags = 0;
		packet->checksum = &udp->check;
	} else {
		return ip->protocol == IPPROTO_ICMP ? ICMP : NOT_OURS;
	}
	packet->ports = (void *)udp;
	return PARSED;
}

/* Which ICMP messages are about a packet that somebody sent. */
static __always_inline int is_error(__u8 type)
{
	return type == ICMP_DEST_UNREACH || type == ICMP_SOURCE_QUENCH ||
	       type == ICMP_TIME_EXCEEDED || type == ICMP_PARAMETERPROB;
}

/* An ICMP packet after parse(): whether it is an error about TCP or UDP, with what it takes to
 * know the connection. Routers quote at least eight bytes after the header (RFC 792): the ports,
 * and UDP's checksum. TCP's may be missing. */
static __always_inline int parse_error(struct packet *packet, void *end)
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
	if (quoted->protocol == IPPROTO_UDP) {
		packet->is_tcp = 0;
		packet->checksum = &udp->check;
		return 1;
	}
	if (quoted->protocol != IPPROTO_TCP)
		return 0;
	packet->is_tcp = 1;
	before = (packet->ip->ihl + quoted->ihl) * 4 + sizeof(*icmp);
	packet->has_checksum = 0;
	if ((void *)(&tcp->check + 1) <= end &&
	    before + offsetof(struct tcphdr, check) + sizeof(tcp->check) <= packet->bytes) {
		packet->checksum = &tcp->check;
		packet->has_checksum = 1;
	}
	return 1;
}

static __always_inline struct conn_key packet_key(const struct packet *packet)
{
	struct conn_key key = {
		.from = packet->ip->saddr,
		.to = packet->ip->daddr,
		.from_port = packet->ports->from,
		.to_port = packet->ports->to,
		.protocol = packet->ip->protocol,
	};
	return key;
}

/* Of an error: the key of the packets that go the other way than the one it quotes, which is the
 * way it goes itself. */
static __always_inline struct conn_key error_key(const struct packet *packet)
{
	struct conn_key key = {
		.from = packet->quoted->daddr,
		.to = packet->quoted->saddr,
		.from_port = packet->ports->to,
		.to_port = packet->ports->from,
		.protocol = packet->quoted->protocol,
	};
	return key;
}

/* TCP's or UDP's, after a change of what it covers. Returns how it changed itself. */
static __always_inline __u32 change_upper_checksum(struct packet *packet, __u32 change)
{
	__u16 old, new;

	if (!packet->has_checksum)
		return 0;
	old = *packet->checksum;
	if (!packet->is_tcp && !old)
		return 0; /* UDP without a checksum stays so */
	new = ~fold((__u16)~old + change);
	if (!packet->is_tcp && !new)
		new = 0xffff; /* in UDP zero means that there is none */
	*packet->checksum = new;
	return change_of_port(old, new);
}

/* Changes one side of what a packet says about its connection: an address and a port. In an error
 * they stand in the quoted packet too, and ICMP's checksum covers that. */
static __always_inline void
rewrite_side(struct packet *packet, __be32 *address, __be32 *quoted, __be16 *port,
	     __be32 new_address, __be16 new_port)
{
	__u32 change = change_of_address(*address, new_address);
	__u32 upper, icmp;
	__u16 before;

	change_checksum(&packet->ip->check, change);
	*address = new_address;
	if (packet->carries == CARRIES_FRAGMENT)
		return;
	if (packet->carries == CARRIES_SEGMENT) {
		change_upper_checksum(packet, change + change_of_port(*port, new_port));
		*port = new_port;
		return;
	}
	change = change_of_address(*quoted, new_address);
	upper = change + change_of_port(*port, new_port);
	before = packet->quoted->check;
	change_checksum(&packet->quoted->check, change);
	icmp = upper + change_of_port(before, packet->quoted->check);
	*quoted = new_address;
	*port = new_port;
	icmp += change_upper_checksum(packet, upper);
	change_checksum(&packet->icmp->checksum, icmp);
}

/* Towards the server. An error is about an answer: the server is whom it quotes as its sender. */
static __always_inline void rewrite_destination(struct packet *packet, __be32 address, __be16 port)
{
	__be16 *here = packet->carries == CARRIES_ERROR ? &packet->ports->from : &packet->ports->to;

	rewrite_side(packet, &packet->ip->daddr, &packet->quoted->saddr, here, address, port);
}

/* Towards the client. An error is about a request: the server is where it was sent. */
static __always_inline void rewrite_source(struct packet *packet, __be32 address, __be16 port)
{
	__be16 *here = packet->carries == CARRIES_ERROR ? &packet->ports->to : &packet->ports->from;

	rewrite_side(packet, &packet->ip->saddr, &packet->quoted->daddr, here, address, port);
}

static __always_inline void decrement_ttl(struct packet *packet)
{
	/* The TTL is the high byte of its word: the sum grows by what the word loses. */
	__u32 sum = packet->ip->check + (__u32)bpf_htons(0x0100);

	packet->ip->check = sum + (sum >= 0xffff);
	packet->ip->ttl--;
}

static __always_inline void set_macs(struct packet *packet, const __u8 *to, const __u8 *from)
{
	__builtin_memcpy(packet->ethernet->h_dest, to, ETH_ALEN);
	__builtin_memcpy(packet->ethernet->h_source, from, ETH_ALEN);
}

#endif
