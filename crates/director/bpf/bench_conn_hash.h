/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* For the benchmark alone: the functions of conn.h over the kernel's hash map, two entries for a
 * NAT connection, as Evenkeel had it before its own table. Without persistence and sweep, which
 * the benchmark does not use. */
#ifndef EVENKEEL_CONN_H
#define EVENKEEL_CONN_H

#include "clock.h"
#include "loads.h"
#include "maps.h"
#include "states.h"

#define EXISTS (-17)
#define STATE_DEAD 0x100

struct conn_key {
	__be32 from;
	__be32 to;
	__be16 from_port;
	__be16 to_port;
	__u8 protocol;
	__u8 template;
	__u16 unused;
};

enum kind { KIND_FORWARD = 1, KIND_REVERSE = 2 };

struct entry {
	__u32 last_seen;
	__u32 padding;
	__u32 destination;
	__u32 state; /* not of REVERSE */
	__be32 peer; /* forward: the server; reverse: the virtual address */
	__be16 peer_port;
	__u8 kind;
	__u8 forwarding;
	__u64 unused[2];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, struct conn_key);
	__type(value, struct entry);
} kernel_hash SEC(".maps");

struct conn {
	struct entry *entry;
	struct destination *server;
	struct conn_key key;
	__u32 destination;
	__be32 peer;
	__be16 peer_port;
	__u8 kind;
	__u8 forwarding;
	__u8 state;
};

struct lead {
	__u32 destination;
	__u32 template;
};

struct conn_request {
	struct conn_key key;
	union {
		struct {
			__u32 destination;
			__u32 template;
		};
		struct lead lead;
	};
	__u32 now;
	__u32 timeout;
	__u16 service;
	__u8 state;
};

enum created {
	CREATE_OPEN,
	CREATED,
	CREATED_ELSEWHERE,
	CREATE_CLASH,
	CREATE_FULL,
	CREATE_RACE,
};

static const __u32 timeout_seconds[16] = {
	[NONE] = 2, [ESTABLISHED] = 900, [SYN_SENT] = 120, [SYN_RECV] = 60, [FIN_WAIT] = 120,
	[TIME_WAIT] = 120, [CLOSE] = 10, [CLOSE_WAIT] = 60, [LAST_ACK] = 30, [LISTEN] = 120,
	[SYNACK] = 120, [UDP_FLOW] = 300,
};

/* 2^21 ns. */
static __always_inline __u32 conn_clock(void)
{
	return coarse_clock() >> 21;
}

static __always_inline __u64 conn_key_hash(const struct conn_key *key)
{
	return key->from;
}

static __always_inline struct conn_key
conn_template_key(const struct conn_key *key, __u32 bits, __be16 port)
{
	return *key;
}

static __always_inline struct conn_key
reverse_key(const struct conn_key *key, const struct entry *entry)
{
	struct conn_key reverse = {
		.from = entry->peer,
		.to = key->from,
		.from_port = entry->peer_port,
		.to_port = key->from_port,
		.protocol = key->protocol,
	};
	return reverse;
}

static __always_inline int
find_kind(const struct conn_key *key, struct conn *conn, enum kind kind)
{
	struct entry *entry = bpf_map_lookup_elem(&kernel_hash, key);

	if (!entry || entry->kind != kind)
		return 0;
	conn->entry = entry;
	conn->key = *key;
	conn->destination = entry->destination;
	conn->state = entry->state;
	conn->peer = entry->peer;
	conn->peer_port = entry->peer_port;
	conn->kind = kind;
	conn->forwarding = entry->forwarding;
	conn->server = destination_at(entry->destination);
	return conn->server != 0;
}

static __always_inline int conn_find(const struct conn_key *key, struct conn *conn)
{
	return find_kind(key, conn, KIND_FORWARD);
}

static __always_inline int conn_find_answer(const struct conn_key *key, struct conn *conn)
{
	return find_kind(key, conn, KIND_REVERSE);
}

static __always_inline int conn_is_fresh(const struct conn *conn, __u32 now)
{
	return conn->entry->last_seen == now;
}

static __always_inline void conn_touch(const struct conn *conn, __u32 now)
{
	if (conn->entry->last_seen != now)
		conn->entry->last_seen = now;
}

static __always_inline int conn_stays(const struct conn *conn, __u32 direction, __u8 flags)
{
	return state_after(conn->state, direction, event_of(flags)) == conn->state;
}

static __always_inline __u32 conn_switches(const struct conn *conn)
{
	return SWITCH_REUSE;
}

static __always_inline void conn_step(const struct conn *conn, __u32 direction, __u32 event)
{
	for (int tries = 0; tries < 4; tries++) {
		__u32 old = *(volatile __u32 *)&conn->entry->state;
		__u32 next;

		if (!is_moved(old))
			return;
		next = state_after(old, direction, event);
		if (next == old)
			return;
		if (__sync_val_compare_and_swap(&conn->entry->state, old, next) != old)
			continue;
		if ((old == ESTABLISHED) != (next == ESTABLISHED)) {
			load_count(conn->destination, old, -1);
			load_count(conn->destination, next, 1);
		}
		return;
	}
}

static __always_inline int conn_remove(const struct conn *conn)
{
	struct entry *entry = conn->entry;
	__u32 state = *(volatile __u32 *)&entry->state;
	struct conn_key reverse;

	if (state >= STATE_DEAD ||
	    __sync_val_compare_and_swap(&entry->state, state, STATE_DEAD) != state)
		return 0;
	load_count(entry->destination, state, -1);
	load_weigh(entry->destination, 0);
	if (entry->forwarding == FORWARD_NAT) {
		reverse = reverse_key(&conn->key, entry);
		bpf_map_delete_elem(&kernel_hash, &reverse);
	}
	bpf_map_delete_elem(&kernel_hash, &conn->key);
	return 1;
}

static __always_inline int conn_expired(const struct conn *conn, __u32 now)
{
	struct entry *reverse;
	struct conn_key other;
	__u32 last = conn->entry->last_seen;
	__u32 most = timeout_seconds[conn->state & 15] * SECOND >> 21;

	if (now < last + most)
		return 0;
	if (conn->forwarding != FORWARD_NAT)
		return 1;
	other = reverse_key(&conn->key, conn->entry);
	reverse = bpf_map_lookup_elem(&kernel_hash, &other);
	return !reverse || now >= reverse->last_seen + most;
}

static __always_inline int
conn_use_template(const struct conn_key *key, __u32 now, const struct service *service,
		  struct lead *lead)
{
	return 0;
}

__noinline int conn_create(const struct conn_request *request)
{
	struct destination *server = request ? destination_at(request->destination) : 0;
	struct entry entry = {}, answer;
	struct conn_key reverse;
	long failed;

	if (!server)
		return CREATE_RACE;
	entry.last_seen = request->now;
	entry.destination = request->destination;
	entry.state = request->state;
	entry.kind = KIND_FORWARD;
	entry.forwarding = server->forwarding;
	entry.peer = server_address(server);
	entry.peer_port = server->port ?: request->key.to_port;
	load_count(request->destination, request->state, 1);
	failed = bpf_map_update_elem(&kernel_hash, &request->key, &entry, BPF_NOEXIST);
	if (failed) {
		load_count(request->destination, request->state, -1);
		return failed == EXISTS ? CREATED_ELSEWHERE : CREATE_FULL;
	}
	load_weigh(request->destination, 1);
	if (entry.forwarding != FORWARD_NAT)
		return CREATED;
	reverse = reverse_key(&request->key, &entry);
	answer = entry;
	answer.kind = KIND_REVERSE;
	answer.peer = request->key.to;
	answer.peer_port = request->key.to_port;
	if (bpf_map_update_elem(&kernel_hash, &reverse, &answer, BPF_NOEXIST)) {
		load_count(request->destination, request->state, -1);
		bpf_map_delete_elem(&kernel_hash, &request->key);
		return CREATE_CLASH;
	}
	return CREATED;
}

static __always_inline __u32 conn_found_destination(const struct conn_request *request)
{
	struct entry *entry = bpf_map_lookup_elem(&kernel_hash, &request->key);

	return entry ? entry->destination : DESTINATIONS_MAX;
}

static __always_inline int conn_is_stateless(const struct conn_key *key)
{
	return 0;
}

static __always_inline void conn_set_stateless(const struct conn_key *key)
{
}

static __always_inline int conn_reap(__u32 number)
{
	return 0;
}

#endif
