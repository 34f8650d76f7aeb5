/* SPDX-License-Identifier: BSD-3-Clause */
/* Wire, private: unaligned loads and the check value, shared by the readers and writers. */
#ifndef KX_WIRE_PRIVATE_H
#define KX_WIRE_PRIVATE_H

#include <string.h>

#include "kx_wire.h"

static KX_ALWAYS_INLINE uint16_t wire_load16(const uint8_t *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static KX_ALWAYS_INLINE uint32_t wire_load32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static KX_ALWAYS_INLINE uint64_t wire_load64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static inline bool wire_all_zero(const uint8_t *p, size_t bytes)
{
	uint8_t any = 0;

	for (size_t i = 0; i < bytes; i++)
		any |= p[i];
	return any == 0;
}

/* One 8-byte step of a CRC32C state (not inverted). */
static KX_ALWAYS_INLINE uint32_t wire_crc_step(uint32_t state, uint64_t word)
{
#ifdef __SSE4_2__
	return (uint32_t)__builtin_ia32_crc32di(state, word);
#else
	return ~kx_crc32c(~state, &word, sizeof(word));
#endif
}

/** Last four bytes, and the final xor. */
static KX_ALWAYS_INLINE uint32_t wire_crc_end32(uint32_t state, uint32_t word)
{
#ifdef __SSE4_2__
	return ~__builtin_ia32_crc32si(state, word);
#else
	return kx_crc32c(~state, &word, sizeof(word));
#endif
}

/* Bytes of the frame that its check value covers. The caller knows that the header is there. */
static KX_ALWAYS_INLINE size_t wire_covered_bytes(const struct kx_frame_hdr *h, size_t bytes)
{
	size_t head = sizeof(*h) + 8u * h->ext_words;

	switch (h->type) {
	case KX_PRODUCE:
	case KX_DELIVER:
		return head;
	case KX_PRODUCE_FRAG:
	case KX_DELIVER_FRAG:
		return head + sizeof(struct kx_frag);
	default:
		return bytes;
	}
}

/*
 * CRC32C of the covered bytes with the frame's length in the place of the check field. The 32 header bytes
 * take four crc32 instructions; a plain PRODUCE or DELIVER needs nothing else.
 */
static KX_ALWAYS_INLINE uint32_t wire_frame_crc(const uint8_t *data, size_t bytes)
{
	size_t covered = wire_covered_bytes((const struct kx_frame_hdr *)data, bytes);
	uint32_t state = UINT32_MAX;

	state = wire_crc_step(state, wire_load32(data) | (uint64_t)bytes << 32);
	state = wire_crc_step(state, wire_load64(data + 8));
	state = wire_crc_step(state, wire_load64(data + 16));
	state = wire_crc_step(state, wire_load64(data + 24));
	if (kx_likely(covered == sizeof(struct kx_frame_hdr)))
		return ~state;
	return kx_crc32c(~state, data + sizeof(struct kx_frame_hdr), covered - sizeof(struct kx_frame_hdr));
}

/* Checks of a frame's body by type: header, check value and extensions are good, body_bytes >= the minimum
 * (and exact where the type's size is fixed). */
enum kx_drop wire_check_hello(const struct kx_frame_view *v, enum kx_side from);
enum kx_drop wire_check_auth(const struct kx_frame_view *v, enum kx_side from);
enum kx_drop wire_check_accept(const struct kx_frame_view *v, enum kx_side from);
enum kx_drop wire_check_reset(const struct kx_frame_view *v, enum kx_side from);
enum kx_drop wire_check_close(const struct kx_frame_view *v, enum kx_side from);
enum kx_drop wire_check_pong(const struct kx_frame_view *v, enum kx_side from);
enum kx_drop wire_check_metadata_req(const struct kx_frame_view *v, enum kx_side from);
enum kx_drop wire_check_metadata(const struct kx_frame_view *v, enum kx_side from);
enum kx_drop wire_check_topics(const struct kx_frame_view *v, enum kx_side from);
enum kx_drop wire_check_subscribe(const struct kx_frame_view *v, enum kx_side from);
enum kx_drop wire_check_subscribed(const struct kx_frame_view *v, enum kx_side from);
enum kx_drop wire_check_unsubscribe(const struct kx_frame_view *v, enum kx_side from);
enum kx_drop wire_check_notice(const struct kx_frame_view *v, enum kx_side from);
enum kx_drop wire_check_not_owner(const struct kx_frame_view *v, enum kx_side from);
enum kx_drop wire_check_produce_refused(const struct kx_frame_view *v, enum kx_side from);
enum kx_drop wire_check_mtu(const struct kx_frame_view *v, enum kx_side from);
enum kx_drop wire_check_resume(const struct kx_frame_view *v, enum kx_side from);
enum kx_drop wire_check_resumed(const struct kx_frame_view *v, enum kx_side from);
enum kx_drop wire_check_rx_ack(const struct kx_frame_view *v, enum kx_side from);
enum kx_drop wire_check_commit_ack(const struct kx_frame_view *v, enum kx_side from);
enum kx_drop wire_check_credit(const struct kx_frame_view *v, enum kx_side from);
enum kx_drop wire_check_heartbeat(const struct kx_frame_view *v, enum kx_side from);
enum kx_drop wire_check_nak(const struct kx_frame_view *v, enum kx_side from);
enum kx_drop wire_check_frag(const struct kx_frame_view *v, enum kx_side from);

/* All batches of a PRODUCE or DELIVER; fills the view's counts. */
enum kx_drop wire_check_batches(struct kx_frame_view *v);

/*
 * Size of the record with a flag set that starts at p, with `room` >= 8 bytes up to its batch's end; every
 * part of it is checked. 0 when it is malformed or does not fit.
 */
uint64_t wire_record_full_bytes(const uint8_t *p, uint64_t room);

#endif
