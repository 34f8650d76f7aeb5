/* SPDX-License-Identifier: BSD-3-Clause */
/* The clock, the events, the random numbers, the trace; and what the library takes for the machine's. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "identity.h"

struct sim *sim_current;

/* ---- instead of lib/base's: these are found before the library's, whose objects then are not linked */

int kx_random_bytes(void *out, size_t bytes)
{
	uint8_t *p = out;

	for (size_t i = 0; i < bytes; i += 8) {
		uint64_t r = kx_prng_next(&sim_current->secret_prng);

		memcpy(p + i, &r, KX_MIN(bytes - i, sizeof(r)));
	}
	return 0;
}

uint64_t kx_clock_mono_ns(void)
{
	return sim_current->now_ns + sim_current->broker.clock_ns;
}

uint64_t kx_clock_real_ns(void)
{
	return kx_clock_mono_ns() + UINT64_C(1700000000) * KX_NS_PER_S;
}

/* ---- events: a heap by time, then by order of making */

static bool before(const struct event *a, const struct event *b)
{
	return a->due_ns != b->due_ns ? a->due_ns < b->due_ns : a->order < b->order;
}

void sim_at(struct sim *s, uint64_t due_ns, enum sim_event kind, uint32_t a, uint64_t b)
{
	struct event e = {
		.due_ns = KX_MAX(due_ns, s->now_ns), .order = s->order++, .kind = kind, .a = a, .b = b};
	uint32_t i = s->heap_count++;

	if (i == s->heap_size) {
		s->heap_size = KX_MAX(1024u, 2 * s->heap_size);
		s->heap = realloc(s->heap, s->heap_size * sizeof(*s->heap));
	}
	for (; i > 0 && before(&e, &s->heap[(i - 1) / 2]); i = (i - 1) / 2)
		s->heap[i] = s->heap[(i - 1) / 2];
	s->heap[i] = e;
}

static struct event pop(struct sim *s)
{
	struct event first = s->heap[0], last = s->heap[--s->heap_count];
	uint32_t i = 0, child;

	while ((child = 2 * i + 1) < s->heap_count) {
		if (child + 1 < s->heap_count && before(&s->heap[child + 1], &s->heap[child]))
			child++;
		if (!before(&s->heap[child], &last))
			break;
		s->heap[i] = s->heap[child];
		i = child;
	}
	s->heap[i] = last;
	return first;
}

/* ---- trace */

void sim_mix(struct sim *s, uint64_t value)
{
	s->hash = (s->hash ^ value) * UINT64_C(0x9e3779b97f4a7c15);
	s->hash ^= s->hash >> 29;
}

void sim_trace(struct sim *s, const char *fmt, ...)
{
	uint64_t ns = s->now_ns - s->begin_ns;
	va_list ap;

	printf("%3llu.%09llu ", (unsigned long long)(ns / KX_NS_PER_S),
		(unsigned long long)(ns % KX_NS_PER_S));
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
}

void sim_fail(struct sim *s, const char *fmt, ...)
{
	va_list ap;

	fflush(stdout);
	printf("FAIL seed %llu at %.9f s: ", (unsigned long long)s->seed,
		(double)(s->now_ns - s->begin_ns) / 1e9);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
	fflush(stdout);
	_exit(1);
}

/* ---- a run */

/* The chaos is over: nothing new goes wrong, nothing new is sent, and all has to come to rest. */
static void calm(struct sim *s)
{
	s->calm = true;
	TRACE(s, "calm");
	faults_stop(s);
	load_settle(s);
}

/* Everything has come to rest: the clients leave, and nothing may be left of them. */
static void leave(struct sim *s)
{
	s->leaving = true;
	s->end_ns = s->now_ns + 10 * KX_NS_PER_S;
	for (uint32_t i = 0; i < s->client_count; i++)
		client_down(&s->clients[i], false);
}

/* Enough has gone wrong: for so long, so many events, and of a whole run so many kinds, which chance may
 * leave out for a while. */
static bool chaos_is_over(const struct sim *s)
{
	if (s->now_ns < s->chaos_end_ns || s->events < SIM_EVENTS_MIN * 9 / 10)
		return false;
	return s->least_ns < 60 * KX_NS_PER_S || __builtin_popcountll(s->faults_seen) >= SIM_KINDS_MIN ||
		s->now_ns >= s->chaos_end_ns + s->least_ns;
}

static void phase(struct sim *s)
{
	if (!s->calm && chaos_is_over(s)) {
		/* what waits goes no faster than a quota lets it */
		s->end_ns = s->now_ns + (s->features & FLOW_QUOTA ? 120 : 30) * KX_NS_PER_S;
		calm(s);
	} else if (!s->calm) {
		s->end_ns = s->now_ns + 30 * KX_NS_PER_S;
	} else if (!s->leaving && s->events >= SIM_EVENTS_MIN && check_is_settled(s, false)) {
		leave(s);
	} else if (s->leaving && s->now_ns >= s->begin_ns + s->least_ns && check_is_empty(s, false)) {
		s->done = true;
		return;
	}
	sim_at(s, s->now_ns + 100 * SIM_MS, EV_PHASE, 0, 0);
}

static void run_event(struct sim *s, const struct event *e)
{
	switch ((enum sim_event)e->kind) {
	case EV_ARRIVE:
		net_arrive(s, e->a);
		break;
	case EV_LAST:
		net_last(s, e->a, e->b);
		break;
	case EV_LCORE:
		lcore_turn(&s->broker.lcores[e->a], e->b);
		break;
	case EV_CLIENT:
		client_poll(&s->clients[e->a], e->b);
		break;
	case EV_APP:
		if (s->clients[e->a].incarnation == e->b)
			load_action(&s->clients[e->a]);
		break;
	case EV_RAW:
		raw_act(&s->raws[e->a]);
		break;
	case EV_FAULT:
		faults_next(s);
		break;
	case EV_FAULT_END:
		faults_end(s, e->a, e->b);
		break;
	case EV_PIN:
		lcore_pin_due(&s->broker.lcores[e->a]);
		break;
	case EV_BROKER_UP:
		if (!s->broker.up)
			broker_up(s);
		break;
	case EV_ROTATE:
		identity_rotate(s);
		break;
	case EV_CLIENT_UP:
		if (!s->clients[e->a].up && !s->leaving)
			client_up(&s->clients[e->a]);
		break;
	case EV_GIVE_UP:
		if (s->clients[e->a].incarnation == e->b && !s->leaving) {
			client_down(&s->clients[e->a], false);
			sim_at(s, s->now_ns + pick(s, KX_NS_PER_S), EV_CLIENT_UP, e->a, 0);
		}
		break;
	case EV_PATH:
		paths_change(s);
		break;
	case EV_PHASE:
		phase(s);
		break;
	}
}

static void begin(struct sim *s, uint64_t seconds)
{
	sim_current = s;
	kx_prng_seed(&s->prng, s->seed);
	kx_prng_seed(&s->secret_prng, s->seed ^ UINT64_C(0x5eed5eed5eed5eed));
	s->now_ns = s->begin_ns = 1000 * KX_NS_PER_S;
	s->least_ns = seconds * KX_NS_PER_S;
	s->chaos_end_ns = s->begin_ns + s->least_ns - s->least_ns / 8;
	s->end_ns = s->begin_ns + s->least_ns;
	s->app_gap_ns = pick_in(s, 20, 80) * SIM_MS;
	flow_init(s);
	identity_init(s);
	wire_init(s);
	check_init(s);
	net_init(s);
	paths_init(s);
	broker_init(s);
	load_init(s);
	paths_begin(s);
	raw_init(s);
	faults_init(s);
	broker_up(s);
	for (uint32_t i = 0; i < s->client_count; i++)
		client_up(&s->clients[i]);
	sim_at(s, s->now_ns + KX_NS_PER_S, EV_PHASE, 0, 0);
}

void sim_run(struct sim *s, uint64_t seconds)
{
	begin(s, seconds);
	while (!s->done && s->heap_count > 0 && s->heap[0].due_ns <= s->end_ns) {
		struct event e = pop(s);

		s->now_ns = e.due_ns;
		s->events++;
		sim_mix(s, e.due_ns ^ (uint64_t)e.kind << 60 ^ (uint64_t)e.a << 40);
		run_event(s, &e);
	}
	check_end(s);
	s->coverage.seeds = 1;
	s->coverage.events = s->events;
	s->coverage.virtual_ns = s->now_ns - s->begin_ns;
	s->coverage.datagrams = s->net.sent;
	s->coverage.messages = s->oracle.delivered;
}

void sim_free(struct sim *s)
{
	broker_free(s);
	net_free(s);
	check_free(s);
	wire_free(s);
	raw_free(s);
	identity_free(s);
	flow_free(s);
	free(s->heap);
	for (uint32_t i = 0; i < s->app_count; i++) {
		for (uint32_t k = 0; k < KX_DIM(s->apps[i]->parts); k++)
			free(s->apps[i]->parts[k].place);
		free(s->apps[i]);
	}
	for (uint32_t i = 0; i < s->consumer_count; i++)
		free(s->consumers[i]);
}
