/* SPDX-License-Identifier: BSD-3-Clause */
/* The table of principals: one locked mapping, filled once. */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "auth_private.h"

#include <openssl/crypto.h>

#define PRINCIPALS_MAX 4096

static size_t lines(size_t bytes)
{
	return (bytes + KX_CACHE_LINE - 1) & ~(size_t)(KX_CACHE_LINE - 1);
}

/** Parts of the mapping, each in whole cache lines. */
struct layout {
	size_t hash, keys, list, bits, bytes;
};

static struct layout lay_out(uint32_t count, uint32_t words)
{
	struct layout l = {.hash = lines(sizeof(struct kx_auth_principals))};
	long page = sysconf(_SC_PAGESIZE);

	l.keys = l.hash + lines(count * sizeof(uint64_t));
	l.list = l.keys + lines((count + 1) * sizeof(struct principal_keys));
	l.bits = l.list + lines(count * sizeof(struct kx_auth_principal));
	l.bytes = l.bits + lines((size_t)count * 3 * words * sizeof(uint64_t));
	l.bytes = (l.bytes + (size_t)page - 1) / (size_t)page * (size_t)page;
	return l;
}

static int map(size_t bytes, void **out, struct kx_text *why)
{
	void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int rc;

	if (at == MAP_FAILED) {
		rc = -errno;
		kx_text_add(why, "no memory for principals: %s", kx_strerror(rc));
		return rc;
	}
	if (mlock(at, bytes) != 0 || madvise(at, bytes, MADV_DONTDUMP) != 0) {
		rc = -errno;
		kx_text_add(why,
			"%zu KiB of memory for keys cannot be locked: %s; raise the limit (ulimit -l)",
			bytes / 1024, kx_strerror(rc));
		munmap(at, bytes);
		return rc;
	}
	*out = at;
	return 0;
}

static bool share_key(const struct kx_auth_principal_conf *a, const struct kx_auth_principal_conf *b)
{
	for (unsigned int k = 0; k < PRINCIPAL_KEYS * PRINCIPAL_KEYS; k++) {
		const struct kx_key *x = &a->key[k / PRINCIPAL_KEYS], *y = &b->key[k % PRINCIPAL_KEYS];

		if (x->len != 0 && x->len == y->len && CRYPTO_memcmp(x->bytes, y->bytes, x->len) == 0)
			return true;
	}
	return false;
}

/** Who has another's key can say to be that one. */
static int check_own_keys(const struct kx_auth_principal_conf *list, uint32_t count, struct kx_text *why)
{
	for (uint32_t i = 1; i < count; i++) {
		for (uint32_t j = 1; j < i; j++) {
			if (!share_key(&list[j], &list[i]))
				continue;
			kx_text_add(why,
				"principals %s and %s have the same key, so that each could be taken for the "
				"other; make a key for each with `kaelix-cli keygen FILE`",
				list[j].name, list[i].name);
			return -EINVAL;
		}
	}
	return 0;
}

static int check_conf(const struct kx_auth_principal_conf *list, uint32_t count, struct kx_text *why)
{
	if (count == 0 || count > PRINCIPALS_MAX) {
		kx_text_add(why, "%u principals; there can be 1..%d", count, PRINCIPALS_MAX);
		return -EINVAL;
	}
	if (list[0].key[0].len != 0 || list[0].key[1].len != 0) {
		kx_text_add(why, "the first principal is the one without a key, and has one");
		return -EINVAL;
	}
	for (uint32_t i = 0; i < count; i++) {
		size_t len = strlen(list[i].name);

		if (len == 0 || len > KX_PRINCIPAL_NAME_MAX) {
			kx_text_add(why, "the name of principal %u has %zu bytes; 1..%d can be", i, len,
				KX_PRINCIPAL_NAME_MAX);
			return -EINVAL;
		}
		for (unsigned int k = 0; k < PRINCIPAL_KEYS; k++) {
			uint32_t bytes = list[i].key[k].len;

			if (bytes == 0 || (bytes >= KX_KEY_BYTES_MIN && bytes <= KX_KEY_BYTES_MAX))
				continue;
			kx_text_add(why, "a key of principal %s has %u bytes; %d..%d can be", list[i].name,
				bytes, KX_KEY_BYTES_MIN, KX_KEY_BYTES_MAX);
			return -EINVAL;
		}
	}
	return check_own_keys(list, count, why);
}

/** Key states of one entry; what is not given is drawn. */
static int fill_keys(struct principal_keys *keys, const struct kx_key *given)
{
	for (unsigned int k = 0; k < PRINCIPAL_KEYS; k++) {
		uint8_t nobodys[MAC_BYTES];
		int rc;

		if (given != NULL && given[k].len != 0) {
			auth_mac_key_of(&keys->key[k], given[k].bytes, given[k].len);
			keys->known = UINT64_MAX;
			continue;
		}
		rc = kx_random_bytes(nobodys, sizeof(nobodys));
		if (rc != 0)
			return rc;
		auth_mac_key(&keys->key[k], nobodys);
		OPENSSL_cleanse(nobodys, sizeof(nobodys));
	}
	return 0;
}

static const uint64_t *put_bits(
	struct kx_auth_principals *p, uint32_t at, const uint64_t *a, const uint64_t *b)
{
	uint64_t *bits = p->bits + (size_t)at * p->topic_words;

	for (uint32_t w = 0; w < p->topic_words; w++)
		bits[w] = a[w] | b[w];
	return bits;
}

static int fill(struct kx_auth_principals *p, const struct kx_auth_principal_conf *conf, uint32_t i)
{
	struct kx_auth_principal *one = &p->list[i];

	memcpy(p->keys[i].name, conf->name, strlen(conf->name));
	p->hash[i] = auth_name_hash(p->keys[i].name);
	for (uint32_t other = 0; other < i; other++)
		if (p->hash[other] == p->hash[i])
			return -EEXIST;
	*one = (struct kx_auth_principal){.name = (const char *)p->keys[i].name,
		.id = i,
		.sessions_max = conf->sessions_max,
		.protect = conf->protect,
		.has_key = conf->key[0].len != 0 || conf->key[1].len != 0,
		.produce = put_bits(p, 3 * i, conf->produce, conf->produce),
		.consume = put_bits(p, 3 * i + 1, conf->consume, conf->consume),
		.either = put_bits(p, 3 * i + 2, conf->produce, conf->consume)};
	return fill_keys(&p->keys[i], conf->key);
}

int kx_auth_principals_create(const struct kx_auth_principal_conf *list, uint32_t count, uint32_t topics,
	bool anonymous, struct kx_auth_principals **out, struct kx_text *why)
{
	uint32_t words = (topics + 63) / 64;
	struct kx_auth_principals *p;
	struct layout l;
	void *at = NULL;
	int rc;

	*out = NULL;
	rc = check_conf(list, count, why);
	if (rc != 0)
		return rc;
	l = lay_out(count, words);
	rc = map(l.bytes, &at, why);
	if (rc != 0)
		return rc;
	p = at;
	*p = (struct kx_auth_principals){.mapped_bytes = l.bytes,
		.count = count,
		.topic_words = words,
		.anonymous = anonymous,
		.hash = (uint64_t *)((uint8_t *)at + l.hash),
		.keys = (struct principal_keys *)((uint8_t *)at + l.keys),
		.list = (struct kx_auth_principal *)((uint8_t *)at + l.list),
		.bits = (uint64_t *)((uint8_t *)at + l.bits)};
	for (uint32_t i = 0; rc == 0 && i < count; i++) {
		rc = fill(p, &list[i], i);
		if (rc == -EEXIST)
			kx_text_add(why, "principal %s is there twice", list[i].name);
		else if (rc != 0)
			kx_text_add(why, "no random numbers: %s", kx_strerror(rc));
	}
	if (rc == 0)
		rc = fill_keys(&p->keys[count], NULL);
	if (rc == 0 && mprotect(at, l.bytes, PROT_READ) != 0)
		rc = -errno;
	if (rc != 0)
		kx_auth_principals_destroy(p);
	else
		*out = p;
	return rc == -EEXIST ? -EINVAL : rc;
}

void kx_auth_principals_destroy(struct kx_auth_principals *p)
{
	size_t bytes;

	if (p == NULL)
		return;
	bytes = p->mapped_bytes;
	if (mprotect(p, bytes, PROT_READ | PROT_WRITE) == 0)
		OPENSSL_cleanse(p, bytes);
	munmap(p, bytes);
}

uint32_t kx_auth_principals_count(const struct kx_auth_principals *p)
{
	return p->count;
}

const struct kx_auth_principal *kx_auth_principal(const struct kx_auth_principals *p, uint32_t id)
{
	return &p->list[id];
}

size_t kx_auth_principals_bytes(const struct kx_auth_principals *p)
{
	return p->mapped_bytes;
}
