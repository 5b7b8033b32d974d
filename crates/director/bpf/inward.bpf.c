// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Packets for a real server at ::1, on their way in (tc, ingress): the kernel takes such a packet
 * from the loopback interface alone, and no switch changes that. It is handed over as if it had
 * come in there.
 *
 * Only what the forwarding program translated is here: it drops what comes from outside under that
 * address. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>
#include <stddef.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* In every network namespace. Kernel: LOOPBACK_IFINDEX. */
#define LOOPBACK_INTERFACE 1
#define DESTINATION (sizeof(struct ethhdr) + offsetof(struct ipv6hdr, daddr))

SEC("classifier")
int evenkeel_inward(struct __sk_buff *skb)
{
	__u8 nobody[ETH_ALEN] = {};
	__be32 to[4];

	/* As TC_ACT_UNSPEC: other filters go on. */
	if (skb->protocol != bpf_htons(ETH_P_IPV6) || skb->pkt_type != PACKET_HOST)
		return TC_ACT_UNSPEC;
	if (bpf_skb_load_bytes(skb, DESTINATION, to, sizeof(to)))
		return TC_ACT_UNSPEC;
	if (to[0] | to[1] | to[2] || to[3] != bpf_htonl(1))
		return TC_ACT_UNSPEC;
	/* The loopback's own MAC address: otherwise it would be somebody else's packet there. */
	if (bpf_skb_store_bytes(skb, offsetof(struct ethhdr, h_dest), nobody, sizeof(nobody), 0))
		return TC_ACT_SHOT;
	return bpf_redirect(LOOPBACK_INTERFACE, BPF_F_INGRESS);
}
