/* SPDX-License-Identifier: BSD-3-Clause */
/* Many sessions on one data lcore, and sessions that have much: no turn does more than a stated part of it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "broker_rig.h"

#define SESSIONS       10000u
#define LIVE_EVERY     10u /* one in so many goes on */
#define IDLE_NS	       UINT64_C(1000000000)
#define TICK_NS	       UINT64_C(100000)
#define SESSIONS_TICK  64u
/* every session is looked at once in so long */
#define ROUND_NS       ((SESSIONS / SESSIONS_TICK + 2) * TICK_NS)
/* What doc/architecture.md says under Isolation: a change that moves one says so there. */
#define SESSION_BYTES  3050u /* to a hundredth */
#define SUB_BYTES      944u
#define PRODUCER_BYTES 208u

static const char many_ini[] = "[lcores]\ndata = 1\n"
			       "[memory]\nlog_bytes = 32M\nextent_bytes = 64K\n"
			       "[sessions]\nmax = 10000\nidle_timeout_ms = 1000\nheartbeat_ms = 300\n"
			       "max_subscriptions = 10000\nmax_producers = 10000\nmax_producer_ids = 32768\n"
			       "[port net_memif0]\naddress = 10.0.0.254/24\n"
			       "[topic t]\npartitions = 16\n";

static struct rig_session s[SESSIONS];
static uint64_t last_ns[SESSIONS], closed_ns[SESSIONS];

static uint32_t used(struct rig *r)
{
	struct kx_broker_memory m;

	kx_broker_memory(r->broker, &m);
	return (uint32_t)m.sessions_used;
}

static bool delivered_to(struct rig *r, const struct rig_session *to)
{
	const struct kx_frame_hdr *h;

	for (unsigned int n = 0; (h = rig_find(r, KX_DELIVER, n)) != NULL; n++)
		if (h->conn_id == to->conn_id)
			return true;
	return false;
}

/* Each produces a message and consumes it. */
static void use_each(struct rig *r)
{
	for (uint32_t i = 0; i < SESSIONS; i++) {
		rig_subscribe(&s[i], i % 16, 1, KX_OFFSET_NOW, 144);
		assert_int_equal(rig_produce(&s[i], 0, i % 16, 0, 1, 0), KX_DROP_NONE);
		last_ns[i] = r->now_ns;
		rig_turn(r, 10000);
		assert_true(delivered_to(r, &s[i]));
		rig_forget(r);
	}
}

/* Who has been told CLOSE(IDLE)? Sessions by the low half of their address' port and host, as connected. */
static void note_closed(struct rig *r)
{
	for (unsigned int n = 0; n < r->sent_count; n++) {
		const struct kx_frame_hdr *h = (const struct kx_frame_hdr *)r->sent[n].data;
		const struct kx_close *body = rig_body(h);
		uint32_t i;

		if (h->type != KX_CLOSE)
			continue;
		i = (uint32_t)(r->sent[n].to.port - 5000) + (r->sent[n].to.ip[15] - 1u) * 5000;
		assert_int_equal(body->code, KX_CODE_IDLE);
		assert_int_equal(s[i].conn_id, h->conn_id);
		assert_int_equal(closed_ns[i], 0);
		closed_ns[i] = r->now_ns;
	}
	rig_forget(r);
}

static void test_ten_thousand_sessions(void **state)
{
	struct rig *r = rig_new(many_ini, 0, 1);
	struct kx_ping ping = {.token = 1};
	struct kx_broker_memory m;
	uint64_t start;

	(void)state;
	for (uint32_t i = 0; i < SESSIONS; i++)
		s[i] = rig_connect(r, (uint8_t)(1 + i / 5000), (uint16_t)(5000 + i % 5000));
	kx_broker_memory(r->broker, &m);
	assert_int_equal(m.sessions_used, SESSIONS);
	printf("session: %u bytes\n", (unsigned int)m.session_bytes);
	assert_in_range(
		m.session_bytes, SESSION_BYTES - SESSION_BYTES / 100, SESSION_BYTES + SESSION_BYTES / 100);
	assert_int_equal(sizeof(struct kx_sub), SUB_BYTES);
	assert_int_equal(sizeof(struct kx_producer_state), PRODUCER_BYTES);
	use_each(r);
	start = r->now_ns;
	for (uint32_t turn = 0; r->now_ns < start + IDLE_NS + 2 * ROUND_NS; turn++) {
		for (uint32_t i = 0; turn % 2000 == 0 && i < SESSIONS; i += LIVE_EVERY) {
			assert_int_equal(rig_send(&s[i], KX_PING, &ping, sizeof(ping)), KX_DROP_NONE);
			last_ns[i] = r->now_ns;
		}
		note_closed(r);
		rig_turn(r, TICK_NS);
		/* two receipts at most for each one that spoke, and what the tick says */
		assert_true(r->sent_count <= 2 * SESSIONS / LIVE_EVERY + SESSIONS_TICK);
		note_closed(r);
	}
	for (uint32_t i = 0; i < SESSIONS; i++) {
		if (i % LIVE_EVERY == 0) {
			assert_int_equal(closed_ns[i], 0);
			assert_int_equal(rig_produce(&s[i], 0, i % 16, 1, 1, 0), KX_DROP_NONE);
			continue;
		}
		assert_true(closed_ns[i] > last_ns[i] + IDLE_NS);
		assert_true(closed_ns[i] <= last_ns[i] + IDLE_NS + ROUND_NS);
		assert_int_equal(rig_produce(&s[i], 0, i % 16, 1, 1, 0), KX_DROP_CONN_UNKNOWN);
	}
	assert_int_equal(used(r), SESSIONS / LIVE_EVERY);
	kx_broker_memory(r->broker, &m);
	assert_int_equal(m.subscriptions_used, SESSIONS / LIVE_EVERY);
	rig_free(r);
}

/* ---- a session that has much */

static const char much_ini[] = "[lcores]\ndata = 1\n"
			       "[memory]\nlog_bytes = 240M\nextent_bytes = 64K\nreorder_frames = 2048\n"
			       "[sessions]\nmax = 16\nmax_subscriptions = 16384\nmax_producers = 1024\n"
			       "heartbeat_ms = 100\nidle_timeout_ms = 60000\n"
			       "[port net_memif0]\naddress = 10.0.0.254/24\n"
			       "[topic t]\npartitions = 200\n";
#define SUBS	      8000u
#define END_AT_ONCE   16u
#define ENDS_PER_TURN 256u

static void subscribe_many(struct rig *r, struct rig_session *many)
{
	for (uint32_t i = 0; i < SUBS; i++) {
		rig_subscribe(many, i % 200, i + 1, 0, 0);
		if (i % 100 == 0)
			rig_turn(r, 1000);
		rig_forget(r);
	}
}

static uint64_t subs_used(struct rig *r)
{
	struct kx_broker_memory m;

	kx_broker_memory(r->broker, &m);
	return m.subscriptions_used;
}

static void test_a_session_ends_a_part_a_turn(void **state)
{
	struct rig *r = rig_new(much_ini, 0, 1);
	struct rig_session many = rig_connect(r, 1, 5000), other = rig_connect(r, 2, 5000), again;
	struct kx_close close = {.code = KX_CODE_OK};
	uint64_t before = SUBS;
	uint32_t turns = 0;

	(void)state;
	subscribe_many(r, &many);
	for (uint32_t i = 0; i < 200; i++)
		assert_int_equal(rig_produce(&many, 0, i, 0, 1, 0), KX_DROP_NONE);
	assert_int_equal(rig_produce(&many, 0, 7, 5, 1, 0), KX_DROP_NONE); /* held */
	rig_subscribe(&other, 3, 1, KX_OFFSET_NOW, 1 << 20);
	assert_int_equal(rig_send(&many, KX_CLOSE, &close, sizeof(close)), KX_DROP_NONE);
	assert_int_equal(subs_used(r), SUBS + 1 - END_AT_ONCE);
	assert_int_equal(rig_produce(&many, 0, 7, 1, 1, 0), KX_DROP_CONN_UNKNOWN);
	rig_forget(r);
	/* its subscriptions get nothing; a neighbour is served; and it comes back at once */
	again = rig_connect(r, 1, 5000);
	for (; subs_used(r) > 1; turns++) {
		before = subs_used(r);
		assert_int_equal(rig_produce(&again, 0, 3, turns, 1, 0), KX_DROP_NONE);
		rig_turn(r, 10000);
		assert_int_equal(rig_count(r, KX_DELIVER), 1);
		assert_int_equal(rig_find(r, KX_DELIVER, 0)->conn_id, other.conn_id);
		rig_forget(r);
		assert_true(before - subs_used(r) <= ENDS_PER_TURN);
	}
	assert_in_range(turns, SUBS / ENDS_PER_TURN, SUBS / ENDS_PER_TURN + 1);
	rig_turn(r, 10000);
	rig_turn(r, 10000);
	assert_int_equal(kx_broker_topics(r->broker)->held_used, 0);
	rig_free(r);
}

/* 8000 subscriptions that get nothing for want of credit: each is named in its turn, 64 a frame. */
static void test_heartbeats_name_all_in_turn(void **state)
{
	struct rig *r = rig_new(much_ini, 0, 1);
	struct rig_session many = rig_connect(r, 1, 5000), other = rig_connect(r, 2, 5000);
	static uint8_t named[SUBS + 1];
	uint32_t all = 0, ticks = 0;

	(void)state;
	memset(named, 0, sizeof(named));
	subscribe_many(r, &many);
	for (uint32_t i = 0; i < 200; i++)
		assert_int_equal(rig_produce(&other, 0, i, 0, 1, 0), KX_DROP_NONE);
	rig_turn(r, 200000000); /* a heartbeat is due */
	for (; all < SUBS && ticks < 1000; ticks++) {
		const struct kx_frame_hdr *h;
		uint32_t of_it = 0;

		rig_turn(r, TICK_NS);
		for (unsigned int n = 0; (h = rig_find(r, KX_HEARTBEAT, n)) != NULL; n++) {
			const struct kx_receipt *rec = rig_body(h);
			const struct kx_heartbeat_entry *e = (const struct kx_heartbeat_entry *)(rec + 1);

			of_it += h->conn_id == many.conn_id;
			for (uint32_t i = 0; i < rec->entry_count; i++)
				all += named[e[i].sub_id]++ == 0;
		}
		assert_true(of_it <= 2); /* and the first turn's */
		rig_forget(r);
	}
	assert_int_equal(all, SUBS);
	assert_true(ticks <= SUBS / 64 + 2);
	rig_free(r);
}

/* The receipt that said what was stored is lost: a client with many partitions hears of all of them in a few
 * probes. */
static void test_probes_tell_all_partitions(void **state)
{
	struct rig *r = rig_new(much_ini, 0, 1);
	struct rig_session p = rig_connect(r, 1, 5000);
	struct kx_receipt none = {.next_pkt = 1};
	uint8_t told[200] = {0};
	uint32_t all = 0;

	(void)state;
	for (uint32_t i = 0; i < 200; i++)
		assert_int_equal(rig_produce(&p, 0, i, 0, 1, 0), KX_DROP_NONE);
	rig_turn(r, 10000);
	rig_forget(r);
	for (uint32_t probe = 0; probe < 10; probe++) {
		const struct kx_frame_hdr *h;

		assert_int_equal(rig_send(&p, KX_HEARTBEAT, &none, sizeof(none)), KX_DROP_NONE);
		rig_turn(r, 10000);
		for (unsigned int n = 0; (h = rig_find(r, KX_COMMIT_ACK, n)) != NULL; n++) {
			const struct kx_receipt *rec = rig_body(h);
			const struct kx_commit_entry *e = (const struct kx_commit_entry *)(rec + 1);

			for (uint32_t i = 0; i < rec->entry_count; i++)
				all += told[e[i].partition]++ == 0;
		}
		rig_forget(r);
	}
	assert_int_equal(all, 200);
	rig_free(r);
}

/* ---- an honest start */

#define STARTING 16u

/* Clients that start in the same instant, beside others whose connections are of an earlier start of the
 * broker: nobody is kept out and has to come again. */
static void test_clients_start_together(void **state)
{
	struct rig *r = rig_new(many_ini, 0, 1);
	uint64_t buf[KX_HELLO_BYTES / 8] = {0};
	struct rig_session gone = {.rig = r, .conn_id = 99, .next_pkt = 7};
	struct kx_cookie cookies[STARTING];
	struct kx_ping ping = {.token = 1};
	struct kx_addr from;

	(void)state;
	kx_addr_parse("10.0.0.1", 4000, &from);
	gone.addr = from;
	for (uint32_t i = 0; i < STARTING; i++) {
		struct kx_hello *hello =
			(struct kx_hello *)kx_frame_begin((uint8_t *)buf, KX_HELLO, 0, 0, 0, 0);

		for (uint32_t k = 0; k < 4; k++)
			assert_int_equal(rig_send(&gone, KX_PING, &ping, sizeof(ping)), KX_DROP_CONN_UNKNOWN);
		hello->client_nonce[0] = (uint8_t)(i + 1);
		hello->version_min = hello->version_max = KX_WIRE_VERSION;
		kx_frame_seal((uint8_t *)buf, sizeof(buf));
		assert_int_equal(rig_rx(r, buf, sizeof(buf), &from, 0), KX_DROP_NONE);
		memcpy(&cookies[i], rig_body(rig_find(r, KX_COOKIE, i)), sizeof(cookies[i]));
	}
	assert_in_range(rig_count(r, KX_RESET), 1, 4); /* a turn */
	for (int i = 0; i < 4; i++)		       /* the answer's way and back takes several turns */
		rig_turn(r, 5000);
	for (uint32_t i = 0; i < STARTING; i++) {
		struct kx_auth *auth;

		memset(buf, 0, sizeof(buf));
		auth = (struct kx_auth *)kx_frame_begin((uint8_t *)buf, KX_AUTH, 0, 0, 0, 0);
		memcpy(auth->client_nonce, cookies[i].client_nonce, KX_NONCE_BYTES);
		memcpy(auth->cookie, cookies[i].cookie, KX_COOKIE_BYTES);
		memcpy(auth->broker_nonce, cookies[i].broker_nonce, KX_NONCE_BYTES);
		auth->datagram_bytes = KX_DATAGRAM_DEFAULT_V4;
		kx_frame_seal((uint8_t *)buf, sizeof(buf));
		assert_int_equal(rig_rx(r, buf, sizeof(buf), &from, 0), KX_DROP_NONE);
	}
	assert_int_equal(rig_count(r, KX_ACCEPT), STARTING);
	assert_int_equal(used(r), STARTING);
	assert_int_equal(r->ledger.drop[KX_DROP_SETUP_BUDGET], 0);
	rig_free(r);
}

/* ---- batches out of order, in orders that an enemy would choose */

enum order { ASCENDING, DESCENDING, LAST_FIRST, MIDDLE_OUT, INTERLEAVED, ORDERS };

static uint64_t place(enum order order, uint32_t i, uint32_t n)
{
	switch (order) {
	case ASCENDING:
		return 1 + i;
	case DESCENDING:
		return n - i;
	case LAST_FIRST:
		return i == 0 ? n : i;
	case MIDDLE_OUT:
		return i % 2 == 0 ? n / 2 + i / 2 + 1 : n / 2 - i / 2;
	default:
		return i < n / 2 ? 2 * i + 2 : 2 * (i - n / 2) + 1;
	}
}

static void test_hostile_orders_are_held_in_few_steps(void **state)
{
	enum { N = 2000 };

	(void)state;
	for (enum order order = 0; order < ORDERS; order++) {
		struct rig *r = rig_new(much_ini, 0, 1);
		struct rig_session p = rig_connect(r, 1, 5000);
		struct kx_topic_table *t = (struct kx_topic_table *)(uintptr_t)kx_broker_topics(r->broker);
		uint64_t batch[32];
		struct kx_producer_state *st;
		uint64_t before = 0;
		struct kx_batch_writer w;

		assert_int_equal(rig_produce(&p, 0, 0, 0, 1, 0), KX_DROP_NONE);
		st = &t->producers[kx_producer_find(t, p.producer_id, 0)];
		kx_batch_begin(&w, (uint8_t *)batch, sizeof(batch), 0, p.producer_id, 1, 1, 0);
		assert_non_null(kx_batch_claim(&w, 64));
		kx_batch_end(&w);
		for (uint32_t i = 0; i < N; i++) {
			const struct kx_batch_hdr *h = (const struct kx_batch_hdr *)batch;

			assert_int_equal(kx_hold(t, st, h, place(order, i, N), KX_NONE), 0);
			assert_int_equal(kx_hold(t, st, h, place(order, i, N), KX_NONE), -17 /* EEXIST */);
		}
		printf("order %d: at most %u steps\n", (int)order, t->held_walk_max);
		assert_true(t->held_walk_max <= KX_HOLD_WALK_MAX);
		/* out of the middle, the last, the first; and back at the end */
		for (uint64_t seq = 3; seq <= N; seq += 3) {
			uint32_t held = kx_held_remove(t, st, seq);

			assert_int_equal(t->held[held].first_seq, seq);
			kx_held_free(t, held);
			assert_int_equal(kx_held_remove(t, st, seq), KX_NONE);
		}
		for (uint64_t seq = N; seq > N - 3; seq--) {
			uint32_t held = kx_held_remove(t, st, seq);

			if (held != KX_NONE)
				kx_held_free(t, held);
		}
		kx_held_free(t, kx_held_remove(t, st, 1));
		assert_int_equal(kx_hold(t, st, (const struct kx_batch_hdr *)batch, N + 1, KX_NONE), 0);
		for (uint64_t seq = N; seq > 0; seq--)
			(void)kx_hold(t, st, (const struct kx_batch_hdr *)batch, seq, KX_NONE);
		assert_int_equal(st->held_count, N + 1);
		for (uint32_t i = 0; i < N + 1; i++) {
			uint32_t held = kx_held_pop(t, st);

			assert_int_equal(t->held[held].first_seq, ++before);
			kx_held_free(t, held);
		}
		assert_int_equal(st->held_head, KX_NONE);
		assert_int_equal(st->held_express, KX_NONE);
		rig_free(r);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ten_thousand_sessions),
		cmocka_unit_test(test_a_session_ends_a_part_a_turn),
		cmocka_unit_test(test_heartbeats_name_all_in_turn),
		cmocka_unit_test(test_probes_tell_all_partitions),
		cmocka_unit_test(test_clients_start_together),
		cmocka_unit_test(test_hostile_orders_are_held_in_few_steps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
