/* SPDX-License-Identifier: BSD-3-Clause */
/* Send COUNT numbers of 8 bytes as fast as one thread can, and print the rate at which they were confirmed.
 *
 *     claim HOST:PORT TOPIC COUNT
 *
 * Shown: the zero-copy way (values are written where they are sent from), polled completions. Sequences,
 * which the library gives, make repetitions harmless: the broker stores each message once, whatever the
 * network repeats. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <kx_transport_udp.h>

static bool failed;

static void on_event(void *user, const struct kx_event *e)
{
	(void)user;
	if (e->type != KX_EVENT_CONNECT_FAILED && e->type != KX_EVENT_PRODUCER_FAILED)
		return;
	fprintf(stderr, "%s: %s\n", kx_event_name(e->type), kx_result_text(e->result));
	failed = true;
}

/* A batch of numbers from `first` on. @return how many went; 0: no room now, or not connected yet */
static uint32_t send_numbers(struct kx_producer *p, uint64_t first, uint64_t left)
{
	uint32_t n = kx_producer_fit(p, sizeof(first)), stride;
	uint32_t partitions = kx_producer_partitions(p);
	uint8_t *values;

	if (n == 0)
		return 0;
	n = (uint32_t)KX_MIN(left, n);
	if (kx_producer_claim(p, (uint32_t)(first / n % partitions), 0, sizeof(first), n, &values, &stride) !=
		KX_OK)
		return 0;
	for (uint32_t i = 0; i < n; i++) {
		uint64_t number = first + i;

		memcpy(values + (size_t)i * stride, &number, sizeof(number));
	}
	return kx_producer_commit(p, first, kx_clock_mono_ns()) == KX_OK ? n : 0;
}

/* What has been confirmed, or not. */
static uint64_t completed(struct kx_producer *p)
{
	struct kx_completion done[32];
	uint32_t n = kx_producer_poll(p, done, 32);
	uint64_t messages = 0;

	for (uint32_t i = 0; i < n; i++) {
		messages += done[i].count;
		if (done[i].result == KX_OK)
			continue;
		fprintf(stderr, "numbers from %" PRIu64 " on: %s\n", done[i].user,
			kx_result_text(done[i].result));
		failed = true;
	}
	return messages;
}

/* A whole number, 1 or more; 0: it is none. */
static uint64_t count_of(const char *text)
{
	return text[strspn(text, "0123456789")] == '\0' ? strtoull(text, NULL, 10) : 0;
}

int main(int argc, char **argv)
{
	struct kx_client_opts opts = {.on_event = on_event};
	struct kx_producer_opts po = {.polled = true};
	struct kx_udp_client c;
	struct kx_producer *p;
	uint64_t count = argc == 4 ? count_of(argv[3]) : 0, sent = 0, done = 0, from_ns = 0;

	if (count == 0 || kx_addr_parse(argv[1], 9000, &opts.broker) != 0) {
		fprintf(stderr, "usage: claim HOST:PORT TOPIC COUNT\n");
		return 2;
	}
	if (kx_client_connect_udp(&opts, &c) != 0)
		return 1;
	po.topic = argv[2];
	if (kx_producer_open(c.client, &po, kx_clock_mono_ns(), &p) != KX_OK)
		return 1;
	while (done < count && !failed) {
		uint32_t n = 0;

		for (int i = 0; i < 64 && sent < count && (n = send_numbers(p, sent, count - sent)) > 0; i++)
			sent += n;
		if (from_ns == 0 && sent > 0)
			from_ns = kx_clock_mono_ns();
		kx_udp_client_turn(&c, n > 0 ? 0 : 100000000);
		done += completed(p);
	}
	if (!failed)
		printf("%" PRIu64 " confirmed, %.0f a second\n", done,
			(double)done * 1e9 / (double)(kx_clock_mono_ns() - from_ns + 1));
	kx_udp_client_close(&c);
	return failed ? 1 : 0;
}
