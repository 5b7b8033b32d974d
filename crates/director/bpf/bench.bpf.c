// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What the packet benchmark runs: the forwarding program on packets of many clients, and the least
 * that a forwarding program can do. A test run hands the same buffer to every repetition, so the
 * head of the packet is written anew each time; that is counted as ours. With BENCH_KERNEL_HASH
 * the same over the kernel's hash map. */
#ifdef BENCH_KERNEL_HASH
#include "bench_conn_hash.h"
#endif
#include "evenkeel.bpf.c"

#define PORTS_EACH 32768 /* flows of one client address */
#define FLOWS (1 << 20)

__u32 next_flow;
__u32 next_new = FLOWS;
__u32 next_gone = FLOWS;
__u64 random_state = 88172645463325252ULL;

/* Serialised: the next number depends on the server that the last packet was sent to, which its
 * entry says; without that the processor works on several packets at once. All servers' addresses
 * begin with 10, so that it changes nothing, which the compiler cannot know. */
static __always_inline void depend_on(frame_t *ctx)
{
	struct iphdr *ip = (void *)((struct ethhdr *)frame_data(ctx) + 1);

	if ((void *)(ip + 1) <= frame_end(ctx))
		random_state += *(__u8 *)&ip->daddr - 10;
}

static __always_inline __u32 random_number(void)
{
	__u64 state = random_state;

	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	random_state = state;
	return state >> 16;
}

/* New flows in an order that no prefetcher follows. */
static __always_inline __u32 scattered(__u32 flow)
{
	return flow * 0x9e3779b1;
}

static __always_inline struct conn_key key_of(__u32 flow)
{
	struct conn_key key = {
		.from = bpf_htonl(0x0b000000 + flow / PORTS_EACH),
		.to = bpf_htonl(0xc0000201),
		.from_port = bpf_htons(1024 + flow % PORTS_EACH),
		.to_port = bpf_htons(80),
		.protocol = IPPROTO_TCP,
	};
	return key;
}

static __always_inline int run(frame_t *ctx, __u32 flow, __u8 flags)
{
	struct ethhdr *ethernet = frame_data(ctx);
	struct iphdr *ip = (void *)(ethernet + 1);
	struct tcphdr *tcp = (void *)(ip + 1);
	struct conn_key key = key_of(flow);
	int action;

	if ((void *)(tcp + 1) > frame_end(ctx))
		return XDP_ABORTED;
	*(__u32 *)ethernet->h_dest = bpf_htonl(0x02000000);
	*(__u16 *)(ethernet->h_dest + 4) = bpf_htons(1);
	ip->ttl = 64;
	ip->saddr = key.from;
	ip->daddr = key.to;
	tcp->source = key.from_port;
	tcp->dest = key.to_port;
	((__u8 *)tcp)[13] = flags;
	action = handle_frame(ctx);
	depend_on(ctx);
	return action;
}

static __always_inline void forget(__u32 flow)
{
	struct conn_key key = key_of(flow);
	struct conn conn;

	if (conn_find(&key, &conn))
		conn_remove(&conn);
}

SEC("xdp")
int open_flows(frame_t *ctx)
{
	return run(ctx, next_flow++ % FLOWS, TCP_SYN);
}

SEC("xdp")
int establish_flows(frame_t *ctx)
{
	return run(ctx, next_flow++ % FLOWS, TCP_ACK);
}

SEC("xdp")
int one_flow(frame_t *ctx)
{
	return run(ctx, random_number() & 0, TCP_ACK);
}

SEC("xdp")
int flows_64k(frame_t *ctx)
{
	return run(ctx, random_number() % 65536, TCP_ACK);
}

SEC("xdp")
int flows_1m(frame_t *ctx)
{
	return run(ctx, random_number() % FLOWS, TCP_ACK);
}

/* New flows; forget_new removes them again, outside of what is measured. */
SEC("xdp")
int new_flows(frame_t *ctx)
{
	return run(ctx, FLOWS + scattered(next_new++) % (FLOWS * 64), TCP_SYN);
}

SEC("xdp")
int forget_new(frame_t *ctx)
{
	forget(FLOWS + scattered(next_gone++) % (FLOWS * 64));
	return XDP_DROP;
}

/* Insertion and deletion in the table alone, of a connection that is one entry in either: the
 * destination is the one by direct routing. */
SEC("xdp")
int insert_delete(frame_t *ctx)
{
	struct conn_request request = {};

	request.key = key_of(FLOWS + random_number() % (FLOWS * 64));
	request.destination = 16;
	request.now = conn_clock();
	request.state = SYN_RECV;
	if (conn_create(&request) == CREATED) {
		struct conn conn;

		if (conn_find(&request.key, &conn) && conn_remove(&conn))
			return XDP_TX;
	}
	return XDP_DROP;
}

SEC("xdp")
int mac_swap(frame_t *ctx)
{
	struct ethhdr *ethernet = frame_data(ctx);
	__u8 mac[ETH_ALEN];

	if ((void *)(ethernet + 1) > frame_end(ctx))
		return XDP_DROP;
	__builtin_memcpy(mac, ethernet->h_dest, ETH_ALEN);
	__builtin_memcpy(ethernet->h_dest, ethernet->h_source, ETH_ALEN);
	__builtin_memcpy(ethernet->h_source, mac, ETH_ALEN);
	return XDP_TX;
}
