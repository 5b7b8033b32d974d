// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Evenkeel's layer-4 data plane, for one hook (hook.h) and one address family (family.h).
 *
 * XDP:
 * evenkeel_xdp     forwards, on every interface that takes part
 * evenkeel_reap    user space runs it to remove connections whose time is over
 * tc:
 * evenkeel_tc_in   forwards, on interfaces where XDP does not (ingress)
 * evenkeel_arrive  answers to clients on this machine, behind evenkeel_xdp (ingress)
 * evenkeel_tc      rewrites the answers that the kernel forwards, as they leave (egress)
 * evenkeel_local   requests of clients on this machine (the loopback's egress)
 *
 * TCP, UDP and SCTP, whole or in fragments, and the ICMP errors about them; other ICMP passes. */
#include "draft.h"
#include "packet.h"
#include "schedule.h"
#include "stateless.h"
#include "forward.h"
#include "marks.h"
#include "ours.h"
#include "usual.h"
#include "errors.h"
#include "fragments.h"
#ifndef BENCH_KERNEL_HASH
#include "handover.h"
#ifndef HOOK_TC
#include "take.h"
#endif
#endif
#include "segments.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* Later fragments and ICMP; and who need not be looked at. */
static __always_inline int handle_other(frame_t *ctx)
{
	struct packet packet;

	switch (parse(&packet, frame_data(ctx), frame_end(ctx))) {
	case FRAGMENT:
		return is_for_us(ctx, &packet) ? handle_fragment(ctx)
					       : pass(COUNT_passed_other_mac);
	case ICMP:
		return is_for_us(ctx, &packet) ? handle_icmp(ctx) : pass(COUNT_passed_other_mac);
	case LOOPBACK:
		return drop(COUNT_dropped_loopback);
	case PARSED:
	case NOT_OURS:
		break;
	}
	return pass(COUNT_passed_not_ours);
}

/* The rest, for a packet that is not what nearly every one is. */
static __always_inline int handle_unusual(frame_t *ctx, int verdict)
{
	if (verdict == NO_SEGMENT) {
		verdict = handle_other(ctx);
		if (verdict == ABOUT_TUNNEL)
			return handle_tunnel_error(ctx);
	} else {
		verdict = handle_segment(ctx, verdict == UNKNOWN);
		if (verdict == OPENS_CONNECTION)
			verdict = open_connection(ctx);
	}
	return go_on(ctx, verdict);
}

static __always_inline int handle_frame(frame_t *ctx)
{
	int verdict = handle_usual(ctx);

	return verdict >= 0 ? verdict : handle_unusual(ctx, verdict);
}

#if FAMILY == 4

/* IPv6's programs, when they are loaded: those of IPv4 are attached, and hand over what is theirs. */
#define OTHER_FAMILY(name, count)                                                                  \
	struct {                                                                                   \
		__uint(type, BPF_MAP_TYPE_PROG_ARRAY);                                             \
		__uint(max_entries, count);                                                        \
		__uint(pinning, LIBBPF_PIN_BY_NAME);                                               \
		__type(key, __u32);                                                                \
		__type(value, __u32);                                                              \
	} name SEC(".maps")

#endif

#ifdef HOOK_TC

#include "local.h"

#if FAMILY == 4

OTHER_FAMILY(other_at_tc, PLACES);

static __always_inline void hand_over(frame_t *frame, enum place place)
{
	if (frame->protocol == bpf_htons(ETH_P_IPV6) && !frame->vlan_present)
		bpf_tail_call(frame, &other_at_tc, place);
}

#else

static __always_inline void hand_over(frame_t *frame, enum place place)
{
}

#endif

/* What tc is told. What nobody here knows is another layout's, while there is one. Filters after
 * this one see what is not ours. */
static __always_inline int tc_action(frame_t *frame, int verdict, enum place place)
{
	if (verdict == LEFT_TO_FORMER)
		bpf_tail_call(frame, &former_at_tc, place);
	return verdict == VERDICT_PASS || verdict == LEFT_TO_FORMER ? TC_ACT_UNSPEC : verdict;
}

SEC("classifier")
int evenkeel_tc_in(frame_t *frame)
{
	int verdict, arrived;

	hand_over(frame, PLACE_IN);
	if (!is_presented(frame))
		return TC_ACT_UNSPEC;
	verdict = handle_frame(frame);
	if (verdict != VERDICT_PASS && verdict != LEFT_TO_FORMER)
		return verdict;
	arrived = handle_arriving(frame);
	return tc_action(frame, arrived == VERDICT_PASS ? verdict : arrived, PLACE_IN);
}

SEC("classifier")
int evenkeel_arrive(frame_t *frame)
{
	int arrived = VERDICT_PASS;

	hand_over(frame, PLACE_ARRIVE);
	if (has_locals() && is_presented(frame))
		arrived = handle_arriving(frame);
	return tc_action(frame, arrived == VERDICT_PASS ? LEFT_TO_FORMER : arrived, PLACE_ARRIVE);
}

SEC("classifier")
int evenkeel_tc(frame_t *frame)
{
	hand_over(frame, PLACE_LEAVE);
	return is_presented(frame) ? tc_action(frame, handle_leaving(frame), PLACE_LEAVE)
				   : TC_ACT_UNSPEC;
}

SEC("classifier")
int evenkeel_local(frame_t *frame)
{
	int verdict;

	hand_over(frame, PLACE_LOCAL);
	if (!is_presented(frame))
		return TC_ACT_UNSPEC;
	verdict = handle_local(frame);
	if (verdict == NOT_LOCAL)
		verdict = handle_leaving(frame);
	return tc_action(frame, go_on(frame, verdict), PLACE_LOCAL);
}

#else

#ifndef BENCH_KERNEL_HASH

/* What nobody here knows is another layout's, while there is one. Usually there is none. */
static __always_inline int ask_former(frame_t *ctx, int verdict)
{
	if (verdict != LEFT_TO_FORMER)
		return verdict;
	bpf_tail_call(ctx, &former, 0);
	return VERDICT_PASS;
}

#if FAMILY == 4

OTHER_FAMILY(other_family, 1);

static __always_inline void hand_over(frame_t *ctx)
{
	struct ethhdr *ethernet = frame_data(ctx);

	if ((void *)(ethernet + 1) <= frame_end(ctx) &&
	    ethernet->h_proto == bpf_htons(ETH_P_IPV6))
		bpf_tail_call(ctx, &other_family, 0);
}

#else

static __always_inline void hand_over(frame_t *ctx)
{
}

#endif

SEC("xdp")
int evenkeel_xdp(frame_t *ctx)
{
	int verdict = handle_usual(ctx);

	if (verdict >= 0)
		return verdict;
	if (verdict == NO_SEGMENT)
		hand_over(ctx);
	return ask_former(ctx, handle_unusual(ctx, verdict));
}

#endif

#define REAP_HEADER 16
#define REAP_MAX 256

struct reaping {
	frame_t *ctx;
	__u32 slots;
	__u32 removed;
};

static long reap_one(__u32 step, struct reaping *reaping)
{
	__u32 number;

	if (step >= reaping->slots || step >= REAP_MAX)
		return 1;
	if (bpf_xdp_load_bytes(reaping->ctx, REAP_HEADER + step * sizeof(number), &number,
			       sizeof(number)))
		return 1;
	reaping->removed += conn_reap(number);
	return 0;
}

/* The packet: 16 bytes of which the last four are how many, then the numbers of slots. */
SEC("xdp")
int evenkeel_reap(frame_t *ctx)
{
	struct reaping reaping = { .ctx = ctx };

	if (bpf_xdp_load_bytes(ctx, REAP_HEADER - sizeof(__u32), &reaping.slots, sizeof(__u32)))
		return 0;
	bpf_loop(REAP_MAX, reap_one, &reaping, 0);
	return reaping.removed;
}

#endif
