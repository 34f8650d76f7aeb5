/* SPDX-License-Identifier: BSD-3-Clause */
/* Programs that sleep: the hub's descriptor, its timer, waiting and waking. And that a turn allocates
 * nothing. */
#include "kx_test.h"

#include <poll.h>
#include <pthread.h>

#include "client_pair.h"
#include "kx_transport_udp.h"

/* ---- allocations, counted while a turn runs (the linker wraps them, see meson.build) */

void *__real_malloc(size_t bytes);
void *__real_calloc(size_t n, size_t bytes);
void *__real_realloc(void *old, size_t bytes);
void *__real_aligned_alloc(size_t align, size_t bytes);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t n, size_t bytes);
void *__wrap_realloc(void *old, size_t bytes);
void *__wrap_aligned_alloc(size_t align, size_t bytes);

static bool counting;
static unsigned int allocations;

void *__wrap_malloc(size_t bytes)
{
	allocations += counting;
	return __real_malloc(bytes);
}

void *__wrap_calloc(size_t n, size_t bytes)
{
	allocations += counting;
	return __real_calloc(n, bytes);
}

void *__wrap_realloc(void *old, size_t bytes)
{
	allocations += counting;
	return __real_realloc(old, bytes);
}

void *__wrap_aligned_alloc(size_t align, size_t bytes)
{
	allocations += counting;
	return __real_aligned_alloc(align, bytes);
}

/* The network of the rig allocates for each datagram: its share is left out. */
static struct kx_transport inner;

static unsigned int quiet_rx(void *ctx, struct kx_frame *frames, unsigned int max)
{
	return inner.ops->rx_burst(ctx, frames, max);
}

static void *quiet_alloc(void *ctx, uint32_t bytes, uint8_t **data)
{
	void *buf;

	counting = false;
	buf = inner.ops->alloc(ctx, bytes, data);
	counting = true;
	return buf;
}

static void quiet_send(void *ctx, void *buf, uint32_t bytes, const struct kx_path *path)
{
	counting = false;
	inner.ops->send(ctx, buf, bytes, path);
	counting = true;
}

static void test_a_turn_allocates_nothing(void **state)
{
	struct pair p = {.net = net_new(pair_ini, 1, 2, 51)};
	struct kx_producer_opts po = {.topic = "four", .polled = true, .large_bytes = 1 << 20};
	struct kx_consumer_opts co = {.topic = "four", .partition = KX_PARTITION_ALL, .polled = true};
	struct kx_transport_ops ops;
	struct kx_completion done[16];
	struct kx_consumer *c;
	struct kx_polled m;
	static uint8_t value[5000];
	unsigned int got = 0;

	(void)state;
	inner = net_transport(p.net, 1);
	ops = *inner.ops;
	ops.rx_burst = quiet_rx;
	ops.alloc = quiet_alloc;
	ops.send = quiet_send;
	assert_int_equal(kx_hub_close(p.net->hub[1], p.net->now_ns), KX_OK);
	assert_int_equal(kx_hub_open(&(struct kx_transport){&ops, inner.ctx}, NULL, &p.net->hub[1]), KX_OK);
	p.pc = pair_client(p.net, 1, &p.seen);
	assert_int_equal(kx_producer_open(p.pc, &po, p.net->now_ns, &p.producer), KX_OK);
	assert_int_equal(kx_consumer_open(p.pc, &co, p.net->now_ns, &c), KX_OK);
	pair_impair(p.net, 10);
	for (int turn = 0; turn < 200000; turn++) {
		struct kx_message msg = {
			.value = value, .value_bytes = turn % 50 == 0 ? 5000 : 50, .partition = turn % 4};

		p.net->hubs[1].asleep_until_ns = UINT64_MAX; /* its turn is ours */
		if (turn == 100000)
			net_restart_broker(p.net);
		net_turn(p.net);
		counting = true;
		(void)kx_producer_send(p.producer, &msg, p.net->now_ns);
		(void)kx_hub_poll(p.net->hub[1], p.net->now_ns);
		(void)kx_producer_poll(p.producer, done, 16);
		while (kx_consumer_poll(c, p.net->now_ns, &m) == KX_OK)
			got++;
		counting = false;
	}
	assert_true(got > 10000);
	assert_true(p.seen.events[KX_EVENT_DISCONNECTED] > 0 && p.seen.events[KX_EVENT_CONSUMER_READY] > 1);
	assert_int_equal(allocations, 0);
	net_free(p.net);
}

/* ---- sleeping, on a socket of the loopback and a peer that is silent */

struct rig {
	struct kx_transport_udp *udp, *peer;
	struct kx_transport peer_table;
	struct kx_hub *hub;
	struct kx_client *client;
	struct kx_addr addr;
};

static int rig_up(void **state)
{
	static struct rig r;
	struct kx_transport_udp_opts o = {.local = "127.0.0.1:19371"}, peer = {.local = "127.0.0.1:19372"};
	struct kx_client_opts co = {.connect_timeout_ns = 60 * KX_NS_PER_S};
	struct kx_transport t;

	assert_int_equal(kx_transport_udp_open(&o, &r.udp), 0);
	assert_int_equal(kx_transport_udp_open(&peer, &r.peer), 0);
	t = kx_transport_udp(r.udp);
	r.peer_table = kx_transport_udp(r.peer);
	assert_int_equal(kx_hub_open(&t, NULL, &r.hub), KX_OK);
	assert_int_equal(kx_addr_parse("127.0.0.1", 19372, &co.broker), 0);
	assert_int_equal(kx_client_open(r.hub, &co, kx_clock_mono_ns(), &r.client), KX_OK);
	assert_int_equal(kx_addr_parse("127.0.0.1", 19371, &r.addr), 0);
	*state = &r;
	return 0;
}

static int rig_down(void **state)
{
	struct rig *r = *state;

	assert_int_equal(kx_hub_close(r->hub, kx_clock_mono_ns()), KX_OK);
	kx_transport_udp_close(r->udp);
	kx_transport_udp_close(r->peer);
	return 0;
}

static bool readable(int fd, int ms)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return poll(&p, 1, ms) == 1;
}

static void poll_all(struct rig *r)
{
	while (kx_hub_poll(r->hub, kx_clock_mono_ns()) != 0)
		;
}

/* Any datagram of at least a header: the hub counts it as bad. */
static void say(struct rig *r)
{
	struct kx_path path;
	uint8_t *data;
	void *buf = r->peer_table.ops->alloc(r->peer_table.ctx, 64, &data);

	assert_non_null(buf);
	memset(data, 0, 64);
	assert_int_equal(r->peer_table.ops->path_to(r->peer_table.ctx, &r->addr, &path), 0);
	r->peer_table.ops->send(r->peer_table.ctx, buf, 64, &path);
	r->peer_table.ops->flush(r->peer_table.ctx);
}

static void test_descriptor(void **state)
{
	struct rig *r = *state;
	uint64_t frames;
	int fd = -1, again = -1;

	assert_int_equal(kx_hub_arm(r->hub, kx_clock_mono_ns()), KX_BAD_STATE);
	assert_int_equal(kx_hub_fd(NULL, &fd), KX_BAD_ARGUMENT);
	assert_int_equal(kx_hub_fd(r->hub, &fd), KX_OK);
	assert_int_equal(kx_hub_fd(r->hub, &again), KX_OK);
	assert_int_equal(fd, again);
	/* there is a HELLO to be sent */
	assert_int_equal(kx_hub_next_deadline_ns(r->hub), 0);
	assert_int_equal(kx_hub_arm(r->hub, kx_clock_mono_ns()), KX_OK);
	assert_true(readable(fd, 1000));
	poll_all(r);
	assert_int_equal(kx_hub_arm(r->hub, kx_clock_mono_ns()), KX_OK);
	assert_false(readable(fd, 0)); /* it goes again in 25 ms at the soonest */
	assert_true(readable(fd, 1000));
	frames = kx_hub_stats(r->hub)->tx_frames;
	poll_all(r);
	assert_true(kx_hub_stats(r->hub)->tx_frames > frames);
	assert_int_equal(kx_hub_arm(r->hub, kx_clock_mono_ns()), KX_OK);
	/* a datagram */
	say(r);
	assert_true(readable(fd, 1000));
	poll_all(r);
	assert_int_equal(kx_hub_stats(r->hub)->rx_bad, 1);
	/* work that is given between two sleeps: the timer says at once */
	assert_int_equal(kx_client_ping(r->client, 0, 0, kx_clock_mono_ns(), NULL, NULL), KX_BAD_ARGUMENT);
	assert_int_equal(kx_client_close(r->client, kx_clock_mono_ns()), KX_OK);
	poll_all(r);
	assert_int_equal(kx_hub_next_deadline_ns(r->hub), UINT64_MAX);
	assert_int_equal(kx_hub_arm(r->hub, kx_clock_mono_ns()), KX_OK);
	assert_false(readable(fd, 50)); /* nothing will ever be due */
}

static void test_wait(void **state)
{
	struct rig *r = *state;
	uint64_t from, end = kx_clock_mono_ns() + 300000000;
	unsigned int turns = 0;

	assert_int_equal(kx_hub_wait(NULL, 0, 0), KX_BAD_ARGUMENT);
	from = kx_clock_mono_ns();
	assert_int_equal(kx_hub_wait(r->hub, from, UINT64_MAX), KX_OK); /* something is to be sent: at once */
	while (kx_clock_mono_ns() < end) {
		turns++;
		if (kx_hub_poll(r->hub, kx_clock_mono_ns()) == 0)
			assert_int_equal(kx_hub_wait(r->hub, kx_clock_mono_ns(), 100000000), KX_OK);
	}
	assert_in_range(turns, 3, 60); /* it slept */
	assert_int_equal(kx_client_close(r->client, kx_clock_mono_ns()), KX_OK);
	from = kx_clock_mono_ns();
	assert_int_equal(kx_hub_wait(r->hub, from, 20000000), KX_OK);
	assert_true(kx_clock_mono_ns() >= from + 20000000);
	say(r);
	assert_int_equal(kx_hub_wait(r->hub, from, UINT64_MAX), KX_OK);
	assert_int_equal(kx_hub_poll(r->hub, kx_clock_mono_ns()), 1);
}

static void *waker(void *hub)
{
	struct timespec ts = {.tv_nsec = 20000000};

	nanosleep(&ts, NULL);
	kx_hub_wake(hub);
	return NULL;
}

static void test_wake(void **state)
{
	struct rig *r = *state;
	pthread_t thread;
	uint64_t from;

	assert_int_equal(kx_client_close(r->client, kx_clock_mono_ns()), KX_OK);
	kx_hub_wake(NULL);
	assert_int_equal(pthread_create(&thread, NULL, waker, r->hub), 0);
	assert_int_equal(kx_hub_wait(r->hub, kx_clock_mono_ns(), UINT64_MAX), KX_OK);
	pthread_join(thread, NULL);
	/* before the wait: it ends that; twice is once; it does not stick */
	kx_hub_wake(r->hub);
	kx_hub_wake(r->hub);
	assert_int_equal(kx_hub_wait(r->hub, kx_clock_mono_ns(), UINT64_MAX), KX_OK);
	from = kx_clock_mono_ns();
	assert_int_equal(kx_hub_wait(r->hub, from, 20000000), KX_OK);
	assert_true(kx_clock_mono_ns() >= from + 20000000);
}

static void test_a_transport_without_a_descriptor(void **state)
{
	struct net *net = net_new(pair_ini, 1, 1, 52);
	int fd;

	(void)state;
	assert_int_equal(kx_hub_fd(net->hub[0], &fd), KX_UNSUPPORTED);
	assert_int_equal(kx_hub_wait(net->hub[0], 0, 0), KX_UNSUPPORTED);
	kx_hub_wake(net->hub[0]);
	net_free(net);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_turn_allocates_nothing),
		cmocka_unit_test_setup_teardown(test_descriptor, rig_up, rig_down),
		cmocka_unit_test_setup_teardown(test_wait, rig_up, rig_down),
		cmocka_unit_test_setup_teardown(test_wake, rig_up, rig_down),
		cmocka_unit_test(test_a_transport_without_a_descriptor),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
