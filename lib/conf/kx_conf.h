/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * Configuration: an ini file becomes one validated, immutable `struct kx_conf`, or a list of every error in
 * it.
 *
 * Portable; no EAL, hugepages or privileges are needed, so that `--check` can run anywhere. One table
 * (kx_conf_keys()) holds each key with its type, unit, range, default and reason; parsing, defaults, messages
 * and the test that keeps config/kaelix.ini true are all made from it. Keys, ranges and reasons in prose:
 * doc/configuration.md.
 *
 * Sections: [auth] [broker] [lcores] [memory] [sessions] [telemetry] at most once each; [port NAME] 1 to 8
 * times; [topic NAME] 1 to 1024 times; [principal NAME] 0 to 256 times. Sizes are bytes with an optional K, M
 * or G (powers of 1024); durations carry their unit in the key's name.
 */
#ifndef KX_CONF_H
#define KX_CONF_H

#include <assert.h>

#include "kx_base.h"

#ifdef __cplusplus
extern "C" {
#endif

#define KX_CONF_NAME_MAX	   31	/**< characters of the instance name */
#define KX_CONF_PORT_NAME_MAX	   63	/**< characters of a [port NAME] */
#define KX_CONF_TOPIC_NAME_MAX	   63	/**< characters of a [topic NAME] */
#define KX_CONF_PRINCIPAL_NAME_MAX 63	/**< characters of a [principal NAME] */
#define KX_CONF_VALUE_MAX	   191	/**< characters of a path or a list of patterns */
#define KX_CONF_LCORES_MAX	   64	/**< data lcores */
#define KX_CONF_LCORE_ID_MAX	   1023 /**< largest EAL lcore id that can be written; EAL has its own limit */
#define KX_CONF_PORTS_MAX	   8	/**< [port NAME] sections */
#define KX_CONF_ADDRS_MAX	   4	/**< addresses of one family on one port */
#define KX_CONF_TOPICS_MAX	   1024	     /**< [topic NAME] sections */
#define KX_CONF_PARTITIONS_MAX	   65536     /**< partitions of all topics together */
#define KX_CONF_PRINCIPALS_MAX	   256	     /**< [principal NAME] sections */
#define KX_CONF_BYTES_MAX	   10240     /**< upper bound of kx_conf_bytes() */
#define KX_CONF_LINE_MAX	   200	     /**< bytes of a line, its line end included (inih's buffer) */
#define KX_CONF_LINES_MAX	   100000    /**< lines of a file */
#define KX_CONF_FILE_MAX	   (4 << 20) /**< bytes of a file */
#define KX_CONF_MBUF_HEADROOM	   128	     /**< bytes in front of a frame inside an mbuf's data room */

/** How lcores are chosen when the ini does not name them (lib/numa). */
enum kx_conf_policy { KX_CONF_THROUGHPUT, KX_CONF_LATENCY, KX_CONF_BALANCED };
/** How far a topic's log goes. This version has one level; the others are refused by name. */
enum kx_conf_durability { KX_CONF_MEMORY };
/** What a full log does: free its oldest data (late consumers are told), or make producers wait. */
enum kx_conf_overrun { KX_CONF_TRIM, KX_CONF_BLOCK };
/** What consumers see: batches that reached the topic's durability, or all that were appended. */
enum kx_conf_deliver { KX_CONF_COMMITTED, KX_CONF_APPENDED };
/** How deliveries leave a port; AUTO is the measured choice by size. */
enum kx_conf_path { KX_CONF_PATH_AUTO, KX_CONF_PATH_CUT, KX_CONF_PATH_COPY, KX_CONF_PATH_SLICE };
/**
 * Who computes the UDP checksum. AUTO: the port when it can; else software, except that IPv4 data frames,
 * whose content CRC32C covers, leave with checksum 0 as RFC 768 allows.
 */
enum kx_conf_checksum { KX_CONF_CHECKSUM_AUTO, KX_CONF_CHECKSUM_OFFLOAD, KX_CONF_CHECKSUM_SOFTWARE };

/** What the frames of a principal's sessions must at least be; in the order of protection. */
enum kx_conf_frames { KX_CONF_FRAMES_PLAIN, KX_CONF_FRAMES_MAC, KX_CONF_FRAMES_AEAD };
/** What a principal may do with a topic. */
enum kx_conf_operation { KX_CONF_PRODUCE, KX_CONF_CONSUME };

/** [auth] */
struct kx_conf_auth {
	bool anonymous;	      /**< clients without a key may connect, as principal `anonymous` */
	uint32_t audit_per_s; /**< audit lines printed a second; 0 = none */
};

/** [broker] */
struct kx_conf_broker {
	char name[KX_CONF_NAME_MAX + 1]; /**< instance name; default EAL --file-prefix */
	uint32_t udp_port;		 /**< data lcore i listens on udp_port + i */
	uint32_t stop_timeout_ms;	 /**< a clean stop gives peers this long to take the goodbye */
};

/** [lcores]; EAL lcore ids. */
struct kx_conf_lcores {
	bool data_auto;		    /**< `data = auto`: lib/numa decides; data_count and rx_count are 0 */
	uint8_t data_count;	    /**< 1..KX_CONF_LCORES_MAX, or 0 with data_auto */
	uint8_t rx_count;	    /**< 1..data_count, or 0 with data_auto (then all placed lcores) */
	enum kx_conf_policy policy; /**< used with data_auto */
	uint16_t data[KX_CONF_LCORES_MAX]; /**< in file order: data[i] is data lcore index i */
	uint16_t rx[KX_CONF_LCORES_MAX]; /**< the subset that polls RX queues; the others are fed by rings */
	uint32_t gap_threshold_us;	 /**< loop turns longer than this are counted */
	uint32_t yield_us; /**< shortest time between two sched_yield() of a loop that shares its CPU or
			      idles; 0 = never */
};

/** [memory] */
struct kx_conf_memory {
	uint64_t log_bytes;    /**< partition log memory of each data lcore; a multiple of extent_bytes */
	uint32_t extent_bytes; /**< power of two */
	uint32_t mbuf_bytes;   /**< data room of an mbuf, headroom included; never 0 (derived from the largest
				  mtu) */
	uint32_t spare_mbufs;  /**< per data lcore, above what descriptors, rings and caches can hold */
	uint32_t handover_ring;	 /**< entries of each (from, to) hand-over ring; power of two */
	uint32_t reorder_frames; /**< frames per data lcore that can be held out of order */
};

/** An address of a port. */
struct kx_conf_addr {
	uint8_t bytes[16]; /**< network byte order; IPv4 uses the first 4 */
	uint8_t prefix;	   /**< 1..32 or 1..128 */
};

/** [port NAME] */
struct kx_conf_port {
	char name[KX_CONF_PORT_NAME_MAX + 1]; /**< as EAL knows the device: net_memif0, 0000:03:00.0, ... */
	uint32_t line; /**< of the section head in the file, for messages at start-up */
	uint8_t ip4_count;
	uint8_t ip6_count;
	bool has_gateway;
	bool has_gateway6;
	bool promiscuous;
	struct kx_conf_addr ip4[KX_CONF_ADDRS_MAX];
	struct kx_conf_addr ip6[KX_CONF_ADDRS_MAX];
	uint8_t gateway[4];
	uint8_t gateway6[16];
	uint32_t vlan;	    /**< 0 = untagged */
	uint32_t mtu;	    /**< IP packet bytes */
	uint32_t rx_queues; /**< 0 = one per lcore with RX; capped at start by what the port has */
	uint32_t tx_queues; /**< 0 = one per data lcore; capped at start by what the port has */
	uint32_t rx_desc;   /**< descriptors of a queue; power of two */
	uint32_t tx_desc;
	uint32_t rx_burst;
	enum kx_conf_path deliver_path;
	enum kx_conf_checksum udp_checksum;
};

/** [sessions]; tables are per data lcore. */
struct kx_conf_sessions {
	uint32_t max;
	uint32_t idle_timeout_ms;
	uint32_t heartbeat_ms;
	uint32_t window_frames; /**< power of two */
	uint64_t window_bytes;
	uint32_t setup_per_turn;
	uint32_t max_subscriptions;
	uint32_t max_producers;
	uint32_t max_reassembly;
	uint32_t cookie_lifetime_ms;
	uint32_t max_producer_ids; /**< of the whole broker, not per lcore; power of two */
};

/** [telemetry] */
struct kx_conf_telemetry {
	bool latency;
};

/** [topic NAME] */
struct kx_conf_topic {
	char name[KX_CONF_TOPIC_NAME_MAX + 1];
	uint32_t line;		  /**< of the section head */
	uint32_t first_partition; /**< global id of partition 0; partition p has first_partition + p */
	uint32_t partitions;
	uint32_t max_message_bytes;
	uint64_t log_bytes;	 /**< limit of each partition; 0 = its share, see kx_conf_log_share() */
	uint64_t messages_per_s; /**< of all its producers together; 0 = no limit */
	uint64_t bytes_per_s;	 /**< the same in bytes of messages */
	enum kx_conf_durability durability;
	enum kx_conf_overrun overrun;
	enum kx_conf_deliver deliver;
};

/**
 * [principal NAME]. Lists of patterns are kept as written, checked; kx_conf_access() makes bitmaps of them.
 * A value is a part of a line, so that it always fits.
 */
struct kx_conf_principal {
	char name[KX_CONF_PRINCIPAL_NAME_MAX + 1];
	char key_file[KX_CONF_VALUE_MAX + 1];	   /**< "" = none, for `anonymous` only */
	char next_key_file[KX_CONF_VALUE_MAX + 1]; /**< "" = none */
	char produce[KX_CONF_VALUE_MAX + 1];	   /**< "none", or patterns */
	char consume[KX_CONF_VALUE_MAX + 1];
	uint32_t line;		 /**< of the section head; 0 = `anonymous` without a section */
	uint32_t sessions;	 /**< most on one data lcore; 0 = no limit of its own */
	uint64_t messages_per_s; /**< of all its sessions together; 0 = no limit */
	uint64_t bytes_per_s;	 /**< the same in bytes of messages */
	enum kx_conf_frames frames;
};

/** A validated configuration. Never changed after kx_conf_load(); any thread may read it. */
struct kx_conf {
	struct kx_conf_auth auth;
	struct kx_conf_broker broker;
	struct kx_conf_lcores lcores;
	struct kx_conf_memory memory;
	struct kx_conf_sessions sessions;
	struct kx_conf_telemetry telemetry;
	uint32_t port_count;	      /**< 1..KX_CONF_PORTS_MAX */
	uint32_t topic_count;	      /**< 1..KX_CONF_TOPICS_MAX */
	uint32_t partition_count;     /**< of all topics */
	uint32_t principal_count;     /**< 1..KX_CONF_PRINCIPALS_MAX + 1 */
	struct kx_conf_topic *topics; /**< in file order; owned */
	/** [0] is always `anonymous`, with or without a section; the others in file order; owned */
	struct kx_conf_principal *principals;
	struct kx_conf_port ports[KX_CONF_PORTS_MAX]; /**< in file order */
	char source[192]; /**< the file's name as given, cut to fit, for messages */
};
static_assert(sizeof(struct kx_conf) < KX_CONF_BYTES_MAX, "kx_conf_bytes() is promised to stay small");

#define KX_CONF_ERRORS_MAX     64
#define KX_CONF_ERROR_TEXT_MAX 400

/**
 * What is wrong with a file: `total` errors, the first `count` of them as text, in the order found (line by
 * line, then the checks across keys). One line each, without a line end: `FILE:LINE: [section] key: what is
 * wrong; allowed: ...`. Bytes of the file that are quoted are made printable. 26 KB; the caller's memory, no
 * pointers inside.
 */
struct kx_conf_errors {
	uint32_t count;
	uint32_t total;
	char text[KX_CONF_ERRORS_MAX][KX_CONF_ERROR_TEXT_MAX];
};

/**
 * Read and check a file. All its errors are collected, not only the first.
 * @param path a file; more than KX_CONF_FILE_MAX bytes are refused
 * @param[out] out the configuration; free with kx_conf_free(). NULL on error.
 * @param[out] errs may be NULL; count and total are set to 0 on success
 * @return 0; -EINVAL when the content is wrong; -ENOMEM; or the errno of open/read (also one line in `errs`)
 */
int kx_conf_load(const char *path, struct kx_conf **out, struct kx_conf_errors *errs);

/** The same from memory; `name` stands for the file in messages. `text` need not be terminated. */
int kx_conf_load_memory(
	const char *name, const void *text, size_t bytes, struct kx_conf **out, struct kx_conf_errors *errs);

/** Free; NULL is allowed. */
void kx_conf_free(struct kx_conf *conf);

/** Memory a configuration takes besides its tables of topics and principals, in bytes; below
 * KX_CONF_BYTES_MAX. */
size_t kx_conf_bytes(const struct kx_conf *conf);

/**
 * The checks that need the number of data lcores, for `data = auto` once lib/numa has decided: UDP ports,
 * queues, memory for the logs. kx_conf_load() has made them already when the file names the lcores.
 * @return 0 or -EINVAL with lines in `errs` (which is reset first; may be NULL)
 */
int kx_conf_check_lcores(const struct kx_conf *conf, uint32_t data_lcores, struct kx_conf_errors *errs);

/**
 * What a check without EAL cannot know about this configuration (devices exist, hugepages suffice, MTU,
 * queues, NUMA nodes, ...): one line each, ended by '\n', appended to `out`. Key files are not among it: the
 * caller reads them, or says that it cannot.
 * @return number of lines
 */
uint32_t kx_conf_unchecked(const struct kx_conf *conf, struct kx_text *out);

/** Index of the data lcore that owns a global partition id: id modulo the number of data lcores (> 0). */
static inline uint32_t kx_conf_partition_owner(uint32_t partition, uint32_t data_lcores)
{
	return partition % data_lcores;
}

/** Index into `topics` of the topic a global partition id belongs to; -1 when there is no such partition. */
int kx_conf_partition_topic(const struct kx_conf *conf, uint32_t partition);

/** Index into `topics` by name (`len` bytes, not terminated); -1 when there is none. */
int kx_conf_topic_find(const struct kx_conf *conf, const char *name, size_t len);

/** Index into `principals` by name (`len` bytes, not terminated); -1 when there is none. */
int kx_conf_principal_find(const struct kx_conf *conf, const char *name, size_t len);

/** 64-bit words of a bitmap of topics. */
static inline uint32_t kx_conf_access_words(const struct kx_conf *conf)
{
	return (conf->topic_count + 63) / 64;
}

/**
 * What a principal may do, as a bitmap: bit t of `bits` is its right to `operation` on topic t. The pattern
 * with the longest literal part that matches a topic's name decides; a topic that none matches is denied.
 * @param bits kx_conf_access_words() words, all written
 */
void kx_conf_access(const struct kx_conf *conf, const struct kx_conf_principal *principal,
	enum kx_conf_operation operation, uint64_t *bits);

/** Index into `ports` by device name; -1 when there is none. PCI addresses match with and without domain
 * 0000. */
int kx_conf_port_find(const struct kx_conf *conf, const char *name);

/** How one data lcore's log memory is divided. */
struct kx_conf_log_share {
	uint32_t partitions;	 /**< owned by this lcore */
	uint32_t sharing;	 /**< those of them without a log_bytes of their own */
	uint64_t reserved_bytes; /**< sum of the limits of the others, each rounded up to extents */
	uint64_t share_bytes;	 /**< limit of each sharing partition, whole extents; 0 when none shares */
};

/** Division of the log memory of data lcore `owner` of `data_lcores` (> owner). */
void kx_conf_log_share(
	const struct kx_conf *conf, uint32_t owner, uint32_t data_lcores, struct kx_conf_log_share *share);

/** Limit of a topic's partitions on the lcore whose division is `share`: its own log_bytes in whole extents,
 * or the share. */
uint64_t kx_conf_topic_log_bytes(
	const struct kx_conf *conf, const struct kx_conf_topic *topic, const struct kx_conf_log_share *share);

/* ---- the table of keys
 * ------------------------------------------------------------------------------------- */

enum kx_conf_type {
	KX_CONF_T_COUNT,     /**< decimal number */
	KX_CONF_T_BYTES,     /**< decimal number with optional K, M or G */
	KX_CONF_T_SWITCH,    /**< on | off */
	KX_CONF_T_CHOICE,    /**< one of `choices` */
	KX_CONF_T_NAME,	     /**< [A-Za-z0-9_-]{1,31} */
	KX_CONF_T_LCORES,    /**< list of lcore ids and ranges, or `auto` */
	KX_CONF_T_ADDRESSES, /**< list of IPv4 and IPv6 addresses with prefix length */
	KX_CONF_T_IP4,	     /**< one IPv4 address, or none */
	KX_CONF_T_IP6,	     /**< one IPv6 address, or none */
	KX_CONF_T_PATH,	     /**< a file's name, or none */
	KX_CONF_T_PATTERNS,  /**< list of name, prefix* and *, each with ! in front or not; or none */
};

enum kx_conf_section {
	KX_CONF_S_AUTH,
	KX_CONF_S_BROKER,
	KX_CONF_S_LCORES,
	KX_CONF_S_MEMORY,
	KX_CONF_S_PORT,
	KX_CONF_S_PRINCIPAL,
	KX_CONF_S_SESSIONS,
	KX_CONF_S_TELEMETRY,
	KX_CONF_S_TOPIC,
	KX_CONF_S_COUNT
};

/** One key: all that is said about it anywhere. */
struct kx_conf_key {
	enum kx_conf_section section;
	const char *name;
	enum kx_conf_type type;
	const char *unit;  /**< "bytes", "ms", "frames", ...; "" where there is none */
	uint64_t min, max; /**< of numbers */
	bool power_of_two; /**< numbers: only powers of two */
	const char
		*zero; /**< numbers: what 0 means, allowed besides min..max; NULL when 0 is nothing special */
	const char *choices; /**< KX_CONF_T_CHOICE: separated by '|', in the order of the enum's values */
	const char *def;     /**< default as it would be written; "" = must be given */
	uint16_t offset;     /**< in the section's struct */
	uint8_t width;	     /**< bytes of the member that numbers, switches and choices are stored in */
	const char *reason;  /**< what it does and why this default */
};

/** All keys, by section. Static. */
const struct kx_conf_key *kx_conf_keys(size_t *count);
/** "broker", "port", ... */
const char *kx_conf_section_name(enum kx_conf_section section);
/** Append what a key takes, as messages and config/kaelix.ini say it, such as "64..65536 entries, a power of
 * two". */
void kx_conf_key_allowed(const struct kx_conf_key *key, struct kx_text *out);

#ifdef __cplusplus
}
#endif
#endif
