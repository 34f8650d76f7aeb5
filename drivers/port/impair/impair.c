/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <string.h>

#include <rte_cycles.h>
#include <rte_errno.h>
#include <rte_malloc.h>
#include <rte_mbuf_dyn.h>

#include "impair_pvt.h"

#define REORDER_US_DEFAULT 10000
#define COUNT(im, what)	   kx_count(&(im)->stats.what, 1)

struct kx_impair_verdict kx_impair_judge(struct kx_impair *im)
{
	double lose = kx_prng_unit(&im->prng), corrupt = kx_prng_unit(&im->prng);
	double duplicate = kx_prng_unit(&im->prng), reorder = kx_prng_unit(&im->prng);
	uint64_t bit = kx_prng_next(&im->prng), distance = kx_prng_next(&im->prng);

	im->seen++;
	return (struct kx_impair_verdict){
		.lose = lose < im->conf.loss,
		.corrupt = corrupt < im->conf.corrupt,
		.duplicate = duplicate < im->conf.duplicate,
		.reorder = reorder < im->conf.reorder,
		.bit = bit,
		.distance = 1 + (uint32_t)(distance % KX_MAX(im->conf.reorder_pkts, 1u)),
	};
}

void kx_impair_lose(struct kx_impair *im, struct rte_mbuf *m)
{
	if (m->pkt_len >= KX_IMPAIR_LARGE_BYTES)
		COUNT(im, lost_large);
	COUNT(im, lost);
	rte_pktmbuf_free(m);
}

struct rte_mbuf *kx_impair_copy(struct kx_impair *im, struct rte_mbuf *m)
{
	struct rte_mbuf *copy = rte_pktmbuf_copy(m, m->pool, 0, UINT32_MAX);

	if (copy == NULL) {
		COUNT(im, no_buffer);
		return NULL;
	}
	copy->port = m->port;
	return copy;
}

struct rte_mbuf *kx_impair_corrupt(struct kx_impair *im, struct rte_mbuf *m, uint64_t bit)
{
	struct rte_mbuf *copy;
	uint8_t *data;

	if (m->data_len <= RTE_ETHER_HDR_LEN)
		return m;
	if (!RTE_MBUF_DIRECT(m) || rte_mbuf_refcnt_read(m) != 1) {
		copy = kx_impair_copy(im, m);
		if (copy == NULL)
			return m;
		rte_pktmbuf_free(m);
		m = copy;
	}
	data = rte_pktmbuf_mtod_offset(m, uint8_t *, RTE_ETHER_HDR_LEN);
	bit %= (uint64_t)(m->data_len - RTE_ETHER_HDR_LEN) * 8;
	data[bit / 8] ^= (uint8_t)(1u << (bit % 8));
	COUNT(im, corrupted);
	return m;
}

bool kx_impair_hold(struct kx_impair *im, struct rte_mbuf *m, uint32_t distance)
{
	if (im->held_count == KX_IMPAIR_HELD_MAX) {
		COUNT(im, no_buffer);
		return false;
	}
	im->held[im->held_count++] =
		(struct kx_impair_held){m, im->seen + distance, rte_rdtsc() + im->hold_tsc};
	COUNT(im, reordered);
	COUNT(im, held);
	return true;
}

struct rte_mbuf *kx_impair_due(struct kx_impair *im, uint64_t now_tsc)
{
	struct rte_mbuf *m;

	for (uint32_t i = 0; i < im->held_count; i++) {
		if (im->held[i].release_frame > im->seen && im->held[i].deadline_tsc > now_tsc)
			continue;
		m = im->held[i].m;
		im->held_count--;
		memmove(&im->held[i], &im->held[i + 1], (im->held_count - i) * sizeof(im->held[0]));
		kx_count(&im->stats.held, UINT64_MAX);
		return m;
	}
	return NULL;
}

static bool probability(double p)
{
	return p >= 0 && p <= 1;
}

static bool conf_valid(const struct kx_impair_conf *c)
{
	return probability(c->loss) && probability(c->corrupt) && probability(c->duplicate) &&
		probability(c->reorder) && c->reorder_pkts <= KX_IMPAIR_HELD_MAX &&
		(c->reorder <= 0 || c->reorder_pkts > 0) && c->reorder_us <= 10000000;
}

/** mbuf flag "judged", the same for all queues of the process. @return 0 when there is none */
static uint64_t judged_flag(void)
{
	const struct rte_mbuf_dynflag desc = {.name = "kx_impair_judged"};
	int bit = rte_mbuf_dynflag_lookup(desc.name, NULL);

	if (bit < 0)
		bit = rte_mbuf_dynflag_register(&desc);
	return bit < 0 ? 0 : UINT64_C(1) << bit;
}

static int add_callbacks(struct kx_impair *im)
{
	struct rte_eth_dev_info info;

	if (im->dir == KX_IMPAIR_RX) {
		im->rx_cb = rte_eth_add_rx_callback(im->port_id, im->queue_id, kx_impair_rx, im);
		return im->rx_cb != NULL ? 0 : -rte_errno;
	}
	im->tx_cb = rte_eth_add_tx_callback(im->port_id, im->queue_id, kx_impair_tx, im);
	if (im->tx_cb == NULL)
		return -rte_errno;
	if (rte_eth_dev_info_get(im->port_id, &info) == 0 && im->queue_id < info.nb_rx_queues)
		im->rx_cb = rte_eth_add_rx_callback(im->port_id, im->queue_id, kx_impair_tx_clock, im);
	return 0;
}

int kx_impair_attach(uint16_t port_id, uint16_t queue_id, enum kx_impair_dir dir,
	const struct kx_impair_conf *conf, struct kx_impair **out)
{
	struct kx_impair *im;
	int err;

	if (!conf_valid(conf))
		return -EINVAL;
	im = rte_zmalloc("kx_impair", sizeof(*im), KX_CACHE_LINE);
	if (im == NULL)
		return -ENOMEM;
	im->port_id = port_id;
	im->queue_id = queue_id;
	im->dir = dir;
	im->conf = *conf;
	im->hold_tsc = (uint64_t)((double)(conf->reorder_us != 0 ? conf->reorder_us : REORDER_US_DEFAULT) *
		(double)rte_get_tsc_hz() / 1e6);
	im->judged_flag = judged_flag();
	kx_prng_seed(
		&im->prng, kx_mix64(conf->seed) ^ ((uint64_t)port_id << 32 | (uint64_t)queue_id << 8 | dir));
	err = im->judged_flag == 0 ? -ENOSPC : add_callbacks(im);
	if (err != 0) {
		rte_free(im);
		return err;
	}
	*out = im;
	return 0;
}

static void lose(struct kx_impair *im, struct rte_mbuf *m)
{
	kx_impair_lose(im, m);
	kx_count(&im->stats.held, UINT64_MAX);
}

void kx_impair_detach(struct kx_impair *im, struct kx_impair_stats *stats)
{
	if (im == NULL)
		return;
	if (im->rx_cb != NULL)
		rte_eth_remove_rx_callback(im->port_id, im->queue_id, im->rx_cb);
	if (im->tx_cb != NULL)
		rte_eth_remove_tx_callback(im->port_id, im->queue_id, im->tx_cb);
	for (uint32_t i = 0; i < im->held_count; i++)
		lose(im, im->held[i].m);
	for (uint32_t i = 0; i < im->fifo_count; i++)
		lose(im, im->fifo[(im->fifo_first + i) % KX_IMPAIR_FIFO]);
	if (stats != NULL)
		kx_impair_stats(im, stats);
	/* Removing takes a callback off its list and leaves its memory to the caller. */
	rte_free((void *)(uintptr_t)im->rx_cb);
	rte_free((void *)(uintptr_t)im->tx_cb);
	rte_free(im);
}

void kx_impair_stats(const struct kx_impair *im, struct kx_impair_stats *out)
{
	const uint64_t *from = (const uint64_t *)&im->stats;
	uint64_t *to = (uint64_t *)out;

	for (size_t i = 0; i < sizeof(*out) / sizeof(*to); i++)
		to[i] = kx_counter_read(&from[i]);
}
