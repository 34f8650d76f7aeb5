/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Fuzz target: kx_conf_load_memory() over an exact-size copy. Whatever comes in is a list of printable errors
 * or a configuration whose every number is inside the table's range and whose derived values agree with each
 * other.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "kx_conf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static struct kx_conf_errors errs;

static void require(bool ok)
{
	if (!ok)
		abort();
}

static void check_errors(void)
{
	require(errs.total > 0 && errs.count <= errs.total && errs.count <= KX_CONF_ERRORS_MAX);
	for (uint32_t i = 0; i < errs.count; i++) {
		require(strncmp(errs.text[i], "fuzz.ini:", 9) == 0);
		require(memchr(errs.text[i], '\0', KX_CONF_ERROR_TEXT_MAX) != NULL);
		for (const char *p = errs.text[i]; *p != '\0'; p++)
			require(*p >= 0x20 && *p < 0x7f);
	}
}

static void check_section(enum kx_conf_section section, const void *at)
{
	size_t count;
	const struct kx_conf_key *key = kx_conf_keys(&count);

	for (size_t i = 0; i < count; i++) {
		uint64_t v = 0;

		if (key[i].section != section ||
			(key[i].type != KX_CONF_T_COUNT && key[i].type != KX_CONF_T_BYTES))
			continue;
		memcpy(&v, (const uint8_t *)at + key[i].offset, key[i].width);
		if (v == 0 && key[i].zero != NULL)
			continue;
		require(v >= key[i].min && v <= key[i].max);
		require(!key[i].power_of_two || (v & (v - 1)) == 0);
	}
}

static void check_topics(const struct kx_conf *c)
{
	uint32_t next = 0;

	for (uint32_t t = 0; t < c->topic_count; t++) {
		const struct kx_conf_topic *topic = &c->topics[t];

		check_section(KX_CONF_S_TOPIC, topic);
		require(topic->first_partition == next && topic->partitions > 0);
		next += topic->partitions;
		require(kx_conf_topic_find(c, topic->name, strlen(topic->name)) == (int)t);
		require(kx_conf_partition_topic(c, topic->first_partition) == (int)t);
		require(kx_conf_partition_topic(c, next - 1) == (int)t);
	}
	require(next == c->partition_count && next <= KX_CONF_PARTITIONS_MAX);
}

static void check_shares(const struct kx_conf *c, uint32_t lcores)
{
	uint32_t partitions = 0;

	for (uint32_t i = 0; i < lcores; i++) {
		struct kx_conf_log_share share;

		kx_conf_log_share(c, i, lcores, &share);
		partitions += share.partitions;
		require(share.reserved_bytes + share.sharing * share.share_bytes <= c->memory.log_bytes);
		require(share.sharing == 0 || share.share_bytes >= 2ull * c->memory.extent_bytes);
	}
	require(partitions == c->partition_count);
}

static void check_conf(const struct kx_conf *c)
{
	static char text[65536];
	struct kx_text t;

	require(kx_conf_bytes(c) < KX_CONF_BYTES_MAX);
	check_section(KX_CONF_S_BROKER, &c->broker);
	check_section(KX_CONF_S_LCORES, &c->lcores);
	check_section(KX_CONF_S_SESSIONS, &c->sessions);
	require(c->port_count >= 1 && c->port_count <= KX_CONF_PORTS_MAX && c->topic_count >= 1);
	for (uint32_t p = 0; p < c->port_count; p++) {
		check_section(KX_CONF_S_PORT, &c->ports[p]);
		require(c->ports[p].ip4_count <= KX_CONF_ADDRS_MAX &&
			c->ports[p].ip6_count <= KX_CONF_ADDRS_MAX);
		require(c->ports[p].ip4_count + c->ports[p].ip6_count > 0);
		require(c->memory.mbuf_bytes >= c->ports[p].mtu + 22 + KX_CONF_MBUF_HEADROOM);
		require(kx_conf_port_find(c, c->ports[p].name) == (int)p);
	}
	check_topics(c);
	require(c->lcores.data_auto == (c->lcores.data_count == 0));
	require(c->lcores.rx_count <= c->lcores.data_count && c->lcores.data_count <= KX_CONF_LCORES_MAX);
	for (uint32_t n = 1; n <= 3; n++)
		if (kx_conf_check_lcores(c, n, &errs) == 0)
			check_shares(c, n);
	if (!c->lcores.data_auto) {
		require(kx_conf_check_lcores(c, c->lcores.data_count, NULL) == 0);
		check_shares(c, c->lcores.data_count);
	}
	kx_text_init(&t, text, sizeof(text));
	require(kx_conf_unchecked(c, &t) > 0 && !t.truncated);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	uint8_t *copy = malloc(bytes > 0 ? bytes : 1);
	struct kx_conf *conf;
	int rc;

	if (copy == NULL)
		return 0;
	memcpy(copy, data, bytes);
	rc = kx_conf_load_memory("fuzz.ini", copy, bytes, &conf, &errs);
	free(copy);
	if (rc != 0) {
		require(rc == -EINVAL && conf == NULL);
		check_errors();
		return 0;
	}
	require(errs.total == 0 && errs.count == 0);
	check_conf(conf);
	kx_conf_free(conf);
	return 0;
}
