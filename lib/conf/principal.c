/* SPDX-License-Identifier: BSD-3-Clause */
/* Sections of principals: opening one, and what is checked across their keys. */
#include "conf_private.h"

#include <stdlib.h>
#include <string.h>

static const char anonymous[] = "anonymous";

/** Room for one more principal in both tables. */
static bool grow(struct load *l)
{
	uint32_t room = l->principal_room == 0 ? 4 : l->principal_room * 2;
	struct kx_conf_principal *principals;
	struct seen *seen;

	if (l->conf->principal_count < l->principal_room)
		return true;
	principals = realloc(l->conf->principals, room * sizeof(*principals));
	if (principals != NULL)
		l->conf->principals = principals;
	seen = realloc(l->principal, room * sizeof(*seen));
	if (seen != NULL)
		l->principal = seen;
	if (principals == NULL || seen == NULL) {
		l->no_memory = true;
		return false;
	}
	l->principal_room = room;
	return true;
}

static bool add(struct load *l, const char *name, size_t name_len)
{
	struct kx_conf_principal *p;

	if (!grow(l))
		return false;
	p = &l->conf->principals[l->conf->principal_count];
	memset(p, 0, sizeof(*p));
	memcpy(p->name, name, name_len);
	conf_defaults(KX_CONF_S_PRINCIPAL, p);
	l->principal[l->conf->principal_count++] = (struct seen){.head_line = 0};
	return true;
}

bool conf_principals_begin(struct load *l)
{
	if (!add(l, anonymous, strlen(anonymous)))
		return false;
	strcpy(l->conf->principals[0].produce, "*");
	strcpy(l->conf->principals[0].consume, "*");
	return true;
}

void conf_open_principal(struct load *l, const char *head, size_t len, const char *name, size_t name_len)
{
	int index;

	if (!conf_name_ok(name, name_len, KX_CONF_PRINCIPAL_NAME_MAX, "._-")) {
		conf_head_error(l, head, len, "needs a principal's name",
			"[principal NAME] with 1..63 of the characters A-Z a-z 0-9 . _ -");
		return;
	}
	index = kx_conf_principal_find(l->conf, name, name_len);
	if (index >= 0 && l->principal[index].head_line != 0) {
		conf_head_repeated(l, head, len, l->principal[index].head_line);
		return;
	}
	if (index < 0) {
		/* The entry of `anonymous` is there without a section. */
		if (l->conf->principal_count == KX_CONF_PRINCIPALS_MAX + (l->principal[0].head_line == 0)) {
			if (!l->principal_full_said)
				conf_head_error(l, head, len, "one principal too many", "256 principals");
			l->principal_full_said = true;
			return;
		}
		if (!add(l, name, name_len))
			return;
		index = (int)l->conf->principal_count - 1;
	}
	/* A section says all of it: what is not written is the table's default, for `anonymous` too. */
	conf_defaults(KX_CONF_S_PRINCIPAL, &l->conf->principals[index]);
	l->conf->principals[index].line = l->line;
	l->principal[index].head_line = l->line;
	l->section = KX_CONF_S_PRINCIPAL;
	l->index = (uint32_t)index;
	l->skip = false;
}

static bool usable(const struct check *c, uint32_t index, const char *key)
{
	return conf_usable(c, KX_CONF_S_PRINCIPAL, index, key);
}

static void check_anonymous(const struct check *c)
{
	const struct kx_conf_principal *p = &c->conf->principals[0];

	if (p->key_file[0] != '\0')
		conf_check_error(c, KX_CONF_S_PRINCIPAL, 0, "key_file",
			"anonymous is who has no key; allowed: none, or a key for another principal");
	if (p->next_key_file[0] != '\0')
		conf_check_error(c, KX_CONF_S_PRINCIPAL, 0, "next_key_file",
			"anonymous is who has no key; allowed: none, or a key for another principal");
	if (p->frames != KX_CONF_FRAMES_PLAIN)
		conf_check_error(c, KX_CONF_S_PRINCIPAL, 0, "frames",
			"anonymous has no key to protect frames with; allowed: plain");
}

static void check_keys(const struct check *c, uint32_t index)
{
	const struct kx_conf_principal *p = &c->conf->principals[index];

	if (!usable(c, index, "key_file") || !usable(c, index, "next_key_file"))
		return;
	if (p->key_file[0] == '\0')
		conf_check_error(c, KX_CONF_S_PRINCIPAL, index, "key_file",
			"key is missing; allowed: a file made by `kaelix-cli keygen FILE`");
	else if (strcmp(p->key_file, p->next_key_file) == 0)
		conf_check_error(c, KX_CONF_S_PRINCIPAL, index, "next_key_file",
			"is the same file as key_file; allowed: none, or another file");
}

static void check_somebody(const struct check *c)
{
	if (c->conf->auth.anonymous || !conf_usable(c, KX_CONF_S_AUTH, 0, "anonymous") ||
		c->conf->principal_count > 1)
		return;
	conf_check_error(c, KX_CONF_S_AUTH, 0, "anonymous",
		"off without any principal that has a key: nobody could connect; allowed: on, or a "
		"[principal NAME] with a key_file");
}

void conf_check_principals(const struct check *c)
{
	check_somebody(c);
	check_anonymous(c);
	for (uint32_t i = 0; i < c->conf->principal_count; i++) {
		const struct kx_conf_principal *p = &c->conf->principals[i];

		if (i > 0)
			check_keys(c, i);
		if (usable(c, i, "produce"))
			conf_check_access(c, i, "produce", p->produce);
		if (usable(c, i, "consume"))
			conf_check_access(c, i, "consume", p->consume);
	}
}
