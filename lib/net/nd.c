/* SPDX-License-Identifier: BSD-3-Clause */
/* Neighbour solicitation and advertisement (RFC 4861, 4.3, 4.4, 7.1, 7.2). */
#include "net_pvt.h"

#define OPT_SOURCE_LLA 1
#define OPT_TARGET_LLA 2
#define NA_SOLICITED   0x40
#define NA_OVERRIDE    0x20
#define ND_BYTES       24 /* type, code, checksum, flags, target */
#define ND_OPT_BYTES   8

static const uint8_t unspecified[16];

/** Find the link-layer address option `want`. @return false when the options are malformed */
static bool nd_options(
	const uint8_t *at, uint32_t bytes, uint8_t want, struct rte_ether_addr *mac, bool *found)
{
	*found = false;
	while (bytes > 0) {
		uint32_t size;

		if (bytes < ND_OPT_BYTES || at[1] == 0)
			return false;
		size = at[1] * 8u;
		if (size > bytes)
			return false;
		if (at[0] == want) {
			memcpy(mac, at + 2, sizeof(*mac));
			*found = true;
			if (size != ND_OPT_BYTES || !rte_is_valid_assigned_ether_addr(mac))
				return false;
		}
		at += size;
		bytes -= size;
	}
	return true;
}

static bool nd_well_formed(const uint8_t *ip, uint32_t l4_bytes)
{
	const uint8_t *nd = ip + 40;

	return ip[7] == 255 && l4_bytes >= ND_BYTES && nd[1] == 0 && nd[8] != 0xff;
}

/**
 * Advertise over the solicitation. With a request too short for our option (a probe without options) the
 * option is left out: the asker has our MAC, or only asks whether the address is taken.
 */
static int advertise(struct kx_net *net, struct kx_net_pkt *p, uint32_t l4_bytes)
{
	static const uint8_t all_nodes[16] = {0xff, 0x02, [15] = 1};
	static const struct rte_ether_addr all_nodes_mac = {{0x33, 0x33, 0, 0, 0, 1}};
	struct rte_ether_addr to = ((const struct rte_ether_hdr *)p->eth)->src_addr;
	bool option = l4_bytes >= ND_BYTES + ND_OPT_BYTES;
	bool solicited = memcmp(p->eth + p->l2 + 8, unspecified, 16) != 0;
	uint16_t bytes = option ? ND_BYTES + ND_OPT_BYTES : ND_BYTES, sum;
	uint8_t *at = kx_net_answer(net, p, p->l2 + 40 + bytes), *ip, *nd;

	if (at == NULL)
		return KX_DROP_NET_NO_BUFFER;
	ip = kx_net_put_eth(net->nif, at, solicited ? &to : &all_nodes_mac, RTE_ETHER_TYPE_IPV6);
	nd = ip + 40;
	memcpy(ip + 24, solicited ? ip + 8 : all_nodes, 16);
	memcpy(ip + 8, nd + 8, 16);
	ip[4] = 0;
	ip[5] = (uint8_t)bytes;
	memset(nd, 0, 8);
	nd[0] = KX_ICMP6_NA;
	nd[4] = solicited ? NA_SOLICITED | NA_OVERRIDE : NA_OVERRIDE;
	if (option) {
		nd[ND_BYTES] = OPT_TARGET_LLA;
		nd[ND_BYTES + 1] = 1;
		memcpy(nd + ND_BYTES + 2, &net->nif->conf.mac, RTE_ETHER_ADDR_LEN);
	}
	sum = kx_net_sum6(ip, nd, bytes, KX_IP_PROTO_ICMP6);
	memcpy(nd + 2, &sum, sizeof(sum));
	kx_net_wait(net, p->m);
	return KX_NET_ANSWERED;
}

int kx_net_nd_ns(struct kx_net *net, struct kx_net_pkt *p, uint32_t l4_bytes)
{
	const uint8_t *ip = p->eth + p->l2, *nd = ip + 40;
	bool anonymous = memcmp(ip + 8, unspecified, 16) == 0, found;
	struct rte_ether_addr mac;

	if (!nd_well_formed(ip, l4_bytes) ||
		!nd_options(nd + ND_BYTES, l4_bytes - ND_BYTES, OPT_SOURCE_LLA, &mac, &found))
		return KX_DROP_ND_BAD;
	if (anonymous && (found || !kx_net_solicited(net->nif, ip + 24)))
		return KX_DROP_ND_BAD;
	if (!kx_net_owns6(net->nif, nd + 8))
		return KX_DROP_IP6_NOT_FOR_US;
	if (found)
		kx_neigh_learn(net, ip + 8, &mac, p->now_ns);
	return advertise(net, p, l4_bytes);
}

int kx_net_nd_na(struct kx_net *net, struct kx_net_pkt *p, uint32_t l4_bytes)
{
	const uint8_t *ip = p->eth + p->l2, *nd = ip + 40;
	struct rte_ether_addr mac;
	struct kx_neigh *n;
	bool found;

	if (!nd_well_formed(ip, l4_bytes) ||
		!nd_options(nd + ND_BYTES, l4_bytes - ND_BYTES, OPT_TARGET_LLA, &mac, &found))
		return KX_DROP_ND_BAD;
	if (ip[24] == 0xff && (nd[4] & NA_SOLICITED) != 0)
		return KX_DROP_ND_BAD;
	n = kx_neigh_find(net, nd + 8);
	if (n == NULL)
		return KX_NET_DONE;
	if (!found) {
		if (n->state == KX_NEIGH_ASKED || (nd[4] & NA_SOLICITED) == 0)
			return KX_NET_DONE;
		mac = n->mac;
	} else if (n->state != KX_NEIGH_ASKED && (nd[4] & NA_OVERRIDE) == 0 &&
		!rte_is_same_ether_addr(&mac, &n->mac)) {
		return KX_NET_DONE;
	}
	kx_neigh_update(net, nd + 8, &mac, p->now_ns);
	return KX_NET_DONE;
}

static void put_target_group(const uint8_t hop[16], uint8_t group[16], struct rte_ether_addr *mac)
{
	memset(group, 0, 16);
	group[0] = 0xff;
	group[1] = 0x02;
	group[11] = 1;
	group[12] = 0xff;
	memcpy(group + 13, hop + 13, 3);
	*mac = (struct rte_ether_addr){{0x33, 0x33, 0xff, hop[13], hop[14], hop[15]}};
}

void kx_net_nd_ask(
	struct kx_net *net, const uint8_t own[16], const uint8_t hop[16], const struct rte_ether_addr *mac)
{
	const uint16_t bytes = ND_BYTES + ND_OPT_BYTES;
	struct rte_mbuf *m = rte_pktmbuf_alloc(net->pool);
	struct rte_ether_addr group_mac;
	uint8_t group[16], *at, *ip, *nd;
	uint16_t sum;

	if (m == NULL)
		return;
	at = (uint8_t *)rte_pktmbuf_append(m, (uint16_t)(net->nif->l2_bytes + 40 + bytes));
	if (at == NULL || net->waiting_count == KX_NET_REPLIES_MAX) {
		rte_pktmbuf_free(m);
		return;
	}
	put_target_group(hop, group, &group_mac);
	ip = kx_net_put_eth(net->nif, at, mac != NULL ? mac : &group_mac, RTE_ETHER_TYPE_IPV6);
	nd = ip + 40;
	memset(ip, 0, 40 + bytes);
	ip[0] = 0x60;
	ip[5] = (uint8_t)bytes;
	ip[6] = KX_IP_PROTO_ICMP6;
	ip[7] = 255;
	memcpy(ip + 8, own, 16);
	memcpy(ip + 24, mac != NULL ? hop : group, 16);
	nd[0] = KX_ICMP6_NS;
	memcpy(nd + 8, hop, 16);
	nd[ND_BYTES] = OPT_SOURCE_LLA;
	nd[ND_BYTES + 1] = 1;
	memcpy(nd + ND_BYTES + 2, &net->nif->conf.mac, RTE_ETHER_ADDR_LEN);
	sum = kx_net_sum6(ip, nd, bytes, KX_IP_PROTO_ICMP6);
	memcpy(nd + 2, &sum, sizeof(sum));
	kx_net_wait(net, m);
}
