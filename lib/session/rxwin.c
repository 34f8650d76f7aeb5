/* SPDX-License-Identifier: BSD-3-Clause */
/* Receive window: which packet numbers have come, what to acknowledge, what to ask for again. */
#include <string.h>

#include "ring_bits.h"

#define NAK_BACKOFF_MIN_NS UINT64_C(20000)

void kx_rxwin_init(struct kx_rxwin *w)
{
	memset(w, 0, sizeof(*w));
	w->next_pkt = 1;
}

/* Numbers from next_pkt on that are received already: pass them. Ends the bookkeeping of the last hole. */
static void pass_received(struct kx_rxwin *w)
{
	uint64_t next = ring_find(w->bits, w->next_pkt, w->largest_pkt + 1, false);

	ring_clear_span(w->bits, w->next_pkt, next);
	w->next_pkt = next;
	if (!kx_rxwin_has_hole(w)) {
		w->gap_ns = 0;
		w->nak_tries = 0;
	}
}

void kx_rxwin_mark_slow(struct kx_rxwin *w, uint64_t pkt_no, uint64_t now_ns)
{
	uint64_t top = w->largest_pkt + 1;
	uint64_t seen_ns = KX_MAX(now_ns, UINT64_C(1)); /* 0 means: no hole */

	ring_set(w->bits, pkt_no);
	if (pkt_no < w->nak_high_pkt)
		w->late++; /* repairs have numbers of their own: this is the original */
	if (pkt_no >= top) {
		w->largest_pkt = pkt_no;
		w->largest_ns = now_ns;
	}
	if (pkt_no > top && (w->gap_ns == 0 || w->gap_ns == seen_ns)) {
		w->gap_ns = seen_ns;
		w->gap_pkt = pkt_no;
	}
	if (pkt_no == w->next_pkt)
		pass_received(w);
}

/* Remember holes in [next_pkt, floor) that were named: their originals may still come. */
static void remember_closed(struct kx_rxwin *w, uint64_t floor)
{
	uint64_t end = KX_MIN(floor, w->nak_high_pkt), at = w->next_pkt;

	for (unsigned int i = 0; i < KX_RXWIN_CLOSED; i++, at++) {
		at = ring_find(w->bits, at, end, false);
		if (at >= end)
			return;
		w->closed[w->closed_at++ % KX_RXWIN_CLOSED] = at;
	}
}

void kx_rxwin_duplicate(struct kx_rxwin *w, uint64_t pkt_no)
{
	for (unsigned int i = 0; i < KX_RXWIN_CLOSED; i++) {
		if (w->closed[i] != pkt_no)
			continue;
		w->closed[i] = 0;
		w->late++;
		return;
	}
}

void kx_rxwin_floor_slow(struct kx_rxwin *w, uint64_t floor_pkt, uint64_t now_ns)
{
	uint64_t floor = KX_MIN(floor_pkt, w->largest_pkt + 1);

	(void)now_ns;
	if (floor <= w->next_pkt)
		return;
	if (w->next_pkt < w->nak_high_pkt)
		remember_closed(w, floor);
	ring_clear_span(w->bits, w->next_pkt, floor);
	w->next_pkt = floor;
	pass_received(w);
}

void kx_rxwin_jump(struct kx_rxwin *w, uint64_t pkt_no, uint32_t floor_delta, uint64_t now_ns)
{
	uint64_t floor = kx_rxwin_floor_of(pkt_no, floor_delta);

	if (pkt_no < w->next_pkt || floor < w->next_pkt)
		return;
	kx_rxwin_floor(w, floor, now_ns);
	if (floor > w->next_pkt) { /* beyond all that was received: the bitmap is empty */
		w->next_pkt = floor;
		w->largest_pkt = floor - 1;
	}
	kx_rxwin_mark(w, pkt_no, now_ns);
}

unsigned int kx_rxwin_ranges(const struct kx_rxwin *w, struct kx_ack_range *out, unsigned int max)
{
	uint64_t end = w->largest_pkt + 1;
	uint64_t first, last = w->next_pkt;
	unsigned int n = 0;

	if (max > KX_ACK_RANGES_MAX)
		max = KX_ACK_RANGES_MAX;
	while (n < max && (first = ring_find(w->bits, last, end, true)) < end) {
		last = ring_find(w->bits, first, end, false);
		out[n++] = (struct kx_ack_range){
			.start = (uint32_t)(first - w->next_pkt), .count = (uint32_t)(last - first)};
	}
	return n;
}

void kx_rxwin_receipt(const struct kx_rxwin *w, uint64_t now_ns, struct kx_receipt *out)
{
	uint64_t delay = now_ns > w->largest_ns ? now_ns - w->largest_ns : 0;

	out->next_pkt = w->next_pkt;
	out->largest_pkt = w->largest_pkt;
	out->ack_delay_ns = (uint32_t)KX_MIN(delay, (uint64_t)UINT32_MAX);
}

/* Holes in [*from, end) as NAK entries; *from moves behind the last one named, or to end. */
static unsigned int name_holes(
	const struct kx_rxwin *w, uint64_t *from, uint64_t end, struct kx_nak_entry *out, unsigned int max)
{
	uint64_t at = KX_MAX(*from, w->next_pkt);
	unsigned int n = 0;

	while (at < end) {
		uint64_t first = ring_find(w->bits, at, end, false);

		if (first == end) {
			at = end;
			break;
		}
		if (n == max)
			break;
		at = ring_find(w->bits, first, end, true);
		out[n++] = (struct kx_nak_entry){.kind = KX_NAK_PKTS, .first = first, .last = at - 1};
	}
	*from = at;
	return n;
}

static uint64_t backoff_ns(uint64_t reorder_ns, uint64_t rtt_ns, uint32_t tries)
{
	uint64_t base = KX_MAX(KX_MAX(rtt_ns, reorder_ns), NAK_BACKOFF_MIN_NS);

	if (base >= KX_NAK_BACKOFF_MAX_NS >> KX_MIN(tries, 13u))
		return KX_NAK_BACKOFF_MAX_NS;
	return base << tries;
}

/* A round of names has left: the next one follows after the back-off and covers all named so far. */
static void start_round(struct kx_rxwin *w, uint64_t now_ns, uint64_t backoff)
{
	w->nak_round_pkt = w->nak_high_pkt;
	w->nak_from_pkt = 0;
	w->nak_next_pkt = w->next_pkt;
	w->nak_ns = now_ns;
	w->nak_due_ns = now_ns + backoff;
	w->nak_tries++;
}

/* Name again what the last round named and is still open. */
static unsigned int name_again(struct kx_rxwin *w, uint64_t now_ns, uint64_t reorder_ns, uint64_t rtt_ns,
	struct kx_nak_entry *out, unsigned int max)
{
	unsigned int n;

	if (w->nak_next_pkt != w->next_pkt) {
		w->nak_next_pkt = w->next_pkt;
		w->nak_tries = 0;
		w->nak_due_ns = KX_MIN(w->nak_due_ns, w->nak_ns + backoff_ns(reorder_ns, rtt_ns, 0));
	}
	if (now_ns < w->nak_due_ns)
		return 0;
	n = name_holes(w, &w->nak_from_pkt, w->nak_round_pkt, out, max);
	if (w->nak_from_pkt >= w->nak_round_pkt)
		start_round(w, now_ns, backoff_ns(reorder_ns, rtt_ns, w->nak_tries));
	return n;
}

/* Name for the first time what has been missing for the reorder allowance. */
static unsigned int name_fresh(
	struct kx_rxwin *w, uint64_t now_ns, uint64_t reorder_ns, struct kx_nak_entry *out, unsigned int max)
{
	unsigned int n;

	if (w->gap_ns == 0 || now_ns < w->gap_ns + reorder_ns)
		return 0;
	n = name_holes(w, &w->nak_high_pkt, w->gap_pkt, out, max);
	if (w->nak_high_pkt < w->gap_pkt)
		return n;
	if (w->largest_pkt > w->gap_pkt) {
		w->gap_ns = KX_MAX(now_ns, UINT64_C(1));
		w->gap_pkt = w->largest_pkt;
	} else {
		w->gap_ns = 0;
	}
	return n;
}

unsigned int kx_rxwin_nak(struct kx_rxwin *w, uint64_t now_ns, uint64_t reorder_ns, uint64_t rtt_ns,
	struct kx_nak_entry *out, unsigned int max)
{
	unsigned int n = 0;
	bool round;

	if (!kx_rxwin_has_hole(w))
		return 0;
	if (w->nak_round_pkt <= w->next_pkt && w->nak_high_pkt > w->next_pkt) {
		/* the round is over; what was named since is the next one's */
		w->nak_tries = 0;
		start_round(w, now_ns, backoff_ns(reorder_ns, rtt_ns, 0));
	}
	round = w->nak_round_pkt > w->next_pkt;
	if (round)
		n = name_again(w, now_ns, reorder_ns, rtt_ns, out, max);
	n += name_fresh(w, now_ns, reorder_ns, out + n, max - n);
	if (!round && n > 0) {
		w->nak_tries = 0;
		start_round(w, now_ns, backoff_ns(reorder_ns, rtt_ns, 0));
	}
	return n;
}
