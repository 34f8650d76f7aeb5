/* SPDX-License-Identifier: BSD-3-Clause */
/* Client processes: a hub of libkaelix each, and the transport below it. */
#include <stdlib.h>
#include <string.h>

#include "identity.h"

static unsigned int client_rx(void *ctx, struct kx_frame *frames, unsigned int max)
{
	struct client *c = ctx;
	unsigned int n = 0;

	for (; n < max && c->count > 0; c->count--) {
		frames[n] = c->inbox[c->head];
		c->foreign += seal_foreign(c->sim, frames[n].data, frames[n].bytes, true);
		wire_client_took(
			c->sim, c, frames[n].data, frames[n].bytes, frames[n].remote.port - SIM_PORT);
		frames[n++].rx_ns = client_now(c);
		c->head = (c->head + 1) % SIM_INBOX;
	}
	return n;
}

static void client_release(void *ctx, struct kx_frame *frames, unsigned int n)
{
	(void)ctx;
	for (unsigned int i = 0; i < n; i++)
		free(frames[i].buf);
}

static void *client_alloc(void *ctx, uint32_t bytes, uint8_t **data)
{
	struct client *c = ctx;

	if (kx_unlikely(chance(c->sim, c->no_buffer))) {
		fault_hit(c->sim, SIM_NO_BUFFER_CLIENT);
		c->shorts++;
		c->idle_turns = 0;
		return NULL;
	}
	c->buffers++;
	*data = malloc(bytes);
	return *data;
}

static void client_free(void *ctx, void *buf)
{
	((struct client *)ctx)->buffers--;
	free(buf);
}

static void client_send(void *ctx, void *buf, uint32_t bytes, const struct kx_path *path)
{
	struct client *c = ctx;
	const struct kx_frame_hdr *h = buf;

	c->buffers--;
	c->idle_turns = 0;
	if (c->muted) {
		free(buf);
		return;
	}
	SIM_CHECK(c->sim, bytes <= path->datagram_bytes, "client %u: a frame of %u bytes on a path of %u",
		c->index, bytes, path->datagram_bytes);
	TRACE(c->sim, "client %u sends %s (%u bytes) to :%u, pkt_no %llu", c->index,
		kx_frame_type_name(h->type), bytes, path->remote.port, (unsigned long long)h->pkt_no);
	wire_from_client(c->sim, c, buf, bytes);
	net_send(c->sim, &c->addr, &path->remote, buf, bytes);
}

static void client_flush(void *ctx)
{
	(void)ctx;
}

static unsigned int client_room(void *ctx)
{
	return ((struct client *)ctx)->room;
}

static int client_path_to(void *ctx, const struct kx_addr *remote, struct kx_path *path)
{
	struct client *c = ctx;

	if (chance(c->sim, 50)) /* a neighbour is being resolved */
		return -11;
	*path = (struct kx_path){.remote = *remote, .datagram_bytes = (uint16_t)paths_client_bytes(c)};
	return 0;
}

static int client_path_of(void *ctx, const struct kx_frame *f, struct kx_path *path)
{
	return client_path_to(ctx, &f->remote, path);
}

static const struct kx_transport_ops client_ops = {.rx_burst = client_rx,
	.release = client_release,
	.alloc = client_alloc,
	.free = client_free,
	.send = client_send,
	.flush = client_flush,
	.room = client_room,
	.path_of = client_path_of,
	.path_to = client_path_to};

void client_up(struct client *c)
{
	struct sim *s = c->sim;
	struct kx_transport transport = {&client_ops, c};
	struct kx_hub_opts hub = {.channels_max = 8,
		.rx_burst = (uint32_t)pick_in(s, 4, 64),
		.tx_burst = (uint32_t)pick_in(s, 2, 64)};
	struct kx_client_opts opts = {.connect_timeout_ns = 3 * KX_NS_PER_S,
		.channels_max = SIM_LCORES,
		.producers_max = SIM_TOPICS,
		.consumers_max = SIM_PROC_CONSUMERS,
		.subscriptions_max = 64,
		.on_event = check_event,
		.user = c};

	c->incarnation++;
	c->addr = net_address(1, c->index, (uint16_t)(20000 + c->incarnation % 20000));
	c->muted = c->connected = false;
	c->frozen_ns = 0;
	c->buffers = 0;
	c->room = (uint32_t)pick_in(s, 4, 128);
	c->wake_ns = UINT64_MAX;
	memset(c->drops_seen, 0, sizeof(c->drops_seen));
	if (chance(s, 400)) /* its own of before; or another's, who may still be there */
		opts.producer_id = s->ids[chance(s, 600) ? c->index : pick(s, s->client_count)];
	if (c->take_id != 0)
		opts.producer_id = c->take_id;
	c->take_id = 0;
	identity_client(c, &opts);
	opts.broker = s->broker.lcores[pick(s, s->broker.lcore_count)].addr;
	SIM_CHECK(s, kx_hub_open(&transport, &hub, &c->hub) == KX_OK, "kx_hub_open");
	SIM_CHECK(s, kx_client_open(c->hub, &opts, client_now(c), &c->c) == KX_OK, "kx_client_open");
	c->up = true;
	TRACE(s, "client %u up, incarnation %u", c->index, c->incarnation);
	load_process(c);
	client_wake(c, s->now_ns);
	sim_at(s, s->now_ns + (uint64_t)kx_prng_exp(&s->prng, (double)s->app_gap_ns), EV_APP, c->index,
		c->incarnation);
}

void client_count_drops(struct client *c)
{
	const struct kx_hub_stats *st = kx_hub_stats(c->hub);

	for (uint32_t i = 0; i < KX_DROP_COUNT; i++) {
		c->sim->coverage.client_drop[i] += st->drop[i] - c->drops_seen[i];
		c->drops_seen[i] = st->drop[i];
	}
}

static void count_falls(struct client *c)
{
	struct kx_client_stats stats;

	kx_client_stats(c->c, &stats);
	c->sim->coverage.reached[REACHED_MTU_FALL] += stats.mtu_falls;
}

void client_down(struct client *c, bool crash)
{
	struct sim *s = c->sim;

	if (!c->up)
		return;
	TRACE(s, "client %u %s", c->index, crash ? "crashes" : "leaves");
	client_count_drops(c);
	for (uint32_t i = 0; i < SIM_PROC_PRODUCERS; i++)
		if (c->producers[i] != NULL)
			control_abandon(c->producers[i]);
	count_falls(c);
	c->muted = crash;
	SIM_CHECK(s, kx_hub_close(c->hub, client_now(c)) == KX_OK, "kx_hub_close");
	SIM_CHECK(s, c->buffers == 0, "client %u: %lld buffers are missing", c->index, (long long)c->buffers);
	throttle_forget(c);
	load_forget(c);
	for (; c->count > 0; c->count--) {
		free(c->inbox[c->head].buf);
		c->head = (c->head + 1) % SIM_INBOX;
	}
	c->hub = NULL;
	c->c = NULL;
	c->up = false;
	c->generation++;
	c->wake_ns = UINT64_MAX;
	c->incarnation++; /* what was planned for it is void */
}

void client_wake(struct client *c, uint64_t due_ns)
{
	if (!c->up || c->wake_ns <= due_ns)
		return;
	c->wake_ns = due_ns;
	sim_at(c->sim, due_ns, EV_CLIENT, c->index, ++c->generation);
}

void client_arrive(struct client *c, struct flight *f)
{
	struct sim *s = c->sim;

	if (!c->up || c->count == SIM_INBOX) {
		s->net.lost++;
		return;
	}
	c->inbox[(c->head + c->count++) % SIM_INBOX] = (struct kx_frame){.data = f->data,
		.bytes = f->bytes,
		.remote = f->from,
		.buf = f->data,
		.local_port = f->to.port};
	f->data = NULL;
	client_wake(c, KX_MAX(s->now_ns + 2 * SIM_US, c->frozen_ns));
}

static uint64_t refused(const struct kx_hub_stats *st)
{
	return st->rx_bad + st->rx_unknown;
}

static void poll_hub(struct client *c)
{
	uint64_t before = refused(kx_hub_stats(c->hub));

	c->foreign = 0;
	kx_hub_poll(c->hub, client_now(c));
	SIM_CHECK(c->sim, refused(kx_hub_stats(c->hub)) - before >= c->foreign,
		"client %u took a frame of a protected session that the broker never sent", c->index);
}

void client_poll(struct client *c, uint64_t generation)
{
	struct sim *s = c->sim;
	uint64_t due_ns;

	if (!c->up || generation != c->generation)
		return;
	c->wake_ns = UINT64_MAX;
	if (s->now_ns < c->frozen_ns) {
		client_wake(c, c->frozen_ns);
		return;
	}
	poll_hub(c);
	SIM_CHECK(s, c->buffers == 0, "client %u: %lld buffers are missing after a turn", c->index,
		(long long)c->buffers);
	due_ns = kx_hub_next_deadline_ns(c->hub);
	c->idle_turns = due_ns <= client_now(c) + 1 && c->count == 0 ? c->idle_turns + 1 : 0;
	SIM_CHECK(s, c->idle_turns < 1000, "client %u wants to be polled at once for ever, and does nothing",
		c->index);
	if (c->count > 0 || due_ns == 0)
		client_wake(c, s->now_ns + 5 * SIM_US);
	else if (due_ns != UINT64_MAX)
		client_wake(c, KX_MAX(due_ns > c->clock_ns ? due_ns - c->clock_ns : 0, s->now_ns + SIM_US));
}
