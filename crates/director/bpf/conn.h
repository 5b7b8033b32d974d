/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The connection table, as the rest of the program uses it: nothing else touches what is behind
 * these functions (table.h: where connections are; claim.h: how they come; remove.h: how they go).
 *
 * A connection has one entry, found from the packets of its client (conn_find) and, with NAT, from
 * those of its server (conn_find_answer): by the client's side, then held against the server's
 * address and port. Persistence templates live here too, under a key no packet has.
 *
 * There is one for each family (family.h): they differ in the addresses behind the head of a slot
 * alone. */
#ifndef EVENKEEL_CONN_H
#define EVENKEEL_CONN_H

#include "claim.h"

enum kind { KIND_FORWARD = 1, KIND_REVERSE = 2 };

/* A connection, as a packet found it. */
struct conn {
	struct slot *slot;
	struct destination *server;
	__u64 tag;
	__u64 word;
	__u32 destination;
	address_t peer; /* forward: the server; reverse: the virtual address */
	__be16 peer_port;
	__u8 kind;
	__u8 forwarding;
	__u8 state;
};

static __always_inline __u32 conn_clock(void)
{
	return coarse_clock() >> TICK_SHIFT;
}

static __always_inline __u64 key_tag(const struct conn_key *key)
{
	return key->from_port | (__u64)key->to_port << 16 | (__u64)key->protocol << 32 | TAG_USED |
	       (key->template ? TAG_TEMPLATE : 0);
}

static __always_inline union addresses key_addresses(const struct conn_key *key)
{
	union addresses addresses = { .client = key->from, .virtual = key->to };

	return addresses;
}

/* Of the client's side. */
static __always_inline __u64 conn_key_hash(const struct conn_key *key)
{
	return hash_of(key_addresses(key), key_tag(key));
}

static __always_inline struct conn_key
conn_template_key(const struct conn_key *key, __u32 bits, __be16 port)
{
	struct conn_key template = {
		.from = address_prefix(key->from, bits),
		.to = key->to,
		.to_port = port,
		.protocol = key->protocol,
		.template = 1,
	};
	return template;
}

/* The slot of a key in a bucket, its number plus one. */
static __always_inline int bucket_find(__u32 index, __u64 tag, union addresses addresses)
{
	struct bucket *bucket = bucket_at(index);

	if (!bucket)
		return 0;
	for (__u32 at = 0; at < SLOTS; at++) {
		struct slot *slot = &bucket->slots[at];

		if (!((LOOK(slot->tag) ^ tag) & (TAG_KEY | TAG_BUSY)) &&
		    addresses_are_equal(slot_addresses(slot), addresses))
			return index * SLOTS + at + 1;
	}
	return 0;
}

__noinline int find_away(__u64 hash, __u64 tag, addresses_t passed)
{
	union addresses addresses = passed_addresses(passed);
	int found = 0;

	for (__u32 at = 0; at < AWAY_BUCKETS && !found; at++)
		found = bucket_find(away_of(hash, at), tag, addresses);
	return found;
}

/* Reads the rest of a slot whose tag was `tag`; nothing if it is another's by now, or removed. */
static __always_inline int conn_read(struct conn *conn, struct slot *slot, __u64 tag)
{
	conn->slot = slot;
	conn->tag = tag;
	conn->word = LOOK(slot->word);
	if (is_dead(conn->word) || !same_owner(tag, LOOK(slot->tag)))
		return 0;
	conn->destination = word_destination(conn->word);
	conn->state = word_state(conn->word);
	conn->forwarding = tag_forwarding(tag);
	conn->server = destination_at(conn->destination);
	return conn->server != 0;
}

/* Finds the connection of a client's packet. */
static __always_inline int conn_find(const struct conn_key *key, struct conn *conn)
{
	union addresses addresses = key_addresses(key);
	__u64 want = key_tag(key), hash = hash_of(addresses, want), tag = 0;
	struct bucket *bucket = bucket_at(home_of(hash));
	struct slot *slot = 0;
	int number;

	if (!bucket)
		return 0;
#pragma unroll
	for (int at = 0; at < SLOTS; at++) {
		if (slot)
			break;
		tag = LOOK(bucket->slots[at].tag);
		if (!((tag ^ want) & (TAG_KEY | TAG_BUSY)) &&
		    addresses_are_equal(slot_addresses(&bucket->slots[at]), addresses))
			slot = &bucket->slots[at];
	}
	if (!slot) {
		if (!(LOOK(bucket->slots[0].tag) & TAG_ABSENT))
			return 0;
		number = find_away(hash, want, PASS_ADDRESSES(addresses));
		slot = number ? slot_at(number - 1) : 0;
		if (!slot)
			return 0;
		tag = LOOK(slot->tag);
		if ((tag ^ want) & (TAG_KEY | TAG_BUSY) ||
		    !addresses_are_equal(slot_addresses(slot), addresses))
			return 0;
	}
	if (!conn_read(conn, slot, tag))
		return 0;
	conn->kind = KIND_FORWARD;
	conn->peer = server_address(conn->server);
	conn->peer_port = conn->server->port ?: key->to_port;
	return 1;
}

/* The NAT connection in a bucket that a server's packet belongs to: its slot's number plus one. */
static __noinline int
bucket_find_answer(__u32 index, __u64 tag, addresses_t passed, __be16 from_port)
{
	struct bucket *bucket = bucket_at(index);
	union addresses from = passed_addresses(passed);

	if (!bucket)
		return 0;
	for (__u32 at = 0; at < SLOTS; at++) {
		struct slot *slot = &bucket->slots[at];
		__u64 found = LOOK(slot->tag);
		struct destination *server;

		if ((found ^ tag) & (TAG_CLIENT_SIDE | TAG_BUSY | TAG_FORWARDING) ||
		    !address_is_equal(slot_client(slot), from.client))
			continue;
		server = destination_at(word_destination(LOOK(slot->word)));
		if (server && address_is_equal(server_address(server), from.virtual) &&
		    (server->port ?: tag_virtual_port(found)) == from_port)
			return index * SLOTS + at + 1;
	}
	return 0;
}

/* The same wherever it may be. `from` has the server in the place of the virtual address. */
__noinline int find_answer(__u64 tag, addresses_t passed, __u32 from_port)
{
	union addresses from = passed_addresses(passed);
	__u64 hash = hash_of(from, tag);
	struct bucket *bucket = bucket_at(home_of(hash));
	int found;

	if (!bucket)
		return 0;
	found = bucket_find_answer(home_of(hash), tag, PASS_ADDRESSES(from), from_port);
	if (found || !(LOOK(bucket->slots[0].tag) & TAG_ABSENT))
		return found;
	for (__u32 at = 0; at < AWAY_BUCKETS && !found; at++)
		found = bucket_find_answer(away_of(hash, at), tag, PASS_ADDRESSES(from), from_port);
	return found;
}

/* Finds the connection that the packet of a NAT server belongs to. */
static __always_inline int conn_find_answer(const struct conn_key *key, struct conn *conn)
{
	union addresses from = { .client = key->to, .virtual = key->from };
	__u64 tag = key->to_port | (__u64)key->protocol << 32 | TAG_USED |
		    (__u64)FORWARD_NAT << TAG_FORWARDING_SHIFT;
	int number = find_answer(tag, PASS_ADDRESSES(from), key->from_port);
	struct slot *slot = number ? slot_at(number - 1) : 0;
	union addresses addresses;
	__u64 found;

	if (!slot)
		return 0;
	found = LOOK(slot->tag);
	addresses = slot_addresses(slot);
	if ((found ^ tag) & (TAG_CLIENT_SIDE | TAG_BUSY) || !address_is_equal(addresses.client, key->to) ||
	    !conn_read(conn, slot, found) ||
	    !address_is_equal(server_address(conn->server), key->from))
		return 0;
	conn->kind = KIND_REVERSE;
	conn->peer = addresses.virtual;
	conn->peer_port = tag_virtual_port(found);
	return 1;
}

/* Whether another packet of it was looked at within this tick, and found in order. */
static __always_inline int conn_is_fresh(const struct conn *conn, __u32 now)
{
	return LOOK(conn->slot->seen) == now;
}

static __always_inline void conn_touch(const struct conn *conn, __u32 now)
{
	if (conn->slot->seen != now)
		conn->slot->seen = now;
}

/* Moves a state on: the counts go along, once. */
__noinline int slot_step(struct slot *slot, __u64 old, __u32 direction, __u32 event)
{
	__u32 state, next;
	__u64 new;

	if (!slot)
		return 0;
	for (int tries = 0; tries < 4; tries++) {
		state = word_state(old);
		if (!is_moved(state))
			return 0;
		next = state_after(state, direction, event);
		if (next == state)
			return 0;
		new = old + ((__u64)next << WORD_STATE_SHIFT) - ((__u64)state << WORD_STATE_SHIFT);
		new = __sync_val_compare_and_swap(&slot->word, old, new);
		if (new == old) {
			if (is_active(state) != is_active(next)) {
				load_count(word_destination(old), state, -1);
				load_count(word_destination(old), next, 1);
			}
			return 1;
		}
		/* Another segment was faster, or another connection has the slot by now. */
		if ((new ^ old) & ~WORD_DEAD)
			return 0;
		old = new;
	}
	return 0;
}

/* Whether a TCP segment leaves the state as it is. */
static __always_inline int conn_stays(const struct conn *conn, __u32 direction, __u8 flags)
{
	return tcp_state_after(conn->state, direction, event_of(flags)) == conn->state;
}

/* A packet passed, with its event in TCP or SCTP. */
static __always_inline void conn_step(const struct conn *conn, __u32 direction, __u32 event)
{
	if (is_moved(conn->state) && state_after(conn->state, direction, event) != conn->state)
		slot_step(conn->slot, conn->word, direction, event);
}

static __always_inline __u32 conn_switches(const struct conn *conn)
{
	struct conduct *conduct = conduct_at(word_service(conn->word));

	return conduct ? conduct->switches : 0;
}

/* Removes a connection or template. Returns whether this call did. */
static __always_inline int conn_remove(const struct conn *conn)
{
	__u64 word = LOOK(conn->slot->word);

	if ((word ^ conn->word) & ~WORD_DEAD)
		return 0; /* another one has the slot by now */
	return slot_remove(conn->slot, word);
}

/* Whether nothing was seen of a connection for as long as its state allows. */
static __always_inline int conn_expired(const struct conn *conn, __u32 now)
{
	return slot_is_over(conn->slot, conn->tag, conn->word, now);
}

/* The slot of a key anywhere, its number plus one. */
static __always_inline int find_slot(const struct conn_key *key)
{
	union addresses addresses;
	struct bucket *home;
	__u64 tag, hash;
	int found;

	if (!key)
		return 0;
	addresses = key_addresses(key);
	tag = key_tag(key);
	hash = hash_of(addresses, tag);
	found = bucket_find(home_of(hash), tag, addresses);
	if (found)
		return found;
	home = bucket_at(home_of(hash));
	if (!home || !(LOOK(home->slots[0].tag) & TAG_ABSENT))
		return 0;
	return find_away(hash, tag, PASS_ADDRESSES(addresses));
}

/* Whether a slot whose word was just read has this key still. */
static __always_inline int has_key(const struct slot *slot, const struct conn_key *key)
{
	return !((LOOK(slot->tag) ^ key_tag(key)) & (TAG_KEY | TAG_BUSY)) &&
	       addresses_are_equal(slot_addresses(slot), key_addresses(key));
}

/* Follows the template under a key and begins its time anew. One whose time or server is gone goes
 * too. Returns whether there is one. */
__noinline int
conn_use_template(const struct conn_key *key, __u32 now, const struct service *service,
		  struct lead *lead)
{
	struct destination *server;
	int number = find_slot(key);
	struct slot *slot = number ? slot_at(number - 1) : 0;
	__u64 word;

	if (!slot || !key || !lead || !service)
		return 0;
	word = LOOK(slot->word);
	server = is_dead(word) || !has_key(slot, key) ? 0 : destination_at(word_destination(word));
	if (!server)
		return 0;
	if (!is_available(server) || !is_dead(slot_over(slot, now)) ||
	    (service->switches & SWITCH_EXPIRE_QUIESCENT && !server->weight)) {
		slot_remove(slot, word);
		return 0;
	}
	slot->seen = now + ticks_of(service->persistence_seconds);
	lead->destination = word_destination(word);
	lead->template = number | reference_bits(LOOK(slot->tag));
	return 1;
}

/* Creates a connection or template and counts it at its destination. */
__noinline int conn_create(struct conn_request *request)
{
	struct destination *server;
	struct slot *template;
	enum created result;

	if (!request)
		return CREATE_RACE;
	server = destination_at(request->destination);
	if (!server)
		return CREATE_RACE;
	request->slot = 0;
	request->tag = key_tag(&request->key);
	if (request->state != TEMPLATE)
		request->tag |= (__u64)(server->forwarding & 3) << TAG_FORWARDING_SHIFT;
	request->hash = hash_of(request->addresses, request->tag);
	request->server = server_address(server);
	request->server_port = server->port ?: request->key.to_port;
	template = template_of(request->template, request->destination);
	if (template)
		/* Before it is there, so that the template stays until then. */
		__sync_fetch_and_add(&template->template, 1);
	else
		request->template = 0;
	result = claim_slot(request);
	if (result != CREATED)
		template_leave(request->template, request->destination);
	else if (server->upper_threshold && request->state != TEMPLATE)
		load_weigh(request->destination, 1);
	return result;
}

/* Where the connection goes that another processor made meanwhile. */
static __always_inline __u32 conn_found_destination(const struct conn_request *request)
{
	struct slot *slot = slot_at(request->slot - 1);
	__u64 word;

	if (!slot)
		return DESTINATIONS_MAX;
	word = LOOK(slot->word);
	return is_dead(word) || !has_key(slot, &request->key) ? DESTINATIONS_MAX
							      : word_destination(word);
}

/* Whether connections went without an entry because there was no room at this key. */
static __always_inline int conn_is_stateless(const struct conn_key *key)
{
	struct bucket *home = bucket_at(home_of(conn_key_hash(key)));

	return home && LOOK(home->slots[0].tag) & TAG_STATELESS;
}

/* From now on they do. */
static __always_inline void conn_set_stateless(const struct conn_key *key)
{
	struct bucket *home = bucket_at(home_of(conn_key_hash(key)));

	if (home && !(LOOK(home->slots[0].tag) & TAG_STATELESS))
		__sync_fetch_and_or(&home->slots[0].tag, TAG_STATELESS);
}

/* Removes what is in a slot if its time is over. A home that nobody has any more forgets that
 * there was no room. */
__noinline int conn_reap(__u32 number)
{
	struct slot *slot = slot_at(number);
	struct bucket *home;
	__u64 used = 0, word;

	if (!slot)
		return 0;
	home = bucket_at(home_of(hash_of(slot->addresses, LOOK(slot->tag))));
	word = slot_over(slot, conn_clock());
	if (is_dead(word))
		word = slot_lost(slot);
	if (!home || !remove_here(slot, word))
		return 0;
	for (__u32 at = 0; at < SLOTS; at++)
		used |= LOOK(home->slots[at].tag) & (TAG_USED | TAG_ABSENT);
	if (!used && LOOK(home->slots[0].tag) & TAG_STATELESS)
		__sync_fetch_and_and(&home->slots[0].tag, ~TAG_STATELESS);
	return 1;
}

#endif
