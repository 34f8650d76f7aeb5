/* SPDX-License-Identifier: BSD-3-Clause */
/* Timers: a binary heap by time. */
#include <stdlib.h>

#include "client_pvt.h"

bool kxc_timers_reserve(struct timers *t, uint32_t more)
{
	uint32_t size = t->size + more;
	struct timer **heap = realloc(t->heap, size * sizeof(*heap));

	if (heap == NULL)
		return false;
	t->heap = heap;
	t->size = size;
	return true;
}

static void place(struct timers *t, uint32_t i, struct timer *timer)
{
	t->heap[i] = timer;
	timer->pos = i + 1;
}

static void sift_up(struct timers *t, uint32_t i, struct timer *timer)
{
	while (i > 0 && t->heap[(i - 1) / 2]->due_ns > timer->due_ns) {
		place(t, i, t->heap[(i - 1) / 2]);
		i = (i - 1) / 2;
	}
	place(t, i, timer);
}

static void sift_down(struct timers *t, uint32_t i, struct timer *timer)
{
	for (uint32_t child; (child = 2 * i + 1) < t->count; i = child) {
		if (child + 1 < t->count && t->heap[child + 1]->due_ns < t->heap[child]->due_ns)
			child++;
		if (t->heap[child]->due_ns >= timer->due_ns)
			break;
		place(t, i, t->heap[child]);
	}
	place(t, i, timer);
}

void kxc_timer_arm(struct timers *t, struct timer *timer, uint64_t due_ns)
{
	if (timer->pos == 0) {
		timer->due_ns = due_ns;
		sift_up(t, t->count++, timer);
	} else if (due_ns < timer->due_ns) {
		timer->due_ns = due_ns;
		sift_up(t, timer->pos - 1, timer);
	}
}

void kxc_timer_stop(struct timers *t, struct timer *timer)
{
	uint32_t i = timer->pos - 1;
	struct timer *last;

	if (timer->pos == 0)
		return;
	timer->pos = 0;
	last = t->heap[--t->count];
	if (last == timer)
		return;
	if (i > 0 && t->heap[(i - 1) / 2]->due_ns > last->due_ns)
		sift_up(t, i, last);
	else
		sift_down(t, i, last);
}

struct timer *kxc_timer_pop_due(struct timers *t, uint64_t now_ns)
{
	struct timer *first;

	if (t->count == 0 || t->heap[0]->due_ns > now_ns)
		return NULL;
	first = t->heap[0];
	kxc_timer_stop(t, first);
	return first;
}
