/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* How a new connection gets a slot while other processors do the same.
 *
 * Look over every slot where its key may be; swap tag|BUSY into a free one; look again, and only
 * if nobody else is at the same key write the rest and take BUSY off. Of two at the same key the
 * one in the higher slot gives up, and the lower one waits for that. Whoever claims later looks
 * later, and an earlier one is then still BUSY, or there: so no key is twice in the table. All of
 * it is bounded; who has waited too long drops the packet.
 *
 * The order of plain loads and stores is x86's. Other machines need barriers here. */
#ifndef EVENKEEL_CLAIM_H
#define EVENKEEL_CLAIM_H

#include "remove.h"

#define CLAIM_TRIES 8
#define CLAIM_WAIT 256
/* Seconds within which a client or server that means it is heard of again: both repeat themselves
 * after 1, 3 and 7. */
#define HALF_OPEN_GRACE 4

enum created {
	CREATE_OPEN, /* undecided */
	CREATED,
	CREATED_ELSEWHERE,
	CREATE_CLASH, /* the same client talks to that server through another virtual address */
	CREATE_FULL,
	CREATE_RACE,
};

/* Of a packet: from, to. */
struct conn_key {
	address_t from;
	address_t to;
	__be16 from_port;
	__be16 to_port;
	__u8 protocol;
	__u8 template; /* 1 in the key of a template */
	__u16 unused;
};

/* Where a template leads, and the reference to it for connections made through it. */
struct lead {
	__u32 destination;
	__u32 template;
};

/* What a new connection is to be, and how far it got: all of it in one place, for the stack is
 * short. */
struct conn_request {
	union {
		struct conn_key key;
		union addresses addresses; /* its beginning */
	};
	union {
		struct {
			__u32 destination;
			__u32 template; /* reference to its template, or 0 */
		};
		struct lead lead; /* both, as conn_use_template says them */
	};
	__u32 now;
	__u32 timeout; /* template: seconds */
	__u16 service;
	__u8 state;
	__u8 unused;
	/* From here on conn_create's: */
	__be16 server_port; /* NAT: where it is translated to */
	address_t server;
	__u32 slot; /* number of the one claimed or found, plus one */
	__u64 tag;  /* without generation */
	__u64 hash;
};

/* What stands in the slots where a key may be: their numbers plus one. */
struct survey {
	__u32 free;
	__u32 same;
	__u32 clash;
	__u32 rival; /* the lowest that is being written or removed, perhaps under the key */
};

/* Whether a NAT connection has the server that the claim wants. */
static __always_inline int has_server_of(const struct conn_request *claim, __u64 tag, __u64 word)
{
	struct destination *destination;

	if (tag & TAG_FORWARDING || claim->tag & TAG_FORWARDING)
		return 0;
	destination = destination_at(word_destination(word));
	return destination && address_is_equal(server_address(destination), claim->server) &&
	       (destination->port ?: tag_virtual_port(tag)) == claim->server_port;
}

static __always_inline void
survey_slot(struct slot *slot, __u32 number, const struct conn_request *claim, struct survey *survey)
{
	__u64 tag = LOOK(slot->tag), word;
	union addresses addresses;

	if (!(tag & TAG_USED)) {
		if (!survey->free)
			survey->free = number;
		return;
	}
	if ((tag ^ claim->tag) & TAG_CLIENT_SIDE || number == claim->slot)
		return;
	addresses = slot_addresses(slot);
	word = LOOK(slot->word);
	if (tag & TAG_BUSY || is_dead(word) || !same_owner(tag, LOOK(slot->tag))) {
		if (!survey->rival || number < survey->rival)
			survey->rival = number;
		return;
	}
	if (!address_is_equal(addresses.client, claim->addresses.client))
		return;
	if (address_is_equal(addresses.virtual, claim->addresses.virtual) &&
	    !((tag ^ claim->tag) & TAG_VIRTUAL_PORT))
		survey->same = number;
	else if (has_server_of(claim, tag, word))
		survey->clash = number;
}

__noinline int survey_bucket(__u32 index, const struct conn_request *claim, struct survey *survey)
{
	struct bucket *bucket = bucket_at(index);

	if (!bucket || !claim || !survey)
		return 0;
	/* One after the other: that takes a quarter of the stack. */
#pragma clang loop unroll(disable)
	for (__u32 at = 0; at < SLOTS; at++)
		survey_slot(&bucket->slots[at], index * SLOTS + at + 1, claim, survey);
	return 0;
}

/* Whether what is in a slot may be removed because its time is over. A function of its own: what it
 * needs is not there any more when others are looked at. */
__noinline int slot_is_done(struct slot *slot, __u32 now)
{
	return slot && !is_dead(slot_over(slot, now));
}

/* One of a bucket that may go, its number plus one: whose time is over, or, if none is, of those
 * half open for at least `age` ticks the one that waits longest. */
__noinline int bucket_choose(__u32 index, __u32 now, __u32 age)
{
	struct bucket *bucket = bucket_at(index);
	__u32 chosen = 0;

	if (!bucket)
		return 0;
#pragma clang loop unroll(disable)
	for (__u32 at = 0; at < SLOTS; at++) {
		struct slot *slot = &bucket->slots[at];
		__u64 tag = LOOK(slot->tag);
		__s32 since = now - LOOK(slot->seen);

		if (slot_is_done(slot, now))
			return index * SLOTS + at + 1;
		if ((tag & (TAG_USED | TAG_BUSY | TAG_TEMPLATE)) != TAG_USED ||
		    !is_half_open(word_state(LOOK(slot->word))) || since < 0 || (__u32)since < age)
			continue;
		chosen = index * SLOTS + at + 1;
		age = since;
	}
	return chosen;
}

/* Removes that one. Returns whether there was one. */
static __noinline int bucket_make_room(__u32 index, __u32 now, __u32 age)
{
	int number = bucket_choose(index, now, age);
	struct slot *slot = number ? slot_at(number - 1) : 0;
	__u64 word;

	if (!slot)
		return 0;
	word = slot_over(slot, now);
	if (!is_dead(word))
		return slot_remove(slot, word);
	word = slot_word(slot);
	if (!is_half_open(word_state(word)) || !slot_remove(slot, word))
		return 0;
	count(COUNT_replaced_half_open);
	return 1;
}

static __always_inline int is_away(__u32 number)
{
	return number > SLOTS << buckets_log2;
}

/* Swaps tag|BUSY into a free slot. */
static __always_inline void claim_take(struct conn_request *claim, __u32 number, struct slot *home)
{
	struct slot *slot = slot_at(number - 1);
	int away = is_away(number);
	__u64 tag, mine, absent;

	if (!slot)
		return;
	tag = LOOK(slot->tag);
	if (tag & TAG_USED)
		return;
	mine = claim->tag | TAG_BUSY | (tag & ~TAG_OWNERS);
	if (away) {
		/* Counted before it is there: who sees no count need not look. */
		absent = LOOK(home->tag);
		if ((absent & TAG_ABSENT) == TAG_ABSENT ||
		    __sync_val_compare_and_swap(&home->tag, absent, absent + TAG_ABSENT_ONE) !=
			    absent)
			return;
		mine |= TAG_AWAY;
	}
	if (__sync_val_compare_and_swap(&slot->tag, tag, mine) == tag)
		claim->slot = number;
	else if (away)
		__sync_fetch_and_add(&home->tag, -TAG_ABSENT_ONE);
}

/* Gives the slot back. */
static __always_inline void claim_drop(struct conn_request *claim)
{
	struct slot *slot = slot_at(claim->slot - 1);
	__u64 tag;

	if (!claim->slot || !slot)
		return;
	claim->slot = 0;
	tag = LOOK(slot->tag);
	slot_free(slot, tag);
	if (tag & TAG_AWAY)
		come_home(claim->addresses, claim->tag);
}

/* Writes the rest, counts, and shows it. */
static __always_inline void claim_publish(struct conn_request *claim)
{
	struct slot *slot = slot_at(claim->slot - 1);
	__u64 tag;

	if (!slot)
		return;
	tag = LOOK(slot->tag);
	slot->addresses = claim->addresses;
	slot->template = claim->template;
	slot->seen = claim->now;
	if (claim->state == TEMPLATE)
		slot->seen += ticks_of(claim->timeout);
	LOOK(slot->word) = word_of(claim->destination, claim->state, tag, claim->service);
	load_count(claim->destination, claim->state, 1);
	__sync_fetch_and_add(&slot->tag, -TAG_BUSY);
}

/* A connection of the same client and server in the way: it goes if it has ended. */
static __noinline int end_clash(__u32 number, __u32 now)
{
	struct slot *slot = slot_at(number - 1);
	__u64 word;

	if (!slot)
		return 0;
	word = slot_word(slot);
	if (!has_ended(word_state(word)))
		word = slot_over(slot, now);
	return slot_remove(slot, word) || is_dead(LOOK(slot->word));
}

struct waiting {
	struct slot *slot;
	__u64 tag;
};

static long still_the_same(__u32 step, struct waiting *waiting)
{
	return LOOK(waiting->slot->tag) != waiting->tag;
}

/* Waits a while for whoever writes or removes what is in a slot. */
static __noinline int claim_wait(__u32 number)
{
	struct waiting waiting = { .slot = slot_at(number - 1) };

	if (!waiting.slot)
		return 0;
	waiting.tag = LOOK(waiting.slot->tag);
	if (waiting.tag & TAG_BUSY || is_dead(LOOK(waiting.slot->word)))
		bpf_loop(CLAIM_WAIT, still_the_same, &waiting, 0);
	return 0;
}

/* Takes a free slot, or makes room for one. Returns whether to look again. */
static __always_inline int claim_advance(struct conn_request *claim, __u32 free, struct slot *home)
{
	__u32 index = home_of(claim->hash);

	if (free && !is_away(free)) {
		claim_take(claim, free, home);
		return 1;
	}
	if (bucket_make_room(index, claim->now, ticks_of(HALF_OPEN_GRACE)))
		return 1;
	if ((LOOK(home->tag) & TAG_ABSENT) != TAG_ABSENT) {
		if (free) {
			claim_take(claim, free, home);
			return 1;
		}
		for (__u32 at = 0; at < AWAY_BUCKETS; at++)
			if (bucket_make_room(away_of(claim->hash, at), claim->now,
					     ticks_of(HALF_OPEN_GRACE)))
				return 1;
	}
	return bucket_make_room(index, claim->now, 0);
}

/* Looks over all slots once and goes a step further. */
static __always_inline enum created claim_step(struct conn_request *claim)
{
	__u32 index = home_of(claim->hash);
	struct bucket *bucket = bucket_at(index);
	struct survey survey = {};

	if (!bucket)
		return CREATE_RACE;
	survey_bucket(index, claim, &survey);
	if (LOOK(bucket->slots[0].tag) & TAG_ABSENT || (!survey.free && !claim->slot))
		for (__u32 at = 0; at < AWAY_BUCKETS; at++)
			survey_bucket(away_of(claim->hash, at), claim, &survey);
	if (survey.same) {
		claim_drop(claim);
		claim->slot = survey.same;
		return CREATED_ELSEWHERE;
	}
	if (survey.clash) {
		claim_drop(claim);
		return end_clash(survey.clash, claim->now) ? CREATE_OPEN : CREATE_CLASH;
	}
	if (survey.rival) {
		if (survey.rival < claim->slot)
			claim_drop(claim);
		claim_wait(survey.rival);
		return CREATE_OPEN;
	}
	if (claim->slot) {
		claim_publish(claim);
		return CREATED;
	}
	return claim_advance(claim, survey.free, &bucket->slots[0]) ? CREATE_OPEN : CREATE_FULL;
}

/* Whether the home has nobody else of the client's side, here or away. Says which slot is free. */
static __always_inline int
is_alone(const struct conn_request *claim, const struct bucket *home, __u32 *free)
{
	__u64 absent = LOOK(home->slots[0].tag) & TAG_ABSENT;

	for (__u32 at = 0; at < SLOTS; at++) {
		__u64 tag = LOOK(home->slots[at].tag);
		__u32 number = home_of(claim->hash) * SLOTS + at + 1;

		if (!(tag & TAG_USED))
			*free = *free ?: number;
		else if (!((tag ^ claim->tag) & TAG_CLIENT_SIDE) && number != claim->slot)
			return 0;
	}
	return !absent;
}

/* The usual case, at once: nobody of the client's side before and after taking a slot at home. */
static __always_inline enum created claim_alone(struct conn_request *claim)
{
	struct bucket *home = bucket_at(home_of(claim->hash));
	__u32 free = 0;

	if (!home || !is_alone(claim, home, &free) || !free)
		return CREATE_OPEN;
	claim_take(claim, free, &home->slots[0]);
	if (!claim->slot || !is_alone(claim, home, &free))
		return CREATE_OPEN;
	claim_publish(claim);
	return CREATED;
}

static __always_inline enum created claim_slot(struct conn_request *claim)
{
	enum created result = claim_alone(claim);

	for (int tries = 0; tries < CLAIM_TRIES && result == CREATE_OPEN; tries++)
		result = claim_step(claim);
	if (result != CREATE_OPEN)
		return result;
	claim_drop(claim);
	return CREATE_RACE;
}

#endif
