/* cwsandboxd/string_list: copies, always terminated, and freed whole. */
#include "support/unit.h"

#include "box/string_list.h"
#include "support/failing.h"

static void test_copies_in_order(void **state)
{
    (void)state;
    struct cwsd_string_list list = {NULL, 0};
    char text[] = "first";
    assert_int_equal(cwsd_string_list_reserve(&list, 4), CWS_OK);
    assert_null(list.items[0]); /* terminated before anything is in it */
    assert_int_equal(cwsd_string_list_add(&list, text), CWS_OK);
    text[0] = 'F';
    assert_string_equal(list.items[0], "first");
    assert_int_equal(cwsd_string_list_add(&list, ""), CWS_OK);
    assert_null(list.items[2]); /* and after each one */
    assert_int_equal(cwsd_string_list_add_pair(&list, "A", "b=c\n"), CWS_OK);
    assert_int_equal(cwsd_string_list_add_pair(&list, "", ""), CWS_OK);
    static const char *const wanted[] = {"first", "", "A=b=c\n", "="};
    assert_int_equal(list.count, CWS_ARRAY_LEN(wanted));
    for (size_t i = 0; i < list.count; i++)
        assert_string_equal(list.items[i], wanted[i]);
    assert_null(list.items[4]);
    cwsd_string_list_done(&list);
    assert_null(list.items);
    assert_int_equal(list.count, 0);
    cwsd_string_list_done(&list);
}

static void test_an_empty_one_is_terminated(void **state)
{
    (void)state;
    struct cwsd_string_list list = {NULL, 0};
    cwsd_string_list_done(&list);
    assert_int_equal(cwsd_string_list_reserve(&list, 0), CWS_OK);
    assert_null(list.items[0]);
    cwsd_string_list_done(&list);
    assert_int_equal(cwsd_string_list_reserve(&list, 1), CWS_OK); /* usable again */
    assert_int_equal(cwsd_string_list_add(&list, "a"), CWS_OK);
    cwsd_string_list_done(&list);
}

static enum cws_status fill(struct cwsd_string_list *list)
{
    enum cws_status status = cwsd_string_list_reserve(list, 2);
    if (status == CWS_OK)
        status = cwsd_string_list_add(list, "word");
    if (status == CWS_OK)
        status = cwsd_string_list_add_pair(list, "NAME", "value");
    return status;
}

static void test_each_allocation_may_fail(void **state)
{
    (void)state;
    size_t n = 1;
    for (;; n++) {
        struct cwsd_string_list list = {NULL, 0};
        cws_alloc_fail_at(n);
        enum cws_status status = fill(&list);
        bool reached = failing_was_reached(n);
        assert_int_equal(status, reached ? CWS_NO_MEMORY : CWS_OK);
        assert_int_equal(list.count, reached ? (n > 2) : 2); /* what was added before stays */
        if (list.items)
            assert_null(list.items[list.count]);
        cwsd_string_list_done(&list);
        if (!reached)
            break;
    }
    assert_int_equal(n, 4);
}

static const struct CMUnitTest tests[] = {
    UNIT_TEST(test_copies_in_order),
    UNIT_TEST(test_an_empty_one_is_terminated),
    UNIT_TEST(test_each_allocation_may_fail),
};

UNIT_MAIN(tests)
