/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The end of a session. At once it is unknown: nothing is taken from it, sent to it or granted to it any
 * more. What it leaves behind (subscriptions, producer states, held batches, parts of large messages) may be
 * much: an ordinary session's goes in the same call, the rest a bounded part a turn. Until then its slot is
 * not used again.
 */
#include "broker_pvt.h"

#define END_AT_ONCE   16  /* steps in the call that closes it */
#define ENDS_PER_TURN 256 /* steps a turn, of all closed sessions together; a large message may go beyond */

/* Give back one thing. Steps taken; 0: nothing is left. */
static uint32_t end_one(struct kx_broker *b, struct session *s)
{
	if (s->subs != KX_NONE) {
		session_sub_end(b, s, s->subs);
		return 1;
	}
	if (s->producers != KX_NONE) {
		produce_abandon_one(b, s);
		return 1;
	}
	return frag_drop_one(b, s);
}

/* True: nothing is left of it. */
static bool end_some(struct kx_broker *b, struct session *s, uint32_t budget, uint32_t *spent)
{
	while (*spent < budget) {
		uint32_t steps = end_one(b, s);

		if (steps == 0) {
			b->session_next_free[s->slot] = b->session_free;
			b->session_free = s->slot;
			return true;
		}
		*spent += steps;
	}
	return false;
}

static void end_later(struct kx_broker *b, const struct session *s)
{
	b->session_next_free[s->slot] = KX_NONE;
	if (b->closing_head == KX_NONE)
		b->closing_head = s->slot;
	else
		b->session_next_free[b->closing_tail] = s->slot;
	b->closing_tail = s->slot;
}

void session_close(struct kx_broker *b, struct session *s)
{
	uint32_t last, spent = 0;

	__atomic_store_n(&s->info.conn_id, 0, __ATOMIC_RELEASE);
	kx_count(&principal_counters(b, s->principal)->sessions, (uint64_t)-1);
	frag_stop(b, s);
	credit_release(b, s);
	identity_drop(b, s);
	list_remove(b, LIST_ACK, s);
	list_remove(b, LIST_GAP, s);
	ready_end(b, s);
	session_unprotect(s);
	kx_map_del(&b->conn_map, s->conn_id);
	kx_map_del(&b->nonce_map, s->nonce_key);
	last = b->active[--b->session_used];
	b->active[s->active_at] = last;
	b->sessions[last].active_at = s->active_at;
	s->conn_id = 0;
	if (!end_some(b, s, END_AT_ONCE, &spent))
		end_later(b, s);
}

unsigned int close_poll(struct kx_broker *b)
{
	uint32_t spent = 0;

	while (b->closing_head != KX_NONE && spent < ENDS_PER_TURN) {
		uint32_t slot = b->closing_head, next = b->session_next_free[slot];

		if (!end_some(b, session_of(b, slot), ENDS_PER_TURN, &spent))
			break;
		b->closing_head = next;
	}
	return spent != 0;
}
