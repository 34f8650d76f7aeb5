/* SPDX-License-Identifier: BSD-3-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "broker_rig.h"

/* ---- transport */

static void *rig_alloc(void *ctx, uint32_t bytes, uint8_t **data)
{
	struct rig *r = ctx;

	if (r->no_buffers > 0) {
		r->no_buffers--;
		kx_count(&r->ledger.built, 1);
		kx_ledger_drop(&r->ledger, KX_DROP_TX_NO_BUFFER);
		return NULL;
	}
	*data = malloc(bytes);
	return *data;
}

static void rig_buf_free(void *ctx, void *buf)
{
	(void)ctx;
	free(buf);
}

static void keep(struct rig *r, uint8_t *data, uint32_t bytes, const struct kx_path *path, bool forwarded)
{
	struct kx_frame_view v;

	assert_true(r->sent_count < RIG_SENT_MAX);
	r->port_sent++;
	if (!kx_frame_protected(data, bytes))
		assert_int_equal(kx_frame_check(data, bytes, KX_FROM_BROKER, &v), KX_DROP_NONE);
	r->sent[r->sent_count++] =
		(struct rig_sent){.data = data, .bytes = bytes, .to = path->remote, .forwarded = forwarded};
	kx_count(&r->ledger.built, 1);
	kx_count(&r->ledger.sent, 1);
}

static void rig_tx(void *ctx, void *buf, uint32_t bytes, const struct kx_path *path)
{
	keep(ctx, buf, bytes, path, false);
}

static void rig_forward(void *ctx, struct kx_frame *f, uint32_t bytes, const struct kx_path *path)
{
	((struct rig *)ctx)->rx_buffers++;
	keep(ctx, f->data, bytes, path, true);
}

static int rig_slice(void *ctx, void *buf, uint32_t head_bytes, const uint8_t *slice, uint32_t slice_bytes,
	struct kx_pin *pin, const struct kx_path *path)
{
	uint8_t *whole = malloc(head_bytes + slice_bytes);

	memcpy(whole, buf, head_bytes);
	memcpy(whole + head_bytes, slice, slice_bytes);
	free(buf);
	keep(ctx, whole, head_bytes + slice_bytes, path, false);
	pin->release(pin);
	return 0;
}

static void rig_flush(void *ctx)
{
	(void)ctx;
}

static unsigned int rig_room(void *ctx)
{
	const struct rig *r = ctx;

	return r->port_room != 0 ? r->port_room - KX_MIN(r->port_room, r->port_sent) : r->room;
}

static int rig_path_of(void *ctx, const struct kx_frame *f, struct kx_path *path)
{
	const struct rig *r = ctx;

	*path = (struct kx_path){.remote = f->remote,
		.datagram_bytes = r->datagram_bytes != 0 ? r->datagram_bytes : KX_DATAGRAM_DEFAULT_V4};
	return 0;
}

static const struct kx_transport_ops rig_ops = {
	.alloc = rig_alloc,
	.free = rig_buf_free,
	.send = rig_tx,
	.flush = rig_flush,
	.room = rig_room,
	.path_of = rig_path_of,
	.forward = rig_forward,
	.send_slice = rig_slice,
};

/* ---- rig */

static struct kx_conf *load(const char *ini)
{
	struct kx_conf_errors *errs = calloc(1, sizeof(*errs));
	struct kx_conf *conf;

	if (kx_conf_load_memory("test.ini", ini, strlen(ini), &conf, errs) != 0)
		fail_msg("%s", errs->text[0]);
	free(errs);
	return conf;
}

struct rig *rig_new(const char *ini, uint32_t lcore_index, uint32_t lcore_count)
{
	return rig_new_slices(ini, lcore_index, lcore_count, UINT32_MAX);
}

static void broker_new(struct rig *r, uint32_t lcore_index, uint32_t lcore_count, uint32_t slice_min_bytes)
{
	struct kx_broker_config config = {.conf = r->conf,
		.lcore_index = lcore_index,
		.lcore_count = lcore_count,
		.boot_id = 77,
		.secrets = &r->secrets,
		.transport = {&rig_ops, r},
		.log_memory_bytes = r->conf->memory.log_bytes,
		.datagram_max_bytes = r->datagram_bytes != 0 ? r->datagram_bytes : KX_DATAGRAM_DEFAULT_V4,
		.rx_buffer_frames = 1024,
		.offsets = r->offsets,
		.ledger = &r->ledger,
		.producer_ids = r->ids,
		.fence = r->fence,
		.cut_min_bytes = 512,
		.slice_min_bytes = slice_min_bytes};

	r->now_ns = 1000000000;
	if (!r->peer)
		assert_int_equal(kx_quotas_create(r->conf, r->now_ns, &r->quotas), 0);
	config.quotas = r->quotas;
	r->room = 1024;
	assert_int_equal(kx_audit_create(&r->audit), 0);
	config.audit = r->audit;
	assert_int_equal(posix_memalign((void **)&r->log_memory, r->conf->memory.extent_bytes,
				 r->conf->memory.log_bytes),
		0);
	config.log_memory = r->log_memory;
	assert_int_equal(kx_broker_create(&config, &r->broker), 0);
}

static struct rig *create(const char *ini, uint32_t lcore_index, uint32_t lcore_count,
	uint32_t slice_min_bytes, uint16_t datagram_bytes)
{
	struct rig *r = calloc(1, sizeof(*r));

	r->datagram_bytes = datagram_bytes;
	r->conf = load(ini);
	assert_int_equal(kx_producer_ids_create(
				 r->conf->sessions.max_producer_ids, r->conf->principal_count, 77, &r->ids),
		0);
	assert_int_equal(kx_fence_create(&r->fence), 0);
	assert_int_equal(kx_auth_secrets_init(&r->secrets), 0);
	assert_int_equal(posix_memalign((void **)&r->offsets, KX_CACHE_LINE,
				 r->conf->partition_count * sizeof(*r->offsets)),
		0);
	memset(r->offsets, 0, r->conf->partition_count * sizeof(*r->offsets));
	broker_new(r, lcore_index, lcore_count, slice_min_bytes);
	return r;
}

struct rig *rig_new_slices(
	const char *ini, uint32_t lcore_index, uint32_t lcore_count, uint32_t slice_min_bytes)
{
	return create(ini, lcore_index, lcore_count, slice_min_bytes, 0);
}

struct rig *rig_new_datagrams(const char *ini, uint16_t datagram_bytes)
{
	return create(ini, 0, 1, UINT32_MAX, datagram_bytes);
}

struct rig *rig_new_peer(struct rig *first, uint32_t lcore_index, uint32_t lcore_count)
{
	struct rig *r = calloc(1, sizeof(*r));

	r->peer = true;
	r->conf = first->conf;
	r->ids = first->ids;
	r->fence = first->fence;
	r->secrets = first->secrets;
	r->offsets = first->offsets;
	r->quotas = first->quotas;
	broker_new(r, lcore_index, lcore_count, UINT32_MAX);
	return r;
}

void rig_forget(struct rig *r)
{
	for (unsigned int i = 0; i < r->sent_count; i++)
		free(r->sent[i].data);
	r->sent_count = 0;
}

void rig_free(struct rig *r)
{
	assert_int_equal(kx_ledger_rx_open(&r->ledger), 0);
	assert_int_equal(kx_ledger_tx_open(&r->ledger), 0);
	assert_int_equal(kx_broker_pins(r->broker), 0);
	kx_broker_destroy(r->broker);
	rig_forget(r);
	kx_audit_destroy(r->audit);
	free(r->log_memory);
	if (!r->peer) {
		kx_quotas_destroy(r->quotas);
		kx_producer_ids_destroy(r->ids);
		kx_fence_destroy(r->fence);
		kx_conf_free(r->conf);
		free(r->offsets);
	}
	free(r);
}

enum kx_drop rig_rx(
	struct rig *r, const void *frame, uint32_t bytes, const struct kx_addr *from, uint32_t flags)
{
	uint64_t before[KX_DROP_COUNT];
	uint8_t *copy = malloc(bytes == 0 ? 1 : bytes);
	struct kx_frame f = {.data = copy, .bytes = bytes, .flags = flags, .buf = copy, .rx_ns = r->now_ns};

	memcpy(before, r->ledger.drop, sizeof(before));
	memcpy(copy, frame, bytes);
	f.remote = *from;
	kx_count(&r->ledger.received, 1);
	kx_broker_rx(r->broker, &f, 1, r->now_ns);
	if (f.buf != NULL)
		free(copy);
	for (int i = 0; i < KX_DROP_COUNT; i++)
		if (r->ledger.drop[i] != before[i])
			return (enum kx_drop)i;
	return KX_DROP_NONE;
}

void rig_audited(struct rig *r, uint32_t principal, const char *reason)
{
	struct kx_audit_event e;
	struct kx_text text;
	char buf[256];

	assert_true(kx_audit_get(r->audit, &e));
	kx_text_init(&text, buf, sizeof(buf));
	kx_broker_audit_reason(r->conf, &e, &text);
	assert_string_equal(buf, reason);
	assert_int_equal(kx_broker_audit_principal(r->conf, &e), principal);
}

void rig_turn(struct rig *r, uint64_t ns)
{
	r->now_ns += ns;
	r->port_sent = 0;
	kx_broker_poll(r->broker, r->now_ns);
	kx_broker_flushed(r->broker, r->now_ns);
}

const struct kx_frame_hdr *rig_find(struct rig *r, uint8_t type, unsigned int n)
{
	for (unsigned int i = 0; i < r->sent_count; i++) {
		const struct kx_frame_hdr *h = (const struct kx_frame_hdr *)r->sent[i].data;

		if (h->type == type && n-- == 0)
			return h;
	}
	return NULL;
}

unsigned int rig_count(struct rig *r, uint8_t type)
{
	unsigned int n = 0;

	while (rig_find(r, type, n) != NULL)
		n++;
	return n;
}

/* ---- sessions */

enum kx_drop rig_auth(
	struct rig *r, uint8_t host, uint16_t port, const struct kx_auth *wish, struct rig_session *s)
{
	uint64_t buf[KX_HELLO_BYTES / 8] = {0};
	uint8_t *frame = (uint8_t *)buf;
	struct kx_hello *hello;
	struct kx_auth *auth;
	const struct kx_cookie *cookie;
	char text[32];

	*s = (struct rig_session){.rig = r, .next_pkt = 1, .floor_pkt = 1};
	snprintf(text, sizeof(text), "10.0.0.%u", host);
	assert_int_equal(kx_addr_parse(text, port, &s->addr), 0);
	rig_forget(r);
	hello = (struct kx_hello *)kx_frame_begin(frame, KX_HELLO, 0, 0, 0, 0);
	memset(hello->client_nonce, host, KX_NONCE_BYTES);
	memcpy(hello->client_nonce + 1, &port, 2);
	hello->version_min = hello->version_max = KX_WIRE_VERSION;
	kx_frame_seal(frame, sizeof(buf));
	assert_int_equal(rig_rx(r, frame, sizeof(buf), &s->addr, 0), KX_DROP_NONE);
	assert_int_equal(rig_count(r, KX_COOKIE), 1);
	assert_true(r->sent[0].bytes <= sizeof(buf));
	cookie = rig_body(rig_find(r, KX_COOKIE, 0));

	memset(buf, 0, sizeof(buf));
	auth = (struct kx_auth *)kx_frame_begin(frame, KX_AUTH, 0, 0, 0, 0);
	*auth = *wish;
	memcpy(auth->client_nonce, cookie->client_nonce, KX_NONCE_BYTES);
	memcpy(auth->cookie, cookie->cookie, KX_COOKIE_BYTES);
	memcpy(auth->broker_nonce, cookie->broker_nonce, KX_NONCE_BYTES);
	auth->datagram_bytes = r->datagram_bytes != 0 ? r->datagram_bytes : KX_DATAGRAM_DEFAULT_V4;
	if (r->key != NULL && auth->method != KX_AUTH_NONE)
		kx_auth_sign(r->key, auth);
	kx_frame_seal(frame, sizeof(buf));
	memcpy(s->auth_frame, frame, sizeof(buf));
	rig_forget(r);
	return rig_rx(r, frame, sizeof(buf), &s->addr, 0);
}

void rig_accepted(struct rig_session *s)
{
	struct rig *r = s->rig;

	assert_int_equal(rig_count(r, KX_ACCEPT), 1);
	assert_true(r->sent[0].bytes <= KX_HELLO_BYTES);
	memcpy(&s->accept, rig_body(rig_find(r, KX_ACCEPT, 0)), sizeof(s->accept));
	s->conn_id = s->accept.conn_id;
	s->producer_id = s->accept.producer_id;
	s->producer_epoch = s->accept.producer_epoch;
	s->limit_pkt = s->accept.limit_pkt;
	s->limit_bytes = s->accept.limit_bytes;
}

struct rig_session rig_connect(struct rig *r, uint8_t host, uint16_t port)
{
	const struct kx_auth wish = {.method = KX_AUTH_NONE};
	struct rig_session s;

	assert_int_equal(rig_auth(r, host, port, &wish, &s), KX_DROP_NONE);
	rig_accepted(&s);
	rig_turn(r, 1000);
	rig_forget(r);
	return s;
}

void rig_protect(struct rig_session *s, struct kx_auth_protect *protect)
{
	const struct kx_auth *auth = (const struct kx_auth *)((const struct kx_frame_hdr *)s->auth_frame + 1);
	uint8_t secret[KX_AUTH_SECRET_BYTES];

	kx_auth_session_secret(s->rig->key, auth, secret);
	assert_int_equal(kx_auth_accept_check(secret, &s->accept), 0);
	assert_int_equal(
		kx_auth_protect_init(protect, secret, s->conn_id, false, (enum kx_protect)s->accept.protect),
		0);
	s->protect = protect;
}

void rig_open_sent(struct rig_session *s)
{
	for (unsigned int i = 0; i < s->rig->sent_count; i++) {
		struct rig_sent *sent = &s->rig->sent[i];

		if (!kx_frame_protected(sent->data, sent->bytes) ||
			((const struct kx_frame_hdr *)sent->data)->conn_id != s->conn_id)
			continue;
		assert_int_equal(kx_auth_protect_open(s->protect, sent->data, sent->bytes), 0);
		sent->bytes -= KX_TAG_BYTES;
	}
}

static enum kx_drop seal_and_give(struct rig_session *s, uint8_t *frame, uint32_t bytes, uint32_t flags)
{
	if (s->protect != NULL)
		bytes = kx_auth_protect_seal(s->protect, frame, bytes);
	else
		kx_frame_seal(frame, bytes);
	return rig_rx(s->rig, frame, bytes, &s->addr, flags);
}

enum kx_drop rig_send(struct rig_session *s, uint8_t type, const void *body, uint32_t body_bytes)
{
	uint64_t buf[2048];
	uint64_t pkt_no = s->next_pkt++;
	uint8_t *at = kx_frame_begin((uint8_t *)buf, type, s->conn_id, pkt_no, 0, 0);

	memcpy(at, body, body_bytes);
	((struct kx_frame_hdr *)buf)->flags = s->flags;
	return seal_and_give(s, (uint8_t *)buf, (uint32_t)sizeof(struct kx_frame_hdr) + body_bytes, 0);
}

enum kx_drop rig_produce(struct rig_session *s, uint64_t pkt_no, uint32_t partition, uint64_t first_seq,
	uint32_t records, uint32_t flags)
{
	uint64_t buf[1024];
	uint64_t number = pkt_no != 0 ? pkt_no : s->next_pkt;
	uint8_t *at = kx_frame_begin((uint8_t *)buf, KX_PRODUCE, s->conn_id, number,
		(uint32_t)(number - KX_MIN(number, s->floor_pkt)), 0);
	struct kx_batch_writer w;
	uint32_t bytes;

	kx_batch_begin(&w, at, 8000, partition, s->producer_id, s->producer_epoch, first_seq, 0);
	for (uint32_t i = 0; i < records; i++) {
		uint8_t *value = kx_batch_claim(&w, 64);

		assert_non_null(value);
		memset(value, (int)(first_seq + i), 64);
	}
	bytes = (uint32_t)sizeof(struct kx_frame_hdr) + kx_batch_end(&w);
	s->next_pkt = KX_MAX(s->next_pkt, number + 1);
	return seal_and_give(s, (uint8_t *)buf, bytes, flags);
}

void rig_subscribe(struct rig_session *s, uint32_t partition, uint32_t sub_id, uint64_t from, uint64_t credit)
{
	struct kx_subscribe req = {.request_id = sub_id,
		.partition = partition,
		.start_offset = from,
		.limit_bytes = credit,
		.sub_id = sub_id};

	assert_int_equal(rig_send(s, KX_SUBSCRIBE, &req, sizeof(req)), KX_DROP_NONE);
}

void rig_received(struct rig_session *s)
{
	struct kx_receipt r = {.next_pkt = 1};

	for (unsigned int i = 0; i < s->rig->sent_count; i++) {
		const struct kx_frame_hdr *h = (const struct kx_frame_hdr *)s->rig->sent[i].data;

		if (h->conn_id == s->conn_id)
			r.largest_pkt = KX_MAX(r.largest_pkt, h->pkt_no);
	}
	r.next_pkt = r.largest_pkt + 1;
	assert_int_equal(rig_send(s, KX_RX_ACK, &r, sizeof(r)), KX_DROP_NONE);
}

void rig_credit(struct rig_session *s, uint32_t sub_id, uint64_t next_offset, uint64_t limit_bytes)
{
	struct {
		struct kx_receipt r;
		struct kx_credit_entry e;
	} body = {.r = {.next_pkt = 1, .entry_count = 1},
		.e = {.sub_id = sub_id,
			.next_offset = next_offset,
			.limit_bytes = limit_bytes,
			.done_offset = next_offset}};

	assert_int_equal(rig_send(s, KX_CREDIT, &body, sizeof(body)), KX_DROP_NONE);
}
