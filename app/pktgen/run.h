/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * Run: what all modes share. Phases of a run, its clock, what the sleeping main lcore may read while the loop
 * turns, and the idle-loop lag of the machine.
 */
#ifndef PG_RUN_H
#define PG_RUN_H

#include <signal.h>

#include "result.h"
#include "rig.h"
#include "verify.h"

enum pg_phase {
	PG_SETUP = 0,	/**< sessions are made */
	PG_IDLE = 1,	/**< empty loop, its lag is measured */
	PG_WARMUP = 2,	/**< full load, not measured */
	PG_MEASURE = 3, /**< what was intended in this time is what the result is about */
	PG_DRAIN = 4,	/**< nothing new is sent, the rest is awaited */
	PG_DONE = 5
};

/** Counters of the loop; read by the main lcore with kx_counter_read(). */
struct pg_live {
	uint64_t sent;	   /**< messages, in echo frames: whole run */
	uint64_t received; /**< by consumers; in produce mode acknowledged */
	uint64_t lost_so_far;
	uint64_t phase; /**< enum pg_phase */
};

/** How long something took, of `count` times. */
struct pg_setup_row {
	const char *name;
	uint32_t count;
	uint64_t min_ns, p50_ns, p99_ns, max_ns;
};

/** The loop's state; belongs to its lcore except `live` and the histograms' buckets (read by main). */
struct pg_run {
	struct pg_live live KX_ALIGNED(KX_CACHE_LINE);
	const struct pg_options *o KX_ALIGNED(KX_CACHE_LINE);
	struct pg_rig *rig;
	volatile sig_atomic_t *stop; /**< set by SIGINT, SIGTERM */
	uint64_t measure_from_ns;    /**< with measure_span_ns: which intended times are measured */
	uint64_t measure_span_ns;    /**< 0 outside the measured time */
	uint64_t late_ns;
	uint64_t last_turn_ns, next_tick_ns;
	uint64_t max_gap_ns, gaps_over_1ms;
	uint64_t phase_from_ns; /**< start of the phase */
	uint64_t phase_until_ns;
	uint64_t window_from_ns, window_count; /**< warm-up: the 100 ms under way */
	double window_rate[3];
	uint64_t sent_at_start, received_at_start; /**< counters when measuring began */
	uint64_t measured_sent, measured_received; /**< set when it ends */
	uint64_t cpu_at_start_ns;		   /**< CPU time of the loop's thread when measuring began */
	struct pg_schedule schedule;
	struct kx_hist *latency, *ack, *lag, *idle;
	uint32_t run_id; /**< 12 bits: tells this run's messages from others */
	struct pg_result result;
	struct pg_setup_row setup[2]; /**< --setup: handshake, ping */
};

int pg_run_init(
	struct pg_run *run, const struct pg_options *o, struct pg_rig *rig, volatile sig_atomic_t *stop);
void pg_run_fini(struct pg_run *run);

/** Make the schedule, once the messages of a send are known. @return 0 or -errno */
int pg_run_schedule(struct pg_run *run, uint32_t batch);
/** Begin the warm-up; now_ns is a fresh clock reading. */
void pg_run_start(struct pg_run *run, uint64_t now_ns);
/** Rare part of pg_run_turn(): every 10 ms. */
void pg_run_tick(struct pg_run *run, uint64_t now_ns);
/** Enter the drain at once, because something ended the run early. */
void pg_run_abort(struct pg_run *run, uint64_t now_ns, const char *trouble);
/** Everything that can come has come: the end. */
void pg_run_done(struct pg_run *run);
/** Empty loop for a second, on the lcore that runs the load: how late this machine alone makes 1 M ticks/s.
 */
void pg_run_idle(struct pg_run *run);

static KX_ALWAYS_INLINE enum pg_phase pg_phase(const struct pg_run *run)
{
	return (enum pg_phase)run->live.phase;
}
static KX_ALWAYS_INLINE bool pg_sending(const struct pg_run *run)
{
	return run->live.phase == PG_WARMUP || run->live.phase == PG_MEASURE;
}

/** Once a loop turn: gaps, and what is due every 10 ms. */
static KX_ALWAYS_INLINE void pg_run_turn(struct pg_run *run, uint64_t now_ns)
{
	uint64_t gap = now_ns - run->last_turn_ns;

	run->last_turn_ns = now_ns;
	if (kx_unlikely(gap > run->max_gap_ns) && run->live.phase == PG_MEASURE)
		run->max_gap_ns = gap;
	if (kx_unlikely(gap > 1000000) && run->live.phase == PG_MEASURE)
		run->gaps_over_1ms++;
	if (kx_unlikely(now_ns >= run->next_tick_ns))
		pg_run_tick(run, now_ns);
}

/** Is a message with this intended time part of the result? */
static KX_ALWAYS_INLINE bool pg_measured(const struct pg_run *run, uint64_t intended_ns)
{
	return intended_ns - run->measure_from_ns < run->measure_span_ns;
}

/** n messages intended at the same time arrived (or were acknowledged) now. @return how many of them were
 * late. */
static KX_ALWAYS_INLINE uint32_t pg_record(
	struct pg_run *run, struct kx_hist *h, uint64_t intended_ns, uint64_t now_ns, uint32_t n)
{
	uint64_t took = now_ns > intended_ns ? now_ns - intended_ns : 0;
	bool late = kx_unlikely(took > run->late_ns);

	if (pg_measured(run, intended_ns)) {
		if (kx_unlikely(late))
			h->lost += n;
		else
			kx_hist_add_n(h, took, n);
	}
	return late ? n : 0;
}

/* The loops: run on the data lcore, return 0. */
int pg_echo_loop(void *run);
int pg_load_loop(void *run);
/** @return 0, or -1 with result.trouble */
int pg_setup_loop(void *run);

#endif
