/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <rte_bus_vdev.h>
#include <rte_dev.h>
#include <rte_devargs.h>

#include "ethdev_pvt.h"

#define MEMIF_RSIZE_DEFAULT 10
#define MEMIF_RSIZE_MAX	    14

int kx_ethdev_make_vdev(const char *devargs, uint16_t *port_id, struct kx_text *why)
{
	char name[RTE_ETH_NAME_MAX_LEN];
	const char *comma = strchr(devargs, ',');
	size_t len = comma != NULL ? (size_t)(comma - devargs) : strlen(devargs);
	int err;

	if (len == 0 || len >= sizeof(name)) {
		kx_text_add(why, "virtual device \"%s\": the name must have 1 to %zu characters", devargs,
			sizeof(name) - 1);
		return -EINVAL;
	}
	memcpy(name, devargs, len);
	name[len] = '\0';
	if (kx_ethdev_find(name, port_id) == 0) {
		kx_text_add(why, "virtual device \"%s\" exists already", name);
		return -EEXIST;
	}
	err = rte_vdev_init(name, comma != NULL ? comma + 1 : "");
	if (err == 0)
		err = kx_ethdev_find(name, port_id);
	if (err != 0)
		kx_text_add(why, "virtual device \"%s\": no driver made a port of it: %s", devargs,
			kx_strerror(err < 0 ? err : -err));
	return err != 0 ? -ENODEV : 0;
}

int kx_ethdev_remove_vdev(const char *name)
{
	return rte_vdev_uninit(name);
}

int kx_ethdev_find(const char *name, uint16_t *port_id)
{
	return rte_eth_dev_get_port_by_name(name, port_id) == 0 ? 0 : -ENODEV;
}

/** Value of "key=" in device arguments, or NULL. */
static const char *arg_value(const char *args, const char *key)
{
	size_t len = strlen(key);

	for (const char *at = args; at != NULL && *at != '\0'; at = strchr(at, ',')) {
		at += *at == ',';
		if (strncmp(at, key, len) == 0)
			return at + len;
	}
	return NULL;
}

void kx_ethdev_facts(const struct rte_eth_dev_info *info, struct kx_ethdev_facts *out)
{
	const struct rte_devargs *da = info->device != NULL ? rte_dev_devargs(info->device) : NULL;
	const char *args = da != NULL && da->args != NULL ? da->args : "", *v;
	unsigned long rsize = MEMIF_RSIZE_DEFAULT;
	bool server;

	memset(out, 0, sizeof(*out));
	out->copies_tx = strcmp(info->driver_name, "net_af_packet") == 0 ||
		strcmp(info->driver_name, "net_tap") == 0 || strcmp(info->driver_name, "net_null") == 0;
	out->memif = strcmp(info->driver_name, "net_memif") == 0;
	out->forgets = strcmp(info->driver_name, "net_af_xdp") == 0;
	if (!out->memif)
		return;
	v = arg_value(args, "role=");
	server = v != NULL && (strncmp(v, "server", 6) == 0 || strncmp(v, "master", 6) == 0);
	v = arg_value(args, "zero-copy=");
	out->zero_copy = !server && v != NULL && strncmp(v, "yes", 3) == 0;
	out->copies_tx = !out->zero_copy;
	out->forgets = out->zero_copy;
	v = arg_value(args, "rsize=");
	if (v != NULL)
		rsize = strtoul(v, NULL, 10);
	out->rsize_descs = (uint16_t)(1u << KX_MIN(rsize, MEMIF_RSIZE_MAX));
}

int kx_ethdev_adjust(uint16_t port_id, const struct rte_eth_dev_info *info,
	const struct kx_ethdev_facts *facts, uint16_t *rx_descs, uint16_t *tx_descs)
{
	if (*rx_descs == 0)
		*rx_descs = info->default_rxportconf.ring_size;
	if (*tx_descs == 0)
		*tx_descs = info->default_txportconf.ring_size;
	if (*rx_descs == 0)
		*rx_descs = KX_ETHDEV_DESCS_DEFAULT;
	if (*tx_descs == 0)
		*tx_descs = KX_ETHDEV_DESCS_DEFAULT;
	if (facts->rsize_descs != 0)
		*rx_descs = *tx_descs = facts->rsize_descs;
	return rte_eth_dev_adjust_nb_rx_tx_desc(port_id, rx_descs, tx_descs);
}
