/* SPDX-License-Identifier: BSD-3-Clause */
/* The control lcore: sleeps until a signal comes; four times a second it looks at links and pools. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "app.h"

#define TICK_NS 250000000

static int watch(int epoll_fd, int fd)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.fd = fd};

	return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &ev);
}

/* Before EAL, so that its threads inherit the mask and only the descriptor sees these signals. */
int app_control_prepare(struct app *app)
{
	const struct itimerspec tick = {.it_interval.tv_nsec = TICK_NS, .it_value.tv_nsec = TICK_NS};
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	if (sigprocmask(SIG_BLOCK, &set, NULL) != 0)
		return app_fail(app, "signals cannot be blocked: %s", kx_strerror(-errno));
	signal(SIGPIPE, SIG_IGN);
	app->signal_fd = signalfd(-1, &set, SFD_CLOEXEC);
	app->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
	app->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (app->signal_fd < 0 || app->timer_fd < 0 || app->epoll_fd < 0 ||
		timerfd_settime(app->timer_fd, 0, &tick, NULL) != 0 ||
		watch(app->epoll_fd, app->signal_fd) != 0 || watch(app->epoll_fd, app->timer_fd) != 0)
		return app_fail(app, "the control loop cannot be set up: %s", kx_strerror(-errno));
	return 0;
}

static void look_at_links(struct app *app, bool *up)
{
	for (uint32_t p = 0; p < app->port_count; p++) {
		struct kx_ethdev_link link;

		if (kx_ethdev_link(&app->ports[p].dev, &link) != 0 || link.up == up[p])
			continue;
		up[p] = link.up;
		app_print("port %s: link %s%s\n", app->ports[p].conf->name, link.up ? "up" : "down",
			!link.up && app->ports[p].dev.zero_copy ? "; a zero-copy memif client does not join "
								  "a new peer, start the broker again"
								: "");
	}
}

static void look_at_pools(struct app *app, bool *warned)
{
	for (uint32_t i = 0; i < app->lcore_count; i++) {
		uint64_t low = kx_counter_read(&app->workers[i]->stats.pool_low_water);

		if (warned[i] || low >= app->lcores[i].pool_mbufs / 32)
			continue;
		warned[i] = true;
		app_print("warning: packet pool of lcore %u went down to %llu of %u buffers; raise [memory] "
			  "spare_mbufs\n",
			app->lcores[i].lcore, (unsigned long long)low, app->lcores[i].pool_mbufs);
	}
}

void app_control_loop(struct app *app)
{
	bool up[KX_WORKER_PORTS_MAX] = {false}, warned[KX_WORKER_LCORES_MAX] = {false};

	look_at_links(app, up);
	for (;;) {
		struct epoll_event ev;
		uint64_t ticks;

		if (epoll_wait(app->epoll_fd, &ev, 1, -1) != 1)
			continue;
		if (ev.data.fd == app->signal_fd) {
			app_audit_tick(app);
			return;
		}
		if (read(app->timer_fd, &ticks, sizeof(ticks)) == sizeof(ticks)) {
			app_ports_tick(app);
			look_at_links(app, up);
			look_at_pools(app, warned);
			app_audit_tick(app);
		}
	}
}

void app_control_close(struct app *app)
{
	int *fds[] = {&app->signal_fd, &app->timer_fd, &app->epoll_fd};

	for (size_t i = 0; i < KX_DIM(fds); i++) {
		if (*fds[i] >= 0)
			close(*fds[i]);
		*fds[i] = -1;
	}
}
