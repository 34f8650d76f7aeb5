/* SPDX-License-Identifier: BSD-3-Clause */
/* Proof that both ends know a principal's key: AUTH's MAC, the session's secret, ACCEPT's MAC. */
#include <errno.h>
#include <string.h>

#include "auth_private.h"

#include <openssl/crypto.h>

#define LABEL_BYTES 16

_Static_assert(offsetof(struct kx_auth, mac) == 72 && offsetof(struct kx_auth, ticket) == 104,
	"what AUTH's MAC covers is written down in doc/protocol.md");
_Static_assert(offsetof(struct kx_accept, mac) == 168 && offsetof(struct kx_refuse, mac) == 24,
	"so is what ACCEPT's and REFUSE's cover");

struct piece {
	const void *data;
	size_t bytes;
};

static void mac_pieces(const struct mac_key *key, const char *label, const struct piece *piece,
	unsigned int n, uint8_t out[MAC_BYTES])
{
	char padded[LABEL_BYTES] = {0};
	SHA256_CTX sha = key->inner;

	memcpy(padded, label, strlen(label));
	SHA256_Update(&sha, padded, sizeof(padded));
	for (unsigned int i = 0; i < n; i++)
		SHA256_Update(&sha, piece[i].data, piece[i].bytes);
	SHA256_Final(out, &sha);
	sha = key->outer;
	SHA256_Update(&sha, out, MAC_BYTES);
	SHA256_Final(out, &sha);
}

static void auth_frame_mac(const struct mac_key *key, const struct kx_auth *auth, uint8_t out[MAC_BYTES])
{
	const struct piece piece[] = {
		{auth, offsetof(struct kx_auth, mac)},
		{auth->ticket, sizeof(*auth) - offsetof(struct kx_auth, ticket)},
	};

	mac_pieces(key, "KXP1 auth", piece, KX_DIM(piece), out);
}

static void session_secret(const struct mac_key *key, const struct kx_auth *auth, uint8_t out[MAC_BYTES])
{
	const struct piece piece[] = {
		{auth->client_nonce, KX_NONCE_BYTES},
		{auth->broker_nonce, KX_NONCE_BYTES},
	};

	mac_pieces(key, "KXP1 session", piece, KX_DIM(piece), out);
}

/* All principals are looked at, whichever fits: the work says nothing of the name. */
static uint32_t find(const struct kx_auth_principals *p, const uint8_t name[KX_PRINCIPAL_NAME_MAX + 1])
{
	uint64_t hash = auth_name_hash(name), found = p->count;

	for (uint32_t i = 0; i < p->count; i++) {
		uint64_t same = -(uint64_t)(p->hash[i] == hash);

		found = (i & same) | (found & ~same);
	}
	return (uint32_t)found;
}

static bool named_anonymous(const struct kx_auth_principals *p, const struct kx_auth *auth)
{
	return auth->principal_bytes == 0 ||
		memcmp(auth->principal, p->keys[0].name, sizeof(auth->principal)) == 0;
}

static int prove_nothing(
	const struct kx_auth_principals *p, const struct kx_auth *auth, struct kx_auth_proof *out)
{
	*out = named_anonymous(p, auth) ? (struct kx_auth_proof){.principal = &p->list[0]}
					: (struct kx_auth_proof){.number = p->count};
	return out->principal != NULL && p->anonymous ? 0 : -EACCES;
}

int kx_auth_prove(const struct kx_auth_principals *p, const struct kx_auth *auth, struct kx_auth_proof *out)
{
	uint8_t mac[PRINCIPAL_KEYS][MAC_BYTES];
	const struct principal_keys *keys;
	uint64_t named, right[PRINCIPAL_KEYS];
	uint32_t slot;

	if (auth->method == KX_AUTH_NONE || (auth->method == KX_AUTH_TICKET && named_anonymous(p, auth)))
		return prove_nothing(p, auth, out);
	slot = find(p, auth->principal);
	keys = &p->keys[slot];
	named = keys->known &
		-(uint64_t)(CRYPTO_memcmp(keys->name, auth->principal, sizeof(keys->name)) == 0);
	for (unsigned int k = 0; k < PRINCIPAL_KEYS; k++) {
		auth_frame_mac(&keys->key[k], auth, mac[k]);
		right[k] = -(uint64_t)(CRYPTO_memcmp(mac[k], auth->mac, MAC_BYTES) == 0);
	}
	/* Only now, and only once, does the way part. */
	if (((right[0] | right[1]) & named) == 0) {
		out->principal =
			(const struct kx_auth_principal *)((uintptr_t)&p->list[slot] & (uintptr_t)named);
		out->number = (uint32_t)((slot & named) | (p->count & ~named));
		return -EACCES;
	}
	*out = (struct kx_auth_proof){
		.principal = &p->list[slot], .number = slot, .key_index = right[0] != 0 ? 0 : 1};
	session_secret(&keys->key[out->key_index], auth, out->secret);
	return 0;
}

/* The broker's answer to AUTH, with a key of its own for each kind. */
static void answer_mac(const uint8_t secret[KX_AUTH_SECRET_BYTES], const char *label, const void *body,
	size_t bytes, uint8_t mac[KX_MAC_BYTES])
{
	uint8_t answer_key[MAC_BYTES];
	struct mac_key key;

	auth_mac_key(&key, secret);
	mac_pieces(&key, label, NULL, 0, answer_key);
	auth_mac_key(&key, answer_key);
	auth_mac(&key, body, bytes, mac);
	OPENSSL_cleanse(&key, sizeof(key));
	OPENSSL_cleanse(answer_key, sizeof(answer_key));
}

void kx_auth_accept_mac(
	const uint8_t secret[KX_AUTH_SECRET_BYTES], const struct kx_accept *accept, uint8_t mac[KX_MAC_BYTES])
{
	answer_mac(secret, "KXP1 accept", accept, offsetof(struct kx_accept, mac), mac);
}

void kx_auth_refuse_mac(
	const uint8_t secret[KX_AUTH_SECRET_BYTES], const struct kx_refuse *refuse, uint8_t mac[KX_MAC_BYTES])
{
	answer_mac(secret, "KXP1 refuse", refuse, offsetof(struct kx_refuse, mac), mac);
}

void kx_auth_sign(const struct kx_key *key, struct kx_auth *auth)
{
	struct mac_key state;

	auth_mac_key_of(&state, key->bytes, key->len);
	auth_frame_mac(&state, auth, auth->mac);
	OPENSSL_cleanse(&state, sizeof(state));
}

void kx_auth_session_secret(
	const struct kx_key *key, const struct kx_auth *auth, uint8_t secret[KX_AUTH_SECRET_BYTES])
{
	struct mac_key state;

	auth_mac_key_of(&state, key->bytes, key->len);
	session_secret(&state, auth, secret);
	OPENSSL_cleanse(&state, sizeof(state));
}

int kx_auth_accept_check(const uint8_t secret[KX_AUTH_SECRET_BYTES], const struct kx_accept *accept)
{
	uint8_t mac[MAC_BYTES];

	kx_auth_accept_mac(secret, accept, mac);
	return CRYPTO_memcmp(mac, accept->mac, sizeof(mac)) == 0 ? 0 : -EACCES;
}

int kx_auth_refuse_check(const uint8_t secret[KX_AUTH_SECRET_BYTES], const struct kx_refuse *refuse)
{
	uint8_t mac[MAC_BYTES];

	kx_auth_refuse_mac(secret, refuse, mac);
	return CRYPTO_memcmp(mac, refuse->mac, sizeof(mac)) == 0 ? 0 : -EACCES;
}
