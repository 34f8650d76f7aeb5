/* SPDX-License-Identifier: BSD-3-Clause */
/** @file Private to drivers/port/ethdev. */
#ifndef KX_ETHDEV_PVT_H
#define KX_ETHDEV_PVT_H

#include "kx_ethdev.h"

#define KX_ETHDEV_DESCS_DEFAULT 1024

/** Facts of a device that ethdev's own description does not tell. */
struct kx_ethdev_facts {
	bool memif;
	bool zero_copy;	      /**< memif client with zero-copy=yes */
	bool forgets;	      /**< keeps mbufs when closed (reclaim.c) */
	bool copies_tx;	      /**< a sent mbuf is free when the TX call returns */
	uint16_t rsize_descs; /**< memif: ring size; 0 for others */
};
void kx_ethdev_facts(const struct rte_eth_dev_info *info, struct kx_ethdev_facts *out);
/** Descriptor numbers the device will use. @return 0 or -errno */
int kx_ethdev_adjust(uint16_t port_id, const struct rte_eth_dev_info *info,
	const struct kx_ethdev_facts *facts, uint16_t *rx_descs, uint16_t *tx_descs);

#endif
