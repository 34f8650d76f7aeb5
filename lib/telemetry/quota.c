/* SPDX-License-Identifier: BSD-3-Clause */
#include <string.h>

#include "telemetry_pvt.h"

typedef bool (*quota_fn)(
	const struct kx_broker *b, uint32_t index, uint64_t now_ns, struct kx_quota_info *out);

/* Limits and debts are shared by the lcores, rates and totals are added up. */
static void add_quota(
	const struct kx_telemetry_config *c, quota_fn get, uint32_t index, struct rte_tel_data *d)
{
	uint64_t now_ns = kx_tsc_to_ns(&c->workers[0]->clock, kx_tsc_read());
	struct kx_quota_info all = {0}, one;

	for (uint32_t i = 0; i < c->worker_count; i++) {
		if (!get(c->workers[i]->broker, index, now_ns, &one))
			continue;
		one.messages_rate += all.messages_rate;
		one.bytes_rate += all.bytes_rate;
		one.messages += all.messages;
		one.bytes += all.bytes;
		all = one;
	}
	tel_u64(d, "quota_messages_per_s", all.messages_per_s);
	tel_u64(d, "quota_bytes_per_s", all.bytes_per_s);
	tel_u64(d, "quota_messages", all.messages);
	tel_u64(d, "quota_bytes", all.bytes);
	tel_u64(d, "quota_messages_rate", all.messages_rate);
	tel_u64(d, "quota_bytes_rate", all.bytes_rate);
	tel_u64(d, "throttled_messages_ns", all.throttled_messages_ns);
	tel_u64(d, "throttled_bytes_ns", all.throttled_bytes_ns);
}

void tel_topic_quota(const struct kx_telemetry_config *c, uint32_t topic, struct rte_tel_data *d)
{
	add_quota(c, kx_broker_topic_quota, topic, d);
}

int tel_principal_quota(const struct kx_telemetry_config *c, const char *params, struct rte_tel_data *d)
{
	uint32_t i = 0;

	while (params != NULL && i < c->conf->principal_count &&
		strcmp(c->conf->principals[i].name, params) != 0)
		i++;
	if (params == NULL || i == c->conf->principal_count)
		return tel_error(d, "a principal is needed: /kaelix/principal/quota,NAME, such as anonymous");
	rte_tel_data_start_dict(d);
	tel_text(d, "principal", c->conf->principals[i].name);
	add_quota(c, kx_broker_principal_quota, i, d);
	return 0;
}
