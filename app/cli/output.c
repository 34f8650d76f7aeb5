/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

static char buffer[1 << 18];
static size_t used;
static bool broken;

static bool write_all(const char *data, size_t bytes)
{
	while (bytes > 0 && !broken) {
		ssize_t n = write(STDOUT_FILENO, data, bytes);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			broken = true;
			if (errno != EPIPE) /* a reader that has had enough is no news */
				cli_error("standard output: %s", kx_strerror(-errno));
			break;
		}
		data += n;
		bytes -= (size_t)n;
	}
	return !broken;
}

bool out_flush(void)
{
	size_t bytes = used;

	used = 0;
	return write_all(buffer, bytes);
}

bool out_write(const void *data, size_t bytes)
{
	if (bytes > sizeof(buffer) - used && !out_flush())
		return false;
	if (bytes > sizeof(buffer))
		return write_all(data, bytes);
	if (bytes > 0)
		memcpy(buffer + used, data, bytes);
	used += bytes;
	return !broken;
}

bool out_text(const char *fmt, ...)
{
	char text[512];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return out_write(text, n < 0 ? 0 : KX_MIN((size_t)n, sizeof(text) - 1));
}

/* Bytes of the well-formed UTF-8 character at `p`; 0 when there is none. */
static size_t utf8_bytes(const uint8_t *p, size_t left)
{
	size_t n = p[0] < 0x80 ? 1 : p[0] >= 0xc2 && p[0] < 0xe0 ? 2 : (p[0] & 0xf0) == 0xe0 ? 3 : 0;

	if (p[0] >= 0xf0 && p[0] < 0xf5)
		n = 4;
	if (n == 0 || n > left)
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) || (p[0] == 0xf0 && p[1] < 0x90) ||
		(p[0] == 0xf4 && p[1] > 0x8f))
		return 0;
	return n;
}

bool out_json_string(const uint8_t *data, size_t bytes)
{
	bool ok = out_write("\"", 1);

	for (size_t i = 0; i < bytes;) {
		size_t n = utf8_bytes(data + i, bytes - i);

		if (data[i] == '"' || data[i] == '\\') {
			ok = out_text("\\%c", data[i++]);
		} else if (n == 0 || data[i] < 0x20) {
			ok = out_text("\\u%04x", data[i++]);
		} else {
			ok = out_write(data + i, n);
			i += n;
		}
	}
	return out_write("\"", 1) && ok;
}
