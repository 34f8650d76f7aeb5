/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Flow control by itself: `name ns` lines, medians.
 *   zero_credit   from the burst that filled a log that blocks to the receipt, handed to the transport, that
 *                 stops the producer: the whole poll in which that happens
 *   zero_credit_pool  the same, when the pool of all logs is used up before the log is full
 *   quota_use     paying for a batch under a limit
 *   quota_open    asking whether a limit has debt
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kx_broker.h"

#define ROUNDS 501

static const char ini[] =
	"[lcores]\ndata = 1\n[memory]\nlog_bytes = 4M\nextent_bytes = 64K\n"
	"[sessions]\nwindow_bytes = 64K\n"
	"[port net_memif0]\naddress = 10.0.0.254/24\n"
	"[topic t]\npartitions = 1\noverrun = block\nlog_bytes = 256K\nmax_message_bytes = 16K\n";

struct wire {
	uint64_t memory[256];
	struct kx_accept accept;
	struct kx_cookie cookie;
	struct kx_receipt last;
	uint64_t tsc; /* when the last receipt was sent */
};

static void *wire_alloc(void *ctx, uint32_t bytes, uint8_t **data)
{
	struct wire *w = ctx;

	(void)bytes;
	*data = (uint8_t *)w->memory;
	return *data;
}

static void wire_free(void *ctx, void *buf)
{
	(void)ctx;
	(void)buf;
}

static void wire_send(void *ctx, void *buf, uint32_t bytes, const struct kx_path *path)
{
	const struct kx_frame_hdr *h = buf;
	struct wire *w = ctx;

	(void)bytes;
	(void)path;
	if (h->type == KX_COOKIE)
		memcpy(&w->cookie, h + 1, sizeof(w->cookie));
	else if (h->type == KX_ACCEPT)
		memcpy(&w->accept, h + 1, sizeof(w->accept));
	else if (h->type == KX_COMMIT_ACK) {
		w->tsc = kx_tsc_read();
		memcpy(&w->last, h + 1, sizeof(w->last));
	}
}

static unsigned int wire_room(void *ctx)
{
	(void)ctx;
	return 512;
}

static void wire_flush(void *ctx)
{
	(void)ctx;
}

static int wire_path_of(void *ctx, const struct kx_frame *f, struct kx_path *path)
{
	(void)ctx;
	*path = (struct kx_path){.remote = f->remote, .datagram_bytes = KX_DATAGRAM_DEFAULT_V4};
	return 0;
}

static const struct kx_transport_ops wire_ops = {.alloc = wire_alloc,
	.free = wire_free,
	.send = wire_send,
	.flush = wire_flush,
	.room = wire_room,
	.path_of = wire_path_of};

static struct kx_addr from;

static void give(struct kx_broker *b, void *frame, uint32_t bytes, uint64_t now)
{
	struct kx_frame f = {.data = frame, .bytes = bytes, .buf = frame, .rx_ns = now, .remote = from};

	kx_broker_rx(b, &f, 1, now);
}

static void connect(struct kx_broker *b, struct wire *w, uint64_t now)
{
	uint64_t buf[KX_HELLO_BYTES / 8] = {0};
	struct kx_hello *hello = (struct kx_hello *)kx_frame_begin((uint8_t *)buf, KX_HELLO, 0, 0, 0, 0);
	struct kx_auth *auth;

	hello->client_nonce[0] = 1;
	hello->version_min = hello->version_max = 1;
	kx_frame_seal((uint8_t *)buf, sizeof(buf));
	give(b, buf, sizeof(buf), now);
	memset(buf, 0, sizeof(buf));
	auth = (struct kx_auth *)kx_frame_begin((uint8_t *)buf, KX_AUTH, 0, 0, 0, 0);
	memcpy(auth->client_nonce, w->cookie.client_nonce, KX_NONCE_BYTES);
	memcpy(auth->cookie, w->cookie.cookie, KX_COOKIE_BYTES);
	memcpy(auth->broker_nonce, w->cookie.broker_nonce, KX_NONCE_BYTES);
	auth->datagram_bytes = KX_DATAGRAM_DEFAULT_V4;
	kx_frame_seal((uint8_t *)buf, sizeof(buf));
	give(b, buf, sizeof(buf), now);
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *v, size_t n)
{
	qsort(v, n, sizeof(*v), by_value);
	return v[n / 2];
}

/* As if other logs had taken all but half of what this one may have. */
static void use_up_pool(struct kx_broker *b)
{
	const struct kx_topic_table *t = kx_broker_topics(b);
	struct kx_extent_pool *pool = (struct kx_extent_pool *)(uintptr_t)&t->pool;

	while (pool->free > t->partitions[0].log.max_extents / 2)
		(void)kx_extent_get(pool);
}

/* Fill the log of a fresh broker, or (`pool`) the memory of all logs. Ns from the end of the burst that
 * filled it to the receipt; < 0: it did not stop. */
static double fill(
	const struct kx_broker_config *base, const struct kx_tsc_clock *clock, struct wire *w, bool pool)
{
	struct kx_broker_config config = *base;
	uint64_t now = KX_NS_PER_S, seq = 0, pkt_no = 1, used = 0;
	static struct kx_ledger ledger;
	struct kx_broker *b;
	double ns = -1;

	ledger = (struct kx_ledger){0};
	memset(w, 0, sizeof(*w));
	config.ledger = &ledger;
	config.transport.ctx = w;
	if (kx_broker_create(&config, &b) != 0)
		return -1;
	if (pool)
		use_up_pool(b);
	connect(b, w, now);
	kx_broker_poll(b, now);
	w->last.limit_pkt = w->accept.limit_pkt;
	w->last.limit_bytes = w->accept.limit_bytes;
	for (int turn = 0; turn < 1000 && w->last.blocked != KX_BLOCKED_LOG; turn++) {
		uint64_t t;

		now += 20000;
		for (int i = 0; i < 32; i++) {
			static uint64_t frame[192];
			uint8_t *at =
				kx_frame_begin((uint8_t *)frame, KX_PRODUCE, w->accept.conn_id, pkt_no, 0, 0);
			struct kx_batch_writer writer;
			uint32_t bytes;

			kx_batch_begin(&writer, at, 1336, 0, w->accept.producer_id, w->accept.producer_epoch,
				seq, 0);
			for (int k = 0; k < 17; k++)
				memset(kx_batch_claim(&writer, 64), k, 64);
			bytes = kx_batch_end(&writer);
			if (pkt_no >= w->last.limit_pkt || used + bytes > w->last.limit_bytes)
				break;
			seq += 17;
			used += bytes;
			pkt_no++;
			kx_frame_seal((uint8_t *)frame, sizeof(struct kx_frame_hdr) + bytes);
			give(b, frame, (uint32_t)sizeof(struct kx_frame_hdr) + bytes, now);
		}
		t = kx_tsc_read();
		kx_broker_poll(b, now);
		kx_broker_flushed(b, now);
		ns = (double)(w->tsc - t) / clock->ticks_per_ns;
	}
	if (w->last.blocked != KX_BLOCKED_LOG || (kx_broker_topics(b)->pool.free == 0) != pool)
		ns = -1;
	kx_broker_destroy(b);
	return ns;
}

static void quotas(const struct kx_tsc_clock *clock)
{
	struct kx_meter m;
	struct kx_meter_tap t;
	static double use[ROUNDS], open[ROUNDS];
	uint64_t now = KX_NS_PER_S;
	bool any = false;

	kx_meter_init(&m, 1000000000, 100000000, now);
	kx_meter_tap_init(&t, &m, now);
	for (int i = 0; i < ROUNDS; i++) {
		uint64_t a = kx_tsc_read(), b;

		for (int k = 0; k < 1000; k++)
			kx_meter_use(&t, 17, now += 100);
		b = kx_tsc_read();
		for (int k = 0; k < 1000; k++)
			any |= kx_meter_open(&t, now += 100);
		open[i] = (double)(kx_tsc_read() - b) / clock->ticks_per_ns / 1000;
		use[i] = (double)(b - a) / clock->ticks_per_ns / 1000;
	}
	printf("quota_use %.2f\nquota_open %.2f\n", median(use, ROUNDS), any ? median(open, ROUNDS) : 0);
}

int main(void)
{
	static struct kx_partition_offsets offsets[1];
	struct kx_conf_errors *errs = calloc(1, sizeof(*errs));
	struct kx_auth_secrets secrets;
	struct kx_tsc_clock clock;
	struct kx_conf *conf;
	struct kx_producer_ids *producer_ids;
	struct kx_fence *fence;
	static struct wire wire;
	uint8_t *log = NULL;
	static double ns[2][ROUNDS];

	if (kx_tsc_clock_calibrate(&clock, 200000000) != 0 ||
		kx_conf_load_memory("micro", ini, strlen(ini), &conf, errs) != 0 ||
		kx_auth_secrets_init(&secrets) != 0 ||
		kx_producer_ids_create(1024, 1, 1, &producer_ids) != 0 || kx_fence_create(&fence) != 0 ||
		posix_memalign((void **)&log, 2 << 20, conf->memory.log_bytes) != 0) {
		fprintf(stderr, "micro_flow: cannot start: %s\n", errs->text[0]);
		return 2;
	}
	memset(log, 0, conf->memory.log_bytes);
	kx_addr_parse("10.0.0.1", 4000, &from);
	struct kx_broker_config config = {.conf = conf,
		.lcore_count = 1,
		.boot_id = 1,
		.secrets = &secrets,
		.transport = {&wire_ops, NULL},
		.log_memory = log,
		.log_memory_bytes = conf->memory.log_bytes,
		.datagram_max_bytes = KX_DATAGRAM_DEFAULT_V4,
		.rx_buffer_frames = 1024,
		.offsets = offsets,
		.producer_ids = producer_ids,
		.fence = fence,
		.cut_min_bytes = 512,
		.slice_min_bytes = UINT32_MAX};

	for (int i = 0; i < 2 * ROUNDS; i++) {
		double took = fill(&config, &clock, &wire, i % 2 != 0);

		if (took < 0) {
			fprintf(stderr, "micro_flow: a full %s did not stop the producer (%d)\n",
				i % 2 != 0 ? "pool" : "log", i);
			return 1;
		}
		ns[i % 2][i / 2] = took;
	}
	printf("zero_credit %.0f\nzero_credit_pool %.0f\n", median(ns[0], ROUNDS), median(ns[1], ROUNDS));
	quotas(&clock);
	kx_producer_ids_destroy(producer_ids);
	kx_fence_destroy(fence);
	kx_conf_free(conf);
	free(errs);
	free(log);
	return 0;
}
