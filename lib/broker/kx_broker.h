/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * Broker: everything one data lcore does with KXP frames, without knowing what a NIC is. Frames in
 * (kx_broker_rx), frames out (through a struct kx_transport), time passed in. Portable; the same code runs in
 * the appliance, under the fuzzers and in tests.
 *
 * One broker object per data lcore; all functions belong to that lcore's thread except those marked "any
 * thread". Nothing is allocated after kx_broker_create(), nothing blocks, each call does bounded work.
 *
 * A turn of the data lcore: kx_broker_rx() for each burst, then kx_broker_poll(), then the transport's flush,
 * then kx_broker_flushed().
 */
#ifndef KX_BROKER_H
#define KX_BROKER_H

#include "kx_session.h"
#include "kx_auth.h"
#include "kx_conf.h"
#include "kx_topic.h"

struct kx_broker;

/** How deliveries leave (ini `deliver_path`). */
enum kx_deliver_path { KX_DELIVER_AUTO = 0, KX_DELIVER_CUT = 1, KX_DELIVER_COPY = 2, KX_DELIVER_SLICE = 3 };

struct kx_broker_config {
	const struct kx_conf *conf; /**< immutable; must outlive the broker */
	uint32_t lcore_index; /**< 0..lcore_count-1: partitions p with p % lcore_count == lcore_index are ours
			       */
	uint32_t lcore_count;
	uint64_t boot_id;		       /**< same for all lcores of one start, never 0 */
	const struct kx_auth_secrets *secrets; /**< shared, immutable; must outlive the broker */
	/** Who may connect and what they may do: kx_broker_principals_load(), shared, immutable; must outlive
	 * the broker. NULL: the broker loads a table of its own. */
	const struct kx_auth_principals *principals;
	struct kx_audit *audit; /**< this lcore's ring of audit events, or NULL */
	struct kx_transport
		transport;   /**< ops: alloc, free, send, room, path_of, forward, send_slice are used */
	uint8_t *log_memory; /**< region for log extents, owned by the caller, aligned to extent_bytes */
	uint64_t log_memory_bytes;
	uint32_t datagram_max_bytes; /**< largest KXP frame of any port (its MTU less headers) */
	uint32_t rx_buffer_frames;   /**< frames that RX descriptors and rings can hold for this lcore: bounds
					credit */
	struct kx_partition_offsets
		*offsets;	  /**< of all partitions by id, cache-aligned, zeroed; shared by the lcores */
	struct kx_ledger *ledger; /**< this lcore's; the broker charges handled and drops to it */
	struct kx_quotas *quotas; /**< shared by all lcores: kx_quotas_create(); NULL: no limits */
	struct kx_producer_ids *producer_ids; /**< shared by all lcores of a start, as is the fence */
	struct kx_fence *fence;
	enum kx_deliver_path deliver_path; /**< AUTO: the crossover below */
	uint32_t cut_min_bytes;	  /**< AUTO: frames from this size on, or alone in their burst, go cut-through
				     when they may */
	uint32_t slice_min_bytes; /**< AUTO: delivery payloads from this size on go as slices when they may */
};

/** Rates of principals and topics, shared by the data lcores of a start. */
struct kx_quotas;
/** @param[out] out NULL when nothing is limited. @return 0, -ENOMEM */
int kx_quotas_create(const struct kx_conf *conf, uint64_t now_ns, struct kx_quotas **out);
/** Only after the brokers that used it. NULL is allowed. */
void kx_quotas_destroy(struct kx_quotas *q);

/**
 * Read the key files that the configuration names and compile its principals. Before the data lcores start.
 * @param why gets one sentence that names the file or principal and what to do
 * @return 0; what kx_key_load() and kx_auth_principals_create() return
 */
int kx_broker_principals_load(
	const struct kx_conf *conf, struct kx_auth_principals **out, struct kx_text *why);

/** The configured principal that an audit event is of: by its number, else by the name that was claimed
 * (none: `anonymous`). Control lcore. @return its number; KX_AUDIT_UNKNOWN: there is none of that name */
uint32_t kx_broker_audit_principal(const struct kx_conf *conf, const struct kx_audit_event *e);
/** Why, for who runs the broker: more than the client was told, which has proven nothing. Nothing is added
 * where there is no reason. Control lcore. */
void kx_broker_audit_reason(const struct kx_conf *conf, const struct kx_audit_event *e, struct kx_text *out);

/** @return 0; -ENOMEM; what kx_broker_principals_load() returns; -EINVAL (log memory smaller than the
 * partitions of this lcore need) */
int kx_broker_create(const struct kx_broker_config *config, struct kx_broker **out);
/** Only after the last turn. Frees sessions and tables; pins must have been released (kx_broker_pins() == 0).
 */
void kx_broker_destroy(struct kx_broker *b);

/**
 * Handle received frames (any number, in order). On return every frame is accounted in the ledger; a frame
 * that was forwarded has frames[i].buf == NULL, every other buffer still belongs to the caller, who frees it.
 */
void kx_broker_rx(struct kx_broker *b, struct kx_frame *frames, unsigned int n, uint64_t now_ns);

/** Once a turn: deliveries under credit, acknowledgements, NAKs, timers. @return work done (0: idle). */
unsigned int kx_broker_poll(struct kx_broker *b, uint64_t now_ns);

/** After the transport's flush: closes the residence measurement of what this turn delivered. */
void kx_broker_flushed(struct kx_broker *b, uint64_t now_ns);

/** Begin a clean stop: every session is sent CLOSE(STOPPING) by the following polls, new ones are refused. */
void kx_broker_stop(struct kx_broker *b, uint64_t now_ns);
/** @return true once every session has been told. */
bool kx_broker_stopped(const struct kx_broker *b);
/** Log pieces still referenced by the port. */
uint32_t kx_broker_pins(const struct kx_broker *b);

/* ---- looking in: any thread; single values are whole, several need not be of the same instant
 * --------------- */

struct kx_session_info {
	uint64_t conn_id;
	uint64_t producer_id;
	uint32_t producer_epoch;
	struct kx_addr remote;
	uint64_t created_ns, last_rx_ns;
	uint64_t rx_frames, tx_frames, rx_bytes, tx_bytes;
	uint64_t messages_in, messages_out;
	uint64_t limit_pkt, limit_bytes, used_bytes; /**< credit granted and used */
	uint64_t duplicates, naks_sent, naks_received;
	uint64_t path_changes; /**< how often its address was another, proven, one */
	uint32_t subscriptions;
	uint32_t principal; /**< its number */
	uint8_t blocked;    /**< enum kx_blocked */
	uint8_t protect;    /**< enum kx_protect: of its frames */
	/* largest frame that we send now, that its client says it sends, that either may ever send */
	uint16_t tx_datagram_bytes, rx_datagram_bytes, datagram_most_bytes;
};
/** Sessions are numbered by slot, 0..conf sessions.max-1. @return false for a free slot. */
bool kx_broker_session_info(const struct kx_broker *b, uint32_t slot, struct kx_session_info *out);
/** The partitions of this lcore; see kx_topic.h for what may be read from any thread. */
const struct kx_topic_table *kx_broker_topics(const struct kx_broker *b);

struct kx_broker_memory {
	uint64_t extents_total, extents_free, extents_low_water, extent_bytes;
	uint64_t reorder_total, reorder_used, reorder_high_water;
	uint64_t sessions_total, sessions_used, session_bytes; /**< session_bytes: of one, with its tables */
	uint64_t producers_total, producers_used;
	uint64_t subscriptions_total, subscriptions_used;
	uint64_t pins;
};
void kx_broker_memory(const struct kx_broker *b, struct kx_broker_memory *out);

/** What producers may send. `granted_pkts` <= `buffer_pkts` always; beyond_room_bytes: see credit.c. */
struct kx_broker_credit {
	uint32_t granted_pkts; /**< that all sessions together may send now */
	uint32_t buffer_pkts;  /**< receive buffers, or sessions.max where that is more */
	uint32_t shared_pkts;  /**< no more than this is granted beyond one a session */
	uint32_t held_frames;
	uint64_t loose_bytes; /**< byte credit of sessions that have not sent anything yet */
	uint64_t
		beyond_room_bytes; /**< of the partition of a blocking topic that is worst off: credit beyond
				      its room, from sessions that went on to it with unused credit; else 0 */
};
/** Owner thread only; walks the partitions: for tests and the simulator. */
void kx_broker_credit(const struct kx_broker *b, struct kx_broker_credit *out);

/** A quota as this lcore sees it; *_per_s of 0: no such limit. */
struct kx_quota_info {
	uint64_t messages_per_s, bytes_per_s; /**< configured, of all lcores */
	uint64_t messages_rate, bytes_rate;   /**< through this lcore, lately */
	uint64_t messages, bytes;	      /**< through this lcore, ever */
	uint64_t throttled_messages_ns,
		throttled_bytes_ns; /**< time in debt, of all lcores: no credit was given */
};
/** @return false: topic or principal (indexes of the configuration) has no limit. */
bool kx_broker_topic_quota(
	const struct kx_broker *b, uint32_t topic, uint64_t now_ns, struct kx_quota_info *out);
bool kx_broker_principal_quota(
	const struct kx_broker *b, uint32_t principal, uint64_t now_ns, struct kx_quota_info *out);

struct kx_broker_counters {
	uint64_t messages_in, messages_out, batches_in, frames_out;
	uint64_t cut_frames, copied_frames, slice_frames; /**< deliveries by path */
	uint64_t repaired_frames;			  /**< deliveries sent again for a NAK */
	uint64_t repairs_deferred;			  /**< times the budget of repairs held one back */
	uint64_t congestions; /**< times that the congestion response of a session came on */
	uint64_t naks_sent, naks_received, acks_sent, trimmed_notices;
	uint64_t path_challenges, path_changes;
	uint64_t take_overs;	/**< new epochs of known producer ids */
	uint64_t fenced;	/**< sessions of older epochs that were closed */
	uint64_t resyncs;	/**< produce frames refused because the state they follow on was evicted */
	uint64_t resumes;	/**< RESUME answered */
	uint64_t exact_repeats; /**< duplicates answered with the offset of that very batch */
};

/** Of one principal on this lcore. */
struct kx_principal_counters {
	uint64_t sessions; /**< open now */
	uint64_t accepted; /**< sessions opened */
	uint64_t refused;  /**< refused at set-up after a right cookie */
	uint64_t denied;   /**< requests for topics it may not use */
};
/** By number, 0..conf principal_count-1; principal_count: of names that are nobody's. */
const struct kx_principal_counters *kx_broker_principal_counters(const struct kx_broker *b, uint32_t id);
/** The table it was given. */
const struct kx_producer_ids *kx_broker_producer_ids(const struct kx_broker *b);
const struct kx_broker_counters *kx_broker_counters(const struct kx_broker *b);
/** Residence histogram (RX burst of a produce frame -> flush of its delivery). */
const struct kx_hist *kx_broker_residence(const struct kx_broker *b);
/** The first topics of the configuration have a residence histogram of their own (270 KB each). */
#define KX_BROKER_RESIDENCE_TOPICS 16
/** Of topic `topic` (index in the configuration) on this lcore; NULL beyond the first. Any thread. */
const struct kx_hist *kx_broker_topic_residence(const struct kx_broker *b, uint32_t topic);

#endif
