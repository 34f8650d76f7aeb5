/* SPDX-License-Identifier: BSD-3-Clause */
/* What a program steers: polled completions, seek, pause, resume, acknowledge. */
#include "kx_test.h"

#include "client_pair.h"

static void send(struct pair *p, uint32_t partition, uint64_t first, uint64_t n)
{
	uint8_t value[100];

	for (uint64_t i = 0; i < n; i++) {
		struct kx_message m = {
			.value = value, .value_bytes = sizeof(value), .partition = (int32_t)partition};

		pair_fill(value, sizeof(value), first + i);
		while (kx_producer_send(p->producer, &m, p->net->now_ns) != KX_OK)
			net_turn(p->net);
	}
	kx_producer_flush(p->producer, p->net->now_ns);
}

/* ---- completions */

static void test_polled_completions(void **state)
{
	struct pair p = {.net = net_new(pair_ini, 1, 1, 21)};
	struct kx_producer_opts po = {.topic = "one", .polled = true, .send_slots = 8, .batch_bytes = 200};
	struct kx_completion c[16];
	uint64_t next = 0;
	uint32_t sent = 0;
	uint8_t value[100] = {0};

	(void)state;
	pair_impair(p.net, 20);
	p.pc = pair_client(p.net, 0, &p.seen);
	po.on_complete = pair_complete;
	assert_int_equal(kx_producer_open(p.pc, &po, p.net->now_ns, &p.producer), KX_BAD_ARGUMENT);
	po.on_complete = NULL;
	assert_int_equal(kx_producer_open(p.pc, &po, p.net->now_ns, &p.producer), KX_OK);
	net_run(p.net, 200000000);
	assert_int_equal(kx_producer_poll(p.producer, c, 16), 0);
	assert_int_equal(kx_producer_poll(NULL, c, 16), 0);
	assert_int_equal(kx_producer_room(p.producer), 8);
	/* one batch a message; without a poll the ninth has no place, however long it waits */
	for (int turn = 0; turn < 20000; turn++) {
		struct kx_message m = {.value = value, .value_bytes = 100, .user = 1000 + sent};

		sent += kx_producer_send(p.producer, &m, p.net->now_ns) == KX_OK;
		net_turn(p.net);
	}
	assert_int_equal(sent, 8);
	assert_int_equal(kx_producer_room(p.producer), 0);
	assert_int_equal(kx_producer_pending(p.producer), 0);
	assert_int_equal(kx_producer_confirmed(p.producer, 0, KX_MEMORY), 8);
	assert_int_equal(kx_producer_confirmed(p.producer, 0, KX_SYNCED), 0);
	assert_int_equal(kx_producer_confirmed(p.producer, 1, KX_MEMORY), 0);
	assert_int_equal(kx_producer_confirmed(p.producer, 0, 9), 0);
	assert_int_equal(kx_producer_poll(p.producer, c, 3), 3);
	assert_int_equal(kx_producer_room(p.producer), 3);
	assert_int_equal(kx_producer_poll(p.producer, c + 3, 13), 5);
	for (uint32_t i = 0; i < 8; i++) {
		assert_int_equal(c[i].result, KX_OK);
		assert_int_equal(c[i].first_seq, i);
		assert_int_equal(c[i].user, 1000 + i);
		assert_int_equal(c[i].level, KX_MEMORY);
	}
	/* and around the ring's end, many times */
	next = 8;
	for (int turn = 0; turn < 2000000 && next < 1000; turn++) {
		struct kx_message m = {.value = value, .value_bytes = 100, .user = 1000 + sent};

		if (sent < 1000)
			sent += kx_producer_send(p.producer, &m, p.net->now_ns) == KX_OK;
		net_turn(p.net);
		for (uint32_t i = 0, n = kx_producer_poll(p.producer, c, 1 + turn % 5); i < n; i++) {
			assert_int_equal(c[i].user, 1000 + next);
			assert_int_equal(c[i].first_seq, next++);
		}
	}
	assert_int_equal(next, 1000);
	net_free(p.net);
}

static void test_polled_completions_of_a_lost_session(void **state)
{
	struct pair p = {.net = net_new(pair_ini, 1, 1, 22)};
	struct kx_producer_opts po = {.topic = "one", .polled = true};
	struct kx_completion c[4] = {0};
	struct kx_message m = {.value = "x", .value_bytes = 1};

	(void)state;
	p.pc = pair_client(p.net, 0, &p.seen);
	assert_int_equal(kx_producer_open(p.pc, &po, p.net->now_ns, &p.producer), KX_OK);
	net_run(p.net, 10000000);
	p.net->lcores[0].dead = true;
	assert_int_equal(kx_producer_send(p.producer, &m, p.net->now_ns), KX_OK);
	net_run(p.net, 10000000);
	net_restart_broker(p.net);
	p.net->lcores[0].dead = false;
	for (int i = 0; i < 2000000 && kx_producer_pending(p.producer) > 0; i++)
		net_turn(p.net);
	assert_int_equal(kx_producer_poll(p.producer, c, 4), 1);
	assert_true(c[0].result == KX_LOST || c[0].result == KX_UNKNOWN_FATE);
	assert_int_equal(kx_producer_confirmed(p.producer, 0, KX_MEMORY), 0);
	net_free(p.net);
}

/* ---- seek */

/* Callbacks: what came, in order; at `at` the program does something inside. */
struct reader {
	struct kx_consumer *c;
	uint64_t got[4096];
	uint32_t n;
	uint64_t next_offset;
	uint32_t partition_n[PAIR_PARTS];
	uint64_t seek_at, seek_to; /* once, when this offset has come */
	uint64_t pause_at;
	uint64_t now_ns;
};

static void on_read(void *user, const struct kx_batch_view *v)
{
	struct kx_record_iter it = kx_batch_records(v);
	struct reader *r = user;
	struct kx_record rec;

	for (uint32_t i = 0; kx_record_next(&it, &rec); i++) {
		uint64_t number;

		memcpy(&number, rec.value, sizeof(number));
		assert_int_equal(number, v->first_offset + i);
		assert_true(r->n < KX_DIM(r->got));
		r->got[r->n++] = number;
		r->partition_n[v->partition]++;
		if (r->seek_at != 0 && number == r->seek_at) {
			r->seek_at = 0;
			assert_int_equal(kx_consumer_seek(r->c, (int32_t)v->partition, r->seek_to, 0), KX_OK);
			assert_int_equal(kx_consumer_position(r->c, v->partition), r->seek_to);
		}
		if (r->pause_at != 0 && number == r->pause_at) {
			r->pause_at = 0;
			assert_int_equal(kx_consumer_pause(r->c, (int32_t)v->partition), KX_OK);
		}
	}
}

static void reader_open(struct pair *p, struct reader *r, const char *topic, struct kx_consumer_opts co)
{
	struct kx_producer_opts po = {.topic = topic, .batch_bytes = 600};

	p->pc = pair_client(p->net, 0, &p->seen);
	p->cc = pair_client(p->net, p->net->hub_count - 1, &p->seen);
	co.topic = topic;
	co.start_offset = KX_OFFSET_EARLIEST;
	co.user = r;
	if (!co.polled)
		co.on_batch = on_read;
	assert_int_equal(kx_producer_open(p->pc, &po, p->net->now_ns, &p->producer), KX_OK);
	assert_int_equal(kx_consumer_open(p->cc, &co, p->net->now_ns, &r->c), KX_OK);
	assert_int_equal(kx_consumer_seek(r->c, 0, 0, p->net->now_ns), KX_NOT_READY);
	assert_int_equal(kx_consumer_pause(r->c, KX_PARTITION_ALL), KX_NOT_READY);
	net_run(p->net, 10000000);
	assert_int_equal(kx_consumer_partitions(r->c), co.partition == KX_PARTITION_ALL ? 4 : 1);
}

static void reads(struct pair *p, struct reader *r, uint32_t n, uint64_t first, uint64_t last)
{
	for (int i = 0; i < 3000000 && r->n < n; i++)
		net_turn(p->net);
	net_run(p->net, 50000000);
	assert_int_equal(r->n, n);
	for (uint32_t i = 0; i < n; i++)
		assert_int_equal(r->got[i], first + i);
	assert_int_equal(r->got[n - 1], last);
	r->n = 0;
}

static void seeks(uint32_t impair)
{
	struct pair p = {.net = net_new(pair_ini, 1, 2, 23 + impair)};
	struct reader r = {0};

	reader_open(&p, &r, "one", (struct kx_consumer_opts){.window_bytes = 8192});
	pair_impair(p.net, impair);
	send(&p, 0, 0, 500);
	reads(&p, &r, 500, 0, 499);
	assert_int_equal(kx_consumer_seek(r.c, 0, 100, p.net->now_ns), KX_OK);
	assert_int_equal(kx_consumer_position(r.c, 0), 100);
	reads(&p, &r, 400, 100, 499);
	assert_int_equal(kx_consumer_seek(r.c, KX_PARTITION_ALL, KX_OFFSET_EARLIEST, p.net->now_ns), KX_OK);
	assert_int_equal(kx_consumer_seek(r.c, 0, 300, p.net->now_ns), KX_OK); /* the last word counts */
	reads(&p, &r, 200, 300, 499);
	assert_int_equal(kx_consumer_seek(r.c, 0, KX_OFFSET_EARLIEST, p.net->now_ns), KX_OK);
	reads(&p, &r, 500, 0, 499);
	assert_int_equal(kx_consumer_seek(r.c, 0, KX_OFFSET_NOW, p.net->now_ns), KX_OK);
	net_run(p.net, 300000000);
	assert_int_equal(r.n, 0);
	send(&p, 0, 500, 10);
	reads(&p, &r, 10, 500, 509);
	/* beyond the end: told, and on from there */
	assert_int_equal(p.seen.events[KX_EVENT_OFFSET_TRUNCATED], 0);
	assert_int_equal(kx_consumer_seek(r.c, 0, 9999, p.net->now_ns), KX_OK);
	net_run(p.net, 300000000);
	assert_int_equal(p.seen.events[KX_EVENT_OFFSET_TRUNCATED], 1);
	send(&p, 0, 510, 10);
	reads(&p, &r, 10, 510, 519);
	assert_int_equal(kx_consumer_seek(r.c, 1, 0, p.net->now_ns), KX_UNKNOWN_PARTITION);
	assert_int_equal(kx_consumer_seek(r.c, -2, 0, p.net->now_ns), KX_BAD_ARGUMENT);
	assert_int_equal(kx_consumer_seek(r.c, 0, UINT64_MAX - 2, p.net->now_ns), KX_BAD_ARGUMENT);
	assert_int_equal(kx_consumer_seek(NULL, 0, 0, p.net->now_ns), KX_BAD_ARGUMENT);
	assert_int_equal(p.seen.events[KX_EVENT_CONSUMER_READY], 1); /* a seek is no new beginning */
	net_free(p.net);
}

static void test_seek(void **state)
{
	(void)state;
	seeks(0);
}

static void test_seek_under_loss(void **state)
{
	(void)state;
	seeks(30);
}

static void test_seek_in_a_callback(void **state)
{
	struct pair p = {.net = net_new(pair_ini, 1, 2, 25)};
	struct reader r = {.seek_at = 104, .seek_to = 20};

	(void)state;
	pair_impair(p.net, 20);
	reader_open(&p, &r, "one", (struct kx_consumer_opts){.window_bytes = 8192});
	send(&p, 0, 0, 300);
	for (int i = 0; i < 3000000 && r.n < 385; i++)
		net_turn(p.net);
	net_run(p.net, 50000000);
	/* 0..104 and what the batch with 104 had besides, then 20..299 */
	for (uint32_t i = 0; i <= 104; i++)
		assert_int_equal(r.got[i], i);
	assert_true(r.n >= 385 && r.n < 395);
	for (uint32_t i = r.n - 280; i < r.n; i++)
		assert_int_equal(r.got[i], 20 + (i - (r.n - 280)));
	net_free(p.net);
}

static void test_seek_of_a_polled_consumer(void **state)
{
	struct pair p = {.net = net_new(pair_ini, 1, 2, 26)};
	struct reader r = {0};
	struct kx_polled m;

	(void)state;
	reader_open(&p, &r, "one",
		(struct kx_consumer_opts){.window_bytes = 8192, .polled = true, .large_bytes = 16384});
	send(&p, 0, 0, 300);
	net_run(p.net, 50000000);
	assert_int_equal(kx_consumer_position(r.c, 0), 0); /* received, not taken */
	assert_int_equal(kx_consumer_poll(r.c, p.net->now_ns, &m), KX_OK);
	assert_int_equal(kx_consumer_position(r.c, 0), 1);
	assert_int_equal(kx_consumer_seek(r.c, 0, 250, p.net->now_ns), KX_OK);
	assert_int_equal(kx_consumer_poll(r.c, p.net->now_ns, &m), KX_EMPTY); /* what was there is gone */
	assert_int_equal(kx_consumer_position(r.c, 0), 250);
	net_run(p.net, 50000000);
	for (uint64_t i = 250; i < 300; i++) {
		assert_int_equal(kx_consumer_poll(r.c, p.net->now_ns, &m), KX_OK);
		assert_int_equal(m.offset, i);
	}
	assert_int_equal(kx_consumer_poll(r.c, p.net->now_ns, &m), KX_EMPTY);
	net_free(p.net);
}

/* ---- pause and resume */

static void pauses(uint32_t impair, uint32_t hold_frames)
{
	struct pair p = {.net = net_new(pair_ini, 1, 2, 31 + impair)};
	struct reader r = {0};
	struct kx_client_stats before, after;

	reader_open(&p, &r, "four",
		(struct kx_consumer_opts){
			.partition = KX_PARTITION_ALL, .window_bytes = 8192, .hold_frames = hold_frames});
	pair_impair(p.net, impair);
	assert_int_equal(kx_consumer_pause(r.c, 1), KX_OK);
	assert_int_equal(kx_consumer_pause(r.c, 1), KX_OK);
	for (uint32_t part = 0; part < 4; part++)
		send(&p, part, 0, 300);
	for (int i = 0; i < 1000000 && r.n < 900; i++)
		net_turn(p.net);
	net_run(p.net, 200000000);
	assert_int_equal(r.partition_n[1], 0);
	assert_int_equal(r.n, 900); /* the others are not slowed */
	/* quiet: nothing is asked for again and again */
	kx_client_stats(p.cc, &before);
	net_run(p.net, 500000000);
	kx_client_stats(p.cc, &after);
	assert_int_equal(after.naks_sent, before.naks_sent);
	assert_int_equal(kx_consumer_position(r.c, 1), 0);
	assert_int_equal(kx_consumer_resume(r.c, KX_PARTITION_ALL, p.net->now_ns), KX_OK);
	assert_int_equal(r.n, 900); /* not inside the call */
	for (int i = 0; i < 1000000 && r.n < 1200; i++)
		net_turn(p.net);
	net_run(p.net, 50000000);
	assert_int_equal(r.partition_n[1], 300);
	assert_int_equal(kx_consumer_position(r.c, 1), 300);
	assert_int_equal(kx_consumer_resume(r.c, 1, p.net->now_ns), KX_OK); /* not paused: nothing */
	assert_int_equal(kx_consumer_pause(r.c, 4), KX_UNKNOWN_PARTITION);
	net_free(p.net);
}

static void test_pause(void **state)
{
	(void)state;
	pauses(0, 0);
}

static void test_pause_under_loss(void **state)
{
	(void)state;
	pauses(20, 0);
}

static void test_pause_without_room(void **state)
{
	(void)state;
	pauses(0, 2); /* nearly all that comes meanwhile is asked for again */
}

static void test_pause_in_a_callback_and_a_lost_session(void **state)
{
	struct pair p = {.net = net_new(pair_ini, 1, 2, 33)};
	struct reader r = {.pause_at = 50};
	uint32_t n;

	(void)state;
	reader_open(&p, &r, "one", (struct kx_consumer_opts){.window_bytes = 8192});
	send(&p, 0, 0, 200);
	net_run(p.net, 100000000);
	n = r.n;
	assert_true(n > 50 && n < 60);
	/* its session goes, the pause stays */
	p.net->hubs[1].asleep_until_ns = p.net->now_ns + 60 * KX_NS_PER_S;
	net_run(p.net, 60 * KX_NS_PER_S);
	for (int i = 0; i < 1000000 && p.seen.events[KX_EVENT_CONSUMER_READY] < 2; i++)
		net_turn(p.net);
	net_run(p.net, 100000000);
	assert_int_equal(p.seen.events[KX_EVENT_CONSUMER_READY], 2);
	assert_int_equal(r.n, n);
	assert_int_equal(kx_consumer_resume(r.c, 0, p.net->now_ns), KX_OK);
	reads(&p, &r, 200, 0, 199);
	net_free(p.net);
}

static void test_pause_of_a_polled_consumer(void **state)
{
	struct pair p = {.net = net_new(pair_ini, 1, 2, 34)};
	struct reader r = {0};
	struct kx_polled m;
	uint32_t n = 0;

	(void)state;
	reader_open(&p, &r, "four",
		(struct kx_consumer_opts){.partition = KX_PARTITION_ALL,
			.window_bytes = 8192,
			.polled = true,
			.large_bytes = 16384});
	for (uint32_t part = 0; part < 4; part++)
		send(&p, part, 0, 20);
	net_run(p.net, 50000000);
	assert_int_equal(kx_consumer_pause(r.c, 2), KX_OK);
	for (; kx_consumer_poll(r.c, p.net->now_ns, &m) == KX_OK; n++)
		assert_int_not_equal(m.partition, 2);
	assert_int_equal(n, 60);
	assert_int_equal(kx_consumer_resume(r.c, 2, p.net->now_ns), KX_OK);
	for (n = 0; kx_consumer_poll(r.c, p.net->now_ns, &m) == KX_OK; n++)
		assert_int_equal(m.partition, 2);
	assert_int_equal(n, 20);
	net_free(p.net);
}

/* ---- acknowledge */

/* A log that blocks is freed up to what is acknowledged, and no further. */
static void test_ack(void **state)
{
	struct pair p = {.net = net_new(pair_ini, 1, 2, 41)};
	struct reader r = {0};
	struct kx_polled m;
	uint64_t sent = 0, got = 0, stuck;
	uint8_t value[400] = {0};

	(void)state;
	reader_open(&p, &r, "one", (struct kx_consumer_opts){.polled = true, .manual_ack = true});
	assert_int_equal(kx_consumer_ack(NULL, 0, 0, p.net->now_ns), KX_BAD_ARGUMENT);
	assert_int_equal(kx_consumer_ack(r.c, 1, 0, p.net->now_ns), KX_UNKNOWN_PARTITION);
	assert_int_equal(kx_consumer_ack(r.c, 0, 1, p.net->now_ns), KX_BAD_ARGUMENT); /* not given yet */
	for (int turn = 0; turn < 100000; turn++) {
		struct kx_message msg = {.value = value, .value_bytes = sizeof(value)};

		sent += kx_producer_send(p.producer, &msg, p.net->now_ns) == KX_OK;
		net_turn(p.net);
		for (; kx_consumer_poll(r.c, p.net->now_ns, &m) == KX_OK; got++)
			assert_int_equal(m.offset, got);
	}
	/* 4 MiB are full although everything was read */
	stuck = got;
	assert_true(got > 6000 && got < 10000);
	assert_true(sent > got);
	assert_int_equal(kx_consumer_ack(r.c, 0, got, p.net->now_ns), KX_OK);
	assert_int_equal(kx_consumer_ack(r.c, 0, got + 1, p.net->now_ns), KX_BAD_ARGUMENT);
	assert_int_equal(kx_consumer_ack(r.c, 0, got - 1, p.net->now_ns), KX_OK); /* says nothing new */
	for (int turn = 0; turn < 30000; turn++) {
		net_turn(p.net);
		while (kx_consumer_poll(r.c, p.net->now_ns, &m) == KX_OK)
			got++;
	}
	assert_true(got > stuck + 1000);
	net_free(p.net);
}

static void test_ack_by_itself(void **state)
{
	struct pair p = {.net = net_new(pair_ini, 1, 2, 42)};
	struct reader r = {0};
	struct kx_polled m;
	uint64_t got = 0;
	uint8_t value[400] = {0};

	(void)state;
	reader_open(&p, &r, "one", (struct kx_consumer_opts){.polled = true});
	assert_int_equal(kx_consumer_ack(r.c, 0, 0, p.net->now_ns), KX_BAD_STATE);
	for (int turn = 0; turn < 200000 && got < 20000; turn++) {
		struct kx_message msg = {.value = value, .value_bytes = sizeof(value)};

		(void)kx_producer_send(p.producer, &msg, p.net->now_ns);
		net_turn(p.net);
		while (kx_consumer_poll(r.c, p.net->now_ns, &m) == KX_OK)
			got++;
	}
	assert_int_equal(got, 20000); /* more than twice the log */
	net_free(p.net);
}

/* What the broker was told of its subscription: the program is done with everything below. */
static uint64_t told_done(const struct net *net)
{
	const struct kx_topic_table *t = kx_broker_topics(net->brokers[0]);
	uint32_t i = t->partitions[0].subs;

	return i == KX_NONE ? UINT64_MAX : t->subs[i].done_offset;
}

static uint64_t most_done, last_done; /* in any CREDIT, and in the last */

static bool see_credit(struct net *net, const struct flight *f, const struct kx_frame_hdr *h)
{
	const struct kx_receipt *rec = (const struct kx_receipt *)(h + 1);
	const struct kx_credit_entry *e = (const struct kx_credit_entry *)(rec + 1);

	(void)net;
	(void)f;
	for (uint32_t i = 0; h->type == KX_CREDIT && i < rec->entry_count; i++) {
		last_done = e[i].done_offset;
		most_done = KX_MAX(most_done, last_done);
	}
	return true;
}

/* The consumer's session ends, and the next one begins. */
static void lose_session(struct pair *p)
{
	uint32_t ready = p->seen.events[KX_EVENT_CONSUMER_READY];

	p->net->hubs[1].asleep_until_ns = p->net->now_ns + 60 * KX_NS_PER_S;
	net_run(p->net, 60 * KX_NS_PER_S);
	for (int i = 0; i < 1000000 && p->seen.events[KX_EVENT_CONSUMER_READY] == ready; i++)
		net_turn(p->net);
	assert_int_equal(p->seen.events[KX_EVENT_CONSUMER_READY], ready + 1);
}

/* What a program has taken, acknowledged or not taken of a log that is gone says nothing of the next one; nor
 * does what a session brought of that one, and the program has not taken when the next session begins. */
static void ack_ends_with_its_log(bool manual, bool lost)
{
	struct pair p = {.net = net_new(pair_ini, 1, 2, 43)};
	struct reader r = {0};
	struct kx_polled m;
	uint64_t n = 50, begin = 0;

	reader_open(&p, &r, "one", (struct kx_consumer_opts){.polled = true, .manual_ack = manual});
	send(&p, 0, 0, 300);
	net_run(p.net, 50000000);
	for (int i = 0; i < 100; i++)
		assert_int_equal(kx_consumer_poll(r.c, p.net->now_ns, &m), KX_OK);
	assert_int_equal(kx_consumer_ack(r.c, 0, 100, p.net->now_ns), manual ? KX_OK : KX_BAD_STATE);
	net_run(p.net, 50000000);
	assert_in_range(told_done(p.net), manual ? 100 : 90, 100);
	net_restart_broker(p.net);
	for (int i = 0; i < 3000000 && p.seen.events[KX_EVENT_OFFSET_TRUNCATED] == 0; i++)
		net_turn(p.net);
	most_done = last_done = 0;
	p.net->filter = see_credit;
	send(&p, 0, 0, n);
	net_run(p.net, 200000000);
	assert_int_equal(kx_consumer_end(r.c, 0), n);
	assert_int_equal(told_done(p.net), 0);
	if (lost) {
		lose_session(&p);
		begin = n;
		send(&p, 0, n, 10);
		n += 10;
		net_run(p.net, 200000000);
		assert_int_equal(kx_consumer_end(r.c, 0), n);
	}
	if (manual)
		assert_int_equal(
			kx_consumer_ack(r.c, 0, 80, p.net->now_ns), KX_OK); /* of the old log, still */
	for (uint64_t i = 100; i < 300; i++) {
		assert_int_equal(kx_consumer_poll(r.c, p.net->now_ns, &m), KX_OK);
		assert_int_equal(m.offset, i);
	}
	net_run(p.net, 50000000);
	assert_int_equal(told_done(p.net), begin);
	assert_int_equal(most_done, 0);
	for (uint64_t i = 0; i < n; i++) {
		assert_int_equal(kx_consumer_poll(r.c, p.net->now_ns, &m), KX_OK);
		assert_int_equal(m.offset, i);
		net_run(p.net, 2000000);
		assert_true(last_done == most_done && most_done <= (manual ? 0 : i + 1));
	}
	if (manual)
		assert_int_equal(kx_consumer_ack(r.c, 0, n, p.net->now_ns), KX_OK);
	net_run(p.net, 50000000);
	assert_in_range(most_done, n - 10, n);
	assert_in_range(told_done(p.net), n - 10, n);
	net_free(p.net);
}

static void test_ack_ends_with_its_log(void **state)
{
	(void)state;
	ack_ends_with_its_log(true, false);
	ack_ends_with_its_log(false, false);
}

static void test_ack_ends_with_its_log_and_a_session(void **state)
{
	(void)state;
	ack_ends_with_its_log(true, true);
	ack_ends_with_its_log(false, true);
}

/* What was received and not taken is dropped by a seek: nobody is told that it is done with. */
static void test_seek_acknowledges_nothing(void **state)
{
	struct pair p = {.net = net_new(pair_ini, 1, 2, 44)};
	struct reader r = {0};
	struct kx_polled m;
	uint64_t at = 0;

	(void)state;
	reader_open(&p, &r, "one",
		(struct kx_consumer_opts){.window_bytes = 4096, .large_bytes = 4096, .polled = true});
	send(&p, 0, 0, 300);
	most_done = 0;
	p.net->filter = see_credit;
	for (int round = 0; round < 20; round++) {
		net_run(p.net, 50000000);
		for (int i = 0; i < 10; i++, at++) {
			assert_int_equal(kx_consumer_poll(r.c, p.net->now_ns, &m), KX_OK);
			assert_int_equal(m.offset, at);
		}
		assert_int_equal(kx_consumer_seek(r.c, 0, at, p.net->now_ns), KX_OK);
		net_run(p.net, 50000000);
		assert_in_range(most_done, at - 10, at);
	}
	net_free(p.net);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_polled_completions),
		cmocka_unit_test(test_polled_completions_of_a_lost_session),
		cmocka_unit_test(test_seek),
		cmocka_unit_test(test_seek_under_loss),
		cmocka_unit_test(test_seek_in_a_callback),
		cmocka_unit_test(test_seek_of_a_polled_consumer),
		cmocka_unit_test(test_pause),
		cmocka_unit_test(test_pause_under_loss),
		cmocka_unit_test(test_pause_without_room),
		cmocka_unit_test(test_pause_in_a_callback_and_a_lost_session),
		cmocka_unit_test(test_pause_of_a_polled_consumer),
		cmocka_unit_test(test_ack),
		cmocka_unit_test(test_ack_ends_with_its_log),
		cmocka_unit_test(test_ack_ends_with_its_log_and_a_session),
		cmocka_unit_test(test_seek_acknowledges_nothing),
		cmocka_unit_test(test_ack_by_itself),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
