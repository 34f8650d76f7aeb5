/* SPDX-License-Identifier: BSD-3-Clause */
/* The kernel says EMSGSIZE: a broker and clients behind real sockets, in a network namespace of their own
 * whose loopback carries less from one moment to the next. */
#include "kx_test.h"

#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "kx_broker.h"
#include "kx_transport_udp.h"

#define MOST	 9000
#define JUMBO	 9100 /* MTU */
#define PORT	 9000
#define LIMIT_NS (20 * KX_NS_PER_S)

static const char ini[] =
	"[lcores]\ndata = 1\n"
	"[memory]\nlog_bytes = 64M\nextent_bytes = 64K\n"
	"[port net_memif0]\naddress = 10.0.0.254/24\n"
	"[topic one]\npartitions = 1\noverrun = block\nlog_bytes = 8M\nmax_message_bytes = 64K\n";

/* ---- the namespace */

static bool own_network;

static int new_network(void **state)
{
	(void)state;
	own_network = unshare(CLONE_NEWNET) == 0 || unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0;
	return 0;
}

static void set_mtu(int mtu)
{
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	struct ifreq r = {.ifr_name = "lo"};

	assert_true(fd >= 0);
	r.ifr_mtu = mtu;
	assert_int_equal(ioctl(fd, SIOCSIFMTU, &r), 0);
	r.ifr_flags = IFF_UP | IFF_RUNNING;
	assert_int_equal(ioctl(fd, SIOCSIFFLAGS, &r), 0);
	close(fd);
}

/* ---- a broker */

struct rig {
	struct kx_conf *conf;
	struct kx_auth_secrets secrets;
	struct kx_producer_ids *ids;
	struct kx_fence *fence;
	struct kx_partition_offsets *offsets;
	struct kx_ledger ledger;
	struct kx_transport_udp *udp[3]; /* broker, producer, consumer */
	struct kx_transport transport[3];
	uint8_t *log_memory;
	struct kx_broker *broker;
	struct kx_hub *hub[2];
	struct kx_client *client[2];
	struct kx_producer *producer;
	struct kx_consumer *consumer;
	uint32_t ready;
	uint64_t confirmed, received;
};

static void broker_up(struct rig *r, bool v6)
{
	struct kx_conf_errors *errs = calloc(1, sizeof(*errs));
	struct kx_broker_config config = {.lcore_count = 1,
		.boot_id = 5,
		.secrets = &r->secrets,
		.datagram_max_bytes = MOST,
		.rx_buffer_frames = 1024,
		.ledger = &r->ledger,
		.cut_min_bytes = 512,
		.slice_min_bytes = UINT32_MAX};
	struct kx_transport_udp_opts o = {.v6 = v6,
		.local = v6 ? "[::1]:9000" : "127.0.0.1:9000",
		.datagram_bytes = MOST,
		.tx_frames = 1024};

	assert_int_equal(kx_conf_load_memory("test.ini", ini, strlen(ini), &r->conf, errs), 0);
	free(errs);
	assert_int_equal(kx_auth_secrets_init(&r->secrets), 0);
	assert_int_equal(kx_producer_ids_create(64, 1, 5, &r->ids), 0);
	assert_int_equal(kx_fence_create(&r->fence), 0);
	r->offsets = aligned_alloc(KX_CACHE_LINE, r->conf->partition_count * sizeof(*r->offsets));
	memset(r->offsets, 0, r->conf->partition_count * sizeof(*r->offsets));
	assert_int_equal(posix_memalign((void **)&r->log_memory, r->conf->memory.extent_bytes,
				 r->conf->memory.log_bytes),
		0);
	assert_int_equal(kx_transport_udp_open(&o, &r->udp[0]), 0);
	r->transport[0] = kx_transport_udp(r->udp[0]);
	config.conf = r->conf;
	config.log_memory = r->log_memory;
	config.log_memory_bytes = r->conf->memory.log_bytes;
	config.offsets = r->offsets;
	config.producer_ids = r->ids;
	config.fence = r->fence;
	config.transport = r->transport[0];
	assert_int_equal(kx_broker_create(&config, &r->broker), 0);
}

static void broker_turn(struct rig *r)
{
	const struct kx_transport *t = &r->transport[0];
	struct kx_frame frames[64];
	uint64_t now_ns = kx_clock_mono_ns();
	unsigned int n = t->ops->rx_burst(t->ctx, frames, 64);

	if (n > 0) {
		kx_count(&r->ledger.received, n);
		kx_broker_rx(r->broker, frames, n, now_ns);
		t->ops->release(t->ctx, frames, n);
	}
	kx_broker_poll(r->broker, now_ns);
	t->ops->flush(t->ctx);
	kx_broker_flushed(r->broker, now_ns);
}

/* ---- clients */

static void on_event(void *user, const struct kx_event *e)
{
	struct rig *r = user;

	r->ready += e->type == KX_EVENT_PRODUCER_READY || e->type == KX_EVENT_CONSUMER_READY;
	assert_int_not_equal(e->type, KX_EVENT_DISCONNECTED);
}

static void on_complete(void *user, const struct kx_completion *c)
{
	struct rig *r = user;

	assert_int_equal(c->result, KX_OK);
	r->confirmed += c->count;
}

static void on_batch(void *user, const struct kx_batch_view *v)
{
	struct kx_record_iter it = kx_batch_records(v);
	struct rig *r = user;
	struct kx_record rec;

	while (kx_record_next(&it, &rec)) {
		uint64_t number;

		memcpy(&number, rec.value, sizeof(number));
		assert_int_equal(number, r->received);
		r->received++;
	}
}

static void clients_up(struct rig *r, bool v6)
{
	struct kx_client_opts c = {.on_event = on_event, .user = r};
	struct kx_producer_opts po = {
		.topic = "one", .slot_bytes = MOST, .on_complete = on_complete, .user = r};
	struct kx_consumer_opts co = {.topic = "one", .hold_bytes = MOST, .on_batch = on_batch, .user = r};

	assert_int_equal(kx_addr_parse(v6 ? "[::1]:9000" : "127.0.0.1:9000", 0, &c.broker), 0);
	for (int i = 0; i < 2; i++) {
		struct kx_transport_udp_opts o = {.v6 = v6, .datagram_bytes = MOST};

		assert_int_equal(kx_transport_udp_open(&o, &r->udp[i + 1]), 0);
		r->transport[i + 1] = kx_transport_udp(r->udp[i + 1]);
		assert_int_equal(kx_hub_open(&r->transport[i + 1], NULL, &r->hub[i]), KX_OK);
		assert_int_equal(kx_client_open(r->hub[i], &c, kx_clock_mono_ns(), &r->client[i]), KX_OK);
	}
	assert_int_equal(kx_producer_open(r->client[0], &po, kx_clock_mono_ns(), &r->producer), KX_OK);
	assert_int_equal(kx_consumer_open(r->client[1], &co, kx_clock_mono_ns(), &r->consumer), KX_OK);
}

static void turn(struct rig *r)
{
	broker_turn(r);
	(void)kx_hub_poll(r->hub[0], kx_clock_mono_ns());
	(void)kx_hub_poll(r->hub[1], kx_clock_mono_ns());
}

static void down(struct rig *r)
{
	for (int i = 0; i < 2; i++)
		assert_int_equal(kx_hub_close(r->hub[i], kx_clock_mono_ns()), KX_OK);
	kx_broker_destroy(r->broker);
	for (int i = 0; i < 3; i++)
		kx_transport_udp_close(r->udp[i]);
	kx_producer_ids_destroy(r->ids);
	kx_fence_destroy(r->fence);
	free(r->offsets);
	free(r->log_memory);
	kx_conf_free(r->conf);
}

static struct kx_client_stats stats_of(const struct rig *r, int i)
{
	struct kx_client_stats s;

	kx_client_stats(r->client[i], &s);
	return s;
}

static void wait_size(struct rig *r, int client, uint64_t bytes)
{
	uint64_t end = kx_clock_mono_ns() + LIMIT_NS;

	while ((stats_of(r, client).tx_datagram_bytes != bytes ||
		       stats_of(r, client).rx_datagram_bytes != bytes) &&
		kx_clock_mono_ns() < end)
		turn(r);
	assert_int_equal(stats_of(r, client).tx_datagram_bytes, bytes);
}

/* Send until the kernel refuses a frame: nothing is waited for then. */
static void first_refusal(struct rig *r, uint64_t *sent)
{
	uint64_t end = kx_clock_mono_ns() + LIMIT_NS;
	struct kx_transport_udp_stats udp;
	uint8_t value[200] = {0};

	do {
		struct kx_message m = {.value = value, .value_bytes = sizeof(value)};

		memcpy(value, sent, sizeof(*sent));
		*sent += kx_producer_send(r->producer, &m, kx_clock_mono_ns()) == KX_OK;
		if (*sent % 40 == 0)
			kx_producer_flush(r->producer, kx_clock_mono_ns());
		if (*sent % 40 == 0)
			turn(r);
		kx_transport_udp_stats(r->udp[1], &udp);
	} while (udp.tx_too_large == 0 && kx_clock_mono_ns() < end);
	assert_true(udp.tx_too_large > 0);
	assert_int_equal(stats_of(r, 0).mtu_falls, 1);
	assert_true(stats_of(r, 0).tx_datagram_bytes <= KX_DATAGRAM_DEFAULT_V4);
}

/* Messages until `until` have been confirmed and received. */
static void stream(struct rig *r, uint64_t *sent, uint64_t until)
{
	uint64_t end = kx_clock_mono_ns() + LIMIT_NS;
	uint8_t value[200] = {0};

	while ((r->confirmed < until || r->received < until) && kx_clock_mono_ns() < end) {
		struct kx_message m = {.value = value, .value_bytes = sizeof(value)};

		for (int i = 0; i < 200 && *sent < until; i++) {
			memcpy(value, sent, sizeof(*sent));
			if (kx_producer_send(r->producer, &m, kx_clock_mono_ns()) != KX_OK)
				break;
			++*sent;
		}
		kx_producer_flush(r->producer, kx_clock_mono_ns());
		turn(r);
	}
	assert_int_equal(r->confirmed, until);
	assert_int_equal(r->received, until);
}

static void shrinks(bool v6)
{
	struct kx_transport_udp_stats udp;
	struct rig r = {0};
	uint64_t sent = 0, passes = v6 ? 1452 : 1472;
	uint64_t end = kx_clock_mono_ns() + LIMIT_NS;

	if (!own_network)
		skip();
	set_mtu(JUMBO);
	broker_up(&r, v6);
	clients_up(&r, v6);
	while (r.ready < 2 && kx_clock_mono_ns() < end)
		turn(&r);
	assert_int_equal(r.ready, 2);
	wait_size(&r, 0, MOST);
	wait_size(&r, 1, MOST);
	stream(&r, &sent, 5000);
	assert_int_equal(stats_of(&r, 0).mtu_falls, 0);
	set_mtu(1500);
	first_refusal(&r, &sent);
	stream(&r, &sent, 10000);
	kx_transport_udp_stats(r.udp[1], &udp);
	assert_true(udp.tx_too_large > 0);
	assert_true(udp.gso);
	assert_true(stats_of(&r, 0).mtu_falls > 0);
	assert_int_equal(stats_of(&r, 1).mtu_falls > 0, true); /* it found out by what did not come */
	assert_in_range(stats_of(&r, 0).tx_datagram_bytes, KX_DATAGRAM_MIN_BYTES, passes);
	stream(&r, &sent, 12000);
	down(&r);
}

static void test_ipv4(void **state)
{
	(void)state;
	shrinks(false);
}

static void test_ipv6(void **state)
{
	int fd = socket(AF_INET6, SOCK_DGRAM, 0);

	(void)state;
	if (fd < 0)
		skip();
	close(fd);
	shrinks(true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ipv4),
		cmocka_unit_test(test_ipv6),
	};

	return cmocka_run_group_tests(tests, new_network, NULL);
}
