/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How large a frame may be. A session begins with what every path carries; its client finds out by probes how
 * much more passes, and says so. What it says is believed up to the largest probe that was answered: that one
 * came through here.
 */
#include <string.h>

#include "broker_pvt.h"

#define ANSWERS_NS UINT64_C(1000000)
#define ANSWERS	   8 /* of a session, at most, in that time */

void mtu_open(struct session *s)
{
	s->mtu_most = s->path.datagram_bytes;
	s->path.datagram_bytes = KX_MIN(s->mtu_most, kx_addr_datagram_base(&s->path.remote));
	s->mtu_base = s->mtu_answered = s->path.datagram_bytes;
	s->info.datagram_most_bytes = s->mtu_most;
	s->info.tx_datagram_bytes = s->info.rx_datagram_bytes = s->mtu_base;
}

static bool budget(struct kx_broker *b, struct session *s)
{
	if (b->now_ns - s->mtu_since_ns >= ANSWERS_NS) {
		s->mtu_since_ns = b->now_ns;
		s->mtu_answers = 0;
	}
	return s->mtu_answers++ < ANSWERS;
}

static void answer(struct kx_broker *b, struct session *s, uint16_t size)
{
	uint32_t body_bytes = size - (uint32_t)sizeof(struct kx_frame_hdr) - s->tag_bytes;
	struct kx_path path = s->path;
	struct out o;

	if (!out_begin(b, s, KX_MTU_PROBED, 0, body_bytes, &o))
		return;
	memset(o.body, 0, body_bytes);
	*(struct kx_mtu *)o.body = (struct kx_mtu){.size = size, .proven_bytes = s->path.datagram_bytes};
	path.datagram_bytes = s->mtu_most;
	out_send_to(b, s, &path, &o, body_bytes);
	s->mtu_answered = KX_MAX(s->mtu_answered, size);
}

enum kx_drop mtu_frame(struct kx_broker *b, struct session *s, const struct kx_frame_view *v)
{
	const struct kx_mtu *probe = (const struct kx_mtu *)v->body;

	if (probe->size > s->mtu_most)
		return KX_DROP_FRAME_LENGTH;
	if (!budget(b, s))
		return KX_DROP_SETUP_BUDGET;
	if (v->hdr->pkt_no > s->mtu_pkt) { /* the newest word counts, whatever its size */
		s->mtu_pkt = v->hdr->pkt_no;
		s->path.datagram_bytes = KX_MAX(s->mtu_base, KX_MIN(probe->proven_bytes, s->mtu_answered));
		s->info.tx_datagram_bytes = s->path.datagram_bytes;
		s->info.rx_datagram_bytes = KX_MIN(probe->proven_bytes, s->mtu_most);
	}
	answer(b, s, probe->size);
	return KX_DROP_NONE;
}
