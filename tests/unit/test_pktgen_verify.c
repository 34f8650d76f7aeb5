/* SPDX-License-Identifier: BSD-3-Clause */
/* What the generator counts as lost, duplicated, reordered and corrupt. */
#include "kx_test.h"

#include <stdlib.h>
#include <string.h>

#include "verify.h"

static void ids_keep_their_parts(void **state)
{
	uint64_t id = pg_id(0xabc, 4095, PG_SEQ_MASK);

	(void)state;
	assert_int_equal(pg_id_run(id), 0xabc);
	assert_int_equal(pg_id_producer(id), 4095);
	assert_true(pg_id_seq(id) == PG_SEQ_MASK);
}

static void every_changed_byte_is_seen(void **state)
{
	(void)state;
	for (uint32_t bytes = PG_PAYLOAD_MIN; bytes <= 70; bytes++) {
		uint8_t *p = malloc(bytes); /* exact size: ASan sees a read behind it */

		assert_non_null(p);
		pg_payload_fill(p, bytes, pg_id(5, 3, 77), 123456789);
		assert_true(pg_payload_check(p, bytes));
		for (uint32_t i = PG_PAYLOAD_MIN; i < bytes; i++) {
			p[i] ^= 0x10;
			assert_false(pg_payload_check(p, bytes));
			p[i] ^= 0x10;
		}
		p[0] ^= 1; /* the pattern belongs to its id */
		assert_int_equal(pg_payload_check(p, bytes), bytes == PG_PAYLOAD_MIN);
		free(p);
	}
}

static void expect(const struct pg_track *t, uint64_t received, uint64_t duplicated, uint64_t reordered)
{
	assert_int_equal(t->received, received);
	assert_int_equal(t->duplicated, duplicated);
	assert_int_equal(t->reordered, reordered);
}

static void runs_in_order_are_counted_once(void **state)
{
	struct pg_track t;
	uint64_t seq = 0;

	(void)state;
	pg_track_init(&t, 0);
	for (uint32_t i = 0; i < 100000; i++) {
		uint32_t n = 1 + i % 64;

		pg_track_run(&t, seq, n);
		seq += n;
		expect(&t, seq, 0, 0);
	}
	assert_int_equal(pg_track_lost(&t, seq), 0);
	assert_int_equal(pg_track_lost(&t, seq + 5), 5);
	pg_track_run(&t, seq, 1000); /* longer than a word of the window */
	expect(&t, seq + 1000, 0, 0);
}

static void a_hole_is_lost_until_it_is_filled(void **state)
{
	struct pg_track t;

	(void)state;
	pg_track_init(&t, 0);
	pg_track_run(&t, 0, 10);
	pg_track_run(&t, 27, 17);
	assert_int_equal(pg_track_lost(&t, 44), 17);
	pg_track_run(&t, 10, 17);
	expect(&t, 44, 0, 17);
	assert_int_equal(pg_track_lost(&t, 44), 0);
	pg_track_run(&t, 10, 17);
	expect(&t, 44, 17, 17);
	pg_track_run(&t, 43, 1);
	expect(&t, 44, 18, 17);
}

static void old_window_contents_are_forgotten(void **state)
{
	struct pg_track t;

	(void)state;
	pg_track_init(&t, 0);
	pg_track_run(&t, 0, 64);
	/* A jump over more than the window: its words must not carry what was seen 4096 numbers ago. */
	pg_track_run(&t, 3 * PG_TRACK_WINDOW, 1);
	expect(&t, 65, 0, 0);
	pg_track_run(&t, 3 * PG_TRACK_WINDOW - 100, 50);
	expect(&t, 115, 0, 50);
	pg_track_run(&t, 3 * PG_TRACK_WINDOW - 100, 50);
	expect(&t, 115, 50, 50);
	/* Too old to tell: counted as a duplicate, never as new. */
	pg_track_run(&t, 100, 1);
	expect(&t, 115, 51, 50);
}

static void a_late_joiner_misses_nothing_from_before(void **state)
{
	struct pg_track t;

	(void)state;
	pg_track_init(&t, 1000003);
	pg_track_run(&t, 1000003, 17);
	pg_track_run(&t, 999990, 1);
	expect(&t, 17, 0, 0);
	assert_int_equal(pg_track_lost(&t, t.next), 0);
}

/* Against a plain list: random loss, duplication and reordering inside the window. */
static void random_streams_match_a_plain_count(void **state)
{
	enum { N = 20000 };
	static uint8_t seen[N];
	struct kx_prng prng;

	(void)state;
	for (uint64_t seed = 1; seed <= 20; seed++) {
		uint64_t received = 0, duplicated = 0, reordered = 0, highest = 0;
		struct pg_track t;

		memset(seen, 0, sizeof(seen));
		kx_prng_seed(&prng, seed);
		pg_track_init(&t, 0);
		for (uint32_t i = 0; i < N - 64; i++) {
			uint64_t back = kx_prng_below(&prng, 4) == 0 ? kx_prng_below(&prng, 300) : 0;
			uint64_t seq = i - KX_MIN((uint64_t)i, back);
			uint32_t n =
				kx_prng_below(&prng, 3) == 0 ? (uint32_t)kx_prng_below(&prng, 60) + 1 : 1;

			pg_track_run(&t, seq, n);
			for (uint32_t k = 0; k < n; k++) {
				uint64_t s = seq + k;

				duplicated += seen[s];
				reordered += !seen[s] && s < highest;
				received += !seen[s];
				seen[s] = 1;
				highest = KX_MAX(highest, s);
			}
		}
		expect(&t, received, duplicated, reordered);
		assert_int_equal(pg_track_lost(&t, highest + 1), highest + 1 - received);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ids_keep_their_parts),
		cmocka_unit_test(every_changed_byte_is_seen),
		cmocka_unit_test(runs_in_order_are_counted_once),
		cmocka_unit_test(a_hole_is_lost_until_it_is_filled),
		cmocka_unit_test(old_window_contents_are_forgotten),
		cmocka_unit_test(a_late_joiner_misses_nothing_from_before),
		cmocka_unit_test(random_streams_match_a_plain_count),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
