/* SPDX-License-Identifier: BSD-3-Clause */
/* The generator's arrivals: exact where they are exact, of the right distribution where they are random. */
#include "kx_test.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "schedule.h"

#define START 1000000007ull

static void constant_rate_does_not_drift(void **state)
{
	struct pg_schedule s;

	(void)state;
	/* 3 M/s: a gap of 333.33 ns, which whole nanoseconds would miss by 0.1 %. */
	assert_int_equal(pg_schedule_init(&s, PG_CONSTANT, 3e6, 1, 1), 0);
	pg_schedule_start(&s, START);
	assert_int_equal(pg_schedule_next_ns(&s), START);
	for (uint32_t i = 0; i < 3000000; i++)
		pg_schedule_advance(&s);
	assert_in_range(pg_schedule_next_ns(&s) - START, 999980000, 1000020000);
	pg_schedule_fini(&s);
}

static void burst_comes_at_once_and_keeps_the_rate(void **state)
{
	struct pg_schedule s;
	uint64_t first, later;

	(void)state;
	assert_int_equal(pg_schedule_init(&s, PG_BURST, 1e6, 32, 1), 0);
	pg_schedule_start(&s, START);
	for (uint32_t burst = 0; burst < 100; burst++) {
		first = pg_schedule_next_ns(&s);
		assert_int_equal(first, START + burst * 32000ull);
		for (uint32_t i = 0; i < 31; i++) {
			pg_schedule_advance(&s);
			assert_int_equal(pg_schedule_next_ns(&s), first);
		}
		pg_schedule_advance(&s);
	}
	later = pg_schedule_next_ns(&s);
	assert_int_equal(later, START + 100 * 32000ull);
	pg_schedule_fini(&s);
}

static void poisson_has_mean_deviation_and_tail(void **state)
{
	const uint32_t n = 2000000;
	double sum = 0, squares = 0, over = 0, mean = 2000;
	struct pg_schedule s;
	uint64_t last;

	(void)state;
	assert_int_equal(pg_schedule_init(&s, PG_POISSON, 5e5, 1, 42), 0);
	pg_schedule_start(&s, START);
	last = pg_schedule_next_ns(&s);
	for (uint32_t i = 0; i < n; i++) {
		pg_schedule_advance(&s);
		double gap = (double)(pg_schedule_next_ns(&s) - last);

		last = pg_schedule_next_ns(&s);
		sum += gap;
		squares += gap * gap;
		over += gap > 3 * mean;
	}
	double got = sum / n, deviation = sqrt(squares / n - got * got);

	assert_true(fabs(got / mean - 1) < 0.005);
	assert_true(fabs(deviation / mean - 1) < 0.01); /* of an exponential: the mean */
	assert_true(fabs(over / n / exp(-3) - 1) < 0.03);
	pg_schedule_fini(&s);
}

static void poisson_is_fixed_by_its_seed(void **state)
{
	struct pg_schedule a, b, c;
	bool differs = false;

	(void)state;
	assert_int_equal(pg_schedule_init(&a, PG_POISSON, 1e6, 1, 7), 0);
	assert_int_equal(pg_schedule_init(&b, PG_POISSON, 1e6, 1, 7), 0);
	assert_int_equal(pg_schedule_init(&c, PG_POISSON, 1e6, 1, 8), 0);
	for (uint32_t i = 0; i < 1000; i++) {
		pg_schedule_advance(&a);
		pg_schedule_advance(&b);
		pg_schedule_advance(&c);
		assert_int_equal(pg_schedule_next_ns(&a), pg_schedule_next_ns(&b));
		differs |= pg_schedule_next_ns(&a) != pg_schedule_next_ns(&c);
	}
	assert_true(differs);
	pg_schedule_fini(&a);
	pg_schedule_fini(&b);
	pg_schedule_fini(&c);
}

static void impossible_rates_are_refused(void **state)
{
	struct pg_schedule s;

	(void)state;
	assert_int_equal(pg_schedule_init(&s, PG_CONSTANT, 0, 1, 1), -EINVAL);
	assert_int_equal(pg_schedule_init(&s, PG_CONSTANT, -1, 1, 1), -EINVAL);
	assert_int_equal(pg_schedule_init(&s, PG_CONSTANT, NAN, 1, 1), -EINVAL);
	assert_int_equal(pg_schedule_init(&s, PG_POISSON, 2e9, 1, 1), -EINVAL);
	assert_int_equal(pg_schedule_init(&s, PG_BURST, 1e6, 0, 1), -EINVAL);
	assert_int_equal(pg_schedule_init(&s, PG_MAX, 0, 1, 1), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(constant_rate_does_not_drift),
		cmocka_unit_test(burst_comes_at_once_and_keeps_the_rate),
		cmocka_unit_test(poisson_has_mean_deviation_and_tail),
		cmocka_unit_test(poisson_is_fixed_by_its_seed),
		cmocka_unit_test(impossible_rates_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
