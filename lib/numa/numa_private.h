/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * Inside lib/numa: one decision while it is made.
 */
#ifndef KX_NUMA_PRIVATE_H
#define KX_NUMA_PRIVATE_H

#include "kx_numa.h"

struct decision {
	const struct kx_numa_topology *t;
	const struct kx_numa_request *r;
	struct kx_numa_placement *p;
	struct kx_text reasons;
	struct kx_text warnings;
};

void numa_reason(struct decision *d, const char *fmt, ...) KX_PRINTF(2, 3);
void numa_warn(struct decision *d, const char *fmt, ...) KX_PRINTF(2, 3);
/* What is true of a CPU that /sys does not list: its own core on no known node. */
struct kx_numa_cpu numa_cpu(const struct kx_numa_topology *t, uint16_t cpu);
/* report.c: memory nodes, ports, and a line for everything that does not fit together. */
void numa_report(struct decision *d);

#endif
