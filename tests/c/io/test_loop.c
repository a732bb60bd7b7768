/* io/loop: tasks from any thread, stopping, deferred work, and the loop's life. */
#include "support/peer.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

#include "io/loop.h"
#include "io/scratch.h"

enum { POSTERS = 4, TASKS_EACH = 20000 };

static int set_up(void **state)
{
    alarm(TEST_SECONDS);
    *state = (void *)(uintptr_t)cws_alloc_live();
    return 0;
}

static int tear_down(void **state)
{
    alarm(0);
    cws_alloc_fail_at(0);
    return cws_alloc_live() == (size_t)(uintptr_t)*state ? 0 : -1;
}

/* A task that notes when it ran. */
struct job {
    struct cws_task task;
    struct cws_loop *loop;
    int number;
    int *order; /* where the numbers of those that ran are put … */
    int *count; /* … and how many there are */
    void (*also)(struct job *job);
    struct job *next;
    struct cws_deferred *deferred;
};

static void run_job(struct cws_task *task)
{
    struct job *job = cws_container_of(task, struct job, task);
    assert_true(cws_loop_is_current(job->loop));
    job->order[(*job->count)++] = job->number;
    if (job->also)
        job->also(job);
}

static void jobs_init(struct job *jobs, int n, struct cws_loop *loop, int *order, int *count)
{
    for (int i = 0; i < n; i++)
        jobs[i] = (struct job){
            .task.run = run_job, .loop = loop, .number = i, .order = order, .count = count};
}

static void assert_in_order(const int *order, int count)
{
    for (int i = 0; i < count; i++)
        assert_int_equal(order[i], i);
}

static struct cws_loop *new_loop(void)
{
    struct cws_loop *loop;
    struct cws_error err = {0};
    if (cws_loop_new(&loop, &err) != CWS_OK)
        fail_msg("%s", err.text);
    return loop;
}

/* --- tasks --- */

static void stop_loop(struct job *job)
{
    cws_loop_stop(job->loop);
}

static void test_tasks_run_in_order_and_stop_ends_the_run(void **state)
{
    (void)state;
    struct cws_loop *loop = new_loop();
    struct job jobs[5];
    int order[5], count = 0;
    jobs_init(jobs, 5, loop, order, &count);
    jobs[4].also = stop_loop;
    for (int i = 0; i < 5; i++)
        cws_loop_post(loop, &jobs[i].task);
    assert_int_equal(count, 0);
    cws_loop_run(loop);
    assert_int_equal(count, 5);
    assert_in_order(order, 5);
    cws_loop_free(loop);
}

static void test_what_was_posted_before_stop_is_run(void **state)
{
    (void)state;
    struct cws_loop *loop = new_loop();
    struct job jobs[3];
    int order[3], count = 0;
    jobs_init(jobs, 3, loop, order, &count);
    for (int i = 0; i < 3; i++)
        cws_loop_post(loop, &jobs[i].task);
    cws_loop_stop(loop); /* before it runs at all */
    cws_loop_run(loop);
    assert_int_equal(count, 3);
    cws_loop_free(loop);
}

static void post_next(struct job *job)
{
    cws_loop_post(job->loop, &job->next->task);
}

static void test_a_task_may_post_the_next(void **state)
{
    (void)state;
    struct cws_loop *loop = new_loop();
    enum { CHAIN = 100 };
    struct job jobs[CHAIN];
    int order[CHAIN], count = 0;
    jobs_init(jobs, CHAIN, loop, order, &count);
    for (int i = 0; i < CHAIN - 1; i++) {
        jobs[i].also = post_next;
        jobs[i].next = &jobs[i + 1];
    }
    jobs[CHAIN - 1].also = stop_loop;
    cws_loop_post(loop, &jobs[0].task);
    cws_loop_run(loop);
    assert_int_equal(count, CHAIN);
    assert_in_order(order, CHAIN);
    cws_loop_free(loop);
}

static void free_and_stop(struct cws_task *task)
{
    struct job *job = cws_container_of(task, struct job, task);
    cws_loop_stop(job->loop);
    free(job);
}

static void test_a_task_may_free_itself(void **state)
{
    (void)state;
    struct cws_loop *loop = new_loop();
    struct job *job = calloc(1, sizeof(*job));
    job->task.run = free_and_stop;
    job->loop = loop;
    cws_loop_post(loop, &job->task);
    cws_loop_run(loop);
    cws_loop_free(loop);
}

static void test_the_loop_runs_again_after_a_stop(void **state)
{
    (void)state;
    struct cws_loop *loop = new_loop();
    struct job jobs[6];
    int order[6], count = 0;
    jobs_init(jobs, 6, loop, order, &count);
    for (int i = 0; i < 6; i += 2) {
        jobs[i].also = post_next; /* so that the second needs a turn of its own */
        jobs[i].next = &jobs[i + 1];
        jobs[i + 1].also = stop_loop;
        cws_loop_post(loop, &jobs[i].task);
        cws_loop_run(loop);
        assert_int_equal(count, i + 2);
    }
    assert_in_order(order, 6);
    cws_loop_free(loop);
}

/* --- threads --- */

struct poster {
    pthread_t thread;
    struct cws_loop *loop;
    struct note {
        struct cws_task task;
        struct poster *poster;
        int number;
    } *notes;
    int next; /* the number that has to come next; loop thread */
    atomic_int *left;
    pthread_mutex_t *lock;
    pthread_cond_t *all_done;
};

static void run_note(struct cws_task *task)
{
    struct note *note = cws_container_of(task, struct note, task);
    struct poster *poster = note->poster;
    assert_int_equal(note->number, poster->next++);
    if (atomic_fetch_sub(poster->left, 1) == 1) {
        pthread_mutex_lock(poster->lock);
        pthread_cond_signal(poster->all_done);
        pthread_mutex_unlock(poster->lock);
    }
}

static void *post_notes(void *arg)
{
    struct poster *poster = arg;
    assert_false(cws_loop_is_current(poster->loop));
    for (int i = 0; i < TASKS_EACH; i++) {
        poster->notes[i] = (struct note){.task.run = run_note, .poster = poster, .number = i};
        cws_loop_post(poster->loop, &poster->notes[i].task);
    }
    return NULL;
}

static void test_tasks_of_each_thread_run_in_its_order(void **state)
{
    (void)state;
    struct cws_loop *loop = new_loop();
    struct cws_error err = {0};
    struct poster posters[POSTERS];
    pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    pthread_cond_t all_done = PTHREAD_COND_INITIALIZER;
    atomic_int left;
    atomic_init(&left, POSTERS * TASKS_EACH);
    assert_int_equal(cws_loop_start(loop, &err), CWS_OK);
    for (int i = 0; i < POSTERS; i++) {
        posters[i] =
            (struct poster){.loop = loop, .left = &left, .lock = &lock, .all_done = &all_done};
        posters[i].notes = test_calloc(TASKS_EACH, sizeof(*posters[i].notes));
        assert_int_equal(pthread_create(&posters[i].thread, NULL, post_notes, &posters[i]), 0);
    }
    pthread_mutex_lock(&lock);
    while (atomic_load(&left) > 0)
        pthread_cond_wait(&all_done, &lock);
    pthread_mutex_unlock(&lock);
    for (int i = 0; i < POSTERS; i++) {
        pthread_join(posters[i].thread, NULL);
        assert_int_equal(posters[i].next, TASKS_EACH);
        test_free(posters[i].notes);
    }
    cws_loop_stop(loop);
    cws_loop_free(loop);
}

static void test_stop_from_another_thread_runs_what_was_posted(void **state)
{
    (void)state;
    for (int round = 0; round < 50; round++) {
        struct cws_loop *loop = new_loop();
        struct cws_error err = {0};
        struct job jobs[100];
        int order[100], count = 0;
        jobs_init(jobs, 100, loop, order, &count);
        assert_int_equal(cws_loop_start(loop, &err), CWS_OK);
        for (int i = 0; i < 100; i++)
            cws_loop_post(loop, &jobs[i].task);
        cws_loop_stop(loop);
        cws_loop_join(loop);
        assert_int_equal(count, 100);
        assert_in_order(order, 100);
        cws_loop_free(loop);
    }
}

static void stop_in_task(struct job *job)
{
    cws_loop_stop(job->loop);
}

static void test_a_stopped_loop_may_get_a_thread(void **state)
{
    (void)state;
    struct cws_loop *loop = new_loop();
    struct cws_error err = {0};
    struct job job;
    int order[2], count = 0;
    cws_loop_stop(loop);
    cws_loop_run(loop);
    for (int i = 0; i < 2; i++) { /* and another one after that */
        jobs_init(&job, 1, loop, order, &count);
        job.also = stop_in_task;
        assert_int_equal(cws_loop_start(loop, &err), CWS_OK);
        cws_loop_post(loop, &job.task);
        cws_loop_join(loop);
        assert_int_equal(count, i + 1);
    }
    cws_loop_free(loop);
}

static sigset_t signals_of_thread;

static void note_signals(struct cws_task *task)
{
    struct job *job = cws_container_of(task, struct job, task);
    pthread_sigmask(SIG_SETMASK, NULL, &signals_of_thread);
    cws_loop_stop(job->loop);
}

static void test_the_thread_takes_no_signals(void **state)
{
    (void)state;
    struct cws_loop *loop = new_loop();
    struct cws_error err = {0};
    struct job job = {.task.run = note_signals, .loop = loop};
    sigset_t before, after;
    pthread_sigmask(SIG_SETMASK, NULL, &before);
    assert_int_equal(cws_loop_start(loop, &err), CWS_OK);
    pthread_sigmask(SIG_SETMASK, NULL, &after);
    cws_loop_post(loop, &job.task);
    cws_loop_join(loop);
    static const int signals[] = {SIGINT, SIGTERM, SIGCHLD, SIGPIPE, SIGUSR1, SIGALRM, SIGHUP};
    for (size_t i = 0; i < CWS_ARRAY_LEN(signals); i++) {
        assert_true(sigismember(&signals_of_thread, signals[i]));
        assert_int_equal(sigismember(&after, signals[i]), sigismember(&before, signals[i]));
    }
    cws_loop_free(loop);
}

static void *ask_is_current(void *arg)
{
    return cws_loop_is_current(arg) ? arg : NULL;
}

static void test_whose_thread_it_is(void **state)
{
    (void)state;
    struct cws_loop *loop = new_loop();
    pthread_t thread;
    void *answer;
    assert_true(cws_loop_is_current(loop)); /* it runs nowhere: whoever holds it */
    cws_loop_stop(loop);
    cws_loop_run(loop);
    assert_true(cws_loop_is_current(loop));
    assert_int_equal(pthread_create(&thread, NULL, ask_is_current, loop), 0);
    pthread_join(thread, &answer);
    assert_null(answer);
    cws_loop_free(loop);
}

/* --- deferred work --- */

struct later {
    struct cws_deferred deferred;
    struct cws_loop *loop;
    int number;
    int *order;
    int *count;
    struct later *next;
};

static void run_later(struct cws_deferred *deferred)
{
    struct later *later = cws_container_of(deferred, struct later, deferred);
    assert_true(cws_list_is_empty(&later->deferred.node)); /* may be deferred again from here */
    later->order[(*later->count)++] = later->number;
    if (later->next)
        cws_loop_defer(later->loop, &later->next->deferred);
}

static void laters_init(struct later *laters, int n, struct cws_loop *loop, int *order, int *count)
{
    for (int i = 0; i < n; i++) {
        laters[i] = (struct later){
            .deferred.run = run_later, .loop = loop, .number = i, .order = order, .count = count};
        cws_list_init(&laters[i].deferred.node);
    }
}

static void test_deferred_work_runs_once_and_in_order(void **state)
{
    (void)state;
    struct cws_loop *loop = new_loop();
    struct later laters[4];
    int order[8], count = 0;
    laters_init(laters, 4, loop, order, &count);
    laters[2].next = &laters[3]; /* deferred while the others run: still before the wait */
    for (int i = 0; i < 3; i++)
        cws_loop_defer(loop, &laters[i].deferred);
    assert_int_equal(count, 0);
    uv_run(cws_loop_uv(loop), UV_RUN_NOWAIT);
    assert_int_equal(count, 4);
    assert_in_order(order, 4);
    uv_run(cws_loop_uv(loop), UV_RUN_NOWAIT);
    assert_int_equal(count, 4);
    cws_loop_free(loop);
}

/* Others may yet add to what a flush sends: it comes last, also after what is deferred
 * meanwhile. */
static void test_a_flush_comes_after_all_else(void **state)
{
    (void)state;
    struct cws_loop *loop = new_loop();
    struct later laters[4];
    int order[4], count = 0;
    laters_init(laters, 4, loop, order, &count);
    laters[1].next = &laters[2];
    cws_loop_defer_flush(loop, &laters[3].deferred);
    cws_loop_defer(loop, &laters[0].deferred);
    cws_loop_defer(loop, &laters[1].deferred);
    cws_loop_stop(loop);
    cws_loop_run(loop);
    assert_int_equal(count, 4);
    assert_in_order(order, 4);
    cws_loop_free(loop);
}

static void test_a_deferred_wish_can_be_taken_back(void **state)
{
    (void)state;
    struct cws_loop *loop = new_loop();
    struct later laters[3];
    int order[3], count = 0;
    laters_init(laters, 3, loop, order, &count);
    for (int i = 0; i < 3; i++)
        cws_loop_defer(loop, &laters[i].deferred);
    cws_list_remove(&laters[1].deferred.node);
    uv_run(cws_loop_uv(loop), UV_RUN_NOWAIT);
    assert_int_equal(count, 2);
    assert_int_equal(order[1], 2);
    cws_loop_free(loop);
}

static void defer_and_post(struct job *job)
{
    cws_loop_defer(job->loop, job->deferred);
    cws_loop_post(job->loop, &job->next->task);
}

/* A task's deferred work runs before the loop waits again, and so before the tasks of the next
 * turn. */
static void test_deferred_by_a_task_runs_before_the_next_turn(void **state)
{
    (void)state;
    struct cws_loop *loop = new_loop();
    struct job jobs[2];
    struct later later;
    int order[3], count = 0;
    jobs_init(jobs, 2, loop, order, &count);
    laters_init(&later, 1, loop, order, &count);
    later.number = 1;
    jobs[1].number = 2;
    jobs[0].also = defer_and_post;
    jobs[0].deferred = &later.deferred;
    jobs[0].next = &jobs[1];
    jobs[1].also = stop_loop;
    cws_loop_post(loop, &jobs[0].task);
    cws_loop_run(loop);
    assert_int_equal(count, 3);
    assert_in_order(order, 3);
    cws_loop_free(loop);
}

/* --- life --- */

static void test_free_runs_what_is_left(void **state)
{
    (void)state;
    struct cws_loop *loop = new_loop();
    struct job jobs[2];
    struct later later;
    int order[4], count = 0;
    jobs_init(jobs, 2, loop, order, &count);
    laters_init(&later, 1, loop, order, &count);
    later.number = 1;
    jobs[0].also = post_next; /* a task of a task is no less of one */
    jobs[0].next = &jobs[1];
    jobs[1].number = 2;
    cws_loop_post(loop, &jobs[0].task);
    cws_loop_defer(loop, &later.deferred);
    cws_loop_free(loop);
    assert_int_equal(count, 3);
    assert_in_order(order, 3);
    cws_loop_free(NULL);
}

struct kept {
    struct cws_registry_entry entry;
    struct cws_loop *loop;
    bool dropped;
};

static void note_dropped(struct cws_registry_entry *entry)
{
    struct kept *kept = cws_container_of(entry, struct kept, entry);
    assert_true(cws_loop_is_current(kept->loop));
    assert_true(cws_list_is_empty(&entry->node));
    kept->dropped = true;
}

static void test_free_drops_what_the_registry_keeps(void **state)
{
    (void)state;
    struct cws_loop *loop = new_loop();
    struct cws_error err = {0};
    struct kept kept[2] = {{{.drop = note_dropped}, loop, false},
                           {{.drop = note_dropped}, loop, false}};
    struct cws_registry *registry = cws_loop_registry(loop);
    pthread_mutex_lock(&registry->lock);
    assert_true(cws_list_is_empty(&registry->entries));
    for (int i = 0; i < 2; i++)
        cws_list_push_back(&registry->entries, &kept[i].entry.node);
    pthread_mutex_unlock(&registry->lock);
    assert_int_equal(cws_loop_start(loop, &err), CWS_OK);
    cws_loop_stop(loop);
    cws_loop_free(loop);
    assert_true(kept[0].dropped && kept[1].dropped);
}

static void on_closed_handle(uv_handle_t *handle)
{
    *(bool *)handle->data = true;
}

static void test_free_closes_what_is_open(void **state)
{
    (void)state;
    struct cws_loop *loop = new_loop();
    static uv_timer_t open, closing;
    bool closed = false;
    uv_timer_init(cws_loop_uv(loop), &open);
    uv_timer_init(cws_loop_uv(loop), &closing);
    closing.data = &closed;
    uv_close((uv_handle_t *)&closing, on_closed_handle);
    cws_loop_free(loop);
    assert_true(closed); /* and its callback was called */
}

static void test_scratch_is_made_once_for_each_use(void **state)
{
    (void)state;
    struct cws_loop *loop = new_loop();
    cws_alloc_fail_at(1);
    assert_null(cws_loop_scratch(loop, CWS_SCRATCH_PLAIN));
    uint8_t *memory[CWS_SCRATCH_COUNT];
    for (int i = 0; i < CWS_SCRATCH_COUNT; i++) {
        memory[i] = cws_loop_scratch(loop, (enum cws_scratch)i);
        memset(memory[i], i, CWS_SCRATCH_SIZE);
        assert_ptr_equal(cws_loop_scratch(loop, (enum cws_scratch)i), memory[i]);
    }
    for (int i = 0; i < CWS_SCRATCH_COUNT; i++)
        assert_int_equal(memory[i][CWS_SCRATCH_SIZE - 1], i);
    cws_loop_free(loop);
}

static void test_a_loop_without_memory(void **state)
{
    (void)state;
    struct cws_loop *loop;
    struct cws_error err = {0};
    cws_alloc_fail_at(1);
    assert_int_equal(cws_loop_new(&loop, &err), CWS_NO_MEMORY);
    assert_int_equal(err.status, CWS_NO_MEMORY);
}

static void test_uv_errors_are_told(void **state)
{
    (void)state;
    struct cws_error err = {0};
    assert_int_equal(cws_error_set_uv(&err, CWS_IO, UV_ECONNRESET, "read"), CWS_IO);
    assert_string_equal(err.text, "read: connection reset by peer");
}

#define LOOP_TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOOP_TEST(test_tasks_run_in_order_and_stop_ends_the_run),
        LOOP_TEST(test_what_was_posted_before_stop_is_run),
        LOOP_TEST(test_a_task_may_post_the_next),
        LOOP_TEST(test_a_task_may_free_itself),
        LOOP_TEST(test_the_loop_runs_again_after_a_stop),
        LOOP_TEST(test_tasks_of_each_thread_run_in_its_order),
        LOOP_TEST(test_stop_from_another_thread_runs_what_was_posted),
        LOOP_TEST(test_a_stopped_loop_may_get_a_thread),
        LOOP_TEST(test_the_thread_takes_no_signals),
        LOOP_TEST(test_whose_thread_it_is),
        LOOP_TEST(test_deferred_work_runs_once_and_in_order),
        LOOP_TEST(test_a_flush_comes_after_all_else),
        LOOP_TEST(test_a_deferred_wish_can_be_taken_back),
        LOOP_TEST(test_deferred_by_a_task_runs_before_the_next_turn),
        LOOP_TEST(test_free_runs_what_is_left),
        LOOP_TEST(test_free_drops_what_the_registry_keeps),
        LOOP_TEST(test_free_closes_what_is_open),
        LOOP_TEST(test_scratch_is_made_once_for_each_use),
        LOOP_TEST(test_a_loop_without_memory),
        LOOP_TEST(test_uv_errors_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
