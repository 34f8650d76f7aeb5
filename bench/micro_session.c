/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the session windows and the set-up cryptography cost: ns per operation, median of 9 runs in one
 * process (a quick look for people who change these functions, not a result to publish).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kx_auth.h"

#define RUNS 9

struct bench {
	struct kx_rxwin rx;
	struct kx_txwin tx;
	struct kx_auth_secrets secrets;
	struct kx_auth_ctx *auth;
	struct kx_addr remote;
	uint64_t sink;
};

static void rx_in_order(struct bench *b, unsigned int n)
{
	kx_rxwin_init(&b->rx);
	for (uint64_t p = 1; p <= n; p++) {
		b->sink += (uint64_t)kx_rxwin_check_frame(&b->rx, p, 100);
		kx_rxwin_mark_frame(&b->rx, p, 100, p);
		__asm__ volatile("" ::: "memory");
	}
}

/* 1 % of the packets are missing until the floor, 1024 behind, closes their holes. */
static void rx_lossy(struct bench *b, unsigned int n)
{
	kx_rxwin_init(&b->rx);
	for (uint64_t p = 1; p <= n; p++) {
		if (p % 100 == 50)
			continue;
		uint32_t delta = (uint32_t)KX_MIN(p - 1, UINT64_C(1024));

		b->sink += (uint64_t)kx_rxwin_check_frame(&b->rx, p, delta);
		kx_rxwin_mark_frame(&b->rx, p, delta, p);
		__asm__ volatile("" ::: "memory");
	}
}

/* Acknowledged in groups of 32, 512 behind. */
static void tx_send_ack(struct bench *b, unsigned int n)
{
	struct kx_receipt r = {.next_pkt = 1};
	uint64_t rtt;

	if (kx_txwin_init(&b->tx) != 0)
		return;
	for (uint64_t p = 1; p <= n; p++) {
		kx_txwin_send(&b->tx, (uint32_t)p, p);
		if (p % 32 != 0 || p < 512)
			continue;
		r.next_pkt = p - 480;
		r.largest_pkt = r.next_pkt - 1;
		b->sink += (uint64_t)kx_txwin_ack(&b->tx, &r, NULL, p, NULL, NULL, &rtt);
	}
	kx_txwin_fini(&b->tx);
}

static void cookie(struct bench *b, unsigned int n)
{
	uint8_t nonce[KX_NONCE_BYTES] = {1}, value[KX_COOKIE_BYTES];

	for (uint64_t i = 0; i < n; i++) {
		kx_auth_cookie_make(b->auth, nonce, nonce, &b->remote, i, value);
		b->sink += (uint64_t)kx_auth_cookie_check(b->auth, nonce, nonce, &b->remote, i, value);
	}
}

static void ticket(struct bench *b, unsigned int n)
{
	struct kx_auth_ticket t = {.expires_ns = UINT64_MAX};
	uint8_t value[KX_TICKET_BYTES];

	for (uint64_t i = 0; i < n; i++) {
		kx_auth_ticket_seal(b->auth, &t, value);
		b->sink += (uint64_t)kx_auth_ticket_open(b->auth, value, i, &t);
	}
}

static void random_u64(struct bench *b, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		b->sink += kx_auth_random_u64(b->auth);
}

static int compare(const void *x, const void *y)
{
	double a = *(const double *)x, b = *(const double *)y;

	return (a > b) - (a < b);
}

static void run(struct bench *b, const char *name, void (*fn)(struct bench *, unsigned int), unsigned int n)
{
	double ns[RUNS];

	for (unsigned int i = 0; i < RUNS; i++) {
		uint64_t start = kx_clock_mono_ns();

		fn(b, n);
		ns[i] = (double)(kx_clock_mono_ns() - start) / n;
	}
	qsort(ns, RUNS, sizeof(ns[0]), compare);
	printf("%-34s %9.1f ns  (%.1f .. %.1f)\n", name, ns[RUNS / 2], ns[0], ns[RUNS - 1]);
}

int main(void)
{
	struct bench *b = calloc(1, sizeof(*b));

	if (b == NULL || kx_auth_secrets_init(&b->secrets) != 0 ||
		kx_auth_create(&b->secrets, 1, &b->auth) != 0) {
		fprintf(stderr, "micro_session: cannot start\n");
		free(b);
		return 2;
	}
	run(b, "rxwin check + mark, in order", rx_in_order, 2000000);
	run(b, "rxwin check + mark, 1 % holes", rx_lossy, 2000000);
	run(b, "txwin send + ack, groups of 32", tx_send_ack, 2000000);
	run(b, "cookie make + check", cookie, 100000);
	run(b, "ticket seal + open", ticket, 100000);
	run(b, "random u64", random_u64, 100000);
	kx_auth_destroy(b->auth);
	free(b);
	return 0;
}
