/* SPDX-License-Identifier: BSD-3-Clause */
/* Windows, round trip time and addresses, case by case. */
#include "kx_test.h"

#include <errno.h>

#include "kx_session.h"

/* ---- receive window */

static void take(struct kx_rxwin *w, uint64_t pkt_no, uint64_t now_ns)
{
	assert_int_equal(kx_rxwin_check(w, pkt_no), KX_DROP_NONE);
	kx_rxwin_mark(w, pkt_no, now_ns);
	assert_int_equal(kx_rxwin_check(w, pkt_no), KX_DROP_PKT_DUPLICATE);
}

static void test_rx_in_order(void **state)
{
	struct kx_rxwin w;

	(void)state;
	kx_rxwin_init(&w);
	for (uint64_t p = 1; p <= 3 * KX_RXWIN_PKTS; p++)
		take(&w, p, p);
	assert_int_equal(w.next_pkt, 3 * KX_RXWIN_PKTS + 1);
	assert_int_equal(w.largest_ns, 3 * KX_RXWIN_PKTS);
	assert_false(kx_rxwin_has_hole(&w));
	assert_int_equal(kx_rxwin_check(&w, 0), KX_DROP_PKT_DUPLICATE);
}

static void test_rx_limits(void **state)
{
	struct kx_rxwin w, before;

	(void)state;
	kx_rxwin_init(&w);
	take(&w, KX_RXWIN_PKTS, 1);
	assert_int_equal(kx_rxwin_check(&w, KX_RXWIN_PKTS + 1), KX_DROP_PKT_WINDOW);
	assert_int_equal(kx_rxwin_check(&w, UINT64_MAX), KX_DROP_PKT_WINDOW);
	for (uint64_t p = KX_RXWIN_PKTS - 1; p >= 1; p--)
		take(&w, p, 2);
	assert_int_equal(w.next_pkt, KX_RXWIN_PKTS + 1);
	take(&w, KX_RXWIN_PKTS + 1, 3);
	for (unsigned int i = 0; i < KX_DIM(w.bits); i++)
		assert_int_equal(w.bits[i], 0);
	before = w;
	assert_int_equal(kx_rxwin_check_frame(&w, UINT64_MAX, 0), KX_DROP_PKT_WINDOW);
	assert_int_equal(kx_rxwin_check_frame(&w, KX_PKT_NO_MAX, 0), KX_DROP_PKT_WINDOW);
	assert_int_equal(
		kx_rxwin_check_frame(&w, w.next_pkt + KX_RXWIN_PKTS, KX_RXWIN_PKTS), KX_DROP_PKT_WINDOW);
	assert_int_equal(
		kx_rxwin_check_frame(&w, w.next_pkt + KX_RXWIN_PKTS, UINT32_MAX), KX_DROP_PKT_WINDOW);
	assert_int_equal(kx_rxwin_check_frame(&w, w.next_pkt + KX_RXWIN_JUMP_MAX, 0), KX_DROP_PKT_WINDOW);
	assert_memory_equal(&w, &before, sizeof(w));
	w.next_pkt = KX_PKT_NO_MAX - 5;
	assert_int_equal(kx_rxwin_check(&w, KX_PKT_NO_MAX + 1), KX_DROP_PKT_WINDOW);
	assert_int_equal(kx_rxwin_check_frame(&w, KX_PKT_NO_MAX + 1, 0), KX_DROP_PKT_WINDOW);
}

static void test_rx_ranges(void **state)
{
	struct kx_ack_range r[KX_ACK_RANGES_MAX];
	struct kx_receipt receipt;
	struct kx_rxwin w;

	(void)state;
	kx_rxwin_init(&w);
	assert_int_equal(kx_rxwin_ranges(&w, r, KX_ACK_RANGES_MAX), 0);
	take(&w, 3, 10);
	take(&w, 4, 10);
	for (uint64_t p = 60; p < 140; p++) /* across word borders */
		take(&w, p, 11);
	assert_int_equal(kx_rxwin_ranges(&w, r, KX_ACK_RANGES_MAX), 2);
	assert_int_equal(r[0].start, 2);
	assert_int_equal(r[0].count, 2);
	assert_int_equal(r[1].start, 59);
	assert_int_equal(r[1].count, 80);
	assert_int_equal(kx_rxwin_ranges(&w, r, 1), 1);
	kx_rxwin_receipt(&w, 111, &receipt);
	assert_int_equal(receipt.next_pkt, 1);
	assert_int_equal(receipt.largest_pkt, 139);
	assert_int_equal(receipt.ack_delay_ns, 100);
	kx_rxwin_receipt(&w, 11 + (UINT64_C(1) << 40), &receipt);
	assert_int_equal(receipt.ack_delay_ns, UINT32_MAX);
	for (uint64_t p = 201; p < 301; p += 2)
		take(&w, p, 12);
	assert_int_equal(kx_rxwin_ranges(&w, r, 1000), KX_ACK_RANGES_MAX);
}

static void test_rx_floor(void **state)
{
	struct kx_rxwin w;

	(void)state;
	kx_rxwin_init(&w);
	kx_rxwin_floor(&w, UINT64_MAX, 1); /* nothing has come: nothing to close */
	assert_int_equal(w.next_pkt, 1);
	take(&w, 5, 1);
	take(&w, 6, 1);
	take(&w, 9, 1);
	kx_rxwin_floor(&w, 3, 2);
	assert_int_equal(w.next_pkt, 3);
	kx_rxwin_floor(&w, 4, 2);
	assert_int_equal(w.next_pkt, 4);
	kx_rxwin_floor(&w, 2, 2); /* never falls */
	assert_int_equal(w.next_pkt, 4);
	kx_rxwin_floor(&w, 5, 2);
	assert_int_equal(w.next_pkt, 7);
	assert_true(kx_rxwin_has_hole(&w));
	kx_rxwin_floor(&w, UINT64_MAX, 2);
	assert_int_equal(w.next_pkt, 10);
	assert_false(kx_rxwin_has_hole(&w));
	take(&w, 9 + KX_RXWIN_PKTS, 3);
	kx_rxwin_floor(&w, 9 + KX_RXWIN_PKTS, 3);
	assert_int_equal(w.next_pkt, 10 + KX_RXWIN_PKTS);
	for (unsigned int i = 0; i < KX_DIM(w.bits); i++)
		assert_int_equal(w.bits[i], 0);
}

static void test_rx_jump(void **state)
{
	const uint64_t far = UINT64_C(1) << 31;
	struct kx_rxwin w;

	(void)state;
	kx_rxwin_init(&w);
	take(&w, 1, 1);
	take(&w, 3, 1);
	take(&w, 4000, 1);
	/* The floor lies inside the window, on a hole before a received packet. */
	assert_int_equal(kx_rxwin_check_frame(&w, 4999, 1000), KX_DROP_NONE);
	kx_rxwin_mark_frame(&w, 4999, 1000, 2);
	assert_int_equal(w.next_pkt, 3999);
	assert_int_equal(w.largest_pkt, 4999);
	assert_int_equal(kx_rxwin_check(&w, 4000), KX_DROP_PKT_DUPLICATE);
	take(&w, 3999, 2);
	assert_int_equal(w.next_pkt, 4001);
	/* The floor lies beyond everything received. */
	assert_int_equal(kx_rxwin_check_frame(&w, far, 1024), KX_DROP_NONE);
	kx_rxwin_mark_frame(&w, far, 1024, 3);
	assert_int_equal(w.next_pkt, far - 1024);
	assert_int_equal(w.largest_pkt, far);
	assert_int_equal(kx_rxwin_check(&w, far), KX_DROP_PKT_DUPLICATE);
	assert_int_equal(kx_rxwin_check(&w, far - 1025), KX_DROP_PKT_DUPLICATE);
	for (uint64_t p = far - 1024; p < far; p++)
		take(&w, p, 4);
	assert_int_equal(w.next_pkt, far + 1);
	/* A floor at the packet itself leaves nothing open. */
	kx_rxwin_mark_frame(&w, far + 10000, 0, 5);
	assert_int_equal(w.next_pkt, far + 10001);
	assert_false(kx_rxwin_has_hole(&w));
}

#define MS UINT64_C(1000000)

static void test_rx_nak_allowance(void **state)
{
	struct kx_nak_entry e[64];
	struct kx_rxwin w;

	(void)state;
	kx_rxwin_init(&w);
	take(&w, 2, MS);
	take(&w, 5, MS);
	take(&w, 10, MS);
	assert_int_equal(kx_rxwin_nak(&w, 2 * MS - 1, MS, 4 * MS, e, 64), 0);
	take(&w, 1, 2 * MS); /* a late one closes its hole */
	assert_int_equal(kx_rxwin_nak(&w, 2 * MS, MS, 4 * MS, e, 64), 2);
	assert_int_equal(e[0].first, 3);
	assert_int_equal(e[0].last, 4);
	assert_int_equal(e[0].kind, KX_NAK_PKTS);
	assert_int_equal(e[1].first, 6);
	assert_int_equal(e[1].last, 9);
	assert_int_equal(kx_rxwin_nak(&w, 2 * MS, MS, 4 * MS, e, 64), 0);
	for (uint64_t p = 3; p < 10; p++)
		if (p != 5)
			take(&w, p, 3 * MS);
	assert_false(kx_rxwin_has_hole(&w));
	assert_int_equal(kx_rxwin_nak(&w, 1000 * MS, MS, 4 * MS, e, 64), 0);
}

/* No progress: 4, 8, 16, 32, 64, 100, 100 ms; progress starts over. */
static void test_rx_nak_backoff(void **state)
{
	const uint64_t wait_ms[] = {4, 8, 16, 32, 64, 100, 100, 100};
	struct kx_nak_entry e[64];
	struct kx_rxwin w;
	uint64_t at = 10 * MS;

	(void)state;
	kx_rxwin_init(&w);
	take(&w, 3, 1);
	take(&w, 8, 1);
	assert_int_equal(kx_rxwin_nak(&w, at, MS, 4 * MS, e, 64), 2);
	for (unsigned int i = 0; i < KX_DIM(wait_ms); i++) {
		assert_int_equal(kx_rxwin_nak(&w, at + wait_ms[i] * MS - 1, MS, 4 * MS, e, 64), 0);
		at += wait_ms[i] * MS;
		assert_int_equal(kx_rxwin_nak(&w, at, MS, 4 * MS, e, 64), 2);
	}
	take(&w, 1, at);
	take(&w, 2, at);
	assert_int_equal(kx_rxwin_nak(&w, at + 4 * MS - 1, MS, 4 * MS, e, 64), 0);
	assert_int_equal(kx_rxwin_nak(&w, at + 4 * MS, MS, 4 * MS, e, 64), 1);
	assert_int_equal(e[0].first, 4);
	assert_int_equal(e[0].last, 7);
	assert_int_equal(kx_rxwin_nak(&w, at + 12 * MS - 1, MS, 4 * MS, e, 64), 1);
}

/* A hole that opens in the middle of a back-off is named after its own allowance, without the old ones. */
static void test_rx_nak_fresh(void **state)
{
	struct kx_nak_entry e[64];
	struct kx_rxwin w;

	(void)state;
	kx_rxwin_init(&w);
	take(&w, 2, 0); /* 0 is a time like any other */
	assert_int_equal(kx_rxwin_nak(&w, MS + 1, MS, 100 * MS, e, 64), 1);
	take(&w, 4, 2 * MS);
	assert_int_equal(kx_rxwin_nak(&w, 3 * MS - 1, MS, 100 * MS, e, 64), 0);
	assert_int_equal(kx_rxwin_nak(&w, 3 * MS, MS, 100 * MS, e, 64), 1);
	assert_int_equal(e[0].first, 3);
	assert_int_equal(kx_rxwin_nak(&w, 101 * MS + 1, MS, 100 * MS, e, 64), 1);
	assert_int_equal(e[0].first, 1);
	assert_int_equal(e[0].last, 1);
	assert_int_equal(kx_rxwin_nak(&w, 301 * MS + 1, MS, 100 * MS, e, 64), 2);
}

/* A hole first named in the middle of a round's wait, whose NAK is lost, is named again when progress ends
 * that round. */
static void test_rx_nak_round_ends(void **state)
{
	struct kx_nak_entry e[64];
	struct kx_rxwin w;

	(void)state;
	kx_rxwin_init(&w);
	take(&w, 2, MS);
	assert_int_equal(kx_rxwin_nak(&w, 2 * MS, MS, 10 * MS, e, 64), 1);
	take(&w, 4, 3 * MS);
	assert_int_equal(kx_rxwin_nak(&w, 4 * MS, MS, 10 * MS, e, 64), 1);
	assert_int_equal(e[0].first, 3);
	take(&w, 1, 5 * MS); /* the round was about 1 alone */
	assert_int_equal(w.next_pkt, 3);
	assert_int_equal(kx_rxwin_nak(&w, 5 * MS, MS, 10 * MS, e, 64), 0);
	assert_int_equal(kx_rxwin_nak(&w, 15 * MS - 1, MS, 10 * MS, e, 64), 0);
	assert_int_equal(kx_rxwin_nak(&w, 15 * MS, MS, 10 * MS, e, 64), 1);
	assert_int_equal(e[0].first, 3);
	assert_int_equal(e[0].last, 3);
}

/* What comes after a NAK has named it is counted: it was late, not lost. */
static void test_rx_late(void **state)
{
	struct kx_nak_entry e[64];
	struct kx_rxwin w;

	(void)state;
	kx_rxwin_init(&w);
	take(&w, 3, MS);
	take(&w, 1, MS); /* overtaken, but in time */
	assert_int_equal(w.late, 0);
	assert_int_equal(kx_rxwin_nak(&w, 2 * MS, MS, MS, e, 64), 1);
	take(&w, 4, 2 * MS);
	assert_int_equal(w.late, 0);
	take(&w, 2, 2 * MS);
	assert_int_equal(w.late, 1);
}

/* The same when its repair came first, under a number of its own, and the floor has closed the hole. */
static void test_rx_late_behind_the_floor(void **state)
{
	struct kx_nak_entry e[64];
	struct kx_rxwin w;

	(void)state;
	kx_rxwin_init(&w);
	take(&w, 1, MS);
	take(&w, 3, MS);
	take(&w, 5, MS);
	assert_int_equal(kx_rxwin_nak(&w, 2 * MS, MS, MS, e, 64), 2);
	take(&w, 7, 2 * MS); /* 6 is missing too, but no NAK has named it */
	kx_rxwin_floor(&w, 8, 2 * MS);
	assert_int_equal(w.next_pkt, 8);
	kx_rxwin_duplicate(&w, 6);
	kx_rxwin_duplicate(&w, 3); /* repeated by the network */
	assert_int_equal(w.late, 0);
	kx_rxwin_duplicate(&w, 2);
	assert_int_equal(w.late, 1);
	kx_rxwin_duplicate(&w, 2); /* once */
	assert_int_equal(w.late, 1);
	kx_rxwin_duplicate(&w, 4);
	assert_int_equal(w.late, 2);
}

/* More holes than entries: further calls name the rest at once, each hole one time a round. */
static void test_rx_nak_many(void **state)
{
	struct kx_nak_entry e[8];
	struct kx_rxwin w;
	uint64_t at = MS + 1;

	(void)state;
	kx_rxwin_init(&w);
	for (uint64_t p = 2; p <= KX_RXWIN_PKTS; p += 2)
		take(&w, p, 1);
	for (unsigned int round = 0; round < 4; round++, at += 200 * MS) {
		/* The first back-off began when 8 were named: it repeats these. */
		uint64_t end = round == 1 ? 16 : KX_RXWIN_PKTS;

		for (uint64_t next = 1; next < end;) {
			assert_int_equal(kx_rxwin_nak(&w, at, MS, MS, e, 8), 8);
			for (unsigned int i = 0; i < 8; i++, next += 2) {
				assert_int_equal(e[i].first, next);
				assert_int_equal(e[i].last, next);
			}
		}
		assert_int_equal(kx_rxwin_nak(&w, at, MS, MS, e, 8), 0);
	}
}

/* ---- send window */

struct acked {
	uint64_t pkt[KX_TXWIN_PKTS];
	uint32_t ref[KX_TXWIN_PKTS];
	unsigned int n;
};

static void on_acked(void *arg, uint64_t pkt_no, uint32_t ref)
{
	struct acked *a = arg;

	assert_true(a->n < KX_TXWIN_PKTS);
	a->pkt[a->n] = pkt_no;
	a->ref[a->n++] = ref;
}

static void test_tx_ack(void **state)
{
	struct kx_ack_range ranges[] = {{.start = 2, .count = 3}, {.start = 6, .count = 1}};
	struct kx_receipt r = {.next_pkt = 4, .largest_pkt = 10, .ack_delay_ns = 30, .range_count = 2};
	struct kx_txwin w;
	struct acked a = {.n = 0};
	uint64_t rtt;
	uint32_t ref;

	(void)state;
	assert_int_equal(kx_txwin_init(&w), 0);
	for (uint32_t i = 1; i <= 12; i++)
		assert_int_equal(kx_txwin_send(&w, 100 + i, 1000 + i), i);
	assert_int_equal(kx_txwin_floor_delta(&w, 12), 11);
	assert_int_equal(kx_txwin_ack(&w, &r, ranges, 2010, on_acked, &a, &rtt), 3 + 3 + 1);
	assert_int_equal(rtt, 2010 - 1010 - 30);
	const uint64_t expected[] = {1, 2, 3, 6, 7, 8, 10};
	assert_memory_equal(a.pkt, expected, sizeof(expected));
	for (unsigned int i = 0; i < a.n; i++)
		assert_int_equal(a.ref[i], 100 + a.pkt[i]);
	assert_int_equal(w.floor_pkt, 4);
	assert_int_equal(w.waiting, 5);
	assert_int_equal(kx_txwin_ack(&w, &r, ranges, 2020, on_acked, &a, &rtt), 0);
	assert_int_equal(rtt, 0);
	assert_false(kx_txwin_take(&w, 6, &ref));
	assert_false(kx_txwin_take(&w, 0, &ref));
	assert_false(kx_txwin_take(&w, 13, &ref));
	assert_false(kx_txwin_take(&w, UINT64_MAX, &ref));
	assert_int_equal(kx_txwin_find(&w, 0, UINT64_MAX), 4);
	assert_int_equal(kx_txwin_find(&w, 6, 8), 0);
	assert_int_equal(kx_txwin_find(&w, 6, 9), 9);
	assert_int_equal(kx_txwin_find(&w, 12, 11), 0);
	assert_int_equal(kx_txwin_find(&w, UINT64_MAX, UINT64_MAX), 0);
	assert_true(kx_txwin_take(&w, 4, &ref));
	assert_int_equal(ref, 104);
	assert_int_equal(w.floor_pkt, 5);
	assert_false(kx_txwin_take(&w, 4, &ref));
	kx_txwin_fini(&w);
}

/* A delay longer than the time passed is not believed. */
static void test_tx_rtt_lies(void **state)
{
	struct kx_receipt r = {.next_pkt = 2, .largest_pkt = 1, .ack_delay_ns = 5000};
	struct kx_txwin w;
	uint64_t rtt;

	(void)state;
	assert_int_equal(kx_txwin_init(&w), 0);
	kx_txwin_send(&w, 0, 1000);
	assert_int_equal(kx_txwin_ack(&w, &r, NULL, 1500, NULL, NULL, &rtt), 1);
	assert_int_equal(rtt, 500);
	kx_txwin_send(&w, 0, 3000);
	r = (struct kx_receipt){.next_pkt = 3, .largest_pkt = 2};
	assert_int_equal(kx_txwin_ack(&w, &r, NULL, 2000, NULL, NULL, &rtt), 1); /* clock of an older burst */
	assert_int_equal(rtt, 1);
	kx_txwin_fini(&w);
}

static void refuse(
	struct kx_txwin *w, struct kx_receipt r, const struct kx_ack_range *ranges, unsigned int range_count)
{
	struct kx_txwin before = *w;
	struct acked a = {.n = 0};
	uint64_t rtt = 7;

	r.range_count = (uint8_t)range_count;
	assert_int_equal(kx_txwin_ack(w, &r, ranges, 5000, on_acked, &a, &rtt), -EINVAL);
	assert_int_equal(a.n, 0);
	assert_int_equal(rtt, 0);
	assert_memory_equal(w, &before, sizeof(before));
}

static void test_tx_hostile(void **state)
{
	const struct kx_receipt ok = {.next_pkt = 4, .largest_pkt = 9};
	struct kx_ack_range many[KX_ACK_RANGES_MAX + 1];
	struct kx_txwin w;

	(void)state;
	assert_int_equal(kx_txwin_init(&w), 0);
	for (uint32_t i = 1; i <= 100; i++)
		kx_txwin_send(&w, i, i);
	refuse(&w, (struct kx_receipt){.next_pkt = 102, .largest_pkt = 100}, NULL, 0);
	refuse(&w, (struct kx_receipt){.next_pkt = UINT64_MAX, .largest_pkt = 100}, NULL, 0);
	refuse(&w, (struct kx_receipt){.next_pkt = 50, .largest_pkt = 101}, NULL, 0);
	refuse(&w, (struct kx_receipt){.next_pkt = 50, .largest_pkt = UINT64_MAX}, NULL, 0);
	refuse(&w, ok, &(struct kx_ack_range){.start = 0, .count = 1}, 1);
	refuse(&w, ok, &(struct kx_ack_range){.start = 5, .count = 0}, 1);
	refuse(&w, ok, &(struct kx_ack_range){.start = 5, .count = 93}, 1);
	refuse(&w, ok, &(struct kx_ack_range){.start = 97, .count = 1}, 1);
	refuse(&w, ok, &(struct kx_ack_range){.start = UINT32_MAX, .count = UINT32_MAX}, 1);
	refuse(&w, ok, (struct kx_ack_range[]){{.start = 5, .count = 4}, {.start = 7, .count = 9}}, 2);
	refuse(&w, ok, (struct kx_ack_range[]){{.start = 5, .count = 4}, {.start = 9, .count = 1}}, 2);
	refuse(&w, ok, (struct kx_ack_range[]){{.start = 50, .count = 1}, {.start = 10, .count = 1}}, 2);
	refuse(&w, ok, (struct kx_ack_range[]){{.start = 5, .count = 1}, {.start = 10, .count = 1000}}, 2);
	for (uint32_t i = 0; i < KX_DIM(many); i++)
		many[i] = (struct kx_ack_range){.start = 1 + 2 * i, .count = 1};
	refuse(&w, ok, many, KX_ACK_RANGES_MAX + 1);
	kx_txwin_fini(&w);
}

static void test_tx_window(void **state)
{
	struct kx_txwin w;
	uint64_t rtt;
	uint32_t ref;

	(void)state;
	assert_int_equal(kx_txwin_init(&w), 0);
	for (uint32_t i = 1; kx_txwin_open(&w); i++)
		assert_int_equal(kx_txwin_send(&w, i, 5), i);
	assert_int_equal(w.waiting, KX_TXWIN_PKTS - KX_TXWIN_RESERVE);
	while (kx_txwin_open_reserve(&w))
		assert_int_not_equal(kx_txwin_send_unreliable(&w, 6), 0);
	assert_int_equal(w.next_pkt, 1 + KX_TXWIN_PKTS);
	assert_int_equal(kx_txwin_send(&w, 1, 7), 0);
	assert_int_equal(kx_txwin_send_unreliable(&w, 7), 0);
	assert_int_equal(w.next_pkt, 1 + KX_TXWIN_PKTS);
	/* Taking the lowest makes room for its repair. */
	assert_true(kx_txwin_take(&w, w.floor_pkt, &ref));
	assert_int_equal(kx_txwin_send(&w, ref, 8), 1 + KX_TXWIN_PKTS);
	assert_int_equal(w.floor_pkt, 2);
	struct kx_receipt r = {.next_pkt = w.next_pkt, .largest_pkt = w.next_pkt - 1};
	assert_int_equal(kx_txwin_ack(&w, &r, NULL, 9, NULL, NULL, &rtt), KX_TXWIN_PKTS - KX_TXWIN_RESERVE);
	assert_int_equal(w.floor_pkt, w.next_pkt);
	assert_int_equal(w.waiting, 0);
	/* Nothing waits: the floor follows what is never repaired. */
	for (unsigned int i = 0; i < 2 * KX_TXWIN_PKTS; i++)
		assert_int_equal(kx_txwin_floor_delta(&w, kx_txwin_send_unreliable(&w, 10)), 0);
	kx_txwin_fini(&w);
}

static void test_tx_probe(void **state)
{
	const uint64_t pto = 10, due[] = {10, 20, 40, 80, 160, 320, 640, 1280, 1920, 2560};
	const struct kx_receipt r = {.next_pkt = 2, .largest_pkt = 1};
	struct kx_txwin w;
	uint64_t rtt;

	(void)state;
	assert_int_equal(kx_txwin_init(&w), 0);
	assert_false(kx_txwin_probe_due(&w, 1000000, pto)); /* nothing waits */
	kx_txwin_send(&w, 0, 1000);
	kx_txwin_send(&w, 0, 1005);
	assert_false(kx_txwin_probe_due(&w, 900, pto));
	for (unsigned int i = 0; i < KX_DIM(due); i++) {
		assert_int_equal(kx_txwin_probe_ns(&w, pto), 1000 + due[i] + 1);
		assert_false(kx_txwin_probe_due(&w, 1000 + due[i], pto));
		assert_true(kx_txwin_probe_due(&w, 1000 + due[i] + 1, pto));
	}
	assert_int_equal(kx_txwin_ack(&w, &r, NULL, 9000, NULL, NULL, &rtt), 1);
	assert_false(kx_txwin_probe_due(&w, 9010, pto));
	assert_true(kx_txwin_probe_due(&w, 9011, pto));
	assert_false(kx_txwin_probe_due(&w, 9012, UINT64_MAX));
	kx_txwin_fini(&w);
}

/* ---- round trip time */

static void test_rtt(void **state)
{
	struct kx_rtt r;

	(void)state;
	kx_rtt_init(&r);
	assert_int_equal(kx_rtt_pto_ns(&r), 100 * MS);
	assert_int_equal(kx_rtt_reorder_ns(&r), 20000);
	kx_rtt_sample(&r, 0);
	assert_false(r.valid);
	kx_rtt_sample(&r, 8 * MS);
	assert_int_equal(r.srtt_ns, 8 * MS);
	assert_int_equal(r.var_ns, 4 * MS);
	assert_int_equal(kx_rtt_pto_ns(&r), 24 * MS);
	assert_int_equal(kx_rtt_reorder_ns(&r), MS);
	kx_rtt_sample(&r, 16 * MS);
	assert_int_equal(r.srtt_ns, 9 * MS);
	assert_int_equal(r.var_ns, 5 * MS);
	assert_int_equal(r.min_ns, 8 * MS);
	for (unsigned int i = 0; i < 200; i++)
		kx_rtt_sample(&r, 50000);
	assert_int_equal(kx_rtt_pto_ns(&r), MS);
	assert_int_equal(kx_rtt_reorder_ns(&r), 20000);
	assert_int_equal(r.min_ns, 50000);
	for (unsigned int i = 0; i < 200; i++)
		kx_rtt_sample(&r, UINT64_MAX);
	assert_true(r.srtt_ns <= KX_RTT_SAMPLE_MAX_NS);
	assert_int_equal(kx_rtt_reorder_ns(&r), 5 * MS);
}

static void test_reorder_is_learned(void **state)
{
	struct kx_rtt r;

	(void)state;
	kx_rtt_init(&r);
	kx_rtt_named(&r);
	assert_int_equal(kx_rtt_reorder_ns(&r), 20000);
	kx_rtt_late(&r);
	assert_int_equal(kx_rtt_reorder_ns(&r), 40000);
	kx_rtt_late(&r);
	assert_int_equal(kx_rtt_reorder_ns(&r), 80000);
	kx_rtt_sample(&r, 100000); /* the first sample keeps what was learned */
	assert_int_equal(kx_rtt_reorder_ns(&r), 80000);
	kx_rtt_named(&r);
	assert_int_equal(kx_rtt_reorder_ns(&r), 75000);
	for (unsigned int i = 0; i < 20; i++)
		kx_rtt_late(&r);
	assert_int_equal(kx_rtt_reorder_ns(&r), 5 * MS);
	for (unsigned int i = 0; i < 200; i++)
		kx_rtt_named(&r);
	assert_int_equal(kx_rtt_reorder_ns(&r), 20000);
}

/* ---- addresses */

static void test_addr(void **state)
{
	static const struct {
		const char *text, *canonical;
	} good[] = {
		{"1.2.3.4", "1.2.3.4:7000"},
		{"1.2.3.4:9000", "1.2.3.4:9000"},
		{"255.255.255.255:65535", "255.255.255.255:65535"},
		{"fd00::1", "[fd00::1]:7000"},
		{"[fd00::1]", "[fd00::1]:7000"},
		{"[fd00::1]:9000", "[fd00::1]:9000"},
		{"::", "[::]:7000"},
		{"::ffff:1.2.3.4", "1.2.3.4:7000"},
		{"1111:2222:3333:4444:5555:6666:7777:8888", "[1111:2222:3333:4444:5555:6666:7777:8888]:7000"},
	};
	static const char *const bad[] = {"", ":", ":9000", "1.2.3", "1.2.3.4.5", "256.1.1.1",
		"1.2.3.4:", "1.2.3.4:0", "1.2.3.4:65536", "1.2.3.4:99999999999999999999", "1.2.3.4:-1",
		"1.2.3.4: 1", "1.2.3.4:9000x", "host", "[1.2.3.4]:9000", "[fd00::1", "[fd00::1]9000",
		"[fd00::1]:", "[]", "fd00::1::2", "fd00::1%eth0", " 1.2.3.4", "1.2.3.4 ",
		"1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb:cccc:dddd"};
	char buf[KX_ADDR_TEXT_BYTES];
	struct kx_addr a, b;

	(void)state;
	for (unsigned int i = 0; i < KX_DIM(good); i++) {
		assert_int_equal(kx_addr_parse(good[i].text, 7000, &a), 0);
		assert_string_equal(kx_addr_format(&a, buf), good[i].canonical);
		assert_int_equal(kx_addr_parse(buf, 1, &b), 0);
		assert_true(kx_addr_equal(&a, &b));
	}
	for (unsigned int i = 0; i < KX_DIM(bad); i++)
		assert_int_equal(kx_addr_parse(bad[i], 7000, &a), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rx_in_order),
		cmocka_unit_test(test_rx_limits),
		cmocka_unit_test(test_rx_ranges),
		cmocka_unit_test(test_rx_floor),
		cmocka_unit_test(test_rx_jump),
		cmocka_unit_test(test_rx_nak_allowance),
		cmocka_unit_test(test_rx_nak_backoff),
		cmocka_unit_test(test_rx_nak_fresh),
		cmocka_unit_test(test_rx_nak_round_ends),
		cmocka_unit_test(test_rx_late),
		cmocka_unit_test(test_rx_late_behind_the_floor),
		cmocka_unit_test(test_rx_nak_many),
		cmocka_unit_test(test_tx_ack),
		cmocka_unit_test(test_tx_rtt_lies),
		cmocka_unit_test(test_tx_hostile),
		cmocka_unit_test(test_tx_window),
		cmocka_unit_test(test_tx_probe),
		cmocka_unit_test(test_rtt),
		cmocka_unit_test(test_reorder_is_learned),
		cmocka_unit_test(test_addr),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
