/* SPDX-License-Identifier: BSD-3-Clause */
/* The producer id and epoch a client has at the broker: taken, changed, lost, fenced. */
#include "client_pvt.h"

static void close_others(struct kx_client *c, uint64_t now_ns)
{
	for (uint32_t i = 1; i < c->opts.channels_max; i++)
		if (c->channels[i].state != CH_UNUSED)
			kxc_channel_close(&c->channels[i], now_ns);
}

/* No partition has a channel any more: each is listed anew when it has something to send. */
static void unlist_parts(struct kx_client *c)
{
	for (uint32_t i = 0; i < c->opts.channels_max; i++)
		c->channels[i].send_head = c->channels[i].send_tail = NULL;
}

void kxc_client_consumers_lost(struct kx_client *c, bool new_boot, uint64_t now_ns)
{
	for (uint32_t i = 0; i < c->opts.consumers_max; i++)
		if (c->consumers[i] != NULL)
			kxc_consumer_session_lost(c->consumers[i], new_boot, now_ns);
}

void kxc_client_identity_lost(struct kx_client *c, enum kx_result why, bool new_boot, uint64_t now_ns)
{
	close_others(c, now_ns);
	for (uint32_t i = 0; i < c->opts.producers_max; i++)
		if (c->producers[i] != NULL)
			kxc_producer_lost(c->producers[i], why, now_ns);
	unlist_parts(c);
	kxc_client_consumers_lost(c, new_boot, now_ns);
}

void kxc_client_identity_changes(struct kx_client *c, bool new_boot, uint64_t now_ns)
{
	close_others(c, now_ns);
	for (uint32_t i = 0; i < c->opts.producers_max; i++)
		if (c->producers[i] != NULL)
			kxc_producer_renamed(c->producers[i], new_boot);
	unlist_parts(c);
	kxc_client_consumers_lost(c, new_boot, now_ns);
}

void kxc_client_new_epoch(struct kx_client *c, uint64_t now_ns)
{
	c->take_over = true;
	close_others(c, now_ns);
	kxc_channel_down(&c->channels[0], KX_OK, 0, now_ns);
}

static void producers_fenced(struct kx_client *c, uint64_t now_ns)
{
	c->fenced = true;
	for (uint32_t i = 0; i < c->opts.producers_max; i++) {
		struct kx_producer *p = c->producers[i];

		if (p == NULL)
			continue;
		kxc_producer_lost(p, KX_FENCED, now_ns);
		if (!p->closed)
			p->state = OPEN_FAILED;
	}
	kxc_client_event(
		c, &(struct kx_event){.type = KX_EVENT_FENCED, .result = KX_FENCED, .code = KX_CODE_FENCED});
}

void kxc_client_fenced(struct kx_client *c, uint64_t now_ns)
{
	if (!c->fenced)
		producers_fenced(c, now_ns);
	/* the id is another's now; a new one is for what else this client does */
	c->have_identity = c->take_over = false;
	c->take_id = 0;
	close_others(c, now_ns);
	kxc_client_consumers_lost(c, false, now_ns);
	kxc_channel_down(&c->channels[0], KX_FENCED, 0, now_ns);
}
