/* SPDX-License-Identifier: BSD-3-Clause */
/* Principals: who may connect, and how often each did. */
#include <string.h>

#include "telemetry_pvt.h"

/* Sums over the data lcores; id principal_count: of names that are nobody's. */
static struct kx_principal_counters sum(const struct kx_telemetry_config *c, uint32_t id)
{
	struct kx_principal_counters all = {0};

	for (uint32_t i = 0; i < c->worker_count; i++) {
		const struct kx_principal_counters *one =
			kx_broker_principal_counters(c->workers[i]->broker, id);

		all.sessions += kx_counter_read(&one->sessions);
		all.accepted += kx_counter_read(&one->accepted);
		all.refused += kx_counter_read(&one->refused);
		all.denied += kx_counter_read(&one->denied);
	}
	return all;
}

int tel_principal_list(const struct kx_telemetry_config *c, const char *params, struct rte_tel_data *d)
{
	uint32_t total = c->conf->principal_count;
	struct rte_tel_data *list;
	uint64_t first, n = 0;

	if (!tel_first(params, &first) || first >= total)
		return tel_error(d,
			"the argument is the first of %u principals: /kaelix/principal/list[,FIRST]", total);
	rte_tel_data_start_dict(d);
	list = tel_array(d, "principals", RTE_TEL_STRING_VAL);
	for (; list != NULL && n < TEL_LIST_STRINGS && first + n < total; n++)
		rte_tel_data_add_array_string(list, c->conf->principals[first + n].name);
	tel_u64(d, "total", total);
	tel_u64(d, "first", first);
	tel_u64(d, "unknown_refused", sum(c, total).refused);
	tel_signed(d, "next", first + n < total ? (int64_t)(first + n) : -1);
	return 0;
}

int tel_principal_stats(const struct kx_telemetry_config *c, const char *params, struct rte_tel_data *d)
{
	static const char *const frames[] = {"plain", "mac", "aead"};
	const struct kx_conf_principal *p;
	struct kx_principal_counters all;
	int id;

	if (params == NULL || *params == '\0')
		return tel_error(d,
			"a principal's name is needed: /kaelix/principal/stats,NAME (see "
			"/kaelix/principal/list)");
	id = kx_conf_principal_find(c->conf, params, strlen(params));
	if (id < 0)
		return tel_error(d, "there is no principal of this name (see /kaelix/principal/list)");
	p = &c->conf->principals[id];
	all = sum(c, (uint32_t)id);
	rte_tel_data_start_dict(d);
	tel_text(d, "principal", p->name);
	tel_text(d, "frames", frames[p->frames]);
	tel_u64(d, "sessions", all.sessions);
	tel_u64(d, "sessions_max", p->sessions);
	tel_u64(d, "producer_ids",
		kx_producer_ids_held(kx_broker_producer_ids(c->workers[0]->broker), (uint32_t)id));
	tel_u64(d, "accepted", all.accepted);
	tel_u64(d, "refused", all.refused);
	tel_u64(d, "denied", all.denied);
	return 0;
}
