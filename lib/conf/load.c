/* SPDX-License-Identifier: BSD-3-Clause */
/* One load from start to end: read, fill, check, hand out. */
#include "conf_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void set_defaults(struct kx_conf *conf)
{
	conf_defaults(KX_CONF_S_AUTH, &conf->auth);
	conf_defaults(KX_CONF_S_BROKER, &conf->broker);
	conf_defaults(KX_CONF_S_LCORES, &conf->lcores);
	conf_defaults(KX_CONF_S_MEMORY, &conf->memory);
	conf_defaults(KX_CONF_S_SESSIONS, &conf->sessions);
	conf_defaults(KX_CONF_S_TELEMETRY, &conf->telemetry);
}

/** An mbuf data room that holds the largest frame: IP packet, Ethernet header, VLAN tag and FCS, in whole
 * lines. */
static uint32_t mbuf_for_mtu(uint32_t mtu)
{
	uint32_t frame = (mtu + 14 + 4 + 4 + KX_CACHE_LINE - 1) / KX_CACHE_LINE * KX_CACHE_LINE;

	return KX_MAX(frame, 2048u) + KX_CONF_MBUF_HEADROOM;
}

/** What follows from other keys. */
static void derive(struct kx_conf *conf)
{
	uint32_t mtu = 0, first = 0;

	for (uint32_t i = 0; i < conf->port_count; i++)
		mtu = KX_MAX(mtu, conf->ports[i].mtu);
	if (conf->memory.mbuf_bytes == 0)
		conf->memory.mbuf_bytes = mbuf_for_mtu(mtu);
	if (conf->lcores.rx_count == 0 && !conf->lcores.data_auto) {
		conf->lcores.rx_count = conf->lcores.data_count;
		memcpy(conf->lcores.rx, conf->lcores.data, sizeof(conf->lcores.rx));
	}
	for (uint32_t t = 0; t < conf->topic_count; t++) {
		conf->topics[t].first_partition = first;
		first += conf->topics[t].partitions;
	}
	conf->partition_count = first;
}

static void check_all(struct load *l)
{
	struct check c = {.load = l, .conf = l->conf, .file = l->name, .errs = l->errs};

	conf_check_begin(&c);
	if (!l->port_seen)
		conf_error(l->name, l->errs, 0, "port NAME", NULL,
			"section is missing; allowed: 1..%d, each named after its EAL device",
			KX_CONF_PORTS_MAX);
	if (!l->topic_seen)
		conf_error(l->name, l->errs, 0, "topic NAME", NULL, "section is missing; allowed: 1..%d",
			KX_CONF_TOPICS_MAX);
	conf_check_sections(&c);
	conf_check_ports(&c);
	conf_check_principals(&c);
	if (conf_usable(&c, KX_CONF_S_MEMORY, 0, "extent_bytes") &&
		conf_usable(&c, KX_CONF_S_SESSIONS, 0, "window_bytes"))
		conf_check_topics(&c);
	if (!l->conf->lcores.data_auto && conf_usable(&c, KX_CONF_S_LCORES, 0, "data"))
		conf_check_counts(&c, l->conf->lcores.data_count, l->conf->lcores.rx_count);
}

static int run(struct load *l)
{
	set_defaults(l->conf);
	if (!conf_principals_begin(l))
		return -ENOMEM;
	conf_read(l);
	if (l->no_memory)
		return -ENOMEM;
	derive(l->conf);
	if (l->bytes > 0 && l->bytes <= KX_CONF_FILE_MAX)
		check_all(l);
	return l->errs->total > 0 ? -EINVAL : 0;
}

/** Cut the tables to their size; they are never touched again. */
static void seal(struct kx_conf *conf)
{
	struct kx_conf_topic *topics = realloc(conf->topics, conf->topic_count * sizeof(*topics));
	struct kx_conf_principal *principals =
		realloc(conf->principals, conf->principal_count * sizeof(*principals));

	if (topics != NULL)
		conf->topics = topics;
	if (principals != NULL)
		conf->principals = principals;
}

static int load_text(
	const char *name, const void *text, size_t bytes, struct kx_conf **out, struct kx_conf_errors *errs)
{
	struct load *l = calloc(1, sizeof(*l));
	struct kx_conf *conf = calloc(1, sizeof(*conf));
	int rc = -ENOMEM;

	if (l != NULL && conf != NULL && kx_map_init(&l->topic_names, KX_CONF_TOPICS_MAX) == 0) {
		*l = (struct load){.conf = conf,
			.errs = errs,
			.name = name,
			.text = text,
			.bytes = bytes,
			.topic_names = l->topic_names};
		snprintf(conf->source, sizeof(conf->source), "%s", name);
		rc = run(l);
		kx_map_fini(&l->topic_names);
		free(l->topic);
		free(l->principal);
	}
	free(l);
	if (rc == -ENOMEM)
		conf_error(name, errs, 0, NULL, NULL, "no memory to read it");
	if (rc != 0) {
		kx_conf_free(conf);
		return rc;
	}
	seal(conf);
	*out = conf;
	return 0;
}

int kx_conf_load_memory(
	const char *name, const void *text, size_t bytes, struct kx_conf **out, struct kx_conf_errors *errs)
{
	struct kx_conf_errors *list = errs != NULL ? errs : malloc(sizeof(*list));
	int rc;

	*out = NULL;
	if (list == NULL)
		return -ENOMEM;
	list->count = list->total = 0;
	rc = load_text(name, text, bytes, out, list);
	if (errs == NULL)
		free(list);
	return rc;
}

/** All of a file, at most one byte more than allowed. @return bytes or -errno */
static ssize_t read_all(int fd, char *buf, size_t size)
{
	size_t got = 0;

	while (got < size) {
		ssize_t n = read(fd, buf + got, size - got);

		if (n == 0)
			break;
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		got += (size_t)n;
	}
	return (ssize_t)got;
}

/** @return bytes read into *text (to be freed), or -errno */
static ssize_t read_file(const char *path, char **text)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	size_t size = KX_CONF_FILE_MAX + 1;
	ssize_t n;

	*text = NULL;
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size < KX_CONF_FILE_MAX)
		size = (size_t)st.st_size + 1;
	*text = malloc(size);
	n = *text != NULL ? read_all(fd, *text, size) : -ENOMEM;
	close(fd);
	return n;
}

int kx_conf_load(const char *path, struct kx_conf **out, struct kx_conf_errors *errs)
{
	char *text;
	ssize_t n = read_file(path, &text);
	int rc;

	*out = NULL;
	if (n < 0) {
		free(text);
		if (errs != NULL) {
			errs->count = errs->total = 0;
			conf_error(path, errs, 0, NULL, NULL, "cannot be read: %s", kx_strerror((int)n));
		}
		return (int)n;
	}
	rc = kx_conf_load_memory(path, text, (size_t)n, out, errs);
	free(text);
	return rc;
}

void kx_conf_free(struct kx_conf *conf)
{
	if (conf == NULL)
		return;
	free(conf->topics);
	free(conf->principals);
	free(conf);
}

size_t kx_conf_bytes(const struct kx_conf *conf)
{
	return sizeof(*conf);
}
