/* SPDX-License-Identifier: BSD-3-Clause */
/* Principals: whom a client proves to be, what they may, and audit events. */
#include "kx_test.h"

#include <errno.h>
#include <pthread.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kx_auth.h"

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED true
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED true
#endif
#endif
#ifndef SANITIZED
#define SANITIZED false
#endif

#define TOPICS 130
#define WORDS  3

static const uint64_t nothing[WORDS];
static const uint64_t everything[WORDS] = {UINT64_MAX, UINT64_MAX, 3};
static const uint64_t some[WORDS] = {1, 0, 2};
static char said[512];

static struct kx_key key_of(uint8_t first, uint32_t len)
{
	struct kx_key key = {.len = len};

	for (uint32_t i = 0; i < len; i++)
		key.bytes[i] = (uint8_t)(first + i);
	return key;
}

static int create(const struct kx_auth_principal_conf *list, uint32_t count, bool anonymous,
	struct kx_auth_principals **out)
{
	struct kx_text why;
	int rc;

	kx_text_init(&why, said, sizeof(said));
	rc = kx_auth_principals_create(list, count, TOPICS, anonymous, out, &why);
	assert_int_equal(rc == 0, why.len == 0);
	assert_int_equal(rc == 0, *out != NULL);
	return rc;
}

/* anonymous, desk (two keys), feed (one), next (only the second key). */
static struct kx_auth_principals *usual(bool anonymous)
{
	const struct kx_auth_principal_conf list[] = {
		{.name = "anonymous", .produce = nothing, .consume = everything},
		{.name = "desk",
			.key = {key_of(32, 32), key_of(100, 64)},
			.protect = KX_PROTECT_AEAD,
			.sessions_max = 7,
			.produce = some,
			.consume = nothing},
		{.name = "feed", .key = {key_of(48, 48)}, .produce = some, .consume = everything},
		{.name = "next", .key = {{.len = 0}, key_of(7, 33)}, .produce = some, .consume = nothing},
	};
	struct kx_auth_principals *p;

	assert_int_equal(create(list, KX_DIM(list), anonymous, &p), 0);
	return p;
}

static struct kx_auth auth_of(const char *name, enum kx_auth_method method, const struct kx_key *key)
{
	struct kx_auth auth = {.method = method, .datagram_bytes = 1372};

	memset(auth.client_nonce, 1, sizeof(auth.client_nonce));
	memset(auth.broker_nonce, 2, sizeof(auth.broker_nonce));
	memset(auth.cookie, 3, sizeof(auth.cookie));
	if (method == KX_AUTH_TICKET)
		memset(auth.ticket, 4, sizeof(auth.ticket));
	auth.principal_bytes = (uint8_t)strlen(name);
	memcpy(auth.principal, name, strlen(name));
	if (key != NULL)
		kx_auth_sign(key, &auth);
	return auth;
}

static int prove(const struct kx_auth_principals *p, const struct kx_auth *auth, struct kx_auth_proof *out)
{
	struct kx_auth *copy = kx_test_exact(auth, sizeof(*auth));
	int rc;

	memset(out, 0xa5, sizeof(*out));
	rc = kx_auth_prove(p, copy, out);
	free(copy);
	return rc;
}

static void test_prove(void **state)
{
	struct kx_auth_principals *p = usual(true);
	struct kx_key desk = key_of(32, 32), desk2 = key_of(100, 64), feed = key_of(48, 48);
	struct kx_key next = key_of(7, 33);
	uint8_t secret[KX_AUTH_SECRET_BYTES];
	struct kx_auth_proof proof;
	struct kx_auth auth;

	(void)state;
	for (int method = KX_AUTH_HMAC_SHA256; method <= KX_AUTH_TICKET; method++) {
		auth = auth_of("desk", method, &desk);
		assert_int_equal(prove(p, &auth, &proof), 0);
		assert_string_equal(proof.principal->name, "desk");
		assert_int_equal(proof.principal->id, 1);
		assert_int_equal(proof.principal->protect, KX_PROTECT_AEAD);
		assert_int_equal(proof.principal->sessions_max, 7);
		assert_int_equal(proof.key_index, 0);
		kx_auth_session_secret(&desk, &auth, secret);
		assert_memory_equal(proof.secret, secret, sizeof(secret));
		auth = auth_of("desk", method, &desk2);
		assert_int_equal(prove(p, &auth, &proof), 0);
		assert_int_equal(proof.key_index, 1);
		kx_auth_session_secret(&desk2, &auth, secret);
		assert_memory_equal(proof.secret, secret, sizeof(secret));
		auth = auth_of("feed", method, &feed);
		assert_int_equal(prove(p, &auth, &proof), 0);
		assert_int_equal(proof.principal->id, 2);
		auth = auth_of("next", method, &next);
		assert_int_equal(prove(p, &auth, &proof), 0);
		assert_int_equal(proof.principal->id, 3);
		/* Another's key, a name that does not exist, no key at all, a part of a name. */
		auth = auth_of("desk", method, &feed);
		assert_int_equal(prove(p, &auth, &proof), -EACCES);
		assert_string_equal(proof.principal->name, "desk");
		auth = auth_of("desc", method, &desk);
		assert_int_equal(prove(p, &auth, &proof), -EACCES);
		assert_null(proof.principal);
		auth = auth_of("desk", method, NULL);
		assert_int_equal(prove(p, &auth, &proof), -EACCES);
		auth = auth_of("des", method, &desk);
		assert_int_equal(prove(p, &auth, &proof), -EACCES);
		auth = auth_of("desk2", method, &desk);
		assert_int_equal(prove(p, &auth, &proof), -EACCES);
	}
	auth = auth_of("anonymous", KX_AUTH_HMAC_SHA256, &desk);
	assert_int_equal(prove(p, &auth, &proof), -EACCES);
	auth = auth_of("", KX_AUTH_HMAC_SHA256, &desk);
	assert_int_equal(prove(p, &auth, &proof), -EACCES);
	kx_auth_principals_destroy(p);
}

/* Every bit of what was signed. */
static void test_every_bit(void **state)
{
	struct kx_auth_principals *p = usual(true);
	struct kx_key key = key_of(32, 32);
	struct kx_auth good = auth_of("desk", KX_AUTH_HMAC_SHA256, &key);
	struct kx_auth_proof proof;

	(void)state;
	for (size_t bit = 0; bit < 8 * sizeof(good); bit++) {
		struct kx_auth bad = good;

		((uint8_t *)&bad)[bit / 8] ^= (uint8_t)(1u << (bit % 8));
		if (bad.method == KX_AUTH_NONE)
			continue; /* then nothing is proved: below */
		assert_int_equal(prove(p, &bad, &proof), -EACCES);
	}
	kx_auth_principals_destroy(p);
}

static void test_anonymous(void **state)
{
	struct kx_auth_principals *p = usual(true), *off = usual(false);
	struct kx_auth_proof proof;
	struct kx_auth auth;

	(void)state;
	for (int method = KX_AUTH_NONE; method <= KX_AUTH_TICKET; method += 2) {
		static const char *const names[] = {"", "anonymous"};

		for (size_t i = 0; i < KX_DIM(names); i++) {
			auth = auth_of(names[i], method, NULL);
			assert_int_equal(prove(p, &auth, &proof), 0);
			assert_int_equal(proof.principal->id, 0);
			assert_false(proof.principal->has_key);
			assert_int_equal(prove(off, &auth, &proof), -EACCES);
		}
		auth = auth_of("desk", method, NULL);
		assert_int_equal(prove(p, &auth, &proof), -EACCES);
		auth = auth_of("anonymou", method, NULL);
		assert_int_equal(prove(p, &auth, &proof), -EACCES);
	}
	kx_auth_principals_destroy(p);
	kx_auth_principals_destroy(off);
}

static void test_access(void **state)
{
	struct kx_auth_principals *p = usual(true);
	const struct kx_auth_principal *desk = kx_auth_principal(p, 1), *feed = kx_auth_principal(p, 2);

	(void)state;
	assert_int_equal(kx_auth_principals_count(p), 4);
	for (uint32_t t = 0; t < TOPICS; t++) {
		assert_int_equal(kx_auth_allowed(desk->produce, t), t == 0 || t == 129);
		assert_false(kx_auth_allowed(desk->consume, t));
		assert_int_equal(kx_auth_allowed(desk->either, t), t == 0 || t == 129);
		assert_true(kx_auth_allowed(feed->consume, t));
		assert_true(kx_auth_allowed(feed->either, t));
	}
	kx_auth_principals_destroy(p);
	kx_auth_principals_destroy(NULL);
}

static void test_create_errors(void **state)
{
	struct kx_auth_principal_conf list[2] = {
		{.name = "anonymous", .produce = nothing, .consume = nothing},
		{.name = "desk", .key = {key_of(1, 32)}, .produce = nothing, .consume = nothing}};
	struct kx_auth_principals *p;
	char longest[KX_PRINCIPAL_NAME_MAX + 2];

	(void)state;
	assert_int_equal(create(list, 0, true, &p), -EINVAL);
	assert_int_equal(create(list + 1, 1, true, &p), -EINVAL);
	assert_non_null(strstr(said, "the first principal is the one without a key"));
	list[1].name = "anonymous";
	assert_int_equal(create(list, 2, true, &p), -EINVAL);
	assert_string_equal(said, "principal anonymous is there twice");
	memset(longest, 'x', sizeof(longest));
	longest[sizeof(longest) - 1] = '\0';
	list[1].name = longest;
	assert_int_equal(create(list, 2, true, &p), -EINVAL);
	assert_non_null(strstr(said, "has 64 bytes; 1..63 can be"));
	list[1].name = "";
	assert_int_equal(create(list, 2, true, &p), -EINVAL);
	list[1].name = "desk";
	list[1].key[1].len = 31;
	assert_int_equal(create(list, 2, true, &p), -EINVAL);
	assert_string_equal(said, "a key of principal desk has 31 bytes; 32..64 can be");
	list[1].key[1].len = 65;
	assert_int_equal(create(list, 2, true, &p), -EINVAL);
	list[1].key[1].len = 64;
	assert_int_equal(create(list, 2, true, &p), 0);
	kx_auth_principals_destroy(p);
}

/* Whoever has a key is whoever the key is of: of one principal, in whatever place. */
static void test_shared_key(void **state)
{
	const struct kx_key first = key_of(1, 32), second = key_of(2, 32), longer = key_of(1, 33);
	struct kx_auth_principal_conf list[] = {
		{.name = "anonymous", .produce = nothing, .consume = nothing},
		{.name = "desk", .key = {first, first}, .produce = nothing, .consume = nothing},
		{.name = "feed", .key = {longer}, .produce = nothing, .consume = nothing},
		{.name = "last", .key = {second}, .produce = nothing, .consume = nothing},
	};
	struct kx_auth_principals *p;

	(void)state;
	assert_int_equal(create(list, 4, true, &p), 0);
	kx_auth_principals_destroy(p);
	for (unsigned int k = 0; k < 4; k++) {
		list[1].key[0] = list[1].key[1] = list[3].key[0] = list[3].key[1] = (struct kx_key){0};
		list[1].key[k / 2] = first;
		list[3].key[k % 2] = first;
		assert_int_equal(create(list, 4, true, &p), -EINVAL);
		assert_non_null(strstr(said, "principals desk and last have the same key"));
		list[3].key[k % 2] = second;
		assert_int_equal(create(list, 4, true, &p), 0);
		kx_auth_principals_destroy(p);
	}
}

/* The mapping: locked, not dumped, read-only. */
static void test_memory(void **state)
{
	struct kx_auth_principals *p = usual(true);
	char line[512], flags[512] = "", rights[8] = "";
	uint64_t locked_kb = 0, at = (uintptr_t)p, first, last;
	FILE *f = fopen("/proc/self/smaps", "r");
	bool in = false;

	(void)state;
	assert_non_null(f);
	while (fgets(line, sizeof(line), f) != NULL) {
		char r[8];

		if (sscanf(line, "%lx-%lx %7s", &first, &last, r) == 3) {
			in = at >= first && at < last;
			if (in)
				strcpy(rights, r);
		}
		if (in && strncmp(line, "VmFlags:", 8) == 0)
			strcpy(flags, line);
		if (in)
			sscanf(line, "Locked: %lu kB", &locked_kb);
	}
	fclose(f);
	assert_string_equal(rights, "r--p");
	if (!SANITIZED) /* whose mlock() does nothing */
		assert_non_null(strstr(flags, " lo"));
	assert_non_null(strstr(flags, " dd")); /* not in core dumps */
	assert_int_equal(kx_auth_principals_bytes(p) % 4096, 0);
	assert_true(SANITIZED || locked_kb * 1024 >= kx_auth_principals_bytes(p));
	kx_auth_principals_destroy(p);
}

/* ---- the MACs of doc/protocol.md section 3, written by tests/vectors/make.py */

static size_t unhex(const char *hex, uint8_t *out, size_t room)
{
	size_t n = 0;
	unsigned int byte;

	for (; hex[0] != '\0' && n < room && sscanf(hex, "%2x", &byte) == 1; hex += 2)
		out[n++] = (uint8_t)byte;
	return n;
}

static void one_vector(const char *line)
{
	char text[6][600];
	uint8_t secret[32], want[32];
	struct kx_key key = {.len = 0};
	struct kx_auth auth, again;
	struct kx_accept accept;
	struct kx_refuse refuse;

	assert_int_equal(sscanf(line, "%u %599s %599s %599s %599s %599s %599s", &key.len, text[0], text[1],
				 text[2], text[3], text[4], text[5]),
		7);
	assert_int_equal(unhex(text[0], key.bytes, sizeof(key.bytes)), key.len);
	assert_int_equal(unhex(text[1], (uint8_t *)&auth, sizeof(auth)), sizeof(auth));
	assert_int_equal(unhex(text[2], want, sizeof(want)), sizeof(want));
	assert_int_equal(unhex(text[4], (uint8_t *)&accept, sizeof(accept)), sizeof(accept));
	again = auth;
	memset(again.mac, 0, sizeof(again.mac));
	kx_auth_sign(&key, &again);
	assert_memory_equal(&again, &auth, sizeof(auth));
	kx_auth_session_secret(&key, &auth, secret);
	assert_memory_equal(secret, want, sizeof(secret));
	assert_int_equal(kx_auth_accept_check(secret, &accept), 0);
	for (size_t bit = 0; bit < 8 * offsetof(struct kx_accept, principal_id); bit++) {
		struct kx_accept bad = accept;

		((uint8_t *)&bad)[bit / 8] ^= (uint8_t)(1u << (bit % 8));
		assert_int_equal(kx_auth_accept_check(secret, &bad), -EACCES);
	}
	assert_int_equal(unhex(text[5], (uint8_t *)&refuse, sizeof(refuse)), sizeof(refuse));
	assert_int_equal(kx_auth_refuse_check(secret, &refuse), 0);
	for (size_t bit = 0; bit < 8 * sizeof(refuse); bit++) {
		struct kx_refuse bad = refuse;

		((uint8_t *)&bad)[bit / 8] ^= (uint8_t)(1u << (bit % 8));
		assert_int_equal(kx_auth_refuse_check(secret, &bad), -EACCES);
	}
	secret[31] ^= 1;
	assert_int_equal(kx_auth_accept_check(secret, &accept), -EACCES);
	assert_int_equal(kx_auth_refuse_check(secret, &refuse), -EACCES);
}

static void test_vectors(void **state)
{
	const char *dir = getenv("KX_VECTORS");
	char path[512], line[4096];
	int seen = 0;
	FILE *f;

	(void)state;
	assert_non_null(dir);
	snprintf(path, sizeof(path), "%s/macs.txt", dir);
	f = fopen(path, "r");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f) != NULL) {
		if (line[0] == '#')
			continue;
		one_vector(line);
		seen++;
	}
	fclose(f);
	assert_int_equal(seen, 3);
}

/* ---- the same work for every refusal: instructions, counted by single steps */

#if defined(__x86_64__)
static void stop_here(void)
{
	__asm__ volatile("int3" ::: "memory");
}

/* A child refuses `auth` once with everything bound and cached, and once between two traps. */
static void child(const struct kx_auth_principals *p, const struct kx_auth *auth)
{
	struct kx_auth_proof proof;

	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
		_exit(2);
	kx_auth_prove(p, auth, &proof);
	stop_here();
	kx_auth_prove(p, auth, &proof);
	stop_here();
	_exit(0);
}

static bool at_trap(pid_t pid)
{
	siginfo_t info;

	return ptrace(PTRACE_GETSIGINFO, pid, NULL, &info) == 0 && info.si_code == SI_KERNEL;
}

/* @return instructions; 0: may not trace */
static uint64_t count_steps(const struct kx_auth_principals *p, const struct kx_auth *auth)
{
	pid_t pid = fork();
	uint64_t steps = 0;
	int status;

	assert_true(pid >= 0);
	if (pid == 0)
		child(p, auth);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status))
		return 0;
	assert_true(WIFSTOPPED(status) && WSTOPSIG(status) == SIGTRAP && at_trap(pid));
	do {
		steps++;
		if (ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL) != 0 || waitpid(pid, &status, 0) != pid ||
			!WIFSTOPPED(status))
			break;
	} while (!at_trap(pid) && steps < 10000000);
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	return steps;
}

static void test_equal_work(void **state)
{
	struct kx_auth_principals *p = usual(true);
	struct kx_key wrong = key_of(99, 32);
	/* The first three exist, with one key or two or only the next one; none of the others does. */
	static const char *const names[] = {"desk", "feed", "next", "nobody", "d",
		"0123456789012345678901234567890123456789012345678901234"};
	uint64_t first[KX_AUTH_TICKET + 1] = {0};

	(void)state;
	for (size_t i = 0; i < KX_DIM(names); i++) {
		for (int method = KX_AUTH_HMAC_SHA256; method <= KX_AUTH_TICKET; method++) {
			struct kx_auth auth = auth_of(names[i], method, &wrong);
			uint64_t steps = count_steps(p, &auth);

			if (steps == 0) {
				print_message("ptrace is refused here: not counted\n");
				kx_auth_principals_destroy(p);
				skip();
			}
			if (first[method] == 0)
				first[method] = steps;
			if (steps != first[method])
				fail_msg("%s: %lu instructions, %s: %lu", names[i], steps, names[0],
					first[method]);
		}
	}
	print_message("a refusal takes %lu instructions\n", first[KX_AUTH_HMAC_SHA256]);
	assert_true(first[KX_AUTH_HMAC_SHA256] > 1000);
	kx_auth_principals_destroy(p);
}
#else
static void test_equal_work(void **state)
{
	(void)state;
	print_message("instructions are counted on x86-64 only\n");
	skip();
}
#endif

/* ---- audit */

static void test_audit(void **state)
{
	struct kx_audit *a;
	struct kx_audit_event e = {.what = KX_AUDIT_REFUSED, .name_bytes = 4, .name = "desk"}, got;

	(void)state;
	assert_int_equal(kx_audit_create(&a), 0);
	assert_false(kx_audit_get(a, &got));
	kx_audit_put(NULL, &e);
	for (uint32_t i = 0; i < KX_AUDIT_RING + 5; i++) {
		e.conn_id = i;
		kx_audit_put(a, &e);
	}
	assert_int_equal(kx_audit_lost(a), 5);
	assert_int_equal(kx_audit_lost(a), 0);
	for (uint32_t i = 0; i < KX_AUDIT_RING; i++) {
		assert_true(kx_audit_get(a, &got));
		assert_int_equal(got.conn_id, i);
		assert_memory_equal(got.name, "desk", 5);
	}
	assert_false(kx_audit_get(a, &got));
	assert_string_equal(kx_audit_name(KX_AUDIT_FENCED), "fenced");
	assert_string_equal(kx_audit_name((enum kx_audit_what)99), "");
	kx_audit_destroy(a);
}

#define PUTS 200000

static void *writer(void *audit)
{
	struct kx_audit_event e = {.what = KX_AUDIT_ACCEPTED};

	for (uint64_t i = 1; i <= PUTS; i++) {
		e.conn_id = e.producer_id = i;
		kx_audit_put(audit, &e);
	}
	return NULL;
}

static void test_audit_threads(void **state)
{
	struct kx_audit *a;
	struct kx_audit_event e;
	uint64_t last = 0, got = 0, lost = 0;
	pthread_t t;

	(void)state;
	assert_int_equal(kx_audit_create(&a), 0);
	assert_int_equal(pthread_create(&t, NULL, writer, a), 0);
	while (got + lost < PUTS) {
		while (kx_audit_get(a, &e)) {
			assert_true(e.conn_id > last && e.producer_id == e.conn_id);
			last = e.conn_id;
			got++;
		}
		lost += kx_audit_lost(a);
	}
	assert_int_equal(pthread_join(t, NULL), 0);
	assert_true(got > 0);
	kx_audit_destroy(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_prove),
		cmocka_unit_test(test_every_bit),
		cmocka_unit_test(test_anonymous),
		cmocka_unit_test(test_access),
		cmocka_unit_test(test_create_errors),
		cmocka_unit_test(test_shared_key),
		cmocka_unit_test(test_memory),
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_equal_work),
		cmocka_unit_test(test_audit),
		cmocka_unit_test(test_audit_threads),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
