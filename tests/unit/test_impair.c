/* SPDX-License-Identifier: BSD-3-Clause */
/* Impairment on a port made of rings: conservation, statistics, order, repeatability. */
#include <math.h>

#include <rte_eth_ring.h>
#include <rte_ethdev.h>
#include <rte_mbuf_dyn.h>

#include "net_rig.h"
#include "kx_ethdev.h"
#include "kx_auth.h"
#include "kx_impair.h"

#define FRAMES	    20000
#define FRAME_BYTES 100
#define BURST	    32

struct box {
	struct rte_mempool *pool;
	struct rte_ring *in, *out;
	struct kx_ethdev dev;
	uint32_t got[2 * FRAMES]; /* numbers in order of arrival */
	unsigned int got_count, fillers, damaged;
};

static struct box b;

static int setup(void **state)
{
	static int generation;
	struct kx_ethdev_conf conf = {
		.rx_queues = 1, .tx_queues = 1, .rx_pools = &b.pool, .rx_pool_count = 1};
	char name[32], buf[256];
	struct kx_text why;
	int port;

	(void)state;
	rig_eal("impair");
	memset(&b, 0, sizeof(b));
	kx_text_init(&why, buf, sizeof(buf));
	b.pool = rig_pool("impair", 2047, 512);
	b.in = rte_ring_create("in", 1024, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
	b.out = rte_ring_create("out", 1024, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
	snprintf(name, sizeof(name), "impaired%d", generation++);
	port = rte_eth_from_rings(name, &b.in, 1, &b.out, 1, 0);
	assert_true(port >= 0);
	assert_int_equal(kx_ethdev_open(&b.dev, (uint16_t)port, &conf, &why), 0);
	assert_int_equal(kx_ethdev_start(&b.dev, 0, &why), 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	kx_ethdev_close(&b.dev);
	rte_ring_free(b.in);
	rte_ring_free(b.out);
	assert_int_equal(rte_mempool_avail_count(b.pool), 2047);
	rte_mempool_free(b.pool);
	return 0;
}

static struct rte_mbuf *numbered(uint32_t number)
{
	uint8_t frame[FRAME_BYTES];

	memset(frame, 0x5a, sizeof(frame));
	memcpy(frame, (uint8_t[14]){2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0}, 14);
	memcpy(frame + 6, &number, 4); /* where no corruption reaches */
	return rig_mbuf(b.pool, frame, sizeof(frame));
}

static void note(struct rte_mbuf *m)
{
	const uint8_t *p = rte_pktmbuf_mtod(m, const uint8_t *);
	unsigned int bad_bits = 0;

	if (p[12] == 0x88 && p[13] == 0xb5) {
		b.fillers++;
		rte_pktmbuf_free(m);
		return;
	}
	assert_int_equal(m->pkt_len, FRAME_BYTES);
	for (unsigned int i = 14; i < FRAME_BYTES; i++)
		bad_bits += (unsigned int)__builtin_popcount(p[i] ^ 0x5a);
	assert_true(bad_bits <= 1);
	b.damaged += bad_bits;
	assert_true(b.got_count < 2 * FRAMES);
	memcpy(&b.got[b.got_count++], p + 6, 4);
	rte_pktmbuf_free(m);
}

static void check_sum(const struct kx_impair *im)
{
	struct kx_impair_stats s;

	kx_impair_stats(im, &s);
	assert_int_equal(s.in + s.duplicated, s.out + s.lost + s.held + s.refused);
}

static void run_rx(const struct kx_impair_conf *conf, struct kx_impair_stats *stats)
{
	struct rte_mbuf *m[BURST];
	struct kx_impair *im;
	uint32_t sent = 0;
	unsigned int n;

	b.got_count = b.fillers = b.damaged = 0;
	assert_int_equal(kx_impair_attach(b.dev.port_id, 0, KX_IMPAIR_RX, conf, &im), 0);
	while (sent < FRAMES) {
		for (unsigned int i = 0; i < BURST && sent < FRAMES; i++)
			assert_int_equal(rte_ring_enqueue(b.in, numbered(sent++)), 0);
		n = rte_eth_rx_burst(b.dev.port_id, 0, m, BURST);
		for (unsigned int i = 0; i < n; i++)
			note(m[i]);
		check_sum(im);
	}
	while ((n = rte_eth_rx_burst(b.dev.port_id, 0, m, BURST)) > 0)
		for (unsigned int i = 0; i < n; i++)
			note(m[i]);
	kx_impair_detach(im, stats);
	assert_int_equal(stats->held, 0);
	assert_int_equal(stats->in, FRAMES);
	assert_int_equal(stats->out, b.got_count);
	assert_int_equal(stats->in + stats->duplicated, stats->out + stats->lost);
}

static void near(uint64_t value, double p)
{
	double mean = FRAMES * p, sd = sqrt(FRAMES * p * (1 - p));

	assert_true((double)value > mean - 5 * sd && (double)value < mean + 5 * sd);
}

static void test_rx_statistics(void **state)
{
	const struct kx_impair_conf conf = {.loss = 0.01,
		.corrupt = 0.02,
		.duplicate = 0.03,
		.reorder = 0.05,
		.reorder_pkts = 20,
		.reorder_us = 1000000,
		.seed = 7};
	struct kx_impair_stats s;

	(void)state;
	run_rx(&conf, &s);
	near(s.lost, 0.01);
	near(s.corrupted, 0.02 * 0.99);
	near(s.duplicated, 0.03 * 0.99);
	assert_int_equal(s.lost_large, 0); /* no frame here is */
	near(s.reordered, 0.05 * 0.99);
	assert_int_equal(s.no_buffer, 0);
	assert_true(b.damaged >= s.corrupted * 95 / 100);
}

/* A frame held back comes after at most reorder_pkts later ones (and what those bring with them). */
static void test_rx_reorder_is_bounded(void **state)
{
	const struct kx_impair_conf conf = {
		.reorder = 0.1, .reorder_pkts = 8, .reorder_us = 1000000, .seed = 3};
	unsigned int late = 0;
	struct kx_impair_stats s;
	uint32_t highest = 0;

	(void)state;
	run_rx(&conf, &s);
	for (unsigned int i = 0; i < b.got_count; i++) {
		if (b.got[i] < highest) {
			late++;
			assert_true(highest - b.got[i] <= 8);
		}
		highest = KX_MAX(highest, b.got[i]);
	}
	assert_int_equal(s.lost + b.got_count, FRAMES);
	assert_true(late > FRAMES / 20);
}

/* The time limit releases a frame that nothing follows. */
static void test_rx_time_limit(void **state)
{
	const struct kx_impair_conf conf = {.reorder = 1, .reorder_pkts = 200, .reorder_us = 2000, .seed = 1};
	struct rte_mbuf *m[4];
	struct kx_impair *im;
	uint64_t start;

	(void)state;
	assert_int_equal(kx_impair_attach(b.dev.port_id, 0, KX_IMPAIR_RX, &conf, &im), 0);
	rte_ring_enqueue(b.in, numbered(0));
	start = kx_clock_mono_ns();
	assert_int_equal(rte_eth_rx_burst(b.dev.port_id, 0, m, 4), 0);
	while (rte_eth_rx_burst(b.dev.port_id, 0, m, 4) == 0)
		assert_true(kx_clock_mono_ns() - start < 5 * KX_NS_PER_S);
	assert_true(kx_clock_mono_ns() - start >= 1900000);
	rte_pktmbuf_free(m[0]);
	kx_impair_detach(im, NULL);
}

static void test_same_seed_same_frames(void **state)
{
	struct kx_impair_conf conf = {.loss = 0.05,
		.duplicate = 0.05,
		.reorder = 0.05,
		.reorder_pkts = 16,
		.reorder_us = 5000000,
		.seed = 11};
	static uint32_t first[2 * FRAMES];
	struct kx_impair_stats s;
	unsigned int count;

	(void)state;
	run_rx(&conf, &s);
	count = b.got_count;
	memcpy(first, b.got, sizeof(first));
	run_rx(&conf, &s);
	assert_int_equal(b.got_count, count);
	assert_memory_equal(first, b.got, count * sizeof(first[0]));
	conf.seed = 12;
	run_rx(&conf, &s);
	assert_true(b.got_count != count || memcmp(first, b.got, count * sizeof(first[0])) != 0);
}

/* Everything duplicated: more than the caller's burst holds comes out later, nothing is lost. */
static void test_rx_all_duplicated(void **state)
{
	const struct kx_impair_conf conf = {.duplicate = 1, .seed = 5};
	struct kx_impair_stats s;

	(void)state;
	run_rx(&conf, &s);
	assert_int_equal(s.lost, 0);
	assert_int_equal(s.no_buffer + s.duplicated <= FRAMES, 1);
	assert_true(s.duplicated > 500);
}

/* A copy shares no byte with its frame: encrypted frames are opened in place, and the second has to be what
 * was sent, so that it is known as a repetition, and nothing that was kept of the first changes. */
static void test_rx_copies_are_whole(void **state)
{
	const struct kx_impair_conf conf = {.duplicate = 1, .seed = 6};
	uint64_t buf[(FRAME_BYTES + KX_TAG_BYTES) / 8 + 2];
	uint8_t secret[KX_AUTH_SECRET_BYTES] = {7};
	struct kx_auth_protect client = {0}, broker = {0};
	struct rte_mbuf *m[2 * BURST];
	struct kx_frame_view v;
	struct kx_impair *im;
	uint32_t bytes = sizeof(struct kx_frame_hdr) + sizeof(struct kx_ping);
	uint16_t n;

	(void)state;
	assert_int_equal(kx_auth_protect_create(&client), 0);
	assert_int_equal(kx_auth_protect_create(&broker), 0);
	assert_int_equal(kx_auth_protect_init(&client, secret, 5, false, KX_PROTECT_AEAD), 0);
	assert_int_equal(kx_auth_protect_init(&broker, secret, 5, true, KX_PROTECT_AEAD), 0);
	memset(buf, 0, sizeof(buf));
	*(struct kx_ping *)kx_frame_begin((uint8_t *)buf, KX_PING, 5, 1, 0, 0) =
		(struct kx_ping){.token = 99, .client_time = 77};
	bytes = kx_auth_protect_seal(&client, (uint8_t *)buf, bytes);
	assert_int_equal(kx_impair_attach(b.dev.port_id, 0, KX_IMPAIR_RX, &conf, &im), 0);
	assert_int_equal(rte_ring_enqueue(b.in, rig_mbuf(b.pool, (const uint8_t *)buf, bytes)), 0);
	n = rte_eth_rx_burst(b.dev.port_id, 0, m, 2 * BURST);
	assert_int_equal(n, 2);
	assert_ptr_not_equal(m[0]->buf_addr, m[1]->buf_addr);
	for (int i = 0; i < 2; i++) {
		uint8_t *frame = rte_pktmbuf_mtod(m[i], uint8_t *);

		assert_true(RTE_MBUF_DIRECT(m[i]) && rte_mbuf_refcnt_read(m[i]) == 1);
		assert_memory_equal(frame, buf, bytes);
		assert_int_equal(kx_auth_protect_open(&broker, frame, bytes), 0);
		assert_int_equal(
			kx_frame_check_opened(frame, bytes - KX_TAG_BYTES, KX_FROM_CLIENT, &v), KX_DROP_NONE);
		assert_int_equal(((const struct kx_ping *)v.body)->token, 99);
	}
	assert_int_equal(
		((const struct kx_ping *)(rte_pktmbuf_mtod(m[0], uint8_t *) + sizeof(struct kx_frame_hdr)))
			->client_time,
		77); /* the first is as it was left */
	rte_pktmbuf_free_bulk(m, 2);
	kx_impair_detach(im, NULL);
	kx_auth_protect_destroy(&client);
	kx_auth_protect_destroy(&broker);
}

static unsigned int drain_out(void)
{
	struct rte_mbuf *m;
	unsigned int n = 0;

	for (; rte_ring_dequeue(b.out, (void **)&m) == 0; n++)
		note(m);
	return n;
}

static void test_tx(void **state)
{
	const struct kx_impair_conf conf = {.loss = 0.02,
		.corrupt = 0.02,
		.duplicate = 0.02,
		.reorder = 0.05,
		.reorder_pkts = 16,
		.reorder_us = 1000000,
		.seed = 9};
	struct rte_mbuf *m[BURST];
	struct kx_impair_stats s;
	struct kx_impair *im;
	uint32_t sent = 0;

	(void)state;
	b.got_count = b.fillers = b.damaged = 0;
	assert_int_equal(kx_impair_attach(b.dev.port_id, 0, KX_IMPAIR_TX, &conf, &im), 0);
	while (sent < FRAMES) {
		for (unsigned int i = 0; i < BURST; i++)
			m[i] = numbered(sent++);
		/* The burst keeps its length, so that its sender sees all of it sent. */
		assert_int_equal(rte_eth_tx_burst(b.dev.port_id, 0, m, BURST), BURST);
		check_sum(im);
		drain_out();
	}
	kx_impair_detach(im, &s);
	assert_int_equal(s.in, FRAMES);
	assert_int_equal(s.out, b.got_count);
	assert_int_equal(s.fillers, b.fillers);
	assert_int_equal(s.in + s.duplicated, s.out + s.lost + s.refused);
	near(s.lost, 0.02);
	near(s.duplicated, 0.02 * 0.98);
	near(s.reordered, 0.05 * 0.98);
}

/* Frames a full port did not take are offered again and are not judged again. */
static void test_tx_full_port_judges_once(void **state)
{
	const struct kx_impair_conf conf = {.loss = 0.5, .seed = 2};
	struct rte_mbuf *m[2 * BURST];
	struct kx_impair_stats s;
	struct kx_impair *im;
	unsigned int fill = 0, sent;

	(void)state;
	b.got_count = b.fillers = 0;
	while (rte_ring_free_count(b.out) > BURST)
		assert_int_equal(rte_ring_enqueue(b.out, numbered(fill++)), 0);
	assert_int_equal(kx_impair_attach(b.dev.port_id, 0, KX_IMPAIR_TX, &conf, &im), 0);
	for (unsigned int i = 0; i < 2 * BURST; i++)
		m[i] = numbered(i);
	sent = rte_eth_tx_burst(b.dev.port_id, 0, m, 2 * BURST);
	assert_int_equal(sent, BURST);
	for (unsigned int i = 0; i < 10; i++)
		assert_int_equal(rte_eth_tx_burst(b.dev.port_id, 0, m + BURST, BURST), 0);
	kx_impair_stats(im, &s);
	assert_int_equal(s.in, 2 * BURST);
	drain_out();
	assert_int_equal(rte_eth_tx_burst(b.dev.port_id, 0, m + BURST, BURST), BURST);
	drain_out();
	kx_impair_detach(im, &s);
	assert_int_equal(b.got_count - fill, s.out);
	assert_int_equal(s.in, s.out + s.lost);
}

/* A driver that forgets what it sent (zero-copy memif, when its peer goes first) forgets fillers and copies
 * too: they bear the sender's mark, and so are found. */
static void test_tx_forgotten_by_driver(void **state)
{
	const struct kx_impair_conf conf = {.loss = 0.3,
		.duplicate = 0.3,
		.reorder = 0.3,
		.reorder_pkts = 8,
		.reorder_us = 1000000,
		.seed = 3};
	const struct rte_mbuf_dynflag mark = {.name = KX_ETHDEV_SENT_FLAG};
	struct kx_ethdev forgetful = {.forgets = true};
	struct rte_mbuf *m[BURST];
	struct kx_impair_stats s;
	struct kx_impair *im;
	unsigned int sent;

	(void)state;
	assert_true(rte_mbuf_dynflag_register(&mark) >= 0);
	assert_int_equal(kx_impair_attach(b.dev.port_id, 0, KX_IMPAIR_TX, &conf, &im), 0);
	for (unsigned int turn = 0; turn < 8; turn++) {
		for (unsigned int i = 0; i < BURST; i++) {
			m[i] = numbered(i);
			m[i]->ol_flags |= kx_ethdev_sent_flag();
		}
		assert_int_equal(rte_eth_tx_burst(b.dev.port_id, 0, m, BURST), BURST);
	}
	kx_impair_detach(im, &s);
	assert_true(s.fillers > 0 && s.duplicated > 0 && s.reordered > 0);
	sent = rte_ring_count(b.out);
	assert_int_equal(sent, s.out + s.fillers);
	assert_int_equal(kx_ethdev_reclaim(&forgetful, b.pool), sent);
	rte_ring_reset(b.out);
}

/* TX frames held back leave when nothing more is sent, driven by the RX queue. */
static void test_tx_time_limit(void **state)
{
	const struct kx_impair_conf conf = {.reorder = 1, .reorder_pkts = 200, .reorder_us = 1000, .seed = 1};
	struct rte_mbuf *m = numbered(0), *rx[1];
	uint64_t start = kx_clock_mono_ns();
	struct kx_impair *im;

	(void)state;
	b.got_count = b.fillers = 0;
	assert_int_equal(kx_impair_attach(b.dev.port_id, 0, KX_IMPAIR_TX, &conf, &im), 0);
	assert_int_equal(rte_eth_tx_burst(b.dev.port_id, 0, &m, 1), 1);
	drain_out();
	assert_int_equal(b.got_count, 0);
	assert_int_equal(b.fillers, 1);
	while (drain_out() == 0) {
		rte_eth_rx_burst(b.dev.port_id, 0, rx, 1);
		assert_true(kx_clock_mono_ns() - start < 5 * KX_NS_PER_S);
	}
	assert_int_equal(b.got_count, 1);
	kx_impair_detach(im, NULL);
}

static void test_bad_conf(void **state)
{
	const struct kx_impair_conf bad[] = {{.loss = -0.1}, {.loss = 1.1}, {.corrupt = 2},
		{.duplicate = NAN}, {.reorder = 0.1},
		{.reorder = 0.1, .reorder_pkts = KX_IMPAIR_HELD_MAX + 1}, {.reorder_us = 20000000}};
	struct kx_impair *im;

	(void)state;
	for (unsigned int i = 0; i < KX_DIM(bad); i++)
		assert_int_equal(kx_impair_attach(b.dev.port_id, 0, KX_IMPAIR_RX, &bad[i], &im), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_rx_statistics, setup, teardown),
		cmocka_unit_test_setup_teardown(test_rx_reorder_is_bounded, setup, teardown),
		cmocka_unit_test_setup_teardown(test_rx_time_limit, setup, teardown),
		cmocka_unit_test_setup_teardown(test_same_seed_same_frames, setup, teardown),
		cmocka_unit_test_setup_teardown(test_rx_all_duplicated, setup, teardown),
		cmocka_unit_test_setup_teardown(test_rx_copies_are_whole, setup, teardown),
		cmocka_unit_test_setup_teardown(test_tx, setup, teardown),
		cmocka_unit_test_setup_teardown(test_tx_full_port_judges_once, setup, teardown),
		cmocka_unit_test_setup_teardown(test_tx_forgotten_by_driver, setup, teardown),
		cmocka_unit_test_setup_teardown(test_tx_time_limit, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad_conf, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
