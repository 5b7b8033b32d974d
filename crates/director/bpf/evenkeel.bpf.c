// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Evenkeel's layer-4 data plane, for one hook (hook.h) and one address family (family.h).
 *
 * XDP:
 * evenkeel_xdp     forwards, on every interface that takes part
 * evenkeel_reap    user space runs it to remove connections whose time is over
 * tc:
 * evenkeel_tc_in   forwards, on interfaces where XDP does not (ingress)
 * evenkeel_arrive  answers to clients on this machine, behind evenkeel_xdp (ingress)
 * evenkeel_tc      rewrites the answers that the kernel forwards, as they leave (egress)
 * evenkeel_local   requests of clients on this machine (the loopback's egress)
 *
 * TCP, UDP and SCTP, whole or in fragments, and the ICMP errors about them; other ICMP passes. */
#include "maps.h"
#include "states.h"
#include "conn.h"
#include "draft.h"
#include "packet.h"
#include "schedule.h"
#include "stateless.h"
#include "forward.h"
#include "marks.h"
#include "ours.h"
#include "usual.h"
#include "errors.h"
#include "fragments.h"
#ifndef BENCH_KERNEL_HASH
#include "handover.h"
#ifndef HOOK_TC
#include "take.h"
#endif
#endif

char LICENSE[] SEC("license") = "Dual BSD/GPL";

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

/* Whether a packet that means to begin anew takes the place of the connection that is there. Kernel:
 * is_new_conn_expected and before it in ip_vs_in_hook. */
static __always_inline int is_replaced(const struct conn *conn)
{
	__u32 switches = conn_switches(conn);

	if (switches & SWITCH_EXPIRE_NODEST && !conn->server->weight)
		return 1;
	if (!(switches & SWITCH_REUSE))
		return 0;
	return has_ended(conn->state) ||
	       (switches & SWITCH_REUSE_WAITING && conn->state == FIN_WAIT &&
		conn->forwarding != FORWARD_NAT);
}

/* A segment of a connection whose server left is answered with an RST; one that is an RST itself is
 * believed. */
static __always_inline int
end_lost(const struct conn *conn, __u32 now, __u32 direction, __u32 event)
{
	conn_step(conn, direction, ON_RST);
	conn_touch(conn, now);
	return event == ON_RST ? drop(COUNT_dropped_server_removed) : TELL_RESET;
}

/* The server left: who starts over gets another one, and so does UDP. Others wait for its return,
 * unless the service says otherwise. */
static __always_inline int handle_lost(const struct conn *conn, __u32 now, __u32 about)
{
	if (about & (ABOUT_TCP | ABOUT_SCTP) && !(about & ABOUT_NEW)) {
		if (about & ABOUT_TCP && conn->server->flags & DESTINATION_RESETS)
			return TO_DO(end_lost(conn, now, FROM_CLIENT, about_event(about)));
		if (!(conn->server->flags & DESTINATION_EXPIRES))
			return TO_DO(drop(COUNT_dropped_server_removed));
	}
	conn_remove(conn);
	return TO_NOBODY;
}

/* A client's packet of a connection that is known; TO_NOBODY if there is none, or none any more. */
__noinline int handle_known(const struct conn_key *key, __u32 now, __u32 about)
{
	struct conn conn;

	if (!key || !conn_find(key, &conn)) {
		tell(STEP_connection_unknown, 0);
		return TO_NOBODY;
	}
	tell(STEP_connection_known, conn.destination | (__u64)conn.state << 32);
	if (!gate_is_open(key->to))
		return TO_DO(pass(COUNT_passed_gate_closed));
	if (!is_available(conn.server))
		return handle_lost(&conn, now, about);
	if (conn_expired(&conn, now) || (about & ABOUT_NEW && is_replaced(&conn))) {
		tell(STEP_connection_over, conn.destination);
		conn_remove(&conn);
		return TO_NOBODY;
	}
	conn_step(&conn, conn.forwarding == FORWARD_NAT ? FROM_CLIENT : CLIENT_ONLY,
		  about_event(about));
	conn_touch(&conn, now);
	account_in(conn.destination, about & ABOUT_BYTES, 0);
	return TO(conn.destination, conn.forwarding);
}

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

/* Later fragments and ICMP; and who need not be looked at. */
static __always_inline int handle_other(frame_t *ctx)
{
	struct packet packet;

	switch (parse(&packet, frame_data(ctx), frame_end(ctx))) {
	case FRAGMENT:
		return is_for_us(ctx, &packet) ? handle_fragment(ctx)
					       : pass(COUNT_passed_other_mac);
	case ICMP:
		return is_for_us(ctx, &packet) ? handle_icmp(ctx) : pass(COUNT_passed_other_mac);
	case LOOPBACK:
		return drop(COUNT_dropped_loopback);
	case PARSED:
	case NOT_OURS:
		break;
	}
	return pass(COUNT_passed_not_ours);
}

/* The rest, for a packet that is not what nearly every one is. */
static __always_inline int handle_unusual(frame_t *ctx, int verdict)
{
	if (verdict == NO_SEGMENT) {
		verdict = handle_other(ctx);
		if (verdict == ABOUT_TUNNEL)
			return handle_tunnel_error(ctx);
	} else {
		verdict = handle_segment(ctx, verdict == UNKNOWN);
		if (verdict == OPENS_CONNECTION)
			verdict = open_connection(ctx);
	}
	return go_on(ctx, verdict);
}

static __always_inline int handle_frame(frame_t *ctx)
{
	int verdict = handle_usual(ctx);

	return verdict >= 0 ? verdict : handle_unusual(ctx, verdict);
}

#if FAMILY == 4

/* IPv6's programs, when they are loaded: those of IPv4 are attached, and hand over what is theirs. */
#define OTHER_FAMILY(name, count)                                                                  \
	struct {                                                                                   \
		__uint(type, BPF_MAP_TYPE_PROG_ARRAY);                                             \
		__uint(max_entries, count);                                                        \
		__uint(pinning, LIBBPF_PIN_BY_NAME);                                               \
		__type(key, __u32);                                                                \
		__type(value, __u32);                                                              \
	} name SEC(".maps")

#endif

#ifdef HOOK_TC

#include "local.h"

#if FAMILY == 4

OTHER_FAMILY(other_at_tc, PLACES);

static __always_inline void hand_over(frame_t *frame, enum place place)
{
	if (frame->protocol == bpf_htons(ETH_P_IPV6) && !frame->vlan_present)
		bpf_tail_call(frame, &other_at_tc, place);
}

#else

static __always_inline void hand_over(frame_t *frame, enum place place)
{
}

#endif

/* What tc is told. What nobody here knows is another layout's, while there is one. Filters after
 * this one see what is not ours. */
static __always_inline int tc_action(frame_t *frame, int verdict, enum place place)
{
	if (verdict == LEFT_TO_FORMER)
		bpf_tail_call(frame, &former_at_tc, place);
	return verdict == VERDICT_PASS || verdict == LEFT_TO_FORMER ? TC_ACT_UNSPEC : verdict;
}

SEC("classifier")
int evenkeel_tc_in(frame_t *frame)
{
	int verdict, arrived;

	hand_over(frame, PLACE_IN);
	if (!is_presented(frame))
		return TC_ACT_UNSPEC;
	verdict = handle_frame(frame);
	if (verdict != VERDICT_PASS && verdict != LEFT_TO_FORMER)
		return verdict;
	arrived = handle_arriving(frame);
	return tc_action(frame, arrived == VERDICT_PASS ? verdict : arrived, PLACE_IN);
}

SEC("classifier")
int evenkeel_arrive(frame_t *frame)
{
	int arrived = VERDICT_PASS;

	hand_over(frame, PLACE_ARRIVE);
	if (has_locals() && is_presented(frame))
		arrived = handle_arriving(frame);
	return tc_action(frame, arrived == VERDICT_PASS ? LEFT_TO_FORMER : arrived, PLACE_ARRIVE);
}

SEC("classifier")
int evenkeel_tc(frame_t *frame)
{
	hand_over(frame, PLACE_LEAVE);
	return is_presented(frame) ? tc_action(frame, handle_leaving(frame), PLACE_LEAVE)
				   : TC_ACT_UNSPEC;
}

SEC("classifier")
int evenkeel_local(frame_t *frame)
{
	int verdict;

	hand_over(frame, PLACE_LOCAL);
	if (!is_presented(frame))
		return TC_ACT_UNSPEC;
	verdict = handle_local(frame);
	if (verdict == NOT_LOCAL)
		verdict = handle_leaving(frame);
	return tc_action(frame, go_on(frame, verdict), PLACE_LOCAL);
}

#else

#ifndef BENCH_KERNEL_HASH

/* What nobody here knows is another layout's, while there is one. Usually there is none. */
static __always_inline int ask_former(frame_t *ctx, int verdict)
{
	if (verdict != LEFT_TO_FORMER)
		return verdict;
	bpf_tail_call(ctx, &former, 0);
	return VERDICT_PASS;
}

#if FAMILY == 4

OTHER_FAMILY(other_family, 1);

static __always_inline void hand_over(frame_t *ctx)
{
	struct ethhdr *ethernet = frame_data(ctx);

	if ((void *)(ethernet + 1) <= frame_end(ctx) &&
	    ethernet->h_proto == bpf_htons(ETH_P_IPV6))
		bpf_tail_call(ctx, &other_family, 0);
}

#else

static __always_inline void hand_over(frame_t *ctx)
{
}

#endif

SEC("xdp")
int evenkeel_xdp(frame_t *ctx)
{
	int verdict = handle_usual(ctx);

	if (verdict >= 0)
		return verdict;
	if (verdict == NO_SEGMENT)
		hand_over(ctx);
	return ask_former(ctx, handle_unusual(ctx, verdict));
}

#endif

#define REAP_HEADER 16
#define REAP_MAX 256

struct reaping {
	frame_t *ctx;
	__u32 slots;
	__u32 removed;
};

static long reap_one(__u32 step, struct reaping *reaping)
{
	__u32 number;

	if (step >= reaping->slots || step >= REAP_MAX)
		return 1;
	if (bpf_xdp_load_bytes(reaping->ctx, REAP_HEADER + step * sizeof(number), &number,
			       sizeof(number)))
		return 1;
	reaping->removed += conn_reap(number);
	return 0;
}

/* The packet: 16 bytes of which the last four are how many, then the numbers of slots. */
SEC("xdp")
int evenkeel_reap(frame_t *ctx)
{
	struct reaping reaping = { .ctx = ctx };

	if (bpf_xdp_load_bytes(ctx, REAP_HEADER - sizeof(__u32), &reaping.slots, sizeof(__u32)))
		return 0;
	bpf_loop(REAP_MAX, reap_one, &reaping, 0);
	return reaping.removed;
}

#endif
