/* SPDX-License-Identifier: BSD-3-Clause */
/* A broker behind kernel UDP sockets of the loopback, for tests of clients only: the portable broker of each
 * data lcore, all on one thread. Arguments: ini file, first port, data lcores. Prints "ready", ends at the
 * end of standard input. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kx_broker.h"
#include "kx_transport_udp.h"

#define LCORES_MAX 8
#define BURST	   64

struct lcore {
	struct kx_transport_udp *udp;
	struct kx_transport transport;
	struct kx_ledger ledger;
	struct kx_broker *broker;
	uint8_t *log_memory;
};

static struct lcore lcores[LCORES_MAX];
static struct kx_partition_offsets *offsets;
static struct kx_auth_secrets secrets;
static struct kx_producer_ids *producer_ids;
static struct kx_fence *fence;
static uint64_t boot_id;

static int lcore_open(struct lcore *l, const struct kx_conf *conf, uint32_t i, uint32_t n, uint16_t port)
{
	struct kx_transport_udp_opts opts = {.tx_frames = 1024};
	struct kx_broker_config config = {.conf = conf,
		.lcore_index = i,
		.lcore_count = n,
		.boot_id = boot_id,
		.secrets = &secrets,
		.log_memory_bytes = conf->memory.log_bytes,
		.datagram_max_bytes = KX_DATAGRAM_DEFAULT_V4,
		.rx_buffer_frames = 1024,
		.offsets = offsets,
		.ledger = &l->ledger,
		.producer_ids = producer_ids,
		.fence = fence,
		.cut_min_bytes = 512,
		.slice_min_bytes = UINT32_MAX};
	char local[32];

	snprintf(local, sizeof(local), "127.0.0.1:%u", port + i);
	opts.local = local;
	if (kx_transport_udp_open(&opts, &l->udp) != 0 ||
		posix_memalign((void **)&l->log_memory, conf->memory.extent_bytes, conf->memory.log_bytes) !=
			0)
		return -1;
	l->transport = kx_transport_udp(l->udp);
	config.transport = l->transport;
	config.log_memory = l->log_memory;
	return kx_broker_create(&config, &l->broker);
}

static unsigned int turn(struct lcore *l)
{
	struct kx_frame frames[BURST];
	uint64_t now_ns = kx_clock_mono_ns();
	unsigned int n = l->transport.ops->rx_burst(l->transport.ctx, frames, BURST);

	if (n > 0) {
		kx_count(&l->ledger.received, n);
		kx_broker_rx(l->broker, frames, n, now_ns);
		l->transport.ops->release(l->transport.ctx, frames, n);
	}
	n += kx_broker_poll(l->broker, now_ns);
	l->transport.ops->flush(l->transport.ctx);
	kx_broker_flushed(l->broker, kx_clock_mono_ns());
	return n;
}

int main(int argc, char **argv)
{
	struct kx_conf_errors *errs = calloc(1, sizeof(*errs));
	struct pollfd fds[LCORES_MAX + 1] = {{.fd = STDIN_FILENO, .events = POLLIN}};
	struct kx_conf *conf;
	uint32_t n = argc == 4 ? (uint32_t)atoi(argv[3]) : 0;

	if (n == 0 || n > LCORES_MAX || errs == NULL)
		return 2;
	if (kx_conf_load(argv[1], &conf, errs) != 0) {
		fprintf(stderr, "%s\n", errs->text[0]);
		return 2;
	}
	if (kx_auth_secrets_init(&secrets) != 0 || kx_random_bytes(&boot_id, sizeof(boot_id)) != 0 ||
		kx_producer_ids_create(1024, conf->principal_count, boot_id, &producer_ids) != 0 ||
		kx_fence_create(&fence) != 0)
		return 1;
	offsets = aligned_alloc(KX_CACHE_LINE, conf->partition_count * sizeof(*offsets));
	memset(offsets, 0, conf->partition_count * sizeof(*offsets));
	for (uint32_t i = 0; i < n; i++) {
		if (lcore_open(&lcores[i], conf, i, n, (uint16_t)atoi(argv[2])) != 0)
			return 1;
		fds[i + 1] = (struct pollfd){.fd = kx_transport_udp_fd(lcores[i].udp), .events = POLLIN};
	}
	puts("ready");
	fflush(stdout);
	for (;;) {
		unsigned int work = 0;

		for (uint32_t i = 0; i < n; i++)
			work += turn(&lcores[i]);
		if (work == 0 && poll(fds, n + 1, 1) > 0 && fds[0].revents != 0)
			break;
	}
	for (uint32_t i = 0; i < n; i++) {
		kx_broker_stop(lcores[i].broker, kx_clock_mono_ns());
		while (!kx_broker_stopped(lcores[i].broker))
			(void)turn(&lcores[i]);
		kx_broker_destroy(lcores[i].broker);
		kx_transport_udp_close(lcores[i].udp);
		free(lcores[i].log_memory);
	}
	free(offsets);
	free(errs);
	kx_conf_free(conf);
	return 0;
}
