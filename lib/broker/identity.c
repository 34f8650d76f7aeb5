/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The producer a session speaks for: a new id, that of its ticket, or one it takes over under a new epoch. A
 * take-over is answered only when every data lcore has seen the new epoch (struct kx_fence), so that whoever
 * reads that ACCEPT knows that nothing of an older epoch will be stored.
 */
#include <errno.h>

#include "broker_pvt.h"

bool identity_room(const struct kx_broker *b, const struct kx_auth *auth)
{
	return auth->producer_id == 0 || b->fence_count < FENCE_WAITING_MAX;
}

/* Each gives a code, or a reason not to answer at all: what should not have come. */
static enum kx_drop of_ticket(struct kx_broker *b, const struct kx_auth_ticket *ticket,
	struct kx_producer_ref *ref, enum kx_code *code)
{
	switch (kx_producer_ids_join(
		b->config.producer_ids, ticket->producer_id, ticket->producer_epoch, ref)) {
	case 0:
		return KX_DROP_NONE;
	case -ESTALE:
		*code = KX_CODE_FENCED;
		return KX_DROP_NONE;
	case -ENOENT:
		*code = KX_CODE_UNKNOWN_FATE;
		return KX_DROP_NONE;
	default: /* others are at it just now */
		*code = KX_CODE_BUSY;
		return KX_DROP_NONE;
	}
}

static void new_id(struct kx_broker *b, uint32_t principal, struct kx_producer_ref *ref, enum kx_code *code)
{
	if (kx_producer_ids_new(b->config.producer_ids, principal, b->now_ns, ref) != 0)
		*code = KX_CODE_PRODUCERS_FULL;
}

/* From here on older epochs are refused, here at once, elsewhere with the next look. */
static void raise_fence(struct kx_broker *b, struct session *s)
{
	kx_count(&b->counters.take_overs, 1);
	s->fence_generation = kx_fence_raise(b->config.fence);
	s->fence_at = 0;
	if (kx_fence_passed(b->config.fence, s->fence_generation, b->config.lcore_index,
		    b->config.lcore_count, &s->fence_at))
		return;
	s->fence_listed = true;
	b->fence_list[b->fence_count++] = s->slot;
}

static enum kx_drop take_over(struct kx_broker *b, struct session *s, const struct kx_auth *auth,
	struct kx_producer_ref *ref, enum kx_code *code)
{
	switch (kx_producer_ids_take_over(b->config.producer_ids, auth->producer_id, s->principal->id,
		kx_auth_cookie_stamp_ns(auth->cookie), ref)) {
	case 0:
		raise_fence(b, s);
		return KX_DROP_NONE;
	case -ENOENT: /* the client sees by the id that it is another one */
		new_id(b, s->principal->id, ref, code);
		return KX_DROP_NONE;
	case -EACCES:
		*code = KX_CODE_DENIED;
		return KX_DROP_NONE;
	case -EALREADY: /* a copy; nobody waits for an answer */
		return KX_DROP_COOKIE_BAD;
	default: /* others are at it just now */
		*code = KX_CODE_BUSY;
		return KX_DROP_NONE;
	}
}

enum kx_drop identity_take(struct kx_broker *b, struct session *s, const struct kx_auth *auth,
	const struct kx_auth_ticket *ticket, enum kx_code *code)
{
	enum kx_drop silent = KX_DROP_NONE;
	struct kx_producer_ref ref;

	*code = KX_CODE_OK;
	if (auth->method == KX_AUTH_TICKET)
		silent = of_ticket(b, ticket, &ref, code);
	else if (auth->producer_id != 0)
		silent = take_over(b, s, auth, &ref, code);
	else
		new_id(b, s->principal->id, &ref, code);
	if (silent != KX_DROP_NONE || *code != KX_CODE_OK)
		return silent;
	s->registered = ref.entry;
	s->producer_id = s->info.producer_id = ref.id;
	s->producer_epoch = s->info.producer_epoch = ref.epoch;
	return KX_DROP_NONE;
}

void identity_drop(struct kx_broker *b, struct session *s)
{
	for (uint32_t i = 0; s->fence_listed; i++) {
		if (b->fence_list[i] != s->slot)
			continue;
		b->fence_list[i] = b->fence_list[--b->fence_count];
		s->fence_listed = false;
	}
	if (s->registered != NULL)
		kx_producer_ids_release(b->config.producer_ids, s->registered, b->now_ns);
	s->registered = NULL;
}

void identity_close_fenced(struct kx_broker *b, struct session *s)
{
	kx_count(&b->counters.fenced, 1);
	audit_session(b, s, KX_AUDIT_FENCED, KX_CODE_FENCED, UINT32_MAX);
	session_tell_closed(b, s, KX_CODE_FENCED);
	session_close(b, s);
}

static unsigned int accepts(struct kx_broker *b)
{
	unsigned int work = 0;

	for (uint32_t i = 0; i < b->fence_count;) {
		struct session *s = session_of(b, b->fence_list[i]);

		if (!kx_fence_passed(b->config.fence, s->fence_generation, b->config.lcore_index,
			    b->config.lcore_count, &s->fence_at)) {
			i++;
			continue;
		}
		b->fence_list[i] = b->fence_list[--b->fence_count];
		s->fence_listed = false;
		setup_accept(b, s);
		work++;
	}
	return work;
}

unsigned int identity_poll(struct kx_broker *b)
{
	if (kx_unlikely(kx_broker_stopped(b))) {
		kx_fence_leave(b->config.fence, b->config.lcore_index);
		return 0;
	}
	kx_fence_publish(b->config.fence, b->config.lcore_index, &b->fence_published);
	return kx_likely(b->fence_count == 0) ? 0 : accepts(b);
}
