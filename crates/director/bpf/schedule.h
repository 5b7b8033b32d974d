/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Chooses the destination of a new connection, as IPVS's schedulers do. crates/sched is the same in
 * Rust, and the tests hold the two against each other.
 *
 * schedule/turns.h     rr, wrr
 * schedule/least.h     lc, wlc, sed, nq, fo, ovf, twos
 * schedule/slots.h     dh, sh, mh
 * schedule/locality.h  lblc, lblcr */
#ifndef EVENKEEL_SCHEDULE_H
#define EVENKEEL_SCHEDULE_H

#include "conn.h"
#include "maps.h"
#include "schedule/members.h"
#include "schedule/turns.h"
#include "schedule/least.h"
#include "schedule/slots.h"
#include "schedule/locality.h"

/* Not static: verified once by itself, and not again for every way that leads here. */
__noinline __u32 schedule(const struct service *service, const struct conn_key *key)
{
	if (!service || !key || !service->count || !service->weight_max)
		return NOBODY;
	switch (service->scheduler) {
	case SCHEDULE_RR:
	case SCHEDULE_WRR:
		return schedule_in_turn(service);
	case SCHEDULE_DH:
		return schedule_by_destination(service, key);
	case SCHEDULE_SH:
		return schedule_by_source(service, key);
	case SCHEDULE_MH:
		return schedule_maglev(service, key);
	case SCHEDULE_LBLC:
	case SCHEDULE_LBLCR:
		return schedule_local(service, key);
	case SCHEDULE_TWOS:
		return schedule_two_choices(service);
	}
	return schedule_least(service);
}

#endif
