/* SPDX-License-Identifier: BSD-3-Clause */
/* What goes wrong, and when: each seed uses a part of the kinds, one after the other and on top of each
 * other. */
#include "identity.h"

static struct link *any_link(struct sim *s, uint64_t *what)
{
	*what = pick(s, s->client_count) * 2 + pick(s, 2);
	return &s->net.links[*what / 2][*what % 2];
}

void faults_init(struct sim *s)
{
	for (uint32_t i = 0; i < SIM_FAULT_PICKED; i++)
		if (chance(s, 400))
			s->faults_on |= UINT64_C(1) << i;
	if (!identity_on(s)) /* needs somebody with a key */
		s->faults_on &= ~(UINT64_C(1) << SIM_TAMPER);
	while (__builtin_popcountll(s->faults_on) < SIM_KINDS_MIN + 3)
		s->faults_on |= UINT64_C(1) << pick(s, SIM_FAULT_PICKED);
	s->fault_gap_ns = pick_in(s, 100, 1000) * SIM_MS;
	hostile_begin(s);
	sim_at(s, s->now_ns + pick(s, KX_NS_PER_S), EV_FAULT, 0, 0);
}

void faults_stop(struct sim *s)
{
	net_calm(s);
	for (uint32_t i = 0; i < s->broker.lcore_count; i++)
		s->broker.lcores[i].no_buffer = s->broker.lcores[i].no_neighbour = 0;
	for (uint32_t i = 0; i < s->client_count; i++)
		s->clients[i].no_buffer = 0;
}

/* ---- links */

static void link_loss(struct sim *s, struct link *l, enum sim_fault kind)
{
	switch (kind) {
	case SIM_LOSS:
		l->loss = (uint32_t)pick_in(s, 1, chance(s, 200) ? 500 : 50);
		break;
	case SIM_LOSS_BURST:
		l->burst = true;
		l->enter_burst = (uint32_t)pick_in(s, 1, 20);
		l->leave_burst = (uint32_t)pick_in(s, 20, 500);
		break;
	case SIM_LOSS_FIRST:
		l->first_left = (uint32_t)pick_in(s, 1, 8);
		break;
	case SIM_LOSS_LAST:
		l->last = true;
		break;
	case SIM_LOSS_ACKS:
		l->lost_types |= UINT64_C(1) << KX_RX_ACK | UINT64_C(1) << KX_COMMIT_ACK;
		break;
	case SIM_LOSS_NAKS:
		l->lost_types |= UINT64_C(1) << KX_NAK;
		break;
	default:
		l->lost_types |= UINT64_C(1) << KX_CREDIT;
	}
}

static bool link_fault(struct sim *s, enum sim_fault kind, uint64_t *what)
{
	struct link *l = any_link(s, what);

	switch (kind) {
	case SIM_LOSS:
	case SIM_LOSS_BURST:
	case SIM_LOSS_FIRST:
	case SIM_LOSS_LAST:
	case SIM_LOSS_ACKS:
	case SIM_LOSS_NAKS:
	case SIM_LOSS_CREDITS:
		link_loss(s, l, kind);
		return true;
	case SIM_DUPLICATE:
		l->duplicate = (uint32_t)pick_in(s, 1, 200);
		return true;
	case SIM_REORDER:
	case SIM_REORDER_LONG:
		l->reorder = (uint32_t)pick_in(s, 1, 100);
		l->reorder_ns = kind == SIM_REORDER ? pick_in(s, 10, 5000) * SIM_US : KX_NS_PER_S;
		return true;
	case SIM_CORRUPT:
		l->corrupt = (uint32_t)pick_in(s, 1, 100);
		return true;
	case SIM_TRUNCATE:
		l->truncate = (uint32_t)pick_in(s, 1, 50);
		return true;
	case SIM_CUT_TO_BROKER:
		s->net.links[*what / 2][0].cut = true;
		*what &= ~UINT64_C(1);
		return true;
	case SIM_CUT_TO_CLIENT:
		*what |= 1;
		s->net.links[*what / 2][1].cut = true;
		return true;
	case SIM_MTU_HOLE:
		l->mtu = (uint32_t)pick_in(s, KX_DATAGRAM_DEFAULT_V4 - 100, KX_DATAGRAM_DEFAULT_V4 - 1);
		return true;
	case SIM_SLOW_LINK:
		l->ns_per_kib = pick_in(s, 20, 1000) * SIM_US;
		return true;
	default:
		return false;
	}
}

static void link_end(struct sim *s, enum sim_fault kind, uint64_t what)
{
	struct link *l = &s->net.links[what / 2][what % 2];

	switch (kind) {
	case SIM_LOSS:
		l->loss = 0;
		break;
	case SIM_LOSS_BURST:
		l->burst = l->bursting = false;
		break;
	case SIM_LOSS_LAST:
		l->last = false;
		break;
	case SIM_LOSS_ACKS:
	case SIM_LOSS_NAKS:
	case SIM_LOSS_CREDITS:
		l->lost_types = 0;
		break;
	case SIM_DUPLICATE:
		l->duplicate = 0;
		break;
	case SIM_REORDER:
	case SIM_REORDER_LONG:
		l->reorder = 0;
		break;
	case SIM_CORRUPT:
		l->corrupt = 0;
		break;
	case SIM_TRUNCATE:
		l->truncate = 0;
		break;
	case SIM_CUT_TO_BROKER:
	case SIM_CUT_TO_CLIENT:
		l->cut = false;
		break;
	case SIM_MTU_HOLE:
		l->mtu = KX_FRAME_MAX_BYTES;
		break;
	case SIM_SLOW_LINK:
		l->ns_per_kib = 0;
		break;
	default:
		break;
	}
}

/* ---- processes */

static void client_fault(struct sim *s, enum sim_fault kind, uint64_t *what)
{
	struct client *c = &s->clients[pick(s, s->client_count)];

	*what = c->index;
	if (!c->up)
		return;
	fault_hit(s, kind);
	switch (kind) {
	case SIM_ADDRESS: /* a NAT forgot it: other frames of it come from another port, and none reach the
			     old one */
		c->addr.port++;
		break;
	case SIM_CLIENT_CRASH:
	case SIM_CLIENT_LEAVE:
		client_down(c, kind == SIM_CLIENT_CRASH);
		sim_at(s, s->now_ns + pick(s, 2 * KX_NS_PER_S), EV_CLIENT_UP, c->index, 0);
		break;
	case SIM_ZOMBIE: /* long enough to be given up by the broker, then it goes on as if nothing had been
			  */
		c->frozen_ns = s->now_ns + pick_in(s, 1000, 6000) * SIM_MS;
		if (chance(s, 700))
			takeover_of(c);
		break;
	case SIM_STALL_CLIENT:
		c->frozen_ns = KX_MAX(c->frozen_ns, s->now_ns + pick_in(s, 1, 200) * SIM_MS);
		if (chance(s, 300))
			takeover_of(c);
		break;
	case SIM_CLOCK_CLIENT:
		c->clock_ns += pick(s, chance(s, 300) ? 20 * KX_NS_PER_S : 100 * SIM_MS);
		client_wake(c, s->now_ns);
		break;
	default:
		c->no_buffer = (uint32_t)pick_in(s, 10, 900);
	}
}

static void broker_fault(struct sim *s, enum sim_fault kind, uint64_t *what)
{
	struct lcore *l = &s->broker.lcores[pick(s, s->broker.lcore_count)];

	*what = l->index;
	if (!s->broker.up)
		return;
	switch (kind) {
	case SIM_BROKER_CRASH:
	case SIM_BROKER_STOP:
		if (s->broker.boots >= SIM_BOOTS || !chance(s, 300))
			return;
		broker_down(s, kind == SIM_BROKER_STOP);
		sim_at(s, s->now_ns + pick(s, chance(s, 500) ? 10 * SIM_MS : 3 * KX_NS_PER_S), EV_BROKER_UP,
			0, 0);
		break;
	case SIM_CLOCK_BROKER:
		s->broker.clock_ns += pick(s, chance(s, 200) ? 5 * KX_NS_PER_S : 50 * SIM_MS);
		break;
	case SIM_STALL_LCORE:
		l->stalled_ns = s->now_ns + pick_in(s, 1, chance(s, 100) ? 1500 : 100) * SIM_MS;
		break;
	case SIM_NO_BUFFER_BROKER:
		l->no_buffer = (uint32_t)pick_in(s, 10, 900);
		return;
	case SIM_NO_NEIGHBOUR:
		l->no_neighbour = (uint32_t)pick_in(s, 10, 900);
		return;
	default:
		l->pin_ns = pick_in(s, 1, 500) * SIM_MS;
	}
	fault_hit(s, kind);
}

static void hostile_fault(struct sim *s, enum sim_fault kind)
{
	switch (kind) {
	case SIM_REPLAY:
		hostile_replay(s);
		break;
	case SIM_REFLECT:
		hostile_reflect(s);
		break;
	case SIM_FORGE:
		hostile_forge(s);
		break;
	case SIM_TAMPER:
		hostile_tamper(s);
		break;
	default: /* raw peers act by themselves, and clients have wrong keys */
		break;
	}
}

void faults_next(struct sim *s)
{
	enum sim_fault kind = (enum sim_fault)pick(s, SIM_FAULT_PICKED);
	uint64_t what = 0;

	if (s->calm)
		return;
	sim_at(s, s->now_ns + (uint64_t)kx_prng_exp(&s->prng, (double)s->fault_gap_ns), EV_FAULT, 0, 0);
	while (!(s->faults_on >> kind & 1))
		kind = (enum sim_fault)((kind + 1) % SIM_FAULT_PICKED);
	if (kind <= SIM_SLOW_LINK)
		(void)link_fault(s, kind, &what);
	else if (kind >= SIM_REPLAY)
		hostile_fault(s, kind);
	else if (kind == SIM_ADDRESS || (kind >= SIM_CLIENT_CRASH && kind <= SIM_CLOCK_CLIENT) ||
		kind == SIM_STALL_CLIENT || kind == SIM_NO_BUFFER_CLIENT)
		client_fault(s, kind, &what);
	else
		broker_fault(s, kind, &what);
	TRACE(s, "fault %s, %llu", sim_fault_name(kind), (unsigned long long)what);
	sim_at(s, s->now_ns + pick_in(s, 5, chance(s, 200) ? 4000 : 500) * SIM_MS, EV_FAULT_END, kind, what);
}

void faults_end(struct sim *s, uint32_t kind, uint64_t what)
{
	if (s->calm)
		return;
	if (kind <= SIM_SLOW_LINK)
		link_end(s, (enum sim_fault)kind, what);
	else if (kind == SIM_NO_BUFFER_CLIENT)
		s->clients[what].no_buffer = 0;
	else if (kind == SIM_NO_BUFFER_BROKER)
		s->broker.lcores[what].no_buffer = 0;
	else if (kind == SIM_NO_NEIGHBOUR)
		s->broker.lcores[what].no_neighbour = 0;
	else if (kind == SIM_PINS_HELD)
		s->broker.lcores[what].pin_ns = 20 * SIM_US;
}
