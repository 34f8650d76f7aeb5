/* SPDX-License-Identifier: BSD-3-Clause */
#include <string.h>

#include "broker_pvt.h"

/* `proof`: of who is refused, when it has proven itself. */
static enum kx_drop refuse(struct kx_broker *b, const struct kx_path *path, const uint8_t *nonce,
	enum kx_code code, const struct kx_auth_proof *proof, enum kx_drop drop)
{
	struct kx_refuse *body;
	struct out o;

	if (!out_begin_bare(b, KX_REFUSE, 0, sizeof(*body), &o))
		return drop;
	body = (struct kx_refuse *)o.body;
	*body = (struct kx_refuse){.code = code};
	memcpy(body->client_nonce, nonce, KX_NONCE_BYTES);
	if (proof != NULL)
		kx_auth_refuse_mac(proof->secret, body, body->mac);
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
		return out_no_path(b);
	if (hello->version_min > KX_WIRE_VERSION || hello->version_max < KX_WIRE_VERSION)
		return refuse(b, &path, hello->client_nonce, KX_CODE_VERSION, NULL, KX_DROP_FRAME_VERSION);
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

/* ACCEPT is made once: what it grants stays true, since limits never fall. */
static void accept_make(struct kx_broker *b, const struct session *s, const struct kx_auth *auth,
	const struct kx_auth_proof *proof)
{
	const struct kx_conf *conf = b->config.conf;
	struct kx_auth_ticket ticket = {.producer_id = s->producer_id,
		.producer_epoch = s->producer_epoch,
		.principal_id = s->principal->id,
		.expires_ns = UINT64_MAX};
	struct accept_kept *kept = &b->accepts[s->slot];
	struct kx_accept *body = &kept->accept;

	memcpy(kept->cookie, auth->cookie, sizeof(kept->cookie));
	*body = (struct kx_accept){.conn_id = s->conn_id,
		.boot_id = b->config.boot_id,
		.producer_id = s->producer_id,
		.producer_epoch = s->producer_epoch,
		.config_generation = 1,
		.base_port = (uint16_t)conf->broker.udp_port,
		.lcore_count = (uint16_t)b->config.lcore_count,
		.lcore_index = (uint16_t)b->config.lcore_index,
		.datagram_bytes = s->mtu_most,
		.idle_timeout_ms = conf->sessions.idle_timeout_ms,
		.heartbeat_ms = conf->sessions.heartbeat_ms,
		.limit_pkt = s->limit_pkt,
		.limit_bytes = s->limit_bytes,
		.durability = KX_MEMORY,
		.protect = s->info.protect,
		.principal_id = s->principal->id};
	memcpy(body->client_nonce, s->client_nonce, KX_NONCE_BYTES);
	kx_auth_ticket_seal(b->auth, &ticket, body->ticket);
	if (s->principal->has_key)
		kx_auth_accept_mac(proof->secret, body, body->mac);
}

void setup_accept(struct kx_broker *b, struct session *s)
{
	struct out o;

	if (!out_begin_bare(b, KX_ACCEPT, 0, sizeof(struct kx_accept), &o))
		return;
	memcpy(o.body, &b->accepts[s->slot].accept, sizeof(struct kx_accept));
	out_send_bare(b, &s->path, &o, sizeof(struct kx_accept));
}

/* Our ACCEPT was lost, or is on its way: no cryptography. */
static enum kx_drop accept_again(
	struct kx_broker *b, struct session *s, const struct kx_frame *f, const struct kx_auth *auth)
{
	if (!kx_addr_equal(&s->remote, &f->remote))
		return KX_DROP_CONN_PATH;
	if (memcmp(b->accepts[s->slot].cookie, auth->cookie, KX_COOKIE_BYTES) != 0)
		return KX_DROP_COOKIE_BAD;
	if (!s->fence_listed)
		setup_accept(b, s);
	return KX_DROP_NONE;
}

/* Who is it, and as which producer? KX_CODE_OK or why not. */
static enum kx_code identify(struct kx_broker *b, const struct kx_auth *auth, struct kx_auth_proof *proof,
	struct kx_auth_ticket *id, bool *proven)
{
	if (kx_auth_prove(b->principals, auth, proof) != 0)
		return KX_CODE_AUTH;
	*proven = proof->principal->has_key;
	/* whoever has no key has no secret to make keys of frames from, however it proved who it is */
	if (auth->protect != KX_PROTECT_PLAIN && !proof->principal->has_key)
		return KX_CODE_DENIED;
	if (auth->method == KX_AUTH_TICKET)
		return kx_auth_ticket_open(b->auth, auth->ticket, b->now_ns, id) == 0 &&
				id->principal_id == proof->principal->id
			? KX_CODE_OK
			: KX_CODE_AUTH;
	return KX_CODE_OK;
}

static bool principal_full(struct kx_broker *b, const struct kx_auth_principal *p)
{
	return p->sessions_max != 0 && principal_counters(b, p)->sessions >= p->sessions_max;
}

static enum kx_drop drop_of(enum kx_code code)
{
	switch (code) {
	case KX_CODE_AUTH:
		return KX_DROP_AUTH_BAD;
	case KX_CODE_PRINCIPAL_FULL:
		return KX_DROP_PRINCIPAL_SESSIONS;
	case KX_CODE_SESSIONS_FULL:
		return KX_DROP_SESSIONS_FULL;
	case KX_CODE_PRODUCERS_FULL:
		return KX_DROP_PRODUCERS_FULL;
	case KX_CODE_FENCED:
		return KX_DROP_PRODUCER_FENCED;
	case KX_CODE_UNKNOWN_FATE:
		return KX_DROP_PRODUCER_RESYNC;
	case KX_CODE_BUSY:
		return KX_DROP_SETUP_BUDGET;
	default:
		return KX_DROP_ACCESS_DENIED;
	}
}

/* The reason to drop for, and the answer. */
static enum kx_drop not_accepted(struct kx_broker *b, const struct kx_frame *f, const struct kx_path *path,
	const struct kx_auth *auth, const struct kx_auth_proof *proof, bool proven, enum kx_code code)
{
	/* by number, so that a name that is nobody's takes no way of its own */
	kx_count(&b->principal_counters[proof->number].refused, 1);
	audit_refused(b, f, auth, proof->number, proven, code);
	return refuse(b, path, auth->client_nonce, code, proven ? proof : NULL, drop_of(code));
}

/* The session of a client that is who it says; NULL with the code to answer, or with the reason not to answer
 * at all. */
static struct session *open_proven(struct kx_broker *b, const struct kx_frame *f, const struct kx_auth *auth,
	const struct kx_auth_proof *proof, const struct kx_auth_ticket *id, enum kx_code *code,
	enum kx_drop *silent)
{
	enum kx_protect protect = KX_MAX((enum kx_protect)auth->protect, proof->principal->protect);
	struct session *s;

	*code = principal_full(b, proof->principal) ? KX_CODE_PRINCIPAL_FULL : KX_CODE_SESSIONS_FULL;
	s = *code == KX_CODE_PRINCIPAL_FULL ? NULL : session_open(b, auth->client_nonce, f);
	if (s == NULL)
		return NULL;
	s->principal = proof->principal;
	s->key_index = (uint8_t)proof->key_index;
	s->info.principal = proof->principal->id;
	kx_count(&principal_counters(b, s->principal)->sessions, 1);
	if (session_protect(b, s, proof->secret, protect) != 0) {
		*code = KX_CODE_UNPROTECTED;
		session_close(b, s);
		return NULL;
	}
	*silent = identity_take(b, s, auth, id, code);
	if (*silent != KX_DROP_NONE || *code != KX_CODE_OK) {
		session_close(b, s);
		return NULL;
	}
	kx_count(&principal_counters(b, s->principal)->accepted, 1);
	s->path.datagram_bytes = KX_MIN(s->path.datagram_bytes, auth->datagram_bytes);
	mtu_open(s);
	return s;
}

enum kx_drop setup_auth(struct kx_broker *b, const struct kx_frame *f, const struct kx_frame_view *v)
{
	const struct kx_auth *auth = (const struct kx_auth *)v->body;
	struct session *s = session_by_nonce(b, auth->client_nonce);
	struct kx_auth_proof proof = {.principal = NULL};
	struct kx_auth_ticket id = {0};
	enum kx_drop drop = KX_DROP_NONE;
	bool proven = false;
	struct kx_path path;
	enum kx_code code;

	if (s != NULL)
		return accept_again(b, s, f, auth);
	if (b->ops->path_of(b->tx, f, &path) != 0)
		return out_no_path(b);
	if (kx_auth_cookie_check(b->auth, auth->client_nonce, auth->broker_nonce, &f->remote, b->now_ns,
		    b->config.conf->sessions.cookie_lifetime_ms * UINT64_C(1000000), auth->cookie) != 0)
		return KX_DROP_COOKIE_BAD;
	if (!identity_room(b, auth)) /* it is looked at later who asks */
		return refuse(b, &path, auth->client_nonce, KX_CODE_BUSY, NULL, KX_DROP_SETUP_BUDGET);
	/* What follows costs as much again as the cookie. */
	b->setup_left -= b->setup_left != 0;
	code = identify(b, auth, &proof, &id, &proven);
	if (code == KX_CODE_OK)
		s = open_proven(b, f, auth, &proof, &id, &code, &drop);
	if (s != NULL) {
		credit_open(b, s);
		accept_make(b, s, auth, &proof);
	} else if (drop == KX_DROP_NONE) {
		drop = not_accepted(b, f, &path, auth, &proof, proven, code);
	}
	explicit_bzero(proof.secret, sizeof(proof.secret));
	if (s == NULL)
		return drop;
	audit_session(b, s, KX_AUDIT_ACCEPTED, KX_CODE_OK, UINT32_MAX);
	if (!s->fence_listed)
		setup_accept(b, s);
	return KX_DROP_NONE;
}

#define PRESSURE_ONE	8  /* so many short turns in a row: one set-up frame a turn */
#define PRESSURE_FOURTH 64 /* so many: one in four turns */
#define REFILL_SHARE                                                                                         \
	8 /* of the budget comes back in a turn: clients start together, then for long none does */

/* The budget of a turn. A flood that lasts gets less and less of it: what it takes, live sessions wait for.
 */
void setup_turn(struct kx_broker *b)
{
	uint32_t full = b->config.conf->sessions.setup_per_turn;

	b->setup_pressure = b->setup_short ? b->setup_pressure + 1 : 0;
	b->setup_short = false;
	b->reset_left = RESETS_PER_TURN;
	if (kx_likely(b->setup_pressure < PRESSURE_ONE))
		b->setup_left = KX_MIN(full, b->setup_left + KX_MAX(full / REFILL_SHARE, 1u));
	else if (b->setup_pressure < PRESSURE_FOURTH)
		b->setup_left = 1;
	else
		b->setup_left = b->setup_pressure % 4 == 0;
}

void setup_reset(struct kx_broker *b, const struct kx_frame *f, const struct kx_frame_view *v)
{
	struct kx_reset *body;
	struct kx_path path;
	struct out o;

	/* never larger than what asked for it, never more than the turn's budget */
	if (b->reset_left == 0 || v->hdr->type == KX_CLOSE ||
		f->bytes < sizeof(struct kx_frame_hdr) + sizeof(*body) ||
		b->ops->path_of(b->tx, f, &path) != 0)
		return;
	b->reset_left--;
	if (!out_begin_bare(b, KX_RESET, v->hdr->conn_id, sizeof(*body), &o))
		return;
	body = (struct kx_reset *)o.body;
	*body = (struct kx_reset){.boot_id = b->config.boot_id, .pkt_no = v->hdr->pkt_no};
	out_send_bare(b, &path, &o, sizeof(*body));
}
