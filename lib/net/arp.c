/* SPDX-License-Identifier: BSD-3-Clause */
/* ARP (RFC 826) for Ethernet and IPv4. */
#include "net_pvt.h"

static const struct rte_ether_addr everyone = {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};

static int arp_request(struct kx_net *net, struct kx_net_pkt *p)
{
	struct rte_ether_addr from = ((const struct rte_ether_hdr *)p->eth)->src_addr;
	struct rte_arp_hdr *arp;
	uint32_t own;
	uint8_t *at = kx_net_answer(net, p, p->l2 + sizeof(*arp));

	if (at == NULL)
		return KX_DROP_NET_NO_BUFFER;
	arp = (struct rte_arp_hdr *)kx_net_put_eth(net->nif, at, &from, RTE_ETHER_TYPE_ARP);
	own = arp->arp_data.arp_tip;
	arp->arp_opcode = RTE_BE16(RTE_ARP_OP_REPLY);
	arp->arp_data.arp_tha = arp->arp_data.arp_sha;
	arp->arp_data.arp_tip = arp->arp_data.arp_sip;
	arp->arp_data.arp_sha = net->nif->conf.mac;
	arp->arp_data.arp_sip = own;
	kx_net_wait(net, p->m);
	return KX_NET_ANSWERED;
}

static bool arp_well_formed(const struct rte_arp_hdr *arp)
{
	return arp->arp_hardware == RTE_BE16(RTE_ARP_HRD_ETHER) &&
		arp->arp_protocol == RTE_BE16(RTE_ETHER_TYPE_IPV4) && arp->arp_hlen == RTE_ETHER_ADDR_LEN &&
		arp->arp_plen == 4 && rte_is_valid_assigned_ether_addr(&arp->arp_data.arp_sha);
}

int kx_net_arp(struct kx_net *net, struct kx_net_pkt *p)
{
	const struct rte_arp_hdr *arp = (const struct rte_arp_hdr *)(p->eth + p->l2);
	uint32_t sender, op;
	uint8_t ip[16];
	bool probe;

	if (p->len < p->l2 + sizeof(*arp) || !arp_well_formed(arp))
		return KX_DROP_ARP_BAD;
	sender = arp->arp_data.arp_sip;
	op = rte_be_to_cpu_16(arp->arp_opcode);
	probe = sender == 0 && op == RTE_ARP_OP_REQUEST; /* RFC 5227 */
	if ((op != RTE_ARP_OP_REQUEST && op != RTE_ARP_OP_REPLY) ||
		(!probe && (!kx_ip4_answerable(sender) || kx_net_owns4(net->nif, sender))))
		return KX_DROP_ARP_BAD;
	kx_ip4_map(ip, sender);
	if (!kx_net_owns4(net->nif, arp->arp_data.arp_tip))
		return !probe && kx_neigh_update(net, ip, &arp->arp_data.arp_sha, p->now_ns)
			? KX_NET_DONE
			: KX_DROP_ARP_BAD;
	if (op == RTE_ARP_OP_REPLY) {
		kx_neigh_update(net, ip, &arp->arp_data.arp_sha, p->now_ns);
		return KX_NET_DONE;
	}
	if (!probe)
		kx_neigh_learn(net, ip, &arp->arp_data.arp_sha, p->now_ns);
	return arp_request(net, p);
}

void kx_net_arp_ask(
	struct kx_net *net, const uint8_t own[16], const uint8_t hop[16], const struct rte_ether_addr *mac)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(net->pool);
	struct rte_arp_hdr *arp;
	uint8_t *at;

	if (m == NULL)
		return;
	at = (uint8_t *)rte_pktmbuf_append(m, (uint16_t)(net->nif->l2_bytes + sizeof(*arp)));
	if (at == NULL || net->waiting_count == KX_NET_REPLIES_MAX) {
		rte_pktmbuf_free(m);
		return;
	}
	arp = (struct rte_arp_hdr *)kx_net_put_eth(
		net->nif, at, mac != NULL ? mac : &everyone, RTE_ETHER_TYPE_ARP);
	memset(arp, 0, sizeof(*arp));
	arp->arp_hardware = RTE_BE16(RTE_ARP_HRD_ETHER);
	arp->arp_protocol = RTE_BE16(RTE_ETHER_TYPE_IPV4);
	arp->arp_hlen = RTE_ETHER_ADDR_LEN;
	arp->arp_plen = 4;
	arp->arp_opcode = RTE_BE16(RTE_ARP_OP_REQUEST);
	arp->arp_data.arp_sha = net->nif->conf.mac;
	arp->arp_data.arp_sip = kx_load32(own + 12);
	arp->arp_data.arp_tip = kx_load32(hop + 12);
	kx_net_wait(net, m);
}
