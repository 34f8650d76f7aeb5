/* SPDX-License-Identifier: BSD-3-Clause */
#include "kx_base.h"

#include <isa-l/crc.h>
#include <string.h>

#ifdef __SSE4_2__
/* Measured crossover: below this the plain instruction is faster than the ISA-L call.
 */
#define ISAL_FROM_BYTES 96

/* One 8-byte step after the other, three cycles each. */
static uint32_t crc_instruction(uint32_t state, const uint8_t *p, size_t n)
{
	uint64_t crc = state;

	for (; n >= 8; p += 8, n -= 8) {
		uint64_t word;

		memcpy(&word, p, sizeof(word));
		crc = __builtin_ia32_crc32di(crc, word);
	}
	state = (uint32_t)crc;
	if (n & 4) {
		uint32_t word;

		memcpy(&word, p, sizeof(word));
		state = __builtin_ia32_crc32si(state, word);
		p += 4;
	}
	if (n & 2) {
		uint16_t word;

		memcpy(&word, p, sizeof(word));
		state = __builtin_ia32_crc32hi(state, word);
		p += 2;
	}
	if (n & 1)
		state = __builtin_ia32_crc32qi(state, *p);
	return state;
}
#endif

/* ISA-L takes an int length, neither inverts before nor after, and picks its code for the CPU at run time. */
#define ISAL_MOST_BYTES ((size_t)1 << 30)

static __attribute__((noinline, cold)) uint32_t crc_pieces(uint32_t state, const uint8_t *p, size_t n)
{
	while (n > 0) {
		size_t part = KX_MIN(n, ISAL_MOST_BYTES);

		state = crc32_iscsi((unsigned char *)(uintptr_t)p, (int)part, state);
		p += part;
		n -= part;
	}
	return state;
}

uint32_t kx_crc32c(uint32_t crc, const void *data, size_t bytes)
{
#ifdef __SSE4_2__
	if (bytes < ISAL_FROM_BYTES)
		return ~crc_instruction(~crc, data, bytes);
#endif
	if (kx_likely(bytes <= ISAL_MOST_BYTES))
		return ~crc32_iscsi((unsigned char *)(uintptr_t)data, (int)bytes, ~crc);
	return ~crc_pieces(~crc, data, bytes);
}
