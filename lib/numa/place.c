/* SPDX-License-Identifier: BSD-3-Clause */
/* Which lcores run data loops: those the ini names, or a choice by policy. */
#include "numa_private.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void add_line(struct kx_text *t, const char *fmt, va_list ap)
{
	char line[256];

	vsnprintf(line, sizeof(line), fmt, ap);
	kx_text_add(t, "%s\n", line);
}

void numa_reason(struct decision *d, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add_line(&d->reasons, fmt, ap);
	va_end(ap);
	d->p->reason_count++;
}

void numa_warn(struct decision *d, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add_line(&d->warnings, fmt, ap);
	va_end(ap);
	d->p->warning_count++;
}

struct kx_numa_cpu numa_cpu(const struct kx_numa_topology *t, uint16_t cpu)
{
	if (cpu < t->cpu_count && t->cpu[cpu].online)
		return t->cpu[cpu];
	return (struct kx_numa_cpu){.node = KX_NUMA_NODE_UNKNOWN, .core = (int16_t)cpu};
}

/* ---- lcores of the ini
 * ------------------------------------------------------------------------------------- */

static const struct kx_numa_lcore *lcore_find(const struct kx_numa_request *r, uint16_t id)
{
	for (uint32_t i = 0; i < r->lcore_count; i++)
		if (r->lcores[i].lcore_id == id)
			return &r->lcores[i];
	return NULL;
}

static bool polls(const struct kx_numa_request *r, uint16_t id)
{
	for (uint32_t i = 0; i < r->rx_count; i++)
		if (r->rx[i] == id)
			return true;
	return r->rx_count == 0;
}

static void add_place(struct decision *d, const struct kx_numa_lcore *l)
{
	struct kx_numa_cpu cpu = numa_cpu(d->t, l->cpu);

	d->p->data[d->p->data_count++] = (struct kx_numa_place){.lcore_id = l->lcore_id,
		.cpu = l->cpu,
		.node = cpu.node,
		.rx = polls(d->r, l->lcore_id),
		.isolated = cpu.isolated};
}

static int place_named(struct decision *d)
{
	for (uint32_t i = 0; i < d->r->data_count; i++) {
		const struct kx_numa_lcore *l = lcore_find(d->r, d->r->data[i]);

		if (l == NULL) {
			numa_warn(d,
				"lcore %u: lcores.data names it, but EAL was not given it (-l or --lcores)",
				d->r->data[i]);
			return -ENODEV;
		}
		if (l->main) {
			numa_warn(d,
				"lcore %u: lcores.data names it, but it is EAL's main lcore (--main-lcore)",
				l->lcore_id);
			return -EINVAL;
		}
		add_place(d, l);
	}
	numa_reason(d, "%u data lcores: as lcores.data names them", d->p->data_count);
	return 0;
}

/* ---- a choice by policy
 * ------------------------------------------------------------------------------------ */

/** A data lcore that could be, with what the policies sort by. */
struct candidate {
	const struct kx_numa_lcore *lcore;
	struct kx_numa_cpu cpu;
	bool near;	   /* on the node of some port; true when no port's node is known */
	bool sibling;	   /* a candidate before it is on the same physical core */
	bool main_core;	   /* on the main lcore's physical core */
	uint32_t distance; /* to the nearest port */
	uint32_t turn;	   /* how many candidates of its node come before it */
};

struct candidates {
	uint32_t count;
	struct candidate list[KX_CONF_LCORE_ID_MAX + 1];
};

/** Distance to the nearest port whose node is known; 0 when there is none. */
static uint32_t port_distance(const struct decision *d, int node)
{
	uint32_t least = UINT32_MAX;

	for (uint32_t i = 0; i < d->r->port_count; i++) {
		int port = d->r->ports[i].node;

		if (port < 0 || (uint32_t)port >= d->t->node_count)
			continue;
		least = KX_MIN(least, node < 0 ? 255u : d->t->distance[node][port]);
	}
	return least == UINT32_MAX ? 0 : least;
}

static bool node_has_port(const struct decision *d, int node)
{
	bool known = false;

	for (uint32_t i = 0; i < d->r->port_count; i++) {
		known = known || d->r->ports[i].node >= 0;
		if (d->r->ports[i].node >= 0 && d->r->ports[i].node == node)
			return true;
	}
	return !known;
}

static int16_t main_core(const struct decision *d)
{
	for (uint32_t i = 0; i < d->r->lcore_count; i++)
		if (d->r->lcores[i].main)
			return numa_cpu(d->t, d->r->lcores[i].cpu).core;
	return -1;
}

static void gather(const struct decision *d, struct candidates *c)
{
	int16_t main = main_core(d);

	c->count = 0;
	for (uint32_t i = 0; i < d->r->lcore_count && c->count < KX_DIM(c->list); i++) {
		const struct kx_numa_lcore *l = &d->r->lcores[i];
		struct candidate *new = &c->list[c->count];

		if (l->main)
			continue;
		*new = (struct candidate){.lcore = l, .cpu = numa_cpu(d->t, l->cpu)};
		new->near = node_has_port(d, new->cpu.node);
		new->distance = port_distance(d, new->cpu.node);
		new->main_core = new->cpu.core == main;
		for (uint32_t j = 0; j < c->count; j++)
			new->sibling = new->sibling || c->list[j].cpu.core == new->cpu.core;
		c->count++;
	}
}

typedef bool (*keep_fn)(const struct candidate *c);

static bool keep_near(const struct candidate *c)
{
	return c->near;
}

static bool keep_whole_core(const struct candidate *c)
{
	return !c->sibling;
}

static bool keep_off_main(const struct candidate *c)
{
	return !c->main_core;
}

static bool keep_isolated(const struct candidate *c)
{
	return c->cpu.isolated;
}

/** Keep only those that pass, unless none does. @return whether any did */
static bool narrow(struct candidates *c, keep_fn keep)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < c->count; i++)
		kept += keep(&c->list[i]);
	if (kept == 0)
		return false;
	kept = 0;
	for (uint32_t i = 0; i < c->count; i++)
		if (keep(&c->list[i]))
			c->list[kept++] = c->list[i];
	c->count = kept;
	return true;
}

#define ORDER(a, b, field)                                                                                   \
	if ((a)->field != (b)->field)                                                                        \
	return (a)->field < (b)->field ? -1 : 1

static int by_core_then_distance(const void *va, const void *vb)
{
	const struct candidate *a = va, *b = vb;

	ORDER(a, b, sibling);
	ORDER(a, b, distance);
	ORDER(a, b, lcore->lcore_id);
	return 0;
}

static int by_distance(const void *va, const void *vb)
{
	const struct candidate *a = va, *b = vb;

	ORDER(a, b, distance);
	ORDER(a, b, lcore->lcore_id);
	return 0;
}

static int by_turn(const void *va, const void *vb)
{
	const struct candidate *a = va, *b = vb;

	ORDER(a, b, turn);
	ORDER(a, b, cpu.node);
	ORDER(a, b, lcore->lcore_id);
	return 0;
}

static void choose_throughput(struct decision *d, struct candidates *c)
{
	qsort(c->list, c->count, sizeof(c->list[0]), by_core_then_distance);
	numa_reason(d,
		"policy throughput: every lcore but the main one, SMT siblings too, those near a port first");
}

static void choose_latency(struct decision *d, struct candidates *c)
{
	if (!narrow(c, keep_near))
		numa_warn(d, "policy latency: no lcore is on the node of a port; others are used");
	/* Siblings are told apart last, among those that are left: the first one may not be isolated. */
	if (!narrow(c, keep_isolated))
		numa_reason(d, "policy latency: no CPU is isolated (isolcpus=); others are used");
	if (!narrow(c, keep_off_main))
		numa_warn(d, "policy latency: all lcores are on the main lcore's physical core");
	for (uint32_t i = 0; i < c->count; i++) {
		c->list[i].sibling = false;
		for (uint32_t j = 0; j < i; j++)
			c->list[i].sibling = c->list[i].sibling || c->list[j].cpu.core == c->list[i].cpu.core;
	}
	narrow(c, keep_whole_core);
	qsort(c->list, c->count, sizeof(c->list[0]), by_distance);
	numa_reason(
		d, "policy latency: one lcore a physical core, near a port, away from the main lcore's core");
}

static void choose_balanced(struct decision *d, struct candidates *c)
{
	narrow(c, keep_whole_core);
	if (!narrow(c, keep_near))
		numa_warn(d, "policy balanced: no lcore is on the node of a port; others are used");
	for (uint32_t i = 0; i < c->count; i++)
		for (uint32_t j = 0; j < i; j++)
			c->list[i].turn += c->list[j].cpu.node == c->list[i].cpu.node;
	qsort(c->list, c->count, sizeof(c->list[0]), by_turn);
	numa_reason(d, "policy balanced: one lcore a physical core, nodes of the ports in turn");
}

static int place_by_policy(struct decision *d)
{
	struct candidates *c = malloc(sizeof(*c));

	if (c == NULL)
		return -ENOMEM;
	gather(d, c);
	if (c->count == 0) {
		free(c);
		numa_warn(d,
			"no lcore for data loops: EAL was given its main lcore only; give it more, such as "
			"-l 0-1 "
			"or, on one CPU, --lcores '0@0,1@0'");
		return -ENODEV;
	}
	if (d->r->policy == KX_CONF_THROUGHPUT)
		choose_throughput(d, c);
	else if (d->r->policy == KX_CONF_LATENCY)
		choose_latency(d, c);
	else
		choose_balanced(d, c);
	if (c->count > KX_CONF_LCORES_MAX)
		numa_warn(d, "%u lcores could run data loops; %d are used", c->count, KX_CONF_LCORES_MAX);
	for (uint32_t i = 0; i < c->count && i < KX_CONF_LCORES_MAX; i++)
		add_place(d, c->list[i].lcore);
	free(c);
	return 0;
}

int kx_numa_place(const struct kx_numa_topology *topology, const struct kx_numa_request *request,
	struct kx_numa_placement *placement)
{
	struct decision d = {.t = topology, .r = request, .p = placement};
	int rc;

	memset(placement, 0, sizeof(*placement));
	kx_text_init(&d.reasons, placement->reasons, sizeof(placement->reasons));
	kx_text_init(&d.warnings, placement->warnings, sizeof(placement->warnings));
	if (request->port_count > KX_CONF_PORTS_MAX || request->data_count > KX_CONF_LCORES_MAX)
		return -EINVAL;
	rc = request->data_count > 0 ? place_named(&d) : place_by_policy(&d);
	if (rc != 0)
		placement->data_count = 0;
	else
		numa_report(&d);
	return rc;
}
