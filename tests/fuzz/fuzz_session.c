/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Fuzz target: sessions against a live broker. The input is a program: connect, produce, fragments,
 * subscribe, credit, NAK, any frame of any type, replays, reflections, frames of one session from the address
 * of another, time, ports without room or buffers. Connection ids, packet numbers, sequences and CRCs are
 * right where the program does not change them, so that it gets far. live_broker.c says what must hold.
 */
#include "live_broker.h"
#include "wire_samples.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

#define CLIENTS	     4
#define OPS_MAX	     300
#define CONNECTS_MAX 24

struct client {
	struct rig_session s;
	uint64_t next_seq[FUZZ_PARTITIONS];
	uint64_t sent_offset[FUZZ_PARTITIONS]; /* delivered to it, by partition */
	uint64_t next_in;		       /* broker's packet numbers that came */
	uint64_t credit;
};
struct program {
	struct fuzz_input in;
	struct fuzz_broker broker;
	struct client clients[CLIENTS];
	uint64_t frame[FUZZ_FRAME_BYTES / 8];
};

static void on_sent(void *user, const struct rig_sent *sent)
{
	struct program *p = user;
	const struct kx_frame_hdr *h = (const struct kx_frame_hdr *)sent->data;

	for (unsigned int i = 0; i < CLIENTS; i++) {
		struct client *c = &p->clients[i];

		if (h->conn_id == 0 || h->conn_id != c->s.conn_id)
			continue;
		c->next_in = h->pkt_no + 1;
		if (h->type == KX_DELIVER) {
			const struct kx_batch_hdr *b = (const struct kx_batch_hdr *)(h + 1);

			c->sent_offset[b->partition] = b->base_offset + b->record_count;
		}
	}
}

static struct client *some_client(struct program *p)
{
	struct client *c = &p->clients[fuzz_u8(&p->in) % CLIENTS];

	if (c->s.conn_id == 0 && p->broker.connects < CONNECTS_MAX &&
		fuzz_broker_connect(&p->broker, &c->s)) {
		memset(c->next_seq, 0, sizeof(c->next_seq));
		c->next_in = 1;
		c->credit = 0;
	}
	return c;
}

static uint8_t *begin(struct program *p, struct client *c, enum kx_frame_type type)
{
	uint8_t where = fuzz_u8(&p->in);
	uint64_t number = c->s.next_pkt + ((where & 0xc0) == 0xc0 ? where & 0x3f : 0);

	c->s.next_pkt = number + 1;
	memset(p->frame, 0, sizeof(p->frame));
	return kx_frame_begin((uint8_t *)p->frame, type, c->s.conn_id, number,
		(where & 0x20) ? (uint32_t)KX_MIN(number, where & 0x1f) : 0, 0);
}

/* Bit 0: changed; bit 1: from another's address; bit 2: the buffer is the broker's own. */
static enum kx_drop give(struct program *p, struct client *c, uint32_t bytes)
{
	uint8_t how = fuzz_u8(&p->in);
	const struct kx_addr *from = &c->s.addr;

	wire_repair_frame((uint8_t *)p->frame, bytes);
	if (how & 1)
		bytes = fuzz_mutate(&p->in, (uint8_t *)p->frame, bytes, FUZZ_FRAME_BYTES);
	if (how & 2)
		from = &p->clients[(how >> 4) % CLIENTS].s.addr;
	return fuzz_broker_rx(&p->broker, (uint8_t *)p->frame, bytes, from, (how & 4) ? KX_FRAME_OWNED : 0);
}

static enum kx_drop give_body(
	struct program *p, struct client *c, uint8_t *at, const void *body, size_t bytes)
{
	memcpy(at, body, bytes);
	return give(p, c, (uint32_t)(sizeof(struct kx_frame_hdr) + bytes));
}

/* The sequence a client would use next, or one beside it. */
static uint64_t some_seq(struct program *p, struct client *c, uint32_t part)
{
	uint8_t how = fuzz_u8(&p->in);

	if (how < 160)
		return c->next_seq[part];
	if (how < 208)
		return c->next_seq[part] + (how & 15);
	if (how < 250)
		return c->next_seq[part] - KX_MIN(c->next_seq[part], how & 15);
	return fuzz_number(&p->in);
}

static void produce(struct program *p)
{
	struct client *c = some_client(p);
	uint8_t *at = begin(p, c, KX_PRODUCE), shape = fuzz_u8(&p->in);
	uint32_t bytes = sizeof(struct kx_frame_hdr), part[2], records[2];
	uint64_t seq[2];
	enum kx_drop drop;

	for (uint32_t i = 0; i <= (shape & 1u); i++) {
		struct kx_batch_writer w;

		part[i] = fuzz_u8(&p->in) % FUZZ_PARTITIONS;
		seq[i] = some_seq(p, c, part[i]);
		records[i] = 1 + (shape >> 1) % 8;
		kx_batch_begin(&w, at, 1800, part[i], c->s.producer_id, c->s.producer_epoch, seq[i], 0);
		for (uint32_t k = 0; k < records[i]; k++) {
			uint8_t *value = kx_batch_claim(&w, (shape >> 4) * 8);

			memset(value, (int)(seq[i] + k), (shape >> 4) * 8u);
		}
		at += kx_batch_end(&w);
		bytes += w.used_bytes;
	}
	drop = give(p, c, bytes);
	for (uint32_t i = 0; i <= (shape & 1u); i++)
		if (drop == KX_DROP_NONE && seq[i] == c->next_seq[part[i]])
			c->next_seq[part[i]] += records[i];
}

/* A part, or all parts, of a large batch of one record. */
static void fragments(struct program *p)
{
	static uint64_t batch[10000 / 8];
	struct client *c = some_client(p);
	uint8_t shape = fuzz_u8(&p->in);
	uint32_t part = fuzz_u8(&p->in) % FUZZ_PARTITIONS, part_bytes = 512 + 8 * (shape & 63u), bytes, first,
		 last;
	uint64_t seq = some_seq(p, c, part);
	struct kx_batch_writer w;

	kx_batch_begin(
		&w, (uint8_t *)batch, sizeof(batch), part, c->s.producer_id, c->s.producer_epoch, seq, 0);
	bytes = 600 + 36 * fuzz_u8(&p->in);
	memset(kx_batch_claim(&w, bytes), (int)seq, bytes);
	bytes = kx_batch_end(&w);
	last = (bytes + part_bytes - 1) / part_bytes;
	first = (shape & 64) ? fuzz_u8(&p->in) % last : 0;
	last = (shape & 64) ? first + 1 : last;
	for (; first < last; first++) {
		struct kx_frag *f = (struct kx_frag *)begin(p, c, KX_PRODUCE_FRAG);

		*f = (struct kx_frag){.partition = part,
			.batch_bytes = bytes,
			.frag_offset = first * part_bytes,
			.frag_bytes = KX_MIN(part_bytes, bytes - first * part_bytes),
			.first = seq,
			.part_bytes = part_bytes};
		memcpy(f + 1, (uint8_t *)batch + f->frag_offset, f->frag_bytes);
		give(p, c, (uint32_t)(sizeof(struct kx_frame_hdr) + sizeof(*f)) + f->frag_bytes);
	}
	if ((shape & 64) == 0 && seq == c->next_seq[part])
		c->next_seq[part]++;
}

static void subscribe(struct program *p)
{
	static const uint64_t starts[] = {KX_OFFSET_EARLIEST, KX_OFFSET_NOW, 0, 1};
	struct client *c = some_client(p);
	uint8_t shape = fuzz_u8(&p->in);
	struct kx_subscribe req = {.request_id = shape,
		.partition = shape % FUZZ_PARTITIONS,
		.start_offset = starts[(shape >> 2) & 3],
		.limit_bytes = (shape & 0x80) ? 1 << 16 : 2000,
		.sub_id = 1 + shape % FUZZ_PARTITIONS};

	c->credit = req.limit_bytes;
	give_body(p, c, begin(p, c, KX_SUBSCRIBE), &req, sizeof(req));
}

static struct kx_receipt receipt(const struct client *c)
{
	uint64_t next = KX_MAX(c->next_in, 1);

	return (struct kx_receipt){.next_pkt = next, .largest_pkt = next - 1};
}

static void credit(struct program *p)
{
	struct client *c = some_client(p);
	uint8_t shape = fuzz_u8(&p->in);
	uint32_t part = shape % FUZZ_PARTITIONS;
	struct {
		struct kx_receipt r;
		struct kx_credit_entry e;
	} body = {.r = receipt(c),
		.e = {.sub_id = 1 + part,
			.next_offset = c->sent_offset[part],
			.limit_bytes = c->credit += 5000}};

	if (shape & 0x40)
		body.e.next_offset = fuzz_number(&p->in);
	if (shape & 0x80)
		body.e.limit_bytes = fuzz_number(&p->in);
	body.e.done_offset = (shape & 0x20) ? 0 : body.e.next_offset;
	body.r.entry_count = 1;
	give_body(p, c, begin(p, c, KX_CREDIT), &body, sizeof(body));
}

static void nak(struct program *p)
{
	struct client *c = some_client(p);
	uint8_t shape = fuzz_u8(&p->in);
	uint32_t part = shape % FUZZ_PARTITIONS;
	uint64_t last = c->sent_offset[part], back = (shape >> 4) & 7;
	struct {
		struct kx_nak n;
		struct kx_nak_entry e;
	} body = {.n = {.entry_count = 1},
		.e = {.handle = 1 + part,
			.kind = KX_NAK_OFFSETS,
			.first = last - KX_MIN(last, back + 1),
			.last = last > 0 ? last - 1 : 0}};

	if (shape & 0x80) {
		body.e.kind = KX_NAK_BYTES;
		body.e.last = (8ull * fuzz_u8(&p->in) + 8) << 32;
	}
	if (shape & 8)
		body.e.first = fuzz_number(&p->in);
	give_body(p, c, begin(p, c, KX_NAK), &body, sizeof(body));
}

/* Any frame of any type and side, with this session's numbers. */
static void sample(struct program *p)
{
	struct client *c = some_client(p);
	const struct wire_sample *s = &wire_samples[fuzz_u8(&p->in) % wire_sample_count];
	struct kx_frame_hdr *h = (struct kx_frame_hdr *)p->frame;
	uint32_t bytes;

	memset(p->frame, 0, sizeof(p->frame));
	bytes = (uint32_t)s->build((uint8_t *)p->frame);
	if (h->conn_id != 0) {
		h->conn_id = c->s.conn_id;
		h->pkt_no = c->s.next_pkt++;
		h->floor_delta = 0;
	}
	give(p, c, bytes);
}

static void simple(struct program *p)
{
	struct client *c = some_client(p);
	struct kx_receipt r = receipt(c);
	struct kx_ping ping = {1, 2};
	struct kx_metadata_req meta = {.request_id = 1, .topic_bytes = 3, .topic = "two"};
	struct kx_topics_req topics = {1, 0};
	struct kx_unsubscribe unsubscribe = {1, 1};

	switch (fuzz_u8(&p->in) % 6) {
	case 0:
		give_body(p, c, begin(p, c, KX_HEARTBEAT), &r, sizeof(r));
		break;
	case 1:
		give_body(p, c, begin(p, c, KX_RX_ACK), &r, sizeof(r));
		break;
	case 2:
		give_body(p, c, begin(p, c, KX_PING), &ping, sizeof(ping));
		break;
	case 3:
		give_body(p, c, begin(p, c, KX_METADATA_REQ), &meta, sizeof(meta));
		break;
	case 4:
		give_body(p, c, begin(p, c, KX_TOPICS_REQ), &topics, sizeof(topics));
		break;
	default:
		unsubscribe.sub_id = 1 + fuzz_u8(&p->in) % FUZZ_PARTITIONS;
		give_body(p, c, begin(p, c, KX_UNSUBSCRIBE), &unsubscribe, sizeof(unsubscribe));
	}
}

static void leave(struct program *p)
{
	struct client *c = some_client(p);
	struct kx_close body = {.code = KX_CODE_OK};

	if (give_body(p, c, begin(p, c, KX_CLOSE), &body, sizeof(body)) == KX_DROP_NONE &&
		(fuzz_u8(&p->in) & 1))
		c->s.conn_id = 0; /* else it goes on as if nothing had been */
}

/* A frame that was there before, of either direction, from its address or another. */
static void again(struct program *p, struct fuzz_saved *saved, uint32_t count)
{
	struct client *c = some_client(p);
	struct fuzz_saved *s = &saved[fuzz_u8(&p->in) % FUZZ_SAVED];
	uint8_t how = fuzz_u8(&p->in);

	if (count == 0 || s->bytes == 0)
		return;
	memcpy(p->frame, s->data, s->bytes);
	if (how & 1) {
		uint32_t bytes = fuzz_mutate(&p->in, (uint8_t *)p->frame, s->bytes, FUZZ_FRAME_BYTES);

		fuzz_broker_rx(&p->broker, (uint8_t *)p->frame, bytes, &s->from, 0);
	} else {
		fuzz_broker_rx(
			&p->broker, (uint8_t *)p->frame, s->bytes, (how & 2) ? &c->s.addr : &s->from, 0);
	}
}

static void raw(struct program *p)
{
	struct client *c = some_client(p);
	uint32_t bytes = fuzz_u8(&p->in);

	for (uint32_t i = 0; i < bytes; i++)
		((uint8_t *)p->frame)[i] = fuzz_u8(&p->in);
	fuzz_broker_rx(&p->broker, (uint8_t *)p->frame, bytes, &c->s.addr, 0);
}

static void time_passes(struct program *p)
{
	static const uint64_t steps[] = {0, 1000, 50000, 1000000, 5000000, 20000000, 110000000, 700000000};
	uint8_t how = fuzz_u8(&p->in);

	for (int i = 1 + (how >> 6); i > 0; i--)
		fuzz_broker_turn(&p->broker, steps[how % KX_DIM(steps)]);
}

static void port(struct program *p)
{
	static const unsigned int rooms[] = {1024, 0, 1, 3};
	uint8_t how = fuzz_u8(&p->in);

	p->broker.rig->room = rooms[how & 3];
	p->broker.rig->no_buffers = (how >> 2) & 7;
}

static void operation(struct program *p)
{
	uint8_t op = fuzz_u8(&p->in) % 20;

	if (op < 5)
		produce(p);
	else if (op < 7)
		time_passes(p);
	else if (op < 9)
		sample(p);
	else if (op < 11)
		credit(p);
	else if (op == 11)
		subscribe(p);
	else if (op == 12)
		nak(p);
	else if (op < 15)
		fragments(p);
	else if (op == 15)
		simple(p);
	else if (op == 16)
		again(p, p->broker.in, p->broker.in_count);
	else if (op == 17)
		again(p, p->broker.out, p->broker.out_count);
	else if (op == 18)
		port(p);
	else if (fuzz_u8(&p->in) & 1)
		leave(p);
	else
		raw(p);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	fuzz_broker_process();
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	static struct program p;

	memset(&p, 0, sizeof(p));
	p.in = (struct fuzz_input){data, data + bytes};
	p.broker.on_sent = on_sent;
	p.broker.user = &p;
	fuzz_broker_open(&p.broker, "");
	for (int i = 0; i < OPS_MAX && fuzz_more(&p.in); i++)
		operation(&p);
	fuzz_broker_close(&p.broker);
	return 0;
}
