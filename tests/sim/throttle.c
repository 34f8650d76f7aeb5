/* SPDX-License-Identifier: BSD-3-Clause */
/* THROTTLED and RESUMED come in pairs for each data lcore of a client, with a cause that the broker named. */
#include <string.h>

#include "sim.h"

static bool known(const struct sim *s, uint32_t cause)
{
	switch (cause) {
	case KX_BLOCKED_LOG:
	case KX_BLOCKED_MEMORY:
		return true;
	case KX_BLOCKED_QUOTA:
		return (s->features & FLOW_QUOTA) != 0;
	default:
		return false;
	}
}

void throttle_took(struct client *c, uint32_t lcore, uint8_t blocked)
{
	if (lcore < SIM_LCORES)
		c->throttle[lcore].told |= 1u << blocked;
}

static void throttled(struct client *c, const struct kx_event *e)
{
	struct throttle *t = &c->throttle[e->count];
	struct sim *s = c->sim;

	SIM_CHECK(s, known(s, e->code), "client %u is throttled for cause %u", c->index, e->code);
	SIM_CHECK(s, t->told >> e->code & 1,
		"client %u lcore %u is throttled for cause %u, which nobody named", c->index, e->count,
		e->code);
	SIM_CHECK(s, t->cause != e->code,
		"client %u lcore %u is told again that it is throttled for cause %u", c->index, e->count,
		e->code);
	if (t->cause == KX_BLOCKED_NO)
		t->since_ns = client_now(c);
	t->cause = e->code;
	s->coverage.reached[REACHED_THROTTLED_QUOTA] += e->code == KX_BLOCKED_QUOTA;
	s->coverage.reached[REACHED_THROTTLED_LOG] += e->code == KX_BLOCKED_LOG;
}

static void resumed(struct client *c, const struct kx_event *e)
{
	struct throttle *t = &c->throttle[e->count];
	struct sim *s = c->sim;

	SIM_CHECK(s, t->cause != KX_BLOCKED_NO, "client %u lcore %u is told RESUMED and was not throttled",
		c->index, e->count);
	SIM_CHECK(s, t->cause == e->code, "client %u lcore %u: RESUMED from cause %u, it was %u", c->index,
		e->count, e->code, t->cause);
	SIM_CHECK(s, e->first == client_now(c) - t->since_ns,
		"client %u lcore %u: RESUMED after %llu ns, it was %llu", c->index, e->count,
		(unsigned long long)e->first, (unsigned long long)(client_now(c) - t->since_ns));
	t->cause = KX_BLOCKED_NO;
}

void throttle_event(struct client *c, const struct kx_event *e)
{
	if (e->type != KX_EVENT_THROTTLED && e->type != KX_EVENT_RESUMED)
		return;
	SIM_CHECK(c->sim, e->count < c->sim->broker.lcore_count, "client %u: an event of lcore %u", c->index,
		e->count);
	if (e->type == KX_EVENT_THROTTLED)
		throttled(c, e);
	else
		resumed(c, e);
}

void throttle_forget(struct client *c)
{
	memset(c->throttle, 0, sizeof(c->throttle));
}

bool throttle_settled(const struct sim *s, bool print)
{
	for (uint32_t i = 0; i < s->client_count; i++)
		for (uint32_t k = 0; k < SIM_LCORES; k++) {
			if (s->clients[i].throttle[k].cause == KX_BLOCKED_NO)
				continue;
			if (print)
				printf("client %u lcore %u is throttled for cause %u\n", i, k,
					s->clients[i].throttle[k].cause);
			return false;
		}
	return true;
}
