/* SPDX-License-Identifier: BSD-3-Clause */
/* Deliveries: whose leave in which turn, and how fast one that is behind catches up. */
#include "kx_test.h"

#include "broker_rig.h"

#define US UINT64_C(1000)

static const char ini[] = "[lcores]\ndata = 1\n"
			  "[memory]\nlog_bytes = 64M\nextent_bytes = 64K\n"
			  "[sessions]\nmax = 64\nidle_timeout_ms = 60000\nmax_subscriptions = 1024\n"
			  "[port net_memif0]\naddress = 10.0.0.254/24\n"
			  "[topic one]\npartitions = 1\nlog_bytes = 16M\n";

static void receipt(struct rig_session *s, uint64_t largest_pkt)
{
	struct kx_receipt r = {.largest_pkt = largest_pkt, .next_pkt = largest_pkt + 1};

	assert_int_equal(rig_send(s, KX_RX_ACK, &r, sizeof(r)), KX_DROP_NONE);
	s->floor_pkt = s->next_pkt;
}

/* Messages [from, to) of the producer, 17 in a frame. */
static void produce(struct rig_session *s, uint64_t from, uint64_t to)
{
	for (; from < to; from += 17) {
		assert_int_equal(rig_produce(s, 0, 0, from, 17, 0), KX_DROP_NONE);
		s->floor_pkt = s->next_pkt;
		rig_turn(s->rig, US);
		rig_forget(s->rig);
	}
}

/* ---- the start of a session */

/* A client's receipt names the last packet of what it has taken at once, and that is seldom the last that the
 * broker sent at once and timed: whether the window opens must not depend on it. */
static void the_window_opens_whatever_packets_receipts_name(void **state)
{
	struct rig *r = rig_new(ini, 0, 1);
	struct rig_session producer = rig_connect(r, 1, 5000), s;
	struct kx_session_info info;
	unsigned int rounds = 0;
	uint64_t sent = 0;

	(void)state;
	produce(&producer, 0, 17 * 2000);
	s = rig_connect(r, 2, 5000);
	rig_subscribe(&s, 0, 1, 0, (uint64_t)1 << 40);
	while (sent < 2000) { /* frames; a round trip of 50 turns */
		for (int i = 0; i < 50; i++)
			rig_turn(r, 10 * US);
		sent += rig_count(r, KX_DELIVER);
		rig_forget(r);
		assert_true(kx_broker_session_info(r->broker, 1, &info));
		receipt(&s, info.tx_frames - 1); /* not the very last */
		assert_true(++rounds < 12);
	}
	rig_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_window_opens_whatever_packets_receipts_name),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
