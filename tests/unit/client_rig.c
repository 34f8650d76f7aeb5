/* SPDX-License-Identifier: BSD-3-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "client_rig.h"

#define TURN_NS 10000

/* ---- datagrams on their way: a heap by time */

static bool before(const struct flight *a, const struct flight *b)
{
	return a->due_ns != b->due_ns ? a->due_ns < b->due_ns : a->order < b->order;
}

static void flight_push(struct net *net, struct flight f)
{
	uint32_t i = net->flight_count++;

	assert_true(net->flight_count < NET_FLIGHT_MAX);
	for (; i > 0 && before(&f, &net->flights[(i - 1) / 2]); i = (i - 1) / 2)
		net->flights[i] = net->flights[(i - 1) / 2];
	net->flights[i] = f;
}

static struct flight flight_pop(struct net *net)
{
	struct flight first = net->flights[0], last = net->flights[--net->flight_count];
	uint32_t i = 0, child;

	while ((child = 2 * i + 1) < net->flight_count) {
		if (child + 1 < net->flight_count && before(&net->flights[child + 1], &net->flights[child]))
			child++;
		if (!before(&net->flights[child], &last))
			break;
		net->flights[i] = net->flights[child];
		i = child;
	}
	net->flights[i] = last;
	return first;
}

static bool chance(struct net *net, uint32_t per_mille)
{
	return per_mille != 0 && kx_prng_below(&net->prng, 1000) < per_mille;
}

static void launch(struct net *net, struct flight f)
{
	uint8_t *data = malloc(f.bytes);

	memcpy(data, f.data, f.bytes);
	f.data = data;
	f.order = net->order++;
	f.due_ns = KX_MAX(f.due_ns, net->now_ns) + net->delay_ns;
	if (net->jitter_ns > 0 && chance(net, net->reorder))
		f.due_ns += kx_prng_below(&net->prng, net->jitter_ns);
	if (chance(net, net->corrupt))
		data[kx_prng_below(&net->prng, f.bytes)] ^= (uint8_t)(1 + kx_prng_below(&net->prng, 255));
	flight_push(net, f);
}

/* @return false: its queue is full */
static bool pass_link(struct net *net, struct flight *f)
{
	bool up = f->to.port < NET_PORT + NET_LCORES_MAX;
	struct link *l = up ? &net->to_broker : &net->to_client;
	uint32_t hub = (up ? f->from.port : f->to.port) - NET_HUB_PORT;
	uint64_t waiting;

	if (l->bytes_per_s == 0 || (l->hubs != 0 && (l->hubs >> hub & 1) == 0))
		return true;
	l->free_ns = KX_MAX(l->free_ns, net->now_ns);
	waiting = (l->free_ns - net->now_ns) * l->bytes_per_s / KX_NS_PER_S;
	if (waiting + f->bytes > l->queue_bytes) {
		l->dropped++;
		return false;
	}
	l->passed++;
	l->waited_bytes += waiting;
	l->free_ns += f->bytes * KX_NS_PER_S / l->bytes_per_s;
	f->due_ns = l->free_ns;
	return true;
}

static uint16_t datagram_bytes(const struct net *net)
{
	return net->datagram_bytes != 0 ? net->datagram_bytes : KX_DATAGRAM_DEFAULT_V4;
}

static bool carried(const struct net *net, const struct flight *f)
{
	uint32_t most = f->to.port < NET_PORT + NET_LCORES_MAX ? net->carries_up : net->carries_down;

	return most == 0 || f->bytes <= most;
}

static void transmit(
	struct net *net, const struct kx_addr *from, const struct kx_addr *to, uint8_t *data, uint32_t bytes)
{
	struct flight f = {.data = data, .bytes = bytes, .from = *from, .to = *to};

	net->sent++;
	if (net->filter != NULL && !net->filter(net, &f, (const struct kx_frame_hdr *)data)) {
		net->lost++;
		return;
	}
	if (!carried(net, &f) || chance(net, net->loss) || !pass_link(net, &f)) {
		net->lost++;
		return;
	}
	launch(net, f);
	if (chance(net, net->duplicate))
		launch(net, f);
}

void net_inject(struct net *net, const struct kx_addr *from, const struct kx_addr *to, const void *data,
	uint32_t bytes)
{
	launch(net,
		(struct flight){
			.data = (uint8_t *)(uintptr_t)data, .bytes = bytes, .from = *from, .to = *to});
}

static struct node *node_at(struct net *net, const struct kx_addr *to)
{
	for (uint32_t i = 0; i < net->lcore_count; i++)
		if (kx_addr_equal(&net->lcores[i].addr, to))
			return &net->lcores[i];
	for (uint32_t i = 0; i < net->hub_count; i++)
		if (kx_addr_equal(&net->hubs[i].addr, to))
			return &net->hubs[i];
	return NULL;
}

static void arrive(struct net *net, struct flight f)
{
	uint32_t most = net->ring_frames != 0 ? net->ring_frames : NET_INBOX;
	struct node *node = node_at(net, &f.to);

	if (node == NULL || node->dead || node->count >= most) {
		free(f.data);
		net->lost++;
		return;
	}
	node->inbox[(node->head + node->count++) % NET_INBOX] = (struct kx_frame){.data = f.data,
		.bytes = f.bytes,
		.remote = f.from,
		.buf = f.data,
		.rx_ns = net->now_ns,
		.local_port = f.to.port};
}

/* ---- transport of a node */

static unsigned int node_rx(void *ctx, struct kx_frame *frames, unsigned int max)
{
	struct node *n = ctx;
	unsigned int got = 0;

	while (got < max && n->count > 0) {
		frames[got++] = n->inbox[n->head];
		n->head = (n->head + 1) % NET_INBOX;
		n->count--;
	}
	return got;
}

static void node_release(void *ctx, struct kx_frame *frames, unsigned int n)
{
	(void)ctx;
	for (unsigned int i = 0; i < n; i++)
		free(frames[i].buf);
}

/* A buffer knows how long it is: writing beyond it is found by ASan. */
static void *node_alloc(void *ctx, uint32_t bytes, uint8_t **data)
{
	struct node *n = ctx;

	if (chance(n->net, n->net->no_buffer)) {
		n->no_buffers++;
		for (uint32_t i = 0; i < n->net->lcore_count; i++)
			if (n == &n->net->lcores[i]) {
				kx_count(&n->net->ledgers[i].built, 1);
				kx_ledger_drop(&n->net->ledgers[i], KX_DROP_TX_NO_BUFFER);
			}
		return NULL;
	}
	*data = malloc(bytes);
	return *data;
}

static void node_free(void *ctx, void *buf)
{
	(void)ctx;
	free(buf);
}

static bool node_is_hub(const struct node *n)
{
	return n >= n->net->hubs && n < n->net->hubs + NET_HUBS_MAX;
}

static void node_send(void *ctx, void *buf, uint32_t bytes, const struct kx_path *path)
{
	struct node *n = ctx;

	assert_true(bytes <= datagram_bytes(n->net) && bytes <= path->datagram_bytes);
	if (n->net->sends_up != 0 && node_is_hub(n) && bytes > n->net->sends_up) {
		n->refused = n->refused != 0 ? KX_MIN(n->refused, bytes) : bytes;
		n->refused_to = path->remote;
		free(buf);
		return;
	}
	transmit(n->net, &n->addr, &path->remote, buf, bytes);
	free(buf);
	for (uint32_t i = 0; i < n->net->lcore_count; i++)
		if (n == &n->net->lcores[i]) {
			kx_count(&n->net->ledgers[i].built, 1);
			kx_count(&n->net->ledgers[i].sent, 1);
		}
}

static uint32_t node_refused(void *ctx, struct kx_addr *remote)
{
	struct node *n = ctx;
	uint32_t bytes = n->refused;

	*remote = n->refused_to;
	n->refused = 0;
	return bytes;
}

static void node_flush(void *ctx)
{
	(void)ctx;
}

static unsigned int node_room(void *ctx)
{
	(void)ctx;
	return 256;
}

static int node_path_to(void *ctx, const struct kx_addr *remote, struct kx_path *path)
{
	const struct node *n = ctx;

	*path = (struct kx_path){.remote = *remote, .datagram_bytes = datagram_bytes(n->net)};
	return 0;
}

static int node_path_of(void *ctx, const struct kx_frame *f, struct kx_path *path)
{
	return node_path_to(ctx, &f->remote, path);
}

static const struct kx_transport_ops node_ops = {
	.rx_burst = node_rx,
	.release = node_release,
	.alloc = node_alloc,
	.free = node_free,
	.send = node_send,
	.flush = node_flush,
	.room = node_room,
	.path_of = node_path_of,
	.path_to = node_path_to,
	.refused = node_refused,
};

struct kx_transport net_transport(struct net *net, uint32_t hub)
{
	return (struct kx_transport){&node_ops, &net->hubs[hub]};
}

/* ---- brokers */

static void brokers_up(struct net *net)
{
	memset(net->offsets, 0, net->conf->partition_count * sizeof(*net->offsets));
	memset(net->ledgers, 0, sizeof(net->ledgers));
	net->boot_id++;
	assert_int_equal(kx_producer_ids_create(net->ids_count != 0 ? net->ids_count : 1024,
				 net->conf->principal_count, net->boot_id, &net->ids),
		0);
	assert_int_equal(kx_fence_create(&net->fence), 0);
	for (uint32_t i = 0; i < net->lcore_count; i++) {
		struct kx_broker_config config = {.conf = net->conf,
			.lcore_index = i,
			.lcore_count = net->lcore_count,
			.boot_id = net->boot_id,
			.secrets = &net->secrets,
			.transport = {&node_ops, &net->lcores[i]},
			.log_memory = net->log_memory[i],
			.log_memory_bytes = net->conf->memory.log_bytes,
			.datagram_max_bytes = datagram_bytes(net),
			.rx_buffer_frames = 1024,
			.offsets = net->offsets,
			.ledger = &net->ledgers[i],
			.producer_ids = net->ids,
			.fence = net->fence,
			.cut_min_bytes = 512,
			.slice_min_bytes = UINT32_MAX};

		assert_int_equal(kx_broker_create(&config, &net->brokers[i]), 0);
	}
}

static void brokers_down(struct net *net)
{
	for (uint32_t i = 0; i < net->lcore_count; i++) {
		assert_int_equal(kx_ledger_rx_open(&net->ledgers[i]), 0);
		assert_int_equal(kx_ledger_tx_open(&net->ledgers[i]), 0);
		kx_broker_destroy(net->brokers[i]);
	}
	kx_producer_ids_destroy(net->ids);
	kx_fence_destroy(net->fence);
}

void net_restart_broker(struct net *net)
{
	brokers_down(net);
	brokers_up(net);
}

void net_v6(struct net *net)
{
	for (uint32_t i = 0; i < net->lcore_count; i++)
		assert_int_equal(
			kx_addr_parse("fd00::fe", net->lcores[i].addr.port, &net->lcores[i].addr), 0);
	for (uint32_t i = 0; i < net->hub_count; i++)
		assert_int_equal(kx_addr_parse("fd00::1", net->hubs[i].addr.port, &net->hubs[i].addr), 0);
}

void net_jumbo(struct net *net, uint16_t bytes)
{
	net->datagram_bytes = bytes;
	net_restart_broker(net);
}

struct net *net_new(const char *ini, uint32_t lcores, uint32_t hubs, uint64_t seed)
{
	struct kx_conf_errors *errs = calloc(1, sizeof(*errs));
	struct net *net = calloc(1, sizeof(*net));

	if (kx_conf_load_memory("test.ini", ini, strlen(ini), &net->conf, errs) != 0)
		fail_msg("%s", errs->text[0]);
	free(errs);
	kx_prng_seed(&net->prng, seed);
	net->lcore_count = lcores;
	net->hub_count = hubs;
	net->now_ns = 1000000000;
	net->delay_ns = 20000;
	net->boot_id = 76;
	assert_int_equal(kx_auth_secrets_init(&net->secrets), 0);
	net->offsets = aligned_alloc(KX_CACHE_LINE, net->conf->partition_count * sizeof(*net->offsets));
	for (uint32_t i = 0; i < lcores; i++) {
		net->lcores[i].net = net;
		assert_int_equal(
			kx_addr_parse("10.0.0.254", (uint16_t)(NET_PORT + i), &net->lcores[i].addr), 0);
		assert_int_equal(posix_memalign((void **)&net->log_memory[i], net->conf->memory.extent_bytes,
					 net->conf->memory.log_bytes),
			0);
	}
	brokers_up(net);
	for (uint32_t i = 0; i < hubs; i++) {
		struct kx_transport transport = {&node_ops, &net->hubs[i]};

		net->hubs[i].net = net;
		assert_int_equal(
			kx_addr_parse("10.0.0.1", (uint16_t)(NET_HUB_PORT + i), &net->hubs[i].addr), 0);
		assert_int_equal(kx_hub_open(&transport, NULL, &net->hub[i]), KX_OK);
	}
	return net;
}

static void inbox_empty(struct node *n)
{
	struct kx_frame f;

	while (node_rx(n, &f, 1) == 1)
		free(f.buf);
}

void net_free(struct net *net)
{
	for (uint32_t i = 0; i < net->hub_count; i++) {
		assert_int_equal(kx_hub_close(net->hub[i], net->now_ns), KX_OK);
		inbox_empty(&net->hubs[i]);
	}
	for (uint32_t i = 0; i < net->lcore_count; i++)
		inbox_empty(&net->lcores[i]);
	brokers_down(net);
	while (net->flight_count > 0)
		free(flight_pop(net).data);
	for (uint32_t i = 0; i < net->lcore_count; i++)
		free(net->log_memory[i]);
	kx_conf_free(net->conf);
	free(net->offsets);
	free(net);
}

static void broker_turn(struct net *net, uint32_t i)
{
	struct kx_frame frames[64];
	unsigned int n = node_rx(&net->lcores[i], frames, 64);

	if (n > 0) {
		kx_count(&net->ledgers[i].received, n);
		kx_broker_rx(net->brokers[i], frames, n, net->now_ns);
		node_release(NULL, frames, n);
	}
	kx_broker_poll(net->brokers[i], net->now_ns);
	kx_broker_flushed(net->brokers[i], net->now_ns);
}

void net_turn(struct net *net)
{
	net->now_ns += TURN_NS;
	while (net->flight_count > 0 && net->flights[0].due_ns <= net->now_ns)
		arrive(net, flight_pop(net));
	for (uint32_t i = 0; i < net->lcore_count; i++)
		if (!net->lcores[i].dead && net->now_ns >= net->lcores[i].asleep_until_ns)
			broker_turn(net, i);
	for (uint32_t i = 0; i < net->hub_count; i++)
		if (net->now_ns >= net->hubs[i].asleep_until_ns)
			kx_hub_poll(net->hub[i], net->now_ns);
}

void net_run(struct net *net, uint64_t ns)
{
	for (uint64_t end = net->now_ns + ns; net->now_ns < end;)
		net_turn(net);
}
