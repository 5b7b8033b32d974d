/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Addresses. The programs are compiled once for each family (-DFAMILY=4, -DFAMILY=6) into objects
 * of their own; what differs between the two is here, in family4.h and family6.h, and wherever
 * else it says FAMILY. Maps with addresses in their keys are one per family, all others shared. */
#ifndef EVENKEEL_FAMILY_H
#define EVENKEEL_FAMILY_H

#include <linux/types.h>
#include <bpf/bpf_endian.h>

#ifndef FAMILY
#define FAMILY 4
#endif

#define AF_INET 2
#define AF_INET6 10

/* An address of either family, IPv4 mapped into IPv6: what shared maps hold. */
struct wide_address {
	union {
		__be32 word[4];
		__u64 half[2];
	};
};

static __always_inline int wide_is_zero(const struct wide_address *address)
{
	return !(address->half[0] | address->half[1]);
}

/* Whether it is one of IPv4. */
static __always_inline int wide_is_mapped(const struct wide_address *address)
{
	return !address->half[0] && address->word[2] == bpf_htonl(0xffff);
}

static __always_inline struct wide_address wide_of_ipv4(__be32 address)
{
	struct wide_address wide = { .word = { 0, 0, bpf_htonl(0xffff), address } };

	return wide;
}

#if FAMILY == 4
#include "family4.h"
#elif FAMILY == 6
#include "family6.h"
#else
#error "FAMILY is 4 or 6"
#endif

/* As one number of the machine's byte order. Kernel: the schedulers' addr_fold. */
static __always_inline __u32 address_folded(address_t address)
{
	return bpf_ntohl(address_word(address));
}

#endif
