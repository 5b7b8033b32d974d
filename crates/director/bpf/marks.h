/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Firewall marks. XDP sees packets before the firewall could mark them, so its rules are here too:
 * steps that lead forward, asked for packets without a connection only, and before services of an
 * address, as IPVS has it. crates/model/src/marks.rs is the same in Rust.
 *
 * Only packets to an address of this machine or a virtual one have a mark: IPVS does not see those
 * that are routed through. */
#ifndef EVENKEEL_MARKS_H
#define EVENKEEL_MARKS_H

#include "conn.h"
#include "maps.h"

#define MARK_STEPS_MAX 256
#define MARK_PORTS_MAX 16
#define MARK_ADDRESSES_MAX 4096

/* What must not be so, where it would have to be: */
#define MARK_NOT_SOURCE 1
#define MARK_NOT_DESTINATION 2
#define MARK_NOT_PROTOCOL 4
#define MARK_NOT_PORTS 8

struct mark_ports {
	__u16 first; /* in the machine's byte order, as last */
	__u16 last;
};

struct mark_step {
	struct wide_address source;
	struct wide_address source_mask;
	struct wide_address destination;
	struct wide_address destination_mask;
	__u32 interface; /* 0: any */
	__u32 value;
	__u32 mask; /* cleared before value is inverted */
	__u16 then;
	__u16 otherwise;
	__u8 protocol; /* 0: any */
	__u8 flags;
	__u8 port_count; /* 0: any */
	__u8 unused;
	struct mark_ports ports[MARK_PORTS_MAX];
};

/* Both families have two programs: one in use and one that is being written. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4 * MARK_STEPS_MAX);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(key, __u32);
	__type(value, struct mark_step);
} mark_steps SEC(".maps");

/* By family, IPv4 first: where its program begins, and how many steps it has in the high half. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(key, __u32);
	__type(value, __u64);
} mark_programs SEC(".maps");

/* Addresses whose packets may have a mark, besides those of VRRP, which are in `gate`. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MARK_ADDRESSES_MAX);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct wide_address);
	__type(value, __u32);
} mark_addresses SEC(".maps");

/* A packet on its way through the steps. */
struct marking {
	struct wide_address source;
	struct wide_address destination;
	__u32 interface;
	__u32 start;
	__u32 count;
	__u32 at;
	__u32 mark;
	__u16 port;
	__u8 protocol;
	__u8 unused;
};

static __always_inline int
is_within(const struct wide_address *address, const struct wide_address *network,
	  const struct wide_address *mask)
{
	return !((address->half[0] ^ network->half[0]) & mask->half[0]) &&
	       !((address->half[1] ^ network->half[1]) & mask->half[1]);
}

static __always_inline int has_port(const struct mark_step *step, __u16 port)
{
	for (__u32 at = 0; at < MARK_PORTS_MAX; at++) {
		if (at >= step->port_count)
			return 0;
		if (port >= step->ports[at].first && port <= step->ports[at].last)
			return 1;
	}
	return 0;
}

static __always_inline int is_marked_by(const struct mark_step *step, const struct marking *marking)
{
	__u8 not = step->flags;

	if (step->protocol &&
	    (step->protocol == marking->protocol) == !!(not & MARK_NOT_PROTOCOL))
		return 0;
	if (step->interface && step->interface != marking->interface)
		return 0;
	if (is_within(&marking->destination, &step->destination, &step->destination_mask) ==
	    !!(not & MARK_NOT_DESTINATION))
		return 0;
	if (is_within(&marking->source, &step->source, &step->source_mask) ==
	    !!(not & MARK_NOT_SOURCE))
		return 0;
	return !step->port_count ||
	       has_port(step, marking->port) != !!(not & MARK_NOT_PORTS);
}

static long take_mark_step(__u32 round, struct marking *marking)
{
	__u32 at = marking->at, number = marking->start + at, next;
	struct mark_step *step;

	if (at >= marking->count)
		return 1;
	step = bpf_map_lookup_elem(&mark_steps, &number);
	if (!step)
		return 1;
	next = step->otherwise;
	if (is_marked_by(step, marking)) {
		marking->mark = (marking->mark & ~step->mask) ^ step->value;
		next = step->then;
	}
	/* Forward only. */
	if (next <= at)
		return 1;
	marking->at = next;
	return 0;
}

/* The mark that the firewall's rules give a packet. Verified on its own. */
__noinline __u32 mark_of(const struct conn_key *key, __u32 interface, __u64 program)
{
	struct marking marking = {};

	if (!key)
		return 0;
	marking.destination = widened(key->to);
	if (!bpf_map_lookup_elem(&mark_addresses, &marking.destination) &&
	    !bpf_map_lookup_elem(&gate, &marking.destination))
		return 0;
	marking.source = widened(key->from);
	marking.interface = interface;
	marking.start = program;
	marking.count = program >> 32;
	marking.port = bpf_ntohs(key->to_port);
	marking.protocol = key->protocol;
	bpf_loop(MARK_STEPS_MAX, take_mark_step, &marking, 0);
	return marking.mark;
}

/* The service of a mark, where an address would stand. */
static __always_inline address_t mark_address(__u32 mark)
{
	struct wide_address wide = {};

	wide.word[3] = bpf_htonl(mark);
	return narrowed(&wide);
}

static __always_inline struct service *service_of_mark(const struct conn_key *key, __u32 interface)
{
	struct service_key service = {};
	__u32 family = FAMILY == 6, mark;
	__u64 *program = bpf_map_lookup_elem(&mark_programs, &family);

	/* Most machines have none. */
	if (!program || !(*program >> 32))
		return 0;
	mark = mark_of(key, interface, *program);
	if (!mark)
		return 0;
	service.address = mark_address(mark);
	return bpf_map_lookup_elem(&services, &service);
}

#endif
