/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The members of a service as every scheduler sees them. */
#ifndef EVENKEEL_SCHEDULE_MEMBERS_H
#define EVENKEEL_SCHEDULE_MEMBERS_H

#include "../maps.h"

#define NOBODY 0xffffffffU

static __always_inline struct member *member_at(__u32 row, __u32 position)
{
	struct members *members_row = bpf_map_lookup_elem(&members, &row);

	if (!members_row)
		return 0;
	return &members_row->list[position & (MEMBERS_MAX - 1)];
}

/* The weight with which a member may be chosen now; 0: it may not. */
static __always_inline __u32 open_weight(const struct member *member)
{
	__u32 weight = member->weight & ~MEMBER_LIMITED;

	if (weight && member->weight & MEMBER_LIMITED && is_overloaded(member->destination))
		return 0;
	return weight;
}

/* IPVS weighs an active connection like 256 inactive ones. */
static __always_inline __u64 overhead_of(const struct load *load)
{
	return ((__u64)load->active << 8) + load->inactive;
}

/* Steps of a bpf_loop over all members. */
static __always_inline __u32 member_steps(const struct service *service)
{
	return service->count & (2 * MEMBERS_MAX - 1);
}

#endif
