/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * Makes the CRCs and the check value of a frame right again after something in it was changed, so that what
 * was changed is what is looked at.
 */
#ifndef WIRE_REPAIR_H
#define WIRE_REPAIR_H

#include "kx_wire.h"

/** The CRCs of the batches at p, as far as they lie inside `rest`; header_crc too when stamped by a broker.
 */
void wire_repair_batches(uint8_t *p, size_t rest, bool stamped);
/** Batches, fragment and check value, as far as they lie inside. `data` is 8-byte aligned. */
void wire_repair_frame(uint8_t *data, size_t bytes);

#endif
