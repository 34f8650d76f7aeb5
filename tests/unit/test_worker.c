/* SPDX-License-Identifier: BSD-3-Clause */
/* Two data lcores driven by hand over a port made of rings: one polls it, the other is fed by hand-over and
 * sends through the first. */
#include <rte_eth_ring.h>
#include <unistd.h>

#include "kx_ethdev.h"
#include "kx_worker.h"
#include "net_rig.h"

static const char ini[] = "[broker]\nname = t\n"
			  "[lcores]\ndata = 1,2\n"
			  "[memory]\nlog_bytes = 8M\nhandover_ring = 64\n"
			  "[port net_ring0]\naddress = 10.0.0.1/24\n"
			  "[topic t]\npartitions = 2\n";

struct world {
	struct kx_conf *conf;
	struct rte_ring *in, *out;
	struct kx_ethdev dev;
	struct kx_net_if nif;
	struct rte_mempool *pool;
	unsigned int pool_full;
	struct kx_worker_fabric *fabric;
	struct kx_tsc_clock clock;
	struct kx_auth_secrets secrets;
	struct kx_partition_offsets *offsets;
	struct kx_producer_ids *producer_ids;
	struct kx_fence *fence;
	uint8_t *log[2];
	struct kx_worker *w[2];
};

static int ports_made;

static void open_port(struct world *t)
{
	struct kx_ethdev_conf ec = {.rx_queues = 1, .tx_queues = 1, .rx_pools = &t->pool, .rx_pool_count = 1};
	struct kx_net_if_conf nc;
	char text[256];
	struct kx_text why;
	int port;

	t->in = rte_ring_create("t_in", 512, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
	t->out = rte_ring_create("t_out", 512, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
	snprintf(text, sizeof(text), "t%d", ports_made++); /* ring devices are not unplugged */
	port = rte_eth_from_rings(text, &t->in, 1, &t->out, 1, 0);
	assert_true(port >= 0);
	kx_text_init(&why, text, sizeof(text));
	assert_int_equal(kx_ethdev_open(&t->dev, (uint16_t)port, &ec, &why), 0);
	assert_int_equal(kx_ethdev_start(&t->dev, 0, &why), 0);
	rig_conf(&nc, 1);
	nc.port_id = (uint16_t)port;
	nc.port_count = 2;
	assert_int_equal(kx_net_if_init(&t->nif, &nc), 0);
}

static void open_worker(struct world *t, uint32_t i)
{
	struct kx_worker_port_conf pc = {.nif = &t->nif,
		.rx_burst = 32,
		.cut = true,
		.rx_pkts = {&t->dev.count[0].rx_pkts},
		.tx_pkts = {&t->dev.count[0].tx_pkts}};
	struct kx_worker_config wc = {
		.conf = t->conf,
		.fabric = t->fabric,
		.index = i,
		.lcore = i,
		.socket_id = SOCKET_ID_ANY,
		.clock = &t->clock,
		.pool = t->pool,
		.ports = &pc,
		.secrets = &t->secrets,
		.boot_id = 7,
		.producer_ids = t->producer_ids,
		.fence = t->fence,
		.log_memory_bytes = t->conf->memory.log_bytes,
		.log_iova = RTE_BAD_IOVA,
		.rx_buffer_frames = 256,
		.offsets = t->offsets,
	};

	t->log[i] = aligned_alloc(t->conf->memory.extent_bytes, t->conf->memory.log_bytes);
	assert_non_null(t->log[i]);
	wc.log_memory = t->log[i];
	assert_int_equal(kx_worker_new(&wc, &t->w[i]), 0);
}

static void open_world(struct world *t)
{
	const struct kx_worker_port_shape shape = {1, 1};
	const bool polls[2] = {true, true};
	const int sockets[2] = {SOCKET_ID_ANY, SOCKET_ID_ANY};
	struct kx_worker_wiring wiring;
	size_t bytes;

	memset(t, 0, sizeof(*t));
	assert_int_equal(kx_producer_ids_create(64, 1, 7, &t->producer_ids), 0);
	assert_int_equal(kx_fence_create(&t->fence), 0);
	assert_int_equal(kx_conf_load_memory("t.ini", ini, sizeof(ini) - 1, &t->conf, NULL), 0);
	bytes = t->conf->partition_count * sizeof(*t->offsets);
	t->offsets = aligned_alloc(KX_CACHE_LINE, bytes);
	memset(t->offsets, 0, bytes);
	t->pool = rig_pool("t_pool", 2047, 2048 + RTE_PKTMBUF_HEADROOM);
	t->pool_full = rte_mempool_avail_count(t->pool);
	assert_int_equal(kx_tsc_clock_calibrate(&t->clock, 5000000), 0);
	assert_int_equal(kx_auth_secrets_init(&t->secrets), 0);
	open_port(t);
	assert_int_equal(kx_worker_wire(&wiring, 2, polls, 1, &shape), 0);
	assert_int_equal(kx_worker_fabric_new(&wiring, "t", 9000, 64, sockets, &t->fabric), 0);
	open_worker(t, 0);
	open_worker(t, 1);
}

static void assert_ledger_closes(const struct kx_worker *w)
{
	assert_int_equal(kx_ledger_rx_open(&w->ledger), 0);
	assert_int_equal(kx_ledger_tx_open(&w->ledger), (int64_t)w->port_stats[0].tx_waiting);
}

static unsigned int take_out(struct world *t, struct rte_mbuf **m, unsigned int max)
{
	return rte_ring_sc_dequeue_burst(t->out, (void **)m, max, NULL);
}

static void close_world(struct world *t)
{
	struct rte_mbuf *m[512];

	for (int i = 0; i < 2; i++)
		kx_worker_drain(t->w[i]);
	for (int i = 0; i < 2; i++)
		kx_worker_drain(t->w[i]);
	for (int i = 0; i < 2; i++) {
		assert_ledger_closes(t->w[i]);
		kx_worker_free(t->w[i]);
		free(t->log[i]);
	}
	rte_pktmbuf_free_bulk(m, take_out(t, m, 512));
	assert_int_equal(rte_mempool_avail_count(t->pool), t->pool_full);
	kx_worker_fabric_free(t->fabric);
	kx_ethdev_stop(&t->dev);
	kx_ethdev_close(&t->dev);
	rte_ring_free(t->in);
	rte_ring_free(t->out);
	rte_mempool_free(t->pool);
	free(t->offsets);
	kx_producer_ids_destroy(t->producer_ids);
	kx_fence_destroy(t->fence);
	kx_conf_free(t->conf);
}

/* A padded HELLO to a UDP port: the smallest thing a broker answers. */
static void put_hello(struct world *t, uint16_t dport)
{
	uint8_t kxp[KX_HELLO_BYTES] = {0}, frame[2048];
	struct rig_spec s = {
		.from = 2, .to = 1, .vlan = -1, .proto = 17, .sport = 40000, .dport = dport, .payload = kxp};
	struct kx_hello *hello = (struct kx_hello *)kx_frame_begin(kxp, KX_HELLO, 0, 0, 0, 0);

	memset(hello->client_nonce, 5, sizeof(hello->client_nonce));
	hello->version_min = hello->version_max = KX_WIRE_VERSION;
	kx_frame_seal(kxp, sizeof(kxp));
	s.payload_bytes = sizeof(kxp);
	assert_int_equal(rte_ring_sp_enqueue(t->in, rig_mbuf(t->pool, frame, rig_frame(frame, &s))), 0);
}

static void a_frame_goes_to_the_lcore_of_its_port(void **state)
{
	struct rte_mbuf *m[4];
	struct world t;

	(void)state;
	open_world(&t);
	put_hello(&t, 9001);
	kx_worker_turn(t.w[0]);
	assert_int_equal(t.w[0]->ledger.received, 1);
	assert_int_equal(t.w[0]->ledger.handed_over, 1);
	assert_int_equal(t.w[1]->ledger.received, 0);
	kx_worker_turn(t.w[1]);
	assert_int_equal(t.w[1]->stats.handover_in, 1);
	assert_int_equal(t.w[1]->ledger.received, 1);
	assert_int_equal(t.w[1]->ledger.handled, 1);
	assert_int_equal(t.w[1]->ledger.built, 1);
	assert_int_equal(t.w[1]->ledger.relayed, 1);
	assert_int_equal(take_out(&t, m, 4), 0);
	kx_worker_turn(t.w[0]);
	assert_int_equal(t.w[0]->stats.relay_in, 1);
	assert_int_equal(t.w[0]->ledger.sent, 1);
	assert_int_equal(take_out(&t, m, 4), 1);
	/* COOKIE, from the port that was asked. */
	assert_int_equal(rte_pktmbuf_mtod(m[0], uint8_t *)[42 + 1], KX_COOKIE);
	assert_int_equal(
		rte_pktmbuf_mtod(m[0], uint8_t *)[34] << 8 | rte_pktmbuf_mtod(m[0], uint8_t *)[35], 9001);
	rte_pktmbuf_free(m[0]);
	close_world(&t);
}

static void a_mixed_burst_is_split_and_nothing_is_lost(void **state)
{
	const uint16_t ports[7] = {9000, 9001, 9001, 9000, 9001, 9000, 9002};
	struct rte_mbuf *m[16];
	struct world t;

	(void)state;
	open_world(&t);
	for (int i = 0; i < 7; i++)
		put_hello(&t, ports[i]);
	kx_worker_turn(t.w[0]);
	assert_int_equal(t.w[0]->ledger.received, 7);
	assert_int_equal(t.w[0]->ledger.handed_over, 3);
	assert_int_equal(t.w[0]->ledger.drop[KX_DROP_UDP_PORT], 1);
	assert_int_equal(t.w[0]->ledger.handled + kx_ledger_rx_dropped(&t.w[0]->ledger), 4);
	kx_worker_turn(t.w[1]);
	assert_int_equal(t.w[1]->ledger.received, 3);
	kx_worker_turn(t.w[0]);
	assert_int_equal(t.w[0]->ledger.sent, take_out(&t, m, 16));
	rte_pktmbuf_free_bulk(m, (unsigned int)t.w[0]->ledger.sent);
	assert_ledger_closes(t.w[0]);
	assert_ledger_closes(t.w[1]);
	close_world(&t);
}

static void a_full_ring_drops_by_name(void **state)
{
	struct world t;

	(void)state;
	open_world(&t);
	for (int i = 0; i < 100; i++)
		put_hello(&t, 9001);
	for (int i = 0; i < 4; i++)
		kx_worker_turn(t.w[0]);
	assert_int_equal(t.w[0]->ledger.handed_over, 63);
	assert_int_equal(t.w[0]->ledger.drop[KX_DROP_HANDOVER_FULL], 37);
	assert_ledger_closes(t.w[0]);
	/* What still rests in the ring is charged when the broker stops. */
	close_world(&t);
}

static void a_port_that_takes_nothing_holds_then_drops(void **state)
{
	struct rte_mbuf *m[512];
	unsigned int free_slots;
	struct world t;

	(void)state;
	open_world(&t);
	free_slots = rte_ring_free_count(t.out);
	for (unsigned int i = 0; i < free_slots; i++)
		assert_int_equal(rte_ring_sp_enqueue(t.out, rte_pktmbuf_alloc(t.pool)), 0);
	kx_worker_turn(t.w[0]);
	put_hello(&t, 9000);
	kx_worker_turn(t.w[0]);
	assert_int_equal(t.w[0]->ledger.built, 1);
	assert_int_equal(t.w[0]->ledger.sent, 0);
	assert_int_equal(t.w[0]->ledger.drop[KX_DROP_TX_FULL], 0);
	assert_int_equal(t.w[0]->port_stats[0].tx_waiting, 1);
	assert_int_equal(t.w[0]->tx[0].count, 1);
	usleep(KX_WORKER_TX_HOLD_NS / 1000 + 5000);
	kx_worker_turn(t.w[0]);
	assert_int_equal(t.w[0]->ledger.drop[KX_DROP_TX_FULL], 1);
	assert_int_equal(t.w[0]->port_stats[0].tx_waiting, 0);
	assert_true(t.w[0]->tx[0].stalled);
	/* It moves again: frames leave again. */
	rte_pktmbuf_free_bulk(m, take_out(&t, m, 512));
	put_hello(&t, 9000);
	kx_worker_turn(t.w[0]);
	assert_int_equal(t.w[0]->ledger.sent, 1);
	assert_false(t.w[0]->tx[0].stalled);
	close_world(&t);
}

static void arp_is_answered_between_bursts(void **state)
{
	uint8_t frame[2048];
	struct rte_mbuf *m[2];
	struct world t;

	(void)state;
	open_world(&t);
	assert_int_equal(rte_ring_sp_enqueue(t.in, rig_mbuf(t.pool, frame, rig_arp(frame, 2, 1, 1, -1))), 0);
	kx_worker_turn(t.w[0]);
	assert_int_equal(t.w[0]->ledger.handled, 1);
	assert_int_equal(t.w[0]->ledger.sent, 1);
	assert_int_equal(take_out(&t, m, 2), 1);
	rte_pktmbuf_free(m[0]);
	close_world(&t);
}

static void commands_stop_the_loop(void **state)
{
	struct world t;

	(void)state;
	open_world(&t);
	assert_false(kx_worker_broker_stopped(t.w[0]));
	assert_int_equal(kx_worker_command(t.w[0], KX_WORKER_CMD_STOP, NULL), 0);
	for (int i = 0; i < 2 * KX_WORKER_HOUSEKEEPING; i++)
		kx_worker_turn(t.w[0]);
	assert_true(kx_worker_broker_stopped(t.w[0]));
	assert_int_equal(t.w[0]->stats.commands, 1);
	assert_int_equal(kx_worker_command(t.w[0], KX_WORKER_CMD_QUIT, NULL), 0);
	assert_int_equal(kx_worker_run(t.w[0]), 0);
	assert_true(t.w[0]->stats.turns > 0);
	assert_true(t.w[0]->stats.idle_tsc > 0);
	close_world(&t);
}

static void paths_are_measured(void **state)
{
	struct kx_worker_paths paths;
	struct world t;

	(void)state;
	open_world(&t);
	memset(t.log[0], 1, t.conf->memory.log_bytes);
	assert_int_equal(
		kx_worker_measure_paths(t.pool, t.log[0], t.conf->memory.log_bytes, &t.clock, &paths), 0);
	assert_true(paths.copy_ns_64 > 0);
	assert_true(paths.copy_ns_1400 > paths.copy_ns_64);
	assert_true(paths.slice_min_bytes > 64);
	close_world(&t);
}

static int open_eal(void **state)
{
	(void)state;
	rig_eal("worker");
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_frame_goes_to_the_lcore_of_its_port),
		cmocka_unit_test(a_mixed_burst_is_split_and_nothing_is_lost),
		cmocka_unit_test(a_full_ring_drops_by_name),
		cmocka_unit_test(a_port_that_takes_nothing_holds_then_drops),
		cmocka_unit_test(arp_is_answered_between_bursts),
		cmocka_unit_test(commands_stop_the_loop),
		cmocka_unit_test(paths_are_measured),
	};

	return cmocka_run_group_tests(tests, open_eal, NULL);
}
