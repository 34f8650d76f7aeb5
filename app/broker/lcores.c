/* SPDX-License-Identifier: BSD-3-Clause */
/* The workers: made, launched, stopped, freed. */
#include <rte_eal.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <rte_mbuf_dyn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app.h"

#define CALIBRATE_NS (50 * UINT64_C(1000000))
#define POLL_US	     1000

static int make_shared(struct app *app)
{
	const struct rte_mbuf_dynflag sent = {.name = KX_ETHDEV_SENT_FLAG};

	size_t bytes = app->conf->partition_count * sizeof(*app->offsets);
	int sockets[KX_WORKER_LCORES_MAX], err;

	if (rte_mbuf_dynflag_register(&sent) < 0)
		return app_fail(app, "no mbuf flag is left to mark sent frames with");
	for (uint32_t i = 0; i < app->lcore_count; i++)
		sockets[i] = app->lcores[i].socket_id;
	err = kx_tsc_clock_calibrate(&app->clock, CALIBRATE_NS);
	if (err != 0)
		return app_fail(app,
			"this CPU has no invariant time stamp counter, which all times here are read from");
	do {
		err = kx_random_bytes(&app->boot_id, sizeof(app->boot_id));
	} while (err == 0 && app->boot_id == 0);
	if (err == 0)
		err = kx_auth_secrets_init(&app->secrets);
	if (err != 0)
		return app_fail(app, "no random numbers: %s", kx_strerror(err));
	if (app_audit_create(app) != 0)
		return -1;
	err = kx_quotas_create(app->conf, kx_tsc_to_ns(&app->clock, kx_tsc_read()), &app->quotas);
	if (err != 0)
		return app_fail(app, "no memory for quotas");
	if (kx_producer_ids_create(app->conf->sessions.max_producer_ids,
		    app->conf->principal_count - !app->conf->auth.anonymous, app->boot_id,
		    &app->producer_ids) != 0 ||
		kx_fence_create(&app->fence) != 0)
		return app_fail(app, "no memory for %u producer ids", app->conf->sessions.max_producer_ids);
	app->offsets = aligned_alloc(KX_CACHE_LINE, bytes);
	if (app->offsets == NULL)
		return app_fail(app, "no memory for %u partitions", app->conf->partition_count);
	memset(app->offsets, 0, bytes);
	err = kx_worker_fabric_new(&app->wiring, "kx", (uint16_t)app->conf->broker.udp_port,
		app->conf->memory.handover_ring, sockets, &app->fabric);
	return err == 0 ? 0 : app_fail(app, "no memory for the hand-over rings: %s", kx_strerror(err));
}

/* When all ports of the ini agree on one way, it is the broker's; else it chooses by size and the ports
 * refuse. */
static enum kx_deliver_path common_path(const struct app *app)
{
	static const enum kx_deliver_path paths[] = {
		[KX_CONF_PATH_AUTO] = KX_DELIVER_AUTO,
		[KX_CONF_PATH_CUT] = KX_DELIVER_CUT,
		[KX_CONF_PATH_COPY] = KX_DELIVER_COPY,
		[KX_CONF_PATH_SLICE] = KX_DELIVER_SLICE,
	};

	for (uint32_t p = 1; p < app->port_count; p++)
		if (app->ports[p].conf->deliver_path != app->ports[0].conf->deliver_path)
			return KX_DELIVER_AUTO;
	return paths[app->ports[0].conf->deliver_path];
}

/* What can wait for a lcore before it looks: its share of all RX descriptors; fed by rings alone, no more
 * than they hold. */
uint32_t app_rx_buffer_frames(const struct app *app, uint32_t i)
{
	uint32_t descs = 0, polls = 0;

	for (uint32_t p = 0; p < app->port_count; p++) {
		descs += (uint32_t)app->ports[p].dev.rx_descs * app->wiring.shape[p].rx_queues;
		for (uint32_t q = 0; q < app->wiring.shape[p].rx_queues; q++)
			polls += app->wiring.rx_owner[p][q] == i;
	}
	descs /= app->lcore_count;
	return polls != 0 ? descs : KX_MIN(descs, app->conf->memory.handover_ring - 1);
}

static void port_confs(struct app *app, struct kx_worker_port_conf *out)
{
	for (uint32_t p = 0; p < app->port_count; p++) {
		struct app_port *port = &app->ports[p];

		out[p] = (struct kx_worker_port_conf){
			.nif = &port->nif,
			.rx_burst = (uint16_t)KX_MIN(port->conf->rx_burst, (uint32_t)KX_WORKER_BURST_MAX),
			.slices = port->slices,
			.cut = port->cut,
			.off = true,
		};
		for (uint32_t q = 0; q < port->dev.rx_queues; q++)
			out[p].rx_pkts[q] = &port->dev.count[q].rx_pkts;
		for (uint32_t q = 0; q < port->dev.tx_queues; q++)
			out[p].tx_pkts[q] = &port->dev.count[q].tx_pkts;
	}
}

/* A way that the ini names is taken at every size that can go that way. */
static void apply_path(struct app *app)
{
	enum kx_deliver_path path = common_path(app);

	if (path == KX_DELIVER_AUTO)
		return;
	app->paths.cut_min_bytes = path == KX_DELIVER_CUT ? 0 : UINT32_MAX;
	app->paths.slice_min_bytes = path == KX_DELIVER_SLICE ? 0 : UINT32_MAX;
}

static int make_worker(struct app *app, uint32_t i, const struct kx_worker_port_conf *ports)
{
	struct app_lcore *l = &app->lcores[i];
	struct kx_worker_config wc = {
		.conf = app->conf,
		.fabric = app->fabric,
		.index = i,
		.lcore = l->lcore,
		.socket_id = l->socket_id,
		.shares_cpu = l->shares_cpu,
		.clock = &app->clock,
		.pool = l->pool,
		.ports = ports,
		.secrets = &app->secrets,
		.principals = app->principals,
		.audit = app->audit[i],
		.boot_id = app->boot_id,
		.quotas = app->quotas,
		.producer_ids = app->producer_ids,
		.fence = app->fence,
		.log_memory = l->log->addr,
		.log_memory_bytes = app->conf->memory.log_bytes,
		.sent_flag = kx_ethdev_sent_flag(),
		.log_iova = l->log_contiguous ? l->log->iova : RTE_BAD_IOVA,
		.rx_buffer_frames = app_rx_buffer_frames(app, i),
		.offsets = app->offsets,
		.deliver_path = common_path(app),
		.cut_min_bytes = app->paths.cut_min_bytes,
		.slice_min_bytes = app->paths.slice_min_bytes,
	};
	int err = kx_worker_new(&wc, &l->worker);

	app->workers[i] = l->worker;
	return err == 0
		? 0
		: app_fail(app, "data lcore %u cannot be made: %s; more memory, or smaller [sessions] tables",
			  l->lcore, kx_strerror(err));
}

int app_lcores_create(struct app *app)
{
	struct kx_worker_port_conf *ports = calloc(KX_WORKER_PORTS_MAX, sizeof(*ports));
	int err = ports != NULL ? make_shared(app) : app_fail(app, "no memory");

	if (err == 0 &&
		kx_worker_measure_paths(app->lcores[0].pool, app->lcores[0].log->addr,
			app->conf->memory.log_bytes, &app->clock, &app->paths) != 0)
		err = app_fail(app, "too few packet buffers: raise [memory] spare_mbufs");
	if (err == 0) {
		apply_path(app);
		port_confs(app, ports);
	}
	for (uint32_t i = 0; err == 0 && i < app->lcore_count; i++)
		err = make_worker(app, i, ports);
	free(ports);
	return err;
}

static int start_telemetry(struct app *app)
{
	struct kx_telemetry_config tc = {
		.conf = app->conf,
		.version = APP_VERSION,
		.boot_id = app->boot_id,
		.start_real_ns = kx_clock_real_ns(),
		.hugepages = !app->no_huge,
		.worker_count = app->lcore_count,
		.workers = app->workers,
		.log_nodes = app->log_nodes,
		.port_count = app->port_count,
		.ports = app->tel_ports,
		.paths = app->paths,
	};

	for (uint32_t p = 0; p < app->port_count; p++) {
		const struct app_port *port = &app->ports[p];

		app->tel_ports[p] = (struct kx_telemetry_port){
			.port_id = port->port_id,
			.name = port->conf->name,
			.driver = port->dev.driver,
			.socket_id = port->dev.socket_id,
			.mtu = port->dev.mtu,
			.rx_queues = port->dev.rx_queues,
			.tx_queues = port->dev.tx_queues,
			.rx_descs = port->dev.rx_descs,
			.tx_descs = port->dev.tx_descs,
			.mac = port->dev.mac,
			.zero_copy = port->dev.zero_copy,
			.deliver_path = port->path_text,
			.arg = port,
			.stats = app_port_stats,
		};
	}
	return kx_telemetry_start(&tc) == 0 ? 0 : app_fail(app, "telemetry commands cannot be registered");
}

int app_lcores_launch(struct app *app)
{
	if (start_telemetry(app) != 0)
		return -1;
	for (uint32_t i = 0; i < app->lcore_count; i++) {
		struct app_lcore *l = &app->lcores[i];

		if (rte_eal_remote_launch(kx_worker_run, l->worker, l->lcore) != 0)
			return app_fail(app, "lcore %u cannot be started", l->lcore);
		l->launched = true;
	}
	for (uint32_t p = 0; p < app->port_count; p++)
		if (!app->ports[p].waits)
			app_lcores_order(app, KX_WORKER_CMD_PORT_ON, p);
	return 0;
}

static uint64_t obeyed(const struct app_lcore *l)
{
	return kx_counter_read(&l->worker->stats.commands);
}

void app_lcores_order(struct app *app, enum kx_worker_cmd_type type, uintptr_t arg)
{
	uint64_t before[KX_WORKER_LCORES_MAX] = {0};

	for (uint32_t i = 0; i < app->lcore_count; i++) {
		struct app_lcore *l = &app->lcores[i];

		if (!l->launched)
			continue;
		before[i] = obeyed(l);
		while (kx_worker_command(l->worker, type, (void *)arg) != 0)
			usleep(POLL_US);
	}
	for (uint32_t i = 0; i < app->lcore_count; i++)
		while (app->lcores[i].launched && obeyed(&app->lcores[i]) == before[i])
			usleep(POLL_US);
}

static bool all_told(const struct app *app)
{
	for (uint32_t i = 0; i < app->lcore_count; i++)
		if (app->lcores[i].launched && !kx_worker_broker_stopped(app->lcores[i].worker))
			return false;
	return true;
}

void app_lcores_stop(struct app *app)
{
	uint64_t deadline = kx_clock_mono_ns() + app->conf->broker.stop_timeout_ms * UINT64_C(1000000);

	app_lcores_order(app, KX_WORKER_CMD_STOP, 0);
	while (!all_told(app) && kx_clock_mono_ns() < deadline)
		usleep(POLL_US);
	app_lcores_order(app, KX_WORKER_CMD_QUIT, 0);
	for (uint32_t i = 0; i < app->lcore_count; i++)
		if (app->lcores[i].launched)
			rte_eal_wait_lcore(app->lcores[i].lcore);
	for (uint32_t i = 0; i < app->lcore_count; i++)
		if (app->workers[i] != NULL)
			kx_worker_drain(app->workers[i]);
	/* A frame that the last drained lcore relayed waits at one that was drained before it. */
	for (uint32_t i = 0; i < app->lcore_count; i++)
		if (app->workers[i] != NULL)
			kx_worker_drain(app->workers[i]);
}

void app_lcores_free(struct app *app)
{
	kx_telemetry_stop();
	for (uint32_t i = 0; i < app->lcore_count; i++) {
		kx_worker_free(app->workers[i]);
		app->workers[i] = NULL;
		app->lcores[i].worker = NULL;
	}
	kx_worker_fabric_free(app->fabric);
	app->fabric = NULL;
	kx_quotas_destroy(app->quotas);
	app->quotas = NULL;
	free(app->offsets);
	app->offsets = NULL;
	kx_producer_ids_destroy(app->producer_ids);
	app->producer_ids = NULL;
	kx_fence_destroy(app->fence);
	app->fence = NULL;
	kx_auth_secrets_wipe(&app->secrets);
	app_audit_free(app);
}
