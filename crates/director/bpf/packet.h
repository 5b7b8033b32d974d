/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Parsing and rewriting of one frame by direct access. packet4.h and packet6.h have what each family
 * does its own way: parse, parse_error, rewrite_side, decrement_ttl and the fields of the header. */
#ifndef EVENKEEL_PACKET_H
#define EVENKEEL_PACKET_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "checksum.h"
#include "conn.h"
#include "hook.h"

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

/* linux/icmp.h needs the C library. */
struct icmphdr {
	__u8 type;
	__u8 code;
	__sum16 checksum;
	union {
		struct {
			__be16 unused;
			__be16 mtu; /* ICMP_FRAG_NEEDED */
		};
		__be32 mtu6; /* ICMPV6_PKT_TOOBIG */
	};
};

#if FAMILY == 4
typedef struct iphdr ip_header_t;
#else
typedef struct ipv6hdr ip_header_t;
#endif

struct packet {
	struct ethhdr *ethernet;
	ip_header_t *ip;
	struct icmphdr *icmp; /* of an error... */
	ip_header_t *quoted;  /* ... and the header it quotes */
	struct ports *ports;  /* in an error: those quoted */
	__sum16 *checksum;    /* of the segment; in an error: of the one quoted, if... */
	/* Whole words, which the verifier follows over the stack: */
	__u64 has_checksum; /* ... it is there */
	__u64 carries;
#if FAMILY == 4
	__u64 is_sctp; /* as is_tcp */
#endif
	__u8 tcp_flags; /* 0 for others */
	__u8 is_tcp;    /* in an error: the packet it quotes */
	__u8 is_first;  /* others of the same datagram follow */
#ifdef HOOK_TC
	__u8 upper_header; /* bytes of TCP's or UDP's header */
#endif
#if FAMILY == 6
	__u8 protocol;	      /* behind the extension headers... */
	__u8 quoted_protocol; /* ... and behind those that an error quotes */
#endif
	__u16 bytes; /* of the IP packet */
#if FAMILY == 6
	__u16 upper;	  /* where what they precede begins in the frame */
	__be32 fragment_id; /* of a fragment */
#endif
};

enum parsed {
	PARSED,   /* it has ports */
	FRAGMENT, /* a later one of TCP, UDP or SCTP */
	ICMP,
	LOOPBACK, /* to the loopback's own addresses */
	NOT_OURS,
};

static __always_inline void note_upper(struct packet *packet, __u8 bytes)
{
#ifdef HOOK_TC
	packet->upper_header = bytes;
#endif
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

/* The same of a segment or datagram that may not be a frame yet: see hook.h. The last thing done to
 * a packet. */
static __always_inline void
change_segment_checksum(frame_t *frame, struct packet *packet, __u32 of_addresses, __u32 of_ports)
{
#ifdef HOOK_TC
	__u32 at = (void *)packet->checksum - (void *)packet->ethernet;

	frame_checksum(frame, at, packet->is_tcp, of_addresses, of_ports);
#else
	change_upper_checksum(packet, of_addresses + of_ports);
#endif
}

#if FAMILY == 4

/* Another port of SCTP, whose checksum does not cover addresses; `bytes` are those it covers. One of
 * zero stays: a device is to compute it yet. Returns how the Internet checksum of it all changes. */
static __noinline __u32
change_sctp_port(struct sctp_header *header, __be16 *port, __be16 new_port, __u32 bytes,
		 int has_checksum)
{
	__u32 change = change_of_port(*port, new_port), old = 0, new = 0;
	__u32 difference = *port ^ new_port;

	*port = new_port;
	if (has_checksum && header->checksum && difference) {
		if (port == &header->to)
			difference <<= 16;
		old = header->checksum;
		new = old ^ sctp_checksum_change(difference, bytes);
		header->checksum = new;
	}
	return change + change_of_word(old, new);
}

static __always_inline int is_balanced(__u8 protocol)
{
	return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP || protocol == IPPROTO_SCTP;
}

static __always_inline int is_sctp(const struct packet *packet)
{
	return packet->is_sctp != 0;
}

#else

/* The stack has no room for it: of IPv6, TCP and UDP are balanced. */
static __always_inline int is_sctp(const struct packet *packet)
{
	return 0;
}

#endif

#if FAMILY == 4
#include "packet4.h"
#else
#include "packet6.h"
#endif

/* What it does to its connection's state. */
static __always_inline __u32 packet_event(const struct packet *packet, const void *end)
{
	if (is_sctp(packet))
		return sctp_event((const void *)packet->ports, end);
	return packet->is_tcp ? event_of(packet->tcp_flags) : ON_OTHER;
}

static __always_inline struct conn_key packet_key(const struct packet *packet)
{
	struct conn_key key = {
		.from = header_from(packet->ip),
		.to = header_to(packet->ip),
		.from_port = packet->ports->from,
		.to_port = packet->ports->to,
		.protocol = packet_protocol(packet),
	};
	return key;
}

/* Of an error: the key of the packets that go the other way than the one it quotes, which is the
 * way it goes itself. */
static __always_inline struct conn_key error_key(const struct packet *packet)
{
	struct conn_key key = {
		.from = header_to(packet->quoted),
		.to = header_from(packet->quoted),
		.from_port = packet->ports->to,
		.to_port = packet->ports->from,
		.protocol = quoted_protocol(packet),
	};
	return key;
}

/* Of an ICMP packet's kinds those that the program makes itself. */
#if FAMILY == 4
#define PROTOCOL_OF_ERRORS IPPROTO_ICMP
#define ERROR_TOO_BIG ICMP_DEST_UNREACH
#define CODE_TOO_BIG ICMP_FRAG_NEEDED
#define ERROR_TIME_EXCEEDED ICMP_TIME_EXCEEDED
#define CODE_NO_HOP_LEFT ICMP_EXC_TTL
#define ERROR_UNREACHABLE ICMP_DEST_UNREACH
#define CODE_PORT ICMP_PORT_UNREACH
#else
#define PROTOCOL_OF_ERRORS IPPROTO_ICMPV6
#define ERROR_TOO_BIG ICMPV6_PKT_TOOBIG
#define CODE_TOO_BIG 0
#define ERROR_TIME_EXCEEDED ICMPV6_TIME_EXCEED
#define CODE_NO_HOP_LEFT ICMPV6_EXC_HOPLIMIT
#define ERROR_UNREACHABLE ICMPV6_DEST_UNREACH
#define CODE_PORT ICMPV6_PORT_UNREACH
#endif

/* Bytes of the largest packet that it becomes on its way out. */
static __always_inline __u32 longest(const frame_t *frame, const struct packet *packet)
{
#ifdef HOOK_TC
	if (frame->gso_size && packet->carries == CARRIES_SEGMENT)
		return headers_of(packet) + packet->upper_header + frame->gso_size;
#endif
	return packet->bytes;
}

/* Towards the server. An error is about an answer: the server is whom it quotes as its sender. */
static __always_inline void
rewrite_destination(frame_t *frame, struct packet *packet, address_t address, __be16 port)
{
	__be16 *here = packet->carries == CARRIES_ERROR ? &packet->ports->from : &packet->ports->to;

	rewrite_side(frame, packet, field_to(packet->ip), field_from(packet->quoted), here, address,
		     port);
}

/* Towards the client. An error is about a request: the server is where it was sent. */
static __always_inline void
rewrite_source(frame_t *frame, struct packet *packet, address_t address, __be16 port)
{
	__be16 *here = packet->carries == CARRIES_ERROR ? &packet->ports->to : &packet->ports->from;

	rewrite_side(frame, packet, field_from(packet->ip), field_to(packet->quoted), here, address,
		     port);
}

static __always_inline void set_macs(struct packet *packet, const __u8 *to, const __u8 *from)
{
	__builtin_memcpy(packet->ethernet->h_dest, to, ETH_ALEN);
	__builtin_memcpy(packet->ethernet->h_source, from, ETH_ALEN);
}

#endif
