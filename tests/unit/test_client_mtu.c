/* SPDX-License-Identifier: BSD-3-Clause */
/* Paths that carry less than both ends could take, and paths that change in the middle of a stream. */
#include "kx_test.h"

#include "client_pair.h"

#define MOST  9000
#define TOPIC "one"

static uint64_t sent;
static uint32_t largest[64]; /* frame by type that was sent, of what arrives or not */

static bool watch(struct net *net, const struct flight *f, const struct kx_frame_hdr *h)
{
	(void)net;
	largest[h->type] = KX_MAX(largest[h->type], f->bytes);
	return true;
}

static void open_jumbo(struct pair *p, uint64_t seed, uint32_t carries)
{
	p->net = net_new(pair_ini, 1, 2, seed);
	net_jumbo(p->net, MOST);
	p->net->carries_up = p->net->carries_down = carries;
	p->net->filter = watch;
	p->frame_bytes = MOST;
	memset(largest, 0, sizeof(largest));
	sent = 0;
	pair_open(p, TOPIC, 50000);
}

static uint16_t size_of(struct kx_client *c)
{
	struct kx_client_info info;

	kx_client_info(c, &info);
	return info.datagram_bytes;
}

static uint64_t falls(struct kx_client *c)
{
	struct kx_client_stats s;

	kx_client_stats(c, &s);
	return s.mtu_falls;
}

/* Wait until both know of this size. */
static void settle_at(struct pair *p, uint16_t bytes, uint64_t within_ns)
{
	uint64_t end = p->net->now_ns + within_ns;

	while ((size_of(p->pc) != bytes || size_of(p->cc) != bytes) && p->net->now_ns < end)
		net_turn(p->net);
	assert_int_equal(size_of(p->pc), bytes);
	assert_int_equal(size_of(p->cc), bytes);
	net_run(p->net, 500000); /* and the broker */
}

static void some(struct pair *p, uint32_t messages)
{
	uint8_t value[300];

	for (uint32_t i = 0; i < messages; i++) {
		struct kx_message m = {
			.value = value, .value_bytes = 8 + (uint32_t)(sent * 7 % 290), .partition = 0};

		pair_fill(value, m.value_bytes, sent);
		if (kx_producer_send(p->producer, &m, p->net->now_ns) != KX_OK)
			break;
		sent++;
	}
	net_turn(p->net);
}

static void stream(struct pair *p, uint64_t messages)
{
	uint64_t until = sent + messages;

	for (int turns = 0; sent < until && turns < 3000000; turns++)
		some(p, (uint32_t)KX_MIN(until - sent, 20u));
	assert_true(sent >= until);
}

/* All arrived, once and in order (pair_check()). */
static void finish(struct pair *p)
{
	for (int i = 0; i < 3000000 && (p->seen.messages < sent || kx_producer_pending(p->producer) > 0); i++)
		net_turn(p->net);
	assert_int_equal(p->seen.messages, sent);
	assert_int_equal(p->seen.completed[0], sent);
	assert_int_equal(p->seen.failed, 0);
	assert_int_equal(p->seen.events[KX_EVENT_DISCONNECTED], 0);
	net_free(p->net);
}

/* A few round trips to the top, in both directions. */
static void to_the_top(void **state)
{
	struct pair p = {0};

	(void)state;
	open_jumbo(&p, 1, 0);
	settle_at(&p, MOST, 2000000);
	stream(&p, 20000);
	assert_true(largest[KX_PRODUCE] > 8000 && largest[KX_PRODUCE] <= MOST);
	assert_true(largest[KX_DELIVER] > 8000 && largest[KX_DELIVER] <= MOST);
	assert_int_equal(largest[KX_PRODUCE_FRAG], 0);
	assert_int_equal(falls(p.pc) + falls(p.cc), 0);
	finish(&p);
}

/* Jumbo frames were configured at both ends, but the path has 1500 bytes, or less. */
static void smaller_path(void **state)
{
	static const struct {
		uint32_t carries;
		uint16_t size;
	} paths[] = {{1372, 1372}, {1472, 1452}, {4071, 2020}, {8952, 8952}};

	(void)state;
	for (unsigned int i = 0; i < KX_DIM(paths); i++) {
		struct pair p = {0};
		struct kx_client_stats s;

		open_jumbo(&p, 10 + i, paths[i].carries);
		net_run(p.net, 20000000);
		assert_int_equal(size_of(p.pc), paths[i].size);
		stream(&p, 5000);
		net_run(p.net, KX_NS_PER_S);
		kx_client_stats(p.pc, &s);
		assert_true(s.mtu_probes <= 16); /* it rests after a step that failed */
		assert_true(largest[KX_PRODUCE] <= paths[i].size && largest[KX_DELIVER] <= paths[i].size);
		assert_true(largest[KX_PRODUCE] + 400 > paths[i].size);
		assert_int_equal(falls(p.pc) + falls(p.cc), 0);
		finish(&p);
	}
}

/* The path shrinks under a stream: nothing is lost, twice or out of order, and it goes on with what is
 * carried. */
static void shrinks(uint64_t seed, uint32_t up, uint32_t down, uint32_t impaired, uint16_t then)
{
	struct pair p = {0};

	open_jumbo(&p, seed, 0);
	settle_at(&p, MOST, 2000000);
	pair_impair(p.net, impaired);
	stream(&p, 20000);
	p.net->carries_up = up;
	p.net->carries_down = down;
	stream(&p, 20000);
	p.net->filter = NULL;
	stream(&p, 20000);
	net_run(p.net, KX_NS_PER_S);
	if (up != 0)
		assert_true(falls(p.pc) > 0);
	if (down != 0)
		assert_true(falls(p.cc) > 0);
	if (impaired == 0) {
		assert_int_equal(size_of(p.pc), up != 0 ? then : MOST);
		assert_int_equal(size_of(p.cc), down != 0 ? then : MOST);
	}
	p.net->carries_up = p.net->carries_down = 0;
	stream(&p, 5000);
	finish(&p);
}

static void shrinks_towards_broker(void **state)
{
	(void)state;
	shrinks(20, 1400, 0, 0, 1372);
	assert_true(largest[KX_PRODUCE_FRAG] > 0);
	shrinks(21, 2100, 0, 0, 2020);
}

static void shrinks_towards_clients(void **state)
{
	(void)state;
	shrinks(30, 0, 1400, 0, 1372);
	shrinks(31, 0, 2100, 0, 2020);
}

static void shrinks_both_ways_with_loss(void **state)
{
	(void)state;
	shrinks(40, 1400, 1400, 0, 1372);
	for (uint64_t seed = 41; seed < 46; seed++)
		shrinks(seed, 1400, 1400, 20, 1372);
}

/* Only the last frames are too large, and nothing comes after them. */
static void last_frames(void **state)
{
	struct pair p = {0};

	(void)state;
	for (int i = 0; i < 2; i++) {
		p = (struct pair){0};
		open_jumbo(&p, 50, 0);
		settle_at(&p, MOST, 2000000);
		if (i == 0)
			p.net->carries_up = 1400;
		else
			p.net->carries_down = 1400;
		some(&p, 200);
		finish(&p);
	}
}

static bool lose_probes(struct net *net, const struct flight *f, const struct kx_frame_hdr *h)
{
	(void)watch(net, f, h);
	return (h->type != KX_MTU_PROBE && h->type != KX_MTU_PROBED) || kx_prng_below(&net->prng, 10) < 7;
}

/* A probe or its answer may be lost; one that is lost thrice is tried again after a rest. */
static void probes_lost(void **state)
{
	(void)state;
	for (uint64_t seed = 60; seed < 70; seed++) {
		struct pair p = {0};

		open_jumbo(&p, seed, 0);
		p.net->filter = lose_probes;
		settle_at(&p, MOST, 25 * KX_NS_PER_S);
		stream(&p, 2000);
		finish(&p);
	}
}

/* Both ends move to another address, on a path that carries less. */
static void another_path(void **state)
{
	struct pair p = {0};

	(void)state;
	open_jumbo(&p, 70, 0);
	settle_at(&p, MOST, 2000000);
	stream(&p, 5000);
	p.net->carries_up = p.net->carries_down = 1400;
	for (uint32_t i = 0; i < 2; i++)
		p.net->hubs[i].addr.port = (uint16_t)(p.net->hubs[i].addr.port + 100);
	stream(&p, 20000);
	assert_int_equal(kx_broker_counters(p.net->brokers[0])->path_changes, 2);
	finish(&p);
}

static uint64_t conn_of_producer;

static bool note_conn(struct net *net, const struct flight *f, const struct kx_frame_hdr *h)
{
	(void)f;
	if (h->type == KX_PRODUCE || h->type == KX_MTU_PROBE)
		conn_of_producer =
			kx_addr_equal(&f->from, &net->hubs[0].addr) ? h->conn_id : conn_of_producer;
	return true;
}

/* Answers that nobody asked for, or to probes of another time, raise nothing. */
static void answers_unasked(void **state)
{
	static uint64_t frame[MOST / 8];
	struct pair p = {0};

	(void)state;
	open_jumbo(&p, 80, 1372);
	p.net->filter = note_conn;
	net_run(p.net, 20000000);
	some(&p, 10);
	net_run(p.net, 1000000);
	for (uint32_t i = 0; i < 5; i++) {
		static const uint16_t sizes[] = {40, 2000, 4072, 8952, MOST};
		uint8_t *at =
			kx_frame_begin((uint8_t *)frame, KX_MTU_PROBED, conn_of_producer, 5000 + i, 0, 0);

		memset(at, 0, sizeof(frame) - sizeof(struct kx_frame_hdr));
		*(struct kx_mtu *)at = (struct kx_mtu){.size = sizes[i], .proven_bytes = 65000};
		kx_frame_seal((uint8_t *)frame, sizes[i]);
		net_inject(p.net, &p.net->lcores[0].addr, &p.net->hubs[0].addr, frame, sizes[i]);
		net_run(p.net, 1000000);
		assert_int_equal(size_of(p.pc), 1372);
	}
	finish(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(to_the_top),
		cmocka_unit_test(smaller_path),
		cmocka_unit_test(shrinks_towards_broker),
		cmocka_unit_test(shrinks_towards_clients),
		cmocka_unit_test(shrinks_both_ways_with_loss),
		cmocka_unit_test(last_frames),
		cmocka_unit_test(probes_lost),
		cmocka_unit_test(another_path),
		cmocka_unit_test(answers_unasked),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
