/* SPDX-License-Identifier: BSD-3-Clause */
/* Audit events: a ring with one writer and one reader. */
#include <errno.h>
#include <stdlib.h>

#include "kx_auth.h"

struct kx_audit {
	/* the writer's */
	uint64_t tail;
	uint64_t lost;
	/* the reader's */
	uint64_t head KX_ALIGNED(KX_CACHE_LINE);
	uint64_t lost_told;
	struct kx_audit_event ring[KX_AUDIT_RING] KX_ALIGNED(KX_CACHE_LINE);
};

int kx_audit_create(struct kx_audit **out)
{
	void *audit;

	*out = NULL;
	if (posix_memalign(&audit, KX_CACHE_LINE, sizeof(struct kx_audit)) != 0)
		return -ENOMEM;
	*out = audit;
	**out = (struct kx_audit){.tail = 0};
	return 0;
}

void kx_audit_destroy(struct kx_audit *audit)
{
	free(audit);
}

void kx_audit_put(struct kx_audit *audit, const struct kx_audit_event *event)
{
	if (audit == NULL)
		return;
	/* pairs with kx_audit_get(): the place was read before it is written again */
	if (audit->tail - __atomic_load_n(&audit->head, __ATOMIC_ACQUIRE) == KX_AUDIT_RING) {
		kx_count(&audit->lost, 1);
		return;
	}
	audit->ring[audit->tail % KX_AUDIT_RING] = *event;
	__atomic_store_n(&audit->tail, audit->tail + 1, __ATOMIC_RELEASE);
}

bool kx_audit_get(struct kx_audit *audit, struct kx_audit_event *event)
{
	/* pairs with kx_audit_put(): the event was written before it is counted */
	if (audit->head == __atomic_load_n(&audit->tail, __ATOMIC_ACQUIRE))
		return false;
	*event = audit->ring[audit->head % KX_AUDIT_RING];
	__atomic_store_n(&audit->head, audit->head + 1, __ATOMIC_RELEASE);
	return true;
}

uint64_t kx_audit_lost(struct kx_audit *audit)
{
	uint64_t lost = kx_counter_read(&audit->lost), since = lost - audit->lost_told;

	audit->lost_told = lost;
	return since;
}

const char *kx_audit_name(enum kx_audit_what what)
{
	static const char *const names[] = {"accepted", "refused", "denied", "path", "fenced"};

	return (size_t)what < KX_DIM(names) ? names[what] : "";
}
