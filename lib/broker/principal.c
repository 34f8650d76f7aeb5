/* SPDX-License-Identifier: BSD-3-Clause */
/* Principals: from the configuration to the table, what is counted of them, and what is told of them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "broker_pvt.h"

_Static_assert((int)KX_CONF_FRAMES_MAC == KX_PROTECT_MAC && (int)KX_CONF_FRAMES_AEAD == KX_PROTECT_AEAD,
	"one order of protection");

static int load_keys(
	const struct kx_conf_principal *conf, struct kx_auth_principal_conf *out, struct kx_text *why)
{
	const char *const files[] = {conf->key_file, conf->next_key_file};

	for (size_t k = 0; k < KX_DIM(files); k++) {
		int rc = files[k][0] != '\0' ? kx_key_load(files[k], &out->key[k], why) : 0;

		if (rc == 0)
			continue;
		kx_text_add(why, " (principal %s, section in line %u)", conf->name, conf->line);
		return rc;
	}
	return 0;
}

static int load_all(const struct kx_conf *conf, struct kx_auth_principal_conf *list, uint64_t *bits,
	struct kx_auth_principals **out, struct kx_text *why)
{
	uint32_t words = kx_conf_access_words(conf);
	int rc = 0;

	for (uint32_t i = 0; rc == 0 && i < conf->principal_count; i++) {
		const struct kx_conf_principal *p = &conf->principals[i];
		uint64_t *produce = bits + (size_t)2 * i * words, *consume = produce + words;

		kx_conf_access(conf, p, KX_CONF_PRODUCE, produce);
		kx_conf_access(conf, p, KX_CONF_CONSUME, consume);
		list[i].name = p->name;
		list[i].protect = (enum kx_protect)p->frames;
		list[i].sessions_max = p->sessions;
		list[i].produce = produce;
		list[i].consume = consume;
		rc = load_keys(p, &list[i], why);
	}
	if (rc == 0)
		rc = kx_auth_principals_create(
			list, conf->principal_count, conf->topic_count, conf->auth.anonymous, out, why);
	return rc;
}

int kx_broker_principals_load(
	const struct kx_conf *conf, struct kx_auth_principals **out, struct kx_text *why)
{
	uint32_t n = conf->principal_count, words = kx_conf_access_words(conf);
	struct kx_auth_principal_conf *list = calloc(n, sizeof(*list));
	uint64_t *bits = calloc((size_t)2 * n * words, sizeof(*bits));
	int rc = -ENOMEM;

	*out = NULL;
	if (list != NULL && bits != NULL)
		rc = load_all(conf, list, bits, out, why);
	else
		kx_text_add(why, "no memory for %u principals", n);
	if (list != NULL)
		explicit_bzero(list, n * sizeof(*list));
	free(list);
	free(bits);
	return rc;
}

int principals_create(struct kx_broker *b)
{
	char unread[8];
	struct kx_text why;
	int rc = 0;

	kx_text_init(&why, unread, sizeof(unread));
	b->principals = b->config.principals;
	if (b->principals == NULL) {
		rc = kx_broker_principals_load(b->config.conf, &b->own_principals, &why);
		b->principals = b->own_principals;
	}
	if (rc != 0)
		return rc;
	b->principal_counters =
		calloc(kx_auth_principals_count(b->principals) + 1, sizeof(*b->principal_counters));
	return b->principal_counters != NULL ? 0 : -ENOMEM;
}

void principals_destroy(struct kx_broker *b)
{
	kx_auth_principals_destroy(b->own_principals);
	free(b->principal_counters);
}

struct kx_principal_counters *principal_counters(struct kx_broker *b, const struct kx_auth_principal *p)
{
	return &b->principal_counters[p->id];
}

void audit_session(struct kx_broker *b, const struct session *s, enum kx_audit_what what, enum kx_code code,
	uint32_t topic)
{
	kx_audit_put(b->config.audit,
		&(struct kx_audit_event){.time_ns = b->real_ns,
			.conn_id = s->conn_id,
			.producer_id = s->producer_id,
			.remote = s->remote,
			.principal = s->principal->id,
			.producer_epoch = s->producer_epoch,
			.topic = topic,
			.what = (uint8_t)what,
			.code = (uint8_t)code,
			.key_index = s->key_index});
}

void audit_refused(struct kx_broker *b, const struct kx_frame *f, const struct kx_auth *auth, uint32_t number,
	bool proven, enum kx_code code)
{
	uint32_t none = -(uint32_t)(number == kx_auth_principals_count(b->principals));
	struct kx_audit_event e = {.time_ns = b->real_ns,
		.remote = f->remote,
		.principal = number | (none & KX_AUDIT_UNKNOWN),
		.topic = UINT32_MAX,
		.what = KX_AUDIT_REFUSED,
		.code = (uint8_t)code,
		.name_bytes = auth->principal_bytes,
		.method = auth->method,
		.proven = proven};

	memcpy(e.name, auth->principal, sizeof(e.name));
	kx_audit_put(b->config.audit, &e);
}

void access_denied(struct kx_broker *b, const struct session *s, uint32_t topic)
{
	kx_count(&principal_counters(b, s->principal)->denied, 1);
	audit_session(b, s, KX_AUDIT_DENIED, KX_CODE_DENIED, topic);
}
