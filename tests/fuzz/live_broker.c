/* SPDX-License-Identifier: BSD-3-Clause */
#include "live_broker.h"

#define CONNECT_TURNS 32

static const char ini[] =
	"[lcores]\ndata = 1\n"
	"[memory]\nlog_bytes = 4M\nextent_bytes = 64K\nreorder_frames = 64\n"
	"[port net_memif0]\naddress = 10.0.0.254/24\n"
	"[sessions]\nmax = 64\nidle_timeout_ms = 600\nheartbeat_ms = 100\nwindow_frames = 64\nwindow_bytes = "
	"64K\n"
	"max_subscriptions = 16\nmax_producers = 32\nmax_reassembly = 2\nsetup_per_turn = 4\n"
	"[topic trim]\npartitions = 1\nlog_bytes = 256K\nmax_message_bytes = 64K\n"
	"[topic block]\npartitions = 1\noverrun = block\nlog_bytes = 512K\nmax_message_bytes = 64K\n"
	"[topic two]\npartitions = 2\nlog_bytes = 256K\nmax_message_bytes = 8K\n";

void fuzz_broker_process(void)
{
	setenv("CMOCKA_TEST_ABORT", "1", 1);
}

void fuzz_broker_open(struct fuzz_broker *b, const char *more)
{
	char text[sizeof(ini) + 2048];

	snprintf(text, sizeof(text), "%s%s", ini, more);
	b->rig = rig_new(text, 0, 1);
}

/* ---- what the broker sends */

static struct fuzz_told *told_of(struct fuzz_broker *b, uint64_t conn_id)
{
	for (uint32_t i = 0; i < b->told_count; i++)
		if (b->told[i].conn_id == conn_id)
			return &b->told[i];
	if (b->told_count == KX_DIM(b->told))
		return NULL;
	b->told[b->told_count] = (struct fuzz_told){.conn_id = conn_id};
	return &b->told[b->told_count++];
}

static void watch_receipt(struct fuzz_told *t, const struct kx_receipt *r)
{
	fuzz_require(r->next_pkt >= t->next_pkt);
	fuzz_require(r->limit_pkt >= t->limit_pkt && r->limit_bytes >= t->limit_bytes);
	t->next_pkt = r->next_pkt;
	t->limit_pkt = r->limit_pkt;
	t->limit_bytes = r->limit_bytes;
}

/* Bytes at an offset never differ; a sequence stands at one offset. */
static void watch_batch(struct fuzz_broker *b, const struct kx_batch_hdr *h)
{
	struct fuzz_stored s = {.offset = h->base_offset,
		.producer_id = h->producer_id,
		.first_seq = h->first_seq,
		.partition = h->partition,
		.producer_epoch = h->producer_epoch,
		.data_crc = h->data_crc,
		.records = h->record_count};

	fuzz_require(h->partition < FUZZ_PARTITIONS);
	for (uint32_t i = 0; i < b->stored_count; i++) {
		const struct fuzz_stored *o = &b->stored[i];

		if (o->partition != s.partition)
			continue;
		if (o->offset == s.offset) {
			fuzz_require(memcmp(o, &s, sizeof(s)) == 0);
			return;
		}
		fuzz_require(s.offset + s.records <= o->offset || o->offset + o->records <= s.offset);
		fuzz_require(o->producer_id != s.producer_id || o->producer_epoch != s.producer_epoch ||
			s.first_seq + s.records <= o->first_seq || o->first_seq + o->records <= s.first_seq);
	}
	if (b->stored_count < FUZZ_BATCHES)
		b->stored[b->stored_count++] = s;
}

static void watch_sent(struct fuzz_broker *b, const struct rig_sent *sent)
{
	const struct kx_frame_hdr *h = (const struct kx_frame_hdr *)sent->data;
	const uint8_t *p = (const uint8_t *)(h + 1), *end = sent->data + sent->bytes;
	struct fuzz_told *t = h->pkt_no != 0 ? told_of(b, h->conn_id) : NULL;

	if (t != NULL) {
		fuzz_require(h->pkt_no > t->pkt_no);
		t->pkt_no = h->pkt_no;
	}
	if ((h->flags & KX_FLAGS_PROTECT) != 0)
		return; /* not ours to read */
	if (t != NULL && (h->type == KX_RX_ACK || h->type == KX_COMMIT_ACK || h->type == KX_HEARTBEAT))
		watch_receipt(t, (const struct kx_receipt *)p);
	if (h->type == KX_DELIVER)
		for (; p < end; p += ((const struct kx_batch_hdr *)p)->batch_bytes)
			watch_batch(b, (const struct kx_batch_hdr *)p);
	if (b->on_sent != NULL)
		b->on_sent(b->user, sent);
	if (sent->bytes <= FUZZ_FRAME_BYTES) {
		struct fuzz_saved *s = &b->out[b->out_count++ % FUZZ_SAVED];

		memcpy(s->data, sent->data, sent->bytes);
		s->bytes = sent->bytes;
		s->from = sent->to;
	}
}

static void watch(struct fuzz_broker *b)
{
	struct rig *r = b->rig;

	for (unsigned int i = 0; i < r->sent_count; i++)
		watch_sent(b, &r->sent[i]);
	rig_forget(r);
	fuzz_require(kx_ledger_rx_open(&r->ledger) == 0 && kx_ledger_tx_open(&r->ledger) == 0);
}

/* ---- what it is sent */

/* All that a refused frame must leave as it was. */
struct before {
	struct kx_session_info sessions[FUZZ_SLOTS];
	struct kx_partition_offsets offsets[FUZZ_PARTITIONS];
	struct kx_broker_memory memory;
	struct kx_broker_counters counters;
};

static void look(struct fuzz_broker *b, struct before *w)
{
	memset(w, 0, sizeof(*w));
	for (uint32_t i = 0; i < FUZZ_SLOTS; i++)
		if (!kx_broker_session_info(b->rig->broker, i, &w->sessions[i]))
			memset(&w->sessions[i], 0, sizeof(w->sessions[i]));
	memcpy(w->offsets, b->rig->offsets, sizeof(w->offsets));
	kx_broker_memory(b->rig->broker, &w->memory);
	w->counters = *kx_broker_counters(b->rig->broker);
}

/* Refused before its session was looked at. */
static bool refused_whole(enum kx_drop drop)
{
	return (drop >= KX_DROP_FRAME_SHORT && drop <= KX_DROP_BATCH_RECORD) ||
		drop == KX_DROP_HELLO_UNPADDED || drop == KX_DROP_CONN_UNKNOWN;
}

enum kx_drop fuzz_broker_rx(struct fuzz_broker *b, const uint8_t *frame, uint32_t bytes,
	const struct kx_addr *from, uint32_t flags)
{
	static struct before before, after;
	struct fuzz_saved *s = &b->in[b->in_count % FUZZ_SAVED];
	uint64_t handled = b->rig->ledger.handled, rx_drops = kx_ledger_rx_dropped(&b->rig->ledger);
	uint8_t type = bytes > 1 ? frame[1] : 0;
	enum kx_drop drop;

	fuzz_require(bytes <= FUZZ_FRAME_BYTES);
	memmove(s->data, frame, bytes);
	s->bytes = bytes;
	s->from = *from;
	b->in_count++;
	look(b, &before);
	drop = rig_rx(b->rig, s->data, bytes, from, flags);
	look(b, &after);
	/* one frame, one end */
	fuzz_require(
		b->rig->ledger.handled + kx_ledger_rx_dropped(&b->rig->ledger) == handled + rx_drops + 1);
	/* a probe larger than its session's frames may be is refused by the session, under the same name */
	if (b->rig->ledger.handled == handled && refused_whole(drop) &&
		!(drop == KX_DROP_FRAME_LENGTH && type == KX_MTU_PROBE))
		fuzz_require(memcmp(&before, &after, sizeof(before)) == 0);
	watch(b);
	return drop;
}

void fuzz_broker_turn(struct fuzz_broker *b, uint64_t ns)
{
	rig_turn(b->rig, ns);
	watch(b);
}

bool fuzz_broker_connect(struct fuzz_broker *b, struct rig_session *s)
{
	struct kx_broker_memory memory;

	kx_broker_memory(b->rig->broker, &memory);
	if (memory.sessions_used == memory.sessions_total || b->rig->no_buffers > 0)
		return false;
	/* the budget for set-up comes back, ended sessions leave their places */
	for (int i = 0; i < CONNECT_TURNS; i++)
		fuzz_broker_turn(b, 1000);
	*s = rig_connect(b->rig, 1 + (uint8_t)(b->connects % 250), (uint16_t)(5000 + b->connects));
	b->connects++;
	return true;
}

void fuzz_broker_close(struct fuzz_broker *b)
{
	struct rig *r = b->rig;
	struct kx_broker_memory memory;
	struct rig_session s;

	r->no_buffers = 0;
	r->room = 1024;
	for (int i = 0; i < 40; i++)
		fuzz_broker_turn(b, 50000000);
	kx_broker_memory(r->broker, &memory);
	fuzz_require(memory.sessions_used == 0 && memory.subscriptions_used == 0);
	fuzz_require(memory.reorder_used == 0 && memory.pins == 0);
	fuzz_require(fuzz_broker_connect(b, &s));
	rig_subscribe(&s, 0, 1, KX_OFFSET_NOW, 1 << 16);
	fuzz_require(rig_produce(&s, 0, 0, 0, 3, 0) == KX_DROP_NONE);
	rig_turn(r, 1000);
	fuzz_require(rig_count(r, KX_COMMIT_ACK) == 1 && rig_count(r, KX_DELIVER) == 1);
	watch(b);
	rig_free(r);
	b->rig = NULL;
}
