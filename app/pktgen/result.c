/* SPDX-License-Identifier: BSD-3-Clause */
#include "result.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

const double pg_quantile[PG_QUANTILES] = {0.50, 0.90, 0.95, 0.99, 0.999};
const char *const pg_quantile_key[PG_QUANTILES] = {"p50", "p90", "p95", "p99", "p999"};

double pg_result_per_s(const struct pg_result *r)
{
	return r->seconds > 0 ? (double)r->received / r->seconds / KX_MAX(r->fanout, 1u) : 0;
}

static double offered_per_s(const struct pg_result *r)
{
	return r->options->arrivals == PG_MAX ? 0 : r->options->rate_per_s;
}

double pg_result_drift(const struct pg_result *r)
{
	uint32_t third = r->interval_count / 3;
	double first = 0, last = 0;

	for (uint32_t i = 0; i < third; i++) {
		first += (double)r->intervals[i].messages;
		last += (double)r->intervals[r->interval_count - 1 - i].messages;
	}
	return first > 0 ? last / first : 0;
}

/* ---- verdict ------------------------------------------------------------------------------------------- */

static const struct kx_hist *judged_latency(const struct pg_result *r)
{
	return r->latency != NULL ? r->latency : r->ack;
}

bool pg_result_quantile_valid(const struct pg_result *r, double q)
{
	uint64_t lag, latency;

	if (r->options->arrivals == PG_MAX)
		return false;
	return r->lag != NULL && judged_latency(r) != NULL && kx_hist_quantile(r->lag, q, &lag) == 0 &&
		kx_hist_quantile(judged_latency(r), q, &latency) == 0 && lag <= latency / 10;
}

static void judge_schedule(struct pg_result *r, struct kx_text *why)
{
	uint64_t lag, latency;

	if ((double)r->sent < 0.999 * (double)r->due)
		kx_text_add(
			why, "sent %" PRIu64 " of %" PRIu64 " due (less than 99.9 %%); ", r->sent, r->due);
	if (r->lag == NULL || judged_latency(r) == NULL)
		return;
	if (kx_hist_quantile(r->lag, 0.5, &lag) != 0 ||
		kx_hist_quantile(judged_latency(r), 0.5, &latency) != 0)
		kx_text_add(why, "too few samples for a median; ");
	else if (lag > latency / 10)
		kx_text_add(why,
			"schedule lag p50 %" PRIu64 " ns is over 10 %% of the latency's %" PRIu64 " ns; ",
			lag, latency);
}

void pg_result_judge(struct pg_result *r)
{
	struct kx_text why;

	kx_text_init(&why, r->why, sizeof(r->why));
	if (!r->complete)
		kx_text_add(&why, "%s; ", r->trouble);
	if (r->received == 0)
		kx_text_add(&why, "nothing was received; ");
	if (r->lost + r->duplicated + r->reordered + r->corrupt + r->failed > 0)
		kx_text_add(&why, "messages were lost, duplicated, reordered, corrupt or failed; ");
	if (r->mtu_falls > 0)
		kx_text_add(
			&why, "the path carried less during the run: frames are not of the size stated; ");
	if (r->options->arrivals != PG_MAX)
		judge_schedule(r, &why);
	r->valid = r->why[0] == '\0';
	if (!r->valid && why.len >= 2)
		r->why[why.len - 2] = '\0';
}

/* ---- table --------------------------------------------------------------------------------------------- */

static void print_us(FILE *out, int rc, uint64_t ns)
{
	if (rc == 0)
		fprintf(out, " %10.2f", (double)ns / 1e3);
	else
		fprintf(out, " %10s", rc == -ERANGE ? "inf" : "-");
}

static void print_hist(FILE *out, const char *label, const struct kx_hist *h)
{
	uint64_t v;

	if (h == NULL || h->count + h->lost == 0)
		return;
	fprintf(out, "  %-22s %10.2f", label, kx_hist_mean(h) / 1e3);
	for (unsigned int i = 0; i < PG_QUANTILES; i++) {
		v = 0;
		int rc = kx_hist_quantile(h, pg_quantile[i], &v);

		print_us(out, rc, v);
	}
	fprintf(out, " %10.2f %12" PRIu64 "\n", (double)h->max / 1e3, h->count);
}

/* Are there samples enough for it? */
static int summary_quantile(const struct pg_summary *s, unsigned int i)
{
	return (double)s->count * (1 - pg_quantile[i]) >= 100 * 0.999999 ? 0 : -ENODATA;
}

static void print_summary(FILE *out, const char *label, const struct pg_summary *s)
{
	const uint64_t v[PG_QUANTILES] = {s->p50_ns, s->p90_ns, s->p95_ns, s->p99_ns, s->p999_ns};

	if (!s->known)
		return;
	fprintf(out, "  %-22s %10.2f", label, (double)s->mean_ns / 1e3);
	for (unsigned int i = 0; i < PG_QUANTILES; i++)
		print_us(out, summary_quantile(s, i), v[i]);
	fprintf(out, " %10.2f %12" PRIu64 "\n", (double)s->max_ns / 1e3, s->count);
}

static void print_head(const struct pg_result *r, FILE *out)
{
	const struct pg_options *o = r->options;

	fprintf(out, "\n%s: mode %s, wire %s%s", pg_options_name(o), pg_mode_name(o->mode), r->wire,
		r->software_wire ? " (software wire)" : "");
	if (o->mode == PG_ECHO) {
		fprintf(out, ", frames of %u B", r->frame_bytes);
	} else {
		fprintf(out,
			", durability %s, overrun %s\n  %u B payload, %u messages a send, frames of %u B",
			r->durability, r->overrun, o->payload_bytes, r->batch, r->frame_bytes);
		fprintf(out, ", %u producers, %u consumers, %" PRIu64 " streams, %u partitions",
			o->mode == PG_CONSUME ? 0 : o->producers, o->mode == PG_PRODUCE ? 0 : o->consumers,
			o->streams, r->partitions);
	}
	fprintf(out, "\n  %.1f s measured after %.1f s of warm-up; arrivals %s", r->seconds, r->warmup_s,
		pg_arrivals_name(o->arrivals));
	if (o->arrivals != PG_MAX)
		fprintf(out, ", offered %.0f/s", o->rate_per_s);
	fputc('\n', out);
}

static void print_latencies(const struct pg_result *r, FILE *out)
{
	bool open_loop = r->options->arrivals != PG_MAX;

	fprintf(out, "\n  %-22s %10s %10s %10s %10s %10s %10s %10s %12s\n", "us", "mean", "p50", "p90", "p95",
		"p99", "p99.9", "max", "samples");
	print_hist(out, r->options->mode == PG_ECHO ? "round trip" : "publish -> consumer", r->latency);
	print_hist(out, "publish -> ack", r->ack);
	print_summary(out, "broker residence", &r->residence);
	print_hist(out, "schedule lag", r->lag);
	print_hist(out, "idle loop lag", r->idle);
	if (!open_loop)
		return;
	fprintf(out, "  %-22s %10s", "lag <= 10 %", "");
	for (unsigned int i = 0; i < PG_QUANTILES; i++)
		fprintf(out, " %10s", pg_result_quantile_valid(r, pg_quantile[i]) ? "yes" : "no");
	fputc('\n', out);
}

void pg_result_print(const struct pg_result *r, FILE *out)
{
	double per_s = pg_result_per_s(r), frames = per_s * r->frames_per_message;

	print_head(r, out);
	fprintf(out, "\n  %-22s %14.0f\n  %-22s %14.0f\n  %-22s %14.3f\n",
		r->options->mode == PG_ECHO ? "frames/s returned" : "messages/s", per_s, "frames/s", frames,
		"Gbit/s of frames", frames * r->frame_bytes * 8 / 1e9);
	print_latencies(r, out);
	fprintf(out,
		"\n  sent %" PRIu64 ", received %" PRIu64 ": lost %" PRIu64 ", duplicated %" PRIu64
		", reordered %" PRIu64 ", corrupt %" PRIu64 ", late %" PRIu64 "\n",
		r->total_sent, r->total_received, r->lost, r->duplicated, r->reordered, r->corrupt, r->late);
	if (r->blocked_turns > 0)
		fprintf(out, "  throttled: messages waited for credit in %" PRIu64 " turns\n",
			r->blocked_turns);
	if (r->foreign + r->failed + r->retransmitted_frames + r->naks > 0)
		fprintf(out,
			"  foreign %" PRIu64 ", failed %" PRIu64 ", frames sent again %" PRIu64
			", packets NAKed %" PRIu64 "\n",
			r->foreign, r->failed, r->retransmitted_frames, r->naks);
	fprintf(out, "  longest loop turn %.2f us, %" PRIu64 " over 1 ms; CPU taken from the loop %.1f %%",
		(double)r->max_gap_ns / 1e3, r->gaps_over_1ms,
		r->seconds > 0 ? 100 * (1 - r->cpu_seconds / r->seconds) : 0);
	if (pg_result_drift(r) > 0)
		fprintf(out, "; last third of the time / first third: %.3f", pg_result_drift(r));
	fprintf(out, "\n  %s%s\n", r->valid ? "valid" : "NOT VALID: ", r->valid ? "" : r->why);
}

/* ---- JSON ---------------------------------------------------------------------------------------------- */

static void json_quantile(struct pg_json *j, const char *key, int rc, uint64_t ns)
{
	if (rc == 0)
		pg_json_u64(j, key, ns);
	else
		pg_json_null(j, key);
}

static void json_hist(struct pg_json *j, const char *key, const struct kx_hist *h)
{
	if (h == NULL || h->count + h->lost == 0) {
		pg_json_null(j, key);
		return;
	}
	pg_json_object(j, key);
	pg_json_u64(j, "count", h->count);
	pg_json_double(j, "mean", kx_hist_mean(h));
	for (unsigned int i = 0; i < PG_QUANTILES; i++) {
		uint64_t v = 0;
		int rc = kx_hist_quantile(h, pg_quantile[i], &v);

		json_quantile(j, pg_quantile_key[i], rc, v);
	}
	pg_json_u64(j, "max", h->max);
	pg_json_u64(j, "infinite", h->lost);
	pg_json_end(j, '}');
}

static void json_summary(struct pg_json *j, const char *key, const struct pg_summary *s)
{
	const uint64_t v[PG_QUANTILES] = {s->p50_ns, s->p90_ns, s->p95_ns, s->p99_ns, s->p999_ns};

	if (!s->known) {
		pg_json_null(j, key);
		return;
	}
	pg_json_object(j, key);
	pg_json_u64(j, "count", s->count);
	pg_json_u64(j, "mean", s->mean_ns);
	for (unsigned int i = 0; i < PG_QUANTILES; i++)
		json_quantile(j, pg_quantile_key[i], summary_quantile(s, i), v[i]);
	pg_json_u64(j, "max", s->max_ns);
	pg_json_end(j, '}');
}

static void json_config(const struct pg_result *r, struct pg_json *j)
{
	const struct pg_options *o = r->options;

	pg_json_text(j, "name", pg_options_name(o));
	pg_json_text(j, "mode", pg_mode_name(o->mode));
	pg_json_text(j, "wire", r->wire);
	pg_json_bool(j, "software_wire", r->software_wire);
	if (o->mode == PG_ECHO) {
		pg_json_null(j, "durability");
		pg_json_null(j, "overrun");
	} else {
		pg_json_text(j, "durability", r->durability);
		pg_json_text(j, "overrun", r->overrun);
	}
	pg_json_u64(j, "payload_bytes", o->mode == PG_ECHO ? r->frame_bytes - 42 : o->payload_bytes);
	pg_json_u64(j, "frame_bytes", r->frame_bytes);
	if (o->mode == PG_ECHO)
		pg_json_null(j, "datagram_bytes");
	else
		pg_json_u64(j, "datagram_bytes", r->datagram_bytes);
	pg_json_u64(j, "batch", r->batch);
	pg_json_u64(j, "producers", o->mode == PG_CONSUME ? 0 : o->mode == PG_ECHO ? 1 : o->producers);
	pg_json_u64(j, "consumers", o->mode == PG_PRODUCE ? 0 : o->mode == PG_ECHO ? 1 : o->consumers);
	pg_json_u64(j, "streams", o->streams);
	pg_json_u64(j, "partitions", r->partitions);
	pg_json_text(j, "arrivals", pg_arrivals_name(o->arrivals));
	pg_json_text(j, "verify", o->verify == PG_VERIFY_FULL ? "full" : "sample");
	pg_json_double(j, "seconds", r->seconds);
	pg_json_double(j, "warmup_seconds", r->warmup_s);
	pg_json_double(j, "cpu_seconds", r->cpu_seconds);
}

static void json_books(const struct pg_result *r, struct pg_json *j)
{
	pg_json_u64(j, "sent", r->total_sent);
	pg_json_u64(j, "received", r->total_received);
	pg_json_u64(j, "lost", r->lost);
	pg_json_u64(j, "duplicated", r->duplicated);
	pg_json_u64(j, "reordered", r->reordered);
	pg_json_u64(j, "corrupt", r->corrupt);
	pg_json_u64(j, "late", r->late);
	pg_json_u64(j, "foreign", r->foreign);
	pg_json_u64(j, "failed", r->failed);
	pg_json_u64(j, "retransmitted_frames", r->retransmitted_frames);
	pg_json_u64(j, "naked_packets", r->naks);
	pg_json_u64(j, "congestions", r->congestions);
	pg_json_u64(j, "blocked_turns", r->blocked_turns);
	pg_json_u64(j, "mtu_falls", r->mtu_falls);
	pg_json_u64(j, "max_loop_gap_ns", r->max_gap_ns);
	pg_json_u64(j, "loop_gaps_over_1ms", r->gaps_over_1ms);
}

static void json_intervals(const struct pg_result *r, struct pg_json *j)
{
	pg_json_array(j, "intervals");
	for (uint32_t i = 0; i < r->interval_count; i++) {
		const struct pg_interval *v = &r->intervals[i];

		pg_json_object(j, NULL);
		pg_json_u64(j, "messages", v->messages);
		json_quantile(j, "p50", v->p50_ns > 0 ? 0 : -ENODATA, v->p50_ns);
		json_quantile(j, "p99", v->p99_ns > 0 ? 0 : -ENODATA, v->p99_ns);
		pg_json_end(j, '}');
	}
	pg_json_end(j, ']');
}

static void json_verdict(const struct pg_result *r, struct pg_json *j)
{
	pg_json_object(j, "percentile_valid");
	for (unsigned int i = 0; i < PG_QUANTILES; i++) {
		if (r->options->arrivals == PG_MAX)
			pg_json_null(j, pg_quantile_key[i]);
		else
			pg_json_bool(j, pg_quantile_key[i], pg_result_quantile_valid(r, pg_quantile[i]));
	}
	pg_json_end(j, '}');
	pg_json_double(j, "last_third_over_first", pg_result_drift(r));
	pg_json_bool(j, "valid", r->valid);
	pg_json_text(j, "why_not_valid", r->why);
}

void pg_result_json(const struct pg_result *r, struct pg_json *j)
{
	double per_s = pg_result_per_s(r);

	pg_json_object(j, NULL);
	json_config(r, j);
	if (r->options->arrivals == PG_MAX)
		pg_json_null(j, "offered_per_s");
	else
		pg_json_double(j, "offered_per_s", offered_per_s(r));
	pg_json_double(j, "messages_per_s", per_s);
	pg_json_double(j, "frames_per_s", per_s * r->frames_per_message);
	pg_json_double(j, "deliveries_per_s", per_s * KX_MAX(r->fanout, 1u));
	pg_json_double(j, "sent_per_s", r->seconds > 0 ? (double)r->sent / r->seconds : 0);
	json_hist(j, "latency_ns", r->latency);
	json_hist(j, "ack_latency_ns", r->ack);
	json_summary(j, "residence_ns", &r->residence);
	json_hist(j, "schedule_lag_ns", r->lag);
	json_hist(j, "idle_lag_ns", r->idle);
	json_books(r, j);
	json_intervals(r, j);
	json_verdict(r, j);
	pg_json_end(j, '}');
}
