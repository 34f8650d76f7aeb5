/* SPDX-License-Identifier: BSD-3-Clause */
/* Send the lines of standard input to a topic and say how many are confirmed.
 *
 *     produce HOST:PORT TOPIC <file
 *
 * Shown: a connection, a producer with a callback, what to do when there is no room, waiting for
 * confirmations. */
#include <stdio.h>
#include <string.h>

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

/* One message, however long it takes until there is room for it. */
static bool send_line(struct kx_udp_client *c, struct kx_producer *p, const char *line, struct state *s)
{
	struct kx_message m = {
		.value = line, .value_bytes = (uint32_t)strlen(line), .partition = KX_PARTITION_AUTO};

	while (!s->failed) {
		enum kx_result r = kx_producer_send(p, &m, kx_clock_mono_ns());

		if (r == KX_OK)
			return true;
		if (r != KX_BACK_PRESSURED && r != KX_NOT_CONNECTED && r != KX_NOT_READY) {
			fprintf(stderr, "message: %s\n", kx_result_text(r));
			return false;
		}
		kx_udp_client_turn(c, 100000000); /* a turn, then sleep until something happens */
	}
	return false;
}

int main(int argc, char **argv)
{
	struct state s = {0};
	struct kx_client_opts opts = {.on_event = on_event, .user = &s};
	struct kx_producer_opts po = {.linger_ns = 1000000, .on_complete = on_complete, .user = &s};
	struct kx_udp_client c;
	struct kx_producer *p;
	char line[4096];
	bool ok = true;

	if (argc != 3 || kx_addr_parse(argv[1], 9000, &opts.broker) != 0) {
		fprintf(stderr, "usage: produce HOST:PORT TOPIC\n");
		return 2;
	}
	if (kx_client_connect_udp(&opts, &c) != 0)
		return 1;
	po.topic = argv[2];
	if (kx_producer_open(c.client, &po, kx_clock_mono_ns(), &p) != KX_OK)
		return 1;
	while (ok && fgets(line, sizeof(line), stdin) != NULL) {
		line[strcspn(line, "\n")] = '\0';
		ok = send_line(&c, p, line, &s);
	}
	kx_producer_flush(p, kx_clock_mono_ns());
	while (!s.failed && kx_producer_pending(p) > 0)
		kx_udp_client_turn(&c, 100000000);
	kx_udp_client_close(&c); /* what is still pending completes with KX_CLOSED */
	printf("%lu confirmed\n", s.confirmed);
	return ok && !s.failed && s.lost == 0 ? 0 : 1;
}
