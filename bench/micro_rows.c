/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The steps that every message takes, one by one, in cache, one thread. Each line is `name ns`, the median of
 * 31 rounds: `frame_check` (kx_frame_check() of a PRODUCE frame of 17 messages of 64 bytes),
 * `frame_check_single` (of one message), `deliver_check`, `batch_append` (a batch of 17 into a log that
 * trims: 1.3 KB copied), `message_encode` (a message of 64 bytes into a batch of 17, its share of header and
 * CRC included), `message_read` (a record of such a batch). `micro_rows --count NAME N` does N of one and
 * prints nothing: callgrind counts instructions by the difference of two such runs.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kx_auth.h"
#include "kx_log.h"

#define ROUNDS	     31
#define LOOPS	     20000
#define MESSAGES     17
#define VALUE_BYTES  64
#define EXTENT_BYTES 65536u
#define TOPICS	     1024
#define DECISIONS    32
#define LOG_BYTES    (8 * EXTENT_BYTES)

struct bench {
	uint8_t full[2048] KX_ALIGNED(64);
	uint8_t single[256] KX_ALIGNED(64);
	uint8_t deliver[2048] KX_ALIGNED(64);
	uint8_t scratch[2048] KX_ALIGNED(64);
	size_t full_bytes, single_bytes;
	struct kx_extent_pool pool;
	struct kx_log log;
	uint64_t seq;
	uint64_t allowed[TOPICS / 64];
	uint32_t topic[DECISIONS];
};

static uint32_t write_batch(uint8_t *at, uint32_t max_bytes, uint32_t messages, uint64_t seq)
{
	struct kx_batch_writer w;

	kx_batch_begin(&w, at, max_bytes, 1, 2, 3, seq, 5);
	for (uint32_t i = 0; i < messages; i++)
		memset(kx_batch_claim(&w, VALUE_BYTES), (int)i, VALUE_BYTES);
	return kx_batch_end(&w);
}

static size_t build(uint8_t *frame, uint32_t messages, bool deliver)
{
	uint8_t *at = kx_frame_begin(frame, deliver ? KX_DELIVER : KX_PRODUCE, 1, 1, 0, deliver);
	size_t bytes = sizeof(struct kx_frame_hdr) +
		write_batch(at, (messages == 1 ? 256 : 2048) - (uint32_t)sizeof(struct kx_frame_hdr),
			messages, 0);

	if (deliver)
		kx_batch_stamp((struct kx_batch_hdr *)at, 1, 2, 3);
	kx_frame_seal(frame, bytes);
	return bytes;
}

static void check(const uint8_t *frame, size_t bytes, enum kx_side from)
{
	struct kx_frame_view view;

	if (kx_frame_check(frame, bytes, from, &view) != KX_DROP_NONE)
		abort();
	__asm__ volatile("" : : "r"(view.record_count) : "memory");
}

static void frame_check(struct bench *b)
{
	check(b->full, b->full_bytes, KX_FROM_CLIENT);
}

static void frame_check_single(struct bench *b)
{
	check(b->single, b->single_bytes, KX_FROM_CLIENT);
}

static void deliver_check(struct bench *b)
{
	check(b->deliver, b->full_bytes, KX_FROM_BROKER);
}

static void batch_append(struct bench *b)
{
	const struct kx_batch_hdr *batch =
		(const struct kx_batch_hdr *)(b->full + sizeof(struct kx_frame_hdr));
	struct kx_batch_hdr stamped;

	while (kx_log_append(&b->log, batch, 1, &stamped) == NULL)
		if (!kx_log_trim(&b->log))
			abort();
}

/* 17 messages. */
static void message_encode(struct bench *b)
{
	uint32_t bytes = write_batch(b->scratch, sizeof(b->scratch), MESSAGES, b->seq++);

	__asm__ volatile("" : : "r"(bytes) : "memory");
}

static void message_read(struct bench *b)
{
	struct kx_record_iter it =
		kx_record_first((const struct kx_batch_hdr *)(b->full + sizeof(struct kx_frame_hdr)));
	struct kx_record r;

	while (kx_record_next(&it, &r))
		__asm__ volatile("" : : "r"(r.value) : "memory");
}

/* 32 decisions, each on its own. */
static void access_decision(struct bench *b)
{
	for (uint32_t i = 0; i < DECISIONS; i++) {
		bool allowed = kx_auth_allowed(b->allowed, b->topic[i]);

		__asm__ volatile("" : : "r"(allowed) : "memory");
	}
}

static const struct row {
	const char *name;
	void (*fn)(struct bench *b);
	uint32_t per_call;
} rows[] = {
	{"frame_check", frame_check, 1},
	{"frame_check_single", frame_check_single, 1},
	{"deliver_check", deliver_check, 1},
	{"batch_append", batch_append, 1},
	{"message_encode", message_encode, MESSAGES},
	{"message_read", message_read, MESSAGES},
	{"access_decision", access_decision, DECISIONS},
};

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void measure(const struct kx_tsc_clock *clock, const struct row *row, struct bench *b)
{
	double ns[ROUNDS];

	for (unsigned int i = 0; i < ROUNDS; i++) {
		uint64_t start = kx_tsc_read();

		for (unsigned int j = 0; j < LOOPS; j++)
			row->fn(b);
		ns[i] = (double)(kx_tsc_read() - start) / clock->ticks_per_ns / LOOPS / row->per_call;
	}
	qsort(ns, ROUNDS, sizeof(ns[0]), by_value);
	printf("%s %.2f\n", row->name, ns[ROUNDS / 2]);
}

static int measure_all(struct bench *b)
{
	struct kx_tsc_clock clock;

	if (kx_tsc_clock_calibrate(&clock, 100000000) != 0) {
		fprintf(stderr, "micro_rows: no invariant TSC\n");
		return 1;
	}
	for (unsigned int i = 0; i < KX_DIM(rows); i++)
		measure(&clock, &rows[i], b);
	return 0;
}

/* n operations, rounded down to whole calls. */
static int count(struct bench *b, const char *name, unsigned long n)
{
	for (unsigned int i = 0; i < KX_DIM(rows); i++) {
		if (strcmp(rows[i].name, name) != 0)
			continue;
		for (unsigned long k = 0; k < n / rows[i].per_call; k++)
			rows[i].fn(b);
		return 0;
	}
	fprintf(stderr, "micro_rows: no row %s\n", name);
	return 1;
}

int main(int argc, char **argv)
{
	static struct bench b;
	uint8_t *region;

	if (argc != 1 && (argc != 4 || strcmp(argv[1], "--count") != 0)) {
		fprintf(stderr, "usage: micro_rows [--count NAME N]\n");
		return 2;
	}
	region = aligned_alloc(EXTENT_BYTES, LOG_BYTES);
	if (region == NULL || kx_extent_pool_init(&b.pool, region, LOG_BYTES, EXTENT_BYTES) != 0 ||
		kx_log_init(&b.log, &b.pool, LOG_BYTES, 1) != 0) {
		fprintf(stderr, "micro_rows: no memory\n");
		return 1;
	}
	memset(region, 0, LOG_BYTES);
	b.full_bytes = build(b.full, MESSAGES, false);
	b.single_bytes = build(b.single, 1, false);
	build(b.deliver, MESSAGES, true);
	for (uint32_t i = 0; i < DECISIONS; i++)
		b.topic[i] = i * 509 % TOPICS;
	memset(b.allowed, 0x5a, sizeof(b.allowed));
	return argc == 1 ? measure_all(&b) : count(&b, argv[2], strtoul(argv[3], NULL, 10));
}
