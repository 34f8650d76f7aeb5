/* SPDX-License-Identifier: BSD-3-Clause */
/* Sending: one call for many messages, each of which may be several datagrams of one size to one receiver,
 * which the kernel, or the network card, takes apart (UDP_SEGMENT). */
#include <errno.h>
#include <poll.h>

#include "udp_pvt.h"

#define SEND_RETRIES   16
#define SEGMENTS_MAX   64
#define SEGMENTS_BYTES 65000u

/* The first message of the rest was refused. @return true to try it again */
static bool again(const struct kx_transport_udp *t, int err, unsigned int tries)
{

	if (err == EINTR)
		return true;
	if ((err == EAGAIN || err == EWOULDBLOCK || err == ENOBUFS) && tries < SEND_RETRIES) {
		struct pollfd p = {.fd = t->fd, .events = POLLOUT};

		(void)poll(&p, 1, 1);
		return true;
	}
	if (err == ECONNREFUSED && tries == 0)
		return true; /* of an earlier datagram: the socket tells it with this call */
	return false;
}

static void note_refused(struct kx_transport_udp *t, const union name *to, uint32_t bytes)
{
	struct kx_addr remote;
	uint32_t i = 0;

	kxc_udp_from_name(to, &remote);
	while (i < t->refused_count && !kx_addr_equal(&t->refused[i].remote, &remote))
		i++;
	if (i == REFUSED_MAX)
		return;
	if (i == t->refused_count) {
		t->refused[t->refused_count++].remote = remote;
		t->refused[i].bytes = bytes;
	}
	t->refused[i].bytes = KX_MIN(t->refused[i].bytes, bytes);
}

uint32_t kxc_udp_refused(void *ctx, struct kx_addr *remote)
{
	struct kx_transport_udp *t = ctx;

	if (kx_likely(t->refused_count == 0))
		return 0;
	*remote = t->refused[--t->refused_count].remote;
	return t->refused[t->refused_count].bytes;
}

static void dropped(struct kx_transport_udp *t, const struct msghdr *m, int err)
{
	t->stats.last_error = err;
	kx_count(err == EMSGSIZE ? &t->stats.tx_too_large : &t->stats.tx_dropped, 1);
	if (err == EMSGSIZE)
		note_refused(t, m->msg_name, (uint32_t)m->msg_iov->iov_len);
}

/* Datagrams from `at` on that can be one message: all of one size but the last, which may be shorter. */
static uint32_t run_of(const struct kx_transport_udp *t, uint32_t at)
{
	const struct iovec *iov = t->tx.iovs + at;
	const union name *name = t->tx.names + at;
	size_t sum = iov->iov_len;
	uint32_t n = 1;

	if (!t->gso)
		return 1;
	while (at + n < t->queued && n < SEGMENTS_MAX && iov[n - 1].iov_len == iov->iov_len &&
		iov[n].iov_len <= iov->iov_len && sum + iov[n].iov_len <= SEGMENTS_BYTES &&
		memcmp(&name[n], name, sizeof(*name)) == 0)
		sum += iov[n++].iov_len;
	return n;
}

static void set_message(struct kx_transport_udp *t, uint32_t i, uint32_t at, uint32_t n)
{
	struct msghdr *m = &t->tx.msgs[i].msg_hdr;
	uint16_t bytes = (uint16_t)t->tx.iovs[at].iov_len;

	m->msg_name = &t->tx.names[at];
	m->msg_namelen = t->v6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
	m->msg_iov = &t->tx.iovs[at];
	m->msg_iovlen = n;
	m->msg_control = NULL;
	m->msg_controllen = 0;
	if (n > 1) {
		struct cmsghdr *c = &t->tx.controls[i].align;

		c->cmsg_level = SOL_UDP;
		c->cmsg_type = UDP_SEGMENT;
		c->cmsg_len = CMSG_LEN(sizeof(bytes));
		memcpy(CMSG_DATA(c), &bytes, sizeof(bytes));
		m->msg_control = c;
		m->msg_controllen = CMSG_SPACE(sizeof(bytes));
	}
}

static void count_sent(struct kx_transport_udp *t, uint32_t n)
{
	kx_count(&t->stats.tx_frames, n);
	if (n > 1)
		kx_count(&t->stats.tx_gso_frames, n);
}

/* @return 0, or why not */
static int send_one(struct kx_transport_udp *t, const struct msghdr *m)
{
	for (unsigned int tries = 0;; tries++) {
		int err;

		kx_count(&t->stats.tx_calls, 1);
		if (sendmsg(t->fd, m, MSG_DONTWAIT) >= 0)
			return 0;
		err = errno;
		if (!again(t, err, tries))
			return err;
	}
}

/* A message of several datagrams was refused: one by one, so that each has its own fate. */
static void send_singly(struct kx_transport_udp *t, uint32_t i, int why)
{
	const struct msghdr *m = &t->tx.msgs[i].msg_hdr;
	bool all = true;

	for (size_t k = 0; k < m->msg_iovlen; k++) {
		struct msghdr one = {.msg_name = m->msg_name,
			.msg_namelen = m->msg_namelen,
			.msg_iov = &m->msg_iov[k],
			.msg_iovlen = 1};
		int err = send_one(t, &one);

		all &= err == 0;
		if (err == 0)
			count_sent(t, 1);
		else
			dropped(t, &one, err);
	}
	/* the way out cannot: asking each time would be two calls for one */
	if (all && (why == EIO || why == EOPNOTSUPP || why == EINVAL))
		t->gso = t->stats.gso = false;
}

static void send_messages(struct kx_transport_udp *t, uint32_t count)
{
	uint32_t done = 0;
	unsigned int tries = 0;

	while (done < count) {
		int n = sendmmsg(t->fd, t->tx.msgs + done, count - done, MSG_DONTWAIT), err = errno;

		kx_count(&t->stats.tx_calls, 1);
		if (n > 0) {
			for (int i = 0; i < n; i++)
				count_sent(t, (uint32_t)t->tx.msgs[done++].msg_hdr.msg_iovlen);
			tries = 0;
			continue;
		}
		if (again(t, err, tries++))
			continue;
		if (t->tx.msgs[done].msg_hdr.msg_iovlen > 1)
			send_singly(t, done, err);
		else
			dropped(t, &t->tx.msgs[done].msg_hdr, err);
		done++;
		tries = 0;
	}
}

void kxc_udp_flush(void *ctx)
{
	struct kx_transport_udp *t = ctx;
	uint32_t count = 0;

	for (uint32_t at = 0, n; at < t->queued; at += n) {
		n = run_of(t, at);
		set_message(t, count++, at, n);
	}
	send_messages(t, count);
	for (uint32_t i = 0; i < t->queued; i++)
		t->tx_free[t->tx_free_count++] = t->queue[i];
	t->queued = 0;
}
