/* SPDX-License-Identifier: BSD-3-Clause */
/* What each frame that a broker or a client puts on the wire may say: well formed, numbers that only rise,
 * nothing beyond the credit of the other side, no acknowledgement of what is not stored. */
#include <stdlib.h>
#include <string.h>

#include "identity.h"

struct wsub {
	uint32_t sub_id, partition;
	uint64_t limit_bytes, sent_bytes, end_offset, next_offset; /* as the broker knows them */
	uint64_t told_bytes, told_offset, done_offset;		   /* as the client has said */
	uint64_t begin_offset;					   /* as SUBSCRIBED says */
	bool started, trimmed;
};
struct wconn {
	uint64_t conn_id, producer_id;
	uint32_t producer_epoch, sub_count, sub_size;
	uint64_t next_pkt[2], floor[2];
	uint64_t limit_pkt, limit_bytes,
		used_bytes; /* granted by the broker; sent for the first time by the client */
	/* the same as the client knows it: of what it has taken */
	uint64_t known_pkt, known_bytes;
	uint32_t probes;  /* it said that data wait; two allow one frame beyond known_pkt */
	uint32_t shorts;  /* of its client then: a probe counts without a buffer, too */
	uint32_t probed;  /* largest probe of the path that was answered */
	uint32_t proven;  /* largest that the client said to know */
	uint32_t client;  /* its index, KX_NONE before it has sent anything */
	bool raw, opaque; /* opaque: its frames cannot be read where they arrive */
	uint64_t seq_end[SIM_PARTS];
	struct app_part *parted[SIM_PARTS]; /* whose batch goes in parts */
	uint64_t parted_end[SIM_PARTS], parted_seq[SIM_PARTS];
	struct wsub *subs;
};
struct wire {
	struct kx_map conn_map, epoch_map;
	struct wconn **conns;
	uint32_t count, size;
};

void wire_init(struct sim *s)
{
	s->wire = calloc(1, sizeof(*s->wire));
	if (kx_map_init(&s->wire->conn_map, 16384) != 0 || kx_map_init(&s->wire->epoch_map, 16384) != 0)
		sim_fail(s, "no memory");
}

void wire_free(struct sim *s)
{
	for (uint32_t i = 0; i < s->wire->count; i++) {
		free(s->wire->conns[i]->subs);
		free(s->wire->conns[i]);
	}
	kx_map_fini(&s->wire->conn_map);
	kx_map_fini(&s->wire->epoch_map);
	free(s->wire->conns);
	free(s->wire);
}

uint32_t wire_epoch(struct sim *s, uint64_t producer_id)
{
	uint32_t epoch = 0;

	(void)kx_map_get(&s->wire->epoch_map, producer_id, &epoch);
	return epoch;
}

static struct wconn *conn_of(struct sim *s, uint64_t conn_id)
{
	uint32_t i;

	return kx_map_get(&s->wire->conn_map, conn_id, &i) ? s->wire->conns[i] : NULL;
}

static void accepted(struct lcore *l, const struct kx_accept *a, bool raw)
{
	struct sim *s = l->sim;
	struct wire *w = s->wire;
	struct wconn *c = conn_of(s, a->conn_id);

	takeover_accepted(l, a);
	if (a->producer_epoch > wire_epoch(s, a->producer_id)) {
		check_ingest(l); /* stored earlier in this turn: the older epoch was not over */
		(void)kx_map_put(&w->epoch_map, a->producer_id, a->producer_epoch);
	}
	if (c != NULL) {
		SIM_CHECK(s, c->producer_id == a->producer_id && c->producer_epoch == a->producer_epoch,
			"two ACCEPTs of one connection differ");
		return;
	}
	if (w->count == w->size) {
		w->size = KX_MAX(64u, 2 * w->size);
		w->conns = realloc(w->conns, w->size * sizeof(*w->conns));
	}
	c = calloc(1, sizeof(*c));
	*c = (struct wconn){.conn_id = a->conn_id,
		.producer_id = a->producer_id,
		.producer_epoch = a->producer_epoch,
		.next_pkt = {1, 1},
		.client = KX_NONE,
		.raw = raw,
		.limit_pkt = a->limit_pkt,
		.limit_bytes = a->limit_bytes,
		.known_pkt = a->limit_pkt,
		.known_bytes = a->limit_bytes,
		.probed = KX_DATAGRAM_DEFAULT_V4,
		.proven = KX_DATAGRAM_DEFAULT_V4,
		.opaque = a->protect != KX_PROTECT_PLAIN};
	identity_accepted(s, a, raw);
	if (kx_map_put(&w->conn_map, c->conn_id, w->count) != 0)
		sim_fail(s, "too many connections");
	w->conns[w->count++] = c;
}

static void numbers(struct sim *s, struct wconn *c, const struct kx_frame_hdr *h, int from_broker)
{
	uint64_t floor = h->pkt_no - h->floor_delta;

	SIM_CHECK(s, h->pkt_no >= c->next_pkt[from_broker], "%s sent as packet %llu where %llu is next",
		kx_frame_type_name(h->type), (unsigned long long)h->pkt_no,
		(unsigned long long)c->next_pkt[from_broker]);
	SIM_CHECK(s, floor >= c->floor[from_broker], "the floor fell from %llu to %llu",
		(unsigned long long)c->floor[from_broker], (unsigned long long)floor);
	c->next_pkt[from_broker] = h->pkt_no + 1;
	c->floor[from_broker] = floor;
}

/* ---- from the broker */

static void receipt(struct sim *s, struct wconn *c, const struct kx_receipt *r, uint32_t lcore, bool to_raw)
{
	SIM_CHECK(s, r->limit_pkt >= c->limit_pkt && r->limit_bytes >= c->limit_bytes,
		"credit fell: %llu/%llu to %llu/%llu", (unsigned long long)c->limit_pkt,
		(unsigned long long)c->limit_bytes, (unsigned long long)r->limit_pkt,
		(unsigned long long)r->limit_bytes);
	SIM_CHECK(s, to_raw || r->largest_pkt < c->next_pkt[0],
		"packet %llu is acknowledged and was never sent", (unsigned long long)r->largest_pkt);
	c->limit_pkt = r->limit_pkt;
	c->limit_bytes = r->limit_bytes;
	if (c->opaque) {
		c->known_pkt = r->limit_pkt;
		c->known_bytes = r->limit_bytes;
		if (c->client != KX_NONE)
			throttle_took(&s->clients[c->client], lcore, r->blocked);
	}
	quota_told(s, c->conn_id, r);
}

/* Everything below next_seq is stored, and next_offset is where it ends. */
static void commit_entry(struct sim *s, const struct wconn *c, const struct kx_commit_entry *e)
{
	const struct stream *st = check_stream(s, c->producer_id, e->partition, false);
	const struct mpart *m = &s->oracle.parts[s->broker.boots - 1][e->partition];
	uint32_t lo = 0, hi = m->count;

	if (e->next_seq == 0)
		return;
	SIM_CHECK(s,
		st != NULL && e->producer_epoch == c->producer_epoch &&
			(st->epoch != e->producer_epoch || e->next_seq <= st->next_seq),
		"COMMIT_ACK: partition %u producer %llu below %llu, %llu are stored", e->partition,
		(unsigned long long)c->producer_id, (unsigned long long)e->next_seq,
		(unsigned long long)(st != NULL ? st->next_seq : 0));
	while (lo < hi) { /* the first batch that does not end below next_offset */
		uint32_t mid = lo + (hi - lo) / 2;

		if (m->batches[mid].base + m->batches[mid].records < e->next_offset)
			lo = mid + 1;
		else
			hi = mid;
	}
	SIM_CHECK(s,
		lo < m->count && m->batches[lo].base + m->batches[lo].records == e->next_offset &&
			m->batches[lo].producer_id == c->producer_id &&
			m->batches[lo].first_seq + m->batches[lo].records == e->next_seq,
		"COMMIT_ACK: partition %u producer %llu: no batch ends with sequence %llu at offset %llu",
		e->partition, (unsigned long long)c->producer_id, (unsigned long long)e->next_seq,
		(unsigned long long)e->next_offset);
}

static struct wsub *sub_of(struct wconn *c, uint32_t sub_id)
{
	for (uint32_t i = c->sub_count; i-- > 0;)
		if (c->subs[i].sub_id == sub_id)
			return &c->subs[i];
	return NULL;
}

static uint32_t records_at(struct sim *s, uint32_t partition, uint64_t offset)
{
	uint32_t hint = UINT32_MAX;
	const struct mbatch *b =
		check_batch_at(&s->oracle.parts[s->broker.boots - 1][partition], offset, &hint);

	SIM_CHECK(s, b != NULL, "partition %u: a batch at %llu is delivered, none is stored", partition,
		(unsigned long long)offset);
	return b->records;
}

/* What is sent first comes without a hole, but for what the log has no more. Its bytes stay below the
 * consumer's credit; one batch that is larger may come when it has all before. A batch in parts counts with
 * its last one: what is trimmed while it is on its way never comes whole. */
static void delivered(
	struct sim *s, struct wsub *w, uint64_t base, uint32_t records, uint32_t bytes, bool last)
{
	const struct mpart *m = &s->oracle.parts[s->broker.boots - 1][w->partition];

	if (w->started && base < w->end_offset)
		return;
	SIM_CHECK(s, !w->started || base <= KX_MAX(w->end_offset, m->first_offset),
		"subscription %u: %llu is sent, and %llu is next, in a log from %llu on", w->sub_id,
		(unsigned long long)base, (unsigned long long)w->end_offset,
		(unsigned long long)m->first_offset);
	if (!w->started) { /* it has everything before the first, unless it is told that this is gone */
		w->started = true;
		w->next_offset = w->trimmed ? 0 : base;
		w->end_offset = base;
	}
	/* parts of a batch that was trimmed before its end may have counted, or not: from then on nobody can
	 * tell */
	SIM_CHECK(s, w->trimmed || w->sent_bytes + bytes <= w->limit_bytes || w->next_offset >= base,
		"subscription %u: %llu bytes were sent, %llu are granted", w->sub_id,
		(unsigned long long)w->sent_bytes + bytes, (unsigned long long)w->limit_bytes);
	if (!last)
		return;
	w->end_offset = base + records;
	w->sent_bytes += bytes;
}

static void deliver(struct sim *s, struct wconn *c, const struct kx_frame_view *v)
{
	struct wsub *w = sub_of(c, v->hdr->handle);
	const uint8_t *at = v->body;

	if (w != NULL && v->hdr->type == KX_NOTICE)
		w->trimmed = true;
	if (v->hdr->type == KX_NOTICE)
		return;
	SIM_CHECK(s, w != NULL, "a delivery to subscription %u, which nobody asked for", v->hdr->handle);
	if (v->hdr->type == KX_DELIVER_FRAG) {
		const struct kx_frag *f = (const struct kx_frag *)v->body;

		delivered(s, w, f->first, records_at(s, f->partition, f->first), f->batch_bytes,
			f->frag_offset + f->frag_bytes == f->batch_bytes);
		return;
	}
	for (uint32_t i = 0; i < v->batch_count; i++) {
		const struct kx_batch_hdr *b = (const struct kx_batch_hdr *)at;

		delivered(s, w, b->base_offset, b->record_count, b->batch_bytes, true);
		at += b->batch_bytes;
	}
}

/* Whose CREDIT may be lost: nobody but the broker asks for it again. More than fit into a frame take turns.
 */
static void heartbeat(struct sim *s, struct lcore *l, const struct wconn *c, const struct kx_frame_view *v)
{
	const struct kx_receipt *r = (const struct kx_receipt *)v->body;
	const struct kx_heartbeat_entry *e = (const struct kx_heartbeat_entry *)(r + 1);
	const struct kx_topic_table *t = kx_broker_topics(l->broker);
	struct kx_session_info info = {.conn_id = 0};
	uint32_t slot = KX_NONE;

	for (uint32_t i = 0; i < t->sub_total && c->sub_count <= KX_ENTRIES_MAX; i++) {
		const struct kx_sub *sub = &t->subs[i];
		const struct kx_partition *p;
		uint32_t n = 0;

		if (sub->session == KX_NONE)
			continue;
		if (sub->session != slot && !kx_broker_session_info(l->broker, slot = sub->session, &info))
			info.conn_id = 0;
		p = kx_topics_partition(t, sub->partition);
		if (info.conn_id != c->conn_id ||
			(sub->acked_offset == sub->cursor.offset && sub->done_offset == sub->acked_offset &&
				(sub->cursor.offset == p->log.next_offset ||
					sub->sent_bytes < sub->limit_bytes)))
			continue;
		while (n < r->entry_count && e[n].sub_id != sub->sub_id)
			n++;
		SIM_CHECK(s, n < r->entry_count,
			"HEARTBEAT does not name subscription %u: of %llu it was sent %llu, has %llu, is "
			"done with "
			"%llu, may get %lld bytes",
			sub->sub_id, (unsigned long long)p->log.next_offset,
			(unsigned long long)sub->cursor.offset, (unsigned long long)sub->acked_offset,
			(unsigned long long)sub->done_offset,
			(long long)(sub->limit_bytes - sub->sent_bytes));
	}
}

static void subscribed(struct wconn *c, const struct kx_subscribed *b)
{
	struct wsub *w = sub_of(c, b->sub_id);

	if (w != NULL && b->code == KX_CODE_OK)
		w->begin_offset = b->start_offset;
}

static void from_broker_size(struct sim *s, struct wconn *c, const struct kx_frame_view *v, uint32_t bytes)
{
	const struct kx_frag *f = (const struct kx_frag *)v->body;

	if (v->hdr->type == KX_MTU_PROBED) {
		c->probed = KX_MAX(c->probed, (uint32_t)((const struct kx_mtu *)v->body)->size);
		return;
	}
	SIM_CHECK(s, c->raw || bytes <= c->proven, "%s of %u bytes, the client knows %u to pass",
		kx_frame_type_name(v->hdr->type), bytes, c->proven);
	s->coverage.reached[REACHED_JUMBO_OUT] += bytes > 8000;
	if (v->hdr->type == KX_DELIVER_FRAG && f->frag_offset == 0)
		s->coverage.reached[REACHED_SPLIT_OUT] +=
			((const struct kx_batch_hdr *)(f + 1))->record_count > 1;
}

/* A raw peer says what it likes, and nobody looks: only what does not depend on it is checked. */
void wire_from_broker(struct sim *s, struct lcore *l, const uint8_t *data, uint32_t bytes, bool to_raw)
{
	struct kx_frame_view v;
	const uint8_t *plain = seal_look(s, data, &bytes, true);
	enum kx_drop drop;
	const struct kx_receipt *r;
	struct wconn *c;

	if (plain == NULL)
		return;
	drop = plain == data ? kx_frame_check(data, bytes, KX_FROM_BROKER, &v)
			     : kx_frame_check_opened(plain, bytes, KX_FROM_BROKER, &v);
	SIM_CHECK(s, drop == KX_DROP_NONE, "lcore %u sent a %s that is bad: %s", l->index,
		kx_frame_type_name(data[1]), kx_drop_key(drop));
	s->coverage.to_client[v.hdr->type]++;
	if (v.hdr->type == KX_ACCEPT) {
		accepted(l, (const struct kx_accept *)v.body, to_raw);
		quota_accepted(s, l, (const struct kx_accept *)v.body);
	}
	if (v.hdr->pkt_no == 0)
		return;
	identity_sent(s, &v);
	c = conn_of(s, v.hdr->conn_id);
	if (c == NULL) /* its ACCEPT had no buffer */
		return;
	numbers(s, c, v.hdr, 1);
	SIM_CHECK(s, c->raw == to_raw || v.hdr->type == KX_PATH_CHALLENGE,
		"%s of a session is sent to an address that is not its client's",
		kx_frame_type_name(v.hdr->type));
	from_broker_size(s, c, &v, bytes);
	r = (const struct kx_receipt *)v.body;
	if (v.hdr->type == KX_RX_ACK || v.hdr->type == KX_COMMIT_ACK || v.hdr->type == KX_HEARTBEAT)
		receipt(s, c, r, l->index, to_raw);
	if (v.hdr->type == KX_COMMIT_ACK || v.hdr->type == KX_DELIVER || v.hdr->type == KX_DELIVER_FRAG ||
		v.hdr->type == KX_SUBSCRIBED)
		check_ingest(l);
	for (uint32_t i = 0; v.hdr->type == KX_COMMIT_ACK && i < r->entry_count; i++)
		commit_entry(s, c, (const struct kx_commit_entry *)(r + 1) + i);
	if (v.hdr->type == KX_HEARTBEAT)
		heartbeat(s, l, c, &v);
	if (!to_raw && v.hdr->type == KX_SUBSCRIBED)
		subscribed(c, (const struct kx_subscribed *)v.body);
	if (!to_raw && v.hdr->handle != 0)
		deliver(s, c, &v);
}

/* ---- from a client */

static void subscribe(struct wconn *c, const struct kx_subscribe *b)
{
	if (sub_of(c, b->sub_id) != NULL)
		return;
	if (c->sub_count == c->sub_size) {
		c->sub_size = KX_MAX(16u, 2 * c->sub_size);
		c->subs = realloc(c->subs, c->sub_size * sizeof(*c->subs));
	}
	c->subs[c->sub_count++] = (struct wsub){.sub_id = b->sub_id,
		.partition = b->partition,
		.limit_bytes = b->limit_bytes,
		.told_bytes = b->limit_bytes};
}

static void credit(struct sim *s, const struct client *k, struct wconn *c, const struct kx_receipt *r)
{
	const struct kx_credit_entry *e = (const struct kx_credit_entry *)(r + 1);

	for (uint32_t i = 0; i < r->entry_count; i++) {
		struct wsub *w = sub_of(c, e[i].sub_id);

		if (w == NULL)
			continue;
		SIM_CHECK(s,
			e[i].limit_bytes >= w->told_bytes && e[i].next_offset >= w->told_offset &&
				e[i].done_offset >= w->done_offset,
			"CREDIT of subscription %u fell", e[i].sub_id);
		control_done(k, w->partition, w->begin_offset, e[i].done_offset);
		w->told_bytes = e[i].limit_bytes;
		w->told_offset = e[i].next_offset;
		w->done_offset = e[i].done_offset;
		if (c->opaque) {
			w->limit_bytes = w->told_bytes;
			w->next_offset = w->told_offset;
		}
	}
}

/* First sendings stay below both limits; a probe allows one frame more. */
static void produced(struct sim *s, const struct client *k, struct wconn *c, uint64_t pkt_no,
	uint32_t partition, uint64_t seq, uint64_t end, uint32_t bytes)
{
	if (partition >= SIM_PARTS || seq < c->seq_end[partition])
		return;
	c->seq_end[partition] = end;
	c->used_bytes += bytes;
	SIM_CHECK(s, c->used_bytes <= c->known_bytes, "the client sent %llu bytes, %llu are granted",
		(unsigned long long)c->used_bytes, (unsigned long long)c->known_bytes);
	SIM_CHECK(s, pkt_no < c->known_pkt || c->probes + k->shorts - c->shorts >= 2,
		"packet %llu is beyond the limit of %llu after %u probes (partition %u, sequence %llu, %u "
		"bytes)",
		(unsigned long long)pkt_no, (unsigned long long)c->known_pkt, c->probes, partition,
		(unsigned long long)seq, bytes);
	c->probes = 0;
	c->shorts = k->shorts;
}

/* No frame is larger than what a probe was answered for. */
static void from_client_size(struct sim *s, struct wconn *c, const struct kx_frame_view *v, uint32_t bytes)
{
	const struct kx_frag *f = (const struct kx_frag *)v->body;

	if (v->hdr->type == KX_MTU_PROBE) {
		c->proven = KX_MAX(c->proven, (uint32_t)((const struct kx_mtu *)v->body)->proven_bytes);
		SIM_CHECK(s, c->proven <= c->probed, "the client knows %u bytes to pass, %u were answered",
			c->proven, c->probed);
		return;
	}
	SIM_CHECK(s, bytes <= c->probed, "%s of %u bytes, probes were answered up to %u",
		kx_frame_type_name(v->hdr->type), bytes, c->probed);
	s->coverage.reached[REACHED_JUMBO_IN] += bytes > 8000;
	if (v->hdr->type == KX_PRODUCE_FRAG && f->frag_offset == 0)
		s->coverage.reached[REACHED_SPLIT_IN] +=
			((const struct kx_batch_hdr *)(f + 1))->record_count > 1;
}

/* One beyond the last message of a batch, from its beginning: the value of its first record is there. */
static uint64_t end_of(struct sim *s, const struct kx_batch_hdr *b, struct app_part **part)
{
	uint64_t head;

	memcpy(&head, (const uint8_t *)b + KX_BATCH_HDR_BYTES + sizeof(struct kx_record_hdr), sizeof(head));
	SIM_CHECK(s, head >> 48 < s->app_count && (head >> 40 & 0xff) < KX_DIM(s->apps[0]->parts),
		"a batch of nobody is sent");
	*part = &s->apps[head >> 48]->parts[head >> 40 & 0xff];
	return (head & 0xffffffffff) + b->record_count;
}

static void part_left(struct sim *s, struct wconn *c, const struct kx_frag *f)
{
	if (f->partition >= SIM_PARTS)
		return;
	if (f->frag_offset == 0) {
		c->parted_end[f->partition] =
			end_of(s, (const struct kx_batch_hdr *)(f + 1), &c->parted[f->partition]);
		c->parted_seq[f->partition] = f->first;
	}
	if (f->frag_offset + f->frag_bytes == f->batch_bytes && c->parted[f->partition] != NULL &&
		c->parted_seq[f->partition] == f->first)
		c->parted[f->partition]->left_end =
			KX_MAX(c->parted[f->partition]->left_end, c->parted_end[f->partition]);
}

static void produce(struct sim *s, const struct client *k, struct wconn *c, const struct kx_frame_view *v)
{
	const uint8_t *at = v->body;
	struct app_part *part;
	uint64_t end;

	if (v->hdr->type == KX_PRODUCE_FRAG) {
		const struct kx_frag *f = (const struct kx_frag *)v->body;

		part_left(s, c, f);
		produced(s, k, c, v->hdr->pkt_no, f->partition, f->first, f->first + 1, f->batch_bytes);
		return;
	}
	for (uint32_t i = 0; i < v->batch_count; i++) {
		const struct kx_batch_hdr *b = (const struct kx_batch_hdr *)at;

		produced(s, k, c, v->hdr->pkt_no, b->partition, b->first_seq, b->first_seq + b->record_count,
			b->batch_bytes);
		end = end_of(s, b, &part);
		part->left_end = KX_MAX(part->left_end, end);
		at += b->batch_bytes;
	}
}

void wire_from_client(struct sim *s, const struct client *k, const uint8_t *data, uint32_t bytes)
{
	struct kx_frame_view v;
	const uint8_t *plain = seal_look(s, data, &bytes, false);
	enum kx_drop drop;
	struct wconn *c;

	SIM_CHECK(s, plain != NULL, "client %u: %s in a session it was not accepted to", k->index,
		kx_frame_type_name(data[1]));
	drop = plain == data ? kx_frame_check(data, bytes, KX_FROM_CLIENT, &v)
			     : kx_frame_check_opened(plain, bytes, KX_FROM_CLIENT, &v);
	SIM_CHECK(s, drop == KX_DROP_NONE, "client %u sent a %s that is bad: %s", k->index,
		kx_frame_type_name(data[1]), kx_drop_key(drop));
	s->coverage.to_broker[v.hdr->type]++;
	if (v.hdr->pkt_no == 0)
		return;
	c = conn_of(s, v.hdr->conn_id);
	SIM_CHECK(s, c != NULL, "client %u: %s in a session it was not accepted to", k->index,
		kx_frame_type_name(v.hdr->type));
	numbers(s, c, v.hdr, 0);
	if (v.hdr->type == KX_SUBSCRIBE)
		subscribe(c, (const struct kx_subscribe *)v.body);
	else if (v.hdr->type == KX_CREDIT)
		credit(s, k, c, (const struct kx_receipt *)v.body);
	c->client = k->index;
	c->probes += v.hdr->type == KX_HEARTBEAT && (v.hdr->flags & KX_FLAG_MORE);
	from_client_size(s, c, &v, bytes);
	if (v.hdr->type == KX_PRODUCE || v.hdr->type == KX_PRODUCE_FRAG)
		produce(s, k, c, &v);
}

/* ---- where they arrive */

/* The session of a frame that can be read here; NULL: there is none, or the frame says nothing of credit. */
static struct wconn *arrived(
	struct sim *s, const uint8_t *data, uint32_t bytes, enum kx_side from, struct kx_frame_view *v)
{
	const struct kx_frame_hdr *h = (const struct kx_frame_hdr *)data;

	if (bytes < sizeof(*h))
		return NULL;
	if (kx_unlikely(kx_frame_protected(data, bytes)))
		return NULL;
	return kx_frame_check(data, bytes, from, v) == KX_DROP_NONE ? conn_of(s, h->conn_id) : NULL;
}

void wire_client_took(struct sim *s, struct client *k, const uint8_t *data, uint32_t bytes, uint32_t lcore)
{
	const struct kx_receipt *r;
	struct kx_frame_view v;
	struct wconn *c;

	if (bytes < 2 || (data[1] != KX_RX_ACK && data[1] != KX_COMMIT_ACK && data[1] != KX_HEARTBEAT))
		return;
	c = arrived(s, data, bytes, KX_FROM_BROKER, &v);
	if (c == NULL)
		return;
	r = (const struct kx_receipt *)v.body;
	c->known_pkt = KX_MAX(c->known_pkt, r->limit_pkt);
	c->known_bytes = KX_MAX(c->known_bytes, r->limit_bytes);
	throttle_took(k, lcore, r->blocked);
}

void wire_broker_took(struct sim *s, const uint8_t *data, uint32_t bytes)
{
	const struct kx_credit_entry *e;
	const struct kx_receipt *r;
	struct kx_frame_view v;
	struct wconn *c;

	if (bytes < 2 || data[1] != KX_CREDIT)
		return;
	c = arrived(s, data, bytes, KX_FROM_CLIENT, &v);
	if (c == NULL || c->raw)
		return;
	r = (const struct kx_receipt *)v.body;
	e = (const struct kx_credit_entry *)(r + 1);
	for (uint32_t i = 0; i < r->entry_count; i++) {
		struct wsub *w = sub_of(c, e[i].sub_id);

		if (w == NULL)
			continue;
		w->limit_bytes = KX_MAX(w->limit_bytes, e[i].limit_bytes);
		w->next_offset = KX_MAX(w->next_offset, e[i].next_offset);
	}
}
