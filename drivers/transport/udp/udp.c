/* SPDX-License-Identifier: BSD-3-Clause */
/* KXP frames over a kernel UDP socket. */
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "kx_transport_udp.h"

#define SOCKET_BYTES_DEFAULT (8u << 20)
#define SEND_RETRIES	     16

union name {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

/* A buffer is its index + 1 as a pointer-sized handle: handles are never followed. */
struct ring {
	uint8_t *memory;
	struct mmsghdr *msgs;
	struct iovec *iovs;
	union name *names;
};

struct kx_transport_udp {
	int fd;
	uint32_t datagram_bytes, buffer_bytes;
	uint32_t rx_frames, tx_frames;
	bool v6;
	struct ring rx, tx;
	uint32_t *tx_free; /* buffers nobody has */
	uint32_t tx_free_count;
	uint32_t *queue; /* buffers to send, in order */
	uint32_t queued;
	struct kx_transport_udp_stats stats;
};

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

static void from_name(const union name *n, struct kx_addr *a)
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

/* ---- the table */

static unsigned int udp_rx_burst(void *ctx, struct kx_frame *frames, unsigned int max)
{
	struct kx_transport_udp *t = ctx;
	unsigned int got = 0;
	uint64_t now_ns;
	int n;

	max = KX_MIN(max, t->rx_frames);
	for (unsigned int i = 0; i < max; i++)
		t->rx.msgs[i].msg_hdr.msg_namelen = sizeof(union name);
	n = recvmmsg(t->fd, t->rx.msgs, max, MSG_DONTWAIT, NULL);
	if (n <= 0)
		return 0;
	now_ns = kx_clock_mono_ns();
	for (int i = 0; i < n; i++) {
		const struct mmsghdr *m = &t->rx.msgs[i];
		struct kx_frame *f = &frames[got];

		if (m->msg_hdr.msg_flags & MSG_TRUNC) {
			kx_count(&t->stats.rx_truncated, 1);
			continue;
		}
		*f = (struct kx_frame){.data = t->rx.memory + (size_t)i * t->buffer_bytes,
			.bytes = m->msg_len,
			.rx_ns = now_ns};
		from_name(&t->rx.names[i], &f->remote);
		got++;
	}
	kx_count(&t->stats.rx_frames, got);
	return got;
}

/* The buffers are those of the next burst. */
static void udp_release(void *ctx, struct kx_frame *frames, unsigned int n)
{
	(void)ctx;
	(void)frames;
	(void)n;
}

static void udp_flush(void *ctx);

static void *udp_alloc(void *ctx, uint32_t bytes, uint8_t **data)
{
	struct kx_transport_udp *t = ctx;
	uint32_t i;

	if (bytes > t->datagram_bytes)
		return NULL;
	if (t->tx_free_count == 0)
		udp_flush(t);
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
	struct msghdr *m = &t->tx.msgs[at].msg_hdr;

	t->queue[at] = i;
	t->tx.iovs[at] = (struct iovec){t->tx.memory + (size_t)i * t->buffer_bytes, bytes};
	m->msg_namelen = to_name(&path->remote, t->v6, &t->tx.names[at]);
}

/* The first datagram of the rest was refused. @return true to try it again */
static bool refused(struct kx_transport_udp *t, unsigned int tries)
{
	int err = errno;

	if (err == EINTR)
		return true;
	if ((err == EAGAIN || err == EWOULDBLOCK || err == ENOBUFS) && tries < SEND_RETRIES) {
		struct pollfd p = {.fd = t->fd, .events = POLLOUT};

		(void)poll(&p, 1, 1);
		return true;
	}
	if (err == ECONNREFUSED && tries == 0)
		return true; /* of an earlier datagram: the socket tells it with this call */
	t->stats.last_error = err;
	kx_count(err == EMSGSIZE ? &t->stats.tx_too_large : &t->stats.tx_dropped, 1);
	return false;
}

static void udp_flush(void *ctx)
{
	struct kx_transport_udp *t = ctx;
	unsigned int done = 0, tries = 0;

	while (done < t->queued) {
		int n = sendmmsg(t->fd, t->tx.msgs + done, t->queued - done, MSG_DONTWAIT);

		if (n > 0) {
			kx_count(&t->stats.tx_frames, (uint64_t)n);
			done += (unsigned int)n;
			tries = 0;
		} else if (!refused(t, tries++)) {
			done++;
			tries = 0;
		}
	}
	for (uint32_t i = 0; i < t->queued; i++)
		t->tx_free[t->tx_free_count++] = t->queue[i];
	t->queued = 0;
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
	.rx_burst = udp_rx_burst,
	.release = udp_release,
	.alloc = udp_alloc,
	.free = udp_free,
	.send = udp_send,
	.flush = udp_flush,
	.room = udp_room,
	.path_of = udp_path_of,
	.path_to = udp_path_to,
	.fd = udp_fd,
};

/* ---- open and close */

static bool ring_alloc(struct ring *r, uint32_t frames, uint32_t buffer_bytes)
{
	r->memory = aligned_alloc(KX_CACHE_LINE, (size_t)frames * buffer_bytes);
	r->msgs = calloc(frames, sizeof(*r->msgs));
	r->iovs = calloc(frames, sizeof(*r->iovs));
	r->names = calloc(frames, sizeof(*r->names));
	if (r->memory == NULL || r->msgs == NULL || r->iovs == NULL || r->names == NULL)
		return false;
	for (uint32_t i = 0; i < frames; i++) {
		r->iovs[i] = (struct iovec){r->memory + (size_t)i * buffer_bytes, buffer_bytes};
		r->msgs[i].msg_hdr = (struct msghdr){.msg_name = &r->names[i],
			.msg_namelen = sizeof(union name),
			.msg_iov = &r->iovs[i],
			.msg_iovlen = 1};
	}
	return true;
}

static void ring_free(struct ring *r)
{
	free(r->memory);
	free(r->msgs);
	free(r->iovs);
	free(r->names);
}

void kx_transport_udp_close(struct kx_transport_udp *t)
{
	if (t == NULL)
		return;
	if (t->fd >= 0)
		close(t->fd);
	ring_free(&t->rx);
	ring_free(&t->tx);
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
	return ring_alloc(&t->rx, t->rx_frames, t->buffer_bytes) &&
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
}

static int socket_open(struct kx_transport_udp *t, const char *local, uint32_t socket_bytes)
{
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
	set_buffers(t, socket_bytes);
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
	rc = buffers_alloc(t) ? 0 : -ENOMEM;
	if (rc == 0)
		rc = socket_open(t, o.local, o.socket_bytes != 0 ? o.socket_bytes : SOCKET_BYTES_DEFAULT);
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
