/* SPDX-License-Identifier: BSD-3-Clause */
/* Brokers of two data lcores, frame by frame: take-overs, epochs, duplicates, state that was evicted, RESUME.
 */
#include "kx_test.h"

#include "broker_rig.h"

static const char ini[] =
	"[lcores]\ndata = 1\n"
	"[memory]\nlog_bytes = 16M\nextent_bytes = 64K\n"
	"[sessions]\nmax_producer_ids = 64\nmax_producers = 16\nidle_timeout_ms = 1000\nheartbeat_ms = 100\n"
	"[port net_memif0]\naddress = 10.0.0.254/24\n"
	"[topic a]\npartitions = 32\nlog_bytes = 256K\nmax_message_bytes = 16K\n"
	"[topic block]\npartitions = 1\noverrun = block\nlog_bytes = 2M\nmax_message_bytes = 16K\n";
#define P_BLOCK 32

#define MS UINT64_C(1000000)

static const struct kx_commit_entry *commit(struct rig *r, unsigned int n)
{
	const struct kx_frame_hdr *h = rig_find(r, KX_COMMIT_ACK, 0);

	assert_non_null(h);
	assert_true(n < ((const struct kx_receipt *)rig_body(h))->entry_count);
	return (const struct kx_commit_entry *)((const struct kx_receipt *)rig_body(h) + 1) + n;
}

static uint32_t refused(struct rig *r)
{
	const struct kx_frame_hdr *h = rig_find(r, KX_PRODUCE_REFUSED, 0);

	return h == NULL ? KX_CODE_OK : ((const struct kx_produce_refused *)rig_body(h))->code;
}

static uint32_t closed(struct rig *r)
{
	const struct kx_frame_hdr *h = rig_find(r, KX_CLOSE, 0);

	return h == NULL ? KX_CODE_OK : ((const struct kx_close *)rig_body(h))->code;
}

static uint32_t refuse(struct rig *r)
{
	const struct kx_frame_hdr *h = rig_find(r, KX_REFUSE, 0);

	return h == NULL ? KX_CODE_OK : ((const struct kx_refuse *)rig_body(h))->code;
}

static enum kx_drop take_over(
	struct rig *r, uint8_t host, uint16_t port, uint64_t producer_id, struct rig_session *s)
{
	const struct kx_auth wish = {.method = KX_AUTH_NONE, .producer_id = producer_id};

	rig_turn(r, 1000); /* a cookie is newer than the last one */
	return rig_auth(r, host, port, &wish, s);
}

static enum kx_drop by_ticket(
	struct rig *r, uint8_t host, uint16_t port, const struct rig_session *of, struct rig_session *s)
{
	struct kx_auth wish = {.method = KX_AUTH_TICKET};

	memcpy(wish.ticket, of->accept.ticket, sizeof(wish.ticket));
	rig_turn(r, 1000); /* set-up has a budget a turn */
	return rig_auth(r, host, port, &wish, s);
}

static uint64_t next_offset(struct rig *r, uint32_t partition)
{
	rig_turn(r, 1000);
	return r->offsets[partition].next_offset;
}

/* One lcore: the new epoch begins at once; the old session is refused, told and closed. */
static void test_take_over(void **state)
{
	struct rig *r = rig_new(ini, 0, 1);
	struct rig_session old = rig_connect(r, 1, 5000), new;

	(void)state;
	assert_int_equal(rig_produce(&old, 0, 0, 0, 3, 0), KX_DROP_NONE);
	assert_int_equal(rig_produce(&old, 0, 0, 7, 3, 0), KX_DROP_NONE); /* held, ahead of a gap */
	assert_int_equal(take_over(r, 2, 5000, old.producer_id, &new), KX_DROP_NONE);
	rig_accepted(&new);
	assert_int_equal(new.producer_id, old.producer_id);
	assert_int_equal(new.producer_epoch, old.producer_epoch + 1);
	rig_forget(r);
	assert_int_equal(rig_produce(&old, 0, 0, 3, 4, 0), KX_DROP_PRODUCER_FENCED);
	assert_int_equal(refused(r), KX_CODE_FENCED);
	assert_int_equal(closed(r), KX_CODE_FENCED);
	rig_forget(r);
	assert_int_equal(rig_produce(&old, 0, 0, 3, 4, 0), KX_DROP_CONN_UNKNOWN);
	/* sequences begin again; what was held is gone */
	assert_int_equal(rig_produce(&new, 0, 0, 0, 2, 0), KX_DROP_NONE);
	assert_int_equal(next_offset(r, 0), 5);
	assert_int_equal(commit(r, 0)->next_seq, 2);
	assert_int_equal(commit(r, 0)->next_offset, 5);
	assert_int_equal(commit(r, 0)->producer_epoch, new.producer_epoch);
	/* a batch of the old epoch in the new session */
	rig_forget(r);
	new.producer_epoch--;
	assert_int_equal(rig_produce(&new, 0, 0, 2, 1, 0), KX_DROP_PRODUCER_FENCED);
	assert_int_equal(refused(r), KX_CODE_FENCED);
	assert_int_equal(closed(r), KX_CODE_OK); /* the session itself is the newest */
	new.producer_epoch += 2;
	rig_forget(r);
	assert_int_equal(rig_produce(&new, 0, 0, 2, 1, 0), KX_DROP_PRODUCER_FOREIGN);
	new.producer_epoch--;
	assert_int_equal(rig_produce(&new, 0, 0, 2, 1, 0), KX_DROP_NONE);
	assert_int_equal(next_offset(r, 0), 6);
	assert_int_equal(kx_broker_counters(r->broker)->fenced, 1);
	assert_int_equal(kx_broker_counters(r->broker)->take_overs, 1);
	rig_free(r);
}

/* The old session says nothing: it is told all the same. */
static void test_a_silent_zombie_is_told(void **state)
{
	struct rig *r = rig_new(ini, 0, 1);
	struct rig_session old = rig_connect(r, 1, 5000), new;

	(void)state;
	assert_int_equal(take_over(r, 2, 5000, old.producer_id, &new), KX_DROP_NONE);
	rig_forget(r);
	for (int i = 0; i < 4; i++)
		rig_turn(r, MS);
	assert_int_equal(closed(r), KX_CODE_FENCED);
	rig_free(r);
}

/* Two lcores, and the second does not come to its turn: ACCEPT waits, so do copies of AUTH; frames of the old
 * epoch that the second lcore has in hand are refused, and nothing of them is stored after ACCEPT. */
static void test_fence_across_lcores(void **state)
{
	struct rig *a = rig_new(ini, 0, 2), *b = rig_new_peer(a, 1, 2);
	struct rig_session first = rig_connect(a, 1, 5000), zombie, new;
	struct kx_close leave = {.code = KX_CODE_OK};

	(void)state;
	assert_int_equal(by_ticket(b, 1, 5001, &first, &zombie), KX_DROP_NONE);
	rig_accepted(&zombie);
	assert_int_equal(zombie.producer_epoch, first.producer_epoch);
	assert_int_equal(rig_produce(&zombie, 0, 1, 0, 3, 0), KX_DROP_NONE);
	assert_int_equal(rig_produce(&zombie, 0, 1, 4, 1, 0), KX_DROP_NONE); /* held */
	assert_int_equal(next_offset(b, 1), 3);
	assert_int_equal(take_over(a, 2, 5000, first.producer_id, &new), KX_DROP_NONE);
	for (int i = 0; i < 5; i++) {
		rig_turn(a, 1000);
		assert_int_equal(rig_count(a, KX_ACCEPT), 0);
		assert_int_equal(rig_rx(a, new.auth_frame, KX_HELLO_BYTES, &new.addr, 0), KX_DROP_NONE);
	}
	/* the zombie's frame would fill the gap; it comes before the lcore has published, and is refused */
	rig_forget(b);
	assert_int_equal(rig_produce(&zombie, 0, 1, 3, 1, 0), KX_DROP_PRODUCER_FENCED);
	assert_int_equal(refused(b), KX_CODE_FENCED);
	assert_int_equal(closed(b), KX_CODE_FENCED);
	assert_int_equal(rig_count(a, KX_ACCEPT), 0);
	rig_turn(b, 1000);
	rig_turn(a, 1000);
	rig_accepted(&new);
	assert_int_equal(a->offsets[1].next_offset, 3);
	/* ours was told too, and a copy of AUTH gives the same ACCEPT */
	rig_turn(a, MS);
	assert_int_equal(closed(a), KX_CODE_FENCED);
	rig_forget(a);
	assert_int_equal(rig_rx(a, new.auth_frame, KX_HELLO_BYTES, &new.addr, 0), KX_DROP_NONE);
	assert_int_equal(
		((const struct kx_accept *)rig_body(rig_find(a, KX_ACCEPT, 0)))->conn_id, new.conn_id);
	/* once the session has ended, a late copy of that AUTH takes nothing over */
	assert_int_equal(rig_send(&new, KX_CLOSE, &leave, sizeof(leave)), KX_DROP_NONE);
	rig_forget(a);
	assert_int_equal(rig_rx(a, new.auth_frame, KX_HELLO_BYTES, &new.addr, 0), KX_DROP_COOKIE_BAD);
	assert_int_equal(a->sent_count, 0);
	rig_free(b);
	rig_free(a);
}

/* A lcore that stops, or was freed, is waited for no longer than it stores. */
static void test_a_stopping_lcore_blocks_nobody(void **state)
{
	struct rig *a = rig_new(ini, 0, 3), *b = rig_new_peer(a, 1, 3), *c = rig_new_peer(a, 2, 3);
	struct rig_session first = rig_connect(a, 1, 5000), new;

	(void)state;
	kx_broker_stop(b->broker, b->now_ns);
	rig_turn(b, 1000); /* its last */
	assert_true(kx_broker_stopped(b->broker));
	rig_free(c); /* without a last turn */
	assert_int_equal(take_over(a, 2, 5000, first.producer_id, &new), KX_DROP_NONE);
	rig_accepted(&new);
	rig_free(b);
	rig_free(a);
}

/* More take-overs than may wait: the others are not begun, and try again. */
static void test_waiting_is_bounded(void **state)
{
	struct rig *a = rig_new(ini, 0, 2), *b = rig_new_peer(a, 1, 2);
	struct rig_session own = rig_connect(a, 1, 5000), s, last;
	unsigned int waiting = 0;

	(void)state;
	while (take_over(a, 2, (uint16_t)(6000 + waiting), own.producer_id, &s) == KX_DROP_NONE) {
		waiting++;
		assert_true(waiting <= 64);
	}
	assert_int_equal(waiting, 64);
	assert_int_equal(kx_broker_counters(a->broker)->take_overs, 64);
	rig_forget(a);
	rig_turn(b, 1000);
	rig_turn(a, 1000);
	assert_int_equal(rig_count(a, KX_ACCEPT), 64);
	assert_int_equal(rig_rx(a, s.auth_frame, KX_HELLO_BYTES, &s.addr, 0), KX_DROP_NONE);
	rig_turn(b, 1000);
	rig_forget(a);
	rig_turn(a, 1000);
	memcpy(&last, &s, sizeof(last));
	memcpy(&last.accept, rig_body(rig_find(a, KX_ACCEPT, 0)), sizeof(last.accept));
	assert_int_equal(last.accept.producer_epoch, 66);
	rig_free(b);
	rig_free(a);
}

/* Two clients in a row: each fences the one before, also while it still waits. */
static void test_two_in_a_row(void **state)
{
	struct rig *a = rig_new(ini, 0, 2), *b = rig_new_peer(a, 1, 2);
	struct rig_session old = rig_connect(a, 1, 5000), second, third;

	(void)state;
	assert_int_equal(take_over(a, 2, 5000, old.producer_id, &second), KX_DROP_NONE);
	b->now_ns = a->now_ns; /* they have one clock */
	assert_int_equal(take_over(b, 3, 5000, old.producer_id, &third), KX_DROP_NONE);
	rig_turn(a, 1000);
	rig_turn(b, 1000);
	rig_accepted(&third);
	assert_int_equal(third.producer_epoch, old.producer_epoch + 2);
	rig_turn(a, 1000);
	rig_accepted(&second);
	rig_forget(a);
	assert_int_equal(rig_produce(&second, 0, 0, 0, 1, 0), KX_DROP_PRODUCER_FENCED);
	assert_int_equal(closed(a), KX_CODE_FENCED);
	assert_int_equal(rig_produce(&third, 0, 1, 0, 1, 0), KX_DROP_NONE);
	/* the ticket of a fenced epoch opens nothing */
	assert_int_equal(by_ticket(b, 2, 5001, &second, &old), KX_DROP_PRODUCER_FENCED);
	assert_int_equal(refuse(b), KX_CODE_FENCED);
	rig_free(b);
	rig_free(a);
}

/* Another principal's id is refused; an unknown one gives a new id; a forgotten one is told. */
static void test_whose_id(void **state)
{
	struct rig *r = rig_new(ini, 0, 1);
	struct kx_producer_ref foreign, filler;
	struct rig_session s, again;
	struct kx_close leave = {.code = KX_CODE_OK};

	(void)state;
	assert_int_equal(kx_producer_ids_new(r->ids, 7, 1, &foreign), 0);
	assert_int_equal(take_over(r, 1, 5000, foreign.id, &s), KX_DROP_ACCESS_DENIED);
	assert_int_equal(refuse(r), KX_CODE_DENIED);
	assert_int_equal(kx_producer_id_epoch(foreign.entry), foreign.epoch);
	assert_int_equal(take_over(r, 1, 5000, 12345, &s), KX_DROP_NONE);
	rig_accepted(&s);
	assert_int_not_equal(s.producer_id, 12345);
	/* its session ends, and others take all places */
	assert_int_equal(rig_send(&s, KX_CLOSE, &leave, sizeof(leave)), KX_DROP_NONE);
	for (int i = 0; i < 63; i++)
		assert_int_equal(kx_producer_ids_new(r->ids, 0, 1, &filler), 0);
	assert_int_equal(by_ticket(r, 1, 5001, &s, &again), KX_DROP_PRODUCER_RESYNC);
	assert_int_equal(refuse(r), KX_CODE_UNKNOWN_FATE);
	assert_int_equal(take_over(r, 1, 5001, 0, &again), KX_DROP_PRODUCERS_FULL);
	assert_int_equal(refuse(r), KX_CODE_PRODUCERS_FULL);
	rig_free(r);
}

/* More take-overs at once than can wait for the other lcores: who comes then is told, and loses nothing. */
static void test_too_many_take_overs(void **state)
{
	struct rig *a = rig_new(ini, 0, 2), *b = rig_new_peer(a, 1, 2);
	struct kx_producer_ref ids[64];
	struct rig_session s[64], late;

	(void)state;
	for (unsigned int i = 0; i < KX_DIM(ids); i++)
		assert_int_equal(kx_producer_ids_new(a->ids, 0, 1, &ids[i]), 0);
	for (unsigned int i = 0; i < KX_DIM(ids); i++) {
		rig_turn(a, 1000);
		assert_int_equal(take_over(a, 2, (uint16_t)(5000 + i), ids[i].id, &s[i]), KX_DROP_NONE);
		rig_forget(a);
	}
	assert_int_equal(take_over(a, 3, 5000, ids[0].id, &late), KX_DROP_SETUP_BUDGET);
	assert_int_equal(refuse(a), KX_CODE_BUSY);
	assert_int_equal(kx_producer_id_epoch(ids[0].entry), ids[0].epoch + 1); /* of the first one */
	rig_turn(b, 1000);
	rig_turn(a, 1000);
	rig_forget(a);
	assert_int_equal(take_over(a, 3, 5000, ids[0].id, &late), KX_DROP_NONE);
	assert_int_equal(refuse(a), KX_CODE_OK);
	rig_turn(b, 1000);
	rig_turn(a, 1000);
	rig_accepted(&late);
	assert_int_equal(late.producer_epoch, ids[0].epoch + 2);
	rig_free(b);
	rig_free(a);
}

/* ---- duplicates */

static void test_duplicates_have_their_offset(void **state)
{
	struct rig *r = rig_new(ini, 0, 1);
	struct rig_session s = rig_connect(r, 1, 5000), other = rig_connect(r, 2, 5000);
	uint64_t offset[12];

	(void)state;
	for (uint32_t i = 0; i < 12; i++) { /* batches of 3, and another producer's between them */
		assert_int_equal(rig_produce(&s, 0, 0, i * 3, 3, 0), KX_DROP_NONE);
		assert_int_equal(rig_produce(&other, 0, 0, i, 1, 0), KX_DROP_NONE);
		offset[i] = i * 4;
	}
	assert_int_equal(next_offset(r, 0), 48);
	rig_forget(r);
	assert_int_equal(rig_produce(&s, 0, 0, 15, 3, 0), KX_DROP_SEQ_DUPLICATE);
	assert_int_equal(rig_produce(&s, 0, 0, 24, 3, 0), KX_DROP_SEQ_DUPLICATE);
	rig_turn(r, 1000);
	assert_int_equal(commit(r, 0)->next_seq, 18);
	assert_int_equal(commit(r, 0)->next_offset, offset[5] + 3);
	assert_int_equal(commit(r, 1)->next_seq, 27);
	assert_int_equal(commit(r, 1)->next_offset, offset[8] + 3);
	assert_int_equal(commit(r, 2)->next_seq, 36);
	assert_int_equal(commit(r, 2)->next_offset, 47);
	/* older than the last eight; another batch than the one that was stored there: cumulative only */
	rig_forget(r);
	assert_int_equal(rig_produce(&s, 0, 0, 9, 3, 0), KX_DROP_SEQ_DUPLICATE);
	assert_int_equal(rig_produce(&s, 0, 0, 30, 2, 0), KX_DROP_SEQ_DUPLICATE);
	rig_turn(r, 1000);
	assert_int_equal(
		((const struct kx_receipt *)rig_body(rig_find(r, KX_COMMIT_ACK, 0)))->entry_count, 1);
	assert_int_equal(commit(r, 0)->next_seq, 36);
	/* more at once than are kept: the cumulative entry covers them */
	rig_forget(r);
	for (int i = 0; i < 20; i++)
		assert_int_equal(rig_produce(&s, 0, 0, 33, 3, 0), KX_DROP_SEQ_DUPLICATE);
	rig_turn(r, 1000);
	assert_int_equal(
		((const struct kx_receipt *)rig_body(rig_find(r, KX_COMMIT_ACK, 0)))->entry_count, 9);
	assert_true(r->sent[0].bytes <= KX_DATAGRAM_MIN_BYTES - 16);
	assert_int_equal(next_offset(r, 0), 48);
	rig_free(r);
}

/* ---- state that was evicted */

static void test_evicted_state_is_never_guessed(void **state)
{
	struct rig *r = rig_new(ini, 0, 1);
	struct rig_session s = rig_connect(r, 1, 5000), again, other;
	struct kx_close leave = {.code = KX_CODE_OK};
	unsigned int n = 0;

	(void)state;
	assert_int_equal(rig_produce(&s, 0, 0, 0, 3, 0), KX_DROP_NONE);
	assert_int_equal(rig_send(&s, KX_CLOSE, &leave, sizeof(leave)), KX_DROP_NONE);
	/* others need all of the 16 states, some time later */
	rig_turn(r, 2000 * MS);
	other = rig_connect(r, 2, 5000);
	for (uint32_t p = 0; p < 16; p++)
		for (int tries = 0; rig_produce(&other, 0, 8 + p, 0, 1, 0) != KX_DROP_NONE && tries < 100;
			tries++)
			rig_turn(r, 1000);
	assert_int_equal(by_ticket(r, 1, 5001, &s, &again), KX_DROP_NONE);
	rig_accepted(&again);
	rig_forget(r);
	/* the same batch, a later one, and one on a partition that never had any: nobody knows any more */
	assert_int_equal(rig_produce(&again, 0, 0, 0, 3, 0), KX_DROP_PRODUCER_RESYNC);
	assert_int_equal(refused(r), KX_CODE_RESYNC);
	assert_int_equal(rig_produce(&again, 0, 0, 3, 3, 0), KX_DROP_PRODUCER_RESYNC);
	assert_int_equal(rig_produce(&again, 0, 1, 0, 3, 0), KX_DROP_PRODUCER_RESYNC);
	assert_int_equal(next_offset(r, 0), 3);
	assert_int_equal(kx_broker_counters(r->broker)->resyncs, 3);
	/* the other's session ends: a new epoch of ours has room and begins at 0 */
	assert_int_equal(rig_send(&other, KX_CLOSE, &leave, sizeof(leave)), KX_DROP_NONE);
	rig_turn(r, 500 * MS);
	assert_int_equal(rig_send(&again, KX_CLOSE, &leave, sizeof(leave)), KX_DROP_NONE);
	rig_turn(r, 600 * MS);
	assert_int_equal(take_over(r, 1, 5002, s.producer_id, &again), KX_DROP_NONE);
	rig_accepted(&again);
	while (rig_produce(&again, 0, 0, 0, 3, 0) != KX_DROP_NONE && n++ < 100)
		rig_turn(r, 1000);
	assert_int_equal(next_offset(r, 0), 6);
	rig_free(r);
}

/* A state that stored nothing may go without anybody being told: what comes then is as new as before. */
static void test_nothing_stored_nothing_forgotten(void **state)
{
	struct rig *r = rig_new(ini, 0, 1);
	struct rig_session s = rig_connect(r, 1, 5000), again, other;
	struct kx_close leave = {.code = KX_CODE_OK};

	(void)state;
	assert_int_equal(rig_produce(&s, 0, 0, 3, 3, 0), KX_DROP_NONE); /* held */
	assert_int_equal(rig_send(&s, KX_CLOSE, &leave, sizeof(leave)), KX_DROP_NONE);
	rig_turn(r, 2000 * MS);
	other = rig_connect(r, 2, 5000);
	for (uint32_t p = 0; p < 15; p++)
		assert_int_equal(rig_produce(&other, 0, 8 + p, 0, 1, 0), KX_DROP_NONE);
	for (int tries = 0; rig_produce(&other, 0, 30, 0, 1, 0) != KX_DROP_NONE && tries < 100; tries++)
		rig_turn(r, 1000);
	assert_int_equal(rig_send(&other, KX_CLOSE, &leave, sizeof(leave)), KX_DROP_NONE);
	rig_turn(r, 1100 * MS);
	assert_int_equal(by_ticket(r, 1, 5001, &s, &again), KX_DROP_NONE);
	rig_accepted(&again);
	for (int tries = 0; rig_produce(&again, 0, 0, 0, 3, 0) != KX_DROP_NONE && tries < 100; tries++)
		rig_turn(r, 1000);
	assert_int_equal(next_offset(r, 0), 3);
	assert_int_equal(kx_broker_counters(r->broker)->resyncs, 0);
	rig_free(r);
}

/* A client is back before its first session has ended here: what that held is its own again, by number. */
static void test_second_session_of_an_epoch(void **state)
{
	struct rig *r = rig_new(ini, 0, 1);
	struct rig_session s = rig_connect(r, 1, 5000), again;

	(void)state;
	assert_int_equal(rig_produce(&s, 0, P_BLOCK, 0, 1, 0), KX_DROP_NONE);
	assert_int_equal(rig_produce(&s, 0, P_BLOCK, 2, 1, 0), KX_DROP_NONE); /* held */
	assert_int_equal(by_ticket(r, 1, 5001, &s, &again), KX_DROP_NONE);
	rig_accepted(&again);
	assert_int_equal(rig_produce(&again, 0, P_BLOCK, 1, 1, 0), KX_DROP_NONE);
	assert_int_equal(next_offset(r, P_BLOCK), 2);
	assert_int_equal(rig_produce(&again, 0, P_BLOCK, 2, 1, 0), KX_DROP_NONE);
	/* a late frame of the first session changes nothing but whose the state is */
	assert_int_equal(rig_produce(&s, 0, P_BLOCK, 1, 1, 0), KX_DROP_SEQ_DUPLICATE);
	assert_int_equal(rig_produce(&s, 0, P_BLOCK, 4, 1, 0), KX_DROP_NONE); /* held */
	assert_int_equal(rig_produce(&again, 0, P_BLOCK, 3, 1, 0), KX_DROP_NONE);
	assert_int_equal(next_offset(r, P_BLOCK), 4);
	assert_int_equal(rig_produce(&again, 0, P_BLOCK, 4, 1, 0), KX_DROP_NONE);
	assert_int_equal(next_offset(r, P_BLOCK), 5);
	rig_free(r);
}

/* ---- RESUME */

static const struct kx_resumed_entry *resume(struct rig_session *s, uint64_t boot_id, uint64_t producer_id,
	uint32_t epoch, const uint32_t *partitions, uint32_t n)
{
	struct {
		struct kx_resume b;
		struct kx_resume_entry e[8];
	} req = {.b = {.boot_id = boot_id,
			 .producer_id = producer_id,
			 .producer_epoch = epoch,
			 .request_id = 5,
			 .entry_count = n}};
	const struct kx_resumed *b;

	for (uint32_t i = 0; i < n; i++)
		req.e[i] = (struct kx_resume_entry){.partition = partitions[i], .level = KX_MEMORY};
	rig_forget(s->rig);
	assert_int_equal(
		rig_send(s, KX_RESUME, &req, (uint32_t)(sizeof(req.b) + n * sizeof(req.e[0]))), KX_DROP_NONE);
	b = rig_body(rig_find(s->rig, KX_RESUMED, 0));
	assert_int_equal(b->request_id, 5);
	assert_int_equal(b->entry_count, n);
	for (uint32_t i = 0; i < n; i++)
		assert_int_equal(((const struct kx_resumed_entry *)(b + 1))[i].partition, partitions[i]);
	return (const struct kx_resumed_entry *)(b + 1);
}

static void test_resume(void **state)
{
	static const uint32_t parts[] = {0, 2, 1, 1000};
	struct rig *r = rig_new(ini, 0, 2);
	struct rig_session s = rig_connect(r, 1, 5000), new;
	const struct kx_resumed_entry *e;

	(void)state;
	assert_int_equal(rig_produce(&s, 0, 0, 0, 3, 0), KX_DROP_NONE);
	assert_int_equal(rig_produce(&s, 0, 0, 9, 3, 0), KX_DROP_NONE); /* held: not stored */
	e = resume(&s, 77, s.producer_id, s.producer_epoch, parts, 4);
	assert_int_equal(e[0].code, KX_CODE_OK);
	assert_int_equal(e[0].next_seq, 3);
	assert_int_equal(e[0].next_offset, 3);
	assert_int_equal(e[1].code, KX_CODE_OK); /* nothing was sent there */
	assert_int_equal(e[1].next_seq, 0);
	assert_int_equal(e[2].code, KX_CODE_NOT_OWNER);
	assert_int_equal(e[3].code, KX_CODE_UNKNOWN_PARTITION);
	/* sent to another start of the broker: all of it is lost */
	e = resume(&s, 76, 4711, 1, parts, 1);
	assert_int_equal(e[0].code, KX_CODE_LOST);
	assert_int_equal(e[0].next_seq, 0);
	/* not of this producer, or of an epoch that never was */
	e = resume(&s, 77, 4711, 1, parts, 1);
	assert_int_equal(e[0].code, KX_CODE_UNKNOWN_FATE);
	e = resume(&s, 77, s.producer_id, s.producer_epoch + 1, parts, 1);
	assert_int_equal(e[0].code, KX_CODE_UNKNOWN_FATE);
	/* state is evicted: unknown, whatever the partition */
	kx_producer_ids_forgot(r->ids, s.producer_id, s.producer_epoch);
	e = resume(&s, 77, s.producer_id, s.producer_epoch, parts, 2);
	assert_int_equal(e[0].code, KX_CODE_OK); /* this one is still here */
	assert_int_equal(e[1].code, KX_CODE_UNKNOWN_FATE);
	/* the next epoch asks what became of this one, before it sends anything there */
	kx_fence_leave(r->fence, 1);
	assert_int_equal(take_over(r, 1, 5001, s.producer_id, &new), KX_DROP_NONE);
	rig_accepted(&new);
	e = resume(&new, 77, s.producer_id, s.producer_epoch, parts, 2);
	assert_int_equal(e[0].code, KX_CODE_OK);
	assert_int_equal(e[0].next_seq, 3);
	assert_int_equal(e[1].code, KX_CODE_UNKNOWN_FATE);
	/* of its own epoch nothing is stored yet; the state there is the older one's */
	e = resume(&new, 77, new.producer_id, new.producer_epoch, parts, 2);
	assert_int_equal(e[0].code, KX_CODE_OK);
	assert_int_equal(e[0].next_seq, 0);
	assert_int_equal(e[1].code, KX_CODE_OK);
	/* and the old session asks in vain */
	rig_forget(r);
	struct {
		struct kx_resume b;
		struct kx_resume_entry e;
	} req = {{77, s.producer_id, s.producer_epoch, 5, 1, 0}, {.level = KX_MEMORY}};

	assert_int_equal(rig_send(&s, KX_RESUME, &req, sizeof(req)), KX_DROP_PRODUCER_FENCED);
	assert_int_equal(closed(r), KX_CODE_FENCED);
	rig_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_take_over),
		cmocka_unit_test(test_a_silent_zombie_is_told),
		cmocka_unit_test(test_fence_across_lcores),
		cmocka_unit_test(test_a_stopping_lcore_blocks_nobody),
		cmocka_unit_test(test_waiting_is_bounded),
		cmocka_unit_test(test_two_in_a_row),
		cmocka_unit_test(test_whose_id),
		cmocka_unit_test(test_too_many_take_overs),
		cmocka_unit_test(test_duplicates_have_their_offset),
		cmocka_unit_test(test_evicted_state_is_never_guessed),
		cmocka_unit_test(test_nothing_stored_nothing_forgotten),
		cmocka_unit_test(test_second_session_of_an_epoch),
		cmocka_unit_test(test_resume),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
