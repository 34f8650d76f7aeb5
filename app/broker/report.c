/* SPDX-License-Identifier: BSD-3-Clause */
/* What was started, and at the end whether every frame is accounted for. */
#include <inttypes.h>
#include <rte_eal.h>
#include <rte_lcore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app.h"

static void report_lcores(const struct app *app)
{
	for (uint32_t i = 0; i < app->lcore_count; i++) {
		const struct app_lcore *l = &app->lcores[i];
		char cpus[64] = "";
		struct kx_text t;
		rte_cpuset_t set = rte_lcore_cpuset(l->lcore);
		const char *comma = "";

		kx_text_init(&t, cpus, sizeof(cpus));
		for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
			if (!CPU_ISSET(cpu, &set))
				continue;
			kx_text_add(&t, "%s%d", comma, cpu);
			comma = ",";
		}
		app_print("  lcore %-3u CPU %-8s node %d  UDP port %-5u %s  log %" PRIu64
			  " MiB on node %d, %u buffers\n",
			l->lcore, cpus, l->socket_id, app->conf->broker.udp_port + i,
			l->worker->rxq_count != 0 ? "polls" : "rings", app->conf->memory.log_bytes >> 20,
			l->log_node, l->pool_mbufs);
	}
}

/* "from 256 bytes", or that it is never worth it here. */
static const char *from_bytes(uint32_t bytes, char text[32])
{
	if (bytes == UINT32_MAX)
		return "never pays here";
	snprintf(text, 32, "from %u bytes", bytes);
	return text;
}

static void report_ports(const struct app *app)
{
	for (uint32_t p = 0; p < app->port_count; p++) {
		const struct app_port *port = &app->ports[p];
		char mac[RTE_ETHER_ADDR_FMT_SIZE], cut[32], slice[32];

		rte_ether_format_addr(mac, sizeof(mac), &port->dev.mac);
		app_print("  port %s  %s  %s  node %d  mtu %u  queues %u/%u  descriptors %u/%u%s\n",
			port->conf->name, port->dev.driver, mac, port->dev.socket_id, port->dev.mtu,
			port->dev.rx_queues, port->dev.tx_queues, port->dev.rx_descs, port->dev.tx_descs,
			port->dev.zero_copy ? "  zero-copy" : "");
		app_print("    delivery: %s (cut-through %s, slices %s)\n", port->path_text,
			from_bytes(app->paths.cut_min_bytes, cut),
			from_bytes(app->paths.slice_min_bytes, slice));
		if (port->dev.zero_copy)
			app_print("    warning: a zero-copy memif peer can write all memory of this process: "
				  "one trust "
				  "domain\n");
	}
}

static void report_lines(const char *kind, const char *lines)
{
	while (*lines != '\0') {
		int n = (int)strcspn(lines, "\n");

		app_print("  %s%.*s\n", kind, n, lines);
		lines += n + (lines[n] == '\n');
	}
}

static void report_topics(const struct app *app)
{
	const uint32_t shown = KX_MIN(app->conf->topic_count, 16u);

	for (uint32_t t = 0; t < shown; t++) {
		const struct kx_conf_topic *topic = &app->conf->topics[t];

		app_print("  topic %s  %u partitions  memory  %s ", topic->name, topic->partitions,
			topic->overrun == KX_CONF_BLOCK ? "block" : "trim");
		for (uint32_t i = 0; i < topic->partitions && i < 8; i++) {
			uint32_t owner =
				kx_conf_partition_owner(topic->first_partition + i, app->lcore_count);

			app_print(" %u->%u:%u", i, app->lcores[owner].lcore,
				app->conf->broker.udp_port + owner);
		}
		app_print(topic->partitions > 8 ? " ...\n" : "\n");
	}
	if (shown < app->conf->topic_count)
		app_print("  and %u more topics\n", app->conf->topic_count - shown);
}

void app_report_start(const struct app *app)
{
	app_print("kaelix %s '%s'  %s  file prefix %s\n", APP_VERSION, app->conf->broker.name,
		app->no_huge ? "no hugepages" : "hugepages", app->prefix);
	report_lcores(app);
	report_ports(app);
	report_topics(app);
	report_lines("", app->placement.reasons);
	report_lines("warning: ", app->placement.warnings);
	for (uint32_t i = 0; i < app->lcore_count; i++)
		if (app->log_nodes[i] >= 0 && app->log_nodes[i] != app->lcores[i].socket_id)
			app_print("  warning: the log of lcore %u is on node %d instead of %d\n",
				app->lcores[i].lcore, app->log_nodes[i], app->lcores[i].socket_id);
	for (uint32_t i = 0; i < app->lcore_count; i++)
		if (app->conf->sessions.max > app_rx_buffer_frames(app, i))
			app_print("  warning: [sessions] max is %u, but no more than %u frames can wait for "
				  "lcore %u: one of each session may not fit\n",
				app->conf->sessions.max, app_rx_buffer_frames(app, i), app->lcores[i].lcore);
	app_print("  copy of 64 B %.0f ns, of 1400 B %.0f ns; slice %.0f ns; cut-through %.0f ns\n",
		app->paths.copy_ns_64, app->paths.copy_ns_1400, app->paths.slice_ns, app->paths.cut_ns);
	if (app->opt.impair_rx || app->opt.impair_tx)
		app_print("  warning: --impair disturbs frames on purpose\n");
	app_print("ready\n");
}

void app_report_ledger(const struct app *app)
{
	uint64_t received = 0, handled = 0, dropped = 0, sent = 0, tx_dropped = 0, open = 0;

	for (uint32_t i = 0; i < app->lcore_count; i++) {
		const struct kx_worker *w = app->workers[i];

		received += w->ledger.received - w->ledger.handed_over;
		handled += w->ledger.handled;
		dropped += kx_ledger_rx_dropped(&w->ledger);
		sent += w->ledger.sent;
		tx_dropped += kx_ledger_tx_dropped(&w->ledger);
		open += (uint64_t)llabs((long long)kx_ledger_rx_open(&w->ledger)) +
			(uint64_t)llabs((long long)kx_ledger_tx_open(&w->ledger));
	}
	app_print("frames: received %" PRIu64 ", handled %" PRIu64 ", dropped %" PRIu64 ", sent %" PRIu64
		  ", not sent %" PRIu64 ", open %" PRIu64 "\n",
		received, handled, dropped, sent, tx_dropped, open);
}
