/* SPDX-License-Identifier: BSD-3-Clause */
/* Brokers and clients in one process, in virtual time, over a network in memory that loses, repeats, delays
 * and corrupts datagrams as a seed says. */
#ifndef CLIENT_RIG_H
#define CLIENT_RIG_H

#include "kx_broker.h"
#include "kx_client.h"

#define NET_LCORES_MAX 4
#define NET_HUBS_MAX   4
#define NET_INBOX      8192
#define NET_FLIGHT_MAX 32768
#define NET_PORT       9000
#define NET_HUB_PORT   20000

struct net;
struct node {
	struct net *net;
	struct kx_addr addr;
	struct kx_frame inbox[NET_INBOX];
	uint32_t head, count;
	uint64_t no_buffers; /* allocations that failed */
	uint32_t refused;    /* bytes of the smallest frame that its transport did not send; 0 */
	struct kx_addr refused_to;
	bool dead;		  /* what is sent to it is lost */
	uint64_t asleep_until_ns; /* not scheduled: what is sent to it waits */
};
struct flight {
	uint64_t due_ns, order;
	uint8_t *data;
	uint32_t bytes;
	struct kx_addr from, to;
};
/* A link with a queue in front of it that drops its tail: all datagrams of one direction, and of some hubs,
 * pass it. */
struct link {
	uint64_t bytes_per_s; /* 0: no such link */
	uint32_t queue_bytes;
	uint32_t hubs;	  /* bit by hub; 0: of all */
	uint64_t free_ns; /* when all that waits has left */
	uint64_t dropped, passed;
	uint64_t waited_bytes; /* sum over the datagrams: what waited before each */
};
struct net {
	/* per mille of datagrams */
	uint32_t loss, duplicate, reorder, corrupt;
	uint32_t no_buffer; /* per mille of allocations */
	uint64_t delay_ns, jitter_ns;
	uint16_t datagram_bytes;	   /* that the transports can take; 0: 1372 */
	uint32_t carries_up, carries_down; /* larger frames to brokers, to clients, are lost; 0: none */
	uint32_t ring_frames;		   /* that wait at each node at most; 0: NET_INBOX */
	uint32_t sends_up; /* larger frames of hubs are refused by their transports; 0: none */
	struct link to_broker, to_client;
	/* a program's say on each datagram: false loses it */
	bool (*filter)(struct net *net, const struct flight *f, const struct kx_frame_hdr *h);
	uint64_t filter_state;
	uint64_t now_ns;
	struct kx_prng prng;
	struct flight flights[NET_FLIGHT_MAX];
	uint32_t flight_count;
	uint64_t order, sent, lost;
	struct node lcores[NET_LCORES_MAX], hubs[NET_HUBS_MAX];
	struct kx_hub *hub[NET_HUBS_MAX];
	uint32_t lcore_count, hub_count;
	uint64_t boot_id;
	struct kx_producer_ids *ids;
	struct kx_fence *fence;
	uint32_t ids_count; /* of the next start; 0: 1024 */
	struct kx_conf *conf;
	struct kx_auth_secrets secrets;
	struct kx_partition_offsets *offsets;
	struct kx_ledger ledgers[NET_LCORES_MAX];
	struct kx_broker *brokers[NET_LCORES_MAX];
	uint8_t *log_memory[NET_LCORES_MAX];
};

struct net *net_new(const char *ini, uint32_t lcores, uint32_t hubs, uint64_t seed);
void net_free(struct net *net);
/* Transports that take frames of so many bytes: brokers begin anew. */
void net_jumbo(struct net *net, uint16_t datagram_bytes);
/* Everybody has an address of IPv6; before there is any client. */
void net_v6(struct net *net);
/* The broker goes away without a word and comes back empty. */
void net_restart_broker(struct net *net);
/* 10 us of virtual time: deliver what is due, one turn of everybody. */
void net_turn(struct net *net);
void net_run(struct net *net, uint64_t ns);
/* The table behind net->hub[hub], for a hub of a test's own. */
struct kx_transport net_transport(struct net *net, uint32_t hub);
/* Datagrams into nowhere and from anywhere, for clients alone. */
void net_inject(struct net *net, const struct kx_addr *from, const struct kx_addr *to, const void *data,
	uint32_t bytes);

#endif
