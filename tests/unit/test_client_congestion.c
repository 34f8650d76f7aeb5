/* SPDX-License-Identifier: BSD-3-Clause */
/* Congestion, pacing and the budget of repairs, in both directions: a link with a queue is kept busy and the
 * queue short, senders share it, random loss is not taken for it, and a storm of losses does not multiply the
 * traffic. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "client_pair.h"

#define PER_FRAME   17
#define FRAME_BYTES (32 + 72 + PER_FRAME * 72)
#define MS	    UINT64_C(1000000)

/* A producer and its consumer on a partition of their own. */
struct stream {
	struct seen seen;
	struct kx_client *pc, *cc;
	struct kx_producer *producer;
	struct kx_consumer *consumer;
	uint64_t sent;
};
struct scene {
	struct net *net;
	struct stream streams[2];
	uint32_t count, per_turn;
};

static const char ini[] =
	"[lcores]\ndata = 1\n"
	"[memory]\nlog_bytes = 64M\nextent_bytes = 64K\n"
	"[port net_memif0]\naddress = 10.0.0.254/24\n"
	"[topic a]\npartitions = 1\noverrun = block\nlog_bytes = 4M\nmax_message_bytes = 64K\n"
	"[topic b]\npartitions = 1\noverrun = block\nlog_bytes = 4M\nmax_message_bytes = 64K\n";

static void stream_open(struct scene *sc, uint32_t i)
{
	struct stream *s = &sc->streams[i];
	struct kx_producer_opts po = {
		.topic = i == 0 ? "a" : "b", .on_complete = pair_complete, .user = &s->seen};
	struct kx_consumer_opts co = {.topic = po.topic,
		.partition = KX_PARTITION_ALL,
		.start_offset = KX_OFFSET_EARLIEST,
		.on_batch = pair_batch,
		.user = &s->seen};

	s->pc = pair_client(sc->net, 2 * i, &s->seen);
	s->cc = pair_client(sc->net, 2 * i + 1, &s->seen);
	assert_int_equal(kx_producer_open(s->pc, &po, sc->net->now_ns, &s->producer), KX_OK);
	assert_int_equal(kx_consumer_open(s->cc, &co, sc->net->now_ns, &s->consumer), KX_OK);
	for (int k = 0; k < 100000 && s->seen.events[KX_EVENT_CONSUMER_READY] == 0; k++)
		net_turn(sc->net);
	for (int k = 0; k < 100000 && s->seen.events[KX_EVENT_PRODUCER_READY] == 0; k++)
		net_turn(sc->net);
	assert_int_equal(s->seen.events[KX_EVENT_CONSUMER_READY], 1);
	assert_int_equal(s->seen.events[KX_EVENT_PRODUCER_READY], 1);
}

static struct scene scene_new(uint32_t streams, uint64_t seed, uint64_t delay_ns)
{
	struct scene sc = {.net = net_new(ini, 1, 2 * streams, seed), .count = streams, .per_turn = 4};

	sc.net->delay_ns = delay_ns;
	return sc;
}

static void produce(struct scene *sc, struct stream *s)
{
	for (uint32_t i = 0; i < sc->per_turn; i++) {
		uint8_t *values;
		uint32_t stride;

		if (kx_producer_claim(s->producer, 0, 7, 64, PER_FRAME, &values, &stride) != KX_OK)
			return;
		for (uint32_t k = 0; k < PER_FRAME; k++)
			pair_fill(values + k * stride, 64, s->sent++);
		assert_int_equal(kx_producer_commit(s->producer, s->sent, sc->net->now_ns), KX_OK);
	}
}

static void run(struct scene *sc, uint64_t ns)
{
	for (uint64_t end = sc->net->now_ns + ns; sc->net->now_ns < end;) {
		for (uint32_t i = 0; i < sc->count; i++)
			produce(sc, &sc->streams[i]);
		net_turn(sc->net);
	}
}

/* Everything that was sent arrives. */
static void drain(struct scene *sc)
{
	for (uint32_t i = 0; i < sc->count; i++) {
		struct stream *s = &sc->streams[i];
		uint64_t limit = sc->net->now_ns + 60 * KX_NS_PER_S;

		while ((s->seen.messages < s->sent || s->seen.completed[0] < s->sent) &&
			sc->net->now_ns < limit)
			net_turn(sc->net);
		assert_int_equal(s->seen.messages, s->sent);
		assert_int_equal(s->seen.completed[0], s->sent);
		assert_int_equal(s->seen.failed, 0);
	}
}

static uint64_t congestions(const struct scene *sc)
{
	uint64_t n = kx_broker_counters(sc->net->brokers[0])->congestions;

	for (uint32_t i = 0; i < sc->count; i++) {
		struct kx_client_stats s;

		kx_client_stats(sc->streams[i].pc, &s);
		n += s.congestions;
	}
	return n;
}

/* ---- a bottleneck */

struct wire {
	bool deliveries; /* else what is produced passes it */
	uint64_t bytes_per_s, delay_ns;
	uint32_t queue_bytes, streams;
};
struct result {
	double goodput; /* of the link */
	double waited;	/* mean share of the queue in use */
	double share;	/* of the better of two senders, over that of the other */
	uint64_t dropped, passed;
};

static struct result through(const struct wire *w)
{
	struct scene sc = scene_new(w->streams, 5, w->delay_ns);
	struct link *l = w->deliveries ? &sc.net->to_client : &sc.net->to_broker;
	uint64_t from[2] = {0}, got[2] = {0}, ns = 4 * KX_NS_PER_S;
	struct result r;

	for (uint32_t i = 0; i < w->streams; i++)
		stream_open(&sc, i);
	l->bytes_per_s = w->bytes_per_s;
	l->queue_bytes = w->queue_bytes;
	l->hubs = w->deliveries ? 0xa : 0x5;
	run(&sc, 2 * KX_NS_PER_S); /* until it is settled */
	l->dropped = l->passed = l->waited_bytes = 0;
	for (uint32_t i = 0; i < w->streams; i++)
		from[i] = sc.streams[i].seen.messages;
	run(&sc, ns);
	for (uint32_t i = 0; i < w->streams; i++)
		got[i] = sc.streams[i].seen.messages - from[i];
	r = (struct result){.goodput = (double)(got[0] + got[1]) / PER_FRAME * FRAME_BYTES * 1e9 /
			(double)ns / (double)w->bytes_per_s,
		.waited = (double)l->waited_bytes / (double)l->passed / w->queue_bytes,
		.share = w->streams < 2
			? 1
			: (double)KX_MAX(got[0], got[1]) / (double)KX_MAX(KX_MIN(got[0], got[1]), 1),
		.dropped = l->dropped,
		.passed = l->passed};
	print_message("%s, %lu kB/s, %lu us, queue %u kB, %u senders: goodput %.3f, queue %.2f, share %.2f, "
		      "dropped %lu "
		      "of %lu; congestions %lu\n",
		w->deliveries ? "deliver" : "produce", (unsigned long)w->bytes_per_s / 1000,
		(unsigned long)w->delay_ns / 1000, w->queue_bytes / 1000, w->streams, r.goodput, r.waited,
		r.share, (unsigned long)r.dropped, (unsigned long)r.passed, (unsigned long)congestions(&sc));
	assert_true(congestions(&sc) > 0);
	drain(&sc);
	net_free(sc.net);
	return r;
}

static void each_bottleneck(bool deliveries)
{
	static const struct wire wires[] = {
		{.bytes_per_s = 10000000, .delay_ns = 1 * MS, .queue_bytes = 256000, .streams = 1},
		{.bytes_per_s = 10000000, .delay_ns = 1 * MS, .queue_bytes = 256000, .streams = 2},
		{.bytes_per_s = 10000000, .delay_ns = 10 * MS, .queue_bytes = 200000, .streams = 2},
		{.bytes_per_s = 40000000, .delay_ns = 1 * MS, .queue_bytes = 1000000, .streams = 2},
	};

	for (uint32_t i = 0; i < KX_DIM(wires); i++) {
		struct wire w = wires[i];
		struct result r;

		w.deliveries = deliveries;
		r = through(&w);
		assert_true(r.goodput >= 0.85);
		assert_true(r.waited < 0.5);
		assert_true(r.share < 2);
	}
}

static void test_produce_through_a_bottleneck(void **state)
{
	(void)state;
	each_bottleneck(false);
}

static void test_deliver_through_a_bottleneck(void **state)
{
	(void)state;
	each_bottleneck(true);
}

/* A queue of twenty frames: it shows by losses, not by delay. */
static void test_a_shallow_queue(void **state)
{
	(void)state;
	for (int deliveries = 0; deliveries < 2; deliveries++) {
		struct wire w = {.deliveries = deliveries != 0,
			.bytes_per_s = 40000000,
			.delay_ns = 1 * MS,
			.queue_bytes = 30000,
			.streams = 1};
		struct result r = through(&w);

		assert_true(r.goodput >= 0.85);
		assert_true(r.dropped * 6 < r.passed);
	}
}

static void test_random_loss_is_no_congestion(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < 6; i++) {
		uint32_t loss = 10 + 20 * (i % 3); /* 1, 3, 5 % */
		struct scene sc = scene_new(1, i + 1, i < 3 ? 1 * MS : 20 * MS);

		sc.net->loss = loss;
		stream_open(&sc, 0);
		run(&sc, KX_NS_PER_S);
		assert_int_equal(congestions(&sc), 0);
		sc.net->loss = 0;
		drain(&sc);
		net_free(sc.net);
	}
}

/* Ends that share a CPU answer tens of milliseconds late, whatever is under way: for 15 ms of 20 one of them
 * or the other does not run. That is no congestion, and nothing is slowed down for it. */
static void descheduled_ends(uint32_t loss)
{
	struct scene sc = scene_new(1, 9, MS / 50);
	uint64_t from, turns = 0;

	stream_open(&sc, 0);
	sc.net->loss = loss;
	from = sc.streams[0].seen.messages;
	for (uint64_t end = sc.net->now_ns + 2 * KX_NS_PER_S; sc.net->now_ns < end; turns++) {
		if (turns % 2000 == 0)
			sc.net->lcores[0].asleep_until_ns = sc.net->now_ns + 15 * MS;
		if (turns % 2000 == 1700) {
			sc.net->hubs[0].asleep_until_ns = sc.net->now_ns + 15 * MS;
			sc.net->hubs[1].asleep_until_ns = sc.net->now_ns + 15 * MS;
		}
		run(&sc, 10000);
	}
	/* a window of a thousand packets in each 20 ms, or near it */
	assert_int_equal(congestions(&sc), 0);
	assert_true((sc.streams[0].seen.messages - from) / PER_FRAME > 100 * 500);
	sc.net->loss = 0;
	drain(&sc);
	net_free(sc.net);
}

static void test_descheduled_ends_are_no_congestion(void **state)
{
	(void)state;
	descheduled_ends(0);
	descheduled_ends(10);
	descheduled_ends(50);
}

/* ---- a storm of losses */

struct tally {
	uint64_t produce, deliver;
};
static struct tally tally;

static bool count_filter(struct net *net, const struct flight *f, const struct kx_frame_hdr *h)
{
	(void)net;
	(void)f;
	tally.produce += h->type == KX_PRODUCE;
	tally.deliver += h->type == KX_DELIVER;
	return true;
}

/* Half of everything is lost for a second. What is sent again keeps to its budget: a tenth of what arrived,
 * what was saved up before, and eight a probe time-out (of at least 1 ms). */
static void test_a_storm_does_not_multiply_the_traffic(void **state)
{
	struct scene sc = scene_new(1, 6, MS / 50);
	const struct kx_broker_counters *b = kx_broker_counters(sc.net->brokers[0]);
	struct kx_client_stats before, after;
	uint64_t repaired, arrived, needed, storm_ns = KX_NS_PER_S;

	(void)state;
	stream_open(&sc, 0);
	sc.per_turn = 2;
	run(&sc, KX_NS_PER_S / 4);
	kx_client_stats(sc.streams[0].pc, &before);
	repaired = b->repaired_frames;
	arrived = sc.streams[0].seen.messages;
	memset(&tally, 0, sizeof(tally));
	sc.net->filter = count_filter;
	sc.net->loss = 500;
	run(&sc, storm_ns);
	kx_client_stats(sc.streams[0].pc, &after);
	repaired = b->repaired_frames - repaired;
	arrived = (sc.streams[0].seen.messages - arrived) / PER_FRAME;
	needed = after.produce_frames - before.produce_frames;
	print_message("storm: %lu frames arrived; produced %lu, sent %lu, again %lu; delivered %lu, again "
		      "%lu; deferred %lu, "
		      "%lu\n",
		(unsigned long)arrived, (unsigned long)needed, (unsigned long)tally.produce,
		(unsigned long)(after.retransmits - before.retransmits), (unsigned long)tally.deliver,
		(unsigned long)repaired, (unsigned long)(after.repairs_deferred - before.repairs_deferred),
		(unsigned long)b->repairs_deferred);
	assert_true(tally.produce <=
		needed * 5 / 2); /* two of four attempts fail: twice what is needed, and a bit */
	assert_in_range(after.retransmits - before.retransmits, 1,
		KX_RETX_DEPTH + tally.produce / KX_RETX_SHARE + KX_RETX_FLOOR * storm_ns / MS);
	assert_in_range(
		repaired, 1, KX_RETX_DEPTH + tally.deliver / KX_RETX_SHARE + KX_RETX_FLOOR * storm_ns / MS);
	sc.net->loss = 0;
	drain(&sc);
	net_free(sc.net);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_produce_through_a_bottleneck),
		cmocka_unit_test(test_deliver_through_a_bottleneck),
		cmocka_unit_test(test_a_shallow_queue),
		cmocka_unit_test(test_random_loss_is_no_congestion),
		cmocka_unit_test(test_descheduled_ends_are_no_congestion),
		cmocka_unit_test(test_a_storm_does_not_multiply_the_traffic),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
