/* SPDX-License-Identifier: BSD-3-Clause */
/* Audit lines: data lcores put events into rings, the control lcore prints them, so many a second. */
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "app.h"

int app_audit_load(struct app *app)
{
	return kx_broker_principals_load(app->conf, &app->principals, &app->why) == 0 ? 0 : -1;
}

int app_audit_create(struct app *app)
{
	for (uint32_t i = 0; i < app->lcore_count; i++)
		if (kx_audit_create(&app->audit[i]) != 0)
			return app_fail(app, "no memory for audit events");
	return 0;
}

void app_audit_free(struct app *app)
{
	for (uint32_t i = 0; i < app->lcore_count; i++) {
		kx_audit_destroy(app->audit[i]);
		app->audit[i] = NULL;
	}
}

/* A name that a stranger claimed: what is no name's character is shown as one. */
static void claimed_name(const struct kx_audit_event *e, char out[KX_PRINCIPAL_NAME_MAX + 1])
{
	uint32_t n = KX_MIN(e->name_bytes, (uint32_t)KX_PRINCIPAL_NAME_MAX);

	for (uint32_t i = 0; i < n; i++)
		out[i] = isalnum(e->name[i]) || e->name[i] == '.' || e->name[i] == '_' || e->name[i] == '-'
			? (char)e->name[i]
			: '?';
	out[n] = '\0';
}

/* @return false: there was no room for it */
static bool print_event(const struct app *app, uint32_t lcore, const struct kx_audit_event *e)
{
	char remote[KX_ADDR_TEXT_BYTES], name[KX_PRINCIPAL_NAME_MAX + 1], when[32], reason[256];
	uint32_t principal = kx_broker_audit_principal(app->conf, e);
	time_t seconds = (time_t)(e->time_ns / KX_NS_PER_S);
	struct kx_text why;
	struct tm tm;

	gmtime_r(&seconds, &tm);
	strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%S", &tm);
	claimed_name(e, name);
	app_print("audit %s.%03uZ %s principal=%s%s remote=%s lcore=%u", when,
		(unsigned int)(e->time_ns / 1000000 % 1000), kx_audit_name(e->what),
		principal != KX_AUDIT_UNKNOWN ? app->conf->principals[principal].name : name,
		principal == KX_AUDIT_UNKNOWN ? " (unknown)" : "", kx_addr_format(&e->remote, remote),
		app->lcores[lcore].lcore);
	if (e->conn_id != 0)
		app_print(" conn=%016" PRIx64 " producer=%" PRIu64 "/%u", e->conn_id, e->producer_id,
			e->producer_epoch);
	if (e->what == KX_AUDIT_ACCEPTED && e->principal != 0)
		app_print(" key=%s", e->key_index == 0 ? "current" : "next");
	if (e->topic < app->conf->topic_count)
		app_print(" topic=%s", app->conf->topics[e->topic].name);
	kx_text_init(&why, reason, sizeof(reason));
	kx_broker_audit_reason(app->conf, e, &why);
	if (why.len != 0)
		app_print(" reason=\"%s\"", reason);
	return app_print("\n");
}

/* Lines of this second that were not printed yet. */
static uint64_t *lines_left(const struct app *app)
{
	static uint64_t second, left;
	uint64_t now = kx_clock_mono_ns() / KX_NS_PER_S;

	if (now != second)
		left = app->conf->auth.audit_per_s;
	second = now;
	return &left;
}

void app_audit_tick(struct app *app)
{
	static uint64_t suppressed; /* and not told yet */
	uint64_t *left = lines_left(app);

	for (uint32_t i = 0; i < app->lcore_count; i++) {
		struct kx_audit_event e;

		/* A ring's worth: a writer that is faster than this loop must not hold it. */
		for (uint32_t n = 0; n < KX_AUDIT_RING && kx_audit_get(app->audit[i], &e); n++) {
			if (*left == 0) {
				suppressed++;
				continue;
			}
			--*left;
			if (!print_event(app, i, &e))
				suppressed++;
		}
		suppressed += kx_audit_lost(app->audit[i]);
	}
	if (suppressed != 0 && app->conf->auth.audit_per_s != 0 &&
		app_print("audit: %" PRIu64 " more events, not printed ([auth] audit_per_s = %u)\n",
			suppressed, app->conf->auth.audit_per_s))
		suppressed = 0;
}
