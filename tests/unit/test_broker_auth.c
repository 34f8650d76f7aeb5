/* SPDX-License-Identifier: BSD-3-Clause */
/* Identity and access at a broker: who gets a session, what it may do with it, what is told of it. */
#include "kx_test.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "broker_rig.h"

static char dir[] = "/tmp/kx_broker_auth_XXXXXX";
static struct kx_key desk, desk_next, feed, nobodys;

static const char *file(const char *name)
{
	static char paths[4][96];
	static unsigned int n;

	snprintf(paths[n % 4], sizeof(paths[0]), "%s/%s", dir, name);
	return paths[n++ % 4];
}

static void make_key(const char *name, struct kx_key *key)
{
	char said[256];
	struct kx_text why;

	kx_text_init(&why, said, sizeof(said));
	assert_int_equal(kx_key_create(file(name), &why), 0);
	assert_int_equal(kx_key_load(file(name), key, &why), 0);
}

static int begin(void **state)
{
	(void)state;
	if (mkdtemp(dir) == NULL)
		return -1;
	make_key("desk", &desk);
	make_key("next", &desk_next);
	make_key("feed", &feed);
	make_key("nobody", &nobodys);
	return 0;
}

static int end(void **state)
{
	(void)state;
	unlink(file("desk"));
	unlink(file("next"));
	unlink(file("feed"));
	unlink(file("nobody"));
	return rmdir(dir);
}

/* Topics a (0), b (1, 2), secret (3). desk has two keys and two sessions, feed one key and protected frames.
 */
static struct rig *rig_of(const char *more)
{
	static char ini[4096];

	snprintf(ini, sizeof(ini),
		"[port p]\naddress = 10.0.0.254/24\n[memory]\nlog_bytes = 64M\n"
		"[topic a]\n[topic b]\npartitions = 2\n[topic secret]\n"
		"[principal desk]\nkey_file = %s\nnext_key_file = %s\nproduce = a\nconsume = b\nsessions = "
		"2\n"
		"[principal feed]\nkey_file = %s\nframes = mac\nproduce = *\n%s",
		file("desk"), file("next"), file("feed"), more);
	return rig_new(ini, 0, 1);
}

/* ---- a handshake by hand */

struct attempt {
	uint64_t buf[KX_HELLO_BYTES / 8];
	struct kx_auth *auth;
	struct kx_addr from;
	enum kx_drop drop;
	struct kx_accept accept;
	uint32_t refused; /* code of REFUSE; 0: none came */
	struct kx_refuse refuse;
	uint8_t secret[KX_AUTH_SECRET_BYTES];
};

static void hello(struct rig *r, struct attempt *a, uint8_t host)
{
	struct kx_hello *h = (struct kx_hello *)kx_frame_begin((uint8_t *)a->buf, KX_HELLO, 0, 0, 0, 0);
	const struct kx_cookie *cookie;
	char text[32];

	memset(h, 0, KX_HELLO_BYTES - sizeof(struct kx_frame_hdr));
	snprintf(text, sizeof(text), "10.0.0.%u", host);
	assert_int_equal(kx_addr_parse(text, 5000, &a->from), 0);
	memset(h->client_nonce, host, KX_NONCE_BYTES);
	h->version_min = h->version_max = KX_WIRE_VERSION;
	kx_frame_seal((uint8_t *)a->buf, sizeof(a->buf));
	rig_turn(r, 1000);
	rig_forget(r);
	assert_int_equal(rig_rx(r, a->buf, sizeof(a->buf), &a->from, 0), KX_DROP_NONE);
	cookie = rig_body(rig_find(r, KX_COOKIE, 0));
	memset(a->buf, 0, sizeof(a->buf));
	a->auth = (struct kx_auth *)kx_frame_begin((uint8_t *)a->buf, KX_AUTH, 0, 0, 0, 0);
	memcpy(a->auth->client_nonce, cookie->client_nonce, KX_NONCE_BYTES);
	memcpy(a->auth->cookie, cookie->cookie, KX_COOKIE_BYTES);
	memcpy(a->auth->broker_nonce, cookie->broker_nonce, KX_NONCE_BYTES);
	a->auth->datagram_bytes = KX_DATAGRAM_DEFAULT_V4;
}

static void name(struct attempt *a, enum kx_auth_method method, const char *principal)
{
	a->auth->method = method;
	a->auth->principal_bytes = (uint8_t)strlen(principal);
	memset(a->auth->principal, 0, sizeof(a->auth->principal));
	memcpy(a->auth->principal, principal, strlen(principal));
}

static enum kx_drop send_auth(struct rig *r, struct attempt *a)
{
	const struct kx_frame_hdr *h;

	kx_frame_seal((uint8_t *)a->buf, sizeof(a->buf));
	rig_turn(r, 1000);
	rig_forget(r);
	a->drop = rig_rx(r, a->buf, sizeof(a->buf), &a->from, 0);
	a->refused = 0;
	memset(&a->accept, 0, sizeof(a->accept));
	h = rig_find(r, KX_ACCEPT, 0);
	if (h != NULL)
		memcpy(&a->accept, rig_body(h), sizeof(a->accept));
	h = rig_find(r, KX_REFUSE, 0);
	memset(&a->refuse, 0, sizeof(a->refuse));
	if (h != NULL)
		memcpy(&a->refuse, rig_body(h), sizeof(a->refuse));
	a->refused = a->refuse.code;
	return a->drop;
}

static enum kx_drop sign_and_send(struct rig *r, struct attempt *a, const struct kx_key *key)
{
	if (key != NULL) {
		kx_auth_sign(key, a->auth);
		kx_auth_session_secret(key, a->auth, a->secret);
	}
	return send_auth(r, a);
}

static struct attempt try(struct rig *r, uint8_t host, const char *principal, const struct kx_key *key)
{
	struct attempt a;

	hello(r, &a, host);
	name(&a, key != NULL ? KX_AUTH_HMAC_SHA256 : KX_AUTH_NONE, principal);
	sign_and_send(r, &a, key);
	return a;
}

static struct attempt try_ticket(
	struct rig *r, uint8_t host, const char *principal, const struct kx_key *key, const uint8_t *ticket)
{
	struct attempt a;

	hello(r, &a, host);
	name(&a, KX_AUTH_TICKET, principal);
	memcpy(a.auth->ticket, ticket, KX_TICKET_BYTES);
	sign_and_send(r, &a, key);
	return a;
}

static void accepted(const struct attempt *a, uint32_t principal)
{
	assert_int_equal(a->drop, KX_DROP_NONE);
	assert_int_not_equal(a->accept.conn_id, 0);
	assert_int_equal(a->accept.principal_id, principal);
	assert_int_equal(a->refused, 0);
	if (principal != 0)
		assert_int_equal(kx_auth_accept_check(a->secret, &a->accept), 0);
}

static void refused(const struct attempt *a, enum kx_drop drop, enum kx_code code)
{
	assert_int_equal(a->drop, drop);
	assert_int_equal(a->refused, code);
	assert_int_equal(a->accept.conn_id, 0);
}

/* Does REFUSE prove that the broker knows the key? If not, it says nothing at all. */
static bool refusal_proven(const struct attempt *a)
{
	static const uint8_t nothing[KX_MAC_BYTES];

	if (kx_auth_refuse_check(a->secret, &a->refuse) == 0)
		return true;
	assert_memory_equal(a->refuse.mac, nothing, sizeof(nothing));
	return false;
}

static struct rig_session session_of_attempt(struct rig *r, const struct attempt *a)
{
	return (struct rig_session){.rig = r,
		.addr = a->from,
		.conn_id = a->accept.conn_id,
		.producer_id = a->accept.producer_id,
		.producer_epoch = a->accept.producer_epoch,
		.next_pkt = 1,
		.floor_pkt = 1};
}

/* The oldest audit event. */
static struct kx_audit_event told(struct rig *r)
{
	struct kx_audit_event e;

	assert_true(kx_audit_get(r->audit, &e));
	return e;
}

/* ---- set-up */

static void test_keys(void **state)
{
	struct rig *r = rig_of("");
	struct attempt a = try(r, 1, "desk", &desk), b;
	uint8_t zero[KX_MAC_BYTES] = {0};

	(void)state;
	accepted(&a, 1);
	assert_int_equal(told(r).key_index, 0);
	b = try(r, 2, "desk", &desk_next);
	accepted(&b, 1);
	assert_int_equal(told(r).key_index, 1);
	assert_true(a.accept.producer_id != b.accept.producer_id);
	/* The broker's own proof is of this session and no other. */
	assert_int_equal(kx_auth_accept_check(a.secret, &b.accept), -EACCES);
	b = try(r, 3, "", NULL);
	accepted(&b, 0);
	assert_memory_equal(b.accept.mac, zero, sizeof(zero));
	b = try(r, 4, "anonymous", NULL);
	accepted(&b, 0);
	rig_free(r);
}

static void test_wrong_keys(void **state)
{
	struct rig *r = rig_of("");
	struct kx_audit_event e;
	struct attempt a;

	(void)state;
	a = try(r, 1, "desk", &nobodys);
	refused(&a, KX_DROP_AUTH_BAD, KX_CODE_AUTH);
	e = told(r);
	assert_int_equal(e.what, KX_AUDIT_REFUSED);
	assert_int_equal(e.principal, 1);
	assert_int_equal(e.code, KX_CODE_AUTH);
	assert_true(kx_addr_equal(&e.remote, &a.from));
	a = try(r, 2, "desk", &feed);
	refused(&a, KX_DROP_AUTH_BAD, KX_CODE_AUTH);
	(void)told(r);
	a = try(r, 3, "stranger", &desk);
	refused(&a, KX_DROP_AUTH_BAD, KX_CODE_AUTH);
	e = told(r);
	assert_int_equal(e.principal, KX_AUDIT_UNKNOWN);
	assert_int_equal(e.name_bytes, 8);
	assert_memory_equal(e.name, "stranger", 9);
	a = try(r, 4, "desk", NULL); /* method NONE, and a name */
	refused(&a, KX_DROP_AUTH_BAD, KX_CODE_AUTH);
	assert_int_equal(kx_broker_principal_counters(r->broker, 1)->refused, 2);
	assert_int_equal(kx_broker_principal_counters(r->broker, 3)->refused, 2);
	assert_int_equal(kx_broker_principal_counters(r->broker, 1)->accepted, 0);
	/* Nobody's session was made, and the right key is still right. */
	a = try(r, 5, "desk", &desk);
	accepted(&a, 1);
	assert_int_equal(kx_broker_principal_counters(r->broker, 1)->accepted, 1);
	assert_int_equal(kx_broker_principal_counters(r->broker, 1)->sessions, 1);
	rig_free(r);
}

/* The operator reads what was wrong; the clients are all told the same. */
static void test_audit_says_what_is_wrong(void **state)
{
	static const struct {
		const char *name;
		const struct kx_key *key;
		bool ticket;
		uint32_t principal;
		const char *why;
	} row[] = {
		{"", NULL, false, 0, "anonymous clients may not connect ([auth] anonymous = off)"},
		{"anonymous", &desk, false, 0, "came with a key, but anonymous has none"},
		{"desk", NULL, false, 1, "came without a key, but this principal has one"},
		{"feed", &desk, false, 2, "wrong key"},
		{"feed", &desk, true, 2, "wrong key"},
		{"desk", &desk, true, 1,
			"ticket not accepted: not of this principal and start of the broker, or too old"},
		{"des", &desk, false, KX_AUDIT_UNKNOWN, "no such principal"},
	};
	struct rig *r = rig_of("[auth]\nanonymous = off\n");
	uint8_t ticket[KX_TICKET_BYTES] = {1}, host = 1;
	struct attempt a;

	(void)state;
	for (; host <= KX_DIM(row); host++) {
		a = row[host - 1].ticket ? try_ticket(r, host, row[host - 1].name, row[host - 1].key, ticket)
					 : try(r, host, row[host - 1].name, row[host - 1].key);
		refused(&a, KX_DROP_AUTH_BAD, KX_CODE_AUTH);
		rig_audited(r, row[host - 1].principal, row[host - 1].why);
	}
	rig_free(r);
}

static void test_tickets(void **state)
{
	struct rig *r = rig_of("");
	struct attempt first = try(r, 1, "desk", &desk), a = try(r, 2, "", NULL);
	uint8_t forged[KX_TICKET_BYTES], anonymous[KX_TICKET_BYTES];

	(void)state;
	memcpy(anonymous, a.accept.ticket, sizeof(anonymous));
	a = try_ticket(r, 3, "desk", &desk, first.accept.ticket);
	accepted(&a, 1);
	assert_int_equal(a.accept.producer_id, first.accept.producer_id);
	a = try_ticket(r, 4, "", NULL, anonymous);
	accepted(&a, 0);
	/* Stolen: without the key, with another principal's, as anonymous. */
	a = try_ticket(r, 5, "desk", NULL, first.accept.ticket);
	refused(&a, KX_DROP_AUTH_BAD, KX_CODE_AUTH);
	a = try_ticket(r, 6, "desk", &nobodys, first.accept.ticket);
	refused(&a, KX_DROP_AUTH_BAD, KX_CODE_AUTH);
	a = try_ticket(r, 7, "feed", &feed, first.accept.ticket);
	refused(&a, KX_DROP_AUTH_BAD, KX_CODE_AUTH);
	a = try_ticket(r, 8, "", NULL, first.accept.ticket);
	refused(&a, KX_DROP_AUTH_BAD, KX_CODE_AUTH);
	a = try_ticket(r, 9, "desk", &desk, anonymous);
	refused(&a, KX_DROP_AUTH_BAD, KX_CODE_AUTH);
	for (size_t byte = 0; byte < sizeof(forged); byte++) {
		memcpy(forged, first.accept.ticket, sizeof(forged));
		forged[byte] ^= 0x10;
		a = try_ticket(r, 10, "desk", &desk, forged);
		refused(&a, KX_DROP_AUTH_BAD, KX_CODE_AUTH);
	}
	rig_free(r);
}

static void test_forged_cookies(void **state)
{
	struct rig *r = rig_of("");
	struct attempt a;

	(void)state;
	for (size_t byte = 0; byte < KX_COOKIE_BYTES; byte++) {
		hello(r, &a, 1);
		name(&a, KX_AUTH_HMAC_SHA256, "desk");
		a.auth->cookie[byte] ^= 1;
		assert_int_equal(sign_and_send(r, &a, &desk), KX_DROP_COOKIE_BAD);
		assert_int_equal(r->sent_count, 0);
	}
	hello(r, &a, 1);
	name(&a, KX_AUTH_HMAC_SHA256, "desk");
	a.from.port++;
	assert_int_equal(sign_and_send(r, &a, &desk), KX_DROP_COOKIE_BAD);
	a.from.port--;
	assert_int_equal(sign_and_send(r, &a, &desk), KX_DROP_NONE);
	rig_free(r);
}

static void test_repeated(void **state)
{
	struct rig *r = rig_of("");
	struct attempt a = try(r, 1, "desk", &desk), b;
	struct kx_accept first = a.accept;

	(void)state;
	for (int i = 0; i < 5; i++) {
		assert_int_equal(send_auth(r, &a), KX_DROP_NONE);
		assert_memory_equal(&a.accept, &first, sizeof(first));
	}
	assert_int_equal(kx_broker_principal_counters(r->broker, 1)->accepted, 1);
	/* The same nonce with another cookie: not the AUTH that was accepted. */
	hello(r, &b, 1);
	name(&b, KX_AUTH_HMAC_SHA256, "desk");
	assert_int_equal(sign_and_send(r, &b, &desk), KX_DROP_COOKIE_BAD);
	assert_int_equal(r->sent_count, 0);
	/* From elsewhere. */
	a.from.port++;
	assert_int_equal(send_auth(r, &a), KX_DROP_CONN_PATH);
	rig_free(r);
}

static void test_session_limit(void **state)
{
	struct rig *r = rig_of("");
	struct attempt a = try(r, 1, "desk", &desk), b = try(r, 2, "desk", &desk), c;
	struct rig_session s = session_of_attempt(r, &a);
	struct kx_close close = {.code = KX_CODE_OK};

	(void)state;
	accepted(&b, 1);
	c = try(r, 3, "desk", &desk);
	refused(&c, KX_DROP_PRINCIPAL_SESSIONS, KX_CODE_PRINCIPAL_FULL);
	(void)told(r), (void)told(r);
	rig_audited(r, 1, "has all its sessions ([principal desk] sessions = 2, on each data lcore)");
	c = try(r, 4, "", NULL); /* others' are not concerned */
	accepted(&c, 0);
	assert_int_equal(kx_broker_principal_counters(r->broker, 1)->sessions, 2);
	assert_int_equal(rig_send(&s, KX_CLOSE, &close, sizeof(close)), KX_DROP_NONE);
	assert_int_equal(kx_broker_principal_counters(r->broker, 1)->sessions, 1);
	c = try(r, 5, "desk", &desk);
	accepted(&c, 1);
	rig_free(r);
}

/* Who has proven itself is refused with a proof; who has not learns nothing of the key. */
static void test_refusals_are_proven(void **state)
{
	struct rig *r = rig_of("");
	struct attempt a, b;
	uint8_t ticket[KX_TICKET_BYTES] = {1};

	(void)state;
	a = try(r, 1, "desk", &desk);
	accepted(&a, 1);
	b = try_ticket(r, 2, "desk", &desk, ticket);
	refused(&b, KX_DROP_AUTH_BAD, KX_CODE_AUTH);
	assert_true(refusal_proven(&b)); /* the ticket is wrong, the key is not */
	hello(r, &b, 3);
	name(&b, KX_AUTH_HMAC_SHA256, "feed");
	b.auth->producer_id = a.accept.producer_id; /* another's */
	sign_and_send(r, &b, &feed);
	refused(&b, KX_DROP_ACCESS_DENIED, KX_CODE_DENIED);
	assert_true(refusal_proven(&b));
	hello(r, &b, 4);
	name(&b, KX_AUTH_HMAC_SHA256, "desk");
	b.auth->producer_id = a.accept.producer_id; /* its own, once more */
	sign_and_send(r, &b, &desk);
	accepted(&b, 1);
	memcpy(ticket, a.accept.ticket, sizeof(ticket));
	assert_int_equal(kx_producer_ids_held(r->ids, 1), 1);
	a = try(r, 5, "desk", &desk);
	refused(&a, KX_DROP_PRINCIPAL_SESSIONS, KX_CODE_PRINCIPAL_FULL);
	assert_true(refusal_proven(&a));
	a = try(r, 6, "desk", &feed);
	refused(&a, KX_DROP_AUTH_BAD, KX_CODE_AUTH);
	assert_false(refusal_proven(&a));
	a = try(r, 7, "nobody", &desk);
	refused(&a, KX_DROP_AUTH_BAD, KX_CODE_AUTH);
	assert_false(refusal_proven(&a));
	a = try_ticket(r, 8, "desk", &feed, ticket);
	refused(&a, KX_DROP_AUTH_BAD, KX_CODE_AUTH);
	assert_false(refusal_proven(&a));
	rig_free(r);
}

static void test_table_full(void **state)
{
	struct rig *r = rig_of("[sessions]\nmax = 1\n");
	struct attempt a = try(r, 1, "", NULL);

	(void)state;
	accepted(&a, 0);
	a = try(r, 2, "desk", &desk);
	refused(&a, KX_DROP_SESSIONS_FULL, KX_CODE_SESSIONS_FULL);
	rig_free(r);
}

static void test_anonymous_off(void **state)
{
	struct rig *r = rig_of("[auth]\nanonymous = off\n");
	struct attempt a = try(r, 1, "", NULL);

	(void)state;
	refused(&a, KX_DROP_AUTH_BAD, KX_CODE_AUTH);
	a = try(r, 2, "desk", &desk);
	accepted(&a, 1);
	rig_free(r);
}

static void test_protection(void **state)
{
	struct rig *r = rig_of("");
	uint8_t ticket[KX_TICKET_BYTES];
	struct attempt a;

	(void)state;
	a = try(r, 1, "desk", &desk);
	assert_int_equal(a.accept.protect, KX_PROTECT_PLAIN);
	/* The broker demands what the client did not ask for, and the client may ask for more. */
	a = try(r, 2, "feed", &feed);
	accepted(&a, 2);
	assert_int_equal(a.accept.protect, KX_PROTECT_MAC);
	hello(r, &a, 3);
	name(&a, KX_AUTH_HMAC_SHA256, "feed");
	a.auth->protect = KX_PROTECT_AEAD;
	assert_int_equal(sign_and_send(r, &a, &feed), KX_DROP_NONE);
	assert_int_equal(a.accept.protect, KX_PROTECT_AEAD);
	/* Nothing to protect with. */
	hello(r, &a, 4);
	name(&a, KX_AUTH_NONE, "");
	a.auth->protect = KX_PROTECT_MAC;
	send_auth(r, &a);
	refused(&a, KX_DROP_ACCESS_DENIED, KX_CODE_DENIED);
	/* Nor with a ticket: the key would be known to everybody. */
	a = try(r, 5, "", NULL);
	accepted(&a, 0);
	memcpy(ticket, a.accept.ticket, sizeof(ticket));
	hello(r, &a, 6);
	name(&a, KX_AUTH_TICKET, "");
	memcpy(a.auth->ticket, ticket, sizeof(ticket));
	a.auth->protect = KX_PROTECT_MAC;
	send_auth(r, &a);
	refused(&a, KX_DROP_ACCESS_DENIED, KX_CODE_DENIED);
	rig_free(r);
}

/* A flood of HELLOs gets the budget, what comes back of it each turn, then one frame a turn, then one in four
 * turns; it all comes back. */
static void test_flood(void **state)
{
	struct rig *r = rig_of("");
	uint32_t full = r->conf->sessions.setup_per_turn, taken[200];
	uint64_t buf[KX_HELLO_BYTES / 8] = {0};
	struct kx_hello *h = (struct kx_hello *)kx_frame_begin((uint8_t *)buf, KX_HELLO, 0, 0, 0, 0);
	struct attempt a = try(r, 1, "desk", &desk);
	struct rig_session s = session_of_attempt(r, &a);
	struct kx_addr from;
	uint32_t late = 0;

	(void)state;
	kx_addr_parse("10.0.0.66", 4000, &from);
	h->version_min = h->version_max = KX_WIRE_VERSION;
	kx_frame_seal((uint8_t *)buf, sizeof(buf));
	for (uint32_t turn = 0; turn < KX_DIM(taken); turn++) {
		rig_turn(r, 1000);
		rig_forget(r);
		taken[turn] = 0;
		for (uint32_t i = 0; i < 2 * full; i++)
			taken[turn] += rig_rx(r, buf, sizeof(buf), &from, 0) == KX_DROP_NONE;
		/* Who is in is served at any time. */
		assert_int_equal(rig_produce(&s, 0, 0, turn, 1, 0), KX_DROP_NONE);
	}
	assert_int_equal(taken[0], full);
	for (uint32_t turn = 1; turn < 8; turn++)
		assert_int_equal(taken[turn], full / 8);
	for (uint32_t turn = 9; turn < 60; turn++)
		assert_int_equal(taken[turn], 1);
	for (uint32_t turn = 100; turn < 200; turn++)
		late += taken[turn];
	assert_int_equal(late, 25);
	for (int i = 0; i < 10; i++)
		rig_turn(r, 1000);
	taken[0] = 0;
	for (uint32_t i = 0; i < 2 * full; i++)
		taken[0] += rig_rx(r, buf, sizeof(buf), &from, 0) == KX_DROP_NONE;
	assert_int_equal(taken[0], full);
	rig_free(r);
}

/* ---- access */

static void test_produce_denied(void **state)
{
	struct rig *r = rig_of("");
	struct attempt a = try(r, 1, "desk", &desk);
	struct rig_session s = session_of_attempt(r, &a);
	const struct kx_produce_refused *body;
	struct kx_audit_event e;

	(void)state;
	(void)told(r);
	assert_int_equal(rig_produce(&s, 0, 0, 0, 3, 0), KX_DROP_NONE);
	rig_turn(r, 1000);
	for (uint32_t partition = 1; partition < 4; partition++) {
		rig_forget(r);
		assert_int_equal(rig_produce(&s, 0, partition, 0, 3, 0), KX_DROP_ACCESS_DENIED);
		body = rig_body(rig_find(r, KX_PRODUCE_REFUSED, 0));
		assert_int_equal(body->code, KX_CODE_DENIED);
		assert_int_equal(body->partition, partition);
		e = told(r);
		assert_int_equal(e.what, KX_AUDIT_DENIED);
		assert_int_equal(e.topic, partition < 3 ? 1 : 2);
		assert_int_equal(e.conn_id, s.conn_id);
		assert_int_equal(r->offsets[partition].next_offset, 0);
		/* The packet is closed: the same number again is a duplicate. */
		assert_int_equal(rig_produce(&s, s.next_pkt - 1, partition, 0, 3, 0), KX_DROP_PKT_DUPLICATE);
	}
	assert_int_equal(kx_broker_principal_counters(r->broker, 1)->denied, 3);
	/* What it may goes on. */
	assert_int_equal(rig_produce(&s, 0, 0, 3, 3, 0), KX_DROP_NONE);
	rig_turn(r, 1000);
	assert_int_equal(r->offsets[0].next_offset, 6);
	rig_free(r);
}

static uint32_t subscribe_code(struct rig_session *s, uint32_t partition)
{
	rig_forget(s->rig);
	rig_subscribe(s, partition, partition + 1, 0, 1 << 20);
	return ((const struct kx_subscribed *)rig_body(rig_find(s->rig, KX_SUBSCRIBED, 0)))->code;
}

static uint32_t metadata_code(struct rig_session *s, const char *topic)
{
	struct kx_metadata_req req = {.request_id = 1, .topic_bytes = (uint8_t)strlen(topic)};

	memcpy(req.topic, topic, strlen(topic));
	rig_forget(s->rig);
	assert_int_equal(rig_send(s, KX_METADATA_REQ, &req, sizeof(req)), KX_DROP_NONE);
	return ((const struct kx_metadata *)rig_body(rig_find(s->rig, KX_METADATA, 0)))->code;
}

static void test_consume_denied(void **state)
{
	struct rig *r = rig_of("");
	struct attempt a = try(r, 1, "desk", &desk);
	struct rig_session s = session_of_attempt(r, &a);

	(void)state;
	assert_int_equal(subscribe_code(&s, 0), KX_CODE_DENIED); /* may produce, not consume */
	assert_int_equal(subscribe_code(&s, 1), KX_CODE_OK);
	assert_int_equal(subscribe_code(&s, 3), KX_CODE_DENIED);
	assert_int_equal(subscribe_code(&s, 4), KX_CODE_UNKNOWN_PARTITION);
	assert_int_equal(kx_broker_principal_counters(r->broker, 1)->denied, 2);
	assert_int_equal(metadata_code(&s, "a"), KX_CODE_OK);
	assert_int_equal(metadata_code(&s, "b"), KX_CODE_OK);
	assert_int_equal(metadata_code(&s, "secret"), KX_CODE_UNKNOWN_TOPIC);
	assert_int_equal(metadata_code(&s, "none"), KX_CODE_UNKNOWN_TOPIC);
	rig_free(r);
}

static void test_topics(void **state)
{
	struct rig *r = rig_of("[principal anonymous]\nconsume = secret, a\n");
	struct attempt a = try(r, 1, "", NULL);
	struct rig_session s = session_of_attempt(r, &a);
	static const char *const seen[] = {"a", "secret"};

	(void)state;
	for (uint32_t first = 0; first < 4; first++) {
		struct kx_topics_req req = {.request_id = 7, .first_index = first};
		const struct kx_topics *t;
		const struct kx_topics_entry *e;

		rig_forget(r);
		assert_int_equal(rig_send(&s, KX_TOPICS_REQ, &req, sizeof(req)), KX_DROP_NONE);
		t = rig_body(rig_find(r, KX_TOPICS, 0));
		e = (const struct kx_topics_entry *)(t + 1);
		assert_int_equal(t->topic_count, 2);
		assert_int_equal(t->entry_count, first < 2 ? 2 - first : 0);
		for (uint32_t i = 0; i < t->entry_count; i++)
			assert_string_equal((const char *)e[i].name, seen[first + i]);
	}
	rig_free(r);
}

/* ---- start */

static void test_load(void **state)
{
	char text[512], said[512];
	struct kx_conf_errors *errs = calloc(1, sizeof(*errs));
	struct kx_auth_principals *p;
	struct kx_conf *conf;
	struct kx_text why;

	(void)state;
	snprintf(text, sizeof(text),
		"[port p]\naddress = 10.0.0.1/24\n[topic t]\n[principal x]\nkey_file = %s\nnext_key_file = "
		"%s\n",
		file("desk"), file("missing"));
	assert_int_equal(kx_conf_load_memory("t.ini", text, strlen(text), &conf, errs), 0);
	kx_text_init(&why, said, sizeof(said));
	assert_int_equal(kx_broker_principals_load(conf, &p, &why), -ENOENT);
	assert_null(p);
	assert_non_null(strstr(said, file("missing")));
	assert_non_null(strstr(said, "(principal x, section in line 4)"));
	kx_conf_free(conf);
	free(errs);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_keys),
		cmocka_unit_test(test_wrong_keys),
		cmocka_unit_test(test_audit_says_what_is_wrong),
		cmocka_unit_test(test_tickets),
		cmocka_unit_test(test_forged_cookies),
		cmocka_unit_test(test_repeated),
		cmocka_unit_test(test_session_limit),
		cmocka_unit_test(test_refusals_are_proven),
		cmocka_unit_test(test_table_full),
		cmocka_unit_test(test_anonymous_off),
		cmocka_unit_test(test_protection),
		cmocka_unit_test(test_flood),
		cmocka_unit_test(test_produce_denied),
		cmocka_unit_test(test_consume_denied),
		cmocka_unit_test(test_topics),
		cmocka_unit_test(test_load),
	};
	return cmocka_run_group_tests(tests, begin, end);
}
