/* SPDX-License-Identifier: BSD-3-Clause */
/* Ends that are starved of CPU, before rings that overflow meanwhile: thousands of frames in a row are lost.
 * What is missing is repaired in a bounded time, and when the ends run again so does the traffic. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "client_pair.h"

#define MS	  UINT64_C(1000000)
#define PARTS	  4
#define PER_FRAME 17
#define RING	  1024

/* A broker and a process of two producers and two consumers, all with all partitions, as the smoke over memif
 * has them. */
struct reader {
	uint64_t next[PARTS], messages;
};
struct starved {
	struct net *net;
	struct seen seen;
	struct reader readers[2];
	struct kx_client *producing[2], *consuming[2];
	struct kx_producer *producer[2];
	struct kx_consumer *consumer[2];
	uint64_t sent, completed;
	uint64_t run_ns, sleep_ns; /* on average */
	uint64_t wake_ns[2];	   /* broker, clients: until then they run */
};

static const char ini[] =
	"[lcores]\ndata = 1\n"
	"[memory]\nlog_bytes = 64M\nextent_bytes = 64K\n"
	"[port net_memif0]\naddress = 10.0.0.254/24\n"
	"[topic spread]\npartitions = 4\noverrun = block\nlog_bytes = 12M\nmax_message_bytes = 64K\n";

static void on_complete(void *user, const struct kx_completion *c)
{
	struct starved *w = user;

	assert_int_equal(c->result, KX_OK);
	w->completed += c->count;
}

static void on_batch(void *user, const struct kx_batch_view *v)
{
	struct reader *r = user;

	assert_int_equal(v->first_offset, r->next[v->partition]);
	r->next[v->partition] += v->count;
	r->messages += v->count;
}

static void starved_open(struct starved *w, uint64_t seed)
{
	*w = (struct starved){.net = net_new(ini, 1, 1, seed)};
	w->net->delay_ns = 20000;
	w->net->ring_frames = RING;
	for (int i = 0; i < 2; i++) {
		struct kx_producer_opts po = {
			.topic = "spread", .send_slots = 1024, .on_complete = on_complete, .user = w};
		struct kx_consumer_opts co = {.topic = "spread",
			.partition = KX_PARTITION_ALL,
			.start_offset = KX_OFFSET_EARLIEST,
			.window_bytes = 1 << 20,
			.on_batch = on_batch,
			.user = &w->readers[i]};

		w->producing[i] = pair_client(w->net, 0, &w->seen);
		w->consuming[i] = pair_client(w->net, 0, &w->seen);
		assert_int_equal(
			kx_producer_open(w->producing[i], &po, w->net->now_ns, &w->producer[i]), KX_OK);
		assert_int_equal(
			kx_consumer_open(w->consuming[i], &co, w->net->now_ns, &w->consumer[i]), KX_OK);
	}
	for (int i = 0; i < 100000 &&
		(w->seen.events[KX_EVENT_PRODUCER_READY] < 2 || w->seen.events[KX_EVENT_CONSUMER_READY] < 2);
		i++)
		net_turn(w->net);
	assert_int_equal(w->seen.events[KX_EVENT_PRODUCER_READY], 2);
	assert_int_equal(w->seen.events[KX_EVENT_CONSUMER_READY], 2);
}

static void produce(struct starved *w)
{
	for (uint32_t i = 0; i < 4; i++) {
		uint8_t *values;
		uint32_t stride;

		if (kx_producer_claim(w->producer[i % 2], (uint32_t)(w->sent / PER_FRAME / 2) % PARTS, 7, 64,
			    PER_FRAME, &values, &stride) != KX_OK)
			continue;
		for (uint32_t k = 0; k < PER_FRAME; k++)
			memset(values + k * stride, 1, 64);
		w->sent += PER_FRAME;
		assert_int_equal(kx_producer_commit(w->producer[i % 2], w->sent, w->net->now_ns), KX_OK);
	}
}

/* Somewhere between half and one and a half of what was said. */
static uint64_t about(struct net *net, uint64_t ns)
{
	return ns / 2 + kx_prng_below(&net->prng, ns);
}

static void naps(struct starved *w)
{
	struct net *net = w->net;
	struct node *nodes[2] = {&net->lcores[0], &net->hubs[0]};

	for (int i = 0; i < 2 && w->sleep_ns != 0; i++) {
		if (net->now_ns < w->wake_ns[i])
			continue;
		nodes[i]->asleep_until_ns = net->now_ns + about(net, w->sleep_ns);
		w->wake_ns[i] = nodes[i]->asleep_until_ns + about(net, w->run_ns);
	}
}

static bool all_read(const struct starved *w)
{
	return w->completed == w->sent && w->readers[0].messages == w->sent &&
		w->readers[1].messages == w->sent;
}

static void turn(struct starved *w, bool producing)
{
	naps(w);
	if (producing && w->net->now_ns >= w->net->hubs[0].asleep_until_ns)
		produce(w);
	net_turn(w->net);
}

static void run(struct starved *w, uint64_t ns)
{
	for (uint64_t end = w->net->now_ns + ns; w->net->now_ns < end;)
		turn(w, true);
}

/* @return time until everything sent has arrived */
static uint64_t drain(struct starved *w)
{
	uint64_t from = w->net->now_ns;

	while (!all_read(w) && w->net->now_ns < from + 60 * KX_NS_PER_S)
		turn(w, false);
	assert_true(all_read(w));
	return w->net->now_ns - from;
}

static void report(const struct starved *w, const char *what, uint64_t frames, uint64_t ns)
{
	const struct kx_broker_counters *b = kx_broker_counters(w->net->brokers[0]);

	print_message("%s: %lu frames read by each, %lu us until all was; lost %lu, repaired %lu\n", what,
		(unsigned long)frames, (unsigned long)ns / 1000, (unsigned long)w->net->lost,
		(unsigned long)b->repaired_frames);
}

/* Broker and clients run for 5 ms of 45 each, whichever; that is how machines are that have other things to
 * do. */
static void test_starved(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 4; seed++) {
		uint64_t from, frames, ns;
		struct starved w;

		starved_open(&w, seed);
		run(&w, 200 * MS);
		from = KX_MIN(w.readers[0].messages, w.readers[1].messages);
		w.run_ns = 5 * MS;
		w.sleep_ns = 40 * MS;
		run(&w, 5 * KX_NS_PER_S);
		frames = (KX_MIN(w.readers[0].messages, w.readers[1].messages) - from) / PER_FRAME;
		ns = drain(&w);
		report(&w, "starved", frames, ns);
		assert_true(w.net->lost > 0); /* a ring did overflow */
		assert_true(frames > 20000);
		assert_true(ns < 3 * KX_NS_PER_S);
		/* awake again, everything is as it was */
		w.sleep_ns = 0;
		run(&w, 20 * MS);
		from = w.readers[0].messages;
		run(&w, 100 * MS);
		assert_true((w.readers[0].messages - from) / PER_FRAME > 100 * 100 * 3);
		assert_true(drain(&w) < 100 * MS);
		net_free(w.net);
	}
}

/* One of them is away for a second. */
static void stalled(bool broker)
{
	struct starved w;
	struct node *node;
	uint64_t from, ns;

	starved_open(&w, 7);
	node = broker ? &w.net->lcores[0] : &w.net->hubs[0];
	run(&w, 200 * MS);
	for (int i = 0; i < 5; i++) {
		node->asleep_until_ns = w.net->now_ns + KX_NS_PER_S;
		run(&w, KX_NS_PER_S + 100 * MS);
		from = w.readers[0].messages;
		run(&w, 100 * MS);
		assert_true((w.readers[0].messages - from) / PER_FRAME > 100 * 100 * 3);
	}
	ns = drain(&w);
	report(&w, broker ? "broker stalled" : "clients stalled", w.readers[0].messages / PER_FRAME, ns);
	assert_true(ns < 100 * MS);
	net_free(w.net);
}

static void test_stalled(void **state)
{
	(void)state;
	stalled(true);
	stalled(false);
}

/* ---- the budget by itself */

/* Repairs that leave within `ns`, a hundred microseconds a turn; each but the last round brings progress. */
static uint32_t spent(struct kx_retx_budget *b, uint64_t from_ns, uint64_t ns, uint64_t pto_ns, bool progress)
{
	uint32_t n = 0;

	for (uint64_t now = from_ns; now < from_ns + ns; now += MS / 10) {
		for (; kx_retx_due_ns(b) <= now; n++)
			kx_retx_spend(b, now, pto_ns);
		if (progress)
			kx_retx_progress(b, pto_ns / 2);
	}
	return n;
}

static void test_rounds_of_the_budget(void **state)
{
	const uint64_t start = KX_NS_PER_S;
	struct kx_retx_budget b;

	(void)state;
	kx_retx_init(&b);
	assert_int_equal(spent(&b, start, MS / 10, 100 * MS, false), KX_RETX_DEPTH + KX_RETX_FLOOR);
	/* in vain: eight each probe time-out */
	assert_int_equal(spent(&b, start + 1 * MS, 1000 * MS, 100 * MS, false), 10 * KX_RETX_FLOOR);
	/* of use: twice as many each 50 ms, up to eight a millisecond */
	assert_in_range(spent(&b, start + 1101 * MS, 500 * MS, 100 * MS, true),
		8 + 16 + 32 + 64 + 128 + 256 + 3 * 400, 16 + 32 + 64 + 128 + 256 + 5 * 400);
	/* in vain again */
	assert_in_range(spent(&b, start + 1601 * MS, 1000 * MS, 100 * MS, false), 9 * KX_RETX_FLOOR,
		400 + 10 * KX_RETX_FLOOR);
	/* never more than eight a millisecond */
	assert_in_range(spent(&b, start + 2601 * MS, 1000 * MS, 1 * MS, true), 1000 * KX_RETX_FLOOR / 2,
		1001 * KX_RETX_FLOOR);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_starved),
		cmocka_unit_test(test_stalled),
		cmocka_unit_test(test_rounds_of_the_budget),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
