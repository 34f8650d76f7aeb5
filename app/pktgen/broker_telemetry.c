/* SPDX-License-Identifier: BSD-3-Clause */
#include "broker_telemetry.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define ANSWER_BYTES (16384 + 1)
#define COMMAND	     "/kaelix/latency"

static uint64_t number_in(const char *object, const char *end, const char *key)
{
	size_t len = strlen(key);

	for (const char *at = object; at < end; at++) {
		if (at[0] != '"' || strncmp(at + 1, key, len) != 0 || at[len + 1] != '"')
			continue;
		at += len + 2;
		at += strspn(at, ": ");
		return strtoull(at, NULL, 10);
	}
	return 0;
}

void pg_residence_parse(const char *answer, struct pg_summary *out)
{
	const char *object = strstr(answer, "\"residence\""), *end;

	memset(out, 0, sizeof(*out));
	if (object == NULL || (object = strchr(object, '{')) == NULL || (end = strchr(object, '}')) == NULL)
		return;
	out->count = number_in(object, end, "count");
	out->mean_ns = number_in(object, end, "mean");
	out->p50_ns = number_in(object, end, "p50");
	out->p90_ns = number_in(object, end, "p90");
	out->p95_ns = number_in(object, end, "p95");
	out->p99_ns = number_in(object, end, "p99");
	out->p999_ns = number_in(object, end, "p999");
	out->max_ns = number_in(object, end, "max");
	out->known = out->count > 0;
}

static int connect_to(const char *prefix)
{
	const struct timeval limit = {.tv_sec = 5};
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	const char *dir = getuid() == 0 ? "/var/run" : runtime != NULL ? runtime : "/tmp";
	int fd, n;

	n = snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/dpdk/%s/dpdk_telemetry.v2", dir, prefix);
	if (n < 0 || (size_t)n >= sizeof(addr.sun_path))
		return -1;
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	if (connect(fd, (const struct sockaddr *)&addr, sizeof(addr)) == 0)
		return fd;
	close(fd);
	return -1;
}

void pg_broker_residence(const char *prefix, struct pg_summary *out)
{
	static char answer[ANSWER_BYTES];
	int fd = connect_to(prefix);
	ssize_t n = -1;

	memset(out, 0, sizeof(*out));
	if (fd < 0)
		return;
	if (recv(fd, answer, sizeof(answer) - 1, 0) > 0 && send(fd, COMMAND, strlen(COMMAND), 0) > 0)
		n = recv(fd, answer, sizeof(answer) - 1, 0);
	close(fd);
	if (n <= 0)
		return;
	answer[n] = '\0';
	pg_residence_parse(answer, out);
}
