/* SPDX-License-Identifier: BSD-3-Clause */
/* Paths: header templates, what is left of the checksums, slices. */
#include "net_pvt.h"

static void template4(const struct kx_path *path, struct rte_ipv4_hdr *ip, struct rte_udp_hdr **udp)
{
	memset(ip, 0, sizeof(*ip));
	ip->version_ihl = RTE_IPV4_VHL_DEF;
	ip->fragment_offset = RTE_BE16(RTE_IPV4_HDR_DF_FLAG);
	ip->time_to_live = KX_HOPS;
	ip->next_proto_id = KX_IP_PROTO_UDP;
	ip->src_addr = kx_load32(path->local.ip + 12);
	ip->dst_addr = kx_load32(path->remote.ip + 12);
	/* The sum so far, not its complement: kx_net_prepend() adds the length. */
	ip->hdr_checksum = kx_ip4_sum((const uint8_t *)ip);
	*udp = (struct rte_udp_hdr *)(ip + 1);
}

static void template6(const struct kx_path *path, struct rte_ipv6_hdr *ip, struct rte_udp_hdr **udp)
{
	memset(ip, 0, sizeof(*ip));
	ip->vtc_flow = RTE_BE32(UINT32_C(6) << 28);
	ip->proto = KX_IP_PROTO_UDP;
	ip->hop_limits = KX_HOPS;
	memcpy(ip->src_addr, path->local.ip, 16);
	memcpy(ip->dst_addr, path->remote.ip, 16);
	*udp = (struct rte_udp_hdr *)(ip + 1);
}

/** Fill what follows from path->local and path->remote. */
static void make_template(const struct kx_net_if *nif, struct kx_path *path, const struct rte_ether_addr *to)
{
	bool v4 = kx_addr_is_v4(&path->remote);
	struct rte_udp_hdr *udp;
	uint8_t *ip;

	memset(path->link, 0, sizeof(path->link));
	ip = kx_net_put_eth(nif, path->link, to, v4 ? RTE_ETHER_TYPE_IPV4 : RTE_ETHER_TYPE_IPV6);
	if (v4)
		template4(path, (struct rte_ipv4_hdr *)ip, &udp);
	else
		template6(path, (struct rte_ipv6_hdr *)ip, &udp);
	udp->src_port = rte_cpu_to_be_16(path->local.port);
	udp->dst_port = rte_cpu_to_be_16(path->remote.port);
	path->link_bytes = (uint16_t)((uint8_t *)(udp + 1) - path->link);
	path->datagram_bytes = kx_net_datagram_bytes(nif, v4);
	path->port_id = nif->conf.port_id;
	path->zero = 0;
}

int kx_net_path_of(struct kx_net *net, const struct kx_frame *frame, struct kx_path *path)
{
	const struct rte_mbuf *m = frame->buf;
	const uint8_t *eth = rte_pktmbuf_mtod(m, const uint8_t *);
	const uint8_t *ip = eth + RTE_ETHER_HDR_LEN;
	struct rte_ether_addr from = ((const struct rte_ether_hdr *)eth)->src_addr;

	if (kx_load16(eth + 12) == RTE_BE16(RTE_ETHER_TYPE_VLAN))
		ip += RTE_VLAN_HLEN;
	memset(path, 0, sizeof(*path));
	path->remote = frame->remote;
	if (kx_addr_is_v4(&frame->remote))
		kx_ip4_map(path->local.ip, kx_load32(ip + 16));
	else
		memcpy(path->local.ip, ip + 24, 16);
	path->local.port = frame->local_port;
	make_template(net->nif, path, &from);
	return 0;
}

int kx_net_path_to(struct kx_net *net, const struct kx_addr *remote, uint16_t local_port, uint64_t now_ns,
	struct kx_path *path)
{
	struct rte_ether_addr mac;
	uint8_t hop[16], own[16];
	int err;

	if (remote->port == 0 || local_port == 0)
		return -EINVAL;
	err = kx_net_route(net->nif, remote->ip, hop, own);
	if (err == 0)
		err = kx_neigh_resolve(net, hop, own, now_ns, &mac);
	if (err != 0)
		return err;
	memset(path, 0, sizeof(*path));
	memcpy(path->remote.ip, remote->ip, 16);
	path->remote.port = remote->port;
	memcpy(path->local.ip, own, 16);
	path->local.port = local_port;
	make_template(net->nif, path, &mac);
	return 0;
}

/**
 * One's complement sum of an mbuf chain from `off` in its first buffer on. (rte_raw_cksum_mbuf() of
 * DPDK 22.11 loses carries behind a buffer of odd length.)
 */
static uint16_t chain_sum(const struct rte_mbuf *m, uint32_t off)
{
	uint64_t sum = 0;
	uint32_t done = 0;

	for (; m != NULL; m = m->next, off = 0) {
		uint16_t part =
			rte_raw_cksum(rte_pktmbuf_mtod_offset(m, const uint8_t *, off), m->data_len - off);

		sum += (done & 1) != 0 ? rte_bswap16(part) : part;
		done += m->data_len - off;
	}
	return kx_sum_fold(sum);
}

void kx_net_udp_checksum(const struct kx_net_if *nif, const struct kx_path *path, struct rte_mbuf *m)
{
	bool v4 = kx_addr_is_v4(&path->remote);
	uint32_t l3 = v4 ? sizeof(struct rte_ipv4_hdr) : sizeof(struct rte_ipv6_hdr);
	uint32_t off = path->link_bytes - (uint32_t)sizeof(struct rte_udp_hdr);
	uint8_t *udp_at = rte_pktmbuf_mtod_offset(m, uint8_t *, off), *ip = udp_at - l3;
	struct rte_udp_hdr *udp = (struct rte_udp_hdr *)udp_at;
	uint64_t sum = (uint64_t)udp->dgram_len + RTE_BE16(KX_IP_PROTO_UDP);
	uint16_t data;

	for (uint32_t i = v4 ? 12 : 8; i < l3; i += 4)
		sum += kx_load32(ip + i);
	if (nif->conf.tx_udp_offload) {
		m->l2_len = nif->l2_bytes;
		m->l3_len = l3;
		m->ol_flags |= RTE_MBUF_F_TX_UDP_CKSUM | (v4 ? RTE_MBUF_F_TX_IPV4 : RTE_MBUF_F_TX_IPV6);
		udp->dgram_cksum = kx_sum_fold(sum);
		return;
	}
	udp->dgram_cksum = 0;
	data = (uint16_t)~kx_sum_fold(sum + chain_sum(m, off));
	udp->dgram_cksum = data != 0 ? data : 0xffff;
}

static void slice_released(void *addr, void *opaque)
{
	struct kx_pin *pin = ((struct kx_net_slice *)opaque)->pin;

	RTE_SET_USED(addr);
	pin->release(pin);
}

int kx_net_attach_slice(struct rte_mbuf *head, struct rte_mbuf *ext, struct kx_net_slice *slice,
	struct kx_pin *pin, const uint8_t *data, rte_iova_t iova, uint32_t bytes)
{
	if (bytes > KX_NET_SLICE_MAX_BYTES)
		return -EMSGSIZE;
	slice->pin = pin;
	slice->shinfo.free_cb = slice_released;
	slice->shinfo.fcb_opaque = slice;
	rte_mbuf_ext_refcnt_set(&slice->shinfo, 1);
	/* The mbuf's type has no const; nothing writes through it. */
	rte_pktmbuf_attach_extbuf(ext, (void *)(uintptr_t)data, iova, (uint16_t)bytes, &slice->shinfo);
	ext->data_len = (uint16_t)bytes;
	ext->pkt_len = bytes;
	head->next = ext;
	head->nb_segs = 2;
	head->pkt_len = head->data_len + bytes;
	return 0;
}
