/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Lines of the file, in front of inih. inih splits `key = value ; comment`; what it does not tell (line
 * numbers, empty and repeated sections) or does silently (cut long lines, join indented ones, skip a byte
 * order mark) is done or refused here, so that it is only ever handed one well-formed `key = value` line at a
 * time.
 */
#include "conf_private.h"

#include <ini.h>
#include <string.h>

static void line_error(struct load *l, const char *what)
{
	conf_error(l->name, l->errs, l->line, NULL, NULL, "%s", what);
}

/** The first byte that no text line has, as a message; NULL when there is none. */
static bool control_byte(struct load *l, const char *line, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)line[i];

		if ((c >= 0x20 && c != 0x7f) || c == '\t')
			continue;
		if (c == 0)
			line_error(l, "has a NUL byte; allowed: a text file");
		else
			conf_error(l->name, l->errs, l->line, NULL, NULL,
				"has the control byte 0x%02x; allowed: a text file", c);
		return true;
	}
	return false;
}

/** Does inih find a key here? Its rule: '=' or ':' in front of an inline comment, which is ';' behind a
 * blank. */
static bool has_separator(const char *line, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (line[i] == '=' || line[i] == ':')
			return true;
		if (line[i] == ';' && i > 0 && (line[i - 1] == ' ' || line[i - 1] == '\t'))
			return false;
	}
	return false;
}

static void section_head(struct load *l, const char *line, size_t len)
{
	const char *close = memchr(line, ']', len);
	char quoted[QUOTE_BYTES];
	size_t name_len;
	const char *p;

	l->in_section = true;
	l->skip = true;
	if (close == NULL) {
		conf_error(l->name, l->errs, l->line, NULL, NULL, "`%s` has no `]`; allowed: [section]",
			conf_quote(quoted, line, len));
		return;
	}
	for (p = close + 1; p < line + len && (*p == ' ' || *p == '\t'); p++)
		;
	if (p < line + len && *p != ';' && *p != '#') {
		conf_error(l->name, l->errs, l->line, NULL, NULL,
			"`%s` behind the section; allowed: nothing or a comment",
			conf_quote(quoted, p, (size_t)(line + len - p)));
		return;
	}
	name_len = (size_t)(close - line - 1);
	conf_section_line(l, line + 1, name_len);
}

/** Judge one line. @return true when it is a key line for inih */
static bool take_line(struct load *l, const char *line, size_t len)
{
	size_t blanks = 0;
	char quoted[QUOTE_BYTES];

	if (len > KX_CONF_LINE_MAX - 1) {
		conf_error(l->name, l->errs, l->line, NULL, NULL,
			"line of %zu bytes is too long; allowed: %d bytes and the line end", len,
			KX_CONF_LINE_MAX - 1);
		return false;
	}
	if (control_byte(l, line, len))
		return false;
	while (blanks < len && (line[blanks] == ' ' || line[blanks] == '\t'))
		blanks++;
	if (blanks == len || line[blanks] == ';' || line[blanks] == '#')
		return false;
	if (blanks > 0) {
		line_error(l,
			"begins with a blank; continuation lines do not exist here; allowed: keys and "
			"sections at the start of their line");
		return false;
	}
	if (line[0] == '[') {
		section_head(l, line, len);
		return false;
	}
	if (!has_separator(line, len)) {
		conf_error(l->name, l->errs, l->line, NULL, NULL,
			"`%s` is neither a section nor a key; allowed: [section], key = value, # comment",
			conf_quote(quoted, line, len));
		return false;
	}
	return true;
}

/** For inih, like fgets(): the next key line. */
static char *next_key_line(char *out, int size, void *stream)
{
	struct load *l = stream;

	while (l->pos < l->bytes && !l->no_memory) {
		const char *line = l->text + l->pos;
		const char *end = memchr(line, '\n', l->bytes - l->pos);
		size_t len = end != NULL ? (size_t)(end - line) : l->bytes - l->pos;

		l->pos += len + (end != NULL);
		if (++l->line > KX_CONF_LINES_MAX) {
			conf_error(l->name, l->errs, l->line, NULL, NULL, "too many lines; allowed: %d",
				KX_CONF_LINES_MAX);
			return NULL;
		}
		if (len > 0 && line[len - 1] == '\r')
			len--;
		if (!take_line(l, line, len) || len >= (size_t)size)
			continue;
		memcpy(out, line, len);
		out[len] = '\0';
		return out;
	}
	return NULL;
}

static int on_key(void *user, const char *section, const char *key, const char *value)
{
	(void)section; /* cut at 49 bytes by inih; ours comes from the head */
	conf_key_line(user, key, value);
	return 1;
}

/** A byte order mark: said once, and skipped where the rest is still readable. @return false for UTF-16 */
static bool byte_order_mark(struct load *l)
{
	const uint8_t *b = (const uint8_t *)l->text;

	if (l->bytes >= 3 && b[0] == 0xef && b[1] == 0xbb && b[2] == 0xbf) {
		conf_error(l->name, l->errs, 1, NULL, NULL,
			"begins with a UTF-8 byte order mark; allowed: plain text without one");
		l->pos = 3;
	} else if (l->bytes >= 2 && ((b[0] == 0xff && b[1] == 0xfe) || (b[0] == 0xfe && b[1] == 0xff))) {
		conf_error(l->name, l->errs, 1, NULL, NULL,
			"begins with a UTF-16 byte order mark; allowed: plain ASCII or UTF-8 text");
		return false;
	}
	return true;
}

void conf_read(struct load *l)
{
	if (l->bytes == 0) {
		conf_error(l->name, l->errs, 0, NULL, NULL,
			"the file is empty; allowed: at least one [port NAME] and one [topic NAME]");
		return;
	}
	if (l->bytes > KX_CONF_FILE_MAX) {
		conf_error(l->name, l->errs, 0, NULL, NULL, "the file is too large; allowed: %d bytes",
			KX_CONF_FILE_MAX);
		return;
	}
	if (!byte_order_mark(l))
		return;
	if (ini_parse_stream(next_key_line, l, on_key, l) != 0 && l->errs->total == 0)
		conf_error(l->name, l->errs, 0, NULL, NULL, "the ini parser refused the file");
}
