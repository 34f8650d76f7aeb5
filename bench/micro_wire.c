/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * bench/micro_wire: ns per frame check and per encode, in cache, one thread. Each line is the median of 31
 * rounds and the least; beside a check stands the CRC of the same batch alone, which is the part that cannot
 * be saved.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kx_wire.h"

#define ROUNDS 31
#define LOOPS  20000

struct bench {
	uint8_t frame[65536] KX_ALIGNED(64);
	size_t bytes;
	enum kx_side from;
	uint32_t records, value_bytes;
};
typedef uint32_t (*bench_fn)(struct bench *b);

static void produce_build(struct bench *b)
{
	uint8_t *p = kx_frame_begin(b->frame, KX_PRODUCE, 1, 1, 0, 0);
	struct kx_batch_writer w;

	kx_batch_begin(&w, p, sizeof(b->frame) - 64, 1, 2, 3, 4, 5);
	for (uint32_t i = 0; i < b->records; i++)
		memset(kx_batch_claim(&w, b->value_bytes), (int)i, b->value_bytes);
	b->bytes = sizeof(struct kx_frame_hdr) + kx_batch_end(&w);
	kx_frame_seal(b->frame, b->bytes);
	b->from = KX_FROM_CLIENT;
}

static void deliver_build(struct bench *b)
{
	produce_build(b);
	kx_frame_begin(b->frame, KX_DELIVER, 1, 1, 0, 1);
	kx_batch_stamp((struct kx_batch_hdr *)(b->frame + sizeof(struct kx_frame_hdr)), 1, 2, 3);
	kx_frame_seal(b->frame, b->bytes);
	b->from = KX_FROM_BROKER;
}

static void ack_build(struct bench *b)
{
	struct kx_receipt r = {.next_pkt = 100, .largest_pkt = 120, .entry_count = 1};
	struct kx_commit_entry e = {.level = KX_MEMORY, .next_seq = 17, .next_offset = 17};
	uint8_t *p = kx_frame_begin(b->frame, KX_COMMIT_ACK, 1, 1, 0, 0);

	memcpy(p, &r, sizeof(r));
	memcpy(p + sizeof(r), &e, sizeof(e));
	b->bytes = sizeof(struct kx_frame_hdr) + sizeof(r) + sizeof(e);
	kx_frame_seal(b->frame, b->bytes);
	b->from = KX_FROM_BROKER;
}

static uint32_t check(struct bench *b)
{
	struct kx_frame_view view;

	if (kx_frame_check(b->frame, b->bytes, b->from, &view) != KX_DROP_NONE)
		abort();
	return view.record_count;
}

static uint32_t crc_alone(struct bench *b)
{
	return kx_batch_data_crc((const struct kx_batch_hdr *)(b->frame + sizeof(struct kx_frame_hdr)));
}

static uint32_t encode(struct bench *b)
{
	produce_build(b);
	return (uint32_t)b->bytes;
}

static uint32_t iterate(struct bench *b)
{
	struct kx_record_iter it =
		kx_record_first((const struct kx_batch_hdr *)(b->frame + sizeof(struct kx_frame_hdr)));
	struct kx_record r;
	uint32_t sum = 0;

	while (kx_record_next(&it, &r))
		sum += r.value_bytes;
	return sum;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void measure(const struct kx_tsc_clock *clock, const char *name, bench_fn fn, struct bench *b)
{
	double ns[ROUNDS];

	for (unsigned int i = 0; i < ROUNDS; i++) {
		uint64_t start = kx_tsc_read();

		for (unsigned int j = 0; j < LOOPS; j++) {
			uint32_t r = fn(b);

			__asm__ volatile("" : : "r"(r) : "memory");
		}
		ns[i] = (double)(kx_tsc_read() - start) / clock->ticks_per_ns / LOOPS;
	}
	qsort(ns, ROUNDS, sizeof(ns[0]), by_value);
	printf("%-28s %6zu B %4u records  %8.1f ns median  %8.1f ns least\n", name, b->bytes, b->records,
		ns[ROUNDS / 2], ns[0]);
}

int main(void)
{
	static const uint32_t shapes[][2] = {{1, 64}, {17, 64}, {17, 61}, {40, 24}, {110, 64}};
	static struct bench b;
	struct kx_tsc_clock clock;

	if (kx_tsc_clock_calibrate(&clock, 100000000) != 0) {
		fprintf(stderr, "micro_wire: no invariant TSC\n");
		return 1;
	}
	for (unsigned int i = 0; i < KX_DIM(shapes); i++) {
		b.records = shapes[i][0];
		b.value_bytes = shapes[i][1];
		produce_build(&b);
		measure(&clock, "PRODUCE check", check, &b);
		measure(&clock, "  CRC of its batch alone", crc_alone, &b);
		measure(&clock, "  walk its records", iterate, &b);
		measure(&clock, "  encode", encode, &b);
		deliver_build(&b);
		measure(&clock, "DELIVER check", check, &b);
	}
	b.records = 0;
	ack_build(&b);
	measure(&clock, "COMMIT_ACK check, 1 entry", check, &b);
	return 0;
}
