/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A send window and a receive window over a channel that loses, duplicates and reorders, receipts and NAKs
 * included, in virtual time. A simple model (one flag per number, no rings) says what each must answer.
 */

#include "kx_test.h"

#include "kx_session.h"

#define MESSAGES     4000u
#define NUMBERS	     400000u /* packet numbers a run may use at most */
#define CHANNEL	     8192u
#define STEP_NS	     UINT64_C(2000)
#define STEPS_MAX    3000000u
#define ACK_EVERY_NS UINT64_C(40000)
#define NO_MESSAGE   UINT32_MAX
#define NAK_ENTRIES  16

struct packet {
	uint64_t due_ns;
	uint64_t pkt_no;
	uint32_t floor_delta;
	uint32_t message;
	bool is_receipt, is_nak;
	struct kx_receipt receipt;
	struct kx_ack_range ranges[KX_ACK_RANGES_MAX];
	struct kx_nak_entry naks[NAK_ENTRIES];
	unsigned int nak_count;
};

struct channel {
	struct packet *slot[CHANNEL];
	unsigned int count;
	unsigned int loss_permille, dup_permille;
	uint64_t delay_ns, jitter_ns;
	uint64_t outage_from_ns, outage_to_ns;
};

struct model {
	struct kx_prng prng;
	struct kx_txwin tx;
	struct kx_rxwin rx;
	struct kx_rtt rtt;
	struct channel there, back;
	uint64_t now_ns;
	uint32_t next_message;
	uint32_t deferred[KX_TXWIN_PKTS]; /* taken out, waiting for a number */
	unsigned int deferred_count;
	uint64_t next_ack_ns;
	bool *number_came;	  /* by pkt_no, at the receiver */
	bool *number_acked;	  /* by pkt_no, at the sender */
	uint32_t *number_message; /* by pkt_no; NO_MESSAGE for unreliable ones */
	bool *message_came;
	uint32_t messages_came, duplicates, repairs, probes, acked, jumps;
};

static void channel_put(struct model *m, struct channel *c, const struct packet *p)
{
	unsigned int copies = kx_prng_below(&m->prng, 1000) < c->dup_permille ? 2 : 1;

	if (m->now_ns >= c->outage_from_ns && m->now_ns < c->outage_to_ns)
		return;
	for (unsigned int i = 0; i < copies; i++) {
		if (kx_prng_below(&m->prng, 1000) < c->loss_permille || c->count == CHANNEL)
			continue;
		struct packet *copy = malloc(sizeof(*copy));

		assert_non_null(copy);
		*copy = *p;
		copy->due_ns = m->now_ns + c->delay_ns + kx_prng_below(&m->prng, c->jitter_ns + 1);
		c->slot[c->count++] = copy;
	}
}

/* Any one packet that is due, or NULL. */
static struct packet *channel_take(struct model *m, struct channel *c)
{
	for (unsigned int i = 0; i < c->count; i++) {
		if (c->slot[i]->due_ns <= m->now_ns) {
			struct packet *p = c->slot[i];

			c->slot[i] = c->slot[--c->count];
			return p;
		}
	}
	return NULL;
}

static void channel_free(struct channel *c)
{
	while (c->count > 0)
		free(c->slot[--c->count]);
}

static void send_number(struct model *m, uint64_t pkt_no, uint32_t message)
{
	struct packet p = {.pkt_no = pkt_no, .message = message};

	assert_true(pkt_no > 0 && pkt_no < NUMBERS);
	assert_true(m->tx.next_pkt - m->tx.floor_pkt <= KX_TXWIN_PKTS);
	m->number_message[pkt_no] = message;
	p.floor_delta = kx_txwin_floor_delta(&m->tx, pkt_no);
	channel_put(m, &m->there, &p);
}

static void on_acked(void *arg, uint64_t pkt_no, uint32_t ref)
{
	struct model *m = arg;

	assert_true(m->number_came[pkt_no]);
	assert_false(m->number_acked[pkt_no]);
	assert_int_equal(m->number_message[pkt_no], ref);
	m->number_acked[pkt_no] = true;
	m->acked++;
}

static void defer(struct model *m, uint64_t pkt_no)
{
	uint32_t ref;

	if (!kx_txwin_take(&m->tx, pkt_no, &ref))
		return;
	assert_int_equal(m->number_message[pkt_no], ref);
	assert_false(m->number_acked[pkt_no]);
	assert_true(m->deferred_count < KX_DIM(m->deferred));
	m->deferred[m->deferred_count++] = ref;
	m->repairs++;
}

static void sender_take_nak(struct model *m, const struct packet *p)
{
	for (unsigned int i = 0; i < p->nak_count; i++) {
		uint64_t at = p->naks[i].first;

		while ((at = kx_txwin_find(&m->tx, at, p->naks[i].last)) != 0)
			defer(m, at);
	}
}

static void sender_step(struct model *m)
{
	struct packet *p;
	uint64_t sample, pkt_no;
	unsigned int burst = (unsigned int)kx_prng_below(&m->prng, 6);

	while ((p = channel_take(m, &m->back)) != NULL) {
		if (p->is_receipt) {
			assert_true(kx_txwin_ack(&m->tx, &p->receipt, p->ranges, m->now_ns, on_acked, m,
					    &sample) >= 0);
			kx_rtt_sample(&m->rtt, sample);
		}
		if (p->is_nak)
			sender_take_nak(m, p);
		free(p);
	}
	while (m->deferred_count > 0 && kx_txwin_open_reserve(&m->tx)) {
		pkt_no = kx_txwin_send(&m->tx, m->deferred[--m->deferred_count], m->now_ns);
		send_number(m, pkt_no, m->deferred[m->deferred_count]);
	}
	for (; burst > 0 && m->next_message < MESSAGES && kx_txwin_open(&m->tx); burst--) {
		if (kx_prng_below(&m->prng, 10) == 0)
			send_number(m, kx_txwin_send_unreliable(&m->tx, m->now_ns), NO_MESSAGE);
		pkt_no = kx_txwin_send(&m->tx, m->next_message, m->now_ns);
		send_number(m, pkt_no, m->next_message++);
	}
	if (kx_txwin_probe_due(&m->tx, m->now_ns, kx_rtt_pto_ns(&m->rtt))) {
		m->probes++;
		if (kx_txwin_open_reserve(&m->tx))
			send_number(m, kx_txwin_send_unreliable(&m->tx, m->now_ns), NO_MESSAGE);
		else
			defer(m, m->tx.floor_pkt);
	}
}

static void receiver_take(struct model *m, const struct packet *p)
{
	enum kx_drop drop = kx_rxwin_check_frame(&m->rx, p->pkt_no, p->floor_delta);

	if (m->number_came[p->pkt_no] || p->pkt_no < m->rx.next_pkt) {
		assert_int_equal(drop, KX_DROP_PKT_DUPLICATE);
		m->duplicates++;
		return;
	}
	assert_int_equal(drop, KX_DROP_NONE); /* the sender never exceeds the window */
	m->jumps += p->pkt_no - m->rx.next_pkt >= KX_RXWIN_PKTS;
	kx_rxwin_mark_frame(&m->rx, p->pkt_no, p->floor_delta, m->now_ns);
	m->number_came[p->pkt_no] = true;
	assert_int_equal(kx_rxwin_check(&m->rx, p->pkt_no), KX_DROP_PKT_DUPLICATE);
	assert_true(m->rx.largest_pkt < m->rx.next_pkt + KX_RXWIN_PKTS);
	if (p->message != NO_MESSAGE && !m->message_came[p->message]) {
		m->message_came[p->message] = true;
		m->messages_came++;
	}
}

/* The ranges and next_pkt of a receipt against the model's flags. */
static void check_receipt(const struct model *m, const struct packet *p)
{
	uint64_t at = p->receipt.next_pkt;

	assert_false(m->number_came[at]);
	for (unsigned int i = 0; i < p->receipt.range_count; i++) {
		uint64_t first = p->receipt.next_pkt + p->ranges[i].start;

		for (; at < first; at++)
			assert_false(m->number_came[at]);
		for (; at < first + p->ranges[i].count; at++)
			assert_true(m->number_came[at]);
	}
}

static void receiver_step(struct model *m)
{
	struct packet *p, out = {.is_receipt = false};

	while ((p = channel_take(m, &m->there)) != NULL) {
		receiver_take(m, p);
		free(p);
	}
	out.nak_count = kx_rxwin_nak(
		&m->rx, m->now_ns, kx_rtt_reorder_ns(&m->rtt), m->rtt.srtt_ns, out.naks, NAK_ENTRIES);
	out.is_nak = out.nak_count > 0;
	for (unsigned int i = 0; i < out.nak_count; i++)
		for (uint64_t at = out.naks[i].first; at <= out.naks[i].last; at++)
			assert_true(at >= m->rx.next_pkt && at < m->rx.largest_pkt && !m->number_came[at]);
	if (m->now_ns >= m->next_ack_ns) {
		m->next_ack_ns = m->now_ns + ACK_EVERY_NS;
		out.is_receipt = true;
		kx_rxwin_receipt(&m->rx, m->now_ns, &out.receipt);
		out.receipt.range_count = (uint8_t)kx_rxwin_ranges(&m->rx, out.ranges, KX_ACK_RANGES_MAX);
		check_receipt(m, &out);
	}
	if (out.is_nak || out.is_receipt)
		channel_put(m, &m->back, &out);
}

static void model_init(struct model *m, uint64_t seed)
{
	memset(m, 0, sizeof(*m));
	kx_prng_seed(&m->prng, seed);
	assert_int_equal(kx_txwin_init(&m->tx), 0);
	kx_rxwin_init(&m->rx);
	kx_rtt_init(&m->rtt);
	m->number_came = calloc(NUMBERS + KX_RXWIN_PKTS, sizeof(bool));
	m->number_acked = calloc(NUMBERS + KX_RXWIN_PKTS, sizeof(bool));
	m->number_message = calloc(NUMBERS, sizeof(uint32_t));
	m->message_came = calloc(MESSAGES, sizeof(bool));
	assert_true(m->number_came && m->number_acked && m->number_message && m->message_came);
}

static void model_fini(struct model *m)
{
	channel_free(&m->there);
	channel_free(&m->back);
	kx_txwin_fini(&m->tx);
	free(m->number_came);
	free(m->number_acked);
	free(m->number_message);
	free(m->message_came);
}

/* Until everything sent has come and is known to have; the step limit is what makes a stall a failure. */
static void model_run(struct model *m)
{
	unsigned int step = 0;

	while (m->messages_came < MESSAGES || m->tx.waiting > 0 || m->deferred_count > 0) {
		assert_true(step++ < STEPS_MAX);
		m->now_ns += STEP_NS;
		sender_step(m);
		receiver_step(m);
	}
	for (uint32_t i = 0; i < MESSAGES; i++)
		assert_true(m->message_came[i]);
	assert_int_equal(m->tx.floor_pkt, m->tx.next_pkt);
}

static void set_channel(
	struct channel *c, unsigned int loss, unsigned int dup, uint64_t delay, uint64_t jitter)
{
	c->loss_permille = loss;
	c->dup_permille = dup;
	c->delay_ns = delay;
	c->jitter_ns = jitter;
}

static void test_clean(void **state)
{
	struct model m;

	(void)state;
	model_init(&m, 1);
	set_channel(&m.there, 0, 0, 20000, 0);
	set_channel(&m.back, 0, 0, 20000, 0);
	model_run(&m);
	assert_int_equal(m.repairs, 0);
	assert_int_equal(m.duplicates, 0);
	assert_int_equal(m.probes, 0);
	assert_int_equal(m.acked, MESSAGES);
	model_fini(&m);
}

/* Reordering within the allowance repairs nothing. */
static void test_reordering_only(void **state)
{
	struct model m;

	(void)state;
	model_init(&m, 2);
	set_channel(&m.there, 0, 0, 20000, 12000);
	set_channel(&m.back, 0, 0, 20000, 12000);
	model_run(&m);
	assert_int_equal(m.repairs, 0);
	assert_int_equal(m.acked, MESSAGES);
	model_fini(&m);
}

static void test_random(void **state)
{
	uint32_t repairs = 0, duplicates = 0, probes = 0;

	(void)state;
	for (uint64_t seed = 1; seed <= 40; seed++) {
		struct model m;

		model_init(&m, seed);
		set_channel(&m.there, (unsigned int)kx_prng_below(&m.prng, 200),
			(unsigned int)kx_prng_below(&m.prng, 100), 10000 + kx_prng_below(&m.prng, 200000),
			kx_prng_below(&m.prng, 100000));
		set_channel(&m.back, (unsigned int)kx_prng_below(&m.prng, 300),
			(unsigned int)kx_prng_below(&m.prng, 100), 10000 + kx_prng_below(&m.prng, 200000),
			kx_prng_below(&m.prng, 100000));
		model_run(&m);
		repairs += m.repairs;
		duplicates += m.duplicates;
		probes += m.probes;
		model_fini(&m);
	}
	assert_true(repairs > 0 && duplicates > 0 && probes > 0);
}

/* 1 % loss: what is sent again stays near what was lost. */
static void test_repair_traffic(void **state)
{
	struct model m;

	(void)state;
	model_init(&m, 3);
	set_channel(&m.there, 10, 0, 50000, 5000);
	set_channel(&m.back, 10, 0, 50000, 5000);
	model_run(&m);
	assert_true(m.repairs > MESSAGES / 200 && m.repairs < MESSAGES / 40);
	model_fini(&m);
}

/* Everything lost for a while, in both directions: probes, then recovery. */
static void test_outage(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 5; seed++) {
		struct model m;

		model_init(&m, seed);
		set_channel(&m.there, 5, 5, 20000, 20000);
		set_channel(&m.back, 5, 5, 20000, 20000);
		m.there.outage_from_ns = 100000;
		m.there.outage_to_ns = seed * 20000000;
		m.back.outage_from_ns = 100000;
		m.back.outage_to_ns = seed * 30000000;
		model_run(&m);
		assert_true(m.probes > 0);
		model_fini(&m);
	}
}

/* So long an outage that the probes use up the numbers: then the lowest packet itself is the probe. */
static void test_outage_beyond_window(void **state)
{
	struct model m;

	(void)state;
	model_init(&m, 9);
	set_channel(&m.there, 0, 0, 20000, 0);
	set_channel(&m.back, 0, 0, 20000, 0);
	m.there.outage_to_ns = 1;
	for (; kx_txwin_open(&m.tx); m.next_message++)
		send_number(&m, kx_txwin_send(&m.tx, m.next_message, 0), m.next_message);
	while (kx_txwin_open_reserve(&m.tx))
		send_number(&m, kx_txwin_send_unreliable(&m.tx, 0), NO_MESSAGE);
	model_run(&m);
	assert_true(m.jumps > 0 && m.probes > 0);
	model_fini(&m);
}

/* A broker's direction: numbers without repair, floor_delta = min(pkt_no - 1, 1024), long runs lost. */
static void test_numbering_only(void **state)
{
	struct kx_prng prng;
	struct kx_rxwin rx;
	uint64_t pkt_no = 0;
	uint32_t jumps = 0;

	(void)state;
	kx_prng_seed(&prng, 5);
	kx_rxwin_init(&rx);
	for (unsigned int i = 0; i < 20000; i++) {
		uint64_t skip = kx_prng_below(&prng, 100) == 0 ? kx_prng_below(&prng, 20000) : 0;

		pkt_no += 1 + skip;
		uint32_t delta = (uint32_t)KX_MIN(pkt_no - 1, UINT64_C(1024));

		assert_int_equal(kx_rxwin_check_frame(&rx, pkt_no, delta), KX_DROP_NONE);
		jumps += pkt_no - rx.next_pkt >= KX_RXWIN_PKTS;
		kx_rxwin_mark_frame(&rx, pkt_no, delta, i);
		assert_int_equal(rx.largest_pkt, pkt_no);
		assert_true(rx.next_pkt >= kx_rxwin_floor_of(pkt_no, delta));
		assert_int_equal(kx_rxwin_check_frame(&rx, pkt_no, delta), KX_DROP_PKT_DUPLICATE);
	}
	assert_true(jumps > 50);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_clean),
		cmocka_unit_test(test_reordering_only),
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_repair_traffic),
		cmocka_unit_test(test_outage),
		cmocka_unit_test(test_outage_beyond_window),
		cmocka_unit_test(test_numbering_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
