/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>

#include "broker_pvt.h"

#define TRIMS_PER_APPEND 4
#define DRAINS_PER_POLL	 16 /* producer states with such batches looked at in a turn */
#define DRAINS_PER_FRAME 64 /* held batches stored in one go; the rest follow with the next frame or turn */
#define DROPS_PER_FRAME	 64 /* of those that another session held and that come again */
#define STATES_PER_TICK	 4  /* producer states looked at for a gap that nobody fills */
#define GAP_STALE_NS	 (20 * KX_NS_PER_S) /* a client that means to fill it tries every 16 s at least */
#define AGAIN_LOOKED_AT	 64		    /* producer states, for some to tell again */

void partition_touched(struct kx_broker *b, struct kx_partition *p)
{
	if (p->dirty)
		return;
	p->dirty = true;
	b->dirty_parts[b->dirty_count++] = p->id;
}

void produce_commit_dirty(struct kx_broker *b, struct session *s, uint32_t producer)
{
	for (uint32_t i = s->dirty_count; i-- > 0;)
		if (s->dirty[i] == producer)
			return;
	if (s->dirty_count == SESSION_DIRTY && !ack_commit(b, s))
		return; /* no buffer: the producer asks again by its probe */
	s->dirty[s->dirty_count++] = producer;
	ack_due(b, s, false);
}

void produce_commit_again(struct kx_broker *b, struct session *s)
{
	for (uint32_t n = 0; n < AGAIN_LOOKED_AT && s->dirty_count < SESSION_DIRTY; n++) {
		uint32_t i = s->again != KX_NONE ? s->again : s->producers;

		if (i == KX_NONE || (n > 0 && i == s->producers))
			break; /* all of them; the next time from the first one again */
		if (b->topics.producers[i].next_seq > 0)
			produce_commit_dirty(b, s, i);
		s->again = b->topics.producers[i].next;
	}
}

/* The client has charged what is refused; a message in fragments with its first part. */
static void charge_refused(struct kx_broker *b, struct session *s, const struct kx_frame_view *v)
{
	const struct kx_frag *f = (const struct kx_frag *)v->body;
	uint64_t bytes = v->hdr->type == KX_PRODUCE ? v->body_bytes
		: f->frag_offset == 0		    ? f->batch_bytes
						    : 0;

	credit_used(s, KX_MIN(bytes, s->limit_bytes - s->used_bytes));
	ack_due(b, s, true);
}

enum kx_drop produce_refuse(struct kx_broker *b, struct session *s, const struct kx_frame_view *v,
	uint32_t partition, uint64_t first_seq, enum kx_code code, uint64_t detail, enum kx_drop reason)
{
	struct kx_produce_refused *body;
	struct out o;

	if (!out_begin(b, s, KX_PRODUCE_REFUSED, 0, sizeof(*body), &o))
		return reason; /* not closed: it comes again and is refused then */
	body = (struct kx_produce_refused *)o.body;
	*body = (struct kx_produce_refused){.pkt_no = v->hdr->pkt_no,
		.partition = partition,
		.code = code,
		.first_seq = first_seq,
		.detail = detail};
	out_send(b, s, &o, sizeof(*body));
	charge_refused(b, s, v);
	b->close_packet = true;
	return reason;
}

enum kx_drop produce_fenced(struct kx_broker *b, struct session *s, const struct kx_frame_view *v,
	uint32_t partition, uint64_t first_seq)
{
	produce_refuse(b, s, v, partition, first_seq, KX_CODE_FENCED, 0, KX_DROP_PRODUCER_FENCED);
	identity_close_fenced(b, s);
	return KX_DROP_PRODUCER_FENCED;
}

void produce_repeat(
	struct kx_broker *b, struct session *s, uint32_t producer, uint64_t first_seq, uint32_t records)
{
	const struct kx_producer_state *st = &b->topics.producers[producer];
	uint64_t next_offset = kx_producer_recall(st, first_seq, records);

	produce_commit_dirty(b, s, producer);
	if (next_offset == 0 || s->repeat_count == SESSION_REPEATS)
		return;
	kx_count(&b->counters.exact_repeats, 1);
	s->repeats[s->repeat_count++] = (struct session_repeat){
		.partition = st->partition, .next_seq = first_seq + records, .next_offset = next_offset};
}

static enum kx_drop not_owner(
	struct kx_broker *b, struct session *s, const struct kx_frame_view *v, uint32_t partition)
{
	uint32_t owner = kx_conf_partition_owner(partition, b->config.lcore_count);
	struct kx_not_owner *body;
	struct out o;

	if (!out_begin(b, s, KX_NOT_OWNER, 0, sizeof(*body), &o))
		return KX_DROP_NOT_OWNER;
	body = (struct kx_not_owner *)o.body;
	*body = (struct kx_not_owner){.pkt_no = v->hdr->pkt_no,
		.partition = partition,
		.owner_port = (uint16_t)(b->config.conf->broker.udp_port + owner)};
	out_send(b, s, &o, sizeof(*body));
	charge_refused(b, s, v);
	b->close_packet = true;
	return KX_DROP_NOT_OWNER;
}

/* Held, and meanwhile stored by another way, or never to be stored. */
static void forget_held(struct kx_broker *b, struct kx_partition *p, uint32_t held)
{
	if (b->topics.held[held].large != KX_NONE)
		frag_drop(b, b->topics.held[held].large);
	else if (p->block)
		p->reserved_bytes -= kx_held_batch(&b->topics, held)->batch_bytes;
}

static void state_link(struct kx_broker *b, struct session *s, uint32_t producer)
{
	struct kx_producer_state *st = &b->topics.producers[producer];

	kx_producer_own(&b->topics, producer, s->slot);
	st->next = s->producers;
	if (st->next != KX_NONE)
		b->topics.producers[st->next].prev = producer;
	s->producers = producer;
}

static void state_unlink(struct kx_broker *b, struct session *s, struct kx_producer_state *st)
{
	uint32_t producer = (uint32_t)(st - b->topics.producers);

	if (s->again == producer)
		s->again = st->next;
	if (st->prev == KX_NONE)
		s->producers = st->next;
	else
		b->topics.producers[st->prev].next = st->next;
	if (st->next != KX_NONE)
		b->topics.producers[st->next].prev = st->prev;
	kx_producer_disown(&b->topics, producer, b->now_ns);
}

/* One of what the session sent ahead of a gap of this producer state. */
static void drop_held(struct kx_broker *b, struct session *s, struct kx_producer_state *st)
{
	uint32_t held = kx_held_pop(&b->topics, st);

	forget_held(b, kx_topics_partition(&b->topics, st->partition), held);
	kx_held_free(&b->topics, held);
	s->held--;
}

/* Another session wrote to this state: of the same epoch (its client has come back before we saw the first
 * one end), or of an older one. What it sent ahead of a gap comes again, or never. False: it was too much to
 * be dropped at once. */
static bool disown(struct kx_broker *b, struct kx_producer_state *st)
{
	struct session *s = session_of(b, st->owner);

	if (s->conn_id != 0 && identity_fenced(s))
		identity_close_fenced(b, s);
	if (st->owner == KX_NONE)
		return true;
	for (int i = 0; i < DROPS_PER_FRAME && st->held_head != KX_NONE; i++)
		drop_held(b, s, st);
	if (st->held_head != KX_NONE)
		return false;
	state_unlink(b, s, st);
	return true;
}

/* The state of the session's producer on this partition becomes the session's. Without one, sequences begin
 * at 0: unless it was there once. */
static enum kx_drop own_state(struct kx_broker *b, struct session *s, const struct kx_frame_view *v,
	uint32_t partition, uint64_t first_seq, uint32_t *producer)
{
	uint32_t i = kx_producer_find(&b->topics, s->producer_id, partition);
	struct kx_producer_state *st;

	if (i == KX_NONE && kx_producer_id_forgotten(s->registered, s->producer_epoch)) {
		kx_count(&b->counters.resyncs, 1);
		return produce_refuse(
			b, s, v, partition, first_seq, KX_CODE_RESYNC, 0, KX_DROP_PRODUCER_RESYNC);
	}
	if (i == KX_NONE)
		i = kx_producer_new(&b->topics, s->producer_id, s->producer_epoch, partition, b->now_ns,
			b->config.conf->sessions.idle_timeout_ms * UINT64_C(1000000));
	if (i == KX_NONE)
		return produce_refuse(
			b, s, v, partition, first_seq, KX_CODE_PRODUCERS_FULL, 0, KX_DROP_PRODUCERS_FULL);
	st = &b->topics.producers[i];
	if (st->owner != KX_NONE && st->owner != s->slot && !disown(b, st))
		return KX_DROP_SEQ_WINDOW;
	if (st->producer_epoch != s->producer_epoch)
		kx_producer_new_epoch(st, s->producer_epoch);
	if (st->owner == KX_NONE)
		state_link(b, s, i);
	*producer = i;
	return KX_DROP_NONE;
}

enum kx_drop produce_admit_first(struct kx_broker *b, struct session *s, const struct kx_frame_view *v,
	uint32_t partition, uint64_t first_seq, struct kx_partition **out, uint32_t *producer)
{
	struct kx_partition *p = kx_topics_partition(&b->topics, partition);
	enum kx_drop drop;

	*out = p;
	if (p == NULL) {
		if (partition < b->config.conf->partition_count)
			return not_owner(b, s, v, partition);
		return produce_refuse(b, s, v, partition, first_seq, KX_CODE_UNKNOWN_PARTITION, 0,
			KX_DROP_PARTITION_UNKNOWN);
	}
	if (!kx_auth_allowed(s->principal->produce, p->topic)) {
		access_denied(b, s, p->topic);
		return produce_refuse(
			b, s, v, partition, first_seq, KX_CODE_DENIED, 0, KX_DROP_ACCESS_DENIED);
	}
	credit_join(b, s, p);
	drop = own_state(b, s, v, partition, first_seq, producer);
	if (kx_likely(drop == KX_DROP_NONE))
		s->parts[partition & (SESSION_PARTS - 1)] =
			(struct session_part){.p = p, .partition = partition, .producer = *producer};
	return drop;
}

/* Append in the producer's order; trims where the topic says so. False: no room. `h` gets the header as
 * stored. */
static bool append(struct kx_broker *b, struct session *s, struct kx_partition *p,
	struct kx_producer_state *st, const struct kx_batch_hdr *batch, uint64_t rx_ns,
	struct kx_batch_hdr *h)
{
	const struct kx_batch_hdr *copy = kx_log_append(&p->log, batch, b->real_ns, h);

	/* credit looks at what was read only while it has something to give */
	if (kx_unlikely(copy == NULL) && p->block && kx_partition_reclaim(&b->topics, p, UINT64_MAX))
		copy = kx_log_append(&p->log, batch, b->real_ns, h);
	for (int i = 0; kx_unlikely(copy == NULL) && !p->block && i < TRIMS_PER_APPEND; i++) {
		if (!kx_log_trim(&p->log))
			break;
		p->trimmed++;
		copy = kx_log_append(&p->log, batch, b->real_ns, h);
	}
	if (kx_unlikely(copy == NULL) && frag_make_room(b))
		copy = kx_log_append(&p->log, batch, b->real_ns, h);
	if (kx_unlikely(copy == NULL))
		return false;
	kx_producer_stored(st, h->first_seq, h->record_count, h->base_offset);
	kx_count(&p->messages_in, h->record_count);
	kx_count(&p->bytes_in, h->batch_bytes);
	kx_count(&s->info.messages_in, h->record_count);
	kx_count(&b->counters.messages_in, h->record_count);
	kx_count(&b->counters.batches_in, 1);
	if (kx_unlikely(p->turn != b->turn)) {
		p->turn = b->turn;
		p->turn_offset = h->base_offset;
		residence_appended(b, p, rx_ns);
	}
	partition_touched(b, p);
	return true;
}

/* The held batch at the list's head is next. False: it stays (no room). */
static bool store_held(struct kx_broker *b, struct session *s, struct kx_partition *p,
	struct kx_producer_state *st, uint32_t held)
{
	struct kx_held *h = &b->topics.held[held];
	struct kx_batch_hdr stored;

	if (h->large != KX_NONE)
		return frag_store(b, p, st, h->large) == 0;
	if (!append(b, s, p, st, kx_held_batch(&b->topics, held), b->now_ns, &stored))
		return false;
	if (p->block)
		p->reserved_bytes -= kx_held_batch(&b->topics, held)->batch_bytes;
	return true;
}

void produce_held(struct kx_broker *b, struct session *s, struct kx_producer_state *st)
{
	s->held++;
	if (st->held_count == 1)
		st->idle_ns = b->now_ns;
}

static void drain_later(struct kx_broker *b, struct kx_producer_state *st)
{
	if (st->drain_listed || st->held_head == KX_NONE ||
		b->topics.held[st->held_head].first_seq > st->next_seq || b->drain_count == b->drain_size)
		return;
	st->drain_listed = true;
	b->drain_list[(b->drain_head + b->drain_count++) % b->drain_size] =
		(uint32_t)(st - b->topics.producers);
}

void produce_drain(
	struct kx_broker *b, struct session *s, struct kx_partition *p, struct kx_producer_state *st)
{
	for (int i = 0; i < DRAINS_PER_FRAME && st->held_head != KX_NONE; i++) {
		uint32_t held = st->held_head;

		if (b->topics.held[held].first_seq > st->next_seq)
			return;
		if (b->topics.held[held].first_seq == st->next_seq) {
			if (!store_held(b, s, p, st, held))
				break;
		} else {
			forget_held(b, p, held);
		}
		kx_held_free(&b->topics, kx_held_pop(&b->topics, st));
		s->held--;
		st->idle_ns = b->now_ns;
	}
	drain_later(b, st);
}

unsigned int produce_drain_poll(struct kx_broker *b)
{
	uint32_t n = KX_MIN(b->drain_count, DRAINS_PER_POLL);
	unsigned int work = 0;

	for (uint32_t i = 0; i < n; i++) {
		uint32_t producer = b->drain_list[b->drain_head];
		struct kx_producer_state *st = &b->topics.producers[producer];
		uint64_t before = st->next_seq;
		struct session *s;

		b->drain_head = (b->drain_head + 1) % b->drain_size;
		b->drain_count--;
		st->drain_listed = false;
		if (st->owner == KX_NONE || st->held_head == KX_NONE)
			continue; /* its session is gone; what that held was given back */
		/* it may be another's than when it was listed */
		s = session_of(b, st->owner);
		if (s->conn_id == 0)
			continue;
		if (kx_unlikely(identity_fenced(s))) {
			identity_close_fenced(b, s);
			continue;
		}
		produce_drain(b, s, kx_topics_partition(&b->topics, st->partition), st);
		if (st->next_seq == before)
			continue;
		produce_commit_dirty(b, s, producer);
		work++;
	}
	return work;
}

void produce_abandon_one(struct kx_broker *b, struct session *s)
{
	struct kx_producer_state *st = &b->topics.producers[s->producers];

	if (st->held_head != KX_NONE)
		drop_held(b, s, st);
	else
		state_unlink(b, s, st);
}

/* Of what nobody has confirmed, and of what is sent again it is charged then. */
static void give_back(struct kx_broker *b, struct session *s, struct kx_producer_state *st)
{
	for (int i = 0; i < DROPS_PER_FRAME && st->held_head != KX_NONE; i++) {
		const struct kx_held *h = &b->topics.held[st->held_head];
		uint32_t bytes = h->large != KX_NONE ? b->reassemblies[h->large].batch_bytes
						     : kx_held_batch(&b->topics, st->held_head)->batch_bytes;

		if (b->topic_quotas != NULL)
			quota_refund(b, s, kx_topics_partition(&b->topics, st->partition), bytes);
		credit_refund(s, bytes);
		drop_held(b, s, st);
	}
}

/* A producer that was closed leaves a gap for good. When what waits behind it has all places that its session
 * may have, that one gets no credit any more, and they are given back. */
void produce_tick(struct kx_broker *b)
{
	for (int i = 0; i < STATES_PER_TICK; i++) {
		struct kx_producer_state *st =
			&b->topics.producers[b->gap_cursor++ % b->topics.producer_count];

		if (st->producer_id == 0 || st->owner == KX_NONE || st->held_head == KX_NONE ||
			session_of(b, st->owner)->granted != 0 || b->now_ns - st->idle_ns < GAP_STALE_NS ||
			b->topics.held[st->held_head].first_seq <= st->next_seq)
			continue;
		give_back(b, session_of(b, st->owner), st);
	}
}

static enum kx_drop hold(struct kx_broker *b, struct session *s, struct kx_partition *p,
	struct kx_producer_state *st, const struct kx_batch_hdr *batch, bool alone)
{
	int rc;

	if (batch->first_seq - st->next_seq > HOLD_RECORDS_AHEAD)
		return KX_DROP_SEQ_WINDOW;
	rc = kx_hold(&b->topics, st, batch, batch->first_seq, KX_NONE);
	if (rc == -EEXIST) {
		b->close_packet = true;
		return KX_DROP_SEQ_DUPLICATE;
	}
	if (rc != 0)
		return KX_DROP_SEQ_WINDOW;
	produce_held(b, s, st);
	s->produced += alone;
	credit_used(s, batch->batch_bytes);
	quota_charge(b, s, p, batch->record_count, batch->batch_bytes);
	if (p->block)
		p->reserved_bytes += batch->batch_bytes;
	return KX_DROP_NONE;
}

/* Store, hold or recognise one admitted batch; `alone` in its frame. What is taken, and nothing else, earns a
 * share of the credit. */
static enum kx_drop take_batch(struct kx_broker *b, struct session *s, struct kx_partition *p,
	uint32_t producer, struct kx_frame *f, const struct kx_batch_hdr *batch, bool alone)
{
	struct kx_producer_state *st = &b->topics.producers[producer];
	struct kx_batch_hdr stored;

	if (kx_unlikely(batch->first_seq < st->next_seq)) {
		kx_count(&p->duplicates, 1);
		produce_repeat(b, s, producer, batch->first_seq, batch->record_count);
		b->close_packet = true;
		return KX_DROP_SEQ_DUPLICATE;
	}
	if (kx_unlikely(s->used_bytes + batch->batch_bytes > s->limit_bytes)) {
		credit_exceeded(b, s, batch->first_seq == st->next_seq);
		return KX_DROP_CREDIT_EXCEEDED;
	}
	if (kx_unlikely(!quota_admits(b, s, p, batch->batch_bytes))) {
		credit_refused(b, s, p, batch->batch_bytes, KX_BLOCKED_QUOTA);
		return KX_DROP_QUOTA_DEBT;
	}
	if (kx_unlikely(batch->first_seq > st->next_seq))
		return hold(b, s, p, st, batch, alone);
	if (kx_unlikely(!append(b, s, p, st, batch, f->rx_ns, &stored))) {
		credit_refused(b, s, p, batch->batch_bytes, KX_BLOCKED_LOG);
		return KX_DROP_LOG_FULL;
	}
	s->produced += alone;
	credit_used(s, stored.batch_bytes);
	quota_charge(b, s, p, stored.record_count, stored.batch_bytes);
	produce_commit_dirty(b, s, producer);
	if (kx_unlikely(st->held_head != KX_NONE))
		produce_drain(b, s, p, st);
	else if (alone)
		deliver_cut(b, p, f, &stored);
	return KX_DROP_NONE;
}

static bool records_fit(const struct kx_batch_hdr *batch, uint32_t max_message_bytes)
{
	struct kx_record_iter it = kx_record_first(batch);
	struct kx_record r;

	while (kx_record_next(&it, &r))
		if (r.value_bytes > max_message_bytes)
			return false;
	return true;
}

/* A batch that may be larger than the topic takes, or a message in it. */
static enum kx_drop large_batch(struct kx_broker *b, struct session *s, const struct kx_frame_view *v,
	const struct kx_batch_hdr *batch, const struct kx_partition *p)
{
	uint32_t max = b->config.conf->topics[p->topic].max_message_bytes;

	if (batch->batch_bytes <= p->batch_max_bytes && records_fit(batch, max))
		return KX_DROP_NONE;
	return produce_refuse(
		b, s, v, batch->partition, batch->first_seq, KX_CODE_TOO_LARGE, max, KX_DROP_BATCH_TOO_LARGE);
}

/* Not this session's producer; or a batch of an epoch of it that is over. */
static enum kx_drop foreign(struct kx_broker *b, struct session *s, const struct kx_frame_view *v,
	const struct kx_batch_hdr *batch)
{
	bool old = batch->producer_id == s->producer_id && batch->producer_epoch < s->producer_epoch;

	return produce_refuse(b, s, v, batch->partition, batch->first_seq,
		old ? KX_CODE_FENCED : KX_CODE_FOREIGN_PRODUCER, 0,
		old ? KX_DROP_PRODUCER_FENCED : KX_DROP_PRODUCER_FOREIGN);
}

static KX_ALWAYS_INLINE enum kx_drop admit_batch(struct kx_broker *b, struct session *s,
	const struct kx_frame_view *v, const struct kx_batch_hdr *batch, struct kx_partition **p,
	uint32_t *producer)
{
	enum kx_drop drop;

	if (kx_unlikely(batch->producer_id != s->producer_id || batch->producer_epoch != s->producer_epoch))
		return foreign(b, s, v, batch);
	drop = produce_admit(b, s, v, batch->partition, batch->first_seq, p, producer);
	if (kx_unlikely(drop != KX_DROP_NONE))
		return drop;
	if (kx_unlikely(batch->batch_bytes > (*p)->batch_small_bytes))
		return large_batch(b, s, v, batch, *p);
	return KX_DROP_NONE;
}

/* Several batches: admit all before storing any. Storing can still stop midway for want of a buffer; then the
 * frame is not acknowledged, comes again, and what was stored is recognised by its sequence. */
static enum kx_drop produce_many(
	struct kx_broker *b, struct session *s, struct kx_frame *f, const struct kx_frame_view *v)
{
	const uint8_t *at = v->body;
	enum kx_drop drop, result = KX_DROP_SEQ_DUPLICATE;
	struct kx_partition *p;
	uint32_t producer;

	for (uint32_t i = 0; i < v->batch_count; i++) {
		const struct kx_batch_hdr *batch = (const struct kx_batch_hdr *)at;

		drop = admit_batch(b, s, v, batch, &p, &producer);
		if (drop != KX_DROP_NONE)
			return drop;
		at += batch->batch_bytes;
	}
	at = v->body;
	for (uint32_t i = 0; i < v->batch_count; i++) {
		const struct kx_batch_hdr *batch = (const struct kx_batch_hdr *)at;

		b->close_packet = false;
		drop = produce_admit(b, s, v, batch->partition, batch->first_seq, &p, &producer);
		if (drop == KX_DROP_NONE)
			drop = take_batch(b, s, p, producer, f, batch, false);
		if (drop == KX_DROP_NONE)
			result = KX_DROP_NONE;
		else if (drop != KX_DROP_SEQ_DUPLICATE)
			return drop;
		at += batch->batch_bytes;
	}
	b->close_packet = true;
	s->produced += result == KX_DROP_NONE;
	return result;
}

enum kx_drop produce_frame(
	struct kx_broker *b, struct session *s, struct kx_frame *f, const struct kx_frame_view *v)
{
	const struct kx_batch_hdr *batch = (const struct kx_batch_hdr *)v->body;
	struct kx_partition *p;
	enum kx_drop drop;
	uint32_t producer;

	if (kx_unlikely(identity_fenced(s)))
		return produce_fenced(b, s, v, batch->partition, batch->first_seq);
	if (kx_unlikely(v->batch_count != 1))
		return produce_many(b, s, f, v);
	drop = admit_batch(b, s, v, batch, &p, &producer);
	if (kx_unlikely(drop != KX_DROP_NONE))
		return drop;
	return take_batch(b, s, p, producer, f, batch, true);
}
