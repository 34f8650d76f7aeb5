/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * Schedule: the intended send times of an open loop, fixed before the run by kind, rate and seed alone. What
 * is sent late keeps its intended time, so waiting is measured and not left out.
 *
 * One tick is one send (of `batch` messages in the message modes, of one frame in echo).
 */
#ifndef PG_SCHEDULE_H
#define PG_SCHEDULE_H

#include "kx_base.h"

enum pg_arrivals {
	PG_MAX = 0,	 /**< no schedule: as fast as credit allows (closed loop) */
	PG_CONSTANT = 1, /**< equal gaps */
	PG_POISSON = 2,	 /**< exponential gaps */
	PG_BURST = 3	 /**< `burst` ticks at once, then a gap that keeps the rate */
};

#define PG_EXP_TABLE 8192 /**< stratified quantiles of the exponential distribution; power of two */

/** Next intended time and what is needed to advance. Times in ns of the run's clock, 48.16 fixed point
 * inside. */
struct pg_schedule {
	uint64_t start_ns;
	uint64_t next_q16; /**< relative to start_ns */
	uint64_t gap_q16;
	enum pg_arrivals kind;
	uint32_t burst, burst_left;
	uint64_t random;
	uint32_t *exp_q16; /**< Poisson: gaps in units of gap / 65536 */
};

/**
 * @param ticks_per_s  > 0 unless kind is PG_MAX
 * @param burst        PG_BURST: ticks at once, >= 1
 * @return 0, -EINVAL, -ENOMEM
 */
int pg_schedule_init(
	struct pg_schedule *s, enum pg_arrivals kind, double ticks_per_s, uint32_t burst, uint64_t seed);
void pg_schedule_fini(struct pg_schedule *s);
/** Start (again) at start_ns with the same sequence of gaps going on. */
void pg_schedule_start(struct pg_schedule *s, uint64_t start_ns);

/** Intended time of the next tick. */
static KX_ALWAYS_INLINE uint64_t pg_schedule_next_ns(const struct pg_schedule *s)
{
	return s->start_ns + (s->next_q16 >> 16);
}

/** Poisson and burst gaps. */
uint64_t pg_schedule_gap_q16(struct pg_schedule *s);

/** Go to the tick after it. */
static KX_ALWAYS_INLINE void pg_schedule_advance(struct pg_schedule *s)
{
	s->next_q16 += kx_likely(s->kind == PG_CONSTANT) ? s->gap_q16 : pg_schedule_gap_q16(s);
}

/** "constant" and so on. */
const char *pg_arrivals_name(enum pg_arrivals kind);

#endif
