/* SPDX-License-Identifier: BSD-3-Clause */
/* The client library by itself: arguments, callbacks, set-up that is disturbed, frames that lie. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "client_rig.h"

static const char ini[] =
	"[lcores]\ndata = 1\n"
	"[memory]\nlog_bytes = 64M\nextent_bytes = 64K\n"
	"[port net_memif0]\naddress = 10.0.0.254/24\n"
	"[topic one]\npartitions = 1\noverrun = block\nlog_bytes = 4M\nmax_message_bytes = 64K\n";

static void on_batch(void *user, const struct kx_batch_view *v)
{
	*(uint64_t *)user += v->count;
}

static void on_metadata(void *user, enum kx_result r, const struct kx_metadata_info *info,
	const struct kx_partition_info *p, uint32_t n, bool last)
{
	(void)user;
	(void)r;
	(void)info;
	(void)p;
	(void)n;
	(void)last;
	fail_msg("a request that was refused is answered");
}

static void test_texts(void **state)
{
	(void)state;
	for (int r = 0; r < KX_RESULT_COUNT; r++) {
		assert_true(strlen(kx_result_name((enum kx_result)r)) >= 2);
		assert_true(strlen(kx_result_text((enum kx_result)r)) >= 2);
	}
	assert_string_equal(kx_result_name(KX_BACK_PRESSURED), "BACK_PRESSURED");
	assert_string_equal(kx_result_name(KX_RESULT_COUNT), "?");
	assert_string_equal(kx_result_text(KX_RESULT_COUNT), "?");
	assert_string_equal(kx_event_name(KX_EVENT_CONNECTED), "CONNECTED");
	assert_string_equal(kx_event_name(KX_EVENT_OWNER_CHANGED), "OWNER_CHANGED");
	assert_string_equal(kx_event_name((enum kx_event_type)0), "?");
	assert_string_equal(kx_event_name((enum kx_event_type)99), "?");
}

static void test_bad_arguments_of_open(void **state)
{
	struct net *net = net_new(ini, 1, 1, 1);
	struct kx_transport none = {0};
	struct kx_hub_opts ho = {.rx_burst = 257};
	struct kx_client_opts co = {0};
	struct kx_client *c = NULL;
	struct kx_hub *hub;
	char name[80];

	(void)state;
	memset(name, 'x', sizeof(name));
	name[64] = '\0';
	assert_int_equal(kx_hub_open(NULL, NULL, &hub), KX_BAD_ARGUMENT);
	assert_int_equal(kx_hub_open(&none, NULL, &hub), KX_BAD_ARGUMENT);
	assert_int_equal(kx_hub_close(NULL, 0), KX_OK);
	none.ops = (const struct kx_transport_ops *)&ho;
	assert_int_equal(kx_hub_open(&none, &ho, &hub), KX_BAD_ARGUMENT);
	assert_int_equal(kx_client_open(net->hub[0], &co, net->now_ns, &c), KX_BAD_ARGUMENT);
	co.broker = net->lcores[0].addr;
	assert_int_equal(kx_client_open(NULL, &co, net->now_ns, &c), KX_BAD_ARGUMENT);
	assert_int_equal(kx_client_open(net->hub[0], NULL, net->now_ns, &c), KX_BAD_ARGUMENT);
	co.principal = name;
	assert_int_equal(kx_client_open(net->hub[0], &co, net->now_ns, &c), KX_BAD_ARGUMENT);
	co.principal = NULL;
	co.channels_max = 257;
	assert_int_equal(kx_client_open(net->hub[0], &co, net->now_ns, &c), KX_BAD_ARGUMENT);
	co.channels_max = 256;
	for (int i = 0; i < 4; i++) /* the hub has room for 1024 channels */
		assert_int_equal(kx_client_open(net->hub[0], &co, net->now_ns, &c), KX_OK);
	assert_int_equal(kx_client_open(net->hub[0], &co, net->now_ns, &c), KX_NO_MEMORY);
	assert_int_equal(kx_client_close(NULL, 0), KX_OK);
	net_free(net);
}

static struct kx_client *connected(struct net *net, const struct kx_client_opts *more)
{
	struct kx_client_opts co = more != NULL ? *more : (struct kx_client_opts){0};
	struct kx_client *c;

	co.broker = net->lcores[0].addr;
	assert_int_equal(kx_client_open(net->hub[0], &co, net->now_ns, &c), KX_OK);
	for (int i = 0; i < 3000000 && !kx_client_connected(c); i++)
		net_turn(net);
	assert_true(kx_client_connected(c));
	return c;
}

static void test_bad_arguments_of_producers(void **state)
{
	struct net *net = net_new(ini, 1, 1, 2);
	struct kx_client *c = connected(net, NULL);
	struct kx_producer_opts po = {0};
	struct kx_header_view h = {0};
	struct kx_message m = {0};
	struct kx_producer *p, *other;
	uint8_t *values;
	uint32_t stride;

	(void)state;
	assert_int_equal(kx_producer_open(c, &po, net->now_ns, &p), KX_BAD_ARGUMENT); /* no topic */
	po.topic = "";
	assert_int_equal(kx_producer_open(c, &po, net->now_ns, &p), KX_BAD_ARGUMENT);
	po.topic = "one";
	po.send_slots = 1;
	assert_int_equal(kx_producer_open(c, &po, net->now_ns, &p), KX_BAD_ARGUMENT);
	po.send_slots = 0;
	po.batch_bytes = 79;
	assert_int_equal(kx_producer_open(c, &po, net->now_ns, &p), KX_BAD_ARGUMENT);
	po.batch_bytes = 0;
	po.slot_bytes = 100;
	assert_int_equal(kx_producer_open(c, &po, net->now_ns, &p), KX_BAD_ARGUMENT);
	po.slot_bytes = 0;
	assert_int_equal(kx_producer_open(NULL, &po, net->now_ns, &p), KX_BAD_ARGUMENT);
	assert_int_equal(kx_producer_open(c, &po, net->now_ns, &p), KX_OK);
	assert_int_equal(kx_producer_open(c, &po, net->now_ns, &other), KX_IN_USE);
	assert_int_equal(kx_producer_fit(p, 64), 0);
	assert_int_equal(kx_producer_claim(p, 0, 0, 64, 1, &values, &stride), KX_NOT_READY);
	net_run(net, 10000000);
	assert_int_equal(kx_producer_partitions(p), 1);
	assert_int_equal(kx_producer_send(NULL, &m, net->now_ns), KX_BAD_ARGUMENT);
	assert_int_equal(kx_producer_send(p, NULL, net->now_ns), KX_BAD_ARGUMENT);
	m.value_bytes = 4; /* and no value */
	assert_int_equal(kx_producer_send(p, &m, net->now_ns), KX_BAD_ARGUMENT);
	m.value = "1234";
	m.key_bytes = 3; /* and no key */
	assert_int_equal(kx_producer_send(p, &m, net->now_ns), KX_BAD_ARGUMENT);
	m.key_bytes = 0;
	m.header_count = 1; /* without a name */
	m.headers = &h;
	assert_int_equal(kx_producer_send(p, &m, net->now_ns), KX_BAD_ARGUMENT);
	m.header_count = 17;
	assert_int_equal(kx_producer_send(p, &m, net->now_ns), KX_BAD_ARGUMENT);
	m.header_count = 0;
	m.partition = -2;
	assert_int_equal(kx_producer_send(p, &m, net->now_ns), KX_BAD_ARGUMENT);
	m.partition = 1;
	assert_int_equal(kx_producer_send(p, &m, net->now_ns), KX_UNKNOWN_PARTITION);
	assert_int_equal(kx_producer_claim(p, 1, 0, 64, 1, &values, &stride), KX_UNKNOWN_PARTITION);
	assert_int_equal(kx_producer_claim(p, 0, 0, 64, 0, &values, &stride), KX_BAD_ARGUMENT);
	assert_int_equal(kx_producer_claim(p, 0, 0, 64, 18, &values, &stride), KX_TOO_LARGE);
	assert_int_equal(kx_producer_claim(p, 0, 0, 64, 1, NULL, &stride), KX_BAD_ARGUMENT);
	assert_int_equal(kx_producer_commit(p, 0, net->now_ns), KX_BAD_STATE);
	assert_int_equal(kx_producer_claim(p, 0, 0, 64, 1, &values, &stride), KX_OK);
	m.partition = 0;
	assert_int_equal(kx_producer_send(p, &m, net->now_ns), KX_BAD_STATE);
	kx_producer_cancel(p);
	kx_producer_cancel(p);
	assert_int_equal(kx_producer_pending(p), 0);
	assert_int_equal(kx_producer_close(p, net->now_ns), KX_OK);
	assert_int_equal(kx_producer_send(p, &m, net->now_ns), KX_CLOSED);
	/* closed with everything confirmed: it may be opened again and its sequence goes on */
	assert_int_equal(kx_producer_open(c, &po, net->now_ns, &p), KX_OK);
	net_run(net, 10000000);
	assert_int_equal(kx_producer_send(p, &m, net->now_ns), KX_OK);
	net_run(net, 10000000);
	assert_int_equal(kx_producer_pending(p), 0);
	assert_int_equal(kx_producer_send(p, &m, net->now_ns), KX_OK);
	assert_int_equal(kx_producer_close(p, net->now_ns), KX_OK);
	assert_int_equal(kx_producer_open(c, &po, net->now_ns, &p), KX_IN_USE);
	net_free(net);
}

/* A closed producer keeps its place and its tables: what kx_client.h says of producers_max, partitions_max.
 */
static void test_places_of_producers(void **state)
{
	struct net *net = net_new(ini, 1, 1, 3);
	struct kx_client_opts more = {.producers_max = 2};
	struct kx_client *c = connected(net, &more);
	struct kx_producer_opts po = {.topic = "one", .partitions_max = 8}, other = {.topic = "three"};
	struct kx_producer *p, *first;

	(void)state;
	assert_int_equal(kx_producer_open(c, &po, net->now_ns, &first), KX_OK);
	assert_int_equal(kx_producer_close(first, net->now_ns), KX_OK);
	assert_int_equal(kx_producer_open(c, &other, net->now_ns, &p), KX_OK);
	assert_int_equal(kx_producer_close(p, net->now_ns), KX_OK);
	other.topic = "more";
	assert_int_equal(kx_producer_open(c, &other, net->now_ns, &p), KX_NO_MEMORY);
	po.partitions_max = 9; /* than it had */
	assert_int_equal(kx_producer_open(c, &po, net->now_ns, &p), KX_BAD_ARGUMENT);
	for (po.partitions_max = 0; po.partitions_max <= 8; po.partitions_max += 4) {
		assert_int_equal(kx_producer_open(c, &po, net->now_ns, &p), KX_OK);
		assert_ptr_equal(p, first);
		net_run(net, 10000000);
		assert_int_equal(kx_producer_partitions(p), 1);
		assert_int_equal(kx_producer_close(p, net->now_ns), KX_OK);
	}
	net_free(net);
}

static void test_bad_arguments_of_consumers_and_requests(void **state)
{
	struct net *net = net_new(ini, 1, 1, 3);
	struct kx_client_opts more = {.consumers_max = 1, .requests_max = 1};
	struct kx_client *c = connected(net, &more);
	struct kx_consumer_opts co = {0};
	struct kx_consumer *consumer;
	struct kx_polled polled;
	uint64_t n = 0;

	(void)state;
	assert_int_equal(kx_consumer_open(c, &co, net->now_ns, &consumer), KX_BAD_ARGUMENT);
	co.topic = "one";
	assert_int_equal(kx_consumer_open(c, &co, net->now_ns, &consumer), KX_BAD_ARGUMENT); /* no callback */
	co.on_batch = on_batch;
	co.user = &n;
	co.polled = true; /* and a callback */
	assert_int_equal(kx_consumer_open(c, &co, net->now_ns, &consumer), KX_BAD_ARGUMENT);
	co.polled = false;
	co.window_bytes = 100;
	assert_int_equal(kx_consumer_open(c, &co, net->now_ns, &consumer), KX_BAD_ARGUMENT);
	co.window_bytes = 0;
	co.partition = -2;
	assert_int_equal(kx_consumer_open(c, &co, net->now_ns, &consumer), KX_BAD_ARGUMENT);
	co.partition = 0;
	assert_int_equal(kx_consumer_open(c, &co, net->now_ns, &consumer), KX_OK);
	assert_int_equal(kx_consumer_poll(consumer, net->now_ns, &polled), KX_BAD_STATE);
	assert_int_equal(kx_consumer_position(consumer, 0), UINT64_MAX);
	assert_int_equal(kx_consumer_open(c, &co, net->now_ns, &consumer), KX_NO_MEMORY);
	assert_int_equal(kx_client_topics(c, 0, net->now_ns, NULL, NULL), KX_BAD_ARGUMENT);
	assert_int_equal(kx_client_metadata(c, "", 0, net->now_ns, on_metadata, NULL), KX_BAD_ARGUMENT);
	assert_int_equal(kx_client_ping(c, 0, 0, net->now_ns, NULL, NULL), KX_BAD_ARGUMENT);
	net_free(net);
}

/* ---- in callbacks */

struct inside {
	struct net *net;
	struct kx_client *client;
	struct kx_producer *producer;
	uint32_t tried;
};

static void on_event_inside(void *user, const struct kx_event *e)
{
	struct inside *in = user;

	if (e->type != KX_EVENT_PRODUCER_READY)
		return;
	assert_int_equal(kx_client_close(e->client, in->net->now_ns), KX_IN_CALLBACK);
	assert_int_equal(kx_producer_close(e->producer, in->net->now_ns), KX_IN_CALLBACK);
	assert_int_equal(kx_hub_close(in->net->hub[0], in->net->now_ns), KX_IN_CALLBACK);
	assert_int_equal(kx_hub_poll(in->net->hub[0], in->net->now_ns), 0);
	in->tried++;
}

/* Sends the next message from the completion of the one before. */
static void on_complete_inside(void *user, const struct kx_completion *c)
{
	struct inside *in = user;
	struct kx_message m = {.value = "x", .value_bytes = 1};

	if (c->result == KX_OK && in->tried++ < 50)
		assert_int_equal(kx_producer_send(c->producer, &m, in->net->now_ns), KX_OK);
	else if (c->result != KX_OK) /* while it closes nothing can be sent */
		assert_int_not_equal(kx_producer_send(c->producer, &m, in->net->now_ns), KX_OK);
}

static void test_callbacks(void **state)
{
	struct inside in = {.net = net_new(ini, 1, 1, 4)};
	struct kx_client_opts more = {.on_event = on_event_inside, .user = &in};
	struct kx_producer_opts po = {.topic = "one", .on_complete = on_complete_inside, .user = &in};
	struct kx_message m = {.value = "x", .value_bytes = 1};

	(void)state;
	in.client = connected(in.net, &more);
	assert_int_equal(kx_producer_open(in.client, &po, in.net->now_ns, &in.producer), KX_OK);
	net_run(in.net, 10000000);
	assert_int_equal(in.tried, 1);
	assert_int_equal(kx_producer_send(in.producer, &m, in.net->now_ns), KX_OK);
	net_run(in.net, 100000000);
	assert_int_equal(in.tried, 51);
	assert_int_equal(kx_producer_pending(in.producer), 0);
	assert_int_equal(kx_producer_send(in.producer, &m, in.net->now_ns), KX_OK);
	assert_int_equal(kx_client_close(in.client, in.net->now_ns), KX_OK);
	net_free(in.net);
}

/* ---- set-up */

/* Loses the first three of each kind of set-up frame. */
static bool lose_three(struct net *net, const struct flight *f, const struct kx_frame_hdr *h)
{
	uint64_t shift = h->type * 4u;

	(void)f;
	if (h->type > KX_ACCEPT || (net->filter_state >> shift & 15) == 3)
		return true;
	net->filter_state += UINT64_C(1) << shift;
	return false;
}

static void test_set_up_is_repeated(void **state)
{
	struct net *net = net_new(ini, 1, 1, 5);
	struct kx_client_stats stats;
	struct kx_client *c;

	(void)state;
	net->filter = lose_three;
	c = connected(net, NULL);
	kx_client_stats(c, &stats);
	assert_int_equal(stats.connects, 1);
	/* 3 lost HELLO, 3 answered by a lost COOKIE, 1; the same for AUTH */
	assert_int_equal(stats.tx_frames, 14);
	net_free(net);
}

static void on_event_count(void *user, const struct kx_event *e)
{
	((uint32_t *)user)[e->type]++;
}

static void test_nobody_there(void **state)
{
	struct net *net = net_new(ini, 1, 1, 6);
	uint32_t events[16] = {0};
	struct kx_client_opts co = {.broker = net->lcores[0].addr,
		.connect_timeout_ns = 500000000,
		.on_event = on_event_count,
		.user = events};
	struct kx_client_stats stats;
	struct kx_client *c;

	(void)state;
	net->lcores[0].dead = true;
	assert_int_equal(kx_client_open(net->hub[0], &co, net->now_ns, &c), KX_OK);
	net_run(net, 490000000);
	assert_int_equal(events[KX_EVENT_CONNECT_FAILED], 0);
	net_run(net, 20000000);
	assert_int_equal(events[KX_EVENT_CONNECT_FAILED], 1);
	net_run(net, 20 * KX_NS_PER_S);
	assert_int_equal(events[KX_EVENT_CONNECT_FAILED], 1);
	kx_client_stats(c, &stats);
	assert_true(stats.tx_frames > 10 && stats.tx_frames < 50); /* it goes on, slowly */
	assert_true(kx_hub_next_deadline_ns(net->hub[0]) > net->now_ns);
	net->lcores[0].dead = false;
	net_run(net, 5 * KX_NS_PER_S);
	assert_int_equal(events[KX_EVENT_CONNECTED], 1);
	net_free(net);
}

/* ---- frames that are not what they seem */

static void test_hostile_frames(void **state)
{
	struct net *net = net_new(ini, 1, 1, 7);
	struct kx_addr stranger;
	struct kx_prng prng;
	uint8_t data[1400];
	struct kx_client *c = connected(net, NULL);
	const struct kx_hub_stats *s = kx_hub_stats(net->hub[0]);
	struct kx_accept *accept = (struct kx_accept *)(data + sizeof(struct kx_frame_hdr));
	uint64_t bad;

	(void)state;
	kx_prng_seed(&prng, 1);
	assert_int_equal(kx_addr_parse("10.9.9.9:9000", 0, &stranger), 0);
	/* noise of every length */
	for (uint32_t n = 1; n < sizeof(data); n++) {
		for (uint32_t i = 0; i < n; i++)
			data[i] = (uint8_t)kx_prng_next(&prng);
		net_inject(net, &net->lcores[0].addr, &net->hubs[0].addr, data, n);
		if (n % 50 == 0)
			net_run(net, 100000);
	}
	net_run(net, 100000000);
	assert_true(s->rx_bad >= 1390);
	bad = s->rx_bad;
	/* an ACCEPT nobody asked for, right and from a stranger */
	memset(data, 0, sizeof(data));
	(void)kx_frame_begin(data, KX_ACCEPT, 0, 0, 0, 0);
	*accept = (struct kx_accept){.conn_id = 5,
		.boot_id = 6,
		.base_port = 9000,
		.lcore_count = 1,
		.datagram_bytes = 1372,
		.durability = KX_MEMORY};
	kx_frame_seal(data, sizeof(struct kx_frame_hdr) + sizeof(*accept));
	net_inject(net, &stranger, &net->hubs[0].addr, data, sizeof(struct kx_frame_hdr) + sizeof(*accept));
	/* a CLOSE and a RESET with a connection id nobody has */
	(void)kx_frame_begin(data + 512, KX_CLOSE, 77, 1, 0, 0);
	memset(data + 544, 0, 8);
	kx_frame_seal(data + 512, 40);
	net_inject(net, &net->lcores[0].addr, &net->hubs[0].addr, data + 512, 40);
	net_run(net, 10000000);
	assert_int_equal(s->rx_bad, bad);
	assert_int_equal(s->rx_unknown, 2);
	assert_true(kx_client_connected(c));
	net_free(net);
}

/* Copies a frame of the broker for later, then sends it again from elsewhere and cut at every byte. */
static uint8_t kept[2048];
static uint32_t kept_bytes;
static bool keep_deliver(struct net *net, const struct flight *f, const struct kx_frame_hdr *h)
{
	(void)net;
	if (h->type == KX_DELIVER && f->bytes <= sizeof(kept)) {
		memcpy(kept, f->data, f->bytes);
		kept_bytes = f->bytes;
	}
	return true;
}

static void test_spoofed_and_cut_deliveries(void **state)
{
	struct net *net = net_new(ini, 1, 1, 8);
	struct kx_client *c = connected(net, NULL);
	uint64_t n = 0;
	struct kx_producer_opts po = {.topic = "one"};
	struct kx_consumer_opts co = {
		.topic = "one", .start_offset = KX_OFFSET_EARLIEST, .on_batch = on_batch, .user = &n};
	struct kx_message m = {.value = "a value of some bytes", .value_bytes = 21};
	const struct kx_hub_stats *s = kx_hub_stats(net->hub[0]);
	struct kx_consumer *consumer;
	struct kx_producer *p;
	struct kx_addr stranger;

	(void)state;
	net->filter = keep_deliver;
	assert_int_equal(kx_addr_parse("10.9.9.9:9000", 0, &stranger), 0);
	assert_int_equal(kx_producer_open(c, &po, net->now_ns, &p), KX_OK);
	assert_int_equal(kx_consumer_open(c, &co, net->now_ns, &consumer), KX_OK);
	net_run(net, 10000000);
	assert_int_equal(kx_producer_send(p, &m, net->now_ns), KX_OK);
	net_run(net, 10000000);
	assert_int_equal(n, 1);
	assert_true(kept_bytes > 0);
	net_inject(net, &stranger, &net->hubs[0].addr, kept, kept_bytes);
	for (uint32_t i = 1; i < kept_bytes; i++)
		net_inject(net, &net->lcores[0].addr, &net->hubs[0].addr, kept, i);
	net_inject(net, &net->lcores[0].addr, &net->hubs[0].addr, kept, kept_bytes);
	net_run(net, 100000000);
	assert_int_equal(n, 1);
	assert_int_equal(s->rx_unknown, 1);
	assert_int_equal(s->rx_bad, kept_bytes - 1);
	assert_int_equal(s->drop[KX_DROP_PKT_DUPLICATE], 1);
	net_free(net);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_texts),
		cmocka_unit_test(test_bad_arguments_of_open),
		cmocka_unit_test(test_bad_arguments_of_producers),
		cmocka_unit_test(test_places_of_producers),
		cmocka_unit_test(test_bad_arguments_of_consumers_and_requests),
		cmocka_unit_test(test_callbacks),
		cmocka_unit_test(test_set_up_is_repeated),
		cmocka_unit_test(test_nobody_there),
		cmocka_unit_test(test_hostile_frames),
		cmocka_unit_test(test_spoofed_and_cut_deliveries),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
