/* SPDX-License-Identifier: BSD-3-Clause */
/* Requests of clients: answered at once, idempotent, repeated by the client until the answer comes. */
#include <errno.h>
#include <string.h>

#include "broker_pvt.h"

#define BUDGET_PER_TURN	 128u /* in units of some 64 look-ups in memory that is near */
#define TOPICS_PER_UNIT	 64u
#define ENTRIES_PER_UNIT 4u /* lines that other lcores write; look-ups of RESUME */

/* Requests that cost much share this much a turn. Half of it is for sessions that were not served in the
 * turn: one that asks and asks keeps nobody from an answer. */
void request_turn(struct kx_broker *b)
{
	b->request_left = BUDGET_PER_TURN;
}

/* Is there enough of it? Takes what it costs. */
static bool allowed(struct kx_broker *b, struct session *s, uint32_t cost)
{
	uint32_t kept = s->request_turn == b->turn + 1 ? BUDGET_PER_TURN / 2 : 0;

	if (b->request_left <= kept)
		return false;
	b->request_left -= KX_MIN(cost, b->request_left);
	s->request_turn = b->turn + 1;
	return true;
}

/* The client asks again in its time; its number is taken, so that nothing is said of a hole. */
static bool over_budget(struct kx_broker *b, struct session *s, uint32_t cost)
{
	if (allowed(b, s, cost))
		return false;
	b->close_packet = true;
	return true;
}

static uint32_t topics_cost(const struct kx_broker *b)
{
	return 2 + b->config.conf->topic_count / TOPICS_PER_UNIT;
}

static uint32_t resume_cost(const struct kx_frame_view *v)
{
	return 1 + ((const struct kx_resume *)v->body)->entry_count / ENTRIES_PER_UNIT;
}

static void ping(
	struct kx_broker *b, struct session *s, const struct kx_frame *f, const struct kx_frame_view *v)
{
	const struct kx_ping *ping = (const struct kx_ping *)v->body;
	struct kx_pong *body;
	struct out o;

	if (!out_begin(b, s, KX_PONG, 0, sizeof(*body), &o))
		return;
	body = (struct kx_pong *)o.body;
	*body = (struct kx_pong){.token = ping->token,
		.client_time = ping->client_time,
		.residence_ns = (uint32_t)KX_MIN(b->now_ns - f->rx_ns, UINT32_MAX),
		.lcore_index = (uint16_t)b->config.lcore_index};
	out_send(b, s, &o, sizeof(*body));
}

static void metadata_entry(const struct kx_broker *b, const struct kx_conf_topic *topic, uint32_t index,
	struct kx_metadata_entry *e)
{
	uint32_t id = topic->first_partition + index;
	const struct kx_partition_offsets *o = &b->config.offsets[id];

	*e = (struct kx_metadata_entry){.partition = id,
		.owner_port = (uint16_t)(b->config.conf->broker.udp_port +
			kx_conf_partition_owner(id, b->config.lcore_count)),
		.index = (uint16_t)index,
		.log_epoch = (uint32_t)kx_counter_read(&o->log_epoch),
		.first_offset = kx_counter_read(&o->first_offset),
		.committed_offset = kx_counter_read(&o->committed_offset),
		.next_offset = kx_counter_read(&o->next_offset)};
}

static void metadata(struct kx_broker *b, struct session *s, const struct kx_frame_view *v)
{
	const struct kx_metadata_req *req = (const struct kx_metadata_req *)v->body;
	int index = kx_conf_topic_find(b->config.conf, (const char *)req->topic, req->topic_bytes);
	/* What it has no right to does not exist for it. */
	const struct kx_conf_topic *topic =
		index >= 0 && kx_auth_allowed(s->principal->either, (uint32_t)index)
		? &b->config.conf->topics[index]
		: NULL;
	uint32_t fit = (session_room(s) - sizeof(struct kx_metadata)) / sizeof(struct kx_metadata_entry);
	struct kx_metadata *body;
	uint32_t n = 0, bytes;
	struct out o;

	if (topic != NULL && req->first_index < topic->partitions)
		n = KX_MIN(KX_MIN(fit, topic->partitions - req->first_index), KX_ENTRIES_MAX);
	bytes = (uint32_t)(sizeof(*body) + n * sizeof(struct kx_metadata_entry));
	if (!out_begin(b, s, KX_METADATA, 0, bytes, &o))
		return;
	body = (struct kx_metadata *)o.body;
	*body = (struct kx_metadata){.request_id = req->request_id,
		.code = topic == NULL ? KX_CODE_UNKNOWN_TOPIC : KX_CODE_OK,
		.first_index = req->first_index,
		.entry_count = (uint16_t)n,
		.durability = KX_MEMORY,
		.config_generation = 1};
	if (topic != NULL) {
		body->partition_count = (uint16_t)topic->partitions;
		body->overrun = topic->overrun == KX_CONF_BLOCK;
		body->max_message_bytes = topic->max_message_bytes;
	}
	b->request_left -= KX_MIN(n / ENTRIES_PER_UNIT, b->request_left);
	for (uint32_t i = 0; i < n; i++)
		metadata_entry(b, topic, req->first_index + i, (struct kx_metadata_entry *)(body + 1) + i);
	out_send(b, s, &o, bytes);
}

static void topics_entry(const struct kx_conf_topic *topic, struct kx_topics_entry *e)
{
	*e = (struct kx_topics_entry){.partition_count = (uint16_t)topic->partitions,
		.durability = KX_MEMORY,
		.overrun = topic->overrun == KX_CONF_BLOCK,
		.name_bytes = (uint8_t)strlen(topic->name)};
	memcpy(e->name, topic->name, e->name_bytes);
}

/* Topics are numbered as the principal sees them: without those it has no right to. */
static void topics_list(struct kx_broker *b, struct session *s, const struct kx_frame_view *v)
{
	const struct kx_topics_req *req = (const struct kx_topics_req *)v->body;
	const struct kx_conf *conf = b->config.conf;
	uint32_t fit = (session_room(s) - sizeof(struct kx_topics)) / sizeof(struct kx_topics_entry);
	uint32_t seen = 0, n = 0, bytes;
	struct kx_topics *body;
	struct out o;

	fit = KX_MIN(KX_MIN(fit, conf->topic_count), KX_ENTRIES_MAX);
	if (!out_begin(
		    b, s, KX_TOPICS, 0, (uint32_t)(sizeof(*body) + fit * sizeof(struct kx_topics_entry)), &o))
		return;
	body = (struct kx_topics *)o.body;
	for (uint32_t t = 0; t < conf->topic_count; t++) {
		if (!kx_auth_allowed(s->principal->either, t))
			continue;
		if (seen++ >= req->first_index && n < fit)
			topics_entry(&conf->topics[t], (struct kx_topics_entry *)(body + 1) + n++);
	}
	*body = (struct kx_topics){.request_id = req->request_id,
		.topic_count = seen,
		.first_index = req->first_index,
		.entry_count = n};
	bytes = (uint32_t)(sizeof(*body) + n * sizeof(struct kx_topics_entry));
	out_send(b, s, &o, bytes);
}

static void subscribed(struct kx_broker *b, struct session *s, const struct kx_subscribe *req,
	enum kx_code code, const struct kx_sub *sub)
{
	const struct kx_partition *p = kx_topics_partition(&b->topics, req->partition);
	struct kx_subscribed *body;
	struct out o;

	if (!out_begin(b, s, KX_SUBSCRIBED, 0, sizeof(*body), &o))
		return;
	body = (struct kx_subscribed *)o.body;
	*body = (struct kx_subscribed){.request_id = req->request_id,
		.code = code,
		.sub_id = req->sub_id,
		.partition = req->partition};
	if (sub != NULL) {
		body->log_epoch = p->log.log_epoch;
		body->start_offset = sub->start_offset;
		body->next_offset = p->log.next_offset;
	} else if (code == KX_CODE_OFFSET_OUT_OF_RANGE) {
		body->log_epoch = p->log.log_epoch;
		body->next_offset = p->log.next_offset;
	}
	out_send(b, s, &o, sizeof(*body));
}

/* First offset a new subscription gets. What was trimmed before is told by start_offset, not by a notice. */
static int start_cursor(const struct kx_partition *p, uint64_t wanted, struct kx_sub *sub)
{
	uint64_t offset = wanted == KX_OFFSET_NOW ? p->log.next_offset
		: wanted == KX_OFFSET_EARLIEST	  ? p->log.first_offset
						  : wanted;

	if (kx_log_seek(&p->log, offset, &sub->cursor) == -ENODATA)
		return -ENODATA;
	return 0;
}

/* No place for it, now: told, and charged. Its number is taken: it was answered. */
static enum kx_drop subs_full(struct kx_broker *b, struct session *s, const struct kx_subscribe *req)
{
	subscribed(b, s, req, KX_CODE_SUBS_FULL, NULL);
	b->close_packet = true;
	return KX_DROP_SUBS_FULL;
}

static enum kx_drop subscribe(struct kx_broker *b, struct session *s, const struct kx_frame_view *v)
{
	const struct kx_subscribe *req = (const struct kx_subscribe *)v->body;
	struct kx_partition *p = kx_topics_partition(&b->topics, req->partition);
	uint32_t index = session_sub(b, s, req->sub_id);
	struct kx_sub *sub;

	if (index != KX_NONE) { /* our answer was lost */
		sub = &b->topics.subs[index];
		subscribed(b, s, req,
			sub->partition == req->partition && sub->request_id == req->request_id
				? KX_CODE_OK
				: KX_CODE_BAD_REQUEST,
			sub->partition == req->partition ? sub : NULL);
		return KX_DROP_NONE;
	}
	if (p == NULL) {
		bool known = req->partition < b->config.conf->partition_count;

		subscribed(b, s, req, known ? KX_CODE_NOT_OWNER : KX_CODE_UNKNOWN_PARTITION, NULL);
		return KX_DROP_NONE;
	}
	if (!kx_auth_allowed(s->principal->consume, p->topic)) {
		access_denied(b, s, p->topic);
		subscribed(b, s, req, KX_CODE_DENIED, NULL);
		return KX_DROP_NONE;
	}
	/* no session takes more than half of the table */
	if (s->sub_count < KX_MAX(b->topics.sub_total / 2, 16u))
		index = kx_sub_open(&b->topics, p, s->slot, req->sub_id);
	if (index == KX_NONE) {
		timer_name_all_subs(b);
		return subs_full(b, s, req);
	}
	sub = &b->topics.subs[index];
	if (start_cursor(p, req->start_offset, sub) != 0) {
		kx_sub_close(&b->topics, index);
		subscribed(b, s, req, KX_CODE_OFFSET_OUT_OF_RANGE, NULL);
		return KX_DROP_NONE;
	}
	kx_sub_start(&b->topics, index, sub->cursor.offset);
	sub->limit_bytes = req->limit_bytes;
	sub->request_id = req->request_id;
	if (!session_sub_add(b, s, index)) {
		kx_sub_close(&b->topics, index);
		return subs_full(b, s, req);
	}
	subscribed(b, s, req, KX_CODE_OK, sub);
	sub_ready(b, index);
	return KX_DROP_NONE;
}

static void unsubscribe(struct kx_broker *b, struct session *s, const struct kx_frame_view *v)
{
	const struct kx_unsubscribe *req = (const struct kx_unsubscribe *)v->body;
	uint32_t index = session_sub(b, s, req->sub_id);
	struct kx_unsubscribe *body;
	struct out o;

	if (index != KX_NONE)
		session_sub_end(b, s, index);
	if (!out_begin(b, s, KX_UNSUBSCRIBED, 0, sizeof(*body), &o))
		return;
	body = (struct kx_unsubscribe *)o.body;
	*body = *req;
	out_send(b, s, &o, sizeof(*body));
}

enum kx_drop request_frame(
	struct kx_broker *b, struct session *s, const struct kx_frame *f, const struct kx_frame_view *v)
{
	if (s->rx.largest_pkt == 0) /* answers ACCEPT: a round trip without a queue of ours */
		kx_cc_acked(&s->cc, 0, b->now_ns - s->created_ns, 0, b->now_ns);
	switch (v->hdr->type) {
	case KX_PING:
		ping(b, s, f, v);
		return KX_DROP_NONE;
	case KX_PATH_RESPONSE: /* rx.c moved the session, or its address has been proven before */
		return KX_DROP_NONE;
	case KX_HEARTBEAT:
		produce_commit_again(b, s);
		if ((v->hdr->flags & KX_FLAG_MORE) != 0)
			credit_asked(b, s, ((const struct kx_receipt *)v->body)->limit_bytes);
		ack_due(b, s, true);
		return consume_receipt(b, s, v);
	case KX_CLOSE:
		session_close(b, s);
		return KX_DROP_NONE;
	case KX_METADATA_REQ:
		if (over_budget(b, s, topics_cost(b)))
			return KX_DROP_REQUEST_BUDGET;
		metadata(b, s, v);
		return KX_DROP_NONE;
	case KX_TOPICS_REQ:
		if (over_budget(b, s, topics_cost(b)))
			return KX_DROP_REQUEST_BUDGET;
		topics_list(b, s, v);
		return KX_DROP_NONE;
	case KX_SUBSCRIBE:
		return subscribe(b, s, v);
	case KX_UNSUBSCRIBE:
		unsubscribe(b, s, v);
		return KX_DROP_NONE;
	case KX_MTU_PROBE:
		return mtu_frame(b, s, v);
	case KX_RESUME:
		if (over_budget(b, s, resume_cost(v)))
			return KX_DROP_REQUEST_BUDGET;
		return resume_frame(b, s, v);
	default:
		return KX_DROP_FRAME_TYPE;
	}
}
