/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "load.h"

#define SETUP_NS	 (10 * KX_NS_PER_S)
#define METADATA_NS	 (2 * KX_NS_PER_S)
#define CLIMB_NS	 KX_NS_PER_S /* longest wait for sessions to find out what the path carries */
#define LOOK_NS		 UINT64_C(1000000)
#define SLOTS_ALL	 8192u /* batches kept by all producers together where --send-slots does not say */
#define LARGE_ON_THE_WAY 4u    /* messages larger than a frame that a producer may have unconfirmed */

static void on_event(void *arg, const struct kx_event *e)
{
	struct pg_load *l = arg;

	switch (e->type) {
	case KX_EVENT_PRODUCER_READY:
	case KX_EVENT_CONSUMER_READY:
		l->ready++;
		l->partitions = e->count;
		break;
	case KX_EVENT_CONNECT_FAILED:
		l->trouble = "no session with the broker";
		break;
	case KX_EVENT_PRODUCER_FAILED:
		l->trouble = "a producer was refused";
		break;
	case KX_EVENT_CONSUMER_FAILED:
		l->trouble = "a consumer was refused";
		break;
	case KX_EVENT_CONSUMER_WAITING:
		l->trouble = "the broker has no place for a subscription";
		break;
	case KX_EVENT_DISCONNECTED:
		l->trouble = "a session ended";
		break;
	case KX_EVENT_OFFSET_TRIMMED:
		l->trouble = "messages were trimmed before they were consumed (a topic with overrun = block "
			     "waits)";
		break;
	default:
		return;
	}
	l->trouble_result = e->result;
	l->trouble_code = e->code;
}

static void on_metadata(void *arg, enum kx_result result, const struct kx_metadata_info *info,
	const struct kx_partition_info *partitions, uint32_t count, bool last)
{
	static const char *const levels[] = {"?", "memory", "written", "synced", "replicated"};
	struct pg_load *l = arg;
	struct pg_result *r = &l->run->result;

	(void)partitions;
	(void)count;
	if (result == KX_OK) {
		snprintf(r->durability, sizeof(r->durability), "%s",
			levels[info->durability < KX_DIM(levels) ? info->durability : 0]);
		snprintf(r->overrun, sizeof(r->overrun), "%s", info->overrun == 0 ? "trim" : "block");
	}
	l->metadata_known |= last;
}

static enum kx_result open_client(struct pg_load *l, struct kx_client **out)
{
	struct kx_client_opts opts = {.broker = l->run->o->broker,
		.principal = l->run->o->principal,
		.key = l->run->o->key.len != 0 ? l->run->o->key.bytes : NULL,
		.key_bytes = l->run->o->key.len,
		.protect = l->run->o->frames,
		.no_reconnect = true,
		.producers_max = 1,
		.consumers_max = 1,
		.subscriptions_max = 1024,
		.on_event = on_event,
		.user = l};

	return kx_client_open(l->hub, &opts, pg_now(l->run->rig), out);
}

static enum kx_result open_consumers(struct pg_load *l)
{
	const struct pg_options *o = l->run->o;
	enum kx_result r = KX_OK;

	for (uint32_t i = 0; i < l->receiver_count && r == KX_OK; i++) {
		struct kx_consumer_opts opts = {.topic = o->topic,
			.partition = KX_PARTITION_ALL,
			.start_offset = o->mode == PG_CONSUME ? o->start_offset : KX_OFFSET_NOW,
			.window_bytes = o->window_bytes,
			.large_bytes = l->payload_bytes + 4096,
			.on_batch = pg_load_on_batch,
			.user = &l->receivers[i]};

		l->receivers[i].load = l;
		r = open_client(l, &l->receivers[i].client);
		if (r == KX_OK)
			r = kx_consumer_open(l->receivers[i].client, &opts, pg_now(l->run->rig),
				&l->receivers[i].consumer);
	}
	return r;
}

static uint32_t send_slots(const struct pg_load *l)
{
	uint32_t share = SLOTS_ALL / KX_MAX(l->sender_count, 1u);

	if (l->run->o->send_slots != 0)
		return l->run->o->send_slots;
	return share > 1024 ? 1024 : KX_MAX(share, 16u);
}

static enum kx_result open_producers(struct pg_load *l)
{
	const struct pg_options *o = l->run->o;
	enum kx_result r = KX_OK;

	for (uint32_t i = 0; i < l->sender_count && r == KX_OK; i++) {
		struct kx_producer_opts opts = {.topic = o->topic,
			.send_slots = send_slots(l),
			.large_bytes = l->scratch != NULL ? LARGE_ON_THE_WAY * (l->payload_bytes + 128) : 0,
			.slot_bytes = (uint32_t)KX_MAX(o->mtu, 1372) + 128,
			.on_complete = pg_load_on_complete,
			.user = l};

		l->senders[i].load = l;
		l->senders[i].index = i;
		r = open_client(l, &l->senders[i].client);
		if (r == KX_OK)
			r = kx_producer_open(
				l->senders[i].client, &opts, pg_now(l->run->rig), &l->senders[i].producer);
	}
	return r;
}

/* The broker's reason, where it gave one. */
static const char *trouble_why(const struct pg_load *l)
{
	return l->trouble_code != 0 ? kx_code_text(l->trouble_code) : kx_result_name(l->trouble_result);
}

static bool trouble(struct pg_load *l, const char *what, enum kx_result r)
{
	if (l->trouble == NULL) {
		l->trouble = what;
		l->trouble_result = r;
		l->trouble_code = 0;
	}
	return false;
}

/* Poll until *counter reaches `want`. */
static bool wait_for(struct pg_load *l, const uint32_t *counter, uint32_t want, uint64_t limit_ns)
{
	uint64_t now = pg_now(l->run->rig), until = now + limit_ns;

	while (*counter < want && l->trouble == NULL && *l->run->stop == 0) {
		now = pg_now(l->run->rig);
		if (now > until)
			return trouble(l, "the broker did not answer in time", KX_TIMED_OUT);
		kx_hub_poll(l->hub, now);
	}
	return *counter >= want;
}

static void ask_metadata(struct pg_load *l)
{
	struct kx_client *client = l->receiver_count > 0 ? l->receivers[0].client : l->senders[0].client;
	uint64_t now = pg_now(l->run->rig), until = now + METADATA_NS;

	snprintf(l->run->result.durability, sizeof(l->run->result.durability), "?");
	snprintf(l->run->result.overrun, sizeof(l->run->result.overrun), "?");
	if (kx_client_metadata(client, l->run->o->topic, METADATA_NS, now, on_metadata, l) != KX_OK)
		return;
	while (!l->metadata_known && now < until && l->trouble == NULL) {
		now = pg_now(l->run->rig);
		kx_hub_poll(l->hub, now);
	}
}

/* Tables whose size is known only now; before the first message can come. */
static bool make_tables(struct pg_load *l)
{
	for (uint32_t i = 0; i < l->sender_count; i++) {
		l->senders[i].seq = calloc(l->partitions, sizeof(*l->senders[i].seq));
		if (l->senders[i].seq == NULL)
			return trouble(l, "out of memory", KX_NO_MEMORY);
	}
	return true;
}

static bool make_receivers(struct pg_load *l)
{
	for (uint32_t i = 0; i < l->receiver_count; i++)
		if (pg_receiver_init(&l->receivers[i], l) != 0)
			return trouble(l, "out of memory", KX_NO_MEMORY);
	return true;
}

/* Largest frame of a session now, both ways; *most: that it can become. */
static uint32_t session_bytes(const struct kx_client *client, uint32_t *most)
{
	struct kx_client_stats s;
	struct kx_client_info info;

	kx_client_stats(client, &s);
	kx_client_info(client, &info);
	*most = info.datagram_most_bytes;
	return (uint32_t)KX_MIN(s.tx_datagram_bytes, s.rx_datagram_bytes);
}

/* The least of all sessions. @return whether each of them has become what it can */
static bool all_climbed(const struct pg_load *l, uint32_t *least)
{
	bool all = true;

	*least = UINT32_MAX;
	for (uint32_t i = 0; i < l->sender_count + l->receiver_count; i++) {
		uint32_t most,
			now = session_bytes(i < l->sender_count ? l->senders[i].client
								: l->receivers[i - l->sender_count].client,
				&most);

		all &= now == most;
		*least = KX_MIN(*least, now);
	}
	return all;
}

/* A session begins with small frames and probes upward: what a frame takes is known when that has ended. */
static void wait_for_climb(struct pg_load *l)
{
	uint64_t now = pg_now(l->run->rig), until = now + CLIMB_NS, look = now;

	while (!all_climbed(l, &l->run->result.datagram_bytes) && now < until && l->trouble == NULL &&
		*l->run->stop == 0)
		for (look += LOOK_NS; now < look; now = pg_now(l->run->rig))
			kx_hub_poll(l->hub, now);
}

static void resolve_sizes(struct pg_load *l)
{
	const struct pg_options *o = l->run->o;
	struct pg_result *r = &l->run->result;
	uint32_t in_frame;

	l->fit = l->sender_count > 0 ? kx_producer_fit(l->senders[0].producer, l->payload_bytes) : 0;
	l->batch = o->batch != 0 ? o->batch : KX_MAX(l->fit, 1u);
	in_frame = KX_MIN(l->batch, KX_MAX(l->fit, 1u));
	r->batch = l->sender_count > 0 ? l->batch : 0;
	r->fit = l->fit;
	r->partitions = l->partitions;
	r->frame_bytes = (kx_addr_is_v4(&o->broker) ? 42 : 62) + (uint32_t)sizeof(struct kx_frame_hdr) +
		KX_BATCH_HDR_BYTES + in_frame * l->stride_bytes +
		(o->frames != KX_PROTECT_PLAIN ? KX_TAG_BYTES : 0);
}

static bool set_up(struct pg_load *l)
{
	struct pg_run *run = l->run;
	const struct pg_options *o = run->o;
	struct kx_transport transport = kx_transport_dpdk(run->rig->transport);
	struct kx_hub_opts opts = {.channels_max = KX_MAX(1024u, 4 * (l->sender_count + l->receiver_count))};
	enum kx_result r = kx_hub_open(&transport, &opts, &l->hub);

	if (r != KX_OK)
		return trouble(l, "hub", r);
	/* In mode consume messages may come before this lcore looks again. */
	if (o->mode == PG_CONSUME && !make_receivers(l))
		return false;
	r = open_producers(l);
	if (r != KX_OK)
		return trouble(l, "opening a producer", r);
	if (!wait_for(l, &l->ready, l->sender_count, SETUP_NS))
		return false;
	if (!make_tables(l))
		return false;
	if (o->mode == PG_E2E && !make_receivers(l))
		return false;
	r = open_consumers(l);
	if (r != KX_OK)
		return trouble(l, "opening a consumer", r);
	if (!wait_for(l, &l->ready, l->sender_count + l->receiver_count, SETUP_NS))
		return false;
	ask_metadata(l);
	wait_for_climb(l);
	resolve_sizes(l);
	return l->trouble == NULL;
}

static uint64_t pending(const struct pg_load *l)
{
	uint64_t n = 0;

	for (uint32_t i = 0; i < l->sender_count; i++)
		n += kx_producer_pending(l->senders[i].producer);
	return n;
}

/* Every 10 ms: an end that came early, and the end of the drain. */
static void watch(struct pg_load *l, uint64_t now_ns)
{
	struct pg_run *run = l->run;
	char text[PG_WHY_BYTES];

	if (l->trouble != NULL && run->result.complete) {
		snprintf(text, sizeof(text), "%s (%s)", l->trouble, trouble_why(l));
		pg_run_abort(run, now_ns, text);
	}
	if (pg_phase(run) != PG_DRAIN)
		return;
	if (run->o->mode == PG_CONSUME ||
		(pending(l) == 0 && run->live.received >= run->live.sent * KX_MAX(l->receiver_count, 1u)))
		pg_run_done(run);
}

static void turn(struct pg_load *l)
{
	struct pg_run *run = l->run;
	uint64_t now = pg_now(run->rig), tick = run->next_tick_ns;

	if (pg_sending(run) && l->sender_count > 0)
		pg_load_send(l, now);
	kx_hub_poll(l->hub, now);
	pg_run_turn(run, now);
	if (kx_unlikely(tick != run->next_tick_ns))
		watch(l, now);
}

static void add_client_stats(struct pg_load *l, struct kx_client *client, uint64_t *frames)
{
	struct kx_client_stats s;

	if (client == NULL)
		return;
	kx_client_stats(client, &s);
	*frames += s.produce_frames;
	l->run->result.retransmitted_frames += s.retransmits;
	l->run->result.naks += s.naks_received + s.naks_sent;
	l->run->result.congestions += s.congestions;
	l->run->result.blocked_turns += s.blocked_turns;
	l->run->result.mtu_falls += s.mtu_falls;
}

static void settle(struct pg_load *l)
{
	struct pg_run *run = l->run;
	struct pg_result *r = &run->result;
	uint64_t frames = 0;

	for (uint32_t i = 0; i < l->sender_count; i++)
		add_client_stats(l, l->senders[i].client, &frames);
	for (uint32_t i = 0; i < l->receiver_count; i++) {
		uint64_t none = 0;

		add_client_stats(l, l->receivers[i].client, &none);
		pg_receiver_settle(&l->receivers[i], r);
	}
	r->fanout = run->o->mode == PG_E2E ? l->receiver_count : 1;
	r->total_sent = run->live.sent;
	r->total_received = run->live.received;
	if (run->o->mode == PG_PRODUCE)
		r->lost = r->total_sent - KX_MIN(r->total_sent, l->committed + l->failed);
	r->failed = l->failed;
	r->corrupt = l->corrupt;
	r->lost -= KX_MIN(r->lost, l->corrupt); /* came, but not what was sent */
	r->late = l->late;
	r->foreign = l->foreign;
	r->frames_per_message = r->total_sent > 0 ? (double)frames / (double)r->total_sent : 0;
	(run->o->mode == PG_PRODUCE ? run->ack : run->latency)->lost += r->lost + r->corrupt;
}

static void tear_down(struct pg_load *l)
{
	(void)kx_hub_close(l->hub, pg_now(l->run->rig));
	for (uint32_t i = 0; i < l->sender_count; i++)
		free(l->senders[i].seq);
	for (uint32_t i = 0; i < l->receiver_count; i++)
		pg_receiver_fini(&l->receivers[i]);
	free(l->senders);
	free(l->receivers);
	free(l->scratch);
}

static int prepare(struct pg_load *l, struct pg_run *run)
{
	const struct pg_options *o = run->o;

	*l = (struct pg_load){.run = run, .payload_bytes = o->payload_bytes};
	l->stride_bytes = (uint32_t)(sizeof(struct kx_record_hdr) + kx_align8(o->payload_bytes));
	l->sender_count = o->mode == PG_CONSUME ? 0 : o->producers;
	l->receiver_count = o->mode == PG_PRODUCE ? 0 : o->consumers;
	l->senders = calloc(l->sender_count + 1, sizeof(*l->senders));
	l->receivers = calloc(l->receiver_count + 1, sizeof(*l->receivers));
	if (l->stride_bytes + KX_BATCH_HDR_BYTES + sizeof(struct kx_frame_hdr) + 48u > o->mtu)
		l->scratch = malloc(kx_align8(o->payload_bytes));
	return l->senders != NULL && l->receivers != NULL ? 0 : -ENOMEM;
}

int pg_load_loop(void *arg)
{
	static struct pg_load load;
	struct pg_run *run = arg;
	struct pg_load *l = &load;
	int rc = prepare(l, run);

	pg_run_idle(run);
	if (rc == 0 && set_up(l)) {
		rc = pg_run_schedule(run, l->batch);
		if (rc == 0)
			pg_run_start(run, pg_now(run->rig));
		while (rc == 0 && pg_phase(run) != PG_DONE)
			turn(l);
		settle(l);
	} else {
		rc = rc != 0 ? rc : -ECONNREFUSED;
		snprintf(run->result.trouble, sizeof(run->result.trouble), "%s (%s: %s)",
			l->trouble != NULL ? l->trouble : "stopped by a signal",
			kx_result_name(l->trouble_result),
			l->trouble_code != 0 ? kx_code_text(l->trouble_code)
					     : kx_result_text(l->trouble_result));
	}
	tear_down(l);
	pg_run_done(run);
	return rc;
}
