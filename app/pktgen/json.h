/* SPDX-License-Identifier: BSD-3-Clause */
/** @file JSON writer: objects, arrays and values to a stream, commas and escapes included. */
#ifndef PG_JSON_H
#define PG_JSON_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define PG_JSON_DEPTH_MAX 16

/** Writer. Every function takes the member's key, or NULL inside an array. One thread. */
struct pg_json {
	FILE *out;
	unsigned int depth;
	bool has_member[PG_JSON_DEPTH_MAX];
};

void pg_json_begin(struct pg_json *j, FILE *out);
void pg_json_object(struct pg_json *j, const char *key);
void pg_json_array(struct pg_json *j, const char *key);
/** Ends the innermost object or array: '}' or ']'. */
void pg_json_end(struct pg_json *j, char bracket);
void pg_json_text(struct pg_json *j, const char *key, const char *value);
void pg_json_u64(struct pg_json *j, const char *key, uint64_t value);
/** Not a number and infinities become null. */
void pg_json_double(struct pg_json *j, const char *key, double value);
void pg_json_bool(struct pg_json *j, const char *key, bool value);
void pg_json_null(struct pg_json *j, const char *key);

#endif
