/* SPDX-License-Identifier: BSD-3-Clause */
#include "kx_base.h"

#define SETTLE_TRIES 8

void kx_meter_init(struct kx_meter *m, uint64_t rate_per_s, uint64_t burst_ns, uint64_t now_ns)
{
	*m = (struct kx_meter){.paid_ns = now_ns > burst_ns ? now_ns - burst_ns : 0,
		.rate_per_s = rate_per_s,
		.burst_ns = burst_ns};
}

void kx_meter_tap_init(struct kx_meter_tap *t, struct kx_meter *m, uint64_t now_ns)
{
	*t = (struct kx_meter_tap){.meter = m, .rate_ns = now_ns};
}

/* Pay for `cost_ns` of the rate. False: others were faster too often; it is paid for next time. */
static bool pay(struct kx_meter *m, uint64_t cost_ns, uint64_t now_ns, uint64_t *paid_ns)
{
	uint64_t full = now_ns > m->burst_ns ? now_ns - m->burst_ns : 0;
	uint64_t before = __atomic_load_n(&m->paid_ns, __ATOMIC_RELAXED);

	for (int i = 0; i < SETTLE_TRIES; i++) {
		uint64_t from = KX_MAX(before, full); /* a bucket holds no more than the burst */
		uint64_t to = from + cost_ns;

		if (!__atomic_compare_exchange_n(
			    &m->paid_ns, &before, to, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
			continue;
		*paid_ns = to;
		if (to > now_ns)
			__atomic_fetch_add(&m->debt_ns, to - KX_MAX(from, now_ns), __ATOMIC_RELAXED);
		return true;
	}
	*paid_ns = before;
	return false;
}

static void measure_rate(struct kx_meter_tap *t, uint64_t now_ns)
{
	uint64_t passed = now_ns - t->rate_ns;

	if (passed < KX_NS_PER_S)
		return;
	__atomic_store_n(&t->rate_per_s,
		(uint64_t)((unsigned __int128)(t->total - t->rate_total) * KX_NS_PER_S / passed),
		__ATOMIC_RELAXED);
	__atomic_store_n(&t->rate_ns, now_ns, __ATOMIC_RELAXED);
	t->rate_total = t->total;
}

void kx_meter_settle(struct kx_meter_tap *t, uint64_t now_ns)
{
	struct kx_meter *m = t->meter;
	unsigned __int128 cost = (unsigned __int128)t->used * KX_NS_PER_S + t->rest;
	uint64_t cost_ns = (uint64_t)(cost / m->rate_per_s);

	if (pay(m, cost_ns, now_ns, &t->paid_ns)) {
		t->rest = (uint64_t)(cost % m->rate_per_s);
		t->used = 0;
	}
	t->chunk = 0;
	if (now_ns > t->paid_ns)
		t->chunk = (uint64_t)((unsigned __int128)(now_ns - t->paid_ns) * m->rate_per_s / KX_NS_PER_S);
	t->settle_ns = now_ns + KX_METER_SETTLE_NS;
	measure_rate(t, now_ns);
}

uint64_t kx_meter_throttled_ns(const struct kx_meter *m, uint64_t now_ns)
{
	uint64_t paid_ns = kx_counter_read(&m->paid_ns);
	uint64_t left = paid_ns > now_ns ? paid_ns - now_ns : 0;
	uint64_t debt_ns = kx_counter_read(&m->debt_ns);

	return debt_ns > left ? debt_ns - left : 0;
}

uint64_t kx_meter_rate(const struct kx_meter_tap *t, uint64_t now_ns)
{
	uint64_t at = kx_counter_read(&t->rate_ns);

	return now_ns > at && now_ns - at > 3 * KX_NS_PER_S ? 0 : kx_counter_read(&t->rate_per_s);
}
