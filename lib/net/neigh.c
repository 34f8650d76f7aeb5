/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Neighbours: a set-associative table, so that every look-up and every insertion is bounded and nothing a
 * stranger sends can push out a neighbour that a path of ours goes through.
 */
#include "net_pvt.h"

#define REACHABLE_NS   (30 * KX_NS_PER_S)
#define STALE_NS       (600 * KX_NS_PER_S)
#define ASKED_NS       (3 * KX_NS_PER_S)
#define ASK_FIRST_NS   (KX_NS_PER_S / 10)
#define ASK_NS	       KX_NS_PER_S
#define ASK_QUICK      3 /* requests at the short interval */
#define PROBES_UNICAST 3 /* unanswered ones before a stale MAC is forgotten */

static struct kx_neigh *bucket_of(struct kx_net *net, const uint8_t ip[16])
{
	uint64_t h = kx_mix64(kx_load64(ip) * UINT64_C(0x9e3779b97f4a7c15) ^ kx_load64(ip + 8));

	return &net->neigh[(h % KX_NEIGH_BUCKETS) * KX_NEIGH_WAYS];
}

struct kx_neigh *kx_neigh_find(struct kx_net *net, const uint8_t ip[16])
{
	struct kx_neigh *n = bucket_of(net, ip);

	for (unsigned int i = 0; i < KX_NEIGH_WAYS; i++)
		if (n[i].state != KX_NEIGH_FREE && n[i].ip64[0] == kx_load64(ip) &&
			n[i].ip64[1] == kx_load64(ip + 8))
			return &n[i];
	return NULL;
}

/** A free way of the bucket, else the one not wanted for longest. */
static struct kx_neigh *make_room(struct kx_net *net, const uint8_t ip[16])
{
	struct kx_neigh *n = bucket_of(net, ip), *oldest = NULL;

	for (unsigned int i = 0; i < KX_NEIGH_WAYS; i++) {
		if (n[i].state == KX_NEIGH_FREE)
			return &n[i];
		if (!n[i].wanted && (oldest == NULL || n[i].confirmed_ns < oldest->confirmed_ns))
			oldest = &n[i];
	}
	return oldest;
}

static struct kx_neigh *add(struct kx_net *net, const uint8_t ip[16])
{
	struct kx_neigh *n = make_room(net, ip);

	if (n == NULL)
		return NULL;
	memset(n, 0, sizeof(*n));
	memcpy(n->ip, ip, sizeof(n->ip));
	n->state = KX_NEIGH_ASKED;
	return n;
}

static void confirm(struct kx_neigh *n, const struct rte_ether_addr *mac, uint64_t now_ns)
{
	n->mac = *mac;
	n->state = KX_NEIGH_REACHABLE;
	n->confirmed_ns = now_ns;
	n->asked = 0;
}

bool kx_neigh_update(
	struct kx_net *net, const uint8_t ip[16], const struct rte_ether_addr *mac, uint64_t now_ns)
{
	struct kx_neigh *n = kx_neigh_find(net, ip);

	if (n == NULL)
		return false;
	confirm(n, mac, now_ns);
	return true;
}

void kx_neigh_learn(
	struct kx_net *net, const uint8_t ip[16], const struct rte_ether_addr *mac, uint64_t now_ns)
{
	uint8_t hop[16], own[16];
	struct kx_neigh *n;

	if (kx_neigh_update(net, ip, mac, now_ns))
		return;
	if (kx_net_route(net->nif, ip, hop, own) != 0 || memcmp(hop, ip, 16) != 0)
		return; /* not a neighbour at all */
	n = add(net, ip);
	if (n != NULL)
		confirm(n, mac, now_ns);
}

int kx_net_neighbour_put(
	struct kx_net *net, const uint8_t ip[16], const struct rte_ether_addr *mac, uint64_t now_ns)
{
	struct kx_neigh *n = kx_neigh_find(net, ip);

	if (n == NULL)
		n = add(net, ip);
	if (n == NULL)
		return -ENOBUFS;
	n->wanted = 1;
	n->used_ns = now_ns;
	confirm(n, mac, now_ns);
	return 0;
}

/** Ask for a neighbour that is not known or not confirmed lately, unless it was just asked. */
static void ask(struct kx_net *net, struct kx_neigh *n, const uint8_t own[16], uint64_t now_ns)
{
	uint64_t gap = n->asked < ASK_QUICK ? ASK_FIRST_NS : ASK_NS;
	const struct rte_ether_addr *to = NULL;

	if (n->asked > 0 && now_ns - n->asked_ns < gap)
		return;
	if (n->state == KX_NEIGH_STALE) {
		if (n->asked >= PROBES_UNICAST)
			n->state = KX_NEIGH_ASKED;
		else
			to = &n->mac;
	}
	n->asked_ns = now_ns;
	n->asked += n->asked < UINT8_MAX;
	if (kx_ip_is_v4(n->ip))
		kx_net_arp_ask(net, own, n->ip, to);
	else
		kx_net_nd_ask(net, own, n->ip, to);
}

int kx_neigh_resolve(struct kx_net *net, const uint8_t hop[16], const uint8_t own[16], uint64_t now_ns,
	struct rte_ether_addr *mac)
{
	struct kx_neigh *n = kx_neigh_find(net, hop);

	if (n == NULL)
		n = add(net, hop);
	if (n == NULL)
		return -ENOBUFS;
	n->wanted = 1;
	n->used_ns = now_ns;
	if (n->state == KX_NEIGH_REACHABLE && now_ns - n->confirmed_ns > REACHABLE_NS)
		n->state = KX_NEIGH_STALE;
	if (n->state != KX_NEIGH_REACHABLE)
		ask(net, n, own, now_ns);
	if (n->state == KX_NEIGH_ASKED)
		return -EAGAIN;
	*mac = n->mac;
	return 0;
}

void kx_net_tick(struct kx_net *net, uint64_t now_ns)
{
	for (unsigned int i = 0; i < KX_NET_NEIGHBOURS; i++) {
		struct kx_neigh *n = &net->neigh[i];

		if (n->state == KX_NEIGH_REACHABLE && now_ns - n->confirmed_ns > REACHABLE_NS)
			n->state = KX_NEIGH_STALE;
		if (n->state == KX_NEIGH_STALE && now_ns - n->confirmed_ns > STALE_NS &&
			now_ns - n->used_ns > STALE_NS)
			n->state = KX_NEIGH_FREE;
		if (n->state == KX_NEIGH_ASKED && now_ns - n->used_ns > ASKED_NS)
			n->state = KX_NEIGH_FREE;
	}
}
