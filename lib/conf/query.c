/* SPDX-License-Identifier: BSD-3-Clause */
/* Questions to a finished configuration. */
#include "conf_private.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

int kx_conf_partition_topic(const struct kx_conf *conf, uint32_t partition)
{
	uint32_t low = 0, high = conf->topic_count;

	if (partition >= conf->partition_count)
		return -1;
	while (high - low > 1) {
		uint32_t mid = (low + high) / 2;

		if (conf->topics[mid].first_partition <= partition)
			low = mid;
		else
			high = mid;
	}
	return (int)low;
}

int kx_conf_topic_find(const struct kx_conf *conf, const char *name, size_t len)
{
	if (len == 0 || len > KX_CONF_TOPIC_NAME_MAX)
		return -1;
	for (uint32_t t = 0; t < conf->topic_count; t++)
		if (memcmp(conf->topics[t].name, name, len) == 0 && conf->topics[t].name[len] == '\0')
			return (int)t;
	return -1;
}

int kx_conf_principal_find(const struct kx_conf *conf, const char *name, size_t len)
{
	if (len == 0 || len > KX_CONF_PRINCIPAL_NAME_MAX)
		return -1;
	for (uint32_t p = 0; p < conf->principal_count; p++)
		if (memcmp(conf->principals[p].name, name, len) == 0 && conf->principals[p].name[len] == '\0')
			return (int)p;
	return -1;
}

/** A PCI address without domain 0000, so that both ways to write it are one. */
static const char *device(const char *name)
{
	return strncmp(name, "0000:", 5) == 0 && strchr(name + 5, ':') != NULL ? name + 5 : name;
}

int kx_conf_port_find(const struct kx_conf *conf, const char *name)
{
	for (uint32_t p = 0; p < conf->port_count; p++)
		if (strcmp(device(conf->ports[p].name), device(name)) == 0)
			return (int)p;
	return -1;
}

/** How many of a topic's partitions data lcore `owner` has. */
static uint32_t owned(const struct kx_conf_topic *t, uint32_t owner, uint32_t data_lcores)
{
	uint32_t first = (owner + data_lcores - t->first_partition % data_lcores) % data_lcores;

	return first >= t->partitions ? 0 : (t->partitions - first - 1) / data_lcores + 1;
}

static uint64_t whole_extents(const struct kx_conf *conf, uint64_t bytes)
{
	return (bytes + conf->memory.extent_bytes - 1) / conf->memory.extent_bytes *
		conf->memory.extent_bytes;
}

void kx_conf_log_share(
	const struct kx_conf *conf, uint32_t owner, uint32_t data_lcores, struct kx_conf_log_share *share)
{
	uint64_t left;

	*share = (struct kx_conf_log_share){.partitions = 0};
	for (uint32_t i = 0; i < conf->topic_count; i++) {
		const struct kx_conf_topic *t = &conf->topics[i];
		uint32_t n = owned(t, owner, data_lcores);

		share->partitions += n;
		if (t->log_bytes == 0)
			share->sharing += n;
		else
			share->reserved_bytes += n * whole_extents(conf, t->log_bytes);
	}
	if (share->sharing == 0 || share->reserved_bytes >= conf->memory.log_bytes)
		return;
	left = (conf->memory.log_bytes - share->reserved_bytes) / share->sharing;
	share->share_bytes = left - left % conf->memory.extent_bytes;
}

uint64_t kx_conf_topic_log_bytes(
	const struct kx_conf *conf, const struct kx_conf_topic *topic, const struct kx_conf_log_share *share)
{
	return topic->log_bytes != 0 ? whole_extents(conf, topic->log_bytes) : share->share_bytes;
}

static uint32_t log_total(const struct kx_conf *conf, struct kx_text *out)
{
	kx_text_add(out, "memory: whether ");
	if (conf->lcores.data_auto) {
		conf_size_text(out, conf->memory.log_bytes);
		kx_text_add(out, " of log memory for each data lcore");
	} else {
		conf_size_text(out, conf->memory.log_bytes * conf->lcores.data_count);
		kx_text_add(out, " of log memory");
	}
	kx_text_add(out, " and the packet buffers fit in the hugepages (or memory) that are free at start\n");
	return 1;
}

static uint32_t lcores_unchecked(const struct kx_conf *conf, struct kx_text *out)
{
	if (conf->lcores.data_auto) {
		kx_text_add(out,
			"lcores: how many data lcores `data = auto` finds; UDP ports, queues and log memory "
			"are checked again when it is known\n");
		return 1;
	}
	kx_text_add(out, "lcores:");
	for (uint32_t i = 0; i < conf->lcores.data_count; i++)
		kx_text_add(out, "%s %u", i > 0 ? "," : "", conf->lcores.data[i]);
	kx_text_add(out,
		": whether there are CPUs for these beside the main lcore, or EAL is given them (-l, "
		"--lcores)\n");
	return 1;
}

static uint32_t port_unchecked(const struct kx_conf_port *p, struct kx_text *out)
{
	kx_text_add(out,
		"port %s: whether EAL has this device (-a or --vdev), takes MTU %u, %u RX and %u TX "
		"descriptors and "
		"the queues it needs; and its NUMA node\n",
		p->name, p->mtu, p->rx_desc, p->tx_desc);
	if (p->udp_checksum == KX_CONF_CHECKSUM_OFFLOAD)
		kx_text_add(out, "port %s: whether it can compute UDP checksums (udp_checksum = offload)\n",
			p->name);
	if (p->has_gateway || p->has_gateway6)
		kx_text_add(out, "port %s: whether its gateway answers\n", p->name);
	return 1 + (p->udp_checksum == KX_CONF_CHECKSUM_OFFLOAD) + (p->has_gateway || p->has_gateway6);
}

uint32_t kx_conf_unchecked(const struct kx_conf *conf, struct kx_text *out)
{
	uint32_t lines = lcores_unchecked(conf, out) + log_total(conf, out);

	for (uint32_t i = 0; i < conf->port_count; i++)
		lines += port_unchecked(&conf->ports[i], out);
	kx_text_add(out, "broker: whether another instance already uses the file prefix `%s`\n",
		conf->broker.name);
	kx_text_add(out, "network: whether another host has one of the addresses\n");
	return lines + 2;
}
