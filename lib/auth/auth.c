/* SPDX-License-Identifier: BSD-3-Clause */
/* Secrets, contexts, and the MAC. */
#include <errno.h>
#include <stdlib.h>

#include "auth_private.h"

#include <openssl/crypto.h>

int kx_auth_secrets_init(struct kx_auth_secrets *secrets)
{
	return kx_random_bytes(secrets, sizeof(*secrets));
}

void kx_auth_secrets_wipe(struct kx_auth_secrets *secrets)
{
	OPENSSL_cleanse(secrets, sizeof(*secrets));
}

int kx_auth_create(const struct kx_auth_secrets *secrets, uint64_t boot_id, struct kx_auth_ctx **out)
{
	struct kx_auth_ctx *auth = calloc(1, sizeof(*auth));
	int err;

	if (auth == NULL)
		return -ENOMEM;
	err = kx_random_bytes(auth->random_key, sizeof(auth->random_key));
	if (err != 0) {
		free(auth);
		return err;
	}
	auth->boot_id = boot_id;
	auth_mac_key(&auth->cookie_key, secrets->cookie);
	auth_mac_key(&auth->ticket_key, secrets->ticket);
	*out = auth;
	return 0;
}

void kx_auth_destroy(struct kx_auth_ctx *auth)
{
	if (auth == NULL)
		return;
	OPENSSL_cleanse(auth, sizeof(*auth));
	free(auth);
}

static void pad_block(SHA256_CTX *sha, const uint8_t *secret, size_t bytes, uint8_t pad)
{
	uint8_t block[SHA256_CBLOCK];

	for (unsigned int i = 0; i < sizeof(block); i++)
		block[i] = (i < bytes ? secret[i] : 0) ^ pad;
	SHA256_Init(sha);
	SHA256_Update(sha, block, sizeof(block));
	OPENSSL_cleanse(block, sizeof(block));
}

void auth_mac_key_of(struct mac_key *key, const uint8_t *secret, size_t bytes)
{
	pad_block(&key->inner, secret, bytes, 0x36);
	pad_block(&key->outer, secret, bytes, 0x5c);
}

void auth_mac_key(struct mac_key *key, const uint8_t secret[MAC_BYTES])
{
	auth_mac_key_of(key, secret, MAC_BYTES);
}

void auth_mac(const struct mac_key *key, const void *data, size_t bytes, uint8_t out[MAC_BYTES])
{
	SHA256_CTX sha = key->inner;

	SHA256_Update(&sha, data, bytes);
	SHA256_Final(out, &sha);
	sha = key->outer;
	SHA256_Update(&sha, out, MAC_BYTES);
	SHA256_Final(out, &sha);
}
