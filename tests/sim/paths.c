/* SPDX-License-Identifier: BSD-3-Clause */
/* What the paths carry: each direction of each client has a size of its own, never less than the base, that
 * shrinks without a word (a black hole) and grows again. Ports and processes differ in what they take, too.
 */
#include "sim.h"

static const uint16_t sizes[] = {KX_DATAGRAM_DEFAULT_V4, 1400, 1452, 2020, 3000, 4072, 8952, 8952};

static uint32_t any_size(struct sim *s)
{
	return sizes[flow_pick(s, KX_DIM(sizes))];
}

/* Before the configuration is written. */
void paths_init(struct sim *s)
{
	s->broker.datagram_bytes = KX_DATAGRAM_DEFAULT_V4;
	if (s->features & FLOW_PATHS)
		s->broker.datagram_bytes = flow_chance(s, 700) ? 8952 : any_size(s);
}

void paths_begin(struct sim *s)
{
	for (uint32_t i = 0; i < KX_DIM(s->net.links); i++)
		for (int d = 0; d < 2; d++)
			s->net.links[i][d].path_bytes = KX_FRAME_MAX_BYTES;
	for (uint32_t i = 0; i < SIM_CLIENTS; i++) {
		struct client *c = &s->clients[i];

		c->datagram_bytes = KX_DATAGRAM_DEFAULT_V4;
		if (!(s->features & FLOW_PATHS))
			continue;
		c->datagram_bytes = flow_chance(s, 700) ? 8952 : any_size(s);
		for (int d = 0; d < 2; d++)
			s->net.links[i][d].path_bytes =
				flow_chance(s, 500) ? KX_FRAME_MAX_BYTES : any_size(s);
	}
	if (s->features & FLOW_PATHS)
		sim_at(s, s->now_ns + flow_pick(s, 10 * KX_NS_PER_S), EV_PATH, 0, 0);
}

void paths_change(struct sim *s)
{
	struct link *l = &s->net.links[flow_pick(s, s->client_count)][flow_pick(s, 2)];
	uint32_t before = l->path_bytes;

	if (s->calm)
		return;
	l->path_bytes = any_size(s);
	if (l->path_bytes > before)
		fault_hit(s, SIM_PATH_GROWS);
	TRACE(s, "a path carries %u bytes, no more %u", l->path_bytes, before);
	sim_at(s, s->now_ns + 100 * SIM_MS + flow_pick(s, 8 * KX_NS_PER_S), EV_PATH, 0, 0);
}

uint32_t paths_client_bytes(const struct client *c)
{
	return c->datagram_bytes;
}

void paths_slots(struct sim *s, struct kx_producer_opts *opts)
{
	if ((s->features & FLOW_PATHS) && flow_chance(s, 800))
		opts->slot_bytes = flow_chance(s, 700) ? 9000 : 1232 + (uint32_t)flow_pick(s, 8000);
}

void paths_holds(struct sim *s, struct kx_consumer_opts *opts)
{
	if ((s->features & FLOW_PATHS) && flow_chance(s, 800))
		opts->hold_bytes = flow_chance(s, 700) ? 9000 : 1232 + (uint32_t)flow_pick(s, 8000);
}
