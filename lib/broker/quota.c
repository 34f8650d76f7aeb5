/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Quotas: rates of principals and topics, in messages and in bytes, of all data lcores together. What arrives
 * within its credit is always taken and paid for, into debt if need be; credit is extended only while there
 * is no debt. Ahead of that a session gets what the quota gives in a hundredth of a second, so that the debt
 * stays small.
 *
 * A session remembers the limited topics it writes to in a mask, topics by their number modulo 64: one AND
 * with the mask of topics in debt says whether it may go on, however many it writes to.
 */
#include <errno.h>
#include <stdlib.h>

#include "broker_pvt.h"

#define SAVINGS_NS UINT64_C(100000000) /* a quota that was not used for a while allows this much at once */
#define AHEAD	   100		       /* of a second */
#define MEAN_FIRST 64		       /* bytes a message, before any came */
#define MASK_BITS  64
#define POLL_NS	   KX_METER_SETTLE_NS

struct limit {
	struct kx_meter messages, bytes; /* rate_per_s 0: no limit */
};
struct kx_quotas {
	uint32_t topic_count, principal_count;
	struct limit *topics, *principals;
};
/* This lcore's side of a limit; `meter` NULL: none. */
struct quota {
	struct kx_meter_tap messages, bytes;
	uint64_t mask; /* topics */
};

static bool limited(uint64_t messages_per_s, uint64_t bytes_per_s)
{
	return messages_per_s != 0 || bytes_per_s != 0;
}

static bool any_limited(const struct kx_conf *conf)
{
	for (uint32_t i = 0; i < conf->topic_count; i++)
		if (limited(conf->topics[i].messages_per_s, conf->topics[i].bytes_per_s))
			return true;
	for (uint32_t i = 0; i < conf->principal_count; i++)
		if (limited(conf->principals[i].messages_per_s, conf->principals[i].bytes_per_s))
			return true;
	return false;
}

static struct limit *limits_alloc(uint32_t n)
{
	void *memory;

	return posix_memalign(&memory, KX_CACHE_LINE, n * sizeof(struct limit)) == 0 ? memory : NULL;
}

static void limit_init(struct limit *l, uint64_t messages_per_s, uint64_t bytes_per_s, uint64_t now_ns)
{
	kx_meter_init(&l->messages, messages_per_s, SAVINGS_NS, now_ns);
	kx_meter_init(&l->bytes, bytes_per_s, SAVINGS_NS, now_ns);
}

int kx_quotas_create(const struct kx_conf *conf, uint64_t now_ns, struct kx_quotas **out)
{
	struct kx_quotas *q;

	*out = NULL;
	if (!any_limited(conf))
		return 0;
	q = calloc(1, sizeof(*q));
	if (q == NULL)
		return -ENOMEM;
	q->topic_count = conf->topic_count;
	q->principal_count = conf->principal_count;
	q->topics = limits_alloc(conf->topic_count);
	q->principals = limits_alloc(conf->principal_count);
	if (q->topics == NULL || q->principals == NULL) {
		kx_quotas_destroy(q);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < conf->topic_count; i++)
		limit_init(
			&q->topics[i], conf->topics[i].messages_per_s, conf->topics[i].bytes_per_s, now_ns);
	for (uint32_t i = 0; i < conf->principal_count; i++)
		limit_init(&q->principals[i], conf->principals[i].messages_per_s,
			conf->principals[i].bytes_per_s, now_ns);
	*out = q;
	return 0;
}

void kx_quotas_destroy(struct kx_quotas *q)
{
	if (q == NULL)
		return;
	free(q->topics);
	free(q->principals);
	free(q);
}

/* ---- one lcore */

static void tap_init(struct kx_meter_tap *t, struct kx_meter *m)
{
	kx_meter_tap_init(t, m->rate_per_s != 0 ? m : NULL, 0);
}

static struct quota *quotas_alloc(struct limit *limits, uint32_t n)
{
	struct quota *q = calloc(n, sizeof(*q));

	for (uint32_t i = 0; q != NULL && i < n; i++) {
		tap_init(&q[i].messages, &limits[i].messages);
		tap_init(&q[i].bytes, &limits[i].bytes);
		if (limits[i].messages.rate_per_s != 0 || limits[i].bytes.rate_per_s != 0)
			q[i].mask = UINT64_C(1) << (i % MASK_BITS);
	}
	return q;
}

int quota_create(struct kx_broker *b)
{
	struct kx_quotas *shared = b->config.quotas;

	if (shared == NULL)
		return 0;
	b->topic_quotas = quotas_alloc(shared->topics, shared->topic_count);
	b->principal_quotas = quotas_alloc(shared->principals, shared->principal_count);
	if (b->topic_quotas == NULL || b->principal_quotas == NULL)
		return -ENOMEM;
	return 0;
}

void quota_destroy(struct kx_broker *b)
{
	free(b->topic_quotas);
	free(b->principal_quotas);
}

static bool tap_open(struct kx_meter_tap *t, uint64_t now_ns)
{
	return t->meter == NULL || kx_meter_open(t, now_ns);
}

static bool both_open(struct quota *q, uint64_t now_ns)
{
	bool messages = tap_open(&q->messages, now_ns);

	return tap_open(&q->bytes, now_ns) && messages;
}

static void use(struct quota *q, uint64_t messages, uint64_t bytes, uint64_t now_ns)
{
	if (q->messages.meter != NULL)
		kx_meter_use(&q->messages, messages, now_ns);
	if (q->bytes.meter != NULL)
		kx_meter_use(&q->bytes, bytes, now_ns);
}

void quota_pay(struct kx_broker *b, struct session *s, const struct kx_partition *p, uint32_t messages,
	uint32_t batch_bytes)
{
	uint64_t bytes = batch_bytes - KX_BATCH_HDR_BYTES;
	struct quota *topic;

	s->quota_messages += messages;
	s->quota_bytes += batch_bytes;
	use(&b->principal_quotas[s->principal->id], messages, bytes, b->now_ns);
	topic = &b->topic_quotas[p->topic];
	if (topic->mask == 0)
		return;
	use(topic, messages, bytes, b->now_ns);
	s->quota_topics |= topic->mask;
	s->quota_recent |= topic->mask;
	if (!both_open(topic, b->now_ns))
		b->quota_debt |= topic->mask;
}

bool quota_open(struct kx_broker *b, struct session *s)
{
	if (kx_likely(b->topic_quotas == NULL))
		return true;
	return (s->quota_topics & b->quota_debt) == 0 &&
		both_open(&b->principal_quotas[s->principal->id], b->now_ns);
}

/* Bytes that a limit gives in 1/AHEAD s, for messages of this session's mean size. */
static uint64_t ahead(const struct quota *q, const struct session *s, uint64_t window)
{
	uint64_t mean = s->quota_messages != 0 ? s->quota_bytes / s->quota_messages + 1 : MEAN_FIRST;

	if (q->bytes.meter != NULL)
		window = KX_MIN(window, q->bytes.meter->rate_per_s / AHEAD);
	if (q->messages.meter != NULL && q->messages.meter->rate_per_s / AHEAD < window / mean)
		window = q->messages.meter->rate_per_s * mean / AHEAD;
	return window;
}

uint64_t quota_window(const struct kx_broker *b, const struct session *s)
{
	uint64_t window = b->window_bytes, least;

	if (kx_likely(b->topic_quotas == NULL) || s->asks)
		return window;
	window = ahead(&b->principal_quotas[s->principal->id], s, window);
	for (uint32_t i = 0; i < SESSION_PARTS && s->quota_topics != 0; i++) {
		if (s->parts[i].producer != KX_NONE)
			window = ahead(&b->topic_quotas[s->parts[i].p->topic], s, window);
	}
	least = KX_MAX((uint64_t)b->config.datagram_max_bytes, s->largest_batch);
	return KX_MIN(KX_MAX(window / KX_MAX(b->weighted, 1u), least), b->window_bytes);
}

/* A topic that the session has not written to since the last tick is forgotten once it has no debt. */
void quota_tick(const struct kx_broker *b, struct session *s)
{
	if (kx_likely(b->topic_quotas == NULL))
		return;
	s->quota_topics &= s->quota_recent | b->quota_debt;
	s->quota_recent = 0;
	if (s->quota_messages > UINT32_MAX) {
		s->quota_messages /= 2;
		s->quota_bytes /= 2;
	}
}

void quota_poll(struct kx_broker *b)
{
	if (kx_likely(b->topic_quotas == NULL) || b->now_ns < b->quota_poll_ns)
		return;
	b->quota_poll_ns = b->now_ns + POLL_NS;
	b->quota_debt = 0;
	for (uint32_t i = 0; i < b->config.conf->topic_count; i++) {
		struct quota *q = &b->topic_quotas[i];

		if (q->mask != 0 && !both_open(q, b->now_ns))
			b->quota_debt |= q->mask;
	}
	for (uint32_t i = 0; i < b->config.conf->principal_count; i++)
		both_open(&b->principal_quotas[i], b->now_ns); /* so that what was used is settled */
}

/* ---- looking in: any thread */

static void info_of(const struct quota *q, uint64_t now_ns, struct kx_quota_info *out)
{
	const struct kx_meter_tap *m = &q->messages, *y = &q->bytes;

	*out = (struct kx_quota_info){0};
	if (m->meter != NULL) {
		out->messages_per_s = m->meter->rate_per_s;
		out->messages_rate = kx_meter_rate(m, now_ns);
		out->messages = kx_counter_read(&m->total);
		out->throttled_messages_ns = kx_meter_throttled_ns(m->meter, now_ns);
	}
	if (y->meter != NULL) {
		out->bytes_per_s = y->meter->rate_per_s;
		out->bytes_rate = kx_meter_rate(y, now_ns);
		out->bytes = kx_counter_read(&y->total);
		out->throttled_bytes_ns = kx_meter_throttled_ns(y->meter, now_ns);
	}
}

bool kx_broker_topic_quota(
	const struct kx_broker *b, uint32_t topic, uint64_t now_ns, struct kx_quota_info *out)
{
	if (b->topic_quotas == NULL || topic >= b->config.conf->topic_count)
		return false;
	info_of(&b->topic_quotas[topic], now_ns, out);
	return out->messages_per_s != 0 || out->bytes_per_s != 0;
}

bool kx_broker_principal_quota(
	const struct kx_broker *b, uint32_t principal, uint64_t now_ns, struct kx_quota_info *out)
{
	if (b->principal_quotas == NULL || principal >= b->config.conf->principal_count)
		return false;
	info_of(&b->principal_quotas[principal], now_ns, out);
	return out->messages_per_s != 0 || out->bytes_per_s != 0;
}
