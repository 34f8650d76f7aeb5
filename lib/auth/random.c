/* SPDX-License-Identifier: BSD-3-Clause */
/* Unguessable numbers without a call to the kernel. */
#include <string.h>

#include "auth_private.h"

#include <openssl/crypto.h>

/* Four numbers and the next key, both from a key that is then gone. */
static void step(struct kx_auth_ctx *auth)
{
	const uint8_t for_output = 1, for_key = 2;
	struct mac_key key;

	auth_mac_key(&key, auth->random_key);
	auth_mac(&key, &for_output, 1, (uint8_t *)auth->random);
	auth_mac(&key, &for_key, 1, auth->random_key);
	OPENSSL_cleanse(&key, sizeof(key));
	auth->random_left = KX_DIM(auth->random);
}

uint64_t kx_auth_random_u64(struct kx_auth_ctx *auth)
{
	uint64_t value;

	if (auth->random_left == 0)
		step(auth);
	auth->random_left--;
	value = auth->random[auth->random_left];
	auth->random[auth->random_left] = 0;
	return value != 0 ? value : 1;
}

void kx_auth_random_nonce(struct kx_auth_ctx *auth, uint8_t nonce[KX_NONCE_BYTES])
{
	uint64_t value[KX_NONCE_BYTES / 8];

	for (unsigned int i = 0; i < KX_DIM(value); i++)
		value[i] = kx_auth_random_u64(auth);
	memcpy(nonce, value, sizeof(value));
}
