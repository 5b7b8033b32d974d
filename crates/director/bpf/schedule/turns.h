/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Round robin, plain and by weight. */
#ifndef EVENKEEL_SCHEDULE_TURNS_H
#define EVENKEEL_SCHEDULE_TURNS_H

#include "members.h"

#define CURSOR_TRIES 8

struct turn {
	__u32 row;
	__u32 from;     /* where this round begins */
	__u32 at;       /* position of the last member looked at, 1-based; 0 before the first */
	__u32 weight;   /* members below this are passed over */
	__u32 greatest; /* weight of a member of this round that may be chosen */
	__u32 chosen;   /* destination */
};

/* Takes the next member at or above the current weight. */
static long next_in_turn(__u32 step, struct turn *turn)
{
	__u32 position = turn->from + step;
	struct member *member = member_at(turn->row, position);
	__u32 weight;

	if (!member)
		return 1;
	weight = open_weight(member);
	if (weight > turn->greatest)
		turn->greatest = weight;
	if (!weight || weight < turn->weight)
		return 0;
	turn->at = position + 1;
	turn->chosen = member->destination;
	return 1;
}

static __always_inline int go_round(struct turn *turn, __u32 from, __u32 count)
{
	turn->from = from;
	turn->greatest = 0;
	bpf_loop((count - from) & (2 * MEMBERS_MAX - 1), next_in_turn, turn, 0);
	return turn->chosen != NOBODY;
}

/* One round over the members for each step of the current weight from the greatest down by the
 * greatest common divisor. Plain round robin is the case with one step, of weight 1. */
static __noinline void take_turn(struct turn *turn, const struct service *service, int by_weight)
{
	__u32 step = by_weight ? service->weight_gcd : 1;
	__u32 count = service->count, down;

	if (turn->at) {
		if (turn->at < count && go_round(turn, turn->at, count))
			return;
		if (turn->weight > step)
			turn->weight -= step;
		else
			turn->weight = by_weight ? service->weight_max : 1;
	}
	if (go_round(turn, 0, count) || !turn->greatest)
		return;
	/* Nobody in a whole round: the rounds down to the first in which somebody has a turn are
	 * left out, for they would find nobody either. */
	if (turn->weight <= turn->greatest || !step)
		return; /* the members changed meanwhile */
	down = (turn->weight - turn->greatest + step - 1) / step * step;
	turn->weight = turn->weight > down ? turn->weight - down : 1;
	go_round(turn, 0, count);
}

static __noinline __u32 schedule_in_turn(const struct service *service)
{
	int by_weight = service->scheduler == SCHEDULE_WRR;
	__u32 weight_max = by_weight ? service->weight_max : 1;
	__u64 *cursor, old, next;
	__u32 chosen = NOBODY, index;

	index = service->index; /* Linux 6.1 takes keys from the stack or a map only */
	cursor = bpf_map_lookup_elem(&cursors, &index);
	if (!cursor)
		return NOBODY;
	for (int tries = 0; tries < CURSOR_TRIES; tries++) {
		struct turn turn = { .row = service->row, .chosen = NOBODY };

		old = *(volatile __u64 *)cursor;
		turn.at = (__u32)old;
		turn.weight = old >> 32;
		if (!turn.weight || turn.weight > weight_max)
			turn.weight = weight_max;
		/* When all are full, wrr begins again, except in the last of its rounds. */
		next = (__u64)weight_max << 32;
		if (turn.at && turn.weight <= service->weight_gcd)
			next = old;
		take_turn(&turn, service, by_weight);
		chosen = turn.chosen;
		if (chosen != NOBODY)
			next = (__u64)turn.weight << 32 | turn.at;
		else if (!by_weight)
			return NOBODY;
		if (__sync_val_compare_and_swap(cursor, old, next) == old)
			return chosen;
		count(COUNT_schedule_retries);
	}
	/* Others moved the cursor every time: this choice is as good as any. */
	return chosen;
}

#endif
