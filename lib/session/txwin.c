/* SPDX-License-Identifier: BSD-3-Clause */
/* Send window: what each packet number carried, until it is acknowledged or replaced. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ring_bits.h"

int kx_txwin_init(struct kx_txwin *w)
{
	memset(w, 0, sizeof(*w));
	w->next_pkt = w->floor_pkt = w->acked_pkt = 1;
	w->slots = calloc(KX_TXWIN_PKTS, sizeof(*w->slots));
	return w->slots != NULL ? 0 : -ENOMEM;
}

void kx_txwin_fini(struct kx_txwin *w)
{
	free(w->slots);
	w->slots = NULL;
}

static struct kx_tx_slot *slot_of(const struct kx_txwin *w, uint64_t pkt_no)
{
	return &w->slots[pkt_no & (KX_TXWIN_PKTS - 1)];
}

static bool is_waiting(const struct kx_txwin *w, uint64_t pkt_no)
{
	return pkt_no >= w->floor_pkt && pkt_no < w->next_pkt && ring_test(w->bits, pkt_no);
}

static void advance_floor(struct kx_txwin *w)
{
	w->floor_pkt = w->waiting > 0 ? ring_find(w->bits, w->floor_pkt, w->next_pkt, true) : w->next_pkt;
}

uint64_t kx_txwin_send(struct kx_txwin *w, uint32_t ref, uint64_t now_ns)
{
	uint64_t pkt_no = w->next_pkt;

	if (kx_unlikely(!kx_txwin_open_reserve(w)))
		return 0;
	*slot_of(w, pkt_no) = (struct kx_tx_slot){.sent_ns = now_ns, .ref = ref};
	ring_set(w->bits, pkt_no);
	if (w->waiting == 0) {
		w->progress_ns = now_ns;
		w->probes = 0;
	}
	w->waiting++;
	w->next_pkt++;
	return pkt_no;
}

uint64_t kx_txwin_send_unreliable(struct kx_txwin *w, uint64_t now_ns)
{
	uint64_t pkt_no = w->next_pkt;

	(void)now_ns;
	if (kx_unlikely(!kx_txwin_open_reserve(w)))
		return 0;
	w->next_pkt++;
	if (w->waiting == 0)
		w->floor_pkt = w->next_pkt;
	return pkt_no;
}

/* Does the receipt name only packets that were sent, in ranges as the protocol has them? */
static bool receipt_is_honest(
	const struct kx_txwin *w, const struct kx_receipt *r, const struct kx_ack_range *ranges)
{
	uint64_t end = 0;

	if (r->next_pkt > w->next_pkt || r->largest_pkt >= w->next_pkt || r->range_count > KX_ACK_RANGES_MAX)
		return false;
	for (unsigned int i = 0; i < r->range_count; i++) {
		if (ranges[i].count == 0 || ranges[i].start <= end)
			return false;
		end = (uint64_t)ranges[i].start + ranges[i].count;
		if (end > w->next_pkt - r->next_pkt)
			return false;
	}
	return true;
}

/* Acknowledge what waits in [from, end). */
static int ack_span(struct kx_txwin *w, uint64_t from, uint64_t end, kx_tx_acked_fn fn, void *arg)
{
	uint64_t pkt_no = KX_MAX(from, w->floor_pkt);
	int n = 0;

	while ((pkt_no = ring_find(w->bits, pkt_no, end, true)) < end) {
		ring_clear(w->bits, pkt_no);
		if (fn != NULL)
			fn(arg, pkt_no, slot_of(w, pkt_no)->ref);
		pkt_no++;
		n++;
	}
	return n;
}

static uint64_t rtt_sample(uint64_t sent_ns, uint64_t delay_ns, uint64_t now_ns)
{
	uint64_t passed = now_ns > sent_ns ? now_ns - sent_ns : 1;

	return delay_ns < passed ? passed - delay_ns : passed;
}

int kx_txwin_ack(struct kx_txwin *w, const struct kx_receipt *r, const struct kx_ack_range *ranges,
	uint64_t now_ns, kx_tx_acked_fn fn, void *arg, uint64_t *rtt_sample_ns)
{
	bool sample;
	int n;

	*rtt_sample_ns = 0;
	if (!receipt_is_honest(w, r, ranges))
		return -EINVAL;
	sample = is_waiting(w, r->largest_pkt);
	n = ack_span(w, w->floor_pkt, r->next_pkt, fn, arg);
	for (unsigned int i = 0; i < r->range_count; i++) {
		uint64_t start = r->next_pkt + ranges[i].start;

		n += ack_span(w, start, start + ranges[i].count, fn, arg);
	}
	w->acked_pkt = KX_MAX(w->acked_pkt, r->next_pkt);
	if (n == 0)
		return 0;
	if (sample && !ring_test(w->bits, r->largest_pkt))
		*rtt_sample_ns = rtt_sample(slot_of(w, r->largest_pkt)->sent_ns, r->ack_delay_ns, now_ns);
	w->waiting -= (uint32_t)n;
	w->progress_ns = now_ns;
	w->probes = 0;
	advance_floor(w);
	return n;
}

bool kx_txwin_take(struct kx_txwin *w, uint64_t pkt_no, uint32_t *ref)
{
	if (!is_waiting(w, pkt_no))
		return false;
	ring_clear(w->bits, pkt_no);
	*ref = slot_of(w, pkt_no)->ref;
	w->waiting--;
	if (pkt_no == w->floor_pkt)
		advance_floor(w);
	return true;
}

uint64_t kx_txwin_find(const struct kx_txwin *w, uint64_t first, uint64_t last)
{
	uint64_t from = KX_MAX(first, w->floor_pkt);
	uint64_t end = last < w->next_pkt ? last + 1 : w->next_pkt;
	uint64_t pkt_no = ring_find(w->bits, from, end, true);

	return pkt_no < end ? pkt_no : 0;
}

uint64_t kx_txwin_probe_ns(const struct kx_txwin *w, uint64_t pto_ns)
{
	uint64_t pto = KX_MIN(pto_ns, 60 * KX_NS_PER_S);
	uint64_t wait_ns = pto << KX_MIN(w->probes, 6u);

	if (w->waiting == 0)
		return UINT64_MAX;
	if (w->probes > 6)
		wait_ns *= w->probes - 5;
	return w->progress_ns + wait_ns + 1;
}

bool kx_txwin_probe_due(struct kx_txwin *w, uint64_t now_ns, uint64_t pto_ns)
{
	if (now_ns < kx_txwin_probe_ns(w, pto_ns))
		return false;
	w->probes++;
	return true;
}
