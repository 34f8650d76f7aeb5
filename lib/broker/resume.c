/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * RESUME: a client asks what became of the messages it has no confirmation of. Of this start of the broker
 * the producer's state says it; of another one nothing is left of logs in memory.
 */
#include "broker_pvt.h"

/* What is stored of this epoch of the session's producer on a partition of ours. */
static void of_this_boot(struct kx_broker *b, const struct session *s, const struct kx_resume *req,
	const struct kx_resume_entry *e, struct kx_resumed_entry *out)
{
	uint32_t i = kx_producer_find(&b->topics, s->producer_id, e->partition);
	const struct kx_producer_state *st = i == KX_NONE ? NULL : &b->topics.producers[i];

	out->code = KX_CODE_UNKNOWN_FATE;
	if (req->producer_id != s->producer_id || req->producer_epoch > s->producer_epoch)
		return;
	if (st != NULL && st->producer_epoch == req->producer_epoch) {
		out->code = KX_CODE_OK;
		out->next_seq = st->next_seq;
		out->next_offset = st->next_offset;
	} else if (req->producer_epoch == s->producer_epoch &&
		(st != NULL || !kx_producer_id_forgotten(s->registered, s->producer_epoch))) {
		out->code = KX_CODE_OK; /* it never had any, or an older epoch's is still there: nothing is
					   stored */
	}
}

static void answer(struct kx_broker *b, const struct session *s, const struct kx_resume *req,
	const struct kx_resume_entry *e, struct kx_resumed_entry *out)
{
	const struct kx_partition *p = kx_topics_partition(&b->topics, e->partition);

	*out = (struct kx_resumed_entry){.partition = e->partition};
	if (e->partition >= b->config.conf->partition_count)
		out->code = KX_CODE_UNKNOWN_PARTITION;
	else if (p == NULL)
		out->code = KX_CODE_NOT_OWNER;
	else if (!kx_auth_allowed(s->principal->produce, p->topic))
		out->code = KX_CODE_DENIED;
	else if (req->boot_id != b->config.boot_id)
		out->code = KX_CODE_LOST; /* all logs are in memory: from sequence and offset 0 on */
	else
		of_this_boot(b, s, req, e, out);
}

enum kx_drop resume_frame(struct kx_broker *b, struct session *s, const struct kx_frame_view *v)
{
	const struct kx_resume *req = (const struct kx_resume *)v->body;
	const struct kx_resume_entry *e = (const struct kx_resume_entry *)(req + 1);
	uint32_t bytes = (uint32_t)(sizeof(struct kx_resumed) +
		req->entry_count * sizeof(struct kx_resumed_entry)); /* smaller than what asks */
	struct kx_resumed_entry *to;
	struct kx_resumed *body;
	struct out o;

	/* an older epoch of our own id is answered for good: nothing of it can be stored any more */
	if (identity_fenced(s)) {
		identity_close_fenced(b, s);
		return KX_DROP_PRODUCER_FENCED;
	}
	if (!out_begin(b, s, KX_RESUMED, 0, bytes, &o))
		return KX_DROP_NONE; /* asked again */
	body = (struct kx_resumed *)o.body;
	*body = (struct kx_resumed){.request_id = req->request_id, .entry_count = req->entry_count};
	to = (struct kx_resumed_entry *)(body + 1);
	for (uint32_t i = 0; i < req->entry_count; i++)
		answer(b, s, req, &e[i], &to[i]);
	out_send(b, s, &o, bytes);
	kx_count(&b->counters.resumes, 1);
	return KX_DROP_NONE;
}
