/* SPDX-License-Identifier: BSD-3-Clause */
/* The broker's way out: struct kx_transport_ops on mbufs and ports. */
#include <errno.h>
#include <rte_ethdev.h>

#include "worker_pvt.h"

static bool stash_refill(struct kx_worker *w)
{
	kx_count(&w->stats.alloc_refills, 1);
	if (kx_likely(rte_pktmbuf_alloc_bulk(w->pool, w->stash, KX_WORKER_STASH) == 0)) {
		w->stash_count = KX_WORKER_STASH;
		return true;
	}
	/* Nearly dry: a single one may still be there. */
	w->stash[0] = rte_pktmbuf_alloc(w->pool);
	w->stash_count = w->stash[0] != NULL;
	return w->stash_count != 0;
}

static struct rte_mbuf *stash_take(struct kx_worker *w)
{
	if (kx_unlikely(w->stash_count == 0) && !stash_refill(w))
		return NULL;
	kx_count(&w->stats.alloc, 1);
	return w->stash[--w->stash_count];
}

void kx_worker_stash_return(struct kx_worker *w)
{
	rte_pktmbuf_free_bulk(w->stash, w->stash_count);
	w->stash_count = 0;
}

/* A frame that finds no buffer is charged as built and dropped; the broker builds it again in a later turn.
 */
static void *worker_alloc(void *transport, uint32_t bytes, uint8_t **data)
{
	struct kx_worker *w = transport;
	struct rte_mbuf *m = stash_take(w);

	if (kx_unlikely(m == NULL || bytes > rte_pktmbuf_tailroom(m))) {
		rte_pktmbuf_free(m);
		kx_count(&w->stats.alloc_failed, 1);
		kx_count(&w->ledger.built, 1);
		kx_ledger_drop(&w->ledger, KX_DROP_TX_NO_BUFFER);
		return NULL;
	}
	*data = rte_pktmbuf_mtod(m, uint8_t *);
	return m;
}

static void worker_free(void *transport, void *buf)
{
	struct kx_worker *w = transport;

	if (w->stash_count < KX_WORKER_STASH)
		w->stash[w->stash_count++] = buf;
	else
		rte_pktmbuf_free(buf);
}

static void worker_send(void *transport, void *buf, uint32_t bytes, const struct kx_path *path)
{
	struct kx_worker *w = transport;
	uint32_t port = w->port_index[path->port_id];
	struct rte_mbuf *m = buf;

	m->data_len = (uint16_t)bytes;
	m->pkt_len = bytes;
	kx_net_prepend(w->tx[port].nif, path, m);
	kx_worker_tx_push(w, port, m);
}

static void worker_forward(
	void *transport, struct kx_frame *frame, uint32_t bytes, const struct kx_path *path)
{
	struct kx_worker *w = transport;
	uint32_t port = w->port_index[path->port_id];

	kx_worker_tx_push(w, port, kx_net_forward(w->tx[port].nif, path, frame, bytes));
	frame->buf = NULL;
}

static void slice_released(struct kx_pin *pin)
{
	struct kx_worker_slice *slot =
		(struct kx_worker_slice *)((char *)pin - offsetof(struct kx_worker_slice, pin));
	struct kx_worker *w = slot->w;
	struct kx_pin *user = slot->user;

	slot->next = w->slice_free;
	w->slice_free = slot;
	kx_worker_gauge(&w->stats.slices_used, w->stats.slices_used - 1);
	user->release(user);
}

static struct kx_worker_slice *slice_take(struct kx_worker *w, struct kx_pin *user)
{
	struct kx_worker_slice *slot = w->slice_free;

	if (slot == NULL)
		return NULL;
	w->slice_free = slot->next;
	slot->user = user;
	kx_count(&w->stats.slices_used, 1);
	if (w->stats.slices_used > w->stats.slices_high_water)
		kx_worker_gauge(&w->stats.slices_high_water, w->stats.slices_used);
	return slot;
}

static int slice_refused(struct kx_worker *w, int why)
{
	kx_count(&w->stats.slices_refused, 1);
	return why;
}

static int worker_send_slice(void *transport, void *buf, uint32_t head_bytes, const uint8_t *slice,
	uint32_t slice_bytes, struct kx_pin *pin, const struct kx_path *path)
{
	struct kx_worker *w = transport;
	uint32_t port = w->port_index[path->port_id];
	struct rte_mbuf *head = buf, *ext;
	struct kx_worker_slice *slot;

	if (!w->tx[port].slices || slice_bytes > KX_NET_SLICE_MAX_BYTES)
		return slice_refused(w, -ENOTSUP);
	if (w->slice_free == NULL)
		return slice_refused(w, -ENOBUFS);
	ext = stash_take(w);
	if (ext == NULL)
		return slice_refused(w, -ENOBUFS);
	slot = slice_take(w, pin);
	head->data_len = (uint16_t)head_bytes;
	head->pkt_len = head_bytes;
	kx_net_attach_slice(head, ext, &slot->net, &slot->pin, slice,
		w->log_iova + (rte_iova_t)(slice - w->log_memory), slice_bytes);
	ext->ol_flags |= w->sent_flag;
	kx_net_prepend(w->tx[port].nif, path, head);
	kx_worker_tx_push(w, port, head);
	kx_count(&w->stats.slices, 1);
	return 0;
}

static void worker_flush(void *transport)
{
	kx_worker_tx_flush(transport);
}

/* One port that takes nothing at all must not stop the others: it is left out until it moves again. */
static unsigned int worker_room(void *transport)
{
	const struct kx_worker *w = transport;
	unsigned int room = KX_WORKER_TX_MAX - KX_WORKER_TX_RESERVE;

	for (uint32_t port = 0; port < w->port_count; port++) {
		const struct kx_worker_tx *tx = &w->tx[port];
		unsigned int here = KX_WORKER_TX_MAX - KX_WORKER_TX_RESERVE;

		if (tx->stalled)
			continue;
		here -= KX_MIN(tx->count, here);
		room = KX_MIN(room, here);
	}
	return room;
}

static int worker_path_of(void *transport, const struct kx_frame *frame, struct kx_path *path)
{
	struct kx_worker *w = transport;

	return kx_net_path_of(w->tx[w->port_index[frame->port_id]].net, frame, path);
}

static int worker_path_to(void *transport, const struct kx_addr *remote, struct kx_path *path)
{
	struct kx_worker *w = transport;
	int err = -ENETUNREACH;

	for (uint32_t port = 0; port < w->port_count; port++) {
		err = kx_net_path_to(
			w->tx[port].net, remote, (uint16_t)(w->base_port + w->index), w->now_ns, path);
		if (err != -ENETUNREACH)
			break;
	}
	return err;
}

/* A broker is handed its frames. */
static unsigned int worker_rx_burst(void *transport, struct kx_frame *frames, unsigned int max)
{
	(void)transport;
	(void)frames;
	(void)max;
	return 0;
}

static void worker_release(void *transport, struct kx_frame *frames, unsigned int n)
{
	(void)transport;
	for (unsigned int i = 0; i < n; i++)
		rte_pktmbuf_free(frames[i].buf);
}

const struct kx_transport_ops kx_worker_transport_ops = {
	.rx_burst = worker_rx_burst,
	.release = worker_release,
	.alloc = worker_alloc,
	.free = worker_free,
	.send = worker_send,
	.flush = worker_flush,
	.room = worker_room,
	.path_of = worker_path_of,
	.path_to = worker_path_to,
	.forward = worker_forward,
	.send_slice = worker_send_slice,
};

void kx_worker_slices_init(struct kx_worker *w, struct kx_worker_slice *slots, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		slots[i].w = w;
		slots[i].pin.release = slice_released;
		slots[i].next = w->slice_free;
		w->slice_free = &slots[i];
	}
}
