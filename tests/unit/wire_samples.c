/* SPDX-License-Identifier: BSD-3-Clause */
#include "wire_samples.h"

#include <stdio.h>
#include <string.h>

#define CONN 0x1122334455667788u
#define PKT  1000u
#define FLR  17u
#define SUB  0x5bu
#define BOOT 0xb007b007b0070001u
#define TIME 0x0102030405060708u

/* `count` bytes first, first + 1, ... */
static void run(uint8_t *p, uint8_t first, size_t count)
{
	for (size_t i = 0; i < count; i++)
		p[i] = (uint8_t)(first + i);
}

static size_t seal(uint8_t *data, size_t bytes)
{
	kx_frame_seal(data, bytes);
	return bytes;
}

/* A frame with a body of `bytes` bytes. */
static size_t whole(uint8_t *data, enum kx_frame_type type, uint32_t handle, const void *body, size_t bytes)
{
	memcpy(kx_frame_begin(data, type, CONN, PKT, FLR, handle), body, bytes);
	return seal(data, sizeof(struct kx_frame_hdr) + bytes);
}

static size_t setup(
	uint8_t *data, enum kx_frame_type type, const void *body, size_t bytes, size_t frame_bytes)
{
	memset(data, 0, frame_bytes);
	memcpy(kx_frame_begin(data, type, 0, 0, 0, 0), body, bytes);
	return seal(data, frame_bytes);
}

static size_t hello(uint8_t *data)
{
	struct kx_hello b = {.version_min = 1, .version_max = 1, .client_time = TIME};

	run(b.client_nonce, 0x10, KX_NONCE_BYTES);
	return setup(data, KX_HELLO, &b, sizeof(b), KX_HELLO_BYTES);
}

static size_t cookie(uint8_t *data)
{
	struct kx_cookie b = {.client_time = TIME, .boot_id = BOOT};

	run(b.client_nonce, 0x10, KX_NONCE_BYTES);
	run(b.cookie, 0x40, KX_COOKIE_BYTES);
	run(b.broker_nonce, 0x20, KX_NONCE_BYTES);
	return setup(data, KX_COOKIE, &b, sizeof(b), sizeof(struct kx_frame_hdr) + sizeof(b));
}

static size_t auth(uint8_t *data, uint8_t method, uint16_t datagram, uint8_t protect, uint64_t producer_id)
{
	static const char principal[] = "alice";
	struct kx_auth b = {
		.method = method, .datagram_bytes = datagram, .protect = protect, .producer_id = producer_id};

	run(b.client_nonce, 0x10, KX_NONCE_BYTES);
	run(b.cookie, 0x40, KX_COOKIE_BYTES);
	run(b.broker_nonce, 0x20, KX_NONCE_BYTES);
	if (method != KX_AUTH_NONE)
		run(b.mac, 0xd0, sizeof(b.mac));
	if (method == KX_AUTH_TICKET)
		run(b.ticket, 0x80, sizeof(b.ticket));
	b.principal_bytes = (uint8_t)strlen(principal);
	memcpy(b.principal, principal, b.principal_bytes);
	return setup(data, KX_AUTH, &b, sizeof(b), KX_HELLO_BYTES);
}

static size_t auth_none(uint8_t *data)
{
	return auth(data, KX_AUTH_NONE, 1372, KX_PROTECT_PLAIN, 0);
}

static size_t auth_hmac(uint8_t *data)
{
	return auth(data, KX_AUTH_HMAC_SHA256, 1372, KX_PROTECT_AEAD, 0xabcdef);
}

static size_t auth_ticket(uint8_t *data)
{
	return auth(data, KX_AUTH_TICKET, 8972, KX_PROTECT_MAC, 0);
}

static size_t accept_frame(uint8_t *data)
{
	struct kx_accept b = {.conn_id = CONN,
		.boot_id = BOOT,
		.producer_id = 0xabcdef,
		.producer_epoch = 3,
		.config_generation = 9,
		.base_port = 9000,
		.lcore_count = 4,
		.lcore_index = 1,
		.datagram_bytes = 1372,
		.idle_timeout_ms = 30000,
		.heartbeat_ms = 250,
		.limit_pkt = 257,
		.limit_bytes = 1 << 20,
		.durability = KX_MEMORY,
		.protect = KX_PROTECT_AEAD,
		.principal_id = 5};

	run(b.client_nonce, 0x10, KX_NONCE_BYTES);
	run(b.ticket, 0x80, sizeof(b.ticket));
	run(b.mac, 0xd0, sizeof(b.mac));
	return setup(data, KX_ACCEPT, &b, sizeof(b), sizeof(struct kx_frame_hdr) + sizeof(b));
}

static size_t refuse_setup(uint8_t *data)
{
	struct kx_refuse b = {.code = KX_CODE_SESSIONS_FULL};

	run(b.client_nonce, 0x10, KX_NONCE_BYTES);
	run(b.mac, 0xd0, sizeof(b.mac));
	return setup(data, KX_REFUSE, &b, sizeof(b), sizeof(struct kx_frame_hdr) + sizeof(b));
}

static size_t refuse_request(uint8_t *data)
{
	return whole(data, KX_REFUSE, 0, &(struct kx_refuse){.code = KX_CODE_BAD_REQUEST, .request_id = 77},
		sizeof(struct kx_refuse));
}

static size_t reset(uint8_t *data)
{
	struct kx_reset b = {.boot_id = BOOT, .pkt_no = 4711};

	memcpy(kx_frame_begin(data, KX_RESET, CONN, 0, 0, 0), &b, sizeof(b));
	return seal(data, sizeof(struct kx_frame_hdr) + sizeof(b));
}

static size_t close_frame(uint8_t *data)
{
	return whole(data, KX_CLOSE, 0, &(struct kx_close){.code = KX_CODE_OK}, sizeof(struct kx_close));
}

static size_t close_broker(uint8_t *data)
{
	return whole(
		data, KX_CLOSE, 0, &(struct kx_close){.code = KX_CODE_STOPPING}, sizeof(struct kx_close));
}

static size_t ping(uint8_t *data)
{
	return whole(data, KX_PING, 0, &(struct kx_ping){.token = 0xfeed, .client_time = TIME},
		sizeof(struct kx_ping));
}

static size_t pong(uint8_t *data)
{
	struct kx_pong b = {.token = 0xfeed, .client_time = TIME, .residence_ns = 1500, .lcore_index = 3};

	return whole(data, KX_PONG, 0, &b, sizeof(b));
}

static const struct kx_receipt receipt = {.next_pkt = 900,
	.largest_pkt = 950,
	.limit_pkt = 2000,
	.limit_bytes = UINT64_C(1) << 33,
	.ack_delay_ns = 12345};

static size_t heartbeat_client(uint8_t *data)
{
	return whole(data, KX_HEARTBEAT, 0, &receipt, sizeof(receipt));
}

static size_t heartbeat_broker(uint8_t *data)
{
	struct {
		struct kx_receipt r;
		struct kx_heartbeat_entry e[2];
	} b = {receipt, {{SUB, 2, 70017}, {SUB + 1, 1, 5}}};

	b.r.entry_count = 2;
	return whole(data, KX_HEARTBEAT, 0, &b, sizeof(b));
}

static size_t metadata_req(uint8_t *data)
{
	struct kx_metadata_req b = {.request_id = 77, .first_index = 2, .topic_bytes = 6, .topic = "orders"};

	return whole(data, KX_METADATA_REQ, 0, &b, sizeof(b));
}

static size_t metadata(uint8_t *data)
{
	struct {
		struct kx_metadata m;
		struct kx_metadata_entry e[2];
	} b = {{.request_id = 77,
		       .partition_count = 4,
		       .first_index = 2,
		       .entry_count = 2,
		       .durability = KX_MEMORY,
		       .overrun = 1,
		       .max_message_bytes = 1 << 20,
		       .config_generation = 9},
		{{0}}};

	for (unsigned int i = 0; i < 2; i++)
		b.e[i] = (struct kx_metadata_entry){.partition = 8 + i,
			.owner_port = (uint16_t)(9002 + i),
			.index = (uint16_t)(2 + i),
			.log_epoch = 2,
			.first_offset = 10,
			.committed_offset = 20,
			.next_offset = 32 + i};
	return whole(data, KX_METADATA, 0, &b, sizeof(b));
}

static size_t metadata_unknown(uint8_t *data)
{
	struct kx_metadata b = {.request_id = 78, .code = KX_CODE_UNKNOWN_TOPIC, .config_generation = 9};

	return whole(data, KX_METADATA, 0, &b, sizeof(b));
}

static size_t topics_req(uint8_t *data)
{
	return whole(data, KX_TOPICS_REQ, 0, &(struct kx_topics_req){.request_id = 79},
		sizeof(struct kx_topics_req));
}

static size_t topics(uint8_t *data)
{
	struct {
		struct kx_topics t;
		struct kx_topics_entry e[2];
	} b = {{.request_id = 79, .topic_count = 3, .entry_count = 2},
		{{.partition_count = 4,
			 .durability = KX_MEMORY,
			 .overrun = 1,
			 .name_bytes = 6,
			 .name = "orders"},
			{.partition_count = 1, .durability = KX_SYNCED, .name_bytes = 63}}};

	memset(b.e[1].name, 't', 63);
	return whole(data, KX_TOPICS, 0, &b, sizeof(b));
}

static size_t subscribe(uint8_t *data)
{
	struct kx_subscribe b = {.request_id = 80,
		.partition = 6,
		.start_offset = KX_OFFSET_EARLIEST,
		.limit_bytes = 1 << 20,
		.sub_id = SUB};

	return whole(data, KX_SUBSCRIBE, 0, &b, sizeof(b));
}

static size_t subscribed(uint8_t *data)
{
	struct kx_subscribed b = {.request_id = 80,
		.sub_id = SUB,
		.partition = 6,
		.log_epoch = 2,
		.start_offset = 10,
		.next_offset = 32};

	return whole(data, KX_SUBSCRIBED, 0, &b, sizeof(b));
}

static size_t unsubscribe(uint8_t *data)
{
	struct kx_unsubscribe b = {.request_id = 81, .sub_id = SUB};

	return whole(data, KX_UNSUBSCRIBE, 0, &b, sizeof(b));
}

static size_t unsubscribed(uint8_t *data)
{
	struct kx_unsubscribe b = {.request_id = 81, .sub_id = SUB};

	return whole(data, KX_UNSUBSCRIBED, 0, &b, sizeof(b));
}

static size_t notice(uint8_t *data)
{
	struct kx_notice b = {.code = KX_NOTICE_OFFSET_TRIMMED, .log_epoch = 2, .offset = 70000};

	return whole(data, KX_NOTICE, SUB, &b, sizeof(b));
}

static size_t not_owner(uint8_t *data)
{
	struct kx_not_owner b = {.pkt_no = 990, .partition = 6, .owner_port = 9002};

	return whole(data, KX_NOT_OWNER, 0, &b, sizeof(b));
}

static size_t produce_refused(uint8_t *data)
{
	struct kx_produce_refused b = {.pkt_no = 990,
		.partition = 6,
		.code = KX_CODE_TOO_LARGE,
		.first_seq = 4000,
		.detail = 1 << 20};

	return whole(data, KX_PRODUCE_REFUSED, 0, &b, sizeof(b));
}

static void begin(struct kx_batch_writer *w, uint8_t *p, uint32_t partition, uint64_t seq, uint64_t stream)
{
	kx_batch_begin(w, p, SAMPLE_BYTES_MAX - 256, partition, 0xabcdef, 3, seq, stream);
}

/* The 17 records of 64 bytes of a full frame. */
static uint32_t put_plain(uint8_t *p, uint64_t stream)
{
	struct kx_batch_writer w;

	begin(&w, p, 6, 4000, stream);
	for (unsigned int i = 0; i < 17; i++)
		run(kx_batch_claim(&w, 64), (uint8_t)i, 64);
	return kx_batch_end(&w);
}

static void put_full_record(struct kx_batch_writer *w, const char *key, uint64_t timestamp_ns, uint8_t first,
	uint32_t bytes, const struct kx_header_view *headers, unsigned int header_count)
{
	struct kx_record r = {.key = (const uint8_t *)key,
		.key_bytes = (uint16_t)(key ? strlen(key) : 0),
		.timestamp_ns = timestamp_ns,
		.value_bytes = bytes};

	run(kx_batch_claim_full(w, &r, headers, header_count), first, bytes);
}

/* Records with every optional part. */
static uint32_t put_full(uint8_t *p, uint64_t seq)
{
	struct kx_header_view two[2] = {
		{(const uint8_t *)"trace", (const uint8_t *)"0123456789abcdef", 5, 16},
		{(const uint8_t *)"n", NULL, 1, 0}};
	struct kx_header_view all[KX_REC_HEADERS_MAX];
	char names[KX_REC_HEADERS_MAX][4];
	uint8_t values[KX_REC_HEADERS_MAX][KX_REC_HEADERS_MAX];
	struct kx_batch_writer w;

	for (unsigned int i = 0; i < KX_REC_HEADERS_MAX; i++) {
		snprintf(names[i], sizeof(names[i]), "h%02u", i % 100);
		run(values[i], (uint8_t)i, i);
		all[i] = (struct kx_header_view){(const uint8_t *)names[i], values[i], 3, (uint16_t)i};
	}
	begin(&w, p, 6, seq, 0);
	memcpy(kx_batch_claim(&w, 10), "value only", 10);
	put_full_record(&w, "k", 0, 0, 0, NULL, 0);
	put_full_record(&w, "order-42", 0, 1, 8, NULL, 0);
	put_full_record(&w, NULL, 1700000000000000001, 2, 13, NULL, 0);
	put_full_record(&w, NULL, 0, 3, 21, two, 2);
	put_full_record(&w, "customer/7", 1700000000000000002, 4, 100, all, KX_REC_HEADERS_MAX);
	put_full_record(&w, NULL, 0, 0, 0, NULL, 0);
	return kx_batch_end(&w);
}

static uint32_t put_text(uint8_t *p, uint32_t partition, uint64_t seq, uint64_t stream, const char *text)
{
	struct kx_batch_writer w;

	begin(&w, p, partition, seq, stream);
	for (; *text; text += strlen(text) + 1)
		memcpy(kx_batch_claim(&w, (uint32_t)strlen(text)), text, strlen(text));
	return kx_batch_end(&w);
}

static void stamp(uint8_t *p, uint64_t offset)
{
	kx_batch_stamp((struct kx_batch_hdr *)p, offset, 2, 1700000000123456789);
}

static size_t produce(uint8_t *data)
{
	uint8_t *p = kx_frame_begin(data, KX_PRODUCE, CONN, PKT, FLR, 0);

	((struct kx_frame_hdr *)data)->flags = KX_FLAG_MORE;
	return seal(data, sizeof(struct kx_frame_hdr) + put_plain(p, 9));
}

static size_t produce_full(uint8_t *data)
{
	uint8_t *p = kx_frame_begin(data, KX_PRODUCE, CONN, PKT, FLR, 0);

	return seal(data, sizeof(struct kx_frame_hdr) + put_full(p, 4000));
}

static size_t produce_two(uint8_t *data)
{
	uint8_t *p = kx_frame_begin(data, KX_PRODUCE, CONN, PKT, FLR, 0);

	p += put_text(p, 6, 4000, 1, "first\0");
	p += put_text(p, 7, 0, 0, "second\0third\0");
	return seal(data, (size_t)(p - data));
}

static size_t produce_ext(uint8_t *data)
{
	struct kx_ext *e = (struct kx_ext *)kx_frame_begin(data, KX_PRODUCE, CONN, PKT, FLR, 0);
	uint8_t *p = (uint8_t *)(e + 3);

	e[0] = (struct kx_ext){.type = 200, .words = 1, .flags = KX_EXT_IGNORABLE, .value = 5};
	e[1] = (struct kx_ext){.type = 201, .words = 2, .flags = KX_EXT_IGNORABLE, .value = 6};
	memcpy(&e[2], &(uint64_t){7}, 8);
	((struct kx_frame_hdr *)data)->ext_words = 3;
	p += put_text(p, 6, 4000, 0, "x\0");
	return seal(data, (size_t)(p - data));
}

static size_t deliver(uint8_t *data)
{
	uint8_t *p = kx_frame_begin(data, KX_DELIVER, CONN, PKT, FLR, SUB);
	uint32_t bytes = put_plain(p, 9);

	stamp(p, 70000);
	return seal(data, sizeof(struct kx_frame_hdr) + bytes);
}

static size_t deliver_full(uint8_t *data)
{
	uint8_t *p = kx_frame_begin(data, KX_DELIVER, CONN, PKT, FLR, SUB);
	uint32_t bytes = put_text(p, 6, 4000, 3, "before\0");

	stamp(p, 69999);
	p += bytes;
	bytes = put_full(p, 4001);
	stamp(p, 70000);
	return seal(data, (size_t)(p + bytes - data));
}

/* The part of a batch of one 1500-byte record that starts at `offset`. */
static size_t frag(uint8_t *data, enum kx_frame_type type, uint32_t offset, uint64_t first)
{
	uint8_t batch[2048] KX_ALIGNED(8);
	struct kx_frag *f = (struct kx_frag *)kx_frame_begin(
		data, type, CONN, PKT, FLR, type == KX_DELIVER_FRAG ? SUB : 0);
	struct kx_record r = {.key = (const uint8_t *)"large", .key_bytes = 5, .value_bytes = 1500};
	struct kx_batch_writer w;
	uint32_t bytes;

	kx_batch_begin(&w, batch, sizeof(batch), 6, 0xabcdef, 3, 77, 5);
	run(kx_batch_claim_full(&w, &r, NULL, 0), 7, 1500);
	bytes = kx_batch_end(&w);
	if (type == KX_DELIVER_FRAG)
		stamp(batch, first);
	*f = (struct kx_frag){.partition = 6,
		.batch_bytes = bytes,
		.frag_offset = offset,
		.frag_bytes = KX_MIN(600, bytes - offset),
		.first = first,
		.part_bytes = 600};
	memcpy(f + 1, batch + offset, f->frag_bytes);
	f->frag_crc = kx_crc32c(0, f + 1, f->frag_bytes);
	return seal(data, sizeof(struct kx_frame_hdr) + sizeof(*f) + f->frag_bytes);
}

static size_t produce_frag(uint8_t *data)
{
	return frag(data, KX_PRODUCE_FRAG, 600, 77);
}

static size_t deliver_frag(uint8_t *data)
{
	return frag(data, KX_DELIVER_FRAG, 1200, 70000);
}

static size_t rx_ack(uint8_t *data)
{
	struct {
		struct kx_receipt r;
		struct kx_ack_range range[3];
	} b = {receipt, {{1, 4}, {6, 1}, {40, 11}}};

	b.r.range_count = 3;
	return whole(data, KX_RX_ACK, 0, &b, sizeof(b));
}

static size_t rx_ack_client(uint8_t *data)
{
	struct kx_receipt r = receipt;

	r.next_pkt = 951;
	return whole(data, KX_RX_ACK, 0, &r, sizeof(r));
}

static size_t commit_ack(uint8_t *data)
{
	struct {
		struct kx_receipt r;
		struct kx_commit_entry e[2];
	} b = {receipt, {{0}}};

	b.r.entry_count = 2;
	b.r.blocked = KX_BLOCKED_LOG;
	for (unsigned int i = 0; i < 2; i++)
		b.e[i] = (struct kx_commit_entry){.partition = 6 + i,
			.level = (uint8_t)(KX_MEMORY + i),
			.log_epoch = 2,
			.producer_epoch = 3,
			.next_seq = 4017,
			.next_offset = 70017};
	return whole(data, KX_COMMIT_ACK, 0, &b, sizeof(b));
}

static size_t nak(uint8_t *data)
{
	struct {
		struct kx_nak n;
		struct kx_nak_entry e[2];
	} b = {{.entry_count = 2}, {{0, KX_NAK_PKTS, 900, 900}, {0, KX_NAK_PKTS, 905, 910}}};

	return whole(data, KX_NAK, 0, &b, sizeof(b));
}

static size_t nak_client(uint8_t *data)
{
	struct {
		struct kx_nak n;
		struct kx_nak_entry e[2];
	} b = {{.entry_count = 2},
		{{SUB, KX_NAK_OFFSETS, 70000, 70016},
			{SUB, KX_NAK_BYTES, 70017, UINT64_C(1200) << 32 | 600}}};

	return whole(data, KX_NAK, 0, &b, sizeof(b));
}

static size_t credit(uint8_t *data)
{
	struct {
		struct kx_receipt r;
		struct kx_credit_entry e[2];
	} b = {receipt, {{SUB, 0, 70000, 1 << 24, 69990}, {SUB + 1, 0, 70001, 1 << 24, 69991}}};

	b.r.entry_count = 2;
	return whole(data, KX_CREDIT, 0, &b, sizeof(b));
}

static size_t resume(uint8_t *data)
{
	struct {
		struct kx_resume b;
		struct kx_resume_entry e[2];
	} b = {{.boot_id = BOOT,
		       .producer_id = 0xabcdef,
		       .producer_epoch = 3,
		       .request_id = 82,
		       .entry_count = 2},
		{{6, 2, 4000, 70000, KX_MEMORY, 0}, {7, 2, 4001, 70001, KX_MEMORY, 0}}};

	return whole(data, KX_RESUME, 0, &b, sizeof(b));
}

static size_t resumed(uint8_t *data)
{
	struct {
		struct kx_resumed b;
		struct kx_resumed_entry e[3];
	} b = {{82, 3},
		{{6, KX_CODE_OK, 4017, 70017}, {7, KX_CODE_LOST, 0, 0}, {8, KX_CODE_UNKNOWN_FATE, 0, 0}}};

	return whole(data, KX_RESUMED, 0, &b, sizeof(b));
}

static size_t path(uint8_t *data, enum kx_frame_type type)
{
	struct kx_path_token b;

	run(b.token, 0x60, sizeof(b.token));
	return whole(data, type, 0, &b, sizeof(b));
}

static size_t path_challenge(uint8_t *data)
{
	return path(data, KX_PATH_CHALLENGE);
}

static size_t path_response(uint8_t *data)
{
	return path(data, KX_PATH_RESPONSE);
}

static size_t mtu(uint8_t *data, enum kx_frame_type type)
{
	struct {
		struct kx_mtu b;
		uint8_t padding[1432];
	} b = {.b = {.size = 1472, .proven_bytes = 1372}};

	return whole(data, type, 0, &b, sizeof(b));
}

static size_t mtu_probe(uint8_t *data)
{
	return mtu(data, KX_MTU_PROBE);
}

static size_t mtu_probed(uint8_t *data)
{
	return mtu(data, KX_MTU_PROBED);
}

#define CLIENT(type, fn)                                                                                     \
	{                                                                                                    \
#fn, KX_FROM_CLIENT, KX_##type, fn                                                           \
	}
#define BROKER(type, fn)                                                                                     \
	{                                                                                                    \
#fn, KX_FROM_BROKER, KX_##type, fn                                                           \
	}
const struct wire_sample wire_samples[] = {
	CLIENT(HELLO, hello),
	BROKER(COOKIE, cookie),
	CLIENT(AUTH, auth_none),
	CLIENT(AUTH, auth_hmac),
	CLIENT(AUTH, auth_ticket),
	{"accept", KX_FROM_BROKER, KX_ACCEPT, accept_frame},
	BROKER(REFUSE, refuse_setup),
	BROKER(REFUSE, refuse_request),
	BROKER(RESET, reset),
	{"close", KX_FROM_CLIENT, KX_CLOSE, close_frame},
	BROKER(CLOSE, close_broker),
	CLIENT(PING, ping),
	BROKER(PONG, pong),
	CLIENT(HEARTBEAT, heartbeat_client),
	BROKER(HEARTBEAT, heartbeat_broker),
	CLIENT(METADATA_REQ, metadata_req),
	BROKER(METADATA, metadata),
	BROKER(METADATA, metadata_unknown),
	CLIENT(TOPICS_REQ, topics_req),
	BROKER(TOPICS, topics),
	CLIENT(SUBSCRIBE, subscribe),
	BROKER(SUBSCRIBED, subscribed),
	CLIENT(UNSUBSCRIBE, unsubscribe),
	BROKER(UNSUBSCRIBED, unsubscribed),
	BROKER(NOTICE, notice),
	BROKER(NOT_OWNER, not_owner),
	BROKER(PRODUCE_REFUSED, produce_refused),
	CLIENT(PRODUCE, produce),
	CLIENT(PRODUCE, produce_full),
	CLIENT(PRODUCE, produce_two),
	CLIENT(PRODUCE, produce_ext),
	BROKER(DELIVER, deliver),
	BROKER(DELIVER, deliver_full),
	CLIENT(PRODUCE_FRAG, produce_frag),
	BROKER(DELIVER_FRAG, deliver_frag),
	BROKER(RX_ACK, rx_ack),
	CLIENT(RX_ACK, rx_ack_client),
	BROKER(COMMIT_ACK, commit_ack),
	BROKER(NAK, nak),
	CLIENT(NAK, nak_client),
	CLIENT(CREDIT, credit),
	CLIENT(RESUME, resume),
	BROKER(RESUMED, resumed),
	BROKER(PATH_CHALLENGE, path_challenge),
	CLIENT(PATH_RESPONSE, path_response),
	CLIENT(MTU_PROBE, mtu_probe),
	BROKER(MTU_PROBED, mtu_probed),
};
const unsigned int wire_sample_count = KX_DIM(wire_samples);

const struct wire_sample *wire_sample_find(const char *name)
{
	for (unsigned int i = 0; i < wire_sample_count; i++) {
		if (strcmp(wire_samples[i].name, name) == 0)
			return &wire_samples[i];
	}
	return NULL;
}
