/* SPDX-License-Identifier: BSD-3-Clause */
#include "rig.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <rte_lcore.h>

#define LINK_WAIT_MS   30000
#define HOLD_POLL_MS   20
#define HOLD_SETTLE_MS 100

static void name_wire(struct pg_rig *rig)
{
	static const char *const software[] = {
		"net_memif", "net_ring", "net_af_xdp", "net_af_packet", "net_tap", "net_null", "net_pcap"};
	const char *driver = rig->dev.driver;

	snprintf(rig->wire, sizeof(rig->wire), "%s", strncmp(driver, "net_", 4) == 0 ? driver + 4 : driver);
	for (unsigned int i = 0; i < KX_DIM(software); i++)
		if (strcmp(driver, software[i]) == 0)
			rig->software_wire = true;
}

static int make_pools(struct pg_rig *rig, const struct pg_options *o, struct kx_text *why)
{
	struct kx_ethdev_limits limits;
	int err = kx_ethdev_limits(o->port, o->descs, o->descs, &limits);

	if (err != 0) {
		kx_text_add(why, "there is no DPDK port %u; give EAL one with --vdev or -a", o->port);
		return err;
	}
	struct kx_ethdev_pool_need rx = {
		.rx_queues = 1, .rx_descs = limits.rx_descs, .threads = 1, .burst = 64};
	struct kx_ethdev_pool_need tx = {
		.tx_queues = 1, .tx_descs = limits.tx_descs, .threads = 1, .burst = 1024};
	uint32_t rx_mbufs = kx_ethdev_pool_mbufs(&rx), tx_mbufs = kx_ethdev_pool_mbufs(&tx);
	uint16_t room = kx_ethdev_data_room(o->mtu);

	rig->rx_pool = kx_ethdev_pool_new(
		"pg_rx", rx_mbufs, kx_ethdev_pool_cache(rx_mbufs, 1), 0, room, limits.socket_id, why);
	if (rig->rx_pool == NULL)
		return -ENOMEM;
	rig->tx_pool = kx_ethdev_pool_new(
		"pg_tx", tx_mbufs, kx_ethdev_pool_cache(tx_mbufs, 1), 0, room, limits.socket_id, why);
	return rig->tx_pool != NULL ? 0 : -ENOMEM;
}

/* A memif peer that connects before the port is started is turned away for good; who starts it waits for
 * this. */
static int tell_ready(const struct pg_options *o, struct kx_text *why)
{
	FILE *f;

	if (o->ready == NULL)
		return 0;
	f = fopen(o->ready, "we");
	if (f == NULL || fclose(f) != 0) {
		kx_text_add(why, "--ready %s: %s", o->ready, kx_strerror(-errno));
		return -errno;
	}
	return 0;
}

static int wait_link(struct pg_rig *rig, const struct pg_options *o, struct kx_text *why)
{
	const struct timespec pause = {.tv_nsec = 1000000};
	struct kx_ethdev_link link = {0};

	for (uint32_t ms = 0; ms < LINK_WAIT_MS && *rig->stop == 0; ms++) {
		if (kx_ethdev_link(&rig->dev, &link) != 0 || link.up)
			return 0;
		nanosleep(&pause, NULL);
	}
	kx_text_add(why, "port %u (%s): no link: its peer did not connect within %d s", o->port,
		rig->dev.name, LINK_WAIT_MS / 1000);
	return -ENETDOWN;
}

static int open_port(struct pg_rig *rig, const struct pg_options *o, struct kx_text *why)
{
	struct kx_ethdev_conf conf = {.rx_queues = 1,
		.tx_queues = 1,
		.rx_descs = o->descs,
		.tx_descs = o->descs,
		.mtu = o->mtu > RTE_ETHER_MTU ? o->mtu : 0,
		.promiscuous = o->mode == PG_ECHO,
		.allmulticast = true,
		.rx_checksum = o->mode != PG_ECHO,
		.tx_checksum = o->mode != PG_ECHO,
		.rx_pools = &rig->rx_pool,
		.rx_pool_count = 1};
	int err = kx_ethdev_open(&rig->dev, o->port, &conf, why);

	if (err != 0)
		return err;
	rig->port_open = true;
	name_wire(rig);
	err = kx_ethdev_start(&rig->dev, 0, why);
	if (err != 0 || (err = tell_ready(o, why)) != 0)
		return err;
	return wait_link(rig, o, why);
}

static uint64_t clock_now(void *arg)
{
	return pg_now(arg);
}

static int open_transport(struct pg_rig *rig, const struct pg_options *o, struct kx_text *why)
{
	struct kx_net_if_conf net = {.port_id = rig->dev.port_id,
		.mtu = o->mtu,
		.base_port = o->local_port,
		.port_count = 1,
		.addr_count = 1,
		.mac = rig->dev.mac,
		.tx_udp_offload = rig->dev.tx_udp_checksum};
	struct kx_transport_dpdk_conf conf = {.nif = &rig->nif,
		.local_port = o->local_port,
		.pool = rig->tx_pool,
		.socket_id = SOCKET_ID_ANY,
		.now_ns = clock_now,
		.now_arg = rig};
	int err;

	memcpy(net.addr[0].ip, o->local_ip, sizeof(o->local_ip));
	net.addr[0].prefix_bits = o->local_prefix_bits;
	err = kx_net_if_init(&rig->nif, &net);
	if (err == 0)
		err = kx_transport_dpdk_new(&conf, &rig->transport);
	if (err != 0)
		kx_text_add(why, "own address or transport: %s", kx_strerror(err));
	return err;
}

int pg_rig_open(struct pg_rig *rig, const struct pg_options *o, struct kx_text *why)
{
	int err;

	rig->lcore = rte_get_next_lcore(-1, 1, 0);
	if (rig->lcore >= RTE_MAX_LCORE) {
		kx_text_add(why,
			"two lcores are needed, the main one sleeps; they may share a CPU: --lcores "
			"'0@0,1@0'");
		return -EINVAL;
	}
	err = make_pools(rig, o, why);
	if (err == 0)
		err = open_port(rig, o, why);
	if (err == 0 && o->mode != PG_ECHO)
		err = open_transport(rig, o, why);
	return err;
}

void pg_rig_hold(const struct pg_rig *rig, double seconds)
{
	const struct timespec pause = {.tv_nsec = HOLD_POLL_MS * 1000000},
			      settle = {.tv_nsec = HOLD_SETTLE_MS * 1000000};
	const uint64_t end_ns = pg_now(rig) + (uint64_t)(seconds * (double)KX_NS_PER_S);
	struct kx_ethdev_link link = {0};

	if (!(seconds > 0))
		return;
	while (*rig->stop == 0 && pg_now(rig) < end_ns) {
		if (kx_ethdev_link(&rig->dev, &link) == 0 && !link.up)
			break;
		nanosleep(&pause, NULL);
	}
	/* The driver says "down" before it has let go of everything. */
	nanosleep(&settle, NULL);
}

static unsigned int free_pool(struct rte_mempool *pool)
{
	unsigned int missing;

	if (pool == NULL)
		return 0;
	missing = rte_mempool_in_use_count(pool);
	rte_mempool_free(pool);
	return missing;
}

unsigned int pg_rig_close(struct pg_rig *rig)
{
	unsigned int missing;

	kx_transport_dpdk_free(rig->transport);
	if (rig->port_open) {
		kx_ethdev_drain(&rig->dev, 0, rig->tx_pool, 20);
		kx_ethdev_close(&rig->dev);
	}
	missing = free_pool(rig->tx_pool) + free_pool(rig->rx_pool);
	memset(rig, 0, sizeof(*rig));
	return missing;
}
