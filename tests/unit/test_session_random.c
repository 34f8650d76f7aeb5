/* SPDX-License-Identifier: BSD-3-Clause */
/* Each window alone against a naive one (a flag per number), fed with anything a peer could send. */
#include "kx_test.h"

#include <errno.h>

#include "kx_session.h"

#define NUMBERS 200000u

/* ---- receive window */

struct naive_rx {
	bool came[NUMBERS];
	uint64_t next, largest;
};

static void naive_floor(struct naive_rx *n, uint64_t floor)
{
	if (floor > n->largest + 1)
		floor = n->largest + 1;
	n->next = KX_MAX(n->next, floor);
	while (n->came[n->next])
		n->next++;
}

static void naive_take(struct naive_rx *n, uint64_t pkt_no, uint64_t floor)
{
	n->came[pkt_no] = true;
	n->largest = KX_MAX(n->largest, pkt_no);
	naive_floor(n, floor);
}

static enum kx_drop naive_check(const struct naive_rx *n, uint64_t pkt_no, uint32_t floor_delta)
{
	if (pkt_no < n->next)
		return KX_DROP_PKT_DUPLICATE;
	if (pkt_no - n->next >= KX_RXWIN_PKTS)
		return floor_delta < KX_RXWIN_PKTS ? KX_DROP_NONE : KX_DROP_PKT_WINDOW;
	return n->came[pkt_no] ? KX_DROP_PKT_DUPLICATE : KX_DROP_NONE;
}

static void compare_rx(const struct kx_rxwin *w, const struct naive_rx *n)
{
	struct kx_ack_range r[KX_ACK_RANGES_MAX];
	unsigned int count = kx_rxwin_ranges(w, r, KX_ACK_RANGES_MAX);
	uint64_t at = n->next;

	assert_int_equal(w->next_pkt, n->next);
	assert_int_equal(w->largest_pkt, n->largest);
	for (unsigned int i = 0; i < count; i++) {
		for (; at < n->next + r[i].start; at++)
			assert_false(n->came[at]);
		for (; at < n->next + r[i].start + r[i].count; at++)
			assert_true(n->came[at]);
		assert_false(n->came[at]);
	}
	if (count < KX_ACK_RANGES_MAX)
		for (; at <= n->largest; at++)
			assert_false(n->came[at]);
}

/* A number near either end of the window, anywhere in it, or beyond. */
static uint64_t any_number(struct kx_prng *prng, const struct kx_rxwin *w)
{
	switch (kx_prng_below(prng, 8)) {
	case 0:
		return kx_prng_below(prng, w->next_pkt + 1);
	case 1:
		return w->next_pkt + KX_RXWIN_PKTS - 8 + kx_prng_below(prng, 16);
	case 2:
		return w->next_pkt + kx_prng_below(prng, 3 * KX_RXWIN_PKTS);
	case 3:
		return w->next_pkt;
	case 4:
		return w->largest_pkt + kx_prng_below(prng, 3);
	default:
		return w->next_pkt + kx_prng_below(prng, 200);
	}
}

static void rx_against_naive(void **state)
{
	struct naive_rx *n = malloc(sizeof(*n));
	uint32_t jumps = 0, refused = 0, runs = 0;

	(void)state;
	assert_non_null(n);
	for (uint64_t seed = 1; seed <= 20; seed++) {
		struct kx_prng prng;
		struct kx_rxwin w;

		memset(n, 0, sizeof(*n));
		n->next = 1;
		kx_prng_seed(&prng, seed);
		kx_rxwin_init(&w);
		while (w.next_pkt < NUMBERS - 5 * KX_RXWIN_PKTS && runs++ < 400000) {
			uint64_t pkt_no = any_number(&prng, &w);
			uint32_t delta = (uint32_t)kx_prng_below(
				&prng, kx_prng_below(&prng, 20) == 0 ? UINT64_C(1) << 32 : 6000);
			enum kx_drop drop = kx_rxwin_check_frame(&w, pkt_no, delta);

			assert_int_equal(drop, naive_check(n, pkt_no, delta));
			refused += drop != KX_DROP_NONE;
			if (drop != KX_DROP_NONE)
				continue;
			jumps += pkt_no - w.next_pkt >= KX_RXWIN_PKTS;
			kx_rxwin_mark_frame(&w, pkt_no, delta, runs);
			naive_take(n, pkt_no, delta < pkt_no ? pkt_no - delta : 0);
			compare_rx(&w, n);
		}
	}
	assert_true(jumps > 100 && refused > 1000);
	free(n);
}

/* ---- send window */

struct naive_tx {
	bool waiting[NUMBERS];
	uint64_t next;
	uint32_t count;
};

static int naive_ack(struct naive_tx *n, uint64_t from, uint64_t end)
{
	int newly = 0;

	for (uint64_t p = from; p < end; p++) {
		newly += n->waiting[p];
		n->waiting[p] = false;
	}
	n->count -= (uint32_t)newly;
	return newly;
}

static void random_receipt(
	struct kx_prng *prng, const struct kx_txwin *w, struct kx_receipt *r, struct kx_ack_range *ranges)
{
	uint64_t spread = w->next_pkt - w->floor_pkt + 3;

	*r = (struct kx_receipt){
		.next_pkt = w->floor_pkt - 1 + kx_prng_below(prng, spread / (1 + kx_prng_below(prng, 8)) + 1),
		.largest_pkt = w->floor_pkt + kx_prng_below(prng, spread),
		.range_count = (uint8_t)kx_prng_below(prng, 5),
	};
	for (unsigned int i = 0, at = 0; i < r->range_count; i++) {
		ranges[i].start = at + (kx_prng_below(prng, 40) > 0) + (uint32_t)kx_prng_below(prng, 20);
		ranges[i].count = (kx_prng_below(prng, 40) > 0) + (uint32_t)kx_prng_below(prng, 20);
		at = ranges[i].start + ranges[i].count;
		if (kx_prng_below(prng, 200) == 0)
			ranges[i].count = (uint32_t)kx_prng_next(prng);
	}
}

static bool is_honest(const struct kx_txwin *w, const struct kx_receipt *r, const struct kx_ack_range *ranges)
{
	uint64_t last = r->next_pkt;

	if (r->next_pkt > w->next_pkt || r->largest_pkt >= w->next_pkt)
		return false;
	for (unsigned int i = 0; i < r->range_count; i++) {
		if (ranges[i].count == 0 || r->next_pkt + ranges[i].start <= last)
			return false;
		last = r->next_pkt + ranges[i].start + ranges[i].count;
		if (last > w->next_pkt)
			return false;
	}
	return true;
}

static void apply_receipt(struct kx_prng *prng, struct kx_txwin *w, struct naive_tx *n, uint32_t outcomes[2])
{
	struct kx_ack_range ranges[KX_ACK_RANGES_MAX], *exact;
	struct kx_receipt r;
	uint64_t rtt;
	int got, expected = -EINVAL;

	random_receipt(prng, w, &r, ranges);
	if (is_honest(w, &r, ranges)) {
		bool sample = n->waiting[r.largest_pkt];

		expected = naive_ack(n, 1, r.next_pkt);
		for (unsigned int i = 0; i < r.range_count; i++)
			expected += naive_ack(n, r.next_pkt + ranges[i].start,
				r.next_pkt + ranges[i].start + ranges[i].count);
		exact = kx_test_exact(ranges, r.range_count * sizeof(*ranges));
		got = kx_txwin_ack(w, &r, exact, 1000, NULL, NULL, &rtt);
		assert_int_equal(rtt > 0, sample && !n->waiting[r.largest_pkt]);
	} else {
		exact = kx_test_exact(ranges, r.range_count * sizeof(*ranges));
		got = kx_txwin_ack(w, &r, exact, 1000, NULL, NULL, &rtt);
	}
	free(exact);
	assert_int_equal(got, expected);
	outcomes[got < 0]++;
}

static void compare_tx(const struct kx_txwin *w, const struct naive_tx *n)
{
	uint64_t floor = w->floor_pkt;

	assert_int_equal(w->next_pkt, n->next);
	assert_int_equal(w->waiting, n->count);
	assert_true(w->next_pkt - floor <= KX_TXWIN_PKTS);
	assert_true(floor == w->next_pkt || n->waiting[floor]);
	assert_true(n->count > 0 || floor == w->next_pkt);
	for (uint64_t p = floor > 2 * KX_TXWIN_PKTS ? floor - 2 * KX_TXWIN_PKTS : 1; p < floor; p++)
		assert_false(n->waiting[p]);
}

static void tx_against_naive(void **state)
{
	struct naive_tx *n = calloc(1, sizeof(*n));
	uint32_t outcomes[2] = {0, 0}, ref;
	struct kx_prng prng;
	struct kx_txwin w;

	(void)state;
	assert_non_null(n);
	n->next = 1;
	kx_prng_seed(&prng, 11);
	assert_int_equal(kx_txwin_init(&w), 0);
	for (unsigned int step = 0; step < 20000 && n->next < NUMBERS - 1000; step++) {
		unsigned int burst = (unsigned int)kx_prng_below(&prng, 20);
		uint64_t named = w.floor_pkt + kx_prng_below(&prng, 5000), found;

		for (; burst > 0 && kx_txwin_open_reserve(&w); burst--) {
			bool reliable = kx_prng_below(&prng, 3) > 0;
			uint64_t pkt_no = reliable ? kx_txwin_send(&w, (uint32_t)n->next, 1)
						   : kx_txwin_send_unreliable(&w, 1);

			assert_int_equal(pkt_no, n->next);
			n->waiting[n->next++] = reliable;
			n->count += reliable;
		}
		apply_receipt(&prng, &w, n, outcomes);
		found = kx_txwin_find(&w, named, UINT64_MAX);
		while (named < n->next && !n->waiting[named])
			named++;
		assert_int_equal(found, named < n->next ? named : 0);
		if (found != 0) {
			assert_true(kx_txwin_take(&w, found, &ref));
			assert_int_equal(ref, found);
			n->waiting[found] = false;
			n->count--;
		}
		assert_false(kx_txwin_take(&w, n->next, &ref));
		compare_tx(&w, n);
	}
	assert_true(outcomes[0] > 1000 && outcomes[1] > 1000);
	kx_txwin_fini(&w);
	free(n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rx_against_naive),
		cmocka_unit_test(tx_against_naive),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
