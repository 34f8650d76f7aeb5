/* SPDX-License-Identifier: BSD-3-Clause */
/* Set-up of a channel: HELLO, COOKIE, AUTH, ACCEPT. */
#include "client_pvt.h"

#define HELLO_FIRST (50 * MS)
#define HELLO_SLOW  (1000 * MS)
#define PATH_WAIT   (2 * MS)
#define AUTH_TRIES  8 /* then the cookie may be too old: from the start */

static uint64_t nonce_key(const uint8_t *nonce)
{
	uint64_t key;

	memcpy(&key, nonce, sizeof(key));
	return key != 0 ? key : 1;
}

static void forget_nonce(struct channel *ch)
{
	uint32_t index;
	uint64_t key = nonce_key(ch->nonce);

	if (kx_map_get(&ch->hub->nonces, key, &index) && index == ch->index)
		kx_map_del(&ch->hub->nonces, key);
}

void kxc_setup_start(struct channel *ch, uint64_t now_ns)
{
	ch->state = CH_WAIT;
	ch->retry_ns = now_ns;
	ch->tries = ch->auth_tries = 0;
	ch->ticket_refused = false;
	ch->last_rx_ns = now_ns;
	channel_ready(ch);
}

void kxc_setup_anew(struct kx_client *c, uint64_t boot_id, uint64_t now_ns)
{
	struct channel *first = &c->channels[0];
	bool same_boot = boot_id == c->boot_id;

	/* it is about to: were it begun anew with each word of another channel, it might never end */
	if (first->state == CH_WAIT || first->state == CH_HELLO ||
		(first->state == CH_AUTH && first->cookie.boot_id == boot_id))
		return;
	kxc_channel_down(first, same_boot ? KX_UNKNOWN_FATE : KX_LOST, 0, now_ns);
}

/* Spread by half, so that many clients that were refused together do not come back together. */
static uint64_t backoff(struct channel *ch, uint32_t tries)
{
	uint64_t ns = KX_MIN(HELLO_FIRST << KX_MIN(tries, 8u), HELLO_SLOW);

	return ns / 2 + kx_prng_below(&ch->hub->prng, ns);
}

/* Send a padded set-up frame whose body is `bytes` of `body`. */
static bool send_setup(
	struct channel *ch, enum kx_frame_type type, const void *body, uint32_t bytes, uint64_t now_ns)
{
	struct kx_hub *hub = ch->hub;
	struct out o;

	o.buf = hub->ops->alloc(hub->tx, KX_HELLO_BYTES, &o.data);
	if (o.buf == NULL) {
		kx_count(&hub->stats.tx_no_buffer, 1);
		return false;
	}
	o.body = kx_frame_begin(o.data, type, 0, 0, 0, 0);
	memset(o.body, 0, KX_HELLO_BYTES - FRAME_HDR);
	memcpy(o.body, body, bytes);
	kx_frame_seal(o.data, KX_HELLO_BYTES);
	hub->ops->send(hub->tx, o.buf, KX_HELLO_BYTES, &ch->path);
	kx_count(&hub->stats.tx_frames, 1);
	ch->client->stats.tx_frames++;
	ch->last_tx_ns = now_ns;
	return true;
}

static void send_hello(struct channel *ch, uint64_t now_ns)
{
	struct kx_hello hello = {
		.version_min = KX_WIRE_VERSION, .version_max = KX_WIRE_VERSION, .client_time = now_ns};

	if (ch->state == CH_WAIT) { /* a new attempt has a new nonce, a repetition does not */
		forget_nonce(ch);
		if (kx_random_bytes(ch->nonce, sizeof(ch->nonce)) != 0 ||
			kx_map_put(&ch->hub->nonces, nonce_key(ch->nonce), ch->index) != 0) {
			ch->retry_ns = now_ns + HELLO_SLOW;
			return;
		}
		ch->state = CH_HELLO;
		ch->tries = 0;
	}
	memcpy(hello.client_nonce, ch->nonce, sizeof(ch->nonce));
	send_setup(ch, KX_HELLO, &hello, sizeof(hello), now_ns);
	ch->retry_ns = now_ns + backoff(ch, ch->tries++);
}

static bool use_ticket(const struct channel *ch)
{
	const struct kx_client *c = ch->client;

	return c->have_identity && !ch->ticket_refused && !c->take_over && ch->cookie.boot_id == c->boot_id;
}

static void send_auth(struct channel *ch, uint64_t now_ns)
{
	const struct kx_client *c = ch->client;
	struct kx_auth auth = {.method = c->key != NULL ? KX_AUTH_HMAC_SHA256 : KX_AUTH_NONE,
		.protect = (uint8_t)c->opts.protect,
		.datagram_bytes = ch->path.datagram_bytes};

	memcpy(auth.client_nonce, ch->nonce, sizeof(ch->nonce));
	memcpy(auth.cookie, ch->cookie.cookie, sizeof(auth.cookie));
	memcpy(auth.broker_nonce, ch->cookie.broker_nonce, sizeof(auth.broker_nonce));
	auth.principal_bytes = (uint8_t)strlen(c->principal);
	memcpy(auth.principal, c->principal, auth.principal_bytes);
	if (use_ticket(ch)) {
		auth.method = KX_AUTH_TICKET;
		memcpy(auth.ticket, c->ticket, sizeof(auth.ticket));
	} else {
		auth.producer_id = c->have_identity ? c->producer_id : c->take_id;
	}
	if (c->key != NULL)
		kx_auth_sign(c->key, &auth);
	send_setup(ch, KX_AUTH, &auth, sizeof(auth), now_ns);
	ch->retry_ns = now_ns + backoff(ch, ch->auth_tries++);
}

/* Timers of a channel that is not open. */
void kxc_setup_service(struct channel *ch, uint64_t now_ns)
{
	int rc;

	if (now_ns < ch->retry_ns) {
		kxc_channel_arm(ch, ch->retry_ns);
		return;
	}
	if (!ch->have_path) {
		rc = ch->hub->ops->path_to(ch->hub->tx, &ch->remote, &ch->path);
		ch->have_path = rc == 0;
		if (rc != 0) {
			ch->retry_ns = now_ns + PATH_WAIT;
			kxc_channel_arm(ch, ch->retry_ns);
			return;
		}
	}
	if (ch->state == CH_AUTH && ch->auth_tries >= AUTH_TRIES)
		ch->state = CH_WAIT;
	if (ch->state == CH_AUTH)
		send_auth(ch, now_ns);
	else
		send_hello(ch, now_ns);
	kxc_channel_arm(ch, ch->retry_ns);
}

static void on_cookie(struct channel *ch, const struct kx_cookie *b, uint64_t now_ns)
{
	struct kx_client *c = ch->client;

	if (ch->state != CH_HELLO)
		return;
	if (b->client_time <= now_ns)
		kx_rtt_sample(&ch->rtt, KX_MAX(now_ns - b->client_time, 1));
	ch->cookie = *b;
	if (ch != &c->channels[0] && !use_ticket(ch)) { /* an AUTH without one asks for another producer */
		ch->state = CH_WAIT;
		ch->retry_ns = now_ns + HELLO_SLOW;
		kxc_channel_arm(ch, ch->retry_ns);
		kxc_setup_anew(c, b->boot_id, now_ns);
		return;
	}
	ch->state = CH_AUTH;
	ch->auth_tries = 0;
	send_auth(ch, now_ns);
	kxc_channel_arm(ch, ch->retry_ns);
}

static void take_info(struct kx_client *c, const struct kx_accept *b)
{
	c->info = (struct kx_client_info){.boot_id = b->boot_id,
		.producer_id = b->producer_id,
		.producer_epoch = b->producer_epoch,
		.config_generation = b->config_generation,
		.base_port = b->base_port,
		.lcore_count = b->lcore_count,
		.first_lcore = b->lcore_index,
		.datagram_most_bytes = b->datagram_bytes,
		.idle_timeout_ms = b->idle_timeout_ms,
		.heartbeat_ms = b->heartbeat_ms,
		.durability = b->durability,
		.taken_over = b->producer_id == c->take_id};
}

static bool same_identity(const struct kx_client *c, const struct kx_accept *b)
{
	return b->boot_id == c->boot_id && b->producer_id == c->producer_id &&
		b->producer_epoch == c->producer_epoch;
}

static void take_identity(struct kx_client *c, const struct kx_accept *b, uint64_t now_ns)
{
	bool new_boot = b->boot_id != c->boot_id;

	if (c->have_identity && !same_identity(c, b))
		kxc_client_identity_changes(c, new_boot, now_ns);
	else if (!c->have_identity && new_boot) /* it was fenced, and the broker restarted meanwhile */
		kxc_client_consumers_lost(c, true, now_ns);
	c->have_identity = true;
	c->take_over = false;
	c->boot_id = b->boot_id;
	c->producer_id = b->producer_id;
	c->producer_epoch = b->producer_epoch;
	memcpy(c->ticket, b->ticket, sizeof(c->ticket));
	take_info(c, b);
}

/* What the first channel was told and that ends nothing: said when the time for connecting is over, or has
 * been again since the last word that somebody stood for. */
static void told(struct channel *ch, enum kx_result result, uint32_t code, uint64_t now_ns)
{
	struct kx_client *c = ch->client;

	if (ch != &c->channels[0])
		return;
	c->unproven = result;
	c->unproven_code = code;
	if (c->connect_failed &&
		(c->failed_why == KX_TIMED_OUT || now_ns >= c->heard_ns + c->opts.connect_timeout_ns))
		kxc_client_connect_failed(c, result, code, now_ns);
}

/* Nobody stands for it. */
static void unproven(struct channel *ch, enum kx_result result, uint32_t code, uint64_t now_ns)
{
	kx_count(&ch->hub->stats.rx_bad, 1);
	kx_count(&ch->hub->stats.drop[KX_DROP_AUTH_BAD], 1);
	told(ch, result, code, now_ns);
}

/* This attempt came to nothing: another one later, unless the client is to stay down. */
static void attempt_failed(struct channel *ch, enum kx_result result, uint32_t code, uint64_t now_ns)
{
	struct kx_client *c = ch->client;

	ch->state = CH_WAIT;
	ch->retry_ns = now_ns + HELLO_SLOW;
	kxc_channel_arm(ch, ch->retry_ns);
	if (ch == &c->channels[0])
		kxc_client_connect_failed(c, result, code, now_ns);
}

/* Of the session that the AUTH we have sent asks for. */
static void secret_of(const struct channel *ch, uint8_t secret[KX_AUTH_SECRET_BYTES])
{
	struct kx_auth nonces;

	memcpy(nonces.client_nonce, ch->nonce, sizeof(nonces.client_nonce));
	memcpy(nonces.broker_nonce, ch->cookie.broker_nonce, sizeof(nonces.broker_nonce));
	kx_auth_session_secret(ch->client->key, &nonces, secret);
}

/* Does ACCEPT come from who knows our key, and are the frames protected as we want? */
static enum kx_result accept_proven(
	const struct channel *ch, const struct kx_accept *b, uint8_t secret[KX_AUTH_SECRET_BYTES])
{
	const struct kx_client *c = ch->client;

	if (c->key == NULL)
		return b->protect == KX_PROTECT_PLAIN ? KX_OK : KX_REFUSED;
	secret_of(ch, secret);
	if (kx_auth_accept_check(secret, b) != 0)
		return KX_BROKER_UNPROVEN;
	return b->protect >= c->opts.protect ? KX_OK : KX_REFUSED;
}

static bool open_session(
	struct channel *ch, const struct kx_accept *b, const uint8_t secret[KX_AUTH_SECRET_BYTES])
{
	if (kx_map_put(&ch->hub->conns, b->conn_id, ch->index) != 0)
		return false;
	ch->conn_id = b->conn_id;
	ch->tag_bytes = 0;
	if (b->protect == KX_PROTECT_PLAIN || kxc_channel_protect(ch, secret, (enum kx_protect)b->protect))
		return true;
	kx_map_del(&ch->hub->conns, b->conn_id);
	ch->conn_id = 0;
	return false;
}

/* ACCEPT is looked at and the session opened with the secret of it, which is not kept anywhere. */
static bool prove_and_open(struct channel *ch, const struct kx_accept *b, uint64_t now_ns)
{
	struct kx_client *c = ch->client;
	uint8_t secret[KX_AUTH_SECRET_BYTES];
	enum kx_result proven = accept_proven(ch, b, secret);
	bool open = false;

	if (proven == KX_BROKER_UNPROVEN)
		unproven(ch, proven, 0, now_ns);
	else if (proven != KX_OK)
		attempt_failed(ch, proven, KX_CODE_UNPROTECTED, now_ns);
	else if (ch != &c->channels[0] && !same_identity(c, b))
		kxc_channel_down(ch, KX_OK, HELLO_SLOW, now_ns);
	else
		open = open_session(ch, b, secret);
	explicit_bzero(secret, sizeof(secret));
	return open;
}

static void on_accept(struct channel *ch, const struct kx_accept *b, uint64_t now_ns)
{
	struct kx_client *c = ch->client;
	bool first = ch == &c->channels[0];

	if (ch->state != CH_AUTH || !prove_and_open(ch, b, now_ns))
		return;
	if (first)
		take_identity(c, b, now_ns);
	forget_nonce(ch);
	ch->lcore = b->lcore_index;
	ch->limit_pkt = b->limit_pkt;
	ch->limit_bytes = b->limit_bytes;
	ch->heartbeat_ns = KX_MAX(b->heartbeat_ms, 1u) * MS;
	ch->idle_ns = KX_MAX(b->idle_timeout_ms, 10u) * MS;
	c->stats.connects++;
	kxc_channel_opened(ch, now_ns);
	kxc_mtu_open(ch, KX_MIN(b->datagram_bytes, ch->path.datagram_bytes), now_ns);
	if (first)
		kxc_client_connected(c, now_ns);
}

/* Who has no key believes anybody; who has one, only who has proven to know it: then AUTH was right. */
static bool refusal_proven(const struct channel *ch, const struct kx_refuse *b)
{
	uint8_t secret[KX_AUTH_SECRET_BYTES];
	bool proven;

	if (ch->client->key == NULL)
		return true;
	if (ch->state != CH_AUTH)
		return false;
	secret_of(ch, secret);
	proven = kx_auth_refuse_check(secret, b) == 0;
	explicit_bzero(secret, sizeof(secret));
	return proven;
}

static void on_refuse(struct channel *ch, const struct kx_refuse *b, uint64_t now_ns)
{
	struct kx_client *c = ch->client;

	if (ch->state != CH_HELLO && ch->state != CH_AUTH)
		return;
	if (!refusal_proven(ch, b)) {
		unproven(ch, b->code == KX_CODE_STOPPING ? KX_STOPPING : KX_REFUSED, b->code, now_ns);
		return;
	}
	if (b->code == KX_CODE_BUSY) { /* what was sent is sent again in its time */
		told(ch, KX_REFUSED, b->code, now_ns);
		return;
	}
	if (b->code == KX_CODE_FENCED && use_ticket(ch)) {
		kxc_client_fenced(c, now_ns);
		return;
	}
	if ((b->code == KX_CODE_AUTH || b->code == KX_CODE_UNKNOWN_FATE) && use_ticket(ch) &&
		ch == &c->channels[0]) {
		ch->ticket_refused = true;
		ch->state = CH_WAIT;
		ch->retry_ns = now_ns;
		channel_ready(ch);
		return;
	}
	attempt_failed(ch, b->code == KX_CODE_STOPPING ? KX_STOPPING : KX_REFUSED, b->code, now_ns);
}

void kxc_setup_frame(
	struct kx_hub *hub, const struct kx_frame *f, const struct kx_frame_view *v, uint64_t now_ns)
{
	const uint8_t *nonce = v->body; /* COOKIE, ACCEPT and REFUSE begin with it */
	struct channel *ch;
	uint32_t index;

	if (!kx_map_get(&hub->nonces, nonce_key(nonce), &index) ||
		memcmp(hub->channels[index]->nonce, nonce, KX_NONCE_BYTES) != 0 ||
		!kx_addr_equal(&hub->channels[index]->remote, &f->remote)) {
		kx_count(&hub->stats.rx_unknown, 1);
		return;
	}
	ch = hub->channels[index];
	if (v->hdr->type == KX_COOKIE)
		on_cookie(ch, (const struct kx_cookie *)v->body, now_ns);
	else if (v->hdr->type == KX_ACCEPT)
		on_accept(ch, (const struct kx_accept *)v->body, now_ns);
	else
		on_refuse(ch, (const struct kx_refuse *)v->body, now_ns);
}
