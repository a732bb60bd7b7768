/* grpc/status: what is owned, moved and added up. */
#include "support/unit.h"

#include "grpc/status.h"

static void test_init_is_ok_with_nothing(void **state)
{
    (void)state;
    struct cws_grpc_status status;
    cws_grpc_status_init(&status);
    assert_int_equal(status.code, CWS_GRPC_OK);
    assert_null(status.message);
    assert_null(status.details);
    assert_int_equal(status.details_len, 0);
    assert_false(status.local);
    cws_grpc_status_done(&status);
}

static void test_set_formats_and_replaces(void **state)
{
    (void)state;
    struct cws_grpc_status status;
    cws_grpc_status_init(&status);
    cws_grpc_status_set(&status, CWS_GRPC_NOT_FOUND, "no sandbox '%s'", "abc");
    assert_int_equal(status.code, CWS_GRPC_NOT_FOUND);
    assert_string_equal(status.message, "no sandbox 'abc'");
    assert_true(status.local);
    cws_grpc_status_set(&status, 99, "%d", 7);
    assert_int_equal(status.code, 99);
    assert_string_equal(status.message, "7");
    cws_grpc_status_done(&status);
    assert_null(status.message);
}

static void test_a_message_without_memory_is_left_out(void **state)
{
    (void)state;
    struct cws_grpc_status status;
    cws_grpc_status_init(&status);
    cws_grpc_status_set(&status, CWS_GRPC_INTERNAL, "first");
    cws_alloc_fail_at(1);
    cws_grpc_status_set(&status, CWS_GRPC_UNAVAILABLE, "second");
    assert_int_equal(status.code, CWS_GRPC_UNAVAILABLE);
    assert_null(status.message);
    cws_grpc_status_done(&status);
}

static void test_details_are_kept_one_after_the_other(void **state)
{
    (void)state;
    struct cws_grpc_status status;
    uint8_t large[300];
    memset(large, 'L', sizeof(large));
    cws_grpc_status_init(&status);
    assert_int_equal(cws_grpc_status_add_details(&status, (const uint8_t *)"abc", 3), CWS_OK);
    assert_int_equal(cws_grpc_status_add_details(&status, NULL, 0), CWS_OK);
    assert_int_equal(cws_grpc_status_add_details(&status, large, sizeof(large)), CWS_OK);
    assert_int_equal(status.details_len, 4 + 3 + 4 + 4 + 300);
    static const uint8_t start[] = {0, 0, 0, 3, 'a', 'b', 'c', 0, 0, 0, 0, 0, 0, 1, 44, 'L', 'L'};
    assert_memory_equal(status.details, start, sizeof(start));
    cws_alloc_fail_at(1);
    assert_int_equal(cws_grpc_status_add_details(&status, large, 5), CWS_NO_MEMORY);
    assert_int_equal(status.details_len, 4 + 3 + 4 + 4 + 300);
    assert_memory_equal(status.details, start, sizeof(start));
    cws_grpc_status_done(&status);
}

static void test_move_leaves_nothing_behind(void **state)
{
    (void)state;
    struct cws_grpc_status from, to;
    cws_grpc_status_init(&from);
    cws_grpc_status_init(&to);
    cws_grpc_status_set(&to, CWS_GRPC_ABORTED, "replaced");
    cws_grpc_status_set(&from, CWS_GRPC_DATA_LOSS, "moved");
    assert_int_equal(cws_grpc_status_add_details(&from, (const uint8_t *)"d", 1), CWS_OK);
    cws_grpc_status_move(&to, &from);
    assert_int_equal(to.code, CWS_GRPC_DATA_LOSS);
    assert_string_equal(to.message, "moved");
    assert_int_equal(to.details_len, 5);
    assert_int_equal(from.code, CWS_GRPC_OK);
    assert_null(from.message);
    assert_null(from.details);
    cws_grpc_status_move(&to, &to); /* to itself: nothing happens */
    assert_string_equal(to.message, "moved");
    cws_grpc_status_done(&from);
    cws_grpc_status_done(&to);
}

static const struct CMUnitTest tests[] = {
    UNIT_TEST(test_init_is_ok_with_nothing),
    UNIT_TEST(test_set_formats_and_replaces),
    UNIT_TEST(test_a_message_without_memory_is_left_out),
    UNIT_TEST(test_details_are_kept_one_after_the_other),
    UNIT_TEST(test_move_leaves_nothing_behind),
};

UNIT_MAIN(tests)
