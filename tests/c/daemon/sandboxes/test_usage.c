/* cwsandboxd/usage: what becomes of the figures that boxes report, and who waits for them. */
#include <unistd.h>

#include "sandboxes/usage.h"
#include "support/unit.h"

#define START_NS (100 * CWS_NS_PER_S)

/* Stands for the boxes of all sandboxes. */
static struct {
    unsigned asked;
    unsigned answers; /* how many boxes of one will */
} boxes;

static unsigned ask(struct cwsd_usage *usage)
{
    (void)usage;
    boxes.asked++;
    return boxes.answers;
}

static void begin(struct cwsd_usage *usage)
{
    cwsd_usage_init(usage, ask, START_NS);
    boxes.asked = 0;
    boxes.answers = 1;
}

static uint64_t ticks_of(double seconds)
{
    return (uint64_t)(seconds * (double)sysconf(_SC_CLK_TCK));
}

static void note(struct cwsd_usage *usage, double cpu_seconds, uint64_t pages, uint64_t now_ns)
{
    const struct cwsi_usage report = {.ticks = ticks_of(cpu_seconds), .pages = pages};
    if (usage->due == 0)
        usage->due = 1; /* as if it had been asked */
    cwsd_usage_note(usage, &report, now_ns);
}

static void test_processor_time_is_an_average(void **state)
{
    struct cwsd_usage usage;
    (void)state;
    begin(&usage);
    note(&usage, 2, 0, START_NS + 10 * CWS_NS_PER_S);
    assert_int_equal(usage.cpu_millicores, 200);
    note(&usage, 3, 0, START_NS + 12 * CWS_NS_PER_S);
    assert_int_equal(usage.cpu_millicores, 500);
    note(&usage, 3, 0, START_NS + 14 * CWS_NS_PER_S);
    assert_int_equal(usage.cpu_millicores, 0);
    /* Less than before: a process has ended whose parent does not wait for its children. */
    note(&usage, 1, 0, START_NS + 16 * CWS_NS_PER_S);
    assert_int_equal(usage.cpu_millicores, 0);
    note(&usage, 2, 0, START_NS + 18 * CWS_NS_PER_S);
    assert_int_equal(usage.cpu_millicores, 500);
    /* A tick within a moment is no busy processor. */
    begin(&usage);
    note(&usage, 0.1, 0, START_NS + 1);
    assert_int_equal(usage.cpu_millicores, 100);
}

static void test_memory(void **state)
{
    struct cwsd_usage usage;
    const uint64_t pages = 250000000 / (uint64_t)sysconf(_SC_PAGESIZE);
    (void)state;
    begin(&usage);
    assert_false(usage.known);
    note(&usage, 0, pages, START_NS);
    assert_true(usage.known);
    assert_int_equal(usage.memory_mb, 250);
    note(&usage, 0, 1, START_NS);
    assert_int_equal(usage.memory_mb, 0);
}

/* An init that a sandbox has got hold of. */
static void test_any_figures(void **state)
{
    const uint64_t extremes[] = {0, 1, INT64_MAX, (uint64_t)INT64_MAX + 1, UINT64_MAX};
    const long processors = sysconf(_SC_NPROCESSORS_ONLN);
    struct cwsd_usage usage;
    (void)state;
    begin(&usage);
    for (size_t i = 0; i < CWS_ARRAY_LEN(extremes); i++)
        for (size_t j = 0; j < CWS_ARRAY_LEN(extremes); j++) {
            const struct cwsi_usage report = {.ticks = extremes[i], .pages = extremes[j]};
            usage.due = 2;
            cwsd_usage_note(&usage, &report, START_NS + i);
            cwsd_usage_note(&usage, &report, START_NS + i);
            assert_true(usage.cpu_millicores >= 0 && usage.cpu_millicores <= 1000 * processors);
            assert_true(usage.memory_mb >= 0 && usage.memory_mb <= INT32_MAX);
        }
}

/* ---- who waits ------------------------------------------------------------------------------ */

struct looking {
    struct cwsd_usage_look look;
    unsigned completed;
};

static void on_complete(struct cwsd_usage_look *look)
{
    cws_container_of(look, struct looking, look)->completed++;
}

/* As a call does it. */
static bool look_at(struct cwsd_usage *usage, uint64_t now_ns, struct looking *looking,
                    struct cwsd_usage_reader *reader)
{
    if (!cwsd_usage_join(usage, now_ns, &looking->look, reader))
        return false;
    cwsd_usage_ask(reader, now_ns);
    return true;
}

static void test_it_is_asked_once_a_second(void **state)
{
    struct cwsd_usage usage;
    struct looking first = {.look.complete = on_complete}, second = first;
    struct cwsd_usage_reader readers[2];
    (void)state;
    begin(&usage);
    assert_true(look_at(&usage, START_NS, &first, &readers[0]));
    assert_true(look_at(&usage, START_NS + 1, &second, &readers[1]));
    assert_int_equal(boxes.asked, 1);
    note(&usage, 0, 0, START_NS + 2);
    assert_int_equal(first.completed, 1);
    assert_int_equal(second.completed, 1);
    /* Fresh for a second. */
    uint64_t later_ns = START_NS + 2 + CWSD_USAGE_LIFE_NS;
    assert_false(look_at(&usage, later_ns - 1, &first, &readers[0]));
    assert_int_equal(boxes.asked, 1);
    assert_true(look_at(&usage, later_ns, &first, &readers[0]));
    assert_int_equal(boxes.asked, 2);
    cwsd_usage_end(&usage);
    assert_int_equal(first.completed, 2);
    assert_int_equal(first.look.due, 0);
}

/* A sandbox may hold its init up. That delays an answer, but not the next one as well, and what was
 * true long ago is not told. */
static void test_a_box_that_does_not_answer(void **state)
{
    struct cwsd_usage usage;
    struct looking looking = {.look.complete = on_complete};
    struct cwsd_usage_reader reader;
    (void)state;
    begin(&usage);
    assert_false(cwsd_usage_is_fresh(&usage, START_NS));
    note(&usage, 0, 0, START_NS);
    uint64_t now_ns = START_NS + CWSD_USAGE_LIFE_NS;
    assert_true(look_at(&usage, now_ns, &looking, &reader));
    now_ns += CWSD_USAGE_PATIENCE_NS;
    assert_true(cwsd_usage_is_fresh(&usage, now_ns));
    cwsd_usage_forget(&reader);
    cwsd_usage_forget(&reader);
    assert_int_equal(looking.look.due, 0);
    now_ns++;
    assert_false(cwsd_usage_is_fresh(&usage, now_ns));
    assert_false(look_at(&usage, now_ns, &looking, &reader));
    assert_int_equal(boxes.asked, 1);
    /* Until it does. */
    note(&usage, 0, 0, now_ns);
    assert_int_equal(looking.completed, 0);
    assert_true(cwsd_usage_is_fresh(&usage, now_ns));
}

static void test_a_look_at_several(void **state)
{
    struct cwsd_usage usages[2];
    struct looking looking = {.look.complete = on_complete};
    struct cwsd_usage_reader readers[2];
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        begin(&usages[i]);
        assert_true(look_at(&usages[i], START_NS, &looking, &readers[i]));
    }
    note(&usages[1], 0, 0, START_NS);
    assert_int_equal(looking.completed, 0);
    cwsd_usage_end(&usages[0]); /* it ends */
    assert_int_equal(looking.completed, 1);
}

static void test_a_box_that_cannot_be_asked(void **state)
{
    struct cwsd_usage usage;
    struct looking looking = {.look.complete = on_complete};
    struct cwsd_usage_reader reader;
    (void)state;
    begin(&usage);
    boxes.answers = 0;
    assert_true(look_at(&usage, START_NS, &looking, &reader));
    assert_int_equal(looking.look.due, 0);
    cwsd_usage_end(&usage);
    assert_int_equal(looking.completed, 0);
}

/* A call that asks many does so bit by bit. What it has not come to may answer, or end, before. */
static void test_what_was_answered_before_it_was_asked(void **state)
{
    struct cwsd_usage usage;
    struct looking first = {.look.complete = on_complete}, second = first;
    struct cwsd_usage_reader readers[2];
    (void)state;
    begin(&usage);
    assert_true(cwsd_usage_join(&usage, START_NS, &first.look, &readers[0]));
    assert_true(look_at(&usage, START_NS, &second, &readers[1]));
    note(&usage, 0, 0, START_NS);
    assert_int_equal(first.completed, 1);
    cwsd_usage_ask(&readers[0], START_NS);
    assert_int_equal(boxes.asked, 1);
}

/* What its containers use is added up, whether all of them live to tell it or not. */
static void test_a_sandbox_of_several_boxes(void **state)
{
    struct cwsd_usage usage;
    struct looking looking = {.look.complete = on_complete};
    struct cwsd_usage_reader reader;
    const uint64_t pages = 250000000 / (uint64_t)sysconf(_SC_PAGESIZE);
    (void)state;
    begin(&usage);
    boxes.answers = 3;
    assert_true(look_at(&usage, START_NS, &looking, &reader));
    note(&usage, 1, pages, START_NS + CWS_NS_PER_S);
    note(&usage, 2, pages, START_NS + 2 * CWS_NS_PER_S);
    assert_int_equal(looking.completed, 0);
    assert_false(usage.known);
    cwsd_usage_miss(&usage, START_NS + 10 * CWS_NS_PER_S);
    assert_int_equal(looking.completed, 1);
    assert_int_equal(usage.memory_mb, 500);
    assert_int_equal(usage.cpu_millicores, 300);
    cwsd_usage_miss(&usage, START_NS + 10 * CWS_NS_PER_S); /* harmless */
    assert_int_equal(usage.memory_mb, 500);
}

static const struct CMUnitTest tests[] = {
    UNIT_TEST(test_a_sandbox_of_several_boxes),
    UNIT_TEST(test_processor_time_is_an_average),
    UNIT_TEST(test_memory),
    UNIT_TEST(test_any_figures),
    UNIT_TEST(test_it_is_asked_once_a_second),
    UNIT_TEST(test_a_box_that_does_not_answer),
    UNIT_TEST(test_a_look_at_several),
    UNIT_TEST(test_a_box_that_cannot_be_asked),
    UNIT_TEST(test_what_was_answered_before_it_was_asked),
};

UNIT_MAIN(tests)
