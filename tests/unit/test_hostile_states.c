/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Bad input, the states that need more than a session of nobody: each frame type with each of its fields at
 * its extremes and one beyond, in protected sessions (sealed, and in the clear), in one that waits for the
 * fence, one held back by a quota, one whose new address is being proven, and in a broker that is stopping.
 * What lies outside is dropped for the named reason, every frame is counted once, the session and its
 * neighbour go on.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "hostile_fields.h"
#include "wire_repair.h"

#define INI(trim)                                                                                            \
	"[lcores]\ndata = 1\n"                                                                               \
	"[memory]\nlog_bytes = 4M\nextent_bytes = 64K\nreorder_frames = 64\n"                                \
	"[port net_memif0]\naddress = 10.0.0.254/24\n"                                                       \
	"[sessions]\nmax = 64\nmax_subscriptions = 64\nmax_producers = 256\nidle_timeout_ms = 3600000\n"     \
	"heartbeat_ms = 60000\n"                                                                             \
	"[topic trim]\npartitions = 1\nlog_bytes = 256K\nmax_message_bytes = 64K\n" trim                     \
	"[topic other]\npartitions = 1\nlog_bytes = 256K\nmax_message_bytes = 64K\n"

static char key_path[] = "/tmp/kx_hostile_XXXXXX";
static struct kx_key key;
static struct kx_auth_protect sealer[2]; /* the session's, the neighbour's */

/* One kind of session, and what is done before and after the frame. */
struct state {
	const char *name;
	const char *quota; /* of topic trim */
	uint8_t protect;   /* enum kx_protect */
	uint32_t lcores;
	bool clear;   /* frames of the protected session come in the clear */
	bool fence;   /* the session waits for the fence */
	bool debt;    /* its topic's quota is in debt */
	bool moving;  /* its new address was challenged */
	bool from_it; /* and the frame comes from there */
	bool stopping;
};

struct scene {
	const struct state *is;
	struct rig *r;
	struct rig_session neighbour;
	uint64_t neighbour_seq;
	uint16_t port;
	char what[160];
	unsigned int frames;
};

static int begin(void **state)
{
	struct kx_text why;
	char said[256];

	(void)state;
	kx_text_init(&why, said, sizeof(said));
	return mkstemp(key_path) < 0 || unlink(key_path) != 0 || kx_key_create(key_path, &why) != 0 ||
		kx_key_load(key_path, &key, &why) != 0 || kx_auth_protect_create(&sealer[0]) != 0 ||
		kx_auth_protect_create(&sealer[1]) != 0;
}

static int end(void **state)
{
	(void)state;
	kx_auth_protect_destroy(&sealer[0]);
	kx_auth_protect_destroy(&sealer[1]);
	return unlink(key_path);
}

static struct kx_auth wish_of(const struct state *is, uint64_t producer_id)
{
	struct kx_auth wish = {.method = is->protect != 0 ? KX_AUTH_HMAC_SHA256 : KX_AUTH_NONE,
		.protect = is->protect,
		.producer_id = producer_id};

	if (is->protect != 0) {
		wish.principal_bytes = 4;
		memcpy(wish.principal, "desk", 4);
	}
	return wish;
}

static struct rig_session session_of(struct scene *c, unsigned int who)
{
	struct kx_auth wish = wish_of(c->is, 0);

	return hostile_session_as(c->r, c->port++, &wish, c->is->protect != 0 ? &sealer[who] : NULL);
}

static void scene_open(struct scene *c, const struct state *is)
{
	char ini[2048];

	snprintf(ini, sizeof(ini), INI("%s") "%s%s%s", is->quota != NULL ? is->quota : "",
		is->protect != 0 ? "[principal desk]\nkey_file = " : "", is->protect != 0 ? key_path : "",
		is->protect != 0 ? "\nproduce = *\nconsume = *\n" : "");
	*c = (struct scene){.is = is, .port = 6000};
	c->r = rig_new(ini, 0, is->lcores);
	c->r->key = &key;
	c->neighbour = session_of(c, 1);
	c->neighbour_seq = HOSTILE_RECORDS;
}

static void expect(const struct scene *c, bool right, enum kx_drop got)
{
	if (!right)
		fail_msg("%s: %s", c->what, got == KX_DROP_NONE ? "handled" : kx_drop_key(got));
}

static void must_work(struct scene *c, struct rig_session *s, uint64_t *seq, const char *who)
{
	if (c->is->debt) /* until it is paid */
		rig_turn(c->r, 2 * KX_NS_PER_S);
	if (!hostile_works(s, seq))
		fail_msg("%s: %s does not work any more", c->what, who);
}

/* ---- into the state */

/* The session is there, its ACCEPT is held back: another data lcore has not seen the fence. Nobody knows its
 * id. */
static void into_fence(struct scene *c, struct rig_session *s)
{
	struct kx_auth wish = wish_of(c->is, s->producer_id);
	struct kx_session_info info;
	struct kx_accept before = s->accept;
	struct kx_close bye = {.code = KX_CODE_OK};

	assert_int_equal(rig_send(s, KX_CLOSE, &bye, sizeof(bye)), KX_DROP_NONE);
	rig_turn(c->r, 1000);
	kx_fence_join(c->r->fence, 1);
	assert_int_equal(rig_auth(c->r, 7, s->addr.port, &wish, s), KX_DROP_NONE);
	assert_int_equal(rig_count(c->r, KX_ACCEPT), 0);
	for (uint32_t slot = 0; s->conn_id == 0; slot++) {
		assert_true(slot < 64);
		if (kx_broker_session_info(c->r->broker, slot, &info) &&
			kx_addr_equal(&info.remote, &s->addr))
			s->conn_id = info.conn_id;
	}
	s->accept = before; /* for the boot id */
	s->producer_id = info.producer_id;
	s->producer_epoch = info.producer_epoch;
	s->next_pkt = HOSTILE_NEXT_PKT;
}

/* The other data lcore reads on: ACCEPT comes, the first frames of the session are new ones, and it works. */
static void out_of_fence(struct scene *c, struct rig_session *s)
{
	uint64_t seq = 0;

	kx_fence_leave(c->r->fence, 1);
	rig_forget(c->r);
	rig_turn(c->r, 1000);
	rig_accepted(s);
	s->next_pkt += 4;
	rig_subscribe(s, HOSTILE_PARTITION, HOSTILE_SUB, KX_OFFSET_NOW, UINT64_C(1) << 40);
	must_work(c, s, &seq, "the session");
}

/* The neighbour produces more than the topic's quota in an instant. */
static void into_debt(struct scene *c)
{
	struct kx_session_info info;
	struct kx_receipt probe = {.next_pkt = 1};
	bool blocked = false;

	rig_turn(c->r, 2 * KX_NS_PER_S);
	assert_int_equal(
		rig_produce(&c->neighbour, 0, HOSTILE_PARTITION, c->neighbour_seq, 14, 0), KX_DROP_NONE);
	c->neighbour_seq += 14;
	rig_turn(c->r, 1000);
	assert_int_equal(rig_send(&c->neighbour, KX_HEARTBEAT, &probe, sizeof(probe)), KX_DROP_NONE);
	for (uint32_t slot = 0; slot < 64; slot++)
		blocked |=
			kx_broker_session_info(c->r->broker, slot, &info) && info.blocked == KX_BLOCKED_QUOTA;
	assert_true(blocked);
}

/* A frame from a new address was not taken, and the address was asked for a proof. */
static void into_move(struct scene *c, struct rig_session *s, struct kx_addr *new)
{
	struct kx_addr old = s->addr;
	struct kx_receipt probe = {.next_pkt = 1};

	rig_turn(c->r, 2000000);
	rig_forget(c->r);
	*new = s->addr;
	new->port = (uint16_t)(new->port + 20000);
	s->addr = *new;
	assert_int_equal(rig_send(s, KX_HEARTBEAT, &probe, sizeof(probe)), KX_DROP_CONN_PATH);
	s->addr = old;
	s->next_pkt--;
	assert_int_equal(rig_count(c->r, KX_PATH_CHALLENGE), 1);
}

/* ---- one frame */

/* The size that a probe names is the datagram's, a tag included: there the extremes lie higher by as much. */
static uint32_t build(struct rig_session *s, uint8_t type, const struct hostile_field *f, uint64_t value,
	bool seal, uint64_t *frame)
{
	uint32_t bytes = hostile_build(s, type, frame), tag = seal ? KX_TAG_BYTES : 0;

	if (type == KX_MTU_PROBE)
		((struct kx_mtu *)((struct kx_frame_hdr *)frame + 1))->size += (uint16_t)tag;
	return hostile_set(
		frame, bytes, f, type == KX_MTU_PROBE && strcmp(f->name, "size") == 0 ? value + tag : value);
}

/* Of a frame that is well formed. */
static bool fits(const struct state *is, uint8_t type, const struct hostile_field *f, enum kx_drop got)
{
	if (is->stopping)
		return got == KX_DROP_BROKER_STOPPING ||
			(!hostile_setup_type(type) && strcmp(f->name, "conn_id") == 0 &&
				got == KX_DROP_CONN_UNKNOWN);
	if (hostile_setup_type(type))
		return got == (type == KX_HELLO ? KX_DROP_NONE : KX_DROP_COOKIE_BAD);
	if (strcmp(f->name, "conn_id") == 0 && got == KX_DROP_CONN_UNKNOWN)
		return true;
	if (is->clear)
		return got == KX_DROP_FRAME_UNPROTECTED;
	if (is->moving && is->from_it)
		return got ==
			(type == KX_PATH_RESPONSE && strcmp(f->name, "pkt_no") != 0 ? KX_DROP_PATH_TOKEN
										    : KX_DROP_CONN_PATH);
	return !hostile_wire_reason(got) && got != KX_DROP_FRAME_TAG && got != KX_DROP_BROKER_STOPPING;
}

/* Of one that is not. A protected frame whose extensions do not fit has no place for its tag. */
static bool refused_so(const struct hostile_field *f, bool sealed, enum kx_drop got)
{
	if (sealed && strcmp(f->name, "ext_words") == 0 && got == KX_DROP_FRAME_TAG)
		return true;
	return f->reason == HOSTILE_ANY ? hostile_wire_reason(got) : got == f->reason;
}

static enum kx_drop give(struct scene *c, struct rig_session *s, uint64_t *frame, uint32_t bytes, bool seal,
	const struct kx_addr *from)
{
	struct kx_ledger *l = &c->r->ledger;
	uint64_t handled, dropped;
	enum kx_drop drop;

	if (seal)
		bytes = kx_auth_protect_seal(s->protect, (uint8_t *)frame, bytes);
	rig_forget(c->r);
	handled = l->handled;
	dropped = kx_ledger_rx_dropped(l);
	drop = rig_rx(c->r, frame, bytes, from, 0);
	if (l->handled + kx_ledger_rx_dropped(l) != handled + dropped + 1 || kx_ledger_rx_open(l) != 0 ||
		kx_ledger_tx_open(l) != 0)
		fail_msg("%s: is not counted once", c->what);
	c->frames++;
	return l->handled != handled ? KX_DROP_NONE : drop;
}

static void leave(struct rig_session *s)
{
	struct kx_close bye = {.code = KX_CODE_OK};

	rig_turn(s->rig, 1000);
	assert_int_equal(rig_send(s, KX_CLOSE, &bye, sizeof(bye)), KX_DROP_NONE);
	rig_turn(s->rig, 1000);
	rig_forget(s->rig);
}

static void one_case(struct scene *c, uint8_t type, const struct hostile_field *f, uint64_t value)
{
	const struct state *is = c->is;
	uint64_t frame[HOSTILE_FRAME_BYTES / 8 + 2], seq = HOSTILE_RECORDS;
	bool legal = value >= f->low && value <= f->high, seal;
	struct rig_session s = session_of(c, 0);
	struct kx_addr from = s.addr, new;
	enum kx_drop got;
	uint32_t bytes;

	snprintf(c->what, sizeof(c->what), "%s, %s = %#lx, %s", kx_frame_type_name(type), f->name,
		(unsigned long)value, is->name);
	if (is->fence)
		into_fence(c, &s);
	if (is->debt)
		into_debt(c);
	if (is->moving)
		into_move(c, &s, &new);
	if (is->from_it)
		from = new;
	seal = s.protect != NULL && !is->clear && !hostile_setup_type(type);
	bytes = build(&s, type, f, value, seal, frame);
	rig_turn(c->r, 1000);
	got = give(c, &s, frame, bytes, seal, &from);
	expect(c, legal ? fits(is, type, f, got) : refused_so(f, seal, got), got);
	if (!legal && c->r->sent_count != 0)
		fail_msg("%s: was answered", c->what);
	if (is->fence && (hostile_setup_type(type) || hostile_wire_reason(got))) {
		out_of_fence(c, &s);
		leave(&s);
	} else if (is->fence) {
		kx_fence_leave(c->r->fence, 1);
		rig_forget(c->r);
		rig_turn(c->r, 1000);
		/* nobody is accepted who has left meanwhile */
		assert_int_equal(rig_count(c->r, KX_ACCEPT), type != KX_CLOSE || got != KX_DROP_NONE);
	} else if (!legal || is->clear || is->from_it || hostile_setup_type(type)) {
		must_work(c, &s, &seq, "the session");
		leave(&s);
	}
	must_work(c, &c->neighbour, &c->neighbour_seq, "the neighbour");
}

static unsigned int all_fields(const struct state *is)
{
	unsigned int frames = 0;

	for (unsigned int t = 0; t < hostile_type_count; t++) {
		for (unsigned int i = 0; i < hostile_field_count; i++) {
			const struct hostile_field *f = &hostile_fields[i];
			uint64_t values[HOSTILE_VALUES_MAX];
			unsigned int n = hostile_values(f, values);
			struct scene c;

			if (!hostile_field_of(f, hostile_types[t]))
				continue;
			scene_open(&c, is);
			for (unsigned int k = 0; k < n; k++)
				one_case(&c, hostile_types[t], f, values[k]);
			frames += c.frames;
			rig_turn(c.r, 1000);
			rig_free(c.r);
		}
	}
	print_message("%u frames: %s\n", frames, is->name);
	return frames;
}

static void test_protected(void **unused)
{
	static const struct state states[] = {
		{.name = "session with tags", .protect = KX_PROTECT_MAC, .lcores = 1},
		{.name = "encrypted session", .protect = KX_PROTECT_AEAD, .lcores = 1},
		{.name = "session with tags, in the clear",
			.protect = KX_PROTECT_MAC,
			.lcores = 1,
			.clear = true},
	};

	(void)unused;
	for (size_t i = 0; i < KX_DIM(states); i++)
		assert_true(all_fields(&states[i]) > 400);
}

static void test_waiting_for_the_fence(void **unused)
{
	static const struct state is = {.name = "waiting for the fence", .lcores = 2, .fence = true};

	(void)unused;
	assert_true(all_fields(&is) > 400);
}

static void test_throttled(void **unused)
{
	static const struct state is = {
		.name = "held back by a quota", .lcores = 1, .quota = "messages_per_s = 100\n", .debt = true};

	(void)unused;
	assert_true(all_fields(&is) > 400);
}

static void test_address_being_proven(void **unused)
{
	static const struct state states[] = {
		{.name = "from its address, another is being proven", .lcores = 1, .moving = true},
		{.name = "from the address being proven", .lcores = 1, .moving = true, .from_it = true},
		{.name = "encrypted, from the address being proven",
			.protect = KX_PROTECT_AEAD,
			.lcores = 1,
			.moving = true,
			.from_it = true},
	};

	(void)unused;
	for (size_t i = 0; i < KX_DIM(states); i++)
		assert_true(all_fields(&states[i]) > 400);
}

/* ---- a broker that is stopping: sessions that were told and sessions that were not yet */

static void stop_and_give(
	const struct state *is, uint8_t type, const struct hostile_field *f, unsigned int *frames)
{
	uint64_t frame[HOSTILE_FRAME_BYTES / 8 + 2], values[HOSTILE_VALUES_MAX], stored;
	unsigned int n = hostile_values(f, values);
	struct rig_session s;
	struct scene c;

	scene_open(&c, is);
	s = session_of(&c, 0);
	stored = c.r->offsets[HOSTILE_PARTITION].next_offset;
	kx_broker_stop(c.r->broker, c.r->now_ns);
	for (unsigned int k = 0; k < n; k++) {
		bool legal = values[k] >= f->low && values[k] <= f->high;
		bool seal = s.protect != NULL && !hostile_setup_type(type);
		uint32_t bytes = build(&s, type, f, values[k], seal, frame);
		enum kx_drop got;

		snprintf(c.what, sizeof(c.what), "%s, %s = %#lx, %s", kx_frame_type_name(type), f->name,
			(unsigned long)values[k], is->name);
		got = give(&c, &s, frame, bytes, seal, &s.addr);
		expect(&c, legal ? fits(is, type, f, got) : refused_so(f, seal, got), got);
		for (unsigned int i = 0; i < c.r->sent_count; i++)
			assert_int_equal(((const struct kx_frame_hdr *)c.r->sent[i].data)->type, KX_RESET);
	}
	rig_forget(c.r);
	for (int i = 0; i < 1000 && !kx_broker_stopped(c.r->broker); i++)
		rig_turn(c.r, 1000);
	assert_true(kx_broker_stopped(c.r->broker));
	assert_int_equal(rig_count(c.r, KX_CLOSE), 2); /* each was told, once */
	assert_int_equal(c.r->offsets[HOSTILE_PARTITION].next_offset, stored);
	*frames += c.frames;
	rig_free(c.r);
}

static void test_stopping(void **unused)
{
	static const struct state states[] = {
		{.name = "stopping", .lcores = 1, .stopping = true},
		{.name = "stopping, encrypted", .protect = KX_PROTECT_AEAD, .lcores = 1, .stopping = true},
	};

	(void)unused;
	for (size_t k = 0; k < KX_DIM(states); k++) {
		unsigned int frames = 0;

		for (unsigned int t = 0; t < hostile_type_count; t++)
			for (unsigned int i = 0; i < hostile_field_count; i++)
				if (hostile_field_of(&hostile_fields[i], hostile_types[t]))
					stop_and_give(
						&states[k], hostile_types[t], &hostile_fields[i], &frames);
		print_message("%u frames: %s\n", frames, states[k].name);
		assert_true(frames > 400);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_protected),
		cmocka_unit_test(test_waiting_for_the_fence),
		cmocka_unit_test(test_throttled),
		cmocka_unit_test(test_address_being_proven),
		cmocka_unit_test(test_stopping),
	};
	return cmocka_run_group_tests(tests, begin, end);
}
