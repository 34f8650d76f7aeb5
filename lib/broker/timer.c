/* SPDX-License-Identifier: BSD-3-Clause */
/* What depends on time alone, done for a few sessions every tick, round robin: idle sessions, heartbeats,
 * probes. */
#include "broker_pvt.h"

#define TICK_NS		      UINT64_C(100000)
#define SESSIONS_PER_TICK_MIN 8
#define SESSIONS_PER_TICK_MAX 64
#define STOPS_PER_POLL	      32
#define NS_PER_MS	      UINT64_C(1000000)

/* A consumer that has not all it was sent, or gets nothing more for want of credit, or is not done with what
 * it has: the CREDIT that said otherwise may be lost, and nothing else would ever repeat it. */
static bool tells_nothing(const struct kx_sub *sub, const struct kx_partition *p)
{
	return sub->acked_offset < sub->cursor.offset || sub->cursor.offset < p->log.next_offset ||
		sub->done_offset < sub->acked_offset;
}

/* HEARTBEAT with the subscriptions of which something is to be heard. */
static void heartbeat(struct kx_broker *b, struct session *s)
{
	struct kx_heartbeat_entry entries[KX_ENTRIES_MAX];
	struct kx_heartbeat_entry *e;
	struct kx_receipt *r;
	uint32_t n = 0, bytes;
	struct out o;

	for (uint32_t i = s->subs; i != KX_NONE && n < KX_ENTRIES_MAX; i = b->topics.subs[i].session_next) {
		const struct kx_sub *sub = &b->topics.subs[i];
		const struct kx_partition *p = kx_topics_partition(&b->topics, sub->partition);

		if (tells_nothing(sub, p))
			entries[n++] = (struct kx_heartbeat_entry){.sub_id = sub->sub_id,
				.log_epoch = p->log.log_epoch,
				.sent_offset = sub->cursor.offset};
	}
	bytes = (uint32_t)(sizeof(*r) + n * sizeof(*e));
	if (bytes > session_room(s) || !out_begin(b, s, KX_HEARTBEAT, 0, bytes, &o))
		return;
	r = (struct kx_receipt *)o.body;
	receipt_fill(b, s, r);
	r->entry_count = (uint16_t)n;
	e = (struct kx_heartbeat_entry *)(r + 1);
	for (uint32_t i = 0; i < n; i++)
		e[i] = entries[i];
	out_send(b, s, &o, bytes);
}

/* A tail that stays unacknowledged: name it, with a back-off. */
static bool probe_subs(struct kx_broker *b, struct session *s)
{
	bool due = false;

	for (uint32_t i = s->subs; i != KX_NONE; i = b->topics.subs[i].session_next) {
		struct kx_sub *sub = &b->topics.subs[i];

		if (sub->probe_ns == 0 || b->now_ns < sub->probe_ns)
			continue;
		sub->probes++;
		sub->probe_ns = b->now_ns + (kx_rtt_pto_ns(&s->rtt) << KX_MIN(sub->probes, 6));
		due = true;
	}
	return due;
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
	beat = probe_subs(b, s);
	if (b->now_ns >= s->next_heartbeat_ns) {
		s->next_heartbeat_ns = b->now_ns + conf->sessions.heartbeat_ms * NS_PER_MS;
		beat = true;
	}
	if (beat)
		heartbeat(b, s);
	return true;
}

static unsigned int tick(struct kx_broker *b)
{
	uint32_t n = KX_MIN(KX_MAX(b->session_used / 16, SESSIONS_PER_TICK_MIN), SESSIONS_PER_TICK_MAX);

	n = KX_MIN(n, b->session_used);
	for (uint32_t i = 0; i < n && b->session_used > 0; i++) {
		if (b->tick_cursor >= b->session_used)
			b->tick_cursor = 0;
		if (session_tick(b, session_of(b, b->active[b->tick_cursor])))
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
	return tick(b);
}
