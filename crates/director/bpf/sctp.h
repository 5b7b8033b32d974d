/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* SCTP: how chunks move the state of an association, with IPVS's names and behaviour (kernel:
 * net/netfilter/ipvs/ip_vs_proto_sctp.c), and what another port does to the checksum. */
#ifndef EVENKEEL_SCTP_H
#define EVENKEEL_SCTP_H

#include <linux/types.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

struct sctp_header {
	__be16 from;
	__be16 to;
	__be32 tag;
	__u32 checksum; /* CRC32c, in the order in which it is computed */
};

struct sctp_chunk {
	__u8 type;
	__u8 flags;
	__be16 length;
};

#define CHUNK_MAX 0x3ffc /* bytes of one that another one may follow */

enum sctp_chunk_type {
	CHUNK_INIT = 1,
	CHUNK_INIT_ACK = 2,
	CHUNK_ABORT = 6,
	CHUNK_SHUTDOWN = 7,
	CHUNK_SHUTDOWN_ACK = 8,
	CHUNK_ERROR = 9,
	CHUNK_COOKIE_ECHO = 10,
	CHUNK_COOKIE_ACK = 11,
	CHUNK_SHUTDOWN_COMPLETE = 14,
};

enum sctp_event {
	ON_DATA, /* and whatever has no event of its own */
	ON_INIT,
	ON_INIT_ACK,
	ON_COOKIE_ECHO,
	ON_COOKIE_ACK,
	ON_SHUTDOWN,
	ON_SHUTDOWN_ACK,
	ON_SHUTDOWN_COMPLETE,
	ON_ERROR,
	ON_ABORT,
};

/* By the numbers that model::layer4::State has for them. */
enum sctp_state {
	SCTP_NONE = 16,
	SCTP_INIT1, /* its first INIT came */
	SCTP_INIT, /* another one did */
	SCTP_COOKIE_SENT, /* the server's INIT ACK */
	SCTP_COOKIE_REPLIED, /* the client's COOKIE ECHO */
	SCTP_COOKIE_WAIT, /* the server's INIT, for one that it opens */
	SCTP_COOKIE, /* the client's INIT ACK */
	SCTP_COOKIE_ECHOED, /* the server's COOKIE ECHO */
	SCTP_ESTABLISHED,
	SCTP_SHUTDOWN_SENT,
	SCTP_SHUTDOWN_RECEIVED,
	SCTP_SHUTDOWN_ACK_SENT,
	SCTP_REJECTED,
	SCTP_CLOSED,
	SCTP_STATES
};

#define NO SCTP_NONE
#define I1 SCTP_INIT1
#define IN SCTP_INIT
#define CS SCTP_COOKIE_SENT
#define CR SCTP_COOKIE_REPLIED
#define CW SCTP_COOKIE_WAIT
#define CO SCTP_COOKIE
#define CE SCTP_COOKIE_ECHOED
#define ES SCTP_ESTABLISHED
#define SS SCTP_SHUTDOWN_SENT
#define SR SCTP_SHUTDOWN_RECEIVED
#define SA SCTP_SHUTDOWN_ACK_SENT
#define RJ SCTP_REJECTED
#define CL SCTP_CLOSED

/* One row per direction and event, one column per present state in the order of the enum. */
static const __u8 sctp_next_state[3][10][16] = {
	[FROM_CLIENT] = {
		/*                      NO  I1  IN  CS  CR  CW  CO  CE  ES  SS  SR  SA  RJ  CL */
		[ON_DATA]              = { ES, I1, IN, CS, CR, CW, CO, CE, ES, SS, SR, SA, RJ, CL },
		[ON_INIT]              = { I1, IN, IN, CS, CR, CW, CO, CE, ES, SS, SR, SA, IN, IN },
		[ON_INIT_ACK]          = { CW, CW, CW, CS, CR, CO, CO, CE, ES, SS, SR, SA, RJ, CL },
		[ON_COOKIE_ECHO]       = { CR, IN, IN, CR, CR, CW, CO, CE, ES, SS, SR, SA, RJ, CL },
		[ON_COOKIE_ACK]        = { ES, I1, IN, CS, CR, CW, CO, ES, ES, SS, SR, SA, RJ, CL },
		[ON_SHUTDOWN]          = { SR, I1, IN, CS, CR, CW, CO, CE, SR, SS, SR, SA, RJ, CL },
		[ON_SHUTDOWN_ACK]      = { CL, IN, IN, CS, CR, CW, CO, CE, ES, CL, SR, CL, RJ, CL },
		[ON_SHUTDOWN_COMPLETE] = { CL, CL, CL, CS, CR, CW, CO, CE, ES, SS, SR, CL, RJ, CL },
		[ON_ERROR]             = { CL, I1, IN, CS, CR, CW, CO, CL, ES, SS, SR, SA, RJ, CL },
		[ON_ABORT]             = { CL, CL, CL, CL, CL, RJ, CL, CL, CL, CL, CL, CL, CL, CL },
	},
	[FROM_SERVER] = {
		/*                      NO  I1  IN  CS  CR  CW  CO  CE  ES  SS  SR  SA  RJ  CL */
		[ON_DATA]              = { ES, I1, IN, CS, CR, CW, CO, CE, ES, SS, SR, SA, RJ, CL },
		[ON_INIT]              = { CW, CW, CW, CW, CW, CW, CW, CW, ES, CW, CW, CW, CW, CW },
		[ON_INIT_ACK]          = { CS, CS, CS, CS, CR, CW, CO, CE, ES, SS, SR, SA, RJ, CL },
		[ON_COOKIE_ECHO]       = { CE, CE, CE, CE, CE, CE, CE, CE, ES, SS, SR, SA, RJ, CL },
		[ON_COOKIE_ACK]        = { ES, ES, ES, ES, ES, ES, ES, ES, ES, SS, SR, SA, RJ, CL },
		[ON_SHUTDOWN]          = { SS, SS, SS, SS, SS, SS, SS, SS, SS, SS, SR, SA, RJ, CL },
		[ON_SHUTDOWN_ACK]      = { SA, SA, SA, SA, SA, CW, CO, CE, ES, SA, SA, SA, RJ, CL },
		[ON_SHUTDOWN_COMPLETE] = { CL, I1, IN, CS, CR, CW, CO, CE, ES, SS, SR, SA, RJ, CL },
		[ON_ERROR]             = { CL, CL, CL, CL, CL, CW, CO, CE, ES, SS, SR, SA, RJ, CL },
		[ON_ABORT]             = { CL, RJ, CL, CL, CL, CL, CL, CL, CL, CL, CL, CL, CL, CL },
	},
	[CLIENT_ONLY] = {
		/*                      NO  I1  IN  CS  CR  CW  CO  CE  ES  SS  SR  SA  RJ  CL */
		[ON_DATA]              = { ES, I1, IN, CS, CR, ES, CO, CE, ES, SS, SR, SA, RJ, CL },
		[ON_INIT]              = { I1, IN, IN, IN, IN, IN, CO, CE, ES, SS, SR, SA, IN, IN },
		[ON_INIT_ACK]          = { CE, CE, CE, CE, CE, CE, CO, CE, ES, SS, SR, SA, RJ, CL },
		[ON_COOKIE_ECHO]       = { ES, ES, ES, ES, ES, ES, CO, CE, ES, SS, SR, SA, RJ, CL },
		[ON_COOKIE_ACK]        = { ES, I1, IN, ES, ES, CW, ES, ES, ES, SS, SR, SA, RJ, CL },
		[ON_SHUTDOWN]          = { SR, I1, IN, CS, CR, CW, CO, CE, SR, SS, SR, SA, RJ, CL },
		[ON_SHUTDOWN_ACK]      = { CL, IN, IN, CS, CR, CW, CO, CE, CL, CL, SR, CL, RJ, CL },
		[ON_SHUTDOWN_COMPLETE] = { CL, CL, CL, CL, CL, CW, CO, CE, ES, SS, CL, CL, RJ, CL },
		[ON_ERROR]             = { CL, I1, IN, CS, CR, CW, CO, CE, ES, SS, SR, SA, RJ, CL },
		[ON_ABORT]             = { CL, CL, CL, CL, CL, RJ, CL, CL, CL, CL, CL, CL, CL, CL },
	},
};
#undef NO
#undef I1
#undef IN
#undef CS
#undef CR
#undef CW
#undef CO
#undef CE
#undef ES
#undef SS
#undef SR
#undef SA
#undef RJ
#undef CL

static __always_inline __u32 sctp_event_of(__u8 chunk)
{
	switch (chunk) {
	case CHUNK_INIT:
		return ON_INIT;
	case CHUNK_INIT_ACK:
		return ON_INIT_ACK;
	case CHUNK_ABORT:
		return ON_ABORT;
	case CHUNK_SHUTDOWN:
		return ON_SHUTDOWN;
	case CHUNK_SHUTDOWN_ACK:
		return ON_SHUTDOWN_ACK;
	case CHUNK_ERROR:
		return ON_ERROR;
	case CHUNK_COOKIE_ECHO:
		return ON_COOKIE_ECHO;
	case CHUNK_COOKIE_ACK:
		return ON_COOKIE_ACK;
	case CHUNK_SHUTDOWN_COMPLETE:
		return ON_SHUTDOWN_COMPLETE;
	}
	return ON_DATA;
}

/* The event of a packet: that of its first chunk, but for an ABORT right behind one that carries a
 * cookie. */
static __always_inline __u32 sctp_event(const struct sctp_header *header, const void *end)
{
	const struct sctp_chunk *chunk = (const void *)(header + 1), *next;
	__u32 length;

	if ((const void *)(chunk + 1) > end)
		return ON_DATA;
	if (chunk->type == CHUNK_COOKIE_ECHO || chunk->type == CHUNK_COOKIE_ACK) {
		length = (bpf_ntohs(chunk->length) + 3) & ~3U;
		next = (const void *)chunk + (length & CHUNK_MAX);
		if (length >= sizeof(*chunk) && length <= CHUNK_MAX &&
		    (const void *)(next + 1) <= end &&
		    next->type == CHUNK_ABORT)
			return ON_ABORT;
	}
	return sctp_event_of(chunk->type);
}

static __always_inline __u32 sctp_state_after(__u32 state, __u32 direction, __u32 event)
{
	if (event > ON_ABORT || direction > CLIENT_ONLY)
		return state;
	return sctp_next_state[direction][event][state & 15];
}

/* x^(8n) modulo the polynomial of CRC32c, bits reflected, for n = 16^row * column. */
static const __u32 crc_of_zeros[4][16] = {
	{
		0x80000000, 0x00800000, 0x00008000, 0x00000080,
		0x82f63b78, 0xfbc3faf9, 0x8b277743, 0x52a0c93f,
		0x6ea2d55c, 0x1c08b7d6, 0xf56e0ef4, 0x34019664,
		0xa66805eb, 0x7a1f6b24, 0xe75d06aa, 0xc94ec098,
	},
	{
		0x80000000, 0x18b8ea18, 0x510ac59a, 0xb2dea967,
		0xb82be955, 0x36c41f1c, 0x19b29a35, 0xc9e90b9e,
		0xb8fdb1e7, 0xe55ef1f3, 0x1fe0b5c3, 0xe0553f1e,
		0x18e4a304, 0x2b830011, 0x56993a31, 0x0246e2e6,
	},
	{
		0x80000000, 0x88e56f72, 0x74c360a4, 0x631bb273,
		0xe4172b16, 0x71892b1b, 0x835305c9, 0x196b1eae,
		0x0d65762a, 0xafc81338, 0xb5a50ab7, 0xf373c3ac,
		0x5f60970f, 0xd46d3063, 0x3a5275ea, 0x02331c01,
	},
	{
		0x80000000, 0x35d73a62, 0x28461564, 0x43eefc9f,
		0xbf455269, 0x5edcdeb9, 0x65059450, 0x4e6f41a4,
		0xe2ea32dc, 0xf5b95b32, 0x695a4c87, 0xf204502c,
		0x9a4f01b6, 0x941a0916, 0x4303cb97, 0x4c3d3d65,
	},
};

/* The product of two polynomials modulo that of CRC32c, bits reflected. */
__noinline __u32 crc_product(__u32 one, __u32 other)
{
	__u32 product = 0;

	for (int bit = 0; bit < 32; bit++) {
		product ^= other & -(one >> 31);
		one <<= 1;
		other = (other >> 1) ^ (0x82f63b78 & -(other & 1));
	}
	return product;
}

/* How the checksum of a packet of so many bytes changes when its first four do. The CRC is linear:
 * the change of the bytes, moved past all that follow them; nothing of those need be read. */
static __always_inline __u32 sctp_checksum_change(__u32 ports_change, __u32 bytes)
{
	__u32 change = ports_change;

	for (int row = 0; row < 4; row++) {
		__u32 column = bytes >> (4 * row) & 15;

		if (column)
			change = crc_product(crc_of_zeros[row][column], change);
	}
	return change;
}

#endif
