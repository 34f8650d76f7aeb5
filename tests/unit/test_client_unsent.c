/* SPDX-License-Identifier: BSD-3-Clause */
/* What had not left the client when the broker was restarted is not given up: it goes to the broker that is
 * there now, behind what is told as lost. */
#include "kx_test.h"

#include <unistd.h>

#include "client_pair.h"

#define MS    UINT64_C(1000000)
#define TOTAL 800

static char key_path[] = "/tmp/kx_client_unsent_XXXXXX";
static struct kx_key key;

struct side {
	struct kx_client *client;
	struct kx_producer *producer;
	uint64_t sent[PAIR_PARTS], completed[PAIR_PARTS], next_seq[PAIR_PARTS];
	uint64_t by[KX_RESULT_COUNT];
	uint32_t events[32];
	struct kx_event last_lost;
};

static void on_event(void *user, const struct kx_event *e)
{
	struct side *s = user;

	s->events[e->type]++;
	if (e->type == KX_EVENT_CONNECTED) /* to another broker each time: sequences begin anew */
		memset(s->next_seq, 0, sizeof(s->next_seq));
	if (e->type == KX_EVENT_LOST)
		s->last_lost = *e;
}

/* Completions come in the order of sending; what is lost is told before anything later is confirmed. */
static void on_complete(void *user, const struct kx_completion *c)
{
	struct side *s = user;

	assert_int_equal(c->user, s->completed[c->partition]);
	s->completed[c->partition] += c->count;
	s->by[c->result] += c->count;
	if (c->result != KX_OK)
		return;
	assert_int_equal(c->first_seq, s->next_seq[c->partition]);
	s->next_seq[c->partition] += c->count;
}

struct shape {
	const char *topic;
	uint64_t producer_id; /* to take over */
	uint64_t linger_ns;
	uint32_t large_bytes;
	bool protect, no_reconnect;
};

static void wait_ready(struct net *net, const struct side *s, uint32_t times)
{
	for (int i = 0; i < 1000000 && s->events[KX_EVENT_PRODUCER_READY] < times; i++)
		net_turn(net);
	assert_int_equal(s->events[KX_EVENT_PRODUCER_READY], times);
}

static void side_open(struct net *net, struct side *s, const struct shape *shape)
{
	struct kx_client_opts co = {.broker = net->lcores[0].addr,
		.connect_timeout_ns = 60 * KX_NS_PER_S,
		.producer_id = shape->producer_id,
		.no_reconnect = shape->no_reconnect,
		.on_event = on_event,
		.user = s};
	struct kx_producer_opts po = {.topic = shape->topic,
		.on_complete = on_complete,
		.large_bytes = shape->large_bytes,
		.linger_ns = shape->linger_ns,
		.user = s};

	memset(s, 0, sizeof(*s));
	if (shape->protect) {
		co.principal = "desk";
		co.key = key.bytes;
		co.key_bytes = key.len;
	}
	assert_int_equal(kx_client_open(net->hub[0], &co, net->now_ns, &s->client), KX_OK);
	assert_int_equal(kx_producer_open(s->client, &po, net->now_ns, &s->producer), KX_OK);
	wait_ready(net, s, 1);
}

static void send_bytes(struct net *net, struct side *s, uint32_t partition, uint32_t bytes)
{
	struct kx_message m = {.value = calloc(1, bytes),
		.value_bytes = bytes,
		.partition = (int32_t)partition,
		.user = s->sent[partition]++};

	assert_int_equal(kx_producer_send(s->producer, &m, net->now_ns), KX_OK);
	free((void *)(uintptr_t)m.value);
}

/* A message a batch. */
static void send_some(struct net *net, struct side *s, uint32_t n, uint32_t parts)
{
	for (uint32_t i = 0; i < n; i++) {
		send_bytes(net, s, i % parts, 600);
		kx_producer_flush(s->producer, net->now_ns);
	}
}

static void settle(struct net *net, const struct side *s, uint64_t most_ns)
{
	for (uint64_t end = net->now_ns + most_ns; net->now_ns < end && kx_producer_pending(s->producer) > 0;)
		net_turn(net);
	assert_int_equal(kx_producer_pending(s->producer), 0);
}

/* ---- nothing comes back from the broker, and what leaves is counted */

static struct {
	uint64_t batches; /* whole ones */
	uint64_t parts, last_parts;
} left;

static bool to_broker(const struct flight *f)
{
	return f->to.port < NET_PORT + NET_LCORES_MAX;
}

static bool mute(struct net *net, const struct flight *f, const struct kx_frame_hdr *h)
{
	const struct kx_frag *part = (const struct kx_frag *)(h + 1);

	(void)net;
	if (!to_broker(f))
		return false;
	left.batches += h->type == KX_PRODUCE;
	left.parts += h->type == KX_PRODUCE_FRAG;
	left.last_parts +=
		h->type == KX_PRODUCE_FRAG && part->frag_offset + part->frag_bytes == part->batch_bytes;
	return true;
}

static void mute_on(struct net *net)
{
	memset(&left, 0, sizeof(left));
	net->filter = mute;
}

/* What left whole, and only that, is lost; the rest is confirmed by the broker of now, from sequence 0 on. */
static void one_restart(struct net *net, const struct shape *shape, uint32_t parts)
{
	struct side s;
	uint64_t ok;

	side_open(net, &s, shape);
	send_some(net, &s, 40, parts);
	settle(net, &s, KX_NS_PER_S);
	mute_on(net);
	send_some(net, &s, TOTAL, parts);
	net_run(net, 3 * MS); /* until credit or window is used up, and before anything is sent again */
	assert_in_range(left.batches, 10, TOTAL - 100);
	net_restart_broker(net);
	net->filter = NULL;
	wait_ready(net, &s, 2);
	settle(net, &s, 10 * KX_NS_PER_S);
	print_message("%s: %lu of %u had left\n", shape->topic, (unsigned long)left.batches, TOTAL);
	assert_int_equal(s.by[KX_LOST], left.batches);
	assert_int_equal(s.by[KX_OK], 40 + TOTAL - left.batches);
	assert_int_equal(s.events[KX_EVENT_LOST], KX_MIN(parts, 40u));
	/* and on it goes; what the new log held of ours is told as gone when that is gone, too */
	send_some(net, &s, 10 * parts, parts);
	settle(net, &s, KX_NS_PER_S);
	ok = s.by[KX_OK] - 40;
	assert_int_equal(s.by[KX_LOST], left.batches);
	net_restart_broker(net);
	wait_ready(net, &s, 3);
	assert_int_equal(s.events[KX_EVENT_LOST], 2 * parts);
	if (parts == 1) {
		assert_int_equal(s.last_lost.first, 0);
		assert_int_equal(s.last_lost.last, ok - 1);
		assert_int_equal(s.last_lost.count, ok);
	}
	assert_int_equal(s.by[KX_LOST] + s.by[KX_OK], 40 + TOTAL + 10 * parts);
	net_free(net);
}

static void test_one_partition(void **state)
{
	(void)state;
	one_restart(net_new(pair_ini, 1, 1, 1), &(struct shape){.topic = "one"}, 1);
}

static void test_partitions_of_two_lcores(void **state)
{
	(void)state;
	one_restart(net_new(pair_ini, 2, 1, 2), &(struct shape){.topic = "four"}, 4);
}

static void test_protected(void **state)
{
	char ini[4096];

	(void)state;
	snprintf(ini, sizeof(ini),
		"%s[auth]\nanonymous = off\n[principal desk]\nkey_file = %s\nframes = aead\nproduce = *\n"
		"consume = *\n",
		pair_ini, key_path);
	one_restart(net_new(ini, 2, 1, 3), &(struct shape){.topic = "four", .protect = true}, 4);
}

/* A producer that was taken over goes on under the new id that the new broker has for it. */
static void test_taken_over(void **state)
{
	struct net *net = net_new(pair_ini, 1, 2, 4);
	struct kx_client_info info;
	struct side first;

	(void)state;
	side_open(net, &first, &(struct shape){.topic = "one"});
	send_some(net, &first, 1000, 1); /* offsets of the new log end before the old one's began */
	settle(net, &first, KX_NS_PER_S);
	kx_client_info(first.client, &info);
	assert_int_equal(kx_client_close(first.client, net->now_ns), KX_OK);
	one_restart(net, &(struct shape){.topic = "one", .producer_id = info.producer_id}, 1);
}

/* A message of which some parts were sent is stored nowhere: it is sent again, whole. */
static void test_sent_in_part(void **state)
{
	struct net *net = net_new(pair_ini, 1, 1, 5);
	struct side s;

	(void)state;
	side_open(net, &s, &(struct shape){.topic = "big", .large_bytes = 2 << 20});
	for (int i = 0; i < 5; i++)
		send_bytes(net, &s, 0, 60000);
	settle(net, &s, KX_NS_PER_S);
	net_run(net, 10 * MS);
	mute_on(net);
	send_some(net, &s, 30, 1); /* which leaves packets for less than what follows */
	send_bytes(net, &s, 0, 60000);
	send_bytes(net, &s, 0, 60000);
	send_bytes(net, &s, 0, 100);
	kx_producer_flush(s.producer, net->now_ns);
	net_run(net, MS);
	assert_int_equal(left.batches, 30);
	assert_true(left.parts > 0);
	assert_int_equal(left.last_parts, 0);
	net_restart_broker(net);
	net->filter = NULL;
	wait_ready(net, &s, 2);
	settle(net, &s, 10 * KX_NS_PER_S);
	assert_int_equal(s.by[KX_LOST], 30);
	assert_int_equal(s.by[KX_OK], 5 + 3);
	net_free(net);
}

/* A batch that is being filled, alone and behind others; a claim made before and committed after. */
static void test_being_filled(void **state)
{
	struct net *net = net_new(pair_ini, 2, 1, 6);
	uint8_t *values;
	uint32_t stride;
	struct side s;

	(void)state;
	side_open(net, &s, &(struct shape){.topic = "four", .linger_ns = 3 * KX_NS_PER_S});
	send_bytes(net, &s, 1, 100);
	kx_producer_flush(s.producer, net->now_ns);
	settle(net, &s, KX_NS_PER_S);
	for (uint32_t part = 0; part < 3; part++)
		send_bytes(net, &s, part, 100);
	assert_int_equal(kx_producer_claim(s.producer, 3, 0, 8, 1, &values, &stride), KX_OK);
	memset(values, 0, 8);
	net_restart_broker(net);
	wait_ready(net, &s, 2);
	assert_int_equal(kx_producer_commit(s.producer, s.sent[3]++, net->now_ns), KX_OK);
	settle(net, &s, 10 * KX_NS_PER_S);
	assert_int_equal(s.by[KX_LOST], 0);
	assert_int_equal(s.by[KX_OK], 5);
	assert_int_equal(s.events[KX_EVENT_LOST], 1);
	net_free(net);
}

/* The partition is not there any more: said so, and nothing waits for ever. */
static void test_partition_is_gone(void **state)
{
	static const char fewer[] = "[lcores]\ndata = 1\n[memory]\nlog_bytes = 64M\nextent_bytes = 64K\n"
				    "[port net_memif0]\naddress = 10.0.0.254/24\n"
				    "[topic four]\npartitions = 2\nlog_bytes = 4M\nmax_message_bytes = 64K\n";
	struct kx_conf_errors *errs = calloc(1, sizeof(*errs));
	struct net *net = net_new(pair_ini, 1, 1, 7);
	struct kx_conf *before = net->conf;
	struct side s;

	(void)state;
	side_open(net, &s, &(struct shape){.topic = "four", .linger_ns = 3 * KX_NS_PER_S});
	for (uint32_t part = 0; part < 4; part++)
		send_bytes(net, &s, part, 100);
	assert_int_equal(kx_conf_load_memory("fewer.ini", fewer, sizeof(fewer) - 1, &net->conf, errs), 0);
	net_restart_broker(net);
	wait_ready(net, &s, 2);
	settle(net, &s, 10 * KX_NS_PER_S);
	assert_int_equal(s.by[KX_LOST], 0);
	assert_int_equal(s.by[KX_REFUSED], 2);
	assert_int_equal(s.by[KX_OK], 2);
	kx_conf_free(before);
	free(errs);
	net_free(net);
}

static bool no_resume(struct net *net, const struct flight *f, const struct kx_frame_hdr *h)
{
	(void)net;
	return h->type != KX_RESUME || !to_broker(f);
}

/* Closed before the broker's answer, and opened again: what was confirmed is told as lost, and sequences
 * begin anew. */
static void test_closed_unanswered(void **state)
{
	struct net *net = net_new(pair_ini, 1, 1, 9);
	struct kx_producer_opts po = {.topic = "one", .on_complete = on_complete};
	struct side s;

	(void)state;
	side_open(net, &s, &(struct shape){.topic = "one"});
	send_some(net, &s, 40, 1);
	settle(net, &s, KX_NS_PER_S);
	net->filter = no_resume;
	net_restart_broker(net);
	net_run(net, 30 * KX_NS_PER_S); /* until the silence is noticed */
	assert_int_equal(s.events[KX_EVENT_CONNECTED], 2);
	assert_int_equal(s.events[KX_EVENT_PRODUCER_READY], 1);
	assert_int_equal(s.events[KX_EVENT_LOST], 0);
	assert_int_equal(kx_producer_close(s.producer, net->now_ns), KX_OK);
	assert_int_equal(s.events[KX_EVENT_LOST], 1);
	assert_int_equal(s.last_lost.count, 40);
	net->filter = NULL;
	po.user = &s;
	assert_int_equal(kx_producer_open(s.client, &po, net->now_ns, &s.producer), KX_OK);
	wait_ready(net, &s, 2);
	send_some(net, &s, 40, 1);
	settle(net, &s, 10 * KX_NS_PER_S);
	assert_int_equal(s.by[KX_OK], 80);
	assert_int_equal(s.events[KX_EVENT_LOST], 1);
	net_free(net);
}

/* No other session follows: what was sent is lost, the rest was just not sent. */
static void test_no_reconnect(void **state)
{
	struct net *net = net_new(pair_ini, 1, 1, 8);
	struct side s;

	(void)state;
	side_open(net, &s, &(struct shape){.topic = "one", .no_reconnect = true});
	mute_on(net);
	send_some(net, &s, TOTAL, 1);
	net_run(net, 3 * MS);
	net_restart_broker(net);
	net->filter = NULL;
	settle(net, &s, 10 * KX_NS_PER_S);
	assert_int_equal(s.by[KX_LOST], left.batches);
	assert_int_equal(s.by[KX_NOT_CONNECTED], TOTAL - left.batches);
	net_free(net);
}

static int begin(void **state)
{
	char said[256];
	struct kx_text why;
	int fd = mkstemp(key_path);

	(void)state;
	kx_text_init(&why, said, sizeof(said));
	if (fd < 0)
		return -1;
	close(fd);
	unlink(key_path);
	return kx_key_create(key_path, &why) != 0 || kx_key_load(key_path, &key, &why) != 0 ? -1 : 0;
}

static int end(void **state)
{
	(void)state;
	kx_key_wipe(&key);
	return unlink(key_path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_partition),
		cmocka_unit_test(test_partitions_of_two_lcores),
		cmocka_unit_test(test_protected),
		cmocka_unit_test(test_taken_over),
		cmocka_unit_test(test_sent_in_part),
		cmocka_unit_test(test_being_filled),
		cmocka_unit_test(test_partition_is_gone),
		cmocka_unit_test(test_closed_unanswered),
		cmocka_unit_test(test_no_reconnect),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
