/* SPDX-License-Identifier: BSD-3-Clause */
/** @file EAL without hugepages, a pool, and frames made by hand: for tests of lib/net and of drivers on
 * ports. */
#ifndef KX_NET_RIG_H
#define KX_NET_RIG_H

#include "kx_test.h"
#include "kx_net.h"

struct rig {
	struct rte_mempool *pool;
	struct kx_net_if nif;
	struct kx_net *net;
	struct kx_ledger ledger;
	unsigned int pool_full; /* mbufs in the pool when nothing holds any */
};

/** rte_eal_init() once a process; `name` makes its file prefix. */
void rig_eal(const char *name);
/** Pool of n mbufs without a cache, so that the count of free ones is exact. */
struct rte_mempool *rig_pool(const char *name, unsigned int n, uint16_t data_room);
/** MAC 02:..:<id>, 10.0.0.<id>/24, fd00::<id>/64, gateways 10.0.0.254 and fd00::fe, UDP ports 9000..9003. */
void rig_conf(struct kx_net_if_conf *conf, uint8_t id);
/** Pool and net of rig_conf(1), VLAN as given. */
void rig_open(struct rig *r, uint16_t vlan_id);
/** Asserts that every mbuf has come back. */
void rig_close(struct rig *r);

/** A frame of `bytes` bytes in a fresh mbuf. */
struct rte_mbuf *rig_mbuf(struct rte_mempool *pool, const void *frame, unsigned int bytes);

/** The same in heap memory that ends with the frame, so that a sanitizer sees a read behind it. */
struct rte_mbuf *rig_exact(struct rte_mempool *pool, const void *frame, unsigned int bytes);
/** Give one frame to kx_net_rx(). @return frames that came out (0 or 1) */
unsigned int rig_rx(struct rig *r, struct rte_mbuf *m, struct kx_frame *f);
/** Give a frame that must be dropped for `reason` and nothing else; the mbuf comes back. */
void rig_drops(struct rig *r, const void *frame, unsigned int bytes, enum kx_drop reason);

/** What a frame made by hand says; rig_frame() fills lengths and checksums. */
struct rig_spec {
	uint8_t from, to; /* host ids, as in rig_conf() */
	int vlan;	  /* -1: no tag */
	bool v6;
	uint8_t proto;	       /* 17, 1, 58 */
	uint16_t sport, dport; /* UDP */
	bool no_udp_sum;
	const void *payload; /* of UDP, or the whole ICMP message (its checksum is filled in) */
	unsigned int payload_bytes;
};
/** @return bytes written to out (2048 available, 10000 when big) */
unsigned int rig_frame(uint8_t *out, const struct rig_spec *s);
/** Offset of the IP header in a frame of rig_frame(). */
unsigned int rig_l3(const struct rig_spec *s);
/** Fill in every checksum of the frame again, after bytes were changed. */
void rig_resum(uint8_t *frame, const struct rig_spec *s);
/** ARP of `op` from host `from`, for the address of host `to`. @return bytes */
unsigned int rig_arp(uint8_t *out, uint8_t from, uint8_t to, uint16_t op, int vlan);
/** One's complement sum over the pseudo header and L4: 0xffff when right. Written apart from lib/net. */
uint16_t rig_l4_sum(const uint8_t *ip);
/** One's complement sum of an IPv4 header: 0xffff when right. */
uint16_t rig_ip4_sum(const uint8_t *ip);

#endif
