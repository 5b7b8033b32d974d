// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* For tests of the connection table: programs that make packets of their own and run on several
 * processors at once. Each run draws a ticket; two consecutive ones are about the same flow, so
 * that the processors meet there. */
#include "evenkeel.bpf.c"

#define PORTS_EACH 32768 /* flows of one client address */

__u32 tickets;
__u32 removed;
const volatile __u32 flows = 1;

static __always_inline __u32 draw(void)
{
	return __sync_fetch_and_add(&tickets, 1);
}

static __always_inline __u32 mixed(__u32 number)
{
	__u64 mix = (number + 1) * 0x9e3779b97f4a7c15ULL;

	return (mix ^ mix >> 29) * 0xd6e8feb86659fd93ULL >> 32;
}

#if FAMILY == 4

static __always_inline address_t client_at(__u32 number)
{
	return bpf_htonl(0x0b000000 + number);
}

static __always_inline address_t service_at(__u32 number)
{
	return bpf_htonl(0xc0000201 + number);
}

static __always_inline address_t server_at(__u32 number)
{
	return bpf_htonl(0x0a000001 + number);
}

static __always_inline void write_header_of(struct iphdr *ip, const struct conn_key *key)
{
	ip->ttl = 64;
	ip->protocol = key->protocol;
	ip->saddr = key->from;
	ip->daddr = key->to;
}

#else

/* 2001:db8:NETWORK::NUMBER */
static __always_inline address_t address_in(__u16 network, __u32 number)
{
	return address_of_halves(bpf_cpu_to_be64(0x20010db800000000ULL | (__u64)network << 16),
				 bpf_cpu_to_be64(number));
}

static __always_inline address_t client_at(__u32 number)
{
	return address_in(0xb, number);
}

static __always_inline address_t service_at(__u32 number)
{
	return address_in(2, number + 1);
}

static __always_inline address_t server_at(__u32 number)
{
	return address_in(1, number + 1);
}

static __always_inline void write_header_of(struct ipv6hdr *ip, const struct conn_key *key)
{
	ip->hop_limit = 64;
	ip->nexthdr = key->protocol;
	*field_from(ip) = key->from;
	*field_to(ip) = key->to;
}

#endif

static __always_inline struct conn_key key_of(__u32 flow, __u8 service)
{
	struct conn_key key = {
		.from = client_at(flow / PORTS_EACH),
		.to = service_at(service == 3 ? 0 : service),
		.from_port = bpf_htons(1024 + flow % PORTS_EACH),
		.to_port = service == 3 ? bpf_htons(53) : bpf_htons(80),
		.protocol = service == 3 ? IPPROTO_UDP : IPPROTO_TCP,
	};
	return key;
}

/* Returns zero, or what becomes of it instead. */
static __always_inline int
write_packet(frame_t *ctx, const struct conn_key *key, __u8 flags)
{
	struct ethhdr *ethernet = frame_data(ctx);
	ip_header_t *ip = (void *)(ethernet + 1);
	struct tcphdr *tcp = (void *)(ip + 1);

	if ((void *)(tcp + 1) > frame_end(ctx))
		return XDP_ABORTED;
	*(__u32 *)ethernet->h_dest = bpf_htonl(0x02000000);
	*(__u16 *)(ethernet->h_dest + 4) = bpf_htons(1);
	write_header_of(ip, key);
	tcp->source = key->from_port;
	tcp->dest = key->to_port;
	((__u8 *)tcp)[13] = flags;
	return 0;
}

/* A function of its own: its stack is given back before the packet goes its way. */
static __noinline int write_syn(frame_t *ctx)
{
	struct conn_key key = key_of(draw() / 2 % flows, 0);

	return write_packet(ctx, &key, TCP_SYN);
}

/* Every flow's SYN, on two processors at once. */
SEC("xdp")
int race_open(frame_t *ctx)
{
	return write_syn(ctx) ?: handle_frame(ctx);
}

/* Every flow removed, by two processors at once. */
SEC("xdp")
int race_remove(frame_t *ctx)
{
	struct conn_key key = key_of(draw() / 2 % flows, 0);
	struct conn conn;

	if (conn_find(&key, &conn) && conn_remove(&conn))
		__sync_fetch_and_add(&removed, 1);
	return XDP_DROP;
}

static __noinline int write_any(frame_t *ctx)
{
	__u32 ticket = draw(), chance = mixed(ticket), flow = mixed(ticket / 2) % flows;
	struct conn_key key = key_of(flow, mixed(ticket / 2) >> 24 & 3);
	__u8 flags = TCP_SYN;

	switch (chance % 16) {
	case 0 ... 5:
		break;
	case 6 ... 8:
		flags = TCP_ACK;
		break;
	case 9:
		flags = TCP_ACK | TCP_FIN;
		break;
	case 10:
		flags = TCP_RST;
		break;
	case 11 ... 12:
		flags = chance & 256 ? TCP_SYN | TCP_ACK : TCP_FIN | TCP_ACK;
		key.to = key.from;
		key.to_port = key.from_port;
		key.from = server_at(chance >> 9 & 3);
		key.from_port = key.protocol == IPPROTO_TCP ? bpf_htons(8080) : bpf_htons(8053);
		break;
	default:
		conn_reap((chance >> 8) % (9U * SLOTS << (buckets_log2 - 3)));
		return XDP_DROP;
	}
	return write_packet(ctx, &key, flags);
}

/* Packets of clients and servers, and the sweep, in any order. The services: 0, 1 by NAT over the
 * same servers, 2 by direct routing, 3 of datagrams. */
SEC("xdp")
int mix(frame_t *ctx)
{
	return write_any(ctx) ?: handle_frame(ctx);
}
