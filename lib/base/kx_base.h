/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * Base: errors, clock, latency histogram, CRC32C, hashing and a fixed-capacity map. Portable, no DPDK.
 *
 * Conventions of all Kaelix libraries: functions return 0 or a negative errno value unless they say
 * otherwise; no function prints, exits or aborts; times are nanoseconds (`_ns`) of one monotonic clock chosen
 * by the caller and passed in; nothing here takes a lock. An object belongs to one thread unless its function
 * says otherwise.
 */
#ifndef KX_BASE_H
#define KX_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define KX_CACHE_LINE	 64
#define KX_ALIGNED(n)	 __attribute__((aligned(n)))
#define KX_PURE		 __attribute__((pure))
#define KX_ALWAYS_INLINE inline __attribute__((always_inline))
#define KX_PRINTF(f, a)	 __attribute__((format(printf, f, a)))
#define kx_likely(x)	 __builtin_expect(!!(x), 1)
#define kx_unlikely(x)	 __builtin_expect(!!(x), 0)
#define KX_MIN(a, b)	 ((a) < (b) ? (a) : (b))
#define KX_MAX(a, b)	 ((a) > (b) ? (a) : (b))
#define KX_DIM(a)	 (sizeof(a) / sizeof((a)[0]))
#define KX_NS_PER_S	 UINT64_C(1000000000)

/** Round `n` up to a multiple of 8, the alignment of everything on the wire. */
static inline uint64_t kx_align8(uint64_t n)
{
	return (n + 7) & ~UINT64_C(7);
}

/* ---- counters ------------------------------------------------------------------------- */

/**
 * Add to a counter that this thread alone writes and others may read at any time. A plain add for the CPU (no
 * lock prefix); the relaxed atomic store keeps readers from seeing half a value.
 */
static KX_ALWAYS_INLINE void kx_count(uint64_t *counter, uint64_t n)
{
	__atomic_store_n(counter, *counter + n, __ATOMIC_RELAXED);
}

/** Read a counter that another thread writes with kx_count(). */
static KX_ALWAYS_INLINE uint64_t kx_counter_read(const uint64_t *counter)
{
	return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

/* ---- clock ---------------------------------------------------------------------------- */

/** CLOCK_MONOTONIC in ns: for programs without a data lcore. Any thread. */
uint64_t kx_clock_mono_ns(void);
/** CLOCK_REALTIME in ns since 1970: append times. Any thread. */
uint64_t kx_clock_real_ns(void);

/**
 * Conversion from the invariant TSC to ns of CLOCK_MONOTONIC_RAW: ns = base_ns + ((tsc - base_tsc) * mult >>
 * 32). Calibrate once, then share read-only between threads.
 */
struct kx_tsc_clock {
	uint64_t base_tsc;
	uint64_t base_ns;
	uint64_t mult_q32; /**< ns per tick, 32.32 fixed point */
	double ticks_per_ns;
};
/**
 * Calibrate against CLOCK_MONOTONIC_RAW for `duration_ns` (a generator uses >= 1e9; the caller's thread
 * spins).
 * @return 0; -ENOTSUP where the CPU has no invariant TSC.
 */
int kx_tsc_clock_calibrate(struct kx_tsc_clock *clock, uint64_t duration_ns);

static KX_ALWAYS_INLINE uint64_t kx_tsc_read(void)
{
	return __builtin_ia32_rdtsc();
}

static KX_ALWAYS_INLINE uint64_t kx_tsc_to_ns(const struct kx_tsc_clock *c, uint64_t tsc)
{
	return c->base_ns + (uint64_t)(((unsigned __int128)(tsc - c->base_tsc) * c->mult_q32) >> 32);
}

/* ---- meter: a rate shared by threads ---------------------------------------------------- */

/** A tap settles its account at most this often, or when its chunk is used up. */
#define KX_METER_SETTLE_NS UINT64_C(1000000)

/**
 * Token bucket of a single rate, shared by any number of threads, for quotas: what is used is always taken,
 * the bucket may go into debt, and kx_meter_open() says when the debt is paid, which is when more may be
 * admitted. In the long run no more than the rate is used, exactly: no token is rounded away.
 *
 * The account is one atomic number, the time up to which everything used is paid for at the configured rate:
 * below now it is savings (at most `burst_ns`), above it is debt. Each thread has a tap of its own, which
 * adds up locally and settles at most once in KX_METER_SETTLE_NS, or when it has used the chunk that the
 * account had when it settled last; so threads together may go into debt by what they use in that time.
 * The time is passed in; all threads use one clock.
 */
struct kx_meter {
	uint64_t paid_ns; /**< atomic */
	uint64_t debt_ns; /**< atomic: debt ever made */
	uint64_t rate_per_s;
	uint64_t burst_ns;
} KX_ALIGNED(KX_CACHE_LINE);
/** One thread's access to a meter. */
struct kx_meter_tap {
	struct kx_meter *meter;
	uint64_t used;				  /**< not settled */
	uint64_t rest;				  /**< of the last division, in tokens x 10^9 */
	uint64_t chunk;				  /**< what the account had when it was settled */
	uint64_t paid_ns;			  /**< the account then */
	uint64_t settle_ns;			  /**< not before this again, unless the chunk is used up */
	uint64_t total;				  /**< used ever; any thread may read it */
	uint64_t rate_per_s, rate_ns, rate_total; /**< measured over a second or more */
};
/** rate_per_s > 0; burst_ns: savings, as time at that rate. A new meter has them. */
void kx_meter_init(struct kx_meter *m, uint64_t rate_per_s, uint64_t burst_ns, uint64_t now_ns);
void kx_meter_tap_init(struct kx_meter_tap *t, struct kx_meter *m, uint64_t now_ns);
/** Bring the account up to date. Called by the two below. */
void kx_meter_settle(struct kx_meter_tap *t, uint64_t now_ns);
/* What was used in debt is more than the chunk (0): it counts as soon as the debt seems to be paid. */
static KX_ALWAYS_INLINE bool kx_meter_settle_due(const struct kx_meter_tap *t, uint64_t now_ns)
{
	return now_ns >= t->settle_ns || (t->used > t->chunk && t->paid_ns <= now_ns);
}
/** Use `n` tokens; always succeeds. */
static KX_ALWAYS_INLINE void kx_meter_use(struct kx_meter_tap *t, uint64_t n, uint64_t now_ns)
{
	t->used += n;
	kx_count(&t->total, n);
	if (kx_unlikely(kx_meter_settle_due(t, now_ns)))
		kx_meter_settle(t, now_ns);
}
/** @return true when there is no debt. */
static KX_ALWAYS_INLINE bool kx_meter_open(struct kx_meter_tap *t, uint64_t now_ns)
{
	if (kx_meter_settle_due(t, now_ns))
		kx_meter_settle(t, now_ns);
	return t->paid_ns <= now_ns;
}
/** Time the meter has been in debt. Any thread. */
uint64_t kx_meter_throttled_ns(const struct kx_meter *m, uint64_t now_ns);
/** Tokens a second through this tap, over the last second or so in which it was used. Any thread. */
uint64_t kx_meter_rate(const struct kx_meter_tap *t, uint64_t now_ns);

/* ---- CRC32C --------------------------------------------------------------------------- */

/**
 * CRC32C (Castagnoli, reflected polynomial 0x82F63B78, initial value and final xor 0xFFFFFFFF; RFC 3720 B.4).
 * `kx_crc32c(0, p, n)` is the CRC of n bytes; pass an earlier result as `crc` to continue it over more bytes.
 * Uses ISA-L for longer inputs and the CPU's instruction for short ones. Any thread.
 */
uint32_t kx_crc32c(uint32_t crc, const void *data, size_t bytes);

/* ---- hashing -------------------------------------------------------------------------- */

/** 64-bit finalizer (the public-domain murmur3 fmix64): every input bit reaches every output bit. */
static KX_ALWAYS_INLINE uint64_t kx_mix64(uint64_t x)
{
	x ^= x >> 33;
	x *= UINT64_C(0xff51afd7ed558ccd);
	x ^= x >> 33;
	x *= UINT64_C(0xc4ceb9fe1a85ec53);
	return x ^ (x >> 33);
}

/** FNV-1a 64 over the bytes, then kx_mix64(): the stream key of a byte key (doc/protocol.md, "Keys").
 * Never 0. */
uint64_t kx_hash_bytes(const void *data, size_t bytes);

/* ---- map: u64 -> u32, fixed capacity -------------------------------------------------- */

/**
 * Open-addressing hash map with linear probing over caller-sized memory; no allocation after kx_map_init().
 * Key 0 is reserved. Probe length is bounded by the fill limit (7/8 of the slots).
 */
struct kx_map {
	uint64_t *keys;
	uint32_t *values;
	uint32_t mask;
	uint32_t count;
	uint32_t limit;
};
/** Allocate for at least `entries` entries, 1 to 7/8 of 2^31. @return 0, -EINVAL, -ENOMEM */
int kx_map_init(struct kx_map *map, uint32_t entries);
/** Free the memory; harmless on a map of zeros. */
void kx_map_fini(struct kx_map *map);
/** @return true and *value when the key is there. */
bool kx_map_get(const struct kx_map *map, uint64_t key, uint32_t *value);
/** Insert or replace. @return 0, -ENOSPC at the limit, -EINVAL for key 0 */
int kx_map_put(struct kx_map *map, uint64_t key, uint32_t value);
/** Remove (backward shift, so that probes stay short). @return true when it was there. */
bool kx_map_del(struct kx_map *map, uint64_t key);

/* ---- random --------------------------------------------------------------------------- */

/** A seeded xoshiro256** generator: the same seed gives the same numbers everywhere. Not for secrets. */
struct kx_prng {
	uint64_t s[4];
};
/** Any seed will do, 0 too: the state is spread by splitmix64. */
void kx_prng_seed(struct kx_prng *prng, uint64_t seed);
/** The next 64 random bits. */
uint64_t kx_prng_next(struct kx_prng *prng);
/** Uniform in [0, bound), without modulo bias. bound > 0. */
uint64_t kx_prng_below(struct kx_prng *prng, uint64_t bound);
/** Uniform double in [0, 1). */
double kx_prng_unit(struct kx_prng *prng);
/** Exponential with the given mean (Poisson gaps). */
double kx_prng_exp(struct kx_prng *prng, double mean);
/** Fill with bytes of the kernel's generator (getrandom): ids, secrets. @return 0 or -errno. Any thread. */
int kx_random_bytes(void *out, size_t bytes);
/**
 * Open /dev/null on those of the descriptors 0, 1 and 2 that the process was started without, so that no
 * socket or file opened later is read as standard input or written to as standard output. First thing in
 * main().
 * @return 0 or -errno of open(). Thread: the only one.
 */
int kx_stdio_open(void);

/* ---- log-linear latency histogram ----------------------------------------------------- */

/** Values below 2^11 are kept exactly, larger ones in 1024 buckets an octave: within 0.1 %. */
#define KX_HIST_SUB_BITS 11
#define KX_HIST_OCTAVES	 32
#define KX_HIST_BUCKETS	 ((KX_HIST_OCTAVES + 1) << (KX_HIST_SUB_BITS - 1))
/** Largest value in range, 73 minutes in ns; a larger one goes to the last bucket and counts as clamped. */
#define KX_HIST_MAX_NS	 ((UINT64_C(1) << (KX_HIST_SUB_BITS + KX_HIST_OCTAVES - 1)) - 1)

/**
 * Log-linear histogram of ns values (HDR layout: 1024 buckets an octave above 2048). One writer; a reader on
 * another thread sees each bucket whole, the sum of all only approximately until the writer rests. About 270
 * KB; allocate with kx_hist_new(). `lost` samples count as +infinity in every percentile (doc: measuring,
 * point 3).
 */
struct kx_hist {
	uint64_t count;	  /**< finite samples */
	uint64_t lost;	  /**< samples that never arrived: +infinity */
	uint64_t clamped; /**< samples above the range, counted in the last bucket */
	uint64_t max;	  /**< exact */
	uint64_t min;	  /**< exact; UINT64_MAX when empty */
	double sum;
	uint64_t bucket[KX_HIST_BUCKETS];
};

/** An empty histogram, or NULL without memory. */
struct kx_hist *kx_hist_new(void);
/** Free it; NULL is allowed. */
void kx_hist_free(struct kx_hist *h);
/** Forget all samples. */
void kx_hist_reset(struct kx_hist *h);

/** Index of the bucket of a value; exact below 2048, within 0.1 % above. */
static KX_ALWAYS_INLINE uint32_t kx_hist_index(uint64_t v)
{
	if (v < (UINT64_C(1) << KX_HIST_SUB_BITS))
		return (uint32_t)v;
	uint32_t shift = 63 - (uint32_t)__builtin_clzll(v) - (KX_HIST_SUB_BITS - 1);
	uint32_t index = (shift << (KX_HIST_SUB_BITS - 1)) + (uint32_t)(v >> shift);
	return index < KX_HIST_BUCKETS ? index : KX_HIST_BUCKETS - 1;
}

/** Record `n` > 0 samples of value v (ns). A few ns. */
static KX_ALWAYS_INLINE void kx_hist_add_n(struct kx_hist *h, uint64_t v, uint64_t n)
{
	kx_count(&h->bucket[kx_hist_index(v)], n);
	kx_count(&h->count, n);
	h->sum += (double)v * (double)n;
	if (kx_unlikely(v > KX_HIST_MAX_NS))
		kx_count(&h->clamped, n);
	if (kx_unlikely(v > h->max))
		h->max = v;
	if (kx_unlikely(v < h->min))
		h->min = v;
}

/** Record one sample of value v (ns). */
static KX_ALWAYS_INLINE void kx_hist_add(struct kx_hist *h, uint64_t v)
{
	kx_hist_add_n(h, v, 1);
}

/** Record `n` samples that never arrived: +infinity. */
static KX_ALWAYS_INLINE void kx_hist_add_lost(struct kx_hist *h, uint64_t n)
{
	kx_count(&h->lost, n);
}

/** Highest value that falls into bucket `index` (< KX_HIST_BUCKETS). */
static KX_ALWAYS_INLINE uint64_t kx_hist_bucket_max(uint32_t index)
{
	if (index < (1u << KX_HIST_SUB_BITS))
		return index;
	uint32_t shift = (index >> (KX_HIST_SUB_BITS - 1)) - 1;
	uint64_t step = index - (shift << (KX_HIST_SUB_BITS - 1));
	return ((step + 1) << shift) - 1;
}

/** Add all samples of `from` to `into`. */
void kx_hist_merge(struct kx_hist *into, const struct kx_hist *from);
/** Mean of the finite samples; 0 when empty. */
double kx_hist_mean(const struct kx_hist *h);
/**
 * Value at quantile q in (0,1): the highest value of the bucket that holds rank ceil(q * (count + lost)), and
 * never more than `max` (which is also the answer where that rank was clamped).
 * @return 0; -EINVAL for q outside (0,1); -ENODATA with fewer than 100/(1-q) samples; -ERANGE when the rank
 * falls among the lost samples (+infinity).
 */
int kx_hist_quantile(const struct kx_hist *h, double q, uint64_t *value_ns);

/* ---- errors --------------------------------------------------------------------------- */

/** Bounded text builder for error messages: never overflows, always terminated, remembers truncation. */
struct kx_text {
	char *buf;
	size_t size;
	size_t len;
	bool truncated;
};
/** Start with an empty text in `buf` of `size` bytes; size 0 is allowed, nothing is then written. */
void kx_text_init(struct kx_text *t, char *buf, size_t size);
/** Append; what does not fit is cut and sets `truncated`. */
void kx_text_add(struct kx_text *t, const char *fmt, ...) KX_PRINTF(2, 3);
/**
 * Text of a negative errno value, such as "No space left on device (ENOSPC)". Any thread; the text stays
 * valid until the fourth next call on the same thread.
 */
const char *kx_strerror(int err);

/* ---- key files ------------------------------------------------------------------------ */

/** What a broker's ini allows in the name of a principal, whose key it is. */
#define KX_PRINCIPAL_NAME_CHARS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"

#define KX_KEY_BYTES_MIN 32
#define KX_KEY_BYTES_MAX 64

/** A principal's secret key. Wipe it when it is not needed any more. */
struct kx_key {
	uint8_t bytes[KX_KEY_BYTES_MAX];
	uint32_t len; /**< KX_KEY_BYTES_MIN..KX_KEY_BYTES_MAX; 0: no key */
};
/**
 * Read a key file: a regular file, no symbolic link, that belongs to root or to this process's effective
 * user, mode 0600 or 0400 (nothing for group and others, nobody may execute it), and holds one line
 * of 64..128 hexadecimal digits.
 * @param[out] out the key; wiped on error
 * @param why gets one sentence that says what is wrong and what to do; the key's content is never in it
 * @return 0; -ELOOP (a symbolic link); -EISDIR, -EINVAL (no regular file, or wrong content); -EPERM (owner);
 * -EACCES (mode, or not readable); another -errno of open, fstat, read. Any thread.
 */
int kx_key_load(const char *path, struct kx_key *out, struct kx_text *why);
/**
 * Make a key file with a new random key of 32 bytes, mode 0600. An existing file is never touched.
 * @return 0; -EEXIST or another -errno with a sentence in `why`. Any thread.
 */
int kx_key_create(const char *path, struct kx_text *why);
/** Overwrite a key. */
void kx_key_wipe(struct kx_key *key);
/**
 * A copy of a key to keep: in pages of its own, which are locked (never swapped out) and left out of core
 * dumps.
 * @return 0; -EINVAL (length); -ENOMEM, -EPERM, -EAGAIN (it cannot be locked: ulimit -l). Any thread.
 */
int kx_key_keep(const void *bytes, uint32_t len, struct kx_key **out);
/** Overwrite it and give its pages back; NULL is allowed. */
void kx_key_drop(struct kx_key *key);

#ifdef __cplusplus
}
#endif
#endif
