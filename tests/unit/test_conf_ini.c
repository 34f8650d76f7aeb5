/* SPDX-License-Identifier: BSD-3-Clause */
/* config/kaelix.ini and doc/configuration.md say about each key what the table says, and the files that are
 * shipped load. */
#include "kx_test.h"

#include "kx_conf.h"

#define KEYS_MAX 128

/** A file of config/; the environment says where that is. */
static const char *shipped(const char *file)
{
	static char path[512];
	const char *dir = getenv("KX_CONFIG_DIR");

	assert_non_null(dir);
	snprintf(path, sizeof(path), "%s/%s", dir, file);
	return path;
}

/** A key line of the file with the comment lines right above it, blanks squeezed. */
struct entry {
	char section[80];
	char key[64];
	char value[128];
	char comment[1024];
};

static struct entry entries[KEYS_MAX];
static size_t entry_count;

static void add_words(char *out, size_t size, const char *text)
{
	while (*text != '\0') {
		size_t n = strcspn(text, " \n"), used = strlen(out);

		if (n > 0)
			snprintf(out + used, size - used, "%s%.*s", used > 0 ? " " : "", (int)n, text);
		text += n + (text[n] != '\0');
	}
}

static void read_ini(const char *path)
{
	FILE *f = fopen(path, "r");
	char line[256], comment[1024] = "", section[80] = "";

	assert_non_null(f);
	while (fgets(line, sizeof(line), f) != NULL) {
		if (line[0] == '#') {
			add_words(comment, sizeof(comment), line + 1);
			continue;
		}
		if (line[0] == '[')
			sscanf(line, "[%79[^]]", section);
		struct entry *e = &entries[entry_count];
		if (sscanf(line, "%63[a-z0-9_] = %127[^\n]", e->key, e->value) == 2) {
			assert_true(++entry_count < KEYS_MAX);
			strcpy(e->section, section);
			strcpy(e->comment, comment);
		}
		comment[0] = '\0';
	}
	fclose(f);
}

/** The first entry of a key in a section of its kind. */
static const struct entry *find(const struct kx_conf_key *key)
{
	const char *kind = kx_conf_section_name(key->section);
	size_t n = strlen(kind);

	for (size_t i = 0; i < entry_count; i++)
		if (strncmp(entries[i].section, kind, n) == 0 &&
			(entries[i].section[n] == '\0' || entries[i].section[n] == ' ') &&
			strcmp(entries[i].key, key->name) == 0)
			return &entries[i];
	return NULL;
}

static void test_default_file(void **state)
{
	size_t count;
	const struct kx_conf_key *keys = kx_conf_keys(&count);

	(void)state;
	read_ini(shipped("kaelix.ini"));
	assert_true(count > 40 && entry_count >= count);
	for (size_t i = 0; i < count; i++) {
		const struct entry *e = find(&keys[i]);
		char allowed[512], want[1024] = "";
		struct kx_text t;

		if (e == NULL)
			fail_msg("%s is not in kaelix.ini", keys[i].name);
		kx_text_init(&t, allowed, sizeof(allowed));
		kx_conf_key_allowed(&keys[i], &t);
		add_words(want, sizeof(want), keys[i].reason);
		add_words(want, sizeof(want), "Allowed:");
		add_words(want, sizeof(want), allowed);
		if (keys[i].def[0] != '\0')
			snprintf(want + strlen(want), sizeof(want) - strlen(want), ". Default: %s.",
				keys[i].def);
		else
			strcat(want, ". Required.");
		assert_string_equal(e->comment, want);
	}
}

/** What the default file sets apart from the defaults is what the quick start needs. */
static void test_default_values(void **state)
{
	static const struct {
		enum kx_conf_section section;
		const char *name;
	} own[] = {{KX_CONF_S_LCORES, "data"}, {KX_CONF_S_PORT, "address"}, {KX_CONF_S_TOPIC, "overrun"},
		{KX_CONF_S_TOPIC, "log_bytes"}, {KX_CONF_S_PRINCIPAL, "produce"},
		{KX_CONF_S_PRINCIPAL, "consume"}};
	size_t count;
	const struct kx_conf_key *keys = kx_conf_keys(&count);

	(void)state;
	for (size_t i = 0; i < count; i++) {
		const struct entry *e = find(&keys[i]);
		bool differs = false;

		for (size_t j = 0; j < KX_DIM(own); j++)
			differs = differs ||
				(own[j].section == keys[i].section && strcmp(own[j].name, keys[i].name) == 0);
		if (differs)
			assert_string_not_equal(e->value, keys[i].def);
		else
			assert_string_equal(e->value, keys[i].def);
	}
}

static struct kx_conf *load(const char *path)
{
	static struct kx_conf_errors errs;
	struct kx_conf *conf;
	int rc = kx_conf_load(path, &conf, &errs);

	for (uint32_t i = 0; i < errs.count; i++)
		print_error("%s\n", errs.text[i]);
	assert_int_equal(rc, 0);
	return conf;
}

static void test_quick_start(void **state)
{
	struct kx_conf *c = load(shipped("kaelix.ini"));

	(void)state;
	assert_int_equal(c->lcores.data_count, 1);
	assert_string_equal(c->ports[0].name, "net_memif0");
	assert_memory_equal(c->ports[0].ip4[0].bytes, "\x0a\x4d\x00\x01", 4);
	assert_int_equal(c->ports[0].ip4[0].prefix, 24);
	assert_int_equal(c->ports[0].ip6[0].prefix, 64);
	assert_int_equal(kx_conf_topic_find(c, "quick", 5), 0);
	assert_int_equal(kx_conf_topic_find(c, "demo", 4), 1);
	assert_int_equal(c->topics[0].overrun, KX_CONF_BLOCK);
	assert_int_equal(c->topics[0].partitions, 1);
	assert_int_equal(c->topics[1].partitions, 4);
	kx_conf_free(c);
}

static void test_shipped(void **state)
{
	struct kx_conf *fast = load(shipped("low-latency.ini"));
	struct kx_conf *much = load(shipped("high-throughput.ini"));
	struct kx_conf *two = load(shipped("two-lcores.ini"));

	(void)state;
	assert_true(fast->ports[0].rx_burst < much->ports[0].rx_burst);
	assert_true(fast->sessions.window_frames < much->sessions.window_frames);
	assert_true(fast->memory.log_bytes < much->memory.log_bytes);
	assert_int_not_equal(fast->lcores.yield_us, much->lcores.yield_us);
	assert_int_not_equal(fast->ports[0].deliver_path, much->ports[0].deliver_path);
	assert_int_equal(two->lcores.data_count, 2);
	assert_int_equal(two->lcores.rx_count, 2);
	kx_conf_free(fast);
	kx_conf_free(much);
	kx_conf_free(two);
}

/** Each key's row of doc/configuration.md, in the section's own table. */
static void test_document(void **state)
{
	static char doc[65536];
	FILE *f = fopen(shipped("../doc/configuration.md"), "r");
	size_t count;
	const struct kx_conf_key *keys = kx_conf_keys(&count);

	(void)state;
	assert_non_null(f);
	doc[fread(doc, 1, sizeof(doc) - 1, f)] = '\0';
	fclose(f);
	for (size_t i = 0; i < count; i++) {
		char head[64], allowed[512], row[1536];
		const char *section, *end, *found;
		struct kx_text t;

		snprintf(head, sizeof(head), "\n## [%s", kx_conf_section_name(keys[i].section));
		section = strstr(doc, head);
		assert_non_null(section);
		end = strstr(section + 1, "\n## ");
		kx_text_init(&t, allowed, sizeof(allowed));
		kx_conf_key_allowed(&keys[i], &t);
		snprintf(row, sizeof(row), "\n| `%s` | %s | %s | %s |\n", keys[i].name, allowed,
			keys[i].def[0] != '\0' ? keys[i].def : "required", keys[i].reason);
		found = strstr(section, row);
		if (found == NULL || (end != NULL && found > end))
			fail_msg("doc/configuration.md does not have the row%s", row);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_default_file),
		cmocka_unit_test(test_default_values),
		cmocka_unit_test(test_document),
		cmocka_unit_test(test_quick_start),
		cmocka_unit_test(test_shipped),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
