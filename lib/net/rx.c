/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Receiving. The fast path takes an IPv4 UDP datagram for us when every field is as expected: all comparisons
 * are gathered into one value and one branch. Whatever differs in anything goes to kx_net_rx_slow(), which
 * finds out what it is and why it is refused; a frame the fast path takes is one the slow path would take
 * too.
 */
#include <rte_prefetch.h>

#include "net_pvt.h"

#define PREFETCH_AHEAD 6
#define MAC_MASK       UINT64_C(0xffffffffffff)

static bool udp4_sum_right(const uint8_t *ip, const uint8_t *udp, uint32_t bytes)
{
	const struct rte_ipv4_hdr *h = (const struct rte_ipv4_hdr *)ip;
	uint64_t sum = (uint64_t)rte_raw_cksum(udp, bytes) + kx_load32(&h->src_addr) +
		kx_load32(&h->dst_addr) + RTE_BE16(KX_IP_PROTO_UDP) + rte_cpu_to_be_16((uint16_t)bytes);

	return kx_sum_fold(sum) == 0xffff;
}

/** Is the UDP checksum fine? 0 means none was computed; else the port's verdict, else ours. */
static KX_ALWAYS_INLINE bool udp4_checked(
	uint64_t ol_flags, const uint8_t *ip, const uint8_t *udp, uint32_t bytes)
{
	uint64_t verdict = ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK;

	if (kx_likely(kx_load16(udp + 6) == 0) || verdict == RTE_MBUF_F_RX_L4_CKSUM_GOOD)
		return true;
	if (verdict == RTE_MBUF_F_RX_L4_CKSUM_BAD)
		return false;
	return udp4_sum_right(ip, udp, bytes);
}

/** @param l2  constant: 14 or 18 */
static KX_ALWAYS_INLINE bool rx_fast(const struct kx_net_if *nif, struct rte_mbuf *m, uint64_t now_ns,
	struct kx_frame *f, const uint32_t l2)
{
	uint8_t *eth = rte_pktmbuf_mtod(m, uint8_t *);
	const uint8_t *ip = eth + l2, *udp = ip + 20;
	uint32_t len = m->data_len, total, udp_bytes, src;
	uint16_t sport, dport;
	uint64_t off;

	if (kx_unlikely(len < l2 + 28 || m->nb_segs != 1))
		return false;
	off = (kx_load64(eth) & MAC_MASK) ^ nif->mac48;
	off |= eth[6] & 1;
	off |= kx_load16(eth + 12) ^ nif->first_type;
	if (l2 == RTE_ETHER_HDR_LEN + RTE_VLAN_HLEN) {
		off |= (kx_load16(eth + 14) ^ nif->vlan_tci) & RTE_BE16(0x0fff);
		off |= kx_load16(eth + 16) ^ RTE_BE16(RTE_ETHER_TYPE_IPV4);
	}
	total = kx_load_be16(ip + 2);
	udp_bytes = kx_load_be16(udp + 4);
	src = kx_load32(ip + 12);
	sport = kx_load_be16(udp);
	dport = kx_load_be16(udp + 2);
	off |= ip[0] ^ 0x45;
	off |= kx_load16(ip + 6) & RTE_BE16(0x3fff);
	off |= ip[9] ^ KX_IP_PROTO_UDP;
	off |= kx_load32(ip + 16) ^ nif->first_v4;
	off |= kx_ip4_sum(ip) ^ 0xffff;
	off |= (total > len - l2) | (udp_bytes + 20 != total) | (total < 28);
	off |= !kx_ip4_answerable(src) | (sport == 0);
	off |= (uint16_t)(dport - nif->conf.base_port) >= nif->conf.port_count;
	if (kx_unlikely(off != 0 || nif->first_v4 == 0 || kx_net_owns4(nif, src)))
		return false;
	if (kx_unlikely(!udp4_checked(m->ol_flags, ip, udp, udp_bytes)))
		return false;
	f->remote.ip64[0] = 0;
	f->remote.ip64[1] = UINT64_C(0xffff0000) | ((uint64_t)src << 32);
	kx_net_fill(f, m, eth + l2 + 28, udp_bytes - 8, sport, dport, now_ns);
	return true;
}

static KX_ALWAYS_INLINE unsigned int rx_burst(struct kx_net *net, struct rte_mbuf **mbufs, unsigned int n,
	uint64_t now_ns, struct kx_frame *frames, const uint32_t l2)
{
	unsigned int out = 0;

	for (unsigned int i = 0; i < n && i < PREFETCH_AHEAD; i++)
		rte_prefetch0(rte_pktmbuf_mtod(mbufs[i], void *));
	for (unsigned int i = 0; i < n; i++) {
		if (i + PREFETCH_AHEAD < n)
			rte_prefetch0(rte_pktmbuf_mtod(mbufs[i + PREFETCH_AHEAD], void *));
		if (kx_likely(rx_fast(net->nif, mbufs[i], now_ns, &frames[out], l2)) ||
			kx_net_rx_slow(net, mbufs[i], now_ns, &frames[out]) == KX_DROP_NONE)
			out++;
	}
	return out;
}

unsigned int kx_net_rx(
	struct kx_net *net, struct rte_mbuf **mbufs, unsigned int n, uint64_t now_ns, struct kx_frame *frames)
{
	kx_count(&net->ledger->received, n);
	if (net->nif->l2_bytes == RTE_ETHER_HDR_LEN)
		return rx_burst(net, mbufs, n, now_ns, frames, RTE_ETHER_HDR_LEN);
	return rx_burst(net, mbufs, n, now_ns, frames, RTE_ETHER_HDR_LEN + RTE_VLAN_HLEN);
}

/* ---- everything else
 * ----------------------------------------------------------------------------------------- */

static int rx_udp(
	struct kx_net *net, struct kx_net_pkt *p, uint32_t l3, uint32_t l4_bytes, struct kx_frame *f)
{
	const struct kx_net_if_conf *c = &net->nif->conf;
	uint8_t *ip = p->eth + p->l2, *udp = ip + l3;
	uint16_t sport, dport;
	bool v4 = l3 == 20;

	if (l4_bytes < 8 || kx_load_be16(udp + 4) != l4_bytes)
		return KX_DROP_UDP_SHORT;
	sport = kx_load_be16(udp);
	dport = kx_load_be16(udp + 2);
	if (sport == 0 || (uint16_t)(dport - c->base_port) >= c->port_count)
		return KX_DROP_UDP_PORT;
	if (v4) {
		if (!udp4_checked(p->m->ol_flags, ip, udp, l4_bytes))
			return KX_DROP_UDP_CHECKSUM;
		kx_ip4_map(f->remote.ip, kx_load32(ip + 12));
	} else {
		uint64_t verdict = p->m->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK;

		if (kx_load16(udp + 6) == 0 || verdict == RTE_MBUF_F_RX_L4_CKSUM_BAD)
			return KX_DROP_UDP_CHECKSUM;
		if (verdict != RTE_MBUF_F_RX_L4_CKSUM_GOOD &&
			kx_net_sum6(ip, udp, l4_bytes, KX_IP_PROTO_UDP) != 0)
			return KX_DROP_UDP_CHECKSUM;
		memcpy(f->remote.ip, ip + 8, 16);
	}
	kx_net_fill(f, p->m, udp + 8, l4_bytes - 8, sport, dport, p->now_ns);
	return KX_DROP_NONE;
}

static int rx_ip4(struct kx_net *net, struct kx_net_pkt *p, struct kx_frame *f)
{
	const uint8_t *ip = p->eth + p->l2;
	uint32_t rest = p->len - p->l2, total;

	if (rest < 20)
		return KX_DROP_IP4_SHORT;
	if ((ip[0] >> 4) != 4 || (ip[0] & 15) < 5)
		return KX_DROP_IP4_HEADER;
	if ((ip[0] & 15) > 5)
		return rest < (ip[0] & 15) * 4u ? KX_DROP_IP4_SHORT : KX_DROP_IP4_OPTIONS;
	total = kx_load_be16(ip + 2);
	if (total < 20 || total > rest)
		return KX_DROP_IP4_SHORT;
	if (kx_ip4_sum(ip) != 0xffff)
		return KX_DROP_IP4_HEADER;
	if ((kx_load16(ip + 6) & RTE_BE16(0x3fff)) != 0)
		return KX_DROP_IP4_FRAGMENT;
	if (!kx_net_owns4(net->nif, kx_load32(ip + 16)))
		return KX_DROP_IP4_NOT_FOR_US;
	if ((p->eth[0] & 1) != 0) /* by multicast or broadcast to a unicast address (RFC 1122, 3.3.6) */
		return KX_DROP_ETH_NOT_FOR_US;
	if (!kx_ip4_answerable(kx_load32(ip + 12)) || kx_net_owns4(net->nif, kx_load32(ip + 12)))
		return KX_DROP_IP4_SOURCE;
	if (ip[9] == KX_IP_PROTO_UDP)
		return rx_udp(net, p, 20, total - 20, f);
	if (ip[9] == KX_IP4_PROTO_ICMP)
		return kx_net_icmp4(net, p, total - 20);
	return KX_DROP_IP_PROTOCOL;
}

static int ip6_next_refused(uint8_t next)
{
	switch (next) {
	case 44:
		return KX_DROP_IP6_FRAGMENT;
	case 0:	  /* hop-by-hop */
	case 43:  /* routing */
	case 50:  /* ESP */
	case 51:  /* AH */
	case 59:  /* none */
	case 60:  /* destination options */
	case 135: /* mobility */
	case 139: /* HIP */
	case 140: /* shim6 */
		return KX_DROP_IP6_EXTENSION;
	default:
		return KX_DROP_IP_PROTOCOL;
	}
}

static bool ip6_answerable(const struct kx_net_if *nif, const uint8_t *src)
{
	static const uint8_t zero[15];

	/* ::, ::1, IPv4-mapped and multicast sources cannot be answered. */
	return src[0] != 0xff && memcmp(src, zero, 15) != 0 && !kx_ip_is_v4(src) && !kx_net_owns6(nif, src);
}

static int rx_ip6(struct kx_net *net, struct kx_net_pkt *p, struct kx_frame *f)
{
	static const uint8_t all_nodes[16] = {0xff, 0x02, [15] = 1}, unspecified[16];
	const uint8_t *ip = p->eth + p->l2;
	uint32_t rest = p->len - p->l2, bytes;
	bool unicast;

	if (rest < 40)
		return KX_DROP_IP6_SHORT;
	if ((ip[0] >> 4) != 6)
		return KX_DROP_IP6_HEADER;
	bytes = kx_load_be16(ip + 4);
	if (bytes > rest - 40)
		return KX_DROP_IP6_SHORT;
	unicast = kx_net_owns6(net->nif, ip + 24);
	if (!unicast && memcmp(ip + 24, all_nodes, 16) != 0 && !kx_net_solicited(net->nif, ip + 24))
		return KX_DROP_IP6_NOT_FOR_US;
	/* Only duplicate address detection comes from the unspecified address. */
	if (!ip6_answerable(net->nif, ip + 8) &&
		!(memcmp(ip + 8, unspecified, 16) == 0 && ip[6] == KX_IP_PROTO_ICMP6 && bytes > 0 &&
			ip[40] == KX_ICMP6_NS))
		return KX_DROP_IP6_SOURCE;
	if (ip[6] == KX_IP_PROTO_ICMP6)
		return kx_net_icmp6(net, p, bytes);
	if (ip[6] != KX_IP_PROTO_UDP)
		return ip6_next_refused(ip[6]);
	if (!unicast)
		return KX_DROP_IP6_NOT_FOR_US;
	if ((p->eth[0] & 1) != 0)
		return KX_DROP_ETH_NOT_FOR_US;
	return rx_udp(net, p, 40, bytes, f);
}

/** Ethernet and VLAN. @return KX_DROP_NONE and p->l2, *type; or the reason */
static int rx_eth(const struct kx_net_if *nif, struct kx_net_pkt *p, uint16_t *type)
{
	const uint8_t *eth = p->eth;
	uint16_t vlan = 0;

	if (p->len < RTE_ETHER_HDR_LEN)
		return KX_DROP_ETH_SHORT;
	if ((eth[0] & 1) == 0 && memcmp(eth, &nif->conf.mac, RTE_ETHER_ADDR_LEN) != 0)
		return KX_DROP_ETH_NOT_FOR_US;
	if ((eth[6] & 1) != 0)
		return KX_DROP_ETH_SOURCE;
	*type = kx_load_be16(eth + 12);
	p->l2 = RTE_ETHER_HDR_LEN;
	if (*type == RTE_ETHER_TYPE_VLAN) {
		if (p->len < RTE_ETHER_HDR_LEN + RTE_VLAN_HLEN)
			return KX_DROP_ETH_SHORT;
		vlan = kx_load_be16(eth + 14) & 0x0fff;
		*type = kx_load_be16(eth + 16);
		p->l2 += RTE_VLAN_HLEN;
	}
	/* A tag with id 0 is a priority only: as good as none. */
	return vlan == nif->conf.vlan_id ? KX_DROP_NONE : KX_DROP_VLAN;
}

static int rx_classify(struct kx_net *net, struct kx_net_pkt *p, struct kx_frame *f)
{
	uint16_t type = 0;
	int what = rx_eth(net->nif, p, &type);

	if (what != KX_DROP_NONE)
		return what;
	switch (type) {
	case RTE_ETHER_TYPE_IPV4:
		return rx_ip4(net, p, f);
	case RTE_ETHER_TYPE_IPV6:
		return rx_ip6(net, p, f);
	case RTE_ETHER_TYPE_ARP:
		return kx_net_arp(net, p);
	default:
		return KX_DROP_ETH_TYPE;
	}
}

/** One buffer out of several, in place. */
static bool one_segment(struct rte_mbuf *m)
{
	if (m->nb_segs == 1)
		return true;
	return RTE_MBUF_DIRECT(m) && rte_mbuf_refcnt_read(m) == 1 && rte_pktmbuf_linearize(m) == 0;
}

int kx_net_rx_slow(struct kx_net *net, struct rte_mbuf *m, uint64_t now_ns, struct kx_frame *f)
{
	struct kx_net_pkt p;
	int what;

	if (!one_segment(m)) {
		kx_ledger_drop(net->ledger, KX_DROP_NET_SEGMENTED);
		rte_pktmbuf_free(m);
		return KX_DROP_NET_SEGMENTED;
	}
	p = (struct kx_net_pkt){m, rte_pktmbuf_mtod(m, uint8_t *), m->data_len, 0, now_ns};
	what = rx_classify(net, &p, f);
	if (what == KX_DROP_NONE)
		return what;
	if (what == KX_NET_ANSWERED) {
		kx_count(&net->ledger->handled, 1);
		return what;
	}
	if (what == KX_NET_DONE)
		kx_count(&net->ledger->handled, 1);
	else
		kx_ledger_drop(net->ledger, (enum kx_drop)what);
	rte_pktmbuf_free(p.m);
	return what;
}
