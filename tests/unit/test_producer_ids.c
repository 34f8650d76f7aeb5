/* SPDX-License-Identifier: BSD-3-Clause */
/* The table of producer ids that all data lcores share, and the fence: alone, and under threads. */
#include "kx_test.h"

#include <errno.h>
#include <pthread.h>

#include "kx_topic.h"

#define IDS 64

static struct kx_producer_ids *table(void)
{
	struct kx_producer_ids *ids;

	assert_int_equal(kx_producer_ids_create(IDS, 1, 77, &ids), 0);
	return ids;
}

static void test_sizes(void **state)
{
	struct kx_producer_ids *ids;

	(void)state;
	assert_int_equal(sizeof(struct kx_producer_id), 64);
	assert_int_equal(sizeof(struct kx_fence), 64 + 64 * KX_LCORES_MAX);
	assert_int_equal(kx_producer_ids_create(0, 1, 1, &ids), -EINVAL);
	assert_int_equal(kx_producer_ids_create(100, 1, 1, &ids), -EINVAL);
	assert_int_equal(kx_producer_ids_create(1u << 25, 1, 1, &ids), -EINVAL);
	kx_producer_ids_destroy(NULL);
}

static void test_take_over(void **state)
{
	struct kx_producer_ids *ids = table();
	struct kx_producer_ref a, b, c;

	(void)state;
	assert_int_equal(kx_producer_ids_new(ids, 3, 10, &a), 0);
	assert_int_equal(a.epoch, 1);
	assert_int_equal(kx_producer_id_epoch(a.entry), 1);
	assert_int_equal(kx_producer_ids_join(ids, a.id, 1, &b), 0);
	assert_ptr_equal(b.entry, a.entry);
	/* another principal's, unknown ones, place 0 of an id that is none */
	assert_int_equal(kx_producer_ids_take_over(ids, a.id, 4, 20, &c), -EACCES);
	assert_int_equal(kx_producer_ids_take_over(ids, a.id + IDS, 3, 20, &c), -ENOENT);
	assert_int_equal(kx_producer_ids_take_over(ids, a.id + 1, 3, 20, &c), -ENOENT);
	assert_int_equal(kx_producer_ids_take_over(ids, 0, 0, 20, &c), -ENOENT);
	assert_int_equal(kx_producer_id_epoch(a.entry), 1);
	assert_int_equal(kx_producer_ids_take_over(ids, a.id, 3, 20, &c), 0);
	assert_int_equal(c.id, a.id);
	assert_int_equal(c.epoch, 2);
	assert_int_equal(kx_producer_id_epoch(a.entry), 2);
	/* the same AUTH once more, and an older one */
	assert_int_equal(kx_producer_ids_take_over(ids, a.id, 3, 20, &b), -EALREADY);
	assert_int_equal(kx_producer_ids_take_over(ids, a.id, 3, 19, &b), -EALREADY);
	assert_int_equal(kx_producer_ids_take_over(ids, a.id, 3, 21, &b), 0);
	assert_int_equal(b.epoch, 3);
	assert_int_equal(kx_producer_ids_join(ids, a.id, 2, &c), -ESTALE);
	assert_int_equal(kx_producer_ids_join(ids, a.id, 3, &c), 0);
	kx_producer_ids_destroy(ids);
}

static void test_forgotten_is_of_an_epoch(void **state)
{
	struct kx_producer_ids *ids = table();
	struct kx_producer_ref a, b;

	(void)state;
	assert_int_equal(kx_producer_ids_new(ids, 0, 10, &a), 0);
	assert_false(kx_producer_id_forgotten(a.entry, 1));
	kx_producer_ids_forgot(ids, a.id, 1);
	assert_true(kx_producer_id_forgotten(a.entry, 1));
	assert_int_equal(kx_producer_ids_take_over(ids, a.id, 0, 20, &b), 0);
	assert_false(kx_producer_id_forgotten(a.entry, 2));
	kx_producer_ids_forgot(ids, a.id, 2);
	kx_producer_ids_forgot(ids, a.id, 1); /* what is older is no news */
	assert_true(kx_producer_id_forgotten(a.entry, 2));
	kx_producer_ids_destroy(ids);
}

/* Full: those with a session stay, the longest idle goes, its id never comes back. */
static void test_full(void **state)
{
	struct kx_producer_ids *ids = table();
	struct kx_producer_ref all[IDS], more, r;
	struct kx_producer_ids_usage u;

	(void)state;
	for (uint32_t i = 0; i < IDS; i++)
		assert_int_equal(kx_producer_ids_new(ids, 0, i + 1, &all[i]), 0);
	assert_int_equal(kx_producer_ids_new(ids, 0, 100, &more), -ENOSPC);
	kx_producer_ids_usage(ids, &u);
	assert_int_equal(u.live, IDS);
	assert_int_equal(u.used, IDS);
	assert_int_equal(u.total, IDS);
	assert_int_equal(u.refused, 1);
	/* two idle ones: the one that is idle longer goes when both are looked at */
	kx_producer_ids_release(ids, all[10].entry, 300);
	kx_producer_ids_release(ids, all[11].entry, 200);
	assert_int_equal(kx_producer_ids_new(ids, 0, 400, &more), 0);
	assert_int_equal(kx_producer_ids_take_over(ids, all[11].id, 0, 500, &r), -ENOENT);
	assert_int_equal(kx_producer_ids_join(ids, all[11].id, 1, &r), -ENOENT);
	assert_int_equal(more.id, all[11].id + IDS);
	assert_true(more.epoch >
		all[11].epoch); /* so that a frame of the old one is refused by its epoch alone */
	kx_producer_ids_forgot(ids, all[11].id, 1); /* too late to be about the new one */
	assert_false(kx_producer_id_forgotten(more.entry, more.epoch));
	assert_int_equal(kx_producer_ids_take_over(ids, all[10].id, 0, 500, &r), 0);
	for (uint32_t i = 0; i < 2 * IDS; i++)
		assert_int_equal(kx_producer_ids_new(ids, 0, 600, &more), -ENOSPC);
	kx_producer_ids_destroy(ids);
}

/* ---- several principals */

#define PATIENT	 1
#define GREEDY	 2
#define LATE	 3
#define KEPT_NS	 KX_PRODUCER_ID_KEPT_NS
#define START_NS (1000 * KX_NS_PER_S)

static struct kx_producer_ids *shared_table(void)
{
	struct kx_producer_ids *ids;

	assert_int_equal(kx_producer_ids_create(IDS, 4, 77, &ids), 0);
	return ids;
}

/* Takes ids and ends their sessions at once; @return how many it got. */
static uint32_t take_and_leave(struct kx_producer_ids *ids, uint32_t principal, uint32_t n, uint64_t now_ns)
{
	struct kx_producer_ref r;
	uint32_t got = 0;

	for (uint32_t i = 0; i < n; i++) {
		if (kx_producer_ids_new(ids, principal, now_ns + i, &r) != 0)
			continue;
		kx_producer_ids_release(ids, r.entry, now_ns + i);
		got++;
	}
	return got;
}

/* One that takes ids without end: its own are given up, nobody else's, whether they have sessions or not, and
 * whoever comes later finds a place. */
static void test_one_that_takes_without_end(void **state)
{
	struct kx_producer_ids *ids = shared_table();
	struct kx_producer_ref mine[8], r;
	struct kx_producer_ids_usage u;

	(void)state;
	for (int i = 0; i < 8; i++)
		assert_int_equal(kx_producer_ids_new(ids, PATIENT, START_NS, &mine[i]), 0);
	for (int i = 0; i < 4; i++) /* half of them have left for a moment */
		kx_producer_ids_release(ids, mine[i].entry, START_NS);
	assert_int_equal(take_and_leave(ids, GREEDY, 100 * IDS, START_NS), 100 * IDS);
	for (int i = 0; i < 4; i++)
		assert_int_equal(
			kx_producer_ids_take_over(ids, mine[i].id, PATIENT, START_NS + i + 1, &r), 0);
	for (int i = 4; i < 8; i++)
		assert_int_equal(kx_producer_ids_join(ids, mine[i].id, mine[i].epoch, &r), 0);
	assert_int_equal(kx_producer_ids_held(ids, PATIENT), 8);
	assert_true(kx_producer_ids_held(ids, GREEDY) <= IDS / 2);
	kx_producer_ids_usage(ids, &u);
	assert_int_equal(u.used, 8 + kx_producer_ids_held(ids, GREEDY));
	assert_int_equal(u.live, 8);
	assert_int_equal(u.replaced, 100 * IDS - kx_producer_ids_held(ids, GREEDY));
	assert_int_equal(u.refused, 0);
	for (int i = 0; i < 8; i++)
		assert_int_equal(kx_producer_ids_new(ids, LATE, START_NS, &r), 0);
	assert_int_equal(kx_producer_ids_held(ids, LATE), 8);
	kx_producer_ids_destroy(ids);
}

/* The same with sessions that stay: it is refused, and the others are not. */
static void test_one_that_keeps_all_it_gets(void **state)
{
	struct kx_producer_ids *ids = shared_table();
	struct kx_producer_ref mine, r;
	struct kx_producer_ids_usage u;
	uint32_t got = 0;

	(void)state;
	assert_int_equal(kx_producer_ids_new(ids, PATIENT, START_NS, &mine), 0);
	kx_producer_ids_release(ids, mine.entry, START_NS);
	for (uint32_t i = 0; i < 2 * IDS; i++)
		got += kx_producer_ids_new(ids, GREEDY, START_NS + KEPT_NS - 1, &r) == 0;
	assert_int_equal(got, kx_producer_ids_held(ids, GREEDY));
	assert_true(got >= IDS / 2 - 1 && got <= IDS / 2);
	kx_producer_ids_usage(ids, &u);
	assert_int_equal(u.refused, 2 * IDS - got);
	assert_int_equal(kx_producer_ids_take_over(ids, mine.id, PATIENT, START_NS + 1, &r), 0);
	kx_producer_ids_release(ids, r.entry, START_NS);
	assert_int_equal(kx_producer_ids_new(ids, PATIENT, START_NS, &r), 0);
	/* nobody came for it in all that time: now it may go, and only it */
	assert_int_equal(kx_producer_ids_new(ids, GREEDY, START_NS + KEPT_NS, &r), 0);
	assert_int_equal(r.id, mine.id + IDS);
	assert_int_equal(kx_producer_ids_take_over(ids, mine.id, PATIENT, START_NS + 2, &r), -ENOENT);
	assert_int_equal(kx_producer_ids_new(ids, GREEDY, START_NS + KEPT_NS, &r), -ENOSPC);
	kx_producer_ids_destroy(ids);
}

/* Its own idle one goes before another's that is idle far longer. */
static void test_own_before_others(void **state)
{
	struct kx_producer_ids *ids;
	struct kx_producer_ref old, mine = {0}, r;

	(void)state;
	assert_int_equal(kx_producer_ids_create(32, 4, 77, &ids), 0); /* all are looked at */
	assert_int_equal(kx_producer_ids_new(ids, PATIENT, START_NS, &old), 0);
	kx_producer_ids_release(ids, old.entry, START_NS);
	while (kx_producer_ids_new(ids, GREEDY, START_NS, &r) == 0)
		mine = r;
	kx_producer_ids_release(ids, mine.entry, START_NS + 2 * KEPT_NS);
	for (uint64_t i = 1; i <= 40; i++) { /* wherever it begins to look */
		assert_int_equal(kx_producer_ids_new(ids, GREEDY, START_NS + 2 * KEPT_NS, &r), 0);
		assert_int_equal(r.id, mine.id + 32 * i);
		kx_producer_ids_release(ids, r.entry, START_NS + 2 * KEPT_NS);
	}
	assert_int_equal(kx_producer_ids_take_over(ids, old.id, PATIENT, START_NS + 1, &r), 0);
	kx_producer_ids_destroy(ids);
}

static void test_fence(void **state)
{
	struct kx_fence *f;
	uint64_t seen[4] = {0}, g;
	uint32_t at = 0;

	(void)state;
	assert_int_equal(kx_fence_create(&f), 0);
	g = kx_fence_raise(f); /* nobody is there */
	assert_true(kx_fence_passed(f, g, 0, 4, &at));
	for (uint32_t i = 0; i < 4; i++)
		kx_fence_join(f, i);
	at = 0;
	assert_true(kx_fence_passed(f, g, 0, 4, &at)); /* they joined later */
	g = kx_fence_raise(f);
	at = 0;
	assert_false(kx_fence_passed(f, g, 0, 4, &at));
	assert_int_equal(at, 1);
	kx_fence_publish(f, 1, &seen[1]);
	kx_fence_publish(f, 3, &seen[3]);
	assert_false(kx_fence_passed(f, g, 0, 4, &at));
	assert_int_equal(at, 2);
	kx_fence_leave(f, 2);
	assert_true(kx_fence_passed(f, g, 0, 4, &at));
	kx_fence_destroy(f);
}

/* ---- threads: lcores that check and store, and take-overs that must never be overtaken by an old store */

#define ROUNDS 20000

struct world {
	struct kx_producer_ids *ids;
	struct kx_fence *fence;
	struct kx_producer_id *entry;
	uint64_t accepted; /* newest epoch whose ACCEPT has left */
	uint64_t stored, violations, stop;
};

static void *lcore(void *arg)
{
	struct world *w = arg;
	uint64_t seen = 0;
	uint32_t epoch = 1;

	while (__atomic_load_n(&w->stop, __ATOMIC_RELAXED) == 0) {
		for (int i = 0; i < 8;
			i++) { /* frames of a turn, of a session that never hears of the new epoch */
			if (kx_producer_id_epoch(w->entry) != epoch) {
				epoch = kx_producer_id_epoch(w->entry); /* the next zombie */
				continue;
			}
			/* "stored": no newer epoch may have been accepted before this moment */
			if (__atomic_load_n(&w->accepted, __ATOMIC_ACQUIRE) > epoch)
				__atomic_add_fetch(&w->violations, 1, __ATOMIC_RELAXED);
			__atomic_add_fetch(&w->stored, 1, __ATOMIC_RELAXED);
		}
		kx_fence_publish(w->fence, 1, &seen);
	}
	kx_fence_leave(w->fence, 1);
	return NULL;
}

static void test_fence_under_threads(void **state)
{
	struct world w = {.ids = table()};
	struct kx_producer_ref r;
	pthread_t thread;
	uint64_t id;

	(void)state;
	assert_int_equal(kx_fence_create(&w.fence), 0);
	assert_int_equal(kx_producer_ids_new(w.ids, 0, 1, &r), 0);
	w.entry = r.entry;
	id = r.id;
	kx_fence_join(w.fence, 0);
	kx_fence_join(w.fence, 1);
	assert_int_equal(pthread_create(&thread, NULL, lcore, &w), 0);
	for (uint64_t i = 1; i <= ROUNDS; i++) {
		uint32_t at = 0;
		uint64_t g;

		assert_int_equal(kx_producer_ids_take_over(w.ids, id, 0, 1 + i, &r), 0);
		g = kx_fence_raise(w.fence);
		while (!kx_fence_passed(w.fence, g, 0, 2, &at))
			sched_yield();
		__atomic_store_n(&w.accepted, r.epoch, __ATOMIC_RELEASE);
		kx_producer_ids_release(w.ids, r.entry, i);
	}
	__atomic_store_n(&w.stop, 1, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	assert_int_equal(w.violations, 0);
	assert_int_equal(kx_producer_id_epoch(w.entry), ROUNDS + 1);
	kx_fence_destroy(w.fence);
	kx_producer_ids_destroy(w.ids);
}

/* Two lcores set up and end sessions in a table that is too small for both: no id is given twice. */
struct setter {
	struct kx_producer_ids *ids;
	uint64_t ids_given[ROUNDS];
	uint32_t n;
};

static void *set_up(void *arg)
{
	struct setter *s = arg;
	struct kx_producer_ref held[24];
	uint32_t n = 0;

	for (uint32_t i = 0; i < ROUNDS; i++) {
		if (n == KX_DIM(held))
			kx_producer_ids_release(s->ids, held[--n].entry, i + 1);
		if (kx_producer_ids_new(s->ids, 0, i + 1, &held[n]) == 0)
			s->ids_given[s->n++] = held[n++].id;
	}
	while (n > 0)
		kx_producer_ids_release(s->ids, held[--n].entry, ROUNDS);
	return NULL;
}

static int by_id(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static void test_set_up_under_threads(void **state)
{
	struct kx_producer_ids *ids = table();
	struct setter *s = calloc(2, sizeof(*s));
	uint64_t *all = calloc(2 * ROUNDS, sizeof(*all));
	struct kx_producer_ids_usage u;
	uint32_t n;
	pthread_t threads[2];

	(void)state;
	for (int i = 0; i < 2; i++) {
		s[i].ids = ids;
		assert_int_equal(pthread_create(&threads[i], NULL, set_up, &s[i]), 0);
	}
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	assert_true(s[0].n > IDS && s[1].n > IDS);
	memcpy(all, s[0].ids_given, s[0].n * sizeof(*all));
	memcpy(all + s[0].n, s[1].ids_given, s[1].n * sizeof(*all));
	n = s[0].n + s[1].n;
	qsort(all, n, sizeof(*all), by_id);
	for (uint32_t i = 1; i < n; i++)
		assert_true(all[i] != all[i - 1]);
	kx_producer_ids_usage(ids, &u);
	assert_int_equal(u.live, 0);
	assert_int_equal(u.replaced, n - IDS);
	free(all);
	free(s);
	kx_producer_ids_destroy(ids);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_take_over),
		cmocka_unit_test(test_forgotten_is_of_an_epoch),
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_one_that_takes_without_end),
		cmocka_unit_test(test_one_that_keeps_all_it_gets),
		cmocka_unit_test(test_own_before_others),
		cmocka_unit_test(test_fence),
		cmocka_unit_test(test_fence_under_threads),
		cmocka_unit_test(test_set_up_under_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
