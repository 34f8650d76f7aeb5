/* SPDX-License-Identifier: BSD-3-Clause */
#include "run.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define TICK_NS		(10 * 1000000ull)
#define WINDOW_NS	(100 * 1000000ull)
#define WARMUP_MIN_NS	(500 * 1000000ull)
#define WARMUP_MAX_NS	(3 * KX_NS_PER_S)
#define IDLE_NS		KX_NS_PER_S
#define STEADY		0.05
#define IDLE_RATE_PER_S 1e6

int pg_run_init(
	struct pg_run *run, const struct pg_options *o, struct pg_rig *rig, volatile sig_atomic_t *stop)
{
	uint32_t id;

	memset(run, 0, sizeof(*run));
	run->o = o;
	run->rig = rig;
	run->stop = stop;
	run->late_ns = o->late_ns;
	run->result.options = o;
	run->result.complete = true;
	if (kx_random_bytes(&id, sizeof(id)) != 0)
		return -EIO;
	run->run_id = id & 0xfff;
	run->latency = kx_hist_new();
	run->ack = kx_hist_new();
	run->lag = kx_hist_new();
	run->idle = kx_hist_new();
	return run->latency != NULL && run->ack != NULL && run->lag != NULL && run->idle != NULL ? 0
												 : -ENOMEM;
}

void pg_run_fini(struct pg_run *run)
{
	pg_schedule_fini(&run->schedule);
	kx_hist_free(run->latency);
	kx_hist_free(run->ack);
	kx_hist_free(run->lag);
	kx_hist_free(run->idle);
}

static void enter(struct pg_run *run, enum pg_phase phase, uint64_t now_ns, uint64_t duration_ns)
{
	run->phase_from_ns = now_ns;
	run->phase_until_ns = now_ns + duration_ns;
	__atomic_store_n(&run->live.phase, phase, __ATOMIC_RELAXED);
}

void pg_run_idle(struct pg_run *run)
{
	struct pg_schedule s;
	uint64_t now = pg_now(run->rig), until = now + IDLE_NS;

	(void)pg_schedule_init(&s, PG_CONSTANT, IDLE_RATE_PER_S, 1, 1);
	enter(run, PG_IDLE, now, IDLE_NS);
	pg_schedule_start(&s, now);
	while (now < until && *run->stop == 0) {
		now = pg_now(run->rig);
		for (int i = 0; i < 64 && pg_schedule_next_ns(&s) <= now; i++) {
			kx_hist_add(run->idle, now - pg_schedule_next_ns(&s));
			pg_schedule_advance(&s);
		}
	}
}

int pg_run_schedule(struct pg_run *run, uint32_t batch)
{
	return pg_schedule_init(&run->schedule, run->o->arrivals, run->o->rate_per_s / KX_MAX(batch, 1u),
		run->o->burst_ticks, run->o->seed);
}

void pg_run_start(struct pg_run *run, uint64_t now_ns)
{
	uint64_t warmup_ns = run->o->warmup_s < 0 ? WARMUP_MAX_NS : (uint64_t)llround(run->o->warmup_s * 1e9);

	enter(run, PG_WARMUP, now_ns, warmup_ns);
	run->last_turn_ns = now_ns;
	run->window_from_ns = now_ns;
	pg_schedule_start(&run->schedule, now_ns);
}

/* Three 100 ms windows in a row within 5 % of their mean. */
static bool steady(struct pg_run *run, uint64_t now_ns)
{
	double *w = run->window_rate, mean;

	if (now_ns - run->window_from_ns < WINDOW_NS)
		return false;
	w[0] = w[1];
	w[1] = w[2];
	w[2] = (double)(run->live.received - run->window_count) / (double)(now_ns - run->window_from_ns);
	run->window_count = run->live.received;
	run->window_from_ns = now_ns;
	mean = (w[0] + w[1] + w[2]) / 3;
	return mean > 0 && fabs(w[0] - mean) <= STEADY * mean && fabs(w[1] - mean) <= STEADY * mean &&
		fabs(w[2] - mean) <= STEADY * mean;
}

static uint64_t thread_cpu_ns(void)
{
	struct timespec t = {0};

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * KX_NS_PER_S + (uint64_t)t.tv_nsec;
}

static void warm(struct pg_run *run, uint64_t now_ns)
{
	bool by_rule =
		run->o->warmup_s < 0 && steady(run, now_ns) && now_ns - run->phase_from_ns >= WARMUP_MIN_NS;

	if (!by_rule && now_ns < run->phase_until_ns)
		return;
	run->result.warmup_s = (double)(now_ns - run->phase_from_ns) / 1e9;
	run->measure_from_ns = now_ns;
	run->measure_span_ns = (uint64_t)llround(run->o->seconds * 1e9);
	run->sent_at_start = run->live.sent;
	run->received_at_start = run->live.received;
	run->cpu_at_start_ns = thread_cpu_ns();
	enter(run, PG_MEASURE, now_ns, run->measure_span_ns);
}

/* Ticks that were due in the measured time and are not sent count as offered. */
static uint64_t unsent_messages(struct pg_run *run, uint64_t until_ns)
{
	uint64_t ticks = 0;
	uint32_t batch = run->o->mode == PG_ECHO ? 1 : KX_MAX(run->result.batch, 1u);

	if (run->o->arrivals == PG_MAX)
		return 0;
	for (; pg_schedule_next_ns(&run->schedule) < until_ns; ticks++)
		pg_schedule_advance(&run->schedule);
	return ticks * batch;
}

static void end_measuring(struct pg_run *run, uint64_t now_ns)
{
	if (pg_phase(run) == PG_MEASURE) {
		run->measure_span_ns = KX_MIN(run->measure_span_ns, now_ns - run->measure_from_ns);
		run->measured_sent = run->live.sent - run->sent_at_start;
		run->measured_received = run->live.received - run->received_at_start;
		run->result.cpu_seconds = (double)(thread_cpu_ns() - run->cpu_at_start_ns) / 1e9;
		run->result.seconds = (double)(now_ns - run->measure_from_ns) / 1e9;
		run->result.due = run->measured_sent + unsent_messages(run, now_ns);
	}
	enter(run, PG_DRAIN, now_ns, run->o->drain_ns);
}

void pg_run_abort(struct pg_run *run, uint64_t now_ns, const char *trouble)
{
	if (run->result.complete)
		snprintf(run->result.trouble, sizeof(run->result.trouble), "%s", trouble);
	run->result.complete = false;
	if (pg_phase(run) < PG_DRAIN)
		end_measuring(run, now_ns);
}

void pg_run_done(struct pg_run *run)
{
	__atomic_store_n(&run->live.phase, PG_DONE, __ATOMIC_RELEASE);
}

void pg_run_tick(struct pg_run *run, uint64_t now_ns)
{
	run->next_tick_ns = now_ns + TICK_NS;
	if (*run->stop != 0 && pg_phase(run) < PG_DRAIN) {
		pg_run_abort(run, now_ns, "stopped by a signal");
		return;
	}
	switch (pg_phase(run)) {
	case PG_WARMUP:
		warm(run, now_ns);
		break;
	case PG_MEASURE:
		if (now_ns >= run->phase_until_ns)
			end_measuring(run, now_ns);
		break;
	case PG_DRAIN:
		if (now_ns >= run->phase_until_ns)
			pg_run_done(run);
		break;
	default:
		break;
	}
}
