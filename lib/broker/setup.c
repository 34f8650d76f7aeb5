/* SPDX-License-Identifier: BSD-3-Clause */
#include <string.h>

#include "broker_pvt.h"

/* KXP bytes both ends can take on this path. */
static uint16_t session_datagram(const struct kx_path *path, uint16_t client_bytes)
{
	return client_bytes >= KX_HELLO_BYTES ? KX_MIN(path->datagram_bytes, client_bytes)
					      : path->datagram_bytes;
}

static enum kx_drop refuse(struct kx_broker *b, const struct kx_path *path, const uint8_t *nonce,
	enum kx_code code, enum kx_drop drop)
{
	struct kx_refuse *body;
	struct out o;

	if (!out_begin_bare(b, KX_REFUSE, 0, sizeof(*body), &o))
		return drop;
	body = (struct kx_refuse *)o.body;
	*body = (struct kx_refuse){.code = code};
	memcpy(body->client_nonce, nonce, KX_NONCE_BYTES);
	out_send_bare(b, path, &o, sizeof(*body));
	return drop;
}

enum kx_drop setup_hello(struct kx_broker *b, const struct kx_frame *f, const struct kx_frame_view *v)
{
	const struct kx_hello *hello = (const struct kx_hello *)v->body;
	struct kx_cookie *body;
	struct kx_path path;
	struct out o;

	if (b->ops->path_of(b->tx, f, &path) != 0)
		return KX_DROP_TX_NO_NEIGHBOUR;
	if (hello->version_min > KX_WIRE_VERSION || hello->version_max < KX_WIRE_VERSION)
		return refuse(b, &path, hello->client_nonce, KX_CODE_VERSION, KX_DROP_FRAME_VERSION);
	if (!out_begin_bare(b, KX_COOKIE, 0, sizeof(*body), &o))
		return KX_DROP_NONE;
	body = (struct kx_cookie *)o.body;
	*body = (struct kx_cookie){.client_time = hello->client_time, .boot_id = b->config.boot_id};
	memcpy(body->client_nonce, hello->client_nonce, KX_NONCE_BYTES);
	kx_auth_random_nonce(b->auth, body->broker_nonce);
	kx_auth_cookie_make(
		b->auth, hello->client_nonce, body->broker_nonce, &f->remote, b->now_ns, body->cookie);
	out_send_bare(b, &path, &o, sizeof(*body));
	return KX_DROP_NONE;
}

static void accept_send(struct kx_broker *b, struct session *s)
{
	const struct kx_conf *conf = b->config.conf;
	struct kx_auth_ticket ticket = {
		.producer_id = s->producer_id, .producer_epoch = s->producer_epoch, .expires_ns = UINT64_MAX};
	struct kx_accept *body;
	struct out o;

	if (!out_begin_bare(b, KX_ACCEPT, 0, sizeof(*body), &o))
		return;
	body = (struct kx_accept *)o.body;
	*body = (struct kx_accept){.conn_id = s->conn_id,
		.boot_id = b->config.boot_id,
		.producer_id = s->producer_id,
		.producer_epoch = s->producer_epoch,
		.config_generation = 1,
		.base_port = (uint16_t)conf->broker.udp_port,
		.lcore_count = (uint16_t)b->config.lcore_count,
		.lcore_index = (uint16_t)b->config.lcore_index,
		.datagram_bytes = s->path.datagram_bytes,
		.idle_timeout_ms = conf->sessions.idle_timeout_ms,
		.heartbeat_ms = conf->sessions.heartbeat_ms,
		.limit_pkt = s->limit_pkt,
		.limit_bytes = s->limit_bytes,
		.durability = KX_MEMORY};
	memcpy(body->client_nonce, s->client_nonce, KX_NONCE_BYTES);
	kx_auth_ticket_seal(b->auth, &ticket, body->ticket);
	out_send_bare(b, &s->path, &o, sizeof(*body));
}

/* Identity of the new session: from the ticket of a sibling channel, or a producer id of its own. */
static bool identify(struct kx_broker *b, const struct kx_auth *auth, struct kx_auth_ticket *id)
{
	if (auth->method == KX_AUTH_TICKET)
		return kx_auth_ticket_open(b->auth, auth->ticket, b->now_ns, id) == 0;
	if (auth->method != KX_AUTH_NONE)
		return false;
	id->producer_id = __atomic_fetch_add(b->config.next_producer_id, 1, __ATOMIC_RELAXED);
	id->producer_epoch = 1;
	return true;
}

enum kx_drop setup_auth(struct kx_broker *b, const struct kx_frame *f, const struct kx_frame_view *v)
{
	const struct kx_auth *auth = (const struct kx_auth *)v->body;
	struct session *s = session_by_nonce(b, auth->client_nonce);
	struct kx_auth_ticket id = {0};
	struct kx_path path;

	if (b->ops->path_of(b->tx, f, &path) != 0)
		return KX_DROP_TX_NO_NEIGHBOUR;
	if (kx_auth_cookie_check(b->auth, auth->client_nonce, auth->broker_nonce, &f->remote, b->now_ns,
		    b->config.conf->sessions.cookie_lifetime_ms * UINT64_C(1000000), auth->cookie) != 0)
		return KX_DROP_COOKIE_BAD;
	if (s != NULL) { /* our ACCEPT was lost */
		if (!kx_addr_equal(&s->remote, &f->remote))
			return KX_DROP_CONN_PATH;
		accept_send(b, s);
		return KX_DROP_NONE;
	}
	if (!identify(b, auth, &id))
		return refuse(b, &path, auth->client_nonce, KX_CODE_AUTH, KX_DROP_AUTH_BAD);
	s = session_open(b, auth->client_nonce, f);
	if (s == NULL)
		return refuse(b, &path, auth->client_nonce, KX_CODE_SESSIONS_FULL, KX_DROP_SESSIONS_FULL);
	s->producer_id = id.producer_id;
	s->producer_epoch = id.producer_epoch;
	s->info.producer_id = id.producer_id;
	s->path.datagram_bytes = session_datagram(&s->path, auth->datagram_bytes);
	credit_extend(b, s);
	accept_send(b, s);
	return KX_DROP_NONE;
}

void setup_reset(struct kx_broker *b, const struct kx_frame *f, const struct kx_frame_view *v)
{
	struct kx_reset *body;
	struct kx_path path;
	struct out o;

	/* never larger than what asked for it, never more than the turn's set-up budget */
	if (b->setup_left == 0 || v->hdr->type == KX_CLOSE ||
		f->bytes < sizeof(struct kx_frame_hdr) + sizeof(*body) ||
		b->ops->path_of(b->tx, f, &path) != 0)
		return;
	b->setup_left--;
	if (!out_begin_bare(b, KX_RESET, v->hdr->conn_id, sizeof(*body), &o))
		return;
	body = (struct kx_reset *)o.body;
	*body = (struct kx_reset){.boot_id = b->config.boot_id, .pkt_no = v->hdr->pkt_no};
	out_send_bare(b, &path, &o, sizeof(*body));
}
