/* SPDX-License-Identifier: BSD-3-Clause */
/* kaelix-pktgen: start, run one mode, print and write what was found, stop. */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_launch.h>
#include <rte_version.h>

#include "broker_telemetry.h"
#include "fingerprint.h"
#include "progress.h"

#define EXIT_NOT_CLEAN	1
#define EXIT_CANNOT_RUN 2
#define EAL_ARGS_MAX	64

static volatile sig_atomic_t stop_signal;

/* Written beside its name and renamed, so that who waits for it finds it whole. */
static struct {
	FILE *out;
	char tmp[PATH_MAX]; /* "": the name is no regular file (/dev/stdout) and is written to directly */
} json_file;

static void on_signal(int sig)
{
	stop_signal = sig;
}

static int cannot(const char *what)
{
	fflush(stdout);
	fprintf(stderr, "kaelix-pktgen: %s\n", what);
	return EXIT_CANNOT_RUN;
}

static int cannot_write(const char *name, int err)
{
	fflush(stdout);
	fprintf(stderr, "kaelix-pktgen: --json %s: %s\n", name, kx_strerror(err));
	return EXIT_CANNOT_RUN;
}

static int split_at(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (strcmp(argv[i], "--") == 0)
			return i;
	return argc;
}

static bool has_arg(int argc, char **argv, const char *name)
{
	for (int i = 1; i < argc; i++)
		if (strncmp(argv[i], name, strlen(name)) == 0)
			return true;
	return false;
}

/* What EAL gets besides the user's arguments: own file prefix, only grave log lines, no hugepage files left.
 */
static int start_eal(int argc, char **argv)
{
	static char prefix[] = "--file-prefix=kaelix-pktgen", quiet[] = "--log-level=3",
		    gone[] = "--huge-unlink";
	char *args[EAL_ARGS_MAX + 4];
	int n = 0;

	if (argc > EAL_ARGS_MAX)
		return -E2BIG;
	for (; n < argc; n++)
		args[n] = argv[n];
	if (!has_arg(argc, argv, "--file-prefix"))
		args[n++] = prefix;
	if (!has_arg(argc, argv, "--log-level"))
		args[n++] = quiet;
	if (!has_arg(argc, argv, "--no-huge") && !has_arg(argc, argv, "--huge-unlink") &&
		!has_arg(argc, argv, "--in-memory"))
		args[n++] = gone;
	args[n] = NULL;
	return rte_eal_init(n, args) < 0 ? -rte_errno : 0;
}

static int open_json(const char *name)
{
	struct stat st;
	bool direct = stat(name, &st) == 0 && !S_ISREG(st.st_mode);
	int len = direct ? 0 : snprintf(json_file.tmp, sizeof(json_file.tmp), "%s.tmp", name);

	if (len >= (int)sizeof(json_file.tmp))
		return -ENAMETOOLONG;
	json_file.out = fopen(direct ? name : json_file.tmp, "we");
	return json_file.out != NULL ? 0 : -errno;
}

static int close_json(const char *name)
{
	FILE *out = json_file.out;
	bool lost = ferror(out) != 0;

	json_file.out = NULL;
	errno = 0;
	if (fclose(out) != 0 || lost)
		return errno != 0 ? -errno : -EIO;
	if (json_file.tmp[0] != '\0' && rename(json_file.tmp, name) != 0)
		return -errno;
	json_file.tmp[0] = '\0';
	return 0;
}

/* What a run without a result leaves. */
static void drop_json(void)
{
	if (json_file.out != NULL)
		fclose(json_file.out);
	if (json_file.tmp[0] != '\0')
		unlink(json_file.tmp);
}

static int write_json(const struct pg_run *run)
{
	struct pg_json j;

	pg_json_begin(&j, json_file.out);
	pg_json_object(&j, NULL);
	pg_json_u64(&j, "schema", 1);
	pg_fingerprint_json(
		&j, rte_version(), run->result.wire, run->rig->dev.driver, run->rig->clock.ticks_per_ns);
	pg_json_array(&j, "results");
	pg_result_json(&run->result, &j);
	pg_json_end(&j, ']');
	pg_json_end(&j, '}');
	return close_json(run->o->json);
}

static int write_setup_json(const struct pg_run *run)
{
	struct pg_json j;

	pg_json_begin(&j, json_file.out);
	pg_json_object(&j, NULL);
	pg_json_u64(&j, "schema", 1);
	pg_fingerprint_json(
		&j, rte_version(), run->rig->wire, run->rig->dev.driver, run->rig->clock.ticks_per_ns);
	pg_json_array(&j, "rows");
	for (size_t i = 0; i < KX_DIM(run->setup); i++) {
		pg_json_object(&j, NULL);
		pg_json_text(&j, "name", run->setup[i].name);
		pg_json_u64(&j, "count", run->setup[i].count);
		pg_json_u64(&j, "min_ns", run->setup[i].min_ns);
		pg_json_u64(&j, "p50_ns", run->setup[i].p50_ns);
		pg_json_u64(&j, "p99_ns", run->setup[i].p99_ns);
		pg_json_u64(&j, "max_ns", run->setup[i].max_ns);
		pg_json_end(&j, '}');
	}
	pg_json_end(&j, ']');
	pg_json_end(&j, '}');
	return close_json(run->o->json);
}

static void finish_result(struct pg_run *run)
{
	struct pg_result *r = &run->result;
	const struct pg_options *o = run->o;

	snprintf(r->wire, sizeof(r->wire), "%s", run->rig->wire);
	r->software_wire = run->rig->software_wire;
	r->sent = run->measured_sent;
	r->received = run->measured_received;
	r->max_gap_ns = run->max_gap_ns;
	r->gaps_over_1ms = run->gaps_over_1ms;
	r->latency = o->mode == PG_PRODUCE ? NULL : run->latency;
	r->ack = o->mode == PG_PRODUCE || o->mode == PG_E2E ? run->ack : NULL;
	r->lag = o->arrivals == PG_MAX ? NULL : run->lag;
	r->idle = run->idle;
	if (o->broker_telemetry != NULL)
		pg_broker_residence(o->broker_telemetry, &r->residence);
	pg_result_judge(r);
}

static bool clean(const struct pg_run *run)
{
	const struct pg_result *r = &run->result;

	return (r->complete || stop_signal != 0) &&
		r->lost + r->duplicated + r->reordered + r->corrupt + r->failed == 0;
}

static int run_and_report(struct pg_run *run)
{
	struct pg_progress progress;
	int rc = 0;

	if (pg_progress_init(&progress, run) != 0)
		return cannot("out of memory");
	rc = rte_eal_remote_launch(
		run->o->mode == PG_ECHO ? pg_echo_loop : pg_load_loop, run, run->rig->lcore);
	if (rc == 0) {
		pg_progress_watch(&progress);
		rc = rte_eal_wait_lcore(run->rig->lcore);
	}
	if (rc != 0) {
		pg_progress_fini(&progress);
		return cannot(run->result.trouble);
	}
	finish_result(run);
	pg_result_print(&run->result, stdout);
	fflush(stdout);
	if (run->o->json != NULL) {
		int err = write_json(run);

		rc = err != 0 ? cannot_write(run->o->json, err) : 0;
	}
	pg_progress_fini(&progress);
	if (rc == 0)
		rc = clean(run) ? EXIT_SUCCESS : EXIT_NOT_CLEAN;
	pg_rig_hold(run->rig, run->o->hold_s);
	return rc;
}

/* Sessions one after another: no schedule, no phases, no result but what it prints. */
static int run_setup(struct pg_run *run)
{
	int rc = rte_eal_remote_launch(pg_setup_loop, run, run->rig->lcore);

	if (rc == 0)
		rc = rte_eal_wait_lcore(run->rig->lcore);
	if (rc != 0)
		return cannot(run->result.trouble);
	fflush(stdout);
	if (run->o->json != NULL) {
		int err = write_setup_json(run);

		rc = err != 0 ? cannot_write(run->o->json, err) : 0;
	}
	pg_rig_hold(run->rig, run->o->hold_s);
	return rc;
}

static int run_mode(const struct pg_options *o, struct pg_rig *rig)
{
	static struct pg_run run;
	char line[512];
	struct kx_text why;
	int rc;

	kx_text_init(&why, line, sizeof(line));
	if (pg_rig_open(rig, o, &why) != 0)
		rc = cannot(line);
	else if (pg_run_init(&run, o, rig, &stop_signal) != 0)
		rc = cannot("out of memory");
	else
		rc = o->setup != 0 ? run_setup(&run) : run_and_report(&run);
	pg_run_fini(&run);
	unsigned int missing = pg_rig_close(rig);

	if (missing > 0 && rc == 0)
		printf("  %u buffers did not come back from the port\n", missing);
	return rc;
}

int main(int argc, char **argv)
{
	int split = split_at(argc, argv), rc;
	struct sigaction act = {.sa_handler = on_signal};
	static struct pg_rig rig;
	struct pg_options options;
	struct kx_text error;
	char line[512];

	if (kx_stdio_open() != 0)
		return EXIT_CANNOT_RUN;
	kx_text_init(&error, line, sizeof(line));
	if (split == argc && (has_arg(argc, argv, "--help") || has_arg(argc, argv, "-h"))) {
		fputs(pg_options_help(), stdout);
		return EXIT_SUCCESS;
	}
	switch (pg_options_parse(&options, argc - split, argv + split, &error)) {
	case PG_PARSE_HELP:
		fputs(pg_options_help(), stdout);
		return EXIT_SUCCESS;
	case PG_PARSE_ERROR:
		return cannot(line);
	case PG_PARSE_RUN:
		break;
	}
	if (options.json != NULL && (rc = open_json(options.json)) != 0)
		return cannot_write(options.json, rc);
	atexit(drop_json);
	rig.stop = &stop_signal;
	/* Before EAL, so that a port is started soon after it is there. */
	if (kx_tsc_clock_calibrate(&rig.clock, KX_NS_PER_S) != 0)
		return cannot("this CPU has no invariant TSC to measure with");
	rc = start_eal(split, argv);
	if (rc != 0) {
		kx_text_add(&error, "DPDK's EAL did not start: %s; its arguments come before --",
			kx_strerror(rc));
		return cannot(line);
	}
	sigaction(SIGINT, &act, NULL);
	sigaction(SIGTERM, &act, NULL);
	rc = run_mode(&options, &rig);
	rte_eal_cleanup();
	return rc;
}
