/* SPDX-License-Identifier: BSD-3-Clause */
/* The DPDK client transport between two ports joined by rings. */
#include <rte_eth_ring.h>
#include <rte_ethdev.h>

#include "net_rig.h"
#include "kx_ethdev.h"
#include "kx_transport_dpdk.h"

#define RING_SLOTS 128

struct end {
	struct kx_ethdev dev;
	struct kx_net_if nif;
	struct kx_transport_dpdk *t;
	struct kx_transport tr;
};

struct wire {
	struct rte_mempool *pool;
	struct rte_ring *ring[2];
	struct end end[2];
	uint64_t now_ns;
};

static uint64_t wire_now(void *arg)
{
	return ((struct wire *)arg)->now_ns;
}

static struct wire w;

static void open_end(struct end *e, uint8_t id, int port)
{
	struct kx_ethdev_conf conf = {.rx_queues = 1,
		.tx_queues = 1,
		.rx_descs = 64,
		.tx_descs = 64,
		.promiscuous = true,
		.allmulticast = true,
		.rx_checksum = true,
		.tx_checksum = true,
		.rx_pools = &w.pool,
		.rx_pool_count = 1};
	struct kx_transport_dpdk_conf tc = {.nif = &e->nif,
		.local_port = 9000,
		.pool = w.pool,
		.socket_id = SOCKET_ID_ANY,
		.now_ns = wire_now,
		.now_arg = &w,
		.tx_hold_us = 1000};
	struct kx_net_if_conf nc;
	char buf[256];
	struct kx_text why;

	kx_text_init(&why, buf, sizeof(buf));
	assert_true(port >= 0);
	if (kx_ethdev_open(&e->dev, (uint16_t)port, &conf, &why) != 0)
		fail_msg("%s", buf);
	assert_int_equal(kx_ethdev_start(&e->dev, 0, &why), 0);
	rig_conf(&nc, id);
	nc.port_id = (uint16_t)port;
	nc.mac = e->dev.mac;
	assert_int_equal(kx_net_if_init(&e->nif, &nc), 0);
	assert_int_equal(kx_transport_dpdk_new(&tc, &e->t), 0);
	e->tr = kx_transport_dpdk(e->t);
}

static int setup(void **state)
{
	static int generation;
	char name[32];

	(void)state;
	rig_eal("transport");
	memset(&w, 0, sizeof(w));
	w.now_ns = 5 * KX_NS_PER_S;
	w.pool = rig_pool("wire", 1023, 2048 + RTE_PKTMBUF_HEADROOM);
	for (int i = 0; i < 2; i++) {
		snprintf(name, sizeof(name), "wire%d", i);
		w.ring[i] = rte_ring_create(name, RING_SLOTS, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
		assert_non_null(w.ring[i]);
	}
	for (int i = 0; i < 2; i++) {
		snprintf(name, sizeof(name), "end%d_%d", generation, i);
		open_end(&w.end[i], (uint8_t)(i + 1),
			rte_eth_from_rings(name, &w.ring[i], 1, &w.ring[1 - i], 1, 0));
	}
	generation++;
	return 0;
}

static int teardown(void **state)
{
	struct rte_mbuf *m;

	(void)state;
	for (int i = 0; i < 2; i++) {
		kx_transport_dpdk_free(w.end[i].t);
		kx_ethdev_close(&w.end[i].dev);
	}
	for (int i = 0; i < 2; i++) {
		while (rte_ring_dequeue(w.ring[i], (void **)&m) == 0)
			rte_pktmbuf_free(m);
		rte_ring_free(w.ring[i]);
	}
	assert_int_equal(rte_mempool_avail_count(w.pool), 1023);
	rte_mempool_free(w.pool);
	return 0;
}

static void to_addr(struct kx_addr *a, bool v6, uint8_t id, uint16_t port)
{
	memset(a, 0, sizeof(*a));
	if (v6)
		a->ip[0] = 0xfd;
	else
		a->ip[10] = a->ip[11] = 0xff, a->ip[12] = 10;
	a->ip[15] = id;
	a->port = port;
}

/** Resolve the other end: the first try asks, the other end answers by itself, the second try knows. */
static void resolve(bool v6, struct kx_path *path)
{
	struct kx_transport *a = &w.end[0].tr, *b = &w.end[1].tr;
	struct kx_frame f[8];
	struct kx_addr to;

	to_addr(&to, v6, 2, 9001);
	assert_int_equal(a->ops->path_to(a->ctx, &to, path), -EAGAIN);
	assert_int_equal(b->ops->rx_burst(b->ctx, f, 8), 0);
	assert_int_equal(a->ops->rx_burst(a->ctx, f, 8), 0);
	assert_int_equal(a->ops->path_to(a->ctx, &to, path), 0);
	assert_int_equal(path->datagram_bytes, v6 ? 1452 : 1472);
}

static void send_one(
	struct kx_transport *t, const struct kx_path *path, uint8_t type, uint8_t fill, uint32_t bytes)
{
	uint8_t *data;
	void *buf = t->ops->alloc(t->ctx, bytes, &data);

	assert_non_null(buf);
	assert_int_equal((uintptr_t)data & 7, 0);
	memset(data, fill, bytes);
	data[1] = type;
	t->ops->send(t->ctx, buf, bytes, path);
}

static void round_trip(bool v6)
{
	struct kx_transport *a = &w.end[0].tr, *b = &w.end[1].tr;
	struct kx_path path, back;
	struct kx_frame f[8];

	resolve(v6, &path);
	send_one(a, &path, KX_PRODUCE, 0x5a, path.datagram_bytes);
	send_one(a, &path, KX_RX_ACK, 0x5b, 73);
	a->ops->flush(a->ctx);
	assert_int_equal(b->ops->rx_burst(b->ctx, f, 8), 2);
	assert_int_equal(f[0].bytes, path.datagram_bytes);
	assert_int_equal(f[1].bytes, 73);
	assert_int_equal(f[1].data[72], 0x5b);
	assert_int_equal(f[0].local_port, 9001);
	assert_int_equal(f[0].flags, KX_FRAME_OWNED);
	assert_true(kx_addr_equal(&f[0].remote, &path.local));
	assert_int_equal(b->ops->path_of(b->ctx, &f[0], &back), 0);
	assert_true(kx_addr_equal(&back.remote, &path.local));
	assert_true(kx_addr_equal(&back.local, &path.remote));
	b->ops->forward(b->ctx, &f[0], 400, &back);
	b->ops->flush(b->ctx);
	b->ops->release(b->ctx, &f[1], 1);
	assert_int_equal(a->ops->rx_burst(a->ctx, f, 8), 1);
	assert_int_equal(f[0].bytes, 400);
	assert_int_equal(f[0].data[399], 0x5a);
	a->ops->release(a->ctx, f, 1);
	for (int i = 0; i < 2; i++) {
		const struct kx_ledger *l = kx_transport_dpdk_ledger(w.end[i].t);

		assert_int_equal(kx_ledger_rx_open(l), 0);
		assert_int_equal(kx_ledger_tx_open(l), 0);
		assert_int_equal(kx_ledger_rx_dropped(l) + kx_ledger_tx_dropped(l), 0);
	}
}

static void test_round_trip_v4(void **state)
{
	(void)state;
	round_trip(false);
}

static void test_round_trip_v6(void **state)
{
	(void)state;
	round_trip(true);
}

/* A full port keeps frames queued in order; room() is 0 until they have left. */
static void test_full_port_keeps_order(void **state)
{
	struct kx_transport *a = &w.end[0].tr, *b = &w.end[1].tr;
	unsigned int sent = 0, got = 0;
	struct kx_path path;
	struct kx_frame f[64];

	(void)state;
	resolve(false, &path);
	for (unsigned int turn = 0; turn < 100; turn++) {
		unsigned int room = a->ops->room(a->ctx);

		for (unsigned int i = 0; i < room && i < 100; i++)
			send_one(a, &path, KX_PRODUCE, (uint8_t)sent++, 64);
		a->ops->flush(a->ctx);
		unsigned int n = b->ops->rx_burst(b->ctx, f, turn % 40);
		for (unsigned int i = 0; i < n; i++)
			assert_int_equal(f[i].data[63], (uint8_t)(got + i));
		got += n;
		b->ops->release(b->ctx, f, n);
	}
	for (unsigned int n = 1; n > 0; got += n) {
		a->ops->flush(a->ctx);
		n = b->ops->rx_burst(b->ctx, f, 64);
		b->ops->release(b->ctx, f, n);
	}
	assert_true(sent > 1000);
	assert_int_equal(got, sent);
	assert_int_equal(kx_ledger_tx_dropped(kx_transport_dpdk_ledger(w.end[0].t)), 0);
}

/* A peer that takes nothing for tx_hold_us costs what is queued, by name. */
static void test_dead_peer(void **state)
{
	struct kx_transport *a = &w.end[0].tr;
	const struct kx_ledger *l = kx_transport_dpdk_ledger(w.end[0].t);
	struct kx_path path;

	(void)state;
	resolve(false, &path);
	for (unsigned int i = 0; i < RING_SLOTS - 1 + 50; i++)
		send_one(a, &path, KX_PRODUCE, 0, 64);
	a->ops->flush(a->ctx);
	assert_int_equal(a->ops->room(a->ctx), 0);
	w.now_ns += 900000;
	a->ops->flush(a->ctx);
	assert_int_equal(kx_ledger_tx_dropped(l), 0);
	w.now_ns += 200000;
	a->ops->flush(a->ctx);
	assert_int_equal(l->drop[KX_DROP_TX_FULL], 50);
	assert_int_equal(kx_ledger_tx_open(l), 0);
	assert_int_not_equal(a->ops->room(a->ctx), 0);
}

/* An empty pool is NULL, not a crash, and passes. */
static void test_empty_pool(void **state)
{
	struct kx_transport *a = &w.end[0].tr;
	unsigned int n = 0;
	static void *bufs[1100];
	uint8_t *data;

	(void)state;
	while (n < 1100 && (bufs[n] = a->ops->alloc(a->ctx, 1000, &data)) != NULL)
		n++;
	assert_int_equal(n, 1023);
	for (unsigned int i = 0; i < n; i++)
		a->ops->free(a->ctx, bufs[i]);
	assert_null(a->ops->alloc(a->ctx, 60000, &data));
	bufs[0] = a->ops->alloc(a->ctx, 1000, &data);
	assert_non_null(bufs[0]);
	a->ops->free(a->ctx, bufs[0]);
}

static void test_bad_conf(void **state)
{
	struct kx_transport_dpdk_conf c = {.nif = &w.end[0].nif, .local_port = 9004, .pool = w.pool};
	struct kx_transport_dpdk *t;

	(void)state;
	assert_int_equal(kx_transport_dpdk_new(&c, &t), -EINVAL);
	c.local_port = 9003;
	c.tx_burst = 65;
	assert_int_equal(kx_transport_dpdk_new(&c, &t), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_round_trip_v4, setup, teardown),
		cmocka_unit_test_setup_teardown(test_round_trip_v6, setup, teardown),
		cmocka_unit_test_setup_teardown(test_full_port_keeps_order, setup, teardown),
		cmocka_unit_test_setup_teardown(test_dead_peer, setup, teardown),
		cmocka_unit_test_setup_teardown(test_empty_pool, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad_conf, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
