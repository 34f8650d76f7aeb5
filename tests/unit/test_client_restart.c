/* SPDX-License-Identifier: BSD-3-Clause */
/* Clients of a broker that is restarted: nothing is skipped, nothing of before is touched again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "client_pair.h"

struct reader {
	uint64_t next, batches, truncated, trimmed;
};

static void on_event(void *user, const struct kx_event *e)
{
	struct reader *r = user;

	if (e->type == KX_EVENT_OFFSET_TRUNCATED) {
		r->next = e->first;
		r->truncated++;
	} else if (e->type == KX_EVENT_OFFSET_TRIMMED) {
		assert_int_equal(e->first, r->next);
		r->next = e->last + 1;
		r->trimmed++;
	}
}

static void on_batch(void *user, const struct kx_batch_view *v)
{
	struct reader *r = user;

	assert_int_equal(v->first_offset, r->next);
	r->next += v->count;
	r->batches++;
}

static struct kx_consumer *reader_open(struct net *net, struct reader *r, const char *topic, uint64_t start)
{
	struct kx_client_opts opts = {.on_event = on_event, .user = r};
	struct kx_consumer_opts co = {.topic = topic, .start_offset = start, .on_batch = on_batch, .user = r};
	struct kx_consumer *consumer;
	struct kx_client *c;

	opts.broker = net->lcores[0].addr;
	assert_int_equal(kx_client_open(net->hub[1], &opts, net->now_ns, &c), KX_OK);
	assert_int_equal(kx_consumer_open(c, &co, net->now_ns, &consumer), KX_OK);
	return consumer;
}

static struct kx_producer *writer_open(struct net *net, struct seen *seen, const char *topic)
{
	struct kx_producer_opts po = {.topic = topic, .user = seen};
	struct kx_client *c = pair_client(net, 0, seen);
	struct kx_producer *p;

	assert_int_equal(kx_producer_open(c, &po, net->now_ns, &p), KX_OK);
	for (int i = 0; i < 100000 && kx_producer_partitions(p) == 0; i++)
		net_turn(net);
	return p;
}

/* @return how many were taken */
static uint32_t send_to(
	struct net *net, struct kx_producer *p, uint32_t partition, uint32_t n, uint32_t bytes)
{
	static const uint8_t value[1200];
	struct kx_message m = {.value = value, .value_bytes = bytes, .partition = (int32_t)partition};
	uint32_t taken = 0;

	for (int i = 0; i < 200000 && taken < n; i++) {
		if (kx_producer_send(p, &m, net->now_ns) == KX_OK)
			taken++;
		else
			net_turn(net);
	}
	return taken;
}

static uint32_t send(struct net *net, struct kx_producer *p, uint32_t n, uint32_t bytes)
{
	return send_to(net, p, 0, n, bytes);
}

/* The new log has passed the old position before the consumer is back: it begins at 0 all the same. */
static void position_of_the_old_log_means_nothing(void **state)
{
	struct net *net = net_new(pair_ini, 1, 2, 1);
	struct seen seen = {0};
	struct reader r = {0};
	struct kx_producer *p = writer_open(net, &seen, "one");

	(void)state;
	reader_open(net, &r, "one", KX_OFFSET_EARLIEST);
	assert_int_equal(send(net, p, 20, 100), 20);
	net_run(net, KX_NS_PER_S);
	assert_int_equal(r.next, 20);
	net->hubs[1].asleep_until_ns = net->now_ns + 3 * KX_NS_PER_S;
	net_restart_broker(net);
	net_run(net, KX_NS_PER_S);
	assert_int_equal(send(net, p, 50, 100), 50);
	net_run(net, 4 * KX_NS_PER_S);
	assert_int_equal(r.truncated, 1);
	assert_int_equal(r.next, 50);
	net_free(net);
}

/* The same where the new log has lost its beginning already: that is told too. So is it for an offset that
 * was asked for and is gone. */
static void what_is_gone_is_told(void **state)
{
	struct net *net = net_new(pair_ini, 1, 2, 1);
	struct seen seen = {0};
	struct reader r = {.next = 3};
	struct kx_producer *p = writer_open(net, &seen, "trim");

	(void)state;
	assert_int_equal(send(net, p, 1000, 1000), 1000);
	net_run(net, KX_NS_PER_S);
	reader_open(net, &r, "trim", 3);
	net_run(net, KX_NS_PER_S);
	assert_int_equal(r.trimmed, 1);
	assert_int_equal(r.next, 1000);
	net->hubs[1].asleep_until_ns = net->now_ns + 3 * KX_NS_PER_S;
	net_restart_broker(net);
	net_run(net, KX_NS_PER_S);
	assert_int_equal(send(net, p, 1500, 1000), 1500);
	net_run(net, 4 * KX_NS_PER_S);
	assert_int_equal(r.truncated, 1);
	assert_int_equal(r.trimmed, 2);
	assert_int_equal(r.next, 1500);
	net_free(net);
}

/* What waited to be sent when the identity was lost is completed; the partitions can send again. */
static void sends_again_after_losing_its_identity(void **state)
{
	struct net *net = net_new(pair_ini, 2, 1, 1);
	struct seen seen = {0};
	struct kx_producer *p = writer_open(net, &seen, "four");

	(void)state;
	for (int i = 0; i < 3; i++) {
		for (uint32_t part = 0; part < 4; part++)
			assert_int_equal(send_to(net, p, 3 - part, 10, 1000), 10);
		net_run(net, KX_NS_PER_S);
		assert_int_equal(kx_producer_pending(p), 0);
		net->lcores[0].dead = net->lcores[1].dead = true;
		for (uint32_t part = 0; part < 4; part++)
			assert_int_equal(send_to(net, p, part, 100, 1000), 100);
		net_run(net, KX_NS_PER_S / 2);
		assert_int_equal(kx_producer_pending(p), 400);
		net_restart_broker(net);
		net->lcores[0].dead = net->lcores[1].dead = false;
		net_run(net, 5 * KX_NS_PER_S);
		assert_int_equal(kx_producer_pending(p), 0);
	}
	net_free(net);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(position_of_the_old_log_means_nothing),
		cmocka_unit_test(what_is_gone_is_told),
		cmocka_unit_test(sends_again_after_losing_its_identity),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
