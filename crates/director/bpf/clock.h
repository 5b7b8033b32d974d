/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef EVENKEEL_CLOCK_H
#define EVENKEEL_CLOCK_H

#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

#define SECOND 1000000000ULL

/* Nanoseconds of CLOCK_MONOTONIC_COARSE, which moves with the timer's tick. */
static __always_inline __u64 coarse_clock(void)
{
	return bpf_ktime_get_coarse_ns();
}

#endif
