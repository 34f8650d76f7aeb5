/* SPDX-License-Identifier: BSD-3-Clause */
/* Set-up: sessions one after another, each timed from HELLO to ACCEPT, beside round trips of a PING. */
#include <stdio.h>
#include <stdlib.h>

#include "run.h"

#include "kx_client.h"

#define FIRST_SKIPPED	16 /* they wait for ARP, and fill caches */
#define ATTEMPT_NS	(5 * KX_NS_PER_S)
#define BETWEEN_NS	UINT64_C(50000) /* for CLOSE to be on its way */
#define PING_TIMEOUT_NS (KX_NS_PER_S / 10)

struct setup {
	const struct pg_options *o;
	struct pg_rig *rig;
	struct kx_hub *hub;
	bool connected, failed, answered;
	enum kx_result result;
	uint32_t code;
	uint64_t rtt_ns;
};

static void on_event(void *user, const struct kx_event *e)
{
	struct setup *s = user;

	s->connected |= e->type == KX_EVENT_CONNECTED;
	if (e->type != KX_EVENT_CONNECT_FAILED && e->type != KX_EVENT_DISCONNECTED)
		return;
	s->failed = true;
	s->result = e->result;
	s->code = e->code;
}

static void on_ping(void *user, enum kx_result result, uint32_t lcore, uint64_t rtt_ns, uint64_t residence_ns)
{
	struct setup *s = user;

	(void)lcore;
	(void)residence_ns;
	s->answered = true;
	s->rtt_ns = result == KX_OK ? rtt_ns : 0;
}

static void poll_for(struct setup *s, uint64_t ns, const bool *until)
{
	uint64_t now = pg_now(s->rig), end = now + ns;

	while (now < end && !*until && !s->failed && *s->rig->stop == 0) {
		kx_hub_poll(s->hub, now);
		now = pg_now(s->rig);
	}
}

/* One session. @return ns from its first poll, which sends HELLO, to ACCEPT; 0 when there was none */
static uint64_t one(struct setup *s, struct kx_client **client)
{
	struct kx_client_opts opts = {.broker = s->o->broker,
		.principal = s->o->principal,
		.key = s->o->key.len != 0 ? s->o->key.bytes : NULL,
		.key_bytes = s->o->key.len,
		.protect = s->o->frames,
		.no_reconnect = true,
		.channels_max = 1,
		.producers_max = 1,
		.consumers_max = 1,
		.subscriptions_max = 1,
		.connect_timeout_ns = ATTEMPT_NS,
		.on_event = on_event,
		.user = s};
	uint64_t start;

	s->connected = s->failed = false;
	s->result = kx_client_open(s->hub, &opts, pg_now(s->rig), client);
	if (s->result != KX_OK) {
		s->failed = true;
		return 0;
	}
	start = pg_now(s->rig);
	poll_for(s, ATTEMPT_NS, &s->connected);
	return s->connected ? pg_now(s->rig) - start : 0;
}

static uint32_t pings(struct setup *s, struct kx_client *client, uint64_t *took)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < s->o->setup && !s->failed && *s->rig->stop == 0; i++) {
		s->answered = false;
		if (kx_client_ping(client, KX_LCORE_FIRST, PING_TIMEOUT_NS, pg_now(s->rig), on_ping, s) !=
			KX_OK)
			break;
		poll_for(s, 2 * PING_TIMEOUT_NS, &s->answered);
		if (s->answered && s->rtt_ns != 0)
			took[n++] = s->rtt_ns;
	}
	return n;
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static void settle(struct pg_setup_row *row, const char *name, uint64_t *took, uint32_t n)
{
	qsort(took, n, sizeof(*took), compare);
	*row = (struct pg_setup_row){.name = name, .count = n};
	if (n != 0) {
		row->min_ns = took[0];
		row->p50_ns = took[n / 2];
		row->p99_ns = took[(uint64_t)n * 99 / 100];
		row->max_ns = took[n - 1];
	}
	printf("%-9s %u: min %.1f p50 %.1f p99 %.1f max %.1f us\n", name, n, (double)row->min_ns / 1e3,
		(double)row->p50_ns / 1e3, (double)row->p99_ns / 1e3, (double)row->max_ns / 1e3);
}

static bool measure(struct setup *s, struct pg_setup_row row[2], uint64_t *took)
{
	const bool never = false;
	struct kx_client *client = NULL;
	uint32_t n = 0;

	for (uint32_t i = 0; i < s->o->setup + FIRST_SKIPPED && *s->rig->stop == 0; i++) {
		uint64_t ns = one(s, &client);

		if (ns == 0)
			return false;
		if (i >= FIRST_SKIPPED)
			took[n++] = ns;
		if (i + 1 < s->o->setup + FIRST_SKIPPED)
			(void)kx_client_close(client, pg_now(s->rig));
		poll_for(s, BETWEEN_NS, &never);
	}
	settle(&row[0], "handshake", took, n);
	n = pings(s, client, took);
	settle(&row[1], "ping", took, n);
	return !s->failed;
}

int pg_setup_loop(void *arg)
{
	struct pg_run *run = arg;
	struct setup s = {.o = run->o, .rig = run->rig};
	struct kx_transport transport = kx_transport_dpdk(run->rig->transport);
	uint64_t *took = calloc(run->o->setup, sizeof(*took));
	bool good = false;

	if (took == NULL || kx_hub_open(&transport, NULL, &s.hub) != KX_OK)
		snprintf(run->result.trouble, sizeof(run->result.trouble), "out of memory");
	else
		good = measure(&s, run->setup, took);
	if (!good && run->result.trouble[0] == '\0')
		snprintf(run->result.trouble, sizeof(run->result.trouble), "session: %s",
			s.code != 0	   ? kx_code_text(s.code)
				: s.failed ? kx_result_text(s.result)
					   : kx_result_text(KX_TIMED_OUT));
	if (s.hub != NULL)
		(void)kx_hub_close(s.hub, pg_now(run->rig));
	free(took);
	return good ? 0 : -1;
}
