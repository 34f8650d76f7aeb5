/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Protected frames and path tokens by themselves: golden vectors, and everything a hostile peer can do to a
 * frame.
 */
#include "kx_test.h"

#include <errno.h>

#include "kx_alloc_count.h"
#include "kx_auth.h"
#include "wire_samples.h"

#define CONN 0x1122334455667788u

struct ends {
	struct kx_auth_protect client, broker;
};

static const uint8_t secret_a[32] = {1, 2, 3}, secret_b[32] = {1, 2, 4};
static const enum kx_protect modes[] = {KX_PROTECT_MAC, KX_PROTECT_AEAD};

static void ends_open(struct ends *e, const uint8_t *secret, uint64_t conn_id, enum kx_protect mode)
{
	assert_int_equal(kx_auth_protect_create(&e->client), 0);
	assert_int_equal(kx_auth_protect_create(&e->broker), 0);
	assert_int_equal(kx_auth_protect_init(&e->client, secret, conn_id, false, mode), 0);
	assert_int_equal(kx_auth_protect_init(&e->broker, secret, conn_id, true, mode), 0);
}

static void ends_close(struct ends *e)
{
	kx_auth_protect_destroy(&e->client);
	kx_auth_protect_destroy(&e->broker);
}

/* A sample, sealed by `from`. Bytes on the wire. */
static uint32_t sealed(struct kx_auth_protect *from, const char *name, uint8_t *frame)
{
	return kx_auth_protect_seal(from, frame, (uint32_t)wire_sample_find(name)->build(frame));
}

/* Open an exact-size copy. */
static int open_copy(struct kx_auth_protect *p, const uint8_t *frame, uint32_t bytes)
{
	uint8_t *copy = kx_test_exact(frame, bytes);
	int rc = kx_frame_protected(copy, bytes) ? kx_auth_protect_open(p, copy, bytes) : -EINVAL;

	free(copy);
	return rc;
}

static bool in_session(const struct wire_sample *s)
{
	return s->type > KX_RESET || strcmp(s->name, "refuse_request") == 0;
}

/* Every frame of a session, both modes: sealed, opened by the other end, and the same as before. */
static void round_trip(void **state)
{
	uint8_t plain[SAMPLE_BYTES_MAX] KX_ALIGNED(8), frame[SAMPLE_BYTES_MAX] KX_ALIGNED(8);
	unsigned int tried = 0;

	(void)state;
	for (unsigned int i = 0; i < wire_sample_count * KX_DIM(modes); i++) {
		const struct wire_sample *s = &wire_samples[i / KX_DIM(modes)];
		bool from_client = s->from == KX_FROM_CLIENT;
		struct kx_frame_hdr *h = (struct kx_frame_hdr *)frame;
		struct kx_frame_view v;
		uint32_t bytes;
		struct ends e;

		if (!in_session(s))
			continue;
		ends_open(&e, secret_a, CONN, modes[i % KX_DIM(modes)]);
		bytes = (uint32_t)s->build(plain);
		if (s->type == KX_MTU_PROBE || s->type == KX_MTU_PROBED)
			((struct kx_mtu *)(plain + sizeof(*h)))->size += KX_TAG_BYTES;
		memcpy(frame, plain, bytes);
		assert_int_equal(kx_auth_protect_seal(from_client ? &e.client : &e.broker, frame, bytes),
			bytes + KX_TAG_BYTES);
		assert_int_equal(memcmp(frame + 40, plain + 40, bytes - 40) == 0,
			modes[i % KX_DIM(modes)] == KX_PROTECT_MAC || bytes == 40);
		assert_true(kx_frame_protected(frame, bytes + KX_TAG_BYTES));
		assert_int_equal(
			kx_frame_check(frame, bytes + KX_TAG_BYTES, s->from, &v), KX_DROP_FRAME_FLAGS);
		assert_int_equal(kx_auth_protect_open(
					 from_client ? &e.broker : &e.client, frame, bytes + KX_TAG_BYTES),
			0);
		assert_int_equal(kx_frame_check_opened(frame, bytes, s->from, &v), KX_DROP_NONE);
		assert_int_equal(h->check, 0);
		h->check = ((struct kx_frame_hdr *)plain)->check;
		assert_memory_equal(frame, plain, bytes);
		ends_close(&e);
		tried++;
	}
	assert_true(tried >= 60);
}

/* Any one bit flipped, the tag's and the header's included. */
static void flipped(void **state)
{
	uint8_t frame[SAMPLE_BYTES_MAX] KX_ALIGNED(8);

	(void)state;
	for (unsigned int m = 0; m < KX_DIM(modes); m++) {
		struct ends e;
		uint32_t bytes;

		ends_open(&e, secret_a, CONN, modes[m]);
		bytes = sealed(&e.client, "produce_ext", frame);
		for (uint32_t bit = 0; bit < bytes * 8; bit++) {
			frame[bit / 8] ^= (uint8_t)(1u << bit % 8);
			if (open_copy(&e.broker, frame, bytes) == 0)
				fail_msg("bit %u of byte %u", bit % 8, bit / 8);
			frame[bit / 8] ^= (uint8_t)(1u << bit % 8);
		}
		assert_int_equal(open_copy(&e.broker, frame, bytes), 0); /* it was only ever the bit */
		ends_close(&e);
	}
}

/* Cut anywhere, or longer, and only the tag or less than that. */
static void truncated(void **state)
{
	uint8_t frame[SAMPLE_BYTES_MAX] KX_ALIGNED(8) = {0};

	(void)state;
	for (unsigned int m = 0; m < KX_DIM(modes); m++) {
		struct ends e;
		uint32_t bytes;

		ends_open(&e, secret_a, CONN, modes[m]);
		bytes = sealed(&e.client, "ping", frame);
		for (uint32_t n = 0; n < bytes + 24; n++)
			assert_int_equal(open_copy(&e.broker, frame, n) == 0, n == bytes);
		for (uint32_t n = 0; n < sizeof(struct kx_frame_hdr) + KX_TAG_BYTES; n++)
			assert_false(kx_frame_protected(frame, n));
		/* a header and a tag: nothing to read outside, whatever the header says of extensions */
		frame[offsetof(struct kx_frame_hdr, ext_words)] = 255;
		assert_int_equal(open_copy(&e.broker, frame, 48), -EBADMSG);
		ends_close(&e);
	}
	assert_false(kx_frame_protected(frame, KX_FRAME_MAX_BYTES + 1));
}

/* Reflected, of another session (other secret, other connection id), of the other mode. */
static void foreign(void **state)
{
	uint8_t frame[SAMPLE_BYTES_MAX] KX_ALIGNED(8);

	(void)state;
	for (unsigned int m = 0; m < KX_DIM(modes); m++) {
		struct ends e, other, twin, wrong;
		uint32_t bytes;

		ends_open(&e, secret_a, CONN, modes[m]);
		ends_open(&other, secret_b, CONN, modes[m]);
		ends_open(&twin, secret_a, CONN + 1, modes[m]);
		ends_open(&wrong, secret_a, CONN, modes[1 - m]);
		bytes = sealed(&e.client, "heartbeat_client", frame);
		assert_int_equal(open_copy(&e.broker, frame, bytes), 0);
		assert_int_equal(open_copy(&e.client, frame, bytes), -EBADMSG);
		assert_int_equal(open_copy(&other.broker, frame, bytes), -EBADMSG);
		assert_int_equal(open_copy(&twin.broker, frame, bytes), -EBADMSG);
		assert_int_equal(open_copy(&wrong.broker, frame, bytes), -EPROTO);
		frame[offsetof(struct kx_frame_hdr, flags)] ^=
			KX_FLAGS_PROTECT; /* says it is the other one */
		assert_int_equal(open_copy(&e.broker, frame, bytes), -EPROTO);
		assert_int_equal(open_copy(&wrong.broker, frame, bytes), -EBADMSG);
		frame[offsetof(struct kx_frame_hdr, flags)] |= KX_FLAGS_PROTECT;
		assert_int_equal(open_copy(&e.broker, frame, bytes), -EINVAL);
		frame[offsetof(struct kx_frame_hdr, flags)] &= (uint8_t)~KX_FLAGS_PROTECT;
		assert_int_equal(open_copy(&e.broker, frame, bytes), -EINVAL);
		ends_close(&e);
		ends_close(&other);
		ends_close(&twin);
		ends_close(&wrong);
	}
}

/* A packet number seals differently each time, and an ended session opens and is nothing any more. */
static void ended(void **state)
{
	uint8_t frame[SAMPLE_BYTES_MAX] KX_ALIGNED(8);
	struct kx_auth_protect none = {0};
	uint32_t bytes;
	struct ends e;

	(void)state;
	assert_int_equal(kx_auth_protect_init(&none, secret_a, CONN, true, KX_PROTECT_MAC), -EINVAL);
	kx_auth_protect_end(&none);
	kx_auth_protect_destroy(&none);
	ends_open(&e, secret_a, CONN, KX_PROTECT_AEAD);
	assert_int_equal(kx_auth_protect_init(&e.broker, secret_a, CONN, true, KX_PROTECT_PLAIN), -EINVAL);
	assert_int_equal(kx_auth_protect_mode(&e.client), KX_PROTECT_AEAD);
	bytes = sealed(&e.client, "ping", frame);
	kx_auth_protect_end(&e.broker);
	assert_int_equal(kx_auth_protect_mode(&e.broker), KX_PROTECT_PLAIN);
	assert_int_equal(open_copy(&e.broker, frame, bytes), -EPROTO);
	assert_int_equal(kx_auth_protect_init(&e.broker, secret_b, CONN, true, KX_PROTECT_AEAD), 0);
	assert_int_equal(open_copy(&e.broker, frame, bytes), -EBADMSG);
	assert_int_equal(kx_auth_protect_init(&e.broker, secret_a, CONN, true, KX_PROTECT_AEAD), 0);
	assert_int_equal(open_copy(&e.broker, frame, bytes), 0);
	ends_close(&e);
}

static void no_allocation(void **state)
{
	uint8_t frame[SAMPLE_BYTES_MAX] KX_ALIGNED(8);
	const struct wire_sample *s = wire_sample_find("produce");
	struct ends e;

	(void)state;
	ends_open(&e, secret_a, CONN, KX_PROTECT_MAC);
	assert_int_equal(count_begin(), 0);
	allocations = 0;
	for (unsigned int i = 0; i < 64; i++) {
		uint32_t bytes;

		assert_int_equal(
			kx_auth_protect_init(&e.client, secret_b, i, false, modes[i % KX_DIM(modes)]), 0);
		assert_int_equal(
			kx_auth_protect_init(&e.broker, secret_b, i, true, modes[i % KX_DIM(modes)]), 0);
		bytes = kx_auth_protect_seal(&e.client, frame, (uint32_t)s->build(frame));
		assert_int_equal(kx_auth_protect_open(&e.broker, frame, bytes), 0);
		frame[40] ^= 1;
		frame[2] |= e.broker.flag;
		assert_int_equal(kx_auth_protect_open(&e.broker, frame, bytes), -EBADMSG);
		kx_auth_protect_end(&e.broker);
	}
	assert_int_equal(allocations, 0);
	ends_close(&e);
}

/* ---- golden vectors */

static size_t from_hex(const char *text, uint8_t *out)
{
	unsigned int byte;
	size_t n = 0;

	for (; sscanf(text, "%2x", &byte) == 1 && n < SAMPLE_BYTES_MAX; text += 2)
		out[n++] = (uint8_t)byte;
	return n;
}

static void vector(const uint8_t *secret, const char *name, const char *mode, const char *hex)
{
	uint8_t want[SAMPLE_BYTES_MAX] KX_ALIGNED(8), frame[SAMPLE_BYTES_MAX] KX_ALIGNED(8);
	const struct wire_sample *s = wire_sample_find(name);
	uint32_t bytes = (uint32_t)from_hex(hex, want);
	enum kx_protect protect;
	struct kx_frame_view v;
	struct ends e;

	print_message("%s %s\n", name, mode);
	assert_non_null(s);
	assert_true(kx_protect_parse(mode, &protect));
	ends_open(&e, secret, CONN, protect);
	assert_int_equal(sealed(s->from == KX_FROM_CLIENT ? &e.client : &e.broker, name, frame), bytes);
	assert_memory_equal(frame, want, bytes);
	assert_int_equal(
		kx_auth_protect_open(s->from == KX_FROM_CLIENT ? &e.broker : &e.client, want, bytes), 0);
	assert_int_equal(kx_frame_check_opened(want, bytes - KX_TAG_BYTES, s->from, &v), KX_DROP_NONE);
	ends_close(&e);
}

static void vectors(void **state)
{
	static char line[2 * SAMPLE_BYTES_MAX + 64], hex[2 * SAMPLE_BYTES_MAX + 1];
	const char *dir = getenv("KX_VECTORS");
	unsigned int rows = 0;
	uint8_t secret[SAMPLE_BYTES_MAX];
	char path[512], name[64], mode[64];
	FILE *f;

	(void)state;
	snprintf(path, sizeof(path), "%s/protected.txt", dir ? dir : "tests/vectors");
	f = fopen(path, "r");
	if (f == NULL)
		fail_msg("%s: cannot be opened (KX_VECTORS names the folder)", path);
	while (fgets(line, sizeof(line), f) != NULL) {
		if (line[0] == '#')
			continue;
		if (sscanf(line, "secret %8191s", hex) == 1) {
			assert_int_equal(from_hex(hex, secret), KX_AUTH_SECRET_BYTES);
			continue;
		}
		assert_int_equal(sscanf(line, "%63s %63s %8191s", name, mode, hex), 3);
		vector(secret, name, mode, hex);
		rows++;
	}
	fclose(f);
	assert_true(rows >= 10);
}

static void names(void **state)
{
	enum kx_protect p = KX_PROTECT_PLAIN;

	(void)state;
	assert_string_equal(kx_protect_name(KX_PROTECT_AEAD), "aead");
	assert_string_equal(kx_protect_name(3), "?");
	assert_true(kx_protect_parse("mac", &p));
	assert_int_equal(p, KX_PROTECT_MAC);
	assert_false(kx_protect_parse("MAC", &p) || kx_protect_parse("", &p));
}

/* ---- path tokens */

#define LIFETIME_NS (10 * KX_NS_PER_S)
#define T0	    (100 * KX_AUTH_COOKIE_PERIOD_NS)

static void path_tokens(void **state)
{
	uint8_t token[KX_PATH_TOKEN_BYTES], cookie[KX_COOKIE_BYTES], nonce[KX_NONCE_BYTES] = {1};
	struct kx_auth_secrets secrets, other_secrets;
	struct kx_auth_ctx *auth, *sibling, *stranger;
	struct kx_addr remote, moved;

	(void)state;
	assert_int_equal(kx_auth_secrets_init(&secrets), 0);
	assert_int_equal(kx_auth_secrets_init(&other_secrets), 0);
	assert_int_equal(kx_auth_create(&secrets, 77, &auth), 0);
	assert_int_equal(kx_auth_create(&secrets, 77, &sibling), 0);
	assert_int_equal(kx_auth_create(&other_secrets, 77, &stranger), 0);
	assert_int_equal(kx_addr_parse("192.0.2.1:4000", 0, &remote), 0);
	kx_auth_path_make(auth, CONN, &remote, T0, token);
	assert_int_equal(kx_auth_path_check(auth, CONN, &remote, T0 + 1, LIFETIME_NS, token), 0);
	assert_int_equal(kx_auth_path_check(sibling, CONN, &remote, T0 + LIFETIME_NS, LIFETIME_NS, token), 0);
	assert_int_equal(
		kx_auth_path_check(auth, CONN, &remote, T0 + LIFETIME_NS + 1, LIFETIME_NS, token), -ETIME);
	assert_int_equal(
		kx_auth_path_check(auth, CONN, &remote, T0 - 2 * KX_NS_PER_S, LIFETIME_NS, token), -EACCES);
	assert_int_equal(kx_auth_path_check(auth, CONN + 1, &remote, T0, LIFETIME_NS, token), -EACCES);
	assert_int_equal(kx_auth_path_check(stranger, CONN, &remote, T0, LIFETIME_NS, token), -EACCES);
	moved = remote;
	moved.port++;
	assert_int_equal(kx_auth_path_check(auth, CONN, &moved, T0, LIFETIME_NS, token), -EACCES);
	moved = remote;
	moved.ip[15] ^= 1;
	assert_int_equal(kx_auth_path_check(auth, CONN, &moved, T0, LIFETIME_NS, token), -EACCES);
	for (unsigned int bit = 0; bit < sizeof(token) * 8; bit++) {
		token[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_int_not_equal(kx_auth_path_check(auth, CONN, &remote, T0, LIFETIME_NS, token), 0);
		token[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	kx_auth_cookie_make(auth, nonce, nonce, &remote, T0, cookie);
	assert_int_equal(kx_auth_path_check(auth, CONN, &remote, T0, LIFETIME_NS, cookie), -EACCES);
	kx_auth_destroy(auth);
	kx_auth_destroy(sibling);
	kx_auth_destroy(stranger);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(round_trip),
		cmocka_unit_test(flipped),
		cmocka_unit_test(truncated),
		cmocka_unit_test(foreign),
		cmocka_unit_test(ended),
		cmocka_unit_test(no_allocation),
		cmocka_unit_test(vectors),
		cmocka_unit_test(names),
		cmocka_unit_test(path_tokens),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
