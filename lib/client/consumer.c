/* SPDX-License-Identifier: BSD-3-Clause */
/* A consumer: open, metadata, subscriptions, close. */
#include <stdlib.h>

#include "client_pvt.h"

#define WINDOW_DEFAULT (256u << 10)
#define HOLDS_MIN      256
#define LARGE_DEFAULT  ((1u << 20) + 4096)
#define WINDOW_MIN     4096

static bool opts_ok(const struct kx_consumer_opts *o)
{
	if (o->topic == NULL || o->topic[0] == '\0' || strlen(o->topic) > KX_TOPIC_NAME_MAX)
		return false;
	if (o->partition < KX_PARTITION_ALL || o->partition > UINT16_MAX)
		return false;
	if ((o->on_batch == NULL) != o->polled || (o->window_bytes != 0 && o->window_bytes < WINDOW_MIN))
		return false;
	if (o->window_bytes > 1u << 30 || o->hold_frames > 1u << 20)
		return false;
	if (o->hold_bytes != 0 &&
		(o->hold_bytes < KX_DATAGRAM_MIN_BYTES || o->hold_bytes > KX_FRAME_MAX_BYTES))
		return false;
	return o->large_bytes <= KX_BATCH_MAX_BYTES && o->partitions_max <= 65536;
}

static void take_opts(struct kx_consumer *c, const struct kx_consumer_opts *opts)
{
	struct kx_consumer_opts *o = &c->opts;

	*o = *opts;
	memcpy(c->topic, opts->topic, strlen(opts->topic));
	o->topic = c->topic;
	if (o->hold_bytes == 0)
		o->hold_bytes = KX_DATAGRAM_DEFAULT_V4;
	o->hold_bytes = (uint32_t)kx_align8(o->hold_bytes);
	if (o->large_bytes == 0)
		o->large_bytes = LARGE_DEFAULT;
	o->large_bytes = (uint32_t)kx_align8(o->large_bytes);
	c->window = o->window_bytes != 0 ? o->window_bytes : WINDOW_DEFAULT;
	if (o->hold_frames == 0) /* a window of full frames behind a hole */
		o->hold_frames = KX_MAX(c->window / 1024, HOLDS_MIN);
	if (o->polled) {
		c->window = KX_MAX(c->window, o->large_bytes);
		c->ring_bytes = (uint32_t)kx_align8(2ull * KX_MAX(c->window, KX_FRAME_MAX_BYTES));
		c->ring_count = o->partition != KX_PARTITION_ALL ? 1
			: o->partitions_max != 0		 ? o->partitions_max
								 : c->client->opts.subscriptions_max;
	}
}

static bool buffers_alloc(struct kx_consumer *c)
{
	const struct kx_consumer_opts *o = &c->opts;
	size_t words = o->large_bytes / KX_PART_MIN_BYTES / 64 + 1;

	c->subs = calloc(c->client->opts.subscriptions_max, sizeof(*c->subs));
	c->holds = calloc(o->hold_frames, sizeof(*c->holds));
	c->hold_memory = malloc((size_t)o->hold_frames * o->hold_bytes);
	c->reasm_bits = calloc(REASSEMBLIES * words, sizeof(*c->reasm_bits));
	c->reasm_memory = malloc((size_t)REASSEMBLIES * o->large_bytes);
	if (o->polled)
		c->rings = malloc((size_t)c->ring_count * c->ring_bytes);
	if ((o->polled && c->rings == NULL) || c->subs == NULL || c->holds == NULL ||
		c->hold_memory == NULL || c->reasm_bits == NULL || c->reasm_memory == NULL)
		return false;
	c->hold_free_count = o->hold_frames;
	for (uint32_t i = 0; i < o->hold_frames; i++)
		c->holds[i].next = i + 1 < o->hold_frames ? i + 1 : NONE;
	for (uint32_t i = 0; i < REASSEMBLIES; i++) {
		c->reasm[i].bits = c->reasm_bits + i * words;
		c->reasm[i].data = c->reasm_memory + (size_t)i * o->large_bytes;
	}
	return true;
}

/* A free subscription. */
static struct sub *sub_take(struct kx_consumer *c)
{
	struct kx_client *client = c->client;

	for (uint32_t i = 0; i < client->opts.subscriptions_max; i++) {
		struct sub *s = &client->subs[i];

		if (s->consumer != NULL)
			continue;
		if (c->rings != NULL && c->sub_count == c->ring_count)
			return NULL;
		*s = (struct sub){.consumer = c, .held_head = NONE, .held_tail = NONE};
		if (c->rings != NULL)
			s->ring = c->rings + (size_t)c->sub_count * c->ring_bytes;
		c->subs[c->sub_count++] = i;
		return s;
	}
	return NULL;
}

void kxc_consumer_free(struct kx_consumer *c)
{
	struct kx_client *client = c->client;

	kxc_request_end(&c->meta);
	for (uint32_t i = 0; i < c->sub_count; i++) {
		struct sub *s = &client->subs[c->subs[i]];

		kxc_sub_detach(s);
		*s = (struct sub){0};
	}
	client->consumers[c->index] = NULL;
	free(c->rings);
	free(c->subs);
	free(c->holds);
	free(c->hold_memory);
	free(c->reasm_bits);
	free(c->reasm_memory);
	free(c);
}

enum kx_result kx_consumer_open(struct kx_client *client, const struct kx_consumer_opts *opts,
	uint64_t now_ns, struct kx_consumer **out)
{
	struct kx_consumer *c;
	uint32_t index = 0;

	if (client == NULL || opts == NULL || out == NULL || !opts_ok(opts))
		return KX_BAD_ARGUMENT;
	while (index < client->opts.consumers_max && client->consumers[index] != NULL)
		index++;
	if (index == client->opts.consumers_max)
		return KX_NO_MEMORY;
	c = calloc(1, sizeof(*c));
	if (c == NULL)
		return KX_NO_MEMORY;
	c->client = client;
	c->index = index;
	client->consumers[index] = c;
	take_opts(c, opts);
	if (!buffers_alloc(c)) {
		kxc_consumer_free(c);
		return KX_NO_MEMORY;
	}
	if (client->connected)
		kxc_consumer_ask(c, now_ns);
	*out = c;
	return KX_OK;
}

/* Told once. When it is lost the broker names the subscription in its heartbeats, and is told again then. */
void kxc_sub_unsubscribe(struct channel *ch, uint32_t sub_id, uint64_t now_ns)
{
	struct out o;

	if (ch->state != CH_OPEN ||
		!kxc_channel_begin(ch, KX_UNSUBSCRIBE, sizeof(struct kx_unsubscribe), now_ns, &o))
		return;
	*(struct kx_unsubscribe *)o.body = (struct kx_unsubscribe){.request_id = sub_id, .sub_id = sub_id};
	kxc_channel_send(ch, &o, sizeof(struct kx_unsubscribe), now_ns);
}

static void unsubscribe(struct sub *s, uint64_t now_ns)
{
	if ((s->state == SUB_ACTIVE || s->state == SUB_ASKING || s->state == SUB_SEEK) && s->ch != NULL)
		kxc_sub_unsubscribe(s->ch, s->id, now_ns);
}

/* Go on at `offset` with a new subscription: what the old one was sent and never came can no longer be told
 * from what was not sent, so that its credit cannot be settled. */
void kxc_sub_restart(struct sub *s, uint64_t offset, uint64_t now_ns)
{
	bool was_ready = s->consumer->was_ready;

	unsubscribe(s, now_ns);
	kxc_sub_wait(s);
	s->consumer->was_ready = was_ready;
	s->want = s->next_offset = offset;
	s->log_end = KX_MAX(s->log_end, offset);
	s->ch->ask_due_ns = 0;
	channel_ready(s->ch);
}

enum kx_result kx_consumer_close(struct kx_consumer *c, uint64_t now_ns)
{
	if (c == NULL)
		return KX_OK;
	if (c->client->hub->in_callback != 0)
		return KX_IN_CALLBACK;
	for (uint32_t i = 0; i < c->sub_count; i++)
		unsubscribe(&c->client->subs[c->subs[i]], now_ns);
	c->client->hub->ops->flush(c->client->hub->tx);
	kxc_consumer_free(c);
	return KX_OK;
}

static void failed(struct kx_consumer *c, enum kx_result why, uint32_t code)
{
	if (c->state == OPEN_FAILED)
		return;
	c->state = OPEN_FAILED;
	kxc_client_event(c->client,
		&(struct kx_event){
			.type = KX_EVENT_CONSUMER_FAILED, .result = why, .code = code, .consumer = c});
}

/* ---- metadata -> subscriptions */

/* Subscriptions are in the order of partitions. */
static struct sub *sub_for(struct kx_consumer *c, uint32_t index)
{
	uint32_t i = c->opts.partition == KX_PARTITION_ALL ? index : 0;

	if (i < c->sub_count)
		return &c->client->subs[c->subs[i]];
	return i == c->sub_count ? sub_take(c) : NULL;
}

static bool take_partition(struct kx_consumer *c, const struct kx_metadata *m,
	const struct kx_metadata_entry *e, uint64_t now_ns)
{
	struct sub *s = sub_for(c, e->index);
	uint32_t lcore = (uint32_t)e->owner_port - c->client->info.base_port;
	struct channel *ch;

	if (s == NULL || lcore >= c->client->info.lcore_count)
		return false;
	ch = kxc_client_channel(c->client, lcore, now_ns);
	if (ch == NULL)
		return false;
	s->index = e->index;
	s->partition = e->partition;
	s->lcore = lcore;
	s->durable = m->durability > KX_MEMORY;
	if (s->state == SUB_FREE) {
		s->want = c->opts.start_offset;
		s->next_offset = UINT64_MAX;
	}
	s->state = SUB_WAIT;
	c->active_count++; /* here: how many there are */
	kxc_sub_attach(s, ch);
	ch->ask_due_ns = 0;
	channel_ready(ch);
	return true;
}

static void answered(struct request *r, enum kx_result result, const struct kx_frame_view *v, uint64_t now_ns)
{
	struct kx_consumer *c = r->owner;
	const struct kx_metadata *m;
	const struct kx_metadata_entry *e;

	if (c->state != OPEN_META)
		return;
	if (result == KX_TIMED_OUT || result == KX_NOT_CONNECTED) {
		if (c->client->connected)
			kxc_consumer_ask(c, now_ns);
		return;
	}
	m = v != NULL ? (const struct kx_metadata *)v->body : NULL;
	if (result != KX_OK || m == NULL) {
		failed(c, result, m != NULL ? m->code : 0);
		return;
	}
	if (c->opts.partition >= m->partition_count) {
		failed(c, KX_UNKNOWN_PARTITION, 0);
		return;
	}
	e = (const struct kx_metadata_entry *)(m + 1);
	for (uint32_t i = 0; i < m->entry_count; i++) {
		if (c->opts.partition != KX_PARTITION_ALL && c->opts.partition != (int32_t)e[i].index)
			continue;
		if (!take_partition(c, m, &e[i], now_ns)) {
			failed(c, KX_NO_MEMORY, 0);
			return;
		}
	}
	if ((uint32_t)m->first_index + m->entry_count >= m->partition_count)
		c->state = OPEN_READY; /* READY is told when all of them are subscribed */
}

void kxc_consumer_ask(struct kx_consumer *c, uint64_t now_ns)
{
	kxc_request_end(&c->meta);
	c->active_count = 0;
	memcpy(c->meta.topic, c->topic, sizeof(c->topic));
	c->meta.answered = answered;
	c->meta.owner = c;
	kxc_request_start(&c->meta, c->client, REQ_METADATA, 30 * KX_NS_PER_S, now_ns);
}

void kxc_consumer_session_lost(struct kx_consumer *c, bool new_boot, uint64_t now_ns)
{
	(void)now_ns;
	for (uint32_t i = 0; i < c->sub_count; i++) {
		struct sub *s = &c->client->subs[c->subs[i]];

		if (s->state == SUB_FREE)
			continue;
		kxc_sub_wait(s);
		kxc_sub_detach(s);
		/* what a broker kept in memory only is gone, its offsets begin again */
		s->reset_position |= new_boot && !s->durable && s->next_offset != UINT64_MAX;
	}
	c->told_waiting = false;
	if (c->state != OPEN_FAILED)
		c->state = OPEN_META;
}

/* ---- a subscription and its channel */

void kxc_sub_attach(struct sub *s, struct channel *ch)
{
	kxc_sub_detach(s);
	s->ch = ch;
	s->in_channel = true;
	s->ch_prev = NULL;
	s->ch_next = ch->subs;
	if (s->ch_next != NULL)
		s->ch_next->ch_prev = s;
	ch->subs = s;
}

static void unlist(struct sub **at, struct sub *s, size_t next_at)
{
	while (*at != NULL && *at != s)
		at = (struct sub **)((char *)*at + next_at);
	if (*at == s)
		*at = *(struct sub **)((char *)s + next_at);
}

void kxc_sub_detach(struct sub *s)
{
	struct channel *ch = s->ch;

	if (!s->in_channel)
		return;
	if (s->credit_listed)
		unlist(&ch->credit_head, s, offsetof(struct sub, credit_next));
	if (s->gap_listed)
		unlist(&ch->gap_head, s, offsetof(struct sub, gap_next));
	s->credit_listed = s->gap_listed = s->in_channel = false;
	if (s->ch_prev != NULL)
		s->ch_prev->ch_next = s->ch_next;
	else
		ch->subs = s->ch_next;
	if (s->ch_next != NULL)
		s->ch_next->ch_prev = s->ch_prev;
	s->ch = NULL;
}

/* Nothing is said of it before it is subscribed again. */
void kxc_credit_forget(struct sub *s)
{
	if (s->ch != NULL && s->credit_listed)
		unlist(&s->ch->credit_head, s, offsetof(struct sub, credit_next));
	s->credit_listed = false;
}

/* Its session is gone, or never was: ask again where we are. The lists of the channel are emptied by the
 * caller, or pass over it. */
void kxc_sub_wait(struct sub *s)
{
	if (s->state != SUB_ACTIVE && s->state != SUB_ASKING && s->state != SUB_SEEK)
		return;
	if (s->state == SUB_ACTIVE)
		s->want = s->next_offset;
	else if (s->state == SUB_SEEK)
		s->next_offset = s->seek_to;
	kxc_deliver_drop_held(s);
	kxc_credit_forget(s);
	if (s->ch != NULL && s->gap_listed)
		unlist(&s->ch->gap_head, s, offsetof(struct sub, gap_next));
	s->gap_listed = false;
	s->state = SUB_WAIT;
	s->consumer->was_ready = false;
}

struct sub *kxc_sub_find(struct kx_client *c, uint32_t sub_id)
{
	uint32_t i = sub_id & 0xffff;

	if (i >= c->opts.subscriptions_max || c->subs[i].id != sub_id || c->subs[i].consumer == NULL)
		return NULL;
	return &c->subs[i];
}

static bool subscribe(struct sub *s, uint64_t now_ns)
{
	struct kx_client *c = s->consumer->client;
	uint32_t i = (uint32_t)(s - c->subs);
	struct out o;

	if (s->state == SUB_WAIT) {
		c->sub_gen[i] = c->sub_gen[i] < 0xffff ? c->sub_gen[i] + 1 : 1;
		s->id = c->sub_gen[i] << 16 | i;
		s->taken_bytes = 0;
		s->limit_bytes = sub_window(s);
		s->asks = s->no_place = 0;
	}
	if (!kxc_channel_begin(s->ch, KX_SUBSCRIBE, sizeof(struct kx_subscribe), now_ns, &o))
		return false;
	*(struct kx_subscribe *)o.body = (struct kx_subscribe){.request_id = s->id,
		.partition = s->partition,
		.start_offset = s->reset_position ? KX_OFFSET_EARLIEST : s->want,
		.limit_bytes = s->limit_bytes,
		.sub_id = s->id};
	kxc_channel_send(s->ch, &o, sizeof(struct kx_subscribe), now_ns);
	s->state = SUB_ASKING;
	s->ask_ns = now_ns + KX_MIN(REQUEST_FIRST << KX_MIN(s->asks, 8u), REQUEST_SLOW);
	s->asks++;
	return true;
}

unsigned int kxc_subs_service(struct channel *ch, uint64_t now_ns)
{
	unsigned int n = 0;

	ch->ask_due_ns = UINT64_MAX;
	for (struct sub *s = ch->subs; s != NULL; s = s->ch_next) {
		kxc_seek_service(s, now_ns);
		if (s->state != SUB_WAIT && s->state != SUB_ASKING)
			continue;
		if (s->state == SUB_WAIT || now_ns >= s->ask_ns) {
			if (n == ch->hub->opts.tx_burst || !subscribe(s, now_ns)) {
				ch->ask_due_ns = now_ns + MS;
				break;
			}
			n++;
		}
		ch->ask_due_ns = KX_MIN(ch->ask_due_ns, s->ask_ns);
	}
	return n;
}

/* What was acknowledged beyond it was of what is gone. */
static void truncated(struct sub *s, uint64_t to)
{
	s->done_offset = KX_MIN(s->done_offset, to);
	s->ring_old = s->ring_head;
	kxc_client_event(s->consumer->client,
		&(struct kx_event){.type = KX_EVENT_OFFSET_TRUNCATED,
			.consumer = s->consumer,
			.partition = s->index,
			.first = to});
}

/* Others may leave: asked again, and the application knows why it waits. */
static void no_place(struct sub *s, uint32_t code, uint64_t now_ns)
{
	struct kx_consumer *c = s->consumer;

	s->ask_ns = now_ns + KX_MIN(REQUEST_SLOW << KX_MIN(s->no_place, 8u), PLACE_MAX);
	s->no_place++;
	c->was_ready = false; /* told again when it is */
	if (c->told_waiting)
		return;
	c->told_waiting = true;
	kxc_client_event(c->client,
		&(struct kx_event){.type = KX_EVENT_CONSUMER_WAITING,
			.result = KX_REFUSED,
			.code = code,
			.consumer = c,
			.partition = s->index});
}

static void refused(struct channel *ch, struct sub *s, const struct kx_subscribed *b, uint64_t now_ns)
{
	if (b->code == KX_CODE_OFFSET_OUT_OF_RANGE && s->next_offset != UINT64_MAX) {
		/* a position we had is beyond the end now: what lay there was retracted */
		s->state = SUB_WAIT;
		s->want = s->next_offset = b->next_offset;
		truncated(s, b->next_offset);
		ch->ask_due_ns = now_ns;
		return;
	}
	if (b->code == KX_CODE_STOPPING || b->code == KX_CODE_SUBS_FULL || b->code == KX_CODE_BUSY) {
		no_place(s, b->code, now_ns);
		return;
	}
	s->state = SUB_FAILED;
	failed(s->consumer, b->code == KX_CODE_UNKNOWN_PARTITION ? KX_UNKNOWN_PARTITION : KX_REFUSED,
		b->code);
}

void kxc_sub_subscribed(struct channel *ch, const struct kx_subscribed *b, uint64_t now_ns)
{
	struct sub *s = kxc_sub_find(ch->client, b->sub_id);
	struct kx_consumer *c;
	uint64_t had;

	if (s == NULL || s->ch != ch || s->state != SUB_ASKING || b->partition != s->partition)
		return;
	if (b->code != KX_CODE_OK) {
		refused(ch, s, b, now_ns);
		return;
	}
	c = s->consumer;
	had = s->next_offset != UINT64_MAX ? s->next_offset : s->want;
	if (s->reset_position) { /* the offsets of the log that is gone mean nothing in this one */
		s->reset_position = false;
		s->want = had = 0;
		truncated(s, 0);
	}
	s->state = SUB_ACTIVE;
	s->no_place = 0;
	s->log_epoch = b->log_epoch;
	/* from inside a batch on: the batch comes whole */
	s->next_offset = s->want <= b->next_offset ? KX_MAX(b->start_offset, s->want) : b->start_offset;
	s->sent_end = s->begin_offset = s->next_offset;
	s->log_end = b->next_offset;
	s->hole_top = s->nak_pkt = 0;
	if (s->asks == 1)
		kx_rtt_sample(&ch->rtt, now_ns - (s->ask_ns - REQUEST_FIRST));
	if (b->start_offset > had) { /* had: also the offset that was asked for first */
		c->client->stats.trimmed_messages += b->start_offset - had;
		kxc_client_event(c->client,
			&(struct kx_event){.type = KX_EVENT_OFFSET_TRIMMED,
				.consumer = c,
				.partition = s->index,
				.first = had,
				.last = b->start_offset - 1});
	}
	if (c->was_ready || c->state != OPEN_READY)
		return;
	for (uint32_t i = 0; i < c->active_count; i++)
		if (c->client->subs[c->subs[i]].state != SUB_ACTIVE)
			return;
	c->was_ready = true;
	c->told_waiting = false;
	kxc_client_event(c->client,
		&(struct kx_event){.type = KX_EVENT_CONSUMER_READY, .consumer = c, .count = c->active_count});
}

/* ---- looking */

struct sub *kxc_consumer_sub(const struct kx_consumer *c, uint32_t partition)
{
	for (uint32_t i = 0; i < c->sub_count; i++) {
		struct sub *s = &c->client->subs[c->subs[i]];

		if (s->state != SUB_FREE && s->index == partition)
			return s;
	}
	return NULL;
}

uint64_t kx_consumer_position(const struct kx_consumer *c, uint32_t partition)
{
	const struct sub *s = kxc_consumer_sub(c, partition);

	return s != NULL ? kxc_sub_position(s) : UINT64_MAX;
}

uint64_t kx_consumer_end(const struct kx_consumer *c, uint32_t partition)
{
	const struct sub *s = kxc_consumer_sub(c, partition);

	return s != NULL ? s->log_end : 0;
}

uint32_t kx_consumer_partitions(const struct kx_consumer *c)
{
	return c->was_ready ? c->active_count : 0;
}
