/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Forwarding in a tunnel: the client's packet travels whole inside another one, from this machine to
 * the server, which unpacks it and answers the client itself. Either family travels in either, as
 * the server's address says. Kernel: ip_vs_tunnel_xmit, ip_vs_tunnel_xmit_v6.
 *
 * The outer header has the inner one's TTL (after our hop), TOS and DF, which IPv6 does not have. */
#ifndef EVENKEEL_TUNNEL_H
#define EVENKEEL_TUNNEL_H

#include "route.h"
#include "unfinished.h"

/* Where the datagrams of a tunnel over UDP come from: a port for each flow, so that routers and
 * receive queues spread them. Kernel: udp_flow_src_port over net.ipv4.ip_local_port_range. */
#define FLOW_PORT_FIRST 32768
#define FLOW_PORTS 28232

struct gre {
	__be16 flags;
	__be16 protocol;
	__sum16 checksum; /* if GRE_CHECKSUM is among the flags */
	__be16 unused;
};
#define GRE_CHECKSUM bpf_htons(0x8000)
#define GRE_SHORT 4

/* Generic UDP encapsulation, version 0 (draft-ietf-intarea-gue). */
struct gue {
	struct udphdr udp;
	__u8 length; /* of options, in words; the version and the control bit are zero */
	__u8 protocol;
	__be16 flags;
};

#define SHIM_MAX sizeof(struct gue)

/* What the tunnel says it carries. */
#define INNER_PROTOCOL (FAMILY == 4 ? IPPROTO_IPIP : IPPROTO_IPV6)

/* Whether the tunnel is one of IPv4, whatever it carries. */
static __always_inline int is_over_ipv4(const struct destination *destination)
{
	return wide_is_mapped(&destination->address);
}

/* Bytes between the tunnel's IP header and the client's packet. */
static __always_inline __u32 shim_bytes(const struct destination *destination)
{
	switch (destination->tunnel) {
	case TUNNEL_GRE:
		return destination->tunnel_flags & TUNNEL_CHECKSUM ? sizeof(struct gre) : GRE_SHORT;
	case TUNNEL_GUE:
		return sizeof(struct gue);
	default:
		return 0;
	}
}

/* Bytes before the client's packet. */
static __always_inline __u32 tunnel_overhead(const struct destination *destination)
{
	return shim_bytes(destination) +
	       (is_over_ipv4(destination) ? sizeof(struct iphdr) : sizeof(struct ipv6hdr));
}

/* What the kernel has to know of it in order to split what is too large (tc). */
static __always_inline __u64 tunnel_room(const struct destination *destination)
{
	__u64 room = is_over_ipv4(destination) ? ROOM_TUNNEL4 : ROOM_TUNNEL6;

	switch (destination->tunnel) {
	case TUNNEL_GRE:
		return room | ROOM_GRE;
	case TUNNEL_GUE:
		return room | ROOM_UDP;
	default:
		return room;
	}
}

/* What the outer header has from the packet inside. */
struct inside {
	__u8 traffic_class;
	__u8 hops;
	__u16 bytes;
	__be16 dont_fragment; /* as IPv4 has it */
	__u16 flow_port;
	__u32 with_checksum; /* of all that is inside */
	struct unfinished unfinished;
};

/* All fragments of a datagram go together, and only the first one has ports: none counts. */
static __always_inline __u16 flow_port(const struct packet *packet, enum parsed what)
{
	__u32 hash = address_word(header_from(packet->ip)) * 0x9e3779b1U ^
		     address_word(header_to(packet->ip)) ^ packet_protocol(packet);

	if (what == PARSED && !packet->is_first)
		hash ^= (__u32)packet->ports->from << 16 | packet->ports->to;
	hash = (hash ^ hash >> 16) * 0x85ebca6bU;
	hash = (hash ^ hash >> 13) * 0xc2b2ae35U;
	hash ^= hash >> 16;
	return FLOW_PORT_FIRST + hash % FLOW_PORTS;
}

static __always_inline int
write_gre(frame_t *ctx, struct gre *gre, const struct inside *inside, __u32 at, __u32 end)
{
	__u16 sum = 0;

	gre->flags = inside->with_checksum ? GRE_CHECKSUM : 0;
	gre->protocol = FAMILY_ETHERTYPE;
	if (!inside->with_checksum)
		return 0;
	gre->checksum = 0;
	gre->unused = 0;
	if (checksum_over(ctx, at, at + sizeof(*gre), end, 0, &inside->unfinished, &sum))
		return -1;
	gre->checksum = sum;
	return 0;
}

/* What a UDP checksum covers besides the datagram. */
static __always_inline __u32 udp_pseudo_header(const struct destination *destination, __u32 length)
{
	__be32 from = destination->source.word[3], to = destination->address.word[3];
	__u32 sum = bpf_htons(IPPROTO_UDP) + bpf_htons(length);

	if (!is_over_ipv4(destination))
		return sum + sum_of_ends(&destination->source, &destination->address);
	return sum + (from & 0xffff) + (from >> 16) + (to & 0xffff) + (to >> 16);
}

/* Without a checksum also over IPv6: RFC 6935, and the kernel. */
static __always_inline int
write_gue(frame_t *ctx, struct gue *gue, const struct destination *destination,
	  const struct inside *inside, __u32 at, __u32 end)
{
	__u32 pseudo = udp_pseudo_header(destination, end - at);
	__u16 sum = 0;

	gue->udp.source = bpf_htons(inside->flow_port);
	gue->udp.dest = destination->tunnel_port;
	gue->udp.len = bpf_htons(end - at);
	gue->udp.check = 0;
	gue->length = 0;
	gue->protocol = INNER_PROTOCOL;
	gue->flags = 0;
	if (!inside->with_checksum)
		return 0;
	if (checksum_over(ctx, at, at + sizeof(*gue), end, pseudo, &inside->unfinished, &sum))
		return -1;
	gue->udp.check = sum ?: 0xffff;
	return 0;
}

static __always_inline struct inside inside_of(const struct packet *packet, enum parsed what)
{
	struct inside inside = {
		.traffic_class = header_class(packet->ip),
		.hops = header_hops(packet->ip),
		.bytes = packet->bytes,
		.flow_port = flow_port(packet, what),
#if FAMILY == 4
		.dont_fragment = packet->ip->frag_off & DONT_FRAGMENT,
#endif
	};
	if (what == PARSED)
		inside.unfinished = unfinished_part(packet);
	return inside;
}

static __always_inline void
write_outer4(struct iphdr *ip, const struct destination *destination, const struct inside *inside,
	     __u8 protocol, __u32 overhead)
{
	struct iphdr outer = {
		.version = 4,
		.ihl = sizeof(outer) / 4,
		.tos = inside->traffic_class,
		.tot_len = bpf_htons(inside->bytes + overhead),
		.frag_off = inside->dont_fragment,
		.ttl = inside->hops,
		.protocol = protocol,
		.saddr = destination->source.word[3],
		.daddr = destination->address.word[3],
	};

	/* RFC 6864: what is never split needs no number. */
	if (!outer.frag_off)
		outer.id = bpf_get_prandom_u32();
	outer.check = header_checksum(&outer);
	*ip = outer;
}

static __always_inline void
write_outer6(struct ipv6hdr *ip, const struct destination *destination, const struct inside *inside,
	     __u8 protocol, __u32 overhead)
{
	ip->version = 6;
	ip->priority = inside->traffic_class >> 4;
	ip->flow_lbl[0] = inside->traffic_class << 4;
	ip->flow_lbl[1] = 0;
	ip->flow_lbl[2] = 0;
	ip->payload_len = bpf_htons(inside->bytes + overhead - sizeof(*ip));
	ip->nexthdr = protocol;
	ip->hop_limit = inside->hops;
	__builtin_memcpy(&ip->saddr, &destination->source, sizeof(ip->saddr));
	__builtin_memcpy(&ip->daddr, &destination->address, sizeof(ip->daddr));
}

/* What stands between the outer header and the client's packet, from `at` in the frame. Returns the
 * protocol that the outer header is to name, or less than zero. */
static __always_inline int
write_shim(frame_t *ctx, void *shim, const struct destination *destination,
	   const struct inside *inside, __u32 at, __u32 end)
{
	switch (destination->tunnel) {
	case TUNNEL_GRE:
		return write_gre(ctx, shim, inside, at, end) ? -1 : IPPROTO_GRE;
	case TUNNEL_GUE:
		return write_gue(ctx, shim, destination, inside, at, end) ? -1 : IPPROTO_UDP;
	default:
		return INNER_PROTOCOL;
	}
}

/* Writes everything before the client's packet, for which there is room. */
static __always_inline int
write_tunnel(frame_t *ctx, const struct destination *destination, const struct inside *inside)
{
	struct ethhdr *ethernet = frame_data(ctx);
	__u32 overhead = tunnel_overhead(destination), at;
	__u32 end = sizeof(*ethernet) + inside->bytes + overhead;
	void *shim;
	int protocol;

	if (is_over_ipv4(destination)) {
		struct iphdr *ip = (void *)(ethernet + 1);

		shim = ip + 1;
		at = sizeof(*ethernet) + sizeof(*ip);
		if (shim + SHIM_MAX > frame_end(ctx))
			return -1;
		protocol = write_shim(ctx, shim, destination, inside, at, end);
		write_outer4(ip, destination, inside, protocol, overhead);
		ethernet->h_proto = bpf_htons(ETH_P_IP);
	} else {
		struct ipv6hdr *ip = (void *)(ethernet + 1);

		shim = ip + 1;
		at = sizeof(*ethernet) + sizeof(*ip);
		if (shim + SHIM_MAX > frame_end(ctx))
			return -1;
		protocol = write_shim(ctx, shim, destination, inside, at, end);
		write_outer6(ip, destination, inside, protocol, overhead);
		ethernet->h_proto = bpf_htons(ETH_P_IPV6);
	}
	__builtin_memcpy(ethernet->h_dest, destination->mac, ETH_ALEN);
	__builtin_memcpy(ethernet->h_source, destination->source_mac, ETH_ALEN);
	return protocol;
}

/* Sends the packet, as it came, to a destination whose next hop is known. Verified on its own. */
__noinline int send_in_tunnel(frame_t *ctx, __u32 index)
{
	struct destination *destination = destination_at(index);
	struct packet packet = {};
	struct inside inside;
	enum parsed what;

	what = parse(&packet, frame_data(ctx), frame_end(ctx));
	if (!destination || (what != PARSED && what != FRAGMENT && what != ICMP))
		return drop(COUNT_dropped_race);
	decrement_ttl(&packet);
	inside = inside_of(&packet, what);
	inside.with_checksum = destination->tunnel_flags & TUNNEL_CHECKSUM;
	/* The kernel would put the same sum into every piece. GUE goes without one then, which its
	 * receiver takes (RFC 768); that of GRE does not. */
	if (inside.with_checksum && frame_split(ctx)) {
		if (destination->tunnel == TUNNEL_GRE)
			return drop(COUNT_dropped_merged);
		inside.with_checksum = 0;
	}
	if (frame_grow(ctx, tunnel_overhead(destination), tunnel_room(destination)) ||
	    write_tunnel(ctx, destination, &inside) < 0)
		return drop(COUNT_dropped_no_headroom);
	count(COUNT_forwarded_to_server);
	return bpf_redirect(destination->ifindex, 0);
}

#endif
