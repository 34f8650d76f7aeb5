/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "kx_log.h"

int kx_log_init(struct kx_log *log, struct kx_extent_pool *pool, uint64_t quota_bytes, uint32_t log_epoch)
{
	uint64_t extents = KX_MAX(quota_bytes / pool->extent_bytes, 2);
	uint32_t ring = 2;

	*log = (struct kx_log){.pool = pool, .active = KX_EXTENT_NONE, .log_epoch = log_epoch};
	log->max_extents = (uint32_t)KX_MIN(extents, pool->total);
	while (ring < log->max_extents)
		ring *= 2;
	log->ring_mask = ring - 1;
	log->ring = calloc(ring, sizeof(*log->ring));
	return log->ring == NULL ? -ENOMEM : 0;
}

void kx_log_fini(struct kx_log *log)
{
	if (log->ring == NULL)
		return;
	for (uint64_t s = log->tail_seq; s < log->head_seq; s++)
		kx_extent_put(log->pool, log->ring[s & log->ring_mask]);
	free(log->ring);
	log->ring = NULL;
}

uint64_t kx_log_room_bytes(const struct kx_log *log, uint32_t batch_max_bytes)
{
	uint32_t used = (uint32_t)(log->head_seq - log->tail_seq);
	uint64_t per_extent = log->pool->extent_bytes - batch_max_bytes;
	uint64_t room = (uint64_t)(log->max_extents - used) * per_extent;

	if (log->active != KX_EXTENT_NONE) {
		uint32_t filled = log->pool->extents[log->active].used_bytes;

		if (filled < per_extent)
			room += per_extent - filled;
	}
	return room;
}

static void push_extent(struct kx_log *log, uint32_t extent, uint64_t base_offset)
{
	struct kx_extent *e = &log->pool->extents[extent];

	log->ring[log->head_seq & log->ring_mask] = extent;
	log->head_seq++;
	e->base_offset = base_offset;
	e->next_offset = base_offset;
}

static bool roll(struct kx_log *log)
{
	uint32_t extent;

	if (log->head_seq - log->tail_seq >= log->max_extents)
		return false;
	extent = kx_extent_get(log->pool);
	if (extent == KX_EXTENT_NONE)
		return false;
	push_extent(log, extent, log->next_offset);
	log->active = extent;
	return true;
}

static void index_batch(struct kx_log *log, struct kx_extent *e)
{
	struct kx_log_index *index = &log->pool->index[(uint64_t)log->active * log->pool->index_max];

	if (e->index_count == log->pool->index_max)
		return;
	index[e->index_count].pos = e->used_bytes;
	index[e->index_count].rel_offset = (uint32_t)(log->next_offset - e->base_offset);
	e->index_count++;
	e->index_due = e->used_bytes + KX_LOG_INDEX_STEP;
}

struct kx_batch_hdr *kx_log_append(struct kx_log *log, const struct kx_batch_hdr *batch,
	uint64_t append_time_ns, struct kx_batch_hdr *stamped)
{
	uint32_t bytes = batch->batch_bytes;
	struct kx_batch_hdr header = *batch, *copy;
	struct kx_extent *e;

	if (kx_unlikely(bytes > log->pool->extent_bytes))
		return NULL;
	if (kx_unlikely(log->active == KX_EXTENT_NONE ||
		    log->pool->extents[log->active].used_bytes + bytes > log->pool->extent_bytes)) {
		if (!roll(log))
			return NULL;
	}
	e = &log->pool->extents[log->active];
	if (e->used_bytes >= e->index_due)
		index_batch(log, e);
	copy = (struct kx_batch_hdr *)(kx_extent_data(log->pool, log->active) + e->used_bytes);
	kx_batch_stamp(&header, log->next_offset, log->log_epoch, append_time_ns);
	memcpy(copy, &header, sizeof(header));
	memcpy(copy + 1, batch + 1, bytes - sizeof(header));
	if (stamped != NULL)
		*stamped = header;
	e->used_bytes += bytes;
	e->next_offset += header.record_count;
	kx_count(&log->next_offset, header.record_count);
	kx_count(&log->appended_bytes, bytes);
	return copy;
}

int kx_log_link(struct kx_log *log, uint32_t first, uint64_t append_time_ns)
{
	struct kx_extent_pool *pool = log->pool;
	struct kx_batch_hdr *batch = (struct kx_batch_hdr *)kx_extent_data(pool, first);
	uint32_t left = batch->batch_bytes;
	uint32_t pieces = (left + pool->extent_bytes - 1) / pool->extent_bytes;
	uint32_t extent = first;

	if (log->head_seq - log->tail_seq + pieces > log->max_extents)
		return -ENOSPC;
	kx_batch_stamp(batch, log->next_offset, log->log_epoch, append_time_ns);
	for (uint32_t i = 0; i < pieces; i++) {
		struct kx_extent *e = &pool->extents[extent];

		push_extent(log, extent, log->next_offset + (i > 0));
		e->flags = i == 0 ? KX_EXTENT_LARGE : KX_EXTENT_CONTINUES;
		e->used_bytes = KX_MIN(left, pool->extent_bytes);
		left -= e->used_bytes;
		if (i == 0)
			e->next_offset = log->next_offset + 1;
		extent = e->next;
	}
	log->active = KX_EXTENT_NONE;
	kx_count(&log->next_offset, 1);
	kx_count(&log->appended_bytes, batch->batch_bytes);
	return 0;
}

static struct kx_extent *extent_at(const struct kx_log *log, uint64_t seq)
{
	return &log->pool->extents[log->ring[seq & log->ring_mask]];
}

static void drop_oldest(struct kx_log *log)
{
	uint32_t extent = log->ring[log->tail_seq & log->ring_mask];

	if (extent == log->active)
		log->active = KX_EXTENT_NONE;
	kx_extent_put(log->pool, extent);
	log->tail_seq++;
	kx_count(&log->trimmed_extents, 1);
}

bool kx_log_trim(struct kx_log *log)
{
	uint64_t first;

	if (log->head_seq == log->tail_seq || log->ring[log->tail_seq & log->ring_mask] == log->active)
		return false;
	do
		drop_oldest(log);
	while (log->tail_seq < log->head_seq && (extent_at(log, log->tail_seq)->flags & KX_EXTENT_CONTINUES));
	first = log->tail_seq < log->head_seq ? extent_at(log, log->tail_seq)->base_offset : log->next_offset;
	__atomic_store_n(&log->first_offset, first, __ATOMIC_RELAXED);
	return true;
}

unsigned int kx_log_trim_below(struct kx_log *log, uint64_t offset, unsigned int max)
{
	unsigned int done = 0;

	while (done < max && log->tail_seq < log->head_seq &&
		extent_at(log, log->tail_seq)->next_offset <= offset) {
		if (!kx_log_trim(log))
			break;
		done++;
	}
	return done;
}
