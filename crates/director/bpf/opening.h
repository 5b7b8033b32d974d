/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* How a packet that belongs to no connection begins one: its service, its server, its entry. */
#ifndef EVENKEEL_OPENING_H
#define EVENKEEL_OPENING_H

#include "draft.h"
#include "forward.h"
#include "marks.h"
#include "ours.h"
#include "schedule.h"
#include "stateless.h"
#ifndef BENCH_KERNEL_HASH
#include "handover.h"
#endif

static __always_inline struct service *service_of(const struct conn_key *key)
{
	struct service_key service = {
		.address = key->to,
		.port = key->to_port,
		.protocol = key->protocol,
	};
	struct service *found = bpf_map_lookup_elem(&services, &service);

	if (found)
		return found;
	service.port = 0;
	return bpf_map_lookup_elem(&services, &service);
}

/* Aside, for its stack. */
static __noinline struct service *service_aside(const struct conn_key *key)
{
	return service_of(key);
}

/* Of a packet that came in by an interface. Aside, for its stack. */
static __noinline struct service *
service_for(const struct conn_key *key, __u32 interface)
{
	return service_of_mark(key, interface) ?: service_of(key);
}

/* The destination of a client that comes back, or of a new one, whose template it makes. A
 * template outlives weight 0, unless the service says otherwise, but not the server's removal. */
static __always_inline void
choose_persistent(struct conn_request *request, const struct conn_key *key,
		  const struct conn_key *template_key, const struct service *service)
{
	if (!conn_use_template(template_key, request->now, service, &request->lead)) {
		request->destination = schedule(service, key);
		if (request->destination == NOBODY)
			return;
		tell(STEP_template_new, request->destination);
		request->key = *template_key;
		request->state = TEMPLATE;
		request->timeout = service->persistence_seconds;
		conn_create(request);
		/* Another processor's, perhaps; without room for one this time without. */
		conn_use_template(template_key, request->now, service, &request->lead);
	} else {
		tell(STEP_template_led, request->destination);
	}
}

/* A service for every port has one template for all of them, and one of a firewall mark one for all
 * addresses, ports and protocols, with the mark as its address. */
static __always_inline struct conn_key
template_key_of(const struct conn_key *key, const struct service *service)
{
	struct service_key exact = { .address = key->to, .port = key->to_port,
				     .protocol = key->protocol };
	struct conn_key marked = { .from = key->from, .to = mark_address(service->mark) };
	__be16 port;

	if (service->mark)
		return conn_template_key(&marked, service->persistence_bits, 0);
	port = bpf_map_lookup_elem(&services, &exact) ? key->to_port : 0;
	return conn_template_key(key, service->persistence_bits, port);
}

/* What is to be done with a packet: an action of XDP as a negative number, or the destination and
 * how packets get there. */
#define TO_DO(action) (-1 - (action))
#define TO(destination, forwarding) ((destination) | (forwarding) << 16)
#define TO_NOBODY TO_DO(0x10000)
#define NO_SERVICE TO_DO(0x10001)
#define WITHOUT_ENTRY TO_DO(0x10002)

/* The table has no room at this key: by the key alone, while all members stay the same. NAT
 * cannot, since answers are known by their entries. */
static __noinline __u32
choose_without_entry(const struct conn_key *key, const struct service *service, __u32 now,
		     __u32 chosen)
{
	struct lead lead = { .destination = chosen };
	struct conn_key template_key;
	struct destination *server;

	if (service->persistence_seconds) {
		template_key = template_key_of(key, service);
		conn_use_template(&template_key, now, service, &lead);
	}
	if (lead.destination == NOBODY)
		lead.destination = choose_stateless(service, key);
	server = destination_at(lead.destination);
	if (!server || !is_available(server) || server->forwarding == FORWARD_NAT)
		return NOBODY;
	return TO(lead.destination, server->forwarding);
}

/* What a client's packet is like: bytes, event, protocol, and whether it means to begin anew. */
#define ABOUT_BYTES 0xffffU
#define ABOUT_EVENT_SHIFT 16
#define ABOUT_TCP 0x1000000U
#define ABOUT_SCTP 0x2000000U
#define ABOUT_NEW 0x4000000U

static __always_inline __u32 about(const struct packet *packet, const void *end)
{
	__u32 event = packet_event(packet, end);
	__u32 about = packet->bytes | event << ABOUT_EVENT_SHIFT;

	if (packet->is_tcp) {
		about |= ABOUT_TCP;
		if ((packet->tcp_flags & (TCP_SYN | TCP_ACK | TCP_RST)) == TCP_SYN)
			about |= ABOUT_NEW;
	} else if (is_sctp(packet)) {
		about |= ABOUT_SCTP | (event == ON_INIT ? ABOUT_NEW : 0);
	}
	return about;
}

static __always_inline __u32 about_event(__u32 about)
{
	return about >> ABOUT_EVENT_SHIFT & 0xff;
}

/* The state of a connection that begins with it. */
static __always_inline __u32 first_state(const struct destination *server, __u32 about)
{
	__u32 direction = server->forwarding == FORWARD_NAT ? FROM_CLIENT : CLIENT_ONLY;

	if (about & ABOUT_TCP)
		return tcp_state_after(NONE, direction, about_event(about));
	if (about & ABOUT_SCTP)
		return sctp_state_after(SCTP_NONE, direction, about_event(about));
	return UDP_FLOW;
}

/* No server takes it. Kernel: ip_vs_leave. */
static __always_inline int nobody_takes_it(void)
{
	if (!may_answer())
		return drop(COUNT_dropped_no_destination);
	count(COUNT_answered_unreachable);
	return TELL_UNREACHABLE;
}

/* Whether another layout's program opens this connection. */
static __always_inline int
is_left_to_former(const struct conn_key *key, const struct conn_key *template_key)
{
#ifndef BENCH_KERNEL_HASH
	__u32 phase = handover_phase();

	if (phase != HANDOVER_OPENS && phase != HANDOVER_KNOWS)
		return 0;
	return is_opened_by_former(key, template_key);
#else
	return 0;
#endif
}

/* Whether a connection may begin with this packet. */
static __always_inline int is_opening(const struct service *service, __u32 about)
{
	if (about & ABOUT_TCP)
		return about & ABOUT_NEW || (service->switches & SWITCH_SLOPPY_TCP &&
					     about_event(about) != ON_RST);
	if (about & ABOUT_SCTP)
		return about & ABOUT_NEW || (service->switches & SWITCH_SLOPPY_SCTP &&
					     about_event(about) != ON_ABORT);
	return 1;
}

/* A first packet, or one in the middle of a connection, that goes without an entry. */
static __always_inline int
go_without_entry(const struct conn_key *key, const struct service *service, __u32 now, __u32 about)
{
	__u32 chosen = NOBODY;

	if (is_hashing(service) && !service->persistence_seconds)
		chosen = schedule(service, key);
	chosen = choose_without_entry(key, service, now, chosen);
	if (chosen == NOBODY)
		return TO_DO(is_opening(service, about) ? drop(COUNT_dropped_table_full)
					       : pass_unknown(COUNT_passed_no_connection));
	count(COUNT_forwarded_stateless);
	account_in(chosen & 0xffff, about & ABOUT_BYTES, 0);
	return chosen;
}

/* Verified on its own: the way of the usual packets stays short. */
__noinline int
handle_new(const struct conn_key *key, const struct service *service, __u32 now, __u32 about)
{
	struct destination *server;
	struct conn_request *request;
	__u16 bytes = about & ABOUT_BYTES;
	DRAFT(draft);

	if (!key || !service || !draft)
		return TO_DO(drop(COUNT_dropped_race));
	request = &draft->request;
	tell(STEP_service_found, service->index);
	if (!gate_is_open(key->to))
		return TO_DO(pass(COUNT_passed_gate_closed));
	if (!is_opening(service, about))
		return conn_is_stateless(key)
			       ? WITHOUT_ENTRY
			       : TO_DO(pass_unknown(COUNT_passed_no_connection));
	if (service->persistence_seconds)
		draft->template_key = template_key_of(key, service);
	if (is_left_to_former(key, &draft->template_key))
		return TO_DO(LEFT_TO_FORMER);
	request->now = now;
	request->service = service->index;
	if (service->persistence_seconds) {
		choose_persistent(request, key, &draft->template_key, service);
	} else {
		request->destination = schedule(service, key);
		tell(STEP_scheduled, request->destination);
	}
	if (request->destination == NOBODY)
		return TO_DO(nobody_takes_it());
	server = destination_at(request->destination);
	if (!server || !is_available(server))
		return TO_DO(drop(COUNT_dropped_race));
	if (service->switches & SWITCH_ONE_PACKET && !(about & (ABOUT_TCP | ABOUT_SCTP))) {
		account_in(request->destination, bytes, 1);
		return TO(request->destination, server->forwarding);
	}
	request->key = *key;
	request->state = first_state(server, about);
	switch (conn_create(request)) {
	case CREATED:
		tell(STEP_connection_created, request->destination);
		account_in(request->destination, bytes, 1);
		return TO(request->destination, server->forwarding);
	case CREATED_ELSEWHERE:
		/* The same SYN on another processor: go where that one went. */
		request->destination = conn_found_destination(request);
		server = destination_at(request->destination);
		if (!server)
			break;
		account_in(request->destination, bytes, 0);
		return TO(request->destination, server->forwarding);
	case CREATE_CLASH:
		return TO_DO(drop(COUNT_dropped_port_clash));
	case CREATE_FULL:
		tell(STEP_connection_has_no_room, 0);
		conn_set_stateless(key);
		return WITHOUT_ENTRY;
	case CREATE_OPEN:
	case CREATE_RACE:
		break;
	}
	return TO_DO(drop(COUNT_dropped_race));
}

#endif
