/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdio.h>
#include <stdlib.h>

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

int app_config_check(struct app *app)
{
	static char text[16384];
	struct kx_text unchecked;
	uint32_t lines;

	kx_text_init(&unchecked, text, sizeof(text));
	lines = kx_conf_unchecked(app->conf, &unchecked);
	printf("%s: ok: %u ports, %u topics, %u partitions\n", app->opt.config, app->conf->port_count,
		app->conf->topic_count, app->conf->partition_count);
	if (lines != 0)
		printf("not checked here:\n%s", text);
	return 0;
}
