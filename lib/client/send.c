/* SPDX-License-Identifier: BSD-3-Clause */
/* Messages in: batches are built in place in the send slots. */
#include "client_pvt.h"

static enum kx_result usable(const struct kx_producer *p)
{
	if (kx_likely(p->state == OPEN_READY && p->client->connected))
		return KX_OK;
	if (p->closed)
		return KX_CLOSED;
	if (p->state == OPEN_FAILED)
		return p->client->fenced ? KX_FENCED : KX_REFUSED;
	return p->client->connected ? KX_NOT_READY : KX_NOT_CONNECTED;
}

/* The channel of a partition; opens it when this is its first message. */
static enum kx_result part_usable(struct part *part, uint64_t now_ns)
{
	if (kx_likely(part->ch != NULL && part->failed == 0))
		return KX_OK;
	if (part->failed != 0)
		return KX_REFUSED;
	part->ch = kxc_client_channel(part->producer->client, part->lcore, now_ns);
	return part->ch != NULL ? KX_OK : KX_NO_TICKET;
}

/* ---- claim and commit */

static uint32_t fit(uint32_t batch_bytes, uint32_t value_bytes)
{
	if (batch_bytes <= KX_BATCH_HDR_BYTES)
		return 0;
	return (uint32_t)((batch_bytes - KX_BATCH_HDR_BYTES) /
		(sizeof(struct kx_record_hdr) + kx_align8(value_bytes)));
}

uint32_t kx_producer_fit(const struct kx_producer *p, uint32_t value_bytes)
{
	if (p->state != OPEN_READY)
		return 0;
	return KX_MAX(fit(p->batch_max, value_bytes), KX_MIN(fit(p->batch_limit, value_bytes), 1u));
}

/* count <= fit(), without a division */
static bool fits(uint32_t batch_bytes, uint32_t value_bytes, uint32_t count)
{
	uint64_t stride = sizeof(struct kx_record_hdr) + kx_align8(value_bytes);

	return KX_BATCH_HDR_BYTES + count * stride <= batch_bytes;
}

enum kx_result kx_producer_claim(struct kx_producer *p, uint32_t partition, uint64_t stream_key,
	uint32_t value_bytes, uint32_t count, uint8_t **values, uint32_t *stride_bytes)
{
	enum kx_result r = usable(p);
	struct part *part;
	uint32_t slot;

	if (kx_unlikely(r != KX_OK))
		return r;
	if (kx_unlikely(p->claimed))
		return KX_BAD_STATE;
	if (kx_unlikely(partition >= p->part_count))
		return KX_UNKNOWN_PARTITION;
	if (kx_unlikely(count == 0 || count > UINT16_MAX || values == NULL || stride_bytes == NULL))
		return KX_BAD_ARGUMENT;
	if (kx_unlikely(value_bytes > p->max_message_bytes || !fits(p->batch_limit, value_bytes, count)))
		return KX_TOO_LARGE;
	part = &p->parts[partition];
	if (kx_unlikely(part->ch == NULL || part->failed != 0)) {
		r = part_usable(part, part->progress_ns);
		if (r != KX_OK)
			return r;
	}
	slot = kxc_slot_take(p);
	if (kx_unlikely(slot == NONE))
		return KX_BACK_PRESSURED;
	kx_batch_begin(&p->claim_w, slot_data(p, slot), p->batch_limit, part->id, 0, 0, 0, stream_key);
	*values = count == 1 ? kx_batch_claim(&p->claim_w, value_bytes)
			     : kx_batch_claim_run(&p->claim_w, value_bytes, count);
	*stride_bytes = (uint32_t)(sizeof(struct kx_record_hdr) + kx_align8(value_bytes));
	p->claimed = true;
	p->claim_part = partition;
	p->claim_slot = slot;
	return KX_OK;
}

enum kx_result kx_producer_commit(struct kx_producer *p, uint64_t user, uint64_t now_ns)
{
	struct part *part = &p->parts[p->claim_part];

	if (kx_unlikely(!p->claimed))
		return KX_BAD_STATE;
	p->claimed = false;
	if (kx_unlikely(p->state != OPEN_READY)) { /* the session was lost in between */
		kxc_slot_free(p, p->claim_slot);
		return p->client->fenced ? KX_FENCED : KX_NOT_READY;
	}
	if (kx_unlikely(part->ch == NULL || part->failed != 0)) {
		enum kx_result r = part_usable(part, now_ns);

		if (r != KX_OK) {
			kxc_slot_free(p, p->claim_slot);
			return r;
		}
	}
	if (kx_unlikely(part->open_slot != NONE))
		kxc_part_close_batch(part, now_ns);
	p->slots[p->claim_slot].user = user;
	p->pending += p->claim_w.record_count;
	p->client->stats.messages_sent += p->claim_w.record_count;
	kxc_slot_queue(part, p->claim_slot, &p->claim_w, now_ns);
	return KX_OK;
}

void kx_producer_cancel(struct kx_producer *p)
{
	if (p == NULL || !p->claimed)
		return;
	p->claimed = false;
	kxc_slot_free(p, p->claim_slot);
}

/* ---- one message at a time */

/* Queue the batch being filled. Its partition stays on the list of open ones until it is at the head:
 * harmless. */
void kxc_part_close_batch(struct part *part, uint64_t now_ns)
{
	struct kx_producer *p = part->producer;
	uint32_t slot = part->open_slot;

	if (slot == NONE)
		return;
	part->open_slot = NONE;
	if (part->index == p->robin)
		p->robin = p->robin + 1 < p->part_count ? p->robin + 1 : 0;
	kxc_slot_queue(part, slot, &part->w, now_ns);
}

static void open_list_add(struct part *part)
{
	struct kx_producer *p = part->producer;

	if (part->open_listed)
		return;
	part->open_listed = true;
	part->open_next = NULL;
	if (p->open_head == NULL)
		p->open_head = part;
	else
		p->open_tail->open_next = part;
	p->open_tail = part;
}

/* Close the batches whose time is up. */
void kxc_producer_linger(struct kx_producer *p, uint64_t now_ns)
{
	struct part *part;

	while ((part = p->open_head) != NULL) {
		if (part->open_slot != NONE) {
			if (now_ns < part->open_ns + p->opts.linger_ns) {
				kxc_timer_arm(&p->client->hub->timers, &p->timer,
					part->open_ns + p->opts.linger_ns);
				return;
			}
			kxc_part_close_batch(part, now_ns);
		}
		p->open_head = part->open_next;
		part->open_listed = false;
	}
	p->open_tail = NULL;
}

void kx_producer_flush(struct kx_producer *p, uint64_t now_ns)
{
	for (struct part *part = p->open_head; part != NULL; part = part->open_next) {
		kxc_part_close_batch(part, now_ns);
		part->open_listed = false;
	}
	p->open_head = p->open_tail = NULL;
}

static enum kx_result open_batch(
	struct part *part, uint32_t max_bytes, uint64_t stream_key, uint64_t user, uint64_t now_ns)
{
	struct kx_producer *p = part->producer;
	uint32_t slot = kxc_slot_take(p);

	if (kx_unlikely(slot == NONE))
		return KX_BACK_PRESSURED;
	kx_batch_begin(&part->w, slot_data(p, slot), max_bytes, part->id, 0, 0, 0, stream_key);
	p->slots[slot].user = user;
	part->open_slot = slot;
	part->open_ns = now_ns;
	open_list_add(part);
	kxc_timer_arm(&p->client->hub->timers, &p->timer, now_ns + p->opts.linger_ns);
	return KX_OK;
}

static uint64_t record_bytes(const struct kx_message *m)
{
	uint64_t n = sizeof(struct kx_record_hdr) + kx_align8(m->key_bytes) + kx_align8(m->value_bytes);
	uint64_t headers = sizeof(struct kx_rec_headers);

	if (m->timestamp_ns != 0)
		n += sizeof(m->timestamp_ns);
	if (m->header_count == 0)
		return n;
	for (uint32_t i = 0; i < m->header_count; i++)
		headers += 4u + m->headers[i].name_bytes + m->headers[i].value_bytes;
	return n + kx_align8(headers);
}

static bool add_record(struct kx_batch_writer *w, const struct kx_message *m)
{
	struct kx_record r = {.key = m->key,
		.key_bytes = m->key_bytes,
		.timestamp_ns = m->timestamp_ns,
		.value_bytes = m->value_bytes};
	uint8_t *at;

	if (kx_likely(m->key == NULL && m->timestamp_ns == 0 && m->header_count == 0))
		at = kx_batch_claim(w, m->value_bytes);
	else
		at = kx_batch_claim_full(w, &r, m->headers, m->header_count);
	if (at == NULL)
		return false;
	if (m->value_bytes > 0)
		memcpy(at, m->value, m->value_bytes);
	return true;
}

static uint64_t batch_key(const struct kx_message *m)
{
	return m->key != NULL ? 0 : m->stream_key;
}

static void taken(struct kx_producer *p)
{
	p->pending++;
	p->client->stats.messages_sent++;
}

/* A message that needs several datagrams is a batch of its own in the large-message buffer. */
static enum kx_result send_large(struct part *part, const struct kx_message *m, uint64_t now_ns)
{
	struct kx_producer *p = part->producer;
	uint64_t bytes = KX_BATCH_HDR_BYTES + record_bytes(m);
	struct kx_batch_writer w;
	uint32_t slot, large;

	if (bytes > p->opts.large_bytes)
		return KX_TOO_LARGE;
	slot = kxc_slot_take(p);
	if (slot == NONE)
		return KX_BACK_PRESSURED;
	large = kxc_large_take(p, (uint32_t)bytes);
	if (large == NONE) {
		kxc_slot_free(p, slot);
		return KX_BACK_PRESSURED;
	}
	p->slots[slot].large = large;
	p->slots[slot].user = m->user;
	p->larges[large].slot = slot;
	kx_batch_begin(&w, slot_data(p, slot), (uint32_t)bytes, part->id, 0, 0, 0, batch_key(m));
	if (!add_record(&w, m)) {
		kxc_slot_free(p, slot);
		return KX_TOO_LARGE;
	}
	kxc_part_close_batch(part, now_ns);
	kxc_slot_queue(part, slot, &w, now_ns);
	taken(p);
	return KX_OK;
}

static bool anywhere(const struct kx_message *m)
{
	return m->partition == KX_PARTITION_AUTO && m->key == NULL && m->stream_key == 0;
}

/* Add to the open batch. False: it does not belong there or does not fit. */
static bool joins(struct part *part, const struct kx_message *m)
{
	return part->open_slot != NONE && (m->key != NULL || part->w.batch->stream_key == m->stream_key) &&
		add_record(&part->w, m);
}

static enum kx_result send_to(struct part *part, const struct kx_message *m, uint64_t now_ns)
{
	struct kx_producer *p = part->producer;
	enum kx_result r = part_usable(part, now_ns);
	uint64_t bytes = KX_BATCH_HDR_BYTES + record_bytes(m);

	if (kx_unlikely(r != KX_OK))
		return r;
	if (kx_unlikely(bytes > p->batch_limit))
		return send_large(part, m, now_ns);
	if (!joins(part, m)) {
		kxc_part_close_batch(part, now_ns);
		if (anywhere(m)) { /* one batch a partition, in turn */
			part = &p->parts[p->robin];
			r = part_usable(part, now_ns);
			if (kx_unlikely(r != KX_OK))
				return r;
			kxc_part_close_batch(part, now_ns);
		}
		/* alone, and in fragments, when the path is not known to carry it */
		r = open_batch(part, bytes > p->batch_max ? (uint32_t)bytes : p->batch_max, batch_key(m),
			m->user, now_ns);
		if (kx_unlikely(r != KX_OK))
			return r;
		(void)add_record(&part->w, m); /* record_bytes() said that it fits */
	}
	taken(p);
	return KX_OK;
}

static bool message_ok(const struct kx_message *m)
{
	if (m == NULL || (m->value == NULL && m->value_bytes > 0) || m->header_count > KX_REC_HEADERS_MAX)
		return false;
	if ((m->key == NULL) != (m->key_bytes == 0) || (m->header_count > 0 && m->headers == NULL))
		return false;
	for (uint32_t i = 0; i < m->header_count; i++)
		if (m->headers[i].name_bytes == 0 || m->headers[i].name == NULL ||
			(m->headers[i].value == NULL && m->headers[i].value_bytes > 0))
			return false;
	return m->partition >= KX_PARTITION_AUTO;
}

enum kx_result kx_producer_send(struct kx_producer *p, const struct kx_message *m, uint64_t now_ns)
{
	enum kx_result r;
	uint32_t index;

	if (kx_unlikely(p == NULL || !message_ok(m)))
		return KX_BAD_ARGUMENT;
	r = usable(p);
	if (kx_unlikely(r != KX_OK))
		return r;
	if (kx_unlikely(p->claimed))
		return KX_BAD_STATE;
	if (kx_unlikely(m->value_bytes > p->max_message_bytes))
		return KX_TOO_LARGE;
	if (m->partition >= 0)
		index = (uint32_t)m->partition;
	else if (m->key != NULL)
		index = kx_key_partition(kx_hash_bytes(m->key, m->key_bytes), p->part_count);
	else if (m->stream_key != 0)
		index = kx_key_partition(m->stream_key, p->part_count);
	else
		index = p->robin;
	if (kx_unlikely(index >= p->part_count))
		return KX_UNKNOWN_PARTITION;
	return send_to(&p->parts[index], m, now_ns);
}
