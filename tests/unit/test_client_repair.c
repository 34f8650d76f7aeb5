/* SPDX-License-Identifier: BSD-3-Clause */
/* What loss and reordering cost: how often frames are sent again, in both directions, and how long that
 * takes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "client_pair.h"

/* Frames that carry data, as the network saw them. */
struct tally {
	uint64_t produce, produce_lost, deliver, deliver_lost, naks;
};
static struct tally tally;

/* Loses per mille on its own, so that what is lost is known by type. */
static bool lossy_filter(struct net *net, const struct flight *f, const struct kx_frame_hdr *h)
{
	bool lost = kx_prng_below(&net->prng, 1000) < net->filter_state;

	(void)f;
	if (h->type == KX_PRODUCE) {
		tally.produce++;
		tally.produce_lost += lost;
	} else if (h->type == KX_DELIVER) {
		tally.deliver++;
		tally.deliver_lost += lost;
	}
	return !lost;
}

struct scene {
	const char *ini;
	uint64_t seed;
	uint32_t loss, reorder; /* per mille */
	uint64_t delay_ns;	/* one way */
	uint32_t burst;		/* frames each 10 us */
	uint64_t late_ns;	/* what is overtaken comes up to this later; 0: REORDER_NS */
	uint32_t idle_turns;	/* of 10 us between bursts */
	uint32_t window_bytes, hold_frames;
	uint64_t sleep_ns, sleep_every_ns; /* consumer and broker in turn are not scheduled */
};
struct cost {
	uint64_t again, produce_lost;	 /* produce frames sent again; lost */
	uint64_t repaired, deliver_lost; /* deliveries sent again; lost */
	uint64_t not_held, ns;
};

#define FRAMES	   8000
#define PER_FRAME  17
#define REORDER_NS 100000

static void produce_some(struct pair *p, uint64_t *n, uint32_t burst)
{
	for (uint32_t i = 0; i < burst && *n < FRAMES * PER_FRAME; i++) {
		uint8_t *values;
		uint32_t stride;

		if (kx_producer_claim(p->producer, 0, 7, 64, PER_FRAME, &values, &stride) != KX_OK)
			return;
		for (uint32_t k = 0; k < PER_FRAME; k++)
			pair_fill(values + k * stride, 64, (*n)++);
		assert_int_equal(kx_producer_commit(p->producer, *n, p->net->now_ns), KX_OK);
	}
}

static void nap(struct net *net, const struct scene *sc, uint64_t turn)
{
	if (sc->sleep_ns == 0 || turn % (sc->sleep_every_ns / 10000) != 0)
		return;
	if (turn / (sc->sleep_every_ns / 10000) % 2 == 0)
		net->hubs[1].asleep_until_ns = net->now_ns + sc->sleep_ns;
	else
		net->lcores[0].asleep_until_ns = net->now_ns + sc->sleep_ns;
}

/* Frames of 17 messages of 64 bytes until all are confirmed and consumed. */
static struct cost play(const struct scene *sc)
{
	struct pair p = {.net = net_new(sc->ini != NULL ? sc->ini : pair_ini, 1, 2, sc->seed),
		.window_bytes = sc->window_bytes,
		.hold_frames = sc->hold_frames};
	uint64_t n = 0, turn = 1, from;
	struct kx_client_stats s, c;
	struct cost cost;

	p.net->delay_ns = sc->delay_ns;
	pair_open(&p, "one", 0);
	p.net->filter = lossy_filter;
	p.net->filter_state = sc->loss;
	p.net->reorder = sc->reorder;
	p.net->jitter_ns = sc->late_ns != 0 ? sc->late_ns : REORDER_NS;
	memset(&tally, 0, sizeof(tally));
	from = p.net->now_ns;
	for (; p.seen.completed[0] < FRAMES * PER_FRAME || p.seen.messages < FRAMES * PER_FRAME; turn++) {
		if (turn % (sc->idle_turns + 1) == 0)
			produce_some(&p, &n, sc->burst);
		nap(p.net, sc, turn);
		net_turn(p.net);
		assert_true(p.net->now_ns < from + 60 * KX_NS_PER_S);
	}
	kx_client_stats(p.pc, &s);
	kx_client_stats(p.cc, &c);
	cost = (struct cost){.again = s.retransmits,
		.produce_lost = tally.produce_lost,
		.repaired = kx_broker_counters(p.net->brokers[0])->repaired_frames,
		.deliver_lost = tally.deliver_lost,
		.not_held = c.held_dropped,
		.ns = p.net->now_ns - from};
	print_message("loss %u, reorder %u per mille, %lu us, burst %u: produced %lu, lost %lu, again %lu; "
		      "delivered "
		      "%lu, lost %lu, repaired %lu; not held: client %lu, broker %lu; %lu us\n",
		sc->loss, sc->reorder, (unsigned long)sc->delay_ns / 1000, sc->burst,
		(unsigned long)tally.produce, (unsigned long)cost.produce_lost, (unsigned long)cost.again,
		(unsigned long)tally.deliver, (unsigned long)cost.deliver_lost, (unsigned long)cost.repaired,
		(unsigned long)cost.not_held, (unsigned long)p.net->ledgers[0].drop[KX_DROP_SEQ_WINDOW],
		(unsigned long)cost.ns / 1000);
	net_free(p.net);
	return cost;
}

/* Frames sent again stay under `percent` of those lost, and a few. */
static void assert_cheap(const struct cost *c, uint64_t percent)
{
	assert_in_range(c->again, c->produce_lost, c->produce_lost * percent / 100 + 16);
	assert_in_range(c->repaired, c->deliver_lost, c->deliver_lost * percent / 100 + 16);
}

static void each_wire(uint32_t loss, uint32_t reorder, uint64_t percent)
{
	for (uint32_t burst = 1; burst <= 16; burst *= 4)
		for (uint64_t delay_ns = 20000; delay_ns <= 2000000; delay_ns *= 10) {
			struct scene sc = {.seed = burst + delay_ns,
				.loss = loss,
				.reorder = reorder,
				.delay_ns = delay_ns,
				.burst = burst};
			struct cost c = play(&sc);

			assert_cheap(&c, percent);
		}
}

static void test_clean(void **state)
{
	struct scene sc = {.seed = 1, .delay_ns = 20000, .burst = 4};
	struct cost c = play(&sc);

	(void)state;
	assert_int_equal(c.again, 0);
	assert_int_equal(c.repaired, 0);
}

/* 160 frames each way are overtaken: the allowance is learned, not each of them repaired. */
static void test_reordering_alone(void **state)
{
	(void)state;
	each_wire(0, 20, 0);
}

static void test_one_percent(void **state)
{
	(void)state;
	each_wire(10, 0, 110);
	each_wire(10, 20, 130);
}

static void test_five_percent(void **state)
{
	(void)state;
	each_wire(50, 20, 130);
}

static void test_ten_percent(void **state)
{
	(void)state;
	each_wire(100, 20, 130);
}

/* What is overtaken comes long after the round trip in which its repair has come: the allowance is learned
 * all the same. 12,500 frames a second, as a memif smoke has them. */
static void test_reordering_beyond_the_round_trip(void **state)
{
	static const uint32_t loss[] = {0, 10, 100};

	(void)state;
	for (uint32_t i = 0; i < KX_DIM(loss); i++) {
		struct scene sc = {.seed = 40 + i,
			.loss = loss[i],
			.reorder = 20,
			.delay_ns = 20000,
			.burst = 1,
			.late_ns = 1000000,
			.idle_turns = 7};
		struct cost c = play(&sc);

		assert_cheap(&c, loss[i] == 0 ? 0 : 130);
	}
}

/* A window of deliveries several times what the consumer can hold: what cannot be held is not asked for. */
static void test_consumer_with_few_holds(void **state)
{
	struct scene sc = {.seed = 2,
		.loss = 10,
		.delay_ns = 200000,
		.burst = 16,
		.window_bytes = 1 << 20,
		.hold_frames = 64};
	struct cost c = play(&sc);

	(void)state;
	assert_true(c.not_held > 0);
	/* each is sent at most once too early, and once when there is room (not_held counts repairs too: no
	 * bound) */
	assert_in_range(c.repaired, c.deliver_lost, FRAMES + 2 * c.deliver_lost);
	assert_in_range(c.again, c.produce_lost, c.produce_lost * 130 / 100 + 16);
}

/* The same of the broker: credit ends where its places do. */
static void test_broker_with_few_holds(void **state)
{
	static const char ini[] = "[lcores]\ndata = 1\n"
				  "[memory]\nlog_bytes = 64M\nextent_bytes = 64K\nreorder_frames = 128\n"
				  "[port net_memif0]\naddress = 10.0.0.254/24\n"
				  "[topic one]\npartitions = 1\noverrun = block\nlog_bytes = 4M\n"
				  "max_message_bytes = 64K\n";
	struct scene sc = {.ini = ini, .seed = 3, .loss = 10, .delay_ns = 200000, .burst = 16};
	struct cost c = play(&sc);

	(void)state;
	assert_in_range(c.again, c.produce_lost, c.produce_lost * 130 / 100 + 16);
}

/* Ends that share a CPU: for 5 ms of 20 one of them does not run. What waits to be read is not missing. */
static void test_descheduled_ends(void **state)
{
	for (uint64_t seed = 1; seed <= 3; seed++) {
		struct scene sc = {.seed = seed,
			.loss = 10,
			.reorder = 10,
			.delay_ns = 20000,
			.burst = 1,
			.sleep_ns = 5000000,
			.sleep_every_ns = 20000000,
			.window_bytes = 1 << 20};
		struct cost c = play(&sc);

		(void)state;
		assert_cheap(&c, 200);
	}
}

/* ---- time */

/* Loses every third delivery of the first 30 after filter_state is set, and counts NAKs. */
static bool third_filter(struct net *net, const struct flight *f, const struct kx_frame_hdr *h)
{
	(void)f;
	if (h->type == KX_NAK)
		tally.naks++;
	if (h->type != KX_DELIVER || net->filter_state == 0)
		return true;
	tally.deliver_lost += net->filter_state % 3 == 0;
	return net->filter_state-- % 3 != 0;
}

static void test_several_gaps_in_one_round_trip(void **state)
{
	struct pair p = {.net = net_new(pair_ini, 1, 2, 4)};
	const struct kx_broker_counters *b = kx_broker_counters(p.net->brokers[0]);
	uint64_t n = 0, from;

	(void)state;
	p.net->delay_ns = 500000;
	pair_open(&p, "one", 0);
	memset(&tally, 0, sizeof(tally));
	p.net->filter = third_filter;
	p.net->filter_state = 30;
	from = p.net->now_ns;
	for (int i = 0; i < 31; i++) {
		produce_some(&p, &n, 1);
		net_turn(p.net);
	}
	while (p.seen.messages < n && p.net->now_ns < from + KX_NS_PER_S)
		net_turn(p.net);
	assert_int_equal(p.seen.messages, 31 * PER_FRAME);
	assert_int_equal(tally.deliver_lost, 10);
	assert_int_equal(b->repaired_frames, 10);
	/* there, there, back, there: and the frames' 310 us, the reorder allowance, some turns */
	assert_in_range(p.net->now_ns - from, 2000000, 2000000 + 310000 + 300000);
	net_free(p.net);
}

/* A broker that stops in the middle of a large message: the consumer asks for the rest, which was never sent.
 * The rest comes in its turn, not as repairs: else the consumer has it before the broker has sent it, and is
 * called a liar. */
static void test_rest_of_a_large_message_is_no_repair(void **state)
{
	struct pair p = {.net = net_new(pair_ini, 1, 2, 77)};
	static uint8_t value[1000000];
	struct kx_message m = {.value = value, .value_bytes = sizeof(value)};
	struct kx_client_stats stats;
	uint64_t start;

	(void)state;
	pair_open(&p, "big", 0);
	pair_fill(value, sizeof(value), 0);
	assert_int_equal(kx_producer_send(p.producer, &m, p.net->now_ns), KX_OK);
	pair_fill(value, sizeof(value), 1);
	m.value_bytes = 100;
	assert_int_equal(kx_producer_send(p.producer, &m, p.net->now_ns), KX_OK);
	kx_producer_flush(p.producer, p.net->now_ns);
	kx_client_stats(p.cc, &stats);
	for (start = stats.rx_frames; stats.rx_frames < start + 30;) {
		net_turn(p.net);
		kx_client_stats(p.cc, &stats);
	}
	assert_int_equal(p.seen.messages, 0);
	p.net->lcores[0].asleep_until_ns = p.net->now_ns + 300000000;
	net_run(p.net, 300000000);
	for (int i = 0; i < 100000 && p.seen.messages < 2; i++)
		net_turn(p.net);
	assert_int_equal(p.seen.messages, 2);
	net_run(p.net, 10000000);
	assert_int_equal(p.net->ledgers[0].drop[KX_DROP_CONSUMER_LIES], 0);
	net_free(p.net);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_clean),
		cmocka_unit_test(test_reordering_alone),
		cmocka_unit_test(test_one_percent),
		cmocka_unit_test(test_five_percent),
		cmocka_unit_test(test_ten_percent),
		cmocka_unit_test(test_reordering_beyond_the_round_trip),
		cmocka_unit_test(test_consumer_with_few_holds),
		cmocka_unit_test(test_broker_with_few_holds),
		cmocka_unit_test(test_descheduled_ends),
		cmocka_unit_test(test_several_gaps_in_one_round_trip),
		cmocka_unit_test(test_rest_of_a_large_message_is_no_repair),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
