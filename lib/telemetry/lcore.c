/* SPDX-License-Identifier: BSD-3-Clause */
#include "telemetry_pvt.h"

int tel_lcore_list(const struct kx_telemetry_config *c, const char *params, struct rte_tel_data *d)
{
	struct rte_tel_data *list;

	if (params != NULL && *params != '\0')
		return tel_error(d, "/kaelix/lcore/list takes no argument");
	rte_tel_data_start_dict(d);
	tel_u64(d, "total", c->worker_count);
	list = tel_array(d, "lcores", RTE_TEL_INT_VAL);
	for (uint32_t i = 0; list != NULL && i < c->worker_count; i++)
		rte_tel_data_add_array_int(list, (int)c->workers[i]->lcore);
	return 0;
}

static void add_loop(struct rte_tel_data *d, const struct kx_worker *w)
{
	const struct kx_worker_stats *s = &w->stats;
	uint64_t busy = kx_counter_read(&s->busy_tsc), idle = kx_counter_read(&s->idle_tsc);
	uint64_t busy_turns = kx_counter_read(&s->busy_turns), work = kx_counter_read(&s->work);

	tel_counter(d, "turns", &s->turns);
	tel_u64(d, "busy_turns", busy_turns);
	tel_u64(d, "busy_cycles", busy);
	tel_u64(d, "idle_cycles", idle);
	tel_u64(d, "busy_percent", busy + idle != 0 ? busy * 100 / (busy + idle) : 0);
	tel_u64(d, "work", work);
	tel_u64(d, "work_per_busy_turn", busy_turns != 0 ? work / busy_turns : 0);
	tel_counter(d, "max_work_per_turn", &s->max_work);
	tel_counter(d, "max_gap_ns", &s->max_gap_ns);
	tel_u64(d, "gap_threshold_ns", w->gap_threshold_ns);
	tel_counter(d, "turns_over_threshold", &s->late_turns);
	tel_counter(d, "yields", &s->yields);
	tel_counter(d, "commands", &s->commands);
	tel_counter(d, "handover_in", &s->handover_in);
	tel_counter(d, "handover_out", &w->ledger.handed_over);
	tel_counter(d, "relay_in", &s->relay_in);
	tel_counter(d, "relay_out", &w->ledger.relayed);
}

static void add_broker(struct rte_tel_data *d, const struct kx_worker *w)
{
	const struct kx_broker_counters *b = kx_broker_counters(w->broker);

	tel_counter(d, "messages_in", &b->messages_in);
	tel_counter(d, "messages_out", &b->messages_out);
	tel_counter(d, "batches_in", &b->batches_in);
	tel_counter(d, "frames_out", &b->frames_out);
	tel_counter(d, "cut_frames", &b->cut_frames);
	tel_counter(d, "copied_frames", &b->copied_frames);
	tel_counter(d, "slice_frames", &b->slice_frames);
	tel_counter(d, "repaired_frames", &b->repaired_frames);
	tel_counter(d, "repairs_deferred", &b->repairs_deferred);
	tel_counter(d, "congestions", &b->congestions);
	tel_counter(d, "naks_sent", &b->naks_sent);
	tel_counter(d, "naks_received", &b->naks_received);
	tel_counter(d, "acks_sent", &b->acks_sent);
	tel_counter(d, "trimmed_notices", &b->trimmed_notices);
	tel_counter(d, "path_challenges", &b->path_challenges);
	tel_counter(d, "path_changes", &b->path_changes);
	tel_counter(d, "take_overs", &b->take_overs);
	tel_counter(d, "fenced", &b->fenced);
	tel_counter(d, "resyncs", &b->resyncs);
	tel_counter(d, "resumes", &b->resumes);
	tel_counter(d, "exact_repeats", &b->exact_repeats);
}

int tel_lcore_stats(const struct kx_telemetry_config *c, const char *params, struct rte_tel_data *d)
{
	const struct kx_worker *w;
	uint64_t id;

	if (!tel_number(params, UINT32_MAX, &id))
		return tel_error(
			d, "a data lcore id is needed: /kaelix/lcore/stats,ID (see /kaelix/lcore/list)");
	w = tel_worker(c, id);
	if (w == NULL)
		return tel_error(d, "lcore %u is no data lcore (see /kaelix/lcore/list)", (unsigned int)id);
	rte_tel_data_start_dict(d);
	tel_u64(d, "lcore", w->lcore);
	tel_u64(d, "index", w->index);
	tel_signed(d, "numa_node", w->socket_id);
	tel_u64(d, "udp_port", (uint64_t)w->base_port + w->index);
	tel_u64(d, "rx_queues", w->rxq_count);
	add_loop(d, w);
	add_broker(d, w);
	return 0;
}
