/* SPDX-License-Identifier: BSD-3-Clause */
#include "kx_stats.h"

static uint64_t sum_of(const struct kx_ledger *l, unsigned int from, unsigned int to)
{
	uint64_t sum = 0;

	for (unsigned int i = from; i < to; i++)
		sum += kx_counter_read(&l->drop[i]);
	return sum;
}

uint64_t kx_ledger_rx_dropped(const struct kx_ledger *l)
{
	return sum_of(l, 0, KX_DROP_FIRST_TX);
}

uint64_t kx_ledger_tx_dropped(const struct kx_ledger *l)
{
	return sum_of(l, KX_DROP_FIRST_TX, KX_DROP_COUNT);
}

int64_t kx_ledger_rx_open(const struct kx_ledger *l)
{
	return (int64_t)(kx_counter_read(&l->received) - kx_counter_read(&l->handed_over) -
		kx_counter_read(&l->handled) - kx_ledger_rx_dropped(l));
}

int64_t kx_ledger_tx_open(const struct kx_ledger *l)
{
	return (int64_t)(kx_counter_read(&l->built) - kx_counter_read(&l->relayed) -
		kx_counter_read(&l->sent) - kx_ledger_tx_dropped(l));
}
