/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * Transport over one ordinary UDP socket, for clients: implements struct kx_transport_ops with recvmmsg() and
 * sendmmsg(). Portable Linux, no DPDK.
 *
 * Datagrams of one size to one receiver that leave together are given to the kernel as one (UDP_SEGMENT), and
 * taken from it as one (UDP_GRO), where it can: looked for at open, given up for the rest of the object's
 * life when a way out refuses. What is on the wire is the same.
 *
 * One object belongs to one thread. The socket is not bound to a peer: all clients of a hub share it,
 * whatever brokers they talk to. IP fragmentation is off (DF). Buffers are allocated at open; nothing after.
 */
#ifndef KX_TRANSPORT_UDP_H
#define KX_TRANSPORT_UDP_H

#include "kx_session.h"
#include "kx_client.h"

#ifdef __cplusplus
extern "C" {
#endif

struct kx_transport_udp;

struct kx_transport_udp_opts {
	bool v6;	   /**< IPv6 socket; else IPv4 */
	const char *local; /**< address to bind to ("192.0.2.1", "192.0.2.1:7000"); NULL: any, port chosen by
			      the kernel */
	uint16_t datagram_bytes; /**< largest KXP frame to send and receive, 1232..65000; 0: 1372 (IPv4), 1232
				    (IPv6) */
	uint16_t rx_frames;	 /**< datagrams a turn, 1..1024; 0: 64 */
	uint16_t tx_frames;	 /**< datagrams queued before a flush, 1..1024; 0: 128 */
	bool no_gso;		 /**< true: never give the kernel several datagrams as one */
	bool no_gro; /**< true: never take several as one. With it, a receive buffer is a datagram's size
			instead of 64 KiB */
	uint32_t socket_bytes; /**< receive and send buffer asked of the kernel; 0: 8 MiB (it may grant less)
				*/
};
/**
 * Open a socket.
 * @param opts  NULL: defaults.
 * @return 0 and *out; -EINVAL; -ENOMEM; what socket() and bind() say
 */
int kx_transport_udp_open(const struct kx_transport_udp_opts *opts, struct kx_transport_udp **out);
/** Close the socket, free everything; what is queued is lost. NULL is fine. */
void kx_transport_udp_close(struct kx_transport_udp *t);
/** The table and context for kx_hub_open(). Valid as long as the object. */
struct kx_transport kx_transport_udp(struct kx_transport_udp *t);
/** The socket, to sleep on: poll() it for POLLIN, until kx_hub_next_deadline_ns() at the latest. */
int kx_transport_udp_fd(const struct kx_transport_udp *t);
/**
 * Sleep until a datagram is there or `deadline_ns` (of kx_clock_mono_ns()) is reached; 0 returns at once,
 * UINT64_MAX waits for ever. A signal ends it too.
 */
void kx_transport_udp_wait(const struct kx_transport_udp *t, uint64_t deadline_ns);

struct kx_transport_udp_stats {
	uint64_t rx_frames, tx_frames;
	uint64_t rx_truncated; /**< larger than datagram_bytes: dropped */
	uint64_t
		tx_dropped; /**< the kernel did not take them (no route, buffer full after bounded retries) */
	uint64_t tx_too_large;	     /**< larger than the path's MTU (EMSGSIZE) */
	int last_error;		     /**< errno of the last failed send; 0 */
	uint32_t receive_bytes;	     /**< receive buffer granted by the kernel */
	uint32_t send_bytes;	     /**< send buffer granted by the kernel */
	bool gso, gro;		     /**< in use */
	uint64_t rx_calls, tx_calls; /**< system calls made to receive, to send */
	uint64_t rx_gro_frames;	     /**< of rx_frames: came together with others */
	uint64_t tx_gso_frames;	     /**< of tx_frames: left together with others */
};
void kx_transport_udp_stats(const struct kx_transport_udp *t, struct kx_transport_udp_stats *out);

/** A transport, a hub and a client in one: what a simple program needs. */
struct kx_udp_client {
	struct kx_transport_udp *transport;
	struct kx_hub *hub;
	struct kx_client *client;
};
/**
 * Open all three for the broker in `opts->broker`. Set-up starts with the first kx_hub_poll().
 * @return 0; a negative errno of kx_transport_udp_open(); -EINVAL, -ENOMEM of hub and client
 */
int kx_client_connect_udp(const struct kx_client_opts *opts, struct kx_udp_client *out);
/** One turn of the hub, then sleep until something is to be done, `max_wait_ns` at most. */
void kx_udp_client_turn(struct kx_udp_client *c, uint64_t max_wait_ns);
/** Close all three. Harmless on zeros. */
void kx_udp_client_close(struct kx_udp_client *c);

#ifdef __cplusplus
}
#endif
#endif
