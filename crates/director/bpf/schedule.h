/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Chooses the destination of a new connection, as IPVS's rr, wrr and wlc do. crates/sched is the
 * same in Rust, and the tests hold the two against each other. */
#ifndef EVENKEEL_SCHEDULE_H
#define EVENKEEL_SCHEDULE_H

#include "maps.h"

#define NOBODY 0xffffffffU
#define CURSOR_TRIES 8

/* What a scan carries from member to member. */
struct scan {
	__u32 row;
	__u32 count;
	__u32 at;      /* position of the last member looked at, 1-based; 0 before the first */
	__u32 weight;  /* members below this are passed over */
	__u32 weight_max;
	__u32 weight_gcd;
	__u32 rounds;
	__u32 chosen;  /* destination */
	__u64 least;   /* wlc: its overhead... */
	__u64 divisor; /* ... and weight */
};

static __always_inline struct member *member_at(__u32 row, __u32 position)
{
	struct members *members_row = bpf_map_lookup_elem(&members, &row);

	if (!members_row)
		return 0;
	return &members_row->list[position & (MEMBERS_MAX - 1)];
}

/* Round robin by weight: one round over the members for each step of the current weight from the
 * greatest down by the greatest common divisor; each takes those at or above it. Plain round
 * robin is the case with one step, of weight 1. */
static long next_in_turn(__u32 step, struct scan *scan)
{
	struct member *member;
	__u32 weight;

	if (scan->at >= scan->count) {
		scan->at = 0;
		if (scan->weight <= scan->weight_gcd) {
			scan->weight = scan->weight_max;
			if (++scan->rounds == 2)
				return 1;
		} else {
			scan->weight -= scan->weight_gcd;
		}
	}
	member = member_at(scan->row, scan->at);
	if (!member)
		return 1;
	scan->at++;
	weight = member->weight & ~MEMBER_LIMITED;
	if (weight < scan->weight)
		return 0;
	if (member->weight & MEMBER_LIMITED && is_overloaded(member->destination))
		return 0;
	scan->chosen = member->destination;
	return 1;
}

static long least_loaded(__u32 step, struct scan *scan)
{
	struct member *member = member_at(scan->row, step);
	struct load *load;
	__u64 overhead;
	__u32 weight;

	if (!member)
		return 1;
	weight = member->weight & ~MEMBER_LIMITED;
	if (!weight)
		return 0;
	if (member->weight & MEMBER_LIMITED && is_overloaded(member->destination))
		return 0;
	load = load_at(member->destination);
	if (!load)
		return 0;
	overhead = ((__u64)load->active << 8) + load->inactive;
	if (scan->chosen == NOBODY || scan->least * weight > overhead * scan->divisor) {
		scan->chosen = member->destination;
		scan->least = overhead;
		scan->divisor = weight;
	}
	return 0;
}

static __always_inline __u32 schedule_in_turn(const struct service *service)
{
	__u64 *cursor, old, next;
	__u32 chosen = NOBODY;

	cursor = bpf_map_lookup_elem(&cursors, &service->index);
	if (!cursor)
		return NOBODY;
	for (int tries = 0; tries < CURSOR_TRIES; tries++) {
		struct scan scan = {
			.row = service->row,
			.count = service->count,
			.weight_max = service->scheduler == SCHEDULE_WRR ? service->weight_max : 1,
			.weight_gcd = service->scheduler == SCHEDULE_WRR ? service->weight_gcd : 1,
			.chosen = NOBODY,
		};

		old = *(volatile __u64 *)cursor;
		scan.at = (__u32)old;
		scan.weight = old >> 32;
		if (!scan.weight || scan.weight > scan.weight_max)
			scan.weight = scan.weight_max;
		bpf_loop(2 * MEMBERS_MAX + 2, next_in_turn, &scan, 0);
		chosen = scan.chosen;
		if (chosen == NOBODY)
			return NOBODY;
		next = (__u64)scan.weight << 32 | scan.at;
		if (__sync_val_compare_and_swap(cursor, old, next) == old)
			return chosen;
		count(COUNT_schedule_retries);
	}
	/* Others moved the cursor every time: this choice is as good as any. */
	return chosen;
}

static __always_inline __u32 schedule(const struct service *service)
{
	if (!service->count || !service->weight_max)
		return NOBODY;
	if (service->scheduler == SCHEDULE_WLC) {
		struct scan scan = { .row = service->row, .chosen = NOBODY };

		bpf_loop(service->count & (2 * MEMBERS_MAX - 1), least_loaded, &scan, 0);
		return scan.chosen;
	}
	return schedule_in_turn(service);
}

#endif
