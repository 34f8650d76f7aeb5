/* SPDX-License-Identifier: BSD-3-Clause */
/* Sessions are numbered over all data lcores: lcore index * sessions.max + slot. */
#include <inttypes.h>
#include <stdio.h>

#include "telemetry_pvt.h"

static bool session_at(const struct kx_telemetry_config *c, uint64_t id, struct kx_session_info *info)
{
	uint32_t max = c->conf->sessions.max;

	return id / max < c->worker_count &&
		kx_broker_session_info(c->workers[id / max]->broker, (uint32_t)(id % max), info);
}

int tel_session_list(const struct kx_telemetry_config *c, const char *params, struct rte_tel_data *d)
{
	uint64_t slots = (uint64_t)c->conf->sessions.max * c->worker_count, id, n = 0, open = 0;
	struct kx_session_info info;
	struct rte_tel_data *list;

	if (!tel_first(params, &id) || id >= slots)
		return tel_error(d,
			"the argument is the first of %llu session numbers: /kaelix/session/list[,FIRST]",
			(unsigned long long)slots);
	for (uint32_t i = 0; i < c->worker_count; i++) {
		struct kx_broker_memory m;

		kx_broker_memory(c->workers[i]->broker, &m);
		open += m.sessions_used;
	}
	rte_tel_data_start_dict(d);
	tel_u64(d, "total", open);
	tel_u64(d, "first", id);
	list = tel_array(d, "sessions", RTE_TEL_U64_VAL);
	for (; list != NULL && id < slots && n < TEL_LIST_NUMBERS; id++) {
		if (!session_at(c, id, &info))
			continue;
		rte_tel_data_add_array_u64(list, id);
		n++;
	}
	tel_signed(d, "next", id < slots ? (int64_t)id : -1);
	return 0;
}

static const char *blocked_text(uint8_t blocked)
{
	static const char *const texts[] = {"no", "log", "memory", "quota", "wal", "disk"};

	return blocked < KX_DIM(texts) ? texts[blocked] : "?";
}

static void add_session(
	const struct kx_telemetry_config *c, struct rte_tel_data *d, const struct kx_session_info *s)
{
	char text[KX_ADDR_TEXT_BYTES];

	snprintf(text, sizeof(text), "%016" PRIx64, s->conn_id);
	tel_text(d, "conn_id", text);
	snprintf(text, sizeof(text), "%016" PRIx64, s->producer_id);
	tel_text(d, "producer_id", text);
	tel_text(d, "principal",
		s->principal < c->conf->principal_count ? c->conf->principals[s->principal].name : "?");
	tel_u64(d, "producer_epoch", s->producer_epoch);
	tel_text(d, "remote", kx_addr_format(&s->remote, text));
	tel_u64(d, "rx_frames", s->rx_frames);
	tel_u64(d, "tx_frames", s->tx_frames);
	tel_u64(d, "rx_bytes", s->rx_bytes);
	tel_u64(d, "tx_bytes", s->tx_bytes);
	tel_u64(d, "messages_in", s->messages_in);
	tel_u64(d, "messages_out", s->messages_out);
	tel_u64(d, "limit_pkt", s->limit_pkt);
	tel_u64(d, "limit_bytes", s->limit_bytes);
	tel_u64(d, "used_bytes", s->used_bytes);
	tel_u64(d, "duplicates", s->duplicates);
	tel_u64(d, "naks_sent", s->naks_sent);
	tel_u64(d, "naks_received", s->naks_received);
	tel_u64(d, "subscriptions", s->subscriptions);
	tel_text(d, "blocked", blocked_text(s->blocked));
	tel_text(d, "frames", kx_protect_name(s->protect));
	tel_u64(d, "path_changes", s->path_changes);
	tel_u64(d, "tx_datagram_bytes", s->tx_datagram_bytes);
	tel_u64(d, "rx_datagram_bytes", s->rx_datagram_bytes);
	tel_u64(d, "datagram_most_bytes", s->datagram_most_bytes);
}

int tel_session_stats(const struct kx_telemetry_config *c, const char *params, struct rte_tel_data *d)
{
	struct kx_session_info info;
	const struct kx_worker *w;
	uint64_t id, now_ns;

	if (!tel_number(params, UINT32_MAX, &id))
		return tel_error(
			d, "a session number is needed: /kaelix/session/stats,ID (see /kaelix/session/list)");
	if (!session_at(c, id, &info))
		return tel_error(d, "session %u is not open (see /kaelix/session/list)", (unsigned int)id);
	w = c->workers[id / c->conf->sessions.max];
	now_ns = kx_tsc_to_ns(&w->clock, kx_tsc_read());
	rte_tel_data_start_dict(d);
	tel_u64(d, "session", id);
	tel_u64(d, "lcore", w->lcore);
	tel_u64(d, "age_ms", now_ns > info.created_ns ? (now_ns - info.created_ns) / 1000000 : 0);
	tel_u64(d, "idle_ms", now_ns > info.last_rx_ns ? (now_ns - info.last_rx_ns) / 1000000 : 0);
	add_session(c, d, &info);
	return 0;
}
