/* SPDX-License-Identifier: BSD-3-Clause */
/* Frames from outside of any session of their own: recorded and sent again, sent from elsewhere, made up. */
#include <stdlib.h>
#include <string.h>

#include "sim.h"

void hostile_begin(struct sim *s)
{
	for (uint32_t i = 0; i < s->raw_count && s->faults_on >> SIM_LIAR & 1; i++)
		sim_at(s, s->now_ns + pick(s, 5 * KX_NS_PER_S), EV_RAW, i, 0);
}

static const struct flight *recorded(struct sim *s)
{
	struct net *n = &s->net;

	return n->replay_count == 0 ? NULL : &n->replay[pick(s, KX_MIN(n->replay_count, (uint32_t)REPLAYS))];
}

/* As it was, from where it came: what a network that repeats does, at any later time. */
void hostile_replay(struct sim *s)
{
	for (uint64_t n = pick_in(s, 1, 20); n > 0; n--) {
		const struct flight *f = recorded(s);

		if (f == NULL)
			return;
		fault_hit(s, SIM_REPLAY);
		net_inject(s, &f->from, &f->to, f->data, f->bytes, pick(s, 100 * SIM_MS));
	}
}

void hostile_crowd(struct lcore *l)
{
	struct sim *s = l->sim;

	for (int i = 0; i < 8; i++) {
		const struct flight *f = recorded(s);
		struct flight copy;

		if (f == NULL || f->to.ip[14] != 0)
			continue;
		copy = *f;
		copy.data = malloc(f->bytes);
		memcpy(copy.data, f->data, f->bytes);
		lcore_arrive(l, &copy);
		free(copy.data);
	}
}

/* PATH_RESPONSE of somebody who saw a connection id, and was never challenged. */
static void forge_path(struct sim *s, const struct kx_addr *from)
{
	const struct flight *f = recorded(s);
	uint8_t frame[sizeof(struct kx_frame_hdr) + sizeof(struct kx_path_token)] KX_ALIGNED(8) = {0};
	const struct kx_frame_hdr *h;

	if (f == NULL || f->to.ip[14] != 0 || f->bytes < sizeof(*h))
		return;
	h = (const struct kx_frame_hdr *)f->data;
	if (h->conn_id == 0 || h->pkt_no == 0)
		return;
	kx_frame_begin(frame, KX_PATH_RESPONSE, h->conn_id, h->pkt_no + 2000, 2000, 0);
	memset(frame + sizeof(*h), 7, 8);
	kx_frame_seal(frame, sizeof(frame));
	net_inject(s, from, &f->to, frame, sizeof(frame), pick(s, SIM_MS));
}

/* To where it does not belong: back to a broker, another lcore, another client, from an address that is not
 * its own. */
void hostile_reflect(struct sim *s)
{
	for (uint64_t n = pick_in(s, 1, 20); n > 0; n--) {
		const struct flight *f = recorded(s);
		struct kx_addr from = net_address(
				       2, (uint32_t)pick(s, SIM_RAWS), (uint16_t)pick_in(s, 30001, 30100)),
			       to;

		if (f == NULL)
			return;
		fault_hit(s, SIM_REFLECT);
		to = chance(s, 700) ? s->broker.lcores[pick(s, s->broker.lcore_count)].addr
				    : s->clients[pick(s, s->client_count)].addr;
		net_inject(s, &from, &to, f->data, f->bytes, pick(s, 10 * SIM_MS));
	}
}

static void random_bytes(struct sim *s, uint8_t *to, uint32_t bytes)
{
	for (uint32_t i = 0; i < bytes; i++)
		to[i] = (uint8_t)pick(s, 256);
}

/* Of nobody's session, or noise. */
static void forge_one(struct sim *s, const struct kx_addr *from)
{
	static const enum kx_frame_type types[] = {
		KX_PING, KX_CLOSE, KX_RESET, KX_HELLO, KX_COOKIE, KX_ACCEPT, KX_REFUSE, KX_AUTH};
	static const uint16_t body[] = {16, 8, 16, 480, 80, 208, 24, 480};
	uint32_t i = (uint32_t)pick(s, KX_DIM(types)),
		 bytes = (uint32_t)sizeof(struct kx_frame_hdr) + body[i];
	bool bare = types[i] <= KX_REFUSE, to_broker = chance(s, 600);
	const struct kx_addr *to = to_broker ? &s->broker.lcores[pick(s, s->broker.lcore_count)].addr
					     : &s->clients[pick(s, s->client_count)].addr;
	uint8_t frame[600] KX_ALIGNED(8) = {0};

	if (chance(s, 200)) {
		bytes = (uint32_t)pick_in(s, 1, 600);
		random_bytes(s, frame, bytes);
	} else {
		kx_frame_begin(frame, types[i], bare ? 0 : kx_prng_next(&s->prng) | 1,
			bare ? 0 : pick_in(s, 1, 1000), 0, 0);
		random_bytes(s, frame + sizeof(struct kx_frame_hdr), KX_MIN(32u, body[i]));
		if (types[i] == KX_HELLO)
			memset(frame + sizeof(struct kx_frame_hdr) + 16, 1, 2),
				memset(frame + sizeof(struct kx_frame_hdr) + 18, 0, 14);
		if (chance(s, 100) && bytes > 500)
			bytes -= 8;
		kx_frame_seal(frame, bytes);
	}
	net_inject(s, from, to, frame, bytes, pick(s, 10 * SIM_MS));
}

/* A delivery whose batch breaks a rule that its CRC does not. @return its bytes */
static uint32_t bad_delivery(struct sim *s, uint8_t *frame)
{
	uint8_t *body =
		kx_frame_begin(frame, KX_DELIVER, kx_prng_next(&s->prng) | 1, pick_in(s, 1, 1000), 0, 1);
	struct kx_batch_hdr *b = (struct kx_batch_hdr *)body;
	struct kx_batch_writer w;
	uint32_t bytes;

	kx_batch_begin(&w, body, 512, 0, 1, 1, 0, 0);
	random_bytes(s, kx_batch_claim(&w, 24), 24);
	bytes = kx_batch_end(&w);
	switch (pick(s, 5)) {
	case 0:
		b->format = (uint8_t)pick_in(s, 2, 255);
		break;
	case 1:
		b->attrs = 1;
		break;
	case 2:
		b->record_count = (uint16_t)pick_in(s, 2, 65535);
		break;
	case 3:
		((struct kx_record_hdr *)(b + 1))->value_bytes = UINT32_MAX;
		break;
	default:
		b->batch_bytes = bytes + 8 * (uint32_t)pick_in(s, 1, 1000);
	}
	if (b->batch_bytes == bytes)
		b->data_crc = kx_batch_data_crc(b);
	b->header_crc = kx_batch_header_crc(b);
	return (uint32_t)sizeof(struct kx_frame_hdr) + bytes;
}

/* An extension that has no length. */
static uint32_t bad_extension(struct sim *s, uint8_t *frame)
{
	uint32_t bytes =
		(uint32_t)(sizeof(struct kx_frame_hdr) + sizeof(struct kx_ext) + sizeof(struct kx_pong));

	memset(frame, 0, bytes);
	kx_frame_begin(frame, KX_PONG, kx_prng_next(&s->prng) | 1, 1, 0, 0);
	((struct kx_frame_hdr *)frame)->ext_words = sizeof(struct kx_ext) / 8;
	return bytes;
}

/* A receipt of a session as it was, under a number that nobody sends for long. */
static uint32_t far_number(uint8_t *frame, const struct flight *f)
{
	struct kx_frame_hdr *h = (struct kx_frame_hdr *)frame;

	memcpy(frame, f->data, f->bytes);
	h->pkt_no += 1u << 20;
	h->floor_delta += 1u << 20;
	return f->bytes;
}

/* What a broker would not send, to a client. */
static void forge_to_client(struct sim *s)
{
	const struct client *c = &s->clients[pick(s, s->client_count)];
	const struct flight *f = recorded(s);
	const struct kx_addr *from = &s->broker.lcores[0].addr, *to = &c->addr;
	uint8_t frame[2048] KX_ALIGNED(8) = {0};
	uint32_t bytes;

	if (f != NULL && f->from.ip[14] == 0 && f->to.ip[14] == 1 && f->bytes < sizeof(frame) &&
		f->data[1] == KX_RX_ACK && !kx_frame_protected(f->data, f->bytes)) {
		bytes = far_number(frame, f);
		from = &f->from;
		to = &f->to;
	} else {
		bytes = chance(s, 800) ? bad_delivery(s, frame) : bad_extension(s, frame);
	}
	kx_frame_seal(frame, bytes);
	net_inject(s, from, to, frame, bytes, pick(s, SIM_MS));
}

void hostile_forge(struct sim *s)
{
	struct kx_addr from = net_address(2, (uint32_t)pick(s, SIM_RAWS), (uint16_t)pick_in(s, 30001, 30100));

	for (uint64_t n = pick_in(s, 1, 40); n > 0; n--) {
		fault_hit(s, SIM_FORGE);
		if (chance(s, 200))
			forge_path(s, &from);
		else if (chance(s, 200))
			forge_to_client(s);
		else
			forge_one(s, &from);
	}
}
