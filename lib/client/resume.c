/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What was sent in a session that has ended, or under an identity that is over, is not sent again before the
 * broker has said what became of it: RESUME, RESUMED. Until then its partition sends nothing.
 */
#include "client_pvt.h"

#define RESUME_ENTRIES 32 /* in one frame: it fits the smallest datagram, also with a tag */

void kxc_resume_part(struct part *part)
{
	const struct kx_client *c = part->producer->client;

	if (part->resume)
		return; /* not answered yet: what is unconfirmed was sent under that identity */
	part->resume = true;
	part->was_boot_id = c->boot_id;
	part->was_producer_id = c->producer_id;
	part->was_producer_epoch = c->producer_epoch;
}

void kxc_resume_ask(struct part *part)
{
	part->ch->resume_due_ns = 0;
	part->ch->resume_tries = 0;
	channel_ready(part->ch);
}

static bool same_was(const struct part *a, const struct part *b)
{
	return a->was_boot_id == b->was_boot_id && a->was_producer_id == b->was_producer_id &&
		a->was_producer_epoch == b->was_producer_epoch;
}

/* Some of the channel's partitions that wait, all of one identity. */
static uint32_t collect(const struct channel *ch, struct part **out)
{
	const struct kx_client *c = ch->client;
	uint32_t n = 0;

	for (uint32_t i = 0; i < c->opts.producers_max; i++) {
		const struct kx_producer *p = c->producers[i];

		for (uint32_t k = 0; p != NULL && k < p->part_count && n < RESUME_ENTRIES; k++) {
			struct part *part = &p->parts[k];

			if (part->resume && part->ch == ch && (n == 0 || same_was(out[0], part)))
				out[n++] = part;
		}
	}
	return n;
}

unsigned int kxc_resume_service(struct channel *ch, uint64_t now_ns)
{
	struct part *parts[RESUME_ENTRIES];
	struct kx_resume_entry *e;
	struct kx_resume *b;
	uint32_t n, bytes;
	struct out o;

	n = collect(ch, parts);
	if (n == 0) {
		ch->resume_due_ns = UINT64_MAX;
		return 0;
	}
	bytes = (uint32_t)(sizeof(*b) + n * sizeof(*e));
	ch->resume_due_ns = now_ns + MS;
	if (!kxc_channel_begin(ch, KX_RESUME, bytes, now_ns, &o))
		return 0;
	if (++ch->client->resume_id == 0)
		ch->client->resume_id = 1;
	ch->resume_id = ch->client->resume_id;
	b = (struct kx_resume *)o.body;
	e = (struct kx_resume_entry *)(b + 1);
	*b = (struct kx_resume){.boot_id = parts[0]->was_boot_id,
		.producer_id = parts[0]->was_producer_id,
		.producer_epoch = parts[0]->was_producer_epoch,
		.request_id = ch->resume_id,
		.entry_count = n};
	for (uint32_t i = 0; i < n; i++) {
		const struct part *part = parts[i];
		const struct kx_producer *p = part->producer;

		e[i] = (struct kx_resume_entry){.partition = part->id,
			.log_epoch = part->log_epoch,
			.next_seq = part->head != NONE ? p->slots[part->head].first_seq : part->next_seq,
			.next_offset = part->offset_end,
			.level = p->level};
	}
	kxc_channel_send(ch, &o, bytes, now_ns);
	ch->resume_due_ns = now_ns + KX_MIN(REQUEST_FIRST << KX_MIN(ch->resume_tries, 8u), REQUEST_SLOW);
	ch->resume_tries++;
	return 1;
}

/* Confirmed offsets of the session that is over, from `from` on, are gone. */
static void tell_lost(struct part *part, uint64_t from)
{
	struct kx_producer *p = part->producer;
	uint64_t first = KX_MAX(part->offset_first, from), end = part->offset_end;
	uint64_t count = part->offset_count;

	if (end != 0)
		part->offset_opened = from; /* that of the old log says nothing of the new one */
	part->offset_first = part->offset_end = part->offset_count = 0;
	if (end <= first)
		return;
	kxc_client_event(p->client,
		&(struct kx_event){.type = KX_EVENT_LOST,
			.result = KX_LOST,
			.producer = p,
			.partition = part->index,
			.count = (uint32_t)KX_MIN(count, UINT32_MAX),
			.first = first,
			.last = end - 1});
}

static bool identity_now(const struct part *part)
{
	const struct kx_client *c = part->producer->client;

	return part->was_boot_id == c->boot_id && part->was_producer_id == c->producer_id &&
		part->was_producer_epoch == c->producer_epoch;
}

/* Give up what is unconfirmed and may have been received; what never left is sent under the identity of now.
 * False: there is none yet under which sequences can begin anew. */
static bool give_up(struct part *part, enum kx_result why)
{
	bool used = part->next_seq != 0;

	kxc_part_fail_left(part, why);
	memset(part->confirmed, 0, sizeof(part->confirmed));
	if (identity_now(part))
		return !used;
	kxc_part_restamp(part);
	return true;
}

/* Nothing is taken from us there. */
static void refused(struct part *part, uint32_t code, uint64_t now_ns)
{
	if (part->producer->slots != NULL)
		kxc_part_fail(part, KX_REFUSED, code, now_ns);
	memset(part->confirmed, 0, sizeof(part->confirmed));
	if (!identity_now(part))
		part->next_seq = 0;
	part->failed = code;
}

/* `next_seq` is where a batch ends that is not confirmed, or where the first of them begins. */
static bool boundary(const struct part *part, uint64_t next_seq)
{
	const struct kx_producer *p = part->producer;

	if (part->head == NONE)
		return true;
	for (uint32_t i = part->head; i != NONE; i = p->slots[i].next)
		if (p->slots[i].first_seq == next_seq)
			return true;
	return next_seq == part->next_seq;
}

static bool settle(struct part *part, const struct kx_resumed_entry *e, uint64_t now_ns)
{
	struct kx_client *c = part->producer->client;
	bool restarted = part->was_boot_id != c->boot_id, goes_on = true;
	uint32_t code = e->code;

	if (code == KX_CODE_OK && !boundary(part, e->next_seq))
		code = KX_CODE_UNKNOWN_FATE;
	if (restarted && (code == KX_CODE_UNKNOWN_PARTITION || code == KX_CODE_NOT_OWNER))
		code = KX_CODE_LOST;
	switch (code) {
	case KX_CODE_OK:
		kxc_part_stored(part, e->next_seq, e->next_offset, now_ns);
		if (!identity_now(part))
			kxc_part_restamp(part);
		break;
	case KX_CODE_LOST:
		if (boundary(part, e->next_seq)) /* what did reach the disk */
			kxc_part_stored(part, e->next_seq, e->next_offset, now_ns);
		tell_lost(part, e->next_offset);
		goes_on = give_up(part, KX_LOST);
		break;
	case KX_CODE_DENIED:
		refused(part, code, now_ns);
		break;
	default:
		goes_on = give_up(part, KX_UNKNOWN_FATE);
		break;
	}
	part->resume = false;
	kxc_part_requeue(part);
	return goes_on;
}

void kxc_resumed(struct channel *ch, const struct kx_frame_view *v, uint64_t now_ns)
{
	const struct kx_resumed *b = (const struct kx_resumed *)v->body;
	const struct kx_resumed_entry *e = (const struct kx_resumed_entry *)(b + 1);
	struct kx_client *c = ch->client;
	bool goes_on = true;

	if (b->request_id != ch->resume_id)
		return; /* a copy of an older answer */
	ch->resume_id = 0;
	for (uint32_t i = 0; i < b->entry_count; i++) {
		struct part *part = kxc_client_part(c, e[i].partition);

		if (part == NULL || !part->resume || part->ch != ch)
			continue;
		goes_on &= settle(part, &e[i], now_ns);
		kxc_producer_resumed(part->producer);
	}
	ch->resume_due_ns = 0;
	ch->resume_tries = 0;
	if (!goes_on)
		kxc_client_new_epoch(c, now_ns);
}

/* What is unconfirmed is given up, and nobody will ask: what may come later begins anew, and what was
 * confirmed and is gone is told all the same. */
void kxc_resume_never(struct part *part)
{
	if (!part->resume || identity_now(part))
		return;
	if (part->was_boot_id != part->producer->client->boot_id)
		tell_lost(part, 0);
	kxc_part_restamp(part);
}

/* Nobody can be asked: the partition is not there any more, or its channel cannot be opened. */
void kxc_resume_in_vain(struct part *part, uint64_t now_ns)
{
	bool restarted = part->was_boot_id != part->producer->client->boot_id;
	const struct kx_resumed_entry none = {.code = restarted ? KX_CODE_LOST : KX_CODE_UNKNOWN_FATE};

	if (part->resume)
		(void)settle(part, &none, now_ns);
}
