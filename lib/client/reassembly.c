/* SPDX-License-Identifier: BSD-3-Clause */
/* Batches that come in several datagrams. */
#include "client_pvt.h"

/* It ends before what comes next. The first batch of a subscription may begin before that and end behind. */
static bool is_over(const struct sub *s, uint64_t first)
{
	return first < s->next_offset && s->next_offset != s->begin_offset;
}

static void release(struct reassembly *r)
{
	r->sub = NULL;
	r->complete = false;
	r->have = 0;
}

void kxc_reassembly_drop(struct sub *s, uint64_t below)
{
	for (uint32_t i = 0; i < REASSEMBLIES; i++)
		if (s->consumer->reasm[i].sub == s && s->consumer->reasm[i].first < below)
			release(&s->consumer->reasm[i]);
}

struct reassembly *kxc_reassembly_find(struct sub *s, uint64_t first)
{
	for (uint32_t i = 0; i < REASSEMBLIES; i++)
		if (s->consumer->reasm[i].sub == s && s->consumer->reasm[i].first == first)
			return &s->consumer->reasm[i];
	return NULL;
}

/* A free one, else one of this subscription that is needed later than `first`, else (for what is needed now)
 * any that is not needed at once by its own: it is repaired later. */
static struct reassembly *take(struct sub *s, uint64_t first)
{
	struct reassembly *all = s->consumer->reasm;

	for (uint32_t i = 0; i < REASSEMBLIES; i++)
		if (all[i].sub == NULL)
			return &all[i];
	for (uint32_t i = 0; i < REASSEMBLIES; i++)
		if (all[i].sub == s && all[i].first > first)
			return &all[i];
	for (uint32_t i = 0; i < REASSEMBLIES && first <= s->next_offset; i++)
		if (all[i].first != all[i].sub->next_offset)
			return &all[i];
	return NULL;
}

static void begin(struct reassembly *r, struct sub *s, const struct kx_frag *g)
{
	r->sub = s;
	r->first = g->first;
	r->batch_bytes = g->batch_bytes;
	r->part_bytes = g->part_bytes;
	r->parts = (g->batch_bytes + g->part_bytes - 1) / g->part_bytes;
	r->have = 0;
	r->complete = false;
	memset(r->bits, 0, (r->parts / 64 + 1) * sizeof(*r->bits));
}

static void complete(struct channel *ch, struct reassembly *r)
{
	const struct kx_batch_hdr *b = (const struct kx_batch_hdr *)r->data;
	enum kx_drop drop = kx_batch_check(r->data, r->batch_bytes, true);

	if (drop == KX_DROP_NONE && b->header_crc != kx_batch_header_crc(b))
		drop = KX_DROP_BATCH_CRC;
	if (drop == KX_DROP_NONE &&
		(b->batch_bytes != r->batch_bytes || b->base_offset != r->first ||
			b->partition != r->sub->partition))
		drop = KX_DROP_FRAG_BAD;
	if (drop != KX_DROP_NONE) {
		kx_count(&ch->hub->stats.drop[drop], 1);
		release(r);
		return;
	}
	r->complete = true;
}

bool kxc_reassembly_deliver(struct sub *s, uint64_t now_ns)
{
	if (s->state != SUB_ACTIVE || sub_stopped(s))
		return false;
	for (uint32_t i = 0; i < REASSEMBLIES; i++) {
		struct reassembly *r = &s->consumer->reasm[i];
		const struct kx_batch_hdr *b = (const struct kx_batch_hdr *)r->data;

		if (r->sub != s || r->first > s->next_offset)
			continue;
		if (r->complete && b->base_offset + b->record_count > s->next_offset) {
			kxc_deliver_batch(s, b, r->rx_ns, true, now_ns);
			if (b->base_offset + b->record_count > s->next_offset)
				return false; /* not taken: later */
			release(r);
			return true;
		}
		if (r->complete || is_over(s, r->first))
			release(r);
	}
	return false;
}

static bool fits(const struct sub *s, const struct kx_frag *g)
{
	return g->partition == s->partition && g->batch_bytes <= s->consumer->opts.large_bytes;
}

static void too_large(struct channel *ch, struct sub *s)
{
	struct kx_consumer *c = s->consumer;

	if (c->state == OPEN_FAILED)
		return;
	c->state = OPEN_FAILED;
	kxc_client_event(ch->client,
		&(struct kx_event){.type = KX_EVENT_CONSUMER_FAILED,
			.result = KX_TOO_LARGE,
			.consumer = c,
			.partition = s->index});
}

static void store(struct channel *ch, struct sub *s, const struct kx_frag *g, uint64_t rx_ns, uint64_t now_ns)
{
	struct reassembly *r = kxc_reassembly_find(s, g->first);
	uint32_t part = g->frag_offset / g->part_bytes;

	if (r == NULL) {
		r = take(s, g->first);
		if (r == NULL) {
			ch->client->stats.held_dropped++;
			return;
		}
		begin(r, s, g);
	} else if (r->batch_bytes != g->batch_bytes || r->part_bytes != g->part_bytes) {
		if (r->complete)
			return;
		begin(r, s, g); /* the broker cuts it differently now */
	}
	if (r->complete || (r->bits[part / 64] >> (part % 64) & 1)) {
		ch->client->stats.duplicate_batches++;
		return;
	}
	memcpy(r->data + g->frag_offset, g + 1, g->frag_bytes);
	r->bits[part / 64] |= UINT64_C(1) << (part % 64);
	r->rx_ns = rx_ns;
	r->last_ns = now_ns;
	if (++r->have == r->parts)
		complete(ch, r);
}

void kxc_reassembly_frame(
	struct channel *ch, const struct kx_frame *f, const struct kx_frame_view *v, uint64_t now_ns)
{
	const struct kx_frag *g = (const struct kx_frag *)v->body;
	struct sub *s = kxc_sub_find(ch->client, v->hdr->handle);

	if (s == NULL || s->ch != ch || s->state != SUB_ACTIVE) {
		kx_count(&ch->hub->stats.drop[KX_DROP_SUB_UNKNOWN], 1);
		return;
	}
	if (is_over(s, g->first)) {
		ch->client->stats.duplicate_batches++;
		return;
	}
	if (!fits(s, g)) {
		kx_count(&ch->hub->stats.drop[KX_DROP_FRAG_BAD], 1);
		if (g->batch_bytes > s->consumer->opts.large_bytes)
			too_large(ch, s);
		return;
	}
	s->sent_end = KX_MAX(s->sent_end, g->first + 1);
	s->log_end = KX_MAX(s->log_end, g->first + 1);
	store(ch, s, g, f->rx_ns, now_ns);
	kxc_credit_due(s,
		now_ns + CREDIT_WAIT); /* the broker paces itself by what it hears, also within a message */
	kxc_deliver_held(s, now_ns);
	/* parts that come in their order are no hole: only silence makes them one */
	if (s->state == SUB_ACTIVE && kxc_sub_has_gap(s)) {
		hole_below(s, g->first + 1);
		kxc_gap_seen(s, now_ns);
		if (kxc_reassembly_find(s, s->next_offset) != NULL)
			kxc_gap_later(s, now_ns);
	}
}

/* Byte ranges that are missing. The broker paces: what follows the last part that came is on its way, unless
 * it has been silent for long. */
unsigned int kxc_reassembly_missing(
	const struct reassembly *r, struct kx_nak_entry *out, unsigned int max, bool tail)
{
	unsigned int n = 0;

	for (uint32_t i = 0; i < r->parts && n < max; i++) {
		uint32_t from = i;

		while (i < r->parts && !(r->bits[i / 64] >> (i % 64) & 1))
			i++;
		if (i == from || (i == r->parts && !tail))
			continue;
		out[n++] = (struct kx_nak_entry){.handle = r->sub->id,
			.kind = KX_NAK_BYTES,
			.first = r->first,
			.last = (uint64_t)KX_MIN(i * r->part_bytes, r->batch_bytes) << 32 |
				(from * r->part_bytes)};
	}
	return n;
}
