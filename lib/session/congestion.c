/* SPDX-License-Identifier: BSD-3-Clause */
/* Congestion response: a window that keeps a short queue, and the pace within it. */
#include <string.h>

#include "kx_session.h"

#define EPOCH_NS      (10 * KX_NS_PER_S) /* the shortest round trip is that of the last one or two */
#define ROUND_MIN_NS  UINT64_C(50000)
#define PACE_MIN_NS   UINT64_C(20000)
#define SRTT_GUESS_NS UINT64_C(1000000)
#define OVER_SAMPLES  8
#define CLUMP_NS      UINT64_C(1000000)
#define CLUMP_SHARE   32 /* more than one in so many within a millisecond, of a tenth of a second: clumps */
#define CLUMP_ROUND                                                                                          \
	4 /* so many times what an even stream would bring in a millisecond of a round: the same */
#define QUEUE_PKTS	16		   /* each sender's share of the queue */
#define START_ENDS_NS	UINT64_C(50000000) /* not used up for so long: nothing to be careful about */
#define CONTROL_ENDS_NS (10 * KX_NS_PER_S) /* the same after congestion */
#define LOSS_AGE_NS	(2 * KX_NS_PER_S)  /* older counts say nothing */

void kx_cc_init(struct kx_cc *cc, uint64_t now_ns)
{
	memset(cc, 0, sizeof(*cc));
	cc->on = cc->start = true;
	cc->window_pkts = KX_CC_WINDOW_START;
	cc->high_ns = UINT64_MAX;
	cc->epoch_ns = cc->loss_ns = cc->used_ns = now_ns;
	cc->round_min_ns = UINT64_MAX;
}

static uint64_t shortest(const struct kx_cc *cc)
{
	if (cc->min_ns == 0 || cc->min_before_ns == 0)
		return cc->min_ns + cc->min_before_ns;
	return KX_MIN(cc->min_ns, cc->min_before_ns);
}

static uint32_t clamp_window(uint64_t pkts)
{
	return (uint32_t)KX_MIN(KX_MAX(pkts, (uint64_t)KX_CC_WINDOW_MIN), (uint64_t)KX_CC_WINDOW_MAX);
}

static void set_off(struct kx_cc *cc)
{
	cc->on = cc->start = cc->limited = false;
	cc->dip = 0;
	cc->over_ns = 0;
}

static void start_round(struct kx_cc *cc, uint64_t now_ns)
{
	cc->limited = false;
	cc->round_acked = 0;
	cc->round_clump = 0;
	cc->round_ns = now_ns;
	cc->round_min_ns = UINT64_MAX;
}

/* Congestion was met: from here on `window` packets may be under way, growing by step_pkts at most. */
static void congested(struct kx_cc *cc, uint64_t window, uint32_t step_pkts, uint64_t now_ns)
{
	if (!cc->on || cc->start)
		cc->congestions++;
	cc->window_pkts = clamp_window(KX_MIN(window, (uint64_t)KX_CC_WINDOW_MAX - 1));
	cc->on = true;
	cc->start = false;
	cc->used_ns = now_ns;
	cc->step_pkts = step_pkts;
	start_round(cc, now_ns);
}

/* The shortest round trip, of the last ten to twenty seconds. */
static void shortest_seen(struct kx_cc *cc, uint64_t rtt_ns, uint64_t now_ns)
{
	uint64_t min;

	if (now_ns - cc->epoch_ns >= EPOCH_NS) {
		cc->epoch_ns = now_ns;
		cc->min_before_ns = cc->min_ns;
		cc->min_ns = 0;
		cc->dip = cc->on ? 2 : 0;
	}
	if (rtt_ns != 0 && (cc->min_ns == 0 || rtt_ns < cc->min_ns))
		cc->min_ns = rtt_ns;
	min = shortest(cc);
	cc->high_ns = min == 0 ? UINT64_MAX : min + KX_MAX(min / 2, 2 * KX_CC_NOISE_NS);
}

/* What arrives within a millisecond, at most. */
static void clump_seen(struct kx_cc *cc, uint32_t pkts, uint64_t now_ns)
{
	if (now_ns - cc->clump_ns >= CLUMP_NS) {
		cc->clump_ns = now_ns;
		cc->clump = 0;
	}
	cc->clump += pkts;
	cc->clump_max = KX_MAX(cc->clump_max, cc->clump);
	cc->over_acked += pkts;
	cc->round_clump = KX_MAX(cc->round_clump, cc->clump);
}

/* Is it on for losses? */
static bool after_losses(const struct kx_cc *cc)
{
	return cc->on && !cc->start && cc->step_pkts < KX_CC_WINDOW_MAX;
}

/*
 * Every sample for long says that a queue stands. A link's queue leaves evenly; what comes in clumps has
 * waited for an end that shares its CPU, and sending less would change nothing.
 */
static void queue_stands(struct kx_cc *cc, uint64_t now_ns)
{
	uint64_t window = cc->over_acked * shortest(cc) / (now_ns - cc->over_ns);

	if ((uint64_t)cc->clump_max * CLUMP_SHARE > cc->over_acked) {
		if (!after_losses(cc)) /* these were lost all the same */
			set_off(cc);
	} else if (!cc->on || cc->start) {
		congested(cc, window, KX_CC_WINDOW_MAX, now_ns);
	}
	cc->over_ns = 0;
}

static void queue_seen(struct kx_cc *cc, uint64_t rtt_ns, uint64_t srtt_ns, uint64_t now_ns)
{
	if (rtt_ns == 0)
		return;
	if (rtt_ns <= cc->high_ns) {
		cc->over_ns = 0;
		return;
	}
	if (cc->over_ns == 0) {
		cc->over_ns = KX_MAX(now_ns, UINT64_C(1));
		cc->over_acked = 0;
		cc->over_samples = cc->clump = cc->clump_max = 0;
		return;
	}
	if (++cc->over_samples >= OVER_SAMPLES && now_ns - cc->over_ns >= KX_CC_PERSIST_NS + srtt_ns)
		queue_stands(cc, now_ns);
}

/* The fewer packets, the more of them must be lost: what single losses make of a few per cent is far below.
 */
static bool too_many(const struct kx_cc *cc, uint32_t all)
{
	uint32_t share = cc->on && !cc->start ? KX_CC_LOSS_SHARE * 3 / 2 : KX_CC_LOSS_SHARE;

	return (all >= KX_CC_LOSS_PKTS && cc->lost > all / share) || (all >= 128 && cc->lost > all / 5) ||
		(all >= 64 && cc->lost > all / 3);
}

static void losses_seen(struct kx_cc *cc, uint64_t srtt_ns, uint64_t now_ns)
{
	uint32_t all = cc->acked + cc->lost;
	uint64_t span = KX_MAX(now_ns - cc->loss_ns, srtt_ns), window;
	bool many = too_many(cc, all);

	/* losses are told later than arrivals: a round trip of each must be in the count */
	if ((all < KX_CC_LOSS_PKTS && !many) || span < 2 * srtt_ns)
		return;
	/* and twice in a row before it counts: what is told late in one count is missing in the next */
	cc->bad_counts = many && span < LOSS_AGE_NS ? cc->bad_counts + 1 : 0;
	if (cc->bad_counts > 1 || (cc->bad_counts > 0 && cc->on && !cc->start)) {
		window = cc->on ? (uint64_t)cc->window_pkts * cc->acked / all * 15 / 16
				: KX_MAX(cc->acked * srtt_ns / span, (uint64_t)KX_CC_WINDOW_START);
		congested(cc, window, 0, now_ns);
		cc->cuts++;
	}
	cc->acked = cc->lost = 0;
	cc->loss_ns = now_ns;
}

/* More of what arrived in this round came within a millisecond than from any queue. */
static bool came_clumped(const struct kx_cc *cc, uint64_t now_ns)
{
	uint64_t beside = cc->round_clump - (cc->round_clump > 0);

	return beside * ((now_ns - cc->round_ns) / CLUMP_NS) >= CLUMP_ROUND * cc->round_acked;
}

/* The round trip that the window follows. */
static uint64_t queued_ns(const struct kx_cc *cc, uint64_t min_ns)
{
	bool used = cc->limited || 2 * cc->round_acked >= cc->window_pkts;

	if (cc->round_min_ns <= min_ns + KX_CC_NOISE_NS || !used || cc->clumped)
		return min_ns;
	return cc->round_min_ns - KX_CC_NOISE_NS;
}

static void follow(struct kx_cc *cc)
{
	uint64_t w = cc->window_pkts, min = shortest(cc), next;
	uint64_t rtt = queued_ns(cc, min);

	next = (w + w * min / KX_MAX(rtt, UINT64_C(1)) + QUEUE_PKTS + w / 16) / 2;
	if (next > w) {
		if (!cc->limited)
			return;
		if (after_losses(cc)) /* after losses: with care */
			next = KX_MIN(next, w + KX_MIN((uint64_t)++cc->step_pkts, 1 + w / 32));
	}
	cc->window_pkts = clamp_window(next);
}

static bool round_is_over(const struct kx_cc *cc, uint64_t srtt_ns, uint64_t now_ns)
{
	if (now_ns - cc->round_ns < KX_MAX(srtt_ns, ROUND_MIN_NS))
		return false;
	/* which packets receipts name, and so whether there are samples, is chance: at the start two windows
	 * that came through without one are a round trip as well */
	return cc->round_min_ns != UINT64_MAX || (cc->start && cc->round_acked >= 2 * cc->window_pkts);
}

/* Once a round trip. */
static void round_over(struct kx_cc *cc, uint64_t srtt_ns, uint64_t now_ns)
{
	if (!round_is_over(cc, srtt_ns, now_ns))
		return;
	if (cc->start) {
		if (cc->limited && (cc->round_min_ns == UINT64_MAX || cc->round_min_ns <= cc->high_ns))
			cc->window_pkts = clamp_window(2 * (uint64_t)cc->window_pkts);
	} else {
		cc->clumped = came_clumped(cc, now_ns);
		follow(cc);
	}
	cc->dip -= cc->dip > 0;
	start_round(cc, now_ns);
	if (cc->window_pkts >= KX_CC_WINDOW_MAX ||
		now_ns - cc->used_ns >= (cc->start ? START_ENDS_NS : CONTROL_ENDS_NS))
		set_off(cc);
}

void kx_cc_acked_slow(struct kx_cc *cc, uint32_t pkts, uint64_t rtt_ns, uint64_t srtt_ns, uint64_t now_ns)
{
	clump_seen(cc, pkts, now_ns);
	shortest_seen(cc, rtt_ns, now_ns);
	queue_seen(cc, rtt_ns, srtt_ns, now_ns);
	losses_seen(cc, srtt_ns != 0 ? srtt_ns : SRTT_GUESS_NS, now_ns);
	if (!cc->on)
		return;
	cc->round_acked += pkts;
	if (rtt_ns != 0)
		cc->round_min_ns = KX_MIN(cc->round_min_ns, rtt_ns);
	round_over(cc, srtt_ns, now_ns);
}

bool kx_cc_may_slow(struct kx_cc *cc, uint64_t under_way_pkts, uint64_t srtt_ns, uint64_t now_ns)
{
	uint64_t window = KX_MAX(cc->window_pkts >> (cc->dip > 0 ? 2 : 0), (uint32_t)KX_CC_WINDOW_MIN);

	if (under_way_pkts >= window) {
		cc->limited = true;
		cc->used_ns = now_ns;
		cc->pace_ns = 0; /* an acknowledgement goes on */
		return false;
	}
	if (cc->quota > 0 || srtt_ns == 0 || cc->clumped) /* nothing to measure a pace by */
		return true;
	if (now_ns < cc->pace_ns)
		return false;
	cc->pace_ns = now_ns + KX_MAX(srtt_ns / 8, PACE_MIN_NS);
	cc->quota = (uint32_t)KX_MIN(4 + 5 * window * (cc->pace_ns - now_ns) / (4 * srtt_ns), window);
	return true;
}
