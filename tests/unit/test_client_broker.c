/* SPDX-License-Identifier: BSD-3-Clause */
/* Clients and brokers in one process over a network that loses, repeats, reorders and corrupts: everything
 * arrives once and in order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "client_pair.h"

static void test_clean_network(void **state)
{
	struct pair p = {.net = net_new(pair_ini, 1, 2, 1)};
	struct kx_client_stats s, c;

	(void)state;
	pair_open(&p, "one", 100000);
	pair_send_all(&p, 20000, 1, 20);
	pair_print("clean", &p);
	kx_client_stats(p.pc, &s);
	kx_client_stats(p.cc, &c);
	assert_int_equal(s.retransmits, 0);
	assert_int_equal(s.naks_received, 0);
	assert_int_equal(c.naks_sent, 0);
	assert_int_equal(c.duplicate_batches, 0);
	assert_int_equal(s.messages_committed, 20000);
	assert_int_equal(c.messages_received, 20000);
	assert_true(s.rtt_ns > 0);
	net_free(p.net);
}

static void lossy(uint64_t seed, uint32_t per_mille, const char *topic, uint32_t parts, uint32_t lcores)
{
	struct pair p = {.net = net_new(pair_ini, lcores, 2, seed)};
	struct kx_client_stats s;

	pair_impair(p.net, per_mille);
	pair_open(&p, topic, 50000);
	pair_send_all(&p, 12000, parts, 30);
	pair_print(topic, &p);
	kx_client_stats(p.pc, &s);
	assert_true(s.retransmits > 0);
	net_free(p.net);
}

static void test_one_percent(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 4; seed++)
		lossy(seed, 10, "one", 1, 1);
}

static void test_ten_percent(void **state)
{
	(void)state;
	for (uint64_t seed = 11; seed <= 13; seed++)
		lossy(seed, 100, "one", 1, 1);
}

static void test_many_partitions_and_lcores(void **state)
{
	(void)state;
	for (uint64_t seed = 21; seed <= 23; seed++)
		lossy(seed, 30, "four", 4, 2);
	lossy(31, 50, "four", 4, 4);
}

/* Every fifth frame finds no buffer, on both sides: later, never lost, and charged once. */
static void test_buffers_run_out(void **state)
{
	struct pair p = {.net = net_new(pair_ini, 1, 2, 32)};
	const struct kx_ledger *l = &p.net->ledgers[0];

	(void)state;
	pair_open(&p, "one", 50000);
	p.net->no_buffer = 200;
	pair_send_all(&p, 12000, 1, 30);
	assert_true(p.net->hubs[0].no_buffers > 50 && p.net->lcores[0].no_buffers > 50);
	assert_int_equal(l->drop[KX_DROP_TX_NO_BUFFER], p.net->lcores[0].no_buffers);
	assert_int_equal(l->built, l->sent + p.net->lcores[0].no_buffers);
	net_free(p.net);
}

/* ---- shapes of messages */

static void test_large_messages(void **state)
{
	static uint8_t value[900000];
	const uint32_t sizes[] = {100, 5000, 900000, 8, 1300, 1400, 64000, 250000, 20};

	(void)state;
	for (uint64_t seed = 41; seed <= 43; seed++) {
		struct pair p = {.net = net_new(pair_ini, 1, 2, seed)};
		uint64_t n = 0, total = 45, limit;

		pair_impair(p.net, seed == 41 ? 0 : 20);
		pair_open(&p, "big", 20000);
		limit = p.net->now_ns + 300 * KX_NS_PER_S;
		while ((p.seen.messages < total || kx_producer_pending(p.producer) > 0) &&
			p.net->now_ns < limit) {
			struct kx_message m = {.value = value, .value_bytes = sizes[n % KX_DIM(sizes)]};

			if (n < total) {
				enum kx_result r;

				pair_fill(value, m.value_bytes, n);
				r = kx_producer_send(p.producer, &m, p.net->now_ns);
				assert_true(r == KX_OK || r == KX_BACK_PRESSURED);
				n += r == KX_OK;
			}
			net_turn(p.net);
		}
		pair_print("large", &p);
		assert_int_equal(p.seen.messages, total);
		assert_int_equal(kx_producer_pending(p.producer), 0);
		assert_int_equal(p.seen.completed[0], total);
		net_free(p.net);
	}
}

struct rich {
	uint64_t seen;
};

static void on_rich(void *user, const struct kx_batch_view *v)
{
	struct kx_record_iter it = kx_batch_records(v);
	struct rich *rich = user;
	struct kx_record r;
	struct kx_header_view h;
	char key[32];

	while (kx_record_next(&it, &r)) {
		uint64_t number;

		memcpy(&number, r.value, sizeof(number));
		snprintf(key, sizeof(key), "key-%lu", (unsigned long)(number % 50));
		assert_int_equal(r.key_bytes, strlen(key));
		assert_memory_equal(r.key, key, r.key_bytes);
		assert_int_equal(r.timestamp_ns, 1000 + number);
		assert_int_equal(r.header_count, 2);
		assert_true(kx_record_header(&r, 1, &h));
		assert_int_equal(h.name_bytes, 3);
		assert_memory_equal(h.value, "text", 4);
		assert_int_equal(v->partition, kx_key_partition(kx_hash_bytes(key, strlen(key)), 4));
		rich->seen++;
	}
}

static void test_keys_headers_timestamps(void **state)
{
	const struct kx_header_view headers[] = {{(const uint8_t *)"a", (const uint8_t *)"", 1, 0},
		{(const uint8_t *)"abc", (const uint8_t *)"text", 3, 4}};
	struct pair p = {.net = net_new(pair_ini, 2, 1, 5)};
	struct rich rich = {0};
	struct kx_consumer_opts co = {.topic = "four",
		.partition = KX_PARTITION_ALL,
		.start_offset = KX_OFFSET_EARLIEST,
		.on_batch = on_rich,
		.user = &rich};
	struct kx_producer_opts po = {.topic = "four", .linger_ns = 50000};
	struct kx_consumer *c;

	(void)state;
	p.pc = pair_client(p.net, 0, &p.seen);
	assert_int_equal(kx_producer_open(p.pc, &po, p.net->now_ns, &p.producer), KX_OK);
	assert_int_equal(kx_consumer_open(p.pc, &co, p.net->now_ns, &c), KX_OK);
	net_run(p.net, 100000000);
	for (uint64_t n = 0; n < 2000; n++) {
		char key[32];
		struct kx_message m = {.value = &n,
			.value_bytes = sizeof(n),
			.partition = KX_PARTITION_AUTO,
			.key = key,
			.headers = headers,
			.header_count = 2,
			.timestamp_ns = 1000 + n};

		snprintf(key, sizeof(key), "key-%lu", (unsigned long)(n % 50));
		m.key_bytes = (uint16_t)strlen(key);
		assert_int_equal(kx_producer_send(p.producer, &m, p.net->now_ns), KX_OK);
		if (n % 20 == 0)
			net_turn(p.net);
	}
	net_run(p.net, 100000000);
	assert_int_equal(rich.seen, 2000);
	assert_int_equal(kx_producer_pending(p.producer), 0);
	net_free(p.net);
}

static void test_claim_and_commit(void **state)
{
	struct pair p = {.net = net_new(pair_ini, 1, 2, 6)};
	uint64_t n = 0;
	uint32_t stride;
	uint8_t *values;

	(void)state;
	pair_impair(p.net, 10);
	pair_open(&p, "one", 0);
	assert_int_equal(kx_producer_fit(p.producer, 64), 17);
	while (p.seen.messages < 34000) {
		if (n < 34000 && kx_producer_claim(p.producer, 0, 7, 64, 17, &values, &stride) == KX_OK) {
			assert_int_equal(stride, 72);
			for (uint32_t i = 0; i < 17; i++)
				pair_fill(values + i * stride, 64, n++);
			assert_int_equal(
				kx_producer_claim(p.producer, 0, 7, 64, 17, &values, &stride), KX_BAD_STATE);
			assert_int_equal(kx_producer_commit(p.producer, n, p.net->now_ns), KX_OK);
			assert_int_equal(kx_producer_commit(p.producer, n, p.net->now_ns), KX_BAD_STATE);
		}
		if (n % 34 == 0)
			net_turn(p.net);
	}
	net_run(p.net, 100000000);
	assert_int_equal(p.seen.completed[0], 34000);
	/* a claim given back leaves nothing behind */
	assert_int_equal(kx_producer_claim(p.producer, 0, 7, 64, 17, &values, &stride), KX_OK);
	kx_producer_cancel(p.producer);
	assert_int_equal(kx_producer_room(p.producer), 1024);
	net_free(p.net);
}

static void test_polled_consumer(void **state)
{
	struct pair p = {.net = net_new(pair_ini, 1, 1, 7)};
	struct kx_producer_opts po = {.topic = "one", .linger_ns = 50000, .large_bytes = 1 << 20};
	struct kx_consumer_opts co = {.topic = "one",
		.partition = 0,
		.start_offset = KX_OFFSET_EARLIEST,
		.polled = true,
		.window_bytes = 8192,
		.large_bytes = 70000};
	struct kx_polled got;
	struct kx_consumer *c;
	uint64_t n = 0, seen = 0;
	static uint8_t value[60000];

	(void)state;
	pair_impair(p.net, 10);
	p.pc = pair_client(p.net, 0, &p.seen);
	assert_int_equal(kx_producer_open(p.pc, &po, p.net->now_ns, &p.producer), KX_OK);
	assert_int_equal(kx_consumer_open(p.pc, &co, p.net->now_ns, &c), KX_OK);
	net_run(p.net, 500000000);
	for (int turns = 0; seen < 5000 && turns < 3000000; turns++) {
		struct kx_message m = {.value = value, .value_bytes = n % 500 == 3 ? 60000 : 40};

		if (n < 5000) {
			pair_fill(value, m.value_bytes, n);
			n += kx_producer_send(p.producer, &m, p.net->now_ns) == KX_OK;
		}
		net_turn(p.net);
		/* a slow reader: the rest waits at the broker */
		for (int i = 0; i < 3 && kx_consumer_poll(c, p.net->now_ns, &got) == KX_OK; i++) {
			assert_int_equal(got.offset, seen);
			pair_check(&p.seen, 0, &got.record);
			seen++;
		}
	}
	assert_int_equal(seen, 5000);
	assert_int_equal(kx_consumer_poll(c, p.net->now_ns, &got), KX_EMPTY);
	net_free(p.net);
}

static void test_start_offsets(void **state)
{
	struct pair p = {.net = net_new(pair_ini, 1, 2, 8)};
	struct seen middle = {0}, now = {0};
	struct kx_consumer_opts co = {
		.topic = "one", .partition = 0, .start_offset = 777, .on_batch = pair_batch, .user = &middle};
	struct kx_consumer *c;

	(void)state;
	pair_open(&p, "one", 100000);
	pair_send_all(&p, 2000, 1, 30);
	middle.next[0] = 777; /* in the middle of a batch */
	assert_int_equal(kx_consumer_open(p.pc, &co, p.net->now_ns, &c), KX_OK);
	co.start_offset = KX_OFFSET_NOW;
	co.user = &now;
	now.next[0] = 2000;
	assert_int_equal(kx_consumer_open(p.pc, &co, p.net->now_ns, &c), KX_OK);
	net_run(p.net, 100000000);
	assert_int_equal(middle.messages, 2000 - 777);
	assert_int_equal(now.messages, 0);
	assert_int_equal(kx_consumer_position(c, 0), 2000);
	net_free(p.net);
}

/* A consumer that is too late for a log that trims is told, and goes on. */
static void test_trimmed(void **state)
{
	struct pair p = {.net = net_new(pair_ini, 1, 2, 9)};
	uint64_t total = 30000, n = 0;
	uint8_t value[200];

	(void)state;
	pair_open(&p, "trim", 100000);
	p.net->hubs[1].dead = true; /* its frames are lost for a while */
	for (; n < total; n++) {
		struct kx_message m = {.value = value, .value_bytes = sizeof(value)};

		pair_fill(value, sizeof(value), n);
		while (kx_producer_send(p.producer, &m, p.net->now_ns) != KX_OK)
			net_turn(p.net);
		if (n == total - 200)
			p.net->hubs[1].dead = false;
	}
	net_run(p.net, 2 * KX_NS_PER_S);
	assert_true(p.seen.trimmed > 0);
	assert_int_equal(p.seen.messages + p.seen.trimmed, total);
	assert_int_equal(p.seen.next[0], total);
	assert_true(p.seen.messages >= 200);
	net_free(p.net);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_clean_network),
		cmocka_unit_test(test_one_percent),
		cmocka_unit_test(test_ten_percent),
		cmocka_unit_test(test_many_partitions_and_lcores),
		cmocka_unit_test(test_buffers_run_out),
		cmocka_unit_test(test_large_messages),
		cmocka_unit_test(test_keys_headers_timestamps),
		cmocka_unit_test(test_claim_and_commit),
		cmocka_unit_test(test_polled_consumer),
		cmocka_unit_test(test_start_offsets),
		cmocka_unit_test(test_trimmed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
