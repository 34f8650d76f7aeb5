/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Fuzz target: kx_frame_check() of both sides over an exact-size copy, then everything it accepted is walked
 * with the accessors and must end where it says. First input byte: bit 0 = make the CRCs and the check value
 * right first (else nothing passes them), bit 1 = the rest is a batch, not a frame.
 */
#include <stdlib.h>
#include <string.h>

#include "wire_repair.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

#define FUZZ_REPAIR 1
#define FUZZ_BATCH  2

/* Reads every byte, so that a sanitizer sees those outside. */
static void touch(const uint8_t *p, size_t bytes)
{
	uint8_t sum = 0;

	for (size_t i = 0; i < bytes; i++)
		sum ^= p[i];
	__asm__ volatile("" : : "r"(sum));
}

static void require(bool ok)
{
	if (!ok)
		abort();
}

static void walk_record(const struct kx_record *r)
{
	struct kx_header_view h;

	touch(r->value, r->value_bytes);
	require((r->key != NULL) == (r->key_bytes > 0));
	touch(r->key, r->key_bytes);
	for (unsigned int i = 0; i < r->header_count; i++) {
		require(kx_record_header(r, i, &h) && h.name_bytes > 0);
		touch(h.name, h.name_bytes);
		touch(h.value, h.value_bytes);
	}
	require(!kx_record_header(r, r->header_count, &h));
}

static uint32_t walk_batch(const uint8_t *p)
{
	const struct kx_batch_hdr *b = (const struct kx_batch_hdr *)p;
	struct kx_record_iter it = kx_record_first(b);
	struct kx_record r;
	uint32_t records = 0;

	while (kx_record_next(&it, &r)) {
		walk_record(&r);
		records++;
	}
	require(records == b->record_count && it.next == p + b->batch_bytes);
	return records;
}

static void walk_frame(const uint8_t *data, size_t bytes, const struct kx_frame_view *v)
{
	require(v->hdr == (const struct kx_frame_hdr *)data && v->body + v->body_bytes == data + bytes);
	touch(v->body, v->body_bytes);
	require(strcmp(kx_frame_type_name(v->hdr->type), "?") != 0);
	if (v->hdr->type == KX_PRODUCE || v->hdr->type == KX_DELIVER) {
		const uint8_t *p = v->body;
		uint32_t records = 0;

		for (uint32_t i = 0; i < v->batch_count; i++) {
			records += walk_batch(p);
			p += ((const struct kx_batch_hdr *)p)->batch_bytes;
		}
		require(p == data + bytes && records == v->record_count);
	} else {
		require(v->batch_count == 0 && v->record_count == 0);
	}
}

static void fuzz_batch(uint8_t *data, size_t bytes, bool repair)
{
	if (repair)
		wire_repair_batches(data, bytes, false);
	if (kx_batch_check(data, bytes, true) == KX_DROP_NONE)
		require(kx_batch_check(data, bytes, false) == KX_DROP_NONE);
	if (kx_batch_check(data, bytes, false) == KX_DROP_NONE)
		walk_batch(data);
}

static void fuzz_frame(uint8_t *data, size_t bytes, bool repair)
{
	struct kx_frame_view view;

	if (repair)
		wire_repair_frame(data, bytes);
	if (kx_frame_check(data, bytes, KX_FROM_CLIENT, &view) == KX_DROP_NONE)
		walk_frame(data, bytes, &view);
	if (kx_frame_check(data, bytes, KX_FROM_BROKER, &view) == KX_DROP_NONE)
		walk_frame(data, bytes, &view);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	uint8_t *copy;

	if (bytes == 0)
		return 0;
	copy = malloc(bytes > 1 ? bytes - 1 : 1);
	if (copy == NULL)
		return 0;
	memcpy(copy, data + 1, bytes - 1);
	if (data[0] & FUZZ_BATCH)
		fuzz_batch(copy, bytes - 1, data[0] & FUZZ_REPAIR);
	else
		fuzz_frame(copy, bytes - 1, data[0] & FUZZ_REPAIR);
	free(copy);
	return 0;
}
