/* SPDX-License-Identifier: BSD-3-Clause */
#include "broker_pvt.h"

/* A frame of a session that is known, from its own address. */
static enum kx_drop session_frame(
	struct kx_broker *b, struct session *s, struct kx_frame *f, const struct kx_frame_view *v)
{
	switch (v->hdr->type) {
	case KX_PRODUCE:
		return produce_frame(b, s, f, v);
	case KX_PRODUCE_FRAG:
		return frag_frame(b, s, v);
	case KX_CREDIT:
		return consume_credit(b, s, v);
	case KX_NAK:
		return consume_nak(b, s, v);
	case KX_RX_ACK:
		return consume_receipt(b, s, v);
	default:
		return request_frame(b, s, f, v);
	}
}

static void watch_holes(struct kx_broker *b, struct session *s)
{
	list_add(b, LIST_GAP, s);
	ack_due(b, s, true);
}

static enum kx_drop numbered_frame(
	struct kx_broker *b, struct session *s, struct kx_frame *f, const struct kx_frame_view *v)
{
	uint64_t pkt_no = v->hdr->pkt_no;
	uint32_t floor_delta = v->hdr->floor_delta;
	enum kx_drop drop = kx_rxwin_check_frame(&s->rx, pkt_no, floor_delta);

	if (kx_unlikely(drop != KX_DROP_NONE)) {
		if (drop == KX_DROP_PKT_DUPLICATE) {
			kx_count(&s->info.duplicates, 1);
			kx_rxwin_duplicate(&s->rx, pkt_no);
			ack_due(b, s, true);
		}
		return drop;
	}
	b->close_packet = false;
	drop = session_frame(b, s, f, v);
	if ((drop != KX_DROP_NONE && !b->close_packet) || s->conn_id == 0)
		return drop;
	/* v is gone when the frame was forwarded: it carries another header now */
	kx_rxwin_mark_frame(&s->rx, pkt_no, floor_delta, b->now_ns);
	if (kx_unlikely(kx_rxwin_has_hole(&s->rx)))
		watch_holes(b, s);
	return drop;
}

/* A frame of session s, from any address. */
static enum kx_drop checked_frame(
	struct kx_broker *b, struct session *s, struct kx_frame *f, const struct kx_frame_view *v)
{
	if (kx_unlikely(!kx_addr_equal(&s->remote, &f->remote))) {
		enum kx_drop drop = path_frame(b, s, f, v);

		if (drop != KX_DROP_NONE)
			return drop;
	}
	s->last_rx_ns = b->now_ns;
	kx_count(&s->info.rx_frames, 1);
	kx_count(&s->info.rx_bytes, f->bytes);
	if (kx_unlikely(b->stopping))
		return KX_DROP_BROKER_STOPPING;
	return numbered_frame(b, s, f, v);
}

static enum kx_drop setup_frame(struct kx_broker *b, const struct kx_frame *f, const struct kx_frame_view *v)
{
	if (b->stopping)
		return KX_DROP_BROKER_STOPPING;
	if (b->setup_left == 0) {
		b->setup_short = true;
		return KX_DROP_SETUP_BUDGET;
	}
	b->setup_left--;
	return v->hdr->type == KX_HELLO ? setup_hello(b, f, v) : setup_auth(b, f, v);
}

/* The session of a connection id other than 0, or NULL. A closed one has id 0. */
static KX_ALWAYS_INLINE struct session *session_by_id(struct kx_broker *b, uint64_t conn_id)
{
	uint32_t slot;

	if (kx_likely(b->last->conn_id == conn_id))
		return b->last;
	if (!kx_map_get(&b->conn_map, conn_id, &slot))
		return NULL;
	b->last = session_of(b, slot);
	return b->last;
}

static enum kx_drop one_frame(struct kx_broker *b, struct kx_frame *f)
{
	struct kx_frame_view v;
	enum kx_drop drop = kx_frame_check(f->data, f->bytes, KX_FROM_CLIENT, &v), why;
	struct session *s;

	if (kx_likely(drop == KX_DROP_NONE)) {
		if (kx_unlikely(v.hdr->type <= KX_REFUSE))
			return setup_frame(b, f, &v);
		s = session_by_id(b, v.hdr->conn_id);
		if (kx_unlikely(s == NULL)) {
			setup_reset(b, f, &v);
			return KX_DROP_CONN_UNKNOWN;
		}
		if (kx_unlikely(s->protect != NULL))
			return KX_DROP_FRAME_UNPROTECTED;
	} else {
		if (drop != KX_DROP_FRAME_FLAGS) /* refused as it may be protected: plain ones pay nothing */
			return drop;
		s = protect_open(b, f, &v, &why);
		if (s == NULL)
			return why;
	}
	return checked_frame(b, s, f, &v);
}

void kx_broker_rx(struct kx_broker *b, struct kx_frame *frames, unsigned int n, uint64_t now_ns)
{
	struct kx_ledger *ledger = b->config.ledger;
	uint64_t handled = 0;

	b->burst = n;
	b->now_ns = now_ns;
	b->real_ns = now_ns + (uint64_t)b->real_minus_mono_ns;
	for (unsigned int i = 0; i < n; i++) {
		enum kx_drop drop;

		if (i + 2 < n)
			__builtin_prefetch(frames[i + 2].data);
		drop = one_frame(b, &frames[i]);
		if (kx_likely(drop == KX_DROP_NONE))
			handled++;
		else
			kx_ledger_drop(ledger, drop);
	}
	kx_count(&ledger->handled, handled);
}
