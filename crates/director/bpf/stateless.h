/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The destination of a connection for which the table has no room. The schedulers that hash are
 * asked: they always say the same. In place of the others: the member that scores highest with the
 * connection's key (rendezvous hashing). One that comes or goes moves only the
 * connections that are its own. */
#ifndef EVENKEEL_STATELESS_H
#define EVENKEEL_STATELESS_H

#include "conn.h"
#include "schedule.h"

struct election {
	__u64 key;
	__u32 row;
	__u32 chosen; /* destination */
	__u32 most;
};

static long scored_highest(__u32 step, struct election *election)
{
	struct member *member = member_at(election->row, step);
	__u64 score;

	if (!member)
		return 1;
	if (!(member->weight & ~MEMBER_LIMITED))
		return 0;
	score = (election->key ^ member->destination * 0x9e3779b97f4a7c15ULL) *
		0xd6e8feb86659fd93ULL;
	score = (score ^ score >> 32) * 0x2545f4914f6cdd1dULL >> 32;
	if (election->chosen == NOBODY || score > election->most) {
		election->chosen = member->destination;
		election->most = score;
	}
	return 0;
}

static __always_inline int is_hashing(const struct service *service)
{
	return service->scheduler == SCHEDULE_DH || service->scheduler == SCHEDULE_SH ||
	       service->scheduler == SCHEDULE_MH;
}

static __always_inline __u32
choose_stateless(const struct service *service, const struct conn_key *key)
{
	struct election election = {
		.key = conn_key_hash(key),
		.row = service->row,
		.chosen = NOBODY,
	};

	bpf_loop(service->count & (2 * MEMBERS_MAX - 1), scored_highest, &election, 0);
	return election.chosen;
}

#endif
