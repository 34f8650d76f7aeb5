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

void auth_mac_key(struct mac_key *key, const uint8_t secret[MAC_BYTES]);
/* HMAC-SHA256. */
void auth_mac(const struct mac_key *key, const void *data, size_t bytes, uint8_t out[MAC_BYTES]);
/* Key of the cookies and path tokens of a period. */
const struct mac_key *auth_period_key(struct kx_auth_ctx *auth, uint64_t period);

#endif
