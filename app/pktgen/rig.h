/* SPDX-License-Identifier: BSD-3-Clause */
/** @file The port, its pools, the clock and, for the message modes, addresses and the transport. */
#ifndef PG_RIG_H
#define PG_RIG_H

#include <signal.h>

#include "kx_ethdev.h"
#include "kx_transport_dpdk.h"
#include "options.h"

#define PG_RX_BURST 64

struct pg_rig {
	struct kx_ethdev dev;
	bool port_open;
	struct rte_mempool *rx_pool, *tx_pool;
	struct kx_tsc_clock clock;
	struct kx_net_if nif;
	struct kx_transport_dpdk *transport; /**< NULL in echo */
	const volatile sig_atomic_t *stop;   /**< set by SIGINT, SIGTERM */
	unsigned int lcore;		     /**< that runs the loop */
	char wire[32];
	bool software_wire;
};

/** Port, pools, transport; rig->clock and rig->stop are set before. @return 0 or -errno with a sentence in
 * `why`; pg_rig_close() either way. */
int pg_rig_open(struct pg_rig *rig, const struct pg_options *o, struct kx_text *why);
/** Leave the open port alone, unpolled, until its link is down, `seconds` have passed or rig->stop is set,
 * and a little longer: a memif driver unmaps its rings under a burst when the peer goes. Main lcore, no loop
 * running. */
void pg_rig_hold(const struct pg_rig *rig, double seconds);
/** @return mbufs that did not come back to the pools. */
unsigned int pg_rig_close(struct pg_rig *rig);

static KX_ALWAYS_INLINE uint64_t pg_now(const struct pg_rig *rig)
{
	return kx_tsc_to_ns(&rig->clock, kx_tsc_read());
}

#endif
