/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <getopt.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

#define PORT_DEFAULT 9000

static const char usage[] =
	"Usage: kaelix-cli COMMAND [options]\n"
	"\n"
	"Commands\n"
	"  produce   send the lines of standard input as messages; prints errors only\n"
	"  consume   print messages\n"
	"  topics    list the broker's topics, or with --topic the partitions of one\n"
	"  ping      round trip to each data lcore of the broker\n"
	"  keygen FILE   make a key file for a principal; an existing file is not touched\n"
	"\n"
	"All commands\n"
	"  -b, --broker HOST[:PORT]  broker (127.0.0.1:9000)\n"
	"      --frames KIND         plain, mac (frames that nobody can forge) or aead (encrypted too); the "
	"broker may\n"
	"                            demand more (plain)\n"
	"      --principal NAME      who to connect as (anonymous)\n"
	"      --key-file FILE       file with the principal's key\n"
	"      --timeout MS          give up connecting, or waiting for an answer, after this (5000); "
	"produce and "
	"consume\n"
	"                            also waiting for a broker that was there and went away (60000)\n"
	"  -h, --help   -V, --version\n"
	"\n"
	"produce\n"
	"  -t, --topic NAME          topic\n"
	"  -p, --partition N         partition; otherwise by key, without a key in turn, batch by batch\n"
	"  -k, --key KEY             key of every message\n"
	"  -K, --key-delimiter C     each line is KEY C VALUE\n"
	"  -f, --format line|length  lines, or records of a 32-bit little-endian length and that many bytes "
	"(line)\n"
	"      --too-long stop|skip  a message larger than the topic takes is named by its line: end there, "
	"or leave "
	"it out and\n"
	"                            go on; the exit code is 1 in both cases (stop)\n"
	"      --producer-id N       go on as producer N, whose older process is shut out; 0: a new one. "
	"Says which it "
	"is\n"
	"\n"
	"consume\n"
	"  -t, --topic NAME          topic\n"
	"  -p, --partition N         one partition (all)\n"
	"  -o, --from 0|now|OFFSET   where to begin; what was trimmed is skipped, a partition that ends "
	"before "
	"OFFSET is\n"
	"                            named and begins at its end (0)\n"
	"  -c, --count N             exit after N messages\n"
	"  -f, --format FORMAT       value: value and newline (default); json: an object a line; length: as "
	"in produce;\n"
	"                            else a text with one or more of %s value, %k key, %o offset, %p "
	"partition, "
	"%t topic,\n"
	"                            %T timestamp, %A append time (ns), %S size; and %%, \\n, \\t, \\\\\n"
	"      --idle-exit MS        exit when no message came for this long\n"
	"\n"
	"topics\n"
	"  -t, --topic NAME          show its partitions\n"
	"      --json                as JSON\n"
	"\n"
	"ping\n"
	"  -c, --count N             pings a data lcore (10); of fewer than 100 there is no p99\n"
	"      --interval MS         between pings (10)\n"
	"      --json                as JSON\n"
	"\n"
	"A broker that stops, or is started again: produce and consume say so on standard error, connect "
	"again by "
	"themselves\n"
	"and go on where they were. What the broker has lost by then is said: produce ends with 1 at the end "
	"of its "
	"input,\n"
	"consume goes on with the new log.\n"
	"\n"
	"Exit codes: 0 done (produce: every message is committed), 1 failed in operation (produce: says how "
	"many were\n"
	"confirmed and how many not), 2 wrong usage, 3 no session: the broker refuses this client or its "
	"key, "
	"is not there,\n"
	"or did not come back in time, 4 consume: --idle-exit came before --count messages.\n";

enum {
	OPT_TIMEOUT = 256,
	OPT_IDLE_EXIT,
	OPT_JSON,
	OPT_INTERVAL,
	OPT_FRAMES,
	OPT_PRINCIPAL,
	OPT_KEY_FILE,
	OPT_TOO_LONG,
	OPT_PRODUCER_ID
};
enum { PRODUCE = 1, CONSUME = 2, TOPICS = 4, PING = 8, KEYGEN = 16, NETWORK = 15 };

static const struct {
	const char *name;
	unsigned int bit;
} commands[] = {
	{"produce", PRODUCE}, {"consume", CONSUME}, {"topics", TOPICS}, {"ping", PING}, {"keygen", KEYGEN}};

static const struct option long_options[] = {
	{"broker", required_argument, NULL, 'b'},
	{"timeout", required_argument, NULL, OPT_TIMEOUT},
	{"frames", required_argument, NULL, OPT_FRAMES},
	{"principal", required_argument, NULL, OPT_PRINCIPAL},
	{"key-file", required_argument, NULL, OPT_KEY_FILE},
	{"help", no_argument, NULL, 'h'},
	{"version", no_argument, NULL, 'V'},
	{"topic", required_argument, NULL, 't'},
	{"partition", required_argument, NULL, 'p'},
	{"key", required_argument, NULL, 'k'},
	{"key-delimiter", required_argument, NULL, 'K'},
	{"format", required_argument, NULL, 'f'},
	{"producer-id", required_argument, NULL, OPT_PRODUCER_ID},
	{"from", required_argument, NULL, 'o'},
	{"count", required_argument, NULL, 'c'},
	{"idle-exit", required_argument, NULL, OPT_IDLE_EXIT},
	{"json", no_argument, NULL, OPT_JSON},
	{"interval", required_argument, NULL, OPT_INTERVAL},
	{"too-long", required_argument, NULL, OPT_TOO_LONG},
	{NULL, 0, NULL, 0},
};

/* Whose option it is. */
static unsigned int takers(int c)
{
	switch (c) {
	case 't':
		return PRODUCE | CONSUME | TOPICS;
	case 'p':
	case 'f':
		return PRODUCE | CONSUME;
	case 'k':
	case 'K':
	case OPT_TOO_LONG:
	case OPT_PRODUCER_ID:
		return PRODUCE;
	case 'o':
	case OPT_IDLE_EXIT:
		return CONSUME;
	case 'c':
		return CONSUME | PING;
	case OPT_JSON:
		return TOPICS | PING;
	case OPT_INTERVAL:
		return PING;
	default:
		return NETWORK;
	}
}

static unsigned int command_bit(const char *name)
{
	for (size_t i = 0; i < KX_DIM(commands); i++)
		if (strcmp(commands[i].name, name) == 0)
			return commands[i].bit;
	return 0;
}

/* Every option once (but --broker), and only what the command has a use for: what contradicts is refused, not
 * ignored. */
static bool given_ok(const char *command, const unsigned int *given)
{
	unsigned int bit = command_bit(command);

	for (const struct option *l = long_options; bit != 0 && l->name != NULL; l++) {
		unsigned int times = given[l - long_options];

		if (times > 1 && l->val != 'b') { /* a wrapper's, and another one */
			cli_error("--%s is given %u times", l->name, times);
			return false;
		}
		if (times > 0 && (takers(l->val) & bit) == 0) {
			cli_error("--%s is no option of %s", l->name, command);
			return false;
		}
	}
	return true;
}

static bool number(const char *name, const char *text, uint64_t min, uint64_t max, uint64_t *out)
{
	char *end;

	errno = 0;
	*out = strtoull(text, &end, 10);
	if (text[0] >= '0' && text[0] <= '9' && *end == '\0' && errno == 0 && *out >= min && *out <= max)
		return true;
	cli_error("%s %s: a whole number from %llu to %llu is needed", name, text, (unsigned long long)min,
		(unsigned long long)max);
	return false;
}

static bool milliseconds(const char *name, const char *text, uint64_t min, uint64_t *ns)
{
	if (!number(name, text, min, 86400000, ns))
		return false;
	*ns *= 1000000;
	return true;
}

static bool from_offset(const char *text, uint64_t *from)
{
	if (strcmp(text, "now") == 0) {
		*from = KX_OFFSET_NOW;
		return true;
	}
	if (text[0] < '0' || text[0] > '9') {
		cli_error("--from %s: now, or an offset from 0 on, is needed", text);
		return false;
	}
	if (!number("--from", text, 0, UINT64_C(1) << 62, from))
		return false;
	if (*from == 0)
		*from = KX_OFFSET_EARLIEST;
	return true;
}

static bool no_address(const char *text)
{
	cli_error("--broker %s: not an address, and no host of this name", text);
	return false;
}

/* An address, or a host name: the resolver's first UDP address. */
static bool resolve(const char *text, struct kx_addr *out)
{
	const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_DGRAM};
	struct addrinfo *found = NULL;
	char host[256];
	const char *colon = strrchr(text, ':');
	size_t bytes = colon != NULL ? (size_t)(colon - text) : strlen(text);
	uint64_t port = PORT_DEFAULT;

	if (kx_addr_parse(text, PORT_DEFAULT, out) == 0 && out->port != 0)
		return true;
	if (bytes == 0 || bytes >= sizeof(host))
		return no_address(text);
	if (colon != NULL && !number("--broker port", colon + 1, 1, 65535, &port))
		return false;
	memcpy(host, text, bytes);
	host[bytes] = '\0';
	if (getaddrinfo(host, NULL, &hints, &found) != 0 || found == NULL)
		return no_address(text);
	*out = (struct kx_addr){.port = (uint16_t)port};
	if (found->ai_family == AF_INET) {
		out->ip[10] = out->ip[11] = 0xff;
		memcpy(out->ip + 12, &((const struct sockaddr_in *)(const void *)found->ai_addr)->sin_addr,
			4);
	} else {
		memcpy(out->ip, &((const struct sockaddr_in6 *)(const void *)found->ai_addr)->sin6_addr, 16);
	}
	freeaddrinfo(found);
	return true;
}

static bool key_file(const char *path, struct kx_key *key)
{
	char text[512];
	struct kx_text why;

	kx_text_init(&why, text, sizeof(text));
	if (kx_key_load(path, key, &why) == 0)
		return true;
	cli_error("--key-file: %s", text);
	return false;
}

/* As the ini has them. */
static bool principal_ok(const char *name)
{
	size_t bytes = strlen(name);

	if (bytes > 0 && bytes <= KX_PRINCIPAL_NAME_MAX && strspn(name, KX_PRINCIPAL_NAME_CHARS) == bytes)
		return true;
	cli_error("--principal '%s': 1 to %d letters, digits, '.', '_' or '-' are needed", name,
		KX_PRINCIPAL_NAME_MAX);
	return false;
}

static bool option(struct cli_options *o, int c, const char *arg)
{
	uint64_t n;

	switch (c) {
	case 'b':
		o->broker_text = arg;
		return true;
	case OPT_TIMEOUT:
		if (!milliseconds("--timeout", arg, 1, &o->timeout_ns))
			return false;
		o->gone_ns = o->timeout_ns;
		return true;
	case OPT_FRAMES:
		if (kx_protect_parse(arg, &o->frames))
			return true;
		cli_error("--frames %s: plain, mac or aead is needed", arg);
		return false;
	case OPT_PRINCIPAL:
		o->principal = arg;
		return principal_ok(arg);
	case OPT_KEY_FILE:
		return key_file(arg, &o->principal_key);
	case 't':
		if (arg[0] == '\0' || strlen(arg) > KX_TOPIC_NAME_MAX) {
			cli_error("--topic: 1 to %d bytes are needed", KX_TOPIC_NAME_MAX);
			return false;
		}
		o->topic = arg;
		return true;
	case 'p':
		if (!number("--partition", arg, 0, 65535, &n))
			return false;
		o->partition = (int64_t)n;
		return true;
	case 'k':
		if (arg[0] == '\0' || strlen(arg) > UINT16_MAX) {
			cli_error("--key: 1 to 65535 bytes are needed");
			return false;
		}
		o->key = arg;
		return true;
	case 'K':
		if (strlen(arg) != 1) {
			cli_error("--key-delimiter %s: one byte is needed", arg);
			return false;
		}
		o->key_delimiter = arg[0];
		o->has_key_delimiter = true;
		return true;
	case 'f':
		o->format = arg;
		return true;
	case 'o':
		return from_offset(arg, &o->from);
	case 'c':
		return number("--count", arg, 1, UINT64_MAX / 2, &o->count);
	case OPT_PRODUCER_ID:
		o->says_producer = true;
		return number("--producer-id", arg, 0, UINT64_MAX / 2, &o->producer_id);
	case OPT_IDLE_EXIT:
		return milliseconds("--idle-exit", arg, 1, &o->idle_exit_ns);
	case OPT_INTERVAL:
		return milliseconds("--interval", arg, 0, &o->interval_ns);
	case OPT_JSON:
		o->json = true;
		return true;
	case OPT_TOO_LONG:
		o->skip_too_long = strcmp(arg, "skip") == 0;
		if (!o->skip_too_long && strcmp(arg, "stop") != 0) {
			cli_error("--too-long %s: stop or skip", arg);
			return false;
		}
		return true;
	default:
		return false; /* getopt has said why */
	}
}

#define FIELDS "skoptTAS"

/* One of the names, or a text with a field: what consume would print for a misspelt name is refused. */
static bool print_format_ok(const char *format)
{
	bool ok =
		strcmp(format, "value") == 0 || strcmp(format, "json") == 0 || strcmp(format, "length") == 0;
	const char *f = ok ? "" : format;

	for (; *f != '\0'; f++) {
		if (*f == '\\' && f[1] != '\0')
			f++;
		if (*f != '%')
			continue;
		f++;
		if (*f == '\0' || strchr(FIELDS "%", *f) == NULL) {
			ok = false;
			break;
		}
		ok = ok || *f != '%';
	}
	if (!ok)
		cli_error("--format %s: value, json, length, or a text with one or more of %%s %%k %%o %%p "
			  "%%t %%T "
			  "%%A %%S (and %%%% for a %%)",
			format[0] != '\0' ? format : "''");
	return ok;
}

static bool command_ok(struct cli_options *o)
{
	bool produce = strcmp(o->command, "produce") == 0, consume = strcmp(o->command, "consume") == 0;

	if (o->principal_key.len != 0 && o->principal == NULL) {
		cli_error("--key-file needs --principal, whose key it is");
		return false;
	}
	if (o->principal != NULL && strcmp(o->principal, "anonymous") != 0 && o->principal_key.len == 0) {
		cli_error("--principal %s needs --key-file with its key", o->principal);
		return false;
	}
	if (o->frames != KX_PROTECT_PLAIN && o->principal_key.len == 0) {
		cli_error("--frames needs --principal and --key-file: there is nothing to protect with");
		return false;
	}
	if (o->file != NULL)
		return true;
	if (!produce && !consume && strcmp(o->command, "topics") != 0 && strcmp(o->command, "ping") != 0) {
		cli_error("unknown command %s; produce, consume, topics, ping or keygen", o->command);
		return false;
	}
	if ((produce || consume) && o->topic == NULL) {
		cli_error("%s needs --topic", o->command);
		return false;
	}
	if (o->key != NULL && o->has_key_delimiter) {
		cli_error("--key and --key-delimiter exclude each other");
		return false;
	}
	if (produce && o->format != NULL && strcmp(o->format, "line") != 0 &&
		strcmp(o->format, "length") != 0) {
		cli_error("--format %s: produce reads line or length", o->format);
		return false;
	}
	return !consume || o->format == NULL || print_format_ok(o->format);
}

int cli_parse(int argc, char **argv, struct cli_options *o)
{
	unsigned int given[KX_DIM(long_options)] = {0};
	int c;

	*o = (struct cli_options){.broker_text = "127.0.0.1",
		.partition = -1,
		.from = KX_OFFSET_EARLIEST,
		.timeout_ns = 5 * KX_NS_PER_S,
		.gone_ns = 60 * KX_NS_PER_S,
		.interval_ns = 10000000};
	while ((c = getopt_long(argc, argv, "b:hVt:p:k:K:f:o:c:", long_options, NULL)) != -1) {
		if (c == 'h') {
			fputs(usage, stdout);
			return EXIT_OK;
		}
		if (c == 'V') {
			puts("kaelix-cli " KX_APP_VERSION);
			return EXIT_OK;
		}
		if (!option(o, c, optarg))
			return EXIT_USAGE;
		for (size_t i = 0; long_options[i].name != NULL; i++)
			given[i] += long_options[i].val == c;
	}
	if (optind + 2 == argc && strcmp(argv[optind], "keygen") == 0)
		o->file = argv[optind + 1];
	else if (optind + 1 == argc && strcmp(argv[optind], "keygen") == 0) {
		cli_error("keygen needs the name of the file to make");
		return EXIT_USAGE;
	} else if (optind + 1 != argc) {
		cli_error("%s; see kaelix-cli --help",
			optind == argc ? "a command is needed" : "one command is needed");
		return EXIT_USAGE;
	}
	o->command = argv[optind];
	if (!given_ok(o->command, given) || !command_ok(o))
		return EXIT_USAGE;
	return resolve(o->broker_text, &o->broker) ? EXIT_RUNNING : EXIT_USAGE;
}
