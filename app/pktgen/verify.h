/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * Verify: what is inside a message or echo frame, and the books of which ones came.
 *
 * Layout of a payload: u64 id, u64 intended_ns, then pattern words that depend on the id and their place.
 * id = run (12 bits) | producer (12 bits) | sequence (40 bits) from the top.
 */
#ifndef PG_VERIFY_H
#define PG_VERIFY_H

#include <string.h>

#include "kx_base.h"

#define PG_PAYLOAD_MIN	 16u /**< id and intended time */
#define PG_SEQ_BITS	 40
#define PG_PRODUCER_BITS 12
#define PG_PRODUCERS_MAX (1u << PG_PRODUCER_BITS)
#define PG_SEQ_MASK	 ((UINT64_C(1) << PG_SEQ_BITS) - 1)

struct pg_stamp {
	uint64_t id;
	uint64_t intended_ns;
};

static KX_ALWAYS_INLINE uint64_t pg_id(uint32_t run, uint32_t producer, uint64_t seq)
{
	return (uint64_t)(run & 0xfff) << 52 | (uint64_t)(producer & 0xfff) << 40 | (seq & PG_SEQ_MASK);
}
static KX_ALWAYS_INLINE uint64_t pg_id_seq(uint64_t id)
{
	return id & PG_SEQ_MASK;
}
static KX_ALWAYS_INLINE uint32_t pg_id_producer(uint64_t id)
{
	return (uint32_t)(id >> PG_SEQ_BITS) & (PG_PRODUCERS_MAX - 1);
}
static KX_ALWAYS_INLINE uint32_t pg_id_run(uint64_t id)
{
	return (uint32_t)(id >> 52);
}

#define PG_PATTERN_ID	UINT64_C(0x9e3779b97f4a7c15)
#define PG_PATTERN_WORD UINT64_C(0xc2b2ae3d27d4eb4f)

/** Pattern word k (0 is the first behind the stamp) of a message. */
static KX_ALWAYS_INLINE uint64_t pg_pattern(uint64_t id, uint32_t k)
{
	return id * PG_PATTERN_ID + k * PG_PATTERN_WORD;
}

/** Write a whole payload; `bytes` >= PG_PAYLOAD_MIN, `at` 8-byte aligned. */
static KX_ALWAYS_INLINE void pg_payload_fill(uint8_t *at, uint32_t bytes, uint64_t id, uint64_t intended_ns)
{
	uint64_t *word = (uint64_t *)at;
	uint32_t words = bytes / 8, rest = bytes & 7;

	word[0] = id;
	word[1] = intended_ns;
	for (uint32_t k = 2; k < words; k++)
		word[k] = pg_pattern(id, k - 2);
	if (kx_unlikely(rest != 0)) {
		uint64_t last = pg_pattern(id, words - 2);

		memcpy(at + words * 8u, &last, rest);
	}
}
/** Is every byte behind the stamp what pg_payload_fill() wrote? Reads `bytes` bytes, any alignment. */
bool pg_payload_check(const uint8_t *at, uint32_t bytes);

/* ---- one sequence ------------------------------------------------------------------------------------- */

#define PG_TRACK_WINDOW 4096u /**< numbers below the highest that can still be told apart; power of two */

/** What came of one sequence 0, 1, 2, ... */
struct pg_track {
	uint64_t next;	     /**< one beyond the highest seen */
	uint64_t received;   /**< distinct numbers */
	uint64_t duplicated; /**< came again */
	uint64_t reordered;  /**< came after a higher one */
	uint64_t first;	     /**< numbers below were never expected (a consumer that joined later) */
	uint64_t seen[PG_TRACK_WINDOW / 64];
};

void pg_track_init(struct pg_track *t, uint64_t first);
/** Any other case than the next n in order. */
void pg_track_slow(struct pg_track *t, uint64_t seq);

/** n consecutive numbers came, in order. */
static KX_ALWAYS_INLINE void pg_track_run(struct pg_track *t, uint64_t seq, uint32_t n)
{
	if (kx_likely(seq == t->next && n - 1 < 64)) {
		uint32_t shift = seq % 64;
		uint64_t bits = UINT64_MAX >> (64 - n);
		uint64_t *word = &t->seen[(seq / 64) % (PG_TRACK_WINDOW / 64)];

		/* Entering a word of the window clears what it said 4096 numbers ago. */
		*word = (shift == 0 ? 0 : *word) | bits << shift;
		if (shift + n > 64)
			t->seen[(seq / 64 + 1) % (PG_TRACK_WINDOW / 64)] = bits >> (64 - shift);
		t->next += n;
		t->received += n;
		return;
	}
	for (uint32_t i = 0; i < n; i++)
		pg_track_slow(t, seq + i);
}

/** Of [first, end): never came. `end` is what was sent, or t->next when that is not known. */
static inline uint64_t pg_track_lost(const struct pg_track *t, uint64_t end)
{
	return end > t->first + t->received ? end - t->first - t->received : 0;
}

#endif
