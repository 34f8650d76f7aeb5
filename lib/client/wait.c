/* SPDX-License-Identifier: BSD-3-Clause */
/* Sleeping: one descriptor for a program's own loop (the transport's and a timer behind an epoll), and a wait
 * of our own that another thread may end. */
#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "client_pvt.h"

enum { FD_EPOLL, FD_TIMER, FD_EVENT, FD_COUNT };

static int transport_fd(const struct kx_hub *hub)
{
	return hub->ops->fd != NULL ? hub->ops->fd(hub->tx) : -1;
}

bool kxc_wait_init(struct kx_hub *hub)
{
	for (int i = 0; i < FD_COUNT; i++)
		hub->fds[i] = -1;
	hub->armed_ns = UINT64_MAX;
	if (hub->ops->fd == NULL)
		return true;
	hub->fds[FD_EVENT] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	return hub->fds[FD_EVENT] >= 0;
}

void kxc_wait_fini(struct kx_hub *hub)
{
	for (int i = 0; i < FD_COUNT; i++)
		if (hub->fds[i] >= 0)
			close(hub->fds[i]);
}

static bool watch(struct kx_hub *hub, int fd)
{
	struct epoll_event e = {.events = EPOLLIN, .data.fd = fd};

	return epoll_ctl(hub->fds[FD_EPOLL], EPOLL_CTL_ADD, fd, &e) == 0;
}

static bool open_fds(struct kx_hub *hub)
{
	hub->fds[FD_EPOLL] = epoll_create1(EPOLL_CLOEXEC);
	hub->fds[FD_TIMER] = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (hub->fds[FD_EPOLL] >= 0 && hub->fds[FD_TIMER] >= 0 && watch(hub, transport_fd(hub)) &&
		watch(hub, hub->fds[FD_TIMER]))
		return true;
	for (int i = FD_EPOLL; i <= FD_TIMER; i++) {
		if (hub->fds[i] >= 0)
			close(hub->fds[i]);
		hub->fds[i] = -1;
	}
	return false;
}

enum kx_result kx_hub_fd(struct kx_hub *hub, int *fd)
{
	if (hub == NULL || fd == NULL)
		return KX_BAD_ARGUMENT;
	if (transport_fd(hub) < 0)
		return KX_UNSUPPORTED;
	if (hub->fds[FD_EPOLL] < 0 && !open_fds(hub))
		return KX_NO_MEMORY;
	*fd = hub->fds[FD_EPOLL];
	return KX_OK;
}

static struct timespec to_timespec(uint64_t ns)
{
	return (struct timespec){.tv_sec = (time_t)(ns / KX_NS_PER_S), .tv_nsec = (long)(ns % KX_NS_PER_S)};
}

/* Relative, since now_ns may be of any clock. Setting it also clears that it has fired. */
enum kx_result kx_hub_arm(struct kx_hub *hub, uint64_t now_ns)
{
	uint64_t due_ns;
	struct itimerspec at = {{0}, {0}};

	if (hub == NULL)
		return KX_BAD_ARGUMENT;
	if (hub->fds[FD_TIMER] < 0)
		return KX_BAD_STATE;
	due_ns = kx_hub_next_deadline_ns(hub);
	if (due_ns == hub->armed_ns && due_ns != 0)
		return KX_OK;
	hub->armed_ns = due_ns;
	if (due_ns != UINT64_MAX)
		at.it_value = to_timespec(due_ns > now_ns ? due_ns - now_ns : 1);
	(void)timerfd_settime(hub->fds[FD_TIMER], 0, &at, NULL);
	return KX_OK;
}

enum kx_result kx_hub_wait(struct kx_hub *hub, uint64_t now_ns, uint64_t max_wait_ns)
{
	struct pollfd p[2] = {{.fd = hub != NULL ? transport_fd(hub) : -1, .events = POLLIN},
		{.fd = hub != NULL ? hub->fds[FD_EVENT] : -1, .events = POLLIN}};
	uint64_t due_ns, ns = max_wait_ns, count;
	struct timespec ts;

	if (hub == NULL)
		return KX_BAD_ARGUMENT;
	if (p[0].fd < 0)
		return KX_UNSUPPORTED;
	if (hub->in_callback != 0)
		return KX_IN_CALLBACK;
	due_ns = kx_hub_next_deadline_ns(hub);
	if (due_ns != UINT64_MAX)
		ns = KX_MIN(ns, due_ns > now_ns ? due_ns - now_ns : 0);
	ts = to_timespec(ns);
	(void)ppoll(p, 2, ns != UINT64_MAX ? &ts : NULL, NULL);
	if (p[1].revents != 0)
		(void)!read(hub->fds[FD_EVENT], &count, sizeof(count));
	return KX_OK;
}

void kx_hub_wake(struct kx_hub *hub)
{
	const uint64_t one = 1;

	if (hub == NULL || hub->fds[FD_EVENT] < 0)
		return;
	(void)!write(hub->fds[FD_EVENT], &one, sizeof(one));
}
