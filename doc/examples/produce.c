/* SPDX-License-Identifier: BSD-3-Clause */
/* Send the lines of standard input to a topic and say how many are confirmed.
 *
 *     produce HOST:PORT TOPIC <file
 *
 * Shown: a connection, a producer with a callback, one sleep for input and network so that a line leaves
 * after linger_ns whether or not another one follows, what to do when there is no room, waiting for
 * confirmations. */
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <kx_transport_udp.h>

struct state {
	unsigned long confirmed, lost;
	bool failed;
};

/* A batch has left the send buffer. Only KX_OK means that the broker has it. */
static void on_complete(void *user, const struct kx_completion *c)
{
	struct state *s = user;

	if (c->result == KX_OK) {
		s->confirmed += c->count;
		return;
	}
	fprintf(stderr, "%u messages: %s\n", c->count, kx_result_text(c->result));
	s->lost += c->count;
}

static void on_event(void *user, const struct kx_event *e)
{
	struct state *s = user;

	/* with reconnect (the default) set-up goes on after a time-out; this program does not wait that long
	 */
	if (e->type != KX_EVENT_CONNECT_FAILED && e->type != KX_EVENT_PRODUCER_FAILED)
		return;
	fprintf(stderr, "%s: %s\n", kx_event_name(e->type),
		e->code != 0 ? kx_code_text(e->code) : kx_result_text(e->result));
	s->failed = true;
}

/* What was read and not sent yet. */
static struct {
	char text[1 << 20]; /* the longest line, with its end */
	size_t bytes;
	unsigned long line; /* number of its first line, from 0 */
	bool eof;
} in;

/* Read no more than there is, so that what has been read leaves before more of it comes. */
static void read_input(struct state *s)
{
	ssize_t n = read(STDIN_FILENO, in.text + in.bytes, sizeof(in.text) - in.bytes);

	if (n < 0)
		perror("standard input");
	s->failed = s->failed || n < 0;
	in.eof = n == 0;
	in.bytes += n > 0 ? (size_t)n : 0;
}

/* Send the whole lines there are, as far as there is room. @return true: more input is wanted */
static bool send_lines(struct kx_producer *p, struct state *s)
{
	enum kx_result r = KX_OK;
	size_t begin = 0;

	while (begin < in.bytes) {
		const char *line = in.text + begin, *end = memchr(line, '\n', in.bytes - begin);
		struct kx_message m = {.value = line,
			.value_bytes = (uint32_t)(end != NULL ? (size_t)(end - line) : in.bytes - begin),
			.partition = KX_PARTITION_AUTO};

		if (end == NULL && !in.eof)
			break;
		r = kx_producer_send(p, &m, kx_clock_mono_ns());
		if (r != KX_OK)
			break;
		in.line++;
		begin += m.value_bytes + (end != NULL);
	}
	in.bytes -= begin;
	memmove(in.text, in.text + begin, in.bytes);
	if (r == KX_BACK_PRESSURED || r == KX_NOT_CONNECTED || r == KX_NOT_READY)
		return false; /* what makes room comes through the hub's descriptor */
	if (r == KX_OK && in.bytes == sizeof(in.text))
		r = KX_TOO_LARGE;
	if (r != KX_OK) {
		fprintf(stderr, "line %lu: %s\n", in.line + 1, kx_result_text(r));
		s->failed = true;
	}
	return !in.eof;
}

/* Until the input has ended and everything is confirmed: one sleep for both descriptors. */
static void run(struct kx_udp_client *c, struct kx_producer *p, struct state *s)
{
	struct pollfd fds[2] = {{.events = POLLIN}, {.fd = STDIN_FILENO, .events = POLLIN}};

	if (kx_hub_fd(c->hub, &fds[0].fd) != KX_OK)
		s->failed = true;
	while (!s->failed) {
		bool wanted = send_lines(p, s);

		if (in.eof && in.bytes == 0) {
			kx_producer_flush(p, kx_clock_mono_ns());
			if (kx_producer_pending(p) == 0)
				break;
		}
		if (s->failed || kx_hub_poll(c->hub, kx_clock_mono_ns()) != 0)
			continue;
		(void)kx_hub_arm(c->hub, kx_clock_mono_ns()); /* the last thing before the sleep */
		fds[1].revents = 0;
		if (poll(fds, wanted ? 2 : 1, -1) > 0 && fds[1].revents != 0)
			read_input(s);
	}
}

int main(int argc, char **argv)
{
	struct state s = {0};
	struct kx_client_opts opts = {.on_event = on_event, .user = &s};
	struct kx_producer_opts po = {
		.linger_ns = 1000000, .large_bytes = 4 << 20, .on_complete = on_complete, .user = &s};
	struct kx_udp_client c;
	struct kx_producer *p;

	if (argc != 3 || kx_addr_parse(argv[1], 9000, &opts.broker) != 0) {
		fprintf(stderr, "usage: produce HOST:PORT TOPIC\n");
		return 2;
	}
	if (kx_client_connect_udp(&opts, &c) != 0)
		return 1;
	po.topic = argv[2];
	if (kx_producer_open(c.client, &po, kx_clock_mono_ns(), &p) != KX_OK)
		return 1;
	run(&c, p, &s);
	kx_udp_client_close(&c); /* what is still pending completes with KX_CLOSED */
	printf("%lu confirmed\n", s.confirmed);
	return !s.failed && s.lost == 0 ? 0 : 1;
}
