/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A session's frame from another address: that address has to prove itself by answering what is sent to it,
 * before anything else goes there. Nothing is kept of a challenge; the token says for whom and when it was
 * made.
 */
#include <string.h>

#include "broker_pvt.h"

#define CHALLENGE_NS	  UINT64_C(1000000) /* of a session, at most one in this time */
#define RESPONSE_NS	  UINT64_C(100000)  /* after a wrong one */
#define TOKEN_LIFETIME_NS UINT64_C(10000000000)
#define PATHS_PER_TURN	  4 /* challenges made and responses looked at */

/* A budget of its own: sessions move while strangers use up that of set-up. */
void path_turn(struct kx_broker *b)
{
	b->path_left = PATHS_PER_TURN;
}

/* `v` is checked, and its number would have been taken. */
static void challenge(
	struct kx_broker *b, struct session *s, const struct kx_frame *f, const struct kx_frame_view *v)
{
	struct kx_path_token *body;
	struct kx_path path;
	struct out o;

	/* never larger than what asked for it, never more than the turn's budget */
	if (b->path_left == 0 || b->now_ns < s->challenge_ns || v->hdr->type == KX_CLOSE ||
		f->bytes < sizeof(struct kx_frame_hdr) + sizeof(*body) ||
		b->ops->path_of(b->tx, f, &path) != 0)
		return;
	b->path_left--;
	s->challenge_ns = b->now_ns + CHALLENGE_NS;
	if (!out_begin(b, s, KX_PATH_CHALLENGE, 0, sizeof(*body), &o))
		return;
	body = (struct kx_path_token *)o.body;
	kx_auth_path_make(b->auth, s->conn_id, &f->remote, b->now_ns, body->token);
	out_send_to(b, s, &path, &o, sizeof(*body));
	kx_count(&b->counters.path_challenges, 1);
}

/* Everything goes to the new address; what was known of the old path is worth nothing there. */
static void move(struct kx_broker *b, struct session *s, const struct kx_frame *f, const struct kx_path *path)
{
	uint16_t datagram_bytes = KX_MIN(s->mtu_most, path->datagram_bytes);

	s->remote = f->remote;
	s->path = *path;
	s->path.datagram_bytes = datagram_bytes;
	mtu_open(s);
	kx_rtt_init(&s->rtt);
	kx_cc_init(&s->cc, b->now_ns);
	s->timed_pkt = 0;
	ready_again(b, s);
	s->info.remote = f->remote; /* telemetry may read half of each: once, and it is only shown */
	kx_count(&s->info.path_changes, 1);
	kx_count(&b->counters.path_changes, 1);
	audit_session(b, s, KX_AUDIT_PATH, KX_CODE_OK, UINT32_MAX);
}

static enum kx_drop response(
	struct kx_broker *b, struct session *s, const struct kx_frame *f, const struct kx_frame_view *v)
{
	const struct kx_path_token *body = (const struct kx_path_token *)v->body;
	struct kx_path path;

	if (b->path_left == 0 || b->now_ns < s->response_ns)
		return KX_DROP_SETUP_BUDGET;
	b->path_left--;
	if (kx_auth_path_check(b->auth, s->conn_id, &f->remote, b->now_ns, TOKEN_LIFETIME_NS, body->token) !=
		0) {
		s->response_ns =
			b->now_ns + RESPONSE_NS; /* or one session's would be all that is looked at */
		return KX_DROP_PATH_TOKEN;
	}
	if (b->ops->path_of(b->tx, f, &path) != 0)
		return out_no_path(b);
	move(b, s, f, &path);
	return KX_DROP_NONE;
}

enum kx_drop path_frame(
	struct kx_broker *b, struct session *s, const struct kx_frame *f, const struct kx_frame_view *v)
{
	if (b->stopping || kx_rxwin_check_frame(&s->rx, v->hdr->pkt_no, v->hdr->floor_delta) != KX_DROP_NONE)
		return KX_DROP_CONN_PATH;
	if (v->hdr->type == KX_PATH_RESPONSE)
		return response(b, s, f, v);
	challenge(b, s, f, v);
	return KX_DROP_CONN_PATH;
}
