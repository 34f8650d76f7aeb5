/* SPDX-License-Identifier: BSD-3-Clause */
/* Peers that speak KXP by hand: they set up sessions as clients do, and then lie (lie.c). */
#include <stdlib.h>
#include <string.h>

#include "identity.h"

static void set_state(struct raw *r, enum raw_state state)
{
	r->state = state;
	r->since_ns = r->sim->now_ns;
}

void raw_init(struct sim *s)
{
	s->raw_count = SIM_RAWS;
	for (uint32_t i = 0; i < s->raw_count; i++)
		s->raws[i] = (struct raw){.sim = s,
			.index = i,
			.addr = net_address(2, i, 30000),
			.principal = identity_on(s) && (i == 0 || chance(s, 600)) ? SIM_GUEST : 0};
}

void raw_free(struct sim *s)
{
	for (uint32_t i = 0; i < s->raw_count; i++)
		kx_auth_protect_destroy(&s->raws[i].protect);
}

/* Takes frame (malloc). */
void raw_send(struct raw *r, uint8_t *frame, uint32_t bytes)
{
	struct sim *s = r->sim;

	TRACE(s, "raw %u sends %s (%u bytes)", r->index, kx_frame_type_name(frame[1]), bytes);
	net_send(s, &r->addr, &s->broker.lcores[r->lcore].addr, frame, bytes);
}

void raw_send_sealed(struct raw *r, uint8_t *frame, uint32_t bytes)
{
	struct kx_frame_view v;

	if (kx_frame_check_opened(frame, bytes, KX_FROM_CLIENT, &v) == KX_DROP_NONE)
		r->sim->coverage.to_broker[v.hdr->type]++;
	raw_send(r, frame, seal_raw(r, frame, bytes));
}

void raw_frame(struct raw *r, enum kx_frame_type type, const void *body, uint32_t bytes)
{
	uint8_t *frame = malloc(sizeof(struct kx_frame_hdr) + bytes + KX_TAG_BYTES);
	uint8_t *to = kx_frame_begin(frame, type, r->conn_id, r->pkt_no++, 0, 0);

	memcpy(to, body, bytes);
	raw_send_sealed(r, frame, (uint32_t)sizeof(struct kx_frame_hdr) + bytes);
}

static void setup_frame(struct raw *r, enum kx_frame_type type, const void *body, uint32_t bytes)
{
	uint8_t *frame = calloc(1, KX_HELLO_BYTES);
	uint8_t *to = kx_frame_begin(frame, type, 0, 0, 0, 0);

	memcpy(to, body, bytes);
	kx_frame_seal(frame, KX_HELLO_BYTES);
	raw_send(r, frame, KX_HELLO_BYTES);
}

static void hello(struct raw *r)
{
	struct sim *s = r->sim;
	struct kx_hello h = {.version_min = 1, .version_max = chance(s, 50) ? 200 : 1};

	if (chance(s, 30))
		h.version_min = h.version_max = 9;
	r->lcore = (uint32_t)pick(s, s->broker.lcore_count);
	for (uint32_t i = 0; i < sizeof(r->nonce); i++)
		r->nonce[i] = (uint8_t)pick(s, 256);
	memcpy(h.client_nonce, r->nonce, sizeof(r->nonce));
	setup_frame(r, KX_HELLO, &h, sizeof(h));
	set_state(r, RAW_HELLO);
}

static void auth(struct raw *r)
{
	struct sim *s = r->sim;
	struct kx_auth a = {.method = KX_AUTH_NONE, .datagram_bytes = KX_DATAGRAM_DEFAULT_V4};

	memcpy(a.client_nonce, r->nonce, sizeof(a.client_nonce));
	memcpy(a.cookie, r->cookie.cookie, sizeof(a.cookie));
	memcpy(a.broker_nonce, r->cookie.broker_nonce, sizeof(a.broker_nonce));
	r->same_id = r->producer_id != 0 && r->boot_id == r->cookie.boot_id && chance(s, 400);
	if (r->same_id) {
		a.method = KX_AUTH_TICKET;
		memcpy(a.ticket, r->ticket, sizeof(a.ticket));
		if (chance(s, 100)) /* not the one it was given */
			a.ticket[pick(s, sizeof(a.ticket))] ^= 1;
	}
	if (chance(s, 100))
		a.cookie[pick(s, sizeof(a.cookie))] ^= (uint8_t)(1 + pick(s, 255));
	if (chance(s, 50))
		a.method = KX_AUTH_HMAC_SHA256;
	identity_raw_auth(r, &a);
	setup_frame(r, KX_AUTH, &a, sizeof(a));
	set_state(r, RAW_AUTH);
}

static void on_accept(struct raw *r, const struct kx_accept *a)
{
	if (a->producer_id != r->producer_id || a->boot_id != r->boot_id) {
		memset(r->seq, 0, sizeof(r->seq));
		memset(r->apps, 0, sizeof(r->apps));
	}
	r->conn_id = a->conn_id;
	r->boot_id = a->boot_id;
	r->producer_id = a->producer_id;
	r->producer_epoch = a->producer_epoch;
	memcpy(r->ticket, a->ticket, sizeof(r->ticket));
	r->pkt_no = 1;
	r->largest_pkt = 0;
	memset(r->sub_next, 0, sizeof(r->sub_next));
	identity_raw_accept(r, a);
	set_state(r, RAW_OPEN);
}

void raw_arrive(struct raw *r, struct flight *f)
{
	struct kx_frame_view v;

	uint32_t bytes = seal_raw_open(r, f->data, f->bytes);

	enum kx_drop drop = bytes == f->bytes ? kx_frame_check(f->data, bytes, KX_FROM_BROKER, &v)
					      : kx_frame_check_opened(f->data, bytes, KX_FROM_BROKER, &v);

	if (drop != KX_DROP_NONE)
		return;
	if (v.hdr->type == KX_COOKIE && r->state == RAW_HELLO &&
		memcmp(v.body, r->nonce, sizeof(r->nonce)) == 0) {
		r->cookie = *(const struct kx_cookie *)v.body;
		auth(r);
	} else if (v.hdr->type == KX_ACCEPT && r->state == RAW_AUTH &&
		memcmp(v.body, r->nonce, sizeof(r->nonce)) == 0) {
		on_accept(r, (const struct kx_accept *)v.body);
	} else if (v.hdr->conn_id != r->conn_id || r->state != RAW_OPEN) {
		return;
	} else if (v.hdr->type == KX_RESET || v.hdr->type == KX_CLOSE) {
		set_state(r, RAW_IDLE);
	} else if (v.hdr->type == KX_DELIVER && v.hdr->handle <= KX_DIM(r->sub_next)) {
		const struct kx_batch_hdr *b = (const struct kx_batch_hdr *)v.body;

		r->sub_next[v.hdr->handle - 1] = b->base_offset + b->record_count;
	}
	r->largest_pkt = KX_MAX(r->largest_pkt, v.hdr->pkt_no);
}

void raw_act(struct raw *r)
{
	struct sim *s = r->sim;

	if (s->calm)
		return;
	sim_at(s, s->now_ns + (uint64_t)kx_prng_exp(&s->prng, 30e6), EV_RAW, r->index, 0);
	if (r->state == RAW_IDLE || (r->state != RAW_OPEN && s->now_ns - r->since_ns > 200 * SIM_MS)) {
		hello(r);
	} else if (r->state == RAW_AUTH) {
		auth(r);
	} else if (r->state == RAW_OPEN) {
		fault_hit(s, SIM_LIAR);
		for (uint64_t n = pick(s, 8); n > 0 && r->state == RAW_OPEN; n--)
			raw_lie(r);
		if (chance(s, 5)) /* away without a word */
			set_state(r, RAW_IDLE);
	}
}
