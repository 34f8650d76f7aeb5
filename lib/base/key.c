/* SPDX-License-Identifier: BSD-3-Clause */
/* Key files: one line of hexadecimal digits that nobody else may read. */
#include "kx_base.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define DIGITS_MIN (2 * KX_KEY_BYTES_MIN)
#define DIGITS_MAX (2 * KX_KEY_BYTES_MAX)
/* A line end of two bytes, and one byte more than fits, which shows that there is too much. */
#define FILE_MAX   (DIGITS_MAX + 3)
/* Rights that a key file may not give: all but reading and writing by its owner. */
#define MODE_BAD   (S_IXUSR | S_IRWXG | S_IRWXO)

void kx_key_wipe(struct kx_key *key)
{
	explicit_bzero(key, sizeof(*key));
}

int kx_key_keep(const void *bytes, uint32_t len, struct kx_key **out)
{
	struct kx_key *key;
	int rc;

	*out = NULL;
	if (len < KX_KEY_BYTES_MIN || len > KX_KEY_BYTES_MAX)
		return -EINVAL;
	key = mmap(NULL, sizeof(*key), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (key == MAP_FAILED)
		return -errno;
	if (mlock(key, sizeof(*key)) != 0 || madvise(key, sizeof(*key), MADV_DONTDUMP) != 0) {
		rc = -errno;
		munmap(key, sizeof(*key));
		return rc;
	}
	memcpy(key->bytes, bytes, len);
	key->len = len;
	*out = key;
	return 0;
}

void kx_key_drop(struct kx_key *key)
{
	if (key == NULL)
		return;
	kx_key_wipe(key);
	munmap(key, sizeof(*key));
}

static int check_stat(const char *path, const struct stat *st, struct kx_text *why)
{
	if (S_ISDIR(st->st_mode)) {
		kx_text_add(why, "key file %s: is a directory; name a file", path);
		return -EISDIR;
	}
	if (!S_ISREG(st->st_mode)) {
		kx_text_add(why, "key file %s: is no regular file; name one", path);
		return -EINVAL;
	}
	if (st->st_uid != 0 && st->st_uid != geteuid()) {
		kx_text_add(why, "key file %s: belongs to user %u; give it to root or to user %u (chown)",
			path, st->st_uid, geteuid());
		return -EPERM;
	}
	if ((st->st_mode & MODE_BAD) != 0) {
		kx_text_add(why, "key file %s: has mode %04o, %s; chmod 600%s", path,
			(unsigned int)st->st_mode & 07777,
			(st->st_mode & (S_IRWXG | S_IRWXO)) != 0 ? "others than its owner may use it"
								 : "a key is nothing to execute",
			(st->st_mode & (S_IRWXG | S_IRWXO)) != 0
				? ", and make a new key if somebody could read it"
				: "");
		return -EACCES;
	}
	return 0;
}

static int open_private(const char *path, struct kx_text *why)
{
	/* Not blocking: opening a pipe must not wait for its writer. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY), rc;
	struct stat st;

	if (fd < 0) {
		rc = -errno;
		if (rc == -ELOOP)
			kx_text_add(why,
				"key file %s: is a symbolic link, which somebody else may change; name the "
				"file itself",
				path);
		else
			kx_text_add(why, "key file %s: cannot be opened: %s%s", path, kx_strerror(rc),
				rc == -ENOENT ? "; `kaelix-cli keygen FILE` makes one" : "");
		return rc;
	}
	rc = fstat(fd, &st) == 0 ? check_stat(path, &st, why) : -errno;
	if (rc == 0)
		return fd;
	close(fd);
	return rc;
}

/** @return bytes, or -errno */
static int read_all(int fd, char *text, size_t size)
{
	size_t got = 0;

	while (got < size) {
		ssize_t n = read(fd, text + got, size - got);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		got += (size_t)n;
	}
	return (int)got;
}

static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int parse(const char *path, const char *text, size_t len, struct kx_key *out, struct kx_text *why)
{
	size_t digits = strcspn(text, "\r\n");
	size_t end = digits + (text[digits] == '\r');

	digits = KX_MIN(digits, len);
	if (len == 0) {
		kx_text_add(why, "key file %s: is empty; `kaelix-cli keygen FILE` makes a key", path);
		return -EINVAL;
	}
	for (size_t i = 0; i < digits; i++) {
		if (digit(text[i]) >= 0)
			continue;
		kx_text_add(why,
			"key file %s: character %zu is no hexadecimal digit; a key is one line of %d..%d of "
			"them",
			path, i + 1, DIGITS_MIN, DIGITS_MAX);
		return -EINVAL;
	}
	if (digits < DIGITS_MIN || digits > DIGITS_MAX || digits % 2 != 0) {
		kx_text_add(why, "key file %s: has %s%zu digits; a key is an even number of %d..%d", path,
			digits > DIGITS_MAX ? "at least " : "", digits, DIGITS_MIN, DIGITS_MAX);
		return -EINVAL;
	}
	end += end < len && text[end] == '\n';
	if (end != len) {
		kx_text_add(why, "key file %s: has more than one line; a key is one line of %d..%d digits",
			path, DIGITS_MIN, DIGITS_MAX);
		return -EINVAL;
	}
	out->len = (uint32_t)(digits / 2);
	for (uint32_t i = 0; i < out->len; i++)
		out->bytes[i] = (uint8_t)(digit(text[2 * i]) << 4 | digit(text[2 * i + 1]));
	return 0;
}

int kx_key_load(const char *path, struct kx_key *out, struct kx_text *why)
{
	char text[FILE_MAX + 1] = {0};
	int fd, len, rc;

	kx_key_wipe(out);
	fd = open_private(path, why);
	if (fd < 0)
		return fd;
	len = read_all(fd, text, FILE_MAX);
	close(fd);
	if (len < 0)
		kx_text_add(why, "key file %s: cannot be read: %s", path, kx_strerror(len));
	rc = len < 0 ? len : parse(path, text, (size_t)len, out, why);
	explicit_bzero(text, sizeof(text));
	return rc;
}

static int write_all(int fd, const char *text, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, text, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		text += n;
		len -= (size_t)n;
	}
	return fsync(fd) == 0 ? 0 : -errno;
}

int kx_key_create(const char *path, struct kx_text *why)
{
	static const char hex[] = "0123456789abcdef";
	uint8_t key[KX_KEY_BYTES_MIN];
	char text[DIGITS_MIN + 1];
	int fd, rc = kx_random_bytes(key, sizeof(key));

	if (rc != 0) {
		kx_text_add(why, "no random numbers: %s", kx_strerror(rc));
		return rc;
	}
	for (size_t i = 0; i < sizeof(key); i++) {
		text[2 * i] = hex[key[i] >> 4];
		text[2 * i + 1] = hex[key[i] & 15];
	}
	text[DIGITS_MIN] = '\n';
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	rc = fd >= 0 ? write_all(fd, text, sizeof(text)) : -errno;
	if (fd >= 0) {
		close(fd);
		if (rc != 0)
			unlink(path);
	}
	explicit_bzero(key, sizeof(key));
	explicit_bzero(text, sizeof(text));
	if (rc == -EEXIST)
		kx_text_add(
			why, "key file %s: exists already and is not overwritten; name another file", path);
	else if (rc != 0)
		kx_text_add(why, "key file %s: cannot be written: %s", path, kx_strerror(rc));
	return rc;
}
