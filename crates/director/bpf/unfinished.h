/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Checksums that a device is to complete, under one that is added up here (tc only).
 *
 * The kernel does not tell which these are, and need not: the field has the sum of the pseudo header
 * then. Once completed, the segment adds up to the complement of that, whatever is in it; and so
 * does a complete one whose checksum happens to look alike. Kernel: lco_csum. */
#ifndef EVENKEEL_UNFINISHED_H
#define EVENKEEL_UNFINISHED_H

#include "packet.h"

struct unfinished {
	__u32 before; /* bytes from the IP header to the segment; 0: it is as it will be */
	__u32 sum;    /* what the segment will add up to */
};

#ifdef HOOK_TC

/* Of a parsed packet. */
static __always_inline struct unfinished unfinished_part(const struct packet *packet)
{
	struct wide_address from = widened(header_from(packet->ip));
	struct wide_address to = widened(header_to(packet->ip));
	struct unfinished unfinished = {};
	__u32 before = headers_of(packet);
	__u32 pseudo = bpf_htons(packet_protocol(packet));
	__u16 found = *packet->checksum;

	/* The prefix of a mapped IPv4 address adds nothing to a sum modulo 0xffff. */
	pseudo += sum_of_ends(&from, &to) + bpf_htons(packet->bytes - before);
	if (packet->is_first || found != fold(pseudo))
		return unfinished;
	unfinished.before = before;
	unfinished.sum = (__u16)~found;
	return unfinished;
}

#else

static __always_inline struct unfinished unfinished_part(const struct packet *packet)
{
	struct unfinished unfinished = {};

	return unfinished;
}

#endif

/* checksum_of() of a part of the frame with a packet in it, whose header is at `packet`. */
static __always_inline int
checksum_over(frame_t *ctx, __u32 at, __u32 packet, __u32 end, __u32 sum,
	      const struct unfinished *unfinished, __u16 *checksum)
{
	if (unfinished->before) {
		end = packet + unfinished->before;
		sum += unfinished->sum;
	}
	return checksum_of(ctx, at, end, sum, checksum);
}

#endif
