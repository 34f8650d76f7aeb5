/* SPDX-License-Identifier: BSD-3-Clause */
/* What one session may take of what all share: places for large messages, time of a turn, credit. */
#include "kx_test.h"

#include "broker_rig.h"

#define INI(memory, sessions)                                                                                \
	"[lcores]\ndata = 1\n"                                                                               \
	"[memory]\nlog_bytes = 64M\nextent_bytes = 64K\n" memory                                             \
	"[sessions]\nmax = 256\nidle_timeout_ms = 60000\n" sessions                                          \
	"[port net_memif0]\naddress = 10.0.0.254/24\n"                                                       \
	"[topic one]\npartitions = 4\nlog_bytes = 4M\nmax_message_bytes = 64K\n"

static const char ini[] = INI("", "");

#define PART  1024u
#define BYTES (3 * PART)
#define TABLE 64 /* messages in reassembly */

static uint64_t dropped(const struct rig *r, enum kx_drop d)
{
	return r->ledger.drop[d];
}

/* ---- messages in reassembly */

/* A large message of one record in three parts. */
static void large_message(const struct rig_session *s, uint32_t partition, uint64_t seq, uint8_t to[BYTES])
{
	struct kx_batch_writer w;

	kx_batch_begin(&w, to, BYTES, partition, s->producer_id, s->producer_epoch, seq, 0);
	memset(kx_batch_claim(&w, BYTES - KX_BATCH_HDR_BYTES - 8), (int)seq, BYTES - KX_BATCH_HDR_BYTES - 8);
	assert_int_equal(kx_batch_end(&w), BYTES);
}

static enum kx_drop send_part_to(struct rig_session *s, uint32_t partition, uint64_t seq, uint32_t part)
{
	static uint64_t batch[BYTES / 8];
	uint64_t body[(sizeof(struct kx_frag) + PART) / 8];
	struct kx_frag *f = (struct kx_frag *)body;

	large_message(s, partition, seq, (uint8_t *)batch);
	memcpy(f + 1, (uint8_t *)batch + part * PART, PART);
	*f = (struct kx_frag){.partition = partition,
		.batch_bytes = BYTES,
		.frag_offset = part * PART,
		.frag_bytes = PART,
		.first = seq,
		.frag_crc = kx_crc32c(0, f + 1, PART),
		.part_bytes = PART};
	return rig_send(s, KX_PRODUCE_FRAG, body, sizeof(body));
}

static enum kx_drop send_part(struct rig_session *s, uint64_t seq, uint32_t part)
{
	return send_part_to(s, 0, seq, part);
}

static void send_all_parts(struct rig_session *s, uint32_t partition, uint64_t seq)
{
	for (uint32_t part = 0; part < 3; part++)
		assert_int_equal(send_part_to(s, partition, seq, part), KX_DROP_NONE);
}

static void beat(struct rig_session *s)
{
	struct kx_receipt r = {.next_pkt = 1};

	assert_int_equal(rig_send(s, KX_HEARTBEAT, &r, sizeof(r)), KX_DROP_NONE);
}

static uint64_t extents_free(struct rig *r)
{
	struct kx_broker_memory m;

	kx_broker_memory(r->broker, &m);
	return m.extents_free;
}

static void pass(struct rig *r, struct rig_session *alive, unsigned int n, uint64_t ns)
{
	for (uint64_t to = r->now_ns + ns; r->now_ns < to;) {
		for (unsigned int i = 0; i < n; i++)
			beat(&alive[i]);
		for (int i = 0; i < 100; i++)
			rig_turn(r, 10000000 / 100);
		r->now_ns += 190000000;
		rig_forget(r);
	}
}

/* Sessions that have begun all the messages they may, and then only show that they live. */
static void begin_all(struct rig *r, struct rig_session *idle)
{
	for (unsigned int i = 0; i < TABLE / 4; i++) {
		idle[i] = rig_connect(r, (uint8_t)(10 + i), 5000);
		for (uint32_t p = 0; p < 4; p++)
			assert_int_equal(send_part_to(&idle[i], p, 0, 0), KX_DROP_NONE);
	}
}

static void messages_that_stand_still_are_given_up(void **state)
{
	struct rig *r = rig_new(ini, 0, 1);
	struct rig_session idle[TABLE / 4];
	uint64_t before = extents_free(r), used;

	(void)state;
	begin_all(r, idle);
	assert_int_equal(extents_free(r), before - TABLE);
	pass(r, idle, KX_DIM(idle), 4 * KX_NS_PER_S);
	assert_int_equal(extents_free(r), before - TABLE);
	assert_int_equal(send_part(&idle[0], 0, 1), KX_DROP_NONE); /* this one goes on */
	pass(r, idle, KX_DIM(idle), 2 * KX_NS_PER_S);
	assert_int_equal(extents_free(r), before - 1);
	assert_int_equal(dropped(r, KX_DROP_FRAG_STALE), TABLE - 1);
	assert_int_equal(send_part(&idle[0], 0, 2), KX_DROP_NONE);
	rig_turn(r, 1000);
	rig_turn(r, 1000);
	assert_int_equal(r->offsets[0].next_offset, 1);
	/* the sender of one that was given up begins anew, and is charged once */
	for (uint32_t part = 0; part < 3; part++)
		assert_int_equal(send_part(&idle[1], 0, part), KX_DROP_NONE);
	pass(r, idle, KX_DIM(idle), KX_NS_PER_S);
	assert_int_equal(r->offsets[0].next_offset, 2);
	{
		struct kx_session_info info;

		assert_true(kx_broker_session_info(r->broker, 1, &info));
		used = info.used_bytes;
	}
	assert_int_equal(used, BYTES);
	rig_free(r);
}

/* All parts of a message are there, and no place on the list of what waits for an earlier sequence: it waits
 * where it is. Nothing is wrong with it, and nothing is dropped. */
static void a_whole_message_waits_for_a_place(void **state)
{
	struct rig *r = rig_new(ini, 0, 1);
	struct rig_session s = rig_connect(r, 1, 5000);
	enum kx_drop drop = KX_DROP_NONE;
	uint64_t seq = 1;

	(void)state;
	for (int i = 0; i < 10000 && drop != KX_DROP_SEQ_WINDOW; i++) {
		drop = rig_produce(&s, 0, 0, seq, 1, 0);
		seq += drop == KX_DROP_NONE;
		if (drop == KX_DROP_CREDIT_EXCEEDED) {
			s.flags = KX_FLAG_MORE;
			beat(&s);
			s.flags = 0;
			rig_turn(r, 1000);
			rig_forget(r);
		}
	}
	assert_int_equal(drop, KX_DROP_SEQ_WINDOW);
	assert_true(seq > 100);
	for (uint32_t part = 0; part < 3; part++)
		assert_int_equal(send_part(&s, seq, part), KX_DROP_NONE);
	for (int i = 0; i < 100; i++)
		rig_turn(r, 1000);
	assert_int_equal(dropped(r, KX_DROP_FRAG_BAD), 0);
	assert_int_equal(dropped(r, KX_DROP_FRAG_LIMIT) + dropped(r, KX_DROP_FRAG_STALE), 0);
	assert_int_equal(r->offsets[0].next_offset, 0);
	assert_int_equal(rig_produce(&s, 0, 0, 0, 1, 0), KX_DROP_NONE);
	for (int i = 0; i < 1000 && r->offsets[0].next_offset <= seq; i++) {
		rig_turn(r, 1000);
		rig_forget(r);
	}
	assert_int_equal(r->offsets[0].next_offset, seq + 1); /* it was the last of them */
	assert_int_equal(dropped(r, KX_DROP_FRAG_BAD), 0);
	rig_free(r);
}

static void the_oldest_makes_place(void **state)
{
	struct rig *r = rig_new(ini, 0, 1);
	struct rig_session idle[TABLE / 4], s;
	struct kx_session_info info;

	(void)state;
	begin_all(r, idle);
	s = rig_connect(r, 1, 5000);
	assert_int_equal(send_part(&s, 0, 0), KX_DROP_FRAG_LIMIT); /* they are young */
	rig_turn(r, 1000);
	assert_true(kx_broker_session_info(r->broker, TABLE / 4, &info));
	assert_int_equal(info.blocked, KX_BLOCKED_MEMORY);
	pass(r, idle, KX_DIM(idle), KX_NS_PER_S + KX_NS_PER_S / 10);
	assert_int_equal(dropped(r, KX_DROP_FRAG_STALE), 0);
	assert_int_equal(send_part(&s, 0, 0), KX_DROP_FRAG_STALE); /* the other's: this one is taken */
	assert_int_equal(send_part(&s, 0, 1), KX_DROP_NONE);
	assert_int_equal(send_part(&s, 0, 2), KX_DROP_NONE);
	assert_int_equal(dropped(r, KX_DROP_FRAG_STALE), 1);
	rig_turn(r, 1000);
	assert_true(kx_broker_session_info(r->broker, TABLE / 4, &info));
	assert_int_equal(info.blocked, KX_BLOCKED_NO);
	rig_turn(r, 1000);
	assert_int_equal(r->offsets[0].next_offset, 1);
	rig_free(r);
}

/* What waits for a message must not keep it out: not in the session, */
static void a_message_in_turn_has_the_place_of_one_ahead(void **state)
{
	struct rig *r = rig_new(INI("", "max_reassembly = 1\n"), 0, 1);
	struct rig_session s = rig_connect(r, 1, 5000);

	(void)state;
	send_all_parts(&s, 0, 1); /* whole, and waits for 0 */
	rig_turn(r, 1000);
	assert_int_equal(send_part_to(&s, 0, 2, 0), KX_DROP_FRAG_LIMIT);
	assert_int_equal(send_part_to(&s, 1, 0, 0), KX_DROP_NONE);	 /* has the one for those in turn */
	assert_int_equal(send_part_to(&s, 0, 0, 0), KX_DROP_FRAG_LIMIT); /* of the other: this one is taken */
	assert_int_equal(dropped(r, KX_DROP_FRAG_LIMIT), 2);
	assert_int_equal(send_part_to(&s, 2, 0, 0), KX_DROP_FRAG_LIMIT); /* nobody is ahead of his turn */
	assert_int_equal(dropped(r, KX_DROP_FRAG_LIMIT), 3);
	assert_int_equal(send_part_to(&s, 0, 0, 1), KX_DROP_NONE);
	assert_int_equal(send_part_to(&s, 0, 0, 2), KX_DROP_NONE);
	rig_turn(r, 1000);
	rig_turn(r, 1000);
	assert_int_equal(r->offsets[0].next_offset, 1);
	send_all_parts(&s, 0, 1); /* comes again, and is charged once */
	rig_turn(r, 1000);
	rig_turn(r, 1000);
	assert_int_equal(r->offsets[0].next_offset, 2);
	rig_free(r);
}

/* Blocked: its receipts say so, and without being asked when it is over. */
static void what_finds_no_place_is_told(void **state)
{
	struct rig *r = rig_new(INI("", "max_reassembly = 1\n"), 0, 1);
	struct rig_session s = rig_connect(r, 1, 5000);
	const struct kx_receipt *told;

	(void)state;
	send_all_parts(&s, 0, 1); /* whole, and waits for 0 */
	rig_turn(r, 1000);
	rig_forget(r);
	assert_int_equal(send_part_to(&s, 1, 1, 0), KX_DROP_FRAG_LIMIT);
	rig_turn(r, 1000);
	told = rig_body(rig_find(r, KX_RX_ACK, 0));
	assert_int_equal(told->blocked, KX_BLOCKED_MEMORY);
	rig_forget(r);
	for (int i = 0; i < 100; i++)
		rig_turn(r, 1000);
	assert_null(rig_find(r, KX_RX_ACK, 0)); /* it is still so */
	assert_int_equal(rig_produce(&s, 0, 0, 0, 1, 0), KX_DROP_NONE);
	for (int i = 0; i < 3; i++)
		rig_turn(r, 1000);
	assert_int_equal(r->offsets[0].next_offset, 2);
	told = rig_body(rig_find(r, KX_RX_ACK, 0));
	assert_int_equal(told->blocked, KX_BLOCKED_NO);
	send_all_parts(&s, 1, 1);
	rig_free(r);
}

/* and not in the table. */
static void a_full_table_lets_messages_in_turn_in(void **state)
{
	struct rig *r = rig_new(ini, 0, 1);
	struct rig_session s[TABLE / 4];
	struct kx_session_info info;
	uint64_t before = extents_free(r);

	(void)state;
	for (unsigned int i = 0; i < KX_DIM(s); i++) {
		s[i] = rig_connect(r, (uint8_t)(10 + i), 5000);
		for (uint64_t m = 1; m <= 4; m++)
			send_all_parts(&s[i], 0, m);
		rig_turn(r, 1000);
		rig_turn(r, 1000);
	}
	assert_int_equal(extents_free(r), before - TABLE);
	for (unsigned int i = 0; i < KX_DIM(s); i++) {
		(void)send_part(&s[i], 0, 0); /* another one's may be charged */
		assert_int_equal(send_part(&s[i], 0, 1), KX_DROP_NONE);
		assert_int_equal(send_part(&s[i], 0, 2), KX_DROP_NONE);
		rig_turn(r, 1000);
		rig_turn(r, 1000);
	}
	assert_int_equal(dropped(r, KX_DROP_FRAG_LIMIT), 1); /* that of the first: then there are free ones */
	assert_int_equal(dropped(r, KX_DROP_FRAG_STALE), 0);
	assert_int_equal(r->offsets[0].next_offset, 5 * KX_DIM(s) - 1);
	send_all_parts(&s[0], 0, 4);
	rig_turn(r, 1000);
	rig_turn(r, 1000);
	assert_int_equal(r->offsets[0].next_offset, 5 * KX_DIM(s));
	assert_true(kx_broker_session_info(r->broker, 0, &info));
	assert_int_equal(info.used_bytes, 5 * BYTES);
	rig_free(r);
}

/* Batches that wait for a large message have all slots: it needs none. */
static void a_message_in_turn_needs_no_slot(void **state)
{
	struct rig *r = rig_new(INI("reorder_frames = 64\n", ""), 0, 1);
	struct rig_session s = rig_connect(r, 1, 5000);
	struct kx_broker_memory m;
	uint64_t seq;

	(void)state;
	for (seq = 1; seq <= 64; seq++)
		assert_int_equal(rig_produce(&s, 0, 0, seq, 1, 0), KX_DROP_NONE);
	assert_int_equal(rig_produce(&s, 0, 0, seq, 1, 0), KX_DROP_SEQ_WINDOW);
	send_all_parts(&s, 0, 0);
	rig_turn(r, 1000);
	rig_turn(r, 1000);
	assert_int_equal(r->offsets[0].next_offset, 65);
	kx_broker_memory(r->broker, &m);
	assert_int_equal(m.reorder_used, 0);
	assert_int_equal(rig_produce(&s, 0, 0, seq, 1, 0), KX_DROP_NONE);
	rig_free(r);
}

/* ---- requests */

static enum kx_drop ask_topics(struct rig_session *s)
{
	uint64_t body = 7;

	return rig_send(s, KX_TOPICS_REQ, &body, sizeof(body));
}

/* One that asks and asks gets some answers a turn, another its own in the same turn, and both all in time. */
static void requests_have_a_budget(void **state)
{
	struct rig *r = rig_new(ini, 0, 1);
	struct rig_session s = rig_connect(r, 1, 5000), other = rig_connect(r, 2, 5000);
	struct {
		struct kx_resume r;
		struct kx_resume_entry e[64];
	} resume = {.r = {.boot_id = 77,
			    .producer_id = other.producer_id,
			    .producer_epoch = 1,
			    .entry_count = 64}};
	unsigned int answered = 0, refused = 0;

	(void)state;
	for (int i = 0; i < 64; i++)
		resume.e[i].level = KX_MEMORY;
	for (int i = 0; i < 1000; i++) {
		enum kx_drop drop = ask_topics(&s);

		answered += drop == KX_DROP_NONE;
		refused += drop == KX_DROP_REQUEST_BUDGET;
	}
	assert_int_equal(answered + refused, 1000);
	assert_in_range(answered, 16, 64);
	assert_int_equal(rig_count(r, KX_TOPICS), answered);
	assert_int_equal(rig_send(&other, KX_RESUME, &resume, sizeof(resume)), KX_DROP_NONE);
	assert_int_equal(rig_count(r, KX_RESUMED), 1);
	/* what was not answered leaves no hole: nothing is asked for again but by the request itself */
	rig_turn(r, 1000000);
	rig_turn(r, 100000000);
	assert_int_equal(rig_count(r, KX_NAK), 0);
	assert_int_equal(ask_topics(&s), KX_DROP_NONE);
	for (int i = 0; i < 100; i++)
		answered += rig_send(&other, KX_RESUME, &resume, sizeof(resume)) == KX_DROP_NONE;
	assert_in_range(rig_count(r, KX_RESUMED), 3, 10);
	rig_free(r);
}

/* ---- credit */

static uint64_t ahead(struct rig *r, const struct rig_session *s)
{
	struct kx_session_info info;

	assert_true(kx_broker_session_info(r->broker, 1, &info));
	return info.limit_pkt - s->next_pkt;
}

/* Frames that are not taken, for whatever reason, are no use of credit. */
static void what_is_not_taken_earns_no_credit(void **state)
{
	struct rig *r = rig_new(ini, 0, 1);
	struct rig_session before = rig_connect(r, 1, 5000), s;
	struct kx_auth wish = {.method = KX_AUTH_TICKET};
	uint64_t own = before.producer_id, first;

	(void)state;
	assert_int_equal(rig_produce(&before, 0, 0, 0, 1, 0), KX_DROP_NONE);
	assert_int_equal(rig_produce(&before, 0, 0, 1, 1, 0), KX_DROP_NONE);
	memcpy(wish.ticket, before.accept.ticket, sizeof(wish.ticket));
	assert_int_equal(rig_auth(r, 1, 5001, &wish, &s), KX_DROP_NONE); /* the same producer */
	rig_accepted(&s);
	rig_turn(r, 1000);
	first = ahead(r, &s);
	for (int i = 0; i < 100; i++) {
		assert_int_equal(rig_produce(&s, 0, 0, 0, 1, 0), KX_DROP_SEQ_DUPLICATE);
		s.producer_id = own + 1;
		assert_int_equal(rig_produce(&s, 0, 0, 2, 1, 0), KX_DROP_PRODUCER_FOREIGN);
		s.producer_id = own;
		assert_int_equal(rig_produce(&s, 0, 9, 0, 1, 0), KX_DROP_PARTITION_UNKNOWN);
		assert_int_equal(send_part(&s, 0, 0), KX_DROP_SEQ_DUPLICATE);
		rig_turn(r, 1000000);
		rig_forget(r);
		assert_in_range(ahead(r, &s), 1, first + 8);
	}
	for (uint64_t i = 2; i < 10; i++)
		assert_int_equal(rig_produce(&s, 0, 0, i, 1, 0), KX_DROP_NONE);
	rig_turn(r, 1000);
	assert_true(ahead(r, &s) > 2 * first); /* and these are */
	rig_free(r);
}

/* ---- places for subscriptions */

/* Half of the table for one session, and not more than there is: each one refused is told, charged once, and
 * its packet is taken: nothing is missing afterwards. */
static void subscriptions_without_a_place_are_charged(void **state)
{
	struct rig *r = rig_new(INI("", "max_subscriptions = 32\n"), 0, 1);
	struct rig_session much = rig_connect(r, 1, 5000), other = rig_connect(r, 2, 5000);
	struct rig_session third = rig_connect(r, 3, 5000);
	struct kx_subscribe req = {.request_id = 17, .sub_id = 17, .limit_bytes = 4096};
	struct kx_session_info info;

	(void)state;
	for (uint32_t i = 1; i <= 16; i++) {
		rig_subscribe(&much, i % 4, i, 0, 4096);
		rig_subscribe(&other, i % 4, i, 0, 4096);
	}
	for (uint64_t times = 1; times <= 3; times++) {
		rig_forget(r);
		assert_int_equal(rig_send(&much, KX_SUBSCRIBE, &req, sizeof(req)), KX_DROP_SUBS_FULL);
		assert_int_equal(rig_send(&third, KX_SUBSCRIBE, &req, sizeof(req)), KX_DROP_SUBS_FULL);
		assert_int_equal(dropped(r, KX_DROP_SUBS_FULL), 2 * times);
		assert_int_equal(rig_count(r, KX_SUBSCRIBED), 2);
		for (unsigned int n = 0; n < 2; n++) {
			const struct kx_subscribed *body = rig_body(rig_find(r, KX_SUBSCRIBED, n));

			assert_int_equal(body->code, KX_CODE_SUBS_FULL);
			assert_int_equal(body->request_id, 17);
		}
	}
	assert_int_equal(rig_produce(&much, 0, 0, 0, 1, 0), KX_DROP_NONE);
	for (int i = 0; i < 100; i++)
		rig_turn(r, 1000000);
	assert_int_equal(rig_count(r, KX_NAK), 0);
	for (uint32_t slot = 0; slot < 3; slot++) {
		assert_true(kx_broker_session_info(r->broker, slot, &info));
		assert_int_equal(info.naks_sent, 0);
	}
	/* a place that becomes free is given */
	assert_int_equal(
		rig_send(&other, KX_UNSUBSCRIBE, &(struct kx_unsubscribe){.request_id = 1, .sub_id = 1},
			sizeof(struct kx_unsubscribe)),
		KX_DROP_NONE);
	assert_int_equal(rig_send(&third, KX_SUBSCRIBE, &req, sizeof(req)), KX_DROP_NONE);
	assert_int_equal(dropped(r, KX_DROP_SUBS_FULL), 6);
	rig_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(messages_that_stand_still_are_given_up),
		cmocka_unit_test(a_whole_message_waits_for_a_place),
		cmocka_unit_test(the_oldest_makes_place),
		cmocka_unit_test(a_message_in_turn_has_the_place_of_one_ahead),
		cmocka_unit_test(what_finds_no_place_is_told),
		cmocka_unit_test(a_full_table_lets_messages_in_turn_in),
		cmocka_unit_test(a_message_in_turn_needs_no_slot),
		cmocka_unit_test(requests_have_a_budget),
		cmocka_unit_test(what_is_not_taken_earns_no_credit),
		cmocka_unit_test(subscriptions_without_a_place_are_charged),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
