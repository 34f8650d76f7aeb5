/* SPDX-License-Identifier: BSD-3-Clause */
/* The golden vectors (tests/vectors, written by make.py without the C code): read as expected, written alike.
 */
#include "kx_test.h"

#include <dirent.h>

#include "wire_samples.h"

/* A vector file: what it must read as, and its bytes. */
struct vector {
	char from[16], type[32];
	uint64_t bytes, conn_id, pkt_no, floor_delta, handle, body_bytes, batches, records;
	uint8_t *data;
	size_t data_bytes;
};

static FILE *open_vector(const char *name)
{
	const char *dir = getenv("KX_VECTORS");
	char path[512];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir ? dir : "tests/vectors", name);
	f = fopen(path, "r");
	if (f == NULL)
		fail_msg("%s: cannot be opened (KX_VECTORS names the folder)", path);
	return f;
}

static void read_expectation(struct vector *v, const char *line)
{
	static const struct {
		const char *name;
		size_t at;
	} numbers[] = {{"bytes", offsetof(struct vector, bytes)},
		{"conn_id", offsetof(struct vector, conn_id)}, {"pkt_no", offsetof(struct vector, pkt_no)},
		{"floor_delta", offsetof(struct vector, floor_delta)},
		{"handle", offsetof(struct vector, handle)},
		{"body_bytes", offsetof(struct vector, body_bytes)},
		{"batches", offsetof(struct vector, batches)}, {"records", offsetof(struct vector, records)}};
	char name[32], value[64];

	assert_int_equal(sscanf(line, "%% %31s %63s", name, value), 2);
	if (strcmp(name, "from") == 0) {
		snprintf(v->from, sizeof(v->from), "%.15s", value);
		return;
	}
	if (strcmp(name, "type") == 0) {
		snprintf(v->type, sizeof(v->type), "%.31s", value);
		return;
	}
	for (unsigned int i = 0; i < KX_DIM(numbers); i++) {
		if (strcmp(name, numbers[i].name) == 0) {
			*(uint64_t *)((char *)v + numbers[i].at) = strtoull(value, NULL, 10);
			return;
		}
	}
	fail_msg("unknown expectation %s", name);
}

static void read_vector(const char *file, struct vector *v)
{
	uint8_t data[SAMPLE_BYTES_MAX];
	char line[512];
	FILE *f = open_vector(file);

	*v = (struct vector){0};
	while (fgets(line, sizeof(line), f)) {
		unsigned int byte;

		if (line[0] == '#')
			continue;
		if (line[0] == '%') {
			read_expectation(v, line);
			continue;
		}
		for (char *p = line; sscanf(p, "%2x", &byte) == 1; p += 2) {
			assert_true(v->data_bytes < sizeof(data));
			data[v->data_bytes++] = (uint8_t)byte;
		}
	}
	fclose(f);
	v->data = kx_test_exact(data, v->data_bytes);
}

static void check_vector(const struct wire_sample *s, const struct vector *v)
{
	uint8_t built[SAMPLE_BYTES_MAX] KX_ALIGNED(8);
	struct kx_frame_view view;
	bool broker = strcmp(v->from, "broker") == 0;

	assert_true(v->bytes > 0);
	assert_int_equal(v->data_bytes, v->bytes);
	assert_int_equal(s->from, broker ? KX_FROM_BROKER : KX_FROM_CLIENT);
	assert_int_equal(kx_frame_check(v->data, v->data_bytes, s->from, &view), KX_DROP_NONE);
	assert_string_equal(kx_frame_type_name(view.hdr->type), v->type);
	assert_true(view.hdr->conn_id == v->conn_id && view.hdr->pkt_no == v->pkt_no);
	assert_int_equal(view.hdr->floor_delta, v->floor_delta);
	assert_int_equal(view.hdr->handle, v->handle);
	assert_int_equal(view.body_bytes, v->body_bytes);
	assert_int_equal(view.batch_count, v->batches);
	assert_int_equal(view.record_count, v->records);

	assert_int_equal(s->build(built), v->data_bytes);
	assert_memory_equal(built, v->data, v->data_bytes);
}

static void frames(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < wire_sample_count; i++) {
		struct vector v;
		char file[64];

		snprintf(file, sizeof(file), "%s.hex", wire_samples[i].name);
		print_message("%s\n", file);
		read_vector(file, &v);
		check_vector(&wire_samples[i], &v);
		free(v.data);
	}
}

/* No file without a sample, no frame type without a vector. */
static void complete(void **state)
{
	(void)state;
	const char *dir = getenv("KX_VECTORS");
	DIR *d = opendir(dir ? dir : "tests/vectors");
	unsigned int files = 0;
	struct dirent *e;

	assert_non_null(d);
	while ((e = readdir(d)) != NULL)
		files += strstr(e->d_name, ".hex") != NULL;
	closedir(d);
	assert_int_equal(files, wire_sample_count);
	for (unsigned int type = 0; type < 256; type++) {
		bool sampled = false;

		for (unsigned int i = 0; i < wire_sample_count; i++)
			sampled |= wire_samples[i].type == type;
		assert_int_equal(sampled, strcmp(kx_frame_type_name((uint8_t)type), "?") != 0);
	}
}

static size_t parse_key(const char *text, uint8_t *key)
{
	size_t n = 0;
	unsigned int byte;

	if (text[0] == '"')
		return 0;
	for (; sscanf(text, "%2x", &byte) == 1; text += 2)
		key[n++] = (uint8_t)byte;
	return n;
}

static void keys(void **state)
{
	(void)state;
	static const uint32_t partitions[] = {1, 2, 3, 7, 16, 200, 1000};
	FILE *f = open_vector("keys.txt");
	char line[512], text[256];
	unsigned int rows = 0, byte_keys = 0;

	while (fgets(line, sizeof(line), f)) {
		unsigned long long stream;
		unsigned int index[KX_DIM(partitions)];
		uint8_t key[128];

		if (line[0] == '#')
			continue;
		assert_int_equal(sscanf(line, "%255s %llx %u %u %u %u %u %u %u", text, &stream, &index[0],
					 &index[1], &index[2], &index[3], &index[4], &index[5], &index[6]),
			9);
		if (text[0] != '-') {
			assert_true(kx_hash_bytes(key, parse_key(text, key)) == stream);
			byte_keys++;
		}
		for (unsigned int i = 0; i < KX_DIM(partitions); i++)
			assert_int_equal(kx_key_partition(stream, partitions[i]), index[i]);
		rows++;
	}
	fclose(f);
	assert_true(rows >= 15 && byte_keys >= 9);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frames),
		cmocka_unit_test(complete),
		cmocka_unit_test(keys),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
