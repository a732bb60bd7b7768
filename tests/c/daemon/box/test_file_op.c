/* Files of a box, read and written by its init: what arrives, what is left when somebody gives up,
 * and what the box's end makes of it. */
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>

#include "box/file_op.h"
#include "support/box_hosts.h"
#include "support/failing.h"
#include "values/bounds.h"

#define MEGABYTE (1024u * 1024)
#define LARGEST  (64u * MEGABYTE)

struct op_world {
    struct box_world *world;
    struct cwsd_file_op *op;
    bool hold; /* no memory is given */
    bool free_on_need, free_at_end;
    size_t piece; /* 0: as much as is needed */
    unsigned needs;
    bool done, failed;
    struct cws_buf content;
    size_t len;
    struct cwsd_file_op_failure failure;
};

static void give(struct op_world *run, size_t len)
{
    uint8_t *memory;
    size_t more = run->piece && run->piece < len ? run->piece : len;
    assert_int_equal(cws_buf_reserve(&run->content, more, &memory), CWS_OK);
    cws_buf_commit(&run->content, more);
    cwsd_file_op_give(run->op, memory, more);
}

static void on_need(void *ctx, size_t len)
{
    struct op_world *run = ctx;
    assert_false(run->done || run->failed);
    assert_true(len > 0);
    run->needs++;
    if (run->free_on_need) {
        cwsd_file_op_free(run->op);
        run->op = NULL;
    } else if (!run->hold) {
        give(run, len);
    }
}

static void end(struct op_world *run)
{
    if (!run->free_at_end)
        return;
    cwsd_file_op_free(run->op);
    run->op = NULL;
}

static void on_done(void *ctx, size_t len)
{
    struct op_world *run = ctx;
    assert_false(run->done || run->failed);
    run->done = true;
    run->len = len;
    end(run);
}

static void on_failed(void *ctx, const struct cwsd_file_op_failure *failure)
{
    struct op_world *run = ctx;
    assert_false(run->done || run->failed);
    run->failed = true;
    run->failure = *failure;
    end(run);
}

static const struct cwsd_file_op_events events = {on_need, on_done, on_failed};

static void op_init(struct op_world *run, struct box_world *world)
{
    *run = (struct op_world){.world = world};
    cws_buf_init(&run->content, 2 * (size_t)LARGEST);
}

static void read_begin(struct op_world *run, const char *path, size_t max)
{
    struct cws_error err;
    if (cwsd_file_op_read(run->world->box, path, max, &events, run, &run->op, &err) != CWS_OK)
        fail_msg("%s", err.text);
    assert_false(run->needs || run->done || run->failed);
}

static void write_begin(struct op_world *run, const char *path, const void *content, size_t len)
{
    struct cws_error err;
    if (cwsd_file_op_write(run->world->box, path, content, len, &events, run, &run->op, &err) !=
        CWS_OK)
        fail_msg("%s", err.text);
    assert_false(run->done || run->failed);
}

static void op_wait(struct op_world *run)
{
    RUN_UNTIL(run->world, run->done || run->failed);
}

static void op_close(struct op_world *run)
{
    if (run->op)
        cwsd_file_op_free(run->op);
    cws_buf_done(&run->content);
}

static void expect_written(struct box_world *world, const char *path, const void *content,
                           size_t len)
{
    struct op_world run;
    op_init(&run, world);
    write_begin(&run, path, content, len);
    op_wait(&run);
    if (run.failed)
        fail_msg("writing %s: %d %s", path, run.failure.number, run.failure.err.text);
    op_close(&run);
}

static void expect_read_in_pieces(struct box_world *world, const char *path, const void *content,
                                  size_t len, size_t piece)
{
    struct op_world run;
    op_init(&run, world);
    run.piece = piece;
    read_begin(&run, path, LARGEST);
    op_wait(&run);
    if (run.failed)
        fail_msg("reading %s: %d %s", path, run.failure.number, run.failure.err.text);
    assert_int_equal(run.len, len);
    assert_true(run.len == 0 || memcmp(cws_buf_bytes(&run.content), content, len) == 0);
    op_close(&run);
}

static void expect_read(struct box_world *world, const char *path, const void *content, size_t len)
{
    expect_read_in_pieces(world, path, content, len, 0);
}

/* The failure of a whole operation. */
static struct cwsd_file_op_failure failure_of(struct box_world *world, const char *path,
                                              bool writes, size_t size)
{
    struct op_world run;
    op_init(&run, world);
    if (writes)
        write_begin(&run, path, "content", size);
    else
        read_begin(&run, path, size);
    op_wait(&run);
    if (!run.failed)
        fail_msg("%s did not fail", path);
    op_close(&run);
    return run.failure;
}

/* A folder that only this test uses, where sandboxes share the host's files, too. */
static const char *folder_of(struct box_world *world)
{
    static char folder[128];
    char script[160];
    snprintf(folder, sizeof(folder), "/tmp/%s", unique_name());
    snprintf(script, sizeof(script), "mkdir %s", folder);
    expect_script(world, script, 0, "");
    return folder;
}

static void remove_folder(struct box_world *world, const char *folder)
{
    char script[200];
    snprintf(script, sizeof(script), "rm -r %s", folder);
    expect_script(world, script, 0, "");
}

static const char *in(const char *folder, const char *name)
{
    static char path[256];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    return path;
}

static size_t count_ids(const struct box_world *world)
{
    size_t count = 0;
    for (uint32_t id = 0; id < world->box->slot_count; id++)
        count += world->box->slots[id].occupant != NULL;
    return count;
}

static bool is_idle(const struct box_world *world)
{
    return count_ids(world) == 0;
}

/* All names in the folder, once no child of the init is at work any more. */
static void expect_names(struct box_world *world, const char *folder, const char *names)
{
    char script[300];
    RUN_UNTIL(world, is_idle(world));
    snprintf(script, sizeof(script), "ls -A %s", folder);
    expect_script(world, script, 0, names);
}

static uint8_t *make_content(size_t len)
{
    uint8_t *content = test_malloc(len);
    for (size_t i = 0; i < len; i++)
        content[i] = (uint8_t)(i * 7 + i / 251);
    return content;
}

static struct cwsd_host *probe_small(uint64_t written, uint64_t processes)
{
    struct cwsd_host *found = NULL;
    struct cws_error err;
    struct cwsd_host_options options = {.init_path = init_path(),
                                        .limits = {processes, 0, written}};
    if (cwsd_probe_host_from(&options, CWSD_ISOLATION_OVERLAY, &found, &err) != CWS_OK)
        fail_msg("%s", err.text);
    return found;
}

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
    op_init(&run, &world);
    run.hold = true;
    read_begin(&run, "/tmp/file", LARGEST);
    RUN_UNTIL(&world, run.needs);
    expect_script(&world, "echo meanwhile", 0, "meanwhile\n"); /* and a while passes */
    assert_int_equal(run.needs, 1);
    assert_false(run.done || run.failed);
    run.hold = false;
    give(&run, MEGABYTE + 1);
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

/* ---- in the middle -------------------------------------------------------------------------- */

static void test_a_read_that_is_given_up(void **state)
{
    struct box_world world;
    struct op_world run;
    uint8_t *content = make_content(MEGABYTE);
    (void)state;
    box_open(&world, host);
    expect_written(&world, "/tmp/file", content, MEGABYTE);
    for (int when = 0; when < 3; when++) {
        op_init(&run, &world);
        run.hold = true;
        run.free_on_need = when == 1;
        read_begin(&run, "/tmp/file", LARGEST);
        if (when > 0)
            RUN_UNTIL(&world, run.needs);
        op_close(&run);
        RUN_UNTIL(&world, is_idle(&world));
        assert_false(run.done || run.failed);
    }
    box_close(&world);
    test_free(content);
}

/* The file is the old or the new one, and nothing else is left. */
static void test_a_write_that_is_given_up(void **state)
{
    const struct cwsd_host *const hosts[] = {host, host_none};
    const size_t len = 8 * MEGABYTE; /* never all of it is taken at once */
    struct box_world world;
    struct op_world run;
    uint8_t *content = make_content(len);
    (void)state;
    for (size_t i = 0; i < CWS_ARRAY_LEN(hosts); i++) {
        box_open(&world, hosts[i]);
        const char *folder = folder_of(&world);
        expect_written(&world, in(folder, "file"), "old", 3);
        for (int rounds = 0; rounds < 5; rounds++) {
            char script[300];
            op_init(&run, &world);
            write_begin(&run, in(folder, "file"), content, len);
            for (int round = 0; round < rounds && !run.done; round++)
                uv_run(cws_loop_uv(world.loop), UV_RUN_ONCE);
            op_close(&run);
            expect_names(&world, folder, "file\n");
            snprintf(script, sizeof(script), "s=$(stat -c %%s %s); [ $s = 3 ] || [ $s = %zu ]",
                     in(folder, "file"), len);
            expect_script(&world, script, 0, "");
            if (rounds == 0)
                expect_read(&world, in(folder, "file"), "old", 3);
        }
        remove_folder(&world, folder);
        box_close(&world);
    }
    test_free(content);
}

#define MANY 200

static void test_more_than_are_carried_out_at_a_time(void **state)
{
    static struct op_world runs[MANY];
    static char paths[MANY][32];
    struct box_world world;
    size_t left = MANY;
    (void)state;
    box_open(&world, host);
    for (size_t i = 0; i < MANY; i++) {
        snprintf(paths[i], sizeof(paths[i]), "/tmp/many/%zu", i);
        op_init(&runs[i], &world);
        runs[i].free_at_end = i % 2;
        write_begin(&runs[i], paths[i], paths[i], strlen(paths[i]));
    }
    assert_int_equal(count_ids(&world), CWSD_MAX_FILE_OPS);
    op_close(&runs[MANY / 2]); /* which waits still */
    runs[MANY / 2].op = NULL;
    while (left > 1) {
        uv_run(cws_loop_uv(world.loop), UV_RUN_ONCE);
        assert_true(count_ids(&world) <= CWSD_MAX_FILE_OPS);
        left = MANY;
        for (size_t i = 0; i < MANY; i++)
            left -= runs[i].done;
    }
    for (size_t i = 0; i < MANY; i++)
        op_close(&runs[i]);
    expect_script(&world, "ls /tmp/many | wc -l; cat /tmp/many/199", 0, "199\n/tmp/many/199");
    box_close(&world);
}

static void test_the_box_ends_before_their_turn(void **state)
{
    static struct op_world runs[MANY];
    uint8_t *content = make_content(MEGABYTE);
    struct box_world world;
    (void)state;
    box_open(&world, host);
    expect_written(&world, "/tmp/file", content, MEGABYTE);
    for (size_t i = 0; i < MANY; i++) {
        op_init(&runs[i], &world);
        runs[i].hold = true;
        runs[i].free_at_end = i % 2;
        read_begin(&runs[i], "/tmp/file", LARGEST);
    }
    cwsd_box_stop(world.box, 0);
    RUN_UNTIL(&world, world.gone);
    for (size_t i = 0; i < MANY; i++) {
        assert_true(runs[i].failed);
        assert_int_equal(runs[i].failure.err.status, CWS_CLOSED);
        op_close(&runs[i]);
    }
    box_end(&world);
    world_close(&world);
    test_free(content);
}

static void test_its_process_is_killed(void **state)
{
    struct box_world world;
    struct op_world run;
    uint8_t *content = make_content(MEGABYTE);
    (void)state;
    world_open(&world, host);
    box_start(&world, &(struct cwsd_box_options){.id = "test"}); /* has no process of its own */
    RUN_UNTIL(&world, world.running);
    expect_written(&world, "/tmp/file", content, MEGABYTE);
    op_init(&run, &world);
    run.hold = true;
    read_begin(&run, "/tmp/file", LARGEST);
    RUN_UNTIL(&world, run.needs);
    struct exec_world killer;
    exec_open_script(&killer, &world, "kill -KILL -1", false);
    op_wait(&run);
    exec_wait(&killer);
    exec_close(&killer);
    assert_true(run.failed);
    assert_int_equal(run.failure.number, 0);
    assert_int_equal(run.failure.err.status, CWS_SYSTEM);
    assert_non_null(strstr(run.failure.err.text, "killed by signal 9"));
    op_close(&run);
    box_close(&world);
    test_free(content);
}

static void test_the_box_ends(void **state)
{
    const struct cwsd_host *const hosts[] = {host, host_none};
    struct box_world world;
    struct op_world reading, writing;
    uint8_t *content = make_content(MEGABYTE);
    char path[128];
    (void)state;
    snprintf(path, sizeof(path), "/dev/shm/%s", unique_name());
    for (size_t i = 0; i < CWS_ARRAY_LEN(hosts); i++) {
        for (int freed = 0; freed < 2; freed++) {
            box_open(&world, hosts[i]);
            expect_written(&world, path, content, MEGABYTE);
            op_init(&reading, &world);
            op_init(&writing, &world);
            reading.hold = true;
            reading.free_at_end = writing.free_at_end = i == 1;
            read_begin(&reading, path, LARGEST); /* a pipe does not hold all of it */
            write_begin(&writing, path, content, MEGABYTE);
            if (freed) {
                op_close(&reading);
                op_close(&writing);
            }
            cwsd_box_stop(world.box, 0);
            box_end(&world);
            if (!freed) {
                assert_true(reading.failed);
                assert_int_equal(reading.failure.err.status, CWS_CLOSED);
                assert_true(writing.failed || writing.done);
                op_close(&reading);
                op_close(&writing);
            }
            world_close(&world);
        }
    }
    unlink(path); /* of the host, without isolation */
    test_free(content);
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
                writes
                    ? cwsd_file_op_write(world.box, "/tmp/x", (const uint8_t *)"x", 1, &events,
                                         &run, &run.op, &err)
                    : cwsd_file_op_read(world.box, "/tmp/x", LARGEST, &events, &run, &run.op, &err);
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

/* ---- where files have no nameless kind ------------------------------------------------------ */

/* From now on, here and in all boxes to come: as on a file system that cannot do it. */
static int forbid_nameless_files(void **state)
{
    (void)state;
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2])),
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, O_TMPFILE & ~O_DIRECTORY, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EOPNOTSUPP),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = CWS_ARRAY_LEN(code), .filter = code};
    assert_int_equal(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    assert_int_equal(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0), 0);
    assert_int_equal(openat(AT_FDCWD, "/tmp", O_TMPFILE | O_WRONLY, 0600), -1);
    return probe_hosts(state);
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
    UNIT_TEST(test_a_read_that_is_given_up),
    UNIT_TEST(test_a_write_that_is_given_up),
    UNIT_TEST(test_more_than_are_carried_out_at_a_time),
    UNIT_TEST(test_the_box_ends_before_their_turn),
    UNIT_TEST(test_its_process_is_killed),
    UNIT_TEST(test_the_box_ends),
    UNIT_TEST(test_each_allocation_may_fail),
};

static const struct CMUnitTest without_nameless_files[] = {
    UNIT_TEST(test_what_is_written_is_read),
    UNIT_TEST(test_errors),
    UNIT_TEST(test_a_full_disk),
    UNIT_TEST(test_a_write_that_is_given_up),
};

int main(void)
{
    int failed = cmocka_run_group_tests(tests, probe_hosts, free_hosts);
    return failed +
           cmocka_run_group_tests(without_nameless_files, forbid_nameless_files, free_hosts);
}
