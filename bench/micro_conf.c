/* SPDX-License-Identifier: BSD-3-Clause */
/* micro_conf FILE...: time to read and check each configuration file, and what it takes in memory. */
#include <stdio.h>
#include <stdlib.h>

#include "kx_conf.h"

#define ROUNDS 1000

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

int main(int argc, char **argv)
{
	static struct kx_conf_errors errs;
	static uint64_t took_ns[ROUNDS];

	for (int i = 1; i < argc; i++) {
		size_t bytes = 0;
		uint32_t topics = 0;

		for (int round = 0; round < ROUNDS; round++) {
			struct kx_conf *conf;
			uint64_t start_ns = kx_clock_mono_ns();

			if (kx_conf_load(argv[i], &conf, &errs) != 0) {
				fprintf(stderr, "%s\n", errs.text[0]);
				return 1;
			}
			took_ns[round] = kx_clock_mono_ns() - start_ns;
			bytes = kx_conf_bytes(conf);
			topics = conf->topic_count;
			kx_conf_free(conf);
		}
		qsort(took_ns, ROUNDS, sizeof(took_ns[0]), compare);
		printf("%s: %u topics, %zu bytes besides them, read and checked in %.1f us (median of %d, "
		       "p99 %.1f)\n",
			argv[i], topics, bytes, (double)took_ns[ROUNDS / 2] / 1e3, ROUNDS,
			(double)took_ns[ROUNDS * 99 / 100] / 1e3);
	}
	return argc > 1 ? 0 : 2;
}
