/* SPDX-License-Identifier: BSD-3-Clause */
#include "conf_private.h"

#include <stdarg.h>
#include <stdio.h>

void conf_error(const char *file, struct kx_conf_errors *errs, uint32_t line, const char *section,
	const char *key, const char *fmt, ...)
{
	struct kx_text t;
	char what[KX_CONF_ERROR_TEXT_MAX];
	va_list ap;

	if (errs->total++ >= KX_CONF_ERRORS_MAX)
		return;
	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);

	kx_text_init(&t, errs->text[errs->count++], KX_CONF_ERROR_TEXT_MAX);
	kx_text_add(&t, "%.128s:", file);
	if (line > 0)
		kx_text_add(&t, "%u:", line);
	if (section != NULL)
		kx_text_add(&t, " [%s]", section);
	if (key != NULL)
		kx_text_add(&t, " %s", key);
	kx_text_add(&t, "%s %s", section != NULL || key != NULL ? ":" : "", what);
}

const char *conf_quote(char out[QUOTE_BYTES], const char *text, size_t len)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];

		if (n + 8 >= QUOTE_BYTES) {
			n += (size_t)snprintf(out + n, QUOTE_BYTES - n, "...");
			break;
		}
		if (c >= 0x20 && c < 0x7f)
			out[n++] = (char)c;
		else
			n += (size_t)snprintf(out + n, QUOTE_BYTES - n, "\\x%02x", c);
	}
	out[n] = '\0';
	return out;
}

const char *conf_head(
	char out[HEAD_BYTES], const struct kx_conf *conf, enum kx_conf_section section, uint32_t index)
{
	const char *name = kx_conf_section_name(section);

	if (section == KX_CONF_S_PORT)
		snprintf(out, HEAD_BYTES, "%s %s", name, conf->ports[index].name);
	else if (section == KX_CONF_S_PRINCIPAL)
		snprintf(out, HEAD_BYTES, "%s %s", name, conf->principals[index].name);
	else if (section == KX_CONF_S_TOPIC)
		snprintf(out, HEAD_BYTES, "%s %s", name, conf->topics[index].name);
	else
		snprintf(out, HEAD_BYTES, "%s", name);
	return out;
}
