/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What every way on has in common: verdicts that count, statistics, and the kernel's routes. */
#ifndef EVENKEEL_ROUTE_H
#define EVENKEEL_ROUTE_H

#include "packet.h"

/* What is to be done with a packet besides the hook's own verdicts: the rest of its way, which begins
 * with a stack of its own. */
enum further {
	ABOUT_TUNNEL = 16, /* perhaps: an ICMP error about no packet of a connection */
	OPENS_CONNECTION, /* perhaps: it belongs to none */
	/* With an argument in the lower half. */
	INTO_TUNNEL = 1 << 16,  /* to this destination */
	TELL_TOO_BIG = 2 << 16, /* the sender: this is what fits */
	TELL_NO_HOP_LEFT = 3 << 16,
	LEFT_TO_FORMER = 4 << 16, /* nobody here knows it: to the program of another layout */
	TELL_UNREACHABLE = 5 << 16,
	TELL_RESET = 6 << 16, /* by TCP itself */
};

static __always_inline int pass(__u32 why)
{
	count(why);
	return VERDICT_PASS;
}

/* The same, unless another layout's program is there to know more about it (handover.h). */
static __always_inline int pass_unknown(__u32 why)
{
	count(why);
	return LEFT_TO_FORMER;
}

static __always_inline int drop(__u32 why)
{
	count(why);
	return VERDICT_DROP;
}

static __always_inline void account_in(__u32 destination, __u16 bytes, __u32 connections)
{
	struct stats *stats = statistics_at(destination);

	if (stats) {
		stats->connections += connections;
		stats->packets_in += 1;
		stats->bytes_in += bytes;
	}
}

static __always_inline void account_out(__u32 destination, __u16 bytes)
{
	struct stats *stats = statistics_at(destination);

	if (stats) {
		stats->packets_out += 1;
		stats->bytes_out += bytes;
	}
}

/* What of a packet routes may depend on, in one word. */
static __always_inline __u32 route_hints(const frame_t *ctx, const struct packet *packet)
{
	return longest(ctx, packet) | (__u32)header_class(packet->ip) << 16 |
	       (__u32)packet_protocol(packet) << 24;
}

#if FAMILY == 4

static __always_inline void set_class(struct bpf_fib_lookup *found, __u8 traffic_class)
{
	found->tos = traffic_class;
}

static __always_inline void set_ends(struct bpf_fib_lookup *found, address_t from, address_t to)
{
	found->ipv4_src = from;
	found->ipv4_dst = to;
}

#else

static __always_inline void set_class(struct bpf_fib_lookup *found, __u8 traffic_class)
{
	found->flowinfo = bpf_htonl((__u32)traffic_class << 20);
}

static __always_inline void set_ends(struct bpf_fib_lookup *found, address_t from, address_t to)
{
	__builtin_memcpy(found->ipv6_src, &from, sizeof(from));
	__builtin_memcpy(found->ipv6_dst, &to, sizeof(to));
}

#endif

/* By the kernel's routes and neighbours. Returns bpf_fib_lookup's answer. */
static __always_inline long
route(frame_t *ctx, __u32 hints, address_t from, address_t to, struct bpf_fib_lookup *found)
{
	__builtin_memset(found, 0, sizeof(*found));
	found->family = FAMILY_NUMBER;
	set_class(found, hints >> 16);
	found->l4_protocol = hints >> 24;
	found->tot_len = hints;
	found->ifindex = frame_ingress(ctx);
	set_ends(found, from, to);
	return bpf_fib_lookup(ctx, found, sizeof(*found), 0);
}

#endif
