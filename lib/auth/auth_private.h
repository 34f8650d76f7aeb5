/* SPDX-License-Identifier: BSD-3-Clause */
/* Private to lib/auth: the context and its one MAC function. */
#ifndef KX_AUTH_PRIVATE_H
#define KX_AUTH_PRIVATE_H

/*
 * The plain SHA256_* functions are marked deprecated in OpenSSL 3 in favour of EVP, but they are the ones
 * that do not allocate: EVP_DigestInit_ex2, also with NULL on a used context, frees and allocates the
 * digest's state on each use (3.0), and so do HMAC and EVP_MAC, which are built on it.
 */
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/sha.h>

#include "kx_auth.h"

#define MAC_BYTES 32

/* A key after its first block of each half of HMAC (RFC 2104). */
struct mac_key {
	SHA256_CTX inner, outer;
};

struct cookie_key {
	uint64_t period;
	bool valid;
	struct mac_key key;
};

struct kx_auth_ctx {
	uint64_t boot_id;
	struct mac_key cookie_key, ticket_key;
	struct cookie_key period_keys[2]; /* by parity of the period */
	uint8_t random_key[MAC_BYTES];
	uint64_t random[MAC_BYTES / 8];
	unsigned int random_left;
};

/* A secret of at most a block of SHA-256. */
void auth_mac_key_of(struct mac_key *key, const uint8_t *secret, size_t bytes);
void auth_mac_key(struct mac_key *key, const uint8_t secret[MAC_BYTES]);
/* HMAC-SHA256. */
void auth_mac(const struct mac_key *key, const void *data, size_t bytes, uint8_t out[MAC_BYTES]);
/* Key of the cookies and path tokens of a period. */
const struct mac_key *auth_period_key(struct kx_auth_ctx *auth, uint64_t period);

/* ---- principals */

#define PRINCIPAL_KEYS 2 /* as many are valid at a time */

struct principal_keys {
	struct mac_key key[PRINCIPAL_KEYS]; /* without one: of a secret nobody knows */
	uint64_t known;			    /* all ones: there is a key */
	uint8_t name[KX_PRINCIPAL_NAME_MAX + 1];
};

/* Begins a mapping of its own, which is read-only once it is filled. */
struct kx_auth_principals {
	size_t mapped_bytes;
	uint32_t count;
	uint32_t topic_words;
	bool anonymous;
	uint64_t *hash;			/* of names, by principal */
	struct principal_keys *keys;	/* by principal; the one behind the last is for unknown names */
	struct kx_auth_principal *list; /* by principal */
	uint64_t *bits;
};

/* Hash of a name padded with zeros: the same work for every name. */
static inline uint64_t auth_name_hash(const uint8_t name[KX_PRINCIPAL_NAME_MAX + 1])
{
	return kx_hash_bytes(name, KX_PRINCIPAL_NAME_MAX + 1);
}

#endif
