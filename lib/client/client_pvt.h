/* SPDX-License-Identifier: BSD-3-Clause */
/* Private to lib/client. One owner: the hub's thread. Global functions begin with kxc_: a program may link us
 * statically. */
#ifndef KX_CLIENT_PVT_H
#define KX_CLIENT_PVT_H

#include <string.h>

#include "kx_auth.h"
#include "kx_client.h"

#define NONE	    UINT32_MAX
#define LARGE_MAX   64 /* large messages of a producer on their way */
#define SPLIT_MAX   64 /* batches of a producer that were made for a larger datagram than the path carries */
#define REF_LARGE   0x80000000u	     /* ref of a packet: a part of a large message */
#define PART_BITS   14		     /* of it; above: which message, above that: whose */
#define RETX_MAX    KX_TXWIN_PKTS    /* every waiting packet may be named once */
#define CREDIT_WAIT UINT64_C(100000) /* credit is announced at the latest after this */
#define MS	    UINT64_C(1000000)
#define STALL_MIN                                                                                            \
	(10 * MS) /* received, not confirmed, no word: ask again after 8 probe time-outs, within these */
#define STALL_MAX     (500 * MS)
#define STALL_SLOW    (16000 * MS) /* doubled up to this */
#define STALL_ALONE   (2000 * MS)  /* and to this when a place at the broker is all that it waits for */
#define STALL_LONG    (1000 * MS)  /* asked for then, whatever else is on its way */
#define REQUEST_FIRST (50 * MS)	   /* a request is repeated after this, then doubled */
#define REQUEST_SLOW  (1000 * MS)
#define PLACE_MAX     (30 * KX_NS_PER_S) /* asked for after REQUEST_SLOW, doubled up to this */
#define VAIN_MAX      (1000 * MS)	 /* longest wait between repairs that the broker does not take */
#define FRAME_HDR     ((uint32_t)sizeof(struct kx_frame_hdr))

/* ---- timer.c: a heap by time. A timer may fire early (it is only ever moved forward); its handler looks
 * again. */
enum timer_kind { TIMER_CHANNEL, TIMER_CLIENT, TIMER_PRODUCER };
struct timer {
	uint64_t due_ns;
	uint32_t pos; /* place in the heap + 1; 0: not there */
	uint32_t kind;
};
struct timers {
	struct timer **heap;
	uint32_t count, size;
};
/* Room for `more` further timers. @return false without memory */
bool kxc_timers_reserve(struct timers *t, uint32_t more);
void kxc_timer_arm(struct timers *t, struct timer *timer, uint64_t due_ns);
void kxc_timer_stop(struct timers *t, struct timer *timer);
struct timer *kxc_timer_pop_due(struct timers *t, uint64_t now_ns);

/* ---- producers */

enum slot_state { SLOT_FREE, SLOT_OPEN, SLOT_QUEUED, SLOT_SENT };
struct slot {
	uint64_t first_seq;
	uint64_t user;
	uint64_t sent_ns;
	uint32_t next; /* in its partition, or in the free list */
	uint32_t bytes;
	uint32_t count;
	uint32_t part;
	uint32_t large; /* index, or NONE; LARGE_MAX and above: its bytes are in the slot */
	uint8_t state;
	bool left;    /* it went out whole, and nobody has said that it is not stored */
	bool counted; /* its bytes were charged to the credit of the session in hand */
};
/* A batch larger than a datagram, in the ring of large-message memory, or (split) in its slot. */
struct large {
	uint64_t start,
		end; /* positions in the ring's endless numbering; end: where the next one may begin */
	uint32_t slot;
	uint32_t part_bytes;
	uint32_t parts;
	uint32_t sent_parts; /* first sendings */
	uint32_t again;	     /* stalled: the part to go on with, when not all found a place at once */
	bool used;
};
/* One partition of a producer. */
struct part {
	struct kx_producer *producer;
	struct channel *ch; /* where it is sent to; NULL until first used */
	struct part *send_next;
	struct part *open_next;
	uint64_t next_seq;    /* of the next batch */
	uint64_t progress_ns; /* last confirmation, or when the first batch was sent */
	uint64_t open_ns;     /* when its open batch was begun */
	uint32_t index, id, lcore;
	uint32_t head, tail; /* batches, oldest first */
	uint32_t unsent;     /* first of them that is to be sent; NONE */
	uint32_t stalls;
	uint32_t open_slot; /* batch being filled by kx_producer_send(); NONE */
	uint32_t failed;    /* enum kx_code that ended it; 0 */
	bool send_listed, open_listed;
	struct kx_batch_writer w;
	uint64_t confirmed[KX_REPLICATED + 1]; /* by level: every sequence below */
	/* what is unconfirmed was sent under this identity, in a session that is over: see resume.c */
	uint64_t was_boot_id, was_producer_id;
	uint32_t was_producer_epoch;
	uint32_t log_epoch;
	bool resume; /* RESUME is asked before anything is sent */
	bool alone;  /* the broker has no state left for it: nothing but its oldest batch is sent */
	/* offsets that were confirmed by this start of the broker: inside [offset_first, offset_end), so many
	 */
	uint64_t offset_first, offset_end, offset_count;
	uint64_t offset_opened; /* next_offset when it was opened: what is ours lies there or beyond */
};

struct request;
typedef void (*request_fn)(
	struct request *r, enum kx_result result, const struct kx_frame_view *v, uint64_t now_ns);
enum request_type { REQ_TOPICS, REQ_METADATA, REQ_PING };
/* A question with one answer (or pages of them) and a time-out. */
struct request {
	struct kx_client *client;
	struct request *next, *prev; /* in progress */
	request_fn answered;
	void *fn, *user;
	void *owner; /* producer or consumer it is for */
	uint64_t deadline_ns, retry_ns, sent_ns;
	uint32_t id;
	uint32_t first; /* of the page wanted */
	uint32_t lcore;
	uint32_t retries;
	uint8_t type;
	bool active;
	bool own; /* belongs to the client's table */
	char topic[KX_TOPIC_NAME_MAX + 1];
};

/* RESUME: open again under another identity; ready when it is known what became of the unconfirmed */
enum open_state { OPEN_META, OPEN_RESUME, OPEN_READY, OPEN_FAILED };

struct kx_producer {
	struct kx_client *client;
	struct kx_producer_opts opts;
	char topic[KX_TOPIC_NAME_MAX + 1];
	struct request meta;
	struct timer timer; /* linger */
	uint8_t state;	    /* enum open_state */
	uint8_t level;
	bool closed; /* kept for its sequences only */
	bool claimed;
	uint32_t index;	      /* in client->producers */
	uint32_t batch_max;   /* fits one datagram now */
	uint32_t batch_limit; /* fits the largest that the broker takes: goes in fragments */
	uint32_t max_message_bytes;
	uint32_t part_count;
	uint32_t meta_seen; /* partitions told so far */
	uint32_t robin;	    /* partition of batches without a key */
	uint32_t claim_part, claim_slot;
	uint32_t slots_free; /* list head */
	uint32_t slots_free_count;
	uint64_t pending;
	struct kx_batch_writer claim_w;
	struct part *open_head, *open_tail; /* with an open batch, oldest first */
	struct part *parts;
	struct slot *slots;
	uint8_t *memory;
	struct kx_completion *done; /* polled: ring of send_slots */
	uint32_t done_head, done_count;
	struct kx_map by_id; /* broker-wide id + 1 -> index */
	struct large larges[LARGE_MAX + SPLIT_MAX];
	uint32_t large_first, large_count; /* ring of entries in order of their memory */
	uint64_t large_head;
	uint8_t *large_memory;
};

/* ---- consumers */

struct hold {
	uint64_t first, end, rx_ns;
	uint32_t next, bytes;
};
struct reassembly {
	uint64_t first, rx_ns;
	uint64_t last_ns; /* when a part came last */
	struct sub *sub;  /* NULL: free */
	uint32_t batch_bytes, part_bytes, parts, have;
	bool complete;
	uint64_t *bits;
	uint8_t *data;
};
#define REASSEMBLIES 2

/* SEEK: was asking or active, goes on elsewhere: nothing of the old subscription is delivered any more */
enum sub_state { SUB_FREE, SUB_WAIT, SUB_ASKING, SUB_ACTIVE, SUB_SEEK, SUB_FAILED };
/* A subscription: one partition of a consumer. */
struct sub {
	struct kx_consumer *consumer;
	struct channel *ch;
	struct sub *ch_next, *ch_prev; /* all of a channel */
	struct sub *credit_next, *gap_next;
	uint64_t next_offset;
	uint64_t want;	       /* start asked for; then unused */
	uint64_t seek_to;      /* SUB_SEEK: next_offset then */
	uint64_t ring_old;     /* below this the ring holds what is of a log that is gone */
	uint64_t begin_offset; /* next_offset when it was subscribed: within a batch, perhaps */
	uint64_t done_offset;  /* manual_ack: the program is done with everything below */
	uint64_t sent_end;     /* every offset below was sent once: what is missing is a hole */
	uint64_t log_end;
	uint64_t taken_bytes; /* of whole batches, in order */
	uint64_t limit_bytes; /* announced */
	uint64_t ask_ns;
	/* holes: see repair.c */
	uint64_t hole_top;  /* no hole ends beyond */
	uint64_t hole_end;  /* holes below were all seen by hole_ns */
	uint64_t hole_ns;   /* 0: none that waits to be named */
	uint64_t named_end; /* holes below have been named */
	uint64_t round_end; /* holes below are named again at again_ns */
	uint64_t round_at;  /* a round that needs several NAKs goes on here */
	uint64_t round_ns;  /* when the last round was named */
	uint64_t again_ns;
	uint64_t nak_offset; /* next_offset when it moved last */
	uint64_t
		nak_pkt; /* what the broker sent before it could answer the last NAK is numbered up to this */
	uint64_t timed_ns, timed_offset; /* when the hole at this offset was named, once; 0: no measurement */
	uint32_t nak_tries;
	uint32_t frame_records; /* in the last frame: what a hole may cost in held frames */
	uint32_t id, index, partition, lcore;
	uint32_t log_epoch;
	uint32_t held_head, held_tail, held_count;
	uint32_t asks;
	uint32_t no_place; /* times in a row that the broker had none for it */
	uint8_t state;
	bool credit_listed, gap_listed, in_channel, reset_position, durable;
	bool no_room;	/* holes are left unnamed: what is asked for could not be held */
	bool late_seen; /* learned from since the last NAK */
	bool paused, resuming;
	/* polled: ring of batches */
	uint8_t *ring;
	uint64_t ring_head, ring_tail;
	struct kx_record_iter it;
	const struct kx_batch_hdr *it_batch;
	uint64_t it_offset;
};
struct kx_consumer {
	struct kx_client *client;
	struct kx_consumer_opts opts;
	char topic[KX_TOPIC_NAME_MAX + 1];
	struct request meta;
	uint8_t state;
	bool was_ready;
	bool told_waiting; /* since it was ready last */
	uint32_t index;
	uint32_t window, ring_bytes, ring_count;
	uint8_t *rings;
	uint32_t sub_count, active_count, poll_at;
	uint32_t *subs; /* indexes into client->subs */
	struct hold *holds;
	uint8_t *hold_memory;
	uint32_t hold_free, hold_free_count;
	struct reassembly reasm[REASSEMBLIES];
	uint64_t *reasm_bits;
	uint8_t *reasm_memory;
};

/* ---- channel: a session with one data lcore */

/* What is being found out about the path: mtu.c */
struct mtu {
	uint64_t due_ns;
	uint64_t rest_ns;   /* after a step that failed; doubled */
	uint64_t try_ns;    /* no probe before */
	uint64_t tell_ns;   /* nothing is told before */
	uint64_t heard_pkt; /* number of the newest answer */
	uint64_t round_pkt; /* large frames below were sent before the last one was found lost */
	uint32_t tries, tells, falls;
	uint32_t rounds; /* so many times in a row a large frame was lost and none was acknowledged */
	uint16_t base, most;
	uint16_t asked; /* size of the last probe; 0 */
	uint16_t told;	/* what the broker says it sends at most */
};

enum channel_state { CH_UNUSED, CH_WAIT, CH_HELLO, CH_AUTH, CH_OPEN };
struct channel {
	uint64_t conn_id;
	struct kx_hub *hub;
	struct kx_client *client;
	struct kx_addr remote;
	struct channel *ready_next;
	uint8_t state;
	uint8_t blocked;
	bool ready; /* on the hub's ready list */
	bool have_path;
	uint8_t tag_bytes; /* behind every frame: KX_TAG_BYTES when they are protected */
	bool ticket_refused;
	bool accept_pending;
	uint32_t index;		 /* in hub->channels */
	uint32_t lcore;		 /* NONE: not known yet (first channel before ACCEPT) */
	uint16_t datagram_bytes; /* largest frame, both ways, as far as is known */
	struct mtu mtu;
	uint64_t limit_pkt, limit_bytes, used_bytes;
	uint64_t last_tx_ns, last_rx_ns;
	uint64_t heartbeat_ns, idle_ns;
	struct part *send_head, *send_tail; /* partitions with something to send */
	bool owed;			    /* one of them may have a batch that takes no credit any more */
	struct sub *credit_head;	    /* subscriptions whose credit is to be announced */
	struct sub *gap_head;		    /* subscriptions with holes */
	struct sub *subs;
	uint64_t credit_due_ns, nak_due_ns, ask_due_ns, stall_due_ns;
	uint64_t send_due_ns; /* what the pace or the budget of repairs holds back goes on */
	uint64_t resume_due_ns;
	uint32_t resume_id, resume_tries; /* of the RESUME in hand */
	uint32_t retx_head, retx_count;
	uint32_t large_unacked;			/* parts of large messages sent and not acknowledged */
	uint32_t *retx;				/* ring of refs named by NAKs */
	uint64_t blocked_ns;			/* data has waited for credit since; 0 */
	uint64_t throttle_ns, throttle_seen_ns; /* THROTTLED was told; the last time it was so */
	uint8_t throttled;			/* the cause that was told, or KX_BLOCKED_NO */
	uint32_t blocked_probes;
	/* repairs while the broker takes nothing: so many turns of them in a row in vain, none before */
	uint32_t vain;
	uint64_t vain_ns;
	struct timer timer;
	struct kx_rtt rtt;
	struct kx_cc cc;
	uint32_t cuts;	  /* of it, as known when cut_pkt was set */
	uint64_t cut_pkt; /* what is below left before the last one */
	struct kx_retx_budget budget;
	struct kx_path path;
	struct kx_auth_protect protect;
	struct kx_rxwin rx;
	struct kx_txwin tx;
	/* set-up */
	uint8_t nonce[KX_NONCE_BYTES];
	struct kx_cookie cookie;
	uint64_t retry_ns, hello_ns;
	uint32_t tries, auth_tries, downs;
};

struct kx_client {
	struct kx_hub *hub;
	struct kx_client *next, *prev;
	struct kx_client_opts opts;
	char principal[KX_PRINCIPAL_NAME_MAX + 1];
	struct kx_key *key; /* in locked memory; NULL: none */
	struct timer timer; /* requests, connect time-out */
	bool connected, have_identity, connect_failed, down, closing;
	enum kx_result failed_why; /* what CONNECT_FAILED said last */
	uint32_t failed_code;
	uint64_t connect_ns;	 /* since when the first channel is being set up */
	uint64_t heard_ns;	 /* of connect_failed: the last word of it that could be believed */
	enum kx_result unproven; /* told meanwhile by who did not prove to know the key, or BUSY; KX_OK */
	uint32_t unproven_code;
	uint64_t boot_id, producer_id;
	uint64_t take_id;   /* producer to go on as, before there is an identity; 0: a new one */
	bool take_over;	    /* for a new epoch: not by ticket */
	bool fenced;	    /* its producers are over */
	uint32_t resume_id; /* last used */
	uint32_t producer_epoch, request_id;
	uint8_t ticket[KX_TICKET_BYTES];
	struct kx_client_info info;
	uint32_t datagram_bytes, datagram_most; /* least of its channels: now; can become */
	struct channel *channels;		/* opts.channels_max; the first is the one to opts.broker */
	struct kx_producer **producers;
	struct kx_consumer **consumers;
	struct sub *subs;
	uint32_t *sub_gen;
	struct request *requests;
	struct request *active;
	struct kx_client_stats stats;
};

struct kx_hub {
	struct kx_transport transport;
	const struct kx_transport_ops *ops;
	void *tx;
	struct kx_hub_opts opts;
	struct kx_client *clients;
	struct channel **channels;
	uint32_t *channel_free;
	uint32_t channel_free_count;
	struct kx_map conns, nonces;
	struct kx_prng prng;
	struct timers timers;
	struct channel *ready_head, *ready_tail;
	struct channel *last_ch; /* of the frame before */
	unsigned int in_callback;
	unsigned int room;
	bool starved;	      /* no buffer in this turn */
	uint32_t full_bursts; /* received in a row: more waits to be read */
	int fds[3];	      /* wait.c: epoll, timer, event; -1 */
	uint64_t armed_ns;    /* the timer is set to; UINT64_MAX: not set */
	struct kx_hub_stats stats;
	struct kx_frame *frames;
};

/* ---- wait.c */
bool kxc_wait_init(struct kx_hub *hub);
void kxc_wait_fini(struct kx_hub *hub);

/* ---- client.c */
void kxc_client_event(struct kx_client *c, const struct kx_event *e);
void kxc_client_connected(struct kx_client *c, uint64_t now_ns);
/* Set-up came to nothing; told again only when the reason is another one. */
void kxc_client_connect_failed(struct kx_client *c, enum kx_result why, uint32_t code, uint64_t now_ns);
void kxc_client_service(struct kx_client *c, uint64_t now_ns);
/* Channel to a data lcore, opened if need be. NULL: no such lcore, or all channels are in use. */
struct channel *kxc_client_channel(struct kx_client *c, uint32_t lcore, uint64_t now_ns);
struct channel *kxc_client_channel_find(struct kx_client *c, uint32_t lcore);

/* ---- identity.c */
/* Nothing pending can be confirmed any more. */
void kxc_client_identity_lost(struct kx_client *c, enum kx_result why, bool new_boot, uint64_t now_ns);
/* All subscriptions of its consumers are to be made anew; with another start of the broker its logs are
 * others. */
void kxc_client_consumers_lost(struct kx_client *c, bool new_boot, uint64_t now_ns);
/* Another id or epoch follows: what is pending is asked about when it is there. Before it is taken. */
void kxc_client_identity_changes(struct kx_client *c, bool new_boot, uint64_t now_ns);
/* The broker cannot go on with our sequences: take our own id over. */
void kxc_client_new_epoch(struct kx_client *c, uint64_t now_ns);
/* Somebody else has taken our id over. */
void kxc_client_fenced(struct kx_client *c, uint64_t now_ns);

/* ---- resume.c */
void kxc_resume_part(struct part *part);
/* Its channel is known. */
void kxc_resume_ask(struct part *part);
/* @return frames sent */
unsigned int kxc_resume_service(struct channel *ch, uint64_t now_ns);
void kxc_resumed(struct channel *ch, const struct kx_frame_view *v, uint64_t now_ns);
void kxc_resume_in_vain(struct part *part, uint64_t now_ns);
/* Nothing of it will be sent again or asked about. Before kxc_part_fail(). */
void kxc_resume_never(struct part *part);

/* ---- setup.c */
void kxc_setup_start(struct channel *ch, uint64_t now_ns);
/* The broker with boot_id knows nothing of a session or a set-up of ours: the first channel finds out what it
 * does know. */
void kxc_setup_anew(struct kx_client *c, uint64_t boot_id, uint64_t now_ns);
void kxc_setup_service(struct channel *ch, uint64_t now_ns);
void kxc_setup_frame(
	struct kx_hub *hub, const struct kx_frame *f, const struct kx_frame_view *v, uint64_t now_ns);

/* ---- channel.c */
struct out {
	uint8_t *data;
	uint8_t *body;
	void *buf;
};
/* May sessions of this client have protected frames? */
static inline bool client_may_protect(const struct kx_client *c)
{
	return c->key != NULL; /* the broker may demand it of the principal */
}
/* Bytes of body that a frame has room for. */
static inline uint32_t channel_room(const struct channel *ch)
{
	return ch->datagram_bytes - FRAME_HDR - ch->tag_bytes;
}
/* Protect all frames of the session that is being opened; conn_id is set. False: it cannot be. */
bool kxc_channel_protect(
	struct channel *ch, const uint8_t secret[KX_AUTH_SECRET_BYTES], enum kx_protect mode);
int kxc_channel_init(struct channel *ch, struct kx_client *c);
void kxc_channel_fini(struct channel *ch);
static inline void channel_ready(struct channel *ch)
{
	struct kx_hub *hub = ch->hub;

	if (ch->ready)
		return;
	ch->ready = true;
	ch->ready_next = NULL;
	if (hub->ready_tail != NULL)
		hub->ready_tail->ready_next = ch;
	else
		hub->ready_head = ch;
	hub->ready_tail = ch;
}
void kxc_channel_arm(struct channel *ch, uint64_t due_ns);
/* A frame that is not repaired by its number. False: no buffer or the window is full; try again later. */
bool kxc_channel_begin(
	struct channel *ch, enum kx_frame_type type, uint32_t body_bytes, uint64_t now_ns, struct out *o);
void kxc_channel_send(struct channel *ch, struct out *o, uint32_t body_bytes, uint64_t now_ns);
void kxc_channel_opened(struct channel *ch, uint64_t now_ns);
/* The session is over; `why` is KX_OK when nobody is to be told. Set-up starts anew after `wait_ns`. */
void kxc_channel_down(struct channel *ch, enum kx_result why, uint64_t wait_ns, uint64_t now_ns);
void kxc_channel_close(struct channel *ch, uint64_t now_ns);
/* Everything due: set-up, NAKs, credit, repairs, data, probes. @return frames sent. */
unsigned int kxc_channel_service(struct channel *ch, uint64_t now_ns);
/* Something was sent: look in time whether it is confirmed. */
void kxc_channel_watch_stalls(struct channel *ch, uint64_t now_ns);
void kxc_channel_fill_receipt(struct channel *ch, struct kx_receipt *r, uint64_t now_ns);

/* ---- throttle.c: tell the application when and why data wait. When to look again. */
uint64_t kxc_throttle_service(struct channel *ch, uint64_t now_ns);
/* What was told as throttled is over: nothing waits any more, or the session is gone. */
void kxc_throttle_over(struct channel *ch, uint64_t now_ns);

/* ---- transmit.c */
unsigned int kxc_transmit(struct channel *ch, uint64_t now_ns);
/* To be sent again. False: no place, it has to be named again. */
bool kxc_transmit_retx_push(struct channel *ch, uint32_t ref);
void kxc_transmit_acked(void *channel, uint64_t pkt_no, uint32_t ref);

/* Its frames were lost again and again while small ones came: all is sent again, cut smaller. */
void kxc_transmit_again(struct channel *ch);
/* Bytes of the frame that carried it. */
uint32_t kxc_transmit_bytes(const struct channel *ch, uint32_t ref);

/* ---- mtu.c */
/* The session is open; `most`: largest frame that both ends can take. */
void kxc_mtu_open(struct channel *ch, uint16_t most, uint64_t now_ns);
unsigned int kxc_mtu_service(struct channel *ch, uint64_t now_ns);
void kxc_mtu_probed(struct channel *ch, const struct kx_frame_view *v, uint64_t now_ns);
/* The path is another one now: begin anew. */
void kxc_mtu_restart(struct channel *ch, uint64_t now_ns);
/* What `ref` names, sent as pkt_no, is lost; was received. */
void kxc_mtu_lost(struct channel *ch, uint64_t pkt_no, uint32_t ref, uint64_t now_ns);
void kxc_mtu_acked(struct channel *ch, uint32_t ref);
/* The transport could not send a frame of so many bytes: the way out carries less. */
void kxc_mtu_refused(struct channel *ch, uint32_t bytes, uint64_t now_ns);
/* Deliveries were asked for again and again in vain, while other frames came. */
void kxc_mtu_deaf(struct channel *ch, uint64_t now_ns);

/* ---- receive.c */
void kxc_receive_frame(
	struct channel *ch, const struct kx_frame *f, const struct kx_frame_view *v, uint64_t now_ns);

/* ---- slot.c: batches of a partition, from queue to completion */
static inline uint8_t *slot_data(const struct kx_producer *p, uint32_t slot)
{
	const struct slot *s = &p->slots[slot];

	if (kx_unlikely(s->large < LARGE_MAX))
		return p->large_memory + p->larges[s->large].start % p->opts.large_bytes;
	return p->memory + (size_t)slot * p->opts.slot_bytes;
}
static inline uint32_t slot_ref(const struct kx_producer *p, uint32_t slot)
{
	return p->index << 24 | slot;
}
uint32_t kxc_slot_take(struct kx_producer *p);
void kxc_slot_free(struct kx_producer *p, uint32_t slot);
/* Stamp, finish and queue a filled batch. */
void kxc_slot_queue(struct part *part, uint32_t slot, struct kx_batch_writer *w, uint64_t now_ns);
static inline bool part_waits(const struct part *part)
{
	return kx_unlikely(part->resume || (part->alone && part->unsent != part->head));
}
void kxc_part_list_send(struct part *part);
/* Nothing of it was taken: the oldest is asked for (part_stalled()), what follows is sent again when that is
 * confirmed. It has one. */
void kxc_part_head_alone(struct part *part);
/* Send all that is not confirmed again, from the oldest. */
void kxc_part_requeue(struct part *part);
/* The same within the session: what was charged stays charged. */
void kxc_part_send_again(struct part *part);
void kxc_part_commit(struct part *part, const struct kx_commit_entry *e, uint64_t now_ns);
/* Every sequence below next_seq is stored. */
void kxc_part_stored(struct part *part, uint64_t next_seq, uint64_t next_offset, uint64_t now_ns);
/* What is queued gets the identity of now, and sequences from 0. */
void kxc_part_restamp(struct part *part);
/* Complete everything of a partition without success. */
void kxc_part_fail(struct part *part, enum kx_result why, uint32_t code, uint64_t now_ns);
/* The same for what a broker may have, which are its oldest batches. What never left it whole stays queued.
 */
void kxc_part_fail_left(struct part *part, enum kx_result why);
void kxc_part_close_batch(struct part *part, uint64_t now_ns);
struct part *kxc_client_part(struct kx_client *c, uint32_t partition_id);

/* ---- completion.c */
void kxc_completion(struct kx_producer *p, const struct kx_completion *c);

/* ---- large.c */
uint32_t kxc_large_take(struct kx_producer *p, uint32_t bytes);
void kxc_large_free(struct kx_producer *p, uint32_t large);
/* For a batch that does not fit a datagram any more. NONE: too many of them are on their way. */
uint32_t kxc_split_take(struct kx_producer *p, uint32_t slot);
static inline uint32_t part_ref(const struct kx_producer *p, uint32_t large, uint32_t part)
{
	return REF_LARGE | p->index << 24 | large << PART_BITS | part;
}
uint32_t kxc_large_part_bytes(const struct channel *ch);

/* ---- producer.c */
/* The datagram size of a channel has changed. */
void kxc_client_resized(struct kx_client *c);
void kxc_producer_ask(struct kx_producer *p, uint64_t now_ns);
void kxc_producer_lost(struct kx_producer *p, enum kx_result why, uint64_t now_ns);
/* Another identity follows: sequences begin at 0, once it is known what became of those that were sent. */
void kxc_producer_renamed(struct kx_producer *p, bool new_boot);
/* A partition has its answer: ready when it was the last. */
void kxc_producer_resumed(struct kx_producer *p);
void kxc_producer_linger(struct kx_producer *p, uint64_t now_ns);
void kxc_producer_free(struct kx_producer *p);

/* ---- consumer.c */
void kxc_consumer_ask(struct kx_consumer *c, uint64_t now_ns);
void kxc_consumer_session_lost(struct kx_consumer *c, bool new_boot, uint64_t now_ns);
void kxc_consumer_free(struct kx_consumer *c);
void kxc_credit_forget(struct sub *s);
void kxc_sub_wait(struct sub *s); /* its session is gone: subscribe again when there is one */
void kxc_sub_restart(struct sub *s, uint64_t offset, uint64_t now_ns);
void kxc_sub_unsubscribe(struct channel *ch, uint32_t sub_id, uint64_t now_ns);
void kxc_sub_attach(struct sub *s, struct channel *ch);
void kxc_sub_detach(struct sub *s);
/* SUBSCRIBE what asks. @return frames sent */
unsigned int kxc_subs_service(struct channel *ch, uint64_t now_ns);
void kxc_sub_subscribed(struct channel *ch, const struct kx_subscribed *b, uint64_t now_ns);
struct sub *kxc_sub_find(struct kx_client *c, uint32_t sub_id);
/* By index in the topic; NULL: not one of its partitions, or not known yet. */
struct sub *kxc_consumer_sub(const struct kx_consumer *c, uint32_t partition);

/* ---- seek.c: the program's say over a subscription */
/* Callbacks wait: what comes is held. (A polled consumer that is paused is just not polled.) */
/* Credit that is kept open: at least a frame as large as it may become here, or a batch in it would never
 * come. */
static inline uint32_t sub_window(const struct sub *s)
{
	return KX_MAX(s->consumer->window, (uint32_t)(s->ch != NULL ? s->ch->mtu.most : 0));
}
static inline bool sub_stopped(const struct sub *s)
{
	return s->paused && !s->consumer->opts.polled;
}
/* What it asked for between two turns. May call back. */
void kxc_seek_service(struct sub *s, uint64_t now_ns);
uint64_t kxc_sub_position(const struct sub *s);
/* For CREDIT: the program is done with everything below. */
uint64_t kxc_sub_done(const struct sub *s);

/* ---- deliver.c */
void kxc_deliver_frame(
	struct channel *ch, const struct kx_frame *f, const struct kx_frame_view *v, uint64_t now_ns);
void kxc_deliver_batch(
	struct sub *s, const struct kx_batch_hdr *b, uint64_t rx_ns, bool held, uint64_t now_ns);
void kxc_deliver_held(struct sub *s, uint64_t now_ns);
void kxc_deliver_drop_held(struct sub *s);
void kxc_sub_taken(struct sub *s, uint64_t bytes, uint64_t now_ns);

/* ---- repair.c: credit and NAKs towards the broker */
void kxc_credit_due(struct sub *s, uint64_t due_ns);
void kxc_gap_seen(struct sub *s, uint64_t now_ns);
/* Offsets below `end` may be missing. */
static inline void hole_below(struct sub *s, uint64_t end)
{
	s->hole_top = KX_MAX(s->hole_top, end);
}
/* A frame has brought offsets [first, end) that were missing. */
/* A delivery numbered pkt_no brought what is there already. */
void kxc_hole_duplicate(struct sub *s, uint64_t pkt_no);
void kxc_hole_filled(struct sub *s, uint64_t first, uint64_t end, uint64_t pkt_no, uint64_t now_ns);
/* Parts of the batch in turn are coming: only silence makes a hole of the rest. */
void kxc_gap_later(struct sub *s, uint64_t now_ns);
bool kxc_sub_has_gap(const struct sub *s);
unsigned int kxc_repair_service(struct channel *ch, uint64_t now_ns);

/* ---- reassembly.c */
void kxc_reassembly_frame(
	struct channel *ch, const struct kx_frame *f, const struct kx_frame_view *v, uint64_t now_ns);
/* Deliver a complete batch whose turn it is. @return true when there was one */
bool kxc_reassembly_deliver(struct sub *s, uint64_t now_ns);
void kxc_reassembly_drop(struct sub *s, uint64_t below);
struct reassembly *kxc_reassembly_find(struct sub *s, uint64_t first);
/* tail: also what follows the last part that came. @return entries written */
unsigned int kxc_reassembly_missing(
	const struct reassembly *r, struct kx_nak_entry *out, unsigned int max, bool tail);

/* ---- polled.c */
bool kxc_polled_put(struct sub *s, const struct kx_batch_hdr *b, uint32_t skip);
void kxc_polled_drop(struct sub *s);
/* What comes next for the program is of a log that is gone. */
static inline bool kxc_polled_is_old(const struct sub *s)
{
	return s->ring_tail < s->ring_old;
}
/* Offset of the next message kx_consumer_poll() gives. */
uint64_t kxc_polled_position(const struct sub *s);
/* The program has taken everything below, of the log there is now: none of it while it still takes of one
 * that is gone, however many sessions have brought some since. */
uint64_t kxc_polled_done(const struct sub *s);

/* ---- request.c */
void kxc_request_start(
	struct request *r, struct kx_client *c, uint8_t type, uint64_t timeout_ns, uint64_t now_ns);
void kxc_request_end(struct request *r);
uint64_t kxc_requests_service(struct kx_client *c, uint64_t now_ns);
void kxc_request_answer(struct channel *ch, const struct kx_frame_view *v, uint64_t now_ns);
void kxc_requests_fail(struct kx_client *c, enum kx_result why, uint64_t now_ns);

#endif
