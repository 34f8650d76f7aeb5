/* SPDX-License-Identifier: BSD-3-Clause */
/* Record batches: sizes, CRCs and every record; and the fragments of a batch that is larger than a frame. */
#include "wire_private.h"

uint32_t kx_batch_header_crc(const struct kx_batch_hdr *b)
{
	const uint8_t *p = (const uint8_t *)b;
	uint32_t state = UINT32_MAX;

	state = wire_crc_step(state, wire_load64(p + 4));
	state = wire_crc_step(state, wire_load64(p + 12));
	state = wire_crc_step(state, wire_load64(p + 20));
	return wire_crc_end32(state, wire_load32(p + 28));
}

uint32_t kx_batch_data_crc(const struct kx_batch_hdr *b)
{
	return kx_crc32c(0, (const uint8_t *)b + KX_BATCH_DATA_FROM, b->batch_bytes - KX_BATCH_DATA_FROM);
}

/* Header fields that need no other bytes. `bytes` is what is there. */
static KX_ALWAYS_INLINE enum kx_drop check_header(const struct kx_batch_hdr *b, size_t bytes)
{
	uint32_t size;

	if (kx_unlikely(bytes < KX_BATCH_MIN_BYTES))
		return KX_DROP_BATCH_SHORT;
	size = b->batch_bytes;
	if (kx_unlikely(size < KX_BATCH_MIN_BYTES || size > bytes || size > KX_BATCH_MAX_BYTES))
		return KX_DROP_BATCH_SHORT;
	if (kx_unlikely(b->format != KX_BATCH_FORMAT || (b->attrs & ~KX_BATCH_ATTRS_ACCEPTED) != 0 ||
		    b->zero != 0 || (size & 7) != 0))
		return KX_DROP_BATCH_FORMAT;
	if (kx_unlikely(b->record_count == 0 ||
		    b->record_count * sizeof(struct kx_record_hdr) > size - KX_BATCH_HDR_BYTES))
		return KX_DROP_BATCH_COUNT;
	return KX_DROP_NONE;
}

/*
 * Walk [p, end). Batches are mostly records of one size: a run of equal plain headers advances by a length
 * that is already in a register, so that the loads of the run do not wait for each other.
 */
static KX_ALWAYS_INLINE enum kx_drop check_records(
	const uint8_t *p, const uint8_t *end, uint32_t record_count)
{
	uint32_t found = 0;

	while (p < end) {
		uint64_t header = wire_load64(p);
		uint64_t room = (uint64_t)(end - p);
		uint64_t size;

		if (kx_unlikely(header >> 32 != 0)) {
			size = wire_record_full_bytes(p, room);
			if (size == 0)
				return KX_DROP_BATCH_RECORD;
			p += size;
			found++;
			continue;
		}
		size = sizeof(struct kx_record_hdr) + kx_align8(header);
		if (kx_unlikely(size > room || header > KX_MESSAGE_MAX_BYTES))
			return KX_DROP_BATCH_RECORD;
		do {
			p += size;
			found++;
		} while ((uint64_t)(end - p) >= size && wire_load64(p) == header);
	}
	return kx_likely(found == record_count) ? KX_DROP_NONE : KX_DROP_BATCH_COUNT;
}

static KX_ALWAYS_INLINE enum kx_drop check_batch(const uint8_t *data, size_t bytes, bool verify_crc)
{
	const struct kx_batch_hdr *b = (const struct kx_batch_hdr *)data;
	enum kx_drop reason = check_header(b, bytes);

	if (kx_unlikely(reason != KX_DROP_NONE))
		return reason;
	/* CRC first: from here on a fault is the writer's, not the wire's. */
	if (verify_crc && kx_unlikely(b->data_crc != kx_batch_data_crc(b)))
		return KX_DROP_BATCH_CRC;
	return check_records(data + KX_BATCH_HDR_BYTES, data + b->batch_bytes, b->record_count);
}

enum kx_drop kx_batch_check(const uint8_t *data, size_t bytes, bool verify_crc)
{
	return check_batch(data, bytes, verify_crc);
}

/* What the broker assigns: zero from a producer, under the header CRC from a broker. */
static KX_ALWAYS_INLINE enum kx_drop check_assigned(const struct kx_batch_hdr *b, bool produce)
{
	if (produce) {
		uint64_t any = b->header_crc | b->log_epoch | b->base_offset | b->append_time_ns;

		return kx_likely(any == 0) ? KX_DROP_NONE : KX_DROP_FRAME_FIELD;
	}
	return kx_likely(b->header_crc == kx_batch_header_crc(b)) ? KX_DROP_NONE : KX_DROP_BATCH_CRC;
}

enum kx_drop wire_check_batches(struct kx_frame_view *v)
{
	const uint8_t *p = v->body;
	const uint8_t *end = p + v->body_bytes;
	bool produce = v->hdr->type == KX_PRODUCE;
	uint32_t batches = 0, records = 0;

	do {
		const struct kx_batch_hdr *b = (const struct kx_batch_hdr *)p;
		size_t rest = (size_t)(end - p);
		enum kx_drop reason;

		if (kx_unlikely(rest < KX_BATCH_MIN_BYTES))
			return KX_DROP_BATCH_SHORT;
		reason = check_assigned(b, produce);
		if (kx_likely(reason == KX_DROP_NONE))
			reason = check_batch(p, rest, true);
		if (kx_unlikely(reason != KX_DROP_NONE))
			return reason;
		batches++;
		records += b->record_count;
		p += b->batch_bytes;
	} while (p < end);
	v->batch_count = batches;
	v->record_count = records;
	return KX_DROP_NONE;
}

/* A batch is cut every part_bytes; a fragment is one of these parts, whole. */
static bool part_ok(const struct kx_frag *f)
{
	if (((f->batch_bytes | f->part_bytes) & 7) != 0 || f->part_bytes < KX_PART_MIN_BYTES)
		return false;
	if (f->batch_bytes < KX_BATCH_MIN_BYTES || f->batch_bytes > KX_BATCH_MAX_BYTES)
		return false;
	return f->frag_offset < f->batch_bytes && f->frag_offset % f->part_bytes == 0 &&
		f->frag_bytes == KX_MIN(f->part_bytes, f->batch_bytes - f->frag_offset);
}

enum kx_drop wire_check_frag(const struct kx_frame_view *v, enum kx_side from)
{
	const struct kx_frag *f = (const struct kx_frag *)v->body;

	(void)from;
	if (f->frag_bytes != v->body_bytes - sizeof(*f))
		return KX_DROP_FRAME_LENGTH;
	if (!part_ok(f))
		return KX_DROP_FRAME_FIELD;
	if (f->frag_crc != kx_crc32c(0, (const uint8_t *)(f + 1), f->frag_bytes))
		return KX_DROP_BATCH_CRC;
	return KX_DROP_NONE;
}
