/* SPDX-License-Identifier: BSD-3-Clause */
#include "kx_base.h"

#include <math.h>

static uint64_t rotate_left(uint64_t x, unsigned int bits)
{
	return (x << bits) | (x >> (64 - bits));
}

void kx_prng_seed(struct kx_prng *prng, uint64_t seed)
{
	for (unsigned int i = 0; i < KX_DIM(prng->s); i++) {
		seed += UINT64_C(0x9e3779b97f4a7c15);
		uint64_t z = seed;
		z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
		z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
		prng->s[i] = z ^ (z >> 31);
	}
}

uint64_t kx_prng_next(struct kx_prng *prng)
{
	uint64_t *s = prng->s;
	uint64_t result = rotate_left(s[1] * 5, 7) * 9;
	uint64_t t = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = rotate_left(s[3], 45);
	return result;
}

/* Multiply and take the high half; the low half tells the few draws that would favour some results. */
uint64_t kx_prng_below(struct kx_prng *prng, uint64_t bound)
{
	unsigned __int128 m = (unsigned __int128)kx_prng_next(prng) * bound;

	if ((uint64_t)m < bound) {
		uint64_t threshold = -bound % bound;

		while ((uint64_t)m < threshold)
			m = (unsigned __int128)kx_prng_next(prng) * bound;
	}
	return (uint64_t)(m >> 64);
}

double kx_prng_unit(struct kx_prng *prng)
{
	return (double)(kx_prng_next(prng) >> 11) * 0x1p-53;
}

double kx_prng_exp(struct kx_prng *prng, double mean)
{
	return -log1p(-kx_prng_unit(prng)) * mean;
}
