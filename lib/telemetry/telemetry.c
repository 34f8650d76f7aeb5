/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "telemetry_pvt.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* telemetry thread and control lcore only */
static struct kx_telemetry_config current;
static bool running, registered;

/* The one table: DPDK accepts a second registration of a name silently. */
#define COMMANDS(X)                                                                                          \
	X("/kaelix/info", "", tel_info, "The instance, its version and what it chose at start")              \
	X("/kaelix/lcore/list", "", tel_lcore_list, "EAL ids of the data lcores")                            \
	X("/kaelix/lcore/stats", "ID", tel_lcore_stats, "Loop and broker counters of a data lcore")          \
	X("/kaelix/port/list", "", tel_port_list, "DPDK ids and names of the ports")                         \
	X("/kaelix/port/stats", "ID", tel_port_stats, "Counters and ledger of a port")                       \
	X("/kaelix/topic/list", "[FIRST]", tel_topic_list, "Names of topics")                                \
	X("/kaelix/topic/stats", "NAME", tel_topic_stats, "Sums over the partitions of a topic")             \
	X("/kaelix/topic/latency", "NAME", tel_topic_latency, "Residence of a topic in ns")                  \
	X("/kaelix/principal/quota", "NAME", tel_principal_quota, "Rates and limits of a principal")         \
	X("/kaelix/partition/list", "[FIRST]", tel_partition_list, "Partitions as TOPIC,ID")                 \
	X("/kaelix/partition/stats", "TOPIC,ID", tel_partition_stats, "Offsets and counters of a partition") \
	X("/kaelix/session/list", "[FIRST]", tel_session_list, "Numbers of the open sessions")               \
	X("/kaelix/session/stats", "ID", tel_session_stats, "Counters and credit of a session")              \
	X("/kaelix/principal/list", "[FIRST]", tel_principal_list, "Names of principals")                    \
	X("/kaelix/principal/stats", "NAME", tel_principal_stats, "Sessions and refusals of a principal")    \
	X("/kaelix/drops", "[LCORE]", tel_drops, "Every drop reason, and the ledger")                        \
	X("/kaelix/latency", "[LCORE]", tel_latency, "Residence and stage latencies in ns")                  \
	X("/kaelix/memory", "", tel_memory, "Pools, rings, extents and tables")

static const struct kx_telemetry_command commands[] = {
#define COMMAND_ENTRY(name, args, fn, help) {name, args, help},
	COMMANDS(COMMAND_ENTRY)
#undef COMMAND_ENTRY
};
static const tel_fn functions[] = {
#define FUNCTION_ENTRY(name, args, fn, help) fn,
	COMMANDS(FUNCTION_ENTRY)
#undef FUNCTION_ENTRY
};

const struct kx_telemetry_command *kx_telemetry_commands(size_t *count)
{
	*count = KX_DIM(commands);
	return commands;
}

static int dispatch(const char *cmd, const char *params, struct rte_tel_data *d)
{
	int err = -EINVAL;

	pthread_mutex_lock(&lock);
	for (size_t i = 0; i < KX_DIM(commands); i++) {
		if (strcmp(commands[i].name, cmd) != 0)
			continue;
		err = running ? functions[i](&current, params, d) : tel_error(d, "the broker is not running");
		break;
	}
	pthread_mutex_unlock(&lock);
	return err;
}

static int register_all(void)
{
	for (size_t i = 0; i < KX_DIM(commands); i++) {
		int err = rte_telemetry_register_cmd(commands[i].name, dispatch, commands[i].help);

		if (err != 0)
			return err;
	}
	registered = true;
	return 0;
}

int kx_telemetry_start(const struct kx_telemetry_config *config)
{
	int err = 0;

	if (config->worker_count == 0 || config->worker_count > KX_WORKER_LCORES_MAX ||
		config->port_count > KX_TELEMETRY_PORTS_MAX)
		return -EINVAL;
	pthread_mutex_lock(&lock);
	current = *config;
	running = true;
	if (!registered)
		err = register_all();
	pthread_mutex_unlock(&lock);
	return err;
}

void kx_telemetry_stop(void)
{
	pthread_mutex_lock(&lock);
	running = false;
	pthread_mutex_unlock(&lock);
}

int tel_error(struct rte_tel_data *d, const char *fmt, ...)
{
	char text[RTE_TEL_MAX_STRING_LEN];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	/* What the client sent may be quoted in the text: keep the reply readable. */
	for (char *p = text; *p != '\0'; p++)
		if (*p < 0x20 || *p > 0x7e)
			*p = '?';
	rte_tel_data_start_dict(d);
	rte_tel_data_add_dict_string(d, "error", text);
	return 0;
}

bool tel_number(const char *params, uint64_t max, uint64_t *out)
{
	uint64_t v = 0;

	if (params == NULL || *params == '\0')
		return false;
	for (const char *p = params; *p != '\0'; p++) {
		if (*p < '0' || *p > '9' || v > UINT32_MAX)
			return false;
		v = v * 10 + (uint64_t)(*p - '0');
	}
	*out = v;
	return v <= max;
}

bool tel_first(const char *params, uint64_t *out)
{
	*out = 0;
	return params == NULL || *params == '\0' || tel_number(params, UINT32_MAX, out);
}

static struct rte_tel_data *attach(struct rte_tel_data *parent, const char *key, struct rte_tel_data *child)
{
	if (rte_tel_data_add_dict_container(parent, key, child, 0) == 0)
		return child;
	rte_tel_data_free(child);
	return NULL;
}

struct rte_tel_data *tel_dict(struct rte_tel_data *parent, const char *key)
{
	struct rte_tel_data *child = rte_tel_data_alloc();

	if (child == NULL)
		return NULL;
	rte_tel_data_start_dict(child);
	return attach(parent, key, child);
}

struct rte_tel_data *tel_array(struct rte_tel_data *parent, const char *key, enum rte_tel_value_type type)
{
	struct rte_tel_data *child = rte_tel_data_alloc();

	if (child == NULL)
		return NULL;
	rte_tel_data_start_array(child, type);
	return attach(parent, key, child);
}

/* DPDK 22.11 has signed values of 32 bits only. */
void tel_signed(struct rte_tel_data *d, const char *key, int64_t value)
{
	rte_tel_data_add_dict_int(d, key, (int)KX_MAX(KX_MIN(value, (int64_t)INT32_MAX), (int64_t)INT32_MIN));
}

struct kx_worker *tel_worker(const struct kx_telemetry_config *c, uint64_t lcore)
{
	for (uint32_t i = 0; i < c->worker_count; i++)
		if (c->workers[i]->lcore == lcore)
			return c->workers[i];
	return NULL;
}
