/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Where the fragments of a datagram go. Only the first one says between which ports; it leaves a
 * trail for the others. Those that overtake it find none and pass to the kernel, which cannot do
 * anything with them either and forgets them: nothing can wait here, and the kernel has the only
 * place where they could belong to somebody else. IPVS has netfilter put datagrams together
 * first, which costs two copies and the way back into pieces. */
#ifndef EVENKEEL_TRAIL_H
#define EVENKEEL_TRAIL_H

#include "clock.h"
#include "packet.h"

/* As long as the kernel waits for the missing ones (net.ipv4.ipfrag_time). */
#define TRAIL_SECONDS 30
#define TRAILS_MAX 16384

/* What a packet is translated to, and how it gets there. */
struct target {
	address_t address;
	__be16 port;
	__u8 forwarding;
	__u8 unused;
	__u32 destination;
};

struct trail_key {
	address_t from;
	address_t to;
	fragment_id_t id;
	protocol_t protocol;
};

enum towards { TO_SERVER, TO_CLIENT };

struct trail {
	__u64 left; /* CLOCK_MONOTONIC_COARSE */
	struct target target;
	__u32 towards;
#if FAMILY == 6
	__u32 unused;
#endif
};

/* Losing one costs one datagram: the oldest make room. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, TRAILS_MAX);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(key, struct trail_key);
	__type(value, struct trail);
} trails SEC(".maps");

static __always_inline struct target conn_target(const struct conn *conn)
{
	struct target target = {
		.address = conn->peer,
		.port = conn->peer_port,
		.forwarding = conn->forwarding,
		.destination = conn->destination,
	};
	return target;
}

static __always_inline struct trail_key trail_key(const struct packet *packet)
{
	struct trail_key key = {
		.from = header_from(packet->ip),
		.to = header_to(packet->ip),
		.id = packet_fragment_id(packet),
		.protocol = packet_protocol(packet),
	};
	return key;
}

#if FAMILY == 4

#define TRAIL_DRAFT(name) struct trail name##_here = {}, *name = &name##_here

#else

/* IPv6's is too large for the stack. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct trail);
} trail_drafts SEC(".maps");

static __always_inline struct trail *trail_draft(void)
{
	__u32 only = 0;

	return bpf_map_lookup_elem(&trail_drafts, &only);
}

#define TRAIL_DRAFT(name) struct trail *name = trail_draft()

#endif

/* Of the first fragment, before it is translated. */
static __noinline int
leave_trail(const struct packet *packet, const struct target *target, enum towards towards)
{
	struct trail_key key = trail_key(packet);
	TRAIL_DRAFT(trail);

	if (!trail)
		return 0;
	trail->left = coarse_clock();
	trail->target = *target;
	trail->towards = towards;
	return bpf_map_update_elem(&trails, &key, trail, BPF_ANY);
}

/* Of a later one. */
static __always_inline struct trail *follow_trail(const struct packet *packet)
{
	struct trail_key key = trail_key(packet);
	struct trail *trail = bpf_map_lookup_elem(&trails, &key);

	if (!trail || coarse_clock() >= trail->left + TRAIL_SECONDS * SECOND)
		return 0;
	return trail;
}

#endif
