/* SPDX-License-Identifier: BSD-3-Clause */
/* Who owns which queue, and how frames of several lcores fall into runs. */
#include <errno.h>
#include <string.h>

#include "kx_test.h"
#include "kx_worker.h"

static void one_lcore_owns_everything(void **state)
{
	struct kx_worker_port_shape shapes[2] = {{1, 1}, {4, 2}};
	struct kx_worker_wiring w;
	bool polls[1] = {true};

	(void)state;
	assert_int_equal(kx_worker_wire(&w, 1, polls, 2, shapes), 0);
	for (int q = 0; q < 4; q++)
		assert_int_equal(w.rx_owner[1][q], 0);
	assert_int_equal(w.tx_via[0][0], 0);
	assert_int_equal(w.tx_via[1][0], 0);
	assert_int_equal(w.tx_queue[1][0], 0);
	assert_int_equal(kx_worker_fabric_rings_from(&w, 0), 0);
}

static void queues_go_round_over_all_ports(void **state)
{
	struct kx_worker_port_shape shapes[3] = {{1, 1}, {1, 1}, {1, 1}};
	struct kx_worker_wiring w;
	bool polls[3] = {true, false, true};

	(void)state;
	assert_int_equal(kx_worker_wire(&w, 3, polls, 3, shapes), 0);
	assert_int_equal(w.rx_owner[0][0], 0);
	assert_int_equal(w.rx_owner[1][0], 2);
	assert_int_equal(w.rx_owner[2][0], 0);
	/* The lcore that polls the port sends on it; the others go through that one. */
	assert_int_equal(w.tx_via[1][2], 2);
	assert_int_equal(w.tx_via[1][0], 2);
	assert_int_equal(w.tx_via[1][1], 2);
	assert_int_equal(w.tx_via[0][0], 0);
	assert_int_equal(w.tx_via[0][2], 0);
}

static void every_lcore_has_its_tx_queue_where_there_are_enough(void **state)
{
	struct kx_worker_port_shape shape = {2, 4};
	struct kx_worker_wiring w;
	bool polls[4] = {true, true, false, false};
	unsigned int seen = 0;

	(void)state;
	assert_int_equal(kx_worker_wire(&w, 4, polls, 1, &shape), 0);
	for (uint32_t l = 0; l < 4; l++) {
		assert_int_equal(w.tx_via[0][l], l);
		seen |= 1u << w.tx_queue[0][l];
	}
	assert_int_equal(seen, 15);
	/* Two lcores poll: each hands over to three. Nobody relays. */
	assert_int_equal(kx_worker_fabric_rings_from(&w, 0), 3);
	assert_int_equal(kx_worker_fabric_rings_from(&w, 3), 0);
}

static void a_short_port_is_shared_evenly(void **state)
{
	struct kx_worker_port_shape shape = {1, 2};
	struct kx_worker_wiring w;
	bool polls[6] = {false, false, false, true, false, false};
	uint32_t through[6] = {0};

	(void)state;
	assert_int_equal(kx_worker_wire(&w, 6, polls, 1, &shape), 0);
	for (uint32_t l = 0; l < 6; l++)
		through[w.tx_via[0][l]]++;
	assert_int_equal(through[3], 3);
	assert_int_equal(through[0], 3);
	assert_int_equal(w.tx_queue[0][3], 0);
	assert_int_equal(w.tx_queue[0][0], 1);
	assert_int_equal(w.tx_via[0][w.tx_via[0][5]], w.tx_via[0][5]);
}

static void impossible_shapes_are_refused(void **state)
{
	struct kx_worker_port_shape ok = {1, 1}, none = {0, 1}, many = {1, KX_WORKER_QUEUES_MAX + 1};
	bool polls[2] = {true, false}, nobody[2] = {false, false};
	struct kx_worker_wiring w;

	(void)state;
	assert_int_equal(kx_worker_wire(&w, 0, polls, 1, &ok), -EINVAL);
	assert_int_equal(kx_worker_wire(&w, KX_WORKER_LCORES_MAX + 1, polls, 1, &ok), -EINVAL);
	assert_int_equal(kx_worker_wire(&w, 2, polls, 0, &ok), -EINVAL);
	assert_int_equal(kx_worker_wire(&w, 2, nobody, 1, &ok), -EINVAL);
	assert_int_equal(kx_worker_wire(&w, 2, polls, 1, &none), -EINVAL);
	assert_int_equal(kx_worker_wire(&w, 2, polls, 1, &many), -EINVAL);
}

static void runs_end_where_the_port_changes(void **state)
{
	struct kx_frame frames[6] = {0};
	const uint16_t ports[6] = {9000, 9000, 9001, 9001, 9001, 9000};
	unsigned int lengths[4], n = 0;

	(void)state;
	for (int i = 0; i < 6; i++)
		frames[i].local_port = ports[i];
	for (unsigned int i = 0; i < 6; i += lengths[n++])
		lengths[n] = kx_worker_run_length(frames + i, 6 - i);
	assert_int_equal(n, 3);
	assert_int_equal(lengths[0], 2);
	assert_int_equal(lengths[1], 3);
	assert_int_equal(lengths[2], 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_lcore_owns_everything),
		cmocka_unit_test(queues_go_round_over_all_ports),
		cmocka_unit_test(every_lcore_has_its_tx_queue_where_there_are_enough),
		cmocka_unit_test(a_short_port_is_shared_evenly),
		cmocka_unit_test(impossible_shapes_are_refused),
		cmocka_unit_test(runs_end_where_the_port_changes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
