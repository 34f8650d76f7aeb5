/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Whose deliveries leave in a turn. A subscription that may have something to send stands in one of three
 * queues of its session:
 *
 *   fresh    it waited at the end of its partition: sessions with any are served first;
 *   behind   it reads what is older, or has repairs. While something is delivered fresh these have a small
 *            part of a turn, which what is fresh waits for; else the whole of it;
 *   repairs  it has nothing but repairs beyond their budget.
 *
 * Sessions take turns, one subscription each time: many subscriptions of one get no more than the one of
 * another. A session that may send nothing is parked with all it has, until a receipt or a time, and so are
 * repairs; of those that are parked, a few are looked at a turn. What a turn costs does not depend on how
 * many there are of anything.
 */
#include "broker_pvt.h"

#define FRAMES_PER_TURN	  256
#define FRAMES_FRESH	  64		      /* of one subscription at a time: an RX burst */
#define FRAMES_BEHIND	  32		      /* the same for those behind */
#define VISITS_PER_TURN	  256		      /* of each class, whether they send or not */
#define BEHIND_LEAST	  32		      /* frames kept for those behind */
#define BEHIND_BESIDE	  64		      /* frames for them while there are fresh deliveries */
#define FRESH_NS	  UINT64_C(100000000) /* so long after the last one */
#define STARVED_TURNS_MAX 8		      /* without room for those behind: they go first then */
#define PARKED_PER_TURN	  16		      /* sessions looked at */

static void turn_join(struct kx_broker *b, struct session *s, enum sub_class class)
{
	struct turn_queue *t = &b->turns_of[class];

	if (s->in_turn[class] || s->paced || s->queues[class].head == KX_NONE)
		return;
	s->in_turn[class] = true;
	s->turn_next[class] = KX_NONE;
	s->turn_prev[class] = t->tail;
	if (t->tail != KX_NONE)
		b->sessions[t->tail].turn_next[class] = s->slot;
	else
		t->head = s->slot;
	t->tail = s->slot;
}

static void turn_leave(struct kx_broker *b, struct session *s, enum sub_class class)
{
	struct turn_queue *t = &b->turns_of[class];
	uint32_t next = s->turn_next[class], prev = s->turn_prev[class];

	if (!s->in_turn[class])
		return;
	s->in_turn[class] = false;
	if (prev != KX_NONE)
		b->sessions[prev].turn_next[class] = next;
	else
		t->head = next;
	if (next != KX_NONE)
		b->sessions[next].turn_prev[class] = prev;
	else
		t->tail = prev;
}

static void enqueue(struct kx_broker *b, struct session *s, uint32_t index, enum sub_class class, bool first)
{
	struct kx_sub *subs = b->topics.subs, *sub = &subs[index];
	struct turn_queue *q = &s->queues[class];

	sub->ready = true;
	sub->ready_next = first ? q->head : KX_NONE;
	sub->ready_prev = first ? KX_NONE : q->tail;
	if (sub->ready_next != KX_NONE)
		subs[sub->ready_next].ready_prev = index;
	else
		q->tail = index;
	if (sub->ready_prev != KX_NONE)
		subs[sub->ready_prev].ready_next = index;
	else
		q->head = index;
}

void sub_unready(struct kx_broker *b, uint32_t index)
{
	struct kx_sub *subs = b->topics.subs, *sub = &subs[index];
	struct session *s = session_of(b, sub->session);

	if (!sub->ready)
		return;
	sub->ready = false;
	if (sub->ready_prev != KX_NONE)
		subs[sub->ready_prev].ready_next = sub->ready_next;
	if (sub->ready_next != KX_NONE)
		subs[sub->ready_next].ready_prev = sub->ready_prev;
	/* at an end of one of the queues: whole queues move, so that none of its members knows which */
	for (int i = 0; i < SUB_CLASSES && (sub->ready_prev == KX_NONE || sub->ready_next == KX_NONE); i++) {
		struct turn_queue *q = &s->queues[i];

		if (q->head == index)
			q->head = sub->ready_next;
		if (q->tail == index)
			q->tail = sub->ready_prev;
	}
}

static enum sub_class class_of(const struct kx_sub *sub)
{
	return sub->behind || sub->repair_count != 0 ? SUB_BEHIND : SUB_FRESH;
}

void sub_ready(struct kx_broker *b, uint32_t index)
{
	struct kx_sub *sub = &b->topics.subs[index];
	struct session *s = session_of(b, sub->session);

	if (s->conn_id == 0)
		return; /* closed; close.c has not come to it yet */
	if (kx_unlikely(sub->ready)) {
		if (sub->repair_count == 0 || s->queues[SUB_REPAIRS].head == KX_NONE)
			return;
		sub_unready(b, index); /* it may be there, and has something else now */
	}
	enqueue(b, s, index, class_of(sub), false);
	turn_join(b, s, class_of(sub));
}

static void park(struct kx_broker *b, struct session *s)
{
	s->paced = true;
	s->parked_ns = pace_due_ns(b, s);
	turn_leave(b, s, SUB_FRESH);
	turn_leave(b, s, SUB_BEHIND);
	list_add(b, LIST_PARKED, s);
}

/* All repairs that waited go behind what is behind, as they are. */
static void repairs_again(struct kx_broker *b, struct session *s)
{
	struct turn_queue *from = &s->queues[SUB_REPAIRS], *to = &s->queues[SUB_BEHIND];
	struct kx_sub *subs = b->topics.subs;

	if (from->head == KX_NONE || kx_retx_due_ns(&s->repairs) > b->now_ns)
		return;
	subs[from->head].ready_prev = to->tail;
	if (to->tail != KX_NONE)
		subs[to->tail].ready_next = from->head;
	else
		to->head = from->head;
	to->tail = from->tail;
	from->head = from->tail = KX_NONE;
}

void ready_again(struct kx_broker *b, struct session *s)
{
	s->paced = false;
	repairs_again(b, s);
	turn_join(b, s, SUB_FRESH);
	turn_join(b, s, SUB_BEHIND);
}

void ready_end(struct kx_broker *b, struct session *s)
{
	list_remove(b, LIST_PARKED, s);
	turn_leave(b, s, SUB_FRESH);
	turn_leave(b, s, SUB_BEHIND);
}

static void parked_poll(struct kx_broker *b)
{
	uint32_t n = KX_MIN(b->lists[LIST_PARKED].count, PARKED_PER_TURN);

	for (uint32_t i = 0; i < n; i++) {
		struct session *s = list_pop(b, LIST_PARKED);

		if (!s->paced || b->now_ns >= s->parked_ns)
			ready_again(b, s);
		if (s->paced || s->queues[SUB_REPAIRS].head != KX_NONE)
			list_add(b, LIST_PARKED, s);
	}
}

/* It was served: where it goes on. */
static void enqueue_again(
	struct kx_broker *b, struct session *s, uint32_t index, enum sub_class class, enum step step)
{
	switch (step) {
	case STEP_SENT: /* and there may be more: it is behind now */
		enqueue(b, s, index, SUB_BEHIND, false);
		break;
	case STEP_IDLE:
		if (b->topics.subs[index].repair_count == 0)
			return;
		enqueue(b, s, index, SUB_REPAIRS, false);
		list_add(b, LIST_PARKED, s);
		break;
	case STEP_PACED:
		enqueue(b, s, index, class, true);
		park(b, s);
		break;
	case STEP_LATER:
		enqueue(b, s, index, class, true);
		break;
	}
}

static unsigned int serve(struct kx_broker *b, enum sub_class class, unsigned int frames)
{
	unsigned int most = class == SUB_FRESH ? FRAMES_FRESH : FRAMES_BEHIND, sent = 0;
	struct turn_queue *t = &b->turns_of[class];
	enum step step = STEP_SENT;

	for (unsigned int i = 0; i < VISITS_PER_TURN && sent < frames && t->head != KX_NONE &&
		step != STEP_LATER && b->ops->room(b->tx) > 0;
		i++) {
		struct session *s = session_of(b, t->head);
		uint32_t index = s->queues[class].head;
		unsigned int got = 0;

		turn_leave(b, s, class);
		if (kx_unlikely(index == KX_NONE))
			continue; /* unsubscribed */
		sub_unready(b, index);
		step = deliver_sub(b, index, KX_MIN(most, frames - sent), &got);
		sent += got;
		enqueue_again(b, s, index, class, step);
		turn_join(b, s, class);
		if (class == SUB_FRESH)
			turn_join(b, s, SUB_BEHIND);
	}
	return sent;
}

unsigned int ready_poll(struct kx_broker *b)
{
	unsigned int sent = 0, fresh;
	bool wait;

	if (kx_unlikely(b->lists[LIST_PARKED].count != 0))
		parked_poll(b);
	wait = b->turns_of[SUB_BEHIND].head != KX_NONE;
	if (kx_unlikely(wait && b->starved_turns >= STARVED_TURNS_MAX)) {
		sent = serve(b, SUB_BEHIND, BEHIND_LEAST);
		b->starved_turns = 0;
	}
	fresh = serve(b, SUB_FRESH, FRAMES_PER_TURN - (wait ? BEHIND_LEAST : 0) - sent);
	sent += fresh;
	if (fresh != 0 || b->turn_delivered != 0)
		b->fresh_ns = b->now_ns;
	if (kx_likely(b->turns_of[SUB_BEHIND].head == KX_NONE))
		return sent;
	b->starved_turns = b->ops->room(b->tx) > 0 ? 0 : b->starved_turns + 1;
	return sent +
		serve(b, SUB_BEHIND,
			b->now_ns - b->fresh_ns < FRESH_NS ? KX_MIN(BEHIND_BESIDE, FRAMES_PER_TURN - sent)
							   : FRAMES_PER_TURN - sent);
}
