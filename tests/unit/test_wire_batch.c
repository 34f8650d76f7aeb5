/* SPDX-License-Identifier: BSD-3-Clause */
/* Batches and records: each reason of the batch group, iteration, and round trips of random content. */
#include "kx_test.h"

#include "wire_samples.h"

#define BATCH_BYTES 4096u

static uint8_t batch_memory[BATCH_BYTES] KX_ALIGNED(8);
static struct kx_batch_hdr *const batch = (struct kx_batch_hdr *)batch_memory;

static enum kx_drop check(size_t bytes)
{
	uint8_t *copy = kx_test_exact(batch_memory, bytes);
	enum kx_drop reason = kx_batch_check(copy, bytes, true);

	free(copy);
	return reason;
}

static void assert_reason(enum kx_drop got, enum kx_drop wanted, const char *what)
{
	if (got != wanted)
		fail_msg("%s: %s, wanted %s", what, kx_drop_key(got), kx_drop_key(wanted));
}

/* Three plain records of 5, 0 and 16 bytes: record headers at 72, 88, 96; batch of 120 bytes. */
static uint32_t plain(void)
{
	struct kx_batch_writer w;

	memset(batch_memory, 0, sizeof(batch_memory));
	kx_batch_begin(&w, batch_memory, BATCH_BYTES, 6, 7, 1, 0, 9);
	memcpy(kx_batch_claim(&w, 5), "abcde", 5);
	assert_non_null(kx_batch_claim(&w, 0));
	memset(kx_batch_claim(&w, 16), 'x', 16);
	return kx_batch_end(&w);
}

/*
 * One record: header at 72, timestamp at 80, key of 3 at 88, headers at 96 (8 + 4+1+2 + 4+2+0 = 21 bytes: the
 * first header's lengths at 104, the second's at 111), value of 4 at 120; batch of 128 bytes.
 */
static uint32_t full(void)
{
	struct kx_header_view headers[2] = {
		{(const uint8_t *)"a", (const uint8_t *)"vv", 1, 2}, {(const uint8_t *)"bb", NULL, 2, 0}};
	struct kx_record r = {
		.key = (const uint8_t *)"key", .key_bytes = 3, .timestamp_ns = 99, .value_bytes = 4};
	struct kx_batch_writer w;

	memset(batch_memory, 0, sizeof(batch_memory));
	kx_batch_begin(&w, batch_memory, BATCH_BYTES, 6, 7, 1, 0, 0);
	memcpy(kx_batch_claim_full(&w, &r, headers, 2), "data", 4);
	return kx_batch_end(&w);
}

struct change {
	uint32_t (*build)(void);
	uint16_t at;
	uint8_t bytes;
	uint64_t value;
	enum kx_drop reason;
};
#define HDR(field)    offsetof(struct kx_batch_hdr, field), sizeof(((struct kx_batch_hdr *)0)->field)
#define REC(n, field) (n) + offsetof(struct kx_record_hdr, field), sizeof(((struct kx_record_hdr *)0)->field)
#define LONG	      KX_DROP_BATCH_SHORT
#define FORMAT	      KX_DROP_BATCH_FORMAT
#define COUNT	      KX_DROP_BATCH_COUNT
#define RECORD	      KX_DROP_BATCH_RECORD

static const struct change changes[] = {
	{plain, HDR(batch_bytes), 0, LONG},
	{plain, HDR(batch_bytes), 72, LONG},
	{plain, HDR(batch_bytes), 128, LONG},
	{plain, HDR(batch_bytes), UINT32_MAX - 7, LONG},
	{plain, HDR(batch_bytes), 116, FORMAT},
	{plain, HDR(batch_bytes), 96, COUNT}, /* the third record is behind the end */
	{plain, HDR(format), 0, FORMAT},
	{plain, HDR(format), 2, FORMAT},
	{plain, HDR(attrs), 1, FORMAT},
	{plain, HDR(zero), 1, FORMAT},
	{plain, HDR(record_count), 0, COUNT},
	{plain, HDR(record_count), 2, COUNT},
	{plain, HDR(record_count), 4, COUNT},
	{plain, HDR(record_count), 65535, COUNT},
	{plain, REC(72, value_bytes), 4, KX_DROP_NONE}, /* same padded size: another message, same layout */
	{plain, REC(72, value_bytes), 9, COUNT},	/* runs over the second record */
	{plain, REC(72, value_bytes), 41, RECORD},
	{plain, REC(72, value_bytes), UINT32_MAX, RECORD},
	{plain, REC(72, value_bytes), UINT32_MAX - 7, RECORD},
	{plain, REC(96, value_bytes), 17, RECORD},
	{plain, REC(96, value_bytes), 8, RECORD}, /* the rest is read as a record */
	{plain, REC(72, key_bytes), 1, RECORD},
	{plain, REC(72, header_count), 1, RECORD},
	{plain, REC(72, flags), 0x08, RECORD},
	{plain, REC(72, flags), 0x80, RECORD},
	{plain, REC(72, flags), KX_REC_KEY, RECORD},
	{plain, REC(72, flags), KX_REC_HEADERS, RECORD},
	{plain, REC(88, flags), KX_REC_TIMESTAMP, RECORD}, /* then the third value is read as a record */
	{full, REC(72, flags), KX_REC_TIMESTAMP | KX_REC_KEY, RECORD},
	{full, REC(72, flags), KX_REC_TIMESTAMP | KX_REC_HEADERS, RECORD},
	{full, REC(72, key_bytes), 0, RECORD},
	{full, REC(72, key_bytes), 65535, RECORD},
	{full, REC(72, header_count), 0, RECORD},
	{full, REC(72, header_count), 1, RECORD},
	{full, REC(72, header_count), 3, RECORD},
	{full, REC(72, header_count), 17, RECORD},
	{full, REC(72, value_bytes), 9, RECORD},
	{full, REC(72, value_bytes), UINT32_MAX, RECORD},
	{full, 96, 4, 0, RECORD}, /* total_bytes */
	{full, 96, 4, 20, RECORD},
	{full, 96, 4, 22, RECORD},
	{full, 96, 4, UINT32_MAX, RECORD},
	{full, 100, 4, 1, RECORD}, /* zero */
	{full, 104, 2, 0, RECORD}, /* name_bytes of the first */
	{full, 104, 2, 65535, RECORD},
	{full, 106, 2, 65535, RECORD}, /* value_bytes of the first */
	{full, 111, 2, 0, RECORD},
	{full, 111, 2, 3, RECORD},
	{full, 113, 2, 1, RECORD},
};

static void each_rule(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < KX_DIM(changes); i++) {
		const struct change *c = &changes[i];
		uint32_t bytes = c->build();
		char what[64];

		assert_reason(check(bytes), KX_DROP_NONE, "unchanged");
		for (unsigned int j = 0; j < c->bytes; j++)
			batch_memory[c->at + j] = (uint8_t)(c->value >> 8 * j);
		/* The CRC where it can be computed: what the record checks must find is behind it. */
		if (batch->batch_bytes >= KX_BATCH_MIN_BYTES && batch->batch_bytes <= bytes)
			batch->data_crc = kx_batch_data_crc(batch);
		snprintf(what, sizeof(what), "change %u: byte %u = %llu", i, c->at,
			(unsigned long long)c->value);
		assert_reason(check(bytes), c->reason, what);
	}
}

/* A frame that is one batch of one empty record. */
static void smallest(void **state)
{
	(void)state;
	uint8_t data[32 + KX_BATCH_MIN_BYTES] KX_ALIGNED(8);
	struct kx_frame_view view;
	struct kx_batch_writer w;

	kx_batch_begin(&w, kx_frame_begin(data, KX_PRODUCE, 1, 1, 0, 0), KX_BATCH_MIN_BYTES, 0, 1, 1, 0, 0);
	assert_non_null(kx_batch_claim(&w, 0));
	assert_int_equal(kx_batch_end(&w), KX_BATCH_MIN_BYTES);
	kx_frame_seal(data, sizeof(data));
	assert_reason(kx_frame_check(data, sizeof(data), KX_FROM_CLIENT, &view), KX_DROP_NONE, "smallest");
	assert_true(view.batch_count == 1 && view.record_count == 1);
}

static void cut(void **state)
{
	(void)state;
	uint32_t bytes = plain();

	for (uint32_t n = 0; n < bytes; n++)
		assert_reason(check(n), KX_DROP_BATCH_SHORT, "cut");
	assert_reason(check(bytes + 64), KX_DROP_NONE, "more behind it");
	/* Only a fitting CRC is missing: seen when asked for, not otherwise. */
	batch_memory[80] ^= 1;
	assert_reason(check(bytes), KX_DROP_BATCH_CRC, "value changed");
	assert_reason(kx_batch_check(batch_memory, bytes, false), KX_DROP_NONE, "CRC verified before");
}

static void in_frames(void **state)
{
	(void)state;
	static const struct {
		uint16_t at;
		enum kx_drop produce, deliver;
	} flips[] = {{0, KX_DROP_FRAME_FIELD, KX_DROP_BATCH_CRC}, {4, KX_DROP_FRAME_FIELD, KX_DROP_BATCH_CRC},
		{8, KX_DROP_FRAME_FIELD, KX_DROP_BATCH_CRC}, {23, KX_DROP_FRAME_FIELD, KX_DROP_BATCH_CRC},
		{24, KX_DROP_BATCH_CRC, KX_DROP_BATCH_CRC}, {40, KX_DROP_BATCH_CRC, KX_DROP_BATCH_CRC},
		{71, KX_DROP_BATCH_CRC, KX_DROP_BATCH_CRC}, {1295, KX_DROP_BATCH_CRC, KX_DROP_BATCH_CRC}};
	uint8_t data[SAMPLE_BYTES_MAX] KX_ALIGNED(8);
	struct kx_frame_view view;

	for (unsigned int i = 0; i < KX_DIM(flips); i++) {
		size_t bytes = wire_sample_find("produce")->build(data);

		data[32 + flips[i].at] ^= 1;
		assert_reason(
			kx_frame_check(data, bytes, KX_FROM_CLIENT, &view), flips[i].produce, "produce");
		wire_sample_find("deliver")->build(data);
		data[32 + flips[i].at] ^= 1;
		assert_reason(
			kx_frame_check(data, bytes, KX_FROM_BROKER, &view), flips[i].deliver, "deliver");
	}
	/* Bytes behind the last batch that are no batch. */
	size_t bytes = wire_sample_find("produce")->build(data);
	memset(data + bytes, 0, 128);
	kx_frame_seal(data, bytes + 72);
	assert_reason(
		kx_frame_check(data, bytes + 72, KX_FROM_CLIENT, &view), KX_DROP_BATCH_SHORT, "rest of 72");
	kx_frame_seal(data, bytes + 80);
	assert_reason(kx_frame_check(data, bytes + 80, KX_FROM_CLIENT, &view), KX_DROP_BATCH_SHORT,
		"rest of zeros");
	kx_frame_seal(data, bytes + 1);
	assert_reason(
		kx_frame_check(data, bytes + 1, KX_FROM_CLIENT, &view), KX_DROP_BATCH_SHORT, "rest of 1");
}

static void iterate_full(void **state)
{
	(void)state;
	uint32_t bytes = full();
	uint8_t *copy = kx_test_exact(batch_memory, bytes);
	struct kx_record_iter it = kx_record_first((struct kx_batch_hdr *)copy);
	struct kx_header_view h;
	struct kx_record r;

	assert_true(kx_record_next(&it, &r));
	assert_int_equal(r.timestamp_ns, 99);
	assert_int_equal(r.key_bytes, 3);
	assert_memory_equal(r.key, "key", 3);
	assert_int_equal(r.value_bytes, 4);
	assert_memory_equal(r.value, "data", 4);
	assert_int_equal(r.header_count, 2);
	assert_true(kx_record_header(&r, 1, &h));
	assert_true(h.name_bytes == 2 && h.value_bytes == 0 && memcmp(h.name, "bb", 2) == 0);
	assert_true(kx_record_header(&r, 0, &h));
	assert_true(h.name_bytes == 1 && h.value_bytes == 2 && memcmp(h.value, "vv", 2) == 0);
	assert_false(kx_record_header(&r, 2, &h));
	assert_false(kx_record_next(&it, &r));
	free(copy);

	plain();
	it = kx_record_first(batch);
	assert_true(kx_record_next(&it, &r));
	assert_true(r.value_bytes == 5 && memcmp(r.value, "abcde", 5) == 0);
	assert_null(r.key);
	assert_null(r.headers);
	assert_false(kx_record_header(&r, 0, &h));
	assert_true(kx_record_next(&it, &r));
	assert_int_equal(r.value_bytes, 0);
	assert_true(kx_record_next(&it, &r));
	assert_int_equal(r.value_bytes, 16);
	assert_false(kx_record_next(&it, &r));
}

/* What a random record was made of. */
struct model {
	uint8_t bytes[256];
	struct kx_record r;
	struct kx_header_view headers[KX_REC_HEADERS_MAX];
};

static void random_record(struct kx_prng *prng, struct model *m)
{
	uint64_t shape = kx_prng_next(prng);
	unsigned int at = 0;

	for (unsigned int i = 0; i < sizeof(m->bytes); i++)
		m->bytes[i] = (uint8_t)kx_prng_next(prng);
	m->r = (struct kx_record){.value = m->bytes, .value_bytes = (uint32_t)kx_prng_below(prng, 80)};
	if (shape & 1) {
		m->r.key_bytes = (uint16_t)(1 + kx_prng_below(prng, 20));
		m->r.key = m->bytes + 80;
	}
	if (shape & 2)
		m->r.timestamp_ns = 1 + kx_prng_below(prng, UINT64_MAX - 1);
	if (shape & 4) {
		m->r.header_count = (uint8_t)(1 + kx_prng_below(prng, KX_REC_HEADERS_MAX));
		for (unsigned int i = 0; i < m->r.header_count; i++, at += 9)
			m->headers[i] = (struct kx_header_view){.name = m->bytes + 100 + at,
				.name_bytes = (uint16_t)(1 + kx_prng_below(prng, 4)),
				.value = m->bytes + 100 + at + 4,
				.value_bytes = (uint16_t)kx_prng_below(prng, 5)};
	}
}

static void assert_same(const struct model *m, const struct kx_record *r)
{
	assert_int_equal(r->value_bytes, m->r.value_bytes);
	assert_memory_equal(r->value, m->r.value, m->r.value_bytes);
	assert_int_equal(r->key_bytes, m->r.key_bytes);
	assert_int_equal(r->key != NULL, m->r.key != NULL);
	if (r->key_bytes > 0)
		assert_memory_equal(r->key, m->r.key, m->r.key_bytes);
	assert_true(r->timestamp_ns == m->r.timestamp_ns);
	assert_int_equal(r->header_count, m->r.header_count);
	for (unsigned int i = 0; i < r->header_count; i++) {
		struct kx_header_view h;

		assert_true(kx_record_header(r, i, &h));
		assert_int_equal(h.name_bytes, m->headers[i].name_bytes);
		assert_int_equal(h.value_bytes, m->headers[i].value_bytes);
		assert_memory_equal(h.name, m->headers[i].name, h.name_bytes);
		assert_memory_equal(h.value, m->headers[i].value, h.value_bytes);
	}
}

static uint8_t *claim(struct kx_batch_writer *w, const struct model *m)
{
	if (m->r.key_bytes == 0 && m->r.timestamp_ns == 0 && m->r.header_count == 0)
		return kx_batch_claim(w, m->r.value_bytes);
	return kx_batch_claim_full(w, &m->r, m->headers, m->r.header_count);
}

/* Random batches into random room: what was written is read, nothing outside the room is touched. */
static void round_trips(void **state)
{
	(void)state;
	static struct model models[64];
	struct kx_prng prng;

	kx_prng_seed(&prng, 7);
	for (unsigned int trial = 0; trial < 2000; trial++) {
		uint32_t room = 80 + 8 * (uint32_t)kx_prng_below(&prng, 256);
		uint8_t *data = malloc(room);
		struct kx_batch_writer w;
		struct kx_record_iter it;
		struct kx_record r;
		unsigned int n = 0;
		uint32_t bytes;

		assert_non_null(data);
		memset(data, 0xa5, room);
		kx_batch_begin(&w, data, room, trial, trial + 1, 2, 3, 4);
		while (n < KX_DIM(models)) {
			uint8_t *value;

			random_record(&prng, &models[n]);
			value = claim(&w, &models[n]);
			if (value == NULL)
				break;
			memcpy(value, models[n].r.value, models[n].r.value_bytes);
			n++;
		}
		if (n == 0) {
			free(data);
			continue;
		}
		bytes = kx_batch_end(&w);
		assert_true(bytes <= room);
		kx_batch_stamp((struct kx_batch_hdr *)data, 1000, 2, 3000);
		uint8_t *copy = kx_test_exact(data, bytes);
		const struct kx_batch_hdr *b = (const struct kx_batch_hdr *)copy;
		assert_reason(kx_batch_check(copy, bytes, true), KX_DROP_NONE, "random batch");
		assert_int_equal(b->header_crc, kx_batch_header_crc(b));
		assert_int_equal(b->header_crc, kx_crc32c(0, copy + 4, 28));
		assert_int_equal(b->record_count, n);
		assert_true(b->partition == trial && b->producer_id == trial + 1 && b->producer_epoch == 2 &&
			b->first_seq == 3 && b->stream_key == 4 && b->base_offset == 1000 &&
			b->log_epoch == 2 && b->append_time_ns == 3000);
		it = kx_record_first(b);
		for (unsigned int i = 0; i < n; i++) {
			assert_true(kx_record_next(&it, &r));
			assert_same(&models[i], &r);
		}
		assert_false(kx_record_next(&it, &r));
		assert_ptr_equal(it.next, copy + bytes);
		free(copy);
		free(data);
	}
}

static void writer_limits(void **state)
{
	(void)state;
	struct kx_header_view nameless = {.name = (const uint8_t *)"", .name_bytes = 0};
	struct kx_header_view many[17];
	struct kx_record r = {.value_bytes = 8};
	struct kx_batch_writer w;
	uint8_t *memory;

	kx_batch_begin(&w, batch_memory, 80 + 16, 0, 1, 1, 0, 0);
	assert_null(kx_batch_claim(&w, 17));
	assert_null(kx_batch_claim(&w, UINT32_MAX));
	assert_non_null(kx_batch_claim(&w, 16));
	assert_null(kx_batch_claim(&w, 0));
	assert_null(kx_batch_claim_full(&w, &r, NULL, 0));

	kx_batch_begin(&w, batch_memory, BATCH_BYTES, 0, 1, 1, 0, 0);
	for (unsigned int i = 0; i < KX_DIM(many); i++)
		many[i] = (struct kx_header_view){.name = (const uint8_t *)"n", .name_bytes = 1};
	assert_null(kx_batch_claim_full(&w, &r, &nameless, 1));
	assert_null(kx_batch_claim_full(&w, &r, many, 17));
	r.value_bytes = KX_MESSAGE_MAX_BYTES + 1;
	assert_null(kx_batch_claim_full(&w, &r, NULL, 0));
	assert_int_equal(w.record_count, 0);

	memory = malloc(72 + 65536 * 8);
	assert_non_null(memory);
	kx_batch_begin(&w, memory, 72 + 65536 * 8, 0, 1, 1, 0, 0);
	while (kx_batch_claim(&w, 0) != NULL)
		;
	assert_int_equal(w.record_count, 65535);
	r.value_bytes = 0;
	assert_null(kx_batch_claim_full(&w, &r, NULL, 0));
	assert_reason(kx_batch_check(memory, kx_batch_end(&w), true), KX_DROP_NONE, "65535 records");
	free(memory);
}

/* A run is what as many single records are; one that does not fit adds nothing. */
static void runs(void **state)
{
	(void)state;
	static uint8_t other[BATCH_BYTES] KX_ALIGNED(8);
	static const uint32_t sizes[] = {0, 1, 7, 8, 9, 64};
	struct kx_batch_writer one, run;

	for (unsigned int i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		uint32_t size = sizes[i], stride = 8 + (uint32_t)kx_align8(size), count = 0;
		uint8_t *at = NULL, *values;

		memset(batch_memory, 0xaa, sizeof(batch_memory));
		memset(other, 0xaa, sizeof(other));
		kx_batch_begin(&one, batch_memory, BATCH_BYTES, 6, 7, 1, 0, 9);
		kx_batch_begin(&run, other, BATCH_BYTES, 6, 7, 1, 0, 9);
		while ((at = kx_batch_claim(&one, size)) != NULL) {
			memset(at, 'v', size);
			count++;
		}
		assert_null(kx_batch_claim_run(&run, size, count + 1));
		assert_int_equal(run.record_count, 0);
		assert_int_equal(run.used_bytes, KX_BATCH_HDR_BYTES);
		assert_non_null(kx_batch_claim_run(&run, size, 1));
		values = kx_batch_claim_run(&run, size, count - 1);
		assert_ptr_equal(values, other + KX_BATCH_HDR_BYTES + stride + 8);
		for (uint32_t k = 0; k < count; k++)
			memset(other + KX_BATCH_HDR_BYTES + k * stride + 8, 'v', size);
		assert_int_equal(kx_batch_end(&run), kx_batch_end(&one));
		assert_memory_equal(other, batch_memory, BATCH_BYTES);
	}
}

static void longest_run(void **state)
{
	(void)state;
	uint32_t bytes = KX_BATCH_HDR_BYTES + 65536 * 8;
	uint8_t *memory = malloc(bytes);
	struct kx_batch_writer w;

	assert_non_null(memory);
	kx_batch_begin(&w, memory, bytes, 0, 1, 1, 0, 0);
	assert_null(kx_batch_claim_run(&w, UINT32_MAX, UINT32_MAX));
	assert_null(kx_batch_claim_run(&w, 0, 65536));
	assert_non_null(kx_batch_claim_run(&w, 0, 65535));
	assert_null(kx_batch_claim_run(&w, 0, 1));
	assert_int_equal(w.record_count, 65535);
	free(memory);
}

/* The largest message, and one byte more. */
static void largest(void **state)
{
	(void)state;
	uint8_t *memory = calloc(1, KX_BATCH_MAX_BYTES + 8);
	struct kx_batch_writer w;
	struct kx_batch_hdr *b = (struct kx_batch_hdr *)memory;
	struct kx_record_hdr *h = (struct kx_record_hdr *)(b + 1);
	uint32_t bytes;

	assert_non_null(memory);
	kx_batch_begin(&w, memory, KX_BATCH_MAX_BYTES, 0, 1, 1, 0, 0);
	assert_non_null(kx_batch_claim(&w, KX_MESSAGE_MAX_BYTES));
	bytes = kx_batch_end(&w);
	assert_reason(kx_batch_check(memory, bytes, true), KX_DROP_NONE, "largest message");
	h->value_bytes++;
	b->batch_bytes += 8;
	assert_reason(kx_batch_check(memory, bytes + 8, false), KX_DROP_BATCH_RECORD, "one byte more");
	kx_batch_begin(&w, memory, KX_BATCH_MAX_BYTES, 0, 1, 1, 0, 0);
	struct kx_record timed = {.timestamp_ns = 1, .value_bytes = KX_MESSAGE_MAX_BYTES};
	assert_non_null(kx_batch_claim_full(&w, &timed, NULL, 0));
	assert_non_null(kx_batch_claim(&w, KX_BATCH_MAX_BYTES - w.used_bytes - 8));
	assert_int_equal(kx_batch_end(&w), KX_BATCH_MAX_BYTES);
	assert_reason(kx_batch_check(memory, KX_BATCH_MAX_BYTES, true), KX_DROP_NONE, "largest batch");
	h->value_bytes++;
	assert_reason(kx_batch_check(memory, KX_BATCH_MAX_BYTES, false), KX_DROP_BATCH_RECORD,
		"one byte more, with a time");
	b->batch_bytes = KX_BATCH_MAX_BYTES + 8;
	assert_reason(kx_batch_check(memory, KX_BATCH_MAX_BYTES + 8, false), KX_DROP_BATCH_SHORT,
		"batch too large");
	free(memory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_rule),
		cmocka_unit_test(smallest),
		cmocka_unit_test(cut),
		cmocka_unit_test(in_frames),
		cmocka_unit_test(iterate_full),
		cmocka_unit_test(round_trips),
		cmocka_unit_test(writer_limits),
		cmocka_unit_test(runs),
		cmocka_unit_test(longest_run),
		cmocka_unit_test(largest),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
