/* SPDX-License-Identifier: BSD-3-Clause */
#include "kx_test.h"

#include <math.h>
#include <time.h>

#include "kx_base.h"

static uint64_t now_ns(clockid_t id)
{
	struct timespec ts;

	assert_int_equal(clock_gettime(id, &ts), 0);
	return (uint64_t)ts.tv_sec * KX_NS_PER_S + (uint64_t)ts.tv_nsec;
}

static void clocks_agree_with_the_kernel(void **state)
{
	(void)state;
	uint64_t a = now_ns(CLOCK_MONOTONIC), b = kx_clock_mono_ns(), c = now_ns(CLOCK_MONOTONIC);
	assert_true(a <= b && b <= c);
	a = now_ns(CLOCK_REALTIME), b = kx_clock_real_ns(), c = now_ns(CLOCK_REALTIME);
	assert_true(a <= b && b <= c);
}

/* Between two reads of the kernel's clock the TSC's time lies between them too, give or take the calibration
 * error over 0.2 s (0.01 %) and the width of the read itself. */
static void tsc_follows_monotonic_raw(void **state)
{
	(void)state;
	struct kx_tsc_clock clock;
	int rc = kx_tsc_clock_calibrate(&clock, 100 * 1000 * 1000);

	if (rc == -95 /* ENOTSUP */)
		skip();
	assert_int_equal(rc, 0);
	assert_true(clock.ticks_per_ns > 0.5 && clock.ticks_per_ns < 10.0);

	struct timespec pause = {.tv_nsec = 200 * 1000 * 1000};
	nanosleep(&pause, NULL);
	uint64_t before = now_ns(CLOCK_MONOTONIC_RAW);
	uint64_t tsc_ns = kx_tsc_to_ns(&clock, kx_tsc_read());
	uint64_t after = now_ns(CLOCK_MONOTONIC_RAW);
	uint64_t slack = (after - clock.base_ns) / 10000 + 1000;
	assert_true(tsc_ns + slack >= before);
	assert_true(tsc_ns <= after + slack);
}

static void tsc_conversion_is_exact_over_years(void **state)
{
	(void)state;
	/* 2.5 ticks a ns: 0.4 in 32.32 is cut, so a year may be off by one part in 2^31. */
	struct kx_tsc_clock clock = {.base_tsc = 1000, .base_ns = 5000, .mult_q32 = (UINT64_C(1) << 33) / 5};
	uint64_t year_ns = UINT64_C(31536000) * KX_NS_PER_S;
	uint64_t got = kx_tsc_to_ns(&clock, 1000 + year_ns / 2 * 5) - 5000;

	assert_int_equal(kx_tsc_to_ns(&clock, 1000), 5000);
	assert_true(fabs((double)got / (double)year_ns - 1.0) < 1e-9);
	assert_true(got <= year_ns);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(clocks_agree_with_the_kernel),
		cmocka_unit_test(tsc_follows_monotonic_raw),
		cmocka_unit_test(tsc_conversion_is_exact_over_years),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
