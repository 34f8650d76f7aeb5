/* SPDX-License-Identifier: BSD-3-Clause */
/* The oracle's end: with nothing going wrong any more, everything arrives; and nothing is left of those who
 * leave. */
#include "identity.h"

#define SAY(print, ...)                                                                                      \
	do {                                                                                                 \
		if (print) {                                                                                 \
			printf(__VA_ARGS__);                                                                 \
			putchar('\n');                                                                       \
		}                                                                                            \
	} while (0)

/* Every producer state of the broker is in use by somebody else: this one waits, and is told so. */
static bool no_state_left(const struct app_producer *a, uint32_t partition)
{
	const struct sim *s = a->sim;
	const struct lcore *l = &s->broker.lcores[kx_conf_partition_owner(partition, s->broker.lcore_count)];
	const struct kx_topic_table *t = l->broker != NULL ? kx_broker_topics(l->broker) : NULL;

	if (t == NULL || t->producer_free != KX_NONE ||
		kx_producer_find(t, s->ids[a->client], partition) != KX_NONE)
		return false;
	for (uint32_t i = 0; i < t->producer_count; i++)
		if (t->producers[i].owner == KX_NONE)
			return false;
	return true;
}

static bool polled_done(const struct app_producer *a)
{
	for (uint32_t i = 0; a->polled && i < KX_DIM(a->parts); i++)
		if (a->parts[i].completed != a->parts[i].sent)
			return false;
	return true;
}

static bool producer_done(const struct app_producer *a, bool print)
{
	uint32_t first = a->sim->broker.conf->topics[a->topic].first_partition;
	uint64_t waiting = a->p != NULL ? kx_producer_pending(a->p) : 0;

	for (uint32_t i = 0; waiting > 0 && i < KX_DIM(a->parts); i++)
		if (a->parts[i].sent != a->parts[i].completed && no_state_left(a, first + i))
			waiting -= a->parts[i].sent - a->parts[i].completed;
	if (a->p == NULL || (waiting == 0 && (kx_producer_pending(a->p) != 0 || polled_done(a))))
		return true;
	SAY(print, "producer %u of client %u, topic %s: %llu messages are not confirmed", a->id, a->client,
		sim_topic_name(a->topic), (unsigned long long)waiting);
	return false;
}

static bool partition_done(const struct app_consumer *a, uint32_t part, bool print)
{
	const struct sim *s = a->sim;
	uint32_t id = s->broker.conf->topics[a->topic].first_partition + part;
	uint64_t end = s->oracle.parts[s->broker.boots - 1][id].next_offset;
	uint64_t at = kx_consumer_position(a->c, part);

	if (at == end && (!a->polled || !a->started[part] || a->next[part] == end || a->jump_count > 0))
		return true;
	SAY(print, "consumer %u of client %u, topic %s partition %u: at %lld of %llu (%llu taken)", a->id,
		a->client, sim_topic_name(a->topic), part, (long long)at, (unsigned long long)end,
		(unsigned long long)a->next[part]);
	return false;
}

static bool consumer_done(const struct app_consumer *a, bool print)
{
	uint32_t parts = a->sim->broker.conf->topics[a->topic].partitions;
	bool done = true;

	if (a->c == NULL || a->failed)
		return true;
	if (identity_on(a->sim) && !identity_may_consume(&a->sim->clients[a->client], a->topic)) {
		SAY(print, "consumer %u of client %u was not told that topic %s is denied", a->id, a->client,
			sim_topic_name(a->topic));
		return false;
	}
	if (a->partition != KX_PARTITION_ALL)
		return partition_done(a, (uint32_t)a->partition, print);
	for (uint32_t i = 0; i < parts && (done || print); i++)
		done &= partition_done(a, i, print);
	return done;
}

/* Everything sent is confirmed or its fate told, and every consumer is at the end. */
bool check_is_settled(struct sim *s, bool print)
{
	bool done = s->broker.up;

	SAY(print && !done, "the broker is down");
	for (uint32_t i = 0; i < s->client_count && (done || print); i++) {
		if (s->clients[i].up && kx_client_connected(s->clients[i].c))
			continue;
		SAY(print, "client %u is not connected", i);
		done = false;
	}
	for (uint32_t i = 0; i < s->app_count && (done || print); i++)
		done &= producer_done(s->apps[i], print);
	for (uint32_t i = 0; i < s->consumer_count && (done || print); i++)
		done &= consumer_done(s->consumers[i], print);
	return done && throttle_settled(s, print);
}

static bool lcore_empty(struct lcore *l, bool print)
{
	const struct kx_topic_table *t = kx_broker_topics(l->broker);
	struct kx_broker_memory m;
	bool empty;

	kx_broker_memory(l->broker, &m);
	empty = m.sessions_used == 0 && m.reorder_used == 0 && m.subscriptions_used == 0 && m.pins == 0;
	SAY(print && !empty, "lcore %u keeps %llu sessions, %llu held frames, %llu subscriptions, %llu pins",
		l->index, (unsigned long long)m.sessions_used, (unsigned long long)m.reorder_used,
		(unsigned long long)m.subscriptions_used, (unsigned long long)m.pins);
	for (uint32_t i = 0; i < t->partition_count; i++) {
		if (t->partitions[i].reserved_bytes == 0)
			continue;
		SAY(print, "lcore %u partition %u: %llu bytes are reserved for nobody", l->index,
			t->partitions[i].id, (unsigned long long)t->partitions[i].reserved_bytes);
		empty = false;
	}
	return empty;
}

/* All clients are gone: no session, no held frame, no credit is left. */
bool check_is_empty(struct sim *s, bool print)
{
	bool empty = true;

	for (uint32_t i = 0; i < s->broker.lcore_count && (empty || print); i++)
		empty &= lcore_empty(&s->broker.lcores[i], print);
	return empty;
}

void check_end(struct sim *s)
{
	uint32_t kinds = (uint32_t)__builtin_popcountll(s->faults_seen);

	if (!s->leaving) {
		check_is_settled(s, true);
		sim_fail(s, "with nothing going wrong for %llu s, not everything arrived",
			(unsigned long long)((s->now_ns - s->chaos_end_ns) / KX_NS_PER_S));
	}
	if (!check_is_empty(s, false)) {
		check_is_empty(s, true);
		sim_fail(s, "all clients have left, and the broker is not empty");
	}
	SIM_CHECK(s, s->events >= SIM_EVENTS_MIN || s->least_ns < 60 * KX_NS_PER_S, "only %llu events",
		(unsigned long long)s->events);
	SIM_CHECK(
		s, kinds >= SIM_KINDS_MIN || s->least_ns < 60 * KX_NS_PER_S, "only %u kinds of fault", kinds);
	for (uint32_t i = 0; i < s->app_count; i++)
		for (uint32_t k = 0; k < KX_DIM(s->apps[i]->parts) && !s->apps[i]->raw; k++)
			SIM_CHECK(s,
				s->apps[i]->parts[k].completed == s->apps[i]->parts[k].sent ||
					s->apps[i]->abandoned,
				"producer %u partition %u: %llu of %llu messages have no completion", i, k,
				(unsigned long long)(s->apps[i]->parts[k].sent -
					s->apps[i]->parts[k].completed),
				(unsigned long long)s->apps[i]->parts[k].sent);
	broker_down(s, true);
}
