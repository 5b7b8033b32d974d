// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What the packet benchmark runs: the forwarding program on packets of many clients, and the least
 * that a forwarding program can do. A test run hands the same buffer to every repetition, so the
 * head of the packet is written anew each time; that is counted as ours. */
#include "evenkeel.bpf.c"

#define PORTS_EACH 32768 /* flows of one client address */

__u32 next_flow;
__u64 random_state = 88172645463325252ULL;

static __always_inline __u32 random_number(void)
{
	__u64 state = random_state;

	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	random_state = state;
	return state >> 16;
}

static __always_inline int run(struct xdp_md *ctx, __u32 flow, __u8 flags)
{
	struct ethhdr *ethernet = (void *)(long)ctx->data;
	struct iphdr *ip = (void *)(ethernet + 1);
	struct tcphdr *tcp = (void *)(ip + 1);

	if ((void *)(tcp + 1) > (void *)(long)ctx->data_end)
		return XDP_ABORTED;
	*(__u32 *)ethernet->h_dest = bpf_htonl(0x02000000);
	*(__u16 *)(ethernet->h_dest + 4) = bpf_htons(1);
	ip->ttl = 64;
	ip->saddr = bpf_htonl(0x0b000000 + flow / PORTS_EACH);
	ip->daddr = bpf_htonl(0xc0000201);
	tcp->source = bpf_htons(1024 + flow % PORTS_EACH);
	tcp->dest = bpf_htons(80);
	((__u8 *)tcp)[13] = flags;
	return handle_frame(ctx);
}

SEC("xdp")
int open_flows(struct xdp_md *ctx)
{
	return run(ctx, next_flow++, TCP_SYN);
}

SEC("xdp")
int one_flow(struct xdp_md *ctx)
{
	return run(ctx, random_number() & 0, TCP_ACK);
}

SEC("xdp")
int flows_64k(struct xdp_md *ctx)
{
	return run(ctx, random_number() % 65536, TCP_ACK);
}

SEC("xdp")
int flows_1m(struct xdp_md *ctx)
{
	return run(ctx, random_number() % 1000000, TCP_ACK);
}

SEC("xdp")
int mac_swap(struct xdp_md *ctx)
{
	struct ethhdr *ethernet = (void *)(long)ctx->data;
	__u8 mac[ETH_ALEN];

	if ((void *)(ethernet + 1) > (void *)(long)ctx->data_end)
		return XDP_DROP;
	__builtin_memcpy(mac, ethernet->h_dest, ETH_ALEN);
	__builtin_memcpy(ethernet->h_dest, ethernet->h_source, ETH_ALEN);
	__builtin_memcpy(ethernet->h_source, mac, ETH_ALEN);
	return XDP_TX;
}
