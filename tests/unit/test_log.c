/* SPDX-License-Identifier: BSD-3-Clause */
/* Partition log: append, roll, trim, seek, read, large batches, pins; and a random walk against a plain
 * model. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "kx_log.h"

#define EXTENT 65536u

struct fixture {
	uint8_t *region;
	struct kx_extent_pool pool;
	struct kx_log log;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_int_equal(posix_memalign((void **)&f->region, EXTENT, 16 * EXTENT), 0);
	assert_int_equal(kx_extent_pool_init(&f->pool, f->region, 16 * EXTENT, EXTENT), 0);
	assert_int_equal(kx_log_init(&f->log, &f->pool, 4 * EXTENT, 7), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	kx_log_fini(&f->log);
	assert_int_equal(f->pool.free, f->pool.total);
	kx_extent_pool_fini(&f->pool);
	free(f->region);
	free(f);
	return 0;
}

static struct kx_batch_hdr *make_batch(
	uint8_t *buf, uint32_t size, uint64_t seq, uint32_t records, uint32_t value_bytes)
{
	struct kx_batch_writer w;

	kx_batch_begin(&w, buf, size, 3, 11, 1, seq, 0);
	for (uint32_t i = 0; i < records; i++) {
		uint8_t *value = kx_batch_claim(&w, value_bytes);

		assert_non_null(value);
		memset(value, (int)(seq + i), value_bytes);
	}
	kx_batch_end(&w);
	return (struct kx_batch_hdr *)buf;
}

static void test_append_stamps_and_reads_back(void **state)
{
	struct fixture *f = *state;
	uint64_t buf[256];
	struct kx_log_cursor c;
	struct kx_log_slice s;

	for (uint64_t i = 0; i < 10; i++) {
		struct kx_batch_hdr *b = make_batch((uint8_t *)buf, sizeof(buf), i * 3, 3, 40);
		struct kx_batch_hdr *copy = kx_log_append(&f->log, b, 1000 + i, NULL);

		assert_non_null(copy);
		assert_int_equal(copy->base_offset, i * 3);
		assert_int_equal(copy->log_epoch, 7);
		assert_int_equal(copy->append_time_ns, 1000 + i);
		assert_int_equal(copy->header_crc, kx_batch_header_crc(copy));
		assert_int_equal(kx_batch_check((uint8_t *)copy, copy->batch_bytes, true), KX_DROP_NONE);
	}
	assert_int_equal(f->log.next_offset, 30);
	assert_int_equal(kx_log_seek(&f->log, 0, &c), 0);
	assert_int_equal(kx_log_read(&f->log, &c, 1 << 20, &s), 0);
	assert_int_equal(s.batches, 10);
	assert_int_equal(s.records, 30);
	assert_int_equal(s.next_offset, 30);
	kx_log_advance(&f->log, &c, &s);
	assert_int_equal(c.offset, 30);
	assert_int_equal(kx_log_read(&f->log, &c, 1 << 20, &s), 0);
	assert_int_equal(s.bytes, 0);
}

static void test_seek_inside_a_batch_gives_its_start(void **state)
{
	struct fixture *f = *state;
	uint64_t buf[256];
	struct kx_log_cursor c;

	for (uint64_t i = 0; i < 200; i++)
		assert_non_null(kx_log_append(
			&f->log, make_batch((uint8_t *)buf, sizeof(buf), i * 5, 5, 64), 1, NULL));
	for (uint64_t o = 0; o < 1000; o++) {
		assert_int_equal(kx_log_seek(&f->log, o, &c), 0);
		assert_int_equal(c.offset, o - o % 5);
	}
	assert_int_equal(kx_log_seek(&f->log, 1000, &c), 0);
	assert_int_equal(kx_log_seek(&f->log, 1001, &c), -ENODATA);
	assert_int_equal(c.offset, 1000);
}

static void test_full_log_refuses_until_trimmed(void **state)
{
	struct fixture *f = *state;
	uint64_t buf[256];
	struct kx_log_cursor c, old;
	struct kx_log_slice s;
	uint64_t n = 0, first;

	assert_int_equal(kx_log_seek(&f->log, 0, &old), 0);
	while (kx_log_append(&f->log, make_batch((uint8_t *)buf, sizeof(buf), n, 1, 1000), 1, NULL) != NULL)
		n++;
	assert_true(n >= 4 * (EXTENT / 1080) && n <= 4 * (EXTENT / 1080 + 1));
	assert_true(kx_log_room_bytes(&f->log, 1500) < EXTENT);
	assert_true(kx_log_trim(&f->log));
	first = f->log.first_offset;
	assert_true(first > 0);
	assert_non_null(kx_log_append(&f->log, make_batch((uint8_t *)buf, sizeof(buf), n, 1, 1000), 1, NULL));
	assert_int_equal(kx_log_read(&f->log, &old, 4096, &s), -ERANGE);
	assert_int_equal(kx_log_seek(&f->log, 0, &c), -ERANGE);
	assert_int_equal(c.offset, first);
	assert_int_equal(kx_log_read(&f->log, &c, 4096, &s), 0);
	assert_int_equal(((const struct kx_batch_hdr *)s.data)->base_offset, first);
}

static void test_trim_below_keeps_what_is_not_wholly_below(void **state)
{
	struct fixture *f = *state;
	uint64_t buf[256], first;

	for (uint64_t n = 0; n < 150; n++)
		assert_non_null(
			kx_log_append(&f->log, make_batch((uint8_t *)buf, sizeof(buf), n, 1, 1000), 1, NULL));
	assert_int_equal(kx_log_trim_below(&f->log, 1, 8), 0);
	assert_int_equal(kx_log_trim_below(&f->log, 149, 8), 2);
	first = f->log.first_offset;
	assert_true(first <= 149 && first > 100);
	assert_int_equal(kx_log_trim_below(&f->log, 150, 8), 0); /* the active extent stays */
}

static uint32_t make_large(struct fixture *f, uint32_t value_bytes, uint64_t seq)
{
	uint32_t bytes = (uint32_t)kx_align8(80 + value_bytes), first = KX_EXTENT_NONE, last = KX_EXTENT_NONE;
	uint8_t *buf = malloc(bytes);
	struct kx_batch_hdr *b = make_batch(buf, bytes, seq, 1, value_bytes);

	for (uint32_t at = 0; at < b->batch_bytes; at += EXTENT) {
		uint32_t e = kx_extent_get(&f->pool);

		assert_int_not_equal(e, KX_EXTENT_NONE);
		memcpy(kx_extent_data(&f->pool, e), buf + at, KX_MIN(EXTENT, b->batch_bytes - at));
		if (first == KX_EXTENT_NONE)
			first = e;
		else
			f->pool.extents[last].next = e;
		last = e;
	}
	free(buf);
	return first;
}

static void test_large_batch_between_small_ones(void **state)
{
	struct fixture *f = *state;
	uint64_t buf[256];
	struct kx_log_cursor c;
	struct kx_log_slice s;
	uint8_t *copy;
	uint32_t value_bytes = 2 * EXTENT - 4000;

	kx_log_append(&f->log, make_batch((uint8_t *)buf, sizeof(buf), 0, 2, 100), 1, NULL);
	assert_int_equal(kx_log_link(&f->log, make_large(f, value_bytes, 2), 5), 0);
	assert_non_null(kx_log_append(&f->log, make_batch((uint8_t *)buf, sizeof(buf), 3, 2, 100), 1, NULL));
	assert_int_equal(f->log.next_offset, 5);

	assert_int_equal(kx_log_seek(&f->log, 0, &c), 0);
	assert_int_equal(kx_log_read(&f->log, &c, 1400, &s), 0);
	assert_int_equal(s.next_offset, 2);
	kx_log_advance(&f->log, &c, &s);
	assert_int_equal(kx_log_read(&f->log, &c, 1400, &s), 0);
	assert_int_equal(s.bytes, 0);
	assert_int_equal(s.large_bytes, 80 + value_bytes);
	copy = malloc(s.large_bytes);
	for (uint32_t at = 0; at < s.large_bytes; at += 1304)
		kx_log_copy_large(&f->log, &c, at, KX_MIN(1304, s.large_bytes - at), copy + at);
	assert_int_equal(kx_batch_check(copy, s.large_bytes, true), KX_DROP_NONE);
	assert_int_equal(((struct kx_batch_hdr *)copy)->base_offset, 2);
	free(copy);
	kx_log_advance(&f->log, &c, &s);
	assert_int_equal(c.offset, 3);
	assert_int_equal(kx_log_read(&f->log, &c, 1400, &s), 0);
	assert_int_equal(s.next_offset, 5);
	for (uint64_t o = 0; o <= 5; o++) {
		static const uint64_t base[] = {0, 0, 2, 3, 3, 5};

		assert_int_equal(kx_log_seek(&f->log, o, &c), 0);
		assert_int_equal(c.offset, base[o]);
	}
	assert_true(kx_log_trim(&f->log)); /* the first small ones */
	assert_int_equal(f->log.first_offset, 2);
	assert_true(kx_log_trim(&f->log)); /* the large one with all its pieces */
	assert_int_equal(f->log.first_offset, 3);
	assert_false(kx_log_trim(&f->log));
}

static void test_large_batch_beyond_the_quota_is_refused(void **state)
{
	struct fixture *f = *state;
	uint32_t first = make_large(f, 5 * EXTENT, 0);

	assert_int_equal(kx_log_link(&f->log, first, 5), -ENOSPC);
	while (first != KX_EXTENT_NONE) {
		uint32_t next = f->pool.extents[first].next;

		kx_extent_put(&f->pool, first);
		first = next;
	}
}

static void test_a_pinned_extent_comes_back_with_its_last_pin(void **state)
{
	struct fixture *f = *state;
	uint64_t buf[256];
	struct kx_pin *a, *b;
	uint32_t before;
	uint64_t n = 0;

	while (kx_log_append(&f->log, make_batch((uint8_t *)buf, sizeof(buf), n++, 1, 1000), 1, NULL) != NULL)
		;
	a = kx_extent_pin(&f->pool, f->log.ring[0]);
	b = kx_extent_pin(&f->pool, f->log.ring[0]);
	before = f->pool.free;
	assert_true(kx_log_trim(&f->log));
	assert_int_equal(f->pool.free, before);
	assert_int_equal(f->pool.retired, 1);
	a->release(a);
	assert_int_equal(f->pool.free, before);
	b->release(b);
	assert_int_equal(f->pool.free, before + 1);
	assert_int_equal(f->pool.pins, 0);
}

/* Random appends, links, trims and reads against a list of (offset, records). */
static void test_random_walk(void **state)
{
	struct fixture *f = *state;
	uint64_t buf[1024];
	struct kx_prng prng;
	struct kx_log_cursor reader;
	uint64_t seq = 0;

	kx_prng_seed(&prng, 42);
	kx_log_seek(&f->log, 0, &reader);
	for (int step = 0; step < 20000; step++) {
		uint64_t dice = kx_prng_below(&prng, 100);

		if (dice < 60) {
			uint32_t records = 1 + (uint32_t)kx_prng_below(&prng, 9);
			uint32_t value = (uint32_t)kx_prng_below(&prng, 700);

			make_batch((uint8_t *)buf, sizeof(buf), seq, records, value);
			if (kx_log_append(&f->log, (struct kx_batch_hdr *)buf, 1, NULL) == NULL)
				assert_true(kx_log_trim(&f->log));
			else
				seq += records;
		} else if (dice < 62) {
			uint32_t first =
				make_large(f, 10000 + (uint32_t)kx_prng_below(&prng, 2 * EXTENT), seq);

			while (kx_log_link(&f->log, first, 1) != 0)
				assert_true(kx_log_trim(&f->log));
			seq++;
		} else if (dice < 65) {
			kx_log_trim(&f->log);
		} else {
			struct kx_log_slice s;
			uint64_t at = reader.offset;

			if (kx_log_read(&f->log, &reader, 8192, &s) == -ERANGE) {
				int rc = kx_log_seek(&f->log, at, &reader);

				assert_true(rc == 0 || rc == -ERANGE);
				assert_true(reader.offset >= f->log.first_offset);
				continue;
			}
			if (s.bytes == 0 && s.large_bytes == 0) {
				assert_int_equal(at, f->log.next_offset);
				continue;
			}
			assert_int_equal(((const struct kx_batch_hdr *)s.data)->base_offset, at);
			assert_int_equal(((const struct kx_batch_hdr *)s.data)->first_seq, at);
			assert_true(s.next_offset > at && s.next_offset <= f->log.next_offset);
			kx_log_advance(&f->log, &reader, &s);
			assert_int_equal(reader.offset, s.next_offset);
		}
		assert_int_equal(f->log.next_offset, seq);
		assert_true(f->log.head_seq - f->log.tail_seq <= f->log.max_extents);
	}
}

int main(void)
{
#define T(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_append_stamps_and_reads_back),
		T(test_seek_inside_a_batch_gives_its_start),
		T(test_full_log_refuses_until_trimmed),
		T(test_trim_below_keeps_what_is_not_wholly_below),
		T(test_large_batch_between_small_ones),
		T(test_large_batch_beyond_the_quota_is_refused),
		T(test_a_pinned_extent_comes_back_with_its_last_pin),
		T(test_random_walk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
