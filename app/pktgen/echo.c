/* SPDX-License-Identifier: BSD-3-Clause */
/* Echo: raw Ethernet/IPv4/UDP frames to a reflector and back, on one lcore. */
#include <stdio.h>
#include <string.h>

#include <rte_ethdev.h>

#include "run.h"

#define HEADER_BYTES 42u /* Ethernet, IPv4, UDP */
#define STAMP_AT     HEADER_BYTES
#define PATTERN_AT   (HEADER_BYTES + 16u)
#define TX_BURST     64u
#define FRAME_MAX    9614u
#define SILENCE_NS   (500 * 1000000ull) /* nothing came back for so long: what is on the way is lost */

struct echo {
	struct pg_run *run;
	struct pg_track track;
	uint64_t seq;	      /* of the next frame */
	uint64_t written_off; /* frames not waited for any longer, for the window */
	uint64_t last_rx_ns;
	uint64_t corrupt, foreign, late;
	uint32_t frame_bytes;
	uint16_t pending_from, pending; /* frames built and not yet taken by the port */
	struct rte_mbuf *tx[TX_BURST];
	uint64_t intended_ns[TX_BURST];
	uint8_t frame[FRAME_MAX]; /* what every frame looks like, stamp excepted */
};

static uint16_t ip_checksum(const struct rte_ipv4_hdr *ip)
{
	return rte_ipv4_cksum(ip);
}

static void make_frame(struct echo *e)
{
	static const struct rte_ether_addr reflector = {{0x02, 0x4b, 0x58, 0, 0, 0xfe}};
	struct rte_ether_hdr *eth = (struct rte_ether_hdr *)e->frame;
	struct rte_ipv4_hdr *ip = (struct rte_ipv4_hdr *)(eth + 1);
	struct rte_udp_hdr *udp = (struct rte_udp_hdr *)(ip + 1);

	eth->src_addr = e->run->rig->dev.mac;
	eth->dst_addr = reflector;
	eth->ether_type = rte_cpu_to_be_16(RTE_ETHER_TYPE_IPV4);
	ip->version_ihl = RTE_IPV4_VHL_DEF;
	ip->total_length = rte_cpu_to_be_16((uint16_t)(e->frame_bytes - sizeof(*eth)));
	ip->fragment_offset = rte_cpu_to_be_16(RTE_IPV4_HDR_DF_FLAG);
	ip->time_to_live = 64;
	ip->next_proto_id = IPPROTO_UDP;
	ip->src_addr = rte_cpu_to_be_32(RTE_IPV4(198, 18, 0, 1)); /* RFC 2544 test addresses */
	ip->dst_addr = rte_cpu_to_be_32(RTE_IPV4(198, 19, 0, 1));
	ip->hdr_checksum = ip_checksum(ip);
	udp->src_port = rte_cpu_to_be_16(49184);
	udp->dst_port = rte_cpu_to_be_16(7);
	udp->dgram_len = rte_cpu_to_be_16((uint16_t)(e->frame_bytes - sizeof(*eth) - sizeof(*ip)));
	for (uint32_t i = PATTERN_AT; i < e->frame_bytes; i++)
		e->frame[i] = (uint8_t)(pg_pattern(0, i / 8) >> (8 * (i % 8)));
}

/* Buffers keep their pattern: a wire that copies leaves it, so that a send writes headers and stamp only. */
static void fill_buffer(struct rte_mempool *pool, void *arg, void *obj, unsigned int index)
{
	const struct echo *e = arg;
	struct rte_mbuf *m = obj;

	(void)pool;
	(void)index;
	memcpy((uint8_t *)m->buf_addr + RTE_PKTMBUF_HEADROOM, e->frame, e->frame_bytes);
}

static void build(struct echo *e, struct rte_mbuf *m, uint64_t intended_ns)
{
	uint8_t *at = rte_pktmbuf_mtod(m, uint8_t *);
	struct pg_stamp stamp = {pg_id(e->run->run_id, 0, e->seq++), intended_ns};

	m->data_len = (uint16_t)e->frame_bytes;
	m->pkt_len = e->frame_bytes;
	memcpy(at, e->frame, HEADER_BYTES);
	memcpy(at + STAMP_AT, &stamp, sizeof(stamp));
}

static bool bytes_right(const struct echo *e, const uint8_t *at, uint64_t seq)
{
	if (e->run->o->verify != PG_VERIFY_FULL && seq % 64 != 0)
		return true;
	return memcmp(at + sizeof(struct rte_ether_hdr), e->frame + sizeof(struct rte_ether_hdr),
		       HEADER_BYTES - sizeof(struct rte_ether_hdr)) == 0 &&
		memcmp(at + PATTERN_AT, e->frame + PATTERN_AT, e->frame_bytes - PATTERN_AT) == 0;
}

static void receive_one(struct echo *e, const struct rte_mbuf *m)
{
	const uint8_t *at = rte_pktmbuf_mtod(m, const uint8_t *);
	struct pg_stamp stamp;

	if (kx_unlikely(m->data_len < PATTERN_AT)) {
		e->foreign++;
		return;
	}
	memcpy(&stamp, at + STAMP_AT, sizeof(stamp));
	if (kx_unlikely(pg_id_run(stamp.id) != e->run->run_id || pg_id_seq(stamp.id) >= e->seq)) {
		e->foreign++;
		return;
	}
	if (kx_unlikely(m->data_len != e->frame_bytes || !bytes_right(e, at, pg_id_seq(stamp.id)))) {
		e->corrupt++;
		return;
	}
	uint64_t before = e->track.received;

	pg_track_run(&e->track, pg_id_seq(stamp.id), 1);
	if (kx_likely(e->track.received != before))
		e->late += pg_record(e->run, e->run->latency, stamp.intended_ns, pg_now(e->run->rig), 1);
}

static void receive(struct echo *e, uint64_t now_ns)
{
	struct rte_mbuf *m[PG_RX_BURST];
	uint16_t n = rte_eth_rx_burst(e->run->rig->dev.port_id, 0, m, PG_RX_BURST);

	if (n == 0)
		return;
	e->last_rx_ns = now_ns;
	for (uint16_t i = 0; i < n; i++) {
		if (i + 4 < n)
			rte_prefetch0((uint8_t *)m[i + 4]->buf_addr + RTE_PKTMBUF_HEADROOM + STAMP_AT);
		receive_one(e, m[i]);
	}
	rte_pktmbuf_free_bulk(m, n);
	kx_count(&e->run->live.received, e->track.received - e->run->live.received);
}

/* How many frames may be built now. */
static uint32_t window_room(const struct echo *e)
{
	uint64_t away = e->seq - e->track.received - e->written_off;

	return away < e->run->o->window ? (uint32_t)(e->run->o->window - away) : 0;
}

static uint32_t build_max(struct echo *e, uint32_t room, uint64_t now_ns)
{
	uint32_t n = KX_MIN(room, window_room(e));

	if (n == 0 || rte_pktmbuf_alloc_bulk(e->run->rig->tx_pool, e->tx, n) != 0)
		return 0;
	for (uint32_t i = 0; i < n; i++)
		build(e, e->tx[i], now_ns);
	return n;
}

static uint32_t build_due(struct echo *e, uint32_t room, uint64_t now_ns)
{
	struct pg_run *run = e->run;
	uint32_t n = 0;

	for (; n < room && pg_schedule_next_ns(&run->schedule) <= now_ns; n++) {
		uint64_t intended = pg_schedule_next_ns(&run->schedule);

		e->tx[n] = rte_pktmbuf_alloc(run->rig->tx_pool);
		if (kx_unlikely(e->tx[n] == NULL))
			break;
		build(e, e->tx[n], intended);
		e->intended_ns[n] = intended;
		pg_schedule_advance(&run->schedule);
	}
	return n;
}

static void transmit(struct echo *e, uint64_t now_ns)
{
	struct pg_run *run = e->run;

	if (e->pending == 0 && pg_sending(run)) {
		uint32_t room = KX_MIN(TX_BURST, run->o->turn_sends);

		e->pending_from = 0;
		e->pending = (uint16_t)(run->o->arrivals == PG_MAX ? build_max(e, room, now_ns)
								   : build_due(e, room, now_ns));
	}
	if (e->pending == 0)
		return;
	uint16_t n = rte_eth_tx_burst(run->rig->dev.port_id, 0, &e->tx[e->pending_from], e->pending);

	for (uint16_t i = e->pending_from; run->o->arrivals != PG_MAX && i < e->pending_from + n; i++)
		if (pg_measured(run, e->intended_ns[i]))
			kx_hist_add(run->lag, now_ns - e->intended_ns[i]);
	e->pending_from = (uint16_t)(e->pending_from + n);
	e->pending = (uint16_t)(e->pending - n);
	kx_count(&run->live.sent, n);
}

/* Lost frames must not close the window for ever; they stay lost in the books. */
static void watch(struct echo *e, uint64_t now_ns)
{
	struct pg_run *run = e->run;

	if (now_ns - e->last_rx_ns > SILENCE_NS) {
		e->last_rx_ns = now_ns;
		e->written_off = e->seq - e->track.received;
	}
	kx_count(&run->live.lost_so_far, e->written_off - run->live.lost_so_far);
	if (pg_phase(run) == PG_DRAIN && e->pending == 0 && e->track.received == run->live.sent)
		pg_run_done(run);
}

static void settle(struct echo *e)
{
	struct pg_result *r = &e->run->result;

	rte_pktmbuf_free_bulk(&e->tx[e->pending_from], e->pending);
	r->frame_bytes = e->frame_bytes;
	r->batch = 1;
	r->fit = 1;
	r->fanout = 1;
	r->frames_per_message = 1;
	r->total_sent = e->run->live.sent;
	r->total_received = e->track.received;
	r->lost = r->total_sent - KX_MIN(e->track.received + e->corrupt, r->total_sent);
	r->duplicated = e->track.duplicated;
	r->reordered = e->track.reordered;
	r->corrupt = e->corrupt;
	r->late = e->late;
	r->foreign = e->foreign;
	e->run->latency->lost += r->lost;
}

int pg_echo_loop(void *arg)
{
	static struct echo echo;
	struct pg_run *run = arg;
	struct echo *e = &echo;

	e->run = run;
	e->frame_bytes = run->o->frame_bytes;
	pg_track_init(&e->track, 0);
	make_frame(e);
	rte_mempool_obj_iter(run->rig->tx_pool, fill_buffer, e);
	if (pg_run_schedule(run, 1) != 0) {
		snprintf(run->result.trouble, sizeof(run->result.trouble), "out of memory for the schedule");
		pg_run_done(run);
		return -1;
	}
	pg_run_idle(run);
	e->last_rx_ns = pg_now(run->rig);
	pg_run_start(run, e->last_rx_ns);
	while (pg_phase(run) != PG_DONE) {
		uint64_t now = pg_now(run->rig), tick = run->next_tick_ns;

		receive(e, now);
		transmit(e, pg_now(run->rig));
		pg_run_turn(run, now);
		if (kx_unlikely(tick != run->next_tick_ns))
			watch(e, now);
	}
	settle(e);
	return 0;
}
