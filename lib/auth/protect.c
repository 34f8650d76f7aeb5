/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Protected frames: AES-256-GCM, the packet number as nonce. Contexts are keyed once a session and only take
 * a new nonce for each frame: keying one anew costs 140 ns, which is 80 % more for a small frame
 * (doc/performance.md). EVP allocates when a context gets its cipher, never afterwards.
 */
#include <errno.h>
#include <string.h>

#include "auth_private.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#define NONCE_BYTES 12

struct key_input {
	char label[16];
	uint64_t conn_id;
};
_Static_assert(sizeof(struct key_input) == 24, "no padding may reach the MAC");

static const uint8_t no_key[MAC_BYTES];

static void *context_new(EVP_CIPHER *cipher, bool seals)
{
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();

	if (ctx != NULL && EVP_CipherInit_ex2(ctx, cipher, no_key, NULL, seals, NULL) == 1)
		return ctx;
	EVP_CIPHER_CTX_free(ctx);
	return NULL;
}

int kx_auth_protect_create(struct kx_auth_protect *p)
{
	EVP_CIPHER *cipher = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);

	*p = (struct kx_auth_protect){0};
	if (cipher == NULL)
		return -ENOTSUP;
	p->seal_ctx = context_new(cipher, true);
	p->open_ctx = context_new(cipher, false);
	EVP_CIPHER_free(cipher);
	if (p->seal_ctx != NULL && p->open_ctx != NULL)
		return 0;
	kx_auth_protect_destroy(p);
	return -ENOMEM;
}

void kx_auth_protect_destroy(struct kx_auth_protect *p)
{
	EVP_CIPHER_CTX_free(p->seal_ctx);
	EVP_CIPHER_CTX_free(p->open_ctx);
	*p = (struct kx_auth_protect){0};
}

static int context_key(void *ctx, const uint8_t key[MAC_BYTES])
{
	return EVP_CipherInit_ex2(ctx, NULL, key, NULL, -1, NULL) == 1 ? 0 : -EIO;
}

static int derive(void *ctx, const struct mac_key *secret, const char label[16], uint64_t conn_id)
{
	struct key_input input = {.conn_id = conn_id};
	uint8_t key[MAC_BYTES];
	int rc;

	memcpy(input.label, label, sizeof(input.label));
	auth_mac(secret, &input, sizeof(input), key);
	rc = context_key(ctx, key);
	OPENSSL_cleanse(key, sizeof(key));
	return rc;
}

int kx_auth_protect_init(struct kx_auth_protect *p, const uint8_t secret[KX_AUTH_SECRET_BYTES],
	uint64_t conn_id, bool is_broker, enum kx_protect mode)
{
	static const char c2b[16] = "KXP1 c2b", b2c[16] = "KXP1 b2c";
	struct mac_key key;
	int rc;

	if (p->seal_ctx == NULL || (mode != KX_PROTECT_MAC && mode != KX_PROTECT_AEAD))
		return -EINVAL;
	auth_mac_key(&key, secret);
	rc = derive(p->seal_ctx, &key, is_broker ? b2c : c2b, conn_id);
	if (rc == 0)
		rc = derive(p->open_ctx, &key, is_broker ? c2b : b2c, conn_id);
	OPENSSL_cleanse(&key, sizeof(key));
	if (rc != 0) {
		kx_auth_protect_end(p);
		return rc;
	}
	p->flag = mode == KX_PROTECT_MAC ? KX_FLAG_MAC : KX_FLAG_AEAD;
	return 0;
}

void kx_auth_protect_end(struct kx_auth_protect *p)
{
	p->flag = 0;
	if (p->seal_ctx == NULL)
		return;
	(void)context_key(p->seal_ctx, no_key);
	(void)context_key(p->open_ctx, no_key);
}

enum kx_protect kx_auth_protect_mode(const struct kx_auth_protect *p)
{
	return p->flag == KX_FLAG_MAC	  ? KX_PROTECT_MAC
		: p->flag == KX_FLAG_AEAD ? KX_PROTECT_AEAD
					  : KX_PROTECT_PLAIN;
}

static bool start(void *ctx, const struct kx_frame_hdr *h)
{
	uint8_t nonce[NONCE_BYTES] = {0};

	memcpy(nonce, &h->pkt_no, sizeof(h->pkt_no));
	return EVP_CipherInit_ex2(ctx, NULL, NULL, nonce, -1, NULL) == 1;
}

/* What is only authenticated, then what is encrypted too, in place. */
static bool pass(void *ctx, uint8_t *frame, uint32_t bytes, uint8_t flag)
{
	const struct kx_frame_hdr *h = (const struct kx_frame_hdr *)frame;
	uint32_t head = flag == KX_FLAG_MAC ? bytes : (uint32_t)sizeof(*h) + 8u * h->ext_words;
	int n;

	if (EVP_CipherUpdate(ctx, NULL, &n, frame, (int)head) != 1)
		return false;
	return head == bytes ||
		EVP_CipherUpdate(ctx, frame + head, &n, frame + head, (int)(bytes - head)) == 1;
}

uint32_t kx_auth_protect_seal(struct kx_auth_protect *p, uint8_t *frame, uint32_t bytes)
{
	struct kx_frame_hdr *h = (struct kx_frame_hdr *)frame;
	uint8_t *tag = frame + bytes;
	int n;

	h->check = 0;
	h->flags |= p->flag;
	if (kx_likely(start(p->seal_ctx, h) && pass(p->seal_ctx, frame, bytes, p->flag) &&
		    EVP_CipherFinal_ex(p->seal_ctx, tag, &n) == 1 &&
		    EVP_CIPHER_CTX_ctrl(p->seal_ctx, EVP_CTRL_AEAD_GET_TAG, KX_TAG_BYTES, tag) == 1))
		return bytes + KX_TAG_BYTES;
	memset(frame + sizeof(*h), 0, bytes - sizeof(*h) + KX_TAG_BYTES); /* nothing leaves in the clear */
	return bytes + KX_TAG_BYTES;
}

int kx_auth_protect_open(struct kx_auth_protect *p, uint8_t *frame, uint32_t bytes)
{
	struct kx_frame_hdr *h = (struct kx_frame_hdr *)frame;
	uint32_t inner = bytes - KX_TAG_BYTES;
	uint8_t tag[KX_TAG_BYTES];
	int n;

	if ((h->flags & KX_FLAGS_PROTECT) != p->flag || p->flag == 0)
		return -EPROTO;
	if (bytes < sizeof(*h) + KX_TAG_BYTES || sizeof(*h) + 8u * h->ext_words > inner)
		return -EBADMSG;
	memcpy(tag, frame + inner, sizeof(tag));
	if (!start(p->open_ctx, h) ||
		EVP_CIPHER_CTX_ctrl(p->open_ctx, EVP_CTRL_AEAD_SET_TAG, KX_TAG_BYTES, tag) != 1 ||
		!pass(p->open_ctx, frame, inner, p->flag) || EVP_CipherFinal_ex(p->open_ctx, tag, &n) != 1)
		return -EBADMSG;
	h->flags &= (uint8_t)~KX_FLAGS_PROTECT;
	return 0;
}
