/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Quotas: which topics and principals have one, and the oracle's own account of each. It is a token bucket as
 * the product's, charged with what was stored straight from the frame in hand and later than the product may
 * have charged it, so that it never owes more than the product's. While it owes, nobody who wrote to it gets
 * credit, and nothing is taken of who came to it since it owes; and what was sent within credit given under a
 * quota is taken.
 */
#include <stdlib.h>
#include <string.h>

#include "sim.h"

#define BURST_NS    (100 * SIM_MS) /* what the product saves up */
#define SETTLE_NS   (3 * SIM_MS)   /* the product has settled an account after this, whatever its taps did */
#define BLIND_NS    (1000 * SIM_MS)
#define GAP_NS	    (20 * SIM_MS)
#define LEAST_BYTES 24 /* of a record with the least value, raw peers' too */
#define PRINCIPALS  8

struct tap {
	uint64_t used, since_ns, last_ns; /* not in the account yet; from the first to the last of it */
	uint64_t snap_ns, snap_paid_ns, view_paid_ns, view_since_ns;
};
struct account {
	uint64_t per_s; /* 0: no limit */
	uint64_t paid_ns, debt_since_ns, total;
	struct tap at[SIM_LCORES];
};
struct rate {
	struct account messages, bytes;
};
/* A session, by its ACCEPT. */
struct member {
	uint64_t conn_id, producer_id, limit_bytes, used_bytes;
	uint32_t principal, lcore;
	bool seen; /* in the broker: its ACCEPT may be older than its credit */
	bool joined[SIM_TOPICS];
	uint64_t came_ns[SIM_TOPICS];	 /* when the first that it sent there was stored or refused */
	uint64_t join_limit[SIM_TOPICS]; /* what it was given before does not count for the topic */
	uint64_t wrote_ns[SIM_TOPICS];
};
struct hand { /* the frame that the broker is given */
	struct member *m;
	uint64_t limit_bytes, debts, handled, first_seq;
	uint32_t partition;
	bool one;    /* a single batch, or a part of one */
	bool stored; /* what it has */
	struct kx_frame_view view;
};
struct flow {
	struct rate topics[SIM_TOPICS], principals[PRINCIPALS];
	struct kx_map conn_map, producer_map;
	struct member **members;
	uint32_t count, size;
	uint64_t begun_ns, blind_ns, last_turn_ns[SIM_LCORES], outstanding;
	struct hand hand;
	struct kx_prng prng;
};

static const char *const reached_names[SIM_REACHED_COUNT] = {
#define SIM_REACHED_NAME(id, name) name,
	SIM_REACHED_LIST(SIM_REACHED_NAME)
#undef SIM_REACHED_NAME
};

const char *sim_reached_name(enum sim_reached r)
{
	return reached_names[r];
}

uint64_t flow_pick(struct sim *s, uint64_t bound)
{
	return kx_prng_below(&s->flow->prng, bound);
}

bool flow_chance(struct sim *s, uint32_t per_mille)
{
	return flow_pick(s, 1000) < per_mille;
}

void flow_init(struct sim *s)
{
	s->flow = calloc(1, sizeof(*s->flow));
	kx_prng_seed(&s->flow->prng, s->seed ^ UINT64_C(0xf10f10f10f10f10f));
	for (uint32_t feature = 1; feature <= FLOW_PATHS; feature *= 2)
		if (flow_chance(s, 500))
			s->features |= feature;
	if (kx_map_init(&s->flow->conn_map, 16384) != 0 || kx_map_init(&s->flow->producer_map, 16384) != 0)
		sim_fail(s, "no memory");
}

static void members_free(struct flow *f)
{
	for (uint32_t i = 0; i < f->count; i++)
		free(f->members[i]);
	kx_map_fini(&f->conn_map);
	kx_map_fini(&f->producer_map);
	f->count = 0;
}

void flow_free(struct sim *s)
{
	members_free(s->flow);
	free(s->flow->members);
	free(s->flow);
}

/* ---- configuration */

static void rates(struct sim *s, struct kx_text *t, uint64_t messages, uint64_t bytes)
{
	uint32_t which = 1 + (uint32_t)flow_pick(s, 3);

	if (which & 1)
		kx_text_add(t, "messages_per_s = %u\n", (uint32_t)(messages + flow_pick(s, 4 * messages)));
	if (which & 2)
		kx_text_add(t, "bytes_per_s = %u\n", (uint32_t)(bytes + flow_pick(s, 4 * bytes)));
}

void quota_ini_topic(struct sim *s, struct kx_text *t)
{
	if ((s->features & FLOW_QUOTA) && flow_chance(s, 500))
		rates(s, t, 60, 20000);
}

/* Lines of the section of a principal. */
void quota_ini_principal(struct sim *s, struct kx_text *t)
{
	if ((s->features & FLOW_QUOTA) && flow_chance(s, 400))
		rates(s, t, 150, 60000);
}

static void account_begin(struct account *a, uint64_t per_s, uint64_t now_ns)
{
	*a = (struct account){.per_s = per_s, .paid_ns = now_ns - BURST_NS};
	for (uint32_t i = 0; i < SIM_LCORES; i++)
		a->at[i] = (struct tap){.snap_ns = now_ns,
			.snap_paid_ns = a->paid_ns,
			.view_paid_ns = a->paid_ns,
			.view_since_ns = UINT64_MAX};
	a->debt_since_ns = UINT64_MAX;
}

/* A broker started: all accounts are as new, sessions and producers are none. */
void flow_boot(struct sim *s)
{
	const struct kx_conf *conf = s->broker.conf;
	struct flow *f = s->flow;
	uint64_t now_ns = kx_clock_mono_ns();

	members_free(f);
	if (kx_map_init(&f->conn_map, 16384) != 0 || kx_map_init(&f->producer_map, 16384) != 0)
		sim_fail(s, "no memory");
	f->begun_ns = now_ns;
	f->outstanding = 0;
	f->blind_ns = 0;
	f->hand = (struct hand){0};
	for (uint32_t i = 0; i < SIM_LCORES; i++)
		f->last_turn_ns[i] = now_ns;
	for (uint32_t i = 0; i < SIM_TOPICS; i++) {
		account_begin(&f->topics[i].messages, conf->topics[i].messages_per_s, now_ns);
		account_begin(&f->topics[i].bytes, conf->topics[i].bytes_per_s, now_ns);
	}
	for (uint32_t i = 0; i < PRINCIPALS; i++) {
		bool there = i < conf->principal_count;

		account_begin(
			&f->principals[i].messages, there ? conf->principals[i].messages_per_s : 0, now_ns);
		account_begin(&f->principals[i].bytes, there ? conf->principals[i].bytes_per_s : 0, now_ns);
	}
}

/* ---- accounts */

static void charge(struct account *a, uint32_t lcore, uint64_t n, uint64_t now_ns)
{
	struct tap *t = &a->at[lcore];

	if (a->per_s == 0)
		return;
	if (t->used == 0)
		t->since_ns = now_ns;
	t->used += n;
	t->last_ns = now_ns;
}

static void settle(struct account *a, uint32_t lcore, uint64_t now_ns)
{
	struct tap *t = &a->at[lcore];

	if (a->per_s == 0)
		return;
	if (t->used != 0 && now_ns - t->since_ns >= SETTLE_NS) {
		uint64_t from = KX_MAX(a->paid_ns, t->since_ns - BURST_NS);

		if (a->paid_ns <= t->since_ns)
			a->debt_since_ns = t->last_ns;
		a->paid_ns = from + t->used * KX_NS_PER_S / a->per_s;
		t->used = 0;
	}
	if (now_ns - t->snap_ns < SETTLE_NS)
		return;
	if (t->view_paid_ns <= now_ns) /* it owed nothing for a while */
		t->view_since_ns = now_ns;
	t->view_paid_ns = t->snap_paid_ns;
	t->snap_paid_ns = a->paid_ns;
	t->snap_ns = now_ns;
}

/* Does the data lcore know that this account owes; since when? 0: it does not, or may not. */
static uint64_t owes_since(const struct sim *s, const struct account *a, uint32_t lcore, uint64_t now_ns)
{
	const struct tap *t = &a->at[lcore];
	bool alone = s->broker.lcore_count == 1;

	if (a->per_s == 0 || t->view_paid_ns <= now_ns + (alone ? 1 : 50) * SIM_MS)
		return 0;
	return alone ? a->debt_since_ns : t->view_since_ns;
}

static void settle_all(struct flow *f, uint32_t lcore, uint64_t now_ns)
{
	for (uint32_t i = 0; i < SIM_TOPICS; i++) {
		settle(&f->topics[i].messages, lcore, now_ns);
		settle(&f->topics[i].bytes, lcore, now_ns);
	}
	for (uint32_t i = 0; i < PRINCIPALS; i++) {
		settle(&f->principals[i].messages, lcore, now_ns);
		settle(&f->principals[i].bytes, lcore, now_ns);
	}
}

/* ---- sessions */

static struct member *member_of(struct flow *f, uint64_t conn_id)
{
	uint32_t i;

	return kx_map_get(&f->conn_map, conn_id, &i) ? f->members[i] : NULL;
}

void quota_accepted(struct sim *s, const struct lcore *l, const struct kx_accept *a)
{
	struct flow *f = s->flow;
	struct member *m;

	if (!(s->features & FLOW_QUOTA) || member_of(f, a->conn_id) != NULL)
		return;
	SIM_CHECK(s, a->principal_id < PRINCIPALS, "principal %u", a->principal_id);
	if (f->count == f->size) {
		f->size = KX_MAX(64u, 2 * f->size);
		f->members = realloc(f->members, f->size * sizeof(*f->members));
	}
	m = calloc(1, sizeof(*m));
	*m = (struct member){.conn_id = a->conn_id,
		.producer_id = a->producer_id,
		.principal = a->principal_id,
		.lcore = l->index,
		.limit_bytes = a->limit_bytes};
	if (kx_map_put(&f->conn_map, a->conn_id, f->count) != 0 ||
		kx_map_put(&f->producer_map, a->producer_id, a->principal_id) != 0)
		sim_fail(s, "too many sessions");
	f->members[f->count++] = m;
}

/* What its limits owe while it is given more. */
static void raised(struct lcore *l, const struct member *m, uint64_t now_ns)
{
	struct sim *s = l->sim;
	struct flow *f = s->flow;
	const struct rate *p = &f->principals[m->principal];

	if (now_ns < f->blind_ns)
		return;
	SIM_CHECK(s,
		owes_since(s, &p->messages, l->index, now_ns) == 0 &&
			owes_since(s, &p->bytes, l->index, now_ns) == 0,
		"lcore %u extends credit while principal %u owes %llu ms of messages, %llu of bytes",
		l->index, m->principal, (unsigned long long)((p->messages.paid_ns - now_ns) / SIM_MS),
		(unsigned long long)((p->bytes.paid_ns - now_ns) / SIM_MS));
	for (uint32_t i = 0; i < SIM_TOPICS; i++) {
		uint64_t messages = owes_since(s, &f->topics[i].messages, l->index, now_ns);
		uint64_t bytes = owes_since(s, &f->topics[i].bytes, l->index, now_ns);

		SIM_CHECK(s,
			(messages == 0 || m->wrote_ns[i] < messages) &&
				(bytes == 0 || m->wrote_ns[i] < bytes),
			"lcore %u extends credit of a session that writes to %s, which owes %llu ms of "
			"messages, "
			"%llu of bytes",
			l->index, sim_topic_name(i),
			(unsigned long long)(messages != 0 ? (f->topics[i].messages.paid_ns - now_ns) / SIM_MS
							   : 0),
			(unsigned long long)(bytes != 0 ? (f->topics[i].bytes.paid_ns - now_ns) / SIM_MS
							: 0));
	}
}

static void look_at_sessions(struct lcore *l, uint64_t now_ns)
{
	struct flow *f = l->sim->flow;
	struct kx_session_info info;
	uint64_t outstanding = 0;

	for (uint32_t i = 0; i < l->sim->broker.conf->sessions.max; i++) {
		struct member *m;

		if (!kx_broker_session_info(l->broker, i, &info))
			continue;
		outstanding += info.limit_bytes - info.used_bytes;
		m = member_of(f, info.conn_id);
		if (m == NULL) /* its ACCEPT has not left */
			continue;
		if (m->seen && info.limit_bytes > m->limit_bytes)
			raised(l, m, now_ns);
		m->seen = true;
		m->limit_bytes = info.limit_bytes;
		if (info.used_bytes < m->used_bytes) /* a message that was given up: credit of before */
			for (uint32_t t = 0; t < SIM_TOPICS; t++)
				m->join_limit[t] = info.limit_bytes;
		m->used_bytes = info.used_bytes;
	}
	f->outstanding = KX_MAX(f->outstanding, outstanding);
}

/* ---- one frame */

static uint32_t topic_of(const struct sim *s, uint32_t partition)
{
	const struct kx_conf *conf = s->broker.conf;
	uint32_t t = conf->topic_count - 1;

	while (t > 0 && conf->topics[t].first_partition > partition)
		t--;
	return t;
}

void quota_frame(struct lcore *l, const uint8_t *data, uint32_t bytes)
{
	struct hand *h = &l->sim->flow->hand;
	const struct kx_frame_view *v = &h->view;

	*h = (struct hand){
		.debts = l->ledger.drop[KX_DROP_QUOTA_DEBT], .handled = kx_counter_read(&l->ledger.handled)};
	if (kx_frame_check(data, bytes, KX_FROM_CLIENT, &h->view) != KX_DROP_NONE ||
		(v->hdr->type != KX_PRODUCE && v->hdr->type != KX_PRODUCE_FRAG))
		return;
	h->m = member_of(l->sim->flow, v->hdr->conn_id);
	if (h->m == NULL)
		return;
	h->limit_bytes = h->m->limit_bytes;
	if (v->hdr->type == KX_PRODUCE_FRAG) {
		const struct kx_frag *g = (const struct kx_frag *)v->body;

		h->partition = g->partition;
		h->one = true;
	} else {
		const struct kx_batch_hdr *b = (const struct kx_batch_hdr *)v->body;

		h->partition = b->partition;
		h->first_seq = b->first_seq;
		h->one = v->batch_count == 1;
	}
	if (h->partition >= l->sim->broker.conf->partition_count)
		h->m = NULL;
}

/* A topic that owes since before a session came to it takes nothing of it, however often it is sent: else who
 * comes again would gain over who waits. */
static void newcomer(struct lcore *l, const struct member *m, uint32_t topic, uint64_t now_ns)
{
	const struct flow *f = l->sim->flow;
	const struct rate *t = &f->topics[topic];
	uint64_t came_ns = m->joined[topic] ? m->came_ns[topic] : now_ns;
	uint64_t messages = owes_since(l->sim, &t->messages, l->index, now_ns);
	uint64_t bytes = owes_since(l->sim, &t->bytes, l->index, now_ns);

	SIM_CHECK(l->sim,
		now_ns < f->blind_ns ||
			((messages == 0 || came_ns <= messages) && (bytes == 0 || came_ns <= bytes)),
		"lcore %u: %s owes since %llu ms, and takes a message of a session that came to it %llu ms "
		"ago",
		l->index, sim_topic_name(topic),
		(unsigned long long)((now_ns - KX_MAX(messages, bytes)) / SIM_MS),
		(unsigned long long)((now_ns - came_ns) / SIM_MS));
}

/* What came within credit that was given after its session wrote to the topic is taken, whatever the topic
 * owes. */
void quota_framed(struct lcore *l, uint64_t local_ns)
{
	struct sim *s = l->sim;
	struct hand *h = &s->flow->hand;
	bool refused = l->ledger.drop[KX_DROP_QUOTA_DEBT] != h->debts;
	uint32_t topic;

	check_ingest(l);
	if (h->m == NULL || !h->one || (!refused && kx_counter_read(&l->ledger.handled) == h->handled)) {
		h->m = NULL;
		return;
	}
	topic = topic_of(s, h->partition);
	SIM_CHECK(s, !refused || !h->m->joined[topic] || h->limit_bytes <= h->m->join_limit[topic],
		"lcore %u: %s is in debt, and refuses what a session sends within the credit it was given "
		"since it "
		"writes there (%llu then, %llu now)",
		l->index, sim_topic_name(topic), (unsigned long long)h->m->join_limit[topic],
		(unsigned long long)h->limit_bytes);
	if (h->stored)
		newcomer(l, h->m, topic, local_ns);
	if (!h->m->joined[topic]) {
		h->m->joined[topic] = true;
		h->m->came_ns[topic] = local_ns;
		h->m->join_limit[topic] = h->limit_bytes;
	}
	h->m = NULL;
}

/* Of several batches in a frame some may have been held, and charged, before. */
static bool in_hand(const struct hand *h, const struct kx_batch_hdr *b)
{
	return h->m != NULL && h->one && h->view.hdr->type == KX_PRODUCE &&
		h->m->producer_id == b->producer_id && h->partition == b->partition &&
		h->first_seq == b->first_seq;
}

void quota_stored(struct sim *s, const struct kx_batch_hdr *b)
{
	struct flow *f = s->flow;
	uint64_t bytes = b->batch_bytes - KX_BATCH_HDR_BYTES, now_ns = kx_clock_mono_ns();
	uint32_t topic = topic_of(s, b->partition), principal = 0,
		 lcore = b->partition % s->broker.lcore_count;
	struct rate *t = &f->topics[topic], *p;

	if (!(s->features & FLOW_QUOTA))
		return;
	(void)kx_map_get(&f->producer_map, b->producer_id, &principal);
	p = &f->principals[principal];
	t->messages.total += b->record_count;
	p->messages.total += b->record_count;
	t->bytes.total += bytes;
	p->bytes.total += bytes;
	if (!in_hand(&f->hand, b))
		return; /* it was held, and charged before */
	f->hand.stored = true;
	f->hand.m->wrote_ns[topic] = now_ns;
	charge(&t->messages, lcore, b->record_count, now_ns);
	charge(&t->bytes, lcore, bytes, now_ns);
	charge(&p->messages, lcore, b->record_count, now_ns);
	charge(&p->bytes, lcore, bytes, now_ns);
}

/* ---- over the run */

/* No more than the rate, what was saved up, and what all sessions together may have been ahead. */
static void total(struct sim *s, const struct account *a, uint64_t least_bytes, const char *what,
	uint32_t which, uint64_t now_ns)
{
	uint64_t ns = now_ns - s->flow->begun_ns + (1 + s->broker.lcore_count) * BURST_NS;
	uint64_t ahead = s->broker.lcore_count * s->flow->outstanding + (64 << 10) + (128 << 10);
	uint64_t most;

	if (a->per_s == 0)
		return;
	most = (uint64_t)((double)ns / 1e9 * (double)a->per_s) + ahead / least_bytes;
	SIM_CHECK(s, a->total <= most, "%s %u: %llu %s were stored, its quota of %llu/s allows %llu", what,
		which, (unsigned long long)a->total, least_bytes == 1 ? "bytes" : "messages",
		(unsigned long long)a->per_s, (unsigned long long)most);
}

static void reached(struct sim *s, const struct rate *r, enum sim_reached what, uint64_t now_ns)
{
	if ((r->messages.per_s != 0 && r->messages.paid_ns > now_ns) ||
		(r->bytes.per_s != 0 && r->bytes.paid_ns > now_ns))
		s->coverage.reached[what]++;
}

static void totals(struct sim *s, uint64_t now_ns)
{
	struct flow *f = s->flow;

	for (uint32_t i = 0; i < SIM_TOPICS; i++) {
		total(s, &f->topics[i].messages, LEAST_BYTES, "topic", i, now_ns);
		total(s, &f->topics[i].bytes, 1, "topic", i, now_ns);
		reached(s, &f->topics[i], REACHED_QUOTA_TOPIC, now_ns);
	}
	for (uint32_t i = 0; i < PRINCIPALS; i++) {
		total(s, &f->principals[i].messages, LEAST_BYTES, "principal", i, now_ns);
		total(s, &f->principals[i].bytes, 1, "principal", i, now_ns);
		reached(s, &f->principals[i], REACHED_QUOTA_PRINCIPAL, now_ns);
	}
}

void quota_turn(struct lcore *l, uint64_t local_ns)
{
	struct flow *f = l->sim->flow;

	if (!(l->sim->features & FLOW_QUOTA))
		return;
	if (local_ns - f->last_turn_ns[l->index] > GAP_NS) /* its account was not settled for long */
		f->blind_ns = local_ns + BLIND_NS;
	f->last_turn_ns[l->index] = local_ns;
	look_at_sessions(l, local_ns);
	settle_all(f, l->index, local_ns);
	if (l->turns % 64 == 0)
		totals(l->sim, local_ns);
}

/* `blocked` is the cause that holds: nothing waits for a quota where there is none. */
void quota_told(struct sim *s, uint64_t conn_id, const struct kx_receipt *r)
{
	SIM_CHECK(s, r->blocked != KX_BLOCKED_QUOTA || s->broker.quotas != NULL,
		"session %llx waits for a quota, and there is none", (unsigned long long)conn_id);
}
