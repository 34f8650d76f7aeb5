/* SPDX-License-Identifier: BSD-3-Clause */
/* Lists of sessions for which something is to be done. Each session knows its place, so leaving takes no
 * walk, however many there are. */
#include <errno.h>
#include <stdlib.h>

#include "broker_pvt.h"

int lists_create(struct kx_broker *b)
{
	for (int i = 0; i < LIST_COUNT; i++) {
		b->lists[i].slots = calloc(b->session_total, sizeof(uint32_t));
		if (b->lists[i].slots == NULL)
			return -ENOMEM;
	}
	return 0;
}

void lists_destroy(struct kx_broker *b)
{
	for (int i = 0; i < LIST_COUNT; i++)
		free(b->lists[i].slots);
}

void list_add(struct kx_broker *b, enum list_id id, struct session *s)
{
	struct session_list *l = &b->lists[id];

	if (s->at[id] != KX_NONE)
		return;
	s->at[id] = l->count;
	l->slots[l->count++] = s->slot;
}

void list_remove(struct kx_broker *b, enum list_id id, struct session *s)
{
	struct session_list *l = &b->lists[id];
	uint32_t at = s->at[id], last;

	if (at == KX_NONE)
		return;
	last = l->slots[--l->count];
	l->slots[at] = last;
	b->sessions[last].at[id] = at;
	s->at[id] = KX_NONE;
}

struct session *list_pop(struct kx_broker *b, enum list_id id)
{
	struct session_list *l = &b->lists[id];
	struct session *s;

	if (l->cursor >= l->count)
		l->cursor = 0;
	s = &b->sessions[l->slots[l->cursor]];
	list_remove(b, id, s);
	l->cursor++;
	return s;
}
