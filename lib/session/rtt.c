/* SPDX-License-Identifier: BSD-3-Clause */
/* Round trip time: RFC 6298 smoothing in ns. */
#include <string.h>

#include "kx_session.h"

#define PTO_MIN_NS     UINT64_C(1000000)
#define PTO_INITIAL_NS UINT64_C(100000000)
#define REORDER_MIN_NS UINT64_C(20000)
#define REORDER_MAX_NS UINT64_C(5000000)

void kx_rtt_init(struct kx_rtt *r)
{
	memset(r, 0, sizeof(*r));
}

void kx_rtt_sample(struct kx_rtt *r, uint64_t sample_ns)
{
	uint64_t s = KX_MIN(sample_ns, KX_RTT_SAMPLE_MAX_NS);
	uint64_t error;

	if (s == 0)
		return;
	if (!r->valid) {
		r->srtt_ns = r->min_ns = s;
		r->var_ns = s / 2;
		r->valid = true;
		return;
	}
	error = s > r->srtt_ns ? s - r->srtt_ns : r->srtt_ns - s;
	r->var_ns = (3 * r->var_ns + error) / 4;
	r->srtt_ns = (7 * r->srtt_ns + s) / 8;
	r->min_ns = KX_MIN(r->min_ns, s);
}

uint64_t kx_rtt_pto_ns(const struct kx_rtt *r)
{
	return r->valid ? KX_MAX(r->srtt_ns + 4 * r->var_ns, PTO_MIN_NS) : PTO_INITIAL_NS;
}

uint64_t kx_rtt_reorder_ns(const struct kx_rtt *r)
{
	return KX_MIN(KX_MAX(KX_MAX(r->srtt_ns / 8, r->late_ns), REORDER_MIN_NS), REORDER_MAX_NS);
}

void kx_rtt_late(struct kx_rtt *r)
{
	r->late_ns = KX_MIN(2 * kx_rtt_reorder_ns(r), REORDER_MAX_NS);
}

void kx_rtt_named(struct kx_rtt *r)
{
	r->late_ns -= r->late_ns / 16;
}
