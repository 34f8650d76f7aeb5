/* SPDX-License-Identifier: BSD-3-Clause */
/* What consumers tell the broker: credit and position, and which offsets are missing. */
#include "client_pvt.h"

#define NAK_BACKOFF_MAX (100 * MS)
#define RTT_GUESS	(2 * MS)

/* Announce the credit of s at the latest at due_ns. */
void credit_due(struct sub *s, uint64_t due_ns)
{
	struct channel *ch = s->ch;

	if (ch == NULL || s->state != SUB_ACTIVE)
		return;
	if (!s->credit_listed) {
		s->credit_listed = true;
		s->credit_next = ch->credit_head;
		ch->credit_head = s;
	}
	if (due_ns < ch->credit_due_ns)
		ch->credit_due_ns = due_ns;
}

bool sub_has_gap(const struct sub *s)
{
	return s->state == SUB_ACTIVE && s->sent_end > s->next_offset;
}

static uint64_t rtt_of(const struct channel *ch)
{
	return ch->rtt.valid ? ch->rtt.srtt_ns : RTT_GUESS;
}

/* Something is missing, or was: time the question. Progress restarts the back-off. */
void gap_seen(struct sub *s, uint64_t now_ns)
{
	struct channel *ch = s->ch;
	uint64_t wait = kx_rtt_reorder_ns(&ch->rtt);

	if (!s->gap_listed) {
		if (!sub_has_gap(s))
			return;
		s->gap_listed = true;
		s->gap_next = ch->gap_head;
		ch->gap_head = s;
		s->nak_tries = 0;
		s->nak_offset = s->next_offset;
		s->nak_due_ns = now_ns + wait;
	} else if (s->next_offset != s->nak_offset) {
		s->consumer->client->stats.repaired_holes++;
		s->nak_tries = 0;
		s->nak_offset = s->next_offset;
		s->nak_due_ns = KX_MAX(now_ns + wait, s->nak_last_ns + rtt_of(ch));
	}
	ch->nak_due_ns = KX_MIN(ch->nak_due_ns, s->nak_due_ns);
}

struct entries {
	struct kx_nak_entry *out;
	unsigned int n, max;
};

static void add_offsets(struct entries *e, const struct sub *s, uint64_t first, uint64_t end)
{
	if (first < end && e->n < e->max)
		e->out[e->n++] = (struct kx_nak_entry){
			.handle = s->id, .kind = KX_NAK_OFFSETS, .first = first, .last = end - 1};
}

/* The batch in reassembly with the lowest offset in [from, to). */
static struct reassembly *next_reassembly(struct sub *s, uint64_t from, uint64_t to)
{
	struct reassembly *best = NULL;

	for (uint32_t i = 0; i < REASSEMBLIES; i++) {
		struct reassembly *r = &s->consumer->reasm[i];

		if (r->sub == s && r->first >= from && r->first < to &&
			(best == NULL || r->first < best->first))
			best = r;
	}
	return best;
}

/* Holes in [from, to): all of it but what is being put together, of which the missing bytes are named. */
static void add_between(struct entries *e, struct sub *s, uint64_t from, uint64_t to)
{
	struct reassembly *r;

	while (from < to && (r = next_reassembly(s, from, to)) != NULL) {
		add_offsets(e, s, from, r->first);
		if (!r->complete)
			e->n += reassembly_missing(r, e->out + e->n, e->max - e->n);
		from = r->first + (r->complete ? ((const struct kx_batch_hdr *)r->data)->record_count : 1);
	}
	add_offsets(e, s, from, to);
}

static void name_holes(struct sub *s, struct entries *e)
{
	const struct kx_consumer *c = s->consumer;
	uint64_t from = s->next_offset;

	for (uint32_t i = s->held_head; i != NONE; i = c->holds[i].next) {
		add_between(e, s, from, c->holds[i].first);
		from = KX_MAX(from, c->holds[i].end);
	}
	add_between(e, s, from, s->sent_end);
}

static unsigned int send_nak(
	struct channel *ch, const struct kx_nak_entry *entries, uint32_t n, uint64_t now_ns)
{
	uint32_t bytes = (uint32_t)(sizeof(struct kx_nak) + n * sizeof(*entries));
	struct out o;

	if (n == 0 || !channel_begin(ch, KX_NAK, bytes, now_ns, &o))
		return 0;
	*(struct kx_nak *)o.body = (struct kx_nak){.entry_count = n};
	memcpy(o.body + sizeof(struct kx_nak), entries, n * sizeof(*entries));
	channel_send(ch, &o, bytes, now_ns);
	ch->client->stats.naks_sent += n;
	return 1;
}

static void nak_backoff(struct sub *s, uint64_t now_ns)
{
	uint64_t wait = KX_MAX(rtt_of(s->ch), kx_rtt_reorder_ns(&s->ch->rtt)) << KX_MIN(s->nak_tries, 16u);

	s->nak_tries++;
	s->nak_last_ns = now_ns;
	s->nak_offset = s->next_offset;
	s->nak_due_ns = now_ns + KX_MIN(wait, NAK_BACKOFF_MAX);
	credit_due(s, now_ns); /* where we are, beside what is missing */
}

static unsigned int entries_max(const struct channel *ch)
{
	uint32_t room = ch->datagram_bytes - FRAME_HDR - (uint32_t)sizeof(struct kx_nak);

	return KX_MIN(room / (uint32_t)sizeof(struct kx_nak_entry), KX_ENTRIES_MAX);
}

static unsigned int naks(struct channel *ch, uint64_t now_ns)
{
	struct kx_nak_entry out[KX_ENTRIES_MAX];
	struct entries e = {.out = out, .max = entries_max(ch)};
	struct sub **at = &ch->gap_head, *s;

	ch->nak_due_ns = UINT64_MAX;
	while ((s = *at) != NULL) {
		if (!sub_has_gap(s)) {
			s->gap_listed = false;
			*at = s->gap_next;
			continue;
		}
		if (now_ns >= s->nak_due_ns && e.n < e.max) {
			name_holes(s, &e);
			nak_backoff(s, now_ns);
		}
		ch->nak_due_ns = KX_MIN(ch->nak_due_ns, s->nak_due_ns);
		at = &s->gap_next;
	}
	return send_nak(ch, out, e.n, now_ns);
}

static unsigned int send_credit(struct channel *ch, uint64_t now_ns)
{
	uint32_t room = ch->datagram_bytes - FRAME_HDR - (uint32_t)sizeof(struct kx_receipt);
	uint32_t max = KX_MIN(room / (uint32_t)sizeof(struct kx_credit_entry), KX_ENTRIES_MAX), n = 0;
	struct kx_credit_entry *e;
	struct kx_receipt *r;
	struct sub *s;
	struct out o;

	for (s = ch->credit_head; s != NULL && n < max; s = s->credit_next)
		n++;
	if (n == 0 || !channel_begin(ch, KX_CREDIT, (uint32_t)(sizeof(*r) + n * sizeof(*e)), now_ns, &o))
		return 0;
	r = (struct kx_receipt *)o.body;
	e = (struct kx_credit_entry *)(r + 1);
	channel_fill_receipt(ch, r, now_ns);
	r->entry_count = (uint16_t)n;
	for (uint32_t i = 0; i < n; i++) {
		s = ch->credit_head;
		ch->credit_head = s->credit_next;
		s->credit_listed = false;
		s->limit_bytes = KX_MAX(s->limit_bytes, s->taken_bytes + s->consumer->window);
		e[i] = (struct kx_credit_entry){
			.sub_id = s->id, .next_offset = s->next_offset, .limit_bytes = s->limit_bytes};
	}
	channel_send(ch, &o, (uint32_t)(sizeof(*r) + n * sizeof(*e)), now_ns);
	return 1;
}

unsigned int repair_service(struct channel *ch, uint64_t now_ns)
{
	unsigned int n = 0, sent;

	if (kx_unlikely(ch->nak_due_ns <= now_ns))
		n += naks(ch, now_ns);
	if (ch->credit_due_ns > now_ns)
		return n;
	do {
		sent = send_credit(ch, now_ns);
		n += sent;
	} while (sent != 0 && ch->credit_head != NULL);
	ch->credit_due_ns = ch->credit_head == NULL ? UINT64_MAX : now_ns + CREDIT_WAIT;
	return n;
}
