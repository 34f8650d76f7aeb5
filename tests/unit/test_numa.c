/* SPDX-License-Identifier: BSD-3-Clause */
/* Placement on machines that are not here: one node, two nodes, SMT, isolated CPUs, nodes without memory. */
#include "kx_test.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kx_numa.h"

static struct kx_numa_topology topo;
static struct kx_numa_placement place;
static struct kx_numa_lcore lcores[KX_NUMA_CPUS_MAX];
static struct kx_numa_port ports[2];
static struct kx_numa_request req;

/** `nodes` nodes of `cores` physical cores; with `smt` their siblings are numbered behind all first threads.
 */
static void machine(uint32_t nodes, uint32_t cores, bool smt)
{
	uint32_t all = nodes * cores;

	memset(&topo, 0, sizeof(topo));
	topo.cpu_count = all * (smt ? 2 : 1);
	topo.node_count = nodes;
	for (uint32_t c = 0; c < topo.cpu_count; c++)
		topo.cpu[c] = (struct kx_numa_cpu){
			.online = true, .node = (int16_t)(c % all / cores), .core = (int16_t)(c % all)};
	for (uint32_t n = 0; n < nodes; n++) {
		topo.node[n] = (struct kx_numa_node){
			.online = true, .memory_bytes = UINT64_C(8) << 30, .page_sizes = 1};
		topo.node[n].hugepages[0] = (struct kx_numa_hugepages){2 << 20, 512, 512};
		for (uint32_t m = 0; m < nodes; m++)
			topo.distance[n][m] = n == m ? KX_NUMA_DISTANCE_LOCAL : 21;
	}
}

/** Lcore i on CPU cpus[i], the first is main; one port on `port_node`. */
static void request(enum kx_conf_policy policy, const uint16_t *cpus, uint32_t count, int port_node)
{
	for (uint32_t i = 0; i < count; i++)
		lcores[i] = (struct kx_numa_lcore){.lcore_id = (uint16_t)i, .cpu = cpus[i], .main = i == 0};
	ports[0] = (struct kx_numa_port){.name = "net0", .node = port_node};
	req = (struct kx_numa_request){.policy = policy,
		.lcores = lcores,
		.lcore_count = count,
		.ports = ports,
		.port_count = 1,
		.node_bytes = 64 << 20};
}

/** All CPUs in order. */
static void request_all(enum kx_conf_policy policy, int port_node)
{
	uint16_t cpus[KX_NUMA_CPUS_MAX];

	for (uint32_t i = 0; i < topo.cpu_count; i++)
		cpus[i] = (uint16_t)i;
	request(policy, cpus, topo.cpu_count, port_node);
}

static void expect_lcores(const uint16_t *want, uint32_t count)
{
	assert_int_equal(kx_numa_place(&topo, &req, &place), 0);
	if (place.data_count != count)
		print_error("%s%s", place.reasons, place.warnings);
	assert_int_equal(place.data_count, count);
	for (uint32_t i = 0; i < count; i++)
		assert_int_equal(place.data[i].lcore_id, want[i]);
}

#define EXPECT_LCORES(...)                                                                                   \
	expect_lcores((const uint16_t[]){__VA_ARGS__}, KX_DIM(((const uint16_t[]){__VA_ARGS__})))

static void expect_warning(const char *want)
{
	if (strstr(place.warnings, want) == NULL)
		print_error("expected: %s\ngot: %s", want, place.warnings);
	assert_non_null(strstr(place.warnings, want));
}

static uint32_t lines(const char *text)
{
	uint32_t n = 0;

	for (; *text != '\0'; text++)
		n += *text == '\n';
	return n;
}

static void test_one_node(void **state)
{
	(void)state;
	machine(1, 4, false);
	for (int policy = KX_CONF_THROUGHPUT; policy <= KX_CONF_BALANCED; policy++) {
		request_all((enum kx_conf_policy)policy, KX_NUMA_NODE_UNKNOWN);
		EXPECT_LCORES(1, 2, 3);
		assert_int_equal(place.data[0].node, 0);
		assert_int_equal(place.data[2].memory_node, 0);
		assert_true(place.data[0].rx);
		assert_int_equal(place.port_node[0], 0);
		assert_int_equal(place.reason_count, lines(place.reasons));
		assert_int_equal(place.warning_count, lines(place.warnings));
		assert_true(place.reason_count >= 4);
		/* Latency alone has something to say: nothing is isolated. */
		assert_int_equal(place.warning_count, policy == KX_CONF_LATENCY ? 3 : 0);
	}
}

static void test_two_nodes(void **state)
{
	(void)state;
	machine(2, 4, false); /* CPUs 0-3 on node 0, 4-7 on node 1 */
	request_all(KX_CONF_LATENCY, 1);
	EXPECT_LCORES(4, 5, 6, 7);
	assert_int_equal(place.data[0].memory_node, 1);
	assert_int_equal(place.port_node[0], 1);
	assert_null(strstr(place.warnings, "port net0"));

	request_all(KX_CONF_THROUGHPUT, 1);
	EXPECT_LCORES(4, 5, 6, 7, 1, 2, 3);
	expect_warning("port net0 is on node 1, lcore 1 (CPU 1) that polls it on node 0\n");
	expect_warning("port net0 is on node 1, lcore 3 (CPU 3) that polls it on node 0\n");
	assert_int_equal(place.warning_count, 3);
	assert_int_equal(place.data[4].memory_node, 0);

	request_all(KX_CONF_BALANCED, 0);
	EXPECT_LCORES(1, 2, 3);
	assert_int_equal(place.warning_count, 0);

	ports[1] = (struct kx_numa_port){.name = "net1", .node = 1};
	req.port_count = 2;
	EXPECT_LCORES(1, 4, 2, 5, 3, 6, 7); /* nodes in turn */
	assert_int_equal(place.port_node[1], 1);
	expect_warning("port net1 is on node 1, lcore 1 (CPU 1) that polls it on node 0\n");
}

/** The port's node has no lcore: the others are used, and every pair is named. */
static void test_no_near_cpu(void **state)
{
	static const uint16_t cpus[] = {0, 1, 2};

	(void)state;
	machine(2, 4, false);
	request(KX_CONF_LATENCY, cpus, KX_DIM(cpus), 1);
	EXPECT_LCORES(1, 2);
	expect_warning("policy latency: no lcore is on the node of a port");
	expect_warning("port net0 is on node 1, lcore 2 (CPU 2) that polls it on node 0");
	request(KX_CONF_BALANCED, cpus, KX_DIM(cpus), 1);
	EXPECT_LCORES(1, 2);
	expect_warning("policy balanced: no lcore is on the node of a port");
}

static void test_smt(void **state)
{
	(void)state;
	machine(1, 3, true); /* cores 0-2, CPU 3-5 their siblings; main on CPU 0 */
	request_all(KX_CONF_LATENCY, 0);
	EXPECT_LCORES(1, 2);
	assert_false(place.data[0].shares_core);
	request_all(KX_CONF_THROUGHPUT, 0);
	EXPECT_LCORES(1, 2, 3, 4, 5); /* 3 is alone on the main lcore's core */
	assert_true(place.data[0].shares_core);
	assert_true(place.data[2].shares_core);
	assert_int_equal(place.warning_count, 0);
	request_all(KX_CONF_BALANCED, 0);
	EXPECT_LCORES(1, 2, 3);

	/* One core only: latency has to take the main lcore's sibling, and says so. */
	machine(1, 1, true);
	request_all(KX_CONF_LATENCY, 0);
	EXPECT_LCORES(1);
	expect_warning("all lcores are on the main lcore's physical core");
	expect_warning("lcore 1 (CPU 1) and the main lcore 0 (CPU 0) are SMT siblings of one core");
	assert_true(place.data[0].shares_core);
}

static void test_isolated(void **state)
{
	(void)state;
	machine(1, 4, true);
	topo.cpu[2].isolated = topo.cpu[6].isolated = topo.cpu[7].isolated = true;
	request_all(KX_CONF_LATENCY, 0);
	EXPECT_LCORES(2, 7); /* 6 is 2's sibling; 3 is not isolated, its sibling 7 is */
	assert_true(place.data[0].isolated && place.data[1].isolated);
	assert_int_equal(place.warning_count, 0);
	request_all(KX_CONF_BALANCED, 0);
	EXPECT_LCORES(1, 2, 3, 4);
}

static void test_no_lcores(void **state)
{
	static const uint16_t one[] = {0}, same[] = {0, 0};

	(void)state;
	machine(1, 1, false);
	for (int policy = KX_CONF_THROUGHPUT; policy <= KX_CONF_BALANCED; policy++) {
		request((enum kx_conf_policy)policy, one, 1, 0);
		assert_int_equal(kx_numa_place(&topo, &req, &place), -ENODEV);
		assert_int_equal(place.data_count, 0);
		assert_int_equal(place.warning_count, 1);
		expect_warning("no lcore for data loops: EAL was given its main lcore only");
	}
	/* --lcores '0@0,1@0': it works, with a warning. */
	request(KX_CONF_BALANCED, same, 2, 0);
	EXPECT_LCORES(1);
	assert_true(place.data[0].shares_cpu);
	expect_warning("lcore 1 shares CPU 0 with the main lcore 0: each stops while the other runs");
}

static void test_named(void **state)
{
	static const uint16_t data[] = {5, 1}, rx[] = {1}, absent[] = {1, 9}, main_too[] = {1, 0};

	(void)state;
	machine(2, 4, false);
	request_all(KX_CONF_BALANCED, 1);
	req.data = data;
	req.data_count = 2;
	req.rx = rx;
	req.rx_count = 1;
	EXPECT_LCORES(5, 1); /* as named, whatever the policy would say */
	assert_false(place.data[0].rx);
	assert_true(place.data[1].rx);
	assert_int_equal(place.data[0].memory_node, 1);
	assert_int_equal(place.warning_count, 1); /* lcore 5 does not poll: only 1 is a mismatch */
	expect_warning("port net0 is on node 1, lcore 1 (CPU 1) that polls it on node 0");

	req.data = absent;
	assert_int_equal(kx_numa_place(&topo, &req, &place), -ENODEV);
	expect_warning("lcore 9: lcores.data names it, but EAL was not given it");
	assert_int_equal(place.data_count, 0);
	req.data = main_too;
	assert_int_equal(kx_numa_place(&topo, &req, &place), -EINVAL);
	expect_warning("lcore 0: lcores.data names it, but it is EAL's main lcore");
}

static void test_shared_cpu(void **state)
{
	static const uint16_t cpus[] = {0, 1, 1}, data[] = {1, 2};

	(void)state;
	machine(1, 2, false);
	request(KX_CONF_BALANCED, cpus, KX_DIM(cpus), 0);
	req.data = data;
	req.data_count = 2;
	EXPECT_LCORES(1, 2);
	assert_true(place.data[0].shares_cpu && place.data[1].shares_cpu);
	assert_int_equal(place.warning_count, 1);
	expect_warning("lcore 1 shares CPU 1 with lcore 2");
}

static void test_memory(void **state)
{
	(void)state;
	machine(3, 2, false);
	topo.node[2].memory_bytes = 0; /* CPUs 4 and 5 */
	topo.distance[2][0] = 31;
	topo.distance[2][1] = 21;
	request_all(KX_CONF_LATENCY, 2);
	EXPECT_LCORES(4, 5);
	assert_int_equal(place.data[0].node, 2);
	assert_int_equal(place.data[0].memory_node, 1);
	expect_warning("lcore 4 is on node 2, which has no memory; its log and buffers are on node 1");

	machine(2, 2, false);
	topo.node[1].hugepages[0].free_pages = 100;
	assert_int_equal(kx_numa_free_hugepage_bytes(&topo, 1), UINT64_C(200) << 20);
	assert_int_equal(kx_numa_free_hugepage_bytes(&topo, -1), 0);
	assert_int_equal(kx_numa_free_hugepage_bytes(&topo, 2), 0);
	request_all(KX_CONF_BALANCED, 1);
	req.node_bytes = 128 << 20;
	EXPECT_LCORES(2, 3);
	assert_int_equal(place.warning_count, 0); /* without hugepages their number does not matter */
	req.hugepages = true;
	EXPECT_LCORES(2, 3);
	assert_int_equal(place.warning_count, 1);
	expect_warning("node 1 has 200 MiB of free hugepages, its data lcores need 256 MiB");
}

static void test_unknown_cpu(void **state)
{
	static const uint16_t cpus[] = {0, 700};

	(void)state;
	machine(1, 2, false);
	request(KX_CONF_BALANCED, cpus, KX_DIM(cpus), KX_NUMA_NODE_UNKNOWN);
	EXPECT_LCORES(1);
	assert_int_equal(place.data[0].node, KX_NUMA_NODE_UNKNOWN);
	assert_int_equal(place.data[0].memory_node, 0);
	expect_warning("the node of its CPU 700 is not known");
}

/** More lcores than a broker takes, more mismatches than fit in the text. */
static void test_many(void **state)
{
	(void)state;
	machine(2, 128, false);
	request_all(KX_CONF_THROUGHPUT, 1);
	ports[1] = (struct kx_numa_port){.name = "net1", .node = 0};
	req.port_count = 2;
	assert_int_equal(kx_numa_place(&topo, &req, &place), 0);
	assert_int_equal(place.data_count, KX_CONF_LCORES_MAX);
	expect_warning("255 lcores could run data loops; 64 are used");
	assert_true(strlen(place.warnings) < KX_NUMA_TEXT_MAX);
	req.port_count = KX_CONF_PORTS_MAX + 1;
	assert_int_equal(kx_numa_place(&topo, &req, &place), -EINVAL);
}

/* ---- reading /sys
 * ------------------------------------------------------------------------------------------ */

static char root[] = "/tmp/kx_numa_XXXXXX";

static void put(const char *path, const char *text)
{
	char full[512];

	snprintf(full, sizeof(full), "%s/%s", root, path);
	for (char *p = full + strlen(root) + 1; (p = strchr(p, '/')) != NULL; p++) {
		*p = '\0';
		mkdir(full, 0700);
		*p = '/';
	}
	FILE *f = fopen(full, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void remove_root(void)
{
	char command[64];

	snprintf(command, sizeof(command), "rm -r %s", root);
	assert_int_equal(system(command), 0);
}

static void test_read_two_nodes(void **state)
{
	(void)state;
	assert_non_null(mkdtemp(root));
	assert_int_equal(kx_numa_read(root, &topo), -ENOENT);
	put("devices/system/cpu/online", "0-2,5-6\n");
	put("devices/system/cpu/isolated", "5,6\n");
	put("devices/system/cpu/cpu1/topology/thread_siblings_list", "1,5\n");
	put("devices/system/cpu/cpu5/topology/thread_siblings_list", "1,5\n");
	assert_int_equal(kx_numa_read(root, &topo), 0); /* no nodes listed: all are one */
	assert_int_equal(topo.node_count, 1);
	assert_int_equal(topo.cpu[6].node, 0);

	put("devices/system/node/online", "0,2\n");
	put("devices/system/node/node0/cpulist", "0-2\n");
	put("devices/system/node/node2/cpulist", "5-6\n");
	put("devices/system/node/node0/distance", "10 17\n");
	put("devices/system/node/node2/distance", "17 10\n");
	put("devices/system/node/node0/meminfo", "Node 0 MemFree:  1 kB\nNode 0 MemTotal:  4096 kB\n");
	put("devices/system/node/node2/meminfo", "Node 2 MemTotal:        0 kB\n");
	put("devices/system/node/node0/hugepages/hugepages-2048kB/nr_hugepages", "10\n");
	put("devices/system/node/node0/hugepages/hugepages-2048kB/free_hugepages", "7\n");
	put("devices/system/node/node0/hugepages/hugepages-1048576kB/nr_hugepages", "2\n");
	put("devices/system/node/node0/hugepages/hugepages-1048576kB/free_hugepages", "1\n");
	put("bus/pci/devices/0000:03:00.0/numa_node", "1\n");
	put("bus/pci/devices/0001:04:00.0/numa_node", "-1\n");
	assert_int_equal(kx_numa_read(root, &topo), 0);
	assert_int_equal(kx_numa_pci_node(root, "0000:03:00.0"), 1);
	assert_int_equal(kx_numa_pci_node(root, "03:00.0"), 1);
	assert_int_equal(kx_numa_pci_node(root, "0001:04:00.0"), KX_NUMA_NODE_UNKNOWN);
	assert_int_equal(kx_numa_pci_node(root, "05:00.0"), KX_NUMA_NODE_UNKNOWN);
	assert_int_equal(kx_numa_pci_node(root, "net_memif0"), KX_NUMA_NODE_UNKNOWN);
	remove_root();

	assert_int_equal(topo.cpu_count, 7);
	assert_false(topo.cpu[3].online);
	assert_true(topo.cpu[5].isolated && !topo.cpu[1].isolated);
	assert_int_equal(topo.cpu[5].core, 1);
	assert_int_equal(topo.cpu[1].core, 1);
	assert_int_equal(topo.cpu[6].core, 6);
	assert_int_equal(topo.cpu[2].node, 0);
	assert_int_equal(topo.cpu[5].node, 2);
	assert_int_equal(topo.node_count, 3);
	assert_false(topo.node[1].online);
	assert_int_equal(topo.distance[0][2], 17);
	assert_int_equal(topo.distance[2][2], 10);
	assert_int_equal(topo.node[0].memory_bytes, 4096 * 1024);
	assert_int_equal(topo.node[2].memory_bytes, 0);
	assert_int_equal(topo.node[0].page_sizes, 2);
	assert_int_equal(kx_numa_free_hugepage_bytes(&topo, 0), (UINT64_C(1) << 30) + 7 * (2 << 20));
}

static void test_read_this_machine(void **state)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	long seen = 0;

	(void)state;
	assert_int_equal(kx_numa_read(NULL, &topo), 0);
	for (uint32_t c = 0; c < topo.cpu_count; c++) {
		seen += topo.cpu[c].online;
		if (topo.cpu[c].online)
			assert_true(topo.cpu[c].node >= 0 && (uint32_t)topo.cpu[c].node < topo.node_count);
	}
	assert_int_equal(seen, cpus);
	assert_true(topo.node_count >= 1);
}

static void test_pages(void **state)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), count = 1000;
	struct kx_numa_pages pages;
	uint8_t *p = mmap(NULL, page * count, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int rc;

	(void)state;
	assert_true(p != MAP_FAILED);
	madvise(p, page * count, MADV_NOHUGEPAGE);
	for (size_t i = 0; i < count / 2; i++)
		p[i * page] = 1;
	rc = kx_numa_verify_pages(p, page * count, page, 0, &pages);
	if (rc == -ENOSYS || rc == -EPERM) {
		munmap(p, page * count);
		print_message("SKIP: the kernel refuses move_pages here\n");
		skip();
	}
	assert_int_equal(rc, 0);
	assert_int_equal(pages.sampled, count);
	assert_int_equal(pages.absent, count / 2);
	assert_int_equal(kx_numa_pages_node(&pages), KX_NUMA_NODE_UNKNOWN);
	assert_int_equal(kx_numa_verify_pages(p, page * count / 2, page, 100, &pages), 0);
	assert_int_equal(pages.sampled, 100);
	assert_int_equal(pages.absent + pages.unknown, 0);
	if (topo.node_count == 1)
		assert_int_equal(kx_numa_pages_node(&pages), 0);
	/* An unaligned byte range counts the pages it touches. */
	assert_int_equal(kx_numa_verify_pages(p + page - 1, 2, page, 0, &pages), 0);
	assert_int_equal(pages.sampled, 2);
	assert_int_equal(kx_numa_verify_pages(p, 0, page, 0, &pages), -EINVAL);
	assert_int_equal(kx_numa_verify_pages(p, page, 3000, 0, &pages), -EINVAL);
	munmap(p, page * count);
}

static void test_pages_node(void **state)
{
	struct kx_numa_pages pages = {.sampled = 10, .on_node = {[1] = 10}};

	(void)state;
	assert_int_equal(kx_numa_pages_node(&pages), 1);
	pages.on_node[1] = 9;
	pages.on_node[2] = 1;
	assert_int_equal(kx_numa_pages_node(&pages), KX_NUMA_NODE_UNKNOWN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_node),
		cmocka_unit_test(test_two_nodes),
		cmocka_unit_test(test_no_near_cpu),
		cmocka_unit_test(test_smt),
		cmocka_unit_test(test_isolated),
		cmocka_unit_test(test_no_lcores),
		cmocka_unit_test(test_named),
		cmocka_unit_test(test_shared_cpu),
		cmocka_unit_test(test_memory),
		cmocka_unit_test(test_unknown_cpu),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_read_two_nodes),
		cmocka_unit_test(test_read_this_machine),
		cmocka_unit_test(test_pages),
		cmocka_unit_test(test_pages_node),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
