/* SPDX-License-Identifier: BSD-3-Clause */
#include <rte_eal.h>
#include <rte_errno.h>
#include <unistd.h>

#include "net_rig.h"

void rig_eal(const char *name)
{
	static bool done;
	static char line[256];
	char *argv[16], *save = NULL;
	int argc = 0;

	if (done)
		return;
	snprintf(line, sizeof(line),
		"test --no-huge --no-shconf -m 256 -l 0 --no-pci --no-telemetry --log-level=3 --file-prefix "
		"kxtest-%s-%d",
		name, (int)getpid());
	for (char *word = strtok_r(line, " ", &save); word != NULL; word = strtok_r(NULL, " ", &save))
		argv[argc++] = word;
	assert_true(rte_eal_init(argc, argv) >= 0);
	done = true;
}

struct rte_mempool *rig_pool(const char *name, unsigned int n, uint16_t data_room)
{
	struct rte_mempool *pool = rte_pktmbuf_pool_create(name, n, 0, 0, data_room, SOCKET_ID_ANY);

	assert_non_null(pool);
	return pool;
}

static void host_ip(uint8_t ip[16], uint8_t id, bool v6)
{
	memset(ip, 0, 16);
	if (v6) {
		ip[0] = 0xfd;
	} else {
		ip[10] = ip[11] = 0xff;
		ip[12] = 10;
	}
	ip[15] = id;
}

void rig_conf(struct kx_net_if_conf *conf, uint8_t id)
{
	memset(conf, 0, sizeof(*conf));
	conf->mtu = 1500;
	conf->base_port = 9000;
	conf->port_count = 4;
	conf->mac = (struct rte_ether_addr){{2, 0, 0, 0, 0, id}};
	conf->addr_count = 2;
	host_ip(conf->addr[0].ip, id, false);
	conf->addr[0].prefix_bits = 24;
	host_ip(conf->addr[1].ip, id, true);
	conf->addr[1].prefix_bits = 64;
	host_ip(conf->gateway4, 254, false);
	host_ip(conf->gateway6, 254, true);
}

void rig_open(struct rig *r, uint16_t vlan_id)
{
	struct kx_net_if_conf conf;

	memset(r, 0, sizeof(*r));
	rig_conf(&conf, 1);
	conf.vlan_id = vlan_id;
	assert_int_equal(kx_net_if_init(&r->nif, &conf), 0);
	r->pool = rig_pool("rig", 511, 2048 + RTE_PKTMBUF_HEADROOM);
	r->pool_full = rte_mempool_avail_count(r->pool);
	r->net = kx_net_new(&r->nif, r->pool, &r->ledger, SOCKET_ID_ANY);
	assert_non_null(r->net);
}

void rig_close(struct rig *r)
{
	kx_net_free(r->net);
	assert_int_equal(rte_mempool_avail_count(r->pool), r->pool_full);
	rte_mempool_free(r->pool);
}

struct rte_mbuf *rig_mbuf(struct rte_mempool *pool, const void *frame, unsigned int bytes)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(pool);
	char *at;

	assert_non_null(m);
	at = rte_pktmbuf_append(m, (uint16_t)bytes);
	assert_non_null(at);
	memcpy(at, frame, bytes);
	m->port = 0;
	return m;
}

static void exact_free(void *addr, void *opaque)
{
	free(addr);
	free(opaque);
}

struct rte_mbuf *rig_exact(struct rte_mempool *pool, const void *frame, unsigned int bytes)
{
	struct rte_mbuf_ext_shared_info *info = calloc(1, sizeof(*info));
	struct rte_mbuf *m = rte_pktmbuf_alloc(pool);

	assert_non_null(info);
	assert_non_null(m);
	info->free_cb = exact_free;
	info->fcb_opaque = info;
	rte_mbuf_ext_refcnt_set(info, 1);
	rte_pktmbuf_attach_extbuf(m, kx_test_exact(frame, bytes), 0, (uint16_t)bytes, info);
	m->data_len = (uint16_t)bytes;
	m->pkt_len = bytes;
	m->port = 0;
	return m;
}

unsigned int rig_rx(struct rig *r, struct rte_mbuf *m, struct kx_frame *f)
{
	return kx_net_rx(r->net, &m, 1, 1000, f);
}

void rig_drops(struct rig *r, const void *frame, unsigned int bytes, enum kx_drop reason)
{
	unsigned int before = rte_mempool_avail_count(r->pool);
	uint64_t was = r->ledger.drop[reason], all = kx_ledger_rx_dropped(&r->ledger);
	struct kx_frame f;

	assert_int_equal(rig_rx(r, rig_exact(r->pool, frame, bytes), &f), 0);
	if (r->ledger.drop[reason] != was + 1)
		for (int i = 0; i < KX_DROP_COUNT; i++)
			if (r->ledger.drop[i] != 0)
				print_message("%s %lu\n", kx_drop_key((enum kx_drop)i), r->ledger.drop[i]);
	assert_int_equal(r->ledger.drop[reason], was + 1);
	assert_int_equal(kx_ledger_rx_dropped(&r->ledger), all + 1);
	assert_int_equal(rte_mempool_avail_count(r->pool), before);
}

/* ---- checksums, by the book: byte pairs in network order */

static uint32_t sum_bytes(uint32_t sum, const uint8_t *p, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		sum += (i & 1) != 0 ? p[i] : (uint32_t)p[i] << 8;
	return sum;
}

static uint16_t fold(uint32_t sum)
{
	while (sum > 0xffff)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

static unsigned int be16(const uint8_t *p)
{
	return (unsigned int)p[0] << 8 | p[1];
}

static void put16(uint8_t *p, unsigned int v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

uint16_t rig_ip4_sum(const uint8_t *ip)
{
	return fold(sum_bytes(0, ip, 20));
}

uint16_t rig_l4_sum(const uint8_t *ip)
{
	bool v6 = (ip[0] >> 4) == 6;
	unsigned int bytes = v6 ? be16(ip + 4) : be16(ip + 2) - 20;
	const uint8_t *l4 = ip + (v6 ? 40 : 20);
	uint32_t sum = 0;

	if (v6)
		sum = sum_bytes(sum, ip + 8, 32) + bytes + ip[6];
	else if (ip[9] == 17)
		sum = sum_bytes(sum, ip + 12, 8) + bytes + 17;
	return fold(sum_bytes(sum, l4, bytes));
}

unsigned int rig_l3(const struct rig_spec *s)
{
	return s->vlan >= 0 ? 18 : 14;
}

static unsigned int put_eth(uint8_t *out, uint8_t from, uint8_t to, int vlan, unsigned int type)
{
	const uint8_t mac[6] = {2, 0, 0, 0, 0, 0};

	memcpy(out, mac, 6);
	memcpy(out + 6, mac, 6);
	out[5] = to;
	out[11] = from;
	if (vlan < 0) {
		put16(out + 12, type);
		return 14;
	}
	put16(out + 12, 0x8100);
	put16(out + 14, (unsigned int)vlan);
	put16(out + 16, type);
	return 18;
}

void rig_resum(uint8_t *frame, const struct rig_spec *s)
{
	uint8_t *ip = frame + rig_l3(s), *l4 = ip + (s->v6 ? 40 : 20);
	unsigned int at = s->proto == 17 ? 6 : 2, sum;

	if (!s->v6) {
		put16(ip + 10, 0);
		put16(ip + 10, 0xffffu ^ rig_ip4_sum(ip));
	}
	put16(l4 + at, 0);
	sum = 0xffffu ^ rig_l4_sum(ip);
	if (!s->no_udp_sum)
		put16(l4 + at, sum == 0 && s->proto == 17 ? 0xffff : sum);
}

unsigned int rig_frame(uint8_t *out, const struct rig_spec *s)
{
	unsigned int head = s->proto == 17 ? 8 : 0, l4_bytes = head + s->payload_bytes, l3 = rig_l3(s);
	uint8_t *ip = out + put_eth(out, s->from, s->to, s->vlan, s->v6 ? 0x86dd : 0x0800), *l4;
	uint8_t src[16], dst[16];

	host_ip(src, s->from, s->v6);
	host_ip(dst, s->to, s->v6);
	memset(ip, 0, 40);
	if (s->v6) {
		ip[0] = 0x60;
		put16(ip + 4, l4_bytes);
		ip[6] = s->proto;
		ip[7] = 255;
		memcpy(ip + 8, src, 16);
		memcpy(ip + 24, dst, 16);
		l4 = ip + 40;
	} else {
		ip[0] = 0x45;
		put16(ip + 2, 20 + l4_bytes);
		ip[8] = 17;
		ip[9] = s->proto;
		memcpy(ip + 12, src + 12, 4);
		memcpy(ip + 16, dst + 12, 4);
		l4 = ip + 20;
	}
	memset(l4, 0, head);
	if (head != 0) {
		put16(l4, s->sport);
		put16(l4 + 2, s->dport);
		put16(l4 + 4, l4_bytes);
	}
	memcpy(l4 + head, s->payload, s->payload_bytes);
	rig_resum(out, s);
	return l3 + (s->v6 ? 40 : 20) + l4_bytes;
}

unsigned int rig_arp(uint8_t *out, uint8_t from, uint8_t to, uint16_t op, int vlan)
{
	unsigned int at = put_eth(out, from, to, vlan, 0x0806);
	uint8_t *arp = out + at, ip[16];

	if (op == 1)
		memset(out, 0xff, 6);
	memset(arp, 0, 28);
	put16(arp, 1);
	put16(arp + 2, 0x0800);
	arp[4] = 6;
	arp[5] = 4;
	put16(arp + 6, op);
	memcpy(arp + 8, out + 6, 6);
	host_ip(ip, from, false);
	memcpy(arp + 14, ip + 12, 4);
	host_ip(ip, to, false);
	memcpy(arp + 24, ip + 12, 4);
	return at + 28;
}
