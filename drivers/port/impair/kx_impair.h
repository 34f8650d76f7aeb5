/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * Impair: seeded loss, duplication, reordering and corruption on one queue of a DPDK port, as ethdev RX and
 * TX callbacks. For tests and rehearsals; a port without it pays nothing.
 *
 * What happens to the n-th frame of a queue depends on the seed, port, queue, direction and n only.
 *
 * Attach and detach while no thread uses the queue (before it starts, after it stopped); the callbacks run on
 * the thread that owns it. On TX a frame that is lost or held back leaves its place in the burst to a filler
 * (a 60-byte frame to 02:00:00:00:00:00, EtherType 0x88B5, that every receiver ignores), because a TX
 * callback cannot shorten a burst without its caller taking the rest for unsent. Frames that the port does
 * not take and that are offered again are judged once only. TX frames held back are also released by calls of
 * the RX queue of the same number: the same thread polls both.
 */
#ifndef KX_IMPAIR_H
#define KX_IMPAIR_H

#include "kx_base.h"

#ifdef __cplusplus
extern "C" {
#endif

#define KX_IMPAIR_LARGE_BYTES 1024
#define KX_IMPAIR_HELD_MAX    256 /**< frames a queue holds back at most; beyond it none is held */

enum kx_impair_dir { KX_IMPAIR_RX, KX_IMPAIR_TX };

/** Probabilities are 0..1 for each frame; decided in the order loss, corruption, duplication, reordering. */
struct kx_impair_conf {
	double loss;
	double corrupt;	       /**< one random bit is flipped in the frame, behind its Ethernet header */
	double duplicate;      /**< a copy follows */
	double reorder;	       /**< held back behind 1..reorder_pkts later frames */
	uint32_t reorder_pkts; /**< 1..KX_IMPAIR_HELD_MAX; needed with reorder > 0 */
	uint32_t reorder_us;   /**< and at most this long (looked at on each RX or TX call); 0: 10,000 */
	uint64_t seed;
};

/**
 * What was done. in + duplicated == out + lost + held + refused, at any time between two bursts.
 */
struct kx_impair_stats {
	uint64_t in;	     /**< frames the queue brought (RX) or was given (TX) */
	uint64_t out;	     /**< frames passed on */
	uint64_t lost;	     /**< freed */
	uint64_t lost_large; /**< of these: of KX_IMPAIR_LARGE_BYTES at least; in a test whose data fill their
				frames, those with data */
	uint64_t corrupted;  /**< of those passed on or held */
	uint64_t duplicated; /**< copies made */
	uint64_t reordered;  /**< frames that were held back */
	uint64_t held;	     /**< held back now */
	uint64_t refused;    /**< TX: copies and held frames the queue did not take; freed */
	uint64_t fillers;    /**< TX: fillers sent (not part of the sum) */
	uint64_t no_buffer;  /**< copies not made, frames not held or corrupted, for want of a buffer */
};

struct kx_impair;

/**
 * @return 0 and *out; -EINVAL for values outside their range; -ENOMEM; -ENOTSUP when this DPDK was built
 * without ethdev callbacks.
 */
int kx_impair_attach(uint16_t port_id, uint16_t queue_id, enum kx_impair_dir dir,
	const struct kx_impair_conf *conf, struct kx_impair **out);
/**
 * Take the callback off, free held frames (counted as lost), write the final counts to *stats (may be NULL)
 * and free the object. Before the port is closed and its pools are checked.
 */
void kx_impair_detach(struct kx_impair *im, struct kx_impair_stats *stats);
/** Counts so far. Any thread. */
void kx_impair_stats(const struct kx_impair *im, struct kx_impair_stats *out);

#ifdef __cplusplus
}
#endif
#endif
