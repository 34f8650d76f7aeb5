/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The client transport on one RX and one TX queue. A frame costs: one pointer out of the stash, the header
 * template, one pointer into the TX array, and its shares of a bulk allocation and a TX burst.
 */
#include <errno.h>
#include <string.h>

#include <rte_ethdev.h>
#include <rte_malloc.h>
#include <rte_pause.h>

#include "kx_transport_dpdk.h"

#define RX_BURST	  64
#define STASH		  64
#define TX_BURST	  32
#define TX_RETRIES	  4
#define TX_HOLD_NS	  UINT64_C(100000000)
#define NEIGHBOUR_TICK_NS KX_NS_PER_S

struct kx_transport_dpdk {
	/* sending */
	const struct kx_net_if *nif;
	struct rte_mempool *pool;
	uint32_t stash_count;
	uint32_t tx_count; /* queued, oldest first */
	uint16_t port_id, rx_queue, tx_queue;
	uint16_t tx_burst, tx_retries, local_port;
	bool tx_full;	     /* the last flush left frames behind */
	uint64_t stalled_ns; /* since when the port took nothing; 0: it takes */
	uint64_t hold_ns;
	/* receiving */
	struct kx_net *net;
	struct kx_ledger *ledger;
	uint64_t (*now_ns)(void *arg);
	void *now_arg;
	uint64_t tick_ns;
	struct rte_mbuf *stash[STASH];
	struct rte_mbuf *tx[KX_TRANSPORT_DPDK_TX_MAX];
	struct kx_ledger own_ledger;
} KX_ALIGNED(KX_CACHE_LINE);

static uint64_t mono_now(void *arg)
{
	RTE_SET_USED(arg);
	return kx_clock_mono_ns();
}

/* ---- sending
 * --------------------------------------------------------------------------------------------------- */

/** Drop what is queued once the port has taken nothing for too long. */
static void tx_stalled(struct kx_transport_dpdk *t)
{
	uint64_t now = t->now_ns(t->now_arg);

	if (t->stalled_ns == 0) {
		t->stalled_ns = now;
		return;
	}
	if (now - t->stalled_ns < t->hold_ns)
		return;
	kx_count(&t->ledger->drop[KX_DROP_TX_FULL], t->tx_count);
	rte_pktmbuf_free_bulk(t->tx, t->tx_count);
	t->tx_count = 0;
	t->tx_full = false;
	t->stalled_ns = 0;
}

static void tx_flush(void *ctx)
{
	struct kx_transport_dpdk *t = ctx;
	uint32_t sent = 0, tries = 0;

	if (t->tx_count == 0)
		return;
	for (;;) {
		sent += rte_eth_tx_burst(
			t->port_id, t->tx_queue, t->tx + sent, (uint16_t)(t->tx_count - sent));
		if (kx_likely(sent == t->tx_count) || ++tries >= t->tx_retries)
			break;
		rte_pause();
	}
	kx_count(&t->ledger->sent, sent);
	if (kx_likely(sent == t->tx_count)) {
		t->tx_count = 0;
		t->tx_full = false;
		t->stalled_ns = 0;
		return;
	}
	t->tx_full = true;
	if (sent == 0) {
		tx_stalled(t);
		return;
	}
	t->stalled_ns = 0;
	t->tx_count -= sent;
	memmove(t->tx, t->tx + sent, t->tx_count * sizeof(t->tx[0]));
}

/** Queue a finished packet. */
static KX_ALWAYS_INLINE void tx_put(struct kx_transport_dpdk *t, struct rte_mbuf *m)
{
	kx_count(&t->ledger->built, 1);
	if (kx_unlikely(t->tx_count == KX_TRANSPORT_DPDK_TX_MAX)) {
		kx_ledger_drop(t->ledger, KX_DROP_TX_FULL);
		rte_pktmbuf_free(m);
		return;
	}
	t->tx[t->tx_count++] = m;
	if (kx_unlikely(t->tx_count >= t->tx_burst))
		tx_flush(t);
}

static void tx_send(void *ctx, void *buf, uint32_t bytes, const struct kx_path *path)
{
	struct kx_transport_dpdk *t = ctx;
	struct rte_mbuf *m = buf;

	m->data_len = (uint16_t)bytes;
	m->pkt_len = bytes;
	kx_net_prepend(t->nif, path, m);
	tx_put(t, m);
}

static void tx_forward(void *ctx, struct kx_frame *frame, uint32_t bytes, const struct kx_path *path)
{
	struct kx_transport_dpdk *t = ctx;

	tx_put(t, kx_net_forward(t->nif, path, frame, bytes));
}

static unsigned int tx_room(void *ctx)
{
	struct kx_transport_dpdk *t = ctx;

	if (kx_unlikely(t->tx_full))
		tx_flush(t);
	return t->tx_full ? 0 : KX_TRANSPORT_DPDK_TX_MAX - t->tx_count;
}

/** Refill the stash: in bulk, or with the little the pool still has. @return false when there is nothing */
static bool stash_fill(struct kx_transport_dpdk *t)
{
	if (kx_likely(rte_pktmbuf_alloc_bulk(t->pool, t->stash, STASH) == 0)) {
		t->stash_count = STASH;
		return true;
	}
	while (t->stash_count < STASH / 8) {
		struct rte_mbuf *m = rte_pktmbuf_alloc(t->pool);

		if (m == NULL)
			break;
		t->stash[t->stash_count++] = m;
	}
	return t->stash_count > 0;
}

static void *tx_alloc(void *ctx, uint32_t bytes, uint8_t **data)
{
	struct kx_transport_dpdk *t = ctx;
	struct rte_mbuf *m;

	if (kx_unlikely(t->stash_count == 0 && !stash_fill(t)))
		return NULL;
	m = t->stash[t->stash_count - 1];
	if (kx_unlikely(bytes > rte_pktmbuf_tailroom(m)))
		return NULL;
	t->stash_count--;
	*data = rte_pktmbuf_mtod(m, uint8_t *);
	return m;
}

static void tx_free(void *ctx, void *buf)
{
	struct kx_transport_dpdk *t = ctx;

	if (t->stash_count < STASH)
		t->stash[t->stash_count++] = buf; /* untouched since alloc(): still reset */
	else
		rte_pktmbuf_free(buf);
}

/** Send what net wants to send. */
static void send_waiting(struct kx_transport_dpdk *t)
{
	struct rte_mbuf *m;

	while (kx_net_take(t->net, &m, 1) == 1)
		tx_put(t, m);
	tx_flush(t);
}

/* ---- receiving
 * ------------------------------------------------------------------------------------------------- */

void kx_transport_dpdk_tick(struct kx_transport_dpdk *t, uint64_t now_ns)
{
	t->tick_ns = now_ns;
	kx_net_tick(t->net, now_ns);
	if (kx_net_waiting(t->net) > 0)
		send_waiting(t);
}

static unsigned int rx_burst(void *ctx, struct kx_frame *frames, unsigned int max)
{
	struct kx_transport_dpdk *t = ctx;
	struct rte_mbuf *mbufs[RX_BURST];
	uint64_t now = t->now_ns(t->now_arg);
	unsigned int n;

	if (kx_unlikely(now - t->tick_ns >= NEIGHBOUR_TICK_NS))
		kx_transport_dpdk_tick(t, now);
	n = rte_eth_rx_burst(t->port_id, t->rx_queue, mbufs, (uint16_t)KX_MIN(max, RX_BURST));
	if (n == 0)
		return 0;
	n = kx_net_rx(t->net, mbufs, n, now, frames);
	kx_count(&t->ledger->handled, n);
	if (kx_unlikely(kx_net_waiting(t->net) > 0))
		send_waiting(t);
	return n;
}

static void rx_release(void *ctx, struct kx_frame *frames, unsigned int n)
{
	struct rte_mbuf *mbufs[RX_BURST];

	RTE_SET_USED(ctx);
	for (unsigned int done = 0; done < n;) {
		unsigned int k = KX_MIN(n - done, RX_BURST);

		for (unsigned int i = 0; i < k; i++)
			mbufs[i] = frames[done + i].buf;
		rte_pktmbuf_free_bulk(mbufs, k);
		done += k;
	}
}

static int path_of(void *ctx, const struct kx_frame *frame, struct kx_path *path)
{
	struct kx_transport_dpdk *t = ctx;

	return kx_net_path_of(t->net, frame, path);
}

static int path_to(void *ctx, const struct kx_addr *remote, struct kx_path *path)
{
	struct kx_transport_dpdk *t = ctx;
	int err = kx_net_path_to(t->net, remote, t->local_port, t->now_ns(t->now_arg), path);

	if (kx_net_waiting(t->net) > 0)
		send_waiting(t);
	return err;
}

/* ---- the object
 * ------------------------------------------------------------------------------------------------ */

static const struct kx_transport_ops transport_ops = {
	.rx_burst = rx_burst,
	.release = rx_release,
	.alloc = tx_alloc,
	.free = tx_free,
	.send = tx_send,
	.flush = tx_flush,
	.room = tx_room,
	.path_of = path_of,
	.path_to = path_to,
	.forward = tx_forward,
	.send_slice = NULL,
	.fd = NULL, /* a port is polled */
};

static bool conf_valid(const struct kx_transport_dpdk_conf *c)
{
	return c->nif != NULL && c->pool != NULL && c->tx_burst <= 64 &&
		rte_pktmbuf_data_room_size(c->pool) > KX_NET_HEADROOM &&
		(uint16_t)(c->local_port - c->nif->conf.base_port) < c->nif->conf.port_count;
}

int kx_transport_dpdk_new(const struct kx_transport_dpdk_conf *conf, struct kx_transport_dpdk **out)
{
	struct kx_transport_dpdk *t;

	if (!conf_valid(conf))
		return -EINVAL;
	t = rte_zmalloc_socket("kx_transport_dpdk", sizeof(*t), KX_CACHE_LINE, conf->socket_id);
	if (t == NULL)
		return -ENOMEM;
	t->nif = conf->nif;
	t->pool = conf->pool;
	t->port_id = conf->nif->conf.port_id;
	t->rx_queue = conf->rx_queue;
	t->tx_queue = conf->tx_queue;
	t->local_port = conf->local_port;
	t->tx_burst = conf->tx_burst != 0 ? conf->tx_burst : TX_BURST;
	t->tx_retries = conf->tx_retries != 0 ? conf->tx_retries : TX_RETRIES;
	t->hold_ns = conf->tx_hold_us != 0 ? conf->tx_hold_us * UINT64_C(1000) : TX_HOLD_NS;
	t->ledger = conf->ledger != NULL ? conf->ledger : &t->own_ledger;
	t->now_ns = conf->now_ns != NULL ? conf->now_ns : mono_now;
	t->now_arg = conf->now_arg;
	t->net = kx_net_new(conf->nif, conf->pool, t->ledger, conf->socket_id);
	if (t->net == NULL) {
		rte_free(t);
		return -ENOMEM;
	}
	*out = t;
	return 0;
}

void kx_transport_dpdk_free(struct kx_transport_dpdk *t)
{
	if (t == NULL)
		return;
	kx_count(&t->ledger->drop[KX_DROP_TX_FULL], t->tx_count);
	rte_pktmbuf_free_bulk(t->tx, t->tx_count);
	rte_pktmbuf_free_bulk(t->stash, t->stash_count);
	kx_net_free(t->net);
	rte_free(t);
}

struct kx_transport kx_transport_dpdk(struct kx_transport_dpdk *t)
{
	return (struct kx_transport){&transport_ops, t};
}

const struct kx_ledger *kx_transport_dpdk_ledger(const struct kx_transport_dpdk *t)
{
	return t->ledger;
}

struct kx_net *kx_transport_dpdk_net(struct kx_transport_dpdk *t)
{
	return t->net;
}
