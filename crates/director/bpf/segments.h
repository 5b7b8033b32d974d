/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The way of a segment of TCP and of a packet of UDP or SCTP, when it is not usual (usual.h). */
#ifndef EVENKEEL_SEGMENTS_H
#define EVENKEEL_SEGMENTS_H

#include "known.h"

/* Of a client's packet that found its destination. */
static __always_inline struct target
target_at(const struct conn_key *key, __u32 to, const struct destination *server)
{
	struct target target = {
		.address = server_address(server),
		.port = server->port ?: key->to_port,
		.forwarding = to >> 16,
		.destination = to & 0xffff,
	};
	return target;
}

#if FAMILY == 4

/* Functions of their own, for their stacks. The copy tells the compiler what is not in it. */
static __noinline int
segment_to_server(frame_t *ctx, const struct packet *packet, const struct target *target,
		  const struct destination *destination)
{
	struct packet segment = *packet;

	segment.carries = CARRIES_SEGMENT;
	return send_to_server(ctx, &segment, target, destination);
}

static __noinline int
segment_to_client(frame_t *ctx, const struct packet *packet, const struct target *target)
{
	struct packet segment = *packet;

	segment.carries = CARRIES_SEGMENT;
	return send_to_client(ctx, &segment, target);
}

#else

/* The stack has no room for a copy. */
#define segment_to_server other_to_server
#define segment_to_client other_to_client

#endif

/* Whether the checksum of an SCTP packet would change with its port by how long the whole is, which
 * only its last fragment says. */
static __always_inline int
is_beyond_us(const struct packet *packet, const struct target *target, __be16 port)
{
	return is_sctp(packet) && packet->is_first && target->forwarding == FORWARD_NAT &&
	       target->port != port;
}

/* The answer of a server, if it is one. */
static __always_inline int answer_to_client(frame_t *ctx, struct packet *packet,
					    const struct conn_key *key, __u32 now, __u32 about)
{
	struct target target;
	struct conn conn;

	if (!conn_find_answer(key, &conn))
		return OPENS_CONNECTION;
	tell(STEP_answer_known, conn.destination | (__u64)conn.state << 32);
	if (about & ABOUT_TCP && conn.server->flags & DESTINATION_RESETS)
		return end_lost(&conn, now, FROM_SERVER, about_event(about));
	conn_step(&conn, FROM_SERVER, about_event(about));
	conn_touch(&conn, now);
	target = conn_target(&conn);
	if (is_beyond_us(packet, &target, packet->ports->from))
		return drop(COUNT_dropped_sctp_fragment);
	return segment_to_client(ctx, packet, &target);
}

/* A segment of TCP, a packet of UDP or SCTP, or the first fragment of one: what is to be done with it,
 * or OPENS_CONNECTION if it belongs to none that is known. */
static __noinline int handle_segment(frame_t *ctx, int is_unknown)
{
	struct destination *server;
	struct packet packet;
	struct target target;
	struct conn_key key;
	__u32 now, saying;
	int action = TO_NOBODY;

	if (parse(&packet, frame_data(ctx), frame_end(ctx)) != PARSED)
		return pass(COUNT_passed_not_ours);
	if (!is_for_us(ctx, &packet))
		return pass(COUNT_passed_other_mac);
	key = packet_key(&packet);
	now = conn_clock();
	saying = about(&packet, frame_end(ctx));
	if (!is_unknown)
		action = handle_known(&key, now, saying);
	if (action == TO_NOBODY) {
		/* What opens a connection to a service is no answer: that spares the look for one. IPv6 looks with a
		 * stack of its own. */
		if (FAMILY == 6 || saying & ABOUT_NEW)
			return OPENS_CONNECTION;
		return answer_to_client(ctx, &packet, &key, now, saying);
	}
	if (action < 0)
		return TO_DO(action);
	server = destination_at(action & 0xffff);
	if (!server)
		return drop(COUNT_dropped_race);
	target = target_at(&key, action, server);
	if (is_beyond_us(&packet, &target, key.to_port))
		return drop(COUNT_dropped_sctp_fragment);
	return segment_to_server(ctx, &packet, &target, server);
}

/* Whose packet it is and what it is about; 0 if it is none. */
static __noinline __u32 read_segment(frame_t *ctx, struct conn_key *key)
{
	struct packet packet;

	if (parse(&packet, frame_data(ctx), frame_end(ctx)) != PARSED)
		return 0;
	*key = packet_key(&packet);
	return about(&packet, frame_end(ctx));
}

/* The functions from here to open_connection have one part of its work each, for their stacks. What
 * a packet without a connection is to begin, or NO_SERVICE or WITHOUT_ENTRY. */
static __noinline int choose_for_segment(frame_t *ctx)
{
	struct service *service;
	struct conn_key key = {};
	__u32 saying = read_segment(ctx, &key);

	if (!saying)
		return TO_DO(pass(COUNT_passed_not_ours));
	service = service_for(&key, frame_ingress(ctx));
	return service ? handle_new(&key, service, conn_clock(), saying) : NO_SERVICE;
}

static __noinline int segment_without_entry(frame_t *ctx)
{
	struct service *service;
	struct conn_key key = {};
	__u32 saying = read_segment(ctx, &key);

	service = saying ? service_for(&key, frame_ingress(ctx)) : 0;
	if (!service)
		return TO_DO(pass(COUNT_passed_not_ours));
	return go_without_entry(&key, service, conn_clock(), saying);
}

/* The answer of a server, of those that look as if they opened a connection or of the others.
 * OPENS_CONNECTION if it is none. */
static __noinline int segment_that_answers(frame_t *ctx, int opens)
{
	struct packet packet;
	struct conn_key key;
	__u32 saying;

	if (parse(&packet, frame_data(ctx), frame_end(ctx)) != PARSED)
		return pass(COUNT_passed_not_ours);
	saying = about(&packet, frame_end(ctx));
	if (!(saying & ABOUT_NEW) != !opens)
		return OPENS_CONNECTION;
	key = packet_key(&packet);
	return answer_to_client(ctx, &packet, &key, conn_clock(), saying);
}

static __noinline int segment_to_chosen(frame_t *ctx, __u32 chosen)
{
	struct destination *server = destination_at(chosen & 0xffff);
	struct packet packet;
	struct target target;
	struct conn_key key;

	if (parse(&packet, frame_data(ctx), frame_end(ctx)) != PARSED || !server)
		return drop(COUNT_dropped_race);
	key = packet_key(&packet);
	target = target_at(&key, chosen, server);
	if (is_beyond_us(&packet, &target, key.to_port))
		return drop(COUNT_dropped_sctp_fragment);
	return segment_to_server(ctx, &packet, &target, server);
}

/* A packet of a client that belongs to no connection yet. */
static __always_inline int open_connection(frame_t *ctx)
{
	int action, verdict;

	if (FAMILY == 6) {
		verdict = segment_that_answers(ctx, 0);
		if (verdict != OPENS_CONNECTION)
			return verdict;
	}
	action = choose_for_segment(ctx);
	if (action == NO_SERVICE) {
		/* A SYN may be an answer still: nobody looked yet. */
		verdict = segment_that_answers(ctx, 1);
		if (verdict != OPENS_CONNECTION)
			return verdict;
		tell(STEP_service_unknown, 0);
		return pass_unknown(COUNT_passed_not_ours);
	}
	if (action == WITHOUT_ENTRY)
		action = segment_without_entry(ctx);
	return action < 0 ? TO_DO(action) : segment_to_chosen(ctx, action);
}

#endif
