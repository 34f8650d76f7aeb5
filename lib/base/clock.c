/* SPDX-License-Identifier: BSD-3-Clause */
#include "kx_base.h"

#include <cpuid.h>
#include <errno.h>
#include <time.h>

static uint64_t read_clock(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * KX_NS_PER_S + (uint64_t)ts.tv_nsec;
}

uint64_t kx_clock_mono_ns(void)
{
	return read_clock(CLOCK_MONOTONIC);
}

uint64_t kx_clock_real_ns(void)
{
	return read_clock(CLOCK_REALTIME);
}

static bool have_invariant_tsc(void)
{
	unsigned int a, b, c, d;

	return __get_cpuid(0x80000007, &a, &b, &c, &d) && (d & (1u << 8));
}

/* One (tsc, ns) pair. Of several tries the one with the shortest clock read is kept: a preempted one would
 * shift the pair by the time stolen. */
static void read_pair(uint64_t *tsc, uint64_t *ns)
{
	uint64_t best = UINT64_MAX;

	for (int i = 0; i < 32; i++) {
		uint64_t before = kx_tsc_read();
		uint64_t t = read_clock(CLOCK_MONOTONIC_RAW);
		uint64_t took = kx_tsc_read() - before;

		if (took < best) {
			best = took;
			*tsc = before + took / 2;
			*ns = t;
		}
	}
}

int kx_tsc_clock_calibrate(struct kx_tsc_clock *clock, uint64_t duration_ns)
{
	uint64_t tsc0 = 0, ns0 = 0, tsc1 = 0, ns1 = 0;

	if (!have_invariant_tsc())
		return -ENOTSUP;
	read_pair(&tsc0, &ns0);
	do {
		read_pair(&tsc1, &ns1);
	} while (ns1 - ns0 < KX_MAX(duration_ns, UINT64_C(1000)));

	clock->base_tsc = tsc1;
	clock->base_ns = ns1;
	clock->mult_q32 = (uint64_t)((((unsigned __int128)(ns1 - ns0)) << 32) / (tsc1 - tsc0));
	clock->ticks_per_ns = (double)(tsc1 - tsc0) / (double)(ns1 - ns0);
	return 0;
}
