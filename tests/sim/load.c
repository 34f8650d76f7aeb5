/* SPDX-License-Identifier: BSD-3-Clause */
/* The applications: producers with known content, consumers of all kinds, and what they do next. */
#include <stdlib.h>
#include <string.h>

#include "identity.h"

/* ---- content: 16 bytes of identity, then bytes that follow from it */

#define STEP UINT64_C(0x9e3779b97f4a7c15)

static uint64_t head_of(uint32_t app, uint32_t part, uint64_t n)
{
	return n | (uint64_t)part << 40 | (uint64_t)app << 48;
}

void load_fill(uint8_t *to, uint32_t bytes, uint32_t app, uint32_t part, uint64_t n)
{
	uint64_t word[2] = {head_of(app, part, n), 0};
	uint32_t i = LOAD_HEAD;

	word[1] = kx_mix64(word[0] ^ bytes);
	memcpy(to, word, sizeof(word));
	for (; i + 8 <= bytes; i += 8) {
		word[0] = word[1] + i * STEP;
		memcpy(to + i, &word[0], 8);
	}
	for (; i < bytes; i++)
		to[i] = (uint8_t)(word[1] >> 32) ^ (uint8_t)i;
}

bool load_check(const uint8_t *value, uint32_t bytes, uint32_t *app, uint32_t *part, uint64_t *n)
{
	uint64_t head[2], word, differs = 0;
	uint32_t i = LOAD_HEAD;

	if (bytes < LOAD_HEAD)
		return false;
	memcpy(head, value, sizeof(head));
	*app = (uint32_t)(head[0] >> 48);
	*part = (uint32_t)(head[0] >> 40 & 0xff);
	*n = head[0] & 0xffffffffff;
	word = kx_mix64(head[0] ^ bytes);
	if (word != head[1])
		return false;
	for (; i + 8 <= bytes; i += 8) {
		memcpy(&head[0], value + i, 8);
		differs |= head[0] ^ (word + i * STEP);
	}
	if (differs != 0)
		return false;
	for (; i < bytes; i++)
		if (value[i] != ((uint8_t)(word >> 32) ^ (uint8_t)i))
			return false;
	return true;
}

/* Mostly small, some near the datagram, few of many datagrams. */
uint32_t load_value_bytes(uint32_t app, uint32_t part, uint64_t n, uint32_t max)
{
	uint64_t r = kx_mix64(head_of(app, part, n) + 77);
	uint32_t kind = r % 256, bytes;

	r >>= 8;
	if (kind < 180)
		bytes = LOAD_HEAD + r % 120;
	else if (kind < 250 || max < 2000)
		bytes = LOAD_HEAD + r % 1240;
	else
		bytes = LOAD_HEAD + (uint32_t)((r % 1000) * (r >> 10) % 1000 * (max - LOAD_HEAD) / 1000);
	return KX_MIN(bytes, max);
}

/* ---- producers */

struct app_producer *load_app(struct sim *s, uint32_t client, uint32_t topic)
{
	struct app_producer *a;

	SIM_CHECK(s, s->app_count < SIM_APPS, "too many producers");
	a = calloc(1, sizeof(*a));
	*a = (struct app_producer){.sim = s, .id = s->app_count, .client = client, .topic = topic};
	s->apps[s->app_count++] = a;
	return a;
}

static void producer_open(struct client *c, uint32_t at, uint32_t topic)
{
	struct sim *s = c->sim;
	struct app_producer *a;
	struct kx_producer_opts opts = {.topic = sim_topic_name(topic),
		.linger_ns = chance(s, 500) ? pick(s, 2 * SIM_MS) : 0,
		.batch_bytes = chance(s, 200) ? (uint32_t)pick_in(s, 200, 1300) : 0,
		.send_slots = (uint32_t)pick_in(s, 4, 256),
		.large_bytes = 300 << 10,
		.partitions_max = 18,
		.on_complete = check_completion};
	enum kx_result r;

	if (s->app_count == SIM_APPS)
		return;
	a = load_app(s, c->index, topic);
	opts.user = a;
	a->polled = (s->features & FLOW_POLLED) && flow_chance(s, 500);
	if (a->polled) {
		opts.polled = true;
		opts.on_complete = NULL;
	}
	paths_slots(s, &opts);
	r = kx_producer_open(c->c, &opts, client_now(c), &a->p);
	if (r != KX_OK) { /* its topic was given up by this client */
		SIM_CHECK(s, r == KX_IN_USE || r == KX_NO_MEMORY || r == KX_FENCED, "kx_producer_open: %s",
			kx_result_name(r));
		a->p = NULL;
		s->app_count--;
		free(a);
		return;
	}
	a->auto_key = chance(s, 300);
	c->producers[at] = a;
	TRACE(s, "client %u opens producer %u of %s", c->index, a->id, sim_topic_name(topic));
}

static void producer_close(struct client *c, uint32_t at)
{
	struct app_producer *a = c->producers[at];

	TRACE(c->sim, "client %u closes producer %u, %llu pending", c->index, a->id,
		(unsigned long long)kx_producer_pending(a->p));
	control_abandon(a);
	SIM_CHECK(c->sim, kx_producer_close(a->p, client_now(c)) == KX_OK, "kx_producer_close");
	a->p = NULL;
	c->producers[at] = NULL;
}

static uint64_t part_take(struct app_part *p)
{
	if (p->sent == p->size) {
		p->size = KX_MAX(64u, 2 * p->size);
		p->place = realloc(p->place, p->size * sizeof(*p->place));
	}
	p->place[p->sent] = NOT_STORED;
	return p->sent++;
}

/* The partition of a stream key, as doc/protocol.md has it. */
static uint32_t index_of(uint64_t stream_key, uint32_t partitions)
{
	return (uint32_t)((unsigned __int128)kx_mix64(stream_key) * partitions >> 64);
}

static bool may_fail(const struct client *c, const struct app_producer *a, enum kx_result r)
{
	if (r == KX_REFUSED)
		return identity_on(c->sim) && !identity_may_produce(c, a->topic);
	return r == KX_BACK_PRESSURED || r == KX_NOT_CONNECTED || r == KX_NOT_READY;
}

static bool send_one(struct client *c, struct app_producer *a, uint32_t part)
{
	static uint8_t value[256 << 10];
	struct sim *s = c->sim;
	const struct kx_conf_topic *topic = &s->broker.conf->topics[a->topic];
	uint64_t key = a->auto_key ? 1 + pick(s, 1000) : 0;
	struct kx_message m = {.value = value, .partition = (int32_t)part, .stream_key = key};
	struct app_part *p;
	enum kx_result r;
	uint64_t n;

	if (a->auto_key) {
		part = index_of(key, topic->partitions);
		m.partition = KX_PARTITION_AUTO;
	}
	p = &a->parts[part];
	n = part_take(p);
	m.user = n;
	m.value_bytes = load_value_bytes(a->id, part, n, topic->max_message_bytes);
	load_fill(value, m.value_bytes, a->id, part, n);
	r = kx_producer_send(a->p, &m, client_now(c));
	if (r == KX_OK)
		return true;
	SIM_CHECK(s, may_fail(c, a, r) || (a->failed && r != KX_OK), "producer %u: send: %s", a->id,
		kx_result_name(r));
	p->sent--;
	return false;
}

/* The fast way: a batch of equal records. */
static bool send_claim(struct client *c, struct app_producer *a, uint32_t part)
{
	struct sim *s = c->sim;
	uint32_t bytes = LOAD_HEAD + (uint32_t)pick(s, 200);
	uint32_t fit = kx_producer_fit(a->p, bytes), count, stride;
	struct app_part *p = &a->parts[part];
	uint64_t first = p->sent;
	enum kx_result r;
	uint8_t *values;

	if (fit == 0)
		return false;
	count = 1 + (uint32_t)pick(s, fit);
	r = kx_producer_claim(a->p, part, 0, bytes, count, &values, &stride);
	if (r != KX_OK) {
		SIM_CHECK(s, may_fail(c, a, r) || a->failed, "producer %u: claim: %s", a->id,
			kx_result_name(r));
		return false;
	}
	if (chance(s, 20)) {
		kx_producer_cancel(a->p);
		return true;
	}
	for (uint32_t i = 0; i < count; i++)
		load_fill(values + (size_t)i * stride, bytes, a->id, part, part_take(p));
	r = kx_producer_commit(a->p, first, client_now(c));
	SIM_CHECK(s, r == KX_OK, "producer %u: commit: %s", a->id, kx_result_name(r));
	return true;
}

static void send_some(struct client *c, struct app_producer *a)
{
	struct sim *s = c->sim;
	uint32_t parts = s->broker.conf->topics[a->topic].partitions;
	uint32_t part = (uint32_t)pick(s, parts), n = 1 + (uint32_t)pick(s, c->busy);
	bool claim = !a->auto_key && chance(s, 300);

	if (a->p == NULL || !a->ready || a->failed || kx_producer_partitions(a->p) == 0)
		return;
	if (a->topic == 2)
		n = KX_MIN(n, 3);
	for (uint32_t i = 0; i < (claim ? n / 8 + 1 : n); i++) {
		if (!(claim ? send_claim(c, a, part) : send_one(c, a, part)))
			break;
		if (pick(s, 4) == 0)
			part = (uint32_t)pick(s, parts);
	}
	if (chance(s, 300))
		kx_producer_flush(a->p, client_now(c));
}

/* ---- consumers */

static uint64_t start_of(struct sim *s, uint32_t topic, int32_t partition)
{
	uint32_t first = s->broker.conf->topics[topic].first_partition;

	switch (pick(s, 4)) {
	case 0:
		return KX_OFFSET_NOW;
	case 1:
		if (partition >= 0)
			return pick(s,
				s->oracle.parts[s->broker.boots - 1][first + (uint32_t)partition]
						.next_offset +
					1);
		return KX_OFFSET_EARLIEST;
	default:
		return KX_OFFSET_EARLIEST;
	}
}

static void consumer_open(struct client *c, uint32_t at, uint32_t topic, bool drain)
{
	struct sim *s = c->sim;
	const struct kx_conf_topic *t = &s->broker.conf->topics[topic];
	struct kx_consumer_opts opts = {.topic = sim_topic_name(topic),
		.partition = drain || chance(s, 600) ? KX_PARTITION_ALL : (int32_t)pick(s, t->partitions),
		.window_bytes = 4096 << pick(s, 6),
		.hold_frames = chance(s, 300) ? (uint32_t)pick_in(s, 4, 64) : 0,
		.large_bytes = (128 << 10) + 4096,
		.polled = topic < 2 && !drain && chance(s, 300)};
	struct app_consumer *a;

	if (s->consumer_count == SIM_CONSUMERS)
		return;
	a = calloc(1, sizeof(*a));
	*a = (struct app_consumer){.sim = s,
		.id = s->consumer_count,
		.client = c->index,
		.topic = topic,
		.partition = opts.partition,
		.polled = opts.polled,
		.drain = drain};
	opts.start_offset = drain ? KX_OFFSET_EARLIEST : start_of(s, topic, opts.partition);
	opts.user = a;
	opts.on_batch = opts.polled ? NULL : check_batch;
	for (uint32_t i = 0; i < t->partitions; i++) {
		const struct mpart *p = &s->oracle.parts[s->broker.boots - 1][t->first_partition + i];

		a->boot[i] = s->broker.boots - 1;
		a->from[i] = opts.start_offset;
		a->open_first[i] = opts.start_offset == KX_OFFSET_NOW ? p->next_offset : p->first_offset;
	}
	control_open(a, &opts);
	paths_holds(s, &opts);
	SIM_CHECK(s, kx_consumer_open(c->c, &opts, client_now(c), &a->c) == KX_OK, "kx_consumer_open");
	s->consumers[s->consumer_count++] = a;
	c->consumers[at] = a;
	TRACE(s, "client %u opens consumer %u of %s, partition %d, start %llu, window %u%s", c->index, a->id,
		sim_topic_name(topic), opts.partition, (unsigned long long)opts.start_offset,
		opts.window_bytes, opts.polled ? ", polled" : "");
}

static void consumer_close(struct client *c, uint32_t at)
{
	struct app_consumer *a = c->consumers[at];

	TRACE(c->sim, "client %u closes consumer %u", c->index, a->id);
	SIM_CHECK(c->sim, kx_consumer_close(a->c, client_now(c)) == KX_OK, "kx_consumer_close");
	a->c = NULL;
	c->consumers[at] = NULL;
}

/* A program that does not come to take what is there, for longer than a session may last. */
static bool rests(struct app_consumer *a)
{
	struct sim *s = a->sim;

	if (s->now_ns >= a->rest_end_ns) {
		a->rest_ns = s->now_ns + (1000 + flow_pick(s, 14000)) * SIM_MS;
		a->rest_end_ns = a->rest_ns + (500 + flow_pick(s, 5500)) * SIM_MS;
	}
	return !s->calm && s->now_ns >= a->rest_ns;
}

void load_consume(struct client *c, uint32_t max)
{
	for (uint32_t i = 0; i < SIM_PROC_CONSUMERS; i++) {
		struct app_consumer *a = c->consumers[i];
		struct kx_polled m;

		if (a == NULL || !a->polled || rests(a))
			continue;
		for (uint32_t n = 0; n < max && kx_consumer_poll(a->c, client_now(c), &m) == KX_OK; n++)
			check_polled(a, &m);
	}
}

/* Logs that block move only when they are read. */
static void drain_open(struct client *c)
{
	static const uint32_t blocking[SIM_PROC_CONSUMERS] = {0, 3, 2};

	for (uint32_t i = 0; i < SIM_PROC_CONSUMERS; i++) {
		if (c->consumers[i] != NULL)
			consumer_close(c, i);
		consumer_open(c, i, blocking[i], true);
	}
}

/* ---- processes */

void load_process(struct client *c)
{
	struct sim *s = c->sim;

	if (s->calm) { /* nothing new; but logs that block go on being read */
		if (c->index == 0)
			drain_open(c);
		return;
	}
	for (uint32_t i = 0; i < 2; i++)
		if (chance(s, 700))
			producer_open(c, i, (c->index + i) % SIM_TOPICS);
	if (c->index == 0 && chance(s, 900)) { /* the reader that keeps logs that block moving */
		drain_open(c);
		return;
	}
	for (uint32_t i = 0; i < 2; i++)
		if (chance(s, 600))
			consumer_open(c, i, (uint32_t)pick(s, SIM_TOPICS), false);
}

void load_forget(struct client *c)
{
	for (uint32_t i = 0; i < SIM_PROC_PRODUCERS; i++) {
		if (c->producers[i] != NULL)
			c->producers[i]->p = NULL;
		c->producers[i] = NULL;
	}
	for (uint32_t i = 0; i < SIM_PROC_CONSUMERS; i++) {
		if (c->consumers[i] != NULL)
			c->consumers[i]->c = NULL;
		c->consumers[i] = NULL;
	}
}

void load_init(struct sim *s)
{
	s->client_count = (uint32_t)pick_in(s, 3, SIM_CLIENTS);
	for (uint32_t i = 0; i < s->client_count; i++) {
		s->clients[i].sim = s;
		s->clients[i].index = i;
		s->clients[i].busy = (uint32_t)pick_in(s, 4, 60);
	}
}

static void topics_told(
	void *user, enum kx_result r, const struct kx_topic_info *topics, uint32_t count, bool last)
{
	struct client *c = user;

	(void)last;
	if (r != KX_OK)
		return;
	for (uint32_t i = 0; i < count; i++) {
		int at = kx_conf_topic_find(c->sim->broker.conf, topics[i].name, strlen(topics[i].name));

		SIM_CHECK(c->sim,
			at >= 0 && topics[i].partition_count == c->sim->broker.conf->topics[at].partitions,
			"TOPICS: %s with %u partitions", topics[i].name, topics[i].partition_count);
	}
}

static void metadata_told(void *user, enum kx_result r, const struct kx_metadata_info *info,
	const struct kx_partition_info *partitions, uint32_t count, bool last)
{
	struct client *c = user;

	(void)last;
	if (r != KX_OK)
		return;
	for (uint32_t i = 0; i < count; i++)
		SIM_CHECK(c->sim,
			(partitions[i].owner_port - SIM_PORT) % 65536u ==
				partitions[i].partition % c->sim->broker.lcore_count,
			"METADATA: %s/%u at port %u", info->topic, partitions[i].index,
			partitions[i].owner_port);
}

static void ping_told(void *user, enum kx_result r, uint32_t lcore, uint64_t rtt_ns, uint64_t residence_ns)
{
	struct client *c = user;

	(void)lcore;
	(void)residence_ns; /* of the broker's clock: it may jump while the PING waits */
	SIM_CHECK(c->sim, r != KX_OK || rtt_ns > 0, "a round trip in no time");
}

static void ask(struct client *c)
{
	struct sim *s = c->sim;
	uint64_t now_ns = client_now(c);

	switch (pick(s, 4)) {
	case 0:
		(void)kx_client_topics(c->c, KX_NS_PER_S, now_ns, topics_told, c);
		break;
	case 1:
		(void)kx_client_metadata(c->c, sim_topic_name((uint32_t)pick(s, SIM_TOPICS)), KX_NS_PER_S,
			now_ns, metadata_told, c);
		break;
	case 2:
		(void)kx_client_metadata(c->c, "nowhere", KX_NS_PER_S, now_ns, metadata_told, c);
		break;
	default:
		(void)kx_client_ping(
			c->c, (uint32_t)pick(s, s->broker.lcore_count), KX_NS_PER_S, now_ns, ping_told, c);
	}
}

static void change(struct client *c)
{
	struct sim *s = c->sim;
	uint32_t at;

	if (chance(s, 300)) {
		at = (uint32_t)pick(s, SIM_PROC_PRODUCERS);
		if (c->producers[at] == NULL)
			producer_open(c, at, (uint32_t)pick(s, SIM_TOPICS));
		else if (chance(s, 300))
			producer_close(c, at);
		return;
	}
	at = (uint32_t)pick(s, SIM_PROC_CONSUMERS);
	if (c->consumers[at] == NULL)
		consumer_open(c, at, (uint32_t)pick(s, SIM_TOPICS), false);
	else if (chance(s, 500))
		consumer_close(c, at);
}

void load_action(struct client *c)
{
	struct sim *s = c->sim;
	uint32_t what = (uint32_t)pick(s, 100);

	if (!c->up)
		return;
	sim_at(s, s->now_ns + (uint64_t)kx_prng_exp(&s->prng, (double)s->app_gap_ns), EV_APP, c->index,
		c->incarnation);
	if (s->now_ns < c->frozen_ns)
		return;
	load_consume(c, s->calm ? 100000 : 1 + (uint32_t)pick(s, 200));
	control_complete(c, s->calm ? UINT32_MAX : 1 + (uint32_t)flow_pick(s, 50));
	control_act(c);
	if (!s->calm && what < 92) {
		struct app_producer *a = c->producers[pick(s, SIM_PROC_PRODUCERS)];

		if (a != NULL)
			send_some(c, a);
	} else if (!s->calm && what < 95) {
		ask(c);
	} else if (!s->calm && what < 97) {
		change(c);
	}
	client_wake(c, s->now_ns + SIM_US);
}

/* Nobody sends any more; logs that block get a reader from the beginning, all processes are there. */
void load_settle(struct sim *s)
{
	for (uint32_t i = 0; i < s->client_count; i++) {
		struct client *c = &s->clients[i];

		if (!c->up)
			client_up(c);
		for (uint32_t k = 0; k < SIM_PROC_PRODUCERS; k++)
			if (c->producers[k] != NULL)
				kx_producer_flush(c->producers[k]->p, client_now(c));
		control_settle(c);
		client_wake(c, s->now_ns);
	}
	drain_open(&s->clients[0]);
}
