/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Schedulers that look an address up in a table made by user space. The constants are the kernel's:
 * whoever has the same servers chooses the same. */
#ifndef EVENKEEL_SCHEDULE_SLOTS_H
#define EVENKEEL_SCHEDULE_SLOTS_H

#include "../conn.h"
#include "members.h"

#define HASH_SLOTS 256
#define MAGLEV_SLOTS 4093
#define MAGLEV_KEY 2654435761ULL
#define GOLDEN_RATIO_32 0x61c88647U

struct search {
	__u32 row;
	__u32 count;
	__u32 table;
	__u32 value; /* what is hashed */
	__u32 first; /* its hash */
	__u32 chosen;
};

static __always_inline __u32 multiplied(__u32 value)
{
	return value * GOLDEN_RATIO_32 >> 24;
}

static __always_inline __u64 rotated(__u64 value, int by)
{
	return value << by | value >> (64 - by);
}

static __always_inline void sip_round(__u64 *v0, __u64 *v1, __u64 *v2, __u64 *v3)
{
	*v0 += *v1;
	*v1 = rotated(*v1, 13) ^ *v0;
	*v0 = rotated(*v0, 32);
	*v2 += *v3;
	*v3 = rotated(*v3, 16) ^ *v2;
	*v0 += *v3;
	*v3 = rotated(*v3, 21) ^ *v0;
	*v2 += *v1;
	*v1 = rotated(*v1, 17) ^ *v2;
	*v2 = rotated(*v2, 32);
}

/* SipHash-1-3 of one number under a key of twice the same word: the kernel's hsiphash. */
static __always_inline __u32 sip_hash(__u32 value, __u64 key)
{
	__u64 v0 = 0x736f6d6570736575ULL ^ key, v1 = 0x646f72616e646f6dULL ^ key;
	__u64 v2 = 0x6c7967656e657261ULL ^ key, v3 = 0x7465646279746573ULL ^ key;
	__u64 block = 4ULL << 56 | value;

	v3 ^= block;
	sip_round(&v0, &v1, &v2, &v3);
	v0 ^= block;
	v2 ^= 0xff;
	sip_round(&v0, &v1, &v2, &v3);
	sip_round(&v0, &v1, &v2, &v3);
	sip_round(&v0, &v1, &v2, &v3);
	return v0 ^ v1 ^ v2 ^ v3;
}

/* The destination in a slot, if it may be chosen now. */
static __always_inline __u32 in_slot(__u32 row, __u32 count, __u32 table, __u32 slot)
{
	struct slot_table *found = bpf_map_lookup_elem(&tables, &table);
	struct member *member;
	__u32 position;

	if (!found)
		return NOBODY;
	/* The compiler may know that it is less; the verifier does not. */
	asm volatile("" : "+r"(slot));
	position = found->member[slot & (SLOTS_MAX - 1)];
	if (position >= count)
		return NOBODY;
	member = member_at(row, position);
	return member && open_weight(member) ? member->destination : NOBODY;
}

static __always_inline __u32 client_value(const struct service *service, const struct conn_key *key)
{
	__u32 port = service->hash_flags & HASH_PORT ? bpf_ntohs(key->from_port) : 0;

	return address_folded(key->from) + port;
}

static long any_open(__u32 step, struct search *search)
{
	struct member *member = member_at(search->row, step);

	if (member && open_weight(member))
		search->chosen = 0;
	return search->chosen != NOBODY;
}

static long search_source(__u32 step, struct search *search)
{
	/* From the client's own slot on, once round, counted from there again. */
	__u32 slot = (step + search->first) % HASH_SLOTS + search->first;

	search->chosen = in_slot(search->row, search->count, search->table, slot % HASH_SLOTS);
	return search->chosen != NOBODY;
}

static long search_maglev(__u32 step, struct search *search)
{
	__u32 offset = (step + search->first) % MAGLEV_SLOTS;
	__u32 slot = sip_hash(offset + search->value, MAGLEV_KEY) % MAGLEV_SLOTS;

	search->chosen = in_slot(search->row, search->count, search->table, slot);
	return search->chosen != NOBODY;
}

/* Whether a search can find anybody: a service that is full as a whole is not worth 4093 hashes. */
static __always_inline int worth_a_search(const struct service *service, struct search *search)
{
	search->chosen = NOBODY;
	bpf_loop(member_steps(service), any_open, search, 0);
	return search->chosen != NOBODY;
}

static __noinline __u32
schedule_by_destination(const struct service *service, const struct conn_key *key)
{
	return in_slot(service->row, service->count, service->table,
		       multiplied(address_folded(key->to)));
}

static __noinline __u32
schedule_by_source(const struct service *service, const struct conn_key *key)
{
	struct search search = {
		.row = service->row,
		.count = service->count,
		.table = service->table,
		.first = multiplied(client_value(service, key)),
	};
	__u32 chosen = in_slot(search.row, search.count, search.table, search.first);

	if (chosen != NOBODY || !(service->hash_flags & HASH_FALLBACK))
		return chosen;
	if (!worth_a_search(service, &search))
		return NOBODY;
	bpf_loop(HASH_SLOTS, search_source, &search, 0);
	return search.chosen;
}

static __noinline __u32
schedule_maglev(const struct service *service, const struct conn_key *key)
{
	struct search search = {
		.row = service->row,
		.count = service->count,
		.table = service->table,
		.value = client_value(service, key),
	};
	__u32 chosen;

	search.first = sip_hash(search.value, MAGLEV_KEY) % MAGLEV_SLOTS;
	chosen = in_slot(search.row, search.count, search.table, search.first);
	if (chosen != NOBODY || !(service->hash_flags & HASH_FALLBACK))
		return chosen;
	if (!worth_a_search(service, &search))
		return NOBODY;
	bpf_loop(MAGLEV_SLOTS, search_maglev, &search, 0);
	return search.chosen;
}

#endif
