/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * Counts allocations: the malloc family replaced, or a sanitizer's hook where that owns it. For one file of a
 * test program; call count_begin() first.
 */
#ifndef KX_ALLOC_COUNT_H
#define KX_ALLOC_COUNT_H

#include <stddef.h>
#include <stdint.h>

static uint64_t allocations;

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif

#ifdef SANITIZED
/* sanitizer/allocator_interface.h, which gcc's packages do not ship. */
int __sanitizer_install_malloc_and_free_hooks(
	void (*on_malloc)(const volatile void *p, size_t bytes), void (*on_free)(const volatile void *p));

static void count_malloc(const volatile void *p, size_t bytes)
{
	(void)p, (void)bytes;
	allocations++;
}
static void count_free(const volatile void *p)
{
	(void)p;
}
static int count_begin(void)
{
	return __sanitizer_install_malloc_and_free_hooks(count_malloc, count_free) > 0 ? 0 : -1;
}
#else
void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t n, size_t bytes);
void *__libc_realloc(void *p, size_t bytes);
void *__libc_memalign(size_t align, size_t bytes);
void *malloc(size_t bytes)
{
	allocations++;
	return __libc_malloc(bytes);
}
void *calloc(size_t n, size_t bytes)
{
	allocations++;
	return __libc_calloc(n, bytes);
}
void *realloc(void *p, size_t bytes)
{
	allocations++;
	return __libc_realloc(p, bytes);
}
void *aligned_alloc(size_t align, size_t bytes)
{
	allocations++;
	return __libc_memalign(align, bytes);
}
static int count_begin(void)
{
	return 0;
}
#endif

#endif
