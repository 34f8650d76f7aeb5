/* SPDX-License-Identifier: BSD-3-Clause */
/* micro_auth: what identity and access cost. Prints `name ns`: the median of rounds, each the mean of many
 * calls. micro_auth --count NAME N: run that row N times, for a program that counts instructions.
 *
 *   access_decision  may this session produce to the topic of this partition? 1024 topics in turn
 *   cookie           make one (HELLO)
 *   prove            AUTH's MAC against a principal's two keys, of 256 principals
 *   handshake        all that AUTH costs the broker: cookie check, proof, ticket, ACCEPT's MAC
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kx_auth.h"

#define ROUNDS	   101
#define TOPICS	   1024
#define PRINCIPALS 256

static struct kx_auth_secrets secrets;
static struct kx_auth_ctx *ctx;
static struct kx_auth_principals *principals;
static struct kx_auth auth;
static struct kx_accept accept_body;
static struct kx_addr remote;
static struct kx_key key;
static volatile uint64_t sink;

static int make_principals(void)
{
	static struct kx_auth_principal_conf list[PRINCIPALS];
	static char names[PRINCIPALS][16];
	static uint64_t bits[TOPICS / 64];
	char said[256];
	struct kx_text why;

	kx_text_init(&why, said, sizeof(said));
	for (uint32_t w = 0; w < KX_DIM(bits); w++)
		bits[w] = UINT64_C(0x5a5a5a5a5a5a5a5a);
	key.len = 32;
	for (uint32_t i = 0; i < PRINCIPALS; i++) {
		snprintf(names[i], sizeof(names[i]), "client-%u", i);
		memcpy(key.bytes, &i, sizeof(i)); /* a key of its own each; the last one's is kept */
		list[i] = (struct kx_auth_principal_conf){.name = names[i], .produce = bits, .consume = bits};
		if (i != 0)
			list[i].key[0] = key;
	}
	if (kx_auth_principals_create(list, PRINCIPALS, TOPICS, true, &principals, &why) == 0)
		return 0;
	fprintf(stderr, "%s\n", said);
	return -1;
}

static void make_auth(void)
{
	auth = (struct kx_auth){.method = KX_AUTH_HMAC_SHA256, .datagram_bytes = 1372, .principal_bytes = 10};
	memcpy(auth.principal, "client-255", 10);
	kx_auth_cookie_make(ctx, auth.client_nonce, auth.broker_nonce, &remote, KX_NS_PER_S, auth.cookie);
	kx_auth_sign(&key, &auth);
}

static void access_decision(uint32_t calls)
{
	const uint64_t *bits = kx_auth_principal(principals, 255)->produce;
	uint64_t yes = 0;

	for (uint32_t i = 0; i < calls; i++) {
		uint32_t topic = i * 577 % TOPICS;

		__asm__ volatile("" : "+r"(topic), "+r"(bits));
		yes += kx_auth_allowed(bits, topic);
	}
	sink += yes;
}

static void cookie(uint32_t calls)
{
	uint8_t out[KX_COOKIE_BYTES];

	for (uint32_t i = 0; i < calls; i++) {
		kx_auth_cookie_make(ctx, auth.client_nonce, auth.broker_nonce, &remote, KX_NS_PER_S, out);
		sink += out[8];
	}
}

static void prove(uint32_t calls)
{
	struct kx_auth_proof proof;

	for (uint32_t i = 0; i < calls; i++)
		sink += (uint64_t)kx_auth_prove(principals, &auth, &proof);
}

static void handshake(uint32_t calls)
{
	const struct kx_auth_ticket ticket = {.producer_id = 1, .expires_ns = UINT64_MAX};
	struct kx_auth_proof proof;

	for (uint32_t i = 0; i < calls; i++) {
		if (kx_auth_cookie_check(ctx, auth.client_nonce, auth.broker_nonce, &remote, KX_NS_PER_S,
			    KX_NS_PER_S, auth.cookie) != 0 ||
			kx_auth_prove(principals, &auth, &proof) != 0)
			abort();
		kx_auth_ticket_seal(ctx, &ticket, accept_body.ticket);
		kx_auth_accept_mac(proof.secret, &accept_body, accept_body.mac);
		sink += accept_body.mac[0];
	}
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static void measure(const char *name, void (*run)(uint32_t), uint32_t calls)
{
	double ns[ROUNDS];

	run(calls);
	for (int i = 0; i < ROUNDS; i++) {
		uint64_t start = kx_clock_mono_ns();

		run(calls);
		ns[i] = (double)(kx_clock_mono_ns() - start) / calls;
	}
	qsort(ns, ROUNDS, sizeof(ns[0]), compare);
	printf("%s %.2f\n", name, ns[ROUNDS / 2]);
}

static const struct {
	const char *name;
	void (*run)(uint32_t calls);
	uint32_t calls;
} rows[] = {
	{"access_decision", access_decision, 100000},
	{"cookie", cookie, 1000},
	{"prove", prove, 300},
	{"handshake", handshake, 300},
};

int main(int argc, char **argv)
{
	bool count = argc == 4 && strcmp(argv[1], "--count") == 0;

	if (kx_auth_secrets_init(&secrets) != 0 || kx_auth_create(&secrets, 1, &ctx) != 0 ||
		kx_addr_parse("10.0.0.1:5000", 0, &remote) != 0 || make_principals() != 0)
		return 1;
	make_auth();
	for (size_t i = 0; i < KX_DIM(rows); i++) {
		if (count && strcmp(argv[2], rows[i].name) == 0)
			rows[i].run((uint32_t)strtoul(argv[3], NULL, 10));
		else if (!count)
			measure(rows[i].name, rows[i].run, rows[i].calls);
	}
	kx_auth_principals_destroy(principals);
	kx_auth_destroy(ctx);
	return 0;
}
