/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <rte_cycles.h>
#include <rte_mbuf.h>

#include "ethdev_pvt.h"

#define RSS_WANTED                                                                                           \
	(RTE_ETH_RSS_NONFRAG_IPV4_UDP | RTE_ETH_RSS_NONFRAG_IPV6_UDP | RTE_ETH_RSS_IPV4 | RTE_ETH_RSS_IPV6)
#define IDLE_TURNS     30 /* of 100 us: a peer that shares its CPU is away for milliseconds */
#define FRAME_OVERHEAD (RTE_ETHER_HDR_LEN + 4 /* VLAN */)

/* The open ports, for the control thread: a pool may feed several, and is searched for forgotten mbufs only
 * when none of them can hold any. */
static struct kx_ethdev *open_ports;

static void forget_port(const struct kx_ethdev *dev)
{
	for (struct kx_ethdev **at = &open_ports; *at != NULL; at = &(*at)->next_open) {
		if (*at == dev) {
			*at = dev->next_open;
			return;
		}
	}
}

static struct kx_ethdev *user_of(const struct rte_mempool *pool)
{
	for (struct kx_ethdev *dev = open_ports; dev != NULL; dev = dev->next_open)
		for (uint16_t i = 0; i < dev->rx_pool_count; i++)
			if (dev->rx_pools[i] == pool)
				return dev;
	return NULL;
}

static int get_info(uint16_t port_id, struct rte_eth_dev_info *info)
{
	memset(info, 0, sizeof(*info));
	return rte_eth_dev_is_valid_port(port_id) && rte_eth_dev_info_get(port_id, info) == 0 ? 0 : -ENODEV;
}

/** Largest MTU the device says it takes (rte_eth_dev_configure() judges in the same way). */
static uint32_t mtu_max(const struct rte_eth_dev_info *info)
{
	uint32_t overhead = RTE_ETHER_HDR_LEN + RTE_ETHER_CRC_LEN, max = info->max_mtu;

	if (info->max_rx_pktlen > 0 && info->max_mtu != UINT16_MAX && info->max_rx_pktlen > info->max_mtu)
		overhead = info->max_rx_pktlen - info->max_mtu;
	if (info->max_rx_pktlen > overhead)
		max = KX_MIN(max, info->max_rx_pktlen - overhead);
	return max;
}

int kx_ethdev_limits(uint16_t port_id, uint16_t rx_descs, uint16_t tx_descs, struct kx_ethdev_limits *out)
{
	struct rte_eth_dev_info info;
	struct kx_ethdev_facts facts;
	int err = get_info(port_id, &info);

	if (err != 0)
		return err;
	kx_ethdev_facts(&info, &facts);
	memset(out, 0, sizeof(*out));
	out->rx_queues_max = KX_MIN(info.max_rx_queues, KX_ETHDEV_QUEUES_MAX);
	out->tx_queues_max = KX_MIN(info.max_tx_queues, KX_ETHDEV_QUEUES_MAX);
	out->mtu_max = facts.memif ? 9600 : (uint16_t)KX_MIN(mtu_max(&info), UINT32_C(65535));
	out->max_rx_frame_bytes = info.max_rx_pktlen;
	out->socket_id = rte_eth_dev_socket_id(port_id);
	out->zero_copy = facts.zero_copy;
	out->memif = facts.memif;
	out->rx_descs = rx_descs;
	out->tx_descs = tx_descs;
	return kx_ethdev_adjust(port_id, &info, &facts, &out->rx_descs, &out->tx_descs);
}

static int check_conf(const struct kx_ethdev_conf *c, struct kx_text *why)
{
	if (c->rx_queues == 0 || c->tx_queues == 0 || c->rx_queues > KX_ETHDEV_QUEUES_MAX ||
		c->tx_queues > KX_ETHDEV_QUEUES_MAX) {
		kx_text_add(why, "%u RX and %u TX queues: 1 to %u each are possible", c->rx_queues,
			c->tx_queues, KX_ETHDEV_QUEUES_MAX);
		return -EINVAL;
	}
	if (c->rx_pools == NULL || (c->rx_pool_count != 1 && c->rx_pool_count < c->rx_queues)) {
		kx_text_add(why, "%u packet pools for %u RX queues", c->rx_pool_count, c->rx_queues);
		return -EINVAL;
	}
	return 0;
}

static struct rte_mempool *pool_of(const struct kx_ethdev_conf *c, uint16_t queue)
{
	return c->rx_pools[c->rx_pool_count == 1 ? 0 : queue];
}

/** MTU the device is told; memif has a nominal limit of 1500 that it never looks at. */
static int set_mtu(struct kx_ethdev *dev, const struct kx_ethdev_conf *c, const struct rte_eth_dev_info *info,
	const struct kx_ethdev_facts *facts, struct rte_eth_conf *eth, struct kx_text *why)
{
	uint32_t max = mtu_max(info);

	dev->mtu = c->mtu;
	if (c->mtu == 0 || (facts->memif && c->mtu > max))
		return 0;
	if (c->mtu > max || c->mtu < info->min_mtu) {
		kx_text_add(why, "port %s (%s): MTU %u is not possible, %u to %u are", dev->name, dev->driver,
			c->mtu, info->min_mtu, max);
		return -ERANGE;
	}
	eth->rxmode.mtu = c->mtu;
	return 0;
}

static int set_rx_offloads(struct kx_ethdev *dev, const struct kx_ethdev_conf *c,
	const struct rte_eth_dev_info *info, const struct kx_ethdev_facts *facts, struct rte_eth_conf *eth,
	struct kx_text *why)
{
	uint64_t capa = info->rx_offload_capa;
	uint32_t need = (c->mtu != 0 ? c->mtu : RTE_ETHER_MTU) + FRAME_OVERHEAD;
	uint32_t room = UINT32_MAX;

	if (c->rx_checksum)
		eth->rxmode.offloads |= capa & (RTE_ETH_RX_OFFLOAD_IPV4_CKSUM | RTE_ETH_RX_OFFLOAD_UDP_CKSUM);
	dev->rx_ip_checksum = (eth->rxmode.offloads & RTE_ETH_RX_OFFLOAD_IPV4_CKSUM) != 0;
	dev->rx_udp_checksum = (eth->rxmode.offloads & RTE_ETH_RX_OFFLOAD_UDP_CKSUM) != 0;
	for (uint16_t q = 0; q < dev->rx_queues; q++)
		room = KX_MIN(
			room, (uint32_t)rte_pktmbuf_data_room_size(pool_of(c, q)) - RTE_PKTMBUF_HEADROOM);
	if (need <= room)
		return 0;
	eth->rxmode.offloads |= capa & RTE_ETH_RX_OFFLOAD_SCATTER;
	if ((capa & RTE_ETH_RX_OFFLOAD_SCATTER) != 0 || facts->memif)
		return 0;
	kx_text_add(why, "port %s (%s): frames of %u bytes do not fit buffers of %u", dev->name, dev->driver,
		need, room);
	return -ERANGE;
}

static void set_tx_offloads(struct kx_ethdev *dev, const struct kx_ethdev_conf *c,
	const struct rte_eth_dev_info *info, struct rte_eth_conf *eth)
{
	uint64_t capa = info->tx_offload_capa, want = 0;

	if (c->tx_checksum)
		want |= RTE_ETH_TX_OFFLOAD_UDP_CKSUM;
	if (c->tx_multi_segs)
		want |= RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
	if (c->tx_fast_free && !c->tx_multi_segs)
		want |= RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE;
	eth->txmode.offloads = capa & want;
	dev->tx_udp_checksum = (eth->txmode.offloads & RTE_ETH_TX_OFFLOAD_UDP_CKSUM) != 0;
	dev->tx_multi_segs = (eth->txmode.offloads & RTE_ETH_TX_OFFLOAD_MULTI_SEGS) != 0;
	dev->tx_fast_free = (eth->txmode.offloads & RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE) != 0;
}

static void set_rss(struct kx_ethdev *dev, const struct rte_eth_dev_info *info, struct rte_eth_conf *eth)
{
	uint64_t hash = info->flow_type_rss_offloads & RSS_WANTED;

	if (dev->rx_queues == 1 || hash == 0)
		return;
	eth->rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
	eth->rx_adv_conf.rss_conf.rss_hf = hash;
	dev->rss = true;
}

static int setup_queues(struct kx_ethdev *dev, const struct kx_ethdev_conf *c,
	const struct rte_eth_dev_info *info, const struct rte_eth_conf *eth)
{
	struct rte_eth_rxconf rx = info->default_rxconf;
	struct rte_eth_txconf tx = info->default_txconf;
	int err = 0;

	rx.offloads = eth->rxmode.offloads;
	tx.offloads = eth->txmode.offloads;
	for (uint16_t q = 0; q < dev->rx_queues && err == 0; q++)
		err = rte_eth_rx_queue_setup(dev->port_id, q, dev->rx_descs,
			(unsigned int)rte_eth_dev_socket_id(dev->port_id), &rx, pool_of(c, q));
	for (uint16_t q = 0; q < dev->tx_queues && err == 0; q++)
		err = rte_eth_tx_queue_setup(dev->port_id, q, dev->tx_descs,
			(unsigned int)rte_eth_dev_socket_id(dev->port_id), &tx);
	return err;
}

/** Tell drivers with a device behind them (kernel interfaces) the MTU; those without the notion are fine. */
static int apply_mtu(struct kx_ethdev *dev, const struct rte_eth_conf *eth, struct kx_text *why)
{
	int err;

	if (eth->rxmode.mtu != 0) {
		err = rte_eth_dev_set_mtu(dev->port_id, dev->mtu);
		if (err != 0 && err != -ENOTSUP) {
			kx_text_add(why, "port %s (%s): setting MTU %u: %s", dev->name, dev->driver, dev->mtu,
				kx_strerror(err));
			return err;
		}
	}
	return dev->mtu != 0 ? 0 : rte_eth_dev_get_mtu(dev->port_id, &dev->mtu);
}

/** The port's MAC; one made from the port id where the driver has none (net_ring). */
static int get_mac(struct kx_ethdev *dev)
{
	int err = rte_eth_macaddr_get(dev->port_id, &dev->mac);

	if (err == 0 && rte_is_zero_ether_addr(&dev->mac))
		dev->mac = (struct rte_ether_addr){
			{0x02, 'K', 'X', 0, (uint8_t)(dev->port_id >> 8), (uint8_t)dev->port_id}};
	return err;
}

static int configure(struct kx_ethdev *dev, const struct kx_ethdev_conf *c,
	const struct rte_eth_dev_info *info, const struct kx_ethdev_facts *facts, struct kx_text *why)
{
	struct rte_eth_conf eth = {0};
	int err = set_mtu(dev, c, info, facts, &eth, why);

	if (err == 0)
		err = set_rx_offloads(dev, c, info, facts, &eth, why);
	if (err != 0)
		return err;
	set_tx_offloads(dev, c, info, &eth);
	set_rss(dev, info, &eth);
	err = rte_eth_dev_configure(dev->port_id, dev->rx_queues, dev->tx_queues, &eth);
	if (err == 0)
		err = kx_ethdev_adjust(dev->port_id, info, facts, &dev->rx_descs, &dev->tx_descs);
	if (err == 0) {
		err = apply_mtu(dev, &eth, why);
		if (err != 0)
			return err;
		err = setup_queues(dev, c, info, &eth);
	}
	if (err == 0)
		err = get_mac(dev);
	if (err != 0)
		kx_text_add(why,
			"port %s (%s): configuring %u RX and %u TX queues of %u and %u descriptors: %s",
			dev->name, dev->driver, dev->rx_queues, dev->tx_queues, dev->rx_descs, dev->tx_descs,
			kx_strerror(err));
	return err;
}

int kx_ethdev_open(
	struct kx_ethdev *dev, uint16_t port_id, const struct kx_ethdev_conf *conf, struct kx_text *why)
{
	char name[RTE_ETH_NAME_MAX_LEN] = "";
	struct rte_eth_dev_info info;
	struct kx_ethdev_facts facts;
	int err = check_conf(conf, why);

	if (err != 0)
		return err;
	forget_port(dev);
	memset(dev, 0, sizeof(*dev));
	dev->port_id = port_id;
	if (get_info(port_id, &info) != 0) {
		kx_text_add(why, "there is no port %u", port_id);
		return -ENODEV;
	}
	kx_ethdev_facts(&info, &facts);
	rte_eth_dev_get_name_by_port(port_id, name);
	snprintf(dev->name, sizeof(dev->name), "%s", name);
	snprintf(dev->driver, sizeof(dev->driver), "%s", info.driver_name);
	dev->socket_id = rte_eth_dev_socket_id(port_id);
	dev->zero_copy = facts.zero_copy;
	dev->forgets = facts.forgets;
	dev->keeps_tx = !facts.copies_tx;
	dev->rx_queues = KX_MIN(conf->rx_queues, info.max_rx_queues);
	dev->tx_queues = KX_MIN(conf->tx_queues, info.max_tx_queues);
	dev->rx_descs = conf->rx_descs;
	dev->tx_descs = conf->tx_descs;
	dev->rx_pool_count = KX_MIN(conf->rx_pool_count, dev->rx_queues);
	memcpy(dev->rx_pools, conf->rx_pools, dev->rx_pool_count * sizeof(dev->rx_pools[0]));
	dev->want_promiscuous = conf->promiscuous;
	dev->want_allmulticast = conf->allmulticast;
	dev->next_open = open_ports;
	open_ports = dev;
	return configure(dev, conf, &info, &facts, why);
}

/** Receive modes; a device without the notion receives everything anyway. */
static int receive_modes(struct kx_ethdev *dev, struct kx_text *why)
{
	int err = 0;

	if (dev->want_promiscuous)
		err = rte_eth_promiscuous_enable(dev->port_id);
	if (dev->want_allmulticast && (err == 0 || err == -ENOTSUP))
		err = rte_eth_allmulticast_enable(dev->port_id);
	if (err == 0 || err == -ENOTSUP)
		return 0;
	kx_text_add(why, "port %s (%s): promiscuous or all-multicast reception: %s", dev->name, dev->driver,
		kx_strerror(err));
	return err;
}

int kx_ethdev_start(struct kx_ethdev *dev, uint32_t wait_ms, struct kx_text *why)
{
	struct kx_ethdev_link link = {0};
	int err = rte_eth_dev_start(dev->port_id);

	if (err != 0) {
		kx_text_add(why, "port %s (%s): start: %s", dev->name, dev->driver, kx_strerror(err));
		return err;
	}
	dev->started = true;
	err = receive_modes(dev, why);
	if (err != 0) {
		kx_ethdev_stop(dev);
		return err;
	}
	rte_eth_stats_reset(dev->port_id);
	for (uint32_t ms = 0; ms < wait_ms; ms++) {
		if (kx_ethdev_link(dev, &link) == 0 && link.up)
			return 0;
		rte_delay_us_sleep(1000);
	}
	if (wait_ms > 0)
		kx_text_add(why, "port %s (%s): no link after %u ms", dev->name, dev->driver, wait_ms);
	return 0;
}

void kx_ethdev_stop(struct kx_ethdev *dev)
{
	if (dev->started)
		rte_eth_dev_stop(dev->port_id);
	dev->started = false;
}

void kx_ethdev_close(struct kx_ethdev *dev)
{
	kx_ethdev_stop(dev);
	if (rte_eth_dev_is_valid_port(dev->port_id))
		rte_eth_dev_close(dev->port_id);
	forget_port(dev);
	for (uint16_t i = 0; i < dev->rx_pool_count; i++) {
		struct kx_ethdev *other = user_of(dev->rx_pools[i]);

		if (other != NULL)
			other->forgets |= dev->forgets; /* its duty now */
		else
			kx_ethdev_reclaim(dev, dev->rx_pools[i]);
	}
	dev->rx_pool_count = 0;
}

void kx_ethdev_drain(struct kx_ethdev *dev, uint16_t tx_queue, struct rte_mempool *pool, unsigned int turns)
{
	unsigned int before = pool != NULL ? rte_mempool_avail_count(pool) : 0, idle = 0, now;
	struct rte_mbuf *none[1] = {NULL};

	for (unsigned int i = 0; i < turns && idle < IDLE_TURNS; i++) {
		rte_eth_tx_burst(dev->port_id, tx_queue, none, 0);
		rte_eth_tx_done_cleanup(dev->port_id, tx_queue, 0);
		if (pool != NULL) {
			now = rte_mempool_avail_count(pool);
			idle = now > before ? 0 : idle + 1;
			before = now;
		}
		rte_delay_us_sleep(100);
	}
}

int kx_ethdev_link(const struct kx_ethdev *dev, struct kx_ethdev_link *out)
{
	struct rte_eth_link link;
	int err = rte_eth_link_get_nowait(dev->port_id, &link);

	memset(out, 0, sizeof(*out));
	if (err != 0)
		return err;
	out->up = link.link_status == RTE_ETH_LINK_UP;
	out->full_duplex = link.link_duplex == RTE_ETH_LINK_FULL_DUPLEX;
	out->mbit_s = link.link_speed == RTE_ETH_SPEED_NUM_UNKNOWN ? 0 : link.link_speed;
	return 0;
}

int kx_ethdev_stats(const struct kx_ethdev *dev, struct kx_ethdev_stats *out)
{
	struct rte_eth_stats s;
	uint64_t rx_bytes = 0, tx_bytes = 0;
	int err = rte_eth_stats_get(dev->port_id, &s);

	memset(out, 0, sizeof(*out));
	if (err != 0)
		return err;
	for (unsigned int q = 0; q < KX_ETHDEV_QUEUES_MAX; q++) {
		out->rx_pkts += kx_counter_read(&dev->count[q].rx_pkts);
		out->tx_pkts += kx_counter_read(&dev->count[q].tx_pkts);
		rx_bytes += kx_counter_read(&dev->count[q].rx_bytes);
		tx_bytes += kx_counter_read(&dev->count[q].tx_bytes);
	}
	out->driver_counts = (s.ipackets != 0 || out->rx_pkts == 0) && (s.opackets != 0 || out->tx_pkts == 0);
	out->ipackets = out->driver_counts ? s.ipackets : out->rx_pkts;
	out->opackets = out->driver_counts ? s.opackets : out->tx_pkts;
	out->ibytes = s.ibytes != 0 ? s.ibytes : rx_bytes;
	out->obytes = s.obytes != 0 ? s.obytes : tx_bytes;
	out->imissed = s.imissed;
	out->ierrors = s.ierrors;
	out->rx_nombuf = s.rx_nombuf;
	out->oerrors = s.oerrors;
	return 0;
}
