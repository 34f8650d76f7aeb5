/* SPDX-License-Identifier: BSD-3-Clause */
#include "fingerprint.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "pg_build.h"

#define FIELD_BYTES 256

static bool read_line(const char *path, char *out, size_t size)
{
	FILE *f = fopen(path, "re");
	bool ok;

	out[0] = '\0';
	if (f == NULL)
		return false;
	ok = fgets(out, (int)size, f) != NULL;
	fclose(f);
	out[strcspn(out, "\n")] = '\0';
	return ok;
}

/* First line "key : value" of a /proc file. */
static void proc_value(const char *path, const char *key, char *out, size_t size)
{
	char line[FIELD_BYTES];
	FILE *f = fopen(path, "re");

	snprintf(out, size, "unknown");
	if (f == NULL)
		return;
	while (fgets(line, sizeof(line), f) != NULL) {
		char *colon = strchr(line, ':');

		if (colon == NULL || strncmp(line, key, strlen(key)) != 0)
			continue;
		colon++;
		while (isspace((unsigned char)*colon))
			colon++;
		colon[strcspn(colon, "\n")] = '\0';
		snprintf(out, size, "%s", colon);
		break;
	}
	fclose(f);
}

static void text_of_file(struct pg_json *j, const char *key, const char *path)
{
	char line[FIELD_BYTES];

	pg_json_text(j, key, read_line(path, line, sizeof(line)) ? line : "unknown");
}

static void json_machine(struct pg_json *j)
{
	char value[FIELD_BYTES];
	struct utsname uts;

	proc_value("/proc/cpuinfo", "model name", value, sizeof(value));
	pg_json_text(j, "cpu", value);
	pg_json_u64(j, "cpus", (uint64_t)sysconf(_SC_NPROCESSORS_ONLN));
	if (uname(&uts) == 0) {
		pg_json_text(j, "kernel", uts.release);
		pg_json_text(j, "machine", uts.machine);
	}
	text_of_file(j, "governor", "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor");
	text_of_file(j, "isolated_cpus", "/sys/devices/system/cpu/isolated");
	text_of_file(j, "numa_nodes", "/sys/devices/system/node/online");
	proc_value("/proc/meminfo", "MemTotal", value, sizeof(value));
	pg_json_u64(j, "memory_kib", strtoull(value, NULL, 10));
	proc_value("/proc/meminfo", "HugePages_Total", value, sizeof(value));
	pg_json_u64(j, "hugepages", strtoull(value, NULL, 10));
	proc_value("/proc/meminfo", "Hugepagesize", value, sizeof(value));
	pg_json_u64(j, "hugepage_kib", strtoull(value, NULL, 10));
}

void pg_fingerprint_json(struct pg_json *j, const char *dpdk_version, const char *wire, const char *driver,
	double ticks_per_ns)
{
	pg_json_object(j, "fingerprint");
	json_machine(j);
	pg_json_double(j, "tsc_ghz", ticks_per_ns);
	pg_json_text(j, "dpdk", dpdk_version);
	pg_json_text(j, "compiler", PG_COMPILER);
	pg_json_text(j, "flags", PG_FLAGS);
	pg_json_text(j, "version", PG_VERSION);
	pg_json_text(j, "git_commit", PG_GIT_COMMIT);
	pg_json_text(j, "wire", wire);
	pg_json_text(j, "driver", driver);
	pg_json_end(j, '}');
}
