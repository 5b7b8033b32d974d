// SPDX-License-Identifier: Apache-2.0 OR MIT
/* The kernel's side of IPVS, for a Keepalived on a machine without it.
 *
 * Loaded with LD_PRELOAD, it stands before the few functions of libnl that Keepalived speaks to the
 * generic netlink family "IPVS" with. Every request succeeds and becomes one line in the file that
 * EVENKEEL_FAKE_IPVS names:
 *
 *     add-service tcp 192.0.2.1:80 rr timeout 0 flags 0 mask ffffffff
 *     add-server tcp 192.0.2.1:80 10.0.0.1:80 nat weight 1 upper 0 lower 0
 *
 * Layouts: include/uapi/linux/netlink.h, genetlink.h and ip_vs.h of Linux. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/genetlink.h>
#include <linux/ip_vs.h>
#include <linux/netlink.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FAMILY 0x1f
#define ATTRIBUTES 16

/* Kinds of callback of libnl-3's enum nl_cb_type. */
#define CALLBACK_FINISH 1
#define CALLBACK_ACK 4

struct nl_msg;
struct nl_sock;
typedef int (*callback_t)(struct nl_msg *, void *);

extern struct nlmsghdr *nlmsg_hdr(struct nl_msg *);

static callback_t acknowledge;
static void *acknowledge_argument;

struct attributes {
	const struct nlattr *of[ATTRIBUTES];
};

static struct attributes parse(const void *start, size_t length)
{
	struct attributes found = { { 0 } };

	while (length >= NLA_HDRLEN) {
		const struct nlattr *one = start;
		size_t step = NLA_ALIGN(one->nla_len);
		unsigned kind = one->nla_type & NLA_TYPE_MASK;

		if (one->nla_len < NLA_HDRLEN || one->nla_len > length)
			break;
		if (kind < ATTRIBUTES)
			found.of[kind] = one;
		if (step >= length)
			break;
		start = (const char *)start + step;
		length -= step;
	}
	return found;
}

static const void *payload(const struct nlattr *one)
{
	return (const char *)one + NLA_HDRLEN;
}

static struct attributes nested(const struct nlattr *one)
{
	return one ? parse(payload(one), one->nla_len - NLA_HDRLEN) : parse(NULL, 0);
}

static uint32_t number(const struct attributes *set, unsigned kind)
{
	uint32_t wide;
	uint16_t narrow;

	if (!set->of[kind])
		return 0;
	if (set->of[kind]->nla_len - NLA_HDRLEN >= sizeof(wide)) {
		memcpy(&wide, payload(set->of[kind]), sizeof(wide));
		return wide;
	}
	memcpy(&narrow, payload(set->of[kind]), sizeof(narrow));
	return narrow;
}

static void endpoint(char *text, size_t size, int family, const struct nlattr *address, uint16_t port)
{
	char host[INET6_ADDRSTRLEN] = "?";

	if (address)
		inet_ntop(family, payload(address), host, sizeof(host));
	snprintf(text, size, family == AF_INET6 ? "[%s]:%u" : "%s:%u", host, ntohs(port));
}

static const char *protocol(uint32_t number)
{
	switch (number) {
	case IPPROTO_TCP: return "tcp";
	case IPPROTO_UDP: return "udp";
	default: return "other";
	}
}

static const char *method(uint32_t flags)
{
	switch (flags & IP_VS_CONN_F_FWD_MASK) {
	case IP_VS_CONN_F_MASQ: return "nat";
	case IP_VS_CONN_F_TUNNEL: return "tun";
	case IP_VS_CONN_F_DROUTE: return "dr";
	default: return "local";
	}
}

static void name_service(char *text, size_t size, const struct attributes *service)
{
	char where[80];

	if (service->of[IPVS_SVC_ATTR_FWMARK]) {
		snprintf(text, size, "fwmark %u", number(service, IPVS_SVC_ATTR_FWMARK));
		return;
	}
	endpoint(where, sizeof(where), number(service, IPVS_SVC_ATTR_AF),
		 service->of[IPVS_SVC_ATTR_ADDR], number(service, IPVS_SVC_ATTR_PORT));
	snprintf(text, size, "%s %s", protocol(number(service, IPVS_SVC_ATTR_PROTOCOL)), where);
}

/* One write, so that lines of two processes never mix. */
static void record(const char *line)
{
	const char *path = getenv("EVENKEEL_FAKE_IPVS");
	int file = path ? open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644) : -1;

	if (file < 0)
		return;
	if (write(file, line, strlen(line)) < 0)
		perror("fake_ipvs");
	close(file);
}

static void record_service(const char *verb, const struct attributes *service)
{
	struct ip_vs_flags flags = { 0 };
	char name[100], line[300];

	name_service(name, sizeof(name), service);
	if (service->of[IPVS_SVC_ATTR_FLAGS])
		memcpy(&flags, payload(service->of[IPVS_SVC_ATTR_FLAGS]), sizeof(flags));
	snprintf(line, sizeof(line), "%s %s %s timeout %u flags %x mask %x\n", verb, name,
		 service->of[IPVS_SVC_ATTR_SCHED_NAME]
			 ? (const char *)payload(service->of[IPVS_SVC_ATTR_SCHED_NAME]) : "-",
		 number(service, IPVS_SVC_ATTR_TIMEOUT), flags.flags,
		 number(service, IPVS_SVC_ATTR_NETMASK));
	record(line);
}

static void record_server(const char *verb, const struct attributes *service,
			  const struct attributes *server)
{
	char name[100], where[80], line[300];

	name_service(name, sizeof(name), service);
	endpoint(where, sizeof(where), number(server, IPVS_DEST_ATTR_ADDR_FAMILY),
		 server->of[IPVS_DEST_ATTR_ADDR], number(server, IPVS_DEST_ATTR_PORT));
	snprintf(line, sizeof(line), "%s %s %s %s weight %d upper %u lower %u\n", verb, name, where,
		 method(number(server, IPVS_DEST_ATTR_FWD_METHOD)),
		 (int)number(server, IPVS_DEST_ATTR_WEIGHT),
		 number(server, IPVS_DEST_ATTR_U_THRESH), number(server, IPVS_DEST_ATTR_L_THRESH));
	record(line);
}

/* Stands before libnl-genl. */
int genl_connect(struct nl_sock *socket)
{
	(void)socket;
	return 0;
}

/* Stands before libnl-genl. */
int genl_ctrl_resolve(struct nl_sock *socket, const char *name)
{
	(void)socket;
	return strcmp(name, IPVS_GENL_NAME) == 0 ? FAMILY : -12;
}

/* Stands before libnl: remembers whom to tell that a request was taken. */
int nl_socket_modify_cb(struct nl_sock *socket, int type, int kind, callback_t function, void *argument)
{
	(void)socket;
	(void)kind;
	if (type == CALLBACK_ACK || type == CALLBACK_FINISH) {
		acknowledge = function;
		acknowledge_argument = argument;
	}
	return 0;
}

/* Stands before libnl: a request to the kernel. */
int nl_send_auto(struct nl_sock *socket, struct nl_msg *message)
{
	const struct nlmsghdr *header = nlmsg_hdr(message);
	const struct genlmsghdr *request = NLMSG_DATA(header);
	const char *start = (const char *)request + GENL_HDRLEN;
	struct attributes all = parse(start, header->nlmsg_len - NLMSG_HDRLEN - GENL_HDRLEN);
	struct attributes service = nested(all.of[IPVS_CMD_ATTR_SERVICE]);
	struct attributes server = nested(all.of[IPVS_CMD_ATTR_DEST]);

	(void)socket;
	switch (request->cmd) {
	case IPVS_CMD_NEW_SERVICE: record_service("add-service", &service); break;
	case IPVS_CMD_SET_SERVICE: record_service("edit-service", &service); break;
	case IPVS_CMD_DEL_SERVICE: record_service("delete-service", &service); break;
	case IPVS_CMD_NEW_DEST: record_server("add-server", &service, &server); break;
	case IPVS_CMD_SET_DEST: record_server("edit-server", &service, &server); break;
	case IPVS_CMD_DEL_DEST: record_server("delete-server", &service, &server); break;
	case IPVS_CMD_FLUSH: record("flush\n"); break;
	default: break;
	}
	return (int)header->nlmsg_len;
}

/* Stands before libnl: the kernel's answer, always a yes. */
int nl_recvmsgs_default(struct nl_sock *socket)
{
	(void)socket;
	if (acknowledge)
		acknowledge(NULL, acknowledge_argument);
	return 0;
}
