/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdio.h>
#include <string.h>

#include "telemetry_pvt.h"

static void next_page(struct rte_tel_data *d, uint64_t total, uint64_t first, uint64_t listed)
{
	tel_u64(d, "total", total);
	tel_u64(d, "first", first);
	tel_signed(d, "next", first + listed < total ? (int64_t)(first + listed) : -1);
}

int tel_topic_list(const struct kx_telemetry_config *c, const char *params, struct rte_tel_data *d)
{
	struct rte_tel_data *list;
	uint64_t first, n = 0;

	if (!tel_first(params, &first) || first >= c->conf->topic_count)
		return tel_error(d, "the argument is the first of %u topics: /kaelix/topic/list[,FIRST]",
			c->conf->topic_count);
	rte_tel_data_start_dict(d);
	list = tel_array(d, "topics", RTE_TEL_STRING_VAL);
	for (; list != NULL && n < TEL_LIST_STRINGS && first + n < c->conf->topic_count; n++)
		rte_tel_data_add_array_string(list, c->conf->topics[first + n].name);
	next_page(d, c->conf->topic_count, first, n);
	return 0;
}

static const struct kx_partition *partition_of(const struct kx_telemetry_config *c, uint32_t id)
{
	uint32_t owner = kx_conf_partition_owner(id, c->worker_count);

	return kx_topics_partition(kx_broker_topics(c->workers[owner]->broker), id);
}

static void add_topic(struct rte_tel_data *d, const struct kx_conf_topic *t)
{
	tel_text(d, "topic", t->name);
	tel_text(d, "durability", "memory");
	tel_text(d, "overrun", t->overrun == KX_CONF_BLOCK ? "block" : "trim");
	tel_u64(d, "max_message_bytes", t->max_message_bytes);
}

int tel_topic_stats(const struct kx_telemetry_config *c, const char *params, struct rte_tel_data *d)
{
	uint64_t in = 0, bytes_in = 0, out = 0, bytes_out = 0, duplicates = 0, trimmed = 0, subs = 0,
		 kept = 0;
	const struct kx_conf_topic *t;
	int index;

	if (params == NULL || *params == '\0')
		return tel_error(d, "a topic is needed: /kaelix/topic/stats,NAME (see /kaelix/topic/list)");
	index = kx_conf_topic_find(c->conf, params, strlen(params));
	if (index < 0)
		return tel_error(d, "unknown topic '%.64s' (see /kaelix/topic/list)", params);
	t = &c->conf->topics[index];
	for (uint32_t i = 0; i < t->partitions; i++) {
		const struct kx_partition *p = partition_of(c, t->first_partition + i);

		if (p == NULL)
			continue;
		in += kx_counter_read(&p->messages_in);
		bytes_in += kx_counter_read(&p->bytes_in);
		out += kx_counter_read(&p->messages_out);
		bytes_out += kx_counter_read(&p->bytes_out);
		duplicates += kx_counter_read(&p->duplicates);
		trimmed += kx_counter_read(&p->trimmed);
		kept += kx_counter_read(&p->log.next_offset) - kx_counter_read(&p->log.first_offset);
		subs += __atomic_load_n(&p->sub_count, __ATOMIC_RELAXED);
	}
	rte_tel_data_start_dict(d);
	add_topic(d, t);
	tel_u64(d, "partitions", t->partitions);
	tel_u64(d, "messages_in", in);
	tel_u64(d, "bytes_in", bytes_in);
	tel_u64(d, "messages_out", out);
	tel_u64(d, "bytes_out", bytes_out);
	tel_u64(d, "messages_kept", kept);
	tel_u64(d, "duplicates", duplicates);
	tel_u64(d, "trimmed", trimmed);
	tel_u64(d, "subscriptions", subs);
	tel_topic_quota(c, (uint32_t)index, d);
	return 0;
}

int tel_partition_list(const struct kx_telemetry_config *c, const char *params, struct rte_tel_data *d)
{
	struct rte_tel_data *list;
	uint64_t first, n = 0;

	if (!tel_first(params, &first) || first >= c->conf->partition_count)
		return tel_error(d,
			"the argument is the first of %u partitions: /kaelix/partition/list[,FIRST]",
			c->conf->partition_count);
	rte_tel_data_start_dict(d);
	list = tel_array(d, "partitions", RTE_TEL_STRING_VAL);
	for (; list != NULL && n < TEL_LIST_STRINGS && first + n < c->conf->partition_count; n++) {
		int topic = kx_conf_partition_topic(c->conf, (uint32_t)(first + n));
		char text[KX_CONF_TOPIC_NAME_MAX + 16];

		if (topic < 0)
			break;
		snprintf(text, sizeof(text), "%s,%u", c->conf->topics[topic].name,
			(unsigned int)(first + n - c->conf->topics[topic].first_partition));
		rte_tel_data_add_array_string(list, text);
	}
	next_page(d, c->conf->partition_count, first, n);
	return 0;
}

static void add_partition(struct rte_tel_data *d, const struct kx_worker *w, const struct kx_partition *p)
{
	uint64_t first = kx_counter_read(&p->log.first_offset), next = kx_counter_read(&p->log.next_offset);

	tel_u64(d, "partition", p->id);
	tel_u64(d, "index", p->index);
	tel_u64(d, "lcore", w->lcore);
	tel_u64(d, "udp_port", (uint64_t)w->base_port + w->index);
	tel_u64(d, "log_epoch", p->log.log_epoch);
	tel_u64(d, "first_offset", first);
	tel_u64(d, "committed_offset", next); /* durability memory: appended is committed */
	tel_u64(d, "next_offset", next);
	tel_u64(d, "extents", kx_counter_read(&p->log.head_seq) - kx_counter_read(&p->log.tail_seq));
	tel_u64(d, "max_extents", p->log.max_extents);
	tel_counter(d, "trimmed_extents", &p->log.trimmed_extents);
	tel_counter(d, "messages_in", &p->messages_in);
	tel_counter(d, "bytes_in", &p->bytes_in);
	tel_counter(d, "messages_out", &p->messages_out);
	tel_counter(d, "bytes_out", &p->bytes_out);
	tel_counter(d, "duplicates", &p->duplicates);
	tel_counter(d, "trimmed", &p->trimmed);
	tel_counter(d, "reserved_bytes", &p->reserved_bytes);
	tel_u64(d, "subscriptions", __atomic_load_n(&p->sub_count, __ATOMIC_RELAXED));
}

int tel_partition_stats(const struct kx_telemetry_config *c, const char *params, struct rte_tel_data *d)
{
	const char *comma = params != NULL ? strrchr(params, ',') : NULL;
	const struct kx_conf_topic *t;
	const struct kx_partition *p;
	uint64_t index;
	int topic;

	if (comma == NULL || !tel_number(comma + 1, UINT32_MAX, &index))
		return tel_error(d, "topic and partition are needed: /kaelix/partition/stats,TOPIC,ID");
	topic = kx_conf_topic_find(c->conf, params, (size_t)(comma - params));
	if (topic < 0)
		return tel_error(d, "unknown topic '%.*s' (see /kaelix/topic/list)",
			(int)KX_MIN(comma - params, 64L), params);
	t = &c->conf->topics[topic];
	if (index >= t->partitions)
		return tel_error(d, "topic %s has partitions 0..%u", t->name, t->partitions - 1);
	p = partition_of(c, t->first_partition + (uint32_t)index);
	if (p == NULL)
		return tel_error(d, "partition %u has no owner", t->first_partition + (uint32_t)index);
	rte_tel_data_start_dict(d);
	add_topic(d, t);
	add_partition(d, c->workers[kx_conf_partition_owner(p->id, c->worker_count)], p);
	return 0;
}
