/* SPDX-License-Identifier: BSD-3-Clause */
/* The broker of one data lcore, frame by frame. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "broker_rig.h"

static const char ini[] =
	"[lcores]\ndata = 1\n"
	"[memory]\nlog_bytes = 16M\nextent_bytes = 64K\n"
	"[port net_memif0]\naddress = 10.0.0.254/24\n"
	"[topic trim]\npartitions = 1\nlog_bytes = 256K\nmax_message_bytes = 64K\n"
	"[topic block]\npartitions = 1\noverrun = block\nlog_bytes = 4M\nmax_message_bytes = 64K\n"
	"[topic big]\npartitions = 1\nlog_bytes = 4M\nmax_message_bytes = 1M\n";
#define P_TRIM	0
#define P_BLOCK 1
#define P_BIG	2

static const struct kx_commit_entry *commit(struct rig *r, unsigned int n)
{
	const struct kx_frame_hdr *h = rig_find(r, KX_COMMIT_ACK, n);

	assert_non_null(h);
	return (const struct kx_commit_entry *)((const struct kx_receipt *)rig_body(h) + 1);
}

static const struct kx_batch_hdr *delivered(struct rig *r, unsigned int n)
{
	const struct kx_frame_hdr *h = rig_find(r, KX_DELIVER, n);

	return h == NULL ? NULL : rig_body(h);
}

static void test_produce_is_acked_and_delivered(void **state)
{
	struct rig *r = rig_new(ini, 0, 1);
	struct rig_session s = rig_connect(r, 1, 5000);

	(void)state;
	rig_subscribe(&s, P_TRIM, 9, KX_OFFSET_EARLIEST, 1 << 20);
	assert_int_equal(
		((const struct kx_subscribed *)rig_body(rig_find(r, KX_SUBSCRIBED, 0)))->code, KX_CODE_OK);
	assert_int_equal(rig_produce(&s, 0, P_TRIM, 0, 3, 0), KX_DROP_NONE);
	assert_int_equal(rig_produce(&s, 0, P_TRIM, 3, 2, 0), KX_DROP_NONE);
	rig_turn(r, 1000);
	assert_int_equal(commit(r, 0)->next_seq, 5);
	assert_int_equal(commit(r, 0)->next_offset, 5);
	assert_int_equal(commit(r, 0)->level, KX_MEMORY);
	/* small batches leave together */
	assert_int_equal(rig_count(r, KX_DELIVER), 1);
	assert_int_equal(rig_find(r, KX_DELIVER, 0)->handle, 9);
	assert_int_equal(delivered(r, 0)->base_offset, 0);
	assert_int_equal(r->offsets[P_TRIM].next_offset, 5);
	rig_free(r);
}

static void test_duplicates_are_stored_once(void **state)
{
	struct rig *r = rig_new(ini, 0, 1);
	struct rig_session s = rig_connect(r, 1, 5000);

	(void)state;
	assert_int_equal(rig_produce(&s, 0, P_TRIM, 0, 3, 0), KX_DROP_NONE);
	assert_int_equal(rig_produce(&s, s.next_pkt - 1, P_TRIM, 0, 3, 0), KX_DROP_PKT_DUPLICATE);
	rig_turn(r, 1000);
	rig_forget(r);
	assert_int_equal(rig_produce(&s, 0, P_TRIM, 0, 3, 0), KX_DROP_SEQ_DUPLICATE);
	rig_turn(r, 1000);
	assert_int_equal(commit(r, 0)->next_seq, 3); /* told again */
	assert_int_equal(r->offsets[P_TRIM].next_offset, 3);
	/* the duplicate's number is closed: it is not asked for again */
	assert_int_equal(
		((const struct kx_receipt *)rig_body(rig_find(r, KX_COMMIT_ACK, 0)))->next_pkt, s.next_pkt);
	rig_free(r);
}

static void test_a_gap_is_held_and_repaired(void **state)
{
	struct rig *r = rig_new(ini, 0, 1);
	struct rig_session s = rig_connect(r, 1, 5000);
	const struct kx_nak_entry *e;
	uint64_t lost = s.next_pkt++;

	(void)state;
	for (uint64_t i = 1; i < 40; i++)
		assert_int_equal(rig_produce(&s, 0, P_TRIM, i * 3, 3, 0), KX_DROP_NONE);
	rig_turn(r, 1000);
	assert_int_equal(r->offsets[P_TRIM].next_offset, 0);
	assert_int_equal(rig_count(r, KX_COMMIT_ACK), 0);
	assert_int_equal(rig_count(r, KX_RX_ACK), 1);
	rig_turn(r, 10000000);
	assert_int_equal(rig_count(r, KX_NAK), 1);
	e = (const struct kx_nak_entry *)((const struct kx_nak *)rig_body(rig_find(r, KX_NAK, 0)) + 1);
	assert_int_equal(e->kind, KX_NAK_PKTS);
	assert_int_equal(e->first, lost);
	assert_int_equal(e->last, lost);
	s.floor_pkt = lost + 1;
	assert_int_equal(rig_produce(&s, 0, P_TRIM, 0, 3, 0), KX_DROP_NONE);
	rig_turn(r, 1000);
	assert_int_equal(r->offsets[P_TRIM].next_offset, 120);
	assert_int_equal(commit(r, 0)->next_seq, 120);
	rig_forget(r);
	rig_turn(r, 500000000);
	assert_int_equal(rig_count(r, KX_NAK), 0);
	rig_free(r);
}

static void test_cut_through_and_copy_give_the_same_bytes(void **state)
{
	struct rig *r = rig_new(ini, 0, 1);
	struct rig_session p = rig_connect(r, 1, 5000), c = rig_connect(r, 2, 5000);
	const struct kx_batch_hdr *cut;

	(void)state;
	rig_subscribe(&c, P_TRIM, 1, 0, 1 << 20);
	rig_forget(r);
	assert_int_equal(rig_produce(&p, 0, P_TRIM, 0, 17, KX_FRAME_OWNED), KX_DROP_NONE);
	assert_int_equal(rig_count(r, KX_DELIVER), 1);
	assert_true(r->sent[0].forwarded);
	assert_int_equal(r->rx_buffers, 1);
	assert_true(kx_addr_equal(&r->sent[0].to, &c.addr));
	rig_turn(r, 1000);
	assert_int_equal(rig_count(r, KX_DELIVER), 1);
	cut = delivered(r, 0);
	/* a small frame that came alone goes at once, too */
	assert_int_equal(rig_produce(&p, 0, P_TRIM, 17, 1, KX_FRAME_OWNED), KX_DROP_NONE);
	assert_int_equal(r->rx_buffers, 2);
	rig_turn(r, 1000);
	assert_int_equal(rig_count(r, KX_DELIVER), 2);
	/* a second consumer reads the same from the log */
	rig_subscribe(&p, P_TRIM, 2, 0, 1 << 20);
	rig_turn(r, 1000);
	assert_int_equal(rig_count(r, KX_DELIVER), 4);
	assert_memory_equal(cut, delivered(r, 2), cut->batch_bytes);
	/* with two consumers nothing is cut through any more */
	assert_int_equal(rig_produce(&p, 0, P_TRIM, 18, 17, KX_FRAME_OWNED), KX_DROP_NONE);
	assert_int_equal(r->rx_buffers, 2);
	rig_turn(r, 1000);
	assert_int_equal(rig_count(r, KX_DELIVER), 6);
	rig_free(r);
}

static void test_slices_are_whole_frames(void **state)
{
	struct rig *r = rig_new_slices(ini, 0, 1, 512);
	struct rig_session p = rig_connect(r, 1, 5000), c = rig_connect(r, 2, 5000);
	struct kx_frame_view v;

	(void)state;
	rig_subscribe(&c, P_TRIM, 1, 0, 1 << 20);
	rig_forget(r);
	assert_int_equal(rig_produce(&p, 0, P_TRIM, 0, 17, 0), KX_DROP_NONE);
	rig_turn(r, 1000);
	assert_int_equal(kx_broker_counters(r->broker)->slice_frames, 1);
	assert_int_equal(rig_count(r, KX_DELIVER), 1);
	for (unsigned int i = 0; i < r->sent_count; i++)
		assert_int_equal(
			kx_frame_check(r->sent[i].data, r->sent[i].bytes, KX_FROM_BROKER, &v), KX_DROP_NONE);
	rig_free(r);
}

static void test_consumer_credit_is_obeyed(void **state)
{
	struct rig *r = rig_new(ini, 0, 1);
	struct rig_session s = rig_connect(r, 1, 5000);
	uint64_t one = 72 + 10 * 72;

	(void)state;
	rig_subscribe(&s, P_TRIM, 1, 0, 2 * one + 8);
	for (uint64_t i = 0; i < 6; i++)
		assert_int_equal(rig_produce(&s, 0, P_TRIM, i * 10, 10, KX_FRAME_OWNED), KX_DROP_NONE);
	rig_turn(r, 1000);
	assert_int_equal(rig_count(r, KX_DELIVER), 2);
	rig_turn(r, 1000);
	assert_int_equal(rig_count(r, KX_DELIVER), 2);
	rig_credit(&s, 1, 20, 3 * one);
	rig_turn(r, 1000);
	assert_int_equal(rig_count(r, KX_DELIVER), 3);
	rig_credit(&s, 1, 30, 100 * one);
	rig_turn(r, 1000);
	assert_int_equal(rig_count(r, KX_DELIVER), 6);
	rig_free(r);
}

static void test_a_lying_consumer_is_named(void **state)
{
	struct rig *r = rig_new(ini, 0, 1);
	struct rig_session s = rig_connect(r, 1, 5000);
	struct {
		struct kx_receipt r;
		struct kx_credit_entry e;
	} credit = {.r = {.next_pkt = 1, .entry_count = 1},
		.e = {.sub_id = 1, .next_offset = 4, .limit_bytes = 1}};
	struct {
		struct kx_nak n;
		struct kx_nak_entry e;
	} nak = {.n = {.entry_count = 1}, .e = {.handle = 1, .kind = KX_NAK_OFFSETS, .first = 0, .last = 3}};

	(void)state;
	rig_subscribe(&s, P_TRIM, 1, 0, 1 << 20);
	assert_int_equal(rig_produce(&s, 0, P_TRIM, 0, 3, 0), KX_DROP_NONE);
	rig_turn(r, 1000);
	assert_int_equal(rig_send(&s, KX_CREDIT, &credit, sizeof(credit)), KX_DROP_CONSUMER_LIES);
	credit.e.sub_id = 2;
	assert_int_equal(rig_send(&s, KX_CREDIT, &credit, sizeof(credit)), KX_DROP_SUB_UNKNOWN);
	assert_int_equal(rig_send(&s, KX_NAK, &nak, sizeof(nak)), KX_DROP_CONSUMER_LIES);
	nak.e.last = 2;
	rig_forget(r);
	assert_int_equal(rig_send(&s, KX_NAK, &nak, sizeof(nak)), KX_DROP_NONE);
	rig_turn(r, 1000);
	assert_int_equal(rig_count(r, KX_DELIVER), 1); /* what it did get is repaired */
	rig_free(r);
}

static void test_trimmed_offsets_are_told(void **state)
{
	struct rig *r = rig_new(ini, 0, 1);
	struct rig_session s = rig_connect(r, 1, 5000);
	const struct kx_notice *n;

	(void)state;
	rig_subscribe(&s, P_TRIM, 1, 0, 0); /* no credit: it falls behind */
	for (uint64_t i = 0; i < 400; i++) {
		assert_int_equal(rig_produce(&s, 0, P_TRIM, i * 17, 17, 0), KX_DROP_NONE);
		rig_turn(r, 1000);
		rig_forget(r);
	}
	rig_credit(&s, 1, 0, 1 << 30);
	rig_turn(r, 1000);
	assert_int_equal(rig_count(r, KX_NOTICE), 1);
	n = rig_body(rig_find(r, KX_NOTICE, 0));
	assert_int_equal(n->code, KX_NOTICE_OFFSET_TRIMMED);
	assert_true(n->offset > 0);
	assert_int_equal(n->offset, r->offsets[P_TRIM].first_offset);
	assert_int_equal(delivered(r, 0)->base_offset, n->offset);
	rig_free(r);
}

static void test_a_blocking_log_stops_the_credit_and_loses_nothing(void **state)
{
	struct rig *r = rig_new(ini, 0, 1);
	struct rig_session s = rig_connect(r, 1, 5000);
	const struct kx_receipt *receipt;
	uint64_t seq = 0, limit = s.accept.limit_bytes, used = 0, acked = 0;
	const uint32_t bytes = 72 + 17 * 72;

	(void)state;
	rig_subscribe(&s, P_BLOCK, 1, 0, 1 << 30);
	for (int i = 0; i < 4000 && used + bytes <= limit; i++) {
		assert_int_equal(rig_produce(&s, 0, P_BLOCK, seq, 17, 0), KX_DROP_NONE);
		seq += 17;
		used += bytes;
		rig_turn(r, 1000);
		receipt = rig_body(rig_find(r, KX_COMMIT_ACK, 0));
		limit = receipt->limit_bytes;
		rig_received(&s);
		rig_forget(r);
	}
	/* 4 MiB of log: the credit ended inside it, and it did not end early */
	assert_true(used < 4 << 20);
	assert_true(used > 7 << 19);
	assert_int_equal(rig_produce(&s, 0, P_BLOCK, seq, 17, 0), KX_DROP_CREDIT_EXCEEDED);
	rig_turn(r, 1000);
	receipt = rig_body(rig_find(r, KX_RX_ACK, 0));
	assert_int_equal(receipt->blocked, KX_BLOCKED_LOG);
	/* the consumer reads: credit comes back by itself */
	acked = r->offsets[P_BLOCK].next_offset;
	assert_int_equal(acked, seq);
	rig_forget(r);
	rig_credit(&s, 1, acked, 1 << 30);
	rig_turn(r, 1000);
	rig_turn(r, 1000);
	receipt = rig_body(rig_find(r, KX_RX_ACK, 0));
	assert_true(receipt->limit_bytes > limit + 10 * bytes);
	assert_int_equal(receipt->blocked, KX_BLOCKED_NO);
	/* and what is produced then is published and delivered */
	rig_forget(r);
	assert_int_equal(rig_produce(&s, 0, P_BLOCK, seq, 17, 0), KX_DROP_NONE);
	rig_turn(r, 1000);
	assert_int_equal(rig_count(r, KX_DELIVER), 1);
	assert_int_equal(r->offsets[P_BLOCK].next_offset, seq + 17);
	assert_true(r->offsets[P_BLOCK].first_offset > 0);
	rig_free(r);
}

/* A consumer that asks for everything again in every turn gets what the budget of repairs has, whatever it
 * asks. */
static void test_naks_of_everything_keep_to_the_budget(void **state)
{
	struct rig *r = rig_new(ini, 0, 1);
	struct rig_session s = rig_connect(r, 1, 5000);
	const struct kx_broker_counters *c = kx_broker_counters(r->broker);
	struct {
		struct kx_nak nak;
		struct kx_nak_entry e;
	} body = {.nak = {.entry_count = 1}, .e = {.handle = 1, .kind = KX_NAK_OFFSETS, .last = 17 * 30 - 1}};

	(void)state;
	rig_subscribe(&s, P_BLOCK, 1, 0, 1 << 30);
	for (uint64_t i = 0; i < 30; i++)
		assert_int_equal(rig_produce(&s, 0, P_BLOCK, i * 17, 17, 0), KX_DROP_NONE);
	rig_turn(r, 1000);
	rig_received(&s);
	for (int i = 0; i < 1000; i++) {
		rig_forget(r);
		assert_int_equal(rig_send(&s, KX_NAK, &body, sizeof(body)), KX_DROP_NONE);
		rig_turn(r, 10000);
		rig_received(&s);
	}
	/* every repair that arrived earns a tenth of one; 10 ms are at most ten probe time-outs */
	assert_in_range(c->repaired_frames, 900, KX_RETX_DEPTH * 11 / 10 + 30 + 10 * KX_RETX_FLOOR + 100);
	assert_true(c->repairs_deferred > 0);
	rig_free(r);
}

static void test_not_owner_names_the_port(void **state)
{
	struct rig *r = rig_new(ini, 0, 2);
	struct rig_session s = rig_connect(r, 1, 5000);
	const struct kx_not_owner *n;
	struct kx_subscribe req = {.request_id = 1, .partition = 1, .sub_id = 1};

	(void)state;
	assert_int_equal(rig_produce(&s, 0, 1, 0, 1, 0), KX_DROP_NOT_OWNER);
	n = rig_body(rig_find(r, KX_NOT_OWNER, 0));
	assert_int_equal(n->owner_port, r->conf->broker.udp_port + 1);
	assert_int_equal(n->pkt_no, s.next_pkt - 1);
	assert_int_equal(rig_send(&s, KX_SUBSCRIBE, &req, sizeof(req)), KX_DROP_NONE);
	assert_int_equal(((const struct kx_subscribed *)rig_body(rig_find(r, KX_SUBSCRIBED, 0)))->code,
		KX_CODE_NOT_OWNER);
	assert_int_equal(rig_produce(&s, 0, 99, 0, 1, 0), KX_DROP_PARTITION_UNKNOWN);
	rig_free(r);
}

static void test_foreign_frames_do_not_touch_a_session(void **state)
{
	struct rig *r = rig_new(ini, 0, 1);
	struct rig_session a = rig_connect(r, 1, 5000), b = rig_connect(r, 2, 5000), stranger = a;

	(void)state;
	/* spoofed source */
	stranger.addr = b.addr;
	assert_int_equal(rig_produce(&stranger, 0, P_TRIM, 0, 1, 0), KX_DROP_CONN_PATH);
	/* another producer's id */
	stranger = a;
	stranger.producer_id = b.producer_id;
	assert_int_equal(rig_produce(&stranger, 0, P_TRIM, 0, 1, 0), KX_DROP_PRODUCER_FOREIGN);
	assert_int_equal(rig_count(r, KX_PRODUCE_REFUSED), 1);
	/* unknown connection: RESET, not larger than the frame */
	stranger = a;
	stranger.conn_id ^= 1;
	rig_forget(r);
	assert_int_equal(rig_produce(&stranger, 0, P_TRIM, 0, 1, 0), KX_DROP_CONN_UNKNOWN);
	assert_int_equal(rig_count(r, KX_RESET), 1);
	assert_int_equal(r->offsets[P_TRIM].next_offset, 0);
	a.next_pkt = 2;
	assert_int_equal(rig_produce(&a, 0, P_TRIM, 0, 1, 0), KX_DROP_NONE);
	rig_free(r);
}

static void test_forged_cookie_is_refused(void **state)
{
	struct rig *r = rig_new(ini, 0, 1);
	uint64_t buf[KX_HELLO_BYTES / 8] = {0};
	struct kx_auth *auth = (struct kx_auth *)kx_frame_begin((uint8_t *)buf, KX_AUTH, 0, 0, 0, 0);
	struct kx_addr from;

	(void)state;
	kx_addr_parse("10.0.0.9", 4000, &from);
	auth->datagram_bytes = KX_DATAGRAM_DEFAULT_V4;
	memset(auth->client_nonce, 1, KX_NONCE_BYTES);
	memset(auth->cookie, 2, KX_COOKIE_BYTES);
	kx_frame_seal((uint8_t *)buf, sizeof(buf));
	assert_int_equal(rig_rx(r, buf, sizeof(buf), &from, 0), KX_DROP_COOKIE_BAD);
	assert_int_equal(r->sent_count, 0);
	rig_free(r);
}

static void test_setup_budget_bounds_a_flood(void **state)
{
	struct rig *r = rig_new(ini, 0, 1);
	uint64_t buf[KX_HELLO_BYTES / 8] = {0};
	struct kx_hello *hello = (struct kx_hello *)kx_frame_begin((uint8_t *)buf, KX_HELLO, 0, 0, 0, 0);
	struct kx_addr from;
	unsigned int taken = 0;

	(void)state;
	kx_addr_parse("10.0.0.9", 4000, &from);
	hello->version_min = hello->version_max = 1;
	kx_frame_seal((uint8_t *)buf, sizeof(buf));
	for (int i = 0; i < 100; i++)
		taken += rig_rx(r, buf, sizeof(buf), &from, 0) == KX_DROP_NONE;
	assert_int_equal(taken, r->conf->sessions.setup_per_turn);
	rig_turn(r, 1000);
	assert_int_equal(rig_rx(r, buf, sizeof(buf), &from, 0), KX_DROP_NONE);
	rig_free(r);
}

static void test_idle_sessions_end_and_are_told(void **state)
{
	struct rig *r = rig_new(ini, 0, 1);
	struct rig_session s = rig_connect(r, 1, 5000);
	struct kx_broker_memory m;

	(void)state;
	rig_subscribe(&s, P_TRIM, 1, 0, 1000);
	for (int i = 0; i < 10; i++)
		rig_turn(r, r->conf->sessions.idle_timeout_ms * UINT64_C(200000));
	assert_int_equal(rig_count(r, KX_CLOSE), 1);
	kx_broker_memory(r->broker, &m);
	assert_int_equal(m.sessions_used, 0);
	assert_int_equal(m.subscriptions_used, 0);
	rig_free(r);
}

static void test_stop_tells_every_session(void **state)
{
	struct rig *r = rig_new(ini, 0, 1);
	struct rig_session s = rig_connect(r, 1, 5000);

	(void)state;
	for (uint8_t i = 2; i < 60; i++)
		rig_connect(r, i, 5000);
	kx_broker_stop(r->broker, r->now_ns);
	assert_int_equal(rig_produce(&s, 0, P_TRIM, 0, 1, 0), KX_DROP_BROKER_STOPPING);
	for (int i = 0; i < 4; i++)
		rig_turn(r, 1000);
	assert_true(kx_broker_stopped(r->broker));
	assert_int_equal(rig_count(r, KX_CLOSE), 59);
	rig_free(r);
}

static void test_lost_tail_is_revealed_and_repaired(void **state)
{
	struct rig *r = rig_new(ini, 0, 1);
	struct rig_session s = rig_connect(r, 1, 5000);
	const struct kx_heartbeat_entry *e = NULL;

	(void)state;
	rig_subscribe(&s, P_TRIM, 1, 0, 1 << 20);
	assert_int_equal(rig_produce(&s, 0, P_TRIM, 0, 3, 0), KX_DROP_NONE);
	rig_turn(r, 1000);
	rig_forget(r);
	for (int i = 0; i < 20 && e == NULL; i++) {
		const struct kx_frame_hdr *h;

		rig_turn(r, 20000000);
		h = rig_find(r, KX_HEARTBEAT, 0);
		if (h != NULL && ((const struct kx_receipt *)rig_body(h))->entry_count > 0)
			e = (const struct kx_heartbeat_entry *)((const struct kx_receipt *)rig_body(h) + 1);
	}
	assert_non_null(e);
	assert_int_equal(e->sub_id, 1);
	assert_int_equal(e->sent_offset, 3);
	rig_free(r);
}

static void test_a_full_port_delays_and_loses_nothing(void **state)
{
	struct rig *r = rig_new(ini, 0, 1);
	struct rig_session s = rig_connect(r, 1, 5000);

	(void)state;
	rig_subscribe(&s, P_TRIM, 1, 0, 1 << 20);
	r->room = 0;
	for (uint64_t i = 0; i < 5; i++)
		assert_int_equal(rig_produce(&s, 0, P_TRIM, i * 17, 17, KX_FRAME_OWNED), KX_DROP_NONE);
	rig_turn(r, 1000);
	assert_int_equal(rig_count(r, KX_DELIVER), 0);
	r->room = 64;
	rig_turn(r, 1000);
	assert_int_equal(rig_count(r, KX_DELIVER), 5);
	rig_free(r);
}

/* ---- messages larger than a datagram */

#define LARGE_VALUE 300000u
#define PART	    1304u

static uint8_t *large_batch(struct rig_session *s, uint64_t seq, uint32_t *bytes)
{
	uint32_t max = (uint32_t)kx_align8(80 + LARGE_VALUE);
	uint8_t *buf = malloc(max), *value;
	struct kx_batch_writer w;

	kx_batch_begin(&w, buf, max, P_BIG, s->producer_id, s->producer_epoch, seq, 0);
	value = kx_batch_claim(&w, LARGE_VALUE);
	for (uint32_t i = 0; i < LARGE_VALUE; i++)
		value[i] = (uint8_t)(i * 7 + seq);
	*bytes = kx_batch_end(&w);
	return buf;
}

/* A session's first credit is small: data larger than that wait, says its probe. */
static void ask_for_credit(struct rig_session *s)
{
	struct kx_receipt r = {.next_pkt = 1};

	s->flags = KX_FLAG_MORE;
	assert_int_equal(rig_send(s, KX_HEARTBEAT, &r, sizeof(r)), KX_DROP_NONE);
	s->flags = 0;
	rig_turn(s->rig, 1000);
	rig_forget(s->rig);
}

static enum kx_drop send_part(
	struct rig_session *s, const uint8_t *batch, uint32_t bytes, uint64_t seq, uint32_t part)
{
	uint64_t body[200];
	struct kx_frag *f = (struct kx_frag *)body;
	uint32_t n = KX_MIN(PART, bytes - part * PART);

	memcpy(f + 1, batch + part * PART, n);
	*f = (struct kx_frag){.partition = P_BIG,
		.batch_bytes = bytes,
		.frag_offset = part * PART,
		.frag_bytes = n,
		.first = seq,
		.frag_crc = kx_crc32c(0, f + 1, n),
		.part_bytes = PART};
	return rig_send(s, KX_PRODUCE_FRAG, body, (uint32_t)sizeof(*f) + n);
}

static void test_a_large_message_goes_in_and_out_in_parts(void **state)
{
	struct rig *r = rig_new(ini, 0, 1);
	struct rig_session s = rig_connect(r, 1, 5000);
	uint32_t bytes, parts;
	uint8_t *batch = large_batch(&s, 2, &bytes), *back;

	(void)state;
	ask_for_credit(&s);
	parts = (bytes + PART - 1) / PART;
	back = calloc(1, bytes);
	rig_subscribe(&s, P_BIG, 1, 0, 4 << 20);
	/* last part first, then the others; a repeated one is a duplicate; it waits for the two messages
	 * before it */
	assert_int_equal(send_part(&s, batch, bytes, 2, parts - 1), KX_DROP_NONE);
	for (uint32_t i = 0; i + 1 < parts; i++) {
		assert_int_equal(send_part(&s, batch, bytes, 2, i), KX_DROP_NONE);
		rig_turn(r, 1000);
		rig_forget(r);
	}
	assert_int_equal(send_part(&s, batch, bytes, 2, 0), KX_DROP_SEQ_DUPLICATE);
	for (int i = 0; i < 20; i++)
		rig_turn(r, 1000);
	assert_int_equal(r->offsets[P_BIG].next_offset, 0);
	rig_forget(r);
	assert_int_equal(rig_produce(&s, 0, P_BIG, 0, 2, 0), KX_DROP_NONE);
	for (int i = 0; i < 20; i++) {
		rig_turn(r, 1000);
		rig_received(&s);
	}
	assert_int_equal(r->offsets[P_BIG].next_offset, 3);
	assert_int_equal(delivered(r, 0)->base_offset, 0);
	for (unsigned int i = 0; i < rig_count(r, KX_DELIVER_FRAG); i++) {
		const struct kx_frag *f = rig_body(rig_find(r, KX_DELIVER_FRAG, i));

		assert_int_equal(f->first, 2);
		assert_int_equal(f->batch_bytes, bytes);
		memcpy(back + f->frag_offset, f + 1, f->frag_bytes);
	}
	assert_int_equal(kx_batch_check(back, bytes, true), KX_DROP_NONE);
	assert_memory_equal(back + 28, batch + 28, bytes - 28);
	assert_int_equal(((struct kx_batch_hdr *)back)->base_offset, 2);
	free(batch);
	free(back);
	rig_free(r);
}

static void test_a_large_message_that_lies_is_not_stored(void **state)
{
	struct rig *r = rig_new(ini, 0, 1);
	struct rig_session s = rig_connect(r, 1, 5000);
	struct kx_broker_memory before, after;
	uint32_t bytes;
	uint8_t *batch = large_batch(&s, 0, &bytes);

	(void)state;
	ask_for_credit(&s);
	kx_broker_memory(r->broker, &before);
	batch[5000] ^= 1; /* each part's own CRC will be right, the batch's not */
	for (uint32_t i = 0; i * PART < bytes; i++)
		assert_int_equal(send_part(&s, batch, bytes, 0, i), KX_DROP_NONE);
	for (int i = 0; i < 20; i++)
		rig_turn(r, 1000);
	assert_int_equal(r->ledger.drop[KX_DROP_FRAG_BAD], 1);
	assert_int_equal(r->offsets[P_BIG].next_offset, 0);
	kx_broker_memory(r->broker, &after);
	assert_int_equal(before.extents_free, after.extents_free);
	free(batch);
	rig_free(r);
}

static void test_a_dead_producer_leaves_no_extents(void **state)
{
	struct rig *r = rig_new(ini, 0, 1);
	struct rig_session s = rig_connect(r, 1, 5000);
	struct kx_broker_memory before, after;
	struct kx_close close = {.code = KX_CODE_OK};
	uint32_t bytes;
	uint8_t *batch = large_batch(&s, 0, &bytes);

	(void)state;
	ask_for_credit(&s);
	kx_broker_memory(r->broker, &before);
	assert_int_equal(send_part(&s, batch, bytes, 0, 3), KX_DROP_NONE);
	kx_broker_memory(r->broker, &after);
	assert_true(after.extents_free < before.extents_free);
	assert_int_equal(rig_send(&s, KX_CLOSE, &close, sizeof(close)), KX_DROP_NONE);
	kx_broker_memory(r->broker, &after);
	assert_int_equal(before.extents_free, after.extents_free);
	free(batch);
	rig_free(r);
}

static void test_a_dead_producer_leaves_nothing_held(void **state)
{
	struct rig *r = rig_new(ini, 0, 1);
	struct rig_session s = rig_connect(r, 1, 5000);
	struct kx_close close = {.code = KX_CODE_OK};
	struct kx_broker_memory m;

	(void)state;
	for (uint64_t i = 1; i < 16; i++)
		assert_int_equal(rig_produce(&s, 0, P_BLOCK, i, 1, 0), KX_DROP_NONE);
	kx_broker_memory(r->broker, &m);
	assert_int_equal(m.reorder_used, 15);
	assert_int_equal(rig_send(&s, KX_CLOSE, &close, sizeof(close)), KX_DROP_NONE);
	kx_broker_memory(r->broker, &m);
	assert_int_equal(m.reorder_used, 0);
	assert_int_equal(kx_topics_partition(kx_broker_topics(r->broker), P_BLOCK)->reserved_bytes, 0);
	rig_free(r);
}

/* Every type the wire library takes, with noise in the body: no crash, and the ledger closes (rig_free). */
static void test_noise_in_a_session(void **state)
{
	struct rig *r = rig_new(ini, 0, 1);
	struct rig_session s = rig_connect(r, 1, 5000);
	struct kx_prng prng;

	(void)state;
	kx_prng_seed(&prng, 7);
	rig_subscribe(&s, P_TRIM, 1, 0, 1 << 20);
	for (int i = 0; i < 20000; i++) {
		uint64_t body[24];
		uint32_t bytes = 8 * (uint32_t)kx_prng_below(&prng, 24);

		for (uint32_t w = 0; w < bytes / 8; w++)
			body[w] =
				kx_prng_below(&prng, 4) == 0 ? kx_prng_next(&prng) : kx_prng_below(&prng, 4);
		rig_send(&s, (uint8_t)kx_prng_below(&prng, 0x40), body, bytes);
		if (i % 16 == 0) {
			rig_turn(r, 100000);
			rig_forget(r);
		}
		if (rig_find(r, KX_RESET, 0) != NULL) {
			s = rig_connect(r, 1, (uint16_t)(5001 + i));
			rig_subscribe(&s, P_TRIM, 1, 0, 1 << 20);
		}
	}
	rig_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_produce_is_acked_and_delivered),
		cmocka_unit_test(test_duplicates_are_stored_once),
		cmocka_unit_test(test_a_gap_is_held_and_repaired),
		cmocka_unit_test(test_cut_through_and_copy_give_the_same_bytes),
		cmocka_unit_test(test_slices_are_whole_frames),
		cmocka_unit_test(test_consumer_credit_is_obeyed),
		cmocka_unit_test(test_a_lying_consumer_is_named),
		cmocka_unit_test(test_trimmed_offsets_are_told),
		cmocka_unit_test(test_a_blocking_log_stops_the_credit_and_loses_nothing),
		cmocka_unit_test(test_naks_of_everything_keep_to_the_budget),
		cmocka_unit_test(test_not_owner_names_the_port),
		cmocka_unit_test(test_foreign_frames_do_not_touch_a_session),
		cmocka_unit_test(test_forged_cookie_is_refused),
		cmocka_unit_test(test_setup_budget_bounds_a_flood),
		cmocka_unit_test(test_idle_sessions_end_and_are_told),
		cmocka_unit_test(test_stop_tells_every_session),
		cmocka_unit_test(test_lost_tail_is_revealed_and_repaired),
		cmocka_unit_test(test_a_full_port_delays_and_loses_nothing),
		cmocka_unit_test(test_a_large_message_goes_in_and_out_in_parts),
		cmocka_unit_test(test_a_large_message_that_lies_is_not_stored),
		cmocka_unit_test(test_a_dead_producer_leaves_no_extents),
		cmocka_unit_test(test_a_dead_producer_leaves_nothing_held),
		cmocka_unit_test(test_noise_in_a_session),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
