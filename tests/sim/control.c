/* SPDX-License-Identifier: BSD-3-Clause */
/* What applications decide about their consumers: seek, pause, acknowledge; and completions that they poll.
 */
#include <stdlib.h>

#include "sim.h"

static uint32_t parts_of(const struct app_consumer *a)
{
	return a->sim->broker.conf->topics[a->topic].partitions;
}

static bool has_part(const struct app_consumer *a, uint32_t part)
{
	return part < parts_of(a) && (a->partition == KX_PARTITION_ALL || (uint32_t)a->partition == part);
}

static const struct mpart *log_of(const struct app_consumer *a, uint32_t part)
{
	struct sim *s = a->sim;

	return &s->oracle.parts[s->broker.boots - 1][s->broker.conf->topics[a->topic].first_partition + part];
}

void control_open(struct app_consumer *a, struct kx_consumer_opts *opts)
{
	if (!(a->sim->features & FLOW_CONTROL))
		return;
	a->manual = flow_chance(a->sim, 400);
	opts->manual_ack = a->manual;
}

/* ---- seek */

/* What was told before is over: the next offset is the one asked for, or it is explained. */
static void sought(struct app_consumer *a, uint32_t part, uint64_t to)
{
	const struct mpart *m = log_of(a, part);
	uint32_t kept = 0;

	a->from[part] = to;
	a->started[part] = false;
	a->boot[part] = a->sim->broker.boots - 1;
	a->open_first[part] = to == KX_OFFSET_NOW ? m->next_offset : m->first_offset;
	a->acked[part] = 0;
	for (uint32_t i = 0; i < a->jump_count; i++)
		if (a->jumps[i].part != part)
			a->jumps[kept++] = a->jumps[i];
	a->jump_count = kept;
}

static uint64_t target(struct app_consumer *a, uint32_t part)
{
	const struct mpart *m = log_of(a, part);
	uint64_t at = a->started[part] ? a->next[part] : m->first_offset;
	struct sim *s = a->sim;

	switch (flow_pick(s, 5)) {
	case 0:
		s->coverage.reached[REACHED_SEEK_BEGIN]++;
		return KX_OFFSET_EARLIEST;
	case 1:
		s->coverage.reached[REACHED_SEEK_END]++;
		return KX_OFFSET_NOW;
	case 2:
		if (at < m->next_offset) {
			s->coverage.reached[REACHED_SEEK_FORWARD]++;
			return at + flow_pick(s, m->next_offset - at + 1);
		}
		s->coverage.reached[REACHED_SEEK_BEYOND]++;
		return m->next_offset + 1 + flow_pick(s, 1000);
	default:
		s->coverage.reached[REACHED_SEEK_BACK]++;
		return at - flow_pick(s, KX_MIN(at, UINT64_C(300)) + 1);
	}
}

static void seek(struct app_consumer *a, int32_t partition)
{
	uint32_t part = partition == KX_PARTITION_ALL ? 0 : (uint32_t)partition;
	uint64_t to = target(a, part);
	struct sim *s = a->sim;
	enum kx_result r = kx_consumer_seek(a->c, partition, to, client_now(&s->clients[a->client]));

	if (r == KX_NOT_READY || (a->failed && r == KX_BAD_STATE))
		return;
	SIM_CHECK(s, r == KX_OK, "consumer %u: seek: %s", a->id, kx_result_name(r));
	TRACE(s, "consumer %u partition %d: seek to %llu", a->id, partition, (unsigned long long)to);
	for (uint32_t i = 0; i < parts_of(a); i++)
		if (partition == KX_PARTITION_ALL ? has_part(a, i) : i == part)
			sought(a, i, to);
}

/* ---- pause */

static void set_paused(struct app_consumer *a, int32_t partition, bool paused)
{
	struct sim *s = a->sim;
	enum kx_result r = paused ? kx_consumer_pause(a->c, partition)
				  : kx_consumer_resume(a->c, partition, client_now(&s->clients[a->client]));

	if (r == KX_NOT_READY || (a->failed && r == KX_BAD_STATE))
		return;
	SIM_CHECK(
		s, r == KX_OK, "consumer %u: %s: %s", a->id, paused ? "pause" : "resume", kx_result_name(r));
	s->coverage.reached[paused ? REACHED_PAUSE : REACHED_RESUME]++;
	TRACE(s, "consumer %u partition %d: %s", a->id, partition, paused ? "pause" : "resume");
	for (uint32_t i = 0; i < parts_of(a); i++)
		if (partition == KX_PARTITION_ALL ? has_part(a, i) : i == (uint32_t)partition)
			a->paused[i] = paused;
}

static int32_t any_partition(struct app_consumer *a)
{
	if (flow_chance(a->sim, 200))
		return KX_PARTITION_ALL;
	return a->partition != KX_PARTITION_ALL ? a->partition : (int32_t)flow_pick(a->sim, parts_of(a));
}

/* ---- acknowledge */

static void ack(struct app_consumer *a, uint32_t part, uint64_t to)
{
	struct sim *s = a->sim;
	enum kx_result r = kx_consumer_ack(a->c, part, to, client_now(&s->clients[a->client]));

	SIM_CHECK(s, r == KX_OK, "consumer %u partition %u: acknowledge %llu at %llu: %s", a->id, part,
		(unsigned long long)to, (unsigned long long)a->next[part], kx_result_name(r));
	s->coverage.reached[REACHED_ACK]++;
	a->acked[part] = KX_MAX(a->acked[part], to);
}

/* Up to where it is, or a little less; and never what it has not got. */
static void ack_some(struct app_consumer *a, bool all)
{
	struct sim *s = a->sim;

	for (uint32_t i = 0; i < parts_of(a) && a->manual; i++) {
		uint64_t at = a->next[i], lag;

		if (!has_part(a, i) || !a->started[i] || (a->polled && a->jump_count > 0))
			continue;
		if (!all && flow_chance(s, 500))
			continue;
		if (flow_chance(s, 50)) {
			enum kx_result r =
				kx_consumer_ack(a->c, i, at + 1, client_now(&s->clients[a->client]));

			SIM_CHECK(s, r == KX_BAD_ARGUMENT,
				"consumer %u partition %u: acknowledge %llu, which it has not got: %s", a->id,
				i, (unsigned long long)at, kx_result_name(r));
			s->coverage.reached[REACHED_ACK_BEYOND]++;
		}
		lag = all ? 0 : flow_pick(s, 40);
		ack(a, i, at > lag ? at - lag : 0);
	}
}

void control_done(const struct client *c, uint32_t partition, uint64_t begin, uint64_t done)
{
	struct sim *s = c->sim;
	uint64_t most = 0;
	bool any = false;

	for (uint32_t i = 0; i < SIM_PROC_CONSUMERS; i++) {
		const struct app_consumer *a = c->consumers[i];
		uint32_t first, part;

		if (a == NULL)
			continue;
		first = s->broker.conf->topics[a->topic].first_partition;
		part = partition - first;
		if (partition < first || !has_part(a, part))
			continue;
		any = true;
		if (a->polled && !a->manual) /* it may still read what it has of a log that is gone */
			most = KX_MAX(most, begin);
		if (a->manual)
			most = KX_MAX(most, a->acked[part]);
		else
			most = KX_MAX(most,
				a->started[part] && a->jump_count == 0 ? a->next[part]
								       : kx_consumer_position(a->c, part));
	}
	SIM_CHECK(s, !any || done <= most,
		"client %u partition %u: the broker is told that all below %llu is done with, it is %llu",
		c->index, partition, (unsigned long long)done, (unsigned long long)most);
}

/* ---- what an application does next */

void control_act(struct client *c)
{
	struct sim *s = c->sim;

	for (uint32_t i = 0; i < SIM_PROC_CONSUMERS; i++) {
		struct app_consumer *a = c->consumers[i];

		if (a == NULL || !(s->features & FLOW_CONTROL))
			continue;
		ack_some(a, s->calm || a->drain);
		if (s->calm || a->drain)
			continue;
		if (flow_chance(s, 15))
			seek(a, any_partition(a));
		if (flow_chance(s, 15))
			set_paused(a, any_partition(a), true);
		else if (flow_chance(s, 60))
			set_paused(a, any_partition(a), false);
	}
}

/* From inside of a callback: nothing more of the old place comes. */
void control_in_batch(struct app_consumer *a, const struct kx_batch_view *v)
{
	struct sim *s = a->sim;

	if (!(s->features & FLOW_CONTROL) || s->calm || a->drain)
		return;
	if (flow_chance(s, 2)) {
		s->coverage.reached[REACHED_SEEK_IN_BATCH]++;
		seek(a, (int32_t)v->partition);
	}
	if (flow_chance(s, 2))
		set_paused(a, (int32_t)v->partition, true);
}

void control_settle(struct client *c)
{
	for (uint32_t i = 0; i < SIM_PROC_CONSUMERS; i++) {
		struct app_consumer *a = c->consumers[i];
		bool any = false;

		for (uint32_t k = 0; a != NULL && k < parts_of(a); k++)
			any |= a->paused[k];
		if (any)
			set_paused(a, a->partition, false);
	}
}

/* ---- completions */

void control_complete(struct client *c, uint32_t max)
{
	struct kx_completion done[8];

	for (uint32_t i = 0; i < SIM_PROC_PRODUCERS; i++) {
		struct app_producer *a = c->producers[i];
		uint32_t n, left = max;

		if (a == NULL || !a->polled)
			continue;
		while (left > 0 &&
			(n = kx_producer_poll(a->p, done, KX_MIN(left, (uint32_t)KX_DIM(done)))) > 0) {
			for (uint32_t k = 0; k < n; k++)
				check_completion(a, &done[k]);
			left -= n;
			c->sim->coverage.reached[REACHED_POLLED] += n;
		}
	}
}

void control_abandon(struct app_producer *a)
{
	struct sim *s = a->sim;
	uint64_t open = 0;

	if (!a->polled)
		return;
	control_complete(&s->clients[a->client], UINT32_MAX);
	for (uint32_t i = 0; i < KX_DIM(a->parts); i++)
		open += a->parts[i].sent - a->parts[i].completed;
	SIM_CHECK(s, open == kx_producer_pending(a->p),
		"producer %u: %llu messages have no completion, %llu are said to be pending", a->id,
		(unsigned long long)open, (unsigned long long)kx_producer_pending(a->p));
	a->abandoned = true;
}
