/* SPDX-License-Identifier: BSD-3-Clause */
#include <string.h>

#include "telemetry_pvt.h"

static struct kx_hist sum; /* 270 KB; one command at a time */

static const struct kx_hist *stage_of(const struct kx_worker *w, enum kx_stage stage)
{
	return stage == KX_STAGE_RESIDENCE ? kx_broker_residence(w->broker) : w->stage[stage];
}

/* The count as a writer's buckets add up to, which is what quantiles are looked up in. */
static void settle(struct kx_hist *h)
{
	uint64_t n = 0;

	for (uint32_t i = 0; i < KX_HIST_BUCKETS; i++)
		n += h->bucket[i];
	if (h->count != 0)
		h->sum *= (double)n / (double)h->count;
	h->count = n;
}

static void add_quantile(struct rte_tel_data *d, const char *key, double q)
{
	uint64_t ns;

	/* Too few samples for this quantile: the key is left out rather than invented. */
	if (kx_hist_quantile(&sum, q, &ns) == 0)
		tel_u64(d, key, ns);
}

static void add_sum(struct rte_tel_data *d)
{
	settle(&sum);
	tel_u64(d, "count", sum.count);
	tel_u64(d, "mean", (uint64_t)kx_hist_mean(&sum));
	add_quantile(d, "p50", 0.5);
	add_quantile(d, "p90", 0.9);
	add_quantile(d, "p95", 0.95);
	add_quantile(d, "p99", 0.99);
	add_quantile(d, "p999", 0.999);
	tel_u64(d, "max", sum.max);
}

static void add_stage(const struct kx_telemetry_config *c, const struct kx_worker *only, enum kx_stage stage,
	struct rte_tel_data *d)
{
	kx_hist_reset(&sum);
	for (uint32_t i = 0; i < c->worker_count; i++) {
		const struct kx_hist *h = stage_of(c->workers[i], stage);

		if (h != NULL && (only == NULL || only == c->workers[i]))
			kx_hist_merge(&sum, h);
	}
	add_sum(d);
}

int tel_topic_latency(const struct kx_telemetry_config *c, const char *params, struct rte_tel_data *d)
{
	int topic = params == NULL ? -1 : kx_conf_topic_find(c->conf, params, strlen(params));
	struct rte_tel_data *one;

	if (topic < 0)
		return tel_error(d, "a topic is needed: /kaelix/topic/latency,NAME (see /kaelix/topic/list)");
	if (topic >= KX_BROKER_RESIDENCE_TOPICS)
		return tel_error(d,
			"only the first %d topics of the configuration are measured by themselves",
			KX_BROKER_RESIDENCE_TOPICS);
	kx_hist_reset(&sum);
	for (uint32_t i = 0; i < c->worker_count; i++)
		kx_hist_merge(&sum, kx_broker_topic_residence(c->workers[i]->broker, (uint32_t)topic));
	rte_tel_data_start_dict(d);
	tel_text(d, "topic", c->conf->topics[topic].name);
	tel_text(d, "unit", "ns");
	tel_u64(d, "measured", c->conf->telemetry.latency);
	one = tel_dict(d, kx_stage_key(KX_STAGE_RESIDENCE));
	if (one != NULL)
		add_sum(one);
	return 0;
}

int tel_latency(const struct kx_telemetry_config *c, const char *params, struct rte_tel_data *d)
{
	const struct kx_worker *only = NULL;
	uint64_t id;

	if (params != NULL && *params != '\0') {
		if (!tel_number(params, UINT32_MAX, &id) || (only = tel_worker(c, id)) == NULL)
			return tel_error(
				d, "not a data lcore: /kaelix/latency[,LCORE] (see /kaelix/lcore/list)");
	}
	rte_tel_data_start_dict(d);
	tel_text(d, "unit", "ns");
	tel_u64(d, "measured", c->conf->telemetry.latency);
	for (int stage = 0; stage < KX_STAGE_COUNT; stage++) {
		struct rte_tel_data *one = tel_dict(d, kx_stage_key(stage));

		if (one != NULL)
			add_stage(c, only, stage, one);
	}
	return 0;
}
