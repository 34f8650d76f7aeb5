/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * What every unit test includes first: cmocka and the headers that it wants before it.
 */
#ifndef KX_TEST_H
#define KX_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/**
 * A copy of `bytes` bytes on the heap that ends with its allocation, so that a sanitizer sees each read or
 * write outside it. Free it with free().
 */
static inline void *kx_test_exact(const void *data, size_t bytes)
{
	void *copy = malloc(bytes > 0 ? bytes : 1);

	assert_non_null(copy);
	if (bytes > 0)
		memcpy(copy, data, bytes);
	return copy;
}

#endif
