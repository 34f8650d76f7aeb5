/* SPDX-License-Identifier: BSD-3-Clause */
/* A broker process: its configuration, its data lcores, the transport below them. */
#include <stdlib.h>
#include <string.h>

#include "identity.h"

#define LOG_BYTES (16u << 20)
#define DENSE_NS  (20 * SIM_US) /* turns while something happens */
#define SPARSE_NS (5 * SIM_MS)	/* turns while nothing does */
#define BURST	  32

static const char *const topic_names[SIM_TOPICS] = {"block", "trim", "big", "wide"};

const char *sim_topic_name(uint32_t topic)
{
	return topic_names[topic];
}

/* ---- transport of a data lcore */

static struct sim *sim_of(void *ctx)
{
	return ((struct lcore *)ctx)->sim;
}

static void *lcore_alloc(void *ctx, uint32_t bytes, uint8_t **data)
{
	struct lcore *l = ctx;

	if (kx_unlikely(chance(l->sim, l->no_buffer))) {
		fault_hit(l->sim, SIM_NO_BUFFER_BROKER);
		kx_count(&l->ledger.built, 1);
		kx_ledger_drop(&l->ledger, KX_DROP_TX_NO_BUFFER);
		return NULL;
	}
	l->buffers++;
	*data = malloc(bytes);
	return *data;
}

static void lcore_free(void *ctx, void *buf)
{
	((struct lcore *)ctx)->buffers--;
	free(buf);
}

static void sent(struct lcore *l, uint8_t *data, uint32_t bytes, const struct kx_path *path)
{
	SIM_CHECK(l->sim, bytes <= path->datagram_bytes, "a frame of %u bytes on a path of %u", bytes,
		path->datagram_bytes);
	kx_count(&l->ledger.built, 1);
	kx_count(&l->ledger.sent, 1);
	if (l->room_left > 0)
		l->room_left--;
	TRACE(l->sim, "lcore %u sends %s (%u bytes) to %u.%u:%u, pkt_no %llu", l->index,
		kx_frame_type_name(data[1]), bytes, path->remote.ip[14], path->remote.ip[15],
		path->remote.port, (unsigned long long)((struct kx_frame_hdr *)data)->pkt_no);
	wire_from_broker(l->sim, l, data, bytes, path->remote.ip[14] == 2);
	net_send(l->sim, &l->addr, &path->remote, data, bytes);
}

static void lcore_send(void *ctx, void *buf, uint32_t bytes, const struct kx_path *path)
{
	struct lcore *l = ctx;

	l->buffers--;
	sent(l, buf, bytes, path);
}

static void lcore_flush(void *ctx)
{
	(void)ctx;
}

static unsigned int lcore_room(void *ctx)
{
	return ((struct lcore *)ctx)->room_left;
}

static int path_to(void *ctx, const struct kx_addr *remote, struct kx_path *path)
{
	*path = (struct kx_path){
		.remote = *remote, .datagram_bytes = (uint16_t)sim_of(ctx)->broker.datagram_bytes};
	return 0;
}

static int lcore_path_of(void *ctx, const struct kx_frame *f, struct kx_path *path)
{
	struct lcore *l = ctx;

	if (kx_unlikely(chance(l->sim, l->no_neighbour))) {
		fault_hit(l->sim, SIM_NO_NEIGHBOUR);
		return -11;
	}
	return path_to(ctx, &f->remote, path);
}

static void lcore_forward(void *ctx, struct kx_frame *f, uint32_t bytes, const struct kx_path *path)
{
	sent(ctx, f->buf, bytes, path);
}

static int lcore_send_slice(void *ctx, void *buf, uint32_t head_bytes, const uint8_t *slice,
	uint32_t slice_bytes, struct kx_pin *pin, const struct kx_path *path)
{
	struct lcore *l = ctx;
	uint8_t *data;

	if (l->pin_count == SIM_PINS)
		return -105;
	data = malloc(head_bytes + slice_bytes);
	memcpy(data, buf, head_bytes);
	memcpy(data + head_bytes, slice, slice_bytes);
	lcore_free(l, buf);
	l->pins[(l->pin_head + l->pin_count++) % SIM_PINS] = (struct pin_wait){.pin = pin,
		.slice = slice,
		.bytes = slice_bytes,
		.crc = kx_crc32c(0, slice, slice_bytes),
		.due_ns = sim_of(ctx)->now_ns + l->pin_ns};
	if (l->pin_count == 1)
		sim_at(l->sim, l->sim->now_ns + l->pin_ns, EV_PIN, l->index, 0);
	sent(l, data, head_bytes + slice_bytes, path);
	return 0;
}

/* The oldest slice leaves the port: the log did not write to it meanwhile. */
static void pin_back(struct lcore *l)
{
	const struct pin_wait *w = &l->pins[l->pin_head];

	SIM_CHECK(l->sim, kx_crc32c(0, w->slice, w->bytes) == w->crc,
		"lcore %u: log memory changed while a port was reading it", l->index);
	l->pin_head = (l->pin_head + 1) % SIM_PINS;
	l->pin_count--;
	w->pin->release(w->pin);
}

void lcore_pin_due(struct lcore *l)
{
	while (l->pin_count > 0 && l->pins[l->pin_head].due_ns <= l->sim->now_ns)
		pin_back(l);
	if (l->pin_count > 0)
		sim_at(l->sim, l->pins[l->pin_head].due_ns, EV_PIN, l->index, 0);
}

static const struct kx_transport_ops copying_ops = {.alloc = lcore_alloc,
	.free = lcore_free,
	.send = lcore_send,
	.flush = lcore_flush,
	.room = lcore_room,
	.path_of = lcore_path_of,
	.path_to = path_to};
static const struct kx_transport_ops all_ops = {.alloc = lcore_alloc,
	.free = lcore_free,
	.send = lcore_send,
	.flush = lcore_flush,
	.room = lcore_room,
	.path_of = lcore_path_of,
	.path_to = path_to,
	.forward = lcore_forward,
	.send_slice = lcore_send_slice};

/* ---- configuration */

static void ini_text(struct sim *s, struct kx_text *t, uint32_t lcores)
{
	uint32_t heartbeat_ms = (uint32_t)pick_in(s, 20, 200);

	kx_text_add(t, "[lcores]\ndata = 1-%u\n", lcores);
	kx_text_add(t, "[memory]\nlog_bytes = %u\nextent_bytes = 64K\nreorder_frames = %u\n", LOG_BYTES,
		(uint32_t)pick_in(s, 64, 512));
	kx_text_add(t, "[port net_memif0]\naddress = 10.0.0.254/24\nmtu = %u\n",
		KX_MIN(s->broker.datagram_bytes + 48, 9000u));
	if (!identity_on(s)) {
		kx_text_add(t, "[principal anonymous]\nproduce = *\nconsume = *\n");
		quota_ini_principal(s, t);
	}
	kx_text_add(t, "[sessions]\nmax = %u\nheartbeat_ms = %u\nidle_timeout_ms = %u\n",
		(uint32_t)pick_in(s, 8, 20), heartbeat_ms,
		(uint32_t)pick_in(s, KX_MAX(3 * heartbeat_ms, 500), 3000));
	kx_text_add(t, "window_frames = %u\nwindow_bytes = 64K\nsetup_per_turn = %u\n", 16u << pick(s, 5),
		(uint32_t)pick_in(s, 1, 4));
	kx_text_add(t, "max_subscriptions = %u\nmax_producers = %u\n", (uint32_t)pick_in(s, 192, 320),
		(uint32_t)pick_in(s, 48, 256));
	kx_text_add(t, "max_reassembly = %u\ncookie_lifetime_ms = %u\n", (uint32_t)pick_in(s, 1, 4),
		(uint32_t)pick_in(s, 300, 5000));
	kx_text_add(t,
		"[topic block]\npartitions = %u\noverrun = block\nlog_bytes = %uK\nmax_message_bytes = %uK\n",
		(uint32_t)pick_in(s, 1, 3), (uint32_t)pick_in(s, 6, 10) * 64, (uint32_t)pick_in(s, 4, 32));
	quota_ini_topic(s, t);
	kx_text_add(t, "[topic trim]\npartitions = %u\nlog_bytes = %uK\nmax_message_bytes = %uK\n",
		(uint32_t)pick_in(s, 1, 4), (uint32_t)pick_in(s, 6, 12) * 64, (uint32_t)pick_in(s, 2, 16));
	quota_ini_topic(s, t);
	kx_text_add(t,
		"[topic big]\npartitions = 1\noverrun = %s\nlog_bytes = 1M\nmax_message_bytes = 128K\n",
		chance(s, 500) ? "block" : "trim");
	quota_ini_topic(s, t);
	kx_text_add(t,
		"[topic wide]\npartitions = 18\noverrun = block\nlog_bytes = 384K\nmax_message_bytes = 8K\n");
	quota_ini_topic(s, t);
	identity_ini(s, t);
}

static void conf_load(struct sim *s, uint32_t lcores)
{
	static struct kx_conf_errors errs;
	char ini[4096];
	struct kx_text t;

	kx_text_init(&t, ini, sizeof(ini));
	ini_text(s, &t, lcores);
	if (kx_conf_load_memory("sim.ini", ini, t.len, &s->broker.conf, &errs) != 0)
		sim_fail(s, "%s", errs.text[0]);
	TRACE(s, "configuration:\n%s", ini);
}

void broker_init(struct sim *s)
{
	struct broker *b = &s->broker;

	b->lcore_count = (uint32_t)pick_in(s, 1, SIM_LCORES);
	conf_load(s, b->lcore_count);
	SIM_CHECK(s, b->conf->partition_count <= SIM_PARTS, "too many partitions");
	b->turn_ns = (uint32_t)pick_in(s, 1, 20) * 1000;
	b->may_forward = chance(s, 700);
	b->deliver_path = b->may_forward ? (enum kx_deliver_path)pick(s, 4) : KX_DELIVER_COPY;
	b->slice_min_bytes = chance(s, 500) ? 256 : UINT32_MAX;
	b->cut_min_bytes = chance(s, 500) ? 64 : 512;
	if (b->deliver_path == KX_DELIVER_SLICE)
		b->slice_min_bytes = 0;
	b->offsets = aligned_alloc(KX_CACHE_LINE, b->conf->partition_count * sizeof(*b->offsets));
	for (uint32_t i = 0; i < b->lcore_count; i++) {
		struct lcore *l = &b->lcores[i];

		l->sim = s;
		l->index = i;
		l->addr = net_address(0, 254, (uint16_t)(SIM_PORT + i));
		l->rx_frames = (uint32_t)pick_in(s, 128, SIM_INBOX);
		l->room = (uint32_t)pick_in(s, 8, 256);
		l->pin_ns = pick_in(s, 1, 200) * SIM_US;
		if (posix_memalign((void **)&l->log_memory, 64 << 10, LOG_BYTES) != 0)
			sim_fail(s, "no memory");
	}
}

void broker_free(struct sim *s)
{
	struct broker *b = &s->broker;

	for (uint32_t i = 0; i < b->lcore_count; i++)
		free(b->lcores[i].log_memory);
	free(b->offsets);
	kx_conf_free(b->conf);
}

static void lcore_up(struct sim *s, struct lcore *l)
{
	struct broker *b = &s->broker;
	struct kx_broker_config config = {.conf = b->conf,
		.lcore_index = l->index,
		.lcore_count = b->lcore_count,
		.boot_id = b->boot_ids[b->boots - 1],
		.secrets = &b->secrets,
		.transport = {b->may_forward ? &all_ops : &copying_ops, l},
		.log_memory = l->log_memory,
		.log_memory_bytes = LOG_BYTES,
		.datagram_max_bytes = b->datagram_bytes,
		.rx_buffer_frames = l->rx_frames,
		.offsets = b->offsets,
		.ledger = &l->ledger,
		.quotas = b->quotas,
		.principals = b->principals,
		.producer_ids = b->producer_ids,
		.fence = b->fence,
		.deliver_path = b->deliver_path,
		.cut_min_bytes = b->cut_min_bytes,
		.slice_min_bytes = b->slice_min_bytes};
	int rc = kx_broker_create(&config, &l->broker);

	SIM_CHECK(s, rc == 0, "kx_broker_create: %s", kx_strerror(rc));
	memset(&l->ledger, 0, sizeof(l->ledger));
	l->buffers = 0;
	l->turns = 0;
	l->stalled_ns = 0;
	l->backoff_ns = DENSE_NS;
	l->wake_ns = UINT64_MAX;
	lcore_wake(l, s->now_ns);
}

void broker_up(struct sim *s)
{
	struct broker *b = &s->broker;

	SIM_CHECK(s, b->boots < SIM_BOOTS, "too many restarts");
	memset(b->offsets, 0, b->conf->partition_count * sizeof(*b->offsets));
	kx_auth_secrets_init(&b->secrets);
	b->boot_ids[b->boots++] = kx_prng_next(&s->secret_prng) | 1;
	identity_boot(s);
	b->up = true;
	SIM_CHECK(s,
		kx_quotas_create(b->conf, kx_clock_mono_ns(), &b->quotas) == 0 &&
			kx_producer_ids_create(b->conf->sessions.max_producer_ids, b->conf->principal_count,
				b->boot_ids[b->boots - 1], &b->producer_ids) == 0 &&
			kx_fence_create(&b->fence) == 0,
		"what the data lcores share cannot be made");
	check_boot(s);
	flow_boot(s);
	TRACE(s, "broker up, boot %u", b->boots - 1);
	for (uint32_t i = 0; i < b->lcore_count; i++)
		lcore_up(s, &b->lcores[i]);
}

static void inbox_drop(struct lcore *l)
{
	for (; l->count > 0; l->count--) {
		free(l->inbox[l->head].buf);
		l->head = (l->head + 1) % SIM_INBOX;
	}
}

static void lcore_down(struct lcore *l)
{
	for (uint32_t i = 0; i < KX_DROP_COUNT; i++)
		l->sim->coverage.broker_drop[i] += l->ledger.drop[i];
	inbox_drop(l);
	while (l->pin_count > 0)
		pin_back(l);
	SIM_CHECK(l->sim, kx_broker_pins(l->broker) == 0, "lcore %u: %u pins without a slice", l->index,
		kx_broker_pins(l->broker));
	kx_broker_destroy(l->broker);
	l->broker = NULL;
	l->generation++;
	l->wake_ns = UINT64_MAX;
}

/* Told to stop, turns until every session has been told, at most for a while. */
static void stop(struct sim *s)
{
	for (uint32_t i = 0; i < s->broker.lcore_count; i++) {
		struct lcore *l = &s->broker.lcores[i];

		kx_broker_stop(l->broker, kx_clock_mono_ns());
		hostile_crowd(l);
		for (int turn = 0; turn < 20 && !kx_broker_stopped(l->broker); turn++)
			lcore_turn(l, l->generation);
	}
}

void broker_down(struct sim *s, bool clean)
{
	if (!s->broker.up)
		return;
	TRACE(s, "broker %s", clean ? "stops" : "crashes");
	if (clean)
		stop(s);
	for (uint32_t i = 0; i < s->broker.lcore_count; i++)
		lcore_down(&s->broker.lcores[i]);
	kx_quotas_destroy(s->broker.quotas);
	kx_producer_ids_destroy(s->broker.producer_ids);
	kx_fence_destroy(s->broker.fence);
	identity_down(s);
	s->broker.up = false;
}

/* ---- turns */

void lcore_wake(struct lcore *l, uint64_t due_ns)
{
	if (l->broker == NULL || l->wake_ns <= due_ns)
		return;
	l->wake_ns = due_ns;
	sim_at(l->sim, due_ns, EV_LCORE, l->index, ++l->generation);
}

void lcore_arrive(struct lcore *l, struct flight *f)
{
	struct sim *s = l->sim;

	if (l->broker == NULL || l->count == l->rx_frames) {
		s->net.lost++;
		return;
	}
	identity_auth(s, f->data, f->bytes);
	l->inbox[(l->head + l->count++) % SIM_INBOX] = (struct kx_frame){.data = f->data,
		.bytes = f->bytes,
		.flags = KX_FRAME_OWNED,
		.remote = f->from,
		.buf = f->data,
		.rx_ns = kx_clock_mono_ns(),
		.local_port = f->to.port};
	f->data = NULL;
	lcore_wake(l, KX_MAX(s->now_ns + s->broker.turn_ns, l->stalled_ns));
}

/* One by one where it matters which of them was refused. */
static void take(struct lcore *l, struct kx_frame *frames, unsigned int n, uint64_t local_ns)
{
	if (!(l->sim->features & FLOW_QUOTA)) {
		kx_broker_rx(l->broker, frames, n, local_ns);
		return;
	}
	for (unsigned int i = 0; i < n; i++) {
		quota_frame(l, frames[i].data, frames[i].bytes);
		kx_broker_rx(l->broker, &frames[i], 1, local_ns);
		quota_framed(l, local_ns);
	}
}

static unsigned int receive(struct lcore *l, uint64_t local_ns)
{
	struct kx_frame frames[BURST];
	unsigned int n = KX_MIN(l->count, (uint32_t)BURST), foreign = 0;
	uint64_t handled = l->ledger.handled;

	if (n == 0)
		return 0;
	for (unsigned int i = 0; i < n; i++) {
		frames[i] = l->inbox[l->head];
		l->head = (l->head + 1) % SIM_INBOX;
		frames[i].rx_ns = KX_MIN(frames[i].rx_ns, local_ns);
		foreign += seal_foreign(l->sim, frames[i].data, frames[i].bytes, false);
	}
	for (unsigned int i = 0; i < n; i++)
		wire_broker_took(l->sim, frames[i].data, frames[i].bytes);
	l->count -= n;
	kx_count(&l->ledger.received, n);
	take(l, frames, n, local_ns);
	/* a message that is given up is not handled after all: there may be fewer than before */
	SIM_CHECK(l->sim, (int64_t)(l->ledger.handled - handled) + foreign <= (int64_t)n,
		"lcore %u took a frame of a protected session that its client never sent", l->index);
	for (unsigned int i = 0; i < n; i++)
		free(frames[i].buf);
	return n;
}

void lcore_turn(struct lcore *l, uint64_t generation)
{
	struct sim *s = l->sim;
	uint64_t local_ns = kx_clock_mono_ns();
	unsigned int work;

	if (l->broker == NULL || generation != l->generation)
		return;
	l->wake_ns = UINT64_MAX;
	if (s->now_ns < l->stalled_ns) {
		lcore_wake(l, l->stalled_ns);
		return;
	}
	l->room_left = l->room;
	l->turned_ns = s->now_ns;
	work = receive(l, local_ns);
	work += kx_broker_poll(l->broker, local_ns);
	kx_broker_flushed(l->broker, local_ns);
	check_lcore(l);
	quota_turn(l, local_ns);
	l->backoff_ns = work > 0 ? DENSE_NS : KX_MIN(2 * l->backoff_ns, SPARSE_NS);
	lcore_wake(l, s->now_ns + (l->count > 0 ? s->broker.turn_ns : l->backoff_ns));
}
