/* SPDX-License-Identifier: BSD-3-Clause */
#include "kx_topic.h"

static uint64_t producer_key(uint64_t producer_id, uint32_t partition)
{
	uint64_t key = kx_mix64(producer_id) ^ (partition * UINT64_C(0x9e3779b97f4a7c15));

	return key == 0 ? 1 : key;
}

uint32_t kx_producer_find(const struct kx_topic_table *t, uint64_t producer_id, uint32_t partition)
{
	uint32_t i;

	if (!kx_map_get(&t->producer_map, producer_key(producer_id, partition), &i))
		return KX_NONE;
	/* Two pairs with one 64-bit key are told apart here: the second finds no state and gets none. */
	return t->producers[i].producer_id == producer_id && t->producers[i].partition == partition ? i
												    : KX_NONE;
}

static void producer_drop(struct kx_topic_table *t, uint32_t i)
{
	struct kx_producer_state *p = &t->producers[i];

	while (p->held_head != KX_NONE)
		kx_held_free(t, kx_held_pop(t, p));
	if (p->next_seq != 0)
		kx_producer_ids_forgot(t->ids, p->producer_id, p->producer_epoch);
	kx_map_del(&t->producer_map, producer_key(p->producer_id, p->partition));
	p->producer_id = 0;
	p->next = t->producer_free;
	t->producer_free = i;
}

static void idle_add(struct kx_topic_table *t, uint32_t i, uint64_t now_ns)
{
	struct kx_producer_state *p = &t->producers[i];

	p->owner = p->next = KX_NONE;
	p->prev = t->producer_idle_last;
	p->idle_ns = now_ns;
	if (p->prev != KX_NONE)
		t->producers[p->prev].next = i;
	else
		t->producer_idle = i;
	t->producer_idle_last = i;
}

static void idle_remove(struct kx_topic_table *t, uint32_t i)
{
	struct kx_producer_state *p = &t->producers[i];

	if (p->prev != KX_NONE)
		t->producers[p->prev].next = p->next;
	else
		t->producer_idle = p->next;
	if (p->next != KX_NONE)
		t->producers[p->next].prev = p->prev;
	else
		t->producer_idle_last = p->prev;
	p->next = p->prev = KX_NONE;
}

void kx_producer_own(struct kx_topic_table *t, uint32_t producer, uint32_t owner)
{
	idle_remove(t, producer);
	t->producers[producer].owner = owner;
}

void kx_producer_disown(struct kx_topic_table *t, uint32_t producer, uint64_t now_ns)
{
	idle_add(t, producer, now_ns);
}

static bool reclaim_idle(struct kx_topic_table *t, uint64_t now_ns, uint64_t idle_ns)
{
	uint32_t i = t->producer_idle;

	if (i == KX_NONE || now_ns - t->producers[i].idle_ns < idle_ns)
		return false;
	idle_remove(t, i);
	producer_drop(t, i);
	return true;
}

uint32_t kx_producer_new(struct kx_topic_table *t, uint64_t producer_id, uint32_t epoch, uint32_t partition,
	uint64_t now_ns, uint64_t idle_ns)
{
	struct kx_producer_state *p;
	uint32_t i, other;

	if (kx_map_get(&t->producer_map, producer_key(producer_id, partition), &other))
		return KX_NONE; /* another pair with this key */
	if (t->producer_free == KX_NONE && !reclaim_idle(t, now_ns, idle_ns))
		return KX_NONE;
	i = t->producer_free;
	if (kx_map_put(&t->producer_map, producer_key(producer_id, partition), i) != 0)
		return KX_NONE;
	p = &t->producers[i];
	t->producer_free = p->next;
	*p = (struct kx_producer_state){.producer_id = producer_id,
		.producer_epoch = epoch,
		.partition = partition,
		.held_head = KX_NONE,
		.held_express = KX_NONE};
	idle_add(t, i, now_ns);
	return i;
}

void kx_producer_new_epoch(struct kx_producer_state *p, uint32_t epoch)
{
	bool listed = p->drain_listed;

	*p = (struct kx_producer_state){.producer_id = p->producer_id,
		.producer_epoch = epoch,
		.partition = p->partition,
		.held_head = KX_NONE,
		.held_express = KX_NONE,
		.owner = p->owner,
		.next = p->next,
		.prev = p->prev,
		.idle_ns = p->idle_ns,
		.drain_listed = listed};
}

uint64_t kx_producer_recall(const struct kx_producer_state *p, uint64_t first_seq, uint32_t records)
{
	uint32_t known = KX_MIN(p->history_at, (uint32_t)KX_PRODUCER_HISTORY);
	uint64_t end = p->next_seq;

	/* from the latest back: each ends where the one after it begins */
	for (uint32_t i = 1; i <= known; i++) {
		const struct kx_producer_batch *h = &p->history[(p->history_at - i) % KX_PRODUCER_HISTORY];

		if (h->first_seq == first_seq)
			return end == first_seq + records ? h->base_offset + records : 0;
		end = h->first_seq;
	}
	return 0;
}

void kx_producer_stored(
	struct kx_producer_state *p, uint64_t first_seq, uint32_t records, uint64_t base_offset)
{
	p->history[p->history_at++ % KX_PRODUCER_HISTORY] =
		(struct kx_producer_batch){.first_seq = first_seq, .base_offset = base_offset};
	p->next_seq = first_seq + records;
	p->next_offset = base_offset + records;
}
