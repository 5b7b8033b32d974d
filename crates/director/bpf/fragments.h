/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Later fragments, by the trail that the first one left. */
#ifndef EVENKEEL_FRAGMENTS_H
#define EVENKEEL_FRAGMENTS_H

#include "forward.h"
#include "ours.h"

/* Verified on its own: the way of the usual packets stays short. */
__noinline int handle_fragment(frame_t *ctx)
{
	void *end = frame_end(ctx);
	struct destination *destination;
	struct target target;
	struct packet packet;
	struct trail *trail;

	if (parse(&packet, frame_data(ctx), end) != FRAGMENT)
		return pass_unknown(COUNT_passed_fragment);
	packet.carries = CARRIES_FRAGMENT;
	trail = follow_trail(&packet);
	if (!trail)
		return pass_unknown(COUNT_passed_fragment);
	target = trail->target;
	if (trail->towards == TO_CLIENT)
		return other_to_client(ctx, &packet, &target);
	if (!gate_is_open(header_to(packet.ip)))
		return pass(COUNT_passed_gate_closed);
	destination = destination_at(target.destination);
	if (!destination || !is_available(destination))
		return drop(COUNT_dropped_server_removed);
	account_in(target.destination, packet.bytes, 0);
	return other_to_server(ctx, &packet, &target, destination);
}

#endif
