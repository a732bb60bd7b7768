/* What a box tells of the processor time and memory of its processes. */
#include <unistd.h>

#include "support/box_hosts.h"

/* Its parsing is a file of its own, to be tried here; the rest of the init runs in the boxes. */
#include "cwsandbox-init/stat.c"

/* ---- what the kernel writes ----------------------------------------------------------------- */

/* Fields 1 to 18; 14 to 17 are the times. */
#define LINE(name, state) "42 (" name ") " state " 1 42 42 0 -1 4194560 9 9 9 9 1000 200 30 4 20\n"

static void test_times(void **state)
{
    static const char *const lines[] = {
        LINE("sh", "S"),      LINE("", "R"),         LINE("a b", "Z"),
        LINE(") R 1 2", "S"), LINE("((x) 1) ", "D"), LINE("\\n\xff\x01", "S"),
    };
    (void)state;
    for (size_t i = 0; i < CWS_ARRAY_LEN(lines); i++) {
        struct cwsi_usage sum = {.ticks = 1};
        stat_add(lines[i], strlen(lines[i]), &sum);
        assert_int_equal(sum.ticks, 1235);
    }
}

/* Nothing of a text that is not whole counts. */
static void expect_nothing(void (*add)(const char *text, size_t len, struct cwsi_usage *sum),
                           const char *text, size_t len)
{
    struct cwsi_usage sum = {0};
    char *copy = malloc(len ? len : 1); /* so that a look behind it is noticed */
    assert_non_null(copy);
    memcpy(copy, text, len);
    add(copy, len, &sum);
    free(copy);
    assert_int_equal(sum.ticks, 0);
    assert_int_equal(sum.pages, 0);
}

static void test_cut_texts(void **state)
{
    static const char line[] = LINE("sh", "S");
    static const char memory[] = "5000 300 200 ";
    (void)state;
    for (size_t len = 0; len < sizeof(line) - sizeof(" 20\n"); len++)
        expect_nothing(stat_add, line, len);
    for (size_t len = 0; len < sizeof(memory) - 1; len++)
        expect_nothing(stat_add_memory, memory, len);
}

static void test_memory(void **state)
{
    static const struct {
        const char *text;
        uint64_t pages;
    } cases[] = {{"5000 300 200 1 0 2 0\n", 101},
                 {"0 0 0 0 0 0 0\n", 1},         /* a kernel's thread, or one that is ending */
                 {"5000 200 300 1 0 2 0\n", 1}}; /* they are not read at one moment */
    (void)state;
    for (size_t i = 0; i < CWS_ARRAY_LEN(cases); i++) {
        struct cwsi_usage sum = {.pages = 1};
        stat_add_memory(cases[i].text, strlen(cases[i].text), &sum);
        assert_int_equal(sum.pages, cases[i].pages);
    }
}

/* ---- what runs ------------------------------------------------------------------------------ */

static void measure(struct box_world *world)
{
    unsigned before = world->usages;
    assert_true(cwsd_box_ask_usage(world->box));
    assert_false(cwsd_box_ask_usage(world->box)); /* one at a time */
    RUN_UNTIL(world, world->usages > before);
}

static const char busy[] = "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done";

static void test_processor_time_of_all_processes(void **state)
{
    struct box_world world;
    char script[200];
    (void)state;
    box_open(&world, host);
    measure(&world);
    uint64_t before = world.usage.ticks;
    /* One that was waited for by a shell that has ended, and one that nobody waited for. */
    snprintf(script, sizeof(script), "(%s); true", busy);
    expect_script(&world, script, 0, "");
    measure(&world);
    uint64_t ended = world.usage.ticks;
    assert_true(ended > before);
    /* One that runs. */
    struct exec_world run;
    exec_open_script(&run, &world, "while :; do :; done", false);
    RUN_UNTIL(&world, run.started);
    for (uint64_t last = ended; last < ended + 5; last = world.usage.ticks)
        measure(&world);
    exec_close(&run);
    box_close(&world);
}

static void test_memory_of_all_processes(void **state)
{
    struct box_world world;
    struct exec_world run;
    const uint64_t size = 40u << 20;
    (void)state;
    box_open(&world, host);
    measure(&world);
    uint64_t before = world.usage.pages;
    assert_true(before > 0 && before < size / (uint64_t)sysconf(_SC_PAGESIZE));
    /* A shell that keeps it in a variable. */
    exec_open_script(&run, &world, "x=$(head -c 41943040 /dev/zero | tr '\\0' x); echo; read y",
                     true);
    RUN_UNTIL(&world, run.out.len > 0);
    measure(&world);
    assert_true(world.usage.pages > before + size / (uint64_t)sysconf(_SC_PAGESIZE));
    exec_close(&run);
    for (;;) {
        measure(&world);
        if (world.usage.pages < before + 1000)
            break;
    }
    box_close(&world);
}

/* All of them count, but not the programs' pages, which all of them share. */
static void test_many_processes(void **state)
{
    struct box_world world;
    struct exec_world run;
    (void)state;
    box_open(&world, host);
    measure(&world);
    uint64_t before = world.usage.pages;
    exec_open_script(&run, &world,
                     "i=0; while [ $i -lt 300 ]; do sleep 1000 & i=$((i+1)); done; echo; wait",
                     false);
    RUN_UNTIL(&world, run.out.len > 0);
    measure(&world);
    assert_true(world.usage.pages > before + 300);
    assert_true(world.usage.pages < before + 300 * 200);
    exec_close(&run);
    box_close(&world);
}

/* Without isolation its processes are not told from others. */
static void test_what_cannot_be_asked(void **state)
{
    struct box_world world;
    (void)state;
    box_open(&world, host_none);
    assert_false(cwsd_box_ask_usage(world.box));
    box_close(&world);
    box_open(&world, host);
    cwsd_box_stop(world.box, 0);
    assert_false(cwsd_box_ask_usage(world.box));
    box_end(&world);
    world_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_times),
        UNIT_TEST(test_cut_texts),
        UNIT_TEST(test_memory),
        UNIT_TEST(test_processor_time_of_all_processes),
        UNIT_TEST(test_memory_of_all_processes),
        UNIT_TEST(test_many_processes),
        UNIT_TEST(test_what_cannot_be_asked),
    };
    return cmocka_run_group_tests(tests, probe_hosts, free_hosts);
}
