/* SPDX-License-Identifier: BSD-3-Clause */
/* The broker holds data back: the application is told why, and when that is over. */
#include "client_pvt.h"

#define CALM_NS (100 * MS) /* a quota grants little by little: that is one state, not many */

static void tell(struct channel *ch, enum kx_event_type type, uint64_t ns)
{
	kxc_client_event(ch->client,
		&(struct kx_event){.type = type, .code = ch->throttled, .count = ch->lcore, .first = ns});
}

void kxc_throttle_over(struct channel *ch, uint64_t now_ns)
{
	if (kx_likely(ch->throttled == KX_BLOCKED_NO))
		return;
	tell(ch, KX_EVENT_RESUMED, now_ns - ch->throttle_ns);
	ch->throttled = KX_BLOCKED_NO;
}

/* For more credit; or what it has credit for is not taken, however often it is sent. */
static bool waits(const struct channel *ch)
{
	bool sent = ch->retx_count > 0 || ch->tx.waiting > 0; /* else it is taken, or was given up */

	return ch->blocked != KX_BLOCKED_NO && (ch->blocked_ns != 0 || (ch->vain > 1 && sent));
}

uint64_t kxc_throttle_service(struct channel *ch, uint64_t now_ns)
{
	uint64_t calm_ns = ch->throttle_seen_ns + CALM_NS;

	if (kx_unlikely(waits(ch))) {
		ch->throttle_seen_ns = now_ns;
		if (ch->throttled == ch->blocked)
			return UINT64_MAX;
		if (ch->throttled == KX_BLOCKED_NO)
			ch->throttle_ns = now_ns;
		ch->throttled = ch->blocked;
		tell(ch, KX_EVENT_THROTTLED, 0);
		return UINT64_MAX;
	}
	if (kx_likely(ch->throttled == KX_BLOCKED_NO))
		return UINT64_MAX;
	if (now_ns < calm_ns)
		return calm_ns;
	kxc_throttle_over(ch, now_ns);
	return UINT64_MAX;
}
