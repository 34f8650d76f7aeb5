/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * Inside lib/conf: the state of one load, and what its files call of each other.
 */
#ifndef KX_CONF_PRIVATE_H
#define KX_CONF_PRIVATE_H

#include "kx_conf.h"

#define SECTION_KEYS_MAX 16	    /* keys of one section */
#define KEY_BAD		 (1u << 31) /* in a key's line number: its value was refused */

/** What was seen of one section instance: where its head is, and the line of each key (0 = not there). */
struct seen {
	uint32_t head_line;
	uint32_t key_line[SECTION_KEYS_MAX];
};

/** One load. `seen` exists only while a file is read; later checks have no line numbers. */
struct load {
	struct kx_conf *conf;
	struct kx_conf_errors *errs;
	const char *name; /* of the file, for messages */
	const char *text;
	size_t bytes;
	size_t pos;
	uint32_t line;

	/* The section that keys go to now. */
	enum kx_conf_section section;
	uint32_t index;	 /* of the port, topic or principal */
	bool in_section; /* false before the first head */
	bool skip;	 /* the head was refused: its keys are not looked at */
	bool port_seen;	 /* some [port ...] head, even a refused one */
	bool topic_seen;
	bool full_said; /* "too many sections" was said, once for each kind */
	bool topic_full_said;
	bool principal_full_said;
	bool no_memory;

	struct seen single[KX_CONF_S_COUNT];
	struct seen port[KX_CONF_PORTS_MAX];
	struct seen *topic;
	uint32_t topic_room;
	struct seen *principal; /* as many as conf->principals */
	uint32_t principal_room;
	struct kx_map topic_names; /* hash of name -> index, to find repeated ones */
};

struct check;

/* error.c: one line into the list. A NULL section or key is left out, line 0 too. */
void conf_error(const char *file, struct kx_conf_errors *errs, uint32_t line, const char *section,
	const char *key, const char *fmt, ...) KX_PRINTF(6, 7);
/* Bytes of the file made printable and short. @return `out` */
#define QUOTE_BYTES 96
const char *conf_quote(char out[QUOTE_BYTES], const char *text, size_t len);
/* "port net_memif0", "memory": how messages name a section. */
#define HEAD_BYTES 96
const char *conf_head(
	char out[HEAD_BYTES], const struct kx_conf *conf, enum kx_conf_section section, uint32_t index);

/* table.c */
const struct kx_conf_key *conf_section_keys(enum kx_conf_section section, uint32_t *count);
/* Number of a key within its section; -1 when it has none of that name. */
int conf_key_index(enum kx_conf_section section, const char *name);

/* value.c: parse `value` as `key` says and store it. @return false with the reason in `why` */
bool conf_value(const struct kx_conf_key *key, void *section, const char *value, struct kx_text *why);
/* Set all keys of a section that have a default. */
void conf_defaults(enum kx_conf_section section, void *data);
/* Bytes as "256M" where that is exact. */
void conf_size_text(struct kx_text *out, uint64_t bytes);

/* address.c */
bool conf_addresses(struct kx_conf_port *port, const char *value, struct kx_text *why);
bool conf_gateway4(struct kx_conf_port *port, const char *value, struct kx_text *why);
bool conf_gateway6(struct kx_conf_port *port, const char *value, struct kx_text *why);
bool conf_same_subnet(const uint8_t *a, const uint8_t *b, unsigned int prefix);
/* Text of an address; static storage of the calling thread, valid for 4 calls. */
const char *conf_address_text(const uint8_t *bytes, bool ip6);

/* access.c: lists of patterns. */
bool conf_patterns(const char *value, struct kx_text *why);
void conf_check_access(const struct check *c, uint32_t principal, const char *key, const char *list);

/* principal.c */
/* The entry of `anonymous`, before any line is read. @return false without memory */
bool conf_principals_begin(struct load *l);
void conf_open_principal(struct load *l, const char *head, size_t len, const char *name, size_t name_len);
void conf_check_principals(const struct check *c);

/* reader.c: all lines of l->text through inih to conf_key_line(). */
void conf_read(struct load *l);
/* section.c */
void conf_head_error(struct load *l, const char *head, size_t len, const char *what, const char *allowed);
void conf_head_repeated(struct load *l, const char *head, size_t len, uint32_t first_line);
bool conf_name_ok(const char *name, size_t len, size_t max, const char *marks);
void conf_section_line(struct load *l, const char *name, size_t len);
void conf_key_line(struct load *l, const char *key, const char *value);

/* check.c: what one key alone cannot show. `l` gives line numbers and tells refused keys; NULL later on. */
struct check {
	const struct load *load;
	const struct kx_conf *conf;
	const char *file;
	struct kx_conf_errors *errs;
	uint64_t window_bytes; /* credit of a session: lib/broker grants at least one largest message */
	uint64_t sure_bytes;   /* of an extent, whatever batches come */
};
/* Fill what is computed once. */
void conf_check_begin(struct check *c);
void conf_check_sections(const struct check *c);
void conf_check_topics(const struct check *c);
/* With the number of data lcores known. */
void conf_check_counts(const struct check *c, uint32_t data_lcores, uint32_t rx_lcores);
/* Were all these keys accepted (or left to their default)? */
bool conf_usable(const struct check *c, enum kx_conf_section section, uint32_t index, const char *key);
/* One error at a key's line, or at its section's head when the key is not written. */
void conf_check_error(const struct check *c, enum kx_conf_section section, uint32_t index, const char *key,
	const char *fmt, ...) KX_PRINTF(5, 6);

/* check_ports.c */
void conf_check_ports(const struct check *c);

#endif
