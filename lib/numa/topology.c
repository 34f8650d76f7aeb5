/* SPDX-License-Identifier: BSD-3-Clause */
/* The description of this machine, from /sys. */
#include "kx_numa.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATH_BYTES 512
#define LINE_BYTES 4096

/** First line of a file, without its end. @return false when it cannot be read */
static bool first_line(const char *path, char *line, size_t size)
{
	FILE *f = fopen(path, "re");
	bool ok;

	if (f == NULL)
		return false;
	ok = fgets(line, (int)size, f) != NULL;
	if (ok)
		line[strcspn(line, "\n")] = '\0';
	else
		line[0] = '\0'; /* an empty list is an empty file */
	ok = ok || !ferror(f);
	fclose(f);
	return ok;
}

static bool first_number(const char *path, uint64_t *value)
{
	char line[64], *end;

	if (!first_line(path, line, sizeof(line)))
		return false;
	*value = strtoull(line, &end, 10);
	return end != line;
}

typedef void (*list_fn)(struct kx_numa_topology *t, uint32_t number, int arg);

/** Call for each number of a list such as "0-3,8". @return false when the file is not there */
static bool each_listed(const char *path, struct kx_numa_topology *t, list_fn fn, int arg)
{
	char line[LINE_BYTES], *p = line;

	if (!first_line(path, line, sizeof(line)))
		return false;
	while (*p >= '0' && *p <= '9') {
		unsigned long from = strtoul(p, &p, 10);
		unsigned long to = *p == '-' ? strtoul(p + 1, &p, 10) : from;

		for (unsigned long n = from; n <= to && n < KX_NUMA_CPUS_MAX; n++)
			fn(t, (uint32_t)n, arg);
		p += *p == ',';
	}
	return true;
}

static void cpu_online(struct kx_numa_topology *t, uint32_t cpu, int arg)
{
	(void)arg;
	t->cpu[cpu] =
		(struct kx_numa_cpu){.online = true, .node = KX_NUMA_NODE_UNKNOWN, .core = (int16_t)cpu};
	t->cpu_count = KX_MAX(t->cpu_count, cpu + 1);
}

static void cpu_isolated(struct kx_numa_topology *t, uint32_t cpu, int arg)
{
	(void)arg;
	t->cpu[cpu].isolated = true;
}

static void cpu_node(struct kx_numa_topology *t, uint32_t cpu, int node)
{
	t->cpu[cpu].node = (int16_t)node;
}

/** Siblings are listed in ascending order: the first is called first and stays. */
static void cpu_sibling(struct kx_numa_topology *t, uint32_t cpu, int of)
{
	if ((int)cpu < t->cpu[of].core)
		t->cpu[of].core = (int16_t)cpu;
}

static void node_online(struct kx_numa_topology *t, uint32_t node, int arg)
{
	(void)arg;
	if (node >= KX_NUMA_NODES_MAX)
		return;
	t->node[node].online = true;
	t->node_count = KX_MAX(t->node_count, node + 1);
}

static void read_hugepages(const char *sysfs, int node, struct kx_numa_node *n)
{
	char path[PATH_BYTES], file[PATH_BYTES + 300];
	struct dirent *e;
	DIR *dir;

	snprintf(path, sizeof(path), "%s/devices/system/node/node%d/hugepages", sysfs, node);
	dir = opendir(path);
	if (dir == NULL)
		return;
	while ((e = readdir(dir)) != NULL && n->page_sizes < KX_NUMA_PAGE_SIZES_MAX) {
		struct kx_numa_hugepages *h = &n->hugepages[n->page_sizes];
		unsigned long long kib;

		if (sscanf(e->d_name, "hugepages-%llukB", &kib) != 1)
			continue;
		h->page_bytes = kib * 1024;
		snprintf(file, sizeof(file), "%s/%s/nr_hugepages", path, e->d_name);
		if (!first_number(file, &h->total_pages))
			continue;
		snprintf(file, sizeof(file), "%s/%s/free_hugepages", path, e->d_name);
		n->page_sizes += first_number(file, &h->free_pages);
	}
	closedir(dir);
}

/** "Node 0 MemTotal:  24567 kB" */
static void read_memory(const char *sysfs, int node, struct kx_numa_node *n)
{
	char path[PATH_BYTES], line[256];
	unsigned long long kib;
	FILE *f;

	snprintf(path, sizeof(path), "%s/devices/system/node/node%d/meminfo", sysfs, node);
	f = fopen(path, "re");
	if (f == NULL)
		return;
	while (fgets(line, sizeof(line), f) != NULL) {
		if (sscanf(line, "Node %*d MemTotal: %llu kB", &kib) == 1) {
			n->memory_bytes = kib * 1024;
			break;
		}
	}
	fclose(f);
}

/** One number for each online node, in their order. */
static void read_distances(const char *sysfs, int node, struct kx_numa_topology *t)
{
	char path[PATH_BYTES], line[LINE_BYTES], *p = line, *end;

	for (uint32_t other = 0; other < KX_NUMA_NODES_MAX; other++)
		t->distance[node][other] =
			(int)other == node ? KX_NUMA_DISTANCE_LOCAL : KX_NUMA_DISTANCE_REMOTE;
	snprintf(path, sizeof(path), "%s/devices/system/node/node%d/distance", sysfs, node);
	if (!first_line(path, line, sizeof(line)))
		return;
	for (uint32_t other = 0; other < t->node_count; other++) {
		if (!t->node[other].online)
			continue;
		unsigned long v = strtoul(p, &end, 10);
		if (end == p)
			return;
		t->distance[node][other] = (uint8_t)KX_MIN(v, 255ul);
		p = end;
	}
}

static void read_nodes(const char *sysfs, struct kx_numa_topology *t)
{
	char path[PATH_BYTES];

	snprintf(path, sizeof(path), "%s/devices/system/node/online", sysfs);
	if (!each_listed(path, t, node_online, 0) || t->node_count == 0) {
		node_online(t, 0, 0);
		t->node[0].memory_bytes = 1; /* it has some: programs run */
		t->distance[0][0] = KX_NUMA_DISTANCE_LOCAL;
		for (uint32_t c = 0; c < t->cpu_count; c++)
			t->cpu[c].node = 0;
		return;
	}
	for (uint32_t n = 0; n < t->node_count; n++) {
		if (!t->node[n].online)
			continue;
		snprintf(path, sizeof(path), "%s/devices/system/node/node%u/cpulist", sysfs, n);
		each_listed(path, t, cpu_node, (int)n);
		read_memory(sysfs, (int)n, &t->node[n]);
		read_hugepages(sysfs, (int)n, &t->node[n]);
		read_distances(sysfs, (int)n, t);
	}
}

int kx_numa_read(const char *sysfs, struct kx_numa_topology *t)
{
	const char *root = sysfs != NULL ? sysfs : "/sys";
	char path[PATH_BYTES];

	memset(t, 0, sizeof(*t));
	snprintf(path, sizeof(path), "%s/devices/system/cpu/online", root);
	if (!each_listed(path, t, cpu_online, 0) || t->cpu_count == 0)
		return -ENOENT;
	snprintf(path, sizeof(path), "%s/devices/system/cpu/isolated", root);
	each_listed(path, t, cpu_isolated, 0);
	for (uint32_t c = 0; c < t->cpu_count; c++) {
		if (!t->cpu[c].online)
			continue;
		snprintf(path, sizeof(path), "%s/devices/system/cpu/cpu%u/topology/thread_siblings_list",
			root, c);
		each_listed(path, t, cpu_sibling, (int)c);
	}
	read_nodes(root, t);
	return 0;
}

int kx_numa_pci_node(const char *sysfs, const char *device)
{
	char path[PATH_BYTES], line[32], *end;
	const char *colon = strchr(device, ':');
	bool domain = colon != NULL && strchr(colon + 1, ':') != NULL;
	long node;

	if (colon == NULL || strlen(device) > KX_CONF_PORT_NAME_MAX || strchr(device, '/') != NULL)
		return KX_NUMA_NODE_UNKNOWN;
	snprintf(path, sizeof(path), "%s/bus/pci/devices/%s%s/numa_node", sysfs != NULL ? sysfs : "/sys",
		domain ? "" : "0000:", device);
	if (!first_line(path, line, sizeof(line)))
		return KX_NUMA_NODE_UNKNOWN;
	node = strtol(line, &end, 10);
	return end == line || node < 0 || node >= KX_NUMA_NODES_MAX ? KX_NUMA_NODE_UNKNOWN : (int)node;
}

uint64_t kx_numa_free_hugepage_bytes(const struct kx_numa_topology *t, int node)
{
	uint64_t bytes = 0;

	if (node < 0 || (uint32_t)node >= t->node_count)
		return 0;
	for (uint32_t i = 0; i < t->node[node].page_sizes; i++)
		bytes += t->node[node].hugepages[i].page_bytes * t->node[node].hugepages[i].free_pages;
	return bytes;
}
