/* SPDX-License-Identifier: BSD-3-Clause */
#include "kx_base.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void kx_text_init(struct kx_text *t, char *buf, size_t size)
{
	*t = (struct kx_text){.buf = buf, .size = size};
	if (size > 0)
		buf[0] = '\0';
}

void kx_text_add(struct kx_text *t, const char *fmt, ...)
{
	size_t room = t->size - t->len;
	va_list ap;

	va_start(ap, fmt);
	int n = vsnprintf(room > 0 ? t->buf + t->len : NULL, room, fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= room) {
		/* An output error may leave anything behind: keep the text whole up to here. */
		if (n < 0 && room > 0)
			t->buf[t->len] = '\0';
		t->truncated = n != 0 || t->truncated;
		t->len = n > 0 && room > 0 ? t->size - 1 : t->len;
		return;
	}
	t->len += (size_t)n;
}

const char *kx_strerror(int err)
{
	static _Thread_local char texts[4][96];
	static _Thread_local unsigned int next;

	int number = err < 0 && err > -4096 ? -err : err;
	const char *name = strerrorname_np(number);
	const char *text = strerrordesc_np(number);
	char *out = texts[next++ % KX_DIM(texts)];

	if (number == 0)
		return "Success";
	if (name == NULL || text == NULL)
		snprintf(out, sizeof(texts[0]), "Unknown error %d", err);
	else
		snprintf(out, sizeof(texts[0]), "%s (%s)", text, name);
	return out;
}
