/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What protection costs a frame: ns to seal it and to open it again, in cache, one thread. Each line is
 * `name ns`, the median of 31 rounds: `mac` and `aead` (1372 bytes on the wire), `mac_128` and `aead_128`;
 * with 256 sessions in turn, whose contexts do not fit the first-level cache, `..._256_sessions`; and what
 * setting keys costs a session, `protect_init`.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kx_auth.h"

#define ROUNDS	 31
#define LOOPS	 4000
#define SESSIONS 256

struct ends {
	struct kx_auth_protect client, broker;
};
struct bench {
	uint8_t frame[2048] KX_ALIGNED(64);
	struct ends ends[SESSIONS];
	uint32_t bytes; /* without the tag */
	uint32_t sessions;
	uint64_t pkt_no;
};

static const uint8_t secret[KX_AUTH_SECRET_BYTES] = {1, 2, 3};

static void keys(struct bench *b, enum kx_protect mode)
{
	for (uint32_t i = 0; i < SESSIONS; i++)
		if (kx_auth_protect_init(&b->ends[i].client, secret, i + 1, false, mode) != 0 ||
			kx_auth_protect_init(&b->ends[i].broker, secret, i + 1, true, mode) != 0)
			abort();
}

static void seal_and_open(struct bench *b)
{
	struct ends *e = &b->ends[b->pkt_no % b->sessions];
	uint32_t bytes;

	kx_frame_begin(b->frame, KX_PRODUCE, 1, ++b->pkt_no, 0, 0);
	bytes = kx_auth_protect_seal(&e->client, b->frame, b->bytes);
	if (kx_auth_protect_open(&e->broker, b->frame, bytes) != 0)
		abort();
}

static void init(struct bench *b)
{
	(void)kx_auth_protect_init(&b->ends[0].client, secret, ++b->pkt_no, false, KX_PROTECT_AEAD);
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void measure(
	const struct kx_tsc_clock *clock, const char *name, void (*fn)(struct bench *), struct bench *b)
{
	double ns[ROUNDS];

	for (unsigned int i = 0; i < ROUNDS; i++) {
		uint64_t start = kx_tsc_read();

		for (unsigned int j = 0; j < LOOPS; j++)
			fn(b);
		ns[i] = (double)(kx_tsc_read() - start) / clock->ticks_per_ns / LOOPS;
	}
	qsort(ns, ROUNDS, sizeof(ns[0]), by_value);
	printf("%s %.1f\n", name, ns[ROUNDS / 2]);
}

static void mode_rows(const struct kx_tsc_clock *clock, enum kx_protect mode, struct bench *b)
{
	static const struct {
		const char *suffix;
		uint32_t wire_bytes, sessions;
	} rows[] = {{"", 1372, 1}, {"_128", 128, 1}, {"_256_sessions", 1372, SESSIONS},
		{"_128_256_sessions", 128, SESSIONS}};
	char name[64];

	keys(b, mode);
	for (unsigned int i = 0; i < KX_DIM(rows); i++) {
		b->bytes = rows[i].wire_bytes - KX_TAG_BYTES;
		b->sessions = rows[i].sessions;
		snprintf(name, sizeof(name), "%s%s", kx_protect_name(mode), rows[i].suffix);
		measure(clock, name, seal_and_open, b);
	}
}

int main(void)
{
	static struct bench b;
	struct kx_tsc_clock clock;

	if (kx_tsc_clock_calibrate(&clock, 100000000) != 0) {
		fprintf(stderr, "micro_protect: no invariant TSC\n");
		return 1;
	}
	for (uint32_t i = 0; i < SESSIONS; i++) {
		if (kx_auth_protect_create(&b.ends[i].client) != 0 ||
			kx_auth_protect_create(&b.ends[i].broker) != 0) {
			fprintf(stderr, "micro_protect: no AES-256-GCM, or no memory\n");
			return 1;
		}
	}
	mode_rows(&clock, KX_PROTECT_MAC, &b);
	mode_rows(&clock, KX_PROTECT_AEAD, &b);
	measure(&clock, "protect_init", init, &b);
	for (uint32_t i = 0; i < SESSIONS; i++) {
		kx_auth_protect_destroy(&b.ends[i].client);
		kx_auth_protect_destroy(&b.ends[i].broker);
	}
	return 0;
}
