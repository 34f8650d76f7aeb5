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

	if (ch == NULL || part_waits(part))
		return;
	channel_ready(ch);
	ch->owed |= part->unsent != NONE && part->producer->slots[part->unsent].counted;
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
	if (kx_unlikely(!part->send_listed || !part->ch->ready))
		kxc_part_list_send(part);
}

/* A split batch becomes whole again only in another session: this broker may have parts of it. */
static void queue_again(struct part *part, bool same_session)
{
	struct kx_producer *p = part->producer;

	for (uint32_t i = part->head; i != NONE; i = p->slots[i].next) {
		struct slot *s = &p->slots[i];

		s->state = SLOT_QUEUED;
		s->counted = s->counted && same_session;
		if (s->large != NONE)
			p->larges[s->large].sent_parts = p->larges[s->large].again = 0;
		if (!same_session && s->large != NONE && s->large >= LARGE_MAX) {
			kxc_large_free(p, s->large);
			s->large = NONE;
		}
	}
	part->unsent = part->head;
	part->stalls = 0;
	part->alone = false;
	if (part->unsent != NONE)
		kxc_part_list_send(part);
}

void kxc_part_requeue(struct part *part)
{
	queue_again(part, false);
}

void kxc_part_send_again(struct part *part)
{
	queue_again(part, true);
}

void kxc_part_head_alone(struct part *part)
{
	struct kx_producer *p = part->producer;
	struct slot *head = &p->slots[part->head];

	part->alone = true;
	part->unsent = head->state == SLOT_SENT ? head->next : part->head;
	for (uint32_t i = head->next; i != NONE; i = p->slots[i].next) {
		struct slot *s = &p->slots[i];

		s->state = SLOT_QUEUED;
		if (s->large != NONE)
			p->larges[s->large].sent_parts = p->larges[s->large].again = 0;
	}
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

/* Where in the log lies what was confirmed just now? Exactly known of a single batch; of several only the
 * end. */
static void note_offsets(struct part *part, uint32_t batches, uint64_t records, uint64_t next_offset)
{
	if (batches == 0)
		return;
	if (kx_unlikely(part->offset_end == 0))
		part->offset_first = batches == 1 ? next_offset - records : part->offset_opened;
	part->offset_end = KX_MAX(part->offset_end, next_offset);
	part->offset_count += records;
}

/* Complete what ends at or below next_seq; all of it was sent. */
static void confirm(
	struct part *part, uint64_t next_seq, uint64_t next_offset, uint8_t level, uint64_t now_ns)
{
	struct kx_producer *p = part->producer;
	uint64_t records = 0;
	uint32_t batches = 0;

	while (part->head != NONE && p->slots[part->head].state == SLOT_SENT) {
		const struct slot *s = &p->slots[part->head];
		uint64_t end = s->first_seq + s->count;

		if (end > next_seq)
			break;
		part->progress_ns = now_ns;
		part->stalls = 0;
		records += s->count;
		batches++;
		complete(part, KX_OK, 0, level, next_offset, end == next_seq);
	}
	note_offsets(part, batches, records, next_offset);
	if (kx_unlikely(part->alone) && batches > 0) {
		part->alone = false;
		kxc_part_list_send(part);
	}
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
	part->log_epoch = e->log_epoch;
	confirm(part, e->next_seq, e->next_offset, e->level, now_ns);
}

void kxc_part_stored(struct part *part, uint64_t next_seq, uint64_t next_offset, uint64_t now_ns)
{
	struct kx_producer *p = part->producer;

	for (uint32_t i = part->head; i != NONE; i = p->slots[i].next)
		p->slots[i].state = SLOT_SENT;
	for (uint32_t level = 1; level <= p->level; level++)
		part->confirmed[level] = KX_MAX(part->confirmed[level], next_seq);
	confirm(part, next_seq, next_offset, p->level, now_ns);
}

void kxc_part_restamp(struct part *part)
{
	struct kx_producer *p = part->producer;
	const struct kx_client *c = p->client;

	part->next_seq = 0;
	memset(part->confirmed, 0, sizeof(part->confirmed));
	for (uint32_t i = part->head; i != NONE; i = p->slots[i].next) {
		struct kx_batch_hdr *b = (struct kx_batch_hdr *)slot_data(p, i);

		b->partition = part->id;
		b->producer_id = c->producer_id;
		b->producer_epoch = c->producer_epoch;
		b->first_seq = p->slots[i].first_seq = part->next_seq;
		p->slots[i].left = false;
		b->data_crc = kx_batch_data_crc(b);
		part->next_seq += p->slots[i].count;
	}
}

void kxc_part_fail(struct part *part, enum kx_result why, uint32_t code, uint64_t now_ns)
{
	part->resume = part->alone = false; /* nothing is left to ask about */
	kxc_part_close_batch(part, now_ns);
	while (part->head != NONE)
		complete(part, why, code, 0, 0, false);
}

void kxc_part_fail_left(struct part *part, enum kx_result why)
{
	while (part->head != NONE && part->producer->slots[part->head].left)
		complete(part, why, 0, 0, 0, false);
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
