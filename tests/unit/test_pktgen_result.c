/* SPDX-License-Identifier: BSD-3-Clause */
/* The generator's options, verdicts and JSON. */
#include "kx_test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker_telemetry.h"
#include "result.h"

static char line[512];

static enum pg_parsed parse(struct pg_options *o, const char *command)
{
	static char copy[512];
	char *argv[32] = {(char *)(uintptr_t) "--"}, *save = NULL;
	struct kx_text error;
	int argc = 1;

	kx_text_init(&error, line, sizeof(line));
	snprintf(copy, sizeof(copy), "%s", command);
	for (char *word = strtok_r(copy, " ", &save); word != NULL; word = strtok_r(NULL, " ", &save))
		argv[argc++] = word;
	return pg_options_parse(o, argc, argv, &error);
}

static void options_are_taken(void **state)
{
	struct pg_options o;

	(void)state;
	assert_int_equal(parse(&o, ""), PG_PARSE_RUN);
	assert_int_equal(o.mode, PG_E2E);
	assert_int_equal(o.arrivals, PG_MAX);
	assert_string_equal(pg_options_name(&o), "throughput");
	assert_int_equal(parse(&o, "--rate 1.5M --batch 1 --payload-bytes 100 --verify full --seconds 0.5"),
		PG_PARSE_RUN);
	assert_int_equal(o.arrivals, PG_CONSTANT);
	assert_true(o.rate_per_s == 1.5e6);
	assert_int_equal(o.batch, 1);
	assert_int_equal(o.payload_bytes, 100);
	assert_int_equal(o.verify, PG_VERIFY_FULL);
	assert_string_equal(pg_options_name(&o), "latency");
	assert_int_equal(
		parse(&o, "--mode echo --rate 250k --arrivals burst --burst 16 --name x"), PG_PARSE_RUN);
	assert_int_equal(o.arrivals, PG_BURST);
	assert_int_equal(o.burst_ticks, 16);
	assert_true(o.rate_per_s == 250e3);
	assert_string_equal(pg_options_name(&o), "x");
	assert_int_equal(parse(&o, "--broker [fd00::1]:9100 --local fd00::2/64"), PG_PARSE_RUN);
	assert_int_equal(o.broker.port, 9100);
	assert_int_equal(o.local_prefix_bits, 64);
	assert_int_equal(parse(&o, "--seconds 1 --help"), PG_PARSE_HELP);
}

static void bad_options_name_themselves(void **state)
{
	static const struct {
		const char *command, *says;
	} cases[] = {
		{"--payload-bytes 15", "16 to 1048576"},
		{"--payload-bytes 64x", "--payload-bytes"},
		{"--payload-bytes -1", "--payload-bytes"},
		{"--payload-bytes", "needs a value"},
		{"--no-such-thing 1", "unknown option --no-such-thing"},
		{"--no-such-thing", "unknown option --no-such-thing"},
		{"stray", "'stray'"},
		{"--rate 0", "--rate"},
		{"--rate fast", "--rate"},
		{"--rate 1Mx", "--rate"},
		{"--rate nan", "--rate"},
		{"--mode talk", "echo produce consume e2e"},
		{"--arrivals poisson", "need --rate"},
		{"--rate 1k --burst 4", "--arrivals burst"},
		{"--mode consume --rate 1k", "consume"},
		{"--mode echo --frame-bytes 1600", "--mtu"},
		{"--seconds 0", "0.1 to 86400"},
		{"--seconds nan", "--seconds"},
		{"--seconds 1e9", "--seconds"},
		{"--broker nowhere", "--broker"},
		{"--local 10.0.0.2", "--local"},
		{"--local 10.0.0.2/33", "--local"},
		{"--local fd00::2/64", "IPv4 or both IPv6"},
		{"--producers 4097", "1 to 4096"},
		{"--from then", "--from"},
		{"--topic 0123456789012345678901234567890123456789012345678901234567890123", "1 to 63"},
	};
	struct pg_options o;

	(void)state;
	for (size_t i = 0; i < KX_DIM(cases); i++) {
		assert_int_equal(parse(&o, cases[i].command), PG_PARSE_ERROR);
		if (strstr(line, cases[i].says) == NULL)
			fail_msg("'%s': '%s' does not say '%s'", cases[i].command, line, cases[i].says);
		assert_null(strchr(line, '\n'));
	}
}

/* A clean open-loop run of 1 M messages with a latency of 10 us and a lag of 0.5 us. */
static void make_result(struct pg_result *r, struct pg_options *o)
{
	assert_int_equal(parse(o, "--rate 1M --seconds 1 --batch 1"), PG_PARSE_RUN);
	memset(r, 0, sizeof(*r));
	r->options = o;
	r->complete = true;
	r->seconds = 1;
	r->sent = r->due = r->received = r->total_sent = r->total_received = 1000000;
	r->frames_per_message = 1;
	r->frame_bytes = 218;
	r->datagram_bytes = 1372;
	r->latency = kx_hist_new();
	r->lag = kx_hist_new();
	assert_non_null(r->latency);
	assert_non_null(r->lag);
	kx_hist_add_n(r->latency, 10000, 1000000);
	kx_hist_add_n(r->lag, 500, 1000000);
}

static void drop_result(struct pg_result *r)
{
	kx_hist_free(r->latency);
	kx_hist_free(r->lag);
}

static void a_run_is_valid_only_by_the_rules(void **state)
{
	struct pg_options o;
	struct pg_result r;

	(void)state;
	make_result(&r, &o);
	pg_result_judge(&r);
	assert_true(r.valid);
	assert_true(pg_result_quantile_valid(&r, 0.999));

	r.sent = 998000; /* 99.8 % of what was offered */
	pg_result_judge(&r);
	assert_false(r.valid);
	assert_non_null(strstr(r.why, "99.9"));
	r.sent = 1000000;

	r.lost = 1;
	pg_result_judge(&r);
	assert_false(r.valid);
	r.lost = 0;

	r.mtu_falls = 1;
	pg_result_judge(&r);
	assert_false(r.valid);
	assert_non_null(strstr(r.why, "carried less"));
	r.mtu_falls = 0;

	kx_hist_reset(r.lag);
	kx_hist_add_n(r.lag, 500, 980000);
	kx_hist_add_n(r.lag, 5000, 20000); /* p99 of the lag is half the latency: that percentile only */
	pg_result_judge(&r);
	assert_true(r.valid);
	assert_true(pg_result_quantile_valid(&r, 0.95));
	assert_false(pg_result_quantile_valid(&r, 0.99));

	kx_hist_reset(r.lag);
	kx_hist_add_n(r.lag, 1100, 1000000);
	pg_result_judge(&r);
	assert_false(r.valid);
	assert_non_null(strstr(r.why, "lag"));
	drop_result(&r);
}

static char *json_of(const struct pg_result *r)
{
	char *text = NULL;
	size_t bytes = 0;
	FILE *f = open_memstream(&text, &bytes);
	struct pg_json j;

	assert_non_null(f);
	pg_json_begin(&j, f);
	pg_result_json(r, &j);
	assert_int_equal(fclose(f), 0);
	if (text == NULL)
		abort();
	return text;
}

static void has(const char *json, const char *part)
{
	if (strstr(json, part) != NULL)
		return;
	fputs(part, stderr);
	fputs(" is not in ", stderr);
	fputs(json, stderr);
	fail();
}

static void percentiles_without_samples_are_null(void **state)
{
	struct pg_options o;
	struct pg_result r;
	char *json;

	(void)state;
	make_result(&r, &o);
	kx_hist_reset(r.latency);
	kx_hist_add_n(r.latency, 1000, 10000);
	kx_hist_reset(r.lag);
	kx_hist_add_n(r.lag, 50, 1000000);
	pg_result_judge(&r);
	json = json_of(&r);
	has(json, "\"p99\":1000,\"p999\":null,\"max\":1000");
	has(json, "\"ack_latency_ns\":null,\"residence_ns\":null");
	has(json, "\"lost\":0,\"duplicated\":0,\"reordered\":0,\"corrupt\":0,\"late\":0");
	has(json, "\"frame_bytes\":218,\"datagram_bytes\":1372");
	has(json, "\"offered_per_s\":1000000");
	has(json, "\"valid\":true");
	free(json);

	r.latency->lost = 200; /* 2 % never came: p99 is among them */
	pg_result_judge(&r);
	json = json_of(&r);
	has(json, "\"p95\":1000,\"p99\":null,\"p999\":null");
	free(json);
	drop_result(&r);
}

static void text_is_escaped(void **state)
{
	char *text = NULL;
	size_t bytes = 0;
	FILE *f = open_memstream(&text, &bytes);
	struct pg_json j;

	(void)state;
	assert_non_null(f);
	pg_json_begin(&j, f);
	pg_json_object(&j, NULL);
	pg_json_text(&j, "a\"b", "x\\y\n\x01");
	pg_json_array(&j, "list");
	pg_json_u64(&j, NULL, UINT64_MAX);
	pg_json_double(&j, NULL, 0.0 / 0.0);
	pg_json_object(&j, NULL);
	pg_json_end(&j, '}');
	pg_json_end(&j, ']');
	pg_json_bool(&j, "t", true);
	pg_json_end(&j, '}');
	assert_int_equal(fclose(f), 0);
	assert_string_equal(text,
		"{\"a\\\"b\":\"x\\\\y\\u000a\\u0001\",\"list\":[18446744073709551615,null,{}],"
		"\"t\":true}\n");
	free(text);
}

static void percentiles_without_samples_are_printed_as_none(void **state)
{
	struct pg_options o;
	struct pg_result r;
	char *text = NULL;
	size_t bytes = 0;
	FILE *f = open_memstream(&text, &bytes);

	(void)state;
	assert_non_null(f);
	make_result(&r, &o);
	r.residence = (struct pg_summary){.known = true,
		.count = 12345,
		.mean_ns = 8120,
		.p50_ns = 7010,
		.p90_ns = 7020,
		.p95_ns = 7030,
		.p99_ns = 7040,
		.max_ns = 9990};
	pg_result_judge(&r);
	pg_result_print(&r, f);
	assert_int_equal(fclose(f), 0);
	has(text,
		"      8.12       7.01       7.02       7.03       7.04          -       9.99        12345");
	free(text);
	drop_result(&r);
}

static void residence_is_read_from_telemetry(void **state)
{
	struct pg_summary s;

	(void)state;
	pg_residence_parse(
		"{\"/kaelix/latency\":{\"unit\":\"ns\",\"measured\":1,\"residence\":{\"count\":12345,"
		"\"mean\":812,\"p50\":700,\"p90\":900,\"p95\":1000,\"max\":5000},\"parse\":{\"count\":1,"
		"\"p99\":3}}}",
		&s);
	assert_true(s.known);
	assert_int_equal(s.count, 12345);
	assert_int_equal(s.mean_ns, 812);
	assert_int_equal(s.p50_ns, 700);
	assert_int_equal(s.p95_ns, 1000);
	assert_int_equal(s.p99_ns, 0); /* not the other stage's */
	assert_int_equal(s.max_ns, 5000);
	pg_residence_parse("{\"/kaelix/latency\":{\"error\":\"no\"}}", &s);
	assert_false(s.known);
	pg_residence_parse("", &s);
	assert_false(s.known);
	pg_residence_parse("\"residence\":{\"count", &s);
	assert_false(s.known);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(options_are_taken),
		cmocka_unit_test(bad_options_name_themselves),
		cmocka_unit_test(a_run_is_valid_only_by_the_rules),
		cmocka_unit_test(percentiles_without_samples_are_null),
		cmocka_unit_test(text_is_escaped),
		cmocka_unit_test(percentiles_without_samples_are_printed_as_none),
		cmocka_unit_test(residence_is_read_from_telemetry),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
