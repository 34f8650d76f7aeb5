/* SPDX-License-Identifier: BSD-3-Clause */
#include <rte_malloc.h>

#include "net_pvt.h"

struct kx_net *kx_net_new(
	const struct kx_net_if *nif, struct rte_mempool *pool, struct kx_ledger *ledger, int socket_id)
{
	struct kx_net *net;

	if (nif == NULL || pool == NULL || ledger == NULL)
		return NULL;
	net = rte_zmalloc_socket("kx_net", sizeof(*net), KX_CACHE_LINE, socket_id);
	if (net == NULL)
		return NULL;
	net->nif = nif;
	net->pool = pool;
	net->ledger = ledger;
	return net;
}

void kx_net_free(struct kx_net *net)
{
	struct rte_mbuf *m;

	if (net == NULL)
		return;
	while (kx_net_take(net, &m, 1) == 1)
		rte_pktmbuf_free(m);
	rte_free(net);
}

const struct kx_net_if *kx_net_iface(const struct kx_net *net)
{
	return net->nif;
}

bool kx_net_wait(struct kx_net *net, struct rte_mbuf *m)
{
	if (net->waiting_count == KX_NET_REPLIES_MAX)
		return false;
	net->waiting[(net->waiting_first + net->waiting_count) % KX_NET_REPLIES_MAX] = m;
	net->waiting_count++;
	return true;
}

unsigned int kx_net_waiting(const struct kx_net *net)
{
	return net->waiting_count;
}

unsigned int kx_net_take(struct kx_net *net, struct rte_mbuf **mbufs, unsigned int max)
{
	unsigned int n = KX_MIN(max, net->waiting_count);

	for (unsigned int i = 0; i < n; i++)
		mbufs[i] = net->waiting[(net->waiting_first + i) % KX_NET_REPLIES_MAX];
	net->waiting_first = (net->waiting_first + n) % KX_NET_REPLIES_MAX;
	net->waiting_count -= n;
	return n;
}

uint8_t *kx_net_put_eth(
	const struct kx_net_if *nif, uint8_t *at, const struct rte_ether_addr *dst, uint16_t type)
{
	struct rte_ether_hdr *eth = (struct rte_ether_hdr *)at;
	struct rte_vlan_hdr *vlan = (struct rte_vlan_hdr *)(eth + 1);

	eth->dst_addr = *dst;
	eth->src_addr = nif->conf.mac;
	if (nif->conf.vlan_id == 0) {
		eth->ether_type = rte_cpu_to_be_16(type);
		return (uint8_t *)vlan;
	}
	eth->ether_type = RTE_BE16(RTE_ETHER_TYPE_VLAN);
	vlan->vlan_tci = nif->vlan_tci;
	vlan->eth_proto = rte_cpu_to_be_16(type);
	return (uint8_t *)(vlan + 1);
}

uint8_t *kx_net_answer(struct kx_net *net, struct kx_net_pkt *pkt, uint32_t len)
{
	struct rte_mbuf *m = pkt->m, *copy;

	if (net->waiting_count == KX_NET_REPLIES_MAX)
		return NULL;
	if (!RTE_MBUF_DIRECT(m) || rte_mbuf_refcnt_read(m) != 1) {
		copy = rte_pktmbuf_copy(m, net->pool, 0, len);
		if (copy == NULL)
			return NULL;
		if (copy->nb_segs != 1) {
			rte_pktmbuf_free(copy);
			return NULL;
		}
		rte_pktmbuf_free(m);
		pkt->m = m = copy;
	}
	/* A priority tag that came with the request leaves with it: the answer is the port's own format. */
	if (pkt->l2 != net->nif->l2_bytes)
		rte_pktmbuf_adj(m, (uint16_t)(pkt->l2 - net->nif->l2_bytes));
	len -= pkt->l2 - net->nif->l2_bytes;
	m->data_len = (uint16_t)len;
	m->pkt_len = len;
	m->ol_flags = 0;
	return rte_pktmbuf_mtod(m, uint8_t *);
}
