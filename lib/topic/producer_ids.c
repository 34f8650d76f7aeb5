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

#define LOOKED_AT  32 /* places, for one that a new id may take */
#define TRIES	   8  /* to find one; and of a compare-and-swap: others' set-up interferes, rarely */
#define BUSY	   (UINT64_C(1) << 31)
#define LIVE_MASK  (BUSY - 1)
#define BASE_BITS  40
#define PRINCIPALS (KX_CONF_PRINCIPALS_MAX + 1)
#define OTHERS	   (UINT64_C(1) << 63) /* behind all that are the asker's own */

struct kx_producer_ids {
	struct kx_producer_id *entries;
	uint32_t count;
	bool one_principal;
	uint64_t first_id; /* of place 0, a multiple of count */
	/* written in set-up, by all data lcores */
	uint32_t fresh KX_ALIGNED(KX_CACHE_LINE); /* places below were used; may pass count */
	uint32_t hand;				  /* next place to look at */
	uint32_t live;
	uint64_t replaced, refused;
	uint32_t held[PRINCIPALS];
};

static uint32_t epoch_of(uint64_t word)
{
	return (uint32_t)(word >> 32);
}

static uint64_t word_of(uint32_t epoch, uint64_t live)
{
	return (uint64_t)epoch << 32 | live;
}

static uint32_t *held_by(struct kx_producer_ids *ids, uint32_t principal)
{
	return &ids->held[KX_MIN(principal, (uint32_t)PRINCIPALS - 1)];
}

/* Places that were never used. */
static uint32_t unused(const struct kx_producer_ids *ids)
{
	return ids->count - KX_MIN(ids->count, __atomic_load_n(&ids->fresh, __ATOMIC_RELAXED));
}

int kx_producer_ids_create(
	uint32_t count, uint32_t principals, uint64_t boot_id, struct kx_producer_ids **out)
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
	ids->one_principal = principals == 1;
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

void kx_producer_ids_usage(const struct kx_producer_ids *ids, struct kx_producer_ids_usage *out)
{
	/* an id that ends and comes back at once may be counted off before it is counted on */
	uint32_t live = __atomic_load_n(&ids->live, __ATOMIC_RELAXED);

	*out = (struct kx_producer_ids_usage){.total = ids->count,
		.used = ids->count - unused(ids),
		.live = live > ids->count ? 0 : live,
		.replaced = __atomic_load_n(&ids->replaced, __ATOMIC_RELAXED),
		.refused = __atomic_load_n(&ids->refused, __ATOMIC_RELAXED)};
}

uint32_t kx_producer_ids_held(const struct kx_producer_ids *ids, uint32_t principal)
{
	return __atomic_load_n(&ids->held[KX_MIN(principal, (uint32_t)PRINCIPALS - 1)], __ATOMIC_RELAXED);
}

/*
 * A place that was never used. Of several principals each may take one as long as it has no more than are
 * left: one that takes ids without end gets half of the table, two a third each, and whoever comes for the
 * first time always finds one.
 */
static struct kx_producer_id *fresh_place(struct kx_producer_ids *ids, uint32_t principal)
{
	uint32_t left = unused(ids), at;

	if (left == 0 || (!ids->one_principal && kx_producer_ids_held(ids, principal) > left))
		return NULL;
	at = __atomic_fetch_add(&ids->fresh, 1, __ATOMIC_RELAXED);
	return at < ids->count ? &ids->entries[at] : NULL;
}

/* May a new id of `principal` take this place? Lower is better; UINT64_MAX: no. */
static uint64_t worth(const struct kx_producer_id *e, uint32_t principal, uint64_t now_ns)
{
	uint64_t word = __atomic_load_n(&e->word, __ATOMIC_ACQUIRE);
	uint64_t idle_ns = __atomic_load_n(&e->idle_ns, __ATOMIC_RELAXED);

	if (word == 0 || (word & (BUSY | LIVE_MASK)) != 0 || epoch_of(word) == UINT32_MAX)
		return UINT64_MAX;
	if (__atomic_load_n(&e->principal, __ATOMIC_RELAXED) == principal)
		return idle_ns & ~OTHERS;
	return idle_ns + KX_PRODUCER_ID_KEPT_NS <= now_ns ? idle_ns | OTHERS : UINT64_MAX;
}

/* The asker's own id that is idle longest, of some that are looked at; else another's that nobody came for in
 * a long time. */
static struct kx_producer_id *old_place(struct kx_producer_ids *ids, uint32_t principal, uint64_t now_ns)
{
	uint32_t used = ids->count - unused(ids), n = KX_MIN(used, (uint32_t)LOOKED_AT);
	struct kx_producer_id *best = NULL;
	uint64_t lowest = UINT64_MAX;
	uint32_t from = __atomic_fetch_add(&ids->hand, n, __ATOMIC_RELAXED);

	for (uint32_t i = 0; i < n; i++) {
		struct kx_producer_id *e = &ids->entries[(from + i) % used];
		uint64_t w = worth(e, principal, now_ns);

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

/* The place is ours alone: BUSY, and 0 before or an id that nobody has. */
static void rename_place(struct kx_producer_ids *ids, struct kx_producer_id *e, uint32_t principal,
	uint32_t epoch, uint64_t now_ns)
{
	if (e->id != 0) {
		__atomic_sub_fetch(held_by(ids, e->principal), 1, __ATOMIC_RELAXED);
		__atomic_add_fetch(&ids->replaced, 1, __ATOMIC_RELAXED);
	}
	__atomic_add_fetch(held_by(ids, principal), 1, __ATOMIC_RELAXED);
	__atomic_add_fetch(&ids->live, 1, __ATOMIC_RELAXED);
	__atomic_store_n(&e->id,
		e->id != 0 ? e->id + ids->count : ids->first_id + (uint64_t)(e - ids->entries),
		__ATOMIC_RELAXED);
	__atomic_store_n(&e->principal, principal, __ATOMIC_RELAXED);
	e->taken_ns = 0;
	__atomic_store_n(&e->idle_ns, now_ns, __ATOMIC_RELAXED);
	/* pairs with the acquire of those who look at the entry by its id */
	__atomic_store_n(&e->word, word_of(epoch, 1), __ATOMIC_RELEASE);
}

int kx_producer_ids_new(
	struct kx_producer_ids *ids, uint32_t principal, uint64_t now_ns, struct kx_producer_ref *out)
{
	struct kx_producer_id *e = fresh_place(ids, principal);

	for (int i = 0; i < TRIES; i++) {
		uint64_t word;

		if (e == NULL)
			e = old_place(ids, principal, now_ns);
		word = e != NULL ? __atomic_load_n(&e->word, __ATOMIC_RELAXED) : BUSY;
		if ((word & (BUSY | LIVE_MASK)) != 0 || epoch_of(word) == UINT32_MAX ||
			!__atomic_compare_exchange_n(&e->word, &word, word_of(epoch_of(word) + 1, BUSY | 1),
				false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) {
			e = NULL;
			continue;
		}
		rename_place(ids, e, principal, epoch_of(word) + 1, now_ns);
		give(e, epoch_of(word) + 1, out);
		return 0;
	}
	__atomic_add_fetch(&ids->refused, 1, __ATOMIC_RELAXED);
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

static void came_back(struct kx_producer_ids *ids, uint64_t word)
{
	if ((word & LIVE_MASK) == 0)
		__atomic_add_fetch(&ids->live, 1, __ATOMIC_RELAXED);
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
		if (__atomic_load_n(&e->principal, __ATOMIC_RELAXED) != principal)
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
		came_back(ids, word);
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
		came_back(ids, word);
		give(e, epoch, out);
		return 0;
	}
	return -EAGAIN;
}

void kx_producer_ids_release(struct kx_producer_ids *ids, struct kx_producer_id *e, uint64_t now_ns)
{
	__atomic_store_n(&e->idle_ns, now_ns, __ATOMIC_RELAXED);
	if ((__atomic_sub_fetch(&e->word, 1, __ATOMIC_ACQ_REL) & LIVE_MASK) == 0)
		__atomic_sub_fetch(&ids->live, 1, __ATOMIC_RELAXED);
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
