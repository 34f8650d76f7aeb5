/* SPDX-License-Identifier: BSD-3-Clause */
/* What follows from a choice of lcores: memory nodes, and a line for everything that does not fit together.
 */
#include "numa_private.h"

/** Its own node, or the nearest that has memory; node 0 where nothing is known. */
static int memory_node(const struct kx_numa_topology *t, int node)
{
	int best = 0;
	uint32_t least = UINT32_MAX;

	if (node < 0 || (uint32_t)node >= t->node_count)
		return 0;
	if (t->node[node].memory_bytes > 0)
		return node;
	for (uint32_t n = 0; n < t->node_count; n++) {
		if (!t->node[n].online || t->node[n].memory_bytes == 0 || t->distance[node][n] >= least)
			continue;
		least = t->distance[node][n];
		best = (int)n;
	}
	return best;
}

static void place_memory(struct decision *d)
{
	for (uint32_t i = 0; i < d->p->data_count; i++) {
		struct kx_numa_place *p = &d->p->data[i];

		p->memory_node = memory_node(d->t, p->node);
		if (p->node < 0)
			numa_warn(d,
				"lcore %u: the node of its CPU %u is not known; its memory is taken from "
				"node 0",
				p->lcore_id, p->cpu);
		else if (p->memory_node != p->node)
			numa_warn(d,
				"lcore %u is on node %d, which has no memory; its log and buffers are on "
				"node %d",
				p->lcore_id, p->node, p->memory_node);
		else
			numa_reason(d,
				"data lcore %u: lcore %u, CPU %u, node %d, its log and buffers there too", i,
				p->lcore_id, p->cpu, p->node);
	}
}

/** Other lcores on the same CPU, or on its SMT sibling. */
static void check_sharing(struct decision *d, struct kx_numa_place *p)
{
	int16_t core = numa_cpu(d->t, p->cpu).core;

	for (uint32_t i = 0; i < d->r->lcore_count; i++) {
		const struct kx_numa_lcore *l = &d->r->lcores[i];
		bool runs = l->main;

		for (uint32_t j = 0; j < d->p->data_count; j++)
			runs = runs || d->p->data[j].lcore_id == l->lcore_id;
		if (l->lcore_id == p->lcore_id || !runs)
			continue;
		if (l->cpu == p->cpu) {
			p->shares_cpu = true;
			if (l->main || l->lcore_id > p->lcore_id)
				numa_warn(d,
					"lcore %u shares CPU %u with %s %u: each stops while the other runs",
					p->lcore_id, p->cpu, l->main ? "the main lcore" : "lcore",
					l->lcore_id);
		} else if (numa_cpu(d->t, l->cpu).core == core) {
			p->shares_core = true;
			if (d->r->policy == KX_CONF_LATENCY && (l->main || l->lcore_id > p->lcore_id))
				numa_warn(d,
					"lcore %u (CPU %u) and %s %u (CPU %u) are SMT siblings of one core: "
					"each "
					"slows the other",
					p->lcore_id, p->cpu, l->main ? "the main lcore" : "lcore",
					l->lcore_id, l->cpu);
		}
	}
}

static void check_isolation(struct decision *d, const struct kx_numa_place *p)
{
	if (d->r->policy == KX_CONF_LATENCY && !p->isolated)
		numa_warn(d,
			"lcore %u: CPU %u is not isolated, other work may stop it (isolcpus=, or yield_us > "
			"0)",
			p->lcore_id, p->cpu);
}

static void check_ports(struct decision *d)
{
	for (uint32_t i = 0; i < d->r->port_count; i++) {
		const struct kx_numa_port *port = &d->r->ports[i];

		d->p->port_node[i] = port->node;
		for (uint32_t j = 0; j < d->p->data_count; j++) {
			const struct kx_numa_place *p = &d->p->data[j];

			if (!p->rx)
				continue;
			if (d->p->port_node[i] < 0)
				d->p->port_node[i] = p->memory_node;
			if (port->node >= 0 && p->node >= 0 && p->node != port->node)
				numa_warn(d,
					"port %s is on node %d, lcore %u (CPU %u) that polls it on node %d",
					port->name, port->node, p->lcore_id, p->cpu, p->node);
		}
	}
}

static void check_hugepages(struct decision *d)
{
	if (!d->r->hugepages)
		return;
	for (uint32_t n = 0; n < d->t->node_count; n++) {
		uint64_t have = kx_numa_free_hugepage_bytes(d->t, (int)n), need = 0;

		for (uint32_t i = 0; i < d->p->data_count; i++)
			need += d->p->data[i].memory_node == (int)n ? d->r->node_bytes : 0;
		if (need > have)
			numa_warn(d, "node %u has %llu MiB of free hugepages, its data lcores need %llu MiB",
				n, (unsigned long long)(have >> 20),
				(unsigned long long)((need + 0xfffff) >> 20));
	}
}

void numa_report(struct decision *d)
{
	place_memory(d);
	check_ports(d);
	for (uint32_t i = 0; i < d->p->data_count; i++) {
		check_sharing(d, &d->p->data[i]);
		check_isolation(d, &d->p->data[i]);
	}
	check_hugepages(d);
}
