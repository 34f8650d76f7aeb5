/* SPDX-License-Identifier: BSD-3-Clause */
/* How fast deliveries of a session leave: what its receipts say, and the response to congestion. */
#include "broker_pvt.h"

static uint64_t rtt_from_receipt(struct kx_broker *b, struct session *s, const struct kx_receipt *r)
{
	uint64_t elapsed, sample = 0;

	if (s->timed_pkt == 0 || r->largest_pkt < s->timed_pkt)
		return 0;
	elapsed = b->now_ns - s->timed_ns;
	/* the delay belongs to largest_pkt; only when that is the timed packet the sample is exact */
	if (r->largest_pkt == s->timed_pkt && r->ack_delay_ns < elapsed) {
		sample = elapsed - r->ack_delay_ns;
		kx_rtt_sample(&s->rtt, sample);
	}
	s->timed_pkt = 0;
	return sample;
}

void pace_receipt(struct kx_broker *b, struct session *s, const struct kx_receipt *r)
{
	uint64_t sample = rtt_from_receipt(b, s, r), pkts;
	uint32_t before = s->cc.congestions;

	if (r->largest_pkt <= s->acked_pkt)
		return;
	pkts = r->largest_pkt - s->acked_pkt;
	s->acked_pkt = r->largest_pkt;
	s->others_before = s->others;
	s->others = 0;
	s->unheard_ns = 0;
	kx_retx_earn(&s->repairs, pkts);
	kx_cc_acked(
		&s->cc, (uint32_t)KX_MIN(pkts, (uint64_t)UINT32_MAX / 2), sample, s->rtt.srtt_ns, b->now_ns);
	kx_count(&b->counters.congestions, s->cc.congestions - before);
	if (kx_unlikely(s->paced || s->queues[SUB_REPAIRS].head != KX_NONE))
		ready_again(b, s);
}

/* Congested: may a further delivery leave? */
bool pace_allows(struct kx_broker *b, struct session *s)
{
	uint64_t under_way = s->tx_next_pkt - 1 - s->acked_pkt;
	uint64_t others = (uint64_t)s->others + s->others_before;

	under_way -= KX_MIN(others, under_way);
	if (kx_cc_may(&s->cc, under_way, s->rtt.srtt_ns, b->now_ns))
		return true;
	/* acknowledged packets are known by receipts that only consumers send: nothing waits for them for
	 * ever */
	if (s->unheard_ns == 0)
		s->unheard_ns = b->now_ns + 2 * kx_rtt_pto_ns(&s->rtt);
	if (b->now_ns < s->unheard_ns)
		return false;
	s->unheard_ns = 0;
	return true;
}

uint64_t pace_due_ns(const struct kx_broker *b, const struct session *s)
{
	return s->cc.pace_ns > b->now_ns ? KX_MIN(s->cc.pace_ns, s->unheard_ns) : s->unheard_ns;
}

/*
 * Frames lost in one go make the window smaller once: what was lost before it became smaller, and is asked
 * for only now, says nothing about the window as it is. What is lost again does.
 */
void pace_lost(struct session *s, struct kx_sub *sub, uint64_t offset, uint64_t end_offset)
{
	if (sub->cuts != s->cc.cuts) {
		sub->cuts = s->cc.cuts;
		sub->cut_offset = sub->cursor.offset;
		sub->counted_offset = offset;
	}
	if (offset < sub->counted_offset || offset >= sub->cut_offset)
		kx_cc_lost(&s->cc, 1);
	else
		sub->counted_offset = end_offset;
}
