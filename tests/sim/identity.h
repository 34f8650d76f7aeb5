/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Who is who in a run: principals with keys that change, what each may do, how their frames are protected;
 * and what holds of all that. About half of the seeds have principals, in the others everybody is anonymous.
 *
 *   identity  principals, keys, rights; who claims to be whom, and whether that is true
 *   seal      protected sessions as an onlooker with all keys sees them: which frames are genuine
 *   tamper    hostile acts against protected sessions
 *   takeover  standby processes, and the fence that they wait for
 */
#ifndef SIM_IDENTITY_H
#define SIM_IDENTITY_H

#include "sim.h"

#define SIM_PRINCIPALS 4 /* 0: anonymous, 3: of the peers that lie */
#define SIM_GUEST      3

/* identity.c */
void identity_init(struct sim *s);
void identity_free(struct sim *s);
bool identity_on(const struct sim *s);
void identity_ini(struct sim *s, struct kx_text *t); /* sections of the configuration */
void identity_boot(struct sim *s);		     /* the broker starts: which keys are valid */
void identity_down(struct sim *s);
void identity_rotate(struct sim *s); /* the broker is started anew, with other keys */
/* What a client process says it is; the options keep pointers into it. */
void identity_client(struct client *c, struct kx_client_opts *opts);
void identity_event(struct client *c, const struct kx_event *e);
/* An AUTH reached a data lcore. */
void identity_auth(struct sim *s, const uint8_t *data, uint32_t bytes);
void identity_accepted(struct sim *s, const struct kx_accept *a, bool raw);
/* A raw peer's AUTH: everything but nonces, cookie and datagram size. */
void identity_raw_auth(struct raw *r, struct kx_auth *a);
void identity_raw_accept(struct raw *r, const struct kx_accept *a);
/* Is one the principal of the other? Then it may take its producer over. */
bool identity_same(const struct client *a, const struct client *b);
bool identity_may_produce(const struct client *c, uint32_t topic);
bool identity_may_consume(const struct client *c, uint32_t topic);
/* A batch was stored, or leaves the broker. */
void identity_stored(struct sim *s, uint64_t producer_id, uint32_t partition);
void identity_sent(struct sim *s, const struct kx_frame_view *v);
void identity_sessions(struct lcore *l);

/* seal.c */
struct seal_session;
void seal_init(struct sim *s);
void seal_free(struct sim *s);
/* A session was accepted. secret: NULL, or that of its frames' keys */
void seal_open(struct sim *s, const struct kx_accept *a, const uint8_t *secret, bool raw);
/*
 * What a frame says that is put on the wire by one of the session's ends: itself, or opened in a buffer that
 * the next call overwrites. NULL: nobody can know. It is one that the other end may accept.
 */
const uint8_t *seal_look(struct sim *s, const uint8_t *data, uint32_t *bytes, bool from_broker);
/* Is it of a protected session, and no frame that one of its ends sent? Then nobody may accept it. */
bool seal_foreign(struct sim *s, const uint8_t *data, uint32_t bytes, bool from_broker);
/* Seals a frame of a raw peer's session, mostly, behind which there are KX_TAG_BYTES. @return its bytes */
uint32_t seal_raw(struct raw *r, uint8_t *frame, uint32_t bytes);
/* Opens one that came for it. @return its bytes, 0: not for it */
uint32_t seal_raw_open(struct raw *r, uint8_t *frame, uint32_t bytes);

/* tamper.c */
void hostile_tamper(struct sim *s);

/* takeover.c */
void takeover_init(struct sim *s);
void takeover_free(struct sim *s);
void takeover_boot(struct sim *s);
void takeover_auth(struct sim *s, const uint8_t *data, uint32_t bytes); /* an AUTH reached a data lcore */
/* An ACCEPT leaves, and wire_epoch() does not know of it yet. */
void takeover_accepted(struct lcore *own, const struct kx_accept *a);
void takeover_of(struct client *c);

#endif
