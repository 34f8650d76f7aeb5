/* SPDX-License-Identifier: BSD-3-Clause */
/* Looking in from other threads. */
#include "broker_pvt.h"

/* The structure, its entries in lists and free list, and in two maps that are at most 7/8 full. */
#define MAP_ENTRY (sizeof(uint64_t) + sizeof(uint32_t))
#define SESSION_BYTES                                                                                        \
	(sizeof(struct session) + (LIST_COUNT + 2) * sizeof(uint32_t) + 2 * (MAP_ENTRY * 8 / 7 + 1) +        \
		sizeof(*((struct kx_broker *)NULL)->accepts))

bool kx_broker_session_info(const struct kx_broker *b, uint32_t slot, struct kx_session_info *out)
{
	const struct session *s;

	if (slot >= b->session_total)
		return false;
	s = &b->sessions[slot];
	if (__atomic_load_n(&s->info.conn_id, __ATOMIC_ACQUIRE) == 0) /* pairs with session_open() */
		return false;
	*out = s->info;
	out->last_rx_ns = kx_counter_read(&s->last_rx_ns);
	return out->conn_id != 0;
}

const struct kx_topic_table *kx_broker_topics(const struct kx_broker *b)
{
	return &b->topics;
}

void kx_broker_memory(const struct kx_broker *b, struct kx_broker_memory *out)
{
	const struct kx_topic_table *t = &b->topics;

	*out = (struct kx_broker_memory){.extents_total = t->pool.total,
		.extents_free = __atomic_load_n(&t->pool.free, __ATOMIC_RELAXED),
		.extents_low_water = t->pool.low_water,
		.extent_bytes = t->pool.extent_bytes,
		.reorder_total = t->held_total,
		.reorder_used = t->held_used,
		.reorder_high_water = t->held_high_water,
		.sessions_total = b->session_total,
		.sessions_used = b->session_used,
		.session_bytes = SESSION_BYTES,
		.producers_total = t->producer_count,
		.producers_used = t->producer_map.count,
		.subscriptions_total = t->sub_total,
		.subscriptions_used = t->sub_used,
		.pins = t->pool.pins};
}

uint32_t kx_broker_pins(const struct kx_broker *b)
{
	return b->topics.pool.pins;
}

const struct kx_producer_ids *kx_broker_producer_ids(const struct kx_broker *b)
{
	return b->config.producer_ids;
}

const struct kx_principal_counters *kx_broker_principal_counters(const struct kx_broker *b, uint32_t id)
{
	return &b->principal_counters[id];
}

const struct kx_broker_counters *kx_broker_counters(const struct kx_broker *b)
{
	return &b->counters;
}
