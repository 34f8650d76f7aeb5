/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdio.h>

#include "telemetry_pvt.h"

static void add_pool(struct rte_tel_data *parent, const struct kx_worker *w)
{
	uint64_t alloc = kx_counter_read(&w->stats.alloc), refills = kx_counter_read(&w->stats.alloc_refills);
	uint64_t low = kx_counter_read(&w->stats.pool_low_water);
	struct rte_tel_data *d = tel_dict(parent, w->pool->name);

	if (d == NULL)
		return;
	tel_u64(d, "size", w->pool->size);
	tel_u64(d, "in_use", rte_mempool_in_use_count(w->pool));
	tel_u64(d, "low_water", KX_MIN(low, (uint64_t)w->pool->size));
	tel_u64(d, "buf_bytes", rte_pktmbuf_data_room_size(w->pool));
	tel_u64(d, "cache", w->pool->cache_size);
	tel_signed(d, "numa_node", w->socket_id);
	tel_u64(d, "alloc", alloc);
	tel_counter(d, "alloc_failed", &w->stats.alloc_failed);
	tel_u64(d, "hit_permille", alloc != 0 ? (alloc - KX_MIN(refills, alloc)) * 1000 / alloc : 1000);
}

static void add_tables(struct rte_tel_data *parent, const struct kx_telemetry_config *c, uint32_t i)
{
	const struct kx_worker *w = c->workers[i];
	struct kx_broker_memory m;
	struct rte_tel_data *d;
	char key[24];

	snprintf(key, sizeof(key), "lcore%u", w->lcore);
	d = tel_dict(parent, key);
	if (d == NULL)
		return;
	kx_broker_memory(w->broker, &m);
	tel_u64(d, "extent_bytes", m.extent_bytes);
	tel_u64(d, "extents", m.extents_total);
	tel_u64(d, "extents_in_use", m.extents_total - m.extents_free);
	tel_u64(d, "extents_low_water", m.extents_low_water);
	tel_signed(d, "numa_node", c->log_nodes[i]);
	tel_u64(d, "reorder", m.reorder_total);
	tel_u64(d, "reorder_in_use", m.reorder_used);
	tel_u64(d, "reorder_high_water", m.reorder_high_water);
	tel_u64(d, "sessions", m.sessions_total);
	tel_u64(d, "sessions_in_use", m.sessions_used);
	tel_u64(d, "session_bytes", m.session_bytes);
	tel_u64(d, "producers", m.producers_total);
	tel_u64(d, "producers_in_use", m.producers_used);
	tel_u64(d, "subscriptions", m.subscriptions_total);
	tel_u64(d, "subscriptions_in_use", m.subscriptions_used);
	tel_u64(d, "pins", m.pins);
	tel_u64(d, "slices", KX_WORKER_SLICES);
	tel_counter(d, "slices_in_use", &w->stats.slices_used);
	tel_counter(d, "slices_high_water", &w->stats.slices_high_water);
	tel_counter(d, "slices_sent", &w->stats.slices);
	tel_counter(d, "slices_refused", &w->stats.slices_refused);
}

/* Rings by kind: number, size, what rests in them, the fullest. */
static void add_rings(struct rte_tel_data *parent, const char *key, struct rte_ring *const *rings, uint32_t n)
{
	struct rte_tel_data *d = tel_dict(parent, key);
	uint64_t count = 0, size = 0, in_use = 0, fullest = 0;

	if (d == NULL)
		return;
	for (uint32_t i = 0; i < n; i++) {
		uint64_t used;

		if (rings[i] == NULL)
			continue;
		used = rte_ring_count(rings[i]);
		count++;
		size += rte_ring_get_capacity(rings[i]);
		in_use += used;
		fullest = KX_MAX(fullest, used);
	}
	tel_u64(d, "rings", count);
	tel_u64(d, "size", size);
	tel_u64(d, "in_use", in_use);
	tel_u64(d, "fullest_in_use", fullest);
}

/* The table of producer ids, which all data lcores share. */
static void add_producer_ids(struct rte_tel_data *parent, const struct kx_producer_ids *ids)
{
	struct rte_tel_data *d = tel_dict(parent, "producer_ids");
	struct kx_producer_ids_usage u;

	if (d == NULL)
		return;
	kx_producer_ids_usage(ids, &u);
	tel_u64(d, "size", u.total);
	tel_u64(d, "in_use", u.used);
	tel_u64(d, "with_session", u.live);
	tel_u64(d, "replaced", u.replaced);
	tel_u64(d, "refused", u.refused);
}

int tel_memory(const struct kx_telemetry_config *c, const char *params, struct rte_tel_data *d)
{
	const struct kx_worker_fabric *f = c->workers[0]->fabric;
	uint32_t pairs = f->wiring.lcore_count * f->wiring.lcore_count;
	struct rte_tel_data *pools, *rings, *lcores;

	if (params != NULL && *params != '\0')
		return tel_error(d, "/kaelix/memory takes no argument");
	rte_tel_data_start_dict(d);
	tel_u64(d, "hugepages", c->hugepages);
	pools = tel_dict(d, "pools");
	rings = tel_dict(d, "rings");
	lcores = tel_dict(d, "extents");
	if (pools == NULL || rings == NULL || lcores == NULL)
		return tel_error(d, "no memory for the reply");
	for (uint32_t i = 0; i < c->worker_count && i < TEL_LCORES; i++) {
		add_pool(pools, c->workers[i]);
		add_tables(lcores, c, i);
	}
	add_producer_ids(d, kx_broker_producer_ids(c->workers[0]->broker));
	add_rings(rings, "handover", f->handover, pairs);
	add_rings(rings, "relay", f->relay, pairs);
	tel_u64(d, "lcores_left_out", c->worker_count > TEL_LCORES ? c->worker_count - TEL_LCORES : 0);
	return 0;
}
