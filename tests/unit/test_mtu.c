/* SPDX-License-Identifier: BSD-3-Clause */
/* Probes of the path at the broker: what it answers, what it believes, and what it does not. */
#include "kx_test.h"

#include "broker_rig.h"

#define MOST 9000

static const char ini[] = "[lcores]\ndata = 1\n"
			  "[memory]\nlog_bytes = 4M\nextent_bytes = 64K\n"
			  "[port net_memif0]\naddress = 10.0.0.254/24\n"
			  "[topic one]\nlog_bytes = 1M\nmax_message_bytes = 64K\n";

static struct rig *jumbo(void)
{
	struct rig *r = rig_new(ini, 0, 1);

	r->datagram_bytes = MOST;
	return r;
}

static enum kx_drop probe(struct rig_session *s, uint32_t size, uint16_t proven_bytes)
{
	static uint64_t body[KX_FRAME_MAX_BYTES / 8];

	*(struct kx_mtu *)body = (struct kx_mtu){.size = (uint16_t)size, .proven_bytes = proven_bytes};
	return rig_send(s, KX_MTU_PROBE, body, size - (uint32_t)sizeof(struct kx_frame_hdr));
}

/* The shortest, with a number of its own, as if lower ones were still on their way. */
static enum kx_drop probe_as(struct rig_session *s, uint64_t pkt_no, uint16_t proven_bytes)
{
	uint64_t frame[5] = {0};
	struct kx_mtu *b = (struct kx_mtu *)kx_frame_begin(
		(uint8_t *)frame, KX_MTU_PROBE, s->conn_id, pkt_no, (uint32_t)pkt_no - 1, 0);

	*b = (struct kx_mtu){.size = sizeof(frame), .proven_bytes = proven_bytes};
	kx_frame_seal((uint8_t *)frame, sizeof(frame));
	return rig_rx(s->rig, frame, sizeof(frame), &s->addr, 0);
}

/* The broker sends no more than this, as its last answer says. */
static uint16_t sends(struct rig *r, uint32_t size)
{
	const struct kx_frame_hdr *h = rig_find(r, KX_MTU_PROBED, 0);
	const struct kx_mtu *b;
	uint16_t bytes;

	assert_int_equal(rig_count(r, KX_MTU_PROBED), 1);
	assert_non_null(h);
	b = rig_body(h);
	assert_int_equal(b->size, size);
	assert_int_equal(r->sent[r->sent_count - 1].bytes, size);
	bytes = b->proven_bytes;
	rig_forget(r);
	return bytes;
}

/* What telemetry shows of the only session. */
static void shown(struct rig *r, uint16_t tx, uint16_t rx)
{
	struct kx_session_info info;

	assert_true(kx_broker_session_info(r->broker, 0, &info));
	assert_int_equal(info.tx_datagram_bytes, tx);
	assert_int_equal(info.rx_datagram_bytes, rx);
	assert_int_equal(info.datagram_most_bytes, MOST);
}

static void climbs(void **state)
{
	struct rig *r = jumbo();
	struct rig_session s = rig_connect(r, 1, 5000);

	(void)state;
	assert_int_equal(s.accept.datagram_bytes, MOST);
	shown(r, 1372, 1372);
	assert_int_equal(probe(&s, 4072, 1372), KX_DROP_NONE);
	assert_int_equal(sends(r, 4072), 1372);
	assert_int_equal(probe(&s, MOST, 4072), KX_DROP_NONE);
	assert_int_equal(sends(r, MOST), 4072);
	shown(r, 4072, 4072);
	assert_int_equal(probe(&s, 40, MOST), KX_DROP_NONE); /* the shortest only tells */
	assert_int_equal(sends(r, 40), MOST);
	assert_int_equal(probe(&s, 40, 1372), KX_DROP_NONE); /* and down again */
	assert_int_equal(sends(r, 40), 1372);
	assert_int_equal(probe(&s, 40, 1232), KX_DROP_NONE); /* never below what it began with */
	assert_int_equal(sends(r, 40), 1372);
	rig_free(r);
}

static void believes_what_it_answered(void **state)
{
	struct rig *r = jumbo();
	struct rig_session s = rig_connect(r, 1, 5000);

	(void)state;
	assert_int_equal(probe(&s, 40, 65000), KX_DROP_NONE);
	assert_int_equal(sends(r, 40), 1372);
	assert_int_equal(probe(&s, 2020, 65000), KX_DROP_NONE);
	assert_int_equal(sends(r, 2020), 1372); /* answered after it was believed */
	assert_int_equal(probe(&s, 40, 65000), KX_DROP_NONE);
	assert_int_equal(sends(r, 40), 2020);
	assert_int_equal(probe(&s, MOST + 8, 1372), KX_DROP_FRAME_LENGTH);
	assert_int_equal(rig_count(r, KX_MTU_PROBED), 0);
	rig_free(r);
}

/* An older probe that was overtaken does not undo a newer one. */
static void newest_counts(void **state)
{
	struct rig *r = jumbo();
	struct rig_session s = rig_connect(r, 1, 5000);

	(void)state;
	assert_int_equal(probe(&s, MOST, 1372), KX_DROP_NONE);
	(void)sends(r, MOST);
	assert_int_equal(probe_as(&s, 5, 1372), KX_DROP_NONE);
	assert_int_equal(sends(r, 40), 1372);
	assert_int_equal(probe_as(&s, 3, MOST), KX_DROP_NONE);
	assert_int_equal(sends(r, 40), 1372);
	assert_int_equal(probe_as(&s, 6, MOST), KX_DROP_NONE);
	assert_int_equal(sends(r, 40), MOST);
	rig_free(r);
}

static void floods(void **state)
{
	struct rig *r = jumbo();
	struct rig_session s = rig_connect(r, 1, 5000), other = rig_connect(r, 2, 5000);
	unsigned int answered = 0;

	(void)state;
	for (int i = 0; i < 100; i++)
		answered += probe(&s, 4072, 1372) == KX_DROP_NONE;
	assert_int_equal(answered, 8);
	assert_int_equal(rig_count(r, KX_MTU_PROBED), 8);
	rig_forget(r);
	assert_int_equal(probe(&other, 4072, 1372), KX_DROP_NONE); /* another session's budget is its own */
	rig_turn(r, 1000000);
	rig_forget(r);
	assert_int_equal(probe(&s, 4072, 1372), KX_DROP_NONE);
	assert_int_equal(rig_count(r, KX_MTU_PROBED), 1);
	rig_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(climbs),
		cmocka_unit_test(believes_what_it_answered),
		cmocka_unit_test(newest_counts),
		cmocka_unit_test(floods),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
