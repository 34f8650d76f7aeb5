/* SPDX-License-Identifier: BSD-3-Clause */
/* Path tokens: who can read what is sent to an address has the token that was made for it. */
#include <errno.h>
#include <string.h>

#include "auth_private.h"

#include <openssl/crypto.h>

struct token {
	uint64_t stamp_ns;
	uint8_t mac[24];
};
_Static_assert(sizeof(struct token) == KX_PATH_TOKEN_BYTES, "token layout");

/* Not as long as the input of a cookie: the one is never taken for the other. */
struct token_input {
	char label[16];
	uint64_t conn_id;
	uint8_t ip[16];
	uint64_t port;
	uint64_t stamp_ns;
};
_Static_assert(sizeof(struct token_input) == 56, "no padding may reach the MAC");

static void token_mac(struct kx_auth_ctx *auth, uint64_t conn_id, const struct kx_addr *remote,
	uint64_t stamp_ns, uint8_t out[MAC_BYTES])
{
	struct token_input input = {
		.label = "kx path token", .conn_id = conn_id, .port = remote->port, .stamp_ns = stamp_ns};

	memcpy(input.ip, remote->ip, sizeof(input.ip));
	auth_mac(auth_period_key(auth, stamp_ns / KX_AUTH_COOKIE_PERIOD_NS), &input, sizeof(input), out);
}

void kx_auth_path_make(struct kx_auth_ctx *auth, uint64_t conn_id, const struct kx_addr *remote,
	uint64_t now_ns, uint8_t token[KX_PATH_TOKEN_BYTES])
{
	struct token t = {.stamp_ns = now_ns};
	uint8_t mac[MAC_BYTES];

	token_mac(auth, conn_id, remote, now_ns, mac);
	memcpy(t.mac, mac, sizeof(t.mac));
	memcpy(token, &t, sizeof(t));
}

int kx_auth_path_check(struct kx_auth_ctx *auth, uint64_t conn_id, const struct kx_addr *remote,
	uint64_t now_ns, uint64_t lifetime_ns, const uint8_t token[KX_PATH_TOKEN_BYTES])
{
	uint8_t mac[MAC_BYTES];
	struct token t;

	memcpy(&t, token, sizeof(t));
	/* before the stamp selects a key, as for cookies */
	if (t.stamp_ns > now_ns && t.stamp_ns - now_ns > KX_AUTH_CLOCK_SLACK_NS)
		return -EACCES;
	if (t.stamp_ns < now_ns && now_ns - t.stamp_ns > lifetime_ns)
		return -ETIME;
	token_mac(auth, conn_id, remote, t.stamp_ns, mac);
	return CRYPTO_memcmp(t.mac, mac, sizeof(t.mac)) == 0 ? 0 : -EACCES;
}
