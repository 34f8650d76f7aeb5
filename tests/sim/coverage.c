/* SPDX-License-Identifier: BSD-3-Clause */
/* What was reached, over all seeds of a run. What must occur and did not fails the run. */
#include "sim.h"

static const char *const fault_names[SIM_FAULT_COUNT] = {
#define SIM_FAULT_NAME(id, name) name,
	SIM_FAULT_LIST(SIM_FAULT_NAME)
#undef SIM_FAULT_NAME
};

const char *sim_fault_name(enum sim_fault f)
{
	return fault_names[f];
}

/* Frames by direction; REFUSE in a session is of no version yet. */
static const uint8_t client_types[] = {KX_HELLO, KX_AUTH, KX_CLOSE, KX_PING, KX_HEARTBEAT, KX_METADATA_REQ,
	KX_TOPICS_REQ, KX_SUBSCRIBE, KX_UNSUBSCRIBE, KX_PRODUCE, KX_PRODUCE_FRAG, KX_RX_ACK, KX_NAK,
	KX_CREDIT, KX_RESUME, KX_PATH_RESPONSE};
static const uint8_t broker_types[] = {KX_COOKIE, KX_ACCEPT, KX_REFUSE, KX_RESET, KX_CLOSE, KX_PONG,
	KX_HEARTBEAT, KX_METADATA, KX_TOPICS, KX_SUBSCRIBED, KX_UNSUBSCRIBED, KX_NOTICE, KX_NOT_OWNER,
	KX_PRODUCE_REFUSED, KX_DELIVER, KX_DELIVER_FRAG, KX_RX_ACK, KX_COMMIT_ACK, KX_NAK, KX_RESUMED,
	KX_PATH_CHALLENGE};

/*
 * Reasons that the portable core never gives, since what they are about lies outside of it: Ethernet to UDP
 * (lib/net), hand-over between lcores (lib/worker), the TX queue.
 */
static bool broker_never(enum kx_drop d)
{
	switch (d) {
	case KX_DROP_SUBS_FULL:		 /* no code gives it: SUBSCRIBED says so to the client */
	case KX_DROP_TX_FULL:		 /* lib/worker */
	case KX_DROP_PRINCIPAL_SESSIONS: /* all are anonymous here, with plain frames and every right */
	case KX_DROP_FRAME_UNPROTECTED:
	case KX_DROP_FRAME_TAG:
	case KX_DROP_ACCESS_DENIED:
	case KX_DROP_QUOTA_DEBT: /* and no topic has a quota here */
		return true;
	default:
		return d <= KX_DROP_HANDOVER_FULL;
	}
}

/* What damage on the way makes a client drop again and again; other reasons need a broker that lies. */
static bool client_gives(enum kx_drop d)
{
	return d == KX_DROP_FRAME_SHORT || d == KX_DROP_FRAME_VERSION || d == KX_DROP_FRAME_TYPE ||
		d == KX_DROP_FRAME_FLAGS || d == KX_DROP_FRAME_CHECK || d == KX_DROP_BATCH_CRC ||
		d == KX_DROP_PKT_DUPLICATE;
}

void coverage_add(struct sim_coverage *into, const struct sim_coverage *c)
{
	uint64_t *to = (uint64_t *)into;
	const uint64_t *from = (const uint64_t *)c;

	for (size_t i = 0; i < sizeof(*c) / sizeof(uint64_t); i++)
		to[i] += from[i];
}

static int row(FILE *out, const char *what, const char *name, uint64_t n, bool must)
{
	fprintf(out, "%-10s %-24s %12llu%s\n", what, name, (unsigned long long)n,
		n == 0 && must ? "  never" : "");
	return n == 0 && must;
}

int coverage_print(const struct sim_coverage *c, FILE *out)
{
	int never = 0;

	for (uint32_t i = 0; i < KX_DIM(client_types); i++)
		never += row(out, "to broker", kx_frame_type_name(client_types[i]),
			c->to_broker[client_types[i]], true);
	for (uint32_t i = 0; i < KX_DIM(broker_types); i++)
		never += row(out, "to client", kx_frame_type_name(broker_types[i]),
			c->to_client[broker_types[i]], true);
	for (uint32_t i = 0; i < KX_DROP_COUNT; i++)
		if (!broker_never((enum kx_drop)i))
			never += row(out, "broker", kx_drop_key((enum kx_drop)i), c->broker_drop[i], true);
	for (uint32_t i = 0; i < KX_DROP_COUNT; i++)
		if (client_gives((enum kx_drop)i))
			never += row(out, "client", kx_drop_key((enum kx_drop)i), c->client_drop[i], true);
	for (uint32_t i = 0; i < SIM_FAULT_COUNT; i++)
		never += row(out, "fault", sim_fault_name((enum sim_fault)i), c->fault[i], true);
	for (uint32_t i = 1; i < KX_DIM(c->event); i++)
		if (kx_event_name((enum kx_event_type)i)[0] != '?')
			(void)row(out, "event", kx_event_name((enum kx_event_type)i), c->event[i], false);
	for (uint32_t i = 0; i < KX_RESULT_COUNT; i++)
		if (c->result[i] != 0)
			(void)row(out, "completion", kx_result_name((enum kx_result)i), c->result[i], false);
	fprintf(out,
		"%llu seeds, %.0f s of virtual time, %llu events, %llu datagrams, %llu messages delivered\n",
		(unsigned long long)c->seeds, (double)c->virtual_ns / 1e9, (unsigned long long)c->events,
		(unsigned long long)c->datagrams, (unsigned long long)c->messages);
	return never;
}
