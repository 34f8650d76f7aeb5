/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * Stats: the one list of drop reasons, the ledger that must close, and latency by stage. Portable.
 *
 * Each frame that enters a port ends in exactly one place: handled (it did its work), or dropped for one
 * named reason. One writer (the data lcore) a structure; telemetry reads with kx_counter_read().
 */
#ifndef KX_STATS_H
#define KX_STATS_H

#include "kx_base.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Every reason a frame, datagram or batch is not delivered: X(identifier, telemetry key, text). The order is
 * the telemetry order; the name is the contract, the number is not. Adding one: doc/architecture.md. RX
 * reasons charge a received frame; those from `tx_` on charge a frame that was to be sent.
 */
#define KX_DROP_LIST(X)                                                                                      \
	/* lib/net, by layer */                                                                              \
	X(ETH_SHORT, "eth_short", "frame shorter than its Ethernet header")                                  \
	X(ETH_NOT_FOR_US, "eth_not_for_us", "unicast destination MAC is not the port's")                     \
	X(ETH_SOURCE, "eth_source", "source MAC is a multicast address")                                     \
	X(ETH_TYPE, "eth_type", "EtherType that is neither IPv4, IPv6, ARP nor VLAN")                        \
	X(VLAN, "vlan", "VLAN tag is not the port's")                                                        \
	X(ARP_BAD, "arp_bad", "malformed ARP, or for an address that is not ours")                           \
	X(IP4_SHORT, "ip4_short", "truncated IPv4 header or total length beyond the frame")                  \
	X(IP4_HEADER, "ip4_header", "IPv4 version, header length or checksum is wrong")                      \
	X(IP4_OPTIONS, "ip4_options", "IPv4 options are not accepted")                                       \
	X(IP4_FRAGMENT, "ip4_fragment", "IPv4 fragment")                                                     \
	X(IP4_NOT_FOR_US, "ip4_not_for_us", "IPv4 destination is not ours")                                  \
	X(IP4_SOURCE, "ip4_source",                                                                          \
		"IPv4 source that cannot be answered: multicast, loopback, zero or our own")                 \
	X(IP6_SHORT, "ip6_short", "truncated IPv6 header or payload length beyond the frame")                \
	X(IP6_HEADER, "ip6_header", "IPv6 version is wrong")                                                 \
	X(IP6_FRAGMENT, "ip6_fragment", "IPv6 fragment header")                                              \
	X(IP6_EXTENSION, "ip6_extension", "IPv6 extension header that is not accepted")                      \
	X(IP6_NOT_FOR_US, "ip6_not_for_us", "IPv6 destination is not ours")                                  \
	X(IP6_SOURCE, "ip6_source",                                                                          \
		"IPv6 source that cannot be answered: multicast, loopback, zero or our own")                 \
	X(IP_PROTOCOL, "ip_protocol", "neither UDP nor ICMP")                                                \
	X(ICMP_BAD, "icmp_bad", "malformed ICMP or ICMPv6, or its checksum is wrong")                        \
	X(ICMP_TYPE, "icmp_type", "ICMP type that is not answered")                                          \
	X(ICMP_LARGE, "icmp_large", "echo request larger than the MTU")                                      \
	X(ND_BAD, "nd_bad", "malformed neighbour discovery, or its hop limit is not 255")                    \
	X(UDP_SHORT, "udp_short", "truncated UDP header, or its length disagrees with IP")                   \
	X(UDP_CHECKSUM, "udp_checksum", "UDP checksum is wrong, or missing over IPv6")                       \
	X(UDP_PORT, "udp_port", "no data lcore listens on this UDP port, or the source port is 0")           \
	X(NET_SEGMENTED, "net_segmented",                                                                    \
		"frame came in several buffers; the port's buffers are too small for its MTU")               \
	X(NET_NO_BUFFER, "net_no_buffer", "no buffer to answer ARP, ND or ICMP")                             \
	/* lib/worker */                                                                                     \
	X(HANDOVER_FULL, "handover_full", "the hand-over ring to the owning lcore was full")                 \
	/* lib/wire: the frame */                                                                            \
	X(FRAME_SHORT, "frame_short", "shorter than the KXP header or its type's body")                      \
	X(FRAME_VERSION, "frame_version", "KXP version is not 1")                                            \
	X(FRAME_TYPE, "frame_type", "frame type is unknown, or not one a broker takes")                      \
	X(FRAME_FLAGS, "frame_flags", "unknown flag bits are set")                                           \
	X(FRAME_CHECK, "frame_check", "the frame's check value is wrong")                                    \
	X(FRAME_EXTENSION, "frame_extension", "extension TLV is malformed, or unknown and not ignorable")    \
	X(FRAME_LENGTH, "frame_length", "length disagrees with the counts in the body")                      \
	X(FRAME_FIELD, "frame_field", "a field is outside its range")                                        \
	X(BATCH_SHORT, "batch_short", "batch header or batch runs beyond the frame")                         \
	X(BATCH_FORMAT, "batch_format", "batch format or attributes are unknown")                            \
	X(BATCH_CRC, "batch_crc", "data CRC32C of a batch is wrong")                                         \
	X(BATCH_COUNT, "batch_count", "record count disagrees with the records")                             \
	X(BATCH_RECORD, "batch_record", "a record is malformed or runs beyond its batch")                    \
	/* lib/broker: set-up */                                                                             \
	X(HELLO_UNPADDED, "hello_unpadded", "set-up request smaller than the reply it asks for")             \
	X(COOKIE_BAD, "cookie_bad", "cookie is forged or too old")                                           \
	X(AUTH_BAD, "auth_bad", "principal, MAC or ticket is not accepted")                                  \
	X(SETUP_BUDGET, "setup_budget", "set-up work of this turn is used up; the client tries again")       \
	X(SESSIONS_FULL, "sessions_full", "the session table is full")                                       \
	X(PRINCIPAL_SESSIONS, "principal_sessions", "the principal has all the sessions it may")             \
	/* lib/broker: sessions */                                                                           \
	X(CONN_UNKNOWN, "conn_unknown", "connection id is unknown (RESET was answered)")                     \
	X(CONN_PATH, "conn_path", "connection id came from an address that is not its own")                  \
	X(FRAME_UNPROTECTED, "frame_unprotected", "plain frame of a session whose frames are protected")     \
	X(FRAME_TAG, "frame_tag", "tag of a protected frame is wrong")                                       \
	X(PATH_TOKEN, "path_token", "path response without the token made for its address, or too old")      \
	X(PKT_DUPLICATE, "pkt_duplicate", "packet number was received before")                               \
	X(PKT_WINDOW, "pkt_window", "packet number beyond the receive window")                               \
	X(REQUEST_BUDGET, "request_budget", "request work of this turn is used up; the client asks again")   \
	/* lib/broker: produce */                                                                            \
	X(PARTITION_UNKNOWN, "partition_unknown", "partition does not exist")                                \
	X(ACCESS_DENIED, "access_denied", "not permitted to the session's principal")                        \
	X(NOT_OWNER, "not_owner", "partition belongs to another data lcore (NOT_OWNER was answered)")        \
	X(PRODUCER_FOREIGN, "producer_foreign", "producer id or epoch is not the session's")                 \
	X(PRODUCER_FENCED, "producer_fenced", "a newer epoch of this producer exists (FENCED was answered)") \
	X(PRODUCER_RESYNC, "producer_resync",                                                                \
		"state of this producer, or its id, was given up (RESYNC or UNKNOWN_FATE was answered)")     \
	X(SEQ_DUPLICATE, "seq_duplicate", "all batches of the frame were stored before")                     \
	X(SEQ_WINDOW, "seq_window", "batch is too far ahead of the next sequence, or no buffer to hold it")  \
	X(PRODUCERS_FULL, "producers_full", "the producer table is full")                                    \
	X(CREDIT_EXCEEDED, "credit_exceeded", "producer sent beyond its credit")                             \
	X(QUOTA_DEBT, "quota_debt",                                                                          \
		"the topic's quota is in debt, the credit is from before; not acknowledged, comes again")    \
	X(LOG_FULL, "log_full", "no room in a log that blocks; not acknowledged, the producer keeps it")     \
	X(BATCH_TOO_LARGE, "batch_too_large", "larger than the topic's largest message")                     \
	X(FRAG_BAD, "frag_bad", "fragment disagrees with the message it belongs to")                         \
	X(FRAG_LIMIT, "frag_limit", "no place for a large message, or one before it took its place")         \
	X(FRAG_STALE, "frag_stale", "a message in reassembly was given up: no new part for seconds")         \
	/* lib/broker: consume */                                                                            \
	X(SUB_UNKNOWN, "sub_unknown", "subscription id is unknown")                                          \
	X(SUBS_FULL, "subs_full",                                                                            \
		"no place for a subscription: the table, or the session's half, is full (told)")             \
	X(CONSUMER_LIES, "consumer_lies", "consumer acknowledged or asked for what it was never sent")       \
	X(BROKER_STOPPING, "broker_stopping", "arrived while the broker was stopping")                       \
	/* TX side: a frame that was built and not sent */                                                   \
	X(TX_NO_BUFFER, "tx_no_buffer", "no buffer for a frame to send; it is built again later")            \
	X(TX_FULL, "tx_full", "the TX queue did not take the frame within the bounded retries")              \
	X(TX_NO_NEIGHBOUR, "tx_no_neighbour", "the peer's MAC address is not known yet")

enum kx_drop {
#define KX_DROP_ENUM(id, key, text) KX_DROP_##id,
	KX_DROP_LIST(KX_DROP_ENUM)
#undef KX_DROP_ENUM
		KX_DROP_COUNT,
	KX_DROP_FIRST_TX = KX_DROP_TX_NO_BUFFER, /**< this and later ones charge a frame to send */
	KX_DROP_NONE = -1			 /**< not dropped */
};

/** Telemetry key of a reason ("frame_short"); "?" outside the enum. Any thread. */
const char *kx_drop_key(enum kx_drop reason);
/** One sentence for people. Any thread. */
const char *kx_drop_text(enum kx_drop reason);

/**
 * The ledger of one data lcore. Closes when received == handled + sum(drops before KX_DROP_FIRST_TX) +
 * in_flight, where in_flight is what rests in hand-over rings (0 once stopped); and built == relayed + sent +
 * sum(TX drops) + what waits in the TX arrays.
 */
struct kx_ledger {
	uint64_t received;    /**< frames taken from ports and hand-over rings by this lcore */
	uint64_t handed_over; /**< of these, given to another lcore (counted there as received again) */
	uint64_t handled;     /**< did their work */
	uint64_t built;	      /**< frames given to TX, forwarded ones included */
	uint64_t relayed;     /**< of built, given to the lcore that owns the TX queue (built there again) */
	uint64_t sent;	      /**< frames that a TX queue took */
	uint64_t drop[KX_DROP_COUNT];
};
static inline void kx_ledger_drop(struct kx_ledger *l, enum kx_drop reason)
{
	kx_count(&l->drop[reason], 1);
}
/** Sum of the RX reasons, and of the TX reasons. Any thread. */
uint64_t kx_ledger_rx_dropped(const struct kx_ledger *l);
uint64_t kx_ledger_tx_dropped(const struct kx_ledger *l);
/** received - handed_over - handled - RX drops: 0 when the RX side closes. */
int64_t kx_ledger_rx_open(const struct kx_ledger *l);
/** built - relayed - sent - TX drops: 0 when the TX side closes. */
int64_t kx_ledger_tx_open(const struct kx_ledger *l);

/** Stages whose time is measured (telemetry /kaelix/latency): X(identifier, key). */
#define KX_STAGE_LIST(X)                                                                                     \
	X(RESIDENCE, "residence") /* RX burst of the produce frame -> TX burst of the delivery */            \
	X(PARSE, "parse")	  /* RX burst -> frames classified, a frame's share of its burst */          \
	X(APPEND, "append")	  /* check, CRC, dedup, copy, a frame's share */                             \
	X(DELIVER, "deliver")	  /* building deliveries, a frame's share */                                 \
	X(TX, "tx")		  /* TX burst, a frame's share */
enum kx_stage {
#define KX_STAGE_ENUM(id, key) KX_STAGE_##id,
	KX_STAGE_LIST(KX_STAGE_ENUM)
#undef KX_STAGE_ENUM
		KX_STAGE_COUNT
};
/** Telemetry key of a stage ("parse"); "?" outside the enum. Any thread. */
const char *kx_stage_key(enum kx_stage stage);

#ifdef __cplusplus
}
#endif
#endif
