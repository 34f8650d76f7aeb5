/* SPDX-License-Identifier: BSD-3-Clause */
/* Send each line of standard input to a topic and print what the topic delivers, in one epoll loop of the
 * program's own. Ends when standard input has ended and every line has come back.
 *
 *     epoll HOST:PORT TOPIC
 *
 * Shown: kx_hub_fd() beside other descriptors; kx_hub_arm() before each sleep. */
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <kx_transport_udp.h>

static unsigned long sent, back;
static bool failed, ready;

static void on_event(void *user, const struct kx_event *e)
{
	(void)user;
	ready = ready || e->type == KX_EVENT_CONSUMER_READY;
	if (e->type == KX_EVENT_CONNECT_FAILED || e->type == KX_EVENT_PRODUCER_FAILED ||
		e->type == KX_EVENT_CONSUMER_FAILED) {
		fprintf(stderr, "%s: %s\n", kx_event_name(e->type), kx_result_text(e->result));
		failed = true;
	}
}

static void on_batch(void *user, const struct kx_batch_view *v)
{
	struct kx_record_iter it = kx_batch_records(v);
	struct kx_record r;

	(void)user;
	for (; kx_record_next(&it, &r); back++)
		printf("%.*s\n", (int)r.value_bytes, (const char *)r.value);
}

/* What was read and not sent yet. */
static struct {
	char text[65536];
	size_t bytes;
	bool eof;
} in;

/* Send the whole lines there are, as far as there is room. @return true: more input is wanted */
static bool send_lines(struct kx_producer *p)
{
	char *end;

	while (ready && in.bytes > 0) {
		end = memchr(in.text, '\n', in.bytes);
		if (end == NULL && !in.eof) {
			if (in.bytes == sizeof(in.text)) {
				fprintf(stderr, "a line is longer than %zu bytes\n", sizeof(in.text) - 1);
				failed = true;
			}
			break;
		}
		struct kx_message m = {.value = in.text,
			.value_bytes = (uint32_t)(end != NULL ? (size_t)(end - in.text) : in.bytes),
			.partition = KX_PARTITION_AUTO};
		size_t taken = m.value_bytes + (end != NULL);
		enum kx_result r = kx_producer_send(p, &m, kx_clock_mono_ns());

		if (r == KX_BACK_PRESSURED || r == KX_NOT_CONNECTED || r == KX_NOT_READY)
			return false; /* completions make room: they come through the hub's descriptor */
		if (r != KX_OK) {
			fprintf(stderr, "line %lu: %s\n", sent + 1, kx_result_text(r));
			failed = true;
			return false;
		}
		sent++;
		in.bytes -= taken;
		memmove(in.text, in.text + taken, in.bytes);
	}
	return ready && !in.eof;
}

static void read_input(void)
{
	ssize_t n = read(STDIN_FILENO, in.text + in.bytes, sizeof(in.text) - in.bytes);

	in.eof = n <= 0;
	in.bytes += n > 0 ? (size_t)n : 0;
}

int main(int argc, char **argv)
{
	struct kx_client_opts opts = {.on_event = on_event};
	struct kx_producer_opts po = {.linger_ns = 1000000, .large_bytes = 1 << 20};
	struct kx_consumer_opts co = {
		.partition = KX_PARTITION_ALL, .start_offset = KX_OFFSET_NOW, .on_batch = on_batch};
	struct epoll_event e = {.events = EPOLLIN, .data.fd = -1}, input = {.data.fd = STDIN_FILENO};
	struct kx_udp_client c;
	struct kx_consumer *consumer;
	struct kx_producer *p;
	int loop = epoll_create1(EPOLL_CLOEXEC), hub_fd;

	if (argc != 3 || kx_addr_parse(argv[1], 9000, &opts.broker) != 0) {
		fprintf(stderr, "usage: epoll HOST:PORT TOPIC\n");
		return 2;
	}
	if (kx_client_connect_udp(&opts, &c) != 0)
		return 1;
	po.topic = co.topic = argv[2];
	if (kx_producer_open(c.client, &po, kx_clock_mono_ns(), &p) != KX_OK ||
		kx_consumer_open(c.client, &co, kx_clock_mono_ns(), &consumer) != KX_OK ||
		kx_hub_fd(c.hub, &hub_fd) != KX_OK || epoll_ctl(loop, EPOLL_CTL_ADD, hub_fd, &e) != 0 ||
		epoll_ctl(loop, EPOLL_CTL_ADD, STDIN_FILENO, &input) != 0) {
		fprintf(stderr, "cannot start; is standard input a file? give a pipe\n");
		return 1;
	}
	while (!failed && !(in.eof && in.bytes == 0 && back == sent)) {
		input.events = send_lines(p) ? EPOLLIN : 0;
		(void)epoll_ctl(loop, EPOLL_CTL_MOD, STDIN_FILENO, &input);
		if (failed || kx_hub_poll(c.hub, kx_clock_mono_ns()) != 0)
			continue;
		(void)kx_hub_arm(c.hub, kx_clock_mono_ns()); /* the last thing before the sleep */
		if (epoll_wait(loop, &e, 1, -1) == 1 && e.data.fd == STDIN_FILENO)
			read_input();
	}
	kx_udp_client_close(&c);
	close(loop);
	return failed ? 1 : 0;
}
