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
 * Who a client is: this library has no principals yet; AUTH with method KX_AUTH_NONE names a principal that
 * nothing verifies, and principal_id is 0. Keys per principal (method KX_AUTH_HMAC_SHA256: a MAC with the
 * principal's key over both nonces, in struct kx_auth) belong here beside tickets: a table of principals
 * built from the configuration, immutable and shared like the secrets, with its check in a file of its own.
 */
#ifndef KX_AUTH_H
#define KX_AUTH_H

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

#endif
