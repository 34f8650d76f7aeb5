/* SPDX-License-Identifier: BSD-3-Clause */
#include "kx_test.h"

#include <errno.h>

#include "kx_base.h"

static void appends(void **state)
{
	(void)state;
	char buf[16];
	struct kx_text t;

	kx_text_init(&t, buf, sizeof(buf));
	assert_string_equal(buf, "");
	kx_text_add(&t, "%s", "");
	assert_false(t.truncated);
	kx_text_add(&t, "line %d", 12);
	kx_text_add(&t, ": %s", "key");
	assert_string_equal(buf, "line 12: key");
	assert_int_equal(t.len, 12);
	assert_false(t.truncated);
	kx_text_add(&t, "123");
	assert_int_equal(t.len, 15);
	assert_false(t.truncated);
}

static void never_overflows(void **state)
{
	(void)state;
	for (size_t size = 0; size < 40; size++) {
		char *buf = malloc(size > 0 ? size : 1);
		struct kx_text t;

		kx_text_init(&t, buf, size);
		kx_text_add(&t, "%s", "0123456789");
		kx_text_add(&t, "%s", "0123456789");
		kx_text_add(&t, "%s", "");
		assert_int_equal(t.truncated, size <= 20);
		if (size > 0) {
			assert_int_equal(t.len, size > 20 ? 20 : size - 1);
			assert_int_equal(strlen(buf), t.len);
			assert_memory_equal(buf, "01234567890123456789", t.len);
		}
		free(buf);
	}
}

static void errors_have_names(void **state)
{
	(void)state;
	assert_string_equal(kx_strerror(-ENOSPC), "No space left on device (ENOSPC)");
	assert_string_equal(kx_strerror(ENOSPC), "No space left on device (ENOSPC)");
	assert_string_equal(kx_strerror(0), "Success");
	assert_string_equal(kx_strerror(-100000), "Unknown error -100000");
	assert_string_equal(kx_strerror(INT32_MIN), "Unknown error -2147483648");
	/* Two in one message do not overwrite each other. */
	const char *a = kx_strerror(-EIO), *b = kx_strerror(-EPERM);
	assert_string_equal(a, "Input/output error (EIO)");
	assert_string_equal(b, "Operation not permitted (EPERM)");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(appends),
		cmocka_unit_test(never_overflows),
		cmocka_unit_test(errors_have_names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
