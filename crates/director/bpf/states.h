/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Connection states and how packets move them: IPVS's names, numbers and behaviour, so that
 * `ipvsadm -Lnc` shows what an administrator expects. SCTP's are in sctp.h. */
#ifndef EVENKEEL_STATES_H
#define EVENKEEL_STATES_H

#include <linux/types.h>

enum state {
	NONE, ESTABLISHED, SYN_SENT, SYN_RECV, FIN_WAIT, TIME_WAIT, CLOSE, CLOSE_WAIT, LAST_ACK,
	LISTEN, SYNACK,
	UDP_FLOW, /* not TCP */
	TEMPLATE, /* of persistence; its timeout is its own */
};

enum direction {
	FROM_CLIENT, /* and the answers are seen too (NAT) */
	FROM_SERVER,
	CLIENT_ONLY, /* the answers take another way (direct routing) */
};

enum event { ON_SYN, ON_FIN, ON_ACK, ON_RST, ON_OTHER };

#include "sctp.h"

/* One row per direction and event, one column per present state in the order of the enum. */
#define NO NONE
#define ES ESTABLISHED
#define SS SYN_SENT
#define SR SYN_RECV
#define FW FIN_WAIT
#define TW TIME_WAIT
#define CL CLOSE
#define CW CLOSE_WAIT
#define LA LAST_ACK
#define LI LISTEN
#define SA SYNACK
static const __u8 next_state[3][4][16] = {
	[FROM_CLIENT] = {
		/*           NO  ES  SS  SR  FW  TW  CL  CW  LA  LI  SA */
		[ON_SYN] = { SR, ES, ES, SR, SR, SR, SR, SR, SR, SR, SR },
		[ON_FIN] = { CL, CW, SS, TW, TW, TW, CL, CW, LA, LI, TW },
		[ON_ACK] = { ES, ES, SS, ES, FW, TW, CL, CW, CL, LI, ES },
		[ON_RST] = { CL, CL, CL, SR, CL, CL, CL, CL, LA, LI, SR },
	},
	[FROM_SERVER] = {
		[ON_SYN] = { SS, ES, SS, SR, SS, SS, SS, SS, SS, LI, SR },
		[ON_FIN] = { TW, FW, SS, TW, FW, TW, CL, TW, LA, LI, TW },
		[ON_ACK] = { ES, ES, SS, ES, FW, TW, CL, CW, LA, ES, ES },
		[ON_RST] = { CL, CL, SS, CL, CL, TW, CL, CL, CL, CL, CL },
	},
	[CLIENT_ONLY] = {
		[ON_SYN] = { SR, ES, ES, SR, SR, SR, SR, SR, SR, SR, SR },
		[ON_FIN] = { CL, FW, SS, TW, FW, TW, CL, CW, LA, LI, TW },
		[ON_ACK] = { ES, ES, SS, ES, FW, TW, CL, CW, CL, LI, ES },
		[ON_RST] = { CL, CL, CL, SR, CL, CL, CL, CL, LA, LI, CL },
	},
};
#undef NO
#undef ES
#undef SS
#undef SR
#undef FW
#undef TW
#undef CL
#undef CW
#undef LA
#undef LI
#undef SA

#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_ACK 0x10

/* Room for the numbers of states. */
#define STATE_NUMBERS 32

#define STATE_BIT(state) (1U << (state))

/* Whether a connection counts as active: TCP from its SYN until it closes, as in the kernel's
 * tcp_state_active_table; SCTP while it is established; nothing of UDP. */
static __always_inline int is_active(__u32 state)
{
	return STATE_BIT(state & (STATE_NUMBERS - 1)) &
	       (STATE_BIT(ESTABLISHED) | STATE_BIT(SYN_SENT) | STATE_BIT(SYN_RECV) |
		STATE_BIT(SYNACK) | STATE_BIT(SCTP_ESTABLISHED));
}

/* Whether it awaits what only a client sends that means it. */
static __always_inline int is_half_open(__u32 state)
{
	return state == SYN_RECV || state == SCTP_INIT1;
}

/* Whether it is over, and only what is late may still come. */
static __always_inline int has_ended(__u32 state)
{
	return state == TIME_WAIT || state == CLOSE || state == SCTP_CLOSED;
}

/* Whether packets move it from state to state. */
static __always_inline int is_moved(__u32 state)
{
	return state != UDP_FLOW && state != TEMPLATE;
}

static __always_inline __u32 event_of(__u8 flags)
{
	if (flags & TCP_RST)
		return ON_RST;
	if (flags & TCP_SYN)
		return ON_SYN;
	if (flags & TCP_FIN)
		return ON_FIN;
	return flags & TCP_ACK ? ON_ACK : ON_OTHER;
}

static __always_inline __u32 tcp_state_after(__u32 state, __u32 direction, __u32 event)
{
	if (event >= ON_OTHER || direction > CLIENT_ONLY)
		return CLOSE;
	return next_state[direction][event][state & 15];
}

/* Of TCP and SCTP. */
static __always_inline __u32 state_after(__u32 state, __u32 direction, __u32 event)
{
	int is_of_sctp = state >= SCTP_NONE;

	/* The verifier wants its bounds looked at after the test. */
	asm volatile("" : "+r"(state));
	return is_of_sctp ? sctp_state_after(state, direction, event)
			  : tcp_state_after(state, direction, event);
}

#endif
