/* SPDX-License-Identifier: BSD-3-Clause */
/* A producer: open, metadata, close. */
#include <stdlib.h>

#include "client_pvt.h"

#define SLOTS_DEFAULT	   1024
#define PARTITIONS_DEFAULT 256

static bool topic_ok(const char *topic)
{
	return topic != NULL && topic[0] != '\0' && strlen(topic) <= KX_TOPIC_NAME_MAX;
}

static bool opts_ok(const struct kx_producer_opts *o)
{
	if (!topic_ok(o->topic) || o->level > KX_REPLICATED || (o->polled && o->on_complete != NULL))
		return false;
	if (o->batch_bytes != 0 && o->batch_bytes < KX_BATCH_MIN_BYTES)
		return false;
	if (o->send_slots == 1 || o->send_slots > 1u << 20 || o->partitions_max > 65535)
		return false;
	if (o->slot_bytes != 0 &&
		(o->slot_bytes < KX_DATAGRAM_MIN_BYTES || o->slot_bytes > KX_FRAME_MAX_BYTES))
		return false;
	return o->large_bytes <= 1u << 30;
}

static void take_opts(struct kx_producer *p, const struct kx_producer_opts *opts)
{
	struct kx_producer_opts *o = &p->opts;

	*o = *opts;
	memcpy(p->topic, opts->topic, strlen(opts->topic));
	o->topic = p->topic;
	if (o->send_slots == 0)
		o->send_slots = SLOTS_DEFAULT;
	if (o->slot_bytes == 0)
		o->slot_bytes = KX_DATAGRAM_DEFAULT_V4;
	o->slot_bytes = (uint32_t)kx_align8(o->slot_bytes);
	o->large_bytes &= ~7u;
	if (o->partitions_max == 0)
		o->partitions_max = PARTITIONS_DEFAULT;
}

static void buffers_free(struct kx_producer *p)
{
	free(p->slots);
	free(p->memory);
	free(p->large_memory);
	free(p->done);
	p->slots = NULL;
	p->memory = p->large_memory = NULL;
	p->done = NULL;
	p->slots_free = NONE;
	p->slots_free_count = p->done_head = p->done_count = 0;
}

void kxc_producer_free(struct kx_producer *p)
{
	struct kx_client *c = p->client;

	kxc_request_end(&p->meta);
	kxc_timer_stop(&c->hub->timers, &p->timer);
	c->producers[p->index] = NULL;
	kx_map_fini(&p->by_id);
	free(p->parts);
	buffers_free(p);
	free(p);
}

static bool buffers_alloc(struct kx_producer *p)
{
	const struct kx_producer_opts *o = &p->opts;

	p->slots = calloc(o->send_slots, sizeof(*p->slots));
	p->memory = aligned_alloc(KX_CACHE_LINE,
		((size_t)o->send_slots * o->slot_bytes + KX_CACHE_LINE - 1) / KX_CACHE_LINE * KX_CACHE_LINE);
	p->large_memory = o->large_bytes > 0 ? malloc(o->large_bytes) : NULL;
	p->done = o->polled ? calloc(o->send_slots, sizeof(*p->done)) : NULL;
	if (p->slots == NULL || p->memory == NULL || (o->large_bytes > 0 && p->large_memory == NULL) ||
		(o->polled && p->done == NULL))
		return false;
	p->slots_free = NONE;
	p->slots_free_count = 0;
	for (uint32_t i = o->send_slots; i-- > 0;) {
		p->slots[i].large = NONE;
		kxc_slot_free(p, i);
	}
	return true;
}

/* The producer of this topic that was closed before, all confirmed: its sequences go on. */
static struct kx_producer *find_topic(struct kx_client *c, const char *topic)
{
	for (uint32_t i = 0; i < c->opts.producers_max; i++)
		if (c->producers[i] != NULL && strcmp(c->producers[i]->topic, topic) == 0)
			return c->producers[i];
	return NULL;
}

static uint32_t free_index(const struct kx_client *c)
{
	for (uint32_t i = 0; i < c->opts.producers_max; i++)
		if (c->producers[i] == NULL)
			return i;
	return NONE;
}

static struct kx_producer *create(struct kx_client *c, const struct kx_producer_opts *opts)
{
	struct kx_producer *p = calloc(1, sizeof(*p));

	if (p == NULL)
		return NULL;
	p->client = c;
	p->index = free_index(c);
	p->timer.kind = TIMER_PRODUCER;
	c->producers[p->index] = p;
	take_opts(p, opts);
	p->parts = calloc(p->opts.partitions_max, sizeof(*p->parts));
	if (p->parts == NULL || kx_map_init(&p->by_id, p->opts.partitions_max) != 0 || !buffers_alloc(p)) {
		kxc_producer_free(p);
		return NULL;
	}
	return p;
}

/* Open again what was closed: its partitions stay as they are. */
static enum kx_result reopen(struct kx_producer *p, const struct kx_producer_opts *opts)
{
	uint32_t partitions_max = p->opts.partitions_max;

	if (!p->closed || p->state == OPEN_FAILED || p->pending > 0)
		return KX_IN_USE;
	if (opts->partitions_max > partitions_max)
		return KX_BAD_ARGUMENT;
	take_opts(p, opts);
	p->opts.partitions_max = partitions_max;
	if (!buffers_alloc(p)) {
		buffers_free(p);
		return KX_NO_MEMORY;
	}
	p->large_first = p->large_count = 0;
	p->large_head = 0;
	p->closed = false;
	p->state = OPEN_META;
	return KX_OK;
}

enum kx_result kx_producer_open(
	struct kx_client *c, const struct kx_producer_opts *opts, uint64_t now_ns, struct kx_producer **out)
{
	struct kx_producer *p;
	enum kx_result r;

	if (c == NULL || opts == NULL || out == NULL || !opts_ok(opts))
		return KX_BAD_ARGUMENT;
	if (c->fenced)
		return KX_FENCED;
	p = find_topic(c, opts->topic);
	if (p != NULL) {
		r = reopen(p, opts);
		if (r != KX_OK)
			return r;
	} else {
		p = free_index(c) != NONE ? create(c, opts) : NULL;
		if (p == NULL)
			return KX_NO_MEMORY;
	}
	if (c->connected)
		kxc_producer_ask(p, now_ns);
	*out = p;
	return KX_OK;
}

enum kx_result kx_producer_close(struct kx_producer *p, uint64_t now_ns)
{
	bool broken;

	if (p == NULL)
		return KX_OK;
	if (p->client->hub->in_callback != 0)
		return KX_IN_CALLBACK;
	broken = p->pending > 0;
	p->closed = true;
	p->state = OPEN_META; /* callbacks cannot send */
	p->client->hub->in_callback++;
	kx_producer_cancel(p);
	for (uint32_t i = 0; i < p->part_count; i++) {
		kxc_resume_never(&p->parts[i]);
		kxc_part_fail(&p->parts[i], KX_CLOSED, 0, now_ns);
	}
	p->client->hub->in_callback--;
	kxc_request_end(&p->meta);
	buffers_free(p);
	/* sequences that never came would keep later ones waiting: this topic is over for this client */
	p->state = broken ? OPEN_FAILED : OPEN_META;
	return KX_OK;
}

static void failed(struct kx_producer *p, enum kx_result why, uint32_t code, uint64_t now_ns)
{
	p->state = OPEN_FAILED;
	for (uint32_t i = 0; i < p->part_count; i++) {
		kxc_resume_in_vain(&p->parts[i], now_ns);
		kxc_part_fail(&p->parts[i], why, code, now_ns);
	}
	kxc_client_event(p->client,
		&(struct kx_event){
			.type = KX_EVENT_PRODUCER_FAILED, .result = why, .code = code, .producer = p});
}

static bool take_partition(struct kx_producer *p, const struct kx_metadata_entry *e)
{
	struct part *part = &p->parts[e->index];
	uint32_t lcore = (uint32_t)e->owner_port - p->client->info.base_port;

	if (lcore >= p->client->info.lcore_count)
		return false;
	if (e->index >= p->part_count) {
		*part = (struct part){.producer = p,
			.index = e->index,
			.head = NONE,
			.tail = NONE,
			.unsent = NONE,
			.open_slot = NONE};
		p->part_count = e->index + 1;
	}
	part->id = e->partition;
	part->lcore = lcore;
	part->log_epoch = e->log_epoch;
	if (part->offset_end == 0)
		part->offset_opened = e->next_offset;
	return kx_map_put(&p->by_id, (uint64_t)e->partition + 1, e->index) == 0;
}

/* Room for a batch in a frame of `datagram_bytes`: also in one of a later session, which may be protected
 * when this one is not. */
static uint32_t batch_room(const struct kx_client *c, uint32_t datagram_bytes)
{
	return datagram_bytes - FRAME_HDR - (client_may_protect(c) ? KX_TAG_BYTES : 0);
}

static void take_sizes(struct kx_producer *p)
{
	const struct kx_client *c = p->client;

	p->batch_limit = KX_MIN(p->opts.slot_bytes, batch_room(c, c->datagram_most)) & ~7u;
	if (p->opts.batch_bytes != 0)
		p->batch_limit = KX_MIN(p->batch_limit, p->opts.batch_bytes & ~7u);
	p->batch_max = KX_MIN(p->batch_limit, batch_room(c, c->datagram_bytes) & ~7u);
}

void kxc_client_resized(struct kx_client *c)
{
	uint32_t now = UINT32_MAX, most = UINT32_MAX;

	for (uint32_t i = 0; i < c->opts.channels_max; i++) {
		const struct channel *ch = &c->channels[i];

		if (ch->state != CH_OPEN)
			continue;
		now = KX_MIN(now, ch->datagram_bytes);
		most = KX_MIN(most, ch->mtu.most);
	}
	c->datagram_bytes = now;
	c->datagram_most = most;
	c->info.datagram_bytes = c->channels[0].datagram_bytes;
	for (uint32_t i = 0; i < c->opts.producers_max; i++)
		if (c->producers[i] != NULL)
			take_sizes(c->producers[i]);
}

void kxc_producer_resumed(struct kx_producer *p)
{
	if (p->state != OPEN_RESUME)
		return;
	for (uint32_t i = 0; i < p->part_count; i++)
		if (p->parts[i].resume)
			return;
	p->state = OPEN_READY;
	kxc_client_event(p->client,
		&(struct kx_event){.type = KX_EVENT_PRODUCER_READY, .producer = p, .count = p->part_count});
}

/* What was sent under another identity is asked about; what never was gets the one of now. */
static void resume_part(struct part *part, bool there, uint64_t now_ns)
{
	if (part->head == NONE && part->open_slot == NONE && !part->resume)
		return;
	part->ch = there ? kxc_client_channel(part->producer->client, part->lcore, now_ns) : NULL;
	if (part->ch == NULL) {
		kxc_resume_in_vain(part, now_ns);
		kxc_part_fail(part, there ? KX_NO_TICKET : KX_REFUSED, there ? 0 : KX_CODE_UNKNOWN_PARTITION,
			now_ns);
		kxc_part_restamp(part); /* sequences begin anew for what may come later */
	} else if (part->resume) {
		kxc_resume_ask(part);
	} else {
		kxc_part_restamp(part);
		kxc_part_requeue(part);
	}
}

static void resume(struct kx_producer *p, const struct kx_metadata *m, uint64_t now_ns)
{
	for (uint32_t i = 0; i < p->part_count; i++)
		resume_part(&p->parts[i], i < m->partition_count, now_ns);
	kxc_producer_resumed(p);
}

static void ready(struct kx_producer *p, const struct kx_metadata *m, uint64_t now_ns)
{
	if (p->opts.level > m->durability) {
		failed(p, KX_BAD_ARGUMENT, 0, now_ns);
		return;
	}
	p->level = p->opts.level != 0 ? p->opts.level : m->durability;
	p->max_message_bytes = m->max_message_bytes;
	take_sizes(p);
	p->state = OPEN_RESUME;
	resume(p, m, now_ns);
}

static void answered(struct request *r, enum kx_result result, const struct kx_frame_view *v, uint64_t now_ns)
{
	struct kx_producer *p = r->owner;
	const struct kx_metadata *m;
	const struct kx_metadata_entry *e;

	if (p->state != OPEN_META || p->closed)
		return;
	if (result == KX_TIMED_OUT || result == KX_NOT_CONNECTED) {
		if (p->client->connected)
			kxc_producer_ask(p, now_ns);
		return;
	}
	m = v != NULL ? (const struct kx_metadata *)v->body : NULL;
	if (result != KX_OK || m == NULL) {
		failed(p, result, m != NULL ? m->code : 0, now_ns);
		return;
	}
	if (m->partition_count > p->opts.partitions_max) {
		failed(p, KX_NO_MEMORY, 0, now_ns);
		return;
	}
	e = (const struct kx_metadata_entry *)(m + 1);
	for (uint32_t i = 0; i < m->entry_count; i++) {
		if (!take_partition(p, &e[i])) {
			failed(p, KX_REFUSED, KX_CODE_BAD_REQUEST, now_ns);
			return;
		}
	}
	p->meta_seen += m->entry_count;
	if (p->meta_seen >= m->partition_count)
		ready(p, m, now_ns);
}

void kxc_producer_ask(struct kx_producer *p, uint64_t now_ns)
{
	if (p->closed)
		return;
	kxc_request_end(&p->meta);
	p->meta_seen = 0;
	memcpy(p->meta.topic, p->topic, sizeof(p->topic));
	p->meta.answered = answered;
	p->meta.owner = p;
	kxc_request_start(&p->meta, p->client, REQ_METADATA, 30 * KX_NS_PER_S, now_ns);
}

/* A new identity at the broker: nothing sent under the old one can be confirmed; sequences begin at 0. */
void kxc_producer_lost(struct kx_producer *p, enum kx_result why, uint64_t now_ns)
{
	bool fate = why == KX_LOST || why == KX_UNKNOWN_FATE; /* of what was sent: the rest just was not */

	p->claimed = p->claimed && why != KX_CLOSED;
	for (uint32_t i = 0; i < p->part_count; i++) {
		struct part *part = &p->parts[i];

		if (p->slots != NULL && fate)
			kxc_part_fail_left(part, why);
		if (p->slots != NULL)
			kxc_part_fail(part, fate ? KX_NOT_CONNECTED : why, 0, now_ns);
		part->next_seq = 0;
		part->resume = false;
		part->offset_first = part->offset_end = part->offset_count = 0;
		memset(part->confirmed, 0, sizeof(part->confirmed));
		kx_map_del(&p->by_id, (uint64_t)part->id + 1);
		part->ch = NULL;
		part->send_listed = false;
		part->failed = 0;
	}
	if (p->state != OPEN_FAILED || p->closed)
		p->state = OPEN_META;
}

void kxc_producer_renamed(struct kx_producer *p, bool new_boot)
{
	for (uint32_t i = 0; i < p->part_count; i++) {
		struct part *part = &p->parts[i];
		bool sent = part->head != NONE && p->slots[part->head].sent_ns != 0;

		if (sent || (new_boot && part->offset_end != 0))
			kxc_resume_part(part);
		if (!part->resume) {
			part->next_seq = 0;
			memset(part->confirmed, 0, sizeof(part->confirmed));
		}
		kx_map_del(&p->by_id, (uint64_t)part->id + 1);
		part->ch = NULL;
		part->send_listed = false;
		part->failed = 0;
	}
	if (p->state != OPEN_FAILED || p->closed)
		p->state = OPEN_META;
}

uint64_t kx_producer_pending(const struct kx_producer *p)
{
	return p->pending;
}

uint32_t kx_producer_room(const struct kx_producer *p)
{
	return p->slots_free_count - p->done_count;
}

uint32_t kx_producer_partitions(const struct kx_producer *p)
{
	return p->state == OPEN_READY ? p->part_count : 0;
}

const char *kx_producer_topic(const struct kx_producer *p)
{
	return p->topic;
}
