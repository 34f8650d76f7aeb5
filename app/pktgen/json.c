/* SPDX-License-Identifier: BSD-3-Clause */
#include "json.h"

#include <inttypes.h>
#include <math.h>

static void write_escaped(FILE *out, const char *s)
{
	fputc('"', out);
	for (; *s != '\0'; s++) {
		unsigned char c = (unsigned char)*s;

		if (c == '"' || c == '\\')
			fprintf(out, "\\%c", c);
		else if (c < 0x20)
			fprintf(out, "\\u%04x", c);
		else
			fputc(c, out);
	}
	fputc('"', out);
}

static void member(struct pg_json *j, const char *key)
{
	if (j->has_member[j->depth])
		fputc(',', j->out);
	j->has_member[j->depth] = true;
	if (key != NULL) {
		write_escaped(j->out, key);
		fputc(':', j->out);
	}
}

static void open_bracket(struct pg_json *j, const char *key, char bracket)
{
	member(j, key);
	fputc(bracket, j->out);
	if (j->depth + 1 < PG_JSON_DEPTH_MAX)
		j->depth++;
	j->has_member[j->depth] = false;
}

void pg_json_begin(struct pg_json *j, FILE *out)
{
	*j = (struct pg_json){.out = out};
}

void pg_json_object(struct pg_json *j, const char *key)
{
	open_bracket(j, key, '{');
}

void pg_json_array(struct pg_json *j, const char *key)
{
	open_bracket(j, key, '[');
}

void pg_json_end(struct pg_json *j, char bracket)
{
	fputc(bracket, j->out);
	if (j->depth > 0)
		j->depth--;
	if (j->depth == 0)
		fputc('\n', j->out);
}

void pg_json_text(struct pg_json *j, const char *key, const char *value)
{
	member(j, key);
	write_escaped(j->out, value);
}

void pg_json_u64(struct pg_json *j, const char *key, uint64_t value)
{
	member(j, key);
	fprintf(j->out, "%" PRIu64, value);
}

void pg_json_double(struct pg_json *j, const char *key, double value)
{
	member(j, key);
	if (isfinite(value))
		fprintf(j->out, "%.10g", value);
	else
		fputs("null", j->out);
}

void pg_json_bool(struct pg_json *j, const char *key, bool value)
{
	member(j, key);
	fputs(value ? "true" : "false", j->out);
}

void pg_json_null(struct pg_json *j, const char *key)
{
	member(j, key);
	fputs("null", j->out);
}
