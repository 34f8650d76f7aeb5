/* SPDX-License-Identifier: BSD-3-Clause */
/* Cookies, tickets, random numbers: what is accepted, what is refused, and that nothing allocates. */
#include "kx_test.h"

#include <errno.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "kx_alloc_count.h"
#include "kx_auth.h"

#define LIFETIME_NS (10 * KX_NS_PER_S)
#define T0	    (100 * KX_AUTH_COOKIE_PERIOD_NS)

/* ---- fixture */

struct fixture {
	struct kx_auth_secrets secrets;
	struct kx_auth_ctx *auth;
	uint8_t client[KX_NONCE_BYTES], broker[KX_NONCE_BYTES];
	struct kx_addr remote;
};

static void setup(struct fixture *f)
{
	assert_int_equal(kx_auth_secrets_init(&f->secrets), 0);
	assert_int_equal(kx_auth_create(&f->secrets, 77, &f->auth), 0);
	memset(f->client, 0x11, sizeof(f->client));
	memset(f->broker, 0x22, sizeof(f->broker));
	assert_int_equal(kx_addr_parse("192.0.2.1:4000", 0, &f->remote), 0);
}

static void teardown(struct fixture *f)
{
	kx_auth_destroy(f->auth);
	kx_auth_secrets_wipe(&f->secrets);
}

static void make(struct fixture *f, uint64_t now_ns, uint8_t cookie[KX_COOKIE_BYTES])
{
	kx_auth_cookie_make(f->auth, f->client, f->broker, &f->remote, now_ns, cookie);
}

/* Check on exact-size heap copies. */
static int check(struct fixture *f, uint64_t now_ns, const uint8_t cookie[KX_COOKIE_BYTES])
{
	uint8_t *client = kx_test_exact(f->client, KX_NONCE_BYTES);
	uint8_t *broker = kx_test_exact(f->broker, KX_NONCE_BYTES);
	uint8_t *copy = kx_test_exact(cookie, KX_COOKIE_BYTES);
	int err = kx_auth_cookie_check(f->auth, client, broker, &f->remote, now_ns, LIFETIME_NS, copy);

	free(client);
	free(broker);
	free(copy);
	return err;
}

/* ---- cookies */

static void cookie_round_trip(void **state)
{
	uint8_t cookie[KX_COOKIE_BYTES], again[KX_COOKIE_BYTES];
	struct kx_auth_ctx *other, *mine;
	struct fixture f;

	(void)state;
	setup(&f);
	make(&f, T0, cookie);
	assert_int_equal(check(&f, T0, cookie), 0);
	make(&f, T0, again);
	assert_memory_equal(cookie, again, sizeof(cookie));
	/* Another lcore of the process makes and checks the same; its clock may be a little behind. */
	assert_int_equal(kx_auth_create(&f.secrets, 77, &other), 0);
	mine = f.auth;
	f.auth = other;
	assert_int_equal(check(&f, T0 - KX_AUTH_CLOCK_SLACK_NS, cookie), 0);
	assert_int_equal(check(&f, T0 - KX_AUTH_CLOCK_SLACK_NS - 1, cookie), -EACCES);
	f.auth = mine;
	kx_auth_destroy(other);
	teardown(&f);
}

static void cookie_bit_flips(void **state)
{
	uint8_t cookie[KX_COOKIE_BYTES];
	struct fixture f;

	(void)state;
	setup(&f);
	make(&f, T0, cookie);
	for (unsigned int bit = 0; bit < 8 * sizeof(cookie); bit++) {
		cookie[bit / 8] ^= (uint8_t)(1 << bit % 8);
		int err = check(&f, T0, cookie);

		assert_true(err == -EACCES || (bit < 64 && err == -ETIME));
		cookie[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	assert_int_equal(check(&f, T0, cookie), 0);
	teardown(&f);
}

static void cookie_binds(void **state)
{
	uint8_t cookie[KX_COOKIE_BYTES];
	struct kx_auth_secrets foreign;
	struct kx_auth_ctx *mine;
	struct fixture f;

	(void)state;
	setup(&f);
	make(&f, T0, cookie);
	for (unsigned int i = 0; i < KX_NONCE_BYTES; i++) {
		f.client[i] ^= 0x80;
		assert_int_equal(check(&f, T0, cookie), -EACCES);
		f.client[i] ^= 0x80;
		f.broker[i] ^= 1;
		assert_int_equal(check(&f, T0, cookie), -EACCES);
		f.broker[i] ^= 1;
		f.remote.ip[i] ^= 4;
		assert_int_equal(check(&f, T0, cookie), -EACCES);
		f.remote.ip[i] ^= 4;
	}
	for (unsigned int bit = 0; bit < 16; bit++) {
		f.remote.port ^= (uint16_t)(1 << bit);
		assert_int_equal(check(&f, T0, cookie), -EACCES);
		f.remote.port ^= (uint16_t)(1 << bit);
	}
	assert_int_equal(check(&f, T0, cookie), 0);
	assert_int_equal(kx_auth_secrets_init(&foreign), 0);
	mine = f.auth;
	assert_int_equal(kx_auth_create(&foreign, 77, &f.auth), 0);
	assert_int_equal(check(&f, T0, cookie), -EACCES);
	kx_auth_destroy(f.auth);
	f.auth = mine;
	teardown(&f);
}

static void cookie_expires(void **state)
{
	uint8_t cookie[KX_COOKIE_BYTES];
	struct fixture f;

	(void)state;
	setup(&f);
	make(&f, T0, cookie);
	assert_int_equal(check(&f, T0 + LIFETIME_NS, cookie), 0);
	assert_int_equal(check(&f, T0 + LIFETIME_NS + 1, cookie), -ETIME);
	assert_int_equal(check(&f, UINT64_MAX, cookie), -ETIME);
	make(&f, 0, cookie);
	assert_int_equal(check(&f, 0, cookie), 0);
	memset(cookie, 0xff, sizeof(cookie));
	assert_int_equal(check(&f, UINT64_MAX, cookie), -EACCES);
	teardown(&f);
}

/* The documented cookie, computed by libcrypto's one-shot HMAC. */
static void reference(const struct fixture *f, uint64_t stamp_ns, uint8_t cookie[KX_COOKIE_BYTES])
{
	uint8_t input[64] = {0}, label[24], key[32], mac[32];
	uint64_t period = stamp_ns / KX_AUTH_COOKIE_PERIOD_NS;

	memcpy(label, "kx cookie period", 16);
	memcpy(label + 16, &period, 8);
	assert_non_null(HMAC(EVP_sha256(), f->secrets.cookie, 32, label, sizeof(label), key, NULL));
	memcpy(input, f->client, 16);
	memcpy(input + 16, f->broker, 16);
	memcpy(input + 32, f->remote.ip, 16);
	memcpy(input + 48, &f->remote.port, 2);
	memcpy(input + 56, &stamp_ns, 8);
	assert_non_null(HMAC(EVP_sha256(), key, 32, input, sizeof(input), mac, NULL));
	memcpy(cookie, &stamp_ns, 8);
	memcpy(cookie + 8, mac, 24);
}

/* The key changes with the period; one made under the previous key is accepted while it lives, and no older.
 */
static void cookie_rotation(void **state)
{
	const uint64_t border = T0 + KX_AUTH_COOKIE_PERIOD_NS;
	uint8_t last[KX_COOKIE_BYTES], first[KX_COOKIE_BYTES], expected[KX_COOKIE_BYTES];
	struct fixture f;

	(void)state;
	setup(&f);
	make(&f, border - 1, last);
	reference(&f, border - 1, expected);
	assert_memory_equal(last, expected, sizeof(last));
	make(&f, border, first);
	reference(&f, border, expected);
	assert_memory_equal(first, expected, sizeof(first));
	assert_int_equal(check(&f, border, last), 0);
	assert_int_equal(check(&f, border - 1, first), 0); /* an lcore whose clock reading is older */
	assert_int_equal(check(&f, border + LIFETIME_NS - 1, last), 0);
	assert_int_equal(check(&f, border + LIFETIME_NS, last), -ETIME);
	for (unsigned int i = 1; i < 5; i++) {
		make(&f, border + i * KX_AUTH_COOKIE_PERIOD_NS, first);
		reference(&f, border + i * KX_AUTH_COOKIE_PERIOD_NS, expected);
		assert_memory_equal(first, expected, sizeof(first));
		assert_int_equal(check(&f, border + i * KX_AUTH_COOKIE_PERIOD_NS, last), -ETIME);
	}
	teardown(&f);
}

/* ---- tickets */

static const struct kx_auth_ticket granted = {.producer_id = UINT64_C(0x1122334455667788),
	.producer_epoch = 9,
	.principal_id = 3,
	.expires_ns = T0};

static int open_exact(
	struct kx_auth_ctx *auth, const uint8_t *sealed, uint64_t now_ns, struct kx_auth_ticket *t)
{
	uint8_t *copy = kx_test_exact(sealed, KX_TICKET_BYTES);
	int err = kx_auth_ticket_open(auth, copy, now_ns, t);

	free(copy);
	return err;
}

static void ticket_round_trip(void **state)
{
	uint8_t sealed[KX_TICKET_BYTES], second[KX_TICKET_BYTES];
	struct kx_auth_ticket t;
	struct kx_auth_ctx *other, *restarted;
	struct fixture f;

	(void)state;
	setup(&f);
	assert_int_equal(kx_auth_create(&f.secrets, 77, &other), 0);
	assert_int_equal(kx_auth_create(&f.secrets, 78, &restarted), 0);
	kx_auth_ticket_seal(f.auth, &granted, sealed);
	kx_auth_ticket_seal(f.auth, &granted, second);
	assert_memory_not_equal(sealed, second, sizeof(sealed));
	assert_int_equal(open_exact(other, sealed, T0 - 1, &t), 0);
	assert_int_equal(t.producer_id, granted.producer_id);
	assert_int_equal(t.producer_epoch, granted.producer_epoch);
	assert_int_equal(t.principal_id, granted.principal_id);
	assert_int_equal(t.expires_ns, granted.expires_ns);
	assert_int_equal(open_exact(other, sealed, T0, &t), -ETIME);
	assert_int_equal(open_exact(restarted, sealed, 0, &t), -EACCES);
	kx_auth_destroy(other);
	kx_auth_destroy(restarted);
	teardown(&f);
}

static void ticket_bit_flips(void **state)
{
	uint8_t sealed[KX_TICKET_BYTES];
	struct kx_auth_ticket t = {.producer_id = 5};
	struct fixture f;

	(void)state;
	setup(&f);
	kx_auth_ticket_seal(f.auth, &granted, sealed);
	for (unsigned int bit = 0; bit < 8 * sizeof(sealed); bit++) {
		sealed[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_equal(open_exact(f.auth, sealed, 0, &t), -EACCES);
		sealed[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	assert_int_equal(t.producer_id, 5);
	assert_int_equal(open_exact(f.auth, sealed, 0, &t), 0);
	memset(sealed, 0, sizeof(sealed));
	assert_int_equal(open_exact(f.auth, sealed, 0, &t), -EACCES);
	teardown(&f);
}

/* ---- random numbers */

static int compare_u64(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static void random_numbers(void **state)
{
	static uint64_t numbers[20000];
	const unsigned int half = KX_DIM(numbers) / 2;
	struct kx_auth_ctx *other;
	struct fixture f;
	uint64_t ones = 0;

	(void)state;
	setup(&f);
	assert_int_equal(kx_auth_create(&f.secrets, 77, &other), 0);
	for (unsigned int i = 0; i < half; i++) {
		numbers[i] = kx_auth_random_u64(f.auth);
		numbers[half + i] = kx_auth_random_u64(other); /* same secrets, own seed */
	}
	qsort(numbers, KX_DIM(numbers), sizeof(numbers[0]), compare_u64);
	assert_true(numbers[0] != 0);
	for (unsigned int i = 0; i < KX_DIM(numbers); i++) {
		assert_true(i == 0 || numbers[i] != numbers[i - 1]);
		ones += (uint64_t)__builtin_popcountll(numbers[i]);
	}
	/* Half of 1,280,000 bits, within 10 standard deviations. */
	assert_in_range(ones, 640000 - 5657, 640000 + 5657);
	kx_auth_destroy(other);
	teardown(&f);
}

/* ---- allocation */

static void nothing_allocates(void **state)
{
	uint8_t cookie[KX_COOKIE_BYTES], sealed[KX_TICKET_BYTES], nonce[KX_NONCE_BYTES];
	struct kx_auth_ticket t;
	struct fixture f;
	uint64_t before = allocations;
	int failed = 0;

	(void)state;
	setup(&f);
	assert_true(allocations > before); /* the counter counts */
	before = allocations;
	for (uint64_t i = 0; i < 1000; i++) {
		uint64_t now_ns = T0 + i * KX_NS_PER_S; /* over several rotations */

		kx_auth_cookie_make(f.auth, f.client, f.broker, &f.remote, now_ns, cookie);
		failed += kx_auth_cookie_check(
				  f.auth, f.client, f.broker, &f.remote, now_ns, LIFETIME_NS, cookie) != 0;
		cookie[20] ^= 1;
		failed += kx_auth_cookie_check(f.auth, f.client, f.broker, &f.remote, now_ns, LIFETIME_NS,
				  cookie) != -EACCES;
		kx_auth_ticket_seal(f.auth, &granted, sealed);
		failed += kx_auth_ticket_open(f.auth, sealed, 0, &t) != 0;
		failed += kx_auth_random_u64(f.auth) == 0;
		kx_auth_random_nonce(f.auth, nonce);
	}
	assert_int_equal(allocations - before, 0);
	assert_int_equal(failed, 0);
	teardown(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cookie_round_trip),
		cmocka_unit_test(cookie_bit_flips),
		cmocka_unit_test(cookie_binds),
		cmocka_unit_test(cookie_expires),
		cmocka_unit_test(cookie_rotation),
		cmocka_unit_test(ticket_round_trip),
		cmocka_unit_test(ticket_bit_flips),
		cmocka_unit_test(random_numbers),
		cmocka_unit_test(nothing_allocates),
	};

	if (count_begin() != 0) {
		fprintf(stderr, "no hook into the allocator\n");
		return 1;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
