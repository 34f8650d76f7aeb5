/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * Ethdev: one DPDK port from a plain description: made, configured, started, observed, stopped, in that
 * order.
 *
 * All functions belong to the control thread (EAL main lcore) except kx_ethdev_drain(), which the thread that
 * owns the TX queue calls, or the control thread once that thread has stopped. Functions that can fail for a
 * reason an operator can mend add one clear sentence to `why` (never NULL).
 */
#ifndef KX_ETHDEV_H
#define KX_ETHDEV_H

#include <rte_ethdev.h>
#include <rte_mempool.h>

#include "kx_base.h"

#ifdef __cplusplus
extern "C" {
#endif

#define KX_ETHDEV_QUEUES_MAX 64

/**
 * Packets of one queue as counted by the thread that owns it (kx_count()): for ports whose driver does not
 * count. Single writer; one cache line each.
 */
struct kx_ethdev_queue_count {
	uint64_t rx_pkts;
	uint64_t rx_bytes; /**< Ethernet frames without FCS; may stay 0 where nobody counts bytes */
	uint64_t tx_pkts;
	uint64_t tx_bytes;
} KX_ALIGNED(KX_CACHE_LINE);

/** What is wanted of a port. Zero means "the device's default" where it says so. */
struct kx_ethdev_conf {
	uint16_t rx_queues; /**< 1..KX_ETHDEV_QUEUES_MAX; cut to what the device has */
	uint16_t tx_queues; /**< likewise */
	uint16_t rx_descs;  /**< a queue; 0: default; adjusted to the device's limits */
	uint16_t tx_descs;
	uint16_t mtu;	    /**< bytes of IP packet; 0: leave. -ERANGE when the device cannot */
	bool promiscuous;   /**< ignored by devices without the notion */
	bool allmulticast;  /**< wanted with IPv6: neighbour discovery comes by multicast */
	bool rx_checksum;   /**< use RX checksum offload where the device has it */
	bool tx_checksum;   /**< likewise TX UDP */
	bool tx_multi_segs; /**< frames in several buffers (slices) will be sent */
	/**
	 * MBUF_FAST_FREE may be used: every mbuf sent on a TX queue comes from one pool, is direct and has
	 * reference count 1. False as soon as slices or received mbufs of another pool are sent.
	 */
	bool tx_fast_free;
	/** Pool of each RX queue; one for all when rx_pool_count is 1. Needed until kx_ethdev_close(). */
	struct rte_mempool *const *rx_pools;
	uint16_t rx_pool_count;
};

/** A configured port: what it became. Filled by kx_ethdev_open(), then read-only. */
struct kx_ethdev {
	uint16_t port_id;
	uint16_t rx_queues, tx_queues;
	uint16_t rx_descs, tx_descs; /**< a queue, as the device uses them (memif: its rsize) */
	uint16_t mtu;
	int socket_id;		   /**< NUMA node, SOCKET_ID_ANY when unknown */
	struct rte_ether_addr mac; /**< made up from the port id where the driver has none (net_ring) */
	bool rx_ip_checksum, rx_udp_checksum; /**< the port gives a verdict */
	bool tx_udp_checksum;		      /**< for kx_net_if_conf.tx_udp_offload */
	bool tx_multi_segs;		      /**< the port takes frames in several buffers */
	bool tx_fast_free;
	bool rss;	/**< received frames are spread over the queues by hash */
	bool zero_copy; /**< memif client with zero-copy=yes: frames are sent from our own memory */
	bool forgets;	/**< does not return all mbufs when closed: kx_ethdev_reclaim() */
	bool keeps_tx;	/**< returns sent mbufs only with a later TX call: kx_ethdev_drain() */
	bool started;
	bool want_promiscuous, want_allmulticast;
	char driver[32];	     /**< "net_memif" */
	char name[64];		     /**< device name */
	struct kx_ethdev *next_open; /**< ports open at the same time: who shares a pool */
	uint16_t rx_pool_count;
	struct rte_mempool *rx_pools[KX_ETHDEV_QUEUES_MAX];
	struct kx_ethdev_queue_count count[KX_ETHDEV_QUEUES_MAX]; /**< by queue; its owner writes */
};

/**
 * Make a virtual device: "net_memif0,role=client,socket=/run/x.sock" (name, comma, arguments).
 * @return 0 and *port_id; -EEXIST when a device has that name; -ENODEV and a sentence when the driver is
 * unknown or refuses.
 */
int kx_ethdev_make_vdev(const char *devargs, uint16_t *port_id, struct kx_text *why);
/** Undo kx_ethdev_make_vdev(), after kx_ethdev_close(). @return 0 or -errno */
int kx_ethdev_remove_vdev(const char *name);
/** Port of a device name ("net_memif0", "0000:01:00.0"). @return 0 or -ENODEV */
int kx_ethdev_find(const char *name, uint16_t *port_id);

/** What can be known before kx_ethdev_open(), to size pools: descriptors after adjustment, node, queues. */
struct kx_ethdev_limits {
	uint16_t rx_queues_max, tx_queues_max;
	uint16_t rx_descs, tx_descs; /**< what the wanted numbers become */
	uint16_t mtu_max;
	uint32_t max_rx_frame_bytes; /**< of one frame the device may deliver */
	int socket_id;
	bool zero_copy;
	bool memif; /**< both ends must have the same number of queues */
};
/** @return 0, -ENODEV */
int kx_ethdev_limits(uint16_t port_id, uint16_t rx_descs, uint16_t tx_descs, struct kx_ethdev_limits *out);

/** Who can hold mbufs of a pool at the same time. */
struct kx_ethdev_pool_need {
	uint32_t rx_queues, rx_descs; /**< RX queues fed from the pool and their descriptors */
	uint32_t tx_queues, tx_descs; /**< TX queues its mbufs may be sent on */
	uint32_t rings, ring_entries; /**< hand-over rings they may rest in */
	uint32_t threads, burst;      /**< threads that allocate or free (a cache each) and frames a turn */
	uint32_t extra;		      /**< held elsewhere: reorder lines, mbufs as log */
};
/** Smallest pool that never runs dry: the sum of the above, caches at 1.5 times, and a reserve of 1/16. */
uint32_t kx_ethdev_pool_mbufs(const struct kx_ethdev_pool_need *need);
/** Cache of a pool of n mbufs: a multiple of the usual burst, <= 512 and n / 1.5, shared by `threads`. */
uint32_t kx_ethdev_pool_cache(uint32_t mbufs, uint32_t threads);
/** Data room (headroom included) for one frame of this MTU in one buffer, rounded up to 128: 2176 (what
 * af_packet and af_xdp insist on) to 65408. */
uint16_t kx_ethdev_data_room(uint16_t mtu);
/**
 * Make an mbuf pool. @param name unique in the process. @param priv_bytes private area of each mbuf, multiple
 * of 8.
 * @return NULL with a sentence in `why` (how much was asked, on which node).
 */
struct rte_mempool *kx_ethdev_pool_new(const char *name, uint32_t mbufs, uint32_t cache, uint16_t priv_bytes,
	uint16_t data_room, int socket_id, struct kx_text *why);

/**
 * Configure the port and set up its queues. What the device cannot do is cut down (queues, descriptors,
 * offloads) and visible in *dev; MTU is not negotiable.
 * @return 0; -ENODEV; -EINVAL for an impossible description; -ERANGE (MTU); the driver's error; with a
 * sentence in `why`.
 */
int kx_ethdev_open(
	struct kx_ethdev *dev, uint16_t port_id, const struct kx_ethdev_conf *conf, struct kx_text *why);
/** Start; waits up to wait_ms for the link (memif: its peer) where that is > 0 and says so when it is down.
 * @return 0 (also with the link down), or the driver's error. */
int kx_ethdev_start(struct kx_ethdev *dev, uint32_t wait_ms, struct kx_text *why);
/** Stop. Data threads no longer use the port. Safe when not started. */
void kx_ethdev_stop(struct kx_ethdev *dev);
/** Close the port (also after a failed kx_ethdev_open()); its queues give their mbufs back, those to the RX
 * pools included that the driver forgets (see kx_ethdev_reclaim()). After this the pools may be checked and
 * freed. */
void kx_ethdev_close(struct kx_ethdev *dev);
/**
 * Give back mbufs that a closed driver of DPDK 22.11 has forgotten: net_af_xdp those posted for reception,
 * net_memif as zero-copy client these and those sent but not taken by the peer. kx_ethdev_close() does it for
 * the RX pools, a pool shared with other open ports when the last of them is closed; call it for every other
 * pool whose mbufs were sent on the port, once all ports are closed. No data thread runs; every mbuf of ours
 * has been freed before. What looks like the driver's is: fresh and empty, or with a second reference.
 * @return mbufs given back (0 for ports of other drivers); -ENOMEM
 */
int kx_ethdev_reclaim(const struct kx_ethdev *dev, struct rte_mempool *pool);
/**
 * Name of the mbuf flag (rte_mbuf_dynflag_register()) that a sender may set on mbufs it gives to a TX queue,
 * so that kx_ethdev_reclaim() knows them whatever their reference count. Allocation clears it.
 */
#define KX_ETHDEV_SENT_FLAG "kx_sent"
/** The flag's bit, or 0 when nobody registered it. */
uint64_t kx_ethdev_sent_flag(void);

/**
 * Make the port give back mbufs it has sent (memif zero-copy returns them only on the next TX call, NIC
 * drivers above a threshold): empty TX calls and rte_eth_tx_done_cleanup() until nothing more comes, at most
 * `turns`. The owner of the TX queue, before stop.
 * @param pool  watched: calls end as soon as its free count stops rising; NULL: all turns
 */
void kx_ethdev_drain(struct kx_ethdev *dev, uint16_t tx_queue, struct rte_mempool *pool, unsigned int turns);

/** Link as text-free data. */
struct kx_ethdev_link {
	bool up;
	bool full_duplex;
	uint32_t mbit_s; /**< 0: unknown */
};
int kx_ethdev_link(const struct kx_ethdev *dev, struct kx_ethdev_link *out);

/**
 * Counters of the port since kx_ethdev_start(). For the port ledger: ipackets + imissed + ierrors + rx_nombuf
 * = frames handled + named drops (rx_pkts is what threads took).
 */
struct kx_ethdev_stats {
	uint64_t ipackets, opackets; /**< driver's, or the threads' counts when the driver has none */
	uint64_t ibytes, obytes;
	uint64_t imissed, ierrors, rx_nombuf, oerrors;
	uint64_t rx_pkts, tx_pkts; /**< sum of dev->count[]: what the threads received and sent */
	bool driver_counts;	   /**< false: ipackets/opackets/bytes are the threads' */
};
/** @return 0 or -errno. Also from the telemetry thread. */
int kx_ethdev_stats(const struct kx_ethdev *dev, struct kx_ethdev_stats *out);

#ifdef __cplusplus
}
#endif
#endif
