/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * kaelix-sim --seed N [--seconds S] [--trace]        one run; prints its trace hash
 * kaelix-sim --seeds N [--from S] [--seconds S] [--jobs J] [--no-coverage]
 * A failing seed prints what is wrong and the command that replays it. Last line of many: `N seeds, K
 * failed`; the one before names what must occur and never did. Exit 1 for either.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sim.h"

#define JOBS_MAX 64
#define CPU_S	 20 /* a seed that takes longer goes round in a circle */

struct opts {
	uint64_t seed, seeds, from, seconds;
	uint32_t jobs;
	bool one, trace, no_coverage, first;
};

static int usage(void)
{
	fprintf(stderr,
		"usage: kaelix-sim --seed N [--seconds S] [--trace]\n"
		"       kaelix-sim --seeds N [--from S] [--seconds S] [--jobs J] [--first] "
		"[--no-coverage]\n");
	return 2;
}

static bool parse(int argc, char **argv, struct opts *o)
{
	for (int i = 1; i < argc; i++) {
		const char *a = argv[i];
		uint64_t n;

		if (strcmp(a, "--trace") == 0) {
			o->trace = true;
			continue;
		}
		if (strcmp(a, "--no-coverage") == 0) {
			o->no_coverage = true;
			continue;
		}
		if (strcmp(a, "--first") == 0) { /* stop at the first that fails */
			o->first = true;
			continue;
		}
		if (i + 1 == argc)
			return false;
		n = strtoull(argv[++i], NULL, 10);
		if (strcmp(a, "--seed") == 0) {
			o->one = true;
			o->seed = n;
		} else if (strcmp(a, "--seeds") == 0) {
			o->seeds = n;
		} else if (strcmp(a, "--from") == 0) {
			o->from = n;
		} else if (strcmp(a, "--seconds") == 0) {
			o->seconds = n;
		} else if (strcmp(a, "--jobs") == 0) {
			o->jobs = (uint32_t)KX_MIN(KX_MAX(n, 1), JOBS_MAX);
		} else {
			return false;
		}
	}
	return o->one || o->seeds > 0;
}

static void run_seed(const struct opts *o, uint64_t seed, struct sim_coverage *coverage)
{
	struct sim *s = calloc(1, sizeof(*s));

	s->seed = seed;
	s->trace = o->trace;
	sim_run(s, o->seconds);
	if (coverage != NULL)
		coverage_add(coverage, &s->coverage);
	if (o->one)
		printf("seed %llu: %llu events, %llu datagrams, %.1f s, %llu messages stored, %llu "
		       "confirmed, %llu "
		       "without, %llu delivered, trace %016llx\n",
			(unsigned long long)seed, (unsigned long long)s->events,
			(unsigned long long)s->net.sent, (double)(s->now_ns - s->begin_ns) / 1e9,
			(unsigned long long)s->oracle.appended, (unsigned long long)s->oracle.confirmed,
			(unsigned long long)s->oracle.unconfirmed, (unsigned long long)s->oracle.delivered,
			(unsigned long long)s->hash);
	sim_free(s);
	free(s);
}

struct job {
	pid_t pid;
	uint64_t seed;
};

static pid_t start(const struct opts *o, uint64_t seed, struct sim_coverage *coverage)
{
	struct rlimit cpu = {CPU_S, CPU_S};
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid != 0)
		return pid;
	setrlimit(RLIMIT_CPU, &cpu);
	run_seed(o, seed, coverage);
	fflush(stdout);
	_exit(0);
}

static void report(const struct opts *o, uint64_t seed, int status)
{
	if (WIFSIGNALED(status))
		printf("FAIL seed %llu: killed by signal %d%s\n", (unsigned long long)seed, WTERMSIG(status),
			WTERMSIG(status) == SIGXCPU || WTERMSIG(status) == SIGKILL ? " (took too long)" : "");
	printf("replay: ./tests/sim/run.sh --seed %llu --seconds %llu --trace\n", (unsigned long long)seed,
		(unsigned long long)o->seconds);
}

/* A process a seed: one that crashes is a seed that failed, and each begins in the same memory. */
static int run_many(const struct opts *o)
{
	struct sim_coverage *coverage = mmap(NULL, (o->jobs + 1) * sizeof(*coverage), PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct job jobs[JOBS_MAX] = {{0}};
	uint64_t next = o->from, end = o->from + o->seeds, failed = 0, done = 0;
	uint32_t running = 0;
	int never = 0;

	if (coverage == MAP_FAILED)
		return 1;
	while (next < end || running > 0) {
		int status;
		pid_t pid;

		for (uint32_t i = 0; i < o->jobs && next < end; i++) {
			if (jobs[i].pid != 0)
				continue;
			jobs[i] = (struct job){start(o, next, &coverage[i]), next};
			next++;
			running++;
		}
		pid = wait(&status);
		for (uint32_t i = 0; i < o->jobs; i++) {
			if (pid <= 0 || jobs[i].pid != pid)
				continue;
			jobs[i].pid = 0;
			running--;
			done++;
			if (status == 0)
				continue;
			failed++;
			report(o, jobs[i].seed, status);
			if (o->first)
				next = end;
		}
	}
	for (uint32_t i = 0; i < o->jobs; i++)
		coverage_add(&coverage[o->jobs], &coverage[i]);
	if (!o->no_coverage)
		never = coverage_print(&coverage[o->jobs], stdout);
	printf("%llu seeds, %llu failed\n", (unsigned long long)done, (unsigned long long)failed);
	return failed > 0 || never > 0;
}

int main(int argc, char **argv)
{
	struct opts o = {.seconds = 60, .from = 1, .jobs = (uint32_t)sysconf(_SC_NPROCESSORS_ONLN)};

	if (!parse(argc, argv, &o))
		return usage();
	o.jobs = KX_MIN(KX_MAX(o.jobs, 1u), JOBS_MAX);
	if (!o.one)
		return run_many(&o);
	run_seed(&o, o.seed, NULL);
	return 0;
}
