/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdlib.h>

#include "load.h"

int pg_receiver_init(struct pg_receiver *r, struct pg_load *l)
{
	size_t n = l->run->o->mode == PG_E2E ? (size_t)l->sender_count * l->partitions : PG_TRACKS_MAX;

	r->tracks = calloc(n, sizeof(*r->tracks));
	r->track_count = l->run->o->mode == PG_E2E ? (uint32_t)n : 0;
	if (r->tracks == NULL)
		return -ENOMEM;
	return l->run->o->mode == PG_E2E ? 0 : kx_map_init(&r->by_source, PG_TRACKS_MAX);
}

void pg_receiver_fini(struct pg_receiver *r)
{
	free(r->tracks);
	if (r->by_source.keys != NULL)
		kx_map_fini(&r->by_source);
}

/* Mode consume: whoever sends is noticed when first seen; what it sent before is not ours to miss. */
static struct pg_track *track_of_source(struct pg_receiver *r, uint64_t id, uint32_t partition)
{
	uint64_t key = ((id >> PG_SEQ_BITS) << 32 | partition) + 1;
	uint32_t index;

	if (kx_map_get(&r->by_source, key, &index))
		return &r->tracks[index];
	if (r->track_count == PG_TRACKS_MAX || kx_map_put(&r->by_source, key, r->track_count) != 0)
		return NULL;
	pg_track_init(&r->tracks[r->track_count], pg_id_seq(id));
	return &r->tracks[r->track_count++];
}

static struct pg_track *track_of(struct pg_receiver *r, uint64_t id, uint32_t partition)
{
	const struct pg_load *l = r->load;

	if (kx_unlikely(l->run->o->mode != PG_E2E))
		return track_of_source(r, id, partition);
	if (kx_unlikely(pg_id_run(id) != l->run->run_id || pg_id_producer(id) >= l->sender_count ||
		    partition >= l->partitions))
		return NULL;
	return &r->tracks[(size_t)pg_id_producer(id) * l->partitions + partition];
}

/* n messages with ids id, id + 1, ... and one intended time. */
static void take(struct pg_receiver *r, const struct kx_batch_view *v, uint64_t id, uint64_t intended_ns,
	uint32_t n, uint64_t now_ns)
{
	struct pg_load *l = r->load;
	struct pg_track *t = track_of(r, id, v->partition);

	if (kx_unlikely(t == NULL)) {
		l->foreign += n;
		return;
	}
	uint64_t before = t->received;

	pg_track_run(t, pg_id_seq(id), n);
	uint32_t fresh = (uint32_t)(t->received - before);

	l->late += pg_record(l->run, l->run->latency, intended_ns, now_ns, fresh);
	kx_count(&l->run->live.received, fresh);
}

/* Any shape of batch, message by message. */
static void take_each(struct pg_receiver *r, const struct kx_batch_view *v, bool every_byte, uint64_t now_ns)
{
	struct kx_record_iter it = kx_batch_records(v);
	struct kx_record record;
	struct pg_stamp stamp;

	while (kx_record_next(&it, &record)) {
		if (record.value_bytes < PG_PAYLOAD_MIN) {
			r->load->foreign++;
			continue;
		}
		memcpy(&stamp, record.value, sizeof(stamp));
		if (every_byte && !pg_payload_check(record.value, record.value_bytes)) {
			r->load->corrupt++;
			continue;
		}
		take(r, v, stamp.id, stamp.intended_ns, 1, now_ns);
	}
}

/*
 * Is the batch what one send makes: plain records of one size, ids in sequence, one intended time? Everything
 * is compared; differences are gathered without a branch for each message.
 */
static KX_ALWAYS_INLINE bool uniform(const uint8_t *records, uint32_t stride, uint32_t payload_bytes,
	uint32_t n, uint64_t *id, uint64_t *intended_ns)
{
	uint64_t first[3], diff = 0;

	memcpy(first, records, sizeof(first));
	for (uint32_t i = 0; i < n; i++) {
		uint64_t word[3];

		memcpy(word, records + (size_t)i * stride, sizeof(word));
		diff |= (word[0] ^ payload_bytes) | (word[1] ^ (first[1] + i)) | (word[2] ^ first[2]);
	}
	*id = first[1];
	*intended_ns = first[2];
	return diff == 0;
}

static bool every_byte_right(const uint8_t *records, uint32_t stride, uint32_t payload_bytes, uint32_t n)
{
	bool right = true;

	for (uint32_t i = 0; i < n; i++)
		right &= pg_payload_check(
			records + (size_t)i * stride + sizeof(struct kx_record_hdr), payload_bytes);
	return right;
}

void pg_load_on_batch(void *arg, const struct kx_batch_view *v)
{
	struct pg_receiver *r = arg;
	struct pg_load *l = r->load;
	const uint8_t *records = (const uint8_t *)(v->batch + 1);
	uint32_t n = v->batch->record_count, payload = l->payload_bytes, stride = l->stride_bytes;
	bool every_byte = l->run->o->verify == PG_VERIFY_FULL || (l->batches++ & 63) == 0;
	uint64_t id, intended, now = pg_now(l->run->rig);
	bool same;

	if (kx_unlikely(v->skip != 0 || v->batch->batch_bytes != KX_BATCH_HDR_BYTES + n * stride)) {
		take_each(r, v, every_byte, now);
		return;
	}
	if (kx_likely(stride == 72))
		same = uniform(records, 72, payload, n, &id, &intended);
	else
		same = uniform(records, stride, payload, n, &id, &intended);
	if (kx_unlikely(!same || (every_byte && !every_byte_right(records, stride, payload, n)))) {
		take_each(r, v, every_byte, now);
		return;
	}
	take(r, v, id, intended, n, now);
}

void pg_receiver_settle(const struct pg_receiver *r, struct pg_result *result)
{
	const struct pg_load *l = r->load;

	for (uint32_t i = 0; i < r->track_count; i++) {
		const struct pg_track *t = &r->tracks[i];
		uint64_t end = t->next;

		if (l->run->o->mode == PG_E2E)
			end = l->senders[i / l->partitions].seq[i % l->partitions];
		result->lost += pg_track_lost(t, end);
		result->duplicated += t->duplicated;
		result->reordered += t->reordered;
	}
}
