/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdio.h>
#include <stdlib.h>

#include "cli.h"

#define COUNT_DEFAULT 10
#define P99_MIN	      100 /* samples: of fewer the 99th percentile is the maximum by another name */

struct pings {
	uint64_t *rtt_ns;
	uint64_t sum_ns;
	uint64_t sent, received;
	bool waiting;
};

static struct cli cli;

static void on_pong(void *user, enum kx_result result, uint32_t lcore, uint64_t rtt_ns, uint64_t residence_ns)
{
	struct pings *p = user;

	(void)lcore;
	(void)residence_ns;
	p->waiting = false;
	if (result != KX_OK)
		return;
	p->rtt_ns[p->received++] = rtt_ns;
	p->sum_ns += rtt_ns;
}

static int by_size(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static void show(const struct cli_options *o, uint32_t lcore, struct pings *p, bool first)
{
	uint64_t n = p->received;
	char p99[32] = "-";
	double us = 1e-3;

	if (!o->json && n == 0) {
		out_text("lcore %u: 0 of %llu answered\n", lcore, (unsigned long long)p->sent);
		return;
	}
	if (o->json)
		out_text("%s{\"lcore\":%u,\"sent\":%llu,\"received\":%llu", first ? "[" : ",\n ", lcore,
			(unsigned long long)p->sent, (unsigned long long)n);
	if (n == 0) {
		out_text("}");
		return;
	}
	qsort(p->rtt_ns, n, sizeof(*p->rtt_ns), by_size);
	if (o->json) {
		if (n >= P99_MIN)
			snprintf(p99, sizeof(p99), "%llu",
				(unsigned long long)p->rtt_ns[(n * 99 + 99) / 100 - 1]);
		out_text(",\"min_ns\":%llu,\"mean_ns\":%llu,\"max_ns\":%llu,\"p99_ns\":%s}",
			(unsigned long long)p->rtt_ns[0], (unsigned long long)(p->sum_ns / n),
			(unsigned long long)p->rtt_ns[n - 1], n >= P99_MIN ? p99 : "null");
		return;
	}
	if (n >= P99_MIN)
		snprintf(p99, sizeof(p99), "%.1f", (double)p->rtt_ns[(n * 99 + 99) / 100 - 1] * us);
	out_text("lcore %u: %llu of %llu answered, min %.1f avg %.1f max %.1f p99 %s us\n", lcore,
		(unsigned long long)n, (unsigned long long)p->sent, (double)p->rtt_ns[0] * us,
		(double)(p->sum_ns / n) * us, (double)p->rtt_ns[n - 1] * us, p99);
}

/* One data lcore: each ping waits for the answer to the one before. @return false: give up */
static bool ping_lcore(const struct cli_options *o, uint32_t lcore, uint64_t count, struct pings *p)
{
	uint64_t next_ns = kx_clock_mono_ns();

	while ((p->sent < count || p->waiting) && cli.exit_code == EXIT_RUNNING && !cli_interrupted) {
		uint64_t now_ns = kx_clock_mono_ns();

		if (!p->waiting && now_ns >= next_ns) {
			enum kx_result r =
				kx_client_ping(cli.c.client, lcore, o->timeout_ns, now_ns, on_pong, p);

			if (r != KX_OK) {
				cli_error("lcore %u: %s", lcore, kx_result_text(r));
				cli_fail(&cli, EXIT_FAILED);
				return false;
			}
			p->waiting = true;
			p->sent++;
			next_ns = now_ns + o->interval_ns;
		}
		kx_udp_client_turn(
			&cli.c, p->waiting ? 100000000 : KX_MIN(next_ns - now_ns, UINT64_C(100000000)));
	}
	return true;
}

int cli_ping(const struct cli_options *o)
{
	uint64_t count = o->count != 0 ? KX_MIN(o->count, UINT64_C(10000000)) : COUNT_DEFAULT;
	struct kx_client_info info;
	uint64_t lost = 0;

	if (!cli_connect(&cli, o))
		return cli.exit_code;
	if (cli_wait_connected(&cli)) {
		kx_client_info(cli.c.client, &info);
		for (uint32_t i = 0; i < info.lcore_count && !cli_interrupted; i++) {
			struct pings p = {.rtt_ns = calloc(count, sizeof(uint64_t))};

			if (p.rtt_ns == NULL || !ping_lcore(o, i, count, &p)) {
				free(p.rtt_ns);
				break;
			}
			show(o, i, &p, i == 0);
			lost += p.sent - p.received;
			free(p.rtt_ns);
		}
		if (o->json)
			out_text("]\n");
		cli_fail(&cli, lost == 0 ? EXIT_OK : EXIT_FAILED);
	}
	if (!out_flush())
		cli.exit_code = EXIT_FAILED;
	cli_close(&cli);
	return cli.exit_code;
}
