/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A consumer that misbehaves, and its neighbour: what the neighbour gets, and in which turn, is the same with
 * it and without it, and no turn does more than a stated number of things. (How long that takes:
 * bench/isolation.sh.)
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "broker_rig.h"

#define TURNS	    1000
#define TURN_NS	    20000
/* deliveries, heartbeats of a tick, two receipts for each session, answers to its requests */
#define FRAMES_TURN (256 + 64 + 2 * 3 + 32)

static const char ini[] =
	"[lcores]\ndata = 1\n"
	"[memory]\nlog_bytes = 16M\nextent_bytes = 64K\n"
	"[sessions]\nmax = 16\nmax_subscriptions = 1024\nidle_timeout_ms = 300\nheartbeat_ms = 100\n"
	"[port net_memif0]\naddress = 10.0.0.254/24\n"
	"[topic t]\npartitions = 2\nlog_bytes = 4M\n";

/* What the neighbour saw. */
struct seen {
	uint32_t deliveries[TURNS];
	uint64_t first_offset[TURNS], messages[TURNS];
};
struct world {
	struct rig *r;
	struct rig_session producer, consumer, bad;
	uint64_t got, sent; /* the neighbour's */
	uint32_t bad_subs;
	uint64_t bad_got;
	uint32_t refused; /* of its frames */
};
typedef void (*misbehave)(struct world *w, uint32_t turn);

static void take(struct world *w, uint32_t turn, struct seen *seen)
{
	struct rig *r = w->r;

	for (unsigned int i = 0; i < r->sent_count; i++) {
		const struct kx_frame_hdr *h = (const struct kx_frame_hdr *)r->sent[i].data;
		const struct kx_batch_hdr *batch = rig_body(h);
		const uint8_t *end = r->sent[i].data + r->sent[i].bytes;

		if (h->type != KX_DELIVER)
			continue;
		if (h->conn_id == w->bad.conn_id)
			w->bad_got = KX_MAX(w->bad_got, batch->base_offset + batch->record_count);
		if (h->conn_id != w->consumer.conn_id)
			continue;
		if (seen->deliveries[turn]++ == 0)
			seen->first_offset[turn] = batch->base_offset;
		for (; (const uint8_t *)batch < end;
			batch = (const struct kx_batch_hdr *)((const uint8_t *)batch + batch->batch_bytes)) {
			assert_int_equal(batch->base_offset, w->got);
			w->got += batch->record_count;
			seen->messages[turn] += batch->record_count;
		}
	}
	if (turn % 4 == 0 && w->got > 0) {
		rig_credit(&w->consumer, 1, w->got, (uint64_t)1 << 40);
		rig_received(&w->consumer);
	}
}

static void run(misbehave act, struct seen *seen, struct world *w)
{
	struct rig *r = rig_new(ini, 0, 1);

	memset(seen, 0, sizeof(*seen));
	*w = (struct world){.r = r};
	w->producer = rig_connect(r, 1, 5000);
	w->consumer = rig_connect(r, 2, 5000);
	w->bad = rig_connect(r, 3, 5000);
	rig_subscribe(&w->consumer, 0, 1, 0, (uint64_t)1 << 40);
	rig_forget(r);
	for (uint32_t turn = 0; turn < TURNS; turn++) {
		if (act != NULL)
			act(w, turn);
		for (uint32_t k = 0; k < 3; k++) {
			assert_int_equal(rig_produce(&w->producer, 0, 0, w->sent, 5, 0), KX_DROP_NONE);
			w->sent += 5;
		}
		w->producer.floor_pkt = w->producer.next_pkt;
		rig_turn(r, TURN_NS);
		assert_true(r->sent_count <= FRAMES_TURN);
		take(w, turn, seen);
		rig_forget(r);
	}
	assert_int_equal(w->got, w->sent);
}

static void compare(misbehave act, const char *name, struct world *w)
{
	static struct seen alone, beside;
	struct world none;

	run(NULL, &alone, &none);
	rig_free(none.r);
	run(act, &beside, w);
	for (uint32_t i = 0; i < TURNS; i++) {
		if (alone.messages[i] != beside.messages[i] ||
			alone.first_offset[i] != beside.first_offset[i] ||
			alone.deliveries[i] != beside.deliveries[i])
			fail_msg("%s: turn %u: %u frames, %u messages; alone %u, %u", name, i,
				beside.deliveries[i], (unsigned int)beside.messages[i], alone.deliveries[i],
				(unsigned int)alone.messages[i]);
	}
}

static enum kx_drop say(struct world *w, uint8_t type, const void *body, uint32_t bytes)
{
	enum kx_drop drop = rig_send(&w->bad, type, body, bytes);

	w->bad.floor_pkt = w->bad.next_pkt;
	w->refused += drop != KX_DROP_NONE;
	return drop;
}

/* ---- 200 subscriptions and a window that stays shut; it says that it is there */

static void zero_window(struct world *w, uint32_t turn)
{
	struct kx_receipt r = {.next_pkt = 1};

	if (turn < 200)
		rig_subscribe(&w->bad, 0, turn + 1, 0, 0);
	else if (turn % 50 == 0)
		say(w, KX_RX_ACK, &r, sizeof(r));
}

static void test_zero_window_for_ever(void **state)
{
	struct world w;

	(void)state;
	compare(zero_window, "zero window", &w);
	assert_int_equal(w.bad_got, 0);
	rig_free(w.r);
}

/* ---- subscribes and unsubscribes without end */

static void churn(struct world *w, uint32_t turn)
{
	for (uint32_t i = 0; i < 16; i++) {
		struct kx_unsubscribe end = {.request_id = 1, .sub_id = 1 + i};

		if (turn > 0)
			assert_int_equal(say(w, KX_UNSUBSCRIBE, &end, sizeof(end)), KX_DROP_NONE);
		rig_subscribe(&w->bad, turn % 2, 1 + i, KX_OFFSET_NOW, turn % 3 == 0 ? 1000 : 0);
	}
}

static void test_churn(void **state)
{
	struct kx_broker_memory m;
	struct world w;

	(void)state;
	compare(churn, "churn", &w);
	kx_broker_memory(w.r->broker, &m);
	assert_int_equal(m.subscriptions_used, 1 + 16);
	rig_free(w.r);
}

/* ---- takes what comes, and asks for all of it again, eight frames of 64 ranges a turn */

static void nak_storm(struct world *w, uint32_t turn)
{
	struct {
		struct kx_nak nak;
		struct kx_nak_entry e[KX_ENTRIES_MAX];
	} body = {.nak = {.entry_count = KX_ENTRIES_MAX}};

	if (turn == 0)
		rig_subscribe(&w->bad, 0, 1, 0, (uint64_t)1 << 40);
	if (w->bad_got < 128)
		return;
	for (uint32_t i = 0; i < KX_ENTRIES_MAX; i++)
		body.e[i] = (struct kx_nak_entry){
			.handle = 1, .kind = KX_NAK_OFFSETS, .first = 2 * i, .last = 2 * i};
	for (uint32_t i = 0; i < 8; i++)
		assert_int_equal(say(w, KX_NAK, &body, sizeof(body)), KX_DROP_NONE);
}

static void test_nak_storm(void **state)
{
	struct world w;

	(void)state;
	compare(nak_storm, "NAK storm", &w);
	assert_true(kx_broker_counters(w.r->broker)->naks_received > 5000);
	/* its repairs have their budget */
	assert_true(kx_broker_counters(w.r->broker)->repaired_frames < TURNS);
	rig_free(w.r);
}

/* ---- acknowledges what it has never been sent */

static void lies(struct world *w, uint32_t turn)
{
	struct {
		struct kx_receipt r;
		struct kx_credit_entry e;
	} body = {.r = {.next_pkt = 1, .entry_count = 1},
		.e = {.sub_id = 1,
			.next_offset = (uint64_t)turn * 1000 + 1000,
			.limit_bytes = 1 << 20,
			.done_offset = (uint64_t)turn * 1000 + 1000}};

	if (turn == 0)
		rig_subscribe(&w->bad, 0, 1, 0, 1000);
	for (uint32_t i = 0; i < 8 && turn > 0; i++)
		assert_int_equal(say(w, KX_CREDIT, &body, sizeof(body)), KX_DROP_CONSUMER_LIES);
}

static void test_acks_beyond_what_it_got(void **state)
{
	struct world w;

	(void)state;
	compare(lies, "lies", &w);
	assert_int_equal(w.refused, 8 * (TURNS - 1));
	assert_true(w.bad_got <= 20); /* what its credit was for */
	rig_free(w.r);
}

/* ---- subscribes with much credit and is not heard of again */

static void dead(struct world *w, uint32_t turn)
{
	if (turn < 8)
		rig_subscribe(&w->bad, 0, turn + 1, 0, (uint64_t)1 << 20);
}

static void test_dead_consumer(void **state)
{
	struct kx_session_info info;
	struct kx_broker_memory m;
	struct world w;

	(void)state;
	compare(dead, "dead", &w);
	/* and when it is late enough it is gone, with its subscriptions */
	for (uint32_t i = 0; i < 3200; i++) {
		struct kx_ping ping = {.token = i};

		if (i % 100 == 0) {
			assert_int_equal(rig_send(&w.producer, KX_PING, &ping, sizeof(ping)), KX_DROP_NONE);
			assert_int_equal(rig_send(&w.consumer, KX_PING, &ping, sizeof(ping)), KX_DROP_NONE);
		}
		rig_turn(w.r, 100000);
		rig_forget(w.r);
	}
	kx_broker_memory(w.r->broker, &m);
	assert_int_equal(m.sessions_used, 2);
	assert_int_equal(m.subscriptions_used, 1);
	assert_true(kx_broker_session_info(w.r->broker, 0, &info));
	rig_free(w.r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_zero_window_for_ever),
		cmocka_unit_test(test_churn),
		cmocka_unit_test(test_nak_storm),
		cmocka_unit_test(test_acks_beyond_what_it_got),
		cmocka_unit_test(test_dead_consumer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
