/* SPDX-License-Identifier: BSD-3-Clause */
/* Print the first COUNT messages of a topic, from its beginning.
 *
 *     consume HOST:PORT TOPIC COUNT
 *
 * Shown: a polled consumer, acknowledgement by the program, sleeping without CPU. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <kx_transport_udp.h>

static bool failed;

static void on_event(void *user, const struct kx_event *e)
{
	(void)user;
	switch (e->type) {
	case KX_EVENT_OFFSET_TRIMMED:
		fprintf(stderr, "partition %u: offsets %" PRIu64 " to %" PRIu64 " are gone\n", e->partition,
			e->first, e->last);
		break;
	case KX_EVENT_CONNECT_FAILED:
	case KX_EVENT_CONSUMER_FAILED:
		fprintf(stderr, "%s: %s\n", kx_event_name(e->type),
			e->code != 0 ? kx_code_text(e->code) : kx_result_text(e->result));
		failed = true;
		break;
	default:
		break;
	}
}

/* All that is there. @return how many */
static unsigned long take(struct kx_consumer *consumer, unsigned long max)
{
	unsigned long n = 0;
	struct kx_polled m;

	for (; n < max && kx_consumer_poll(consumer, kx_clock_mono_ns(), &m) == KX_OK; n++) {
		printf("%u %" PRIu64 " %.*s\n", m.partition, m.offset, (int)m.record.value_bytes,
			(const char *)m.record.value);
		/* done with it: a topic with `overrun = block` may give its memory to others */
		(void)kx_consumer_ack(consumer, m.partition, m.offset + 1, kx_clock_mono_ns());
	}
	return n;
}

/* A whole number, 1 or more; 0: it is none. */
static unsigned long count_of(const char *text)
{
	return text[strspn(text, "0123456789")] == '\0' ? strtoul(text, NULL, 10) : 0;
}

int main(int argc, char **argv)
{
	struct kx_client_opts opts = {.on_event = on_event};
	struct kx_consumer_opts co = {.partition = KX_PARTITION_ALL,
		.start_offset = KX_OFFSET_EARLIEST,
		.polled = true,
		.manual_ack = true};
	struct kx_udp_client c;
	struct kx_consumer *consumer;
	unsigned long left = argc == 4 ? count_of(argv[3]) : 0;

	if (left == 0 || kx_addr_parse(argv[1], 9000, &opts.broker) != 0) {
		fprintf(stderr, "usage: consume HOST:PORT TOPIC COUNT\n");
		return 2;
	}
	if (kx_client_connect_udp(&opts, &c) != 0)
		return 1;
	co.topic = argv[2];
	if (kx_consumer_open(c.client, &co, kx_clock_mono_ns(), &consumer) != KX_OK)
		return 1;
	while (left > 0 && !failed) {
		unsigned int work = kx_hub_poll(c.hub, kx_clock_mono_ns());
		unsigned long got = take(consumer, left);

		left -= got;
		if (work == 0 && got == 0)
			(void)kx_hub_wait(c.hub, kx_clock_mono_ns(), UINT64_MAX);
	}
	kx_udp_client_close(&c);
	return left == 0 ? 0 : 1;
}
