/* SPDX-License-Identifier: BSD-3-Clause */
/* Budget of repairs: the rounds in which they leave when nothing is saved up. */
#include "kx_session.h"

static void start_round(struct kx_retx_budget *b, uint64_t now_ns, uint64_t pto_ns)
{
	uint64_t passed = (now_ns - b->round_ns) / KX_RETX_ROUND_MIN_NS;
	uint64_t most = KX_RETX_FLOOR * KX_MIN(KX_MAX(passed, UINT64_C(1)), (uint64_t)KX_RETX_DEPTH);
	uint64_t floor = b->progress ? 2 * (uint64_t)b->floor : KX_RETX_FLOOR;

	b->floor = (uint16_t)KX_MIN(KX_MIN(floor, most), (uint64_t)KX_RETX_DEPTH);
	b->left = b->floor;
	b->progress = false;
	b->round_ns = now_ns;
	b->due_ns = now_ns + pto_ns;
}

void kx_retx_spend(struct kx_retx_budget *b, uint64_t now_ns, uint64_t pto_ns)
{
	if (kx_likely(b->tokens >= KX_RETX_SHARE)) {
		b->tokens -= KX_RETX_SHARE;
		/* much is saved: what comes next is another storm */
		if (b->tokens > KX_RETX_DEPTH * KX_RETX_SHARE / 2)
			b->floor = KX_RETX_FLOOR / 2;
		return;
	}
	if (b->left == 0 || now_ns >= b->due_ns)
		start_round(b, now_ns, pto_ns);
	b->left--;
}
