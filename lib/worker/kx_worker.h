/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * Worker: the data lcore. One run-to-completion loop that owns RX and TX queues, hand-over rings and one
 * broker, and the rings between such loops.
 *
 * A turn: take bursts from the RX queues, check them (lib/net), keep the frames whose UDP port is this
 * lcore's and hand the others over; take what others handed over; let the broker work; send; account. The
 * clock is read at the borders of these steps and passed in. Frames are owned by UDP destination port alone:
 * data lcore i listens on base port + i.
 *
 * Life: kx_worker_wire() decides who owns which queue, kx_worker_fabric_new() makes the rings,
 * kx_worker_new() makes the workers; then each runs kx_worker_run() on its lcore. To stop:
 * KX_WORKER_CMD_STOP, wait for kx_worker_broker_stopped(), KX_WORKER_CMD_QUIT, join, kx_worker_drain() for
 * each, close the ports, kx_worker_free(). Everything but kx_worker_run() and kx_worker_turn() belongs to the
 * control lcore.
 */
#ifndef KX_WORKER_H
#define KX_WORKER_H

#include <rte_mbuf.h>
#include <rte_mempool.h>
#include <rte_ring.h>

#include "kx_broker.h"
#include "kx_net.h"

#ifdef __cplusplus
extern "C" {
#endif

#define KX_WORKER_LCORES_MAX KX_CONF_LCORES_MAX
#define KX_WORKER_PORTS_MAX  KX_CONF_PORTS_MAX
#define KX_WORKER_QUEUES_MAX 64	 /**< queues of one port */
#define KX_WORKER_BURST_MAX  256 /**< largest rx_burst */
#define KX_WORKER_TX_MAX     512 /**< frames that wait for one TX queue */
#define KX_WORKER_TX_RESERVE                                                                                 \
	128 /**< of these, kept for acknowledgements and answers: kx_transport_ops.room */
#define KX_WORKER_TX_TRIES                                                                                   \
	2 /**< TX calls in a row that take nothing before a flush gives up for this turn                     \
	   */
#define KX_WORKER_TX_HOLD_NS                                                                                 \
	20000000		   /**< a frame waits this long for a port that takes nothing, then TX_FULL */
#define KX_WORKER_STASH		64 /**< empty mbufs taken from the pool in one call */
#define KX_WORKER_SLICES	4096 /**< slices in flight of one lcore */
#define KX_WORKER_TURN_COMMANDS 4    /**< commands obeyed in one housekeeping */
#define KX_WORKER_HOUSEKEEPING	256  /**< turns between two looks at commands, timers and low water */

/* ---- who owns which queue ------------------------------------------------------------------- */

/** What kx_worker_wire() is told of a port. */
struct kx_worker_port_shape {
	uint16_t rx_queues; /**< 1..KX_WORKER_QUEUES_MAX */
	uint16_t tx_queues; /**< 1..KX_WORKER_QUEUES_MAX */
};
/** Owners, by data lcore index. */
struct kx_worker_wiring {
	uint32_t lcore_count; /**< 1..KX_WORKER_LCORES_MAX */
	uint32_t port_count;  /**< 1..KX_WORKER_PORTS_MAX */
	struct kx_worker_port_shape shape[KX_WORKER_PORTS_MAX];
	uint8_t rx_owner[KX_WORKER_PORTS_MAX][KX_WORKER_QUEUES_MAX]; /**< [port][RX queue] -> lcore */
	uint8_t tx_via[KX_WORKER_PORTS_MAX]
		      [KX_WORKER_LCORES_MAX]; /**< [port][lcore] -> lcore that sends for it */
	uint8_t tx_queue[KX_WORKER_PORTS_MAX][KX_WORKER_LCORES_MAX]; /**< [port][lcore]: its own queue, where
									tx_via names itself */
};
/**
 * Give RX queues to the lcores with `polls[lcore]`, round robin over all queues of all ports, and TX queues
 * first to the lcores that poll the port, then to the others; lcores without one send through one that has
 * one, spread evenly. Pure.
 * @return 0; -EINVAL for counts outside their range or when no lcore polls.
 */
int kx_worker_wire(struct kx_worker_wiring *wiring, uint32_t lcore_count, const bool *polls,
	uint32_t port_count, const struct kx_worker_port_shape *shapes);

/* ---- rings between lcores ------------------------------------------------------------------- */

/** All SP/SC rings. Built once, then read-only (the rings themselves are used by their two lcores). */
struct kx_worker_fabric {
	struct kx_worker_wiring wiring;
	uint16_t base_port;    /**< UDP port of lcore 0, host order */
	uint32_t ring_entries; /**< of each */
	/** [from * lcore_count + to]: struct kx_frame elements; NULL where no frame can pass. */
	struct rte_ring **handover;
	/** [from * lcore_count + to]: mbufs for a TX queue of `to`, port in m->port; NULL where not needed.
	 */
	struct rte_ring **relay;
};
/**
 * @param entries  of each ring, power of two; one less is usable
 * @param sockets  NUMA node by lcore index
 * @return 0; -ENOMEM; -EEXIST when rings of another fabric with the same prefix exist
 */
int kx_worker_fabric_new(const struct kx_worker_wiring *wiring, const char *prefix, uint16_t base_port,
	uint32_t entries, const int *sockets, struct kx_worker_fabric **out);
/** Frees rings, which must be empty (kx_worker_drain()). NULL is fine. */
void kx_worker_fabric_free(struct kx_worker_fabric *fabric);
/** mbufs that can rest in the rings that lcore `from` feeds: for pool sizes. */
uint32_t kx_worker_fabric_rings_from(const struct kx_worker_wiring *wiring, uint32_t from);

/** Frames at the start of `frames` with the same UDP destination port as the first: one run. n > 0. */
static KX_ALWAYS_INLINE unsigned int kx_worker_run_length(const struct kx_frame *frames, unsigned int n)
{
	unsigned int i = 1;

	while (i < n && frames[i].local_port == frames[0].local_port)
		i++;
	return i;
}

/* ---- counters ------------------------------------------------------------------------------- */

/** One port as one lcore uses it. Written by the lcore, read by any thread with kx_counter_read(). */
struct kx_worker_port_stats {
	uint64_t rx_frames;  /**< taken from the port's RX queues */
	uint64_t rx_bursts;  /**< RX calls that brought something */
	uint64_t tx_frames;  /**< that its TX queue took */
	uint64_t tx_bursts;  /**< TX calls that took something */
	uint64_t tx_retries; /**< TX calls that took nothing */
	uint64_t tx_dropped; /**< TX_FULL on this port */
	uint64_t tx_waiting; /**< gauge: frames in the TX array now */
};

/** The loop. Same rule. */
struct kx_worker_stats {
	uint64_t turns;
	uint64_t busy_turns; /**< turns that did work */
	uint64_t work;	     /**< frames received, handed over, delivered; timers that fired */
	uint64_t max_work;   /**< of one turn */
	uint64_t busy_tsc;   /**< cycles of turns that did work */
	uint64_t idle_tsc;
	uint64_t max_gap_ns;	 /**< longest time from one turn's start to the next */
	uint64_t late_turns;	 /**< gaps over conf gap_threshold_us */
	uint64_t yields;	 /**< sched_yield() calls */
	uint64_t commands;	 /**< obeyed */
	uint64_t handover_in;	 /**< frames taken from hand-over rings */
	uint64_t relay_in;	 /**< frames taken from relay rings */
	uint64_t alloc;		 /**< mbufs given to the broker */
	uint64_t alloc_refills;	 /**< of these, when the stash had to be refilled from the pool */
	uint64_t alloc_failed;	 /**< pool was empty: TX_NO_BUFFER */
	uint64_t slices;	 /**< slices sent */
	uint64_t slices_refused; /**< asked for and copied instead (no slot, no mbuf, port cannot) */
	uint64_t pool_low_water; /**< lowest number of free mbufs of the pool seen */
	uint64_t slices_used;	 /**< gauge */
	uint64_t slices_high_water;
};

/* ---- commands ------------------------------------------------------------------------------- */

/**
 * Orders from the control lcore, on a single-producer single-consumer ring, a few a housekeeping. The control
 * lcore keeps what `arg` points to until kx_worker_stats.commands has counted the command.
 */
enum kx_worker_cmd_type {
	KX_WORKER_CMD_STOP = 1, /**< kx_broker_stop(): sessions are told, nothing new is taken */
	KX_WORKER_CMD_QUIT = 2, /**< leave kx_worker_run() */
	/** Use a port (index in `arg`, as a number), or leave it alone: a port is started and stopped only
	 * while no worker uses it. Frames for a port that is off wait, then are dropped as TX_FULL. */
	KX_WORKER_CMD_PORT_ON = 3,
	KX_WORKER_CMD_PORT_OFF = 4,
};
struct kx_worker_cmd {
	uint32_t type; /**< enum kx_worker_cmd_type */
	uint32_t zero;
	void *arg;
};

/* ---- the worker ----------------------------------------------------------------------------- */

/** A port as kx_worker_new() takes it, in the order of the wiring. */
struct kx_worker_port_conf {
	const struct kx_net_if *nif; /**< outlives the worker */
	uint16_t rx_burst;	     /**< 1..KX_WORKER_BURST_MAX */
	bool slices; /**< the port takes frames in several buffers and frees them on our thread */
	bool cut;    /**< received frames may be rewritten and sent on */
	bool off;    /**< not started yet: until KX_WORKER_CMD_PORT_ON */
	uint64_t *rx_pkts[KX_WORKER_QUEUES_MAX]; /**< by RX queue: the port's own count, kx_count()ed; or NULL
						  */
	uint64_t *tx_pkts[KX_WORKER_QUEUES_MAX];
};

struct kx_worker_config {
	const struct kx_conf *conf; /**< outlives the worker */
	const struct kx_worker_fabric *fabric;
	uint32_t index;	    /**< data lcore index */
	unsigned int lcore; /**< EAL id */
	int socket_id;
	bool shares_cpu; /**< another data lcore is bound to the same CPU: yield also when busy */
	const struct kx_tsc_clock *clock;
	struct rte_mempool *pool; /**< of this lcore: its RX queues and what it builds */
	const struct kx_worker_port_conf *ports;
	const struct kx_auth_secrets *secrets;
	const struct kx_auth_principals *principals; /**< as in struct kx_broker_config */
	struct kx_audit *audit;			     /**< this lcore's, or NULL */
	uint64_t boot_id;
	struct kx_quotas *quotas;	      /**< shared by all; NULL: none */
	struct kx_producer_ids *producer_ids; /**< shared by the workers, as is the fence */
	struct kx_fence *fence;
	uint8_t *log_memory;
	uint64_t log_memory_bytes;
	uint64_t sent_flag;	   /**< mbuf flag to set on what is given to a TX queue; 0: none */
	rte_iova_t log_iova;	   /**< of log_memory, when contiguous; RTE_BAD_IOVA: no slices */
	uint32_t rx_buffer_frames; /**< that RX descriptors and hand-over rings hold for this lcore: bounds
				      credit */
	struct kx_partition_offsets
		*offsets; /**< of all partitions, zeroed, cache-aligned; shared by the lcores */
	enum kx_deliver_path deliver_path;
	uint32_t cut_min_bytes;
	uint32_t slice_min_bytes;
};

/** An RX queue of this lcore. */
struct kx_worker_rxq {
	uint16_t port_id;
	uint16_t queue_id;
	uint16_t burst;
	uint8_t port; /**< index */
	bool cut;
	struct kx_net *net;
	uint64_t *rx_pkts; /**< never NULL */
};

/** The way out of one port for this lcore. Data lcore only. */
struct kx_worker_tx {
	struct rte_mbuf *waiting[KX_WORKER_TX_MAX]; /**< oldest first */
	uint32_t count;
	uint16_t port_id;
	uint16_t queue_id;
	bool off;     /**< neither polled nor sent on */
	bool stalled; /**< nothing was taken for KX_WORKER_TX_HOLD_NS: what is queued now is dropped at once
		       */
	bool slices;
	struct rte_ring *relay; /**< not NULL: another lcore sends for us */
	const struct kx_net_if *nif;
	struct kx_net *net;
	uint64_t *tx_pkts;    /**< never NULL */
	uint64_t progress_ns; /**< last time the port took something, or the array was empty */
};

struct kx_worker_slice;

/** One data lcore. Allocated on its node. */
struct kx_worker {
	/* Read-only after kx_worker_new(). */
	uint32_t index;
	uint32_t lcore_count;
	unsigned int lcore;
	int socket_id;
	uint16_t base_port;
	uint16_t rxq_count;
	uint16_t port_count;
	bool measure;	    /**< stage latencies are kept */
	uint64_t sent_flag; /**< mbuf flag set on what is given to a TX queue: kx_worker_config.sent_flag */
	uint64_t gap_threshold_ns;
	uint64_t yield_ns;    /**< 0: never */
	bool yield_when_busy; /**< shares its CPU with another data lcore */
	struct kx_tsc_clock clock;
	struct rte_mempool *pool;
	const struct rte_ring *pool_ring; /**< the pool's own, for its low water; NULL: not a ring */
	struct kx_broker *broker;
	const struct kx_worker_fabric *fabric;
	struct rte_ring *commands; /**< control lcore -> this lcore */
	uint8_t *log_memory;
	uint64_t log_memory_bytes;
	rte_iova_t log_iova;
	uint8_t port_index[RTE_MAX_ETHPORTS]; /**< port_id -> index; UINT8_MAX: not ours */
	struct kx_worker_rxq rxq[KX_WORKER_PORTS_MAX * KX_WORKER_QUEUES_MAX];

	/* Written by the data lcore only; nobody else reads. */
	uint64_t now_ns KX_ALIGNED(KX_CACHE_LINE); /**< of this turn's current step */
	uint64_t turn_tsc;			   /**< start of this turn */
	uint64_t yield_at_ns;
	uint64_t tick_at_ns;
	uint32_t housekeeping; /**< turns left */
	uint32_t stash_count;
	uint32_t turn_work; /**< of the turn that ends at the next clock reading */
	bool stopping;
	bool quit;
	uint64_t uncounted; /**< where packets of queues without a count of their own go */
	struct kx_worker_slice *slice_free;
	struct rte_mbuf *stash[KX_WORKER_STASH];
	struct rte_mbuf *mbufs[KX_WORKER_BURST_MAX];
	struct kx_frame frames[KX_WORKER_BURST_MAX];
	struct kx_worker_tx tx[KX_WORKER_PORTS_MAX];

	/* Written by the data lcore, read by telemetry. */
	struct kx_ledger ledger KX_ALIGNED(KX_CACHE_LINE);
	struct kx_worker_stats stats KX_ALIGNED(KX_CACHE_LINE);
	struct kx_worker_port_stats port_stats[KX_WORKER_PORTS_MAX];
	struct kx_hist *stage[KX_STAGE_COUNT]; /**< without RESIDENCE, which is kx_broker_residence(); NULL
						  when not measured */
	bool broker_stopped;		       /**< atomic */

	/* Written by the control lcore only. */
	struct kx_worker_slice *slices KX_ALIGNED(KX_CACHE_LINE); /**< storage */
} KX_ALIGNED(KX_CACHE_LINE);

/**
 * Make a worker, its broker and its network state. Allocates all it will ever use.
 * @return 0; -EINVAL; -ENOMEM; or what kx_broker_create() said
 */
int kx_worker_new(const struct kx_worker_config *config, struct kx_worker **out);
/** After kx_worker_drain() and after the ports were closed (they hold pins). NULL is fine. */
void kx_worker_free(struct kx_worker *w);

/** The loop, until KX_WORKER_CMD_QUIT; an lcore_function_t. @param arg struct kx_worker. @return 0 */
int kx_worker_run(void *arg);
/** One turn, for tests and for kx_worker_run(). @return work done */
unsigned int kx_worker_turn(struct kx_worker *w);

/** Order a worker. Control lcore. @return 0; -ENOBUFS when its ring is full: ask again later */
int kx_worker_command(struct kx_worker *w, enum kx_worker_cmd_type type, void *arg);
/** Has the broker told every session (after KX_WORKER_CMD_STOP)? Any thread. */
bool kx_worker_broker_stopped(const struct kx_worker *w);

/**
 * After kx_worker_run() has returned on all lcores: take what rests in the rings that feed this worker,
 * charge it to BROKER_STOPPING, send what still waits, give back empty mbufs. Call it for every worker, then
 * close the ports.
 */
void kx_worker_drain(struct kx_worker *w);

/* ---- choosing how deliveries leave ---------------------------------------------------------- */

/** What kx_worker_measure_paths() found, ns a frame. */
struct kx_worker_paths {
	uint32_t cut_min_bytes;	  /**< for kx_broker_config */
	uint32_t slice_min_bytes; /**< UINT32_MAX: never */
	double copy_ns_64, copy_ns_1400, copy_ns_8192;
	double slice_ns; /**< attach and give back, and what a second buffer costs the port; independent of
			    size */
	double cut_ns;	 /**< rewrite in place */
};
/**
 * Measure on this thread, for at most ~20 ms, what copying from log memory into an mbuf costs by size,
 * against attaching log memory and against rewriting a received mbuf.
 * @param log  at least 1 MiB of log memory; read only
 * @return 0; -ENOMEM when the pool has not 64 free mbufs
 */
int kx_worker_measure_paths(struct rte_mempool *pool, const uint8_t *log, uint64_t log_bytes,
	const struct kx_tsc_clock *clock, struct kx_worker_paths *out);

#ifdef __cplusplus
}
#endif
#endif
