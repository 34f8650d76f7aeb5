/* SPDX-License-Identifier: BSD-3-Clause */
/* Tickets: what a handshake established, sealed for further channels. */
#include <errno.h>
#include <string.h>

#include "auth_private.h"

#include <openssl/crypto.h>

struct sealed {
	uint64_t boot_id;
	uint64_t producer_id;
	uint32_t producer_epoch;
	uint32_t principal_id;
	uint64_t expires_ns;
	uint8_t random[KX_NONCE_BYTES];
	uint8_t mac[MAC_BYTES]; /* over all before */
};
_Static_assert(sizeof(struct sealed) == KX_TICKET_BYTES, "ticket layout");

void kx_auth_ticket_seal(
	struct kx_auth_ctx *auth, const struct kx_auth_ticket *ticket, uint8_t out[KX_TICKET_BYTES])
{
	struct sealed s = {
		.boot_id = auth->boot_id,
		.producer_id = ticket->producer_id,
		.producer_epoch = ticket->producer_epoch,
		.principal_id = ticket->principal_id,
		.expires_ns = ticket->expires_ns,
	};

	kx_auth_random_nonce(auth, s.random);
	auth_mac(&auth->ticket_key, &s, offsetof(struct sealed, mac), s.mac);
	memcpy(out, &s, sizeof(s));
}

int kx_auth_ticket_open(struct kx_auth_ctx *auth, const uint8_t in[KX_TICKET_BYTES], uint64_t now_ns,
	struct kx_auth_ticket *out)
{
	uint8_t mac[MAC_BYTES];
	struct sealed s;

	memcpy(&s, in, sizeof(s));
	auth_mac(&auth->ticket_key, &s, offsetof(struct sealed, mac), mac);
	if (CRYPTO_memcmp(s.mac, mac, sizeof(mac)) != 0 || s.boot_id != auth->boot_id)
		return -EACCES;
	if (now_ns >= s.expires_ns)
		return -ETIME;
	*out = (struct kx_auth_ticket){
		.producer_id = s.producer_id,
		.producer_epoch = s.producer_epoch,
		.principal_id = s.principal_id,
		.expires_ns = s.expires_ns,
	};
	return 0;
}
