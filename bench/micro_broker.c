/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What one data lcore's broker costs per produce frame, without a port: frames of 17 messages of 64 bytes (or
 * 1) are given to kx_broker_rx() in bursts of 32, one consumer takes them by cut-through or copy. Prints ns
 * per frame, the median of 15 rounds. `micro_broker [messages per frame [log MiB]]`; the log is 256 MiB
 * unless told. The broker's time is not the clock's but 100 us a burst, so that every run does the same; the
 * rounds begin when the careful start of the consumer's session is over, and each with nothing undelivered
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kx_broker.h"

#define BURST		 32
#define ROUNDS		 15
#define BURSTS_PER_ROUND 20000
#define BURST_NS	 100000
#define WARM_UP_BURSTS	 1000
#define DRAINS_MAX	 10000
#define BUF_BYTES	 2048
#define BUFS		 1024

static const char ini_format[] = "[lcores]\ndata = 1\n"
				 "[memory]\nlog_bytes = %uM\n"
				 "[port net_memif0]\naddress = 10.0.0.254/24\n"
				 "[sessions]\nidle_timeout_ms = 60000\n"
				 "[topic t]\npartitions = 1\noverrun = block\n";

struct wire {
	uint8_t *memory;
	uint32_t next;
	struct kx_accept accept;
	struct kx_cookie cookie;
	uint64_t largest_pkt; /* of the broker */
	uint64_t frames;
	uint64_t limit_bytes;
};

static void *wire_alloc(void *ctx, uint32_t bytes, uint8_t **data)
{
	struct wire *w = ctx;

	(void)bytes;
	*data = w->memory + (uint64_t)(w->next++ % BUFS) * BUF_BYTES;
	return *data;
}

static void wire_free(void *ctx, void *buf)
{
	(void)ctx;
	(void)buf;
}

static void note(struct wire *w, const uint8_t *data)
{
	const struct kx_frame_hdr *h = (const struct kx_frame_hdr *)data;

	w->frames++;
	w->largest_pkt = h->pkt_no;
	if (h->type == KX_COOKIE)
		memcpy(&w->cookie, h + 1, sizeof(w->cookie));
	else if (h->type == KX_ACCEPT)
		memcpy(&w->accept, h + 1, sizeof(w->accept));
	else if (h->type == KX_COMMIT_ACK || h->type == KX_RX_ACK)
		w->limit_bytes = ((const struct kx_receipt *)(h + 1))->limit_bytes;
}

static void wire_send(void *ctx, void *buf, uint32_t bytes, const struct kx_path *path)
{
	(void)bytes;
	(void)path;
	note(ctx, buf);
}

static void wire_forward(void *ctx, struct kx_frame *f, uint32_t bytes, const struct kx_path *path)
{
	(void)bytes;
	(void)path;
	note(ctx, f->data);
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
	.path_of = wire_path_of,
	.forward = wire_forward};

static struct kx_broker *broker;
static struct kx_addr from;
static uint64_t now = 1000000000;

static void give(uint8_t *frame, uint32_t bytes)
{
	struct kx_frame f = {.data = frame, .bytes = bytes, .buf = frame, .rx_ns = now, .remote = from};

	kx_broker_rx(broker, &f, 1, now);
}

static void connect(struct wire *w)
{
	static uint64_t buf[KX_HELLO_BYTES / 8];
	struct kx_hello *hello = (struct kx_hello *)kx_frame_begin((uint8_t *)buf, KX_HELLO, 0, 0, 0, 0);
	struct kx_auth *auth;

	hello->client_nonce[0] = 1;
	hello->version_min = hello->version_max = 1;
	kx_frame_seal((uint8_t *)buf, sizeof(buf));
	give((uint8_t *)buf, sizeof(buf));
	memset(buf, 0, sizeof(buf));
	auth = (struct kx_auth *)kx_frame_begin((uint8_t *)buf, KX_AUTH, 0, 0, 0, 0);
	memcpy(auth->client_nonce, w->cookie.client_nonce, KX_NONCE_BYTES);
	memcpy(auth->cookie, w->cookie.cookie, KX_COOKIE_BYTES);
	memcpy(auth->broker_nonce, w->cookie.broker_nonce, KX_NONCE_BYTES);
	auth->datagram_bytes = KX_DATAGRAM_DEFAULT_V4;
	kx_frame_seal((uint8_t *)buf, sizeof(buf));
	give((uint8_t *)buf, sizeof(buf));
	w->limit_bytes = w->accept.limit_bytes;
}

static uint64_t pkt_no = 1, seq;

static uint32_t produce(struct wire *w, uint8_t *data, unsigned int messages)
{
	uint8_t *at = kx_frame_begin(data, KX_PRODUCE, w->accept.conn_id, pkt_no++, 0, 0);
	struct kx_batch_writer writer;

	kx_batch_begin(&writer, at, 1336, 0, w->accept.producer_id, w->accept.producer_epoch, seq, 0);
	for (unsigned int i = 0; i < messages; i++)
		memset(kx_batch_claim(&writer, 64), (int)i, 64);
	seq += messages;
	uint32_t bytes = (uint32_t)sizeof(struct kx_frame_hdr) + kx_batch_end(&writer);
	kx_frame_seal(data, bytes);
	return bytes;
}

static void small(struct wire *w, uint8_t type, const void *body, uint32_t n)
{
	static uint64_t buf[64];
	uint8_t *at = kx_frame_begin((uint8_t *)buf, type, w->accept.conn_id, pkt_no++, 0, 0);

	memcpy(at, body, n);
	kx_frame_seal((uint8_t *)buf, sizeof(struct kx_frame_hdr) + n);
	give((uint8_t *)buf, (uint32_t)sizeof(struct kx_frame_hdr) + n);
}

static int by_value(const void *a, const void *b)
{
	return *(const double *)a < *(const double *)b ? -1 : 1;
}

/* The consumer has taken everything. */
static void credit(struct wire *w)
{
	uint64_t taken = kx_broker_counters(broker)->messages_out;
	struct {
		struct kx_receipt r;
		struct kx_credit_entry e;
	} c = {.r = {.next_pkt = w->largest_pkt + 1, .largest_pkt = w->largest_pkt, .entry_count = 1},
		.e = {.sub_id = 1, .next_offset = taken, .done_offset = taken}};

	c.e.limit_bytes = 1u << 30;
	c.e.limit_bytes += seq * 144;
	small(w, KX_CREDIT, &c, sizeof(c));
}

/* TSC ticks that the broker takes for one burst. */
static uint64_t burst(struct wire *w, unsigned int messages, uint32_t flags)
{
	static uint8_t frames[BURST][BUF_BYTES] __attribute__((aligned(64)));
	struct kx_frame f[BURST];
	uint64_t t;

	now += BURST_NS;
	credit(w);
	for (unsigned int i = 0; i < BURST; i++) {
		uint32_t bytes = produce(w, frames[i], messages);

		f[i] = (struct kx_frame){.data = frames[i],
			.bytes = bytes,
			.flags = flags,
			.buf = frames[i],
			.rx_ns = now,
			.remote = from};
	}
	t = kx_tsc_read();
	kx_broker_rx(broker, f, BURST, now);
	kx_broker_poll(broker, now);
	kx_broker_flushed(broker, now);
	return kx_tsc_read() - t;
}

static void drain(struct wire *w)
{
	for (int i = 0; i < DRAINS_MAX && kx_broker_counters(broker)->messages_out < seq; i++) {
		now += BURST_NS;
		credit(w);
		kx_broker_poll(broker, now);
		kx_broker_flushed(broker, now);
	}
}

static double round_ns(
	struct wire *w, unsigned int messages, uint32_t flags, const struct kx_tsc_clock *clock)
{
	uint64_t spent = 0;

	drain(w);
	for (unsigned int n = 0; n < BURSTS_PER_ROUND; n++)
		spent += burst(w, messages, flags);
	return (double)spent / clock->ticks_per_ns / BURSTS_PER_ROUND / BURST;
}

int main(int argc, char **argv)
{
	unsigned int messages = argc > 1 ? (unsigned int)atoi(argv[1]) : 17;
	unsigned int log_mib = argc > 2 ? (unsigned int)atoi(argv[2]) : 256;
	char ini[sizeof(ini_format) + 16];
	static struct kx_partition_offsets offsets[1];
	static struct kx_ledger ledger;
	struct kx_conf_errors *errs = calloc(1, sizeof(*errs));
	struct kx_auth_secrets secrets;
	struct wire wire = {0};
	struct kx_tsc_clock clock;
	struct kx_conf *conf;
	struct kx_producer_ids *producer_ids;
	struct kx_fence *fence;
	uint8_t *log = NULL;
	struct kx_subscribe sub = {.request_id = 1, .sub_id = 1, .limit_bytes = 1u << 30};

	snprintf(ini, sizeof(ini), ini_format, log_mib);
	if (messages < 1 || messages > 17 || kx_tsc_clock_calibrate(&clock, 200000000) != 0 ||
		kx_conf_load_memory("micro", ini, strlen(ini), &conf, errs) != 0 ||
		kx_auth_secrets_init(&secrets) != 0 ||
		kx_producer_ids_create(1024, 1, 1, &producer_ids) != 0 || kx_fence_create(&fence) != 0 ||
		posix_memalign((void **)&log, 2 << 20, conf->memory.log_bytes) != 0) {
		fprintf(stderr, "micro_broker: cannot start (%s); 1..17 messages a frame\n", errs->text[0]);
		return 2;
	}
	memset(log, 0, conf->memory.log_bytes);
	wire.memory = calloc(BUFS, BUF_BYTES);
	kx_addr_parse("10.0.0.1", 4000, &from);
	struct kx_broker_config config = {.conf = conf,
		.lcore_count = 1,
		.boot_id = 1,
		.secrets = &secrets,
		.transport = {&wire_ops, &wire},
		.log_memory = log,
		.log_memory_bytes = conf->memory.log_bytes,
		.datagram_max_bytes = KX_DATAGRAM_DEFAULT_V4,
		.rx_buffer_frames = 1024,
		.offsets = offsets,
		.ledger = &ledger,
		.producer_ids = producer_ids,
		.fence = fence,
		.cut_min_bytes = 0,
		.slice_min_bytes = UINT32_MAX};
	if (wire.memory == NULL || kx_broker_create(&config, &broker) != 0)
		return 2;
	connect(&wire);
	small(&wire, KX_SUBSCRIBE, &sub, sizeof(sub));
	for (unsigned int i = 0; i < WARM_UP_BURSTS; i++)
		burst(&wire, messages, KX_FRAME_OWNED);
	for (unsigned int path = 0; path < 2; path++) {
		double ns[ROUNDS];

		for (unsigned int i = 0; i < ROUNDS; i++)
			ns[i] = round_ns(&wire, messages, path == 0 ? KX_FRAME_OWNED : 0, &clock);
		qsort(ns, ROUNDS, sizeof(ns[0]), by_value);
		printf("%-5s %2u messages a frame: %6.1f ns a frame, %5.1f M messages/s\n",
			path == 0 ? "cut" : "copy", messages, ns[ROUNDS / 2],
			1000.0 * messages / ns[ROUNDS / 2]);
	}
	if (offsets[0].next_offset != seq) {
		fprintf(stderr, "micro_broker: stored %lu of %lu messages\n",
			(unsigned long)offsets[0].next_offset, (unsigned long)seq);
		return 1;
	}
	return 0;
}
