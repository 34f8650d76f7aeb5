/* SPDX-License-Identifier: BSD-3-Clause */
#include "kx_base.h"

#include <errno.h>
#include <sys/random.h>

int kx_random_bytes(void *out, size_t bytes)
{
	uint8_t *p = out;

	while (bytes > 0) {
		ssize_t got = getrandom(p, bytes, 0);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return got < 0 ? -errno : -EIO;
		p += got;
		bytes -= (size_t)got;
	}
	return 0;
}
