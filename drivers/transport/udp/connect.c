/* SPDX-License-Identifier: BSD-3-Clause */
/* Transport, hub and client in one. */
#include <errno.h>

#include "kx_transport_udp.h"

static int errno_of(enum kx_result r)
{
	return r == KX_OK ? 0 : r == KX_NO_MEMORY ? -ENOMEM : -EINVAL;
}

int kx_client_connect_udp(const struct kx_client_opts *opts, struct kx_udp_client *out)
{
	struct kx_transport_udp_opts udp = {0};
	struct kx_transport transport;
	int rc;

	if (opts == NULL || out == NULL)
		return -EINVAL;
	*out = (struct kx_udp_client){0};
	udp.v6 = !kx_addr_is_v4(&opts->broker);
	rc = kx_transport_udp_open(&udp, &out->transport);
	if (rc != 0)
		return rc;
	transport = kx_transport_udp(out->transport);
	rc = errno_of(kx_hub_open(&transport, NULL, &out->hub));
	if (rc == 0)
		rc = errno_of(kx_client_open(out->hub, opts, kx_clock_mono_ns(), &out->client));
	if (rc != 0)
		kx_udp_client_close(out);
	return rc;
}

void kx_udp_client_turn(struct kx_udp_client *c, uint64_t max_wait_ns)
{
	uint64_t now_ns = kx_clock_mono_ns(), deadline_ns;

	if (kx_hub_poll(c->hub, now_ns) != 0 || max_wait_ns == 0)
		return;
	deadline_ns = kx_hub_next_deadline_ns(c->hub);
	kx_transport_udp_wait(c->transport, KX_MIN(deadline_ns, now_ns + max_wait_ns));
}

void kx_udp_client_close(struct kx_udp_client *c)
{
	(void)kx_hub_close(c->hub, kx_clock_mono_ns());
	kx_transport_udp_close(c->transport);
	*c = (struct kx_udp_client){0};
}
