/* SPDX-License-Identifier: BSD-3-Clause */
/* kaelix-cli: produce, consume, topics, ping over plain UDP sockets, and keygen. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "cli.h"

volatile sig_atomic_t cli_interrupted;

void cli_error(const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "kaelix-cli: ");
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
}

void cli_fail(struct cli *cli, enum exit_code code)
{
	if (cli->exit_code == EXIT_RUNNING)
		cli->exit_code = (int)code;
}

static const char *why(const struct kx_event *e)
{
	return e->code != 0 ? kx_code_text(e->code) : kx_result_text(e->result);
}

/* Why a session ended. A consumer has stored nothing: of its session the broker knows nothing any more. */
static const char *why_ended(const struct cli *cli, const struct kx_event *e)
{
	bool forgotten = e->result == KX_UNKNOWN_FATE || e->code == KX_CODE_UNKNOWN_FATE;

	if (e->result == KX_STOPPING)
		return kx_code_text(KX_CODE_STOPPING);
	if (forgotten && strcmp(cli->opts->command, "produce") != 0)
		return "the broker has ended it, as one that was idle too long, or knows it no more";
	return why(e);
}

/* For --producer-id of the next run. */
static void say_producer(const struct cli *cli)
{
	uint64_t asked = cli->opts->producer_id;
	struct kx_client_info info;

	kx_client_info(cli->c.client, &info);
	if (asked != 0 && !info.taken_over)
		cli_error("the broker does not know producer %llu any more; a new one it is",
			(unsigned long long)asked);
	cli_error("producer %llu, epoch %u", (unsigned long long)info.producer_id, info.producer_epoch);
}

/* Why the broker grants nothing. */
static const char *blocked_text(uint32_t cause)
{
	static const char *const texts[] = {"no cause",
		"a full log with overrun = block waits for its consumers", "no buffers", "quota",
		"write-ahead log", "disk"};

	return cause < KX_DIM(texts) ? texts[cause] : "unknown cause";
}

/* produce and consume outlast a broker that is started again; a question does not. */
static bool outlasts(const struct cli *cli)
{
	return strcmp(cli->opts->command, "produce") == 0 || strcmp(cli->opts->command, "consume") == 0;
}

static void connected(struct cli *cli)
{
	if (cli->connected)
		cli_error("connected to %s again", cli->opts->broker_text);
	cli->connected = true;
	cli->give_up_ns = UINT64_MAX;
}

static void disconnected(struct cli *cli, const struct kx_event *e)
{
	const struct cli_options *o = cli->opts;

	if (cli->exit_code != EXIT_RUNNING)
		return;
	if (!outlasts(cli)) {
		cli_error("session with %s ended: %s", o->broker_text, why_ended(cli, e));
		cli_fail(cli, EXIT_FAILED);
		return;
	}
	cli_error("session with %s ended: %s; connecting again, for %.10g s at most", o->broker_text,
		why_ended(cli, e), (double)o->gone_ns / 1e9);
	cli->give_up_ns = kx_clock_mono_ns() + o->gone_ns;
	if (strcmp(o->command, "consume") == 0)
		cli->ready = false; /* silence is no idleness now */
}

static void cannot_connect(struct cli *cli, const char *text, uint32_t code)
{
	const struct cli_options *o = cli->opts;

	if (o->producer_id != 0 && code == KX_CODE_DENIED)
		cli_error("cannot connect to %s: %s: --producer-id %llu may be another principal's",
			o->broker_text, text, (unsigned long long)o->producer_id);
	else
		cli_error("cannot connect to %s: %s", o->broker_text, text);
	cli_fail(cli, EXIT_CONNECT);
}

static void connect_failed(struct cli *cli, const struct kx_event *e)
{
	const struct cli_options *o = cli->opts;

	if (cli->exit_code != EXIT_RUNNING)
		return;
	/* not there, or not for long: the time for waiting decides */
	if (outlasts(cli) && cli->connected && (e->result == KX_TIMED_OUT || e->result == KX_STOPPING))
		return;
	if (outlasts(cli) && e->result == KX_STOPPING) {
		cli_error("%s: %s; waiting, for %.10g s at most", o->broker_text, why(e),
			(double)o->timeout_ns / 1e9);
		cli->give_up_ns = kx_clock_mono_ns() + o->timeout_ns;
		return;
	}
	cannot_connect(cli, why(e), e->code);
}

void cli_check_gone(struct cli *cli, uint64_t now_ns)
{
	struct kx_client_info info;

	if (now_ns < cli->give_up_ns || cli->exit_code != EXIT_RUNNING)
		return;
	kx_client_info(cli->c.client, &info);
	if (info.refused != KX_OK && info.refused != KX_STOPPING) { /* it is there, and says no */
		cannot_connect(cli,
			info.refused_code != 0 ? kx_code_text(info.refused_code)
					       : kx_result_text((enum kx_result)info.refused),
			info.refused_code);
		return;
	}
	cli_error("%s has not come back; given up", cli->opts->broker_text);
	cli_fail(cli, EXIT_CONNECT);
}

static void truncated(const struct cli *cli, const struct kx_event *e)
{
	unsigned long long end = e->first;

	if (cli->began)
		cli_error("partition %u: cut back to offset %llu", e->partition, end);
	else
		cli_error("partition %u ends at offset %llu, before --from %llu: shown is what comes from "
			  "now on",
			e->partition, end, (unsigned long long)cli->opts->from);
}

static void lost(struct cli *cli, const struct kx_event *e)
{
	cli_error("partition %u: the broker was started again and has lost %u messages that it had "
		  "confirmed, of "
		  "offsets %llu to %llu",
		e->partition, e->count, (unsigned long long)e->first, (unsigned long long)e->last);
	cli->lost += e->count;
}

/* Its producer id is another's: what it would send under a new one could come twice, or in another order. */
static void fenced(struct cli *cli)
{
	struct kx_client_info info;

	if (strcmp(cli->opts->command, "produce") != 0)
		return;
	kx_client_info(cli->c.client, &info);
	cli_error("another client has taken this producer id over (%llu); stopped",
		(unsigned long long)info.producer_id);
	cli_fail(cli, EXIT_FAILED);
}

static void on_event(void *user, const struct kx_event *e)
{
	struct cli *cli = user;
	const struct cli_options *o = cli->opts;

	switch (e->type) {
	case KX_EVENT_CONNECTED:
		connected(cli);
		break;
	case KX_EVENT_CONNECT_FAILED:
		connect_failed(cli, e);
		break;
	case KX_EVENT_DISCONNECTED:
		disconnected(cli, e);
		break;
	case KX_EVENT_FENCED:
		fenced(cli);
		break;
	case KX_EVENT_LOST:
		lost(cli, e);
		break;
	case KX_EVENT_PRODUCER_FAILED:
	case KX_EVENT_CONSUMER_FAILED:
		cli_error("topic %s: %s", o->topic, why(e));
		cli_fail(cli, EXIT_FAILED);
		break;
	case KX_EVENT_PRODUCER_READY:
		if (o->says_producer)
			say_producer(cli);
		if (o->partition >= (int64_t)e->count) {
			cli_error("topic %s has no partition %lld, only 0 to %u", o->topic,
				(long long)o->partition, e->count - 1);
			cli_fail(cli, EXIT_FAILED);
		}
		cli->ready = cli->began = true;
		break;
	case KX_EVENT_CONSUMER_READY:
		cli->ready = cli->began = true;
		break;
	case KX_EVENT_CONSUMER_WAITING:
		cli_error("topic %s, partition %u: %s; asking again", o->topic, e->partition, why(e));
		break;
	case KX_EVENT_OFFSET_TRIMMED:
		cli_error("partition %u: offsets %llu to %llu are no longer there", e->partition,
			(unsigned long long)e->first, (unsigned long long)e->last);
		break;
	case KX_EVENT_OFFSET_TRUNCATED:
		truncated(cli, e);
		break;
	case KX_EVENT_THROTTLED:
		cli_error("waiting: the broker takes no more now (%s)", blocked_text(e->code));
		break;
	case KX_EVENT_RESUMED:
		cli_error("going on after %.1f s (%s)", (double)e->first / 1e9, blocked_text(e->code));
		break;
	default:
		break;
	}
}

bool cli_connect(struct cli *cli, const struct cli_options *o)
{
	struct kx_client_opts opts = {.broker = o->broker,
		.protect = o->frames,
		.principal = o->principal,
		.connect_timeout_ns = o->timeout_ns,
		.producer_id = o->producer_id,
		.channels_max = KX_LCORES_MAX,
		.subscriptions_max = 4096,
		.on_event = on_event,
		.user = cli};
	int rc;

	if (o->principal_key.len != 0) {
		opts.key = o->principal_key.bytes;
		opts.key_bytes = o->principal_key.len;
	}
	*cli = (struct cli){.opts = o, .exit_code = EXIT_RUNNING, .give_up_ns = UINT64_MAX};
	rc = kx_client_connect_udp(&opts, &cli->c);
	if (rc == 0)
		return true;
	cli_error("cannot open a socket for %s: %s", o->broker_text, kx_strerror(rc));
	cli->exit_code = EXIT_CONNECT;
	return false;
}

bool cli_wait_connected(struct cli *cli)
{
	while (cli->exit_code == EXIT_RUNNING && !kx_client_connected(cli->c.client)) {
		kx_udp_client_turn(&cli->c, 100000000);
		if (cli_interrupted)
			cli->exit_code = EXIT_FAILED;
	}
	return cli->exit_code == EXIT_RUNNING;
}

void cli_close(struct cli *cli)
{
	kx_udp_client_close(&cli->c);
}

static void interrupt(int signal)
{
	(void)signal;
	cli_interrupted = 1;
}

static int keygen(const char *file)
{
	char text[512];
	struct kx_text why;

	kx_text_init(&why, text, sizeof(text));
	if (kx_key_create(file, &why) == 0)
		return EXIT_OK;
	cli_error("%s", text);
	return EXIT_FAILED;
}

/* --help, --version: was it written? */
static int said(bool no_output)
{
	int err = no_output ? EBADF : 0;

	errno = 0;
	if (err == 0 && (fflush(stdout) != 0 || ferror(stdout) != 0))
		err = errno != 0 ? errno : EIO;
	if (err == 0)
		return EXIT_OK;
	cli_error("standard output: %s", kx_strerror(-err));
	return EXIT_FAILED;
}

/* What the command reads or writes is not there: /dev/null in its place would pass for success. */
static bool closed(const struct cli_options *o, bool no_input, bool no_output)
{
	bool produce = strcmp(o->command, "produce") == 0;

	if (o->file != NULL || !(produce ? no_input : no_output))
		return false;
	cli_error("standard %s is closed", produce ? "input" : "output");
	return true;
}

int main(int argc, char **argv)
{
	struct sigaction action = {.sa_handler = interrupt, .sa_flags = (int)SA_RESETHAND};
	struct cli_options o;
	bool no_input = fcntl(STDIN_FILENO, F_GETFD) < 0, no_output = fcntl(STDOUT_FILENO, F_GETFD) < 0;
	int code = kx_stdio_open() != 0 ? EXIT_FAILED : cli_parse(argc, argv, &o);

	if (code == EXIT_OK)
		return said(no_output);
	if (code != EXIT_RUNNING)
		return code;
	if (closed(&o, no_input, no_output))
		return EXIT_FAILED;
	if (o.file != NULL)
		return keygen(o.file);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	signal(SIGPIPE, SIG_IGN);
	if (strcmp(o.command, "produce") == 0)
		return cli_produce(&o);
	if (strcmp(o.command, "consume") == 0)
		return cli_consume(&o);
	return strcmp(o.command, "topics") == 0 ? cli_topics(&o) : cli_ping(&o);
}
