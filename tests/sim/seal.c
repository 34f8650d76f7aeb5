/* SPDX-License-Identifier: BSD-3-Clause */
/* Protected sessions as an onlooker with all keys sees them: what each frame says, and whether it is genuine.
 */
#include <stdlib.h>
#include <string.h>

#include "identity.h"

struct seal_session {
	uint64_t conn_id;
	bool raw, opened; /* its ACCEPT was seen */
	enum kx_protect mode;
	struct kx_auth_protect end[2]; /* as the broker, who opens what the client sealed; as the client */
	uint32_t *crc[2];	       /* by number, from the client and from the broker; 0: none */
	uint64_t crc_size[2];
};
struct seal {
	struct kx_map map;
	struct seal_session **sessions;
	uint32_t count, size;
};

void seal_init(struct sim *s)
{
	s->seal = calloc(1, sizeof(*s->seal));
	if (kx_map_init(&s->seal->map, 16384) != 0)
		sim_fail(s, "no memory");
}

void seal_free(struct sim *s)
{
	struct seal *k = s->seal;

	for (uint32_t i = 0; i < k->count; i++) {
		for (int d = 0; d < 2; d++) {
			if (k->sessions[i]->opened)
				kx_auth_protect_destroy(&k->sessions[i]->end[d]);
			free(k->sessions[i]->crc[d]);
		}
		free(k->sessions[i]);
	}
	kx_map_fini(&k->map);
	free(k->sessions);
	free(k);
}

static struct seal_session *session_of(struct sim *s, uint64_t conn_id)
{
	uint32_t i;

	return kx_map_get(&s->seal->map, conn_id, &i) && s->seal->sessions[i]->opened ? s->seal->sessions[i]
										      : NULL;
}

/* Known by its number, before its ACCEPT or with it. */
static struct seal_session *session_begin(struct sim *s, uint64_t conn_id)
{
	struct seal *k = s->seal;
	uint32_t i;

	if (kx_map_get(&k->map, conn_id, &i))
		return k->sessions[i];
	if (k->count == k->size) {
		k->size = KX_MAX(64u, 2 * k->size);
		k->sessions = realloc(k->sessions, k->size * sizeof(struct seal_session *));
	}
	if (kx_map_put(&k->map, conn_id, k->count) != 0)
		sim_fail(s, "too many sessions");
	k->sessions[k->count] = calloc(1, sizeof(struct seal_session));
	k->sessions[k->count]->conn_id = conn_id;
	return k->sessions[k->count++];
}

void seal_open(struct sim *s, const struct kx_accept *a, const uint8_t *secret, bool raw)
{
	struct seal_session *c;

	if (a->protect == KX_PROTECT_PLAIN || session_of(s, a->conn_id) != NULL)
		return;
	SIM_CHECK(s, secret != NULL, "protected frames for a session without a secret");
	c = session_begin(s, a->conn_id);
	c->opened = true;
	c->raw = raw;
	c->mode = (enum kx_protect)a->protect;
	for (int d = 0; d < 2; d++)
		if (kx_auth_protect_create(&c->end[d]) != 0 ||
			kx_auth_protect_init(&c->end[d], secret, a->conn_id, d == 0, c->mode) != 0)
			sim_fail(s, "no keys for a session");
}

static uint32_t sum_of(const uint8_t *data, uint32_t bytes)
{
	return kx_crc32c(0, data, bytes) | 1;
}

static void remember(struct seal_session *c, const uint8_t *data, uint32_t bytes, bool from_broker)
{
	uint64_t pkt_no = ((const struct kx_frame_hdr *)data)->pkt_no, size = c->crc_size[from_broker];

	if (pkt_no >= size) {
		uint64_t more = KX_MAX(2 * size, pkt_no + 256);

		c->crc[from_broker] = realloc(c->crc[from_broker], more * sizeof(uint32_t));
		memset(c->crc[from_broker] + size, 0, (more - size) * sizeof(uint32_t));
		c->crc_size[from_broker] = more;
	}
	c->crc[from_broker][pkt_no] = sum_of(data, bytes);
}

/* Its session's frames are opened in a copy. */
static const uint8_t *opened(
	struct sim *s, struct seal_session *c, const uint8_t *data, uint32_t *bytes, bool from_broker)
{
	static uint8_t copy[KX_FRAME_MAX_BYTES] KX_ALIGNED(64);
	const uint32_t head = (uint32_t)sizeof(struct kx_frame_hdr);

	memcpy(copy, data, *bytes);
	SIM_CHECK(s, kx_auth_protect_open(&c->end[from_broker], copy, *bytes) == 0,
		"a %s that its receiver cannot open", kx_frame_type_name(data[1]));
	*bytes -= KX_TAG_BYTES;
	SIM_CHECK(s,
		c->mode != KX_PROTECT_AEAD || *bytes < head + 16 ||
			memcmp(copy + *bytes - 16, data + *bytes - 16, 16) != 0,
		"the content of a %s can be read on the wire", kx_frame_type_name(data[1]));
	return copy;
}

const uint8_t *seal_look(struct sim *s, const uint8_t *data, uint32_t *bytes, bool from_broker)
{
	const struct kx_frame_hdr *h = (const struct kx_frame_hdr *)data;
	struct seal_session *c;

	if (!identity_on(s) || h->pkt_no == 0)
		return data;
	c = session_of(s, h->conn_id);
	if (!kx_frame_protected(data, *bytes)) {
		SIM_CHECK(s, c == NULL, "a plain %s in a protected session", kx_frame_type_name(h->type));
		return data;
	}
	if (c == NULL) { /* no buffer for its ACCEPT: what leaves before the next one may arrive after it */
		if (from_broker)
			remember(session_begin(s, h->conn_id), data, *bytes, from_broker);
		return NULL;
	}
	remember(c, data, *bytes, from_broker);
	return opened(s, c, data, bytes, from_broker);
}

bool seal_foreign(struct sim *s, const uint8_t *data, uint32_t bytes, bool from_broker)
{
	const struct kx_frame_hdr *h = (const struct kx_frame_hdr *)data;
	struct seal_session *c;

	if (!identity_on(s) || bytes < sizeof(*h) || h->conn_id == 0 || (from_broker && h->type == KX_RESET))
		return false;
	c = session_of(s, h->conn_id);
	/* a raw peer uses numbers twice */
	if (c == NULL || (c->raw && kx_frame_protected(data, bytes)))
		return false;
	return h->pkt_no >= c->crc_size[from_broker] || c->crc[from_broker][h->pkt_no] != sum_of(data, bytes);
}

uint32_t seal_raw(struct raw *r, uint8_t *frame, uint32_t bytes)
{
	struct sim *s = r->sim;
	const struct kx_frame_hdr *h = (const struct kx_frame_hdr *)frame;

	if (bytes < sizeof(*h))
		return bytes;
	if (sizeof(*h) + 8u * h->ext_words > bytes)
		return bytes; /* the check would be one of bytes that are not there */
	if (r->protect.flag == 0 || h->type <= KX_REFUSE || h->conn_id != r->conn_id || chance(s, 20)) {
		kx_frame_seal(frame, bytes);
		return bytes;
	}
	bytes = kx_auth_protect_seal(&r->protect, frame, bytes);
	if (chance(s, 20))
		frame[pick(s, bytes)] ^= (uint8_t)(1u << pick(s, 8));
	return bytes;
}

uint32_t seal_raw_open(struct raw *r, uint8_t *frame, uint32_t bytes)
{
	if (!kx_frame_protected(frame, bytes))
		return bytes;
	if (r->protect.flag == 0 || kx_auth_protect_open(&r->protect, frame, bytes) != 0)
		return 0;
	return bytes - KX_TAG_BYTES;
}
