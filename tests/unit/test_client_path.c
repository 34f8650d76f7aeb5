/* SPDX-License-Identifier: BSD-3-Clause */
/* Clients whose address changes under them, in the middle of a stream, and what the others make of it. */
#include "kx_test.h"

#include "client_pair.h"

/* From now on the node is seen at, and reached at, another address; what is on its way to the old one is
 * lost. */
static void rebind(struct net *net, uint32_t hub)
{
	net->hubs[hub].addr.port = (uint16_t)(net->hubs[hub].addr.port + 100);
}

static uint64_t path_changes(struct net *net)
{
	return kx_broker_counters(net->brokers[0])->path_changes;
}

static void some(struct pair *p, uint64_t *sent, uint64_t total)
{
	uint8_t value[200];

	for (uint32_t i = 0; i < 4 && *sent < total; i++) {
		struct kx_message m = {.value = value, .value_bytes = sizeof(value), .partition = 0};

		pair_fill(value, sizeof(value), *sent);
		if (kx_producer_send(p->producer, &m, p->net->now_ns) != KX_OK)
			break;
		++*sent;
	}
	net_turn(p->net);
}

static void drain(struct pair *p, uint64_t total)
{
	for (int i = 0; i < 1000000 && (p->seen.messages < total || kx_producer_pending(p->producer) > 0);
		i++)
		net_turn(p->net);
	assert_int_equal(p->seen.messages, total);
	assert_int_equal(p->seen.completed[0], total);
	assert_int_equal(p->seen.failed, 0);
}

/* Send without a pause while both ends' addresses change `times` times; each change is proven before the
 * next. */
static void stream(struct pair *p, uint32_t times)
{
	uint64_t sent = 0;

	for (uint32_t i = 0; i < times; i++) {
		uint64_t until = sent + 2000;

		for (int turns = 0; sent < until && turns < 1000000; turns++)
			some(p, &sent, until);
		rebind(p->net, 0);
		rebind(p->net, 1);
		for (int turns = 0; path_changes(p->net) < 2 * (i + 1) && turns < 1000000; turns++)
			some(p, &sent, UINT64_MAX);
	}
	drain(p, sent);
}

static void one_session_each(struct pair *p, uint32_t times)
{
	struct kx_client_stats s, c;

	kx_client_stats(p->pc, &s);
	kx_client_stats(p->cc, &c);
	assert_int_equal(s.connects, 1);
	assert_int_equal(c.connects, 1);
	assert_int_equal(p->seen.events[KX_EVENT_DISCONNECTED], 0);
	assert_int_equal(path_changes(p->net), 2 * times);
	assert_true(s.path_changes >= times && c.path_changes >= times);
}

static void rebinding(void **state)
{
	struct pair p = {.net = net_new(pair_ini, 1, 2, 1)};

	(void)state;
	pair_open(&p, "one", 20000);
	stream(&p, 3);
	one_session_each(&p, 3);
	net_free(p.net);
}

static void rebinding_with_loss(void **state)
{
	struct pair p = {.net = net_new(pair_ini, 1, 2, 2)};

	(void)state;
	pair_open(&p, "one", 20000);
	pair_impair(p.net, 10);
	stream(&p, 4);
	one_session_each(&p, 4);
	net_free(p.net);
}

/* A consumer that says nothing but heartbeats is found again by these. */
static void idle_consumer(void **state)
{
	struct pair p = {.net = net_new(pair_ini, 1, 2, 3)};
	uint64_t sent = 0;

	(void)state;
	pair_open(&p, "one", 0);
	while (sent < 100)
		some(&p, &sent, 100);
	drain(&p, 100);
	rebind(p.net, 1);
	net_run(p.net, 2 * KX_NS_PER_S);
	assert_int_equal(path_changes(p.net), 1);
	while (sent < 200)
		some(&p, &sent, 200);
	drain(&p, 200);
	net_free(p.net);
}

/* ---- somebody else */

static struct kx_addr attacker;
static uint8_t stolen[2048] KX_ALIGNED(8);
static uint32_t stolen_bytes;
static uint64_t told[64];

/* Notes the last PRODUCE of the producer, and what the attacker is sent. */
static bool wiretap(struct net *net, const struct flight *f, const struct kx_frame_hdr *h)
{
	if (kx_addr_equal(&f->to, &attacker)) {
		told[h->type]++;
		return true;
	}
	if (h->type == KX_PRODUCE && net->filter_state == 0 && f->bytes <= sizeof(stolen)) {
		memcpy(stolen, f->data, f->bytes);
		stolen_bytes = f->bytes;
	}
	return true;
}

/* Who has seen a session's frames and sends them again from his own address is not answered. */
static void replay_from_elsewhere(void **state)
{
	struct pair p = {.net = net_new(pair_ini, 1, 2, 4)};

	(void)state;
	memset(told, 0, sizeof(told));
	assert_int_equal(kx_addr_parse("10.0.0.66:6666", 0, &attacker), 0);
	pair_open(&p, "one", 20000);
	p.net->filter = wiretap;
	pair_send_all(&p, 500, 1, 2);
	assert_true(stolen_bytes > 0);
	for (int i = 0; i < 50; i++) {
		net_inject(p.net, &attacker, &p.net->lcores[0].addr, stolen, stolen_bytes);
		net_run(p.net, 2000000);
	}
	assert_int_equal(p.net->ledgers[0].drop[KX_DROP_CONN_PATH], 50);
	for (unsigned int i = 0; i < KX_DIM(told); i++)
		assert_int_equal(told[i], 0);
	assert_int_equal(path_changes(p.net), 0);
	net_free(p.net);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rebinding),
		cmocka_unit_test(rebinding_with_loss),
		cmocka_unit_test(idle_consumer),
		cmocka_unit_test(replay_from_elsewhere),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
