/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * One valid frame of every type, built with the C structures and writers. The same frames, by the same names,
 * are in tests/vectors, written by make.py without this code.
 */
#ifndef WIRE_SAMPLES_H
#define WIRE_SAMPLES_H

#include "kx_wire.h"

#define SAMPLE_BYTES_MAX 4096

struct wire_sample {
	const char *name;
	enum kx_side from;
	enum kx_frame_type type;
	size_t (*build)(uint8_t *data); /**< sealed frame into SAMPLE_BYTES_MAX bytes, 8-byte aligned */
};
extern const struct wire_sample wire_samples[];
extern const unsigned int wire_sample_count;

/** The sample of that name; NULL when there is none. */
const struct wire_sample *wire_sample_find(const char *name);

#endif
