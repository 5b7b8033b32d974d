/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Schedulers that look at every member and take the one with the least load for its share. */
#ifndef EVENKEEL_SCHEDULE_LEAST_H
#define EVENKEEL_SCHEDULE_LEAST_H

#include "members.h"

struct least {
	__u32 row;
	__u32 scheduler;
	__u32 chosen; /* destination */
	__u32 share;  /* of the chosen one */
	__u64 load;
};

/* Of equals the first stays. */
static __always_inline void
least_of(struct least *least, __u32 destination, __u64 load, __u32 share)
{
	if (least->chosen == NOBODY || least->load * share > load * least->share) {
		least->chosen = destination;
		least->load = load;
		least->share = share;
	}
}

static long least_loaded(__u32 step, struct least *least)
{
	struct member *member = member_at(least->row, step);
	struct load *load;
	__u32 weight;

	if (!member)
		return 1;
	weight = open_weight(member);
	if (!weight)
		return 0;
	load = load_at(member->destination);
	if (!load)
		return 0;
	switch (least->scheduler) {
	case SCHEDULE_LC:
		least_of(least, member->destination, overhead_of(load), 1);
		return 0;
	case SCHEDULE_NQ:
		if (!load->active) {
			least->chosen = member->destination;
			return 1;
		}
		least_of(least, member->destination, (__u64)load->active + 1, weight);
		return 0;
	case SCHEDULE_SED:
		least_of(least, member->destination, (__u64)load->active + 1, weight);
		return 0;
	case SCHEDULE_OVF:
		if (load->active <= weight)
			least_of(least, member->destination, 1, weight);
		return 0;
	case SCHEDULE_FO:
		least_of(least, member->destination, 1, weight);
		return 0;
	}
	least_of(least, member->destination, overhead_of(load), weight);
	return 0;
}

static __noinline __u32 schedule_least(const struct service *service)
{
	struct least least = {
		.row = service->row,
		.scheduler = service->scheduler,
		.chosen = NOBODY,
	};

	bpf_loop(member_steps(service), least_loaded, &least, 0);
	return least.chosen;
}

/* twos: two members drawn by weight. */
struct draw {
	__u32 row;
	__u32 last;  /* destination that may be chosen */
	__u32 total; /* of the weights: 256 of 65535 at most */
	__u32 rest[2];
	__u32 drawn[2];
	__u32 weight[2];
	__u64 load[2];
};

static long add_weight(__u32 step, struct draw *draw)
{
	struct member *member = member_at(draw->row, step);
	__u32 weight;

	if (!member)
		return 1;
	weight = open_weight(member);
	if (weight) {
		draw->total += weight;
		draw->last = member->destination;
	}
	return 0;
}

static __always_inline void
draw_one(struct draw *draw, int which, const struct member *member, __u32 weight)
{
	struct load *load;

	if (draw->drawn[which] != NOBODY)
		return;
	if (draw->rest[which] > weight) {
		draw->rest[which] -= weight;
		return;
	}
	load = load_at(member->destination);
	draw->drawn[which] = member->destination;
	draw->weight[which] = weight;
	draw->load[which] = load ? overhead_of(load) : 0;
}

static long draw_two(__u32 step, struct draw *draw)
{
	struct member *member = member_at(draw->row, step);
	__u32 weight;

	if (!member)
		return 1;
	weight = open_weight(member);
	if (!weight)
		return 0;
	draw_one(draw, 0, member, weight);
	draw_one(draw, 1, member, weight);
	return draw->drawn[0] != NOBODY && draw->drawn[1] != NOBODY;
}

/* SplitMix64: the state is a sum, so that two processors never draw the same. */
static __always_inline __u64 next_random(__u64 *state)
{
	const __u64 step = 0x9e3779b97f4a7c15ULL;
	__u64 mixed = __sync_fetch_and_add(state, step) + step;

	mixed = (mixed ^ mixed >> 30) * 0xbf58476d1ce4e5b9ULL;
	mixed = (mixed ^ mixed >> 27) * 0x94d049bb133111ebULL;
	return mixed ^ mixed >> 31;
}

static __noinline __u32 schedule_two_choices(const struct service *service)
{
	struct draw draw = {
		.row = service->row,
		.last = NOBODY,
		.drawn = { NOBODY, NOBODY },
	};
	__u32 index = service->index; /* Linux 6.1 takes keys from the stack or a map only */
	__u64 *state = bpf_map_lookup_elem(&cursors, &index);
	__u64 random;

	if (!state)
		return NOBODY;
	bpf_loop(member_steps(service), add_weight, &draw, 0);
	if (draw.last == NOBODY)
		return NOBODY;
	random = next_random(state);
	draw.rest[0] = (random & 0xffffffff) * (draw.total + 1ULL) >> 32;
	draw.rest[1] = (random >> 32) * (draw.total + 1ULL) >> 32;
	bpf_loop(member_steps(service), draw_two, &draw, 0);
	if (draw.drawn[0] == NOBODY || draw.drawn[1] == NOBODY)
		return draw.last; /* one of them became full meanwhile */
	if (draw.load[0] * draw.weight[1] > draw.load[1] * draw.weight[0])
		return draw.drawn[1];
	return draw.drawn[0];
}

#endif
