/* SPDX-License-Identifier: BSD-3-Clause */
#include "schedule.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

/* The mean of each of the PG_EXP_TABLE equally likely slices, so that the table's mean is exactly 1. */
static int fill_exponential(struct pg_schedule *s)
{
	double upper, lower = 0;

	s->exp_q16 = malloc(PG_EXP_TABLE * sizeof(*s->exp_q16));
	if (s->exp_q16 == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < PG_EXP_TABLE; i++) {
		double tail = 1.0 - (double)(i + 1) / PG_EXP_TABLE;

		/* Integral of x e^-x over the slice: (a+1)e^-a - (b+1)e^-b, times the number of slices. */
		upper = tail > 0 ? (1 - log(tail)) * tail : 0;
		double from = 1.0 - (double)i / PG_EXP_TABLE;

		lower = (1 - log(from)) * from;
		s->exp_q16[i] = (uint32_t)lround((lower - upper) * PG_EXP_TABLE * 65536.0);
	}
	return 0;
}

int pg_schedule_init(
	struct pg_schedule *s, enum pg_arrivals kind, double ticks_per_s, uint32_t burst, uint64_t seed)
{
	*s = (struct pg_schedule){.kind = kind, .burst = burst, .burst_left = burst};
	if (kind == PG_MAX)
		return 0;
	if (!(ticks_per_s > 0) || !(ticks_per_s <= 1e9) || (kind == PG_BURST && burst == 0))
		return -EINVAL;
	s->gap_q16 = (uint64_t)llround(65536.0 * 1e9 / ticks_per_s);
	s->random = kx_mix64(seed + 1) | 1;
	return kind == PG_POISSON ? fill_exponential(s) : 0;
}

void pg_schedule_fini(struct pg_schedule *s)
{
	free(s->exp_q16);
	s->exp_q16 = NULL;
}

void pg_schedule_start(struct pg_schedule *s, uint64_t start_ns)
{
	s->start_ns = start_ns;
	s->next_q16 = 0;
	s->burst_left = s->burst;
}

uint64_t pg_schedule_gap_q16(struct pg_schedule *s)
{
	if (s->kind == PG_CONSTANT)
		return s->gap_q16;
	if (s->kind == PG_BURST) {
		if (--s->burst_left > 0)
			return 0;
		s->burst_left = s->burst;
		return s->gap_q16 * s->burst;
	}
	s->random ^= s->random << 13;
	s->random ^= s->random >> 7;
	s->random ^= s->random << 17;
	uint32_t slice = (uint32_t)((s->random * UINT64_C(0x9e3779b97f4a7c15)) >> 51);

	return (uint64_t)(((unsigned __int128)s->gap_q16 * s->exp_q16[slice]) >> 16);
}

const char *pg_arrivals_name(enum pg_arrivals kind)
{
	static const char *const names[] = {"max", "constant", "poisson", "burst"};

	return (unsigned int)kind < KX_DIM(names) ? names[kind] : "?";
}
