/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * Auth: cookies that prove an address, tickets that prove an earlier handshake, and unguessable ids.
 * Portable, libcrypto.
 *
 * One struct kx_auth_ctx per data lcore; its functions belong to that lcore's thread. All contexts of one
 * broker process share one immutable struct kx_auth_secrets, so that what one lcore made another one checks.
 * After kx_auth_create() nothing here allocates, locks or calls the kernel; each call costs a fixed, small
 * number of SHA-256 blocks. The broker calls them under its set-up budget.
 *
 * Cookies and tickets are the broker's own business: clients carry them as opaque bytes. Their layouts may
 * change with any version, since neither outlives the broker process.
 *
 * Who a client is: struct kx_auth_principals, an immutable table that all data lcores share. A client proves
 * that it knows its principal's key by a MAC in AUTH (kx_auth_prove()), and the broker that it does by one in
 * ACCEPT; what a principal may do is a bit a topic.
 */
#ifndef KX_AUTH_H
#define KX_AUTH_H

#include <string.h>

#include "kx_session.h"

#define KX_AUTH_SECRET_BYTES	 32
/** The key of cookies changes this often; not shorter than any lifetime, so that two keys are enough. */
#define KX_AUTH_COOKIE_PERIOD_NS (60 * KX_NS_PER_S)
/** How far another lcore's clock reading may be ahead. */
#define KX_AUTH_CLOCK_SLACK_NS	 KX_NS_PER_S

/** Drawn at start, then read-only and shared by all data lcores of the process. Never leaves it. */
struct kx_auth_secrets {
	uint8_t cookie[KX_AUTH_SECRET_BYTES];
	uint8_t ticket[KX_AUTH_SECRET_BYTES];
};
/** Draw new secrets from the kernel. @return 0 or -errno. Before the data lcores start. */
int kx_auth_secrets_init(struct kx_auth_secrets *secrets);
/** Overwrite them. After the last context is destroyed. */
void kx_auth_secrets_wipe(struct kx_auth_secrets *secrets);

struct kx_auth_ctx;
/**
 * Context of one data lcore. Allocates, and draws the seed of its random numbers from the kernel; any thread,
 * before its lcore uses it.
 * @param secrets  copied (as MAC states); not needed any more afterwards
 * @param boot_id  of this start of the broker: tickets of another one are refused
 * @return 0; -ENOMEM; -errno of the kernel's generator
 */
int kx_auth_create(const struct kx_auth_secrets *secrets, uint64_t boot_id, struct kx_auth_ctx **out);
/** Wipes and frees; NULL is allowed. */
void kx_auth_destroy(struct kx_auth_ctx *auth);

/**
 * Make a cookie: 8 bytes time stamp (now_ns), 24 bytes of HMAC-SHA256 over client nonce, broker nonce, remote
 * address and port, and stamp (64 bytes). The key is HMAC-SHA256(secrets->cookie, "kx cookie period" and the
 * number of the stamp's period): it rotates without anything being shared or announced between lcores.
 * No state is kept. A cookie does not stop a client from using it twice within its lifetime.
 * @param now_ns  monotonic clock that all data lcores share
 */
void kx_auth_cookie_make(struct kx_auth_ctx *auth, const uint8_t client_nonce[KX_NONCE_BYTES],
	const uint8_t broker_nonce[KX_NONCE_BYTES], const struct kx_addr *remote, uint64_t now_ns,
	uint8_t cookie[KX_COOKIE_BYTES]);
/**
 * Check a cookie that came with these nonces from this address. The MAC is compared in constant time.
 * @param lifetime_ns  how long a cookie is accepted (ini cookie_lifetime_ms), at most
 * KX_AUTH_COOKIE_PERIOD_NS
 * @return 0; -EACCES: not made by this broker process for these; -ETIME: its stamp is older than
 * lifetime_ns (then the MAC is not looked at). Both are KX_DROP_COOKIE_BAD.
 */
int kx_auth_cookie_check(struct kx_auth_ctx *auth, const uint8_t client_nonce[KX_NONCE_BYTES],
	const uint8_t broker_nonce[KX_NONCE_BYTES], const struct kx_addr *remote, uint64_t now_ns,
	uint64_t lifetime_ns, const uint8_t cookie[KX_COOKIE_BYTES]);

/** When a cookie was made, by the clock of kx_auth_cookie_make(). Of a cookie that was checked. */
static inline uint64_t kx_auth_cookie_stamp_ns(const uint8_t cookie[KX_COOKIE_BYTES])
{
	uint64_t stamp_ns;

	memcpy(&stamp_ns, cookie, sizeof(stamp_ns));
	return stamp_ns;
}

/** What a ticket says of the handshake it came from. */
struct kx_auth_ticket {
	uint64_t producer_id;
	uint32_t producer_epoch;
	uint32_t principal_id; /**< 0: none */
	uint64_t expires_ns;   /**< refused from then on; the same monotonic clock as now_ns */
};
/**
 * Seal a ticket: boot id, the fields above, 16 random bytes, HMAC-SHA256 over these 48 with secrets->ticket.
 * Authenticated, not encrypted: it holds nothing that its client was not told in ACCEPT. It is not bound to
 * an address (a client's channels may leave from different ports); the cookie of the same AUTH is. Expiry is
 * monotonic, since a ticket lives no longer than the process and wall clocks are set.
 */
void kx_auth_ticket_seal(
	struct kx_auth_ctx *auth, const struct kx_auth_ticket *ticket, uint8_t out[KX_TICKET_BYTES]);
/**
 * Open a ticket. *out is written only on success.
 * @return 0; -EACCES: not sealed by this broker process, or changed; -ETIME: expired. Both are
 * KX_DROP_AUTH_BAD.
 */
int kx_auth_ticket_open(struct kx_auth_ctx *auth, const uint8_t in[KX_TICKET_BYTES], uint64_t now_ns,
	struct kx_auth_ticket *out);

/**
 * An unguessable number: connection ids. Drawn from an HMAC-SHA256 chain that kx_auth_create() seeds with 32
 * bytes of the kernel's generator: each step gives four numbers and replaces the key, so that earlier numbers
 * cannot be found from the context's memory. The kernel is not called again.
 * @return never 0
 */
uint64_t kx_auth_random_u64(struct kx_auth_ctx *auth);
/** A broker nonce of the same source. */
void kx_auth_random_nonce(struct kx_auth_ctx *auth, uint8_t nonce[KX_NONCE_BYTES]);

/* ---- paths: may a session's frames come from a new address? */

/**
 * Token of PATH_CHALLENGE: 8 bytes time stamp, 24 bytes of an HMAC-SHA256 over connection id, new address and
 * stamp, with the cookies' key of the period. No state is kept.
 * @param now_ns  monotonic clock that all data lcores share
 */
void kx_auth_path_make(struct kx_auth_ctx *auth, uint64_t conn_id, const struct kx_addr *remote,
	uint64_t now_ns, uint8_t token[KX_PATH_TOKEN_BYTES]);
/** Check a token that came in this session from this address. @return as kx_auth_cookie_check(); both are
 * KX_DROP_PATH_TOKEN. */
int kx_auth_path_check(struct kx_auth_ctx *auth, uint64_t conn_id, const struct kx_addr *remote,
	uint64_t now_ns, uint64_t lifetime_ns, const uint8_t token[KX_PATH_TOKEN_BYTES]);

/* ---- protected frames: one object a session and side; its session's thread */

/** About KX_AUTH_PROTECT_BYTES of memory, libcrypto's two contexts included. */
struct kx_auth_protect {
	void *seal_ctx, *open_ctx; /**< EVP_CIPHER_CTX */
	uint8_t flag;		   /**< KX_FLAG_MAC or KX_FLAG_AEAD; 0: no keys */
	uint8_t zero[7];
};
#define KX_AUTH_PROTECT_BYTES 2320
/** Allocate the contexts, without keys. Not on the data path. @return 0; -ENOMEM; -ENOTSUP (no AES-256-GCM)
 */
int kx_auth_protect_create(struct kx_auth_protect *p);
/** Wipe and free; a zeroed object is allowed. */
void kx_auth_protect_destroy(struct kx_auth_protect *p);
/**
 * Key the contexts for a session; from then on nothing here allocates. Each direction has its own key:
 * HMAC-SHA256(secret, label || conn_id), label "KXP1 c2b" or "KXP1 b2c" padded with zeros to 16. The
 * connection id, which the broker draws for each session, keeps keys apart also when an AUTH is replayed and
 * its secret comes again.
 * @param secret  session secret of the handshake; may be wiped afterwards
 * @param mode    KX_PROTECT_MAC or KX_PROTECT_AEAD
 * @return 0; -EINVAL (mode, or not created); -EIO (libcrypto; no keys are left)
 */
int kx_auth_protect_init(struct kx_auth_protect *p, const uint8_t secret[KX_AUTH_SECRET_BYTES],
	uint64_t conn_id, bool is_broker, enum kx_protect mode);
/** The session is over: overwrite its keys. The object may be keyed again. */
void kx_auth_protect_end(struct kx_auth_protect *p);
/** KX_PROTECT_PLAIN without keys. */
enum kx_protect kx_auth_protect_mode(const struct kx_auth_protect *p);
/**
 * Seal a finished frame of `bytes` bytes behind which there is room for KX_TAG_BYTES, in place: flag, check
 * 0, encryption (AEAD), tag. Its pkt_no must never have been sealed before with these keys. Should libcrypto
 * fail, zeros are sent instead of the body, which no receiver takes.
 * @return bytes of the whole frame
 */
uint32_t kx_auth_protect_seal(struct kx_auth_protect *p, uint8_t *frame, uint32_t bytes);
/**
 * Open a frame that kx_frame_protected() said yes to, in place: check the tag, decrypt (AEAD), clear the
 * flag. The frame is KX_TAG_BYTES shorter then; go on with kx_frame_check_opened().
 * @return 0; -EPROTO: protected in another way than this session's frames, the frame is unchanged;
 * -EBADMSG: the tag is wrong, the body may have been overwritten
 */
int kx_auth_protect_open(struct kx_auth_protect *p, uint8_t *frame, uint32_t bytes);
/* ---- principals */

/** What is configured of a principal. Nothing of it is needed after kx_auth_principals_create(). */
struct kx_auth_principal_conf {
	const char *name; /**< 1..63 bytes */
	/** Valid keys: the current one and, while keys are changed, the next one. Zero length: none. */
	struct kx_key key[2];
	enum kx_protect protect; /**< least protection of its frames */
	uint32_t sessions_max;	 /**< on one data lcore; 0: no limit of its own */
	const uint64_t *produce; /**< bit t: may produce to topic t */
	const uint64_t *consume; /**< bit t: may consume topic t */
};

/** What the data path asks of a principal. Immutable, no secrets. */
struct kx_auth_principal {
	const char *name;
	uint32_t id; /**< its number; 0: anonymous */
	uint32_t sessions_max;
	enum kx_protect protect;
	bool has_key;
	const uint64_t *produce, *consume, *either; /**< bitmaps of topics */
};

struct kx_auth_principals;
/**
 * The table: principal i is list[i], and list[0] is the one without a key (anonymous). Memory is a mapping of
 * its own, locked, left out of core dumps, and read-only afterwards; keys are kept as MAC states in it and
 * nowhere else, so that a peer that can map EAL's memory finds none.
 * @param topics  number of topics; bitmaps have (topics + 63) / 64 words
 * @param anonymous  may clients without a key connect?
 * @param why  gets one sentence on error
 * @return 0; -EINVAL (no or too many principals, a name that is empty, too long or there twice, a key of
 * wrong length, list[0] with a key); -ENOMEM, -EPERM, -EAGAIN (memory cannot be locked); -errno of the
 * kernel's generator. Before the data lcores start.
 */
int kx_auth_principals_create(const struct kx_auth_principal_conf *list, uint32_t count, uint32_t topics,
	bool anonymous, struct kx_auth_principals **out, struct kx_text *why);
/** Wipes and frees; NULL is allowed. */
void kx_auth_principals_destroy(struct kx_auth_principals *principals);
uint32_t kx_auth_principals_count(const struct kx_auth_principals *principals);
/** Principal by number, < count. */
const struct kx_auth_principal *kx_auth_principal(const struct kx_auth_principals *principals, uint32_t id);
/** Memory it takes, in bytes. */
size_t kx_auth_principals_bytes(const struct kx_auth_principals *principals);

/** May it? One load and one bit test. `bits` is a bitmap of struct kx_auth_principal. */
static KX_ALWAYS_INLINE bool kx_auth_allowed(const uint64_t *bits, uint32_t topic)
{
	return (bits[topic / 64] >> (topic % 64) & 1) != 0;
}

/** Who a client turned out to be. */
struct kx_auth_proof {
	const struct kx_auth_principal *principal;
	uint32_t number;		      /**< its id; the number of principals: none of that name */
	uint32_t key_index;		      /**< which of its keys: 0 or 1 */
	uint8_t secret[KX_AUTH_SECRET_BYTES]; /**< of the session, when it has a key. Wipe it after use */
};
/**
 * Does AUTH prove that its sender is the principal it names? Its cookie and, for method TICKET, its ticket
 * are checked elsewhere. Method NONE: the anonymous principal, where that is allowed. Methods HMAC_SHA256 and
 * TICKET: `mac` with one of the principal's keys; TICKET of the anonymous principal: as NONE. A wrong key and
 * an unknown name take the same instructions: both keys are always tried, and those of an unknown name are
 * random.
 * @param[out] out  written on success; on failure its `principal` and `number` are of the one named, if
 * there is one
 * @return 0; -EACCES (KX_DROP_AUTH_BAD)
 */
int kx_auth_prove(
	const struct kx_auth_principals *principals, const struct kx_auth *auth, struct kx_auth_proof *out);
/** ACCEPT's `mac`: HMAC-SHA256 with the accept key of this session over what stands before it. */
void kx_auth_accept_mac(const uint8_t secret[KX_AUTH_SECRET_BYTES], const struct kx_accept *accept,
	uint8_t mac[KX_MAC_BYTES]);
/** REFUSE's `mac`, likewise, with a key of its own: of a client that has proven who it is. */
void kx_auth_refuse_mac(const uint8_t secret[KX_AUTH_SECRET_BYTES], const struct kx_refuse *refuse,
	uint8_t mac[KX_MAC_BYTES]);

/* ---- the client's side of it; any thread */

/** Fill in AUTH's `mac`; everything else must be in place. */
void kx_auth_sign(const struct kx_key *key, struct kx_auth *auth);
/** The session's secret from both nonces of AUTH. */
void kx_auth_session_secret(
	const struct kx_key *key, const struct kx_auth *auth, uint8_t secret[KX_AUTH_SECRET_BYTES]);
/** @return 0, or -EACCES: ACCEPT does not come from who knows the key. In constant time. */
int kx_auth_accept_check(const uint8_t secret[KX_AUTH_SECRET_BYTES], const struct kx_accept *accept);
/** @return 0, or -EACCES: REFUSE does not come from who knows the key, or to whom we did not prove that we
 * do. In constant time. */
int kx_auth_refuse_check(const uint8_t secret[KX_AUTH_SECRET_BYTES], const struct kx_refuse *refuse);

/* ---- audit: what an operator wants to read of, on its way from a data lcore to the control lcore */

enum kx_audit_what {
	KX_AUDIT_ACCEPTED, /**< a session of a principal was opened */
	KX_AUDIT_REFUSED,  /**< a client was refused at set-up */
	KX_AUDIT_DENIED,   /**< a session was refused a topic */
	KX_AUDIT_PATH,	   /**< a session moved to another address */
	KX_AUDIT_FENCED,   /**< a producer was fenced by a newer epoch of itself */
};
struct kx_audit_event {
	uint64_t time_ns; /**< wall clock */
	uint64_t conn_id; /**< 0: none */
	uint64_t producer_id;
	struct kx_addr remote;
	uint32_t principal; /**< its number; KX_AUDIT_UNKNOWN: no key of one was looked at */
	uint32_t producer_epoch;
	uint32_t topic;	    /**< DENIED: its index; else UINT32_MAX */
	uint8_t what;	    /**< enum kx_audit_what */
	uint8_t code;	    /**< enum kx_code */
	uint8_t key_index;  /**< ACCEPTED: which of the principal's keys */
	uint8_t name_bytes; /**< REFUSED: the name that was claimed */
	uint8_t method;	    /**< REFUSED: enum kx_auth_method */
	bool proven;	    /**< REFUSED: with one of the principal's keys */
	uint8_t name[KX_PRINCIPAL_NAME_MAX + 1];
};
#define KX_AUDIT_UNKNOWN UINT32_MAX
#define KX_AUDIT_RING	 256 /**< events that can wait in a ring */

/** One writer (a data lcore), one reader (the control lcore). An event that finds it full is counted. */
struct kx_audit;
/** @return 0; -ENOMEM. Before the data lcore starts. */
int kx_audit_create(struct kx_audit **out);
void kx_audit_destroy(struct kx_audit *audit);
/** Writer: never blocks; NULL is allowed and takes nothing. */
void kx_audit_put(struct kx_audit *audit, const struct kx_audit_event *event);
/** Reader: the oldest event. @return false when there is none. */
bool kx_audit_get(struct kx_audit *audit, struct kx_audit_event *event);
/** Reader: events that found the ring full since the last call. */
uint64_t kx_audit_lost(struct kx_audit *audit);
/** "accepted", "refused", "denied", "path", "fenced". */
const char *kx_audit_name(enum kx_audit_what what);

#endif
