/* SPDX-License-Identifier: BSD-3-Clause */
#include "broker_pvt.h"

static uint64_t sub_key(const struct session *s, uint32_t sub_id)
{
	return (uint64_t)s->slot << 32 | sub_id; /* sub_id > 0 */
}

uint32_t session_sub(struct kx_broker *b, const struct session *s, uint32_t sub_id)
{
	uint32_t index;

	return kx_map_get(&b->sub_map, sub_key(s, sub_id), &index) ? index : KX_NONE;
}

bool session_sub_add(struct kx_broker *b, struct session *s, uint32_t index)
{
	struct kx_sub *sub = &b->topics.subs[index];

	if (kx_map_put(&b->sub_map, sub_key(s, sub->sub_id), index) != 0)
		return false;
	sub->session_prev = KX_NONE;
	sub->session_next = s->subs;
	if (s->subs != KX_NONE)
		b->topics.subs[s->subs].session_prev = index;
	s->subs = index;
	s->sub_count++;
	s->info.subscriptions = s->sub_count;
	return true;
}

void session_sub_end(struct kx_broker *b, struct session *s, uint32_t index)
{
	const struct kx_sub *sub = &b->topics.subs[index];

	kx_map_del(&b->sub_map, sub_key(s, sub->sub_id));
	if (sub->session_prev == KX_NONE)
		s->subs = sub->session_next;
	else
		b->topics.subs[sub->session_prev].session_next = sub->session_next;
	if (sub->session_next != KX_NONE)
		b->topics.subs[sub->session_next].session_prev = sub->session_prev;
	if (s->tick_sub == index)
		s->tick_sub = sub->session_next;
	s->sub_count--;
	s->info.subscriptions = s->sub_count;
	sub_unready(b, index);
	kx_sub_close(&b->topics, index);
}

/* The consumer's position and credit for one subscription. */
static enum kx_drop credit_entry(struct kx_broker *b, struct session *s, const struct kx_credit_entry *e)
{
	uint32_t index = session_sub(b, s, e->sub_id);
	struct kx_sub *sub;

	if (index == KX_NONE)
		return KX_DROP_SUB_UNKNOWN;
	sub = &b->topics.subs[index];
	if (e->next_offset > sub->cursor.offset)
		return KX_DROP_CONSUMER_LIES;
	if (e->next_offset > sub->acked_offset) {
		sub->acked_offset = e->next_offset;
		sub->progress_ns = b->now_ns;
		kx_retx_progress(&s->repairs, s->rtt.srtt_ns);
		sub->probes = 0;
		sub->probe_ns =
			sub->acked_offset == sub->cursor.offset ? 0 : b->now_ns + kx_rtt_pto_ns(&s->rtt);
	}
	kx_sub_done(&b->topics, index, e->done_offset);
	if (e->limit_bytes > sub->limit_bytes)
		sub->limit_bytes = e->limit_bytes;
	sub_ready(b, index);
	return KX_DROP_NONE;
}

/* We repair by offset: what a receipt says of packets tells how much is under way. */
enum kx_drop consume_receipt(struct kx_broker *b, struct session *s, const struct kx_frame_view *v)
{
	const struct kx_receipt *r = (const struct kx_receipt *)v->body;

	if (r->largest_pkt >= s->tx_next_pkt)
		return KX_DROP_CONSUMER_LIES;
	pace_receipt(b, s, r);
	return KX_DROP_NONE;
}

enum kx_drop consume_credit(struct kx_broker *b, struct session *s, const struct kx_frame_view *v)
{
	const struct kx_receipt *r = (const struct kx_receipt *)v->body;
	const struct kx_credit_entry *e = (const struct kx_credit_entry *)(r + 1);
	enum kx_drop drop = KX_DROP_NONE;

	if (r->largest_pkt >= s->tx_next_pkt)
		return KX_DROP_CONSUMER_LIES;
	pace_receipt(b, s, r);
	for (uint32_t i = 0; i < r->entry_count; i++) {
		enum kx_drop one = credit_entry(b, s, &e[i]);

		if (one != KX_DROP_NONE)
			drop = one;
	}
	b->close_packet = true;
	return drop;
}

static void repair_add(struct kx_broker *b, uint32_t index, struct kx_repair repair)
{
	struct kx_sub *sub = &b->topics.subs[index];

	for (uint32_t i = 0; i < sub->repair_count; i++) {
		struct kx_repair *r = &sub->repairs[(sub->repair_head + i) % KX_SUB_REPAIRS];

		if (r->end_byte != 0 || repair.end_byte != 0 || r->from_byte != 0)
			continue;
		if (r->offset <= repair.offset && r->end_offset >= repair.offset) {
			r->end_offset = KX_MAX(r->end_offset, repair.end_offset);
			return;
		}
	}
	if (sub->repair_count == KX_SUB_REPAIRS)
		return; /* it asks again for what is missing after these */
	sub->repairs[(sub->repair_head + sub->repair_count++) % KX_SUB_REPAIRS] = repair;
	sub_ready(b, index);
}

/* OFFSETS or BYTES, in order: lib/wire takes nothing else from a client. */
static enum kx_drop nak_entry(struct kx_broker *b, struct session *s, const struct kx_nak_entry *e)
{
	uint32_t index = session_sub(b, s, e->handle);
	const struct kx_sub *sub;
	struct kx_repair r = {.offset = e->first};

	if (index == KX_NONE)
		return KX_DROP_SUB_UNKNOWN;
	sub = &b->topics.subs[index];
	if (e->kind == KX_NAK_BYTES) {
		r.end_offset = e->first + 1;
		r.from_byte = (uint32_t)e->last;
		r.end_byte = (uint32_t)(e->last >> 32);
		/* parts of the batch being sent are at the cursor itself */
		if (e->first > sub->cursor.offset || (e->first == sub->cursor.offset && !sub->large_open))
			return KX_DROP_CONSUMER_LIES;
		/* what was not sent yet comes in its turn: were it a repair, the consumer would have the
		 * batch before we have sent it, and its word for that would be no truth to us */
		if (e->first == sub->cursor.offset)
			r.end_byte = KX_MIN(r.end_byte, sub->large_sent);
		if (r.from_byte >= r.end_byte)
			return KX_DROP_NONE;
	} else {
		if (e->last >= sub->cursor.offset)
			return KX_DROP_CONSUMER_LIES;
		r.end_offset = e->last + 1;
	}
	repair_add(b, index, r);
	return KX_DROP_NONE;
}

enum kx_drop consume_nak(struct kx_broker *b, struct session *s, const struct kx_frame_view *v)
{
	const struct kx_nak *nak = (const struct kx_nak *)v->body;
	const struct kx_nak_entry *e = (const struct kx_nak_entry *)(nak + 1);
	enum kx_drop drop = KX_DROP_NONE;

	for (uint32_t i = 0; i < nak->entry_count; i++) {
		enum kx_drop one = nak_entry(b, s, &e[i]);

		if (one != KX_DROP_NONE)
			drop = one;
	}
	kx_count(&s->info.naks_received, 1);
	kx_count(&b->counters.naks_received, 1);
	b->close_packet = true;
	return drop;
}
