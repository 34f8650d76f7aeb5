/* SPDX-License-Identifier: BSD-3-Clause */
/* The network: datagrams on their way, a link each way between each peer and the broker, and what goes wrong
 * there. */
#include <stdlib.h>
#include <string.h>

#include "sim.h"

#define NET_BROKER 0
#define NET_CLIENT 1
#define NET_RAW	   2
#define HOLD_NS	   (2 * SIM_MS) /* a frame that nothing follows for this long was the last */

/* 10.0.net.host */
struct kx_addr net_address(uint32_t net, uint32_t host, uint16_t port)
{
	struct kx_addr a = {.port = port};

	a.ip[10] = a.ip[11] = 0xff;
	a.ip[12] = 10;
	a.ip[14] = (uint8_t)net;
	a.ip[15] = (uint8_t)host;
	return a;
}

static uint32_t flight_new(struct sim *s)
{
	struct net *n = &s->net;
	uint32_t i = n->flight_free;

	if (i == KX_NONE) {
		uint32_t size = KX_MAX(1024u, 2 * n->flight_size);

		n->flights = realloc(n->flights, size * sizeof(*n->flights));
		for (i = size; i-- > n->flight_size;) {
			n->flights[i].data = NULL;
			n->flights[i].next = n->flight_free;
			n->flight_free = i;
		}
		n->flight_size = size;
		i = n->flight_free;
	}
	n->flight_free = n->flights[i].next;
	n->on_way++;
	return i;
}

static void flight_free(struct sim *s, uint32_t i)
{
	s->net.flights[i].data = NULL;
	s->net.flights[i].next = s->net.flight_free;
	s->net.flight_free = i;
	s->net.on_way--;
}

static void flight_drop(struct sim *s, uint32_t i)
{
	free(s->net.flights[i].data);
	flight_free(s, i);
	s->net.lost++;
}

static void link_clean(struct link *l)
{
	uint64_t delay_ns = l->delay_ns, jitter_ns = l->jitter_ns;

	*l = (struct link){.delay_ns = delay_ns,
		.jitter_ns = jitter_ns,
		.held = l->held,
		.held_no = l->held_no,
		.path_bytes = l->path_bytes,
		.mtu = KX_FRAME_MAX_BYTES};
}

void net_init(struct sim *s)
{
	uint64_t delay_ns = pick_in(s, 5, chance(s, 300) ? 5000 : 300) * SIM_US;

	s->net.flight_free = KX_NONE;
	for (uint32_t i = 0; i < KX_DIM(s->net.links); i++) {
		uint64_t ns = delay_ns / 2 + pick(s, delay_ns);

		for (int d = 0; d < 2; d++) {
			struct link *l = &s->net.links[i][d];

			l->delay_ns = ns;
			l->jitter_ns = pick(s, ns / 4 + 1);
			l->held = KX_NONE;
			link_clean(l);
		}
	}
}

void net_free(struct sim *s)
{
	for (uint32_t i = 0; i < s->net.flight_size; i++)
		free(s->net.flights[i].data);
	for (uint32_t i = 0; i < KX_DIM(s->net.replay); i++)
		free(s->net.replay[i].data);
	free(s->net.flights);
}

void net_calm(struct sim *s)
{
	for (uint32_t i = 0; i < KX_DIM(s->net.links); i++)
		for (int d = 0; d < 2; d++)
			link_clean(&s->net.links[i][d]);
}

/* The link a datagram takes, NULL for addresses that do not exist. */
static struct link *link_of(struct sim *s, const struct kx_addr *from, const struct kx_addr *to)
{
	const struct kx_addr *peer = from->ip[14] == NET_BROKER ? to : from;
	uint32_t i = peer->ip[15];

	if (peer->ip[14] == NET_RAW)
		i += SIM_CLIENTS;
	else if (peer->ip[14] != NET_CLIENT || i >= SIM_CLIENTS)
		return NULL;
	return i < KX_DIM(s->net.links) ? &s->net.links[i][from->ip[14] == NET_BROKER] : NULL;
}

static void arrive_at(struct sim *s, struct link *l, uint32_t flight, uint64_t extra_ns)
{
	uint64_t at = s->now_ns;

	if (l != NULL) {
		if (l->ns_per_kib != 0) {
			l->busy_ns = KX_MAX(l->busy_ns, s->now_ns) +
				(s->net.flights[flight].bytes + 42) * l->ns_per_kib / 1024;
			at = l->busy_ns;
		}
		at += l->delay_ns + (l->jitter_ns != 0 ? pick(s, l->jitter_ns) : 0);
	}
	sim_at(s, at + extra_ns, EV_ARRIVE, flight, 0);
}

static uint32_t copy_flight(struct sim *s, uint32_t of)
{
	uint32_t i = flight_new(s);
	struct flight *f = &s->net.flights[i], *g = &s->net.flights[of];

	*f = *g;
	f->data = malloc(f->bytes);
	memcpy(f->data, g->data, f->bytes);
	return i;
}

static void damage(struct sim *s, struct link *l, struct flight *f)
{
	if (chance(s, l->corrupt)) {
		f->data[pick(s, f->bytes)] ^= (uint8_t)(1 + pick(s, 255));
		fault_hit(s, SIM_CORRUPT);
	}
	if (chance(s, l->truncate)) {
		f->bytes = (uint32_t)pick(s, f->bytes) + (f->bytes > 1);
		fault_hit(s, SIM_TRUNCATE);
	}
}

/* On the line: delay, order, damage, copies. */
static void launch(struct sim *s, struct link *l, uint32_t flight)
{
	uint64_t extra_ns = 0;

	if (l == NULL) {
		flight_drop(s, flight);
		return;
	}
	if (l->ns_per_kib != 0 && l->busy_ns > s->now_ns + 20 * SIM_MS) { /* its queue is full */
		fault_hit(s, SIM_SLOW_LINK);
		flight_drop(s, flight);
		return;
	}
	if (chance(s, l->duplicate)) {
		fault_hit(s, SIM_DUPLICATE);
		arrive_at(s, l, copy_flight(s, flight),
			chance(s, 100) ? pick(s, KX_NS_PER_S) : pick(s, SIM_MS));
	}
	if (chance(s, l->reorder)) {
		fault_hit(s, l->reorder_ns > 100 * SIM_MS ? SIM_REORDER_LONG : SIM_REORDER);
		extra_ns = pick(s, l->reorder_ns);
	}
	damage(s, l, &s->net.flights[flight]);
	arrive_at(s, l, flight, extra_ns);
}

static bool lost_by_type(struct sim *s, const struct link *l, uint8_t type)
{
	if (type >= 64 || !(l->lost_types >> type & 1))
		return false;
	fault_hit(s, type == KX_NAK ? SIM_LOSS_NAKS : type == KX_CREDIT ? SIM_LOSS_CREDITS : SIM_LOSS_ACKS);
	return true;
}

static bool lost_in_burst(struct sim *s, struct link *l)
{
	if (!l->burst)
		return false;
	l->bursting = l->bursting ? !chance(s, l->leave_burst) : chance(s, l->enter_burst);
	if (l->bursting)
		fault_hit(s, SIM_LOSS_BURST);
	return l->bursting;
}

static bool lost(struct sim *s, struct link *l, const struct flight *f, bool to_client)
{
	if (l->cut) {
		fault_hit(s, to_client ? SIM_CUT_TO_CLIENT : SIM_CUT_TO_BROKER);
		return true;
	}
	if (l->first_left > 0) {
		l->first_left--;
		fault_hit(s, SIM_LOSS_FIRST);
		return true;
	}
	if (f->bytes > l->mtu) {
		fault_hit(s, SIM_MTU_HOLE);
		return true;
	}
	if (f->bytes > l->path_bytes) {
		fault_hit(s, SIM_PATH_SHRINKS);
		return true;
	}
	if (lost_by_type(s, l, f->data[1]) || lost_in_burst(s, l))
		return true;
	if (!chance(s, l->loss))
		return false;
	fault_hit(s, SIM_LOSS);
	return true;
}

static void record(struct sim *s, const struct flight *f)
{
	struct net *n = &s->net;
	struct flight *r = &n->replay[n->replay_count % REPLAYS];

	if (pick(s, 64) != 0)
		return;
	n->replay_count++;
	free(r->data);
	*r = *f;
	r->data = malloc(f->bytes);
	memcpy(r->data, f->data, f->bytes);
}

void net_send(
	struct sim *s, const struct kx_addr *from, const struct kx_addr *to, uint8_t *data, uint32_t bytes)
{
	struct link *l = link_of(s, from, to);
	uint32_t i = flight_new(s);
	struct flight *f = &s->net.flights[i];
	uint32_t check;

	*f = (struct flight){.data = data, .bytes = bytes, .from = *from, .to = *to};
	s->net.sent++;
	memcpy(&check, kx_frame_protected(data, bytes) ? data + bytes - sizeof(check) : data + 4,
		sizeof(check));
	sim_mix(s, check ^ (uint64_t)bytes << 32);
	record(s, f);
	if (s->net.overtaken > 0 && hostile_overtake(s, f))
		s->net.overtaken--;
	f = &s->net.flights[i];
	if (l == NULL || lost(s, l, f, from->ip[14] == NET_BROKER)) {
		flight_drop(s, i);
		return;
	}
	if (l->held != KX_NONE) {
		uint32_t held = l->held;

		l->held = KX_NONE;
		launch(s, l, held);
	}
	if (l->last) {
		l->held = i;
		l->held_no = ++s->net.held_no;
		sim_at(s, s->now_ns + HOLD_NS, EV_LAST, (uint32_t)(l - &s->net.links[0][0]), l->held_no);
		return;
	}
	launch(s, l, i);
}

/* Nothing came after it: it is the last of its burst, and lost. */
void net_last(struct sim *s, uint32_t link, uint64_t held_no)
{
	struct link *l = &s->net.links[0][0] + link;
	uint32_t held = l->held;

	if (held == KX_NONE || l->held_no != held_no)
		return;
	l->held = KX_NONE;
	if (!l->last) {
		launch(s, l, held);
		return;
	}
	fault_hit(s, SIM_LOSS_LAST);
	flight_drop(s, held);
}

void net_inject(struct sim *s, const struct kx_addr *from, const struct kx_addr *to, const uint8_t *data,
	uint32_t bytes, uint64_t delay_ns)
{
	uint32_t i = flight_new(s);
	struct flight *f = &s->net.flights[i];

	*f = (struct flight){.data = malloc(bytes), .bytes = bytes, .from = *from, .to = *to};
	memcpy(f->data, data, bytes);
	sim_at(s, s->now_ns + delay_ns, EV_ARRIVE, i, 0);
}

static void deliver(struct sim *s, struct flight *f)
{
	uint32_t host = f->to.ip[15];

	s->net.arrived++;
	if (f->to.ip[14] == NET_BROKER && f->to.port - SIM_PORT < (int)s->broker.lcore_count &&
		f->to.port >= SIM_PORT)
		lcore_arrive(&s->broker.lcores[f->to.port - SIM_PORT], f);
	else if (f->to.ip[14] == NET_CLIENT && host < s->client_count &&
		kx_addr_equal(&s->clients[host].addr, &f->to))
		client_arrive(&s->clients[host], f);
	else if (f->to.ip[14] == NET_RAW && host < s->raw_count && kx_addr_equal(&s->raws[host].addr, &f->to))
		raw_arrive(&s->raws[host], f);
	else
		s->net.lost++;
}

/* Whoever takes the datagram takes its data and clears them here. */
void net_arrive(struct sim *s, uint32_t flight)
{
	struct flight f = s->net.flights[flight];

	flight_free(s, flight);
#ifdef __SANITIZE_ADDRESS__
	f.data = realloc(f.data, f.bytes); /* reads beyond the datagram are found */
#endif
	deliver(s, &f);
	free(f.data);
}
