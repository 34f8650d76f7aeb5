/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdlib.h>

#include "kx_topic.h"

static int tables_alloc(struct kx_topic_table *t, const struct kx_topics_config *config)
{
	const struct kx_conf *conf = config->conf;

	t->producer_count = conf->sessions.max_producers;
	t->held_total = conf->memory.reorder_frames;
	t->held_slot_bytes = (uint32_t)kx_align8(config->datagram_max_bytes);
	t->sub_total = conf->sessions.max_subscriptions;
	t->producers = calloc(t->producer_count, sizeof(*t->producers));
	t->held = calloc(t->held_total, sizeof(*t->held));
	t->held_memory = calloc(t->held_total, t->held_slot_bytes);
	t->subs = calloc(t->sub_total, sizeof(*t->subs));
	t->partitions = calloc(KX_MAX(t->partition_count, 1), sizeof(*t->partitions));
	if (t->producers == NULL || t->held == NULL || t->held_memory == NULL || t->subs == NULL ||
		t->partitions == NULL)
		return -ENOMEM;
	return kx_map_init(&t->producer_map, t->producer_count);
}

static void free_lists_init(struct kx_topic_table *t)
{
	t->producer_free = t->held_free = t->sub_free = KX_NONE;
	t->producer_idle = t->producer_idle_last = KX_NONE;
	for (uint32_t i = t->producer_count; i-- > 0;) {
		t->producers[i].next = t->producer_free;
		t->producer_free = i;
	}
	for (uint32_t i = t->held_total; i-- > 0;) {
		t->held[i].next = t->held_free;
		t->held_free = i;
	}
	for (uint32_t i = t->sub_total; i-- > 0;) {
		t->subs[i].session = KX_NONE;
		t->subs[i].next = t->sub_free;
		t->sub_free = i;
	}
}

static int partition_init(struct kx_topic_table *t, uint32_t id, const struct kx_conf_log_share *share,
	uint32_t batch_max_bytes)
{
	struct kx_partition *p = kx_topics_partition(t, id);
	int topic = kx_conf_partition_topic(t->conf, id);
	const struct kx_conf_topic *conf = &t->conf->topics[topic];

	p->id = id;
	p->topic = (uint32_t)topic;
	p->index = id - conf->first_partition;
	p->subs = p->tail = p->tail_last = p->done_walk = KX_NONE;
	p->block = conf->overrun == KX_CONF_BLOCK;
	p->batch_max_bytes = batch_max_bytes;
	p->batch_small_bytes = KX_MIN(batch_max_bytes, conf->max_message_bytes + KX_BATCH_HDR_BYTES);
	p->dirty = true;
	return kx_log_init(&p->log, &t->pool, kx_conf_topic_log_bytes(t->conf, conf, share), 1);
}

int kx_topics_init(struct kx_topic_table *t, const struct kx_topics_config *config)
{
	const struct kx_conf *conf = config->conf;
	struct kx_conf_log_share share;
	int rc;

	*t = (struct kx_topic_table){.conf = conf,
		.lcore_index = config->lcore_index,
		.lcore_count = config->lcore_count,
		.offsets = config->offsets,
		.ids = config->ids};
	t->partition_count =
		(conf->partition_count + config->lcore_count - 1 - config->lcore_index) / config->lcore_count;
	rc = kx_extent_pool_init(
		&t->pool, config->log_memory, config->log_memory_bytes, conf->memory.extent_bytes);
	if (rc == 0)
		rc = tables_alloc(t, config);
	if (rc == 0)
		free_lists_init(t);
	kx_conf_log_share(conf, t->lcore_index, t->lcore_count, &share);
	for (uint32_t id = t->lcore_index; rc == 0 && id < conf->partition_count; id += t->lcore_count) {
		rc = partition_init(t, id, &share, t->held_slot_bytes);
		if (rc == 0)
			kx_partition_publish(t, kx_topics_partition(t, id));
	}
	if (rc != 0)
		kx_topics_fini(t);
	return rc;
}

void kx_topics_fini(struct kx_topic_table *t)
{
	for (uint32_t i = 0; t->partitions != NULL && i < t->partition_count; i++)
		kx_log_fini(&t->partitions[i].log);
	free(t->partitions);
	free(t->producers);
	free(t->held);
	free(t->held_memory);
	free(t->subs);
	kx_map_fini(&t->producer_map);
	kx_extent_pool_fini(&t->pool);
	*t = (struct kx_topic_table){0};
}

void kx_partition_publish(struct kx_topic_table *t, struct kx_partition *p)
{
	struct kx_partition_offsets *o = &t->offsets[p->id];

	__atomic_store_n(&o->first_offset, p->log.first_offset, __ATOMIC_RELAXED);
	__atomic_store_n(&o->committed_offset, p->log.next_offset, __ATOMIC_RELAXED);
	__atomic_store_n(&o->next_offset, p->log.next_offset, __ATOMIC_RELAXED);
	__atomic_store_n(&o->log_epoch, p->log.log_epoch, __ATOMIC_RELAXED);
	p->dirty = false;
}
