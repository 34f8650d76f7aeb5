/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The producer ids of all data lcores. The place of an id is its remainder by the table's size, so that no
 * search is needed; the next id of the same place is larger by that size. Whoever changes who an entry
 * belongs to or its epoch does so by a compare-and-swap of its word, which also holds the number of sessions:
 * an id with sessions is never given up, and nobody joins one that is being replaced.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "kx_topic.h"

#define LOOKED_AT 32 /* places, for one that a new id may take */
#define TRIES	  8  /* of a compare-and-swap; others' set-up interferes, rarely */
#define BUSY	  (UINT64_C(1) << 31)
#define LIVE_MASK (BUSY - 1)
#define BASE_BITS 40

struct kx_producer_ids {
	struct kx_producer_id *entries;
	uint32_t count;
	uint64_t first_id;			 /* of place 0, a multiple of count */
	uint32_t hand KX_ALIGNED(KX_CACHE_LINE); /* next place to look at */
};

static uint32_t epoch_of(uint64_t word)
{
	return (uint32_t)(word >> 32);
}

static uint64_t word_of(uint32_t epoch, uint64_t live)
{
	return (uint64_t)epoch << 32 | live;
}

int kx_producer_ids_create(uint32_t count, uint64_t boot_id, struct kx_producer_ids **out)
{
	struct kx_producer_ids *ids;

	*out = NULL;
	if (count == 0 || (count & (count - 1)) != 0 || count > 1u << 24)
		return -EINVAL;
	ids = aligned_alloc(KX_CACHE_LINE, sizeof(*ids));
	if (ids == NULL)
		return -ENOMEM;
	memset(ids, 0, sizeof(*ids));
	ids->entries = aligned_alloc(KX_CACHE_LINE, count * sizeof(*ids->entries));
	if (ids->entries == NULL) {
		free(ids);
		return -ENOMEM;
	}
	memset(ids->entries, 0, count * sizeof(*ids->entries));
	ids->count = count;
	ids->first_id = ((kx_mix64(boot_id) & ((UINT64_C(1) << BASE_BITS) - 1)) + 1) * count;
	*out = ids;
	return 0;
}

void kx_producer_ids_destroy(struct kx_producer_ids *ids)
{
	if (ids == NULL)
		return;
	free(ids->entries);
	free(ids);
}

void kx_producer_ids_count(const struct kx_producer_ids *ids, uint32_t *live, uint32_t *used, uint32_t *total)
{
	*live = *used = 0;
	*total = ids->count;
	for (uint32_t i = 0; i < ids->count; i++) {
		uint64_t word = __atomic_load_n(&ids->entries[i].word, __ATOMIC_RELAXED);

		*used += word != 0;
		*live += (word & LIVE_MASK) != 0;
	}
}

/* May a new id take this place? Lower is better; UINT64_MAX: no. */
static uint64_t worth(const struct kx_producer_id *e)
{
	uint64_t word = __atomic_load_n(&e->word, __ATOMIC_ACQUIRE);

	if ((word & (BUSY | LIVE_MASK)) != 0 || epoch_of(word) == UINT32_MAX)
		return UINT64_MAX;
	return word == 0 ? 0 : KX_MAX(__atomic_load_n(&e->idle_ns, __ATOMIC_RELAXED), UINT64_C(1));
}

static struct kx_producer_id *find_place(struct kx_producer_ids *ids)
{
	uint32_t n = KX_MIN(ids->count, (uint32_t)LOOKED_AT);
	struct kx_producer_id *best = NULL;
	uint64_t lowest = UINT64_MAX;
	uint32_t from;

	/* the usual case, as long as places were never used: the next one */
	from = __atomic_fetch_add(&ids->hand, 1, __ATOMIC_RELAXED);
	if (worth(&ids->entries[from & (ids->count - 1)]) == 0)
		return &ids->entries[from & (ids->count - 1)];
	from = __atomic_fetch_add(&ids->hand, n, __ATOMIC_RELAXED);
	for (uint32_t i = 0; i < n && lowest != 0; i++) {
		struct kx_producer_id *e = &ids->entries[(from + i) & (ids->count - 1)];
		uint64_t w = worth(e);

		if (w < lowest) {
			lowest = w;
			best = e;
		}
	}
	return best;
}

static void give(struct kx_producer_id *e, uint32_t epoch, struct kx_producer_ref *out)
{
	*out = (struct kx_producer_ref){
		.entry = e, .id = __atomic_load_n(&e->id, __ATOMIC_RELAXED), .epoch = epoch};
}

int kx_producer_ids_new(
	struct kx_producer_ids *ids, uint32_t principal, uint64_t now_ns, struct kx_producer_ref *out)
{
	for (int i = 0; i < TRIES; i++) {
		struct kx_producer_id *e = find_place(ids);
		uint64_t word, id;

		if (e == NULL)
			continue;
		word = __atomic_load_n(&e->word, __ATOMIC_RELAXED);
		if ((word & (BUSY | LIVE_MASK)) != 0 || epoch_of(word) == UINT32_MAX ||
			!__atomic_compare_exchange_n(&e->word, &word, word_of(epoch_of(word) + 1, BUSY | 1),
				false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
			continue;
		id = e->id != 0 ? e->id + ids->count : ids->first_id + (uint64_t)(e - ids->entries);
		__atomic_store_n(&e->id, id, __ATOMIC_RELAXED);
		e->principal = principal;
		e->taken_ns = 0;
		__atomic_store_n(&e->idle_ns, now_ns, __ATOMIC_RELAXED);
		/* pairs with the acquire of those who look at the entry by its id */
		__atomic_store_n(&e->word, word_of(epoch_of(word) + 1, 1), __ATOMIC_RELEASE);
		give(e, epoch_of(word) + 1, out);
		return 0;
	}
	return -ENOSPC;
}

/* The entry of an id and its word. 0, -ENOENT or -EAGAIN. The word is read before the id and compared when it
 * is changed: a place that was given to another id in between has another epoch. */
static int look_up(struct kx_producer_ids *ids, uint64_t id, struct kx_producer_id **entry, uint64_t *word)
{
	struct kx_producer_id *e = &ids->entries[id & (ids->count - 1)];

	*word = __atomic_load_n(&e->word, __ATOMIC_ACQUIRE);
	if ((*word & BUSY) != 0)
		return -EAGAIN;
	if (id == 0 || __atomic_load_n(&e->id, __ATOMIC_RELAXED) != id)
		return -ENOENT;
	*entry = e;
	return 0;
}

int kx_producer_ids_take_over(struct kx_producer_ids *ids, uint64_t id, uint32_t principal, uint64_t stamp_ns,
	struct kx_producer_ref *out)
{
	for (int i = 0; i < TRIES; i++) {
		struct kx_producer_id *e;
		uint64_t word;
		int rc = look_up(ids, id, &e, &word);

		if (rc != 0)
			return rc;
		if (e->principal != principal)
			return -EACCES;
		if (epoch_of(word) == UINT32_MAX)
			return -ENOENT; /* no further epoch: a new id */
		if (stamp_ns <= __atomic_load_n(&e->taken_ns, __ATOMIC_RELAXED))
			return -EALREADY;
		/* busy while taken_ns is written: of two lcores that take it over the later sees the stamp */
		if (!__atomic_compare_exchange_n(&e->word, &word,
			    word_of(epoch_of(word) + 1, BUSY | ((word & LIVE_MASK) + 1)), false,
			    __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
			continue;
		__atomic_store_n(&e->taken_ns, stamp_ns, __ATOMIC_RELAXED);
		__atomic_and_fetch(&e->word, ~BUSY, __ATOMIC_RELEASE); /* sessions may have ended meanwhile */
		give(e, epoch_of(word) + 1, out);
		return 0;
	}
	return -EAGAIN;
}

int kx_producer_ids_join(
	struct kx_producer_ids *ids, uint64_t id, uint32_t epoch, struct kx_producer_ref *out)
{
	for (int i = 0; i < TRIES; i++) {
		struct kx_producer_id *e;
		uint64_t word;
		int rc = look_up(ids, id, &e, &word);

		if (rc != 0)
			return rc;
		if (epoch_of(word) != epoch)
			return -ESTALE;
		if (!__atomic_compare_exchange_n(
			    &e->word, &word, word + 1, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
			continue;
		give(e, epoch, out);
		return 0;
	}
	return -EAGAIN;
}

void kx_producer_ids_release(struct kx_producer_id *e, uint64_t now_ns)
{
	__atomic_store_n(&e->idle_ns, now_ns, __ATOMIC_RELAXED);
	__atomic_sub_fetch(&e->word, 1, __ATOMIC_ACQ_REL);
}

void kx_producer_ids_forgot(struct kx_producer_ids *ids, uint64_t id, uint32_t epoch)
{
	struct kx_producer_id *e = &ids->entries[id & (ids->count - 1)];
	uint32_t known = __atomic_load_n(&e->forgotten_epoch, __ATOMIC_RELAXED);

	/* Epochs of a place never fall, so that an id given up meanwhile is not taken for the next one.
	 * Whoever gets in between raises it: no more turns than there are lcores. */
	while (known < epoch &&
		!__atomic_compare_exchange_n(
			&e->forgotten_epoch, &known, epoch, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		;
}
