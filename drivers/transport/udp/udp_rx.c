/* SPDX-License-Identifier: BSD-3-Clause */
/* Receiving: one call for many messages, each of which may be several datagrams of one sender (UDP_GRO). */
#include "udp_pvt.h"

void kxc_udp_from_name(const union name *n, struct kx_addr *a)
{
	*a = (struct kx_addr){0};
	if (n->any.sa_family == AF_INET) {
		a->ip[10] = a->ip[11] = 0xff;
		memcpy(a->ip + 12, &n->v4.sin_addr, 4);
		a->port = ntohs(n->v4.sin_port);
		return;
	}
	memcpy(a->ip, &n->v6.sin6_addr, 16);
	a->port = ntohs(n->v6.sin6_port);
}

/* Messages from the kernel. @return false: nothing is there */
static bool refill(struct kx_transport_udp *t, unsigned int max)
{
	int n;

	max = KX_MIN(max, t->rx_frames);
	for (unsigned int i = 0; i < max; i++) {
		struct msghdr *m = &t->rx.msgs[i].msg_hdr;

		m->msg_namelen = sizeof(union name);
		m->msg_controllen = t->gro ? sizeof(union control) : 0;
	}
	n = recvmmsg(t->fd, t->rx.msgs, max, MSG_DONTWAIT, NULL);
	kx_count(&t->stats.rx_calls, 1);
	if (n <= 0)
		return false;
	t->rx_ns = kx_clock_mono_ns();
	t->rx_have = (uint32_t)n;
	t->rx_at = t->rx_from = 0;
	return true;
}

/* Size of the datagrams of a message; the last may be shorter. */
static uint32_t segment_bytes(const struct mmsghdr *m)
{
	struct msghdr *h = (struct msghdr *)(uintptr_t)&m->msg_hdr;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c != NULL; c = CMSG_NXTHDR(h, c)) {
		int bytes;

		if (c->cmsg_level != SOL_UDP || c->cmsg_type != UDP_GRO)
			continue;
		memcpy(&bytes, CMSG_DATA(c), sizeof(bytes));
		if (bytes > 0 && (uint32_t)bytes < m->msg_len)
			return (uint32_t)bytes;
	}
	return m->msg_len;
}

/* The next datagram. @return false: it is not to be had */
static bool next_frame(struct kx_transport_udp *t, struct kx_frame *f, unsigned int place)
{
	const struct mmsghdr *m = &t->rx.msgs[t->rx_at];
	uint32_t each = segment_bytes(m), from = t->rx_from, bytes = KX_MIN(each, m->msg_len - from);
	uint8_t *data = (uint8_t *)m->msg_hdr.msg_iov->iov_base + from;

	if (each < m->msg_len)
		kx_count(&t->stats.rx_gro_frames, 1);
	t->rx_from += bytes;
	if (t->rx_from >= m->msg_len) {
		t->rx_at++;
		t->rx_from = 0;
	}
	if ((m->msg_hdr.msg_flags & MSG_TRUNC) || bytes > t->datagram_bytes) {
		kx_count(&t->stats.rx_truncated, 1);
		return false;
	}
	if (kx_unlikely((uintptr_t)data % 8 != 0)) {
		uint8_t *aligned = t->bounce + (size_t)place * t->buffer_bytes;

		data = memcpy(aligned, data, bytes);
	}
	*f = (struct kx_frame){.data = data, .bytes = bytes, .rx_ns = t->rx_ns};
	kxc_udp_from_name((const union name *)m->msg_hdr.msg_name, &f->remote);
	return true;
}

unsigned int kxc_udp_rx_burst(void *ctx, struct kx_frame *frames, unsigned int max)
{
	struct kx_transport_udp *t = ctx;
	unsigned int got = 0;

	if (t->rx_at == t->rx_have && !refill(t, max))
		return 0;
	max = KX_MIN(max, t->rx_frames);
	while (got < max && t->rx_at < t->rx_have)
		got += next_frame(t, &frames[got], got);
	kx_count(&t->stats.rx_frames, got);
	return got;
}
