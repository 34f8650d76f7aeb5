/* SPDX-License-Identifier: BSD-3-Clause */
#include "kx_test.h"

#include <math.h>

#include "kx_base.h"

/* State 1,2,3,4 and seed 0: the outputs that the algorithms' authors' code gives. */
static void reference_outputs(void **state)
{
	(void)state;
	struct kx_prng prng = {.s = {1, 2, 3, 4}};

	assert_true(kx_prng_next(&prng) == UINT64_C(11520));
	assert_true(kx_prng_next(&prng) == UINT64_C(0));
	assert_true(kx_prng_next(&prng) == UINT64_C(1509978240));
	assert_true(kx_prng_next(&prng) == UINT64_C(1215971899390074240));

	kx_prng_seed(&prng, 0);
	assert_true(prng.s[0] == UINT64_C(0xe220a8397b1dcdaf));
	assert_true(prng.s[1] == UINT64_C(0x6e789e6aa1b965f4));
	assert_true(prng.s[2] == UINT64_C(0x06c45d188009454f));
	assert_true(prng.s[3] == UINT64_C(0xf88bb8a8724c81ec));
}

static void seeds_repeat_and_differ(void **state)
{
	(void)state;
	struct kx_prng a, b, c;

	kx_prng_seed(&a, 9);
	kx_prng_seed(&b, 9);
	kx_prng_seed(&c, 10);
	int same = 0;
	for (int i = 0; i < 1000; i++) {
		uint64_t x = kx_prng_next(&a);

		assert_true(x == kx_prng_next(&b));
		same += x == kx_prng_next(&c);
	}
	assert_int_equal(same, 0);
}

static void below_is_uniform(void **state)
{
	(void)state;
	struct kx_prng prng;
	unsigned int hits[7] = {0};

	kx_prng_seed(&prng, 1);
	for (int i = 0; i < 70000; i++)
		hits[kx_prng_below(&prng, 7)]++;
	for (int i = 0; i < 7; i++)
		assert_in_range(hits[i], 9600, 10400);
	for (int i = 0; i < 100; i++)
		assert_int_equal(kx_prng_below(&prng, 1), 0);
	/* A bound of 3 * 2^62: a plain remainder or product would hit the lowest third twice as often. */
	unsigned int low = 0;
	for (int i = 0; i < 30000; i++) {
		uint64_t x = kx_prng_below(&prng, UINT64_C(3) << 62);

		assert_true(x < UINT64_C(3) << 62);
		low += x % 3 == 0;
	}
	assert_in_range(low, 9600, 10400);
}

static void unit_and_exponential(void **state)
{
	(void)state;
	struct kx_prng prng;
	double sum = 0, exp_sum = 0, exp_square = 0;
	const int n = 200000;

	kx_prng_seed(&prng, 5);
	for (int i = 0; i < n; i++) {
		double u = kx_prng_unit(&prng), e = kx_prng_exp(&prng, 250.0);

		assert_true(u >= 0.0 && u < 1.0);
		assert_true(e >= 0.0 && isfinite(e));
		sum += u;
		exp_sum += e;
		exp_square += e * e;
	}
	double mean = exp_sum / n;
	assert_true(fabs(sum / n - 0.5) < 0.005);
	assert_true(fabs(mean - 250.0) < 5.0);
	/* The standard deviation of an exponential equals its mean. */
	assert_true(fabs(sqrt(exp_square / n - mean * mean) - 250.0) < 10.0);
}

static void random_bytes_fill_all(void **state)
{
	(void)state;
	uint8_t a[4096], seen[4096] = {0};

	for (int round = 0; round < 8; round++) {
		assert_int_equal(kx_random_bytes(a, sizeof(a)), 0);
		for (size_t i = 0; i < sizeof(a); i++)
			seen[i] |= a[i];
	}
	/* A byte that stays 0 in 8 rounds has probability 2^-64. */
	for (size_t i = 0; i < sizeof(a); i++)
		assert_true(seen[i] != 0);
	uint8_t b[4] = {1, 2, 3, 4};
	assert_int_equal(kx_random_bytes(b, 0), 0);
	assert_memory_equal(b, ((uint8_t[]){1, 2, 3, 4}), 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reference_outputs),
		cmocka_unit_test(seeds_repeat_and_differ),
		cmocka_unit_test(below_is_uniform),
		cmocka_unit_test(unit_and_exponential),
		cmocka_unit_test(random_bytes_fill_all),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
