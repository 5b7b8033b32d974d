/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Tells the steps that a packet takes to whoever has it explained. In the programs that forward
 * `explaining` is a constant zero when they are verified, and nothing is left of this. */
#ifndef EVENKEEL_TELL_H
#define EVENKEEL_TELL_H

#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

enum step {
#define STEP(name) STEP_##name,
#include "steps.h"
#undef STEP
	STEPS
};

#define TOLD_MAX 64

struct told {
	__u32 count;
	__u32 unused;
	struct {
		__u32 step;
		__u32 unused;
		__u64 about;
	} list[TOLD_MAX];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(key, __u32);
	__type(value, struct told);
} told SEC(".maps");

/* Set before loading. */
const volatile __u32 explaining = 0;
/* Where the packet is to have come in by, then. */
const volatile __u32 explained_ifindex = 0;

static __always_inline void tell(enum step step, __u64 about)
{
	__u32 zero = 0, at;
	struct told *all;

	if (!explaining)
		return;
	all = bpf_map_lookup_elem(&told, &zero);
	if (!all)
		return;
	at = all->count;
	if (at >= TOLD_MAX)
		return;
	all->list[at].step = step;
	all->list[at].about = about;
	all->count = at + 1;
}

#endif
