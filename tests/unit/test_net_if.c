/* SPDX-License-Identifier: BSD-3-Clause */
/* What a port's description may say. */
#include "net_rig.h"

static void test_if_conf(void **state)
{
	struct kx_net_if_conf good, c;
	struct kx_net_if nif;

	(void)state;
	rig_conf(&good, 1);
#define REFUSED(change)                                                                                      \
	do {                                                                                                 \
		c = good;                                                                                    \
		change;                                                                                      \
		assert_int_equal(kx_net_if_init(&nif, &c), -EINVAL);                                         \
	} while (0)
	assert_int_equal(kx_net_if_init(&nif, &good), 0);
	REFUSED(c.vlan_id = 4095);
	REFUSED(c.mtu = 67);
	REFUSED(c.mtu = 1279);
	REFUSED(c.mtu = 9601);
	REFUSED(c.base_port = 0);
	REFUSED(c.port_count = 0);
	REFUSED(c.base_port = 65534);
	REFUSED(c.addr_count = 0);
	REFUSED(c.addr_count = KX_NET_ADDRS_MAX + 1);
	REFUSED(memset(&c.mac, 0, 6));
	REFUSED(c.mac.addr_bytes[0] = 3);
	REFUSED(c.addr[0].prefix_bits = 33);
	REFUSED(c.addr[0].ip[12] = 224);
	REFUSED(c.addr[0].ip[12] = 0);
	REFUSED(c.addr[1].prefix_bits = 129);
	REFUSED(c.addr[1].ip[0] = 0xff);
	REFUSED(memset(c.addr[1].ip, 0, 16));
	REFUSED(c.gateway4[13] = 1);
	REFUSED(c.gateway4[15] = 1);
	REFUSED(c.gateway6[0] = 0xfc);
	REFUSED(memcpy(c.gateway6, c.gateway4, 16));
	REFUSED(c.udp_checksum = (enum kx_net_udp_checksum)3);
	c = good;
	c.base_port = 65532;
	assert_int_equal(kx_net_if_init(&nif, &c), 0);
	assert_true(kx_net_if_owns(&nif, good.addr[0].ip));
	assert_true(kx_net_if_owns(&nif, good.addr[1].ip));
	assert_false(kx_net_if_owns(&nif, good.gateway4));
	assert_false(kx_net_if_owns(&nif, good.gateway6));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_if_conf),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
