/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* IPv6's part of family.h. */
#ifndef EVENKEEL_FAMILY6_H
#define EVENKEEL_FAMILY6_H

#define ADDRESS_BITS 128
#define FAMILY_ETHERTYPE bpf_htons(ETH_P_IPV6)
#define FAMILY_NUMBER AF_INET6

/* A number, which the compiler keeps in registers where it would copy a structure about the stack. */
typedef unsigned __int128 address_t __attribute__((aligned(8)));
typedef __be32 fragment_id_t;
typedef __u32 protocol_t;

/* The maps of this family. */
#define connections connections6
#define services services6
#define trails trails6
#define relayed relayed6

/* Its halves, the first in memory first. */
static __always_inline __u64 half_of(address_t address, int which)
{
	return which ? address >> 64 : address;
}

static __always_inline __be32 word_of_address(address_t address, int which)
{
	return address >> 32 * which;
}

static __always_inline address_t address_of_halves(__u64 first, __u64 second)
{
	return (address_t)second << 64 | first;
}

static __always_inline int address_is_equal(address_t one, address_t other)
{
	return half_of(one, 0) == half_of(other, 0) && half_of(one, 1) == half_of(other, 1);
}

static __always_inline address_t narrowed(const struct wide_address *wide)
{
	return address_of_halves(wide->half[0], wide->half[1]);
}

static __always_inline struct wide_address widened(address_t address)
{
	struct wide_address wide = { .half = { half_of(address, 0), half_of(address, 1) } };

	return wide;
}

/* The first bits of one half. */
static __always_inline __u64 half_prefix(__u64 half, __u32 bits)
{
	if (bits >= 64)
		return half;
	return bits ? half & bpf_cpu_to_be64(~0ULL << ((64 - bits) & 63)) : 0;
}

/* Its first bits. */
static __always_inline address_t address_prefix(address_t address, __u32 bits)
{
	return address_of_halves(half_prefix(half_of(address, 0), bits),
				 half_prefix(half_of(address, 1), bits > 64 ? bits - 64 : 0));
}

/* As one word. */
static __always_inline __be32 address_word(address_t address)
{
	__u64 folded = half_of(address, 0) ^ half_of(address, 1);

	return folded ^ folded >> 32;
}

/* ::1 */
static __always_inline int is_loopback(address_t address)
{
	return !half_of(address, 0) && half_of(address, 1) == bpf_cpu_to_be64(1);
}

/* RFC 4443 2.4 (e): nobody answers what did not come from one machine. */
static __always_inline int is_one_machine(address_t address)
{
	return address && !is_loopback(address) && (__u8)address != 0xff;
}

#endif
