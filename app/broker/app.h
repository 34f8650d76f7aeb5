/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * The broker program: start-up in order, unwinding in reverse, and the control lcore. All of it runs on the
 * main thread. Functions return 0 or -1; on -1 they have put one sentence for the operator into app->why.
 */
#ifndef KX_APP_BROKER_H
#define KX_APP_BROKER_H

#include "kx_ethdev.h"
#include "kx_impair.h"
#include "kx_numa.h"
#include "kx_telemetry.h"

#define APP_EXIT_OUTPUT 1 /**< --check, --help, --version: nobody got the answer */
#define APP_EXIT_USAGE	2 /**< could not start */
#define APP_VERSION	KX_APP_VERSION

/** Command line behind `--`. */
struct app_options {
	const char *config;
	const char *log_file;
	bool check;
	bool help;
	bool version;
	bool impair_rx, impair_tx;
	struct kx_impair_conf impair[2]; /**< by enum kx_impair_dir */
	int eal_argc;			 /**< words in front of `--` */
	char **eal_argv;
};

/** One port of the ini. */
struct app_port {
	const struct kx_conf_port *conf;
	uint16_t port_id;
	struct kx_ethdev_limits limits;
	bool opened;
	bool waits; /**< not started: a memif client whose peer is not there yet */
	bool slices, cut;
	char path_text[64]; /**< delivery path, for people */
	struct kx_ethdev dev;
	struct kx_net_if nif;
	struct kx_impair *impair[KX_WORKER_QUEUES_MAX][2];
};

/** One data lcore. */
struct app_lcore {
	unsigned int lcore; /**< EAL id */
	int socket_id;
	bool polls;
	bool shares_cpu;
	const struct rte_memzone *log;
	bool log_contiguous; /**< in bus addresses: slices of it may be sent */
	int log_node;	     /**< where its pages are; -1 unknown */
	struct rte_mempool *pool;
	uint32_t pool_mbufs;
	struct kx_worker *worker;
	bool launched;
};

struct app {
	struct app_options opt;
	struct kx_conf *conf;
	char why_text[1024];
	struct kx_text why;
	bool no_huge; /**< --no-huge was given */
	bool eal_up;
	bool prefix_busy; /**< somebody else's: nothing of it is removed */
	char prefix[64];
	struct kx_numa_placement placement;
	uint32_t lcore_count;
	struct app_lcore lcores[KX_WORKER_LCORES_MAX];
	uint32_t port_count;
	struct app_port ports[KX_WORKER_PORTS_MAX];
	struct kx_worker_wiring wiring;
	struct kx_worker_fabric *fabric;
	struct kx_tsc_clock clock;
	struct kx_auth_secrets secrets;
	struct kx_auth_principals *principals;
	struct kx_audit *audit[KX_WORKER_LCORES_MAX];
	uint64_t boot_id;
	struct kx_quotas *quotas;
	struct kx_producer_ids *producer_ids;
	struct kx_fence *fence;
	struct kx_partition_offsets *offsets;
	struct kx_worker_paths paths;
	struct kx_telemetry_port tel_ports[KX_WORKER_PORTS_MAX];
	struct kx_worker *workers[KX_WORKER_LCORES_MAX];
	int log_nodes[KX_WORKER_LCORES_MAX];
	int signal_fd, timer_fd, epoll_fd; /**< -1: closed */
};

/** Say why the program cannot go on. @return -1 */
int app_fail(struct app *app, const char *fmt, ...) KX_PRINTF(2, 3);

/* options.c */
int app_options_parse(struct app *app, int argc, char **argv);
void app_options_usage(void);

/* check.c: --check, and reading the ini. */
int app_config_load(struct app *app);
int app_config_check(struct app *app);

/* eal.c: EAL's arguments, its log, its files. */
int app_eal_start(struct app *app);
void app_eal_stop(struct app *app);
/** The last complaint in EAL's log, for messages. */
const char *app_eal_said(void);

/* place.c: which lcores, and on which CPUs. */
/** Write `--lcores` for EAL when the operator gave none; data lcores from the ini or by policy. */
int app_place_before_eal(struct app *app, char *lcores, size_t size, bool operator_gave_lcores);
/** Check that EAL made these lcores; fills app->lcores. */
int app_place_after_eal(struct app *app);

/* memory.c */
/** Log and packet memory of this many data lcores, in bytes; before the ports' own limits are known. */
uint64_t app_memory_estimate(const struct app *app, uint32_t lcores);
int app_memory_reserve(struct app *app);
/** @return mbufs that did not come back to their pools */
uint64_t app_memory_release(struct app *app);

/* ports.c */
int app_ports_find(struct app *app);
int app_ports_open(struct app *app);
int app_ports_start(struct app *app);
/** Once a tick of the control lcore: start ports whose peer has come. */
void app_ports_tick(struct app *app);
void app_ports_close(struct app *app);
int app_port_stats(const void *arg, struct kx_telemetry_port_stats *out);

/* lcores.c: workers. */
/* Frames that can wait for data lcore i: what its producers' credit is bounded by. */
uint32_t app_rx_buffer_frames(const struct app *app, uint32_t i);
int app_lcores_create(struct app *app);
int app_lcores_launch(struct app *app);
/** Order all workers and wait until they have obeyed. */
void app_lcores_order(struct app *app, enum kx_worker_cmd_type type, uintptr_t arg);
/** Tell peers, stop loops, give buffers back; safe in any state. */
void app_lcores_stop(struct app *app);
void app_lcores_free(struct app *app);

/* control.c */
int app_control_prepare(struct app *app);
/** Sleep until a signal says stop. */
void app_control_loop(struct app *app);
void app_control_close(struct app *app);

/* audit.c: who was let in and who was not, as lines. */
/** Read the key files; before EAL, so that a wrong one is known at once. */
int app_audit_load(struct app *app);
int app_audit_create(struct app *app);
/** Once a tick of the control lcore: print what came, within [auth] audit_per_s. */
void app_audit_tick(struct app *app);
void app_audit_free(struct app *app);

/* print.c: lines on standard output while the broker serves. */
/** Add to the line; with its newline it is printed. @return false: nobody reads, the line was left out */
bool app_print(const char *fmt, ...) KX_PRINTF(1, 2);
/** For room in a pipe a line waits no longer than this; after one that was left out, not at all. */
void app_print_patience(int ms);

/* report.c */
void app_report_start(const struct app *app);
void app_report_ledger(const struct app *app);

#endif
