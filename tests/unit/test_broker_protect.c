/* SPDX-License-Identifier: BSD-3-Clause */
/* A broker whose sessions have protected frames: what it sends, and everything a hostile peer can try. */
#include "kx_test.h"

#include <sys/stat.h>
#include <unistd.h>

#include "broker_rig.h"

static char key_path[] = "/tmp/kx_protect_XXXXXX";
static char ini[2048];
static struct kx_key key;

static const char ini_format[] = "[lcores]\ndata = 1\n"
				 "[memory]\nlog_bytes = 128M\nextent_bytes = 64K\n"
				 "[sessions]\nidle_timeout_ms = 60000\n"
				 "[port net_memif0]\naddress = 10.0.0.254/24\n"
				 "[topic one]\npartitions = 1\nlog_bytes = 4M\n"
				 "[topic many]\npartitions = 64\nlog_bytes = 512K\nmax_message_bytes = 64K\n"
				 "[principal desk]\nkey_file = %s\nframes = %s\nproduce = *\nconsume = *\n";

/* A session as its client knows it, with protected frames. */
struct sealed {
	struct rig_session s;
	struct kx_auth_protect protect;
	uint8_t secret[KX_AUTH_SECRET_BYTES];
	uint64_t auth[KX_HELLO_BYTES / 8]; /* as sent */
};

static void ini_make(const char *frames)
{
	snprintf(ini, sizeof(ini), ini_format, key_path, frames);
}

static void hello(struct rig *r, struct sealed *c, uint8_t host, struct kx_cookie *cookie)
{
	uint64_t buf[KX_HELLO_BYTES / 8] = {0};
	struct kx_hello *b = (struct kx_hello *)kx_frame_begin((uint8_t *)buf, KX_HELLO, 0, 0, 0, 0);
	char text[32];

	snprintf(text, sizeof(text), "10.0.0.%u", host);
	assert_int_equal(kx_addr_parse(text, 4000, &c->s.addr), 0);
	memset(b->client_nonce, host, KX_NONCE_BYTES);
	b->version_min = b->version_max = KX_WIRE_VERSION;
	kx_frame_seal((uint8_t *)buf, sizeof(buf));
	rig_forget(r);
	assert_int_equal(rig_rx(r, buf, sizeof(buf), &c->s.addr, 0), KX_DROP_NONE);
	*cookie = *(const struct kx_cookie *)rig_body(rig_find(r, KX_COOKIE, 0));
}

/* AUTH, and what ACCEPT says. */
static void accepted(struct rig *r, struct sealed *c)
{
	rig_forget(r);
	assert_int_equal(rig_rx(r, c->auth, sizeof(c->auth), &c->s.addr, 0), KX_DROP_NONE);
	assert_int_equal(rig_count(r, KX_ACCEPT), 1);
	c->s.accept = *(const struct kx_accept *)rig_body(rig_find(r, KX_ACCEPT, 0));
	assert_int_equal(kx_auth_accept_check(c->secret, &c->s.accept), 0);
	c->s.conn_id = c->s.accept.conn_id;
	c->s.producer_id = c->s.accept.producer_id;
	c->s.producer_epoch = c->s.accept.producer_epoch;
	assert_int_equal(kx_auth_protect_init(&c->protect, c->secret, c->s.conn_id, false,
				 (enum kx_protect)c->s.accept.protect),
		0);
	rig_turn(r, 1000);
	rig_forget(r);
}

static void connect_as_desk(struct rig *r, struct sealed *c, uint8_t host, enum kx_protect wanted)
{
	struct kx_cookie cookie;
	struct kx_auth *auth;

	*c = (struct sealed){.s = {.rig = r, .next_pkt = 1, .floor_pkt = 1}};
	hello(r, c, host, &cookie);
	auth = (struct kx_auth *)kx_frame_begin((uint8_t *)c->auth, KX_AUTH, 0, 0, 0, 0);
	memcpy(auth->client_nonce, cookie.client_nonce, KX_NONCE_BYTES);
	memcpy(auth->cookie, cookie.cookie, KX_COOKIE_BYTES);
	memcpy(auth->broker_nonce, cookie.broker_nonce, KX_NONCE_BYTES);
	auth->method = KX_AUTH_HMAC_SHA256;
	auth->datagram_bytes = KX_DATAGRAM_DEFAULT_V4;
	auth->protect = (uint8_t)wanted;
	auth->principal_bytes = 4;
	memcpy(auth->principal, "desk", 4);
	kx_auth_sign(&key, auth);
	kx_auth_session_secret(&key, auth, c->secret);
	kx_frame_seal((uint8_t *)c->auth, sizeof(c->auth));
	assert_int_equal(kx_auth_protect_create(&c->protect), 0);
	accepted(r, c);
}

static void leave(struct sealed *c)
{
	kx_auth_protect_destroy(&c->protect);
}

/* A sealed frame of the session, under the next number. */
static uint32_t make(struct sealed *c, uint8_t type, const void *body, uint32_t body_bytes, uint64_t *frame)
{
	uint8_t *at = kx_frame_begin((uint8_t *)frame, type, c->s.conn_id, c->s.next_pkt++, 0, 0);

	memcpy(at, body, body_bytes);
	return kx_auth_protect_seal(
		&c->protect, (uint8_t *)frame, (uint32_t)sizeof(struct kx_frame_hdr) + body_bytes);
}

static enum kx_drop send_sealed(struct sealed *c, uint8_t type, const void *body, uint32_t body_bytes)
{
	uint64_t frame[512];
	uint32_t bytes = make(c, type, body, body_bytes, frame);

	return rig_rx(c->s.rig, frame, bytes, &c->s.addr, KX_FRAME_OWNED);
}

static uint32_t make_produce(struct sealed *c, uint32_t partition, uint64_t first_seq, uint64_t *frame)
{
	uint64_t body[256];
	struct kx_batch_writer w;

	kx_batch_begin(&w, (uint8_t *)body, sizeof(body), partition, c->s.producer_id, c->s.producer_epoch,
		first_seq, 0);
	for (uint32_t i = 0; i < 14; i++)
		memset(kx_batch_claim(&w, 64), (int)(first_seq + i), 64);
	return make(c, KX_PRODUCE, body, kx_batch_end(&w), frame);
}

static enum kx_drop ping(struct sealed *c)
{
	struct kx_ping body = {.token = 7};

	return send_sealed(c, KX_PING, &body, sizeof(body));
}

static enum kx_drop beat(struct sealed *c)
{
	struct kx_receipt r = {.next_pkt = 1};

	return send_sealed(c, KX_HEARTBEAT, &r, sizeof(r));
}

/* Every frame sent since the last rig_forget() is the session's, opens with its keys, and is a good frame.
 * @return how many of a type */
static unsigned int opened(struct sealed *c, uint8_t type)
{
	struct rig *r = c->s.rig;
	unsigned int n = 0;

	for (unsigned int i = 0; i < r->sent_count; i++) {
		struct kx_frame_view v;
		uint32_t bytes = r->sent[i].bytes;

		assert_true(bytes <= KX_DATAGRAM_DEFAULT_V4);
		assert_false(r->sent[i].forwarded);
		assert_true(kx_frame_protected(r->sent[i].data, bytes));
		assert_int_equal(kx_auth_protect_open(&c->protect, r->sent[i].data, bytes), 0);
		assert_int_equal(
			kx_frame_check_opened(r->sent[i].data, bytes - KX_TAG_BYTES, KX_FROM_BROKER, &v),
			KX_DROP_NONE);
		n += v.hdr->type == type;
	}
	rig_forget(r);
	return n;
}

static struct kx_session_info info(struct rig *r, uint32_t slot)
{
	struct kx_session_info i;

	assert_true(kx_broker_session_info(r->broker, slot, &i));
	return i;
}

static const enum kx_protect modes[] = {KX_PROTECT_MAC, KX_PROTECT_AEAD};

/* ---- what works */

/* Produce, consume, requests, heartbeats: all sealed, all within the datagram, none by cut-through or slice.
 */
static void whole_session(void **state)
{
	struct kx_metadata_req req = {.topic_bytes = 4, .topic = "many"};
	uint64_t frame[512];

	(void)state;
	for (unsigned int m = 0; m < KX_DIM(modes); m++) {
		struct kx_subscribe sub = {.request_id = 1, .sub_id = 5, .limit_bytes = 1 << 20};
		struct kx_topics_req topics = {.request_id = 2};
		struct rig *r;
		struct sealed c;

		ini_make("plain");
		r = rig_new_slices(ini, 0, 1, 256);
		connect_as_desk(r, &c, 1, modes[m]);
		assert_int_equal(c.s.accept.protect, modes[m]);
		assert_int_equal(info(r, 0).protect, modes[m]);
		assert_int_equal(ping(&c), KX_DROP_NONE);
		assert_int_equal(opened(&c, KX_PONG), 1);
		assert_int_equal(send_sealed(&c, KX_METADATA_REQ, &req, sizeof(req)), KX_DROP_NONE);
		assert_int_equal(opened(&c, KX_METADATA), 1);
		assert_int_equal(send_sealed(&c, KX_TOPICS_REQ, &topics, sizeof(topics)), KX_DROP_NONE);
		assert_int_equal(opened(&c, KX_TOPICS), 1);
		assert_int_equal(send_sealed(&c, KX_SUBSCRIBE, &sub, sizeof(sub)), KX_DROP_NONE);
		assert_int_equal(opened(&c, KX_SUBSCRIBED), 1);
		for (uint64_t seq = 0; seq < 14 * 20; seq += 14) {
			uint32_t bytes = make_produce(&c, 0, seq, frame);

			assert_int_equal(rig_rx(r, frame, bytes, &c.s.addr, KX_FRAME_OWNED), KX_DROP_NONE);
		}
		rig_turn(r, 1000);
		assert_int_equal(kx_broker_counters(r->broker)->messages_in, 14 * 20);
		assert_int_equal(kx_broker_counters(r->broker)->messages_out, 14 * 20);
		assert_int_equal(kx_broker_counters(r->broker)->cut_frames, 0);
		assert_int_equal(kx_broker_counters(r->broker)->slice_frames, 0);
		assert_true(opened(&c, KX_DELIVER) >= 10);
		rig_turn(r, 300000000);
		assert_true(opened(&c, KX_HEARTBEAT) >= 1);
		assert_int_equal(info(r, 0).rx_frames, 24);
		kx_broker_stop(r->broker, r->now_ns);
		rig_turn(r, 1000);
		assert_int_equal(opened(&c, KX_CLOSE), 1);
		leave(&c);
		rig_free(r);
	}
}

/* What a protected producer sends may go on to a plain consumer as it came. */
static void to_plain_consumer(void **state)
{
	struct rig_session consumer;
	uint64_t frame[512];
	struct kx_frame_view v;
	struct sealed c;
	uint32_t bytes;
	struct rig *r;

	(void)state;
	ini_make("plain");
	r = rig_new(ini, 0, 1);
	consumer = rig_connect(r, 9, 4000);
	rig_subscribe(&consumer, 0, 1, 0, 1 << 20);
	rig_turn(r, 1000);
	connect_as_desk(r, &c, 1, KX_PROTECT_AEAD);
	bytes = make_produce(&c, 0, 0, frame);
	assert_int_equal(rig_rx(r, frame, bytes, &c.s.addr, KX_FRAME_OWNED), KX_DROP_NONE);
	rig_turn(r, 1000);
	assert_int_equal(rig_count(r, KX_DELIVER), 1);
	assert_int_equal(kx_broker_counters(r->broker)->cut_frames, 1);
	for (unsigned int i = 0; i < r->sent_count; i++)
		if (kx_addr_equal(&r->sent[i].to, &consumer.addr))
			assert_int_equal(
				kx_frame_check(r->sent[i].data, r->sent[i].bytes, KX_FROM_BROKER, &v),
				KX_DROP_NONE);
	leave(&c);
	rig_free(r);
}

/* The more of what the client wants and what the principal must. */
static void agreed(void **state)
{
	static const char *const demanded[] = {"plain", "mac", "aead"};

	(void)state;
	for (unsigned int d = 0; d < KX_DIM(demanded); d++) {
		for (unsigned int w = 0; w < 3; w++) {
			struct sealed c;
			struct rig *r;

			if (d == 0 && w == 0)
				continue;
			ini_make(demanded[d]);
			r = rig_new(ini, 0, 1);
			connect_as_desk(r, &c, 1, (enum kx_protect)w);
			assert_int_equal(c.s.accept.protect, KX_MAX(d, w));
			assert_int_equal(ping(&c), KX_DROP_NONE);
			assert_int_equal(opened(&c, KX_PONG), 1);
			leave(&c);
			rig_free(r);
		}
	}
}

/* ---- what does not */

/* Anything changed on the way is dropped, answered by nothing, and the original is still taken afterwards. */
static void flipped(void **state)
{
	(void)state;
	for (unsigned int m = 0; m < KX_DIM(modes); m++) {
		uint64_t frame[512];
		struct sealed c;
		struct rig *r;
		uint32_t bytes;
		uint64_t taken;

		ini_make("plain");
		r = rig_new(ini, 0, 1);
		connect_as_desk(r, &c, 1, modes[m]);
		bytes = make_produce(&c, 0, 0, frame);
		taken = info(r, 0).rx_frames;
		for (uint32_t bit = 0; bit < bytes * 8; bit++) {
			uint8_t *byte = (uint8_t *)frame + bit / 8;
			bool conn_id = bit / 8 >= 8 && bit / 8 < 16;
			enum kx_drop drop;

			*byte ^= (uint8_t)(1u << bit % 8);
			drop = rig_rx(r, frame, bytes, &c.s.addr, KX_FRAME_OWNED);
			*byte ^= (uint8_t)(1u << bit % 8);
			if (bit / 8 >= 24) /* a pkt_no of 0 is seen before */
				assert_int_equal(drop, KX_DROP_FRAME_TAG);
			else
				assert_int_not_equal(drop, KX_DROP_NONE);
			rig_turn(r, 100);
			/* who does not know a connection id has no key: the one thing that is answered */
			if (conn_id)
				assert_int_equal(rig_count(r, KX_RESET), r->sent_count);
			else
				assert_int_equal(r->sent_count, 0);
			rig_forget(r);
		}
		for (uint32_t n = 0; n < bytes; n++)
			assert_int_not_equal(rig_rx(r, frame, n, &c.s.addr, 0), KX_DROP_NONE);
		assert_int_equal(r->sent_count, 0);
		assert_int_equal(info(r, 0).rx_frames, taken);
		assert_int_equal(rig_rx(r, frame, bytes, &c.s.addr, 0), KX_DROP_NONE);
		rig_turn(r, 100);
		assert_int_equal(opened(&c, KX_COMMIT_ACK), 1);
		leave(&c);
		rig_free(r);
	}
}

/* Plain in a protected session and the reverse, the other protection, both at once, only a tag. */
static void wrong_mode(void **state)
{
	struct kx_ping body = {.token = 7};
	struct kx_close bye = {.code = KX_CODE_OK};
	struct rig_session plain;
	uint64_t frame[512];
	struct kx_frame_hdr *h = (struct kx_frame_hdr *)frame;
	struct sealed c, other;
	uint32_t bytes;
	struct rig *r;

	(void)state;
	ini_make("plain");
	r = rig_new(ini, 0, 1);
	connect_as_desk(r, &c, 1, KX_PROTECT_MAC);
	connect_as_desk(r, &other, 2, KX_PROTECT_AEAD);
	plain = rig_connect(r, 3, 4000);
	/* a plain frame with everything right */
	assert_int_equal(rig_send(&c.s, KX_PING, &body, sizeof(body)), KX_DROP_FRAME_UNPROTECTED);
	assert_int_equal(rig_send(&c.s, KX_CLOSE, &bye, sizeof(bye)), KX_DROP_FRAME_UNPROTECTED);
	/* sealed for a plain session: by keys of another */
	c.s.next_pkt++;
	bytes = make(&c, KX_PING, &body, sizeof(body), frame);
	h->conn_id = plain.conn_id;
	assert_int_equal(rig_rx(r, frame, bytes, &plain.addr, 0), KX_DROP_FRAME_FLAGS);
	/* the flag of the other way, none, both */
	bytes = make(&c, KX_PING, &body, sizeof(body), frame);
	h->flags = KX_FLAG_AEAD;
	assert_int_equal(rig_rx(r, frame, bytes, &c.s.addr, 0), KX_DROP_FRAME_FLAGS);
	h->flags = KX_FLAG_AEAD | KX_FLAG_MAC;
	assert_int_equal(rig_rx(r, frame, bytes, &c.s.addr, 0), KX_DROP_FRAME_FLAGS);
	h->flags = 0;
	assert_int_equal(rig_rx(r, frame, bytes, &c.s.addr, 0), KX_DROP_FRAME_LENGTH);
	h->flags = KX_FLAG_MAC;
	assert_int_equal(rig_rx(r, frame, 48, &c.s.addr, 0), KX_DROP_FRAME_TAG);
	assert_int_equal(rig_rx(r, frame, 47, &c.s.addr, 0), KX_DROP_FRAME_FLAGS);
	/* set-up frames are never protected */
	h->type = KX_HELLO;
	assert_int_equal(rig_rx(r, frame, bytes, &c.s.addr, 0), KX_DROP_FRAME_TAG);
	h->conn_id = 0;
	assert_int_equal(rig_rx(r, frame, bytes, &c.s.addr, 0), KX_DROP_FRAME_FIELD);
	/* another session's frame as this one's */
	bytes = make(&other, KX_PING, &body, sizeof(body), frame);
	h->conn_id = c.s.conn_id;
	assert_int_equal(rig_rx(r, frame, bytes, &c.s.addr, 0), KX_DROP_FRAME_FLAGS);
	h->flags = KX_FLAG_MAC;
	assert_int_equal(rig_rx(r, frame, bytes, &c.s.addr, 0), KX_DROP_FRAME_TAG);
	assert_int_equal(r->sent_count, 0);
	/* all of them are as they were */
	assert_int_equal(rig_send(&plain, KX_PING, &body, sizeof(body)), KX_DROP_NONE);
	rig_forget(r);
	assert_int_equal(ping(&c), KX_DROP_NONE);
	assert_int_equal(opened(&c, KX_PONG), 1);
	assert_int_equal(ping(&other), KX_DROP_NONE);
	assert_int_equal(opened(&other, KX_PONG), 1);
	leave(&c);
	leave(&other);
	rig_free(r);
}

/* A frame that was right once: again, from elsewhere, and the broker's own sent back. */
static void replayed(void **state)
{
	(void)state;
	for (unsigned int m = 0; m < KX_DIM(modes); m++) {
		uint64_t frame[512];
		struct kx_addr away;
		struct sealed c;
		uint32_t bytes;
		struct rig *r;

		ini_make("plain");
		r = rig_new(ini, 0, 1);
		connect_as_desk(r, &c, 1, modes[m]);
		assert_int_equal(kx_addr_parse("10.0.0.66:66", 0, &away), 0);
		bytes = make_produce(&c, 0, 0, frame);
		assert_int_equal(rig_rx(r, frame, bytes, &c.s.addr, 0), KX_DROP_NONE);
		rig_turn(r, 1000);
		(void)opened(&c, 0);
		assert_int_equal(rig_rx(r, frame, bytes, &away, 0), KX_DROP_CONN_PATH);
		assert_int_equal(r->sent_count, 0);
		assert_int_equal(rig_rx(r, frame, bytes, &c.s.addr, 0), KX_DROP_PKT_DUPLICATE);
		rig_forget(r);
		/* the broker's HEARTBEAT is a type that clients send too */
		rig_turn(r, 300000000);
		for (unsigned int i = 0; i < r->sent_count; i++)
			if (((struct kx_frame_hdr *)r->sent[i].data)->type == KX_HEARTBEAT) {
				bytes = r->sent[i].bytes;
				memcpy(frame, r->sent[i].data, bytes);
			}
		assert_int_equal(((struct kx_frame_hdr *)frame)->type, KX_HEARTBEAT);
		assert_int_equal(rig_rx(r, frame, bytes, &c.s.addr, 0), KX_DROP_FRAME_TAG);
		assert_int_equal(kx_broker_counters(r->broker)->messages_in, 14);
		leave(&c);
		rig_free(r);
	}
}

/* An AUTH that is recorded and sent again, after its session was closed, makes a session with other keys: no
 * packet number is sealed twice with the same key, and nothing of the first session is taken in the second.
 */
static void auth_replayed(void **state)
{
	struct kx_close bye = {.code = KX_CODE_OK};
	struct kx_ping body = {.token = 7};
	uint64_t first[512], again[512];
	struct sealed c, second;
	uint32_t bytes;
	struct rig *r;

	(void)state;
	ini_make("plain");
	r = rig_new(ini, 0, 1);
	connect_as_desk(r, &c, 1, KX_PROTECT_AEAD);
	bytes = make(&c, KX_PING, &body, sizeof(body), first);
	assert_int_equal(rig_rx(r, first, bytes, &c.s.addr, 0), KX_DROP_NONE);
	assert_int_equal(r->sent_count, 1);
	memcpy(again, r->sent[0].data, 72);
	assert_int_equal(send_sealed(&c, KX_CLOSE, &bye, sizeof(bye)), KX_DROP_NONE);
	rig_turn(r, 1000);
	second = c;
	second.s.next_pkt = 1;
	assert_int_equal(kx_auth_protect_create(&second.protect), 0);
	accepted(r, &second);
	assert_int_not_equal(second.s.conn_id, c.s.conn_id);
	assert_memory_equal(second.secret, c.secret, sizeof(c.secret));
	((struct kx_frame_hdr *)first)->conn_id = second.s.conn_id;
	assert_int_equal(rig_rx(r, first, bytes, &c.s.addr, 0), KX_DROP_FRAME_TAG);
	assert_int_equal(ping(&second), KX_DROP_NONE);
	assert_int_equal(r->sent_count, 1);
	/* PONG again, numbered 1 again, the same content but for the residence: other bytes everywhere */
	assert_int_equal(
		((struct kx_frame_hdr *)r->sent[0].data)->pkt_no, ((struct kx_frame_hdr *)again)->pkt_no);
	assert_memory_not_equal(r->sent[0].data + 32, (uint8_t *)again + 32, 8);
	assert_memory_not_equal(r->sent[0].data + 40, (uint8_t *)again + 40, 8);
	leave(&c);
	leave(&second);
	rig_free(r);
}

/* The way to another address: the challenge is sealed, what has no right tag gets none, and the answer has to
 * be sealed under a new number. */
static void moved(void **state)
{
	(void)state;
	for (unsigned int m = 0; m < KX_DIM(modes); m++) {
		struct kx_path_token token;
		struct kx_addr home, away;
		struct kx_frame_hdr *h;
		struct sealed c;
		uint64_t frame[512];
		uint32_t bytes;
		struct rig *r;

		ini_make("plain");
		r = rig_new(ini, 0, 1);
		connect_as_desk(r, &c, 1, modes[m]);
		home = c.s.addr;
		assert_int_equal(kx_addr_parse("10.0.0.66:66", 0, &away), 0);
		bytes = make_produce(&c, 0, 0, frame);
		((uint8_t *)frame)[200] ^= 1;
		assert_int_equal(rig_rx(r, frame, bytes, &away, 0), KX_DROP_FRAME_TAG);
		assert_int_equal(r->sent_count, 0);
		c.s.addr = away;
		assert_int_equal(ping(&c), KX_DROP_CONN_PATH); /* 64 bytes: less than a challenge */
		assert_int_equal(r->sent_count, 0);
		assert_int_equal(beat(&c), KX_DROP_CONN_PATH);
		assert_int_equal(r->sent_count, 1);
		assert_int_equal(r->sent[0].bytes, 80);
		assert_true(kx_addr_equal(&r->sent[0].to, &away));
		assert_int_equal(kx_auth_protect_open(&c.protect, r->sent[0].data, 80), 0);
		h = (struct kx_frame_hdr *)r->sent[0].data;
		assert_int_equal(h->type, KX_PATH_CHALLENGE);
		token = *(struct kx_path_token *)rig_body(h);
		rig_forget(r);
		/* the right token, plain; sealed with a bit wrong; then right, then the same again from
		 * elsewhere */
		assert_int_equal(
			rig_send(&c.s, KX_PATH_RESPONSE, &token, sizeof(token)), KX_DROP_FRAME_UNPROTECTED);
		bytes = make(&c, KX_PATH_RESPONSE, &token, sizeof(token), frame);
		((uint8_t *)frame)[40] ^= 1;
		assert_int_equal(rig_rx(r, frame, bytes, &away, 0), KX_DROP_FRAME_TAG);
		((uint8_t *)frame)[40] ^= 1;
		assert_int_equal(rig_rx(r, frame, bytes, &away, 0), KX_DROP_NONE);
		assert_int_equal(info(r, 0).path_changes, 1);
		assert_int_equal(rig_rx(r, frame, bytes, &home, 0), KX_DROP_CONN_PATH);
		assert_int_equal(rig_rx(r, frame, bytes, &away, 0), KX_DROP_PKT_DUPLICATE);
		rig_turn(r, 1000);
		assert_int_equal(info(r, 0).path_changes, 1);
		for (unsigned int i = 0; i < r->sent_count; i++)
			assert_true(kx_addr_equal(&r->sent[i].to, &away));
		leave(&c);
		rig_free(r);
	}
}

static int key_make(void **state)
{
	struct kx_text why = {0};
	int fd = mkstemp(key_path);

	(void)state;
	if (fd < 0)
		return -1;
	close(fd);
	unlink(key_path);
	return kx_key_create(key_path, &why) == 0 && kx_key_load(key_path, &key, &why) == 0 ? 0 : -1;
}

static int key_remove(void **state)
{
	(void)state;
	kx_key_wipe(&key);
	return unlink(key_path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole_session),
		cmocka_unit_test(to_plain_consumer),
		cmocka_unit_test(agreed),
		cmocka_unit_test(flipped),
		cmocka_unit_test(wrong_mode),
		cmocka_unit_test(replayed),
		cmocka_unit_test(auth_replayed),
		cmocka_unit_test(moved),
	};
	return cmocka_run_group_tests(tests, key_make, key_remove);
}
