/* SPDX-License-Identifier: BSD-3-Clause */
/* Faults of the client library that the fuzz target `client` and the simulator found. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "client_pair.h"

/* Loses the first PRODUCE. */
static bool lose_first(struct net *net, const struct flight *f, const struct kx_frame_hdr *h)
{
	(void)f;
	if (h->type != KX_PRODUCE || net->filter_state++ != 0)
		return true;
	return false;
}

static void send_one(struct pair *p, uint64_t number)
{
	uint8_t value[64];
	struct kx_message m = {.value = value, .value_bytes = sizeof(value)};

	pair_fill(value, sizeof(value), number);
	assert_int_equal(kx_producer_send(p->producer, &m, p->net->now_ns), KX_OK);
	net_turn(p->net);
}

static uint64_t naks(const struct pair *p)
{
	struct kx_client_stats s;

	kx_client_stats(p->pc, &s);
	return s.naks_received;
}

/* A producer that is closed, or closed and opened again, while what a NAK named still waits for a buffer: the
 * repair named memory that was gone. */
static void close_with_a_repair_waiting(bool again)
{
	struct pair p = {.net = net_new(pair_ini, 1, 2, 7)};
	struct kx_producer_opts po = {.topic = "one"};

	pair_open(&p, "one", 0);
	p.net->filter = lose_first;
	for (uint64_t n = 0; n < 4; n++)
		send_one(&p, n);
	for (int i = 0; i < 3000 && naks(&p) == 0; i++) {
		p.net->no_buffer = 0;
		for (uint32_t k = 0; k < p.net->flight_count; k++)
			if (((struct kx_frame_hdr *)p.net->flights[k].data)->type == KX_NAK)
				p.net->no_buffer = 1000;
		net_turn(p.net);
	}
	assert_true(naks(&p) > 0);
	assert_int_equal(kx_producer_close(p.producer, p.net->now_ns), KX_OK);
	if (again)
		(void)kx_producer_open(p.pc, &po, p.net->now_ns, &p.producer);
	p.net->no_buffer = 0;
	net_run(p.net, 50000000);
	assert_true(kx_client_connected(p.pc));
	net_free(p.net);
}

static void test_producer_closed_with_a_repair_waiting(void **state)
{
	(void)state;
	close_with_a_repair_waiting(false);
}

static void test_producer_reopened_with_a_repair_waiting(void **state)
{
	(void)state;
	close_with_a_repair_waiting(true);
}

/* 0: the second PRODUCE is lost, and what asks for it; 1: the client hears nothing but that. */
static bool late_nak(struct net *net, const struct flight *f, const struct kx_frame_hdr *h)
{
	static uint32_t produced;

	if (f->to.port < NET_HUB_PORT)
		return h->type != KX_PRODUCE || net->filter_state != 0 || ++produced != 2;
	return (h->type == KX_NAK) == (net->filter_state != 0);
}

/* A batch that was sent again is confirmed, its slot holds a large message now, and then the packet that it
 * was sent in first is asked for: the large message went in one datagram. */
static void test_a_packet_asked_for_after_its_slot_is_another_message_s(void **state)
{
	static uint8_t value[5000];
	struct kx_message large = {.value = value, .value_bytes = sizeof(value)};
	struct pair p = {.net = net_new(pair_ini, 1, 2, 7)};

	(void)state;
	pair_open(&p, "one", 0);
	p.net->filter = late_nak;
	for (uint64_t n = 0; n < 3; n++)
		send_one(&p, n);
	for (int i = 0; i < 500000 && kx_producer_pending(p.producer) > 0; i++)
		net_turn(p.net);
	assert_int_equal(kx_producer_pending(p.producer), 0);
	assert_int_equal(naks(&p), 0);
	p.net->filter_state = 1;
	send_one(&p, 3); /* has the slot of the third; the large one that of the second */
	pair_fill(value, sizeof(value), 4);
	assert_int_equal(kx_producer_send(p.producer, &large, p.net->now_ns), KX_OK);
	net_run(p.net, 500000000);
	assert_true(naks(&p) > 0);
	p.net->filter = NULL;
	net_run(p.net, 2000000000);
	assert_int_equal(kx_producer_pending(p.producer), 0);
	assert_int_equal(p.seen.messages, 5);
	net_free(p.net);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_producer_closed_with_a_repair_waiting),
		cmocka_unit_test(test_producer_reopened_with_a_repair_waiting),
		cmocka_unit_test(test_a_packet_asked_for_after_its_slot_is_another_message_s),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
