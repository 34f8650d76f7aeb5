/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How large a frame the path of a channel carries: probes climb from what every path does, one step after the
 * other, as long as they are answered. When large frames are lost again and again while small ones come, the
 * path carries less than it did: back to where it began, and up again later.
 */
#include "client_pvt.h"

#define TRIES	    3
#define TELLS	    8
#define REST_FIRST  (10 * KX_NS_PER_S)
#define REST_MAX    (600 * KX_NS_PER_S)
#define FALL_FIRST  (100 * MS) /* then climb again; doubled with each fall, up to REST_FIRST */
#define ROUNDS	    4	       /* the first sending and three repairs */
#define TELL_MAX    (1000 * MS)
#define PROBE_BYTES ((uint32_t)(FRAME_HDR + sizeof(struct kx_mtu))) /* of one that only tells */

/* The next size to try; 0: there is none. */
static uint16_t next_step(const struct channel *ch)
{
	static const uint16_t steps[] = {1372, 1452, 2020, 4072, 8952};

	for (unsigned int i = 0; i < KX_DIM(steps); i++)
		if (steps[i] > ch->datagram_bytes && steps[i] < ch->mtu.most)
			return steps[i];
	return ch->datagram_bytes < ch->mtu.most ? ch->mtu.most : 0;
}

static bool send_probe(struct channel *ch, uint32_t size, uint64_t now_ns)
{
	uint32_t body_bytes = size - FRAME_HDR - ch->tag_bytes;
	struct out o;

	if (!kxc_channel_begin(ch, KX_MTU_PROBE, body_bytes, now_ns, &o))
		return false;
	memset(o.body, 0, body_bytes);
	*(struct kx_mtu *)o.body =
		(struct kx_mtu){.size = (uint16_t)size, .proven_bytes = ch->datagram_bytes};
	kxc_channel_send(ch, &o, body_bytes, now_ns);
	ch->client->stats.mtu_probes++;
	return true;
}

static uint64_t backoff_ns(const struct channel *ch, uint32_t tries, uint64_t most_ns)
{
	return KX_MIN(kx_rtt_pto_ns(&ch->rtt) << KX_MIN(tries, 8u), most_ns);
}

static unsigned int climb(struct channel *ch, uint64_t now_ns)
{
	struct mtu *m = &ch->mtu;
	uint16_t step = next_step(ch);

	if (step == 0 || now_ns < m->try_ns)
		return 0;
	if (m->tries == TRIES) {
		m->tries = 0;
		m->rest_ns = m->rest_ns == 0 ? REST_FIRST : KX_MIN(2 * m->rest_ns, REST_MAX);
		m->try_ns = now_ns + m->rest_ns;
		return 0;
	}
	m->try_ns = now_ns + backoff_ns(ch, m->tries, TELL_MAX);
	if (!send_probe(ch, step, now_ns))
		return 0;
	m->asked = step;
	m->tries++;
	return 1;
}

/* The broker has not said yet that it sends what we know to pass; a probe that is answered tells it too. */
static unsigned int tell(struct channel *ch, uint64_t now_ns)
{
	struct mtu *m = &ch->mtu;

	if (m->told == ch->datagram_bytes || m->tells == TELLS || now_ns < m->tell_ns)
		return 0;
	m->tell_ns = now_ns + backoff_ns(ch, m->tells, TELL_MAX);
	if (!send_probe(ch, PROBE_BYTES + ch->tag_bytes, now_ns))
		return 0;
	m->tells++;
	return 1;
}

unsigned int kxc_mtu_service(struct channel *ch, uint64_t now_ns)
{
	struct mtu *m = &ch->mtu;
	unsigned int n = climb(ch, now_ns);

	if (n == 0 || m->tries > 1)
		n += tell(ch, now_ns);
	m->due_ns = UINT64_MAX;
	if (next_step(ch) != 0)
		m->due_ns = m->try_ns;
	if (m->told != ch->datagram_bytes && m->tells < TELLS)
		m->due_ns = KX_MIN(m->due_ns, KX_MAX(m->tell_ns, now_ns + 1));
	return n;
}

void kxc_mtu_open(struct channel *ch, uint16_t most, uint64_t now_ns)
{
	uint16_t base = KX_MIN(most, kx_addr_datagram_base(&ch->remote));

	ch->datagram_bytes = base;
	ch->mtu = (struct mtu){.base = base,
		.most = most,
		.told = base,
		.try_ns = now_ns,
		.due_ns = most > base ? now_ns : UINT64_MAX};
	kxc_client_resized(ch->client);
}

void kxc_mtu_probed(struct channel *ch, const struct kx_frame_view *v, uint64_t now_ns)
{
	const struct kx_mtu *b = (const struct kx_mtu *)v->body;
	struct mtu *m = &ch->mtu;

	if (v->hdr->pkt_no > m->heard_pkt) {
		m->heard_pkt = v->hdr->pkt_no;
		m->told = b->proven_bytes;
	}
	if (b->size == m->asked && b->size > ch->datagram_bytes) {
		ch->datagram_bytes = b->size;
		m->asked = 0;
		m->tries = m->tells = 0;
		m->rest_ns = 0;
		m->try_ns = m->tell_ns = now_ns;
		kxc_client_resized(ch->client);
	}
	m->due_ns = now_ns;
}

/* From the base on, after `wait_ns`. */
static void begin_again(struct channel *ch, uint64_t wait_ns, uint64_t now_ns)
{
	struct mtu *m = &ch->mtu;

	m->asked = m->told = 0;
	m->rounds = m->tries = m->tells = 0;
	m->rest_ns = 0;
	m->try_ns = now_ns + wait_ns;
	m->tell_ns = m->due_ns = now_ns;
	if (ch->datagram_bytes == m->base)
		return;
	ch->datagram_bytes = m->base;
	kxc_client_resized(ch->client);
	kxc_transmit_again(ch);
	channel_ready(ch);
}

static void fall(struct channel *ch, uint64_t now_ns)
{
	uint64_t wait_ns = KX_MIN(FALL_FIRST << KX_MIN(ch->mtu.falls, 16u), REST_FIRST);

	ch->mtu.falls++;
	ch->client->stats.mtu_falls++;
	begin_again(ch, wait_ns, now_ns);
}

void kxc_mtu_refused(struct channel *ch, uint32_t bytes, uint64_t now_ns)
{
	struct mtu *m = &ch->mtu;

	if (ch->state != CH_OPEN || bytes <= m->base) /* there is nothing smaller to go to */
		return;
	if (bytes <= ch->datagram_bytes) {
		fall(ch, now_ns);
	} else if (bytes == m->asked) { /* a probe: no use in asking twice more */
		m->tries = TRIES;
		m->try_ns = m->due_ns = now_ns;
		channel_ready(ch);
	}
}

void kxc_mtu_restart(struct channel *ch, uint64_t now_ns)
{
	if (ch->mtu.most > ch->mtu.base)
		begin_again(ch, 0, now_ns);
}

void kxc_mtu_lost(struct channel *ch, uint64_t pkt_no, uint32_t ref, uint64_t now_ns)
{
	struct mtu *m = &ch->mtu;

	if (kx_likely(ch->datagram_bytes == m->base) || pkt_no < m->round_pkt ||
		kxc_transmit_bytes(ch, ref) <= m->base)
		return;
	m->round_pkt = ch->tx.next_pkt; /* what was sent before now counts once */
	if (++m->rounds == ROUNDS)
		fall(ch, now_ns);
}

void kxc_mtu_acked(struct channel *ch, uint32_t ref)
{
	if (kxc_transmit_bytes(ch, ref) > ch->mtu.base)
		ch->mtu.rounds = 0;
}

void kxc_mtu_deaf(struct channel *ch, uint64_t now_ns)
{
	if (ch->datagram_bytes > ch->mtu.base)
		fall(ch, now_ns);
}
