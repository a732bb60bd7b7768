/* Files of a box, read and written by its init: their content, and what cannot be done. */
#include "support/failing.h"
#include "support/op_world.h"

/* ---- content -------------------------------------------------------------------------------- */

static void test_what_is_written_is_read(void **state)
{
    static const size_t sizes[] = {0, 1, 4095, 4096, 65535, 65536, 65537, 3 * MEGABYTE + 1};
    const struct cwsd_host *const hosts[] = {host, host_without_overlay, host_none};
    uint8_t *content = make_content(3 * MEGABYTE + 1);
    struct box_world world;
    (void)state;
    for (size_t i = 0; i < CWS_ARRAY_LEN(hosts); i++) {
        box_open(&world, hosts[i]);
        const char *folder = folder_of(&world);
        for (size_t k = 0; k < CWS_ARRAY_LEN(sizes); k++) {
            expect_written(&world, in(folder, "deep/er/file"), content, sizes[k]);
            expect_read(&world, in(folder, "deep/er/file"), content, sizes[k]);
        }
        remove_folder(&world, folder);
        box_close(&world);
    }
    test_free(content);
}

static void test_read_in_pieces(void **state)
{
    uint8_t *content = make_content(300000);
    struct box_world world;
    (void)state;
    box_open(&world, host);
    expect_written(&world, "/tmp/file", content, 300000);
    expect_read_in_pieces(&world, "/tmp/file", content, 300000, 1 << 14);
    expect_read_in_pieces(&world, "/tmp/file", content, 300000, 100000); /* no rest */
    expect_written(&world, "/tmp/file", content, 3);
    expect_read_in_pieces(&world, "/tmp/file", content, 3, 1);
    box_close(&world);
    test_free(content);
}

static void test_nothing_is_read_without_memory(void **state)
{
    struct box_world world;
    struct op_world run;
    uint8_t *content = make_content(MEGABYTE);
    (void)state;
    box_open(&world, host);
    expect_written(&world, "/tmp/file", content, MEGABYTE);
    read_held(&run, &world, "/tmp/file", LARGEST);
    RUN_UNTIL(&world, run.needs);
    expect_script(&world, "echo meanwhile", 0, "meanwhile\n"); /* and a while passes */
    assert_int_equal(run.needs, 1);
    assert_false(run.done || run.failed);
    run.hold = false;
    op_give(&run, MEGABYTE + 1);
    op_wait(&run);
    assert_true(run.done);
    assert_memory_equal(cws_buf_bytes(&run.content), content, MEGABYTE);
    op_close(&run);
    box_close(&world);
    test_free(content);
}

static void test_more_than_may_be_read(void **state)
{
    struct box_world world;
    (void)state;
    box_open(&world, host);
    expect_written(&world, "/tmp/file", "0123456789", 10);
    expect_read(&world, "/tmp/file", "0123456789", 10);
    struct cwsd_file_op_failure failure = failure_of(&world, "/tmp/file", false, 9);
    assert_int_equal(failure.number, CWSI_FILE_TOO_LARGE);
    assert_int_equal(failure.size, 10);
    failure = failure_of(&world, "/proc/version", false, 9); /* its size is 0 */
    assert_int_equal(failure.number, CWSI_FILE_TOO_LARGE);
    assert_int_equal(failure.size, 10); /* at least */
    box_close(&world);
}

/* Its request does not fit into a packet. */
static void test_a_long_path(void **state)
{
    struct box_world world;
    char path[4096] = "/tmp";
    (void)state;
    box_open(&world, host);
    while (strlen(path) + 202 < sizeof(path))
        snprintf(path + strlen(path), 202, "/%0200d", 7);
    assert_true(strlen(path) > 3800);
    memset(path + strlen(path), '/', sizeof(path) - 2 - strlen(path));
    strcpy(path + sizeof(path) - 3, "/x");
    expect_written(&world, path, "content", 7);
    expect_read(&world, path, "content", 7);
    box_close(&world);
}

/* ---- what cannot be done -------------------------------------------------------------------- */

static void test_errors(void **state)
{
    static const struct {
        const char *path;
        int reading, writing;
    } cases[] = {
        {"", ENOENT, ENOENT},
        {"/tmp", EISDIR, EISDIR},
        {"/etc/passwd/x", ENOTDIR, ENOTDIR},
        {"/tmp/fifo", CWSI_FILE_NOT_REGULAR, CWSI_FILE_NOT_REGULAR},
        {"/dev/zero", CWSI_FILE_NOT_REGULAR, CWSI_FILE_NOT_REGULAR},
        {"/tmp/loop", ELOOP, ELOOP},
        {"/proc/version", 0, EPERM},
        {"/no/such", ENOENT, 0},
    };
    struct box_world world;
    (void)state;
    box_open(&world, host);
    expect_script(&world, "mkfifo /tmp/fifo; ln -s loop /tmp/loop", 0, "");
    for (size_t i = 0; i < CWS_ARRAY_LEN(cases); i++) {
        if (cases[i].reading)
            assert_int_equal(failure_of(&world, cases[i].path, false, LARGEST).number,
                             cases[i].reading);
        if (cases[i].writing)
            assert_int_equal(failure_of(&world, cases[i].path, true, 7).number, cases[i].writing);
    }
    box_close(&world);
}

static void test_a_full_disk(void **state)
{
    struct box_world world;
    uint8_t *content = make_content(8 * MEGABYTE);
    struct op_world run;
    (void)state;
    struct cwsd_host *small = probe_small(32 * MEGABYTE, 0);
    box_open(&world, small);
    expect_script(&world,
                  "mkdir /tmp/full; printf old > /tmp/full/file; head -c 28M /dev/zero > /tmp/b", 0,
                  "");
    op_init(&run, &world);
    write_begin(&run, "/tmp/full/file", content, 8 * MEGABYTE);
    op_wait(&run);
    assert_true(run.failed);
    assert_int_equal(run.failure.number, ENOSPC);
    op_close(&run);
    expect_names(&world, "/tmp/full", "file\n");
    expect_script(&world, "cat /tmp/full/file", 0, "old");
    box_close(&world);
    cwsd_host_free(small);
    test_free(content);
}

static void test_no_process_left_for_it(void **state)
{
    struct box_world world;
    struct exec_world runs[16];
    size_t count = 0;
    (void)state;
    struct cwsd_host *small = probe_small(64 * MEGABYTE, 12);
    box_open(&world, small);
    do {
        exec_open_script(&runs[count], &world, "exec sleep 1000", false);
        RUN_UNTIL(&world, runs[count].started || runs[count].failed);
    } while (!runs[count++].failed && count < CWS_ARRAY_LEN(runs));
    assert_true(count < CWS_ARRAY_LEN(runs));
    struct cwsd_file_op_failure failure = failure_of(&world, "/etc/passwd", false, LARGEST);
    assert_int_equal(failure.number, 0);
    assert_int_equal(failure.err.status, CWS_SYSTEM);
    assert_non_null(strstr(failure.err.text, strerror(EAGAIN)));
    while (count)
        exec_close(&runs[--count]);
    box_close(&world);
    cwsd_host_free(small);
}

static void test_each_allocation_may_fail(void **state)
{
    struct box_world world;
    (void)state;
    box_open(&world, host);
    for (int writes = 0; writes < 2; writes++) {
        for (size_t n = 1;; n++) {
            struct op_world run;
            struct cws_error err;
            op_init(&run, &world);
            cws_alloc_fail_at(n);
            enum cws_status status =
                writes ? cwsd_file_op_write(world.box, "/tmp/x", (const uint8_t *)"x", 1,
                                            &op_events, &run, &run.op, &err)
                       : cwsd_file_op_read(world.box, "/tmp/x", LARGEST, &op_events, &run, &run.op,
                                           &err);
            bool reached = failing_was_reached(n);
            assert_int_equal(status, reached ? CWS_NO_MEMORY : CWS_OK);
            if (!reached) {
                op_wait(&run);
                op_close(&run);
                assert_true(n > 2);
                break;
            }
        }
    }
    box_close(&world);
}

static const struct CMUnitTest tests[] = {
    UNIT_TEST(test_what_is_written_is_read),
    UNIT_TEST(test_read_in_pieces),
    UNIT_TEST(test_nothing_is_read_without_memory),
    UNIT_TEST(test_more_than_may_be_read),
    UNIT_TEST(test_a_long_path),
    UNIT_TEST(test_errors),
    UNIT_TEST(test_a_full_disk),
    UNIT_TEST(test_no_process_left_for_it),
    UNIT_TEST(test_each_allocation_may_fail),
};

static const struct CMUnitTest without_nameless_files[] = {
    UNIT_TEST(test_what_is_written_is_read),
    UNIT_TEST(test_errors),
    UNIT_TEST(test_a_full_disk),
};

int main(void)
{
    int failed = cmocka_run_group_tests(tests, probe_hosts, free_hosts);
    return failed +
           cmocka_run_group_tests(without_nameless_files, forbid_nameless_files, free_hosts);
}
