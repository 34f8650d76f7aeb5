/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

#define READ_BYTES   (256u << 10)
#define LARGE_BYTES  (20u << 20)
#define LINGER_NS    1000000
#define SENDS_TURN   2048	       /* messages between two polls of the hub */
#define INTERRUPT_NS (2 * KX_NS_PER_S) /* after a signal, for what is on its way */

static uint64_t sent_messages, confirmed_messages;
static uint64_t left_out;  /* too long */
static bool input_dropped; /* by a signal */

struct input {
	char *data;
	size_t size, begin, end; /* unread: [begin, end) */
	size_t scanned;		 /* of them, bytes known to hold no newline */
	uint64_t number;	 /* of records taken or left out */
	uint64_t discard; /* bytes of a record that is too long, still to be read; of a line: 1 until its end
			   */
	bool eof, length;
	bool too_long; /* the next record is, and its first bytes are all there is of it */
};

static struct cli cli;
static struct kx_producer *producer;

static void on_complete(void *user, const struct kx_completion *c)
{
	(void)user;
	if (c->result == KX_OK) {
		confirmed_messages += c->count;
		return;
	}
	if (cli.exit_code == EXIT_RUNNING)
		cli_error("%u messages of partition %u are not committed: %s", c->count, c->partition,
			c->code != 0 ? kx_code_text(c->code) : kx_result_text(c->result));
	/* A broker that was started again: these are counted, and what follows goes on. */
	if (c->result != KX_LOST && c->result != KX_UNKNOWN_FATE)
		cli_fail(&cli, EXIT_FAILED);
}

/* ---- standard input */

static bool input_room(struct input *in)
{
	if (in->begin > 0) {
		memmove(in->data, in->data + in->begin, in->end - in->begin);
		in->end -= in->begin;
		in->begin = 0;
	}
	if (in->size - in->end >= READ_BYTES)
		return true;
	if (in->size > 2 * (size_t)KX_MESSAGE_MAX_BYTES) {
		cli_error("a message is longer than %u bytes", KX_MESSAGE_MAX_BYTES);
		return false;
	}
	in->size = in->size * 2 + READ_BYTES;
	in->data = realloc(in->data, in->size);
	if (in->data == NULL)
		cli_error("out of memory");
	return in->data != NULL;
}

static bool input_read(struct input *in)
{
	ssize_t n;

	if (!input_room(in))
		return false;
	n = read(STDIN_FILENO, in->data + in->end, in->size - in->end);
	if (n < 0 && errno != EINTR && errno != EAGAIN) {
		cli_error("standard input: %s", kx_strerror(-errno));
		return false;
	}
	if (n == 0)
		in->eof = true;
	if (n > 0)
		in->end += (size_t)n;
	return true;
}

#define RECORD_MAX ((size_t)KX_MESSAGE_MAX_BYTES + UINT16_MAX + 1) /* a message, a key, a delimiter */

/* Pass over what is left of a record that is too long. */
static void discard(struct input *in)
{
	size_t have = in->end - in->begin, n = have;
	const char *newline;

	in->scanned = 0;
	if (in->length) {
		n = (size_t)KX_MIN((uint64_t)have, in->discard);
		in->discard -= n;
	} else {
		newline = memchr(in->data + in->begin, '\n', have);
		if (newline != NULL)
			n = (size_t)(newline + 1 - (in->data + in->begin));
		in->discard = newline == NULL && !in->eof;
	}
	in->begin += n;
}

/* The next record, without taking it. @return bytes to take with it; 0: there is none yet */
static size_t next_record(struct input *in, const char **record, size_t *bytes)
{
	size_t have = in->end - in->begin;
	const char *at = in->data + in->begin, *newline;
	uint32_t length;

	if (in->length) {
		if (have < sizeof(length))
			return 0;
		memcpy(&length, at, sizeof(length));
		if (length > RECORD_MAX) {
			*bytes = length;
			in->discard = sizeof(length) + (uint64_t)length;
			in->too_long = true;
			return 0;
		}
		*record = at + sizeof(length);
		*bytes = length;
		return have - sizeof(length) >= length ? sizeof(length) + length : 0;
	}
	*record = at;
	newline = have > in->scanned ? memchr(at + in->scanned, '\n', have - in->scanned) : NULL;
	if (newline != NULL) {
		*bytes = (size_t)(newline - at);
		return *bytes + 1;
	}
	in->scanned = have;
	*bytes = have;
	if (have > RECORD_MAX) {
		in->discard = 1;
		in->too_long = true;
		return 0;
	}
	return in->eof ? have : 0; /* a last line without its newline */
}

/* ---- */

static bool to_message(const struct cli_options *o, const char *record, size_t bytes, struct kx_message *m)
{
	const char *at;

	*m = (struct kx_message){.value = record,
		.value_bytes = (uint32_t)bytes,
		.partition = (int32_t)o->partition,
		.key = o->key,
		.key_bytes = o->key != NULL ? (uint16_t)strlen(o->key) : 0};
	if (!o->has_key_delimiter)
		return true;
	at = memchr(record, o->key_delimiter, bytes);
	if (at == NULL) {
		cli_error("a message has no key delimiter '%c'", o->key_delimiter);
		return false;
	}
	if (at - record > UINT16_MAX) {
		cli_error("a key is longer than 65535 bytes");
		return false;
	}
	m->key = at > record ? record : NULL;
	m->key_bytes = (uint16_t)(at - record);
	m->value = at + 1;
	m->value_bytes = (uint32_t)(bytes - (size_t)(at + 1 - record));
	return true;
}

/* Named, and left out when that is wanted. @return true: go on */
static bool too_long(struct input *in, const struct cli_options *o, size_t bytes)
{
	if (o->skip_too_long || cli.exit_code == EXIT_RUNNING)
		cli_error("%s %llu: a message of %s%zu bytes: %s", in->length ? "record" : "line",
			(unsigned long long)in->number + 1, in->too_long && !in->length ? "more than " : "",
			bytes, kx_result_text(KX_TOO_LARGE));
	in->number++;
	in->too_long = false;
	left_out++;
	if (!o->skip_too_long)
		cli_fail(&cli, EXIT_FAILED);
	return o->skip_too_long;
}

/* Send what is there. @return true: there was no room for the next one, or the turn is full */
static bool send_some(struct input *in, const struct cli_options *o)
{
	uint64_t now_ns = kx_clock_mono_ns();

	for (int i = 0; i < SENDS_TURN; i++) {
		struct kx_message m;
		enum kx_result r;
		const char *record;
		size_t bytes = 0, take;

		if (in->discard > 0)
			discard(in);
		take = in->discard > 0 ? 0 : next_record(in, &record, &bytes);
		if (in->too_long && !too_long(in, o, bytes))
			return false;
		if (take == 0 && in->discard > 0 && in->end > in->begin)
			continue;
		if (take == 0)
			return false;
		if (!to_message(o, record, bytes, &m)) {
			cli_fail(&cli, EXIT_FAILED);
			return false;
		}
		r = kx_producer_send(producer, &m, now_ns);
		if (r == KX_BACK_PRESSURED || r == KX_NOT_CONNECTED || r == KX_NOT_READY)
			return true;
		if (r == KX_TOO_LARGE) {
			if (!too_long(in, o, m.value_bytes))
				return false;
			in->begin += take;
			in->scanned = 0;
			continue;
		}
		if (r != KX_OK) {
			if (cli.exit_code == EXIT_RUNNING)
				cli_error("message of %zu bytes: %s", bytes, kx_result_text(r));
			cli_fail(&cli, EXIT_FAILED);
			return false;
		}
		in->begin += take;
		in->scanned = 0;
		in->number++;
		sent_messages++;
	}
	return true;
}

/* Sleep until there is input (when wanted), a datagram, or something is due. */
static void wait_for(bool input)
{
	struct pollfd p[2] = {{.fd = kx_transport_udp_fd(cli.c.transport), .events = POLLIN},
		{.fd = STDIN_FILENO, .events = POLLIN}};
	uint64_t due_ns = KX_MIN(kx_hub_next_deadline_ns(cli.c.hub), cli.give_up_ns),
		 now_ns = kx_clock_mono_ns();
	uint64_t ns = due_ns > now_ns ? KX_MIN(due_ns - now_ns, KX_NS_PER_S) : 0;
	struct timespec ts = {.tv_sec = (time_t)(ns / KX_NS_PER_S), .tv_nsec = (long)(ns % KX_NS_PER_S)};

	if (ns > 0)
		(void)ppoll(p, input ? 2 : 1, &ts, NULL);
}

static bool readable(void)
{
	struct pollfd p = {.fd = STDIN_FILENO, .events = POLLIN};

	return poll(&p, 1, 0) > 0;
}

/* A signal: what was read and not sent is given up; what is on its way has a moment. @return false: it is
 * over */
static bool interrupted(struct input *in)
{
	static uint64_t deadline_ns;
	uint64_t now_ns = kx_clock_mono_ns();

	if (deadline_ns == 0)
		deadline_ns = now_ns + INTERRUPT_NS;
	input_dropped = input_dropped || in->end > in->begin;
	in->eof = true;
	in->begin = in->end;
	if (now_ns < deadline_ns)
		return true;
	cli_error("interrupted: no time was left for what was on its way");
	cli_fail(&cli, EXIT_FAILED);
	return false;
}

/* Everything read was sent and completed: how it ends. */
static void finish(void)
{
	bool all = !input_dropped && left_out == 0 && confirmed_messages == sent_messages && cli.lost == 0;

	if (input_dropped)
		cli_error("interrupted: input that was read was not sent");
	if (left_out > 0)
		cli_error("%llu messages were too long and not sent", (unsigned long long)left_out);
	cli_fail(&cli, all ? EXIT_OK : EXIT_FAILED);
}

/* Not everything went well: how many are there, and where the input was left. */
static void sum_up(const struct input *in)
{
	const char *record = in->length ? "record" : "line";
	unsigned long long unconfirmed = sent_messages - confirmed_messages;

	if (cli.exit_code == EXIT_OK)
		return;
	cli_error("%llu %ss were confirmed, %llu not", (unsigned long long)confirmed_messages, record,
		unconfirmed);
	if (!in->eof || in->end > in->begin || input_dropped)
		cli_error("nothing from %s %llu on was sent", record, (unsigned long long)in->number + 1);
}

static void run(struct input *in, const struct cli_options *o)
{
	bool flushed = false;

	while (cli.exit_code == EXIT_RUNNING) {
		bool full = false, starved;

		cli_check_gone(&cli, kx_clock_mono_ns());
		if (cli.ready)
			full = send_some(in, o);
		if (cli_interrupted && !interrupted(in))
			break;
		starved = cli.ready && !full;
		if (starved && !in->eof && readable()) {
			if (!input_read(in))
				cli_fail(&cli, EXIT_FAILED);
			if (in->end > in->begin || in->eof)
				full = true; /* look at it before any sleep */
		}
		if (starved && in->eof && !full) {
			if (!flushed)
				kx_producer_flush(producer, kx_clock_mono_ns());
			flushed = true;
			if (in->end > in->begin) {
				if (cli.exit_code == EXIT_RUNNING)
					cli_error("standard input ends within a record");
				cli_fail(&cli, EXIT_FAILED);
			} else if (kx_producer_pending(producer) == 0) {
				finish();
			}
		}
		if (kx_hub_poll(cli.c.hub, kx_clock_mono_ns()) == 0 && !(starved && full))
			wait_for(starved && !in->eof);
	}
}

int cli_produce(const struct cli_options *o)
{
	struct kx_producer_opts opts = {.topic = o->topic,
		.linger_ns = LINGER_NS,
		.send_slots = 4096,
		.large_bytes = LARGE_BYTES,
		.partitions_max = 4096,
		.on_complete = on_complete};
	struct input in = {.length = o->format != NULL && strcmp(o->format, "length") == 0};
	enum kx_result r;

	if (!cli_connect(&cli, o))
		return cli.exit_code;
	r = kx_producer_open(cli.c.client, &opts, kx_clock_mono_ns(), &producer);
	if (r != KX_OK) {
		cli_error("topic %s: %s", o->topic, kx_result_text(r));
		cli_fail(&cli, EXIT_FAILED);
	}
	run(&in, o);
	sum_up(&in);
	cli_close(&cli);
	free(in.data);
	return cli.exit_code;
}
