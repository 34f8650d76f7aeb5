/* SPDX-License-Identifier: BSD-3-Clause */
/* kaelix-cli: what its commands share. */
#ifndef CLI_H
#define CLI_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "kx_transport_udp.h"

enum exit_code {
	EXIT_OK = 0,
	EXIT_FAILED = 1,   /* the operation failed */
	EXIT_USAGE = 2,	   /* options are wrong */
	EXIT_CONNECT = 3,  /* no session with the broker */
	EXIT_TOO_FEW = 4,  /* consume: --idle-exit before --count messages */
	EXIT_RUNNING = -1, /* not over yet */
};

struct cli_options {
	const char *command;
	const char *file; /* keygen */
	struct kx_addr broker;
	const char *broker_text;
	enum kx_protect frames;
	const char *topic;
	const char *format;
	const char *key;
	const char *principal;
	struct kx_key principal_key; /* of no length: none */
	int64_t partition;	     /* -1: not given */
	uint64_t from;		     /* offset, or KX_OFFSET_... */
	uint64_t count;		     /* 0: no limit */
	uint64_t timeout_ns;
	uint64_t gone_ns;      /* how long a broker that was there is waited for */
	uint64_t idle_exit_ns; /* 0: never */
	uint64_t interval_ns;
	uint64_t producer_id; /* to go on as; 0: a new one */
	bool says_producer;
	char key_delimiter;
	bool has_key_delimiter;
	bool skip_too_long; /* produce: leave out what is too long and go on */
	bool json;
};

/* A connection, and how the command ends. */
struct cli {
	const struct cli_options *opts;
	struct kx_udp_client c;
	int exit_code;	     /* enum exit_code */
	bool ready;	     /* producer or consumer may start */
	bool began;	     /* it has been */
	bool connected;	     /* there has been a session */
	uint64_t give_up_ns; /* without a session until then: it is over; UINT64_MAX: there is one */
	uint64_t lost;	     /* messages that the broker had confirmed and has lost */
};

extern volatile sig_atomic_t cli_interrupted;

/* options.c. @return EXIT_RUNNING to go on, else the code to exit with */
int cli_parse(int argc, char **argv, struct cli_options *o);

/* cli.c */
void cli_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* First error decides. */
void cli_fail(struct cli *cli, enum exit_code code);
/* @return false: the exit code is set */
bool cli_connect(struct cli *cli, const struct cli_options *o);
/* Poll until connected. @return false: the exit code is set */
bool cli_wait_connected(struct cli *cli);
/* Each turn of produce and consume: has the broker been gone for too long? Then the exit code is set. */
void cli_check_gone(struct cli *cli, uint64_t now_ns);
void cli_close(struct cli *cli);

int cli_produce(const struct cli_options *o);
int cli_consume(const struct cli_options *o);
int cli_topics(const struct cli_options *o);
int cli_ping(const struct cli_options *o);

/* output.c: standard output through one large buffer */
bool out_write(const void *data, size_t bytes);
bool out_text(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* A JSON string, quotes included; bytes that are no UTF-8 become \u00XX of their Latin-1 character. */
bool out_json_string(const uint8_t *data, size_t bytes);
/* @return false when standard output is gone */
bool out_flush(void);

#endif
