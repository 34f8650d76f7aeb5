/* SPDX-License-Identifier: BSD-3-Clause */
/* Private to the UDP transport. */
#ifndef UDP_PVT_H
#define UDP_PVT_H

#include <netinet/in.h>
#include <netinet/udp.h>
#include <string.h>
#include <sys/socket.h>

#include "kx_transport_udp.h"

#define GRO_BYTES   65536 /* of one receive buffer when the kernel may put datagrams together */
#define REFUSED_MAX 16	  /* receivers; of further ones it is found out by what is lost */

union name {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};
union control {
	struct cmsghdr align;
	uint8_t bytes[CMSG_SPACE(sizeof(int))];
};

struct ring {
	uint8_t *memory;
	struct mmsghdr *msgs;
	struct iovec *iovs;
	union name *names;
	union control *controls;
};

struct kx_transport_udp {
	int fd;
	uint32_t datagram_bytes, buffer_bytes;
	uint32_t rx_frames, tx_frames;
	bool v6, gso, gro;
	/* receiving: messages taken from the kernel, and how far they were given away */
	struct ring rx;
	uint32_t rx_have, rx_at, rx_from;
	uint64_t rx_ns;
	uint8_t *bounce; /* rx_frames buffers, for datagrams that are not aligned behind others */
	/* sending: a buffer is its index + 1 as a pointer-sized handle; handles are never followed */
	struct ring tx;	   /* iovs and names: by place in the queue; msgs and controls: what is given to the
			      kernel */
	uint32_t *tx_free; /* buffers nobody has */
	uint32_t tx_free_count;
	uint32_t *queue; /* buffers to send, in order */
	uint32_t queued;
	/* refused for its size, since the hub asked last: by receiver, the smallest of each */
	struct {
		struct kx_addr remote;
		uint32_t bytes;
	} refused[REFUSED_MAX];
	uint32_t refused_count;
	struct kx_transport_udp_stats stats;
};

/* udp_rx.c */
void kxc_udp_from_name(const union name *n, struct kx_addr *a);
unsigned int kxc_udp_rx_burst(void *ctx, struct kx_frame *frames, unsigned int max);
/* udp_tx.c */
void kxc_udp_flush(void *ctx);
uint32_t kxc_udp_refused(void *ctx, struct kx_addr *remote);

#endif
