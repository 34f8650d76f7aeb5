/* SPDX-License-Identifier: BSD-3-Clause */
/* Section heads open a section, key lines fill it; both remember their lines. */
#include "conf_private.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

static const char sections_allowed[] =
	"[auth], [broker], [lcores], [memory], [port NAME], [principal NAME], [sessions], [telemetry], "
	"[topic NAME]";

void conf_head_error(struct load *l, const char *head, size_t len, const char *what, const char *allowed)
{
	char quoted[QUOTE_BYTES];

	conf_error(l->name, l->errs, l->line, conf_quote(quoted, head, len), NULL, "%s; allowed: %s", what,
		allowed);
}

void conf_head_repeated(struct load *l, const char *head, size_t len, uint32_t first_line)
{
	char quoted[QUOTE_BYTES];

	conf_error(l->name, l->errs, l->line, conf_quote(quoted, head, len), NULL,
		"section is repeated, first in line %u; allowed: once", first_line);
}

static void open_single(struct load *l, const char *head, size_t len, enum kx_conf_section section)
{
	if (l->single[section].head_line != 0) {
		conf_head_repeated(l, head, len, l->single[section].head_line);
		return;
	}
	l->single[section].head_line = l->line;
	l->section = section;
	l->index = 0;
	l->skip = false;
}

bool conf_name_ok(const char *name, size_t len, size_t max, const char *marks)
{
	if (len == 0 || len > max)
		return false;
	for (size_t i = 0; i < len; i++)
		if (!isalnum((unsigned char)name[i]) && (name[i] == '\0' || strchr(marks, name[i]) == NULL))
			return false;
	return true;
}

static void open_port(struct load *l, const char *head, size_t len, const char *name, size_t name_len)
{
	struct kx_conf *conf = l->conf;
	struct kx_conf_port *port = &conf->ports[conf->port_count];
	char copy[KX_CONF_PORT_NAME_MAX + 1] = {0};
	int old;

	l->port_seen = true;
	if (!conf_name_ok(name, name_len, KX_CONF_PORT_NAME_MAX, "._:-")) {
		conf_head_error(l, head, len, "needs the name of an EAL device",
			"[port NAME] with 1..63 of the characters A-Z a-z 0-9 . _ : -, such as [port "
			"net_memif0]");
		return;
	}
	memcpy(copy, name, name_len);
	old = kx_conf_port_find(conf, copy);
	if (old >= 0) {
		conf_head_repeated(l, head, len, l->port[old].head_line);
		return;
	}
	if (conf->port_count == KX_CONF_PORTS_MAX) {
		if (!l->full_said)
			conf_head_error(l, head, len, "one port too many", "8 ports");
		l->full_said = true;
		return;
	}
	memcpy(port->name, copy, sizeof(copy));
	port->line = l->line;
	conf_defaults(KX_CONF_S_PORT, port);
	l->port[conf->port_count].head_line = l->line;
	l->section = KX_CONF_S_PORT;
	l->index = conf->port_count++;
	l->skip = false;
}

/** Room for one more topic in both tables. */
static bool grow_topics(struct load *l)
{
	uint32_t room = l->topic_room == 0 ? 8 : l->topic_room * 2;
	struct kx_conf_topic *topics;
	struct seen *seen;

	if (l->conf->topic_count < l->topic_room)
		return true;
	topics = realloc(l->conf->topics, room * sizeof(*topics));
	if (topics != NULL)
		l->conf->topics = topics;
	seen = realloc(l->topic, room * sizeof(*seen));
	if (seen != NULL)
		l->topic = seen;
	if (topics == NULL || seen == NULL) {
		l->no_memory = true;
		return false;
	}
	l->topic_room = room;
	return true;
}

/** @return index of the topic of that name, or -1. Names that collide in 64 bits are told apart by comparing.
 */
static int topic_known(struct load *l, uint64_t hash, const char *name, size_t len)
{
	uint32_t index;

	if (!kx_map_get(&l->topic_names, hash, &index))
		return -1;
	if (strlen(l->conf->topics[index].name) == len && memcmp(l->conf->topics[index].name, name, len) == 0)
		return (int)index;
	return kx_conf_topic_find(l->conf, name, len);
}

static void add_topic(struct load *l, uint64_t hash, const char *name, size_t name_len)
{
	struct kx_conf_topic *topic;

	if (!grow_topics(l))
		return;
	topic = &l->conf->topics[l->conf->topic_count];
	memset(topic, 0, sizeof(*topic));
	memcpy(topic->name, name, name_len);
	topic->line = l->line;
	conf_defaults(KX_CONF_S_TOPIC, topic);
	l->topic[l->conf->topic_count] = (struct seen){.head_line = l->line};
	kx_map_put(&l->topic_names, hash, l->conf->topic_count);
	l->section = KX_CONF_S_TOPIC;
	l->index = l->conf->topic_count++;
	l->skip = false;
}

static void open_topic(struct load *l, const char *head, size_t len, const char *name, size_t name_len)
{
	uint64_t hash;
	int old;

	l->topic_seen = true;
	if (!conf_name_ok(name, name_len, KX_CONF_TOPIC_NAME_MAX, "._-")) {
		conf_head_error(l, head, len, "needs a topic name",
			"[topic NAME] with 1..63 of the characters A-Z a-z 0-9 . _ -");
		return;
	}
	hash = kx_hash_bytes(name, name_len);
	old = topic_known(l, hash, name, name_len);
	if (old >= 0) {
		conf_head_repeated(l, head, len, l->topic[old].head_line);
		return;
	}
	if (l->conf->topic_count == KX_CONF_TOPICS_MAX) {
		if (!l->topic_full_said)
			conf_head_error(l, head, len, "one topic too many", "1024 topics");
		l->topic_full_said = true;
		return;
	}
	add_topic(l, hash, name, name_len);
}

static bool word_is(const char *word, size_t len, enum kx_conf_section section)
{
	const char *name = kx_conf_section_name(section);

	return strlen(name) == len && memcmp(name, word, len) == 0;
}

void conf_section_line(struct load *l, const char *head, size_t len)
{
	size_t word = 0, name;

	l->skip = true;
	while (word < len && head[word] != ' ' && head[word] != '\t')
		word++;
	for (name = word; name < len && (head[name] == ' ' || head[name] == '\t'); name++)
		;
	if (word_is(head, word, KX_CONF_S_PORT)) {
		open_port(l, head, len, head + name, len - name);
		return;
	}
	if (word_is(head, word, KX_CONF_S_TOPIC)) {
		open_topic(l, head, len, head + name, len - name);
		return;
	}
	if (word_is(head, word, KX_CONF_S_PRINCIPAL)) {
		conf_open_principal(l, head, len, head + name, len - name);
		return;
	}
	for (int s = 0; s < KX_CONF_S_COUNT; s++) {
		if (word_is(head, len, (enum kx_conf_section)s)) {
			open_single(l, head, len, (enum kx_conf_section)s);
			return;
		}
	}
	conf_head_error(l, head, len, "section is not known", sections_allowed);
}

static void *section_data(struct load *l)
{
	switch (l->section) {
	case KX_CONF_S_AUTH:
		return &l->conf->auth;
	case KX_CONF_S_BROKER:
		return &l->conf->broker;
	case KX_CONF_S_LCORES:
		return &l->conf->lcores;
	case KX_CONF_S_MEMORY:
		return &l->conf->memory;
	case KX_CONF_S_PORT:
		return &l->conf->ports[l->index];
	case KX_CONF_S_PRINCIPAL:
		return &l->conf->principals[l->index];
	case KX_CONF_S_SESSIONS:
		return &l->conf->sessions;
	case KX_CONF_S_TELEMETRY:
		return &l->conf->telemetry;
	default:
		return &l->conf->topics[l->index];
	}
}

static struct seen *section_seen(struct load *l)
{
	if (l->section == KX_CONF_S_PORT)
		return &l->port[l->index];
	if (l->section == KX_CONF_S_TOPIC)
		return &l->topic[l->index];
	if (l->section == KX_CONF_S_PRINCIPAL)
		return &l->principal[l->index];
	return &l->single[l->section];
}

static void key_unknown(struct load *l, const char *section, const char *key)
{
	char quoted[QUOTE_BYTES], names[KX_CONF_ERROR_TEXT_MAX];
	struct kx_text t;
	uint32_t count;
	const struct kx_conf_key *known = conf_section_keys(l->section, &count);

	kx_text_init(&t, names, sizeof(names));
	for (uint32_t i = 0; i < count; i++)
		kx_text_add(&t, "%s%s", i > 0 ? ", " : "", known[i].name);
	conf_error(l->name, l->errs, l->line, section, conf_quote(quoted, key, strlen(key)),
		"key is not known; allowed: %s", names);
}

static void value_refused(struct load *l, const struct kx_conf_key *key, const char *section,
	const char *value, const char *why)
{
	char allowed[KX_CONF_ERROR_TEXT_MAX];
	struct kx_text t;
	bool comment = strchr(value, '#') != NULL;

	kx_text_init(&t, allowed, sizeof(allowed));
	kx_conf_key_allowed(key, &t);
	conf_error(l->name, l->errs, l->line, section, key->name, "%s%s; allowed: %s", why,
		comment ? " (a comment behind a value begins with ` ;`)" : "", allowed);
}

void conf_key_line(struct load *l, const char *name, const char *value)
{
	char head[HEAD_BYTES], quoted[QUOTE_BYTES], reason[QUOTE_BYTES * 3];
	struct kx_text why;
	const struct kx_conf_key *key;
	struct seen *seen;
	uint32_t count;
	int i;

	if (!l->in_section) {
		conf_error(l->name, l->errs, l->line, NULL, conf_quote(quoted, name, strlen(name)),
			"key outside a section; allowed: below %s", sections_allowed);
		return;
	}
	if (l->skip)
		return;
	conf_head(head, l->conf, l->section, l->index);
	i = conf_key_index(l->section, name);
	if (i < 0) {
		key_unknown(l, head, name);
		return;
	}
	seen = section_seen(l);
	if (seen->key_line[i] != 0) {
		conf_error(l->name, l->errs, l->line, head, name,
			"key is repeated, first in line %u; allowed: once", seen->key_line[i] & ~KEY_BAD);
		return;
	}
	seen->key_line[i] = l->line;
	key = conf_section_keys(l->section, &count) + i;
	kx_text_init(&why, reason, sizeof(reason));
	if (!conf_value(key, section_data(l), value, &why)) {
		seen->key_line[i] |= KEY_BAD;
		value_refused(l, key, head, value, reason);
	}
}
