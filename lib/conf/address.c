/* SPDX-License-Identifier: BSD-3-Clause */
/* Addresses of ports and their gateways. */
#include "conf_private.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *conf_address_text(const uint8_t *bytes, bool ip6)
{
	static _Thread_local char texts[4][INET6_ADDRSTRLEN];
	static _Thread_local unsigned int next;
	char *out = texts[next++ % KX_DIM(texts)];

	inet_ntop(ip6 ? AF_INET6 : AF_INET, bytes, out, INET6_ADDRSTRLEN);
	return out;
}

bool conf_same_subnet(const uint8_t *a, const uint8_t *b, unsigned int prefix)
{
	unsigned int whole = prefix / 8, rest = prefix % 8;

	if (memcmp(a, b, whole) != 0)
		return false;
	return rest == 0 || ((a[whole] ^ b[whole]) >> (8 - rest)) == 0;
}

/** Why an address cannot be a host's own; NULL when it can. */
static const char *not_a_host(const uint8_t *a, bool ip6)
{
	struct in6_addr six;

	if (!ip6) {
		if (a[0] == 0)
			return "an address of network 0";
		if (a[0] == 127)
			return "a loopback address";
		return a[0] >= 224 ? "a multicast or reserved address" : NULL;
	}
	memcpy(&six, a, sizeof(six));
	if (IN6_IS_ADDR_UNSPECIFIED(&six))
		return "the unspecified address";
	if (IN6_IS_ADDR_LOOPBACK(&six))
		return "the loopback address";
	if (IN6_IS_ADDR_V4MAPPED(&six) || IN6_IS_ADDR_V4COMPAT(&six))
		return "an IPv4 address written as IPv6";
	return IN6_IS_ADDR_MULTICAST(&six) ? "a multicast address" : NULL;
}

/** The first or last address of an IPv4 network is no host's (prefixes 31 and 32 have neither). */
static const char *not_in_network(const uint8_t *a, unsigned int prefix)
{
	uint32_t host = (uint32_t)a[0] << 24 | (uint32_t)a[1] << 16 | (uint32_t)a[2] << 8 | a[3];
	uint32_t mask = prefix >= 31 ? 0 : UINT32_MAX >> prefix;

	if (mask == 0)
		return NULL;
	if ((host & mask) == 0)
		return "the network's own address";
	return (host & mask) == mask ? "the network's broadcast address" : NULL;
}

static bool parse_address(const char *text, bool ip6, uint8_t out[16], struct kx_text *why)
{
	char quoted[QUOTE_BYTES];
	const char *bad;

	memset(out, 0, 16);
	if (inet_pton(ip6 ? AF_INET6 : AF_INET, text, out) != 1) {
		kx_text_add(why, "`%s` is not an %s address", conf_quote(quoted, text, strlen(text)),
			ip6 ? "IPv6" : "IPv4");
		return false;
	}
	bad = not_a_host(out, ip6);
	if (bad != NULL)
		kx_text_add(why, "%s is %s", text, bad);
	return bad == NULL;
}

static bool parse_prefix(const char *text, unsigned int max, uint8_t *prefix)
{
	size_t len = strlen(text);

	if (len == 0 || len > 3 || strspn(text, "0123456789") != len)
		return false;
	unsigned int v = (unsigned int)atoi(text);
	*prefix = (uint8_t)v;
	return v >= 1 && v <= max;
}

static bool add_address(
	struct kx_conf_port *port, const struct kx_conf_addr *a, bool ip6, struct kx_text *why)
{
	struct kx_conf_addr *list = ip6 ? port->ip6 : port->ip4;
	uint8_t *count = ip6 ? &port->ip6_count : &port->ip4_count;

	if (*count == KX_CONF_ADDRS_MAX) {
		kx_text_add(why, "more than %d %s addresses", KX_CONF_ADDRS_MAX, ip6 ? "IPv6" : "IPv4");
		return false;
	}
	list[(*count)++] = *a;
	return true;
}

/** One "ADDRESS/PREFIX", terminated and without blanks around it. */
static bool one_address(struct kx_conf_port *port, char *item, struct kx_text *why)
{
	char quoted[QUOTE_BYTES];
	struct kx_conf_addr a;
	bool ip6 = strchr(item, ':') != NULL;
	char *slash = strchr(item, '/');
	const char *bad;

	if (*item == '\0') {
		kx_text_add(why, "an address is missing beside a comma");
		return false;
	}
	if (slash == NULL) {
		kx_text_add(why, "`%s` has no prefix length", conf_quote(quoted, item, strlen(item)));
		return false;
	}
	*slash = '\0';
	if (!parse_address(item, ip6, a.bytes, why))
		return false;
	if (!parse_prefix(slash + 1, ip6 ? 128 : 32, &a.prefix)) {
		kx_text_add(why, "`%s` is not a prefix length of 1..%d",
			conf_quote(quoted, slash + 1, strlen(slash + 1)), ip6 ? 128 : 32);
		return false;
	}
	bad = ip6 ? NULL : not_in_network(a.bytes, a.prefix);
	if (bad != NULL) {
		kx_text_add(why, "%s/%u is %s", item, a.prefix, bad);
		return false;
	}
	return add_address(port, &a, ip6, why);
}

bool conf_addresses(struct kx_conf_port *port, const char *value, struct kx_text *why)
{
	char copy[KX_CONF_LINE_MAX];
	char *p = copy;

	port->ip4_count = port->ip6_count = 0;
	snprintf(copy, sizeof(copy), "%s", value);
	while (p != NULL) {
		char *item = p + strspn(p, " \t");
		char *comma = strchr(item, ',');
		char *end = comma != NULL ? comma : item + strlen(item);

		p = comma != NULL ? comma + 1 : NULL;
		while (end > item && (end[-1] == ' ' || end[-1] == '\t'))
			end--;
		*end = '\0';
		if (!one_address(port, item, why))
			return false;
	}
	return true;
}

bool conf_gateway4(struct kx_conf_port *port, const char *value, struct kx_text *why)
{
	uint8_t a[16];

	port->has_gateway = strcmp(value, "none") != 0;
	if (!port->has_gateway)
		return true;
	if (!parse_address(value, false, a, why))
		return false;
	memcpy(port->gateway, a, sizeof(port->gateway));
	return true;
}

bool conf_gateway6(struct kx_conf_port *port, const char *value, struct kx_text *why)
{
	port->has_gateway6 = strcmp(value, "none") != 0;
	return !port->has_gateway6 || parse_address(value, true, port->gateway6, why);
}
