/* SPDX-License-Identifier: BSD-3-Clause */
/** @file Fingerprint: what a figure depends on besides the code under test. */
#ifndef PG_FINGERPRINT_H
#define PG_FINGERPRINT_H

#include "json.h"

/** The member "fingerprint": CPU, kernel, governor, hugepages, NUMA, versions, flags, git commit, wire. */
void pg_fingerprint_json(struct pg_json *j, const char *dpdk_version, const char *wire, const char *driver,
	double ticks_per_ns);

#endif
