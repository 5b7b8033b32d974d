// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Evenkeel's layer-4 data plane.
 *
 * evenkeel_xdp    forwards, on every interface that takes part
 * evenkeel_tc     rewrites the answers that the kernel forwards instead, as they leave
 * evenkeel_reap   user space runs it to remove connections whose time is over
 *
 * IPv4 TCP and UDP without IP options. Fragments pass to the kernel, counted: they carry no ports.
 * ICMP passes. A packet larger than the next link takes is dropped by the kernel's redirect. */
#include "maps.h"
#include "states.h"
#include "conn.h"
#include "packet.h"
#include "schedule.h"
#include "forward.h"
#include <linux/pkt_cls.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* Whether this director is master of a virtual address. */
static __always_inline int gate_is_open(__be32 address)
{
	struct gate_key key = { .prefix = { 0, 0, bpf_htonl(0xffff) }, .address = address };
	__u32 *open = bpf_map_lookup_elem(&gate, &key);

	return !open || *open;
}

/* Interfaces see frames for other machines when the wire floods them. */
static __always_inline int is_for_us(struct xdp_md *ctx, const struct packet *packet)
{
	__u32 ifindex = ctx->ingress_ifindex;
	struct interface *interface;
	const __u16 *mine, *its = (const __u16 *)packet->ethernet->h_dest;

	if (ifindex < INTERFACES_LOW)
		interface = bpf_map_lookup_elem(&low_interfaces, &ifindex);
	else
		interface = bpf_map_lookup_elem(&interfaces, &ifindex);
	if (!interface || !interface->takes_part)
		return 0;
	mine = (const __u16 *)interface->mac;
	return mine[0] == its[0] && mine[1] == its[1] && mine[2] == its[2];
}

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

static __always_inline int is_available(const struct destination *destination)
{
	return (destination->flags & (DESTINATION_IN_USE | DESTINATION_REMOVED)) ==
	       DESTINATION_IN_USE;
}

/* The state is with the forward entry; only segments that may change it go there. */
static __always_inline void
step_from_server(const struct conn_key *key, const struct conn *reverse, __u8 flags)
{
	struct conn_key forward_key = conn_forward_key(key, reverse);
	struct conn *forward = conn_find(&forward_key);

	if (forward)
		conn_step(forward, FROM_SERVER, flags);
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
		account_in(found->destination, packet->bytes, 0);
		return send_to_server(ctx, packet, found, destination);
	case CREATE_CLASH:
		return drop(COUNT_dropped_port_clash);
	case CREATE_FULL:
		return drop(COUNT_dropped_table_full);
	}
	account_in(conn.destination, packet->bytes, 1);
	return send_to_server(ctx, packet, &conn, destination);
}

static __always_inline int handle_frame(struct xdp_md *ctx)
{
	struct packet packet;
	struct destination *destination;
	struct conn *conn;
	struct conn_key key;
	__u64 now;
	int is_syn;

	switch (parse(&packet, (void *)(long)ctx->data, (void *)(long)ctx->data_end)) {
	case PARSED:
		break;
	case FRAGMENT:
		return pass(COUNT_passed_fragment);
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
		return send_to_client(ctx, &packet, conn);
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
			account_in(conn->destination, packet.bytes, 0);
			return send_to_server(ctx, &packet, conn, destination);
		}
	}
	return handle_new(ctx, &packet, &key, now);
}

SEC("xdp")
int evenkeel_xdp(struct xdp_md *ctx)
{
	return handle_frame(ctx);
}

/* Answers that the kernel forwards, because XDP could not: their next hop was unknown. The packet
 * may be larger than a frame and have its checksum completed by the device, so the helpers do
 * the arithmetic. */
SEC("classifier")
int evenkeel_tc(struct __sk_buff *skb)
{
	struct packet packet;
	struct conn_key key;
	struct conn *conn;
	__be32 address;
	__be16 port;
	__u32 checksum_at;
	__u64 of_header = BPF_F_PSEUDO_HDR, of_field = 0;

	if (skb->protocol != bpf_htons(ETH_P_IP))
		return TC_ACT_OK;
	if (bpf_skb_pull_data(skb, sizeof(struct ethhdr) + sizeof(struct iphdr) +
					   sizeof(struct tcphdr)) &&
	    bpf_skb_pull_data(skb, sizeof(struct ethhdr) + sizeof(struct iphdr) +
					   sizeof(struct udphdr)))
		return TC_ACT_OK;
	if (parse(&packet, (void *)(long)skb->data, (void *)(long)skb->data_end) != PARSED)
		return TC_ACT_OK;
	key = packet_key(&packet);
	conn = conn_find(&key);
	if (!conn || conn->kind != KIND_REVERSE)
		return TC_ACT_OK;
	address = conn->peer;
	port = conn->peer_port;
	if (packet.is_tcp && packet.tcp_flags & (TCP_SYN | TCP_FIN | TCP_RST))
		step_from_server(&key, conn, packet.tcp_flags);
	conn_touch(conn, conn_clock());
	account_out(conn->destination, packet.bytes);
	count(COUNT_forwarded_by_kernel);
	checksum_at = sizeof(struct ethhdr) + sizeof(struct iphdr);
	if (packet.is_tcp) {
		checksum_at += offsetof(struct tcphdr, check);
	} else {
		checksum_at += offsetof(struct udphdr, check);
		of_header |= BPF_F_MARK_MANGLED_0;
		of_field |= BPF_F_MARK_MANGLED_0;
	}
	bpf_l4_csum_replace(skb, checksum_at, key.from, address, of_header | sizeof(address));
	bpf_l4_csum_replace(skb, checksum_at, key.from_port, port, of_field | sizeof(port));
	bpf_l3_csum_replace(skb, sizeof(struct ethhdr) + offsetof(struct iphdr, check), key.from,
			    address, sizeof(address));
	bpf_skb_store_bytes(skb, sizeof(struct ethhdr) + offsetof(struct iphdr, saddr), &address,
			    sizeof(address), 0);
	bpf_skb_store_bytes(skb, sizeof(struct ethhdr) + sizeof(struct iphdr), &port,
			    sizeof(port), 0);
	return TC_ACT_OK;
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
