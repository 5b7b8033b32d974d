/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* IPv4's part of family.h. */
#ifndef EVENKEEL_FAMILY4_H
#define EVENKEEL_FAMILY4_H

#define ADDRESS_BITS 32
#define FAMILY_ETHERTYPE bpf_htons(ETH_P_IP)
#define FAMILY_NUMBER AF_INET

typedef __be32 address_t;
typedef __be16 fragment_id_t;
/* A protocol's number where it fills a key up. */
typedef __u16 protocol_t;

static __always_inline int address_is_equal(address_t one, address_t other)
{
	return one == other;
}

static __always_inline address_t narrowed(const struct wide_address *wide)
{
	return wide->word[3];
}

static __always_inline struct wide_address widened(address_t address)
{
	return wide_of_ipv4(address);
}

/* Its first bits. */
static __always_inline address_t address_prefix(address_t address, __u32 bits)
{
	return bits ? address & bpf_htonl(0xffffffffU << ((32 - bits) & 31)) : 0;
}

/* As one word. */
static __always_inline __be32 address_word(address_t address)
{
	return address;
}

/* 127.0.0.0/8 */
static __always_inline int is_loopback(address_t address)
{
	return (address & bpf_htonl(0xff000000)) == bpf_htonl(0x7f000000);
}

/* RFC 1122 3.2.2: nobody answers what did not come from one machine. */
static __always_inline int is_one_machine(address_t address)
{
	__u32 first = bpf_ntohl(address) >> 24;

	return first != 0 && first != 127 && first < 224;
}

#endif
