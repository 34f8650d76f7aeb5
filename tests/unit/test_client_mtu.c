/* SPDX-License-Identifier: BSD-3-Clause */
/* Paths that carry less than both ends could take, and paths that change in the middle of a stream. */
#include "kx_test.h"

#include <unistd.h>

#include "client_pair.h"

#define MOST  9000
#define TOPIC "one"

static uint64_t sent;
static uint32_t largest[64]; /* frame by type that was sent, of what arrives or not */

static bool watch(struct net *net, const struct flight *f, const struct kx_frame_hdr *h)
{
	(void)net;
	largest[h->type] = KX_MAX(largest[h->type], f->bytes);
	return true;
}

/* What the sessions of the tests are; zeros: plain, IPv4. */
static struct {
	bool v6;
	const char *ini; /* with principals */
} how;

static uint16_t base(void)
{
	return how.v6 ? KX_DATAGRAM_DEFAULT_V6 : KX_DATAGRAM_DEFAULT_V4;
}

static void open_jumbo(struct pair *p, uint64_t seed, uint32_t carries)
{
	p->net = net_new(how.ini != NULL ? how.ini : pair_ini, 1, 2, seed);
	if (how.v6)
		net_v6(p->net);
	net_jumbo(p->net, MOST);
	p->net->carries_up = p->net->carries_down = carries;
	p->net->filter = watch;
	p->frame_bytes = MOST;
	memset(largest, 0, sizeof(largest));
	sent = 0;
	pair_open(p, TOPIC, 50000);
}

static uint16_t size_of(struct kx_client *c)
{
	struct kx_client_info info;

	kx_client_info(c, &info);
	return info.datagram_bytes;
}

static uint64_t falls(struct kx_client *c)
{
	struct kx_client_stats s;

	kx_client_stats(c, &s);
	return s.mtu_falls;
}

/* Wait until both know of this size. */
static void settle_at(struct pair *p, uint16_t bytes, uint64_t within_ns)
{
	uint64_t end = p->net->now_ns + within_ns;

	while ((size_of(p->pc) != bytes || size_of(p->cc) != bytes) && p->net->now_ns < end)
		net_turn(p->net);
	assert_int_equal(size_of(p->pc), bytes);
	assert_int_equal(size_of(p->cc), bytes);
	net_run(p->net, 500000); /* and the broker */
}

static void some(struct pair *p, uint32_t messages)
{
	uint8_t value[300];

	for (uint32_t i = 0; i < messages; i++) {
		struct kx_message m = {
			.value = value, .value_bytes = 8 + (uint32_t)(sent * 7 % 290), .partition = 0};

		pair_fill(value, m.value_bytes, sent);
		if (kx_producer_send(p->producer, &m, p->net->now_ns) != KX_OK)
			break;
		sent++;
	}
	net_turn(p->net);
}

static void stream(struct pair *p, uint64_t messages)
{
	uint64_t until = sent + messages;

	for (int turns = 0; sent < until && turns < 3000000; turns++)
		some(p, (uint32_t)KX_MIN(until - sent, 20u));
	assert_true(sent >= until);
}

/* All arrived, once and in order (pair_check()). */
static void finish(struct pair *p)
{
	for (int i = 0; i < 3000000 && (p->seen.messages < sent || kx_producer_pending(p->producer) > 0); i++)
		net_turn(p->net);
	assert_int_equal(p->seen.messages, sent);
	assert_int_equal(p->seen.completed[0], sent);
	assert_int_equal(p->seen.failed, 0);
	assert_int_equal(p->seen.events[KX_EVENT_DISCONNECTED], 0);
	net_free(p->net);
}

/* A few round trips to the top, in both directions. */
static void to_the_top(void **state)
{
	struct pair p = {0};

	(void)state;
	open_jumbo(&p, 1, 0);
	settle_at(&p, MOST, 2000000);
	stream(&p, 20000);
	assert_true(largest[KX_PRODUCE] > 8000 && largest[KX_PRODUCE] <= MOST);
	assert_true(largest[KX_DELIVER] > 8000 && largest[KX_DELIVER] <= MOST);
	assert_int_equal(largest[KX_PRODUCE_FRAG], 0);
	assert_int_equal(falls(p.pc) + falls(p.cc), 0);
	finish(&p);
}

/* Jumbo frames were configured at both ends, but the path has 1500 bytes, or less. */
static void smaller_path(void **state)
{
	static const struct {
		uint32_t carries;
		uint16_t size;
	} paths[] = {{1372, 1372}, {1472, 1452}, {4071, 2020}, {8952, 8952}};

	(void)state;
	for (unsigned int i = 0; i < KX_DIM(paths); i++) {
		struct pair p = {0};
		struct kx_client_stats s;

		open_jumbo(&p, 10 + i, paths[i].carries);
		net_run(p.net, 20000000);
		assert_int_equal(size_of(p.pc), paths[i].size);
		stream(&p, 5000);
		net_run(p.net, KX_NS_PER_S);
		kx_client_stats(p.pc, &s);
		assert_true(s.mtu_probes <= 16); /* it rests after a step that failed */
		assert_true(largest[KX_PRODUCE] <= paths[i].size && largest[KX_DELIVER] <= paths[i].size);
		assert_true(largest[KX_PRODUCE] + 400 > paths[i].size);
		assert_int_equal(falls(p.pc) + falls(p.cc), 0);
		finish(&p);
	}
}

/* The path shrinks under a stream: nothing is lost, twice or out of order, and it goes on with what is
 * carried. */
static void shrinks(uint64_t seed, uint32_t up, uint32_t down, uint32_t impaired, uint16_t then)
{
	struct pair p = {0};

	open_jumbo(&p, seed, 0);
	settle_at(&p, MOST, 2000000);
	pair_impair(p.net, impaired);
	stream(&p, 20000);
	p.net->carries_up = up;
	p.net->carries_down = down;
	stream(&p, 20000);
	p.net->filter = NULL;
	stream(&p, 20000);
	net_run(p.net, KX_NS_PER_S);
	if (up != 0)
		assert_true(falls(p.pc) > 0);
	if (down != 0)
		assert_true(falls(p.cc) > 0);
	if (impaired == 0) {
		assert_int_equal(size_of(p.pc), up != 0 ? then : MOST);
		assert_int_equal(size_of(p.cc), down != 0 ? then : MOST);
	}
	p.net->carries_up = p.net->carries_down = 0;
	stream(&p, 5000);
	finish(&p);
}

static void shrinks_towards_broker(void **state)
{
	(void)state;
	shrinks(20, 1400, 0, 0, 1372);
	assert_true(largest[KX_PRODUCE_FRAG] > 0);
	shrinks(21, 2100, 0, 0, 2020);
}

static void shrinks_towards_clients(void **state)
{
	(void)state;
	shrinks(30, 0, 1400, 0, 1372);
	shrinks(31, 0, 2100, 0, 2020);
}

static void shrinks_both_ways_with_loss(void **state)
{
	(void)state;
	shrinks(40, 1400, 1400, 0, 1372);
	for (uint64_t seed = 41; seed < 46; seed++)
		shrinks(seed, 1400, 1400, 20, 1372);
}

/* Only the last frames are too large, and nothing comes after them. */
static void last_frames(void **state)
{
	struct pair p = {0};

	(void)state;
	for (int i = 0; i < 2; i++) {
		p = (struct pair){0};
		open_jumbo(&p, 50, 0);
		settle_at(&p, MOST, 2000000);
		if (i == 0)
			p.net->carries_up = 1400;
		else
			p.net->carries_down = 1400;
		some(&p, 200);
		finish(&p);
	}
}

static bool lose_probes(struct net *net, const struct flight *f, const struct kx_frame_hdr *h)
{
	(void)watch(net, f, h);
	return (h->type != KX_MTU_PROBE && h->type != KX_MTU_PROBED) || kx_prng_below(&net->prng, 10) < 7;
}

/* A probe or its answer may be lost; one that is lost thrice is tried again after a rest. */
static void probes_lost(void **state)
{
	(void)state;
	for (uint64_t seed = 60; seed < 70; seed++) {
		struct pair p = {0};

		open_jumbo(&p, seed, 0);
		p.net->filter = lose_probes;
		settle_at(&p, MOST, 25 * KX_NS_PER_S);
		stream(&p, 2000);
		finish(&p);
	}
}

/* Both ends move to another address, on a path that carries less. */
static void another_path(void **state)
{
	struct pair p = {0};

	(void)state;
	open_jumbo(&p, 70, 0);
	settle_at(&p, MOST, 2000000);
	stream(&p, 5000);
	p.net->carries_up = p.net->carries_down = 1400;
	for (uint32_t i = 0; i < 2; i++)
		p.net->hubs[i].addr.port = (uint16_t)(p.net->hubs[i].addr.port + 100);
	stream(&p, 20000);
	assert_int_equal(kx_broker_counters(p.net->brokers[0])->path_changes, 2);
	finish(&p);
}

/* ---- protected frames, IPv6 */

static char key_path[] = "/tmp/kx_client_mtu_XXXXXX";
static struct kx_key key;

static int make_key(void **state)
{
	static const char line[] = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\n";
	char buf[128];
	struct kx_text why;
	int fd = mkstemp(key_path);

	(void)state;
	assert_true(fd >= 0 && write(fd, line, sizeof(line) - 1) == sizeof(line) - 1);
	close(fd);
	kx_text_init(&why, buf, sizeof(buf));
	assert_int_equal(kx_key_load(key_path, &key, &why), 0);
	return 0;
}

static int forget_key(void **state)
{
	(void)state;
	unlink(key_path);
	return 0;
}

/* A broker that wants protected frames of its clients: NULL, none. */
static void sessions_are(bool v6, const char *frames)
{
	static char ini[4096];

	memset(&how, 0, sizeof(how));
	pair_principal = frames != NULL ? "desk" : NULL;
	pair_key = frames != NULL ? &key : NULL;
	how.v6 = v6;
	if (frames == NULL)
		return;
	snprintf(ini, sizeof(ini),
		"%s[auth]\nanonymous = off\n[principal desk]\nkey_file = %s\nframes = %s\n"
		"produce = *\nconsume = *\n",
		pair_ini, key_path, frames);
	how.ini = ini;
}

/* What a batch of the stream may leave free in a frame: less than one more message, and its padding. */
#define LESS_THAN_ONE (300u + 8u + 8u)

static void all_kinds(void **state)
{
	static const char *const frames[] = {NULL, "mac", "aead"};
	static const struct {
		uint32_t carries;
		uint16_t size;
	} paths[] = {{0, MOST}, {1280 - 48, 1232}, {2020, 2020}, {2019, 1452}, {1452, 1452}, {4080, 4072}};

	(void)state;
	for (unsigned int i = 0; i < KX_DIM(frames) * 2 * KX_DIM(paths); i++) {
		struct pair p = {0};
		uint16_t size = paths[i / 6].size;

		if (size < KX_DATAGRAM_DEFAULT_V4 && i % 2 == 0)
			continue; /* no path of IPv4 for us */
		sessions_are(i % 2 != 0, frames[i / 2 % 3]);
		open_jumbo(&p, 100 + i, paths[i / 6].carries);
		net_run(p.net, 30000000);
		assert_int_equal(size_of(p.pc), size);
		assert_int_equal(size_of(p.cc), size);
		stream(&p, 2000);
		net_run(p.net, 20000000);
		/* frames of the wire, tag included, are filled and no larger; none is cut */
		assert_in_range(largest[KX_PRODUCE], size - LESS_THAN_ONE, size);
		assert_in_range(largest[KX_DELIVER], size - LESS_THAN_ONE, size);
		assert_int_equal(largest[KX_PRODUCE_FRAG], 0);
		if (paths[i / 6].carries != 0)
			assert_true(largest[KX_MTU_PROBED] <= size);
		assert_int_equal(falls(p.pc) + falls(p.cc), 0);
		finish(&p);
	}
	sessions_are(false, NULL);
}

static void shrinks_in_all_kinds(void **state)
{
	static const char *const frames[] = {NULL, "mac", "aead"};

	(void)state;
	for (unsigned int i = 0; i < KX_DIM(frames) * 2; i++) {
		sessions_are(i % 2 != 0, frames[i / 2]);
		shrinks(200 + i, 1400, 1400, 0, 1372);
		assert_true(largest[KX_PRODUCE_FRAG] > 0);
	}
	sessions_are(false, NULL);
}

/* ---- a way out that refuses */

static struct kx_client_stats stats_of(struct kx_client *c)
{
	struct kx_client_stats s;

	kx_client_stats(c, &s);
	return s;
}

/* The transport says that it did not send a frame: at once all goes on smaller, nothing waits for time-outs.
 */
static void the_transport_refuses(void **state)
{
	static const char *const frames[] = {NULL, "mac", "aead"};

	(void)state;
	for (unsigned int i = 0; i < KX_DIM(frames) * 2; i++) {
		struct pair p = {0};
		uint64_t from;

		sessions_are(i % 2 != 0, frames[i / 2]);
		open_jumbo(&p, 300 + i, 0);
		settle_at(&p, MOST, 2000000);
		net_run(p.net, 20000000); /* the broker answers eight probes a millisecond */
		assert_int_equal(stats_of(p.pc).tx_datagram_bytes, MOST);
		assert_int_equal(stats_of(p.pc).rx_datagram_bytes, MOST);
		stream(&p, 5000);
		p.net->sends_up = 1500;
		from = p.net->now_ns;
		while (falls(p.pc) == 0) {
			some(&p, 20);
			assert_true(p.net->now_ns < from + 2000000);
		}
		assert_int_equal(size_of(p.pc), base());
		assert_int_equal(stats_of(p.pc).tx_datagram_bytes, base());
		stream(&p, 20000);
		net_run(p.net, KX_NS_PER_S);
		assert_int_equal(falls(p.pc), 1); /* it climbs again, and stops below at the first refusal */
		assert_int_equal(size_of(p.pc), 1452);
		assert_int_equal(stats_of(p.pc).rx_datagram_bytes, 1452);
		assert_int_equal(falls(p.cc), 0); /* what it sends is small */
		assert_int_equal(size_of(p.cc), MOST);
		p.net->sends_up = 0;
		finish(&p);
	}
	sessions_are(false, NULL);
}

/* It was so before there was a session: one probe tells. */
static void the_transport_refuses_probes(void **state)
{
	struct pair p = {0};

	(void)state;
	open_jumbo(&p, 400, 0);
	p.net->sends_up = 1400;
	net_run(p.net, 100);
	p.net->lcores[0].dead = true; /* and all that over again, in another session */
	for (int i = 0; i < 100 && p.seen.events[KX_EVENT_DISCONNECTED] < 2; i++)
		net_run(p.net, KX_NS_PER_S);
	p.net->lcores[0].dead = false;
	for (int i = 0; i < 100 && p.seen.events[KX_EVENT_CONSUMER_READY] < 2; i++)
		net_run(p.net, KX_NS_PER_S / 10);
	assert_int_equal(p.seen.events[KX_EVENT_CONSUMER_READY], 2);
	net_run(p.net, KX_NS_PER_S);
	assert_int_equal(size_of(p.pc), 1372);
	stream(&p, 1000);
	assert_int_equal(falls(p.pc), 0);
	p.seen.events[KX_EVENT_DISCONNECTED] = 0;
	finish(&p);
}

static uint64_t conn_of_producer;

static bool note_conn(struct net *net, const struct flight *f, const struct kx_frame_hdr *h)
{
	(void)f;
	if (h->type == KX_PRODUCE || h->type == KX_MTU_PROBE)
		conn_of_producer =
			kx_addr_equal(&f->from, &net->hubs[0].addr) ? h->conn_id : conn_of_producer;
	return true;
}

/* Answers that nobody asked for, or to probes of another time, raise nothing. */
static void answers_unasked(void **state)
{
	static uint64_t frame[MOST / 8];
	struct pair p = {0};

	(void)state;
	open_jumbo(&p, 80, 1372);
	p.net->filter = note_conn;
	net_run(p.net, 20000000);
	some(&p, 10);
	net_run(p.net, 1000000);
	for (uint32_t i = 0; i < 5; i++) {
		static const uint16_t sizes[] = {40, 2000, 4072, 8952, MOST};
		uint8_t *at =
			kx_frame_begin((uint8_t *)frame, KX_MTU_PROBED, conn_of_producer, 5000 + i, 0, 0);

		memset(at, 0, sizeof(frame) - sizeof(struct kx_frame_hdr));
		*(struct kx_mtu *)at = (struct kx_mtu){.size = sizes[i], .proven_bytes = 65000};
		kx_frame_seal((uint8_t *)frame, sizes[i]);
		net_inject(p.net, &p.net->lcores[0].addr, &p.net->hubs[0].addr, frame, sizes[i]);
		net_run(p.net, 1000000);
		assert_int_equal(size_of(p.pc), 1372);
	}
	finish(&p);
}

/* Batches of many messages, each small enough for the topic, none of which is as large as a jumbo batch: they
 * go in parts when the path shrinks. And a consumer may begin in the middle of one. */
static void parts_of_many_messages(void **state)
{
	static const char ini[] = "[lcores]\ndata = 1\n"
				  "[memory]\nlog_bytes = 64M\nextent_bytes = 64K\n"
				  "[port net_memif0]\naddress = 10.0.0.254/24\n"
				  "[topic one]\npartitions = 1\nlog_bytes = 32M\nmax_message_bytes = 1K\n";
	struct pair p = {0};

	(void)state;
	how.ini = ini;
	open_jumbo(&p, 77, 0);
	how.ini = NULL;
	settle_at(&p, MOST, 2000000);
	stream(&p, 5000);
	p.net->carries_up = p.net->carries_down = 1400;
	stream(&p, 5000);
	for (int i = 0; i < 3000000 && p.seen.messages < sent; i++)
		net_turn(p.net);
	assert_int_equal(p.seen.messages, sent);
	assert_true(largest[KX_PRODUCE_FRAG] > 0 && largest[KX_DELIVER_FRAG] > 0);
	for (uint64_t at = 5000; at < 5040; at += 7) {
		p.seen.next[0] = at;
		p.seen.messages = at;
		assert_int_equal(kx_consumer_seek(p.consumer, 0, at, p.net->now_ns), KX_OK);
		for (int i = 0; i < 100000 && p.seen.messages < at + 200; i++)
			net_turn(p.net);
		assert_true(p.seen.messages >= at + 200);
	}
	finish(&p);
}

/* A window of less than a frame: what is in a frame comes all the same. */
static void window_of_less_than_a_frame(void **state)
{
	struct pair p = {.window_bytes = 4096};

	(void)state;
	open_jumbo(&p, 78, 0);
	settle_at(&p, MOST, 2000000);
	stream(&p, 5000);
	assert_true(largest[KX_PRODUCE] > 8000);
	finish(&p);
}

/* What a shrunk path lost was paid for and is sent again; a large message of another partition that waits for
 * more credit does not keep it back, for it is what that credit waits for. */
static void what_was_paid_for_goes_first(void **state)
{
	static const char ini[] = "[lcores]\ndata = 1\n"
				  "[memory]\nlog_bytes = 64M\nextent_bytes = 64K\n"
				  "[sessions]\nwindow_bytes = 64K\n"
				  "[port net_memif0]\naddress = 10.0.0.254/24\nmtu = 9000\n"
				  "[topic four]\npartitions = 4\nlog_bytes = 4M\nmax_message_bytes = 64K\n";
	static uint8_t value[64 << 10];
	struct pair p = {.net = net_new(ini, 1, 2, 7), .frame_bytes = MOST};
	struct kx_message m = {.value = value, .value_bytes = 8000};

	(void)state;
	net_jumbo(p.net, MOST);
	pair_open(&p, "four", 0);
	settle_at(&p, MOST, 2000000);
	p.net->carries_up = 1472;
	for (int part = 0; part < 2; part++)
		for (uint64_t n = 0; n < 3; n++) {
			pair_fill(value, m.value_bytes, n);
			m.partition = part;
			assert_int_equal(kx_producer_send(p.producer, &m, p.net->now_ns), KX_OK);
		}
	net_turn(p.net); /* they have left */
	m.partition = 2;
	m.value_bytes = 60000;
	pair_fill(value, m.value_bytes, 0);
	assert_int_equal(kx_producer_send(p.producer, &m, p.net->now_ns), KX_OK);
	for (m.partition = 0, m.value_bytes = 8000; m.partition < 2; m.partition++) {
		pair_fill(value, m.value_bytes, 3);
		assert_int_equal(kx_producer_send(p.producer, &m, p.net->now_ns), KX_OK);
	}
	net_run(p.net, 3 * KX_NS_PER_S);
	assert_int_equal(falls(p.pc), 1);
	assert_int_equal(kx_producer_pending(p.producer), 0);
	assert_int_equal(p.seen.completed[0], 4);
	assert_int_equal(p.seen.completed[1], 4);
	assert_int_equal(p.seen.completed[2], 1);
	assert_int_equal(p.seen.messages, 9);
	net_free(p.net);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(to_the_top),
		cmocka_unit_test(smaller_path),
		cmocka_unit_test(shrinks_towards_broker),
		cmocka_unit_test(shrinks_towards_clients),
		cmocka_unit_test(shrinks_both_ways_with_loss),
		cmocka_unit_test(last_frames),
		cmocka_unit_test(probes_lost),
		cmocka_unit_test(another_path),
		cmocka_unit_test(answers_unasked),
		cmocka_unit_test(all_kinds),
		cmocka_unit_test(shrinks_in_all_kinds),
		cmocka_unit_test(the_transport_refuses),
		cmocka_unit_test(the_transport_refuses_probes),
		cmocka_unit_test(parts_of_many_messages),
		cmocka_unit_test(window_of_less_than_a_frame),
		cmocka_unit_test(what_was_paid_for_goes_first),
	};
	return cmocka_run_group_tests(tests, make_key, forget_key);
}
