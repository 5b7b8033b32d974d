/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The end of a connection: its counts are settled once, by whoever swaps WORD_DEAD into its word.
 * The word holds where it is counted and as what, so every change of it by compare-and-swap moves
 * exactly the counts that belong to it, whoever has the slot by then. */
#ifndef EVENKEEL_REMOVE_H
#define EVENKEEL_REMOVE_H

#include "loads.h"
#include "table.h"

/* Seconds for which a template is armed anew while it controls connections. Kernel:
 * ip_vs_conn_expire. */
#define TEMPLATE_REARM 60

static __always_inline __u32 reference_bits(__u64 tag)
{
	return (__u32)(tag >> TAG_GENERATION_SHIFT) << 26;
}

/* The template that a connection refers to, if it is still that one. */
static __always_inline struct slot *template_of(__u32 reference, __u32 destination)
{
	struct slot *slot;
	__u64 tag;

	if (!reference)
		return 0;
	slot = slot_at((reference & REFERENCE_SLOT) - 1);
	if (!slot)
		return 0;
	tag = LOOK(slot->tag);
	if ((tag & (TAG_USED | TAG_BUSY | TAG_TEMPLATE)) != (TAG_USED | TAG_TEMPLATE))
		return 0;
	if (reference_bits(tag) != (reference & ~REFERENCE_SLOT))
		return 0;
	return word_destination(LOOK(slot->word)) == destination ? slot : 0;
}

static __always_inline void template_leave(__u32 reference, __u32 destination)
{
	struct slot *template = template_of(reference, destination);

	if (template && LOOK(template->template))
		__sync_fetch_and_add(&template->template, -1);
}

/* Removes the connection or template with this word. Returns whether this call did. */
static __always_inline int remove_here(struct slot *slot, __u64 word)
{
	union addresses addresses;
	__u32 destination, template;
	__u64 tag;

	if (is_dead(word) ||
	    __sync_val_compare_and_swap(&slot->word, word, word | WORD_DEAD) != word)
		return 0;
	tag = LOOK(slot->tag);
	addresses = slot->addresses;
	template = slot->template;
	destination = word_destination(word);
	load_count(destination, word_state(word), -1);
	if (!(tag & TAG_TEMPLATE)) {
		load_weigh(destination, 0);
		template_leave(template, destination);
	}
	slot_free(slot, tag);
	if (tag & TAG_AWAY)
		come_home(addresses, tag);
	return 1;
}

__noinline int slot_remove(struct slot *slot, __u64 word)
{
	return slot ? remove_here(slot, word) : 0;
}

/* The word of what is in a slot, if its owner has finished writing it, else a dead one: who removes
 * what is being written gives the slot back under its owner's hands. */
static __always_inline __u64 slot_word(struct slot *slot)
{
	__u64 tag = LOOK(slot->tag), word = LOOK(slot->word);

	if ((tag & (TAG_USED | TAG_BUSY)) != TAG_USED || !same_owner(tag, LOOK(slot->tag)))
		return WORD_DEAD;
	return word;
}

/* The word of what is in a slot if it may be removed because its time is over, else a dead one. A
 * template that controls connections gets more time. */
static __always_inline __u64 slot_over(struct slot *slot, __u32 now)
{
	__u64 tag = LOOK(slot->tag), word = LOOK(slot->word);

	if ((tag & (TAG_USED | TAG_BUSY)) != TAG_USED || is_dead(word))
		return WORD_DEAD;
	if (!slot_is_over(slot, tag, word, now) || !same_owner(tag, LOOK(slot->tag)))
		return WORD_DEAD;
	if (tag & TAG_TEMPLATE && LOOK(slot->template)) {
		slot->seen = now + ticks_of(TEMPLATE_REARM);
		return WORD_DEAD;
	}
	return word;
}

/* The word of a connection whose server left, if it is not to wait for its return, else a dead one:
 * UDP never waits, the others do unless their service says otherwise. */
static __always_inline __u64 slot_lost(struct slot *slot)
{
	__u64 tag = LOOK(slot->tag), word = LOOK(slot->word);
	struct destination *server;

	if ((tag & (TAG_USED | TAG_BUSY | TAG_TEMPLATE)) != TAG_USED || is_dead(word))
		return WORD_DEAD;
	server = destination_at(word_destination(word));
	if (!server || is_available(server) || !same_owner(tag, LOOK(slot->tag)))
		return WORD_DEAD;
	if (word_state(word) != UDP_FLOW && !(server->flags & DESTINATION_EXPIRES))
		return WORD_DEAD;
	return word;
}

#endif
