/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Bad input that is well formed: frames that were sent before, the broker's own frames sent back, frames that
 * name what is another session's, cookies and tickets that were forged. Each has its named drop or answer,
 * counted once, and both sessions go on.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "hostile_fields.h"
#include "wire_repair.h"

static const char ini[] = "[lcores]\ndata = 1\n"
			  "[memory]\nlog_bytes = 4M\nextent_bytes = 64K\nreorder_frames = 64\n"
			  "[port net_memif0]\naddress = 10.0.0.254/24\n"
			  "[sessions]\nmax = 64\nmax_subscriptions = 64\nmax_producers = 128\n"
			  "[topic trim]\npartitions = 1\nlog_bytes = 256K\nmax_message_bytes = 64K\n"
			  "[topic other]\npartitions = 1\nlog_bytes = 256K\nmax_message_bytes = 64K\n";

/* Two sessions, one of which is attacked by the other or by somebody who saw its frames. */
struct scene {
	struct rig *r;
	struct rig_session victim, other;
	uint64_t victim_seq, other_seq;
};

static struct scene scene_open(void)
{
	struct scene c = {
		.r = rig_new(ini, 0, 1), .victim_seq = HOSTILE_RECORDS, .other_seq = HOSTILE_RECORDS};

	c.victim = hostile_session(c.r, 7001);
	c.other = hostile_session(c.r, 7002);
	return c;
}

static void both_work(struct scene *c, const char *what)
{
	if (!hostile_works(&c->victim, &c->victim_seq))
		fail_msg("%s: the session does not work any more", what);
	if (!hostile_works(&c->other, &c->other_seq))
		fail_msg("%s: its neighbour does not work any more", what);
}

static void scene_close(struct scene *c)
{
	both_work(c, "at the end");
	rig_turn(c->r, 1000);
	rig_free(c->r);
}

/* One frame, counted once. KX_DROP_NONE: handled. */
static enum kx_drop give(struct scene *c, const void *frame, uint32_t bytes, const struct kx_addr *from)
{
	struct kx_ledger *l = &c->r->ledger;
	uint64_t handled = l->handled, dropped = kx_ledger_rx_dropped(l);
	enum kx_drop drop;

	rig_turn(c->r, 1000);
	rig_forget(c->r);
	drop = rig_rx(c->r, frame, bytes, from, 0);
	assert_int_equal(l->handled + kx_ledger_rx_dropped(l), handled + dropped + 1);
	assert_int_equal(kx_ledger_rx_open(l), 0);
	assert_int_equal(kx_ledger_tx_open(l), 0);
	return l->handled != handled ? KX_DROP_NONE : drop;
}

static void expect(enum kx_drop got, enum kx_drop wanted, const char *what)
{
	if (got != wanted)
		fail_msg("%s: %s, wanted %s", what, got == KX_DROP_NONE ? "handled" : kx_drop_key(got),
			wanted == KX_DROP_NONE ? "handled" : kx_drop_key(wanted));
}

/* Each type once as it should be, then the same bytes again: from its own address, from another's, and after
 * the session has ended. */
static void replayed(void **state)
{
	uint64_t frame[HOSTILE_FRAME_BYTES / 8];

	(void)state;
	for (unsigned int t = 0; t < hostile_type_count; t++) {
		uint8_t type = hostile_types[t];
		const char *what = kx_frame_type_name(type);
		struct kx_close bye = {.code = KX_CODE_OK};
		struct scene c = scene_open();
		struct rig_session s = hostile_session(c.r, 7003);
		uint32_t bytes = hostile_build(&s, type, frame);
		enum kx_drop first, again;

		if (hostile_setup_type(type) || type == KX_CLOSE || type == KX_PATH_RESPONSE) {
			scene_close(&c);
			continue;
		}
		first = give(&c, frame, bytes, &s.addr);
		expect(first, KX_DROP_NONE, what);
		s.next_pkt++;
		again = give(&c, frame, bytes, &s.addr);
		expect(again, KX_DROP_PKT_DUPLICATE, what);
		expect(give(&c, frame, bytes, &c.other.addr), KX_DROP_CONN_PATH, what);
		both_work(&c, what);
		assert_int_equal(rig_send(&s, KX_CLOSE, &bye, sizeof(bye)), KX_DROP_NONE);
		expect(give(&c, frame, bytes, &s.addr), KX_DROP_CONN_UNKNOWN, what);
		scene_close(&c);
	}
}

/* A PRODUCE again under a new packet number is a duplicate by its sequence: stored once. */
static void replayed_with_a_new_number(void **state)
{
	uint64_t frame[HOSTILE_FRAME_BYTES / 8], offset;
	struct scene c = scene_open();
	struct rig_session s = hostile_session(c.r, 7003);
	uint32_t bytes = hostile_build(&s, KX_PRODUCE, frame);
	struct kx_frame_hdr *h = (struct kx_frame_hdr *)frame;

	(void)state;
	expect(give(&c, frame, bytes, &s.addr), KX_DROP_NONE, "first");
	rig_turn(c.r, 1000);
	offset = c.r->offsets[HOSTILE_PARTITION].next_offset;
	h->pkt_no++;
	wire_repair_frame((uint8_t *)frame, bytes);
	expect(give(&c, frame, bytes, &s.addr), KX_DROP_SEQ_DUPLICATE, "again");
	rig_turn(c.r, 1000);
	assert_int_equal(c.r->offsets[HOSTILE_PARTITION].next_offset, offset);
	scene_close(&c);
}

/* What the broker sends comes back to it, from the session's address and from another's. */
static void reflected(void **state)
{
	struct scene c = scene_open();
	struct {
		uint64_t data[HOSTILE_FRAME_BYTES / 8];
		uint32_t bytes;
	} sent[64];
	unsigned int n = 0;
	uint64_t frame[HOSTILE_FRAME_BYTES / 8];

	(void)state;
	for (unsigned int t = 0; t < hostile_type_count; t++) {
		uint32_t bytes;

		if (hostile_types[t] == KX_CLOSE)
			continue;
		bytes = hostile_build(&c.victim, hostile_types[t], frame);
		give(&c, frame, bytes, &c.victim.addr);
		if (!hostile_setup_type(hostile_types[t]))
			c.victim.next_pkt++;
		if (hostile_types[t] == KX_PRODUCE)
			c.victim_seq += HOSTILE_BUILT_RECORDS;
		rig_turn(c.r, 200000000);
		for (unsigned int i = 0; i < c.r->sent_count && n < KX_DIM(sent); i++) {
			memcpy(sent[n].data, c.r->sent[i].data, c.r->sent[i].bytes);
			sent[n++].bytes = c.r->sent[i].bytes;
		}
	}
	assert_true(n > 12);
	for (unsigned int i = 0; i < n; i++) {
		const struct kx_frame_hdr *h = (const struct kx_frame_hdr *)sent[i].data;
		bool ours = h->conn_id == c.victim.conn_id;
		bool both = h->type == KX_RX_ACK || h->type == KX_HEARTBEAT || h->type == KX_NAK;
		enum kx_drop drop = give(&c, sent[i].data, sent[i].bytes, &c.victim.addr);

		/* of the types that both sides send, some are well formed for a client too: numbers tell */
		if (!both)
			expect(drop, KX_DROP_FRAME_TYPE, kx_frame_type_name(h->type));
		else if (drop == KX_DROP_NONE && ours && h->pkt_no >= c.victim.next_pkt)
			c.victim.next_pkt = h->pkt_no + 1;
		drop = give(&c, sent[i].data, sent[i].bytes, &c.other.addr);
		if (!both)
			expect(drop, KX_DROP_FRAME_TYPE, kx_frame_type_name(h->type));
		else
			assert_int_not_equal(drop, KX_DROP_NONE);
	}
	scene_close(&c);
}

/* A session of its own, and what it says is another's. */
static void names_anothers(void **state)
{
	uint64_t frame[HOSTILE_FRAME_BYTES / 8];
	struct scene c = scene_open();
	struct kx_frame_hdr *h = (struct kx_frame_hdr *)frame;
	struct kx_batch_hdr *b = (struct kx_batch_hdr *)(h + 1);
	struct kx_unsubscribe unsubscribe = {9, HOSTILE_SUB};
	uint32_t bytes;

	(void)state;
	/* the victim's producer id, under the other's connection */
	bytes = hostile_build(&c.other, KX_PRODUCE, frame);
	b->producer_id = c.victim.producer_id;
	wire_repair_frame((uint8_t *)frame, bytes);
	expect(give(&c, frame, bytes, &c.other.addr), KX_DROP_PRODUCER_FOREIGN, "producer id");
	assert_int_equal(
		((const struct kx_produce_refused *)rig_body(rig_find(c.r, KX_PRODUCE_REFUSED, 0)))->code,
		KX_CODE_FOREIGN_PRODUCER);
	c.other.next_pkt++; /* refused is received */
	both_work(&c, "producer id");
	/* the victim's connection id, from the other's address */
	bytes = hostile_build(&c.victim, KX_PRODUCE, frame);
	expect(give(&c, frame, bytes, &c.other.addr), KX_DROP_CONN_PATH, "connection id");
	both_work(&c, "connection id");
	bytes = hostile_build(&c.victim, KX_CLOSE, frame);
	expect(give(&c, frame, bytes, &c.other.addr), KX_DROP_CONN_PATH, "CLOSE");
	both_work(&c, "CLOSE");
	/* a subscription id means its own session's: the victim's of the same number lives on */
	assert_int_equal(rig_send(&c.other, KX_UNSUBSCRIBE, &unsubscribe, sizeof(unsubscribe)), KX_DROP_NONE);
	assert_true(hostile_works(&c.victim, &c.victim_seq));
	rig_subscribe(&c.other, HOSTILE_PARTITION, HOSTILE_SUB, KX_OFFSET_NOW, UINT64_C(1) << 40);
	both_work(&c, "subscription id");
	scene_close(&c);
}

/* HELLO from an address, and the AUTH that would answer its cookie. */
static uint32_t auth_of(struct scene *c, const struct kx_addr *from, uint8_t nonce, uint64_t *frame)
{
	struct kx_auth *auth;
	struct kx_hello *hello;
	const struct kx_cookie *cookie;
	uint32_t bytes = hostile_build(&c->victim, KX_HELLO, frame);

	hello = (struct kx_hello *)((uint8_t *)frame + sizeof(struct kx_frame_hdr));
	hello->client_nonce[1] = nonce;
	wire_repair_frame((uint8_t *)frame, bytes);
	expect(give(c, frame, bytes, from), KX_DROP_NONE, "HELLO");
	cookie = rig_body(rig_find(c->r, KX_COOKIE, 0));
	bytes = hostile_build(&c->victim, KX_AUTH, frame);
	auth = (struct kx_auth *)((uint8_t *)frame + sizeof(struct kx_frame_hdr));
	memcpy(auth->client_nonce, cookie->client_nonce, KX_NONCE_BYTES);
	memcpy(auth->cookie, cookie->cookie, KX_COOKIE_BYTES);
	memcpy(auth->broker_nonce, cookie->broker_nonce, KX_NONCE_BYTES);
	wire_repair_frame((uint8_t *)frame, bytes);
	return bytes;
}

static uint64_t sessions(const struct scene *c)
{
	struct kx_broker_memory m;

	kx_broker_memory(c->r->broker, &m);
	return m.sessions_used;
}

/* Every byte of a cookie and of what it is bound to, one bit each. */
static void forged_cookies(void **state)
{
	uint64_t frame[HOSTILE_FRAME_BYTES / 8];
	struct scene c = scene_open();
	uint64_t before = sessions(&c);
	uint32_t bytes = auth_of(&c, &c.victim.addr, 1, frame);
	struct kx_auth *auth = (struct kx_auth *)((uint8_t *)frame + sizeof(struct kx_frame_hdr));
	uint8_t *bound = auth->client_nonce;

	(void)state;
	for (uint32_t i = 0; i < KX_NONCE_BYTES + KX_COOKIE_BYTES + KX_NONCE_BYTES; i++) {
		bound[i] ^= (uint8_t)(1u << (i & 7));
		wire_repair_frame((uint8_t *)frame, bytes);
		expect(give(&c, frame, bytes, &c.victim.addr), KX_DROP_COOKIE_BAD, "a bit of the cookie");
		assert_int_equal(c.r->sent_count, 0);
		bound[i] ^= (uint8_t)(1u << (i & 7));
	}
	wire_repair_frame((uint8_t *)frame, bytes);
	expect(give(&c, frame, bytes, &c.other.addr), KX_DROP_COOKIE_BAD, "another's address");
	assert_int_equal(sessions(&c), before);
	both_work(&c, "forged cookies");
	expect(give(&c, frame, bytes, &c.victim.addr), KX_DROP_NONE, "the cookie itself");
	assert_int_equal(sessions(&c), before + 1);
	expect(give(&c, frame, bytes, &c.victim.addr), KX_DROP_NONE, "again: the same ACCEPT");
	assert_int_equal(sessions(&c), before + 1);
	scene_close(&c);
}

static void old_cookie(void **state)
{
	uint64_t frame[HOSTILE_FRAME_BYTES / 8];
	struct scene c = scene_open();
	uint32_t bytes = auth_of(&c, &c.victim.addr, 1, frame);

	(void)state;
	c.r->now_ns += c.r->conf->sessions.cookie_lifetime_ms * UINT64_C(1000000) + 1000000;
	expect(give(&c, frame, bytes, &c.victim.addr), KX_DROP_COOKIE_BAD, "an old cookie");
	scene_close(&c);
}

/* A ticket with one bit wrong, in each byte, is no ticket; the whole one is. */
static void forged_tickets(void **state)
{
	uint64_t frame[HOSTILE_FRAME_BYTES / 8];
	struct scene c = scene_open();
	uint64_t before = sessions(&c);
	uint32_t bytes = auth_of(&c, &c.victim.addr, 1, frame);
	struct kx_auth *auth = (struct kx_auth *)((uint8_t *)frame + sizeof(struct kx_frame_hdr));

	(void)state;
	auth->method = KX_AUTH_TICKET;
	memcpy(auth->ticket, c.victim.accept.ticket, KX_TICKET_BYTES);
	for (uint32_t i = 0; i < KX_TICKET_BYTES; i++) {
		auth->ticket[i] ^= (uint8_t)(1u << (i & 7));
		wire_repair_frame((uint8_t *)frame, bytes);
		expect(give(&c, frame, bytes, &c.victim.addr), KX_DROP_AUTH_BAD, "a bit of the ticket");
		assert_int_equal(((const struct kx_refuse *)rig_body(rig_find(c.r, KX_REFUSE, 0)))->code,
			KX_CODE_AUTH);
		auth->ticket[i] ^= (uint8_t)(1u << (i & 7));
	}
	assert_int_equal(sessions(&c), before);
	both_work(&c, "forged tickets");
	wire_repair_frame((uint8_t *)frame, bytes);
	expect(give(&c, frame, bytes, &c.victim.addr), KX_DROP_NONE, "the ticket itself");
	assert_int_equal(sessions(&c), before + 1);
	scene_close(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(replayed),
		cmocka_unit_test(replayed_with_a_new_number),
		cmocka_unit_test(reflected),
		cmocka_unit_test(names_anothers),
		cmocka_unit_test(forged_cookies),
		cmocka_unit_test(old_cookie),
		cmocka_unit_test(forged_tickets),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
