/* SPDX-License-Identifier: BSD-3-Clause */
#include "broker_pvt.h"

/* A failure is charged by the transport. */
static bool out_buffer(struct kx_broker *b, uint32_t body_bytes, struct out *o)
{
	o->buf = b->ops->alloc(b->tx, (uint32_t)sizeof(struct kx_frame_hdr) + body_bytes, &o->data);
	return kx_likely(o->buf != NULL);
}

bool out_begin(struct kx_broker *b, struct session *s, enum kx_frame_type type, uint32_t handle,
	uint32_t body_bytes, struct out *o)
{
	uint32_t floor_delta;
	uint64_t pkt_no;

	if (!out_buffer(b, body_bytes + s->tag_bytes, o))
		return false;
	pkt_no = next_pkt(b, s, &floor_delta);
	o->body = kx_frame_begin(o->data, type, s->conn_id, pkt_no, floor_delta, handle);
	s->others += type != KX_DELIVER && type != KX_DELIVER_FRAG;
	return true;
}

static KX_ALWAYS_INLINE void send_on(struct kx_broker *b, struct session *s, const struct kx_path *path,
	const struct out *o, uint32_t body_bytes)
{
	uint32_t bytes = (uint32_t)sizeof(struct kx_frame_hdr) + body_bytes;

	if (kx_likely(s->protect == NULL))
		kx_frame_seal(o->data, bytes);
	else
		bytes = kx_auth_protect_seal(s->protect, o->data, bytes);
	kx_count(&s->info.tx_frames, 1);
	kx_count(&s->info.tx_bytes, bytes);
	b->ops->send(b->tx, o->buf, bytes, path);
}

void out_send(struct kx_broker *b, struct session *s, struct out *o, uint32_t body_bytes)
{
	send_on(b, s, &s->path, o, body_bytes);
}

void out_send_to(struct kx_broker *b, struct session *s, const struct kx_path *path, struct out *o,
	uint32_t body_bytes)
{
	send_on(b, s, path, o, body_bytes);
}

bool out_begin_bare(
	struct kx_broker *b, enum kx_frame_type type, uint64_t conn_id, uint32_t body_bytes, struct out *o)
{
	if (!out_buffer(b, body_bytes, o))
		return false;
	o->body = kx_frame_begin(o->data, type, conn_id, 0, 0, 0);
	return true;
}

void out_send_bare(struct kx_broker *b, const struct kx_path *path, struct out *o, uint32_t body_bytes)
{
	uint32_t bytes = (uint32_t)sizeof(struct kx_frame_hdr) + body_bytes;

	kx_frame_seal(o->data, bytes);
	b->ops->send(b->tx, o->buf, bytes, path);
}

enum kx_drop out_no_path(struct kx_broker *b)
{
	kx_count(&b->config.ledger->built, 1);
	kx_ledger_drop(b->config.ledger, KX_DROP_TX_NO_NEIGHBOUR);
	return KX_DROP_NONE;
}
