/* io/future: done once, and who sees it sees the result. */
#include "support/unit.h"

#include <pthread.h>

#include "base/base.h"
#include "io/future.h"

struct watcher {
    struct cws_observer observer;
    const struct cws_future *future;
    unsigned notified;
};

static void note(struct cws_observer *observer)
{
    struct watcher *watcher = cws_container_of(observer, struct watcher, observer);
    assert_true(cws_future_is_done(watcher->future));
    watcher->notified++;
}

static void test_observers_are_told_at_the_end(void **state)
{
    (void)state;
    struct cws_future future;
    struct watcher a = {.observer.notify = note, .future = &future};
    struct watcher b = {.observer.notify = note, .future = &future};
    cws_future_init(&future);
    assert_false(cws_future_is_done(&future));
    assert_true(cws_future_observe(&future, &a.observer));
    assert_true(cws_future_observe(&future, &b.observer));
    assert_int_equal(a.notified, 0);
    cws_future_complete(&future);
    assert_true(cws_future_is_done(&future));
    assert_int_equal(a.notified, 1);
    assert_int_equal(b.notified, 1);
    cws_waiters_remove(&future.waiters, &a.observer);
    cws_future_done(&future);
}

static void test_who_comes_late_is_not_registered(void **state)
{
    (void)state;
    struct cws_future future;
    struct watcher late = {.observer.notify = note, .future = &future};
    cws_future_init(&future);
    cws_future_complete(&future);
    assert_false(cws_future_observe(&future, &late.observer));
    cws_waiters_remove(&future.waiters, &late.observer); /* its node is fit for that */
    assert_int_equal(late.notified, 0);
    cws_future_done(&future);
}

static void test_who_leaves_is_not_told(void **state)
{
    (void)state;
    struct cws_future future;
    struct watcher gone = {.observer.notify = note, .future = &future};
    cws_future_init(&future);
    assert_true(cws_future_observe(&future, &gone.observer));
    cws_waiters_remove(&future.waiters, &gone.observer);
    cws_future_complete(&future);
    assert_int_equal(gone.notified, 0);
    cws_future_done(&future);
}

/* --- threads --- */

struct operation {
    struct cws_future future;
    int result; /* no lock of its own: the future orders it */
};

struct sleeper {
    struct cws_observer observer;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool woken;
};

static void wake(struct cws_observer *observer)
{
    struct sleeper *sleeper = cws_container_of(observer, struct sleeper, observer);
    pthread_mutex_lock(&sleeper->lock);
    sleeper->woken = true;
    pthread_cond_signal(&sleeper->changed);
    pthread_mutex_unlock(&sleeper->lock);
}

static void *wait_for_result(void *arg)
{
    struct operation *operation = arg;
    struct sleeper sleeper = {.observer.notify = wake,
                              .lock = PTHREAD_MUTEX_INITIALIZER,
                              .changed = PTHREAD_COND_INITIALIZER};
    if (cws_future_observe(&operation->future, &sleeper.observer)) {
        pthread_mutex_lock(&sleeper.lock);
        while (!sleeper.woken)
            pthread_cond_wait(&sleeper.changed, &sleeper.lock);
        pthread_mutex_unlock(&sleeper.lock);
        cws_waiters_remove(&operation->future.waiters, &sleeper.observer);
    }
    assert_true(cws_future_is_done(&operation->future));
    return (void *)(intptr_t)operation->result;
}

static void *spin_for_result(void *arg)
{
    struct operation *operation = arg;
    while (!cws_future_is_done(&operation->future))
        ;
    return (void *)(intptr_t)operation->result;
}

static void test_every_thread_sees_the_result(void **state)
{
    (void)state;
    for (int round = 1; round <= 300; round++) {
        struct operation operation = {.result = -1};
        pthread_t threads[4];
        void *results[4];
        cws_future_init(&operation.future);
        for (int i = 0; i < 4; i++)
            assert_int_equal(pthread_create(&threads[i], NULL,
                                            i < 3 ? wait_for_result : spin_for_result, &operation),
                             0);
        operation.result = round;
        cws_future_complete(&operation.future);
        for (int i = 0; i < 4; i++) {
            pthread_join(threads[i], &results[i]);
            assert_int_equal((intptr_t)results[i], round);
        }
        cws_future_done(&operation.future);
    }
}

static const struct CMUnitTest tests[] = {
    UNIT_TEST(test_observers_are_told_at_the_end),
    UNIT_TEST(test_who_comes_late_is_not_registered),
    UNIT_TEST(test_who_leaves_is_not_told),
    UNIT_TEST(test_every_thread_sees_the_result),
};

UNIT_MAIN(tests)
