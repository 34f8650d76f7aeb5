/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * The input of a fuzz target as a program: bytes are taken one by one and say what is done; an input that has
 * ended gives zeros. Changes to frames are made by what follows in the input.
 */
#ifndef FUZZ_INPUT_H
#define FUZZ_INPUT_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wire_repair.h"

struct fuzz_input {
	const uint8_t *next, *end;
};
static inline bool fuzz_more(const struct fuzz_input *in)
{
	return in->next < in->end;
}
static inline uint8_t fuzz_u8(struct fuzz_input *in)
{
	return in->next < in->end ? *in->next++ : 0;
}
static inline uint32_t fuzz_u16(struct fuzz_input *in)
{
	uint32_t low = fuzz_u8(in);

	return low | (uint32_t)fuzz_u8(in) << 8;
}
static inline uint64_t fuzz_u64(struct fuzz_input *in)
{
	uint64_t v = 0;

	for (unsigned int i = 0; i < 64; i += 8)
		v |= (uint64_t)fuzz_u8(in) << i;
	return v;
}
#define fuzz_require(expression)                                                                             \
	do {                                                                                                 \
		if (!(expression)) {                                                                         \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #expression);                     \
			abort();                                                                             \
		}                                                                                            \
	} while (0)

/* A number of interest, or any. */
static inline uint64_t fuzz_number(struct fuzz_input *in)
{
	static const uint64_t extremes[] = {0, 1, 2, 7, 8, 63, 64, 65, 255, 256, 4095, 4096, 4097, 65535,
		65536, INT32_MAX, UINT32_MAX, (uint64_t)UINT32_MAX + 1, INT64_MAX, UINT64_MAX - 2,
		UINT64_MAX - 1, UINT64_MAX, KX_BATCH_MAX_BYTES, UINT64_C(1) << 62};
	uint8_t which = fuzz_u8(in);

	return which < KX_DIM(extremes) ? extremes[which] : which < 128 ? which : fuzz_u64(in);
}

#define FUZZ_KEEP_CHECKS                                                                                     \
	0x80 /* the change is as a line would make it: CRCs and check value stay as they were */

/*
 * Change a frame as the input says: first byte: how many changes (0 to 3), whether its length changes, and
 * FUZZ_KEEP_CHECKS. @return its bytes now, at most `room`.
 */
static inline uint32_t fuzz_mutate(struct fuzz_input *in, uint8_t *data, uint32_t bytes, uint32_t room)
{
	uint8_t how = fuzz_u8(in);

	for (unsigned int i = how & 3; i > 0 && bytes > 0; i--) {
		uint32_t where = fuzz_u16(in), width = 1u << (where >> 14), at = (where & 0x3fff) % bytes;
		uint64_t number = fuzz_number(in);

		memcpy(data + at, &number, KX_MIN(width, bytes - at));
	}
	if (how & 4) {
		uint32_t changed =
			how & 8 ? bytes + 8 * (1u + fuzz_u8(in)) : bytes - KX_MIN(bytes, fuzz_u8(in));

		changed = KX_MIN(changed, room);
		if (changed > bytes)
			memset(data + bytes, how & 16 ? 0xff : 0, changed - bytes);
		bytes = changed;
	}
	if ((how & FUZZ_KEEP_CHECKS) == 0)
		wire_repair_frame(data, bytes);
	return bytes;
}

#endif
