/* SPDX-License-Identifier: BSD-3-Clause */
#include "wire_repair.h"

void wire_repair_batches(uint8_t *p, size_t rest, bool stamped)
{
	while (rest >= KX_BATCH_HDR_BYTES) {
		struct kx_batch_hdr *b = (struct kx_batch_hdr *)p;

		if (b->batch_bytes < KX_BATCH_HDR_BYTES || b->batch_bytes > rest || (b->batch_bytes & 7) != 0)
			return;
		b->data_crc = kx_batch_data_crc(b);
		if (stamped)
			b->header_crc = kx_batch_header_crc(b);
		p += b->batch_bytes;
		rest -= b->batch_bytes;
	}
}

void wire_repair_frame(uint8_t *data, size_t bytes)
{
	const struct kx_frame_hdr *h = (const struct kx_frame_hdr *)data;
	bool frag;
	size_t head;

	if (bytes < sizeof(*h))
		return;
	head = sizeof(*h) + 8u * h->ext_words;
	frag = h->type == KX_PRODUCE_FRAG || h->type == KX_DELIVER_FRAG;
	if (bytes < head + (frag ? sizeof(struct kx_frag) : 0))
		return;
	if (frag) {
		struct kx_frag *f = (struct kx_frag *)(data + head);

		f->frag_crc = kx_crc32c(0, f + 1, bytes - head - sizeof(*f));
	}
	if (h->type == KX_PRODUCE || h->type == KX_DELIVER)
		wire_repair_batches(data + head, bytes - head, h->type == KX_DELIVER);
	kx_frame_seal(data, bytes);
}
