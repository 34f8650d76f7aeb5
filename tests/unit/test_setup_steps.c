/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How long a refusal takes says nothing of the name: from AUTH to REFUSE, through the whole broker, a wrong
 * key of a principal and a name that is nobody's take the same number of instructions, counted by single
 * steps. No tolerance,
 * for names of one length.
 */
#include "kx_test.h"

#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "broker_rig.h"

#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__)
static char dir[] = "/tmp/kx_steps_XXXXXX";
static char path[6][64];

static int begin(void **state)
{
	struct kx_text why;
	char said[256];

	(void)state;
	if (mkdtemp(dir) == NULL)
		return -1;
	for (int i = 0; i < (int)KX_DIM(path); i++) {
		kx_text_init(&why, said, sizeof(said));
		snprintf(path[i], sizeof(path[i]), "%s/%d.key", dir, i);
		if (kx_key_create(path[i], &why) != 0)
			return -1;
	}
	return 0;
}

static int end(void **state)
{
	(void)state;
	for (int i = 0; i < (int)KX_DIM(path); i++)
		unlink(path[i]);
	return rmdir(dir);
}

/* An AUTH whose cookie is right and whose key is not. */
static void make_auth(struct rig *r, const char *name, uint8_t method, struct rig_session *s)
{
	struct kx_auth wish = {.method = KX_AUTH_NONE},
		       *auth = (struct kx_auth *)((uint8_t *)s->auth_frame + 32);
	static const struct kx_key wrong = {.len = 32, .bytes = {1, 2, 3}};

	/* anonymous ones are refused here, so that nothing is left of this */
	assert_int_equal(rig_auth(r, 9, 4000, &wish, s), KX_DROP_AUTH_BAD);
	auth->method = method;
	auth->principal_bytes = (uint8_t)strlen(name);
	memcpy(auth->principal, name, strlen(name));
	if (method == KX_AUTH_TICKET)
		memset(auth->ticket, 7, sizeof(auth->ticket));
	kx_auth_sign(&wrong, auth);
	kx_frame_seal((uint8_t *)s->auth_frame, sizeof(s->auth_frame));
	rig_turn(r, 1000);
	rig_forget(r);
}

static void stop_here(void)
{
	__asm__ volatile("int3" ::: "memory");
}

static void give(struct rig *r, struct rig_session *s)
{
	struct kx_frame f = {.data = (uint8_t *)s->auth_frame,
		.bytes = sizeof(s->auth_frame),
		.buf = s->auth_frame,
		.remote = s->addr,
		.rx_ns = r->now_ns};

	kx_count(&r->ledger.received, 1);
	kx_broker_rx(r->broker, &f, 1, r->now_ns);
}

/* The child is refused once with everything bound and cached, and once between two traps. */
static void child(struct rig *r, struct rig_session *s)
{
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
		_exit(2);
	give(r, s);
	rig_forget(r);
	stop_here();
	give(r, s);
	stop_here();
	_exit(rig_count(r, KX_REFUSE) == 1 && r->ledger.drop[KX_DROP_AUTH_BAD] >= 2 ? 0 : 1);
}

static bool at_trap(pid_t pid)
{
	siginfo_t info;

	return ptrace(PTRACE_GETSIGINFO, pid, NULL, &info) == 0 && info.si_code == SI_KERNEL;
}

/* @return instructions; 0: may not trace */
static uint64_t count_steps(struct rig *r, struct rig_session *s)
{
	pid_t pid = fork();
	uint64_t steps = 0;
	int status;

	assert_true(pid >= 0);
	if (pid == 0)
		child(r, s);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status))
		return 0;
	assert_true(WIFSTOPPED(status) && WSTOPSIG(status) == SIGTRAP && at_trap(pid));
	do {
		steps++;
		if (ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL) != 0 || waitpid(pid, &status, 0) != pid ||
			!WIFSTOPPED(status))
			break;
	} while (!at_trap(pid) && steps < 10000000);
	assert_int_equal(ptrace(PTRACE_CONT, pid, NULL, NULL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0); /* it was refused, and answered */
	return steps;
}

static void test_refusals_take_the_same(void **state)
{
	/* With one key, with two, and nobody's; all of one length, which is the asker's own doing: the
	 * frame's check looks at what stands behind a name. */
	static const char *const names[2][4] = {{"desk", "feed", "none", "desj"},
		{"a-principal.with_a_longer-name", "a-principal.with_two-keys-here",
			"a-principal.with_a_longer-namf", "0123456789.0123456789.01234567"}};
	char ini[1024];
	uint64_t first = 0;
	struct rig *r;

	(void)state;
	snprintf(ini, sizeof(ini),
		"[port p]\naddress = 10.0.0.254/24\n[memory]\nlog_bytes = 64M\n[topic a]\n[auth]\nanonymous "
		"= off\n"
		"[principal %s]\nkey_file = %s\nproduce = a\n[principal %s]\nkey_file = %s\nnext_key_file = "
		"%s\n"
		"[principal %s]\nkey_file = %s\n[principal %s]\nkey_file = %s\nnext_key_file = %s\n",
		names[0][0], path[0], names[0][1], path[1], path[2], names[1][0], path[3], names[1][1],
		path[4], path[5]);
	r = rig_new(ini, 0, 1);
	for (size_t i = 0; i < 2 * 2 * KX_DIM(names[0]); i++) {
		size_t one = i % KX_DIM(names[0]), length = i / KX_DIM(names[0]) % 2;
		struct rig_session s;
		uint64_t steps;

		make_auth(r, names[length][one],
			i < 2 * KX_DIM(names[0]) ? KX_AUTH_HMAC_SHA256 : KX_AUTH_TICKET, &s);
		steps = count_steps(r, &s);
		if (steps == 0) {
			print_message("ptrace is refused here: not counted\n");
			rig_free(r);
			skip();
		}
		first = one == 0 ? steps : first;
		if (one == 0)
			print_message("AUTH to REFUSE: %lu instructions\n", (unsigned long)first);
		assert_true(first > 5000);
		if (steps != first)
			fail_msg("%s: %lu instructions, %s: %lu", names[length][one], (unsigned long)steps,
				names[length][0], (unsigned long)first);
	}
	rig_free(r);
}
#else
static int begin(void **state)
{
	(void)state;
	return 0;
}

static int end(void **state)
{
	(void)state;
	return 0;
}

static void test_refusals_take_the_same(void **state)
{
	(void)state;
	print_message("instructions are counted on x86-64 only, and not of sanitizers\n");
	skip();
}
#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refusals_take_the_same),
	};
	return cmocka_run_group_tests(tests, begin, end);
}
