/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The program of another layout, while its connections are copied into our tables: it answers for
 * what is not here yet. Until the first round of copying is over it opens the new connections too,
 * and we note whose; then it opens only those, until a second round has them all. So at no time
 * two programs open the same connection, and none is lost between the rounds.
 *
 * User space drives it: src/xdp/handover. */
#ifndef EVENKEEL_HANDOVER_H
#define EVENKEEL_HANDOVER_H

#include "conn.h"

enum handover {
	HANDOVER_NONE,
	HANDOVER_OPENS,	 /* the former program opens all connections */
	HANDOVER_KNOWS,	 /* it opens those that it may have already */
	HANDOVER_FINISH, /* it opens none */
	HANDOVER_DONE,
};

/* Most connections that are opened while those before them are copied. */
#define RELAYED_MAX 262144

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(key, __u32);
	__type(value, __u32);
} handover SEC(".maps");

/* Whose connections the former program opened meanwhile: theirs, and those of their templates. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, RELAYED_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(key, struct conn_key);
	__type(value, __u32);
} relayed SEC(".maps");

#ifdef HOOK_TC

/* The former programs, each in its place: enum place. */
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, PLACES);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(key, __u32);
	__type(value, __u32);
} former_at_tc SEC(".maps");

#else

/* The former program. */
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(key, __u32);
	__type(value, __u32);
} former SEC(".maps");

#endif

static __always_inline __u32 handover_phase(void)
{
	__u32 zero = 0, *phase = bpf_map_lookup_elem(&handover, &zero);

	return phase ? *phase : HANDOVER_NONE;
}

/* Whether the former program is to open the connection that a packet could open here. */
__noinline int is_opened_by_former(const struct conn_key *key, const struct conn_key *template)
{
	struct conn_key own, shared;
	__u32 phase = handover_phase(), noted = 1;

	if (!key || !template)
		return 0;
	own = *key;
	shared = *template;
	if (phase == HANDOVER_OPENS) {
		bpf_map_update_elem(&relayed, &own, &noted, BPF_ANY);
		if (shared.template)
			bpf_map_update_elem(&relayed, &shared, &noted, BPF_ANY);
		return 1;
	}
	if (phase != HANDOVER_KNOWS)
		return 0;
	if (bpf_map_lookup_elem(&relayed, &own))
		return 1;
	return shared.template && bpf_map_lookup_elem(&relayed, &shared);
}

#endif
