/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What is asked of every packet: whether it is for us. */
#ifndef EVENKEEL_OURS_H
#define EVENKEEL_OURS_H

#include "packet.h"

/* Whether this director is master of a virtual address. */
static __always_inline int gate_is_open(address_t address)
{
	struct gate_key key = { .address = widened(address) };
	__u32 *open = bpf_map_lookup_elem(&gate, &key);

	return !open || *open;
}

/* Interfaces see frames for other machines when the wire floods them. */
static __always_inline int is_for_us(frame_t *ctx, const struct packet *packet)
{
	__u32 ifindex = frame_ingress(ctx);
	struct interface *interface;
	const __u16 *mine, *its = (const __u16 *)packet->ethernet->h_dest;

	if (ifindex < INTERFACES_LOW)
		interface = bpf_map_lookup_elem(&low_interfaces, &ifindex);
	else
		interface = bpf_map_lookup_elem(&interfaces, &ifindex);
	if (!interface || !interface->takes_part)
		return 0;
	mine = (const __u16 *)interface->mac;
	return mine[0] == its[0] && mine[1] == its[1] && mine[2] == its[2];
}

#endif
