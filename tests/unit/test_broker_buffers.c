/* SPDX-License-Identifier: BSD-3-Clause */
/* A broker whose transport has no buffer for a while. */
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
			  "[topic trim]\npartitions = 1\nlog_bytes = 256K\nmax_message_bytes = 64K\n";
#define MESSAGES 20

/* The deliveries sent bring offsets 0..MESSAGES-1, each once, in order. */
static void assert_delivered(struct rig *r)
{
	uint64_t next = 0;

	for (unsigned int i = 0; i < r->sent_count; i++) {
		const struct kx_frame_hdr *h = (const struct kx_frame_hdr *)r->sent[i].data;
		const uint8_t *at = rig_body(h), *end = r->sent[i].data + r->sent[i].bytes;

		while (h->type == KX_DELIVER && at < end) {
			const struct kx_batch_hdr *batch = (const struct kx_batch_hdr *)at;

			assert_int_equal(batch->base_offset, next);
			next += batch->record_count;
			at += batch->batch_bytes;
		}
	}
	assert_int_equal(next, MESSAGES);
}

static void assert_committed(struct rig *r)
{
	const struct kx_frame_hdr *h = rig_find(r, KX_COMMIT_ACK, rig_count(r, KX_COMMIT_ACK) - 1);

	assert_int_equal(
		((const struct kx_commit_entry *)((const struct kx_receipt *)rig_body(h) + 1))->next_seq,
		MESSAGES);
}

static void turns(struct rig *r, unsigned int n)
{
	while (n-- > 0)
		rig_turn(r, 1000);
	assert_int_equal(r->no_buffers, 0);
}

/* `fails` allocations in a row fail while messages come in, and as many while a consumer asks for them again.
 */
static void without_buffers(unsigned int fails)
{
	struct rig *r = rig_new(ini, 0, 1);
	struct rig_session s = rig_connect(r, 1, 5000);
	struct {
		struct kx_nak nak;
		struct kx_nak_entry e;
	} nak = {.nak = {.entry_count = 1},
		.e = {.handle = 9, .kind = KX_NAK_OFFSETS, .first = 0, .last = MESSAGES - 1}};

	rig_subscribe(&s, 0, 9, KX_OFFSET_EARLIEST, 1 << 20);
	rig_turn(r, 1000);
	rig_forget(r);
	r->no_buffers = fails;
	for (uint64_t i = 0; i < MESSAGES; i++)
		assert_int_equal(rig_produce(&s, 0, 0, i, 1, 0), KX_DROP_NONE);
	turns(r, fails + 4);
	assert_delivered(r);
	assert_committed(r);
	assert_int_equal(r->ledger.drop[KX_DROP_TX_NO_BUFFER], fails);
	assert_int_equal(r->ledger.built, r->ledger.sent + fails);

	rig_forget(r);
	r->no_buffers = fails;
	assert_int_equal(rig_send(&s, KX_NAK, &nak, sizeof(nak)), KX_DROP_NONE);
	turns(r, fails + 4);
	assert_delivered(r);
	/* counted when they leave */
	assert_int_equal(kx_broker_counters(r->broker)->repaired_frames, rig_count(r, KX_DELIVER));
	assert_int_equal(r->ledger.drop[KX_DROP_TX_NO_BUFFER], 2 * fails);
	assert_int_equal(r->ledger.built, r->ledger.sent + 2 * fails);
	rig_free(r); /* the ledger closes */
}

static void test_no_buffers_delay_and_lose_nothing(void **state)
{
	(void)state;
	for (unsigned int fails = 0; fails <= 12; fails++)
		without_buffers(fails);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_buffers_delay_and_lose_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
