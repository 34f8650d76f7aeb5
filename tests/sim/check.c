/* SPDX-License-Identifier: BSD-3-Clause */
/* The oracle: an independent record of what was sent, stored, confirmed and delivered, compared at each step.
 */
#include <stdlib.h>
#include <string.h>

#include "identity.h"

#define PLACE(boot, offset) ((uint64_t)(boot) << 48 | (offset))

void check_init(struct sim *s)
{
	if (kx_map_init(&s->oracle.stream_map, 65536) != 0)
		sim_fail(s, "no memory");
}

void check_free(struct sim *s)
{
	for (uint32_t b = 0; b < s->broker.boots; b++) {
		for (uint32_t i = 0; i < SIM_PARTS; i++)
			free(s->oracle.parts[b][i].batches);
		free(s->oracle.parts[b]);
	}
	kx_map_fini(&s->oracle.stream_map);
	free(s->oracle.streams);
}

/* A broker started: its logs and its memory of producers are empty. */
void check_boot(struct sim *s)
{
	s->oracle.parts[s->broker.boots - 1] = calloc(SIM_PARTS, sizeof(struct mpart));
	kx_map_fini(&s->oracle.stream_map);
	check_init(s);
	s->oracle.stream_count = 0;
}

uint32_t check_boot_index(struct sim *s, uint64_t boot_id)
{
	for (uint32_t i = s->broker.boots; i-- > 0;)
		if (s->broker.boot_ids[i] == boot_id)
			return i;
	sim_fail(s, "no broker ever had boot id %llx", (unsigned long long)boot_id);
}

/* ---- what is stored */

struct stream *check_stream(struct sim *s, uint64_t producer_id, uint32_t partition, bool make)
{
	struct oracle *o = &s->oracle;
	uint64_t key = kx_mix64(producer_id * 64 + partition) | 1;
	uint32_t i;

	if (kx_map_get(&o->stream_map, key, &i))
		return &o->streams[i];
	if (!make)
		return NULL;
	if (o->stream_count == o->stream_size) {
		o->stream_size = KX_MAX(256u, 2 * o->stream_size);
		o->streams = realloc(o->streams, o->stream_size * sizeof(*o->streams));
	}
	i = o->stream_count++;
	o->streams[i] = (struct stream){.producer_id = producer_id, .partition = partition};
	if (kx_map_put(&o->stream_map, key, i) != 0)
		sim_fail(s, "too many streams");
	return &o->streams[i];
}

/* No (producer, epoch, sequence) twice, none left out, none of an epoch that is over. */
static void sequence(struct sim *s, const struct kx_batch_hdr *b)
{
	struct stream *st = check_stream(s, b->producer_id, b->partition, true);

	SIM_CHECK(s, b->producer_epoch >= wire_epoch(s, b->producer_id),
		"partition %u: a batch of producer %llu epoch %u was stored after epoch %u was accepted",
		b->partition, (unsigned long long)b->producer_id, b->producer_epoch,
		wire_epoch(s, b->producer_id));
	SIM_CHECK(s, b->producer_epoch >= st->epoch,
		"partition %u: epoch %u of producer %llu was stored after %u", b->partition,
		b->producer_epoch, (unsigned long long)b->producer_id, st->epoch);
	if (b->producer_epoch > st->epoch) {
		st->epoch = b->producer_epoch;
		st->next_seq = 0;
	}
	SIM_CHECK(s, b->first_seq == st->next_seq,
		"partition %u: producer %llu epoch %u: sequence %llu was stored where %llu is next",
		b->partition, (unsigned long long)b->producer_id, b->producer_epoch,
		(unsigned long long)b->first_seq, (unsigned long long)st->next_seq);
	identity_stored(s, b->producer_id, b->partition);
	st->next_seq = b->first_seq + b->record_count;
	st->next_offset = b->base_offset + b->record_count;
}

static void message_stored(struct sim *s, const struct kx_batch_hdr *b, uint64_t offset,
	const struct kx_record *r, uint32_t *app, uint64_t *n)
{
	const struct kx_conf *conf = s->broker.conf;
	struct app_producer *a;
	struct app_part *p;
	uint32_t part;

	SIM_CHECK(s, load_check(r->value, r->value_bytes, app, &part, n),
		"partition %u offset %llu: bytes nobody sent", b->partition, (unsigned long long)offset);
	SIM_CHECK(s, *app < s->app_count, "partition %u offset %llu: of producer %u", b->partition,
		(unsigned long long)offset, *app);
	a = s->apps[*app];
	p = &a->parts[part];
	SIM_CHECK(s, conf->topics[a->topic].first_partition + part == b->partition,
		"partition %u offset %llu: a message to partition %u", b->partition,
		(unsigned long long)offset, conf->topics[a->topic].first_partition + part);
	SIM_CHECK(s, *n < p->sent, "partition %u offset %llu: message %llu of producer %u, which sent %llu",
		b->partition, (unsigned long long)offset, (unsigned long long)*n, *app,
		(unsigned long long)p->sent);
	SIM_CHECK(s, p->place[*n] == NOT_STORED,
		"partition %u offset %llu: message %llu of producer %u again", b->partition,
		(unsigned long long)offset, (unsigned long long)*n, *app);
	SIM_CHECK(s, *n >= p->stored_end, "partition %u offset %llu: message %llu of producer %u after %llu",
		b->partition, (unsigned long long)offset, (unsigned long long)*n, *app,
		(unsigned long long)p->stored_end - 1);
	p->place[*n] = PLACE(s->broker.boots - 1, offset);
	p->stored_end = *n + 1;
}

static void stored(struct sim *s, struct mpart *m, const struct kx_batch_hdr *b)
{
	struct kx_record_iter it = kx_record_first(b);
	struct mbatch *mb;
	struct kx_record r;
	uint64_t n, first_n = 0;
	uint32_t app = 0, i = 0;

	SIM_CHECK(s, b->base_offset == m->next_offset,
		"partition %u: offset %llu was stored where %llu is next", b->partition,
		(unsigned long long)b->base_offset, (unsigned long long)m->next_offset);
	SIM_CHECK(s,
		kx_crc32c(0, (const uint8_t *)b + KX_BATCH_DATA_FROM, b->batch_bytes - KX_BATCH_DATA_FROM) ==
			b->data_crc,
		"partition %u offset %llu: stored with a wrong CRC", b->partition,
		(unsigned long long)b->base_offset);
	sequence(s, b);
	quota_stored(s, b);
	for (; kx_record_next(&it, &r); i++) {
		message_stored(s, b, b->base_offset + i, &r, &app, &n);
		if (i == 0)
			first_n = n;
	}
	SIM_CHECK(s, i == b->record_count, "partition %u offset %llu: %u records of %u", b->partition,
		(unsigned long long)b->base_offset, i, b->record_count);
	if (m->count == m->size) {
		m->size = KX_MAX(256u, 2 * m->size);
		m->batches = realloc(m->batches, m->size * sizeof(*m->batches));
	}
	mb = &m->batches[m->count++];
	*mb = (struct mbatch){.base = b->base_offset,
		.first_seq = b->first_seq,
		.producer_id = b->producer_id,
		.first_n = first_n,
		.records = b->record_count,
		.data_crc = b->data_crc,
		.bytes = b->batch_bytes,
		.app = app,
		.producer_epoch = b->producer_epoch};
	m->next_offset += b->record_count;
	s->oracle.appended += b->record_count;
}

static void ingest_large(struct sim *s, struct mpart *m, const struct kx_partition *p,
	const struct kx_log_cursor *cursor, uint32_t bytes)
{
	uint8_t *copy = aligned_alloc(8, kx_align8(bytes));

	kx_log_copy_large(&p->log, cursor, 0, bytes, copy);
	stored(s, m, (const struct kx_batch_hdr *)copy);
	free(copy);
}

static void ingest(struct sim *s, const struct kx_partition *p, struct mpart *m)
{
	struct kx_log_cursor cursor;
	struct kx_log_slice slice;

	SIM_CHECK(s, kx_log_seek(&p->log, m->next_offset, &cursor) == 0,
		"partition %u: offset %llu was trimmed before it was seen, the log begins at %llu", p->id,
		(unsigned long long)m->next_offset, (unsigned long long)p->log.first_offset);
	while (m->next_offset < p->log.next_offset) {
		SIM_CHECK(s, kx_log_read(&p->log, &cursor, 1u << 30, &slice) == 0,
			"partition %u: unreadable at %llu", p->id, (unsigned long long)m->next_offset);
		if (slice.large_bytes != 0)
			ingest_large(s, m, p, &cursor, slice.large_bytes);
		SIM_CHECK(s, slice.bytes != 0 || slice.large_bytes != 0, "partition %u: nothing at %llu",
			p->id, (unsigned long long)m->next_offset);
		for (uint32_t at = 0; at < slice.bytes;) {
			const struct kx_batch_hdr *b = (const struct kx_batch_hdr *)(slice.data + at);

			stored(s, m, b);
			at += b->batch_bytes;
		}
		kx_log_advance(&p->log, &cursor, &slice);
	}
}

/* Oldest data went: of a log that blocks, only what every subscription has acknowledged. */
static void trimmed(
	struct sim *s, const struct kx_topic_table *t, const struct kx_partition *p, struct mpart *m)
{
	SIM_CHECK(
		s, p->log.first_offset >= m->first_offset, "partition %u: the log's begin went back", p->id);
	m->first_offset = p->log.first_offset;
	for (uint32_t i = p->subs; p->block && i != KX_NONE; i = t->subs[i].next)
		SIM_CHECK(s, t->subs[i].done_offset >= m->first_offset,
			"partition %u blocks, and lost %llu that subscription %u is not done with (%llu)",
			p->id, (unsigned long long)m->first_offset, t->subs[i].sub_id,
			(unsigned long long)t->subs[i].done_offset);
}

/* What was appended since the last look. */
void check_ingest(struct lcore *l)
{
	const struct kx_topic_table *t = kx_broker_topics(l->broker);
	struct mpart *parts = l->sim->oracle.parts[l->sim->broker.boots - 1];

	for (uint32_t i = 0; i < t->partition_count; i++) {
		const struct kx_partition *p = &t->partitions[i];
		struct mpart *m = &parts[p->id];

		if (p->log.next_offset != m->next_offset)
			ingest(l->sim, p, m);
		if (p->log.first_offset != m->first_offset)
			trimmed(l->sim, t, p, m);
	}
}

/* What a consumer says, and what it asks for again, lies within what it was sent, liars' too. */
static void positions(struct sim *s, const struct kx_sub *sub)
{
	SIM_CHECK(s, sub->acked_offset <= sub->cursor.offset,
		"partition %u: %llu of subscription %u counts as taken, %llu were sent", sub->partition,
		(unsigned long long)sub->acked_offset, sub->sub_id, (unsigned long long)sub->cursor.offset);
	for (uint32_t i = 0; i < sub->repair_count; i++) {
		const struct kx_repair *r = &sub->repairs[(sub->repair_head + i) % KX_SUB_REPAIRS];

		SIM_CHECK(s,
			r->offset >= r->end_offset ||
				r->end_offset <= sub->cursor.offset + (r->end_byte != 0),
			"partition %u: subscription %u is sent again what lies below %llu, %llu were sent",
			sub->partition, sub->sub_id, (unsigned long long)r->end_offset,
			(unsigned long long)sub->cursor.offset);
	}
}

/* What the broker knows of a producer is what was stored: who comes back after its state was given up does
 * not begin anew in the same epoch. All of them now and then: what is wrong stays so. */
static void producers(struct lcore *l)
{
	const struct kx_topic_table *t = kx_broker_topics(l->broker);

	for (uint32_t i = 0; i < t->producer_count && l->turns % 64 == 0; i++) {
		const struct kx_producer_state *p = &t->producers[i];
		const struct stream *st = p->producer_id != 0
			? check_stream(l->sim, p->producer_id, p->partition, false)
			: NULL;

		SIM_CHECK(l->sim, st == NULL || st->epoch != p->producer_epoch || st->next_seq == p->next_seq,
			"partition %u: producer %llu epoch %u is to go on with %llu, %llu are stored",
			p->partition, (unsigned long long)p->producer_id, p->producer_epoch,
			(unsigned long long)p->next_seq, (unsigned long long)st->next_seq);
	}
}

static void credit(struct lcore *l)
{
	const struct kx_topic_table *t = kx_broker_topics(l->broker);
	struct kx_broker_credit c;

	for (uint32_t i = 0; i < t->partition_count; i++) {
		const struct kx_partition *p = &t->partitions[i];

		SIM_CHECK(l->sim, p->reserved_bytes < UINT64_C(1) << 40, "partition %u: %lld bytes of credit",
			p->id, (long long)p->reserved_bytes);
		for (uint32_t k = p->subs; k != KX_NONE; k = t->subs[k].next)
			positions(l->sim, &t->subs[k]);
	}
	SIM_CHECK(l->sim, t->held_used <= t->held_total, "lcore %u holds more frames than it can", l->index);
	l->turns++;
	identity_sessions(l);
	kx_broker_credit(l->broker, &c);
	SIM_CHECK(l->sim, c.granted_pkts <= c.buffer_pkts, "lcore %u granted %u packets, and has %u buffers",
		l->index, c.granted_pkts, c.buffer_pkts);
}

void check_lcore(struct lcore *l)
{
	struct sim *s = l->sim;

	check_ingest(l);
	producers(l);
	credit(l);
	SIM_CHECK(s, l->buffers == 0, "lcore %u: %lld buffers are missing after a turn", l->index,
		(long long)l->buffers);
	SIM_CHECK(s, kx_ledger_rx_open(&l->ledger) == 0,
		"lcore %u: %lld received frames are not accounted for", l->index,
		(long long)kx_ledger_rx_open(&l->ledger));
	SIM_CHECK(s, kx_ledger_tx_open(&l->ledger) == 0, "lcore %u: %lld built frames are not accounted for",
		l->index, (long long)kx_ledger_tx_open(&l->ledger));
}

/* ---- what is confirmed */

static void confirmed(struct app_producer *a, struct app_part *p, const struct kx_completion *c)
{
	struct sim *s = a->sim;
	uint64_t last = p->completed + c->count - 1, offset;

	for (uint64_t n = p->completed; n <= last; n++)
		SIM_CHECK(s, p->place[n] != NOT_STORED,
			"producer %u partition %u: message %llu was confirmed, not stored", a->id,
			c->partition, (unsigned long long)n);
	offset = p->place[last] & ((UINT64_C(1) << 48) - 1);
	SIM_CHECK(s, c->offset_exact ? c->next_offset == offset + 1 : c->next_offset > offset,
		"producer %u partition %u: message %llu lies at %llu, and was confirmed below %llu", a->id,
		c->partition, (unsigned long long)last, (unsigned long long)offset,
		(unsigned long long)c->next_offset);
	SIM_CHECK(s, c->level == KX_MEMORY, "producer %u: level %u", a->id, c->level);
	s->oracle.confirmed += c->count;
	a->ok += c->count;
}

void check_completion(void *app_producer, const struct kx_completion *c)
{
	struct app_producer *a = app_producer;
	struct app_part *p = &a->parts[c->partition];
	struct sim *s = a->sim;

	s->coverage.result[c->result]++;
	sim_mix(s, c->result + p->completed);
	SIM_CHECK(s, c->user == p->completed,
		"producer %u partition %u: completion of %llu where %llu is next", a->id, c->partition,
		(unsigned long long)c->user, (unsigned long long)p->completed);
	SIM_CHECK(s, c->count > 0 && p->completed + c->count <= p->sent,
		"producer %u partition %u: completion of %u from %llu on, %llu were sent", a->id,
		c->partition, c->count, (unsigned long long)p->completed, (unsigned long long)p->sent);
	if (c->result == KX_OK)
		confirmed(a, p, c);
	else if (c->result == KX_REFUSED && c->code == KX_CODE_DENIED)
		SIM_CHECK(s, !identity_may_produce(&s->clients[a->client], a->topic),
			"producer %u is denied %s, and may", a->id, sim_topic_name(a->topic));
	else
		s->oracle.unconfirmed += c->count;
	SIM_CHECK(s,
		(c->result != KX_LOST && c->result != KX_UNKNOWN_FATE) ||
			p->completed + c->count <= p->left_end,
		"producer %u partition %u: %s of %llu +%u, and no more than %llu have left its client", a->id,
		c->partition, kx_result_name(c->result), (unsigned long long)p->completed, c->count,
		(unsigned long long)p->left_end);
	if (c->result != KX_OK)
		TRACE(s, "producer %u partition %u: %llu +%u: %s, code %u", a->id, c->partition,
			(unsigned long long)p->completed, c->count, kx_result_name(c->result), c->code);
	a->not_ok += c->result != KX_OK ? c->count : 0;
	p->completed += c->count;
}

/* ---- what is delivered */

static uint32_t boot_now(struct client *c)
{
	struct kx_client_info info;

	kx_client_info(c->c, &info);
	return check_boot_index(c->sim, info.boot_id);
}

static struct mpart *model_of(const struct app_consumer *a, uint32_t part)
{
	struct sim *s = a->sim;

	return &s->oracle.parts[a->boot[part]][s->broker.conf->topics[a->topic].first_partition + part];
}

const struct mbatch *check_batch_at(const struct mpart *p, uint64_t offset, uint32_t *hint)
{
	uint32_t lo = 0, hi = p->count;

	if (*hint < p->count && p->batches[*hint].base == offset)
		return &p->batches[(*hint)++];
	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (p->batches[mid].base < offset)
			lo = mid + 1;
		else
			hi = mid;
	}
	*hint = lo + 1;
	return lo < p->count && p->batches[lo].base == offset ? &p->batches[lo] : NULL;
}

/* The first offset that a consumer is given. */
static void started(struct app_consumer *a, uint32_t part, uint64_t offset, uint32_t in_boot)
{
	struct sim *s = a->sim;
	uint32_t boot = a->boot[part];
	const struct mpart *m;

	a->boot[part] = KX_MIN(in_boot, s->broker.boots - 1);
	m = model_of(a, part);
	a->started[part] = true;
	a->next[part] = offset;
	if (a->boot[part] != boot)
		a->open_first[part] = 0;
	if (a->from[part] < KX_OFFSET_NOW)
		SIM_CHECK(s,
			offset == a->from[part] || (a->boot[part] != boot && a->from[part] >= m->next_offset),
			"consumer %u partition %u begins at %llu, not at %llu", a->id, part,
			(unsigned long long)offset, (unsigned long long)a->from[part]);
	else
		SIM_CHECK(s,
			offset >= a->open_first[part] &&
				(a->from[part] == KX_OFFSET_NOW || offset <= m->first_offset),
			"consumer %u partition %u begins at %llu; it was opened at %llu, the log begins at "
			"%llu",
			a->id, part, (unsigned long long)offset, (unsigned long long)a->open_first[part],
			(unsigned long long)m->first_offset);
}

static void take_jump(struct app_consumer *a, const struct jump *j)
{
	TRACE(a->sim, "consumer %u partition %u: goes on at %llu, boot %u", a->id, j->part,
		(unsigned long long)j->to, j->boot);
	a->boot[j->part] = j->boot;
	a->next[j->part] = j->to;
	a->started[j->part] = true;
	a->batch_at[j->part] = 0;
	if (j->truncated)
		a->acked[j->part] = KX_MIN(a->acked[j->part], j->to);
}

void check_batch(void *app_consumer, const struct kx_batch_view *v)
{
	struct app_consumer *a = app_consumer;
	struct sim *s = a->sim;
	const struct kx_batch_hdr *b = v->batch;
	uint32_t part = v->partition;
	const struct mbatch *m;

	TRACE(s, "consumer %u partition %u: %llu +%u", a->id, part, (unsigned long long)v->first_offset,
		v->count);
	sim_mix(s, v->first_offset);
	SIM_CHECK(s, !a->paused[part], "consumer %u partition %u: offset %llu while it is paused", a->id,
		part, (unsigned long long)v->first_offset);
	if (!a->started[part])
		started(a, part, v->first_offset, boot_now(&s->clients[a->client]));
	SIM_CHECK(s, v->first_offset == a->next[part],
		"consumer %u partition %u: offset %llu where %llu is next", a->id, part,
		(unsigned long long)v->first_offset, (unsigned long long)a->next[part]);
	SIM_CHECK(s,
		v->count > 0 && b->base_offset + v->skip == v->first_offset &&
			v->skip + v->count == b->record_count,
		"consumer %u partition %u: batch %llu, skip %u, count %u of %u", a->id, part,
		(unsigned long long)b->base_offset, v->skip, v->count, b->record_count);
	m = check_batch_at(model_of(a, part), b->base_offset, &a->batch_at[part]);
	SIM_CHECK(s, m != NULL, "consumer %u partition %u: no batch was stored at %llu (boot %u)", a->id,
		part, (unsigned long long)b->base_offset, a->boot[part]);
	SIM_CHECK(s,
		m->records == b->record_count && m->bytes == b->batch_bytes &&
			m->producer_id == b->producer_id && m->first_seq == b->first_seq &&
			m->data_crc == b->data_crc &&
			kx_crc32c(0, (const uint8_t *)b + KX_BATCH_DATA_FROM,
				b->batch_bytes - KX_BATCH_DATA_FROM) == m->data_crc,
		"consumer %u partition %u: the batch at %llu is not the one that was stored", a->id, part,
		(unsigned long long)b->base_offset);
	a->next[part] = b->base_offset + b->record_count;
	a->messages += v->count;
	s->oracle.delivered += v->count;
	control_in_batch(a, v);
}

/* Where the message lies that was given to a polled consumer: boot and offset. */
static uint64_t place_of(const struct app_consumer *a, const struct kx_polled *m)
{
	struct sim *s = a->sim;
	uint32_t app, part;
	uint64_t n;

	SIM_CHECK(s, load_check(m->record.value, m->record.value_bytes, &app, &part, &n),
		"consumer %u partition %u offset %llu: bytes nobody sent", a->id, m->partition,
		(unsigned long long)m->offset);
	SIM_CHECK(s, app < s->app_count && part == m->partition && s->apps[app]->topic == a->topic,
		"consumer %u partition %u offset %llu: a message of producer %u to partition %u", a->id,
		m->partition, (unsigned long long)m->offset, app, part);
	return s->apps[app]->parts[part].place[n];
}

static bool place_is(const struct app_consumer *a, const struct kx_polled *m)
{
	return place_of(a, m) == PLACE(a->boot[m->partition], m->offset);
}

/* What was told explains the next offset: what was trimmed there, else that another log begins. */
static bool next_jump(struct app_consumer *a, uint32_t part)
{
	uint32_t best = a->jump_count;

	for (uint32_t i = a->jump_count; i-- > 0;) {
		const struct jump *j = &a->jumps[i];

		if (j->part != part)
			continue;
		if (!j->truncated && j->boot == a->boot[part] && j->first == a->next[part]) {
			best = i;
			break;
		}
		if (j->truncated)
			best = i;
	}
	if (best == a->jump_count)
		return false;
	take_jump(a, &a->jumps[best]);
	memmove(&a->jumps[best], &a->jumps[best + 1], (--a->jump_count - best) * sizeof(a->jumps[0]));
	return true;
}

/* What it was told before the first message is over; unless it is of a later log. */
static void polled_first(struct app_consumer *a, const struct kx_polled *m)
{
	uint32_t boot = (uint32_t)(place_of(a, m) >> 48), kept = 0;

	a->next[m->partition] = m->offset;
	for (uint32_t i = 0; i < a->jump_count; i++) {
		if (a->jumps[i].part == m->partition && !a->jumps[i].truncated && a->jumps[i].boot <= boot &&
			a->jumps[i].to <= m->offset)
			a->next[m->partition] = KX_MIN(a->next[m->partition], a->jumps[i].first);
		else
			a->jumps[kept++] = a->jumps[i];
	}
	a->jump_count = kept;
	started(a, m->partition, a->next[m->partition], boot);
	a->next[m->partition] = m->offset;
}

/* It was told, before the first message, that another log begins, or that there is nothing at the offset it
 * asked for: that comes first unless the message is of the log before. */
static bool polled_truncated(struct app_consumer *a, const struct kx_polled *m)
{
	uint32_t i = 0, kept = 0;
	struct jump j;

	while (i < a->jump_count && (a->jumps[i].part != m->partition || !a->jumps[i].truncated))
		i++;
	if (i == a->jump_count || (place_of(a, m) >> 48) < a->jumps[i].boot)
		return false;
	j = a->jumps[i];
	for (uint32_t k = 0; k < a->jump_count; k++)
		if (k > i || a->jumps[k].part != m->partition)
			a->jumps[kept++] = a->jumps[k];
	a->jump_count = kept;
	take_jump(a, &j);
	return true;
}

void check_polled(struct app_consumer *a, const struct kx_polled *m)
{
	struct sim *s = a->sim;
	uint32_t part = m->partition;

	SIM_CHECK(s, !a->paused[part], "consumer %u partition %u: offset %llu while it is paused", a->id,
		part, (unsigned long long)m->offset);
	if (!a->started[part] && !polled_truncated(a, m))
		polled_first(a, m);
	while ((m->offset != a->next[part] || !place_is(a, m)) && next_jump(a, part))
		;
	SIM_CHECK(s, m->offset == a->next[part], "consumer %u partition %u: offset %llu where %llu is next",
		a->id, part, (unsigned long long)m->offset, (unsigned long long)a->next[part]);
	SIM_CHECK(s, place_is(a, m),
		"consumer %u partition %u: offset %llu is not the message that was stored there", a->id, part,
		(unsigned long long)m->offset);
	a->next[part]++;
	a->messages++;
	s->oracle.delivered++;
	sim_mix(s, m->offset);
}

/* ---- what the application is told */

static struct app_consumer *consumer_of(struct client *c, const struct kx_consumer *k)
{
	for (uint32_t i = 0; i < SIM_PROC_CONSUMERS; i++)
		if (c->consumers[i] != NULL && c->consumers[i]->c == k)
			return c->consumers[i];
	sim_fail(c->sim, "an event for a consumer that client %u does not have", c->index);
}

static void jump(struct app_consumer *a, struct jump j)
{
	struct sim *s = a->sim;

	if (!a->polled) {
		take_jump(a, &j);
		return;
	}
	SIM_CHECK(s, a->jump_count < SIM_JUMPS, "too many jumps of consumer %u", a->id);
	a->jumps[a->jump_count++] = j;
}

static void offset_trimmed(struct client *c, const struct kx_event *e)
{
	struct app_consumer *a = consumer_of(c, e->consumer);
	struct sim *s = c->sim;
	const struct mpart *m;

	if (!a->started[e->partition] && !a->polled)
		started(a, e->partition, e->first, boot_now(c));
	m = model_of(a, e->partition);
	SIM_CHECK(s, e->first <= e->last, "consumer %u: trimmed from %llu to %llu", a->id,
		(unsigned long long)e->first, (unsigned long long)e->last);
	if (!a->polled) {
		SIM_CHECK(s, e->last < m->first_offset,
			"consumer %u partition %u: told that %llu..%llu are gone, the log begins at %llu",
			a->id, e->partition, (unsigned long long)e->first, (unsigned long long)e->last,
			(unsigned long long)m->first_offset);
		SIM_CHECK(s, !a->started[e->partition] || e->first == a->next[e->partition],
			"consumer %u partition %u: trimmed from %llu on where %llu is next", a->id,
			e->partition, (unsigned long long)e->first,
			(unsigned long long)a->next[e->partition]);
	}
	jump(a,
		(struct jump){
			.part = e->partition, .boot = boot_now(c), .first = e->first, .to = e->last + 1});
}

static void offset_truncated(struct client *c, const struct kx_event *e)
{
	struct app_consumer *a = consumer_of(c, e->consumer);

	jump(a, (struct jump){.part = e->partition, .boot = boot_now(c), .to = e->first, .truncated = true});
}

static struct app_producer *producer_of(struct client *c, const struct kx_producer *p)
{
	for (uint32_t i = 0; i < SIM_PROC_PRODUCERS; i++)
		if (c->producers[i] != NULL && c->producers[i]->p == p)
			return c->producers[i];
	sim_fail(c->sim, "an event for a producer that client %u does not have", c->index);
}

void check_event(void *client, const struct kx_event *e)
{
	struct client *c = client;
	struct kx_client_info info;

	TRACE(c->sim, "client %u is told %s: %s, code %u, consumer %d, partition %u, %llu..%llu", c->index,
		kx_event_name(e->type), kx_result_name(e->result), e->code,
		e->consumer != NULL ? (int)consumer_of(c, e->consumer)->id : -1, e->partition,
		(unsigned long long)e->first, (unsigned long long)e->last);
	sim_mix(c->sim, e->type);
	c->sim->coverage.event[e->type]++;
	identity_event(c, e);
	throttle_event(c, e);
	switch (e->type) {
	case KX_EVENT_CONNECTED:
		kx_client_info(c->c, &info);
		c->sim->ids[c->index] = info.producer_id;
		c->connected = true;
		break;
	case KX_EVENT_DISCONNECTED:
		c->connected = false;
		break;
	case KX_EVENT_FENCED: /* its producers are over: its operator starts it anew, or does not see it */
		if (chance(c->sim, 500))
			sim_at(c->sim, c->sim->now_ns + pick_in(c->sim, 1, 3000) * SIM_MS, EV_GIVE_UP,
				c->index, c->incarnation);
		break;
	case KX_EVENT_PRODUCER_READY:
		producer_of(c, e->producer)->ready = true;
		break;
	case KX_EVENT_PRODUCER_FAILED:
		producer_of(c, e->producer)->failed = true;
		break;
	case KX_EVENT_CONSUMER_READY:
		consumer_of(c, e->consumer)->ready = true;
		break;
	case KX_EVENT_CONSUMER_FAILED:
		consumer_of(c, e->consumer)->failed = true;
		break;
	case KX_EVENT_OFFSET_TRIMMED:
		offset_trimmed(c, e);
		break;
	case KX_EVENT_OFFSET_TRUNCATED:
		offset_truncated(c, e);
		break;
	default:
		break;
	}
}
