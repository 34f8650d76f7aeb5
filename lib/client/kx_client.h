/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * Client: libkaelix. Producer and consumer over any struct kx_transport. Portable, no DPDK, no threads.
 *
 * A *hub* owns one transport and polls it; a *client* is a connection to one broker and belongs to a hub;
 * *producers* and *consumers* belong to a client. One thread owns a hub and everything under it; several hubs
 * in several threads share nothing. Work happens in kx_hub_poll() only: it receives, calls the callbacks,
 * runs the timers and sends. All other functions return at once.
 *
 *     kx_transport_udp_open(...)  kx_hub_open(...)  kx_client_open(...)  kx_producer_open(...)
 *     while (running) { kx_producer_send(...); kx_hub_poll(hub, kx_clock_mono_ns()); }
 *     kx_client_close(...)  kx_hub_close(...)  kx_transport_udp_close(...)
 *
 * doc/client.md explains it as a whole, doc/examples has programs.
 *
 * **Time** is passed in (`now_ns`), in ns of one monotonic clock of the caller's choice that is the same for
 * all calls on a hub; it must not go back. Pass the same value to a group of calls to save clock reads.
 *
 * **Memory**: all of it is allocated by the open functions (where they say so with their options) and given
 * back by the close functions. Nothing is allocated in kx_hub_poll(), kx_producer_send() or a callback's way.
 *
 * **Callbacks** run inside kx_hub_poll() (and inside a close function, for what was still pending). In a
 * callback every function of this header may be called except kx_hub_wait() and the close functions, which
 * answer KX_IN_CALLBACK, and kx_hub_poll(), which returns 0 there and does nothing.
 *
 * **Threads**: a hub and everything under it belong to one thread at a time, its *owner*; the library takes
 * no lock. Each function says which thread may call it:
 *
 * | Thread: | |
 * |---|---|
 * | any | at any time |
 * | owner | the hub's owner, in callbacks too |
 * | owner, not in a callback | outside kx_hub_poll() only; in a callback it does nothing and says so: |
 * | | KX_IN_CALLBACK, kx_hub_poll() 0 |
 *
 * Threads that want to send give their messages to an owner by a queue of the program, then kx_hub_wake().
 * Hubs share nothing: one for each thread that needs its own.
 *
 * **Results** are named: each has a text that says what to do (kx_result_text()). A negative errno value is
 * returned by no function here.
 *
 * **Order and loss.** Messages of one producer to one partition are stored once and in the order of the
 * calls, whatever the network drops, repeats or reorders. A message is safe when its completion says KX_OK:
 * the broker has confirmed the level asked for. Its payload is kept in the send buffer until then. A broker
 * that was restarted and has lost unconfirmed messages is reported by completions with KX_LOST; where it
 * cannot be known, with KX_UNKNOWN_FATE. Both are said only of what was sent: what had not left is sent to
 * the broker of now, behind them. Nothing is silent.
 */
#ifndef KX_CLIENT_H
#define KX_CLIENT_H

#include "kx_session.h"

#ifdef __cplusplus
extern "C" {
#endif

/** X(identifier, text: what it means and what to do). KX_<identifier> is the enumerator. */
#define KX_RESULT_LIST(X)                                                                                    \
	X(OK, "ok")                                                                                          \
	X(BACK_PRESSURED,                                                                                    \
		"no free send slot; call kx_hub_poll() until completions free some, then try again")         \
	X(NOT_CONNECTED, "no session with the broker now; keep polling and wait for KX_EVENT_CONNECTED")     \
	X(NOT_READY, "still being opened; keep polling and wait for its READY event")                        \
	X(TOO_LARGE,                                                                                         \
		"larger than the topic, the datagram or the large-message buffer allows; send less or "      \
		"raise the limit that applies")                                                              \
	X(UNKNOWN_TOPIC, "the broker has no such topic; check the name against kaelix-cli topics")           \
	X(UNKNOWN_PARTITION, "the topic has no such partition; use an index below its partition count")      \
	X(CLOSED, "closed by this side before it was confirmed, its fate is unknown; flush and wait first")  \
	X(BAD_ARGUMENT, "an argument is outside its range; the function's description says which")           \
	X(LOST, "the broker was restarted and has lost it; send it again if it still matters")               \
	X(UNKNOWN_FATE,                                                                                      \
		"the broker cannot tell whether it was stored; look for it, or send it again and be ready "  \
		"for "                                                                                       \
		"it twice")                                                                                  \
	X(TIMED_OUT, "no answer in time; check address, network and broker, then try again")                 \
	X(REFUSED, "the broker refused; the code beside it says why")                                        \
	X(FENCED, "another client has taken this producer id over; stop, or open a new client for a new id") \
	X(IN_USE, "already open on this client, or closed with messages pending; use another client")        \
	X(NO_MEMORY, "out of memory, or a table whose size was given at open is full; raise that size")      \
	X(IN_CALLBACK, "not allowed inside a callback; call it after kx_hub_poll() has returned")            \
	X(BAD_STATE,                                                                                         \
		"calls in the wrong order; commit or cancel a claim first, kx_consumer_ack() needs "         \
		"manual_ack, kx_hub_arm() needs kx_hub_fd()")                                                \
	X(STOPPING, "the broker is stopping; wait for it to come back")                                      \
	X(EMPTY, "nothing there now; call kx_hub_poll() and try again")                                      \
	X(UNSUPPORTED, "the transport has no descriptor to sleep on; call kx_hub_poll() in a loop")          \
	X(BROKER_UNPROVEN,                                                                                   \
		"the broker does not prove that it knows this principal's key: another broker answers, or "  \
		"somebody between; check the address and the key file")                                      \
	X(NO_TICKET, "the data lcore does not exist or its channel cannot be opened; use a lower index")
enum kx_result {
#define KX_RESULT_ENUM(id, text) KX_##id,
	KX_RESULT_LIST(KX_RESULT_ENUM)
#undef KX_RESULT_ENUM
		KX_RESULT_COUNT
};
/** "BACK_PRESSURED"; "?" outside the enum. Thread: any. */
const char *kx_result_name(enum kx_result r);
/** What it means and what to do. Thread: any. */
const char *kx_result_text(enum kx_result r);

struct kx_hub;
struct kx_client;
struct kx_producer;
struct kx_consumer;

/* ---- hub ---------------------------------------------------------------------------------------------- */

struct kx_hub_opts {
	uint32_t channels_max; /**< channels of all clients together, 1..1048576; 0: 1024 */
	uint32_t rx_burst;     /**< frames taken a turn, 1..256; 0: 64 */
	uint32_t tx_burst; /**< frames one channel may send a turn before the next has its go, 1..1024; 0: 64
			    */
};
/**
 * Open a hub on a transport, which must outlive it.
 * @param opts  NULL: defaults.
 * @return KX_OK, KX_BAD_ARGUMENT, KX_NO_MEMORY
 * Thread: any; who opens a hub owns it (it may be handed to another thread while nobody uses it).
 */
enum kx_result kx_hub_open(
	const struct kx_transport *transport, const struct kx_hub_opts *opts, struct kx_hub **out);
/** Closes the clients it still has (kx_client_close) and frees the hub. NULL is fine. @return KX_OK,
 * KX_IN_CALLBACK
 * Thread: owner, not in a callback.
 */
enum kx_result kx_hub_close(struct kx_hub *hub, uint64_t now_ns);
/**
 * One bounded turn: at most one RX burst, its callbacks, the timers that are due, what is to be sent, one
 * flush. Never blocks. The cost does not depend on how many clients are idle.
 * @return frames received and sent plus timers run; 0: nothing was there to do, or called in a callback.
 * Thread: owner, not in a callback.
 */
unsigned int kx_hub_poll(struct kx_hub *hub, uint64_t now_ns);
/**
 * When kx_hub_poll() must be called again if nothing arrives: a time in ns, 0 for "at once" (there is
 * something to send now), UINT64_MAX for never. A program that sleeps waits for its transport's descriptor
 * until then; it polls until kx_hub_poll() returns 0 first.
 * Thread: owner.
 */
uint64_t kx_hub_next_deadline_ns(const struct kx_hub *hub);

/* ---- sleeping: either one's own loop with kx_hub_fd() and kx_hub_arm(), or kx_hub_wait() */

/**
 * One descriptor for poll(), epoll or an event loop, level-triggered: readable when a datagram has come or
 * the time given to kx_hub_arm() has been reached. It belongs to the hub: it is the same at each call, is
 * closed by kx_hub_close(), and is not read or written by the program.
 *
 * The contract: **kx_hub_arm() is the last thing before each sleep**, whatever was called since the last one
 * (also when that was kx_producer_send() and not kx_hub_poll()). When the descriptor is readable:
 * kx_hub_poll() until it returns 0 or the program has other things to do, then kx_hub_arm() again.
 *
 * @return KX_OK and *fd; KX_UNSUPPORTED (the transport has none), KX_NO_MEMORY (out of
 * descriptors), KX_BAD_ARGUMENT
 * Thread: owner.
 */
enum kx_result kx_hub_fd(struct kx_hub *hub, int *fd);
/**
 * Set the timer behind kx_hub_fd() to kx_hub_next_deadline_ns(), "at once" when something is waiting to be
 * sent or read. A system call only when that time has changed.
 * @return KX_OK, KX_BAD_STATE (kx_hub_fd() was not called), KX_BAD_ARGUMENT
 * Thread: owner.
 */
enum kx_result kx_hub_arm(struct kx_hub *hub, uint64_t now_ns);
/**
 * Sleep until a datagram has come, something is due, kx_hub_wake() was called, a signal arrived, or
 * max_wait_ns have passed (UINT64_MAX: no limit). Returns at once when something is waiting to be sent or
 * read. For programs without a loop of their own: `if (kx_hub_poll(hub, now) == 0) kx_hub_wait(hub, now,
 * max);`
 * @return KX_OK, KX_UNSUPPORTED (the transport has no descriptor), KX_IN_CALLBACK,
 * KX_BAD_ARGUMENT
 * Thread: owner, not in a callback.
 */
enum kx_result kx_hub_wait(struct kx_hub *hub, uint64_t now_ns, uint64_t max_wait_ns);
/**
 * End the kx_hub_wait() of the owner thread, the next one if it is not in one: what a program does after it
 * gave work to that thread (over a queue of its own). From a signal handler, too; the hub must not be
 * closed meanwhile. Has no effect on kx_hub_fd().
 * Thread: any.
 */
void kx_hub_wake(struct kx_hub *hub);

struct kx_hub_stats {
	uint64_t rx_frames;  /**< received */
	uint64_t rx_unknown; /**< of these: no client of ours has this connection id or nonce, or wrong source
			      */
	uint64_t rx_bad;     /**< of these: refused by kx_frame_check(), or not protected as their session's
				frames are, by reason in `drop` */
	uint64_t tx_frames;  /**< given to the transport */
	uint64_t tx_no_buffer; /**< the transport had no buffer; tried again later */
	uint64_t drop[KX_DROP_COUNT];
};
/** Counters since open. Other threads read them with kx_counter_read(). Thread: any. */
const struct kx_hub_stats *kx_hub_stats(const struct kx_hub *hub);

/* ---- client ------------------------------------------------------------------------------------------- */

enum kx_event_type {
	KX_EVENT_CONNECTED = 1,	   /**< session to the broker's first lcore is up (again) */
	KX_EVENT_CONNECT_FAILED,   /**< connect_timeout_ns passed or the broker refused: result, code. Told
				      again when the reason is another one. Tries go on unless `no_reconnect`.
				      With a key, a refusal (or ACCEPT) that does not prove that its sender
				      knows it, as when ours is wrong, is not believed: tries go on, and it is
				      told when connect_timeout_ns has passed */
	KX_EVENT_DISCONNECTED,	   /**< a session ended: result LOST (broker restarted), UNKNOWN_FATE (session
				      gone), TIMED_OUT (silence), STOPPING (it said so), REFUSED; set-up starts
				      anew */
	KX_EVENT_PRODUCER_READY,   /**< `producer` may send; `count`: partitions of the topic */
	KX_EVENT_PRODUCER_FAILED,  /**< `producer` was refused: result, code. Only kx_producer_close() is of
				      use now */
	KX_EVENT_CONSUMER_READY,   /**< `consumer` receives from all its partitions (again); `count`: how many
				    */
	KX_EVENT_CONSUMER_FAILED,  /**< `consumer` was refused: result, code. Only kx_consumer_close() is of
				      use now */
	KX_EVENT_OFFSET_TRIMMED,   /**< [first, last] of `partition` are gone; delivery goes on at last + 1 */
	KX_EVENT_OFFSET_TRUNCATED, /**< `partition` was cut back to `first`: what came from there on was
				      retracted */
	KX_EVENT_OWNER_CHANGED,	   /**< `partition` moved to data lcore `count`; nothing to do */
	KX_EVENT_FENCED, /**< somebody took this client's producer id over (kx_client_opts.producer_id): what
			    was pending is completed with KX_FENCED, its producers are over. Consumers go on
			  */
	KX_EVENT_THROTTLED, /**< data wait because the broker grants no more, or takes nothing now;
			       `code`: enum kx_blocked, the cause (log full, buffers, quota, ...); `count`:
			       its data lcore. Again when the cause changes. Nothing is lost:
			       kx_producer_send() says BACK_PRESSURED when slots run out */
	KX_EVENT_RESUMED,   /**< for 100 ms nothing was held back any more, or the session that was
			       throttled is gone; `code`: what the last cause was; `first`: ns since
			       THROTTLED. Once for each time that THROTTLED began */
	KX_EVENT_LOST,	    /**< the broker was restarted and has lost messages of `producer` that it had
			       confirmed: `count` of them, all with offsets in [first, last] of `partition`
			       (of the log before the restart; exact when nobody else wrote between them).
			       Told before PRODUCER_READY; what was sent and not confirmed is completed with
			       KX_LOST, what was not sent yet goes to the new log */
	KX_EVENT_CONSUMER_WAITING /**< the broker has no place for the subscription of `consumer` to
				     `partition` now; `code`: why (SUBS_FULL: its table, or the session's
				     share of it). Asked again after 1 s, then less and less often, every 30 s
				     in the end; CONSUMER_READY follows when it has worked. Told once for each
				     time that the consumer has to wait. Close consumers that are not needed,
				     or have [sessions] max_subscriptions of the broker raised */
};
struct kx_event {
	enum kx_event_type type;
	enum kx_result result; /**< KX_OK where the type says nothing */
	uint32_t code;	       /**< enum kx_code of the broker, where it refused */
	uint32_t partition;    /**< index in the topic */
	uint32_t count;
	uint32_t zero;
	uint64_t first, last;
	struct kx_client *client;
	struct kx_producer *producer; /**< or NULL */
	struct kx_consumer *consumer; /**< or NULL */
};
/** Name of an event type ("CONNECTED"); "?" when unknown. Thread: any. */
const char *kx_event_name(enum kx_event_type type);

struct kx_client_opts {
	struct kx_addr broker; /**< one of the broker's data lcores */
	const char *principal; /**< name, at most 63 bytes; NULL: none. Copied */
	const void *key;       /**< the principal's key, KX_KEY_BYTES_MIN..KX_KEY_BYTES_MAX bytes: from
				  kx_key_load() or from elsewhere. Copied into a page of its own that is locked
				  and left out of core dumps (ulimit -l must allow it, else kx_client_open()
				  says KX_NO_MEMORY), wiped when the client is closed. NULL: none, and the
				  client is anonymous */
	uint32_t key_bytes;
	enum kx_protect protect; /**< how frames are protected, at least (the broker may demand more of the
				    principal): PLAIN (0, default), MAC (tags that nobody else can make), AEAD
				    (encrypted too). Not without a key */
	uint64_t connect_timeout_ns; /**< until KX_EVENT_CONNECT_FAILED; 0: 5 s */
	uint64_t producer_id;	     /**< go on as this producer, of an earlier client of the same principal
					(kx_client_info): it gets a new epoch, and whoever still has an older one is
					fenced. 0: a new id. kx_client_info.taken_over says whether the broker
					knew it */
	bool no_reconnect;	/**< true: after a session ended, or could not be set up, stay down; what was
				   not sent then completes with KX_NOT_CONNECTED */
	uint32_t channels_max;	/**< data lcores of the broker that can be used at once, 1..256; 0: 4. About
				   100 KiB each */
	uint32_t producers_max; /**< 1..127; 0: 4. So many topics can be produced to in the client's life: a
				   closed producer keeps its place for when its topic is opened again */
	uint32_t consumers_max; /**< 1..1024; 0: 4 */
	uint32_t subscriptions_max; /**< partitions consumed at once, 1..65536; 0: 64 */
	uint32_t requests_max;	    /**< topics, metadata, ping in progress, 1..1024; 0: 16 */
	void (*on_event)(void *user, const struct kx_event *event); /**< NULL: none */
	void *user;
};
/**
 * Open a client: set-up starts with the next kx_hub_poll(); KX_EVENT_CONNECTED follows. Producers and
 * consumers may be opened at once, they become ready in their turn.
 * @return KX_OK, KX_BAD_ARGUMENT, KX_NO_MEMORY
 * Thread: owner.
 */
enum kx_result kx_client_open(
	struct kx_hub *hub, const struct kx_client_opts *opts, uint64_t now_ns, struct kx_client **out);
/**
 * Tell the broker (CLOSE on each channel, sent before return), complete what is pending with KX_CLOSED, close
 * its producers and consumers, free it. To keep what was sent: kx_producer_flush() and poll until
 * kx_producer_pending() is 0 first. NULL is fine. @return KX_OK, KX_IN_CALLBACK
 * Thread: owner, not in a callback.
 */
enum kx_result kx_client_close(struct kx_client *client, uint64_t now_ns);
/** @return true while the session to the first lcore is up. Thread: owner. */
bool kx_client_connected(const struct kx_client *client);

/** What the broker said in ACCEPT; zeros before the first. */
struct kx_client_info {
	uint64_t boot_id;
	uint64_t producer_id;
	uint32_t producer_epoch;
	uint32_t config_generation;
	uint16_t base_port, lcore_count, first_lcore;
	uint16_t datagram_bytes; /**< largest KXP frame on the first channel now: grows as probes of the path
				    are answered */
	uint32_t idle_timeout_ms, heartbeat_ms;
	uint8_t durability; /**< highest level of any topic */
	bool connected;
	uint16_t datagram_most_bytes; /**< that it can become */
	bool taken_over; /**< producer_id is that of kx_client_opts; false when that was 0 or is not known any
			    more */
	uint32_t refused;      /**< enum kx_result, KX_OK for none: what answered set-ups since the last
				  session without proof, and is therefore no event yet */
	uint32_t refused_code; /**< enum kx_code beside it */
};
/** Thread: owner. */
void kx_client_info(const struct kx_client *client, struct kx_client_info *out);

struct kx_client_stats {
	uint64_t tx_frames, rx_frames;
	uint64_t connects;	     /**< sessions set up, channels included */
	uint64_t messages_sent;	     /**< given to send or commit */
	uint64_t messages_committed; /**< confirmed */
	uint64_t messages_failed;    /**< completed with another result than KX_OK */
	uint64_t produce_frames;     /**< first sendings, fragments included */
	uint64_t retransmits;	     /**< sent again: named by a NAK, or not confirmed for long */
	uint64_t repairs_deferred;   /**< turns in which the budget held a repair back */
	uint64_t congestions;	     /**< times that the congestion response came on */
	uint64_t probes;	     /**< HEARTBEATs because of silence */
	uint64_t naks_received;	     /**< packets named */
	uint64_t blocked_turns;	     /**< turns in which data waited for credit */
	uint64_t messages_received;  /**< given to on_batch or the polling buffer */
	uint64_t batches_received;
	uint64_t duplicate_batches;  /**< dropped */
	uint64_t held_frames;	     /**< came too early and were kept */
	uint64_t held_dropped;	     /**< came too early and there was no room: repaired later */
	uint64_t naks_sent;	     /**< holes named */
	uint64_t repaired_holes;     /**< holes that closed */
	uint64_t trimmed_messages;   /**< offsets skipped because the broker no longer had them */
	uint64_t path_changes;	     /**< PATH_CHALLENGEs answered: the broker saw our address change */
	uint64_t mtu_probes;	     /**< frames sent to find out what the path carries */
	uint64_t mtu_falls;	     /**< times that it carried less than before */
	uint64_t tx_datagram_bytes;  /**< gauge: largest frame sent on the first channel now; 0: no session */
	uint64_t rx_datagram_bytes;  /**< gauge: largest that its broker said it sends; 0: not known now */
	uint64_t rtt_ns, rtt_min_ns; /**< smoothed, smallest; first channel; 0 before the first sample */
};
/** Sums over the channels. Thread: owner. */
void kx_client_stats(const struct kx_client *client, struct kx_client_stats *out);

/* ---- requests: one callback each, exactly once unless it says "pages"
 * --------------------------------------- */

struct kx_topic_info {
	const char *name; /**< terminated; valid in the callback */
	uint32_t partition_count;
	uint8_t durability; /**< enum kx_durability */
	uint8_t overrun;    /**< 0 trim, 1 block */
};
/** Pages of topics in order, at least one call; `last` on the final one. result != KX_OK: no entries, last.
 */
typedef void (*kx_topics_fn)(
	void *user, enum kx_result result, const struct kx_topic_info *topics, uint32_t count, bool last);
/** All topics of the broker. timeout_ns 0: 5 s. @return KX_OK, KX_BAD_ARGUMENT, KX_NO_MEMORY (requests_max).
 * Thread: owner. */
enum kx_result kx_client_topics(
	struct kx_client *client, uint64_t timeout_ns, uint64_t now_ns, kx_topics_fn fn, void *user);

struct kx_partition_info {
	uint32_t index;	    /**< in the topic */
	uint32_t partition; /**< broker-wide id */
	uint16_t owner_port;
	uint16_t lcore; /**< owner_port - base_port */
	uint32_t log_epoch;
	uint64_t first_offset, committed_offset, next_offset;
};
struct kx_metadata_info {
	const char *topic;
	uint32_t partition_count, max_message_bytes, config_generation;
	uint8_t durability, overrun;
	uint32_t code; /**< enum kx_code where result is KX_REFUSED or KX_UNKNOWN_TOPIC */
};
/** Pages of partitions in order, at least one call; `last` on the final one. */
typedef void (*kx_metadata_fn)(void *user, enum kx_result result, const struct kx_metadata_info *info,
	const struct kx_partition_info *partitions, uint32_t count, bool last);
/** @return KX_OK, KX_BAD_ARGUMENT (name empty or longer than 63 bytes), KX_NO_MEMORY. Thread: owner. */
enum kx_result kx_client_metadata(struct kx_client *client, const char *topic, uint64_t timeout_ns,
	uint64_t now_ns, kx_metadata_fn fn, void *user);

#define KX_LCORE_FIRST UINT32_MAX /**< the lcore of kx_client_opts.broker */
/** @param rtt_ns whole round trip by the client's clock; @param residence_ns of it inside the broker */
typedef void (*kx_ping_fn)(
	void *user, enum kx_result result, uint32_t lcore, uint64_t rtt_ns, uint64_t residence_ns);
/**
 * Round trip to a data lcore; opens the channel there if need be (not counted in rtt_ns). One datagram, never
 * repeated: a lost one is KX_TIMED_OUT. The time is taken at the polls that send and receive.
 * @return KX_OK, KX_BAD_ARGUMENT, KX_NO_MEMORY, KX_NO_TICKET (no such lcore), KX_NOT_CONNECTED
 * Thread: owner.
 */
enum kx_result kx_client_ping(struct kx_client *client, uint32_t lcore, uint64_t timeout_ns, uint64_t now_ns,
	kx_ping_fn fn, void *user);

/* ---- producer ----------------------------------------------------------------------------------------- */

#define KX_PARTITION_AUTO (-1) /**< by key; without a key round robin, a batch at a time */

/** One batch left the send buffer. Valid during the callback. */
struct kx_completion {
	struct kx_producer *producer;
	uint64_t user;	      /**< of kx_producer_commit(), or of the batch's first message */
	uint64_t first_seq;   /**< sequence of its first message in its partition, from 0, and again from 0
				 with each new producer identity: also of what was queued before */
	uint64_t next_offset; /**< one beyond the batch's last message; exact when offset_exact, else an upper
				 bound; 0 when result is not KX_OK */
	uint64_t sent_ns;     /**< now_ns of the turn that sent it first; 0: never sent */
	uint32_t partition;   /**< index in the topic */
	uint32_t count;	      /**< messages */
	uint32_t code;	      /**< enum kx_code when the broker refused it */
	enum kx_result result;
	uint8_t level; /**< enum kx_durability that was confirmed */
	bool offset_exact;
};
struct kx_producer_opts {
	const char *topic;    /**< 1..63 bytes; copied */
	uint64_t linger_ns;   /**< how long kx_producer_send() may wait for more messages of a batch; 0: it
				 leaves with the next kx_hub_poll() */
	uint32_t batch_bytes; /**< largest batch, header included; 0: what fits a datagram. 80.. */
	uint32_t send_slots;  /**< batches kept until confirmed, 2..1048576; 0: 1024 */
	uint32_t slot_bytes;  /**< memory of a slot, 1232..65000, 0: 1372; raise for jumbo datagrams (up
				 to 65000) */
	uint32_t large_bytes; /**< buffer for messages larger than a datagram; 0: none of these can be sent.
				 Such a message takes its size + 88 bytes until confirmed */
	uint32_t partitions_max; /**< most partitions the topic may have, 0: 256; more is KX_NO_MEMORY at
				    ready. Of a topic that was open before no more than at its first
				    kx_producer_open(), which 0 then stands for */
	uint8_t level; /**< enum kx_durability to wait for; 0: the topic's. A higher one is refused */
	void (*on_complete)(void *user, const struct kx_completion *completion); /**< NULL: none */
	void *user;
	bool polled; /**< completions are kept for kx_producer_poll(); on_complete must be NULL */
};
/**
 * Open a producer; KX_EVENT_PRODUCER_READY or _FAILED follows. One producer a topic and client. A topic whose
 * producer was closed may be opened again, its sequences go on; when messages were pending as it was closed,
 * only after the client got a new producer identity.
 * @return KX_OK, KX_BAD_ARGUMENT, KX_IN_USE, KX_FENCED (KX_EVENT_FENCED came); KX_NO_MEMORY (also when
 * kx_client_opts.producers_max topics have been opened before, now closed or not)
 * Thread: owner.
 */
enum kx_result kx_producer_open(struct kx_client *client, const struct kx_producer_opts *opts,
	uint64_t now_ns, struct kx_producer **out);
/**
 * Complete what is pending with KX_CLOSED and free its buffers; `producer` is not to be used any more. Its
 * place and the tables of its partitions stay the client's until that is closed. When the broker was
 * restarted and has not yet said what it still has, KX_EVENT_LOST comes first, for everything that was
 * confirmed. NULL is fine.
 * @return KX_OK, KX_IN_CALLBACK
 * Thread: owner, not in a callback.
 */
enum kx_result kx_producer_close(struct kx_producer *producer, uint64_t now_ns);

struct kx_message {
	const void *value;
	uint32_t value_bytes; /**< 0 is a message too */
	int32_t partition;    /**< index, or KX_PARTITION_AUTO */
	const void *key;      /**< NULL: none. Kept with the record, hashed to its stream */
	uint16_t key_bytes;   /**< 1.. with a key */
	uint8_t header_count; /**< 0..16 */
	uint8_t zero;
	uint32_t zero2;
	const struct kx_header_view *headers;
	uint64_t timestamp_ns; /**< kept with the record; 0: none */
	uint64_t stream_key;   /**< without `key`: the stream as a number; 0: none */
	uint64_t user;	       /**< for the completion, when it is the first of its batch */
};
/**
 * Append a message (copied) to the open batch of its partition. Sent when the batch is full, when linger_ns
 * have passed, or by kx_producer_flush().
 * @return KX_OK; KX_BACK_PRESSURED, KX_NOT_CONNECTED, KX_NOT_READY: nothing was taken, try later;
 * KX_TOO_LARGE, KX_UNKNOWN_PARTITION, KX_BAD_ARGUMENT, KX_BAD_STATE (a claim is open)
 * Thread: owner.
 */
enum kx_result kx_producer_send(
	struct kx_producer *producer, const struct kx_message *message, uint64_t now_ns);
/**
 * The fast way: room for `count` plain records of value_bytes each in one batch of its own, their headers
 * written. The caller fills values[i * stride_bytes .. + value_bytes) and calls kx_producer_commit().
 * @param partition  index in the topic
 * @param values     out: first value, 8-byte aligned
 * @param stride_bytes  out: from one value to the next
 * @return as kx_producer_send(); KX_TOO_LARGE when count records do not fit the largest datagram of the
 * session and slot_bytes. More than kx_producer_fit() go in fragments.
 * Thread: owner.
 */
enum kx_result kx_producer_claim(struct kx_producer *producer, uint32_t partition, uint64_t stream_key,
	uint32_t value_bytes, uint32_t count, uint8_t **values, uint32_t *stride_bytes);
/** Finish the claimed batch (CRC) and queue it for the next kx_hub_poll(). @return KX_OK, KX_BAD_STATE.
 * Thread: owner. */
enum kx_result kx_producer_commit(struct kx_producer *producer, uint64_t user, uint64_t now_ns);
/** Give a claim back unsent. Harmless without one. Thread: owner. */
void kx_producer_cancel(struct kx_producer *producer);
/** Plain records of value_bytes that fit one batch of one datagram now (at least 1 when a batch can hold it
 * at all); changes with the size that the path is known to carry; 0 before it is ready. Thread: owner. */
uint32_t kx_producer_fit(const struct kx_producer *producer, uint32_t value_bytes);
/** Close the open batches, so that the next kx_hub_poll() sends them. Does not wait. Thread: owner. */
void kx_producer_flush(struct kx_producer *producer, uint64_t now_ns);
/**
 * Take up to `max` completions of a producer opened with `polled`, in the order in which a callback would
 * have got them. A completion that is not taken keeps the place of its batch in the send buffer: none is ever
 * lost, and a program that never polls is KX_BACK_PRESSURED in the end. Those of kx_producer_close() cannot
 * be taken any more: poll until kx_producer_pending() is 0 first. @return
 * how many; 0: none now, or not opened with `polled`
 * Thread: owner.
 */
uint32_t kx_producer_poll(struct kx_producer *producer, struct kx_completion *out, uint32_t max);
/**
 * How far a level has got, whichever one completions wait for: all sequences of `partition` (index) below the
 * returned one are confirmed at `level` (enum kx_durability) or higher. Starts at 0, again with each new
 * producer identity (KX_LOST, KX_UNKNOWN_FATE).
 * Thread: owner.
 */
uint64_t kx_producer_confirmed(const struct kx_producer *producer, uint32_t partition, uint8_t level);
/** Messages taken and not yet completed. Thread: owner. */
uint64_t kx_producer_pending(const struct kx_producer *producer);
/** Send slots that are free now: claims that will not be KX_BACK_PRESSURED. Thread: owner. */
uint32_t kx_producer_room(const struct kx_producer *producer);
/** Partitions of the topic; 0 before it is ready. Thread: owner. */
uint32_t kx_producer_partitions(const struct kx_producer *producer);
/** The topic's name. Thread: owner. */
const char *kx_producer_topic(const struct kx_producer *producer);

/* ---- consumer ----------------------------------------------------------------------------------------- */

#define KX_PARTITION_ALL (-1)

/** One batch, in order. Bytes and pointers are valid during the callback only. */
struct kx_batch_view {
	struct kx_consumer *consumer;
	const struct kx_batch_hdr *batch; /**< checked, CRC included */
	uint64_t first_offset;		  /**< of the first record to look at: base_offset + skip */
	uint64_t rx_ns;	    /**< when its frame (the last one, if several) was taken from the transport */
	uint32_t partition; /**< index in the topic */
	uint32_t skip;	    /**< records at the front that lie before the start offset */
	uint32_t count;	    /**< records to look at: record_count - skip */
	bool held;	    /**< came too early, or in parts, and was copied */
};
/** Iterator over the records to look at (kx_record_next()). */
static inline struct kx_record_iter kx_batch_records(const struct kx_batch_view *view)
{
	struct kx_record_iter it = kx_record_first(view->batch);
	struct kx_record r;

	for (uint32_t i = 0; i < view->skip; i++)
		(void)kx_record_next(&it, &r);
	return it;
}

struct kx_consumer_opts {
	const char *topic;     /**< 1..63 bytes; copied */
	int32_t partition;     /**< index, or KX_PARTITION_ALL */
	uint64_t start_offset; /**< or KX_OFFSET_EARLIEST, KX_OFFSET_NOW: in each partition. An offset that is
				  gone is told by KX_EVENT_OFFSET_TRIMMED */
	uint32_t window_bytes; /**< credit a partition: bytes that may be on the way; 0: 256 KiB. 4096..
				  No less than the largest datagram of the session is used */
	uint32_t hold_frames;  /**< frames kept while a hole before them is repaired, all partitions, 0: one
				  for each KiB of window_bytes, at least 256 */
	uint32_t hold_bytes;   /**< memory of one of them, 1232..65000, 0: 1372; raise for jumbo datagrams */
	uint32_t large_bytes;  /**< largest batch of several datagrams that is put together; 0: 1 MiB + 4 KiB.
				  Two of them a consumer */
	uint32_t partitions_max; /**< with KX_PARTITION_ALL and `polled`: most partitions the topic may have,
				    0: the client's subscriptions_max; more is KX_NO_MEMORY when they are
				    known */
	/** No on_batch: kx_consumer_poll() is used. Twice window_bytes (at least twice large_bytes, and 127
	 * KiB) are reserved for each partition by kx_consumer_open(); pages are used when they are written.
	 */
	bool polled;
	bool manual_ack; /**< kx_consumer_ack() says what the program is done with; otherwise what was given
			    to on_batch, or taken with kx_consumer_poll(), is done */
	void (*on_batch)(void *user, const struct kx_batch_view *view);
	void *user;
};
/**
 * Open a consumer; KX_EVENT_CONSUMER_READY or _FAILED follows, batches come by on_batch. After a lost session
 * it subscribes again where it was.
 * @return KX_OK, KX_BAD_ARGUMENT, KX_NO_MEMORY
 * Thread: owner.
 */
enum kx_result kx_consumer_open(struct kx_client *client, const struct kx_consumer_opts *opts,
	uint64_t now_ns, struct kx_consumer **out);
/** Unsubscribe (told once; the broker ends it with the session at the latest) and free. NULL is fine. @return
 * KX_OK, KX_IN_CALLBACK
 * Thread: owner, not in a callback.
 */
enum kx_result kx_consumer_close(struct kx_consumer *consumer, uint64_t now_ns);
/**
 * Go on at another offset: what was received beyond the program's position is dropped, a new subscription is
 * made; the next message is the first at or behind `offset`. From inside on_batch it takes effect when the
 * callback returns: nothing more of the old place comes.
 * An offset that the broker has no more is answered with KX_EVENT_OFFSET_TRIMMED, one beyond the end with
 * KX_EVENT_OFFSET_TRUNCATED; delivery goes on at the first, or at the end.
 * @param partition  index, or KX_PARTITION_ALL: each of them
 * @param offset     or KX_OFFSET_EARLIEST (the beginning), KX_OFFSET_NOW (the end)
 * @return KX_OK; KX_NOT_READY (partitions not known yet); KX_UNKNOWN_PARTITION; KX_BAD_STATE (it has failed);
 * KX_BAD_ARGUMENT
 * Thread: owner.
 */
enum kx_result kx_consumer_seek(
	struct kx_consumer *consumer, int32_t partition, uint64_t offset, uint64_t now_ns);
/**
 * No more messages of a partition (index, or KX_PARTITION_ALL) until kx_consumer_resume(): on_batch is not
 * called, kx_consumer_poll() passes over it. The subscription stays, and holds a log that blocks. Credit is
 * not extended: at most one window comes and is kept as far as hold_frames goes, the rest is asked for again
 * later. Effective at once, also in on_batch. Pausing twice is pausing once.
 * @return as kx_consumer_seek()
 * Thread: owner.
 */
enum kx_result kx_consumer_pause(struct kx_consumer *consumer, int32_t partition);
/** End a pause: messages go on where they stopped, with the next kx_hub_poll(). @return as
 * kx_consumer_seek(). Thread: owner. */
enum kx_result kx_consumer_resume(struct kx_consumer *consumer, int32_t partition, uint64_t now_ns);
/**
 * With manual_ack: the program is done with all messages of a partition (index) below `offset`. Frees room in
 * a log with `overrun = block`, which otherwise stays taken: a program that does not acknowledge stops the
 * producers of such a topic once the log is full. Told with the next credit, at most 100 us later. Holds as
 * long as the session: one that is set up anew begins at kx_consumer_position().
 * @return KX_OK, also when it says less than before; KX_BAD_STATE (without manual_ack); KX_UNKNOWN_PARTITION;
 * KX_NOT_READY; KX_BAD_ARGUMENT (beyond kx_consumer_position())
 * Thread: owner.
 */
enum kx_result kx_consumer_ack(
	struct kx_consumer *consumer, uint32_t partition, uint64_t offset, uint64_t now_ns);
/** Offset of the next message of a partition (index) that on_batch or kx_consumer_poll() will give;
 * UINT64_MAX before it is subscribed.
 * Thread: owner.
 */
uint64_t kx_consumer_position(const struct kx_consumer *consumer, uint32_t partition);
/** Highest offset + 1 known to exist in a partition (from deliveries, heartbeats, SUBSCRIBED). Thread: owner.
 */
uint64_t kx_consumer_end(const struct kx_consumer *consumer, uint32_t partition);
/** Partitions it receives from; 0 before it is ready. Thread: owner. */
uint32_t kx_consumer_partitions(const struct kx_consumer *consumer);

/** One message of a polled consumer; pointers are valid until the next kx_consumer_poll() or kx_hub_poll().
 */
struct kx_polled {
	struct kx_record record;
	uint64_t offset;
	uint64_t stream_key; /**< of the batch; a record with a key has its own */
	uint64_t append_time_ns;
	uint32_t partition;
};
/**
 * Next message of a consumer opened with `polled`. Order holds inside a partition.
 * @return KX_OK and *out; KX_EMPTY; KX_BAD_STATE for a consumer with on_batch
 * Thread: owner.
 */
enum kx_result kx_consumer_poll(struct kx_consumer *consumer, uint64_t now_ns, struct kx_polled *out);

#ifdef __cplusplus
}
#endif
#endif
