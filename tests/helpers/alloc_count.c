/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * LD_PRELOAD helper: counts the allocations that data lcore threads make once the warm-up is over.
 *
 * Interposed: the malloc family, rte_malloc and its relatives, memzones, and mmap. A thread is a data lcore
 * when EAL named it "lcore-worker-*". Counting starts at SIGUSR1, or KX_ALLOC_COUNT_AFTER_S seconds after
 * start. At exit one line goes to the file named by KX_ALLOC_COUNT_FILE (else stderr): `alloc_count: armed=1
 * data_lcore_threads=1 allocations=0 malloc=0 calloc=0 ...` followed by one line for each of the first
 * callers, so that a failure names its cause. A run that was never armed, or in which no data lcore thread
 * was seen, says so: the caller must treat armed=0 or no thread as failure.
 */
#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <dirent.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#define CALLERS_MAX 8

enum kind {
	KIND_MALLOC,
	KIND_CALLOC,
	KIND_REALLOC,
	KIND_MEMALIGN,
	KIND_MMAP,
	KIND_RTE_MALLOC,
	KIND_RTE_MEMZONE,
	KIND_COUNT
};
static const char *const kind_names[KIND_COUNT] = {
	"malloc", "calloc", "realloc", "memalign", "mmap", "rte_malloc", "rte_memzone"};

static uint64_t counts[KIND_COUNT];
static void *callers[CALLERS_MAX];
static uint32_t caller_count;
static volatile sig_atomic_t armed;
static uint64_t arm_at_ns;	      /* 0: only SIGUSR1 arms */
static __thread int8_t is_data_lcore; /* 0 unknown, 1 yes, -1 no */

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);

struct rte_memzone;

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static bool counting(void)
{
	if (!armed) {
		if (arm_at_ns == 0 || now_ns() < arm_at_ns)
			return false;
		armed = 1;
	}
	if (is_data_lcore == 0) {
		char name[16] = "";

		prctl(PR_GET_NAME, name);
		is_data_lcore = strncmp(name, "lcore-worker", 12) == 0 ? 1 : -1;
	}
	return is_data_lcore == 1;
}

static void note(enum kind kind, void *caller)
{
	uint32_t slot;

	if (!counting())
		return;
	__atomic_fetch_add(&counts[kind], 1, __ATOMIC_RELAXED);
	slot = __atomic_fetch_add(&caller_count, 1, __ATOMIC_RELAXED);
	if (slot < CALLERS_MAX)
		callers[slot] = caller;
}

#define NOTE(kind) note(kind, __builtin_return_address(0))

void *malloc(size_t n)
{
	NOTE(KIND_MALLOC);
	return __libc_malloc(n);
}

void *calloc(size_t n, size_t size)
{
	NOTE(KIND_CALLOC);
	return __libc_calloc(n, size);
}

void *realloc(void *p, size_t n)
{
	NOTE(KIND_REALLOC);
	return __libc_realloc(p, n);
}

void *memalign(size_t align, size_t n);
void *memalign(size_t align, size_t n)
{
	NOTE(KIND_MEMALIGN);
	return __libc_memalign(align, n);
}

void *aligned_alloc(size_t align, size_t n)
{
	NOTE(KIND_MEMALIGN);
	return __libc_memalign(align, n);
}

int posix_memalign(void **out, size_t align, size_t n)
{
	void *p;

	NOTE(KIND_MEMALIGN);
	if (align < sizeof(void *) || (align & (align - 1)) != 0)
		return EINVAL;
	p = __libc_memalign(align, n);
	if (p == NULL)
		return ENOMEM;
	*out = p;
	return 0;
}

#define NEXT(type, name)                                                                                     \
	static type next;                                                                                    \
	if (next == NULL)                                                                                    \
	next = (type)dlsym(RTLD_NEXT, name)

typedef void *(*mmap_fn)(void *, size_t, int, int, int, off_t);
void *mmap(void *addr, size_t n, int prot, int flags, int fd, off_t off)
{
	NEXT(mmap_fn, "mmap");
	NOTE(KIND_MMAP);
	return next(addr, n, prot, flags, fd, off);
}

typedef void *(*rte_alloc_fn)(const char *, size_t, unsigned int);
typedef void *(*rte_alloc_socket_fn)(const char *, size_t, unsigned int, int);
#define RTE_ALLOC(name)                                                                                      \
	void *name(const char *type, size_t n, unsigned int align);                                          \
	void *name(const char *type, size_t n, unsigned int align)                                           \
	{                                                                                                    \
		NEXT(rte_alloc_fn, #name);                                                                   \
		NOTE(KIND_RTE_MALLOC);                                                                       \
		return next(type, n, align);                                                                 \
	}
#define RTE_ALLOC_SOCKET(name)                                                                               \
	void *name(const char *type, size_t n, unsigned int align, int socket);                              \
	void *name(const char *type, size_t n, unsigned int align, int socket)                               \
	{                                                                                                    \
		NEXT(rte_alloc_socket_fn, #name);                                                            \
		NOTE(KIND_RTE_MALLOC);                                                                       \
		return next(type, n, align, socket);                                                         \
	}
RTE_ALLOC(rte_malloc)
RTE_ALLOC(rte_zmalloc)
RTE_ALLOC_SOCKET(rte_malloc_socket)
RTE_ALLOC_SOCKET(rte_zmalloc_socket)

typedef void *(*rte_calloc_fn)(const char *, size_t, size_t, unsigned int);
void *rte_calloc(const char *type, size_t n, size_t size, unsigned int align);
void *rte_calloc(const char *type, size_t n, size_t size, unsigned int align)
{
	NEXT(rte_calloc_fn, "rte_calloc");
	NOTE(KIND_RTE_MALLOC);
	return next(type, n, size, align);
}

typedef void *(*rte_realloc_fn)(void *, size_t, unsigned int);
void *rte_realloc(void *p, size_t n, unsigned int align);
void *rte_realloc(void *p, size_t n, unsigned int align)
{
	NEXT(rte_realloc_fn, "rte_realloc");
	NOTE(KIND_RTE_MALLOC);
	return next(p, n, align);
}

typedef const struct rte_memzone *(*memzone_fn)(const char *, size_t, int, unsigned int, unsigned int);
const struct rte_memzone *rte_memzone_reserve_aligned(
	const char *name, size_t n, int socket, unsigned int flags, unsigned int align);
const struct rte_memzone *rte_memzone_reserve_aligned(
	const char *name, size_t n, int socket, unsigned int flags, unsigned int align)
{
	NEXT(memzone_fn, "rte_memzone_reserve_aligned");
	NOTE(KIND_RTE_MEMZONE);
	return next(name, n, socket, flags, align);
}

typedef const struct rte_memzone *(*memzone_plain_fn)(const char *, size_t, int, unsigned int);
const struct rte_memzone *rte_memzone_reserve(const char *name, size_t n, int socket, unsigned int flags);
const struct rte_memzone *rte_memzone_reserve(const char *name, size_t n, int socket, unsigned int flags)
{
	NEXT(memzone_plain_fn, "rte_memzone_reserve");
	NOTE(KIND_RTE_MEMZONE);
	return next(name, n, socket, flags);
}

static void on_signal(int sig)
{
	(void)sig;
	armed = 1;
}

__attribute__((constructor)) static void start(void)
{
	const char *after = getenv("KX_ALLOC_COUNT_AFTER_S");
	struct sigaction sa = {.sa_handler = on_signal, .sa_flags = SA_RESTART};

	if (after != NULL && atof(after) > 0)
		arm_at_ns = now_ns() + (uint64_t)(atof(after) * 1e9);
	sigaction(SIGUSR1, &sa, NULL);
}

/* Threads of this process that EAL runs lcores on, the control lcore excluded: proof that names still match.
 */
static unsigned int data_lcore_threads(void)
{
	DIR *dir = opendir("/proc/self/task");
	struct dirent *entry;
	unsigned int n = 0;

	if (dir == NULL)
		return 0;
	while ((entry = readdir(dir)) != NULL) {
		char path[300], name[32] = "";
		FILE *f;

		snprintf(path, sizeof(path), "/proc/self/task/%s/comm", entry->d_name);
		f = fopen(path, "r");
		if (f == NULL)
			continue;
		if (fgets(name, sizeof(name), f) != NULL && strncmp(name, "lcore-worker", 12) == 0)
			n++;
		fclose(f);
	}
	closedir(dir);
	return n;
}

__attribute__((destructor)) static void finish(void)
{
	const char *path = getenv("KX_ALLOC_COUNT_FILE");
	int was_armed = armed || (arm_at_ns != 0 && now_ns() >= arm_at_ns);
	FILE *out = path != NULL ? fopen(path, "w") : stderr;
	uint64_t total = 0;

	if (out == NULL)
		return;
	for (int i = 0; i < KIND_COUNT; i++)
		total += counts[i];
	fprintf(out, "alloc_count: armed=%d data_lcore_threads=%u allocations=%llu", was_armed,
		data_lcore_threads(), (unsigned long long)total);
	for (int i = 0; i < KIND_COUNT; i++)
		fprintf(out, " %s=%llu", kind_names[i], (unsigned long long)counts[i]);
	fputc('\n', out);
	for (uint32_t i = 0; i < caller_count && i < CALLERS_MAX; i++) {
		Dl_info info = {0};

		dladdr(callers[i], &info);
		fprintf(out, "caller: %s %s+0x%lx\n", info.dli_fname != NULL ? info.dli_fname : "?",
			info.dli_sname != NULL ? info.dli_sname : "?",
			(unsigned long)((uintptr_t)callers[i] -
				(uintptr_t)(info.dli_saddr != NULL ? info.dli_saddr : info.dli_fbase)));
	}
	if (path != NULL)
		fclose(out);
}
