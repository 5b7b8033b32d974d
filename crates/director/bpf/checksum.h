/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Internet checksums (RFC 1071): changed with what they cover, or added up anew. */
#ifndef EVENKEEL_CHECKSUM_H
#define EVENKEEL_CHECKSUM_H

#include <linux/bpf.h>
#include <linux/ip.h>
#include <bpf/bpf_helpers.h>

#include "family.h"
#include "hook.h"

#define SUM_STEP 64
#define SUM_STEPS (65536 / SUM_STEP)

/* RFC 1624 equation 3, HC' = ~(~HC + ~m + m'), on a sum that is folded at the end. */
static __always_inline __u16 fold(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

static __always_inline __u32 change_of_word(__be32 old, __be32 new)
{
	return (~old & 0xffff) + (~old >> 16) + (new & 0xffff) + (new >> 16);
}

static __always_inline __u32 change_of_address(address_t old, address_t new)
{
#if FAMILY == 4
	return change_of_word(old, new);
#else
	__u32 change = 0;

#pragma unroll
	for (int at = 0; at < 4; at++)
		change += change_of_word(word_of_address(old, at), word_of_address(new, at));
	return change;
#endif
}

static __always_inline __u32 change_of_port(__be16 old, __be16 new)
{
	return (__u16)~old + (__u32)new;
}

static __always_inline void change_checksum(__sum16 *checksum, __u32 change)
{
	*checksum = ~fold((__u16)~*checksum + change);
}

/* The words of two addresses, as a pseudo header has them. */
static __always_inline __u32
sum_of_ends(const struct wide_address *from, const struct wide_address *to)
{
	__u32 sum = 0;

#pragma unroll
	for (int at = 0; at < 4; at++) {
		__be32 one = from->word[at], other = to->word[at];

		sum += (one & 0xffff) + (one >> 16) + (other & 0xffff) + (other >> 16);
	}
	return sum;
}

/* Of a header without options, whose checksum is zero still. */
static __always_inline __u16 header_checksum(const struct iphdr *ip)
{
	const __u16 *half = (const void *)ip;
	__u32 sum = 0;

#pragma unroll
	for (int at = 0; at < (int)sizeof(*ip) / 2; at++)
		sum += half[at];
	return ~fold(sum);
}

struct summing {
	frame_t *ctx;
	__u32 at;
	__u32 end;
	__u32 sum;
	__u32 failed;
};

static long sum_on(__u32 step, struct summing *summing)
{
	__u32 part[SUM_STEP / 4] = {};
	__u32 length = summing->end - summing->at;

	if (summing->at >= summing->end)
		return 1;
	if (length > SUM_STEP)
		length = SUM_STEP;
	/* For the verifier, which does not see that it is 1 to SUM_STEP. */
	length = (length - 1) & (SUM_STEP - 1);
	asm volatile("" : "+r"(length));
	length += 1;
	if (frame_load(summing->ctx, summing->at, part, length)) {
		summing->failed = 1;
		return 1;
	}
	summing->sum = bpf_csum_diff(0, 0, part, sizeof(part), summing->sum);
	summing->at += length;
	return 0;
}

/* The checksum of a part of the frame, with `sum` on top. Not zero if it cannot be read. */
static __always_inline int
checksum_of(frame_t *ctx, __u32 at, __u32 end, __u32 sum, __u16 *checksum)
{
	struct summing summing = { .ctx = ctx, .at = at, .end = end, .sum = sum };

	bpf_loop(SUM_STEPS, sum_on, &summing, 0);
	*checksum = ~fold(summing.sum);
	return summing.failed;
}

#endif
