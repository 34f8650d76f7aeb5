/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Quotas: rates of principals and topics, in messages and in bytes, of all data lcores together. What arrives
 * on credit given under them is always taken and paid for, into debt if need be; credit is extended only
 * while there is no debt. Ahead of that a session gets what the quota gives in a hundredth of a second, so
 * that the debt stays small; room for a message that is larger, once in the time that the quota takes to give
 * it.
 *
 * A session remembers the limited topics it writes to as a set, by their number among the limited ones: a few
 * ANDs with the set of topics in debt say whether it may go on, however many it writes to.
 *
 * Credit is of the session and not of a topic, so it may come from before the session wrote to a limited
 * topic. A topic in debt therefore takes from a session only what was allowed under a quota since the topic
 * came to know it, which is while it has no debt: by a message that it took, or because the session waited
 * until then. Nothing of one that has just come, or come again, is taken, however often it sends it. It waits
 * as all others do, and what it waits with is allowed for when they get their credit.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "broker_pvt.h"

#define SAVINGS_NS UINT64_C(100000000) /* a quota that was not used for a while allows this much at once */
#define AHEAD	   100		       /* of a second */
#define MEAN_FIRST 64		       /* bytes a message, before any came */
#define LARGE_NS   (10 * KX_NS_PER_S)  /* the longest that credit for more than AHEAD is waited for */
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
	uint32_t number;      /* topics: among the limited ones, from 1; 0: no limit */
	uint64_t first_bytes; /* principals: AHEAD of the slowest topic it may produce to */
};

static bool set_has(const uint64_t *set, const struct quota *q)
{
	return (set[(q->number - 1) / 64] >> ((q->number - 1) % 64) & 1) != 0;
}

static void set_add(uint64_t *set, const struct quota *q)
{
	set[(q->number - 1) / 64] |= UINT64_C(1) << ((q->number - 1) % 64);
}

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

static struct quota *quotas_alloc(struct limit *limits, uint32_t n, uint32_t *limits_used)
{
	struct quota *q = calloc(n, sizeof(*q));

	for (uint32_t i = 0; q != NULL && i < n; i++) {
		tap_init(&q[i].messages, &limits[i].messages);
		tap_init(&q[i].bytes, &limits[i].bytes);
		if (limits[i].messages.rate_per_s != 0 || limits[i].bytes.rate_per_s != 0)
			q[i].number = ++*limits_used;
	}
	return q;
}

/* Bytes that a limit gives in 1/AHEAD s, for messages of this mean size. */
static uint64_t ahead_at(uint64_t messages_per_s, uint64_t bytes_per_s, uint64_t mean, uint64_t window)
{
	if (bytes_per_s != 0)
		window = KX_MIN(window, bytes_per_s / AHEAD);
	if (messages_per_s != 0 && messages_per_s / AHEAD < window / mean)
		window = messages_per_s * mean / AHEAD;
	return window;
}

static uint64_t rate_of(const struct kx_meter_tap *t)
{
	return t->meter != NULL ? t->meter->rate_per_s : 0;
}

static uint64_t ahead(const struct quota *q, uint64_t mean, uint64_t window)
{
	return ahead_at(rate_of(&q->messages), rate_of(&q->bytes), mean, window);
}

static void first_bytes(struct kx_broker *b, uint32_t topics, uint32_t principals)
{
	for (uint32_t i = 0; i < principals && i < kx_auth_principals_count(b->principals); i++) {
		const struct kx_auth_principal *p = kx_auth_principal(b->principals, i);
		uint64_t *least = &b->principal_quotas[i].first_bytes;

		*least = UINT64_MAX;
		for (uint32_t t = 0; t < topics; t++)
			if (kx_auth_allowed(p->produce, t))
				*least = ahead(&b->topic_quotas[t], MEAN_FIRST, *least);
	}
}

int quota_create(struct kx_broker *b)
{
	struct kx_quotas *shared = b->config.quotas;
	uint32_t topics = 0, principals = 0;

	if (shared == NULL)
		return 0;
	b->topic_quotas = quotas_alloc(shared->topics, shared->topic_count, &topics);
	b->principal_quotas = quotas_alloc(shared->principals, shared->principal_count, &principals);
	if (b->topic_quotas == NULL || b->principal_quotas == NULL)
		return -ENOMEM;
	b->quota_words = (topics + 63) / 64;
	first_bytes(b, shared->topic_count, shared->principal_count);
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

static uint64_t mean_bytes(const struct session *s)
{
	return s->quota_messages != 0 ? s->quota_bytes / s->quota_messages + 1 : MEAN_FIRST;
}

/* Of what a limit gives in 1/AHEAD s, the part of one session. */
static uint64_t part_of(const struct kx_broker *b, uint64_t window)
{
	return KX_MIN(KX_MAX(window / KX_MAX(b->weighted, 1u), (uint64_t)b->config.datagram_max_bytes),
		b->window_bytes);
}

static uint64_t slower(uint64_t a, uint64_t b)
{
	return a == 0 || (b != 0 && b < a) ? b : a;
}

static void join(struct session *s, const struct quota *topic)
{
	s->quota_messages_per_s = slower(s->quota_messages_per_s, rate_of(&topic->messages));
	s->quota_bytes_per_s = slower(s->quota_bytes_per_s, rate_of(&topic->bytes));
	set_add(s->quota_topics, topic);
	set_add(s->quota_recent, topic);
}

bool quota_takes(struct kx_broker *b, struct session *s, const struct kx_partition *p, uint32_t batch_bytes)
{
	struct quota *topic = &b->topic_quotas[p->topic];

	/* until its debt is seen to be gone by those that wait, it is there for who comes, too: they go first
	 */
	if (topic->number == 0 || (!set_has(b->quota_debt, topic) && both_open(topic, b->now_ns)))
		return true;
	if (set_has(s->quota_known, topic) && s->quota_allowed >= batch_bytes)
		return true;
	join(s, topic);
	set_add(b->quota_debt, topic);
	s->largest_batch = KX_MAX(s->largest_batch, batch_bytes); /* so that it is allowed for in its turn */
	return false;
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
	if (topic->number == 0)
		return;
	if (!set_has(s->quota_topics, topic) && both_open(topic, b->now_ns))
		s->quota_allowed =
			KX_MAX(s->quota_allowed, part_of(b, ahead(topic, mean_bytes(s), b->window_bytes)));
	s->quota_allowed -= KX_MIN(s->quota_allowed, (uint64_t)batch_bytes);
	use(topic, messages, bytes, b->now_ns);
	join(s, topic);
	set_add(s->quota_known, topic);
	if (!both_open(topic, b->now_ns))
		set_add(b->quota_debt, topic);
}

void quota_more_messages(
	struct kx_broker *b, struct session *s, const struct kx_partition *p, uint32_t messages)
{
	s->quota_messages += messages;
	use(&b->principal_quotas[s->principal->id], messages, 0, b->now_ns);
	use(&b->topic_quotas[p->topic], messages, 0, b->now_ns);
}

void quota_refund(struct kx_broker *b, struct session *s, const struct kx_partition *p, uint32_t batch_bytes)
{
	uint64_t unused = s->limit_bytes - s->used_bytes;

	/* all that it has credit for is allowed, and stays so; else it has what it had of this topic */
	if (s->quota_allowed >= unused)
		s->quota_allowed = KX_MAX(s->quota_allowed, unused + batch_bytes);
	else if (b->topic_quotas[p->topic].number != 0)
		s->quota_allowed += batch_bytes;
}

bool quota_open(struct kx_broker *b, struct session *s)
{
	if (kx_likely(b->topic_quotas == NULL))
		return true;
	for (uint32_t i = 0; i < b->quota_words; i++)
		if ((s->quota_topics[i] & b->quota_debt[i]) != 0)
			return false;
	return both_open(&b->principal_quotas[s->principal->id], b->now_ns);
}

/* What the limits that the session is under give in 1/AHEAD s. Before it has sent anything: all it could be.
 */
static uint64_t ahead_of(const struct kx_broker *b, const struct session *s)
{
	const struct quota *principal = &b->principal_quotas[s->principal->id];
	uint64_t window = ahead(principal, mean_bytes(s), b->window_bytes);

	if (s->quota_messages == 0)
		return KX_MIN(window, principal->first_bytes);
	return ahead_at(s->quota_messages_per_s, s->quota_bytes_per_s, mean_bytes(s), window);
}

/* None of the limited topics that it writes to has debt: from here on they know it. */
static void waited(const struct kx_broker *b, struct session *s)
{
	for (uint32_t i = 0; i < b->quota_words; i++)
		s->quota_known[i] |= s->quota_topics[i];
}

uint64_t quota_window(const struct kx_broker *b, struct session *s)
{
	uint64_t unused = s->limit_bytes - s->used_bytes, window, wish;
	bool known; /* it has written to a limited topic */

	if (kx_likely(b->topic_quotas == NULL))
		return b->window_bytes;
	window = ahead_of(b, s);
	if (window >= b->window_bytes) { /* no limit, or none that is felt */
		waited(b, s);
		if (slower(s->quota_messages_per_s, s->quota_bytes_per_s) != 0)
			s->quota_allowed = b->window_bytes;
		return b->window_bytes;
	}
	if (b->now_ns < s->quota_large_ns)
		return 0;
	waited(b, s);
	window = part_of(b, window);
	/* it has sent larger ones, or what waits may be larger than what it has */
	wish = KX_MIN(KX_MAX((uint64_t)s->largest_batch, s->asks ? 2 * unused : 0), b->window_bytes);
	known = slower(s->quota_messages_per_s, s->quota_bytes_per_s) != 0;
	s->quota_allowed = KX_MAX(s->quota_allowed, known ? KX_MAX(window, wish) : window);
	return KX_MAX(window, wish);
}

void quota_gave(const struct kx_broker *b, struct session *s, uint64_t bytes)
{
	uint64_t window;

	if (kx_likely(b->topic_quotas == NULL))
		return;
	window = ahead_of(b, s);
	if (window >= b->window_bytes)
		return;
	window = part_of(b, window);
	if (s->limit_bytes - s->used_bytes > window)
		s->quota_large_ns = b->now_ns + KX_MIN(bytes * (KX_NS_PER_S / AHEAD) / window, LARGE_NS);
}

/* A topic that the session has not written to since the last tick holds it back no more, once it has no
 * debt: it waited for that. What it is given at once stays small: it may come back to it. */
void quota_tick(const struct kx_broker *b, struct session *s)
{
	if (kx_likely(b->topic_quotas == NULL))
		return;
	for (uint32_t i = 0; i < b->quota_words; i++) {
		uint64_t stay = s->quota_recent[i] | b->quota_debt[i];

		s->quota_known[i] |= s->quota_topics[i] & ~stay;
		s->quota_topics[i] &= stay;
		s->quota_recent[i] = 0;
	}
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
	memset(b->quota_debt, 0, sizeof(b->quota_debt));
	for (uint32_t i = 0; i < b->config.conf->topic_count; i++) {
		struct quota *q = &b->topic_quotas[i];

		if (q->number != 0 && !both_open(q, b->now_ns))
			set_add(b->quota_debt, q);
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
