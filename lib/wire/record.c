/* SPDX-License-Identifier: BSD-3-Clause */
/* Records with optional parts: check, iterate, headers. */
#include "wire_private.h"

#define HEADER_LENGTHS 4u /* u16 name_bytes, u16 value_bytes */

/* The headers part at p, `room` bytes up to the batch's end. @return its bytes without padding, 0 when bad.
 */
static uint64_t headers_bytes(const uint8_t *p, uint64_t room, uint32_t count)
{
	uint64_t at = sizeof(struct kx_rec_headers);
	uint32_t total;

	if (room < at)
		return 0;
	total = wire_load32(p);
	if (total > room || wire_load32(p + 4) != 0)
		return 0;
	for (uint32_t i = 0; i < count; i++) {
		uint32_t name_bytes;

		if (at + HEADER_LENGTHS > total)
			return 0;
		name_bytes = wire_load16(p + at);
		if (name_bytes == 0)
			return 0;
		at += HEADER_LENGTHS + name_bytes + wire_load16(p + at + 2);
		if (at > total)
			return 0;
	}
	return at == total ? total : 0;
}

static bool flags_ok(const struct kx_record_hdr *h)
{
	if ((h->flags & ~KX_REC_FLAGS_ACCEPTED) != 0 || h->value_bytes > KX_MESSAGE_MAX_BYTES)
		return false;
	if (((h->flags & KX_REC_KEY) != 0) != (h->key_bytes != 0))
		return false;
	return ((h->flags & KX_REC_HEADERS) != 0) == (h->header_count != 0) &&
		h->header_count <= KX_REC_HEADERS_MAX;
}

uint64_t wire_record_full_bytes(const uint8_t *p, uint64_t room)
{
	const struct kx_record_hdr *h = (const struct kx_record_hdr *)p;
	uint64_t size = sizeof(*h);

	if (!flags_ok(h))
		return 0;
	if (h->flags & KX_REC_TIMESTAMP)
		size += 8;
	size += kx_align8(h->key_bytes);
	if (size > room)
		return 0;
	if (h->header_count > 0) {
		uint64_t part = headers_bytes(p + size, room - size, h->header_count);

		if (part == 0)
			return 0;
		size += kx_align8(part);
	}
	size += kx_align8(h->value_bytes);
	return size <= room ? size : 0;
}

void kx_record_next_full(struct kx_record_iter *it, struct kx_record *r)
{
	const struct kx_record_hdr *h = (const struct kx_record_hdr *)it->next;
	const uint8_t *p = it->next + sizeof(*h);

	*r = (struct kx_record){.value_bytes = h->value_bytes};
	if (h->flags & KX_REC_TIMESTAMP) {
		r->timestamp_ns = wire_load64(p);
		p += 8;
	}
	if (h->flags & KX_REC_KEY) {
		r->key = p;
		r->key_bytes = h->key_bytes;
		p += kx_align8(h->key_bytes);
	}
	if (h->flags & KX_REC_HEADERS) {
		r->headers = p + sizeof(struct kx_rec_headers);
		r->header_count = h->header_count;
		p += kx_align8(wire_load32(p));
	}
	r->value = p;
	it->next = p + kx_align8(h->value_bytes);
}

bool kx_record_header(const struct kx_record *r, unsigned int index, struct kx_header_view *out)
{
	const uint8_t *p = r->headers;

	if (index >= r->header_count)
		return false;
	for (unsigned int i = 0;; i++) {
		out->name_bytes = wire_load16(p);
		out->value_bytes = wire_load16(p + 2);
		out->name = p + HEADER_LENGTHS;
		out->value = out->name + out->name_bytes;
		if (i == index)
			return true;
		p = out->value + out->value_bytes;
	}
}
