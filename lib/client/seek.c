/* SPDX-License-Identifier: BSD-3-Clause */
/* A program's say over its subscriptions: seek, pause, resume, acknowledge. */
#include "client_pvt.h"

#define OFFSET_MAX (UINT64_C(1) << 62)

uint64_t kxc_sub_position(const struct sub *s)
{
	if (s->state == SUB_SEEK)
		return s->seek_to;
	return s->consumer->opts.polled ? kxc_polled_position(s) : s->next_offset;
}

uint64_t kxc_sub_done(const struct sub *s)
{
	const struct kx_consumer *c = s->consumer;
	uint64_t done = s->next_offset;

	if (c->opts.manual_ack)
		done = s->done_offset;
	else if (c->opts.polled)
		done = kxc_polled_done(s);
	return KX_MIN(done, s->next_offset);
}

/* Between two turns the channel looks at what was asked for. */
static void look_again(struct sub *s)
{
	if (s->ch == NULL)
		return;
	s->ch->ask_due_ns = 0;
	channel_ready(s->ch);
}

static enum kx_result seek_sub(struct sub *s, uint64_t offset)
{
	uint64_t to = offset == KX_OFFSET_EARLIEST || offset == KX_OFFSET_NOW ? UINT64_MAX : offset;

	if (s->state == SUB_FAILED)
		return KX_BAD_STATE;
	s->want = offset;
	s->reset_position = false;
	s->done_offset = 0;
	if (s->ring != NULL)
		kxc_polled_drop(s);
	if (s->state == SUB_WAIT) {
		s->next_offset = to;
		return KX_OK;
	}
	/* not here: we may be inside a callback of a delivery that is walking what was held */
	s->state = SUB_SEEK;
	s->seek_to = to;
	kxc_credit_forget(s); /* what was dropped above is not done with */
	look_again(s);
	return KX_OK;
}

static enum kx_result pause_sub(struct sub *s, uint64_t unused)
{
	(void)unused;
	s->paused = true;
	s->resuming = false;
	return KX_OK;
}

static enum kx_result resume_sub(struct sub *s, uint64_t unused)
{
	(void)unused;
	if (!s->paused)
		return KX_OK;
	s->paused = false;
	s->resuming = true;
	look_again(s);
	return KX_OK;
}

/* Do it to one partition, or to all there are. */
static enum kx_result each(struct kx_consumer *c, int32_t partition,
	enum kx_result (*what)(struct sub *s, uint64_t arg), uint64_t arg)
{
	enum kx_result r = KX_OK;
	struct sub *s;

	if (c == NULL || partition < KX_PARTITION_ALL)
		return KX_BAD_ARGUMENT;
	if (c->sub_count == 0)
		return c->state == OPEN_FAILED ? KX_BAD_STATE : KX_NOT_READY;
	if (partition != KX_PARTITION_ALL) {
		s = kxc_consumer_sub(c, (uint32_t)partition);
		if (s == NULL)
			return c->state == OPEN_META ? KX_NOT_READY : KX_UNKNOWN_PARTITION;
		return what(s, arg);
	}
	for (uint32_t i = 0; i < c->sub_count; i++) {
		enum kx_result one = what(&c->client->subs[c->subs[i]], arg);

		r = one != KX_OK ? one : r;
	}
	return r;
}

enum kx_result kx_consumer_seek(struct kx_consumer *c, int32_t partition, uint64_t offset, uint64_t now_ns)
{
	(void)now_ns;
	if (offset > OFFSET_MAX && offset != KX_OFFSET_EARLIEST && offset != KX_OFFSET_NOW)
		return KX_BAD_ARGUMENT;
	return each(c, partition, seek_sub, offset);
}

enum kx_result kx_consumer_pause(struct kx_consumer *c, int32_t partition)
{
	return each(c, partition, pause_sub, 0);
}

enum kx_result kx_consumer_resume(struct kx_consumer *c, int32_t partition, uint64_t now_ns)
{
	(void)now_ns;
	return each(c, partition, resume_sub, 0);
}

enum kx_result kx_consumer_ack(struct kx_consumer *c, uint32_t partition, uint64_t offset, uint64_t now_ns)
{
	struct sub *s;

	if (c == NULL)
		return KX_BAD_ARGUMENT;
	if (!c->opts.manual_ack)
		return KX_BAD_STATE;
	s = kxc_consumer_sub(c, partition);
	if (s == NULL)
		return KX_UNKNOWN_PARTITION;
	if (s->next_offset == UINT64_MAX)
		return KX_NOT_READY;
	if (offset > kxc_sub_position(s))
		return KX_BAD_ARGUMENT;
	if (offset <= s->done_offset || kxc_polled_is_old(s))
		return KX_OK; /* nothing more, or of a log that is gone */
	s->done_offset = offset;
	if (s->state == SUB_ACTIVE) {
		kxc_credit_due(s, now_ns + CREDIT_WAIT);
		channel_ready(s->ch);
	}
	return KX_OK;
}

static void resume_now(struct sub *s, uint64_t now_ns)
{
	kxc_deliver_held(s, now_ns);
	if (kxc_sub_has_gap(s)) {
		hole_below(s, s->sent_end);
		kxc_gap_seen(s, now_ns);
	}
	kxc_credit_due(s, now_ns);
}

static void seek_now(struct sub *s, uint64_t now_ns)
{
	bool was_ready = s->consumer->was_ready;

	kxc_sub_unsubscribe(s->ch, s->id, now_ns);
	kxc_sub_wait(s);
	s->consumer->was_ready = was_ready;
}

void kxc_seek_service(struct sub *s, uint64_t now_ns)
{
	if (s->resuming) {
		s->resuming = false;
		if (s->state == SUB_ACTIVE)
			resume_now(s, now_ns);
	}
	if (s->state == SUB_SEEK)
		seek_now(s, now_ns);
}
