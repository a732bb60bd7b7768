/* io/waiters: each observer is told once, and not after it was taken off. */
#include "support/unit.h"

#include <pthread.h>
#include <stdatomic.h>

#include "base/base.h"
#include "io/waiters.h"

struct watcher {
    struct cws_observer observer;
    int number;
    unsigned notified;
    int *order;
    int *count;
};

static void note(struct cws_observer *observer)
{
    struct watcher *watcher = cws_container_of(observer, struct watcher, observer);
    assert_true(cws_list_is_empty(&observer->node)); /* off the list by then */
    watcher->notified++;
    if (watcher->order)
        watcher->order[(*watcher->count)++] = watcher->number;
}

static void add(struct cws_waiters *waiters, struct watcher *watcher)
{
    cws_waiters_lock(waiters);
    cws_waiters_add_lock_held(waiters, &watcher->observer);
    cws_waiters_unlock(waiters);
}

static void notify(struct cws_waiters *waiters)
{
    cws_waiters_lock(waiters);
    cws_waiters_notify_lock_held(waiters);
    cws_waiters_unlock(waiters);
}

static void test_all_are_told_once_in_order(void **state)
{
    (void)state;
    struct cws_waiters waiters;
    struct watcher watchers[3];
    int order[6], count = 0;
    cws_waiters_init(&waiters);
    notify(&waiters); /* nobody there */
    for (int i = 0; i < 3; i++) {
        watchers[i] =
            (struct watcher){.observer.notify = note, .number = i, .order = order, .count = &count};
        add(&waiters, &watchers[i]);
    }
    notify(&waiters);
    notify(&waiters);
    assert_int_equal(count, 3);
    for (int i = 0; i < 3; i++)
        assert_int_equal(order[i], i);
    add(&waiters, &watchers[1]); /* again: a new wish */
    notify(&waiters);
    assert_int_equal(watchers[1].notified, 2);
    cws_waiters_done(&waiters);
}

static void test_removed_ones_are_not_told(void **state)
{
    (void)state;
    struct cws_waiters waiters;
    struct watcher stays = {.observer.notify = note}, goes = {.observer.notify = note};
    cws_waiters_init(&waiters);
    add(&waiters, &goes);
    add(&waiters, &stays);
    cws_waiters_remove(&waiters, &goes.observer);
    cws_waiters_remove(&waiters, &goes.observer); /* harmless */
    notify(&waiters);
    assert_int_equal(goes.notified, 0);
    assert_int_equal(stays.notified, 1);
    cws_waiters_remove(&waiters, &stays.observer); /* told already: harmless, too */
    cws_waiters_done(&waiters);
}

/* --- threads --- */

static atomic_bool stop;

static void *keep_notifying(void *arg)
{
    while (!atomic_load(&stop))
        notify(arg);
    return NULL;
}

/* Once remove has returned the observer's memory may go, whatever the other thread is doing. */
static void test_remove_waits_for_a_notice_under_way(void **state)
{
    (void)state;
    struct cws_waiters waiters;
    pthread_t thread;
    cws_waiters_init(&waiters);
    atomic_store(&stop, false);
    assert_int_equal(pthread_create(&thread, NULL, keep_notifying, &waiters), 0);
    for (int i = 0; i < 20000; i++) {
        struct watcher *watcher = malloc(sizeof(*watcher));
        *watcher = (struct watcher){.observer.notify = note};
        add(&waiters, watcher);
        cws_waiters_remove(&waiters, &watcher->observer);
        assert_true(watcher->notified <= 1);
        free(watcher);
    }
    atomic_store(&stop, true);
    pthread_join(thread, NULL);
    cws_waiters_done(&waiters);
}

static const struct CMUnitTest tests[] = {
    UNIT_TEST(test_all_are_told_once_in_order),
    UNIT_TEST(test_removed_ones_are_not_told),
    UNIT_TEST(test_remove_waits_for_a_notice_under_way),
};

UNIT_MAIN(tests)
