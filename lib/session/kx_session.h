/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * Session: what both ends of a KXP session share. The frame and transport tables (how frames get in and out
 * of the portable core), and the reliability state: receive window, send window, NAK pacing, round trip time,
 * budget of repairs, congestion. Portable.
 *
 * Time is always passed in, in ns of one monotonic clock. No object here is shared between threads.
 */
#ifndef KX_SESSION_H
#define KX_SESSION_H

#include "kx_wire.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- addresses, paths, frames
 * ------------------------------------------------------------------------------ */

/** UDP endpoint. IPv4 as ::ffff:a.b.c.d. Compare with kx_addr_equal(). */
struct kx_addr {
	union {
		uint8_t ip[16];
		uint64_t ip64[2];
	};
	uint16_t port; /**< host byte order */
	uint16_t zero[3];
};
static KX_ALWAYS_INLINE bool kx_addr_equal(const struct kx_addr *a, const struct kx_addr *b)
{
	return a->ip64[0] == b->ip64[0] && a->ip64[1] == b->ip64[1] && a->port == b->port;
}
static inline bool kx_addr_is_v4(const struct kx_addr *a)
{
	return a->ip64[0] == 0 && a->ip[8] == 0 && a->ip[9] == 0 && a->ip[10] == 0xff && a->ip[11] == 0xff;
}
/** Largest KXP frame towards it before anything is known of the path. */
static inline uint16_t kx_addr_datagram_base(const struct kx_addr *a)
{
	return kx_addr_is_v4(a) ? KX_DATAGRAM_DEFAULT_V4 : KX_DATAGRAM_DEFAULT_V6;
}
/** Parse "1.2.3.4", "1.2.3.4:9000", "fd00::1", "[fd00::1]:9000". @return 0 or -EINVAL. Any thread. */
int kx_addr_parse(const char *text, uint16_t default_port, struct kx_addr *out);
#define KX_ADDR_TEXT_BYTES 56
/** "1.2.3.4:9000" or "[fd00::1]:9000" into buf. @return buf. Any thread. */
char *kx_addr_format(const struct kx_addr *a, char buf[KX_ADDR_TEXT_BYTES]);

#define KX_PATH_LINK_BYTES 72
/** A way to a peer: its address, ours, and what the transport needs to build the headers (opaque to the
 * core). */
struct kx_path {
	struct kx_addr remote;
	struct kx_addr local;
	uint16_t datagram_bytes; /**< largest KXP frame that fits (MTU less headers) */
	uint16_t port_id;	 /**< transport's: DPDK port */
	uint16_t link_bytes;	 /**< transport's */
	uint16_t zero;
	uint8_t link[KX_PATH_LINK_BYTES]; /**< transport's: a header template */
} KX_ALIGNED(8);

#define KX_FRAME_OWNED                                                                                       \
	0x1 /**< the buffer is ours alone and has headroom: it may be rewritten and sent on (cut-through) */

/** One received datagram. The bytes stay valid until the frame is released (or forwarded). */
struct kx_frame {
	uint8_t *data; /**< KXP frame */
	uint32_t bytes;
	uint32_t flags;
	struct kx_addr remote; /**< source */
	void *buf;	       /**< transport's handle (an mbuf) */
	uint64_t rx_ns;	       /**< when its burst was taken */
	uint16_t local_port;   /**< destination UDP port, host order */
	uint16_t port_id;
	uint32_t zero;
};

/** Pins log memory that a sent slice refers to; released by the transport when the port is done with it. */
struct kx_pin {
	void (*release)(struct kx_pin *pin);
	uint64_t iova; /**< reserved for the transport */
};

/**
 * How frames enter and leave. One object a thread; every function is called by that thread only and never
 * blocks. `rx_burst`/`release` are used by clients only: a broker is handed its frames.
 */
struct kx_transport_ops {
	/** Take up to `max` received frames. @return how many. */
	unsigned int (*rx_burst)(void *transport, struct kx_frame *frames, unsigned int max);
	/** Give back the buffers of frames taken with rx_burst. */
	void (*release)(void *transport, struct kx_frame *frames, unsigned int n);
	/**
	 * An empty buffer with room for `bytes` of KXP frame, 8-byte aligned.
	 * @return handle and *data, or NULL when there is none (the caller tries again in a later turn). The
	 * transport of a broker charges that to its ledger, as one frame built and dropped for TX_NO_BUFFER;
	 * the broker does not.
	 */
	void *(*alloc)(void *transport, uint32_t bytes, uint8_t **data);
	/** Give back a buffer of alloc() unsent. */
	void (*free)(void *transport, void *buf);
	/** Queue a finished (sealed) frame for sending; takes the buffer. It leaves at the latest with the
	 * next flush. */
	void (*send)(void *transport, void *buf, uint32_t bytes, const struct kx_path *path);
	/** Send everything queued. Frames the port does not take within bounded retries are dropped and
	 * counted. */
	void (*flush)(void *transport);
	/** Frames that may be queued now and are expected to leave with the next flush. */
	unsigned int (*room)(void *transport);
	/** Path back to the sender of a received frame. @return 0 or -errno. */
	int (*path_of)(void *transport, const struct kx_frame *frame, struct kx_path *path);
	/** Path to an address. @return 0; -EAGAIN while a neighbour is being resolved; -ENETUNREACH */
	int (*path_to)(void *transport, const struct kx_addr *remote, struct kx_path *path);
	/**
	 * Cut-through: send a received frame (KX_FRAME_OWNED), rewritten in place, on another path. Takes the
	 * buffer. NULL where the transport cannot.
	 */
	void (*forward)(void *transport, struct kx_frame *frame, uint32_t bytes, const struct kx_path *path);
	/**
	 * Send `head_bytes` written to `buf` followed by `slice_bytes` of log memory without copying them;
	 * pin->release is called when the port is done. @return 0 (took buf and pin); -ENOTSUP or -ENOBUFS
	 * (took nothing): copy. NULL where the transport cannot.
	 */
	int (*send_slice)(void *transport, void *buf, uint32_t head_bytes, const uint8_t *slice,
		uint32_t slice_bytes, struct kx_pin *pin, const struct kx_path *path);
	/** Clients: a descriptor that is readable while a frame waits to be received. -1, or NULL here: none.
	 */
	int (*fd)(void *transport);
	/**
	 * Clients: the way out carries less than a frame that was given to send() since the last call; it is
	 * lost. Called after each flush until it says 0. NULL: never known.
	 * @return bytes of the smallest such frame and *remote, to whom; 0: none
	 */
	uint32_t (*refused)(void *transport, struct kx_addr *remote);
};
struct kx_transport {
	const struct kx_transport_ops *ops;
	void *ctx;
};

/* ---- receive window: which packet numbers have come
 * -------------------------------------------------------- */

#define KX_RXWIN_PKTS	4096 /**< packets above next_pkt that can be told apart; power of two */
#define KX_RXWIN_CLOSED 16   /**< holes closed by the floor that are remembered: were they late or lost? */
#define KX_RXWIN_JUMP_MAX                                                                                    \
	(UINT64_C(1) << 32) /**< furthest a packet beyond the window may carry it by its floor */
#define KX_PKT_NO_MAX	      (UINT64_C(1) << 62) /**< higher packet numbers are never taken */
#define KX_NAK_BACKOFF_MAX_NS UINT64_C(100000000)

/**
 * Which packet numbers have come. A hole is a number in [next_pkt, largest_pkt) that has not.
 *
 * Per received frame, after the frame is checked: kx_rxwin_check_frame(), the frame's own checks, then
 * kx_rxwin_mark_frame(). Both take the sender's floor from the frame, so that a run of packets longer than
 * the window that was lost and will not be repaired (an outage while the peer sends what has no repair by
 * number) does not lock the window for ever.
 */
struct kx_rxwin {
	uint64_t next_pkt;    /**< all below received or closed; starts at 1 */
	uint64_t largest_pkt; /**< 0 before the first */
	uint64_t largest_ns;  /**< when largest_pkt came: ack delay */
	uint64_t gap_ns; /**< holes below gap_pkt that no NAK has named were all seen by then; 0: none such */
	uint64_t gap_pkt;	/**< largest_pkt at gap_ns */
	uint64_t nak_high_pkt;	/**< holes below have been named by a NAK */
	uint64_t nak_round_pkt; /**< holes below are named again at nak_due_ns */
	uint64_t nak_from_pkt;	/**< a round that needs several NAKs goes on here */
	uint64_t nak_due_ns;
	uint64_t nak_ns;       /**< when the last round was named */
	uint64_t nak_next_pkt; /**< next_pkt then: progress resets the back-off */
	uint32_t nak_tries;    /**< rounds in a row without progress */
	uint32_t late; /**< packets that came after a NAK had named them; the caller's to read and clear */
	uint64_t bits[KX_RXWIN_PKTS / 64]; /**< ring bitmap of [next_pkt, next_pkt + KX_RXWIN_PKTS) */
	uint64_t closed[KX_RXWIN_CLOSED]; /**< the last holes named by a NAK that the floor closed; 0: none */
	uint32_t closed_at;
	uint32_t zero;
};
void kx_rxwin_init(struct kx_rxwin *w);

/** Is a number below largest_pkt missing? */
static KX_ALWAYS_INLINE bool kx_rxwin_has_hole(const struct kx_rxwin *w)
{
	return w->largest_pkt >= w->next_pkt;
}

/** Would this number be new? Changes nothing. @return KX_DROP_NONE, KX_DROP_PKT_DUPLICATE or
 * KX_DROP_PKT_WINDOW */
static KX_ALWAYS_INLINE enum kx_drop kx_rxwin_check(const struct kx_rxwin *w, uint64_t pkt_no)
{
	uint64_t index = pkt_no & (KX_RXWIN_PKTS - 1);

	if (kx_likely(pkt_no == w->next_pkt))
		return KX_DROP_NONE;
	if (pkt_no < w->next_pkt)
		return KX_DROP_PKT_DUPLICATE;
	if (pkt_no - w->next_pkt >= KX_RXWIN_PKTS || pkt_no > KX_PKT_NO_MAX)
		return KX_DROP_PKT_WINDOW;
	return w->bits[index / 64] >> (index % 64) & 1 ? KX_DROP_PKT_DUPLICATE : KX_DROP_NONE;
}

/** kx_rxwin_mark() for every case but the next packet without a hole. */
void kx_rxwin_mark_slow(struct kx_rxwin *w, uint64_t pkt_no, uint64_t now_ns);

/** Mark as received; kx_rxwin_check() said KX_DROP_NONE. */
static KX_ALWAYS_INLINE void kx_rxwin_mark(struct kx_rxwin *w, uint64_t pkt_no, uint64_t now_ns)
{
	if (kx_unlikely(pkt_no != w->next_pkt || kx_rxwin_has_hole(w))) {
		kx_rxwin_mark_slow(w, pkt_no, now_ns);
		return;
	}
	w->next_pkt = pkt_no + 1;
	w->largest_pkt = pkt_no;
	w->largest_ns = now_ns;
}

/**
 * A packet that was no more than a duplicate (KX_DROP_PKT_DUPLICATE): was it named by a NAK, and closed by
 * the floor when its repair had come? Then it was late (w->late), not lost.
 */
void kx_rxwin_duplicate(struct kx_rxwin *w, uint64_t pkt_no);

/** kx_rxwin_floor() for a floor above next_pkt. */
void kx_rxwin_floor_slow(struct kx_rxwin *w, uint64_t floor_pkt, uint64_t now_ns);

/** The sender's floor: close every hole below it. A floor above largest_pkt + 1 is cut to that. */
static KX_ALWAYS_INLINE void kx_rxwin_floor(struct kx_rxwin *w, uint64_t floor_pkt, uint64_t now_ns)
{
	if (kx_unlikely(floor_pkt > w->next_pkt))
		kx_rxwin_floor_slow(w, floor_pkt, now_ns);
}

/** pkt_no - floor_delta of a frame, 0 when the delta reaches below the first packet. */
static KX_ALWAYS_INLINE uint64_t kx_rxwin_floor_of(uint64_t pkt_no, uint32_t floor_delta)
{
	return floor_delta < pkt_no ? pkt_no - floor_delta : 0;
}

/**
 * kx_rxwin_check() of a frame with its floor_delta: a packet beyond the window is also new when its floor
 * closes everything that would fall out of the window, and it is less than KX_RXWIN_JUMP_MAX ahead.
 */
static KX_ALWAYS_INLINE enum kx_drop kx_rxwin_check_frame(
	const struct kx_rxwin *w, uint64_t pkt_no, uint32_t floor_delta)
{
	enum kx_drop drop = kx_rxwin_check(w, pkt_no);

	if (kx_unlikely(drop == KX_DROP_PKT_WINDOW) && floor_delta < KX_RXWIN_PKTS &&
		pkt_no <= KX_PKT_NO_MAX && pkt_no - w->next_pkt < KX_RXWIN_JUMP_MAX)
		return KX_DROP_NONE;
	return drop;
}

/** kx_rxwin_mark_frame() of a packet beyond the window. */
void kx_rxwin_jump(struct kx_rxwin *w, uint64_t pkt_no, uint32_t floor_delta, uint64_t now_ns);

/** Mark a frame and apply its floor; kx_rxwin_check_frame() said KX_DROP_NONE. */
static KX_ALWAYS_INLINE void kx_rxwin_mark_frame(
	struct kx_rxwin *w, uint64_t pkt_no, uint32_t floor_delta, uint64_t now_ns)
{
	if (kx_unlikely(pkt_no - w->next_pkt >= KX_RXWIN_PKTS)) {
		kx_rxwin_jump(w, pkt_no, floor_delta, now_ns);
		return;
	}
	kx_rxwin_mark(w, pkt_no, now_ns);
	kx_rxwin_floor(w, kx_rxwin_floor_of(pkt_no, floor_delta), now_ns);
}

/** Selective ranges above next_pkt, ascending. @return how many (<= max <= KX_ACK_RANGES_MAX). */
unsigned int kx_rxwin_ranges(const struct kx_rxwin *w, struct kx_ack_range *out, unsigned int max);
/** Fill next_pkt, largest_pkt and ack_delay_ns (saturating) of a receipt; the other fields are the caller's.
 */
void kx_rxwin_receipt(const struct kx_rxwin *w, uint64_t now_ns, struct kx_receipt *out);
/**
 * Holes to name in a NAK now. A hole is named once it has been seen for `reorder_ns` (at the latest after
 * twice that: one time stamp serves all holes), all such holes in one call; and again, all that are still
 * open, after a back-off of rtt_ns * 2^tries (at least reorder_ns and 20 us, at most 100 ms), where tries
 * counts such rounds without progress of next_pkt. Holes first named in the middle of a back-off are named
 * again one round later, also when progress has ended that round. When there are more than `max` the next
 * call goes on with the rest at once.
 * @return entries written (kind KX_NAK_PKTS, ascending), <= max.
 */
unsigned int kx_rxwin_nak(struct kx_rxwin *w, uint64_t now_ns, uint64_t reorder_ns, uint64_t rtt_ns,
	struct kx_nak_entry *out, unsigned int max);

/* ---- send window: what each packet number carried
 * ---------------------------------------------------------- */

#define KX_TXWIN_PKTS	 KX_RXWIN_PKTS
#define KX_TXWIN_RESERVE 256 /**< numbers kept for repairs, acks and heartbeats when the window is full */

struct kx_tx_slot {
	uint64_t sent_ns;
	uint32_t ref; /**< caller's: what the packet carried */
	uint32_t zero;
};
/**
 * Ring of sent packets [floor_pkt, next_pkt), at most KX_TXWIN_PKTS. A packet is waiting (sent, not
 * acknowledged, to be repaired) or done (acknowledged, replaced, or never to be repaired).
 */
struct kx_txwin {
	uint64_t next_pkt;    /**< number the next packet gets; starts at 1 */
	uint64_t floor_pkt;   /**< lowest still waiting, or next_pkt */
	uint64_t acked_pkt;   /**< highest next_pkt of the peer's receipts; starts at 1 */
	uint64_t progress_ns; /**< last time an acknowledgement made progress (or the window became non-empty)
			       */
	uint32_t waiting;     /**< packets waiting */
	uint32_t probes;      /**< probe time-outs in a row */
	struct kx_tx_slot *slots;	   /**< KX_TXWIN_PKTS, allocated by kx_txwin_init() */
	uint64_t bits[KX_TXWIN_PKTS / 64]; /**< ring bitmap: waiting */
};
/** @return 0, -ENOMEM */
int kx_txwin_init(struct kx_txwin *w);
void kx_txwin_fini(struct kx_txwin *w);
/** May a further packet be numbered for something new? False once the window less its reserve is used. */
static inline bool kx_txwin_open(const struct kx_txwin *w)
{
	return w->next_pkt - w->floor_pkt < KX_TXWIN_PKTS - KX_TXWIN_RESERVE;
}
/**
 * May a further packet be numbered for a repair, an ack or a heartbeat? When a probe is due and this is
 * false, take floor_pkt out and send it again: that makes room for its new number.
 */
static inline bool kx_txwin_open_reserve(const struct kx_txwin *w)
{
	return w->next_pkt - w->floor_pkt < KX_TXWIN_PKTS;
}
/**
 * Number a packet that will be repaired when lost (ref: what it carries). New ones only while
 * kx_txwin_open(), repairs while kx_txwin_open_reserve().
 * @return its pkt_no; the frame's floor_delta is pkt_no - w->floor_pkt after this call. 0 (and nothing
 * changed) when the window is full.
 */
uint64_t kx_txwin_send(struct kx_txwin *w, uint32_t ref, uint64_t now_ns);
/**
 * Number a packet that is never repaired by number (acks, heartbeats, requests with their own timer). Only
 * while kx_txwin_open_reserve(). @return as kx_txwin_send(); its floor_delta is pkt_no - KX_MIN(pkt_no,
 * w->floor_pkt)
 */
uint64_t kx_txwin_send_unreliable(struct kx_txwin *w, uint64_t now_ns);
/** floor_delta of the frame numbered last (pkt_no of it): pkt_no - floor_pkt, 0 when nothing waits. */
static inline uint32_t kx_txwin_floor_delta(const struct kx_txwin *w, uint64_t pkt_no)
{
	return pkt_no > w->floor_pkt ? (uint32_t)(pkt_no - w->floor_pkt) : 0;
}
/** Called for each packet that an acknowledgement newly covers, ascending; must not touch the window. */
typedef void (*kx_tx_acked_fn)(void *arg, uint64_t pkt_no, uint32_t ref);
/**
 * Apply a receipt and its r->range_count ranges. Hostile-proof: a receipt that names packets never sent, or
 * has ranges that are empty, overlapping, adjacent or not ascending, or too many, changes nothing. Work: the
 * newly covered packets, and at most the window's bitmap.
 * @param fn  may be NULL
 * @param rtt_sample_ns  set to now - sent time of largest_pkt - ack_delay (at least 1; without the delay
 * where that is more than the time passed) when largest_pkt is newly acknowledged, else 0.
 * @return newly acknowledged packets, or -EINVAL.
 */
int kx_txwin_ack(struct kx_txwin *w, const struct kx_receipt *r, const struct kx_ack_range *ranges,
	uint64_t now_ns, kx_tx_acked_fn fn, void *arg, uint64_t *rtt_sample_ns);
/**
 * Take one packet named by a NAK out of the window, to be sent again under a new number.
 * @return true and *ref when it was waiting (it is done now: the next kx_txwin_send() replaces it), else
 * false.
 */
bool kx_txwin_take(struct kx_txwin *w, uint64_t pkt_no, uint32_t *ref);
/**
 * The waiting packet with the lowest number in [first, last], for walking a NAK entry in time bounded by the
 * window, whatever the entry says. @return its number, 0 when there is none.
 */
uint64_t kx_txwin_find(const struct kx_txwin *w, uint64_t first, uint64_t last);
/**
 * When the next probe is due: probe k (0, 1, ...) pto_ns * 2^k after the last progress, from the seventh on
 * every 64 * pto_ns. UINT64_MAX while nothing waits.
 */
uint64_t kx_txwin_probe_ns(const struct kx_txwin *w, uint64_t pto_ns);
/** Is it due? True: send a HEARTBEAT, which names the highest number by its own. Counts the probe. */
bool kx_txwin_probe_due(struct kx_txwin *w, uint64_t now_ns, uint64_t pto_ns);

/* ---- round trip time (RFC 6298 smoothing, ns)
 * -------------------------------------------------------------- */

#define KX_RTT_SAMPLE_MAX_NS (10 * KX_NS_PER_S)

struct kx_rtt {
	uint64_t srtt_ns;
	uint64_t var_ns;
	uint64_t min_ns;
	uint64_t late_ns; /**< reorder allowance learned from what came late */
	bool valid;
};
void kx_rtt_init(struct kx_rtt *r);
/** One sample: 0 is ignored, more than KX_RTT_SAMPLE_MAX_NS counts as that. */
void kx_rtt_sample(struct kx_rtt *r, uint64_t sample_ns);
/** Time after which silence means loss: srtt + 4 * var, at least 1 ms (software ends are descheduled), before
 * the first sample 100 ms. */
uint64_t kx_rtt_pto_ns(const struct kx_rtt *r);
/** Reorder allowance: the larger of srtt / 8 and what was learned (kx_rtt_late()), within [20 us, 5 ms]. */
uint64_t kx_rtt_reorder_ns(const struct kx_rtt *r);
/** Something came that a NAK had named already, in the original: the allowance was too short and is doubled.
 */
void kx_rtt_late(struct kx_rtt *r);
/** Holes are named: a sixteenth of what was learned is forgotten. */
void kx_rtt_named(struct kx_rtt *r);

/* ---- budget of repairs
 * ------------------------------------------------------------------------------------- */

#define KX_RETX_SHARE	     10	  /**< one repair for so many packets that arrived */
#define KX_RETX_DEPTH	     1024 /**< repairs that may be saved up; also the most in one round */
/** Repairs in a round that has nothing to go by; a larger one has at most so many for each millisecond since
 * the one before began. */
#define KX_RETX_FLOOR	     8
#define KX_RETX_ROUND_MIN_NS UINT64_C(1000000)

/**
 * Token bucket of what is sent again in one direction of a session, so that a storm of losses does not
 * multiply the traffic: a tenth of what arrived, up to KX_RETX_DEPTH of it saved. It begins full: a lone loss
 * is repaired at once. When it is empty, repairs leave in rounds, however little arrives. A round has
 * KX_RETX_FLOOR of them, or twice as many as the one before when that made progress (what is missing gets
 * less); no more than KX_RETX_FLOOR for each whole millisecond since the one before began, and no more than
 * KX_RETX_DEPTH. The next one begins a probe time-out after it (at least 1 ms), or, with progress, after a
 * smoothed round trip (at least 1 ms). What a round has not used is not kept. With more than half of the
 * bucket saved again rounds begin small.
 *
 * So over a long time what is sent again is at most a tenth of what arrived, and KX_RETX_FLOOR a millisecond
 * besides; of a moment, at most what was saved and a round or two.
 */
struct kx_retx_budget {
	uint64_t round_ns; /**< when this round began */
	uint64_t due_ns;   /**< when the next one may begin */
	uint32_t tokens;   /**< KX_RETX_SHARE are one repair */
	uint16_t floor;	   /**< repairs of this round */
	uint16_t left;	   /**< that were not sent yet */
	bool progress;	   /**< since the round began */
};
static inline void kx_retx_init(struct kx_retx_budget *b)
{
	*b = (struct kx_retx_budget){.round_ns = 0,
		.due_ns = 0,
		.tokens = KX_RETX_DEPTH * KX_RETX_SHARE,
		.floor = KX_RETX_FLOOR / 2,
		.left = 0,
		.progress = true};
}
/** `pkts` packets are known to have arrived. */
static KX_ALWAYS_INLINE void kx_retx_earn(struct kx_retx_budget *b, uint64_t pkts)
{
	b->tokens = (uint32_t)KX_MIN(b->tokens + pkts, (uint64_t)KX_RETX_DEPTH * KX_RETX_SHARE);
}
/** Less is missing than before: something arrived that was, or all that came before it. */
static KX_ALWAYS_INLINE void kx_retx_progress(struct kx_retx_budget *b, uint64_t srtt_ns)
{
	b->progress = true;
	b->due_ns = KX_MIN(b->due_ns, b->round_ns + KX_MAX(srtt_ns, KX_RETX_ROUND_MIN_NS));
}
/** When the next repair may go: 0 (now), or a time. */
static inline uint64_t kx_retx_due_ns(const struct kx_retx_budget *b)
{
	return b->tokens >= KX_RETX_SHARE || b->left > 0 ? 0 : b->due_ns;
}
/** A repair leaves; kx_retx_due_ns() was not later than now. */
void kx_retx_spend(struct kx_retx_budget *b, uint64_t now_ns, uint64_t pto_ns);

/* ---- congestion
 * ----------------------------------------------------------------------------------------- */

#define KX_CC_NOISE_NS	   UINT64_C(1000000)   /**< a round trip longer by this is the ends' own business */
#define KX_CC_PERSIST_NS   UINT64_C(100000000) /**< a queue that stands for so long is congestion */
#define KX_CC_LOSS_PKTS	   512		       /**< losses are counted over so many packets */
#define KX_CC_LOSS_SHARE   8		       /**< more than one in so many of them is congestion */
#define KX_CC_WINDOW_MIN   4
#define KX_CC_WINDOW_START 64
#define KX_CC_WINDOW_MAX   KX_TXWIN_PKTS /**< a window of this size is none: the control ends */

/**
 * Congestion response of one direction of a session. Off while there is none: then kx_cc_may() is one branch
 * for a packet, and kx_cc_acked() a few for a receipt. On: at most `window_pkts` packets are under way, and
 * they leave in portions of an eighth of a round trip. It comes on when round trips stay longer than the
 * shortest by twice the noise, and by half of it, for KX_CC_PERSIST_NS, or more than an eighth of
 * the packets are lost: independent losses of a few per cent are none of its business. A session begins with
 * it on, the window doubling with each round trip in which it was used up and no queue was seen; two
 * windows that arrived are one, when no receipt could be timed.
 *
 * The window follows from the shortest round trip in the last one, less the noise:
 * w = (w + w * shortest / rtt + 16 + w / 16) / 2, so that each sender keeps about 16 packets waiting in the
 * queue, whatever its share was; too many losses make it smaller by their share, and it grows from there by
 * 1, 2, 3, ... Delays of packets that arrive in clumps are no queue of a link: an end waits for its CPU.
 */
struct kx_cc {
	bool on;
	bool start;   /**< doubling, no congestion met yet */
	bool limited; /**< the window was used up in this round */
	bool clumped; /**< the last round brought its packets in a clump: an end waited for its CPU */
	uint8_t dip;  /**< rounds with a quarter of the window: the queue drains, the shortest round trip is
			 seen */
	uint32_t window_pkts;
	uint32_t step_pkts;	   /**< growth at most, after losses */
	uint32_t acked, lost;	   /**< since loss_ns */
	uint32_t over_samples;	   /**< since over_ns */
	uint32_t bad_counts;	   /**< with too many lost, in a row */
	uint32_t clump, clump_max; /**< arrived since clump_ns; most in such a time since over_ns */
	uint32_t quota;		   /**< packets that may go before pace_ns */
	uint32_t congestions;	   /**< times it met any; for statistics */
	uint32_t cuts; /**< times losses made the window smaller: of what left before, no further losses count
			*/
	uint32_t round_clump;		/**< most that arrived in a millisecond of this round */
	uint64_t min_ns, min_before_ns; /**< shortest round trip of this epoch, and of the one before; 0 */
	uint64_t clump_ns;
	uint64_t over_acked;
	uint64_t high_ns; /**< a sample above is a queue */
	uint64_t epoch_ns, loss_ns;
	uint64_t over_ns; /**< all samples since were high; 0: the last was not */
	uint64_t round_ns, round_min_ns;
	uint64_t round_acked; /**< packets that arrived in this round */
	uint64_t used_ns;     /**< when the window was used up last */
	uint64_t pace_ns;
};
void kx_cc_init(struct kx_cc *cc, uint64_t now_ns);
/** kx_cc_acked() where there is something to think about. */
void kx_cc_acked_slow(struct kx_cc *cc, uint32_t pkts, uint64_t rtt_ns, uint64_t srtt_ns, uint64_t now_ns);
/** A receipt: `pkts` are newly known to have arrived; rtt_ns is its sample, or 0. */
static KX_ALWAYS_INLINE void kx_cc_acked(
	struct kx_cc *cc, uint32_t pkts, uint64_t rtt_ns, uint64_t srtt_ns, uint64_t now_ns)
{
	cc->acked += pkts;
	if (kx_unlikely(cc->on || cc->over_ns != 0 || rtt_ns > cc->high_ns ||
		    (rtt_ns != 0 && rtt_ns < cc->min_ns) || cc->acked + cc->lost >= KX_CC_LOSS_PKTS))
		kx_cc_acked_slow(cc, pkts, rtt_ns, srtt_ns, now_ns);
}
/** Packets were named as lost. */
static inline void kx_cc_lost(struct kx_cc *cc, uint32_t pkts)
{
	cc->lost += pkts;
}
bool kx_cc_may_slow(struct kx_cc *cc, uint64_t under_way_pkts, uint64_t srtt_ns, uint64_t now_ns);
/** May a packet go while so many are under way? */
static KX_ALWAYS_INLINE bool kx_cc_may(
	struct kx_cc *cc, uint64_t under_way_pkts, uint64_t srtt_ns, uint64_t now_ns)
{
	return kx_likely(!cc->on) || kx_cc_may_slow(cc, under_way_pkts, srtt_ns, now_ns);
}
/** One has left. */
static KX_ALWAYS_INLINE void kx_cc_sent(struct kx_cc *cc)
{
	if (kx_unlikely(cc->on) && cc->quota > 0)
		cc->quota--;
}

#ifdef __cplusplus
}
#endif
#endif
