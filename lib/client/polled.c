/* SPDX-License-Identifier: BSD-3-Clause */
/* Consumers without a callback: batches rest in a ring a partition, credit follows what was taken out. */
#include "client_pvt.h"

/* In front of each batch; bytes == 0: the rest of the ring up to its end is unused. */
struct entry {
	uint32_t bytes;
	uint32_t skip;
};

bool kxc_polled_put(struct sub *s, const struct kx_batch_hdr *b, uint32_t skip)
{
	uint64_t size = s->consumer->ring_bytes;
	uint64_t need = sizeof(struct entry) + b->batch_bytes, head = s->ring_head,
		 to_end = size - head % size;

	if (to_end < need)
		head += to_end;
	if (head + need - s->ring_tail > size)
		return false;
	if (head != s->ring_head)
		*(struct entry *)(s->ring + s->ring_head % size) = (struct entry){0};
	*(struct entry *)(s->ring + head % size) = (struct entry){b->batch_bytes, skip};
	memcpy(s->ring + head % size + sizeof(struct entry), b, b->batch_bytes);
	s->ring_head = head + need;
	return true;
}

/* The oldest batch, its iterator set behind what is to be skipped. */
static bool open_batch(struct sub *s)
{
	uint64_t size = s->consumer->ring_bytes;
	const struct entry *e;
	struct kx_record r;

	if (s->ring_tail == s->ring_head)
		return false;
	e = (const struct entry *)(s->ring + s->ring_tail % size);
	if (e->bytes == 0) {
		s->ring_tail += size - s->ring_tail % size;
		e = (const struct entry *)s->ring;
	}
	s->it_batch = (const struct kx_batch_hdr *)(e + 1);
	s->it = kx_record_first(s->it_batch);
	for (uint32_t i = 0; i < e->skip; i++)
		(void)kx_record_next(&s->it, &r);
	s->it_offset = s->it_batch->base_offset + e->skip;
	return true;
}

void kxc_polled_drop(struct sub *s)
{
	s->ring_tail = s->ring_head;
	s->it_batch = NULL;
}

/* Offset of what lies at `tail`, or of what comes there. */
static uint64_t position_at(const struct sub *s, uint64_t tail)
{
	uint64_t size = s->consumer->ring_bytes;
	const struct entry *e;

	if (tail == s->ring_head)
		return s->next_offset;
	e = (const struct entry *)(s->ring + tail % size);
	if (e->bytes == 0)
		e = (const struct entry *)s->ring;
	return ((const struct kx_batch_hdr *)(e + 1))->base_offset + e->skip;
}

uint64_t kxc_polled_position(const struct sub *s)
{
	return s->it_batch != NULL ? s->it_offset : position_at(s, s->ring_tail);
}

uint64_t kxc_polled_done(const struct sub *s)
{
	return kxc_polled_is_old(s) ? position_at(s, s->ring_old) : kxc_polled_position(s);
}

static bool next_record(struct sub *s, uint64_t now_ns, struct kx_polled *out)
{
	for (;;) {
		if (s->it_batch == NULL && !open_batch(s))
			return false;
		if (kx_record_next(&s->it, &out->record))
			break;
		s->ring_tail += sizeof(struct entry) + s->it_batch->batch_bytes;
		if (s->state == SUB_ACTIVE)
			kxc_sub_taken(s, s->it_batch->batch_bytes, now_ns);
		s->it_batch = NULL;
		if (kxc_sub_has_gap(s)) /* what there was no room for before */
			kxc_deliver_held(s, now_ns);
		if (s->ch != NULL)
			channel_ready(s->ch);
	}
	out->offset = s->it_offset++;
	out->stream_key = s->it_batch->stream_key;
	out->append_time_ns = s->it_batch->append_time_ns;
	out->partition = s->index;
	return true;
}

enum kx_result kx_consumer_poll(struct kx_consumer *c, uint64_t now_ns, struct kx_polled *out)
{
	if (c == NULL || out == NULL)
		return KX_BAD_ARGUMENT;
	if (!c->opts.polled)
		return KX_BAD_STATE;
	for (uint32_t i = 0; i < c->sub_count; i++) {
		struct sub *s = &c->client->subs[c->subs[c->poll_at]];

		if (!s->paused && next_record(s, now_ns, out))
			return KX_OK;
		c->poll_at = c->poll_at + 1 < c->sub_count ? c->poll_at + 1 : 0;
	}
	return KX_EMPTY;
}
