/* SPDX-License-Identifier: BSD-3-Clause */
/* What an audit event says to who runs the broker, who may know more than the client was told. Not for data
 * lcores: names are looked for here, where nobody outside can measure how long it takes. */
#include <string.h>

#include "kx_broker.h"

uint32_t kx_broker_audit_principal(const struct kx_conf *conf, const struct kx_audit_event *e)
{
	if (e->principal < conf->principal_count)
		return e->principal;
	if (e->name_bytes == 0)
		return 0;
	for (uint32_t i = 0; i < conf->principal_count; i++) {
		const char *name = conf->principals[i].name;

		if (strlen(name) == e->name_bytes && memcmp(name, e->name, e->name_bytes) == 0)
			return i;
	}
	return KX_AUDIT_UNKNOWN;
}

static const char *not_proven(const struct kx_conf *conf, const struct kx_audit_event *e)
{
	uint32_t principal = kx_broker_audit_principal(conf, e);

	if (principal == KX_AUDIT_UNKNOWN)
		return "no such principal";
	if (principal == 0 && e->method == KX_AUTH_HMAC_SHA256)
		return "came with a key, but anonymous has none";
	if (principal == 0 && !conf->auth.anonymous)
		return "anonymous clients may not connect ([auth] anonymous = off)";
	if (e->method == KX_AUTH_NONE)
		return "came without a key, but this principal has one";
	if (principal == 0 || e->proven)
		return "ticket not accepted: not of this principal and start of the broker, or too old";
	return "wrong key";
}

void kx_broker_audit_reason(const struct kx_conf *conf, const struct kx_audit_event *e, struct kx_text *out)
{
	if (e->what == KX_AUDIT_REFUSED && e->code == KX_CODE_AUTH)
		kx_text_add(out, "%s", not_proven(conf, e));
	else if (e->code == KX_CODE_PRINCIPAL_FULL && e->principal < conf->principal_count)
		kx_text_add(out, "has all its sessions ([principal %s] sessions = %u, on each data lcore)",
			conf->principals[e->principal].name, conf->principals[e->principal].sessions);
	else if (e->code != KX_CODE_OK)
		kx_text_add(out, "%s", kx_code_text(e->code));
}
