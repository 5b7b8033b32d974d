/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Where the program meets the frame. One source for two hooks, compiled into an object for each:
 * XDP (native or generic), and tc (-DHOOK_TC), whose frames are the kernel's socket buffers.
 *
 * A socket buffer may be larger than a frame (GSO), not all of it readable in place, and its TCP or
 * UDP checksum may be left for the device to complete (CHECKSUM_PARTIAL). So at tc that checksum is
 * changed by the kernel's helper, as the last thing done to a packet: the helper ends what is known
 * of the pointers into it. */
#ifndef EVENKEEL_HOOK_H
#define EVENKEEL_HOOK_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <linux/types.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "family.h"
#include "tell.h"

#ifdef HOOK_TC

typedef struct __sk_buff frame_t;

enum verdict { VERDICT_PASS = TC_ACT_OK, VERDICT_DROP = TC_ACT_SHOT };

/* Where a program is: in maps of programs, and in src/xdp/tc.rs. */
enum place { PLACE_IN, PLACE_ARRIVE, PLACE_LEAVE, PLACE_LOCAL, PLACES };

#else

typedef struct xdp_md frame_t;

enum verdict { VERDICT_PASS = XDP_PASS, VERDICT_DROP = XDP_DROP };

#endif

static __always_inline void *frame_data(const frame_t *frame)
{
	return (void *)(long)frame->data;
}

static __always_inline void *frame_end(const frame_t *frame)
{
	return (void *)(long)frame->data_end;
}

#ifdef HOOK_TC

/* Room for a tunnel's header of its own: how the kernel is to split what is larger than a frame. */
#define ROOM_TUNNEL4 (BPF_F_ADJ_ROOM_FIXED_GSO | BPF_F_ADJ_ROOM_ENCAP_L3_IPV4)
#define ROOM_TUNNEL6 (BPF_F_ADJ_ROOM_FIXED_GSO | BPF_F_ADJ_ROOM_ENCAP_L3_IPV6)
#define ROOM_GRE BPF_F_ADJ_ROOM_ENCAP_L4_GRE
#define ROOM_UDP BPF_F_ADJ_ROOM_ENCAP_L4_UDP

/* Bytes that are to be readable in place: the usual headers. */
#define USUAL_HEADERS (ETH_HLEN + 20 + 20 + (FAMILY == 6 ? 20 : 0))
/* Those with options, of an error and what it quotes, or of a tunnel and what is in it. */
#define LARGEST_HEADERS 256

/* Makes the headers readable, as far as there are any. Not zero: they are not. */
static __always_inline long frame_show(frame_t *frame, __u32 bytes)
{
	return bpf_skb_pull_data(frame, frame->len < bytes ? frame->len : bytes);
}

/* The interface that it came in by. */
static __always_inline __u32 frame_ingress(const frame_t *frame)
{
	return frame->ifindex;
}

static __always_inline __u32 frame_length(const frame_t *frame)
{
	return frame->len;
}

/* The kernel splits it on its way out, into packets with so many bytes of payload; 0: it does not. */
static __always_inline __u32 frame_split(const frame_t *frame)
{
	return frame->gso_size;
}

static __always_inline long frame_load(frame_t *frame, __u32 at, void *to, __u32 length)
{
	return bpf_skb_load_bytes(frame, at, to, length);
}

/* Makes room before the IP header; what is in it, and in the Ethernet header, is anything. */
static __always_inline long frame_grow(frame_t *frame, __u32 bytes, __u64 room)
{
	return bpf_skb_adjust_room(frame, bytes, BPF_ADJ_ROOM_MAC, room) ?:
	       frame_show(frame, LARGEST_HEADERS);
}

/* Takes bytes away behind the Ethernet header, which is anything then. */
static __always_inline long frame_shrink(frame_t *frame, __u32 bytes)
{
	return bpf_skb_adjust_room(frame, -(int)bytes, BPF_ADJ_ROOM_MAC, 0) ?:
	       frame_show(frame, LARGEST_HEADERS);
}

/* Takes bytes away at the end. */
static __always_inline long frame_cut(frame_t *frame, __u32 bytes)
{
	return bytes ? bpf_skb_change_tail(frame, frame->len - bytes, 0) : 0;
}

#define OF_IPV6 (1ULL << 7) /* BPF_F_IPV6 */

/* TCP's or UDP's checksum at this place of the frame, after changes of what it covers: of addresses,
 * which are in its pseudo header, and of ports. Ends all pointers into the packet. */
static __always_inline void
frame_checksum(frame_t *frame, __u32 at, int is_tcp, __u32 of_addresses, __u32 of_ports)
{
	__u64 flags = is_tcp ? 0 : BPF_F_MARK_MANGLED_0;

	/* What the card summed up itself (CHECKSUM_COMPLETE) does not change with IPv6's addresses,
	 * which Linux knows from 6.16 on. */
	if (FAMILY == 4 ||
	    bpf_l4_csum_replace(frame, at, 0, of_addresses, flags | BPF_F_PSEUDO_HDR | OF_IPV6))
		bpf_l4_csum_replace(frame, at, 0, of_addresses, flags | BPF_F_PSEUDO_HDR);
	bpf_l4_csum_replace(frame, at, 0, of_ports, flags);
}

#else

#define ROOM_TUNNEL4 0
#define ROOM_TUNNEL6 0
#define ROOM_GRE 0
#define ROOM_UDP 0

static __always_inline __u32 frame_ingress(const frame_t *frame)
{
	return explaining ? explained_ifindex : frame->ingress_ifindex;
}

static __always_inline __u32 frame_length(const frame_t *frame)
{
	return frame_end(frame) - frame_data(frame);
}

static __always_inline __u32 frame_split(const frame_t *frame)
{
	return 0;
}

static __always_inline long frame_load(frame_t *frame, __u32 at, void *to, __u32 length)
{
	return bpf_xdp_load_bytes(frame, at, to, length);
}

static __always_inline long frame_grow(frame_t *frame, __u32 bytes, __u64 room)
{
	return bpf_xdp_adjust_head(frame, -(int)bytes);
}

static __always_inline long frame_shrink(frame_t *frame, __u32 bytes)
{
	return bpf_xdp_adjust_head(frame, bytes);
}

static __always_inline long frame_cut(frame_t *frame, __u32 bytes)
{
	return bpf_xdp_adjust_tail(frame, -(int)bytes);
}

#endif

#endif
