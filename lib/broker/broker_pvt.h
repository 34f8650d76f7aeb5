/* SPDX-License-Identifier: BSD-3-Clause */
/* Private to lib/broker. One owner: the data lcore's thread; `info` fields are also read by telemetry. */
#ifndef KX_BROKER_PVT_H
#define KX_BROKER_PVT_H

#include "kx_broker.h"

#define QUOTA_WORDS	   (KX_CONF_TOPICS_MAX / 64)
/* (partition, producer state) pairs a session remembers; a cache for plain topics */
#define SESSION_PARTS	   8
/* producer states whose commit is to be acknowledged; more force an early frame */
#define SESSION_DIRTY	   27
/* duplicates to be answered with their own offset; with the former they fit 1216 bytes */
#define SESSION_REPEATS	   8
/* take-overs whose ACCEPT waits for other lcores; more wait for the next AUTH */
#define FENCE_WAITING_MAX  64
/* blocking partitions a session may hold credit for */
#define SESSION_BLOCKS	   16
/* packets a client may still take out of order: we never repair by number */
#define FLOOR_BACK	   1024
/* a batch may be ahead of its producer's next one */
#define HOLD_RECORDS_AHEAD (UINT64_C(1) << 24)
/* not of the set-up budget: old connections keep no new client out */
#define RESETS_PER_TURN	   4

enum list_id {
	LIST_ACK,    /* acknowledgements to send */
	LIST_GAP,    /* holes to NAK */
	LIST_WAIT,   /* no credit: for room, buffers or quota */
	LIST_PARKED, /* sessions whose deliveries may not leave now, or repairs: ready.c */
	LIST_COUNT
};
struct session_list {
	uint32_t *slots;
	uint32_t count, cursor;
};

/* What subscriptions of a session that may have something to send are (ready.c); the first two also are the
 * queues of sessions that have some. */
enum sub_class { SUB_FRESH, SUB_BEHIND, SUB_REPAIRS, SUB_CLASSES };
#define TURN_CLASSES 2
struct turn_queue {
	uint32_t head, tail;
};

struct session_part {
	struct kx_partition *p;
	uint32_t partition;
	uint32_t producer; /* index, KX_NONE: empty */
};
/* A duplicate whose place in the log is remembered. */
struct session_repeat {
	uint32_t partition;
	uint32_t zero;
	uint64_t next_seq, next_offset;
};

struct session {
	/* looked at for every frame */
	uint64_t conn_id; /* 0: free slot */
	struct kx_addr remote;
	const struct kx_auth_principal *principal;
	struct kx_auth_protect *protect;   /* NULL: plain frames */
	struct kx_producer_id *registered; /* its epoch now: another than ours fences us */
	uint64_t producer_id;
	uint32_t producer_epoch;
	uint32_t slot;
	uint64_t used_bytes;  /* batch bytes taken (first time) */
	uint64_t limit_bytes; /* granted */
	uint64_t limit_pkt;
	uint32_t held; /* frames of its producers that wait for one before them */
	uint64_t tx_next_pkt;
	uint64_t last_rx_ns;
	uint32_t granted;	 /* packets it may send now: its part of granted_pkts */
	uint32_t produced;	 /* packets taken since it was weighed */
	uint32_t at[LIST_COUNT]; /* place on each list; KX_NONE */
	bool ack_now;		 /* a receipt is due even without a commit */
	bool loose;		 /* could still send to any partition that blocks */
	bool asks;		 /* its probe said that data wait */
	uint8_t key_index;	 /* which of its principal's keys it proved */
	bool fence_listed;	 /* ACCEPT waits until all lcores know our epoch */
	uint8_t blocked;
	uint8_t refused;   /* enum kx_blocked: why a frame within its credit was not taken, as long as that is
			      so */
	uint8_t tag_bytes; /* behind every frame */
	uint8_t repeat_count;
	uint16_t dirty_count;
	uint32_t dirty[SESSION_DIRTY];
	struct session_part parts[SESSION_PARTS];
	uint32_t block_count, block_next;
	struct kx_partition *blocks[SESSION_BLOCKS]; /* their reserved_bytes count our unused credit */
	struct kx_rxwin rx;
	struct kx_path path;
	/* rarely */
	uint32_t active_at;	/* index in broker's active list */
	uint32_t weight;	/* recent use of packets */
	uint32_t largest_batch; /* it has sent */
	uint32_t refused_bytes;
	struct kx_partition *refused_part;
	uint64_t weighed_ns;
	/* limited topics it writes to, wrote to since the last tick; those that know it: quota.c */
	uint64_t quota_topics[QUOTA_WORDS], quota_recent[QUOTA_WORDS], quota_known[QUOTA_WORDS];
	uint64_t quota_allowed; /* bytes that those that know it take in spite of their debt */
	uint64_t quota_messages_per_s, quota_bytes_per_s; /* the slowest it ever wrote to; 0: none */
	uint64_t quota_large_ns;			  /* no credit for more than they give ahead before */
	uint64_t quota_messages, quota_bytes;		  /* taken: their mean size */
	uint64_t nonce_key;
	uint8_t client_nonce[KX_NONCE_BYTES];
	uint64_t created_ns;
	uint64_t challenge_ns; /* no PATH_CHALLENGE before */
	/* size of frames: path.datagram_bytes is what is sent now */
	uint16_t mtu_base, mtu_most; /* before any probe; that ACCEPT named */
	uint16_t mtu_answered;	     /* largest probe that was answered */
	uint16_t mtu_answers;	     /* since then */
	uint64_t mtu_since_ns;
	uint64_t mtu_pkt;     /* number of the newest probe */
	uint64_t response_ns; /* no PATH_RESPONSE is looked at before */
	uint64_t next_heartbeat_ns;
	uint64_t timed_pkt, timed_ns; /* one packet at a time is timed: rtt */
	struct kx_rtt rtt;
	/* deliveries: congestion, budget of repairs */
	struct kx_cc cc;
	struct kx_retx_budget repairs;
	uint64_t acked_pkt;		/* highest number that the client has named as received */
	uint32_t others, others_before; /* frames that are no deliveries, since the last receipt and before */
	uint64_t parked_ns;		/* paced: until then, or a receipt */
	struct turn_queue queues[SUB_CLASSES];
	uint32_t turn_next[TURN_CLASSES], turn_prev[TURN_CLASSES];
	bool in_turn[TURN_CLASSES];
	bool paced;	     /* nothing may be delivered: in no turn */
	uint64_t unheard_ns; /* no receipt: one delivery goes beyond the window then */
	uint32_t subs;	     /* list head */
	uint32_t tick_sub;   /* the next one that a tick looks at; KX_NONE: the first */
	uint32_t beat_left;  /* of them that the present heartbeat has still to look at */
	uint32_t producers;  /* list head: producer states this session writes to */
	uint32_t again;	     /* of them, the next one to be told again; KX_NONE: the first */
	uint32_t sub_count;
	uint32_t reassembly_count;
	uint32_t fence_at;
	uint64_t request_turn; /* in which it was last served one */
	uint64_t fence_generation;
	struct session_repeat repeats[SESSION_REPEATS];
	struct kx_session_info info;
} KX_ALIGNED(KX_CACHE_LINE);

/* What a repeated AUTH is answered with, and how it is known. */
struct accept_kept {
	uint8_t cookie[KX_COOKIE_BYTES];
	struct kx_accept accept;
};

enum reassembly_state { RE_FREE = 0, RE_FILLING, RE_VERIFYING, RE_READY, RE_STOPPED };
/* One large batch on its way in. */
struct reassembly {
	enum reassembly_state state;
	uint32_t session;
	uint32_t partition;
	uint32_t producer;
	uint32_t batch_bytes, part_bytes;
	uint32_t received_parts, total_parts;
	uint32_t verified_bytes, crc;
	uint64_t first_seq;
	uint64_t cut_pkt;     /* number of the first part that was cut so */
	uint64_t progress_ns; /* last new part */
	uint64_t *bits;	      /* received parts */
	uint32_t *extents;    /* extent numbers by piece */
};

/* What this turn did for a topic whose residence is measured. */
struct topic_turn {
	struct kx_hist *hist;
	uint64_t rx_ns, delivered;
};
#define LATE_MAX 256
struct late {
	uint64_t rx_ns;
	uint32_t topic;
};

struct kx_broker {
	struct kx_broker_config config;
	const struct kx_transport_ops *ops;
	void *tx;
	struct kx_topic_table topics;
	struct kx_auth_ctx *auth;
	const struct kx_auth_principals *principals;
	struct kx_auth_principals *own_principals;	  /* when the configuration gave none */
	struct kx_principal_counters *principal_counters; /* by number; one more for unknown names */
	struct accept_kept *accepts;			  /* by session slot */
	struct session *sessions;
	struct session *last;		  /* whose frame came last: most bursts are runs of one session's */
	struct kx_auth_protect *protects; /* by session slot; NULL: all sessions are plain */
	uint32_t session_total, session_used, session_free;
	uint32_t *session_next_free; /* of free slots, and of those closed in part */
	uint32_t closing_head, closing_tail;
	uint32_t *active;			    /* slots in use, dense */
	struct kx_map conn_map, nonce_map, sub_map; /* sub_map: (session, sub_id) -> subscription */
	struct session_list lists[LIST_COUNT];
	uint32_t *drain_list; /* producer states with held batches that are due: no room, or too many for
				     one go */
	uint32_t drain_head, drain_count, drain_size; /* a ring */
	uint32_t fence_list[FENCE_WAITING_MAX], fence_count;
	uint64_t fence_published;
	struct turn_queue turns_of[TURN_CLASSES];
	uint64_t fresh_ns;			     /* when something fresh was delivered last */
	uint32_t starved_turns;			     /* in a row, without room for those behind */
	uint32_t *dirty_parts, dirty_count;	     /* partitions (ids) to publish */
	uint32_t *wake_parts, wake_head, wake_count; /* a ring: those with subscriptions to wake */
	struct reassembly *reassemblies;
	uint32_t reassembly_total, reassembly_used, verifying, verify_cursor, stale_cursor;
	uint32_t gap_cursor; /* of producer states */
	uint64_t *reassembly_bits;
	uint32_t *reassembly_extents;
	uint64_t now_ns;
	uint64_t real_ns; /* CLOCK_REALTIME of this turn, derived: no system call */
	int64_t real_minus_mono_ns;
	uint64_t turn;
	struct topic_turn turns[KX_BROKER_RESIDENCE_TOPICS];
	uint32_t turn_count, turns_used; /* used: a mask of those appended to */
	struct late late[LATE_MAX];	 /* delivered in this turn, appended before */
	uint32_t late_count;
	uint64_t turn_rx_ns;	 /* RX time of the first frame appended in this turn */
	uint64_t turn_delivered; /* frames delivered of what this turn appended */
	uint64_t next_tick_ns;
	uint32_t tick_cursor;
	uint64_t name_subs_ns; /* heartbeats name every subscription until then */
	uint32_t granted_pkts; /* what all sessions may send now */
	uint32_t shared_pkts;  /* of it, beyond one each */
	uint32_t weighted;     /* sessions with a weight */
	uint64_t weight_sum;
	uint64_t loose_bytes; /* unused credit of sessions that have not sent anything yet */
	uint32_t block_parts; /* partitions that block */
	struct quota *topic_quotas, *principal_quotas;
	uint64_t quota_debt[QUOTA_WORDS], quota_poll_ns;
	uint32_t quota_words;  /* used */
	uint64_t window_bytes; /* of a session: the configured one, at least the largest message */
	uint32_t burst;	       /* frames of the burst in hand */
	uint32_t setup_left, reset_left;
	uint32_t path_left, request_left; /* of this turn's budgets, which are apart: path.c, request.c */
	uint32_t setup_pressure;	  /* turns in a row that had too little of it */
	bool setup_short;		  /* a set-up frame was dropped for want of it in this turn */
	bool close_packet; /* the frame in hand was not taken, but must not come again: its number is closed
			    */
	bool stopping;
	uint32_t stop_cursor;
	struct kx_broker_counters counters;
	struct kx_hist *residence;
};

static inline struct session *session_of(struct kx_broker *b, uint32_t slot)
{
	return &b->sessions[slot];
}

/* Bytes of body that a frame of the session has room for. */
static inline uint32_t session_room(const struct session *s)
{
	return s->path.datagram_bytes - (uint32_t)sizeof(struct kx_frame_hdr) - s->tag_bytes;
}

/* ---- send.c: frames out */
struct out {
	uint8_t *data;
	uint8_t *body;
	void *buf;
};
/* A frame of this type with room for body_bytes behind the header. False: no buffer (charged), try again
 * later. */
bool out_begin(struct kx_broker *b, struct session *s, enum kx_frame_type type, uint32_t handle,
	uint32_t body_bytes, struct out *o);
void out_send(struct kx_broker *b, struct session *s, struct out *o, uint32_t body_bytes);
/* To another address than the session's. */
void out_send_to(struct kx_broker *b, struct session *s, const struct kx_path *path, struct out *o,
	uint32_t body_bytes);
/* The same outside a session (set-up, RESET). */
bool out_begin_bare(
	struct kx_broker *b, enum kx_frame_type type, uint64_t conn_id, uint32_t body_bytes, struct out *o);
void out_send_bare(struct kx_broker *b, const struct kx_path *path, struct out *o, uint32_t body_bytes);
/* An answer that has no way to its peer is charged as a frame to send; what asked for it was handled. */
enum kx_drop out_no_path(struct kx_broker *b);
static inline uint64_t next_pkt(const struct kx_broker *b, struct session *s, uint32_t *floor_delta)
{
	uint64_t pkt_no = s->tx_next_pkt++;

	*floor_delta = (uint32_t)KX_MIN(pkt_no - 1, FLOOR_BACK);
	/* the last of a turn is timed: the one that is acknowledged */
	if (s->timed_pkt == 0 || s->timed_ns == b->now_ns) {
		s->timed_pkt = pkt_no;
		s->timed_ns = b->now_ns;
	}
	return pkt_no;
}

/* ---- session.c */
struct session *session_open(struct kx_broker *b, const uint8_t *nonce, const struct kx_frame *f);
struct session *session_by_nonce(struct kx_broker *b, const uint8_t *nonce);
void session_tell_closed(struct kx_broker *b, struct session *s, enum kx_code code);
void ack_due(struct kx_broker *b, struct session *s, bool even_without_commit);

/* ---- close.c */
void session_close(struct kx_broker *b, struct session *s);
/* Go on with what closed sessions have left behind. */
unsigned int close_poll(struct kx_broker *b);

/* ---- protect.c */
int protect_create(struct kx_broker *b);
void protect_destroy(struct kx_broker *b);
/* Protect all frames of a session that was just opened (PLAIN: nothing to do). 0; -ENOTSUP (no principal
 * has a key); -EIO. */
int session_protect(struct kx_broker *b, struct session *s, const uint8_t secret[KX_AUTH_SECRET_BYTES],
	enum kx_protect mode);
void session_unprotect(struct session *s);
/* A frame that kx_frame_check() refused for its flags: the session whose it is, opened and checked, or NULL
 * and why it is dropped. */
struct session *protect_open(
	struct kx_broker *b, struct kx_frame *f, struct kx_frame_view *v, enum kx_drop *drop);

/* ---- mtu.c */
/* s->path.datagram_bytes is the most that both ends can take: begin with the base. */
void mtu_open(struct session *s);
enum kx_drop mtu_frame(struct kx_broker *b, struct session *s, const struct kx_frame_view *v);

/* ---- path.c */
/* A checked frame of session s that came from another address than the session's. KX_DROP_NONE: the session
 * has moved there. */
void path_turn(struct kx_broker *b);
enum kx_drop path_frame(
	struct kx_broker *b, struct session *s, const struct kx_frame *f, const struct kx_frame_view *v);

/* ---- setup.c: each returns the drop reason or KX_DROP_NONE */
enum kx_drop setup_hello(struct kx_broker *b, const struct kx_frame *f, const struct kx_frame_view *v);
enum kx_drop setup_auth(struct kx_broker *b, const struct kx_frame *f, const struct kx_frame_view *v);
void setup_reset(struct kx_broker *b, const struct kx_frame *f, const struct kx_frame_view *v);
void setup_accept(struct kx_broker *b, struct session *s);

/* ---- identity.c: the producer a session speaks for */
/* Is there a newer epoch of it? */
static inline bool identity_fenced(const struct session *s)
{
	return kx_producer_id_epoch(s->registered) != s->producer_epoch;
}
/* Room to wait for the fence, if this AUTH needs to? */
bool identity_room(const struct kx_broker *b, const struct kx_auth *auth);
/* The id and epoch of a new session, whose principal is known: of its ticket, taken over, or new. *code: OK,
 * or the answer. @return a reason to drop it without an answer, or KX_DROP_NONE */
enum kx_drop identity_take(struct kx_broker *b, struct session *s, const struct kx_auth *auth,
	const struct kx_auth_ticket *ticket, enum kx_code *code);
void identity_drop(struct kx_broker *b, struct session *s);
/* Tell the session of an older epoch, and close it. */
void identity_close_fenced(struct kx_broker *b, struct session *s);
/* ACCEPTs that no lcore stands against any more. */
unsigned int identity_poll(struct kx_broker *b);

void setup_turn(struct kx_broker *b);

/* ---- principal.c */
int principals_create(struct kx_broker *b);
void principals_destroy(struct kx_broker *b);
/* Of a principal. */
struct kx_principal_counters *principal_counters(struct kx_broker *b, const struct kx_auth_principal *p);
/* An audit event of a session; topic: its index, or UINT32_MAX. */
void audit_session(struct kx_broker *b, const struct session *s, enum kx_audit_what what, enum kx_code code,
	uint32_t topic);
void audit_refused(struct kx_broker *b, const struct kx_frame *f, const struct kx_auth *auth, uint32_t number,
	bool proven, enum kx_code code);
/* The session asked for a topic it may not use. */
void access_denied(struct kx_broker *b, const struct session *s, uint32_t topic);

/* ---- produce.c */
enum kx_drop produce_frame(
	struct kx_broker *b, struct session *s, struct kx_frame *f, const struct kx_frame_view *v);
/* Store what waited for the producer's next sequence. */
void produce_drain(
	struct kx_broker *b, struct session *s, struct kx_partition *p, struct kx_producer_state *st);
/* Go on with those that could not be stored at once. */
unsigned int produce_drain_poll(struct kx_broker *b);
/* One more batch of the session waits for the one in front of it. */
void produce_held(struct kx_broker *b, struct session *s, struct kx_producer_state *st);
/* Some of what has waited too long is given back. */
void produce_tick(struct kx_broker *b);
/* The session has ended: what its producers sent ahead of a gap will never be stored. One held batch, or one
 * producer state that has none. */
void produce_abandon_one(struct kx_broker *b, struct session *s);
/* Common checks of a batch's or fragment's addressee; answers NOT_OWNER / PRODUCE_REFUSED itself (closing the
 * packet). */
enum kx_drop produce_admit_first(struct kx_broker *b, struct session *s, const struct kx_frame_view *v,
	uint32_t partition, uint64_t first_seq, struct kx_partition **p, uint32_t *producer);
static KX_ALWAYS_INLINE enum kx_drop produce_admit(struct kx_broker *b, struct session *s,
	const struct kx_frame_view *v, uint32_t partition, uint64_t first_seq, struct kx_partition **p,
	uint32_t *producer)
{
	const struct session_part *part = &s->parts[partition & (SESSION_PARTS - 1)];

	if (kx_likely(part->partition == partition && part->producer != KX_NONE)) {
		const struct kx_producer_state *st = &b->topics.producers[part->producer];

		*p = part->p;
		*producer = part->producer;
		if (kx_likely(st->owner == s->slot && st->partition == partition))
			return KX_DROP_NONE;
	}
	return produce_admit_first(b, s, v, partition, first_seq, p, producer);
}
enum kx_drop produce_refuse(struct kx_broker *b, struct session *s, const struct kx_frame_view *v,
	uint32_t partition, uint64_t first_seq, enum kx_code code, uint64_t detail, enum kx_drop reason);
/* Say again what is committed of some of the partitions in use, of others the next time: the last COMMIT_ACK
 * may be lost. */
void produce_commit_again(struct kx_broker *b, struct session *s);
void produce_commit_dirty(struct kx_broker *b, struct session *s, uint32_t producer);
/* A frame of a session whose epoch is older than its producer's: refused, the session is closed. */
enum kx_drop produce_fenced(struct kx_broker *b, struct session *s, const struct kx_frame_view *v,
	uint32_t partition, uint64_t first_seq);
/* A batch that is stored already: answer with its own offset, when that is remembered, and with how far all
 * is stored. */
void produce_repeat(
	struct kx_broker *b, struct session *s, uint32_t producer, uint64_t first_seq, uint32_t records);
void partition_touched(struct kx_broker *b, struct kx_partition *p);

/* ---- frag.c */
enum kx_drop frag_frame(struct kx_broker *b, struct session *s, const struct kx_frame_view *v);
/* No extent is left: a message that is ahead of its turn gives its own back. False: there is none. */
bool frag_make_room(struct kx_broker *b);
/* Is there a place and memory for a large message of the session that is ahead of its turn? */
bool frag_takes(const struct kx_broker *b, const struct session *s, uint32_t batch_bytes);
int frag_create(struct kx_broker *b);
void frag_destroy(struct kx_broker *b);
unsigned int frag_poll(struct kx_broker *b);
/* Each tick: one message that nobody goes on with. */
void frag_tick(struct kx_broker *b);
/* Store a complete large batch in its turn. 0, or -ENOSPC: no room yet. */
int frag_store(
	struct kx_broker *b, struct kx_partition *p, struct kx_producer_state *st, uint32_t reassembly);
void frag_drop(struct kx_broker *b, uint32_t reassembly);
/* The session ends: its messages take no part any more; and give one back. Steps, 0: it has none. */
void frag_stop(struct kx_broker *b, const struct session *s);
uint32_t frag_drop_one(struct kx_broker *b, const struct session *s);

/* ---- credit.c */
/* The first credit of a session. */
void credit_open(struct kx_broker *b, struct session *s);
/* Session s is about to produce to p for the first time: count its unused credit there. */
void credit_join(struct kx_broker *b, struct session *s, struct kx_partition *p);
static inline void credit_used(struct session *s, uint64_t bytes)
{
	s->used_bytes += bytes;
	for (uint32_t i = 0; i < s->block_count; i++)
		s->blocks[i]->reserved_bytes -= bytes;
}
/* A batch of so many bytes finds no room although there is credit for it: that is told, and when it is over.
 */
void credit_refused(
	struct kx_broker *b, struct session *s, struct kx_partition *p, uint32_t bytes, enum kx_blocked why);
/* A large message of the partition has got its place after all, whoever's place it was. */
void credit_taken(struct session *s, const struct kx_partition *p);
/* What was charged was not stored after all, and will come again uncharged. */
void credit_refund(struct session *s, uint64_t bytes);
/* Its probe says that data wait, and how many bytes it has charged for what is confirmed or given up. Of the
 * latter we may have seen nothing, and would take for unused what it cannot use any more. */
void credit_asked(struct kx_broker *b, struct session *s, uint64_t settled_bytes);
/* A batch beyond the credit. When it is its turn: the client has counted less than we have (what is refused
 * is charged each time it comes, for nobody knows whether it came before) and does not know that it waits. It
 * gets what one that asks gets. */
void credit_exceeded(struct kx_broker *b, struct session *s, bool turn);
void credit_extend(struct kx_broker *b, struct session *s);
void credit_release(struct kx_broker *b, struct session *s);
unsigned int credit_poll(struct kx_broker *b);
/* Update the session's share of the receive buffers. */
void credit_weigh(struct kx_broker *b, struct session *s);

/* ---- quota.c */
int quota_create(struct kx_broker *b);
void quota_destroy(struct kx_broker *b);
/* A batch was taken: it is paid for. */
void quota_pay(struct kx_broker *b, struct session *s, const struct kx_partition *p, uint32_t messages,
	uint32_t batch_bytes);
static inline void quota_charge(struct kx_broker *b, struct session *s, const struct kx_partition *p,
	uint32_t messages, uint32_t batch_bytes)
{
	if (kx_unlikely(b->topic_quotas != NULL))
		quota_pay(b, s, p, messages, batch_bytes);
}
/* What was paid for as one message has more. */
void quota_more_messages(
	struct kx_broker *b, struct session *s, const struct kx_partition *p, uint32_t messages);
/* Before credit_refund(): a batch that was paid for was dropped after all and comes again. It is taken then,
 * whatever the topic owes. */
void quota_refund(struct kx_broker *b, struct session *s, const struct kx_partition *p, uint32_t batch_bytes);
/* May the session's credit be extended? */
bool quota_open(struct kx_broker *b, struct session *s);
/* Bytes it may have ahead; 0: it had more than its part not long ago, and waits. */
uint64_t quota_window(const struct kx_broker *b, struct session *s);
/* It was given so many of them, which counts only now: the log may have had no room for any. */
void quota_gave(const struct kx_broker *b, struct session *s, uint64_t bytes);
/* Does the partition's topic take this much of the session now? No: it is not acknowledged and comes again.
 */
bool quota_takes(struct kx_broker *b, struct session *s, const struct kx_partition *p, uint32_t batch_bytes);
static inline bool quota_admits(
	struct kx_broker *b, struct session *s, const struct kx_partition *p, uint32_t batch_bytes)
{
	return kx_likely(b->topic_quotas == NULL) || quota_takes(b, s, p, batch_bytes);
}
void quota_tick(const struct kx_broker *b, struct session *s);
void quota_poll(struct kx_broker *b);

/* ---- residence.c */
int residence_create(struct kx_broker *b);
void residence_destroy(struct kx_broker *b);
/* The first of a partition in this turn. */
void residence_appended(struct kx_broker *b, const struct kx_partition *p, uint64_t rx_ns);
/* A frame leaves with what this turn appended; with what was appended before. */
static inline void residence_now(struct kx_broker *b, const struct kx_partition *p)
{
	b->turn_delivered++;
	if (kx_likely(p->topic < b->turn_count))
		b->turns[p->topic].delivered++;
}
void residence_late(struct kx_broker *b, const struct kx_partition *p, uint64_t append_time_ns);
void residence_flushed(struct kx_broker *b, uint64_t now_ns);

/* ---- list.c */
int lists_create(struct kx_broker *b);
void lists_destroy(struct kx_broker *b);
void list_add(struct kx_broker *b, enum list_id id, struct session *s);
void list_remove(struct kx_broker *b, enum list_id id, struct session *s);
/* The next one, round robin; the list is not empty. */
struct session *list_pop(struct kx_broker *b, enum list_id id);
static inline bool listed(const struct session *s, enum list_id id)
{
	return s->at[id] != KX_NONE;
}

/* ---- ready.c */
void sub_ready(struct kx_broker *b, uint32_t index);
void sub_unready(struct kx_broker *b, uint32_t index);
/* The session was parked, if at all, for what may be over: a receipt came, or its path is another. */
void ready_again(struct kx_broker *b, struct session *s);
/* It is closed. */
void ready_end(struct kx_broker *b, struct session *s);
unsigned int ready_poll(struct kx_broker *b);

/* ---- deliver.c */
enum step {
	STEP_SENT,
	STEP_IDLE, /* nothing to send until an append or credit; or nothing but repairs beyond their budget */
	STEP_PACED, /* its session may send nothing now */
	STEP_LATER  /* no buffer or room: nobody's turn */
};
/* Up to `budget` frames for one subscription. */
enum step deliver_sub(struct kx_broker *b, uint32_t index, unsigned int budget, unsigned int *sent);
void partition_appended(struct kx_broker *b, struct kx_partition *p);
bool deliver_cut(
	struct kx_broker *b, struct kx_partition *p, struct kx_frame *f, const struct kx_batch_hdr *stored);
unsigned int deliver_poll(struct kx_broker *b);

/* ---- pace.c */
/* A receipt of the client, which names only what was sent. */
void pace_receipt(struct kx_broker *b, struct session *s, const struct kx_receipt *r);
/* May a further delivery leave? Asked when s->cc.on. */
bool pace_allows(struct kx_broker *b, struct session *s);
/* It did not: until when, if no receipt comes. */
uint64_t pace_due_ns(const struct kx_broker *b, const struct session *s);
/** What was lost is sent again: messages [offset, end_offset), or a part of the large batch at offset (both
 * the same). */
void pace_lost(struct session *s, struct kx_sub *sub, uint64_t offset, uint64_t end_offset);
void deliver_notice(struct kx_broker *b, struct kx_sub *sub, enum kx_notice_code code, uint64_t offset);

/* ---- ack.c */
void receipt_fill(struct kx_broker *b, struct session *s, struct kx_receipt *r);
bool ack_commit(struct kx_broker *b, struct session *s);
unsigned int ack_poll(struct kx_broker *b);

/* ---- resume.c */
enum kx_drop resume_frame(struct kx_broker *b, struct session *s, const struct kx_frame_view *v);

/* ---- request.c */
void request_turn(struct kx_broker *b);
enum kx_drop request_frame(
	struct kx_broker *b, struct session *s, const struct kx_frame *f, const struct kx_frame_view *v);
/* HEARTBEAT, RX_ACK */
enum kx_drop consume_receipt(struct kx_broker *b, struct session *s, const struct kx_frame_view *v);
enum kx_drop consume_credit(struct kx_broker *b, struct session *s, const struct kx_frame_view *v);
enum kx_drop consume_nak(struct kx_broker *b, struct session *s, const struct kx_frame_view *v);
/* On the session's list and in the map; false: no place. */
bool session_sub_add(struct kx_broker *b, struct session *s, uint32_t index);
void session_sub_end(struct kx_broker *b, struct session *s, uint32_t index);
uint32_t session_sub(struct kx_broker *b, const struct session *s, uint32_t sub_id);

/* ---- timer.c */
unsigned int timer_poll(struct kx_broker *b);
/* There was no place for a subscription. The next heartbeats name all there are, also those of which nothing
 * is to be heard: a client ends those it does not know, whose UNSUBSCRIBE was lost. */
void timer_name_all_subs(struct kx_broker *b);

#endif
