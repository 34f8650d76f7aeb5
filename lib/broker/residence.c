/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Residence: from the RX burst that brought a message to the flush after its first delivery, of all topics
 * and of each of the first KX_BROKER_RESIDENCE_TOPICS of the configuration. What was appended and leaves in
 * one turn is counted together; what leaves in a later turn is known by the append time in its batch. A
 * consumer that has fallen behind by its own doing (credit, congestion, an old offset) is not measured until
 * it is at the end of its partition again: how long it makes messages wait is not the broker's time.
 */
#include <errno.h>
#include <stdlib.h>

#include "broker_pvt.h"

int residence_create(struct kx_broker *b)
{
	b->residence = kx_hist_new();
	if (b->residence == NULL)
		return -ENOMEM;
	b->turn_count = KX_MIN(b->config.conf->topic_count, KX_BROKER_RESIDENCE_TOPICS);
	for (uint32_t i = 0; i < b->turn_count; i++) {
		b->turns[i].hist = kx_hist_new();
		if (b->turns[i].hist == NULL)
			return -ENOMEM;
	}
	return 0;
}

void residence_destroy(struct kx_broker *b)
{
	for (uint32_t i = 0; i < b->turn_count; i++)
		kx_hist_free(b->turns[i].hist);
	kx_hist_free(b->residence);
}

void residence_appended(struct kx_broker *b, const struct kx_partition *p, uint64_t rx_ns)
{
	if (b->turn_rx_ns == 0)
		b->turn_rx_ns = rx_ns;
	if (p->topic >= b->turn_count || (b->turns_used >> p->topic & 1) != 0)
		return;
	b->turns_used |= 1u << p->topic;
	b->turns[p->topic].rx_ns = rx_ns;
}

void residence_late(struct kx_broker *b, const struct kx_partition *p, uint64_t append_time_ns)
{
	if (b->late_count < LATE_MAX)
		b->late[b->late_count++] = (struct late){
			.rx_ns = append_time_ns - (uint64_t)b->real_minus_mono_ns, .topic = p->topic};
}

static void add(struct kx_hist *h, uint64_t from_ns, uint64_t now_ns, uint64_t n)
{
	if (n != 0 && now_ns > from_ns)
		kx_hist_add_n(h, now_ns - from_ns, n);
}

void residence_flushed(struct kx_broker *b, uint64_t now_ns)
{
	add(b->residence, b->turn_rx_ns, now_ns, b->turn_delivered);
	for (uint32_t used = b->turns_used; used != 0; used &= used - 1) {
		struct topic_turn *t = &b->turns[__builtin_ctz(used)];

		add(t->hist, t->rx_ns, now_ns, t->delivered);
		t->delivered = 0;
	}
	for (uint32_t i = 0; i < b->late_count; i++) {
		add(b->residence, b->late[i].rx_ns, now_ns, 1);
		if (b->late[i].topic < b->turn_count)
			add(b->turns[b->late[i].topic].hist, b->late[i].rx_ns, now_ns, 1);
	}
	b->turns_used = b->late_count = 0;
	b->turn_delivered = 0;
	b->turn_rx_ns = 0;
}

const struct kx_hist *kx_broker_residence(const struct kx_broker *b)
{
	return b->residence;
}

const struct kx_hist *kx_broker_topic_residence(const struct kx_broker *b, uint32_t topic)
{
	return topic < b->turn_count ? b->turns[topic].hist : NULL;
}
