/* SPDX-License-Identifier: BSD-3-Clause */
#include "kx_test.h"

#include "kx_stats.h"

/* Telemetry allows [A-Za-z0-9_/] below 64 characters in dictionary keys. */
static void check_key(const char *key)
{
	assert_non_null(key);
	assert_in_range(strlen(key), 2, 55);
	assert_int_equal(strspn(key, "abcdefghijklmnopqrstuvwxyz0123456789_"), strlen(key));
}

static void drop_keys_are_unique_and_legal(void **state)
{
	(void)state;
	assert_true(KX_DROP_COUNT <= 200);
	for (int i = 0; i < KX_DROP_COUNT; i++) {
		check_key(kx_drop_key((enum kx_drop)i));
		assert_true(strlen(kx_drop_text((enum kx_drop)i)) > 5);
		for (int j = 0; j < i; j++)
			assert_string_not_equal(kx_drop_key((enum kx_drop)i), kx_drop_key((enum kx_drop)j));
	}
}

static void outside_the_enums(void **state)
{
	(void)state;
	assert_string_equal(kx_drop_key(KX_DROP_NONE), "?");
	assert_string_equal(kx_drop_key(KX_DROP_COUNT), "?");
	assert_string_equal(kx_drop_text(KX_DROP_NONE), "?");
	assert_string_equal(kx_drop_text((enum kx_drop)100000), "?");
	assert_string_equal(kx_stage_key(KX_STAGE_COUNT), "?");
	assert_string_equal(kx_drop_key(KX_DROP_FRAME_SHORT), "frame_short");
}

/* The TX reasons are those from KX_DROP_FIRST_TX on, and they say so in their keys. */
static void tx_reasons_are_last(void **state)
{
	(void)state;
	for (int i = 0; i < KX_DROP_COUNT; i++)
		assert_int_equal(
			strncmp(kx_drop_key((enum kx_drop)i), "tx_", 3) == 0, i >= (int)KX_DROP_FIRST_TX);
}

static void stage_keys(void **state)
{
	(void)state;
	for (int i = 0; i < KX_STAGE_COUNT; i++) {
		check_key(kx_stage_key((enum kx_stage)i));
		for (int j = 0; j < i; j++)
			assert_string_not_equal(
				kx_stage_key((enum kx_stage)i), kx_stage_key((enum kx_stage)j));
	}
}

static void ledger_closes(void **state)
{
	(void)state;
	struct kx_ledger l = {.received = 100, .handed_over = 10, .handled = 60, .built = 50, .sent = 45};

	assert_int_equal(kx_ledger_rx_open(&l), 30);
	for (int i = 0; i < 29; i++)
		kx_ledger_drop(&l, KX_DROP_CONN_UNKNOWN);
	assert_int_equal(kx_ledger_rx_open(&l), 1);
	kx_ledger_drop(&l, KX_DROP_ETH_SHORT);
	assert_int_equal(kx_ledger_rx_open(&l), 0);
	assert_int_equal(kx_ledger_rx_dropped(&l), 30);
	assert_int_equal(kx_ledger_tx_dropped(&l), 0);
	assert_int_equal(kx_ledger_tx_open(&l), 5);

	kx_count(&l.drop[KX_DROP_FIRST_TX], 4);
	kx_ledger_drop(&l, (enum kx_drop)(KX_DROP_COUNT - 1));
	assert_int_equal(kx_ledger_tx_open(&l), 0);
	assert_int_equal(kx_ledger_rx_open(&l), 0);
	l.sent++;
	assert_int_equal(kx_ledger_tx_open(&l), -1);
	l.handled++;
	assert_int_equal(kx_ledger_rx_open(&l), -1);
}

static void counters(void **state)
{
	(void)state;
	uint64_t c = 5;

	kx_count(&c, 7);
	assert_int_equal(kx_counter_read(&c), 12);
	assert_int_equal(kx_align8(0), 0);
	assert_int_equal(kx_align8(1), 8);
	assert_int_equal(kx_align8(8), 8);
	assert_int_equal(kx_align8(1399), 1400);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(drop_keys_are_unique_and_legal),
		cmocka_unit_test(outside_the_enums),
		cmocka_unit_test(tx_reasons_are_last),
		cmocka_unit_test(stage_keys),
		cmocka_unit_test(ledger_closes),
		cmocka_unit_test(counters),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
