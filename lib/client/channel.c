/* SPDX-License-Identifier: BSD-3-Clause */
/* A channel: the session with one data lcore, its life and its timers. */
#include "client_pvt.h"

#include <stdlib.h>

int kxc_channel_init(struct channel *ch, struct kx_client *c)
{
	struct kx_hub *hub = c->hub;

	ch->client = c;
	ch->lcore = NONE;
	ch->timer.kind = TIMER_CHANNEL;
	ch->retx = calloc(RETX_MAX, sizeof(*ch->retx));
	if (ch->retx == NULL || kx_txwin_init(&ch->tx) != 0)
		return -1;
	if (client_may_protect(c) && kx_auth_protect_create(&ch->protect) != 0)
		return -1;
	kx_rxwin_init(&ch->rx);
	kx_rtt_init(&ch->rtt);
	ch->index = hub->channel_free[--hub->channel_free_count];
	hub->channels[ch->index] = ch;
	ch->hub = hub;
	return 0;
}

static void unlist_ready(struct channel *ch)
{
	struct kx_hub *hub = ch->hub;
	struct channel **at = &hub->ready_head, *before = NULL;

	if (!ch->ready)
		return;
	while (*at != ch) {
		before = *at;
		at = &(*at)->ready_next;
	}
	*at = ch->ready_next;
	if (hub->ready_tail == ch)
		hub->ready_tail = before;
	ch->ready = false;
}

void kxc_channel_fini(struct channel *ch)
{
	struct kx_hub *hub = ch->hub;

	if (hub != NULL) {
		unlist_ready(ch);
		kxc_timer_stop(&hub->timers, &ch->timer);
		hub->channels[ch->index] = NULL;
		hub->channel_free[hub->channel_free_count++] = ch->index;
	}
	kx_auth_protect_destroy(&ch->protect);
	kx_txwin_fini(&ch->tx);
	free(ch->retx);
}

void kxc_channel_arm(struct channel *ch, uint64_t due_ns)
{
	kxc_timer_arm(&ch->hub->timers, &ch->timer, due_ns);
}

bool kxc_channel_begin(
	struct channel *ch, enum kx_frame_type type, uint32_t body_bytes, uint64_t now_ns, struct out *o)
{
	struct kx_hub *hub = ch->hub;
	uint64_t pkt_no;

	if (!kx_txwin_open_reserve(&ch->tx))
		return false;
	o->buf = hub->ops->alloc(hub->tx, FRAME_HDR + body_bytes + ch->tag_bytes, &o->data);
	if (kx_unlikely(o->buf == NULL)) {
		kx_count(&hub->stats.tx_no_buffer, 1);
		hub->starved = true;
		return false;
	}
	pkt_no = kx_txwin_send_unreliable(&ch->tx, now_ns);
	o->body =
		kx_frame_begin(o->data, type, ch->conn_id, pkt_no, kx_txwin_floor_delta(&ch->tx, pkt_no), 0);
	return true;
}

void kxc_channel_send(struct channel *ch, struct out *o, uint32_t body_bytes, uint64_t now_ns)
{
	struct kx_hub *hub = ch->hub;
	uint32_t bytes = FRAME_HDR + body_bytes;

	if (kx_likely(ch->tag_bytes == 0))
		kx_frame_seal(o->data, bytes);
	else
		bytes = kx_auth_protect_seal(&ch->protect, o->data, bytes);
	hub->ops->send(hub->tx, o->buf, bytes, &ch->path);
	kx_count(&hub->stats.tx_frames, 1);
	ch->client->stats.tx_frames++;
	ch->last_tx_ns = now_ns;
	if (hub->room > 0)
		hub->room--;
}

void kxc_channel_fill_receipt(struct channel *ch, struct kx_receipt *r, uint64_t now_ns)
{
	*r = (struct kx_receipt){0};
	kx_rxwin_receipt(&ch->rx, now_ns, r);
}

static void window_reset(struct channel *ch, uint64_t now_ns)
{
	struct kx_tx_slot *slots = ch->tx.slots;

	ch->tx = (struct kx_txwin){.next_pkt = 1, .floor_pkt = 1, .acked_pkt = 1, .slots = slots};
	kx_rxwin_init(&ch->rx);
	kx_retx_init(&ch->budget);
	ch->client->stats.congestions += ch->cc.congestions;
	kx_cc_init(&ch->cc, now_ns);
	ch->cuts = 0;
	ch->cut_pkt = 0;
	ch->retx_head = ch->retx_count = ch->large_unacked = 0;
	ch->used_bytes = 0;
	ch->blocked = KX_BLOCKED_NO;
	ch->blocked_ns = 0;
	ch->blocked_probes = ch->vain = 0;
	ch->vain_ns = 0;
	ch->credit_due_ns = ch->nak_due_ns = ch->stall_due_ns = ch->send_due_ns = UINT64_MAX;
	ch->ask_due_ns = ch->resume_due_ns = 0;
	ch->resume_id = ch->resume_tries = 0;
	ch->mtu = (struct mtu){.due_ns = UINT64_MAX};
}

bool kxc_channel_protect(struct channel *ch, const uint8_t secret[KX_AUTH_SECRET_BYTES], enum kx_protect mode)
{
	if (kx_auth_protect_init(&ch->protect, secret, ch->conn_id, false, mode) != 0)
		return false;
	ch->tag_bytes = KX_TAG_BYTES;
	return true;
}

void kxc_channel_opened(struct channel *ch, uint64_t now_ns)
{
	window_reset(ch, now_ns);
	ch->state = CH_OPEN;
	ch->tries = 0;
	ch->last_rx_ns = ch->last_tx_ns = now_ns;
	channel_ready(ch);
	if (ch->client->active != NULL) /* requests that waited for it */
		kxc_timer_arm(&ch->hub->timers, &ch->client->timer, now_ns);
}

/* All that was sent on this channel is to be sent again on its next session. */
static void requeue_parts(struct channel *ch)
{
	struct kx_client *c = ch->client;

	ch->send_head = ch->send_tail = NULL;
	for (uint32_t i = 0; i < c->opts.producers_max; i++) {
		struct kx_producer *p = c->producers[i];

		for (uint32_t k = 0; p != NULL && k < p->part_count; k++) {
			if (p->parts[k].ch != ch)
				continue;
			p->parts[k].send_listed = false;
			if (p->parts[k].head != NONE && p->slots[p->parts[k].head].sent_ns != 0)
				kxc_resume_part(&p->parts[k]);
			kxc_part_requeue(&p->parts[k]);
		}
	}
}

/* The session is gone on this side. */
static void forget_session(struct channel *ch, uint64_t now_ns)
{
	struct kx_hub *hub = ch->hub;
	uint64_t key;
	uint32_t index;

	if (ch->conn_id != 0)
		kx_map_del(&hub->conns, ch->conn_id);
	ch->conn_id = 0;
	ch->tag_bytes = 0;
	kx_auth_protect_end(&ch->protect);
	memcpy(&key, ch->nonce, sizeof(key));
	if (key != 0 && kx_map_get(&hub->nonces, key, &index) && index == ch->index)
		kx_map_del(&hub->nonces, key);
	if (hub->last_ch == ch)
		hub->last_ch = NULL;
	ch->credit_head = ch->gap_head = NULL;
	for (struct sub *s = ch->subs; s != NULL; s = s->ch_next)
		kxc_sub_wait(s);
	requeue_parts(ch);
	window_reset(ch, now_ns);
}

void kxc_channel_down(struct channel *ch, enum kx_result why, uint64_t wait_ns, uint64_t now_ns)
{
	struct kx_client *c = ch->client;
	bool was_up = ch == &c->channels[0] && c->connected;

	if (ch->state == CH_UNUSED)
		return;
	forget_session(ch, now_ns);
	kxc_setup_start(ch, now_ns);
	ch->retry_ns = now_ns + wait_ns;
	ch->have_path = false;
	kxc_throttle_over(ch, now_ns);
	if (!was_up)
		return;
	c->connected = false;
	c->connect_failed = false;
	c->connect_ns = now_ns;
	kxc_timer_arm(&c->hub->timers, &c->timer, now_ns + c->opts.connect_timeout_ns);
	if (why != KX_OK)
		kxc_client_event(c, &(struct kx_event){.type = KX_EVENT_DISCONNECTED, .result = why});
	if (c->opts.no_reconnect) {
		c->down = true;
		kxc_client_identity_lost(
			c, why == KX_LOST ? KX_LOST : KX_UNKNOWN_FATE, why == KX_LOST, now_ns);
		kxc_channel_close(ch, now_ns);
	}
}

void kxc_channel_close(struct channel *ch, uint64_t now_ns)
{
	struct kx_client *c = ch->client;
	struct out o;

	if (ch->state == CH_UNUSED)
		return;
	if (ch->state == CH_OPEN && kxc_channel_begin(ch, KX_CLOSE, sizeof(struct kx_close), now_ns, &o)) {
		*(struct kx_close *)o.body = (struct kx_close){.code = KX_CODE_OK};
		kxc_channel_send(ch, &o, sizeof(struct kx_close), now_ns);
	}
	forget_session(ch, now_ns);
	ch->state = CH_UNUSED;
	ch->have_path = false;
	kxc_timer_stop(&ch->hub->timers, &ch->timer);
	kxc_throttle_over(ch, now_ns);
	if (ch == &c->channels[0])
		c->connected = false;
	else
		ch->lcore = NONE;
}

static uint64_t blocked_due_ns(const struct channel *ch)
{
	if (ch->blocked_ns == 0)
		return UINT64_MAX;
	return ch->blocked_ns + (kx_rtt_pto_ns(&ch->rtt) << KX_MIN(ch->blocked_probes, 7u));
}

/* Bytes charged to the session's credit for batches that are confirmed or given up: nothing of those is sent
 * again, so the broker, which may have seen no part of what was given up, counts at least as much. */
static uint64_t settled_bytes(const struct channel *ch)
{
	const struct kx_client *c = ch->client;
	uint64_t open = 0;

	for (uint32_t i = 0; i < c->opts.producers_max; i++) {
		const struct kx_producer *p = c->producers[i];

		for (uint32_t k = 0; p != NULL && p->slots != NULL && k < p->part_count; k++) {
			if (p->parts[k].ch != ch)
				continue;
			for (uint32_t at = p->parts[k].head; at != NONE; at = p->slots[at].next)
				open += p->slots[at].counted ? p->slots[at].bytes : 0;
		}
	}
	return ch->used_bytes - KX_MIN(open, ch->used_bytes);
}

static unsigned int send_heartbeat(struct channel *ch, uint64_t now_ns)
{
	struct out o;
	uint32_t ref;

	if (!kxc_channel_begin(ch, KX_HEARTBEAT, sizeof(struct kx_receipt), now_ns, &o)) {
		/* no number left: what is oldest takes a new one, which tells the floor too */
		if (!kx_txwin_open_reserve(&ch->tx) && kx_txwin_take(&ch->tx, ch->tx.floor_pkt, &ref) &&
			!kxc_transmit_retx_push(ch, ref))
			kxc_transmit_acked(ch, 0, ref); /* its batch is asked for when it stalls */
		return 0;
	}
	kxc_channel_fill_receipt(ch, (struct kx_receipt *)o.body, now_ns);
	if (ch->blocked_ns != 0) { /* data wait for credit */
		((struct kx_frame_hdr *)o.data)->flags |= KX_FLAG_MORE;
		((struct kx_receipt *)o.body)->limit_bytes = settled_bytes(ch);
	}
	kxc_channel_send(ch, &o, sizeof(struct kx_receipt), now_ns);
	return 1;
}

/* Silence: is what we sent lost, are we blocked, is it time to show that we live? */
static unsigned int silence(struct channel *ch, uint64_t now_ns)
{
	bool probe = kx_txwin_probe_due(&ch->tx, now_ns, kx_rtt_pto_ns(&ch->rtt));

	if (now_ns >= blocked_due_ns(ch)) {
		ch->blocked_probes++;
		ch->blocked_ns =
			now_ns; /* the next one counts from here: also when the back-off grows no more */
		probe = true;
	}
	if (!probe && now_ns < ch->last_tx_ns + ch->heartbeat_ns)
		return 0;
	if (probe)
		ch->client->stats.probes++;
	return send_heartbeat(ch, now_ns);
}

static uint64_t stall_ns(const struct channel *ch)
{
	return KX_MIN(KX_MAX(8 * kx_rtt_pto_ns(&ch->rtt), STALL_MIN), STALL_MAX);
}

void kxc_channel_watch_stalls(struct channel *ch, uint64_t now_ns)
{
	ch->stall_due_ns = now_ns + stall_ns(ch);
}

/* The oldest batch of a partition was received, yet nobody says what became of it: ask by sending it again.
 */
static void part_stalled(struct part *part, uint64_t now_ns)
{
	struct kx_producer *p = part->producer;
	struct slot *s = &p->slots[part->head];
	uint64_t most = part->alone ? STALL_ALONE : STALL_SLOW;
	struct large *l;

	if (now_ns < part->progress_ns + KX_MIN(stall_ns(part->ch) << KX_MIN(part->stalls, 10u), most))
		return;
	part->stalls++;
	part->progress_ns = now_ns;
	if (s->large == NONE) {
		kxc_transmit_retx_push(part->ch, slot_ref(p, part->head));
		return;
	}
	l = &p->larges[s->large];
	for (; l->again < l->parts; l->again++) {
		if (!kxc_transmit_retx_push(part->ch, part_ref(p, s->large, l->again)))
			return;
		part->ch->large_unacked++;
	}
	l->again = 0;
}

static void look_for_stalls(struct channel *ch, uint64_t now_ns)
{
	struct kx_client *c = ch->client;
	bool any = false;

	if (now_ns < ch->stall_due_ns)
		return;
	for (uint32_t i = 0; i < c->opts.producers_max; i++) {
		struct kx_producer *p = c->producers[i];

		for (uint32_t k = 0; p != NULL && k < p->part_count; k++) {
			struct part *part = &p->parts[k];

			if (part->ch != ch || part->head == NONE || p->slots[part->head].state != SLOT_SENT)
				continue;
			any = true;
			/* it is known what becomes of it: nothing for now. A place in memory, though, may
			 * have been taken from just this one, and what has it waits for it */
			if (ch->vain > 0 && ch->retx_count > 0 && ch->blocked != KX_BLOCKED_MEMORY)
				continue;
			/* what is on its way may bring it, but not for ever: parts of a later message that
			 * the broker has no place for before this batch would be sent again and again */
			if ((ch->tx.waiting == 0 && ch->retx_count == 0) ||
				(now_ns > part->progress_ns + STALL_LONG &&
					now_ns < ch->last_rx_ns + STALL_LONG))
				part_stalled(part, now_ns);
		}
	}
	ch->stall_due_ns = any ? now_ns + stall_ns(ch) / 2 : UINT64_MAX;
}

unsigned int kxc_channel_service(struct channel *ch, uint64_t now_ns)
{
	unsigned int work;
	uint64_t due;

	if (kx_unlikely(ch->state != CH_OPEN)) {
		if (ch->state == CH_UNUSED)
			return 0;
		kxc_setup_service(ch, now_ns);
		return 1;
	}
	if (kx_unlikely(now_ns > ch->last_rx_ns + ch->idle_ns)) {
		kxc_channel_down(ch, KX_TIMED_OUT, 0, now_ns);
		return 1;
	}
	work = ch->ask_due_ns <= now_ns ? kxc_subs_service(ch, now_ns) : 0;
	if (kx_unlikely(ch->resume_due_ns <= now_ns))
		work += kxc_resume_service(ch, now_ns);
	if (kx_unlikely(ch->mtu.due_ns <= now_ns))
		work += kxc_mtu_service(ch, now_ns);
	work += kxc_repair_service(ch, now_ns);
	look_for_stalls(ch, now_ns);
	work += kxc_transmit(ch, now_ns);
	work += silence(ch, now_ns);
	due = KX_MIN(ch->last_rx_ns + ch->idle_ns + 1, ch->last_tx_ns + ch->heartbeat_ns);
	due = KX_MIN(due, KX_MIN(kx_txwin_probe_ns(&ch->tx, kx_rtt_pto_ns(&ch->rtt)), blocked_due_ns(ch)));
	due = KX_MIN(due, KX_MIN(ch->credit_due_ns, ch->nak_due_ns));
	due = KX_MIN(due, KX_MIN(ch->ask_due_ns, KX_MIN(ch->stall_due_ns, ch->send_due_ns)));
	due = KX_MIN(due, KX_MIN(ch->resume_due_ns, kxc_throttle_service(ch, now_ns)));
	due = KX_MIN(due, ch->mtu.due_ns);
	if (kx_likely(ch->timer.pos != 0 && ch->timer.due_ns <= due))
		return work;
	kxc_channel_arm(ch, KX_MAX(due, now_ns + 1));
	return work;
}
