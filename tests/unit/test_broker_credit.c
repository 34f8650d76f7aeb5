/* SPDX-License-Identifier: BSD-3-Clause */
/* Credit of producers: never more than the buffers behind it, whatever the clients do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "broker_rig.h"

#define SESSIONS 200
#define BUFFERS	 1024 /* of the rig */

static const char small_ini[] = "[lcores]\ndata = 1\n"
				"[memory]\nlog_bytes = 16M\nextent_bytes = 64K\nreorder_frames = 512\n"
				"[sessions]\nmax = 256\nwindow_bytes = 64K\n"
				"[port net_memif0]\naddress = 10.0.0.254/24\n"
				"[topic trim]\npartitions = 20\nlog_bytes = 256K\nmax_message_bytes = 16K\n"
				"[topic block]\npartitions = 20\noverrun = block\nlog_bytes = 256K\n"
				"max_message_bytes = 16K\n";
#define P_BLOCK 20

static void check(struct rig *r)
{
	struct kx_broker_credit c;

	kx_broker_credit(r->broker, &c);
	assert_true(c.granted_pkts <= c.buffer_pkts);
	assert_true(c.granted_pkts + c.held_frames <= KX_MAX(c.shared_pkts, 256u) + c.held_frames);
	assert_int_equal(c.shared_pkts, 512); /* places for what is out of order are fewer than buffers */
}

static uint64_t beyond_room(struct rig *r)
{
	struct kx_broker_credit c;

	kx_broker_credit(r->broker, &c);
	return c.beyond_room_bytes;
}

/* What the last receipt to a session said. */
static void learn(struct rig *r, struct rig_session *s, unsigned int n)
{
	for (unsigned int i = 0; i < r->sent_count; i++) {
		const struct kx_frame_hdr *h = (const struct kx_frame_hdr *)r->sent[i].data;
		const struct kx_receipt *rec = rig_body(h);

		if (h->type != KX_COMMIT_ACK && h->type != KX_RX_ACK)
			continue;
		for (unsigned int k = 0; k < n; k++) {
			if (s[k].conn_id != h->conn_id)
				continue;
			s[k].limit_pkt = KX_MAX(s[k].limit_pkt, rec->limit_pkt);
			s[k].limit_bytes = KX_MAX(s[k].limit_bytes, rec->limit_bytes);
			s[k].blocked = rec->blocked;
		}
	}
}

static bool may_send(const struct rig_session *s, uint32_t bytes)
{
	return s->next_pkt < s->limit_pkt && s->used_bytes + bytes <= s->limit_bytes;
}

static void connect_all(struct rig *r, struct rig_session *s, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		s[i] = rig_connect(r, (uint8_t)(1 + i % 250), (uint16_t)(5000 + i));
		check(r);
	}
}

#define BATCH_BYTES(records) (72u + 72u * (records))

/* All start at once and send all they may, every turn; nobody is told more than there is. */
static void test_many_sessions_starting_at_once(void **state)
{
	struct rig *r = rig_new(small_ini, 0, 1);
	static struct rig_session s[SESSIONS];
	uint64_t seq[SESSIONS] = {0}, sent = 0;

	(void)state;
	connect_all(r, s, SESSIONS);
	for (int turn = 0; turn < 200; turn++) {
		uint64_t due = 0;

		for (int i = 0; i < SESSIONS; i++) {
			due += s[i].limit_pkt > s[i].next_pkt ? s[i].limit_pkt - s[i].next_pkt : 0;
		}
		assert_true(due <= 512);
		for (int i = 0; i < SESSIONS; i++) {
			while (may_send(&s[i], BATCH_BYTES(4))) {
				assert_int_equal(
					rig_produce(&s[i], 0, (uint32_t)i % 20, seq[i], 4, 0), KX_DROP_NONE);
				seq[i] += 4;
				sent++;
				s[i].used_bytes += BATCH_BYTES(4);
			}
		}
		rig_turn(r, 20000);
		learn(r, s, SESSIONS);
		rig_forget(r);
		check(r);
	}
	for (int i = 0; i < SESSIONS; i++)
		assert_true(seq[i] >= 200); /* each is good for a datagram */
	assert_true(sent >= 200 * SESSIONS);
	rig_free(r);
}

/* One that produces gets what others leave; one that comes later is not starved by those that rest. */
static void test_recent_use_decides(void **state)
{
	struct rig *r = rig_new(small_ini, 0, 1);
	static struct rig_session s[10];
	uint64_t seq[10] = {0}, alone = 0, beside[2] = {0};

	(void)state;
	connect_all(r, s, 10);
	for (int turn = 0; turn < 3000; turn++) {
		int last = turn < 1000 ? 0 : 1;

		for (int i = 0; i <= last; i++) {
			uint64_t n = 0;

			while (may_send(&s[i], BATCH_BYTES(1))) {
				assert_int_equal(
					rig_produce(&s[i], 0, (uint32_t)i, seq[i], 1, 0), KX_DROP_NONE);
				seq[i]++;
				s[i].used_bytes += BATCH_BYTES(1);
				n++;
			}
			if (turn == 999)
				alone = n;
			if (turn == 2999)
				beside[i] = n;
		}
		rig_turn(r, 100000);
		learn(r, s, 10);
		rig_forget(r);
		check(r);
	}
	assert_true(alone > 300);
	assert_true(beside[0] > 100 && beside[1] > 100);
	rig_free(r);
}

/* Sessions that never wrote, and such as write to one partition: credit has its room; a batch within it is
 * never dropped. */
static void test_byte_credit_has_its_room(void **state)
{
	struct rig *r = rig_new(small_ini, 0, 1);
	static struct rig_session s[60];
	uint64_t seq[60] = {0}, stored = 0;

	(void)state;
	connect_all(r, s, 60);
	assert_int_equal(beyond_room(r), 0);
	for (int turn = 0; turn < 300; turn++) {
		for (int i = 0; i < 60; i++) {
			while (may_send(&s[i], BATCH_BYTES(10))) {
				assert_int_equal(
					rig_produce(&s[i], 0, P_BLOCK + (uint32_t)i % 3, seq[i], 10, 0),
					KX_DROP_NONE);
				seq[i] += 10;
				s[i].used_bytes += BATCH_BYTES(10);
				stored += BATCH_BYTES(10);
			}
		}
		rig_turn(r, 20000);
		learn(r, s, 60);
		rig_forget(r);
		check(r);
		assert_int_equal(beyond_room(r), 0);
	}
	/* nobody reads: three logs are full, and everybody knows why */
	for (int i = 0; i < 60; i++)
		assert_int_equal(s[i].blocked, KX_BLOCKED_LOG);
	assert_int_equal(r->ledger.drop[KX_DROP_LOG_FULL], 0);
	assert_int_equal(r->ledger.drop[KX_DROP_CREDIT_EXCEEDED], 0);
	assert_true(stored > 3 * 200000);
	rig_free(r);
}

/* More blocking partitions than a session can hold credit for at once: what is beyond the room is no more
 * than one window, comes from going on to a further partition, and nothing is lost. */
static void test_many_blocking_partitions(void **state)
{
	struct rig *r = rig_new(small_ini, 0, 1);
	struct rig_session s = rig_connect(r, 1, 5000);
	uint64_t seq[20] = {0}, window = 64 << 10;

	(void)state;
	for (int turn = 0; turn < 2000; turn++) {
		uint32_t p = (uint32_t)turn % 20;

		if (may_send(&s, BATCH_BYTES(10))) {
			enum kx_drop drop = rig_produce(&s, 0, P_BLOCK + p, seq[p], 10, 0);

			if (drop == KX_DROP_LOG_FULL)
				break; /* not acknowledged: it would come again */
			assert_int_equal(drop, KX_DROP_NONE);
			s.used_bytes += BATCH_BYTES(10);
			seq[p] += 10;
		}
		rig_turn(r, 20000);
		learn(r, &s, 1);
		rig_forget(r);
		assert_true(beyond_room(r) <= window);
	}
	rig_free(r);
}

/* Its consumer takes what has come and has done with it. */
static void read_some(struct rig *r, struct rig_session *s)
{
	uint64_t done = kx_broker_counters(r->broker)->messages_out, top = 0;
	struct {
		struct kx_receipt r;
		struct kx_credit_entry e;
	} body = {.r = {.entry_count = 1},
		.e = {.sub_id = 1, .next_offset = done, .limit_bytes = 1 << 20, .done_offset = done}};

	for (unsigned int i = 0; i < r->sent_count; i++)
		top = KX_MAX(top, ((const struct kx_frame_hdr *)r->sent[i].data)->pkt_no);
	body.r.largest_pkt = top;
	body.r.next_pkt = top + 1;
	rig_forget(r);
	assert_int_equal(rig_send(s, KX_CREDIT, &body, sizeof(body)), KX_DROP_NONE);
	for (int i = 0; i < 4; i++)
		rig_turn(r, 20000);
	learn(r, s, 1);
}

/* The burst that fills a log is answered, in the same turn, by a limit that stands still and the cause. */
static void test_a_full_log_stops_the_limit_in_the_same_burst(void **state)
{
	struct rig *r = rig_new(small_ini, 0, 1);
	struct rig_session s = rig_connect(r, 1, 5000);
	const struct kx_receipt *rec = NULL;
	uint64_t seq = 0, limit = 0;

	(void)state;
	rig_subscribe(&s, P_BLOCK, 1, 0, 0); /* reads nothing */
	for (int turn = 0; turn < 1000; turn++) {
		if (!may_send(&s, BATCH_BYTES(17)))
			break;
		while (may_send(&s, BATCH_BYTES(17))) {
			assert_int_equal(rig_produce(&s, 0, P_BLOCK, seq, 17, 0), KX_DROP_NONE);
			seq += 17;
			s.used_bytes += BATCH_BYTES(17);
		}
		limit = s.limit_bytes;
		rig_turn(r, 20000);
		learn(r, &s, 1);
		rec = rig_body(rig_find(r, KX_COMMIT_ACK, 0));
		if (s.limit_bytes - s.used_bytes >= BATCH_BYTES(17))
			rig_forget(r);
	}
	assert_non_null(rec);
	assert_int_equal(rec->blocked, KX_BLOCKED_LOG);
	assert_true(rec->limit_bytes >= limit && rec->limit_bytes - s.used_bytes < KX_DATAGRAM_DEFAULT_V4);
	/* room comes back: told without being asked */
	for (int i = 0; i < 5000 && kx_broker_counters(r->broker)->messages_out < seq; i++)
		read_some(r, &s);
	read_some(r, &s);
	rig_forget(r);
	for (int i = 0; i < 4; i++)
		rig_turn(r, 20000);
	learn(r, &s, 1);
	assert_int_equal(s.blocked, KX_BLOCKED_NO);
	assert_true(may_send(&s, BATCH_BYTES(17)));
	rig_free(r);
}

/* A client that sends ten times what it may: it alone loses frames, by name. */
static void test_a_hostile_producer_harms_itself(void **state)
{
	struct rig *r = rig_new(small_ini, 0, 1);
	static struct rig_session s[2];
	uint64_t seq[2] = {0}, refused = 0, reordered = 0;

	(void)state;
	connect_all(r, s, 2);
	for (int turn = 0; turn < 300; turn++) {
		for (int i = 0; i < 60; i++) { /* no regard for credit; with holes, to fill the places */
			enum kx_drop drop = rig_produce(&s[1], 0, P_BLOCK + 1, seq[1] + 10, 10, 0);

			seq[1] += i % 7 == 0 ? 20 : 10;
			refused += drop != KX_DROP_NONE;
		}
		while (may_send(&s[0], BATCH_BYTES(10)) && s[0].next_pkt % 50 != 0) {
			assert_int_equal(rig_produce(&s[0], 0, 0, seq[0], 10, 0), KX_DROP_NONE);
			seq[0] += 10;
			s[0].used_bytes += BATCH_BYTES(10);
		}
		/* and one out of order: there is a place for it */
		if (may_send(&s[0], 2 * BATCH_BYTES(1))) {
			uint64_t pkt_no = s[0].next_pkt;

			assert_int_equal(rig_produce(&s[0], pkt_no + 1, 0, seq[0] + 1, 1, 0), KX_DROP_NONE);
			assert_int_equal(rig_produce(&s[0], pkt_no, 0, seq[0], 1, 0), KX_DROP_NONE);
			seq[0] += 2;
			s[0].used_bytes += 2 * BATCH_BYTES(1);
			reordered++;
		}
		s[0].floor_pkt = s[0].next_pkt;
		rig_turn(r, 20000);
		learn(r, s, 2);
		rig_forget(r);
		check(r);
	}
	assert_true(refused > 1000);
	assert_true(seq[0] > 300 * 40 && reordered > 200);
	assert_int_equal(r->offsets[0].next_offset, seq[0]);
	rig_free(r);
}

static const char quota_ini[] = "[lcores]\ndata = 1\n"
				"[memory]\nlog_bytes = 16M\nextent_bytes = 64K\n"
				"[port net_memif0]\naddress = 10.0.0.254/24\n"
				"[topic slow]\npartitions = 4\nmessages_per_s = 10000\n";

/* Three sessions that send all they may for 20 s: the topic's rate within 1 %, and nothing is dropped. */
static void test_a_quota_is_kept(void **state)
{
	struct rig *r = rig_new(quota_ini, 0, 1);
	static struct rig_session s[3];
	uint64_t seq[3] = {0}, stored = 0;
	bool throttled = false;

	(void)state;
	for (uint8_t i = 0; i < 3; i++)
		s[i] = rig_connect(r, (uint8_t)(1 + i), 5000);
	for (int turn = 0; turn < 40000; turn++) {
		for (uint32_t i = 0; i < 3; i++) {
			while (may_send(&s[i], BATCH_BYTES(4))) {
				assert_int_equal(rig_produce(&s[i], 0, i, seq[i], 4, 0), KX_DROP_NONE);
				seq[i] += 4;
				stored += 4;
				s[i].used_bytes += BATCH_BYTES(4);
			}
			throttled |= s[i].blocked == KX_BLOCKED_QUOTA;
		}
		rig_turn(r, 500000);
		learn(r, s, 3);
		rig_forget(r);
	}
	assert_true(throttled);
	/* besides the savings of 100 ms at the start and the first credit */
	assert_in_range(stored, 198000, 202000 + 1000 + 2000);
	rig_free(r);
}

static const char large_ini[] = "[lcores]\ndata = 1\n"
				"[memory]\nlog_bytes = 16M\nextent_bytes = 64K\nreorder_frames = 512\n"
				"[sessions]\nmax = 256\nwindow_bytes = 64K\n"
				"[port net_memif0]\naddress = 10.0.0.254/24\n"
				"[topic block]\npartitions = 1\noverrun = block\nlog_bytes = 384K\n"
				"max_message_bytes = 128K\n";

/* Sessions that rest on their windows do not keep another from a message that is larger than what they leave.
 */
static void test_credit_that_rests_keeps_nobody_out(void **state)
{
	struct rig *r = rig_new(large_ini, 0, 1);
	struct rig_session s[6];
	struct kx_receipt body = {.next_pkt = 1};

	(void)state;
	connect_all(r, s, 6);
	for (unsigned int i = 0; i < 5; i++)
		for (uint64_t k = 0; k < 4; k++) {
			assert_int_equal(rig_produce(&s[i], 0, 0, k, 1, 0), KX_DROP_NONE);
			rig_turn(r, 1000);
		}
	rig_forget(r);
	assert_int_equal(rig_send(&s[5], KX_HEARTBEAT, &body, sizeof(body)), KX_DROP_NONE);
	rig_turn(r, 1000);
	learn(r, s, 6);
	assert_true(s[5].limit_bytes < 128u << 10);
	s[5].flags = KX_FLAG_MORE;
	assert_int_equal(rig_send(&s[5], KX_HEARTBEAT, &body, sizeof(body)), KX_DROP_NONE);
	rig_turn(r, 1000);
	learn(r, s, 6);
	assert_true(s[5].limit_bytes >= (128u << 10) + 88);
	rig_free(r);
}

/* A client may have counted less than we have: what was refused is charged again when it comes again. It
 * knows nothing of that and does not ask; its frame does, as long as there is room. */
static void test_a_frame_beyond_the_credit_asks(void **state)
{
	struct rig *r = rig_new(large_ini, 0, 1);
	struct rig_session s[6];
	enum kx_drop drop = KX_DROP_NONE;

	(void)state;
	connect_all(r, s, 6);
	for (unsigned int i = 0; i < 6; i++)
		for (uint64_t k = 0; k < 4; k++) {
			assert_int_equal(rig_produce(&s[i], 0, 0, k, 1, 0), KX_DROP_NONE);
			rig_turn(r, 1000);
		}
	for (int i = 0; i < 5000 && drop != KX_DROP_CREDIT_EXCEEDED; i++) {
		assert_int_equal(rig_produce(&s[5], 0, 9, 0, 20, 0), KX_DROP_PARTITION_UNKNOWN);
		rig_turn(r, 1000);
		rig_forget(r);
		drop = rig_produce(&s[5], 0, 0, 5 + (uint64_t)i, 1, 0); /* held while there is credit */
	}
	assert_int_equal(drop, KX_DROP_CREDIT_EXCEEDED);
	rig_turn(r, 1000);
	assert_int_equal(rig_produce(&s[5], 0, 0, 4, 1, 0), KX_DROP_CREDIT_EXCEEDED); /* in turn: it asks */
	rig_turn(r, 1000);
	assert_int_equal(rig_produce(&s[5], 0, 0, 4, 1, 0), KX_DROP_NONE);
	rig_free(r);
}

/* Two data lcores with one struct of meters, two clients on each that send all they may for 20 s: the topic's
 * rate within 1 %, of all together, and nothing is dropped. */
static void test_a_quota_of_two_lcores(void **state)
{
	struct rig *r[2];
	static struct rig_session s[4];
	uint64_t seq[4] = {0}, stored = 0;

	(void)state;
	r[0] = rig_new(quota_ini, 0, 2);
	r[1] = rig_new_peer(r[0], 1, 2);
	for (uint8_t i = 0; i < 4; i++)
		s[i] = rig_connect(r[i % 2], (uint8_t)(1 + i), 5000);
	for (int turn = 0; turn < 40000; turn++) {
		/* one lcore's clients send more at times, and nothing at others */
		for (uint32_t i = 0; i < 4; i++) {
			while (may_send(&s[i], BATCH_BYTES(4)) && (i % 2 == 0 || turn % 8000 < 6000)) {
				assert_int_equal(rig_produce(&s[i], 0, i, seq[i], 4, 0), KX_DROP_NONE);
				seq[i] += 4;
				stored += 4;
				s[i].used_bytes += BATCH_BYTES(4);
			}
		}
		for (int k = 0; k < 2; k++) {
			rig_turn(r[k], 500000);
			learn(r[k], s, 4);
			rig_forget(r[k]);
		}
	}
	/* besides the savings of 100 ms at the start and the first credit */
	assert_in_range(stored, 198000, 202000 + 1000 + 2000);
	assert_true(seq[1] > 20000 && seq[0] > 20000);
	for (int k = 0; k < 2; k++)
		for (int i = 0; i < KX_DROP_COUNT; i++)
			assert_int_equal(r[k]->ledger.drop[i], 0);
	rig_free(r[1]);
	rig_free(r[0]);
}

/* The producer is blocked, room comes, and every receipt that says so is lost: its probe is answered with
 * what it may send. Before there is room, with the cause. */
static void test_lost_receipts_and_a_blocked_producer(void **state)
{
	struct rig *r = rig_new(small_ini, 0, 1);
	struct rig_session s = rig_connect(r, 1, 5000);
	struct kx_receipt probe = {.next_pkt = 1};
	uint64_t seq = 0, limit;

	(void)state;
	rig_subscribe(&s, P_BLOCK, 1, 0, 0);
	for (int turn = 0; turn < 1000 && s.blocked != KX_BLOCKED_LOG; turn++) {
		while (may_send(&s, BATCH_BYTES(17))) {
			assert_int_equal(rig_produce(&s, 0, P_BLOCK, seq, 17, 0), KX_DROP_NONE);
			seq += 17;
			s.used_bytes += BATCH_BYTES(17);
		}
		rig_turn(r, 20000);
		learn(r, &s, 1);
		rig_forget(r);
	}
	assert_int_equal(s.blocked, KX_BLOCKED_LOG);
	s.flags = KX_FLAG_MORE;
	for (int i = 0; i < 10; i++) {
		assert_int_equal(rig_send(&s, KX_HEARTBEAT, &probe, sizeof(probe)), KX_DROP_NONE);
		rig_turn(r, 20000);
		assert_true(rig_count(r, KX_RX_ACK) >= 1);
		learn(r, &s, 1);
		rig_forget(r);
		if (i < 5 && may_send(&s, BATCH_BYTES(17))) { /* what is left is told */
			assert_int_equal(rig_produce(&s, 0, P_BLOCK, seq, 17, 0), KX_DROP_NONE);
			seq += 17;
			s.used_bytes += BATCH_BYTES(17);
			continue;
		}
		assert_int_equal(s.blocked, KX_BLOCKED_LOG);
		assert_false(may_send(&s, BATCH_BYTES(17)));
	}
	limit = s.limit_bytes;
	/* the consumer takes it all; what the broker tells the producer meanwhile is lost */
	s.flags = 0;
	for (int i = 0; i < 5000 && kx_broker_counters(r->broker)->messages_out < seq; i++) {
		read_some(r, &s);
		s.limit_bytes = limit;
		s.blocked = KX_BLOCKED_LOG;
	}
	read_some(r, &s);
	s.limit_bytes = limit;
	rig_forget(r);
	for (int i = 0; i < 100; i++) { /* told once, not again and again */
		rig_turn(r, 20000);
		assert_int_equal(rig_count(r, KX_RX_ACK), 0);
		rig_forget(r);
	}
	s.flags = KX_FLAG_MORE;
	assert_int_equal(rig_send(&s, KX_HEARTBEAT, &probe, sizeof(probe)), KX_DROP_NONE);
	rig_turn(r, 20000);
	learn(r, &s, 1);
	rig_forget(r);
	assert_int_equal(s.blocked, KX_BLOCKED_NO);
	assert_true(may_send(&s, BATCH_BYTES(17)));
	assert_int_equal(rig_produce(&s, 0, P_BLOCK, seq, 17, 0), KX_DROP_NONE);
	rig_free(r);
}

static uint64_t ask(struct rig *r, struct rig_session *s, uint64_t settled_bytes)
{
	struct kx_receipt probe = {.next_pkt = 1, .limit_bytes = settled_bytes};

	s->flags = KX_FLAG_MORE;
	for (int i = 0; i < 3; i++) { /* until it gets no more */
		assert_int_equal(rig_send(s, KX_HEARTBEAT, &probe, sizeof(probe)), KX_DROP_NONE);
		rig_turn(r, 20000);
		learn(r, s, 1);
		rig_forget(r);
	}
	s->flags = 0;
	return s->limit_bytes;
}

/* What a client has sent and given up never came: its credit is used all the same. Nobody gains by that. */
static void test_bytes_given_up_count_as_sent(void **state)
{
	(void)state;
	for (int produces = 0; produces < 2; produces++) {
		struct rig *r = rig_new(small_ini, 0, 1);
		struct rig_session s = rig_connect(r, 1, 5000);
		const struct kx_receipt most = {.next_pkt = 1, .limit_bytes = UINT64_MAX};
		uint64_t first, seq, used = 0;

		if (produces) {
			assert_int_equal(rig_produce(&s, 0, P_BLOCK, 0, 17, 0), KX_DROP_NONE);
			used = BATCH_BYTES(17);
		}
		first = ask(r, &s, 0);
		assert_int_equal(ask(r, &s, used), first);
		assert_int_equal(ask(r, &s, used + 5000), first + 5000);
		assert_int_equal(ask(r, &s, used), first + 5000); /* an older one that came late */
		assert_int_equal(ask(r, &s, used + 6000), first + 6000);
		/* more than it has been granted cannot be: no more than that, each time */
		s.flags = KX_FLAG_MORE;
		assert_int_equal(rig_send(&s, KX_HEARTBEAT, &most, sizeof(most)), KX_DROP_NONE);
		s.flags = 0;
		seq = produces ? 17 : 0;
		assert_int_equal(rig_produce(&s, 0, P_BLOCK, seq, 1, 0), KX_DROP_CREDIT_EXCEEDED);
		rig_turn(r, 20000);
		learn(r, &s, 1);
		assert_in_range(s.limit_bytes, first + 6000 + 1, 2 * (first + 6000));
		assert_int_equal(beyond_room(r), 0);
		check(r);
		assert_int_equal(rig_produce(&s, 0, P_BLOCK, seq, 1, 0), KX_DROP_NONE);
		rig_free(r);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_many_sessions_starting_at_once),
		cmocka_unit_test(test_recent_use_decides),
		cmocka_unit_test(test_byte_credit_has_its_room),
		cmocka_unit_test(test_many_blocking_partitions),
		cmocka_unit_test(test_a_full_log_stops_the_limit_in_the_same_burst),
		cmocka_unit_test(test_a_hostile_producer_harms_itself),
		cmocka_unit_test(test_a_quota_is_kept),
		cmocka_unit_test(test_a_frame_beyond_the_credit_asks),
		cmocka_unit_test(test_a_quota_of_two_lcores),
		cmocka_unit_test(test_lost_receipts_and_a_blocked_producer),
		cmocka_unit_test(test_credit_that_rests_keeps_nobody_out),
		cmocka_unit_test(test_bytes_given_up_count_as_sent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
