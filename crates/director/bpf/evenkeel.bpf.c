// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Evenkeel's layer-4 data plane.
 *
 * evenkeel_xdp    forwards, on every interface that takes part
 * evenkeel_tc     rewrites the answers that the kernel forwards instead, as they leave
 * evenkeel_reap   user space runs it to remove connections whose time is over
 *
 * IPv4 TCP and UDP, whole or in fragments, and the ICMP errors about them; other ICMP passes. */
#include "maps.h"
#include "states.h"
#include "conn.h"
#include "packet.h"
#include "schedule.h"
#include "forward.h"
#include "ours.h"
#include "errors.h"
#include "fragments.h"
#include "leaving.h"

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

/* The destination of a client that comes back, or of a new one, whose template it makes. A
 * template outlives weight 0 (IPVS: expire_quiescent_template=0) but not the server's removal. */
static __always_inline __u32
choose_persistent(const struct conn_key *key, const struct service *service, __be16 port, __u64 now)
{
	struct conn_key template_key = conn_template_key(key, service->persistence_bits, port);
	struct conn *template = conn_find(&template_key);
	struct conn made = {};
	__u32 chosen;

	if (template && template->kind == KIND_TEMPLATE && template->state == TEMPLATE) {
		struct destination *destination = destination_at(template->destination);

		if (destination && is_available(destination) &&
		    !conn_expired(&template_key, template, now)) {
			template->last_seen = now;
			template->timeout = service->persistence_seconds;
			return template->destination;
		}
		conn_remove(&template_key);
	}
	chosen = schedule(service);
	if (chosen == NOBODY)
		return NOBODY;
	made.last_seen = now;
	made.destination = chosen;
	made.state = TEMPLATE;
	made.kind = KIND_TEMPLATE;
	made.timeout = service->persistence_seconds;
	if (conn_create(&template_key, &made) == CREATED_ELSEWHERE) {
		template = conn_find(&template_key);
		if (template)
			chosen = template->destination;
	}
	return chosen;
}

static __always_inline int
handle_new(struct xdp_md *ctx, struct packet *packet, const struct conn_key *key, __u64 now)
{
	struct service *service = service_of(key);
	struct destination *destination;
	struct conn conn = {}, *found;
	struct target target;
	struct service_key exact = { .address = key->to, .port = key->to_port,
				     .protocol = key->protocol };
	__be16 port;

	if (!service)
		return pass(COUNT_passed_not_ours);
	if (!gate_is_open(key->to))
		return pass(COUNT_passed_gate_closed);
	if (packet->is_tcp && (packet->tcp_flags & (TCP_SYN | TCP_ACK | TCP_RST)) != TCP_SYN)
		return pass(COUNT_passed_no_connection);
	conn.last_seen = now;
	conn.kind = KIND_FORWARD;
	conn.state = packet->is_tcp ? SYN_RECV : UDP_FLOW;
	if (service->persistence_seconds) {
		/* A service for every port has one template for all of them. */
		port = bpf_map_lookup_elem(&services, &exact) ? key->to_port : 0;
		conn.template_bits = service->persistence_bits;
		conn.template_port = port;
		conn.destination = choose_persistent(key, service, port, now);
	} else {
		conn.destination = schedule(service);
	}
	if (conn.destination == NOBODY)
		return drop(COUNT_dropped_no_destination);
	destination = destination_at(conn.destination);
	if (!destination || !is_available(destination))
		return drop(COUNT_dropped_race);
	conn.forwarding = destination->forwarding;
	conn.peer = destination->address;
	conn.peer_port = destination->port ?: key->to_port;
	switch (conn_create(key, &conn)) {
	case CREATED:
		break;
	case CREATED_ELSEWHERE:
		/* The same SYN on another processor: go where that one went. */
		found = conn_find(key);
		if (!found || found->kind != KIND_FORWARD || found->state >= STATE_DEAD)
			return drop(COUNT_dropped_race);
		destination = destination_at(found->destination);
		if (!destination)
			return drop(COUNT_dropped_race);
		target = conn_target(found);
		account_in(target.destination, packet->bytes, 0);
		return send_to_server(ctx, packet, &target, destination);
	case CREATE_CLASH:
		return drop(COUNT_dropped_port_clash);
	case CREATE_FULL:
		return drop(COUNT_dropped_table_full);
	}
	target = conn_target(&conn);
	account_in(target.destination, packet->bytes, 1);
	return send_to_server(ctx, packet, &target, destination);
}

static __always_inline int handle_frame(struct xdp_md *ctx)
{
	struct packet packet;
	struct destination *destination;
	struct target target;
	struct conn *conn;
	struct conn_key key;
	__u64 now;
	int is_syn;

	switch (parse(&packet, (void *)(long)ctx->data, (void *)(long)ctx->data_end)) {
	case PARSED:
		break;
	case FRAGMENT:
		return is_for_us(ctx, &packet) ? handle_fragment(ctx)
					       : pass(COUNT_passed_other_mac);
	case ICMP:
		return is_for_us(ctx, &packet) ? handle_icmp(ctx) : pass(COUNT_passed_other_mac);
	case NOT_OURS:
		return pass(COUNT_passed_not_ours);
	case LOOPBACK:
		/* Never on a wire; the kernel might take it while a server has such an address. */
		return drop(COUNT_dropped_loopback);
	}
	if (!is_for_us(ctx, &packet))
		return pass(COUNT_passed_other_mac);
	key = packet_key(&packet);
	now = conn_clock();
	conn = conn_find(&key);
	if (conn && conn->kind == KIND_REVERSE) {
		if (packet.is_tcp && packet.tcp_flags & (TCP_SYN | TCP_FIN | TCP_RST))
			step_from_server(&key, conn, packet.tcp_flags);
		conn_touch(conn, now);
		target = conn_target(conn);
		return send_to_client(ctx, &packet, &target);
	}
	if (conn) {
		if (!gate_is_open(key.to))
			return pass(COUNT_passed_gate_closed);
		destination = destination_at(conn->destination);
		if (!destination)
			return drop(COUNT_dropped_race);
		is_syn = (packet.tcp_flags & (TCP_SYN | TCP_ACK | TCP_RST)) == TCP_SYN;
		if (!is_available(destination)) {
			/* The server left: who starts over gets another one, and so does UDP. */
			if (packet.is_tcp && !is_syn)
				return drop(COUNT_dropped_server_removed);
			conn_remove(&key);
		} else if ((is_syn && (conn->state == TIME_WAIT || conn->state == CLOSE)) ||
			   conn_expired(&key, conn, now)) {
			conn_remove(&key);
		} else {
			if (packet.is_tcp)
				conn_step(conn,
					  conn->forwarding == FORWARD_NAT ? FROM_CLIENT
									  : CLIENT_ONLY,
					  packet.tcp_flags);
			conn_touch(conn, now);
			target = conn_target(conn);
			account_in(target.destination, packet.bytes, 0);
			return send_to_server(ctx, &packet, &target, destination);
		}
	}
	return handle_new(ctx, &packet, &key, now);
}

SEC("xdp")
int evenkeel_xdp(struct xdp_md *ctx)
{
	return handle_frame(ctx);
}

SEC("classifier")
int evenkeel_tc(struct __sk_buff *skb)
{
	return handle_leaving(skb);
}

#define REAP_HEADER 16
#define REAP_MAX 128

struct reaping {
	struct xdp_md *ctx;
	__u32 keys;
	__u32 removed;
};

static long reap_one(__u32 step, struct reaping *reaping)
{
	struct conn_key key;

	if (step >= reaping->keys || step >= REAP_MAX)
		return 1;
	if (bpf_xdp_load_bytes(reaping->ctx, REAP_HEADER + step * sizeof(key), &key, sizeof(key)))
		return 1;
	reaping->removed += conn_reap(&key);
	return 0;
}

/* The packet: 16 bytes of which the last four are the number of keys, then the keys. */
SEC("xdp")
int evenkeel_reap(struct xdp_md *ctx)
{
	struct reaping reaping = { .ctx = ctx };

	if (bpf_xdp_load_bytes(ctx, REAP_HEADER - sizeof(__u32), &reaping.keys, sizeof(__u32)))
		return 0;
	bpf_loop(REAP_MAX, reap_one, &reaping, 0);
	return reaping.removed;
}
