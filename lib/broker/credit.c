/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Credit of producers.
 *
 * Packets. What all sessions together may send at once never exceeds the receive buffers, nor the places in
 * which packets behind a hole can be held: granted_pkts is the sum. Each session is good for one datagram;
 * the rest is shared among those that produced lately, one half evenly, the other by how much (weight).
 * Limits never fall, so an eighth of the buffers is kept for sessions that are still to come.
 *
 * Bytes. For each partition of a blocking topic reserved_bytes is the sum of the unused credit of all
 * sessions that produce to it, plus what is held out of order: credit is extended only while room - reserved
 * allows, so that what was granted has its place. A session that has not sent anything yet (a loose one)
 * could send to any of them: its credit counts for all. Credit belongs to the session and not to a partition,
 * so one thing remains: a session that goes on to a further partition brings its unused credit along. Nothing
 * more is then granted for that partition until everything fits again; what finds no room is not acknowledged
 * and comes again. kx_broker_credit() tells both sums. And credit that is not used cannot be taken back:
 * sessions that rest on theirs would keep another from ever sending a message larger than what is left. One
 * whose probe says that data wait is granted up to its window of the room there is now, promised or not.
 */
#include "broker_pvt.h"

#define WAITERS_PER_POLL 8
#define FIRST_PKTS	 64 /* a session that has not produced lately */
#define FIRST_USE	 4  /* packets that show that one produces now */
#define FIRST_BYTES	 UINT64_C(65536)
#define LOOSE_SCAN	 64 /* blocking partitions looked at for a first credit */
#define WEIGH_NS	 UINT64_C(10000000)
#define WEIGHT_ONE	 64u /* of one packet in WEIGH_NS */
#define WEIGHT_MAX	 (WEIGHT_ONE << 16)

/* ---- packets */

static void set_weight(struct kx_broker *b, struct session *s, uint32_t weight)
{
	b->weight_sum += weight;
	b->weight_sum -= s->weight;
	b->weighted += weight != 0;
	b->weighted -= s->weight != 0;
	s->weight = weight;
}

void credit_weigh(struct kx_broker *b, struct session *s)
{
	uint64_t passed = b->now_ns - s->weighed_ns, recent;

	if (passed < WEIGH_NS)
		return;
	recent = KX_MIN(s->produced * WEIGH_NS * WEIGHT_ONE / passed, WEIGHT_MAX);
	if (recent == 0 && s->weight == 0)
		return;
	set_weight(b, s, (uint32_t)((s->weight * UINT64_C(3) + recent) / 4));
	s->weighed_ns = b->now_ns;
	s->produced = 0;
}

static uint32_t buffers(const struct kx_broker *b)
{
	return KX_MIN(b->config.rx_buffer_frames, b->topics.held_total);
}

/* Packets to be shared beyond everybody's one. */
static uint32_t spare(const struct kx_broker *b)
{
	uint32_t total = buffers(b);
	uint32_t kept = b->session_used + KX_MIN(b->session_total - b->session_used, total / 8);

	return total > kept ? total - kept : 0;
}

static uint32_t share(const struct kx_broker *b, const struct session *s)
{
	uint32_t all = spare(b), half = all / 2;

	if (s->weight == 0)
		return KX_MIN((all / 4 > b->shared_pkts ? all / 4 - b->shared_pkts : 0) / 2, FIRST_PKTS);
	return (uint32_t)(half / b->weighted + half * (uint64_t)s->weight / b->weight_sum);
}

/*
 * Packets that may follow the largest one. While something is held, no more than could be held with it: what
 * comes and finds no place is sent once more for each time it is missed, which is how 1 % of loss became
 * several times the traffic. A quarter of the places stays free for repairs of further holes.
 */
static uint32_t target_pkts(struct kx_broker *b, struct session *s)
{
	uint32_t target, places;

	if (kx_unlikely(s->weight == 0 && s->produced >= FIRST_USE)) {
		set_weight(b, s, s->produced * WEIGHT_ONE / 4);
		s->weighed_ns = b->now_ns;
		s->produced = 0;
	}
	target = KX_MAX(KX_MIN(share(b, s), b->config.conf->sessions.window_frames), 1u);
	if (kx_likely(s->held == 0))
		return target;
	places = KX_MIN(b->topics.held_total / KX_MAX(b->weighted, 1u), (uint32_t)KX_HELD_MAX) * 3 / 4;
	return KX_MIN(target, places > s->held ? places - s->held : 0);
}

static uint32_t free_pkts(const struct kx_broker *b)
{
	uint32_t used = b->granted_pkts + b->topics.held_used, all = spare(b);
	uint32_t places = b->topics.held_total > used ? b->topics.held_total - used : 0;
	uint32_t total = buffers(b);

	places = KX_MIN(places, total > b->granted_pkts ? total - b->granted_pkts : 0);
	return KX_MIN(all > b->shared_pkts ? all - b->shared_pkts : 0, places);
}

/* More sessions than buffers may be open where the configuration says so: each is good for one. */
static bool one_more(const struct kx_broker *b)
{
	return b->granted_pkts < KX_MAX(buffers(b), b->session_total);
}

static uint32_t beyond_one(uint32_t pkts)
{
	return pkts > 1 ? pkts - 1 : 0;
}

static void set_granted(struct kx_broker *b, struct session *s, uint32_t pkts)
{
	b->granted_pkts += pkts;
	b->granted_pkts -= s->granted;
	b->shared_pkts += beyond_one(pkts);
	b->shared_pkts -= beyond_one(s->granted);
	s->granted = pkts;
}

static void extend_pkts(struct kx_broker *b, struct session *s)
{
	uint64_t next = s->rx.largest_pkt + 1;
	uint32_t left = s->limit_pkt > next ? (uint32_t)(s->limit_pkt - next) : 0;
	uint32_t target, pkts = left;

	set_granted(b, s, left);
	target = target_pkts(b, s);
	if (target <= left || (left == 0 && !one_more(b)))
		return;
	if (left == 0)
		set_granted(b, s, pkts = 1);
	pkts += KX_MIN(target - pkts, free_pkts(b));
	if (pkts == left)
		return;
	s->limit_pkt = next + pkts;
	set_granted(b, s, pkts);
}

/* ---- bytes */

static uint64_t unused(const struct session *s)
{
	return s->limit_bytes - s->used_bytes;
}

static uint64_t room_bytes(const struct kx_broker *b, const struct kx_partition *p)
{
	const struct kx_extent_pool *pool = &b->topics.pool;
	uint64_t room = kx_log_room_bytes(&p->log, p->batch_max_bytes);
	/* the extents of the quota may be elsewhere: in reassembly, or trimmed and not yet sent */
	uint64_t in_pool = (uint64_t)pool->free * (pool->extent_bytes - p->batch_max_bytes);

	if (kx_likely(room <= in_pool))
		return room;
	return in_pool + room % (pool->extent_bytes - p->batch_max_bytes);
}

static uint64_t unreserved(struct kx_broker *b, struct kx_partition *p)
{
	uint64_t taken = p->reserved_bytes + b->loose_bytes;
	uint64_t room;

	if (kx_partition_reclaim(&b->topics, p, taken + 2 * b->window_bytes))
		partition_touched(b, p);
	room = room_bytes(b, p);
	return room > taken ? room - taken : 0;
}

static void reserve(const struct session *s, uint64_t bytes)
{
	for (uint32_t i = 0; i < s->block_count; i++)
		s->blocks[i]->reserved_bytes += bytes;
}

static void not_loose(struct kx_broker *b, struct session *s)
{
	if (!s->loose)
		return;
	s->loose = false;
	b->loose_bytes -= unused(s);
}

/* The partition written to longest ago makes place; its batches join again. */
static uint32_t leave_one(struct session *s)
{
	uint32_t at = s->block_next++ % SESSION_BLOCKS;
	struct kx_partition *p = s->blocks[at];
	struct session_part *part = &s->parts[p->id & (SESSION_PARTS - 1)];

	p->reserved_bytes -= unused(s);
	if (part->partition == p->id)
		part->producer = KX_NONE;
	return at;
}

void credit_join(struct kx_broker *b, struct session *s, struct kx_partition *p)
{
	uint32_t at;

	not_loose(b, s);
	if (!p->block)
		return;
	for (uint32_t i = 0; i < s->block_count; i++)
		if (s->blocks[i] == p)
			return;
	at = s->block_count < SESSION_BLOCKS ? s->block_count++ : leave_one(s);
	s->blocks[at] = p;
	p->reserved_bytes += unused(s);
}

void credit_refund(struct session *s, uint64_t bytes)
{
	s->used_bytes -= bytes;
	reserve(s, bytes);
}

/* Every partition that blocks has this much room: what a session may have that could send to any of them. */
static uint64_t room_anywhere(struct kx_broker *b)
{
	uint64_t least = UINT64_MAX;

	if (b->block_parts > LOOSE_SCAN)
		return 0;
	for (uint32_t i = 0, seen = 0; i < b->topics.partition_count && seen < b->block_parts; i++) {
		if (!b->topics.partitions[i].block)
			continue;
		least = KX_MIN(least, unreserved(b, &b->topics.partitions[i]));
		seen++;
	}
	return least;
}

/* A first credit is small, for most sessions that never send anything are consumers; it is as much as there
 * is room for when the session says that data wait. */
static uint64_t loose_more(struct kx_broker *b, const struct session *s, uint64_t want)
{
	uint64_t datagram = b->config.datagram_max_bytes;
	uint64_t room = room_anywhere(b);
	uint64_t first = FIRST_BYTES - KX_MIN(unused(s), FIRST_BYTES);
	uint64_t more = s->asks ? room : b->loose_bytes < room ? KX_MIN(room / 16, first) : 0;

	more = KX_MIN(more, want);
	return unused(s) + more < datagram ? KX_MIN(want, datagram - unused(s)) : more;
}

/* What several wait for is divided. */
static uint64_t joined_more(struct kx_broker *b, const struct session *s, uint64_t want)
{
	uint64_t waiting = b->lists[LIST_WAIT].count;

	for (uint32_t i = 0; i < s->block_count && want > 0; i++) {
		uint64_t room = unreserved(b, s->blocks[i]);
		uint64_t part = KX_MAX(room / (waiting + 1), (uint64_t)b->config.datagram_max_bytes);

		want = KX_MIN(want, KX_MIN(room, part));
	}
	return want;
}

/* What there is room for now in every partition the session could send to, whoever was promised it. */
static uint64_t room_now(struct kx_broker *b, const struct session *s)
{
	uint64_t least = UINT64_MAX;

	for (uint32_t i = 0; i < s->block_count; i++) {
		(void)unreserved(b, s->blocks[i]); /* frees what is read */
		least = KX_MIN(least, room_bytes(b, s->blocks[i]));
	}
	for (uint32_t i = 0; s->loose && i < b->topics.partition_count && i < LOOSE_SCAN; i++)
		if (b->topics.partitions[i].block)
			least = KX_MIN(least, room_bytes(b, &b->topics.partitions[i]));
	return least;
}

static void extend_bytes(struct kx_broker *b, struct session *s)
{
	uint64_t window = quota_window(b, s);
	uint64_t want = window > unused(s) ? window - unused(s) : 0, more = want;

	if (kx_unlikely(s->loose))
		more = loose_more(b, s, more);
	else if (s->block_count > 0)
		more = joined_more(b, s, more);
	if (kx_unlikely(s->asks && more < want)) /* others keep what they do not use, and would for ever */
		more = KX_MAX(more, KX_MIN(want, room_now(b, s)));
	s->asks &= window == 0; /* in its turn, what it asks for is looked at */
	if (more == 0)
		return;
	reserve(s, more);
	if (s->loose)
		b->loose_bytes += more;
	s->limit_bytes += more;
	quota_gave(b, s, more);
}

void credit_asked(struct kx_broker *b, struct session *s, uint64_t settled_bytes)
{
	uint64_t settled = KX_MIN(settled_bytes, s->limit_bytes);

	s->asks = true;
	if (kx_likely(settled <= s->used_bytes))
		return;
	if (s->loose)
		b->loose_bytes -= settled - s->used_bytes;
	credit_used(s, settled - s->used_bytes);
}

void credit_exceeded(struct kx_broker *b, struct session *s, bool turn)
{
	s->asks |= turn;
	ack_due(b, s, true);
}

void credit_refused(
	struct kx_broker *b, struct session *s, struct kx_partition *p, uint32_t bytes, enum kx_blocked why)
{
	s->refused = (uint8_t)why;
	s->refused_part = p;
	s->refused_bytes = bytes;
	ack_due(b, s, true);
}

void credit_taken(struct session *s, const struct kx_partition *p)
{
	if (s->refused == KX_BLOCKED_MEMORY && s->refused_part == p)
		s->refused = KX_BLOCKED_NO;
}

/* Would it still be refused? */
static bool refused(struct kx_broker *b, struct session *s)
{
	bool still;

	if (s->refused == KX_BLOCKED_QUOTA) {
		still = !quota_admits(b, s, s->refused_part, s->refused_bytes);
	} else if (s->refused == KX_BLOCKED_MEMORY) {
		still = !frag_takes(b, s, s->refused_bytes);
	} else {
		(void)unreserved(b, s->refused_part); /* frees what is read */
		still = room_bytes(b, s->refused_part) < s->refused_bytes;
	}
	if (!still)
		s->refused = KX_BLOCKED_NO;
	return still;
}

static enum kx_blocked cause(struct kx_broker *b, struct session *s, bool quota)
{
	uint64_t least = KX_MAX((uint64_t)b->config.datagram_max_bytes, s->largest_batch);

	if (kx_unlikely(s->refused != KX_BLOCKED_NO) && refused(b, s))
		return (enum kx_blocked)s->refused;
	if (unused(s) < KX_MIN(least, b->window_bytes))
		return quota				 ? KX_BLOCKED_QUOTA
			: s->block_count > 0 || s->loose ? KX_BLOCKED_LOG
							 : KX_BLOCKED_NO;
	return s->granted == 0 && s->held == 0 ? KX_BLOCKED_MEMORY : KX_BLOCKED_NO;
}

void credit_extend(struct kx_broker *b, struct session *s)
{
	bool open = quota_open(b, s);

	extend_pkts(b, s);
	if (kx_likely(open))
		extend_bytes(b, s);
	s->blocked = cause(b, s, !open || b->now_ns < s->quota_large_ns);
	if (kx_unlikely(s->blocked != KX_BLOCKED_NO))
		list_add(b, LIST_WAIT, s);
	s->info.limit_pkt = s->limit_pkt;
	s->info.limit_bytes = s->limit_bytes;
	s->info.used_bytes = s->used_bytes;
	s->info.blocked = s->blocked;
}

void credit_open(struct kx_broker *b, struct session *s)
{
	s->loose = b->block_parts > 0;
	s->weighed_ns = b->now_ns;
	credit_extend(b, s);
}

void credit_release(struct kx_broker *b, struct session *s)
{
	not_loose(b, s);
	reserve(s, -unused(s));
	s->block_count = 0;
	set_granted(b, s, 0);
	set_weight(b, s, 0);
	list_remove(b, LIST_WAIT, s);
}

unsigned int credit_poll(struct kx_broker *b)
{
	uint32_t n = KX_MIN(b->lists[LIST_WAIT].count, WAITERS_PER_POLL);
	unsigned int work = 0;

	for (uint32_t i = 0; i < n; i++) {
		struct session *s = list_pop(b, LIST_WAIT);

		credit_extend(b, s);
		if (s->blocked == KX_BLOCKED_NO) {
			ack_due(b, s, true);
			work++;
		}
	}
	return work;
}

void kx_broker_credit(const struct kx_broker *b, struct kx_broker_credit *out)
{
	*out = (struct kx_broker_credit){.granted_pkts = b->granted_pkts,
		.buffer_pkts = KX_MAX(buffers(b), b->session_total),
		.shared_pkts = buffers(b),
		.held_frames = b->topics.held_used,
		.loose_bytes = b->loose_bytes};
	for (uint32_t i = 0; i < b->topics.partition_count; i++) {
		const struct kx_partition *p = &b->topics.partitions[i];
		uint64_t taken = p->reserved_bytes + b->loose_bytes;
		uint64_t room = p->block ? room_bytes(b, p) : UINT64_MAX;

		if (p->block && taken > room)
			out->beyond_room_bytes = KX_MAX(out->beyond_room_bytes, taken - room);
	}
}
