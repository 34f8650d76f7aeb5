/* SPDX-License-Identifier: BSD-3-Clause */
#include <string.h>

#include "cli.h"

static struct cli cli;
static uint64_t shown;

static const char *durability(uint8_t level)
{
	static const char *const names[] = {"?", "memory", "written", "synced", "replicated"};

	return level < KX_DIM(names) ? names[level] : "?";
}

/* @param topic  asked for; NULL: all */
static bool answered(const char *topic, enum kx_result result, uint32_t code)
{
	if (result == KX_OK)
		return true;
	cli_error("%s%s%s%s", topic != NULL ? "topic " : "", topic != NULL ? topic : "",
		topic != NULL ? ": " : "", code != 0 ? kx_code_text(code) : kx_result_text(result));
	cli_fail(&cli, EXIT_FAILED);
	return false;
}

static void json_begin(const char *more)
{
	out_text(shown++ == 0 ? "[" : ",\n ");
	out_text("{%s", more);
}

static void json_end(void)
{
	out_text(shown == 0 ? "[]\n" : "]\n");
}

static void on_topics(void *user, enum kx_result result, const struct kx_topic_info *t, uint32_t n, bool last)
{
	const struct cli_options *o = user;

	if (!answered(NULL, result, 0))
		return;
	if (!o->json && shown == 0)
		out_text("%-40s %10s %-10s %s\n", "TOPIC", "PARTITIONS", "DURABILITY", "OVERRUN");
	for (uint32_t i = 0; i < n; i++) {
		const char *overrun = t[i].overrun != 0 ? "block" : "trim";

		if (!o->json) {
			out_text("%-40s %10u %-10s %s\n", t[i].name, t[i].partition_count,
				durability(t[i].durability), overrun);
			shown++;
			continue;
		}
		json_begin("\"topic\":");
		out_json_string((const uint8_t *)t[i].name, strlen(t[i].name));
		out_text(",\"partitions\":%u,\"durability\":\"%s\",\"overrun\":\"%s\"}", t[i].partition_count,
			durability(t[i].durability), overrun);
	}
	if (!last)
		return;
	if (o->json)
		json_end();
	cli_fail(&cli, EXIT_OK);
}

static void on_metadata(void *user, enum kx_result result, const struct kx_metadata_info *info,
	const struct kx_partition_info *p, uint32_t n, bool last)
{
	const struct cli_options *o = user;

	if (!answered(o->topic, result, info->code))
		return;
	if (!o->json && shown == 0)
		out_text("%9s %5s %5s %20s %20s %20s\n", "PARTITION", "LCORE", "PORT", "FIRST", "COMMITTED",
			"NEXT");
	for (uint32_t i = 0; i < n; i++) {
		unsigned long long first = p[i].first_offset, committed = p[i].committed_offset,
				   next = p[i].next_offset;

		if (!o->json) {
			out_text("%9u %5u %5u %20llu %20llu %20llu\n", p[i].index, p[i].lcore,
				p[i].owner_port, first, committed, next);
			shown++;
			continue;
		}
		json_begin("\"partition\":");
		out_text("%u,\"lcore\":%u,\"port\":%u,\"first_offset\":%llu,\"committed_offset\":%llu,"
			 "\"next_offset\":%llu}",
			p[i].index, p[i].lcore, p[i].owner_port, first, committed, next);
	}
	if (!last)
		return;
	if (o->json)
		json_end();
	cli_fail(&cli, EXIT_OK);
}

int cli_topics(const struct cli_options *o)
{
	enum kx_result r;

	if (!cli_connect(&cli, o))
		return cli.exit_code;
	if (cli_wait_connected(&cli)) {
		uint64_t now_ns = kx_clock_mono_ns();

		if (o->topic != NULL)
			r = kx_client_metadata(cli.c.client, o->topic, o->timeout_ns, now_ns, on_metadata,
				(void *)(uintptr_t)o);
		else
			r = kx_client_topics(
				cli.c.client, o->timeout_ns, now_ns, on_topics, (void *)(uintptr_t)o);
		(void)answered(o->topic, r, 0);
		while (cli.exit_code == EXIT_RUNNING && !cli_interrupted)
			kx_udp_client_turn(&cli.c, 100000000);
	}
	cli_fail(&cli, EXIT_FAILED);
	if (!out_flush())
		cli.exit_code = EXIT_FAILED;
	cli_close(&cli);
	return cli.exit_code;
}
