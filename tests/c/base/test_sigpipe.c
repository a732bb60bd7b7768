/* base/sigpipe: kept away where it would end the program, and the thread's mask is as before
 * afterwards. */
#include "support/broken_pipe.h"

#include "base/sigpipe.h"

static bool is_blocked(void)
{
    sigset_t mask;
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    return sigismember(&mask, SIGPIPE);
}

static bool is_pending(void)
{
    sigset_t pending;
    sigpending(&pending);
    return sigismember(&pending, SIGPIPE);
}

static void test_where_it_is_ignored_nothing_changes(void **state)
{
    (void)state;
    sigset_t before;
    signal(SIGPIPE, SIG_IGN);
    assert_false(cws_sigpipe_block(&before));
    assert_false(is_blocked());
    write_to_broken_pipe();
}

static void test_where_it_would_kill_it_is_kept_away(void **state)
{
    (void)state;
    sigset_t before;
    signal(SIGPIPE, SIG_DFL);
    assert_true(cws_sigpipe_block(&before));
    assert_true(is_blocked());
    write_to_broken_pipe();
    assert_true(is_pending());
    cws_sigpipe_restore(&before);
    assert_false(is_blocked());
    assert_false(is_pending());
}

static void test_what_was_blocked_and_pending_before_stays(void **state)
{
    (void)state;
    sigset_t pipe, outer, before;
    signal(SIGPIPE, SIG_DFL);
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe, &outer);
    write_to_broken_pipe();
    assert_true(cws_sigpipe_block(&before));
    cws_sigpipe_restore(&before);
    assert_true(is_blocked());
    assert_true(is_pending());
    signal(SIGPIPE, SIG_IGN); /* which drops it */
    pthread_sigmask(SIG_SETMASK, &outer, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_where_it_is_ignored_nothing_changes),
        UNIT_TEST(test_where_it_would_kill_it_is_kept_away),
        UNIT_TEST(test_what_was_blocked_and_pending_before_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
