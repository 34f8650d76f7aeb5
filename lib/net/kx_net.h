/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * Net: Ethernet, one VLAN tag, ARP, IPv4, IPv6, neighbour discovery, ICMP echo and UDP on mbufs.
 *
 * `struct kx_net_if` describes a port; it is written once, before the data lcores start, and read by all of
 * them. `struct kx_net` is one thread's state for one port (neighbour table, frames waiting to be sent); it
 * belongs to that thread. Nothing here takes a lock, allocates after kx_net_new(), sends or receives: bursts
 * are handed in, and what net itself wants to send (answers to ARP, neighbour discovery and echo, requests
 * for neighbours) is taken out with kx_net_take().
 *
 * All received bytes are hostile. Each frame ends as a struct kx_frame, as handled here, or under the name of
 * the layer that refused it (KX_DROP_ETH_SHORT .. KX_DROP_NET_NO_BUFFER).
 */
#ifndef KX_NET_H
#define KX_NET_H

#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_mbuf.h>
#include <rte_udp.h>

#include "kx_session.h"

#ifdef __cplusplus
extern "C" {
#endif

#define KX_NET_ADDRS_MAX     8	 /**< own addresses of a port */
#define KX_NET_NEIGHBOURS    256 /**< neighbours a thread remembers for one port */
#define KX_NET_REPLIES_MAX   64	 /**< frames of net's own that wait to be taken */
#define KX_NET_LINK_MAX	     66	 /**< Ethernet + VLAN + IPv6 + UDP: the longest header template */
#define KX_NET_HEADROOM	     72	 /**< bytes in front of a KXP frame that kx_net_prepend() may use */
#define KX_NET_V4_LINK_BYTES 42	 /**< Ethernet + IPv4 + UDP: the header length of an untagged IPv4 path */

/** When frames we send carry a UDP checksum. IPv6 frames always do (RFC 8200, 8.1). */
enum kx_net_udp_checksum {
	/**
	 * By the port when it can. Else in software, except over IPv4 for PRODUCE, DELIVER and their
	 * fragments: these are covered end to end by CRC32C and go without (checksum 0, RFC 768).
	 */
	KX_NET_UDP_AUTO = 0,
	KX_NET_UDP_ALWAYS = 1, /**< by the port when it can, else in software */
	KX_NET_UDP_NEVER = 2   /**< IPv4: 0. IPv6: as ALWAYS */
};

/** One own address. IPv4 as ::ffff:a.b.c.d, with the prefix counted in IPv4 bits (0..32). */
struct kx_net_addr {
	uint8_t ip[16];
	uint8_t prefix_bits; /**< 0..32 for IPv4, 0..128 for IPv6 */
};

/** What kx_net_if_init() takes. Plain data, copied. */
struct kx_net_if_conf {
	uint16_t port_id;
	uint16_t vlan_id;    /**< 0: untagged; else 1..4094, every frame carries it */
	uint16_t mtu;	     /**< largest IP packet in bytes, 1280..9600 (68.. without IPv6 addresses) */
	uint16_t base_port;  /**< first UDP port taken, host order */
	uint16_t port_count; /**< UDP ports base_port .. base_port + port_count - 1 are taken; >= 1 */
	uint16_t addr_count; /**< 1..KX_NET_ADDRS_MAX */
	struct rte_ether_addr mac; /**< of the port */
	bool tx_udp_offload; /**< TX offloads UDP_CKSUM (and IPV4_CKSUM not needed) are enabled on the port */
	enum kx_net_udp_checksum udp_checksum;
	struct kx_net_addr addr[KX_NET_ADDRS_MAX];
	uint8_t gateway4[16]; /**< ::ffff:a.b.c.d, on a prefix of ours; all 0: none */
	uint8_t gateway6[16]; /**< all 0: none */
};

/** A port's addresses, ready to use. Read-only after kx_net_if_init(); shared by all threads. */
struct kx_net_if {
	struct kx_net_if_conf conf;
	uint64_t mac48;	      /**< own MAC in the low 48 bits as loaded from a frame */
	uint32_t first_v4;    /**< first own IPv4 address, network order; 0: none */
	uint16_t addr4_count; /**< addr4[] in use */
	uint16_t addr6_count; /**< addr6[] in use */
	uint16_t l2_bytes;    /**< 14, or 18 with VLAN */
	uint16_t vlan_tci;    /**< network order */
	uint16_t
		first_type; /**< EtherType expected at byte 12, network order: VLAN when vlan_id, else IPv4 */
	uint32_t addr4[KX_NET_ADDRS_MAX]; /**< network order */
	uint32_t mask4[KX_NET_ADDRS_MAX]; /**< network order */
	uint8_t addr6[KX_NET_ADDRS_MAX][16];
	uint8_t prefix6[KX_NET_ADDRS_MAX]; /**< bits */
	uint32_t gateway4;		   /**< network order; 0: none */
	uint8_t gateway6[16];
	bool has_gateway6;
} KX_ALIGNED(KX_CACHE_LINE);

/**
 * Check and prepare. Before any thread uses it.
 * @return 0; -EINVAL for a field outside its range, a multicast or unspecified own address, a gateway on none
 * of the prefixes, or a UDP port range that leaves 1..65535.
 */
int kx_net_if_init(struct kx_net_if *nif, const struct kx_net_if_conf *conf);

/** Is this one of the port's addresses? Any thread. */
bool kx_net_if_owns(const struct kx_net_if *nif, const uint8_t ip[16]);

/** Largest KXP frame in one packet of the port's MTU: mtu - 28 (IPv4) or mtu - 48 (IPv6). */
static inline uint16_t kx_net_datagram_bytes(const struct kx_net_if *nif, bool v4)
{
	return (uint16_t)(nif->conf.mtu - (v4 ? 28 : 48));
}

/** One thread's state for one port. Opaque. */
struct kx_net;

/**
 * @param nif     outlives the object
 * @param pool    for requests to neighbours (answers reuse the frame they answer); data room >= 128 + 128
 * @param ledger  kx_net_rx() counts here: `received`, `handled` and the drop reasons; this thread's
 * @param socket_id  NUMA node of the memory, or SOCKET_ID_ANY
 * @return NULL without memory.
 */
struct kx_net *kx_net_new(
	const struct kx_net_if *nif, struct rte_mempool *pool, struct kx_ledger *ledger, int socket_id);
/** Frees the object and the frames that still wait in it. The thread has stopped using it. NULL is fine. */
void kx_net_free(struct kx_net *net);
/** The port the object belongs to. */
const struct kx_net_if *kx_net_iface(const struct kx_net *net);

/**
 * Classify a burst that was received from the port. Takes all `n` mbufs.
 *
 * UDP datagrams to an own address and a port in [base_port, base_port + port_count) come out in `frames`, in
 * order. Of each: `buf` is the mbuf (unchanged: its data still starts at the Ethernet header, which
 * kx_net_path_of() reads), `data` and `bytes` the UDP payload inside it, `remote` its source, `rx_ns` =
 * now_ns, `local_port` the destination port, KX_FRAME_OWNED when the mbuf is direct, unshared, in one segment
 * and has KX_NET_HEADROOM bytes in front of `data`. The caller frees or forwards the mbuf.
 *
 * Everything else is answered (see kx_net_take()), learned from, or freed and charged to the ledger.
 * Counts in the ledger: `received` += n, `handled` for ARP, ND and echo that did their work, drops. The
 * frames returned are the caller's to count.
 *
 * Not accepted although legal: IPv4 options and fragments, IPv6 extension headers, a second VLAN tag, sources
 * that cannot be answered (multicast, broadcast, unspecified, our own). A frame in several segments is
 * made one when its first buffer has the room.
 *
 * Checksums: the port's verdict when it gives one; else the IPv4 header's and a non-zero UDP checksum are
 * computed here.
 * @param frames  room for n
 * @return frames written, <= n.
 */
unsigned int kx_net_rx(struct kx_net *net, struct rte_mbuf **mbufs, unsigned int n, uint64_t now_ns,
	struct kx_frame *frames);

/** Frames of net's own waiting to be sent. */
unsigned int kx_net_waiting(const struct kx_net *net);
/**
 * Take frames of net's own (answers and requests), finished down to Ethernet, oldest first: the caller sends
 * them on this port and counts `built` and `sent`/TX_FULL. At most KX_NET_REPLIES_MAX wait; when the list is
 * full an answer is dropped as NET_NO_BUFFER. Call it once for each kx_net_rx() or kx_net_path_to() turn.
 * @return how many, <= max.
 */
unsigned int kx_net_take(struct kx_net *net, struct rte_mbuf **mbufs, unsigned int max);

/**
 * The way back to the sender of a frame that kx_net_rx() returned (its mbuf not yet rewritten): same
 * addresses and MAC turned around, no look-up. The VLAN tag is the port's. Fills every field of *path.
 * @return 0.
 */
int kx_net_path_of(struct kx_net *net, const struct kx_frame *frame, struct kx_path *path);

/**
 * The way to an address: picks the own address (longest matching prefix) and the next hop (neighbour or
 * gateway) and looks up its MAC. While that is not known a request waits in kx_net_take(), at most one a
 * second for each neighbour (the first three 100 ms apart).
 * @param local_port  own UDP port, host order
 * @return 0; -EAGAIN while the neighbour is being resolved; -ENETUNREACH when no prefix or gateway covers
 * it, or it is multicast, broadcast or our own; -EINVAL for port 0; -ENOBUFS when the table has no room.
 */
int kx_net_path_to(struct kx_net *net, const struct kx_addr *remote, uint16_t local_port, uint64_t now_ns,
	struct kx_path *path);

/** Enter a neighbour by hand (a test, a peer known from elsewhere). @return 0, -ENOBUFS */
int kx_net_neighbour_put(
	struct kx_net *net, const uint8_t ip[16], const struct rte_ether_addr *mac, uint64_t now_ns);

/**
 * Age the neighbour table: confirmed entries become stale after 30 s (then they are asked again when used),
 * stale ones are forgotten after 10 min, unanswered requests after 3 s. About once a second; walks
 * KX_NET_NEIGHBOURS entries.
 */
void kx_net_tick(struct kx_net *net, uint64_t now_ns);

/* ---- sending
 * ----------------------------------------------------------------------------------------------- */

_Static_assert(
	(KX_PRODUCE & 3) == 0 && KX_DELIVER_FRAG == KX_PRODUCE + 3, "types covered by CRC32C end to end");

/** Rare part of kx_net_prepend(): the UDP checksum, by the port or in software. */
void kx_net_udp_checksum(const struct kx_net_if *nif, const struct kx_path *path, struct rte_mbuf *m);

/** Longer templates than the untagged IPv4 one. */
static inline void kx_net_copy_link(uint8_t *to, const struct kx_path *path)
{
	__builtin_memcpy(to, path->link, KX_MIN(path->link_bytes, KX_NET_LINK_MAX));
}

/**
 * Write the headers in front of a KXP frame: from the path's template, with lengths and checksums of this
 * frame.
 *
 * On entry the mbuf's data starts at the KXP frame and m->pkt_len is its length; for a slice it is the head
 * mbuf with the rest chained (m->next, nb_segs, pkt_len set). Afterwards the data starts at the Ethernet
 * header and the mbuf is ready for rte_eth_tx_burst(). The caller guarantees KX_NET_HEADROOM bytes of
 * headroom and pkt_len <= path->datagram_bytes. Offload flags of an earlier life of the mbuf (a received one)
 * are replaced.
 *
 * Any thread; touches only the mbuf.
 */
static KX_ALWAYS_INLINE void kx_net_prepend(
	const struct kx_net_if *nif, const struct kx_path *path, struct rte_mbuf *m)
{
	const uint8_t *kxp = rte_pktmbuf_mtod(m, const uint8_t *);
	uint32_t bytes = m->pkt_len, link = path->link_bytes;
	uint8_t *head;

	m->data_off = (uint16_t)(m->data_off - link);
	m->data_len = (uint16_t)(m->data_len + link);
	m->pkt_len = bytes + link;
	m->ol_flags &= RTE_MBUF_F_EXTERNAL | RTE_MBUF_F_INDIRECT;
	head = (uint8_t *)m->buf_addr + m->data_off;
	if (kx_likely(link == KX_NET_V4_LINK_BYTES))
		__builtin_memcpy(head, path->link, KX_NET_V4_LINK_BYTES);
	else
		kx_net_copy_link(head, path);

	struct rte_udp_hdr *udp = (struct rte_udp_hdr *)(head + link - sizeof(*udp));
	bool v4 = kx_addr_is_v4(&path->remote);

	udp->dgram_len = rte_cpu_to_be_16((uint16_t)(bytes + sizeof(*udp)));
	if (kx_likely(v4)) {
		/* The template's checksum field holds the folded sum of the header with length and checksum
		 * 0, so that only the length is added here (RFC 1624). */
		struct rte_ipv4_hdr *ip = (struct rte_ipv4_hdr *)udp - 1;
		uint16_t total = rte_cpu_to_be_16((uint16_t)(bytes + sizeof(*udp) + sizeof(*ip)));
		uint32_t sum = (uint32_t)ip->hdr_checksum + total;

		ip->total_length = total;
		ip->hdr_checksum = (uint16_t) ~((sum & 0xffff) + (sum >> 16));
		if (nif->conf.udp_checksum == KX_NET_UDP_NEVER)
			return;
		if (nif->conf.udp_checksum == KX_NET_UDP_AUTO && !nif->conf.tx_udp_offload &&
			(kxp[1] & 0xfc) == KX_PRODUCE)
			return;
	} else {
		struct rte_ipv6_hdr *ip = (struct rte_ipv6_hdr *)udp - 1;

		ip->payload_len = udp->dgram_len;
	}
	kx_net_udp_checksum(nif, path, m);
}

/**
 * Turn a received frame (KX_FRAME_OWNED) into the one that is sent on: the mbuf is cut to the first `bytes`
 * of the KXP frame and gets the headers of `path`, longer or shorter than those it came with.
 * @return the mbuf, ready to be sent.
 */
static KX_ALWAYS_INLINE struct rte_mbuf *kx_net_forward(
	const struct kx_net_if *nif, const struct kx_path *path, const struct kx_frame *frame, uint32_t bytes)
{
	struct rte_mbuf *m = (struct rte_mbuf *)frame->buf;

	m->data_off = (uint16_t)(frame->data - (uint8_t *)m->buf_addr);
	m->data_len = (uint16_t)bytes;
	m->pkt_len = bytes;
	kx_net_prepend(nif, path, m);
	return m;
}

/* ---- slices: log memory sent without a copy
 * ---------------------------------------------------------------- */

/** Largest slice: mbuf lengths are 16 bits. */
#define KX_NET_SLICE_MAX_BYTES 65535u

/**
 * Per-pin state for rte_pktmbuf_attach_extbuf(), in memory the caller owns until kx_pin's release is called.
 * One for each slice in flight.
 */
struct kx_net_slice {
	struct rte_mbuf_ext_shared_info shinfo;
	struct kx_pin *pin;
};

/**
 * Chain `bytes` of log memory behind `head`, whose data is the first part of the KXP frame (frame header),
 * and update head's nb_segs and pkt_len; then kx_net_prepend() it. pin->release() is called on the thread
 * that frees the mbuf.
 * @param ext   an mbuf without data of its own in use (fresh from its pool); taken
 * @param iova  bus address of `data`; computed by the caller from the region's base, never looked up here
 * @return 0; -EMSGSIZE when bytes > KX_NET_SLICE_MAX_BYTES (nothing was taken).
 */
int kx_net_attach_slice(struct rte_mbuf *head, struct rte_mbuf *ext, struct kx_net_slice *slice,
	struct kx_pin *pin, const uint8_t *data, rte_iova_t iova, uint32_t bytes);

#ifdef __cplusplus
}
#endif
#endif
