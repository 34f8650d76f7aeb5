/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the client library costs per produce frame, without a port: one client produces frames of 17 messages
 * of 64 bytes (or as many as the argument says), another consumes and looks at each record, each on a hub of
 * its own, through a broker in the same process whose own time is left out. Prints ns per frame, the median
 * of 15 rounds, with and without the CRCs that the client computes (data CRC twice, header CRC and check
 * values), and on lines of their own the shares of producer and consumer, and the broker's ns per frame.
 * `micro_client [messages per frame [plain|mac|aead [bursts a round]]]`: how the frames of both sessions are
 * protected, and how many bursts of 32 frames one of the 15 rounds has (6250). Time,
 * for broker and clients, is not the clock's but 10 us a turn, so that every run does the same; the rounds
 * begin when the careful start of the sessions is over. producer_turn() and consumer_turn() are for callgrind
 * (--toggle-collect)
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kx_broker.h"
#include "kx_client.h"

#define BUFS		 8192
#define BUF_BYTES	 2048
#define RING		 4096
#define BURST		 32
#define ROUNDS		 15
#define BURSTS_PER_ROUND 6250
#define TURN_NS		 10000
#define IDLE_TURNS	 1000
#define IDLE_TURN_NS	 100000
#define WARM_UP_BURSTS	 200

static const char ini[] = "[lcores]\ndata = 1\n"
			  "[memory]\nlog_bytes = 256M\n"
			  "[port net_memif0]\naddress = 10.0.0.254/24\n"
			  "[sessions]\nidle_timeout_ms = 60000\n"
			  "[topic t]\npartitions = 1\noverrun = block\n";
static const char principal_ini[] = "[principal bench]\nkey_file = %s\nproduce = *\nconsume = *\n";

/* One end of the wire: what was sent to it. Buffers are taken round robin: BUFS is far more than are on the
 * way. */
struct end {
	struct kx_addr addr;
	struct kx_frame ring[RING];
	uint32_t head, tail;
};
static struct end broker_end, producer_end, consumer_end;
static uint8_t *memory;
static uint32_t next_buf;
static uint64_t dropped;

static struct end *end_at(uint16_t port)
{
	return port == broker_end.addr.port	 ? &broker_end
		: port == producer_end.addr.port ? &producer_end
						 : &consumer_end;
}

static void *end_alloc(void *ctx, uint32_t bytes, uint8_t **data)
{
	(void)ctx;
	(void)bytes;
	*data = memory + (uint64_t)(next_buf++ % BUFS) * BUF_BYTES;
	return *data;
}

static void end_free(void *ctx, void *buf)
{
	(void)ctx;
	(void)buf;
}

static void end_send(void *ctx, void *buf, uint32_t bytes, const struct kx_path *path)
{
	struct end *from = ctx, *to = end_at(path->remote.port);

	if (to->tail - to->head == RING) {
		dropped++;
		return;
	}
	to->ring[to->tail++ % RING] = (struct kx_frame){.data = buf,
		.bytes = bytes,
		.flags = KX_FRAME_OWNED,
		.remote = from->addr,
		.buf = buf,
		.rx_ns = 1};
}

static void end_forward(void *ctx, struct kx_frame *f, uint32_t bytes, const struct kx_path *path)
{
	end_send(ctx, f->data, bytes, path);
}

static void end_flush(void *ctx)
{
	(void)ctx;
}

static unsigned int end_room(void *ctx)
{
	(void)ctx;
	return RING -
		KX_MAX(broker_end.tail - broker_end.head,
			KX_MAX(producer_end.tail - producer_end.head, consumer_end.tail - consumer_end.head));
}

static unsigned int end_rx(void *ctx, struct kx_frame *frames, unsigned int max)
{
	struct end *e = ctx;
	unsigned int n = KX_MIN(max, e->tail - e->head);

	for (unsigned int i = 0; i < n; i++)
		frames[i] = e->ring[e->head++ % RING];
	return n;
}

static void end_release(void *ctx, struct kx_frame *frames, unsigned int n)
{
	(void)ctx;
	(void)frames;
	(void)n;
}

static int end_path_to(void *ctx, const struct kx_addr *remote, struct kx_path *path)
{
	(void)ctx;
	*path = (struct kx_path){.remote = *remote, .datagram_bytes = KX_DATAGRAM_DEFAULT_V4};
	return 0;
}

static int end_path_of(void *ctx, const struct kx_frame *f, struct kx_path *path)
{
	return end_path_to(ctx, &f->remote, path);
}

static const struct kx_transport_ops ops = {
	.rx_burst = end_rx,
	.release = end_release,
	.alloc = end_alloc,
	.free = end_free,
	.send = end_send,
	.flush = end_flush,
	.room = end_room,
	.path_of = end_path_of,
	.path_to = end_path_to,
	.forward = end_forward,
};

static struct kx_broker *broker;
static struct kx_ledger ledger;
static struct kx_hub *producer_hub, *consumer_hub;
static struct kx_producer *producer;
static uint32_t messages = 17; /* a frame */
static uint64_t now_ns = 1000000000, made, expected, wrong, batches;

static struct kx_key key;

/* The configuration, with a principal and a key when frames are to be protected. */
static void ini_make(char *out, size_t size, enum kx_protect protect)
{
	char path[] = "/tmp/micro_client_key_XXXXXX", said[256];
	int fd = protect != KX_PROTECT_PLAIN ? mkstemp(path) : -1;
	size_t n = (size_t)snprintf(out, size, "%s", ini);
	struct kx_text why;

	if (fd < 0)
		return;
	close(fd);
	unlink(path);
	snprintf(out + n, size - n, principal_ini, path);
	kx_text_init(&why, said, sizeof(said));
	if (kx_key_create(path, &why) != 0 || kx_key_load(path, &key, &why) != 0) {
		fprintf(stderr, "micro_client: %s\n", said);
		exit(2);
	}
}

/* The key file was read, or will not be. */
static void ini_forget(const char *text)
{
	const char *at = strstr(text, "key_file = ");
	char path[64];

	if (at != NULL && sscanf(at, "key_file = %63s", path) == 1)
		unlink(path);
}

static void broker_open(enum kx_protect protect)
{
	char text[1024];
	static struct kx_auth_secrets secrets;
	struct kx_conf_errors *errs = calloc(1, sizeof(*errs));
	struct kx_conf *conf;
	struct kx_broker_config config = {.lcore_count = 1,
		.boot_id = 7,
		.secrets = &secrets,
		.transport = {&ops, &broker_end},
		.datagram_max_bytes = KX_DATAGRAM_DEFAULT_V4,
		.rx_buffer_frames = 2048,
		.ledger = &ledger,
		.cut_min_bytes = 512,
		.slice_min_bytes = UINT32_MAX};

	ini_make(text, sizeof(text), protect);
	if (errs == NULL || kx_conf_load_memory("bench.ini", text, strlen(text), &conf, errs) != 0 ||
		kx_auth_secrets_init(&secrets) != 0 ||
		kx_producer_ids_create(1024, 1, 7, &config.producer_ids) != 0 ||
		kx_fence_create(&config.fence) != 0)
		exit(2);
	config.conf = conf;
	config.offsets = calloc(conf->partition_count, sizeof(*config.offsets));
	config.log_memory_bytes = conf->memory.log_bytes;
	if (posix_memalign((void **)&config.log_memory, conf->memory.extent_bytes, conf->memory.log_bytes) !=
			0 ||
		kx_broker_create(&config, &broker) != 0) {
		ini_forget(text);
		exit(2);
	}
	ini_forget(text);
}

static uint64_t broker_ns, producer_ns, consumer_ns;

static void broker_turn(uint64_t passed_ns)
{
	struct kx_frame frames[BURST];
	uint64_t begin = kx_clock_mono_ns();
	unsigned int n;

	now_ns += passed_ns;
	while ((n = end_rx(&broker_end, frames, BURST)) > 0)
		kx_broker_rx(broker, frames, n, now_ns);
	kx_broker_poll(broker, now_ns);
	kx_broker_flushed(broker, now_ns);
	broker_ns += kx_clock_mono_ns() - begin;
}

static void on_batch(void *user, const struct kx_batch_view *v)
{
	struct kx_record_iter it = kx_batch_records(v);
	struct kx_record r;

	(void)user;
	batches++;
	while (kx_record_next(&it, &r)) {
		uint64_t number;

		memcpy(&number, r.value, sizeof(number));
		wrong += number != expected++;
	}
}

static __attribute__((noinline)) void producer_turn(void)
{
	uint8_t *values;
	uint32_t stride;

	for (int i = 0; i < BURST; i++) {
		if (kx_producer_claim(producer, 0, 0, 64, messages, &values, &stride) != KX_OK)
			break;
		for (uint32_t k = 0; k < messages; k++, made++)
			memcpy(values + k * stride, &made, sizeof(made));
		kx_producer_commit(producer, 0, now_ns);
	}
	kx_hub_poll(producer_hub, now_ns);
}

static __attribute__((noinline)) void consumer_turn(void)
{
	kx_hub_poll(consumer_hub, now_ns);
}

static void turn(void)
{
	uint64_t begin = kx_clock_mono_ns(), between;

	producer_turn();
	between = kx_clock_mono_ns();
	producer_ns += between - begin;
	consumer_turn();
	consumer_ns += kx_clock_mono_ns() - between;
	broker_turn(TURN_NS);
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static double median(double *v, int n)
{
	qsort(v, (size_t)n, sizeof(*v), by_size);
	return v[n / 2];
}

/* The CRCs of one frame: sender's data CRC and check value, receiver's check value, data CRC and header CRC.
 */
static double crc_ns(uint32_t frame_bytes)
{
	enum { N = 2000 };
	uint32_t sink = 0;
	uint64_t begin = kx_clock_mono_ns();

	for (int i = 0; i < N; i++) {
		const uint8_t *at = memory + (uint64_t)(i % BUFS) * BUF_BYTES;

		sink += kx_crc32c(0, at, frame_bytes - 60) + kx_crc32c(0, at + 4, 28);
		sink += kx_crc32c(0, at + 8, 28) + kx_crc32c(0, at, frame_bytes - 60) +
			kx_crc32c(0, at + 36, 28);
	}
	memory[0] ^= (uint8_t)sink; /* keeps the work */
	return (double)(kx_clock_mono_ns() - begin) / N;
}

static bool open_all(enum kx_protect protect)
{
	struct kx_client_opts co = {.channels_max = 1, .broker = broker_end.addr};
	struct kx_producer_opts po = {.topic = "t", .send_slots = 2048};
	struct kx_consumer_opts cs = {.topic = "t",
		.start_offset = KX_OFFSET_EARLIEST,
		.on_batch = on_batch,
		.window_bytes = 1 << 20};
	struct kx_transport to_producer = {&ops, &producer_end}, to_consumer = {&ops, &consumer_end};
	struct kx_hub_opts ho = {.rx_burst = 64, .tx_burst = 64};
	struct kx_client *pc, *cc;
	struct kx_consumer *consumer;

	if (protect != KX_PROTECT_PLAIN) {
		co.principal = "bench";
		co.key = key.bytes;
		co.key_bytes = key.len;
		co.protect = protect;
	}
	if (kx_hub_open(&to_producer, &ho, &producer_hub) != KX_OK ||
		kx_hub_open(&to_consumer, &ho, &consumer_hub) != KX_OK ||
		kx_client_open(producer_hub, &co, now_ns, &pc) != KX_OK ||
		kx_client_open(consumer_hub, &co, now_ns, &cc) != KX_OK ||
		kx_producer_open(pc, &po, now_ns, &producer) != KX_OK ||
		kx_consumer_open(cc, &cs, now_ns, &consumer) != KX_OK)
		return false;
	for (int i = 0; i < IDLE_TURNS; i++) {
		kx_hub_poll(producer_hub, now_ns);
		kx_hub_poll(consumer_hub, now_ns);
		broker_turn(IDLE_TURN_NS);
	}
	return messages > 0 && kx_producer_fit(producer, 64) >= messages;
}

int main(int argc, char **argv)
{
	uint32_t bursts = BURSTS_PER_ROUND;
	enum kx_protect protect = KX_PROTECT_PLAIN;
	double in_producer[ROUNDS], in_consumer[ROUNDS], all[ROUNDS], crc[ROUNDS], in_broker[ROUNDS];
	uint32_t frame_bytes;

	if (argc > 1)
		messages = (uint32_t)atoi(argv[1]);
	if (argc > 3)
		bursts = (uint32_t)atoi(argv[3]);
	if (argc > 2 && !kx_protect_parse(argv[2], &protect)) {
		fprintf(stderr, "micro_client: %s: plain, mac or aead is needed\n", argv[2]);
		return 2;
	}
	memory = aligned_alloc(64, (size_t)BUFS * BUF_BYTES);
	memset(memory, 1, (size_t)BUFS * BUF_BYTES);
	(void)kx_addr_parse("10.0.0.254:9000", 0, &broker_end.addr);
	(void)kx_addr_parse("10.0.0.1:5000", 0, &producer_end.addr);
	(void)kx_addr_parse("10.0.0.1:5001", 0, &consumer_end.addr);
	broker_open(protect);
	if (!open_all(protect))
		return 2;
	frame_bytes = 32 + 72 + messages * 72;
	for (int i = 0; i < WARM_UP_BURSTS; i++)
		turn();
	for (int round = 0; round < ROUNDS; round++) {
		uint64_t first = batches;
		double frames;

		broker_ns = producer_ns = consumer_ns = 0;
		for (unsigned int i = 0; i < bursts; i++)
			turn();
		frames = (double)(batches - first);
		in_producer[round] = (double)producer_ns / frames;
		in_consumer[round] = (double)consumer_ns / frames;
		all[round] = in_producer[round] + in_consumer[round];
		in_broker[round] = (double)broker_ns / frames;
		crc[round] = crc_ns(frame_bytes);
	}
	printf("%u messages a frame of %u bytes: %.0f ns a frame, of which CRCs %.0f ns; %.1f M messages/s; "
	       "wrong %llu, "
	       "dropped %llu\n",
		messages, frame_bytes, median(all, ROUNDS), median(crc, ROUNDS),
		1e3 * messages / median(all, ROUNDS), (unsigned long long)wrong, (unsigned long long)dropped);
	printf("producer: %.0f, consumer: %.0f ns a frame; %llu frames\n", median(in_producer, ROUNDS),
		median(in_consumer, ROUNDS), (unsigned long long)batches);
	printf("broker: %.0f ns a frame, frames %s\n", median(in_broker, ROUNDS), kx_protect_name(protect));
	return wrong == 0 && dropped == 0 ? 0 : 1;
}
