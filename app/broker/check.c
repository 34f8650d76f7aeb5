/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "app.h"

int app_config_load(struct app *app)
{
	struct kx_conf_errors *errs = malloc(sizeof(*errs));
	int err;

	if (errs == NULL)
		return app_fail(app, "no memory");
	err = kx_conf_load(app->opt.config, &app->conf, errs);
	if (err == -EINVAL && errs->total != 1) {
		for (uint32_t i = 0; i < errs->count; i++)
			fprintf(stderr, "%s\n", errs->text[i]);
		app_fail(app, "%s has %u errors", app->opt.config, errs->total);
	} else if (err != 0) {
		app_fail(app, "%s", errs->count != 0 ? errs->text[0] : kx_strerror(err));
	}
	free(errs);
	return err == 0 ? 0 : -1;
}

/* May this user not read it, whose broker may? What else is wrong with it is said by who reads it. */
static bool unreadable(const char *file)
{
	return file[0] != '\0' && access(file, R_OK) != 0 && errno == EACCES;
}

/* What is wrong with key files: the first is kept, since one alone is the reason why, and several are a list.
 */
struct bad_keys {
	uint32_t count;
	char first[900];
};

static void check_key(struct app *app, const struct kx_conf_principal *p, const char *what, const char *file,
	struct bad_keys *bad)
{
	char text[900];
	struct kx_text line;
	struct kx_key key;
	int err;

	kx_text_init(&line, text, sizeof(text));
	kx_text_add(&line, "%s:%u: [principal %s] %s: ", app->opt.config, p->line, p->name, what);
	err = kx_key_load(file, &key, &line);
	kx_key_wipe(&key);
	if (err == 0)
		return;
	if (bad->count == 0)
		snprintf(bad->first, sizeof(bad->first), "%s", text);
	if (bad->count == 1)
		fprintf(stderr, "%s\n", bad->first);
	if (bad->count >= 1)
		fprintf(stderr, "%s\n", text);
	bad->count++;
}

static int say_bad(struct app *app, const struct bad_keys *bad)
{
	return bad->count == 1
		? app_fail(app, "%s", bad->first)
		: app_fail(app, "%s names %u key files that cannot be used", app->opt.config, bad->count);
}

/* The key files, all of them; those that this user may not read are listed in `unchecked`. */
static int check_keys(struct app *app, struct kx_text *unchecked, uint32_t *lines)
{
	struct bad_keys bad = {0};
	uint32_t before = *lines;

	for (uint32_t i = 0; i < app->conf->principal_count; i++) {
		const struct kx_conf_principal *p = &app->conf->principals[i];
		const char *files[] = {p->key_file, p->next_key_file};

		for (size_t f = 0; f < KX_DIM(files); f++) {
			if (unreadable(files[f])) {
				kx_text_add(unchecked,
					"principal %s: key file %s, which this user may not read\n", p->name,
					files[f]);
				++*lines;
			} else if (files[f][0] != '\0') {
				check_key(app, p, f == 0 ? "key_file" : "next_key_file", files[f], &bad);
			}
		}
	}
	if (bad.count != 0)
		return say_bad(app, &bad);
	/* with all of them there, what is wrong between them */
	return *lines == before ? app_audit_load(app) : 0;
}

int app_config_check(struct app *app)
{
	static char text[65536];
	struct kx_text unchecked;
	uint32_t lines;
	int err;

	kx_text_init(&unchecked, text, sizeof(text));
	lines = kx_conf_unchecked(app->conf, &unchecked);
	err = check_keys(app, &unchecked, &lines);
	kx_auth_principals_destroy(app->principals);
	app->principals = NULL;
	if (err != 0)
		return APP_EXIT_USAGE;
	printf("%s: ok: %u ports, %u topics, %u partitions\n", app->opt.config, app->conf->port_count,
		app->conf->topic_count, app->conf->partition_count);
	if (lines != 0)
		printf("not checked here:\n%s", text);
	return 0;
}
