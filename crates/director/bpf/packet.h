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

#include "conn.h"

#define FRAGMENT_BITS bpf_htons(0x3fff) /* more fragments, and the offset */

struct ports {
	__be16 from;
	__be16 to;
};

/* A frame that carries an unfragmented TCP segment or UDP datagram without IP options. */
struct packet {
	struct ethhdr *ethernet;
	struct iphdr *ip;
	struct ports *ports;
	__sum16 *checksum; /* of TCP or UDP */
	__u8 tcp_flags;    /* 0 for UDP */
	__u8 is_tcp;
	__u16 bytes;       /* of the IP packet */
};

enum parsed { PARSED, NOT_OURS, FRAGMENT, LOOPBACK };

/* 127.0.0.0/8 */
static __always_inline int is_loopback(__be32 address)
{
	return (address & bpf_htonl(0xff000000)) == bpf_htonl(0x7f000000);
}

static __always_inline enum parsed parse(struct packet *packet, void *data, void *end)
{
	struct ethhdr *ethernet = data;
	struct iphdr *ip = (void *)(ethernet + 1);
	struct tcphdr *tcp = (void *)(ip + 1);
	struct udphdr *udp = (void *)(ip + 1);

	if ((void *)(udp + 1) > end)
		return NOT_OURS;
	if (ethernet->h_proto != bpf_htons(ETH_P_IP) || ip->version != 4)
		return NOT_OURS;
	if (is_loopback(ip->daddr))
		return LOOPBACK;
	if (ip->ihl != 5)
		return NOT_OURS;
	if (ip->protocol != IPPROTO_TCP && ip->protocol != IPPROTO_UDP)
		return NOT_OURS;
	if (ip->frag_off & FRAGMENT_BITS)
		return FRAGMENT;
	packet->ethernet = ethernet;
	packet->ip = ip;
	packet->ports = (void *)(ip + 1);
	packet->bytes = bpf_ntohs(ip->tot_len);
	if (ip->protocol == IPPROTO_TCP) {
		if ((void *)(tcp + 1) > end)
			return NOT_OURS;
		packet->is_tcp = 1;
		packet->tcp_flags = ((__u8 *)tcp)[13];
		packet->checksum = &tcp->check;
	} else {
		packet->is_tcp = 0;
		packet->tcp_flags = 0;
		packet->checksum = &udp->check;
	}
	return PARSED;
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

/* RFC 1624 equation 3, HC' = ~(~HC + ~m + m'), on a sum that is folded at the end. */
static __always_inline __u16 fold(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

static __always_inline __u32 change_of_address(__be32 old, __be32 new)
{
	return (~old & 0xffff) + (~old >> 16) + (new & 0xffff) + (new >> 16);
}

static __always_inline void
rewrite_checksums(struct packet *packet, __be32 old, __be32 new, __be16 old_port, __be16 new_port)
{
	__u32 address = change_of_address(old, new);
	__u32 ports = (__u16)~old_port + (__u32)new_port;
	__u16 sum;

	packet->ip->check = ~fold((__u16)~packet->ip->check + address);
	if (!packet->is_tcp && !*packet->checksum)
		return; /* UDP without a checksum stays so */
	sum = ~fold((__u16)~*packet->checksum + address + ports);
	if (!packet->is_tcp && !sum)
		sum = 0xffff; /* in UDP zero means that there is none */
	*packet->checksum = sum;
}

static __always_inline void rewrite_destination(struct packet *packet, __be32 address, __be16 port)
{
	rewrite_checksums(packet, packet->ip->daddr, address, packet->ports->to, port);
	packet->ip->daddr = address;
	packet->ports->to = port;
}

static __always_inline void rewrite_source(struct packet *packet, __be32 address, __be16 port)
{
	rewrite_checksums(packet, packet->ip->saddr, address, packet->ports->from, port);
	packet->ip->saddr = address;
	packet->ports->from = port;
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
