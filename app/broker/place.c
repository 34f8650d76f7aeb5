/* SPDX-License-Identifier: BSD-3-Clause */
/* Which EAL lcores run the data loops, and on which CPUs: lib/numa decides, EAL pins. */
#include <errno.h>
#include <rte_ethdev.h>
#include <rte_lcore.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "app.h"

static struct kx_numa_topology topology; /* 8 KB, start-up only */

static bool named_in_ini(const struct app *app, unsigned int lcore)
{
	for (uint32_t i = 0; i < app->conf->lcores.data_count; i++)
		if (app->conf->lcores.data[i] == lcore)
			return true;
	return false;
}

static int check_cpus(struct app *app, const cpu_set_t *allowed)
{
	for (uint32_t i = 0; i < app->conf->lcores.data_count; i++) {
		unsigned int lcore = app->conf->lcores.data[i];

		if (lcore < CPU_SETSIZE && CPU_ISSET(lcore, allowed))
			continue;
		return app_fail(app,
			"[lcores] data names lcore %u, but there is no CPU %u to run it on: change the ini, "
			"or map "
			"it with --lcores, such as --lcores '%u@0,...'",
			lcore, lcore, lcore);
	}
	return 0;
}

/* The control lcore sleeps: a CPU of its own where one is left, else an id of its own beside the data lcores.
 */
static struct kx_numa_lcore choose_main(const struct app *app, const cpu_set_t *allowed)
{
	struct kx_numa_lcore l = {.main = true};

	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, allowed) || named_in_ini(app, (unsigned int)cpu))
			continue;
		if (app->conf->lcores.data_count == 0 && CPU_COUNT(allowed) == 1)
			break;
		l.lcore_id = l.cpu = (uint16_t)cpu;
		return l;
	}
	while (named_in_ini(app, l.lcore_id) || CPU_ISSET(l.lcore_id, allowed))
		l.lcore_id++;
	while (l.cpu + 1 < CPU_SETSIZE && !CPU_ISSET(l.cpu, allowed))
		l.cpu++;
	return l;
}

static int node_of_pci(const char *name)
{
	char path[160];
	int node = KX_NUMA_NODE_UNKNOWN;
	FILE *f;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s%.32s/numa_node",
		strlen(name) < 12 ? "0000:" : "", name);
	f = fopen(path, "re");
	if (f == NULL)
		return KX_NUMA_NODE_UNKNOWN;
	if (fscanf(f, "%d", &node) != 1)
		node = KX_NUMA_NODE_UNKNOWN;
	fclose(f);
	return node;
}

static int node_of_port(const struct app *app, const char *name)
{
	uint16_t id;
	int node;

	if (!app->eal_up)
		return node_of_pci(name);
	if (kx_ethdev_find(name, &id) != 0)
		return KX_NUMA_NODE_UNKNOWN;
	node = rte_eth_dev_socket_id(id);
	return node >= 0 ? node : KX_NUMA_NODE_UNKNOWN;
}

static int place(struct app *app, const struct kx_numa_lcore *lcores, uint32_t count)
{
	struct kx_numa_port ports[KX_CONF_PORTS_MAX];
	const struct kx_conf_lcores *c = &app->conf->lcores;
	struct kx_numa_request request = {
		.policy = c->policy,
		.data = c->data,
		.data_count = c->data_count,
		.rx = c->rx,
		.rx_count = c->rx_count,
		.lcores = lcores,
		.lcore_count = count,
		.ports = ports,
		.port_count = app->conf->port_count,
		.node_bytes = app_memory_estimate(app, 1),
		.hugepages = !app->no_huge && !app->eal_up, /* EAL has taken some of them by then */
	};
	int err;

	for (uint32_t p = 0; p < app->conf->port_count; p++)
		ports[p] = (struct kx_numa_port){.name = app->conf->ports[p].name,
			.node = node_of_port(app, app->conf->ports[p].name)};
	err = kx_numa_read(NULL, &topology);
	if (err != 0)
		return app_fail(app, "the machine's CPUs cannot be read from /sys: %s", kx_strerror(err));
	err = kx_numa_place(&topology, &request, &app->placement);
	if (err != 0)
		return app_fail(
			app, "%.*s", (int)strcspn(app->placement.warnings, "\n"), app->placement.warnings);
	app->lcore_count = app->placement.data_count;
	for (uint32_t i = 0; i < app->lcore_count; i++) {
		app->lcores[i].lcore = app->placement.data[i].lcore_id;
		app->lcores[i].polls = app->placement.data[i].rx;
		app->lcores[i].socket_id = KX_MAX(app->placement.data[i].memory_node, 0);
		app->lcores[i].log_node = KX_NUMA_NODE_UNKNOWN;
	}
	return 0;
}

static void write_lcores(const struct app *app, const struct kx_numa_lcore *main_lcore,
	const cpu_set_t *allowed, struct kx_text *out)
{
	const char *comma = "";

	kx_text_add(out, "--main-lcore=%u --lcores=%u@(", main_lcore->lcore_id, main_lcore->lcore_id);
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		/* An lcore without a CPU of its own goes wherever the kernel finds room. */
		if (!CPU_ISSET(cpu, allowed) ||
			(main_lcore->lcore_id == main_lcore->cpu && cpu != main_lcore->cpu))
			continue;
		kx_text_add(out, "%s%d", comma, cpu);
		comma = ",";
	}
	kx_text_add(out, ")");
	for (uint32_t i = 0; i < app->lcore_count; i++)
		kx_text_add(out, ",%u@%u", app->lcores[i].lcore, app->lcores[i].lcore);
}

int app_place_before_eal(struct app *app, char *lcores, size_t size, bool operator_gave_lcores)
{
	static struct kx_numa_lcore list[CPU_SETSIZE + 1];
	struct kx_numa_lcore main_lcore;
	uint32_t n = 0;
	struct kx_text out;
	cpu_set_t allowed;

	app->lcore_count = KX_MAX(app->conf->lcores.data_count, 1u);
	if (operator_gave_lcores)
		return 0;
	if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0)
		return app_fail(app, "the CPUs of this process cannot be read");
	if (check_cpus(app, &allowed) != 0)
		return -1;
	main_lcore = choose_main(app, &allowed);
	list[n++] = main_lcore;
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &allowed) && cpu != main_lcore.lcore_id)
			list[n++] = (struct kx_numa_lcore){.lcore_id = (uint16_t)cpu, .cpu = (uint16_t)cpu};
	if (place(app, list, n) != 0)
		return -1;
	kx_text_init(&out, lcores, size);
	write_lcores(app, &main_lcore, &allowed, &out);
	return out.truncated ? app_fail(app, "too many lcores for EAL's options; give --lcores") : 0;
}

static bool cpus_overlap(unsigned int a, unsigned int b)
{
	rte_cpuset_t x = rte_lcore_cpuset(a), y = rte_lcore_cpuset(b), both;

	CPU_AND(&both, &x, &y);
	return CPU_COUNT(&both) != 0;
}

static void note_sharing(struct app *app, struct app_lcore *l)
{
	for (uint32_t i = 0; i < app->lcore_count; i++)
		if (app->lcores[i].lcore != l->lcore && cpus_overlap(app->lcores[i].lcore, l->lcore))
			l->shares_cpu = true;
}

static int check_ini_lcores(struct app *app)
{
	for (uint32_t i = 0; i < app->conf->lcores.data_count; i++) {
		unsigned int lcore = app->conf->lcores.data[i];

		if (lcore == rte_get_main_lcore())
			return app_fail(app,
				"lcore %u is EAL's main lcore, which only controls: take it out of [lcores] "
				"data, "
				"or give --main-lcore",
				lcore);
		if (!rte_lcore_is_enabled(lcore))
			return app_fail(app,
				"lcore %u of [lcores] data is not among EAL's lcores: add it to -l or "
				"--lcores, or "
				"leave these options out",
				lcore);
	}
	return 0;
}

static uint16_t first_cpu(unsigned int lcore)
{
	rte_cpuset_t set = rte_lcore_cpuset(lcore);

	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &set))
			return (uint16_t)cpu;
	return 0;
}

int app_place_after_eal(struct app *app)
{
	static struct kx_conf_errors errs;
	struct kx_numa_lcore list[RTE_MAX_LCORE];
	unsigned int lcore;
	uint32_t n = 0;

	if (check_ini_lcores(app) != 0)
		return -1;
	RTE_LCORE_FOREACH (lcore) {
		list[n++] = (struct kx_numa_lcore){
			.lcore_id = (uint16_t)lcore,
			.cpu = first_cpu(lcore),
			.main = lcore == rte_get_main_lcore(),
		};
	}
	if (n < 2)
		return app_fail(app,
			"EAL has only its main lcore: a data lcore is needed, such as --lcores '0@0,1@0'");
	if (place(app, list, n) != 0)
		return -1;
	for (uint32_t i = 0; i < app->lcore_count; i++)
		note_sharing(app, &app->lcores[i]);
	if (kx_conf_check_lcores(app->conf, app->lcore_count, &errs) != 0)
		return app_fail(app, "%s", errs.text[0]);
	return 0;
}
