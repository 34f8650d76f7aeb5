/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What depends on time alone, done for a few sessions every tick, round robin: idle sessions, heartbeats,
 * probes. A tick looks at no more than 64 sessions and 575 subscriptions, so that a round of N sessions with
 * M subscriptions takes N / 64 + M / 448 ticks of 100 us at most (10,000 sessions with 16,384: 20 ms), and
 * each of a session's subscriptions is looked at every M' / 64 rounds (M' of its own).
 */
#include <string.h>

#include "broker_pvt.h"

#define TICK_NS		      UINT64_C(100000)
#define SESSIONS_PER_TICK_MIN 8
#define SESSIONS_PER_TICK_MAX 64
#define SUBS_OF_SESSION	      KX_ENTRIES_MAX /* looked at in a tick: one heartbeat names them all */
#define SUBS_PER_TICK	      512	     /* of all sessions together: no further session then */
#define STOPS_PER_POLL	      32
#define NS_PER_MS	      UINT64_C(1000000)

/* A consumer that has not all it was sent, or gets nothing more for want of credit, or is not done with what
 * it has: the CREDIT that said otherwise may be lost, and nothing else would ever repeat it. */
static bool tells_nothing(const struct kx_sub *sub, const struct kx_partition *p)
{
	return sub->acked_offset < sub->cursor.offset || sub->cursor.offset < p->log.next_offset ||
		sub->done_offset < sub->acked_offset;
}

static void heartbeat(
	struct kx_broker *b, struct session *s, const struct kx_heartbeat_entry *entries, uint32_t n)
{
	uint32_t bytes = (uint32_t)(sizeof(struct kx_receipt) + n * sizeof(*entries));
	struct kx_receipt *r;
	struct out o;

	if (bytes > session_room(s) || !out_begin(b, s, KX_HEARTBEAT, 0, bytes, &o))
		return;
	r = (struct kx_receipt *)o.body;
	receipt_fill(b, s, r);
	r->entry_count = (uint16_t)n;
	memcpy(r + 1, entries, n * sizeof(*entries));
	out_send(b, s, &o, bytes);
}

/* A tail that stays unacknowledged: name it, with a back-off. */
static bool probe_due(const struct kx_broker *b, const struct session *s, struct kx_sub *sub)
{
	if (sub->probe_ns == 0 || b->now_ns < sub->probe_ns)
		return false;
	sub->probes++;
	sub->probe_ns = b->now_ns + (kx_rtt_pto_ns(&s->rtt) << KX_MIN(sub->probes, 6));
	return true;
}

void timer_name_all_subs(struct kx_broker *b)
{
	b->name_subs_ns = b->now_ns + 2 * b->config.conf->sessions.heartbeat_ms * NS_PER_MS;
}

/* Look at some subscriptions, at others in the next tick, and name those of which something is to be heard:
 * when a probe is due, and once each heartbeat; then also with none, so that the session is heard of. */
static void tick_subs(struct kx_broker *b, struct session *s, bool beat)
{
	struct kx_heartbeat_entry entries[SUBS_OF_SESSION];
	uint32_t count = KX_MIN(s->sub_count, SUBS_OF_SESSION), n = 0;
	bool due = beat;

	if (beat)
		s->beat_left = s->sub_count;
	for (uint32_t i = 0; i < count; i++) {
		struct kx_sub *sub = &b->topics.subs[s->tick_sub != KX_NONE ? s->tick_sub : s->subs];
		const struct kx_partition *p = kx_topics_partition(&b->topics, sub->partition);

		s->tick_sub = sub->session_next;
		due |= probe_due(b, s, sub);
		if (tells_nothing(sub, p) || kx_unlikely(b->now_ns < b->name_subs_ns))
			entries[n++] = (struct kx_heartbeat_entry){.sub_id = sub->sub_id,
				.log_epoch = p->log.log_epoch,
				.sent_offset = sub->cursor.offset};
	}
	due |= s->beat_left != 0 && n > 0;
	s->beat_left -= KX_MIN(s->beat_left, count);
	if (due)
		heartbeat(b, s, entries, n);
}

/* False: the session is gone. */
static bool session_tick(struct kx_broker *b, struct session *s)
{
	const struct kx_conf *conf = b->config.conf;
	bool beat;

	if (b->now_ns - s->last_rx_ns > conf->sessions.idle_timeout_ms * NS_PER_MS) {
		session_tell_closed(b, s, KX_CODE_IDLE);
		session_close(b, s);
		return false;
	}
	if (kx_unlikely(identity_fenced(s))) { /* also when it says nothing */
		identity_close_fenced(b, s);
		return false;
	}
	credit_weigh(b, s);
	quota_tick(b, s);
	beat = b->now_ns >= s->next_heartbeat_ns;
	if (beat)
		s->next_heartbeat_ns = b->now_ns + conf->sessions.heartbeat_ms * NS_PER_MS;
	tick_subs(b, s, beat);
	return true;
}

static unsigned int tick(struct kx_broker *b)
{
	uint32_t n = KX_MIN(KX_MAX(b->session_used / 16, SESSIONS_PER_TICK_MIN), SESSIONS_PER_TICK_MAX);
	uint32_t subs = 0;

	n = KX_MIN(n, b->session_used);
	for (uint32_t i = 0; i < n && b->session_used > 0 && subs < SUBS_PER_TICK; i++) {
		struct session *s;

		if (b->tick_cursor >= b->session_used)
			b->tick_cursor = 0;
		s = session_of(b, b->active[b->tick_cursor]);
		subs += KX_MIN(s->sub_count, SUBS_OF_SESSION);
		if (session_tick(b, s))
			b->tick_cursor++;
	}
	return 0;
}

static unsigned int stop_some(struct kx_broker *b)
{
	unsigned int work = 0;

	while (b->session_used > 0 && work < STOPS_PER_POLL && b->ops->room(b->tx) > 0) {
		struct session *s = session_of(b, b->active[b->session_used - 1]);

		session_tell_closed(b, s, KX_CODE_STOPPING);
		session_close(b, s);
		work++;
	}
	return work;
}

unsigned int timer_poll(struct kx_broker *b)
{
	if (kx_unlikely(b->stopping))
		return stop_some(b);
	if (b->now_ns < b->next_tick_ns)
		return 0;
	b->next_tick_ns = b->now_ns + TICK_NS;
	if (kx_unlikely(b->reassembly_used != 0))
		frag_tick(b);
	if (kx_unlikely(b->topics.held_used != 0))
		produce_tick(b);
	return tick(b);
}
