/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Batches that wait for the ones before them: a list by sequence. What comes in order behind a hole goes to
 * its end; what comes in another order is looked for along the express list, on which about every 16th slot
 * stands, and from there along the list itself. An order chosen by an enemy costs no more than
 * KX_HOLD_WALK_MAX steps.
 */
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "kx_topic.h"

#define EXPRESS 16

static bool is_express(uint32_t slot)
{
	return kx_mix64(slot) % EXPRESS == 0;
}

/* Where first_seq belongs: *link is the first that is not below. False: too far. */
static bool find_place(struct kx_topic_table *t, struct kx_producer_state *p, uint64_t first_seq,
	uint32_t **link, uint32_t **express)
{
	uint32_t *at = &p->held_express, steps = 0;

	*link = &p->held_head;
	for (; *at != KX_NONE && t->held[*at].first_seq < first_seq; at = &t->held[*at].express_next) {
		*link = &t->held[*at].next;
		if (++steps > KX_HOLD_WALK_MAX)
			return false;
	}
	*express = at;
	for (; **link != KX_NONE && t->held[**link].first_seq < first_seq; *link = &t->held[**link].next)
		if (++steps > KX_HOLD_WALK_MAX)
			return false;
	t->held_walk_max = KX_MAX(t->held_walk_max, steps);
	return true;
}

static bool find_end(struct kx_topic_table *t, struct kx_producer_state *p, uint32_t slot, uint64_t first_seq)
{
	return p->held_head != KX_NONE && t->held[p->held_tail].first_seq < first_seq && !is_express(slot);
}

int kx_hold(struct kx_topic_table *t, struct kx_producer_state *p, const struct kx_batch_hdr *batch,
	uint64_t first_seq, uint32_t large)
{
	uint32_t *link, *express = NULL;
	uint32_t slot = t->held_free;

	if (slot != KX_NONE && find_end(t, p, slot, first_seq))
		link = &t->held[p->held_tail].next; /* the usual case: batches behind a hole come in order */
	else if (!find_place(t, p, first_seq, &link, &express))
		return -ENOBUFS;
	if (*link != KX_NONE && t->held[*link].first_seq == first_seq)
		return -EEXIST;
	if (slot == KX_NONE || p->held_count >= KX_HELD_MAX ||
		(large == KX_NONE && batch->batch_bytes > t->held_slot_bytes))
		return -ENOBUFS;
	t->held_free = t->held[slot].next;
	t->held[slot] = (struct kx_held){
		.first_seq = first_seq, .next = *link, .large = large, .express_next = KX_NONE};
	if (large == KX_NONE)
		memcpy(kx_held_batch(t, slot), batch, batch->batch_bytes);
	if (*link == KX_NONE)
		p->held_tail = slot;
	*link = slot;
	if (is_express(slot)) {
		t->held[slot].express_next = *express;
		*express = slot;
	}
	p->held_count++;
	t->held_used++;
	t->held_high_water = KX_MAX(t->held_high_water, t->held_used);
	return 0;
}

uint32_t kx_held_pop(struct kx_topic_table *t, struct kx_producer_state *p)
{
	uint32_t slot = p->held_head;

	p->held_head = t->held[slot].next;
	if (p->held_express == slot)
		p->held_express = t->held[slot].express_next;
	p->held_count--;
	return slot;
}

uint32_t kx_held_remove(struct kx_topic_table *t, struct kx_producer_state *p, uint64_t first_seq)
{
	uint32_t *link, *express = NULL, slot;

	if (!find_place(t, p, first_seq, &link, &express))
		return KX_NONE;
	slot = *link;
	if (slot == KX_NONE || t->held[slot].first_seq != first_seq)
		return KX_NONE;
	*link = t->held[slot].next;
	if (*link == KX_NONE && p->held_head != KX_NONE) /* it was the last: the one that named it is now */
		p->held_tail =
			(uint32_t)((struct kx_held *)((uint8_t *)link - offsetof(struct kx_held, next)) -
				t->held);
	if (is_express(slot))
		*express = t->held[slot].express_next;
	p->held_count--;
	return slot;
}

void kx_held_free(struct kx_topic_table *t, uint32_t held)
{
	t->held[held].next = t->held_free;
	t->held_free = held;
	t->held_used--;
}
