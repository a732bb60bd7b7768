/* Users for sandboxes: each is taken once. */
#include <grp.h>
#include <unistd.h>

#include "base/alloc.h"
#include "host/users.h"
#include "support/unit.h"

static struct cwsd_users *new_users(void)
{
    struct cwsd_users *users = NULL;
    struct cws_error err = {0};
    assert_int_equal(cwsd_users_new(&users, &err), CWS_OK);
    if (!users)
        skip(); /* in a user namespace without such ids */
    return users;
}

static void test_each_once(void **state)
{
    enum { COUNT = 16384 };
    struct cwsd_users *users = new_users();
    uid_t first = cwsd_users_take(users);
    (void)state;
    assert_in_range(first, 0x70000000, 0x7ffd0000 - COUNT);
    for (uid_t i = 1; i < COUNT; i++)
        assert_int_equal(cwsd_users_take(users), first + i);
    assert_int_equal(cwsd_users_take(users), 0);
    cwsd_users_give_back(users, first + 7);
    cwsd_users_give_back(users, 0);
    assert_int_equal(cwsd_users_take(users), first + 7);
    assert_int_equal(cwsd_users_take(users), 0);
    cwsd_users_free(users);
    cwsd_users_free(NULL);
}

/* A number that was somebody's a moment ago is the last to be taken again. */
static void test_given_back_comes_last(void **state)
{
    struct cwsd_users *users = new_users();
    uid_t first = cwsd_users_take(users);
    (void)state;
    cwsd_users_give_back(users, first);
    assert_int_equal(cwsd_users_take(users), first + 1);
    cwsd_users_free(users);
}

static void test_try(void **state)
{
    struct cwsd_users *users = new_users();
    bool became = false;
    (void)state;
    int error = cwsd_users_try(users, &became);
    assert_int_equal(became, geteuid() == 0);
    if (!became)
        assert_int_not_equal(error, 0);
    assert_int_equal(getuid(), geteuid()); /* only the child became somebody else */
    cwsd_users_free(users);
}

static void test_no_memory(void **state)
{
    struct cwsd_users *users;
    struct cws_error err;
    (void)state;
    cwsd_users_free(new_users());
    cws_alloc_fail_at(1);
    assert_int_equal(cwsd_users_new(&users, &err), CWS_NO_MEMORY);
    cws_alloc_fail_at(0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_each_once),
        UNIT_TEST(test_given_back_comes_last),
        UNIT_TEST(test_try),
        UNIT_TEST(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
