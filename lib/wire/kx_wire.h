/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * Wire: the KXP frame and the record batch, byte for byte. Portable.
 *
 * `doc/protocol.md` is the specification; the structures here are its layouts. All integers are
 * little-endian, every structure is a multiple of 8 bytes and starts at a multiple of 8 from the frame's
 * first byte. A record batch has one layout on the wire, in log memory and on disk.
 *
 * kx_frame_check() reads a received frame once, completely, and changes nothing; the accessors after it rely
 * on it. All functions here may be called from any thread; they keep no state.
 */
#ifndef KX_WIRE_H
#define KX_WIRE_H

#include "kx_base.h"
#include "kx_stats.h"

#ifdef __cplusplus
extern "C" {
#ifndef _Static_assert
#define _Static_assert static_assert
#endif
#endif

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the wire structures are read in place: a little-endian CPU is needed"
#endif

#define KX_WIRE_VERSION	       1
#define KX_FRAME_MAX_BYTES     65000 /**< largest KXP frame (one UDP datagram) that is ever accepted */
#define KX_DATAGRAM_DEFAULT_V4 1372  /**< KXP bytes in a 1400-byte IPv4 packet */
#define KX_DATAGRAM_DEFAULT_V6 1232  /**< KXP bytes in a 1280-byte IPv6 packet */
#define KX_HELLO_BYTES	       512   /**< HELLO and AUTH are padded to this; replies are never larger */
#define KX_DATAGRAM_MIN_BYTES  KX_DATAGRAM_DEFAULT_V6 /**< smallest datagram size a peer may name */
#define KX_MESSAGE_MAX_BYTES   (16u << 20)	      /**< largest payload of one record */
#define KX_BATCH_MAX_BYTES                                                                                   \
	(KX_MESSAGE_MAX_BYTES + 4096u) /**< largest batch: with its header, key and headers */
#define KX_LCORES_MAX	      256      /**< data lcores of a broker */
#define KX_TOPIC_NAME_MAX     63       /**< bytes of a topic name */
#define KX_PRINCIPAL_NAME_MAX 63
#define KX_NONCE_BYTES	      16
#define KX_COOKIE_BYTES	      32
#define KX_TICKET_BYTES	      80
#define KX_MAC_BYTES	      32 /**< HMAC-SHA256 in AUTH and ACCEPT */
#define KX_PORT_CLOSED	      0

/** Frame types. C: sent by clients, B: sent by brokers. */
enum kx_frame_type {
	KX_HELLO = 0x01,	   /**< C  first frame, padded */
	KX_COOKIE = 0x02,	   /**< B  stateless answer to HELLO */
	KX_AUTH = 0x03,		   /**< C  cookie, identity or ticket, padded */
	KX_ACCEPT = 0x04,	   /**< B  connection id and parameters */
	KX_REFUSE = 0x05,	   /**< B  set-up or request refused, with a code */
	KX_RESET = 0x06,	   /**< B  connection id unknown */
	KX_CLOSE = 0x07,	   /**< CB the sender ends the session */
	KX_PING = 0x08,		   /**< C */
	KX_PONG = 0x09,		   /**< B */
	KX_HEARTBEAT = 0x0a,	   /**< CB liveness, highest numbers sent */
	KX_METADATA_REQ = 0x10,	   /**< C */
	KX_METADATA = 0x11,	   /**< B */
	KX_TOPICS_REQ = 0x12,	   /**< C */
	KX_TOPICS = 0x13,	   /**< B */
	KX_SUBSCRIBE = 0x14,	   /**< C */
	KX_SUBSCRIBED = 0x15,	   /**< B */
	KX_UNSUBSCRIBE = 0x16,	   /**< C */
	KX_UNSUBSCRIBED = 0x17,	   /**< B */
	KX_NOTICE = 0x18,	   /**< B  OFFSET_TRIMMED, OFFSET_TRUNCATED, ... of a subscription */
	KX_NOT_OWNER = 0x19,	   /**< B  partition lives behind another UDP port */
	KX_PRODUCE_REFUSED = 0x1a, /**< B  batches of a PRODUCE are not taken, with a code */
	KX_PRODUCE = 0x20,	   /**< C  record batches */
	KX_DELIVER = 0x21,	   /**< B  record batches; same layout as PRODUCE */
	KX_PRODUCE_FRAG = 0x22,	   /**< C  part of a batch larger than a datagram */
	KX_DELIVER_FRAG = 0x23,	   /**< B  the same towards a consumer */
	KX_RX_ACK = 0x28,	   /**< CB receipt, selective ranges */
	KX_COMMIT_ACK = 0x29,	   /**< B  receipt, and per partition how far it is committed */
	KX_NAK = 0x2a,		   /**< CB what to send again */
	KX_CREDIT = 0x2b,	   /**< C  receipt, and per subscription position and credit */
	KX_RESUME = 0x30,	   /**< C  what became of what is not confirmed? */
	KX_RESUMED = 0x31,	   /**< B  per partition how far it is stored, or that it is lost */
	KX_PATH_CHALLENGE = 0x34,  /**< B  a session's frame came from a new address: prove it */
	KX_PATH_RESPONSE = 0x35,   /**< C  the token of PATH_CHALLENGE, from there */
	KX_MTU_PROBE = 0x36,	   /**< C  as large as what it asks for: does a frame of this size pass? */
	KX_MTU_PROBED = 0x37,	   /**< B  it does: of the same size */
};

/* ---- frame header: 32 bytes */

#define KX_FLAG_MAC	  0x01 /**< protected: a tag trails the frame */
#define KX_FLAG_AEAD	  0x02 /**< protected: the same, and the body is encrypted; never both */
#define KX_FLAG_MORE	  0x04 /**< the sender has more to send at once (a hint: acknowledge later) */
#define KX_FLAGS_ACCEPTED KX_FLAG_MORE
#define KX_FLAGS_PROTECT  (KX_FLAG_MAC | KX_FLAG_AEAD)
#define KX_TAG_BYTES	  16 /**< behind the body of a protected frame */

struct kx_frame_hdr {
	uint8_t version; /**< KX_WIRE_VERSION */
	uint8_t type;	 /**< enum kx_frame_type */
	uint8_t flags;
	uint8_t ext_words; /**< 8-byte words of extension TLVs between this header and the body */
	uint32_t check;	   /**< CRC32C of the covered part (kx_frame_seal) with the frame's length in this
			      field's place, so that a frame cut between two batches is refused too */
	uint64_t conn_id;  /**< 0 before ACCEPT */
	uint64_t pkt_no;   /**< per session and direction, from 1, never reused; 0 before ACCEPT */
	uint32_t
		floor_delta; /**< pkt_no - floor_delta: no lower packet is still to be repaired (saturates) */
	uint32_t handle;     /**< DELIVER, DELIVER_FRAG, NOTICE: subscription id, > 0; all others: 0 */
};

/** Extension TLV: word 0 = {u8 type, u8 words of the whole TLV, u8 flags, u8 0, u32 value}, further words
 * follow. */
#define KX_EXT_IGNORABLE 0x01
struct kx_ext {
	uint8_t type;
	uint8_t words; /**< >= 1, the TLV's own size in 8-byte words */
	uint8_t flags;
	uint8_t zero;
	uint32_t value;
};

/* ---- bodies */

/** HELLO: 32 header + 32, zero-padded to KX_HELLO_BYTES. */
struct kx_hello {
	uint8_t client_nonce[KX_NONCE_BYTES];
	uint8_t version_min, version_max;
	uint8_t zero[6];
	uint64_t client_time; /**< opaque, echoed in COOKIE: the first round trip time */
};
struct kx_cookie {
	uint8_t client_nonce[KX_NONCE_BYTES];
	uint8_t cookie[KX_COOKIE_BYTES];
	uint8_t broker_nonce[KX_NONCE_BYTES];
	uint64_t client_time;
	uint64_t boot_id;
};
enum kx_auth_method {
	KX_AUTH_NONE = 0,
	KX_AUTH_HMAC_SHA256 = 1, /**< with the principal's key */
	KX_AUTH_TICKET = 2
};
struct kx_auth {
	uint8_t client_nonce[KX_NONCE_BYTES];
	uint8_t cookie[KX_COOKIE_BYTES];
	uint8_t broker_nonce[KX_NONCE_BYTES];
	uint8_t method; /**< enum kx_auth_method */
	uint8_t principal_bytes;
	uint16_t datagram_bytes; /**< largest KXP frame the client can receive */
	uint8_t protect;	 /**< enum kx_protect: what the client wants at least */
	uint8_t zero[3];
	uint8_t mac[KX_MAC_BYTES]; /**< methods HMAC, and TICKET of a principal with a key; else zero */
	uint8_t ticket[KX_TICKET_BYTES];
	uint8_t principal[KX_PRINCIPAL_NAME_MAX + 1];
	uint64_t producer_id; /**< to go on with under a new epoch; 0: a new one. Method TICKET: 0 */
};
/** How the frames of a session are protected; a higher value is more. */
enum kx_protect { KX_PROTECT_PLAIN = 0, KX_PROTECT_MAC = 1, KX_PROTECT_AEAD = 2 };
struct kx_accept {
	uint8_t client_nonce[KX_NONCE_BYTES];
	uint64_t conn_id;
	uint64_t boot_id;
	uint64_t producer_id;
	uint32_t producer_epoch;
	uint32_t config_generation;
	uint16_t base_port;	 /**< data lcore i listens on base_port + i */
	uint16_t lcore_count;	 /**< 1..256 */
	uint16_t lcore_index;	 /**< of the lcore that answers */
	uint16_t datagram_bytes; /**< largest KXP frame either side sends on this session */
	uint32_t idle_timeout_ms;
	uint32_t heartbeat_ms;
	uint64_t limit_pkt; /**< first credit, as in struct kx_receipt */
	uint64_t limit_bytes;
	uint8_t durability; /**< highest level any topic has: enum kx_durability */
	uint8_t protect;    /**< enum kx_protect: of every frame of this session */
	uint8_t zero[6];
	uint8_t ticket[KX_TICKET_BYTES];
	uint8_t mac[KX_MAC_BYTES]; /**< over what stands before it, when the principal has a key; else zero */
	uint32_t principal_id;	   /**< 0: anonymous */
	uint32_t zero2;
};
enum kx_durability { KX_MEMORY = 1, KX_WRITTEN = 2, KX_SYNCED = 3, KX_REPLICATED = 4 };
/** Codes of REFUSE, PRODUCE_REFUSED, SUBSCRIBED, METADATA: X(identifier, value, text). 17: reserved. */
#define KX_CODE_LIST(X)                                                                                      \
	X(OK, 0, "ok")                                                                                       \
	X(VERSION, 1, "protocol version not supported")                                                      \
	X(SESSIONS_FULL, 2, "the broker's session table is full")                                            \
	X(AUTH, 3, "principal, MAC or ticket not accepted")                                                  \
	X(UNKNOWN_TOPIC, 4, "unknown topic")                                                                 \
	X(UNKNOWN_PARTITION, 5, "unknown partition")                                                         \
	X(NOT_OWNER, 6, "partition belongs to another data lcore")                                           \
	X(SUBS_FULL, 7, "the broker's subscription table is full")                                           \
	X(PRODUCERS_FULL, 8, "the broker's producer table is full")                                          \
	X(TOO_LARGE, 9, "message larger than the topic allows")                                              \
	X(FOREIGN_PRODUCER, 10, "producer id or epoch is not this session's")                                \
	X(STOPPING, 11, "the broker is stopping")                                                            \
	X(OFFSET_OUT_OF_RANGE, 12, "start offset beyond the end of the partition")                           \
	X(BAD_REQUEST, 13, "request malformed")                                                              \
	X(FENCED, 14, "a newer epoch of this producer exists")                                               \
	X(DENIED, 15, "not permitted to this principal")                                                     \
	X(IDLE, 16, "session was idle too long")                                                             \
	X(SUB_UNKNOWN, 17, "unknown subscription")                                                           \
	X(LOST, 18, "the broker was restarted and has it no more")                                           \
	X(UNKNOWN_FATE, 19, "the broker cannot tell any more whether it was stored")                         \
	X(RESYNC, 20, "the broker has no state of this producer: resume first")                              \
	X(BUSY, 21, "too much at once; try again later")                                                     \
	X(UNPROTECTED, 22, "the principal's frames must be protected")                                       \
	X(PRINCIPAL_FULL, 23, "the principal has all the sessions it may have; try again later")
enum kx_code {
#define KX_CODE_ENUM(id, value, text) KX_CODE_##id = value,
	KX_CODE_LIST(KX_CODE_ENUM)
#undef KX_CODE_ENUM
};
const char *kx_code_text(uint32_t code);

struct kx_refuse {
	uint8_t client_nonce[KX_NONCE_BYTES]; /**< of the HELLO/AUTH; zero otherwise */
	uint32_t code;			      /**< enum kx_code */
	uint32_t request_id;		      /**< of the refused request; 0 in set-up */
	uint8_t mac[KX_MAC_BYTES]; /**< in set-up, when AUTH proved that its sender has a key; else zero */
};
struct kx_reset {
	uint64_t boot_id;
	uint64_t pkt_no; /**< of the frame that had the unknown connection id */
};
struct kx_close {
	uint32_t code; /**< enum kx_code: STOPPING, IDLE, or OK for a client that leaves */
	uint32_t zero;
};
struct kx_ping {
	uint64_t token;	      /**< opaque, echoed */
	uint64_t client_time; /**< opaque, echoed */
};
struct kx_pong {
	uint64_t token;
	uint64_t client_time;
	uint32_t residence_ns; /**< broker: RX burst to this frame, saturating */
	uint16_t lcore_index;
	uint16_t zero;
};

#define KX_PATH_TOKEN_BYTES 32
/** PATH_CHALLENGE and PATH_RESPONSE. */
struct kx_path_token {
	uint8_t token[KX_PATH_TOKEN_BYTES]; /**< opaque to clients */
};

/** MTU_PROBE and MTU_PROBED; zeros follow, up to the frame's end. */
struct kx_mtu {
	uint16_t size;	       /**< bytes of this whole frame, the tag of a protected one included */
	uint16_t proven_bytes; /**< client: largest frame it knows to pass both ways; broker: largest that it
				  sends now */
	uint32_t zero;
};

/** What the sender of this frame has received, and what it grants: RX_ACK, COMMIT_ACK, CREDIT, HEARTBEAT. */
struct kx_receipt {
	uint64_t next_pkt;     /**< every pkt_no below is received or closed by a floor */
	uint64_t largest_pkt;  /**< highest received; 0 for none */
	uint64_t limit_pkt;    /**< PRODUCE/PRODUCE_FRAG may use pkt_no < limit_pkt; absolute, never falls */
	uint64_t limit_bytes;  /**< batch bytes the peer may ever have sent (first sendings); absolute, never
				  falls. Client's HEARTBEAT with MORE: of those sent, confirmed or given up */
	uint32_t ack_delay_ns; /**< from receiving largest_pkt to sending this */
	uint8_t range_count;   /**< RX_ACK: selective ranges that follow; else 0 */
	uint8_t blocked;       /**< enum kx_blocked: why the limit does not advance */
	uint16_t entry_count;  /**< COMMIT_ACK, CREDIT, HEARTBEAT: entries that follow */
};
enum kx_blocked {
	KX_BLOCKED_NO = 0,
	KX_BLOCKED_LOG = 1,    /**< a log that blocks is full: consumers must read first */
	KX_BLOCKED_MEMORY = 2, /**< no buffers, or no place for a large message */
	KX_BLOCKED_QUOTA = 3,
	KX_BLOCKED_WAL = 4,
	KX_BLOCKED_DISK = 5
};
#define KX_ACK_RANGES_MAX  32
#define KX_ACK_WINDOW_PKTS 4096 /**< a receiver tells [next_pkt, next_pkt + this) apart; KX_RXWIN_PKTS */
/** Received above next_pkt: [next_pkt + start, next_pkt + start + count). Ascending, not adjacent. */
struct kx_ack_range {
	uint32_t start;
	uint32_t count;
};
#define KX_ENTRIES_MAX 64
struct kx_commit_entry {
	uint32_t partition;
	uint8_t level; /**< enum kx_durability reached */
	uint8_t zero[3];
	uint32_t log_epoch;
	uint32_t producer_epoch;
	uint64_t next_seq;    /**< every message of this session's producer below is committed at `level` */
	uint64_t next_offset; /**< one beyond the last of them: exact for the batch that ended at next_seq */
};
struct kx_credit_entry {
	uint32_t sub_id;
	uint32_t zero;
	uint64_t next_offset; /**< consumer has everything below, in order */
	uint64_t limit_bytes; /**< log bytes (whole batches) the broker may ever have sent first time; never
				 falls */
	uint64_t done_offset; /**< the application is done with everything below; <= next_offset, never falls.
				 A log that blocks frees what all its consumers are done with */
};
/** HEARTBEAT of a broker: each subscription not yet acknowledged up to its end. Clients send no entries. */
struct kx_heartbeat_entry {
	uint32_t sub_id;
	uint32_t log_epoch;
	uint64_t sent_offset; /**< every offset below has been sent */
};
enum kx_nak_kind {
	KX_NAK_PKTS = 0,    /**< from brokers: packets first..last (inclusive) of the client; handle 0 */
	KX_NAK_OFFSETS = 1, /**< from clients: offsets first..last (inclusive) of subscription `handle` */
	KX_NAK_BYTES = 2    /**< from clients: bytes [last & 0xffffffff, last >> 32), multiples of 8, of the
			       batch at offset `first` of subscription `handle` */
};
struct kx_nak_entry {
	uint32_t handle;
	uint32_t kind;
	uint64_t first;
	uint64_t last;
};
struct kx_nak {
	uint32_t entry_count; /**< 1..KX_ENTRIES_MAX; entries follow */
	uint32_t zero;
};
struct kx_metadata_req {
	uint32_t request_id;
	uint16_t first_index; /**< first partition index wanted (paging) */
	uint8_t topic_bytes;  /**< 1..63 */
	uint8_t zero;
	uint8_t topic[KX_TOPIC_NAME_MAX + 1];
};
struct kx_metadata {
	uint32_t request_id;
	uint32_t code;		  /**< enum kx_code */
	uint16_t partition_count; /**< of the topic */
	uint16_t first_index;
	uint16_t entry_count; /**< that follow */
	uint8_t durability;
	uint8_t overrun; /**< 0 trim, 1 block */
	uint32_t max_message_bytes;
	uint32_t config_generation;
};
struct kx_metadata_entry {
	uint32_t partition; /**< broker-wide id: what batches name */
	uint16_t owner_port;
	uint16_t index;
	uint32_t log_epoch;
	uint32_t zero;
	uint64_t first_offset;
	uint64_t committed_offset; /**< one beyond the last committed */
	uint64_t next_offset;	   /**< one beyond the last appended */
};
struct kx_topics_req {
	uint32_t request_id;
	uint32_t first_index;
};
struct kx_topics {
	uint32_t request_id;
	uint32_t topic_count; /**< of the broker */
	uint32_t first_index;
	uint32_t entry_count; /**< that follow */
};
struct kx_topics_entry {
	uint16_t partition_count;
	uint8_t durability;
	uint8_t overrun;
	uint8_t zero[3];
	uint8_t name_bytes;
	uint8_t name[KX_TOPIC_NAME_MAX + 1];
};
#define KX_OFFSET_EARLIEST UINT64_MAX
#define KX_OFFSET_NOW	   (UINT64_MAX - 1)
struct kx_subscribe {
	uint32_t request_id;
	uint32_t partition;
	uint64_t start_offset; /**< or KX_OFFSET_EARLIEST, KX_OFFSET_NOW */
	uint64_t limit_bytes;  /**< first credit */
	uint32_t sub_id;       /**< chosen by the client, > 0, unique in the session */
	uint32_t zero;
};
struct kx_subscribed {
	uint32_t request_id;
	uint32_t code;
	uint32_t sub_id;
	uint32_t partition;
	uint32_t log_epoch;
	uint32_t zero;
	uint64_t start_offset; /**< first offset that will be delivered */
	uint64_t next_offset;  /**< of the partition at this moment */
};
struct kx_unsubscribe { /* UNSUBSCRIBED has the same body */
	uint32_t request_id;
	uint32_t sub_id;
};
enum kx_notice_code {
	KX_NOTICE_OFFSET_TRIMMED = 1,	/**< offsets below `offset` are gone; delivery goes on there */
	KX_NOTICE_OFFSET_TRUNCATED = 2, /**< offsets from `offset` on were retracted; log_epoch is new */
	KX_NOTICE_CLOSED = 3		/**< subscription ended by the broker */
};
struct kx_notice {
	uint32_t code;
	uint32_t log_epoch;
	uint64_t offset;
};
struct kx_not_owner {
	uint64_t pkt_no; /**< of the refused frame: closed, its batches were not taken */
	uint32_t partition;
	uint16_t owner_port;
	uint16_t zero;
};
struct kx_produce_refused {
	uint64_t pkt_no; /**< of the refused frame: closed, none of its batches were taken */
	uint32_t partition;
	uint32_t code;
	uint64_t first_seq;
	uint64_t detail; /**< TOO_LARGE: the largest allowed bytes */
};
/** RESUME: a producer's unconfirmed messages, after a new session or RESYNC. */
struct kx_resume {
	uint64_t boot_id;     /**< of the session they were sent in */
	uint64_t producer_id; /**< they were sent under */
	uint32_t producer_epoch;
	uint32_t request_id;
	uint32_t entry_count; /**< 1..KX_ENTRIES_MAX; entries follow */
	uint32_t zero;
};
struct kx_resume_entry {
	uint32_t partition;
	uint32_t log_epoch;   /**< the client last knew; 0: none */
	uint64_t next_seq;    /**< first sequence without confirmation */
	uint64_t next_offset; /**< of the last confirmation; 0: none */
	uint32_t level;	      /**< enum kx_durability that is waited for */
	uint32_t zero;
};
struct kx_resumed {
	uint32_t request_id;
	uint32_t entry_count; /**< 1..KX_ENTRIES_MAX; entries follow */
};
struct kx_resumed_entry {
	uint32_t partition;
	uint32_t code;	   /**< enum kx_code: OK, LOST, UNKNOWN_FATE, UNKNOWN_PARTITION, NOT_OWNER, DENIED */
	uint64_t next_seq; /**< OK: all below are stored, none from here on. LOST: those from here on are gone
			    */
	uint64_t next_offset; /**< OK: one beyond the last of them. LOST: offsets from here on are gone */
};
#define KX_PART_MIN_BYTES 512u
/** PRODUCE_FRAG and DELIVER_FRAG: `frag_bytes` = rest of the frame, part of the batch with its header. */
struct kx_frag {
	uint32_t partition;
	uint32_t batch_bytes; /**< of the whole batch */
	uint32_t frag_offset; /**< multiple of 8 */
	uint32_t frag_bytes;  /**< multiple of 8, > 0 */
	uint64_t first;	      /**< produce: first_seq of the batch; deliver: its offset */
	uint32_t frag_crc;    /**< CRC32C of these bytes, so that a corrupt part is never stored */
	uint32_t part_bytes;  /**< size of every part but the last: multiple of 8, >= 512; frag_offset is a
				 multiple of it */
};

/* ---- record batch: 72-byte header, then records */

#define KX_BATCH_FORMAT		1
#define KX_BATCH_ATTRS_ACCEPTED 0

struct kx_batch_hdr {
	uint32_t header_crc;	 /**< broker: CRC32C of bytes 4..31 */
	uint32_t log_epoch;	 /**< broker */
	uint64_t base_offset;	 /**< broker: offset of the first record; the others follow densely */
	uint64_t append_time_ns; /**< broker: CLOCK_REALTIME */
	uint32_t data_crc;	 /**< producer: CRC32C of bytes 28..batch_bytes-1 */
	uint32_t batch_bytes;	 /**< producer: header and records, multiple of 8 */
	uint8_t format;		 /**< KX_BATCH_FORMAT */
	uint8_t attrs;		 /**< 0 */
	uint16_t record_count;	 /**< 1..65535 */
	uint32_t partition;
	uint64_t producer_id;
	uint32_t producer_epoch;
	uint32_t zero;
	uint64_t first_seq;  /**< sequence of the first record, per (producer, epoch, partition), from 0 */
	uint64_t stream_key; /**< shared by the records without an own key; 0 for none */
};
#define KX_BATCH_HDR_BYTES 72u
#define KX_BATCH_MIN_BYTES 80u /**< one record with an empty value */
#define KX_BATCH_DATA_FROM 28u /**< data_crc covers from here */

/** Record: 8-byte header, [8: timestamp], [key, padded to 8], [headers, padded to 8], value, padding to 8. */
#define KX_REC_KEY	      0x01
#define KX_REC_TIMESTAMP      0x02
#define KX_REC_HEADERS	      0x04
#define KX_REC_FLAGS_ACCEPTED 0x07
#define KX_REC_HEADERS_MAX    16
struct kx_record_hdr {
	uint32_t value_bytes;
	uint16_t key_bytes; /**< 1.. with KX_REC_KEY, else 0 */
	uint8_t flags;
	uint8_t header_count; /**< 1..16 with KX_REC_HEADERS, else 0 */
};
/** With KX_REC_HEADERS: u32 bytes of all headers (this word pair included, before padding), u32 0, then
 * header_count times {u16 name_bytes (1..), u16 value_bytes, name, value} without padding between them. */
struct kx_rec_headers {
	uint32_t total_bytes;
	uint32_t zero;
};

_Static_assert(sizeof(struct kx_frame_hdr) == 32, "frame header");
_Static_assert(sizeof(struct kx_hello) == 32, "hello");
_Static_assert(sizeof(struct kx_cookie) == 80, "cookie");
_Static_assert(sizeof(struct kx_auth) == 256, "auth");
_Static_assert(sizeof(struct kx_accept) == 208, "accept");
_Static_assert(sizeof(struct kx_path_token) == 32, "path token");
_Static_assert(sizeof(struct kx_mtu) == 8, "mtu");
_Static_assert(sizeof(struct kx_receipt) == 40, "receipt");
_Static_assert(sizeof(struct kx_commit_entry) == 32, "commit entry");
_Static_assert(sizeof(struct kx_credit_entry) == 32, "credit entry");
_Static_assert(sizeof(struct kx_heartbeat_entry) == 16, "heartbeat entry");
_Static_assert(sizeof(struct kx_nak_entry) == 24, "nak entry");
_Static_assert(sizeof(struct kx_metadata_req) == 72, "metadata request");
_Static_assert(sizeof(struct kx_metadata) == 24, "metadata");
_Static_assert(sizeof(struct kx_metadata_entry) == 40, "metadata entry");
_Static_assert(sizeof(struct kx_topics_entry) == 72, "topics entry");
_Static_assert(sizeof(struct kx_subscribe) == 32, "subscribe");
_Static_assert(sizeof(struct kx_subscribed) == 40, "subscribed");
_Static_assert(sizeof(struct kx_resume) == 32, "resume");
_Static_assert(sizeof(struct kx_resume_entry) == 32, "resume entry");
_Static_assert(sizeof(struct kx_resumed) == 8, "resumed");
_Static_assert(sizeof(struct kx_resumed_entry) == 24, "resumed entry");
_Static_assert(sizeof(struct kx_frag) == 32, "fragment");
_Static_assert(sizeof(struct kx_batch_hdr) == KX_BATCH_HDR_BYTES, "batch header");
_Static_assert(offsetof(struct kx_batch_hdr, batch_bytes) == KX_BATCH_DATA_FROM, "data crc");
_Static_assert(sizeof(struct kx_record_hdr) == 8, "record header");
_Static_assert(sizeof(struct kx_frame_hdr) + sizeof(struct kx_accept) <= KX_HELLO_BYTES, "no amplification");

/* ---- reading */

/** Who sent the frame under check: each side takes only the types the other may send. */
enum kx_side { KX_FROM_CLIENT, KX_FROM_BROKER };

/** What kx_frame_check() found; valid as long as the frame's bytes. */
struct kx_frame_view {
	const struct kx_frame_hdr *hdr;
	const uint8_t *body; /**< behind the extensions */
	uint32_t body_bytes;
	uint32_t batch_count;  /**< PRODUCE/DELIVER: batches in the body, >= 1 */
	uint32_t record_count; /**< of all of them */
};

/**
 * Check one whole frame of `bytes` bytes: header, check value, extensions, body of its type with every count
 * and length, and for PRODUCE/DELIVER each batch (header, data CRC, each record); for DELIVER the header CRC
 * too. Reads nothing outside [data, data + bytes). `data` must be 8-byte aligned or the CPU must allow
 * unaligned loads. Reserved fields and the padding of HELLO, AUTH and names must be zero; padding inside a
 * record is under its batch's CRC and is not looked at. Cheapest checks first: a reason of the batch group
 * other than BATCH_CRC means that the writer, not the wire, is at fault.
 * @return KX_DROP_NONE and *view filled, or the reason.
 */
enum kx_drop kx_frame_check(const uint8_t *data, size_t bytes, enum kx_side from, struct kx_frame_view *view);

/**
 * Is this a protected frame, as far as can be told without its key: room for header and tag, the version, and
 * exactly one of MAC and AEAD? kx_frame_check() refuses such frames with FRAME_FLAGS (or with what it looks
 * at before: length, version, type), so that a receiver of plain frames pays nothing for them.
 */
static inline bool kx_frame_protected(const uint8_t *data, size_t bytes)
{
	uint8_t protect;

	if (bytes < sizeof(struct kx_frame_hdr) + KX_TAG_BYTES || bytes > KX_FRAME_MAX_BYTES)
		return false;
	protect = data[offsetof(struct kx_frame_hdr, flags)] & KX_FLAGS_PROTECT;
	return data[offsetof(struct kx_frame_hdr, version)] == KX_WIRE_VERSION &&
		(protect == KX_FLAG_MAC || protect == KX_FLAG_AEAD);
}
/** kx_frame_check() of a protected frame that was opened: its tag held, the tag is not part of `bytes`, the
 * flag is cleared. The same without the check value, which a protected frame does not have. */
enum kx_drop kx_frame_check_opened(
	const uint8_t *data, size_t bytes, enum kx_side from, struct kx_frame_view *view);

/**
 * Check one batch at `data` with `bytes` bytes behind it (a frame's rest, a log's or file's).
 * @param verify_crc  data_crc; false where it was verified before. header_crc is the caller's to compare
 * (kx_batch_header_crc()): a batch from a producer has none yet.
 */
enum kx_drop kx_batch_check(const uint8_t *data, size_t bytes, bool verify_crc);

/** header_crc of a batch as it stands. */
uint32_t kx_batch_header_crc(const struct kx_batch_hdr *b);
/** data_crc of a whole batch as it stands. */
uint32_t kx_batch_data_crc(const struct kx_batch_hdr *b);

/** One record of a checked batch; pointers into the batch. */
struct kx_record {
	const uint8_t *value;
	const uint8_t *key;	/**< NULL without an own key */
	const uint8_t *headers; /**< first header's length fields; NULL without */
	uint64_t timestamp_ns;	/**< 0 without */
	uint32_t value_bytes;
	uint16_t key_bytes;
	uint8_t header_count;
};

/** Walks the records of a batch that was checked before. */
struct kx_record_iter {
	const uint8_t *next;
	uint32_t left;
};
static KX_ALWAYS_INLINE struct kx_record_iter kx_record_first(const struct kx_batch_hdr *b)
{
	return (struct kx_record_iter){(const uint8_t *)(b + 1), b->record_count};
}
/** Rare shape of kx_record_next(): key, timestamp or headers present. */
void kx_record_next_full(struct kx_record_iter *it, struct kx_record *r);
/** @return false when there is no further record. */
static KX_ALWAYS_INLINE bool kx_record_next(struct kx_record_iter *it, struct kx_record *r)
{
	const struct kx_record_hdr *h = (const struct kx_record_hdr *)it->next;

	if (it->left == 0)
		return false;
	it->left--;
	if (kx_unlikely(h->flags != 0)) {
		kx_record_next_full(it, r);
		return true;
	}
	*r = (struct kx_record){it->next + sizeof(*h), NULL, NULL, 0, h->value_bytes, 0, 0};
	it->next += sizeof(*h) + kx_align8(h->value_bytes);
	return true;
}
struct kx_header_view {
	const uint8_t *name, *value;
	uint16_t name_bytes, value_bytes;
};
/** Header `index` (0..header_count-1) of a checked record. @return false beyond the last. */
bool kx_record_header(const struct kx_record *r, unsigned int index, struct kx_header_view *out);

/* ---- writing */

/** Start a frame at `data`: header with check still 0. @return first byte of the body. */
uint8_t *kx_frame_begin(uint8_t *data, enum kx_frame_type type, uint64_t conn_id, uint64_t pkt_no,
	uint32_t floor_delta, uint32_t handle);
/**
 * Compute and store the check value of a finished frame of `bytes` bytes (the whole frame's length, slices
 * that are sent behind `data` included; only the covered part is read). Covered: for PRODUCE and DELIVER the
 * header and extensions only (batches carry their own CRCs), for fragments up to and including struct kx_frag
 * (the part has frag_crc), for every other type the whole frame.
 */
void kx_frame_seal(uint8_t *data, size_t bytes);

/** Builds a batch in memory the caller owns. */
struct kx_batch_writer {
	struct kx_batch_hdr *batch;
	uint32_t used_bytes; /**< of the batch so far, header included */
	uint32_t max_bytes;
	uint32_t record_count;
};
/** Start a batch at `data` (8-byte aligned) with room for max_bytes (multiple of 8, >= 80). */
void kx_batch_begin(struct kx_batch_writer *w, uint8_t *data, uint32_t max_bytes, uint32_t partition,
	uint64_t producer_id, uint32_t producer_epoch, uint64_t first_seq, uint64_t stream_key);
/**
 * Add a plain record and return where its `value_bytes` go; the padding is zeroed. NULL when it does not fit
 * or the batch has 65535 records. The value must be filled before kx_batch_end().
 */
static KX_ALWAYS_INLINE uint8_t *kx_batch_claim(struct kx_batch_writer *w, uint32_t value_bytes)
{
	uint64_t need = sizeof(struct kx_record_hdr) + kx_align8(value_bytes);
	uint8_t *at = (uint8_t *)w->batch + w->used_bytes;

	if (kx_unlikely(need > w->max_bytes - w->used_bytes || w->record_count == UINT16_MAX))
		return NULL;
	if (value_bytes & 7)
		*(uint64_t *)(at + need - 8) = 0;
	*(struct kx_record_hdr *)at = (struct kx_record_hdr){value_bytes, 0, 0, 0};
	w->used_bytes += (uint32_t)need;
	w->record_count++;
	return at + sizeof(struct kx_record_hdr);
}
/** Add `count` (1 or more) plain records of one size in a row, or none. @return as kx_batch_claim(). */
uint8_t *kx_batch_claim_run(struct kx_batch_writer *w, uint32_t value_bytes, uint32_t count);
/** The same with optional parts (r->headers unused; pass `headers`, `header_count`). */
uint8_t *kx_batch_claim_full(struct kx_batch_writer *w, const struct kx_record *r,
	const struct kx_header_view *headers, unsigned int header_count);
/** Finish: sizes, count and data CRC. @return batch bytes. At least one record. */
uint32_t kx_batch_end(struct kx_batch_writer *w);
/** Broker: stamp the fields it assigns and the header CRC. */
void kx_batch_stamp(
	struct kx_batch_hdr *b, uint64_t base_offset, uint32_t log_epoch, uint64_t append_time_ns);

/** Partition index of a stream key among n partitions: high 64 bits of kx_mix64(key) * n (doc/protocol.md,
 * "Keys"). */
static inline uint32_t kx_key_partition(uint64_t stream_key, uint32_t partitions)
{
	return (uint32_t)(((unsigned __int128)kx_mix64(stream_key) * partitions) >> 64);
}
/** Name of a protection: "plain", "mac", "aead" (enum kx_protect); "?" when unknown. */
const char *kx_protect_name(uint8_t protect);
/** The reverse. @return false for another text. */
bool kx_protect_parse(const char *text, enum kx_protect *out);
/** Name of a frame type ("PRODUCE"); "?" when unknown. */
const char *kx_frame_type_name(uint8_t type);

#ifdef __cplusplus
}
#endif
#endif
