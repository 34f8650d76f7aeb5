/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Messages larger than a datagram. Their parts are written straight into extents taken for them; when all are
 * there the data CRC is verified a piece a turn, and the whole waits, like any batch, for its producer's next
 * sequence. Then the extents are linked into the log (a small batch is copied). A producer that dies leaves
 * nothing behind.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "broker_pvt.h"

#define REASSEMBLIES	      64
#define REASSEMBLIES_NAMED    (REASSEMBLIES / 2) /* most of one principal with a name */
#define PARTS_MAX	      (KX_BATCH_MAX_BYTES / KX_PART_MIN_BYTES + 1)
#define BITS_WORDS	      ((PARTS_MAX + 63) / 64)
#define VERIFY_BYTES_PER_TURN 65536u		   /* of all messages together */
#define STALE_NS	      UINT64_C(5000000000) /* without a new part: given up */
#define YIELD_NS	      UINT64_C(1000000000) /* the same, when another message needs the place */

static uint32_t pieces_max(const struct kx_broker *b)
{
	return KX_BATCH_MAX_BYTES / b->topics.pool.extent_bytes + 1;
}

int frag_create(struct kx_broker *b)
{
	b->reassembly_total = REASSEMBLIES;
	b->reassemblies = calloc(REASSEMBLIES, sizeof(*b->reassemblies));
	b->reassembly_bits = calloc(REASSEMBLIES, BITS_WORDS * sizeof(uint64_t));
	b->reassembly_extents = calloc(REASSEMBLIES, pieces_max(b) * sizeof(uint32_t));
	if (b->reassemblies == NULL || b->reassembly_bits == NULL || b->reassembly_extents == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < REASSEMBLIES; i++) {
		b->reassemblies[i].bits = b->reassembly_bits + i * BITS_WORDS;
		b->reassemblies[i].extents = b->reassembly_extents + i * pieces_max(b);
	}
	return 0;
}

void frag_destroy(struct kx_broker *b)
{
	free(b->reassemblies);
	free(b->reassembly_bits);
	free(b->reassembly_extents);
}

static uint32_t pieces(const struct kx_broker *b, uint32_t batch_bytes)
{
	return (batch_bytes + b->topics.pool.extent_bytes - 1) / b->topics.pool.extent_bytes;
}

static uint32_t pieces_of(const struct kx_broker *b, const struct reassembly *r)
{
	return pieces(b, r->batch_bytes);
}

static struct kx_batch_hdr *batch_of(const struct kx_broker *b, const struct reassembly *r)
{
	return (struct kx_batch_hdr *)kx_extent_data(&b->topics.pool, r->extents[0]);
}

/* The slot is free again; its extents have gone elsewhere or back. */
static void reassembly_end(struct kx_broker *b, struct reassembly *r)
{
	struct kx_partition *p = kx_topics_partition(&b->topics, r->partition);

	session_of(b, r->session)->reassembly_count--;
	if (p->block)
		p->reserved_bytes -= r->batch_bytes;
	b->verifying -= r->state == RE_VERIFYING;
	r->state = RE_FREE;
	b->reassembly_used--;
}

void frag_drop(struct kx_broker *b, uint32_t reassembly)
{
	struct reassembly *r = &b->reassemblies[reassembly];

	for (uint32_t i = 0; i < pieces_of(b, r); i++)
		kx_extent_put(&b->topics.pool, r->extents[i]);
	reassembly_end(b, r);
}

void frag_stop(struct kx_broker *b, const struct session *s)
{
	for (uint32_t i = 0; i < b->reassembly_total && s->reassembly_count > 0; i++) {
		struct reassembly *r = &b->reassemblies[i];

		if (r->session != s->slot || (r->state != RE_FILLING && r->state != RE_VERIFYING))
			continue;
		b->verifying -= r->state == RE_VERIFYING;
		r->state = RE_STOPPED;
	}
}

/* What was complete went with its producer's list. */
uint32_t frag_drop_one(struct kx_broker *b, const struct session *s)
{
	for (uint32_t i = 0; i < b->reassembly_total && s->reassembly_count > 0; i++) {
		struct reassembly *r = &b->reassemblies[i];
		uint32_t steps = pieces_of(b, r);

		if (r->state != RE_STOPPED || r->session != s->slot)
			continue;
		frag_drop(b, i);
		return steps;
	}
	return 0;
}

static struct reassembly *find(struct kx_broker *b, const struct session *s, const struct kx_frag *f)
{
	for (uint32_t i = 0; i < b->reassembly_total && s->reassembly_count > 0; i++) {
		struct reassembly *r = &b->reassemblies[i];

		if (r->state != RE_FREE && r->session == s->slot && r->partition == f->partition &&
			r->first_seq == f->first)
			return r;
	}
	return NULL;
}

static struct reassembly *find_free(struct kx_broker *b)
{
	for (uint32_t i = 0; i < b->reassembly_total; i++)
		if (b->reassemblies[i].state == RE_FREE)
			return &b->reassemblies[i];
	return NULL;
}

/* It will come again, and is charged then. */
static void refund(struct kx_broker *b, struct session *s, const struct reassembly *r)
{
	if (kx_unlikely(b->topic_quotas != NULL))
		quota_refund(b, s, kx_topics_partition(&b->topics, r->partition), r->batch_bytes);
	credit_refund(s, r->batch_bytes);
}

/* A message that was taken cannot be stored. It will come again, and is not charged then. */
static void reject(struct kx_broker *b, struct session *s, uint32_t index, enum kx_drop reason)
{
	kx_ledger_drop(b->config.ledger, reason);
	kx_count(&b->config.ledger->handled, UINT64_MAX); /* a part of it was counted as handled */
	refund(b, s, &b->reassemblies[index]);
	frag_drop(b, index);
}

static bool stands_still(const struct kx_broker *b, const struct reassembly *r, uint64_t ns)
{
	return r->state == RE_FILLING && b->now_ns - r->progress_ns >= ns;
}

/* Begun and not gone on with: its sender begins anew, for nothing of it was confirmed. */
static void give_up(struct kx_broker *b, struct reassembly *r)
{
	reject(b, session_of(b, r->session), (uint32_t)(r - b->reassemblies), KX_DROP_FRAG_STALE);
}

/* How far it is ahead of its producer's next sequence; 0: its turn, or it is leaving by itself. */
static uint64_t ahead(const struct kx_broker *b, const struct reassembly *r)
{
	uint64_t next_seq = b->topics.producers[r->producer].next_seq;

	if (r->state == RE_FREE || r->state == RE_STOPPED || r->first_seq <= next_seq)
		return 0;
	return r->first_seq - next_seq;
}

/* It gives its place up, and comes again once it is its turn. False: it was not found on its list in time. */
static bool step_aside(struct kx_broker *b, struct reassembly *r)
{
	struct session *s = session_of(b, r->session);
	uint32_t held;

	if (r->state == RE_READY) {
		held = kx_held_remove(&b->topics, &b->topics.producers[r->producer], r->first_seq);
		if (held == KX_NONE)
			return false;
		kx_held_free(&b->topics, held);
		s->held--;
	}
	reject(b, s, (uint32_t)(r - b->reassemblies), KX_DROP_FRAG_LIMIT);
	return true;
}

/*
 * What is ahead of its turn waits for messages that need a place themselves: so one whose turn it is gets a
 * place, from the message that is furthest ahead; of this session, of this principal, or (NULL) of all.
 */
static bool make_place(
	struct kx_broker *b, const struct session *session, const struct kx_auth_principal *principal)
{
	struct reassembly *furthest = NULL;
	uint64_t most = 0;

	for (uint32_t i = 0; i < b->reassembly_total; i++) {
		struct reassembly *r = &b->reassemblies[i];
		uint64_t n = ahead(b, r);

		if (n <= most || (session != NULL && r->session != session->slot) ||
			(principal != NULL && session_of(b, r->session)->principal != principal))
			continue;
		furthest = r;
		most = n;
	}
	return furthest != NULL && step_aside(b, furthest);
}

bool frag_make_room(struct kx_broker *b)
{
	return b->topics.pool.free == 0 && b->reassembly_used > 0 && make_place(b, NULL, NULL);
}

/* A free place, or that of the message that has stood still longest. */
static struct reassembly *find_place(struct kx_broker *b, bool turn)
{
	struct reassembly *oldest = NULL, *r;

	if (b->reassembly_used < b->reassembly_total || (turn && make_place(b, NULL, NULL)))
		return find_free(b);
	for (uint32_t i = 0; i < b->reassembly_total; i++) {
		r = &b->reassemblies[i];
		if (stands_still(b, r, YIELD_NS) && (oldest == NULL || r->progress_ns < oldest->progress_ns))
			oldest = r;
	}
	if (oldest != NULL)
		give_up(b, oldest);
	return oldest;
}

/* A principal that has a name fills no more than half of the places. */
static bool principal_has_all_it_may(const struct kx_broker *b, const struct session *s)
{
	uint32_t n = 0;

	if (s->principal->id == 0 || b->reassembly_used < REASSEMBLIES_NAMED)
		return false;
	for (uint32_t i = 0; i < b->reassembly_total; i++) {
		const struct reassembly *r = &b->reassemblies[i];

		n += r->state != RE_FREE && b->sessions[r->session].principal == s->principal;
	}
	return n >= REASSEMBLIES_NAMED;
}

void frag_tick(struct kx_broker *b)
{
	struct reassembly *r = &b->reassemblies[b->stale_cursor++ % b->reassembly_total];

	if (stands_still(b, r, STALE_NS))
		give_up(b, r);
}

/* All extents at once, so that a message that was begun can be finished. Trims the partition where its topic
 * says so. */
static bool take_extents(struct kx_broker *b, struct kx_partition *p, struct reassembly *r, bool turn)
{
	struct kx_extent_pool *pool = &b->topics.pool;
	uint32_t n = pieces_of(b, r);

	if (n > p->log.max_extents)
		return false;
	while (pool->free < n && !p->block && kx_log_trim(&p->log))
		p->trimmed++;
	while (turn && pool->free < n && make_place(b, NULL, NULL))
		;
	if (pool->free < n)
		return false;
	for (uint32_t i = 0; i < n; i++) {
		r->extents[i] = kx_extent_get(pool);
		if (i > 0)
			pool->extents[r->extents[i - 1]].next = r->extents[i];
	}
	return true;
}

/* What is still to come of it has been stored by another way: the whole batch was late. */
static void forget(struct kx_broker *b, struct session *s, const struct reassembly *r)
{
	if (r->state != RE_FILLING)
		return; /* verified() finds that out, or who stores it */
	refund(b, s, r);
	frag_drop(b, (uint32_t)(r - b->reassemblies));
}

static void forget_stored(struct kx_broker *b, struct session *s)
{
	for (uint32_t i = 0; i < b->reassembly_total && s->reassembly_count > 0; i++) {
		struct reassembly *r = &b->reassemblies[i];

		if (r->state == RE_FILLING && r->session == s->slot &&
			r->first_seq < b->topics.producers[r->producer].next_seq)
			forget(b, s, r);
	}
}

/* From the first part on; the extents stay. */
static void cut(struct reassembly *r, const struct kx_frag *f, uint64_t pkt_no)
{
	r->part_bytes = f->part_bytes;
	r->cut_pkt = pkt_no;
	r->received_parts = 0;
	r->total_parts = (f->batch_bytes + f->part_bytes - 1) / f->part_bytes;
	memset(r->bits, 0, (r->total_parts / 64 + 1) * sizeof(uint64_t));
}

bool frag_takes(const struct kx_broker *b, const struct session *s, uint32_t batch_bytes)
{
	return s->reassembly_count < b->config.conf->sessions.max_reassembly &&
		b->reassembly_used < b->reassembly_total && !principal_has_all_it_may(b, s) &&
		b->topics.pool.free >= pieces(b, batch_bytes);
}

/* No place for it, not even one of a message ahead of its turn. */
static struct reassembly *no_place(
	struct kx_broker *b, struct session *s, struct kx_partition *p, uint32_t batch_bytes)
{
	credit_refused(b, s, p, batch_bytes, KX_BLOCKED_MEMORY);
	return NULL;
}

static struct reassembly *begin(struct kx_broker *b, struct session *s, struct kx_partition *p,
	uint32_t producer, const struct kx_frame_view *v, enum kx_drop *drop)
{
	const struct kx_frag *f = (const struct kx_frag *)v->body;
	bool turn = f->first == b->topics.producers[producer].next_seq;
	uint32_t most = b->config.conf->sessions.max_reassembly + turn;
	struct reassembly *r;

	if (s->reassembly_count > 0)
		forget_stored(b, s);
	*drop = KX_DROP_FRAG_LIMIT;
	if (s->reassembly_count >= most && !(turn && make_place(b, s, NULL)))
		return no_place(b, s, p, f->batch_bytes);
	if (principal_has_all_it_may(b, s) && !(turn && make_place(b, NULL, s->principal)))
		return no_place(b, s, p, f->batch_bytes);
	if (s->used_bytes + f->batch_bytes > s->limit_bytes) {
		credit_exceeded(b, s, turn);
		*drop = KX_DROP_CREDIT_EXCEEDED;
		return NULL;
	}
	if (!quota_admits(b, s, p, f->batch_bytes)) {
		*drop = KX_DROP_QUOTA_DEBT;
		credit_refused(b, s, p, f->batch_bytes, KX_BLOCKED_QUOTA);
		return NULL;
	}
	r = find_place(b, turn);
	if (r == NULL)
		return no_place(b, s, p, f->batch_bytes);
	r->batch_bytes = f->batch_bytes;
	if (!take_extents(b, p, r, turn))
		return no_place(b, s, p, f->batch_bytes);
	credit_taken(s, p);
	r->state = RE_FILLING;
	r->session = s->slot;
	r->partition = f->partition;
	r->producer = producer;
	r->verified_bytes = KX_BATCH_DATA_FROM;
	r->crc = 0;
	r->progress_ns = b->now_ns;
	r->first_seq = f->first;
	cut(r, f, v->hdr->pkt_no);
	b->reassembly_used++;
	s->reassembly_count++;
	credit_used(s, f->batch_bytes);
	quota_charge(b, s, p, 1, f->batch_bytes);
	s->largest_batch = KX_MAX(s->largest_batch, f->batch_bytes);
	if (p->block)
		p->reserved_bytes += f->batch_bytes;
	return r;
}

static void copy_part(
	struct kx_broker *b, const struct reassembly *r, const uint8_t *data, uint32_t from, uint32_t bytes)
{
	uint32_t size = b->topics.pool.extent_bytes;

	while (bytes > 0) {
		uint32_t in = from & (size - 1);
		uint32_t n = KX_MIN(bytes, size - in);

		memcpy(kx_extent_data(&b->topics.pool, r->extents[from / size]) + in, data, n);
		data += n;
		from += n;
		bytes -= n;
	}
}

static enum kx_drop take_part(
	struct kx_broker *b, struct session *s, struct reassembly *r, const struct kx_frame_view *v)
{
	const struct kx_frag *f = (const struct kx_frag *)v->body;
	uint32_t part = f->frag_offset / f->part_bytes;

	if (f->batch_bytes != r->batch_bytes)
		return KX_DROP_FRAG_BAD;
	if (f->part_bytes != r->part_bytes && r->state == RE_FILLING) {
		if (v->hdr->pkt_no < r->cut_pkt)
			return KX_DROP_FRAG_BAD;
		cut(r, f, v->hdr->pkt_no); /* the path carries other sizes now */
	}
	if (r->state != RE_FILLING || (r->bits[part / 64] >> (part % 64) & 1)) {
		b->close_packet = true;
		return KX_DROP_SEQ_DUPLICATE;
	}
	copy_part(b, r, (const uint8_t *)(f + 1), f->frag_offset, f->frag_bytes);
	r->bits[part / 64] |= UINT64_C(1) << (part % 64);
	r->progress_ns = b->now_ns;
	s->produced++;
	if (++r->received_parts == r->total_parts) {
		r->state = RE_VERIFYING;
		b->verifying++;
	}
	return KX_DROP_NONE;
}

/* A batch of several records was made for a larger datagram, and may be larger than a message. How many it
 * has is known by the part in front; without that, once it is whole. */
static bool too_large(const struct kx_broker *b, const struct kx_frag *f, uint32_t max_message_bytes)
{
	const struct kx_batch_hdr *h = (const struct kx_batch_hdr *)(f + 1);

	if (f->batch_bytes <= max_message_bytes + (KX_BATCH_MAX_BYTES - KX_MESSAGE_MAX_BYTES))
		return false;
	return f->batch_bytes > KX_MIN(b->topics.pool.extent_bytes, KX_FRAME_MAX_BYTES) ||
		(f->frag_offset == 0 && h->record_count == 1);
}

enum kx_drop frag_frame(struct kx_broker *b, struct session *s, const struct kx_frame_view *v)
{
	const struct kx_frag *f = (const struct kx_frag *)v->body;
	struct kx_partition *p;
	struct reassembly *r;
	enum kx_drop drop;
	uint32_t producer, max;

	if (kx_unlikely(identity_fenced(s)))
		return produce_fenced(b, s, v, f->partition, f->first);
	drop = produce_admit(b, s, v, f->partition, f->first, &p, &producer);
	if (drop != KX_DROP_NONE)
		return drop;
	max = b->config.conf->topics[p->topic].max_message_bytes;
	if (too_large(b, f, max))
		return produce_refuse(
			b, s, v, f->partition, f->first, KX_CODE_TOO_LARGE, max, KX_DROP_BATCH_TOO_LARGE);
	ack_due(b, s, true);
	if (f->first < b->topics.producers[producer].next_seq) {
		r = find(b, s, f);
		if (r != NULL)
			forget(b, s, r);
		produce_repeat(b, s, producer, f->first, 1);
		b->close_packet = true;
		return KX_DROP_SEQ_DUPLICATE;
	}
	if (f->first - b->topics.producers[producer].next_seq > HOLD_RECORDS_AHEAD)
		return KX_DROP_SEQ_WINDOW;
	r = find(b, s, f);
	if (r == NULL)
		r = begin(b, s, p, producer, v, &drop);
	return r == NULL ? drop : take_part(b, s, r, v);
}

/* The one record of a large batch: its header and sizes lie in the first extent, and must fill the batch
 * exactly. */
static bool record_fills(const struct kx_broker *b, const struct kx_batch_hdr *h)
{
	const struct kx_record_hdr *rec = (const struct kx_record_hdr *)(h + 1);
	uint64_t need = sizeof(*h) + sizeof(*rec) + kx_align8(rec->value_bytes);

	if ((rec->flags & ~(KX_REC_KEY | KX_REC_TIMESTAMP)) != 0 || rec->header_count != 0 ||
		((rec->flags & KX_REC_KEY) != 0) != (rec->key_bytes != 0))
		return h->batch_bytes <= b->topics.pool.extent_bytes &&
			kx_batch_check((const uint8_t *)h, h->batch_bytes, false) == KX_DROP_NONE;
	if (rec->flags & KX_REC_TIMESTAMP)
		need += 8;
	return need + kx_align8(rec->key_bytes) == h->batch_bytes;
}

/* Several records: made for a datagram that the path does not carry, and all in the first extent. */
static bool records_hold(const struct kx_broker *b, const struct kx_batch_hdr *h, uint32_t max_message_bytes)
{
	struct kx_record_iter it = kx_record_first(h);
	struct kx_record r;

	if (h->batch_bytes > KX_MIN(b->topics.pool.extent_bytes, KX_FRAME_MAX_BYTES) ||
		kx_batch_check((const uint8_t *)h, h->batch_bytes, false) != KX_DROP_NONE)
		return false;
	while (kx_record_next(&it, &r))
		if (r.value_bytes > max_message_bytes)
			return false;
	return true;
}

static bool one_holds(const struct kx_broker *b, const struct kx_batch_hdr *h, uint32_t max_message_bytes)
{
	return record_fills(b, h) &&
		((const struct kx_record_hdr *)(h + 1))->value_bytes <= max_message_bytes;
}

static bool header_holds(const struct kx_broker *b, const struct reassembly *r)
{
	const struct kx_producer_state *st = &b->topics.producers[r->producer];
	const struct kx_batch_hdr *h = batch_of(b, r);
	uint32_t max = b->config.conf->topics[kx_topics_partition(&b->topics, r->partition)->topic]
			       .max_message_bytes;

	return h->data_crc == r->crc && h->batch_bytes == r->batch_bytes && h->format == KX_BATCH_FORMAT &&
		(h->attrs & ~KX_BATCH_ATTRS_ACCEPTED) == 0 && h->record_count != 0 &&
		h->partition == r->partition && h->producer_id == st->producer_id &&
		h->producer_epoch == st->producer_epoch && h->zero == 0 && h->first_seq == r->first_seq &&
		(h->record_count == 1 ? one_holds(b, h, max) : records_hold(b, h, max));
}

/* Some more of the data CRC. True at the end. */
static bool verify_some(const struct kx_broker *b, struct reassembly *r, uint32_t *budget)
{
	uint32_t size = b->topics.pool.extent_bytes;

	while (*budget > 0 && r->verified_bytes < r->batch_bytes) {
		uint32_t in = r->verified_bytes & (size - 1);
		uint32_t n = KX_MIN(KX_MIN(*budget, size - in), r->batch_bytes - r->verified_bytes);

		r->crc = kx_crc32c(r->crc,
			kx_extent_data(&b->topics.pool, r->extents[r->verified_bytes / size]) + in, n);
		r->verified_bytes += n;
		*budget -= n;
	}
	return r->verified_bytes == r->batch_bytes;
}

static void verified(struct kx_broker *b, uint32_t index)
{
	struct reassembly *r = &b->reassemblies[index];
	struct kx_producer_state *st = &b->topics.producers[r->producer];
	struct kx_partition *p = kx_topics_partition(&b->topics, r->partition);
	struct session *s = session_of(b, r->session);
	uint32_t records;
	bool direct;
	int rc;

	if (identity_fenced(s)) {
		reject(b, s, index, KX_DROP_PRODUCER_FENCED);
		return;
	}
	if (st->owner != r->session || st->partition != r->partition || !header_holds(b, r)) {
		reject(b, s, index, KX_DROP_FRAG_BAD);
		return;
	}
	records = batch_of(b, r)->record_count;
	rc = r->first_seq < st->next_seq ? -EEXIST : kx_hold(&b->topics, st, NULL, r->first_seq, index);
	if (rc == -EEXIST)
		reject(b, s, index, KX_DROP_SEQ_DUPLICATE);
	/* what has the places on the list may be waiting for just this one */
	direct = rc == -ENOBUFS && r->first_seq == st->next_seq && frag_store(b, p, st, index) == 0;
	if (rc != 0 && !direct)
		return; /* it is whole and safe here, and tried again in the next turn */
	if (records > 1 && b->topic_quotas != NULL) /* what begin() could not know */
		quota_more_messages(b, s, p, records - 1u);
	if (!direct) {
		produce_held(b, s, st);
		r->state = RE_READY;
		b->verifying--;
	}
	produce_drain(b, s, p, st);
}

unsigned int frag_poll(struct kx_broker *b)
{
	uint32_t budget = VERIFY_BYTES_PER_TURN, first = b->verify_cursor;
	unsigned int work = 0;

	for (uint32_t i = 0; i < b->reassembly_total; i++) {
		uint32_t index = (first + i) % b->reassembly_total;
		struct reassembly *r = &b->reassemblies[index];

		if (r->state != RE_VERIFYING)
			continue;
		work++;
		b->verify_cursor = index;
		if (verify_some(b, r, &budget))
			verified(b, index);
		if (budget == 0)
			break;
	}
	return work;
}

/* A batch that fits an extent beside others is copied, so that it does not cost a whole one; an extent of its
 * own has one record. */
static bool store_some_way(struct kx_broker *b, struct kx_partition *p, struct reassembly *r)
{
	struct kx_batch_hdr *batch = batch_of(b, r);

	if ((batch->record_count > 1 || batch->batch_bytes <= b->topics.pool.extent_bytes / 4) &&
		kx_log_append(&p->log, batch, b->real_ns, NULL) != NULL) {
		kx_extent_put(&b->topics.pool, r->extents[0]);
		return true;
	}
	return batch->record_count == 1 && kx_log_link(&p->log, r->extents[0], b->real_ns) == 0;
}

int frag_store(struct kx_broker *b, struct kx_partition *p, struct kx_producer_state *st, uint32_t index)
{
	struct reassembly *r = &b->reassemblies[index];
	uint64_t offset = p->log.next_offset;
	uint32_t records = batch_of(b, r)->record_count;
	struct session *s = session_of(b, r->session);

	while (!store_some_way(b, p, r)) {
		if (p->block ? kx_partition_reclaim(&b->topics, p, UINT64_MAX) : kx_log_trim(&p->log))
			p->trimmed += !p->block;
		else if (!frag_make_room(b))
			return -ENOSPC;
	}
	kx_producer_stored(st, r->first_seq, records, offset);
	kx_count(&p->messages_in, records);
	kx_count(&p->bytes_in, r->batch_bytes);
	kx_count(&b->counters.messages_in, records);
	kx_count(&b->counters.batches_in, 1);
	kx_count(&s->info.messages_in, records);
	produce_commit_dirty(b, s, r->producer);
	partition_touched(b, p);
	reassembly_end(b, r);
	return 0;
}
