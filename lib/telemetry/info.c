/* SPDX-License-Identifier: BSD-3-Clause */
#include <inttypes.h>
#include <rte_version.h>
#include <stdio.h>
#include <unistd.h>

#include "telemetry_pvt.h"

int tel_info(const struct kx_telemetry_config *c, const char *params, struct rte_tel_data *d)
{
	char text[32];

	if (params != NULL && *params != '\0')
		return tel_error(d, "/kaelix/info takes no argument");
	rte_tel_data_start_dict(d);
	tel_text(d, "name", c->conf->broker.name);
	tel_text(d, "version", c->version);
	tel_text(d, "dpdk", rte_version());
	tel_text(d, "config", c->conf->source);
	snprintf(text, sizeof(text), "%016" PRIx64, c->boot_id);
	tel_text(d, "boot_id", text);
	tel_u64(d, "pid", (uint64_t)getpid());
	tel_u64(d, "uptime_s", (kx_clock_real_ns() - c->start_real_ns) / KX_NS_PER_S);
	tel_u64(d, "lcores", c->worker_count);
	tel_u64(d, "ports", c->port_count);
	tel_u64(d, "topics", c->conf->topic_count);
	tel_u64(d, "partitions", c->conf->partition_count);
	tel_u64(d, "udp_port", c->conf->broker.udp_port);
	tel_text(d, "durability", "memory");
	tel_u64(d, "hugepages", c->hugepages);
	tel_u64(d, "cut_min_bytes", c->paths.cut_min_bytes);
	tel_u64(d, "slice_min_bytes", c->paths.slice_min_bytes);
	snprintf(text, sizeof(text), "%.6f", c->workers[0]->clock.ticks_per_ns);
	tel_text(d, "tsc_ticks_per_ns", text);
	return 0;
}
