/* SPDX-License-Identifier: BSD-3-Clause */
/* Questions: topics, metadata, ping. Each is repeated until it is answered or its time is up. */
#include "client_pvt.h"

#define TIMEOUT_DEFAULT (5 * KX_NS_PER_S)
#define PAGE		64 /* entries turned into one callback */

static void link_active(struct request *r)
{
	struct kx_client *c = r->client;

	r->active = true;
	r->prev = NULL;
	r->next = c->active;
	if (r->next != NULL)
		r->next->prev = r;
	c->active = r;
}

void kxc_request_end(struct request *r)
{
	if (!r->active)
		return;
	r->active = false;
	if (r->prev != NULL)
		r->prev->next = r->next;
	else
		r->client->active = r->next;
	if (r->next != NULL)
		r->next->prev = r->prev;
}

static void new_id(struct request *r)
{
	if (++r->client->request_id == 0)
		r->client->request_id = 1;
	r->id = r->client->request_id;
}

void kxc_request_start(
	struct request *r, struct kx_client *c, uint8_t type, uint64_t timeout_ns, uint64_t now_ns)
{
	r->client = c;
	r->type = type;
	r->first = 0;
	r->retries = 0;
	r->sent_ns = 0;
	r->retry_ns = now_ns;
	r->deadline_ns = now_ns + (timeout_ns != 0 ? timeout_ns : TIMEOUT_DEFAULT);
	new_id(r);
	link_active(r);
	kxc_timer_arm(&c->hub->timers, &c->timer, now_ns);
}

static bool send_request(struct request *r, struct channel *ch, uint64_t now_ns)
{
	struct out o;

	if (r->type == REQ_TOPICS) {
		if (!kxc_channel_begin(ch, KX_TOPICS_REQ, sizeof(struct kx_topics_req), now_ns, &o))
			return false;
		*(struct kx_topics_req *)o.body =
			(struct kx_topics_req){.request_id = r->id, .first_index = r->first};
		kxc_channel_send(ch, &o, sizeof(struct kx_topics_req), now_ns);
	} else if (r->type == REQ_METADATA) {
		struct kx_metadata_req q = {.request_id = r->id,
			.first_index = (uint16_t)r->first,
			.topic_bytes = (uint8_t)strlen(r->topic)};

		if (!kxc_channel_begin(ch, KX_METADATA_REQ, sizeof(q), now_ns, &o))
			return false;
		memcpy(q.topic, r->topic, q.topic_bytes);
		memcpy(o.body, &q, sizeof(q));
		kxc_channel_send(ch, &o, sizeof(q), now_ns);
	} else {
		if (!kxc_channel_begin(ch, KX_PING, sizeof(struct kx_ping), now_ns, &o))
			return false;
		*(struct kx_ping *)o.body = (struct kx_ping){.token = r->id, .client_time = now_ns};
		kxc_channel_send(ch, &o, sizeof(struct kx_ping), now_ns);
	}
	return true;
}

static struct channel *channel_for(struct request *r, uint64_t now_ns)
{
	struct kx_client *c = r->client;

	if (r->type == REQ_PING && r->lcore != KX_LCORE_FIRST)
		return kxc_client_channel(c, r->lcore, now_ns);
	return &c->channels[0];
}

/* Send or repeat one. @return when to look at it again */
static uint64_t request_service(struct request *r, uint64_t now_ns)
{
	struct channel *ch;

	if (now_ns >= r->deadline_ns) {
		kxc_request_end(r);
		r->answered(r, KX_TIMED_OUT, NULL, now_ns);
		return UINT64_MAX;
	}
	if (now_ns < r->retry_ns || (r->type == REQ_PING && r->sent_ns != 0))
		return KX_MIN(r->deadline_ns, r->retry_ns > now_ns ? r->retry_ns : r->deadline_ns);
	ch = channel_for(r, now_ns);
	if (ch == NULL || ch->state != CH_OPEN) /* kxc_channel_opened() wakes us */
		return r->deadline_ns;
	if (!send_request(r, ch, now_ns)) {
		r->retry_ns = now_ns + MS;
		return r->retry_ns;
	}
	r->sent_ns = now_ns;
	r->retry_ns = now_ns + KX_MIN(REQUEST_FIRST << KX_MIN(r->retries, 8u), REQUEST_SLOW);
	r->retries++;
	return r->type == REQ_PING ? r->deadline_ns : KX_MIN(r->retry_ns, r->deadline_ns);
}

uint64_t kxc_requests_service(struct kx_client *c, uint64_t now_ns)
{
	uint64_t due = UINT64_MAX;
	struct request *next;

	for (struct request *r = c->active; r != NULL; r = next) {
		uint64_t again;

		next = r->next;
		again = request_service(r, now_ns);
		due = KX_MIN(due, again);
		if (next != NULL && !next->active) /* a callback ended it */
			next = c->active;
	}
	return due;
}

void kxc_requests_fail(struct kx_client *c, enum kx_result why, uint64_t now_ns)
{
	struct request *r;

	while ((r = c->active) != NULL) {
		kxc_request_end(r);
		r->answered(r, why, NULL, now_ns);
	}
}

static struct request *find_active(struct kx_client *c, uint32_t id)
{
	for (struct request *r = c->active; r != NULL; r = r->next)
		if (r->id == id)
			return r;
	return NULL;
}

/* Ask for the next page, when there is one. */
static bool next_page(struct request *r, uint32_t first, uint32_t count, uint32_t total, uint64_t now_ns)
{
	if (count == 0 || first + count >= total)
		return false;
	r->first = first + count;
	r->retries = 0;
	r->retry_ns = now_ns;
	new_id(r);
	kxc_timer_arm(&r->client->hub->timers, &r->client->timer, now_ns);
	return true;
}

static enum kx_result result_of(uint32_t code)
{
	switch (code) {
	case KX_CODE_OK:
		return KX_OK;
	case KX_CODE_UNKNOWN_TOPIC:
		return KX_UNKNOWN_TOPIC;
	case KX_CODE_STOPPING:
		return KX_STOPPING;
	default:
		return KX_REFUSED;
	}
}

static void metadata_answer(struct request *r, const struct kx_frame_view *v, uint64_t now_ns)
{
	const struct kx_metadata *m = (const struct kx_metadata *)v->body;

	if (m->code == KX_CODE_OK && m->first_index != r->first)
		return;
	if (m->code != KX_CODE_OK ||
		!next_page(r, m->first_index, m->entry_count, m->partition_count, now_ns))
		kxc_request_end(r);
	r->answered(r, result_of(m->code), v, now_ns);
}

static void topics_answer(struct request *r, const struct kx_frame_view *v, uint64_t now_ns)
{
	const struct kx_topics *t = (const struct kx_topics *)v->body;

	if (t->first_index != r->first)
		return;
	if (!next_page(r, t->first_index, t->entry_count, t->topic_count, now_ns))
		kxc_request_end(r);
	r->answered(r, KX_OK, v, now_ns);
}

void kxc_request_answer(struct channel *ch, const struct kx_frame_view *v, uint64_t now_ns)
{
	struct kx_client *c = ch->client;
	struct request *r;

	switch (v->hdr->type) {
	case KX_METADATA:
		r = find_active(c, ((const struct kx_metadata *)v->body)->request_id);
		if (r != NULL && r->type == REQ_METADATA)
			metadata_answer(r, v, now_ns);
		return;
	case KX_TOPICS:
		r = find_active(c, ((const struct kx_topics *)v->body)->request_id);
		if (r != NULL && r->type == REQ_TOPICS)
			topics_answer(r, v, now_ns);
		return;
	case KX_PONG:
		r = find_active(c, (uint32_t)((const struct kx_pong *)v->body)->token);
		if (r == NULL || r->type != REQ_PING || r->sent_ns == 0)
			return;
		break;
	default:
		r = find_active(c, ((const struct kx_refuse *)v->body)->request_id);
		if (r == NULL)
			return;
		kxc_request_end(r);
		r->answered(r, result_of(((const struct kx_refuse *)v->body)->code), NULL, now_ns);
		return;
	}
	kxc_request_end(r);
	r->answered(r, KX_OK, v, now_ns);
}

/* ---- what programs ask */

static struct request *take(struct kx_client *c)
{
	for (uint32_t i = 0; i < c->opts.requests_max; i++)
		if (!c->requests[i].active) {
			c->requests[i] = (struct request){0};
			return &c->requests[i];
		}
	return NULL;
}

static void topics_answered(
	struct request *r, enum kx_result result, const struct kx_frame_view *v, uint64_t now_ns)
{
	kx_topics_fn fn = (kx_topics_fn)r->fn;
	struct kx_topic_info page[PAGE];
	char names[PAGE][KX_TOPIC_NAME_MAX + 1];
	const struct kx_topics_entry *e;
	const struct kx_topics *t;
	uint32_t n = 0;

	(void)now_ns;
	if (v == NULL) {
		fn(r->user, result, NULL, 0, true);
		return;
	}
	t = (const struct kx_topics *)v->body;
	e = (const struct kx_topics_entry *)(t + 1);
	for (uint32_t i = 0; i < t->entry_count; i++) {
		memcpy(names[n], e[i].name, sizeof(names[n]));
		page[n] = (struct kx_topic_info){.name = names[n],
			.partition_count = e[i].partition_count,
			.durability = e[i].durability,
			.overrun = e[i].overrun};
		if (++n == PAGE && i + 1 < t->entry_count) {
			fn(r->user, KX_OK, page, n, false);
			n = 0;
		}
	}
	fn(r->user, KX_OK, page, n, !r->active);
}

enum kx_result kx_client_topics(
	struct kx_client *c, uint64_t timeout_ns, uint64_t now_ns, kx_topics_fn fn, void *user)
{
	struct request *r;

	if (c == NULL || fn == NULL)
		return KX_BAD_ARGUMENT;
	r = take(c);
	if (r == NULL)
		return KX_NO_MEMORY;
	r->answered = topics_answered;
	r->fn = (void *)fn;
	r->user = user;
	kxc_request_start(r, c, REQ_TOPICS, timeout_ns, now_ns);
	return KX_OK;
}

static void metadata_answered(
	struct request *r, enum kx_result result, const struct kx_frame_view *v, uint64_t now_ns)
{
	kx_metadata_fn fn = (kx_metadata_fn)r->fn;
	struct kx_metadata_info info = {.topic = r->topic};
	struct kx_partition_info page[PAGE];
	const struct kx_metadata_entry *e;
	const struct kx_metadata *m;
	uint32_t n = 0;

	(void)now_ns;
	if (v == NULL) {
		fn(r->user, result, &info, NULL, 0, true);
		return;
	}
	m = (const struct kx_metadata *)v->body;
	e = (const struct kx_metadata_entry *)(m + 1);
	info.partition_count = m->partition_count;
	info.max_message_bytes = m->max_message_bytes;
	info.config_generation = m->config_generation;
	info.durability = m->durability;
	info.overrun = m->overrun;
	info.code = m->code;
	for (uint32_t i = 0; i < m->entry_count; i++) {
		page[n] = (struct kx_partition_info){.index = e[i].index,
			.partition = e[i].partition,
			.owner_port = e[i].owner_port,
			.lcore = (uint16_t)(e[i].owner_port - r->client->info.base_port),
			.log_epoch = e[i].log_epoch,
			.first_offset = e[i].first_offset,
			.committed_offset = e[i].committed_offset,
			.next_offset = e[i].next_offset};
		if (++n == PAGE && i + 1 < m->entry_count) {
			fn(r->user, result, &info, page, n, false);
			n = 0;
		}
	}
	fn(r->user, result, &info, page, n, !r->active);
}

enum kx_result kx_client_metadata(struct kx_client *c, const char *topic, uint64_t timeout_ns,
	uint64_t now_ns, kx_metadata_fn fn, void *user)
{
	struct request *r;

	if (c == NULL || fn == NULL || topic == NULL || topic[0] == '\0' || strlen(topic) > KX_TOPIC_NAME_MAX)
		return KX_BAD_ARGUMENT;
	r = take(c);
	if (r == NULL)
		return KX_NO_MEMORY;
	memcpy(r->topic, topic, strlen(topic));
	r->answered = metadata_answered;
	r->fn = (void *)fn;
	r->user = user;
	kxc_request_start(r, c, REQ_METADATA, timeout_ns, now_ns);
	return KX_OK;
}

static void ping_answered(
	struct request *r, enum kx_result result, const struct kx_frame_view *v, uint64_t now_ns)
{
	const struct kx_pong *b = v != NULL ? (const struct kx_pong *)v->body : NULL;
	uint32_t lcore = r->lcore != KX_LCORE_FIRST ? r->lcore : r->client->info.first_lcore;

	if (b == NULL)
		((kx_ping_fn)r->fn)(r->user, result, lcore, 0, 0);
	else
		((kx_ping_fn)r->fn)(r->user, KX_OK, b->lcore_index, now_ns - r->sent_ns, b->residence_ns);
}

enum kx_result kx_client_ping(
	struct kx_client *c, uint32_t lcore, uint64_t timeout_ns, uint64_t now_ns, kx_ping_fn fn, void *user)
{
	struct request *r;

	if (c == NULL || fn == NULL)
		return KX_BAD_ARGUMENT;
	if (!c->connected)
		return KX_NOT_CONNECTED;
	if (lcore != KX_LCORE_FIRST && kxc_client_channel(c, lcore, now_ns) == NULL)
		return KX_NO_TICKET;
	r = take(c);
	if (r == NULL)
		return KX_NO_MEMORY;
	r->lcore = lcore;
	r->answered = ping_answered;
	r->fn = (void *)fn;
	r->user = user;
	kxc_request_start(r, c, REQ_PING, timeout_ns, now_ns);
	return KX_OK;
}
