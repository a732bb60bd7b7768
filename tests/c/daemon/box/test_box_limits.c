/* What a box may take: with an overlay and without one. */
#include "box/probe.h"
#include "support/box_world.h"

#define MEBIBYTE (1u << 20)

static struct cwsd_host *host;
static struct cwsd_host *host_without_overlay;

static struct cwsd_host *probe_small(enum cwsd_isolation isolation)
{
    struct cwsd_host *found = NULL;
    struct cws_error err = {0};
    struct cwsd_host_options options = {.init_path = init_path(),
                                        .limits = {50, 1100, 32 * MEBIBYTE}};
    if (cwsd_probe_host_from(&options, isolation, &found, &err) != CWS_OK)
        fail_msg("%s", err.text);
    return found;
}

static int probe_hosts(void **state)
{
    (void)state;
    alarm(UNIT_SECONDS);
    host = probe_small(CWSD_ISOLATION_OVERLAY);
    host_without_overlay = probe_small(CWSD_ISOLATION_NAMESPACES);
    return 0;
}

static int free_hosts(void **state)
{
    (void)state;
    cwsd_host_free(host);
    cwsd_host_free(host_without_overlay);
    return 0;
}

static void test_description(void **state)
{
    const struct cwsd_host *const hosts[] = {host, host_without_overlay};
    (void)state;
    for (size_t i = 0; i < CWS_ARRAY_LEN(hosts); i++) {
        const char *text = cwsd_host_describe(hosts[i]);
        assert_non_null(strstr(text, "50 processes, 1100 open files for each process, 32 MiB of "
                                     "written files"));
    }
}

/* Everywhere at once, and what of it can be read back afterwards. */
static void test_written_bytes(void **state)
{
    const struct cwsd_host *const hosts[] = {host, host_without_overlay};
    struct box_world world;
    (void)state;
    for (size_t i = 0; i < CWS_ARRAY_LEN(hosts); i++) {
        world_open(&world, hosts[i]);
        assert_int_equal(
            run_script(&world,
                       "for d in $(find / -xdev -type d -writable; find /dev /usr/local /opt "
                       "-type d -writable); do timeout 5 head -c 40M /dev/zero > $d/filler; done "
                       "2>/dev/null; set -- $(find / -name filler -size +1k -printf '%s\\n' "
                       "2>/dev/null); sum=0; for n; do sum=$((sum + n)); done; "
                       "[ $sum -gt 8000000 ] && [ $sum -le $(((32 << 20) + (64 << 10))) ]"),
            0);
        world_close(&world);
    }
}

static void test_files(void **state)
{
    const struct cwsd_host *const hosts[] = {host, host_without_overlay};
    struct box_world world;
    (void)state;
    for (size_t i = 0; i < CWS_ARRAY_LEN(hosts); i++) {
        world_open(&world, hosts[i]);
        /* The shell ends at the file that cannot be made. */
        assert_int_equal(run_script(&world, "cd /tmp; i=0; while : > f$i; do i=$((i+1)); "
                                            "[ $i -lt 5000 ] || exit 3; done 2>/dev/null"),
                         2);
        world_close(&world);
    }
}

static void test_processes_and_open_files(void **state)
{
    const struct cwsd_host *const hosts[] = {host, host_without_overlay};
    struct box_world world;
    (void)state;
    for (size_t i = 0; i < CWS_ARRAY_LEN(hosts); i++) {
        box_open(&world, hosts[i]);
        assert_int_equal(hosts[i]->process_count, CWSD_COUNT_OWN);
        expect_script(&world,
                      "ulimit -Hn; ulimit -Sn; sed -n 's/^Max processes *\\([0-9]*\\) .*/\\1/p' "
                      "/proc/self/limits",
                      0, "1100\n1024\n50\n");
        box_close(&world);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_description),
        UNIT_TEST(test_written_bytes),
        UNIT_TEST(test_files),
        UNIT_TEST(test_processes_and_open_files),
    };
    return cmocka_run_group_tests(tests, probe_hosts, free_hosts);
}
