/* SPDX-License-Identifier: BSD-3-Clause */
#include "kx_test.h"

#include <errno.h>
#include <math.h>

#include "kx_base.h"

static int compare_u64(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static void buckets_cover_the_range_in_order(void **state)
{
	(void)state;
	uint64_t low = 0;

	for (uint32_t i = 0; i < KX_HIST_BUCKETS; i++) {
		uint64_t high = kx_hist_bucket_max(i);

		assert_true(high >= low);
		assert_int_equal(kx_hist_index(low), i);
		assert_int_equal(kx_hist_index(high), i);
		assert_true(high - low <= low / 1000);
		low = high + 1;
	}
	assert_true(low - 1 == KX_HIST_MAX_NS);
	assert_int_equal(kx_hist_index(KX_HIST_MAX_NS + 1), KX_HIST_BUCKETS - 1);
	assert_int_equal(kx_hist_index(UINT64_MAX), KX_HIST_BUCKETS - 1);
}

/* Quantiles against the sorted samples: never below, and within 0.1 % above. */
static void check_against_sorted(uint64_t *v, size_t n)
{
	static const double qs[] = {0.001, 0.25, 0.5, 0.9, 0.95, 0.99, 0.999};
	struct kx_hist *h = kx_hist_new();
	long double sum = 0;

	assert_non_null(h);
	for (size_t i = 0; i < n; i++) {
		kx_hist_add(h, v[i]);
		sum += v[i];
	}
	qsort(v, n, sizeof(*v), compare_u64);
	for (size_t i = 0; i < KX_DIM(qs); i++) {
		uint64_t got = 0, want = v[(size_t)ceill((long double)qs[i] * n) - 1];

		assert_int_equal(kx_hist_quantile(h, qs[i], &got), 0);
		assert_true(got >= want);
		assert_true((double)(got - want) <= 0.001 * (double)want);
	}
	assert_true(h->min == v[0] && h->max == v[n - 1] && h->count == n);
	assert_true(fabs(kx_hist_mean(h) - (double)(sum / n)) <= 1e-9 * (double)(sum / n));
	kx_hist_free(h);
}

static void quantiles_match_sorted_samples(void **state)
{
	(void)state;
	size_t n = 200003;
	uint64_t *v = malloc(n * sizeof(*v));
	struct kx_prng prng;

	assert_non_null(v);
	kx_prng_seed(&prng, 42);
	for (size_t i = 0; i < n; i++)
		v[i] = kx_prng_below(&prng, 3000);
	check_against_sorted(v, n);
	for (size_t i = 0; i < n; i++)
		v[i] = (uint64_t)kx_prng_exp(&prng, 25000.0);
	check_against_sorted(v, n);
	for (size_t i = 0; i < n; i++)
		v[i] = kx_prng_next(&prng) >> (22 + kx_prng_below(&prng, 42));
	check_against_sorted(v, n);
	free(v);
}

/* An exact rank: of 1..1000 (each once, all in exact buckets) p50 is 500 and p90 is 900. */
static void ranks_are_exact(void **state)
{
	(void)state;
	struct kx_hist *h = kx_hist_new();
	uint64_t got;

	for (uint64_t i = 1; i <= 1000; i++)
		kx_hist_add(h, i);
	assert_int_equal(kx_hist_quantile(h, 0.5, &got), 0);
	assert_int_equal(got, 500);
	assert_int_equal(kx_hist_quantile(h, 0.9, &got), 0);
	assert_int_equal(got, 900);
	/* 0.07 * 200 is 14.000000000000002 in doubles; the rank is 14 all the same. */
	kx_hist_reset(h);
	for (uint64_t i = 1; i <= 200; i++)
		kx_hist_add(h, i);
	assert_int_equal(kx_hist_quantile(h, 0.07, &got), 0);
	assert_int_equal(got, 14);
	kx_hist_free(h);
}

/* A bucket is wider than its samples: the answer is not above the largest of them. */
static void quantiles_stay_below_the_maximum(void **state)
{
	(void)state;
	struct kx_hist *h = kx_hist_new();
	uint64_t got;

	kx_hist_add_n(h, 5000000, 1000);
	assert_true(kx_hist_bucket_max(kx_hist_index(5000000)) > 5000000);
	assert_int_equal(kx_hist_quantile(h, 0.5, &got), 0);
	assert_int_equal(got, 5000000);
	kx_hist_free(h);
}

static void refuses_too_few_samples(void **state)
{
	(void)state;
	static const struct {
		double q;
		uint64_t needs;
	} cases[] = {{0.5, 200}, {0.9, 1000}, {0.99, 10000}, {0.999, 100000}, {0.9999, 1000000}};
	struct kx_hist *h = kx_hist_new();
	uint64_t got;

	assert_int_equal(kx_hist_quantile(h, 0.5, &got), -ENODATA);
	assert_true(kx_hist_mean(h) == 0.0);
	for (size_t i = 0; i < KX_DIM(cases); i++) {
		kx_hist_add_n(h, 7, cases[i].needs - 1 - h->count);
		assert_int_equal(kx_hist_quantile(h, cases[i].q, &got), -ENODATA);
		kx_hist_add(h, 7);
		assert_int_equal(kx_hist_quantile(h, cases[i].q, &got), 0);
		assert_int_equal(got, 7);
	}
	assert_int_equal(kx_hist_quantile(h, 0.0, &got), -EINVAL);
	assert_int_equal(kx_hist_quantile(h, 1.0, &got), -EINVAL);
	assert_int_equal(kx_hist_quantile(h, -1.0, &got), -EINVAL);
	assert_int_equal(kx_hist_quantile(h, NAN, &got), -EINVAL);
	kx_hist_free(h);
}

static void lost_samples_are_infinite(void **state)
{
	(void)state;
	struct kx_hist *h = kx_hist_new();
	uint64_t got = 0;

	kx_hist_add_n(h, 1000, 99000);
	kx_hist_add_lost(h, 1000);
	assert_int_equal(kx_hist_quantile(h, 0.99, &got), 0);
	assert_int_equal(got, 1000);
	assert_int_equal(kx_hist_quantile(h, 0.999, &got), -ERANGE);
	kx_hist_add_lost(h, 1);
	assert_int_equal(kx_hist_quantile(h, 0.99, &got), -ERANGE);
	assert_true(kx_hist_mean(h) == 1000.0);
	kx_hist_free(h);
}

static void values_above_the_range_are_counted(void **state)
{
	(void)state;
	struct kx_hist *h = kx_hist_new();
	uint64_t got = 0;

	kx_hist_add_n(h, 5, 500);
	kx_hist_add(h, KX_HIST_MAX_NS);
	assert_int_equal(h->clamped, 0);
	kx_hist_add_n(h, KX_HIST_MAX_NS + 1, 2);
	kx_hist_add_n(h, UINT64_MAX, 497);
	assert_int_equal(h->clamped, 499);
	assert_int_equal(kx_hist_quantile(h, 0.9, &got), 0);
	assert_true(got == UINT64_MAX);
	kx_hist_reset(h);
	assert_true(h->count == 0 && h->clamped == 0 && h->min == UINT64_MAX && h->max == 0);
	kx_hist_free(h);
}

static void merge_is_the_same_as_one_histogram(void **state)
{
	(void)state;
	struct kx_hist *a = kx_hist_new(), *b = kx_hist_new(), *all = kx_hist_new();
	struct kx_prng prng;

	kx_prng_seed(&prng, 3);
	for (int i = 0; i < 5000; i++) {
		uint64_t v = kx_prng_below(&prng, 1000000);

		kx_hist_add(i % 3 ? a : b, v);
		kx_hist_add(all, v);
	}
	kx_hist_add(b, UINT64_MAX);
	kx_hist_add(all, UINT64_MAX);
	kx_hist_add_lost(a, 4);
	kx_hist_add_lost(b, 5);
	kx_hist_add_lost(all, 9);
	kx_hist_merge(a, b);
	assert_memory_equal(a->bucket, all->bucket, sizeof(all->bucket));
	assert_true(a->count == all->count && a->lost == 9 && a->clamped == 1);
	assert_true(a->min == all->min && a->max == all->max);
	assert_true(fabs(a->sum - all->sum) <= 1e-9 * all->sum);

	struct kx_hist *empty = kx_hist_new();
	kx_hist_merge(a, empty);
	assert_true(a->count == all->count && a->min == all->min);
	kx_hist_merge(empty, a);
	assert_true(empty->count == all->count && empty->min == all->min && empty->max == all->max);
	kx_hist_free(empty);
	kx_hist_free(a);
	kx_hist_free(b);
	kx_hist_free(all);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(buckets_cover_the_range_in_order),
		cmocka_unit_test(quantiles_match_sorted_samples),
		cmocka_unit_test(ranks_are_exact),
		cmocka_unit_test(quantiles_stay_below_the_maximum),
		cmocka_unit_test(refuses_too_few_samples),
		cmocka_unit_test(lost_samples_are_infinite),
		cmocka_unit_test(values_above_the_range_are_counted),
		cmocka_unit_test(merge_is_the_same_as_one_histogram),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
