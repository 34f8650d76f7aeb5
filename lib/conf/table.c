/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The table of keys. Everything else about a key follows from its entry here; config/kaelix.ini repeats
 * reasons, ranges and defaults for its readers, and tests/unit/test_conf_ini.c fails when the two differ.
 */
#include "conf_private.h"

#include <string.h>

#define KB UINT64_C(1024)
#define MB (KB * 1024)
#define GB (MB * 1024)

#define AT(s, m)                                                                                             \
	.name = #m, .offset = offsetof(struct kx_conf_##s, m), .width = sizeof(((struct kx_conf_##s *)0)->m)
#define COUNT(s, m, u, lo, hi, d) AT(s, m), .type = KX_CONF_T_COUNT, .unit = u, .min = lo, .max = hi, .def = d
#define BYTES(s, m, lo, hi, d)                                                                               \
	AT(s, m), .type = KX_CONF_T_BYTES, .unit = "bytes", .min = lo, .max = hi, .def = d
#define CHOICE(s, m, c, d) AT(s, m), .type = KX_CONF_T_CHOICE, .unit = "", .choices = c, .def = d
#define SWITCH(s, m, d)	   AT(s, m), .type = KX_CONF_T_SWITCH, .unit = "", .choices = "off|on", .def = d
#define LINE(s, m, t, d)   AT(s, m), .type = t, .unit = "", .def = d
#define SPECIAL(n, t, d)   .name = n, .type = t, .unit = "", .def = d

static const struct kx_conf_key keys[] = {
	/* [auth] */
	{KX_CONF_S_AUTH, SWITCH(auth, anonymous, "on"),
		.reason =
			"Whether clients without a key may connect, as the principal `anonymous`. off: only "
			"principals with a key. on suits a closed network and first steps."},
	{KX_CONF_S_AUTH, COUNT(auth, audit_per_s, "lines", 1, 100000, "100"), .zero = "none",
		.reason =
			"Audit lines printed a second at most: accepted and refused principals, changed "
			"paths, fenced producers. A refusal's line says what was wrong (no such principal, "
			"no "
			"key, the wrong one, its `sessions` in use); its client, which has proven nothing, "
			"is "
			"told less. What is above is counted and the count is printed, so that a flood does "
			"not fill the disk; so is "
			"what finds no room in a pipe that nobody reads."},

	/* [broker] */
	{KX_CONF_S_BROKER, SPECIAL("name", KX_CONF_T_NAME, "kaelix"),
		.reason = "Instance name, shown by telemetry and used as EAL's --file-prefix when none is "
			  "given: two "
			  "brokers on one machine need different names."},
	{KX_CONF_S_BROKER, COUNT(broker, udp_port, "", 1024, 65535, "9000"),
		.reason = "UDP port of the first data lcore; data lcore i listens on udp_port + i, so that "
			  "the port "
			  "alone says who owns a frame. Clients need only this one."},
	{KX_CONF_S_BROKER, COUNT(broker, stop_timeout_ms, "ms", 0, 60000, "2000"),
		.reason = "Longest time a clean stop waits for peers to take the goodbye and for ports to "
			  "return "
			  "buffers. Two seconds cover several lost goodbyes on a bad line."},

	/* [lcores] */
	{KX_CONF_S_LCORES, SPECIAL("data", KX_CONF_T_LCORES, "auto"), .choices = "auto",
		.reason = "EAL lcore ids that run data loops, in order: the first is data lcore 0. Partition "
			  "p belongs to data lcore p modulo their number. Not EAL's main lcore, which does "
			  "control work. auto: chosen at start by policy, from EAL's lcores when its options "
			  "name them, else from the CPUs there are."},
	{KX_CONF_S_LCORES, SPECIAL("rx", KX_CONF_T_LCORES, "all"), .choices = "all",
		.reason = "Those of the data lcores that poll RX queues. The others own partitions only and "
			  "are fed by "
			  "hand-over rings. all: the usual choice, nobody waits for another lcore to look."},
	{KX_CONF_S_LCORES, CHOICE(lcores, policy, "throughput|latency|balanced", "balanced"),
		.reason = "How data = auto chooses. throughput: every lcore there is, SMT siblings too; "
			  "latency: one a "
			  "physical core, near the port; balanced: one a physical core, spread over the NUMA "
			  "nodes of "
			  "the ports."},
	{KX_CONF_S_LCORES, COUNT(lcores, gap_threshold_us, "us", 1, 1000000, "100"),
		.reason = "Loop turns longer than this are counted and their longest is shown. 100 us is "
			  "above what a "
			  "full burst takes and below what a stolen CPU costs."},
	{KX_CONF_S_LCORES, COUNT(lcores, yield_us, "us", 1, 1000000, "50"), .zero = "never",
		.reason = "A loop that is idle or shares its CPU gives way (sched_yield) at most once in "
			  "this time. 50 "
			  "us lets kernel work such as disk interrupts run soon for less than a microsecond "
			  "a call."},

	/* [memory] */
	{KX_CONF_S_MEMORY, BYTES(memory, log_bytes, 4 * MB, 1024 * GB, "256M"),
		.reason = "Memory for partition logs of each data lcore, reserved at start, from hugepages "
			  "where there "
			  "are any; a multiple of extent_bytes. 256M keeps about nine seconds of 64 B "
			  "messages at 400,000 "
			  "a second."},
	{KX_CONF_S_MEMORY, BYTES(memory, extent_bytes, 64 * KB, 16 * MB, "256K"), .power_of_two = true,
		.reason = "A partition log grows and is trimmed in steps of this size and has at least two. "
			  "256K holds "
			  "180 full frames; 256M then serve 170 partitions of 1M messages."},
	{KX_CONF_S_MEMORY, BYTES(memory, mbuf_bytes, 1536, 16512, "0"),
		.zero = "from the largest mtu, at least 2176",
		.reason = "Data room of a packet buffer with its 128 B headroom; a frame must fit in one. "
			  "2176 is what "
			  "every driver likes for an MTU of 1500; a smaller pool stays in the cache."},
	{KX_CONF_S_MEMORY, COUNT(memory, spare_mbufs, "mbufs", 0, 1048576, "512"),
		.reason =
			"Packet buffers of each data lcore beyond those that descriptors, rings, caches and "
			"reorder_frames can hold at once. 512 are a few bursts of answers in flight."},
	{KX_CONF_S_MEMORY, COUNT(memory, handover_ring, "entries", 64, 65536, "1024"), .power_of_two = true,
		.reason = "Entries of the ring between each two data lcores. 1024 is one RX ring: a lcore "
			  "that stops "
			  "for as long as its port can buffer loses nothing here either."},
	{KX_CONF_S_MEMORY, COUNT(memory, reorder_frames, "frames", 64, 65536, "2048"),
		.reason = "Frames each data lcore can hold because an earlier one is missing. 2048 are four "
			  "full "
			  "session windows waiting for one repair each; producers get no more credit than "
			  "fits."},

	/* [port NAME] */
	{KX_CONF_S_PORT, SPECIAL("address", KX_CONF_T_ADDRESSES, ""),
		.reason =
			"The broker's own addresses on this port, up to four of each family; it answers ARP, "
			"neighbour discovery and ping for them. There is no useful default."},
	{KX_CONF_S_PORT, SPECIAL("gateway", KX_CONF_T_IP4, "none"),
		.reason = "Next hop for IPv4 peers outside the port's networks. Without one they are not "
			  "reached."},
	{KX_CONF_S_PORT, SPECIAL("gateway6", KX_CONF_T_IP6, "none"),
		.reason = "Next hop for IPv6 peers outside the port's networks; a link-local address is "
			  "usual."},
	{KX_CONF_S_PORT, COUNT(port, vlan, "", 1, 4094, "0"), .zero = "untagged",
		.reason =
			"VLAN id of the port; frames with another tag, or without one, are dropped by name."},
	{KX_CONF_S_PORT, COUNT(port, mtu, "bytes", 1280, 9000, "1500"),
		.reason = "Largest IP packet sent and accepted. 1500 works everywhere; 9000 (jumbo) only "
			  "when the "
			  "switch and every peer have it. IPv6 allows no less than 1280."},
	{KX_CONF_S_PORT, COUNT(port, rx_queues, "queues", 1, 64, "0"), .zero = "one a lcore with RX",
		.reason = "RX queues. Capped at start by what the port has; one queue is polled by one lcore "
			  "only."},
	{KX_CONF_S_PORT, COUNT(port, tx_queues, "queues", 1, 64, "0"), .zero = "one a data lcore",
		.reason = "TX queues. Capped at start by what the port has; a data lcore without one sends "
			  "through "
			  "another's."},
	{KX_CONF_S_PORT, COUNT(port, rx_desc, "descriptors", 64, 32768, "1024"), .power_of_two = true,
		.reason = "Descriptors of an RX queue: how long the loop may be away. 1024 full frames are 3 "
			  "ms at 4 "
			  "Gbit/s, 0.3 ms at 40; more costs cache."},
	{KX_CONF_S_PORT, COUNT(port, tx_desc, "descriptors", 64, 32768, "1024"), .power_of_two = true,
		.reason = "Descriptors of a TX queue. As many as RX: every frame in may be a frame out."},
	{KX_CONF_S_PORT, COUNT(port, rx_burst, "frames", 1, 64, "32"),
		.reason = "Frames taken from a queue in one turn. 32 spreads the cost of a turn; fewer "
			  "shorten the "
			  "wait of the first behind the last."},
	{KX_CONF_S_PORT, CHOICE(port, deliver_path, "auto|cut|copy|slice", "auto"),
		.reason = "How deliveries leave: cut reuses the received buffer where one consumer waits at "
			  "the tail, "
			  "copy builds a frame, slice sends log memory itself. auto: the measured choice by "
			  "size."},
	{KX_CONF_S_PORT, CHOICE(port, udp_checksum, "auto|offload|software", "auto"),
		.reason = "Who computes UDP checksums. auto: the port if it can; else software, except that "
			  "IPv4 data "
			  "frames, whose content CRC32C covers, go with checksum 0 as RFC 768 allows."},
	{KX_CONF_S_PORT, SWITCH(port, promiscuous, "off"),
		.reason = "Accept frames for every MAC address from the port. They are dropped by name after "
			  "that; for "
			  "ports that cannot filter multicast."},

	/* [principal NAME] */
	{KX_CONF_S_PRINCIPAL, LINE(principal, key_file, KX_CONF_T_PATH, "none"),
		.reason =
			"File with the principal's key, as `kaelix-cli keygen FILE` makes it: mode 0600 or "
			"0400, one line of 64..128 hexadecimal digits. Needed, except by `anonymous`, which "
			"has none."},
	{KX_CONF_S_PRINCIPAL, LINE(principal, next_key_file, KX_CONF_T_PATH, "none"),
		.reason = "File with a second key that is valid too: keys are changed without a gap by "
			  "adding the new one, moving the clients, and taking the old one away."},
	{KX_CONF_S_PRINCIPAL, CHOICE(principal, frames, "plain|mac|aead", "plain"),
		.reason =
			"Least protection of the frames of its sessions: plain, a checksum only; mac, each "
			"frame authenticated; aead, authenticated and encrypted. plain suits a network that "
			"nobody else can write to."},
	{KX_CONF_S_PRINCIPAL, LINE(principal, produce, KX_CONF_T_PATTERNS, "none"),
		.reason =
			"Topics it may produce to. The pattern with the longest literal part that fits a "
			"topic decides; ! in front denies. `anonymous` without a section of its own has *."},
	{KX_CONF_S_PRINCIPAL, LINE(principal, consume, KX_CONF_T_PATTERNS, "none"),
		.reason = "Topics it may consume, in the same way. Topics for which it has neither right do "
			  "not exist for it."},
	{KX_CONF_S_PRINCIPAL, COUNT(principal, messages_per_s, "messages", 1, 1000000000, "0"),
		.zero = "no limit",
		.reason =
			"Messages a second of all its sessions on all data lcores together. Producers above "
			"it wait and are told why; nothing that was admitted is dropped."},
	{KX_CONF_S_PRINCIPAL, BYTES(principal, bytes_per_s, 1 * KB, 1024 * GB, "0"), .zero = "no limit",
		.reason = "Bytes of messages a second, in the same way."},
	{KX_CONF_S_PRINCIPAL, COUNT(principal, sessions, "sessions", 1, 65536, "0"),
		.zero = "no limit of its own",
		.reason =
			"Most sessions it may have on one data lcore, so that one principal cannot take all "
			"of sessions.max. One client more is told so, and an audit line names this limit."},

	/* [sessions] */
	{KX_CONF_S_SESSIONS, COUNT(sessions, max, "sessions", 1, 65536, "1024"),
		.reason = "Sessions of each data lcore; their tables are reserved at start. One more client "
			  "is told "
			  "that the broker is full."},
	{KX_CONF_S_SESSIONS, COUNT(sessions, idle_timeout_ms, "ms", 100, 3600000, "10000"),
		.reason = "A session that is not heard of for this long is closed and its memory used again. "
			  "At least "
			  "three heartbeats, so that one lost frame closes nothing; ten seconds outlast a "
			  "switch's "
			  "relearning."},
	{KX_CONF_S_SESSIONS, COUNT(sessions, heartbeat_ms, "ms", 1, 60000, "100"),
		.reason = "Longest silence on a session; a heartbeat names the highest packet number, so "
			  "that loss of "
			  "the last frame shows. 100 ms with 1024 sessions is 10,000 small frames a second."},
	{KX_CONF_S_SESSIONS, COUNT(sessions, window_frames, "frames", 16, 4096, "512"), .power_of_two = true,
		.reason = "Most frames a session may have on their way to the broker. 512 full frames fill a "
			  "10 Gbit/s "
			  "line for 0.6 ms of round trip and fit in half an RX ring."},
	{KX_CONF_S_SESSIONS, BYTES(sessions, window_bytes, 64 * KB, 64 * MB, "1M"),
		.reason = "Most bytes a session may have on their way to the broker. A little more than "
			  "window_frames of 1500 B; logs that block keep that much room for a producer."},
	{KX_CONF_S_SESSIONS, COUNT(sessions, setup_per_turn, "frames", 1, 64, "32"),
		.reason =
			"Handshake frames handled in one turn of the loop after a quiet time, an eighth of "
			"it in "
			"each of many turns; the rest are dropped by name and come again. Each costs 0.2 to "
			"2 us of cryptography, which live traffic waits for; a flood that lasts gets less "
			"and less of it. 32 let 16 clients start in the same instant."},
	{KX_CONF_S_SESSIONS, COUNT(sessions, max_subscriptions, "subscriptions", 1, 65536, "1024"),
		.reason = "Subscriptions of each data lcore, of all its sessions; reserved at start."},
	{KX_CONF_S_SESSIONS, COUNT(sessions, max_producers, "states", 1, 1048576, "4096"),
		.reason = "Producer states of each data lcore, one a producer and partition: they are what "
			  "recognises "
			  "duplicates."},
	{KX_CONF_S_SESSIONS, COUNT(sessions, max_reassembly, "messages", 1, 64, "4"),
		.reason = "Messages larger than a datagram that a session may have half sent, or waiting "
			  "for one before them; each holds extents of the log. One whose turn it is finds a "
			  "place beside them."},
	{KX_CONF_S_SESSIONS, COUNT(sessions, cookie_lifetime_ms, "ms", 100, 60000, "5000"),
		.reason = "How long a client may take to answer the handshake's cookie. Long enough for a "
			  "slow line "
			  "with losses, short enough that a recorded one is soon worth nothing."},

	{KX_CONF_S_SESSIONS, COUNT(sessions, max_producer_ids, "producers", 64, 16777216, "65536"),
		.power_of_two = true,
		.reason = "Producer ids the whole broker remembers, one a client that produces: who has it "
			  "and its epoch. Of several principals one gets half of them at most; when it takes "
			  "more, its own that were not used for longest are forgotten. At least four times "
			  "the sessions of all data lcores, so that none is forgotten while its client is "
			  "away for a moment."},

	/* [telemetry] */
	{KX_CONF_S_TELEMETRY, SWITCH(telemetry, latency, "on"),
		.reason = "Time each frame spends in the broker, in histograms by stage (/kaelix/latency). "
			  "off saves "
			  "the clock reads."},

	/* [topic NAME] */
	{KX_CONF_S_TOPIC, COUNT(topic, partitions, "partitions", 1, 256, "1"),
		.reason = "Partitions: order is kept within one, and data lcores share the work by them. As "
			  "many as "
			  "data lcores, or a multiple, for a busy topic."},
	{KX_CONF_S_TOPIC, CHOICE(topic, durability, "memory", "memory"),
		.reason = "How far the log goes before a message is acknowledged. memory is the only level "
			  "of this "
			  "version: nothing survives a restart."},
	{KX_CONF_S_TOPIC, CHOICE(topic, overrun, "trim|block", "trim"),
		.reason = "What a full log does. trim: the oldest data goes and a consumer that is too late "
			  "is told; "
			  "block: producers wait until every subscriber has read; nothing is freed "
			  "while nobody subscribes."},
	{KX_CONF_S_TOPIC, BYTES(topic, log_bytes, 128 * KB, 1024 * GB, "0"),
		.zero = "an equal share of the lcore's log memory",
		.reason = "Limit of each partition's log. The share is what the partitions with a limit of "
			  "their own "
			  "leave of memory.log_bytes, so that no partition can starve another."},
	{KX_CONF_S_TOPIC, BYTES(topic, max_message_bytes, 1 * KB, 16 * MB, "1M"),
		.reason = "Largest message. Above a datagram it travels in fragments. Each partition's log "
			  "must hold "
			  "one beside the extent that is written."},
	{KX_CONF_S_TOPIC, CHOICE(topic, deliver, "committed|appended", "committed"),
		.reason = "What consumers see: committed, only what reached the topic's durability; "
			  "appended, all at "
			  "once. The same for durability = memory."},
	{KX_CONF_S_TOPIC, COUNT(topic, messages_per_s, "messages", 1, 1000000000, "0"), .zero = "no limit",
		.reason =
			"Messages a second that all its producers together may send. Above it they wait and "
			"are told why; nothing that was admitted is dropped."},
	{KX_CONF_S_TOPIC, BYTES(topic, bytes_per_s, 1 * KB, 1024 * GB, "0"), .zero = "no limit",
		.reason = "Bytes of messages a second, in the same way."},
};

static const char *const section_names[KX_CONF_S_COUNT] = {
	"auth", "broker", "lcores", "memory", "port", "principal", "sessions", "telemetry", "topic"};

const struct kx_conf_key *kx_conf_keys(size_t *count)
{
	*count = KX_DIM(keys);
	return keys;
}

const char *kx_conf_section_name(enum kx_conf_section section)
{
	return section < KX_CONF_S_COUNT ? section_names[section] : "";
}

const struct kx_conf_key *conf_section_keys(enum kx_conf_section section, uint32_t *count)
{
	uint32_t first = 0, n = 0;

	while (keys[first].section != section)
		first++;
	while (first + n < KX_DIM(keys) && keys[first + n].section == section)
		n++;
	*count = n;
	return &keys[first];
}

int conf_key_index(enum kx_conf_section section, const char *name)
{
	uint32_t count;
	const struct kx_conf_key *key = conf_section_keys(section, &count);

	for (uint32_t i = 0; i < count; i++)
		if (strcmp(key[i].name, name) == 0)
			return (int)i;
	return -1;
}

static void number_allowed(const struct kx_conf_key *key, struct kx_text *out)
{
	bool bytes = key->type == KX_CONF_T_BYTES;

	if (key->zero != NULL)
		kx_text_add(out, "0 (%s) or ", key->zero);
	if (bytes) {
		conf_size_text(out, key->min);
		kx_text_add(out, "..");
		conf_size_text(out, key->max);
	} else {
		kx_text_add(out, "%llu..%llu", (unsigned long long)key->min, (unsigned long long)key->max);
	}
	if (key->unit[0] != '\0')
		kx_text_add(out, " %s", key->unit);
	if (key->power_of_two)
		kx_text_add(out, ", a power of two");
}

static void choices_allowed(const char *choices, struct kx_text *out)
{
	for (const char *c = choices; *c != '\0'; c++) {
		if (*c == '|')
			kx_text_add(out, ", ");
		else
			kx_text_add(out, "%c", *c);
	}
}

void kx_conf_key_allowed(const struct kx_conf_key *key, struct kx_text *out)
{
	switch (key->type) {
	case KX_CONF_T_COUNT:
	case KX_CONF_T_BYTES:
		number_allowed(key, out);
		break;
	case KX_CONF_T_SWITCH:
	case KX_CONF_T_CHOICE:
		choices_allowed(key->choices, out);
		break;
	case KX_CONF_T_NAME:
		kx_text_add(out, "1..%d of the characters A-Z a-z 0-9 _ -", KX_CONF_NAME_MAX);
		break;
	case KX_CONF_T_LCORES:
		kx_text_add(out, "%s, or up to %d lcore ids 0..%d such as 1 or 1,3-5", key->choices,
			KX_CONF_LCORES_MAX, KX_CONF_LCORE_ID_MAX);
		break;
	case KX_CONF_T_ADDRESSES:
		kx_text_add(out,
			"one or more, up to %d IPv4 and %d IPv6 unicast addresses with prefix length such as "
			"10.77.0.1/24, fd77::1/64",
			KX_CONF_ADDRS_MAX, KX_CONF_ADDRS_MAX);
		break;
	case KX_CONF_T_IP4:
		kx_text_add(out, "none, or an IPv4 unicast address such as 10.77.0.254");
		break;
	case KX_CONF_T_PATH:
		kx_text_add(out, "none, or a file's path of up to %d bytes", KX_CONF_VALUE_MAX);
		break;
	case KX_CONF_T_PATTERNS:
		kx_text_add(out,
			"none, or a list of name, prefix* or *, each with ! in front to deny, such as "
			"orders, app.*, !app.secret*");
		break;
	case KX_CONF_T_IP6:
		kx_text_add(out, "none, or an IPv6 unicast address such as fe80::1");
		break;
	}
}
