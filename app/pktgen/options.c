/* SPDX-License-Identifier: BSD-3-Clause */
#include "options.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char help_text[] =
	"usage: kaelix-pktgen [EAL options] -- [options]\n"
	"\n"
	"Sends, receives and verifies on one DPDK port, in one loop on the first worker lcore; the main "
	"lcore\n"
	"sleeps. Two lcores are needed, which may share a CPU: --lcores '0@0,1@0'.\n"
	"\n"
	"What is done\n"
	"  --mode echo|produce|consume|e2e   default e2e. echo: raw UDP frames against any reflector; the "
	"others\n"
	"                             talk to a Kaelix broker\n"
	"  --seconds S                measured time, 0.1..86400, default 10\n"
	"  --warmup S|auto            before it, 0..60; auto: until the rate is steady, 0.5..3 s (default)\n"
	"  --rate N|max               messages (echo: frames) a second, open loop; suffix k or M; default "
	"max:\n"
	"                             closed loop, as fast as credit (echo: --window) allows\n"
	"  --arrivals constant|poisson|burst   of the open loop, default constant; one arrival is one send\n"
	"  --burst N                  burst: sends back to back, 1..65536, default 32\n"
	"  --verify sample|full       payload bytes of 1 batch (frame) in 64, or of all. Always: sequence of "
	"every\n"
	"                             message, CRC of every batch. Default sample\n"
	"  --late-ms N                a message slower than this counts as late, +infinity in every "
	"percentile;\n"
	"                             1..60000, default 1000\n"
	"  --drain-ms N               at the end, longest wait for what is on the way; 1..60000, default "
	"2000\n"
	"  --seed N                   of arrivals, default 1\n"
	"\n"
	"echo\n"
	"  --frame-bytes N            Ethernet frame without FCS, 60..9600, default 60\n"
	"  --window N                 with --rate max: frames on the way at most, 1..65536, default 512\n"
	"\n"
	"produce, consume, e2e\n"
	"  --broker ADDR[:PORT]       default 10.77.0.1:9000\n"
	"  --local ADDR/BITS          own address, default 10.77.0.2/24\n"
	"  --local-port N             own UDP port, 1..65535, default 20000\n"
	"  --topic NAME               default quick\n"
	"  --payload-bytes N          16..1048576, default 64\n"
	"  --batch N|fit              messages a send, 1..65535; fit: what one frame takes (default). All of "
	"a\n"
	"                             send share its intended time; more than a frame takes is split. Before "
	"the\n"
	"                             warm-up the sessions find out what the path carries, 1 s at most; what "
	"a frame\n"
	"                             takes then is used and stated. --mtu 1400 keeps the frames that all "
	"paths carry\n"
	"  --producers N              clients that send, 1..4096, default 1\n"
	"  --consumers N              clients that receive, each of them everything, 1..256, default 1\n"
	"  --streams N                stream keys, used in turn; 0: none, partitions in turn. Default 0\n"
	"  --from now|earliest|OFFSET consume: where to start, default now\n"
	"  --window-bytes N           a consumer's credit for a partition, 4096..1073741824, default "
	"1048576\n"
	"  --send-slots N             batches a producer keeps until acknowledged, 2..1048576, default the "
	"library's\n"
	"  --principal NAME           who the clients are, default anonymous\n"
	"  --key-file FILE            the principal's key\n"
	"  --setup N                  no load: N sessions one after another, 1..1000000, and N pings; prints "
	"how "
	"long\n"
	"                             HELLO to ACCEPT took\n"
	"  --frames plain|mac|aead    protection of the clients' frames, default plain\n"
	"  --broker-telemetry PREFIX  EAL file prefix of a broker on this machine: its residence time is "
	"read\n"
	"\n"
	"Port\n"
	"  --port N                   DPDK port index, default 0\n"
	"  --descs N                  descriptors of each queue, 32..32768, default the device's\n"
	"  --mtu N                    bytes of IP packet at most, 1280..9600, default 1500\n"
	"  --turn-sends N             sends a loop turn at most, 1..1024, default 32\n"
	"\n"
	"Output\n"
	"  --name NAME                of the result, default by mode and rate\n"
	"  --json FILE                result with the machine's fingerprint; appears whole, when it is done\n"
	"  --hold S                   then keep the port open, not polled, until its link is down or S "
	"seconds "
	"passed;\n"
	"                             0..600, default 0. A memif peer is to be stopped in that time\n"
	"  --ready FILE               made when the port is started: a memif peer must not connect before\n"
	"  --quiet                    no progress line every second\n"
	"  --help\n"
	"\n"
	"Exit code: 0 ran and verified; 1 lost, duplicated, reordered or corrupt messages, or a failed "
	"session;\n"
	"2 could not run (one line on stderr says why).\n";

const char *pg_options_help(void)
{
	return help_text;
}

const char *pg_mode_name(enum pg_mode mode)
{
	static const char *const names[] = {"echo", "produce", "consume", "e2e"};

	return (unsigned int)mode < KX_DIM(names) ? names[mode] : "?";
}

const char *pg_options_name(const struct pg_options *o)
{
	if (o->name != NULL)
		return o->name;
	if (o->mode != PG_E2E)
		return pg_mode_name(o->mode);
	return o->arrivals == PG_MAX ? "throughput" : "latency";
}

/* ---- values -------------------------------------------------------------------------------------------- */

struct parse {
	struct pg_options *o;
	struct kx_text *error;
	const char *option, *value;
	bool rate_given, arrivals_given, burst_given;
};

static bool bad(struct parse *p, const char *allowed)
{
	kx_text_add(p->error, "option %s: '%s' is not allowed; %s", p->option, p->value, allowed);
	return false;
}

static bool whole(struct parse *p, uint64_t min, uint64_t max, uint64_t *out)
{
	char *end, allowed[96];

	errno = 0;
	unsigned long long v = strtoull(p->value, &end, 10);
	if (p->value[0] >= '0' && p->value[0] <= '9' && *end == '\0' && errno == 0 && v >= min && v <= max) {
		*out = v;
		return true;
	}
	snprintf(allowed, sizeof(allowed), "a whole number from %llu to %llu", (unsigned long long)min,
		(unsigned long long)max);
	return bad(p, allowed);
}

static bool whole32(struct parse *p, uint32_t min, uint32_t max, uint32_t *out)
{
	uint64_t v;
	bool ok = whole(p, min, max, &v);

	if (ok)
		*out = (uint32_t)v;
	return ok;
}

static bool whole16(struct parse *p, uint32_t min, uint32_t max, uint16_t *out)
{
	uint64_t v;
	bool ok = whole(p, min, max, &v);

	if (ok)
		*out = (uint16_t)v;
	return ok;
}

static bool real(struct parse *p, double min, double max, double *out)
{
	char *end, allowed[96];
	double v = strtod(p->value, &end);

	if (end != p->value && *end == '\0' && v >= min && v <= max) {
		*out = v;
		return true;
	}
	snprintf(allowed, sizeof(allowed), "a number of seconds from %g to %g", min, max);
	return bad(p, allowed);
}

static bool one_of(struct parse *p, const char *const *names, unsigned int n, unsigned int *out)
{
	char allowed[128] = "one of";

	for (unsigned int i = 0; i < n; i++) {
		if (strcmp(p->value, names[i]) == 0) {
			*out = i;
			return true;
		}
		size_t len = strlen(allowed);

		snprintf(allowed + len, sizeof(allowed) - len, " %s", names[i]);
	}
	return bad(p, allowed);
}

/* ---- options, one function each where a number is not enough ------------------------------------------- */

static bool set_mode(struct parse *p)
{
	static const char *const names[] = {"echo", "produce", "consume", "e2e"};
	unsigned int i;

	if (!one_of(p, names, KX_DIM(names), &i))
		return false;
	p->o->mode = (enum pg_mode)i;
	return true;
}

static bool set_rate(struct parse *p)
{
	char *end;

	p->rate_given = true;
	if (strcmp(p->value, "max") == 0) {
		p->o->rate_per_s = 0;
		return true;
	}
	double v = strtod(p->value, &end);

	if (end != p->value && *end == 'k' && end[1] == '\0')
		v *= 1e3;
	else if (end != p->value && *end == 'M' && end[1] == '\0')
		v *= 1e6;
	else if (end == p->value || *end != '\0')
		v = 0;
	if (!(v >= 1) || !(v <= 1e9))
		return bad(p, "max, or 1 to 1000M a second");
	p->o->rate_per_s = v;
	return true;
}

static bool set_arrivals(struct parse *p)
{
	static const char *const names[] = {"constant", "poisson", "burst"};
	unsigned int i;

	if (!one_of(p, names, KX_DIM(names), &i))
		return false;
	p->arrivals_given = true;
	p->o->arrivals = (enum pg_arrivals)(PG_CONSTANT + i);
	return true;
}

static bool set_verify(struct parse *p)
{
	static const char *const names[] = {"sample", "full"};
	unsigned int i;

	if (!one_of(p, names, KX_DIM(names), &i))
		return false;
	p->o->verify = (enum pg_verify)i;
	return true;
}

static bool set_frames(struct parse *p)
{
	return kx_protect_parse(p->value, &p->o->frames) || bad(p, "one of plain mac aead");
}

static bool set_key_file(struct parse *p)
{
	return kx_key_load(p->value, &p->o->key, p->error) == 0;
}

static bool set_principal(struct parse *p)
{
	size_t bytes = strlen(p->value);

	if (bytes == 0 || bytes > KX_PRINCIPAL_NAME_MAX || strspn(p->value, KX_PRINCIPAL_NAME_CHARS) != bytes)
		return bad(p, "1 to 63 letters, digits, '.', '_' or '-'");
	p->o->principal = p->value;
	return true;
}

static bool set_setup(struct parse *p)
{
	return whole32(p, 1, 1000000, &p->o->setup);
}

static bool set_warmup(struct parse *p)
{
	p->o->warmup_s = -1;
	return strcmp(p->value, "auto") == 0 || real(p, 0, 60, &p->o->warmup_s);
}

static bool set_millis(struct parse *p, uint64_t *ns)
{
	uint64_t ms;

	if (!whole(p, 1, 60000, &ms))
		return false;
	*ns = ms * 1000000;
	return true;
}

static bool set_burst(struct parse *p)
{
	p->burst_given = true;
	return whole32(p, 1, 65536, &p->o->burst_ticks);
}

static bool set_batch(struct parse *p)
{
	p->o->batch = 0;
	return strcmp(p->value, "fit") == 0 || whole32(p, 1, 65535, &p->o->batch);
}

static bool set_broker(struct parse *p)
{
	return kx_addr_parse(p->value, 9000, &p->o->broker) == 0 ||
		bad(p, "an address such as 10.77.0.1:9000");
}

static bool set_local(struct parse *p)
{
	char text[64], *slash, *end;
	struct kx_addr addr;
	const char *allowed = "an address and its prefix such as 10.77.0.2/24";

	snprintf(text, sizeof(text), "%s", p->value);
	slash = strchr(text, '/');
	if (slash == NULL)
		return bad(p, allowed);
	*slash = '\0';
	unsigned long bits = strtoul(slash + 1, &end, 10);

	if (kx_addr_parse(text, 1, &addr) != 0 || end == slash + 1 || *end != '\0' ||
		bits > (kx_addr_is_v4(&addr) ? 32u : 128u))
		return bad(p, allowed);
	memcpy(p->o->local_ip, addr.ip, sizeof(p->o->local_ip));
	p->o->local_prefix_bits = (uint8_t)bits;
	return true;
}

static bool set_topic(struct parse *p)
{
	if (p->value[0] == '\0' || strlen(p->value) > KX_TOPIC_NAME_MAX)
		return bad(p, "1 to 63 bytes");
	snprintf(p->o->topic, sizeof(p->o->topic), "%s", p->value);
	return true;
}

static bool set_from(struct parse *p)
{
	if (strcmp(p->value, "now") == 0)
		p->o->start_offset = KX_OFFSET_NOW;
	else if (strcmp(p->value, "earliest") == 0)
		p->o->start_offset = KX_OFFSET_EARLIEST;
	else
		return whole(p, 0, KX_OFFSET_NOW - 1, &p->o->start_offset);
	return true;
}

static bool set_name(struct parse *p, const char **out)
{
	if (p->value[0] == '\0' || strlen(p->value) > PG_NAME_MAX)
		return bad(p, "1 to 63 bytes");
	*out = p->value;
	return true;
}

static bool set_other(struct parse *p)
{
	struct pg_options *o = p->o;
	const char *name = p->option + 2;

#define IS(text) (strcmp(name, text) == 0)
	if (IS("frame-bytes"))
		return whole32(p, 60, 9600, &o->frame_bytes);
	if (IS("window"))
		return whole32(p, 1, 65536, &o->window);
	if (IS("local-port"))
		return whole16(p, 1, 65535, &o->local_port);
	if (IS("payload-bytes"))
		return whole32(p, 16, 1u << 20, &o->payload_bytes);
	if (IS("producers"))
		return whole32(p, 1, 4096, &o->producers);
	if (IS("consumers"))
		return whole32(p, 1, 256, &o->consumers);
	if (IS("streams"))
		return whole(p, 0, UINT64_C(1) << 40, &o->streams);
	if (IS("window-bytes"))
		return whole32(p, 4096, 1u << 30, &o->window_bytes);
	if (IS("send-slots"))
		return whole32(p, 2, 1u << 20, &o->send_slots);
	if (IS("port"))
		return whole16(p, 0, 255, &o->port);
	if (IS("descs"))
		return whole16(p, 32, 32768, &o->descs);
	if (IS("mtu"))
		return whole16(p, 1280, 9600, &o->mtu);
	if (IS("turn-sends"))
		return whole32(p, 1, 1024, &o->turn_sends);
	if (IS("seed"))
		return whole(p, 0, UINT64_MAX - 1, &o->seed);
	if (IS("late-ms"))
		return set_millis(p, &o->late_ns);
	if (IS("drain-ms"))
		return set_millis(p, &o->drain_ns);
	if (IS("seconds"))
		return real(p, 0.1, 86400, &o->seconds);
	if (IS("hold"))
		return real(p, 0, 600, &o->hold_s);
	if (IS("name"))
		return set_name(p, &o->name);
	if (IS("json"))
		return p->value[0] != '\0' ? (o->json = p->value, true) : bad(p, "a file name");
	if (IS("ready"))
		return p->value[0] != '\0' ? (o->ready = p->value, true) : bad(p, "a file name");
	if (IS("broker-telemetry"))
		return set_name(p, &o->broker_telemetry);
#undef IS
	kx_text_add(p->error, "unknown option %s; --help lists what there is", p->option);
	return false;
}

static bool set_option(struct parse *p)
{
	static const struct {
		const char *name;
		bool (*set)(struct parse *);
	} table[] = {{"--mode", set_mode}, {"--rate", set_rate}, {"--arrivals", set_arrivals},
		{"--verify", set_verify}, {"--frames", set_frames}, {"--principal", set_principal},
		{"--key-file", set_key_file}, {"--setup", set_setup}, {"--warmup", set_warmup},
		{"--burst", set_burst}, {"--batch", set_batch}, {"--broker", set_broker},
		{"--local", set_local}, {"--topic", set_topic}, {"--from", set_from}};

	for (unsigned int i = 0; i < KX_DIM(table); i++)
		if (strcmp(p->option, table[i].name) == 0)
			return table[i].set(p);
	return set_other(p);
}

static void set_defaults(struct pg_options *o)
{
	*o = (struct pg_options){.mode = PG_E2E,
		.arrivals = PG_CONSTANT,
		.burst_ticks = 32,
		.seconds = 10,
		.warmup_s = -1,
		.frame_bytes = 60,
		.window = 512,
		.payload_bytes = 64,
		.producers = 1,
		.consumers = 1,
		.topic = "quick",
		.local_ip = {[10] = 0xff, [11] = 0xff, [12] = 10, [13] = 77, [15] = 2},
		.local_prefix_bits = 24,
		.local_port = 20000,
		.start_offset = KX_OFFSET_NOW,
		.window_bytes = 1u << 20,
		.late_ns = KX_NS_PER_S,
		.drain_ns = 2 * KX_NS_PER_S,
		.seed = 1,
		.mtu = 1500,
		.turn_sends = 32};
	(void)kx_addr_parse("10.77.0.1:9000", 9000, &o->broker);
}

/* What each value allows by itself may still not go together. */
static bool settle(struct parse *p)
{
	struct pg_options *o = p->o;
	struct kx_addr local = {.port = 0};

	memcpy(local.ip, o->local_ip, sizeof(local.ip));
	if (o->key.len != 0 && o->principal == NULL) {
		kx_text_add(p->error, "--key-file needs --principal, whose key it is");
		return false;
	}
	if (o->principal != NULL && strcmp(o->principal, "anonymous") != 0 && o->key.len == 0) {
		kx_text_add(p->error, "--principal %s needs --key-file with its key", o->principal);
		return false;
	}
	if (o->frames != KX_PROTECT_PLAIN && o->key.len == 0) {
		kx_text_add(p->error,
			"--frames needs --principal and --key-file: there is nothing to protect with");
		return false;
	}
	if (o->setup != 0 && o->mode != PG_E2E) {
		kx_text_add(p->error, "--setup does not go with --mode");
		return false;
	}
	if (o->rate_per_s == 0) {
		if (p->arrivals_given || p->burst_given) {
			kx_text_add(p->error,
				"--arrivals and --burst need --rate N: with --rate max there is "
				"no schedule");
			return false;
		}
		o->arrivals = PG_MAX;
	} else if (o->mode == PG_CONSUME) {
		kx_text_add(p->error, "--rate does not go with --mode consume, which sends no messages");
		return false;
	}
	if (p->burst_given && o->arrivals != PG_BURST) {
		kx_text_add(p->error, "--burst needs --arrivals burst");
		return false;
	}
	if (o->mode == PG_ECHO && o->frame_bytes > o->mtu + 14u) {
		kx_text_add(p->error, "--frame-bytes %u is more than --mtu %u + 14; raise --mtu",
			o->frame_bytes, o->mtu);
		return false;
	}
	if (o->mode != PG_ECHO && kx_addr_is_v4(&o->broker) != kx_addr_is_v4(&local)) {
		kx_text_add(p->error, "--broker and --local must both be IPv4 or both IPv6");
		return false;
	}
	return true;
}

enum pg_parsed pg_options_parse(struct pg_options *o, int argc, char *const *argv, struct kx_text *error)
{
	struct parse p = {.o = o, .error = error};

	set_defaults(o);
	for (int i = 1; i < argc; i++) {
		p.option = argv[i];
		if (strcmp(p.option, "--help") == 0 || strcmp(p.option, "-h") == 0)
			return PG_PARSE_HELP;
		if (strcmp(p.option, "--quiet") == 0) {
			o->quiet = true;
			continue;
		}
		if (strncmp(p.option, "--", 2) != 0) {
			kx_text_add(error, "'%s' is no option; --help lists what there is", p.option);
			return PG_PARSE_ERROR;
		}
		if (i + 1 == argc) {
			p.value = "";
			if (set_option(&p) || error->len == 0 || strncmp(error->buf, "unknown", 7) != 0) {
				error->len = 0;
				kx_text_add(error, "option %s needs a value", p.option);
			}
			return PG_PARSE_ERROR;
		}
		p.value = argv[++i];
		if (!set_option(&p))
			return PG_PARSE_ERROR;
	}
	return settle(&p) ? PG_PARSE_RUN : PG_PARSE_ERROR;
}
