/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Answers that leave by the kernel: those it forwards because the forwarding program could not (their
 * next hop was unknown), those of servers on this machine, and the errors that it makes itself about
 * requests it got translated. They get the virtual address on their way out (tc, egress). */
#ifndef EVENKEEL_LEAVING_H
#define EVENKEEL_LEAVING_H

#include "forward.h"
#include "ours.h"

/* Whether the usual headers are not all of them. */
static __always_inline int has_more_headers(frame_t *frame)
{
	struct ethhdr *ethernet = frame_data(frame);
	ip_header_t *ip = (void *)(ethernet + 1);

	if ((void *)(ip + 1) > frame_end(frame))
		return 0;
#if FAMILY == 4
	return ip->ihl > 5 || ip->protocol == IPPROTO_ICMP;
#else
	return ip->nexthdr != IPPROTO_TCP && ip->nexthdr != IPPROTO_UDP;
#endif
}

/* Whether a frame is one of this family without a VLAN's tag, which the kernel has taken off and
 * noted. Its headers are in place then. */
static __always_inline int is_presented(frame_t *frame)
{
	if (frame->protocol != FAMILY_ETHERTYPE || frame->vlan_present)
		return 0;
	if (frame_show(frame, USUAL_HEADERS))
		return 0;
	return !has_more_headers(frame) || !frame_show(frame, LARGEST_HEADERS);
}

static __always_inline int error_leaving(frame_t *frame, struct packet *packet)
{
	struct target target;
	struct conn_key key;
	struct conn conn;

	if (!parse_error(packet, frame_data(frame), frame_end(frame)))
		return VERDICT_PASS;
	key = error_key(packet);
	if (!conn_find_answer(&key, &conn))
		return LEFT_TO_FORMER;
	target = conn_target(&conn);
	account_out(target.destination, packet->bytes);
	count(COUNT_errors_to_client);
	rewrite_source(frame, packet, target.address, target.port);
	return VERDICT_PASS;
}

static __always_inline int fragment_leaving(frame_t *frame, struct packet *packet)
{
	struct trail *trail = follow_trail(packet);

	if (!trail || trail->towards != TO_CLIENT)
		return LEFT_TO_FORMER;
	account_out(trail->target.destination, packet->bytes);
	count(COUNT_forwarded_by_kernel);
	packet->carries = CARRIES_FRAGMENT;
	rewrite_source(frame, packet, trail->target.address, 0);
	return VERDICT_PASS;
}

static __always_inline int segment_leaving(frame_t *frame, struct packet *packet)
{
	struct conn_key key = packet_key(packet);
	struct target target;
	struct conn conn;

	if (!conn_find_answer(&key, &conn))
		return LEFT_TO_FORMER;
	target = conn_target(&conn);
	if (is_sctp(packet) && packet->is_first && target.port != key.from_port) {
		count(COUNT_dropped_sctp_fragment);
		return VERDICT_DROP;
	}
	if (packet->is_first)
		leave_trail(packet, &target, TO_CLIENT);
	conn_step(&conn, FROM_SERVER, packet_event(packet, frame_end(frame)));
	conn_touch(&conn, conn_clock());
	account_out(target.destination, packet->bytes);
	count(COUNT_forwarded_by_kernel);
	rewrite_source(frame, packet, target.address, target.port);
	return VERDICT_PASS;
}

/* Verified on its own. Of a frame that is_presented(). */
__noinline int handle_leaving(frame_t *frame)
{
	struct packet packet;

	switch (parse(&packet, frame_data(frame), frame_end(frame))) {
	case PARSED:
		return segment_leaving(frame, &packet);
	case FRAGMENT:
		return fragment_leaving(frame, &packet);
	case ICMP:
		return error_leaving(frame, &packet);
	case LOOPBACK:
	case NOT_OURS:
		break;
	}
	return VERDICT_PASS;
}

#endif
