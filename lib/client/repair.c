/* SPDX-License-Identifier: BSD-3-Clause */
/* What consumers tell the broker: credit and position, and which offsets are missing. */
#include "client_pvt.h"

#define NAK_BACKOFF_MAX (100 * MS)
#define RTT_GUESS	(2 * MS)
#define NAKS_IN_VAIN	3
#define FULL_BURSTS	32 /* received in a row: longer than any queue before us */

/* Announce the credit of s at the latest at due_ns. */
void kxc_credit_due(struct sub *s, uint64_t due_ns)
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

bool kxc_sub_has_gap(const struct sub *s)
{
	return s->state == SUB_ACTIVE && s->sent_end > s->next_offset && !sub_stopped(s);
}

/* How long the answer to a NAK may take. */
static uint64_t answer_ns(const struct channel *ch)
{
	uint64_t wait = RTT_GUESS;

	if (ch->rtt.valid)
		wait = ch->rtt.srtt_ns + KX_MAX(4 * ch->rtt.var_ns, ch->rtt.srtt_ns / 4);
	return KX_MAX(wait, kx_rtt_reorder_ns(&ch->rtt));
}

/*
 * When holes are named. What is missing is named for the first time when it has been seen for the reorder
 * allowance (one time stamp serves all holes below hole_end), and again, as long as it is missing, in rounds:
 * one answer time after the last, doubled while next_offset stands still. Holes first named in the middle of
 * a round's wait are named again one round later. What could not be held is not asked for before there is
 * room.
 */
static void nak_arm(struct sub *s)
{
	struct channel *ch = s->ch;

	if (s->hole_ns != 0)
		ch->nak_due_ns = KX_MIN(ch->nak_due_ns, s->hole_ns + kx_rtt_reorder_ns(&ch->rtt));
	if (s->round_end > s->next_offset)
		ch->nak_due_ns = KX_MIN(ch->nak_due_ns, s->again_ns);
}

static void hole_wait(struct sub *s, uint64_t now_ns)
{
	if (s->hole_ns != 0 || s->no_room || s->hole_top <= KX_MAX(s->named_end, s->next_offset))
		return;
	s->hole_ns = KX_MAX(now_ns, UINT64_C(1));
	s->hole_end = s->hole_top;
}

void kxc_gap_seen(struct sub *s, uint64_t now_ns)
{
	struct channel *ch = s->ch;

	if (!s->gap_listed) {
		if (!kxc_sub_has_gap(s))
			return;
		s->gap_listed = true;
		s->gap_next = ch->gap_head;
		ch->gap_head = s;
		s->nak_tries = 0;
		s->nak_offset = s->named_end = s->round_end = s->next_offset;
		s->hole_ns = s->timed_ns = s->round_at = 0;
		s->no_room = false;
	} else if (s->next_offset != s->nak_offset) {
		s->consumer->client->stats.repaired_holes++;
		s->nak_tries = 0;
		s->nak_offset = s->next_offset;
		s->no_room = false;
		if (s->round_end > s->next_offset) {
			s->again_ns = KX_MIN(s->again_ns, s->round_ns + answer_ns(ch));
		} else { /* what was named since is the next round's */
			s->round_end = s->named_end;
			s->round_at = 0;
			s->round_ns = now_ns;
			s->again_ns = now_ns + answer_ns(ch);
		}
	}
	hole_wait(s, now_ns);
	nak_arm(s);
}

void kxc_gap_later(struct sub *s, uint64_t now_ns)
{
	if (s->hole_ns != 0)
		s->hole_ns = now_ns;
	s->again_ns = KX_MAX(s->again_ns, now_ns + kx_rtt_reorder_ns(&s->ch->rtt));
}

/* The broker sent it before it could answer the last NAK: it is the original, overtaken by more than the
 * allowance. */
static void late(struct sub *s)
{
	if (!s->late_seen)
		kx_rtt_late(&s->ch->rtt);
	s->late_seen = true;
}

void kxc_hole_duplicate(struct sub *s, uint64_t pkt_no)
{
	if (pkt_no <= s->nak_pkt)
		late(s);
}

void kxc_hole_filled(struct sub *s, uint64_t first, uint64_t end, uint64_t pkt_no, uint64_t now_ns)
{
	if (!s->gap_listed || first >= s->named_end)
		return;
	if (pkt_no <= s->nak_pkt) {
		late(s);
		return;
	}
	if (s->timed_ns == 0 || s->timed_offset < first || s->timed_offset >= end)
		return;
	kx_rtt_sample(&s->ch->rtt, now_ns - s->timed_ns);
	s->timed_ns = 0;
}

struct entries {
	struct kx_nak_entry *out;
	unsigned int n, max;
	uint64_t tail_ns; /* what follows the last part of a large batch is missing if that came before */
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
			e->n += kxc_reassembly_missing(
				r, e->out + e->n, e->max - e->n, r->last_ns < e->tail_ns);
		from = r->first + (r->complete ? ((const struct kx_batch_hdr *)r->data)->record_count : 1);
	}
	add_offsets(e, s, from, to);
}

/* A walk over the holes: those in [from, to) are named, as far as there is room for entries and for the
 * answers. */
struct walk {
	struct sub *s;
	struct entries *e;
	uint64_t from, to;
	uint64_t frames; /* that can still be held */
	uint64_t done;	 /* all below was named */
};

/* False: no further. */
static bool walk_hole(struct walk *w, uint64_t first, uint64_t end)
{
	const struct sub *s = w->s;
	uint64_t each = KX_MAX(s->frame_records, 1u);
	bool head = first == s->next_offset; /* comes in its turn: is not held */
	uint64_t room = (head ? s->consumer->opts.hold_frames : w->frames) * each;
	bool enough = end - first <= room;

	if (first >= w->to)
		return false;
	if (!enough)
		end = first + room;
	if (!head)
		w->frames -= KX_MIN((end - first + each - 1) / each, w->frames);
	if (end > w->from) {
		if (w->e->n >= w->e->max)
			return false;
		add_between(w->e, w->s, KX_MAX(first, w->from), KX_MIN(end, w->to));
		w->done = KX_MIN(end, w->to);
	}
	w->s->no_room |= !enough;
	return enough && end < w->to;
}

/* @return all below was named */
static uint64_t name_holes(struct sub *s, struct entries *e, uint64_t from, uint64_t to)
{
	const struct kx_consumer *c = s->consumer;
	uint64_t at = s->next_offset;
	struct walk w = {.s = s,
		.e = e,
		.from = KX_MAX(from, at),
		.to = KX_MIN(to, s->sent_end),
		.frames = c->hold_free_count};
	bool more = true;

	w.done = w.from;
	for (uint32_t i = s->held_head; more && i != NONE; i = c->holds[i].next) {
		if (c->holds[i].first > at)
			more = walk_hole(&w, at, c->holds[i].first);
		at = KX_MAX(at, c->holds[i].end);
	}
	if (more && at < w.to)
		more = walk_hole(&w, at, w.to);
	if (more || w.done >= w.to)
		return to;
	return e->n >= e->max || s->no_room ? w.done : to;
}

static unsigned int send_nak(
	struct channel *ch, const struct kx_nak_entry *entries, uint32_t n, uint64_t now_ns)
{
	uint32_t bytes = (uint32_t)(sizeof(struct kx_nak) + n * sizeof(*entries));
	struct out o;

	if (n == 0 || !kxc_channel_begin(ch, KX_NAK, bytes, now_ns, &o))
		return 0;
	*(struct kx_nak *)o.body = (struct kx_nak){.entry_count = n};
	memcpy(o.body + sizeof(struct kx_nak), entries, n * sizeof(*entries));
	kxc_channel_send(ch, &o, bytes, now_ns);
	ch->client->stats.naks_sent += n;
	return 1;
}

static void start_round(struct sub *s, uint64_t now_ns)
{
	uint64_t wait = answer_ns(s->ch) << KX_MIN(s->nak_tries, 16u);

	s->round_end = s->named_end;
	s->round_at = 0;
	s->round_ns = now_ns;
	s->again_ns = now_ns + KX_MIN(wait, NAK_BACKOFF_MAX);
	s->nak_tries++;
}

static unsigned int entries_max(const struct channel *ch)
{
	uint32_t room = channel_room(ch) - (uint32_t)sizeof(struct kx_nak);

	return KX_MIN(room / (uint32_t)sizeof(struct kx_nak_entry), KX_ENTRIES_MAX);
}

static void name_again(struct sub *s, struct entries *e, uint64_t now_ns)
{
	if (s->nak_tries >= NAKS_IN_VAIN && s->ch->last_rx_ns > s->round_ns) {
		kxc_mtu_deaf(s->ch, now_ns);
		e->max = KX_MIN(e->max, KX_MAX(entries_max(s->ch), e->n));
	}
	s->timed_ns = 0; /* an answer could be to either */
	s->round_at = name_holes(s, e, s->round_at, s->round_end);
	if (s->round_at >= s->round_end || e->n < e->max)
		start_round(s, now_ns);
}

static void name_fresh(struct sub *s, struct entries *e, uint64_t now_ns)
{
	uint64_t from = KX_MAX(s->named_end, s->next_offset);

	if (from == s->next_offset) {
		s->timed_ns = now_ns;
		s->timed_offset = from;
	}
	s->named_end = name_holes(s, e, from, s->hole_end);
	if (s->named_end < s->hole_end && !s->no_room)
		return; /* the next NAK goes on */
	s->hole_ns = 0;
	hole_wait(s, now_ns);
	kx_rtt_named(&s->ch->rtt);
}

static void name_due(struct sub *s, struct entries *e, uint64_t now_ns)
{
	bool round = s->round_end > s->next_offset;
	uint32_t n = e->n;

	if (round && now_ns >= s->again_ns)
		name_again(s, e, now_ns);
	if (s->hole_ns != 0 && now_ns >= s->hole_ns + kx_rtt_reorder_ns(&s->ch->rtt) && e->n < e->max) {
		name_fresh(s, e, now_ns);
		if (!round) {
			s->nak_tries = 0;
			start_round(s, now_ns);
		}
	}
	if (e->n == n)
		return;
	s->nak_pkt = s->ch->rx.largest_pkt;
	s->late_seen = false;
	kxc_credit_due(s, now_ns); /* where we are, beside what is missing */
}

static unsigned int naks(struct channel *ch, uint64_t now_ns)
{
	struct kx_nak_entry out[KX_ENTRIES_MAX];
	struct entries e = {.out = out,
		.max = entries_max(ch),
		.tail_ns = now_ns - KX_MIN(kx_rtt_pto_ns(&ch->rtt), now_ns)};
	struct sub **at = &ch->gap_head, *s;

	if (ch->hub->full_bursts > 0 && ch->hub->full_bursts < FULL_BURSTS)
		return 0; /* what seems to be missing may be waiting to be read */
	ch->nak_due_ns = UINT64_MAX;
	while ((s = *at) != NULL) {
		if (!kxc_sub_has_gap(s)) {
			s->gap_listed = false;
			*at = s->gap_next;
			continue;
		}
		if (e.n < e.max)
			name_due(s, &e, now_ns);
		nak_arm(s);
		at = &s->gap_next;
	}
	return send_nak(ch, out, e.n, now_ns);
}

static unsigned int send_credit(struct channel *ch, uint64_t now_ns)
{
	uint32_t room = channel_room(ch) - (uint32_t)sizeof(struct kx_receipt);
	uint32_t max = KX_MIN(room / (uint32_t)sizeof(struct kx_credit_entry), KX_ENTRIES_MAX), n = 0;
	struct kx_credit_entry *e;
	struct kx_receipt *r;
	struct sub *s;
	struct out o;

	for (s = ch->credit_head; s != NULL && n < max; s = s->credit_next)
		n++;
	if (n == 0 || !kxc_channel_begin(ch, KX_CREDIT, (uint32_t)(sizeof(*r) + n * sizeof(*e)), now_ns, &o))
		return 0;
	r = (struct kx_receipt *)o.body;
	e = (struct kx_credit_entry *)(r + 1);
	kxc_channel_fill_receipt(ch, r, now_ns);
	r->entry_count = (uint16_t)n;
	for (uint32_t i = 0; i < n; i++) {
		s = ch->credit_head;
		ch->credit_head = s->credit_next;
		s->credit_listed = false;
		s->limit_bytes = KX_MAX(s->limit_bytes, s->taken_bytes + sub_window(s));
		e[i] = (struct kx_credit_entry){.sub_id = s->id,
			.next_offset = s->next_offset,
			.limit_bytes = s->limit_bytes,
			.done_offset = kxc_sub_done(s)};
	}
	kxc_channel_send(ch, &o, (uint32_t)(sizeof(*r) + n * sizeof(*e)), now_ns);
	return 1;
}

unsigned int kxc_repair_service(struct channel *ch, uint64_t now_ns)
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
