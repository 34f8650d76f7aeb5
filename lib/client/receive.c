/* SPDX-License-Identifier: BSD-3-Clause */
/* What a session's frames do. The frame is checked, its number is new. */
#include "client_pvt.h"

static void receipt(struct channel *ch, const struct kx_receipt *r, uint64_t now_ns)
{
	const struct kx_ack_range *ranges = (const struct kx_ack_range *)(r + 1);
	uint64_t rtt_ns;
	int n = kx_txwin_ack(&ch->tx, r, ranges, now_ns,
		ch->large_unacked > 0 || kx_unlikely(ch->mtu.rounds > 0) ? kxc_transmit_acked : NULL, ch,
		&rtt_ns);

	if (kx_unlikely(n < 0))
		return;
	if (rtt_ns != 0)
		kx_rtt_sample(&ch->rtt, rtt_ns);
	kx_retx_earn(&ch->budget, (uint32_t)n);
	if (n > 0)
		kx_retx_progress(&ch->budget, ch->rtt.srtt_ns);
	kx_cc_acked(&ch->cc, (uint32_t)n, rtt_ns, ch->rtt.srtt_ns, now_ns);
	/* a probe's own number moves limit_pkt: that is no news unless it was what we waited for */
	if (r->limit_bytes > ch->limit_bytes ||
		(ch->tx.next_pkt >= ch->limit_pkt && r->limit_pkt > ch->limit_pkt))
		ch->blocked_probes = 0;
	if (n > 0 || r->blocked == KX_BLOCKED_NO) {
		ch->vain = 0;
		ch->vain_ns = 0;
	}
	ch->limit_pkt = KX_MAX(ch->limit_pkt, r->limit_pkt);
	ch->limit_bytes = KX_MAX(ch->limit_bytes, r->limit_bytes);
	ch->blocked = r->blocked;
}

static void commit_ack(struct channel *ch, const struct kx_frame_view *v, uint64_t now_ns)
{
	const struct kx_receipt *r = (const struct kx_receipt *)v->body;
	const struct kx_commit_entry *e = (const struct kx_commit_entry *)(r + 1);

	receipt(ch, r, now_ns);
	for (uint32_t i = 0; i < r->entry_count; i++) {
		struct part *part = kxc_client_part(ch->client, e[i].partition);

		if (part != NULL && part->ch == ch && e[i].producer_epoch == ch->client->producer_epoch)
			kxc_part_commit(part, &e[i], now_ns);
	}
}

/* The broker's heartbeat names what was sent; it also asks where we are. */
static void heartbeat(struct channel *ch, const struct kx_frame_view *v, uint64_t now_ns)
{
	const struct kx_receipt *r = (const struct kx_receipt *)v->body;
	const struct kx_heartbeat_entry *e = (const struct kx_heartbeat_entry *)(r + 1);

	receipt(ch, r, now_ns);
	for (uint32_t i = 0; i < r->entry_count; i++) {
		struct sub *s = kxc_sub_find(ch->client, e[i].sub_id);

		if (s == NULL)
			kxc_sub_unsubscribe(ch, e[i].sub_id, now_ns);
		if (s == NULL || s->ch != ch || s->state != SUB_ACTIVE)
			continue;
		if (e[i].sent_offset > s->sent_end) {
			s->sent_end = e[i].sent_offset;
			hole_below(s, s->sent_end);
		}
		s->log_end = KX_MAX(s->log_end, e[i].sent_offset);
		if (kxc_sub_has_gap(s))
			kxc_gap_seen(s, now_ns);
		kxc_credit_due(s, now_ns);
	}
}

/* The broker has named it. What left before losses made the window smaller says nothing about the window as
 * it is. */
static void lost(struct channel *ch, uint64_t pkt_no)
{
	if (ch->cuts != ch->cc.cuts) {
		ch->cuts = ch->cc.cuts;
		ch->cut_pkt = ch->tx.next_pkt;
	}
	if (pkt_no >= ch->cut_pkt)
		kx_cc_lost(&ch->cc, 1);
}

static void nak(struct channel *ch, const struct kx_frame_view *v, uint64_t now_ns)
{
	const struct kx_nak *b = (const struct kx_nak *)v->body;
	const struct kx_nak_entry *e = (const struct kx_nak_entry *)(b + 1);
	uint64_t pkt_no;
	uint32_t ref;

	for (uint32_t i = 0; i < b->entry_count; i++) {
		for (uint64_t from = e[i].first; (pkt_no = kx_txwin_find(&ch->tx, from, e[i].last)) != 0;
			from = pkt_no + 1) {
			if (ch->retx_count == RETX_MAX || !kx_txwin_take(&ch->tx, pkt_no, &ref))
				break;
			ch->client->stats.naks_received++;
			lost(ch, pkt_no);
			kxc_transmit_retx_push(ch, ref);
			kxc_mtu_lost(ch, pkt_no, ref, now_ns);
		}
	}
}

static void not_owner(struct channel *ch, const struct kx_not_owner *b, uint64_t now_ns)
{
	struct kx_client *c = ch->client;
	struct part *part = kxc_client_part(c, b->partition);
	uint32_t lcore = (uint32_t)b->owner_port - c->info.base_port;
	struct channel *to;

	if (part == NULL || part->ch != ch || lcore >= c->info.lcore_count || lcore == ch->lcore)
		return;
	to = kxc_client_channel(c, lcore, now_ns);
	if (to == NULL)
		return;
	/* leave the old channel's list, which is walked from its head */
	for (struct part **at = &ch->send_head; part->send_listed && *at != NULL; at = &(*at)->send_next) {
		if (*at != part)
			continue;
		*at = part->send_next;
		part->send_listed = false;
		break;
	}
	ch->send_tail = NULL;
	for (struct part *p = ch->send_head; p != NULL; p = p->send_next)
		ch->send_tail = p;
	part->lcore = lcore;
	part->ch = to;
	kxc_part_requeue(part);
	kxc_client_event(c,
		&(struct kx_event){.type = KX_EVENT_OWNER_CHANGED,
			.producer = part->producer,
			.partition = part->index,
			.count = lcore});
}

/* Batches were not taken. Without them what follows has no place: the partition is closed for this producer.
 */
static void produce_refused(struct channel *ch, const struct kx_produce_refused *b, uint64_t now_ns)
{
	struct part *part = kxc_client_part(ch->client, b->partition);

	if (b->code == KX_CODE_FENCED) {
		kxc_client_fenced(ch->client, now_ns);
		return;
	}
	if (part == NULL || part->ch != ch || part->resume || b->code == KX_CODE_STOPPING)
		return; /* asked again later: part_stalled() */
	if (b->code == KX_CODE_RESYNC) {
		kxc_resume_part(part);
		kxc_part_requeue(part); /* once it is answered */
		kxc_resume_ask(part);
		return;
	}
	if (part->head == NONE || b->first_seq < part->producer->slots[part->head].first_seq ||
		b->first_seq >= part->next_seq)
		return; /* about something that is settled */
	if (b->code == KX_CODE_PRODUCERS_FULL) {
		if (!part->alone)
			kxc_part_head_alone(part);
		return;
	}
	part->failed = b->code;
	kxc_part_fail(part, KX_REFUSED, b->code, now_ns);
}

static void notice(struct channel *ch, const struct kx_frame_view *v, uint64_t now_ns)
{
	const struct kx_notice *b = (const struct kx_notice *)v->body;
	struct sub *s = kxc_sub_find(ch->client, v->hdr->handle);
	struct kx_event e = {0};

	if (s == NULL || s->ch != ch || s->state != SUB_ACTIVE)
		return;
	e.consumer = s->consumer;
	e.partition = s->index;
	s->log_epoch = b->log_epoch;
	if (b->code == KX_NOTICE_OFFSET_TRIMMED && b->offset > s->next_offset) {
		e.type = KX_EVENT_OFFSET_TRIMMED;
		e.first = s->next_offset;
		e.last = b->offset - 1;
		ch->client->stats.trimmed_messages += b->offset - s->next_offset;
		kxc_sub_restart(s, b->offset, now_ns);
		kxc_client_event(ch->client, &e);
		return;
	} else if (b->code == KX_NOTICE_OFFSET_TRUNCATED && b->offset < s->next_offset) {
		e.type = KX_EVENT_OFFSET_TRUNCATED;
		e.first = b->offset;
		kxc_deliver_drop_held(s);
		s->next_offset = s->sent_end = s->log_end = b->offset;
		s->hole_top = 0;
		kxc_client_event(ch->client, &e);
	} else if (b->code == KX_NOTICE_CLOSED) {
		kxc_sub_wait(s);
		ch->ask_due_ns = KX_MIN(ch->ask_due_ns, now_ns + REQUEST_SLOW);
	}
	kxc_credit_due(s, now_ns);
}

static void close_frame(struct channel *ch, const struct kx_close *b, uint64_t now_ns)
{
	enum kx_result why = b->code == KX_CODE_STOPPING ? KX_STOPPING
		: b->code == KX_CODE_IDLE		 ? KX_UNKNOWN_FATE
							 : KX_REFUSED;

	if (b->code == KX_CODE_FENCED) {
		kxc_client_fenced(ch->client, now_ns);
		return;
	}
	if (b->code == KX_CODE_STOPPING) /* all its lcores are; the first channel says so */
		ch = &ch->client->channels[0];
	kxc_channel_down(ch, why, b->code == KX_CODE_IDLE ? 0 : 100 * MS, now_ns);
}

/* The broker sees us at another address than before: show it that we are there. */
static void path_challenge(struct channel *ch, const struct kx_path_token *b, uint64_t now_ns)
{
	struct out o;

	if (!kxc_channel_begin(ch, KX_PATH_RESPONSE, sizeof(*b), now_ns, &o))
		return; /* another challenge follows what we send next */
	*(struct kx_path_token *)o.body = *b;
	kxc_channel_send(ch, &o, sizeof(*b), now_ns);
	kx_rtt_init(&ch->rtt);
	kxc_mtu_restart(ch, now_ns);
	ch->client->stats.path_changes++;
}

void kxc_receive_frame(
	struct channel *ch, const struct kx_frame *f, const struct kx_frame_view *v, uint64_t now_ns)
{
	switch (v->hdr->type) {
	case KX_DELIVER:
		kxc_deliver_frame(ch, f, v, now_ns);
		break;
	case KX_COMMIT_ACK:
		commit_ack(ch, v, now_ns);
		break;
	case KX_RX_ACK:
		receipt(ch, (const struct kx_receipt *)v->body, now_ns);
		break;
	case KX_DELIVER_FRAG:
		kxc_reassembly_frame(ch, f, v, now_ns);
		break;
	case KX_HEARTBEAT:
		heartbeat(ch, v, now_ns);
		break;
	case KX_NAK:
		nak(ch, v, now_ns);
		break;
	case KX_SUBSCRIBED:
		kxc_sub_subscribed(ch, (const struct kx_subscribed *)v->body, now_ns);
		break;
	case KX_NOTICE:
		notice(ch, v, now_ns);
		break;
	case KX_NOT_OWNER:
		not_owner(ch, (const struct kx_not_owner *)v->body, now_ns);
		break;
	case KX_PRODUCE_REFUSED:
		produce_refused(ch, (const struct kx_produce_refused *)v->body, now_ns);
		break;
	case KX_RESUMED:
		kxc_resumed(ch, v, now_ns);
		break;
	case KX_CLOSE:
		close_frame(ch, (const struct kx_close *)v->body, now_ns);
		return;
	case KX_PATH_CHALLENGE:
		path_challenge(ch, (const struct kx_path_token *)v->body, now_ns);
		break;
	case KX_MTU_PROBED:
		kxc_mtu_probed(ch, v, now_ns);
		break;
	case KX_METADATA:
	case KX_TOPICS:
	case KX_PONG:
	case KX_REFUSE:
		kxc_request_answer(ch, v, now_ns);
		break;
	default: /* UNSUBSCRIBED: nothing waits for it */
		break;
	}
	channel_ready(ch);
}
