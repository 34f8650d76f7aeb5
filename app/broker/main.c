/* SPDX-License-Identifier: BSD-3-Clause */
/* kaelix: start-up in order, unwinding in reverse. */
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "app.h"

#define STDOUT_WAIT_MS 1000 /* while starting and stopping, for a reader that is slow */

int app_fail(struct app *app, const char *fmt, ...)
{
	char text[900];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	/* The first reason is the reason; what fails while unwinding is its consequence. */
	if (app->why.len == 0)
		kx_text_add(&app->why, "%s", text);
	return -1;
}

static int serve(struct app *app)
{
	uint64_t leaked;
	int err;

	app_print_patience(STDOUT_WAIT_MS);
	err = app_audit_load(app);
	if (err == 0)
		err = app_control_prepare(app);
	if (err == 0)
		err = app_eal_start(app);
	if (err == 0)
		err = app_place_after_eal(app);
	if (err == 0)
		err = app_ports_find(app);
	if (err == 0)
		err = app_memory_reserve(app);
	if (err == 0)
		err = app_ports_open(app);
	if (err == 0)
		err = app_lcores_create(app);
	if (err == 0)
		err = app_ports_start(app);
	if (err == 0)
		err = app_lcores_launch(app);
	if (err == 0) {
		app_report_start(app);
		app_print_patience(0);
		app_control_loop(app);
		app_print_patience(STDOUT_WAIT_MS);
		app_print("stopping\n");
	}
	app_lcores_stop(app);
	if (err == 0)
		app_report_ledger(app);
	app_ports_close(app);
	app_lcores_free(app);
	leaked = app_memory_release(app);
	if (err == 0)
		app_print("leaked mbufs: %" PRIu64 "\n", leaked);
	app_eal_stop(app);
	app_control_close(app);
	kx_auth_principals_destroy(app->principals);
	return err != 0 ? APP_EXIT_USAGE : leaked != 0;
}

int main(int argc, char **argv)
{
	static struct app app;
	bool no_output = fcntl(STDOUT_FILENO, F_GETFD) < 0, answers;
	int rc = 0;

	if (kx_stdio_open() != 0)
		return APP_EXIT_USAGE;
	setvbuf(stdout, NULL, _IOLBF, 0);
	app.signal_fd = app.timer_fd = app.epoll_fd = -1;
	kx_text_init(&app.why, app.why_text, sizeof(app.why_text));
	if (app_options_parse(&app, argc, argv) != 0)
		rc = APP_EXIT_USAGE;
	else if (app.opt.help)
		app_options_usage();
	else if (app.opt.version)
		printf("kaelix %s\n", APP_VERSION);
	else if (app_config_load(&app) != 0)
		rc = APP_EXIT_USAGE;
	else
		rc = app.opt.check ? app_config_check(&app) : serve(&app);
	kx_conf_free(app.conf);
	answers = app.opt.help || app.opt.version || app.opt.check;
	if (rc == 0 && answers && (no_output || fflush(stdout) != 0 || ferror(stdout) != 0)) {
		app_fail(&app, "standard output: %s", no_output ? "it is closed" : "it cannot be written");
		rc = APP_EXIT_OUTPUT;
	}
	if (app.why.len != 0)
		fprintf(stderr, "kaelix: %s\n", app.why_text);
	return rc;
}
