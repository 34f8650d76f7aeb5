/* SPDX-License-Identifier: BSD-3-Clause */
#include "progress.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SLEEP_NS (20 * 1000000)

int pg_progress_init(struct pg_progress *p, struct pg_run *run)
{
	memset(p, 0, sizeof(*p));
	p->run = run;
	p->room = (uint32_t)ceil(run->o->seconds) + 1;
	p->before = kx_hist_new();
	run->result.intervals = calloc(p->room, sizeof(*run->result.intervals));
	return p->before != NULL && run->result.intervals != NULL ? 0 : -ENOMEM;
}

void pg_progress_fini(struct pg_progress *p)
{
	kx_hist_free(p->before);
	free(p->run->result.intervals);
	p->run->result.intervals = NULL;
}

/* Highest value of the bucket that holds rank `want` of what was added since `before`. */
static uint64_t quantile_since(const struct kx_hist *now, const struct kx_hist *before, uint64_t want)
{
	uint64_t seen = 0;

	for (uint32_t i = 0; i < KX_HIST_BUCKETS; i++) {
		seen += kx_counter_read(&now->bucket[i]) - before->bucket[i];
		if (seen >= want)
			return kx_hist_bucket_max(i);
	}
	return 0;
}

static void copy_buckets(struct kx_hist *to, const struct kx_hist *from)
{
	to->count = 0;
	for (uint32_t i = 0; i < KX_HIST_BUCKETS; i++) {
		to->bucket[i] = kx_counter_read(&from->bucket[i]);
		to->count += to->bucket[i];
	}
}

static const struct kx_hist *shown(const struct pg_run *run)
{
	return run->o->mode == PG_PRODUCE ? run->ack : run->latency;
}

static void interval(struct pg_progress *p, double messages, struct pg_interval *out)
{
	const struct kx_hist *h = shown(p->run);
	uint64_t count = 0;

	memset(out, 0, sizeof(*out));
	out->messages = (uint64_t)llround(messages);
	for (uint32_t i = 0; i < KX_HIST_BUCKETS; i++)
		count += kx_counter_read(&h->bucket[i]) - p->before->bucket[i];
	if (count >= 200)
		out->p50_ns = quantile_since(h, p->before, (count + 1) / 2);
	if (count >= 10000)
		out->p99_ns = quantile_since(h, p->before, count - count / 100);
	copy_buckets(p->before, h);
}

static void line(const struct pg_progress *p, const struct pg_interval *v, double since_start)
{
	static const char *const names[] = {"setup", "idle", "warmup", "run", "drain", "done"};
	const struct pg_run *run = p->run;

	if (run->o->quiet)
		return;
	printf("%6.1f s  %-6s %12" PRIu64 " %s/s", since_start, names[p->phase], v->messages,
		run->o->mode == PG_ECHO ? "frames" : "messages");
	if (v->p50_ns > 0)
		printf("  p50 %9.2f us", (double)v->p50_ns / 1e3);
	if (v->p99_ns > 0)
		printf("  p99 %9.2f us", (double)v->p99_ns / 1e3);
	printf("  sent %" PRIu64 "  received %" PRIu64 "\n", kx_counter_read(&run->live.sent),
		kx_counter_read(&run->live.received));
	fflush(stdout);
}

static void second(struct pg_progress *p, uint64_t now_ns, uint64_t start_ns)
{
	struct pg_run *run = p->run;
	uint64_t received = kx_counter_read(&run->live.received);
	double seconds = (double)(now_ns - p->at_ns) / 1e9;
	struct pg_interval v;

	interval(p, (double)(received - p->received) / seconds, &v);
	line(p, &v, (double)(now_ns - start_ns) / 1e9);
	if (p->phase == PG_MEASURE && run->result.interval_count < p->room)
		run->result.intervals[run->result.interval_count++] = v;
	p->received = received;
	p->at_ns = now_ns;
}

void pg_progress_watch(struct pg_progress *p)
{
	const struct timespec pause = {.tv_nsec = SLEEP_NS};
	uint64_t start = kx_clock_mono_ns();
	enum pg_phase phase;

	p->at_ns = start;
	do {
		nanosleep(&pause, NULL);
		uint64_t now = kx_clock_mono_ns();

		phase = (enum pg_phase)__atomic_load_n(&p->run->live.phase, __ATOMIC_ACQUIRE);
		if (phase != p->phase) {
			/* Intervals start with the phase; the rest of the old one is not reported. */
			p->phase = phase;
			p->at_ns = now;
			p->received = kx_counter_read(&p->run->live.received);
			copy_buckets(p->before, shown(p->run));
		} else if (now - p->at_ns >= KX_NS_PER_S) {
			second(p, now, start);
		}
	} while (phase != PG_DONE);
}
