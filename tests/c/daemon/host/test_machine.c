/* What the machine has, and what cgroups leave of it. */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "host/machine.h"
#include "support/unit.h"

#define GIB ((int64_t)1 << 30)

static void test_this_machine(void **state)
{
    struct cwsd_machine machine;
    struct sysinfo info;
    cpu_set_t usable;
    (void)state;
    cwsd_machine_read(&machine);
    assert_int_equal(sysinfo(&info), 0);
    assert_int_equal(sched_getaffinity(0, sizeof(usable), &usable), 0);
    assert_true(machine.cpu_millicores > 0);
    assert_true(machine.cpu_millicores <= CPU_COUNT(&usable) * 1000);
    assert_true(machine.memory_bytes > 0);
    assert_true(machine.memory_bytes <= (int64_t)info.totalram * info.mem_unit);
    assert_true(machine.free_memory_bytes > 0);
    assert_true(machine.free_memory_bytes <= machine.memory_bytes);
#if defined(__x86_64__)
    assert_string_equal(machine.architecture, "amd64");
#elif defined(__aarch64__)
    assert_string_equal(machine.architecture, "arm64");
#endif
}

/* ---- cgroups: a hierarchy of plain files, root/a/b ------------------------------------------ */

static char root[] = "/tmp/cws-machine-XXXXXX";

static void write_file(const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof(path), "%s/%s", root, name);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static int set_up(void **state)
{
    char path[256];
    (void)state;
    snprintf(root, sizeof(root), "/tmp/cws-machine-XXXXXX");
    assert_non_null(mkdtemp(root));
    snprintf(path, sizeof(path), "%s/a", root);
    assert_int_equal(mkdir(path, 0700), 0);
    snprintf(path, sizeof(path), "%s/a/b", root);
    assert_int_equal(mkdir(path, 0700), 0);
    return 0;
}

static int tear_down(void **state)
{
    static const char *const names[] = {
        "cpu.max",
        "memory.max",
        "memory.current",
        "a/cpu.max",
        "a/memory.max",
        "a/memory.current",
        "a/b/cpu.max",
        "a/b/memory.max",
        "a/b/memory.current",
        "a/b",
        "a",
    };
    char path[256];
    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s", root, names[i]);
        remove(path);
    }
    return rmdir(root);
}

static struct cwsd_machine limited(void)
{
    struct cwsd_machine machine = {
        .cpu_millicores = 8000, .memory_bytes = 16 * GIB, .free_memory_bytes = 10 * GIB};
    cwsd_machine_limit(&machine, root, "/a/b");
    return machine;
}

static void test_no_limits(void **state)
{
    (void)state;
    write_file("a/cpu.max", "max 100000\n");
    write_file("a/memory.max", "max\n");
    write_file("a/memory.current", "5\n");
    struct cwsd_machine machine = limited();
    assert_int_equal(machine.cpu_millicores, 8000);
    assert_int_equal(machine.memory_bytes, 16 * GIB);
    assert_int_equal(machine.free_memory_bytes, 10 * GIB);
}

static void test_the_tightest_of_all_levels_counts(void **state)
{
    (void)state;
    write_file("a/b/cpu.max", "400000 100000\n");
    write_file("a/cpu.max", "150000 100000\n");
    write_file("cpu.max", "1000000 100000\n");
    write_file("a/b/memory.max", "4294967296\n");     /* 4 GiB */
    write_file("a/b/memory.current", "1073741824\n"); /* 1 GiB */
    write_file("a/memory.max", "8589934592\n");       /* 8 GiB */
    write_file("a/memory.current", "6442450944\n");   /* 6 GiB */
    struct cwsd_machine machine = limited();
    assert_int_equal(machine.cpu_millicores, 1500);
    assert_int_equal(machine.memory_bytes, 4 * GIB);
    assert_int_equal(machine.free_memory_bytes, 2 * GIB);
}

static void test_a_cgroup_that_is_full(void **state)
{
    (void)state;
    write_file("a/b/memory.max", "1000\n");
    write_file("a/b/memory.current", "2000\n");
    struct cwsd_machine machine = limited();
    assert_int_equal(machine.memory_bytes, 1000);
    assert_int_equal(machine.free_memory_bytes, 0);
}

static const struct CMUnitTest tests[] = {
    UNIT_TEST(test_this_machine),
    cmocka_unit_test_setup_teardown(test_no_limits, set_up, tear_down),
    cmocka_unit_test_setup_teardown(test_the_tightest_of_all_levels_counts, set_up, tear_down),
    cmocka_unit_test_setup_teardown(test_a_cgroup_that_is_full, set_up, tear_down),
};

UNIT_MAIN(tests)
