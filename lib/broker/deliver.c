/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Deliveries: what a subscription gets when ready.c says that it may send, a bounded number of frames,
 * repairs before new data. It is done when it has reached the end of its partition or used its credit; an
 * append or a CREDIT makes it ready again.
 */
#include <errno.h>
#include <string.h>

#include "broker_pvt.h"

#define WAKES_PER_TURN 256 /* subscriptions woken by appends */
#define PINS_SHARE                                                                                           \
	4 /* slices may pin one extent reference per 1/4 of the pool; beyond that deliveries are copied */

void deliver_notice(struct kx_broker *b, struct kx_sub *sub, enum kx_notice_code code, uint64_t offset)
{
	struct kx_partition *p = kx_topics_partition(&b->topics, sub->partition);
	struct session *s = session_of(b, sub->session);
	struct kx_notice *body;
	struct out o;

	if (!out_begin(b, s, KX_NOTICE, sub->sub_id, sizeof(*body), &o))
		return; /* the consumer finds the hole, asks for it, and is told then */
	body = (struct kx_notice *)o.body;
	*body = (struct kx_notice){.code = code, .log_epoch = p->log.log_epoch, .offset = offset};
	out_send(b, s, &o, sizeof(*body));
	kx_count(&b->counters.trimmed_notices, 1);
}

static KX_ALWAYS_INLINE void count_delivered(struct kx_broker *b, struct session *s, struct kx_partition *p,
	uint64_t first_offset, uint64_t messages, uint64_t bytes)
{
	kx_count(&b->counters.messages_out, messages);
	kx_count(&b->counters.frames_out, 1);
	kx_count(&s->info.messages_out, messages);
	kx_count(&p->messages_out, messages);
	kx_count(&p->bytes_out, bytes);
	if (p->turn == b->turn && first_offset >= p->turn_offset)
		residence_now(b, p);
}

static void sent_now(struct kx_broker *b, struct kx_sub *sub)
{
	if (sub->probe_ns != 0)
		return;
	sub->progress_ns = b->now_ns;
	sub->probe_ns = b->now_ns + kx_rtt_pto_ns(&session_of(b, sub->session)->rtt);
}

static uint32_t payload_max(const struct session *s)
{
	return session_room(s) & ~7u;
}

/* The one consumer of a partition, at its tail, gets the producer's own frame with the headers rewritten. A
 * small frame only when it came alone: others would share a frame with it when copied. */
bool deliver_cut(
	struct kx_broker *b, struct kx_partition *p, struct kx_frame *f, const struct kx_batch_hdr *stored)
{
	uint32_t bytes = (uint32_t)sizeof(struct kx_frame_hdr) + stored->batch_bytes;
	struct kx_sub *sub;
	struct session *s;
	uint32_t floor_delta;
	uint64_t pkt_no;

	if (p->sub_count != 1 || !(f->flags & KX_FRAME_OWNED) || b->ops->forward == NULL ||
		(f->bytes < b->config.cut_min_bytes && b->burst > 1))
		return false;
	sub = &b->topics.subs[p->subs];
	s = session_of(b, sub->session);
	if (s->conn_id == 0 || s->protect != NULL || sub->cursor.offset != stored->base_offset ||
		sub->sent_bytes + stored->batch_bytes > sub->limit_bytes || bytes > s->path.datagram_bytes ||
		sub->repair_count != 0 || sub->large_open || b->ops->room(b->tx) == 0 ||
		(kx_unlikely(s->cc.on) && !pace_allows(b, s)))
		return false;
	pkt_no = next_pkt(b, s, &floor_delta);
	kx_frame_begin(f->data, KX_DELIVER, s->conn_id, pkt_no, floor_delta, sub->sub_id);
	memcpy(f->data + sizeof(struct kx_frame_hdr), stored, KX_BATCH_DATA_FROM); /* what we assigned */
	kx_frame_seal(f->data, bytes);
	b->ops->forward(b->tx, f, bytes, &s->path);
	kx_cc_sent(&s->cc);
	f->buf = NULL;
	kx_log_seek_end(&p->log, &sub->cursor);
	sub->sent_bytes += stored->batch_bytes;
	sent_now(b, sub);
	kx_count(&s->info.tx_frames, 1);
	kx_count(&s->info.tx_bytes, bytes);
	kx_count(&b->counters.cut_frames, 1);
	kx_count(&sub->delivered_messages, stored->record_count);
	count_delivered(b, s, p, stored->base_offset, stored->record_count, stored->batch_bytes);
	return true;
}

static bool send_as_slice(
	struct kx_broker *b, struct session *s, struct out *o, const struct kx_log_slice *slice)
{
	struct kx_extent_pool *pool = &b->topics.pool;
	struct kx_pin *pin;

	if (slice->bytes < b->config.slice_min_bytes || b->ops->send_slice == NULL ||
		pool->pins >= pool->total / PINS_SHARE)
		return false;
	kx_frame_seal(o->data, sizeof(struct kx_frame_hdr) + slice->bytes);
	pin = kx_extent_pin(pool, slice->extent);
	if (b->ops->send_slice(b->tx, o->buf, sizeof(struct kx_frame_hdr), slice->data, slice->bytes, pin,
		    &s->path) != 0) {
		pin->release(pin);
		return false;
	}
	kx_count(&s->info.tx_frames, 1);
	kx_count(&s->info.tx_bytes, sizeof(struct kx_frame_hdr) + slice->bytes);
	kx_count(&b->counters.slice_frames, 1);
	return true;
}

/* One DELIVER frame with the slice. False: no buffer. */
static bool send_slice_frame(
	struct kx_broker *b, struct session *s, struct kx_sub *sub, const struct kx_log_slice *slice)
{
	bool by_slice = slice->bytes >= b->config.slice_min_bytes && b->ops->send_slice != NULL &&
		s->protect == NULL; /* what is protected is made for one session */
	struct out o;

	if (!out_begin(b, s, KX_DELIVER, sub->sub_id, by_slice ? 0 : slice->bytes, &o))
		return false;
	if (by_slice) {
		if (send_as_slice(b, s, &o, slice))
			return true;
		b->ops->free(b->tx, o.buf);
		if (!out_begin(b, s, KX_DELIVER, sub->sub_id, slice->bytes, &o))
			return false;
	}
	memcpy(o.body, slice->data, slice->bytes);
	out_send(b, s, &o, slice->bytes);
	kx_count(&b->counters.copied_frames, 1);
	return true;
}

/* One part of the large batch at `cursor`, from byte `from` on. Bytes sent, 0 without a buffer. */
static uint32_t send_part(struct kx_broker *b, struct session *s, struct kx_sub *sub,
	const struct kx_partition *p, const struct kx_log_cursor *cursor, uint32_t batch_bytes, uint32_t from)
{
	uint32_t part = (payload_max(s) - (uint32_t)sizeof(struct kx_frag)) & ~7u;
	uint32_t bytes;
	struct kx_frag *frag;
	struct out o;

	from -= from % part;
	bytes = KX_MIN(part, batch_bytes - from);
	if (!out_begin(b, s, KX_DELIVER_FRAG, sub->sub_id, (uint32_t)sizeof(*frag) + bytes, &o))
		return 0;
	frag = (struct kx_frag *)o.body;
	kx_log_copy_large(&p->log, cursor, from, bytes, (uint8_t *)(frag + 1));
	*frag = (struct kx_frag){.partition = sub->partition,
		.batch_bytes = batch_bytes,
		.frag_offset = from,
		.frag_bytes = bytes,
		.first = cursor->offset,
		.frag_crc = kx_crc32c(0, frag + 1, bytes),
		.part_bytes = part};
	out_send(b, s, &o, (uint32_t)sizeof(*frag) + bytes);
	return from + bytes;
}

/* The cursor's data were trimmed: go on at the oldest offset and say so. */
static void skip_trimmed(struct kx_broker *b, struct kx_sub *sub, const struct kx_partition *p)
{
	uint64_t offset = sub->cursor.offset;

	sub->large_open = false;
	if (kx_log_seek(&p->log, offset, &sub->cursor) == -ERANGE)
		deliver_notice(b, sub, KX_NOTICE_OFFSET_TRIMMED, sub->cursor.offset);
}

/* One batch may go beyond the credit when the consumer has everything before it: else it would wait for ever
 * on a window smaller than the batch. */
static bool has_all_before(const struct kx_sub *sub)
{
	return sub->acked_offset == sub->cursor.offset;
}

static enum step deliver_large(struct kx_broker *b, struct session *s, struct kx_sub *sub,
	struct kx_partition *p, const struct kx_log_slice *slice)
{
	uint32_t end;

	if (!sub->large_open) {
		if (sub->sent_bytes + slice->large_bytes > sub->limit_bytes && !has_all_before(sub)) {
			sub->behind = true;
			return STEP_IDLE;
		}
		sub->large_open = true;
		sub->large_sent = 0;
	}
	end = send_part(b, s, sub, p, &sub->cursor, slice->large_bytes, sub->large_sent);
	if (end == 0)
		return STEP_LATER;
	sub->large_sent = end;
	sent_now(b, sub);
	if (end == slice->large_bytes) {
		uint64_t offset = sub->cursor.offset;

		sub->large_open = false;
		sub->sent_bytes += slice->large_bytes;
		kx_log_advance(&p->log, &sub->cursor, slice);
		kx_count(&sub->delivered_messages, sub->cursor.offset - offset);
		count_delivered(b, s, p, offset, sub->cursor.offset - offset, slice->large_bytes);
	}
	return STEP_SENT;
}

static enum step deliver_next(
	struct kx_broker *b, struct session *s, struct kx_sub *sub, struct kx_partition *p)
{
	uint64_t credit = sub->limit_bytes > sub->sent_bytes ? sub->limit_bytes - sub->sent_bytes : 0;
	uint32_t max = payload_max(s);
	struct kx_log_slice slice;
	uint64_t offset;

	if (kx_unlikely(kx_log_read(&p->log, &sub->cursor, max, &slice) == -ERANGE)) {
		sub->behind = true;
		if (credit == 0)
			return STEP_IDLE; /* a consumer that takes nothing is told once it does, not at each
					     trim */
		skip_trimmed(b, sub, p);
		return STEP_SENT;
	}
	if (kx_unlikely(slice.large_bytes != 0))
		return deliver_large(b, s, sub, p, &slice);
	if (slice.bytes == 0) {
		sub->behind = credit == 0;
		if (credit != 0) /* else its next CREDIT wakes it, and no append has to */
			kx_sub_at_tail(&b->topics, (uint32_t)(sub - b->topics.subs));
		return STEP_IDLE;
	}
	if (kx_unlikely(slice.bytes > credit)) {
		sub->behind = true;
		kx_log_read(&p->log, &sub->cursor, (uint32_t)credit, &slice);
		if (slice.bytes == 0 && (credit == 0 || !has_all_before(sub)))
			return STEP_IDLE;
		if (slice.bytes == 0) /* that batch alone */
			kx_log_read(&p->log, &sub->cursor, slice.large_bytes, &slice);
	}
	if (!send_slice_frame(b, s, sub, &slice))
		return STEP_LATER;
	offset = sub->cursor.offset;
	sub->large_open = false; /* begun in parts, before the path was known to carry it whole */
	sub->sent_bytes += slice.bytes;
	kx_log_advance(&p->log, &sub->cursor, &slice);
	sent_now(b, sub);
	kx_count(&sub->delivered_messages, slice.records);
	count_delivered(b, s, p, offset, slice.records, slice.bytes);
	if (!sub->behind && (p->turn != b->turn || offset < p->turn_offset))
		residence_late(b, p, ((const struct kx_batch_hdr *)slice.data)->append_time_ns);
	return STEP_SENT;
}

static void repair_next(struct kx_sub *sub)
{
	sub->repair_head = (uint8_t)((sub->repair_head + 1) % KX_SUB_REPAIRS);
	sub->repair_count--;
}

/* Cut a slice so that it ends at or behind end_offset with as few batches as possible. */
static void slice_until(struct kx_log_slice *slice, uint64_t end_offset)
{
	uint32_t bytes = 0;

	while (bytes < slice->bytes) {
		const struct kx_batch_hdr *batch = (const struct kx_batch_hdr *)(slice->data + bytes);

		if (batch->base_offset >= end_offset)
			break;
		bytes += batch->batch_bytes;
		slice->next_offset = batch->base_offset + batch->record_count;
	}
	slice->bytes = bytes;
}

static void repaired(
	struct kx_broker *b, struct session *s, struct kx_sub *sub, uint64_t offset, uint64_t end_offset)
{
	kx_count(&b->counters.repaired_frames, 1);
	kx_retx_spend(&s->repairs, b->now_ns, kx_rtt_pto_ns(&s->rtt));
	pace_lost(s, sub, offset, end_offset);
}

/* The next part of a large batch that it asked for. */
static enum step repair_part(struct kx_broker *b, struct session *s, struct kx_sub *sub,
	struct kx_partition *p, struct kx_log_cursor *cursor, const struct kx_log_slice *slice)
{
	struct kx_repair *r = &sub->repairs[sub->repair_head];
	uint32_t to = r->end_byte == 0 ? slice->large_bytes : KX_MIN(r->end_byte, slice->large_bytes);
	uint32_t end;

	if (kx_unlikely(r->from_byte >= slice->large_bytes)) { /* a NAK can name any byte */
		repair_next(sub);
		return STEP_SENT;
	}
	end = send_part(b, s, sub, p, cursor, slice->large_bytes, r->from_byte);
	if (end == 0)
		return STEP_LATER;
	repaired(b, s, sub, r->offset, r->offset);
	r->from_byte = end;
	if (end >= to) {
		r->from_byte = r->end_byte = 0;
		r->offset = slice->next_offset;
	}
	return STEP_SENT;
}

/* One frame of what the consumer asked for again. */
static enum step deliver_repair(
	struct kx_broker *b, struct session *s, struct kx_sub *sub, struct kx_partition *p)
{
	struct kx_repair *r = &sub->repairs[sub->repair_head];
	struct kx_log_cursor cursor;
	struct kx_log_slice slice;

	if (r->end_byte == 0 && r->from_byte == 0) /* it may have come since it was asked for */
		r->offset = KX_MAX(r->offset, sub->acked_offset);
	if (r->offset >= r->end_offset) {
		repair_next(sub);
		return STEP_SENT;
	}
	if (kx_log_seek(&p->log, r->offset, &cursor) != 0) {
		deliver_notice(b, sub, KX_NOTICE_OFFSET_TRIMMED, p->log.first_offset);
		r->offset = p->log.first_offset;
		r->from_byte = r->end_byte = 0; /* they were of the batch that is gone */
		return STEP_SENT;
	}
	if (kx_log_read(&p->log, &cursor, payload_max(s), &slice) != 0 ||
		(slice.bytes == 0 && slice.large_bytes == 0)) {
		repair_next(sub);
		return STEP_SENT;
	}
	if (slice.large_bytes != 0)
		return repair_part(b, s, sub, p, &cursor, &slice);
	slice_until(&slice, r->end_offset);
	if (slice.bytes == 0) {
		repair_next(sub);
		return STEP_SENT;
	}
	if (!send_slice_frame(b, s, sub, &slice))
		return STEP_LATER;
	repaired(b, s, sub, r->offset, slice.next_offset);
	r->offset = slice.next_offset;
	return STEP_SENT;
}

/* Repairs within their budget; without one, what is new goes on. */
static bool repair_allowed(struct kx_broker *b, const struct session *s)
{
	if (kx_likely(kx_retx_due_ns(&s->repairs) <= b->now_ns))
		return true;
	kx_count(&b->counters.repairs_deferred, 1);
	return false;
}

enum step deliver_sub(struct kx_broker *b, uint32_t index, unsigned int budget, unsigned int *sent)
{
	struct kx_sub *sub = &b->topics.subs[index];
	struct kx_partition *p = kx_topics_partition(&b->topics, sub->partition);
	struct session *s = session_of(b, sub->session);
	enum step step;

	if (kx_unlikely(s->conn_id == 0)) {
		sub->repair_count = 0;
		return STEP_IDLE; /* closed; close.c has not come to it yet */
	}
	kx_sub_not_at_tail(&b->topics, index);
	for (*sent = 0; *sent < budget; (*sent)++) {
		if (b->ops->room(b->tx) == 0)
			return STEP_LATER;
		if (kx_unlikely(s->cc.on) && !pace_allows(b, s)) {
			sub->behind = true;
			return STEP_PACED;
		}
		if (kx_unlikely(sub->repair_count > 0) && repair_allowed(b, s)) {
			sub->behind = true; /* what is new waits for what it asks for again */
			step = deliver_repair(b, s, sub, p);
		} else {
			step = deliver_next(b, s, sub, p);
		}
		if (step != STEP_SENT)
			return step;
		kx_cc_sent(&s->cc);
	}
	return STEP_SENT;
}

/* Those that wait at the end of a partition, those that wait longest first: one without credit costs nothing
 * here until it grants some. Who came there later has no less; so one that has everything is the last to look
 * at. True: all are awake. */
static bool wake_subscribers(struct kx_broker *b, struct kx_partition *p, uint32_t *left)
{
	while (p->tail != KX_NONE && b->topics.subs[p->tail].cursor.offset != p->log.next_offset) {
		uint32_t i = p->tail;

		if (*left == 0)
			return false;
		--*left;
		kx_sub_not_at_tail(&b->topics, i);
		sub_ready(b, i);
	}
	return true;
}

static void wake_later(struct kx_broker *b, struct kx_partition *p)
{
	p->waking = true;
	b->wake_parts[(b->wake_head + b->wake_count++) % b->topics.partition_count] = p->id;
}

/* Partitions that a turn did not come to the end of. */
static void wake_some(struct kx_broker *b, uint32_t *left)
{
	uint32_t waiting = KX_MIN(b->wake_count, WAKES_PER_TURN);

	for (; waiting > 0 && *left > 0; waiting--) {
		struct kx_partition *p = kx_topics_partition(&b->topics, b->wake_parts[b->wake_head]);

		b->wake_head = (b->wake_head + 1) % b->topics.partition_count;
		b->wake_count--;
		p->waking = false;
		if (!wake_subscribers(b, p, left))
			wake_later(b, p);
	}
}

unsigned int deliver_poll(struct kx_broker *b)
{
	uint32_t left = WAKES_PER_TURN;

	if (kx_unlikely(b->wake_count != 0))
		wake_some(b, &left);
	for (uint32_t i = 0; i < b->dirty_count; i++) {
		struct kx_partition *p = kx_topics_partition(&b->topics, b->dirty_parts[i]);

		kx_partition_publish(&b->topics, p);
		if (!p->waking && !wake_subscribers(b, p, &left))
			wake_later(b, p);
	}
	b->dirty_count = 0;
	return ready_poll(b);
}
