/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The places of connections: an array of buckets of four slots, two cache lines each. Rust's side
 * is src/xdp/slots.rs.
 *
 * A connection lives in its home bucket, which follows from its client's side alone, so that
 * requests and answers look into the same one. When that is full it lives away, in one of four
 * buckets in the last ninth of the array; the home's first tag counts how many do. A slot's tag says whose it is and is changed by compare-and-swap or addition only; its word
 * says where the connection is counted. */
#ifndef EVENKEEL_TABLE_H
#define EVENKEEL_TABLE_H

#include "clock.h"
#include "maps.h"
#include "states.h"

#define SLOTS 4
#define AWAY_BUCKETS 4

/* Client's port: 16 bits, virtual port: 16, protocol: 8, then: */
#define TAG_CLIENT_PORT 0xffffULL
#define TAG_VIRTUAL_PORT (0xffffULL << 16)
#define TAG_PROTOCOL (0xffULL << 32)
#define TAG_USED (1ULL << 40)
#define TAG_BUSY (1ULL << 41) /* its owner is writing the rest */
#define TAG_TEMPLATE (1ULL << 42)
#define TAG_AWAY (1ULL << 43)
#define TAG_FORWARDING_SHIFT 44 /* 2 bits */
#define TAG_FORWARDING (3ULL << TAG_FORWARDING_SHIFT)
/* Of the bucket, in its first slot: */
#define TAG_STATELESS (1ULL << 46) /* connections went through it without an entry */
#define TAG_ABSENT_SHIFT 47        /* 4 bits: how many live away */
#define TAG_ABSENT_ONE (1ULL << TAG_ABSENT_SHIFT)
#define TAG_ABSENT (15ULL << TAG_ABSENT_SHIFT)
#define TAG_OF_BUCKET (TAG_STATELESS | TAG_ABSENT)
/* How often the slot was given away: 13 bits, above all others, so that it may overflow. */
#define TAG_GENERATION_SHIFT 51
#define TAG_GENERATION_ONE (1ULL << TAG_GENERATION_SHIFT)
#define TAG_GENERATION (~0ULL << TAG_GENERATION_SHIFT)
#define TAG_OWNERS (~(TAG_OF_BUCKET | TAG_GENERATION))

#define TAG_CLIENT_SIDE (TAG_CLIENT_PORT | TAG_PROTOCOL | TAG_USED | TAG_TEMPLATE)
#define TAG_KEY (TAG_CLIENT_SIDE | TAG_VIRTUAL_PORT)

/* A word: destination: 32 bits, state: 8, low bits of the generation: 8, service: 16. */
#define WORD_STATE_SHIFT 32
#define WORD_GENERATION_SHIFT 40
#define WORD_SERVICE_SHIFT 48
#define WORD_DEAD (0xffULL << WORD_STATE_SHIFT)

/* A reference to a template: the number of its slot plus one, and bits of its generation. */
#define REFERENCE_SLOT ((1U << 26) - 1)

#define LOOK(field) (*(volatile typeof(field) *)&(field))

union addresses {
	struct {
		address_t client;
		address_t virtual;
	};
#if FAMILY == 4
	__u64 both;
#endif
};

struct slot {
	PADDING
	__u64 tag;
	__u64 word;
	__u32 template; /* reference to its template; in a template: connections made through it */
	__u32 seen;     /* ticks: the last packet; in a template: when its time is over */
	union addresses addresses;
#if FAMILY == 6
	__u64 unused;
#endif
};

_Static_assert(sizeof(struct slot) == (FAMILY == 4 ? 32 : 64) + PADDED, "no slot in two cache lines");

struct bucket {
	struct slot slots[SLOTS];
};

/* 1 << buckets_log2 homes, then an eighth as many for those away. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, (1 << 5) + (1 << 2));
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(key, __u32);
	__type(value, struct bucket);
} connections SEC(".maps");

/* Ticks without a packet after which a connection's time is over, by state. */
struct timeouts {
	__u32 ticks[STATE_NUMBERS];
	__u32 own; /* some service has its own: they are in `conducts` */
	__u32 unused[3];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(key, __u32);
	__type(value, struct timeouts);
} timeouts SEC(".maps");

/* Set before loading. */
const volatile __u64 hash_seed = 0x9e3779b97f4a7c15ULL;
const volatile __u32 buckets_log2 = 5;

/* 2^21 ns of CLOCK_MONOTONIC_COARSE, modulo 2^32: times apart by less than 52 days compare. */
#define TICK_SHIFT 21

static __always_inline __u32 ticks_of(__u64 seconds)
{
	return seconds * SECOND >> TICK_SHIFT;
}

static __always_inline __u32 word_destination(__u64 word)
{
	return word;
}

static __always_inline __u32 word_state(__u64 word)
{
	return word >> WORD_STATE_SHIFT & 0xff;
}

static __always_inline __u32 word_service(__u64 word)
{
	return word >> WORD_SERVICE_SHIFT;
}

static __always_inline int is_dead(__u64 word)
{
	return (word & WORD_DEAD) == WORD_DEAD;
}

static __always_inline __u64 word_of(__u32 destination, __u32 state, __u64 tag, __u32 service)
{
	return destination | (__u64)state << WORD_STATE_SHIFT |
	       (tag >> TAG_GENERATION_SHIFT & 0xff) << WORD_GENERATION_SHIFT |
	       (__u64)service << WORD_SERVICE_SHIFT;
}

static __always_inline __u32 tag_forwarding(__u64 tag)
{
	return (tag & TAG_FORWARDING) >> TAG_FORWARDING_SHIFT;
}

static __always_inline __be16 tag_virtual_port(__u64 tag)
{
	return tag >> 16;
}

#if FAMILY == 4

/* Two addresses as functions get them that are verified on their own. */
typedef __u64 addresses_t;
#define PASS_ADDRESSES(addresses) ((addresses).both)

static __always_inline union addresses passed_addresses(addresses_t passed)
{
	union addresses addresses = { .both = passed };

	return addresses;
}

/* Of a slot, which others may be writing: the tag says whether what was read is whole. */
static __always_inline union addresses slot_addresses(const struct slot *slot)
{
	union addresses addresses = { .both = LOOK(slot->addresses.both) };

	return addresses;
}

static __always_inline address_t slot_client(const struct slot *slot)
{
	return LOOK(slot->addresses.client);
}

static __always_inline int addresses_are_equal(union addresses one, union addresses other)
{
	return one.both == other.both;
}

static __always_inline __u64 address_mixed(address_t address)
{
	return (__u64)address << 32;
}

static __always_inline __u64 address_spread(address_t address)
{
	return address;
}

#else

typedef const union addresses *addresses_t;
#define PASS_ADDRESSES(addresses) (&(addresses))

static __always_inline union addresses passed_addresses(addresses_t passed)
{
	union addresses none = {};

	return passed ? *passed : none;
}

static __always_inline address_t address_looked_at(const address_t *address)
{
	const __u64 *halves = (const __u64 *)address;

	return address_of_halves(LOOK(halves[0]), LOOK(halves[1]));
}

static __always_inline union addresses slot_addresses(const struct slot *slot)
{
	union addresses addresses = {
		.client = address_looked_at(&slot->addresses.client),
		.virtual = address_looked_at(&slot->addresses.virtual),
	};

	return addresses;
}

static __always_inline address_t slot_client(const struct slot *slot)
{
	return address_looked_at(&slot->addresses.client);
}

static __always_inline int addresses_are_equal(union addresses one, union addresses other)
{
	return address_is_equal(one.client, other.client) &&
	       address_is_equal(one.virtual, other.virtual);
}

/* Both halves by the seed, so that nobody outside knows which addresses meet. */
static __always_inline __u64 address_mixed(address_t address)
{
	__u64 mixed = (half_of(address, 0) ^ hash_seed) * 0x9e3779b97f4a7c15ULL;

	mixed = (mixed ^ mixed >> 32 ^ half_of(address, 1)) * (hash_seed | 1);
	return (mixed ^ mixed >> 32) << 24;
}

static __always_inline __u64 address_spread(address_t address)
{
	return address_mixed(address) >> 24;
}

#endif

/* Of the client's side; of everything for a template, since many share a client. */
static __always_inline __u64 hash_of(union addresses addresses, __u64 tag)
{
	__u64 hash = address_mixed(addresses.client) | (__u64)(__u16)tag << 8 | (__u8)(tag >> 32);

	if (tag & TAG_TEMPLATE)
		hash ^= (address_spread(addresses.virtual) ^
			 (__u64)tag_virtual_port(tag) << 32) *
			0x9e3779b97f4a7c15ULL;
	hash = (hash ^ 0x2545f4914f6cdd1dULL) * (hash_seed | 1);
	hash ^= hash >> 32;
	return hash * 0xd6e8feb86659fd93ULL;
}

static __always_inline __u32 home_of(__u64 hash)
{
	return hash >> (64 - buckets_log2);
}

/* One of the AWAY_BUCKETS for those whose home is full. They stand far apart: side by side, those
 * of several full homes would run into each other long before all are full. */
static __always_inline __u32 away_of(__u64 hash, __u32 number)
{
	__u32 most = (1U << (buckets_log2 - 3)) - 1;

	hash = (hash + number * 0x2545f4914f6cdd1dULL) * 0x9e3779b97f4a7c15ULL;
	return (1U << buckets_log2) + (hash >> 40 & most);
}

static __always_inline struct bucket *bucket_at(__u32 index)
{
	return bpf_map_lookup_elem(&connections, &index);
}

static __always_inline struct slot *slot_at(__u32 number)
{
	struct bucket *bucket = bucket_at(number / SLOTS);

	if (!bucket)
		return 0;
	/* The verifier wants the sum after the test. */
	asm volatile("" : "+r"(bucket));
	return &bucket->slots[number % SLOTS];
}

/* Whether two tags are of the same owner, the same time. */
static __always_inline int same_owner(__u64 one, __u64 other)
{
	return !((one ^ other) & ~TAG_OF_BUCKET);
}

/* Gives a slot back that is ours by BUSY or by the end of its word. */
static __always_inline void slot_free(struct slot *slot, __u64 tag)
{
	__sync_fetch_and_add(&slot->tag, TAG_GENERATION_ONE - (tag & TAG_OWNERS));
}

/* One less lives away from the home of these. */
static __always_inline void come_home(union addresses addresses, __u64 tag)
{
	struct bucket *home = bucket_at(home_of(hash_of(addresses, tag)));

	if (home)
		__sync_fetch_and_add(&home->slots[0].tag, -TAG_ABSENT_ONE);
}

static __always_inline struct conduct *conduct_at(__u32 service)
{
	return bpf_map_lookup_elem(&conducts, &service);
}

static __always_inline __u32 timeout_of(__u64 word)
{
	__u32 zero = 0, state = word_state(word) & (STATE_NUMBERS - 1);
	struct timeouts *all = bpf_map_lookup_elem(&timeouts, &zero);
	struct conduct *conduct;

	if (!all)
		return 0;
	if (all->own) {
		conduct = conduct_at(word_service(word));
		if (conduct && conduct->ticks[state])
			return conduct->ticks[state];
	}
	return all->ticks[state];
}

/* Whether nothing was seen of it for as long as its state allows. */
static __always_inline int slot_is_over(struct slot *slot, __u64 tag, __u64 word, __u32 now)
{
	__s32 since = now - LOOK(slot->seen);

	if (since < 0)
		return 0;
	return tag & TAG_TEMPLATE ? 1 : (__u32)since >= timeout_of(word);
}

#endif
