/* SPDX-License-Identifier: BSD-3-Clause */
#include "load.h"

/* `bytes` is a constant where it matters, so that the loop becomes vector stores. */
static KX_ALWAYS_INLINE void fill_batch(
	uint8_t *values, uint32_t stride, uint32_t n, uint32_t bytes, uint64_t id, uint64_t intended_ns)
{
	for (uint32_t i = 0; i < n; i++)
		pg_payload_fill(values + (size_t)i * stride, bytes, id + i, intended_ns);
}

static void fill(struct pg_load *l, uint8_t *values, uint32_t stride, uint32_t n, uint64_t id)
{
	if (kx_likely(l->payload_bytes == 64 && stride == 72))
		fill_batch(values, 72, n, 64, id, l->send.intended_ns);
	else
		fill_batch(values, stride, n, l->payload_bytes, id, l->send.intended_ns);
}

static void count_sent(struct pg_load *l, uint64_t now_ns, uint32_t n)
{
	struct pg_run *run = l->run;
	struct pg_send *s = &l->send;

	s->by->seq[s->partition] += n;
	s->left -= n;
	kx_count(&run->live.sent, n);
	if (run->o->arrivals != PG_MAX && pg_measured(run, s->intended_ns))
		kx_hist_add_n(run->lag, now_ns - s->intended_ns, n);
}

static enum kx_result send_batch(struct pg_load *l, uint64_t now_ns)
{
	struct pg_send *s = &l->send;
	uint32_t n = KX_MIN(s->left, l->fit), stride;
	uint8_t *values;
	enum kx_result r = kx_producer_claim(
		s->by->producer, s->partition, s->stream_key, l->payload_bytes, n, &values, &stride);

	if (r != KX_OK)
		return r;
	fill(l, values, stride, n, pg_id(l->run->run_id, s->by->index, s->by->seq[s->partition]));
	r = kx_producer_commit(s->by->producer, s->intended_ns, now_ns);
	if (r == KX_OK)
		count_sent(l, now_ns, n);
	return r;
}

/* A message larger than a frame: the library cuts it. */
static enum kx_result send_large(struct pg_load *l, uint64_t now_ns)
{
	struct pg_send *s = &l->send;
	struct kx_message m = {.value = l->scratch,
		.value_bytes = l->payload_bytes,
		.partition = (int32_t)s->partition,
		.stream_key = s->stream_key,
		.user = s->intended_ns};
	enum kx_result r;

	pg_payload_fill(l->scratch, l->payload_bytes,
		pg_id(l->run->run_id, s->by->index, s->by->seq[s->partition]), s->intended_ns);
	r = kx_producer_send(s->by->producer, &m, now_ns);
	if (r == KX_OK)
		count_sent(l, now_ns, 1);
	return r;
}

/* @return true when the send under way is complete */
static bool go_on(struct pg_load *l, uint64_t now_ns)
{
	while (l->send.left > 0) {
		enum kx_result r = l->fit > 0 ? send_batch(l, now_ns) : send_large(l, now_ns);

		if (r == KX_OK)
			continue;
		if (r != KX_BACK_PRESSURED && l->trouble == NULL) {
			l->trouble = "sending failed";
			l->trouble_result = r;
		}
		return false;
	}
	return true;
}

static void choose_partition(struct pg_load *l)
{
	struct pg_send *s = &l->send;

	if (l->run->o->streams == 0) {
		s->stream_key = 0;
		s->partition = l->next_partition;
		l->next_partition = l->next_partition + 1 == l->partitions ? 0 : l->next_partition + 1;
		return;
	}
	s->stream_key = l->next_stream + 1;
	l->next_stream = l->next_stream + 1 == l->run->o->streams ? 0 : l->next_stream + 1;
	s->partition = kx_key_partition(s->stream_key, l->partitions);
}

/* The next producer in turn that has room. A full one does not hold up the others. */
static struct pg_sender *choose_sender(struct pg_load *l)
{
	for (uint32_t i = 0; i < l->sender_count; i++) {
		struct pg_sender *s = &l->senders[l->next_sender];

		l->next_sender = l->next_sender + 1 == l->sender_count ? 0 : l->next_sender + 1;
		if (kx_producer_room(s->producer) > 0)
			return s;
	}
	return NULL;
}

void pg_load_send(struct pg_load *l, uint64_t now_ns)
{
	struct pg_run *run = l->run;
	bool open_loop = run->o->arrivals != PG_MAX;

	if (!go_on(l, now_ns))
		return;
	for (uint32_t i = 0; i < run->o->turn_sends; i++) {
		if (open_loop && pg_schedule_next_ns(&run->schedule) > now_ns)
			return;
		l->send.by = choose_sender(l);
		if (l->send.by == NULL)
			return;
		choose_partition(l);
		l->send.left = l->batch;
		l->send.intended_ns = open_loop ? pg_schedule_next_ns(&run->schedule) : now_ns;
		if (open_loop)
			pg_schedule_advance(&run->schedule);
		if (!go_on(l, now_ns))
			return;
	}
}

void pg_load_on_complete(void *arg, const struct kx_completion *c)
{
	struct pg_load *l = arg;
	struct pg_run *run = l->run;

	if (kx_unlikely(c->result != KX_OK)) {
		l->failed += c->count;
		if (pg_measured(run, c->user))
			run->ack->lost += c->count;
		return;
	}
	l->committed += c->count;
	uint32_t late = pg_record(run, run->ack, c->user, pg_now(run->rig), c->count);

	if (run->o->mode == PG_PRODUCE) {
		l->late += late;
		kx_count(&run->live.received, c->count);
	}
}
