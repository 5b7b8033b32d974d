/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Forwarding in a tunnel: the client's packet travels whole inside another one, from this machine to
 * the server, which unpacks it and answers the client itself. Kernel: ip_vs_tunnel_xmit.
 *
 * The outer header has the inner one's TTL (after our hop), TOS and DF. */
#ifndef EVENKEEL_TUNNEL_H
#define EVENKEEL_TUNNEL_H

#include "route.h"

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

/* Bytes before the client's packet. */
static __always_inline __u32 tunnel_overhead(const struct destination *destination)
{
	switch (destination->tunnel) {
	case TUNNEL_GRE:
		return sizeof(struct iphdr) + (destination->tunnel_flags & TUNNEL_CHECKSUM
						       ? sizeof(struct gre)
						       : GRE_SHORT);
	case TUNNEL_GUE:
		return sizeof(struct iphdr) + sizeof(struct gue);
	default:
		return sizeof(struct iphdr);
	}
}

/* All fragments of a datagram go together, and only the first one has ports: none counts. */
static __always_inline __u16 flow_port(const struct packet *packet, enum parsed what)
{
	__u32 hash = packet->ip->saddr * 0x9e3779b1U ^ packet->ip->daddr ^ packet->ip->protocol;

	if (what == PARSED && !packet->is_first)
		hash ^= (__u32)packet->ports->from << 16 | packet->ports->to;
	hash = (hash ^ hash >> 16) * 0x85ebca6bU;
	hash = (hash ^ hash >> 13) * 0xc2b2ae35U;
	hash ^= hash >> 16;
	return FLOW_PORT_FIRST + hash % FLOW_PORTS;
}

static __always_inline int
write_gre(struct xdp_md *ctx, struct gre *gre, __u32 at, __u32 end, int with_checksum)
{
	__u16 sum = 0;

	gre->flags = with_checksum ? GRE_CHECKSUM : 0;
	gre->protocol = bpf_htons(ETH_P_IP);
	if (!with_checksum)
		return 0;
	gre->checksum = 0;
	gre->unused = 0;
	if (checksum_of(ctx, at, end, 0, &sum))
		return -1;
	gre->checksum = sum;
	return 0;
}

static __always_inline int
write_gue(struct xdp_md *ctx, struct gue *gue, const struct iphdr *outer, __be16 from, __be16 to,
	  __u32 at, __u32 end, int with_checksum)
{
	__u32 length = end - at, pseudo;
	__u16 sum = 0;

	gue->udp.source = from;
	gue->udp.dest = to;
	gue->udp.len = bpf_htons(length);
	gue->udp.check = 0;
	gue->length = 0;
	gue->protocol = IPPROTO_IPIP;
	gue->flags = 0;
	if (!with_checksum)
		return 0;
	pseudo = (outer->saddr & 0xffff) + (outer->saddr >> 16) + (outer->daddr & 0xffff) +
		 (outer->daddr >> 16) + bpf_htons(IPPROTO_UDP) + bpf_htons(length);
	if (checksum_of(ctx, at, end, pseudo, &sum))
		return -1;
	gue->udp.check = sum ?: 0xffff;
	return 0;
}

/* Of the outer header everything but its addresses: as the packet inside has it. */
static __always_inline struct iphdr outer_header(const struct iphdr *ip)
{
	struct iphdr outer = {
		.version = 4,
		.ihl = sizeof(outer) / 4,
		.tos = ip->tos,
		.frag_off = ip->frag_off & DONT_FRAGMENT,
		.ttl = ip->ttl,
	};

	/* RFC 6864: what is never split needs no number. */
	if (!outer.frag_off)
		outer.id = bpf_get_prandom_u32();
	return outer;
}

/* Sends the packet, as it came, to a destination whose next hop is known. Verified on its own. */
__noinline int send_in_tunnel(struct xdp_md *ctx, __u32 index)
{
	struct destination *destination = destination_at(index);
	struct ethhdr *ethernet;
	struct packet packet = {};
	__u32 overhead, at, end;
	struct iphdr outer, *ip;
	int with_checksum, failed = 0;
	enum parsed what;
	__u16 from;
	void *shim;

	what = parse(&packet, (void *)(long)ctx->data, (void *)(long)ctx->data_end);
	if (!destination || (what != PARSED && what != FRAGMENT && what != ICMP))
		return drop(COUNT_dropped_race);
	decrement_ttl(&packet);
	outer = outer_header(packet.ip);
	from = flow_port(&packet, what);
	overhead = tunnel_overhead(destination);
	if (bpf_xdp_adjust_head(ctx, -(int)overhead))
		return drop(COUNT_dropped_no_headroom);
	ethernet = (void *)(long)ctx->data;
	ip = (void *)(ethernet + 1);
	shim = ip + 1;
	if (shim + SHIM_MAX > (void *)(long)ctx->data_end)
		return drop(COUNT_dropped_no_headroom);
	__builtin_memcpy(ethernet->h_dest, destination->mac, ETH_ALEN);
	__builtin_memcpy(ethernet->h_source, destination->source_mac, ETH_ALEN);
	ethernet->h_proto = bpf_htons(ETH_P_IP);
	outer.tot_len = bpf_htons(packet.bytes + overhead);
	outer.saddr = destination->source;
	outer.daddr = destination->address;
	at = sizeof(*ethernet) + sizeof(*ip);
	end = sizeof(*ethernet) + packet.bytes + overhead;
	with_checksum = destination->tunnel_flags & TUNNEL_CHECKSUM;
	switch (destination->tunnel) {
	case TUNNEL_GRE:
		outer.protocol = IPPROTO_GRE;
		failed = write_gre(ctx, shim, at, end, with_checksum);
		break;
	case TUNNEL_GUE:
		outer.protocol = IPPROTO_UDP;
		failed = write_gue(ctx, shim, &outer, bpf_htons(from), destination->tunnel_port, at,
				   end, with_checksum);
		break;
	default:
		outer.protocol = IPPROTO_IPIP;
	}
	if (failed)
		return drop(COUNT_dropped_no_headroom);
	outer.check = header_checksum(&outer);
	*ip = outer;
	count(COUNT_forwarded_to_server);
	return bpf_redirect(destination->ifindex, 0);
}

#endif
