/* SPDX-License-Identifier: BSD-3-Clause */
/* What sessions hold out of order: it does not outlive them, is counted once, and keeps nothing out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "broker_rig.h"

static const char ini[] =
	"[lcores]\ndata = 1\n"
	"[memory]\nlog_bytes = 16M\nextent_bytes = 64K\n"
	"[sessions]\nmax_reassembly = 1\n"
	"[port net_memif0]\naddress = 10.0.0.254/24\n"
	"[topic block]\npartitions = 1\noverrun = block\nlog_bytes = 4M\nmax_message_bytes = 64K\n"
	"[topic big]\npartitions = 1\nlog_bytes = 1M\nmax_message_bytes = 64K\n";

static const char ini_patient[] =
	"[lcores]\ndata = 1\n"
	"[memory]\nlog_bytes = 16M\nextent_bytes = 64K\nreorder_frames = 128\n"
	"[sessions]\nidle_timeout_ms = 60000\nmax_producers = 1024\n"
	"[port net_memif0]\naddress = 10.0.0.254/24\n"
	"[topic block]\npartitions = 1\noverrun = block\nlog_bytes = 4M\nmax_message_bytes = 64K\n";

static uint64_t held(struct rig *r)
{
	struct kx_broker_memory m;

	kx_broker_memory(r->broker, &m);
	return m.reorder_used;
}

static uint64_t reserved(struct rig *r)
{
	return kx_broker_topics(r->broker)->partitions[0].reserved_bytes;
}

static void leave(struct rig_session *s)
{
	struct kx_close close = {.code = KX_CODE_OK};

	assert_int_equal(rig_send(s, KX_CLOSE, &close, sizeof(close)), KX_DROP_NONE);
	rig_turn(s->rig, 1000);
}

static struct rig_session older(struct rig *r)
{
	struct rig_session s = rig_connect(r, 1, 5000);

	assert_int_equal(rig_produce(&s, 0, 0, 0, 1, 0), KX_DROP_NONE);
	assert_int_equal(rig_produce(&s, 0, 0, 5, 1, 0), KX_DROP_NONE);
	assert_int_equal(held(r), 1);
	return s;
}

/* Another session of the same producer. */
static struct rig_session again(const struct rig_session *s)
{
	struct kx_auth wish = {.method = KX_AUTH_TICKET};
	struct rig_session b;

	memcpy(wish.ticket, s->accept.ticket, sizeof(wish.ticket));
	assert_int_equal(rig_auth(s->rig, 1, 5001, &wish, &b), KX_DROP_NONE);
	rig_accepted(&b);
	return b;
}

/* The client came back on a new session before the broker gave the old one up, and left on the new one first.
 */
static void what_the_newer_holds_leaves_with_it(void **state)
{
	struct rig *r = rig_new(ini, 0, 1);
	struct rig_session a = older(r), b = again(&a);

	(void)state;
	assert_int_equal(b.producer_id, a.producer_id);
	assert_int_equal(rig_produce(&b, 0, 0, 1, 1, 0), KX_DROP_NONE);
	assert_int_equal(held(r), 0);
	leave(&a);
	assert_int_equal(rig_produce(&b, 0, 0, 7, 1, 0), KX_DROP_NONE);
	assert_int_equal(held(r), 1);
	leave(&b);
	assert_int_equal(held(r), 0);
	assert_int_equal(reserved(r), 0);
	rig_free(r);
}

static void both_in_turn(void **state)
{
	struct rig *r = rig_new(ini, 0, 1);
	struct rig_session a = older(r), b = again(&a);

	(void)state;
	for (uint64_t i = 0; i < 3; i++) { /* nobody fills the hole at 1 */
		assert_int_equal(rig_produce(&b, 0, 0, 10 + i, 1, 0), KX_DROP_NONE);
		assert_int_equal(held(r), 1);
		assert_int_equal(rig_produce(&a, 0, 0, 20 + i, 1, 0), KX_DROP_NONE);
		assert_int_equal(held(r), 1);
	}
	assert_int_equal(rig_produce(&b, 0, 0, 1, 1, 0), KX_DROP_NONE);
	assert_int_equal(held(r), 0);
	leave(&b);
	leave(&a);
	assert_int_equal(reserved(r), 0);
	rig_free(r);
}

/* What is ahead of its turn, [ahead, end), and the one in front of it. */
static void fill_in(struct rig_session *s, uint64_t first, uint64_t ahead, uint64_t end)
{
	for (uint64_t seq = ahead; seq < end; seq++)
		assert_int_equal(rig_produce(s, 0, 0, seq, 1, 0), KX_DROP_NONE);
	assert_int_equal(rig_produce(s, 0, 0, first, 1, 0), KX_DROP_NONE);
}

/* More was due than is stored in one go; before the rest was, the producer went on in another session, where
 * the same happened. */
static void what_is_due_is_the_owners(void **state)
{
	struct rig *r = rig_new(ini, 0, 1);
	struct rig_session a = rig_connect(r, 1, 5000), b = again(&a);
	uint64_t next;

	(void)state;
	fill_in(&a, 0, 1, 75);
	next = kx_broker_topics(r->broker)->partitions[0].log.next_offset;
	assert_in_range(next, 1, 74);
	assert_int_equal(rig_produce(&b, 0, 0, next + 1, 1, 0), KX_DROP_NONE);
	assert_int_equal(held(r), 1);
	fill_in(&b, next, next + 2, next + 75);
	assert_true(held(r) > 0);
	rig_turn(r, 1000);
	assert_int_equal(held(r), 0);
	assert_int_equal(kx_broker_topics(r->broker)->partitions[0].log.next_offset, next + 75);
	rig_free(r);
}

/* Its session lives on, but what came ahead of a gap waits for what never comes, in all places: it gets some
 * back, and the bytes; if it does come again, it is charged again. */
static void a_gap_that_nobody_fills(void **state)
{
	struct rig *r = rig_new(ini_patient, 0, 1);
	struct rig_session s = rig_connect(r, 1, 5000);
	struct kx_ping ping = {0};
	struct kx_session_info before, after;
	uint64_t kept;

	(void)state;
	assert_int_equal(rig_produce(&s, 0, 0, 0, 1, 0), KX_DROP_NONE);
	assert_true(kx_broker_session_info(r->broker, 0, &before));
	kept = reserved(r);
	for (uint64_t seq = 5; seq < 105; seq++)
		assert_int_equal(rig_produce(&s, 0, 0, seq, 1, 0), KX_DROP_NONE);
	assert_int_equal(held(r), 100);
	for (int i = 0; i < 19; i++) {
		assert_int_equal(rig_send(&s, KX_PING, &ping, sizeof(ping)), KX_DROP_NONE);
		rig_turn(r, KX_NS_PER_S);
	}
	assert_int_equal(held(r), 100);
	for (int i = 0; i < 4000; i++) /* a tick looks at some of the producer states */
		rig_turn(r, KX_NS_PER_S / 1000);
	assert_in_range(held(r), 0, 50); /* enough for credit to be given again */
	assert_true(kx_broker_session_info(r->broker, 0, &after));
	assert_true(after.limit_pkt > before.limit_pkt);
	assert_true(after.limit_bytes - after.used_bytes >= before.limit_bytes - before.used_bytes);
	assert_true(reserved(r) >= kept);
	fill_in(&s, 1, 2, 20);
	rig_turn(r, 1000);
	assert_int_equal(kx_broker_topics(r->broker)->partitions[0].log.next_offset, 20);
	leave(&s);
	assert_int_equal(reserved(r), 0);
	rig_free(r);
}

/* A message of 4000 bytes in parts of 1024. */
static uint32_t send_large(struct rig_session *s, uint64_t seq)
{
	static uint64_t batch[(KX_BATCH_HDR_BYTES + 8 + 4000) / 8];
	uint8_t part[sizeof(struct kx_frag) + 1024] KX_ALIGNED(8);
	struct kx_frag *f = (struct kx_frag *)part;
	struct kx_batch_writer w;
	uint32_t bytes;

	kx_batch_begin(&w, (uint8_t *)batch, sizeof(batch), 1, s->producer_id, s->producer_epoch, seq, 0);
	memset(kx_batch_claim(&w, 4000), 7, 4000);
	bytes = kx_batch_end(&w);
	for (uint32_t at = 0; at < bytes; at += 1024) {
		*f = (struct kx_frag){.partition = 1,
			.batch_bytes = bytes,
			.frag_offset = at,
			.frag_bytes = KX_MIN(1024, bytes - at),
			.first = seq,
			.part_bytes = 1024};
		memcpy(f + 1, (uint8_t *)batch + at, f->frag_bytes);
		f->frag_crc = kx_crc32c(0, f + 1, f->frag_bytes);
		assert_int_equal(
			rig_send(s, KX_PRODUCE_FRAG, part, sizeof(*f) + f->frag_bytes), KX_DROP_NONE);
	}
	for (int i = 0; i < 20; i++)
		rig_turn(s->rig, 1000);
	return bytes;
}

/* A NAK of bytes may name any: beyond the batch there is nothing to send. */
static void bytes_beyond_the_batch(void **state)
{
	struct rig *r = rig_new(ini, 0, 1);
	struct rig_session s = rig_connect(r, 1, 5000);
	struct {
		struct kx_nak nak;
		struct kx_nak_entry e;
	} nak = {.nak = {.entry_count = 1}, .e = {.handle = 3, .kind = KX_NAK_BYTES}};
	uint32_t bytes;

	(void)state;
	rig_subscribe(&s, 1, 3, KX_OFFSET_EARLIEST, 1 << 20);
	bytes = send_large(&s, 0);
	assert_true(rig_count(r, KX_DELIVER_FRAG) >= 3);
	rig_forget(r);
	nak.e.last = (uint64_t)(1 << 20) << 32 | (bytes + 8 + 8192);
	assert_int_equal(rig_send(&s, KX_NAK, &nak, sizeof(nak)), KX_DROP_NONE);
	rig_turn(r, 1000);
	assert_int_equal(rig_count(r, KX_DELIVER_FRAG), 0);
	nak.e.last = (uint64_t)bytes << 32 | 1360;
	assert_int_equal(rig_send(&s, KX_NAK, &nak, sizeof(nak)), KX_DROP_NONE);
	rig_turn(r, 1000);
	assert_true(rig_count(r, KX_DELIVER_FRAG) >= 2);
	rig_free(r);
}

/* Whole messages that wait for the one before them leave it a place. */
static void the_message_in_turn_has_a_place(void **state)
{
	struct rig *r = rig_new(ini, 0, 1);
	struct rig_session s = rig_connect(r, 1, 5000);

	(void)state;
	send_large(&s, 1);
	assert_int_equal(held(r), 1);
	send_large(&s, 0);
	assert_int_equal(held(r), 0);
	assert_int_equal(r->offsets[1].next_offset, 2);
	rig_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_the_newer_holds_leaves_with_it),
		cmocka_unit_test(both_in_turn),
		cmocka_unit_test(what_is_due_is_the_owners),
		cmocka_unit_test(a_gap_that_nobody_fills),
		cmocka_unit_test(bytes_beyond_the_batch),
		cmocka_unit_test(the_message_in_turn_has_a_place),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
