/* io/guest: a thread that waits runs the loop itself when it can. */
#include "support/broken_pipe.h"

#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

#include "base/clock.h"
#include "io/guest.h"
#include "io/timer.h"

enum { THREADS = 4, ROUNDS = 3000 };

/* A command's part: work on the loop that ends with a notice. */
struct errand {
    struct cws_task task;
    struct cws_loop *loop;
    struct cws_guest guest;
    struct cws_deferred deferred;
    struct cws_timer timer;
    sem_t woken;
    pthread_t ran_by;
    atomic_bool ran;
    bool was_deferred;
};

static void note_notice(struct errand *errand)
{
    cws_guest_notify(&errand->guest);
    sem_post(&errand->woken);
}

static void notify(struct cws_task *task)
{
    struct errand *errand = cws_container_of(task, struct errand, task);
    assert_true(cws_loop_is_current(errand->loop));
    errand->ran_by = pthread_self();
    atomic_store(&errand->ran, true);
    note_notice(errand);
}

static void only_run(struct cws_task *task)
{
    struct errand *errand = cws_container_of(task, struct errand, task);
    assert_true(cws_loop_is_current(errand->loop));
    errand->ran_by = pthread_self();
    atomic_store(&errand->ran, true);
}

static void errand_init(struct errand *errand, struct cws_loop *loop,
                        void (*run)(struct cws_task *))
{
    *errand = (struct errand){.task.run = run, .loop = loop};
    cws_guest_init(&errand->guest, loop);
    assert_int_equal(sem_init(&errand->woken, 0, 0), 0);
}

static void sem_take(sem_t *sem)
{
    while (sem_wait(sem) < 0)
        assert_int_equal(errno, EINTR);
}

/* Waits as py/wait.c does. True: the calling thread has run the loop. */
static bool await_notice(struct errand *errand)
{
    enum cws_guest_run how;
    do
        how = cws_guest_run(&errand->guest, CWS_NO_DEADLINE);
    while (how == CWS_GUEST_INTERRUPTED);
    if (how == CWS_GUEST_BUSY)
        cws_guest_sleep(&errand->guest);
    else
        assert_int_equal(how, CWS_GUEST_DONE);
    sem_take(&errand->woken);
    cws_guest_rise(&errand->guest);
    return how == CWS_GUEST_DONE;
}

static struct cws_loop *start_loop(void)
{
    struct cws_loop *loop;
    struct cws_error err = {0};
    assert_int_equal(cws_loop_new(&loop, &err), CWS_OK);
    assert_int_equal(cws_loop_start(loop, &err), CWS_OK);
    return loop;
}

static void end_loop(struct cws_loop *loop)
{
    cws_loop_stop(loop);
    cws_loop_free(loop);
}

/* After that the owner steps back. */
static void serve_one(struct cws_loop *loop)
{
    struct errand served;
    errand_init(&served, loop, notify);
    cws_loop_post_here(loop, &served.task);
    await_notice(&served);
}

/* Posts and waits until that was done without the loop's own thread. It may have taken the turn
 * back in between on a slow machine: again. */
static void until_guest(struct cws_loop *loop, struct errand *errand,
                        void (*run)(struct cws_task *))
{
    do {
        serve_one(loop);
        errand_init(errand, loop, run);
        cws_loop_post_here(loop, &errand->task);
        while (!atomic_load(&errand->ran)) /* by the other thread, then */
            sched_yield();
    } while (!pthread_equal(errand->ran_by, pthread_self()));
}

static void test_the_first_wait_is_served_by_the_loops_own_thread(void **state)
{
    (void)state;
    struct cws_loop *loop = start_loop();
    struct errand errand;
    errand_init(&errand, loop, notify);
    cws_loop_post_here(loop, &errand.task);
    assert_false(await_notice(&errand));
    assert_false(pthread_equal(errand.ran_by, pthread_self()));
    end_loop(loop);
}

static void run_deferred(struct cws_deferred *deferred)
{
    cws_container_of(deferred, struct errand, deferred)->was_deferred = true;
}

static void defer(struct cws_task *task)
{
    struct errand *errand = cws_container_of(task, struct errand, task);
    errand->deferred.run = run_deferred;
    cws_loop_defer(errand->loop, &errand->deferred);
    only_run(task);
}

static void test_a_guests_post_is_through_when_it_returns(void **state)
{
    (void)state;
    struct cws_loop *loop = start_loop();
    struct errand errand;
    until_guest(loop, &errand, defer);
    assert_true(errand.was_deferred);
    end_loop(loop);
}

static void fire(struct cws_timer *timer)
{
    struct errand *errand = cws_container_of(timer, struct errand, timer);
    errand->ran_by = pthread_self();
    note_notice(errand);
}

static void set_timer(struct cws_task *task)
{
    struct errand *errand = cws_container_of(task, struct errand, task);
    cws_timer_init(&errand->timer, fire);
    assert_int_equal(
        cws_timer_set(errand->loop, &errand->timer, cws_clock_now_ns() + 2 * CWS_NS_PER_MS),
        CWS_OK);
    only_run(task);
}

static void test_timers_fire_whoever_runs_the_loop(void **state)
{
    (void)state;
    struct cws_loop *loop = start_loop();
    struct errand errand;
    bool as_guest = false;
    while (!as_guest) {
        serve_one(loop);
        errand_init(&errand, loop, set_timer);
        cws_loop_post_here(loop, &errand.task);
        as_guest = await_notice(&errand);
        assert_true(!as_guest || pthread_equal(errand.ran_by, pthread_self()));
    }
    end_loop(loop);
}

static void *post_and_end(void *arg)
{
    struct errand *errand = arg;
    cws_loop_post(errand->loop, &errand->task);
    return NULL;
}

static void test_what_others_post_wakes_the_guest(void **state)
{
    (void)state;
    struct cws_loop *loop = start_loop();
    struct errand first, errand;
    bool as_guest = false;
    while (!as_guest) {
        pthread_t thread;
        until_guest(loop, &first, only_run);
        errand_init(&errand, loop, notify);
        assert_int_equal(pthread_create(&thread, NULL, post_and_end, &errand), 0);
        as_guest = await_notice(&errand);
        pthread_join(thread, NULL);
    }
    end_loop(loop);
}

static void test_a_deadline_ends_the_run_and_the_loop_goes_on(void **state)
{
    (void)state;
    struct cws_loop *loop = start_loop();
    struct errand first, errand;
    bool looked_up = false;
    enum cws_guest_run how = CWS_GUEST_BUSY;
    while (how != CWS_GUEST_TIMED_OUT) {
        if (how == CWS_GUEST_BUSY) {
            until_guest(loop, &first, only_run);
            errand_init(&errand, loop, notify);
        }
        looked_up = how == CWS_GUEST_INTERRUPTED; /* for signals that came on the way to sleep */
        how = cws_guest_run(&errand.guest, cws_clock_now_ns() + 2 * CWS_SETTLE_NS);
    }
    assert_true(looked_up);
    cws_loop_post(loop, &errand.task); /* nobody waits: it is done all the same */
    sem_take(&errand.woken);
    cws_guest_rise(&errand.guest);
    end_loop(loop);
}

static void on_signal(int number)
{
    (void)number;
}

struct pestering {
    pthread_t whom;
    atomic_bool enough;
};

static void *pester(void *arg)
{
    struct pestering *pestering = arg;
    while (!atomic_load(&pestering->enough)) {
        pthread_kill(pestering->whom, SIGUSR1);
        sched_yield();
    }
    return NULL;
}

static void test_a_signal_interrupts_the_run(void **state)
{
    (void)state;
    struct cws_loop *loop = start_loop();
    struct errand first, errand;
    struct pestering pestering = {.whom = pthread_self()};
    struct sigaction action = {.sa_handler = on_signal}, before;
    pthread_t thread;
    enum cws_guest_run how = CWS_GUEST_BUSY;
    assert_int_equal(sigaction(SIGUSR1, &action, &before), 0);
    assert_int_equal(pthread_create(&thread, NULL, pester, &pestering), 0);
    while (how == CWS_GUEST_BUSY) {
        until_guest(loop, &first, only_run);
        errand_init(&errand, loop, notify);
        how = cws_guest_run(&errand.guest, CWS_NO_DEADLINE);
    }
    atomic_store(&pestering.enough, true);
    pthread_join(thread, NULL);
    assert_int_equal(how, CWS_GUEST_INTERRUPTED);
    assert_false(errand.guest.is_settled); /* it was the signal, not the time */
    sigaction(SIGUSR1, &before, NULL);
    end_loop(loop);
}

static void break_pipe(struct cws_task *task)
{
    write_to_broken_pipe();
    only_run(task);
}

static void test_a_broken_connection_does_not_kill_the_guests_program(void **state)
{
    (void)state;
    struct cws_loop *loop = start_loop();
    struct errand errand;
    sigset_t mask, pending;
    assert_true(signal(SIGPIPE, SIG_DFL) != SIG_ERR);
    until_guest(loop, &errand, break_pipe);
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    assert_false(sigismember(&mask, SIGPIPE));
    sigpending(&pending);
    assert_false(sigismember(&pending, SIGPIPE));
    end_loop(loop);
}

static void *stop_loop(void *arg)
{
    cws_loop_stop(arg);
    return NULL;
}

static void test_stopping_ends_the_run(void **state)
{
    (void)state;
    struct cws_loop *loop = start_loop();
    struct errand first, errand;
    pthread_t thread;
    until_guest(loop, &first, only_run);
    errand_init(&errand, loop, notify);
    assert_int_equal(pthread_create(&thread, NULL, stop_loop, loop), 0);
    enum cws_guest_run how;
    do
        how = cws_guest_run(&errand.guest, CWS_NO_DEADLINE);
    while (how == CWS_GUEST_INTERRUPTED);
    assert_int_equal(how, CWS_GUEST_BUSY);
    pthread_join(thread, NULL);
    cws_loop_free(loop);
}

static void test_a_guest_without_a_loop_keeps_account_of_the_notice(void **state)
{
    (void)state;
    struct cws_guest guest;
    cws_guest_init(&guest, NULL);
    assert_int_equal(cws_guest_run(&guest, CWS_NO_DEADLINE), CWS_GUEST_BUSY);
    cws_guest_sleep(&guest);
    cws_guest_notify(&guest);
    cws_guest_rise(&guest);
}

struct program {
    struct cws_loop *loop;
    pthread_t thread;
    size_t as_guest;
};

/* One after the other, as a program does that waits for each of its commands. */
static void *run_program(void *arg)
{
    struct program *program = arg;
    for (int i = 0; i < ROUNDS; i++) {
        struct errand errand;
        errand_init(&errand, program->loop, notify);
        cws_loop_post_here(program->loop, &errand.task);
        program->as_guest += await_notice(&errand);
        sem_destroy(&errand.woken);
    }
    return NULL;
}

static void test_a_lone_program_soon_runs_the_loop_itself(void **state)
{
    (void)state;
    struct program program = {.loop = start_loop()};
    run_program(&program);
    assert_true(program.as_guest > 0);
    end_loop(program.loop);
}

static void test_several_programs_all_come_through(void **state)
{
    (void)state;
    struct program programs[THREADS];
    struct cws_loop *loop = start_loop();
    for (int i = 0; i < THREADS; i++) {
        programs[i] = (struct program){.loop = loop};
        assert_int_equal(pthread_create(&programs[i].thread, NULL, run_program, &programs[i]), 0);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(programs[i].thread, NULL);
    end_loop(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_the_first_wait_is_served_by_the_loops_own_thread),
        UNIT_TEST(test_a_guests_post_is_through_when_it_returns),
        UNIT_TEST(test_timers_fire_whoever_runs_the_loop),
        UNIT_TEST(test_what_others_post_wakes_the_guest),
        UNIT_TEST(test_a_deadline_ends_the_run_and_the_loop_goes_on),
        UNIT_TEST(test_a_signal_interrupts_the_run),
        UNIT_TEST(test_a_broken_connection_does_not_kill_the_guests_program),
        UNIT_TEST(test_stopping_ends_the_run),
        UNIT_TEST(test_a_guest_without_a_loop_keeps_account_of_the_notice),
        UNIT_TEST(test_a_lone_program_soon_runs_the_loop_itself),
        UNIT_TEST(test_several_programs_all_come_through),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
