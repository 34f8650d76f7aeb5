/* SPDX-License-Identifier: BSD-3-Clause */
/* Producers whose broker has no place for what they send: nothing of it keeps out what comes first. */
#include "kx_test.h"

#include "client_pair.h"

#define MS UINT64_C(1000000)

static const char one_state_ini[] = "[lcores]\ndata = 1\n"
				    "[memory]\nlog_bytes = 64M\nextent_bytes = 64K\n"
				    "[sessions]\nmax_producers = 1\nidle_timeout_ms = 1000\n"
				    "[port net_memif0]\naddress = 10.0.0.254/24\n"
				    "[topic one]\npartitions = 2\nlog_bytes = 4M\nmax_message_bytes = 64K\n";

static uint64_t produced; /* frames */

static bool watch(struct net *net, const struct flight *f, const struct kx_frame_hdr *h)
{
	(void)net;
	(void)f;
	produced += h->type == KX_PRODUCE;
	return true;
}

/* Parts of large messages to the second partition do not arrive. */
static bool lose_parts(struct net *net, const struct flight *f, const struct kx_frame_hdr *h)
{
	const struct kx_frag *frag = (const struct kx_frag *)(h + 1);

	(void)f;
	return h->type != KX_PRODUCE_FRAG || frag->partition % 4 != net->filter_state;
}

static void send_to(struct pair *p, int32_t partition, uint32_t bytes, uint64_t number)
{
	static uint8_t value[10000];
	struct kx_message m = {.value = value, .value_bytes = bytes, .partition = partition};

	pair_fill(value, bytes, number);
	assert_int_equal(kx_producer_send(p->producer, &m, p->net->now_ns), KX_OK);
}

/* A large message that the broker does not take: other partitions' oldest go nevertheless. */
static void large_messages_of_other_partitions(void **state)
{
	struct pair p = {.net = net_new(pair_ini, 1, 2, 1)};

	(void)state;
	pair_open(&p, "four", 0);
	p.net->filter = lose_parts;
	p.net->filter_state = 2; /* the second of topic four, which begins with partition 1 */
	send_to(&p, 1, 10000, 0);
	net_run(p.net, 10 * MS);
	send_to(&p, 0, 10000, 0);
	send_to(&p, 2, 10000, 0);
	net_run(p.net, 50 * MS);
	assert_int_equal(p.seen.completed[0], 1);
	assert_int_equal(p.seen.completed[1], 0);
	assert_int_equal(p.seen.completed[2], 1);
	p.net->filter = NULL;
	net_run(p.net, 1000 * MS);
	assert_int_equal(p.seen.completed[1], 1);
	net_free(p.net);
}

static void turns_until(struct pair *p, uint64_t messages, uint64_t within_ns)
{
	uint64_t end = p->net->now_ns + within_ns;

	while (p->seen.completed[0] < messages && p->net->now_ns < end)
		net_turn(p->net);
	assert_int_equal(p->seen.completed[0], messages);
}

/* The producer table is full: the oldest batch asks, seldom, and the others follow at once when it is taken.
 */
static void no_state_left(void **state)
{
	struct pair p = {.net = net_new(one_state_ini, 1, 3, 1)};
	struct kx_producer_opts po = {.topic = "one"};
	const struct kx_message m = {.value = "first", .value_bytes = 5, .partition = 1};
	struct seen seen = {0};
	struct kx_producer *other;
	struct kx_client *c;
	uint64_t before;

	(void)state;
	c = pair_client(p.net, 1, &seen);
	assert_int_equal(kx_producer_open(c, &po, p.net->now_ns, &other), KX_OK);
	net_run(p.net, 20 * MS);
	assert_int_equal(kx_producer_send(other, &m, p.net->now_ns), KX_OK);
	net_run(p.net, 20 * MS);
	assert_int_equal(kx_producer_pending(other), 0);
	po.on_complete = pair_complete;
	po.user = &p.seen;
	p.pc = pair_client(p.net, 0, &p.seen);
	assert_int_equal(kx_producer_open(p.pc, &po, p.net->now_ns, &p.producer), KX_OK);
	net_run(p.net, 20 * MS);
	p.net->filter = watch;
	produced = 0;
	for (uint64_t n = 0; n < 200; n++) {
		send_to(&p, 0, 64, n);
		net_turn(p.net);
	}
	net_run(p.net, 20 * MS);
	before = produced;
	assert_in_range(before, 1, 210);
	net_run(p.net, 1000 * MS);
	assert_in_range(produced, before + 1, before + 12);
	assert_int_equal(p.seen.completed[0], 0);
	assert_int_equal(kx_client_close(c, p.net->now_ns), KX_OK);
	turns_until(&p, 1, 5000 * MS);
	turns_until(&p, 200, 20 * MS);
	net_free(p.net);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(large_messages_of_other_partitions),
		cmocka_unit_test(no_state_left),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
