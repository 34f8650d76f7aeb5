/* SPDX-License-Identifier: BSD-3-Clause */
/* Kernel UDP transport, one thread, loopback: ns a datagram, sent and received, with several datagrams as one
 * (UDP_SEGMENT, UDP_GRO) and without, in interleaved pairs (ABBA). Arguments: pairs (21), datagram bytes
 * (1372). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kx_transport_udp.h"

#define FRAMES	  100000
#define BURST	  64
#define PAIRS_MAX 1000

struct end {
	struct kx_transport_udp *udp;
	struct kx_transport t;
};

static struct end open_end(const char *local, bool offload, uint16_t bytes)
{
	struct kx_transport_udp_opts o = {
		.local = local, .no_gso = !offload, .no_gro = !offload, .datagram_bytes = bytes};
	struct end e;

	if (kx_transport_udp_open(&o, &e.udp) != 0) {
		fprintf(stderr, "cannot open a socket on %s\n", local);
		exit(1);
	}
	e.t = kx_transport_udp(e.udp);
	return e;
}

static void send_burst(struct end *e, const struct kx_path *path, uint32_t bytes)
{
	for (int i = 0; i < BURST; i++) {
		uint8_t *data;
		void *buf = e->t.ops->alloc(e->t.ctx, bytes, &data);

		memset(data, i, 64);
		e->t.ops->send(e->t.ctx, buf, bytes, path);
	}
	e->t.ops->flush(e->t.ctx);
}

/* ns a datagram */
static double run(bool offload, uint16_t bytes)
{
	struct end a = open_end("127.0.0.1:19373", offload, bytes),
		   b = open_end("127.0.0.1:19374", offload, bytes);
	struct kx_frame f[BURST];
	struct kx_path path;
	struct kx_addr to;
	uint64_t from_ns;
	uint32_t got = 0;

	(void)kx_addr_parse("127.0.0.1:19374", 0, &to);
	(void)a.t.ops->path_to(a.t.ctx, &to, &path);
	for (int i = 0; i < 50; i++) { /* warm */
		send_burst(&a, &path, bytes);
		while (b.t.ops->rx_burst(b.t.ctx, f, BURST) != 0)
			;
	}
	from_ns = kx_clock_mono_ns();
	while (got < FRAMES) {
		unsigned int n;

		send_burst(&a, &path, bytes);
		while ((n = b.t.ops->rx_burst(b.t.ctx, f, BURST)) != 0)
			got += n;
	}
	from_ns = kx_clock_mono_ns() - from_ns;
	kx_transport_udp_close(a.udp);
	kx_transport_udp_close(b.udp);
	return (double)from_ns / got;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static double median(double *v, int n)
{
	qsort(v, (size_t)n, sizeof(*v), by_value);
	return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

/* 95 % interval of the median, bootstrap */
static void interval(const double *v, int n, double *low, double *high)
{
	static double medians[2000], pick[PAIRS_MAX];
	struct kx_prng prng;

	kx_prng_seed(&prng, 1);
	for (int i = 0; i < 2000; i++) {
		for (int k = 0; k < n; k++)
			pick[k] = v[kx_prng_below(&prng, (uint64_t)n)];
		medians[i] = median(pick, n);
	}
	qsort(medians, 2000, sizeof(*medians), by_value);
	*low = medians[50];
	*high = medians[1949];
}

int main(int argc, char **argv)
{
	static double with[PAIRS_MAX], without[PAIRS_MAX], ratio[PAIRS_MAX];
	int pairs = argc > 1 ? atoi(argv[1]) : 21, bytes = argc > 2 ? atoi(argv[2]) : KX_DATAGRAM_DEFAULT_V4;
	double low, high;

	if (pairs < 1 || pairs > PAIRS_MAX || bytes < KX_DATAGRAM_MIN_BYTES || bytes > KX_FRAME_MAX_BYTES)
		return 2;
	for (int i = 0; i < pairs; i++) {
		bool first = i % 2 == 0;
		double a = run(first, (uint16_t)bytes), b = run(!first, (uint16_t)bytes);

		with[i] = first ? a : b;
		without[i] = first ? b : a;
		ratio[i] = without[i] / with[i];
	}
	interval(ratio, pairs, &low, &high);
	printf("%d-byte datagrams, %d pairs: together %.0f ns, singly %.0f ns, ratio %.2f (%.2f .. %.2f)\n",
		bytes, pairs, median(with, pairs), median(without, pairs), median(ratio, pairs), low, high);
	return 0;
}
