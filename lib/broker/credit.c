/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Credit of producers. limit_pkt bounds frames on their way by the receive buffers, shared among the sessions
 * that produce; limit_bytes bounds bytes by the room of the logs that block. For each partition of a blocking
 * topic reserved_bytes is the sum of the unused credit of all sessions that produce to it, plus what is held
 * out of order: credit is only extended while room - reserved allows, so that what was granted has its place.
 * Two cases are granted more than that: a session's first credit, given before it named a partition, and
 * sessions that write to more than SESSION_BLOCKS partitions. What finds no room then is not acknowledged and
 * comes again: slower, never lost.
 */
#include "broker_pvt.h"

#define WAITERS_PER_POLL 8

static uint64_t unused(const struct session *s)
{
	return s->limit_bytes - s->used_bytes;
}

static uint64_t unreserved(struct kx_broker *b, struct kx_partition *p)
{
	uint64_t want = p->reserved_bytes + 2 * b->window_bytes;
	uint64_t room;

	if (kx_partition_reclaim(&b->topics, p, want))
		partition_touched(b, p);
	room = kx_log_room_bytes(&p->log, p->batch_max_bytes);
	return room > p->reserved_bytes ? room - p->reserved_bytes : 0;
}

void credit_join(struct session *s, struct kx_partition *p)
{
	for (uint32_t i = 0; i < s->block_count; i++)
		if (s->blocks[i] == p->id)
			return;
	if (s->block_count == SESSION_BLOCKS)
		return;
	s->blocks[s->block_count++] = p->id;
	p->reserved_bytes += unused(s);
}

void credit_used(struct kx_broker *b, struct session *s, uint64_t bytes)
{
	s->used_bytes += bytes;
	for (uint32_t i = 0; i < s->block_count; i++)
		kx_topics_partition(&b->topics, s->blocks[i])->reserved_bytes -= bytes;
}

static uint64_t window_pkts(const struct kx_broker *b)
{
	uint64_t share = b->config.rx_buffer_frames / KX_MAX(b->producers_active, 1);

	return KX_MAX(KX_MIN(share, b->config.conf->sessions.window_frames), 1);
}

/*
 * Packets that may follow the largest one: the window, but no more than could be held if an earlier one were
 * missing. What comes then and finds no place is sent once more for each time it is missed, which is how 1 %
 * of loss became several times the traffic. While something is held, a quarter of the places stays free for
 * repairs of further holes.
 */
static uint64_t grant_pkts(const struct kx_broker *b, const struct session *s)
{
	const struct kx_topic_table *t = &b->topics;
	uint64_t share = t->held_total / KX_MAX(b->producers_active, 1u);
	uint64_t places = KX_MIN(share, (uint64_t)KX_HELD_MAX);
	uint64_t grant = KX_MIN(window_pkts(b), KX_MAX(places, 1u));

	if (kx_likely(s->held == 0))
		return grant;
	places = places * 3 / 4;
	places = places > s->held ? places - s->held : 0;
	return KX_MIN(KX_MIN(grant, places), (uint64_t)(t->held_total - t->held_used));
}

void credit_extend(struct kx_broker *b, struct session *s)
{
	uint64_t target = s->used_bytes + b->window_bytes;
	uint64_t limit_pkt = s->rx.largest_pkt + 1 + grant_pkts(b, s);

	s->limit_pkt = KX_MAX(s->limit_pkt, limit_pkt);
	for (uint32_t i = 0; i < s->block_count && target > s->limit_bytes; i++) {
		struct kx_partition *p = kx_topics_partition(&b->topics, s->blocks[i]);

		target = KX_MIN(target, s->limit_bytes + unreserved(b, p));
	}
	if (target > s->limit_bytes) {
		for (uint32_t i = 0; i < s->block_count; i++)
			kx_topics_partition(&b->topics, s->blocks[i])->reserved_bytes +=
				target - s->limit_bytes;
		s->limit_bytes = target;
	}
	s->blocked = unused(s) < b->config.datagram_max_bytes ? KX_BLOCKED_LOG : KX_BLOCKED_NO;
	if (s->blocked != KX_BLOCKED_NO && !s->wait_listed && s->block_count > 0) {
		s->wait_listed = true;
		b->wait_list[b->wait_count++] = s->slot;
	}
	s->info.limit_pkt = s->limit_pkt;
	s->info.limit_bytes = s->limit_bytes;
	s->info.used_bytes = s->used_bytes;
	s->info.blocked = s->blocked;
}

void credit_release(struct kx_broker *b, struct session *s)
{
	for (uint32_t i = 0; i < s->block_count; i++)
		kx_topics_partition(&b->topics, s->blocks[i])->reserved_bytes -= unused(s);
	s->block_count = 0;
}

unsigned int credit_poll(struct kx_broker *b)
{
	unsigned int work = 0;
	uint32_t n = KX_MIN(b->wait_count, WAITERS_PER_POLL);

	for (uint32_t i = 0; i < n; i++) {
		uint32_t at = b->wait_cursor++ % b->wait_count;
		struct session *s = session_of(b, b->wait_list[at]);

		b->wait_list[at] = b->wait_list[--b->wait_count];
		s->wait_listed = false;
		credit_extend(b, s);
		if (s->blocked == KX_BLOCKED_NO) {
			ack_due(b, s, true);
			work++;
		}
	}
	return work;
}
