/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdlib.h>

#include "broker_pvt.h"

static int tables_alloc(struct kx_broker *b)
{
	const struct kx_conf *conf = b->config.conf;
	uint32_t n = conf->sessions.max;

	b->session_total = n;
	if (posix_memalign((void **)&b->sessions, KX_CACHE_LINE, n * sizeof(*b->sessions)) != 0) {
		b->sessions = NULL;
		return -ENOMEM;
	}
	b->session_next_free = calloc(n, sizeof(uint32_t));
	b->active = calloc(n, sizeof(uint32_t));
	b->accepts = calloc(n, sizeof(*b->accepts));
	b->drain_size = KX_MAX(b->topics.producer_count, 1);
	b->drain_list = calloc(b->drain_size, sizeof(*b->drain_list));
	b->dirty_parts = calloc(KX_MAX(b->topics.partition_count, 1), sizeof(uint32_t));
	b->wake_parts = calloc(KX_MAX(b->topics.partition_count, 1), sizeof(uint32_t));
	if (b->accepts == NULL || b->session_next_free == NULL || b->active == NULL ||
		b->drain_list == NULL || b->dirty_parts == NULL || b->wake_parts == NULL ||
		residence_create(b) != 0 || lists_create(b) != 0)
		return -ENOMEM;
	if (kx_map_init(&b->conn_map, n) != 0 || kx_map_init(&b->nonce_map, n) != 0 ||
		kx_map_init(&b->sub_map, b->topics.sub_total) != 0)
		return -ENOMEM;
	if (protect_create(b) != 0)
		return -ENOMEM;
	return frag_create(b);
}

static uint64_t largest_window(const struct kx_conf *conf)
{
	uint64_t window = conf->sessions.window_bytes;

	for (uint32_t i = 0; i < conf->topic_count; i++)
		window = KX_MAX(window, conf->topics[i].max_message_bytes + UINT64_C(8192));
	return window;
}

static void sessions_init(struct kx_broker *b)
{
	b->session_free = KX_NONE;
	for (uint32_t i = b->session_total; i-- > 0;) {
		b->sessions[i] = (struct session){.slot = i};
		b->session_next_free[i] = b->session_free;
		b->session_free = i;
	}
	b->last = &b->sessions[0];
	b->closing_head = KX_NONE;
	for (int i = 0; i < TURN_CLASSES; i++)
		b->turns_of[i] = (struct turn_queue){KX_NONE, KX_NONE};
	for (uint32_t i = 0; i < b->topics.partition_count; i++)
		b->block_parts += b->topics.partitions[i].block;
	b->real_minus_mono_ns = (int64_t)(kx_clock_real_ns() - kx_clock_mono_ns());
}

int kx_broker_create(const struct kx_broker_config *config, struct kx_broker **out)
{
	struct kx_topics_config topics = {.conf = config->conf,
		.lcore_index = config->lcore_index,
		.lcore_count = config->lcore_count,
		.log_memory = config->log_memory,
		.log_memory_bytes = config->log_memory_bytes,
		.datagram_max_bytes = config->datagram_max_bytes,
		.offsets = config->offsets,
		.ids = config->producer_ids};
	struct kx_broker *b;
	int rc;

	*out = NULL;
	b = calloc(1, sizeof(*b));
	if (b == NULL)
		return -ENOMEM;
	b->config = *config;
	b->ops = config->transport.ops;
	b->tx = config->transport.ctx;
	b->window_bytes = largest_window(config->conf);
	b->setup_left = config->conf->sessions.setup_per_turn;
	b->turn = 1; /* of partitions: 0, before the first */
	b->reset_left = RESETS_PER_TURN;
	path_turn(b);
	request_turn(b);
	rc = kx_topics_init(&b->topics, &topics);
	if (rc == 0)
		rc = tables_alloc(b);
	if (rc == 0)
		rc = principals_create(b);
	if (rc == 0)
		rc = quota_create(b);
	if (rc == 0)
		rc = kx_auth_create(config->secrets, config->boot_id, &b->auth);
	if (rc != 0) {
		kx_broker_destroy(b);
		return rc;
	}
	sessions_init(b);
	kx_fence_join(config->fence, config->lcore_index);
	*out = b;
	return 0;
}

void kx_broker_destroy(struct kx_broker *b)
{
	if (b == NULL)
		return;
	kx_fence_leave(b->config.fence, b->config.lcore_index);
	while (b->active != NULL && b->session_used > 0) /* their producer ids */
		identity_drop(b, session_of(b, b->active[--b->session_used]));
	frag_destroy(b);
	protect_destroy(b);
	kx_topics_fini(&b->topics);
	kx_auth_destroy(b->auth);
	principals_destroy(b);
	kx_map_fini(&b->conn_map);
	kx_map_fini(&b->nonce_map);
	kx_map_fini(&b->sub_map);
	residence_destroy(b);
	free(b->sessions);
	free(b->session_next_free);
	free(b->active);
	free(b->accepts);
	lists_destroy(b);
	quota_destroy(b);
	free(b->drain_list);
	free(b->dirty_parts);
	free(b->wake_parts);
	free(b);
}

unsigned int kx_broker_poll(struct kx_broker *b, uint64_t now_ns)
{
	unsigned int work;

	b->now_ns = now_ns;
	b->real_ns = now_ns + (uint64_t)b->real_minus_mono_ns;
	setup_turn(b);
	path_turn(b);
	request_turn(b);
	work = identity_poll(b);
	work += deliver_poll(b);
	if (kx_unlikely(b->verifying != 0))
		work += frag_poll(b);
	quota_poll(b);
	if (kx_unlikely(b->lists[LIST_WAIT].count != 0))
		work += credit_poll(b);
	if (kx_unlikely(b->drain_count != 0))
		work += produce_drain_poll(b);
	work += ack_poll(b);
	if (kx_unlikely(b->closing_head != KX_NONE))
		work += close_poll(b);
	return work + timer_poll(b);
}

void kx_broker_flushed(struct kx_broker *b, uint64_t now_ns)
{
	residence_flushed(b, now_ns);
	b->turn++;
}

void kx_broker_stop(struct kx_broker *b, uint64_t now_ns)
{
	b->now_ns = now_ns;
	b->stopping = true;
}

bool kx_broker_stopped(const struct kx_broker *b)
{
	return b->stopping && b->session_used == 0;
}
