/* io/mailbox: letters from any thread, one wake-up for many of them. */
#include "support/unit.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/resource.h>

#include "base/base.h"
#include "io/future.h"
#include "io/mailbox.h"

static struct cws_mailbox *new_mailbox(void)
{
    struct cws_mailbox *mailbox;
    struct cws_error err = {0};
    if (cws_mailbox_new(&mailbox, &err) != CWS_OK)
        fail_msg("%s", err.text);
    return mailbox;
}

static bool is_fd_readable(const struct cws_mailbox *mailbox, int which)
{
    struct pollfd fd = {.fd = cws_mailbox_fd(mailbox, which), .events = POLLIN};
    return poll(&fd, 1, 0) == 1;
}

static bool is_readable(const struct cws_mailbox *mailbox)
{
    assert_false(is_fd_readable(mailbox, 1));
    return is_fd_readable(mailbox, 0);
}

static void test_letters_come_out_as_they_went_in(void **state)
{
    (void)state;
    struct cws_mailbox *mailbox = new_mailbox();
    struct cws_letter letters[4];
    assert_null(cws_mailbox_take(mailbox, 0));
    for (int i = 0; i < 4; i++) {
        cws_letter_init(&letters[i], mailbox);
        cws_mailbox_put(mailbox, &letters[i]);
    }
    struct cws_letter *letter = cws_mailbox_take(mailbox, 0);
    for (int i = 0; i < 4; i++, letter = cws_letter_next(letter))
        assert_ptr_equal(letter, &letters[i]);
    assert_null(letter);
    assert_null(cws_mailbox_take(mailbox, 0));
    cws_mailbox_free(mailbox);
}

static void test_the_descriptor_is_readable_while_there_is_something(void **state)
{
    (void)state;
    struct cws_mailbox *mailbox = new_mailbox();
    struct cws_letter a, b;
    cws_letter_init(&a, mailbox);
    cws_letter_init(&b, mailbox);
    assert_true(fcntl(cws_mailbox_fd(mailbox, 0), F_GETFD) & FD_CLOEXEC);
    assert_true(fcntl(cws_mailbox_fd(mailbox, 0), F_GETFL) & O_NONBLOCK);
    for (int round = 0; round < 3; round++) {
        assert_false(is_readable(mailbox));
        cws_mailbox_put(mailbox, &a);
        assert_true(is_readable(mailbox));
        cws_mailbox_put(mailbox, &b);
        uint64_t wakes = 0;
        assert_int_equal(read(cws_mailbox_fd(mailbox, 0), &wakes, sizeof(wakes)), sizeof(wakes));
        assert_int_equal(wakes, 1); /* the second put found the box not empty */
        assert_ptr_equal(cws_mailbox_take(mailbox, 0), &a);
    }
    cws_mailbox_free(mailbox);
}

static void test_the_descriptor_is_readable_until_all_is_dealt_with(void **state)
{
    (void)state;
    struct cws_mailbox *mailbox = new_mailbox();
    struct cws_letter a, b;
    cws_letter_init(&a, mailbox);
    cws_letter_init(&b, mailbox);
    cws_mailbox_quiet(mailbox, 0); /* nothing to clear: does not block */
    cws_mailbox_put(mailbox, &a);
    assert_ptr_equal(cws_mailbox_take(mailbox, 0), &a);
    assert_true(is_readable(mailbox));
    cws_mailbox_put(mailbox, &b);
    cws_mailbox_quiet(mailbox, 0);
    assert_true(is_readable(mailbox)); /* for the one that came meanwhile */
    assert_ptr_equal(cws_mailbox_take(mailbox, 0), &b);
    cws_mailbox_quiet(mailbox, 0);
    assert_false(is_readable(mailbox));
    assert_null(cws_mailbox_take(mailbox, 0));
    cws_mailbox_wake(mailbox);
    assert_true(is_readable(mailbox));
    cws_mailbox_quiet(mailbox, 0);
    assert_false(is_readable(mailbox));
    cws_mailbox_free(mailbox);
}

static void test_the_other_descriptor(void **state)
{
    (void)state;
    struct cws_mailbox *mailbox = new_mailbox();
    struct cws_letter a, b;
    cws_letter_init(&a, mailbox);
    cws_letter_init(&b, mailbox);
    cws_mailbox_put(mailbox, &a);
    assert_ptr_equal(cws_mailbox_take(mailbox, 1), &a);
    cws_mailbox_put(mailbox, &b);
    assert_true(is_fd_readable(mailbox, 0)); /* for the first one: nobody has cleared it */
    assert_true(is_fd_readable(mailbox, 1));
    cws_mailbox_quiet(mailbox, 0); /* not in use, so whatever there is */
    assert_false(is_fd_readable(mailbox, 0));
    cws_mailbox_quiet(mailbox, 1);
    assert_true(is_fd_readable(mailbox, 1));
    assert_ptr_equal(cws_mailbox_take(mailbox, 0), &b);
    cws_mailbox_wake(mailbox);
    cws_mailbox_quiet(mailbox, 1);
    assert_true(is_readable(mailbox));
    cws_mailbox_free(mailbox);
}

static void test_its_descriptors(void **state)
{
    (void)state;
    struct cws_mailbox *mailbox = new_mailbox();
    int fds[CWS_MAILBOX_FDS];
    for (int i = 0; i < CWS_MAILBOX_FDS; i++) {
        fds[i] = cws_mailbox_fd(mailbox, i);
        assert_int_equal(fcntl(fds[i], F_GETFD), FD_CLOEXEC);
        assert_true(fcntl(fds[i], F_GETFL) & O_NONBLOCK);
    }
    cws_mailbox_free(mailbox);
    for (int i = 0; i < CWS_MAILBOX_FDS; i++)
        assert_int_equal(fcntl(fds[i], F_GETFD), -1); /* closed with it */
    cws_mailbox_free(NULL);
}

static void test_a_letter_is_an_observer(void **state)
{
    (void)state;
    struct cws_mailbox *mailbox = new_mailbox();
    struct cws_future future;
    struct cws_letter letter;
    cws_future_init(&future);
    cws_letter_init(&letter, mailbox);
    assert_true(cws_future_observe(&future, &letter.observer));
    assert_false(is_readable(mailbox));
    cws_future_complete(&future);
    assert_true(is_readable(mailbox));
    assert_ptr_equal(cws_mailbox_take(mailbox, 0), &letter);
    cws_future_done(&future);
    cws_mailbox_free(mailbox);
}

static void test_a_mailbox_without_memory(void **state)
{
    (void)state;
    struct cws_mailbox *mailbox;
    struct cws_error err = {0};
    cws_alloc_fail_at(1);
    assert_int_equal(cws_mailbox_new(&mailbox, &err), CWS_NO_MEMORY);
    assert_int_equal(err.status, CWS_NO_MEMORY);
}

static void test_a_mailbox_without_descriptors(void **state)
{
    (void)state;
    struct cws_mailbox *mailbox;
    struct cws_error err = {0};
    struct rlimit limit, few;
    int next = dup(0);
    close(next);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    few = limit;
    for (int left = 0; left < CWS_MAILBOX_FDS; left++) {
        few.rlim_cur = (rlim_t)(next + left);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
        enum cws_status status = cws_mailbox_new(&mailbox, &err);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
        assert_int_equal(status, CWS_SYSTEM);
        assert_non_null(strstr(err.text, "eventfd"));
        assert_int_equal(fcntl(next, F_GETFD), -1);
    }
}

/* --- threads --- */

enum { PUTTERS = 4, LETTERS_EACH = 20000 };

struct post {
    struct cws_letter letter;
    int putter;
    int number;
};

struct putter {
    pthread_t thread;
    pthread_mutex_t lock; /* held during a put, as that of a list of observers */
    struct cws_mailbox *mailbox;
    int number;
};

static void *put_letters(void *arg)
{
    struct putter *putter = arg;
    for (int i = 0; i < LETTERS_EACH; i++) {
        struct post *post = malloc(sizeof(*post)); /* the drainer frees it at once */
        cws_letter_init(&post->letter, putter->mailbox);
        post->putter = putter->number;
        post->number = i;
        pthread_mutex_lock(&putter->lock);
        cws_mailbox_put(putter->mailbox, &post->letter);
        pthread_mutex_unlock(&putter->lock);
    }
    return NULL;
}

/* Returns when all letters have come; `step` is what the eventfds take turns by. */
static void drain_all(struct putter *putters, struct cws_mailbox *mailbox, int step)
{
    int next[PUTTERS] = {0}, left = PUTTERS * LETTERS_EACH, in_use = 0;
    while (left > 0) {
        struct pollfd fd = {.fd = cws_mailbox_fd(mailbox, in_use), .events = POLLIN};
        assert_int_equal(poll(&fd, 1, -1), 1); /* a lost wake-up would sleep here until the alarm */
        int before = in_use;
        in_use = (in_use + step) % CWS_MAILBOX_FDS;
        struct cws_letter *letter = cws_mailbox_take(mailbox, in_use);
        while (letter) {
            struct post *post = cws_container_of(letter, struct post, letter);
            letter = cws_letter_next(letter);
            assert_int_equal(post->number, next[post->putter]++); /* each thread's in its order */
            pthread_mutex_lock(&putters[post->putter].lock);
            pthread_mutex_unlock(&putters[post->putter].lock);
            free(post);
            left--;
        }
        cws_mailbox_quiet(mailbox, before);
        if (step)
            assert_false(
                is_fd_readable(mailbox, before)); /* all puts that could wake it are over */
    }
    cws_mailbox_quiet(mailbox, in_use);
    assert_null(cws_mailbox_take(mailbox, 0));
    for (int i = 0; i < CWS_MAILBOX_FDS; i++)
        assert_false(is_fd_readable(mailbox, i));
}

static void put_and_drain(int step)
{
    struct cws_mailbox *mailbox = new_mailbox();
    struct putter putters[PUTTERS];
    for (int i = 0; i < PUTTERS; i++) {
        putters[i] = (struct putter){.mailbox = mailbox, .number = i};
        pthread_mutex_init(&putters[i].lock, NULL);
        assert_int_equal(pthread_create(&putters[i].thread, NULL, put_letters, &putters[i]), 0);
    }
    drain_all(putters, mailbox, step);
    for (int i = 0; i < PUTTERS; i++) {
        pthread_join(putters[i].thread, NULL);
        pthread_mutex_destroy(&putters[i].lock);
    }
    cws_mailbox_free(mailbox);
}

static void test_no_letter_and_no_wake_up_is_lost(void **state)
{
    (void)state;
    put_and_drain(0);
}

static void test_none_is_lost_while_the_descriptors_take_turns(void **state)
{
    (void)state;
    put_and_drain(1);
}

static const struct CMUnitTest tests[] = {
    UNIT_TEST(test_letters_come_out_as_they_went_in),
    UNIT_TEST(test_the_descriptor_is_readable_while_there_is_something),
    UNIT_TEST(test_the_descriptor_is_readable_until_all_is_dealt_with),
    UNIT_TEST(test_the_other_descriptor),
    UNIT_TEST(test_its_descriptors),
    UNIT_TEST(test_a_letter_is_an_observer),
    UNIT_TEST(test_a_mailbox_without_memory),
    UNIT_TEST(test_a_mailbox_without_descriptors),
    UNIT_TEST(test_no_letter_and_no_wake_up_is_lost),
    UNIT_TEST(test_none_is_lost_while_the_descriptors_take_turns),
};

UNIT_MAIN(tests)
