/* SPDX-License-Identifier: BSD-3-Clause */
/* Bodies of the set-up and request frames, and of their answers. */
#include "wire_private.h"

#define FIELD_IF(cond)                                                                                       \
	do {                                                                                                 \
		if (kx_unlikely(cond))                                                                       \
			return KX_DROP_FRAME_FIELD;                                                          \
	} while (0)

/* Padding behind a set-up body, up to the frame's end. */
static bool padding_ok(const struct kx_frame_view *v, size_t body)
{
	return wire_all_zero(v->body + body, v->body_bytes - body);
}

/* A name of `bytes` bytes in a field of `size`: not empty, zeros behind it. */
static bool name_ok(const uint8_t *name, uint32_t bytes, uint32_t size)
{
	return bytes > 0 && bytes < size && wire_all_zero(name + bytes, size - bytes);
}

static bool durability_ok(uint8_t level)
{
	return level >= KX_MEMORY && level <= KX_REPLICATED;
}

enum kx_drop wire_check_hello(const struct kx_frame_view *v, enum kx_side from)
{
	const struct kx_hello *b = (const struct kx_hello *)v->body;

	(void)from;
	FIELD_IF(b->version_min == 0 || b->version_min > b->version_max);
	FIELD_IF(!wire_all_zero(b->zero, sizeof(b->zero)) || !padding_ok(v, sizeof(*b)));
	return KX_DROP_NONE;
}

enum kx_drop wire_check_auth(const struct kx_frame_view *v, enum kx_side from)
{
	const struct kx_auth *b = (const struct kx_auth *)v->body;

	(void)from;
	FIELD_IF(b->method > KX_AUTH_TICKET || b->datagram_bytes < KX_DATAGRAM_MIN_BYTES);
	FIELD_IF(b->protect > KX_PROTECT_AEAD || !wire_all_zero(b->zero, sizeof(b->zero)));
	FIELD_IF(b->principal_bytes != 0 && !name_ok(b->principal, b->principal_bytes, sizeof(b->principal)));
	FIELD_IF(b->principal_bytes == 0 && !wire_all_zero(b->principal, sizeof(b->principal)));
	FIELD_IF(b->method == KX_AUTH_NONE && !wire_all_zero(b->mac, sizeof(b->mac)));
	FIELD_IF(b->method == KX_AUTH_TICKET && b->producer_id != 0);
	FIELD_IF(b->method != KX_AUTH_TICKET && !wire_all_zero(b->ticket, sizeof(b->ticket)));
	FIELD_IF(!padding_ok(v, sizeof(*b)));
	return KX_DROP_NONE;
}

enum kx_drop wire_check_accept(const struct kx_frame_view *v, enum kx_side from)
{
	const struct kx_accept *b = (const struct kx_accept *)v->body;

	(void)from;
	FIELD_IF(b->conn_id == 0 || b->base_port == 0);
	FIELD_IF(b->lcore_count == 0 || b->lcore_count > KX_LCORES_MAX || b->lcore_index >= b->lcore_count);
	FIELD_IF((uint32_t)b->base_port + b->lcore_count - 1 > UINT16_MAX);
	FIELD_IF(b->datagram_bytes < KX_DATAGRAM_MIN_BYTES || b->datagram_bytes > KX_FRAME_MAX_BYTES);
	FIELD_IF(!durability_ok(b->durability) || b->protect > KX_PROTECT_AEAD);
	FIELD_IF(!wire_all_zero(b->zero, sizeof(b->zero)) || b->zero2 != 0);
	return KX_DROP_NONE;
}

enum kx_drop wire_check_reset(const struct kx_frame_view *v, enum kx_side from)
{
	const struct kx_reset *b = (const struct kx_reset *)v->body;

	(void)from;
	FIELD_IF(b->pkt_no == 0);
	return KX_DROP_NONE;
}

enum kx_drop wire_check_close(const struct kx_frame_view *v, enum kx_side from)
{
	const struct kx_close *b = (const struct kx_close *)v->body;

	(void)from;
	FIELD_IF(b->zero != 0);
	return KX_DROP_NONE;
}

enum kx_drop wire_check_pong(const struct kx_frame_view *v, enum kx_side from)
{
	const struct kx_pong *b = (const struct kx_pong *)v->body;

	(void)from;
	FIELD_IF(b->zero != 0);
	return KX_DROP_NONE;
}

enum kx_drop wire_check_metadata_req(const struct kx_frame_view *v, enum kx_side from)
{
	const struct kx_metadata_req *b = (const struct kx_metadata_req *)v->body;

	(void)from;
	FIELD_IF(b->zero != 0 || !name_ok(b->topic, b->topic_bytes, sizeof(b->topic)));
	return KX_DROP_NONE;
}

enum kx_drop wire_check_metadata(const struct kx_frame_view *v, enum kx_side from)
{
	const struct kx_metadata *b = (const struct kx_metadata *)v->body;
	const struct kx_metadata_entry *e = (const struct kx_metadata_entry *)(b + 1);

	(void)from;
	if (v->body_bytes != sizeof(*b) + b->entry_count * sizeof(*e))
		return KX_DROP_FRAME_LENGTH;
	FIELD_IF(b->overrun > 1 || b->durability > KX_REPLICATED);
	FIELD_IF(b->code == KX_CODE_OK && b->durability == 0);
	FIELD_IF(b->code != KX_CODE_OK && b->entry_count != 0);
	FIELD_IF(b->entry_count != 0 && (uint32_t)b->first_index + b->entry_count > b->partition_count);
	/* The offsets are read while their partition's lcore goes on: no order between them is promised. */
	for (uint32_t i = 0; i < b->entry_count; i++)
		FIELD_IF(e[i].zero != 0 || e[i].index != b->first_index + i);
	return KX_DROP_NONE;
}

enum kx_drop wire_check_topics(const struct kx_frame_view *v, enum kx_side from)
{
	const struct kx_topics *b = (const struct kx_topics *)v->body;
	const struct kx_topics_entry *e = (const struct kx_topics_entry *)(b + 1);

	(void)from;
	if (v->body_bytes != sizeof(*b) + b->entry_count * sizeof(*e))
		return KX_DROP_FRAME_LENGTH;
	FIELD_IF(b->entry_count != 0 && (uint64_t)b->first_index + b->entry_count > b->topic_count);
	for (uint32_t i = 0; i < b->entry_count; i++) {
		FIELD_IF(e[i].partition_count == 0 || !durability_ok(e[i].durability) || e[i].overrun > 1);
		FIELD_IF(!wire_all_zero(e[i].zero, sizeof(e[i].zero)) ||
			!name_ok(e[i].name, e[i].name_bytes, sizeof(e[i].name)));
	}
	return KX_DROP_NONE;
}

enum kx_drop wire_check_subscribe(const struct kx_frame_view *v, enum kx_side from)
{
	const struct kx_subscribe *b = (const struct kx_subscribe *)v->body;

	(void)from;
	FIELD_IF(b->sub_id == 0 || b->zero != 0);
	return KX_DROP_NONE;
}

enum kx_drop wire_check_subscribed(const struct kx_frame_view *v, enum kx_side from)
{
	const struct kx_subscribed *b = (const struct kx_subscribed *)v->body;

	(void)from;
	FIELD_IF(b->sub_id == 0 || b->zero != 0);
	return KX_DROP_NONE;
}

enum kx_drop wire_check_unsubscribe(const struct kx_frame_view *v, enum kx_side from)
{
	const struct kx_unsubscribe *b = (const struct kx_unsubscribe *)v->body;

	(void)from;
	FIELD_IF(b->sub_id == 0);
	return KX_DROP_NONE;
}

enum kx_drop wire_check_notice(const struct kx_frame_view *v, enum kx_side from)
{
	const struct kx_notice *b = (const struct kx_notice *)v->body;

	(void)from;
	FIELD_IF(b->code < KX_NOTICE_OFFSET_TRIMMED || b->code > KX_NOTICE_CLOSED);
	return KX_DROP_NONE;
}

enum kx_drop wire_check_not_owner(const struct kx_frame_view *v, enum kx_side from)
{
	const struct kx_not_owner *b = (const struct kx_not_owner *)v->body;

	(void)from;
	FIELD_IF(b->pkt_no == 0 || b->zero != 0);
	return KX_DROP_NONE;
}

enum kx_drop wire_check_produce_refused(const struct kx_frame_view *v, enum kx_side from)
{
	const struct kx_produce_refused *b = (const struct kx_produce_refused *)v->body;

	(void)from;
	FIELD_IF(b->pkt_no == 0 || b->code == KX_CODE_OK);
	return KX_DROP_NONE;
}

enum kx_drop wire_check_mtu(const struct kx_frame_view *v, enum kx_side from)
{
	const struct kx_mtu *b = (const struct kx_mtu *)v->body;

	(void)from; /* `size` was compared with the frame */
	FIELD_IF(b->proven_bytes < KX_DATAGRAM_MIN_BYTES || b->proven_bytes > KX_FRAME_MAX_BYTES);
	FIELD_IF(b->zero != 0 || !padding_ok(v, sizeof(*b)));
	return KX_DROP_NONE;
}

enum kx_drop wire_check_resume(const struct kx_frame_view *v, enum kx_side from)
{
	const struct kx_resume *b = (const struct kx_resume *)v->body;
	const struct kx_resume_entry *e = (const struct kx_resume_entry *)(b + 1);

	(void)from;
	if (v->body_bytes != sizeof(*b) + b->entry_count * sizeof(*e))
		return KX_DROP_FRAME_LENGTH;
	FIELD_IF(b->entry_count > KX_ENTRIES_MAX || b->boot_id == 0 || b->producer_id == 0 || b->zero != 0);
	for (uint32_t i = 0; i < b->entry_count; i++)
		FIELD_IF(e[i].zero != 0 || e[i].level < KX_MEMORY || e[i].level > KX_REPLICATED);
	return KX_DROP_NONE;
}

enum kx_drop wire_check_resumed(const struct kx_frame_view *v, enum kx_side from)
{
	const struct kx_resumed *b = (const struct kx_resumed *)v->body;
	const struct kx_resumed_entry *e = (const struct kx_resumed_entry *)(b + 1);

	(void)from;
	if (v->body_bytes != sizeof(*b) + b->entry_count * sizeof(*e))
		return KX_DROP_FRAME_LENGTH;
	FIELD_IF(b->entry_count > KX_ENTRIES_MAX);
	for (uint32_t i = 0; i < b->entry_count; i++) /* what is neither stored nor lost has no numbers */
		FIELD_IF(e[i].code != KX_CODE_OK && e[i].code != KX_CODE_LOST &&
			(e[i].next_seq != 0 || e[i].next_offset != 0));
	return KX_DROP_NONE;
}
