/* SPDX-License-Identifier: BSD-3-Clause */
/* Data out of a channel: repairs first, then what is new, under the credit granted. */
#include "client_pvt.h"

/* SHORT: this batch lacks what others may not need; BLOCKED: nothing can go. */
enum sent { SENT, SENT_NOTHING, SENT_LATER, SENT_SHORT, SENT_BLOCKED, SENT_PACED };

bool kxc_transmit_retx_push(struct channel *ch, uint32_t ref)
{
	if (ch->retx_count == RETX_MAX)
		return false;
	ch->retx[(ch->retx_head + ch->retx_count++) & (RETX_MAX - 1)] = ref;
	return true;
}

/* For kx_txwin_ack() */
void kxc_transmit_acked(void *channel, uint64_t pkt_no, uint32_t ref)
{
	struct channel *ch = channel;

	(void)pkt_no;
	if ((ref & REF_LARGE) != 0 && ch->large_unacked > 0)
		ch->large_unacked--;
	if (kx_unlikely(ch->mtu.rounds > 0))
		kxc_mtu_acked(ch, ref);
}

uint32_t kxc_transmit_bytes(const struct channel *ch, uint32_t ref)
{
	const struct kx_producer *p = ch->client->producers[ref >> 24 & 0x7f];
	uint32_t low = ref & 0xffffff, body;

	if (p == NULL || p->slots == NULL || ((ref & REF_LARGE) == 0 && low >= p->opts.send_slots))
		return 0;
	body = ref & REF_LARGE ? p->larges[low >> PART_BITS].part_bytes + (uint32_t)sizeof(struct kx_frag)
			       : p->slots[low].bytes;
	return FRAME_HDR + body + ch->tag_bytes;
}

void kxc_transmit_again(struct channel *ch)
{
	struct kx_client *c = ch->client;
	uint32_t ref;

	while (kx_txwin_take(&ch->tx, ch->tx.floor_pkt, &ref))
		;
	ch->retx_head = ch->retx_count = ch->large_unacked = 0;
	for (uint32_t i = 0; i < c->opts.producers_max; i++) {
		struct kx_producer *p = c->producers[i];

		for (uint32_t k = 0; p != NULL && p->slots != NULL && k < p->part_count; k++)
			if (p->parts[k].ch == ch && !p->parts[k].resume)
				kxc_part_send_again(&p->parts[k]);
	}
}

/* A numbered, repairable frame. */
static uint8_t *begin(struct channel *ch, enum kx_frame_type type, uint32_t body_bytes, uint32_t ref,
	uint64_t now_ns, struct out *o)
{
	struct kx_hub *hub = ch->hub;
	uint64_t pkt_no;

	o->buf = hub->ops->alloc(hub->tx, FRAME_HDR + body_bytes + ch->tag_bytes, &o->data);
	if (kx_unlikely(o->buf == NULL)) {
		kx_count(&hub->stats.tx_no_buffer, 1);
		hub->starved = true;
		return NULL;
	}
	pkt_no = kx_txwin_send(&ch->tx, ref, now_ns);
	o->body =
		kx_frame_begin(o->data, type, ch->conn_id, pkt_no, kx_txwin_floor_delta(&ch->tx, pkt_no), 0);
	return o->body;
}

static enum sent send_slot(struct channel *ch, struct kx_producer *p, uint32_t slot, uint64_t now_ns)
{
	struct slot *s = &p->slots[slot];
	struct out o;

	if (begin(ch, KX_PRODUCE, s->bytes, slot_ref(p, slot), now_ns, &o) == NULL)
		return SENT_LATER;
	memcpy(o.body, slot_data(p, slot), s->bytes);
	kxc_channel_send(ch, &o, s->bytes, now_ns);
	return SENT;
}

static enum sent send_part(
	struct channel *ch, struct kx_producer *p, uint32_t large, uint32_t part, uint64_t now_ns)
{
	struct large *l = &p->larges[large];
	const struct slot *s = &p->slots[l->slot];
	uint32_t from = part * l->part_bytes;
	uint32_t bytes = KX_MIN(l->part_bytes, s->bytes - from);
	uint32_t body_bytes = (uint32_t)sizeof(struct kx_frag) + bytes;
	const uint8_t *data = slot_data(p, l->slot) + from;
	struct out o;

	if (begin(ch, KX_PRODUCE_FRAG, body_bytes, part_ref(p, large, part), now_ns, &o) == NULL)
		return SENT_LATER;
	*(struct kx_frag *)o.body = (struct kx_frag){.partition = p->parts[s->part].id,
		.batch_bytes = s->bytes,
		.frag_offset = from,
		.frag_bytes = bytes,
		.first = s->first_seq,
		.frag_crc = kx_crc32c(0, data, bytes),
		.part_bytes = l->part_bytes};
	memcpy(o.body + sizeof(struct kx_frag), data, bytes);
	kxc_channel_send(ch, &o, body_bytes, now_ns);
	return SENT;
}

/* Is what a repair names still ours to send here? A producer that was closed has no slots; a slot may hold
 * another batch by now, which is sent in parts when it is large. */
static bool slot_repairable(const struct channel *ch, const struct kx_producer *p, uint32_t slot)
{
	return p->slots != NULL && slot < p->opts.send_slots && p->slots[slot].state == SLOT_SENT &&
		p->slots[slot].large == NONE && p->parts[p->slots[slot].part].ch == ch;
}

static enum sent send_again(struct channel *ch, uint32_t ref, uint64_t now_ns)
{
	struct kx_producer *p = ch->client->producers[ref >> 24 & 0x7f];
	uint32_t low = ref & 0xffffff;

	if (p == NULL || p->slots == NULL) /* it was closed: what it had sent is given up */
		return SENT_NOTHING;
	if (ref & REF_LARGE) {
		const struct large *l = &p->larges[low >> PART_BITS];
		uint32_t part = low & ((1u << PART_BITS) - 1);

		if (!l->used || part >= l->sent_parts || p->parts[p->slots[l->slot].part].ch != ch)
			return SENT_NOTHING;
		return send_part(ch, p, low >> PART_BITS, part, now_ns);
	}
	return slot_repairable(ch, p, low) ? send_slot(ch, p, low, now_ns) : SENT_NOTHING;
}

/* May a further packet go as far as congestion is concerned? If not, it is tried again in time. */
static bool pace_allows(struct channel *ch, uint64_t now_ns)
{
	if (kx_cc_may(&ch->cc, ch->tx.waiting, ch->rtt.srtt_ns, now_ns))
		return true;
	if (ch->cc.pace_ns > now_ns)
		ch->send_due_ns = KX_MIN(ch->send_due_ns, ch->cc.pace_ns);
	return false;
}

static bool repair_allowed(struct channel *ch, uint64_t now_ns)
{
	uint64_t due_ns = KX_MAX(kx_retx_due_ns(&ch->budget), ch->vain_ns);

	/* not bounded by limit_pkt: it takes the place of the one that was lost */
	if (!kx_txwin_open_reserve(&ch->tx) || !pace_allows(ch, now_ns))
		return false;
	if (kx_likely(due_ns <= now_ns))
		return true;
	ch->client->stats.repairs_deferred++;
	ch->send_due_ns = KX_MIN(ch->send_due_ns, due_ns);
	return false;
}

/* Not lost, but not taken? Each further go waits twice as long, until something is. */
static void repaired(struct channel *ch, uint64_t now_ns)
{
	if (ch->blocked == KX_BLOCKED_NO)
		return;
	ch->vain_ns = now_ns + KX_MIN(kx_rtt_pto_ns(&ch->rtt) << KX_MIN(ch->vain, 7u), VAIN_MAX);
	ch->vain++;
}

static unsigned int repairs(struct channel *ch, uint32_t budget, uint64_t now_ns, bool *more)
{
	unsigned int n = 0;

	*more = false;
	while (ch->retx_count > 0 && n < budget) {
		enum sent sent;
		uint32_t ref;

		if (!repair_allowed(ch, now_ns))
			goto deferred;
		ref = ch->retx[ch->retx_head];
		sent = send_again(ch, ref, now_ns);
		if (sent == SENT_LATER)
			break;
		ch->retx_head = (ch->retx_head + 1) & (RETX_MAX - 1);
		ch->retx_count--;
		if (sent == SENT) {
			ch->client->stats.retransmits++;
			kx_retx_spend(&ch->budget, now_ns, kx_rtt_pto_ns(&ch->rtt));
			kx_cc_sent(&ch->cc);
			n++;
		} else {
			kxc_transmit_acked(ch, 0, ref);
		}
	}
	*more = ch->retx_count > 0;
deferred:
	if (n > 0)
		repaired(ch, now_ns);
	return n;
}

/* May this batch go? Never beyond the bytes; one frame beyond the packets is sent as a probe when nothing
 * else is on its way. */
static enum sent credit_allows(struct channel *ch, const struct slot *s)
{
	if (kx_unlikely(!s->counted && ch->used_bytes + s->bytes > ch->limit_bytes))
		return SENT_SHORT; /* the broker would not take it */
	if (kx_likely(ch->tx.next_pkt < ch->limit_pkt))
		return SENT;
	return ch->tx.waiting == 0 && ch->blocked_probes >= 2 && ch->blocked == KX_BLOCKED_NO ? SENT
											      : SENT_BLOCKED;
}

static void count_first(struct channel *ch, struct slot *s, uint64_t now_ns)
{
	if (!s->counted) {
		s->counted = true;
		ch->used_bytes += s->bytes;
	}
	if (s->sent_ns == 0)
		s->sent_ns = now_ns;
	kx_cc_sent(&ch->cc);
}

/* All of the batch has left. */
static void sent_whole(struct part *part, struct slot *s, uint64_t now_ns)
{
	if (part->unsent == part->head)
		part->progress_ns = now_ns;
	s->state = SLOT_SENT;
	s->left = true;
	part->unsent = s->next;
}

/* The next part of a batch that does not fit a frame. */
static enum sent first_send_part(struct channel *ch, struct part *part, struct slot *s, uint64_t now_ns)
{
	struct large *l = &part->producer->larges[s->large];
	enum sent sent;

	if (l->sent_parts == 0) {
		/* one at a time: were a later one complete at the broker before this, it could take the place
		 * that this one needs. For the oldest of its partition the broker keeps one (and what is
		 * under way may be waiting for just that) */
		if (ch->large_unacked > 0 && part->unsent != part->head)
			return SENT_BLOCKED;
		l->part_bytes = kxc_large_part_bytes(ch);
		l->parts = (s->bytes + l->part_bytes - 1) / l->part_bytes;
	}
	sent = send_part(ch, part->producer, s->large, l->sent_parts, now_ns);
	if (kx_unlikely(sent != SENT))
		return sent;
	l->sent_parts++;
	ch->large_unacked++;
	count_first(ch, s, now_ns);
	if (l->sent_parts >= l->parts)
		sent_whole(part, s, now_ns);
	return SENT;
}

static enum sent first_send(struct channel *ch, struct part *part, uint64_t now_ns)
{
	struct kx_producer *p = part->producer;
	struct slot *s = &p->slots[part->unsent];
	enum sent sent;

	if (kx_unlikely(!kx_txwin_open(&ch->tx)))
		return SENT_BLOCKED;
	sent = credit_allows(ch, s);
	if (kx_unlikely(sent != SENT)) {
		if (ch->blocked_ns == 0)
			ch->blocked_ns = now_ns;
		return sent;
	}
	if (kx_unlikely(!pace_allows(ch, now_ns)))
		return SENT_PACED;
	if (kx_unlikely(s->large == NONE && s->bytes > channel_room(ch))) {
		s->large = kxc_split_take(p, part->unsent);
		if (s->large == NONE)
			return SENT_SHORT;
	}
	if (kx_unlikely(s->large != NONE))
		return first_send_part(ch, part, s, now_ns);
	sent = send_slot(ch, p, part->unsent, now_ns);
	if (kx_unlikely(sent != SENT))
		return sent;
	count_first(ch, s, now_ns);
	sent_whole(part, s, now_ns);
	return SENT;
}

static struct part *next_part(struct channel *ch)
{
	struct part *part;

	while ((part = ch->send_head) != NULL && (part->unsent == NONE || part_waits(part))) {
		ch->send_head = part->send_next;
		part->send_listed = false;
	}
	if (part == NULL)
		ch->send_tail = NULL;
	return part;
}

/* What is to be sent again was counted when it first was: it does not wait behind what lacks credit, which
 * may have to wait for just that. One such partition comes first. Looked for only after one may have been
 * listed. */
static bool owed_first(struct channel *ch)
{
	struct part *before = ch->send_head, *part;

	if (kx_likely(!ch->owed))
		return false;
	for (; (part = before->send_next) != NULL; before = part) {
		if (part->unsent == NONE || part_waits(part) || !part->producer->slots[part->unsent].counted)
			continue;
		before->send_next = part->send_next;
		if (ch->send_tail == part)
			ch->send_tail = before;
		part->send_next = ch->send_head;
		ch->send_head = part;
		return true;
	}
	ch->owed = false;
	return false;
}

unsigned int kxc_transmit(struct channel *ch, uint64_t now_ns)
{
	uint32_t budget = KX_MIN(ch->hub->room, ch->hub->opts.tx_burst);
	enum sent sent = SENT;
	unsigned int again, n;
	bool more, asked = false;
	struct part *part;

	ch->send_due_ns = UINT64_MAX;
	again = n = repairs(ch, budget, now_ns, &more);
	while ((part = next_part(ch)) != NULL && n < budget) {
		sent = first_send(ch, part, now_ns);
		if (kx_unlikely(sent == SENT_SHORT) && !asked && owed_first(ch)) {
			asked = true;
			continue;
		}
		if (sent != SENT)
			break;
		asked = false;
		n++;
		ch->blocked_ns = 0;
		ch->blocked_probes = 0;
	}
	ch->client->stats.produce_frames += n - again;
	if (part == NULL)
		ch->blocked_ns = 0;
	else if (sent == SENT_BLOCKED || sent == SENT_SHORT)
		ch->client->stats.blocked_turns++;
	if (more || (part != NULL && sent < SENT_SHORT))
		channel_ready(ch);
	if (n > 0 && ch->stall_due_ns == UINT64_MAX)
		kxc_channel_watch_stalls(ch, now_ns);
	return n;
}
