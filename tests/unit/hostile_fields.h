/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * Bad input for a broker, from a table: every frame type that a client may send with every field it has,
 * where the field lies and what is legal there; and a valid frame of each type for a session of broker_rig.h
 * to put it in.
 */
#ifndef HOSTILE_FIELDS_H
#define HOSTILE_FIELDS_H

#include "broker_rig.h"

#define HOSTILE_FRAME_BYTES 4096
#define HOSTILE_SUB	    1 /* subscription of a session made by hostile_session() */
#define HOSTILE_PARTITION   0
#define HOSTILE_FRAG_PART   1 /* partition of the fragments */
#define HOSTILE_RECORDS	    3 /* produced and delivered before */

#define HOSTILE_BUILT_RECORDS 2 /* of the PRODUCE of hostile_build() */
#define HOSTILE_PROBE	      256
#define HOSTILE_NEXT_PKT      3	   /* after hostile_session() */
#define HOSTILE_SESSION	      0xff /* instead of a type: every frame of a session */

/* Some reason of lib/wire; which one depends on more than the field. */
#define HOSTILE_ANY KX_DROP_COUNT

enum hostile_how {
	HOSTILE_IN_FRAME,
	HOSTILE_IN_EXT, /* the frame is given an extension first; `at` counts with it */
	HOSTILE_CRC	/* values are differences (XOR) to the right one */
};

#define HOSTILE_VALUES_MAX 8
struct hostile_field {
	uint8_t type; /* enum kx_frame_type; 0: of every frame; HOSTILE_SESSION */
	const char *name;
	uint32_t at, width;  /* bytes, from the frame's first */
	uint64_t low, high;  /* legal on the wire */
	enum kx_drop reason; /* for what lies outside */
	enum hostile_how how;
	uint32_t step; /* > 0: legal are multiples of it, and so far beyond is tried too */
};
extern const struct hostile_field hostile_fields[];
extern const unsigned int hostile_field_count;

/* Types a client may send: valid frames are made of these. */
extern const uint8_t hostile_types[];
extern const unsigned int hostile_type_count;

/* A session with a subscription that was delivered HOSTILE_RECORDS records and acknowledged none of them. */
struct rig_session hostile_session(struct rig *r, uint16_t port);
/* A valid frame of a type with the session's next packet number, and for PRODUCE the sequence after
 * hostile_session(). Sealed. @return bytes. */
uint32_t hostile_build(struct rig_session *s, uint8_t type, uint64_t *frame);
/* The same for a session that wishes what `wish` says; `protect` as in rig_protect(), or NULL. */
struct rig_session hostile_session_as(
	struct rig *r, uint16_t port, const struct kx_auth *wish, struct kx_auth_protect *protect);
/* Extremes, one beyond, and the ends of what the field can hold; each once. @return how many. */
unsigned int hostile_values(const struct hostile_field *f, uint64_t out[HOSTILE_VALUES_MAX]);
/* Put a value there; check value and CRCs (but the one that is the field) are right again. @return bytes. */
uint32_t hostile_set(uint64_t *frame, uint32_t bytes, const struct hostile_field *f, uint64_t value);
/* Produce and consume one batch; false when that does not work as it must. */
bool hostile_works(struct rig_session *s, uint64_t *next_seq);

static inline bool hostile_field_of(const struct hostile_field *f, uint8_t type)
{
	return f->type == 0 || f->type == type ||
		(f->type == HOSTILE_SESSION && type != KX_HELLO && type != KX_AUTH);
}
static inline bool hostile_setup_type(uint8_t type)
{
	return type == KX_HELLO || type == KX_AUTH;
}
/* Refused by lib/wire, before any session is looked at. */
static inline bool hostile_wire_reason(enum kx_drop drop)
{
	return (drop >= KX_DROP_FRAME_SHORT && drop <= KX_DROP_BATCH_RECORD) ||
		drop == KX_DROP_HELLO_UNPADDED;
}

#endif
