/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <string.h>

#include "kx_log.h"

static uint32_t extent_id(const struct kx_log *log, uint64_t seq)
{
	return log->ring[seq & log->ring_mask];
}

static const struct kx_extent *extent_at(const struct kx_log *log, uint64_t seq)
{
	return &log->pool->extents[extent_id(log, seq)];
}

/* Last extent whose base_offset <= offset; the caller has checked that offset lies in the log. */
static uint64_t find_extent(const struct kx_log *log, uint64_t offset)
{
	uint64_t lo = log->tail_seq, hi = log->head_seq;

	while (hi - lo > 1) {
		uint64_t mid = lo + (hi - lo) / 2;

		if (extent_at(log, mid)->base_offset <= offset)
			lo = mid;
		else
			hi = mid;
	}
	return lo;
}

static uint32_t find_indexed(const struct kx_log *log, uint64_t seq, uint32_t rel_offset)
{
	const struct kx_log_index *index =
		&log->pool->index[(uint64_t)extent_id(log, seq) * log->pool->index_max];
	uint32_t lo = 0, hi = extent_at(log, seq)->index_count;

	if (hi == 0)
		return 0;
	while (hi - lo > 1) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (index[mid].rel_offset <= rel_offset)
			lo = mid;
		else
			hi = mid;
	}
	return index[lo].pos;
}

void kx_log_seek_end(const struct kx_log *log, struct kx_log_cursor *c)
{
	c->offset = log->next_offset;
	c->ext_seq = log->active == KX_EXTENT_NONE ? log->head_seq : log->head_seq - 1;
	c->pos = log->active == KX_EXTENT_NONE ? 0 : log->pool->extents[log->active].used_bytes;
}

int kx_log_seek(const struct kx_log *log, uint64_t offset, struct kx_log_cursor *c)
{
	const struct kx_extent *e;
	const uint8_t *data;

	*c = (struct kx_log_cursor){0};
	if (offset < log->first_offset) {
		*c = (struct kx_log_cursor){.offset = log->first_offset, .ext_seq = log->tail_seq};
		return -ERANGE;
	}
	if (offset >= log->next_offset) {
		kx_log_seek_end(log, c);
		return offset == log->next_offset ? 0 : -ENODATA;
	}
	c->ext_seq = find_extent(log, offset);
	while (extent_at(log, c->ext_seq)->flags & KX_EXTENT_CONTINUES)
		c->ext_seq--;
	e = extent_at(log, c->ext_seq);
	data = kx_extent_data(log->pool, extent_id(log, c->ext_seq));
	c->pos = find_indexed(log, c->ext_seq, (uint32_t)(offset - e->base_offset));
	for (;;) {
		const struct kx_batch_hdr *b = (const struct kx_batch_hdr *)(data + c->pos);

		c->offset = b->base_offset;
		if ((e->flags & KX_EXTENT_LARGE) || offset < b->base_offset + b->record_count)
			return 0;
		c->pos += b->batch_bytes;
	}
}

/* At the end of a full extent the next data are in the next extent that begins a batch. */
static bool cursor_normalise(const struct kx_log *log, struct kx_log_cursor *c)
{
	while (c->ext_seq < log->head_seq) {
		const struct kx_extent *e = extent_at(log, c->ext_seq);

		if (!(e->flags & KX_EXTENT_CONTINUES) && c->pos < e->used_bytes)
			return true;
		if (extent_id(log, c->ext_seq) == log->active)
			return false;
		c->ext_seq++;
		c->pos = 0;
	}
	return false;
}

int kx_log_read(const struct kx_log *log, const struct kx_log_cursor *cursor, uint32_t max_bytes,
	struct kx_log_slice *s)
{
	struct kx_log_cursor c = *cursor;
	const struct kx_extent *e;
	const uint8_t *data;
	uint32_t rest;

	*s = (struct kx_log_slice){.next_offset = c.offset};
	if (c.offset == log->next_offset)
		return 0;
	if (c.ext_seq < log->tail_seq)
		return -ERANGE;
	if (!cursor_normalise(log, &c))
		return 0;
	e = extent_at(log, c.ext_seq);
	s->extent = extent_id(log, c.ext_seq);
	data = kx_extent_data(log->pool, s->extent) + c.pos;
	rest = e->used_bytes - c.pos;
	s->data = data;
	if (e->flags & KX_EXTENT_LARGE) {
		s->large_bytes = ((const struct kx_batch_hdr *)data)->batch_bytes;
		s->next_offset = c.offset + 1;
		return 0;
	}
	while (s->bytes < rest) {
		const struct kx_batch_hdr *b = (const struct kx_batch_hdr *)(data + s->bytes);

		if (s->bytes + b->batch_bytes > max_bytes) {
			if (s->bytes == 0) {
				s->large_bytes = b->batch_bytes;
				s->next_offset = b->base_offset + b->record_count;
			}
			break;
		}
		s->bytes += b->batch_bytes;
		s->batches++;
		s->records += b->record_count;
		s->next_offset = b->base_offset + b->record_count;
	}
	return 0;
}

void kx_log_advance(const struct kx_log *log, struct kx_log_cursor *c, const struct kx_log_slice *s)
{
	if (!cursor_normalise(log, c))
		return;
	c->offset = s->next_offset;
	c->pos += extent_at(log, c->ext_seq)->flags & KX_EXTENT_LARGE ? extent_at(log, c->ext_seq)->used_bytes
		: s->bytes != 0					      ? s->bytes
								      : s->large_bytes;
}

void kx_log_copy_large(const struct kx_log *log, const struct kx_log_cursor *cursor, uint32_t from,
	uint32_t bytes, uint8_t *out)
{
	struct kx_log_cursor c = *cursor;
	uint32_t size = log->pool->extent_bytes;

	if (!cursor_normalise(log, &c))
		return;
	from += c.pos;
	while (bytes > 0) {
		uint32_t in = from & (size - 1);
		uint32_t n = KX_MIN(bytes, size - in);

		memcpy(out, kx_extent_data(log->pool, extent_id(log, c.ext_seq + from / size)) + in, n);
		out += n;
		from += n;
		bytes -= n;
	}
}
