/* SPDX-License-Identifier: BSD-3-Clause */
/* The turn of a data lcore. */
#include <rte_ethdev.h>
#include <rte_prefetch.h>
#include <sched.h>

#include "worker_pvt.h"

static void free_frames(struct kx_worker *w, const struct kx_frame *frames, unsigned int n)
{
	unsigned int held = 0;

	for (unsigned int i = 0; i < n; i++)
		if (frames[i].buf != NULL)
			w->mbufs[held++] = frames[i].buf;
	if (held != 0)
		rte_pktmbuf_free_bulk(w->mbufs, held);
}

static void refuse_frames(
	struct kx_worker *w, const struct kx_frame *frames, unsigned int n, enum kx_drop reason)
{
	kx_count(&w->ledger.drop[reason], n);
	free_frames(w, frames, n);
}

/* Frames of this lcore: to the broker, and back to their pool what it did not send on. */
static void keep(struct kx_worker *w, struct kx_frame *frames, unsigned int n)
{
	uint64_t before = w->now_ns;

	if (n == 0)
		return;
	kx_broker_rx(w->broker, frames, n, w->now_ns);
	free_frames(w, frames, n);
	if (w->measure) {
		w->now_ns = kx_worker_now(w);
		kx_worker_stage(w, KX_STAGE_APPEND, before, w->now_ns, n);
	}
}

static void hand_over(struct kx_worker *w, uint32_t to, struct kx_frame *run, unsigned int n)
{
	struct rte_ring *ring = w->fabric->handover[w->index * w->lcore_count + to];
	unsigned int taken = rte_ring_sp_enqueue_burst_elem(ring, run, sizeof(*run), n, NULL);

	kx_count(&w->ledger.handed_over, taken);
	if (kx_unlikely(taken != n))
		refuse_frames(w, run + taken, n - taken, KX_DROP_HANDOVER_FULL);
}

/* By UDP destination port: own frames move up to the front and stay in order, others go in runs. */
static void dispatch(struct kx_worker *w, struct kx_frame *frames, unsigned int n)
{
	unsigned int own = 0, run;

	for (unsigned int i = 0; i < n; i += run) {
		uint32_t owner = (uint32_t)(frames[i].local_port - w->base_port);

		run = kx_worker_run_length(frames + i, n - i);
		if (kx_likely(owner == w->index)) {
			if (own != i)
				memmove(frames + own, frames + i, run * sizeof(*frames));
			own += run;
		} else if (kx_likely(owner < w->lcore_count)) {
			hand_over(w, owner, frames + i, run);
		} else {
			refuse_frames(w, frames + i, run, KX_DROP_UDP_PORT);
		}
	}
	keep(w, frames, own);
}

static unsigned int rx_queue(struct kx_worker *w, struct kx_worker_rxq *q)
{
	unsigned int n = rte_eth_rx_burst(q->port_id, q->queue_id, w->mbufs, q->burst), kxp;
	uint64_t taken_ns;

	if (n == 0)
		return 0;
	kx_count(q->rx_pkts, n);
	kx_count(&w->port_stats[q->port].rx_frames, n);
	kx_count(&w->port_stats[q->port].rx_bursts, 1);
	taken_ns = w->measure ? kx_worker_now(w) : w->now_ns;
	kxp = kx_net_rx(q->net, w->mbufs, n, w->now_ns, w->frames);
	if (!q->cut)
		for (unsigned int i = 0; i < kxp; i++)
			w->frames[i].flags &= ~(uint32_t)KX_FRAME_OWNED;
	if (w->measure) {
		w->now_ns = kx_worker_now(w);
		kx_worker_stage(w, KX_STAGE_PARSE, taken_ns, w->now_ns, n);
	}
	dispatch(w, w->frames, kxp);
	return n;
}

static unsigned int rx_step(struct kx_worker *w)
{
	unsigned int work = 0;

	for (uint32_t i = 0; i < w->rxq_count; i++)
		if (kx_likely(!w->tx[w->rxq[i].port].off))
			work += rx_queue(w, &w->rxq[i]);
	return work;
}

static unsigned int handover_step(struct kx_worker *w)
{
	unsigned int work = 0;

	for (uint32_t from = 0; from < w->lcore_count; from++) {
		struct rte_ring *ring = w->fabric->handover[from * w->lcore_count + w->index];
		unsigned int n;

		if (ring == NULL)
			continue;
		n = rte_ring_sc_dequeue_burst_elem(
			ring, w->frames, sizeof(w->frames[0]), KX_WORKER_BURST_MAX / 4, NULL);
		if (n == 0)
			continue;
		for (unsigned int i = 0; i < n; i++)
			rte_prefetch0(w->frames[i].data);
		kx_count(&w->ledger.received, n);
		kx_count(&w->stats.handover_in, n);
		keep(w, w->frames, n);
		work += n;
	}
	return work;
}

static unsigned int broker_step(struct kx_worker *w)
{
	uint64_t before = w->now_ns, built = w->ledger.built;
	unsigned int work = kx_broker_poll(w->broker, w->now_ns);

	if (work != 0 && w->measure) {
		w->now_ns = kx_worker_now(w);
		kx_worker_stage(w, KX_STAGE_DELIVER, before, w->now_ns, w->ledger.built - built);
	}
	return work;
}

/* What lib/net wants to say itself: answers to ARP, neighbour discovery and echo, requests. */
static unsigned int net_step(struct kx_worker *w)
{
	unsigned int work = 0;

	for (uint32_t port = 0; port < w->port_count; port++) {
		unsigned int n;

		if (kx_likely(kx_net_waiting(w->tx[port].net) == 0))
			continue;
		n = kx_net_take(w->tx[port].net, w->mbufs, KX_NET_REPLIES_MAX);
		for (unsigned int i = 0; i < n; i++)
			kx_worker_tx_push(w, port, w->mbufs[i]);
		work += n;
	}
	return work;
}

static unsigned int tx_step(struct kx_worker *w)
{
	uint64_t before = w->now_ns;
	unsigned int taken = kx_worker_tx_flush(w);

	if (taken != 0) {
		w->now_ns = kx_worker_now(w);
		kx_worker_stage(w, KX_STAGE_TX, before, w->now_ns, taken);
	}
	kx_broker_flushed(w->broker, w->now_ns);
	return taken;
}

static void obey(struct kx_worker *w, const struct kx_worker_cmd *cmd)
{
	switch (cmd->type) {
	case KX_WORKER_CMD_STOP:
		kx_broker_stop(w->broker, w->now_ns);
		w->stopping = true;
		break;
	case KX_WORKER_CMD_QUIT:
		w->quit = true;
		break;
	case KX_WORKER_CMD_PORT_ON:
	case KX_WORKER_CMD_PORT_OFF:
		if ((uintptr_t)cmd->arg < w->port_count)
			w->tx[(uintptr_t)cmd->arg].off = cmd->type == KX_WORKER_CMD_PORT_OFF;
		break;
	}
	kx_count(&w->stats.commands, 1);
}

static unsigned int command_step(struct kx_worker *w)
{
	struct kx_worker_cmd cmds[KX_WORKER_TURN_COMMANDS];
	unsigned int n = rte_ring_sc_dequeue_burst_elem(
		w->commands, cmds, sizeof(cmds[0]), KX_WORKER_TURN_COMMANDS, NULL);

	for (unsigned int i = 0; i < n; i++)
		obey(w, &cmds[i]);
	return n;
}

static void note_low_water(struct kx_worker *w)
{
	struct rte_mempool_cache *cache = rte_mempool_default_cache(w->pool, w->lcore);
	uint64_t spare;

	if (w->pool_ring == NULL)
		return;
	spare = rte_ring_count(w->pool_ring) + (cache != NULL ? cache->len : 0) + w->stash_count;

	if (spare < w->stats.pool_low_water)
		kx_worker_gauge(&w->stats.pool_low_water, spare);
}

static unsigned int housekeeping(struct kx_worker *w)
{
	unsigned int work;

	w->housekeeping = KX_WORKER_HOUSEKEEPING;
	work = command_step(w);
	note_low_water(w);
	if (w->now_ns >= w->tick_at_ns) {
		w->tick_at_ns = w->now_ns + KX_NS_PER_S;
		for (uint32_t port = 0; port < w->port_count; port++)
			kx_net_tick(w->tx[port].net, w->now_ns);
	}
	if (w->stopping)
		__atomic_store_n(&w->broker_stopped, kx_broker_stopped(w->broker), __ATOMIC_RELEASE);
	return work;
}

/* The previous turn ends where this one starts, so that no cycle is unaccounted for. */
static void account(struct kx_worker *w, uint64_t tsc)
{
	struct kx_worker_stats *s = &w->stats;
	uint64_t start = w->turn_tsc, cycles = tsc - start, gap_ns;

	w->turn_tsc = tsc;
	w->now_ns = kx_tsc_to_ns(&w->clock, tsc);
	if (kx_unlikely(start == 0))
		return;
	kx_count(&s->turns, 1);
	if (w->turn_work != 0) {
		kx_count(&s->busy_turns, 1);
		kx_count(&s->busy_tsc, cycles);
		kx_count(&s->work, w->turn_work);
		if (w->turn_work > s->max_work)
			kx_worker_gauge(&s->max_work, w->turn_work);
	} else {
		kx_count(&s->idle_tsc, cycles);
	}
	gap_ns = w->now_ns - kx_tsc_to_ns(&w->clock, start);
	if (kx_unlikely(gap_ns > s->max_gap_ns))
		kx_worker_gauge(&s->max_gap_ns, gap_ns);
	if (kx_unlikely(gap_ns > w->gap_threshold_ns))
		kx_count(&s->late_turns, 1);
}

/* A loop that polls a CPU the kernel needs too must step aside by itself (design, "Yield"). */
static void yield_step(struct kx_worker *w, bool idle)
{
	if (w->yield_ns == 0 || w->now_ns < w->yield_at_ns || !(idle || w->yield_when_busy))
		return;
	w->yield_at_ns = w->now_ns + w->yield_ns;
	kx_count(&w->stats.yields, 1);
	sched_yield();
}

unsigned int kx_worker_turn(struct kx_worker *w)
{
	unsigned int work;

	account(w, kx_tsc_read());
	work = rx_step(w);
	work += handover_step(w);
	work += broker_step(w);
	work += kx_worker_relay_in(w);
	work += net_step(w);
	work += tx_step(w);
	if (kx_unlikely(--w->housekeeping == 0))
		work += housekeeping(w);
	w->turn_work = work;
	yield_step(w, work == 0);
	return work;
}

int kx_worker_run(void *arg)
{
	struct kx_worker *w = arg;

	w->turn_tsc = 0;
	while (!w->quit)
		kx_worker_turn(w);
	return 0;
}

static void drain_handover(struct kx_worker *w)
{
	for (uint32_t from = 0; from < w->lcore_count; from++) {
		struct rte_ring *ring = w->fabric->handover[from * w->lcore_count + w->index];
		unsigned int n;

		while (ring != NULL &&
			(n = rte_ring_sc_dequeue_burst_elem(
				 ring, w->frames, sizeof(w->frames[0]), KX_WORKER_BURST_MAX, NULL)) != 0) {
			kx_count(&w->ledger.received, n);
			refuse_frames(w, w->frames, n, KX_DROP_BROKER_STOPPING);
		}
	}
}

void kx_worker_drain(struct kx_worker *w)
{
	w->now_ns = kx_worker_now(w);
	drain_handover(w);
	net_step(w);
	do {
		kx_worker_tx_flush(w);
		kx_worker_tx_abandon(w);
	} while (kx_worker_relay_in(w) != 0);
	kx_worker_tx_flush(w);
	kx_worker_stash_return(w);
}
