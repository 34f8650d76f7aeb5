/* SPDX-License-Identifier: BSD-3-Clause */
/* The ports of the ini: found, opened, started, observed, closed. */
#include <errno.h>
#include <rte_ethdev.h>
#include <stdio.h>
#include <string.h>

#include "app.h"

static void list_ports(struct kx_text *out)
{
	const char *comma = "";
	uint16_t id;

	RTE_ETH_FOREACH_DEV (id) {
		char name[RTE_ETH_NAME_MAX_LEN];

		if (rte_eth_dev_get_name_by_port(id, name) != 0)
			continue;
		kx_text_add(out, "%s%s", comma, name);
		comma = ", ";
	}
}

static int no_such_port(struct app *app, const struct kx_conf_port *conf)
{
	char text[256] = "";
	struct kx_text names;

	kx_text_init(&names, text, sizeof(text));
	list_ports(&names);
	if (names.len == 0)
		return app_fail(app,
			"there are no ports: EAL found no device for [port %s]; give --vdev (such as --vdev "
			"'net_memif0,role=client,socket=/run/kaelix.sock') or bind a NIC and give -a PCI "
			"(%s)",
			conf->name, app_eal_said());
	return app_fail(app,
		"%s:%u: [port %s]: EAL has no such port, only: %s; make it with --vdev '%s,...' or -a, or "
		"rename "
		"the section",
		app->conf->source, conf->line, conf->name, text, conf->name);
}

static uint16_t queues(const struct app_port *port, uint32_t wanted, uint32_t lcores, uint16_t has)
{
	uint32_t n = wanted != 0 ? wanted : lcores;

	/* Both ends of a memif must have as many, or they never connect: the ini says so where it is not one.
	 */
	if (wanted == 0 && port->limits.memif)
		n = 1;

	return (uint16_t)KX_MAX(KX_MIN(KX_MIN(n, (uint32_t)has), (uint32_t)KX_WORKER_QUEUES_MAX), 1u);
}

static int wire(struct app *app)
{
	struct kx_worker_port_shape shapes[KX_WORKER_PORTS_MAX];
	bool polls[KX_WORKER_LCORES_MAX];
	uint32_t pollers = 0;

	for (uint32_t i = 0; i < app->lcore_count; i++) {
		polls[i] = app->lcores[i].polls;
		pollers += polls[i];
	}
	if (pollers == 0)
		return app_fail(app, "no data lcore polls a port: [lcores] rx names none of those in data");
	for (uint32_t p = 0; p < app->port_count; p++) {
		const struct app_port *port = &app->ports[p];

		shapes[p].rx_queues =
			queues(port, port->conf->rx_queues, pollers, port->limits.rx_queues_max);
		shapes[p].tx_queues =
			queues(port, port->conf->tx_queues, app->lcore_count, port->limits.tx_queues_max);
	}
	if (kx_worker_wire(&app->wiring, app->lcore_count, polls, app->port_count, shapes) != 0)
		return app_fail(app, "these lcores and queues cannot be joined");
	return 0;
}

int app_ports_find(struct app *app)
{
	for (uint32_t p = 0; p < app->conf->port_count; p++) {
		struct app_port *port = &app->ports[p];

		port->conf = &app->conf->ports[p];
		if (kx_ethdev_find(port->conf->name, &port->port_id) != 0)
			return no_such_port(app, port->conf);
		if (kx_ethdev_limits(port->port_id, (uint16_t)port->conf->rx_desc,
			    (uint16_t)port->conf->tx_desc, &port->limits) != 0)
			return app_fail(
				app, "[port %s]: the device does not tell its limits", port->conf->name);
		app->port_count++;
	}
	return wire(app);
}

static enum kx_net_udp_checksum checksum_of(enum kx_conf_checksum c)
{
	return c == KX_CONF_CHECKSUM_AUTO ? KX_NET_UDP_AUTO : KX_NET_UDP_ALWAYS;
}

static int init_nif(struct app *app, struct app_port *port)
{
	const struct kx_conf_port *c = port->conf;
	struct kx_net_if_conf nc = {
		.port_id = port->port_id,
		.vlan_id = (uint16_t)c->vlan,
		.mtu = (uint16_t)c->mtu,
		.base_port = (uint16_t)app->conf->broker.udp_port,
		.port_count = (uint16_t)app->lcore_count,
		.mac = port->dev.mac,
		.tx_udp_offload = port->dev.tx_udp_checksum && c->udp_checksum != KX_CONF_CHECKSUM_SOFTWARE,
		.udp_checksum = checksum_of(c->udp_checksum),
	};

	for (uint32_t i = 0; i < c->ip4_count; i++, nc.addr_count++) {
		nc.addr[nc.addr_count].ip[10] = nc.addr[nc.addr_count].ip[11] = 0xff;
		memcpy(&nc.addr[nc.addr_count].ip[12], c->ip4[i].bytes, 4);
		nc.addr[nc.addr_count].prefix_bits = c->ip4[i].prefix;
	}
	for (uint32_t i = 0; i < c->ip6_count; i++, nc.addr_count++) {
		memcpy(nc.addr[nc.addr_count].ip, c->ip6[i].bytes, 16);
		nc.addr[nc.addr_count].prefix_bits = c->ip6[i].prefix;
	}
	if (c->has_gateway) {
		nc.gateway4[10] = nc.gateway4[11] = 0xff;
		memcpy(&nc.gateway4[12], c->gateway, 4);
	}
	if (c->has_gateway6)
		memcpy(nc.gateway6, c->gateway6, 16);
	if (kx_net_if_init(&port->nif, &nc) != 0)
		return app_fail(app,
			"%s:%u: [port %s]: addresses, gateway, mtu or UDP ports do not fit together",
			app->conf->source, c->line, c->name);
	return 0;
}

/* Which of the three ways this port may use; which one a delivery takes is decided by size in the broker. */
static void choose_path(struct app_port *port)
{
	enum kx_conf_path path = port->conf->deliver_path;
	/* The rings of net_ring give a sent buffer to whoever polls the other end: no slice may go there. */
	bool frees_here = strcmp(port->dev.driver, "net_ring") != 0;

	port->cut = path == KX_CONF_PATH_AUTO || path == KX_CONF_PATH_CUT;
	port->slices = (path == KX_CONF_PATH_AUTO || path == KX_CONF_PATH_SLICE) && port->dev.tx_multi_segs &&
		frees_here;
	snprintf(port->path_text, sizeof(port->path_text), "%s%scopy", port->cut ? "cut-through, " : "",
		port->slices ? "slices, " : "");
}

static int attach_impair(struct app *app, struct app_port *port, uint16_t queue, enum kx_impair_dir dir)
{
	struct kx_impair_conf conf = app->opt.impair[dir];
	int err;

	if (!(dir == KX_IMPAIR_RX ? app->opt.impair_rx : app->opt.impair_tx))
		return 0;
	err = kx_impair_attach(port->port_id, queue, dir, &conf, &port->impair[queue][dir]);
	return err == 0 ? 0 : app_fail(app, "--impair on port %s: %s", port->conf->name, kx_strerror(err));
}

static int open_port(struct app *app, uint32_t p)
{
	struct app_port *port = &app->ports[p];
	struct rte_mempool *pools[KX_WORKER_QUEUES_MAX];
	const struct kx_worker_port_shape *shape = &app->wiring.shape[p];
	const struct kx_conf_port *c = port->conf;
	struct kx_ethdev_conf ec = {
		.rx_queues = shape->rx_queues,
		.tx_queues = shape->tx_queues,
		.rx_descs = (uint16_t)c->rx_desc,
		.tx_descs = (uint16_t)c->tx_desc,
		.mtu = (uint16_t)c->mtu,
		.promiscuous = c->promiscuous,
		.allmulticast = c->ip6_count != 0,
		.rx_checksum = c->udp_checksum != KX_CONF_CHECKSUM_SOFTWARE,
		.tx_checksum = c->udp_checksum != KX_CONF_CHECKSUM_SOFTWARE,
		.tx_multi_segs =
			c->deliver_path == KX_CONF_PATH_AUTO || c->deliver_path == KX_CONF_PATH_SLICE,
		.rx_pools = pools,
		.rx_pool_count = shape->rx_queues,
	};
	char text[512] = "";
	struct kx_text why;

	for (uint32_t q = 0; q < shape->rx_queues; q++)
		pools[q] = app->lcores[app->wiring.rx_owner[p][q]].pool;
	kx_text_init(&why, text, sizeof(text));
	if (kx_ethdev_open(&port->dev, port->port_id, &ec, &why) != 0)
		return app_fail(app, "%s:%u: [port %s]: %s", app->conf->source, c->line, c->name, text);
	port->opened = true;
	if (port->dev.rx_queues != shape->rx_queues || port->dev.tx_queues != shape->tx_queues)
		return app_fail(app,
			"[port %s]: the device took %u RX and %u TX queues instead of %u and %u: set "
			"rx_queues and tx_queues in the ini",
			c->name, port->dev.rx_queues, port->dev.tx_queues, shape->rx_queues,
			shape->tx_queues);
	for (uint16_t q = 0; q < shape->rx_queues; q++)
		if (attach_impair(app, port, q, KX_IMPAIR_RX) != 0)
			return -1;
	for (uint16_t q = 0; q < shape->tx_queues; q++)
		if (attach_impair(app, port, q, KX_IMPAIR_TX) != 0)
			return -1;
	choose_path(port);
	return init_nif(app, port);
}

int app_ports_open(struct app *app)
{
	for (uint32_t p = 0; p < app->port_count; p++)
		if (open_port(app, p) != 0)
			return -1;
	return 0;
}

/* A memif client cannot be started before its peer listens; every other failure is one. */
static int start_port(struct app *app, struct app_port *port)
{
	char text[512] = "";
	struct kx_text why;

	kx_text_init(&why, text, sizeof(text));
	port->waits = kx_ethdev_start(&port->dev, 0, &why) != 0;
	if (!port->waits || strcmp(port->dev.driver, "net_memif") == 0)
		return 0;
	return app_fail(app, "[port %s]: %s", port->conf->name, text);
}

int app_ports_start(struct app *app)
{
	for (uint32_t p = 0; p < app->port_count; p++) {
		if (start_port(app, &app->ports[p]) != 0)
			return -1;
		if (app->ports[p].waits)
			app_print("port %s: nobody listens on its socket yet; it is tried again\n",
				app->ports[p].conf->name);
	}
	return 0;
}

void app_ports_tick(struct app *app)
{
	for (uint32_t p = 0; p < app->port_count; p++) {
		struct app_port *port = &app->ports[p];

		if (!port->waits || start_port(app, port) != 0 || port->waits)
			continue;
		app_lcores_order(app, KX_WORKER_CMD_PORT_ON, p);
	}
}

/* Sent buffers come back to their pools, TX queue by TX queue; then the port gives back what it waited with.
 */
static void close_port(struct app *app, struct app_port *port)
{
	uint32_t turns = port->dev.keeps_tx ? 1024 : 16;

	for (uint16_t q = 0; port->dev.started && q < port->dev.tx_queues; q++)
		kx_ethdev_drain(&port->dev, q, app->lcore_count == 1 ? app->lcores[0].pool : NULL, turns);
	kx_ethdev_stop(&port->dev);
	for (uint32_t q = 0; q < KX_WORKER_QUEUES_MAX; q++) {
		for (int dir = 0; dir < 2; dir++) {
			if (port->impair[q][dir] != NULL)
				kx_impair_detach(port->impair[q][dir], NULL);
			port->impair[q][dir] = NULL;
		}
	}
	kx_ethdev_close(&port->dev);
	for (uint32_t i = 0; i < app->lcore_count; i++)
		kx_ethdev_reclaim(&port->dev, app->lcores[i].pool);
	port->opened = false;
}

void app_ports_close(struct app *app)
{
	for (uint32_t p = app->port_count; p-- > 0;)
		if (app->ports[p].opened)
			close_port(app, &app->ports[p]);
}

static void add_impair(const struct app_port *port, struct kx_telemetry_port_stats *out)
{
	for (uint32_t q = 0; q < KX_WORKER_QUEUES_MAX; q++) {
		struct kx_impair_stats s;

		out->impaired_tx |= port->impair[q][KX_IMPAIR_TX] != NULL;
		if (port->impair[q][KX_IMPAIR_TX] != NULL) {
			kx_impair_stats(port->impair[q][KX_IMPAIR_TX], &s);
			out->impair_tx_lost += s.lost;
			out->impair_tx_lost_large += s.lost_large;
		}
		if (port->impair[q][KX_IMPAIR_RX] == NULL)
			continue;
		kx_impair_stats(port->impair[q][KX_IMPAIR_RX], &s);
		out->impair_lost += s.lost;
		out->impair_duplicated += s.duplicated;
		out->impair_held += s.held;
		out->impair_lost_large += s.lost_large;
	}
}

int app_port_stats(const void *arg, struct kx_telemetry_port_stats *out)
{
	const struct app_port *port = arg;
	struct kx_ethdev_stats s;
	struct kx_ethdev_link link;
	int err = kx_ethdev_stats(&port->dev, &s);

	*out = (struct kx_telemetry_port_stats){0};
	if (err != 0)
		return err;
	if (kx_ethdev_link(&port->dev, &link) == 0) {
		out->link_up = link.up;
		out->link_mbit_s = link.mbit_s;
	}
	out->ipackets = s.ipackets;
	out->opackets = s.opackets;
	out->ibytes = s.ibytes;
	out->obytes = s.obytes;
	out->imissed = s.imissed;
	out->ierrors = s.ierrors;
	out->rx_nombuf = s.rx_nombuf;
	out->oerrors = s.oerrors;
	out->driver_counts = s.driver_counts;
	add_impair(port, out);
	return 0;
}
