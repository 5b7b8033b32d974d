/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Sends a packet on: where to, and what if the next hop's MAC address is not known, or the packet
 * does not fit or has no hop left.
 *
 * Always by redirect, also out of the interface it came in by: a veth leaves frames that were sent
 * by XDP_TX lying until the next one comes (Linux 6.18: 270 s for a download of 8 MiB, 0.03 s
 * with redirect). */
#ifndef EVENKEEL_FORWARD_H
#define EVENKEEL_FORWARD_H

#include "answer.h"
#include "reset.h"
#include "trail.h"
#include "tunnel.h"

/* Where frames go. */
struct way {
	__u32 ifindex;
	__u32 mtu; /* largest IP packet, when this one is larger */
	__u8 to[ETH_ALEN];
	__u8 from[ETH_ALEN];
};

/* By route. A function of its own, for its stack. Returns bpf_fib_lookup's answer. */
static __noinline long
look_up_way(frame_t *ctx, __u32 hints, const address_t *from, const address_t *to, struct way *way)
{
	struct bpf_fib_lookup found;
	long answer = route(ctx, hints, *from, *to, &found);

	way->ifindex = found.ifindex;
	way->mtu = found.mtu_result;
	__builtin_memcpy(way->to, found.dmac, ETH_ALEN);
	__builtin_memcpy(way->from, found.smac, ETH_ALEN);
	return answer;
}

/* Returns what bpf_fib_lookup would. */
static __always_inline long
way_to_server(frame_t *ctx, const struct packet *packet, const struct target *target,
	      const struct destination *destination, struct way *way)
{
	if (destination->flags & DESTINATION_RESOLVED) {
		way->ifindex = destination->ifindex;
		way->mtu = destination->mtu;
		if (target->forwarding == FORWARD_TUNNEL) {
			if (wide_is_zero(&destination->source))
				return BPF_FIB_LKUP_RET_NO_NEIGH;
			way->mtu -= tunnel_overhead(destination);
		}
		__builtin_memcpy(way->to, destination->mac, ETH_ALEN);
		__builtin_memcpy(way->from, destination->source_mac, ETH_ALEN);
		return longest(ctx, packet) > way->mtu ? BPF_FIB_LKUP_RET_FRAG_NEEDED
						: BPF_FIB_LKUP_RET_SUCCESS;
	}
	if (target->forwarding == FORWARD_TUNNEL)
		return BPF_FIB_LKUP_RET_NO_NEIGH; /* where it begins is not known either */
	return look_up_way(ctx, route_hints(ctx, packet), field_from(packet->ip), &target->address,
			   way);
}

/* Its last hop was ours. Kernel: decrement_ttl in ip_vs_xmit.c. */
static __always_inline int expired(const struct packet *packet)
{
	if (packet->carries != CARRIES_SEGMENT || !may_answer())
		return drop(COUNT_dropped_ttl);
	count(COUNT_answered_ttl);
	return TELL_NO_HOP_LEFT;
}

/* Too large for the way to the server. Its sender is told if it wants to be (DF), as IPVS does.
 * If not, the kernel can split what is translated; what is for the virtual address still, it would
 * take for itself. */
static __always_inline int
too_big(frame_t *ctx, struct packet *packet, const struct target *target, __u16 mtu)
{
	if (packet->carries == CARRIES_SEGMENT && must_not_be_split(packet)) {
		count(COUNT_answered_too_big);
		return TELL_TOO_BIG | mtu;
	}
	if (target->forwarding != FORWARD_NAT)
		return drop(COUNT_dropped_too_big);
	rewrite_destination(ctx, packet, target->address, target->port);
	return pass(COUNT_passed_to_fragment);
}

/* How it found the way to the server. */
static __always_inline void tell_way(long found, const struct way *way)
{
	switch (found) {
	case BPF_FIB_LKUP_RET_SUCCESS:
		return tell(STEP_way_known, way->ifindex);
	case BPF_FIB_LKUP_RET_FRAG_NEEDED:
		return tell(STEP_way_too_narrow, way->mtu);
	default:
		return tell(STEP_way_unknown, found);
	}
}

/* A packet of a client, to the server its connection has. A verdict, or what go_on() is to do. */
static __always_inline int
send_to_server(frame_t *ctx, struct packet *packet, const struct target *target,
	       const struct destination *destination)
{
	struct way way;
	long found;

	if (packet->is_first)
		leave_trail(packet, target, TO_SERVER);
	if (destination->flags & DESTINATION_LOCAL) {
		if (target->forwarding == FORWARD_NAT)
			rewrite_destination(ctx, packet, target->address, target->port);
		return pass(COUNT_passed_to_self);
	}
	if (header_hops(packet->ip) <= 1)
		return expired(packet);
	found = way_to_server(ctx, packet, target, destination, &way);
	tell_way(found, &way);
	switch (found) {
	case BPF_FIB_LKUP_RET_SUCCESS:
		break;
	case BPF_FIB_LKUP_RET_FRAG_NEEDED:
		return too_big(ctx, packet, target, way.mtu);
	case BPF_FIB_LKUP_RET_NO_NEIGH:
		if (target->forwarding != FORWARD_NAT)
			return drop(COUNT_dropped_no_neighbour);
		/* The kernel can carry a translated packet itself, and resolve on the way. */
		rewrite_destination(ctx, packet, target->address, target->port);
		return pass(COUNT_passed_to_resolve);
	default:
		if (target->forwarding != FORWARD_NAT)
			return drop(COUNT_dropped_no_route);
		rewrite_destination(ctx, packet, target->address, target->port);
		return pass(COUNT_passed_to_resolve);
	}
	if (target->forwarding == FORWARD_TUNNEL)
		return INTO_TUNNEL | (__u16)target->destination;
	decrement_ttl(packet);
	set_macs(packet, way.to, way.from);
	count(packet->carries == CARRIES_ERROR ? COUNT_errors_to_server
					       : COUNT_forwarded_to_server);
	if (target->forwarding == FORWARD_NAT)
		rewrite_destination(ctx, packet, target->address, target->port);
	return bpf_redirect(way.ifindex, 0);
}

/* An answer of a server, to its client, from the virtual address. By route: the frame that the
 * request came in may have come by another way. What cannot be sent passes unchanged: the kernel
 * resolves and forwards, splits, or tells the server why not, and the program at its way out
 * rewrites and counts what goes to the client. */
static __always_inline int
send_to_client(frame_t *ctx, struct packet *packet, const struct target *target)
{
	struct bpf_fib_lookup found;

	if (packet->is_first)
		leave_trail(packet, target, TO_CLIENT);
	if (header_hops(packet->ip) <= 1)
		return pass(COUNT_passed_to_answer);
	switch (route(ctx, route_hints(ctx, packet), target->address, header_to(packet->ip), &found)) {
	case BPF_FIB_LKUP_RET_SUCCESS:
		break;
	case BPF_FIB_LKUP_RET_FRAG_NEEDED:
		return pass(COUNT_passed_to_answer);
	default:
		return pass(COUNT_passed_to_resolve);
	}
	tell(STEP_way_known, found.ifindex);
	account_out(target->destination, packet->bytes);
	decrement_ttl(packet);
	set_macs(packet, found.dmac, found.smac);
	count(packet->carries == CARRIES_ERROR ? COUNT_errors_to_client
					       : COUNT_forwarded_to_client);
	rewrite_source(ctx, packet, target->address, target->port);
	return bpf_redirect(found.ifindex, 0);
}

/* The same as functions of their own, for their stacks: of fragments and errors. */
static __noinline int other_to_server(frame_t *ctx, struct packet *packet,
				      const struct target *target,
				      const struct destination *destination)
{
	return send_to_server(ctx, packet, target, destination);
}

static __noinline int
other_to_client(frame_t *ctx, struct packet *packet, const struct target *target)
{
	return send_to_client(ctx, packet, target);
}

/* The rest of the way, for verdicts that are not the hook's. */
static __always_inline int go_on(frame_t *ctx, __u32 verdict)
{
	switch (verdict & 0xffff0000) {
	case INTO_TUNNEL:
		return send_in_tunnel(ctx, verdict & 0xffff);
	case TELL_TOO_BIG:
		return answer_sender(ctx, ERROR_TOO_BIG, CODE_TOO_BIG, verdict & 0xffff);
	case TELL_NO_HOP_LEFT:
		return answer_sender(ctx, ERROR_TIME_EXCEEDED, CODE_NO_HOP_LEFT, 0);
	case TELL_UNREACHABLE:
		return answer_sender(ctx, ERROR_UNREACHABLE, CODE_PORT, 0);
	case TELL_RESET:
		return reset_sender(ctx);
	default:
		return verdict;
	}
}

#endif
