/* SPDX-License-Identifier: BSD-3-Clause */
/* Faults of the client library that the fuzz target `client` found. */
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_producer_closed_with_a_repair_waiting),
		cmocka_unit_test(test_producer_reopened_with_a_repair_waiting),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
