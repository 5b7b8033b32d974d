/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The connection table: everything that reads or writes it is in this file, and the rest of the
 * program uses only the functions below.
 *
 * A connection is found under what its packets carry. NAT needs a second entry for the answers
 * (kind REVERSE); it points back with the virtual address. Each direction notes its packets in
 * its own entry; the state is in the forward entry. Persistence templates live here too, under a
 * key no packet has.
 *
 * Counts: the connection is counted at its destination before it is inserted; each change of
 * state is one compare-and-swap, and who wins it moves the counts; removal swaps STATE_DEAD in
 * first, and who wins that settles them. So nothing is counted twice or lost. */
#ifndef EVENKEEL_CONN_H
#define EVENKEEL_CONN_H

#include "maps.h"
#include "states.h"

#define SECOND 1000000000ULL
#define EXISTS (-17)

/* Of a packet: from, to. kind 0 but for templates. */
struct conn_key {
	__be32 from;
	__be32 to;
	__be16 from_port;
	__be16 to_port;
	__u8 protocol;
	__u8 template;
	__u16 unused;
};

enum kind { KIND_FORWARD = 1, KIND_REVERSE = 2, KIND_TEMPLATE = 3 };

struct conn {
	__u64 last_seen; /* CLOCK_MONOTONIC_COARSE */
	__u32 destination;
	__u32 state; /* not of REVERSE */
	__be32 peer; /* forward: the server; reverse: the virtual address */
	__be16 peer_port;
	__u8 kind;
	__u8 forwarding;
	__u32 controlled;       /* template: connections made through it */
	__u32 timeout;          /* template: seconds */
	__be16 template_port;   /* forward: where its template is, if... */
	__u8 template_bits;     /* ... this is not zero */
	__u8 unused[5];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, CONNECTIONS_DEFAULT);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(key, struct conn_key);
	__type(value, struct conn);
} connections SEC(".maps");

static __always_inline __u64 conn_clock(void)
{
	return bpf_ktime_get_coarse_ns();
}

static __always_inline struct conn *conn_find(const struct conn_key *key)
{
	return bpf_map_lookup_elem(&connections, key);
}

static __always_inline void conn_touch(struct conn *conn, __u64 now)
{
	if (conn->last_seen != now)
		conn->last_seen = now;
}

static __always_inline __u64 conn_timeout(const struct conn *conn)
{
	if (conn->kind == KIND_TEMPLATE)
		return conn->timeout * SECOND;
	return timeout_seconds[conn->state & 15] * SECOND;
}

/* The key of the answers to the packets of `key`. */
static __always_inline struct conn_key
conn_reverse_key(const struct conn_key *key, const struct conn *conn)
{
	struct conn_key reverse = {
		.from = conn->peer,
		.to = key->from,
		.from_port = conn->peer_port,
		.to_port = key->from_port,
		.protocol = key->protocol,
	};
	return reverse;
}

/* From a reverse entry back to the forward key. */
static __always_inline struct conn_key
conn_forward_key(const struct conn_key *key, const struct conn *conn)
{
	struct conn_key forward = {
		.from = key->to,
		.to = conn->peer,
		.from_port = key->to_port,
		.to_port = conn->peer_port,
		.protocol = key->protocol,
	};
	return forward;
}

static __always_inline __be32 prefix_mask(__u32 bits)
{
	return bits ? bpf_htonl(0xffffffffU << ((32 - bits) & 31)) : 0;
}

static __always_inline struct conn_key
conn_template_key(const struct conn_key *key, __u32 bits, __be16 port)
{
	struct conn_key template = {
		.from = key->from & prefix_mask(bits),
		.to = key->to,
		.to_port = port,
		.protocol = key->protocol,
		.template = 1,
	};
	return template;
}

static __always_inline void conn_count(const struct conn *conn, __u32 state, __s32 by)
{
	struct load *load = load_at(conn->destination);

	if (!load)
		return;
	if (state == ESTABLISHED)
		__sync_fetch_and_add(&load->active, by);
	else if (state == TEMPLATE)
		__sync_fetch_and_add(&load->templates, by);
	else
		__sync_fetch_and_add(&load->inactive, by);
}

/* A connection came to a destination or left it: whether it takes more of them. Kernel:
 * ip_vs_bind_dest, ip_vs_unbind_dest. */
static __always_inline void conn_weigh(__u32 index, int came)
{
	struct destination *destination = destination_at(index);
	__u32 *overloaded, upper, lower;
	struct load *load;
	__u64 total;

	if (!destination || !destination->upper_threshold)
		return;
	load = load_at(index);
	overloaded = bpf_map_lookup_elem(&overloads, &index);
	if (!load || !overloaded)
		return;
	upper = destination->upper_threshold;
	lower = destination->lower_threshold;
	total = (__u64)load->active + load->inactive;
	if (came) {
		if (total >= upper)
			*overloaded = 1;
	} else if (lower ? total < lower : total * 4 < (__u64)upper * 3) {
		*overloaded = 0;
	}
}

/* A TCP segment passed. */
static __always_inline void conn_step(struct conn *conn, __u32 direction, __u8 flags)
{
	__u32 event = event_of(flags);

	for (int tries = 0; tries < 4; tries++) {
		__u32 old = *(volatile __u32 *)&conn->state;
		__u32 next;

		if (old >= UDP_FLOW)
			return;
		next = state_after(old, direction, event);
		if (next == old)
			return;
		if (__sync_val_compare_and_swap(&conn->state, old, next) != old)
			continue;
		if ((old == ESTABLISHED) != (next == ESTABLISHED)) {
			conn_count(conn, old, -1);
			conn_count(conn, next, 1);
		}
		return;
	}
}

/* Removes a forward entry with what belongs to it, or a template. Returns whether this call did. */
static __noinline int conn_remove(const struct conn_key *key)
{
	struct conn_key other;
	struct conn *conn, *found;
	__u32 state;

	if (!key)
		return 0;
	conn = conn_find(key);
	if (!conn || conn->kind == KIND_REVERSE)
		return 0;
	state = *(volatile __u32 *)&conn->state;
	if (state >= STATE_DEAD ||
	    __sync_val_compare_and_swap(&conn->state, state, STATE_DEAD) != state)
		return 0;
	conn_count(conn, state, -1);
	if (conn->kind == KIND_FORWARD)
		conn_weigh(conn->destination, 0);
	if (conn->kind == KIND_FORWARD && conn->forwarding == FORWARD_NAT) {
		other = conn_reverse_key(key, conn);
		found = conn_find(&other);
		if (found && found->kind == KIND_REVERSE && found->peer == key->to &&
		    found->peer_port == key->to_port)
			bpf_map_delete_elem(&connections, &other);
	}
	if (conn->kind == KIND_FORWARD && conn->template_bits) {
		other = conn_template_key(key, conn->template_bits, conn->template_port);
		found = conn_find(&other);
		if (found && found->controlled && found->destination == conn->destination)
			__sync_fetch_and_add(&found->controlled, -1);
	}
	bpf_map_delete_elem(&connections, key);
	return 1;
}

/* Whether nothing was seen of a connection for as long as its state allows. */
static __always_inline int conn_expired(const struct conn_key *key, struct conn *conn, __u64 now)
{
	__u64 last = conn->last_seen, most = conn_timeout(conn);

	if (now < last + most)
		return 0;
	if (conn->kind == KIND_FORWARD && conn->forwarding == FORWARD_NAT) {
		struct conn_key other = conn_reverse_key(key, conn);
		struct conn *reverse = conn_find(&other);

		if (reverse && reverse->last_seen > last) {
			conn->last_seen = reverse->last_seen;
			return now >= reverse->last_seen + most;
		}
	}
	if (conn->kind == KIND_TEMPLATE && conn->controlled) {
		/* Still in use: armed anew. */
		conn->last_seen = now;
		return 0;
	}
	return 1;
}

/* Removes what stands under a key if its time is over. */
static __noinline int conn_reap(const struct conn_key *key)
{
	struct conn_key other;
	struct conn *conn, *forward;

	if (!key)
		return 0;
	conn = conn_find(key);
	if (!conn)
		return 0;
	if (conn->kind != KIND_REVERSE)
		return conn_expired(key, conn, conn_clock()) ? conn_remove(key) : 0;
	other = conn_forward_key(key, conn);
	forward = conn_find(&other);
	if (forward && forward->peer == key->from && forward->peer_port == key->from_port)
		return 0;
	return bpf_map_delete_elem(&connections, key) == 0;
}

/* Puts the entry of the answers in place. Another live connection may be there: the same client
 * address and port through another virtual address to the same server. */
static __always_inline int
conn_insert_reverse(const struct conn_key *reverse, const struct conn *value, __u64 now)
{
	struct conn_key other;
	struct conn *there, *forward;

	if (!bpf_map_update_elem(&connections, reverse, value, BPF_NOEXIST))
		return 0;
	there = conn_find(reverse);
	if (!there || there->kind != KIND_REVERSE)
		return -1;
	if (there->peer != value->peer || there->peer_port != value->peer_port) {
		other = conn_forward_key(reverse, there);
		forward = conn_find(&other);
		if (forward) {
			if (forward->state != TIME_WAIT && forward->state != CLOSE &&
			    !conn_expired(&other, forward, now))
				return -1;
			conn_remove(&other);
		}
	}
	return bpf_map_update_elem(&connections, reverse, value, BPF_ANY);
}

enum created { CREATED, CREATED_ELSEWHERE, CREATE_FULL, CREATE_CLASH };

/* Creates a connection to `value->destination` and counts it there. */
static __always_inline enum created
conn_create(const struct conn_key *key, const struct conn *value)
{
	long failed;

	conn_count(value, value->state, 1);
	failed = bpf_map_update_elem(&connections, key, value, BPF_NOEXIST);
	if (failed) {
		conn_count(value, value->state, -1);
		return failed == EXISTS ? CREATED_ELSEWHERE : CREATE_FULL;
	}
	if (value->kind == KIND_FORWARD)
		conn_weigh(value->destination, 1);
	if (value->template_bits) {
		struct conn_key template =
			conn_template_key(key, value->template_bits, value->template_port);
		struct conn *found = conn_find(&template);

		if (found && found->destination == value->destination)
			__sync_fetch_and_add(&found->controlled, 1);
	}
	if (value->kind == KIND_FORWARD && value->forwarding == FORWARD_NAT) {
		struct conn_key reverse = conn_reverse_key(key, value);
		struct conn answer = *value;

		answer.kind = KIND_REVERSE;
		answer.state = 0;
		answer.peer = key->to;
		answer.peer_port = key->to_port;
		answer.template_bits = 0;
		if (conn_insert_reverse(&reverse, &answer, value->last_seen)) {
			conn_remove(key);
			return CREATE_CLASH;
		}
	}
	return CREATED;
}

#endif
