/* SPDX-License-Identifier: BSD-3-Clause */
/* Headers of frames that are sent: every field, and every checksum against an independent computation. */
#include "net_rig.h"

static struct rig r;
static uint8_t frame[10000], kxp[2000];

struct variant {
	bool v6;
	uint16_t vlan;
};
static const struct variant variants[] = {{false, 0}, {false, 77}, {true, 0}, {true, 77}};

static int setup_all(void **state)
{
	(void)state;
	rig_eal("netpath");
	for (unsigned int i = 0; i < sizeof(kxp); i++)
		kxp[i] = (uint8_t)(i * 13 + 5);
	return 0;
}

static void open_with(const struct variant *v, enum kx_net_udp_checksum policy, bool offload)
{
	struct kx_net_if_conf conf;

	rig_open(&r, v->vlan);
	conf = r.nif.conf;
	conf.port_id = 3;
	conf.udp_checksum = policy;
	conf.tx_udp_offload = offload;
	assert_int_equal(kx_net_if_init(&r.nif, &conf), 0);
}

/** A path to host 2, port 40000, from our port 9001. */
static void path_to_2(const struct variant *v, struct kx_path *path)
{
	struct rte_ether_addr mac = {{2, 0, 0, 0, 0, 2}};
	struct kx_addr a;

	assert_int_equal(kx_addr_parse(v->v6 ? "fd00::2" : "10.0.0.2", 40000, &a), 0);
	assert_int_equal(kx_net_neighbour_put(r.net, a.ip, &mac, 1000), 0);
	assert_int_equal(kx_net_path_to(r.net, &a, 9001, 1000, path), 0);
}

static unsigned int be16(const uint8_t *p)
{
	return (unsigned int)p[0] << 8 | p[1];
}

/** Check the frame in `m` byte for byte against one made by the book. */
static void check(const struct variant *v, const struct rte_mbuf *m, unsigned int bytes, bool udp_sum)
{
	struct rig_spec s = {.from = 1,
		.to = 2,
		.vlan = v->vlan != 0 ? v->vlan : -1,
		.v6 = v->v6,
		.proto = 17,
		.sport = 9001,
		.dport = 40000,
		.payload = kxp,
		.payload_bytes = bytes,
		.no_udp_sum = !udp_sum};
	unsigned int want = rig_frame(frame, &s), l3 = rig_l3(&s);
	static uint8_t flat[70000];
	const uint8_t *got;

	/* The rig's frames have another TTL and no DF. */
	frame[l3 + (v->v6 ? 7 : 8)] = 64;
	if (!v->v6)
		frame[l3 + 6] = 0x40;
	rig_resum(frame, &s);
	assert_int_equal(m->pkt_len, want);
	got = rte_pktmbuf_read(m, 0, m->pkt_len, flat);
	assert_memory_equal(got, frame, want);
	if (!v->v6)
		assert_int_equal(rig_ip4_sum(got + l3), 0xffff);
	if (udp_sum)
		assert_int_equal(rig_l4_sum(got + l3), 0xffff);
}

static struct rte_mbuf *filled(unsigned int bytes, uint8_t type)
{
	kxp[1] = type;
	return rig_mbuf(r.pool, kxp, bytes);
}

static void each_variant(void (*fn)(const struct variant *v))
{
	for (unsigned int i = 0; i < KX_DIM(variants); i++)
		fn(&variants[i]);
}

static const uint8_t types[] = {KX_HELLO, KX_HEARTBEAT, KX_PRODUCE_REFUSED, KX_PRODUCE, KX_DELIVER,
	KX_PRODUCE_FRAG, KX_DELIVER_FRAG, KX_RX_ACK, KX_CREDIT};

static bool covered(uint8_t type)
{
	return type == KX_PRODUCE || type == KX_DELIVER || type == KX_PRODUCE_FRAG || type == KX_DELIVER_FRAG;
}

static void software(const struct variant *v)
{
	for (unsigned int policy = KX_NET_UDP_AUTO; policy <= KX_NET_UDP_NEVER; policy++) {
		struct kx_path path;

		open_with(v, (enum kx_net_udp_checksum)policy, false);
		path_to_2(v, &path);
		assert_int_equal(path.port_id, 3);
		assert_int_equal(path.link_bytes, 42 + (v->v6 ? 20 : 0) + (v->vlan != 0 ? 4 : 0));
		assert_int_equal(path.datagram_bytes, v->v6 ? 1452 : 1472);
		for (unsigned int t = 0; t < sizeof(types); t++)
			for (unsigned int bytes = 32; bytes <= path.datagram_bytes; bytes += 71) {
				struct rte_mbuf *m = filled(bytes, types[t]);
				bool sum = v->v6 || policy == KX_NET_UDP_ALWAYS ||
					(policy == KX_NET_UDP_AUTO && !covered(types[t]));

				/* flags of an earlier life */
				m->ol_flags |= RTE_MBUF_F_TX_UDP_CKSUM | RTE_MBUF_F_RX_L4_CKSUM_GOOD;
				kx_net_prepend(&r.nif, &path, m);
				assert_int_equal(m->ol_flags, 0);
				check(v, m, bytes, sum);
				rte_pktmbuf_free(m);
			}
		rig_close(&r);
	}
}

static void test_software(void **state)
{
	(void)state;
	each_variant(software);
}

/* The one sum that comes out 0 is sent as 0xffff (RFC 768): found by trying all values of one word. */
static void zero_sum(const struct variant *v)
{
	unsigned int l4 = 14 + (v->v6 ? 40 : 20) + (v->vlan != 0 ? 4 : 0), hits = 0;
	struct kx_path path;

	open_with(v, KX_NET_UDP_ALWAYS, false);
	path_to_2(v, &path);
	for (unsigned int word = 0; word < 65536; word++) {
		struct rte_mbuf *m;
		const uint8_t *p;

		kxp[30] = (uint8_t)(word >> 8);
		kxp[31] = (uint8_t)word;
		m = filled(32, KX_RX_ACK);
		kx_net_prepend(&r.nif, &path, m);
		p = rte_pktmbuf_mtod(m, const uint8_t *);
		assert_int_not_equal(be16(p + l4 + 6), 0);
		if (be16(p + l4 + 6) == 0xffff) {
			hits++;
			assert_int_equal(rig_l4_sum(p + l4 - (v->v6 ? 40 : 20)), 0xffff);
		}
		rte_pktmbuf_free(m);
	}
	assert_true(hits >= 1);
	rig_close(&r);
}

static void test_zero_sum(void **state)
{
	(void)state;
	each_variant(zero_sum);
}

/* With offload the field holds the pseudo header's sum and the mbuf says where things are. */
static void offload(const struct variant *v)
{
	struct kx_path path;

	open_with(v, KX_NET_UDP_AUTO, true);
	path_to_2(v, &path);
	for (unsigned int t = 0; t < sizeof(types); t++) {
		struct rte_mbuf *m = filled(555, types[t]);
		unsigned int l2 = v->vlan != 0 ? 18 : 14, l3 = v->v6 ? 40 : 20, sum = 0;
		uint8_t *p;

		kx_net_prepend(&r.nif, &path, m);
		assert_int_equal(m->l2_len, l2);
		assert_int_equal(m->l3_len, l3);
		assert_int_equal(m->ol_flags,
			RTE_MBUF_F_TX_UDP_CKSUM | (v->v6 ? RTE_MBUF_F_TX_IPV6 : RTE_MBUF_F_TX_IPV4));
		p = rte_pktmbuf_mtod(m, uint8_t *);
		/* What the port does: sum from the UDP header to the end, the field as it stands included. */
		for (unsigned int i = l2 + l3; i < m->data_len; i++)
			sum += ((i - l2 - l3) & 1) != 0 ? p[i] : (unsigned int)p[i] << 8;
		while (sum > 0xffff)
			sum = (sum & 0xffff) + (sum >> 16);
		sum ^= 0xffff;
		p[l2 + l3 + 6] = (uint8_t)(sum >> 8);
		p[l2 + l3 + 7] = (uint8_t)sum;
		check(v, m, 555, true);
		rte_pktmbuf_free(m);
	}
	rig_close(&r);
}

static void test_offload(void **state)
{
	(void)state;
	each_variant(offload);
}

/* A received frame goes on under headers longer or shorter than its own. */
static void forward(const struct variant *v)
{
	static const struct variant from[] = {{false, 0}, {true, 0}};

	for (unsigned int i = 0; i < KX_DIM(from); i++) {
		struct rig_spec s = {.from = 9,
			.to = 1,
			.vlan = v->vlan != 0 ? v->vlan : -1,
			.v6 = from[i].v6,
			.proto = 17,
			.sport = 77,
			.dport = 9003,
			.payload = kxp,
			.payload_bytes = 700};
		struct kx_path path;
		struct rte_mbuf *m;
		struct kx_frame f;

		open_with(v, KX_NET_UDP_AUTO, false);
		path_to_2(v, &path);
		kxp[1] = KX_DELIVER;
		m = rig_mbuf(r.pool, frame, rig_frame(frame, &s));
		assert_int_equal(rig_rx(&r, m, &f), 1);
		assert_int_equal(f.flags, KX_FRAME_OWNED);
		assert_ptr_equal(kx_net_forward(&r.nif, &path, &f, 640), m);
		check(v, m, 640, v->v6);
		rte_pktmbuf_free(m);
		r.ledger.handled++;
		rig_close(&r);
	}
}

static void test_forward(void **state)
{
	(void)state;
	each_variant(forward);
}

/* The way back: everything turned around, and what is sent on it arrives. */
static void way_back(const struct variant *v)
{
	struct rig_spec s = {.from = 2,
		.to = 1,
		.vlan = v->vlan != 0 ? v->vlan : -1,
		.v6 = v->v6,
		.proto = 17,
		.sport = 40000,
		.dport = 9001,
		.payload = kxp,
		.payload_bytes = 64};
	struct kx_path back, to;
	struct rte_mbuf *m;
	struct kx_frame f;

	open_with(v, KX_NET_UDP_ALWAYS, false);
	assert_int_equal(rig_rx(&r, rig_mbuf(r.pool, frame, rig_frame(frame, &s)), &f), 1);
	assert_int_equal(kx_net_path_of(r.net, &f, &back), 0);
	path_to_2(v, &to);
	assert_memory_equal(&back, &to, sizeof(to));
	m = filled(64, KX_RX_ACK);
	kx_net_prepend(&r.nif, &back, m);
	check(v, m, 64, true);
	rte_pktmbuf_free(m);
	rte_pktmbuf_free(f.buf);
	r.ledger.handled++;
	rig_close(&r);
}

static void test_way_back(void **state)
{
	(void)state;
	each_variant(way_back);
}

struct counted_pin {
	struct kx_pin pin;
	unsigned int released;
};

static void released(struct kx_pin *pin)
{
	((struct counted_pin *)pin)->released++;
}

/* Log memory sent in place: right bytes, right checksums over both buffers, released once. */
static void slices(const struct variant *v)
{
	const unsigned int splits[] = {32, 33, 40, 401};

	for (unsigned int i = 0; i < KX_DIM(splits); i++) {
		struct counted_pin pin = {.pin = {.release = released}};
		struct rte_mbuf *head, *ext;
		struct kx_net_slice slice;
		struct kx_path path;

		open_with(v, i % 2 == 0 ? KX_NET_UDP_ALWAYS : KX_NET_UDP_AUTO, false);
		path_to_2(v, &path);
		head = filled(splits[i], KX_DELIVER);
		ext = rte_pktmbuf_alloc(r.pool);
		assert_int_equal(
			kx_net_attach_slice(head, ext, &slice, &pin.pin, kxp + splits[i], 4096, 70000),
			-EMSGSIZE);
		assert_int_equal(kx_net_attach_slice(head, ext, &slice, &pin.pin, kxp + splits[i], 4096,
					 1200 - splits[i]),
			0);
		assert_int_equal(head->nb_segs, 2);
		assert_int_equal(rte_mbuf_iova_get(ext), 4096);
		kx_net_prepend(&r.nif, &path, head);
		check(v, head, 1200, v->v6 || i % 2 == 0);
		assert_int_equal(pin.released, 0);
		rte_pktmbuf_free(head);
		assert_int_equal(pin.released, 1);
		rig_close(&r);
	}
}

static void test_slices(void **state)
{
	(void)state;
	each_variant(slices);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_software),
		cmocka_unit_test(test_zero_sum),
		cmocka_unit_test(test_offload),
		cmocka_unit_test(test_forward),
		cmocka_unit_test(test_way_back),
		cmocka_unit_test(test_slices),
	};

	return cmocka_run_group_tests(tests, setup_all, NULL);
}
