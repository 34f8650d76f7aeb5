/* SPDX-License-Identifier: BSD-3-Clause */
/* Producers whose broker has no place for what they send: nothing of it keeps out what comes first. */
#include "kx_test.h"

#include "client_pair.h"

#define MS UINT64_C(1000000)

static const char many_states_ini[] = "[lcores]\ndata = 1\n"
				      "[memory]\nlog_bytes = 64M\nextent_bytes = 64K\n"
				      "[sessions]\nmax_producers = 256\nidle_timeout_ms = 1000\n"
				      "[port net_memif0]\naddress = 10.0.0.254/24\n"
				      "[topic one]\npartitions = 256\nlog_bytes = 128K\n"
				      "max_message_bytes = 1K\n";
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

static uint64_t refusals;

static bool count_refusals(struct net *net, const struct flight *f, const struct kx_frame_hdr *h)
{
	(void)net;
	(void)f;
	refusals += h->type == KX_PRODUCE_REFUSED;
	return true;
}

static struct kx_client *writes_to(
	struct net *net, uint32_t hub, struct seen *seen, int32_t from, int32_t to, struct kx_producer **p)
{
	const struct kx_producer_opts po = {.topic = "one", .partitions_max = 256};
	struct kx_message m = {.value = "first", .value_bytes = 5};
	struct kx_client *c = pair_client(net, hub, seen);

	assert_int_equal(kx_producer_open(c, &po, net->now_ns, p), KX_OK);
	for (int i = 0; i < 10000 && kx_producer_partitions(*p) == 0; i++)
		net_turn(net);
	for (m.partition = from; m.partition < to;) {
		if (kx_producer_send(*p, &m, net->now_ns) == KX_OK)
			m.partition++;
		else
			net_turn(net);
	}
	net_run(net, 100 * MS);
	return c;
}

/* Of many producer states one has no session any more: who comes gets it, when it was kept for
 * idle_timeout_ms after the end of that, and not before. */
static void one_state_left(void **state)
{
	struct net *net = net_new(many_states_ini, 1, 3, 1);
	struct seen seen[3] = {0};
	struct kx_producer *p;
	struct kx_client *gone;

	(void)state;
	gone = writes_to(net, 0, &seen[0], 0, 1, &p);
	(void)writes_to(net, 1, &seen[1], 0, 255, &p);
	assert_int_equal(kx_producer_pending(p), 0);
	net_run(net, 1000 * MS);
	assert_int_equal(kx_client_close(gone, net->now_ns), KX_OK);
	net_run(net, 700 * MS);
	net->filter = count_refusals;
	refusals = 0;
	(void)writes_to(net, 2, &seen[2], 1, 2, &p);
	assert_true(refusals > 0);
	assert_int_equal(kx_producer_pending(p), 1);
	net_run(net, 300 * MS);
	refusals = 0;
	net_run(net, 3000 * MS);
	assert_int_equal(refusals, 0);
	assert_int_equal(kx_producer_pending(p), 0);
	net_free(net);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(large_messages_of_other_partitions),
		cmocka_unit_test(no_state_left),
		cmocka_unit_test(one_state_left),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
