/* SPDX-License-Identifier: BSD-3-Clause */
#include "kx_base.h"

uint64_t kx_hash_bytes(const void *data, size_t bytes)
{
	const uint8_t *p = data;
	uint64_t h = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < bytes; i++)
		h = (h ^ p[i]) * UINT64_C(0x100000001b3);
	h = kx_mix64(h);
	return h != 0 ? h : 1;
}
