/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The deterministic simulator: broker processes, client processes, hostile peers and a network in one thread,
 * in virtual time, from one seed. doc/testing.md describes it. One struct sim is one run of one seed; nothing
 * here reads a clock, the kernel's random numbers or an address in memory.
 *
 *   world    clock, events, random numbers, trace, the end of a failing run
 *   net      datagrams on their way, links with faults
 *   broker   a broker process of 1..SIM_LCORES data lcores
 *   client   client processes, each with a hub of libkaelix
 *   raw      peers that speak KXP by hand: hostile and lying clients
 *   load     what the applications do
 *   faults   what goes wrong, and when
 *   check    the oracle: what was sent, stored, confirmed, delivered
 *   wire     what each frame on the wire may say
 *   identity who is who (identity.h)
 *   coverage what was reached, over many seeds
 */
#ifndef SIM_H
#define SIM_H

#include <stdarg.h>
#include <stdio.h>

#include "kx_broker.h"
#include "kx_client.h"
#include "flow.h"

#define SIM_LCORES     3
#define SIM_CLIENTS    6
#define SIM_RAWS       2
#define SIM_TOPICS     4
#define SIM_PARTS      40   /* of all topics */
#define SIM_APPS       1024 /* producers of all processes, ever */
#define SIM_CONSUMERS  1024 /* consumers of all processes, ever */
#define SIM_BOOTS      64
#define SIM_INBOX      1024
#define SIM_PORT       9000
#define SIM_MS	       UINT64_C(1000000)
#define SIM_US	       UINT64_C(1000)
#define SIM_EVENTS_MIN 100000 /* events of a seed */
#define SIM_KINDS_MIN  5      /* fault kinds of a seed */

struct sim;

/* ---- what can go wrong: X(identifier, name) */
#define SIM_FAULT_LIST(X)                                                                                    \
	X(LOSS, "loss")                                                                                      \
	X(LOSS_BURST, "loss_burst")                                                                          \
	X(LOSS_FIRST, "loss_first")                                                                          \
	X(LOSS_LAST, "loss_last")                                                                            \
	X(LOSS_ACKS, "loss_acks")                                                                            \
	X(LOSS_NAKS, "loss_naks")                                                                            \
	X(LOSS_CREDITS, "loss_credits")                                                                      \
	X(DUPLICATE, "duplicate")                                                                            \
	X(REORDER, "reorder")                                                                                \
	X(REORDER_LONG, "reorder_long")                                                                      \
	X(CORRUPT, "corrupt")                                                                                \
	X(TRUNCATE, "truncate")                                                                              \
	X(CUT_TO_BROKER, "cut_to_broker")                                                                    \
	X(CUT_TO_CLIENT, "cut_to_client")                                                                    \
	X(MTU_HOLE, "mtu_hole")                                                                              \
	X(SLOW_LINK, "slow_link")                                                                            \
	X(ADDRESS, "address_change")                                                                         \
	X(BROKER_CRASH, "broker_crash")                                                                      \
	X(BROKER_STOP, "broker_stop")                                                                        \
	X(CLIENT_CRASH, "client_crash")                                                                      \
	X(CLIENT_LEAVE, "client_leave")                                                                      \
	X(ZOMBIE, "zombie")                                                                                  \
	X(CLOCK_CLIENT, "clock_jump_client")                                                                 \
	X(CLOCK_BROKER, "clock_jump_broker")                                                                 \
	X(STALL_CLIENT, "stall_client")                                                                      \
	X(STALL_LCORE, "stall_lcore")                                                                        \
	X(NO_BUFFER_CLIENT, "no_buffer_client")                                                              \
	X(NO_BUFFER_BROKER, "no_buffer_broker")                                                              \
	X(NO_NEIGHBOUR, "no_neighbour")                                                                      \
	X(PINS_HELD, "pins_held")                                                                            \
	X(REPLAY, "replay")                                                                                  \
	X(REFLECT, "reflect")                                                                                \
	X(FORGE, "forge")                                                                                    \
	X(TAMPER, "tamper")                                                                                  \
	X(LIAR, "liar")                                                                                      \
	X(WRONG_KEY, "wrong_key")                                                                            \
	X(STOLEN_TICKET, "stolen_ticket")                                                                    \
	X(ROTATION, "key_rotation")                                                                          \
	X(PATH_SHRINKS, "path_shrinks")                                                                      \
	X(PATH_GROWS, "path_grows")
#define SIM_FAULT_PICKED SIM_PATH_SHRINKS /* those before it are faults.c's; paths change by paths.c */
enum sim_fault {
#define SIM_FAULT_ENUM(id, name) SIM_##id,
	SIM_FAULT_LIST(SIM_FAULT_ENUM)
#undef SIM_FAULT_ENUM
		SIM_FAULT_COUNT
};
const char *sim_fault_name(enum sim_fault f);

/* ---- coverage: shared by the processes of a run */
struct sim_coverage {
	uint64_t seeds, events, virtual_ns, datagrams, messages;
	uint64_t to_broker[256], to_client[256]; /* frames that arrived and passed the frame check, by type */
	uint64_t broker_drop[KX_DROP_COUNT], client_drop[KX_DROP_COUNT];
	uint64_t fault[SIM_FAULT_COUNT];
	uint64_t event[32], result[32]; /* of the client library */
	uint64_t reached[SIM_REACHED_COUNT];
};
/* Print the table; @return how many of what must occur did not */
int coverage_print(const struct sim_coverage *c, FILE *out);
void coverage_add(struct sim_coverage *into, const struct sim_coverage *c);

/* ---- world */
enum sim_event {
	EV_ARRIVE,    /* a: flight */
	EV_LAST,      /* a: link, b: flight: nothing followed it */
	EV_LCORE,     /* a: lcore, b: generation */
	EV_CLIENT,    /* a: client, b: generation */
	EV_APP,	      /* a: client, b: incarnation */
	EV_RAW,	      /* a: raw peer */
	EV_FAULT,     /* the next one begins */
	EV_FAULT_END, /* a: kind, b: what it was done to */
	EV_PIN,	      /* a: lcore: the oldest slice left its port */
	EV_BROKER_UP,
	EV_ROTATE,
	EV_CLIENT_UP, /* a: client */
	EV_GIVE_UP,   /* a: client, b: incarnation: it was refused, and is started anew */
	EV_PATH,
	EV_PHASE
};
struct event {
	uint64_t due_ns, order;
	uint32_t kind, a;
	uint64_t b;
};
struct flight {
	uint8_t *data;
	uint32_t bytes;
	uint32_t next; /* free list */
	struct kx_addr from, to;
};

/* One direction between a client process and the broker. */
struct link {
	uint64_t delay_ns, jitter_ns;
	uint32_t loss, enter_burst, leave_burst, duplicate, reorder, corrupt, truncate; /* per mille */
	uint64_t reorder_ns;
	uint64_t lost_types; /* bit: frame type that is lost */
	uint32_t first_left; /* datagrams lost before the first gets through */
	bool bursting, burst, last, cut;
	uint32_t held; /* flight that waits for a successor, KX_NONE */
	uint64_t held_no;
	uint32_t mtu;	     /* largest KXP frame that gets through */
	uint32_t path_bytes; /* likewise, without any fault */
	uint64_t ns_per_kib; /* 0: no limit */
	uint64_t busy_ns;    /* the line is taken until then */
};

/* A frame of a broker's transport that is on its way in or out, and what its port still holds. */
struct pin_wait {
	struct kx_pin *pin;
	const uint8_t *slice; /* log memory that the port reads until it gives the pin back */
	uint32_t bytes, crc;
	uint64_t due_ns;
};
#define SIM_PINS 512

struct lcore {
	struct sim *sim;
	struct kx_broker *broker;
	struct kx_ledger ledger;
	struct kx_addr addr;
	uint8_t *log_memory;
	struct kx_frame inbox[SIM_INBOX];
	uint32_t index, head, count;
	uint32_t rx_frames;  /* inbox places */
	uint64_t generation; /* of its next turn */
	uint64_t wake_ns;
	uint64_t backoff_ns;
	uint64_t stalled_ns;		  /* no turn before */
	uint32_t no_buffer, no_neighbour; /* per mille */
	int64_t buffers;		  /* allocated and not given back */
	uint32_t room, room_left;
	struct pin_wait pins[SIM_PINS];
	uint32_t pin_head, pin_count;
	uint64_t pin_ns;
	uint64_t turns;
	uint64_t turned_ns; /* when the last one began */
};
struct broker {
	bool up;
	struct kx_conf *conf;
	struct kx_auth_secrets secrets;
	struct kx_partition_offsets *offsets;
	uint64_t boot_ids[SIM_BOOTS];
	uint32_t boots; /* started so far; the current one is boots - 1 */
	struct kx_quotas *quotas;
	struct kx_producer_ids *producer_ids;
	struct kx_fence *fence;
	struct kx_auth_principals *principals;
	uint32_t lcore_count;
	struct lcore lcores[SIM_LCORES];
	uint64_t clock_ns; /* local time is now + this */
	uint32_t turn_ns;
	uint32_t datagram_bytes; /* its ports take */
	enum kx_deliver_path deliver_path;
	uint32_t slice_min_bytes, cut_min_bytes;
	bool may_slice, may_forward;
};

/* ---- applications */
#define NOT_STORED UINT64_MAX
/* Messages of one producer to one partition, by number. */
struct app_part {
	uint64_t sent;	     /* accepted by the library */
	uint64_t completed;  /* told by completions, in order */
	uint64_t stored_end; /* one beyond the highest number stored */
	uint64_t left_end;   /* one beyond the highest that its client has put on the wire, whole */
	uint64_t *place;     /* [number]: boot << 48 | offset, or NOT_STORED */
	uint64_t size;
};
struct app_producer {
	struct sim *sim;
	uint32_t id, client, topic;
	struct kx_producer *p; /* NULL: closed */
	bool ready, failed, raw, auto_key;
	bool polled, abandoned; /* closed with completions that were never taken */
	uint64_t failed_at_ns;
	struct app_part parts[20];
	uint64_t ok, not_ok;
};
/* Why a consumer's next offset is not the one behind the last. */
struct jump {
	uint32_t part, boot;
	uint64_t first, to;
	bool truncated;
};
#define SIM_JUMPS 128
struct app_consumer {
	struct sim *sim;
	uint32_t id, client, topic;
	int32_t partition;
	struct kx_consumer *c;
	bool ready, failed, polled, started[20];
	bool drain, manual, paused[20];
	uint64_t from[20];  /* offset asked for */
	uint64_t acked[20]; /* manual: done with everything below */
	uint32_t boot[20];
	uint64_t next[20];	 /* expected offset */
	uint64_t open_first[20]; /* first offset when it was opened */
	uint32_t batch_at[20];	 /* index of the model's batch at `next`, a hint */
	uint64_t messages;
	struct jump jumps[SIM_JUMPS]; /* polled: told, and not yet reached */
	uint32_t jump_count;
	uint64_t rest_ns, rest_end_ns; /* polled: nothing is taken between these */
};

/* Who a process says it is. */
struct who {
	uint32_t principal, generation; /* of its key */
	uint64_t id;			/* producer it goes on as */
};

struct throttle {
	uint32_t cause, told; /* enum kx_blocked; bit: cause that a receipt named */
	uint64_t since_ns;
};

#define SIM_PROC_PRODUCERS 3
#define SIM_PROC_CONSUMERS 3
struct client {
	struct sim *sim;
	uint32_t index, incarnation;
	bool up, muted; /* muted: crashed, its last words are not sent */
	struct kx_hub *hub;
	struct kx_client *c;
	struct kx_addr addr;
	struct kx_frame inbox[SIM_INBOX];
	uint32_t head, count;
	uint64_t generation, wake_ns;
	uint64_t clock_ns, frozen_ns;
	uint32_t no_buffer;
	int64_t buffers;
	uint32_t room;
	bool connected;
	struct who who;
	uint64_t take_id; /* producer that its next incarnation takes over; 0: none */
	struct app_producer *producers[SIM_PROC_PRODUCERS];
	struct app_consumer *consumers[SIM_PROC_CONSUMERS];
	uint64_t drops_seen[KX_DROP_COUNT];
	uint32_t busy; /* messages an action sends */
	uint32_t datagram_bytes;
	uint32_t shorts; /* times that it had no buffer */
	struct throttle throttle[SIM_LCORES];
	uint32_t idle_turns; /* asked for at once, and nothing was done */
	uint64_t foreign;    /* frames of this turn that nobody may accept */
};

/* ---- raw peers */
enum raw_state { RAW_IDLE, RAW_HELLO, RAW_AUTH, RAW_OPEN };
struct raw {
	struct sim *sim;
	uint32_t index, lcore;
	struct kx_addr addr;
	enum raw_state state;
	bool active, same_id; /* same_id: the ticket of the session before is used */
	uint64_t since_ns;    /* in this state */
	uint8_t nonce[KX_NONCE_BYTES];
	struct kx_cookie cookie;
	uint8_t ticket[KX_TICKET_BYTES];
	uint64_t conn_id, boot_id, pkt_no, producer_id, largest_pkt;
	uint32_t producer_epoch, sub_id;
	uint64_t sub_next[4]; /* of subscriptions 1..4 */
	uint64_t seq[SIM_PARTS];
	struct app_producer *apps[SIM_TOPICS];
	uint32_t principal;
	struct kx_key key;
	uint8_t secret[KX_AUTH_SECRET_BYTES];
	struct kx_auth_protect protect;
};

/* ---- the oracle's model */
struct mbatch {
	uint64_t base, first_seq, producer_id, first_n;
	uint32_t records, data_crc, bytes, app, producer_epoch;
};
struct mpart {
	struct mbatch *batches;
	uint32_t count, size;
	uint64_t next_offset, first_offset;
};
struct stream { /* (producer id, partition) of the current boot */
	uint64_t producer_id, next_seq, next_offset;
	uint32_t partition, epoch;
};
struct oracle {
	struct mpart *parts[SIM_BOOTS]; /* [boot][partition] */
	struct kx_map stream_map;
	struct stream *streams;
	uint32_t stream_count, stream_size;
	uint64_t appended, delivered, confirmed;
	uint64_t unconfirmed; /* completions other than OK */
};

#define REPLAYS 64
struct net {
	struct flight *flights;
	uint32_t flight_size, flight_free;
	struct link links[SIM_CLIENTS + SIM_RAWS][2]; /* 0: to the broker, 1: to the client */
	struct flight replay[REPLAYS];		      /* recorded frames, either way */
	uint32_t replay_count;
	uint64_t sent, lost, arrived, on_way;
	uint32_t overtaken; /* so many next frames of protected sessions: a copy is there first */
	uint64_t held_no;
};

struct wire;
struct identity;
struct seal;
struct takeover;
struct sim {
	uint64_t seed, now_ns, begin_ns, chaos_end_ns, end_ns, least_ns;
	bool trace, calm, leaving, done;
	struct kx_prng prng;	    /* what the world does */
	struct kx_prng secret_prng; /* what the product takes for the kernel's */
	uint64_t hash;
	uint64_t events;
	struct event *heap;
	uint32_t heap_count, heap_size;
	uint64_t order;
	struct net net;
	struct broker broker;
	struct client clients[SIM_CLIENTS];
	uint32_t client_count;
	uint64_t ids[SIM_CLIENTS]; /* the producer id that each process had last: the next one may take it
				      over */
	struct raw raws[SIM_RAWS];
	uint32_t raw_count;
	struct app_producer *apps[SIM_APPS];
	uint32_t app_count;
	struct app_consumer *consumers[SIM_CONSUMERS];
	uint32_t consumer_count;
	uint64_t app_gap_ns; /* mean time between two actions of a process */
	uint64_t fault_gap_ns;
	uint64_t faults_on; /* bit: kind used by this seed */
	uint64_t faults_seen;
	struct oracle oracle;
	struct wire *wire;
	struct identity *identity;
	struct seal *seal;
	struct takeover *takeover;
	uint32_t features; /* enum sim_feature */
	struct flow *flow;
	struct sim_coverage coverage;
};

/* world.c */
extern struct sim *sim_current;
void sim_run(struct sim *s, uint64_t seconds);
void sim_free(struct sim *s);
void sim_at(struct sim *s, uint64_t due_ns, enum sim_event kind, uint32_t a, uint64_t b);
void sim_fail(struct sim *s, const char *fmt, ...) KX_PRINTF(2, 3) __attribute__((noreturn));
void sim_trace(struct sim *s, const char *fmt, ...) KX_PRINTF(2, 3);
void sim_mix(struct sim *s, uint64_t value); /* into the trace hash */
#define SIM_CHECK(s, cond, ...)                                                                              \
	do {                                                                                                 \
		if (kx_unlikely(!(cond)))                                                                    \
			sim_fail(s, __VA_ARGS__);                                                            \
	} while (0)
#define TRACE(s, ...)                                                                                        \
	do {                                                                                                 \
		if (kx_unlikely((s)->trace))                                                                 \
			sim_trace(s, __VA_ARGS__);                                                           \
	} while (0)
static inline uint64_t pick(struct sim *s, uint64_t bound)
{
	return kx_prng_below(&s->prng, bound);
}
static inline uint64_t pick_in(struct sim *s, uint64_t lo, uint64_t hi)
{
	return lo + kx_prng_below(&s->prng, hi - lo + 1);
}
static inline bool chance(struct sim *s, uint32_t per_mille)
{
	return per_mille != 0 && kx_prng_below(&s->prng, 1000) < per_mille;
}
static inline void fault_hit(struct sim *s, enum sim_fault f)
{
	s->coverage.fault[f]++;
	s->faults_seen |= UINT64_C(1) << f;
}

/* net.c */
void net_init(struct sim *s);
void net_free(struct sim *s);
/* Takes data (malloc). */
void net_send(
	struct sim *s, const struct kx_addr *from, const struct kx_addr *to, uint8_t *data, uint32_t bytes);
void net_arrive(struct sim *s, uint32_t flight);
void net_last(struct sim *s, uint32_t link, uint64_t held_no);
void net_calm(struct sim *s); /* no faults on any link */
/* A datagram into the network as it is, from anywhere. Copies. */
void net_inject(struct sim *s, const struct kx_addr *from, const struct kx_addr *to, const uint8_t *data,
	uint32_t bytes, uint64_t delay_ns);
struct kx_addr net_address(uint32_t net, uint32_t host, uint16_t port);

/* broker.c */
void broker_init(struct sim *s);
void broker_free(struct sim *s);
void broker_up(struct sim *s);
void broker_down(struct sim *s, bool clean);
void lcore_arrive(struct lcore *l, struct flight *f);
void lcore_turn(struct lcore *l, uint64_t generation);
void lcore_wake(struct lcore *l, uint64_t due_ns);
void lcore_pin_due(struct lcore *l);
const char *sim_topic_name(uint32_t topic);

/* client.c */
void client_up(struct client *c);
void client_down(struct client *c, bool crash);
void client_arrive(struct client *c, struct flight *f);
void client_poll(struct client *c, uint64_t generation);
void client_wake(struct client *c, uint64_t due_ns);
static inline uint64_t client_now(const struct client *c)
{
	return c->sim->now_ns + c->clock_ns;
}
void client_count_drops(struct client *c);

/* load.c */
void load_init(struct sim *s);
void load_action(struct client *c);
void load_settle(struct sim *s);     /* the calm has begun */
void load_process(struct client *c); /* a process came up: open what it needs */
void load_forget(struct client *c);  /* it goes down */
struct app_producer *load_app(struct sim *s, uint32_t client, uint32_t topic);
uint32_t load_value_bytes(uint32_t app, uint32_t part, uint64_t n, uint32_t max);
/* The content of message n of a producer: identity in front. */
#define LOAD_HEAD 16
void load_fill(uint8_t *to, uint32_t bytes, uint32_t app, uint32_t part, uint64_t n);
bool load_check(const uint8_t *value, uint32_t bytes, uint32_t *app, uint32_t *part, uint64_t *n);
void load_consume(struct client *c, uint32_t max);

/* faults.c */
void faults_init(struct sim *s);
void faults_next(struct sim *s);
void faults_end(struct sim *s, uint32_t kind, uint64_t what);
void faults_stop(struct sim *s);

/* raw.c, hostile.c */
void raw_init(struct sim *s);
void raw_free(struct sim *s);
void raw_act(struct raw *r);
void raw_arrive(struct raw *r, struct flight *f);
void raw_frame(struct raw *r, enum kx_frame_type type, const void *body, uint32_t bytes);
void raw_send(struct raw *r, uint8_t *frame, uint32_t bytes); /* as it is */
/* Sealed as the session's frames are: behind it there are KX_TAG_BYTES. */
void raw_send_sealed(struct raw *r, uint8_t *frame, uint32_t bytes);
void raw_lie(struct raw *r);
void hostile_replay(struct sim *s);
void hostile_reflect(struct sim *s);
void hostile_forge(struct sim *s);
void hostile_crowd(struct lcore *l); /* frames of before stand in its inbox */
void hostile_begin(struct sim *s);
/* A frame is sent: its copy from elsewhere is faster, if it is of a protected session. */
bool hostile_overtake(struct sim *s, const struct flight *f);

/* check.c */
void check_init(struct sim *s);
void check_free(struct sim *s);
void check_boot(struct sim *s);
void check_lcore(struct lcore *l); /* after each turn */
void check_completion(void *app_producer, const struct kx_completion *c);
void check_batch(void *app_consumer, const struct kx_batch_view *v);
void check_polled(struct app_consumer *c, const struct kx_polled *m);
void check_event(void *client, const struct kx_event *e);
bool check_is_settled(struct sim *s, bool print);
bool check_is_empty(struct sim *s, bool print);
void check_ingest(struct lcore *l);
const struct mbatch *check_batch_at(const struct mpart *p, uint64_t offset, uint32_t *hint);
void check_end(struct sim *s);
uint32_t check_boot_index(struct sim *s, uint64_t boot_id);
struct stream *check_stream(struct sim *s, uint64_t producer_id, uint32_t partition, bool make);

/* wire.c */
void wire_init(struct sim *s);
void wire_free(struct sim *s);
void wire_from_broker(struct sim *s, struct lcore *l, const uint8_t *data, uint32_t bytes, bool to_raw);
void wire_from_client(struct sim *s, const struct client *c, const uint8_t *data, uint32_t bytes);
/* The same when they get there: what the other side knows now. */
void wire_client_took(struct sim *s, struct client *k, const uint8_t *data, uint32_t bytes, uint32_t lcore);
void wire_broker_took(struct sim *s, const uint8_t *data, uint32_t bytes);
uint32_t wire_epoch(struct sim *s, uint64_t producer_id); /* highest in an ACCEPT that left */

#endif
