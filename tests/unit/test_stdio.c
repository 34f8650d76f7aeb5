/* SPDX-License-Identifier: BSD-3-Clause */
/* Standard descriptors that a process was started without. */
#include "kx_test.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kx_base.h"

/* In a child without the descriptors of `mask`. @return its exit code: 0, or which check failed */
static int child(unsigned int mask)
{
	int status = 0, next;
	char byte;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid > 0) {
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFEXITED(status));
		return WEXITSTATUS(status);
	}
	next = dup(0); /* the lowest descriptor that is free while 0 to 2 are there */
	close(next);
	for (int fd = 0; fd <= 2; fd++)
		if (mask & (1u << fd))
			close(fd);
	if (kx_stdio_open() != 0)
		_exit(1);
	for (int fd = 0; fd <= 2; fd++)
		if (fcntl(fd, F_GETFD) != 0) /* there, and inherited */
			_exit(2);
	if ((mask & 1) && read(0, &byte, 1) != 0)
		_exit(3);
	if ((mask & 4) && write(2, "x", 1) != 1)
		_exit(4);
	/* what is opened next is none of them, and nothing was left open */
	_exit(dup(0) == next ? 0 : 5);
}

static void missing_descriptors_are_opened(void **state)
{
	(void)state;
	for (unsigned int mask = 0; mask < 8; mask++)
		assert_int_equal(child(mask), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(missing_descriptors_are_opened)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
