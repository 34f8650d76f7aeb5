/* SPDX-License-Identifier: BSD-3-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "client_pair.h"

const char pair_ini[] =
	"[lcores]\ndata = 1\n"
	"[memory]\nlog_bytes = 64M\nextent_bytes = 64K\n"
	"[port net_memif0]\naddress = 10.0.0.254/24\n"
	"[topic one]\npartitions = 1\noverrun = block\nlog_bytes = 4M\nmax_message_bytes = 64K\n"
	"[topic four]\npartitions = 4\noverrun = block\nlog_bytes = 4M\nmax_message_bytes = 64K\n"
	"[topic trim]\npartitions = 1\nlog_bytes = 256K\nmax_message_bytes = 64K\n"
	"[topic big]\npartitions = 1\noverrun = block\nlog_bytes = 16M\nmax_message_bytes = 1M\n";

const char *pair_principal;
const struct kx_key *pair_key;

void pair_event(void *user, const struct kx_event *e)
{
	struct seen *s = user;

	s->events[e->type]++;
	if (e->type == KX_EVENT_OFFSET_TRIMMED) {
		s->trimmed += e->last + 1 - e->first;
		s->next[e->partition] = e->last + 1;
	}
	if (e->type == KX_EVENT_THROTTLED)
		s->last_code = e->code;
	if (e->result != KX_OK) {
		s->last_result = e->result;
		s->last_code = e->code;
	}
}

void pair_complete(void *user, const struct kx_completion *c)
{
	struct seen *s = user;

	assert_int_equal(c->first_seq, s->next_seq[c->partition]);
	s->next_seq[c->partition] += c->count;
	if (c->result != KX_OK) {
		s->failed += c->count;
		s->last_result = c->result;
		return;
	}
	s->completed[c->partition] += c->count;
	assert_true(c->next_offset >= s->completed[c->partition]);
	if (c->offset_exact)
		assert_int_equal(c->next_offset, s->completed[c->partition]);
	assert_int_equal(c->level, KX_MEMORY);
}

void pair_fill(uint8_t *to, uint32_t bytes, uint64_t number)
{
	memcpy(to, &number, sizeof(number));
	for (uint32_t i = sizeof(number); i < bytes; i++)
		to[i] = (uint8_t)(number * 31 + i);
}

void pair_check(struct seen *s, uint32_t partition, const struct kx_record *r)
{
	uint64_t number;

	assert_true(r->value_bytes >= sizeof(number));
	memcpy(&number, r->value, sizeof(number));
	assert_int_equal(number, s->next[partition]);
	for (uint32_t i = sizeof(number); i < r->value_bytes; i++)
		if (r->value[i] != (uint8_t)(number * 31 + i))
			fail_msg("byte %u of message %lu", i, (unsigned long)number);
	s->next[partition]++;
	s->messages++;
}

void pair_batch(void *user, const struct kx_batch_view *v)
{
	struct kx_record_iter it = kx_batch_records(v);
	struct seen *s = user;
	struct kx_record r;
	uint32_t n = 0;

	if (s->any_start && s->messages == 0)
		s->next[v->partition] = v->first_offset;
	assert_int_equal(v->first_offset, s->next[v->partition]);
	for (; kx_record_next(&it, &r); n++)
		pair_check(s, v->partition, &r);
	assert_int_equal(n, v->count);
	s->held += v->held;
}

struct kx_client *pair_client(struct net *net, uint32_t hub, struct seen *seen)
{
	struct kx_client_opts opts = {
		.on_event = pair_event, .user = seen, .connect_timeout_ns = 60 * KX_NS_PER_S};
	struct kx_client *c;

	opts.broker = net->lcores[0].addr;
	opts.principal = pair_principal;
	if (pair_key != NULL) {
		opts.key = pair_key->bytes;
		opts.key_bytes = pair_key->len;
	}
	assert_int_equal(kx_client_open(net->hub[hub], &opts, net->now_ns, &c), KX_OK);
	return c;
}

void pair_open(struct pair *p, const char *topic, uint64_t linger_ns)
{
	struct kx_producer_opts po = {.topic = topic,
		.linger_ns = linger_ns,
		.on_complete = pair_complete,
		.user = &p->seen,
		.slot_bytes = p->frame_bytes,
		.large_bytes = 2 << 20};
	struct kx_consumer_opts co = {.topic = topic,
		.partition = KX_PARTITION_ALL,
		.start_offset = KX_OFFSET_EARLIEST,
		.on_batch = pair_batch,
		.window_bytes = p->window_bytes,
		.hold_frames = p->hold_frames,
		.hold_bytes = p->frame_bytes,
		.user = &p->seen};

	p->pc = pair_client(p->net, 0, &p->seen);
	p->cc = pair_client(p->net, p->net->hub_count - 1, &p->seen);
	assert_int_equal(kx_producer_open(p->pc, &po, p->net->now_ns, &p->producer), KX_OK);
	assert_int_equal(kx_consumer_open(p->cc, &co, p->net->now_ns, &p->consumer), KX_OK);
	for (int i = 0; i < 1000000 &&
		(p->seen.events[KX_EVENT_PRODUCER_READY] == 0 ||
			p->seen.events[KX_EVENT_CONSUMER_READY] == 0);
		i++)
		net_turn(p->net);
	assert_int_equal(p->seen.events[KX_EVENT_PRODUCER_READY], 1);
	assert_int_equal(p->seen.events[KX_EVENT_CONSUMER_READY], 1);
}

void pair_impair(struct net *net, uint32_t per_mille)
{
	net->loss = net->duplicate = per_mille;
	net->reorder = per_mille * 2;
	net->corrupt = per_mille / 2;
	net->jitter_ns = 400000;
}

void pair_send_all(struct pair *p, uint64_t total, uint32_t parts, uint32_t per_turn)
{
	uint64_t sent[PAIR_PARTS] = {0}, n = 0, limit = p->net->now_ns + 600 * KX_NS_PER_S;
	uint8_t value[1000];

	while (p->seen.messages < total && p->net->now_ns < limit) {
		for (uint32_t i = 0; i < per_turn && n < total; i++) {
			uint32_t part = (uint32_t)(n % parts);
			uint32_t bytes = 8 + (uint32_t)((n * 37) % (n % 16 == 0 ? 900 : 90));
			struct kx_message m = {
				.value = value, .value_bytes = bytes, .partition = (int32_t)part};
			enum kx_result r;

			pair_fill(value, bytes, sent[part]);
			r = kx_producer_send(p->producer, &m, p->net->now_ns);
			if (r == KX_BACK_PRESSURED)
				break;
			assert_int_equal(r, KX_OK);
			sent[part]++;
			n++;
		}
		net_turn(p->net);
	}
	assert_int_equal(p->seen.messages, total);
	for (int i = 0; i < 200000 && kx_producer_pending(p->producer) > 0; i++)
		net_turn(p->net);
	assert_int_equal(kx_producer_pending(p->producer), 0);
	for (uint32_t i = 0; i < parts; i++) {
		assert_int_equal(p->seen.next[i], sent[i]);
		assert_int_equal(p->seen.completed[i], sent[i]);
	}
	assert_int_equal(p->seen.failed, 0);
}

void pair_print(const char *what, const struct pair *p)
{
	struct kx_client_stats s, c;

	kx_client_stats(p->pc, &s);
	kx_client_stats(p->cc, &c);
	print_message("%s: %lu datagrams, %lu lost; produce frames %lu, again %lu, probes %lu; duplicate "
		      "batches %lu, "
		      "held %lu, naks %lu\n",
		what, (unsigned long)p->net->sent, (unsigned long)p->net->lost,
		(unsigned long)s.produce_frames, (unsigned long)s.retransmits, (unsigned long)s.probes,
		(unsigned long)c.duplicate_batches, (unsigned long)c.held_frames, (unsigned long)c.naks_sent);
}
