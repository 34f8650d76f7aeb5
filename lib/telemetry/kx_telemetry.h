/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * Telemetry: the `/kaelix/...` commands on DPDK's telemetry socket, readable with dpdk-telemetry.py. Keys and
 * units: doc/telemetry.md.
 *
 * One table names all commands (kx_telemetry_commands()). Callbacks run on DPDK's telemetry thread; they read
 * the single-writer structures of the data lcores with kx_counter_read() and never disturb them. Single
 * values are whole; several values of one reply need not be of the same instant. A missing, unknown or
 * malformed argument is answered with {"error": "..."}; nothing a client sends can do more.
 *
 * Limits of DPDK 22.11: 256 entries a dict, 16 KiB a reply. Lists are paged: `/kaelix/session/list,FIRST`
 * starts at FIRST, and the reply's `next` says where to go on (-1: that was all).
 */
#ifndef KX_TELEMETRY_H
#define KX_TELEMETRY_H

#include "kx_worker.h"

#ifdef __cplusplus
extern "C" {
#endif

#define KX_TELEMETRY_PORTS_MAX KX_WORKER_PORTS_MAX

/** A port's own counters, as kx_telemetry_port.stats() fills them. */
struct kx_telemetry_port_stats {
	uint64_t ipackets, opackets, ibytes, obytes;
	uint64_t imissed, ierrors, rx_nombuf, oerrors;
	bool driver_counts; /**< false: ipackets and opackets are the data lcores' own counts */
	bool link_up;
	uint32_t link_mbit_s; /**< 0: unknown */
	bool impaired_tx; /**< frames are changed between data lcore and driver: the TX side cannot close */
	uint64_t impair_lost, impair_duplicated,
		impair_held;			       /**< RX impairment, between driver and data lcore */
	uint64_t impair_lost_large;		       /**< of impair_lost, frames of 1024 bytes at least */
	uint64_t impair_tx_lost, impair_tx_lost_large; /**< the same of TX impairment */
};

/** A port. The table is read-only while telemetry runs. */
struct kx_telemetry_port {
	uint16_t port_id;
	const char *name;   /**< as in the ini */
	const char *driver; /**< "net_memif" */
	int socket_id;
	uint16_t mtu, rx_queues, tx_queues, rx_descs, tx_descs;
	struct rte_ether_addr mac;
	bool zero_copy;
	const char *deliver_path; /**< what deliveries on this port use, for people */
	const void *arg;
	/** @return 0 or -errno. Called on the telemetry thread. */
	int (*stats)(const void *arg, struct kx_telemetry_port_stats *out);
};

struct kx_telemetry_config {
	const struct kx_conf *conf;
	const char *version;
	uint64_t boot_id;
	uint64_t start_real_ns; /**< CLOCK_REALTIME of the start */
	bool hugepages;
	uint32_t worker_count;
	struct kx_worker *const *workers;
	const int *log_nodes; /**< by worker: NUMA node its log memory is really on, -1 unknown */
	uint32_t port_count;
	const struct kx_telemetry_port *ports;
	struct kx_worker_paths paths; /**< measured at start */
};

/**
 * Register the commands (the first time) and answer them from `config` from now on. Everything `config`
 * points to must stay until kx_telemetry_stop().
 * @return 0; -EINVAL; -ENOMEM; or what rte_telemetry_register_cmd() said
 */
int kx_telemetry_start(const struct kx_telemetry_config *config);
/** From now on commands are answered with an error. Waits for a command that is being answered. */
void kx_telemetry_stop(void);

struct kx_telemetry_command {
	const char *name; /**< "/kaelix/info" */
	const char *args; /**< "", "ID", "[FIRST]", ... */
	const char *help;
};
/** All commands. Static; any thread. */
const struct kx_telemetry_command *kx_telemetry_commands(size_t *count);

#ifdef __cplusplus
}
#endif
#endif
