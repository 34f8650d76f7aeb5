/* SPDX-License-Identifier: BSD-3-Clause */
/* kx_frame_check(): every type valid, cut, flipped, and each reason of the frame group by name. */
#include "kx_test.h"

#include "wire_samples.h"

static uint8_t frame[SAMPLE_BYTES_MAX] KX_ALIGNED(8);

/* Check an exact-size heap copy, so that a read outside it is seen. */
static enum kx_drop check(const uint8_t *data, size_t bytes, enum kx_side from)
{
	struct kx_frame_view view;
	uint8_t *copy = kx_test_exact(data, bytes);
	enum kx_drop reason = kx_frame_check(copy, bytes, from, &view);

	free(copy);
	return reason;
}

static size_t build(const char *name)
{
	const struct wire_sample *s = wire_sample_find(name);

	assert_non_null(s);
	memset(frame, 0, sizeof(frame));
	return s->build(frame);
}

static void assert_reason(enum kx_drop got, enum kx_drop wanted, const char *what)
{
	if (got != wanted)
		fail_msg("%s: %s, wanted %s", what, kx_drop_key(got), kx_drop_key(wanted));
}

static void every_type_valid(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < wire_sample_count; i++) {
		const struct wire_sample *s = &wire_samples[i];
		struct kx_frame_view view;
		size_t bytes = build(s->name);
		uint8_t *copy = kx_test_exact(frame, bytes);

		assert_reason(kx_frame_check(copy, bytes, s->from, &view), KX_DROP_NONE, s->name);
		assert_ptr_equal(view.hdr, copy);
		assert_int_equal(view.hdr->type, s->type);
		assert_ptr_equal(view.body, copy + sizeof(struct kx_frame_hdr) + 8 * view.hdr->ext_words);
		assert_ptr_equal(view.body + view.body_bytes, copy + bytes);
		free(copy);
	}
}

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(undefined_behavior_sanitizer)
#define SANITIZED 1
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#endif

/* Behind Ethernet, IPv4 and UDP a frame starts at an even address, not at a multiple of 8. */
static void any_alignment(void **state)
{
	(void)state;
#ifdef SANITIZED
	/* The loads are the CPU's to allow (kx_frame_check()), which the alignment sanitizer cannot know. */
	skip();
#endif
	for (unsigned int i = 0; i < wire_sample_count; i++) {
		const struct wire_sample *s = &wire_samples[i];
		size_t bytes = build(s->name);

		for (unsigned int shift = 1; shift < 16; shift++) {
			uint8_t *memory = malloc(bytes + shift);
			struct kx_frame_view view;

			assert_non_null(memory);
			memcpy(memory + shift, frame, bytes);
			assert_reason(
				kx_frame_check(memory + shift, bytes, s->from, &view), KX_DROP_NONE, s->name);
			memory[shift + bytes - 1] ^= 1;
			assert_int_not_equal(
				kx_frame_check(memory + shift, bytes, s->from, &view), KX_DROP_NONE);
			free(memory);
		}
	}
}

/* A type that only one side sends is refused from the other. */
static void wrong_side(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < wire_sample_count; i++) {
		const struct wire_sample *s = &wire_samples[i];
		enum kx_side other = s->from == KX_FROM_CLIENT ? KX_FROM_BROKER : KX_FROM_CLIENT;
		size_t bytes = build(s->name);
		bool both = s->type == KX_CLOSE || s->type == KX_HEARTBEAT || s->type == KX_RX_ACK ||
			s->type == KX_NAK;

		if (!both)
			assert_reason(check(frame, bytes, other), KX_DROP_FRAME_TYPE, s->name);
	}
	build("heartbeat_broker");
	assert_reason(check(frame, 32 + 40 + 32, KX_FROM_CLIENT), KX_DROP_FRAME_FIELD, "heartbeat entries");
	build("nak");
	assert_reason(
		check(frame, 32 + 8 + 48, KX_FROM_CLIENT), KX_DROP_FRAME_FIELD, "packet NAK of a client");
	build("nak_client");
	assert_reason(
		check(frame, 32 + 8 + 48, KX_FROM_BROKER), KX_DROP_FRAME_FIELD, "offset NAK of a broker");
}

/* Cut at every byte, and grown by every length up to 16 bytes: never accepted. */
static void cut_and_grown(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < wire_sample_count; i++) {
		const struct wire_sample *s = &wire_samples[i];
		size_t bytes = build(s->name);

		for (size_t n = 0; n < bytes; n++) {
			enum kx_drop reason = check(frame, n, s->from);

			assert_int_not_equal(reason, KX_DROP_NONE);
			if (n < sizeof(struct kx_frame_hdr))
				assert_reason(reason, KX_DROP_FRAME_SHORT, s->name);
		}
		for (size_t n = bytes + 1; n <= bytes + 16; n++)
			assert_int_not_equal(check(frame, n, s->from), KX_DROP_NONE);
	}
}

/* Sealed again after the cut, so that the checks behind the check value see it. */
static void cut_and_sealed(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < wire_sample_count; i++) {
		const struct wire_sample *s = &wire_samples[i];
		size_t bytes = build(s->name);
		size_t covered_least = sizeof(struct kx_frame_hdr) + 24 + sizeof(struct kx_frag);

		for (size_t n = covered_least; n < bytes; n++) {
			build(s->name);
			kx_frame_seal(frame, n);
			/* What is left of two batches when one of them is cut off whole is a valid frame. */
			if (check(frame, n, s->from) == KX_DROP_NONE)
				assert_true(s->type == KX_PRODUCE || s->type == KX_DELIVER);
		}
	}
}

static void every_bit_flipped(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < wire_sample_count; i++) {
		const struct wire_sample *s = &wire_samples[i];
		size_t bytes = build(s->name);
		uint8_t *copy = kx_test_exact(frame, bytes);
		struct kx_frame_view view;

		for (size_t bit = 0; bit < bytes * 8; bit++) {
			copy[bit / 8] ^= (uint8_t)(1u << (bit % 8));
			if (kx_frame_check(copy, bytes, s->from, &view) == KX_DROP_NONE)
				fail_msg("%s: bit %zu flipped and accepted", s->name, bit);
			copy[bit / 8] ^= (uint8_t)(1u << (bit % 8));
		}
		assert_reason(kx_frame_check(copy, bytes, s->from, &view), KX_DROP_NONE, s->name);
		free(copy);
	}
}

/* One change to a sample, sealed again, and the reason it must give. */
struct change {
	const char *name;
	uint16_t at;
	uint8_t bytes; /* size of the field */
	uint64_t value;
	enum kx_drop reason;
	int16_t grow; /* frame bytes added or taken */
};
#define HDR(field)	     offsetof(struct kx_frame_hdr, field), sizeof(((struct kx_frame_hdr *)0)->field)
#define BODY_AT(type, field) (32 + offsetof(struct type, field)), sizeof(((struct type *)0)->field)
#define AFTER(base, type, field)                                                                             \
	(32 + sizeof(struct base) + offsetof(struct type, field)), sizeof(((struct type *)0)->field)
#define SHORT  KX_DROP_FRAME_SHORT
#define LENGTH KX_DROP_FRAME_LENGTH
#define FIELD  KX_DROP_FRAME_FIELD
#define NESTED KX_DROP_FRAME_EXTENSION

static const struct change changes[] = {
	/* the header */
	{"ping", HDR(version), 0, KX_DROP_FRAME_VERSION},
	{"ping", HDR(version), 2, KX_DROP_FRAME_VERSION},
	{"ping", HDR(type), 0, KX_DROP_FRAME_TYPE},
	{"ping", HDR(type), 0x0b, KX_DROP_FRAME_TYPE},
	{"ping", HDR(type), 0x2c, KX_DROP_FRAME_TYPE},
	{"ping", HDR(type), 0x32, KX_DROP_FRAME_TYPE},
	{"ping", HDR(type), 0xff, KX_DROP_FRAME_TYPE},
	{"ping", HDR(flags), KX_FLAG_MAC, KX_DROP_FRAME_FLAGS},
	{"ping", HDR(flags), KX_FLAG_AEAD, KX_DROP_FRAME_FLAGS},
	{"ping", HDR(flags), 0x80, KX_DROP_FRAME_FLAGS},
	{"ping", HDR(flags), KX_FLAG_MORE, KX_DROP_NONE},
	{"ping", HDR(ext_words), 255, SHORT},
	{"ping", HDR(conn_id), 0, FIELD},
	{"ping", HDR(pkt_no), 0, FIELD},
	{"ping", HDR(floor_delta), 1001, FIELD},
	{"ping", HDR(floor_delta), 1000, KX_DROP_NONE},
	{"ping", HDR(handle), 1, FIELD},
	{"produce", HDR(handle), 1, FIELD},
	{"deliver", HDR(handle), 0, FIELD},
	{"notice", HDR(handle), 0, FIELD},
	{"deliver_frag", HDR(handle), 0, FIELD},
	{"hello", HDR(conn_id), 1, FIELD},
	{"hello", HDR(pkt_no), 1, FIELD},
	{"accept", HDR(conn_id), 1, FIELD},
	{"refuse_setup", HDR(pkt_no), 1, FIELD},
	{"refuse_request", HDR(conn_id), 0, FIELD},
	{"reset", HDR(conn_id), 0, FIELD},
	{"reset", HDR(pkt_no), 1, FIELD},
	/* extensions: two ignorable ones of 1 and 2 words */
	{"produce_ext", 32 + offsetof(struct kx_ext, words), 1, 0, NESTED},
	{"produce_ext", 32 + offsetof(struct kx_ext, words), 1, 4, NESTED},
	{"produce_ext", 40 + offsetof(struct kx_ext, words), 1, 3, NESTED},
	{"produce_ext", 40 + offsetof(struct kx_ext, words), 1, 1, NESTED},
	{"produce_ext", 32 + offsetof(struct kx_ext, flags), 1, 0, NESTED},
	{"produce_ext", 32 + offsetof(struct kx_ext, flags), 1, 3, NESTED},
	{"produce_ext", 40 + offsetof(struct kx_ext, zero), 1, 1, NESTED},
	{"produce_ext", 32 + offsetof(struct kx_ext, type), 1, 1, KX_DROP_NONE},
	/* set-up */
	{"hello", BODY_AT(kx_hello, version_min), 0, FIELD},
	{"hello", BODY_AT(kx_hello, version_min), 2, FIELD},
	{"hello", BODY_AT(kx_hello, zero), 1, FIELD},
	{"hello", 511, 1, 1, FIELD},
	{"hello", 0, 0, 0, KX_DROP_HELLO_UNPADDED, -8},
	{"hello", 0, 0, 0, KX_DROP_HELLO_UNPADDED, -480},
	{"hello", 0, 0, 0, LENGTH, 8},
	{"auth_none", 0, 0, 0, KX_DROP_HELLO_UNPADDED, -8},
	{"auth_none", 0, 0, 0, LENGTH, 8},
	{"auth_none", BODY_AT(kx_auth, method), 3, FIELD},
	{"auth_none", BODY_AT(kx_auth, zero), 1, FIELD},
	{"auth_none", BODY_AT(kx_auth, datagram_bytes), KX_DATAGRAM_MIN_BYTES - 1, FIELD},
	{"auth_none", BODY_AT(kx_auth, datagram_bytes), KX_DATAGRAM_MIN_BYTES, KX_DROP_NONE},
	{"auth_none", BODY_AT(kx_auth, principal_bytes), 64, FIELD},
	{"auth_none", BODY_AT(kx_auth, principal_bytes), 4, FIELD},
	{"auth_none", BODY_AT(kx_auth, principal_bytes), 0, FIELD},
	{"auth_none", BODY_AT(kx_auth, mac), 1, FIELD},
	{"auth_none", BODY_AT(kx_auth, ticket), 1, FIELD},
	{"auth_none", BODY_AT(kx_auth, protect), 3, FIELD},
	{"auth_none", BODY_AT(kx_auth, producer_id), 7, KX_DROP_NONE},
	{"auth_ticket", BODY_AT(kx_auth, method), KX_AUTH_NONE, FIELD},
	{"auth_ticket", BODY_AT(kx_auth, producer_id), 7, FIELD},
	{"auth_ticket", 400, 1, 1, FIELD},
	{"accept", BODY_AT(kx_accept, conn_id), 0, FIELD},
	{"accept", BODY_AT(kx_accept, base_port), 0, FIELD},
	{"accept", BODY_AT(kx_accept, base_port), 65533, FIELD},
	{"accept", BODY_AT(kx_accept, base_port), 65532, KX_DROP_NONE},
	{"accept", BODY_AT(kx_accept, lcore_count), 0, FIELD},
	{"accept", BODY_AT(kx_accept, lcore_count), 257, FIELD},
	{"accept", BODY_AT(kx_accept, lcore_index), 4, FIELD},
	{"accept", BODY_AT(kx_accept, datagram_bytes), 65001, FIELD},
	{"accept", BODY_AT(kx_accept, datagram_bytes), 100, FIELD},
	{"accept", BODY_AT(kx_accept, durability), 0, FIELD},
	{"accept", BODY_AT(kx_accept, durability), 5, FIELD},
	{"accept", BODY_AT(kx_accept, durability), KX_REPLICATED, KX_DROP_NONE},
	{"accept", BODY_AT(kx_accept, lcore_count), KX_LCORES_MAX, KX_DROP_NONE},
	{"accept", BODY_AT(kx_accept, datagram_bytes), KX_DATAGRAM_MIN_BYTES, KX_DROP_NONE},
	{"accept", BODY_AT(kx_accept, datagram_bytes), KX_FRAME_MAX_BYTES, KX_DROP_NONE},
	{"accept", BODY_AT(kx_accept, zero), 1, FIELD},
	{"accept", BODY_AT(kx_accept, zero2), 1, FIELD},
	{"accept", BODY_AT(kx_accept, protect), 3, FIELD},
	{"accept", 0, 0, 0, LENGTH, 8},
	{"cookie", 0, 0, 0, LENGTH, 8},
	{"cookie", 0, 0, 0, SHORT, -8},
	{"reset", BODY_AT(kx_reset, pkt_no), 0, FIELD},
	{"close", BODY_AT(kx_close, zero), 1, FIELD},
	{"pong", BODY_AT(kx_pong, zero), 1, FIELD},
	/* probes of the path */
	{"mtu_probe", BODY_AT(kx_mtu, size), 1471, FIELD},
	{"mtu_probe", BODY_AT(kx_mtu, size), 1488, FIELD},
	{"mtu_probe", BODY_AT(kx_mtu, size), 0, FIELD},
	{"mtu_probe", BODY_AT(kx_mtu, proven_bytes), KX_DATAGRAM_MIN_BYTES - 1, FIELD},
	{"mtu_probe", BODY_AT(kx_mtu, proven_bytes), KX_DATAGRAM_MIN_BYTES, KX_DROP_NONE},
	{"mtu_probe", BODY_AT(kx_mtu, proven_bytes), KX_FRAME_MAX_BYTES, KX_DROP_NONE},
	{"mtu_probe", BODY_AT(kx_mtu, proven_bytes), KX_FRAME_MAX_BYTES + 1, FIELD},
	{"mtu_probe", BODY_AT(kx_mtu, zero), 1, FIELD},
	{"mtu_probe", 1471, 1, 1, FIELD},
	{"mtu_probe", 0, 0, 0, FIELD, -4},
	{"mtu_probe", 0, 0, 0, SHORT, -1433},
	{"mtu_probed", BODY_AT(kx_mtu, size), 1473, FIELD},
	/* requests and answers */
	{"metadata_req", BODY_AT(kx_metadata_req, topic_bytes), 0, FIELD},
	{"metadata_req", BODY_AT(kx_metadata_req, topic_bytes), 64, FIELD},
	{"metadata_req", BODY_AT(kx_metadata_req, topic_bytes), 5, FIELD},
	{"metadata_req", BODY_AT(kx_metadata_req, zero), 1, FIELD},
	{"metadata", BODY_AT(kx_metadata, entry_count), 3, LENGTH},
	{"metadata", BODY_AT(kx_metadata, entry_count), 1, LENGTH},
	{"metadata", BODY_AT(kx_metadata, entry_count), 65535, LENGTH},
	{"metadata", BODY_AT(kx_metadata, partition_count), 3, FIELD},
	{"metadata", BODY_AT(kx_metadata, durability), 0, FIELD},
	{"metadata", BODY_AT(kx_metadata, durability), 5, FIELD},
	{"metadata", BODY_AT(kx_metadata, durability), KX_REPLICATED, KX_DROP_NONE},
	{"metadata", BODY_AT(kx_metadata, overrun), 2, FIELD},
	{"metadata", BODY_AT(kx_metadata, code), 4, FIELD},
	{"metadata", AFTER(kx_metadata, kx_metadata_entry, index), 3, FIELD},
	{"metadata", AFTER(kx_metadata, kx_metadata_entry, zero), 3, FIELD},
	{"topics", BODY_AT(kx_topics, entry_count), 1, LENGTH},
	{"topics", BODY_AT(kx_topics, entry_count), UINT32_MAX, LENGTH},
	{"topics", BODY_AT(kx_topics, topic_count), 1, FIELD},
	{"topics", BODY_AT(kx_topics, topic_count), 2, KX_DROP_NONE},
	{"topics", BODY_AT(kx_topics, first_index), UINT32_MAX, FIELD},
	{"topics", AFTER(kx_topics, kx_topics_entry, partition_count), 0, FIELD},
	{"topics", AFTER(kx_topics, kx_topics_entry, durability), 0, FIELD},
	{"topics", AFTER(kx_topics, kx_topics_entry, overrun), 2, FIELD},
	{"topics", AFTER(kx_topics, kx_topics_entry, zero), 1, FIELD},
	{"topics", AFTER(kx_topics, kx_topics_entry, name_bytes), 0, FIELD},
	{"topics", AFTER(kx_topics, kx_topics_entry, name_bytes), 64, FIELD},
	{"subscribe", BODY_AT(kx_subscribe, sub_id), 0, FIELD},
	{"subscribe", BODY_AT(kx_subscribe, zero), 1, FIELD},
	{"subscribed", BODY_AT(kx_subscribed, sub_id), 0, FIELD},
	{"subscribed", BODY_AT(kx_subscribed, zero), 1, FIELD},
	{"unsubscribe", BODY_AT(kx_unsubscribe, sub_id), 0, FIELD},
	{"unsubscribed", BODY_AT(kx_unsubscribe, sub_id), 0, FIELD},
	{"notice", BODY_AT(kx_notice, code), 0, FIELD},
	{"notice", BODY_AT(kx_notice, code), 4, FIELD},
	{"notice", BODY_AT(kx_notice, code), KX_NOTICE_CLOSED, KX_DROP_NONE},
	{"not_owner", BODY_AT(kx_not_owner, pkt_no), 0, FIELD},
	{"not_owner", BODY_AT(kx_not_owner, zero), 1, FIELD},
	{"produce_refused", BODY_AT(kx_produce_refused, pkt_no), 0, FIELD},
	{"produce_refused", BODY_AT(kx_produce_refused, code), 0, FIELD},
	/* receipts: next_pkt 900, largest_pkt 950; ranges {1,4} {6,1} {40,11} */
	{"rx_ack", BODY_AT(kx_receipt, next_pkt), 0, FIELD},
	{"rx_ack", BODY_AT(kx_receipt, next_pkt), 952, FIELD},
	{"rx_ack", BODY_AT(kx_receipt, next_pkt), 901, FIELD},
	{"rx_ack", BODY_AT(kx_receipt, next_pkt), 899, KX_DROP_NONE},
	{"rx_ack", BODY_AT(kx_receipt, largest_pkt), 949, FIELD},
	{"rx_ack", BODY_AT(kx_receipt, largest_pkt), 899 + 4096, KX_DROP_NONE},
	{"rx_ack", BODY_AT(kx_receipt, largest_pkt), 899 + 4097, FIELD},
	{"rx_ack", BODY_AT(kx_receipt, largest_pkt), UINT64_MAX, FIELD},
	{"rx_ack", BODY_AT(kx_receipt, blocked), 6, FIELD},
	{"rx_ack", BODY_AT(kx_receipt, blocked), KX_BLOCKED_DISK, KX_DROP_NONE},
	{"rx_ack", BODY_AT(kx_receipt, entry_count), 1, FIELD},
	{"rx_ack", BODY_AT(kx_receipt, range_count), 2, LENGTH},
	{"rx_ack", BODY_AT(kx_receipt, range_count), 4, LENGTH},
	{"rx_ack", BODY_AT(kx_receipt, range_count), 33, FIELD, 240},
	{"rx_ack", AFTER(kx_receipt, kx_ack_range, start), 0, FIELD},
	{"rx_ack", AFTER(kx_receipt, kx_ack_range, count), 0, FIELD},
	{"rx_ack", AFTER(kx_receipt, kx_ack_range, count), 5, FIELD},
	{"rx_ack", AFTER(kx_receipt, kx_ack_range, count), 6, FIELD},
	{"rx_ack", AFTER(kx_receipt, kx_ack_range, count), UINT32_MAX, FIELD},
	{"rx_ack", AFTER(kx_receipt, kx_ack_range, start), 4, FIELD},
	{"commit_ack", BODY_AT(kx_receipt, entry_count), 1, LENGTH},
	{"commit_ack", BODY_AT(kx_receipt, entry_count), 3, LENGTH},
	{"commit_ack", BODY_AT(kx_receipt, entry_count), 65, FIELD, 63 * 32},
	{"commit_ack", BODY_AT(kx_receipt, range_count), 1, FIELD},
	{"commit_ack", BODY_AT(kx_receipt, next_pkt), 0, FIELD},
	{"commit_ack", AFTER(kx_receipt, kx_commit_entry, level), 0, FIELD},
	{"commit_ack", AFTER(kx_receipt, kx_commit_entry, level), 5, FIELD},
	{"commit_ack", AFTER(kx_receipt, kx_commit_entry, level), KX_REPLICATED, KX_DROP_NONE},
	{"commit_ack", AFTER(kx_receipt, kx_commit_entry, zero), 1, FIELD},
	{"credit", BODY_AT(kx_receipt, entry_count), 0, LENGTH},
	{"credit", AFTER(kx_receipt, kx_credit_entry, sub_id), 0, FIELD},
	{"credit", AFTER(kx_receipt, kx_credit_entry, zero), 1, FIELD},
	{"credit", AFTER(kx_receipt, kx_credit_entry, done_offset), 70000, KX_DROP_NONE},
	{"credit", AFTER(kx_receipt, kx_credit_entry, done_offset), 70001, FIELD},
	{"resume", BODY_AT(kx_resume, boot_id), 0, FIELD},
	{"resume", BODY_AT(kx_resume, producer_id), 0, FIELD},
	{"resume", BODY_AT(kx_resume, zero), 1, FIELD},
	{"resume", BODY_AT(kx_resume, entry_count), 0, LENGTH},
	{"resume", BODY_AT(kx_resume, entry_count), 3, LENGTH},
	{"resume", BODY_AT(kx_resume, entry_count), UINT32_MAX, LENGTH},
	{"resume", BODY_AT(kx_resume, entry_count), 0, SHORT, -64},
	{"resume", AFTER(kx_resume, kx_resume_entry, level), 0, FIELD},
	{"resume", AFTER(kx_resume, kx_resume_entry, level), KX_REPLICATED, KX_DROP_NONE},
	{"resume", AFTER(kx_resume, kx_resume_entry, level), KX_REPLICATED + 1, FIELD},
	{"resume", AFTER(kx_resume, kx_resume_entry, zero), 1, FIELD},
	{"resumed", BODY_AT(kx_resumed, entry_count), 2, LENGTH},
	{"resumed", BODY_AT(kx_resumed, entry_count), 0, SHORT, -72},
	{"resumed", AFTER(kx_resumed, kx_resumed_entry, code), KX_CODE_UNKNOWN_FATE, FIELD},
	{"resumed", AFTER(kx_resumed, kx_resumed_entry, code), KX_CODE_LOST, KX_DROP_NONE},
	{"heartbeat_client", BODY_AT(kx_receipt, entry_count), 1, LENGTH},
	{"heartbeat_client", BODY_AT(kx_receipt, entry_count), 1, FIELD, 16},
	{"heartbeat_broker", AFTER(kx_receipt, kx_heartbeat_entry, sub_id), 0, FIELD},
	{"nak", BODY_AT(kx_nak, entry_count), 0, LENGTH},
	{"nak", BODY_AT(kx_nak, entry_count), 3, LENGTH},
	{"nak", BODY_AT(kx_nak, entry_count), UINT32_MAX, LENGTH},
	{"nak", BODY_AT(kx_nak, entry_count), 65, FIELD, 63 * 24},
	{"nak", BODY_AT(kx_nak, zero), 1, FIELD},
	{"nak", AFTER(kx_nak, kx_nak_entry, kind), 3, FIELD},
	{"nak", AFTER(kx_nak, kx_nak_entry, handle), 1, FIELD},
	{"nak", AFTER(kx_nak, kx_nak_entry, first), 0, FIELD},
	{"nak", AFTER(kx_nak, kx_nak_entry, last), 899, FIELD},
	{"nak", AFTER(kx_nak, kx_nak_entry, last), 900 + 4095, KX_DROP_NONE},
	{"nak", AFTER(kx_nak, kx_nak_entry, last), 900 + 4096, FIELD},
	{"nak_client", AFTER(kx_nak, kx_nak_entry, handle), 0, FIELD},
	{"nak_client", AFTER(kx_nak, kx_nak_entry, last), 69999, FIELD},
	{"nak_client", AFTER(kx_nak, kx_nak_entry, last), 70000, KX_DROP_NONE},
	{"nak_client", 32 + 8 + 24, 4, 0, FIELD},	  /* handle of the bytes entry */
	{"nak_client", 32 + 8 + 24 + 16, 4, 1200, FIELD}, /* nothing between begin and end */
	{"nak_client", 32 + 8 + 24 + 16, 4, 604, FIELD},  /* not a multiple of 8 */
	{"nak_client", 32 + 8 + 24 + 20, 4, 1204, FIELD},
	{"nak_client", 32 + 8 + 24 + 20, 4, KX_BATCH_MAX_BYTES + 8, FIELD},
	{"nak_client", 32 + 8 + 24 + 20, 4, KX_BATCH_MAX_BYTES, KX_DROP_NONE},
	/* fragments: part of 600 at 600 of a batch of 1600 */
	{"produce_frag", BODY_AT(kx_frag, frag_bytes), 592, LENGTH},
	{"produce_frag", BODY_AT(kx_frag, frag_bytes), UINT32_MAX - 7, LENGTH},
	{"produce_frag", BODY_AT(kx_frag, frag_offset), 0, KX_DROP_NONE},
	{"produce_frag", BODY_AT(kx_frag, frag_offset), 8, FIELD},
	{"produce_frag", BODY_AT(kx_frag, frag_offset), 1200, FIELD},
	{"produce_frag", BODY_AT(kx_frag, frag_offset), 1800, FIELD},
	{"produce_frag", BODY_AT(kx_frag, batch_bytes), 1196, FIELD},
	{"produce_frag", BODY_AT(kx_frag, batch_bytes), 1200, KX_DROP_NONE},
	{"produce_frag", BODY_AT(kx_frag, batch_bytes), 72, FIELD},
	{"produce_frag", BODY_AT(kx_frag, batch_bytes), KX_BATCH_MAX_BYTES, KX_DROP_NONE},
	{"produce_frag", BODY_AT(kx_frag, batch_bytes), KX_BATCH_MAX_BYTES + 8, FIELD},
	{"produce_frag", BODY_AT(kx_frag, part_bytes), 0, FIELD},
	{"produce_frag", BODY_AT(kx_frag, part_bytes), 504, FIELD},
	{"produce_frag", BODY_AT(kx_frag, part_bytes), 604, FIELD},
	{"produce_frag", BODY_AT(kx_frag, frag_crc), 0, KX_DROP_BATCH_CRC},
	{"produce_frag", 32 + 32 + 599, 1, 0, KX_DROP_BATCH_CRC},
	{"deliver_frag", 32 + 32, 1, 0, KX_DROP_BATCH_CRC},
};

static void put_value(uint8_t *p, uint64_t value, unsigned int bytes)
{
	for (unsigned int i = 0; i < bytes && i < 8; i++)
		p[i] = (uint8_t)(value >> 8 * i);
}

static void each_rule(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < KX_DIM(changes); i++) {
		const struct change *c = &changes[i];
		size_t bytes = (size_t)((int)build(c->name) + c->grow);
		char what[96];

		put_value(frame + c->at, c->value, c->bytes);
		/* A seal needs the header it covers: lengths that lie beyond the frame are left unsealed. */
		if (sizeof(struct kx_frame_hdr) + 8u * frame[3] <= bytes)
			kx_frame_seal(frame, bytes);
		snprintf(what, sizeof(what), "change %u: %s byte %u = %llu", i, c->name, c->at,
			(unsigned long long)c->value);
		assert_reason(check(frame, bytes, wire_sample_find(c->name)->from), c->reason, what);
	}
}

/* Grow a sample to `entries` entries, each a copy of the one at `from`, and count them at `count_at`. */
static size_t repeat_entries(const char *name, size_t from, size_t entry_bytes, uint32_t entries,
	size_t count_at, unsigned int count_bytes)
{
	build(name);
	for (uint32_t i = 1; i < entries; i++)
		memcpy(frame + from + i * entry_bytes, frame + from, entry_bytes);
	put_value(frame + count_at, entries, count_bytes);
	return from + entries * entry_bytes;
}

/* As many entries as a frame may have, and one more. */
static void most_entries(void **state)
{
	(void)state;
	const size_t receipt_end = 32 + sizeof(struct kx_receipt), nak_end = 32 + sizeof(struct kx_nak);
	static const struct {
		const char *name;
		uint8_t entry_bytes;
	} kinds[] = {{"commit_ack", sizeof(struct kx_commit_entry)},
		{"credit", sizeof(struct kx_credit_entry)},
		{"heartbeat_broker", sizeof(struct kx_heartbeat_entry)}};
	struct kx_ack_range *range = (struct kx_ack_range *)(frame + receipt_end);
	size_t bytes;

	for (unsigned int i = 0; i < KX_DIM(kinds); i++) {
		for (uint32_t n = KX_ENTRIES_MAX; n <= KX_ENTRIES_MAX + 1; n++) {
			bytes = repeat_entries(kinds[i].name, receipt_end, kinds[i].entry_bytes, n,
				32 + offsetof(struct kx_receipt, entry_count), 2);
			kx_frame_seal(frame, bytes);
			assert_reason(check(frame, bytes, wire_sample_find(kinds[i].name)->from),
				n > KX_ENTRIES_MAX ? KX_DROP_FRAME_FIELD : KX_DROP_NONE, kinds[i].name);
		}
	}
	for (uint32_t n = KX_ENTRIES_MAX; n <= KX_ENTRIES_MAX + 1; n++) {
		bytes = repeat_entries("nak", nak_end, sizeof(struct kx_nak_entry), n, 32, 4);
		kx_frame_seal(frame, bytes);
		assert_reason(check(frame, bytes, KX_FROM_BROKER),
			n > KX_ENTRIES_MAX ? KX_DROP_FRAME_FIELD : KX_DROP_NONE, "nak");
	}
	for (uint32_t n = KX_ENTRIES_MAX; n <= KX_ENTRIES_MAX + 1; n++) {
		bytes = repeat_entries("resume", 32 + sizeof(struct kx_resume),
			sizeof(struct kx_resume_entry), n, 32 + offsetof(struct kx_resume, entry_count), 4);
		kx_frame_seal(frame, bytes);
		assert_reason(check(frame, bytes, KX_FROM_CLIENT),
			n > KX_ENTRIES_MAX ? KX_DROP_FRAME_FIELD : KX_DROP_NONE, "resume");
		bytes = repeat_entries("resumed", 32 + sizeof(struct kx_resumed),
			sizeof(struct kx_resumed_entry), n, 32 + offsetof(struct kx_resumed, entry_count), 4);
		kx_frame_seal(frame, bytes);
		assert_reason(check(frame, bytes, KX_FROM_BROKER),
			n > KX_ENTRIES_MAX ? KX_DROP_FRAME_FIELD : KX_DROP_NONE, "resumed");
	}
	for (uint32_t n = KX_ACK_RANGES_MAX; n <= KX_ACK_RANGES_MAX + 1; n++) {
		bytes = repeat_entries("rx_ack", receipt_end, sizeof(struct kx_ack_range), n,
			32 + offsetof(struct kx_receipt, range_count), 1);
		for (uint32_t i = 0; i < n; i++)
			range[i] = (struct kx_ack_range){.start = 1 + 100 * i, .count = 99};
		put_value(frame + 32 + offsetof(struct kx_receipt, largest_pkt), 899 + 4096, 8);
		kx_frame_seal(frame, bytes);
		assert_reason(check(frame, bytes, KX_FROM_BROKER),
			n > KX_ACK_RANGES_MAX ? KX_DROP_FRAME_FIELD : KX_DROP_NONE, "rx_ack");
	}
}

/* Nothing but zeros where a name belongs. */
static void empty_names(void **state)
{
	(void)state;
	size_t bytes = build("metadata_req");

	memset(frame + 32 + offsetof(struct kx_metadata_req, topic_bytes), 0, 2 + KX_TOPIC_NAME_MAX + 1);
	kx_frame_seal(frame, bytes);
	assert_reason(check(frame, bytes, KX_FROM_CLIENT), KX_DROP_FRAME_FIELD, "empty topic");
	bytes = build("topics");
	memset(frame + 32 + sizeof(struct kx_topics) + offsetof(struct kx_topics_entry, name_bytes), 0,
		1 + KX_TOPIC_NAME_MAX + 1);
	kx_frame_seal(frame, bytes);
	assert_reason(check(frame, bytes, KX_FROM_BROKER), KX_DROP_FRAME_FIELD, "empty name in a list");
}

/* The smallest batch as one fragment, and parts of the smallest size. */
static void small_fragments(void **state)
{
	(void)state;
	static const struct {
		uint32_t batch_bytes, offset, frag_bytes, part_bytes;
		enum kx_drop reason;
	} parts[] = {{80, 0, 80, 512, KX_DROP_NONE}, {520, 0, 512, 512, KX_DROP_NONE},
		{520, 512, 8, 512, KX_DROP_NONE}, {520, 0, 504, 504, KX_DROP_FRAME_FIELD},
		{72, 0, 72, 512, KX_DROP_FRAME_FIELD}};

	for (unsigned int i = 0; i < KX_DIM(parts); i++) {
		size_t bytes = 32 + sizeof(struct kx_frag) + parts[i].frag_bytes;
		struct kx_frag *f = (struct kx_frag *)(frame + 32);

		build("produce_frag");
		f->batch_bytes = parts[i].batch_bytes;
		f->frag_offset = parts[i].offset;
		f->frag_bytes = parts[i].frag_bytes;
		f->part_bytes = parts[i].part_bytes;
		f->frag_crc = kx_crc32c(0, f + 1, f->frag_bytes);
		kx_frame_seal(frame, bytes);
		assert_reason(check(frame, bytes, KX_FROM_CLIENT), parts[i].reason, "part");
	}
}

static void check_value(void **state)
{
	(void)state;
	size_t bytes = build("ping");

	frame[4] ^= 1;
	assert_reason(check(frame, bytes, KX_FROM_CLIENT), KX_DROP_FRAME_CHECK, "check value");
	frame[4] ^= 1;
	frame[40] ^= 1;
	assert_reason(check(frame, bytes, KX_FROM_CLIENT), KX_DROP_FRAME_CHECK, "body");
	/* A frame cut between its two batches is whole but for its length. */
	build("produce_two");
	bytes = 32 + ((struct kx_batch_hdr *)(frame + 32))->batch_bytes;
	assert_reason(check(frame, bytes, KX_FROM_CLIENT), KX_DROP_FRAME_CHECK, "cut between batches");
	kx_frame_seal(frame, bytes);
	assert_reason(check(frame, bytes, KX_FROM_CLIENT), KX_DROP_NONE, "cut and sealed");
}

static void largest(void **state)
{
	(void)state;
	uint8_t *big = calloc(1, KX_FRAME_MAX_BYTES + 8);
	uint8_t *p = kx_frame_begin(big, KX_PRODUCE, 1, 1, 0, 0);
	struct kx_batch_writer w;
	uint32_t room = KX_FRAME_MAX_BYTES - sizeof(struct kx_frame_hdr);

	assert_non_null(big);
	kx_batch_begin(&w, p, room, 0, 1, 1, 0, 0);
	while (kx_batch_claim(&w, 0) != NULL)
		;
	assert_int_equal(kx_batch_end(&w), room);
	kx_frame_seal(big, KX_FRAME_MAX_BYTES);
	assert_reason(check(big, KX_FRAME_MAX_BYTES, KX_FROM_CLIENT), KX_DROP_NONE, "largest frame");
	assert_reason(check(big, KX_FRAME_MAX_BYTES + 8, KX_FROM_CLIENT), KX_DROP_FRAME_LENGTH, "too long");
	free(big);
}

/* Noise of every length up to 2 KiB, and 64 KiB of it. */
static void noise(void **state)
{
	(void)state;
	uint8_t *data = malloc(65536);
	struct kx_prng prng;

	assert_non_null(data);
	kx_prng_seed(&prng, 1);
	for (size_t i = 0; i < 65536; i++)
		data[i] = (uint8_t)kx_prng_next(&prng);
	for (size_t n = 0; n <= 2048; n++) {
		data[0] = KX_WIRE_VERSION;
		data[1] = (uint8_t)n;
		data[2] = 0;
		assert_int_not_equal(check(data, n, KX_FROM_CLIENT), KX_DROP_NONE);
		assert_int_not_equal(check(data, n, KX_FROM_BROKER), KX_DROP_NONE);
	}
	assert_int_not_equal(check(data, 65536, KX_FROM_CLIENT), KX_DROP_NONE);
	free(data);
}

static void names(void **state)
{
	(void)state;
	assert_string_equal(kx_frame_type_name(KX_PRODUCE), "PRODUCE");
	assert_string_equal(kx_frame_type_name(KX_CREDIT), "CREDIT");
	assert_string_equal(kx_frame_type_name(0), "?");
	assert_string_equal(kx_frame_type_name(0x32), "?");
	assert_string_equal(kx_frame_type_name(255), "?");
	assert_string_equal(kx_code_text(KX_CODE_OK), "ok");
	assert_string_equal(kx_code_text(KX_CODE_SUB_UNKNOWN), "unknown subscription");
	assert_string_equal(kx_code_text(UINT32_MAX), "unknown code");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_type_valid),
		cmocka_unit_test(any_alignment),
		cmocka_unit_test(wrong_side),
		cmocka_unit_test(cut_and_grown),
		cmocka_unit_test(cut_and_sealed),
		cmocka_unit_test(every_bit_flipped),
		cmocka_unit_test(each_rule),
		cmocka_unit_test(most_entries),
		cmocka_unit_test(empty_names),
		cmocka_unit_test(small_fragments),
		cmocka_unit_test(check_value),
		cmocka_unit_test(largest),
		cmocka_unit_test(noise),
		cmocka_unit_test(names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
