/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * LD_PRELOAD helper: counts the allocations that data lcore threads make once the warm-up is over.
 *
 * Interposed: the malloc family, rte_malloc and its relatives, memzones, and mmap. A thread is a data lcore
 * when EAL named it "...-worker-N". Counting starts at SIGUSR1. At exit one line goes to the file named by
 * KX_ALLOC_COUNT_FILE (else stderr): `alloc_count: armed=1 data_lcore_threads=1 allocations=0 malloc=0
 * calloc=0 ...` followed by one line for each of the first callers, so that a failure names its cause. A run
 * that was never armed, or in which no data lcore thread was seen, says so: the caller must treat armed=0 or
 * no thread as failure.
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
#include <pthread.h>
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
static __thread bool looked, data_lcore; /* looked up at the first allocation after arming */
static pthread_t named[64];		 /* threads that EAL named as data lcores */
static uint32_t named_count;

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);

struct rte_memzone;

static bool counting(void)
{
	if (!armed)
		return false;
	if (!looked) {
		uint32_t n = __atomic_load_n(&named_count, __ATOMIC_ACQUIRE);

		looked = true;
		for (uint32_t i = 0; i < n && i < sizeof(named) / sizeof(named[0]); i++)
			data_lcore |= pthread_equal(named[i], pthread_self()) != 0;
	}
	return data_lcore;
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

/* EAL names its threads from outside, right after it has made them. */
typedef int (*setname_fn)(pthread_t, const char *);
int pthread_setname_np(pthread_t thread, const char *name)
{
	NEXT(setname_fn, "pthread_setname_np");
	if (strstr(name, "-worker-") != NULL && named_count < sizeof(named) / sizeof(named[0])) {
		named[named_count] = thread;
		__atomic_store_n(&named_count, named_count + 1, __ATOMIC_RELEASE);
	}
	return next(thread, name);
}

static void on_signal(int sig)
{
	(void)sig;
	armed = 1;
}

__attribute__((constructor)) static void start(void)
{
	struct sigaction sa = {.sa_handler = on_signal, .sa_flags = SA_RESTART};

	sigaction(SIGUSR1, &sa, NULL);
}

__attribute__((destructor)) static void finish(void)
{
	const char *path = getenv("KX_ALLOC_COUNT_FILE");
	int was_armed = armed;
	FILE *out = path != NULL ? fopen(path, "w") : stderr;
	uint64_t total = 0;

	if (out == NULL)
		return;
	for (int i = 0; i < KIND_COUNT; i++)
		total += counts[i];
	fprintf(out, "alloc_count: armed=%d data_lcore_threads=%u allocations=%llu", was_armed, named_count,
		(unsigned long long)total);
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
