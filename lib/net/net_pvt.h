/* SPDX-License-Identifier: BSD-3-Clause */
/** @file Private to lib/net. */
#ifndef KX_NET_PVT_H
#define KX_NET_PVT_H

#include <errno.h>
#include <string.h>

#include <rte_arp.h>
#include <rte_icmp.h>

#include "kx_net.h"

#define KX_NEIGH_WAYS	 8
#define KX_NEIGH_BUCKETS (KX_NET_NEIGHBOURS / KX_NEIGH_WAYS)

#define KX_IP4_PROTO_ICMP   1
#define KX_IP_PROTO_UDP	    17
#define KX_IP_PROTO_ICMP6   58
#define KX_ICMP6_ECHO	    128
#define KX_ICMP6_ECHO_REPLY 129
#define KX_ICMP6_NS	    135
#define KX_ICMP6_NA	    136
#define KX_HOPS		    64

enum kx_neigh_state {
	KX_NEIGH_FREE = 0,
	KX_NEIGH_ASKED,	    /**< no MAC yet */
	KX_NEIGH_REACHABLE, /**< confirmed less than KX_NEIGH_REACHABLE_NS ago */
	KX_NEIGH_STALE	    /**< usable, asked again when used */
};

struct kx_neigh {
	union {
		uint8_t ip[16];
		uint64_t ip64[2];
	};
	uint64_t confirmed_ns;
	uint64_t asked_ns; /**< last request */
	uint64_t used_ns;  /**< last path_to() */
	struct rte_ether_addr mac;
	uint8_t state;	/**< enum kx_neigh_state */
	uint8_t asked;	/**< requests without an answer */
	uint8_t wanted; /**< a path goes through it: never evicted by what others send */
};

struct kx_net {
	const struct kx_net_if *nif;
	struct rte_mempool *pool;
	struct kx_ledger *ledger;
	uint32_t waiting_count;
	uint32_t waiting_first; /**< ring index */
	struct rte_mbuf *waiting[KX_NET_REPLIES_MAX];
	struct kx_neigh neigh[KX_NET_NEIGHBOURS];
};

/** What became of a frame, beside enum kx_drop (KX_DROP_NONE: it is a datagram for the caller). */
enum {
	KX_NET_ANSWERED = -2, /**< handled, the mbuf went into the waiting list */
	KX_NET_DONE = -3      /**< handled, the mbuf is to be freed */
};

/** One frame on its way through the layers. `len` bytes from `eth`; `l2` of them are Ethernet and VLAN. */
struct kx_net_pkt {
	struct rte_mbuf *m;
	uint8_t *eth;
	uint32_t len;
	uint32_t l2;
	uint64_t now_ns;
};

static KX_ALWAYS_INLINE uint16_t kx_load16(const void *p)
{
	uint16_t v;

	__builtin_memcpy(&v, p, sizeof(v));
	return v;
}

static KX_ALWAYS_INLINE uint32_t kx_load32(const void *p)
{
	uint32_t v;

	__builtin_memcpy(&v, p, sizeof(v));
	return v;
}

static KX_ALWAYS_INLINE uint64_t kx_load64(const void *p)
{
	uint64_t v;

	__builtin_memcpy(&v, p, sizeof(v));
	return v;
}

static KX_ALWAYS_INLINE uint16_t kx_load_be16(const void *p)
{
	return rte_be_to_cpu_16(kx_load16(p));
}

/** Fold a sum of 16-bit words (one's complement, RFC 1071). */
static KX_ALWAYS_INLINE uint16_t kx_sum_fold(uint64_t sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + ((sum >> 16) & 0xffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)((sum & 0xffff) + (sum >> 16));
}

/** One's complement sum of a 20-byte IPv4 header: 0xffff when its checksum is right. */
static KX_ALWAYS_INLINE uint16_t kx_ip4_sum(const uint8_t *ip)
{
	return kx_sum_fold((uint64_t)kx_load32(ip) + kx_load32(ip + 4) + kx_load32(ip + 8) +
		kx_load32(ip + 12) + kx_load32(ip + 16));
}

/** ::ffff:a.b.c.d of an address in network order. */
static KX_ALWAYS_INLINE void kx_ip4_map(uint8_t out[16], uint32_t ip4)
{
	uint64_t high = 0, low = UINT64_C(0xffff0000) | ((uint64_t)ip4 << 32);

	__builtin_memcpy(out, &high, 8);
	__builtin_memcpy(out + 8, &low, 8);
}

static inline bool kx_ip_is_v4(const uint8_t ip[16])
{
	return kx_load64(ip) == 0 && kx_load32(ip + 8) == UINT32_C(0xffff0000);
}

/** May a packet from this IPv4 address (network order) be answered? Own addresses apart. */
static KX_ALWAYS_INLINE bool kx_ip4_answerable(uint32_t ip4)
{
	uint8_t first = (uint8_t)ip4;

	return first != 0 && first != 127 && first < 224;
}

static KX_ALWAYS_INLINE bool kx_net_owns4(const struct kx_net_if *nif, uint32_t ip4)
{
	bool own = false;

	for (unsigned int i = 0; i < nif->addr4_count; i++)
		own |= nif->addr4[i] == ip4;
	return own;
}

bool kx_net_owns6(const struct kx_net_if *nif, const uint8_t ip[16]);
/** Is `ip` the solicited-node multicast address of one of ours? */
bool kx_net_solicited(const struct kx_net_if *nif, const uint8_t ip[16]);
/** Next hop of an address and the own address to use. @return 0, -ENETUNREACH */
int kx_net_route(const struct kx_net_if *nif, const uint8_t ip[16], uint8_t hop[16], uint8_t own[16]);

/** Put a finished frame into the waiting list. @return false when it is full (the mbuf stays the caller's) */
bool kx_net_wait(struct kx_net *net, struct rte_mbuf *m);
/** Write Ethernet (and VLAN) of a frame we send. @return first byte behind */
uint8_t *kx_net_put_eth(
	const struct kx_net_if *nif, uint8_t *at, const struct rte_ether_addr *dst, uint16_t type);
/**
 * Make the frame writable and cut it to `len` bytes, for an answer in its place.
 * @return its first byte, or NULL (NET_NO_BUFFER)
 */
uint8_t *kx_net_answer(struct kx_net *net, struct kx_net_pkt *pkt, uint32_t len);

/** One's complement checksum field of an ICMPv6 or UDP packet over IPv6: pseudo header and `bytes` at `l4`.
 */
uint16_t kx_net_sum6(const uint8_t *ip6, const uint8_t *l4, uint32_t bytes, uint8_t proto);

/* Layers: each returns an enum kx_drop, KX_NET_ANSWERED or KX_NET_DONE. */
int kx_net_arp(struct kx_net *net, struct kx_net_pkt *pkt);
int kx_net_icmp4(struct kx_net *net, struct kx_net_pkt *pkt, uint32_t l4_bytes);
int kx_net_icmp6(struct kx_net *net, struct kx_net_pkt *pkt, uint32_t l4_bytes);
int kx_net_nd_ns(struct kx_net *net, struct kx_net_pkt *pkt, uint32_t l4_bytes);
int kx_net_nd_na(struct kx_net *net, struct kx_net_pkt *pkt, uint32_t l4_bytes);
/** Everything the fast path of kx_net_rx() does not take. KX_DROP_NONE: *f is filled. */
int kx_net_rx_slow(struct kx_net *net, struct rte_mbuf *m, uint64_t now_ns, struct kx_frame *f);

/** Requests; best effort (no buffer: the next path_to() asks again). `mac` NULL: to everyone. */
void kx_net_arp_ask(
	struct kx_net *net, const uint8_t own[16], const uint8_t hop[16], const struct rte_ether_addr *mac);
void kx_net_nd_ask(
	struct kx_net *net, const uint8_t own[16], const uint8_t hop[16], const struct rte_ether_addr *mac);

/* Neighbours. */
struct kx_neigh *kx_neigh_find(struct kx_net *net, const uint8_t ip[16]);
/** Enter what a peer told us. Updates a known neighbour; adds an unknown one unless only wanted ones are
 * there. */
void kx_neigh_learn(
	struct kx_net *net, const uint8_t ip[16], const struct rte_ether_addr *mac, uint64_t now_ns);
/** Update a known neighbour only. @return true when it was known */
bool kx_neigh_update(
	struct kx_net *net, const uint8_t ip[16], const struct rte_ether_addr *mac, uint64_t now_ns);

/** MAC of a next hop, asking where needed. @return 0, -EAGAIN, -ENOBUFS */
int kx_neigh_resolve(struct kx_net *net, const uint8_t hop[16], const uint8_t own[16], uint64_t now_ns,
	struct rte_ether_addr *mac);

/** Fill the common fields and the datagram frame of a received UDP packet. */
static KX_ALWAYS_INLINE void kx_net_fill(struct kx_frame *f, struct rte_mbuf *m, uint8_t *data,
	uint32_t bytes, uint16_t sport, uint16_t dport, uint64_t now_ns)
{
	bool owned = RTE_MBUF_DIRECT(m) && rte_mbuf_refcnt_read(m) == 1 && m->nb_segs == 1 &&
		data - (uint8_t *)m->buf_addr >= KX_NET_HEADROOM;

	f->data = data;
	f->bytes = bytes;
	f->flags = owned ? KX_FRAME_OWNED : 0;
	f->remote.port = sport;
	memset(f->remote.zero, 0, sizeof(f->remote.zero));
	f->buf = m;
	f->rx_ns = now_ns;
	f->local_port = dport;
	f->port_id = m->port;
	f->zero = 0;
}

#endif
