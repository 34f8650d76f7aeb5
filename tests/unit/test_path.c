/* SPDX-License-Identifier: BSD-3-Clause */
/* A session's frames from another address: what is answered, what moves the session, and what does not. */
#include "kx_test.h"

#include "broker_rig.h"

static const char ini[] = "[lcores]\ndata = 1\n"
			  "[memory]\nlog_bytes = 16M\nextent_bytes = 64K\n"
			  "[sessions]\nsetup_per_turn = 32\nidle_timeout_ms = 60000\n"
			  "[port net_memif0]\naddress = 10.0.0.254/24\n"
			  "[topic one]\npartitions = 1\nlog_bytes = 4M\n";

struct moved {
	struct rig *rig;
	struct rig_session s;
	struct kx_addr home, away;
};

static void moved_new(struct moved *m)
{
	m->rig = rig_new(ini, 0, 1);
	m->s = rig_connect(m->rig, 1, 4000);
	m->home = m->s.addr;
	assert_int_equal(kx_addr_parse("10.0.0.77:5555", 0, &m->away), 0);
}

static void beat_body(struct kx_receipt *r)
{
	*r = (struct kx_receipt){.next_pkt = 1};
}

/* A HEARTBEAT from wherever s.addr says. */
static enum kx_drop beat(struct moved *m)
{
	struct kx_receipt r;

	beat_body(&r);
	return rig_send(&m->s, KX_HEARTBEAT, &r, sizeof(r));
}

static enum kx_drop respond(struct moved *m, const struct kx_path_token *token)
{
	return rig_send(&m->s, KX_PATH_RESPONSE, token, sizeof(*token));
}

/* The challenge sent since the last rig_forget(). */
static struct kx_path_token challenged(struct moved *m)
{
	assert_int_equal(rig_count(m->rig, KX_PATH_CHALLENGE), 1);
	for (unsigned int i = 0; i < m->rig->sent_count; i++)
		if (((const struct kx_frame_hdr *)m->rig->sent[i].data)->type == KX_PATH_CHALLENGE) {
			assert_true(kx_addr_equal(&m->rig->sent[i].to, &m->s.addr));
			assert_int_equal(m->rig->sent[i].bytes, 64);
		}
	return *(const struct kx_path_token *)rig_body(rig_find(m->rig, KX_PATH_CHALLENGE, 0));
}

static struct kx_session_info info(struct moved *m)
{
	struct kx_session_info i;

	assert_true(kx_broker_session_info(m->rig->broker, 0, &i));
	return i;
}

static bool is_at(struct moved *m, const struct kx_addr *addr)
{
	struct kx_session_info i = info(m);

	return kx_addr_equal(&i.remote, addr);
}

/* Everything the broker sends in the next turns goes to `to`. */
static void all_go_to(struct moved *m, const struct kx_addr *to)
{
	unsigned int n = m->rig->sent_count;

	for (int i = 0; i < 4; i++)
		rig_turn(m->rig, 300 * KX_NS_PER_S / 1000);
	assert_true(m->rig->sent_count > n);
	for (; n < m->rig->sent_count; n++)
		assert_true(kx_addr_equal(&m->rig->sent[n].to, to));
}

static void proven(void **state)
{
	struct kx_path_token token;
	struct moved m;

	(void)state;
	moved_new(&m);
	m.s.addr = m.away;
	assert_int_equal(beat(&m), KX_DROP_CONN_PATH);
	token = challenged(&m);
	assert_true(is_at(&m, &m.home));
	all_go_to(&m, &m.home); /* until it is proven */
	assert_int_equal(respond(&m, &token), KX_DROP_NONE);
	assert_true(is_at(&m, &m.away));
	assert_int_equal(info(&m).path_changes, 1);
	assert_int_equal(kx_broker_counters(m.rig->broker)->path_changes, 1);
	all_go_to(&m, &m.away);
	assert_int_equal(beat(&m), KX_DROP_NONE);
	/* a second copy of the answer is nothing special; the old address has to prove itself now */
	assert_int_equal(respond(&m, &token), KX_DROP_NONE);
	assert_int_equal(info(&m).path_changes, 1);
	m.s.addr = m.home;
	assert_int_equal(beat(&m), KX_DROP_CONN_PATH);
	assert_int_equal(respond(&m, &token), KX_DROP_PATH_TOKEN);
	rig_free(m.rig);
}

/* What a frame from elsewhere must not be to get an answer. */
static void unanswered(void **state)
{
	struct kx_close bye = {.code = KX_CODE_OK};
	struct kx_ping ping = {.token = 1};
	struct moved m;

	(void)state;
	moved_new(&m);
	assert_int_equal(beat(&m), KX_DROP_NONE);
	rig_forget(m.rig);
	m.s.addr = m.away;
	assert_int_equal(rig_send(&m.s, KX_CLOSE, &bye, sizeof(bye)), KX_DROP_CONN_PATH);
	assert_int_equal(rig_send(&m.s, KX_PING, &ping, sizeof(ping)), KX_DROP_CONN_PATH); /* 48 bytes */
	m.s.next_pkt = 1; /* a frame that was seen before */
	assert_int_equal(beat(&m), KX_DROP_CONN_PATH);
	m.s.next_pkt = UINT64_C(1) << 40; /* beyond the window */
	assert_int_equal(beat(&m), KX_DROP_CONN_PATH);
	m.s.next_pkt = 50;
	m.s.conn_id ^= 1;
	assert_int_equal(beat(&m), KX_DROP_CONN_UNKNOWN);
	m.s.conn_id ^= 1;
	assert_int_equal(rig_count(m.rig, KX_PATH_CHALLENGE), 0);
	assert_int_equal(rig_count(m.rig, KX_RESET), 1);
	/* none of it was taken */
	m.s.addr = m.home;
	m.s.next_pkt = 4;
	assert_int_equal(beat(&m), KX_DROP_NONE);
	assert_true(is_at(&m, &m.home));
	rig_free(m.rig);
}

static void forged(void **state)
{
	struct kx_path_token token, guess = {{0}};
	struct rig_session other;
	struct moved m;

	(void)state;
	moved_new(&m);
	other = rig_connect(m.rig, 2, 4000);
	m.s.addr = m.away;
	assert_int_equal(respond(&m, &guess), KX_DROP_PATH_TOKEN);
	assert_int_equal(respond(&m, &guess), KX_DROP_SETUP_BUDGET); /* one who guesses waits */
	rig_turn(m.rig, 100000);
	rig_forget(m.rig);
	assert_int_equal(beat(&m), KX_DROP_CONN_PATH);
	token = challenged(&m);
	guess = token;
	guess.token[31] ^= 1;
	assert_int_equal(respond(&m, &guess), KX_DROP_PATH_TOKEN);
	rig_turn(m.rig, 100000);
	/* right, from a third address; of another session, from the right one */
	m.s.addr.port++;
	assert_int_equal(respond(&m, &token), KX_DROP_PATH_TOKEN);
	other.addr = m.away;
	assert_int_equal(rig_send(&other, KX_PATH_RESPONSE, &token, sizeof(token)), KX_DROP_PATH_TOKEN);
	rig_turn(m.rig, 1000);
	/* right, but under a number that was seen, and too late */
	m.s.addr = m.home;
	assert_int_equal(beat(&m), KX_DROP_NONE);
	m.s.addr = m.away;
	m.s.next_pkt--;
	assert_int_equal(respond(&m, &token), KX_DROP_CONN_PATH);
	rig_turn(m.rig, 10 * KX_NS_PER_S + 1);
	assert_int_equal(respond(&m, &token), KX_DROP_PATH_TOKEN);
	assert_true(is_at(&m, &m.home));
	assert_int_equal(kx_broker_counters(m.rig->broker)->path_changes, 0);
	rig_free(m.rig);
}

/* At most one a millisecond and session, and never more than the turn's budget. */
static void bounded(void **state)
{
	struct kx_path_token token;
	struct rig_session others[40];
	struct kx_receipt r;
	struct moved m;

	(void)state;
	moved_new(&m);
	for (unsigned int i = 0; i < KX_DIM(others); i++)
		others[i] = rig_connect(m.rig, (uint8_t)(2 + i), 4000);
	beat_body(&r);
	m.s.addr = m.away;
	for (unsigned int i = 0; i < 10; i++)
		assert_int_equal(beat(&m), KX_DROP_CONN_PATH);
	token = challenged(&m);
	rig_forget(m.rig);
	for (unsigned int i = 0; i < KX_DIM(others); i++) {
		others[i].addr.port++;
		assert_int_equal(rig_send(&others[i], KX_HEARTBEAT, &r, sizeof(r)), KX_DROP_CONN_PATH);
	}
	assert_int_equal(rig_count(m.rig, KX_PATH_CHALLENGE), 3);
	assert_int_equal(respond(&m, &token), KX_DROP_SETUP_BUDGET);
	rig_turn(m.rig, 1000000);
	rig_forget(m.rig);
	assert_int_equal(beat(&m), KX_DROP_CONN_PATH);
	assert_int_equal(rig_count(m.rig, KX_PATH_CHALLENGE), 1);
	assert_int_equal(respond(&m, &token), KX_DROP_NONE);
	rig_free(m.rig);
}

/* Strangers use up what there is for set-up, turn after turn: a session moves all the same. */
static void flooded(void **state)
{
	uint64_t buf[KX_HELLO_BYTES / 8] = {0};
	struct kx_hello *hello = (struct kx_hello *)kx_frame_begin((uint8_t *)buf, KX_HELLO, 0, 0, 0, 0);
	struct kx_addr stranger;
	struct kx_path_token token;
	struct moved m;

	(void)state;
	moved_new(&m);
	assert_int_equal(kx_addr_parse("10.0.0.9:4000", 0, &stranger), 0);
	hello->version_min = hello->version_max = KX_WIRE_VERSION;
	kx_frame_seal((uint8_t *)buf, sizeof(buf));
	for (int turn = 0; turn < 100; turn++) { /* until it has least */
		while (rig_rx(m.rig, buf, sizeof(buf), &stranger, 0) != KX_DROP_SETUP_BUDGET)
			;
		rig_turn(m.rig, 1000);
	}
	rig_forget(m.rig);
	while (rig_rx(m.rig, buf, sizeof(buf), &stranger, 0) != KX_DROP_SETUP_BUDGET)
		;
	m.s.addr = m.away;
	assert_int_equal(beat(&m), KX_DROP_CONN_PATH);
	token = challenged(&m);
	rig_turn(m.rig, 1000);
	while (rig_rx(m.rig, buf, sizeof(buf), &stranger, 0) != KX_DROP_SETUP_BUDGET)
		;
	assert_int_equal(respond(&m, &token), KX_DROP_NONE);
	assert_true(is_at(&m, &m.away));
	rig_free(m.rig);
}

/* Neither an answer that is not asked for nor one without a buffer does harm. */
static void at_home(void **state)
{
	struct kx_path_token guess = {{0}};
	struct moved m;

	(void)state;
	moved_new(&m);
	assert_int_equal(respond(&m, &guess), KX_DROP_NONE);
	assert_int_equal(info(&m).path_changes, 0);
	m.s.addr = m.away;
	m.rig->no_buffers = 1;
	assert_int_equal(beat(&m), KX_DROP_CONN_PATH);
	assert_int_equal(rig_count(m.rig, KX_PATH_CHALLENGE), 0);
	rig_turn(m.rig, 1000000);
	rig_forget(m.rig);
	assert_int_equal(beat(&m), KX_DROP_CONN_PATH);
	(void)challenged(&m);
	rig_free(m.rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(proven),
		cmocka_unit_test(unanswered),
		cmocka_unit_test(forged),
		cmocka_unit_test(bounded),
		cmocka_unit_test(flooded),
		cmocka_unit_test(at_home),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
