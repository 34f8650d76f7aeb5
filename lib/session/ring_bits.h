/* SPDX-License-Identifier: BSD-3-Clause */
/* Ring bitmaps over packet numbers: bit (pkt & (KX_RXWIN_PKTS - 1)). Private to lib/session. */
#ifndef KX_SESSION_RING_BITS_H
#define KX_SESSION_RING_BITS_H

#include "kx_session.h"

#define RING_WORD(pkt) (((pkt) & (KX_RXWIN_PKTS - 1)) / 64)

static inline bool ring_test(const uint64_t *bits, uint64_t pkt)
{
	return bits[RING_WORD(pkt)] >> (pkt % 64) & 1;
}

static inline void ring_set(uint64_t *bits, uint64_t pkt)
{
	bits[RING_WORD(pkt)] |= UINT64_C(1) << (pkt % 64);
}

static inline void ring_clear(uint64_t *bits, uint64_t pkt)
{
	bits[RING_WORD(pkt)] &= ~(UINT64_C(1) << (pkt % 64));
}

/* First number in [from, end) whose bit is `set`; end when there is none. end - from <= KX_RXWIN_PKTS and
 * end <= KX_PKT_NO_MAX + KX_RXWIN_PKTS: at most one word more than the ring has. */
static inline uint64_t ring_find(const uint64_t *bits, uint64_t from, uint64_t end, bool set)
{
	uint64_t flip = set ? 0 : UINT64_MAX;

	while (from < end) {
		uint64_t word = (bits[RING_WORD(from)] ^ flip) >> (from % 64);

		if (word != 0) {
			from += (uint64_t)__builtin_ctzll(word);
			return KX_MIN(from, end);
		}
		from += 64 - from % 64;
	}
	return end;
}

/* Clear [from, end), at most the whole ring. */
static inline void ring_clear_span(uint64_t *bits, uint64_t from, uint64_t end)
{
	while (from < end) {
		uint64_t n = KX_MIN(64 - from % 64, end - from);
		uint64_t mask = n == 64 ? UINT64_MAX : ((UINT64_C(1) << n) - 1) << (from % 64);

		bits[RING_WORD(from)] &= ~mask;
		from += n;
	}
}

#endif
