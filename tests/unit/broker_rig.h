/* SPDX-License-Identifier: BSD-3-Clause */
/* A broker under test: frames are made by hand, given in as exact-size heap buffers, and what it sends is
 * kept. */
#ifndef BROKER_RIG_H
#define BROKER_RIG_H

#include "kx_broker.h"

#define RIG_SENT_MAX 4096

struct rig_sent {
	uint8_t *data;
	uint32_t bytes;
	struct kx_addr to;
	bool forwarded;
};
struct rig {
	struct kx_conf *conf;
	struct kx_auth_secrets secrets;
	struct kx_partition_offsets *offsets;
	struct kx_ledger ledger;
	struct kx_quotas *quotas; /* as the ini says */
	struct kx_broker *broker;
	struct kx_audit *audit;
	uint8_t *log_memory;
	struct kx_producer_ids *ids;
	struct kx_fence *fence;
	uint64_t now_ns;
	uint16_t datagram_bytes; /* of its paths and clients; 0: 1372 */
	unsigned int room;	 /* what the port says it takes */
	unsigned int port_room;	 /* not 0: so many a turn, counted by port_sent */
	unsigned int port_sent;
	unsigned int rx_buffers; /* received buffers the broker forwarded */
	unsigned int no_buffers; /* the next allocations fail, and are charged as the worker does */
	struct rig_sent sent[RIG_SENT_MAX];
	unsigned int sent_count;
	bool peer;		  /* of another rig, which owns what data lcores share */
	const struct kx_key *key; /* signs AUTH of methods that need it */
};
/* A client's session as its frames need it. */
struct rig_session {
	struct rig *rig;
	struct kx_addr addr;
	uint64_t conn_id, producer_id, next_pkt, floor_pkt;
	uint32_t producer_epoch;
	uint8_t flags; /* of frames sent with rig_send() */
	uint8_t blocked;
	uint64_t limit_pkt, limit_bytes, used_bytes; /* credit, for tests that keep it */
	struct kx_accept accept;
	uint64_t auth_frame[KX_HELLO_BYTES / 8]; /* as sent: to send it again */
	struct kx_auth_protect *protect;	 /* seals what is sent; NULL: plain frames */
};

struct rig *rig_new(const char *ini, uint32_t lcore_index, uint32_t lcore_count);
/* The same; deliveries of at least slice_min_bytes leave as slices of log memory. */
struct rig *rig_new_slices(
	const char *ini, uint32_t lcore_index, uint32_t lcore_count, uint32_t slice_min_bytes);
/* A broker, paths and clients that take frames of so many bytes. */
struct rig *rig_new_datagrams(const char *ini, uint16_t datagram_bytes);
/* Another data lcore of the same broker; freed before the first. */
struct rig *rig_new_peer(struct rig *first, uint32_t lcore_index, uint32_t lcore_count);
void rig_free(struct rig *r);
/* Give one frame in (copied to an exact-size buffer), run no poll. The reason it was dropped for, or
 * KX_DROP_NONE. */
enum kx_drop rig_rx(
	struct rig *r, const void *frame, uint32_t bytes, const struct kx_addr *from, uint32_t flags);
/* One turn: poll and flush; time goes on by `ns` before it. */
void rig_turn(struct rig *r, uint64_t ns);
void rig_forget(struct rig *r);
/* The oldest audit event is of this principal, and its reason reads so. */
void rig_audited(struct rig *r, uint32_t principal, const char *reason);
/* n-th sent frame of a type since the last rig_forget(), checked; NULL when there is none. */
const struct kx_frame_hdr *rig_find(struct rig *r, uint8_t type, unsigned int n);
static inline const void *rig_body(const struct kx_frame_hdr *h)
{
	return h + 1;
}
unsigned int rig_count(struct rig *r, uint8_t type);

/* HELLO, COOKIE, AUTH, ACCEPT from address 10.0.0.<host>:<port>. */
struct rig_session rig_connect(struct rig *r, uint8_t host, uint16_t port);
/* The same, wishing what `wish` says (method, ticket, producer_id). The broker's answer is what was sent:
 * ACCEPT, REFUSE, or nothing yet. The reason AUTH was dropped for. */
enum kx_drop rig_auth(
	struct rig *r, uint8_t host, uint16_t port, const struct kx_auth *wish, struct rig_session *s);
/* Take ACCEPT, which has come: the session can be used. */
void rig_accepted(struct rig_session *s);
/* Frames are protected from here on, as ACCEPT says; the rig's key is the principal's. `protect` was created.
 */
void rig_protect(struct rig_session *s, struct kx_auth_protect *protect);
/* Open what was sent to the session and is not forgotten. */
void rig_open_sent(struct rig_session *s);
/* Send a frame of a session; seals it. */
enum kx_drop rig_send(struct rig_session *s, uint8_t type, const void *body, uint32_t body_bytes);
/* A PRODUCE with one batch of `records` values of 64 bytes, pkt_no 0: the next one. */
enum kx_drop rig_produce(struct rig_session *s, uint64_t pkt_no, uint32_t partition, uint64_t first_seq,
	uint32_t records, uint32_t flags);
void rig_subscribe(
	struct rig_session *s, uint32_t partition, uint32_t sub_id, uint64_t from, uint64_t credit);
/* RX_ACK of all that was sent to the session and is not forgotten. */
void rig_received(struct rig_session *s);
void rig_credit(struct rig_session *s, uint32_t sub_id, uint64_t next_offset, uint64_t limit_bytes);

#endif
