/* SPDX-License-Identifier: BSD-3-Clause */
/** @file Modes produce, consume and e2e: producers and consumers on one hub, on one lcore. */
#ifndef PG_LOAD_H
#define PG_LOAD_H

#include "kx_client.h"
#include "run.h"

#define PG_TRACKS_MAX 16384u /**< (run, producer, partition) a consumer can tell apart in mode consume */

struct pg_load;

struct pg_sender {
	struct pg_load *load;
	struct kx_client *client;
	struct kx_producer *producer;
	uint64_t *seq; /**< next of each partition */
	uint32_t index;
};

struct pg_receiver {
	struct pg_load *load;
	struct kx_client *client;
	struct kx_consumer *consumer;
	struct pg_track *tracks; /**< e2e: by producer, then partition; consume: in order of appearance */
	struct kx_map by_source; /**< consume: run, producer, partition -> index in tracks */
	uint32_t track_count;
};

/** One send that may take several batches, or wait for room between them. */
struct pg_send {
	struct pg_sender *by;
	uint64_t intended_ns, stream_key;
	uint32_t partition;
	uint32_t left; /**< messages; 0: none under way */
};

struct pg_load {
	struct pg_run *run;
	struct kx_hub *hub;
	struct pg_sender *senders;
	struct pg_receiver *receivers;
	uint32_t sender_count, receiver_count;
	uint32_t ready; /**< producers and consumers that are */
	uint32_t partitions;
	uint32_t payload_bytes, stride_bytes; /**< of a message, of a record */
	uint32_t fit, batch;
	uint64_t next_stream;
	uint32_t next_sender, next_partition;
	struct pg_send send;
	uint8_t *scratch; /**< a message larger than a frame */
	uint64_t batches; /**< received: every 64th is looked at byte by byte */
	uint64_t committed, failed;
	uint64_t corrupt, foreign, late;
	bool metadata_known;
	const char *trouble; /**< static text; NULL: none */
	enum kx_result trouble_result;
	uint32_t trouble_code; /**< enum kx_code, where the broker said why; else 0 */
};

/** Everything that is due (or, without a schedule, fits) up to --turn-sends. */
void pg_load_send(struct pg_load *l, uint64_t now_ns);
void pg_load_on_complete(void *load, const struct kx_completion *completion);

/** Tables for what a receiver may get. @return 0 or -ENOMEM */
int pg_receiver_init(struct pg_receiver *r, struct pg_load *l);
void pg_receiver_fini(struct pg_receiver *r);
void pg_load_on_batch(void *receiver, const struct kx_batch_view *view);
/** Messages a receiver has, and the faults of all its sequences added to the result. */
void pg_receiver_settle(const struct pg_receiver *r, struct pg_result *result);

#endif
