/* SPDX-License-Identifier: BSD-3-Clause */
/* The UDP transport on the loopback: singly and several datagrams as one, both families, what the kernel
 * refuses. */
#include "kx_test.h"

#include <errno.h>
#include <sys/socket.h>

#include "kx_transport_udp.h"

/* The linker puts this in front of the kernel's: what it says to several datagrams as one. */
int __real_sendmmsg(int fd, struct mmsghdr *msgs, unsigned int n, int flags);
int __wrap_sendmmsg(int fd, struct mmsghdr *msgs, unsigned int n, int flags);
static int refuse_with;

int __wrap_sendmmsg(int fd, struct mmsghdr *msgs, unsigned int n, int flags)
{
	if (refuse_with != 0 && msgs[0].msg_hdr.msg_iovlen > 1) {
		errno = refuse_with;
		return -1;
	}
	return __real_sendmmsg(fd, msgs, refuse_with != 0 ? 1 : n, flags);
}

static void test_udp_transport(void **state)
{
	struct kx_transport_udp_opts a = {.local = "127.0.0.1"}, bad = {.datagram_bytes = 100};
	struct kx_transport_udp *x, *y;
	struct kx_transport_udp_opts b = {.local = "127.0.0.1:19377", .datagram_bytes = 1232};
	struct kx_transport_udp_stats stats;
	struct kx_transport tx, ty;
	struct kx_addr addr, v6;
	struct kx_path path;
	struct kx_frame f[4];
	unsigned int got = 0;
	uint8_t *data;
	void *buf;

	(void)state;
	assert_int_equal(kx_transport_udp_open(&bad, &x), -EINVAL);
	bad = (struct kx_transport_udp_opts){.local = "not an address"};
	assert_int_equal(kx_transport_udp_open(&bad, &x), -EINVAL);
	assert_int_equal(kx_transport_udp_open(&a, &x), 0);
	assert_int_equal(kx_transport_udp_open(&b, &y), 0);
	bad = b;
	assert_int_equal(kx_transport_udp_open(&bad, &x), -EADDRINUSE);
	tx = kx_transport_udp(x);
	ty = kx_transport_udp(y);
	assert_int_equal(kx_addr_parse("127.0.0.1:19377", 0, &addr), 0);
	assert_int_equal(kx_addr_parse("[::1]:19377", 0, &v6), 0);
	assert_int_equal(tx.ops->path_to(tx.ctx, &v6, &path), -ENETUNREACH);
	assert_int_equal(tx.ops->path_to(tx.ctx, &addr, &path), 0);
	assert_int_equal(path.datagram_bytes, KX_DATAGRAM_DEFAULT_V4);
	assert_null(tx.ops->alloc(tx.ctx, KX_DATAGRAM_DEFAULT_V4 + 1, &data));
	/* more than the queue holds, one of them larger than the receiver takes */
	for (unsigned int i = 0; i < 300; i++) {
		uint32_t bytes = i == 7 ? 1300 : 8 + i;

		buf = tx.ops->alloc(tx.ctx, bytes, &data);
		assert_non_null(buf);
		memset(data, (int)i, bytes);
		tx.ops->send(tx.ctx, buf, bytes, &path);
	}
	tx.ops->flush(tx.ctx);
	assert_int_equal(tx.ops->room(tx.ctx), 128);
	for (int i = 0; i < 1000 && got < 299; i++) {
		unsigned int n = ty.ops->rx_burst(ty.ctx, f, 4);

		for (unsigned int k = 0; k < n; k++) {
			if (got == 7)
				got++;
			assert_int_equal(f[k].bytes, 8 + got);
			assert_int_equal(f[k].data[0], (uint8_t)got);
			assert_true(f[k].rx_ns > 0);
			got++;
		}
		ty.ops->release(ty.ctx, f, n);
	}
	assert_int_equal(got, 300);
	kx_transport_udp_stats(y, &stats);
	assert_int_equal(stats.rx_frames, 299);
	assert_int_equal(stats.rx_truncated, 1);
	kx_transport_udp_stats(x, &stats);
	assert_int_equal(stats.tx_frames, 300);
	assert_int_equal(stats.tx_dropped, 0);
	kx_transport_udp_close(x);
	kx_transport_udp_close(y);
	kx_transport_udp_close(NULL);
}

/* ---- several datagrams as one */

struct pipe {
	struct kx_transport_udp *from, *to;
	struct kx_transport tx, rx;
	struct kx_path path;
};

static void pipe_open(struct pipe *p, struct kx_transport_udp_opts o)
{
	struct kx_transport_udp_opts to = o;
	struct kx_addr addr;

	o.local = o.v6 ? "::1" : "127.0.0.1";
	to.local = o.v6 ? "[::1]:19378" : "127.0.0.1:19378";
	assert_int_equal(kx_transport_udp_open(&o, &p->from), 0);
	assert_int_equal(kx_transport_udp_open(&to, &p->to), 0);
	p->tx = kx_transport_udp(p->from);
	p->rx = kx_transport_udp(p->to);
	assert_int_equal(kx_addr_parse(to.local, 0, &addr), 0);
	assert_int_equal(p->tx.ops->path_to(p->tx.ctx, &addr, &p->path), 0);
}

static void pipe_close(struct pipe *p)
{
	kx_transport_udp_close(p->from);
	kx_transport_udp_close(p->to);
}

/* n datagrams, sizes as size(i) says, in bursts of `burst`; all must come, whole, in order, aligned. */
static void through(struct pipe *p, uint32_t n, uint32_t (*size)(uint32_t i), unsigned int burst)
{
	struct kx_frame f[64];
	uint32_t sent = 0, got = 0;

	for (int turn = 0; turn < 100000 && got < n; turn++) {
		unsigned int k;

		for (; sent < n && sent < got + 200; sent++) {
			uint8_t *data;
			void *buf = p->tx.ops->alloc(p->tx.ctx, size(sent), &data);

			assert_non_null(buf);
			memset(data, (int)(sent * 7), size(sent));
			p->tx.ops->send(p->tx.ctx, buf, size(sent), &p->path);
		}
		p->tx.ops->flush(p->tx.ctx);
		k = p->rx.ops->rx_burst(p->rx.ctx, f, burst);
		assert_true(k <= burst);
		for (unsigned int i = 0; i < k; i++, got++) {
			assert_int_equal(f[i].bytes, size(got));
			assert_int_equal((uintptr_t)f[i].data % 8, 0);
			for (uint32_t b = 0; b < f[i].bytes; b++)
				assert_int_equal(f[i].data[b], (uint8_t)(got * 7));
		}
		p->rx.ops->release(p->rx.ctx, f, k);
	}
	assert_int_equal(got, n);
	assert_int_equal(p->rx.ops->rx_burst(p->rx.ctx, f, burst), 0);
}

static uint32_t full(uint32_t i)
{
	(void)i;
	return 1232;
}

static uint32_t mixed(uint32_t i)
{
	return i % 7 == 6 ? 200 : i % 31 == 0 ? 800 : 1232;
}

static uint32_t odd(uint32_t i)
{
	return i % 9 == 8 ? 13 : 1001;
}

static void ways(bool v6)
{
	for (unsigned int way = 0; way < 4; way++) {
		struct kx_transport_udp_opts o = {.v6 = v6, .no_gso = way & 1, .no_gro = way & 2};
		struct kx_transport_udp_stats tx, rx;
		struct pipe p;

		pipe_open(&p, o);
		through(&p, 1000, full, 64);
		through(&p, 1000, mixed, 64);
		through(&p, 300, full, 3); /* what one call brought lasts for many bursts */
		through(&p, 300, odd, 64);
		kx_transport_udp_stats(p.from, &tx);
		kx_transport_udp_stats(p.to, &rx);
		assert_int_equal(tx.tx_frames, 2600);
		assert_int_equal(rx.rx_frames, 2600);
		assert_int_equal(tx.tx_dropped + tx.tx_too_large + rx.rx_truncated, 0);
		assert_true(tx.gso || o.no_gso); /* Linux 5.0 has both */
		assert_true(rx.gro || o.no_gro);
		assert_true(o.no_gso ? tx.tx_gso_frames == 0 : tx.tx_gso_frames > 2000);
		assert_true(o.no_gso || o.no_gro ? rx.rx_gro_frames <= 2600 : rx.rx_gro_frames > 2000);
		assert_true(o.no_gro ? rx.rx_gro_frames == 0 : true);
		assert_true(tx.tx_calls > 0 && tx.tx_calls < 200 && rx.rx_calls > 0);
		assert_true(tx.send_bytes > 0 && rx.receive_bytes > 0);
		pipe_close(&p);
	}
}

static void test_ipv4(void **state)
{
	(void)state;
	ways(false);
}

static void test_ipv6(void **state)
{
	(void)state;
	ways(true);
}

static void test_kernel_without_segmentation(void **state)
{
	struct kx_transport_udp_stats s;
	struct pipe p;

	(void)state;
	pipe_open(&p, (struct kx_transport_udp_opts){0});
	refuse_with = EIO;
	through(&p, 500, full, 64);
	refuse_with = 0;
	kx_transport_udp_stats(p.from, &s);
	assert_false(s.gso); /* asked once */
	assert_int_equal(s.tx_frames, 500);
	assert_int_equal(s.tx_gso_frames, 0);
	assert_int_equal(s.tx_dropped, 0);
	pipe_close(&p);
	/* too large for the path now: no reason to give it up */
	pipe_open(&p, (struct kx_transport_udp_opts){0});
	refuse_with = EMSGSIZE;
	through(&p, 500, full, 64);
	refuse_with = 0;
	through(&p, 500, full, 64);
	kx_transport_udp_stats(p.from, &s);
	assert_true(s.gso);
	assert_true(s.tx_gso_frames > 0);
	assert_int_equal(s.tx_frames, 1000);
	pipe_close(&p);
}

static void test_what_the_kernel_refuses_is_counted(void **state)
{
	struct kx_transport_udp_stats s;
	struct kx_path nowhere;
	struct kx_addr addr;
	struct pipe p;

	(void)state;
	pipe_open(&p, (struct kx_transport_udp_opts){0});
	assert_int_equal(kx_addr_parse("127.0.0.1:19378", 0, &addr), 0);
	addr.ip[12] = 0; /* 0.0.0.1 */
	assert_int_equal(p.tx.ops->path_to(p.tx.ctx, &addr, &nowhere), 0);
	for (int i = 0; i < 3; i++) {
		uint8_t *data;
		void *buf = p.tx.ops->alloc(p.tx.ctx, 1232, &data);

		memset(data, 0, 1232);
		p.tx.ops->send(p.tx.ctx, buf, 1232, &nowhere);
	}
	p.tx.ops->flush(p.tx.ctx);
	kx_transport_udp_stats(p.from, &s);
	assert_int_equal(s.tx_dropped, 3);
	assert_int_equal(s.tx_frames, 0);
	assert_true(s.last_error != 0);
	assert_int_equal(p.tx.ops->room(p.tx.ctx), 128);
	pipe_close(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_udp_transport),
		cmocka_unit_test(test_ipv4),
		cmocka_unit_test(test_ipv6),
		cmocka_unit_test(test_kernel_without_segmentation),
		cmocka_unit_test(test_what_the_kernel_refuses_is_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
