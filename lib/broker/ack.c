/* SPDX-License-Identifier: BSD-3-Clause */
#include <string.h>

#include "broker_pvt.h"

#define GAPS_PER_POLL 32 /* sessions with holes looked at in a turn, round robin */

void receipt_fill(struct kx_broker *b, struct session *s, struct kx_receipt *r)
{
	credit_extend(b, s);
	*r = (struct kx_receipt){
		.limit_pkt = s->limit_pkt, .limit_bytes = s->limit_bytes, .blocked = s->blocked};
	kx_rxwin_receipt(&s->rx, b->now_ns, r);
}

static uint32_t log_epoch_of(struct kx_broker *b, uint32_t partition)
{
	return kx_topics_partition(&b->topics, partition)->log.log_epoch;
}

/* COMMIT_ACK for the dirty producer states: duplicates with the offset of each first, then how far all is
 * stored. A memory topic is committed when it is appended. */
bool ack_commit(struct kx_broker *b, struct session *s)
{
	uint32_t n = (uint32_t)s->repeat_count + s->dirty_count;
	uint32_t bytes = (uint32_t)(sizeof(struct kx_receipt) + n * sizeof(struct kx_commit_entry));
	struct kx_commit_entry *e;
	struct kx_receipt *r;
	struct out o;

	if (!out_begin(b, s, KX_COMMIT_ACK, 0, bytes, &o))
		return false;
	r = (struct kx_receipt *)o.body;
	e = (struct kx_commit_entry *)(r + 1);
	receipt_fill(b, s, r);
	r->entry_count = (uint16_t)n;
	for (uint32_t i = 0; i < s->repeat_count; i++)
		*e++ = (struct kx_commit_entry){.partition = s->repeats[i].partition,
			.level = KX_MEMORY,
			.log_epoch = log_epoch_of(b, s->repeats[i].partition),
			.producer_epoch = s->producer_epoch,
			.next_seq = s->repeats[i].next_seq,
			.next_offset = s->repeats[i].next_offset};
	for (uint32_t i = 0; i < s->dirty_count; i++) {
		const struct kx_producer_state *st = &b->topics.producers[s->dirty[i]];

		e[i] = (struct kx_commit_entry){.partition = st->partition,
			.level = KX_MEMORY,
			.log_epoch = log_epoch_of(b, st->partition),
			.producer_epoch = st->producer_epoch,
			.next_seq = st->next_seq,
			.next_offset = st->next_offset};
	}
	out_send(b, s, &o, bytes);
	s->dirty_count = s->repeat_count = 0;
	kx_count(&b->counters.acks_sent, 1);
	return true;
}

static bool ack_receipt(struct kx_broker *b, struct session *s)
{
	struct kx_ack_range ranges[KX_ACK_RANGES_MAX];
	unsigned int n = kx_rxwin_ranges(&s->rx, ranges, KX_ACK_RANGES_MAX);
	uint32_t bytes = (uint32_t)(sizeof(struct kx_receipt) + n * sizeof(ranges[0]));
	struct kx_receipt *r;
	struct out o;

	if (!out_begin(b, s, KX_RX_ACK, 0, bytes, &o))
		return false;
	r = (struct kx_receipt *)o.body;
	receipt_fill(b, s, r);
	r->range_count = (uint8_t)n;
	memcpy(r + 1, ranges, n * sizeof(ranges[0]));
	out_send(b, s, &o, bytes);
	kx_count(&b->counters.acks_sent, 1);
	return true;
}

static unsigned int acks_send(struct kx_broker *b)
{
	struct session_list *l = &b->lists[LIST_ACK];
	unsigned int sent = 0;

	while (l->count > 0) {
		struct session *s = session_of(b, l->slots[l->count - 1]);

		if (s->dirty_count != 0 && !ack_commit(b, s))
			break; /* no buffer: nobody would get one in this turn */
		if ((s->ack_now || listed(s, LIST_GAP)) && !ack_receipt(b, s))
			break;
		s->ack_now = false;
		list_remove(b, LIST_ACK, s);
		sent++;
	}
	return sent;
}

/* Before the first round trip is known, a guess that suits a network without disks in it. */
#define NAK_BACKOFF_FIRST_NS UINT64_C(5000000)

static uint64_t nak_backoff_ns(const struct session *s)
{
	return s->rtt.valid ? kx_rtt_pto_ns(&s->rtt) : NAK_BACKOFF_FIRST_NS;
}

/* NAK the holes that are due. False: the session has no holes any more. */
static bool nak_holes(struct kx_broker *b, struct session *s)
{
	struct kx_nak_entry entries[KX_ACK_RANGES_MAX];
	struct kx_nak *nak;
	unsigned int n;
	uint32_t bytes;
	struct out o;

	if (!kx_rxwin_has_hole(&s->rx))
		return false;
	if (kx_unlikely(s->rx.late != 0)) {
		s->rx.late = 0;
		kx_rtt_late(&s->rtt);
	}
	n = kx_rxwin_nak(
		&s->rx, b->now_ns, kx_rtt_reorder_ns(&s->rtt), nak_backoff_ns(s), entries, KX_ACK_RANGES_MAX);
	if (n > 0)
		kx_rtt_named(&s->rtt);
	bytes = (uint32_t)(sizeof(*nak) + n * sizeof(entries[0]));
	if (n == 0 || !out_begin(b, s, KX_NAK, 0, bytes, &o))
		return true;
	nak = (struct kx_nak *)o.body;
	*nak = (struct kx_nak){.entry_count = n};
	memcpy(nak + 1, entries, n * sizeof(entries[0]));
	out_send(b, s, &o, bytes);
	kx_count(&s->info.naks_sent, 1);
	kx_count(&b->counters.naks_sent, 1);
	return true;
}

unsigned int ack_poll(struct kx_broker *b)
{
	unsigned int work = acks_send(b);

	uint32_t n = KX_MIN(b->lists[LIST_GAP].count, GAPS_PER_POLL);

	for (uint32_t i = 0; i < n; i++) {
		struct session *s = list_pop(b, LIST_GAP);

		if (nak_holes(b, s))
			list_add(b, LIST_GAP, s);
	}
	return work;
}
