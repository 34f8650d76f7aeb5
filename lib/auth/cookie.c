/* SPDX-License-Identifier: BSD-3-Clause */
/* Cookies: a time stamp, and a MAC over it and what it binds. */
#include <errno.h>
#include <string.h>

#include "auth_private.h"

#include <openssl/crypto.h>

struct cookie {
	uint64_t stamp_ns;
	uint8_t mac[24];
};
_Static_assert(sizeof(struct cookie) == KX_COOKIE_BYTES, "cookie layout");

struct cookie_input {
	uint8_t client_nonce[KX_NONCE_BYTES];
	uint8_t broker_nonce[KX_NONCE_BYTES];
	uint8_t ip[16];
	uint64_t port;
	uint64_t stamp_ns;
};
_Static_assert(sizeof(struct cookie_input) == 64, "no padding may reach the MAC");

struct period_input {
	char label[16];
	uint64_t period;
};
_Static_assert(sizeof(struct period_input) == 24, "no padding may reach the MAC");

/* Key of a period; the last even and the last odd period are kept. */
const struct mac_key *auth_period_key(struct kx_auth_ctx *auth, uint64_t period)
{
	struct cookie_key *slot = &auth->period_keys[period & 1];
	struct period_input input = {.period = period};
	uint8_t secret[MAC_BYTES];

	if (kx_likely(slot->valid && slot->period == period))
		return &slot->key;
	memcpy(input.label, "kx cookie period", sizeof(input.label));
	auth_mac(&auth->cookie_key, &input, sizeof(input), secret);
	auth_mac_key(&slot->key, secret);
	slot->period = period;
	slot->valid = true;
	OPENSSL_cleanse(secret, sizeof(secret));
	return &slot->key;
}

static void cookie_mac(struct kx_auth_ctx *auth, const uint8_t *client_nonce, const uint8_t *broker_nonce,
	const struct kx_addr *remote, uint64_t stamp_ns, uint8_t out[MAC_BYTES])
{
	struct cookie_input input = {.port = remote->port, .stamp_ns = stamp_ns};

	memcpy(input.client_nonce, client_nonce, KX_NONCE_BYTES);
	memcpy(input.broker_nonce, broker_nonce, KX_NONCE_BYTES);
	memcpy(input.ip, remote->ip, sizeof(input.ip));
	auth_mac(auth_period_key(auth, stamp_ns / KX_AUTH_COOKIE_PERIOD_NS), &input, sizeof(input), out);
}

void kx_auth_cookie_make(struct kx_auth_ctx *auth, const uint8_t client_nonce[KX_NONCE_BYTES],
	const uint8_t broker_nonce[KX_NONCE_BYTES], const struct kx_addr *remote, uint64_t now_ns,
	uint8_t cookie[KX_COOKIE_BYTES])
{
	struct cookie c = {.stamp_ns = now_ns};
	uint8_t mac[MAC_BYTES];

	cookie_mac(auth, client_nonce, broker_nonce, remote, now_ns, mac);
	memcpy(c.mac, mac, sizeof(c.mac));
	memcpy(cookie, &c, sizeof(c));
}

int kx_auth_cookie_check(struct kx_auth_ctx *auth, const uint8_t client_nonce[KX_NONCE_BYTES],
	const uint8_t broker_nonce[KX_NONCE_BYTES], const struct kx_addr *remote, uint64_t now_ns,
	uint64_t lifetime_ns, const uint8_t cookie[KX_COOKIE_BYTES])
{
	uint8_t mac[MAC_BYTES];
	struct cookie c;

	memcpy(&c, cookie, sizeof(c));
	/* Before the stamp selects a key: a forged one then costs at most one key derivation more. */
	if (c.stamp_ns > now_ns && c.stamp_ns - now_ns > KX_AUTH_CLOCK_SLACK_NS)
		return -EACCES;
	if (c.stamp_ns < now_ns && now_ns - c.stamp_ns > lifetime_ns)
		return -ETIME;
	cookie_mac(auth, client_nonce, broker_nonce, remote, c.stamp_ns, mac);
	return CRYPTO_memcmp(c.mac, mac, sizeof(c.mac)) == 0 ? 0 : -EACCES;
}
