/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A client over a DPDK port, as an application has it: built by tests/client_install.sh from what was
 * installed. Its port is net_null, which gives frames of zeros and takes all: nothing answers, so the client
 * asks for the broker's neighbour and reports that it could not connect. EAL arguments are the program's.
 */
#include <stdio.h>
#include <string.h>

#include <rte_eal.h>

#include <kx_client.h>
#include <kx_ethdev.h>
#include <kx_transport_dpdk.h>

static bool failed_as_it_must;

static void on_event(void *user, const struct kx_event *e)
{
	(void)user;
	failed_as_it_must |= e->type == KX_EVENT_CONNECT_FAILED;
}

/* A client polled until it gives up. @return the frames that its transport sent; 0: something is wrong */
static uint64_t poll_client(struct kx_transport_dpdk *t)
{
	struct kx_transport transport = kx_transport_dpdk(t);
	const struct kx_ledger *ledger = kx_transport_dpdk_ledger(t);
	struct kx_client_opts opts = {.on_event = on_event, .connect_timeout_ns = 300000000};
	uint64_t begin = kx_clock_mono_ns();
	struct kx_client *client;
	struct kx_hub *hub;
	int fd;

	if (kx_addr_parse("10.77.0.1", 9000, &opts.broker) != 0 ||
		kx_hub_open(&transport, NULL, &hub) != KX_OK ||
		kx_client_open(hub, &opts, begin, &client) != KX_OK || kx_hub_fd(hub, &fd) != KX_UNSUPPORTED)
		return 0;
	while (!failed_as_it_must && kx_clock_mono_ns() - begin < 5 * UINT64_C(1000000000))
		kx_hub_poll(hub, kx_clock_mono_ns());
	if (kx_client_connected(client) || kx_hub_close(hub, kx_clock_mono_ns()) != KX_OK)
		return 0;
	if (ledger->received == 0 || kx_ledger_rx_open(ledger) != 0 || kx_ledger_tx_open(ledger) != 0)
		return 0;
	return kx_counter_read(&ledger->received);
}

int main(int argc, char **argv)
{
	struct kx_ethdev_conf pc = {.rx_queues = 1, .tx_queues = 1, .rx_checksum = true, .tx_checksum = true};
	struct kx_net_if_conf nc = {.mtu = 1500, .base_port = 9000, .port_count = 1, .addr_count = 1};
	struct kx_transport_dpdk_conf tc = {.local_port = 9000};
	struct kx_transport_dpdk *t = NULL;
	struct rte_mempool *pool;
	struct kx_ethdev dev;
	struct kx_net_if nif;
	struct kx_addr own;
	struct kx_text why;
	char said[256] = "";
	uint16_t port;
	uint64_t frames = 0;

	kx_text_init(&why, said, sizeof(said));
	if (kx_transport_dpdk_new(&tc, &t) != -EINVAL) /* no pool, no addresses */
		return 3;
	if (rte_eal_init(argc, argv) < 0 || kx_ethdev_make_vdev("net_null0", &port, &why) != 0)
		goto out;
	pool = kx_ethdev_pool_new("frames", 2047, 0, 0, kx_ethdev_data_room(1500), SOCKET_ID_ANY, &why);
	pc.rx_pools = &pool;
	pc.rx_pool_count = 1;
	if (pool == NULL || kx_ethdev_open(&dev, port, &pc, &why) != 0 || kx_ethdev_start(&dev, 0, &why) != 0)
		goto out;
	nc.port_id = port;
	nc.mac = dev.mac;
	nc.tx_udp_offload = dev.tx_udp_checksum;
	(void)kx_addr_parse("10.77.0.2", 9000, &own);
	memcpy(nc.addr[0].ip, own.ip, sizeof(own.ip));
	nc.addr[0].prefix_bits = 24;
	tc.nif = &nif;
	tc.pool = pool;
	tc.socket_id = dev.socket_id;
	if (kx_net_if_init(&nif, &nc) != 0 || kx_transport_dpdk_new(&tc, &t) != 0)
		goto out;
	frames = poll_client(t);
	kx_transport_dpdk_free(t);
	kx_ethdev_close(&dev);
	if (rte_mempool_avail_count(pool) != 2047)
		frames = 0;
	rte_mempool_free(pool);
	(void)kx_ethdev_remove_vdev("net_null0");
	rte_eal_cleanup();
out:
	printf("%lu frames of a DPDK port, %s\n", (unsigned long)frames, said);
	return frames > 0 && failed_as_it_must ? 0 : 1;
}
