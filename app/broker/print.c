/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Lines on standard output of a broker that serves. A pipe that nobody reads must not hold the control lcore,
 * which would neither look at links nor hear a signal: a line for which there is no room is left out, and
 * counted.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "app.h"

#define LINE_BYTES 2048 /* less than PIPE_BUF: a pipe with room takes it whole */

static char line[LINE_BYTES];
static size_t line_bytes;
static int patience_ms;
static uint64_t left_out;

void app_print_patience(int ms)
{
	patience_ms = ms;
}

static bool room(void)
{
	struct pollfd p = {.fd = STDOUT_FILENO, .events = POLLOUT};

	if (poll(&p, 1, patience_ms) == 1)
		return true;
	patience_ms = 0; /* once, not for each line */
	return false;
}

static bool put(const char *text, size_t bytes)
{
	while (bytes > 0) {
		ssize_t n = room() ? write(STDOUT_FILENO, text, bytes) : 0;

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		text += n;
		bytes -= (size_t)n;
	}
	return true;
}

static bool put_line(void)
{
	char note[96];
	int n;

	if (left_out != 0) {
		n = snprintf(note, sizeof(note), "%" PRIu64 " lines left out: nobody read standard output\n",
			left_out);
		if (!put(note, (size_t)n)) {
			left_out++;
			return false;
		}
		left_out = 0;
	}
	if (put(line, line_bytes))
		return true;
	left_out++;
	return false;
}

bool app_print(const char *fmt, ...)
{
	va_list ap;
	bool ok = true;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(line + line_bytes, sizeof(line) - line_bytes, fmt, ap);
	va_end(ap);
	if (n < 0)
		return false;
	if (line_bytes + (size_t)n >= sizeof(line)) { /* cut, with what ends it */
		line_bytes = sizeof(line) - 2;
		line[line_bytes++] = '\n';
	} else {
		line_bytes += (size_t)n;
	}
	if (line_bytes > 0 && line[line_bytes - 1] == '\n') {
		ok = put_line();
		line_bytes = 0;
	}
	return ok;
}
