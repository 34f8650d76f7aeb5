/* SPDX-License-Identifier: BSD-3-Clause */
#include "kx_topic.h"

uint32_t kx_sub_open(struct kx_topic_table *t, struct kx_partition *p, uint32_t session, uint32_t sub_id)
{
	uint32_t i = t->sub_free;

	if (i == KX_NONE)
		return KX_NONE;
	t->sub_free = t->subs[i].next;
	t->subs[i] = (struct kx_sub){.session = session,
		.sub_id = sub_id,
		.partition = p->id,
		.next = p->subs,
		.prev = KX_NONE,
		.session_next = KX_NONE,
		.session_prev = KX_NONE,
		.ready_next = KX_NONE,
		.behind = true};
	if (p->subs != KX_NONE)
		t->subs[p->subs].prev = i;
	p->subs = i;
	p->sub_count++;
	t->sub_used++;
	return i;
}

void kx_sub_close(struct kx_topic_table *t, uint32_t sub)
{
	struct kx_sub *s = &t->subs[sub];
	struct kx_partition *p = kx_topics_partition(t, s->partition);

	kx_sub_not_at_tail(t, sub);
	p->done_known = false;
	p->done_changed = true;
	if (p->done_walk == sub)
		p->done_walk = s->next;
	if (s->prev == KX_NONE)
		p->subs = s->next;
	else
		t->subs[s->prev].next = s->next;
	if (s->next != KX_NONE)
		t->subs[s->next].prev = s->prev;
	p->sub_count--;
	t->sub_used--;
	s->session = KX_NONE;
	s->next = t->sub_free;
	t->sub_free = sub;
}

void kx_sub_start(struct kx_topic_table *t, uint32_t sub, uint64_t offset)
{
	struct kx_sub *s = &t->subs[sub];
	struct kx_partition *p = kx_topics_partition(t, s->partition);

	s->start_offset = s->acked_offset = s->done_offset = offset;
	if (p->sub_count == 1) {
		p->done_offset = offset;
		p->done_known = true;
		p->done_walk = KX_NONE;
	}
	/* a walk that is under way has passed its place */
	p->done_offset = KX_MIN(p->done_offset, offset);
	p->done_lowest = KX_MIN(p->done_lowest, offset);
}

void kx_sub_at_tail(struct kx_topic_table *t, uint32_t sub)
{
	struct kx_sub *s = &t->subs[sub];
	struct kx_partition *p = kx_topics_partition(t, s->partition);

	if (s->at_tail)
		return; /* with what it had then; who reads on from there is taken off first */
	s->at_tail = true;
	s->tail_next = KX_NONE;
	s->tail_prev = p->tail_last;
	if (p->tail_last != KX_NONE)
		t->subs[p->tail_last].tail_next = sub;
	else
		p->tail = sub;
	p->tail_last = sub;
}

void kx_sub_not_at_tail(struct kx_topic_table *t, uint32_t sub)
{
	struct kx_sub *s = &t->subs[sub];
	struct kx_partition *p = kx_topics_partition(t, s->partition);

	if (!s->at_tail)
		return;
	s->at_tail = false;
	if (s->tail_prev == KX_NONE)
		p->tail = s->tail_next;
	else
		t->subs[s->tail_prev].tail_next = s->tail_next;
	if (s->tail_next == KX_NONE)
		p->tail_last = s->tail_prev;
	else
		t->subs[s->tail_next].tail_prev = s->tail_prev;
}

void kx_sub_done(struct kx_topic_table *t, uint32_t sub, uint64_t offset)
{
	struct kx_sub *s = &t->subs[sub];
	struct kx_partition *p = kx_topics_partition(t, s->partition);

	if (offset <= s->done_offset)
		return;
	if (s->done_offset <= p->done_offset) { /* it was the last one */
		p->done_known = false;
		p->done_changed = true;
	}
	s->done_offset = offset;
}

uint64_t kx_partition_done(const struct kx_topic_table *t, struct kx_partition *p)
{
	if (p->subs == KX_NONE)
		return UINT64_MAX;
	if (p->done_known)
		return p->done_offset;
	if (p->done_walk == KX_NONE) {
		p->done_walk = p->subs;
		p->done_lowest = UINT64_MAX;
		p->done_changed = false;
	}
	for (uint32_t i = 0; i < KX_DONE_WALK && p->done_walk != KX_NONE; i++) {
		p->done_lowest = KX_MIN(p->done_lowest, t->subs[p->done_walk].done_offset);
		p->done_walk = t->subs[p->done_walk].next;
	}
	if (p->done_walk == KX_NONE) {
		p->done_offset = p->done_lowest;
		p->done_known = !p->done_changed;
	}
	return p->done_offset;
}

#define RECLAIM_EXTENTS 4

bool kx_partition_reclaim(struct kx_topic_table *t, struct kx_partition *p, uint64_t want_bytes)
{
	uint64_t acked;

	if (p->subs == KX_NONE || kx_log_room_bytes(&p->log, p->batch_max_bytes) >= want_bytes)
		return false;
	acked = kx_partition_done(t, p);
	return acked != UINT64_MAX && kx_log_trim_below(&p->log, acked, RECLAIM_EXTENTS) != 0;
}
