/* SPDX-License-Identifier: BSD-3-Clause */
/* Clients with keys: both ends prove themselves, and what is not permitted is told to the application. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <fcntl.h>
#include <cmocka.h>

#include "client_pair.h"

static char dir[] = "/tmp/kx_client_auth_XXXXXX";
static char desk_file[64], next_file[64], other_file[64];
static struct kx_key desk, next, other;

static void make_key(const char *name, char path[64], struct kx_key *key)
{
	char said[256];
	struct kx_text why;

	kx_text_init(&why, said, sizeof(said));
	snprintf(path, 64, "%s/%s", dir, name);
	assert_int_equal(kx_key_create(path, &why), 0);
	assert_int_equal(kx_key_load(path, key, &why), 0);
}

static int begin(void **state)
{
	(void)state;
	if (mkdtemp(dir) == NULL)
		return -1;
	make_key("desk", desk_file, &desk);
	make_key("next", next_file, &next);
	make_key("other", other_file, &other);
	return 0;
}

static int end(void **state)
{
	(void)state;
	unlink(desk_file);
	unlink(next_file);
	unlink(other_file);
	return rmdir(dir);
}

/* desk may do everything; other consume only. */
static struct net *net_with(const char *frames, uint32_t lcores)
{
	char ini[4096];

	snprintf(ini, sizeof(ini),
		"%s[auth]\nanonymous = off\n[principal desk]\nkey_file = %s\nnext_key_file = %s\nframes = "
		"%s\nproduce = *\nconsume = *\n[principal other]\nkey_file = %s\nconsume = *, !big\n",
		pair_ini, desk_file, next_file, frames, other_file);
	return net_new(ini, lcores, 2, 11);
}

static void as(const char *principal, const struct kx_key *key)
{
	pair_principal = principal;
	pair_key = key;
}

/* A client by itself; what it is told in `seen`. */
static struct kx_client *alone(struct net *net, struct seen *seen, bool no_reconnect)
{
	struct kx_client_opts opts = {.broker = net->lcores[0].addr,
		.principal = pair_principal,
		.key = pair_key != NULL ? pair_key->bytes : NULL,
		.key_bytes = pair_key != NULL ? pair_key->len : 0,
		.no_reconnect = no_reconnect,
		.connect_timeout_ns = 2 * KX_NS_PER_S,
		.on_event = pair_event,
		.user = seen};
	struct kx_client *c;

	assert_int_equal(kx_client_open(net->hub[0], &opts, net->now_ns, &c), KX_OK);
	net_run(net, 3 * KX_NS_PER_S);
	return c;
}

/* Both lcores, so that tickets are used too; plain, tagged and encrypted frames; with losses. */
static void test_all_goes_through(void **state)
{
	static const char *const frames[] = {"plain", "mac", "aead"};

	(void)state;
	for (size_t i = 0; i < KX_DIM(frames); i++) {
		struct pair p = {.net = net_with(frames[i], 2)};
		struct kx_session_info info;

		as("desk", i == 1 ? &next : &desk);
		pair_open(&p, "four", 0);
		assert_true(kx_broker_session_info(p.net->brokers[1], 0, &info));
		assert_int_equal(info.principal, 1);
		assert_int_equal(info.protect, i);
		pair_impair(p.net, 20);
		pair_send_all(&p, 2000, 4, 20);
		net_free(p.net);
	}
	as(NULL, NULL);
}

static void test_wrong_key(void **state)
{
	struct net *net = net_with("plain", 1);
	struct seen seen = {0};
	struct kx_client *c;

	(void)state;
	as("desk", &other);
	c = alone(net, &seen, true);
	assert_int_equal(seen.events[KX_EVENT_CONNECT_FAILED], 1);
	assert_int_equal(seen.last_result, KX_REFUSED);
	assert_int_equal(seen.last_code, KX_CODE_AUTH);
	assert_int_equal(kx_client_close(c, net->now_ns), KX_OK);
	as(NULL, NULL);
	c = alone(net, &seen, true);
	assert_int_equal(seen.events[KX_EVENT_CONNECT_FAILED], 2);
	assert_int_equal(seen.last_code, KX_CODE_AUTH);
	net_free(net);
}

static bool all_lost(struct net *net, const struct flight *f, const struct kx_frame_hdr *h)
{
	(void)f;
	(void)h;
	return net->filter_state == 0;
}

/* Refused after a time-out: that is told too, once. */
static void test_wrong_key_after_silence(void **state)
{
	struct net *net = net_with("plain", 1);
	struct seen seen = {0};

	(void)state;
	as("desk", &other);
	net->filter = all_lost;
	net->filter_state = 1;
	alone(net, &seen, false);
	assert_int_equal(seen.events[KX_EVENT_CONNECT_FAILED], 1);
	assert_int_equal(seen.last_result, KX_TIMED_OUT);
	net->filter_state = 0;
	net_run(net, 5 * KX_NS_PER_S);
	assert_int_equal(seen.events[KX_EVENT_CONNECT_FAILED], 2);
	assert_int_equal(seen.last_result, KX_REFUSED);
	assert_int_equal(seen.last_code, KX_CODE_AUTH);
	as(NULL, NULL);
	net_free(net);
}

static bool as_if_the_key_were_wrong(struct net *net, const struct flight *f, const struct kx_frame_hdr *h)
{
	if (h->type == KX_REFUSE && net->filter_state != 0) {
		((struct kx_refuse *)(f->data + sizeof(*h)))->code = KX_CODE_AUTH;
		kx_frame_seal(f->data, f->bytes);
	}
	return true;
}

/* Refused for want of a place, and later for its key: the second reason is told too, but not as long as
 * anybody who knows the key gives the first. */
static void test_wrong_key_after_a_refusal(void **state)
{
	struct seen first = {0}, second = {0};
	struct net *net;
	char ini[4096];

	(void)state;
	snprintf(ini, sizeof(ini),
		"%s[auth]\nanonymous = off\n[principal desk]\nkey_file = %s\nsessions = 1\n", pair_ini,
		desk_file);
	net = net_new(ini, 1, 2, 11);
	as("desk", &desk);
	alone(net, &first, false);
	assert_int_equal(first.events[KX_EVENT_CONNECTED], 1);
	net->filter = as_if_the_key_were_wrong;
	alone(net, &second, false);
	assert_int_equal(second.events[KX_EVENT_CONNECT_FAILED], 1);
	assert_int_equal(second.last_code, KX_CODE_PRINCIPAL_FULL);
	net->filter_state = 1;
	net_run(net, KX_NS_PER_S);
	assert_int_equal(second.events[KX_EVENT_CONNECT_FAILED], 1);
	net_run(net, 5 * KX_NS_PER_S);
	assert_int_equal(second.events[KX_EVENT_CONNECT_FAILED], 2);
	assert_int_equal(second.last_code, KX_CODE_AUTH);
	net->filter_state = 0;
	net_run(net, 5 * KX_NS_PER_S);
	assert_int_equal(second.events[KX_EVENT_CONNECT_FAILED], 3);
	assert_int_equal(second.last_code, KX_CODE_PRINCIPAL_FULL);
	as(NULL, NULL);
	net_free(net);
}

/* Whoever changes ACCEPT on its way, or answers without the key. */
static bool change_accept(struct net *net, const struct flight *f, const struct kx_frame_hdr *h)
{
	struct kx_accept *accept = (struct kx_accept *)(f->data + sizeof(*h));

	if (h->type == KX_ACCEPT && net->filter_state != 0) {
		accept->limit_bytes += net->filter_state == 1;
		accept->mac[3] ^= net->filter_state == 2;
		if (net->filter_state == 3)
			memset(accept->mac, 0, sizeof(accept->mac));
		if (net->filter_state == 4)
			accept->protect = KX_PROTECT_PLAIN;
		kx_frame_seal(f->data, f->bytes);
	}
	return true;
}

static void test_broker_unproven(void **state)
{
	(void)state;
	for (uint64_t way = 1; way <= 4; way++) {
		struct net *net = net_with("mac", 1);
		struct seen seen = {0};

		as("desk", &desk);
		net->filter = change_accept;
		net->filter_state = way;
		alone(net, &seen, false);
		assert_int_equal(seen.events[KX_EVENT_CONNECTED], 0);
		assert_int_equal(seen.events[KX_EVENT_CONNECT_FAILED], 1);
		assert_int_equal(seen.last_result, KX_BROKER_UNPROVEN);
		/* It goes on trying, and gets through when nobody is in between any more. */
		net->filter_state = 0;
		net_run(net, 20 * KX_NS_PER_S);
		assert_int_equal(seen.events[KX_EVENT_CONNECTED], 1);
		net_free(net);
	}
	as(NULL, NULL);
}

/* Somebody in between answers in the broker's place, with what it wants to be believed. */
static bool refuse_in_its_place(struct net *net, const struct flight *f, const struct kx_frame_hdr *h)
{
	struct kx_frame_hdr *out = (struct kx_frame_hdr *)f->data;
	struct kx_refuse refuse = {.code = (uint32_t)net->filter_state};
	uint32_t bytes = sizeof(*h) + sizeof(refuse);

	if (net->filter_state == 0 || (h->type != KX_ACCEPT && h->type != KX_COOKIE))
		return true;
	if (h->type == KX_COOKIE && net->filter_state != KX_CODE_VERSION)
		return true;
	memcpy(refuse.client_nonce, h + 1, KX_NONCE_BYTES);
	memset(refuse.mac, (int)net->filter_state, sizeof(refuse.mac));
	out->type = KX_REFUSE;
	memcpy(out + 1, &refuse, sizeof(refuse));
	kx_frame_seal(f->data, bytes);
	net_inject(net, &f->from, &f->to, f->data, bytes);
	return false;
}

/* Whatever code it is, at a first connection: nothing ends before its time, and the application is told. */
static void test_forged_refusals(void **state)
{
	(void)state;
	for (uint32_t code = KX_CODE_VERSION; code <= KX_CODE_PRINCIPAL_FULL + 1; code++) {
		struct net *net = net_with("mac", 1);
		struct seen seen = {0};
		struct kx_client *c;

		as("desk", &desk);
		net->filter = refuse_in_its_place;
		net->filter_state = code;
		c = alone(net, &seen, code % 2 == 0); /* runs for 3 s; the client's time are 2 */
		assert_int_equal(seen.events[KX_EVENT_CONNECTED], 0);
		assert_int_equal(seen.events[KX_EVENT_CONNECT_FAILED], 1);
		assert_int_equal(seen.last_code, code);
		assert_int_equal(seen.events[KX_EVENT_FENCED], 0);
		assert_true(kx_hub_stats(net->hub[0])->drop[KX_DROP_AUTH_BAD] >= 2);
		assert_int_equal(kx_client_close(c, net->now_ns), KX_OK);
		/* for half of the time only: it does not matter */
		memset(&seen, 0, sizeof(seen));
		net->filter_state = code;
		c = NULL;
		{
			struct kx_client_opts opts = {.broker = net->lcores[0].addr,
				.principal = "desk",
				.key = desk.bytes,
				.key_bytes = desk.len,
				.no_reconnect = true,
				.on_event = pair_event,
				.user = &seen};

			assert_int_equal(kx_client_open(net->hub[0], &opts, net->now_ns, &c), KX_OK);
		}
		net_run(net, KX_NS_PER_S);
		net->filter_state = 0;
		net_run(net, 3 * KX_NS_PER_S);
		assert_int_equal(seen.events[KX_EVENT_CONNECT_FAILED], 0);
		assert_int_equal(seen.events[KX_EVENT_CONNECTED], 1);
		net_free(net);
	}
	as(NULL, NULL);
}

/* A broker that has no room for it now: also one who connects only once goes on, and is told in the end. */
static void test_busy(void **state)
{
	struct net *net = net_new(pair_ini, 1, 2, 11);
	struct seen seen = {0};
	struct kx_client *c;

	(void)state;
	net->filter = refuse_in_its_place;
	net->filter_state = KX_CODE_BUSY;
	c = alone(net, &seen, true);
	assert_int_equal(seen.events[KX_EVENT_CONNECT_FAILED], 1);
	assert_int_equal(seen.last_result, KX_REFUSED);
	assert_int_equal(seen.last_code, KX_CODE_BUSY);
	assert_int_equal(kx_client_close(c, net->now_ns), KX_OK);
	memset(&seen, 0, sizeof(seen));
	{
		struct kx_client_opts opts = {.broker = net->lcores[0].addr,
			.no_reconnect = true,
			.on_event = pair_event,
			.user = &seen};

		assert_int_equal(kx_client_open(net->hub[0], &opts, net->now_ns, &c), KX_OK);
	}
	net_run(net, KX_NS_PER_S);
	assert_int_equal(seen.events[KX_EVENT_CONNECT_FAILED], 0);
	net->filter_state = 0;
	net_run(net, 3 * KX_NS_PER_S);
	assert_int_equal(seen.events[KX_EVENT_CONNECT_FAILED], 0);
	assert_int_equal(seen.events[KX_EVENT_CONNECTED], 1);
	net_free(net);
}

/* The same when a producer comes back with its ticket: it goes on where it was, nothing is lost or fenced. */
static void test_forged_refusal_of_a_ticket(void **state)
{
	static const uint32_t codes[] = {KX_CODE_FENCED, KX_CODE_DENIED, KX_CODE_AUTH, KX_CODE_UNKNOWN_FATE};

	(void)state;
	for (size_t i = 0; i < KX_DIM(codes); i++) {
		struct pair p = {.net = net_with("mac", 1)};
		struct kx_message m = {.value = "01234567", .value_bytes = 8};
		uint8_t value[8];

		as("desk", &desk);
		pair_open(&p, "one", 0);
		p.net->filter = refuse_in_its_place;
		p.net->filter_state = codes[i];
		/* the path is cut until both ends have given the sessions up */
		p.net->loss = 1000;
		pair_fill(value, sizeof(value), 0);
		m.value = value;
		assert_int_equal(kx_producer_send(p.producer, &m, p.net->now_ns), KX_OK);
		net_run(p.net, 15 * KX_NS_PER_S);
		p.net->loss = 0;
		net_run(p.net, 4 * KX_NS_PER_S);
		assert_int_equal(p.seen.events[KX_EVENT_CONNECTED], 2); /* one for each, not again */
		p.net->filter_state = 0;
		net_run(p.net, 10 * KX_NS_PER_S);
		assert_int_equal(p.seen.events[KX_EVENT_CONNECTED], 4);
		assert_int_equal(p.seen.events[KX_EVENT_FENCED], 0);
		assert_int_equal(p.seen.failed, 0);
		assert_int_equal(p.seen.completed[0], 1);
		assert_int_equal(p.seen.messages, 1);
		net_free(p.net);
	}
	as(NULL, NULL);
}

/* A refusal that is proven is final: the true broker says that somebody took the producer over. */
static bool nothing_but_refusals(struct net *net, const struct flight *f, const struct kx_frame_hdr *h)
{
	(void)f;
	if (h->type == KX_REFUSE)
		net->filter_state++;
	return h->type != KX_CLOSE && h->type != KX_PRODUCE_REFUSED;
}

static void test_true_refusal_is_final(void **state)
{
	struct net *net = net_with("plain", 1);
	struct seen seen = {0}, heir = {0};
	struct kx_client_opts opts = {.broker = net->lcores[0].addr,
		.principal = "desk",
		.key = desk.bytes,
		.key_bytes = desk.len,
		.on_event = pair_event,
		.user = &heir};
	struct kx_client_info info;
	struct kx_client *c, *d;

	(void)state;
	as("desk", &desk);
	net->filter = nothing_but_refusals;
	c = alone(net, &seen, false);
	assert_int_equal(seen.events[KX_EVENT_CONNECTED], 1);
	kx_client_info(c, &info);
	opts.producer_id = info.producer_id;
	assert_int_equal(kx_client_open(net->hub[1], &opts, net->now_ns, &d), KX_OK);
	net_run(net, 15 * KX_NS_PER_S); /* the first one's session is gone; it comes back with its ticket */
	assert_int_equal(heir.events[KX_EVENT_CONNECTED], 1);
	assert_true(net->filter_state > 0);
	assert_int_equal(seen.events[KX_EVENT_FENCED], 1);
	net_free(net);
	as(NULL, NULL);
}

/* ---- where the key is: memory that is locked and not dumped, and nowhere once the client is closed */

/* How often 32 bytes occur in what this process may write, and whether such memory may be dumped or swapped
 * out. They are looked for with each byte xor 0x55, so that the search does not find itself. */
struct found {
	unsigned int locked, open;
};
#ifdef __SANITIZE_ADDRESS__
#define LOCK_IS_NOTHING true /* ASan makes nothing of mlock() */
#else
#define LOCK_IS_NOTHING false
#endif

static unsigned int occurrences(int mem, uint64_t from, uint64_t end, const uint8_t hidden[32])
{
	static uint8_t buf[1 << 16];
	unsigned int n = 0;

	for (uint64_t at = from; at < end; at += sizeof(buf) - 31) {
		ssize_t got = pread(mem, buf, KX_MIN(sizeof(buf), end - at), (off_t)at);

		if (at <= (uintptr_t)buf + sizeof(buf) && at + sizeof(buf) > (uintptr_t)buf)
			continue; /* what was read is in there */
		for (ssize_t i = 0; i + 32 <= got; i++) {
			size_t k = 0;

			while (k < 32 && (buf[i + (ssize_t)k] ^ 0x55) == hidden[k])
				k++;
			n += k == 32;
		}
	}
	explicit_bzero(buf, sizeof(buf));
	return n;
}

static struct found look_for(const uint8_t hidden[32])
{
	FILE *maps = fopen("/proc/self/smaps", "re");
	int mem = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
	struct found found = {0};
	unsigned long from = 0, end = 0;
	unsigned int here = 0;
	char line[512], rights[8];

	assert_non_null(maps);
	assert_true(mem >= 0);
	while (fgets(line, sizeof(line), maps) != NULL) {
		if (sscanf(line, "%lx-%lx %7s", &from, &end, rights) == 3 && rights[0] != '\0')
			here = rights[0] == 'r' && rights[1] == 'w' && end - from < 64 << 20
				? occurrences(mem, from, end, hidden)
				: 0;
		if (strncmp(line, "VmFlags:", 8) != 0)
			continue;
		if ((strstr(line, " lo") != NULL || LOCK_IS_NOTHING) && strstr(line, " dd") != NULL)
			found.locked += here;
		else
			found.open += here;
	}
	close(mem);
	fclose(maps);
	return found;
}

/* Not inlined: the registers and the stack of the test hold no part of it. */
static __attribute__((noinline)) void mask(uint8_t to[32], const uint8_t from[32])
{
	for (size_t i = 0; i < 32; i++)
		to[i] = from[i] ^ 0x55;
}

static void test_where_the_key_is(void **state)
{
	struct net *net = net_with("mac", 1);
	uint8_t hidden[32];
	struct seen seen = {0};
	struct kx_client *c;
	struct found open, closed;

	(void)state;
	mask(hidden, desk.bytes);
	as("desk", &desk);
	c = alone(net, &seen, false);
	assert_int_equal(seen.events[KX_EVENT_CONNECTED], 1);
	explicit_bzero(desk.bytes, sizeof(desk.bytes));
	open = look_for(hidden);
	assert_int_equal(kx_client_close(c, net->now_ns), KX_OK);
	closed = look_for(hidden);
	mask(desk.bytes, hidden);
	assert_int_equal(open.locked, 1);
	assert_int_equal(open.open, 0);
	assert_int_equal(closed.locked + closed.open, 0);
	net_free(net);
	as(NULL, NULL);
}

static void test_broker_restart(void **state)
{
	struct pair p = {.net = net_with("mac", 2)};

	(void)state;
	as("desk", &desk);
	pair_open(&p, "four", 0);
	pair_send_all(&p, 400, 4, 20);
	net_restart_broker(p.net);
	net_run(p.net, 5 * KX_NS_PER_S);
	/* The ticket of the old broker is refused, the key is not. */
	assert_int_equal(p.seen.events[KX_EVENT_CONNECTED], 4);
	memset(&p.seen, 0, sizeof(p.seen));
	pair_send_all(&p, 400, 4, 20);
	net_free(p.net);
	as(NULL, NULL);
}

static void test_denied(void **state)
{
	struct net *net = net_with("plain", 1);
	struct seen seen = {0};
	struct kx_producer_opts po = {.topic = "one", .on_complete = pair_complete, .user = &seen};
	struct kx_consumer_opts co = {
		.topic = "big", .partition = KX_PARTITION_ALL, .on_batch = pair_batch, .user = &seen};
	struct kx_message m = {.value = "12345678", .value_bytes = 8};
	struct kx_producer *producer;
	struct kx_consumer *consumer;
	struct kx_client *c;

	(void)state;
	as("other", &other);
	c = alone(net, &seen, false);
	assert_int_equal(seen.events[KX_EVENT_CONNECTED], 1);
	/* It may consume `one`, so the topic exists; what it sends is refused. */
	assert_int_equal(kx_producer_open(c, &po, net->now_ns, &producer), KX_OK);
	net_run(net, KX_NS_PER_S);
	assert_int_equal(seen.events[KX_EVENT_PRODUCER_READY], 1);
	assert_int_equal(kx_producer_send(producer, &m, net->now_ns), KX_OK);
	net_run(net, KX_NS_PER_S);
	assert_int_equal(seen.failed, 1);
	assert_int_equal(seen.last_result, KX_REFUSED);
	/* `big` does not exist for it. */
	assert_int_equal(kx_consumer_open(c, &co, net->now_ns, &consumer), KX_OK);
	net_run(net, KX_NS_PER_S);
	assert_int_equal(seen.events[KX_EVENT_CONSUMER_FAILED], 1);
	assert_int_equal(seen.last_result, KX_UNKNOWN_TOPIC);
	net_free(net);
	as(NULL, NULL);
}

static void test_arguments(void **state)
{
	struct net *net = net_new(pair_ini, 1, 1, 3);
	struct kx_client_opts opts = {.broker = net->lcores[0].addr, .key = desk.bytes, .key_bytes = 32};
	struct kx_client *c;

	(void)state;
	assert_int_equal(kx_client_open(net->hub[0], &opts, net->now_ns, &c), KX_BAD_ARGUMENT);
	opts.principal = "";
	assert_int_equal(kx_client_open(net->hub[0], &opts, net->now_ns, &c), KX_BAD_ARGUMENT);
	opts.principal = "desk";
	opts.key_bytes = 31;
	assert_int_equal(kx_client_open(net->hub[0], &opts, net->now_ns, &c), KX_BAD_ARGUMENT);
	opts.key_bytes = 65;
	assert_int_equal(kx_client_open(net->hub[0], &opts, net->now_ns, &c), KX_BAD_ARGUMENT);
	opts.key = NULL;
	opts.protect = KX_PROTECT_MAC;
	assert_int_equal(kx_client_open(net->hub[0], &opts, net->now_ns, &c), KX_BAD_ARGUMENT);
	opts.key = desk.bytes;
	opts.key_bytes = 64;
	assert_int_equal(kx_client_open(net->hub[0], &opts, net->now_ns, &c), KX_OK);
	assert_int_equal(kx_client_close(c, net->now_ns), KX_OK);
	net_free(net);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_goes_through),
		cmocka_unit_test(test_wrong_key),
		cmocka_unit_test(test_wrong_key_after_silence),
		cmocka_unit_test(test_wrong_key_after_a_refusal),
		cmocka_unit_test(test_broker_unproven),
		cmocka_unit_test(test_forged_refusals),
		cmocka_unit_test(test_busy),
		cmocka_unit_test(test_forged_refusal_of_a_ticket),
		cmocka_unit_test(test_true_refusal_is_final),
		cmocka_unit_test(test_where_the_key_is),
		cmocka_unit_test(test_broker_restart),
		cmocka_unit_test(test_denied),
		cmocka_unit_test(test_arguments),
	};
	return cmocka_run_group_tests(tests, begin, end);
}
