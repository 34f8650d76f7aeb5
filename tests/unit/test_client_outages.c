/* SPDX-License-Identifier: BSD-3-Clause */
/* One kind of frame is lost for a while, in one direction: all goes on in bounded time when it is over. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "client_pair.h"

#define PER_FRAME 17
#define MS	  UINT64_C(1000000)
#define OUTAGE_NS (300 * MS)

enum { TO_BROKER = 1, TO_CLIENT = 2 };
struct outage {
	const char *what;
	uint64_t types; /* bit by frame type */
	uint32_t directions;
	uint32_t loss; /* of everything else, per mille */
};
static struct {
	struct outage outage;
	bool on;
	uint64_t lost;
} now;

#define TYPE(t) (UINT64_C(1) << (t))

static bool outage_filter(struct net *net, const struct flight *f, const struct kx_frame_hdr *h)
{
	uint32_t direction = f->to.port < NET_PORT + NET_LCORES_MAX ? TO_BROKER : TO_CLIENT;

	(void)net;
	if (!now.on || (now.outage.directions & direction) == 0 || (now.outage.types >> h->type & 1) == 0)
		return true;
	now.lost++;
	return false;
}

static void produce(struct pair *p, uint64_t *n)
{
	uint8_t *values;
	uint32_t stride;

	if (kx_producer_claim(p->producer, 0, 7, 64, PER_FRAME, &values, &stride) != KX_OK)
		return;
	for (uint32_t k = 0; k < PER_FRAME; k++)
		pair_fill(values + k * stride, 64, (*n)++);
	assert_int_equal(kx_producer_commit(p->producer, *n, p->net->now_ns), KX_OK);
}

static bool all_there(const struct pair *p, uint64_t n)
{
	return p->seen.completed[0] == n && p->seen.messages == n;
}

static void one_outage(const struct outage *o, uint64_t seed)
{
	struct pair p = {.net = net_new(pair_ini, 1, 2, seed)};
	uint64_t n = 0, over, limit;

	p.net->delay_ns = 100000;
	pair_open(&p, "one", 0);
	memset(&now, 0, sizeof(now));
	now.outage = *o;
	p.net->filter = outage_filter;
	p.net->loss = o->loss;
	for (uint64_t end = p.net->now_ns + 50 * MS; p.net->now_ns < end;) {
		produce(&p, &n);
		net_run(p.net, 100000);
	}
	now.on = true;
	for (uint64_t end = p.net->now_ns + OUTAGE_NS; p.net->now_ns < end;) {
		produce(&p, &n);
		net_run(p.net, 100000);
	}
	now.on = false;
	over = p.net->now_ns;
	limit = over + 500 * MS; /* time-outs double up to 64 of at least 1 ms, NAKs up to 100 ms, repairs
				    have a budget */
	while (!all_there(&p, n) && p.net->now_ns < limit)
		net_turn(p.net);
	print_message("%s: %lu lost; %lu of %lu confirmed, %lu received, %lu us after its end\n", o->what,
		(unsigned long)now.lost, (unsigned long)p.seen.completed[0], (unsigned long)n,
		(unsigned long)p.seen.messages, (unsigned long)(p.net->now_ns - over) / 1000);
	assert_true(now.lost > 0);
	assert_true(all_there(&p, n));
	assert_int_equal(p.seen.failed, 0);
	net_free(p.net);
}

static void test_outages_of_one_kind(void **state)
{
	static const struct outage outages[] = {
		{"only acks", TYPE(KX_RX_ACK) | TYPE(KX_COMMIT_ACK), TO_CLIENT, 0},
		{"only RX_ACK", TYPE(KX_RX_ACK), TO_CLIENT, 20},
		{"only COMMIT_ACK", TYPE(KX_COMMIT_ACK), TO_CLIENT, 0},
		{"only NAKs of the broker", TYPE(KX_NAK), TO_CLIENT, 20},
		{"only NAKs of the consumer", TYPE(KX_NAK), TO_BROKER, 20},
		{"only NAKs", TYPE(KX_NAK), TO_BROKER | TO_CLIENT, 20},
		{"only credits", TYPE(KX_CREDIT), TO_BROKER, 0},
		{"only heartbeats", TYPE(KX_HEARTBEAT), TO_BROKER | TO_CLIENT, 20},
		{"acks and credits", TYPE(KX_RX_ACK) | TYPE(KX_COMMIT_ACK) | TYPE(KX_CREDIT),
			TO_BROKER | TO_CLIENT, 20},
		{"all that is produced", TYPE(KX_PRODUCE), TO_BROKER, 0},
		{"all that is delivered", TYPE(KX_DELIVER), TO_CLIENT, 0},
		{"everything to the broker", UINT64_MAX, TO_BROKER, 0},
		{"everything to the clients", UINT64_MAX, TO_CLIENT, 0},
	};

	(void)state;
	for (uint32_t i = 0; i < KX_DIM(outages); i++)
		for (uint64_t seed = 1; seed <= 3; seed++)
			one_outage(&outages[i], seed);
}

/* ---- the last COMMIT_ACK */

static bool lose_commits(struct net *net, const struct flight *f, const struct kx_frame_hdr *h)
{
	(void)net;
	(void)f;
	if (h->type != KX_COMMIT_ACK || !now.on)
		return true;
	now.lost++;
	now.on = now.lost < 2; /* the first, and its repetition */
	return false;
}

/* It costs probe time-outs (1 ms each here), not half a second. */
static void test_the_last_confirmation_is_lost(void **state)
{
	struct pair p = {.net = net_new(pair_ini, 1, 2, 1)};
	uint64_t n = 0, from;

	(void)state;
	p.net->delay_ns = 100000;
	pair_open(&p, "one", 0);
	for (int i = 0; i < 100; i++) {
		produce(&p, &n);
		net_run(p.net, 100000);
	}
	net_run(p.net, 10 * MS);
	assert_true(all_there(&p, n));
	memset(&now, 0, sizeof(now));
	now.on = true;
	p.net->filter = lose_commits;
	from = p.net->now_ns;
	produce(&p, &n);
	while (p.seen.completed[0] < n && p.net->now_ns < from + KX_NS_PER_S)
		net_turn(p.net);
	assert_int_equal(now.lost, 2);
	assert_int_equal(p.seen.completed[0], n);
	assert_in_range(p.net->now_ns - from, 1 * MS, 20 * MS);
	net_free(p.net);
}

/* ---- a message of more parts than can be named for repair at once stalls */

#define HUGE_BYTES (16u << 20)

static uint64_t sent_again(const struct pair *p)
{
	struct kx_client_stats s;

	kx_client_stats(p->pc, &s);
	return s.retransmits;
}

/* Nothing of it is confirmed until all of it was sent again, which takes several goes; and the next such
 * message goes out too, which none does before all of the last one is acknowledged. */
static void test_a_stalled_message_of_many_parts(void **state)
{
	static const char ini[] = "[lcores]\ndata = 1\n"
				  "[memory]\nlog_bytes = 256M\n"
				  "[port net_memif0]\naddress = 10.0.0.254/24\n"
				  "[topic huge]\npartitions = 1\nlog_bytes = 64M\n"
				  "max_message_bytes = 16M\n";
	struct net *net = net_new(ini, 1, 1, 3);
	struct pair p = {.net = net};
	struct kx_producer_opts po = {.topic = "huge",
		.on_complete = pair_complete,
		.user = &p.seen,
		.large_bytes = 2 * HUGE_BYTES + (1 << 20)};
	struct kx_message m = {.value = calloc(1, HUGE_BYTES), .value_bytes = HUGE_BYTES - 4096};
	const uint64_t parts = m.value_bytes / KX_DATAGRAM_DEFAULT_V4;

	(void)state;
	net->delay_ns = 100000;
	p.pc = pair_client(net, 0, &p.seen);
	assert_int_equal(kx_producer_open(p.pc, &po, net->now_ns, &p.producer), KX_OK);
	for (int i = 0; i < 1000 && p.seen.events[KX_EVENT_PRODUCER_READY] == 0; i++)
		net_run(net, MS);
	memset(&now, 0, sizeof(now));
	now.outage = (struct outage){"", TYPE(KX_COMMIT_ACK), TO_CLIENT, 0};
	now.on = true;
	net->filter = outage_filter;
	assert_int_equal(kx_producer_send(p.producer, &m, net->now_ns), KX_OK);
	for (int i = 0; i < 600 && sent_again(&p) < parts; i++)
		net_run(net, 100 * MS);
	assert_true(now.lost > 0);
	assert_true(sent_again(&p) >= parts);
	assert_int_equal(p.seen.completed[0], 0);
	now.on = false;
	assert_int_equal(kx_producer_send(p.producer, &m, net->now_ns), KX_OK);
	for (int i = 0; i < 300 && p.seen.completed[0] < 2; i++)
		net_run(net, 100 * MS);
	assert_int_equal(p.seen.completed[0], 2);
	assert_int_equal(p.seen.failed, 0);
	free((void *)(uintptr_t)m.value);
	net_free(net);
}

/* ---- set-up */

static void one_setup(uint8_t type, uint64_t seed)
{
	struct pair p = {.net = net_new(pair_ini, 1, 2, seed)};
	uint64_t from = p.net->now_ns, over, tries;

	memset(&now, 0, sizeof(now));
	now.outage = (struct outage){"", TYPE(type), TO_BROKER | TO_CLIENT, 0};
	now.on = true;
	p.net->filter = outage_filter;
	p.pc = pair_client(p.net, 0, &p.seen);
	net_run(p.net, KX_NS_PER_S);
	assert_int_equal(p.seen.events[KX_EVENT_CONNECTED], 0);
	tries = now.lost;
	now.on = false;
	over = p.net->now_ns;
	while (p.seen.events[KX_EVENT_CONNECTED] == 0 && p.net->now_ns < from + 10 * KX_NS_PER_S)
		net_turn(p.net);
	print_message("set-up without frames of type %u: %lu lost, %lu us after its end\n", type,
		(unsigned long)tries, (unsigned long)(p.net->now_ns - over) / 1000);
	assert_int_equal(p.seen.events[KX_EVENT_CONNECTED], 1);
	assert_in_range(tries, 2, 8);				   /* it is repeated, and not in haste */
	assert_in_range(p.net->now_ns - over, 1, 2 * KX_NS_PER_S); /* 250 ms, doubled up to 2 s */
	net_free(p.net);
}

static void test_setup_frames_are_lost(void **state)
{
	static const uint8_t types[] = {KX_HELLO, KX_COOKIE, KX_AUTH, KX_ACCEPT};

	(void)state;
	for (uint32_t i = 0; i < KX_DIM(types); i++)
		one_setup(types[i], i + 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_outages_of_one_kind),
		cmocka_unit_test(test_the_last_confirmation_is_lost),
		cmocka_unit_test(test_a_stalled_message_of_many_parts),
		cmocka_unit_test(test_setup_frames_are_lost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
