/* cwsandboxd/record: ids, and the order of events that nobody plans. How each life ends:
 * test_registry.c. */
#include "support/unit.h"

#include "store/record.h"
#include "support/daemon_help.h"

static const struct timespec early = {100, 1}, later = {200, 2}, last = {300, 3};

static void test_a_new_one(void **state)
{
    (void)state;
    struct cwsd_record record;
    memset(&record, 0xa5, sizeof(record));
    cwsd_record_init(&record, early);
    assert_int_equal(record.state, CWSD_STATE(CREATING));
    assert_int_equal(record.created.tv_sec, 100);
    assert_int_equal(record.created.tv_nsec, 1);
    assert_int_equal(record.started.tv_sec, 0);
    assert_int_equal(record.ended.tv_sec, 0);
    assert_int_equal(record.cause, CWSD_CAUSE_NONE);
    assert_false(record.has_exit_code || record.deleted);
    assert_string_equal(record.reason, "");
    assert_true(cws_list_is_empty(&record.in_all) && cws_list_is_empty(&record.in_finished));
    cwsd_record_done(&record); /* holds nothing yet */
}

static void test_ids(void **state)
{
    (void)state;
    enum { COUNT = 200 };
    static struct cwsd_record records[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        cwsd_record_init(&records[i], early);
        assert_int_equal(strlen(records[i].id), CWSD_ID_SIZE - 1);
        assert_memory_equal(records[i].id, "sb-", 3);
        assert_int_equal(strspn(records[i].id + 3, "0123456789abcdef"), 16);
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(records[i].id, records[j].id);
    }
}

static void test_what_it_holds_is_freed(void **state)
{
    (void)state;
    struct cwsd_record record;
    cwsd_pb_spec spec;
    cwsd_pb_container container, *containers[1];
    plain_spec(&spec, &container, containers);
    cwsd_record_init(&record, early);
    record.request_id = cws_strdup("again");
    record.display_name = cws_strdup("box");
    record.spec = copy_of(&spec);
    cwsd_record_done(&record); /* what is left is found by the fixture */
}

static void test_times(void **state)
{
    (void)state;
    struct cwsd_record record;
    cwsd_record_init(&record, early);
    cwsd_record_running(&record, later);
    cwsd_record_exited(&record, 0);
    cwsd_record_gone(&record, NULL, last);
    assert_int_equal(record.created.tv_sec, 100);
    assert_int_equal(record.started.tv_sec, 200);
    assert_int_equal(record.ended.tv_sec, 300);
    cwsd_record_init(&record, early);
    cwsd_record_gone(&record, "no bubblewrap", last); /* never ran */
    assert_int_equal(record.started.tv_sec, 0);
    assert_int_equal(record.ended.tv_sec, 300);
}

/* The first cause stays, whichever they are. */
static void test_every_pair_of_causes(void **state)
{
    (void)state;
    static const char *const reasons[] = {NULL, "deleted", "its maximum lifetime has passed",
                                          "the daemon was stopped"};
    for (int first = CWSD_CAUSE_DELETE; first <= CWSD_CAUSE_SHUTDOWN; first++) {
        for (int second = CWSD_CAUSE_DELETE; second <= CWSD_CAUSE_SHUTDOWN; second++) {
            struct cwsd_record record;
            cwsd_record_init(&record, early);
            cwsd_record_running(&record, early);
            cwsd_record_stopping(&record, (enum cwsd_cause)first);
            cwsd_record_stopping(&record, (enum cwsd_cause)second);
            assert_int_equal(record.cause, first);
            cwsd_record_gone(&record, "ignored", later);
            assert_int_equal(record.state, CWSD_STATE(TERMINATED));
            assert_string_equal(record.reason, reasons[first]);
        }
    }
}

/* The main command has ended by itself, and only then a stop is asked for. */
static void test_a_stop_after_the_exit(void **state)
{
    (void)state;
    struct cwsd_record record;
    cwsd_record_init(&record, early);
    cwsd_record_running(&record, early);
    cwsd_record_exited(&record, 5);
    cwsd_record_stopping(&record, CWSD_CAUSE_SHUTDOWN);
    cwsd_record_gone(&record, NULL, later);
    assert_int_equal(record.state, CWSD_STATE(TERMINATED)); /* never FAILED after a stop */
    assert_true(record.has_exit_code);
    assert_int_equal(record.exit_code, 5);
}

static void test_exit_codes_that_mean_signals(void **state)
{
    (void)state;
    static const struct {
        int exit_code;
        const char *reason;
    } rows[] = {
        {0, "the main command ended with exit code 0"},
        {1, "the main command ended with exit code 1"},
        {127, "the main command ended with exit code 127"},
        {128, "the main command ended with exit code 128"},
        {129, "the main command ended by signal 1"},
        {143, "the main command ended by signal 15"},
        {192, "the main command ended by signal 64"},
        {193, "the main command ended with exit code 193"},
        {255, "the main command ended with exit code 255"},
    };
    for (size_t i = 0; i < CWS_ARRAY_LEN(rows); i++) {
        struct cwsd_record record;
        cwsd_record_init(&record, early);
        cwsd_record_running(&record, early);
        cwsd_record_exited(&record, rows[i].exit_code);
        cwsd_record_gone(&record, "ignored: the exit says more", later);
        assert_string_equal(record.reason, rows[i].reason);
        assert_int_equal(record.state,
                         rows[i].exit_code ? CWSD_STATE(FAILED) : CWSD_STATE(COMPLETED));
    }
}

static void test_reasons_from_outside_are_cleaned(void **state)
{
    (void)state;
    struct cwsd_record record;
    cwsd_record_init(&record, early);
    cwsd_record_gone(&record, "bwrap: \x1b[31mno\n\xff %s", later);
    assert_string_equal(record.reason, "bwrap: ?[31mno?? %s");
}

static const struct CMUnitTest tests[] = {
    UNIT_TEST(test_a_new_one),
    UNIT_TEST(test_ids),
    UNIT_TEST(test_what_it_holds_is_freed),
    UNIT_TEST(test_times),
    UNIT_TEST(test_every_pair_of_causes),
    UNIT_TEST(test_a_stop_after_the_exit),
    UNIT_TEST(test_exit_codes_that_mean_signals),
    UNIT_TEST(test_reasons_from_outside_are_cleaned),
};

UNIT_MAIN(tests)
