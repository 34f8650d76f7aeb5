/* SPDX-License-Identifier: BSD-3-Clause */
/* Clients and brokers in one process: sessions that end and come back, refusals, requests, many clients. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "client_pair.h"

/* ---- sessions that end */

static void test_broker_restart_is_told(void **state)
{
	struct pair p = {.net = net_new(pair_ini, 2, 2, 10)};
	struct kx_message m = {.value_bytes = 8};
	uint64_t zero = 0;

	(void)state;
	pair_open(&p, "four", 0);
	pair_send_all(&p, 4000, 4, 20);
	/* three that are on their way when the broker dies */
	m.value = &zero;
	for (int i = 0; i < 3; i++)
		assert_int_equal(kx_producer_send(p.producer, &m, p.net->now_ns), KX_OK);
	net_restart_broker(p.net);
	net_run(p.net, 5 * KX_NS_PER_S);
	assert_int_equal(p.seen.failed, 3);
	assert_int_equal(p.seen.events[KX_EVENT_DISCONNECTED], 2);
	assert_int_equal(p.seen.last_result, KX_LOST);
	assert_int_equal(p.seen.events[KX_EVENT_CONNECTED], 4);
	assert_int_equal(p.seen.events[KX_EVENT_PRODUCER_READY], 2);
	assert_int_equal(p.seen.events[KX_EVENT_CONSUMER_READY], 2);
	assert_int_equal(p.seen.events[KX_EVENT_OFFSET_TRUNCATED], 4);
	/* and all goes on, from the beginning of empty logs */
	memset(&p.seen, 0, sizeof(p.seen));
	pair_send_all(&p, 4000, 4, 20);
	net_free(p.net);
}

static uint32_t sessions_used(const struct net *net)
{
	struct kx_broker_memory memory;
	uint32_t used = 0;

	for (uint32_t i = 0; i < net->lcore_count; i++) {
		kx_broker_memory(net->brokers[i], &memory);
		used += (uint32_t)memory.sessions_used;
	}
	return used;
}

/* All channels hear of a restart, again and again, over a path that takes longer than they are silent: the
 * first one connects, once. */
static void test_restart_over_a_long_path(void **state)
{
	static const char ini[] = "[lcores]\ndata = 1\n"
				  "[memory]\nlog_bytes = 64M\nextent_bytes = 64K\n"
				  "[sessions]\nheartbeat_ms = 20\nidle_timeout_ms = 3000\n"
				  "[port net_memif0]\naddress = 10.0.0.254/24\n"
				  "[topic four]\npartitions = 4\nlog_bytes = 4M\n";
	struct net *net = net_new(ini, 4, 1, 13);
	struct seen seen = {0};
	struct kx_client *c = pair_client(net, 0, &seen);
	struct kx_producer_opts po = {.topic = "four", .user = &seen};
	struct kx_message m = {.value = "x", .value_bytes = 1};
	struct kx_producer *p;

	(void)state;
	net->delay_ns = 20000000;
	assert_int_equal(kx_producer_open(c, &po, net->now_ns, &p), KX_OK);
	net_run(net, KX_NS_PER_S);
	for (m.partition = 0; m.partition < 4; m.partition++)
		assert_int_equal(kx_producer_send(p, &m, net->now_ns), KX_OK);
	net_run(net, KX_NS_PER_S);
	assert_int_equal(kx_producer_pending(p), 0);
	assert_int_equal(sessions_used(net), 4);
	net_restart_broker(net);
	net_run(net, 300000000);
	assert_int_equal(seen.events[KX_EVENT_DISCONNECTED], 1);
	assert_int_equal(seen.events[KX_EVENT_CONNECTED], 2);
	for (m.partition = 0; m.partition < 4; m.partition++)
		(void)kx_producer_send(p, &m, net->now_ns);
	net_run(net, KX_NS_PER_S);
	assert_int_equal(kx_producer_pending(p), 0);
	assert_int_equal(seen.events[KX_EVENT_CONNECTED], 2);
	assert_int_equal(sessions_used(net), 4);
	net_free(net);
}

static void test_broker_stop_is_told(void **state)
{
	struct pair p = {.net = net_new(pair_ini, 1, 2, 12)};

	(void)state;
	pair_open(&p, "one", 0);
	pair_send_all(&p, 100, 1, 20);
	kx_broker_stop(p.net->brokers[0], p.net->now_ns);
	net_run(p.net, 10000000);
	assert_int_equal(p.seen.events[KX_EVENT_DISCONNECTED], 2);
	assert_int_equal(p.seen.last_result, KX_STOPPING);
	assert_false(kx_client_connected(p.pc));
	assert_true(kx_broker_stopped(p.net->brokers[0]));
	net_free(p.net);
}

static void test_close_is_told(void **state)
{
	struct pair p = {.net = net_new(pair_ini, 2, 2, 13)};
	struct kx_broker_memory memory;
	struct kx_message m = {.value = "x", .value_bytes = 1};

	(void)state;
	pair_open(&p, "four", 1000000000);
	assert_int_equal(kx_producer_send(p.producer, &m, p.net->now_ns), KX_OK);
	assert_int_equal(kx_client_close(p.pc, p.net->now_ns), KX_OK);
	assert_int_equal(p.seen.failed, 1); /* it was never sent */
	assert_int_equal(p.seen.last_result, KX_CLOSED);
	assert_int_equal(kx_client_close(p.cc, p.net->now_ns), KX_OK);
	net_run(p.net, 10000000);
	for (uint32_t i = 0; i < 2; i++) {
		kx_broker_memory(p.net->brokers[i], &memory);
		assert_int_equal(memory.sessions_used, 0);
	}
	net_free(p.net);
}

/* Nothing gets through for longer than the idle time: the same identity comes back, nothing is lost or
 * doubled. */
static void test_silence_and_return(void **state)
{
	struct pair p = {.net = net_new(pair_ini, 1, 2, 14)};
	uint64_t value = 0;
	struct kx_message m = {.value = &value, .value_bytes = 8};
	uint64_t producer_id;
	struct kx_client_info info;

	(void)state;
	pair_open(&p, "one", 0);
	kx_client_info(p.pc, &info);
	producer_id = info.producer_id;
	for (; value < 50; value++)
		assert_int_equal(kx_producer_send(p.producer, &m, p.net->now_ns), KX_OK);
	net_turn(p.net); /* sent, and its confirmation will be lost */
	p.net->hubs[0].dead = p.net->hubs[1].dead = true;
	net_run(p.net, (info.idle_timeout_ms + 1000) * 1000000ull);
	p.net->hubs[0].dead = p.net->hubs[1].dead = false;
	net_run(p.net, 10 * KX_NS_PER_S);
	kx_client_info(p.pc, &info);
	assert_true(info.connected);
	assert_int_equal(info.producer_id, producer_id);
	assert_int_equal(kx_producer_pending(p.producer), 0);
	assert_int_equal(p.seen.failed, 0);
	assert_int_equal(p.seen.messages, 50);
	for (; value < 100; value++)
		assert_int_equal(kx_producer_send(p.producer, &m, p.net->now_ns), KX_OK);
	net_run(p.net, KX_NS_PER_S);
	assert_int_equal(p.seen.messages, 100);
	assert_int_equal(p.seen.completed[0], 100);
	net_free(p.net);
}

/* The broker's answer about who owns a partition is changed on its way. */
static bool wrong_owner(struct net *net, const struct flight *f, const struct kx_frame_hdr *h)
{
	struct kx_metadata *m = (struct kx_metadata *)(f->data + sizeof(*h));
	struct kx_metadata_entry *e = (struct kx_metadata_entry *)(m + 1);

	if (h->type != KX_METADATA || f->to.port != 20000 || net->filter_state++ > 0)
		return true;
	for (uint32_t i = 0; i < m->entry_count; i++)
		e[i].owner_port = NET_PORT;
	kx_frame_seal(f->data, f->bytes);
	return true;
}

static void test_not_owner_moves_the_partition(void **state)
{
	struct pair p = {.net = net_new(pair_ini, 4, 2, 15)};

	(void)state;
	p.net->filter = wrong_owner;
	pair_open(&p, "four", 50000);
	pair_send_all(&p, 4000, 4, 20);
	assert_true(p.seen.events[KX_EVENT_OWNER_CHANGED] >= 3);
	net_free(p.net);
}

/* ---- refusals and requests */

static void test_refusals(void **state)
{
	struct pair p = {.net = net_new(pair_ini, 1, 1, 16)};
	struct kx_producer_opts po = {.topic = "none"};
	struct kx_consumer_opts co = {
		.topic = "none", .partition = KX_PARTITION_ALL, .on_batch = pair_batch, .user = &p.seen};
	struct kx_message m = {.value = "x", .value_bytes = 1};
	static uint8_t big[70000];

	(void)state;
	p.pc = pair_client(p.net, 0, &p.seen);
	assert_int_equal(kx_producer_open(p.pc, &po, p.net->now_ns, &p.producer), KX_OK);
	assert_int_equal(kx_producer_send(p.producer, &m, p.net->now_ns), KX_NOT_CONNECTED);
	net_run(p.net, 50000000);
	assert_int_equal(p.seen.events[KX_EVENT_PRODUCER_FAILED], 1);
	assert_int_equal(p.seen.last_result, KX_UNKNOWN_TOPIC);
	assert_int_equal(p.seen.last_code, KX_CODE_UNKNOWN_TOPIC);
	assert_int_equal(kx_producer_send(p.producer, &m, p.net->now_ns), KX_REFUSED);
	assert_int_equal(kx_consumer_open(p.pc, &co, p.net->now_ns, &p.consumer), KX_OK);
	net_run(p.net, 50000000);
	co.topic = "one";
	co.partition = 3;
	assert_int_equal(kx_consumer_open(p.pc, &co, p.net->now_ns, &p.consumer), KX_OK);
	net_run(p.net, 50000000);
	assert_int_equal(p.seen.events[KX_EVENT_CONSUMER_FAILED], 2);
	assert_int_equal(p.seen.last_result, KX_UNKNOWN_PARTITION);
	co.partition = 0;
	co.start_offset = 1000;
	assert_int_equal(kx_consumer_open(p.pc, &co, p.net->now_ns, &p.consumer), KX_OK);
	net_run(p.net, 50000000);
	assert_int_equal(p.seen.events[KX_EVENT_CONSUMER_FAILED], 3);
	assert_int_equal(p.seen.last_code, KX_CODE_OFFSET_OUT_OF_RANGE);
	po.topic = "one";
	po.level = KX_SYNCED;
	assert_int_equal(kx_producer_open(p.pc, &po, p.net->now_ns, &p.producer), KX_OK);
	assert_int_equal(kx_producer_send(p.producer, &m, p.net->now_ns), KX_NOT_READY);
	net_run(p.net, 50000000);
	assert_int_equal(p.seen.last_result, KX_BAD_ARGUMENT);
	po.topic = "big";
	po.level = 0;
	po.send_slots = 4;
	assert_int_equal(kx_producer_open(p.pc, &po, p.net->now_ns, &p.producer), KX_OK);
	net_run(p.net, 50000000);
	m.value = big;
	m.value_bytes = sizeof(big);
	assert_int_equal(kx_producer_send(p.producer, &m, p.net->now_ns), KX_TOO_LARGE); /* no large_bytes */
	m.value_bytes = 1;
	m.partition = 1;
	assert_int_equal(kx_producer_send(p.producer, &m, p.net->now_ns), KX_UNKNOWN_PARTITION);
	m.partition = 0;
	m.value_bytes = 1200;
	for (int i = 0; i < 4; i++)
		assert_int_equal(kx_producer_send(p.producer, &m, p.net->now_ns), KX_OK);
	assert_int_equal(kx_producer_send(p.producer, &m, p.net->now_ns), KX_BACK_PRESSURED);
	assert_int_equal(kx_producer_open(p.pc, &po, p.net->now_ns, &p.producer), KX_IN_USE);
	net_free(p.net);
}

struct answers {
	uint32_t topics, partitions, pings, last, timeouts;
	uint64_t rtt_ns;
};

static void on_topics(void *user, enum kx_result r, const struct kx_topic_info *t, uint32_t n, bool last)
{
	struct answers *a = user;

	assert_int_equal(r, KX_OK);
	for (uint32_t i = 0; i < n; i++)
		assert_true(strlen(t[i].name) > 0 && t[i].partition_count > 0);
	a->topics += n;
	a->last += last;
}

static void on_metadata(void *user, enum kx_result r, const struct kx_metadata_info *info,
	const struct kx_partition_info *p, uint32_t n, bool last)
{
	struct answers *a = user;

	if (r == KX_TIMED_OUT) {
		a->timeouts++;
		return;
	}
	assert_int_equal(r, KX_OK);
	assert_int_equal(info->partition_count, 100);
	for (uint32_t i = 0; i < n; i++) {
		assert_int_equal(p[i].index, a->partitions + i);
		assert_int_equal(p[i].owner_port, NET_PORT + p[i].lcore);
	}
	a->partitions += n;
	a->last += last;
}

static void on_ping(void *user, enum kx_result r, uint32_t lcore, uint64_t rtt_ns, uint64_t residence_ns)
{
	struct answers *a = user;

	(void)residence_ns;
	if (r == KX_TIMED_OUT) {
		a->timeouts++;
		return;
	}
	assert_int_equal(r, KX_OK);
	assert_int_equal(lcore, a->pings);
	a->pings++;
	a->rtt_ns = rtt_ns;
}

static void test_requests(void **state)
{
	char many[8192], *at = many;
	struct answers a = {0};
	struct seen seen = {0};
	struct kx_client *c;
	struct net *net;

	(void)state;
	at += sprintf(at,
		"[lcores]\ndata = 1\n[memory]\nlog_bytes = 512M\nextent_bytes = 64K\n"
		"[port net_memif0]\naddress = 10.0.0.254/24\n[topic wide]\npartitions = 100\n"
		"log_bytes = 256K\nmax_message_bytes = 1K\n");
	for (int i = 0; i < 60; i++)
		at += sprintf(
			at, "[topic t%d]\npartitions = 1\nlog_bytes = 256K\nmax_message_bytes = 1K\n", i);
	net = net_new(many, 2, 1, 17);
	pair_impair(net, 50);
	c = pair_client(net, 0, &seen);
	assert_int_equal(kx_client_topics(c, 0, net->now_ns, on_topics, &a), KX_OK);
	assert_int_equal(kx_client_metadata(c, "wide", 0, net->now_ns, on_metadata, &a), KX_OK);
	assert_int_equal(kx_client_ping(c, 0, 0, net->now_ns, on_ping, &a), KX_NOT_CONNECTED);
	net_run(net, 3 * KX_NS_PER_S);
	assert_int_equal(a.topics, 61);
	assert_int_equal(a.partitions, 100);
	assert_int_equal(a.last, 2);
	net->loss = net->corrupt = net->reorder = 0;
	assert_int_equal(kx_client_ping(c, 7, 0, net->now_ns, on_ping, &a), KX_NO_TICKET);
	assert_int_equal(kx_client_ping(c, 0, 0, net->now_ns, on_ping, &a), KX_OK);
	net_run(net, 10000000);
	assert_int_equal(kx_client_ping(c, 1, 0, net->now_ns, on_ping, &a), KX_OK);
	net_run(net, 1000000000);
	assert_int_equal(a.pings, 2);
	assert_true(a.rtt_ns >= 40000 && a.rtt_ns <= 100000);
	net->loss = 1000;
	assert_int_equal(kx_client_ping(c, 0, 50000000, net->now_ns, on_ping, &a), KX_OK);
	assert_int_equal(kx_client_metadata(c, "wide", 50000000, net->now_ns, on_metadata, &a), KX_OK);
	net_run(net, 100000000);
	assert_int_equal(a.timeouts, 2);
	net_free(net);
}

/* Many clients on one hub; the idle ones cost no turn. */
static void test_many_clients(void **state)
{
	enum { N = 300 };
	static const char conf[] = "[lcores]\ndata = 1\n[memory]\nlog_bytes = 64M\nextent_bytes = 64K\n"
				   "[sessions]\nmax = 1024\n"
				   "[port net_memif0]\naddress = 10.0.0.254/24\n"
				   "[topic one]\npartitions = 1\nlog_bytes = 4M\nmax_message_bytes = 64K\n";
	struct net *net = net_new(conf, 1, 1, 18);
	struct seen *seen = calloc(N, sizeof(*seen));
	struct kx_client *c[N];
	struct kx_producer *p[N];
	uint64_t total = 0;

	(void)state;
	for (int i = 0; i < N; i++) {
		struct kx_client_opts co = {.broker = net->lcores[0].addr,
			.channels_max = 1,
			.on_event = pair_event,
			.user = &seen[i]};
		struct kx_producer_opts po = {.topic = "one", .send_slots = 8};

		assert_int_equal(kx_client_open(net->hub[0], &co, net->now_ns, &c[i]), KX_OK);
		assert_int_equal(kx_producer_open(c[i], &po, net->now_ns, &p[i]), KX_OK);
	}
	net_run(net, 2 * KX_NS_PER_S);
	for (int round = 0; round < 10; round++) {
		for (int i = 0; i < N; i++) {
			struct kx_message m = {.value = "12345678", .value_bytes = 8};

			assert_int_equal(kx_producer_send(p[i], &m, net->now_ns), KX_OK);
		}
		net_run(net, 5000000);
	}
	net_run(net, 100000000);
	for (int i = 0; i < N; i++) {
		struct kx_client_stats s;

		assert_int_equal(kx_producer_pending(p[i]), 0);
		kx_client_stats(c[i], &s);
		total += s.messages_committed;
	}
	assert_int_equal(total, N * 10);
	assert_int_equal(net->offsets[0].next_offset, N * 10);
	free(seen);
	net_free(net);
}

/* A log that blocks, and nobody reads: the producer waits, with few frames, and goes on when somebody does.
 */
static void take_all(void *user, const struct kx_batch_view *v)
{
	((struct seen *)user)->messages += v->count;
}

static void test_a_blocked_producer_is_quiet(void **state)
{
	struct net *net = net_new(pair_ini, 1, 2, 9);
	struct seen seen = {0};
	struct kx_client *client = pair_client(net, 0, &seen);
	struct kx_producer_opts opts = {.topic = "one", .on_complete = pair_complete, .user = &seen};
	static const uint8_t value[1000];
	struct kx_message m = {.value = value, .value_bytes = sizeof(value)};
	struct kx_consumer_opts read = {.topic = "one",
		.partition = KX_PARTITION_ALL,
		.start_offset = KX_OFFSET_EARLIEST,
		.on_batch = take_all,
		.user = &seen};
	struct kx_consumer *consumer;
	struct kx_producer *producer;
	uint64_t frames;

	(void)state;
	assert_int_equal(kx_producer_open(client, &opts, net->now_ns, &producer), KX_OK);
	for (int i = 0; i < 30000; i++) {
		kx_producer_send(producer, &m, net->now_ns);
		if (i % 4 == 0)
			net_turn(net);
	}
	net_run(net, 2 * KX_NS_PER_S);
	assert_true(kx_producer_pending(producer) > 0);
	assert_int_equal(seen.events[KX_EVENT_THROTTLED], 1);
	assert_int_equal(seen.last_code, KX_BLOCKED_LOG);
	assert_int_equal(seen.events[KX_EVENT_RESUMED], 0);
	frames = net->sent;
	net_run(net, 5 * KX_NS_PER_S);
	/* heartbeats of both sides every 100 ms, probes every 128 ms, their answers */
	assert_in_range(net->sent - frames, 1, 400);
	assert_int_equal(seen.events[KX_EVENT_THROTTLED], 1);
	/* somebody reads: it goes on by itself */
	assert_int_equal(kx_consumer_open(client, &read, net->now_ns, &consumer), KX_OK);
	for (int i = 0; i < 100 && kx_producer_pending(producer) > 0; i++)
		net_run(net, 100000000);
	net_run(net, 200000000);
	assert_int_equal(kx_producer_pending(producer), 0);
	assert_int_equal(seen.events[KX_EVENT_RESUMED], seen.events[KX_EVENT_THROTTLED]);
	net_free(net);
}

/* The session is lost while the producer is held back: what was told is taken back. */
static void test_a_throttled_session_is_lost(void **state)
{
	struct net *net = net_new(pair_ini, 1, 1, 10);
	struct seen seen = {0};
	struct kx_client *client = pair_client(net, 0, &seen);
	struct kx_producer_opts opts = {.topic = "one", .on_complete = pair_complete, .user = &seen};
	static const uint8_t value[1000];
	struct kx_message m = {.value = value, .value_bytes = sizeof(value)};
	struct kx_producer *producer;

	(void)state;
	assert_int_equal(kx_producer_open(client, &opts, net->now_ns, &producer), KX_OK);
	for (int i = 0; i < 30000; i++) {
		kx_producer_send(producer, &m, net->now_ns);
		if (i % 4 == 0)
			net_turn(net);
	}
	net_run(net, KX_NS_PER_S);
	assert_int_equal(seen.events[KX_EVENT_THROTTLED], 1);
	net->lcores[0].dead = true;
	for (int i = 0; i < 100 && seen.events[KX_EVENT_DISCONNECTED] == 0; i++)
		net_run(net, KX_NS_PER_S);
	assert_int_equal(seen.events[KX_EVENT_DISCONNECTED], 1);
	assert_int_equal(seen.events[KX_EVENT_RESUMED], 1);
	assert_int_equal(seen.events[KX_EVENT_THROTTLED], 1);
	net_free(net);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_broker_restart_is_told),
		cmocka_unit_test(test_restart_over_a_long_path),
		cmocka_unit_test(test_broker_stop_is_told),
		cmocka_unit_test(test_close_is_told),
		cmocka_unit_test(test_silence_and_return),
		cmocka_unit_test(test_not_owner_moves_the_partition),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_requests),
		cmocka_unit_test(test_many_clients),
		cmocka_unit_test(test_a_blocked_producer_is_quiet),
		cmocka_unit_test(test_a_throttled_session_is_lost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
