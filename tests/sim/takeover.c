/* SPDX-License-Identifier: BSD-3-Clause */
/* Take-overs: a standby goes on as a producer that may still be there; and what its ACCEPT promises. */
#include <stdlib.h>
#include <string.h>

#include "identity.h"

struct takeover {
	struct kx_map map; /* client nonce: number of its AUTH, counted when it was first here */
	struct kx_map
		newest;	 /* producer id: how many AUTHs had come when the ACCEPT of its newest epoch left */
	uint64_t *at_ns; /* of an AUTH, by number */
	uint32_t count, size;
};

static uint64_t key_of(const uint8_t nonce[KX_NONCE_BYTES])
{
	uint64_t word[2];

	memcpy(word, nonce, sizeof(word));
	return kx_mix64(word[0] ^ kx_mix64(word[1])) | 1;
}

void takeover_init(struct sim *s)
{
	s->takeover = calloc(1, sizeof(*s->takeover));
	if (kx_map_init(&s->takeover->map, 65536) != 0 || kx_map_init(&s->takeover->newest, 16384) != 0)
		sim_fail(s, "no memory");
}

void takeover_free(struct sim *s)
{
	kx_map_fini(&s->takeover->map);
	kx_map_fini(&s->takeover->newest);
	free(s->takeover->at_ns);
	free(s->takeover);
}

void takeover_boot(struct sim *s)
{
	struct takeover *t = s->takeover;

	kx_map_fini(&t->map);
	kx_map_fini(&t->newest);
	if (kx_map_init(&t->map, 65536) != 0 || kx_map_init(&t->newest, 16384) != 0)
		sim_fail(s, "no memory");
	t->count = 0;
}

void takeover_auth(struct sim *s, const uint8_t *data, uint32_t bytes)
{
	struct takeover *t = s->takeover;
	struct kx_frame_view v;
	uint64_t key;
	uint32_t i;

	if (bytes < 2 || data[1] != KX_AUTH ||
		kx_frame_check(data, bytes, KX_FROM_CLIENT, &v) != KX_DROP_NONE)
		return;
	key = key_of(((const struct kx_auth *)v.body)->client_nonce);
	if (kx_map_get(&t->map, key, &i))
		return;
	if (t->count == t->size) {
		t->size = KX_MAX(256u, 2 * t->size);
		t->at_ns = realloc(t->at_ns, t->size * sizeof(*t->at_ns));
	}
	t->at_ns[t->count] = s->now_ns;
	if (kx_map_put(&t->map, key, t->count++) != 0)
		sim_fail(s, "too many handshakes");
}

/* Two take-overs on two lcores: the ACCEPT of the older epoch may leave behind that of the newer one, which
 * its reader is then told (CLOSE with code FENCED). But whoever asks when the newer one's has left gets no
 * older. */
static void overtaken(struct sim *s, const struct kx_accept *a, uint32_t before)
{
	struct takeover *t = s->takeover;
	uint32_t i, asked = 0;

	(void)kx_map_get(&t->newest, a->producer_id, &asked);
	SIM_CHECK(s, kx_map_get(&t->map, key_of(a->client_nonce), &i) && i < asked,
		"ACCEPT of producer %llu with epoch %u after %u", (unsigned long long)a->producer_id,
		a->producer_epoch, before);
}

/* A newer epoch of a known producer: every data lcore has begun a turn, and looked, since it was asked for.
 */
void takeover_accepted(struct lcore *own, const struct kx_accept *a)
{
	struct sim *s = own->sim;
	struct takeover *t = s->takeover;
	uint32_t before = wire_epoch(s, a->producer_id), i;

	if (a->producer_epoch < before)
		overtaken(s, a, before);
	if (a->producer_epoch <= before)
		return;
	if (kx_map_put(&t->newest, a->producer_id, t->count) != 0)
		sim_fail(s, "too many producers");
	if (before == 0)
		return;
	SIM_CHECK(s, kx_map_get(&t->map, key_of(a->client_nonce), &i), "ACCEPT for a nonce that no AUTH had");
	for (uint32_t k = 0; k < s->broker.lcore_count; k++) {
		const struct lcore *l = &s->broker.lcores[k];

		SIM_CHECK(s, l == own || l->turned_ns >= t->at_ns[i],
			"epoch %u of producer %llu is accepted, and lcore %u has not turned since",
			a->producer_epoch, (unsigned long long)a->producer_id, k);
	}
}

/* Another process goes on as this one's producer: it does not know that this one only does not answer. */
void takeover_of(struct client *c)
{
	struct sim *s = c->sim;
	struct client *other = &s->clients[pick(s, s->client_count)];

	if (other == c || !other->up || s->ids[c->index] == 0 || !identity_same(c, other))
		return;
	other->take_id = s->ids[c->index];
	sim_at(s, s->now_ns + pick(s, 50 * SIM_MS), EV_GIVE_UP, other->index, other->incarnation);
}
