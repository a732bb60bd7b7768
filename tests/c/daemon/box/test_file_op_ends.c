/* File operations in the middle of which somebody gives up, is killed or ends, and many at once:
 * what is told, and what is left. */
#include "support/op_world.h"

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
            char script[400];
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

/* Half of what the box may be sending, and a little more. */
#define HALF_AND_MORE "68M"

/* Who stops in the middle must not keep the room for contents from other boxes. */
static void test_what_a_box_sends_at_a_time_is_limited(void **state)
{
    struct op_world runs[3];
    struct box_world world;
    (void)state;
    box_open(&world, host);
    expect_script(&world, "truncate -s " HALF_AND_MORE " /tmp/large; echo small > /tmp/small", 0,
                  "");
    read_held(&runs[0], &world, "/tmp/large", CWSD_MAX_FILE_MESSAGE_BYTES);
    RUN_UNTIL(&world, runs[0].needs);
    read_held(&runs[1], &world, "/tmp/large", CWSD_MAX_FILE_MESSAGE_BYTES);
    read_held(&runs[2], &world, "/tmp/large", CWSD_MAX_FILE_MESSAGE_BYTES);
    expect_read(&world, "/tmp/small", "small\n", 6);
    op_close(&runs[0]); /* makes room for the next, whichever came first */
    RUN_UNTIL(&world, runs[1].needs || runs[2].needs);
    struct op_world *late = runs[1].needs ? &runs[2] : &runs[1];
    RUN_UNTIL(&world, late->failed); /* has waited for too long */
    assert_int_equal(late->needs, 0);
    assert_int_equal(late->failure.number, 0);
    assert_int_equal(late->failure.err.status, CWS_TOO_LARGE);
    op_close(&runs[1]);
    op_close(&runs[2]);
    box_close(&world);
}

/* Its process is killed while it waits for room. */
static void test_the_end_of_who_waits_for_room(void **state)
{
    struct op_world runs[2];
    struct box_world world;
    struct exec_world killer;
    (void)state;
    world_open(&world, host);
    box_start(&world, &(struct cwsd_box_options){.id = "test"}); /* has no process of its own */
    RUN_UNTIL(&world, world.running);
    expect_script(&world, "truncate -s " HALF_AND_MORE " /tmp/large", 0, "");
    read_held(&runs[0], &world, "/tmp/large", CWSD_MAX_FILE_MESSAGE_BYTES);
    RUN_UNTIL(&world, runs[0].needs);
    read_held(&runs[1], &world, "/tmp/large", CWSD_MAX_FILE_MESSAGE_BYTES);
    exec_open_script(&killer, &world, "kill -KILL -1", false);
    for (size_t i = 0; i < CWS_ARRAY_LEN(runs); i++) {
        op_wait(&runs[i]);
        assert_true(runs[i].failed);
        assert_int_equal(runs[i].failure.err.status, CWS_SYSTEM);
        op_close(&runs[i]);
    }
    exec_wait(&killer);
    exec_close(&killer);
    box_close(&world);
}

/* As the init itself: what commands may not do, it may not, and they cannot look into it. */
static void test_its_process_is_out_of_reach(void **state)
{
    struct box_world world;
    struct op_world run;
    uint8_t *content = make_content(MEGABYTE);
    (void)state;
    box_open(&world, host);
    expect_written(&world, "/tmp/file", content, MEGABYTE);
    read_held(&run, &world, "/tmp/file", LARGEST);
    RUN_UNTIL(&world, run.needs);
    expect_script(
        &world,
        "for p in /proc/[0-9]*; do "
        "  grep -qs '^Name:.cwsandbox-init' $p/status && [ $p != /proc/1 ] || continue; "
        "  echo found; "
        "  for what in CapEff CapBnd NoNewPrivs Seccomp Uid Gid; do "
        "    [ \"$(grep ^$what: $p/status)\" = \"$(grep ^$what: /proc/self/status)\" ] || "
        "      echo $what differs; "
        "  done; "
        "  { cat $p/maps || cat $p/environ || readlink $p/exe || cat $p/fd/3; } 2>/dev/null && "
        "    echo in reach; "
        "done; :",
        0, "found\n");
    op_close(&run);
    box_close(&world);
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
    read_held(&run, &world, "/tmp/file", LARGEST);
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

static const struct CMUnitTest tests[] = {
    UNIT_TEST(test_a_read_that_is_given_up),
    UNIT_TEST(test_a_write_that_is_given_up),
    UNIT_TEST(test_more_than_are_carried_out_at_a_time),
    UNIT_TEST(test_the_box_ends_before_their_turn),
    UNIT_TEST(test_what_a_box_sends_at_a_time_is_limited),
    UNIT_TEST(test_the_end_of_who_waits_for_room),
    UNIT_TEST(test_its_process_is_out_of_reach),
    UNIT_TEST(test_its_process_is_killed),
    UNIT_TEST(test_the_box_ends),
};

static const struct CMUnitTest without_nameless_files[] = {
    UNIT_TEST(test_a_write_that_is_given_up),
};

int main(void)
{
    int failed = cmocka_run_group_tests(tests, probe_hosts, free_hosts);
    return failed +
           cmocka_run_group_tests(without_nameless_files, forbid_nameless_files, free_hosts);
}
