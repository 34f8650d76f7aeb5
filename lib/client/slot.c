/* SPDX-License-Identifier: BSD-3-Clause */
/* The batches of a partition, from queue to completion. */
#include "client_pvt.h"

uint32_t kxc_slot_take(struct kx_producer *p)
{
	uint32_t slot = p->slots_free;

	if (kx_unlikely(p->slots_free_count <= p->done_count)) /* what is not polled yet keeps its place */
		return NONE;
	p->slots_free = p->slots[slot].next;
	p->slots_free_count--;
	p->slots[slot] = (struct slot){.next = NONE, .large = NONE, .state = SLOT_OPEN};
	return slot;
}

void kxc_slot_free(struct kx_producer *p, uint32_t slot)
{
	struct slot *s = &p->slots[slot];

	if (s->large != NONE)
		kxc_large_free(p, s->large);
	s->state = SLOT_FREE;
	s->next = p->slots_free;
	p->slots_free = slot;
	p->slots_free_count++;
}

/* A partition's batches go to the channel of the data lcore that owns it; it is opened by the first of them.
 */
void kxc_part_list_send(struct part *part)
{
	struct channel *ch = part->ch;

	if (ch == NULL)
		return;
	channel_ready(ch);
	if (part->send_listed)
		return;
	part->send_listed = true;
	part->send_next = NULL;
	if (ch->send_head == NULL)
		ch->send_head = part;
	else
		ch->send_tail->send_next = part;
	ch->send_tail = part;
}

void kxc_slot_queue(struct part *part, uint32_t slot, struct kx_batch_writer *w, uint64_t now_ns)
{
	struct kx_producer *p = part->producer;
	const struct kx_client *c = p->client;
	struct slot *s = &p->slots[slot];

	/* identity and sequence are those of now: both may have changed since the batch was begun */
	w->batch->partition = part->id;
	w->batch->producer_id = c->producer_id;
	w->batch->producer_epoch = c->producer_epoch;
	w->batch->first_seq = part->next_seq;
	s->first_seq = part->next_seq;
	s->count = w->record_count;
	s->bytes = kx_batch_end(w);
	s->part = part->index;
	s->state = SLOT_QUEUED;
	s->next = NONE;
	part->next_seq += s->count;
	if (part->head == NONE) {
		part->head = slot;
		part->progress_ns = now_ns;
	} else {
		p->slots[part->tail].next = slot;
	}
	part->tail = slot;
	if (part->unsent == NONE)
		part->unsent = slot;
	kxc_part_list_send(part);
}

void kxc_part_requeue(struct part *part)
{
	struct kx_producer *p = part->producer;

	for (uint32_t i = part->head; i != NONE; i = p->slots[i].next) {
		struct slot *s = &p->slots[i];

		s->state = SLOT_QUEUED;
		s->counted = false;
		if (s->large != NONE)
			p->larges[s->large].sent_parts = 0;
	}
	part->unsent = part->head;
	part->stalls = 0;
	if (part->unsent != NONE)
		kxc_part_list_send(part);
}

static void complete(
	struct part *part, enum kx_result why, uint32_t code, uint8_t level, uint64_t next_offset, bool exact)
{
	struct kx_producer *p = part->producer;
	struct kx_client *c = p->client;
	uint32_t slot = part->head;
	struct slot *s = &p->slots[slot];
	struct kx_completion done = {.producer = p,
		.user = s->user,
		.first_seq = s->first_seq,
		.next_offset = next_offset,
		.sent_ns = s->sent_ns,
		.partition = part->index,
		.count = s->count,
		.code = code,
		.result = why,
		.level = level,
		.offset_exact = exact};

	part->head = s->next;
	if (part->unsent == slot)
		part->unsent = s->next;
	if (part->head == NONE)
		part->tail = NONE;
	p->pending -= s->count;
	if (why == KX_OK)
		c->stats.messages_committed += s->count;
	else
		c->stats.messages_failed += s->count;
	kxc_slot_free(p, slot);
	kxc_completion(p, &done);
}

void kxc_part_commit(struct part *part, const struct kx_commit_entry *e, uint64_t now_ns)
{
	struct kx_producer *p = part->producer;

	if (kx_unlikely(e->next_seq > part->next_seq || e->level > KX_REPLICATED))
		return;
	for (uint32_t level = 1; level <= e->level; level++)
		part->confirmed[level] = KX_MAX(part->confirmed[level], e->next_seq);
	if (kx_unlikely(e->level < p->level))
		return;
	while (part->head != NONE && p->slots[part->head].state == SLOT_SENT) {
		const struct slot *s = &p->slots[part->head];
		uint64_t end = s->first_seq + s->count;

		if (end > e->next_seq)
			break;
		part->progress_ns = now_ns;
		part->stalls = 0;
		complete(part, KX_OK, 0, e->level, e->next_offset, end == e->next_seq);
	}
}

void kxc_part_fail(struct part *part, enum kx_result why, uint32_t code, uint64_t now_ns)
{
	kxc_part_close_batch(part, now_ns);
	while (part->head != NONE)
		complete(part, why, code, 0, 0, false);
}

struct part *kxc_client_part(struct kx_client *c, uint32_t partition_id)
{
	for (uint32_t i = 0; i < c->opts.producers_max; i++) {
		struct kx_producer *p = c->producers[i];
		uint32_t index;

		if (p == NULL || p->part_count == 0)
			continue;
		if (p->parts[0].id == partition_id)
			return &p->parts[0];
		if (kx_map_get(&p->by_id, (uint64_t)partition_id + 1, &index))
			return &p->parts[index];
	}
	return NULL;
}
