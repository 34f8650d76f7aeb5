/* SPDX-License-Identifier: BSD-3-Clause */
/* Building batches: the producer's part and the broker's stamp. */
#include "wire_private.h"

void kx_batch_begin(struct kx_batch_writer *w, uint8_t *data, uint32_t max_bytes, uint32_t partition,
	uint64_t producer_id, uint32_t producer_epoch, uint64_t first_seq, uint64_t stream_key)
{
	struct kx_batch_hdr h = {
		.format = KX_BATCH_FORMAT,
		.partition = partition,
		.producer_id = producer_id,
		.producer_epoch = producer_epoch,
		.first_seq = first_seq,
		.stream_key = stream_key,
	};

	memcpy(data, &h, sizeof(h));
	*w = (struct kx_batch_writer){
		.batch = (struct kx_batch_hdr *)data,
		.used_bytes = sizeof(h),
		.max_bytes = max_bytes,
	};
}

/* Bytes of the headers part without padding; 0 when a header cannot be written. */
static uint32_t headers_part_bytes(const struct kx_header_view *headers, unsigned int count)
{
	uint32_t total = sizeof(struct kx_rec_headers);

	for (unsigned int i = 0; i < count; i++) {
		if (headers[i].name_bytes == 0)
			return 0;
		total += 4u + headers[i].name_bytes + headers[i].value_bytes;
	}
	return total;
}

/* Append bytes and zeros up to a multiple of 8. */
static uint8_t *put_padded(uint8_t *p, const void *bytes, uint32_t n)
{
	uint8_t *end = p + kx_align8(n);

	memcpy(p, bytes, n);
	memset(p + n, 0, (size_t)(end - p) - n);
	return end;
}

static uint8_t *put_headers(
	uint8_t *p, const struct kx_header_view *headers, unsigned int count, uint32_t total)
{
	struct kx_rec_headers part = {.total_bytes = total};
	uint8_t *end = p + kx_align8(total);

	memset(end - 8, 0, 8);
	memcpy(p, &part, sizeof(part));
	p += sizeof(part);
	for (unsigned int i = 0; i < count; i++) {
		const struct kx_header_view *h = &headers[i];

		memcpy(p, &h->name_bytes, 2);
		memcpy(p + 2, &h->value_bytes, 2);
		memcpy(p + 4, h->name, h->name_bytes);
		p += 4 + h->name_bytes;
		if (h->value_bytes > 0)
			memcpy(p, h->value, h->value_bytes);
		p += h->value_bytes;
	}
	return end;
}

uint8_t *kx_batch_claim_run(struct kx_batch_writer *w, uint32_t value_bytes, uint32_t count)
{
	uint64_t need = sizeof(struct kx_record_hdr) + kx_align8(value_bytes);
	uint8_t *at = (uint8_t *)w->batch + w->used_bytes, *end;

	if (kx_unlikely(need * count > w->max_bytes - w->used_bytes || count > UINT16_MAX - w->record_count))
		return NULL;
	end = at + need * count;
	if (value_bytes & 7)
		for (uint8_t *p = at; p < end; p += need)
			*(uint64_t *)(p + need - 8) = 0;
	for (uint8_t *p = at; p < end; p += need)
		*(struct kx_record_hdr *)p = (struct kx_record_hdr){value_bytes, 0, 0, 0};
	w->used_bytes += (uint32_t)(need * count);
	w->record_count += count;
	return at + sizeof(struct kx_record_hdr);
}

uint8_t *kx_batch_claim_full(struct kx_batch_writer *w, const struct kx_record *r,
	const struct kx_header_view *headers, unsigned int header_count)
{
	struct kx_record_hdr h = {.value_bytes = r->value_bytes};
	uint8_t *p = (uint8_t *)w->batch + w->used_bytes;
	uint64_t need = sizeof(h) + kx_align8(r->value_bytes);
	uint32_t part = 0;

	if (header_count > KX_REC_HEADERS_MAX || r->value_bytes > KX_MESSAGE_MAX_BYTES)
		return NULL;
	if (header_count > 0) {
		part = headers_part_bytes(headers, header_count);
		if (part == 0)
			return NULL;
		h.flags |= KX_REC_HEADERS;
		h.header_count = (uint8_t)header_count;
		need += kx_align8(part);
	}
	if (r->key != NULL && r->key_bytes > 0) {
		h.flags |= KX_REC_KEY;
		h.key_bytes = r->key_bytes;
		need += kx_align8(r->key_bytes);
	}
	if (r->timestamp_ns != 0) {
		h.flags |= KX_REC_TIMESTAMP;
		need += 8;
	}
	if (need > w->max_bytes - w->used_bytes || w->record_count == UINT16_MAX)
		return NULL;
	if (r->value_bytes & 7)
		memset(p + need - 8, 0, 8);
	memcpy(p, &h, sizeof(h));
	p += sizeof(h);
	if (h.flags & KX_REC_TIMESTAMP)
		p = put_padded(p, &r->timestamp_ns, 8);
	if (h.flags & KX_REC_KEY)
		p = put_padded(p, r->key, r->key_bytes);
	if (h.flags & KX_REC_HEADERS)
		p = put_headers(p, headers, header_count, part);
	w->used_bytes += (uint32_t)need;
	w->record_count++;
	return p;
}

uint32_t kx_batch_end(struct kx_batch_writer *w)
{
	struct kx_batch_hdr *b = w->batch;

	b->batch_bytes = w->used_bytes;
	b->record_count = (uint16_t)w->record_count;
	b->data_crc = kx_batch_data_crc(b);
	return w->used_bytes;
}

/*
 * The CRC is computed from the values, not from the batch: the stores before it are too narrow and too fresh
 * to be loaded again without a stall.
 */
static uint32_t stamp_crc(uint64_t base_offset, uint32_t log_epoch, uint64_t append_time_ns,
	uint32_t data_crc, uint32_t batch_bytes)
{
	const uint64_t words[3] = {log_epoch | base_offset << 32, base_offset >> 32 | append_time_ns << 32,
		append_time_ns >> 32 | (uint64_t)data_crc << 32};
	uint32_t state = wire_crc_step(wire_crc_step(wire_crc_step(~0u, words[0]), words[1]), words[2]);

	return wire_crc_end32(state, batch_bytes);
}

void kx_batch_stamp(struct kx_batch_hdr *b, uint64_t base_offset, uint32_t log_epoch, uint64_t append_time_ns)
{
	b->header_crc = stamp_crc(base_offset, log_epoch, append_time_ns, b->data_crc, b->batch_bytes);
	b->log_epoch = log_epoch;
	b->base_offset = base_offset;
	b->append_time_ns = append_time_ns;
}
