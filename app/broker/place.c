/* SPDX-License-Identifier: BSD-3-Clause */
/* Which EAL lcores run the data loops, and on which CPUs. */
#include <rte_lcore.h>
#include <sched.h>
#include <stdio.h>

#include "app.h"

static bool is_data(const struct app *app, unsigned int lcore)
{
	for (uint32_t i = 0; i < app->lcore_count; i++)
		if (app->lcores[i].lcore == lcore)
			return true;
	return false;
}

static bool conf_polls(const struct app *app, unsigned int lcore)
{
	for (uint32_t i = 0; i < app->conf->lcores.rx_count; i++)
		if (app->conf->lcores.rx[i] == lcore)
			return true;
	return app->conf->lcores.data_auto;
}

static void take_data_lcore(struct app *app, unsigned int lcore)
{
	struct app_lcore *l = &app->lcores[app->lcore_count++];

	l->lcore = lcore;
	l->polls = conf_polls(app, lcore);
	l->log_node = -1;
}

/* `data = auto`: every CPU but one, which stays for the control lcore, the kernel and the generator; a single
 * CPU is shared. */
static void choose_data(struct app *app, const cpu_set_t *allowed)
{
	int left = CPU_COUNT(allowed) > 1 ? CPU_COUNT(allowed) - 1 : 1;

	for (int cpu = CPU_SETSIZE - 1; cpu >= 0 && left > 0; cpu--) {
		if (!CPU_ISSET(cpu, allowed) || app->lcore_count == KX_WORKER_LCORES_MAX)
			continue;
		take_data_lcore(app, (unsigned int)cpu);
		left--;
	}
}

static int check_cpus(struct app *app, const cpu_set_t *allowed)
{
	for (uint32_t i = 0; i < app->lcore_count; i++)
		if (app->lcores[i].lcore >= CPU_SETSIZE || !CPU_ISSET(app->lcores[i].lcore, allowed))
			return app_fail(app,
				"[lcores] data names lcore %u, but there is no CPU %u to run it on: change "
				"the ini, "
				"or map it with --lcores, such as --lcores '%u@0,...'",
				app->lcores[i].lcore, app->lcores[i].lcore, app->lcores[i].lcore);
	return 0;
}

/* The control lcore sleeps: a CPU of its own where one is left, else wherever the kernel puts it. */
static void write_main(const struct app *app, const cpu_set_t *allowed, struct kx_text *out)
{
	const char *comma = "";
	unsigned int id = 0;

	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, allowed) || is_data(app, (unsigned int)cpu))
			continue;
		kx_text_add(out, "--main-lcore=%d --lcores=%d@%d", cpu, cpu, cpu);
		return;
	}
	while (is_data(app, id))
		id++;
	kx_text_add(out, "--main-lcore=%u --lcores=%u@(", id, id);
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, allowed))
			continue;
		kx_text_add(out, "%s%d", comma, cpu);
		comma = ",";
	}
	kx_text_add(out, ")");
}

int app_place_before_eal(struct app *app, char *lcores, size_t size, bool operator_gave_lcores)
{
	struct kx_text out;
	cpu_set_t allowed;

	for (uint32_t i = 0; i < app->conf->lcores.data_count; i++)
		take_data_lcore(app, app->conf->lcores.data[i]);
	if (operator_gave_lcores)
		return 0;
	if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0)
		return app_fail(app, "the CPUs of this process cannot be read");
	if (app->conf->lcores.data_auto)
		choose_data(app, &allowed);
	if (check_cpus(app, &allowed) != 0)
		return -1;
	kx_text_init(&out, lcores, size);
	write_main(app, &allowed, &out);
	for (uint32_t i = 0; i < app->lcore_count; i++)
		kx_text_add(&out, ",%u@%u", app->lcores[i].lcore, app->lcores[i].lcore);
	return out.truncated ? app_fail(app, "too many lcores for EAL's options; give --lcores") : 0;
}

static bool cpus_overlap(unsigned int a, unsigned int b)
{
	rte_cpuset_t x = rte_lcore_cpuset(a), y = rte_lcore_cpuset(b), both;

	CPU_AND(&both, &x, &y);
	return CPU_COUNT(&both) != 0;
}

static int check_lcore(struct app *app, struct app_lcore *l)
{
	if (l->lcore == rte_get_main_lcore())
		return app_fail(app,
			"lcore %u is EAL's main lcore, which only controls: take it out of [lcores] data, or "
			"give "
			"--main-lcore",
			l->lcore);
	if (!rte_lcore_is_enabled(l->lcore))
		return app_fail(app,
			"lcore %u of [lcores] data is not among EAL's lcores: add it to -l or --lcores, or "
			"leave "
			"these options out",
			l->lcore);
	l->socket_id = (int)rte_lcore_to_socket_id(l->lcore);
	for (uint32_t i = 0; i < app->lcore_count; i++)
		if (app->lcores[i].lcore != l->lcore && cpus_overlap(app->lcores[i].lcore, l->lcore))
			l->shares_cpu = true;
	return 0;
}

int app_place_after_eal(struct app *app)
{
	struct kx_conf_errors errs;
	unsigned int lcore;

	if (app->lcore_count == 0) {
		RTE_LCORE_FOREACH_WORKER (lcore) {
			if (app->lcore_count < KX_WORKER_LCORES_MAX)
				take_data_lcore(app, lcore);
		}
	}
	if (app->lcore_count == 0)
		return app_fail(app,
			"EAL has only its main lcore: a data lcore is needed, such as --lcores '0@0,1@0'");
	for (uint32_t i = 0; i < app->lcore_count; i++)
		if (check_lcore(app, &app->lcores[i]) != 0)
			return -1;
	if (kx_conf_check_lcores(app->conf, app->lcore_count, &errs) != 0)
		return app_fail(app, "%s", errs.text[0]);
	return 0;
}
