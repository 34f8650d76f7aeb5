/* SPDX-License-Identifier: BSD-3-Clause */
/* Clients whose frames are protected: what goes over the wire, and what a hostile network does to them. */
#include "kx_test.h"

#include <unistd.h>

#include "client_pair.h"

static char key_path[] = "/tmp/kx_client_protect_XXXXXX";
static struct kx_key key;
static const char *const modes[] = {"mac", "aead"};

static struct net *net_with(const char *frames, uint64_t seed)
{
	char ini[4096];

	snprintf(ini, sizeof(ini),
		"%s[auth]\nanonymous = off\n[principal desk]\nkey_file = %s\nframes = %s\nproduce = "
		"*\nconsume = "
		"*\n",
		pair_ini, key_path, frames);
	return net_new(ini, 1, 2, seed);
}

/* ---- a tap on the wire */

#define KEPT_MAX 1504

static struct tap {
	uint8_t flag;				   /* that every session frame has to have */
	uint64_t frames;			   /* of sessions */
	uint64_t clear;				   /* in which the text was readable */
	uint8_t kept[256][KEPT_MAX] KX_ALIGNED(8); /* last frame of each type */
	uint32_t kept_bytes[256];
} tap;

static const char text[] = "nobody else is to read this";

static bool on_wire(struct net *net, const struct flight *f, const struct kx_frame_hdr *h)
{
	(void)net;
	if (h->conn_id == 0)
		return true;
	assert_int_equal(h->flags & KX_FLAGS_PROTECT, tap.flag);
	assert_int_equal(h->check, 0);
	tap.frames++;
	tap.clear += memmem(f->data, f->bytes, text, sizeof(text) - 1) != NULL;
	assert_true(f->bytes <= KEPT_MAX);
	memcpy(tap.kept[h->type], f->data, f->bytes);
	tap.kept_bytes[h->type] = f->bytes;
	return true;
}

static void tap_on(struct net *net, const char *frames)
{
	memset(&tap, 0, sizeof(tap));
	tap.flag = strcmp(frames, "mac") == 0 ? KX_FLAG_MAC : KX_FLAG_AEAD;
	net->filter = on_wire;
}

static void send_text(struct pair *p, uint32_t count, uint32_t bytes)
{
	uint8_t *value = malloc(bytes);
	uint64_t end = p->seen.messages + count;

	for (uint64_t n = p->seen.messages; n < end;) {
		struct kx_message m = {.value = value, .value_bytes = bytes, .partition = 0};

		pair_fill(value, bytes, n);
		if (kx_producer_send(p->producer, &m, p->net->now_ns) == KX_OK)
			n++;
		net_turn(p->net);
	}
	for (int i = 0; i < 400000 && (p->seen.messages < end || kx_producer_pending(p->producer) > 0); i++)
		net_turn(p->net);
	assert_int_equal(p->seen.messages, end);
	assert_int_equal(kx_producer_pending(p->producer), 0);
	free(value);
}

/* Every frame of every type that a session sends is protected; encrypted ones show nothing. */
static void on_the_wire(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < KX_DIM(modes); i++) {
		struct pair p = {.net = net_with(modes[i], 1)};
		struct kx_message m = {.value = text, .value_bytes = sizeof(text), .partition = 0};
		struct seen other = {.any_start = true};

		tap_on(p.net, modes[i]);
		p.pc = pair_client(p.net, 0, &other);
		assert_int_equal(kx_producer_open(p.pc, &(struct kx_producer_opts){.topic = "one"},
					 p.net->now_ns, &p.producer),
			KX_OK);
		net_run(p.net, 20000000);
		for (int k = 0; k < 50; k++) {
			assert_int_equal(kx_producer_send(p.producer, &m, p.net->now_ns), KX_OK);
			net_run(p.net, 1000000);
		}
		net_run(p.net, KX_NS_PER_S);
		assert_int_equal(kx_producer_pending(p.producer), 0);
		assert_true(tap.frames > 100);
		assert_true(tap.flag == KX_FLAG_MAC ? tap.clear >= 50 : tap.clear == 0);
		assert_true(tap.kept_bytes[KX_PRODUCE] > 0 && tap.kept_bytes[KX_COMMIT_ACK] > 0 &&
			tap.kept_bytes[KX_HEARTBEAT] > 0 && tap.kept_bytes[KX_METADATA] > 0);
		net_free(p.net);
	}
}

/* Messages of many parts, both ways, with losses: each part has room for its tag (client_rig.c sees to it).
 */
static void large_messages(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < KX_DIM(modes); i++) {
		struct pair p = {.net = net_with(modes[i], 2)};

		pair_open(&p, "big", 0);
		tap_on(p.net, modes[i]);
		pair_impair(p.net, 5);
		send_text(&p, 6, 60000);
		assert_true(tap.kept_bytes[KX_PRODUCE_FRAG] > 0 && tap.kept_bytes[KX_DELIVER_FRAG] > 0);
		net_free(p.net);
	}
}

static uint64_t dropped(struct net *net, uint32_t hub, enum kx_drop why)
{
	return kx_hub_stats(net->hub[hub])->drop[why];
}

static void give(struct net *net, uint32_t hub, const void *frame, uint32_t bytes)
{
	net_inject(net, &net->lcores[0].addr, &net->hubs[hub].addr, frame, bytes);
	net_run(net, 200000);
}

/* The consumer's client is sent what the broker never sent, from the broker's address. */
static void hostile_network(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < KX_DIM(modes); i++) {
		struct pair p = {.net = net_with(modes[i], 3)};
		uint64_t plain[(sizeof(struct kx_frame_hdr) + sizeof(struct kx_close)) / 8];
		struct kx_client_stats stats;
		uint8_t *deliver;
		uint32_t bytes;

		pair_open(&p, "one", 0);
		tap_on(p.net, modes[i]);
		send_text(&p, 20, 100);
		net_run(p.net, 5000000);
		p.net->filter = NULL;
		deliver = tap.kept[KX_DELIVER];
		bytes = tap.kept_bytes[KX_DELIVER];
		assert_true(bytes > 0);
		give(p.net, 1, deliver, bytes);
		assert_int_equal(dropped(p.net, 1, KX_DROP_PKT_DUPLICATE), 1);
		for (uint32_t at = 16; at < bytes; at += 7) {
			uint64_t before = dropped(p.net, 1, KX_DROP_FRAME_TAG);

			deliver[at] ^= 0x40;
			give(p.net, 1, deliver, bytes);
			deliver[at] ^= 0x40;
			assert_int_equal(dropped(p.net, 1, KX_DROP_FRAME_TAG), before + 1);
		}
		/* its own CREDIT and the producer's DELIVER-less session's frame sent back to it */
		give(p.net, 1, tap.kept[KX_HEARTBEAT], tap.kept_bytes[KX_HEARTBEAT]);
		give(p.net, 1, tap.kept[KX_CREDIT], tap.kept_bytes[KX_CREDIT]);
		assert_true(dropped(p.net, 1, KX_DROP_FRAME_TYPE) >= 1);
		/* a plain CLOSE with a good number and check value */
		kx_frame_begin(
			(uint8_t *)plain, KX_CLOSE, ((struct kx_frame_hdr *)deliver)->conn_id, 1000, 0, 0);
		memset((uint8_t *)plain + sizeof(struct kx_frame_hdr), 0, sizeof(struct kx_close));
		kx_frame_seal((uint8_t *)plain, sizeof(plain));
		give(p.net, 1, plain, sizeof(plain));
		assert_int_equal(dropped(p.net, 1, KX_DROP_FRAME_UNPROTECTED), 1);
		send_text(&p, 20, 100);
		kx_client_stats(p.cc, &stats);
		assert_int_equal(stats.connects, 1);
		assert_int_equal(p.seen.events[KX_EVENT_DISCONNECTED], 0);
		net_free(p.net);
	}
}

static void give_reset(struct pair *p, uint64_t conn_id, uint64_t boot_id, uint64_t pkt_no)
{
	uint64_t frame[(sizeof(struct kx_frame_hdr) + sizeof(struct kx_reset)) / 8];
	struct kx_reset *b = (struct kx_reset *)kx_frame_begin((uint8_t *)frame, KX_RESET, conn_id, 0, 0, 0);

	*b = (struct kx_reset){.boot_id = boot_id, .pkt_no = pkt_no};
	kx_frame_seal((uint8_t *)frame, sizeof(frame));
	give(p->net, 0, frame, sizeof(frame));
}

static bool acks_lost(struct net *net, const struct flight *f, const struct kx_frame_hdr *h)
{
	(void)on_wire(net, f, h);
	return net->filter_state == 0 || (h->type != KX_COMMIT_ACK && h->type != KX_RX_ACK);
}

/* RESET has no tag: it is believed only for a packet on its way, and does no more than begin a new session.
 */
static void reset(void **state)
{
	struct pair p = {.net = net_with("aead", 4)};
	struct kx_client_stats stats;
	struct kx_client_info info;
	struct kx_message m = {.value = text, .value_bytes = sizeof(text), .partition = 0};
	uint64_t conn_id, largest;

	(void)state;
	pair_open(&p, "one", 0);
	tap_on(p.net, "aead");
	p.net->filter = acks_lost;
	send_text(&p, 20, 100);
	net_run(p.net, 5000000);
	kx_client_info(p.pc, &info);
	conn_id = ((struct kx_frame_hdr *)tap.kept[KX_PRODUCE])->conn_id;
	largest = ((struct kx_frame_hdr *)tap.kept[KX_PRODUCE])->pkt_no;
	give_reset(&p, conn_id, info.boot_id, largest + 1000);
	give_reset(&p, conn_id, info.boot_id + 1, largest + 1000);
	give_reset(&p, conn_id, info.boot_id + 1, largest); /* acknowledged */
	give_reset(&p, conn_id, info.boot_id + 1, 1);
	kx_client_stats(p.pc, &stats);
	assert_int_equal(stats.connects, 1);
	assert_int_equal(p.seen.events[KX_EVENT_DISCONNECTED], 0);
	/* one that is on its way: the session is set up anew, and what was sent is there once */
	p.net->filter_state = 1;
	pair_fill((uint8_t *)tap.kept[0], 100, p.seen.messages);
	m.value = tap.kept[0];
	m.value_bytes = 100;
	assert_int_equal(kx_producer_send(p.producer, &m, p.net->now_ns), KX_OK);
	net_run(p.net, 300000);
	largest = ((struct kx_frame_hdr *)tap.kept[KX_PRODUCE])->pkt_no;
	p.net->filter_state = 0;
	give_reset(&p, conn_id, info.boot_id, largest);
	net_run(p.net, 2 * KX_NS_PER_S);
	assert_int_equal(p.seen.events[KX_EVENT_DISCONNECTED], 1);
	assert_int_equal(p.seen.messages, 21);
	assert_int_equal(kx_producer_pending(p.producer), 0);
	send_text(&p, 20, 100);
	net_free(p.net);
}

/* The address changes in the middle of a stream. */
static void rebinding(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < KX_DIM(modes); i++) {
		struct pair p = {.net = net_with(modes[i], 5)};
		struct kx_client_stats stats;

		pair_open(&p, "one", 0);
		for (uint32_t k = 0; k < 3; k++) {
			send_text(&p, 300, 120);
			p.net->hubs[0].addr.port++;
			p.net->hubs[1].addr.port++;
			send_text(&p, 300, 120);
			assert_int_equal(
				kx_broker_counters(p.net->brokers[0])->path_changes, 2 * (uint64_t)(k + 1));
		}
		kx_client_stats(p.pc, &stats);
		assert_int_equal(stats.connects, 1);
		assert_int_equal(p.seen.events[KX_EVENT_DISCONNECTED], 0);
		net_free(p.net);
	}
}

static int begin(void **state)
{
	char said[256];
	struct kx_text why;
	int fd = mkstemp(key_path);

	(void)state;
	kx_text_init(&why, said, sizeof(said));
	if (fd < 0)
		return -1;
	close(fd);
	unlink(key_path);
	if (kx_key_create(key_path, &why) != 0 || kx_key_load(key_path, &key, &why) != 0)
		return -1;
	pair_principal = "desk";
	pair_key = &key;
	return 0;
}

static int end(void **state)
{
	(void)state;
	kx_key_wipe(&key);
	return unlink(key_path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(on_the_wire),
		cmocka_unit_test(large_messages),
		cmocka_unit_test(hostile_network),
		cmocka_unit_test(reset),
		cmocka_unit_test(rebinding),
	};
	return cmocka_run_group_tests(tests, begin, end);
}
