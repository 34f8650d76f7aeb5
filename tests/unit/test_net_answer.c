/* SPDX-License-Identifier: BSD-3-Clause */
/* ARP, neighbour discovery and echo: what is answered, what is learned, what is refused; resolving
 * neighbours. */
#include "net_rig.h"

#define S KX_NS_PER_S

static struct rig r;
static uint8_t frame[10000];

static int setup_all(void **state)
{
	(void)state;
	rig_eal("netanswer");
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

static int vlan_of(void)
{
	return r.nif.conf.vlan_id != 0 ? r.nif.conf.vlan_id : -1;
}

/** The one frame that net wants to send now. */
static struct rte_mbuf *taken(void)
{
	struct rte_mbuf *m[2];

	assert_int_equal(kx_net_waiting(r.net), 1);
	assert_int_equal(kx_net_take(r.net, m, 2), 1);
	assert_int_equal(m[0]->nb_segs, 1);
	assert_int_equal(m[0]->pkt_len, m[0]->data_len);
	assert_int_equal(m[0]->ol_flags, 0);
	return m[0];
}

/** Give a frame; exactly one answer, not larger, goes back to host `to`. */
static const uint8_t *answer(unsigned int bytes, uint8_t to, struct rte_mbuf **m)
{
	struct kx_frame f;
	const uint8_t *p;
	uint64_t handled = r.ledger.handled;

	assert_int_equal(rig_rx(&r, rig_mbuf(r.pool, frame, bytes), &f), 0);
	assert_int_equal(r.ledger.handled, handled + 1);
	*m = taken();
	p = rte_pktmbuf_mtod(*m, const uint8_t *);
	assert_true((*m)->pkt_len <= bytes);
	assert_memory_equal(p + 6, &r.nif.conf.mac, 6);
	if (to != 0) {
		assert_int_equal(p[0], 2);
		assert_int_equal(p[5], to);
	}
	if (vlan_of() >= 0) {
		assert_int_equal(p[12] << 8 | p[13], 0x8100);
		assert_int_equal(p[14] << 8 | p[15], vlan_of());
	}
	return p;
}

/** Give a frame; handled or dropped without an answer. */
static void no_answer(unsigned int bytes, bool handled)
{
	uint64_t was = r.ledger.handled;
	struct kx_frame f;

	assert_int_equal(rig_rx(&r, rig_exact(r.pool, frame, bytes), &f), 0);
	assert_int_equal(r.ledger.handled, was + handled);
	assert_int_equal(kx_net_waiting(r.net), 0);
}

static void address(struct kx_addr *a, bool v6, uint8_t id)
{
	memset(a, 0, sizeof(*a));
	if (v6)
		a->ip[0] = 0xfd;
	else
		a->ip[10] = a->ip[11] = 0xff, a->ip[12] = 10;
	a->ip[15] = id;
	a->port = 9000;
}

/** Is host `id` known, without asking it? */
static int known(bool v6, uint8_t id, uint64_t now_ns)
{
	struct kx_path path;
	struct kx_addr a;
	struct rte_mbuf *m;
	int err;

	address(&a, v6, id);
	err = kx_net_path_to(r.net, &a, 9000, now_ns, &path);
	while (kx_net_take(r.net, &m, 1) == 1)
		rte_pktmbuf_free(m);
	return err;
}

/* ---- ARP */

static void test_arp_answers(void **state)
{
	const uint8_t *p, *arp;
	struct rte_mbuf *m;

	(void)state;
	for (unsigned int padding = 0; padding <= 18; padding += 18) {
		unsigned int bytes = rig_arp(frame, 2, 1, 1, vlan_of());

		memset(frame + bytes, 0, padding);
		p = answer(bytes + padding, 2, &m);
		assert_int_equal(m->pkt_len, bytes);
		arp = p + bytes - 28;
		assert_memory_equal(arp, ((uint8_t[8]){0, 1, 8, 0, 6, 4, 0, 2}), 8);
		assert_memory_equal(arp + 8, &r.nif.conf.mac, 6);
		assert_memory_equal(arp + 14, ((uint8_t[4]){10, 0, 0, 1}), 4);
		assert_memory_equal(arp + 18, ((uint8_t[10]){2, 0, 0, 0, 0, 2, 10, 0, 0, 2}), 10);
		rte_pktmbuf_free(m);
	}
	assert_int_equal(known(false, 2, 1000), 0);
}

static void test_arp_probe(void **state)
{
	unsigned int bytes = rig_arp(frame, 2, 1, 1, -1);
	struct rte_mbuf *m;

	(void)state;
	memset(frame + 14 + 14, 0, 4); /* RFC 5227: who has it? from 0.0.0.0 */
	answer(bytes, 2, &m);
	rte_pktmbuf_free(m);
	assert_int_equal(known(false, 2, 1000), -EAGAIN);
}

static void arp_byte(unsigned int at, uint8_t value)
{
	unsigned int bytes = rig_arp(frame, 2, 1, 1, -1);

	frame[14 + at] = value;
	rig_drops(&r, frame, bytes, KX_DROP_ARP_BAD);
}

static void test_arp_bad(void **state)
{
	unsigned int bytes = rig_arp(frame, 2, 1, 1, -1);

	(void)state;
	for (unsigned int len = 14; len < bytes; len++)
		rig_drops(&r, frame, len, KX_DROP_ARP_BAD);
	arp_byte(1, 6);	   /* hardware type */
	arp_byte(2, 0x86); /* protocol */
	arp_byte(4, 8);
	arp_byte(5, 16);
	arp_byte(7, 3);	    /* operation */
	arp_byte(8, 1);	    /* multicast sender MAC */
	arp_byte(14, 224);  /* multicast sender */
	arp_byte(17, 1);    /* our own address as sender */
	arp_byte(27, 9);    /* for somebody else */
	arp_byte(14, 0xff); /* 255.0.0.2 */
	bytes = rig_arp(frame, 2, 1, 2, -1);
	frame[14 + 27] = 9;
	rig_drops(&r, frame, bytes, KX_DROP_ARP_BAD);
	assert_int_equal(kx_net_waiting(r.net), 0);
}

/* Answers nobody asked for teach nothing; off-link senders neither; a known neighbour may move. */
static void test_arp_learns(void **state)
{
	unsigned int bytes = rig_arp(frame, 3, 1, 2, -1);
	struct kx_path path;
	struct kx_addr a;
	struct rte_mbuf *m;

	(void)state;
	no_answer(bytes, true);
	assert_int_equal(known(false, 3, 1000), -EAGAIN);
	no_answer(bytes, true);
	assert_int_equal(known(false, 3, 2000), 0);
	bytes = rig_arp(frame, 3, 3, 1, -1); /* gratuitous, from a new MAC */
	frame[6 + 4] = frame[14 + 8 + 4] = 0x77;
	no_answer(bytes, true);
	address(&a, false, 3);
	assert_int_equal(kx_net_path_to(r.net, &a, 9000, 3000, &path), 0);
	assert_int_equal(path.link[4], 0x77);
	bytes = rig_arp(frame, 4, 1, 1, -1); /* from another network */
	frame[14 + 14] = 11;
	answer(bytes, 4, &m);
	rte_pktmbuf_free(m);
	assert_int_equal(known(false, 4, 4000), -EAGAIN);
}

/* ---- echo */

static struct rig_spec echo(bool v6, uint8_t *message, unsigned int bytes)
{
	memset(message, 0xa7, bytes);
	memset(message, 0, 8);
	message[0] = v6 ? 128 : 8;
	message[5] = 9;
	message[7] = 3;
	return (struct rig_spec){.from = 2,
		.to = 1,
		.vlan = vlan_of(),
		.v6 = v6,
		.proto = v6 ? 58 : 1,
		.payload = message,
		.payload_bytes = bytes};
}

static void test_echo(void **state)
{
	static uint8_t message[2000];
	const unsigned int sizes[] = {8, 9, 64, 500, 1001, 1460};

	(void)state;
	for (int v6 = 0; v6 < 2; v6++) {
		for (unsigned int i = 0; i < KX_DIM(sizes); i++) {
			struct rig_spec s = echo(v6, message, sizes[i]);
			unsigned int bytes = rig_frame(frame, &s), l3 = rig_l3(&s);
			struct rte_mbuf *m;
			const uint8_t *p, *ip;

			memset(frame + bytes, 0, 18);
			p = answer(bytes + 18, 2, &m);
			ip = p + l3;
			assert_int_equal(m->pkt_len, bytes);
			if (!v6)
				assert_int_equal(rig_ip4_sum(ip), 0xffff);
			assert_int_equal(rig_l4_sum(ip), 0xffff);
			assert_memory_equal(ip + (v6 ? 8 : 12), frame + l3 + (v6 ? 24 : 16), v6 ? 16 : 4);
			assert_memory_equal(ip + (v6 ? 24 : 16), frame + l3 + (v6 ? 8 : 12), v6 ? 16 : 4);
			assert_int_equal(ip[v6 ? 7 : 8], 64);
			assert_int_equal(ip[v6 ? 40 : 20], v6 ? 129 : 0);
			assert_memory_equal(ip + (v6 ? 44 : 24), message + 4, sizes[i] - 4);
			rte_pktmbuf_free(m);
		}
	}
}

/* A request in a buffer that is not ours to write is answered from another one. */
static void test_echo_shared(void **state)
{
	uint8_t message[64];
	struct rig_spec s = echo(false, message, sizeof(message));
	unsigned int bytes = rig_frame(frame, &s);
	struct rte_mbuf *m = rig_mbuf(r.pool, frame, bytes), *reply;
	struct kx_frame f;

	(void)state;
	rte_mbuf_refcnt_update(m, 1);
	assert_int_equal(rig_rx(&r, m, &f), 0);
	reply = taken();
	assert_ptr_not_equal(reply, m);
	assert_memory_equal(rte_pktmbuf_mtod(m, uint8_t *), frame, bytes);
	assert_int_equal(rig_l4_sum(rte_pktmbuf_mtod(reply, uint8_t *) + 14), 0xffff);
	rte_pktmbuf_free(reply);
	rte_pktmbuf_free(m);
}

static void test_icmp_bad(void **state)
{
	static uint8_t message[2000];

	(void)state;
	for (int v6 = 0; v6 < 2; v6++) {
		struct rig_spec s = echo(v6, message, 100);
		unsigned int bytes, l4 = 14 + (v6 ? 40 : 20);

		for (unsigned int len = 0; len < 8; len++) {
			s.payload_bytes = len;
			bytes = 14 + (v6 ? 40 : 20) + 8;
			memset(frame, 0, sizeof(frame));
			s.payload_bytes = 8;
			rig_frame(frame, &s);
			frame[14 + (v6 ? 5 : 3)] = (uint8_t)(len + (v6 ? 0 : 20));
			if (!v6) {
				uint16_t sum;

				frame[24] = frame[25] = 0;
				sum = (uint16_t)~rig_ip4_sum(frame + 14);
				frame[24] = (uint8_t)(sum >> 8);
				frame[25] = (uint8_t)sum;
			}
			rig_drops(&r, frame, bytes, KX_DROP_ICMP_BAD);
		}
		s.payload_bytes = 100;
		for (unsigned int at = 0; at < 100; at += 9) {
			bytes = rig_frame(frame, &s);
			frame[l4 + at] ^= 0x20;
			rig_drops(&r, frame, bytes, KX_DROP_ICMP_BAD);
		}
		message[1] = 1; /* code */
		rig_drops(&r, frame, rig_frame(frame, &s), KX_DROP_ICMP_TYPE);
		message[1] = 0;
		message[0] = v6 ? 134 : 3; /* router advertisement; unreachable */
		rig_drops(&r, frame, rig_frame(frame, &s), KX_DROP_ICMP_TYPE);
		s = echo(v6, message, 1500);
		rig_drops(&r, frame, rig_frame(frame, &s), KX_DROP_ICMP_LARGE);
	}
	assert_int_equal(kx_net_waiting(r.net), 0);
}

/* More requests than may wait, and an empty pool: dropped by name, in a bounded list. */
static void test_no_buffer(void **state)
{
	struct rte_mbuf *m[KX_NET_REPLIES_MAX + 5], *held[600];
	unsigned int bytes = rig_arp(frame, 2, 1, 1, -1), n = 0;
	struct kx_frame f;

	(void)state;
	for (unsigned int i = 0; i < KX_NET_REPLIES_MAX + 5; i++)
		assert_int_equal(rig_rx(&r, rig_mbuf(r.pool, frame, bytes), &f), 0);
	assert_int_equal(r.ledger.drop[KX_DROP_NET_NO_BUFFER], 5);
	assert_int_equal(r.ledger.handled, KX_NET_REPLIES_MAX);
	assert_int_equal(kx_net_take(r.net, m, 10), 10);
	assert_int_equal(kx_net_take(r.net, m + 10, 100), KX_NET_REPLIES_MAX - 10);
	rte_pktmbuf_free_bulk(m, KX_NET_REPLIES_MAX);
	m[0] = rig_mbuf(r.pool, frame, bytes);
	rte_mbuf_refcnt_update(m[0], 1);
	while (n < 600 && (held[n] = rte_pktmbuf_alloc(r.pool)) != NULL)
		n++;
	assert_int_equal(rig_rx(&r, m[0], &f), 0);
	assert_int_equal(r.ledger.drop[KX_DROP_NET_NO_BUFFER], 6);
	assert_int_equal(known(false, 9, 1000), -EAGAIN);
	rte_pktmbuf_free(m[0]);
	rte_pktmbuf_free_bulk(held, n);
}

/* ---- neighbour discovery */

/** Neighbour message in `frame`. @return bytes */
static unsigned int nd(uint8_t type, uint8_t from, uint8_t target, int option, bool multicast)
{
	uint8_t message[32] = {type};
	struct rig_spec s = {.from = from,
		.to = 1,
		.vlan = vlan_of(),
		.v6 = true,
		.proto = 58,
		.payload = message,
		.payload_bytes = option >= 0 ? 32 : 24};
	unsigned int bytes, l3 = rig_l3(&s);

	if (type == 136)
		message[4] = multicast ? 0x20 : 0x60;
	message[8] = 0xfd;
	message[23] = target;
	message[24] = (uint8_t)option;
	message[25] = 1;
	memcpy(message + 26, (uint8_t[6]){2, 0, 0, 0, 0, from}, 6);
	bytes = rig_frame(frame, &s);
	if (multicast) {
		memcpy(frame, (uint8_t[6]){0x33, 0x33, 0xff, 0, 0, target}, 6);
		memcpy(frame + l3 + 24, (uint8_t[16]){0xff, 2, [11] = 1, 0xff, 0, 0, target}, 16);
		if (type == 136) {
			memcpy(frame, (uint8_t[6]){0x33, 0x33, 0, 0, 0, 1}, 6);
			memcpy(frame + l3 + 24, (uint8_t[16]){0xff, 2, [15] = 1}, 16);
		}
		rig_resum(frame, &s);
	}
	return bytes;
}

static void resum6(void)
{
	const struct rig_spec s = {.vlan = vlan_of(), .v6 = true, .proto = 58};

	rig_resum(frame, &s);
}

static void check_advertisement(const uint8_t *ip, bool option, uint8_t flags, uint8_t to)
{
	assert_int_equal(ip[6], 58);
	assert_int_equal(ip[7], 255);
	assert_int_equal(rig_l4_sum(ip), 0xffff);
	assert_int_equal(ip[23], 1);
	if (to != 0)
		assert_int_equal(ip[39], to);
	assert_int_equal(ip[40], 136);
	assert_int_equal(ip[44], flags);
	assert_int_equal(ip[48], 0xfd);
	assert_int_equal(ip[63], 1);
	assert_int_equal(ip[4] << 8 | ip[5], option ? 32 : 24);
	if (option) {
		assert_int_equal(ip[64], 2);
		assert_int_equal(ip[65], 1);
		assert_memory_equal(ip + 66, &r.nif.conf.mac, 6);
	}
}

static void test_nd_answers(void **state)
{
	unsigned int l3 = vlan_of() >= 0 ? 18 : 14;
	struct rte_mbuf *m;
	const uint8_t *p;

	(void)state;
	p = answer(nd(135, 2, 1, 1, true), 2, &m);
	check_advertisement(p + l3, true, 0x60, 2);
	rte_pktmbuf_free(m);
	assert_int_equal(known(true, 2, 1000), 0);
	p = answer(nd(135, 3, 1, -1, false), 3, &m); /* a unicast probe without options */
	check_advertisement(p + l3, false, 0x60, 3);
	rte_pktmbuf_free(m);
	assert_int_equal(known(true, 3, 1000), -EAGAIN);
}

/* Duplicate address detection: told to all nodes, and never larger than the question. */
static void test_nd_duplicate_address(void **state)
{
	unsigned int bytes = nd(135, 2, 1, -1, true);
	struct rte_mbuf *m;
	const uint8_t *p;

	(void)state;
	memset(frame + 14 + 8, 0, 16);
	resum6();
	p = answer(bytes, 0, &m);
	assert_memory_equal(p, ((uint8_t[6]){0x33, 0x33, 0, 0, 0, 1}), 6);
	assert_memory_equal(p + 14 + 24, ((uint8_t[16]){0xff, 2, [15] = 1}), 16);
	check_advertisement(p + 14, false, 0x20, 0);
	rte_pktmbuf_free(m);
	bytes = nd(135, 2, 1, 14, true); /* with a nonce (RFC 7527) there is room for our option */
	memset(frame + 14 + 8, 0, 16);
	resum6();
	p = answer(bytes, 0, &m);
	check_advertisement(p + 14, true, 0x20, 0);
	rte_pktmbuf_free(m);
	bytes = nd(135, 2, 1, 1, true); /* from nowhere, but with a MAC */
	memset(frame + 14 + 8, 0, 16);
	resum6();
	rig_drops(&r, frame, bytes, KX_DROP_ND_BAD);
	bytes = nd(135, 2, 1, -1, false); /* from nowhere to our own address */
	memset(frame + 14 + 8, 0, 16);
	resum6();
	rig_drops(&r, frame, bytes, KX_DROP_ND_BAD);
}

static void nd_byte(uint8_t type, unsigned int at, uint8_t value, enum kx_drop reason)
{
	unsigned int bytes = nd(type, 2, 1, type == 135 ? 1 : 2, false);

	frame[14 + at] = value;
	resum6();
	rig_drops(&r, frame, bytes, reason);
}

static void test_nd_bad(void **state)
{
	unsigned int bytes;

	(void)state;
	for (unsigned int type = 135; type <= 136; type++) {
		nd_byte((uint8_t)type, 7, 254, KX_DROP_ND_BAD); /* hop limit: came through a router */
		nd_byte((uint8_t)type, 41, 1, KX_DROP_ND_BAD);	/* code */
		nd_byte((uint8_t)type, 48, 0xff, KX_DROP_ND_BAD);
		nd_byte((uint8_t)type, 65, 0, KX_DROP_ND_BAD); /* option of length 0 */
		bytes = nd((uint8_t)type, 2, 1, 14, false);    /* another option of length 0 */
		frame[14 + 65] = 0;
		resum6();
		rig_drops(&r, frame, bytes, KX_DROP_ND_BAD);
		nd_byte((uint8_t)type, 65, 2, KX_DROP_ND_BAD); /* option beyond the message */
		nd_byte((uint8_t)type, 66, 1, KX_DROP_ND_BAD); /* multicast MAC */
		for (unsigned int len = 8; len < 32; len++) {
			if (len == 24)
				continue;
			bytes = nd((uint8_t)type, 2, 1, type == 135 ? 1 : 2, false);
			frame[14 + 5] = (uint8_t)len;
			resum6();
			rig_drops(&r, frame, bytes - (32 - len), KX_DROP_ND_BAD);
		}
	}
	nd_byte(135, 63, 9, KX_DROP_IP6_NOT_FOR_US); /* another's target */
	bytes = nd(136, 2, 2, 2, true);
	frame[14 + 44] = 0x40; /* solicited, but to all nodes */
	resum6();
	rig_drops(&r, frame, bytes, KX_DROP_ND_BAD);
	assert_int_equal(kx_net_waiting(r.net), 0);
}

static void test_nd_learns(void **state)
{
	struct kx_path path;
	struct kx_addr a;

	(void)state;
	no_answer(nd(136, 4, 4, 2, false), true); /* nobody asked */
	assert_int_equal(known(true, 4, 1000), -EAGAIN);
	no_answer(nd(136, 4, 4, -1, false), true); /* asked, but it does not say */
	assert_int_equal(known(true, 4, 1000), -EAGAIN);
	no_answer(nd(136, 4, 4, 2, false), true);
	assert_int_equal(known(true, 4, 1000), 0);
	nd(136, 4, 4, 2, false); /* another MAC without the override flag is not believed */
	frame[14 + 66 + 4] = 0x77;
	frame[14 + 44] = 0x40;
	resum6();
	no_answer(14 + 40 + 32, true);
	address(&a, true, 4);
	assert_int_equal(kx_net_path_to(r.net, &a, 9000, 1000, &path), 0);
	assert_int_equal(path.link[4], 0);
	nd(136, 4, 4, 2, true); /* with it, it is */
	frame[14 + 66 + 4] = 0x77;
	resum6();
	no_answer(14 + 40 + 32, true);
	assert_int_equal(kx_net_path_to(r.net, &a, 9000, 1000, &path), 0);
	assert_int_equal(path.link[4], 0x77);
}

/* ---- resolving */

/* One question, then at most one each 100 ms, then each second; to everyone, and to the known MAC when stale.
 */
static void questions(bool v6, uint64_t from_ns, uint64_t until_ns, unsigned int want, bool unicast)
{
	struct kx_path path;
	struct kx_addr a;
	struct rte_mbuf *m;
	unsigned int n = 0;

	address(&a, v6, 5);
	for (uint64_t now = from_ns; now < until_ns; now += S / 100) {
		assert_int_equal(kx_net_path_to(r.net, &a, 9000, now, &path), unicast ? 0 : -EAGAIN);
		while (kx_net_take(r.net, &m, 1) == 1) {
			const uint8_t *p = rte_pktmbuf_mtod(m, const uint8_t *);

			n++;
			assert_int_equal((p[0] & 1) == 0, unicast);
			if (v6) {
				assert_int_equal(p[14 + 40], 135);
				assert_int_equal(rig_l4_sum(p + 14), 0xffff);
				assert_int_equal(p[14 + 7], 255);
				assert_int_equal(p[14 + 63], 5);
			} else {
				assert_memory_equal(p + 14 + 24, ((uint8_t[4]){10, 0, 0, 5}), 4);
				assert_int_equal(p[14 + 7], 1);
			}
			rte_pktmbuf_free(m);
		}
	}
	assert_int_equal(n, want);
}

static void resolves(bool v6)
{
	uint8_t ip[16] = {0};
	struct rte_ether_addr mac = {{2, 0, 0, 0, 0, 5}};

	if (v6)
		ip[0] = 0xfd;
	else
		ip[10] = ip[11] = 0xff, ip[12] = 10;
	ip[15] = 5;
	questions(v6, 100 * S, 100 * S + S / 10, 1, false);
	questions(v6, 100 * S + S / 10, 103 * S + S / 5, 2 + 2, false);
	assert_int_equal(kx_net_neighbour_put(r.net, ip, &mac, 104 * S), 0);
	questions(v6, 104 * S, 134 * S, 0, true);
	questions(v6, 135 * S, 135 * S + S / 4, 3, true); /* stale: still used, asked at its MAC */
	questions(v6, 137 * S, 138 * S, 1, false);	  /* three times in vain: forgotten, asked of all */
	kx_net_tick(r.net, 142 * S);
	questions(v6, 142 * S, 142 * S + S / 100, 1, false);
}

static void test_resolve_v4(void **state)
{
	(void)state;
	resolves(false);
}

static void test_resolve_v6(void **state)
{
	(void)state;
	resolves(true);
}

static void test_routes(void **state)
{
	struct rte_ether_addr mac = {{2, 0, 0, 0, 0, 0xfe}};
	const char *never[] = {"10.0.0.0", "10.0.0.255", "10.0.0.1", "0.0.0.0", "127.0.0.1", "224.0.0.1",
		"255.255.255.255", "fd00::1", "ff02::1", "::", "::1"};
	struct kx_path path;
	struct kx_addr a;

	(void)state;
	for (unsigned int i = 0; i < KX_DIM(never); i++) {
		assert_int_equal(kx_addr_parse(never[i], 9000, &a), 0);
		assert_int_equal(kx_net_path_to(r.net, &a, 9000, S, &path), -ENETUNREACH);
	}
	address(&a, false, 254);
	assert_int_equal(kx_net_neighbour_put(r.net, a.ip, &mac, S), 0);
	assert_int_equal(kx_addr_parse("8.8.8.8", 9000, &a), 0); /* by the gateway */
	assert_int_equal(kx_net_path_to(r.net, &a, 9000, S, &path), 0);
	assert_int_equal(path.link[5], 0xfe);
	assert_true(kx_addr_equal(&path.remote, &a));
	address(&a, true, 254);
	assert_int_equal(kx_net_neighbour_put(r.net, a.ip, &mac, S), 0);
	assert_int_equal(kx_addr_parse("2001:db8::9", 9000, &a), 0);
	assert_int_equal(kx_net_path_to(r.net, &a, 9000, S, &path), 0);
	assert_int_equal(path.link[5], 0xfe);
	a.port = 0;
	assert_int_equal(kx_net_path_to(r.net, &a, 9000, S, &path), -EINVAL);
}

/* Strangers' questions never push out a neighbour that a path of ours goes through. */
static void test_strangers(void **state)
{
	struct rte_ether_addr mac = {{2, 0, 0, 0, 0, 0x42}};
	struct kx_path path;
	struct kx_addr a;
	struct rte_mbuf *m;
	struct kx_frame f;

	(void)state;
	for (uint8_t id = 60; id < 70; id++) {
		address(&a, false, id);
		assert_int_equal(kx_net_neighbour_put(r.net, a.ip, &mac, 1), 0); /* the oldest of all */
	}
	for (unsigned int id = 2; id < 254; id++) {
		if (id >= 60 && id < 70)
			continue;
		rig_rx(&r, rig_mbuf(r.pool, frame, rig_arp(frame, (uint8_t)id, 1, 1, -1)), &f);
		assert_int_equal(kx_net_take(r.net, &m, 1), 1);
		rte_pktmbuf_free(m);
	}
	for (uint8_t id = 60; id < 70; id++) {
		address(&a, false, id);
		assert_int_equal(kx_net_path_to(r.net, &a, 9000, 2 * S, &path), 0);
		assert_int_equal(path.link[5], 0x42);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_arp_answers, setup, teardown),
		{"test_arp_answers_vlan", test_arp_answers, setup_vlan, teardown, NULL},
		cmocka_unit_test_setup_teardown(test_arp_probe, setup, teardown),
		cmocka_unit_test_setup_teardown(test_arp_bad, setup, teardown),
		cmocka_unit_test_setup_teardown(test_arp_learns, setup, teardown),
		cmocka_unit_test_setup_teardown(test_echo, setup, teardown),
		{"test_echo_vlan", test_echo, setup_vlan, teardown, NULL},
		cmocka_unit_test_setup_teardown(test_echo_shared, setup, teardown),
		cmocka_unit_test_setup_teardown(test_icmp_bad, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_buffer, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nd_answers, setup, teardown),
		{"test_nd_answers_vlan", test_nd_answers, setup_vlan, teardown, NULL},
		cmocka_unit_test_setup_teardown(test_nd_duplicate_address, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nd_bad, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nd_learns, setup, teardown),
		cmocka_unit_test_setup_teardown(test_resolve_v4, setup, teardown),
		cmocka_unit_test_setup_teardown(test_resolve_v6, setup, teardown),
		cmocka_unit_test_setup_teardown(test_routes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_strangers, setup, teardown),
	};

	return cmocka_run_group_tests(tests, setup_all, NULL);
}
