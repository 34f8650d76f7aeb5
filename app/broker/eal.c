/* SPDX-License-Identifier: BSD-3-Clause */
/* EAL's arguments, its log and the files it leaves. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <mntent.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_log.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "app.h"

#define ARGS_MAX 128

/* What EAL said last, for the one line that says why it did not start. */
static char eal_said[8192];
static size_t eal_said_bytes;
static FILE *eal_log;

static ssize_t keep_log(void *cookie, const char *data, size_t bytes)
{
	size_t room = sizeof(eal_said) - 1 - eal_said_bytes, n = KX_MIN(bytes, room);

	if (cookie != NULL)
		fwrite(data, 1, bytes, cookie);
	memcpy(eal_said + eal_said_bytes, data, n);
	eal_said_bytes += n;
	return (ssize_t)bytes;
}

static int open_log(struct app *app)
{
	cookie_io_functions_t io = {.write = keep_log};
	FILE *file = NULL;

	if (app->opt.log_file != NULL) {
		file = fopen(app->opt.log_file, "ae");
		if (file == NULL)
			return app_fail(app, "--log-file %s: %s", app->opt.log_file, kx_strerror(-errno));
		setvbuf(file, NULL, _IOLBF, 0);
	}
	eal_log = fopencookie(file, "w", io);
	if (eal_log == NULL)
		return app_fail(app, "no memory");
	setvbuf(eal_log, NULL, _IONBF, 0);
	rte_openlog_stream(eal_log);
	return 0;
}

static bool gave(const struct app *app, const char *option)
{
	size_t n = strlen(option);

	for (int i = 1; i < app->opt.eal_argc; i++) {
		const char *word = app->opt.eal_argv[i];

		if (strncmp(word, option, n) == 0 && (word[n] == '\0' || word[n] == '=' || n == 2))
			return true;
	}
	return false;
}

static const char *value_of(const struct app *app, const char *option)
{
	size_t n = strlen(option);

	for (int i = 1; i < app->opt.eal_argc; i++) {
		const char *word = app->opt.eal_argv[i];

		if (strncmp(word, option, n) != 0)
			continue;
		if (word[n] == '=')
			return word + n + 1;
		if (word[n] == '\0' && i + 1 < app->opt.eal_argc)
			return app->opt.eal_argv[i + 1];
	}
	return NULL;
}

static bool is_pci(const char *name)
{
	unsigned int domain, bus, dev, fn;
	char end;

	return sscanf(name, "%x:%x:%x.%x%c", &domain, &bus, &dev, &fn, &end) == 4 ||
		sscanf(name, "%x:%x.%x%c", &bus, &dev, &fn, &end) == 3;
}

struct args {
	int argc;
	char *argv[ARGS_MAX];
	char text[4096];
	size_t used;
};

static void add(struct args *a, const char *fmt, ...) KX_PRINTF(2, 3);
static void add(struct args *a, const char *fmt, ...)
{
	va_list ap;
	int n;

	if (a->argc + 1 >= ARGS_MAX)
		return;
	va_start(ap, fmt);
	n = vsnprintf(a->text + a->used, sizeof(a->text) - a->used, fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= sizeof(a->text) - a->used)
		return;
	a->argv[a->argc++] = a->text + a->used;
	a->used += (size_t)n + 1;
}

static void add_devices(struct app *app, struct args *a)
{
	bool pci = false;

	for (uint32_t i = 0; i < app->conf->port_count; i++) {
		if (!is_pci(app->conf->ports[i].name))
			continue;
		pci = true;
		if (!gave(app, "-a") && !gave(app, "--allow") && !gave(app, "-b") && !gave(app, "--block"))
			add(a, "--allow=%s", app->conf->ports[i].name);
	}
	/* Without PCI ports in the ini, other people's NICs are none of our business. */
	if (!pci && !gave(app, "--no-pci") && !gave(app, "-a") && !gave(app, "--allow") && !gave(app, "-b") &&
		!gave(app, "--block"))
		add(a, "--no-pci");
	/* Virtual devices use virtual addresses: all of the log is then contiguous and may be sent as slices.
	 */
	if (!pci && !gave(app, "--iova-mode"))
		add(a, "--iova-mode=va");
}

static bool wants_zero_copy(const struct app *app)
{
	for (int i = 1; i < app->opt.eal_argc; i++)
		if (strstr(app->opt.eal_argv[i], "zero-copy=yes") != NULL)
			return true;
	return false;
}

/* How many lcores `data = auto` makes of the operator's list is EAL's to say: enough for all CPUs, since
 * memory that is not touched costs nothing here. */
static uint64_t no_huge_bytes(const struct app *app, bool operator_gave_lcores)
{
	uint32_t lcores = app->lcore_count;

	if (operator_gave_lcores && app->conf->lcores.data_auto)
		lcores = KX_MIN((uint32_t)KX_MAX(sysconf(_SC_NPROCESSORS_ONLN), 2L), KX_WORKER_LCORES_MAX);
	return app_memory_estimate(app, lcores);
}

static int build_args(struct app *app, struct args *a)
{
	bool lcores = gave(app, "-l") || gave(app, "-c") || gave(app, "--lcores") || gave(app, "-s");
	char list[1024] = "";

	if (app->opt.eal_argc > ARGS_MAX / 2)
		return app_fail(app, "more than %d EAL options", ARGS_MAX / 2);
	for (int i = 0; i < app->opt.eal_argc; i++)
		a->argv[a->argc++] = app->opt.eal_argv[i];
	snprintf(app->prefix, sizeof(app->prefix), "%s",
		value_of(app, "--file-prefix") != NULL ? value_of(app, "--file-prefix")
						       : app->conf->broker.name);
	if (!gave(app, "--file-prefix"))
		add(a, "--file-prefix=%s", app->prefix);
	if (app_place_before_eal(app, list, sizeof(list), lcores) != 0)
		return -1;
	for (char *save = NULL, *word = strtok_r(list, " ", &save); word != NULL;
		word = strtok_r(NULL, " ", &save))
		add(a, "%s", word);
	app->no_huge = gave(app, "--no-huge");
	if (app->no_huge && !gave(app, "-m"))
		add(a, "-m%llu", (unsigned long long)(no_huge_bytes(app, lcores) >> 20) + 64);
	if (!app->no_huge && wants_zero_copy(app) && !gave(app, "--single-file-segments"))
		add(a, "--single-file-segments");
	add_devices(app, a);
	a->argv[a->argc] = NULL;
	return 0;
}

static uint64_t free_huge_bytes(void)
{
	static const char dir_name[] = "/sys/kernel/mm/hugepages";
	DIR *dir = opendir(dir_name);
	struct dirent *e;
	uint64_t sum = 0;

	while (dir != NULL && (e = readdir(dir)) != NULL) {
		unsigned long long kb, pages;
		char path[512];
		FILE *f;

		if (sscanf(e->d_name, "hugepages-%llukB", &kb) != 1)
			continue;
		snprintf(path, sizeof(path), "%s/%s/free_hugepages", dir_name, e->d_name);
		f = fopen(path, "re");
		if (f != NULL && fscanf(f, "%llu", &pages) == 1)
			sum += pages * kb * 1024;
		if (f != NULL)
			fclose(f);
	}
	if (dir != NULL)
		closedir(dir);
	return sum;
}

static int check_hugepages(struct app *app)
{
	uint64_t need = app_memory_estimate(app, app->lcore_count), have = free_huge_bytes();

	if (app->no_huge || have >= need)
		return 0;
	return app_fail(app,
		"%llu MiB of hugepages are needed and %llu MiB are free: reserve them (echo %llu > "
		"/proc/sys/vm/nr_hugepages, for pages of 2 MiB), make [memory] log_bytes smaller, or start "
		"with "
		"--no-huge",
		(unsigned long long)(need >> 20), (unsigned long long)(have >> 20),
		(unsigned long long)(need >> 21) + 1);
}

static bool complains(const char *line)
{
	static const char *const words[] = {
		"fail", "error", "cannot", "invalid", "unknown", "unable", "not "};

	for (size_t i = 0; i < KX_DIM(words); i++)
		if (strcasestr(line, words[i]) != NULL)
			return strstr(line, "probe failed") == NULL && strstr(line, "Cannot probe") == NULL &&
				strcasestr(line, "telemetry") == NULL &&
				strstr(line, "Cannot init config") == NULL;
	return false;
}

const char *app_eal_said(void)
{
	static char line[240], text[sizeof(eal_said)];
	char *save = NULL;

	memcpy(text, eal_said, sizeof(text));
	line[0] = '\0';
	for (char *l = strtok_r(text, "\n", &save); l != NULL; l = strtok_r(NULL, "\n", &save))
		if (complains(l))
			snprintf(line, sizeof(line), "%s", l);
	return line[0] != '\0' ? line : "DPDK gives no reason";
}

static int busy(struct app *app)
{
	app->prefix_busy = true;
	return app_fail(app,
		"file prefix '%s' is in use by another process: stop that one, or choose another [broker] "
		"name or "
		"--file-prefix",
		app->prefix);
}

static int explain(struct app *app, int err)
{
	if (strstr(eal_said, "Is another primary process running") != NULL)
		return busy(app);
	if (strstr(eal_said, "no mounted hugetlbfs") != NULL ||
		strstr(eal_said, "Cannot get hugepage") != NULL)
		return app_fail(app,
			"DPDK finds no hugepages it may use: mount hugetlbfs (mount -t hugetlbfs none "
			"/dev/hugepages) and start as root, or start with --no-huge");
	if (strstr(eal_said, "Cannot allocate memory") != NULL ||
		strstr(eal_said, "Cannot init memory") != NULL)
		return app_fail(app,
			"DPDK gets no memory: %s; check free hugepages and -m, or start with --no-huge",
			app_eal_said());
	if (strstr(eal_said, "Unable to parse device") != NULL)
		return app_fail(app, "%s: no driver has that name; check --vdev and -a", app_eal_said());
	if (strstr(eal_said, "'command line' arguments") != NULL ||
		strstr(eal_said, "invalid parameters") != NULL)
		return app_fail(app,
			"DPDK refuses the EAL options in front of -- (%s); ours come behind it, see kaelix "
			"-- --help",
			app_eal_said());
	if (strstr(eal_said, "Cannot probe devices") != NULL ||
		strstr(eal_said, "failed to initialize") != NULL)
		return app_fail(app,
			"a device of the EAL options does not start: %s; check the driver's name and "
			"arguments in "
			"--vdev or -a",
			app_eal_said());
	return app_fail(app, "DPDK does not start (%s): %s", kx_strerror(-err), app_eal_said());
}

static void runtime_dir(const struct app *app, char *out, size_t size)
{
	const char *base = getuid() == 0 ? "/var/run" : getenv("XDG_RUNTIME_DIR");

	snprintf(out, size, "%s/dpdk/%s", base != NULL ? base : "/tmp", app->prefix);
}

/* A process with --no-shconf takes no lock, but answers on its telemetry socket. */
static bool telemetry_answers(const char *dir)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), err = -1;

	if (fd < 0)
		return false;
	if ((size_t)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/dpdk_telemetry.v2", dir) <
		sizeof(addr.sun_path))
		err = connect(fd, (const struct sockaddr *)&addr, sizeof(addr));
	close(fd);
	return err == 0;
}

/* Another process that lives on the prefix holds a lock on its config file. */
static bool prefix_is_locked(const char *dir)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	char path[512];
	int fd, busy;

	snprintf(path, sizeof(path), "%s/config", dir);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return false;
	busy = fcntl(fd, F_GETLK, &lock) != 0 || lock.l_type != F_UNLCK;
	close(fd);
	return busy;
}

int app_eal_start(struct app *app)
{
	static struct args args;
	char dir[256];

	if (open_log(app) != 0 || build_args(app, &args) != 0)
		return -1;
	runtime_dir(app, dir, sizeof(dir));
	if (prefix_is_locked(dir) || telemetry_answers(dir))
		return busy(app);
	if (check_hugepages(app) != 0)
		return -1;
	/* EAL's usage text would bury our line. */
	if (rte_eal_init(args.argc, args.argv) < 0)
		return explain(app, rte_errno);
	app->eal_up = true;
	return 0;
}

static void remove_matching(const char *dir_name, const char *prefix, const char *kind)
{
	DIR *dir = opendir(dir_name);
	char start[128];
	struct dirent *e;

	snprintf(start, sizeof(start), "%s%s", prefix, kind);
	while (dir != NULL && (e = readdir(dir)) != NULL)
		if (strncmp(e->d_name, start, strlen(start)) == 0)
			unlinkat(dirfd(dir), e->d_name, 0);
	if (dir != NULL)
		closedir(dir);
}

static void remove_huge_files(const char *prefix)
{
	FILE *mounts = setmntent("/proc/mounts", "re");
	struct mntent *m;

	while (mounts != NULL && (m = getmntent(mounts)) != NULL) {
		if (strcmp(m->mnt_type, "hugetlbfs") != 0)
			continue;
		remove_matching(m->mnt_dir, prefix, "map_");
		remove_matching(m->mnt_dir, prefix, "seg_");
	}
	if (mounts != NULL)
		endmntent(mounts);
}

/* EAL leaves its run-time directory and hugepage files for a next start with the same prefix. */
static void remove_files(struct app *app)
{
	char dir[256];

	if (app->prefix[0] == '\0' || strchr(app->prefix, '/') != NULL)
		return;
	runtime_dir(app, dir, sizeof(dir));
	if (app->prefix_busy)
		return;
	remove_huge_files(app->prefix);
	remove_matching(dir, "", "");
	rmdir(dir);
}

void app_eal_stop(struct app *app)
{
	if (app->eal_up)
		rte_eal_cleanup();
	app->eal_up = false;
	remove_files(app);
}
