/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * Topics: the partitions of one data lcore with what hangs on them: the log, the producers that wrote to it
 * (dedup), batches held out of order, and the subscriptions that read it. Portable.
 *
 * One struct kx_topic_table per data lcore, written by that lcore only. Tables have a fixed size from the
 * configuration; nothing is allocated after kx_topics_init(). Objects are named by their index in their
 * table.
 */
#ifndef KX_TOPIC_H
#define KX_TOPIC_H

#include "kx_conf.h"
#include "kx_log.h"

#define KX_NONE UINT32_MAX

/** Offsets of a partition for everyone: written by its owner once a turn, read by any lcore (METADATA) and
 * telemetry. */
struct kx_partition_offsets {
	uint64_t first_offset;
	uint64_t committed_offset;
	uint64_t next_offset;
	uint64_t log_epoch;
} KX_ALIGNED(KX_CACHE_LINE);

/* ---- producers
 * --------------------------------------------------------------------------------------------- */

#define KX_PRODUCER_HISTORY 8

/** Where one of a producer's last batches went: the answer to a duplicate. */
struct kx_producer_batch {
	uint64_t first_seq;
	uint64_t base_offset;
};
/** What is remembered of a (producer, partition) pair. 216 bytes. */
struct kx_producer_state {
	uint64_t producer_id; /**< 0: free entry */
	uint64_t next_seq;    /**< sequence of the next message */
	uint64_t next_offset; /**< one beyond the last stored message */
	uint64_t last_ns;
	uint32_t producer_epoch;
	uint32_t partition; /**< broker-wide id */
	uint32_t held_tail;
	uint32_t held_head; /**< batches ahead of next_seq, ascending by first_seq; KX_NONE */
	uint32_t held_count;
	uint32_t owner; /**< session that writes to it, KX_NONE when that has ended */
	uint32_t next;	/**< on the owner's list, or the free list */
	uint32_t history_at;
	bool drain_listed; /**< the broker's: held batches whose turn it is wait for the next poll */
	struct kx_producer_batch history[KX_PRODUCER_HISTORY];
};

/** Most of one producer on one partition: bounds the walk of a hostile order. Credit stops before (credit.c
 * of the broker). */
#define KX_HELD_MAX 2048

/** A batch that waits for the ones before it: a copy in a slot, or a large one assembled in extents. */
struct kx_held {
	uint64_t first_seq;
	uint32_t next;	/**< in the producer's list or the free list */
	uint32_t large; /**< reassembly index, or KX_NONE: the batch is in the slot's memory */
};

/* ---- subscriptions
 * ----------------------------------------------------------------------------------------- */

#define KX_SUB_REPAIRS 32

/** A range a consumer asked for again. */
struct kx_repair {
	uint64_t offset;     /**< next offset to send */
	uint64_t end_offset; /**< exclusive */
	uint32_t from_byte;  /**< of the large batch at `offset` */
	uint32_t end_byte;   /**< 0: to its end */
};

struct kx_sub {
	struct kx_log_cursor cursor;
	uint64_t limit_bytes; /**< credit: absolute, log bytes first sent */
	uint64_t sent_bytes;
	uint64_t acked_offset; /**< consumer has everything below */
	uint64_t done_offset;  /**< and its application is done with everything below: may be freed */
	uint64_t progress_ns;  /**< last time acked_offset moved or data were first sent after a pause */
	uint64_t probe_ns;     /**< next HEARTBEAT for its unacknowledged tail */
	uint32_t probes;
	uint32_t sub_id;       /**< client's name for it */
	uint32_t session;      /**< slot; KX_NONE: free entry */
	uint32_t partition;    /**< broker-wide id */
	uint32_t next, prev;   /**< on the partition's list */
	uint32_t session_next; /**< on the session's list */
	uint32_t ready_next;
	bool ready;	 /**< on the ready list: may have something to send */
	bool large_open; /**< part of the large batch at the cursor was sent */
	uint8_t repair_head, repair_count;
	uint32_t large_sent; /**< bytes of it */
	uint64_t delivered_messages;
	uint64_t request_id; /**< of the SUBSCRIBE that made it: repeated requests get the same answer */
	uint64_t start_offset;
	struct kx_repair repairs[KX_SUB_REPAIRS];
};

/* ---- partitions
 * -------------------------------------------------------------------------------------------- */

struct kx_partition {
	struct kx_log log;
	uint32_t id;	/**< broker-wide */
	uint32_t topic; /**< index in conf->topics */
	uint32_t index; /**< in the topic */
	uint32_t subs;	/**< list head */
	uint32_t sub_count;
	uint32_t batch_max_bytes; /**< largest batch that is appended by copy */
	uint64_t reserved_bytes;  /**< credit granted and not used, of topics that block */
	bool block;		  /**< overrun = block */
	bool dirty;		  /**< offsets changed since they were published */
	uint64_t turn;		  /**< turn in which turn_offset was appended: residence */
	uint64_t turn_offset;
	uint64_t messages_in, bytes_in, messages_out, bytes_out, duplicates, trimmed;
};

struct kx_topic_table {
	const struct kx_conf *conf;
	uint32_t lcore_index, lcore_count;
	struct kx_extent_pool pool;
	struct kx_partition *partitions; /**< those of this lcore: id / lcore_count */
	uint32_t partition_count;
	struct kx_partition_offsets *offsets; /**< of all partitions, by id; shared by the lcores */
	struct kx_producer_state *producers;
	struct kx_map producer_map;
	uint32_t producer_count, producer_free;
	struct kx_held *held;
	uint8_t *held_memory;
	uint32_t held_slot_bytes, held_total, held_used, held_high_water, held_free;
	struct kx_sub *subs;
	uint32_t sub_total, sub_used, sub_free;
};

struct kx_topics_config {
	const struct kx_conf *conf;
	uint32_t lcore_index, lcore_count;
	uint8_t *log_memory;
	uint64_t log_memory_bytes;
	uint32_t datagram_max_bytes; /**< largest KXP frame of any port: size of a held slot */
	struct kx_partition_offsets *offsets;
};
/** @return 0; -ENOMEM; -EINVAL (log memory too small for the partitions) */
int kx_topics_init(struct kx_topic_table *t, const struct kx_topics_config *config);
void kx_topics_fini(struct kx_topic_table *t);

/** Partition by broker-wide id, NULL when it is not this lcore's or does not exist (kx_topics_owner tells
 * which). */
static inline struct kx_partition *kx_topics_partition(const struct kx_topic_table *t, uint32_t id)
{
	if (id >= t->conf->partition_count || id % t->lcore_count != t->lcore_index)
		return NULL;
	return &t->partitions[id / t->lcore_count];
}
/** Make the partition's offsets visible to other threads. */
void kx_partition_publish(struct kx_topic_table *t, struct kx_partition *p);

/** State of (producer, partition). @return index or KX_NONE. */
uint32_t kx_producer_find(const struct kx_topic_table *t, uint64_t producer_id, uint32_t partition);
/** Find or make. When the table is full the entry idle longest, if older than `idle_ns`, is reused. @return
 * index or KX_NONE */
uint32_t kx_producer_get(struct kx_topic_table *t, uint64_t producer_id, uint32_t epoch, uint32_t partition,
	uint64_t now_ns, uint64_t idle_ns);
/** Remember a stored batch. */
void kx_producer_stored(
	struct kx_producer_state *p, uint64_t first_seq, uint32_t records, uint64_t base_offset);

/**
 * Hold a batch that is ahead of its producer's next sequence. Copies it (large == KX_NONE), or keeps the
 * reassembly.
 * @return 0; -EEXIST (that sequence is held already); -ENOBUFS
 */
int kx_hold(struct kx_topic_table *t, struct kx_producer_state *p, const struct kx_batch_hdr *batch,
	uint64_t first_seq, uint32_t large);
static inline struct kx_batch_hdr *kx_held_batch(const struct kx_topic_table *t, uint32_t held)
{
	return (struct kx_batch_hdr *)(t->held_memory + (uint64_t)held * t->held_slot_bytes);
}
/** Take the first held batch off the list. @return held index; give it back with kx_held_free(). */
uint32_t kx_held_pop(struct kx_topic_table *t, struct kx_producer_state *p);
void kx_held_free(struct kx_topic_table *t, uint32_t held);

/** @return subscription index linked to its partition, or KX_NONE when the table is full. */
uint32_t kx_sub_open(struct kx_topic_table *t, struct kx_partition *p, uint32_t session, uint32_t sub_id);
void kx_sub_close(struct kx_topic_table *t, uint32_t sub);
/** Lowest offset that some subscription of the partition is not done with; UINT64_MAX without
 * subscriptions. */
uint64_t kx_partition_done(const struct kx_topic_table *t, const struct kx_partition *p);
/**
 * Free what every consumer has (topics that block), a few extents at a time, as long as less than
 * `want_bytes` of room is left. @return true when something was freed.
 */
bool kx_partition_reclaim(struct kx_topic_table *t, struct kx_partition *p, uint64_t want_bytes);

#endif
