/* SPDX-License-Identifier: BSD-3-Clause */
/* From the text of a value to the member of its section, as the table says. */
#include "conf_private.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

void conf_size_text(struct kx_text *out, uint64_t bytes)
{
	static const char suffix[] = {'G', 'M', 'K'};

	for (unsigned int i = 0; i < KX_DIM(suffix); i++) {
		unsigned int shift = 30 - 10 * i;

		if (bytes >= UINT64_C(1) << shift && bytes % (UINT64_C(1) << shift) == 0) {
			kx_text_add(out, "%llu%c", (unsigned long long)(bytes >> shift), suffix[i]);
			return;
		}
	}
	kx_text_add(out, "%llu", (unsigned long long)bytes);
}

static void store_number(const struct kx_conf_key *key, void *section, uint64_t v)
{
	uint8_t *at = (uint8_t *)section + key->offset;

	switch (key->width) {
	case 1:
		*at = (uint8_t)v;
		break;
	case 4:
		memcpy(at, &(uint32_t){(uint32_t)v}, 4);
		break;
	default:
		memcpy(at, &v, 8);
		break;
	}
}

/** Decimal digits at *p. @return false without one, or beyond 2^63 */
static bool digits(const char **p, uint64_t *v)
{
	const char *s = *p;

	*v = 0;
	for (; isdigit((unsigned char)*s); s++) {
		if (*v > (UINT64_C(1) << 63) / 10 - 1)
			return false;
		*v = *v * 10 + (uint64_t)(*s - '0');
	}
	if (s == *p)
		return false;
	*p = s;
	return true;
}

/** What a number's tail is, in words for the message. */
static void unit_wrong(const struct kx_conf_key *key, const char *tail, struct kx_text *why)
{
	char quoted[QUOTE_BYTES];

	conf_quote(quoted, tail, strlen(tail));
	if (key->type == KX_CONF_T_BYTES)
		kx_text_add(why, "`%s` is not a unit; sizes are bytes, or K, M, G behind the number", quoted);
	else if (key->unit[0] != '\0')
		kx_text_add(why, "`%s` behind the number; the unit is always %s and is not written", quoted,
			key->unit);
	else
		kx_text_add(why, "`%s` behind the number", quoted);
}

static bool scale(const struct kx_conf_key *key, const char *tail, uint64_t *v, struct kx_text *why)
{
	static const char suffix[] = "KMG";
	const char *found;
	unsigned int shift;

	if (*tail == '\0')
		return true;
	found = key->type == KX_CONF_T_BYTES ? strchr(suffix, *tail) : NULL;
	if (found == NULL || tail[1] != '\0') {
		unit_wrong(key, tail, why);
		return false;
	}
	shift = 10 * (unsigned int)(found - suffix + 1);
	*v = *v > UINT64_MAX >> shift ? UINT64_MAX : *v << shift;
	return true;
}

static bool number(const struct kx_conf_key *key, void *section, const char *value, struct kx_text *why)
{
	const char *p = value;
	char quoted[QUOTE_BYTES];
	uint64_t v;

	if (!digits(&p, &v)) {
		kx_text_add(why, "`%s` is not a %s", conf_quote(quoted, value, strlen(value)),
			isdigit((unsigned char)*value) ? "number this program can hold" : "decimal number");
		return false;
	}
	if (!scale(key, p, &v, why))
		return false;
	if (v == 0 && key->zero != NULL) {
		store_number(key, section, 0);
		return true;
	}
	if (v < key->min || v > key->max) {
		kx_text_add(why, "%s is out of range", conf_quote(quoted, value, strlen(value)));
		return false;
	}
	if (key->power_of_two && (v & (v - 1)) != 0) {
		kx_text_add(why, "%s is not a power of two", conf_quote(quoted, value, strlen(value)));
		return false;
	}
	store_number(key, section, v);
	return true;
}

static bool choice(const struct kx_conf_key *key, void *section, const char *value, struct kx_text *why)
{
	char quoted[QUOTE_BYTES];
	size_t len = strlen(value);
	uint64_t i = 0;

	for (const char *c = key->choices; c != NULL; i++) {
		const char *end = strchr(c, '|');
		size_t n = end != NULL ? (size_t)(end - c) : strlen(c);

		if (n == len && memcmp(c, value, n) == 0) {
			store_number(key, section, i);
			return true;
		}
		c = end != NULL ? end + 1 : NULL;
	}
	if (strcmp(key->name, "durability") == 0 &&
		(strcmp(value, "written") == 0 || strcmp(value, "synced") == 0 ||
			strcmp(value, "replicated") == 0))
		kx_text_add(why, "`%s` needs the durable log, which is not in this version", value);
	else
		kx_text_add(why, "`%s` is not known", conf_quote(quoted, value, len));
	return false;
}

static bool instance_name(struct kx_conf_broker *broker, const char *value, struct kx_text *why)
{
	char quoted[QUOTE_BYTES];
	size_t len = strlen(value);

	if (len > KX_CONF_NAME_MAX) {
		kx_text_add(why, "%zu characters are too many", len);
		return false;
	}
	for (size_t i = 0; i < len; i++) {
		if (!isalnum((unsigned char)value[i]) && value[i] != '_' && value[i] != '-') {
			kx_text_add(why, "`%s` has a character that a name must not have",
				conf_quote(quoted, value, len));
			return false;
		}
	}
	memcpy(broker->name, value, len + 1);
	return true;
}

struct lcore_list {
	uint8_t count;
	uint16_t id[KX_CONF_LCORES_MAX];
};

static bool lcore_add(struct lcore_list *list, uint64_t id, struct kx_text *why)
{
	for (uint32_t i = 0; i < list->count; i++) {
		if (list->id[i] == id) {
			kx_text_add(why, "lcore %u is named twice", (unsigned int)id);
			return false;
		}
	}
	if (list->count == KX_CONF_LCORES_MAX) {
		kx_text_add(why, "more than %d lcores", KX_CONF_LCORES_MAX);
		return false;
	}
	list->id[list->count++] = (uint16_t)id;
	return true;
}

static const char *blanks(const char *p)
{
	return p + strspn(p, " \t");
}

/** One item of the list: an id or a range. */
static bool lcore_item(struct lcore_list *list, const char **p, struct kx_text *why)
{
	char quoted[QUOTE_BYTES];
	const char *at = *p;
	uint64_t from, to;

	if (!digits(p, &from)) {
		kx_text_add(why, "`%s` is not an lcore id", conf_quote(quoted, at, strcspn(at, ",")));
		return false;
	}
	to = from;
	*p = blanks(*p);
	if (**p == '-') {
		*p = blanks(*p + 1);
		if (!digits(p, &to)) {
			kx_text_add(why, "`%s` is not a range", conf_quote(quoted, at, strcspn(at, ",")));
			return false;
		}
	}
	if (from > KX_CONF_LCORE_ID_MAX || to > KX_CONF_LCORE_ID_MAX || to < from) {
		kx_text_add(why, "`%s` is out of range", conf_quote(quoted, at, strcspn(at, ",")));
		return false;
	}
	for (uint64_t id = from; id <= to; id++)
		if (!lcore_add(list, id, why))
			return false;
	return true;
}

static bool lcore_list(struct lcore_list *list, const char *value, struct kx_text *why)
{
	char quoted[QUOTE_BYTES];
	const char *p = value;

	for (;;) {
		p = blanks(p);
		if (!lcore_item(list, &p, why))
			return false;
		p = blanks(p);
		if (*p == '\0')
			return true;
		if (*p != ',') {
			kx_text_add(why, "`%s` where a comma should be", conf_quote(quoted, p, strlen(p)));
			return false;
		}
		p++;
	}
}

static bool lcores(
	const struct kx_conf_key *key, struct kx_conf_lcores *l, const char *value, struct kx_text *why)
{
	bool data = strcmp(key->name, "data") == 0;
	struct lcore_list list = {.count = 0};

	if (strcmp(value, key->choices) != 0 && !lcore_list(&list, value, why))
		return false;
	if (data) {
		l->data_auto = list.count == 0;
		l->data_count = list.count;
		memcpy(l->data, list.id, sizeof(list.id));
	} else {
		l->rx_count = list.count;
		memcpy(l->rx, list.id, sizeof(list.id));
	}
	return true;
}

/** A value kept as it is written. */
static bool keep(const struct kx_conf_key *key, void *section, const char *value, struct kx_text *why)
{
	size_t len = strlen(value);

	if (len >= key->width) {
		kx_text_add(why, "%zu characters are too many", len);
		return false;
	}
	memcpy((uint8_t *)section + key->offset, value, len + 1);
	return true;
}

static bool path(const struct kx_conf_key *key, void *section, const char *value, struct kx_text *why)
{
	return keep(key, section, strcmp(value, "none") == 0 ? "" : value, why);
}

bool conf_value(const struct kx_conf_key *key, void *section, const char *value, struct kx_text *why)
{
	if (*value == '\0') {
		kx_text_add(why, "has no value");
		return false;
	}
	switch (key->type) {
	case KX_CONF_T_COUNT:
	case KX_CONF_T_BYTES:
		return number(key, section, value, why);
	case KX_CONF_T_SWITCH:
	case KX_CONF_T_CHOICE:
		return choice(key, section, value, why);
	case KX_CONF_T_NAME:
		return instance_name(section, value, why);
	case KX_CONF_T_LCORES:
		return lcores(key, section, value, why);
	case KX_CONF_T_ADDRESSES:
		return conf_addresses(section, value, why);
	case KX_CONF_T_IP4:
		return conf_gateway4(section, value, why);
	case KX_CONF_T_IP6:
		return conf_gateway6(section, value, why);
	case KX_CONF_T_PATH:
		return path(key, section, value, why);
	case KX_CONF_T_PATTERNS:
		return conf_patterns(value, why) && keep(key, section, value, why);
	}
	return false;
}

void conf_defaults(enum kx_conf_section section, void *data)
{
	char none[64];
	struct kx_text why;
	uint32_t count;
	const struct kx_conf_key *key = conf_section_keys(section, &count);

	kx_text_init(&why, none, sizeof(none));
	for (uint32_t i = 0; i < count; i++)
		if (key[i].def[0] != '\0')
			conf_value(&key[i], data, key[i].def, &why);
}
