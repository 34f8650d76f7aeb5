/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A hostile broker, or somebody in its place: every frame type that a broker sends, with each number in its
 * first 240 bytes (at every aligned place, as one, two, four and eight bytes, so that every field is among
 * them) at its extremes and one beyond, to libkaelix in each of a client's states. What lib/wire refuses is
 * counted once, and changes nothing: no event, no completion, and with the true broker everything goes on.
 * What is well formed may do harm in a session of plain frames, but completes nothing except by COMMIT_ACK
 * and RESUMED, and each message once. In a session of protected frames a stranger can end it (RESET) and
 * nothing else.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "client_rig.h"
#include "wire_repair.h"
#include "wire_samples.h"

#define LOOKED_AT 240
#define EACH_NEW  32 /* frames that are well formed, for one client */
#define HDR	  ((uint32_t)sizeof(struct kx_frame_hdr))

static const char ini_format[] = "[lcores]\ndata = 1\n"
				 "[memory]\nlog_bytes = 8M\nextent_bytes = 64K\n"
				 "[port net_memif0]\naddress = 10.0.0.254/24\n"
				 "[sessions]\nmax = 1024\nmax_subscriptions = 4096\nmax_producers = 16384\n"
				 "[topic one]\npartitions = 1\nlog_bytes = 4M\nmax_message_bytes = 64K\n"
				 "[principal desk]\nkey_file = %s\nproduce = *\nconsume = *\n";

enum kind { WAITS_FOR_COOKIE, WAITS_FOR_ACCEPT, CONNECTED, SUBSCRIBING, RECONNECTING, STRANGER, LIAR };
static const char *const kinds[] = {"waiting for COOKIE", "waiting for ACCEPT", "connected", "subscribing",
	"reconnecting", "connected with protected frames, a stranger",
	"connected with protected frames, the broker lies"};

static char key_path[] = "/tmp/kx_hostile_XXXXXX", ini[1024];
static struct kx_key key;

/* What the wire showed of the client's session. */
static struct {
	bool cut;	  /* nothing passes */
	uint8_t withheld; /* frame type that does not reach the client */
	uint8_t nonce[KX_NONCE_BYTES];
	struct kx_auth auth;
	uint64_t conn_id, boot_id, broker_pkt, client_pkt;
	uint32_t epoch, sub_id, request_id, handle;
} wire;

static struct {
	struct net *net;
	enum kind kind;
	struct kx_client *client;
	struct kx_producer *producer;
	struct kx_consumer *consumer;
	struct kx_auth_protect seals; /* as the broker does */
	uint64_t sent, completed, failed, delivered, events, connected, ready;
	unsigned int frames, bad;
	char what[160];
} at;

static int begin(void **state)
{
	struct kx_text why;
	char said[256];
	int fd = mkstemp(key_path);

	(void)state;
	kx_text_init(&why, said, sizeof(said));
	if (fd < 0 || close(fd) != 0 || unlink(key_path) != 0 || kx_key_create(key_path, &why) != 0 ||
		kx_key_load(key_path, &key, &why) != 0 || kx_auth_protect_create(&at.seals) != 0)
		return -1;
	snprintf(ini, sizeof(ini), ini_format, key_path);
	return 0;
}

static int end(void **state)
{
	(void)state;
	kx_auth_protect_destroy(&at.seals);
	return unlink(key_path);
}

/* ---- the wire */

static void seen_up(const struct kx_frame_hdr *h)
{
	if (h->type == KX_HELLO)
		memcpy(wire.nonce, h + 1, KX_NONCE_BYTES);
	if (h->type == KX_AUTH)
		memcpy(&wire.auth, h + 1, sizeof(wire.auth));
	if (h->type == KX_SUBSCRIBE && (h->flags & KX_FLAGS_PROTECT) == 0) {
		wire.sub_id = ((const struct kx_subscribe *)(h + 1))->sub_id;
		wire.request_id = ((const struct kx_subscribe *)(h + 1))->request_id;
	}
	wire.client_pkt = KX_MAX(wire.client_pkt, h->pkt_no);
}

static void seen_down(const struct kx_frame_hdr *h)
{
	if (h->type == KX_ACCEPT) {
		const struct kx_accept *b = (const struct kx_accept *)(h + 1);

		wire.conn_id = b->conn_id;
		wire.boot_id = b->boot_id;
		wire.epoch = b->producer_epoch;
		wire.broker_pkt = wire.client_pkt = 0;
	}
	if (h->handle != 0)
		wire.handle = h->handle;
	wire.broker_pkt = KX_MAX(wire.broker_pkt, h->pkt_no);
}

static bool filter(struct net *net, const struct flight *f, const struct kx_frame_hdr *h)
{
	bool down = f->to.port >= NET_HUB_PORT;

	(void)net;
	if (down)
		seen_down(h);
	else
		seen_up(h);
	return !wire.cut && !(down && h->type == wire.withheld);
}

/* ---- the client */

static void on_event(void *user, const struct kx_event *e)
{
	(void)user;
	at.events++;
	at.connected += e->type == KX_EVENT_CONNECTED;
	at.ready += e->type == KX_EVENT_PRODUCER_READY || e->type == KX_EVENT_CONSUMER_READY;
}

static void on_complete(void *user, const struct kx_completion *c)
{
	(void)user;
	at.completed += c->result == KX_OK ? c->count : 0;
	at.failed += c->result != KX_OK ? c->count : 0;
	assert_true(at.completed + at.failed <= at.sent);
}

static void on_batch(void *user, const struct kx_batch_view *v)
{
	(void)user;
	at.delivered += v->count;
}

static bool is_protected(void)
{
	return at.kind == STRANGER || at.kind == LIAR;
}

static void run_until(const uint64_t *counter, uint64_t value, const char *what)
{
	for (int i = 0; i < 600000 && *counter < value; i++)
		net_turn(at.net);
	if (*counter != value)
		fail_msg("%s, after %s: %s %lu, wanted %lu", kinds[at.kind], at.what, what,
			(unsigned long)*counter, (unsigned long)value);
}

static void client_open(void)
{
	struct kx_client_opts o = {.broker = at.net->lcores[0].addr,
		.connect_timeout_ns = 600 * KX_NS_PER_S,
		.on_event = on_event};

	if (is_protected()) {
		o.principal = "desk";
		o.key = key.bytes;
		o.key_bytes = key.len;
		o.protect = KX_PROTECT_AEAD;
	}
	at.sent = at.completed = at.failed = at.delivered = at.events = at.connected = at.ready = 0;
	memset(&wire, 0, sizeof(wire));
	at.net->delay_ns = 20000;
	assert_int_equal(kx_client_open(at.net->hub[0], &o, at.net->now_ns, &at.client), KX_OK);
}

static void producer_open(void)
{
	struct kx_producer_opts o = {.topic = "one", .on_complete = on_complete};

	assert_int_equal(kx_producer_open(at.client, &o, at.net->now_ns, &at.producer), KX_OK);
}

static void consumer_open(void)
{
	struct kx_consumer_opts o = {.topic = "one",
		.partition = KX_PARTITION_ALL,
		.start_offset = KX_OFFSET_NOW,
		.on_batch = on_batch};

	assert_int_equal(kx_consumer_open(at.client, &o, at.net->now_ns, &at.consumer), KX_OK);
}

static void send_one(void)
{
	struct kx_message m = {.value = "hostile!", .value_bytes = 8};

	assert_int_equal(kx_producer_send(at.producer, &m, at.net->now_ns), KX_OK);
	at.sent++;
}

static void put(const void *frame, uint32_t bytes)
{
	net_inject(at.net, &at.net->lcores[0].addr, &at.net->hubs[0].addr, frame, bytes);
	net_turn(at.net);
}

/* A true session, with one message that the broker has never seen. */
static void connect_all(void)
{
	producer_open();
	if (at.kind == SUBSCRIBING) {
		run_until(&at.ready, 1, "ready");
		wire.withheld = KX_SUBSCRIBED;
	}
	consumer_open();
	if (at.kind == SUBSCRIBING)
		for (int i = 0; i < 1000 && wire.sub_id == 0; i++)
			net_turn(at.net);
	else
		run_until(&at.ready, 2, "ready");
	send_one();
	run_until(&at.completed, 1, "completed");
	if (at.kind != SUBSCRIBING)
		run_until(&at.delivered, 1, "delivered");
	net_run(at.net, 1000000);
	wire.cut = true;
	send_one();
	net_run(at.net, 200000);
}

static void lose_session(void)
{
	struct {
		struct kx_frame_hdr h;
		struct kx_reset b;
	} reset;
	uint64_t known = wire.client_pkt;

	kx_frame_begin((uint8_t *)&reset, KX_RESET, wire.conn_id, 0, 0, 0);
	reset.b = (struct kx_reset){.boot_id = wire.boot_id, .pkt_no = known};
	kx_frame_seal((uint8_t *)&reset, sizeof(reset));
	memset(wire.nonce, 0, sizeof(wire.nonce));
	put(&reset, sizeof(reset));
	net_run(at.net, 1000000);
	assert_true(wire.nonce[0] != 0 || wire.nonce[1] != 0 || wire.nonce[2] != 0); /* HELLO left */
}

static void seal_as_broker(void)
{
	uint8_t secret[KX_AUTH_SECRET_BYTES];

	kx_auth_session_secret(&key, &wire.auth, secret);
	assert_int_equal(kx_auth_protect_init(&at.seals, secret, wire.conn_id, true, KX_PROTECT_AEAD), 0);
}

static void enter(void)
{
	client_open();
	if (at.kind == WAITS_FOR_COOKIE || at.kind == WAITS_FOR_ACCEPT) {
		wire.withheld = at.kind == WAITS_FOR_COOKIE ? KX_COOKIE : KX_ACCEPT;
		producer_open();
		consumer_open();
		net_run(at.net, 1000000);
		wire.cut = true;
	} else {
		connect_all();
	}
	if (at.kind == RECONNECTING)
		lose_session();
	if (is_protected())
		seal_as_broker();
	at.net->delay_ns = 0;
}

/* The true broker again: what waits is completed and delivered, and new things are too. */
static void heal(void)
{
	wire.cut = false;
	wire.withheld = 0;
	at.net->delay_ns = 20000;
	if (at.sent == 0) {
		run_until(&at.ready, 2, "ready");
		send_one();
	}
	run_until(&at.completed, at.sent, "completed");
	send_one();
	run_until(&at.completed, at.sent, "completed");
	if (at.kind != SUBSCRIBING) /* which begins where the log ends when it is heard */
		run_until(&at.delivered, at.sent, "delivered");
	assert_int_equal(at.failed, 0);
}

static void client_close(void)
{
	wire.cut = false;
	assert_int_equal(kx_client_close(at.client, at.net->now_ns), KX_OK);
	if (at.completed + at.failed != at.sent)
		fail_msg("%s, after %s: %lu messages, %lu completed, %lu failed", kinds[at.kind], at.what,
			(unsigned long)at.sent, (unsigned long)at.completed, (unsigned long)at.failed);
	net_run(at.net, 100000);
}

/* ---- frames */

/* A sample, with what it must name to be about this session. */
static uint32_t build(const struct wire_sample *s, uint64_t *frame)
{
	struct kx_frame_hdr *h = (struct kx_frame_hdr *)frame;
	uint8_t *b = (uint8_t *)(h + 1);
	uint32_t bytes = (uint32_t)s->build((uint8_t *)frame),
		 sub = wire.handle != 0 ? wire.handle : wire.sub_id;

	if (h->conn_id != 0)
		h->conn_id = wire.conn_id != 0 ? wire.conn_id : 1;
	if (h->pkt_no != 0) {
		h->pkt_no = wire.broker_pkt + 1;
		h->floor_delta = 0;
	}
	if (h->handle != 0 && sub != 0)
		h->handle = sub;
	if (h->conn_id == 0)
		memcpy(b, wire.nonce, KX_NONCE_BYTES);
	if (s->type == KX_RESET)
		((struct kx_reset *)b)->pkt_no = KX_MAX(wire.client_pkt, UINT64_C(1));
	if (s->type == KX_HEARTBEAT || s->type == KX_COMMIT_ACK || s->type == KX_RX_ACK)
		((struct kx_receipt *)b)->next_pkt = 1;
	if (s->type == KX_HEARTBEAT || s->type == KX_COMMIT_ACK)
		((struct kx_receipt *)b)->largest_pkt = 1;
	if (s->type == KX_RX_ACK)
		((struct kx_receipt *)b)->largest_pkt = 80;
	if (s->type == KX_HEARTBEAT && sub != 0)
		((struct kx_heartbeat_entry *)(b + sizeof(struct kx_receipt)))->sub_id = sub;
	if (s->type == KX_COMMIT_ACK) {
		struct kx_commit_entry *e = (struct kx_commit_entry *)(b + sizeof(struct kx_receipt));

		e->partition = 0;
		e->producer_epoch = wire.epoch;
		e->next_seq = 2;
		e->next_offset = 2;
	}
	if (s->type == KX_SUBSCRIBED && sub != 0) {
		((struct kx_subscribed *)b)->sub_id = sub;
		((struct kx_subscribed *)b)->request_id = wire.request_id;
		((struct kx_subscribed *)b)->partition = 0;
	}
	if (s->type == KX_PRODUCE_REFUSED) {
		((struct kx_produce_refused *)b)->partition = 0;
		((struct kx_produce_refused *)b)->first_seq = 1;
	}
	if (s->type == KX_NOT_OWNER)
		((struct kx_not_owner *)b)->partition = 0;
	wire_repair_frame((uint8_t *)frame, bytes);
	return bytes;
}

static uint64_t total_refused(void)
{
	const struct kx_hub_stats *s = kx_hub_stats(at.net->hub[0]);
	uint64_t n = s->rx_unknown;

	for (int i = 0; i < KX_DROP_COUNT; i++)
		n += s->drop[i];
	return n;
}

static uint64_t value_of(uint64_t old, uint32_t bits, unsigned int n)
{
	const uint64_t max = bits == 64 ? UINT64_MAX : (UINT64_C(1) << bits) - 1;
	const uint64_t all[] = {0, 1, old - 1, old + 1, max / 2, max / 2 + 1, max - 1, max};

	return all[n] & max;
}
#define VALUES 8

/* Does it get by the checks of lib/wire, and of whose frames they are? */
static enum kx_drop verdict(const uint64_t *frame, uint32_t bytes)
{
	const struct kx_frame_hdr *h = (const struct kx_frame_hdr *)frame;
	struct kx_frame_view v;
	enum kx_drop drop;

	if (at.kind == LIAR && h->conn_id != 0 && h->type != KX_RESET && (h->flags & KX_FLAGS_PROTECT) == 0)
		drop = kx_frame_check_opened((const uint8_t *)frame, bytes, KX_FROM_BROKER, &v);
	else
		drop = kx_frame_check((const uint8_t *)frame, bytes, KX_FROM_BROKER, &v);
	if (drop != KX_DROP_NONE)
		return drop;
	return at.kind == STRANGER && h->conn_id != 0 && h->type != KX_RESET ? KX_DROP_FRAME_UNPROTECTED
									     : KX_DROP_NONE;
}

static void give(uint64_t *frame, uint32_t bytes)
{
	const struct kx_frame_hdr *h = (const struct kx_frame_hdr *)frame;

	if (at.kind == LIAR && h->conn_id != 0 && h->type != KX_RESET && bytes >= HDR)
		bytes = kx_auth_protect_seal(&at.seals, (uint8_t *)frame, bytes);
	put(frame, bytes);
	at.frames++;
}

/* One number changed; @return false when nothing is different. */
static uint32_t change(
	const struct wire_sample *s, uint64_t *frame, uint32_t place, uint32_t width, unsigned int n)
{
	uint32_t bytes = build(s, frame);
	uint64_t old = 0, value;

	if (place + width > KX_MIN(bytes, (uint32_t)LOOKED_AT))
		return 0;
	memcpy(&old, (uint8_t *)frame + place, width);
	value = value_of(old, 8 * width, n);
	for (unsigned int k = 0; k < n; k++)
		if (value_of(old, 8 * width, k) == value)
			return 0;
	memcpy((uint8_t *)frame + place, &value, width);
	wire_repair_frame((uint8_t *)frame, bytes);
	snprintf(at.what, sizeof(at.what), "%s, %u bytes at %u = %#lx", s->name, width, place,
		(unsigned long)value);
	return bytes;
}

static void give_refused(uint64_t *frame, uint32_t bytes)
{
	uint64_t refused = total_refused(), events = at.events, completed = at.completed + at.failed;

	give(frame, bytes);
	at.bad++;
	if (total_refused() != refused + 1)
		fail_msg("%s, %s: counted %lu times", kinds[at.kind], at.what,
			(unsigned long)(total_refused() - refused));
	if (at.events != events || at.completed + at.failed != completed)
		fail_msg("%s, %s: was believed", kinds[at.kind], at.what);
}

/* @return true: the client has taken it for its own. */
static bool give_taken(const struct wire_sample *s, uint64_t *frame, uint32_t bytes)
{
	uint64_t completed = at.completed, refused = total_refused();

	give(frame, bytes);
	if (at.completed != completed && s->type != KX_COMMIT_ACK && s->type != KX_RESUMED)
		fail_msg("%s, %s: completes what nobody has confirmed", kinds[at.kind], at.what);
	if (at.kind == STRANGER && at.completed + at.failed > 1)
		fail_msg("%s, %s: a stranger completes a message", kinds[at.kind], at.what);
	wire.broker_pkt++;
	return total_refused() == refused;
}

static void all_of(const struct wire_sample *s, bool refused)
{
	uint64_t frame[SAMPLE_BYTES_MAX / 8 + 2];
	unsigned int given = 0;

	enter();
	for (uint32_t width = 1; width <= 8; width *= 2) {
		for (uint32_t place = 0; place < LOOKED_AT; place += width) {
			for (unsigned int n = 0; n < VALUES; n++) {
				uint32_t bytes = change(s, frame, place, width, n);

				if (bytes == 0 || (verdict(frame, bytes) != KX_DROP_NONE) != refused)
					continue;
				if (refused) {
					give_refused(frame, bytes);
					continue;
				}
				if (given == EACH_NEW || (given != 0 && place < HDR)) {
					client_close();
					enter();
					bytes = change(s, frame, place, width, n);
					given = 0;
				}
				given += give_taken(s, frame, bytes);
			}
		}
	}
	if (refused)
		heal();
	client_close();
}

static void in_state(enum kind kind)
{
	at.frames = at.bad = 0;
	for (unsigned int i = 0; i < wire_sample_count; i++) {
		if (wire_samples[i].from != KX_FROM_BROKER)
			continue;
		at.kind = kind;
		at.net = net_new(ini, 1, 1, 5);
		at.net->filter = filter;
		all_of(&wire_samples[i], true);
		all_of(&wire_samples[i], false);
		net_free(at.net);
	}
	print_message("%u frames, %u of them refused: %s\n", at.frames, at.bad, kinds[kind]);
	assert_true(at.bad > 1000 && at.frames > 5000);
}

static void test_waits_for_cookie(void **state)
{
	(void)state;
	in_state(WAITS_FOR_COOKIE);
}

static void test_waits_for_accept(void **state)
{
	(void)state;
	in_state(WAITS_FOR_ACCEPT);
}

static void test_connected(void **state)
{
	(void)state;
	in_state(CONNECTED);
}

static void test_subscribing(void **state)
{
	(void)state;
	in_state(SUBSCRIBING);
}

static void test_reconnecting(void **state)
{
	(void)state;
	in_state(RECONNECTING);
}

static void test_stranger(void **state)
{
	(void)state;
	in_state(STRANGER);
}

static void test_liar(void **state)
{
	(void)state;
	in_state(LIAR);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_waits_for_cookie),
		cmocka_unit_test(test_waits_for_accept),
		cmocka_unit_test(test_connected),
		cmocka_unit_test(test_subscribing),
		cmocka_unit_test(test_reconnecting),
		cmocka_unit_test(test_stranger),
		cmocka_unit_test(test_liar),
	};
	return cmocka_run_group_tests(tests, begin, end);
}
