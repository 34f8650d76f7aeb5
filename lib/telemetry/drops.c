/* SPDX-License-Identifier: BSD-3-Clause */
/* The ledger: every reason by name, and whether all frames are accounted for. */
#include <stdio.h>
#include <stdlib.h>

#include "telemetry_pvt.h"

/* One lcore's, or the sum of all. */
struct sums {
	uint64_t received, handed_over, handled, rx_dropped, built, relayed, sent, tx_dropped, tx_waiting;
	uint64_t handover_in, relay_in, rx_frames;
	uint64_t open; /* absolute values, so that two errors do not cancel */
};

static void lcore_sums(const struct kx_telemetry_config *c, const struct kx_worker *w, struct sums *s)
{
	const struct kx_ledger *l = &w->ledger;

	*s = (struct sums){
		.received = kx_counter_read(&l->received),
		.handed_over = kx_counter_read(&l->handed_over),
		.handled = kx_counter_read(&l->handled),
		.rx_dropped = kx_ledger_rx_dropped(l),
		.built = kx_counter_read(&l->built),
		.relayed = kx_counter_read(&l->relayed),
		.sent = kx_counter_read(&l->sent),
		.tx_dropped = kx_ledger_tx_dropped(l),
		.handover_in = kx_counter_read(&w->stats.handover_in),
		.relay_in = kx_counter_read(&w->stats.relay_in),
	};
	for (uint32_t port = 0; port < c->port_count; port++) {
		s->tx_waiting += kx_counter_read(&w->port_stats[port].tx_waiting);
		s->rx_frames += kx_counter_read(&w->port_stats[port].rx_frames);
	}
	s->open = (uint64_t)llabs((long long)(s->received - s->handed_over - s->handled - s->rx_dropped)) +
		(uint64_t)llabs((long long)(s->received - s->rx_frames - s->handover_in)) +
		(uint64_t)llabs((long long)(s->built - s->relayed - s->sent - s->tx_dropped - s->tx_waiting));
}

static void add_sums(struct rte_tel_data *d, const struct sums *s)
{
	tel_u64(d, "received", s->received);
	tel_u64(d, "handed_over", s->handed_over);
	tel_u64(d, "handled", s->handled);
	tel_u64(d, "rx_dropped", s->rx_dropped);
	tel_u64(d, "built", s->built);
	tel_u64(d, "relayed", s->relayed);
	tel_u64(d, "sent", s->sent);
	tel_u64(d, "tx_dropped", s->tx_dropped);
	tel_u64(d, "tx_waiting", s->tx_waiting);
	tel_u64(d, "open", s->open);
}

static void add_up(struct sums *to, const struct sums *s)
{
	to->received += s->received;
	to->handed_over += s->handed_over;
	to->handled += s->handled;
	to->rx_dropped += s->rx_dropped;
	to->built += s->built;
	to->relayed += s->relayed;
	to->sent += s->sent;
	to->tx_dropped += s->tx_dropped;
	to->tx_waiting += s->tx_waiting;
	to->handover_in += s->handover_in;
	to->relay_in += s->relay_in;
	to->rx_frames += s->rx_frames;
	to->open += s->open;
}

static void add_reasons(
	const struct kx_telemetry_config *c, const struct kx_worker *only, struct rte_tel_data *d)
{
	for (int reason = 0; reason < KX_DROP_COUNT; reason++) {
		uint64_t n = 0;

		for (uint32_t i = 0; i < c->worker_count; i++)
			if (only == NULL || only == c->workers[i])
				n += kx_counter_read(&c->workers[i]->ledger.drop[reason]);
		tel_u64(d, kx_drop_key(reason), n);
	}
}

static void rings_in_flight(const struct kx_telemetry_config *c, uint64_t *handover, uint64_t *relay)
{
	const struct kx_worker_fabric *f = c->workers[0]->fabric;

	*handover = 0;
	*relay = 0;
	for (uint32_t i = 0; i < f->wiring.lcore_count * f->wiring.lcore_count; i++) {
		*handover += f->handover[i] != NULL ? rte_ring_count(f->handover[i]) : 0;
		*relay += f->relay[i] != NULL ? rte_ring_count(f->relay[i]) : 0;
	}
}

/* What each port's driver counted, and what the data lcores took from it. @return what is open */
static uint64_t add_ports(
	const struct kx_telemetry_config *c, struct rte_tel_data *total, struct rte_tel_data *ports)
{
	uint64_t arrived = 0, missed = 0, errors = 0, no_mbuf = 0, oerrors = 0, impaired = 0, open = 0;

	for (uint32_t port = 0; port < c->port_count; port++) {
		struct tel_port_ledger l;
		struct rte_tel_data *d;
		char key[16];

		snprintf(key, sizeof(key), "%u", c->ports[port].port_id);
		if (tel_port_ledger(c, port, &l) != 0 || (d = tel_dict(ports, key)) == NULL)
			continue;
		tel_text(d, "name", c->ports[port].name);
		tel_u64(d, "arrived", l.arrived);
		tel_u64(d, "rx_frames", l.rx_frames);
		tel_u64(d, "tx_frames", l.tx_frames);
		tel_signed(d, "rx_open", l.rx_open);
		tel_signed(d, "tx_open", l.tx_open);
		arrived += l.arrived;
		missed += l.port.imissed;
		errors += l.port.ierrors;
		no_mbuf += l.port.rx_nombuf;
		oerrors += l.port.oerrors;
		impaired += l.port.impair_lost;
		open += (uint64_t)llabs((long long)l.rx_open) + (uint64_t)llabs((long long)l.tx_open);
	}
	tel_u64(total, "arrived", arrived);
	tel_u64(total, "port_missed", missed);
	tel_u64(total, "port_errors", errors);
	tel_u64(total, "port_no_mbuf", no_mbuf);
	tel_u64(total, "port_tx_errors", oerrors);
	tel_u64(total, "impair_lost", impaired);
	return open;
}

static void add_ledger(const struct kx_telemetry_config *c, struct rte_tel_data *d)
{
	struct rte_tel_data *lcores = tel_dict(d, "lcores"), *ports = tel_dict(d, "ports"),
			    *t = tel_dict(d, "total");
	uint64_t handover, relay, open;
	struct sums total = {0};

	if (lcores == NULL || ports == NULL || t == NULL)
		return;
	for (uint32_t i = 0; i < c->worker_count; i++) {
		struct rte_tel_data *one;
		struct sums s;
		char key[16];

		lcore_sums(c, c->workers[i], &s);
		add_up(&total, &s);
		snprintf(key, sizeof(key), "%u", c->workers[i]->lcore);
		if (i < TEL_LCORES && (one = tel_dict(lcores, key)) != NULL)
			add_sums(one, &s);
	}
	rings_in_flight(c, &handover, &relay);
	open = (uint64_t)llabs((long long)(total.handed_over - total.handover_in - handover)) +
		(uint64_t)llabs((long long)(total.relayed - total.relay_in - relay));
	open += add_ports(c, t, ports);
	tel_u64(t, "in_flight_handover", handover);
	tel_u64(t, "in_flight_relay", relay);
	total.open += open;
	add_sums(t, &total);
	tel_u64(d, "lcores_left_out", c->worker_count > TEL_LCORES ? c->worker_count - TEL_LCORES : 0);
	tel_u64(d, "open", total.open);
}

int tel_drops(const struct kx_telemetry_config *c, const char *params, struct rte_tel_data *d)
{
	const struct kx_worker *only = NULL;
	struct sums s;
	uint64_t id;

	if (params != NULL && *params != '\0') {
		if (!tel_number(params, UINT32_MAX, &id) || (only = tel_worker(c, id)) == NULL)
			return tel_error(
				d, "not a data lcore: /kaelix/drops[,LCORE] (see /kaelix/lcore/list)");
	}
	rte_tel_data_start_dict(d);
	add_reasons(c, only, d);
	if (only == NULL) {
		add_ledger(c, d);
	} else {
		lcore_sums(c, only, &s);
		add_sums(d, &s);
	}
	return 0;
}
