/* SPDX-License-Identifier: BSD-3-Clause */
/* Echo, and the way to neighbour discovery. Answers are written over the request: never larger than it. */
#include "net_pvt.h"

uint16_t kx_net_sum6(const uint8_t *ip6, const uint8_t *l4, uint32_t bytes, uint8_t proto)
{
	uint64_t sum = rte_raw_cksum(l4, bytes);

	for (unsigned int i = 8; i < 40; i += 4)
		sum += kx_load32(ip6 + i);
	sum += rte_cpu_to_be_32(bytes);
	sum += (uint32_t)RTE_BE16(proto);
	return (uint16_t)~kx_sum_fold(sum);
}

/** Turn the type of an ICMP message into `reply` and carry its checksum along (RFC 1624). */
static void retype(uint8_t *icmp, uint8_t reply)
{
	uint16_t sum = kx_load16(icmp + 2);
	uint16_t was = kx_load16(icmp), now;

	icmp[0] = reply;
	now = kx_load16(icmp);
	sum = (uint16_t)~kx_sum_fold((uint64_t)(uint16_t)~sum + (uint16_t)~was + now);
	memcpy(icmp + 2, &sum, sizeof(sum));
}

int kx_net_icmp4(struct kx_net *net, struct kx_net_pkt *p, uint32_t l4_bytes)
{
	struct rte_ether_addr from = ((const struct rte_ether_hdr *)p->eth)->src_addr;
	const uint8_t *icmp = p->eth + p->l2 + 20;
	struct rte_ipv4_hdr *ip;
	uint32_t src;
	uint8_t *at;

	if (l4_bytes < 8 || rte_raw_cksum(icmp, l4_bytes) != 0xffff)
		return KX_DROP_ICMP_BAD;
	if (icmp[0] != RTE_IP_ICMP_ECHO_REQUEST || icmp[1] != 0)
		return KX_DROP_ICMP_TYPE;
	if (l4_bytes + 20 > net->nif->conf.mtu)
		return KX_DROP_ICMP_LARGE;
	at = kx_net_answer(net, p, p->l2 + 20 + l4_bytes);
	if (at == NULL)
		return KX_DROP_NET_NO_BUFFER;
	ip = (struct rte_ipv4_hdr *)kx_net_put_eth(net->nif, at, &from, RTE_ETHER_TYPE_IPV4);
	src = ip->src_addr;
	ip->src_addr = ip->dst_addr;
	ip->dst_addr = src;
	ip->time_to_live = KX_HOPS;
	ip->hdr_checksum = 0;
	ip->hdr_checksum = (uint16_t)~kx_ip4_sum((const uint8_t *)ip);
	retype((uint8_t *)(ip + 1), RTE_IP_ICMP_ECHO_REPLY);
	kx_net_wait(net, p->m);
	return KX_NET_ANSWERED;
}

static int echo6(struct kx_net *net, struct kx_net_pkt *p, uint32_t l4_bytes)
{
	struct rte_ether_addr from = ((const struct rte_ether_hdr *)p->eth)->src_addr;
	struct rte_ipv6_hdr *ip;
	uint8_t src[16];
	uint8_t *at;

	if (l4_bytes + 40 > net->nif->conf.mtu)
		return KX_DROP_ICMP_LARGE;
	at = kx_net_answer(net, p, p->l2 + 40 + l4_bytes);
	if (at == NULL)
		return KX_DROP_NET_NO_BUFFER;
	ip = (struct rte_ipv6_hdr *)kx_net_put_eth(net->nif, at, &from, RTE_ETHER_TYPE_IPV6);
	/* Source and destination change places: the pseudo header's sum stays. */
	memcpy(src, ip->src_addr, 16);
	memcpy(ip->src_addr, ip->dst_addr, 16);
	memcpy(ip->dst_addr, src, 16);
	ip->hop_limits = KX_HOPS;
	retype((uint8_t *)(ip + 1), KX_ICMP6_ECHO_REPLY);
	kx_net_wait(net, p->m);
	return KX_NET_ANSWERED;
}

int kx_net_icmp6(struct kx_net *net, struct kx_net_pkt *p, uint32_t l4_bytes)
{
	const uint8_t *ip = p->eth + p->l2, *icmp = ip + 40;

	if (l4_bytes < 8 || kx_net_sum6(ip, icmp, l4_bytes, KX_IP_PROTO_ICMP6) != 0)
		return KX_DROP_ICMP_BAD;
	if (icmp[0] == KX_ICMP6_NS)
		return kx_net_nd_ns(net, p, l4_bytes);
	if (icmp[0] == KX_ICMP6_NA)
		return kx_net_nd_na(net, p, l4_bytes);
	if (icmp[0] != KX_ICMP6_ECHO || icmp[1] != 0)
		return KX_DROP_ICMP_TYPE;
	if (!kx_net_owns6(net->nif, ip + 24))
		return KX_DROP_IP6_NOT_FOR_US;
	if ((p->eth[0] & 1) != 0)
		return KX_DROP_ETH_NOT_FOR_US;
	return echo6(net, p, l4_bytes);
}
