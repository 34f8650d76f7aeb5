/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * Log: the log of one partition in memory. A pool of equal extents (one region per data lcore, in hugepages
 * when the machine has them) and, per partition, a ring of extents in order. Portable.
 *
 * Appending is one sequential copy and the offset assignment; a batch never spans extents, except a large one
 * that was assembled in extents of its own and is linked in whole. Each extent has a sparse offset index, an
 * entry every KX_LOG_INDEX_STEP bytes, so that finding an offset is a binary search and a walk of one step.
 * Everything belongs to the owning data lcore.
 */
#ifndef KX_LOG_H
#define KX_LOG_H

#include "kx_session.h"

#define KX_LOG_INDEX_STEP 4096u
#define KX_EXTENT_NONE	  UINT32_MAX

/* ---- extents
 * ----------------------------------------------------------------------------------------------- */

#define KX_EXTENT_LARGE	    0x1 /**< holds (the first piece of) one large batch only */
#define KX_EXTENT_CONTINUES 0x2 /**< a further piece of the large batch before it */
#define KX_EXTENT_RETIRED   0x4 /**< trimmed, waits for its pins */

struct kx_log_index {
	uint32_t pos;
	uint32_t rel_offset; /**< offset - extent's base_offset */
};
struct kx_extent {
	struct kx_pin pin; /**< what sent slices of this extent hold; counted in `pins` */
	struct kx_extent_pool *pool;
	uint64_t base_offset;
	uint64_t next_offset; /**< one beyond the last record; base_offset in a CONTINUES extent */
	uint32_t used_bytes;
	uint32_t flags;
	uint32_t pins;
	uint32_t next; /**< free list, or the chain of a large batch being assembled */
	uint32_t index_count;
	uint32_t index_due; /**< used_bytes from which the next batch gets an index entry */
};
struct kx_extent_pool {
	uint8_t *base;
	uint32_t extent_bytes;
	uint32_t total;
	uint32_t free;
	uint32_t low_water;
	uint32_t free_head;
	uint32_t retired;   /**< trimmed and still pinned */
	uint32_t pins;	    /**< of all extents */
	uint32_t index_max; /**< entries an extent */
	struct kx_extent *extents;
	struct kx_log_index *index;
};
/** The region stays the caller's. @return 0, -EINVAL (extent_bytes no power of two, no whole extent), -ENOMEM
 */
int kx_extent_pool_init(struct kx_extent_pool *p, uint8_t *region, uint64_t bytes, uint32_t extent_bytes);
void kx_extent_pool_fini(struct kx_extent_pool *p);
/** @return extent number or KX_EXTENT_NONE */
uint32_t kx_extent_get(struct kx_extent_pool *p);
/** Give back; an extent with pins is retired and comes back when the last pin is released. */
void kx_extent_put(struct kx_extent_pool *p, uint32_t extent);
static inline uint8_t *kx_extent_data(const struct kx_extent_pool *p, uint32_t extent)
{
	return p->base + (uint64_t)extent * p->extent_bytes;
}
/** Pin for one sent slice; the transport calls ->release once. */
struct kx_pin *kx_extent_pin(struct kx_extent_pool *p, uint32_t extent);

/* ---- log
 * --------------------------------------------------------------------------------------------------- */

struct kx_log {
	struct kx_extent_pool *pool;
	uint32_t *ring; /**< extent numbers by extent sequence */
	uint32_t ring_mask;
	uint32_t max_extents; /**< quota of the partition, >= 2 */
	uint64_t tail_seq;    /**< sequence of the oldest extent */
	uint64_t head_seq;    /**< one beyond the newest */
	uint32_t active;      /**< extent that is appended to, or KX_EXTENT_NONE */
	uint32_t log_epoch;
	uint64_t first_offset;	 /**< oldest offset kept */
	uint64_t next_offset;	 /**< one beyond the newest */
	uint64_t appended_bytes; /**< ever */
	uint64_t trimmed_extents;
};
/** Quota in bytes is rounded down to extents, at least 2. @return 0, -ENOMEM */
int kx_log_init(struct kx_log *log, struct kx_extent_pool *pool, uint64_t quota_bytes, uint32_t log_epoch);
/** Gives all extents back to the pool. */
void kx_log_fini(struct kx_log *log);

/** Room that is certain for batches of at most `batch_max_bytes` without trimming, in bytes. */
uint64_t kx_log_room_bytes(const struct kx_log *log, uint32_t batch_max_bytes);

/**
 * Append a checked batch: copies it and stamps offset, epoch, time and header CRC in the copy.
 * @param stamped  gets the header as stored (the copy itself may not be in any cache); may be NULL
 * @return the copy in the log; NULL when a new extent is needed and the quota or the pool has none (trim
 * first).
 */
struct kx_batch_hdr *kx_log_append(struct kx_log *log, const struct kx_batch_hdr *batch,
	uint64_t append_time_ns, struct kx_batch_hdr *stamped);

/**
 * Link a large batch that was assembled in the chain of extents starting at `first` (pieces of extent_bytes,
 * the last one shorter). Takes the chain and stamps its header. @return 0; -ENOSPC when the quota has not
 * that many extents free
 */
int kx_log_link(struct kx_log *log, uint32_t first, uint64_t append_time_ns);

/** Drop the oldest extent (a large batch with all its pieces). @return false when only the active extent is
 * left. */
bool kx_log_trim(struct kx_log *log);
/** Drop the oldest extents that lie wholly below `offset`. @return extents dropped, at most `max` */
unsigned int kx_log_trim_below(struct kx_log *log, uint64_t offset, unsigned int max);

/** A place in a log: between two batches. Stays valid while the log grows; trimming is noticed by
 * kx_log_read(). */
struct kx_log_cursor {
	uint64_t offset; /**< next offset to read */
	uint64_t ext_seq;
	uint32_t pos; /**< in that extent */
	uint32_t zero;
};
/**
 * Set to the batch that contains `offset` (cursor->offset is then that batch's base offset, <= offset), or to
 * the end.
 * @return 0; -ERANGE below first_offset (cursor at first_offset); -ENODATA above next_offset (cursor at the
 * end)
 */
int kx_log_seek(const struct kx_log *log, uint64_t offset, struct kx_log_cursor *cursor);

/** Set to the end of the log. */
void kx_log_seek_end(const struct kx_log *log, struct kx_log_cursor *cursor);

struct kx_log_slice {
	const uint8_t *data;
	uint32_t bytes;	      /**< whole batches; 0 at the end or for a large batch */
	uint32_t extent;      /**< to pin */
	uint64_t next_offset; /**< behind the slice */
	uint32_t batches;
	uint32_t records;
	uint32_t large_bytes; /**< the next batch is large: its bytes, else 0 */
};
/**
 * Whole batches from the cursor on, contiguous, at most `max_bytes`; does not move the cursor.
 * @return 0 (slice->bytes may be 0 at the end); -ERANGE when the cursor's data were trimmed (seek again);
 * with slice->large_bytes the next batch is larger than max_bytes or in pieces: kx_log_copy_large() reads it
 */
int kx_log_read(const struct kx_log *log, const struct kx_log_cursor *cursor, uint32_t max_bytes,
	struct kx_log_slice *slice);
/** Move behind a slice that kx_log_read() gave, or behind the large batch it named. */
void kx_log_advance(const struct kx_log *log, struct kx_log_cursor *cursor, const struct kx_log_slice *slice);
/** Copy bytes [from, from + bytes) of the large batch at the cursor to `out`. */
void kx_log_copy_large(const struct kx_log *log, const struct kx_log_cursor *cursor, uint32_t from,
	uint32_t bytes, uint8_t *out);

#endif
