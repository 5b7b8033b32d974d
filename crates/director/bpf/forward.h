/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Sends a packet on: where to, and what if the next hop's MAC address is not known.
 *
 * Always by redirect, also out of the interface it came in by: a veth leaves frames that were sent
 * by XDP_TX lying until the next one comes (Linux 6.18: 270 s for a download of 8 MiB, 0.03 s
 * with redirect). */
#ifndef EVENKEEL_FORWARD_H
#define EVENKEEL_FORWARD_H

#include "packet.h"

#define AF_INET 2

static __always_inline int pass(__u32 why)
{
	count(why);
	return XDP_PASS;
}

static __always_inline int drop(__u32 why)
{
	count(why);
	return XDP_DROP;
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

/* By the kernel's routes and neighbours. Returns bpf_fib_lookup's answer. */
static __always_inline long
route(struct xdp_md *ctx, const struct packet *packet, __be32 from, __be32 to,
      struct bpf_fib_lookup *found)
{
	__builtin_memset(found, 0, sizeof(*found));
	found->family = AF_INET;
	found->tos = packet->ip->tos;
	found->l4_protocol = packet->ip->protocol;
	found->tot_len = packet->bytes;
	found->ifindex = ctx->ingress_ifindex;
	found->ipv4_src = from;
	found->ipv4_dst = to;
	return bpf_fib_lookup(ctx, found, sizeof(*found), 0);
}

/* A packet of a client, to the server its connection has. */
static __always_inline int
send_to_server(struct xdp_md *ctx, struct packet *packet, const struct conn *conn,
	       const struct destination *destination)
{
	struct bpf_fib_lookup found;
	__u8 to[ETH_ALEN], from[ETH_ALEN];
	__u32 ifindex;

	if (destination->flags & DESTINATION_LOCAL) {
		if (conn->forwarding == FORWARD_NAT)
			rewrite_destination(packet, conn->peer, conn->peer_port);
		return pass(COUNT_passed_to_self);
	}
	if (packet->ip->ttl <= 1)
		return drop(COUNT_dropped_ttl);
	if (destination->flags & DESTINATION_RESOLVED) {
		ifindex = destination->ifindex;
		__builtin_memcpy(to, destination->mac, ETH_ALEN);
		__builtin_memcpy(from, destination->source_mac, ETH_ALEN);
	} else {
		long answer = route(ctx, packet, packet->ip->saddr, conn->peer, &found);

		if (answer != BPF_FIB_LKUP_RET_SUCCESS) {
			if (conn->forwarding != FORWARD_NAT)
				return drop(answer == BPF_FIB_LKUP_RET_NO_NEIGH
						    ? COUNT_dropped_no_neighbour
						    : COUNT_dropped_no_route);
			/* The kernel can carry a translated packet itself, and resolve on the way. */
			rewrite_destination(packet, conn->peer, conn->peer_port);
			return pass(COUNT_passed_to_resolve);
		}
		ifindex = found.ifindex;
		__builtin_memcpy(to, found.dmac, ETH_ALEN);
		__builtin_memcpy(from, found.smac, ETH_ALEN);
	}
	if (conn->forwarding == FORWARD_NAT)
		rewrite_destination(packet, conn->peer, conn->peer_port);
	decrement_ttl(packet);
	set_macs(packet, to, from);
	count(COUNT_forwarded_to_server);
	return bpf_redirect(ifindex, 0);
}

/* An answer of a server, to its client, from the virtual address. By route: the frame that the
 * request came in may have come by another way. */
static __always_inline int
send_to_client(struct xdp_md *ctx, struct packet *packet, const struct conn *conn)
{
	struct bpf_fib_lookup found;

	if (packet->ip->ttl <= 1)
		return drop(COUNT_dropped_ttl);
	if (route(ctx, packet, conn->peer, packet->ip->daddr, &found) != BPF_FIB_LKUP_RET_SUCCESS)
		/* Unchanged: the kernel resolves and forwards it, and the program at its way out
		 * rewrites and counts it. */
		return pass(COUNT_passed_to_resolve);
	account_out(conn->destination, packet->bytes);
	rewrite_source(packet, conn->peer, conn->peer_port);
	decrement_ttl(packet);
	set_macs(packet, found.dmac, found.smac);
	count(COUNT_forwarded_to_client);
	return bpf_redirect(found.ifindex, 0);
}

#endif
