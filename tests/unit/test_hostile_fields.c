/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Bad input: each frame type with each of its fields at its extremes and one beyond, in every state a session
 * can be in. What lies outside is dropped for the named reason; every frame is counted once; whatever it was,
 * the session (where it refused) and its neighbour go on, and the ledger closes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "hostile_fields.h"
#include "wire_repair.h"

static const char ini[] = "[lcores]\ndata = 1\n"
			  "[memory]\nlog_bytes = 4M\nextent_bytes = 64K\nreorder_frames = 64\n"
			  "[port net_memif0]\naddress = 10.0.0.254/24\n"
			  "[sessions]\nmax = 256\nmax_subscriptions = 256\nmax_producers = 512\n"
			  "[topic trim]\npartitions = 1\nlog_bytes = 256K\nmax_message_bytes = 64K\n"
			  "[topic other]\npartitions = 1\nlog_bytes = 256K\nmax_message_bytes = 64K\n";

enum state { NO_SESSION, COOKIE_SENT, OPEN, CLOSED, ANOTHERS, STATES };
static const char *const state_names[] = {"no session", "cookie sent", "open", "closed", "another's"};

struct scene {
	struct rig *r;
	struct rig_session neighbour;
	uint64_t neighbour_seq;
	uint16_t port; /* of the next session */
	const char *what;
	unsigned int frames;
};

static void scene_open(struct scene *c)
{
	c->r = rig_new(ini, 0, 1);
	c->port = 6000;
	c->neighbour = hostile_session(c->r, c->port++);
	c->neighbour_seq = HOSTILE_RECORDS;
}

/* One frame in; exactly one end. */
static enum kx_drop give(struct scene *c, const uint64_t *frame, uint32_t bytes, const struct kx_addr *from)
{
	struct kx_ledger *l = &c->r->ledger;
	uint64_t handled = l->handled, dropped = kx_ledger_rx_dropped(l);
	enum kx_drop drop = rig_rx(c->r, frame, bytes, from, 0);

	if (l->handled + kx_ledger_rx_dropped(l) != handled + dropped + 1)
		fail_msg("%s: counted %lu times", c->what,
			(unsigned long)(l->handled + kx_ledger_rx_dropped(l) - handled - dropped));
	if (kx_ledger_rx_open(l) != 0 || kx_ledger_tx_open(l) != 0)
		fail_msg("%s: the ledger does not close", c->what);
	c->frames++;
	return l->handled != handled ? KX_DROP_NONE : drop;
}

static void must_work(struct scene *c, struct rig_session *s, uint64_t *seq, const char *who)
{
	if (!hostile_works(s, seq))
		fail_msg("%s: %s does not work any more", c->what, who);
}

static void expect(const struct scene *c, enum kx_drop got, enum kx_drop wanted)
{
	if (wanted == HOSTILE_ANY ? !hostile_wire_reason(got) : got != wanted)
		fail_msg("%s: %s, wanted %s", c->what, got == KX_DROP_NONE ? "handled" : kx_drop_key(got),
			wanted == HOSTILE_ANY		 ? "a reason of the frame group"
				: wanted == KX_DROP_NONE ? "handled"
							 : kx_drop_key(wanted));
}

static void leave(struct rig_session *s)
{
	struct kx_close body = {.code = KX_CODE_OK};

	rig_turn(s->rig, 1000);
	assert_int_equal(rig_send(s, KX_CLOSE, &body, sizeof(body)), KX_DROP_NONE);
	rig_forget(s->rig);
}

/* AUTH with the cookie that its address was sent. */
static void with_cookie(struct scene *c, struct rig_session *s, uint64_t *frame, uint32_t bytes)
{
	uint64_t hello[HOSTILE_FRAME_BYTES / 8];
	struct kx_auth *auth = (struct kx_auth *)((uint8_t *)frame + sizeof(struct kx_frame_hdr));
	const struct kx_cookie *cookie;
	uint32_t hello_bytes = hostile_build(s, KX_HELLO, hello);

	((struct kx_hello *)((uint8_t *)hello + sizeof(struct kx_frame_hdr)))->client_nonce[1] =
		(uint8_t)s->addr.port;
	((struct kx_hello *)((uint8_t *)hello + sizeof(struct kx_frame_hdr)))->client_nonce[2] =
		(uint8_t)(s->addr.port >> 8);
	wire_repair_frame((uint8_t *)hello, hello_bytes);
	rig_turn(c->r, 1000);
	rig_forget(c->r);
	assert_int_equal(rig_rx(c->r, hello, hello_bytes, &s->addr, 0), KX_DROP_NONE);
	cookie = rig_body(rig_find(c->r, KX_COOKIE, 0));
	memcpy(auth->client_nonce, cookie->client_nonce, KX_NONCE_BYTES);
	memcpy(auth->cookie, cookie->cookie, KX_COOKIE_BYTES);
	memcpy(auth->broker_nonce, cookie->broker_nonce, KX_NONCE_BYTES);
	wire_repair_frame((uint8_t *)frame, bytes);
}

/* What a frame gets that is well formed. -2: handled, or any drop that is not of the frame group. */
#define ANY_NAMED ((enum kx_drop)(-2))
static enum kx_drop wanted_of(uint8_t type, enum state state, const struct hostile_field *f)
{
	if (type == KX_HELLO)
		return KX_DROP_NONE;
	if (type == KX_AUTH)
		return state == COOKIE_SENT ? ANY_NAMED : KX_DROP_COOKIE_BAD;
	if (state == ANOTHERS && strcmp(f->name, "conn_id") != 0)
		return type == KX_PATH_RESPONSE && strcmp(f->name, "pkt_no") != 0 ? KX_DROP_PATH_TOKEN
										  : KX_DROP_CONN_PATH;
	return state == OPEN ? ANY_NAMED : KX_DROP_CONN_UNKNOWN;
}

static void one_case(
	struct scene *c, uint8_t type, const struct hostile_field *f, uint64_t value, enum state state)
{
	uint64_t frame[HOSTILE_FRAME_BYTES / 8], seq = HOSTILE_RECORDS;
	struct rig_session s = hostile_session(c->r, c->port++);
	uint32_t bytes = hostile_build(&s, type, frame);
	bool legal = value >= f->low && value <= f->high;
	const struct kx_addr *from = state == ANOTHERS ? &c->neighbour.addr : &s.addr;
	enum kx_drop got, wanted = legal ? wanted_of(type, state, f) : f->reason;
	char what[128];

	snprintf(what, sizeof(what), "%s, %s = %#lx, %s", kx_frame_type_name(type), f->name,
		(unsigned long)value, state_names[state]);
	c->what = what;
	if (state == NO_SESSION || state == COOKIE_SENT || state == CLOSED)
		leave(&s);
	if (state == COOKIE_SENT && type == KX_AUTH)
		with_cookie(c, &s, frame, bytes);
	bytes = hostile_set(frame, bytes, f, value);
	rig_turn(c->r, 1000); /* a new budget for set-up */
	rig_forget(c->r);
	got = give(c, frame, bytes, from);
	if (wanted == ANY_NAMED ? hostile_wire_reason(got) : got != wanted)
		expect(c, got, wanted == ANY_NAMED ? KX_DROP_NONE : wanted);
	if (!legal && c->r->sent_count != 0)
		fail_msg("%s: was answered", what);
	if (state == OPEN && hostile_wire_reason(got))
		must_work(c, &s, &seq, "the session");
	if (state == ANOTHERS)
		must_work(c, &s, &seq, "the session whose id it was");
	must_work(c, &c->neighbour, &c->neighbour_seq, "the neighbour");
	if (state == ANOTHERS || (state == OPEN && hostile_wire_reason(got)))
		leave(&s);
}

static void scene_close(struct scene *c)
{
	rig_turn(c->r, 1000);
	rig_free(c->r);
}

static void every_field_in_every_state(void **unused)
{
	unsigned int frames = 0;

	(void)unused;
	for (unsigned int t = 0; t < hostile_type_count; t++) {
		for (unsigned int i = 0; i < hostile_field_count; i++) {
			const struct hostile_field *f = &hostile_fields[i];
			uint64_t values[HOSTILE_VALUES_MAX];
			unsigned int n = hostile_values(f, values);
			struct scene c = {0};

			if (!hostile_field_of(f, hostile_types[t]))
				continue;
			scene_open(&c);
			for (unsigned int k = 0; k < n; k++)
				for (enum state state = 0; state < STATES; state++)
					one_case(&c, hostile_types[t], f, values[k], state);
			frames += c.frames;
			scene_close(&c);
		}
	}
	print_message("%u frames of %u types\n", frames, hostile_type_count);
	assert_true(frames > 1500);
}

/* No type that a client may send is missing from the table. That no field is: tests/hostile_table.py. */
static void table_is_complete(void **unused)
{
	uint64_t frame[HOSTILE_FRAME_BYTES / 8];
	struct scene c = {0};
	struct rig_session s;

	(void)unused;
	scene_open(&c);
	s = c.neighbour;
	for (unsigned int type = 0; type < 256; type++) {
		bool listed = false, known = true;

		for (unsigned int t = 0; t < hostile_type_count; t++)
			listed |= hostile_types[t] == type;
		hostile_build(&s, KX_PING, frame);
		((struct kx_frame_hdr *)frame)->type = (uint8_t)type;
		wire_repair_frame((uint8_t *)frame, HOSTILE_FRAME_BYTES);
		known = rig_rx(c.r, frame, HOSTILE_FRAME_BYTES, &s.addr, 0) != KX_DROP_FRAME_TYPE;
		if (known != listed)
			fail_msg("type %#x (%s): is %s by brokers, and %s the table", type,
				kx_frame_type_name((uint8_t)type), known ? "taken" : "not taken",
				listed ? "in" : "not in");
	}
	for (unsigned int t = 0; t < hostile_type_count; t++) {
		uint32_t bytes = hostile_build(&s, hostile_types[t], frame);
		struct kx_frame_view v;

		assert_int_equal(kx_frame_check((uint8_t *)frame, bytes, KX_FROM_CLIENT, &v), KX_DROP_NONE);
	}
	scene_close(&c);
}

/* Flags that are not known, and lengths that are not the frame's, of each type. */
static void flags_and_lengths(void **unused)
{
	static const uint8_t flags[] = {0x08, 0x10, 0x20, 0x40, 0x80, 0xf8};
	uint64_t frame[HOSTILE_FRAME_BYTES / 8];
	struct scene c = {0};
	uint64_t seq = HOSTILE_RECORDS;
	struct rig_session s;

	(void)unused;
	scene_open(&c);
	s = hostile_session(c.r, c.port++);
	for (unsigned int t = 0; t < hostile_type_count; t++) {
		uint32_t bytes = hostile_build(&s, hostile_types[t], frame);

		c.what = kx_frame_type_name(hostile_types[t]);
		for (unsigned int i = 0; i < KX_DIM(flags); i++) {
			((struct kx_frame_hdr *)frame)->flags = flags[i];
			wire_repair_frame((uint8_t *)frame, bytes);
			expect(&c, give(&c, frame, bytes, &s.addr), KX_DROP_FRAME_FLAGS);
		}
		((struct kx_frame_hdr *)frame)->flags = 0;
		for (uint32_t cut = 0; cut < bytes; cut += cut < 64 ? 1 : 8) {
			wire_repair_frame((uint8_t *)frame, cut);
			expect(&c, give(&c, frame, cut, &s.addr), HOSTILE_ANY);
		}
		bytes = hostile_build(&s, hostile_types[t], frame);
		wire_repair_frame((uint8_t *)frame, bytes + 8);
		expect(&c, give(&c, frame, bytes + 8, &s.addr), HOSTILE_ANY);
		hostile_build(&s, hostile_types[t], frame);
		((struct kx_frame_hdr *)frame)->check ^= 1;
		expect(&c, give(&c, frame, bytes, &s.addr), KX_DROP_FRAME_CHECK);
		must_work(&c, &s, &seq, "the session");
		must_work(&c, &c.neighbour, &c.neighbour_seq, "the neighbour");
	}
	scene_close(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(table_is_complete),
		cmocka_unit_test(every_field_in_every_state),
		cmocka_unit_test(flags_and_lengths),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
