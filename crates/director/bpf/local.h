/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Clients on this machine itself (tc). A virtual address is one of its own addresses while it is
 * master, so what they send there goes over the loopback and nowhere else, from the virtual address
 * unless they chose another one. It is balanced at the loopback's egress, and what servers answer
 * comes back by the loopback: the kernel refuses what comes by a wire from an address of its own.
 *
 * With NAT servers answer to the virtual address, which leads back here. With direct routing and
 * tunnels they hold that address themselves: there a request gets this machine's own address, and
 * the answer is known by it. Kernel: ip_vs_local_request4, which cannot do the latter. */
#ifndef EVENKEEL_LOCAL_H
#define EVENKEEL_LOCAL_H

#include "forward.h"
#include "leaving.h"

#define LOOPBACK_INDEX 1 /* in every network namespace: LOOPBACK_IFINDEX */
#define NOT_LOCAL (-1)

/* Not zero: clients on this machine were sent to other ones. Others need not pay for them. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(key, __u32);
	__type(value, __u32);
} locals SEC(".maps");

static __always_inline int has_locals(void)
{
	__u32 only = 0;
	__u32 *seen = bpf_map_lookup_elem(&locals, &only);

	return seen && *seen;
}

static __always_inline void note_local(void)
{
	__u32 only = 0;
	__u32 *seen = bpf_map_lookup_elem(&locals, &only);

	if (seen && !*seen)
		*seen = 1;
}

/* From this machine's own address on the way, if the server has the client's too. */
static __always_inline void
leave_virtual_address(frame_t *frame, struct packet *packet, const struct destination *destination)
{
	address_t from = header_from(packet->ip);

	if (!address_is_equal(from, header_to(packet->ip)))
		return;
	rewrite_source(frame, packet, narrowed(&destination->source),
		       packet->carries == CARRIES_SEGMENT ? packet->ports->from : 0);
}

/* A request, to the server its connection has. */
static __always_inline int
send_from_here(frame_t *frame, struct packet *packet, const struct target *target,
	       const struct destination *destination)
{
	struct way way;

	if (packet->is_first)
		leave_trail(packet, target, TO_SERVER);
	if (destination->flags & DESTINATION_LOCAL) {
		if (target->forwarding == FORWARD_NAT)
			rewrite_destination(frame, packet, target->address, target->port);
		return pass(COUNT_passed_to_self);
	}
	if (target->forwarding != FORWARD_NAT && wide_is_zero(&destination->source))
		return drop(COUNT_dropped_no_route);
	switch (way_to_server(frame, packet, target, destination, &way)) {
	case BPF_FIB_LKUP_RET_SUCCESS:
		break;
	case BPF_FIB_LKUP_RET_FRAG_NEEDED:
		if (packet->carries != CARRIES_SEGMENT || !must_not_be_split(packet))
			return drop(COUNT_dropped_too_big);
		count(COUNT_answered_too_big);
		return TELL_TOO_BIG | (__u16)way.mtu;
	default:
		return drop(COUNT_dropped_no_neighbour);
	}
	note_local();
	if (target->forwarding == FORWARD_TUNNEL) {
		leave_virtual_address(frame, packet, destination);
		return INTO_TUNNEL | (__u16)target->destination;
	}
	set_macs(packet, way.to, way.from);
	count(COUNT_forwarded_to_server);
	if (target->forwarding == FORWARD_NAT)
		rewrite_destination(frame, packet, target->address, target->port);
	else
		leave_virtual_address(frame, packet, destination);
	return bpf_redirect(way.ifindex, 0);
}

/* Functions of their own, for their stacks. */
static __noinline int send_segment_from_here(frame_t *frame, __u32 chosen)
{
	struct destination *destination = destination_at(chosen & 0xffff);
	struct packet packet;
	struct target target;
	struct conn_key key;

	if (!destination)
		return drop(COUNT_dropped_race);
	if (parse(&packet, frame_data(frame), frame_end(frame)) != PARSED)
		return NOT_LOCAL;
	key = packet_key(&packet);
	target = target_at(&key, chosen, destination);
	return send_from_here(frame, &packet, &target, destination);
}

static __noinline int fragment_from_here(frame_t *frame)
{
	struct destination *destination;
	struct target target;
	struct packet packet;
	struct trail *trail;

	if (parse(&packet, frame_data(frame), frame_end(frame)) != FRAGMENT)
		return NOT_LOCAL;
	packet.carries = CARRIES_FRAGMENT;
	trail = follow_trail(&packet);
	if (!trail || trail->towards != TO_SERVER)
		return NOT_LOCAL;
	target = trail->target;
	destination = destination_at(target.destination);
	if (!destination || !is_available(destination))
		return drop(COUNT_dropped_server_removed);
	account_in(target.destination, packet.bytes, 0);
	return send_from_here(frame, &packet, &target, destination);
}

/* What is to be done with a segment, or NO_SERVICE. */
static __noinline int choose_from_here(frame_t *frame)
{
	struct service *service;
	struct conn_key key;
	__u32 now = conn_clock(), saying = read_segment(frame, &key);
	int action;

	if (!saying)
		return NO_SERVICE;
	action = handle_known(&key, now, saying);
	if (action != TO_NOBODY)
		return action;
	service = service_aside(&key);
	return service ? handle_new(&key, service, now, saying) : NO_SERVICE;
}

static __always_inline int segment_from_here(frame_t *frame)
{
	int action = choose_from_here(frame);

	if (action == NO_SERVICE)
		return NOT_LOCAL;
	if (action == WITHOUT_ENTRY)
		return drop(COUNT_dropped_table_full);
	return action < 0 ? TO_DO(action) : send_segment_from_here(frame, action);
}

/* What goes over the loopback; NOT_LOCAL if it is no request of a client on this machine. */
static __always_inline int handle_local(frame_t *frame)
{
	int verdict = segment_from_here(frame);

	if (verdict == NOT_LOCAL)
		verdict = fragment_from_here(frame);
	return verdict;
}

/* To the loopback, whose frames have no addresses. */
static __always_inline void towards_here(struct packet *packet)
{
	__builtin_memset(packet->ethernet, 0, 2 * ETH_ALEN);
}

static __always_inline int to_here(void)
{
	count(COUNT_forwarded_to_client);
	return bpf_redirect(LOOPBACK_INDEX, BPF_F_INGRESS);
}

/* Whether a packet's addressee is this machine. A function of its own, for its stack. */
static __noinline int is_addressed_here(frame_t *frame, __u32 hints, const address_t *ends)
{
	struct bpf_fib_lookup found;

	return route(frame, hints, ends[0], ends[1], &found) == BPF_FIB_LKUP_RET_NOT_FWDED;
}

/* A translated packet of a server, or an error about a request. */
static __always_inline int
arrive_by_nat(frame_t *frame, struct packet *packet, const struct target *target)
{
	address_t ends[] = { header_from(packet->ip), header_to(packet->ip) };

	if (!is_addressed_here(frame, route_hints(frame, packet), ends))
		return VERDICT_PASS;
	account_out(target->destination, packet->bytes);
	towards_here(packet);
	rewrite_source(frame, packet, target->address, target->port);
	return to_here();
}

/* A packet that says itself that it is from a virtual address: the answer of a server that has it. */
static __always_inline int arrive_from_virtual_address(frame_t *frame, struct packet *packet)
{
	struct conn_key answer = packet_key(packet), key = {
		.from = answer.from,
		.to = answer.from,
		.from_port = answer.to_port,
		.to_port = answer.from_port,
		.protocol = answer.protocol,
	};
	struct conn conn;

	if (conn_find(&key, &conn) && conn.forwarding != FORWARD_NAT) {
		towards_here(packet);
		rewrite_destination(frame, packet, answer.from, answer.to_port);
		return to_here();
	}
	/* A client that chose its address itself. */
	key.from = answer.to;
	if (!conn_find(&key, &conn) || conn.forwarding == FORWARD_NAT)
		return VERDICT_PASS;
	towards_here(packet);
	return to_here();
}

static __noinline int segment_arriving(frame_t *frame)
{
	struct packet packet;
	struct target target;
	struct conn_key key;
	struct conn conn;

	if (parse(&packet, frame_data(frame), frame_end(frame)) != PARSED)
		return VERDICT_PASS;
	key = packet_key(&packet);
	if (!conn_find_answer(&key, &conn))
		return arrive_from_virtual_address(frame, &packet);
	target = conn_target(&conn);
	return arrive_by_nat(frame, &packet, &target);
}

static __noinline int fragment_arriving(frame_t *frame)
{
	struct packet packet;
	struct target target;
	struct trail *trail;

	if (parse(&packet, frame_data(frame), frame_end(frame)) != FRAGMENT)
		return VERDICT_PASS;
	packet.carries = CARRIES_FRAGMENT;
	trail = follow_trail(&packet);
	if (!trail || trail->towards != TO_CLIENT)
		return VERDICT_PASS;
	target = trail->target;
	return arrive_by_nat(frame, &packet, &target);
}

static __noinline int error_arriving(frame_t *frame)
{
	struct packet packet;
	struct target target;
	struct conn_key key;
	struct conn conn;

	if (parse(&packet, frame_data(frame), frame_end(frame)) != ICMP ||
	    !parse_error(&packet, frame_data(frame), frame_end(frame)))
		return VERDICT_PASS;
	key = error_key(&packet);
	if (!conn_find_answer(&key, &conn))
		return VERDICT_PASS;
	target = conn_target(&conn);
	return arrive_by_nat(frame, &packet, &target);
}

/* What comes in and is the kernel's, the forwarding program says: perhaps an answer to a client on
 * this machine. Verified on its own. */
__noinline int handle_arriving(frame_t *frame)
{
	struct packet packet;
	enum parsed what;

	if (!has_locals())
		return VERDICT_PASS;
	what = parse(&packet, frame_data(frame), frame_end(frame));
	if (what == NOT_OURS || what == LOOPBACK || !is_for_us(frame, &packet))
		return VERDICT_PASS;
	switch (what) {
	case PARSED:
		return segment_arriving(frame);
	case FRAGMENT:
		return fragment_arriving(frame);
	case ICMP:
		return error_arriving(frame);
	case LOOPBACK:
	case NOT_OURS:
		break;
	}
	return VERDICT_PASS;
}

#endif
