/* SPDX-License-Identifier: BSD-3-Clause */
/* Clients and brokers in one process: take-overs, zombies, state that was evicted, restarts; what the
 * programs are told, and what is in the logs afterwards. */
#include "kx_test.h"

#include "client_pair.h"

#define MS UINT64_C(1000000)

struct side {
	struct kx_client *client;
	struct kx_producer *producer;
	uint64_t ok, fenced, lost, unknown, other; /* messages completed so */
	uint64_t ok_end;			   /* next_offset of the last confirmation */
	uint32_t events[32];
	struct kx_event last_lost[PAIR_PARTS];
};

static void on_event(void *user, const struct kx_event *e)
{
	struct side *s = user;

	s->events[e->type]++;
	if (e->type == KX_EVENT_LOST)
		s->last_lost[e->partition] = *e;
}

static void on_complete(void *user, const struct kx_completion *c)
{
	struct side *s = user;

	switch (c->result) {
	case KX_OK:
		s->ok += c->count;
		s->ok_end = c->next_offset;
		break;
	case KX_FENCED:
		s->fenced += c->count;
		break;
	case KX_LOST:
		s->lost += c->count;
		break;
	case KX_UNKNOWN_FATE:
		s->unknown += c->count;
		break;
	default:
		s->other += c->count;
	}
}

static void side_open(struct net *net, struct side *s, uint32_t hub, const char *topic, uint64_t producer_id)
{
	struct kx_client_opts co = {.broker = net->lcores[0].addr,
		.connect_timeout_ns = 60 * KX_NS_PER_S,
		.producer_id = producer_id,
		.on_event = on_event,
		.user = s};
	struct kx_producer_opts po = {.topic = topic, .on_complete = on_complete, .user = s};

	memset(s, 0, sizeof(*s));
	assert_int_equal(kx_client_open(net->hub[hub], &co, net->now_ns, &s->client), KX_OK);
	assert_int_equal(kx_producer_open(s->client, &po, net->now_ns, &s->producer), KX_OK);
	for (int i = 0; i < 100000 && s->events[KX_EVENT_PRODUCER_READY] == 0; i++)
		net_turn(net);
	assert_int_equal(s->events[KX_EVENT_PRODUCER_READY], 1);
}

static void send(struct net *net, struct side *s, int32_t partition, uint64_t number)
{
	struct kx_message m = {.value = &number, .value_bytes = sizeof(number), .partition = partition};

	assert_int_equal(kx_producer_send(s->producer, &m, net->now_ns), KX_OK);
	kx_producer_flush(s->producer, net->now_ns);
}

static void settle(struct net *net, struct side *s, uint64_t most_ns)
{
	for (uint64_t end = net->now_ns + most_ns; net->now_ns < end &&
		(kx_producer_pending(s->producer) > 0 || !kx_client_connected(s->client));)
		net_turn(net);
	assert_int_equal(kx_producer_pending(s->producer), 0);
}

static struct kx_client_info info_of(const struct side *s)
{
	struct kx_client_info info;

	kx_client_info(s->client, &info);
	return info;
}

/* What a log holds: each number once, in order. */
struct reader {
	uint64_t count, last;
	bool twice;
};

static void on_batch(void *user, const struct kx_batch_view *v)
{
	struct kx_record_iter it = kx_batch_records(v);
	struct reader *r = user;
	struct kx_record rec;
	uint64_t n;

	while (kx_record_next(&it, &rec)) {
		memcpy(&n, rec.value, sizeof(n));
		r->twice |= r->count > 0 && n <= r->last;
		r->last = n;
		r->count++;
	}
}

static struct reader read_all(struct net *net, const char *topic, uint32_t hub)
{
	struct kx_client_opts co = {.broker = net->lcores[0].addr, .connect_timeout_ns = 60 * KX_NS_PER_S};
	struct reader r = {0};
	struct kx_consumer_opts o = {.topic = topic,
		.partition = 0,
		.start_offset = KX_OFFSET_EARLIEST,
		.on_batch = on_batch,
		.user = &r};
	struct kx_consumer *consumer;
	struct kx_client *client;

	assert_int_equal(kx_client_open(net->hub[hub], &co, net->now_ns, &client), KX_OK);
	assert_int_equal(kx_consumer_open(client, &o, net->now_ns, &consumer), KX_OK);
	net_run(net, 500 * MS);
	assert_int_equal(kx_client_close(client, net->now_ns), KX_OK);
	return r;
}

/* ---- take-overs */

/* A second client goes on as the first: the first is told, completes with FENCED and does not take it back.
 */
static void test_take_over(void **state)
{
	struct net *net = net_new(pair_ini, 2, 3, 40);
	struct side old, new;
	struct reader r;

	(void)state;
	side_open(net, &old, 0, "four", 0);
	assert_false(info_of(&old).taken_over);
	for (uint64_t i = 0; i < 50; i++)
		send(net, &old, 0, i);
	settle(net, &old, KX_NS_PER_S);
	net->hubs[0].asleep_until_ns = net->now_ns + 200 * MS; /* the old one does not look */
	side_open(net, &new, 1, "four", info_of(&old).producer_id);
	assert_true(info_of(&new).taken_over);
	assert_int_equal(info_of(&new).producer_id, info_of(&old).producer_id);
	assert_int_equal(info_of(&new).producer_epoch, info_of(&old).producer_epoch + 1);
	for (uint64_t i = 100; i < 150; i++)
		send(net, &new, 0, i);
	settle(net, &new, KX_NS_PER_S);
	for (uint64_t i = 50; i < 60; i++) /* what the zombie still believes it may send */
		send(net, &old, 0, i);
	net_run(net, 2 * KX_NS_PER_S);
	assert_int_equal(old.fenced, 10);
	assert_int_equal(old.ok, 50);
	assert_int_equal(old.events[KX_EVENT_FENCED], 1);
	assert_int_equal(new.ok, 50);
	assert_int_equal(new.events[KX_EVENT_FENCED], 0);
	/* its producers are over, the client itself is back, as somebody else */
	assert_true(kx_client_connected(old.client));
	assert_int_not_equal(info_of(&old).producer_id, info_of(&new).producer_id);
	assert_int_equal(kx_producer_send(old.producer, &(struct kx_message){.value = "x", .value_bytes = 1},
				 net->now_ns),
		KX_FENCED);
	r = read_all(net, "four", 2);
	assert_int_equal(r.count, 100);
	assert_false(r.twice);
	net_free(net);
}

/* A zombie that was taken over, and wakes up when the broker has restarted besides: its consumers begin anew
 * with the new log. */
static void test_fenced_and_restarted(void **state)
{
	struct net *net = net_new(pair_ini, 1, 2, 47);
	struct reader r = {0};
	struct kx_consumer_opts o = {
		.topic = "one", .start_offset = KX_OFFSET_EARLIEST, .on_batch = on_batch, .user = &r};
	struct kx_consumer *consumer;
	struct side old, new;

	(void)state;
	side_open(net, &old, 0, "one", 0);
	assert_int_equal(kx_consumer_open(old.client, &o, net->now_ns, &consumer), KX_OK);
	for (uint64_t i = 0; i < 3; i++)
		send(net, &old, 0, i);
	settle(net, &old, KX_NS_PER_S);
	net_run(net, 10 * MS);
	assert_int_equal(r.count, 3);
	net->hubs[0].asleep_until_ns = net->now_ns + 4 * KX_NS_PER_S;
	side_open(net, &new, 1, "one", info_of(&old).producer_id);
	net_restart_broker(net);
	net_run(net, 3 * KX_NS_PER_S);
	for (uint64_t i = 100; i < 105; i++)
		send(net, &new, 0, i);
	settle(net, &new, KX_NS_PER_S);
	net_run(net, 3 * KX_NS_PER_S);
	assert_int_equal(old.events[KX_EVENT_FENCED], 1);
	assert_int_equal(old.events[KX_EVENT_OFFSET_TRUNCATED], 1);
	assert_int_equal(r.count, 8);
	net_free(net);
}

/* Two zombies: each is fenced by the next. Unknown ids give a new one, and the client sees it. */
static void test_two_in_a_row(void **state)
{
	struct net *net = net_new(pair_ini, 2, 3, 41);
	struct side first, second, third;
	uint64_t id;

	(void)state;
	side_open(net, &first, 0, "one", 4711);
	assert_false(info_of(&first).taken_over);
	id = info_of(&first).producer_id;
	assert_int_not_equal(id, 4711);
	side_open(net, &second, 1, "one", id);
	side_open(net, &third, 2, "one", id);
	net_run(net, KX_NS_PER_S);
	assert_int_equal(first.events[KX_EVENT_FENCED], 1);
	assert_int_equal(second.events[KX_EVENT_FENCED], 1);
	assert_int_equal(third.events[KX_EVENT_FENCED], 0);
	send(net, &third, 0, 1);
	settle(net, &third, KX_NS_PER_S);
	assert_int_equal(third.ok, 1);
	net_free(net);
}

/* Frames of the zombie are on their way, for longer than the take-over takes: none is stored after ACCEPT. */
static void test_frames_in_flight(void **state)
{
	struct net *net = net_new(pair_ini, 2, 3, 42);
	struct side old, new;
	uint64_t before;

	(void)state;
	side_open(net, &old, 0, "four", 0);
	for (uint64_t i = 0; i < 10; i++)
		send(net, &old, 1, i); /* the channel of the other lcore is up */
	settle(net, &old, KX_NS_PER_S);
	net->delay_ns = 20 * MS;
	for (uint64_t i = 10; i < 40; i++) {
		send(net, &old, 1, i);
		net_turn(net);
	}
	net->delay_ns = 20000;
	net->hubs[0].asleep_until_ns = net->now_ns + 100 * MS;
	side_open(net, &new, 1, "four", info_of(&old).producer_id);
	before = net->offsets[2].next_offset;
	net_run(net, 200 * MS); /* partition 1 of "four" has id 2: all of it arrives now */
	assert_int_equal(net->offsets[2].next_offset, before);
	assert_int_equal(old.ok, 10);
	assert_int_equal(old.fenced, 30);
	net_free(net);
}

/* One of two lcores does not come to its turn: the new client waits for ACCEPT, and nothing else happens. */
static void test_a_delayed_lcore_delays_accept(void **state)
{
	struct net *net = net_new(pair_ini, 2, 2, 43);
	struct kx_client_opts co = {.broker = net->lcores[0].addr, .connect_timeout_ns = 60 * KX_NS_PER_S};
	struct kx_client *client;
	struct side old;

	(void)state;
	side_open(net, &old, 0, "four", 0);
	co.producer_id = info_of(&old).producer_id;
	net->lcores[1].asleep_until_ns = net->now_ns + 700 * MS;
	assert_int_equal(kx_client_open(net->hub[1], &co, net->now_ns, &client), KX_OK);
	net_run(net, 600 * MS);
	assert_false(kx_client_connected(client));
	net_run(net, KX_NS_PER_S);
	assert_true(kx_client_connected(client));
	assert_int_equal(kx_broker_counters(net->brokers[0])->take_overs, 1);
	net_free(net);
}

/* ---- sessions that end */

/* The session ends with everything in doubt, the confirmations lost: RESUME says what is stored, nothing is
 * sent twice, nothing is lost. */
static void test_resume_confirms(void **state)
{
	struct net *net = net_new(pair_ini, 1, 2, 44);
	struct kx_client_stats stats;
	struct side s;
	struct reader r;
	uint64_t stored;

	(void)state;
	side_open(net, &s, 0, "one", 0);
	for (uint64_t i = 0; i < 50; i++)
		send(net, &s, 0, i);
	net_turn(net); /* sent */
	net->hubs[0].dead = true;
	net_run(net, 50 * MS);
	stored = net->offsets[0].next_offset;
	assert_true(stored > 0);
	net_run(net, 11 * KX_NS_PER_S);
	kx_client_stats(s.client, &stats);
	net->hubs[0].dead = false;
	settle(net, &s, 20 * KX_NS_PER_S);
	assert_int_equal(s.ok, 50);
	assert_int_equal(net->offsets[0].next_offset, 50);
	assert_true(kx_broker_counters(net->brokers[0])->resumes >= 1);
	for (uint32_t i = 0; i < KX_DROP_COUNT; i++) /* what RESUME confirmed did not come again */
		if (i == KX_DROP_SEQ_DUPLICATE)
			assert_int_equal(net->ledgers[0].drop[i], 0);
	r = read_all(net, "one", 1);
	assert_int_equal(r.count, 50);
	assert_false(r.twice);
	net_free(net);
}

/* The broker has given the producer's state up meanwhile: UNKNOWN_FATE for what was under way there, a new
 * epoch, and on it goes, with what had not left yet first. The other partition loses nothing. */
static void test_evicted_state(void **state)
{
	static const char ini[] =
		"[lcores]\ndata = 1\n[memory]\nlog_bytes = 64M\nextent_bytes = 64K\n"
		"[sessions]\nmax_producers = 16\nidle_timeout_ms = 1000\nheartbeat_ms = 100\n"
		"[port net_memif0]\naddress = 10.0.0.254/24\n"
		"[topic a]\npartitions = 1\nlog_bytes = 4M\nmax_message_bytes = 64K\n"
		"[topic wide]\npartitions = 16\nlog_bytes = 1M\nmax_message_bytes = 1K\n";
	struct net *net = net_new(ini, 1, 3, 45);
	struct side s, other;
	struct reader r;
	uint32_t epoch;

	(void)state;
	side_open(net, &s, 0, "a", 0);
	epoch = info_of(&s).producer_epoch;
	for (uint64_t i = 0; i < 10; i++)
		send(net, &s, 0, i);
	settle(net, &s, KX_NS_PER_S);
	for (uint64_t i = 10; i < 20; i++)
		send(net, &s, 0, i);
	net_turn(net); /* sent; nothing comes back */
	net->hubs[0].dead = true;
	net->hubs[0].asleep_until_ns = net->now_ns + 8 * KX_NS_PER_S;
	for (uint64_t i = 20; i < 25; i++) /* its client does not look, either: they stay where they are */
		send(net, &s, 0, i);
	net_run(net, 3 * KX_NS_PER_S); /* its session ends */
	side_open(net, &other, 1, "wide", 0);
	for (int32_t p = 0; p < 16; p++)
		send(net, &other, p, 1);
	net_run(net, 6 * KX_NS_PER_S);
	assert_int_equal(other.ok, 16);
	assert_int_equal(kx_client_close(other.client, net->now_ns), KX_OK);
	net->hubs[0].dead = false;
	settle(net, &s, 20 * KX_NS_PER_S);
	assert_int_equal(s.ok, 15);
	assert_int_equal(s.unknown, 10);
	assert_int_equal(s.events[KX_EVENT_FENCED], 0);
	assert_true(info_of(&s).producer_epoch > epoch);
	for (int i = 0; i < 100000 && s.events[KX_EVENT_PRODUCER_READY] < 2; i++)
		net_turn(net);
	for (uint64_t i = 25; i < 35; i++)
		send(net, &s, 0, i);
	settle(net, &s, 20 * KX_NS_PER_S);
	assert_int_equal(s.ok, 25);
	r = read_all(net, "a", 2);
	assert_false(r.twice);
	assert_int_equal(r.count, 35);
	net_free(net);
}

/* ---- restarts */

static void test_restart_is_lost_exactly(void **state)
{
	struct net *net = net_new(pair_ini, 2, 2, 46);
	struct side s;

	(void)state;
	side_open(net, &s, 0, "four", 0);
	for (uint64_t i = 0; i < 40; i++)
		send(net, &s, (int32_t)(i % 2), i); /* partitions 0 and 1, of two lcores */
	settle(net, &s, KX_NS_PER_S);
	assert_int_equal(s.ok, 40);
	for (uint64_t i = 0; i < 6; i++)
		send(net, &s, (int32_t)(i % 3), i); /* 0, 1 and 2: under way */
	net_restart_broker(net);
	for (int i = 0; i < 1000000 && s.events[KX_EVENT_PRODUCER_READY] < 2; i++)
		net_turn(net);
	assert_int_equal(s.lost, 6);
	assert_int_equal(s.ok, 40);
	assert_int_equal(s.unknown + s.fenced + s.other, 0);
	assert_int_equal(s.events[KX_EVENT_LOST], 2);
	for (uint32_t p = 0; p < 2; p++) {
		assert_int_equal(s.last_lost[p].first, 0);
		assert_int_equal(s.last_lost[p].last, 19);
		assert_int_equal(s.last_lost[p].count, 20);
		assert_int_equal(s.last_lost[p].result, KX_LOST);
	}
	/* and on it goes; a second restart tells what was confirmed since, no more */
	for (uint64_t i = 0; i < 5; i++)
		send(net, &s, 1, i);
	settle(net, &s, KX_NS_PER_S);
	assert_int_equal(s.ok, 45);
	net_restart_broker(net);
	for (int i = 0; i < 1000000 && s.events[KX_EVENT_PRODUCER_READY] < 3; i++)
		net_turn(net);
	assert_int_equal(s.events[KX_EVENT_LOST], 3);
	assert_int_equal(s.last_lost[1].first, 0);
	assert_int_equal(s.last_lost[1].last, 4);
	assert_int_equal(s.lost, 6);
	net_free(net);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_take_over),
		cmocka_unit_test(test_fenced_and_restarted),
		cmocka_unit_test(test_two_in_a_row),
		cmocka_unit_test(test_frames_in_flight),
		cmocka_unit_test(test_a_delayed_lcore_delays_accept),
		cmocka_unit_test(test_resume_confirms),
		cmocka_unit_test(test_evicted_state),
		cmocka_unit_test(test_restart_is_lost_exactly),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
