/* SPDX-License-Identifier: BSD-3-Clause */
#include "kx_base.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct kx_hist *kx_hist_new(void)
{
	struct kx_hist *h = malloc(sizeof(*h));

	if (h != NULL)
		kx_hist_reset(h);
	return h;
}

void kx_hist_free(struct kx_hist *h)
{
	free(h);
}

void kx_hist_reset(struct kx_hist *h)
{
	memset(h, 0, sizeof(*h));
	h->min = UINT64_MAX;
}

void kx_hist_merge(struct kx_hist *into, const struct kx_hist *from)
{
	for (uint32_t i = 0; i < KX_HIST_BUCKETS; i++)
		kx_count(&into->bucket[i], kx_counter_read(&from->bucket[i]));
	kx_count(&into->count, kx_counter_read(&from->count));
	kx_count(&into->lost, kx_counter_read(&from->lost));
	kx_count(&into->clamped, kx_counter_read(&from->clamped));
	into->max = KX_MAX(into->max, from->max);
	into->min = KX_MIN(into->min, from->min);
	into->sum += from->sum;
}

double kx_hist_mean(const struct kx_hist *h)
{
	return h->count != 0 ? h->sum / (double)h->count : 0.0;
}

/* ceil(q * n), not moved up by the rounding error of a product such as 0.999 * 100000. */
static uint64_t rank_of(double q, uint64_t n)
{
	double rank = ceil(q * (double)n * (1.0 - 4e-16));

	return rank < 1.0 ? 1 : KX_MIN((uint64_t)rank, n);
}

int kx_hist_quantile(const struct kx_hist *h, double q, uint64_t *value_ns)
{
	if (!(q > 0.0 && q < 1.0))
		return -EINVAL;
	uint64_t total = h->count + h->lost;
	/* 1 - 0.99 is a little more than 0.01; the margin keeps 100 / (1 - q) at the count people expect. */
	if ((double)total * (1.0 - q) < 100.0 * (1.0 - 1e-9))
		return -ENODATA;
	uint64_t rank = rank_of(q, total);
	if (rank > h->count)
		return -ERANGE;

	uint64_t seen = 0;
	for (uint32_t i = 0; i < KX_HIST_BUCKETS; i++) {
		seen += h->bucket[i];
		if (seen < rank)
			continue;
		bool clamped = i == KX_HIST_BUCKETS - 1 && h->clamped > 0;
		*value_ns = clamped ? h->max : KX_MIN(kx_hist_bucket_max(i), h->max);
		return 0;
	}
	/* Only while a writer is between its bucket and its count. */
	*value_ns = h->max;
	return 0;
}
