/* SPDX-License-Identifier: BSD-3-Clause */
/* Sessions whose frames are protected: their keys, and opening what they send. */
#include <errno.h>
#include <stdlib.h>

#include "broker_pvt.h"

int protect_create(struct kx_broker *b)
{
	if (b->config.conf->principal_count <= 1) /* anonymous: nobody has a key */
		return 0;
	b->protects = calloc(b->session_total, sizeof(*b->protects));
	if (b->protects == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < b->session_total; i++) {
		int rc = kx_auth_protect_create(&b->protects[i]);

		if (rc != 0)
			return rc;
	}
	return 0;
}

void protect_destroy(struct kx_broker *b)
{
	for (uint32_t i = 0; b->protects != NULL && i < b->session_total; i++)
		kx_auth_protect_destroy(&b->protects[i]);
	free(b->protects);
}

int session_protect(struct kx_broker *b, struct session *s, const uint8_t secret[KX_AUTH_SECRET_BYTES],
	enum kx_protect mode)
{
	struct kx_auth_protect *p;
	int rc;

	if (mode == KX_PROTECT_PLAIN)
		return 0;
	if (b->protects == NULL)
		return -ENOTSUP;
	p = &b->protects[s->slot];
	rc = kx_auth_protect_init(p, secret, s->conn_id, true, mode);
	if (rc != 0)
		return rc;
	s->protect = p;
	s->tag_bytes = KX_TAG_BYTES;
	s->info.protect = (uint8_t)mode;
	return 0;
}

void session_unprotect(struct session *s)
{
	if (s->protect == NULL)
		return;
	kx_auth_protect_end(s->protect);
	s->protect = NULL;
	s->tag_bytes = 0;
}

/* Whose protected frame is it, and is it whole? Nothing is changed or answered before the tag held. */
static enum kx_drop find_and_open(struct kx_broker *b, struct kx_frame *f, struct session **out)
{
	const struct kx_frame_hdr *h = (const struct kx_frame_hdr *)f->data;
	struct session *s;
	uint32_t slot;
	int rc;

	if (!kx_frame_protected(f->data, f->bytes))
		return KX_DROP_FRAME_FLAGS;
	if (h->conn_id == 0 || h->pkt_no == 0)
		return KX_DROP_FRAME_FIELD;
	if (!kx_map_get(&b->conn_map, h->conn_id, &slot)) {
		setup_reset(b, f, &(struct kx_frame_view){.hdr = h});
		return KX_DROP_CONN_UNKNOWN;
	}
	s = session_of(b, slot);
	rc = s->protect == NULL ? -EPROTO : kx_auth_protect_open(s->protect, f->data, f->bytes);
	if (rc != 0)
		return rc == -EPROTO ? KX_DROP_FRAME_FLAGS : KX_DROP_FRAME_TAG;
	f->bytes -= KX_TAG_BYTES;
	kx_count(&s->info.rx_bytes, KX_TAG_BYTES); /* the rest is counted as of any frame */
	*out = s;
	return KX_DROP_NONE;
}

struct session *protect_open(
	struct kx_broker *b, struct kx_frame *f, struct kx_frame_view *v, enum kx_drop *drop)
{
	struct session *s = NULL;

	*drop = find_and_open(b, f, &s);
	if (*drop == KX_DROP_NONE)
		*drop = kx_frame_check_opened(f->data, f->bytes, KX_FROM_CLIENT, v);
	return *drop == KX_DROP_NONE ? s : NULL;
}
