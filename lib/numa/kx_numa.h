/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * Placement: which lcores run data loops, on which CPU and node, where their pools and logs live, and whether
 * pages really are where they were asked for. Portable but for Linux's /sys and libnuma's move_pages(2).
 *
 * Decisions are made on a description of the machine (struct kx_numa_topology), read from /sys or written by
 * hand, so that two-node machines are tried on any machine. Nothing is bound or moved here: EAL pins its
 * lcores, the caller allocates on the nodes it is told. Start-up only; one thread.
 */
#ifndef KX_NUMA_H
#define KX_NUMA_H

#include "kx_base.h"
#include "kx_conf.h"

#ifdef __cplusplus
extern "C" {
#endif

#define KX_NUMA_CPUS_MAX	1024
#define KX_NUMA_NODES_MAX	32
#define KX_NUMA_PAGE_SIZES_MAX	4
#define KX_NUMA_NODE_UNKNOWN	(-1)
#define KX_NUMA_DISTANCE_LOCAL	10 /**< as firmware tables count */
#define KX_NUMA_DISTANCE_REMOTE 20 /**< where the machine does not say */

/* ---- the machine
 * ------------------------------------------------------------------------------------------- */

struct kx_numa_cpu {
	bool online;
	bool isolated; /**< the scheduler puts nothing there by itself (isolcpus=) */
	int16_t node;  /**< 0.., or KX_NUMA_NODE_UNKNOWN */
	int16_t core;  /**< physical core: the lowest CPU number of its SMT siblings */
};

struct kx_numa_hugepages {
	uint64_t page_bytes;
	uint64_t total_pages;
	uint64_t free_pages;
};

struct kx_numa_node {
	bool online;
	uint64_t memory_bytes; /**< 0: a node without memory */
	uint32_t page_sizes;
	struct kx_numa_hugepages hugepages[KX_NUMA_PAGE_SIZES_MAX];
};

/** The machine by CPU number and node number. About 8 KB. */
struct kx_numa_topology {
	uint32_t cpu_count;  /**< highest CPU number + 1 */
	uint32_t node_count; /**< highest node number + 1; 1 on a machine without NUMA */
	struct kx_numa_cpu cpu[KX_NUMA_CPUS_MAX];
	struct kx_numa_node node[KX_NUMA_NODES_MAX];
	uint8_t distance[KX_NUMA_NODES_MAX][KX_NUMA_NODES_MAX];
};

/**
 * Read the machine. What /sys does not tell (containers hide parts of it) becomes one node with all CPUs,
 * each its own core.
 * @param sysfs where /sys is; NULL = "/sys"
 * @return 0; -ENOENT when not even the CPUs can be listed
 */
int kx_numa_read(const char *sysfs, struct kx_numa_topology *topology);

/**
 * Node of a PCI device ("0000:03:00.0" or "03:00.0"), before EAL knows it.
 * @param sysfs as in kx_numa_read()
 * @return node, or KX_NUMA_NODE_UNKNOWN for virtual devices, machines without NUMA and devices that are not
 * there
 */
int kx_numa_pci_node(const char *sysfs, const char *device);

/** Free hugepage memory of a node in bytes, all page sizes. */
uint64_t kx_numa_free_hugepage_bytes(const struct kx_numa_topology *topology, int node);

/* ---- placement
 * --------------------------------------------------------------------------------------------- */

/** An lcore as EAL was given it, or as it will be: before EAL runs, one for each CPU the process may use. */
struct kx_numa_lcore {
	uint16_t lcore_id;
	uint16_t cpu;
	bool main; /**< EAL's main lcore: control work, never a data loop */
};

/** A port as it was found. */
struct kx_numa_port {
	const char *name;
	int node; /**< KX_NUMA_NODE_UNKNOWN for virtual devices */
};

struct kx_numa_request {
	enum kx_conf_policy policy;
	const uint16_t *data; /**< lcores the ini names, in order */
	uint32_t data_count;  /**< 0: choose by policy */
	const uint16_t *rx;   /**< those of them that poll; rx_count 0: all */
	uint32_t rx_count;
	const struct kx_numa_lcore *lcores;
	uint32_t lcore_count;
	const struct kx_numa_port *ports;
	uint32_t port_count; /**< at most KX_CONF_PORTS_MAX */
	uint64_t node_bytes; /**< log and pool memory that each data lcore needs */
	bool hugepages;	     /**< that memory comes from hugepages: their number per node is checked */
};

/** One data lcore, by data lcore index. */
struct kx_numa_place {
	uint16_t lcore_id;
	uint16_t cpu;
	int node;	  /**< of the CPU; KX_NUMA_NODE_UNKNOWN where /sys does not say */
	int memory_node;  /**< where its log and its packet buffers belong: its node, or the nearest with
			     memory */
	bool rx;	  /**< polls RX queues */
	bool isolated;	  /**< nothing else is scheduled on its CPU */
	bool shares_cpu;  /**< another lcore runs on the same CPU */
	bool shares_core; /**< an SMT sibling runs another lcore */
};

#define KX_NUMA_TEXT_MAX 8192

/** What was decided, and why. About 18 KB. */
struct kx_numa_placement {
	uint32_t data_count;
	struct kx_numa_place data[KX_CONF_LCORES_MAX];
	int port_node[KX_CONF_PORTS_MAX]; /**< the port's own, or that of the first lcore that polls where
					     unknown */
	uint32_t reason_count;
	uint32_t warning_count;		 /**< lines that were found; text beyond KX_NUMA_TEXT_MAX is cut */
	char reasons[KX_NUMA_TEXT_MAX];	 /**< one line each, ended by '\n' */
	char warnings[KX_NUMA_TEXT_MAX]; /**< one line for each mismatch, naming both sides */
};

/**
 * Decide. With lcores from the ini, only verify them; else by policy:
 * latency: one lcore a physical core, near a port, away from the main lcore's core, isolated CPUs only where
 * there are any; throughput: all lcores, SMT siblings too, those near a port first; balanced: one a physical
 * core, nodes of the ports in turn. Each falls back to the next best and says so.
 * @return 0; -ENODEV with one warning that says what is missing: no lcore for data loops, or one that the ini
 * names and EAL was not given; -EINVAL when the ini names the main lcore, or more ports than allowed
 */
int kx_numa_place(const struct kx_numa_topology *topology, const struct kx_numa_request *request,
	struct kx_numa_placement *placement);

/* ---- where pages are
 * --------------------------------------------------------------------------------------- */

#define KX_NUMA_SAMPLES_MAX 4096

struct kx_numa_pages {
	uint32_t sampled;
	uint32_t absent;  /**< not touched yet */
	uint32_t unknown; /**< the kernel does not say, or a node beyond KX_NUMA_NODES_MAX */
	uint32_t on_node[KX_NUMA_NODES_MAX];
};

/**
 * Ask the kernel where pages are, without touching or moving them.
 * @param page_bytes size of the pages there (a hugepage counts once); power of two
 * @param samples at most this many pages, evenly spread over the region; 0 = KX_NUMA_SAMPLES_MAX
 * @return 0; -EINVAL; or the errno of move_pages(2) (-ENOSYS, -EPERM in some containers)
 */
int kx_numa_verify_pages(
	const void *addr, uint64_t bytes, uint64_t page_bytes, uint32_t samples, struct kx_numa_pages *pages);

/** The one node all sampled pages are on; KX_NUMA_NODE_UNKNOWN when absent, unknown or on several. */
int kx_numa_pages_node(const struct kx_numa_pages *pages);

#ifdef __cplusplus
}
#endif
#endif
