/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Takes connections and templates of another layout into our table, by the way that all of them
 * come: so they are counted where they belong, and never twice. Rust's side is
 * src/xdp/handover/arrivals.rs. */
#ifndef EVENKEEL_TAKE_H
#define EVENKEEL_TAKE_H

#include "conn.h"

#define ARRIVES_TEMPLATE 1 /* it is one */
#define ARRIVES_THROUGH 2  /* it was made through one */
#define ARRIVES_CHANGED 4  /* it is here already, in the state `was` unless that changed here */

/* Addresses of IPv4 are mapped into IPv6. */
struct arrival {
	struct wide_address client;
	struct wide_address address;
	struct wide_address template_client;
	__be16 client_port;
	__be16 port;
	__be16 template_port;
	__u8 protocol;
	__u8 state;
	__u8 was;
	__u8 flags;
	__u16 unused;
	__u32 destination;
	__u32 service; /* its index */
	__u32 age; /* ticks since it was last seen; template: seconds until its time is over */
};

#define TAKE_HEADER 16
#define TAKE_MAX 32

/* One being taken: too large for the stack. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct arrival);
} arrivals SEC(".maps");

static __always_inline struct conn_key arrival_key(const struct arrival *arrival)
{
	struct conn_key key = {
		.from = narrowed(&arrival->client),
		.to = narrowed(&arrival->address),
		.from_port = arrival->client_port,
		.to_port = arrival->port,
		.protocol = arrival->protocol,
		.template = arrival->flags & ARRIVES_TEMPLATE ? 1 : 0,
	};
	return key;
}

/* The reference to the template that it was made through, or 0. */
static __noinline __u32 arrival_template(const struct arrival *arrival)
{
	struct conn_key key = {
		.from = narrowed(&arrival->template_client),
		.to = narrowed(&arrival->address),
		.to_port = arrival->template_port,
		.protocol = arrival->protocol,
		.template = 1,
	};
	int number = find_slot(&key);
	struct slot *slot = number ? slot_at(number - 1) : 0;

	return slot ? number | reference_bits(LOOK(slot->tag)) : 0;
}

/* A segment went by the former program after the connection was copied. */
static __noinline int arrival_changed(const struct arrival *arrival)
{
	struct conn_key key = arrival_key(arrival);
	int number = find_slot(&key);
	struct slot *slot = number ? slot_at(number - 1) : 0;
	__u64 old, new;

	if (!slot)
		return 0;
	old = LOOK(slot->word);
	if (is_dead(old) || word_state(old) != arrival->was || !has_key(slot, &key))
		return 0;
	new = old + ((__u64)arrival->state << WORD_STATE_SHIFT) -
	      ((__u64)arrival->was << WORD_STATE_SHIFT);
	if (__sync_val_compare_and_swap(&slot->word, old, new) != old)
		return 0;
	load_count(word_destination(old), arrival->was, -1);
	load_count(word_destination(old), arrival->state, 1);
	return 1;
}

/* Returns whether it is here now. */
__noinline int take(const struct arrival *arrival)
{
	struct conn_request request = {};

	if (!arrival)
		return 0;
	if (arrival->flags & ARRIVES_CHANGED)
		return arrival_changed(arrival);
	request.key = arrival_key(arrival);
	request.destination = arrival->destination;
	request.service = arrival->service;
	request.state = arrival->state & 15;
	request.now = conn_clock();
	if (arrival->flags & ARRIVES_TEMPLATE)
		request.timeout = arrival->age;
	else
		request.now -= arrival->age;
	if (arrival->flags & ARRIVES_THROUGH)
		request.template = arrival_template(arrival);
	switch (conn_create(&request)) {
	case CREATED:
	case CREATED_ELSEWHERE:
		return 1;
	case CREATE_OPEN:
	case CREATE_CLASH:
	case CREATE_FULL:
	case CREATE_RACE:
		break;
	}
	return 0;
}

struct taking {
	frame_t *ctx;
	__u32 count;
	__u32 taken;
};

static long take_one(__u32 step, struct taking *taking)
{
	__u32 zero = 0;
	struct arrival *arrival = bpf_map_lookup_elem(&arrivals, &zero);

	if (step >= taking->count || step >= TAKE_MAX || !arrival)
		return 1;
	if (bpf_xdp_load_bytes(taking->ctx, TAKE_HEADER + step * sizeof(*arrival), arrival,
			       sizeof(*arrival)))
		return 1;
	taking->taken += take(arrival);
	return 0;
}

/* The packet: 16 bytes of which the last four are how many, then those who arrive. */
SEC("xdp")
int evenkeel_take(frame_t *ctx)
{
	struct taking taking = { .ctx = ctx };

	if (bpf_xdp_load_bytes(ctx, TAKE_HEADER - sizeof(__u32), &taking.count, sizeof(__u32)))
		return 0;
	bpf_loop(TAKE_MAX, take_one, &taking, 0);
	return taking.taken;
}

#endif
