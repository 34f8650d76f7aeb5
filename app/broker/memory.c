/* SPDX-License-Identifier: BSD-3-Clause */
/* All packet and log memory, reserved before a port is started: a zero-copy memif peer maps it once. */
#include <rte_eal.h>
#include <rte_mbuf_pool_ops.h>
#include <rte_memzone.h>
#include <stdio.h>
#include <string.h>

#include "app.h"

/* An mbuf of a pool: data room, struct rte_mbuf, mempool header and padding. */
#define MBUF_OVERHEAD 256

static uint32_t queue_descs(uint32_t queues, uint32_t lcores, uint32_t descs)
{
	return (queues != 0 ? queues : lcores) * descs;
}

/* Before EAL is up the ports' own limits are unknown: what the ini asks for. */
uint64_t app_memory_estimate(const struct app *app, uint32_t lcores)
{
	const struct kx_conf *c = app->conf;
	uint32_t descs = 0;
	struct kx_ethdev_pool_need need = {0};
	uint64_t mbufs;

	for (uint32_t p = 0; p < c->port_count; p++)
		descs += queue_descs(c->ports[p].rx_queues, lcores, c->ports[p].rx_desc) +
			2 * queue_descs(c->ports[p].tx_queues, lcores, c->ports[p].tx_desc);
	need.rx_queues = 1;
	need.rx_descs = descs;
	need.rings = 2 * (lcores - 1);
	need.ring_entries = c->memory.handover_ring;
	need.threads = lcores + 1;
	need.burst = KX_WORKER_BURST_MAX;
	need.extra = c->memory.spare_mbufs + KX_WORKER_TX_MAX * c->port_count;
	mbufs = (uint64_t)kx_ethdev_pool_mbufs(&need) * lcores;
	return lcores * c->memory.log_bytes + mbufs * (c->memory.mbuf_bytes + MBUF_OVERHEAD) +
		(UINT64_C(16) << 20);
}

static uint32_t pool_size(const struct app *app, uint32_t lcore)
{
	const struct kx_worker_wiring *w = &app->wiring;
	struct kx_ethdev_pool_need need = {
		.rx_queues = 1,
		.tx_queues = 1,
		.rings = kx_worker_fabric_rings_from(w, lcore),
		.ring_entries = app->conf->memory.handover_ring,
		.threads = app->lcore_count + 1,
		.burst = KX_WORKER_BURST_MAX,
		.extra = app->conf->memory.spare_mbufs + KX_WORKER_STASH,
	};

	for (uint32_t p = 0; p < app->port_count; p++) {
		const struct app_port *port = &app->ports[p];

		for (uint32_t q = 0; q < w->shape[p].rx_queues; q++)
			if (w->rx_owner[p][q] == lcore)
				need.rx_descs += port->limits.rx_descs;
		/* Frames may be sent on by the lcore they were handed to; a slice takes two buffers. */
		need.tx_descs += 2u * port->limits.tx_descs * w->shape[p].tx_queues;
		need.extra += KX_WORKER_TX_MAX * (app->lcore_count > 1 ? 2 : 1);
		if (app->opt.impair_rx || app->opt.impair_tx)
			need.extra += KX_IMPAIR_HELD_MAX * (w->shape[p].rx_queues + w->shape[p].tx_queues);
	}
	return kx_ethdev_pool_mbufs(&need);
}

static int make_pool(struct app *app, uint32_t i)
{
	struct app_lcore *l = &app->lcores[i];
	uint32_t cache;
	char name[32];

	l->pool_mbufs = pool_size(app, i);
	cache = kx_ethdev_pool_cache(l->pool_mbufs, app->lcore_count + 1);
	snprintf(name, sizeof(name), "mbuf_lcore%u", l->lcore);
	l->pool = kx_ethdev_pool_new(name, l->pool_mbufs, cache, 0, (uint16_t)app->conf->memory.mbuf_bytes,
		l->socket_id, &app->why);
	if (l->pool != NULL)
		return 0;
	kx_text_add(&app->why, "; %s",
		app->no_huge
			? "give more memory with -m MiB, or fewer descriptors and spare_mbufs in the ini"
			: "reserve more hugepages, or ask for fewer descriptors and spare_mbufs in the ini");
	return -1;
}

static int make_log(struct app *app, uint32_t i)
{
	struct app_lcore *l = &app->lcores[i];
	const struct kx_conf_memory *m = &app->conf->memory;
	char name[32];

	snprintf(name, sizeof(name), "kx_log%u", l->lcore);
	l->log = rte_memzone_reserve_aligned(
		name, m->log_bytes, l->socket_id, RTE_MEMZONE_IOVA_CONTIG, m->extent_bytes);
	l->log_contiguous = l->log != NULL || rte_eal_iova_mode() == RTE_IOVA_VA;
	if (l->log == NULL)
		l->log = rte_memzone_reserve_aligned(name, m->log_bytes, l->socket_id, 0, m->extent_bytes);
	if (l->log == NULL)
		return app_fail(app,
			"no %llu MiB of contiguous memory on node %d for the log of lcore %u: %s, or make "
			"[memory] "
			"log_bytes smaller",
			(unsigned long long)(m->log_bytes >> 20), l->socket_id, l->lcore,
			app->no_huge ? "give more with -m MiB" : "reserve more hugepages on that node");
	return 0;
}

/* Without hugepages the kernel gives pages when they are first touched: now, not on the data path. */
static void touch(const struct rte_memzone *zone)
{
	for (size_t at = 0; at < zone->len; at += 4096)
		*(volatile char *)((char *)zone->addr + at) = 0;
}

/* Where the pages really are, as the kernel says. */
static int node_of(const struct rte_memzone *zone)
{
	struct kx_numa_pages pages;

	if (kx_numa_verify_pages(zone->addr, zone->len, zone->hugepage_sz, 64, &pages) != 0)
		return KX_NUMA_NODE_UNKNOWN;
	return kx_numa_pages_node(&pages);
}

int app_memory_reserve(struct app *app)
{
	bool shared = false;

	for (uint32_t i = 0; i < app->lcore_count; i++)
		shared |= app->lcores[i].shares_cpu;
	/* A thread that is preempted inside a multi-producer ring stalls the others; the relaxed one does
	 * not. */
	if (shared && rte_mbuf_set_user_mempool_ops("ring_mt_rts") != 0)
		return app_fail(
			app, "this DPDK has no ring_mt_rts memory pools, which lcores that share a CPU need");
	for (uint32_t i = 0; i < app->lcore_count; i++) {
		struct app_lcore *l = &app->lcores[i];

		if (make_log(app, i) != 0 || make_pool(app, i) != 0)
			return -1;
		touch(l->log);
		l->log_node = node_of(l->log);
		app->log_nodes[i] = l->log_node;
	}
	return 0;
}

uint64_t app_memory_release(struct app *app)
{
	uint64_t leaked = 0;

	for (uint32_t i = 0; i < app->lcore_count; i++) {
		struct app_lcore *l = &app->lcores[i];

		if (l->pool != NULL)
			leaked += rte_mempool_in_use_count(l->pool);
		rte_mempool_free(l->pool);
		if (l->log != NULL)
			rte_memzone_free(l->log);
		l->pool = NULL;
		l->log = NULL;
	}
	return leaked;
}
