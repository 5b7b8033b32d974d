/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Where a new connection is described before it is there. */
#ifndef EVENKEEL_DRAFT_H
#define EVENKEEL_DRAFT_H

#include "conn.h"

/* With the template's key beside it. */
struct draft {
	struct conn_request request;
	struct conn_key template_key;
};

#if FAMILY == 4

#define DRAFT(name) struct draft name##_here = {}, *name = &name##_here

#else

/* IPv6's addresses are too large for the stack. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct draft);
} drafts SEC(".maps");

static __always_inline struct draft *new_draft(void)
{
	__u32 only = 0;
	struct draft *draft = bpf_map_lookup_elem(&drafts, &only);

	if (draft)
		__builtin_memset(draft, 0, sizeof(*draft));
	return draft;
}

#define DRAFT(name) struct draft *name = new_draft()

#endif

#endif
