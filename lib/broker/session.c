/* SPDX-License-Identifier: BSD-3-Clause */
#include <string.h>

#include "broker_pvt.h"

static uint64_t nonce_key(const uint8_t *nonce)
{
	uint64_t key;

	memcpy(&key, nonce, sizeof(key));
	return key == 0 ? 1 : key;
}

struct session *session_by_nonce(struct kx_broker *b, const uint8_t *nonce)
{
	uint32_t slot;

	if (!kx_map_get(&b->nonce_map, nonce_key(nonce), &slot))
		return NULL;
	if (memcmp(b->sessions[slot].client_nonce, nonce, KX_NONCE_BYTES) != 0)
		return NULL;
	return &b->sessions[slot];
}

static void session_reset(struct kx_broker *b, struct session *s, uint32_t slot)
{
	*s = (struct session){.slot = slot,
		.subs = KX_NONE,
		.tick_sub = KX_NONE,
		.producers = KX_NONE,
		.again = KX_NONE,
		.tx_next_pkt = 1};
	for (uint32_t i = 0; i < SESSION_PARTS; i++)
		s->parts[i].producer = KX_NONE;
	for (int i = 0; i < LIST_COUNT; i++)
		s->at[i] = KX_NONE;
	for (int i = 0; i < SUB_CLASSES; i++)
		s->queues[i] = (struct turn_queue){KX_NONE, KX_NONE};
	kx_rxwin_init(&s->rx);
	kx_rtt_init(&s->rtt);
	kx_retx_init(&s->repairs);
	kx_cc_init(&s->cc, b->now_ns);
	s->created_ns = s->last_rx_ns = b->now_ns;
	s->next_heartbeat_ns = b->now_ns + b->config.conf->sessions.heartbeat_ms * UINT64_C(1000000);
}

struct session *session_open(struct kx_broker *b, const uint8_t *nonce, const struct kx_frame *f)
{
	uint32_t slot = b->session_free, unused;
	struct session *s;
	uint64_t conn_id;

	if (slot == KX_NONE || kx_map_get(&b->nonce_map, nonce_key(nonce), &unused))
		return NULL;
	do
		conn_id = kx_auth_random_u64(b->auth);
	while (conn_id == 0 || kx_map_get(&b->conn_map, conn_id, &unused));
	s = session_of(b, slot);
	session_reset(b, s, slot);
	if (b->ops->path_of(b->tx, f, &s->path) != 0)
		return NULL;
	s->remote = f->remote;
	memcpy(s->client_nonce, nonce, KX_NONCE_BYTES);
	s->nonce_key = nonce_key(nonce);
	if (kx_map_put(&b->conn_map, conn_id, slot) != 0)
		return NULL;
	if (kx_map_put(&b->nonce_map, s->nonce_key, slot) != 0) {
		kx_map_del(&b->conn_map, conn_id);
		return NULL;
	}
	b->session_free = b->session_next_free[slot];
	s->conn_id = conn_id;
	s->active_at = b->session_used;
	b->active[b->session_used++] = slot;
	s->info = (struct kx_session_info){.remote = f->remote, .created_ns = b->now_ns};
	__atomic_store_n(
		&s->info.conn_id, conn_id, __ATOMIC_RELEASE); /* pairs with kx_broker_session_info() */
	return s;
}

void session_tell_closed(struct kx_broker *b, struct session *s, enum kx_code code)
{
	struct out o;
	struct kx_close *body;

	if (!out_begin(b, s, KX_CLOSE, 0, sizeof(*body), &o))
		return;
	body = (struct kx_close *)o.body;
	*body = (struct kx_close){.code = code};
	out_send(b, s, &o, sizeof(*body));
}

void ack_due(struct kx_broker *b, struct session *s, bool even_without_commit)
{
	s->ack_now |= even_without_commit;
	list_add(b, LIST_ACK, s);
}
