/* SPDX-License-Identifier: BSD-3-Clause */
#include "kx_test.h"

#include <errno.h>

#include "kx_base.h"

static void put_get_del(void **state)
{
	(void)state;
	struct kx_map map;
	uint32_t v = 0;

	assert_int_equal(kx_map_init(&map, 10), 0);
	assert_false(kx_map_get(&map, 1, &v));
	assert_int_equal(kx_map_put(&map, 1, 11), 0);
	assert_int_equal(kx_map_put(&map, UINT64_MAX, 22), 0);
	assert_true(kx_map_get(&map, 1, &v));
	assert_int_equal(v, 11);
	assert_true(kx_map_get(&map, UINT64_MAX, &v));
	assert_int_equal(v, 22);
	assert_int_equal(kx_map_put(&map, 1, 33), 0);
	assert_int_equal(map.count, 2);
	assert_true(kx_map_get(&map, 1, &v));
	assert_int_equal(v, 33);
	assert_true(kx_map_del(&map, 1));
	assert_false(kx_map_del(&map, 1));
	assert_false(kx_map_get(&map, 1, &v));
	assert_int_equal(map.count, 1);
	kx_map_fini(&map);
	kx_map_fini(&map);
}

static void bad_arguments(void **state)
{
	(void)state;
	struct kx_map map;
	uint32_t v;

	assert_int_equal(kx_map_init(&map, 0), -EINVAL);
	assert_int_equal(kx_map_init(&map, UINT32_MAX), -EINVAL);
	kx_map_fini(&map);
	assert_int_equal(kx_map_init(&map, 4), 0);
	assert_int_equal(kx_map_put(&map, 0, 1), -EINVAL);
	assert_false(kx_map_get(&map, 0, &v));
	assert_false(kx_map_del(&map, 0));
	kx_map_fini(&map);
}

/* Takes what was asked for, stops at the limit, still replaces there and still finds missing keys missing. */
static void full_map(void **state)
{
	(void)state;
	for (uint32_t entries = 1; entries < 300; entries++) {
		struct kx_map map;
		uint32_t put = 0, v;

		assert_int_equal(kx_map_init(&map, entries), 0);
		while (kx_map_put(&map, 1000 + put, put) == 0)
			put++;
		assert_true(put >= entries);
		assert_int_equal(put, map.limit);
		assert_int_equal(kx_map_put(&map, 999, 0), -ENOSPC);
		assert_int_equal(kx_map_put(&map, 1000, 77), 0);
		assert_false(kx_map_get(&map, 999, &v));
		assert_true(kx_map_get(&map, 1000, &v));
		assert_int_equal(v, 77);
		assert_true(kx_map_del(&map, 1000));
		assert_int_equal(kx_map_put(&map, 999, 0), 0);
		kx_map_fini(&map);
	}
}

/* 200,000 random operations against an array of the same content; the map stays nearly full, so that clusters
 * are long and wrap around. */
static void random_operations_match_an_array(void **state)
{
	(void)state;
	enum { KEYS = 1100, LIMIT = 896 };
	static uint32_t model[KEYS];
	struct kx_map map;
	struct kx_prng prng;
	uint32_t count = 0;

	kx_prng_seed(&prng, 7);
	assert_int_equal(kx_map_init(&map, LIMIT), 0);
	for (int i = 0; i < 200000; i++) {
		uint32_t k = (uint32_t)kx_prng_below(&prng, KEYS), v = 0;
		uint64_t key = UINT64_C(1) + k * UINT64_C(0x100000000);

		if (kx_prng_below(&prng, 100) < 70) {
			uint32_t value = (uint32_t)i + 1;
			int want = model[k] == 0 && count == LIMIT ? -ENOSPC : 0;

			assert_int_equal(kx_map_put(&map, key, value), want);
			if (want == 0) {
				count += model[k] == 0;
				model[k] = value;
			}
		} else {
			assert_int_equal(kx_map_del(&map, key), model[k] != 0);
			count -= model[k] != 0;
			model[k] = 0;
		}
		assert_int_equal(map.count, count);
		k = (uint32_t)kx_prng_below(&prng, KEYS);
		bool found = kx_map_get(&map, UINT64_C(1) + k * UINT64_C(0x100000000), &v);
		assert_int_equal(found, model[k] != 0);
		assert_int_equal(found ? v : 0, model[k]);
	}
	kx_map_fini(&map);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(put_get_del),
		cmocka_unit_test(bad_arguments),
		cmocka_unit_test(full_map),
		cmocka_unit_test(random_operations_match_an_array),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
