/* SPDX-License-Identifier: BSD-3-Clause */
/* Contradictions within and between ports. */
#include "conf_private.h"

#include <string.h>

static bool ports_usable(const struct check *c, uint32_t port, const char *key)
{
	return conf_usable(c, KX_CONF_S_PORT, port, key);
}

/** The second of two equal addresses is the one that is wrong. Link-local ones are equal on two links without
 * harm. */
static void check_twice(
	const struct check *c, uint32_t port, const struct kx_conf_addr *a, uint32_t place, bool ip6)
{
	for (uint32_t p = 0; p <= port; p++) {
		const struct kx_conf_port *other = &c->conf->ports[p];
		const struct kx_conf_addr *list = ip6 ? other->ip6 : other->ip4;
		uint32_t n = p == port ? place : (ip6 ? other->ip6_count : other->ip4_count);
		bool link_local = ip6 && a->bytes[0] == 0xfe && (a->bytes[1] & 0xc0) == 0x80;

		for (uint32_t i = 0; i < n; i++) {
			if (memcmp(list[i].bytes, a->bytes, ip6 ? 16 : 4) != 0 || (link_local && p != port))
				continue;
			conf_check_error(c, KX_CONF_S_PORT, port, "address",
				"%s is on port %s already; allowed: each address once",
				conf_address_text(a->bytes, ip6), other->name);
			return;
		}
	}
}

static void check_addresses(const struct check *c, uint32_t port)
{
	const struct kx_conf_port *p = &c->conf->ports[port];

	if (!ports_usable(c, port, "address"))
		return;
	if (p->ip4_count + p->ip6_count == 0)
		conf_check_error(c, KX_CONF_S_PORT, port, "address",
			"key is missing; allowed: one or more addresses with prefix length such as "
			"10.77.0.1/24, "
			"fd77::1/64");
	for (uint32_t i = 0; i < p->ip4_count; i++)
		check_twice(c, port, &p->ip4[i], i, false);
	for (uint32_t i = 0; i < p->ip6_count; i++)
		check_twice(c, port, &p->ip6[i], i, true);
}

/** A next hop must be a neighbour: in one of the port's networks and not the port itself. */
static void check_gateway(const struct check *c, uint32_t port, bool ip6)
{
	const struct kx_conf_port *p = &c->conf->ports[port];
	const char *key = ip6 ? "gateway6" : "gateway";
	const uint8_t *gateway = ip6 ? p->gateway6 : p->gateway;
	const struct kx_conf_addr *list = ip6 ? p->ip6 : p->ip4;
	uint32_t n = ip6 ? p->ip6_count : p->ip4_count;
	bool near = ip6 && gateway[0] == 0xfe && (gateway[1] & 0xc0) == 0x80;

	if (!(ip6 ? p->has_gateway6 : p->has_gateway) || !ports_usable(c, port, "address"))
		return;
	for (uint32_t i = 0; i < n; i++) {
		if (memcmp(list[i].bytes, gateway, ip6 ? 16 : 4) == 0) {
			conf_check_error(c, KX_CONF_S_PORT, port, key,
				"%s is the port's own address; allowed: a neighbour's",
				conf_address_text(gateway, ip6));
			return;
		}
		near = near || conf_same_subnet(list[i].bytes, gateway, list[i].prefix);
	}
	if (n == 0)
		conf_check_error(c, KX_CONF_S_PORT, port, key,
			"the port has no %s address; allowed: only beside one in address",
			ip6 ? "IPv6" : "IPv4");
	else if (!near)
		conf_check_error(c, KX_CONF_S_PORT, port, key,
			"%s is in none of the port's networks; allowed: an address in one of them%s",
			conf_address_text(gateway, ip6), ip6 ? ", or a link-local one" : "");
}

/** A frame is never received in pieces. 22: Ethernet header, VLAN tag and FCS. */
static void check_buffer(const struct check *c, uint32_t port)
{
	const struct kx_conf_port *p = &c->conf->ports[port];
	uint32_t need = p->mtu + 22 + KX_CONF_MBUF_HEADROOM;

	if (!ports_usable(c, port, "mtu") || !conf_usable(c, KX_CONF_S_MEMORY, 0, "mbuf_bytes"))
		return;
	if (c->conf->memory.mbuf_bytes < need)
		conf_check_error(c, KX_CONF_S_PORT, port, "mtu",
			"a frame of MTU %u needs %u bytes, memory.mbuf_bytes is %u; allowed: a smaller mtu, "
			"or "
			"mbuf_bytes = 0 or at least %u",
			p->mtu, need, c->conf->memory.mbuf_bytes, need);
}

void conf_check_ports(const struct check *c)
{
	for (uint32_t p = 0; p < c->conf->port_count; p++) {
		check_addresses(c, p);
		if (ports_usable(c, p, "gateway"))
			check_gateway(c, p, false);
		if (ports_usable(c, p, "gateway6"))
			check_gateway(c, p, true);
		check_buffer(c, p);
	}
}
