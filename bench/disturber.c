/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A client that misbehaves on purpose, over ordinary UDP sockets, for bench/isolation.sh:
 *   disturber MODE BROKER[:PORT] PARTITION SECONDS
 *
 *   slow-consumer    subscribes to the partition and takes one datagram's worth every 10 ms
 *   dead-consumer    subscribes with a large window, then is silent
 *   lying-consumer   zero window for ever, acknowledges what it never got, subscribes and unsubscribes
 *   nak-storm        asks for everything it was sent, again and again
 *   handshake-flood  HELLO and forged AUTH as fast as the socket takes them, at most 50,000 a second
 *   quota            produces to the partition without regard to credit or limit, 20,000 frames a second
 *
 * Prints `ready` when its session is up, and at the end what it sent and got. Ends by itself after SECONDS.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "kx_session.h"

#define WINDOW (UINT64_C(4) << 20)
#define MS     UINT64_C(1000000)

struct client {
	int fd;
	uint64_t conn_id, next_pkt, producer_id, top_pkt;
	uint64_t sent, got;
	uint64_t next_offset; /* one beyond the highest delivered */
	uint64_t got_bytes, limit_bytes;
	uint32_t producer_epoch;
	struct kx_cookie cookie;
	struct kx_accept accept;
	bool have_cookie, have_accept;
};

static volatile sig_atomic_t stop;

static void on_signal(int sig)
{
	(void)sig;
	stop = 1;
}

static void give(struct client *c, const void *frame, size_t bytes)
{
	if (send(c->fd, frame, bytes, MSG_DONTWAIT) == (ssize_t)bytes)
		c->sent++;
}

static uint8_t *begin(struct client *c, uint64_t *buf, enum kx_frame_type type)
{
	return kx_frame_begin((uint8_t *)buf, type, c->conn_id, c->conn_id != 0 ? c->next_pkt++ : 0, 0, 0);
}

static void end(struct client *c, uint64_t *buf, uint32_t body_bytes)
{
	uint32_t bytes = (uint32_t)sizeof(struct kx_frame_hdr) + body_bytes;

	kx_frame_seal((uint8_t *)buf, bytes);
	give(c, buf, bytes);
}

static void take(struct client *c, const uint8_t *data, size_t bytes)
{
	const struct kx_frame_hdr *h = (const struct kx_frame_hdr *)data;
	const uint8_t *body = (const uint8_t *)(h + 1);
	struct kx_frame_view v;

	if (kx_frame_check(data, bytes, KX_FROM_BROKER, &v) != KX_DROP_NONE)
		return;
	c->got++;
	if (h->pkt_no > c->top_pkt)
		c->top_pkt = h->pkt_no;
	if (h->type == KX_COOKIE) {
		memcpy(&c->cookie, body, sizeof(c->cookie));
		c->have_cookie = true;
	} else if (h->type == KX_ACCEPT) {
		memcpy(&c->accept, body, sizeof(c->accept));
		c->have_accept = true;
	} else if (h->type == KX_DELIVER) {
		const struct kx_batch_hdr *batch = (const struct kx_batch_hdr *)v.body;

		c->got_bytes += v.body_bytes;
		c->next_offset = KX_MAX(c->next_offset, batch->base_offset + v.record_count);
	}
}

/* What has come, waiting up to `ms` for a first datagram; a bounded number. */
static void receive(struct client *c, int ms)
{
	static uint64_t buf[8192];
	struct pollfd p = {.fd = c->fd, .events = POLLIN};

	if (poll(&p, 1, ms) <= 0)
		return;
	for (int i = 0; i < 256; i++) {
		ssize_t n = recv(c->fd, buf, sizeof(buf), MSG_DONTWAIT);

		if (n <= 0)
			return;
		take(c, (const uint8_t *)buf, (size_t)n);
	}
}

static bool set_up(struct client *c)
{
	uint64_t hello[KX_HELLO_BYTES / 8] = {0}, auth[KX_HELLO_BYTES / 8] = {0};
	struct kx_hello *h = (struct kx_hello *)kx_frame_begin((uint8_t *)hello, KX_HELLO, 0, 0, 0, 0);
	struct kx_auth *a = (struct kx_auth *)kx_frame_begin((uint8_t *)auth, KX_AUTH, 0, 0, 0, 0);

	if (kx_random_bytes(h->client_nonce, KX_NONCE_BYTES) != 0)
		return false;
	h->version_min = h->version_max = KX_WIRE_VERSION;
	kx_frame_seal((uint8_t *)hello, sizeof(hello));
	for (int i = 0; i < 50 && !c->have_cookie && !stop; i++) {
		give(c, hello, sizeof(hello));
		receive(c, 100);
	}
	memcpy(a->client_nonce, h->client_nonce, KX_NONCE_BYTES);
	memcpy(a->cookie, c->cookie.cookie, KX_COOKIE_BYTES);
	memcpy(a->broker_nonce, c->cookie.broker_nonce, KX_NONCE_BYTES);
	a->datagram_bytes = KX_DATAGRAM_DEFAULT_V4;
	kx_frame_seal((uint8_t *)auth, sizeof(auth));
	for (int i = 0; i < 50 && c->have_cookie && !c->have_accept && !stop; i++) {
		give(c, auth, sizeof(auth));
		receive(c, 100);
	}
	c->conn_id = c->accept.conn_id;
	c->producer_id = c->accept.producer_id;
	c->producer_epoch = c->accept.producer_epoch;
	c->next_pkt = 1;
	c->top_pkt = 0;
	return c->have_accept;
}

static void subscribe(struct client *c, uint32_t partition, uint32_t sub_id, uint64_t window)
{
	uint64_t buf[16];

	*(struct kx_subscribe *)begin(c, buf, KX_SUBSCRIBE) = (struct kx_subscribe){.request_id = sub_id,
		.partition = partition,
		.start_offset = KX_OFFSET_NOW,
		.limit_bytes = window,
		.sub_id = sub_id};
	end(c, buf, sizeof(struct kx_subscribe));
	c->limit_bytes = window;
}

static void unsubscribe(struct client *c, uint32_t sub_id)
{
	uint64_t buf[16];

	*(struct kx_unsubscribe *)begin(c, buf, KX_UNSUBSCRIBE) =
		(struct kx_unsubscribe){.request_id = sub_id, .sub_id = sub_id};
	end(c, buf, sizeof(struct kx_unsubscribe));
}

/* Position and credit; acknowledges every packet, so that nothing looks like congestion. */
static void credit(struct client *c, uint32_t sub_id, uint64_t next_offset, uint64_t limit_bytes)
{
	uint64_t buf[32];
	struct kx_receipt *r = (struct kx_receipt *)begin(c, buf, KX_CREDIT);
	struct kx_credit_entry *e = (struct kx_credit_entry *)(r + 1);

	*r = (struct kx_receipt){.next_pkt = c->top_pkt + 1, .largest_pkt = c->top_pkt, .entry_count = 1};
	*e = (struct kx_credit_entry){.sub_id = sub_id,
		.next_offset = next_offset,
		.limit_bytes = limit_bytes,
		.done_offset = next_offset};
	end(c, buf, sizeof(*r) + sizeof(*e));
}

static void heartbeat(struct client *c)
{
	uint64_t buf[16];

	*(struct kx_receipt *)begin(c, buf, KX_HEARTBEAT) =
		(struct kx_receipt){.next_pkt = c->top_pkt + 1, .largest_pkt = c->top_pkt};
	end(c, buf, sizeof(struct kx_receipt));
}

/* ---- modes: one step each, called again until the time is up */

static void slow_consumer(struct client *c, uint32_t partition, uint64_t step)
{
	if (step == 0)
		subscribe(c, partition, 1, KX_DATAGRAM_DEFAULT_V4);
	receive(c, 10);
	credit(c, 1, c->next_offset, c->got_bytes + KX_DATAGRAM_DEFAULT_V4);
}

static void dead_consumer(struct client *c, uint32_t partition, uint64_t step)
{
	if (step == 0)
		subscribe(c, partition, 1, WINDOW);
	receive(c, 50);
}

static void lying_consumer(struct client *c, uint32_t partition, uint64_t step)
{
	if (step == 0)
		subscribe(c, partition, 1, 0);
	credit(c, 1, UINT64_C(1) << 60, 0);
	subscribe(c, partition, 2 + (uint32_t)(step % 16), 0);
	unsubscribe(c, 2 + (uint32_t)((step + 8) % 16));
	receive(c, step % 8 == 0);
}

static void nak_storm(struct client *c, uint32_t partition, uint64_t step)
{
	uint64_t buf[256];
	struct kx_nak *nak;
	struct kx_nak_entry *e;

	if (step == 0)
		subscribe(c, partition, 1, WINDOW);
	receive(c, 1);
	credit(c, 1, 0, c->got_bytes + WINDOW);
	if (c->next_offset == 0)
		return;
	nak = (struct kx_nak *)begin(c, buf, KX_NAK);
	e = (struct kx_nak_entry *)(nak + 1);
	*nak = (struct kx_nak){.entry_count = 32};
	for (uint32_t i = 0; i < 32; i++)
		e[i] = (struct kx_nak_entry){.handle = 1, .kind = KX_NAK_OFFSETS, .last = c->next_offset - 1};
	end(c, buf, (uint32_t)(sizeof(*nak) + 32 * sizeof(*e)));
}

static void handshake_flood(struct client *c, uint32_t partition, uint64_t step)
{
	static uint64_t hello[KX_HELLO_BYTES / 8], auth[KX_HELLO_BYTES / 8];
	struct timespec pause = {.tv_nsec = 1000000};

	(void)partition;
	if (step == 0) {
		struct kx_hello *h =
			(struct kx_hello *)kx_frame_begin((uint8_t *)hello, KX_HELLO, 0, 0, 0, 0);
		struct kx_auth *a = (struct kx_auth *)kx_frame_begin((uint8_t *)auth, KX_AUTH, 0, 0, 0, 0);

		h->version_min = h->version_max = KX_WIRE_VERSION;
		h->client_nonce[0] = a->client_nonce[0] = 1;
		memset(a->cookie, 0x5a, KX_COOKIE_BYTES);
		a->datagram_bytes = KX_DATAGRAM_DEFAULT_V4;
		kx_frame_seal((uint8_t *)hello, sizeof(hello));
		kx_frame_seal((uint8_t *)auth, sizeof(auth));
	}
	for (int i = 0; i < 25; i++) {
		give(c, hello, sizeof(hello));
		give(c, auth, sizeof(auth));
	}
	receive(c, 0);
	nanosleep(&pause, NULL);
}

static void quota(struct client *c, uint32_t partition, uint64_t step)
{
	static uint64_t seq;
	struct timespec pause = {.tv_nsec = 1000000};
	uint64_t buf[192];

	(void)step;
	for (int i = 0; i < 20; i++) {
		struct kx_batch_writer w;
		uint8_t *at = begin(c, buf, KX_PRODUCE);

		kx_batch_begin(&w, at, 1336, partition, c->producer_id, c->producer_epoch, seq, 0);
		for (int k = 0; k < 8; k++)
			memset(kx_batch_claim(&w, 64), k, 64);
		seq += 8;
		end(c, buf, kx_batch_end(&w));
	}
	receive(c, 0);
	nanosleep(&pause, NULL);
}

typedef void (*mode_fn)(struct client *c, uint32_t partition, uint64_t step);
static const struct {
	const char *name;
	mode_fn step;
	bool beats; /* stays alive by heartbeats */
} modes[] = {
	{"slow-consumer", slow_consumer, false},
	{"dead-consumer", dead_consumer, false},
	{"lying-consumer", lying_consumer, false},
	{"nak-storm", nak_storm, false},
	{"handshake-flood", handshake_flood, true},
	{"quota", quota, true},
};

static int open_socket(const char *broker)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), size = 4 << 20;
	struct sockaddr_in in = {.sin_family = AF_INET};
	struct kx_addr addr;

	if (fd < 0 || kx_addr_parse(broker, 9000, &addr) != 0 || !kx_addr_is_v4(&addr))
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	memcpy(&in.sin_addr, addr.ip + 12, 4);
	in.sin_port = htons(addr.port);
	return connect(fd, (const struct sockaddr *)&in, sizeof(in)) == 0 ? fd : -1;
}

int main(int argc, char **argv)
{
	struct client c = {0};
	mode_fn step = NULL;
	bool beats = false;
	uint64_t until, beat_ns = 0, n = 0;

	for (size_t i = 0; argc == 5 && i < KX_DIM(modes); i++) {
		if (strcmp(argv[1], modes[i].name) == 0) {
			step = modes[i].step;
			beats = modes[i].beats;
		}
	}
	c.fd = step == NULL ? -1 : open_socket(argv[2]);
	if (c.fd < 0) {
		fprintf(stderr, "usage: disturber MODE BROKER[:PORT] PARTITION SECONDS\n");
		return 2;
	}
	signal(SIGTERM, on_signal);
	signal(SIGINT, on_signal);
	if (!set_up(&c)) {
		fprintf(stderr, "disturber: no session with %s\n", argv[2]);
		return 1;
	}
	printf("ready\n");
	fflush(stdout);
	until = kx_clock_mono_ns() + (uint64_t)(atof(argv[4]) * 1e9);
	for (uint64_t now; !stop && (now = kx_clock_mono_ns()) < until; n++) {
		step(&c, (uint32_t)atoi(argv[3]), n);
		if (beats && now > beat_ns) {
			heartbeat(&c);
			beat_ns = now + 50 * MS;
		}
	}
	printf("%s: %llu frames sent, %llu got\n", argv[1], (unsigned long long)c.sent,
		(unsigned long long)c.got);
	return 0;
}
