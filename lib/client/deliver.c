/* SPDX-License-Identifier: BSD-3-Clause */
/* Deliveries of a subscription: in order to the program, too early ones held, old ones dropped. */
#include "client_pvt.h"

void kxc_sub_taken(struct sub *s, uint64_t bytes, uint64_t now_ns)
{
	uint32_t window = sub_window(s);

	s->taken_bytes += bytes;
	/* the first bytes start the clock, an eighth of the window ends the wait */
	if (s->taken_bytes + window - s->limit_bytes >= window / 8)
		kxc_credit_due(s, now_ns);
	else
		kxc_credit_due(s, now_ns + CREDIT_WAIT);
}

/* One batch whose turn it is: it begins at or before next_offset and ends behind it. */
void kxc_deliver_batch(
	struct sub *s, const struct kx_batch_hdr *b, uint64_t rx_ns, bool held, uint64_t now_ns)
{
	struct kx_consumer *c = s->consumer;
	uint32_t skip = (uint32_t)(s->next_offset - b->base_offset);
	struct kx_batch_view view = {.consumer = c,
		.batch = b,
		.first_offset = s->next_offset,
		.rx_ns = rx_ns,
		.partition = s->index,
		.skip = skip,
		.count = b->record_count - skip,
		.held = held};

	if (c->opts.polled) {
		if (kx_unlikely(!kxc_polled_put(s, b, skip)))
			return; /* sent beyond the credit: not taken, so that it is sent again */
	} else {
		kxc_sub_taken(s, b->batch_bytes, now_ns);
	}
	s->next_offset = b->base_offset + b->record_count;
	c->client->stats.messages_received += view.count;
	c->client->stats.batches_received++;
	if (!c->opts.polled)
		c->opts.on_batch(c->opts.user, &view);
}

/* ---- held frames */

static void hold_free(struct kx_consumer *c, uint32_t i)
{
	c->holds[i].next = c->hold_free;
	c->hold_free = i;
	c->hold_free_count++;
}

void kxc_deliver_drop_held(struct sub *s)
{
	struct kx_consumer *c = s->consumer;

	while (s->held_head != NONE) {
		uint32_t i = s->held_head;

		s->held_head = c->holds[i].next;
		hold_free(c, i);
	}
	s->held_tail = NONE;
	s->held_count = 0;
	kxc_reassembly_drop(s, UINT64_MAX);
}

/* What is needed last makes room for what is needed before it. False: it is not before. */
static bool hold_evict(struct sub *s, uint64_t first)
{
	struct kx_consumer *c = s->consumer;
	uint32_t *at = &s->held_head, before = NONE;

	if (s->held_tail == NONE || c->holds[s->held_tail].first < first)
		return false;
	while (*at != s->held_tail) {
		before = *at;
		at = &c->holds[*at].next;
	}
	hole_below(s, c->holds[*at].end);
	hold_free(c, *at);
	*at = NONE;
	s->held_tail = before;
	s->held_count--;
	c->client->stats.held_dropped++;
	return true;
}

/* Keep the batches at `data`, offsets [first, end). False: they were there, or there is no room. */
static bool hold(
	struct sub *s, const uint8_t *data, uint32_t bytes, uint64_t first, uint64_t end, uint64_t rx_ns)
{
	struct kx_consumer *c = s->consumer;
	struct kx_client_stats *stats = &c->client->stats;
	uint32_t i, before = NONE, at;

	if (kx_unlikely(c->hold_free == NONE) && !hold_evict(s, first)) {
		hole_below(s, end);
		stats->held_dropped++;
		return false;
	}
	i = c->hold_free;
	at = s->held_head;
	if (s->held_tail != NONE && c->holds[s->held_tail].first < first) {
		before = s->held_tail;
		at = NONE;
	}
	while (at != NONE && c->holds[at].first < first) {
		before = at;
		at = c->holds[at].next;
	}
	if ((at != NONE && c->holds[at].first == first && c->holds[at].end >= end) ||
		(before != NONE && c->holds[before].end >= end)) {
		stats->duplicate_batches++;
		return false;
	}
	if (kx_unlikely(bytes > c->opts.hold_bytes)) {
		hole_below(s, end);
		stats->held_dropped++;
		return false;
	}
	c->hold_free = c->holds[i].next;
	c->hold_free_count--;
	c->holds[i] = (struct hold){.first = first, .end = end, .rx_ns = rx_ns, .next = at, .bytes = bytes};
	memcpy(c->hold_memory + (size_t)i * c->opts.hold_bytes, data, bytes);
	if (before == NONE)
		s->held_head = i;
	else
		c->holds[before].next = i;
	if (at == NONE)
		s->held_tail = i;
	s->held_count++;
	stats->held_frames++;
	return true;
}

/* The run of batches at `data`: deliver those whose turn it is. @return bytes dealt with; the rest is too
 * early */
static uint32_t deliver_run(
	struct sub *s, const uint8_t *data, uint32_t bytes, uint64_t rx_ns, bool held, uint64_t now_ns)
{
	uint32_t at = 0;

	while (at < bytes) {
		const struct kx_batch_hdr *b = (const struct kx_batch_hdr *)(data + at);
		uint64_t end = b->base_offset + b->record_count;

		if (kx_unlikely(
			    s->state != SUB_ACTIVE)) /* a callback went elsewhere: the rest is of no use */
			return bytes;
		if (kx_unlikely(b->base_offset > s->next_offset || s->paused) &&
			(b->base_offset > s->next_offset || sub_stopped(s)))
			break;
		if (kx_unlikely(end <= s->next_offset))
			s->consumer->client->stats.duplicate_batches++;
		else
			kxc_deliver_batch(s, b, rx_ns, held, now_ns);
		if (kx_unlikely(end > s->next_offset))
			break; /* not taken */
		at += b->batch_bytes;
	}
	return at;
}

/* Deliver what was held, as far as it goes without a hole. */
void kxc_deliver_held(struct sub *s, uint64_t now_ns)
{
	struct kx_consumer *c = s->consumer;
	bool more = true;

	while (more) {
		more = kxc_reassembly_deliver(s, now_ns);
		while (s->held_head != NONE && c->holds[s->held_head].first <= s->next_offset) {
			uint32_t i = s->held_head;
			const struct hold *h = &c->holds[i];

			if (deliver_run(s, c->hold_memory + (size_t)i * c->opts.hold_bytes, h->bytes,
				    h->rx_ns, true, now_ns) < h->bytes &&
				h->end > s->next_offset)
				return;
			s->held_head = h->next;
			if (s->held_head == NONE)
				s->held_tail = NONE;
			s->held_count--;
			hold_free(c, i);
			more = true;
		}
	}
}

/* Batches of a frame must be one partition's, each behind the other. @return end offset, 0 when they are not
 */
static uint64_t run_end(const struct sub *s, const struct kx_frame_view *v)
{
	const uint8_t *at = v->body;
	uint64_t end = ((const struct kx_batch_hdr *)at)->base_offset;

	for (uint32_t i = 0; i < v->batch_count; i++) {
		const struct kx_batch_hdr *b = (const struct kx_batch_hdr *)at;

		if (b->partition != s->partition || b->base_offset != end || end + b->record_count < end)
			return 0;
		end += b->record_count;
		at += b->batch_bytes;
	}
	return end;
}

/* It waits for kx_consumer_resume(); what there is no place for is asked for then. Half of the places stay
 * free for holes of other partitions. */
static void paused_early(
	struct sub *s, const struct kx_frame *f, const struct kx_frame_view *v, uint32_t done, uint64_t end)
{
	const struct kx_batch_hdr *rest = (const struct kx_batch_hdr *)(v->body + done);

	if (end <= s->next_offset)
		return;
	if (s->consumer->hold_free_count > s->consumer->opts.hold_frames / 2)
		(void)hold(s, v->body + done, v->body_bytes - done, rest->base_offset, end, f->rx_ns);
	else
		s->consumer->client->stats.held_dropped++;
}

/* What is behind a hole; or what a polled consumer had no room for. */
static void deliver_early(struct sub *s, const struct kx_frame *f, const struct kx_frame_view *v,
	uint32_t done, uint64_t end, uint64_t now_ns)
{
	const struct kx_batch_hdr *rest = (const struct kx_batch_hdr *)(v->body + done);
	uint64_t first = rest->base_offset;

	if (kx_unlikely(sub_stopped(s))) {
		paused_early(s, f, v, done, end);
		return;
	}
	if (first <= s->next_offset)
		hole_below(s, end);
	else if (hold(s, v->body + done, v->body_bytes - done, first, end, f->rx_ns))
		kxc_hole_filled(s, first, end, v->hdr->pkt_no, now_ns);
	else if (first < s->named_end)
		kxc_hole_duplicate(s, v->hdr->pkt_no);
	kxc_gap_seen(s, now_ns);
}

void kxc_deliver_frame(
	struct channel *ch, const struct kx_frame *f, const struct kx_frame_view *v, uint64_t now_ns)
{
	struct sub *s = kxc_sub_find(ch->client, v->hdr->handle);
	const struct kx_batch_hdr *first = (const struct kx_batch_hdr *)v->body;
	uint64_t end, before;
	uint32_t done;

	if (kx_unlikely(s == NULL || s->ch != ch || s->state != SUB_ACTIVE)) {
		kx_count(&ch->hub->stats.drop[KX_DROP_SUB_UNKNOWN], 1);
		return;
	}
	end = run_end(s, v);
	if (kx_unlikely(end == 0)) {
		kx_count(&ch->hub->stats.drop[KX_DROP_FRAME_FIELD], 1);
		return;
	}
	if (kx_unlikely(first->base_offset > s->sent_end))
		hole_below(s, first->base_offset);
	if (end > s->sent_end)
		s->sent_end = end;
	if (end > s->log_end)
		s->log_end = end;
	s->frame_records = (uint32_t)(end - first->base_offset);
	before = s->next_offset;
	done = deliver_run(s, v->body, v->body_bytes, f->rx_ns, false, now_ns);
	if (kx_unlikely(done < v->body_bytes)) {
		deliver_early(s, f, v, done, end, now_ns);
		return;
	}
	if (kx_unlikely(end <= before))
		kxc_hole_duplicate(s, v->hdr->pkt_no);
	if (kx_unlikely(s->gap_listed)) {
		if (s->next_offset != before) {
			kxc_hole_filled(s, before, s->next_offset, v->hdr->pkt_no, now_ns);
			if (kxc_sub_has_gap(s))
				kxc_deliver_held(s, now_ns);
		}
		kxc_gap_seen(s, now_ns);
	}
}
