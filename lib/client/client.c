/* SPDX-License-Identifier: BSD-3-Clause */
/* A client: open, close, its identity at the broker, its channels. */
#include <stdlib.h>

#include "client_pvt.h"

#define OR_DEFAULT(field, value)                                                                             \
	do {                                                                                                 \
		if ((field) == 0)                                                                            \
			(field) = (value);                                                                   \
	} while (0)

static bool opts_ok(const struct kx_client_opts *o)
{
	if (o->broker.port == 0 || (o->broker.ip64[0] == 0 && o->broker.ip64[1] == 0))
		return false;
	if (o->principal != NULL && strlen(o->principal) > KX_PRINCIPAL_NAME_MAX)
		return false;
	if (o->key != NULL &&
		(o->principal == NULL || o->principal[0] == '\0' || o->key_bytes < KX_KEY_BYTES_MIN ||
			o->key_bytes > KX_KEY_BYTES_MAX))
		return false;
	if (o->protect > KX_PROTECT_AEAD || (o->protect != KX_PROTECT_PLAIN && o->key == NULL))
		return false;
	return o->channels_max <= KX_LCORES_MAX && o->producers_max <= 127 && o->consumers_max <= 1024 &&
		o->subscriptions_max <= 65536 && o->requests_max <= 1024;
}

static void take_opts(struct kx_client *c, const struct kx_client_opts *opts)
{
	c->opts = *opts;
	OR_DEFAULT(c->opts.connect_timeout_ns, 5 * KX_NS_PER_S);
	OR_DEFAULT(c->opts.channels_max, 4);
	OR_DEFAULT(c->opts.producers_max, 4);
	OR_DEFAULT(c->opts.consumers_max, 4);
	OR_DEFAULT(c->opts.subscriptions_max, 64);
	OR_DEFAULT(c->opts.requests_max, 16);
	if (opts->principal != NULL)
		memcpy(c->principal, opts->principal, strlen(opts->principal));
	c->opts.principal = c->principal;
	c->opts.key = NULL; /* the caller's copy may be gone; kx_key_keep() has ours */
}

/* Timers a client may need at most: its channels', its producers', its own. */
static uint32_t timer_count(const struct kx_client *c)
{
	return c->opts.channels_max + c->opts.producers_max + 1;
}

static bool tables_alloc(struct kx_client *c)
{
	const struct kx_client_opts *o = &c->opts;

	c->channels = calloc(o->channels_max, sizeof(*c->channels));
	c->producers = calloc(o->producers_max, sizeof(*c->producers));
	c->consumers = calloc(o->consumers_max, sizeof(*c->consumers));
	c->subs = calloc(o->subscriptions_max, sizeof(*c->subs));
	c->sub_gen = calloc(o->subscriptions_max, sizeof(*c->sub_gen));
	c->requests = calloc(o->requests_max, sizeof(*c->requests));
	return c->channels != NULL && c->producers != NULL && c->consumers != NULL && c->subs != NULL &&
		c->sub_gen != NULL && c->requests != NULL;
}

static void client_free(struct kx_client *c)
{
	if (c->channels != NULL)
		for (uint32_t i = 0; i < c->opts.channels_max; i++)
			kxc_channel_fini(&c->channels[i]);
	free(c->channels);
	free(c->producers);
	free(c->consumers);
	free(c->subs);
	free(c->sub_gen);
	free(c->requests);
	kx_key_drop(c->key);
	free(c);
}

static bool client_alloc(struct kx_client *c)
{
	if (!tables_alloc(c))
		return false;
	for (uint32_t i = 0; i < c->opts.channels_max; i++)
		if (kxc_channel_init(&c->channels[i], c) != 0)
			return false;
	return true;
}

enum kx_result kx_client_open(
	struct kx_hub *hub, const struct kx_client_opts *opts, uint64_t now_ns, struct kx_client **out)
{
	struct kx_client *c;

	if (hub == NULL || opts == NULL || out == NULL || !opts_ok(opts))
		return KX_BAD_ARGUMENT;
	c = calloc(1, sizeof(*c));
	if (c == NULL)
		return KX_NO_MEMORY;
	c->hub = hub;
	take_opts(c, opts);
	if ((opts->key != NULL && kx_key_keep(opts->key, opts->key_bytes, &c->key) != 0) ||
		hub->channel_free_count < c->opts.channels_max || !client_alloc(c) ||
		!kxc_timers_reserve(&hub->timers, timer_count(c))) {
		client_free(c);
		return KX_NO_MEMORY;
	}
	c->next = hub->clients;
	if (c->next != NULL)
		c->next->prev = c;
	hub->clients = c;
	c->timer.kind = TIMER_CLIENT;
	c->connect_ns = now_ns;
	c->take_id = opts->producer_id;
	c->channels[0].remote = c->opts.broker;
	kxc_setup_start(&c->channels[0], now_ns);
	kxc_timer_arm(&hub->timers, &c->timer, now_ns + c->opts.connect_timeout_ns);
	*out = c;
	return KX_OK;
}

enum kx_result kx_client_close(struct kx_client *c, uint64_t now_ns)
{
	struct kx_hub *hub;

	if (c == NULL)
		return KX_OK;
	hub = c->hub;
	if (hub->in_callback != 0)
		return KX_IN_CALLBACK;
	hub->in_callback++; /* the callbacks of what is pending may not open or close anything here */
	c->closing = true;
	c->connected = false;
	kxc_requests_fail(c, KX_CLOSED, now_ns);
	for (uint32_t i = 0; i < c->opts.producers_max; i++)
		if (c->producers[i] != NULL)
			kxc_producer_lost(c->producers[i], KX_CLOSED, now_ns);
	for (uint32_t i = 0; i < c->opts.channels_max; i++)
		kxc_channel_close(&c->channels[i], now_ns);
	hub->in_callback--;
	hub->ops->flush(hub->tx);
	for (uint32_t i = 0; i < c->opts.producers_max; i++)
		if (c->producers[i] != NULL)
			kxc_producer_free(c->producers[i]);
	for (uint32_t i = 0; i < c->opts.consumers_max; i++)
		if (c->consumers[i] != NULL)
			kxc_consumer_free(c->consumers[i]);
	kxc_timer_stop(&hub->timers, &c->timer);
	hub->timers.size -= timer_count(c);
	if (c->prev != NULL)
		c->prev->next = c->next;
	else
		hub->clients = c->next;
	if (c->next != NULL)
		c->next->prev = c->prev;
	client_free(c);
	return KX_OK;
}

bool kx_client_connected(const struct kx_client *c)
{
	return c->connected;
}

void kx_client_info(const struct kx_client *c, struct kx_client_info *out)
{
	*out = c->info;
	out->connected = c->connected;
	out->refused = (uint32_t)c->unproven;
	out->refused_code = c->unproven_code;
}

void kx_client_stats(const struct kx_client *c, struct kx_client_stats *out)
{
	const struct kx_rtt *rtt = &c->channels[0].rtt;

	*out = c->stats;
	for (uint32_t i = 0; i < c->opts.channels_max; i++)
		out->congestions += c->channels[i].cc.congestions;
	if (c->channels[0].state == CH_OPEN) {
		out->tx_datagram_bytes = c->channels[0].datagram_bytes;
		out->rx_datagram_bytes = c->channels[0].mtu.told;
	}
	out->rtt_ns = rtt->valid ? rtt->srtt_ns : 0;
	out->rtt_min_ns = rtt->valid ? rtt->min_ns : 0;
}

void kxc_client_event(struct kx_client *c, const struct kx_event *e)
{
	struct kx_event event = *e;

	event.client = c;
	if (c->opts.on_event != NULL && !c->closing)
		c->opts.on_event(c->opts.user, &event);
}

/* The first channel is up, identity and info are taken. */
void kxc_client_connected(struct kx_client *c, uint64_t now_ns)
{
	c->connected = true;
	c->connect_failed = false;
	c->unproven = KX_OK;
	c->unproven_code = 0;
	kxc_client_event(c, &(struct kx_event){.type = KX_EVENT_CONNECTED});
	for (uint32_t i = 0; i < c->opts.producers_max; i++)
		if (c->producers[i] != NULL && c->producers[i]->state == OPEN_META)
			kxc_producer_ask(c->producers[i], now_ns);
	for (uint32_t i = 0; i < c->opts.consumers_max; i++)
		if (c->consumers[i] != NULL && c->consumers[i]->state == OPEN_META)
			kxc_consumer_ask(c->consumers[i], now_ns);
}

void kxc_client_connect_failed(struct kx_client *c, enum kx_result why, uint32_t code, uint64_t now_ns)
{
	c->heard_ns = now_ns;
	if (c->connect_failed && c->failed_why == why && c->failed_code == code)
		return;
	c->connect_failed = true;
	c->failed_why = why;
	c->failed_code = code;
	kxc_client_event(c, &(struct kx_event){.type = KX_EVENT_CONNECT_FAILED, .result = why, .code = code});
	if (c->opts.no_reconnect) {
		c->down = true;
		kxc_channel_close(&c->channels[0], now_ns);
	}
}

void kxc_client_service(struct kx_client *c, uint64_t now_ns)
{
	uint64_t due = kxc_requests_service(c, now_ns);

	if (!c->connected && !c->connect_failed && !c->down) {
		uint64_t limit = c->connect_ns + c->opts.connect_timeout_ns;

		if (now_ns >= limit)
			kxc_client_connect_failed(c, c->unproven != KX_OK ? c->unproven : KX_TIMED_OUT,
				c->unproven_code, now_ns);
		else
			due = KX_MIN(due, limit);
	}
	if (due != UINT64_MAX)
		kxc_timer_arm(&c->hub->timers, &c->timer, due);
}

struct channel *kxc_client_channel_find(struct kx_client *c, uint32_t lcore)
{
	for (uint32_t i = 0; i < c->opts.channels_max; i++)
		if (c->channels[i].state != CH_UNUSED && c->channels[i].lcore == lcore)
			return &c->channels[i];
	return NULL;
}

struct channel *kxc_client_channel(struct kx_client *c, uint32_t lcore, uint64_t now_ns)
{
	struct channel *ch = kxc_client_channel_find(c, lcore);

	if (ch != NULL || lcore >= c->info.lcore_count)
		return ch;
	for (uint32_t i = 1; i < c->opts.channels_max; i++) {
		ch = &c->channels[i];
		if (ch->state != CH_UNUSED)
			continue;
		ch->lcore = lcore;
		ch->remote = c->opts.broker;
		ch->remote.port = (uint16_t)(c->info.base_port + lcore);
		kxc_setup_start(ch, now_ns);
		return ch;
	}
	return NULL;
}
