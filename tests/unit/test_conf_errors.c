/* SPDX-License-Identifier: BSD-3-Clause */
/* Everything that can be wrong with a file: each is a named error with file, line, section and key, never a
 * crash. */
#include "kx_test.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kx_conf.h"

#define PORT "[port net_memif0]\naddress = 10.77.0.1/24, fd77::1/64\n"
#define GOOD PORT "[topic t]\n"

static struct kx_conf_errors errs;

static int load_bytes(const void *text, size_t bytes)
{
	void *copy = kx_test_exact(text, bytes);
	struct kx_conf *conf;
	int rc;

	memset(&errs, 0xa5, sizeof(errs));
	rc = kx_conf_load_memory("t.ini", copy, bytes, &conf, &errs);
	free(copy);
	if (rc == 0)
		kx_conf_free(conf);
	else
		assert_null(conf);
	assert_int_equal(rc == 0, errs.total == 0);
	assert_true(errs.count <= KX_CONF_ERRORS_MAX && errs.count <= errs.total);
	return rc;
}

static void expect(const char *text, const char *want)
{
	assert_int_equal(load_bytes(text, strlen(text)), -EINVAL);
	for (uint32_t i = 0; i < errs.count; i++)
		if (strstr(errs.text[i], want) != NULL)
			return;
	print_error("file:\n%s\nexpected: %s\n", text, want);
	for (uint32_t i = 0; i < errs.count; i++)
		print_error("got: %s\n", errs.text[i]);
	fail();
}

/** The file has this error and no other. */
static void expect_only(const char *text, const char *want)
{
	expect(text, want);
	if (errs.total != 1)
		for (uint32_t i = 0; i < errs.count; i++)
			print_error("got: %s\n", errs.text[i]);
	assert_int_equal(errs.total, 1);
}

struct bad {
	const char *text;
	const char *want;
};

static void expect_each(const struct bad *bad, size_t count)
{
	for (size_t i = 0; i < count; i++)
		expect_only(bad[i].text, bad[i].want);
}

static void test_sections(void **state)
{
	static const struct bad bad[] = {
		{GOOD "[brokr]\nname = x\n",
			"t.ini:4: [brokr]: section is not known; allowed: [auth], [broker], [lcores]"},
		{GOOD "[]\n", "t.ini:4: []: section is not known"},
		{GOOD "[ broker]\n", "section is not known"},
		{GOOD "[broker x]\n", "section is not known"},
		{GOOD "[broker]\n[memory]\n[broker]\nudp_port = 1\n",
			"t.ini:6: [broker]: section is repeated, first in line 4; allowed: once"},
		{GOOD "[topic u]\n[topic t]\n", "t.ini:5: [topic t]: section is repeated, first in line 3"},
		{GOOD "[port net_memif0]\n",
			"t.ini:4: [port net_memif0]: section is repeated, first in line 1"},
		{GOOD "[port 0000:03:00.0]\naddress = 10.0.0.1/24\n[port 03:00.0]\n",
			"section is repeated, first in line 4"},
		{GOOD "[port]\n", "[port]: needs the name of an EAL device; allowed: [port NAME]"},
		{GOOD "[port a b]\n", "needs the name of an EAL device"},
		{GOOD "[topic]\n", "[topic]: needs a topic name; allowed: [topic NAME]"},
		{GOOD "[topic a/b]\n", "needs a topic name"},
		{GOOD "[topic 0123456789012345678901234567890123456789012345678901234567890123]\n",
			"needs a topic name"},
		{GOOD "[broker\n", "t.ini:4: `[broker` has no `]`; allowed: [section]"},
		{GOOD "[broker] x\n", "`x` behind the section; allowed: nothing or a comment"},
		{"[topic t]\n", "t.ini: [port NAME]: section is missing; allowed: 1..8"},
		{PORT, "t.ini: [topic NAME]: section is missing; allowed: 1..1024"},
		{"name = x\n" GOOD, "t.ini:1: name: key outside a section; allowed: below [auth], [broker]"},
	};
	(void)state;
	expect_each(bad, KX_DIM(bad));
}

static void test_too_many(void **state)
{
	static char text[128 * 1100];
	size_t n = (size_t)snprintf(text, sizeof(text), "[topic t]\n");

	(void)state;
	for (int i = 0; i < 10; i++)
		n += (size_t)snprintf(
			text + n, sizeof(text) - n, "[port p%d]\naddress = 10.0.%d.1/24\n", i, i);
	expect_only(text, "t.ini:18: [port p8]: one port too many; allowed: 8 ports");
	n = (size_t)snprintf(text, sizeof(text), PORT "[memory]\nlog_bytes = 4G\n");
	for (int i = 0; i < 1030; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "[topic t%d]\n", i);
	expect_only(text, "t.ini:1029: [topic t1024]: one topic too many; allowed: 1024 topics");
}

static void test_keys(void **state)
{
	static const struct bad bad[] = {
		{GOOD "[broker]\nnmae = x\n",
			"t.ini:5: [broker] nmae: key is not known; allowed: name, udp_port, stop_timeout_ms"},
		{GOOD "partition = 1\n",
			"t.ini:4: [topic t] partition: key is not known; allowed: partitions, "},
		{GOOD "[broker]\n= 5\n", "[broker] : key is not known"},
		{GOOD "partitions = 1\npartitions = 2\n",
			"t.ini:5: [topic t] partitions: key is repeated, first in line 4; allowed: once"},
		{GOOD "partitions = x\npartitions = 2\npartitions = 2\n", "first in line 4"},
		{GOOD "partitions =\n", "[topic t] partitions: has no value; allowed: 1..256 partitions"},
		{GOOD "partitions = ; none\n", "has no value"},
		{GOOD "partitions\n", "t.ini:4: `partitions` is neither a section nor a key"},
		{GOOD "partitions ; = 5\n", "is neither a section nor a key"},
	};
	(void)state;
	/* The repeated one has two errors: the value and the repetitions. */
	expect(bad[4].text, bad[4].want);
	assert_int_equal(errs.total, 3);
	expect_each(bad, 4);
	expect_each(bad + 5, KX_DIM(bad) - 5);
}

static void test_values(void **state)
{
	static const struct bad bad[] = {
		{GOOD "partitions = 0\n",
			"t.ini:4: [topic t] partitions: 0 is out of range; allowed: 1..256 partitions"},
		{GOOD "partitions = 257\n", "257 is out of range"},
		{GOOD "partitions = -1\n", "`-1` is not a decimal number"},
		{GOOD "partitions = 0x10\n", "`x10` behind the number; the unit is always partitions"},
		{GOOD "partitions = 4K\n", "`K` behind the number"},
		{GOOD "partitions = 1.5\n", "`.5` behind the number"},
		{GOOD "partitions = 4 # four\n", "(a comment behind a value begins with ` ;`)"},
		{GOOD "partitions = 99999999999999999999999\n", "is not a number this program can hold"},
		{GOOD "log_bytes = 4MB\n",
			"`MB` is not a unit; sizes are bytes, or K, M, G behind the number; allowed: 0 (an"},
		{GOOD "log_bytes = 4 M\n", "` M` is not a unit"},
		{GOOD "log_bytes = 4m\n", "`m` is not a unit"},
		{GOOD "log_bytes = 9999999999999999G\n", "is out of range"},
		{GOOD "log_bytes = 64K\n",
			"64K is out of range; allowed: 0 (an equal share of the lcore's log memory) or "
			"128K..1024G bytes"},
		{GOOD "[memory]\nextent_bytes = 96K\n",
			"96K is not a power of two; allowed: 64K..16M bytes, a power of two"},
		{GOOD "[memory]\nextent_bytes = 32K\n", "32K is out of range"},
		{GOOD "[sessions]\nidle_timeout_ms = 10s\n",
			"t.ini:5: [sessions] idle_timeout_ms: `s` behind the number; the unit is always ms "
			"and is not "
			"written; allowed: 100..3600000 ms"},
		{GOOD "[lcores]\nyield_us = 2000000\n", "allowed: 0 (never) or 1..1000000 us"},
		{GOOD "durability = synced\n",
			"`synced` needs the durable log, which is not in this version; allowed: memory"},
		{GOOD "durability = written\n", "needs the durable log"},
		{GOOD "durability = disk\n", "`disk` is not known; allowed: memory"},
		{GOOD "overrun = drop\n", "`drop` is not known; allowed: trim, block"},
		{GOOD "overrun = trim|block\n", "`trim|block` is not known"},
		{GOOD "[telemetry]\nlatency = yes\n", "`yes` is not known; allowed: off, on"},
		{GOOD "[broker]\nname = a b\n", "`a b` has a character that a name must not have"},
		{GOOD "[broker]\nname = 01234567890123456789012345678901\n", "32 characters are too many"},
		{GOOD "[broker]\nname = \xc3\xa4\n", "`\\xc3\\xa4` has a character"},
	};
	(void)state;
	expect_each(bad, KX_DIM(bad));
}

static void test_lcores(void **state)
{
	static const struct bad bad[] = {
		{GOOD "[lcores]\ndata = 1,1\n",
			"t.ini:5: [lcores] data: lcore 1 is named twice; allowed: auto, or up to 64"},
		{GOOD "[lcores]\ndata = 1-3,2\n", "lcore 2 is named twice"},
		{GOOD "[lcores]\ndata = 3-1\n", "`3-1` is out of range"},
		{GOOD "[lcores]\ndata = 1024\n", "`1024` is out of range"},
		{GOOD "[lcores]\ndata = 1-65\n", "more than 64 lcores"},
		{GOOD "[lcores]\ndata = 1,\n", "`` is not an lcore id"},
		{GOOD "[lcores]\ndata = 1-\n", "`1-` is not a range"},
		{GOOD "[lcores]\ndata = 1 2\n", "`2` where a comma should be"},
		{GOOD "[lcores]\ndata = all\n", "`all` is not an lcore id"},
		{GOOD "[lcores]\nrx = 1\n", "[lcores] rx: names lcores while data = auto chooses them"},
		{GOOD "[lcores]\nrx = 1,4\ndata = 1,2\n",
			"t.ini:5: [lcores] rx: lcore 4 is not a data lcore"},
		{GOOD "[lcores]\ndata = 1,2\n[broker]\nudp_port = 65535\n",
			"t.ini:7: [broker] udp_port: 2 data lcores from 65535 on need ports beyond 65535; "
			"allowed: "
			"1024..65534"},
		{"[lcores]\ndata = 1\n[topic t]\n" PORT "rx_queues = 2\n",
			"t.ini:6: [port net_memif0] rx_queues: 2 queues for 1 lcores with RX"},
		{"[lcores]\ndata = 1,2\n[topic t]\n" PORT "tx_queues = 3\n",
			"tx_queues: 3 queues for 2 data lcores: some would never be used; allowed: 0 (all) "
			"or 1..2"},
	};
	(void)state;
	expect_each(bad, KX_DIM(bad));
}

static void test_addresses(void **state)
{
	static const struct bad bad[] = {
		{"[topic t]\n[port p]\n", "t.ini:2: [port p] address: key is missing; allowed: one or more"},
		{"[topic t]\n[port p]\naddress = 10.0.0.1\n", "`10.0.0.1` has no prefix length"},
		{"[topic t]\n[port p]\naddress = 10.0.0.1/33\n", "`33` is not a prefix length of 1..32"},
		{"[topic t]\n[port p]\naddress = 10.0.0.1/0\n", "`0` is not a prefix length"},
		{"[topic t]\n[port p]\naddress = fd77::1/129\n", "`129` is not a prefix length of 1..128"},
		{"[topic t]\n[port p]\naddress = 10.0.0.256/8\n", "`10.0.0.256` is not an IPv4 address"},
		{"[topic t]\n[port p]\naddress = fd77:::1/64\n", "`fd77:::1` is not an IPv6 address"},
		{"[topic t]\n[port p]\naddress = 10.0.0.0/24\n", "10.0.0.0/24 is the network's own address"},
		{"[topic t]\n[port p]\naddress = 10.0.0.255/24\n", "is the network's broadcast address"},
		{"[topic t]\n[port p]\naddress = 224.0.0.1/24\n", "is a multicast or reserved address"},
		{"[topic t]\n[port p]\naddress = 127.0.0.1/24\n", "is a loopback address"},
		{"[topic t]\n[port p]\naddress = ff02::1/64\n", "is a multicast address"},
		{"[topic t]\n[port p]\naddress = ::1/64\n", "is the loopback address"},
		{"[topic t]\n[port p]\naddress = ::/64\n", "is the unspecified address"},
		{"[topic t]\n[port p]\naddress = ::ffff:10.0.0.1/64\n", "is an IPv4 address written as IPv6"},
		{"[topic t]\n[port p]\naddress = 10.0.0.1/24,,10.0.0.2/24\n",
			"an address is missing beside a comma"},
		{"[topic t]\n[port p]\naddress = "
		 "10.0.0.1/24,10.0.0.2/24,10.0.0.3/24,10.0.0.4/24,10.0.0.5/24\n",
			"more than 4 IPv4 addresses"},
		{GOOD "[port q]\naddress = 10.77.0.1/16\n",
			"t.ini:5: [port q] address: 10.77.0.1 is on port net_memif0 already; allowed: each "
			"address once"},
		{GOOD "[port q]\naddress = fd77::1/48\n", "fd77::1 is on port net_memif0 already"},
		{"[topic t]\n[port p]\naddress = 10.0.0.1/24, 10.0.0.1/24\n",
			"10.0.0.1 is on port p already"},
		{"[topic t]\n" PORT "gateway = 10.78.0.1\n",
			"gateway: 10.78.0.1 is in none of the port's networks"},
		{"[topic t]\n" PORT "gateway = 10.77.0.1\n", "gateway: 10.77.0.1 is the port's own address"},
		{"[topic t]\n" PORT "gateway6 = fd78::1\n",
			"gateway6: fd78::1 is in none of the port's networks"},
		{"[topic t]\n" PORT "gateway = fd77::2\n",
			"`fd77::2` is not an IPv4 address; allowed: none, or an IPv4"},
		{"[topic t]\n[port p]\naddress = 10.0.0.1/24\ngateway6 = fe80::1\n",
			"the port has no IPv6 address"},
		{"[topic t]\n[port p]\naddress = fd77::1/64\ngateway = 10.0.0.1\n",
			"the port has no IPv4 address"},
	};
	(void)state;
	expect_each(bad, KX_DIM(bad));
}

static void test_contradictions(void **state)
{
	static const struct bad bad[] = {
		{GOOD "[sessions]\nheartbeat_ms = 5000\n",
			"t.ini:4: [sessions] idle_timeout_ms: 10000 ms is less than three heartbeats of 5000 "
			"ms"},
		{GOOD "[sessions]\nheartbeat_ms = 60\nidle_timeout_ms = 100\n",
			"t.ini:6: [sessions] idle_timeout_ms: 100 ms is less than three heartbeats of 60 ms; "
			"allowed: 180.."},
		{GOOD "[memory]\nlog_bytes = 4194305\n",
			"log_bytes: 4194305 is no multiple of extent_bytes; allowed: multiples of "
			"256K"},
		{"[topic t]\n[memory]\nmbuf_bytes = 2176\n" PORT "mtu = 9000\n",
			"t.ini:6: [port net_memif0] mtu: a frame of MTU 9000 needs 9150 bytes, "
			"memory.mbuf_bytes is 2176"},
		{PORT "[topic t]\nlog_bytes = 1M\n",
			"t.ini:4: [topic t] log_bytes: 1048576 bytes hold no message of max_message_bytes "
			"beside the extent "
			"that is written; allowed: at least 1536K, or 0 (the share)"},
		{PORT "[sessions]\nwindow_bytes = 4M\n[topic t]\nlog_bytes = 1536K\noverrun = block\n",
			"t.ini:6: [topic t] log_bytes: 1572864 bytes hold no message of max_message_bytes, "
			"or no "
			"session window, beside the extent that is written; allowed: at least 4608K"},
		{PORT "[lcores]\ndata = 1\n[topic t]\npartitions = 171\n",
			"t.ini:3: [memory] log_bytes: 256M is too little"},
		{PORT "[lcores]\ndata = 1\n[memory]\nlog_bytes = 64M\n[topic t]\npartitions = 8\nlog_bytes = "
		      "10M\n",
			"t.ini:6: [memory] log_bytes: 64M is too little for the 8 partitions of data lcore "
			"0; allowed: at "
			"least 80M"},
	};
	(void)state;
	expect_each(bad, 6);
	expect_only(bad[7].text, bad[7].want);
	/* No [memory] in the file: the message has no line to point at. */
	expect_only(bad[6].text,
		"t.ini: [memory] log_bytes: 256M is too little for the 171 partitions of data lcore 0; "
		"allowed: at least 262656K");
	static char text[16384];
	size_t n = (size_t)snprintf(text, sizeof(text), PORT);
	for (int i = 0; i < 257; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "[topic t%d]\npartitions = 256\n", i);
	expect_only(text,
		"[topic t256] partitions: more partitions of all topics together than can be numbered; "
		"allowed: 65536");
}

/** Principals: heads, keys, patterns, and what contradicts. */
static void test_principals(void **state)
{
	static const struct bad bad[] = {
		{GOOD "[principal]\n",
			"t.ini:4: [principal]: needs a principal's name; allowed: [principal NAME] with"},
		{GOOD "[principal a b]\n", "needs a principal's name"},
		{GOOD "[principal p]\nkey_file = k\n[principal p]\n",
			"t.ini:6: [principal p]: section is repeated, first in line 4; allowed: once"},
		{GOOD "[principal anonymous]\n[principal anonymous]\n", "is repeated, first in line 4"},
		{GOOD "[principal p]\n",
			"t.ini:4: [principal p] key_file: key is missing; allowed: a file made by"},
		{GOOD "[principal p]\nkey_file = none\n", "t.ini:5: [principal p] key_file: key is missing"},
		{GOOD "[principal p]\nkey_file = k\nnext_key_file = k\n",
			"t.ini:6: [principal p] next_key_file: is the same file as key_file"},
		{GOOD "[principal anonymous]\nkey_file = k\n",
			"t.ini:5: [principal anonymous] key_file: anonymous is who has no key"},
		{GOOD "[principal anonymous]\nnext_key_file = k\n",
			"next_key_file: anonymous is who has no key"},
		{GOOD "[principal anonymous]\nframes = mac\n",
			"frames: anonymous has no key to protect frames with; allowed: plain"},
		{GOOD "[principal p]\nkey_file = k\nframes = on\n", "`on` is not known; allowed: plain, mac"},
		{GOOD "[auth]\nanonymous = off\n",
			"t.ini:5: [auth] anonymous: off without any principal that has a key: nobody could"},
		{GOOD "[auth]\naudit_per_s = 100001\n", "allowed: 0 (none) or 1..100000 lines"},
		{GOOD "[auth]\nanonymus = off\n", "key is not known; allowed: anonymous, audit_per_s"},
		{GOOD "[principal anonymous]\nsessions = 65537\n",
			"65537 is out of range; allowed: 0 (no limit of its own) or 1..65536 sessions"},
		{GOOD "messages_per_s = 1000000001\n", "allowed: 0 (no limit) or 1..1000000000 messages"},
		{GOOD "bytes_per_s = 1023\n", "1023 is out of range; allowed: 0 (no limit) or 1K..1024G"},
		{GOOD "[sessions]\nmax_producer_ids = 100\n", "100 is not a power of two"},
	};
	(void)state;
	expect_each(bad, KX_DIM(bad));
	assert_int_equal(load_bytes(GOOD "[auth]\nanonymous = off\n[principal p]\nkey_file = k\n",
				 strlen(GOOD "[auth]\nanonymous = off\n[principal p]\nkey_file = k\n")),
		0);
	static char text[64 * 300];
	size_t n = (size_t)snprintf(text, sizeof(text), GOOD);
	for (int i = 0; i < 258; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "[principal p%d]\nkey_file = k%d\n", i, i);
	expect_only(text, "t.ini:516: [principal p256]: one principal too many; allowed: 256 principals");
}

static void test_patterns(void **state)
{
#define P GOOD "[principal anonymous]\nconsume = "
	static const struct bad bad[] = {
		{P "t*x\n", "t.ini:5: [principal anonymous] consume: `t*x` has * in front of its end"},
		{P "**\n", "`**` has * in front of its end"},
		{P "t,,*\n", "a pattern is missing beside a comma; allowed: none, or a list of"},
		{P "t,\n", "a pattern is missing beside a comma"},
		{P ",\n", "a pattern is missing beside a comma"},
		{P "!\n", "`!` denies nothing that has a name"},
		{P "!t\n", "only denies, which is ambiguous: say `*` or `none`, too"},
		{P "!t, !t*\n", "only denies"},
		{P "***\n", "`***` has * in front of its end"},
		{P "*!\n", "`*!` has"},
		{P "!\t\n", "`!` denies nothing that has a name"},
		{P "t*, t*\n", "`t*` is there twice"},
		{P "*, *\n", "`*` is there twice"},
		{P "01234567890123456789012345678901234567890123456789012345678901234\n",
			"is longer than any topic's name"},
		{P "!01234567890123456789012345678901234567890123456789012345678901234\n",
			"is longer than any topic's name"},
		{P "!!t\n", "`!!t` has a character that no topic's name has"},
		{P "t x\n", "`t x` has a character"},
		{P "t/x\n", "`t/x` has a character"},
		{P "*, !*\n", "`*` and `!*` are ambiguous: one literal part is allowed and denied"},
		{P "!t, *, t*\n", "`!t` and `t*` are ambiguous"},
		{P "t, *, t\n", "`t` is there twice"},
		{P "!t*, !t*\n", "`!t*` is there twice"},
		{P "none, t\n", "`none` fits no topic"},
		{P "*, u*\n", "t.ini:5: [principal anonymous] consume: `u*` fits no topic of this file"},
		{P "*, !tt\n", "`!tt` fits no topic of this file; allowed: patterns that fit a [topic NAME]"},
		{P "0123456789012345678901234567890123456789012345678901234567890123*\n",
			"is longer than any topic's name"},
		{GOOD "[principal anonymous]\nproduce = x\n", "] produce: `x` fits no topic"},
	};
#undef P
	(void)state;
	expect_each(bad, KX_DIM(bad));
}

static void test_lines(void **state)
{
	char text[512];

	(void)state;
	expect_only(GOOD "partitions = 2\n  4\n",
		"t.ini:5: begins with a blank; continuation lines do not exist here");
	expect_only(GOOD "\tpartitions = 2\n", "t.ini:4: begins with a blank");
	expect_only(GOOD "  [topic u]\n", "t.ini:4: begins with a blank");
	expect_only("\xef\xbb\xbf" GOOD, "t.ini:1: begins with a UTF-8 byte order mark; allowed: plain text");
	expect(GOOD "part\ritions = 2\n", "t.ini:4: has the control byte 0x0d");

	for (size_t len = 199; len <= 201; len++) {
		snprintf(text, sizeof(text), GOOD "#%*s\n", (int)len - 1, "x");
		if (len == 199)
			assert_int_equal(load_bytes(text, strlen(text)), 0);
		else
			expect_only(text, "is too long; allowed: 199 bytes and the line end");
	}
	snprintf(text, sizeof(text), GOOD "partitions = %*s\n", 300, "2");
	expect_only(text, "t.ini:4: line of 313 bytes is too long");
	/* A value at the limit arrives whole. */
	snprintf(text, sizeof(text), GOOD "partitions =%*s\r\n", 199 - 12, "3");
	assert_int_equal(load_bytes(text, strlen(text)), 0);
}

static void test_bytes(void **state)
{
	static const char nul[] = GOOD "parti\0tions = 2\n";
	static const char utf16[] = "\xff\xfe[\0t\0o\0p\0";
	uint8_t noise[4096];
	struct kx_prng prng;

	(void)state;
	assert_int_equal(load_bytes(nul, sizeof(nul) - 1), -EINVAL);
	assert_string_equal(errs.text[0], "t.ini:4: has a NUL byte; allowed: a text file");
	assert_int_equal(load_bytes(utf16, sizeof(utf16) - 1), -EINVAL);
	assert_non_null(strstr(errs.text[0], "begins with a UTF-16 byte order mark"));
	assert_int_equal(load_bytes("", 0), -EINVAL);
	assert_int_equal(errs.total, 1);
	assert_non_null(strstr(errs.text[0], "t.ini: the file is empty; allowed: at least one [port NAME]"));
	expect("\n\n", "section is missing");
	assert_int_equal(errs.total, 2);

	kx_prng_seed(&prng, 77);
	for (int round = 0; round < 500; round++) {
		size_t n = (size_t)kx_prng_below(&prng, sizeof(noise));

		for (size_t i = 0; i < n; i++)
			noise[i] = (uint8_t)kx_prng_next(&prng);
		assert_int_equal(load_bytes(noise, n), -EINVAL);
		for (uint32_t i = 0; i < errs.count; i++)
			for (const char *p = errs.text[i]; *p != '\0'; p++)
				assert_true(*p >= 0x20 && *p < 0x7f);
	}
}

/** A good file cut at every byte: an error or a configuration, never anything else. */
static void test_cut(void **state)
{
	static const char text[] =
		"[broker]\nname = x ; y\n[lcores]\ndata = 1,2-3\nrx = 1\n[memory]\nlog_bytes = 64M\n" PORT
		"gateway = 10.77.0.2\nmtu = 1500\n[topic t]\npartitions = 2\noverrun = block\n";

	(void)state;
	for (size_t n = 0; n <= sizeof(text) - 1; n++) {
		int rc = load_bytes(text, n);
		assert_true(rc == 0 || rc == -EINVAL);
	}
	assert_int_equal(load_bytes(text, sizeof(text) - 1), 0);
}

static void test_many_lines(void **state)
{
	size_t lines = 1000000;
	char *text = malloc(lines * 8);

	(void)state;
	assert_non_null(text);
	memset(text, '\n', lines);
	assert_int_equal(load_bytes(text, lines), -EINVAL);
	assert_string_equal(errs.text[0], "t.ini:100001: too many lines; allowed: 100000");
	for (size_t i = 0; i < lines; i++)
		memcpy(text + i * 8, "abc = 1\n", 8);
	assert_int_equal(load_bytes(text, lines * 8), -EINVAL);
	assert_int_equal(errs.total, 1);
	assert_non_null(strstr(errs.text[0], "the file is too large; allowed: 4194304 bytes"));
	/* More errors than are kept: all are counted. */
	assert_int_equal(load_bytes(text, 1000 * 8), -EINVAL);
	assert_int_equal(errs.count, KX_CONF_ERRORS_MAX);
	assert_int_equal(errs.total, 1002);
	free(text);
}

/** All errors of a file at once, in order. */
static void test_all_at_once(void **state)
{
	static const char text[] =
		"[broker]\nnmae = x\nudp_port = 80\n[sessions]\nheartbeat_ms = 9s\nmax = 0\n"
		"[port p]\nmtu = 100\n[topic t]\noverrun = no\n[tpoic u]\n";
	static const char *const want[] = {":2: [broker] nmae:", ":3: [broker] udp_port:",
		":5: [sessions] heartbeat_ms:", ":6: [sessions] max:", ":8: [port p] mtu:",
		":10: [topic t] overrun:", ":11: [tpoic u]:", ":7: [port p] address:"};

	(void)state;
	assert_int_equal(load_bytes(text, sizeof(text) - 1), -EINVAL);
	assert_int_equal(errs.total, KX_DIM(want));
	for (uint32_t i = 0; i < KX_DIM(want); i++) {
		assert_non_null(strstr(errs.text[i], want[i]));
		assert_memory_equal(errs.text[i], "t.ini:", 6);
	}
}

static void test_files(void **state)
{
	char path[] = "/tmp/kx_conf_XXXXXX";
	int fd = mkstemp(path);
	struct kx_conf *conf;

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, GOOD, strlen(GOOD)), (ssize_t)strlen(GOOD));
	assert_int_equal(kx_conf_load(path, &conf, &errs), 0);
	assert_string_equal(conf->source, path);
	kx_conf_free(conf);
	assert_int_equal(kx_conf_load(path, &conf, NULL), 0);
	kx_conf_free(conf);
	assert_int_equal(ftruncate(fd, KX_CONF_FILE_MAX + 1), 0);
	assert_int_equal(kx_conf_load(path, &conf, &errs), -EINVAL);
	assert_non_null(strstr(errs.text[0], "the file is too large"));
	close(fd);
	unlink(path);
	assert_int_equal(kx_conf_load(path, &conf, &errs), -ENOENT);
	assert_null(conf);
	assert_int_equal(errs.total, 1);
	assert_non_null(strstr(errs.text[0], "cannot be read: No such file"));
	assert_int_equal(kx_conf_load("/tmp", &conf, &errs), -EISDIR);
	assert_int_equal(kx_conf_load(path, &conf, NULL), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sections),
		cmocka_unit_test(test_too_many),
		cmocka_unit_test(test_keys),
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_lcores),
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_contradictions),
		cmocka_unit_test(test_principals),
		cmocka_unit_test(test_patterns),
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_bytes),
		cmocka_unit_test(test_cut),
		cmocka_unit_test(test_many_lines),
		cmocka_unit_test(test_all_at_once),
		cmocka_unit_test(test_files),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
