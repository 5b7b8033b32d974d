/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The maps and their layouts. Rust's side is src/xdp/layout.rs: change both, and the layout
 * version there. Addresses and ports are in network byte order throughout. */
#ifndef EVENKEEL_MAPS_H
#define EVENKEEL_MAPS_H

#include <linux/bpf.h>
#include <linux/types.h>
#include <stddef.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "family.h"

/* Tests compile a second layout, in which everything stands elsewhere. */
#ifdef LAYOUT_PADDED
#define PADDING __u64 padding;
#define PADDED 8
#else
#define PADDING
#define PADDED 0
#endif

#define SERVICES_MAX 2048
#define MEMBERS_MAX 256
#define DESTINATIONS_MAX 65536
#define INTERFACES_MAX 256
#define INTERFACES_LOW 4096
#define TABLES_MAX 512       /* services with a prepared table */
#define SLOTS_MAX 4096       /* places of one: mh needs 4093, sh and dh 256 */
#define LOCALITIES_MAX 65536 /* addresses that lblc and lblcr keep, of all services */

enum { COUNTER_FIRST = -1,
#define COUNTER(name) COUNT_##name,
#include "counters.h"
#undef COUNTER
	COUNTERS };

struct gate_key {
	struct wide_address address;
};

struct interface {
	__u8 mac[6];
	__u16 takes_part;
};

struct service_key {
	address_t address;
	__be16 port;
	__u8 protocol;
	__u8 unused[FAMILY == 4 ? 1 : 5];
};

enum scheduler {
	SCHEDULE_RR,
	SCHEDULE_WRR,
	SCHEDULE_WLC,
	SCHEDULE_LC,
	SCHEDULE_SED,
	SCHEDULE_NQ,
	SCHEDULE_FO,
	SCHEDULE_OVF,
	SCHEDULE_DH,
	SCHEDULE_SH,
	SCHEDULE_MH,
	SCHEDULE_LBLC,
	SCHEDULE_LBLCR,
	SCHEDULE_TWOS,
};

#define HASH_FALLBACK 1 /* sh, mh: a server that may not be chosen is replaced */
#define HASH_PORT 2     /* the client's port counts too */

/* Replaced as a whole, so that the program always sees one consistent list of members and the
 * table that was made for it. */
struct service {
	PADDING
	__u32 index; /* in `cursors` */
	__u32 row;   /* in `members`: 2 * index, or the one after it */
	__u32 count; /* members in that row */
	__u32 scheduler;
	__u32 weight_max; /* wrr: greatest weight - (gcd - 1) */
	__u32 weight_gcd;
	__u32 persistence_seconds; /* 0: none */
	__u32 persistence_bits;
	__u32 hash_flags;
	__u32 table; /* in `tables`; of dh, sh and mh */
	__u32 mark;  /* of a firewall mark; 0: of an address */
	__u32 switches;
};

/* How a service treats its connections: IPVS's names for its switches. */
#define SWITCH_ONE_PACKET 1          /* every UDP packet by itself, no connection */
#define SWITCH_REUSE 2               /* conn_reuse_mode is not 0... */
#define SWITCH_REUSE_WAITING 4       /* ... and has the bit 2 */
#define SWITCH_EXPIRE_NODEST 8       /* expire_nodest_conn */
#define SWITCH_EXPIRE_QUIESCENT 16   /* expire_quiescent_template */
#define SWITCH_SLOPPY_TCP 32
#define SWITCH_SLOPPY_SCTP 64

/* By the service's index, for connections that exist. */
struct conduct {
	__u32 ticks[32]; /* by state; 0: that of all services */
	__u32 switches;
	__u32 unused[3];
};

/* In a member's weight: its destination has an upper threshold. */
#define MEMBER_LIMITED 0x80000000U

struct member {
	__u32 destination;
	__u32 weight;
};

struct members {
	struct member list[MEMBERS_MAX];
};

/* Positions of members by slot: what dh, sh and mh look up. Made by crates/sched. */
struct slot_table {
	__u8 member[SLOTS_MAX];
};

/* What lblc and lblcr keep for an address that clients asked for. */
struct locality_key {
	__be32 address[4]; /* IPv4 mapped into IPv6 */
	__u32 service; /* its index */
};

struct locality {
	__u64 used;
	__u64 modified;
	__u32 count;
	__u32 unused;
	__u16 destinations[MEMBERS_MAX]; /* the newest last */
};

#define DESTINATION_IN_USE 1  /* holds a server, perhaps one that left the tables */
#define DESTINATION_REMOVED 2 /* left the tables; connections still count here */
#define DESTINATION_RESOLVED 4
#define DESTINATION_LOCAL 8 /* this machine itself */
/* Since it left the tables; nothing is said of others: */
#define DESTINATION_EXPIRES 16 /* its connections end at once */
#define DESTINATION_RESETS 32  /* whoever sends a TCP segment of one gets an RST */

enum forwarding { FORWARD_NAT, FORWARD_DIRECT, FORWARD_TUNNEL };

enum tunnel { TUNNEL_IPIP, TUNNEL_GRE, TUNNEL_GUE };
#define TUNNEL_CHECKSUM 1 /* over all that the tunnel carries */

/* Two cache lines: every packet needs the first, few need the second. */
struct destination {
	PADDING
	struct wide_address address; /* of another family than the client's only with a tunnel */
	__be16 port; /* 0: the port the client used */
	__u8 forwarding;
	__u8 flags;
	__u32 ifindex;
	__u8 mac[6];
	__u8 source_mac[6];
	__u32 mtu; /* largest IP packet on the way, the tunnel's header included */
	__u32 weight;
	__u32 upper_threshold; /* connections from which on it takes no new ones; 0: no bound */
	__u32 lower_threshold; /* below this it takes them again; 0: three quarters of the upper */
	__be16 tunnel_port;
	__u8 tunnel;
	__u8 tunnel_flags;
	__u32 unused_hot[2];
	/* The second: */
	struct wide_address source; /* this machine's address there, or zero: where a tunnel begins */
	struct wide_address service; /* user space's from here on: whose destination it is... */
	__be16 service_port;
	__u8 service_protocol;
	__u8 unused_service;
	__u32 position;	   /* ... orders the members when tables are adopted... */
	__u32 last_weight; /* ... the last weight that was not 0, or that it was added with */
	__u32 unused[5];
};

_Static_assert(offsetof(struct destination, source) == 64 + PADDED, "the hot part is one cache line");
_Static_assert(sizeof(struct destination) == 128 + PADDED, "two cache lines");

struct load {
	__u32 active;
	__u32 inactive;
	__u32 templates;
	__u32 unused;
};

struct stats {
	__u64 connections;
	__u64 packets_in;
	__u64 packets_out;
	__u64 bytes_in;
	__u64 bytes_out;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(key, struct gate_key);
	__type(value, __u32);
} gate SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, INTERFACES_MAX);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(key, __u32);
	__type(value, struct interface);
} interfaces SEC(".maps");

/* Those with an index below INTERFACES_LOW, which is nearly all there are: every packet asks, and
 * an array answers in a tenth of the time. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, INTERFACES_LOW);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(key, __u32);
	__type(value, struct interface);
} low_interfaces SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, SERVICES_MAX);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(key, struct service_key);
	__type(value, struct service);
} services SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SERVICES_MAX * 2);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(key, __u32);
	__type(value, struct members);
} members SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SERVICES_MAX);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(key, __u32);
	__type(value, struct conduct);
} conducts SEC(".maps");

/* Where a scheduler stands. rr and wrr: position in the row (1-based, 0 before the first) in the low
 * half, wrr's current weight in the high half. twos: the state of its random numbers. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SERVICES_MAX);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(key, __u32);
	__type(value, __u64);
} cursors SEC(".maps");

/* Two rows for each service that has a table, as in `members`. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, TABLES_MAX * 2);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(key, __u32);
	__type(value, struct slot_table);
} tables SEC(".maps");

/* By the program as clients come, collected by user space. Takes memory as it fills. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, LOCALITIES_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(key, struct locality_key);
	__type(value, struct locality);
} localities SEC(".maps");

/* Where a locality is changed before it is written: too large for the stack. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct locality);
} locality_drafts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, DESTINATIONS_MAX);
	__uint(map_flags, BPF_F_MMAPABLE); /* for its values' alignment */
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(key, __u32);
	__type(value, struct destination);
} destinations SEC(".maps");

/* Written by the program alone, with atomic additions. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, DESTINATIONS_MAX);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(key, __u32);
	__type(value, struct load);
} loads SEC(".maps");

/* Not zero: the upper threshold was met, and the lower one not yet. By the program at each
 * connection that comes or goes, by user space when the thresholds change. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, DESTINATIONS_MAX);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(key, __u32);
	__type(value, __u32);
} overloads SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, DESTINATIONS_MAX);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(key, __u32);
	__type(value, struct stats);
} statistics SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, COUNTERS);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(key, __u32);
	__type(value, __u64);
} counters SEC(".maps");

static __always_inline void count(__u32 which)
{
	__u64 *value = bpf_map_lookup_elem(&counters, &which);
	if (value)
		*value += 1;
}

static __always_inline struct destination *destination_at(__u32 index)
{
	return bpf_map_lookup_elem(&destinations, &index);
}

/* Its address, if it is of this family. */
static __always_inline address_t server_address(const struct destination *destination)
{
	return narrowed(&destination->address);
}

static __always_inline int is_available(const struct destination *destination)
{
	return (destination->flags & (DESTINATION_IN_USE | DESTINATION_REMOVED)) ==
	       DESTINATION_IN_USE;
}

static __always_inline struct load *load_at(__u32 index)
{
	return bpf_map_lookup_elem(&loads, &index);
}

static __always_inline int is_overloaded(__u32 index)
{
	__u32 *overloaded = bpf_map_lookup_elem(&overloads, &index);

	return overloaded && *overloaded;
}

static __always_inline struct stats *statistics_at(__u32 index)
{
	return bpf_map_lookup_elem(&statistics, &index);
}

#endif
