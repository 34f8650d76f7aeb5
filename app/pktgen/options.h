/* SPDX-License-Identifier: BSD-3-Clause */
/** @file The generator's command line (behind EAL's `--`). */
#ifndef PG_OPTIONS_H
#define PG_OPTIONS_H

#include "kx_session.h"
#include "schedule.h"

enum pg_mode { PG_ECHO, PG_PRODUCE, PG_CONSUME, PG_E2E };
enum pg_verify { PG_VERIFY_SAMPLE, PG_VERIFY_FULL };

#define PG_NAME_MAX 63

struct pg_options {
	enum pg_mode mode;
	enum pg_verify verify;
	enum pg_arrivals arrivals;
	double rate_per_s;    /**< messages, in echo frames; 0 with PG_MAX */
	uint32_t burst_ticks; /**< PG_BURST: sends back to back */
	double seconds;	      /**< measured, behind the warm-up */
	double hold_s;	      /**< longest wait for the peer to leave, after the result; 0: none */
	double warmup_s;      /**< < 0: by rule */
	uint32_t frame_bytes; /**< echo */
	uint32_t window;      /**< echo at max: frames on the way */
	uint32_t payload_bytes;
	uint32_t batch; /**< messages a send; 0: what fits a frame */
	uint32_t producers, consumers;
	enum kx_protect frames;
	const char *principal; /**< NULL: anonymous */
	struct kx_key key;     /**< of no length: none */
	uint32_t setup;	       /**< sessions to open one after another, instead of a mode; 0: none */
	uint64_t streams;      /**< keys; 0: none, partitions in turn */
	char topic[KX_TOPIC_NAME_MAX + 1];
	struct kx_addr broker;
	uint8_t local_ip[16];
	uint8_t local_prefix_bits;
	uint16_t local_port;
	uint64_t start_offset; /**< consume */
	uint32_t window_bytes; /**< consumer's credit a partition */
	uint32_t send_slots;   /**< batches a producer keeps until acknowledged; 0: library's default */
	uint64_t late_ns;      /**< slower than this is late: +infinity in the histogram */
	uint64_t drain_ns;     /**< longest wait for what is on the way at the end */
	uint64_t seed;
	uint16_t port;		      /**< DPDK port index */
	uint16_t descs;		      /**< of each queue; 0: device's default */
	uint16_t mtu;		      /**< bytes of IP packet */
	uint32_t turn_sends;	      /**< sends a loop turn at most */
	bool quiet;		      /**< no progress line */
	const char *name;	      /**< of the result; NULL: by mode and rate */
	const char *ready;	      /**< file made once the port is started; NULL: none */
	const char *json;	      /**< file; NULL: none */
	const char *broker_telemetry; /**< EAL file prefix of the broker; NULL: none */
};

enum pg_parsed { PG_PARSE_RUN, PG_PARSE_HELP, PG_PARSE_ERROR };

/**
 * Parse argv[1..argc-1] (argv[0] is skipped). Every value is checked for range and for contradictions.
 * @param error  gets one line that names the option and what is allowed
 */
enum pg_parsed pg_options_parse(struct pg_options *o, int argc, char *const *argv, struct kx_text *error);
const char *pg_options_help(void);
const char *pg_mode_name(enum pg_mode mode);
/** Name of the result: --name, else by mode and rate. */
const char *pg_options_name(const struct pg_options *o);

#endif
