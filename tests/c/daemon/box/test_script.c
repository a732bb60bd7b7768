/* cwsandboxd/script: steps as the init reads them, and a failure that sticks. */
#include "support/unit.h"

#include "box/script.h"

/* The step at *at, checked for its shape; *at is then the next one's place. */
static const struct cwsi_step *next_step(const struct cwsd_script *script, size_t *at)
{
    const uint8_t *bytes = cws_buf_bytes(&script->steps) + *at;
    size_t left = script->steps.len - *at;
    const struct cwsi_step *step = (const struct cwsi_step *)bytes;
    assert_int_equal((uintptr_t)bytes % 8, 0);
    assert_true(left >= sizeof(*step));
    size_t size = sizeof(*step) + step->a_len + 1 + step->b_len + 1;
    assert_true(left >= size);
    assert_int_equal(bytes[sizeof(*step) + step->a_len], 0);
    for (; size % 8; size++)
        assert_int_equal(bytes[size - 1], 0); /* the NUL, and no stray bytes in the padding */
    *at += size;
    return step;
}

static const char *a_of(const struct cwsi_step *step)
{
    return (const char *)(step + 1);
}

static const char *b_of(const struct cwsi_step *step)
{
    return a_of(step) + step->a_len + 1;
}

static void test_steps_in_order(void **state)
{
    (void)state;
    struct cwsd_script script;
    size_t at = 0;
    cwsd_script_init(&script);
    cwsd_script_add(&script, CWSI_STEP_BIND, CWSI_STEP_TRY | CWSI_STEP_IF_EXISTS, "/a", "/target");
    cwsd_script_add(&script, CWSI_STEP_DETACH, 0, "/b", NULL);
    cwsd_script_mkdir(&script, "/c", 01777);
    cwsd_script_file(&script, CWSI_STEP_FILE, "/d", 0640, "x\0y", 3);
    assert_int_equal(script.status, CWS_OK);

    const struct cwsi_step *step = next_step(&script, &at);
    assert_int_equal(step->op, CWSI_STEP_BIND);
    assert_int_equal(step->flags, CWSI_STEP_TRY | CWSI_STEP_IF_EXISTS);
    assert_string_equal(a_of(step), "/a");
    assert_string_equal(b_of(step), "/target");
    step = next_step(&script, &at);
    assert_int_equal(step->op, CWSI_STEP_DETACH);
    assert_int_equal(step->flags, 0);
    assert_string_equal(a_of(step), "/b");
    assert_int_equal(step->b_len, 0);
    assert_string_equal(b_of(step), "");
    step = next_step(&script, &at);
    assert_int_equal(step->op, CWSI_STEP_MKDIR);
    assert_int_equal(step->mode, 01777);
    assert_string_equal(a_of(step), "/c");
    step = next_step(&script, &at);
    assert_int_equal(step->op, CWSI_STEP_FILE);
    assert_int_equal(step->mode, 0640);
    assert_int_equal(step->b_len, 3);
    assert_memory_equal(b_of(step), "x\0y", 4);
    assert_int_equal(at, script.steps.len);
    cwsd_script_done(&script);
}

/* Whatever the lengths, each step starts where the init looks for it. */
static void test_every_length(void **state)
{
    (void)state;
    static const char text[] = "0123456789abcdefg";
    struct cwsd_script script;
    size_t at = 0;
    cwsd_script_init(&script);
    for (size_t a = 0; a < sizeof(text); a++) {
        for (size_t b = 0; b < sizeof(text); b++)
            cwsd_script_file(&script, CWSI_STEP_MOUNT_FILE, text + sizeof(text) - 1 - a, 0600,
                             b ? text : NULL, b);
    }
    assert_int_equal(script.status, CWS_OK);
    for (size_t a = 0; a < sizeof(text); a++) {
        for (size_t b = 0; b < sizeof(text); b++) {
            const struct cwsi_step *step = next_step(&script, &at);
            assert_int_equal(step->a_len, a);
            assert_int_equal(step->b_len, b);
            assert_string_equal(a_of(step), text + sizeof(text) - 1 - a);
            assert_memory_equal(b_of(step), text, b);
        }
    }
    assert_int_equal(at, script.steps.len);
    cwsd_script_done(&script);
}

static void test_the_first_failure_sticks(void **state)
{
    (void)state;
    struct cwsd_script script;
    cwsd_script_init(&script);
    cws_alloc_fail_at(1);
    cwsd_script_mkdir(&script, "/a", 0700);
    assert_int_equal(script.status, CWS_NO_MEMORY);
    cwsd_script_mkdir(&script, "/b", 0700); /* there would be memory for this one */
    cwsd_script_add(&script, CWSI_STEP_DETACH, 0, "/c", NULL);
    assert_int_equal(script.status, CWS_NO_MEMORY);
    assert_int_equal(script.steps.len, 0);
    cwsd_script_done(&script);
}

static void test_more_than_there_may_be(void **state)
{
    (void)state;
    struct cwsd_script script;
    cwsd_script_init(&script);
    cwsd_script_mkdir(&script, "/a", 0700);
    size_t len = script.steps.len;
    cwsd_script_file(&script, CWSI_STEP_FILE, "/b", 0600, "", (size_t)1 << 30); /* not looked at */
    assert_int_equal(script.status, CWS_TOO_LARGE);
    cwsd_script_mkdir(&script, "/c", 0700);
    assert_int_equal(script.status, CWS_TOO_LARGE);
    assert_int_equal(script.steps.len, len); /* no half step */
    cwsd_script_done(&script);
}

static const struct CMUnitTest tests[] = {
    UNIT_TEST(test_steps_in_order),
    UNIT_TEST(test_every_length),
    UNIT_TEST(test_the_first_failure_sticks),
    UNIT_TEST(test_more_than_there_may_be),
};

UNIT_MAIN(tests)
