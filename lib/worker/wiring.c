/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <rte_errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kx_worker.h"

static void wire_rx(struct kx_worker_wiring *w, const uint8_t *pollers, uint32_t poller_count)
{
	uint32_t next = 0;

	for (uint32_t p = 0; p < w->port_count; p++)
		for (uint32_t q = 0; q < w->shape[p].rx_queues; q++)
			w->rx_owner[p][q] = pollers[next++ % poller_count];
}

static bool polls_port(const struct kx_worker_wiring *w, uint32_t port, uint32_t lcore)
{
	for (uint32_t q = 0; q < w->shape[port].rx_queues; q++)
		if (w->rx_owner[port][q] == lcore)
			return true;
	return false;
}

static void wire_tx(struct kx_worker_wiring *w, uint32_t port)
{
	uint8_t order[KX_WORKER_LCORES_MAX];
	uint32_t n = 0, queues = KX_MIN(w->shape[port].tx_queues, w->lcore_count);

	for (uint32_t pass = 0; pass < 2; pass++)
		for (uint32_t l = 0; l < w->lcore_count; l++)
			if (polls_port(w, port, l) == (pass == 0))
				order[n++] = (uint8_t)l;
	for (uint32_t i = 0; i < n; i++) {
		w->tx_via[port][order[i]] = order[i % queues];
		w->tx_queue[port][order[i]] = (uint8_t)(i % queues);
	}
}

int kx_worker_wire(struct kx_worker_wiring *wiring, uint32_t lcore_count, const bool *polls,
	uint32_t port_count, const struct kx_worker_port_shape *shapes)
{
	uint8_t pollers[KX_WORKER_LCORES_MAX];
	uint32_t poller_count = 0;

	if (lcore_count == 0 || lcore_count > KX_WORKER_LCORES_MAX || port_count == 0 ||
		port_count > KX_WORKER_PORTS_MAX)
		return -EINVAL;
	memset(wiring, 0, sizeof(*wiring));
	wiring->lcore_count = lcore_count;
	wiring->port_count = port_count;
	for (uint32_t l = 0; l < lcore_count; l++)
		if (polls[l])
			pollers[poller_count++] = (uint8_t)l;
	if (poller_count == 0)
		return -EINVAL;
	for (uint32_t p = 0; p < port_count; p++) {
		wiring->shape[p] = shapes[p];
		if (shapes[p].rx_queues == 0 || shapes[p].rx_queues > KX_WORKER_QUEUES_MAX ||
			shapes[p].tx_queues == 0 || shapes[p].tx_queues > KX_WORKER_QUEUES_MAX)
			return -EINVAL;
	}
	wire_rx(wiring, pollers, poller_count);
	for (uint32_t p = 0; p < port_count; p++)
		wire_tx(wiring, p);
	return 0;
}

static bool polls_any(const struct kx_worker_wiring *w, uint32_t lcore)
{
	for (uint32_t p = 0; p < w->port_count; p++)
		if (polls_port(w, p, lcore))
			return true;
	return false;
}

static bool relays(const struct kx_worker_wiring *w, uint32_t from, uint32_t to)
{
	for (uint32_t p = 0; from != to && p < w->port_count; p++)
		if (w->tx_via[p][from] == to)
			return true;
	return false;
}

uint32_t kx_worker_fabric_rings_from(const struct kx_worker_wiring *wiring, uint32_t from)
{
	uint32_t n = 0;

	for (uint32_t to = 0; to < wiring->lcore_count; to++) {
		if (to != from && polls_any(wiring, from))
			n++;
		if (relays(wiring, from, to))
			n++;
	}
	return n;
}

static int make_ring(const char *prefix, const char *kind, uint32_t from, uint32_t to, unsigned int esize,
	uint32_t entries, int socket, struct rte_ring **out)
{
	char name[RTE_RING_NAMESIZE];

	snprintf(name, sizeof(name), "%.6s_%.2s%hhu_%hhu", prefix, kind, (uint8_t)from, (uint8_t)to);
	*out = rte_ring_create_elem(name, esize, entries, socket, RING_F_SP_ENQ | RING_F_SC_DEQ);
	return *out != NULL ? 0 : (rte_errno == EEXIST ? -EEXIST : -ENOMEM);
}

static int make_rings(struct kx_worker_fabric *f, const char *prefix, const int *sockets)
{
	const struct kx_worker_wiring *w = &f->wiring;

	for (uint32_t from = 0; from < w->lcore_count; from++) {
		for (uint32_t to = 0; to < w->lcore_count; to++) {
			uint32_t at = from * w->lcore_count + to;
			int err = 0;

			if (from != to && polls_any(w, from))
				err = make_ring(prefix, "ho", from, to, sizeof(struct kx_frame),
					f->ring_entries, sockets[to], &f->handover[at]);
			if (err == 0 && relays(w, from, to))
				err = make_ring(prefix, "tx", from, to, sizeof(void *), f->ring_entries,
					sockets[to], &f->relay[at]);
			if (err != 0)
				return err;
		}
	}
	return 0;
}

int kx_worker_fabric_new(const struct kx_worker_wiring *wiring, const char *prefix, uint16_t base_port,
	uint32_t entries, const int *sockets, struct kx_worker_fabric **out)
{
	uint32_t n = wiring->lcore_count * wiring->lcore_count;
	struct kx_worker_fabric *f = calloc(1, sizeof(*f));
	int err = -ENOMEM;

	if (f == NULL)
		return -ENOMEM;
	f->wiring = *wiring;
	f->base_port = base_port;
	f->ring_entries = entries;
	f->handover = calloc(n, sizeof(*f->handover));
	f->relay = calloc(n, sizeof(*f->relay));
	if (f->handover != NULL && f->relay != NULL)
		err = make_rings(f, prefix, sockets);
	if (err != 0) {
		kx_worker_fabric_free(f);
		return err;
	}
	*out = f;
	return 0;
}

void kx_worker_fabric_free(struct kx_worker_fabric *f)
{
	uint32_t n;

	if (f == NULL)
		return;
	n = f->wiring.lcore_count * f->wiring.lcore_count;
	for (uint32_t i = 0; i < n; i++) {
		if (f->handover != NULL)
			rte_ring_free(f->handover[i]);
		if (f->relay != NULL)
			rte_ring_free(f->relay[i]);
	}
	free(f->handover);
	free(f->relay);
	free(f);
}
