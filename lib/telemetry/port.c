/* SPDX-License-Identifier: BSD-3-Clause */
#include <inttypes.h>
#include <stdio.h>

#include "telemetry_pvt.h"

int tel_port_list(const struct kx_telemetry_config *c, const char *params, struct rte_tel_data *d)
{
	struct rte_tel_data *ids, *names;

	if (params != NULL && *params != '\0')
		return tel_error(d, "/kaelix/port/list takes no argument");
	rte_tel_data_start_dict(d);
	tel_u64(d, "total", c->port_count);
	ids = tel_array(d, "ports", RTE_TEL_INT_VAL);
	names = tel_array(d, "names", RTE_TEL_STRING_VAL);
	for (uint32_t i = 0; ids != NULL && names != NULL && i < c->port_count; i++) {
		rte_tel_data_add_array_int(ids, c->ports[i].port_id);
		rte_tel_data_add_array_string(names, c->ports[i].name);
	}
	return 0;
}

/* Frames that a TX queue took and the driver did not send are its errors, where it counts them; some drivers
 * count a frame they did not take as an error too. Anything outside that range is open. */
static int64_t tx_open(uint64_t given, const struct kx_telemetry_port_stats *s)
{
	int64_t missing = (int64_t)(given - s->opackets);

	if (s->impaired_tx)
		return 0;
	if (missing < 0)
		return missing;
	return KX_MAX(missing - (int64_t)s->oerrors, (int64_t)0);
}

int tel_port_ledger(const struct kx_telemetry_config *c, uint32_t port, struct tel_port_ledger *out)
{
	int err;

	*out = (struct tel_port_ledger){0};
	for (uint32_t i = 0; i < c->worker_count; i++) {
		const struct kx_worker_port_stats *s = &c->workers[i]->port_stats[port];

		out->rx_frames += kx_counter_read(&s->rx_frames);
		out->tx_frames += kx_counter_read(&s->tx_frames);
		out->tx_dropped += kx_counter_read(&s->tx_dropped);
		out->tx_waiting += kx_counter_read(&s->tx_waiting);
	}
	err = c->ports[port].stats(c->ports[port].arg, &out->port);
	if (err != 0)
		return err;
	/* Without counters of the driver, ipackets is what the data lcores took: behind the impairment. */
	if (!out->port.driver_counts)
		out->port.ipackets +=
			out->port.impair_lost + out->port.impair_held - out->port.impair_duplicated;
	out->arrived = out->port.ipackets + out->port.imissed + out->port.ierrors + out->port.rx_nombuf;
	out->rx_open = (int64_t)(out->port.ipackets + out->port.impair_duplicated - out->port.impair_lost -
		out->port.impair_held - out->rx_frames);
	out->tx_open = tx_open(out->tx_frames, &out->port);
	return 0;
}

static void add_identity(struct rte_tel_data *d, const struct kx_telemetry_port *p)
{
	char mac[RTE_ETHER_ADDR_FMT_SIZE];

	rte_ether_format_addr(mac, sizeof(mac), &p->mac);
	tel_u64(d, "port", p->port_id);
	tel_text(d, "name", p->name);
	tel_text(d, "driver", p->driver);
	tel_text(d, "mac", mac);
	tel_signed(d, "numa_node", p->socket_id);
	tel_u64(d, "mtu", p->mtu);
	tel_u64(d, "rx_queues", p->rx_queues);
	tel_u64(d, "tx_queues", p->tx_queues);
	tel_u64(d, "rx_descs", p->rx_descs);
	tel_u64(d, "tx_descs", p->tx_descs);
	tel_u64(d, "zero_copy", p->zero_copy);
	tel_text(d, "deliver_path", p->deliver_path);
}

static void add_bursts(struct rte_tel_data *d, const struct kx_telemetry_config *c, uint32_t port)
{
	uint64_t rx_bursts = 0, tx_bursts = 0, tx_retries = 0;

	for (uint32_t i = 0; i < c->worker_count; i++) {
		rx_bursts += kx_counter_read(&c->workers[i]->port_stats[port].rx_bursts);
		tx_bursts += kx_counter_read(&c->workers[i]->port_stats[port].tx_bursts);
		tx_retries += kx_counter_read(&c->workers[i]->port_stats[port].tx_retries);
	}
	tel_u64(d, "rx_bursts", rx_bursts);
	tel_u64(d, "tx_bursts", tx_bursts);
	tel_u64(d, "tx_retries", tx_retries);
}

static void add_ledger(struct rte_tel_data *d, const struct tel_port_ledger *l)
{
	tel_u64(d, "link_up", l->port.link_up);
	tel_u64(d, "link_mbit_s", l->port.link_mbit_s);
	tel_u64(d, "driver_counts", l->port.driver_counts);
	tel_u64(d, "ipackets", l->port.ipackets);
	tel_u64(d, "opackets", l->port.opackets);
	tel_u64(d, "ibytes", l->port.ibytes);
	tel_u64(d, "obytes", l->port.obytes);
	tel_u64(d, "imissed", l->port.imissed);
	tel_u64(d, "ierrors", l->port.ierrors);
	tel_u64(d, "rx_nombuf", l->port.rx_nombuf);
	tel_u64(d, "oerrors", l->port.oerrors);
	tel_u64(d, "impair_lost", l->port.impair_lost);
	tel_u64(d, "impair_duplicated", l->port.impair_duplicated);
	tel_u64(d, "impair_held", l->port.impair_held);
	tel_u64(d, "impair_lost_large", l->port.impair_lost_large);
	tel_u64(d, "impair_tx_lost", l->port.impair_tx_lost);
	tel_u64(d, "impair_tx_lost_large", l->port.impair_tx_lost_large);
	tel_u64(d, "arrived", l->arrived);
	tel_u64(d, "rx_frames", l->rx_frames);
	tel_u64(d, "tx_frames", l->tx_frames);
	tel_u64(d, "tx_dropped", l->tx_dropped);
	tel_u64(d, "tx_waiting", l->tx_waiting);
	tel_signed(d, "rx_open", l->rx_open);
	tel_signed(d, "tx_open", l->tx_open);
}

int tel_port_stats(const struct kx_telemetry_config *c, const char *params, struct rte_tel_data *d)
{
	struct tel_port_ledger ledger;
	uint32_t port = 0;
	uint64_t id;
	int err;

	if (!tel_number(params, UINT16_MAX, &id))
		return tel_error(d, "a port id is needed: /kaelix/port/stats,ID (see /kaelix/port/list)");
	while (port < c->port_count && c->ports[port].port_id != id)
		port++;
	if (port == c->port_count)
		return tel_error(d, "port %u is not ours (see /kaelix/port/list)", (unsigned int)id);
	err = tel_port_ledger(c, port, &ledger);
	if (err != 0)
		return tel_error(d, "the port does not answer: %s", kx_strerror(err));
	rte_tel_data_start_dict(d);
	add_identity(d, &c->ports[port]);
	add_ledger(d, &ledger);
	add_bursts(d, c, port);
	return 0;
}
