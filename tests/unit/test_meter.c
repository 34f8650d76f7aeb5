/* SPDX-License-Identifier: BSD-3-Clause */
/* Quotas in virtual time: what is admitted while there is no debt adds up to the configured rate. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#include "kx_base.h"

#define MS UINT64_C(1000000)

/* `taps` threads, each with `sessions` that are admitted `window` tokens whenever the meter is open and use
 * them a round trip later; for `seconds`. Used tokens. */
static uint64_t saturate(uint64_t rate, unsigned int taps, unsigned int sessions, uint64_t window,
	uint64_t step_ns, uint64_t seconds)
{
	struct kx_meter m;
	struct kx_meter_tap tap[16];
	uint64_t now = 5 * KX_NS_PER_S, end = now + seconds * KX_NS_PER_S, used = 0;
	uint64_t on_the_way[16] = {0};

	kx_meter_init(&m, rate, 100 * MS, now);
	for (unsigned int i = 0; i < taps; i++)
		kx_meter_tap_init(&tap[i], &m, now);
	for (; now < end; now += step_ns) {
		for (unsigned int i = 0; i < taps; i++) {
			if (on_the_way[i] > 0)
				kx_meter_use(&tap[i], on_the_way[i], now);
			used += on_the_way[i];
			on_the_way[i] = 0;
			for (unsigned int k = 0; k < sessions; k++)
				if (kx_meter_open(&tap[i], now))
					on_the_way[i] += window;
		}
	}
	return used;
}

static void assert_rate(uint64_t used, uint64_t rate, uint64_t seconds, uint64_t slack)
{
	uint64_t want = rate * seconds;

	/* within 1 %, besides the savings at the start and the debt at the end */
	assert_true(used + want / 100 >= want);
	assert_true(used <= want + want / 100 + rate / 10 + slack);
}

static void test_the_rate_is_kept_in_the_long_run(void **state)
{
	static const uint64_t rates[] = {7, 1000, 33333, 1000000, 12345678};

	(void)state;
	for (unsigned int i = 0; i < KX_DIM(rates); i++) {
		uint64_t seconds = rates[i] < 100 ? 1000 : 100;
		uint64_t window = KX_MAX(rates[i] / 1000, 1);

		assert_rate(saturate(rates[i], 1, 1, window, MS / 4, seconds), rates[i], seconds, window * 8);
		assert_rate(
			saturate(rates[i], 4, 3, window, MS / 2, seconds), rates[i], seconds, window * 48);
		assert_rate(saturate(rates[i], 16, 2, window, MS, seconds), rates[i], seconds, window * 64);
	}
}

static void test_no_more_than_the_rate_is_lost_to_rounding(void **state)
{
	struct kx_meter m;
	struct kx_meter_tap t;
	uint64_t now = KX_NS_PER_S;

	(void)state;
	kx_meter_init(&m, 3, 0, now); /* a token is a third of a second */
	kx_meter_tap_init(&t, &m, now);
	kx_meter_settle(&t, now);
	for (int i = 0; i < 3000; i++) {
		kx_meter_use(&t, 1, now);
		kx_meter_settle(&t, now);
	}
	assert_false(kx_meter_open(&t, now));
	assert_int_equal(t.paid_ns, now + 1000 * KX_NS_PER_S); /* to the ns */
	assert_false(kx_meter_open(&t, now + 1000 * KX_NS_PER_S - 1));
	assert_true(kx_meter_open(&t, now + 1000 * KX_NS_PER_S + KX_METER_SETTLE_NS));
}

static void test_savings_are_bounded_and_debt_is_remembered(void **state)
{
	struct kx_meter m;
	struct kx_meter_tap a, b;
	uint64_t now = 100 * KX_NS_PER_S;

	(void)state;
	kx_meter_init(&m, 1000, 100 * MS, 0);
	kx_meter_tap_init(&a, &m, 0);
	kx_meter_tap_init(&b, &m, 0);
	assert_true(kx_meter_open(&a, now)); /* idle for 100 s: no more than 100 tokens */
	kx_meter_use(&a, 100, now);
	assert_true(kx_meter_open(&a, now));
	kx_meter_use(&a, 50, now); /* beyond: at once, not at the next settling */
	assert_false(kx_meter_open(&a, now));
	assert_false(kx_meter_open(&b, now)); /* the other thread sees it */
	assert_int_equal(kx_meter_throttled_ns(&m, now), 0);
	assert_int_equal(kx_meter_throttled_ns(&m, now + 20 * MS), 20 * MS);
	assert_int_equal(kx_meter_throttled_ns(&m, now + KX_NS_PER_S), 50 * MS);
	assert_false(kx_meter_open(&b, now + 49 * MS));
	assert_true(kx_meter_open(&b, now + 50 * MS));
	assert_true(kx_meter_open(&a, now + 50 * MS));
}

/* Debt that was settled is paid before the next settling: what was used meanwhile counts at once. */
static void test_what_is_used_in_debt_counts(void **state)
{
	struct kx_meter m;
	struct kx_meter_tap tap;
	uint64_t now = KX_NS_PER_S;

	(void)state;
	kx_meter_init(&m, 10000, 0, now); /* a token is 0.1 ms */
	kx_meter_tap_init(&tap, &m, now);
	kx_meter_use(&tap, 1, now);
	assert_false(kx_meter_open(&tap, now));
	kx_meter_use(&tap, 100, now);
	assert_false(kx_meter_open(&tap, now + MS / 5));
	assert_false(kx_meter_open(&tap, now + 10 * MS));
	assert_true(kx_meter_open(&tap, now + 11 * MS));
}

static void test_the_rate_is_measured(void **state)
{
	struct kx_meter m;
	struct kx_meter_tap t;
	uint64_t now = KX_NS_PER_S;

	(void)state;
	kx_meter_init(&m, 1000000, 100 * MS, now);
	kx_meter_tap_init(&t, &m, now);
	for (int i = 0; i < 3000; i++)
		kx_meter_use(&t, 250, now += MS);
	assert_in_range(kx_meter_rate(&t, now), 249000, 251000);
	assert_int_equal(kx_meter_rate(&t, now + 4 * KX_NS_PER_S), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_rate_is_kept_in_the_long_run),
		cmocka_unit_test(test_no_more_than_the_rate_is_lost_to_rounding),
		cmocka_unit_test(test_savings_are_bounded_and_debt_is_remembered),
		cmocka_unit_test(test_what_is_used_in_debt_counts),
		cmocka_unit_test(test_the_rate_is_measured),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
