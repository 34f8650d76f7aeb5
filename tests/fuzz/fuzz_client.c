/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Fuzz target: the client library against brokers that lie. A hub with a producing and a consuming client
 * talks to a live broker over a network in memory. The input is a program: messages, time, datagrams of
 * either direction that are lost, repeated or changed, frames of a broker made from scratch with the
 * session's numbers, restarts, producers and consumers that come and go. What must hold: each message taken
 * is completed exactly once; deliveries are in order of offsets, and a step is explained by an event; what
 * the library gives to callbacks is inside its memory; no buffer is lost.
 */
#include "client_rig.h"
#include "fuzz_input.h"
#include "wire_samples.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

#define OPS_MAX	    250
#define SAVED	    16
#define FRAME_BYTES 4096
#define PARTS	    2

static const char ini[] = "[lcores]\ndata = 1\n"
			  "[memory]\nlog_bytes = 4M\nextent_bytes = 64K\nreorder_frames = 64\n"
			  "[port net_memif0]\naddress = 10.0.0.254/24\n"
			  "[sessions]\nmax = 64\nidle_timeout_ms = 600\nheartbeat_ms = 20\nwindow_frames = "
			  "64\nwindow_bytes = 64K\n"
			  "max_subscriptions = 16\nmax_producers = 64\nmax_reassembly = 2\n"
			  "[topic t]\npartitions = 2\nlog_bytes = 512K\nmax_message_bytes = 64K\n";

struct saved {
	uint64_t data[FRAME_BYTES / 8];
	uint32_t bytes;
};
/* What is done to the datagrams that come next. */
enum plan { PASS, LOSE, REPEAT, CHANGE, CHANGE_AND_PASS };
struct program {
	struct fuzz_input in;
	struct net *net;
	struct kx_client *producing, *consuming;
	struct kx_producer *producer;
	struct kx_consumer *consumer;
	uint64_t taken, completed; /* messages */
	uint64_t next[PARTS];	   /* offset expected */
	bool explained[PARTS];	   /* the next batch may begin elsewhere */
	struct saved saved[SAVED]; /* frames of brokers */
	uint32_t saved_count;
	uint64_t conn_id[2], pkt_no[2]; /* sessions seen last, of either client as far as one can tell */
	uint32_t sub_id;
	enum plan plan;
	uint32_t plan_left;
	bool planned_broker; /* the plan is for frames of brokers */
	bool injecting;
};
static struct program p;

/* ---- callbacks */

static void on_event(void *user, const struct kx_event *e)
{
	(void)user;
	fuzz_require(strcmp(kx_event_name(e->type), "?") != 0 && e->result < KX_RESULT_COUNT);
	switch (e->type) {
	case KX_EVENT_PRODUCER_READY:
	case KX_EVENT_PRODUCER_FAILED:
		break;
	default: /* offsets may be others now */
		memset(p.explained, 1, sizeof(p.explained));
	}
}

static void on_complete(void *user, const struct kx_completion *c)
{
	(void)user;
	fuzz_require(c->count > 0 && c->result < KX_RESULT_COUNT);
	p.completed += c->count;
	fuzz_require(p.completed <= p.taken);
}

static void touch(const uint8_t *at, size_t bytes)
{
	uint32_t sum = kx_crc32c(0, at, bytes);

	__asm__ volatile("" : : "r"(sum));
}

static void on_batch(void *user, const struct kx_batch_view *v)
{
	struct kx_record_iter it = kx_batch_records(v);
	struct kx_record r;
	uint32_t n = 0;

	(void)user;
	fuzz_require(v->count > 0 && v->skip + v->count == v->batch->record_count);
	for (; kx_record_next(&it, &r); n++) {
		touch(r.value, r.value_bytes);
		touch(r.key, r.key_bytes);
	}
	fuzz_require(n == v->count);
	if (v->partition >= PARTS)
		return; /* a broker that lies about its topics */
	fuzz_require(v->first_offset == p.next[v->partition] || p.explained[v->partition]);
	p.next[v->partition] = v->first_offset + v->count;
	p.explained[v->partition] = false;
}

/* ---- the network */

static void save(const uint8_t *data, uint32_t bytes)
{
	const struct kx_frame_hdr *h = (const struct kx_frame_hdr *)data;
	struct saved *s = &p.saved[p.saved_count++ % SAVED];

	memcpy(s->data, data, bytes);
	s->bytes = bytes;
	if (h->conn_id == 0 || h->pkt_no == 0)
		return;
	if (p.conn_id[0] != h->conn_id) {
		p.conn_id[1] = p.conn_id[0];
		p.pkt_no[1] = p.pkt_no[0];
		p.conn_id[0] = h->conn_id;
	}
	p.pkt_no[0] = h->pkt_no;
	if (h->handle != 0)
		p.sub_id = h->handle;
}

static void inject(const struct kx_addr *from, const struct kx_addr *to, const void *data, uint32_t bytes)
{
	p.injecting = true;
	net_inject(p.net, from, to, data, bytes);
	p.injecting = false;
}

static bool filter(struct net *net, const struct flight *f, const struct kx_frame_hdr *h)
{
	static uint64_t changed[FRAME_BYTES / 8];
	bool of_broker = kx_addr_equal(&f->from, &net->lcores[0].addr);
	uint32_t bytes;

	if (of_broker)
		save((const uint8_t *)h, f->bytes);
	if (p.plan_left == 0 || of_broker != p.planned_broker)
		return true;
	p.plan_left--;
	switch (p.plan) {
	case LOSE:
		return false;
	case REPEAT:
		inject(&f->from, &f->to, h, f->bytes);
		return true;
	case CHANGE:
	case CHANGE_AND_PASS:
		memcpy(changed, h, f->bytes);
		bytes = fuzz_mutate(&p.in, (uint8_t *)changed, f->bytes, FRAME_BYTES);
		inject(&f->from, &f->to, changed, bytes);
		return p.plan == CHANGE_AND_PASS;
	default:
		return true;
	}
}

/* ---- operations */

static void time_passes(void)
{
	static const uint64_t steps[] = {
		0, 20000, 100000, 2000000, 30000000, 200000000, 700000000, 3000000000};
	uint8_t how = fuzz_u8(&p.in);

	for (int i = 1 + (how >> 4); i > 0; i--)
		net_turn(p.net);
	p.net->now_ns += steps[how % KX_DIM(steps)];
	for (int i = 0; i < 4; i++)
		net_turn(p.net);
}

static void send_messages(void)
{
	static uint8_t value[30000];
	uint8_t how = fuzz_u8(&p.in);
	struct kx_message m = {.value = value,
		.value_bytes = (how & 0x80) ? 100u * fuzz_u8(&p.in) : how >> 2 & 31,
		.partition = (how & 2) ? KX_PARTITION_AUTO : how & 1,
		.key = (how & 0x40) ? value : NULL,
		.key_bytes = (how & 0x40) ? 5 : 0};

	for (int i = (how & 0x80) ? 1 : 1 + how % 20; i > 0; i--) {
		p.taken++; /* before: a completion must find it */
		if (p.producer == NULL || kx_producer_send(p.producer, &m, p.net->now_ns) != KX_OK)
			p.taken--;
	}
	if (how & 4)
		net_turn(p.net);
}

static void plan(void)
{
	uint8_t how = fuzz_u8(&p.in);

	p.plan = (enum plan)(how % 5);
	p.planned_broker = (how & 0x80) == 0;
	p.plan_left = 1 + (how >> 5 & 3);
}

/* A frame that a broker might send: one of its last, or a sample of any type with the session's numbers. */
static void lie(void)
{
	static uint64_t frame[FRAME_BYTES / 8];
	uint8_t how = fuzz_u8(&p.in), which = fuzz_u8(&p.in);
	struct kx_frame_hdr *h = (struct kx_frame_hdr *)frame;
	struct kx_addr from = p.net->lcores[0].addr;
	uint32_t bytes;

	memset(frame, 0, sizeof(frame));
	if (how & 1) {
		bytes = p.saved[which % SAVED].bytes;
		memcpy(frame, p.saved[which % SAVED].data, bytes);
	} else {
		bytes = (uint32_t)wire_samples[which % wire_sample_count].build((uint8_t *)frame);
	}
	if (bytes == 0)
		return;
	if (h->conn_id != 0) {
		h->conn_id = p.conn_id[how >> 1 & 1];
		if (h->pkt_no != 0)
			h->pkt_no = p.pkt_no[how >> 1 & 1] + (how >> 2 & 7);
		h->floor_delta = (uint32_t)KX_MIN(h->pkt_no, (how & 0x20) ? 8 : 0);
		if (h->handle != 0)
			h->handle = p.sub_id;
	}
	wire_repair_frame((uint8_t *)frame, bytes);
	if (how & 0x40)
		bytes = fuzz_mutate(&p.in, (uint8_t *)frame, bytes, FRAME_BYTES);
	if (how & 0x80)
		from.port++;
	inject(&from, &p.net->hubs[0].addr, frame, bytes);
}

static void producer_open(void)
{
	struct kx_producer_opts o = {.topic = "t",
		.linger_ns = 20000,
		.send_slots = 32,
		.large_bytes = 65536,
		.on_complete = on_complete};

	if (p.producer == NULL && kx_producer_open(p.producing, &o, p.net->now_ns, &p.producer) != KX_OK)
		p.producer = NULL;
}

static void consumer_open(void)
{
	struct kx_consumer_opts o = {.topic = "t",
		.partition = KX_PARTITION_ALL,
		.start_offset = KX_OFFSET_EARLIEST,
		.window_bytes = 8192,
		.hold_frames = 8,
		.large_bytes = 65536,
		.on_batch = on_batch};

	memset(p.explained, 1, sizeof(p.explained));
	if (p.consumer == NULL && kx_consumer_open(p.consuming, &o, p.net->now_ns, &p.consumer) != KX_OK)
		p.consumer = NULL;
}

static void on_topics(
	void *user, enum kx_result r, const struct kx_topic_info *topics, uint32_t count, bool last)
{
	(void)user;
	(void)last;
	for (uint32_t i = 0; r == KX_OK && i < count; i++)
		touch((const uint8_t *)topics[i].name, strlen(topics[i].name));
}

static void on_metadata(void *user, enum kx_result r, const struct kx_metadata_info *info,
	const struct kx_partition_info *parts, uint32_t count, bool last)
{
	(void)user;
	(void)last;
	if (r == KX_OK)
		touch((const uint8_t *)info->topic, strlen(info->topic));
	touch((const uint8_t *)parts, count * sizeof(*parts));
}

static void on_ping(void *user, enum kx_result r, uint32_t lcore, uint64_t rtt_ns, uint64_t residence_ns)
{
	(void)user;
	(void)lcore;
	(void)rtt_ns;
	(void)residence_ns;
	fuzz_require(r < KX_RESULT_COUNT);
}

static void ask(void)
{
	uint8_t how = fuzz_u8(&p.in);
	struct kx_client *c = (how & 1) ? p.producing : p.consuming;

	switch (how >> 1 & 3) {
	case 0:
		kx_client_topics(c, 50000000, p.net->now_ns, on_topics, NULL);
		break;
	case 1:
		kx_client_metadata(c, (how & 8) ? "t" : "nix", 50000000, p.net->now_ns, on_metadata, NULL);
		break;
	case 2:
		kx_client_ping(c, how >> 4 & 1, 50000000, p.net->now_ns, on_ping, NULL);
		break;
	default:
		if (p.producer != NULL)
			kx_producer_flush(p.producer, p.net->now_ns);
	}
}

static void come_and_go(void)
{
	uint8_t how = fuzz_u8(&p.in);

	switch (how % 6) {
	case 0:
		kx_producer_close(p.producer, p.net->now_ns);
		p.producer = NULL;
		break;
	case 1:
		kx_consumer_close(p.consumer, p.net->now_ns);
		p.consumer = NULL;
		break;
	case 2:
		producer_open();
		break;
	case 3:
		consumer_open();
		break;
	case 4:
		net_restart_broker(p.net);
		break;
	default:
		p.net->no_buffer = (how & 0x10) ? 300 : 0;
	}
}

static void operation(void)
{
	static void (*const ops[])(void) = {send_messages, send_messages, time_passes, time_passes,
		time_passes, plan, plan, lie, lie, lie, ask, come_and_go};

	ops[fuzz_u8(&p.in) % KX_DIM(ops)]();
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	setenv("CMOCKA_TEST_ABORT", "1", 1);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct kx_client_opts o = {.on_event = on_event, .channels_max = 2, .subscriptions_max = 8};

	memset(&p, 0, sizeof(p));
	p.in = (struct fuzz_input){data, data + bytes};
	p.net = net_new(ini, 1, 1, 1);
	p.net->filter = filter;
	o.broker = p.net->lcores[0].addr;
	fuzz_require(kx_client_open(p.net->hub[0], &o, p.net->now_ns, &p.producing) == KX_OK);
	fuzz_require(kx_client_open(p.net->hub[0], &o, p.net->now_ns, &p.consuming) == KX_OK);
	producer_open();
	consumer_open();
	if (fuzz_u8(&p.in) & 1) /* else set-up itself is disturbed */
		for (int i = 0; i < 40; i++)
			net_turn(p.net);
	for (int i = 0; i < OPS_MAX && fuzz_more(&p.in); i++)
		operation();
	p.net->filter = NULL;
	p.net->no_buffer = 0;
	net_free(p.net);
	fuzz_require(p.completed == p.taken);
	return 0;
}
