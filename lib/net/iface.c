/* SPDX-License-Identifier: BSD-3-Clause */
#include "net_pvt.h"

#define MTU_MIN_V4 68
#define MTU_MIN_V6 1280
#define MTU_MAX	   9600

static const uint8_t unspecified[16];

static uint32_t mask4(unsigned int bits)
{
	return bits == 0 ? 0 : rte_cpu_to_be_32(UINT32_MAX << (32 - bits));
}

static bool prefix_match(const uint8_t *a, const uint8_t *b, unsigned int bits)
{
	unsigned int bytes = bits / 8, rest = bits % 8;

	if (memcmp(a, b, bytes) != 0)
		return false;
	return rest == 0 || ((a[bytes] ^ b[bytes]) >> (8 - rest)) == 0;
}

static int add_address(struct kx_net_if *nif, const struct kx_net_addr *a)
{
	if (kx_ip_is_v4(a->ip)) {
		uint32_t ip4 = kx_load32(a->ip + 12);

		if (a->prefix_bits > 32 || !kx_ip4_answerable(ip4))
			return -EINVAL;
		nif->addr4[nif->addr4_count] = ip4;
		nif->mask4[nif->addr4_count++] = mask4(a->prefix_bits);
		return 0;
	}
	if (a->prefix_bits > 128 || a->ip[0] == 0xff || memcmp(a->ip, unspecified, 15) == 0)
		return -EINVAL;
	memcpy(nif->addr6[nif->addr6_count], a->ip, 16);
	nif->prefix6[nif->addr6_count++] = a->prefix_bits;
	return 0;
}

static int own4_for(const struct kx_net_if *nif, uint32_t ip4)
{
	int best = -1;

	for (int i = 0; i < nif->addr4_count; i++)
		if (((nif->addr4[i] ^ ip4) & nif->mask4[i]) == 0 &&
			(best < 0 || rte_be_to_cpu_32(nif->mask4[i]) > rte_be_to_cpu_32(nif->mask4[best])))
			best = i;
	return best;
}

static int own6_for(const struct kx_net_if *nif, const uint8_t ip[16])
{
	int best = -1;

	for (int i = 0; i < nif->addr6_count; i++)
		if (prefix_match(nif->addr6[i], ip, nif->prefix6[i]) &&
			(best < 0 || nif->prefix6[i] > nif->prefix6[best]))
			best = i;
	return best;
}

static int set_gateways(struct kx_net_if *nif, const struct kx_net_if_conf *c)
{
	if (memcmp(c->gateway4, unspecified, 16) != 0) {
		if (!kx_ip_is_v4(c->gateway4))
			return -EINVAL;
		nif->gateway4 = kx_load32(c->gateway4 + 12);
		if (own4_for(nif, nif->gateway4) < 0 || kx_net_owns4(nif, nif->gateway4))
			return -EINVAL;
	}
	if (memcmp(c->gateway6, unspecified, 16) != 0) {
		if (kx_ip_is_v4(c->gateway6) || own6_for(nif, c->gateway6) < 0 ||
			kx_net_owns6(nif, c->gateway6))
			return -EINVAL;
		memcpy(nif->gateway6, c->gateway6, 16);
		nif->has_gateway6 = true;
	}
	return 0;
}

static bool conf_in_range(const struct kx_net_if_conf *c)
{
	return c->vlan_id <= 4094 && c->mtu >= MTU_MIN_V4 && c->mtu <= MTU_MAX && c->base_port > 0 &&
		c->port_count > 0 && (uint32_t)c->base_port + c->port_count <= 65536 && c->addr_count > 0 &&
		c->addr_count <= KX_NET_ADDRS_MAX && rte_is_valid_assigned_ether_addr(&c->mac) &&
		(unsigned int)c->udp_checksum <= KX_NET_UDP_NEVER;
}

int kx_net_if_init(struct kx_net_if *nif, const struct kx_net_if_conf *conf)
{
	if (!conf_in_range(conf))
		return -EINVAL;
	memset(nif, 0, sizeof(*nif));
	nif->conf = *conf;
	for (unsigned int i = 0; i < conf->addr_count; i++)
		if (add_address(nif, &conf->addr[i]) != 0)
			return -EINVAL;
	if (nif->addr6_count > 0 && conf->mtu < MTU_MIN_V6)
		return -EINVAL;
	memcpy(&nif->mac48, &conf->mac, sizeof(conf->mac));
	nif->first_v4 = nif->addr4_count > 0 ? nif->addr4[0] : 0;
	nif->l2_bytes = conf->vlan_id != 0 ? RTE_ETHER_HDR_LEN + RTE_VLAN_HLEN : RTE_ETHER_HDR_LEN;
	nif->vlan_tci = rte_cpu_to_be_16(conf->vlan_id);
	nif->first_type = rte_cpu_to_be_16(conf->vlan_id != 0 ? RTE_ETHER_TYPE_VLAN : RTE_ETHER_TYPE_IPV4);
	return set_gateways(nif, conf);
}

bool kx_net_owns6(const struct kx_net_if *nif, const uint8_t ip[16])
{
	for (unsigned int i = 0; i < nif->addr6_count; i++)
		if (memcmp(nif->addr6[i], ip, 16) == 0)
			return true;
	return false;
}

bool kx_net_if_owns(const struct kx_net_if *nif, const uint8_t ip[16])
{
	return kx_ip_is_v4(ip) ? kx_net_owns4(nif, kx_load32(ip + 12)) : kx_net_owns6(nif, ip);
}

bool kx_net_solicited(const struct kx_net_if *nif, const uint8_t ip[16])
{
	static const uint8_t head[13] = {0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x01, 0xff};

	if (memcmp(ip, head, sizeof(head)) != 0)
		return false;
	for (unsigned int i = 0; i < nif->addr6_count; i++)
		if (memcmp(nif->addr6[i] + 13, ip + 13, 3) == 0)
			return true;
	return false;
}

static int route4(const struct kx_net_if *nif, uint32_t ip4, uint8_t hop[16], uint8_t own[16])
{
	int i = own4_for(nif, ip4);
	uint32_t host, next = ip4;

	if (!kx_ip4_answerable(ip4) || kx_net_owns4(nif, ip4))
		return -ENETUNREACH;
	if (i >= 0) {
		host = ip4 & ~nif->mask4[i];
		/* The subnet's own and broadcast address, where a prefix leaves room for them (RFC 3021). */
		if (rte_be_to_cpu_32(~nif->mask4[i]) > 1 && (host == 0 || host == ~nif->mask4[i]))
			return -ENETUNREACH;
	} else {
		if (nif->gateway4 == 0)
			return -ENETUNREACH;
		next = nif->gateway4;
		i = own4_for(nif, next);
	}
	kx_ip4_map(hop, next);
	kx_ip4_map(own, nif->addr4[i]);
	return 0;
}

int kx_net_route(const struct kx_net_if *nif, const uint8_t ip[16], uint8_t hop[16], uint8_t own[16])
{
	const uint8_t *next = ip;
	int i;

	if (kx_ip_is_v4(ip))
		return route4(nif, kx_load32(ip + 12), hop, own);
	if (ip[0] == 0xff || memcmp(ip, unspecified, 15) == 0 || kx_net_owns6(nif, ip))
		return -ENETUNREACH;
	i = own6_for(nif, ip);
	if (i < 0) {
		if (!nif->has_gateway6)
			return -ENETUNREACH;
		next = nif->gateway6;
		i = own6_for(nif, next);
	}
	memcpy(hop, next, 16);
	memcpy(own, nif->addr6[i], 16);
	return 0;
}
