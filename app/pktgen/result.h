/* SPDX-License-Identifier: BSD-3-Clause */
/** @file What a run found, whether it may be believed, and how it is written: table and JSON. */
#ifndef PG_RESULT_H
#define PG_RESULT_H

#include "json.h"
#include "options.h"

/** One second of the measured time. */
struct pg_interval {
	uint64_t messages;		 /**< received */
	uint64_t p50_ns, p99_ns, max_ns; /**< 0 where too few */
};

/** Percentiles that came as numbers (the broker's residence time). */
struct pg_summary {
	bool known;
	uint64_t count, mean_ns, p50_ns, p90_ns, p95_ns, p99_ns, p999_ns, max_ns;
};

#define PG_WHY_BYTES 192

struct pg_result {
	const struct pg_options *options;
	char wire[32];			 /**< "memif", "ring", "af_xdp", ..., or the driver's name */
	bool software_wire;		 /**< no NIC takes part */
	char durability[12], overrun[8]; /**< of the topic; "" in echo */
	uint32_t frame_bytes;		 /**< Ethernet frame without FCS that carries the messages */
	uint32_t datagram_bytes;	 /**< largest KXP frame of the sessions when the load began */
	uint32_t batch;			 /**< messages a send, resolved */
	uint32_t fit;			 /**< messages a frame takes */
	uint32_t partitions;
	uint32_t fanout; /**< consumers that each get every message; 1 where there are none */
	double seconds;	 /**< measured */
	double warmup_s;
	double cpu_seconds;		     /**< of these the loop had the CPU; the rest was taken from it */
	uint64_t sent, received;	     /**< in the measured time: messages, in echo frames */
	uint64_t due;			     /**< by the schedule in that time */
	double frames_per_message;	     /**< of the frames first sent; 1 in echo */
	uint64_t total_sent, total_received; /**< whole run, what the books below are about */
	uint64_t lost, duplicated, reordered, corrupt, late;
	uint64_t foreign; /**< messages of others on the topic, or frames that are not ours */
	uint64_t failed;  /**< messages completed with an error */
	uint64_t retransmitted_frames, naks, congestions;
	uint64_t mtu_falls;	/**< times that a session went back to smaller frames */
	uint64_t blocked_turns; /**< turns in which messages waited for credit: throttled */
	struct kx_hist *latency, *ack, *lag, *idle; /**< NULL: not measured in this mode */
	struct pg_summary residence;
	uint64_t max_gap_ns, gaps_over_1ms; /**< of the loop, measured time */
	struct pg_interval *intervals;
	uint32_t interval_count;
	bool complete;		    /**< sessions stood, nothing was cut short */
	char trouble[PG_WHY_BYTES]; /**< why not complete */
	/* Filled by pg_result_judge(): */
	bool valid;
	char why[PG_WHY_BYTES]; /**< why not valid */
};

#define PG_QUANTILES 5
extern const double pg_quantile[PG_QUANTILES];
extern const char *const pg_quantile_key[PG_QUANTILES];

/**
 * Apply the rules: an open loop must have sent 99.9 % of what it offered, with a schedule lag whose median is
 * at most 10 % of the latency's; nothing may be lost, duplicated, reordered or corrupt; the run must be
 * complete.
 */
void pg_result_judge(struct pg_result *r);
/** Verdict on one percentile: lag there at most 10 % of the latency there. False where either is unknown. */
bool pg_result_quantile_valid(const struct pg_result *r, double q);
/** Messages (frames) a second that every consumer received; in produce mode acknowledged. */
double pg_result_per_s(const struct pg_result *r);
/** Last third of the measured seconds against the first third; 0 with fewer than 3. */
double pg_result_drift(const struct pg_result *r);
void pg_result_print(const struct pg_result *r, FILE *out);
/** The member of "results". */
void pg_result_json(const struct pg_result *r, struct pg_json *j);

#endif
