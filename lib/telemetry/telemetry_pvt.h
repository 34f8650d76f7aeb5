/* SPDX-License-Identifier: BSD-3-Clause */
/** @file Telemetry, private. All on the telemetry thread, under the lock of telemetry.c. */
#ifndef KX_TELEMETRY_PVT_H
#define KX_TELEMETRY_PVT_H

#include <rte_telemetry.h>

#include "kx_telemetry.h"

#define TEL_LIST_STRINGS 96  /* names of up to 64 bytes in a reply of 16 KiB */
#define TEL_LIST_NUMBERS 400 /* of the 512 an array takes */
#define TEL_LCORES	 16  /* lcores with a dict of their own in one reply */

typedef int (*tel_fn)(const struct kx_telemetry_config *c, const char *params, struct rte_tel_data *d);

int tel_info(const struct kx_telemetry_config *c, const char *params, struct rte_tel_data *d);
int tel_lcore_list(const struct kx_telemetry_config *c, const char *params, struct rte_tel_data *d);
int tel_lcore_stats(const struct kx_telemetry_config *c, const char *params, struct rte_tel_data *d);
int tel_port_list(const struct kx_telemetry_config *c, const char *params, struct rte_tel_data *d);
int tel_port_stats(const struct kx_telemetry_config *c, const char *params, struct rte_tel_data *d);
int tel_topic_list(const struct kx_telemetry_config *c, const char *params, struct rte_tel_data *d);
int tel_topic_stats(const struct kx_telemetry_config *c, const char *params, struct rte_tel_data *d);
int tel_topic_latency(const struct kx_telemetry_config *c, const char *params, struct rte_tel_data *d);
int tel_principal_quota(const struct kx_telemetry_config *c, const char *params, struct rte_tel_data *d);
int tel_partition_list(const struct kx_telemetry_config *c, const char *params, struct rte_tel_data *d);
int tel_partition_stats(const struct kx_telemetry_config *c, const char *params, struct rte_tel_data *d);
int tel_session_list(const struct kx_telemetry_config *c, const char *params, struct rte_tel_data *d);
int tel_session_stats(const struct kx_telemetry_config *c, const char *params, struct rte_tel_data *d);
int tel_drops(const struct kx_telemetry_config *c, const char *params, struct rte_tel_data *d);
int tel_principal_list(const struct kx_telemetry_config *c, const char *params, struct rte_tel_data *d);
int tel_principal_stats(const struct kx_telemetry_config *c, const char *params, struct rte_tel_data *d);
int tel_latency(const struct kx_telemetry_config *c, const char *params, struct rte_tel_data *d);
int tel_memory(const struct kx_telemetry_config *c, const char *params, struct rte_tel_data *d);

/** Turn the reply into {"error": text}. @return 0 */
int tel_error(struct rte_tel_data *d, const char *fmt, ...) KX_PRINTF(2, 3);
/** A whole parameter string that is one decimal number up to max. @return false for anything else. */
bool tel_number(const char *params, uint64_t max, uint64_t *out);
/** An optional first index of a list: no parameter is 0. @return false for garbage. */
bool tel_first(const char *params, uint64_t *out);
/** A dict inside a dict; NULL without memory. */
struct rte_tel_data *tel_dict(struct rte_tel_data *parent, const char *key);
/** An array inside a dict. */
struct rte_tel_data *tel_array(struct rte_tel_data *parent, const char *key, enum rte_tel_value_type type);
void tel_signed(struct rte_tel_data *d, const char *key, int64_t value);
static inline void tel_u64(struct rte_tel_data *d, const char *key, uint64_t value)
{
	rte_tel_data_add_dict_u64(d, key, value);
}
static inline void tel_counter(struct rte_tel_data *d, const char *key, const uint64_t *counter)
{
	rte_tel_data_add_dict_u64(d, key, kx_counter_read(counter));
}
static inline void tel_text(struct rte_tel_data *d, const char *key, const char *value)
{
	rte_tel_data_add_dict_string(d, key, value);
}
/** Limits of a topic and what is used of them: keys of a dict, 0 where there is none. */
void tel_topic_quota(const struct kx_telemetry_config *c, uint32_t topic, struct rte_tel_data *d);
/** Worker by EAL lcore id. */
struct kx_worker *tel_worker(const struct kx_telemetry_config *c, uint64_t lcore);

/** The ledger of a port: what its driver counted against what the data lcores took and gave. */
struct tel_port_ledger {
	struct kx_telemetry_port_stats port;
	uint64_t rx_frames, tx_frames, tx_dropped, tx_waiting;
	uint64_t arrived; /**< ipackets + imissed + ierrors + rx_nombuf */
	int64_t rx_open, tx_open;
};
/** @return 0 or -errno of the port's stats */
int tel_port_ledger(const struct kx_telemetry_config *c, uint32_t port, struct tel_port_ledger *out);

#endif
