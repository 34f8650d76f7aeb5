/* SPDX-License-Identifier: BSD-3-Clause */
/* The hub: one turn over one transport, and whose a frame is. */
#include <errno.h>
#include <stdlib.h>

#include "client_pvt.h"

#define TIMERS_PER_TURN 64

static bool opts_ok(const struct kx_hub_opts *o)
{
	return o->channels_max <= 1u << 20 && o->rx_burst <= 256 && o->tx_burst <= 1024;
}

static void hub_free(struct kx_hub *hub)
{
	kxc_wait_fini(hub);
	kx_map_fini(&hub->conns);
	kx_map_fini(&hub->nonces);
	free(hub->timers.heap);
	free(hub->channels);
	free(hub->channel_free);
	free(hub->frames);
	free(hub);
}

static bool hub_alloc(struct kx_hub *hub)
{
	uint32_t n = hub->opts.channels_max;

	hub->channels = calloc(n, sizeof(*hub->channels));
	hub->channel_free = calloc(n, sizeof(*hub->channel_free));
	hub->frames = calloc(hub->opts.rx_burst, sizeof(*hub->frames));
	if (hub->channels == NULL || hub->channel_free == NULL || hub->frames == NULL)
		return false;
	for (uint32_t i = 0; i < n; i++)
		hub->channel_free[i] = n - 1 - i;
	hub->channel_free_count = n;
	return kx_map_init(&hub->conns, n) == 0 && kx_map_init(&hub->nonces, n) == 0;
}

enum kx_result kx_hub_open(
	const struct kx_transport *transport, const struct kx_hub_opts *opts, struct kx_hub **out)
{
	struct kx_hub *hub;
	uint64_t seed;

	if (transport == NULL || transport->ops == NULL || out == NULL || (opts != NULL && !opts_ok(opts)))
		return KX_BAD_ARGUMENT;
	hub = calloc(1, sizeof(*hub));
	if (hub == NULL)
		return KX_NO_MEMORY;
	hub->transport = *transport;
	hub->ops = transport->ops;
	hub->tx = transport->ctx;
	hub->opts = opts != NULL ? *opts : (struct kx_hub_opts){0};
	if (hub->opts.channels_max == 0)
		hub->opts.channels_max = 1024;
	if (hub->opts.rx_burst == 0)
		hub->opts.rx_burst = 64;
	if (hub->opts.tx_burst == 0)
		hub->opts.tx_burst = 64;
	if (!kxc_wait_init(hub) || !hub_alloc(hub)) {
		hub_free(hub);
		return KX_NO_MEMORY;
	}
	if (kx_random_bytes(&seed, sizeof(seed)) != 0)
		seed = (uintptr_t)hub;
	kx_prng_seed(&hub->prng, seed);
	*out = hub;
	return KX_OK;
}

enum kx_result kx_hub_close(struct kx_hub *hub, uint64_t now_ns)
{
	if (hub == NULL)
		return KX_OK;
	if (hub->in_callback != 0)
		return KX_IN_CALLBACK;
	while (hub->clients != NULL)
		kx_client_close(hub->clients, now_ns);
	hub_free(hub);
	return KX_OK;
}

/* The channel a session frame is for, when it comes from where it should. */
static struct channel *channel_of(struct kx_hub *hub, const struct kx_frame *f, uint64_t conn_id)
{
	struct channel *ch = hub->last_ch;
	uint32_t index;

	if (kx_unlikely(ch == NULL || ch->conn_id != conn_id)) {
		if (!kx_map_get(&hub->conns, conn_id, &index))
			return NULL;
		ch = hub->channels[index];
		hub->last_ch = ch;
	}
	return kx_likely(kx_addr_equal(&ch->remote, &f->remote)) ? ch : NULL;
}

static void refused(struct kx_hub *hub, enum kx_drop drop)
{
	if (drop == KX_DROP_CONN_UNKNOWN) {
		kx_count(&hub->stats.rx_unknown, 1);
		return;
	}
	kx_count(&hub->stats.rx_bad, 1);
	kx_count(&hub->stats.drop[drop], 1);
}

/* Not protected, since who sends it has no key: what it names must be on its way. */
static void reset_frame(struct channel *ch, const struct kx_frame_view *v, uint64_t now_ns)
{
	const struct kx_reset *b = (const struct kx_reset *)v->body;
	struct kx_client *c = ch->client;

	if (b->pkt_no >= ch->tx.next_pkt || b->pkt_no < ch->tx.acked_pkt)
		return;
	if (b->boot_id == c->boot_id)
		kxc_channel_down(ch, KX_UNKNOWN_FATE, 0, now_ns);
	else
		kxc_setup_anew(c, b->boot_id, now_ns);
}

/* What kx_frame_check() refused for its flags may be a protected frame of one of our sessions. */
static enum kx_drop open_frame(
	struct kx_hub *hub, struct kx_frame *f, struct kx_frame_view *v, struct channel **ch)
{
	const struct kx_frame_hdr *h = (const struct kx_frame_hdr *)f->data;
	int rc;

	if (!kx_frame_protected(f->data, f->bytes) || h->conn_id == 0)
		return KX_DROP_FRAME_FLAGS;
	*ch = channel_of(hub, f, h->conn_id);
	if (*ch == NULL)
		return KX_DROP_CONN_UNKNOWN;
	rc = kx_auth_protect_open(&(*ch)->protect, f->data, f->bytes);
	if (rc != 0)
		return rc == -EPROTO ? KX_DROP_FRAME_FLAGS : KX_DROP_FRAME_TAG;
	f->bytes -= KX_TAG_BYTES;
	return kx_frame_check_opened(f->data, f->bytes, KX_FROM_BROKER, v);
}

static void one_frame(struct kx_hub *hub, struct kx_frame *f, uint64_t now_ns)
{
	struct kx_frame_view v;
	enum kx_drop drop = kx_frame_check(f->data, f->bytes, KX_FROM_BROKER, &v);
	struct channel *ch = NULL;

	if (kx_likely(drop == KX_DROP_NONE)) {
		if (kx_unlikely(v.hdr->conn_id == 0)) {
			kxc_setup_frame(hub, f, &v, now_ns);
			return;
		}
		ch = channel_of(hub, f, v.hdr->conn_id);
		if (kx_likely(ch != NULL) && kx_unlikely(v.hdr->type == KX_RESET)) {
			reset_frame(ch, &v, now_ns);
			return;
		}
		drop = kx_unlikely(ch == NULL)		  ? KX_DROP_CONN_UNKNOWN
			: kx_unlikely(ch->tag_bytes != 0) ? KX_DROP_FRAME_UNPROTECTED
							  : KX_DROP_NONE;
	} else if (drop == KX_DROP_FRAME_FLAGS) {
		drop = open_frame(hub, f, &v, &ch);
	}
	if (kx_unlikely(drop != KX_DROP_NONE)) {
		refused(hub, drop);
		return;
	}
	drop = kx_rxwin_check_frame(&ch->rx, v.hdr->pkt_no, v.hdr->floor_delta);
	if (kx_unlikely(drop != KX_DROP_NONE)) {
		kx_count(&hub->stats.drop[drop], 1);
		return;
	}
	kx_rxwin_mark_frame(&ch->rx, v.hdr->pkt_no, v.hdr->floor_delta, now_ns);
	ch->last_rx_ns = now_ns;
	ch->client->stats.rx_frames++;
	kxc_receive_frame(ch, f, &v, now_ns);
}

static unsigned int hub_receive(struct kx_hub *hub, uint64_t now_ns)
{
	struct kx_frame *f = hub->frames;
	unsigned int n = hub->ops->rx_burst(hub->tx, f, hub->opts.rx_burst);

	hub->full_bursts = n == hub->opts.rx_burst ? hub->full_bursts + 1 : 0;
	if (n == 0)
		return 0;
	for (unsigned int i = 0; i < n; i++) {
		if (i + 1 < n)
			__builtin_prefetch(f[i + 1].data);
		one_frame(hub, &f[i], now_ns);
	}
	hub->ops->release(hub->tx, f, n);
	kx_count(&hub->stats.rx_frames, n);
	return n;
}

#define CONTAINER(type, timer_ptr) ((type *)((char *)(timer_ptr)-offsetof(type, timer)))

static unsigned int hub_timers(struct kx_hub *hub, uint64_t now_ns)
{
	struct timer *t;
	unsigned int n = 0;

	while (n < TIMERS_PER_TURN && (t = kxc_timer_pop_due(&hub->timers, now_ns)) != NULL) {
		n++;
		if (t->kind == TIMER_CHANNEL)
			channel_ready(CONTAINER(struct channel, t));
		else if (t->kind == TIMER_CLIENT)
			kxc_client_service(CONTAINER(struct kx_client, t), now_ns);
		else
			kxc_producer_linger(CONTAINER(struct kx_producer, t), now_ns);
	}
	return n;
}

/* Each channel that has something to do, once. What could not be finished is on the list again. */
static unsigned int hub_transmit(struct kx_hub *hub, uint64_t now_ns)
{
	struct channel *ch = hub->ready_head;
	unsigned int work = 0;

	if (ch == NULL)
		return 0;
	hub->room = hub->ops->room(hub->tx);
	hub->starved = false;
	hub->ready_head = hub->ready_tail = NULL;
	while (ch != NULL) {
		struct channel *next = ch->ready_next;

		ch->ready = false;
		if (kx_unlikely(hub->room == 0 || hub->starved))
			channel_ready(ch);
		else
			work += kxc_channel_service(ch, now_ns);
		ch = next;
	}
	return work;
}

/* What the way out does not carry is sent again smaller, in the next turn. */
static void hub_refused(struct kx_hub *hub, uint64_t now_ns)
{
	struct kx_addr remote;
	uint32_t bytes;

	while ((bytes = hub->ops->refused(hub->tx, &remote)) != 0)
		for (uint32_t i = 0; i < hub->opts.channels_max; i++)
			if (hub->channels[i] != NULL &&
				kx_addr_equal(&hub->channels[i]->path.remote, &remote))
				kxc_mtu_refused(hub->channels[i], bytes, now_ns);
}

unsigned int kx_hub_poll(struct kx_hub *hub, uint64_t now_ns)
{
	unsigned int work;

	if (hub->in_callback != 0)
		return 0;
	hub->in_callback++;
	work = hub_receive(hub, now_ns);
	work += hub_timers(hub, now_ns);
	work += hub_transmit(hub, now_ns);
	hub->in_callback--;
	hub->ops->flush(hub->tx);
	if (hub->ops->refused != NULL)
		hub_refused(hub, now_ns);
	return work;
}

uint64_t kx_hub_next_deadline_ns(const struct kx_hub *hub)
{
	if (hub->ready_head != NULL || hub->full_bursts > 0)
		return 0;
	return hub->timers.count > 0 ? hub->timers.heap[0]->due_ns : UINT64_MAX;
}

const struct kx_hub_stats *kx_hub_stats(const struct kx_hub *hub)
{
	return &hub->stats;
}
