/* SPDX-License-Identifier: BSD-3-Clause */
#include <string.h>

#include "cli.h"

#define WINDOW_BYTES (1u << 20)

static struct cli cli;
static uint64_t printed, last_ns;

struct item {
	const struct kx_record *r;
	uint64_t offset, append_time_ns;
	uint32_t partition;
};

static bool print_json(const struct cli_options *o, const struct item *m)
{
	out_text("{\"topic\":");
	out_json_string((const uint8_t *)o->topic, strlen(o->topic));
	out_text(",\"partition\":%u,\"offset\":%llu,\"append_time_ns\":%llu,\"timestamp_ns\":%llu,\"key\":",
		m->partition, (unsigned long long)m->offset, (unsigned long long)m->append_time_ns,
		(unsigned long long)m->r->timestamp_ns);
	if (m->r->key != NULL)
		out_json_string(m->r->key, m->r->key_bytes);
	else
		out_text("null");
	if (m->r->header_count > 0) {
		struct kx_header_view h;

		out_text(",\"headers\":[");
		for (unsigned int i = 0; kx_record_header(m->r, i, &h); i++) {
			out_text(i > 0 ? ",[" : "[");
			out_json_string(h.name, h.name_bytes);
			out_text(",");
			out_json_string(h.value, h.value_bytes);
			out_text("]");
		}
		out_text("]");
	}
	out_text(",\"value\":");
	out_json_string(m->r->value, m->r->value_bytes);
	return out_text("}\n");
}

static bool print_field(const struct cli_options *o, const struct item *m, char field)
{
	switch (field) {
	case 's':
		return out_write(m->r->value, m->r->value_bytes);
	case 'k':
		return out_write(m->r->key, m->r->key_bytes);
	case 'o':
		return out_text("%llu", (unsigned long long)m->offset);
	case 'p':
		return out_text("%u", m->partition);
	case 't':
		return out_text("%s", o->topic);
	case 'T':
		return out_text("%llu", (unsigned long long)m->r->timestamp_ns);
	case 'A':
		return out_text("%llu", (unsigned long long)m->append_time_ns);
	case 'S':
		return out_text("%u", m->r->value_bytes);
	default:
		return out_write(&field, 1);
	}
}

static bool print_text(const struct cli_options *o, const struct item *m)
{
	bool ok = true;

	for (const char *f = o->format; *f != '\0'; f++) {
		if (*f == '%' && f[1] != '\0')
			ok = print_field(o, m, *++f);
		else if (*f == '\\' && f[1] != '\0')
			ok = out_write(*++f == 'n' ? "\n" : *f == 't' ? "\t" : f, 1);
		else
			ok = out_write(f, 1);
	}
	return ok;
}

static bool print(const struct cli_options *o, const struct item *m)
{
	if (o->format == NULL || strcmp(o->format, "value") == 0)
		return out_write(m->r->value, m->r->value_bytes) && out_write("\n", 1);
	if (strcmp(o->format, "json") == 0)
		return print_json(o, m);
	if (strcmp(o->format, "length") == 0)
		return out_write(&m->r->value_bytes, sizeof(m->r->value_bytes)) &&
			out_write(m->r->value, m->r->value_bytes);
	return print_text(o, m);
}

static void on_batch(void *user, const struct kx_batch_view *v)
{
	const struct cli_options *o = user;
	struct kx_record_iter it = kx_batch_records(v);
	struct item m = {.offset = v->first_offset,
		.append_time_ns = v->batch->append_time_ns,
		.partition = v->partition};
	struct kx_record r;

	m.r = &r;
	last_ns = v->rx_ns;
	while (cli.exit_code == EXIT_RUNNING && kx_record_next(&it, &r)) {
		if (!print(o, &m))
			cli_fail(&cli, EXIT_FAILED);
		m.offset++;
		if (++printed == o->count)
			cli_fail(&cli, EXIT_OK);
	}
}

/* An offset was asked for: of each partition as soon as it is known, before it is subscribed. One that ends
 * before it is told as cut back and goes on at its end; the others do not wait for it. */
static void seek_to_start(const struct cli_options *o, struct kx_consumer *consumer)
{
	static int32_t next; /* partition; -1: all have been */
	enum kx_result r = KX_OK;

	if (next < 0 || o->from == KX_OFFSET_EARLIEST || o->from == KX_OFFSET_NOW)
		return;
	while (r == KX_OK) {
		r = kx_consumer_seek(consumer, o->partition >= 0 ? (int32_t)o->partition : next, o->from,
			kx_clock_mono_ns());
		if (r == KX_OK)
			next++;
		if (r == KX_OK && o->partition >= 0)
			break;
	}
	if (r != KX_NOT_READY)
		next = -1;
}

static void run(const struct cli_options *o, struct kx_consumer *consumer)
{
	last_ns = kx_clock_mono_ns();
	while (cli.exit_code == EXIT_RUNNING) {
		uint64_t now_ns = kx_clock_mono_ns(), due_ns;

		if (cli_interrupted)
			cli_fail(&cli, EXIT_OK);
		if (!cli.ready)
			last_ns = now_ns;
		if (o->idle_exit_ns != 0 && now_ns >= last_ns + o->idle_exit_ns)
			cli_fail(&cli, o->count != 0 ? EXIT_TOO_FEW : EXIT_OK);
		cli_check_gone(&cli, now_ns);
		seek_to_start(o, consumer);
		if (kx_hub_poll(cli.c.hub, now_ns) != 0)
			continue;
		if (!out_flush())
			cli_fail(&cli, EXIT_FAILED);
		due_ns = KX_MIN(kx_hub_next_deadline_ns(cli.c.hub), now_ns + KX_NS_PER_S);
		due_ns = KX_MIN(due_ns, cli.give_up_ns);
		if (o->idle_exit_ns != 0)
			due_ns = KX_MIN(due_ns, last_ns + o->idle_exit_ns);
		if (cli.exit_code == EXIT_RUNNING)
			kx_transport_udp_wait(cli.c.transport, due_ns);
	}
}

int cli_consume(const struct cli_options *o)
{
	struct kx_consumer_opts opts = {.topic = o->topic,
		.partition = o->partition >= 0 ? (int32_t)o->partition : KX_PARTITION_ALL,
		.start_offset = o->from == KX_OFFSET_NOW ? KX_OFFSET_NOW : KX_OFFSET_EARLIEST,
		.window_bytes = WINDOW_BYTES,
		.hold_frames = 2048,
		.large_bytes = KX_BATCH_MAX_BYTES,
		.on_batch = on_batch,
		.user = (void *)(uintptr_t)o};
	struct kx_consumer *consumer = NULL;
	enum kx_result r;

	if (!cli_connect(&cli, o))
		return cli.exit_code;
	r = kx_consumer_open(cli.c.client, &opts, kx_clock_mono_ns(), &consumer);
	if (r != KX_OK) {
		cli_error("topic %s: %s", o->topic, kx_result_text(r));
		cli_fail(&cli, EXIT_FAILED);
	}
	run(o, consumer);
	if (!out_flush() && cli.exit_code == EXIT_OK)
		cli.exit_code = EXIT_FAILED;
	cli_close(&cli);
	return cli.exit_code;
}
