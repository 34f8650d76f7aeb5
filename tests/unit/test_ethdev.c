/* SPDX-License-Identifier: BSD-3-Clause */
/* Ports from a plain description: what is cut down, what is refused with a sentence, counters, pools,
 * reclaiming. */
#include <unistd.h>

#include <rte_eth_ring.h>
#include <rte_ethdev.h>

#include "net_rig.h"
#include "kx_ethdev.h"

static struct rte_mempool *pool;
static char text[512];
static struct kx_text why;

static int setup_all(void **state)
{
	(void)state;
	rig_eal("ethdev");
	return 0;
}

static int setup(void **state)
{
	(void)state;
	pool = rig_pool("ethdev", 511, 2048 + RTE_PKTMBUF_HEADROOM);
	kx_text_init(&why, text, sizeof(text));
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	assert_int_equal(rte_mempool_avail_count(pool), 511);
	rte_mempool_free(pool);
	return 0;
}

static struct kx_ethdev_conf one_queue(void)
{
	return (struct kx_ethdev_conf){
		.rx_queues = 1, .tx_queues = 1, .rx_pools = &pool, .rx_pool_count = 1, .mtu = 1500};
}

static uint16_t ring_port(const char *name, struct rte_ring **ring)
{
	int port;

	*ring = rte_ring_create(name, 64, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
	assert_non_null(*ring);
	port = rte_eth_from_rings(name, ring, 1, ring, 1, 0);
	assert_true(port >= 0);
	return (uint16_t)port;
}

static void test_ring(void **state)
{
	struct kx_ethdev_conf conf = one_queue();
	struct kx_ethdev_stats stats;
	struct kx_ethdev_link link;
	struct rte_ring *ring;
	struct kx_ethdev dev;
	struct rte_mbuf *m;
	uint16_t port = ring_port("loop", &ring), found;

	(void)state;
	conf.rx_queues = conf.tx_queues = 4; /* the port has one */
	conf.rx_checksum = conf.tx_checksum = conf.tx_fast_free = true;
	conf.promiscuous = conf.allmulticast = true;
	assert_int_equal(kx_ethdev_open(&dev, port, &conf, &why), 0);
	assert_int_equal(dev.rx_queues, 1);
	assert_int_equal(dev.tx_queues, 1);
	assert_int_equal(dev.mtu, 1500);
	assert_string_equal(dev.driver, "net_ring");
	assert_true(rte_is_valid_assigned_ether_addr(&dev.mac));
	assert_false(dev.zero_copy || dev.forgets || dev.rss);
	assert_int_equal(kx_ethdev_find(dev.name, &found), 0);
	assert_int_equal(found, port);
	assert_int_equal(kx_ethdev_start(&dev, 100, &why), 0);
	assert_int_equal(why.len, 0);
	assert_int_equal(kx_ethdev_link(&dev, &link), 0);
	assert_true(link.up);
	m = rte_pktmbuf_alloc(pool);
	rte_pktmbuf_append(m, 60);
	assert_int_equal(rte_eth_tx_burst(port, 0, &m, 1), 1);
	kx_count(&dev.count[0].tx_pkts, 1);
	kx_count(&dev.count[0].tx_bytes, 60);
	assert_int_equal(rte_eth_rx_burst(port, 0, &m, 1), 1);
	kx_count(&dev.count[0].rx_pkts, 1);
	kx_count(&dev.count[0].rx_bytes, 60);
	rte_pktmbuf_free(m);
	assert_int_equal(kx_ethdev_stats(&dev, &stats), 0);
	assert_true(stats.driver_counts);
	assert_int_equal(stats.ipackets, 1);
	assert_int_equal(stats.opackets, 1);
	assert_int_equal(stats.ibytes, 60); /* the driver does not count bytes: ours */
	assert_int_equal(stats.obytes, 60);
	assert_int_equal(stats.rx_pkts, 1);
	rte_eth_stats_reset(port); /* a driver that counts nothing */
	assert_int_equal(kx_ethdev_stats(&dev, &stats), 0);
	assert_false(stats.driver_counts);
	assert_int_equal(stats.ipackets, 1);
	kx_ethdev_drain(&dev, 0, pool, 5);
	kx_ethdev_close(&dev);
	rte_ring_free(ring);
}

static void test_vdev(void **state)
{
	struct kx_ethdev_limits limits;
	uint16_t port, again;

	(void)state;
	assert_int_equal(kx_ethdev_make_vdev("net_null0,size=64", &port, &why), 0);
	assert_int_equal(kx_ethdev_make_vdev("net_null0", &again, &why), -EEXIST);
	assert_non_null(strstr(text, "net_null0"));
	assert_int_equal(kx_ethdev_limits(port, 0, 0, &limits), 0);
	assert_true(limits.rx_descs > 0 && limits.tx_descs > 0 && limits.rx_queues_max > 0);
	assert_int_equal(kx_ethdev_remove_vdev("net_null0"), 0);
	assert_int_equal(kx_ethdev_find("net_null0", &port), -ENODEV);
	kx_text_init(&why, text, sizeof(text));
	assert_int_equal(kx_ethdev_make_vdev("net_nosuch0", &port, &why), -ENODEV);
	assert_non_null(strstr(text, "net_nosuch0"));
	assert_int_equal(kx_ethdev_make_vdev("", &port, &why), -EINVAL);
	assert_int_equal(kx_ethdev_make_vdev(",x=1", &port, &why), -EINVAL);
	assert_int_equal(kx_ethdev_limits(31, 0, 0, &limits), -ENODEV);
}

/* memif tells its ring size in its arguments only. */
static void test_memif_facts(void **state)
{
	struct kx_ethdev_limits limits;
	uint16_t port;
	char args[128];

	(void)state;
	snprintf(args, sizeof(args),
		"net_memif7,role=server,id=7,socket=/tmp/kxtest-%d.sock,socket-abstract=no,rsize=8",
		(int)getpid());
	assert_int_equal(kx_ethdev_make_vdev(args, &port, &why), 0);
	assert_int_equal(kx_ethdev_limits(port, 4096, 0, &limits), 0);
	assert_int_equal(limits.rx_descs, 256);
	assert_int_equal(limits.tx_descs, 256);
	assert_int_equal(limits.mtu_max, 9600);
	assert_false(limits.zero_copy);
	assert_int_equal(kx_ethdev_remove_vdev("net_memif7"), 0);
}

static void test_refused(void **state)
{
	struct kx_ethdev_conf conf = one_queue();
	struct rte_ring *ring;
	struct kx_ethdev dev;
	uint16_t port = ring_port("refused", &ring);

	(void)state;
	assert_int_equal(kx_ethdev_open(&dev, 31, &conf, &why), -ENODEV);
	assert_non_null(strstr(text, "31"));
	conf.rx_queues = 0;
	assert_int_equal(kx_ethdev_open(&dev, port, &conf, &why), -EINVAL);
	conf.rx_queues = KX_ETHDEV_QUEUES_MAX + 1;
	assert_int_equal(kx_ethdev_open(&dev, port, &conf, &why), -EINVAL);
	conf = one_queue();
	conf.rx_pool_count = 0;
	assert_int_equal(kx_ethdev_open(&dev, port, &conf, &why), -EINVAL);
	conf = one_queue();
	conf.mtu = 45; /* below the shortest Ethernet frame */
	kx_text_init(&why, text, sizeof(text));
	assert_int_equal(kx_ethdev_open(&dev, port, &conf, &why), -ERANGE);
	assert_non_null(strstr(text, "MTU 45"));
	conf.mtu = 9000; /* buffers of 2048: this port can scatter */
	assert_int_equal(kx_ethdev_open(&dev, port, &conf, &why), 0);
	assert_int_equal(dev.mtu, 9000);
	kx_ethdev_close(&dev);
	rte_ring_free(ring);
}

static void test_pools(void **state)
{
	const struct kx_ethdev_pool_need need = {.rx_queues = 2,
		.rx_descs = 1024,
		.tx_queues = 1,
		.tx_descs = 512,
		.rings = 2,
		.ring_entries = 256,
		.threads = 2,
		.burst = 32,
		.extra = 100};
	uint32_t n = kx_ethdev_pool_mbufs(&need), sum = 2048 + 512 + 512 + 2 * (768 + 64) + 100;
	struct kx_ethdev_pool_need huge = {.rx_queues = UINT32_MAX, .rx_descs = UINT32_MAX};
	struct rte_mempool *p;

	(void)state;
	assert_true(n > sum && n < sum + sum / 8);
	assert_int_equal(kx_ethdev_pool_mbufs(&huge), UINT32_MAX);
	for (uint32_t mbufs = 1; mbufs < 20000; mbufs += 37)
		for (uint32_t threads = 0; threads < 5; threads++) {
			uint32_t cache = kx_ethdev_pool_cache(mbufs, threads);

			assert_true(cache <= RTE_MEMPOOL_CACHE_MAX_SIZE && cache % 32 == 0);
			assert_true(cache * 3 / 2 * KX_MAX(threads, 1u) <= mbufs);
		}
	assert_int_equal(kx_ethdev_data_room(1500), RTE_MBUF_DEFAULT_BUF_SIZE);
	assert_true(kx_ethdev_data_room(9000) >= 9018 + RTE_PKTMBUF_HEADROOM);
	assert_int_equal(kx_ethdev_data_room(9000) % 128, 0);
	p = kx_ethdev_pool_new("good", 255, 32, 8, 2176, SOCKET_ID_ANY, &why);
	assert_non_null(p);
	assert_null(kx_ethdev_pool_new("good", 255, 32, 8, 2176, SOCKET_ID_ANY, &why)); /* name taken */
	assert_non_null(strstr(text, "good"));
	kx_text_init(&why, text, sizeof(text));
	assert_null(kx_ethdev_pool_new("toobig", 10000000, 0, 0, 2176, SOCKET_ID_ANY, &why));
	assert_non_null(strstr(text, "10000000 buffers"));
	rte_mempool_free(p);
}

/* What a closed memif port forgot comes back; what looks like ours stays missing. */
static void test_reclaim(void **state)
{
	struct rte_mempool *p = kx_ethdev_pool_new("cached", 255, 32, 0, 2176, SOCKET_ID_ANY, &why);
	struct kx_ethdev dev = {.forgets = true};
	struct rte_mbuf *posted[40], *sent[10], *ours[3];

	(void)state;
	assert_int_equal(rte_pktmbuf_alloc_bulk(p, posted, 40), 0);
	assert_int_equal(rte_pktmbuf_alloc_bulk(p, sent, 10), 0);
	assert_int_equal(rte_pktmbuf_alloc_bulk(p, ours, 3), 0);
	for (unsigned int i = 0; i < 10; i++) {
		rte_pktmbuf_append(sent[i], 100);
		rte_mbuf_refcnt_update(sent[i], 1);
	}
	for (unsigned int i = 0; i < 3; i++)
		rte_pktmbuf_append(ours[i], 100);
	dev.started = true; /* never under a running port */
	assert_int_equal(kx_ethdev_reclaim(&dev, p), 0);
	dev.started = false;
	assert_int_equal(kx_ethdev_reclaim(&dev, p), 50);
	assert_int_equal(rte_mempool_avail_count(p), 252);
	assert_int_equal(kx_ethdev_reclaim(&dev, p), 0);
	rte_pktmbuf_free_bulk(ours, 3);
	assert_int_equal(rte_mempool_avail_count(p), 255);
	rte_mempool_free(p);
}

/* A pool that feeds two ports is searched only once both are closed. */
static void test_reclaim_shared_pool(void **state)
{
	struct kx_ethdev_conf conf = one_queue();
	struct rte_ring *ring[2];
	struct kx_ethdev dev[2];
	struct rte_mbuf *posted;

	(void)state;
	assert_int_equal(kx_ethdev_open(&dev[0], ring_port("sharea", &ring[0]), &conf, &why), 0);
	assert_int_equal(kx_ethdev_open(&dev[1], ring_port("shareb", &ring[1]), &conf, &why), 0);
	dev[0].forgets = true;
	posted = rte_pktmbuf_alloc(pool);
	assert_non_null(posted);
	kx_ethdev_close(&dev[0]);
	assert_int_equal(rte_mempool_avail_count(pool), 510);
	kx_ethdev_close(&dev[1]);
	assert_int_equal(rte_mempool_avail_count(pool), 511);
	rte_ring_free(ring[0]);
	rte_ring_free(ring[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_ring, setup, teardown),
		cmocka_unit_test_setup_teardown(test_vdev, setup, teardown),
		cmocka_unit_test_setup_teardown(test_memif_facts, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pools, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reclaim, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reclaim_shared_pool, setup, teardown),
	};

	return cmocka_run_group_tests(tests, setup_all, NULL);
}
