/* SPDX-License-Identifier: BSD-3-Clause */
/* Key files: what is taken, and everything that is refused, each by name. */
#include "kx_test.h"

#include "kx_base.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[] = "/tmp/kx_key_XXXXXX";
static char path[64], other[64], said[512];

static void put(const char *content, size_t bytes, mode_t mode)
{
	int fd;

	unlink(path);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, content, bytes), (ssize_t)bytes);
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

static int load(const char *file, struct kx_key *key)
{
	struct kx_text why;
	int rc;

	memset(key, 0xa5, sizeof(*key));
	kx_text_init(&why, said, sizeof(said));
	rc = kx_key_load(file, key, &why);
	assert_int_equal(rc == 0, why.len == 0);
	if (rc != 0)
		for (size_t i = 0; i < sizeof(*key); i++)
			assert_int_equal(((uint8_t *)key)[i], 0);
	return rc;
}

/* A file of `digits` digits and what follows. */
static int load_digits(size_t digits, const char *end, struct kx_key *key)
{
	char text[300];

	memset(text, 'c', digits);
	strcpy(text + digits, end);
	put(text, strlen(text), 0600);
	return load(path, key);
}

static void expect(int rc, int want, const char *says)
{
	if (rc != want || strstr(said, says) == NULL)
		fail_msg("%d (%s) instead of %d, %s", rc, said, want, says);
}

static int begin(void **state)
{
	(void)state;
	if (mkdtemp(dir) == NULL)
		return -1;
	snprintf(path, sizeof(path), "%s/a.key", dir);
	snprintf(other, sizeof(other), "%s/b.key", dir);
	return 0;
}

static int end(void **state)
{
	(void)state;
	unlink(path);
	unlink(other);
	return rmdir(dir);
}

static void test_good(void **state)
{
	struct kx_key key;

	(void)state;
	for (size_t digits = 64; digits <= 128; digits += 2) {
		assert_int_equal(load_digits(digits, digits % 4 == 0 ? "\n" : "", &key), 0);
		assert_int_equal(key.len, digits / 2);
		for (uint32_t i = 0; i < key.len; i++)
			assert_int_equal(key.bytes[i], 0xcc);
	}
	assert_int_equal(load_digits(64, "\r\n", &key), 0);
	put("00112233445566778899aAbBcCdDeEfF0123456789abcdef0123456789ABCDEF\n", 65, 0400);
	assert_int_equal(load(path, &key), 0);
	assert_memory_equal(key.bytes,
		"\x00\x11\x22\x33\x44\x55\x66\x77\x88\x99\xaa\xbb\xcc\xdd\xee\xff"
		"\x01\x23\x45\x67\x89\xab\xcd\xef\x01\x23\x45\x67\x89\xab\xcd\xef",
		32);
	kx_key_wipe(&key);
	assert_int_equal(key.len, 0);
	assert_int_equal(key.bytes[5], 0);
}

static void test_content(void **state)
{
	char text[65] = "00112233445566778899aabbccddeeff0123456789abcdef0123456789abcdef";
	struct kx_key key;

	(void)state;
	expect(load_digits(0, "", &key), -EINVAL, "is empty; `kaelix-cli keygen FILE` makes a key");
	expect(load_digits(0, "\n", &key), -EINVAL, "has 0 digits; a key is an even number of 64..128");
	expect(load_digits(62, "\n", &key), -EINVAL, "has 62 digits");
	expect(load_digits(65, "\n", &key), -EINVAL, "has 65 digits");
	expect(load_digits(130, "\n", &key), -EINVAL, "has at least 130 digits");
	expect(load_digits(280, "", &key), -EINVAL, "has at least 131 digits");
	expect(load_digits(64, " \n", &key), -EINVAL, "character 65 is no hexadecimal digit");
	expect(load_digits(64, "\n\n", &key), -EINVAL, "has more than one line");
	expect(load_digits(64, "\nff", &key), -EINVAL, "has more than one line");
	expect(load_digits(64, "\r", &key), 0, "");
	expect(load_digits(64, "\rx", &key), -EINVAL, "has more than one line");
	/* zeros in, before and behind it, and a byte order mark */
	put("00112233445566778899aabbccddeeff0123456789abcdef0123456789abcdef\0", 65, 0600);
	expect(load(path, &key), -EINVAL, "has more than one line");
	put("\00000112233445566778899aabbccddeeff0123456789abcdef0123456789abcdef", 65, 0600);
	expect(load(path, &key), -EINVAL, "has 0 digits");
	put("\xef\xbb\xbf"
	    "00112233445566778899aabbccddeeff0123456789abcdef0123456789abcdef",
		67, 0600);
	expect(load(path, &key), -EINVAL, "character 1 is no hexadecimal digit");
	expect(load_digits(128, "\r\n", &key), 0, "");
	expect(load_digits(64, "\r\n\r\n", &key), -EINVAL, "has more than one line");
	for (int c = 0; c < 256; c++) {
		bool hex = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');

		text[40] = (char)c;
		put(text, 64, 0600);
		assert_int_equal(load(path, &key), hex ? 0 : -EINVAL);
		/* A key is a secret, also one that is not taken. */
		assert_null(strstr(said, "00112233"));
	}
}

static void test_file(void **state)
{
	static const mode_t bad[] = {
		0640, 0604, 0660, 0601, 0610, 0644, 0666, 0777, 0620, 0602, 0700, 0500, 0100};
	static const mode_t good[] = {0600, 0400};
	struct kx_key key;

	(void)state;
	for (size_t i = 0; i < KX_DIM(bad); i++) {
		char mode[80];

		load_digits(64, "\n", &key);
		assert_int_equal(chmod(path, bad[i]), 0);
		snprintf(mode, sizeof(mode), "has mode %04o, %s; chmod 600", (unsigned int)bad[i],
			(bad[i] & 077) != 0 ? "others than its owner may use it"
					    : "a key is nothing to execute");
		/* one that its owner may not read stops whoever is not root at open() */
		expect(load(path, &key), -EACCES,
			geteuid() != 0 && (bad[i] & 0400) == 0 ? "cannot be opened" : mode);
	}
	for (size_t i = 0; i < KX_DIM(good); i++) {
		assert_int_equal(chmod(path, good[i]), 0);
		expect(load(path, &key), 0, "");
	}
	assert_int_equal(chmod(path, 0600), 0);
	assert_int_equal(symlink(path, other), 0);
	expect(load(other, &key), -ELOOP, "is a symbolic link");
	unlink(other);
	assert_int_equal(link(path, other), 0);
	expect(load(other, &key), 0, "");
	unlink(other);
	expect(load(other, &key), -ENOENT, "cannot be opened: No such file");
	expect(load(dir, &key), -EISDIR, "is a directory; name a file");
	assert_int_equal(mkfifo(other, 0600), 0);
	expect(load(other, &key), -EINVAL, "is no regular file");
	expect(load("/dev/zero", &key), -EINVAL, "is no regular file");
	unlink(other);
	assert_int_equal(symlink(dir, other), 0);
	expect(load(other, &key), -ELOOP, "is a symbolic link");
	unlink(other);
	assert_int_equal(symlink("nowhere", other), 0);
	expect(load(other, &key), -ELOOP, "is a symbolic link");
	unlink(other);
	/* 64 GiB of which none is read beyond what a key may have */
	load_digits(64, "\n", &key);
	if (truncate(path, INT64_C(64) << 30) == 0)
		expect(load(path, &key), -EINVAL, "has more than one line");
}

static void test_owner(void **state)
{
	struct kx_key key;

	(void)state;
	if (geteuid() != 0)
		skip();
	load_digits(64, "\n", &key);
	assert_int_equal(chown(path, 12345, 0), 0);
	expect(load(path, &key), -EPERM, "belongs to user 12345; give it to root or to user 0");
}

static void test_create(void **state)
{
	struct kx_key a, b;
	struct kx_text why;
	struct stat st;

	(void)state;
	unlink(path);
	kx_text_init(&why, said, sizeof(said));
	assert_int_equal(kx_key_create(path, &why), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(load(path, &a), 0);
	assert_int_equal(a.len, 32);
	kx_text_init(&why, said, sizeof(said));
	assert_int_equal(kx_key_create(path, &why), -EEXIST);
	assert_non_null(strstr(said, "exists already and is not overwritten"));
	assert_int_equal(load(path, &b), 0);
	assert_memory_equal(&a, &b, sizeof(a));
	unlink(path);
	kx_text_init(&why, said, sizeof(said));
	assert_int_equal(kx_key_create(path, &why), 0);
	assert_int_equal(load(path, &b), 0);
	assert_memory_not_equal(&a, &b, sizeof(a));
	kx_text_init(&why, said, sizeof(said));
	assert_int_equal(kx_key_create("/nonexistent/x", &why), -ENOENT);
	assert_non_null(strstr(said, "cannot be written: No such file"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_content),
		cmocka_unit_test(test_file),
		cmocka_unit_test(test_owner),
		cmocka_unit_test(test_create),
	};
	return cmocka_run_group_tests(tests, begin, end);
}
