/* SPDX-License-Identifier: BSD-3-Clause */
/* Looking in from other threads. */
#include "broker_pvt.h"

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

const struct kx_principal_counters *kx_broker_principal_counters(const struct kx_broker *b, uint32_t id)
{
	return &b->principal_counters[id];
}

const struct kx_broker_counters *kx_broker_counters(const struct kx_broker *b)
{
	return &b->counters;
}

const struct kx_hist *kx_broker_residence(const struct kx_broker *b)
{
	return b->residence;
}
