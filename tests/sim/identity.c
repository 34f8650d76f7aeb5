/* SPDX-License-Identifier: BSD-3-Clause */
/* Principals, their keys and rights; what peers claim, and whether it is true. */
#include <stdlib.h>
#include <string.h>

#include "identity.h"

#define NOBODY	 SIM_PRINCIPALS /* a name that nobody has */
#define KEY_NONE UINT32_MAX

static const char *const names[SIM_PRINCIPALS + 1] = {"anonymous", "desk", "floor", "guest", "nobody"};

/* An AUTH whose sender is who it says. */
struct proof {
	struct proof *next;
	uint8_t nonce[KX_NONCE_BYTES];
	uint32_t principal;
	uint8_t wanted; /* protection */
	uint8_t secret[KX_AUTH_SECRET_BYTES];
};
struct principal {
	enum kx_protect frames;
	uint32_t sessions;
	bool may[2][SIM_TOPICS]; /* produce, consume */
};
struct identity {
	bool on, anonymous, rotates;
	struct principal list[SIM_PRINCIPALS];
	uint32_t rotation_of[SIM_BOOTS];
	uint32_t rotation; /* 2n: key n is valid; 2n + 1: key n + 1 too */
	uint32_t of_client[SIM_CLIENTS];
	struct kx_map proofs, producers, tickets, sessions; /* nonce, producer id, ticket, connection id */
	struct proof **proof_list;
	uint32_t proof_count, proof_size;
	uint8_t stolen[KX_TICKET_BYTES]; /* of a client, as everybody between could see it */
	uint32_t stolen_of;		 /* its principal, 0: none yet */
	struct kx_key client_keys[SIM_CLIENTS];
};

bool identity_on(const struct sim *s)
{
	return s->identity->on;
}

static void maps_make(struct sim *s)
{
	struct identity *d = s->identity;

	if (kx_map_init(&d->proofs, 65536) != 0 || kx_map_init(&d->producers, 16384) != 0 ||
		kx_map_init(&d->tickets, 65536) != 0 || kx_map_init(&d->sessions, 16384) != 0)
		sim_fail(s, "no memory");
}

static void maps_free(struct identity *d)
{
	kx_map_fini(&d->proofs);
	kx_map_fini(&d->producers);
	kx_map_fini(&d->tickets);
	kx_map_fini(&d->sessions);
}

static void proofs_free(struct identity *d)
{
	for (uint32_t i = 0; i < d->proof_count; i++) {
		struct proof *p = d->proof_list[i];

		while (p != NULL) {
			struct proof *next = p->next;

			free(p);
			p = next;
		}
	}
	d->proof_count = 0;
}

static void rights(struct sim *s, struct principal *p, uint32_t per_mille)
{
	for (int o = 0; o < 2; o++)
		for (uint32_t t = 0; t < SIM_TOPICS; t++)
			p->may[o][t] = chance(s, per_mille);
}

void identity_init(struct sim *s)
{
	struct identity *d = s->identity = calloc(1, sizeof(*d));

	maps_make(s);
	seal_init(s);
	takeover_init(s);
	d->on = chance(s, 500);
	d->anonymous = true;
	rights(s, &d->list[0], 1000);
	if (!d->on)
		return;
	d->anonymous = chance(s, 700);
	d->rotates = chance(s, 500);
	d->rotation = (uint32_t)pick(s, 2);
	for (uint32_t i = 0; i < SIM_PRINCIPALS; i++) {
		struct principal *p = &d->list[i];

		rights(s, p, 750);
		p->frames = i == 0 ? KX_PROTECT_PLAIN : (enum kx_protect)pick(s, 3);
	}
	/* the reader that keeps logs that block moving */
	for (uint32_t t = 0; t < SIM_TOPICS; t++)
		d->list[1].may[1][t] = true;
	d->list[2].sessions = chance(s, 500) ? SIM_CLIENTS + (uint32_t)pick(s, 3) : 0;
	d->list[SIM_GUEST].sessions = 1 + (uint32_t)pick(s, 2);
	for (uint32_t i = 1; i < SIM_CLIENTS; i++)
		d->of_client[i] = d->anonymous ? (uint32_t)pick(s, 3) : 1 + (uint32_t)pick(s, 2);
	d->of_client[0] = 1;
	if (d->rotates) /* besides what crashes do */
		for (int i = 0; i < 2; i++)
			sim_at(s, s->now_ns + pick_in(s, 5, 45) * KX_NS_PER_S, EV_ROTATE, 0, 0);
}

void identity_free(struct sim *s)
{
	seal_free(s);
	takeover_free(s);
	proofs_free(s->identity);
	free(s->identity->proof_list);
	maps_free(s->identity);
	free(s->identity);
}

/* ---- configuration */

static void add(struct kx_text *t, bool *first, const char *pattern, const char *name)
{
	kx_text_add(t, "%s%s%s", *first ? "" : ", ", pattern, name);
	*first = false;
}

/* The same rights are said in several ways. */
static void patterns(struct sim *s, struct kx_text *t, const bool may[SIM_TOPICS])
{
	uint32_t some = 0, way = (uint32_t)pick(s, 3);
	bool first = true;

	for (uint32_t i = 0; i < SIM_TOPICS; i++)
		some += may[i];
	if (some == 0) {
		kx_text_add(t, "none");
		return;
	}
	if (way == 1)
		add(t, &first, "*", "");
	for (uint32_t i = 0; i < SIM_TOPICS; i++) {
		char prefix[3] = {sim_topic_name(i)[0], '*', '\0'};

		if (way == 2 && i != 2 && (may[i] || (i == 0 && may[2])))
			add(t, &first, "", prefix);
		if (way == 0 && may[i])
			add(t, &first, "", sim_topic_name(i));
		if (way == 1 && !may[i])
			add(t, &first, "!", sim_topic_name(i));
	}
	if (way == 2 && may[0] != may[2]) /* block and big have one prefix */
		add(t, &first, "!", sim_topic_name(may[0] ? 2 : 0));
}

void identity_ini(struct sim *s, struct kx_text *t)
{
	static const char *const operations[] = {"produce", "consume"};
	struct identity *d = s->identity;

	if (!d->on)
		return;
	kx_text_add(t, "[auth]\nanonymous = %s\n", d->anonymous ? "on" : "off");
	for (uint32_t i = 0; i < SIM_PRINCIPALS; i++) {
		const struct principal *p = &d->list[i];

		kx_text_add(t, "[principal %s]\n", names[i]);
		if (i != 0)
			kx_text_add(t, "key_file = /keys/%s\nframes = %s\nsessions = %u\n", names[i],
				kx_protect_name(p->frames), p->sessions);
		for (int o = 0; o < 2; o++) {
			kx_text_add(t, "%s = ", operations[o]);
			patterns(s, t, p->may[o]);
			kx_text_add(t, "\n");
		}
		quota_ini_principal(s, t);
	}
}

/* Key number `generation` of a principal: each is another one, of any length. */
static struct kx_key key_of(struct sim *s, uint32_t principal, uint32_t generation)
{
	uint64_t seed = kx_mix64(s->seed ^ (uint64_t)principal << 56 ^ (uint64_t)(generation + 1) << 40);
	struct kx_key k = {
		.len = KX_KEY_BYTES_MIN + (uint32_t)(seed % (KX_KEY_BYTES_MAX - KX_KEY_BYTES_MIN + 1))};

	for (uint32_t i = 0; i < k.len; i++)
		k.bytes[i] = (uint8_t)(kx_mix64(seed + i) >> 7);
	return k;
}

void identity_boot(struct sim *s)
{
	struct kx_auth_principal_conf list[SIM_PRINCIPALS] = {0};
	uint64_t bits[SIM_PRINCIPALS][2];
	struct identity *d = s->identity;
	struct kx_conf *conf = s->broker.conf;
	char text[256];
	struct kx_text why;

	takeover_boot(s);
	s->broker.principals = NULL;
	if (!d->on)
		return;
	maps_free(d);
	proofs_free(d);
	maps_make(s);
	d->stolen_of = 0;
	d->rotation_of[s->broker.boots - 1] = d->rotation;
	for (uint32_t i = 0; i < SIM_PRINCIPALS; i++) {
		const struct kx_conf_principal *p =
			&conf->principals[kx_conf_principal_find(conf, names[i], strlen(names[i]))];

		kx_conf_access(conf, p, KX_CONF_PRODUCE, &bits[i][0]);
		kx_conf_access(conf, p, KX_CONF_CONSUME, &bits[i][1]);
		list[i] = (struct kx_auth_principal_conf){.name = names[i],
			.protect = (enum kx_protect)p->frames,
			.sessions_max = p->sessions,
			.produce = &bits[i][0],
			.consume = &bits[i][1]};
		for (uint32_t k = 0; i != 0 && k <= d->rotation % 2; k++)
			list[i].key[k] = key_of(s, i, d->rotation / 2 + k);
	}
	kx_text_init(&why, text, sizeof(text));
	SIM_CHECK(s,
		kx_auth_principals_create(list, SIM_PRINCIPALS, conf->topic_count, conf->auth.anonymous,
			&s->broker.principals, &why) == 0,
		"%s", text);
}

void identity_down(struct sim *s)
{
	kx_auth_principals_destroy(s->broker.principals);
	s->broker.principals = NULL;
}

/* Keys are changed as an operator does: both are valid for a while, then the old one is not. */
void identity_rotate(struct sim *s)
{
	if (s->calm || s->broker.boots + 8 >= SIM_BOOTS)
		return;
	s->identity->rotation++;
	fault_hit(s, SIM_ROTATION);
	TRACE(s, "keys %u..%u are valid from the next start on", s->identity->rotation / 2,
		(s->identity->rotation + 1) / 2);
	broker_down(s, true);
	sim_at(s, s->now_ns + pick(s, 500 * SIM_MS), EV_BROKER_UP, 0, 0);
}

static bool key_valid(uint32_t generation, uint32_t rotation)
{
	return generation == rotation / 2 || generation == (rotation + 1) / 2;
}

/* ---- clients */

static bool who_is_true(const struct client *c, uint32_t rotation)
{
	const struct identity *d = c->sim->identity;

	if (c->who.principal == 0)
		return d->anonymous;
	return c->who.principal < SIM_PRINCIPALS && key_valid(c->who.generation, rotation);
}

/* Now and then it has a key that is not valid, or not any more, or a name that nobody knows. */
static void go_wrong(struct client *c)
{
	struct sim *s = c->sim;
	struct identity *d = s->identity;

	fault_hit(s, SIM_WRONG_KEY);
	switch (pick(s, 4)) {
	case 0:
		c->who.principal = NOBODY;
		break;
	case 1:
		c->who.principal = d->anonymous ? NOBODY : 0;
		break;
	case 2: /* a key of before, or one that is not given out yet */
		c->who.principal = KX_MAX(c->who.principal, 1u);
		c->who.generation = d->rotation / 2 > 0 ? d->rotation / 2 - 1 : KEY_NONE - 1;
		break;
	default:
		c->who.principal = KX_MAX(c->who.principal, 1u);
		c->who.generation = KEY_NONE;
	}
}

/* An id of another principal is not given to it. */
static bool foreign_id(struct sim *s, const struct client *c, uint64_t id)
{
	uint32_t of;

	return id != 0 && kx_map_get(&s->identity->producers, id, &of) && of != c->who.principal;
}

void identity_client(struct client *c, struct kx_client_opts *opts)
{
	struct sim *s = c->sim;
	struct identity *d = s->identity;

	if (!d->on)
		return;
	c->who = (struct who){
		.principal = d->of_client[c->index], .generation = (d->rotation + (uint32_t)pick(s, 2)) / 2};
	if (!s->calm && chance(s, 80))
		go_wrong(c);
	if (foreign_id(s, c, opts->producer_id) && (s->calm || chance(s, 500)))
		opts->producer_id = 0;
	c->who.id = opts->producer_id;
	if (c->who.principal != 0) {
		d->client_keys[c->index] = key_of(s, c->who.principal, c->who.generation);
		opts->principal = names[c->who.principal];
		opts->key = d->client_keys[c->index].bytes;
		opts->key_bytes = d->client_keys[c->index].len;
		opts->protect = chance(s, 500) ? KX_PROTECT_PLAIN : (enum kx_protect)pick(s, 3);
	}
	TRACE(s, "client %u is %s with key %u, producer %llu", c->index, names[c->who.principal],
		c->who.generation, (unsigned long long)c->who.id);
}

bool identity_same(const struct client *a, const struct client *b)
{
	const struct identity *d = a->sim->identity;

	return d->of_client[a->index] == d->of_client[b->index];
}

bool identity_may_produce(const struct client *c, uint32_t topic)
{
	return c->who.principal < SIM_PRINCIPALS && c->sim->identity->list[c->who.principal].may[0][topic];
}

bool identity_may_consume(const struct client *c, uint32_t topic)
{
	return c->who.principal < SIM_PRINCIPALS && c->sim->identity->list[c->who.principal].may[1][topic];
}

/* Refused for good: its operator looks at the event, and starts it anew. */
static void refused(struct client *c, const struct kx_event *e)
{
	struct sim *s = c->sim;

	if (e->result != KX_REFUSED || (e->code != KX_CODE_AUTH && e->code != KX_CODE_DENIED))
		return;
	SIM_CHECK(s, e->code != KX_CODE_AUTH || !who_is_true(c, s->identity->rotation),
		"client %u is refused, and has a valid key of %s", c->index, names[c->who.principal]);
	SIM_CHECK(s, e->code != KX_CODE_DENIED || c->who.id != 0,
		"client %u is refused, and asked for nobody's producer id", c->index);
	sim_at(s, s->now_ns + pick_in(s, 1, 1000) * SIM_MS, EV_GIVE_UP, c->index, c->incarnation);
}

static void topic_refused(struct client *c, const struct kx_event *e, uint32_t topic, bool may)
{
	struct sim *s = c->sim;
	bool either = identity_may_produce(c, topic) || identity_may_consume(c, topic);

	SIM_CHECK(s, e->result != KX_REFUSED || e->code != KX_CODE_DENIED || !may,
		"client %u is denied %s, and may", c->index, sim_topic_name(topic));
	SIM_CHECK(s, e->result != KX_UNKNOWN_TOPIC || !either,
		"client %u is told that %s does not exist, and may use it", c->index, sim_topic_name(topic));
}

/* Which keys were valid where it is connected to: that may be gone already. */
static uint32_t rotation_at(const struct client *c)
{
	struct kx_client_info info;

	kx_client_info(c->c, &info);
	return c->sim->identity->rotation_of[check_boot_index(c->sim, info.boot_id)];
}

void identity_event(struct client *c, const struct kx_event *e)
{
	struct sim *s = c->sim;

	if (!s->identity->on)
		return;
	if (e->type == KX_EVENT_CONNECTED)
		SIM_CHECK(s, who_is_true(c, rotation_at(c)), "client %u is connected as %s with key %u",
			c->index, names[c->who.principal], c->who.generation);
	if (e->type == KX_EVENT_CONNECT_FAILED)
		refused(c, e);
	for (uint32_t i = 0; e->type == KX_EVENT_PRODUCER_FAILED && i < SIM_PROC_PRODUCERS; i++)
		if (c->producers[i] != NULL && c->producers[i]->p == e->producer)
			topic_refused(c, e, c->producers[i]->topic,
				identity_may_produce(c, c->producers[i]->topic));
	for (uint32_t i = 0; e->type == KX_EVENT_CONSUMER_FAILED && i < SIM_PROC_CONSUMERS; i++)
		if (c->consumers[i] != NULL && c->consumers[i]->c == e->consumer)
			topic_refused(c, e, c->consumers[i]->topic,
				identity_may_consume(c, c->consumers[i]->topic));
}

/* ---- what is true of an AUTH, by what stands in it */

static uint64_t word(const void *bytes)
{
	uint64_t w;

	memcpy(&w, bytes, sizeof(w));
	return kx_mix64(w) | 1;
}

static uint64_t ticket_key(const uint8_t ticket[KX_TICKET_BYTES])
{
	uint64_t key = 7;

	for (uint32_t i = 0; i < KX_TICKET_BYTES; i += 8)
		key = kx_mix64(key ^ word(ticket + i));
	return key | 1;
}

static uint32_t principal_named(const struct kx_auth *a)
{
	if (a->principal_bytes == 0)
		return 0;
	for (uint32_t i = 0; i < SIM_PRINCIPALS; i++)
		if (strlen(names[i]) == a->principal_bytes &&
			memcmp(names[i], a->principal, a->principal_bytes) == 0)
			return i;
	return NOBODY;
}

/* Is it signed with a key that is valid now? */
static bool signed_right(
	struct sim *s, const struct kx_auth *a, uint32_t principal, uint8_t secret[KX_AUTH_SECRET_BYTES])
{
	for (uint32_t k = 0; k <= s->identity->rotation % 2; k++) {
		struct kx_key key = key_of(s, principal, s->identity->rotation / 2 + k);
		struct kx_auth copy = *a;

		kx_auth_sign(&key, &copy);
		if (memcmp(copy.mac, a->mac, sizeof(copy.mac)) != 0)
			continue;
		kx_auth_session_secret(&key, a, secret);
		return true;
	}
	return false;
}

static bool auth_true(struct sim *s, const struct kx_auth *a, struct proof *p)
{
	uint32_t of;

	p->principal = principal_named(a);
	p->wanted = a->protect;
	memcpy(p->nonce, a->client_nonce, sizeof(p->nonce));
	if (p->principal == NOBODY)
		return false;
	if (a->method == KX_AUTH_TICKET &&
		(!kx_map_get(&s->identity->tickets, ticket_key(a->ticket), &of) || of != p->principal))
		return false;
	if (p->principal == 0)
		return s->identity->anonymous && a->method != KX_AUTH_HMAC_SHA256;
	return a->method != KX_AUTH_NONE && signed_right(s, a, p->principal, p->secret);
}

void identity_auth(struct sim *s, const uint8_t *data, uint32_t bytes)
{
	struct identity *d = s->identity;
	const struct kx_auth *a;
	struct kx_frame_view v;
	struct proof *p, made = {0};
	uint32_t i;

	takeover_auth(s, data, bytes);
	if (!d->on || bytes < 2 || data[1] != KX_AUTH ||
		kx_frame_check(data, bytes, KX_FROM_CLIENT, &v) != KX_DROP_NONE)
		return;
	a = (const struct kx_auth *)v.body;
	if (!auth_true(s, a, &made))
		return;
	p = malloc(sizeof(*p));
	*p = made;
	if (kx_map_get(&d->proofs, word(p->nonce), &i)) {
		p->next = d->proof_list[i];
		d->proof_list[i] = p;
		return;
	}
	if (d->proof_count == d->proof_size) {
		d->proof_size = KX_MAX(256u, 2 * d->proof_size);
		d->proof_list = realloc(d->proof_list, d->proof_size * sizeof(struct proof *));
	}
	if (kx_map_put(&d->proofs, word(p->nonce), d->proof_count) != 0)
		sim_fail(s, "too many handshakes");
	d->proof_list[d->proof_count++] = p;
}

/* The AUTH that this ACCEPT answers: of several with one nonce, one that wants no more than it got. */
static const struct proof *proof_of(struct sim *s, const struct kx_accept *a)
{
	struct identity *d = s->identity;
	const struct proof *p = NULL, *best = NULL;
	uint32_t i;

	if (kx_map_get(&d->proofs, word(a->client_nonce), &i))
		p = d->proof_list[i];
	for (; p != NULL; p = p->next)
		if (memcmp(p->nonce, a->client_nonce, sizeof(p->nonce)) == 0 &&
			p->principal == a->principal_id &&
			(p->principal == 0 || kx_auth_accept_check(p->secret, a) == 0) &&
			(best == NULL || p->wanted < best->wanted))
			best = p;
	return best;
}

void identity_accepted(struct sim *s, const struct kx_accept *a, bool raw)
{
	struct identity *d = s->identity;
	const struct proof *p;
	uint32_t of;

	if (!d->on)
		return;
	p = proof_of(s, a);
	SIM_CHECK(s, p != NULL, "a session as principal %llu for who has not proven to be it",
		(unsigned long long)a->principal_id);
	SIM_CHECK(s, a->protect >= d->list[p->principal].frames && a->protect >= p->wanted,
		"a session of %s with %s frames", names[p->principal], kx_protect_name(a->protect));
	if (kx_map_get(&d->producers, a->producer_id, &of))
		SIM_CHECK(s, of == p->principal, "a producer of %s is given to %s", names[of],
			names[p->principal]);
	if (kx_map_put(&d->producers, a->producer_id, p->principal) != 0 ||
		kx_map_put(&d->tickets, ticket_key(a->ticket), p->principal) != 0 ||
		kx_map_put(&d->sessions, a->conn_id, p->principal) != 0)
		sim_fail(s, "too many sessions");
	if (!raw && p->principal != 0) {
		memcpy(d->stolen, a->ticket, sizeof(d->stolen));
		d->stolen_of = p->principal;
	}
	seal_open(s, a, p->principal != 0 ? p->secret : NULL, raw);
}

/* ---- what sessions do */

static uint32_t topic_of(struct sim *s, uint32_t partition)
{
	int topic = kx_conf_partition_topic(s->broker.conf, partition);

	SIM_CHECK(s, topic >= 0, "partition %u does not exist", partition);
	return (uint32_t)topic;
}

void identity_stored(struct sim *s, uint64_t producer_id, uint32_t partition)
{
	struct identity *d = s->identity;
	uint32_t of = 0, topic;

	if (!d->on)
		return;
	SIM_CHECK(s, kx_map_get(&d->producers, producer_id, &of),
		"a batch of producer %llu, who was never accepted", (unsigned long long)producer_id);
	topic = topic_of(s, partition);
	SIM_CHECK(
		s, d->list[of].may[0][topic], "%s stored something on %s", names[of], sim_topic_name(topic));
}

void identity_sent(struct sim *s, const struct kx_frame_view *v)
{
	struct identity *d = s->identity;
	uint32_t of, partition, topic;

	if (!d->on || v->hdr->pkt_no == 0)
		return;
	if (v->hdr->type == KX_DELIVER)
		partition = ((const struct kx_batch_hdr *)v->body)->partition;
	else if (v->hdr->type == KX_DELIVER_FRAG)
		partition = ((const struct kx_frag *)v->body)->partition;
	else
		return;
	if (!kx_map_get(&d->sessions, v->hdr->conn_id, &of))
		return;
	topic = topic_of(s, partition);
	SIM_CHECK(
		s, d->list[of].may[1][topic], "%s is sent what lies on %s", names[of], sim_topic_name(topic));
}

/* Nobody has more sessions than it may, and each is of who it was accepted as. */
void identity_sessions(struct lcore *l)
{
	struct sim *s = l->sim;
	struct identity *d = s->identity;
	uint32_t count[SIM_PRINCIPALS] = {0}, of;
	struct kx_session_info info;

	if (!d->on)
		return;
	for (uint32_t i = 0; i < s->broker.conf->sessions.max; i++) {
		if (!kx_broker_session_info(l->broker, i, &info))
			continue;
		SIM_CHECK(s, info.principal < SIM_PRINCIPALS, "a session of principal %u", info.principal);
		count[info.principal]++;
		SIM_CHECK(s, info.protect >= d->list[info.principal].frames, "a session of %s with %s frames",
			names[info.principal], kx_protect_name(info.protect));
		if (kx_map_get(&d->sessions, info.conn_id, &of))
			SIM_CHECK(s, of == info.principal, "a session of %s became one of %s", names[of],
				names[info.principal]);
	}
	for (uint32_t i = 0; i < SIM_PRINCIPALS; i++)
		SIM_CHECK(s, d->list[i].sessions == 0 || count[i] <= d->list[i].sessions,
			"lcore %u: %u sessions of %s, who may have %u", l->index, count[i], names[i],
			d->list[i].sessions);
}

/* ---- raw peers */

/* With a ticket that it saw, and any key but the right one. */
static void as_thief(struct raw *r, struct kx_auth *a)
{
	struct identity *d = r->sim->identity;
	struct kx_key key = key_of(r->sim, SIM_GUEST, d->rotation / 2);

	fault_hit(r->sim, SIM_STOLEN_TICKET);
	a->method = KX_AUTH_TICKET;
	memcpy(a->ticket, d->stolen, sizeof(a->ticket));
	a->principal_bytes = (uint8_t)strlen(names[d->stolen_of]);
	memset(a->principal, 0, sizeof(a->principal));
	memcpy(a->principal, names[d->stolen_of], a->principal_bytes);
	if (chance(r->sim, 700))
		kx_auth_sign(&key, a);
	r->key.len = 0;
}

/* It says that it is the producer of a client that is another principal. */
static uint64_t other_id(struct raw *r, uint32_t principal)
{
	struct sim *s = r->sim;
	uint64_t id = s->ids[pick(s, s->client_count)];
	uint32_t of;

	return kx_map_get(&s->identity->producers, id, &of) && of != principal ? id : 0;
}

void identity_raw_auth(struct raw *r, struct kx_auth *a)
{
	struct sim *s = r->sim;
	struct identity *d = s->identity;
	uint32_t generation = d->rotation / 2 + (uint32_t)pick(s, d->rotation % 2 + 1);

	if (!d->on)
		return;
	r->key.len = 0;
	if (d->stolen_of != 0 && chance(s, 100)) {
		as_thief(r, a);
		return;
	}
	if (a->method == KX_AUTH_NONE && chance(s, 150))
		a->producer_id = other_id(r, r->principal);
	if (r->principal == 0)
		return;
	if (a->method == KX_AUTH_NONE)
		a->method = KX_AUTH_HMAC_SHA256;
	a->protect = chance(s, 500) ? KX_PROTECT_PLAIN : (uint8_t)pick(s, 3);
	a->principal_bytes = (uint8_t)strlen(names[r->principal]);
	memcpy(a->principal, names[r->principal], a->principal_bytes);
	if (chance(s, 100)) {
		fault_hit(s, SIM_WRONG_KEY);
		generation = KEY_NONE;
	}
	r->key = key_of(s, r->principal, generation);
	kx_auth_sign(&r->key, a);
	kx_auth_session_secret(&r->key, a, r->secret);
}

void identity_raw_accept(struct raw *r, const struct kx_accept *a)
{
	kx_auth_protect_end(&r->protect);
	if (a->protect == KX_PROTECT_PLAIN)
		return;
	if ((r->protect.seal_ctx == NULL && kx_auth_protect_create(&r->protect) != 0) ||
		kx_auth_protect_init(
			&r->protect, r->secret, a->conn_id, false, (enum kx_protect)a->protect) != 0)
		sim_fail(r->sim, "no keys for a raw peer");
}
