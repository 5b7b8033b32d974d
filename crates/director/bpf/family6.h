/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* IPv6's part of family.h. */
#ifndef EVENKEEL_FAMILY6_H
#define EVENKEEL_FAMILY6_H

#define ADDRESS_BITS 128
#define FAMILY_ETHERTYPE bpf_htons(ETH_P_IPV6)
#define FAMILY_NUMBER AF_INET6

typedef struct wide_address address_t;
typedef __be32 fragment_id_t;
typedef __u32 protocol_t;

/* The maps of this family. */
#define connections connections6
#define services services6
#define trails trails6
#define relayed relayed6

static __always_inline int address_is_equal(address_t one, address_t other)
{
	return wide_is_equal(one, other);
}

static __always_inline address_t narrowed(const struct wide_address *wide)
{
	return *wide;
}

static __always_inline struct wide_address widened(address_t address)
{
	return address;
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
	address.half[0] = half_prefix(address.half[0], bits);
	address.half[1] = half_prefix(address.half[1], bits > 64 ? bits - 64 : 0);
	return address;
}

/* As one word. */
static __always_inline __be32 address_word(address_t address)
{
	return address.word[0] ^ address.word[1] ^ address.word[2] ^ address.word[3];
}

/* ::1 */
static __always_inline int is_loopback(address_t address)
{
	return !address.half[0] && address.half[1] == bpf_cpu_to_be64(1);
}

/* RFC 4443 2.4 (e): nobody answers what did not come from one machine. */
static __always_inline int is_one_machine(address_t address)
{
	return !wide_is_zero(&address) && !is_loopback(address) &&
	       (address.half[0] & bpf_cpu_to_be64(0xffULL << 56)) !=
		       bpf_cpu_to_be64(0xffULL << 56);
}

#endif
