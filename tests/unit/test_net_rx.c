/* SPDX-License-Identifier: BSD-3-Clause */
/* What lib/net takes and what it refuses, each reason by name. */
#include "net_rig.h"

static struct rig r;
static uint8_t frame[10000], payload[9000];

static int setup_all(void **state)
{
	(void)state;
	rig_eal("netrx");
	for (unsigned int i = 0; i < sizeof(payload); i++)
		payload[i] = (uint8_t)(i * 7 + 1);
	return 0;
}

static int setup(void **state)
{
	(void)state;
	rig_open(&r, 0);
	return 0;
}

static int setup_vlan(void **state)
{
	(void)state;
	rig_open(&r, 77);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	assert_int_equal(kx_ledger_rx_open(&r.ledger), 0);
	rig_close(&r);
	return 0;
}

/* The four kinds of good datagram. */
static struct rig_spec udp(bool v6, int vlan)
{
	return (struct rig_spec){.from = 2,
		.to = 1,
		.vlan = vlan,
		.v6 = v6,
		.proto = 17,
		.sport = 40000,
		.dport = 9002,
		.payload = payload,
		.payload_bytes = 101};
}

static void takes(const struct rig_spec *s, unsigned int bytes, unsigned int padding)
{
	struct rte_mbuf *m;
	struct kx_frame f;

	memset(frame + bytes, 0, padding);
	m = rig_mbuf(r.pool, frame, bytes + padding);
	assert_int_equal(rig_rx(&r, m, &f), 1);
	assert_ptr_equal(f.buf, m);
	assert_int_equal(f.bytes, s->payload_bytes);
	assert_memory_equal(f.data, payload, s->payload_bytes);
	assert_int_equal(f.remote.port, s->sport);
	assert_int_equal(f.local_port, s->dport);
	assert_int_equal(kx_addr_is_v4(&f.remote), !s->v6);
	assert_int_equal(f.remote.ip[15], s->from);
	assert_int_equal(f.flags, KX_FRAME_OWNED);
	assert_int_equal(f.rx_ns, 1000);
	kx_count(&r.ledger.handled, 1);
	rte_pktmbuf_free(m);
}

static void test_takes(void **state)
{
	int vlan = r.nif.conf.vlan_id != 0 ? 0x6000 | r.nif.conf.vlan_id : -1;

	(void)state;
	for (int v6 = 0; v6 < 2; v6++) {
		for (unsigned int bytes = 0; bytes < 1452; bytes += 121) {
			struct rig_spec s = udp(v6, vlan);

			s.payload_bytes = bytes;
			takes(&s, rig_frame(frame, &s), 0);
			takes(&s, rig_frame(frame, &s), 18);
			s.no_udp_sum = !v6;
			takes(&s, rig_frame(frame, &s), 0);
			/* A priority tag is as good as none; on a VLAN port any priority of it is. */
			s.vlan = r.nif.conf.vlan_id != 0 ? r.nif.conf.vlan_id : 0xa000;
			takes(&s, rig_frame(frame, &s), 0);
		}
	}
	assert_int_equal(kx_ledger_rx_dropped(&r.ledger), 0);
}

/* A burst keeps its order, whichever path each frame takes. */
static void test_burst(void **state)
{
	struct rte_mbuf *m[40];
	struct kx_frame f[40];
	unsigned int n;

	(void)state;
	for (unsigned int i = 0; i < 40; i++) {
		struct rig_spec s = udp(i % 3 == 1, -1);

		s.sport = (uint16_t)(1000 + i);
		if (i % 5 == 4)
			s.dport = 80;
		m[i] = rig_mbuf(r.pool, frame, rig_frame(frame, &s));
	}
	n = kx_net_rx(r.net, m, 40, 5, f);
	assert_int_equal(n, 32);
	for (unsigned int i = 0, k = 0; i < 40; i++)
		if (i % 5 != 4)
			assert_int_equal(f[k++].remote.port, 1000 + i);
	assert_int_equal(r.ledger.drop[KX_DROP_UDP_PORT], 8);
	r.ledger.handled += n;
	for (unsigned int i = 0; i < n; i++)
		rte_pktmbuf_free(f[i].buf);
}

/* Cut at every byte: never taken, never a read outside. */
static void test_truncated(void **state)
{
	int vlan = r.nif.conf.vlan_id != 0 ? r.nif.conf.vlan_id : -1;
	struct kx_frame f;

	(void)state;
	for (int kind = 0; kind < 3; kind++) {
		bool v6 = kind == 1;
		struct rig_spec s = udp(v6, vlan);
		unsigned int bytes, l3 = rig_l3(&s);

		s.no_udp_sum = kind == 2; /* nothing but the lengths tells */
		bytes = rig_frame(frame, &s);

		for (unsigned int len = 0; len < bytes; len++) {
			if (len < 14)
				rig_drops(&r, frame, len, KX_DROP_ETH_SHORT);
			else if (len < l3)
				rig_drops(&r, frame, len, KX_DROP_ETH_SHORT);
			else
				rig_drops(&r, frame, len, v6 ? KX_DROP_IP6_SHORT : KX_DROP_IP4_SHORT);
		}
		assert_int_equal(rig_rx(&r, rig_exact(r.pool, frame, bytes), &f), 1);
		assert_int_equal(f.flags, 0); /* not our buffer: may not be rewritten */
		rte_pktmbuf_free(f.buf);
		r.ledger.handled++;
	}
}

/* The lengths inside say too little or too much, at every value near the truth. */
static void test_lying_lengths(void **state)
{
	(void)state;
	for (int v6 = 0; v6 < 2; v6++) {
		struct rig_spec s = udp(v6, -1);
		unsigned int bytes = rig_frame(frame, &s), l3 = rig_l3(&s), at = l3 + (v6 ? 4 : 2);
		unsigned int l4 = l3 + (v6 ? 40 : 20), total = bytes - l3 - (v6 ? 40 : 0);

		for (unsigned int v = 0; v < total + 20; v++) {
			enum kx_drop want = v6 ? KX_DROP_IP6_SHORT : KX_DROP_IP4_SHORT;

			if (v == total)
				continue;
			if (v < total && v >= (v6 ? 0 : 20))
				want = KX_DROP_UDP_SHORT;
			frame[at] = (uint8_t)(v >> 8);
			frame[at + 1] = (uint8_t)v;
			if (!v6) {
				uint16_t sum;

				frame[l3 + 10] = frame[l3 + 11] = 0;
				sum = (uint16_t)~rig_ip4_sum(frame + l3);
				frame[l3 + 10] = (uint8_t)(sum >> 8);
				frame[l3 + 11] = (uint8_t)sum;
			}
			rig_drops(&r, frame, bytes, want);
		}
		rig_frame(frame, &s);
		for (unsigned int v = 0; v < 130; v++) {
			if (v == s.payload_bytes + 8)
				continue;
			frame[l4 + 4] = 0;
			frame[l4 + 5] = (uint8_t)v;
			rig_drops(&r, frame, bytes, KX_DROP_UDP_SHORT);
		}
	}
}

static void test_ethernet(void **state)
{
	struct rig_spec s = udp(false, -1);
	unsigned int bytes = rig_frame(frame, &s);

	(void)state;
	frame[5] = 9;
	rig_drops(&r, frame, bytes, KX_DROP_ETH_NOT_FOR_US);
	memset(frame, 0xff, 6); /* our unicast address by broadcast */
	rig_drops(&r, frame, bytes, KX_DROP_ETH_NOT_FOR_US);
	bytes = rig_frame(frame, &s);
	frame[6] |= 1;
	rig_drops(&r, frame, bytes, KX_DROP_ETH_SOURCE);
	bytes = rig_frame(frame, &s);
	frame[12] = 0x88;
	frame[13] = 0xcc;
	rig_drops(&r, frame, bytes, KX_DROP_ETH_TYPE);
	s.vlan = 5;
	bytes = rig_frame(frame, &s);
	rig_drops(&r, frame, bytes, KX_DROP_VLAN);
	s.vlan = 0;
	bytes = rig_frame(frame, &s);
	frame[16] = 0x81; /* a second tag */
	frame[17] = 0x00;
	rig_drops(&r, frame, bytes, KX_DROP_ETH_TYPE);
	s = udp(true, -1);
	bytes = rig_frame(frame, &s);
	memcpy(frame, (uint8_t[6]){0x33, 0x33, 0, 0, 0, 1}, 6);
	rig_drops(&r, frame, bytes, KX_DROP_ETH_NOT_FOR_US);
}

static void test_wrong_vlan(void **state)
{
	const int wrong[] = {-1, 0, 76, 78, 0x0fff};

	(void)state;
	for (unsigned int i = 0; i < KX_DIM(wrong); i++)
		for (int v6 = 0; v6 < 2; v6++) {
			struct rig_spec s = udp(v6, wrong[i]);

			rig_drops(&r, frame, rig_frame(frame, &s), KX_DROP_VLAN);
		}
}

static void ip4_byte(unsigned int at, uint8_t value, enum kx_drop reason)
{
	struct rig_spec s = udp(false, -1);
	unsigned int bytes = rig_frame(frame, &s);

	frame[14 + at] = value;
	rig_resum(frame, &s);
	rig_drops(&r, frame, bytes, reason);
}

static void test_ip4(void **state)
{
	struct rig_spec s = udp(false, -1);
	unsigned int bytes;

	(void)state;
	ip4_byte(0, 0x55, KX_DROP_IP4_HEADER);
	ip4_byte(0, 0x44, KX_DROP_IP4_HEADER);
	for (unsigned int ihl = 6; ihl <= 15; ihl++)
		ip4_byte(0, (uint8_t)(0x40 | ihl), KX_DROP_IP4_OPTIONS);
	ip4_byte(6, 0x20, KX_DROP_IP4_FRAGMENT); /* more fragments */
	ip4_byte(6, 0x1f, KX_DROP_IP4_FRAGMENT);
	ip4_byte(7, 0x01, KX_DROP_IP4_FRAGMENT); /* offset 8 */
	ip4_byte(9, 6, KX_DROP_IP_PROTOCOL);
	ip4_byte(19, 9, KX_DROP_IP4_NOT_FOR_US);
	ip4_byte(16, 255, KX_DROP_IP4_NOT_FOR_US);
	ip4_byte(12, 224, KX_DROP_IP4_SOURCE);
	ip4_byte(12, 255, KX_DROP_IP4_SOURCE);
	ip4_byte(12, 127, KX_DROP_IP4_SOURCE);
	ip4_byte(12, 0, KX_DROP_IP4_SOURCE);
	ip4_byte(15, 1, KX_DROP_IP4_SOURCE);	   /* our own */
	for (unsigned int at = 0; at < 20; at++) { /* any one bit wrong: the checksum, or what it says */
		struct kx_frame f;

		bytes = rig_frame(frame, &s);
		frame[14 + at] ^= 0x10;
		assert_int_equal(rig_rx(&r, rig_exact(r.pool, frame, bytes), &f), 0);
	}
	bytes = rig_frame(frame, &s);
	frame[14 + 10] ^= 1;
	rig_drops(&r, frame, bytes, KX_DROP_IP4_HEADER);
	frame[14] = 0x4f; /* options beyond the frame */
	rig_drops(&r, frame, 14 + 59, KX_DROP_IP4_SHORT);
}

static void ip6_byte(unsigned int at, uint8_t value, enum kx_drop reason)
{
	struct rig_spec s = udp(true, -1);
	unsigned int bytes = rig_frame(frame, &s);

	frame[14 + at] = value;
	rig_drops(&r, frame, bytes, reason);
}

static void test_ip6(void **state)
{
	const uint8_t extensions[] = {0, 43, 50, 51, 59, 60, 135, 139, 140};
	struct rig_spec s = udp(true, -1);
	unsigned int bytes;

	(void)state;
	ip6_byte(0, 0x40, KX_DROP_IP6_HEADER);
	ip6_byte(6, 44, KX_DROP_IP6_FRAGMENT);
	for (unsigned int i = 0; i < sizeof(extensions); i++)
		ip6_byte(6, extensions[i], KX_DROP_IP6_EXTENSION);
	ip6_byte(6, 6, KX_DROP_IP_PROTOCOL);
	ip6_byte(39, 9, KX_DROP_IP6_NOT_FOR_US);
	ip6_byte(8, 0xff, KX_DROP_IP6_SOURCE);
	ip6_byte(23, 1, KX_DROP_IP6_SOURCE); /* our own */
	bytes = rig_frame(frame, &s);
	memset(frame + 14 + 8, 0, 16); /* unspecified */
	rig_drops(&r, frame, bytes, KX_DROP_IP6_SOURCE);
	frame[14 + 8 + 15] = 1; /* loopback */
	rig_drops(&r, frame, bytes, KX_DROP_IP6_SOURCE);
	memset(frame + 14 + 8 + 10, 0xff, 2); /* IPv4-mapped */
	rig_drops(&r, frame, bytes, KX_DROP_IP6_SOURCE);
	bytes = rig_frame(frame, &s); /* a datagram to all nodes */
	memset(frame + 14 + 24, 0, 16);
	memcpy(frame + 14 + 24, (uint8_t[2]){0xff, 0x02}, 2);
	frame[14 + 39] = 1;
	rig_drops(&r, frame, bytes, KX_DROP_IP6_NOT_FOR_US);
}

static void test_udp(void **state)
{
	const uint16_t ports[] = {0, 8999, 9004, 65535};

	(void)state;
	for (int v6 = 0; v6 < 2; v6++) {
		struct rig_spec s = udp(v6, -1);
		unsigned int bytes, l4 = 14 + (v6 ? 40 : 20);

		for (unsigned int i = 0; i < KX_DIM(ports); i++) {
			s.dport = ports[i];
			rig_drops(&r, frame, rig_frame(frame, &s), KX_DROP_UDP_PORT);
		}
		s = udp(v6, -1);
		s.sport = 0;
		rig_drops(&r, frame, rig_frame(frame, &s), KX_DROP_UDP_PORT);
		s = udp(v6, -1);
		for (unsigned int bit = 0; bit < s.payload_bytes * 8; bit += 13) {
			bytes = rig_frame(frame, &s);
			frame[l4 + 8 + bit / 8] ^= (uint8_t)(1u << (bit % 8));
			rig_drops(&r, frame, bytes, KX_DROP_UDP_CHECKSUM);
		}
		bytes = rig_frame(frame, &s);
		frame[l4 + 6] ^= 1;
		rig_drops(&r, frame, bytes, KX_DROP_UDP_CHECKSUM);
	}
	struct rig_spec s = udp(true, -1);
	s.no_udp_sum = true;
	rig_drops(&r, frame, rig_frame(frame, &s), KX_DROP_UDP_CHECKSUM);
}

/* The port's verdict is believed, and asked for no second time. */
static void test_port_verdict(void **state)
{
	(void)state;
	for (int v6 = 0; v6 < 2; v6++) {
		struct rig_spec s = udp(v6, -1);
		unsigned int bytes = rig_frame(frame, &s);
		struct rte_mbuf *m = rig_mbuf(r.pool, frame, bytes);
		struct kx_frame f;

		m->ol_flags |= RTE_MBUF_F_RX_L4_CKSUM_BAD;
		assert_int_equal(rig_rx(&r, m, &f), 0);
		frame[bytes - 1] ^= 1;
		m = rig_mbuf(r.pool, frame, bytes);
		m->ol_flags |= RTE_MBUF_F_RX_L4_CKSUM_GOOD;
		assert_int_equal(rig_rx(&r, m, &f), 1);
		rte_pktmbuf_free(m);
		m = rig_mbuf(r.pool, frame, bytes);
		m->ol_flags |= RTE_MBUF_F_RX_L4_CKSUM_NONE;
		assert_int_equal(rig_rx(&r, m, &f), 0);
		r.ledger.handled++;
	}
	assert_int_equal(r.ledger.drop[KX_DROP_UDP_CHECKSUM], 4);
}

/* The own address that is not the first, and a port without IPv4. */
static void test_other_addresses(void **state)
{
	struct kx_net_if_conf conf;
	struct rig_spec s;
	struct rte_mbuf *m;
	struct kx_frame f;

	(void)state;
	rig_conf(&conf, 1);
	conf.addr[2] = conf.addr[0];
	conf.addr[2].ip[15] = 11;
	conf.addr_count = 3;
	assert_int_equal(kx_net_if_init(&r.nif, &conf), 0);
	s = udp(false, -1);
	s.to = 11;
	rig_frame(frame, &s);
	frame[5] = 1;
	m = rig_mbuf(r.pool, frame, rig_frame(frame, &s));
	rte_pktmbuf_mtod(m, uint8_t *)[5] = 1;
	assert_int_equal(rig_rx(&r, m, &f), 1);
	rte_pktmbuf_free(m);
	r.ledger.handled++;
	s = udp(false, -1);
	s.from = 11; /* from one of our own */
	rig_drops(&r, frame, rig_frame(frame, &s), KX_DROP_IP4_SOURCE);
	conf.addr[0] = conf.addr[1];
	conf.addr_count = 1;
	memset(conf.gateway4, 0, 16);
	assert_int_equal(kx_net_if_init(&r.nif, &conf), 0);
	s = udp(false, -1);
	rig_drops(&r, frame, rig_frame(frame, &s), KX_DROP_IP4_NOT_FOR_US);
	rig_frame(frame, &s);
	memset(frame + 14 + 16, 0, 4); /* to 0.0.0.0: not the "no address" of the port */
	rig_resum(frame, &s);
	rig_drops(&r, frame, 14 + 28 + s.payload_bytes, KX_DROP_IP4_NOT_FOR_US);
}

/** A frame in pieces of `piece` bytes, from buffers of their own. */
static struct rte_mbuf *pieces(const uint8_t *p, unsigned int bytes, unsigned int piece)
{
	struct rte_mbuf *head = NULL;

	for (unsigned int at = 0; at < bytes; at += piece) {
		struct rte_mbuf *m = rig_mbuf(r.pool, p + at, KX_MIN(piece, bytes - at));

		if (head == NULL)
			head = m;
		else
			assert_int_equal(rte_pktmbuf_chain(head, m), 0);
	}
	return head;
}

static void test_segments(void **state)
{
	struct rig_spec s = udp(false, -1);
	unsigned int bytes;
	struct kx_frame f;

	(void)state;
	s.payload_bytes = 1400;
	bytes = rig_frame(frame, &s);
	assert_int_equal(rig_rx(&r, pieces(frame, bytes, 300), &f), 1);
	assert_int_equal(f.bytes, 1400);
	assert_memory_equal(f.data, payload, 1400);
	assert_int_equal(f.flags, KX_FRAME_OWNED);
	rte_pktmbuf_free(f.buf);
	r.ledger.handled++;
	s.payload_bytes = 4000; /* more than one buffer holds */
	bytes = rig_frame(frame, &s);
	assert_int_equal(rig_rx(&r, pieces(frame, bytes, 2000), &f), 0);
	assert_int_equal(r.ledger.drop[KX_DROP_NET_SEGMENTED], 1);
}

static void test_jumbo(void **state)
{
	struct rte_mempool *pool = rig_pool("jumbo", 15, 9216 + RTE_PKTMBUF_HEADROOM);
	struct rig_spec s = udp(false, -1);
	struct kx_frame f;

	(void)state;
	s.payload_bytes = 8900;
	for (int v6 = 0; v6 < 2; v6++) {
		s.v6 = v6;
		assert_int_equal(rig_rx(&r, rig_mbuf(pool, frame, rig_frame(frame, &s)), &f), 1);
		assert_int_equal(f.bytes, 8900);
		assert_memory_equal(f.data, payload, 8900);
		rte_pktmbuf_free(f.buf);
		r.ledger.handled++;
	}
	rte_mempool_free(pool);
}

/* Random bytes behind a plausible start: nothing crashes, everything is accounted for. */
static void test_noise(void **state)
{
	struct kx_prng prng;
	struct kx_frame f;

	(void)state;
	kx_prng_seed(&prng, 42);
	for (unsigned int i = 0; i < 20000; i++) {
		struct rig_spec s = udp(i & 1, (i & 2) ? 0 : -1);
		unsigned int bytes = rig_frame(frame, &s), changes = (unsigned int)kx_prng_below(&prng, 4);

		for (unsigned int k = 0; k < changes; k++)
			frame[kx_prng_below(&prng, KX_MIN(bytes, 70u))] = (uint8_t)kx_prng_next(&prng);
		bytes = (unsigned int)kx_prng_below(&prng, bytes + 1);
		if (rig_rx(&r, rig_exact(r.pool, frame, bytes), &f) == 1) {
			assert_true(f.data + f.bytes <=
				rte_pktmbuf_mtod((struct rte_mbuf *)f.buf, uint8_t *) + bytes);
			rte_pktmbuf_free(f.buf);
			r.ledger.handled++;
		}
		struct rte_mbuf *m;
		while (kx_net_take(r.net, &m, 1) == 1)
			rte_pktmbuf_free(m);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_takes, setup, teardown),
		{"test_takes_vlan", test_takes, setup_vlan, teardown, NULL},
		cmocka_unit_test_setup_teardown(test_burst, setup, teardown),
		cmocka_unit_test_setup_teardown(test_truncated, setup, teardown),
		{"test_truncated_vlan", test_truncated, setup_vlan, teardown, NULL},
		cmocka_unit_test_setup_teardown(test_lying_lengths, setup, teardown),
		cmocka_unit_test_setup_teardown(test_ethernet, setup, teardown),
		cmocka_unit_test_setup_teardown(test_wrong_vlan, setup_vlan, teardown),
		cmocka_unit_test_setup_teardown(test_ip4, setup, teardown),
		cmocka_unit_test_setup_teardown(test_ip6, setup, teardown),
		cmocka_unit_test_setup_teardown(test_udp, setup, teardown),
		cmocka_unit_test_setup_teardown(test_port_verdict, setup, teardown),
		cmocka_unit_test_setup_teardown(test_other_addresses, setup, teardown),
		cmocka_unit_test_setup_teardown(test_segments, setup, teardown),
		cmocka_unit_test_setup_teardown(test_jumbo, setup, teardown),
		cmocka_unit_test_setup_teardown(test_noise, setup, teardown),
	};

	return cmocka_run_group_tests(tests, setup_all, NULL);
}
