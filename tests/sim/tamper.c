/* SPDX-License-Identifier: BSD-3-Clause */
/* Against protected sessions: their frames changed, shortened, turned round, made plain, or made up by who
 * knows everything of the session but its keys. */
#include <stdlib.h>
#include <string.h>

#include "identity.h"

#define HDR ((uint32_t)sizeof(struct kx_frame_hdr))

static const struct flight *any_recorded(struct sim *s)
{
	struct net *n = &s->net;

	return n->replay_count == 0 ? NULL : &n->replay[pick(s, KX_MIN(n->replay_count, (uint32_t)REPLAYS))];
}

/* A recorded frame of a protected session. */
static const struct flight *protected_one(struct sim *s)
{
	for (int i = 0; i < 16; i++) {
		const struct flight *f = any_recorded(s);

		if (f != NULL && kx_frame_protected(f->data, f->bytes))
			return f;
	}
	return NULL;
}

/* What its sender would not have sealed: a session is ended, moved, asked or given more. */
static uint32_t made_up(struct sim *s, uint8_t *frame, const struct kx_frame_hdr *h, bool to_client)
{
	static const enum kx_frame_type of_client[] = {
		KX_CLOSE, KX_PING, KX_HEARTBEAT, KX_UNSUBSCRIBE, KX_PATH_RESPONSE};
	static const enum kx_frame_type of_broker[] = {KX_CLOSE, KX_PONG, KX_HEARTBEAT};
	static const uint32_t body[] = {[KX_CLOSE] = 8,
		[KX_PING] = 16,
		[KX_PONG] = sizeof(struct kx_pong),
		[KX_HEARTBEAT] = 40,
		[KX_UNSUBSCRIBE] = 8,
		[KX_PATH_RESPONSE] = 32};
	enum kx_frame_type type =
		to_client ? of_broker[pick(s, KX_DIM(of_broker))] : of_client[pick(s, KX_DIM(of_client))];
	uint32_t bytes = HDR + body[type];

	memset(frame, 0, bytes);
	kx_frame_begin(frame, type, h->conn_id, h->pkt_no + pick_in(s, 1, 300), 0, 0);
	frame[HDR] = 1;
	if (type == KX_HEARTBEAT)
		((struct kx_receipt *)(frame + HDR))->next_pkt = 1;
	kx_frame_seal(frame, bytes);
	return bytes;
}

/* As if it had never been protected. */
static uint32_t made_plain(struct sim *s, uint8_t *frame, uint32_t bytes)
{
	struct kx_frame_hdr *h = (struct kx_frame_hdr *)frame;

	h->flags &= (uint8_t)~KX_FLAGS_PROTECT;
	h->pkt_no += pick(s, 300);
	kx_frame_seal(frame, bytes - KX_TAG_BYTES);
	return bytes - KX_TAG_BYTES;
}

static void another_session(struct sim *s, struct kx_frame_hdr *h)
{
	const struct flight *f = protected_one(s);

	if (f != NULL)
		h->conn_id = ((const struct kx_frame_hdr *)f->data)->conn_id;
	h->pkt_no += pick_in(s, 1, 20);
}

/* @return bytes of what it became */
static uint32_t change(struct sim *s, uint8_t *frame, uint32_t bytes, bool to_client)
{
	struct kx_frame_hdr *h = (struct kx_frame_hdr *)frame;

	switch (pick(s, 8)) {
	case 0:
		return made_up(s, frame, h, to_client);
	case 1:
		return made_plain(s, frame, bytes);
	case 2:
		h->pkt_no += pick_in(s, 1, 300);
		return bytes;
	case 3:
		another_session(s, h);
		return bytes;
	case 4:
		h->flags ^= KX_FLAGS_PROTECT;
		return bytes;
	case 5:
		return bytes - (uint32_t)pick_in(s, 1, KX_MIN(bytes - 1, 40u));
	case 6: /* a tag of nothing */
		memset(frame + bytes - KX_TAG_BYTES, 0, KX_TAG_BYTES);
		return bytes;
	default:
		frame[pick(s, bytes)] ^= (uint8_t)(1u << pick(s, 8));
		return bytes;
	}
}

static void one(struct sim *s)
{
	static uint8_t frame[KX_FRAME_MAX_BYTES + 64] KX_ALIGNED(64);
	const struct flight *f = protected_one(s);
	struct kx_addr elsewhere =
		net_address(2, (uint32_t)pick(s, SIM_RAWS), (uint16_t)pick_in(s, 30001, 30100));
	bool turned, to_client;
	uint32_t bytes;

	if (f == NULL)
		return;
	fault_hit(s, SIM_TAMPER);
	memcpy(frame, f->data, f->bytes);
	bytes = f->bytes;
	turned = chance(s, 100);
	to_client = (f->to.ip[14] != 0) != turned;
	if (!turned)
		bytes = change(s, frame, bytes, to_client);
	net_inject(s,
		turned			 ? &f->to
			: chance(s, 900) ? &f->from
					 : &elsewhere,
		turned ? &f->from : &f->to, frame, bytes, pick(s, 5 * SIM_MS));
}

bool hostile_overtake(struct sim *s, const struct flight *of)
{
	const struct flight f = *of; /* it may lie elsewhere when a new one is made */
	struct kx_addr elsewhere =
		net_address(2, (uint32_t)pick(s, SIM_RAWS), (uint16_t)pick_in(s, 30001, 30100));

	if (f.from.ip[14] == 0 || !kx_frame_protected(f.data, f.bytes))
		return false;
	fault_hit(s, SIM_TAMPER);
	net_inject(s, &elsewhere, &f.to, f.data, f.bytes, 0);
	return true;
}

void hostile_tamper(struct sim *s)
{
	s->net.overtaken = identity_on(s) ? (uint32_t)pick(s, 4) : 0;
	for (uint64_t n = pick_in(s, 1, 40); n > 0 && identity_on(s); n--)
		one(s);
}
