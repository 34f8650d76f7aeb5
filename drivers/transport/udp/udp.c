/* SPDX-License-Identifier: BSD-3-Clause */
/* KXP frames over a kernel UDP socket: the table, open, close. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "udp_pvt.h"

#define SOCKET_BYTES_DEFAULT (8u << 20)

/* ---- addresses */

static socklen_t to_name(const struct kx_addr *a, bool v6, union name *n)
{
	memset(n, 0, sizeof(*n));
	if (!v6) {
		n->v4.sin_family = AF_INET;
		n->v4.sin_port = htons(a->port);
		memcpy(&n->v4.sin_addr, a->ip + 12, 4);
		return sizeof(n->v4);
	}
	n->v6.sin6_family = AF_INET6;
	n->v6.sin6_port = htons(a->port);
	memcpy(&n->v6.sin6_addr, a->ip, 16);
	return sizeof(n->v6);
}

/* ---- the table */

/* The buffers are those of the next burst. */
static void udp_release(void *ctx, struct kx_frame *frames, unsigned int n)
{
	(void)ctx;
	(void)frames;
	(void)n;
}

static void *udp_alloc(void *ctx, uint32_t bytes, uint8_t **data)
{
	struct kx_transport_udp *t = ctx;
	uint32_t i;

	if (bytes > t->datagram_bytes)
		return NULL;
	if (t->tx_free_count == 0)
		kxc_udp_flush(t);
	if (t->tx_free_count == 0)
		return NULL;
	i = t->tx_free[--t->tx_free_count];
	*data = t->tx.memory + (size_t)i * t->buffer_bytes;
	return (void *)(uintptr_t)(i + 1);
}

static void udp_free(void *ctx, void *buf)
{
	struct kx_transport_udp *t = ctx;

	t->tx_free[t->tx_free_count++] = (uint32_t)(uintptr_t)buf - 1;
}

static void udp_send(void *ctx, void *buf, uint32_t bytes, const struct kx_path *path)
{
	struct kx_transport_udp *t = ctx;
	uint32_t i = (uint32_t)(uintptr_t)buf - 1, at = t->queued++;

	t->queue[at] = i;
	t->tx.iovs[at] = (struct iovec){t->tx.memory + (size_t)i * t->buffer_bytes, bytes};
	(void)to_name(&path->remote, t->v6, &t->tx.names[at]);
}

static unsigned int udp_room(void *ctx)
{
	const struct kx_transport_udp *t = ctx;

	return t->tx_frames - t->queued;
}

static int udp_path_to(void *ctx, const struct kx_addr *remote, struct kx_path *path)
{
	const struct kx_transport_udp *t = ctx;

	if (kx_addr_is_v4(remote) == t->v6)
		return -ENETUNREACH;
	*path = (struct kx_path){.remote = *remote, .datagram_bytes = (uint16_t)t->datagram_bytes};
	return 0;
}

static int udp_path_of(void *ctx, const struct kx_frame *frame, struct kx_path *path)
{
	return udp_path_to(ctx, &frame->remote, path);
}

static int udp_fd(void *ctx)
{
	return ((const struct kx_transport_udp *)ctx)->fd;
}

static const struct kx_transport_ops udp_ops = {
	.rx_burst = kxc_udp_rx_burst,
	.release = udp_release,
	.alloc = udp_alloc,
	.free = udp_free,
	.send = udp_send,
	.flush = kxc_udp_flush,
	.room = udp_room,
	.path_of = udp_path_of,
	.path_to = udp_path_to,
	.fd = udp_fd,
	.refused = kxc_udp_refused,
};

/* ---- open and close */

static bool ring_alloc(struct ring *r, uint32_t frames, uint32_t buffer_bytes)
{
	r->memory = aligned_alloc(KX_CACHE_LINE, (size_t)frames * buffer_bytes);
	r->msgs = calloc(frames, sizeof(*r->msgs));
	r->iovs = calloc(frames, sizeof(*r->iovs));
	r->names = calloc(frames, sizeof(*r->names));
	r->controls = calloc(frames, sizeof(*r->controls));
	if (r->memory == NULL || r->msgs == NULL || r->iovs == NULL || r->names == NULL ||
		r->controls == NULL)
		return false;
	for (uint32_t i = 0; i < frames; i++) {
		r->iovs[i] = (struct iovec){r->memory + (size_t)i * buffer_bytes, buffer_bytes};
		r->msgs[i].msg_hdr = (struct msghdr){.msg_name = &r->names[i],
			.msg_namelen = sizeof(union name),
			.msg_iov = &r->iovs[i],
			.msg_iovlen = 1,
			.msg_control = &r->controls[i]};
	}
	return true;
}

static void ring_free(struct ring *r)
{
	free(r->memory);
	free(r->msgs);
	free(r->iovs);
	free(r->names);
	free(r->controls);
}

void kx_transport_udp_close(struct kx_transport_udp *t)
{
	if (t == NULL)
		return;
	if (t->fd >= 0)
		close(t->fd);
	ring_free(&t->rx);
	ring_free(&t->tx);
	free(t->bounce);
	free(t->tx_free);
	free(t->queue);
	free(t);
}

static bool buffers_alloc(struct kx_transport_udp *t)
{
	t->tx_free = calloc(t->tx_frames, sizeof(*t->tx_free));
	t->queue = calloc(t->tx_frames, sizeof(*t->queue));
	if (t->tx_free == NULL || t->queue == NULL)
		return false;
	for (uint32_t i = 0; i < t->tx_frames; i++)
		t->tx_free[t->tx_free_count++] = t->tx_frames - 1 - i;
	t->bounce = t->gro ? malloc((size_t)t->rx_frames * t->buffer_bytes) : NULL;
	return (t->bounce != NULL || !t->gro) &&
		ring_alloc(&t->rx, t->rx_frames, t->gro ? GRO_BYTES : t->buffer_bytes) &&
		ring_alloc(&t->tx, t->tx_frames, t->buffer_bytes);
}

static int set(int fd, int level, int name, int value)
{
	return setsockopt(fd, level, name, &value, sizeof(value)) == 0 ? 0 : -errno;
}

static void set_buffers(struct kx_transport_udp *t, uint32_t bytes)
{
	socklen_t len = sizeof(int);
	int granted = 0;

	/* the first of each pair needs CAP_NET_ADMIN and passes the system's limit; both may be refused */
	if (set(t->fd, SOL_SOCKET, SO_RCVBUFFORCE, (int)bytes) != 0)
		(void)set(t->fd, SOL_SOCKET, SO_RCVBUF, (int)bytes);
	if (set(t->fd, SOL_SOCKET, SO_SNDBUFFORCE, (int)bytes) != 0)
		(void)set(t->fd, SOL_SOCKET, SO_SNDBUF, (int)bytes);
	if (getsockopt(t->fd, SOL_SOCKET, SO_RCVBUF, &granted, &len) == 0)
		t->stats.receive_bytes = (uint32_t)granted;
	len = sizeof(granted);
	if (getsockopt(t->fd, SOL_SOCKET, SO_SNDBUF, &granted, &len) == 0)
		t->stats.send_bytes = (uint32_t)granted;
}

/* What this kernel can. */
static void set_offloads(struct kx_transport_udp *t, const struct kx_transport_udp_opts *o)
{
	t->gso = t->stats.gso = !o->no_gso && set(t->fd, SOL_UDP, UDP_SEGMENT, 0) == 0;
	t->gro = t->stats.gro = !o->no_gro && set(t->fd, SOL_UDP, UDP_GRO, 1) == 0;
}

static int socket_open(struct kx_transport_udp *t, const struct kx_transport_udp_opts *o)
{
	const char *local = o->local;
	struct kx_addr addr = {0};
	union name name;
	socklen_t len;
	int rc;

	if (local != NULL && (kx_addr_parse(local, 0, &addr) != 0 || kx_addr_is_v4(&addr) == t->v6))
		return -EINVAL;
	t->fd = socket(t->v6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (t->fd < 0)
		return -errno;
	if (t->v6)
		rc = set(t->fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_DO);
	else
		rc = set(t->fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO);
	if (rc == 0 && t->v6)
		rc = set(t->fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
	if (rc != 0)
		return rc;
	set_buffers(t, o->socket_bytes != 0 ? o->socket_bytes : SOCKET_BYTES_DEFAULT);
	set_offloads(t, o);
	len = to_name(&addr, t->v6, &name);
	return bind(t->fd, &name.any, len) == 0 ? 0 : -errno;
}

static bool opts_ok(const struct kx_transport_udp_opts *o)
{
	return (o->datagram_bytes == 0 ||
		       (o->datagram_bytes >= KX_DATAGRAM_MIN_BYTES &&
			       o->datagram_bytes <= KX_FRAME_MAX_BYTES)) &&
		o->rx_frames <= 1024 && o->tx_frames <= 1024 && o->socket_bytes <= INT32_MAX;
}

int kx_transport_udp_open(const struct kx_transport_udp_opts *opts, struct kx_transport_udp **out)
{
	struct kx_transport_udp_opts o = opts != NULL ? *opts : (struct kx_transport_udp_opts){0};
	struct kx_transport_udp *t;
	int rc;

	if (out == NULL || !opts_ok(&o))
		return -EINVAL;
	t = calloc(1, sizeof(*t));
	if (t == NULL)
		return -ENOMEM;
	t->fd = -1;
	t->v6 = o.v6;
	t->datagram_bytes = o.datagram_bytes != 0 ? o.datagram_bytes
		: o.v6				  ? KX_DATAGRAM_DEFAULT_V6
						  : KX_DATAGRAM_DEFAULT_V4;
	t->buffer_bytes = (t->datagram_bytes + KX_CACHE_LINE - 1) / KX_CACHE_LINE * KX_CACHE_LINE;
	t->rx_frames = o.rx_frames != 0 ? o.rx_frames : 64;
	t->tx_frames = o.tx_frames != 0 ? o.tx_frames : 128;
	rc = socket_open(t, &o);
	if (rc == 0)
		rc = buffers_alloc(t) ? 0 : -ENOMEM;
	if (rc != 0) {
		kx_transport_udp_close(t);
		return rc;
	}
	*out = t;
	return 0;
}

struct kx_transport kx_transport_udp(struct kx_transport_udp *t)
{
	return (struct kx_transport){&udp_ops, t};
}

int kx_transport_udp_fd(const struct kx_transport_udp *t)
{
	return t->fd;
}

void kx_transport_udp_stats(const struct kx_transport_udp *t, struct kx_transport_udp_stats *out)
{
	*out = t->stats;
}

void kx_transport_udp_wait(const struct kx_transport_udp *t, uint64_t deadline_ns)
{
	struct pollfd p = {.fd = t->fd, .events = POLLIN};
	uint64_t now_ns, ns;
	struct timespec ts;

	if (deadline_ns == UINT64_MAX) {
		(void)poll(&p, 1, -1);
		return;
	}
	now_ns = deadline_ns == 0 ? 0 : kx_clock_mono_ns();
	if (deadline_ns <= now_ns)
		return;
	ns = deadline_ns - now_ns;
	ts = (struct timespec){.tv_sec = (time_t)(ns / KX_NS_PER_S), .tv_nsec = (long)(ns % KX_NS_PER_S)};
	(void)ppoll(&p, 1, &ts, NULL);
}
