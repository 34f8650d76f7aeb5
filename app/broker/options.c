/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app.h"

void app_options_usage(void)
{
	puts("usage: kaelix [EAL options] -- --config FILE [--check] [--log-file FILE]\n"
	     "\n"
	     "  --config FILE    ini file of this broker (config/kaelix.ini explains every key)\n"
	     "  --check          validate the file and exit; needs no hugepages, ports or root\n"
	     "  --log-file FILE  DPDK's own messages go there\n"
	     "  --impair SPEC    for tests: disturb frames of all ports, DIR:KEY=VALUE,... with DIR rx or tx "
	     "and\n"
	     "                   loss, dup, reorder, corrupt (0..1 of the frames), depth (frames), seed;\n"
	     "                   rx:loss=0.01,dup=0.01,reorder=0.01,seed=1\n"
	     "  --version, --help\n"
	     "\n"
	     "EAL options are optional: the file prefix is the broker's name in the ini, the lcores are "
	     "those of the\n"
	     "ini. Often needed: --vdev NAME,ARGS (virtual ports), -a PCI (physical ones), --no-huge.");
}

static int parse_probability(const char *text, double *out)
{
	char *end;

	errno = 0;
	*out = strtod(text, &end);
	return errno == 0 && end != text && *end == '\0' && *out >= 0 && *out <= 1 ? 0 : -1;
}

static int parse_count(const char *text, uint64_t max, uint64_t *out)
{
	char *end;

	errno = 0;
	*out = strtoull(text, &end, 10);
	return errno == 0 && *text >= '0' && *text <= '9' && *end == '\0' && *out <= max ? 0 : -1;
}

static int impair_value(struct kx_impair_conf *c, const char *key, const char *value)
{
	uint64_t n;

	if (strcmp(key, "loss") == 0)
		return parse_probability(value, &c->loss);
	if (strcmp(key, "dup") == 0)
		return parse_probability(value, &c->duplicate);
	if (strcmp(key, "reorder") == 0)
		return parse_probability(value, &c->reorder);
	if (strcmp(key, "corrupt") == 0)
		return parse_probability(value, &c->corrupt);
	if (strcmp(key, "depth") == 0) {
		if (parse_count(value, KX_IMPAIR_HELD_MAX, &n) != 0 || n == 0)
			return -1;
		c->reorder_pkts = (uint32_t)n;
		return 0;
	}
	if (strcmp(key, "seed") == 0)
		return parse_count(value, UINT64_MAX, &c->seed);
	return -1;
}

static int parse_impair(struct app *app, const char *spec)
{
	enum kx_impair_dir dir = strncmp(spec, "tx:", 3) == 0 ? KX_IMPAIR_TX : KX_IMPAIR_RX;
	struct kx_impair_conf *c = &app->opt.impair[dir];
	char text[256], *save = NULL;

	if ((strncmp(spec, "rx:", 3) != 0 && dir == KX_IMPAIR_RX) || strlen(spec) >= sizeof(text))
		return app_fail(app, "--impair %s: must begin with rx: or tx: (see --help)", spec);
	snprintf(text, sizeof(text), "%s", spec + 3);
	*c = (struct kx_impair_conf){.reorder_pkts = 8, .seed = 1};
	for (char *word = strtok_r(text, ",", &save); word != NULL; word = strtok_r(NULL, ",", &save)) {
		char *equals = strchr(word, '=');

		if (equals != NULL)
			*equals = '\0';
		if (equals == NULL || impair_value(c, word, equals + 1) != 0)
			return app_fail(app, "--impair %s: '%s' is not understood (see --help)", spec, word);
	}
	if (dir == KX_IMPAIR_RX)
		app->opt.impair_rx = true;
	else
		app->opt.impair_tx = true;
	return 0;
}

static int parse_own(struct app *app, int argc, char **argv)
{
	static const struct option longs[] = {
		{"config", required_argument, NULL, 'c'},
		{"check", no_argument, NULL, 'k'},
		{"log-file", required_argument, NULL, 'l'},
		{"impair", required_argument, NULL, 'i'},
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'V'},
		{NULL, 0, NULL, 0},
	};
	int c;

	opterr = 0;
	optind = 1;
	while ((c = getopt_long(argc, argv, ":h", longs, NULL)) != -1) {
		switch (c) {
		case 'c':
			app->opt.config = optarg;
			break;
		case 'k':
			app->opt.check = true;
			break;
		case 'l':
			app->opt.log_file = optarg;
			break;
		case 'i':
			if (parse_impair(app, optarg) != 0)
				return -1;
			break;
		case 'h':
			app->opt.help = true;
			break;
		case 'V':
			app->opt.version = true;
			break;
		case ':':
			return app_fail(app, "option %s needs a value (see --help)", argv[optind - 1]);
		default:
			return app_fail(app, "option %s is unknown (see --help; EAL options come before --)",
				argv[optind - 1]);
		}
	}
	if (optind < argc)
		return app_fail(app, "'%s' is not understood (see --help)", argv[optind]);
	return 0;
}

static bool is_own(const char *word)
{
	static const char *const own[] = {"--config", "--check", "--help", "-h", "--version"};

	for (size_t i = 0; i < KX_DIM(own); i++)
		if (strncmp(word, own[i], strlen(own[i])) == 0)
			return true;
	return false;
}

int app_options_parse(struct app *app, int argc, char **argv)
{
	int split = 1, err;

	while (split < argc && strcmp(argv[split], "--") != 0)
		split++;
	/* Without `--` the words are ours when the first one is, so that `kaelix --help` and
	 * `kaelix --config FILE --check` do what they say. */
	if (split == argc && argc > 1 && is_own(argv[1]))
		split = 0;
	app->opt.eal_argc = split == 0 ? 1 : split;
	app->opt.eal_argv = argv;
	err = split == argc ? 0 : parse_own(app, argc - split, argv + split);
	if (err != 0 || app->opt.help || app->opt.version)
		return err;
	if (app->opt.config == NULL)
		return app_fail(app,
			"--config FILE is missing: kaelix [EAL options] -- --config FILE (see -- --help)");
	return 0;
}
