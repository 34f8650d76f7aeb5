/* SPDX-License-Identifier: BSD-3-Clause */
/* Addresses as text. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "kx_session.h"

/* Decimal, 1..65535, nothing before or after. */
static int parse_port(const char *text, uint16_t *port)
{
	uint32_t value = 0;

	for (const char *p = text; *p != '\0'; p++) {
		if (*p < '0' || *p > '9' || value > UINT16_MAX)
			return -EINVAL;
		value = value * 10 + (uint32_t)(*p - '0');
	}
	if (value == 0 || value > UINT16_MAX)
		return -EINVAL;
	*port = (uint16_t)value;
	return 0;
}

static int parse_ip(const char *text, size_t bytes, struct kx_addr *out)
{
	char ip[INET6_ADDRSTRLEN];

	if (bytes >= sizeof(ip))
		return -EINVAL;
	memcpy(ip, text, bytes);
	ip[bytes] = '\0';
	if (strchr(ip, ':') != NULL)
		return inet_pton(AF_INET6, ip, out->ip) == 1 ? 0 : -EINVAL;
	out->ip[10] = out->ip[11] = 0xff;
	return inet_pton(AF_INET, ip, out->ip + 12) == 1 ? 0 : -EINVAL;
}

int kx_addr_parse(const char *text, uint16_t default_port, struct kx_addr *out)
{
	struct kx_addr addr = {.port = default_port};
	const char *ip = text, *end, *port;
	int err;

	if (*text == '[') {
		ip = text + 1;
		end = strchr(ip, ']');
		if (end == NULL || memchr(ip, ':', (size_t)(end - ip)) == NULL)
			return -EINVAL;
		port = end + 1;
	} else {
		end = strchr(text, ':');
		if (end == NULL || strchr(end + 1, ':') != NULL) /* several colons: a bare IPv6 address */
			end = text + strlen(text);
		port = end;
	}
	if (*port != '\0' && *port != ':')
		return -EINVAL;
	err = parse_ip(ip, (size_t)(end - ip), &addr);
	if (err == 0 && *port == ':')
		err = parse_port(port + 1, &addr.port);
	if (err == 0)
		*out = addr;
	return err;
}

char *kx_addr_format(const struct kx_addr *a, char buf[KX_ADDR_TEXT_BYTES])
{
	char ip[INET6_ADDRSTRLEN];

	if (kx_addr_is_v4(a)) {
		inet_ntop(AF_INET, a->ip + 12, ip, sizeof(ip));
		snprintf(buf, KX_ADDR_TEXT_BYTES, "%s:%u", ip, a->port);
	} else {
		inet_ntop(AF_INET6, a->ip, ip, sizeof(ip));
		snprintf(buf, KX_ADDR_TEXT_BYTES, "[%s]:%u", ip, a->port);
	}
	return buf;
}
