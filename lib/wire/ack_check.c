/* SPDX-License-Identifier: BSD-3-Clause */
/* Bodies of the frames that acknowledge, grant credit and ask for repair. */
#include "wire_private.h"

/* Packets a receiver can tell apart above its next_pkt (lib/session: KX_RXWIN_PKTS). */
#define WINDOW KX_ACK_WINDOW_PKTS

static bool receipt_ok(const struct kx_receipt *r)
{
	/* next_pkt = 0 wraps to the largest number and fails both. */
	uint64_t before = r->next_pkt - 1;

	return before <= r->largest_pkt && r->largest_pkt - before <= WINDOW && r->blocked <= KX_BLOCKED_DISK;
}

enum kx_drop wire_check_rx_ack(const struct kx_frame_view *v, enum kx_side from)
{
	const struct kx_receipt *r = (const struct kx_receipt *)v->body;
	const struct kx_ack_range *range = (const struct kx_ack_range *)(r + 1);
	uint64_t end =
		0; /* of the last range; next_pkt itself is missing, so that the first starts above 0 */

	(void)from;
	if (v->body_bytes != sizeof(*r) + r->range_count * sizeof(*range))
		return KX_DROP_FRAME_LENGTH;
	if (!receipt_ok(r) || r->range_count > KX_ACK_RANGES_MAX || r->entry_count != 0)
		return KX_DROP_FRAME_FIELD;
	for (uint32_t i = 0; i < r->range_count; i++) {
		if (range[i].start <= end || range[i].count == 0)
			return KX_DROP_FRAME_FIELD;
		end = (uint64_t)range[i].start + range[i].count;
		if (end > r->largest_pkt - (r->next_pkt - 1))
			return KX_DROP_FRAME_FIELD;
	}
	return KX_DROP_NONE;
}

/* Receipt followed by entry_count entries of `entry_bytes`. */
static enum kx_drop check_entries(const struct kx_frame_view *v, size_t entry_bytes)
{
	const struct kx_receipt *r = (const struct kx_receipt *)v->body;

	if (v->body_bytes != sizeof(*r) + r->entry_count * entry_bytes)
		return KX_DROP_FRAME_LENGTH;
	if (!receipt_ok(r) || r->range_count != 0 || r->entry_count > KX_ENTRIES_MAX)
		return KX_DROP_FRAME_FIELD;
	return KX_DROP_NONE;
}

enum kx_drop wire_check_commit_ack(const struct kx_frame_view *v, enum kx_side from)
{
	const struct kx_receipt *r = (const struct kx_receipt *)v->body;
	const struct kx_commit_entry *e = (const struct kx_commit_entry *)(r + 1);
	enum kx_drop reason = check_entries(v, sizeof(*e));

	(void)from;
	if (reason != KX_DROP_NONE)
		return reason;
	for (uint32_t i = 0; i < r->entry_count; i++) {
		if (e[i].level < KX_MEMORY || e[i].level > KX_REPLICATED ||
			(e[i].zero[0] | e[i].zero[1] | e[i].zero[2]) != 0)
			return KX_DROP_FRAME_FIELD;
	}
	return KX_DROP_NONE;
}

enum kx_drop wire_check_credit(const struct kx_frame_view *v, enum kx_side from)
{
	const struct kx_receipt *r = (const struct kx_receipt *)v->body;
	const struct kx_credit_entry *e = (const struct kx_credit_entry *)(r + 1);
	enum kx_drop reason = check_entries(v, sizeof(*e));

	(void)from;
	if (reason != KX_DROP_NONE)
		return reason;
	for (uint32_t i = 0; i < r->entry_count; i++) {
		if (e[i].sub_id == 0 || e[i].zero != 0 || e[i].done_offset > e[i].next_offset)
			return KX_DROP_FRAME_FIELD;
	}
	return KX_DROP_NONE;
}

enum kx_drop wire_check_heartbeat(const struct kx_frame_view *v, enum kx_side from)
{
	const struct kx_receipt *r = (const struct kx_receipt *)v->body;
	const struct kx_heartbeat_entry *e = (const struct kx_heartbeat_entry *)(r + 1);
	enum kx_drop reason = check_entries(v, sizeof(*e));

	if (reason != KX_DROP_NONE)
		return reason;
	if (from == KX_FROM_CLIENT && r->entry_count != 0)
		return KX_DROP_FRAME_FIELD;
	for (uint32_t i = 0; i < r->entry_count; i++) {
		if (e[i].sub_id == 0)
			return KX_DROP_FRAME_FIELD;
	}
	return KX_DROP_NONE;
}

/* Brokers repair producers by packet, consumers repair brokers by offset and byte range. */
static bool nak_entry_ok(const struct kx_nak_entry *e, enum kx_side from)
{
	uint32_t begin = (uint32_t)e->last, end = (uint32_t)(e->last >> 32);

	switch (e->kind) {
	case KX_NAK_PKTS:
		return from == KX_FROM_BROKER && e->handle == 0 && e->first > 0 && e->first <= e->last &&
			e->last - e->first < WINDOW;
	case KX_NAK_OFFSETS:
		return from == KX_FROM_CLIENT && e->handle != 0 && e->first <= e->last;
	case KX_NAK_BYTES:
		return from == KX_FROM_CLIENT && e->handle != 0 && begin < end && end <= KX_BATCH_MAX_BYTES &&
			(begin & 7) == 0 && (end & 7) == 0;
	default:
		return false;
	}
}

enum kx_drop wire_check_nak(const struct kx_frame_view *v, enum kx_side from)
{
	const struct kx_nak *b = (const struct kx_nak *)v->body;
	const struct kx_nak_entry *e = (const struct kx_nak_entry *)(b + 1);

	if (v->body_bytes != sizeof(*b) + b->entry_count * (uint64_t)sizeof(*e))
		return KX_DROP_FRAME_LENGTH;
	if (b->entry_count > KX_ENTRIES_MAX || b->zero != 0)
		return KX_DROP_FRAME_FIELD;
	for (uint32_t i = 0; i < b->entry_count; i++) {
		if (!nak_entry_ok(&e[i], from))
			return KX_DROP_FRAME_FIELD;
	}
	return KX_DROP_NONE;
}
