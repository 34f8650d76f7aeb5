/* SPDX-License-Identifier: BSD-3-Clause */
/** @file The broker's own view of a run, asked over its DPDK telemetry socket. */
#ifndef PG_BROKER_TELEMETRY_H
#define PG_BROKER_TELEMETRY_H

#include "result.h"

/**
 * Residence (RX burst -> TX burst) since the broker's start, from /kaelix/latency. *out stays unknown when
 * there is no such broker, or it measures none.
 * @param prefix  EAL file prefix of the broker
 */
void pg_broker_residence(const char *prefix, struct pg_summary *out);

/** The numbers of object "residence" in the answer; absent percentiles are 0. */
void pg_residence_parse(const char *answer, struct pg_summary *out);

#endif
