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

/* ---- producer ids
 * ------------------------------------------------------------------------------------------ */

/**
 * One producer id: whose it is, and its current epoch. 64 bytes, a cache line of its own, which data lcores
 * read for each produce frame and which is written only when a session with this id is set up or ends, or
 * when some of its state is evicted.
 */
struct kx_producer_id {
	uint64_t word;	   /**< epoch in the upper half; below, one bit "being replaced" and the number of its
			      sessions on all data lcores. Atomic */
	uint64_t id;	   /**< 0: never used */
	uint64_t idle_ns;  /**< when its last session ended */
	uint64_t taken_ns; /**< stamp of the cookie of its last take-over: an AUTH is good for one */
	uint32_t principal;	  /**< whom it belongs to */
	uint32_t forgotten_epoch; /**< highest epoch of which some (id, partition) state was evicted; 0: none
				   */
} KX_ALIGNED(KX_CACHE_LINE);

/**
 * All producer ids of a start of the broker, shared by its data lcores; no lock. Bounded: 64 bytes an id.
 * A new id takes a place that was never used; of several principals each may do so as long as it has no more
 * ids than such places are left, so that none of them takes all. Else it takes the place of an id without a
 * session, of some that are looked at: of the asker's own the one idle longest; without one, of another's
 * idle for KX_PRODUCER_ID_KEPT_NS the one idle longest; else the asker is refused. So one that takes ids
 * without end takes its own. A producer whose id was given up is told UNKNOWN_FATE when it comes back, never
 * served as if nothing had been. Ids are not reused, and epochs of a place never fall, not even with the id:
 * (place, epoch) names one epoch of one id, so that the check of a frame is one comparison with
 * kx_producer_id_epoch().
 */
struct kx_producer_ids;
/** So long another principal's id is kept after its last session has ended, whoever asks for one. */
#define KX_PRODUCER_ID_KEPT_NS (600 * KX_NS_PER_S)

/**
 * @param count  ids kept: power of two; at least four times the sessions of all data lcores is a good choice
 * @param principals  that there are: one has all places
 * @param boot_id  of this start: where ids begin, so that those of another start are not taken for ours
 * @return 0; -EINVAL; -ENOMEM. Before the data lcores start.
 */
int kx_producer_ids_create(
	uint32_t count, uint32_t principals, uint64_t boot_id, struct kx_producer_ids **out);
void kx_producer_ids_destroy(struct kx_producer_ids *ids);

struct kx_producer_ids_usage {
	uint32_t total;	   /**< places */
	uint32_t used;	   /**< places that hold an id */
	uint32_t live;	   /**< ids that have a session */
	uint64_t replaced; /**< ids that were given up for others */
	uint64_t refused;  /**< times there was no place for an id */
};
/** Any thread. */
void kx_producer_ids_usage(const struct kx_producer_ids *ids, struct kx_producer_ids_usage *out);
/** Places that a principal's ids have. Any thread. */
uint32_t kx_producer_ids_held(const struct kx_producer_ids *ids, uint32_t principal);

/** What set-up got: a session holds it until kx_producer_ids_release(). */
struct kx_producer_ref {
	struct kx_producer_id *entry;
	uint64_t id;
	uint32_t epoch;
};
/**
 * A new id for `principal`. Any data lcore, in set-up.
 * @return 0; -ENOSPC: among those looked at there was no place that this principal may have
 */
int kx_producer_ids_new(
	struct kx_producer_ids *ids, uint32_t principal, uint64_t now_ns, struct kx_producer_ref *out);
/**
 * A new epoch of a known id: older ones are fenced from here on (struct kx_fence says when everywhere).
 * @param stamp_ns  of the cookie of the AUTH that asks, which has to be later than that of the last
 * take-over: a copy of an AUTH that comes late fences nobody
 * @return 0; -ENOENT: no such id (any more); -EACCES: another principal's; -EALREADY: an old AUTH; -EAGAIN:
 * being changed by another lcore
 */
int kx_producer_ids_take_over(struct kx_producer_ids *ids, uint64_t id, uint32_t principal, uint64_t stamp_ns,
	struct kx_producer_ref *out);
/**
 * A further session of an epoch (ticket).
 * @return 0; -ENOENT: the id was given up; -ESTALE: there is a newer epoch; -EAGAIN
 */
int kx_producer_ids_join(
	struct kx_producer_ids *ids, uint64_t id, uint32_t epoch, struct kx_producer_ref *out);
/** The session ends. */
void kx_producer_ids_release(struct kx_producer_ids *ids, struct kx_producer_id *entry, uint64_t now_ns);
/** State of (id, epoch) on some partition was evicted although something had been stored under it. */
void kx_producer_ids_forgot(struct kx_producer_ids *ids, uint64_t id, uint32_t epoch);

static KX_ALWAYS_INLINE uint32_t kx_producer_id_epoch(const struct kx_producer_id *e)
{
	return (uint32_t)(__atomic_load_n(&e->word, __ATOMIC_RELAXED) >> 32);
}
/** Was state of this epoch evicted? Then what has no state may have been stored. */
static inline bool kx_producer_id_forgotten(const struct kx_producer_id *e, uint32_t epoch)
{
	return __atomic_load_n(&e->forgotten_epoch, __ATOMIC_RELAXED) == epoch;
}

/* ---- fence
 * ------------------------------------------------------------------------------------------------- */

struct kx_fence_seen {
	uint64_t generation; /**< KX_FENCE_AWAY: this lcore stores nothing */
} KX_ALIGNED(KX_CACHE_LINE);
#define KX_FENCE_AWAY UINT64_MAX

/**
 * After which moment no frame of an older producer epoch can be stored any more, on any data lcore.
 *
 * Set-up takes a new epoch (kx_producer_ids_take_over()), then kx_fence_raise() gives generation g. Each
 * lcore reads the generation between two frames and writes what it has read to its own line
 * (kx_fence_publish(), once a turn, also when idle). ACCEPT of the new epoch leaves when kx_fence_passed(g).
 *
 * No frame of an older epoch is stored after that ACCEPT has left:
 *  1. A lcore looks at the epoch of a frame's producer id in the call that stores it, and so does whoever
 *     stores what was held; between look and store it does not publish.
 *  2. Let lcore L have published g' >= g, at P. It read g' with acquire; kx_fence_raise() wrote it with
 *     release, after the new epoch. Every look of L after P therefore finds the new epoch (or a later one)
 * and refuses the older.
 *  3. What L stored after a look before P it stored before P (1.), and P is before ACCEPT: kx_fence_passed()
 *     reads L's line with acquire, which L wrote with release.
 *  4. The lcore that sets up needs no line of its own: it took the epoch itself, between two frames.
 *  5. A lcore that is away stores nothing; kx_fence_join() reads the generation before its first frame, which
 *     is a publication.
 *
 * 64 bytes, and 64 a data lcore: 16448 in all. Nobody waits: a lcore that does not publish (it has not been
 * scheduled) delays ACCEPTs of take-overs and nothing else.
 */
struct kx_fence {
	uint64_t generation;
	struct kx_fence_seen lcores[KX_LCORES_MAX];
};
/** All lcores are away. @return 0, -ENOMEM */
int kx_fence_create(struct kx_fence **out);
void kx_fence_destroy(struct kx_fence *f);
/** This lcore is about to handle frames; before its thread does. */
void kx_fence_join(struct kx_fence *f, uint32_t lcore);
/** It stores nothing any more. */
void kx_fence_leave(struct kx_fence *f, uint32_t lcore);
/** Between two frames. *last: the caller's, what it has published. */
static inline void kx_fence_publish(struct kx_fence *f, uint32_t lcore, uint64_t *last)
{
	uint64_t now = __atomic_load_n(&f->generation, __ATOMIC_ACQUIRE); /* kx_fence_raise() */

	if (kx_likely(now == *last))
		return;
	*last = now;
	__atomic_store_n(&f->lcores[lcore].generation, now, __ATOMIC_RELEASE); /* kx_fence_passed() */
}
/** After the new epoch was written. @return the generation that says so */
uint64_t kx_fence_raise(struct kx_fence *f);
/**
 * Have all lcores but `own` seen it?
 * @param at  lcores below have; starts at 0 and is kept for the next call, so that no line is read twice in
 * vain
 */
bool kx_fence_passed(
	const struct kx_fence *f, uint64_t generation, uint32_t own, uint32_t lcore_count, uint32_t *at);

/* ---- producers
 * --------------------------------------------------------------------------------------------- */

#define KX_PRODUCER_HISTORY 8

/** Where one of a producer's last batches went: the answer to a duplicate. */
struct kx_producer_batch {
	uint64_t first_seq;
	uint64_t base_offset;
};
/** What is remembered of a (producer, partition) pair. 208 bytes. */
struct kx_producer_state {
	uint64_t producer_id; /**< 0: free entry */
	uint64_t next_seq;    /**< sequence of the next message */
	uint64_t next_offset; /**< one beyond the last stored message */
	uint64_t idle_ns; /**< when it was made, or left by its owner; while it holds batches: when the first
			     began to wait, or the last left */
	uint32_t producer_epoch;
	uint32_t partition; /**< broker-wide id */
	uint32_t held_tail;
	uint32_t held_head; /**< batches ahead of next_seq, ascending by first_seq; KX_NONE */
	uint32_t held_count;
	uint32_t owner;	       /**< session that writes to it, KX_NONE when that has ended */
	uint32_t next;	       /**< on the owner's list, the idle list or the free list */
	uint32_t prev;	       /**< on the owner's list or the idle list */
	uint32_t held_express; /**< first of those on the express list (hold.c) */
	uint32_t history_at;
	bool drain_listed; /**< the broker's: held batches whose turn it is wait for the next poll */
	struct kx_producer_batch history[KX_PRODUCER_HISTORY];
};

/** Most of one producer on one partition. Credit stops before (credit.c of the broker). */
#define KX_HELD_MAX	 2048
/** Most steps to the place of a held batch. Every 16th slot or so is also on an express list, so that 2048
 * take about 128 + 16 in the worst order. */
#define KX_HOLD_WALK_MAX 512

/** A batch that waits for the ones before it: a copy in a slot, or a large one assembled in extents. */
struct kx_held {
	uint64_t first_seq;
	uint32_t next;	/**< in the producer's list or the free list */
	uint32_t large; /**< reassembly index, or KX_NONE: the batch is in the slot's memory */
	uint32_t express_next;
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
	uint32_t sub_id;		     /**< client's name for it */
	uint32_t session;		     /**< slot; KX_NONE: free entry */
	uint32_t partition;		     /**< broker-wide id */
	uint32_t next, prev;		     /**< on the partition's list */
	uint32_t session_next, session_prev; /**< on the session's list */
	uint32_t ready_next, ready_prev;
	uint32_t tail_next, tail_prev; /**< on the partition's list of those at its end */
	bool at_tail;
	bool behind;	 /**< by its own doing (credit, repairs, its path): residence is not measured */
	bool ready;	 /**< in a queue of its session: may have something to send */
	bool large_open; /**< part of the large batch at the cursor was sent */
	uint8_t repair_head, repair_count;
	uint32_t large_sent;	 /**< bytes of it */
	uint32_t cuts;		 /**< of the congestion window, as known when cut_offset was set */
	uint64_t cut_offset;	 /**< what is below left before the last one */
	uint64_t counted_offset; /**< losses below it were counted, or left before */
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
	uint32_t tail;	/**< list head: subscriptions that wait at its end for an append, in the order they
			   came */
	uint32_t tail_last;
	uint32_t sub_count;
	bool waking;	    /**< the broker's: not all of those at its end were woken yet */
	bool done_known;    /**< done_offset is the lowest of all subscriptions */
	bool done_changed;  /**< since the walk began that looks for it */
	uint32_t done_walk; /**< the next one of it; KX_NONE: none is under way */
	uint64_t done_offset, done_lowest;
	uint32_t batch_max_bytes;   /**< largest batch that is appended by copy */
	uint32_t batch_small_bytes; /**< up to here no message in it can be too large either */
	uint64_t reserved_bytes;    /**< credit granted and not used, of topics that block */
	bool block;		    /**< overrun = block */
	bool dirty;		    /**< offsets changed since they were published */
	uint64_t turn;		    /**< turn in which turn_offset was appended: residence */
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
	struct kx_producer_ids *ids;	      /**< shared by the lcores */
	struct kx_producer_state *producers;
	struct kx_map producer_map;
	uint32_t producer_count, producer_free;
	uint32_t producer_idle, producer_idle_last; /**< without an owner, idle longest first */
	struct kx_held *held;
	uint8_t *held_memory;
	uint32_t held_slot_bytes, held_total, held_used, held_high_water, held_free;
	uint32_t held_walk_max; /**< most steps that a place has taken */
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
	struct kx_producer_ids *ids; /**< told what is evicted */
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
/** Make; there is none. When the table is full the entry idle longest, if for `idle_ns` at least, is reused
 * and its id told (kx_producer_ids_forgot()). It has no owner. @return index or KX_NONE */
uint32_t kx_producer_new(struct kx_topic_table *t, uint64_t producer_id, uint32_t epoch, uint32_t partition,
	uint64_t now_ns, uint64_t idle_ns);
/** The state goes on under a newer epoch: sequences from 0, nothing remembered. It holds nothing. */
void kx_producer_new_epoch(struct kx_producer_state *p, uint32_t epoch);
/** It gets an owner, whose list it may join; and: that has left it, it is on no list any more. */
void kx_producer_own(struct kx_topic_table *t, uint32_t producer, uint32_t owner);
void kx_producer_disown(struct kx_topic_table *t, uint32_t producer, uint64_t now_ns);
/**
 * The stored batch that begins at first_seq and has `records`, among the last KX_PRODUCER_HISTORY.
 * @return one beyond the offset of its last message; 0: not among them
 */
uint64_t kx_producer_recall(const struct kx_producer_state *p, uint64_t first_seq, uint32_t records);
/** Remember a stored batch. */
void kx_producer_stored(
	struct kx_producer_state *p, uint64_t first_seq, uint32_t records, uint64_t base_offset);

/**
 * Hold a batch that is ahead of its producer's next sequence. Copies it (large == KX_NONE), or keeps the
 * reassembly.
 * @return 0; -EEXIST (that sequence is held already); -ENOBUFS: no slot, or its place was not found in
 * KX_HOLD_WALK_MAX steps: it comes again
 */
int kx_hold(struct kx_topic_table *t, struct kx_producer_state *p, const struct kx_batch_hdr *batch,
	uint64_t first_seq, uint32_t large);
static inline struct kx_batch_hdr *kx_held_batch(const struct kx_topic_table *t, uint32_t held)
{
	return (struct kx_batch_hdr *)(t->held_memory + (uint64_t)held * t->held_slot_bytes);
}
/** Take the first held batch off the list. @return held index; give it back with kx_held_free(). */
uint32_t kx_held_pop(struct kx_topic_table *t, struct kx_producer_state *p);
/** Take the one with this sequence off the list. @return the same; KX_NONE: it is not there, or was not found
 * in KX_HOLD_WALK_MAX steps */
uint32_t kx_held_remove(struct kx_topic_table *t, struct kx_producer_state *p, uint64_t first_seq);
void kx_held_free(struct kx_topic_table *t, uint32_t held);

/** The subscription has everything and waits for an append; and: it does not. Either may be said twice. */
void kx_sub_at_tail(struct kx_topic_table *t, uint32_t sub);
void kx_sub_not_at_tail(struct kx_topic_table *t, uint32_t sub);
/** Its application is done with everything below. */
void kx_sub_done(struct kx_topic_table *t, uint32_t sub, uint64_t offset);
/** @return subscription index linked to its partition, or KX_NONE when the table is full. */
uint32_t kx_sub_open(struct kx_topic_table *t, struct kx_partition *p, uint32_t session, uint32_t sub_id);
/** It begins here; said once, after it was opened and before anything is freed. */
void kx_sub_start(struct kx_topic_table *t, uint32_t sub, uint64_t offset);
void kx_sub_close(struct kx_topic_table *t, uint32_t sub);
/** Lowest offset that some subscription of the partition is not done with, or one that was; UINT64_MAX
 * without subscriptions. A call looks at KX_DONE_WALK of them: with more it takes several until it is found
 * out. */
#define KX_DONE_WALK 256
uint64_t kx_partition_done(const struct kx_topic_table *t, struct kx_partition *p);
/**
 * Free what every consumer has (topics that block), a few extents at a time, as long as less than
 * `want_bytes` of room is left. @return true when something was freed.
 */
bool kx_partition_reclaim(struct kx_topic_table *t, struct kx_partition *p, uint64_t want_bytes);

#endif
