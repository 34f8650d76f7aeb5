/* SPDX-License-Identifier: BSD-3-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "hostile_fields.h"
#include "wire_repair.h"

/* ---- bodies of several parts */

/* Two records: a plain one, and one with everything a record may have. */
struct produce_body {
	struct kx_batch_hdr batch;
	struct kx_record_hdr plain;
	uint8_t plain_value[8];
	struct kx_record_hdr full;
	uint64_t timestamp_ns;
	uint8_t key[8];
	struct kx_rec_headers headers;
	uint16_t name_bytes, header_bytes; /* of its one header */
	uint8_t name[2], header[2];
	uint8_t value[8];
};
/* A kx_nak_entry of kind BYTES: its `last` is two numbers. */
struct nak_bytes {
	uint32_t handle, kind;
	uint64_t first;
	uint32_t begin, end;
};
/* The last one shows that a wrong first one is not the whole frame. */
struct nak_body {
	struct kx_nak nak;
	struct kx_nak_entry offsets;
	struct nak_bytes bytes;
	struct kx_nak_entry last;
};
_Static_assert(sizeof(struct nak_bytes) == sizeof(struct kx_nak_entry), "NAK of bytes");

/* ---- the table: tests/hostile_table.py compares it with the structures of kx_wire.h */

#define SIZE(s, f) ((uint32_t)sizeof(((struct s *)0)->f))
#define HEAD(f)	   (uint32_t) offsetof(struct kx_frame_hdr, f), SIZE(kx_frame_hdr, f)
#define BODY(s, f) (uint32_t)(sizeof(struct kx_frame_hdr) + offsetof(struct s, f)), SIZE(s, f)
#define NEXT(before, s, f)                                                                                   \
	(uint32_t)(sizeof(struct kx_frame_hdr) + sizeof(struct before) + offsetof(struct s, f)), SIZE(s, f)
#define BYTE(s, f, i) (uint32_t)(sizeof(struct kx_frame_hdr) + offsetof(struct s, f) + (i)), 1
#define PART(whole, part, s, f)                                                                              \
	(uint32_t)(sizeof(struct kx_frame_hdr) + offsetof(struct whole, part) + offsetof(struct s, f)),      \
		SIZE(s, f)
#define EXT(f) (uint32_t)(sizeof(struct kx_frame_hdr) + offsetof(struct kx_ext, f)), SIZE(kx_ext, f)
#define U64    UINT64_MAX
#define U32    UINT32_MAX
#define U16    UINT16_MAX
#define FIELD  KX_DROP_FRAME_FIELD
#define LENGTH KX_DROP_FRAME_LENGTH
#define ANY    HOSTILE_ANY
#define NONE   KX_DROP_NONE /* nothing lies outside */
/* The receipt of a frame whose next_pkt is 1; `high`: of next_pkt, `low`: of largest_pkt. */
#define RECEIPT(type, high, low)                                                                             \
	{type, "next_pkt", BODY(kx_receipt, next_pkt), 1, high, FIELD},                                      \
		{type, "largest_pkt", BODY(kx_receipt, largest_pkt), low, KX_ACK_WINDOW_PKTS, FIELD},        \
		{type, "limit_pkt", BODY(kx_receipt, limit_pkt), 0, U64, NONE},                              \
		{type, "limit_bytes", BODY(kx_receipt, limit_bytes), 0, U64, NONE},                          \
		{type, "ack_delay_ns", BODY(kx_receipt, ack_delay_ns), 0, U32, NONE},                        \
	{                                                                                                    \
		type, "blocked", BODY(kx_receipt, blocked), 0, KX_BLOCKED_DISK, FIELD                        \
	}

const struct hostile_field hostile_fields[] = {
	{0, "version", HEAD(version), 1, 1, KX_DROP_FRAME_VERSION},
	{0, "ext_words", HEAD(ext_words), 0, 0, ANY},
	{0, "type of TLV", EXT(type), 0, 255, NONE, HOSTILE_IN_EXT},
	{0, "words of TLV", EXT(words), 1, 1, KX_DROP_FRAME_EXTENSION, HOSTILE_IN_EXT},
	{0, "flags of TLV", EXT(flags), KX_EXT_IGNORABLE, KX_EXT_IGNORABLE, KX_DROP_FRAME_EXTENSION,
		HOSTILE_IN_EXT},
	{0, "zero of TLV", EXT(zero), 0, 0, KX_DROP_FRAME_EXTENSION, HOSTILE_IN_EXT},
	{0, "value of TLV", EXT(value), 0, U32, NONE, HOSTILE_IN_EXT},
	{HOSTILE_SESSION, "conn_id", HEAD(conn_id), 1, U64, FIELD},
	{HOSTILE_SESSION, "pkt_no", HEAD(pkt_no), 1, U64, FIELD},
	{HOSTILE_SESSION, "floor_delta", HEAD(floor_delta), 0, HOSTILE_NEXT_PKT, FIELD},
	{HOSTILE_SESSION, "handle", HEAD(handle), 0, 0, FIELD},

	{KX_HELLO, "conn_id", HEAD(conn_id), 0, 0, FIELD},
	{KX_HELLO, "pkt_no", HEAD(pkt_no), 0, 0, FIELD},
	{KX_HELLO, "floor_delta", HEAD(floor_delta), 0, 0, FIELD},
	{KX_HELLO, "handle", HEAD(handle), 0, 0, FIELD},
	{KX_HELLO, "client_nonce", BODY(kx_hello, client_nonce), 0, U64, NONE},
	{KX_HELLO, "version_min", BODY(kx_hello, version_min), 1, 1, FIELD},
	{KX_HELLO, "version_max", BODY(kx_hello, version_max), 1, 255, FIELD},
	{KX_HELLO, "zero", BYTE(kx_hello, zero, 5), 0, 0, FIELD},
	{KX_HELLO, "client_time", BODY(kx_hello, client_time), 0, U64, NONE},
	{KX_HELLO, "padding", KX_HELLO_BYTES - 8, 8, 0, 0, FIELD},

	{KX_AUTH, "conn_id", HEAD(conn_id), 0, 0, FIELD},
	{KX_AUTH, "pkt_no", HEAD(pkt_no), 0, 0, FIELD},
	{KX_AUTH, "floor_delta", HEAD(floor_delta), 0, 0, FIELD},
	{KX_AUTH, "handle", HEAD(handle), 0, 0, FIELD},
	/* these three also byte by byte: forged_cookies() of test_hostile_sessions.c */
	{KX_AUTH, "client_nonce", BODY(kx_auth, client_nonce), 0, U64, NONE},
	{KX_AUTH, "cookie", BODY(kx_auth, cookie), 0, U64, NONE},
	{KX_AUTH, "broker_nonce", BODY(kx_auth, broker_nonce), 0, U64, NONE},
	{KX_AUTH, "method", BODY(kx_auth, method), KX_AUTH_NONE, KX_AUTH_TICKET, FIELD},
	{KX_AUTH, "principal_bytes", BODY(kx_auth, principal_bytes), 0, KX_PRINCIPAL_NAME_MAX, FIELD},
	{KX_AUTH, "datagram_bytes", BODY(kx_auth, datagram_bytes), KX_DATAGRAM_MIN_BYTES, U16, FIELD},
	{KX_AUTH, "protect", BODY(kx_auth, protect), KX_PROTECT_PLAIN, KX_PROTECT_AEAD, FIELD},
	{KX_AUTH, "zero", BYTE(kx_auth, zero, 2), 0, 0, FIELD},
	{KX_AUTH, "mac", BYTE(kx_auth, mac, 31), 0, 0, FIELD},
	{KX_AUTH, "ticket", BYTE(kx_auth, ticket, 79), 0, 0, FIELD},
	{KX_AUTH, "principal", BYTE(kx_auth, principal, 0), 0, 0, FIELD},
	{KX_AUTH, "producer_id", BODY(kx_auth, producer_id), 0, U64, NONE},
	{KX_AUTH, "padding", KX_HELLO_BYTES - 8, 8, 0, 0, FIELD},

	{KX_CLOSE, "code", BODY(kx_close, code), 0, U32, NONE},
	{KX_CLOSE, "zero", BODY(kx_close, zero), 0, 0, FIELD},

	{KX_PING, "token", BODY(kx_ping, token), 0, U64, NONE},
	{KX_PING, "client_time", BODY(kx_ping, client_time), 0, U64, NONE},

	RECEIPT(KX_HEARTBEAT, 2, 0),
	{KX_HEARTBEAT, "range_count", BODY(kx_receipt, range_count), 0, 0, FIELD},
	{KX_HEARTBEAT, "entry_count", BODY(kx_receipt, entry_count), 0, 0, LENGTH},

	{KX_METADATA_REQ, "request_id", BODY(kx_metadata_req, request_id), 0, U32, NONE},
	{KX_METADATA_REQ, "first_index", BODY(kx_metadata_req, first_index), 0, U16, NONE},
	{KX_METADATA_REQ, "topic_bytes", BODY(kx_metadata_req, topic_bytes), 4, KX_TOPIC_NAME_MAX, FIELD},
	{KX_METADATA_REQ, "zero", BODY(kx_metadata_req, zero), 0, 0, FIELD},
	{KX_METADATA_REQ, "topic", BYTE(kx_metadata_req, topic, 63), 0, 0, FIELD},

	{KX_TOPICS_REQ, "request_id", BODY(kx_topics_req, request_id), 0, U32, NONE},
	{KX_TOPICS_REQ, "first_index", BODY(kx_topics_req, first_index), 0, U32, NONE},

	{KX_SUBSCRIBE, "request_id", BODY(kx_subscribe, request_id), 0, U32, NONE},
	{KX_SUBSCRIBE, "partition", BODY(kx_subscribe, partition), 0, U32, NONE},
	{KX_SUBSCRIBE, "start_offset", BODY(kx_subscribe, start_offset), 0, U64, NONE},
	{KX_SUBSCRIBE, "limit_bytes", BODY(kx_subscribe, limit_bytes), 0, U64, NONE},
	{KX_SUBSCRIBE, "sub_id", BODY(kx_subscribe, sub_id), 1, U32, FIELD},
	{KX_SUBSCRIBE, "zero", BODY(kx_subscribe, zero), 0, 0, FIELD},

	{KX_UNSUBSCRIBE, "request_id", BODY(kx_unsubscribe, request_id), 0, U32, NONE},
	{KX_UNSUBSCRIBE, "sub_id", BODY(kx_unsubscribe, sub_id), 1, U32, FIELD},

	{KX_PRODUCE, "header_crc", BODY(kx_batch_hdr, header_crc), 0, 0, FIELD},
	{KX_PRODUCE, "log_epoch", BODY(kx_batch_hdr, log_epoch), 0, 0, FIELD},
	{KX_PRODUCE, "base_offset", BODY(kx_batch_hdr, base_offset), 0, 0, FIELD},
	{KX_PRODUCE, "append_time_ns", BODY(kx_batch_hdr, append_time_ns), 0, 0, FIELD},
	{KX_PRODUCE, "data_crc", BODY(kx_batch_hdr, data_crc), 0, 0, KX_DROP_BATCH_CRC, HOSTILE_CRC},
	{KX_PRODUCE, "batch_bytes", BODY(kx_batch_hdr, batch_bytes), sizeof(struct produce_body),
		sizeof(struct produce_body), ANY},
	{KX_PRODUCE, "format", BODY(kx_batch_hdr, format), KX_BATCH_FORMAT, KX_BATCH_FORMAT,
		KX_DROP_BATCH_FORMAT},
	{KX_PRODUCE, "attrs", BODY(kx_batch_hdr, attrs), 0, 0, KX_DROP_BATCH_FORMAT},
	{KX_PRODUCE, "record_count", BODY(kx_batch_hdr, record_count), HOSTILE_BUILT_RECORDS,
		HOSTILE_BUILT_RECORDS, KX_DROP_BATCH_COUNT},
	{KX_PRODUCE, "partition", BODY(kx_batch_hdr, partition), 0, U32, NONE},
	{KX_PRODUCE, "producer_id", BODY(kx_batch_hdr, producer_id), 0, U64, NONE},
	{KX_PRODUCE, "producer_epoch", BODY(kx_batch_hdr, producer_epoch), 0, U32, NONE},
	{KX_PRODUCE, "zero", BODY(kx_batch_hdr, zero), 0, 0, KX_DROP_BATCH_FORMAT},
	{KX_PRODUCE, "first_seq", BODY(kx_batch_hdr, first_seq), 0, U64, NONE},
	{KX_PRODUCE, "stream_key", BODY(kx_batch_hdr, stream_key), 0, U64, NONE},
	{KX_PRODUCE, "value_bytes", PART(produce_body, plain, kx_record_hdr, value_bytes), 1, 8, ANY},
	{KX_PRODUCE, "key_bytes", PART(produce_body, plain, kx_record_hdr, key_bytes), 0, 0,
		KX_DROP_BATCH_RECORD},
	{KX_PRODUCE, "flags of record", PART(produce_body, plain, kx_record_hdr, flags), 0, 0,
		KX_DROP_BATCH_RECORD},
	{KX_PRODUCE, "header_count", PART(produce_body, plain, kx_record_hdr, header_count), 0, 0,
		KX_DROP_BATCH_RECORD},
	{KX_PRODUCE, "value_bytes, all parts", PART(produce_body, full, kx_record_hdr, value_bytes), 1, 8,
		ANY},
	{KX_PRODUCE, "key_bytes, all parts", PART(produce_body, full, kx_record_hdr, key_bytes), 1, 8,
		KX_DROP_BATCH_RECORD},
	{KX_PRODUCE, "flags of record, all parts", PART(produce_body, full, kx_record_hdr, flags),
		KX_REC_FLAGS_ACCEPTED, KX_REC_FLAGS_ACCEPTED, KX_DROP_BATCH_RECORD},
	{KX_PRODUCE, "header_count, all parts", PART(produce_body, full, kx_record_hdr, header_count), 1, 1,
		KX_DROP_BATCH_RECORD},
	{KX_PRODUCE, "timestamp", BODY(produce_body, timestamp_ns), 0, U64, NONE},
	{KX_PRODUCE, "key", BODY(produce_body, key), 0, U64, NONE},
	{KX_PRODUCE, "total_bytes of headers", PART(produce_body, headers, kx_rec_headers, total_bytes), 16,
		16, KX_DROP_BATCH_RECORD},
	{KX_PRODUCE, "zero of headers", PART(produce_body, headers, kx_rec_headers, zero), 0, 0,
		KX_DROP_BATCH_RECORD},
	{KX_PRODUCE, "name_bytes of header", BODY(produce_body, name_bytes), 2, 2, KX_DROP_BATCH_RECORD},
	{KX_PRODUCE, "value_bytes of header", BODY(produce_body, header_bytes), 2, 2, KX_DROP_BATCH_RECORD},
	{KX_PRODUCE, "name of header", BODY(produce_body, name), 0, U16, NONE},
	{KX_PRODUCE, "value of header", BODY(produce_body, header), 0, U16, NONE},

	{KX_PRODUCE_FRAG, "partition", BODY(kx_frag, partition), 0, U32, NONE},
	{KX_PRODUCE_FRAG, "batch_bytes", BODY(kx_frag, batch_bytes), 512, KX_BATCH_MAX_BYTES, FIELD,
		.step = 8},
	{KX_PRODUCE_FRAG, "frag_offset", BODY(kx_frag, frag_offset), 0, 1024, FIELD, .step = 512},
	{KX_PRODUCE_FRAG, "frag_bytes", BODY(kx_frag, frag_bytes), 512, 512, LENGTH, .step = 8},
	{KX_PRODUCE_FRAG, "first", BODY(kx_frag, first), 0, U64, NONE},
	{KX_PRODUCE_FRAG, "frag_crc", BODY(kx_frag, frag_crc), 0, 0, KX_DROP_BATCH_CRC, HOSTILE_CRC},
	{KX_PRODUCE_FRAG, "part_bytes", BODY(kx_frag, part_bytes), 512, 512, FIELD, .step = 8},

	RECEIPT(KX_RX_ACK, 2, 2),
	{KX_RX_ACK, "range_count", BODY(kx_receipt, range_count), 1, 1, LENGTH},
	{KX_RX_ACK, "entry_count", BODY(kx_receipt, entry_count), 0, 0, FIELD},
	{KX_RX_ACK, "start", NEXT(kx_receipt, kx_ack_range, start), 1, 2, FIELD},
	{KX_RX_ACK, "count", NEXT(kx_receipt, kx_ack_range, count), 1, 2, FIELD},

	{KX_NAK, "entry_count", BODY(kx_nak, entry_count), 3, 3, LENGTH},
	{KX_NAK, "zero", BODY(kx_nak, zero), 0, 0, FIELD},
	{KX_NAK, "handle", PART(nak_body, offsets, kx_nak_entry, handle), 1, U32, FIELD},
	{KX_NAK, "kind", PART(nak_body, offsets, kx_nak_entry, kind), KX_NAK_OFFSETS, KX_NAK_OFFSETS, FIELD},
	{KX_NAK, "first", PART(nak_body, offsets, kx_nak_entry, first), 0, 2, FIELD},
	{KX_NAK, "last", PART(nak_body, offsets, kx_nak_entry, last), 1, U64, FIELD},
	{KX_NAK, "handle, BYTES", PART(nak_body, bytes, nak_bytes, handle), 1, U32, FIELD},
	{KX_NAK, "kind, BYTES", PART(nak_body, bytes, nak_bytes, kind), KX_NAK_OFFSETS, KX_NAK_BYTES, FIELD},
	{KX_NAK, "first, BYTES", PART(nak_body, bytes, nak_bytes, first), 0, U64, NONE},
	{KX_NAK, "begin of last, BYTES", PART(nak_body, bytes, nak_bytes, begin), 0, 8, FIELD, .step = 8},
	{KX_NAK, "end of last, BYTES", PART(nak_body, bytes, nak_bytes, end), 16, KX_BATCH_MAX_BYTES, FIELD,
		.step = 8},

	RECEIPT(KX_CREDIT, 2, 0),
	{KX_CREDIT, "range_count", BODY(kx_receipt, range_count), 0, 0, FIELD},
	{KX_CREDIT, "entry_count", BODY(kx_receipt, entry_count), 1, 1, LENGTH},
	{KX_CREDIT, "sub_id", NEXT(kx_receipt, kx_credit_entry, sub_id), 1, U32, FIELD},
	{KX_CREDIT, "zero", NEXT(kx_receipt, kx_credit_entry, zero), 0, 0, FIELD},
	{KX_CREDIT, "next_offset", NEXT(kx_receipt, kx_credit_entry, next_offset), 1, U64, FIELD},
	{KX_CREDIT, "limit_bytes", NEXT(kx_receipt, kx_credit_entry, limit_bytes), 0, U64, NONE},
	{KX_CREDIT, "done_offset", NEXT(kx_receipt, kx_credit_entry, done_offset), 0, 2, FIELD},

	{KX_RESUME, "boot_id", BODY(kx_resume, boot_id), 1, U64, FIELD},
	{KX_RESUME, "producer_id", BODY(kx_resume, producer_id), 1, U64, FIELD},
	{KX_RESUME, "producer_epoch", BODY(kx_resume, producer_epoch), 0, U32, NONE},
	{KX_RESUME, "request_id", BODY(kx_resume, request_id), 0, U32, NONE},
	{KX_RESUME, "entry_count", BODY(kx_resume, entry_count), 1, 1, LENGTH},
	{KX_RESUME, "zero", BODY(kx_resume, zero), 0, 0, FIELD},
	{KX_RESUME, "partition", NEXT(kx_resume, kx_resume_entry, partition), 0, U32, NONE},
	{KX_RESUME, "log_epoch", NEXT(kx_resume, kx_resume_entry, log_epoch), 0, U32, NONE},
	{KX_RESUME, "next_seq", NEXT(kx_resume, kx_resume_entry, next_seq), 0, U64, NONE},
	{KX_RESUME, "next_offset", NEXT(kx_resume, kx_resume_entry, next_offset), 0, U64, NONE},
	{KX_RESUME, "level", NEXT(kx_resume, kx_resume_entry, level), KX_MEMORY, KX_REPLICATED, FIELD},
	{KX_RESUME, "entry zero", NEXT(kx_resume, kx_resume_entry, zero), 0, 0, FIELD},

	{KX_PATH_RESPONSE, "token", BODY(kx_path_token, token), 0, U64, NONE},

	{KX_MTU_PROBE, "size", BODY(kx_mtu, size), HOSTILE_PROBE, HOSTILE_PROBE, FIELD},
	{KX_MTU_PROBE, "proven_bytes", BODY(kx_mtu, proven_bytes), KX_DATAGRAM_MIN_BYTES, KX_FRAME_MAX_BYTES,
		FIELD},
	{KX_MTU_PROBE, "zero", BODY(kx_mtu, zero), 0, 0, FIELD},
	{KX_MTU_PROBE, "padding", HOSTILE_PROBE - 8, 8, 0, 0, FIELD},
};
const unsigned int hostile_field_count = KX_DIM(hostile_fields);

const uint8_t hostile_types[] = {KX_HELLO, KX_AUTH, KX_CLOSE, KX_PING, KX_HEARTBEAT, KX_METADATA_REQ,
	KX_TOPICS_REQ, KX_SUBSCRIBE, KX_UNSUBSCRIBE, KX_PRODUCE, KX_PRODUCE_FRAG, KX_RX_ACK, KX_NAK,
	KX_CREDIT, KX_RESUME, KX_PATH_RESPONSE, KX_MTU_PROBE};
const unsigned int hostile_type_count = KX_DIM(hostile_types);

/* ---- valid frames */

struct rig_session hostile_session_as(
	struct rig *r, uint16_t port, const struct kx_auth *wish, struct kx_auth_protect *protect)
{
	struct rig_session s;
	uint64_t seq = 0;

	assert_int_equal(rig_auth(r, 7, port, wish, &s), KX_DROP_NONE);
	rig_accepted(&s);
	if (protect != NULL)
		rig_protect(&s, protect);
	rig_turn(r, 1000);
	rig_forget(r);
	rig_subscribe(&s, HOSTILE_PARTITION, HOSTILE_SUB, KX_OFFSET_NOW, UINT64_C(1) << 40);
	assert_int_equal(rig_produce(&s, 0, HOSTILE_PARTITION, seq, HOSTILE_RECORDS, 0), KX_DROP_NONE);
	rig_turn(r, 1000);
	assert_true(rig_count(r, KX_DELIVER) > 0);
	assert_int_equal(s.next_pkt, HOSTILE_NEXT_PKT);
	rig_forget(r);
	return s;
}

struct rig_session hostile_session(struct rig *r, uint16_t port)
{
	return hostile_session_as(r, port, &(const struct kx_auth){.method = KX_AUTH_NONE}, NULL);
}

static uint64_t width_max(uint32_t width)
{
	return width >= 8 ? UINT64_MAX : (UINT64_C(1) << (8 * width)) - 1;
}

unsigned int hostile_values(const struct hostile_field *f, uint64_t out[HOSTILE_VALUES_MAX])
{
	uint64_t max = width_max(f->width), step = f->step;
	const uint64_t all[HOSTILE_VALUES_MAX] = {
		f->low, f->high, f->low - 1, f->high + 1, 0, max, f->low - step, f->high + step};
	unsigned int n = 0;

	for (unsigned int i = 0; i < HOSTILE_VALUES_MAX; i++) {
		bool again = (i == 2 && f->low == 0) || (i == 3 && f->high == max) ||
			(i == 6 && f->low < step) || (i == 7 && f->high > max - step);

		for (unsigned int k = 0; k < n; k++)
			again |= out[k] == all[i];
		if (!again)
			out[n++] = all[i];
	}
	return n;
}

/* An extension of one word between header and body. Where zeros fill the frame up to a size, it stays as
 * large as it is. */
static uint32_t add_extension(uint8_t *frame, uint32_t bytes)
{
	struct kx_frame_hdr *h = (struct kx_frame_hdr *)frame;
	struct kx_ext *e = (struct kx_ext *)(h + 1);
	bool filled = hostile_setup_type(h->type) || h->type == KX_MTU_PROBE;
	uint32_t body = bytes - (uint32_t)sizeof(*h) - (filled ? sizeof(*e) : 0);

	memmove(e + 1, e, body);
	*e = (struct kx_ext){.type = 200, .words = 1, .flags = KX_EXT_IGNORABLE};
	h->ext_words = 1;
	return (uint32_t)(sizeof(*h) + sizeof(*e)) + body;
}

uint32_t hostile_set(uint64_t *frame, uint32_t bytes, const struct hostile_field *f, uint64_t value)
{
	uint8_t *at = (uint8_t *)frame + f->at;
	uint32_t crc;

	if (f->how == HOSTILE_IN_EXT)
		bytes = add_extension((uint8_t *)frame, bytes);
	if (f->how != HOSTILE_CRC)
		memcpy(at, &value, KX_MIN(f->width, 8));
	wire_repair_frame((uint8_t *)frame, bytes);
	if (f->how == HOSTILE_CRC) {
		memcpy(&crc, at, sizeof(crc));
		crc ^= (uint32_t)value;
		memcpy(at, &crc, sizeof(crc));
		kx_frame_seal((uint8_t *)frame, bytes);
	}
	return bytes;
}

static uint32_t put(uint8_t *at, const void *body, uint32_t bytes)
{
	memcpy(at, body, bytes);
	return bytes;
}

static uint32_t build_hello(uint8_t *at)
{
	struct kx_hello *b = (struct kx_hello *)at;

	b->client_nonce[0] = 99;
	b->version_min = b->version_max = KX_WIRE_VERSION;
	return KX_HELLO_BYTES - sizeof(struct kx_frame_hdr);
}

static uint32_t build_auth(uint8_t *at)
{
	struct kx_auth *b = (struct kx_auth *)at;

	b->client_nonce[0] = 99;
	b->datagram_bytes = KX_DATAGRAM_DEFAULT_V4;
	return KX_HELLO_BYTES - sizeof(struct kx_frame_hdr);
}

static uint32_t build_produce(const struct rig_session *s, uint8_t *at)
{
	const struct kx_header_view header = {.name = (const uint8_t *)"of",
		.value = (const uint8_t *)"it",
		.name_bytes = 2,
		.value_bytes = 2};
	const struct kx_record full = {
		.key = (const uint8_t *)"the key.", .key_bytes = 8, .value_bytes = 8, .timestamp_ns = 1};
	struct kx_batch_writer w;

	kx_batch_begin(&w, at, sizeof(struct produce_body), HOSTILE_PARTITION, s->producer_id,
		s->producer_epoch, HOSTILE_RECORDS, 0);
	memset(kx_batch_claim(&w, 8), 1, 8);
	memset(kx_batch_claim_full(&w, &full, &header, 1), 1, 8);
	assert_int_equal(w.used_bytes, sizeof(struct produce_body));
	return kx_batch_end(&w);
}

/* The first part of three. */
static uint32_t build_frag(const struct rig_session *s, uint8_t *at)
{
	uint64_t batch[1536 / 8];
	struct kx_frag *f = (struct kx_frag *)at;
	struct kx_batch_writer w;

	kx_batch_begin(&w, (uint8_t *)batch, sizeof(batch), HOSTILE_FRAG_PART, s->producer_id,
		s->producer_epoch, 0, 0);
	memset(kx_batch_claim(&w, sizeof(batch) - 80), 2, sizeof(batch) - 80);
	*f = (struct kx_frag){.partition = HOSTILE_FRAG_PART,
		.batch_bytes = kx_batch_end(&w),
		.frag_bytes = 512,
		.part_bytes = 512};
	memcpy(f + 1, batch, 512);
	return sizeof(*f) + 512;
}

static uint32_t build_rx_ack(uint8_t *at)
{
	struct {
		struct kx_receipt r;
		struct kx_ack_range range;
	} b = {{.next_pkt = 1, .largest_pkt = 3, .range_count = 1}, {1, 1}};

	return put(at, &b, sizeof(b));
}

static uint32_t build_nak(const struct rig_session *s, uint8_t *at)
{
	uint64_t end = s->rig->offsets[HOSTILE_PARTITION].next_offset;
	struct nak_body b = {.nak = {.entry_count = 3},
		.offsets = {HOSTILE_SUB, KX_NAK_OFFSETS, 1, 2},
		.bytes = {HOSTILE_SUB, KX_NAK_BYTES, end - HOSTILE_RECORDS, 8, 16},
		.last = {HOSTILE_SUB, KX_NAK_OFFSETS, end - 1, end - 1}};

	return put(at, &b, sizeof(b));
}

static uint32_t build_credit(uint8_t *at)
{
	struct {
		struct kx_receipt r;
		struct kx_credit_entry e;
	} b = {{.next_pkt = 1, .largest_pkt = 1, .entry_count = 1},
		{.sub_id = HOSTILE_SUB, .next_offset = 2, .limit_bytes = 1 << 16, .done_offset = 1}};

	return put(at, &b, sizeof(b));
}

static uint32_t build_resume(const struct rig_session *s, uint8_t *at)
{
	struct {
		struct kx_resume b;
		struct kx_resume_entry e;
	} b = {{.boot_id = s->accept.boot_id,
		       .producer_id = s->producer_id,
		       .producer_epoch = s->producer_epoch,
		       .request_id = 4,
		       .entry_count = 1},
		{.partition = HOSTILE_PARTITION, .level = KX_MEMORY}};

	return put(at, &b, sizeof(b));
}

static uint32_t build_probe(uint8_t *at)
{
	(void)put(at, &(struct kx_mtu){.size = HOSTILE_PROBE, .proven_bytes = KX_DATAGRAM_DEFAULT_V4},
		sizeof(struct kx_mtu));
	return HOSTILE_PROBE - sizeof(struct kx_frame_hdr);
}

static uint32_t build_body(struct rig_session *s, uint8_t type, uint8_t *at)
{
	switch (type) {
	case KX_HELLO:
		return build_hello(at);
	case KX_AUTH:
		return build_auth(at);
	case KX_CLOSE:
		return put(at, &(struct kx_close){0}, sizeof(struct kx_close));
	case KX_PING:
		return put(at, &(struct kx_ping){1, 2}, sizeof(struct kx_ping));
	case KX_HEARTBEAT:
		return put(
			at, &(struct kx_receipt){.next_pkt = 1, .largest_pkt = 1}, sizeof(struct kx_receipt));
	case KX_METADATA_REQ:
		return put(at, &(struct kx_metadata_req){.topic_bytes = 4, .topic = "trim"},
			sizeof(struct kx_metadata_req));
	case KX_TOPICS_REQ:
		return put(at, &(struct kx_topics_req){1, 0}, sizeof(struct kx_topics_req));
	case KX_SUBSCRIBE:
		return put(at, &(struct kx_subscribe){.request_id = 2, .sub_id = 2, .limit_bytes = 4096},
			sizeof(struct kx_subscribe));
	case KX_UNSUBSCRIBE:
		return put(at, &(struct kx_unsubscribe){3, 77}, sizeof(struct kx_unsubscribe));
	case KX_PRODUCE:
		return build_produce(s, at);
	case KX_PRODUCE_FRAG:
		return build_frag(s, at);
	case KX_RX_ACK:
		return build_rx_ack(at);
	case KX_NAK:
		return build_nak(s, at);
	case KX_CREDIT:
		return build_credit(at);
	case KX_RESUME:
		return build_resume(s, at);
	case KX_MTU_PROBE:
		return build_probe(at);
	case KX_PATH_RESPONSE:
		return put(at, &(struct kx_path_token){{1}}, sizeof(struct kx_path_token));
	default:
		fail_msg("no valid frame of type %u", type);
		return 0;
	}
}

uint32_t hostile_build(struct rig_session *s, uint8_t type, uint64_t *frame)
{
	bool setup = hostile_setup_type(type);
	uint8_t *at;
	uint32_t bytes;

	memset(frame, 0, HOSTILE_FRAME_BYTES);
	at = kx_frame_begin((uint8_t *)frame, (enum kx_frame_type)type, setup ? 0 : s->conn_id,
		setup ? 0 : s->next_pkt, 0, 0);
	bytes = (uint32_t)sizeof(struct kx_frame_hdr) + build_body(s, type, at);
	wire_repair_frame((uint8_t *)frame, bytes);
	return bytes;
}

/* Everything came and the application is done with it. */
static bool acknowledge(struct rig_session *s, uint64_t largest_pkt)
{
	uint64_t end = s->rig->offsets[HOSTILE_PARTITION].next_offset;
	struct {
		struct kx_receipt r;
		struct kx_credit_entry e;
	} b = {{.next_pkt = largest_pkt + 1, .largest_pkt = largest_pkt, .entry_count = 1},
		{.sub_id = HOSTILE_SUB, .next_offset = end, .done_offset = end}};

	return rig_send(s, KX_CREDIT, &b, sizeof(b)) == KX_DROP_NONE;
}

bool hostile_works(struct rig_session *s, uint64_t *next_seq)
{
	struct rig *r = s->rig;
	uint64_t offset, in, largest = 0;
	bool stored, committed, delivered = false;

	rig_turn(r, 1000); /* what came before is answered */
	rig_forget(r);
	offset = r->offsets[HOSTILE_PARTITION].next_offset;
	in = kx_broker_counters(r->broker)->messages_in;
	if (rig_produce(s, 0, HOSTILE_PARTITION, *next_seq, 2, 0) != KX_DROP_NONE)
		return false;
	*next_seq += 2;
	rig_turn(r, 1000);
	stored = kx_broker_counters(r->broker)->messages_in == in + 2 &&
		r->offsets[HOSTILE_PARTITION].next_offset == offset + 2;
	if (s->protect != NULL)
		rig_open_sent(s);
	for (unsigned int i = 0; i < r->sent_count; i++) {
		const struct kx_frame_hdr *h = (const struct kx_frame_hdr *)r->sent[i].data;

		if (h->conn_id != s->conn_id)
			continue;
		largest = KX_MAX(largest, h->pkt_no);
		if (h->type == KX_DELIVER && h->handle == HOSTILE_SUB)
			delivered |= ((const struct kx_batch_hdr *)rig_body(h))->base_offset <= offset;
	}
	committed = rig_count(r, KX_COMMIT_ACK) == 1;
	rig_forget(r);
	return stored && committed && delivered && acknowledge(s, largest);
}
