/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * A live broker for fuzz targets, on the rig of the unit tests, and what must hold whatever it is sent. Each
 * function aborts when something does not.
 */
#ifndef LIVE_BROKER_H
#define LIVE_BROKER_H

#include "broker_rig.h"
#include "fuzz_input.h"

#define FUZZ_SLOTS	 64 /* sessions of the broker */
#define FUZZ_PARTITIONS	 4  /* 0 trims, 1 blocks, 2 and 3 belong to one topic */
#define FUZZ_SAVED	 16
#define FUZZ_BATCHES	 4096
#define FUZZ_FRAME_BYTES 4096

struct fuzz_saved {
	uint64_t data[FUZZ_FRAME_BYTES / 8];
	uint32_t bytes;
	struct kx_addr from;
};
/* What a session was told last. */
struct fuzz_told {
	uint64_t conn_id, pkt_no, next_pkt, limit_pkt, limit_bytes;
};
/* A batch that was delivered. */
struct fuzz_stored {
	uint64_t offset, producer_id, first_seq;
	uint32_t partition, producer_epoch, data_crc, records;
};
struct fuzz_broker {
	struct rig *rig;
	struct fuzz_told told[256];
	uint32_t told_count;
	struct fuzz_stored stored[FUZZ_BATCHES];
	uint32_t stored_count;
	struct fuzz_saved in[FUZZ_SAVED], out[FUZZ_SAVED]; /* the last frames to the broker, and from it */
	uint32_t in_count, out_count;
	uint32_t connects;
	/* called for each frame that the broker sent */
	void (*on_sent)(void *user, const struct rig_sent *sent);
	void *user;
};

/* Called once, before anything else: a failed assertion of the rig aborts. */
void fuzz_broker_process(void);
/* `more`: further lines of the ini. */
void fuzz_broker_open(struct fuzz_broker *b, const char *more);
/* After it, everybody is gone and what they had is free; one more client is served. */
void fuzz_broker_close(struct fuzz_broker *b);
/* One frame, kept for a later replay. */
enum kx_drop fuzz_broker_rx(struct fuzz_broker *b, const uint8_t *frame, uint32_t bytes,
	const struct kx_addr *from, uint32_t flags);
void fuzz_broker_turn(struct fuzz_broker *b, uint64_t ns);
/* A session from an address of its own; false when the broker has no room for more. */
bool fuzz_broker_connect(struct fuzz_broker *b, struct rig_session *s);

#endif
