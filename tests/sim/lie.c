/* SPDX-License-Identifier: BSD-3-Clause */
/* What a session says that means no good: well-formed frames with contents that are not allowed, and
 * malformed ones. */
#include <stdlib.h>
#include <string.h>

#include "sim.h"

#define HDR ((uint32_t)sizeof(struct kx_frame_hdr))

/* ---- produce */

static struct app_part *part_of(struct raw *r, uint32_t id, uint32_t *app, uint32_t *index)
{
	struct sim *s = r->sim;
	int topic = kx_conf_partition_topic(s->broker.conf, id);

	if (topic < 0)
		return NULL;
	if (r->apps[topic] == NULL) {
		if (s->app_count == SIM_APPS)
			return NULL;
		r->apps[topic] = load_app(s, UINT32_MAX, (uint32_t)topic);
		r->apps[topic]->raw = true;
	}
	*app = r->apps[topic]->id;
	*index = id - s->broker.conf->topics[topic].first_partition;
	return &r->apps[topic]->parts[*index];
}

/* Message n may be stored from now on. */
static void may_store(struct app_part *p, uint64_t n)
{
	if (n >= p->size) {
		p->size = 2 * (n + 32);
		p->place = realloc(p->place, p->size * sizeof(*p->place));
	}
	for (; p->sent <= n; p->sent++)
		p->place[p->sent] = NOT_STORED;
}

static uint32_t value_bytes_of(uint32_t app, uint32_t index, uint64_t n)
{
	return load_value_bytes(app, index, n, 1000);
}

/* A batch of one record at `to`; its message is numbered as its sequence. @return bytes, 0 when it cannot be
 */
static uint32_t batch_of(struct raw *r, uint8_t *to, uint32_t id, uint64_t seq)
{
	uint32_t app = 0, index = 0, bytes;
	struct app_part *p = part_of(r, id, &app, &index);
	struct kx_batch_writer w;

	if (p == NULL && id < r->sim->broker.conf->partition_count)
		return 0;
	if (p != NULL && seq < 100000)
		may_store(p, seq);
	bytes = value_bytes_of(app, index, seq);
	kx_batch_begin(&w, to, 1400 & ~7u, id, r->producer_id, r->producer_epoch, seq, 0);
	load_fill(kx_batch_claim(&w, bytes), bytes, app, index, seq);
	return kx_batch_end(&w);
}

static uint32_t own_partition(struct raw *r)
{
	struct sim *s = r->sim;
	uint32_t n = s->broker.conf->partition_count, id = (uint32_t)pick(s, n);

	while (id % s->broker.lcore_count != r->lcore)
		id = (id + 1) % n;
	return id;
}

static void produce(struct raw *r)
{
	struct sim *s = r->sim;
	uint32_t id =
		chance(s, 900) ? own_partition(r) : (uint32_t)pick(s, s->broker.conf->partition_count + 2);
	uint64_t seq = id < SIM_PARTS ? r->seq[id] : 0;
	uint8_t body[1400] KX_ALIGNED(8);
	struct kx_batch_hdr *b = (struct kx_batch_hdr *)body;
	uint32_t bytes, kind = (uint32_t)pick(s, 16);

	if (kind == 0 && seq > 0)
		seq = pick(s, seq); /* again */
	else if (kind == 1)
		seq += 1 + pick(s, 5); /* with a gap before it that is filled later, or never */
	else if (kind == 2)
		seq += UINT64_C(1) << pick_in(s, 24, 62); /* far away */
	bytes = batch_of(r, body, id, seq);
	if (bytes == 0)
		return;
	if (kind == 3)
		b->producer_id += 1 + pick(s, 3);
	else if (kind == 4)
		b->producer_epoch += (uint32_t)pick_in(s, 1, 3);
	if (kind == 3 || kind == 4)
		b->data_crc = kx_batch_data_crc(b);
	raw_frame(r, KX_PRODUCE, body, bytes);
	if (kind > 4 && id < SIM_PARTS && id % s->broker.lcore_count == r->lcore)
		r->seq[id]++; /* as if it arrived: if not, a gap stays */
}

/* As many as it likes, whatever the credit. */
static void produce_flood(struct raw *r)
{
	struct sim *s = r->sim;
	uint32_t id = own_partition(r);
	uint8_t body[1400] KX_ALIGNED(8);

	for (uint64_t n = pick(s, 60); n > 0; n--) {
		uint32_t bytes = batch_of(r, body, id, r->seq[id]);

		if (bytes == 0)
			return;
		raw_frame(r, KX_PRODUCE, body, bytes);
		r->seq[id]++;
	}
}

/* A batch whose content breaks a rule that its CRC does not. */
static void produce_malformed(struct raw *r)
{
	struct sim *s = r->sim;
	uint8_t body[1400] KX_ALIGNED(8);
	uint32_t id = own_partition(r), bytes = batch_of(r, body, id, r->seq[id]);
	struct kx_batch_hdr *b = (struct kx_batch_hdr *)body;
	struct kx_record_hdr *h = (struct kx_record_hdr *)(b + 1);

	if (bytes == 0)
		return;
	switch (pick(s, 7)) {
	case 0:
		b->format = (uint8_t)pick_in(s, 2, 255);
		break;
	case 1:
		b->attrs = 1;
		break;
	case 2:
		b->record_count = (uint16_t)(chance(s, 500) ? 0 : pick_in(s, 2, 65535));
		break;
	case 3:
		h->value_bytes = chance(s, 500) ? UINT32_MAX : bytes;
		break;
	case 4:
		h->flags = (uint8_t)pick_in(s, 1, 255);
		break;
	case 5:
		b->batch_bytes = (uint32_t)pick(s, 2000);
		raw_frame(r, KX_PRODUCE, body, bytes);
		return;
	default:
		b->header_crc = 1;
	}
	b->data_crc = kx_batch_data_crc(b);
	raw_frame(r, KX_PRODUCE, body, bytes);
}

/* Parts of a large batch that is never finished, contradicts itself, or is too large. */
static void produce_part(struct raw *r)
{
	struct sim *s = r->sim;
	uint8_t body[sizeof(struct kx_frag) + 512] KX_ALIGNED(8) = {0};
	struct kx_frag *f = (struct kx_frag *)body;
	uint32_t id = own_partition(r);

	*f = (struct kx_frag){.partition = chance(s, 900) ? id : id + 1,
		.batch_bytes = chance(s, 100) ? 16u << 20 : (uint32_t)pick_in(s, 3, 8) * 512,
		.frag_bytes = 512,
		.first = r->seq[id] + pick(s, 3),
		.part_bytes = 512};
	f->frag_offset = 512 * (uint32_t)pick(s, f->batch_bytes / 512);
	f->frag_crc = kx_crc32c(0, f + 1, 512) ^ chance(s, 50);
	raw_frame(r, KX_PRODUCE_FRAG, body, sizeof(body));
}

/* ---- consume */

static void subscribe(struct raw *r)
{
	struct sim *s = r->sim;
	struct kx_subscribe b = {.request_id = (uint32_t)pick(s, 100),
		.partition = chance(s, 900) ? own_partition(r) : (uint32_t)pick(s, SIM_PARTS),
		.start_offset = chance(s, 500) ? KX_OFFSET_EARLIEST - pick(s, 2) : pick(s, 10000),
		.limit_bytes = chance(s, 300) ? 0 : pick(s, 1 << 20),
		.sub_id = 1 + (uint32_t)pick(s, chance(s, 900) ? 4 : 200)};

	raw_frame(r, KX_SUBSCRIBE, &b, sizeof(b));
}

static void unsubscribe(struct raw *r)
{
	struct kx_unsubscribe b = {.request_id = 1, .sub_id = 1 + (uint32_t)pick(r->sim, 6)};

	raw_frame(r, KX_UNSUBSCRIBE, &b, sizeof(b));
}

static void lie_credit(struct raw *r)
{
	struct sim *s = r->sim;
	struct {
		struct kx_receipt r;
		struct kx_credit_entry e;
	} b = {.r = {.next_pkt = r->largest_pkt + 1, .largest_pkt = r->largest_pkt, .entry_count = 1}};
	uint32_t sub = (uint32_t)pick(s, 5);

	b.e.sub_id = sub + 1;
	b.e.next_offset = sub < KX_DIM(r->sub_next) ? r->sub_next[sub] : 0;
	b.e.limit_bytes = chance(s, 500) ? pick(s, 1 << 20) : UINT64_MAX;
	switch (pick(s, 6)) {
	case 0:
		b.e.next_offset += 1 + pick(s, 1000); /* has more than it got */
		break;
	case 1:
		b.e.next_offset = UINT64_MAX;
		break;
	case 2:
		b.r.largest_pkt += 1000;
		b.r.next_pkt = b.r.largest_pkt + 1;
		break;
	case 3:
		b.e.done_offset = chance(s, 500) ? UINT64_MAX : b.e.next_offset + 1;
		break;
	default:
		break;
	}
	raw_frame(r, KX_CREDIT, &b, sizeof(b));
}

static void lie_nak(struct raw *r)
{
	struct sim *s = r->sim;
	struct {
		struct kx_nak n;
		struct kx_nak_entry e[64];
	} b = {.n = {.entry_count = (uint32_t)pick_in(s, 1, 64)}};

	for (uint32_t i = 0; i < b.n.entry_count; i++) {
		uint32_t sub = (uint32_t)pick(s, 5);

		b.e[i] = (struct kx_nak_entry){
			.handle = sub + 1, .kind = KX_NAK_OFFSETS, .first = pick(s, 100)};
		b.e[i].last = chance(s, 900) && sub < KX_DIM(r->sub_next) && r->sub_next[sub] > 100
			? r->sub_next[sub] - 1
			: b.e[i].first + pick(s, 1 << 20);
		if (chance(s, 100)) {
			b.e[i].kind = KX_NAK_BYTES;
			b.e[i].last = pick(s, 20000) * 8 | (20001 + pick(s, 100)) * 8 << 32;
		}
	}
	raw_frame(r, KX_NAK, &b, (uint32_t)(sizeof(b.n) + b.n.entry_count * sizeof(b.e[0])));
}

/* ---- anything: a good frame with one field at an extreme, resealed or not */

static uint64_t extreme(struct sim *s)
{
	uint64_t bit = UINT64_C(1) << pick(s, 64);

	switch (pick(s, 4)) {
	case 0:
		return 0;
	case 1:
		return UINT64_MAX - pick(s, 3);
	case 2:
		return bit;
	default:
		return bit - 1;
	}
}

static uint32_t template(struct raw *r, uint8_t *frame, enum kx_frame_type *type)
{
	static const enum kx_frame_type types[] = {KX_HELLO, KX_AUTH, KX_CLOSE, KX_PING, KX_HEARTBEAT,
		KX_METADATA_REQ, KX_TOPICS_REQ, KX_SUBSCRIBE, KX_UNSUBSCRIBE, KX_RX_ACK, KX_NAK, KX_CREDIT,
		KX_PRODUCE_FRAG};
	static const uint16_t bytes[] = {480, 480, 8, 16, 40, 72, 8, 32, 8, 40, 32, 72, 544};
	uint32_t i = (uint32_t)pick(r->sim, KX_DIM(types));

	*type = types[i];
	memset(frame, 0, 600);
	if (i < 2)
		kx_frame_begin(frame, *type, 0, 0, 0, 0);
	else
		kx_frame_begin(frame, *type, r->conn_id, r->pkt_no++, 0, 0);
	return HDR + bytes[i];
}

static void mutate(struct raw *r)
{
	struct sim *s = r->sim;
	uint8_t *frame = malloc(600 + KX_TAG_BYTES);
	enum kx_frame_type type;
	bool sealed;
	uint32_t bytes = template(r, frame, &type);
	uint64_t value = extreme(s);
	uint32_t width = 1u << pick(s, 4), at = (uint32_t)pick(s, KX_MIN(bytes, 120u) / width) * width;

	memcpy(frame + at, &value, width);
	if (chance(s, 200))
		bytes = (uint32_t)pick_in(s, 1, bytes + 40 < 600 ? bytes + 40 : bytes);
	sealed = bytes >= HDR && chance(s, 900);
	if (((struct kx_frame_hdr *)frame)->pkt_no >= r->pkt_no && type > KX_REFUSE)
		r->pkt_no++;
	if (sealed)
		raw_send_sealed(r, frame, bytes);
	else
		raw_send(r, frame, bytes);
}

/* Extensions that fit, and such that do not. */
static void extended(struct raw *r)
{
	struct sim *s = r->sim;
	uint8_t *frame = calloc(1, 128);
	struct kx_ext *e = (struct kx_ext *)(frame + HDR);

	kx_frame_begin(frame, KX_PING, r->conn_id, r->pkt_no++, 0, 0);
	((struct kx_frame_hdr *)frame)->ext_words = 2;
	*e = (struct kx_ext){.type = (uint8_t)pick(s, 256),
		.words = (uint8_t)pick(s, 4),
		.flags = chance(s, 500) ? KX_EXT_IGNORABLE : 0};
	raw_send_sealed(r, frame, HDR + 32);
}

static void request(struct raw *r)
{
	struct sim *s = r->sim;
	struct kx_metadata_req m = {.request_id = 1, .topic_bytes = 3};
	uint64_t word[2] = {pick(s, 100), pick(s, 100)};

	memcpy(m.topic, "big", 3);
	m.first_index = (uint16_t)extreme(s);
	switch (pick(s, 3)) {
	case 0:
		raw_frame(r, KX_METADATA_REQ, &m, sizeof(m));
		break;
	case 1:
		raw_frame(r, KX_TOPICS_REQ, word, 8);
		break;
	default:
		raw_frame(r, KX_PING, word, 16);
	}
}

/* More than a turn has time for. */
static void request_flood(struct raw *r)
{
	struct sim *s = r->sim;
	struct {
		struct kx_resume r;
		struct kx_resume_entry e[40];
	} b = {.r = {.boot_id = r->boot_id,
		       .producer_id = r->producer_id,
		       .producer_epoch = r->producer_epoch,
		       .entry_count = KX_DIM(b.e)}};

	for (uint32_t i = 0; i < KX_DIM(b.e); i++)
		b.e[i] = (struct kx_resume_entry){.partition = i % 4, .level = KX_MEMORY};
	for (uint64_t n = pick_in(s, 8, 40); n > 0; n--)
		raw_frame(r, KX_RESUME, &b, sizeof(b));
}

static void receipt(struct raw *r)
{
	struct sim *s = r->sim;
	struct kx_receipt b = {.next_pkt = 1 + pick(s, r->largest_pkt + 1), .largest_pkt = r->largest_pkt};

	if (b.largest_pkt > b.next_pkt + 4095)
		b.next_pkt = b.largest_pkt + 1;
	raw_frame(r, chance(s, 500) ? KX_RX_ACK : KX_HEARTBEAT, &b, sizeof(b));
}

/* Numbers that were used, or lie far ahead. */
static void number(struct raw *r)
{
	struct sim *s = r->sim;
	uint64_t keep = r->pkt_no;

	if (chance(s, 800) && r->pkt_no > 1)
		r->pkt_no = 1 + pick(s, r->pkt_no - 1);
	else
		r->pkt_no += pick_in(s, 5000, 1 << 20);
	if (r->pkt_no < keep) {
		request(r);
	} else { /* everything below would still be repaired: beyond the window */
		uint8_t *frame = calloc(1, HDR + 16 + KX_TAG_BYTES);

		kx_frame_begin(frame, KX_PING, r->conn_id, r->pkt_no, (uint32_t)(r->pkt_no - keep), 0);
		raw_send_sealed(r, frame, HDR + 16);
	}
	r->pkt_no = keep;
}

void raw_lie(struct raw *r)
{
	static void (*const lies[])(struct raw * r) = {produce, produce, produce, produce, produce_flood,
		produce_malformed, produce_part, subscribe, subscribe, unsubscribe, lie_credit, lie_credit,
		lie_nak, mutate, mutate, extended, request, request_flood, receipt, number};

	lies[pick(r->sim, KX_DIM(lies))](r);
}
