/* SPDX-License-Identifier: BSD-3-Clause */
/* What lib/conf accepts, what it makes of it, and what it derives. Errors: test_conf_errors.c. */
#include "kx_test.h"

#include "kx_conf.h"

#include <errno.h>

#define PORT  "[port net_memif0]\naddress = 10.77.0.1/24\n"
#define TOPIC "[topic t]\n"

static struct kx_conf_errors errs;

static struct kx_conf *load(const char *text)
{
	char *copy = kx_test_exact(text, strlen(text));
	struct kx_conf *conf;
	int rc = kx_conf_load_memory("t.ini", copy, strlen(text), &conf, &errs);

	free(copy);
	for (uint32_t i = 0; i < errs.count; i++)
		print_message("%s\n", errs.text[i]);
	assert_int_equal(rc, 0);
	assert_int_equal(errs.total, 0);
	assert_int_equal(errs.count, 0);
	return conf;
}

static void test_defaults(void **state)
{
	struct kx_conf *c = load(PORT TOPIC);

	(void)state;
	assert_string_equal(c->broker.name, "kaelix");
	assert_int_equal(c->broker.udp_port, 9000);
	assert_true(c->lcores.data_auto);
	assert_int_equal(c->lcores.data_count, 0);
	assert_int_equal(c->lcores.policy, KX_CONF_BALANCED);
	assert_int_equal(c->lcores.yield_us, 50);
	assert_int_equal(c->memory.log_bytes, 256 << 20);
	assert_int_equal(c->memory.extent_bytes, 256 << 10);
	assert_int_equal(c->memory.mbuf_bytes, 2048 + 128);
	assert_int_equal(c->sessions.max, 1024);
	assert_int_equal(c->sessions.window_bytes, 1 << 20);
	assert_true(c->telemetry.latency);
	assert_int_equal(c->port_count, 1);
	assert_int_equal(c->ports[0].mtu, 1500);
	assert_int_equal(c->ports[0].line, 1);
	assert_int_equal(c->ports[0].rx_queues, 0);
	assert_false(c->ports[0].promiscuous);
	assert_false(c->ports[0].has_gateway);
	assert_int_equal(c->topic_count, 1);
	assert_int_equal(c->topics[0].partitions, 1);
	assert_int_equal(c->topics[0].line, 3);
	assert_int_equal(c->topics[0].overrun, KX_CONF_TRIM);
	assert_int_equal(c->topics[0].max_message_bytes, 1 << 20);
	assert_string_equal(c->source, "t.ini");
	kx_conf_free(c);
}

static void test_values(void **state)
{
	struct kx_conf *c = load(
		"; comment\n"
		"   # indented comment\r\n"
		"[broker] ; behind\r\n"
		"name=lab-1_x\r\n"
		"udp_port:12000 ; inline\r\n"
		"stop_timeout_ms = 0\n"
		"\n[lcores]\ndata = 1, 3-5 ,7\nrx = 3,1\npolicy = latency\nyield_us = 0\n"
		"[memory]\nlog_bytes = 1G\nextent_bytes = 65536\n"
		"[telemetry]\nlatency = off\n"
		"[port 0000:03:00.0]\naddress = 10.1.2.3/8 , fd77::1/64,192.168.1.1/31\n"
		"gateway = 10.9.9.9\ngateway6 = fe80::1\nvlan = 4094\nmtu = 9000\n"
		"rx_burst = 64\ndeliver_path = slice\nudp_checksum = software\npromiscuous = on\n"
		"rx_queues = 2\ntx_queues = 5\n"
		"[topic A.b_c-9]\npartitions = 256\noverrun = block\nlog_bytes = 4M\ndeliver = appended\n"
		"[topic x]");
	const struct kx_conf_port *p = &c->ports[0];

	(void)state;
	assert_string_equal(c->broker.name, "lab-1_x");
	assert_int_equal(c->broker.udp_port, 12000);
	assert_int_equal(c->broker.stop_timeout_ms, 0);
	assert_int_equal(c->lcores.data_count, 5);
	assert_false(c->lcores.data_auto);
	assert_memory_equal(c->lcores.data, ((uint16_t[]){1, 3, 4, 5, 7}), 10);
	assert_int_equal(c->lcores.rx_count, 2);
	assert_memory_equal(c->lcores.rx, ((uint16_t[]){3, 1}), 4);
	assert_int_equal(c->lcores.policy, KX_CONF_LATENCY);
	assert_int_equal(c->lcores.yield_us, 0);
	assert_int_equal(c->memory.log_bytes, 1 << 30);
	assert_int_equal(c->memory.extent_bytes, 65536);
	assert_int_equal(c->memory.mbuf_bytes, 9024 + 128); /* 9000 + 22 in whole cache lines */
	assert_false(c->telemetry.latency);
	assert_string_equal(p->name, "0000:03:00.0");
	assert_int_equal(p->ip4_count, 2);
	assert_int_equal(p->ip6_count, 1);
	assert_memory_equal(p->ip4[0].bytes, "\x0a\x01\x02\x03", 4);
	assert_int_equal(p->ip4[0].prefix, 8);
	assert_int_equal(p->ip6[0].bytes[15], 1);
	assert_int_equal(p->ip6[0].prefix, 64);
	assert_true(p->has_gateway && p->has_gateway6);
	assert_memory_equal(p->gateway, "\x0a\x09\x09\x09", 4);
	assert_int_equal(p->vlan, 4094);
	assert_int_equal(p->deliver_path, KX_CONF_PATH_SLICE);
	assert_int_equal(p->udp_checksum, KX_CONF_CHECKSUM_SOFTWARE);
	assert_true(p->promiscuous);
	assert_int_equal(c->topics[0].partitions, 256);
	assert_int_equal(c->topics[0].overrun, KX_CONF_BLOCK);
	assert_int_equal(c->topics[0].log_bytes, 4 << 20);
	assert_int_equal(c->topics[0].deliver, KX_CONF_APPENDED);
	assert_string_equal(c->topics[1].name, "x");
	assert_int_equal(c->topics[1].first_partition, 256);
	assert_int_equal(c->partition_count, 257);
	kx_conf_free(c);
}

static void test_rx_default(void **state)
{
	struct kx_conf *c = load("[lcores]\ndata = 2,4\nrx = all\n" PORT TOPIC);

	(void)state;
	assert_int_equal(c->lcores.rx_count, 2);
	assert_memory_equal(c->lcores.rx, ((uint16_t[]){2, 4}), 4);
	kx_conf_free(c);
}

static void test_size(void **state)
{
	struct kx_conf *c = load(PORT TOPIC);

	(void)state;
	assert_true(kx_conf_bytes(c) >= sizeof(*c));
	assert_true(kx_conf_bytes(c) < 10 * 1024);
	kx_conf_free(c);
	kx_conf_free(NULL);
}

static void test_lookup(void **state)
{
	struct kx_conf *c =
		load("[port 0000:03:00.0]\naddress = 10.77.0.1/24\n"
		     "[topic a]\npartitions = 3\n[topic bb]\npartitions = 1\n[topic c]\npartitions = 2\n");

	(void)state;
	assert_int_equal(kx_conf_topic_find(c, "a", 1), 0);
	assert_int_equal(kx_conf_topic_find(c, "bbx", 2), 1);
	assert_int_equal(kx_conf_topic_find(c, "b", 1), -1);
	assert_int_equal(kx_conf_topic_find(c, "", 0), -1);
	assert_int_equal(kx_conf_topic_find(c, "zzz", 1000), -1);
	static const int topic_of[] = {0, 0, 0, 1, 2, 2, -1};
	for (uint32_t i = 0; i < KX_DIM(topic_of); i++)
		assert_int_equal(kx_conf_partition_topic(c, i), topic_of[i]);
	assert_int_equal(kx_conf_port_find(c, "03:00.0"), 0);
	assert_int_equal(kx_conf_port_find(c, "0000:03:00.0"), 0);
	assert_int_equal(kx_conf_port_find(c, "net_memif0"), -1);
	assert_int_equal(kx_conf_partition_owner(5, 2), 1);
	assert_int_equal(kx_conf_partition_owner(5, 1), 0);
	kx_conf_free(c);
}

/** Shares against counting one partition at a time. */
static void test_share(void **state)
{
	struct kx_conf *c = load("[memory]\nlog_bytes = 512M\nextent_bytes = 64K\n" PORT
				 "[topic a]\npartitions = 7\n[topic b]\npartitions = 5\nlog_bytes = 3000000\n"
				 "[topic c]\npartitions = 1\n[topic d]\npartitions = 64\n");

	(void)state;
	for (uint32_t lcores = 1; lcores <= 9; lcores++) {
		for (uint32_t owner = 0; owner < lcores; owner++) {
			struct kx_conf_log_share s;
			uint32_t all = 0, own = 0;

			for (uint32_t p = 0; p < c->partition_count; p++) {
				if (kx_conf_partition_owner(p, lcores) != owner)
					continue;
				all++;
				own += kx_conf_partition_topic(c, p) == 1;
			}
			kx_conf_log_share(c, owner, lcores, &s);
			assert_int_equal(s.partitions, all);
			assert_int_equal(s.sharing, all - own);
			assert_int_equal(
				s.reserved_bytes, own * UINT64_C(46) * 65536); /* 3000000 in extents */
			assert_int_equal(s.share_bytes % 65536, 0);
			assert_true(s.reserved_bytes + s.sharing * s.share_bytes <= c->memory.log_bytes);
			assert_true(
				s.reserved_bytes + s.sharing * (s.share_bytes + 65536) > c->memory.log_bytes);
			assert_int_equal(kx_conf_topic_log_bytes(c, &c->topics[1], &s), 46 * 65536);
			assert_int_equal(kx_conf_topic_log_bytes(c, &c->topics[0], &s), s.share_bytes);
		}
	}
	kx_conf_free(c);
}

/** With `data = auto` the checks that need the number come later, and are the same. */
static void test_check_lcores(void **state)
{
	struct kx_conf *c =
		load("[broker]\nudp_port = 65534\n[port p]\naddress = 10.0.0.1/24\nrx_queues = 2\n"
		     "[topic t]\npartitions = 250\n");

	(void)state;
	assert_int_equal(kx_conf_check_lcores(c, 2, &errs), 0);
	assert_int_equal(errs.total, 0);
	assert_int_equal(kx_conf_check_lcores(c, 3, &errs), -EINVAL);
	assert_int_equal(errs.total, 1);
	assert_non_null(strstr(errs.text[0], "[broker] udp_port: 3 data lcores from 65534"));
	assert_int_equal(
		kx_conf_check_lcores(c, 1, &errs), -EINVAL); /* a queue too many and 250 logs on one */
	assert_int_equal(errs.total, 2);
	assert_non_null(strstr(errs.text[0], "t.ini:3: [port p] rx_queues: 2 queues for 1 lcores"));
	assert_non_null(
		strstr(errs.text[1], "[memory] log_bytes: 256M is too little for the 250 partitions"));
	assert_int_equal(kx_conf_check_lcores(c, 0, &errs), -EINVAL);
	assert_int_equal(kx_conf_check_lcores(c, 65, NULL), -EINVAL);
	kx_conf_free(c);
}

static void test_unchecked(void **state)
{
	char buf[4096];
	struct kx_text t;
	uint32_t lines, seen = 0;
	struct kx_conf *c = load("[lcores]\ndata = 1,2\n[port net_memif0]\naddress = 10.77.0.1/24\n"
				 "gateway = 10.77.0.2\nudp_checksum = offload\n" TOPIC);

	(void)state;
	kx_text_init(&t, buf, sizeof(buf));
	lines = kx_conf_unchecked(c, &t);
	assert_false(t.truncated);
	for (const char *p = buf; *p != '\0'; p++)
		seen += *p == '\n';
	assert_int_equal(lines, seen);
	static const char *const named[] = {"lcores: 1, 2", "512M of log memory", "hugepages", "MTU 1500",
		"NUMA", "UDP checksums", "gateway", "file prefix `kaelix`"};
	for (size_t i = 0; i < KX_DIM(named); i++)
		assert_non_null(strstr(buf, named[i]));
	kx_conf_free(c);
}

/** Bit t of what `who` may do. */
static bool may(const struct kx_conf *c, int who, enum kx_conf_operation operation, const char *topic)
{
	uint64_t bits[KX_CONF_TOPICS_MAX / 64];
	int t = kx_conf_topic_find(c, topic, strlen(topic));

	assert_true(who >= 0 && t >= 0);
	memset(bits, 0xa5, sizeof(bits));
	kx_conf_access(c, &c->principals[who], operation, bits);
	assert_int_equal(bits[kx_conf_access_words(c) - 1] >> (c->topic_count % 64), 0);
	return (bits[t / 64] >> (t % 64) & 1) != 0;
}

static void test_principals(void **state)
{
	struct kx_conf *c =
		load("[auth]\naudit_per_s = 0\n" PORT "[topic a]\nmessages_per_s = 1000\nbytes_per_s = 1M\n"
		     "[topic app.log]\n[topic app.secret]\n[topic app.secret.a]\n[topic b]\n"
		     "[principal desk]\nkey_file = /k/desk.key\nnext_key_file = k2\nframes = aead\n"
		     "produce = a , app.*,!app.secret*\t,app.secret.a\nconsume = *, !b\n"
		     "messages_per_s = 5\nbytes_per_s = 2G\nsessions = 7\n"
		     "[principal anonymous]\nconsume = b\n[principal empty]\nkey_file = x\n"
		     "[sessions]\nmax_producer_ids = 128\n");
	int desk = kx_conf_principal_find(c, "deskx", 4), nobody = kx_conf_principal_find(c, "empty", 5);
	const struct kx_conf_principal *p = &c->principals[desk];

	(void)state;
	assert_true(c->auth.anonymous);
	assert_int_equal(c->auth.audit_per_s, 0);
	assert_int_equal(c->principal_count, 3);
	assert_int_equal(kx_conf_principal_find(c, "anonymous", 9), 0);
	assert_int_equal(kx_conf_principal_find(c, "des", 3), -1);
	assert_int_equal(kx_conf_principal_find(c, "", 0), -1);
	assert_int_equal(desk, 1);
	assert_string_equal(p->key_file, "/k/desk.key");
	assert_string_equal(p->next_key_file, "k2");
	assert_int_equal(p->frames, KX_CONF_FRAMES_AEAD);
	assert_int_equal(p->messages_per_s, 5);
	assert_int_equal(p->bytes_per_s, UINT64_C(2) << 30);
	assert_int_equal(p->sessions, 7);
	assert_int_equal(c->topics[0].messages_per_s, 1000);
	assert_int_equal(c->topics[0].bytes_per_s, 1 << 20);
	assert_int_equal(c->sessions.max_producer_ids, 128);
	static const char *const topics[] = {"a", "app.log", "app.secret", "app.secret.a", "b"};
	static const bool produce[] = {true, true, false, true, false};
	static const bool consume[] = {true, true, true, true, false};
	for (size_t t = 0; t < KX_DIM(topics); t++) {
		assert_int_equal(may(c, desk, KX_CONF_PRODUCE, topics[t]), produce[t]);
		assert_int_equal(may(c, desk, KX_CONF_CONSUME, topics[t]), consume[t]);
		assert_int_equal(may(c, 0, KX_CONF_CONSUME, topics[t]), t == 4);
		assert_false(may(c, 0, KX_CONF_PRODUCE, topics[t]));
		assert_false(may(c, nobody, KX_CONF_PRODUCE, topics[t]));
		assert_false(may(c, nobody, KX_CONF_CONSUME, topics[t]));
	}
	kx_conf_free(c);
	c = load(PORT TOPIC);
	assert_int_equal(c->principal_count, 1);
	assert_string_equal(c->principals[0].name, "anonymous");
	assert_string_equal(c->principals[0].key_file, "");
	assert_true(may(c, 0, KX_CONF_PRODUCE, "t") && may(c, 0, KX_CONF_CONSUME, "t"));
	assert_int_equal(c->auth.audit_per_s, 100);
	assert_int_equal(c->sessions.max_producer_ids, 65536);
	kx_conf_free(c);
}

static void test_many_topics(void **state)
{
	size_t size = 64 * KX_CONF_TOPICS_MAX + 256, n;
	char *text = malloc(size);
	struct kx_conf *c;

	(void)state;
	assert_non_null(text);
	n = (size_t)snprintf(text, size, PORT "[memory]\nlog_bytes = 2G\n");
	for (int i = 0; i < KX_CONF_TOPICS_MAX; i++)
		n += (size_t)snprintf(text + n, size - n, "[topic topic-%d]\npartitions = 1\n", i);
	c = load(text);
	assert_int_equal(c->topic_count, KX_CONF_TOPICS_MAX);
	assert_int_equal(kx_conf_topic_find(c, "topic-1023", 10), 1023);
	assert_int_equal(c->topics[1023].first_partition, 1023);
	kx_conf_free(c);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_rx_default),
		cmocka_unit_test(test_size),
		cmocka_unit_test(test_lookup),
		cmocka_unit_test(test_share),
		cmocka_unit_test(test_check_lcores),
		cmocka_unit_test(test_unchecked),
		cmocka_unit_test(test_principals),
		cmocka_unit_test(test_many_topics),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
