/* SPDX-License-Identifier: BSD-3-Clause */
/* Quotas at a broker: of many topics, against sessions that come again and again, and ask for more. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "broker_rig.h"

#define BATCH_BYTES(records) (72u + 72u * (records)) /* of rig_produce() */

/* What the last receipt to a session said. */
static void learn(struct rig *r, struct rig_session *s)
{
	for (unsigned int i = 0; i < r->sent_count; i++) {
		const struct kx_frame_hdr *h = (const struct kx_frame_hdr *)r->sent[i].data;
		const struct kx_receipt *rec = rig_body(h);

		if ((h->type != KX_COMMIT_ACK && h->type != KX_RX_ACK) || h->conn_id != s->conn_id)
			continue;
		s->limit_pkt = KX_MAX(s->limit_pkt, rec->limit_pkt);
		s->limit_bytes = KX_MAX(s->limit_bytes, rec->limit_bytes);
		s->blocked = rec->blocked;
	}
}

/* ---- topics */

#define TOPICS 130

/* Topic 0 is far in debt. None of the others that are limited, those 64 and 128 further on among them, lets
 * its producers wait for that. */
static void test_topics_do_not_throttle_each_other(void **state)
{
	static char ini[16384];
	size_t n = (size_t)snprintf(ini, sizeof(ini),
		"[lcores]\ndata = 1\n[memory]\nlog_bytes = 256M\nextent_bytes = 64K\n"
		"[sessions]\nwindow_bytes = 64K\n"
		"[port net_memif0]\naddress = 10.0.0.254/24\n");
	struct rig_session s[TOPICS];
	struct rig *r;

	(void)state;
	for (uint32_t i = 0; i < TOPICS; i++)
		n += (size_t)snprintf(ini + n, sizeof(ini) - n,
			"[topic t%u]\npartitions = 1\nlog_bytes = 256K\nmax_message_bytes = 16K\n"
			"messages_per_s = %u\n",
			i, i == 0 ? 100 : 100000);
	r = rig_new(ini, 0, 1);
	for (uint32_t i = 0; i < TOPICS; i++)
		s[i] = rig_connect(r, (uint8_t)(1 + i % 250), (uint16_t)(5000 + i));
	assert_int_equal(rig_produce(&s[0], 0, 0, 0, 12, 0), KX_DROP_NONE); /* the savings are 10 messages */
	rig_turn(r, 1000);
	learn(r, &s[0]);
	assert_int_equal(s[0].blocked, KX_BLOCKED_QUOTA);
	for (uint32_t i = 1; i < TOPICS; i++) {
		rig_forget(r);
		assert_int_equal(rig_produce(&s[i], 0, i, 0, 1, 0), KX_DROP_NONE);
		rig_turn(r, 1000);
		learn(r, &s[i]);
		assert_int_equal(s[i].blocked, KX_BLOCKED_NO);
	}
	rig_free(r);
}

/* ---- sessions that come again */

static const char slow_ini[] = "[lcores]\ndata = 1\n"
			       "[memory]\nlog_bytes = 64M\nextent_bytes = 64K\n"
			       "[sessions]\nwindow_bytes = 1M\nmax_producers = 65536\n"
			       "[port net_memif0]\naddress = 10.0.0.254/24\n"
			       "[topic slow]\npartitions = 2\nlog_bytes = 8M\nmax_message_bytes = 16K\n"
			       "messages_per_s = 10000\n"
			       "[topic free]\npartitions = 1\nlog_bytes = 8M\nmax_message_bytes = 16K\n";
#define P_FREE 2

static bool may_send(const struct rig_session *s)
{
	return s->next_pkt < s->limit_pkt && s->used_bytes + BATCH_BYTES(4) <= s->limit_bytes;
}

/* All it may. What was taken. */
static uint64_t send_all(struct rig_session *s, uint32_t partition, uint64_t *seq)
{
	uint64_t taken = 0;

	while (may_send(s)) {
		if (rig_produce(s, 0, partition, *seq, 4, 0) != KX_DROP_NONE) {
			s->floor_pkt = s->next_pkt; /* it will be sent under another number */
			break;
		}
		s->used_bytes += BATCH_BYTES(4);
		*seq += 4;
		taken += 4;
	}
	return taken;
}

static void leave(struct rig_session *s)
{
	struct kx_close close = {.code = KX_CODE_OK};

	(void)rig_send(s, KX_CLOSE, &close, sizeof(close));
}

/* One session keeps to its credit for 10 s. Meanwhile sessions come, get credit by a message to a topic
 * without a limit (or not), send all they may to the limited one, and go. */
static void newcomers(bool by_the_free_topic)
{
	struct rig *r = rig_new(slow_ini, 0, 1);
	struct rig_session honest = rig_connect(r, 1, 5000), other;
	uint64_t seq = 0, others_seq, taken = 0, others = 0;

	for (int turn = 0; turn < 5000; turn++) {
		other = rig_connect(r, 2, (uint16_t)(6000 + turn));
		if (by_the_free_topic) {
			assert_int_equal(rig_produce(&other, 0, P_FREE, 0, 1, 0), KX_DROP_NONE);
			other.used_bytes += BATCH_BYTES(1);
		}
		rig_turn(r, 1000000);
		learn(r, &honest);
		learn(r, &other);
		rig_forget(r);
		others_seq = 0;
		others += send_all(&other, 1, &others_seq);
		taken += send_all(&honest, 0, &seq);
		leave(&other);
		rig_turn(r, 1000000);
		learn(r, &honest);
		rig_forget(r);
	}
	print_message("kept its session: %lu messages; came again: %lu\n", (unsigned long)taken,
		(unsigned long)others);
	assert_in_range(taken + others, 98000, 104000); /* with the savings, and what is in debt at the end */
	assert_true(taken > 30000);
	if (by_the_free_topic)
		assert_true(r->ledger.drop[KX_DROP_QUOTA_DEBT] > 0);
	rig_free(r);
}

static void test_new_sessions_gain_nothing(void **state)
{
	(void)state;
	newcomers(false);
	newcomers(true);
}

/* A session that writes to many partitions besides: what it is given ahead of the limited topic stays small.
 */
static void test_many_partitions_forget_no_quota(void **state)
{
	static const char ini[] = "[lcores]\ndata = 1\n"
				  "[memory]\nlog_bytes = 64M\nextent_bytes = 64K\n"
				  "[sessions]\nwindow_bytes = 1M\n"
				  "[port net_memif0]\naddress = 10.0.0.254/24\n"
				  "[topic slow]\npartitions = 1\nlog_bytes = 1M\nmax_message_bytes = 16K\n"
				  "bytes_per_s = 100K\n"
				  "[topic free]\npartitions = 40\nlog_bytes = 1M\nmax_message_bytes = 16K\n";
	struct rig *r = rig_new(ini, 0, 1);
	struct rig_session s = rig_connect(r, 1, 5000);

	(void)state;
	assert_int_equal(rig_produce(&s, 0, 0, 0, 1, 0), KX_DROP_NONE);
	s.used_bytes += BATCH_BYTES(1);
	for (uint32_t p = 1; p <= 40; p++) {
		rig_turn(r, 1000000);
		learn(r, &s);
		rig_forget(r);
		assert_true(s.limit_bytes - s.used_bytes <= 2048);
		assert_int_equal(rig_produce(&s, 0, p, 0, 1, 0), KX_DROP_NONE);
		s.used_bytes += BATCH_BYTES(1);
	}
	rig_free(r);
}

/* A client whose heartbeats say all the time that data wait, against one whose do not. */
static void test_asking_gains_little(void **state)
{
	struct rig *r = rig_new(slow_ini, 0, 1);
	struct rig_session s[2] = {rig_connect(r, 1, 5000), rig_connect(r, 2, 5000)};
	uint64_t seq[2] = {0}, taken[2] = {0};
	struct kx_receipt body = {.next_pkt = 1};

	(void)state;
	s[1].flags = KX_FLAG_MORE;
	for (int turn = 0; turn < 10000; turn++) {
		for (uint32_t i = 0; i < 2; i++)
			taken[i] += send_all(&s[i], i, &seq[i]);
		assert_int_equal(rig_send(&s[1], KX_HEARTBEAT, &body, sizeof(body)), KX_DROP_NONE);
		rig_turn(r, 1000000);
		learn(r, &s[0]);
		learn(r, &s[1]);
		rig_forget(r);
	}
	print_message(
		"does not ask: %lu messages; asks: %lu\n", (unsigned long)taken[0], (unsigned long)taken[1]);
	assert_true(taken[0] > 15000);
	assert_true(taken[0] + taken[1] < 120000);
	rig_free(r);
}

/* ---- one after another, each with one message */

#define ONE_RECORDS 14
#define ONE_BYTES   BATCH_BYTES(ONE_RECORDS)
#define ONE_PAID    (ONE_BYTES - (uint32_t)KX_BATCH_HDR_BYTES)
#define TICK_NS	    UINT64_C(10000000)

static const char topic_ini[] = "[lcores]\ndata = 1\n[memory]\nlog_bytes = 16M\nextent_bytes = 64K\n"
				"[sessions]\nmax_producers = 65536\n"
				"[port net_memif0]\naddress = 10.0.0.254/24\n"
				"[topic tiny]\npartitions = 2\nlog_bytes = 1M\nmax_message_bytes = 16K\n"
				"bytes_per_s = 1K\n";
static const char principal_ini[] = "[lcores]\ndata = 1\n[memory]\nlog_bytes = 16M\nextent_bytes = 64K\n"
				    "[sessions]\nmax_producers = 65536\n"
				    "[port net_memif0]\naddress = 10.0.0.254/24\n"
				    "[topic tiny]\npartitions = 2\nlog_bytes = 1M\nmax_message_bytes = 16K\n"
				    "[principal anonymous]\nproduce = *\nconsume = *\nbytes_per_s = 1K\n";

/* A client of one message: it sends it when it has the credit, and again until it is stored. */
struct one {
	struct rig_session s;
	bool told; /* that a quota holds it back */
};

static void one_begin(struct rig *r, struct one *o, uint16_t *port)
{
	*o = (struct one){.s = rig_connect(r, (uint8_t)(2 + *port % 250), *port)};
	++*port;
}

/* Is it stored? */
static bool one_try(struct one *o, uint32_t partition)
{
	const struct kx_receipt more = {.next_pkt = 1};

	if (ONE_BYTES > o->s.limit_bytes) { /* it asks */
		o->s.flags = KX_FLAG_MORE;
		assert_int_equal(rig_send(&o->s, KX_HEARTBEAT, &more, sizeof(more)), KX_DROP_NONE);
		o->s.flags = 0;
		return false;
	}
	if (rig_produce(&o->s, 0, partition, 0, ONE_RECORDS, 0) == KX_DROP_NONE)
		return true;
	o->s.floor_pkt = o->s.next_pkt;
	return false;
}

/* `parallel` loops of such clients for `seconds`, beside a session that stays (or not). The stored bytes of
 * all are at most rate x time + what a quota saves up + one message of each that waits at the same time. */
static void loops(const char *ini, uint32_t parallel, bool staying, uint32_t seconds)
{
	struct rig *r = rig_new(ini, 0, 1);
	struct rig_session stays = rig_connect(r, 1, 4000);
	uint64_t stored = 0, stayed = 0, seq = 0, told = 0, most;
	struct one o[8];
	uint16_t port = 5000;

	for (uint32_t i = 0; i < parallel; i++)
		one_begin(r, &o[i], &port);
	for (uint64_t ns = 0; ns < seconds * KX_NS_PER_S; ns += TICK_NS) {
		for (uint32_t i = 0; i < parallel; i++) {
			if (!one_try(&o[i], i % 2))
				continue;
			stored++;
			told += o[i].told;
			leave(&o[i].s);
			one_begin(r, &o[i], &port);
		}
		if (staying && stays.used_bytes + ONE_BYTES <= stays.limit_bytes &&
			rig_produce(&stays, 0, 0, seq, ONE_RECORDS, 0) == KX_DROP_NONE) {
			stays.used_bytes += ONE_BYTES;
			seq += ONE_RECORDS;
			stayed++;
		}
		for (uint32_t i = 0; i < 4; i++)
			rig_turn(r, TICK_NS / 4);
		learn(r, &stays);
		for (uint32_t i = 0; i < parallel; i++) {
			learn(r, &o[i].s);
			o[i].told |= o[i].s.blocked == KX_BLOCKED_QUOTA;
		}
		rig_forget(r);
	}
	most = seconds * UINT64_C(1024) + 102 + (parallel + staying) * ONE_PAID;
	print_message(
		"%u loops: %lu messages of new sessions, %lu of one that stays, at most %lu of %u bytes\n",
		parallel, (unsigned long)stored, (unsigned long)stayed, (unsigned long)(most / ONE_PAID),
		ONE_PAID);
	assert_true((stored + stayed) * ONE_PAID <= most);
	assert_true((stored + stayed) * ONE_BYTES >= seconds * UINT64_C(1024) * 8 / 10); /* and no less */
	assert_true(stored >= parallel * (seconds / 5 / (parallel + staying)));
	assert_true(told + parallel + 1 >= stored);
	if (staying) /* its part */
		assert_true(stayed >= (stored + stayed) / (parallel + 1) / 2);
	rig_free(r);
}

static void test_sessions_one_after_another(void **state)
{
	const char *const ini[] = {topic_ini, principal_ini};

	(void)state;
	for (uint32_t i = 0; i < KX_DIM(ini); i++) {
		loops(ini[i], 1, false, 60);
		loops(ini[i], 6, false, 120);
		loops(ini[i], 1, true, 60);
		loops(ini[i], 6, true, 240);
	}
}

/* Sessions that come all the time, try once, and go whether it was taken or not: one that waits goes first
 * when the debt is paid. */
static void test_who_waits_goes_first(void **state)
{
	struct rig *r = rig_new("[lcores]\ndata = 1\n[memory]\nlog_bytes = 16M\nextent_bytes = 64K\n"
				"[sessions]\nmax_producers = 65536\n"
				"[port net_memif0]\naddress = 10.0.0.254/24\n"
				"[topic tiny]\npartitions = 2\nlog_bytes = 1M\nmax_message_bytes = 16K\n"
				"bytes_per_s = 20K\n",
		0, 1);
	struct rig_session stays = rig_connect(r, 1, 4000);
	uint64_t stored = 0, stayed = 0;
	uint16_t port = 5000;
	struct one o;

	(void)state;
	for (int turn = 0; turn < 10000; turn++) {
		one_begin(r, &o, &port);
		stored += one_try(&o, 1);
		leave(&o.s);
		if (stays.used_bytes + ONE_BYTES <= stays.limit_bytes &&
			rig_produce(&stays, 0, 0, stayed * ONE_RECORDS, ONE_RECORDS, 0) == KX_DROP_NONE) {
			stays.used_bytes += ONE_BYTES;
			stayed++;
		}
		rig_turn(r, 300000);
		learn(r, &stays);
		rig_forget(r);
	}
	print_message(
		"stays: %lu messages; come and go: %lu\n", (unsigned long)stayed, (unsigned long)stored);
	assert_true((stored + stayed) * ONE_PAID <= 61440 + 2048 + 2 * ONE_PAID);
	assert_true(stayed * 3 >= stored + stayed);
	rig_free(r);
}

#define PART  1024u
#define BYTES (2 * PART)

/* A message of two parts; `holds`: its CRC does. */
static void send_parts(struct rig_session *s, uint64_t seq, bool holds)
{
	uint64_t batch[BYTES / 8], body[(sizeof(struct kx_frag) + PART) / 8];
	struct kx_frag *f = (struct kx_frag *)body;
	struct kx_batch_writer w;

	kx_batch_begin(&w, (uint8_t *)batch, BYTES, 0, s->producer_id, s->producer_epoch, seq, 0);
	memset(kx_batch_claim(&w, BYTES - KX_BATCH_HDR_BYTES - 8), 1, BYTES - KX_BATCH_HDR_BYTES - 8);
	assert_int_equal(kx_batch_end(&w), BYTES);
	batch[BYTES / 8 - 1] ^= holds ? 0 : 1;
	for (uint32_t at = 0; at < BYTES; at += PART) {
		memcpy(f + 1, (uint8_t *)batch + at, PART);
		*f = (struct kx_frag){.batch_bytes = BYTES,
			.frag_offset = at,
			.frag_bytes = PART,
			.first = seq,
			.frag_crc = kx_crc32c(0, f + 1, PART),
			.part_bytes = PART};
		assert_int_equal(rig_send(s, KX_PRODUCE_FRAG, body, sizeof(body)), KX_DROP_NONE);
	}
}

/* What was taken within credit that a quota gave, and dropped again, is taken when it comes again. */
static void test_what_is_dropped_again_is_allowed_again(void **state)
{
	struct rig *r = rig_new("[lcores]\ndata = 1\n[memory]\nlog_bytes = 16M\nextent_bytes = 64K\n"
				"[port net_memif0]\naddress = 10.0.0.254/24\n"
				"[topic slow]\npartitions = 1\nlog_bytes = 1M\nmax_message_bytes = 16K\n"
				"messages_per_s = 100\n",
		0, 1);
	struct rig_session s = rig_connect(r, 1, 5000), other = rig_connect(r, 2, 5000);
	uint64_t seq = 0;

	struct kx_receipt more = {.next_pkt = 1};

	(void)state;
	s.flags = KX_FLAG_MORE; /* the first credit is less than the message */
	for (int i = 0; i < 4; i++) {
		assert_int_equal(rig_send(&s, KX_HEARTBEAT, &more, sizeof(more)), KX_DROP_NONE);
		rig_turn(r, 20000000);
	}
	s.flags = 0;
	send_parts(&s, 0, true);
	for (int i = 0; i < 10; i++) { /* until there is credit for another */
		rig_turn(r, 200000000);
		assert_int_equal(rig_send(&s, KX_HEARTBEAT, &more, sizeof(more)), KX_DROP_NONE);
		rig_turn(r, 1000000);
	}
	while (rig_produce(&other, 0, 0, seq, 17, 0) == KX_DROP_NONE)
		seq += 17;     /* into debt */
	assert_true(seq > 10); /* what is saved up */
	for (int i = 0; i < 50; i++) {
		send_parts(&s, 1, false);
		rig_turn(r, 1000);
		rig_turn(r, 1000);
		assert_int_equal(r->ledger.drop[KX_DROP_FRAG_BAD], i + 1);
	}
	send_parts(&s, 1, true);
	rig_turn(r, 1000);
	rig_turn(r, 1000);
	assert_int_equal(r->offsets[0].next_offset, seq + 2);
	rig_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_topics_do_not_throttle_each_other),
		cmocka_unit_test(test_new_sessions_gain_nothing),
		cmocka_unit_test(test_sessions_one_after_another),
		cmocka_unit_test(test_who_waits_goes_first),
		cmocka_unit_test(test_many_partitions_forget_no_quota),
		cmocka_unit_test(test_asking_gains_little),
		cmocka_unit_test(test_what_is_dropped_again_is_allowed_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
