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

/*
 * What must occur is taken from the product's own lists: frame types by name and direction from lib/wire,
 * reasons from KX_DROP_LIST, faults from SIM_FAULT_LIST. What the portable core cannot give, or a client
 * cannot be made to give by a broker that tells the truth, is left out here and nowhere else, each with its
 * cause, and one by one: a new reason must occur until it is written down here why it cannot.
 */
struct left_out {
	uint32_t what;
	const char *why; /* for readers */
};

static const struct left_out broker_left_out[] = {
	{KX_DROP_ETH_SHORT, "lib/net: Ethernet to UDP"},
	{KX_DROP_ETH_NOT_FOR_US, "lib/net: Ethernet to UDP"},
	{KX_DROP_ETH_SOURCE, "lib/net: Ethernet to UDP"},
	{KX_DROP_ETH_TYPE, "lib/net: Ethernet to UDP"},
	{KX_DROP_VLAN, "lib/net: Ethernet to UDP"},
	{KX_DROP_ARP_BAD, "lib/net: Ethernet to UDP"},
	{KX_DROP_IP4_SHORT, "lib/net: Ethernet to UDP"},
	{KX_DROP_IP4_HEADER, "lib/net: Ethernet to UDP"},
	{KX_DROP_IP4_OPTIONS, "lib/net: Ethernet to UDP"},
	{KX_DROP_IP4_FRAGMENT, "lib/net: Ethernet to UDP"},
	{KX_DROP_IP4_NOT_FOR_US, "lib/net: Ethernet to UDP"},
	{KX_DROP_IP4_SOURCE, "lib/net: Ethernet to UDP"},
	{KX_DROP_IP6_SHORT, "lib/net: Ethernet to UDP"},
	{KX_DROP_IP6_HEADER, "lib/net: Ethernet to UDP"},
	{KX_DROP_IP6_FRAGMENT, "lib/net: Ethernet to UDP"},
	{KX_DROP_IP6_EXTENSION, "lib/net: Ethernet to UDP"},
	{KX_DROP_IP6_NOT_FOR_US, "lib/net: Ethernet to UDP"},
	{KX_DROP_IP6_SOURCE, "lib/net: Ethernet to UDP"},
	{KX_DROP_IP_PROTOCOL, "lib/net: Ethernet to UDP"},
	{KX_DROP_ICMP_BAD, "lib/net: Ethernet to UDP"},
	{KX_DROP_ICMP_TYPE, "lib/net: Ethernet to UDP"},
	{KX_DROP_ICMP_LARGE, "lib/net: Ethernet to UDP"},
	{KX_DROP_ND_BAD, "lib/net: Ethernet to UDP"},
	{KX_DROP_UDP_SHORT, "lib/net: Ethernet to UDP"},
	{KX_DROP_UDP_CHECKSUM, "lib/net: Ethernet to UDP"},
	{KX_DROP_UDP_PORT, "lib/net: Ethernet to UDP"},
	{KX_DROP_NET_SEGMENTED, "lib/net: Ethernet to UDP"},
	{KX_DROP_NET_NO_BUFFER, "lib/net: Ethernet to UDP"},
	{KX_DROP_HANDOVER_FULL, "lib/worker: hand-over between lcores"},
	{KX_DROP_TX_FULL, "lib/worker: the TX queue"},
	{KX_DROP_SUBS_FULL, "tables have more places than all clients ask for"},
};

static const struct left_out client_left_out[] = {
	{KX_DROP_ETH_SHORT, "not of a client's transport here"},
	{KX_DROP_ETH_NOT_FOR_US, "not of a client's transport here"},
	{KX_DROP_ETH_SOURCE, "not of a client's transport here"},
	{KX_DROP_ETH_TYPE, "not of a client's transport here"},
	{KX_DROP_VLAN, "not of a client's transport here"},
	{KX_DROP_ARP_BAD, "not of a client's transport here"},
	{KX_DROP_IP4_SHORT, "not of a client's transport here"},
	{KX_DROP_IP4_HEADER, "not of a client's transport here"},
	{KX_DROP_IP4_OPTIONS, "not of a client's transport here"},
	{KX_DROP_IP4_FRAGMENT, "not of a client's transport here"},
	{KX_DROP_IP4_NOT_FOR_US, "not of a client's transport here"},
	{KX_DROP_IP4_SOURCE, "not of a client's transport here"},
	{KX_DROP_IP6_SHORT, "not of a client's transport here"},
	{KX_DROP_IP6_HEADER, "not of a client's transport here"},
	{KX_DROP_IP6_FRAGMENT, "not of a client's transport here"},
	{KX_DROP_IP6_EXTENSION, "not of a client's transport here"},
	{KX_DROP_IP6_NOT_FOR_US, "not of a client's transport here"},
	{KX_DROP_IP6_SOURCE, "not of a client's transport here"},
	{KX_DROP_IP_PROTOCOL, "not of a client's transport here"},
	{KX_DROP_ICMP_BAD, "not of a client's transport here"},
	{KX_DROP_ICMP_TYPE, "not of a client's transport here"},
	{KX_DROP_ICMP_LARGE, "not of a client's transport here"},
	{KX_DROP_ND_BAD, "not of a client's transport here"},
	{KX_DROP_UDP_SHORT, "not of a client's transport here"},
	{KX_DROP_UDP_CHECKSUM, "not of a client's transport here"},
	{KX_DROP_UDP_PORT, "not of a client's transport here"},
	{KX_DROP_NET_SEGMENTED, "not of a client's transport here"},
	{KX_DROP_NET_NO_BUFFER, "not of a client's transport here"},
	{KX_DROP_HANDOVER_FULL, "not of a client's transport here"},
	{KX_DROP_HELLO_UNPADDED, "a broker's"},
	{KX_DROP_COOKIE_BAD, "a broker's"},
	{KX_DROP_SETUP_BUDGET, "a broker's"},
	{KX_DROP_SESSIONS_FULL, "a broker's"},
	{KX_DROP_PRINCIPAL_SESSIONS, "a broker's"},
	{KX_DROP_CONN_UNKNOWN, "a broker's; frames of no session are counted as unknown"},
	{KX_DROP_CONN_PATH, "a broker's; frames of no session are counted as unknown"},
	{KX_DROP_PATH_TOKEN, "a broker's"},
	{KX_DROP_REQUEST_BUDGET, "a broker's"},
	{KX_DROP_PARTITION_UNKNOWN, "a broker's"},
	{KX_DROP_ACCESS_DENIED, "a broker's"},
	{KX_DROP_NOT_OWNER, "a broker's"},
	{KX_DROP_PRODUCER_FOREIGN, "a broker's"},
	{KX_DROP_PRODUCER_FENCED, "a broker's"},
	{KX_DROP_PRODUCER_RESYNC, "a broker's"},
	{KX_DROP_SEQ_DUPLICATE, "a broker's"},
	{KX_DROP_SEQ_WINDOW, "a broker's"},
	{KX_DROP_PRODUCERS_FULL, "a broker's"},
	{KX_DROP_CREDIT_EXCEEDED, "a broker's"},
	{KX_DROP_QUOTA_DEBT, "a broker's"},
	{KX_DROP_LOG_FULL, "a broker's"},
	{KX_DROP_BATCH_TOO_LARGE, "a broker's"},
	{KX_DROP_FRAG_BAD, "a part of a session's subscription: only a broker that lies"},
	{KX_DROP_FRAG_LIMIT, "a broker's"},
	{KX_DROP_FRAG_STALE, "a broker's"},
	{KX_DROP_SUBS_FULL, "a broker's"},
	{KX_DROP_CONSUMER_LIES, "a broker's"},
	{KX_DROP_BROKER_STOPPING, "a broker's"},
	{KX_DROP_TX_NO_BUFFER, "a broker's"},
	{KX_DROP_TX_FULL, "a broker's"},
	{KX_DROP_TX_NO_NEIGHBOUR, "a broker's"},
};

static bool is_left_out(const struct left_out *list, size_t n, uint32_t what)
{
	for (size_t i = 0; i < n; i++)
		if (what == list[i].what)
			return true;
	return false;
}
#define LEFT_OUT(list, what) is_left_out(list, KX_DIM(list), (uint32_t)(what))

/* Does lib/wire take this type from that side? Its type is what a bare header is refused for first. */
static bool sent_by(enum kx_side from, uint8_t type)
{
	uint8_t frame[sizeof(struct kx_frame_hdr)] KX_ALIGNED(8);
	struct kx_frame_view v;

	kx_frame_begin(frame, (enum kx_frame_type)type, 1, 1, 0, 0);
	kx_frame_seal(frame, sizeof(frame));
	return kx_frame_type_name(type)[0] != '?' &&
		kx_frame_check(frame, sizeof(frame), from, &v) != KX_DROP_FRAME_TYPE;
}

void coverage_add(struct sim_coverage *into, const struct sim_coverage *c)
{
	uint64_t *to = (uint64_t *)into;
	const uint64_t *from = (const uint64_t *)c;

	for (size_t i = 0; i < sizeof(*c) / sizeof(uint64_t); i++)
		to[i] += from[i];
}

/* What never occurred and must, for a line of its own. */
static char missing_text[4096];
static struct kx_text missing;

static int row(FILE *out, const char *what, const char *name, uint64_t n, bool must)
{
	fprintf(out, "%-10s %-24s %12llu%s\n", what, name, (unsigned long long)n,
		n == 0 && must ? "  never" : "");
	if (n == 0 && must)
		kx_text_add(&missing, "%s%s %s", missing.len != 0 ? ", " : "", what, name);
	return n == 0 && must;
}

int coverage_print(const struct sim_coverage *c, FILE *out)
{
	int never = 0;

	kx_text_init(&missing, missing_text, sizeof(missing_text));
	for (uint32_t i = 0; i < 256; i++)
		if (sent_by(KX_FROM_CLIENT, (uint8_t)i))
			never += row(out, "to broker", kx_frame_type_name((uint8_t)i), c->to_broker[i], true);
	for (uint32_t i = 0; i < 256; i++)
		if (sent_by(KX_FROM_BROKER, (uint8_t)i))
			never += row(out, "to client", kx_frame_type_name((uint8_t)i), c->to_client[i], true);
	for (uint32_t i = 0; i < KX_DROP_COUNT; i++)
		if (!LEFT_OUT(broker_left_out, i) || c->broker_drop[i] != 0)
			never += row(out, "broker", kx_drop_key((enum kx_drop)i), c->broker_drop[i],
				!LEFT_OUT(broker_left_out, i));
	for (uint32_t i = 0; i < KX_DROP_COUNT; i++)
		if (!LEFT_OUT(client_left_out, i) || c->client_drop[i] != 0)
			never += row(out, "client", kx_drop_key((enum kx_drop)i), c->client_drop[i],
				!LEFT_OUT(client_left_out, i));
	for (uint32_t i = 0; i < SIM_FAULT_COUNT; i++)
		never += row(out, "fault", sim_fault_name((enum sim_fault)i), c->fault[i], true);
	for (uint32_t i = 0; i < SIM_REACHED_COUNT; i++)
		never += row(out, "reached", sim_reached_name((enum sim_reached)i), c->reached[i], true);
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
	if (never > 0)
		fprintf(out, "%d things must occur and never did: %s\n", never, missing_text);
	return never;
}
