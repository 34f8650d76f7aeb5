/* SPDX-License-Identifier: BSD-3-Clause */
/* Contradictions between keys, and what needs the number of data lcores. */
#include "conf_private.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static const struct seen *seen_of(const struct check *c, enum kx_conf_section section, uint32_t index)
{
	if (c->load == NULL)
		return NULL;
	if (section == KX_CONF_S_PORT)
		return &c->load->port[index];
	if (section == KX_CONF_S_TOPIC)
		return &c->load->topic[index];
	if (section == KX_CONF_S_PRINCIPAL)
		return &c->load->principal[index];
	return &c->load->single[section];
}

bool conf_usable(const struct check *c, enum kx_conf_section section, uint32_t index, const char *key)
{
	const struct seen *seen = seen_of(c, section, index);

	return seen == NULL || (seen->key_line[conf_key_index(section, key)] & KEY_BAD) == 0;
}

/** Line of the key, else of its section, else 0. */
static uint32_t line_of(const struct check *c, enum kx_conf_section section, uint32_t index, const char *key)
{
	const struct seen *seen = seen_of(c, section, index);

	if (seen != NULL) {
		uint32_t line = seen->key_line[conf_key_index(section, key)] & ~KEY_BAD;

		return line != 0 ? line : seen->head_line;
	}
	if (section == KX_CONF_S_PORT)
		return c->conf->ports[index].line;
	return section == KX_CONF_S_TOPIC ? c->conf->topics[index].line : 0;
}

void conf_check_error(const struct check *c, enum kx_conf_section section, uint32_t index, const char *key,
	const char *fmt, ...)
{
	char head[HEAD_BYTES], what[KX_CONF_ERROR_TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	conf_error(c->file, c->errs, line_of(c, section, index, key),
		conf_head(head, c->conf, section, index), key, "%s", what);
}

static bool lcores_have(const struct kx_conf_lcores *l, uint16_t id)
{
	for (uint32_t i = 0; i < l->data_count; i++)
		if (l->data[i] == id)
			return true;
	return false;
}

static void check_rx_lcores(const struct check *c)
{
	const struct kx_conf_lcores *l = &c->conf->lcores;

	if (!conf_usable(c, KX_CONF_S_LCORES, 0, "rx") || !conf_usable(c, KX_CONF_S_LCORES, 0, "data"))
		return;
	if (l->data_auto) {
		if (l->rx_count > 0)
			conf_check_error(c, KX_CONF_S_LCORES, 0, "rx",
				"names lcores while data = auto chooses them; allowed: all, or a list in "
				"data");
		return;
	}
	for (uint32_t i = 0; i < l->rx_count; i++)
		if (!lcores_have(l, l->rx[i]))
			conf_check_error(c, KX_CONF_S_LCORES, 0, "rx",
				"lcore %u is not a data lcore; allowed: all, or lcores that data names",
				l->rx[i]);
}

static void check_sessions(const struct check *c)
{
	const struct kx_conf_sessions *s = &c->conf->sessions;

	if (!conf_usable(c, KX_CONF_S_SESSIONS, 0, "idle_timeout_ms") ||
		!conf_usable(c, KX_CONF_S_SESSIONS, 0, "heartbeat_ms"))
		return;
	if (s->idle_timeout_ms < 3 * s->heartbeat_ms)
		conf_check_error(c, KX_CONF_S_SESSIONS, 0, "idle_timeout_ms",
			"%u ms is less than three heartbeats of %u ms; allowed: %u..3600000 ms, or a shorter "
			"heartbeat_ms",
			s->idle_timeout_ms, s->heartbeat_ms, 3 * s->heartbeat_ms);
}

static void check_extents(const struct check *c)
{
	const struct kx_conf_memory *m = &c->conf->memory;
	char text[32];
	struct kx_text t;

	if (!conf_usable(c, KX_CONF_S_MEMORY, 0, "log_bytes") ||
		!conf_usable(c, KX_CONF_S_MEMORY, 0, "extent_bytes") || m->log_bytes % m->extent_bytes == 0)
		return;
	kx_text_init(&t, text, sizeof(text));
	conf_size_text(&t, m->extent_bytes);
	conf_check_error(c, KX_CONF_S_MEMORY, 0, "log_bytes",
		"%llu is no multiple of extent_bytes; allowed: multiples of %s",
		(unsigned long long)m->log_bytes, text);
}

static void check_partitions(const struct check *c)
{
	uint64_t sum = 0;

	for (uint32_t t = 0; t < c->conf->topic_count; t++) {
		sum += c->conf->topics[t].partitions;
		if (sum > KX_CONF_PARTITIONS_MAX) {
			conf_check_error(c, KX_CONF_S_TOPIC, t, "partitions",
				"more partitions of all topics together than can be numbered; allowed: %d",
				KX_CONF_PARTITIONS_MAX);
			return;
		}
	}
}

void conf_check_sections(const struct check *c)
{
	check_rx_lcores(c);
	check_sessions(c);
	check_extents(c);
	check_partitions(c);
}

/* ---- with the number of data lcores
 * ------------------------------------------------------------------------ */

static void check_udp_ports(const struct check *c, uint32_t data_lcores)
{
	if (!conf_usable(c, KX_CONF_S_BROKER, 0, "udp_port"))
		return;
	if (c->conf->broker.udp_port + data_lcores - 1 > 65535)
		conf_check_error(c, KX_CONF_S_BROKER, 0, "udp_port",
			"%u data lcores from %u on need ports beyond 65535; allowed: 1024..%u", data_lcores,
			c->conf->broker.udp_port, 65536 - data_lcores);
}

static void check_queues(const struct check *c, uint32_t port, uint32_t data_lcores, uint32_t rx_lcores)
{
	const struct kx_conf_port *p = &c->conf->ports[port];

	if (conf_usable(c, KX_CONF_S_PORT, port, "rx_queues") && p->rx_queues > rx_lcores)
		conf_check_error(c, KX_CONF_S_PORT, port, "rx_queues",
			"%u queues for %u lcores with RX: some would never be polled; allowed: 0 (all) or "
			"1..%u",
			p->rx_queues, rx_lcores, rx_lcores);
	if (conf_usable(c, KX_CONF_S_PORT, port, "tx_queues") && p->tx_queues > data_lcores)
		conf_check_error(c, KX_CONF_S_PORT, port, "tx_queues",
			"%u queues for %u data lcores: some would never be used; allowed: 0 (all) or 1..%u",
			p->tx_queues, data_lcores, data_lcores);
}

void conf_check_begin(struct check *c)
{
	const struct kx_conf *conf = c->conf;
	uint32_t mtu = 0;

	c->window_bytes = conf->sessions.window_bytes;
	for (uint32_t t = 0; t < conf->topic_count; t++)
		c->window_bytes = KX_MAX(c->window_bytes, conf->topics[t].max_message_bytes + UINT64_C(8192));
	for (uint32_t p = 0; p < conf->port_count; p++)
		mtu = KX_MAX(mtu, conf->ports[p].mtu);
	c->sure_bytes = conf->memory.extent_bytes - mtu;
}

/**
 * Smallest log of a partition: the extent that is written and one to trim; or a largest message (its batch
 * has up to 4096 bytes more than its payload) in extents of its own beside the written one; where producers
 * wait, the window that a session is granted, in extents whose last bytes may stay empty because the next
 * batch is as large as a datagram.
 */
static uint64_t least_log_bytes(const struct check *c, const struct kx_conf_topic *t)
{
	uint64_t extent = c->conf->memory.extent_bytes;
	uint64_t large = (t->max_message_bytes + UINT64_C(4096) + extent - 1) / extent;
	uint64_t window =
		t->overrun == KX_CONF_BLOCK ? (c->window_bytes + c->sure_bytes - 1) / c->sure_bytes : 0;

	return KX_MAX(large, window) * extent + extent;
}

static bool topic_usable(const struct check *c, uint32_t t)
{
	return conf_usable(c, KX_CONF_S_TOPIC, t, "log_bytes") &&
		conf_usable(c, KX_CONF_S_TOPIC, t, "max_message_bytes") &&
		conf_usable(c, KX_CONF_S_TOPIC, t, "overrun");
}

/** A topic whose limit is too small for what it promises to take. */
static void check_topic_log(const struct check *c, uint32_t index)
{
	const struct kx_conf_topic *t = &c->conf->topics[index];
	uint64_t least = least_log_bytes(c, t);
	char need[32];
	struct kx_text text;

	if (t->log_bytes == 0 || t->log_bytes >= least || !topic_usable(c, index))
		return;
	kx_text_init(&text, need, sizeof(need));
	conf_size_text(&text, least);
	conf_check_error(c, KX_CONF_S_TOPIC, index, "log_bytes",
		"%llu bytes hold no message of max_message_bytes%s beside the extent that is written; "
		"allowed: at "
		"least %s, or 0 (the share)",
		(unsigned long long)t->log_bytes,
		t->overrun == KX_CONF_BLOCK ? ", or no session window," : "", need);
}

/** What the partitions of one lcore need at least, those with a limit of their own counted with it. */
static uint64_t least_memory(const struct check *c, uint32_t lcore, uint32_t data_lcores)
{
	const struct kx_conf *conf = c->conf;
	struct kx_conf_log_share share;
	uint64_t most = 0;

	/* Shares are equal: the topic that needs most decides them all. */
	kx_conf_log_share(conf, lcore, data_lcores, &share);
	for (uint32_t t = 0; t < conf->topic_count; t++) {
		uint32_t first = conf->topics[t].first_partition, n = conf->topics[t].partitions;
		bool here = n >= data_lcores || (lcore + data_lcores - first % data_lcores) % data_lcores < n;

		if (here && conf->topics[t].log_bytes == 0)
			most = KX_MAX(most, least_log_bytes(c, &conf->topics[t]));
	}
	return share.reserved_bytes + share.sharing * most;
}

static void check_memory(const struct check *c, uint32_t data_lcores)
{
	char need[32], have[32];
	struct kx_text n, h;

	for (uint32_t lcore = 0; lcore < data_lcores; lcore++) {
		struct kx_conf_log_share share;
		uint64_t least = least_memory(c, lcore, data_lcores);
		uint64_t extent = c->conf->memory.extent_bytes;

		if (least <= c->conf->memory.log_bytes)
			continue;
		kx_conf_log_share(c->conf, lcore, data_lcores, &share);
		kx_text_init(&n, need, sizeof(need));
		conf_size_text(&n, (least + extent - 1) / extent * extent);
		kx_text_init(&h, have, sizeof(have));
		conf_size_text(&h, c->conf->memory.log_bytes);
		conf_check_error(c, KX_CONF_S_MEMORY, 0, "log_bytes",
			"%s is too little for the %u partitions of data lcore %u; allowed: at least %s, or "
			"fewer "
			"partitions, smaller log_bytes or max_message_bytes of topics, or a smaller "
			"window_bytes",
			have, share.partitions, lcore, need);
		return; /* the others have the same cure */
	}
}

/** Memory is judged only when every key that goes into it was understood. */
static bool memory_usable(const struct check *c)
{
	for (uint32_t t = 0; t < c->conf->topic_count; t++)
		if (!topic_usable(c, t) || !conf_usable(c, KX_CONF_S_TOPIC, t, "partitions"))
			return false;
	return conf_usable(c, KX_CONF_S_MEMORY, 0, "log_bytes") &&
		conf_usable(c, KX_CONF_S_MEMORY, 0, "extent_bytes") &&
		conf_usable(c, KX_CONF_S_SESSIONS, 0, "window_bytes");
}

void conf_check_counts(const struct check *c, uint32_t data_lcores, uint32_t rx_lcores)
{
	check_udp_ports(c, data_lcores);
	for (uint32_t p = 0; p < c->conf->port_count; p++)
		check_queues(c, p, data_lcores, rx_lcores);
	if (memory_usable(c))
		check_memory(c, data_lcores);
}

void conf_check_topics(const struct check *c)
{
	for (uint32_t t = 0; t < c->conf->topic_count; t++)
		check_topic_log(c, t);
}

int kx_conf_check_lcores(const struct kx_conf *conf, uint32_t data_lcores, struct kx_conf_errors *errs)
{
	struct kx_conf_errors *list = errs != NULL ? errs : malloc(sizeof(*list));
	struct check c = {.conf = conf, .file = conf->source, .errs = list};
	uint32_t total;

	if (list == NULL)
		return -ENOMEM;
	conf_check_begin(&c);
	list->count = list->total = 0;
	if (data_lcores == 0 || data_lcores > KX_CONF_LCORES_MAX)
		conf_check_error(&c, KX_CONF_S_LCORES, 0, "data", "%u data lcores; allowed: 1..%d",
			data_lcores, KX_CONF_LCORES_MAX);
	else
		conf_check_counts(
			&c, data_lcores, conf->lcores.data_auto ? data_lcores : conf->lcores.rx_count);
	total = list->total;
	if (errs == NULL)
		free(list);
	return total > 0 ? -EINVAL : 0;
}
