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

/* ---- turns */

#define FRAMES_TURN 256
#define MANY	    500

static const char many_ini[] = "[lcores]\ndata = 1\n"
			       "[memory]\nlog_bytes = 64M\nextent_bytes = 64K\n"
			       "[sessions]\nmax = 64\nidle_timeout_ms = 60000\nmax_subscriptions = 2048\n"
			       "[port net_memif0]\naddress = 10.0.0.254/24\n"
			       "[topic one]\npartitions = 1\nlog_bytes = 16M\n"
			       "[topic two]\npartitions = 1\nlog_bytes = 16M\n";

/* Deliveries to a session that were sent since the last rig_forget(). */
static unsigned int delivered(struct rig *r, const struct rig_session *s)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < r->sent_count; i++) {
		const struct kx_frame_hdr *h = (const struct kx_frame_hdr *)r->sent[i].data;

		n += h->conn_id == s->conn_id && h->type == KX_DELIVER;
	}
	return n;
}

/* No congestion response: it has said nothing of losses, and its window was never used up. */
static void no_window(struct rig *r, struct rig_session *s, unsigned int n)
{
	for (int i = 0; i < 8; i++) {
		struct kx_receipt receipt = {.next_pkt = 1};

		rig_turn(r, 10000 * US);
		for (unsigned int k = 0; k < n; k++) {
			struct kx_session_info info;

			assert_true(kx_broker_session_info(r->broker, 1 + k, &info));
			receipt.largest_pkt = info.tx_frames;
			assert_int_equal(rig_send(&s[k], KX_PING, &(struct kx_ping){.token = 1},
						 sizeof(struct kx_ping)),
				KX_DROP_NONE);
			rig_turn(r, 20 * US);
			assert_true(kx_broker_session_info(r->broker, 1 + k, &info));
			receipt.largest_pkt = info.tx_frames;
			assert_int_equal(rig_send(&s[k], KX_RX_ACK, &receipt, sizeof(receipt)), KX_DROP_NONE);
		}
		rig_forget(r);
	}
}

/* A subscription that is far behind, with a burst of full frames coming in each turn, has caught up after a
 * few turns, and each of them is bounded. */
static void one_that_is_behind_catches_up(void **state)
{
	struct rig *r = rig_new(many_ini, 0, 1);
	struct rig_session producer = rig_connect(r, 1, 5000), s = rig_connect(r, 2, 5000);
	uint64_t seq = 17 * 3000, got = 0;
	unsigned int turns = 0;

	(void)state;
	produce(&producer, 0, seq);
	no_window(r, &s, 1);
	rig_subscribe(&s, 0, 1, 0, (uint64_t)1 << 40);
	for (; got * 17 < seq; turns++) {
		rig_forget(r);
		for (int i = 0; i < 32; i++, seq += 17) {
			assert_int_equal(rig_produce(&producer, 0, 0, seq, 17, 0), KX_DROP_NONE);
			producer.floor_pkt = producer.next_pkt;
		}
		rig_turn(r, 10 * US);
		assert_in_range(delivered(r, &s), 1, FRAMES_TURN);
		got += delivered(r, &s);
		assert_true(turns < 20); /* 3000 frames, 32 more each turn */
	}
	rig_free(r);
}

/* One session has many subscriptions behind, another has one: frame by frame they get the same. */
static void those_behind_share_by_session(void **state)
{
	struct rig *r = rig_new(many_ini, 0, 1);
	struct rig_session producer = rig_connect(r, 1, 5000), s[2];
	unsigned int got[2] = {0};

	(void)state;
	produce(&producer, 0, 17 * 4000);
	s[0] = rig_connect(r, 2, 5000);
	s[1] = rig_connect(r, 3, 5000);
	no_window(r, s, 2);
	for (uint32_t i = 0; i < MANY; i++)
		rig_subscribe(&s[0], 0, 1 + i, 0, (uint64_t)1 << 40);
	rig_subscribe(&s[1], 0, 1, 0, (uint64_t)1 << 40);
	for (int turn = 0; turn < 20; turn++) {
		rig_forget(r);
		rig_turn(r, 10 * US);
		got[0] += delivered(r, &s[0]);
		got[1] += delivered(r, &s[1]);
		assert_in_range(r->sent_count, 1, FRAMES_TURN + 16);
	}
	assert_int_equal(got[0] + got[1], 20 * FRAMES_TURN);
	assert_in_range(got[1], got[0] - 64, got[0] + 64);
	rig_free(r);
}

/* What is at the end of its partition leaves in the turn in which it came, whatever is behind, and what is
 * behind goes on. Its share of a turn is small then. */
static void the_end_comes_first(void **state)
{
	struct rig *r = rig_new(many_ini, 0, 1);
	struct rig_session producer = rig_connect(r, 1, 5000), s[2];
	uint64_t seq = 0, behind = 0;

	(void)state;
	produce(&producer, 0, 17 * 4000);
	s[0] = rig_connect(r, 2, 5000);
	s[1] = rig_connect(r, 3, 5000);
	no_window(r, s, 2);
	rig_subscribe(&s[1], 1, 1, KX_OFFSET_NOW, (uint64_t)1 << 40);
	rig_turn(r, 10 * US);
	for (uint32_t i = 0; i < MANY; i++)
		rig_subscribe(&s[0], 0, 1 + i, 0, (uint64_t)1 << 40);
	for (int turn = 0; turn < 50; turn++, seq += 17) {
		rig_forget(r);
		assert_int_equal(rig_produce(&producer, 0, 1, seq, 17, 0), KX_DROP_NONE);
		rig_turn(r, 10 * US);
		assert_int_equal(delivered(r, &s[1]), 1);
		for (unsigned int i = 0; i < r->sent_count; i++) { /* and first */
			const struct kx_frame_hdr *h = (const struct kx_frame_hdr *)r->sent[i].data;

			if (h->type != KX_DELIVER)
				continue;
			assert_true(h->conn_id == s[1].conn_id);
			break;
		}
		assert_in_range(delivered(r, &s[0]), 1, 64);
		behind += delivered(r, &s[0]);
	}
	assert_true(behind >= 50 * 32);
	rig_free(r);
}

/* A port without room after what is fresh: those behind get some all the same. */
static void those_behind_do_not_starve(void **state)
{
	struct rig *r = rig_new(many_ini, 0, 1);
	struct rig_session producer = rig_connect(r, 1, 5000), s[2];
	uint64_t seq = 0;
	unsigned int behind = 0;

	(void)state;
	produce(&producer, 0, 17 * 100);
	s[0] = rig_connect(r, 2, 5000);
	s[1] = rig_connect(r, 3, 5000);
	no_window(r, s, 2);
	rig_subscribe(&s[1], 1, 1, KX_OFFSET_NOW, (uint64_t)1 << 40);
	rig_subscribe(&s[1], 1, 2, KX_OFFSET_NOW, (uint64_t)1 << 40);
	rig_turn(r, 10 * US);
	rig_subscribe(&s[0], 0, 1, 0, (uint64_t)1 << 40);
	for (int turn = 0; turn < 100; turn++, seq += 17) {
		rig_forget(r);
		assert_int_equal(rig_produce(&producer, 0, 1, seq, 17, 0), KX_DROP_NONE);
		r->port_room = 2;
		rig_turn(r, 10 * US);
		behind += delivered(r, &s[0]);
	}
	assert_in_range(behind, 10, 40);
	rig_free(r);
}

/* A session that may not send is not looked at: with its window used up, a turn costs the same with one
 * subscription behind as with many. It goes on with a receipt, and some time later without. */
static void a_paced_session_is_parked(void **state)
{
	struct rig *r = rig_new(many_ini, 0, 1);
	struct rig_session producer = rig_connect(r, 1, 5000), s;
	struct kx_session_info info;
	unsigned int before;

	(void)state;
	produce(&producer, 0, 17 * 4000);
	s = rig_connect(r, 2, 5000);
	for (uint32_t i = 0; i < 100; i++)
		rig_subscribe(&s, 0, 1 + i, 0, (uint64_t)1 << 40);
	for (int i = 0; i < 20; i++)
		rig_turn(r, 10 * US);
	before = delivered(r, &s);
	assert_in_range(before, 32, 64 + 8); /* its first window */
	assert_true(kx_broker_session_info(r->broker, 1, &info));
	rig_forget(r);
	for (int i = 0; i < 20; i++)
		rig_turn(r, 10 * US);
	assert_int_equal(delivered(r, &s), 0);
	receipt(&s, info.tx_frames);
	for (int i = 0; i < 20; i++)
		rig_turn(r, 10 * US);
	assert_in_range(delivered(r, &s), 32, 128 + 120); /* a window, besides SUBSCRIBED */
	rig_forget(r);
	for (int i = 0; i < 3000; i++) /* without receipts: one now and then */
		rig_turn(r, 100 * US);
	assert_in_range(delivered(r, &s), 1, 16);
	rig_free(r);
}

/* More subscriptions wait at an end than a turn wakes: all get it, a bounded number a turn. */
static void many_at_the_end_are_woken_in_parts(void **state)
{
	struct rig *r = rig_new(many_ini, 0, 1);
	struct rig_session producer = rig_connect(r, 1, 5000), s[3];
	unsigned int got = 0, turns = 0;

	(void)state;
	for (uint8_t i = 0; i < 3; i++)
		s[i] = rig_connect(r, (uint8_t)(2 + i), 5000);
	no_window(r, s, 3);
	for (uint32_t i = 0; i < 3 * 400; i++)
		rig_subscribe(&s[i % 3], 1, 1 + i, KX_OFFSET_NOW, (uint64_t)1 << 40);
	for (int i = 0; i < 10; i++)
		rig_turn(r, 10 * US);
	rig_forget(r);
	assert_int_equal(rig_produce(&producer, 0, 1, 0, 17, 0), KX_DROP_NONE);
	for (; got < 3 * 400 && turns < 10; turns++) {
		rig_forget(r);
		rig_turn(r, 10 * US);
		assert_in_range(rig_count(r, KX_DELIVER), 1, FRAMES_TURN);
		got += rig_count(r, KX_DELIVER);
	}
	assert_int_equal(got, 3 * 400);
	assert_in_range(turns, 5, 6);
	for (int i = 0; i < 10; i++)
		rig_turn(r, 10 * US);
	rig_forget(r);
	rig_turn(r, 10 * US);
	assert_int_equal(rig_count(r, KX_DELIVER), 0);
	rig_free(r);
}

/* ---- credit */

/* Frames grow with what the path carries, the window of a consumer does not: a batch beyond it comes when the
 * consumer has everything before it, alone, and not to one that takes nothing. */
static void a_batch_larger_than_the_window_comes_alone(void **state)
{
	struct rig *r = rig_new(ini, 0, 1);
	struct rig_session producer = rig_connect(r, 1, 5000), s = rig_connect(r, 2, 5000);
	const uint64_t window = 500, batch = 72 + 17 * 72;

	(void)state;
	produce(&producer, 0, 17 * 4);
	rig_subscribe(&s, 0, 1, 0, window);
	for (uint64_t i = 0; i < 4; i++) {
		for (int k = 0; k < 3; k++) {
			rig_turn(r, US);
			assert_int_equal(rig_count(r, KX_DELIVER), i + 1);
		}
		rig_credit(&s, 1, 17 * i + 17, batch * i + window); /* has it, and takes nothing */
		rig_turn(r, US);
		assert_int_equal(rig_count(r, KX_DELIVER), i + 1);
		rig_credit(&s, 1, 17 * i + 17, batch * (i + 1) + window);
		s.floor_pkt = s.next_pkt;
	}
	rig_free(r);
}

/* Bytes of the body of the n-th DELIVER_FRAG are for this place in its batch. */
static uint32_t part_at(struct rig *r, unsigned int n)
{
	const struct kx_frame_hdr *h = rig_find(r, KX_DELIVER_FRAG, n);

	assert_non_null(h);
	return ((const struct kx_frag *)rig_body(h))->frag_offset;
}

/* A batch was begun in parts when the path was found to carry it whole: the next one in parts begins with its
 * first byte, and waits for its credit. */
static void a_batch_begun_in_parts_goes_whole_when_the_path_grows(void **state)
{
	struct rig *r = rig_new_datagrams(ini, 4072);
	struct rig_session producer = rig_connect(r, 1, 5000), s = rig_connect(r, 2, 5000);
	uint64_t probe[(2020 - sizeof(struct kx_frame_hdr)) / 8 + 1] = {0};
	const uint64_t granted = 72 + 20 * 72;

	(void)state;
	assert_int_equal(rig_produce(&producer, 0, 0, 0, 20, 0), KX_DROP_NONE);
	assert_int_equal(rig_produce(&producer, 0, 0, 20, 40, 0), KX_DROP_NONE);
	rig_turn(r, US);
	r->port_room = 1;
	rig_subscribe(&s, 0, 1, 0, granted + 100);
	rig_turn(r, US);
	assert_int_equal(part_at(r, 0), 0);
	assert_int_equal(rig_count(r, KX_DELIVER_FRAG), 1);
	rig_forget(r);
	r->port_room = 0;
	for (int i = 0; i < 2; i++) {
		*(struct kx_mtu *)probe = (struct kx_mtu){.size = 2020, .proven_bytes = i == 0 ? 1372 : 2020};
		assert_int_equal(
			rig_send(&s, KX_MTU_PROBE, probe, 2020 - sizeof(struct kx_frame_hdr)), KX_DROP_NONE);
	}
	rig_turn(r, US);
	assert_int_equal(rig_count(r, KX_DELIVER), 1);
	assert_int_equal(rig_count(r, KX_DELIVER_FRAG), 0);
	rig_credit(&s, 1, 0, 3 * granted);
	rig_turn(r, US);
	assert_int_equal(part_at(r, 0), 0);
	rig_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_window_opens_whatever_packets_receipts_name),
		cmocka_unit_test(one_that_is_behind_catches_up),
		cmocka_unit_test(those_behind_share_by_session),
		cmocka_unit_test(the_end_comes_first),
		cmocka_unit_test(those_behind_do_not_starve),
		cmocka_unit_test(a_paced_session_is_parked),
		cmocka_unit_test(many_at_the_end_are_woken_in_parts),
		cmocka_unit_test(a_batch_larger_than_the_window_comes_alone),
		cmocka_unit_test(a_batch_begun_in_parts_goes_whole_when_the_path_grows),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
