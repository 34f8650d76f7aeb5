/* SPDX-License-Identifier: BSD-3-Clause */
/* Nothing waits without a word: what the application is told when the broker has no place, or no room. */
#include "kx_test.h"

#include "client_pair.h"

static const char few_subs[] = "[lcores]\ndata = 1\n"
			       "[memory]\nlog_bytes = 64M\nextent_bytes = 64K\n"
			       "[sessions]\nmax_subscriptions = 3\n"
			       "[port net_memif0]\naddress = 10.0.0.254/24\n"
			       "[topic one]\npartitions = 1\nlog_bytes = 4M\nmax_message_bytes = 64K\n"
			       "[topic four]\npartitions = 4\nlog_bytes = 4M\nmax_message_bytes = 64K\n";

static uint64_t sent[64];     /* by frame type */
static uint64_t refused_subs; /* SUBSCRIBED with SUBS_FULL */

static bool count(struct net *net, const struct flight *f, const struct kx_frame_hdr *h)
{
	(void)net;
	(void)f;
	sent[h->type & 63]++;
	refused_subs += h->type == KX_SUBSCRIBED &&
		((const struct kx_subscribed *)(h + 1))->code == KX_CODE_SUBS_FULL;
	return true;
}

static void turns_until(struct net *net, const uint32_t *event, uint32_t n, uint64_t within_ns)
{
	for (uint64_t end = net->now_ns + within_ns; *event < n && net->now_ns < end;)
		net_turn(net);
	assert_int_equal(*event, n);
}

/* ---- no place for a subscription */

static void take_any(void *user, const struct kx_batch_view *v)
{
	uint64_t *messages = user;

	*messages += v->count;
}

static struct kx_consumer *consumer(
	struct net *net, struct kx_client *c, const char *topic, uint64_t *messages)
{
	struct kx_consumer_opts opts = {.topic = topic,
		.partition = KX_PARTITION_ALL,
		.start_offset = KX_OFFSET_EARLIEST,
		.on_batch = take_any,
		.user = messages};
	struct kx_consumer *out;

	assert_int_equal(kx_consumer_open(c, &opts, net->now_ns, &out), KX_OK);
	return out;
}

/* Asked again less and less often; it works when somebody leaves, and what had a place delivers meanwhile. */
static void test_no_place_for_a_subscription(void **state)
{
	struct net *net = net_new(few_subs, 1, 2, 1);
	struct seen first = {0}, second = {0};
	struct kx_client *a = pair_client(net, 0, &first), *b = pair_client(net, 1, &second);
	struct kx_producer_opts po = {.topic = "four", .batch_bytes = 200};
	struct kx_message m = {.value = "x", .value_bytes = 1};
	struct kx_consumer *one, *four;
	struct kx_producer *producer;
	uint64_t ones = 0, fours = 0;

	(void)state;
	memset(sent, 0, sizeof(sent));
	refused_subs = 0;
	net->filter = count;
	one = consumer(net, a, "one", &ones);
	turns_until(net, &first.events[KX_EVENT_CONSUMER_READY], 1, KX_NS_PER_S);
	four = consumer(net, b, "four", &fours);
	turns_until(net, &second.events[KX_EVENT_CONSUMER_WAITING], 1, KX_NS_PER_S);
	assert_int_equal(second.last_result, KX_REFUSED);
	assert_int_equal(second.last_code, KX_CODE_SUBS_FULL);
	assert_int_equal(second.events[KX_EVENT_CONSUMER_READY], 0);
	assert_int_equal(kx_consumer_partitions(four), 0);
	assert_int_equal(kx_producer_open(a, &po, net->now_ns, &producer), KX_OK);
	turns_until(net, &first.events[KX_EVENT_PRODUCER_READY], 1, KX_NS_PER_S);
	for (int i = 0; i < 4; i++) {
		m.partition = i;
		assert_int_equal(kx_producer_send(producer, &m, net->now_ns), KX_OK);
	}
	net_run(net, KX_NS_PER_S);
	assert_int_equal(fours, 2); /* two of the table's three are its own */
	assert_true(net->ledgers[0].drop[KX_DROP_SUBS_FULL] >= 2);
	assert_int_equal(net->ledgers[0].drop[KX_DROP_SUBS_FULL], refused_subs);
	sent[KX_SUBSCRIBE] = 0;
	net_run(net, 120 * KX_NS_PER_S);
	assert_in_range(sent[KX_SUBSCRIBE], 2 * 5, 2 * 9); /* for each 1, 2, 4, 8, 16, 30, 30, 30 s */
	assert_int_equal(second.events[KX_EVENT_CONSUMER_WAITING], 1);
	assert_int_equal(second.events[KX_EVENT_CONSUMER_FAILED], 0);
	assert_int_equal(kx_consumer_close(one, net->now_ns), KX_OK); /* one place of the two that it needs */
	net_run(net, 31 * KX_NS_PER_S);
	assert_int_equal(second.events[KX_EVENT_CONSUMER_READY], 0);
	assert_int_equal(fours, 3);
	net_free(net);
}

static void test_a_place_becomes_free(void **state)
{
	struct net *net = net_new(few_subs, 1, 2, 2);
	struct seen first = {0}, second = {0};
	struct kx_client *a = pair_client(net, 0, &first), *b = pair_client(net, 1, &second);
	struct kx_consumer *x, *y, *z, *late;
	uint64_t got[4] = {0};

	(void)state;
	x = consumer(net, a, "one", &got[0]);
	y = consumer(net, a, "one", &got[1]);
	z = consumer(net, a, "one", &got[2]);
	turns_until(net, &first.events[KX_EVENT_CONSUMER_READY], 3, KX_NS_PER_S);
	late = consumer(net, b, "one", &got[3]);
	turns_until(net, &second.events[KX_EVENT_CONSUMER_WAITING], 1, KX_NS_PER_S);
	assert_int_equal(kx_consumer_position(late, 0), UINT64_MAX);
	assert_int_equal(kx_consumer_close(y, net->now_ns), KX_OK);
	turns_until(net, &second.events[KX_EVENT_CONSUMER_READY], 1, 2 * KX_NS_PER_S);
	assert_int_equal(kx_consumer_position(late, 0), 0);
	/* its session goes, and somebody is faster: that is another time, and told */
	net->hubs[1].asleep_until_ns = net->now_ns + 60 * KX_NS_PER_S;
	net_run(net, 59 * KX_NS_PER_S);
	y = consumer(net, a, "one", &got[1]);
	turns_until(net, &first.events[KX_EVENT_CONSUMER_READY], 4, KX_NS_PER_S);
	turns_until(net, &second.events[KX_EVENT_CONSUMER_WAITING], 2, 10 * KX_NS_PER_S);
	assert_int_equal(kx_consumer_close(x, net->now_ns), KX_OK);
	assert_int_equal(kx_consumer_close(z, net->now_ns), KX_OK);
	turns_until(net, &second.events[KX_EVENT_CONSUMER_READY], 2, 3 * KX_NS_PER_S);
	net_free(net);
}

static bool no_unsubscribe(struct net *net, const struct flight *f, const struct kx_frame_hdr *h)
{
	(void)net;
	(void)f;
	return h->type != KX_UNSUBSCRIBE;
}

/* UNSUBSCRIBE is lost, and nothing is ever sent on that subscription that would show it: its place becomes
 * free when somebody needs one. */
static void test_a_place_of_nobody_becomes_free(void **state)
{
	struct net *net = net_new(few_subs, 1, 2, 3);
	struct seen first = {0}, second = {0};
	struct kx_client *a = pair_client(net, 0, &first), *b = pair_client(net, 1, &second);
	struct kx_consumer *of_a[3];
	uint64_t messages = 0;

	(void)state;
	for (int i = 0; i < 3; i++)
		of_a[i] = consumer(net, a, "one", &messages);
	turns_until(net, &first.events[KX_EVENT_CONSUMER_READY], 3, KX_NS_PER_S);
	net->filter = no_unsubscribe;
	assert_int_equal(kx_consumer_close(of_a[0], net->now_ns), KX_OK);
	net_run(net, KX_NS_PER_S);
	net->filter = NULL;
	(void)consumer(net, b, "one", &messages);
	turns_until(net, &second.events[KX_EVENT_CONSUMER_WAITING], 1, KX_NS_PER_S);
	turns_until(net, &second.events[KX_EVENT_CONSUMER_READY], 1, 2 * KX_NS_PER_S);
	net_free(net);
}

/* ---- no room */

static void fill(struct net *net, struct kx_producer *producer)
{
	static const uint8_t value[1000];
	struct kx_message m = {.value = value, .value_bytes = sizeof(value)};

	for (int i = 0; i < 30000; i++) {
		kx_producer_send(producer, &m, net->now_ns);
		if (i % 4 == 0)
			net_turn(net);
	}
}

/* A session that is set up while the log is full: the application is told as it was in the one before, and
 * little is sent in vain. */
static void test_a_full_log_after_a_lost_session(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 4; seed++) {
		struct net *net = net_new(pair_ini, 1, 1, seed);
		struct seen seen = {0};
		struct kx_client *client = pair_client(net, 0, &seen);
		struct kx_producer_opts opts = {.topic = "one", .on_complete = pair_complete, .user = &seen};
		struct kx_producer *producer;
		uint64_t messages = 0;

		memset(sent, 0, sizeof(sent));
		net->filter = count;
		assert_int_equal(kx_producer_open(client, &opts, net->now_ns, &producer), KX_OK);
		fill(net, producer);
		net_run(net, KX_NS_PER_S);
		assert_int_equal(seen.events[KX_EVENT_THROTTLED], 1);
		net->hubs[0].asleep_until_ns = net->now_ns + 60 * KX_NS_PER_S;
		net_run(net, 60 * KX_NS_PER_S);
		turns_until(net, &seen.events[KX_EVENT_CONNECTED], 2, 10 * KX_NS_PER_S);
		assert_int_equal(seen.events[KX_EVENT_RESUMED], 1);
		memset(sent, 0, sizeof(sent));
		net_run(net, 10 * KX_NS_PER_S);
		assert_int_equal(seen.events[KX_EVENT_THROTTLED], 2);
		assert_int_equal(seen.last_code, KX_BLOCKED_LOG);
		assert_int_equal(seen.events[KX_EVENT_RESUMED], 1);
		/* a few frames each 128 ms at the most, and not as fast as they are refused */
		assert_in_range(sent[KX_PRODUCE], 0, 500);
		(void)consumer(net, client, "one", &messages);
		for (int i = 0; i < 100 && kx_producer_pending(producer) > 0; i++)
			net_run(net, 100000000);
		net_run(net, 200000000);
		assert_int_equal(kx_producer_pending(producer), 0);
		assert_int_equal(seen.failed, 0);
		assert_int_equal(seen.events[KX_EVENT_RESUMED], 2);
		net_free(net);
	}
}

/* The producer that was held back is closed: nothing waits any more. */
static void test_a_producer_that_waits_is_closed(void **state)
{
	struct net *net = net_new(pair_ini, 1, 1, 5);
	struct seen seen = {0};
	struct kx_client *client = pair_client(net, 0, &seen);
	struct kx_producer_opts opts = {.topic = "one", .on_complete = pair_complete, .user = &seen};
	struct kx_producer *producer;

	(void)state;
	assert_int_equal(kx_producer_open(client, &opts, net->now_ns, &producer), KX_OK);
	fill(net, producer);
	/* a session that is new finds no room for what it sends within its first credit */
	net->hubs[0].asleep_until_ns = net->now_ns + 60 * KX_NS_PER_S;
	net_run(net, 60 * KX_NS_PER_S);
	turns_until(net, &seen.events[KX_EVENT_CONNECTED], 2, 10 * KX_NS_PER_S);
	net_run(net, 10 * KX_NS_PER_S);
	assert_int_equal(seen.events[KX_EVENT_THROTTLED], 2);
	assert_int_equal(seen.events[KX_EVENT_RESUMED], 1);
	assert_int_equal(kx_producer_close(producer, net->now_ns), KX_OK);
	net_run(net, 5 * KX_NS_PER_S);
	assert_int_equal(seen.events[KX_EVENT_RESUMED], 2);
	assert_int_equal(seen.events[KX_EVENT_THROTTLED], 2);
	net_free(net);
}

static bool no_produce(struct net *net, const struct flight *f, const struct kx_frame_hdr *h)
{
	(void)net;
	(void)f;
	return h->type != KX_PRODUCE && h->type != KX_PRODUCE_FRAG;
}

/* A producer is closed before anything of what it sent has come: that keeps no credit from the others of the
 * client. The window is just enough for a largest message. */
static void test_credit_of_a_closed_producer(void **state)
{
	static const char ini[] =
		"[lcores]\ndata = 1\n[memory]\nlog_bytes = 64M\nextent_bytes = 64K\n"
		"[sessions]\nwindow_bytes = 64K\n[port net_memif0]\naddress = 10.0.0.254/24\n"
		"[topic one]\npartitions = 1\nlog_bytes = 4M\nmax_message_bytes = 64K\n"
		"[topic two]\npartitions = 1\nlog_bytes = 4M\nmax_message_bytes = 64K\n";
	static const uint8_t value[65536];
	struct kx_message m = {.value = value, .value_bytes = 1000};
	struct net *net = net_new(ini, 1, 1, 6);
	struct seen seen = {0};
	struct kx_client *client = pair_client(net, 0, &seen);
	struct kx_producer_opts opts = {.topic = "one", .large_bytes = 128u << 10};
	struct kx_producer *producer;

	(void)state;
	assert_int_equal(kx_producer_open(client, &opts, net->now_ns, &producer), KX_OK);
	turns_until(net, &seen.events[KX_EVENT_PRODUCER_READY], 1, KX_NS_PER_S);
	net->filter = no_produce;
	for (int i = 0; i < 30; i++)
		assert_int_equal(kx_producer_send(producer, &m, net->now_ns), KX_OK);
	net_run(net, KX_NS_PER_S);
	assert_int_equal(kx_producer_close(producer, net->now_ns), KX_OK);
	net->filter = NULL;
	opts.topic = "two";
	assert_int_equal(kx_producer_open(client, &opts, net->now_ns, &producer), KX_OK);
	turns_until(net, &seen.events[KX_EVENT_PRODUCER_READY], 2, KX_NS_PER_S);
	m.value_bytes = sizeof(value);
	assert_int_equal(kx_producer_send(producer, &m, net->now_ns), KX_OK);
	net_run(net, 5 * KX_NS_PER_S);
	assert_int_equal(kx_producer_pending(producer), 0);
	net_free(net);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_place_for_a_subscription),
		cmocka_unit_test(test_a_place_becomes_free),
		cmocka_unit_test(test_a_place_of_nobody_becomes_free),
		cmocka_unit_test(test_a_full_log_after_a_lost_session),
		cmocka_unit_test(test_a_producer_that_waits_is_closed),
		cmocka_unit_test(test_credit_of_a_closed_producer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
