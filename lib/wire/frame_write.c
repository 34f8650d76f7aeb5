/* SPDX-License-Identifier: BSD-3-Clause */
/* Starting and sealing frames. */
#include "wire_private.h"

uint8_t *kx_frame_begin(uint8_t *data, enum kx_frame_type type, uint64_t conn_id, uint64_t pkt_no,
	uint32_t floor_delta, uint32_t handle)
{
	struct kx_frame_hdr h = {
		.version = KX_WIRE_VERSION,
		.type = (uint8_t)type,
		.conn_id = conn_id,
		.pkt_no = pkt_no,
		.floor_delta = floor_delta,
		.handle = handle,
	};

	memcpy(data, &h, sizeof(h));
	return data + sizeof(h);
}

void kx_frame_seal(uint8_t *data, size_t bytes)
{
	uint32_t check = wire_frame_crc(data, bytes);

	memcpy(data + offsetof(struct kx_frame_hdr, check), &check, sizeof(check));
}
