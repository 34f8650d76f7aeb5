/* SPDX-License-Identifier: BSD-3-Clause */
/* Lists of topic patterns: their grammar, what contradicts in them, and the bitmaps they stand for. */
#include "conf_private.h"

#include <ctype.h>
#include <string.h>

/** One item of a list. Its text is in the list. */
struct pattern {
	const char *text; /* with ! and * */
	size_t text_len;
	const char *literal;
	size_t len; /* of the literal part */
	bool deny;
	bool prefix; /* ends with * */
};

/** The next item, or what stands in its place. @return false at the end of the list */
static bool next(const char **at, struct pattern *p)
{
	const char *s = *at;
	size_t len;

	if (s == NULL)
		return false;
	s += strspn(s, " \t");
	len = strcspn(s, ",");
	*at = s[len] == ',' ? s + len + 1 : NULL;
	while (len > 0 && (s[len - 1] == ' ' || s[len - 1] == '\t'))
		len--;
	*p = (struct pattern){.text = s, .text_len = len, .literal = s, .len = len};
	if (len > 0 && s[0] == '!') {
		p->deny = true;
		p->literal++;
		p->len--;
	}
	if (p->len > 0 && p->literal[p->len - 1] == '*') {
		p->prefix = true;
		p->len--;
	}
	return true;
}

static bool none(const char *list)
{
	return strcmp(list, "none") == 0;
}

static bool well_formed(const struct pattern *p, struct kx_text *why)
{
	char quoted[QUOTE_BYTES];

	if (p->text_len == 0) {
		kx_text_add(why, "a pattern is missing beside a comma");
		return false;
	}
	conf_quote(quoted, p->text, p->text_len);
	if (p->len == 0 && !p->prefix) {
		kx_text_add(why, "`%s` denies nothing that has a name", quoted);
		return false;
	}
	if (p->len > KX_CONF_TOPIC_NAME_MAX) {
		kx_text_add(why, "`%s` is longer than any topic's name", quoted);
		return false;
	}
	for (size_t i = 0; i < p->len; i++) {
		unsigned char c = (unsigned char)p->literal[i];

		if (c == '*') {
			kx_text_add(why, "`%s` has * in front of its end", quoted);
			return false;
		}
		if (!isalnum(c) && strchr("._-", c) == NULL) {
			kx_text_add(why, "`%s` has a character that no topic's name has", quoted);
			return false;
		}
	}
	return true;
}

/** Items with the same literal part and the same meaning, or opposite ones. @return false when there are */
static bool told_apart(const char *list, const struct pattern *p, struct kx_text *why)
{
	char a[QUOTE_BYTES], b[QUOTE_BYTES];
	const char *at = list;
	struct pattern q;

	while (next(&at, &q) && q.text != p->text) {
		if (q.len != p->len || memcmp(q.literal, p->literal, q.len) != 0)
			continue;
		conf_quote(a, q.text, q.text_len);
		conf_quote(b, p->text, p->text_len);
		if (q.deny != p->deny) {
			kx_text_add(why,
				"`%s` and `%s` are ambiguous: one literal part is allowed and denied", a, b);
			return false;
		}
		if (q.prefix == p->prefix) {
			kx_text_add(why, "`%s` is there twice", b);
			return false;
		}
	}
	return true;
}

bool conf_patterns(const char *value, struct kx_text *why)
{
	bool allows = false;
	const char *at = value;
	struct pattern p;

	if (none(value))
		return true;
	while (next(&at, &p)) {
		if (!well_formed(&p, why) || !told_apart(value, &p, why))
			return false;
		allows |= !p.deny;
	}
	/* who writes `!x` means everything else, or nothing: it is not for us to choose */
	if (!allows)
		kx_text_add(why, "only denies, which is ambiguous: say `*` or `none`, too");
	return allows;
}

static bool matches(const struct pattern *p, const char *name, size_t name_len)
{
	return p->prefix ? name_len >= p->len && memcmp(name, p->literal, p->len) == 0
			 : name_len == p->len && memcmp(name, p->literal, p->len) == 0;
}

static bool matches_any(const struct kx_conf *conf, const struct pattern *p)
{
	for (uint32_t t = 0; t < conf->topic_count; t++)
		if (matches(p, conf->topics[t].name, strlen(conf->topics[t].name)))
			return true;
	return false;
}

void conf_check_access(const struct check *c, uint32_t principal, const char *key, const char *list)
{
	char quoted[QUOTE_BYTES];
	const char *at = list;
	struct pattern p;

	/* Without a topic there is an error that says so. */
	if (none(list) || c->conf->topic_count == 0)
		return;
	while (next(&at, &p))
		if (!matches_any(c->conf, &p))
			conf_check_error(c, KX_CONF_S_PRINCIPAL, principal, key,
				"`%s` fits no topic of this file; allowed: patterns that fit a [topic NAME]",
				conf_quote(quoted, p.text, p.text_len));
}

static bool allowed(const char *list, const char *name)
{
	size_t name_len = strlen(name), best = 0;
	const char *at = list;
	bool found = false, allow = false;
	struct pattern p;

	while (next(&at, &p)) {
		if (!matches(&p, name, name_len) || (found && p.len < best))
			continue;
		found = true;
		best = p.len;
		allow = !p.deny;
	}
	return allow;
}

void kx_conf_access(const struct kx_conf *conf, const struct kx_conf_principal *principal,
	enum kx_conf_operation operation, uint64_t *bits)
{
	const char *list = operation == KX_CONF_PRODUCE ? principal->produce : principal->consume;

	memset(bits, 0, kx_conf_access_words(conf) * sizeof(*bits));
	if (none(list))
		return;
	for (uint32_t t = 0; t < conf->topic_count; t++)
		if (allowed(list, conf->topics[t].name))
			bits[t / 64] |= UINT64_C(1) << (t % 64);
}
