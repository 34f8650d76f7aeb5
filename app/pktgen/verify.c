/* SPDX-License-Identifier: BSD-3-Clause */
#include "verify.h"

bool pg_payload_check(const uint8_t *at, uint32_t bytes)
{
	uint64_t id, got, diff = 0;
	uint32_t words = bytes / 8, rest = bytes & 7;

	memcpy(&id, at, 8);
	for (uint32_t k = 2; k < words; k++) {
		memcpy(&got, at + k * 8u, 8);
		diff |= got ^ pg_pattern(id, k - 2);
	}
	if (rest != 0) {
		uint64_t want = pg_pattern(id, words - 2);

		diff |= (uint64_t)(memcmp(at + words * 8u, &want, rest) != 0);
	}
	return diff == 0;
}

void pg_track_init(struct pg_track *t, uint64_t first)
{
	memset(t, 0, sizeof(*t));
	t->next = first;
	t->first = first;
}

static uint64_t *word_of(struct pg_track *t, uint64_t seq)
{
	return &t->seen[(seq / 64) % (PG_TRACK_WINDOW / 64)];
}

/* Move the window up so that `seq` is its highest; what enters it has not been seen. */
static void open_up_to(struct pg_track *t, uint64_t seq)
{
	uint64_t from_word = t->next / 64, to_word = seq / 64;

	if (t->next % 64 != 0)
		from_word++;
	if (to_word >= from_word + PG_TRACK_WINDOW / 64)
		from_word = to_word - PG_TRACK_WINDOW / 64 + 1;
	for (uint64_t w = from_word; w <= to_word; w++)
		t->seen[w % (PG_TRACK_WINDOW / 64)] = 0;
	t->next = seq + 1;
}

void pg_track_slow(struct pg_track *t, uint64_t seq)
{
	uint64_t bit = UINT64_C(1) << (seq % 64);

	if (seq >= t->next) {
		open_up_to(t, seq);
		*word_of(t, seq) |= bit;
		t->received++;
		return;
	}
	if (seq < t->first)
		return;
	/* Whole words of the window only: the oldest one is being reused from its start. */
	if (seq / 64 + PG_TRACK_WINDOW / 64 <= (t->next - 1) / 64 || (*word_of(t, seq) & bit) != 0) {
		t->duplicated++;
		return;
	}
	*word_of(t, seq) |= bit;
	t->received++;
	t->reordered++;
}
