/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Fuzz target: set-up. The input is a program of HELLO, AUTH by each method, replays, cookies and tickets
 * that are changed, swapped between clients or too old, and time. What must hold: nothing sent before the
 * cookie came back is larger than what asked for it; a session comes into being only for a cookie of this
 * nonce and address, within its lifetime, and never twice for one nonce; a ticket that was changed gives
 * nothing; live_broker.c says the rest.
 */
#include <unistd.h>

#include "live_broker.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

#define CLIENTS		   4
#define OPS_MAX		   200
#define COOKIE_LIFETIME_NS UINT64_C(5000000000)

/* Principals and keys: 0 is nobody's. */
enum { ALICE = 1, BOB = 2 };
static const char *const names[] = {"", "anonymous", "alice", "bob", "nobody"};
static const uint32_t ids[] = {0, 0, ALICE, BOB, UINT32_MAX};
static const uint32_t key_owner[] = {0, ALICE, ALICE, BOB};
static struct kx_key keys[KX_DIM(key_owner)];
static char folder[64], ini[1024];

struct client {
	struct kx_addr addr;
	uint8_t nonce[KX_NONCE_BYTES];
	struct kx_cookie cookie; /* the last one it got */
	uint64_t cookie_ns;
	bool has_cookie, has_ticket;
	uint8_t ticket[KX_TICKET_BYTES];
	uint64_t conn_id, producer_id;
	uint32_t producer_epoch;
};
struct program {
	struct fuzz_input in;
	struct fuzz_broker broker;
	struct client clients[CLIENTS];
	uint64_t frame[KX_HELLO_BYTES / 8 + 64];
	uint32_t asked_bytes; /* of the frame under way; 0: none */
	uint32_t answers, accepts;
	struct kx_accept accept;
};

static struct client *by_nonce(struct program *p, const uint8_t *nonce)
{
	for (unsigned int i = 0; i < CLIENTS; i++)
		if (memcmp(p->clients[i].nonce, nonce, KX_NONCE_BYTES) == 0)
			return &p->clients[i];
	return NULL;
}

static void on_sent(void *user, const struct rig_sent *sent)
{
	struct program *p = user;
	const struct kx_frame_hdr *h = (const struct kx_frame_hdr *)sent->data;
	const struct kx_cookie *cookie = (const struct kx_cookie *)(h + 1);
	struct client *c;

	if (h->pkt_no != 0 && h->type != KX_ACCEPT)
		return; /* of a session: heartbeats, goodbyes */
	fuzz_require(
		p->asked_bytes > 0 && sent->bytes <= p->asked_bytes); /* no amplification, nothing unasked */
	p->answers++;
	if (h->type == KX_ACCEPT) {
		p->accepts++;
		memcpy(&p->accept, h + 1, sizeof(p->accept));
	}
	c = h->type == KX_COOKIE ? by_nonce(p, cookie->client_nonce) : NULL;
	if (c != NULL && kx_addr_equal(&c->addr, &sent->to)) {
		c->cookie = *cookie;
		c->cookie_ns = p->broker.rig->now_ns;
		c->has_cookie = true;
	}
}

static enum kx_drop give(struct program *p, uint32_t bytes, const struct kx_addr *from)
{
	enum kx_drop drop;

	p->asked_bytes = bytes;
	p->answers = p->accepts = 0;
	drop = fuzz_broker_rx(&p->broker, (uint8_t *)p->frame, bytes, from, 0);
	fuzz_require(p->answers <= 1 && p->accepts <= 1);
	if (p->accepts == 1)
		fuzz_require(drop == KX_DROP_NONE);
	p->asked_bytes = 0;
	return drop;
}

static struct client *some_client(struct program *p)
{
	return &p->clients[fuzz_u8(&p->in) % CLIENTS];
}

static void new_nonce(struct program *p, struct client *c)
{
	memset(c->nonce, fuzz_u8(&p->in), sizeof(c->nonce));
	c->nonce[0] = (uint8_t)(c - p->clients); /* never another's */
	c->conn_id = 0;
}

static void hello(struct program *p)
{
	struct client *c = some_client(p);
	struct kx_hello *body;
	uint8_t how = fuzz_u8(&p->in);
	uint32_t bytes = KX_HELLO_BYTES;

	if (how & 1)
		new_nonce(p, c);
	memset(p->frame, 0, sizeof(p->frame));
	body = (struct kx_hello *)kx_frame_begin((uint8_t *)p->frame, KX_HELLO, 0, 0, 0, 0);
	memcpy(body->client_nonce, c->nonce, KX_NONCE_BYTES);
	body->version_min = (how & 2) ? fuzz_u8(&p->in) : KX_WIRE_VERSION;
	body->version_max = (how & 2) ? fuzz_u8(&p->in) : KX_WIRE_VERSION;
	kx_frame_seal((uint8_t *)p->frame, bytes);
	if (how & 4)
		bytes = fuzz_mutate(&p->in, (uint8_t *)p->frame, bytes, sizeof(p->frame));
	give(p, bytes, &c->addr);
}

/* For a new session; the answer to an AUTH that comes again is bound to the cookie's bytes and the address
 * alone. */
static bool known_cookie(
	const struct program *p, const struct kx_auth *a, const struct kx_addr *from, bool new_session)
{
	for (unsigned int i = 0; i < CLIENTS; i++) {
		const struct client *c = &p->clients[i];

		if (c->has_cookie && kx_addr_equal(&c->addr, from) &&
			memcmp(a->client_nonce, c->cookie.client_nonce, KX_NONCE_BYTES) == 0 &&
			memcmp(a->cookie, c->cookie.cookie, KX_COOKIE_BYTES) == 0)
			return !new_session ||
				(memcmp(a->broker_nonce, c->cookie.broker_nonce, KX_NONCE_BYTES) == 0 &&
					p->broker.rig->now_ns - c->cookie_ns <= COOKIE_LIFETIME_NS);
	}
	return false;
}

static bool known_ticket(const struct program *p, const struct kx_auth *a)
{
	for (unsigned int i = 0; i < CLIENTS; i++)
		if (p->clients[i].has_ticket && memcmp(a->ticket, p->clients[i].ticket, KX_TICKET_BYTES) == 0)
			return true;
	return false;
}

static uint64_t sessions(const struct program *p)
{
	struct kx_broker_memory m;

	kx_broker_memory(p->broker.rig->broker, &m);
	return m.sessions_used;
}

static uint32_t named(const struct kx_auth *a)
{
	for (unsigned int i = 0; i < KX_DIM(names); i++)
		if (strlen(names[i]) == a->principal_bytes &&
			memcmp(names[i], a->principal, a->principal_bytes) == 0)
			return ids[i];
	return UINT32_MAX;
}

/* The session's principal proved itself, and the broker does. */
static void proven(const struct kx_auth *a, const struct kx_accept *accept)
{
	uint8_t secret[KX_AUTH_SECRET_BYTES];
	uint32_t id = named(a);

	fuzz_require(accept->principal_id == id);
	fuzz_require(accept->protect >= a->protect && (id != BOB || accept->protect >= KX_PROTECT_MAC));
	if (id == 0)
		return;
	fuzz_require(a->method != KX_AUTH_NONE);
	for (unsigned int k = 0; k < KX_DIM(keys); k++) {
		struct kx_auth again = *a;

		if (key_owner[k] != id)
			continue;
		kx_auth_sign(&keys[k], &again);
		if (memcmp(again.mac, a->mac, KX_MAC_BYTES) != 0)
			continue;
		kx_auth_session_secret(&keys[k], a, secret);
		fuzz_require(kx_auth_accept_check(secret, accept) == 0);
		return;
	}
	fuzz_require(!"a key was proven");
}

static void accepted(struct program *p, const struct kx_auth *a, bool new_session)
{
	struct client *c = by_nonce(p, a->client_nonce);

	fuzz_require(memcmp(p->accept.client_nonce, a->client_nonce, KX_NONCE_BYTES) == 0);
	if (new_session)
		proven(a, &p->accept);
	if (c == NULL)
		return;			     /* a replay of one that has another nonce by now */
	if (!new_session && c->conn_id != 0) /* an AUTH again: the same answer */
		fuzz_require(c->conn_id == p->accept.conn_id && c->producer_id == p->accept.producer_id);
	c->conn_id = p->accept.conn_id;
	c->producer_id = p->accept.producer_id;
	c->producer_epoch = p->accept.producer_epoch;
	memcpy(c->ticket, p->accept.ticket, KX_TICKET_BYTES);
	c->has_ticket = true;
}

static void auth(struct program *p)
{
	struct client *c = some_client(p), *other = some_client(p);
	struct kx_auth *a;
	uint8_t how = fuzz_u8(&p->in);
	uint32_t bytes = KX_HELLO_BYTES, who = fuzz_u8(&p->in) % KX_DIM(names),
		 key = fuzz_u8(&p->in) % KX_DIM(keys);
	uint64_t before = sessions(p);

	memset(p->frame, 0, sizeof(p->frame));
	a = (struct kx_auth *)kx_frame_begin((uint8_t *)p->frame, KX_AUTH, 0, 0, 0, 0);
	memcpy(a->client_nonce, c->nonce, KX_NONCE_BYTES);
	memcpy(a->cookie, ((how & 1) ? other : c)->cookie.cookie, KX_COOKIE_BYTES);
	memcpy(a->broker_nonce, ((how & 2) ? other : c)->cookie.broker_nonce, KX_NONCE_BYTES);
	a->method = (how & 4) ? KX_AUTH_TICKET : key > 0 ? KX_AUTH_HMAC_SHA256 : KX_AUTH_NONE;
	a->principal_bytes = (uint8_t)strlen(names[who]);
	memcpy(a->principal, names[who], a->principal_bytes);
	a->protect = (how & 32) ? how >> 6 & 1 ? KX_PROTECT_AEAD : KX_PROTECT_MAC : KX_PROTECT_PLAIN;
	if (how & 128)
		a->producer_id = (how & 4) ? 0 : other->producer_id;
	a->datagram_bytes = KX_DATAGRAM_DEFAULT_V4;
	if (how & 4)
		memcpy(a->ticket, other->ticket, KX_TICKET_BYTES);
	if (key > 0)
		kx_auth_sign(&keys[key], a);
	kx_frame_seal((uint8_t *)p->frame, bytes);
	if (how & 8)
		bytes = fuzz_mutate(&p->in, (uint8_t *)p->frame, bytes, sizeof(p->frame));
	give(p, bytes, (how & 16) ? &other->addr : &c->addr);
	fuzz_require(sessions(p) == before || (sessions(p) == before + 1 && p->accepts == 1));
	if (p->accepts == 0)
		return;
	fuzz_require(known_cookie(p, a, (how & 16) ? &other->addr : &c->addr, sessions(p) == before + 1));
	if (sessions(p) == before + 1 && a->method == KX_AUTH_TICKET)
		fuzz_require(known_ticket(p, a));
	accepted(p, a, sessions(p) == before + 1);
}

static void again(struct program *p)
{
	struct fuzz_saved *s = &p->broker.in[fuzz_u8(&p->in) % FUZZ_SAVED];
	struct client *c = some_client(p);
	uint64_t before = sessions(p);
	uint8_t how = fuzz_u8(&p->in);

	if (s->bytes == 0 || s->bytes > sizeof(p->frame))
		return;
	memcpy(p->frame, s->data, s->bytes);
	give(p, s->bytes, (how & 1) ? &c->addr : &s->from);
	if (p->accepts == 1)
		accepted(p, (const struct kx_auth *)((struct kx_frame_hdr *)p->frame + 1),
			sessions(p) == before + 1);
}

static void leave(struct program *p)
{
	struct client *c = some_client(p);
	struct kx_close *body = (struct kx_close *)kx_frame_begin(
		(uint8_t *)p->frame, KX_CLOSE, c->conn_id, 1 + fuzz_u8(&p->in), 0, 0);

	*body = (struct kx_close){.code = KX_CODE_OK};
	kx_frame_seal((uint8_t *)p->frame, sizeof(struct kx_frame_hdr) + sizeof(*body));
	if (give(p, sizeof(struct kx_frame_hdr) + sizeof(*body), &c->addr) == KX_DROP_NONE)
		c->conn_id = 0;
}

static void time_passes(struct program *p)
{
	static const uint64_t steps[] = {1000, 1000, 1000, 100000000, 700000000, 4000000000, 6000000000};

	fuzz_broker_turn(&p->broker, steps[fuzz_u8(&p->in) % KX_DIM(steps)]);
}

static const char *key_path(unsigned int k)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/%u", folder, k);
	return path;
}

static void remove_keys(void)
{
	for (unsigned int k = 0; k < KX_DIM(keys); k++)
		unlink(key_path(k));
	rmdir(folder);
}

static void make_keys(void)
{
	const char *tmp = getenv("TMPDIR");
	char said[256];
	struct kx_text why;

	snprintf(folder, sizeof(folder), "%.40s/kx_fuzz_XXXXXX", tmp != NULL ? tmp : "/tmp");
	fuzz_require(mkdtemp(folder) != NULL);
	atexit(remove_keys);
	kx_text_init(&why, said, sizeof(said));
	for (unsigned int k = 0; k < KX_DIM(keys); k++)
		fuzz_require(kx_key_create(key_path(k), &why) == 0 &&
			kx_key_load(key_path(k), &keys[k], &why) == 0);
	snprintf(ini, sizeof(ini),
		"[principal alice]\nkey_file = %s/1\nnext_key_file = %s/2\nproduce = *\n"
		"[principal bob]\nkey_file = %s/3\nframes = mac\nconsume = *\nsessions = 2\n",
		folder, folder, folder);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	fuzz_broker_process();
	make_keys();
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	static struct program p;

	memset(&p, 0, sizeof(p));
	p.in = (struct fuzz_input){data, data + bytes};
	p.broker.on_sent = on_sent;
	p.broker.user = &p;
	fuzz_broker_open(&p.broker, ini);
	for (uint32_t i = 0; i < CLIENTS; i++) {
		p.clients[i].nonce[0] = (uint8_t)i;
		fuzz_require(kx_addr_parse(i & 1 ? "10.0.1.1" : "10.0.1.2", (uint16_t)(7000 + i / 2),
				     &p.clients[i].addr) == 0);
	}
	for (int i = 0; i < OPS_MAX && fuzz_more(&p.in); i++) {
		static void (*const ops[])(struct program *) = {
			hello, hello, auth, auth, auth, time_passes, again, leave};

		ops[fuzz_u8(&p.in) % KX_DIM(ops)](&p);
	}
	p.broker.on_sent = NULL;
	fuzz_broker_close(&p.broker);
	return 0;
}
