/* SPDX-License-Identifier: BSD-3-Clause */
/** @file The line a second, and the intervals of the result; runs on the main lcore, which otherwise sleeps.
 */
#ifndef PG_PROGRESS_H
#define PG_PROGRESS_H

#include "run.h"

struct pg_progress {
	struct pg_run *run;
	struct kx_hist *before; /**< histogram a second ago */
	uint64_t received, at_ns;
	enum pg_phase phase;
	uint32_t room; /**< of run->result.intervals */
};

int pg_progress_init(struct pg_progress *p, struct pg_run *run);
void pg_progress_fini(struct pg_progress *p);
/** Sleep and print until the loop is done. */
void pg_progress_watch(struct pg_progress *p);

#endif
