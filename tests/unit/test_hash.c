/* SPDX-License-Identifier: BSD-3-Clause */
#include "kx_test.h"

#include "kx_base.h"

/* The finalizer's published behaviour, and FNV-1a 64 vectors of its authors passed through it. */
static void known_values(void **state)
{
	(void)state;
	assert_int_equal(kx_mix64(0), 0);
	assert_true(kx_mix64(1) == UINT64_C(0xb456bcfc34c2cb2c));
	assert_true(kx_hash_bytes("", 0) == kx_mix64(UINT64_C(0xcbf29ce484222325)));
	assert_true(kx_hash_bytes("a", 1) == kx_mix64(UINT64_C(0xaf63dc4c8601ec8c)));
	assert_true(kx_hash_bytes("foobar", 6) == kx_mix64(UINT64_C(0x85944171f73967e8)));
}

static void a_zero_byte_counts(void **state)
{
	(void)state;
	assert_true(kx_hash_bytes("\0", 1) != kx_hash_bytes("", 0));
	assert_true(kx_hash_bytes("\0\0", 2) != kx_hash_bytes("\0", 1));
}

/* These eight bytes have an FNV-1a 64 of 0, which the map could not hold. */
static void never_zero(void **state)
{
	(void)state;
	assert_true(kx_hash_bytes("\xd5\x6b\xb9\x53\x42\x87\x08\x36", 8) == 1);
}

/* One input bit changes about half of the output bits. */
static void mix_avalanches(void **state)
{
	(void)state;
	for (int in = 0; in < 64; in++) {
		unsigned int changed = 0;

		for (uint64_t x = 1; x <= 256; x++)
			changed += (unsigned int)__builtin_popcountll(
				kx_mix64(x * 977) ^ kx_mix64((x * 977) ^ (UINT64_C(1) << in)));
		assert_in_range(changed, 256 * 28, 256 * 36);
	}
}

static void short_keys_spread_over_partitions(void **state)
{
	(void)state;
	unsigned int hits[16] = {0};

	for (unsigned int i = 0; i < 16000; i++) {
		char key[16];
		int n = snprintf(key, sizeof(key), "user-%u", i);

		hits[kx_hash_bytes(key, (size_t)n) % 16]++;
	}
	for (unsigned int i = 0; i < 16; i++)
		assert_in_range(hits[i], 850, 1150);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_values),
		cmocka_unit_test(a_zero_byte_counts),
		cmocka_unit_test(never_zero),
		cmocka_unit_test(mix_avalanches),
		cmocka_unit_test(short_keys_spread_over_partitions),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
