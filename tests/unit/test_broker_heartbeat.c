/* SPDX-License-Identifier: BSD-3-Clause */
/* Which subscriptions the broker's HEARTBEAT names: those whose CREDIT, were it lost, nothing else would
 * repeat. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "broker_rig.h"

static const char ini[] = "[lcores]\ndata = 1\n"
			  "[memory]\nlog_bytes = 16M\nextent_bytes = 64K\n"
			  "[port net_memif0]\naddress = 10.0.0.254/24\n"
			  "[topic one]\npartitions = 1\nlog_bytes = 256K\nmax_message_bytes = 16K\n";
#define BATCH (KX_BATCH_HDR_BYTES + 8 + 64)

/* Subscriptions that the next HEARTBEAT names. */
static unsigned int named(struct rig *r, struct rig_session *s)
{
	const struct kx_frame_hdr *h;

	for (int i = 0; i < 20; i++) /* what is under way is done */
		rig_turn(r, 1000000);
	rig_received(s);
	rig_forget(r);
	for (int i = 0; i < 400 && rig_count(r, KX_HEARTBEAT) == 0; i++)
		rig_turn(r, 1000000);
	h = rig_find(r, KX_HEARTBEAT, 0);
	assert_non_null(h);
	return ((const struct kx_receipt *)rig_body(h))->entry_count;
}

static void without_credit_or_done(void **state)
{
	struct rig *r = rig_new(ini, 0, 1);
	struct rig_session s = rig_connect(r, 1, 5000);
	struct {
		struct kx_receipt r;
		struct kx_credit_entry e;
	} credit = {.r = {.next_pkt = 1, .entry_count = 1},
		.e = {.sub_id = 9, .next_offset = 3, .limit_bytes = 1 << 20, .done_offset = 1}};

	(void)state;
	rig_subscribe(&s, 0, 9, KX_OFFSET_EARLIEST, 2 * BATCH);
	rig_turn(r, 1000);
	for (uint64_t i = 0; i < 3; i++)
		assert_int_equal(rig_produce(&s, 0, 0, i, 1, 0), KX_DROP_NONE);
	rig_turn(r, 1000);
	assert_int_equal(named(r, &s), 1); /* not acknowledged */
	rig_credit(&s, 9, 2, 2 * BATCH);
	assert_int_equal(named(r, &s), 1); /* no credit for the third */
	rig_credit(&s, 9, 2, 3 * BATCH);
	rig_turn(r, 1000);
	assert_int_equal(rig_send(&s, KX_CREDIT, &credit, sizeof(credit)), KX_DROP_NONE);
	assert_int_equal(named(r, &s), 1); /* not done with it */
	credit.e.done_offset = 3;
	assert_int_equal(rig_send(&s, KX_CREDIT, &credit, sizeof(credit)), KX_DROP_NONE);
	assert_int_equal(named(r, &s), 0);
	rig_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(without_credit_or_done)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
