/* SPDX-License-Identifier: BSD-3-Clause */
/* Start-up measurement: copy, slice or cut-through, by size. */
#include <errno.h>
#include <rte_memcpy.h>
#include <string.h>

#include "kx_worker.h"

#define FRAMES 32
#define ROUNDS 24
#define KEEP   7 /* of the rounds, the quickest: the machine's own stops are not the cost */

/*
 * What a second buffer in a frame costs the port and the wire on top of what is measured here: a copied
 * 1400-byte frame took 521 ns and one with attached log memory 625 ns of a core on zero-copy memif, where the
 * copy itself is about 75 ns and attaching 45.
 */
#define SLICE_PORT_NS 130

/*
 * What a frame costs the port on its way out besides (headers, descriptor, its share of the burst): 43 ns for
 * the whole loop of a frame that is only turned round on zero-copy memif. Small batches that are copied share
 * one frame, and so this cost; cut through, each pays it. FRAME_PAYLOAD is what shares.
 */
#define FRAME_PORT_NS 25
#define FRAME_PAYLOAD 1340

enum way { WAY_COPY, WAY_SLICE, WAY_CUT };

struct bench {
	struct rte_mempool *pool;
	const uint8_t *log;
	uint64_t log_bytes;
	uint64_t at;
	struct rte_mbuf_ext_shared_info shinfo;
};

static void no_free(void *addr, void *arg)
{
	(void)addr;
	(void)arg;
}

static const uint8_t *next_piece(struct bench *b, uint32_t bytes)
{
	if (b->at + bytes > b->log_bytes)
		b->at = 0;
	b->at += (bytes + 63u) & ~63u;
	return b->log + b->at - ((bytes + 63u) & ~63u);
}

static void frame_copy(struct bench *b, struct rte_mbuf *m, uint32_t bytes)
{
	rte_memcpy(rte_pktmbuf_mtod(m, void *), next_piece(b, bytes), bytes);
}

static void frame_slice(struct bench *b, struct rte_mbuf *m, struct rte_mbuf *ext, uint32_t bytes)
{
	const uint8_t *piece = next_piece(b, bytes);

	rte_mbuf_ext_refcnt_update(&b->shinfo, 1);
	rte_pktmbuf_attach_extbuf(
		ext, (void *)(uintptr_t)piece, (rte_iova_t)(uintptr_t)piece, (uint16_t)bytes, &b->shinfo);
	ext->data_len = (uint16_t)bytes;
	m->next = ext;
	m->nb_segs = 2;
	memset(rte_pktmbuf_mtod(m, void *), 0, 32);
}

/* Headers of 42 bytes and a frame header of 32 are rewritten in what was received; no mbuf is taken or freed.
 */
static void frame_cut(struct rte_mbuf *m)
{
	memset(rte_pktmbuf_mtod(m, void *), 1, 74);
}

static uint64_t round_tsc(struct bench *b, enum way way, uint32_t bytes)
{
	struct rte_mbuf *m[2 * FRAMES];
	uint32_t n = way == WAY_SLICE ? 2 * FRAMES : FRAMES;
	uint64_t start, end;

	start = kx_tsc_read();
	if (rte_pktmbuf_alloc_bulk(b->pool, m, n) != 0)
		return UINT64_MAX;
	if (way == WAY_CUT)
		start = kx_tsc_read();
	for (uint32_t i = 0; i < FRAMES; i++) {
		if (way == WAY_COPY)
			frame_copy(b, m[i], bytes);
		else if (way == WAY_SLICE)
			frame_slice(b, m[i], m[FRAMES + i], bytes);
		else
			frame_cut(m[i]);
	}
	end = kx_tsc_read();
	rte_pktmbuf_free_bulk(m, FRAMES);
	return way == WAY_CUT ? end - start : kx_tsc_read() - start;
}

static double frame_ns(struct bench *b, const struct kx_tsc_clock *clock, enum way way, uint32_t bytes)
{
	uint64_t best[KEEP], sum = 0;

	memset(best, 0xff, sizeof(best));
	for (unsigned int r = 0; r < ROUNDS; r++) {
		uint64_t tsc = round_tsc(b, way, bytes);

		for (unsigned int k = 0; k < KEEP; k++) {
			if (tsc < best[k]) {
				uint64_t worse = best[k];

				best[k] = tsc;
				tsc = worse;
			}
		}
	}
	for (unsigned int k = 0; k < KEEP; k++)
		sum += best[k];
	return (double)sum / KEEP / FRAMES / clock->ticks_per_ns;
}

/* Smallest size at which a copy costs more than `other_ns`; UINT32_MAX when none does. */
static uint32_t crossover(const uint32_t *sizes, const double *copy_ns, unsigned int n, double other_ns)
{
	for (unsigned int i = 0; i < n; i++)
		if (copy_ns[i] > other_ns)
			return i == 0 ? 0 : sizes[i];
	return UINT32_MAX;
}

/* Smallest size from which cut-through costs less than a copy in a frame that is shared with others of its
 * size. */
static uint32_t cut_crossover(const uint32_t *sizes, const double *copy_ns, unsigned int n, double cut_ns)
{
	for (unsigned int i = 0; i < n; i++) {
		double sharing = KX_MAX(FRAME_PAYLOAD / sizes[i], 1);

		if (copy_ns[i] + FRAME_PORT_NS / sharing > cut_ns + FRAME_PORT_NS)
			return sizes[i];
	}
	return UINT32_MAX;
}

int kx_worker_measure_paths(struct rte_mempool *pool, const uint8_t *log, uint64_t log_bytes,
	const struct kx_tsc_clock *clock, struct kx_worker_paths *out)
{
	static const uint32_t sizes[] = {64, 128, 192, 256, 384, 512, 768, 1024, 1400, 2048, 4096, 8192};
	uint32_t room = (uint32_t)rte_pktmbuf_data_room_size(pool) - RTE_PKTMBUF_HEADROOM, n = 0;
	struct bench b = {.pool = pool, .log = log, .log_bytes = KX_MIN(log_bytes, UINT64_C(8) << 20)};
	double copy_ns[KX_DIM(sizes)];

	memset(out, 0, sizeof(*out));
	if (rte_mempool_avail_count(pool) < 2 * FRAMES)
		return -ENOMEM;
	b.shinfo.free_cb = no_free;
	rte_mbuf_ext_refcnt_set(&b.shinfo, 1);
	for (n = 0; n < KX_DIM(sizes) && sizes[n] <= room; n++)
		copy_ns[n] = frame_ns(&b, clock, WAY_COPY, sizes[n]);
	out->slice_ns = SLICE_PORT_NS + frame_ns(&b, clock, WAY_SLICE, KX_MIN(room, 1400u));
	out->cut_ns = frame_ns(&b, clock, WAY_CUT, 64);
	out->cut_min_bytes = cut_crossover(sizes, copy_ns, n, out->cut_ns);
	out->slice_min_bytes = crossover(sizes, copy_ns, n, out->slice_ns);
	out->copy_ns_64 = n > 0 ? copy_ns[0] : 0;
	out->copy_ns_1400 = n > 8 ? copy_ns[8] : 0;
	out->copy_ns_8192 = n > 11 ? copy_ns[11] : 0;
	return 0;
}
