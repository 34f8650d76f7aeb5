/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Simulator, part of sim.h: what holds senders and readers back. Each seed has some of the features; what
 * they decide comes from a generator of their own, so that the rest of a seed is the same without them.
 *
 *   quota    rates of topics and principals: the account that the oracle keeps, and who waits for it
 *   control  seek, pause, acknowledge by consumers; completions that are polled
 *   paths    sizes of datagrams that change, and differ by direction
 *   credit   what may be sent: the sums behind it after each turn
 */
#ifndef SIM_FLOW_H
#define SIM_FLOW_H

#include "kx_broker.h"
#include "kx_client.h"

enum sim_feature {
	FLOW_QUOTA = 1,	  /* topics and principals have rates */
	FLOW_CONTROL = 2, /* consumers seek, pause, acknowledge themselves */
	FLOW_POLLED = 4,  /* completions are polled */
	FLOW_PATHS = 8	  /* datagrams larger than the base, and paths whose size changes */
};

/* ---- what has to be reached over all seeds: X(identifier, name) */
#define SIM_REACHED_LIST(X)                                                                                  \
	X(QUOTA_TOPIC, "topic_in_debt")                                                                      \
	X(QUOTA_PRINCIPAL, "principal_in_debt")                                                              \
	X(THROTTLED_QUOTA, "throttled_by_quota")                                                             \
	X(THROTTLED_LOG, "throttled_by_log")                                                                 \
	X(SEEK_BACK, "seek_backward")                                                                        \
	X(SEEK_FORWARD, "seek_forward")                                                                      \
	X(SEEK_BEGIN, "seek_begin")                                                                          \
	X(SEEK_END, "seek_end")                                                                              \
	X(SEEK_BEYOND, "seek_beyond_end")                                                                    \
	X(SEEK_IN_BATCH, "seek_in_callback")                                                                 \
	X(PAUSE, "pause")                                                                                    \
	X(RESUME, "resume")                                                                                  \
	X(ACK, "acknowledge")                                                                                \
	X(ACK_BEYOND, "acknowledge_beyond")                                                                  \
	X(POLLED, "completion_polled")                                                                       \
	X(JUMBO_IN, "jumbo_to_broker")                                                                       \
	X(JUMBO_OUT, "jumbo_to_client")                                                                      \
	X(MTU_FALL, "fall_to_base")                                                                          \
	X(SPLIT_IN, "batch_in_parts_in")                                                                     \
	X(SPLIT_OUT, "batch_in_parts_out")
enum sim_reached {
#define SIM_REACHED_ENUM(id, name) REACHED_##id,
	SIM_REACHED_LIST(SIM_REACHED_ENUM)
#undef SIM_REACHED_ENUM
		SIM_REACHED_COUNT
};
const char *sim_reached_name(enum sim_reached r);

struct sim;
struct lcore;
struct client;
struct app_consumer;
struct app_producer;
struct flow;

/* quota.c */
void flow_init(struct sim *s);
void flow_free(struct sim *s);
void flow_boot(struct sim *s);
uint64_t flow_pick(struct sim *s, uint64_t bound);
bool flow_chance(struct sim *s, uint32_t per_mille);
void quota_ini_topic(struct sim *s, struct kx_text *t);
void quota_ini_principal(struct sim *s, struct kx_text *t);
void quota_accepted(struct sim *s, const struct lcore *l, const struct kx_accept *a);
/* One received frame, before and after the broker took it. */
void quota_frame(struct lcore *l, const uint8_t *data, uint32_t bytes);
void quota_framed(struct lcore *l, uint64_t local_ns);
void quota_stored(struct sim *s, const struct kx_batch_hdr *b);
void quota_turn(struct lcore *l, uint64_t local_ns);
void quota_told(struct sim *s, uint64_t conn_id, const struct kx_receipt *r);

/* throttle.c: THROTTLED and RESUMED */
void throttle_took(struct client *c, uint32_t lcore, uint8_t blocked);
void throttle_event(struct client *c, const struct kx_event *e);
void throttle_forget(struct client *c); /* the process is gone */
bool throttle_settled(const struct sim *s, bool print);

/* control.c */
void control_open(struct app_consumer *a, struct kx_consumer_opts *opts);
void control_act(struct client *c);
void control_in_batch(struct app_consumer *a, const struct kx_batch_view *v);
void control_settle(struct client *c);
/* What a CREDIT of this client may say: its application is done with everything below; the subscription began
 * at `begin`. */
void control_done(const struct client *c, uint32_t partition, uint64_t begin, uint64_t done);
void control_complete(struct client *c, uint32_t max); /* polled completions */
void control_abandon(struct app_producer *a);	       /* what is still pending is never told */

/* paths.c */
void paths_init(struct sim *s);
void paths_begin(struct sim *s);
void paths_change(struct sim *s); /* some path carries more or less than before */
uint32_t paths_client_bytes(const struct client *c);
void paths_slots(struct sim *s, struct kx_producer_opts *opts);
void paths_holds(struct sim *s, struct kx_consumer_opts *opts);

#endif
