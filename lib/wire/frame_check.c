/* SPDX-License-Identifier: BSD-3-Clause */
/* The checks every frame gets: header, check value, extensions; then the one of its type. */
#include "wire_private.h"

/* Which numbers the header carries. */
enum wire_numbers {
	WIRE_SESSION, /* conn_id and pkt_no set */
	WIRE_SETUP,   /* neither: there is no session yet */
	WIRE_EITHER,  /* REFUSE: neither in set-up, both in a session */
	WIRE_UNKNOWN, /* RESET: the peer's conn_id, no pkt_no: the broker has no session to number it in */
};

typedef enum kx_drop (*wire_check_fn)(const struct kx_frame_view *v, enum kx_side from);

struct wire_rule {
	wire_check_fn check; /* NULL: nothing beyond the size */
	uint16_t body_min;
	bool exact;   /* the body is body_min bytes, no more */
	bool padded;  /* the frame is KX_HELLO_BYTES */
	bool handle;  /* the header names a subscription */
	bool sized;   /* the body begins with the frame's size */
	uint8_t from; /* bit (1 << enum kx_side); 0 for unknown types */
	uint8_t numbers;
};

#define C  (1u << KX_FROM_CLIENT)
#define B  (1u << KX_FROM_BROKER)
#define CB (C | B)

static const struct wire_rule rules[] = {
	[KX_HELLO] = {wire_check_hello, sizeof(struct kx_hello), .padded = true, .from = C,
		.numbers = WIRE_SETUP},
	[KX_COOKIE] = {NULL, sizeof(struct kx_cookie), .exact = true, .from = B, .numbers = WIRE_SETUP},
	[KX_AUTH] = {wire_check_auth, sizeof(struct kx_auth), .padded = true, .from = C,
		.numbers = WIRE_SETUP},
	[KX_ACCEPT] = {wire_check_accept, sizeof(struct kx_accept), .exact = true, .from = B,
		.numbers = WIRE_SETUP},
	[KX_REFUSE] = {NULL, sizeof(struct kx_refuse), .exact = true, .from = B, .numbers = WIRE_EITHER},
	[KX_RESET] = {wire_check_reset, sizeof(struct kx_reset), .exact = true, .from = B,
		.numbers = WIRE_UNKNOWN},
	[KX_CLOSE] = {wire_check_close, sizeof(struct kx_close), .exact = true, .from = CB},
	[KX_PING] = {NULL, sizeof(struct kx_ping), .exact = true, .from = C},
	[KX_PONG] = {wire_check_pong, sizeof(struct kx_pong), .exact = true, .from = B},
	[KX_HEARTBEAT] = {wire_check_heartbeat, sizeof(struct kx_receipt), .from = CB},
	[KX_METADATA_REQ] = {wire_check_metadata_req, sizeof(struct kx_metadata_req), .exact = true,
		.from = C},
	[KX_METADATA] = {wire_check_metadata, sizeof(struct kx_metadata), .from = B},
	[KX_TOPICS_REQ] = {NULL, sizeof(struct kx_topics_req), .exact = true, .from = C},
	[KX_TOPICS] = {wire_check_topics, sizeof(struct kx_topics), .from = B},
	[KX_SUBSCRIBE] = {wire_check_subscribe, sizeof(struct kx_subscribe), .exact = true, .from = C},
	[KX_SUBSCRIBED] = {wire_check_subscribed, sizeof(struct kx_subscribed), .exact = true, .from = B},
	[KX_UNSUBSCRIBE] = {wire_check_unsubscribe, sizeof(struct kx_unsubscribe), .exact = true, .from = C},
	[KX_UNSUBSCRIBED] = {wire_check_unsubscribe, sizeof(struct kx_unsubscribe), .exact = true, .from = B},
	[KX_NOTICE] = {wire_check_notice, sizeof(struct kx_notice), .exact = true, .handle = true, .from = B},
	[KX_NOT_OWNER] = {wire_check_not_owner, sizeof(struct kx_not_owner), .exact = true, .from = B},
	[KX_PRODUCE_REFUSED] = {wire_check_produce_refused, sizeof(struct kx_produce_refused), .exact = true,
		.from = B},
	[KX_PRODUCE] = {NULL, KX_BATCH_MIN_BYTES, .from = C},
	[KX_DELIVER] = {NULL, KX_BATCH_MIN_BYTES, .handle = true, .from = B},
	[KX_PRODUCE_FRAG] = {wire_check_frag, sizeof(struct kx_frag) + 8, .from = C},
	[KX_DELIVER_FRAG] = {wire_check_frag, sizeof(struct kx_frag) + 8, .handle = true, .from = B},
	[KX_RX_ACK] = {wire_check_rx_ack, sizeof(struct kx_receipt), .from = CB},
	[KX_COMMIT_ACK] = {wire_check_commit_ack, sizeof(struct kx_receipt), .from = B},
	[KX_NAK] = {wire_check_nak, sizeof(struct kx_nak) + sizeof(struct kx_nak_entry), .from = CB},
	[KX_CREDIT] = {wire_check_credit, sizeof(struct kx_receipt), .from = C},
	[KX_RESUME] = {wire_check_resume, sizeof(struct kx_resume) + sizeof(struct kx_resume_entry),
		.from = C},
	[KX_RESUMED] = {wire_check_resumed, sizeof(struct kx_resumed) + sizeof(struct kx_resumed_entry),
		.from = B},
	[KX_PATH_CHALLENGE] = {NULL, sizeof(struct kx_path_token), .exact = true, .from = B},
	[KX_PATH_RESPONSE] = {NULL, sizeof(struct kx_path_token), .exact = true, .from = C},
	[KX_MTU_PROBE] = {wire_check_mtu, sizeof(struct kx_mtu), .sized = true, .from = C},
	[KX_MTU_PROBED] = {wire_check_mtu, sizeof(struct kx_mtu), .sized = true, .from = B},
};

#undef C
#undef B
#undef CB

/* Size rules that need nothing but the header. */
static KX_ALWAYS_INLINE enum kx_drop check_size(
	const struct kx_frame_hdr *h, size_t bytes, const struct wire_rule *rule)
{
	size_t need = sizeof(*h) + 8u * h->ext_words + rule->body_min;

	if (kx_unlikely(rule->padded) && bytes != KX_HELLO_BYTES)
		return bytes < KX_HELLO_BYTES ? KX_DROP_HELLO_UNPADDED : KX_DROP_FRAME_LENGTH;
	if (kx_unlikely(bytes < need))
		return KX_DROP_FRAME_SHORT;
	if (kx_unlikely(rule->exact && bytes != need))
		return KX_DROP_FRAME_LENGTH;
	return KX_DROP_NONE;
}

/* Version 1 knows no extension: each must be well formed and ignorable. */
static bool extensions_ok(const uint8_t *p, uint32_t words)
{
	while (words > 0) {
		const struct kx_ext *e = (const struct kx_ext *)p;

		if (e->words == 0 || e->words > words || e->zero != 0 || e->flags != KX_EXT_IGNORABLE)
			return false;
		p += 8u * e->words;
		words -= e->words;
	}
	return true;
}

static KX_ALWAYS_INLINE bool numbers_ok(const struct kx_frame_hdr *h, const struct wire_rule *rule)
{
	if ((h->handle != 0) != rule->handle || h->floor_delta > h->pkt_no)
		return false;
	switch (rule->numbers) {
	case WIRE_SESSION:
		return h->conn_id != 0 && h->pkt_no != 0;
	case WIRE_SETUP:
		return h->conn_id == 0 && h->pkt_no == 0;
	case WIRE_EITHER:
		return (h->conn_id == 0) == (h->pkt_no == 0);
	default:
		return h->conn_id != 0 && h->pkt_no == 0;
	}
}

static KX_ALWAYS_INLINE enum kx_drop check_frame(
	const uint8_t *data, size_t bytes, enum kx_side from, struct kx_frame_view *view, bool opened)
{
	const struct kx_frame_hdr *h = (const struct kx_frame_hdr *)data;
	const struct wire_rule *rule;
	enum kx_drop reason;
	size_t head;

	if (kx_unlikely(bytes < sizeof(*h)))
		return KX_DROP_FRAME_SHORT;
	if (kx_unlikely(bytes > KX_FRAME_MAX_BYTES))
		return KX_DROP_FRAME_LENGTH;
	if (kx_unlikely(h->version != KX_WIRE_VERSION))
		return KX_DROP_FRAME_VERSION;
	if (kx_unlikely(h->type >= KX_DIM(rules)))
		return KX_DROP_FRAME_TYPE;
	rule = &rules[h->type];
	if (kx_unlikely((rule->from >> from & 1) == 0))
		return KX_DROP_FRAME_TYPE;
	if (kx_unlikely((h->flags & ~KX_FLAGS_ACCEPTED) != 0))
		return KX_DROP_FRAME_FLAGS;
	reason = check_size(h, bytes, rule);
	if (kx_unlikely(reason != KX_DROP_NONE))
		return reason;
	if (kx_unlikely(!opened && h->check != wire_frame_crc(data, bytes)))
		return KX_DROP_FRAME_CHECK;
	if (kx_unlikely(h->ext_words != 0) && !extensions_ok(data + sizeof(*h), h->ext_words))
		return KX_DROP_FRAME_EXTENSION;
	if (kx_unlikely(!numbers_ok(h, rule)))
		return KX_DROP_FRAME_FIELD;

	head = sizeof(*h) + 8u * h->ext_words;
	*view = (struct kx_frame_view){.hdr = h, .body = data + head, .body_bytes = (uint32_t)(bytes - head)};
	if (kx_likely(h->type == KX_PRODUCE || h->type == KX_DELIVER))
		return wire_check_batches(view);
	if (kx_unlikely(rule->sized) && wire_load16(view->body) != bytes + (opened ? KX_TAG_BYTES : 0))
		return KX_DROP_FRAME_FIELD;
	return rule->check ? rule->check(view, from) : KX_DROP_NONE;
}

enum kx_drop kx_frame_check(const uint8_t *data, size_t bytes, enum kx_side from, struct kx_frame_view *view)
{
	return check_frame(data, bytes, from, view, false);
}

enum kx_drop kx_frame_check_opened(
	const uint8_t *data, size_t bytes, enum kx_side from, struct kx_frame_view *view)
{
	return check_frame(data, bytes, from, view, true);
}
