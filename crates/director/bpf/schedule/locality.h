/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Schedulers that keep a server (lblc), or a set of them (lblcr), for each address that clients ask
 * for. An entry is changed in a draft and written as a whole: of two processors that change one
 * at the same time the later wins, and the other's choice stands for its connection only. */
#ifndef EVENKEEL_SCHEDULE_LOCALITY_H
#define EVENKEEL_SCHEDULE_LOCALITY_H

#include "../clock.h"
#include "../conn.h"
#include "least.h"

#define SET_EXPIRATION (24 * 60 * 60 * SECOND)
#define NOWHERE 0xffffffffU

struct draft_scan {
	__u32 count; /* destinations in the draft */
	__u32 at;    /* where the one was found, or the one to drop */
	struct least least;
};

static __always_inline struct locality *locality_draft(void)
{
	__u32 only = 0;

	return bpf_map_lookup_elem(&locality_drafts, &only);
}

static __always_inline __u32 drafted(__u32 at)
{
	struct locality *draft = locality_draft();

	return draft ? draft->destinations[at & (MEMBERS_MAX - 1)] : 0;
}

/* Kernel: ip_vs_dest_set_min. */
static long least_of_set(__u32 step, struct draft_scan *scan)
{
	__u32 index = drafted(scan->count - 1 - step);
	struct destination *destination = destination_at(index);
	struct load *load = load_at(index);

	if (!destination || !load || !is_available(destination) || !destination->weight)
		return 0;
	if (destination->upper_threshold && is_overloaded(index))
		return 0;
	least_of(&scan->least, index, overhead_of(load), destination->weight);
	return 0;
}

/* Kernel: ip_vs_dest_set_max, which drops full ones and those that left too. */
static long most_of_set(__u32 step, struct draft_scan *scan)
{
	__u32 at = scan->count - 1 - step, index = drafted(at);
	struct destination *destination = destination_at(index);
	struct load *load = load_at(index);
	__u64 overhead;

	if (!destination || !load || !destination->weight)
		return 0;
	overhead = overhead_of(load);
	if (scan->at == NOWHERE ||
	    scan->least.load * destination->weight < overhead * scan->least.share) {
		scan->at = at;
		scan->least.load = overhead;
		scan->least.share = destination->weight;
	}
	return 0;
}

static long find_in_set(__u32 step, struct draft_scan *scan)
{
	if (drafted(step) != scan->least.chosen)
		return 0;
	scan->at = step;
	return 1;
}

static long close_gap(__u32 step, struct draft_scan *scan)
{
	struct locality *draft = locality_draft();
	__u32 to = scan->at + step;

	if (!draft || to + 1 >= scan->count)
		return 1;
	draft->destinations[to & (MEMBERS_MAX - 1)] =
		draft->destinations[(to + 1) & (MEMBERS_MAX - 1)];
	return 0;
}

/* A member with less than half as many active connections as its weight. */
static long bored(__u32 step, struct least *least)
{
	struct member *member = member_at(least->row, step);
	struct load *load;

	if (!member)
		return 1;
	load = load_at(member->destination);
	if (!load || (__u64)load->active * 2 >= (member->weight & ~MEMBER_LIMITED))
		return 0;
	least->chosen = member->destination;
	return 1;
}

/* Kernel: is_overloaded, which is not about the thresholds. */
static __always_inline int has_too_many(const struct service *service, __u32 index)
{
	struct least least = { .row = service->row, .chosen = NOBODY };
	struct destination *destination = destination_at(index);
	struct load *load = load_at(index);

	if (!destination || !load || load->active <= destination->weight)
		return 0;
	bpf_loop(member_steps(service), bored, &least, 0);
	return least.chosen != NOBODY;
}

/* lblc: a full one keeps its addresses, as in the kernel. */
static __always_inline __u32 kept_one(const struct locality *draft)
{
	__u32 index = draft->destinations[0];
	struct destination *destination = destination_at(index);

	if (!draft->count || !destination || !is_available(destination) || !destination->weight)
		return NOBODY;
	return index;
}

/* Takes the destination at `scan->at` out of the set. */
static __always_inline void drop_from_set(struct locality *draft, struct draft_scan *scan)
{
	bpf_loop(MEMBERS_MAX, close_gap, scan, 0);
	draft->count--;
}

/* lblcr: a set of several that did not change for a day shrinks. One scan serves for everything:
 * the stack is short. */
static __noinline __u32
kept_in_set(struct locality *draft, const struct locality_key *where, __u64 now)
{
	struct draft_scan scan = { .count = draft->count, .at = NOWHERE, .least.chosen = NOBODY };
	__u32 steps = scan.count & (2 * MEMBERS_MAX - 1), chosen;

	bpf_loop(steps, least_of_set, &scan, 0);
	chosen = scan.least.chosen;
	if (draft->count < 2 || now <= draft->modified + SET_EXPIRATION)
		return chosen;
	bpf_loop(steps, most_of_set, &scan, 0);
	if (scan.at != NOWHERE) {
		drop_from_set(draft, &scan);
		draft->modified = now;
		bpf_map_update_elem(&localities, where, draft, BPF_ANY);
	}
	return chosen;
}

/* Notes a choice in the draft and writes it. A full table forgets it: the choice stands. */
static __noinline void
keep(struct locality *draft, const struct locality_key *where, __u32 chosen, int replaces)
{
	struct draft_scan scan = { .count = draft->count, .at = NOWHERE, .least.chosen = chosen };

	bpf_loop(scan.count & (2 * MEMBERS_MAX - 1), find_in_set, &scan, 0);
	if (scan.at != NOWHERE)
		return;
	scan.at = 0;
	if (replaces)
		draft->count = 0;
	else if (draft->count >= MEMBERS_MAX)
		drop_from_set(draft, &scan);
	draft->destinations[draft->count & (MEMBERS_MAX - 1)] = chosen;
	draft->count++;
	draft->modified = draft->used;
	bpf_map_update_elem(&localities, where, draft, BPF_ANY);
}

static __noinline __u32
schedule_local(const struct service *service, const struct conn_key *key)
{
	struct wide_address to = widened(key->to);
	struct locality_key where = {
		.address = { to.word[0], to.word[1], to.word[2], to.word[3] },
		.service = service->index,
	};
	struct locality *kept, *draft = locality_draft();
	int single = service->scheduler == SCHEDULE_LBLC;
	__u64 now = coarse_clock();
	__u32 chosen = NOBODY;

	if (!draft)
		return NOBODY;
	draft->count = 0;
	kept = bpf_map_lookup_elem(&localities, &where);
	if (kept) {
		kept->used = now;
		__builtin_memcpy(draft, kept, sizeof(*draft));
		chosen = single ? kept_one(draft) : kept_in_set(draft, &where, now);
	}
	draft->used = now;
	if (chosen != NOBODY && !has_too_many(service, chosen))
		return chosen;
	chosen = schedule_least(service);
	if (chosen != NOBODY)
		keep(draft, &where, chosen, single);
	return chosen;
}

#endif
