/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Where the program meets the frame: the type of its context, and how to get at the bytes. */
#ifndef EVENKEEL_HOOK_H
#define EVENKEEL_HOOK_H

#include <linux/bpf.h>
#include <linux/types.h>

#include "tell.h"

typedef struct xdp_md frame_t;

static __always_inline void *frame_data(const frame_t *frame)
{
	return (void *)(long)frame->data;
}

static __always_inline void *frame_end(const frame_t *frame)
{
	return (void *)(long)frame->data_end;
}

/* The interface that it came in by. */
static __always_inline __u32 frame_ingress(const frame_t *frame)
{
	return explaining ? explained_ifindex : frame->ingress_ifindex;
}

#endif
