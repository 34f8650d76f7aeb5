/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Fuzz target: batches by the writer and the reader. The input says what records a batch is written from; it
 * must be accepted and read back as it was. Then the input changes bytes of it: the reader refuses or stays
 * inside, and takes nothing that was changed under a CRC that was not.
 */
#include "fuzz_input.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

#define BATCH_BYTES 16384
#define RECORDS_MAX 64

struct written {
	struct kx_record record;
	struct kx_header_view headers[KX_REC_HEADERS_MAX];
	unsigned int header_count;
};
struct batch {
	uint64_t memory[BATCH_BYTES / 8];
	struct written records[RECORDS_MAX];
	uint32_t count, bytes;
};

/* Where names, keys and values come from: the n-th byte is n. */
static uint8_t text[1024];

static const uint8_t *some_text(struct fuzz_input *in)
{
	return text + fuzz_u8(in);
}

static void choose(struct fuzz_input *in, struct written *w)
{
	uint8_t shape = fuzz_u8(in);

	*w = (struct written){0};
	w->record.value_bytes = fuzz_u16(in) % 700;
	w->record.value = some_text(in);
	if (shape & 1) {
		w->record.key_bytes = (uint16_t)(1 + fuzz_u8(in));
		w->record.key = some_text(in);
	}
	if (shape & 2)
		w->record.timestamp_ns = 1 + fuzz_u64(in) % (UINT64_MAX - 1);
	if (shape & 4)
		w->header_count = 1 + (shape >> 3) % KX_REC_HEADERS_MAX;
	for (unsigned int i = 0; i < w->header_count; i++) {
		struct kx_header_view *h = &w->headers[i];

		h->name_bytes = (uint16_t)(1 + fuzz_u8(in) % 40);
		h->name = some_text(in);
		h->value_bytes = fuzz_u8(in) % 100;
		h->value = some_text(in);
	}
}

static void write_batch(struct fuzz_input *in, struct batch *b)
{
	struct kx_batch_writer w;
	uint32_t room = 80 + 8 * (fuzz_u16(in) % ((BATCH_BYTES - 80) / 8));

	kx_batch_begin(&w, (uint8_t *)b->memory, room, fuzz_u8(in), fuzz_u64(in), fuzz_u8(in),
		fuzz_number(in), fuzz_u8(in));
	b->count = 0;
	while (b->count < RECORDS_MAX && (b->count == 0 || fuzz_more(in))) {
		struct written *r = &b->records[b->count];
		uint32_t used = w.used_bytes;
		uint8_t *value;

		choose(in, r);
		if (b->count == 0 && !fuzz_more(in))
			*r = (struct written){.record = {.value = text}};
		value = r->record.key != NULL || r->record.timestamp_ns != 0 || r->header_count > 0
			? kx_batch_claim_full(&w, &r->record, r->headers, r->header_count)
			: kx_batch_claim(&w, r->record.value_bytes);
		if (value == NULL) {
			fuzz_require(w.used_bytes == used); /* and nothing else was done */
			if (b->count > 0)
				break;
			continue;
		}
		memcpy(value, r->record.value, r->record.value_bytes);
		b->count++;
	}
	b->bytes = kx_batch_end(&w);
	fuzz_require(b->bytes <= room && (b->bytes & 7) == 0);
}

static bool same(const uint8_t *a, uint32_t a_bytes, const uint8_t *b, uint32_t b_bytes)
{
	return a_bytes == b_bytes && (a_bytes == 0 || memcmp(a, b, a_bytes) == 0);
}

static void compare(const struct written *w, const struct kx_record *r)
{
	struct kx_header_view h;

	fuzz_require(same(r->value, r->value_bytes, w->record.value, w->record.value_bytes));
	fuzz_require(same(r->key, r->key_bytes, w->record.key, w->record.key_bytes));
	fuzz_require(r->timestamp_ns == w->record.timestamp_ns && r->header_count == w->header_count);
	for (unsigned int i = 0; i < w->header_count; i++) {
		fuzz_require(kx_record_header(r, i, &h));
		fuzz_require(same(h.name, h.name_bytes, w->headers[i].name, w->headers[i].name_bytes));
		fuzz_require(same(h.value, h.value_bytes, w->headers[i].value, w->headers[i].value_bytes));
	}
	fuzz_require(!kx_record_header(r, w->header_count, &h));
}

static void read_back(const struct batch *b, const uint8_t *copy)
{
	struct kx_record_iter it = kx_record_first((const struct kx_batch_hdr *)copy);
	struct kx_record r;
	uint32_t n = 0;

	fuzz_require(kx_batch_check(copy, b->bytes, true) == KX_DROP_NONE);
	for (; kx_record_next(&it, &r); n++)
		compare(&b->records[n], &r);
	fuzz_require(n == b->count && it.next == copy + b->bytes);
	for (uint32_t cut = 0; cut < b->bytes; cut += 1 + b->bytes / 16)
		fuzz_require(kx_batch_check(copy, cut, true) != KX_DROP_NONE);
}

/* Reads every byte that a record names, so that a sanitizer sees those outside. */
static void walk(const uint8_t *copy, size_t bytes)
{
	const struct kx_batch_hdr *h = (const struct kx_batch_hdr *)copy;
	struct kx_record_iter it = kx_record_first(h);
	struct kx_header_view view;
	struct kx_record r;
	uint32_t sum = 0, n = 0;

	fuzz_require(h->batch_bytes <= bytes);
	for (; kx_record_next(&it, &r); n++) {
		sum += kx_crc32c(0, r.value, r.value_bytes) + kx_crc32c(0, r.key, r.key_bytes);
		for (unsigned int i = 0; kx_record_header(&r, i, &view); i++)
			sum += kx_crc32c(0, view.name, view.name_bytes) +
				kx_crc32c(0, view.value, view.value_bytes);
	}
	__asm__ volatile("" : : "r"(sum));
	fuzz_require(n == h->record_count && it.next == copy + h->batch_bytes);
}

static void change(struct fuzz_input *in, const struct batch *b, uint8_t *copy)
{
	struct kx_batch_hdr *h = (struct kx_batch_hdr *)copy;

	for (unsigned int i = 1 + fuzz_u8(in) % 3; i > 0; i--) {
		uint32_t at = fuzz_u16(in) % b->bytes, width = 1u << (fuzz_u8(in) & 3);
		uint64_t number = fuzz_number(in);

		memcpy(copy + at, &number, KX_MIN(width, b->bytes - at));
	}
	if (h->data_crc == ((const struct kx_batch_hdr *)b->memory)->data_crc &&
		memcmp(copy + KX_BATCH_DATA_FROM, (const uint8_t *)b->memory + KX_BATCH_DATA_FROM,
			b->bytes - KX_BATCH_DATA_FROM) != 0)
		fuzz_require(kx_batch_check(copy, b->bytes, true) != KX_DROP_NONE);
	if (kx_batch_check(copy, b->bytes, false) == KX_DROP_NONE)
		walk(copy, b->bytes);
	if (h->batch_bytes >= KX_BATCH_HDR_BYTES && h->batch_bytes <= b->bytes) {
		h->data_crc = kx_batch_data_crc(h);
		if (kx_batch_check(copy, b->bytes, true) == KX_DROP_NONE)
			walk(copy, b->bytes);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	static struct batch b;
	struct fuzz_input in = {data, data + bytes};
	uint8_t *copy;

	for (uint32_t i = 0; i < sizeof(text); i++)
		text[i] = (uint8_t)i;
	write_batch(&in, &b);
	copy = malloc(b.bytes);
	if (copy == NULL)
		return 0;
	memcpy(copy, b.memory, b.bytes);
	read_back(&b, copy);
	change(&in, &b, copy);
	free(copy);
	return 0;
}
