/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* How many connections each destination has. */
#ifndef EVENKEEL_LOADS_H
#define EVENKEEL_LOADS_H

#include "maps.h"
#include "states.h"

static __always_inline void load_count(__u32 destination, __u32 state, __s32 by)
{
	struct load *load = load_at(destination);

	if (!load)
		return;
	if (is_active(state))
		__sync_fetch_and_add(&load->active, by);
	else if (state == TEMPLATE)
		__sync_fetch_and_add(&load->templates, by);
	else
		__sync_fetch_and_add(&load->inactive, by);
}

/* A connection came to a destination or left it: whether it takes more of them. Kernel:
 * ip_vs_bind_dest, ip_vs_unbind_dest. */
static __always_inline void load_weigh(__u32 index, int came)
{
	struct destination *destination = destination_at(index);
	__u32 *overloaded, upper, lower;
	struct load *load;
	__u64 total;

	if (!destination || !destination->upper_threshold)
		return;
	load = load_at(index);
	overloaded = bpf_map_lookup_elem(&overloads, &index);
	if (!load || !overloaded)
		return;
	upper = destination->upper_threshold;
	lower = destination->lower_threshold;
	total = (__u64)load->active + load->inactive;
	if (came) {
		if (total >= upper)
			*overloaded = 1;
	} else if (lower ? total < lower : total * 4 < (__u64)upper * 3) {
		*overloaded = 0;
	}
}

#endif
