/* io/default_loop: one loop for the process, its end, and fork. Each test in a process of its
 * own. */
#include "support/peer.h"

#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

/* The thread sanitizer cannot follow a thread that is started after fork() in a process with
 * threads. */
#ifdef __SANITIZE_THREAD__
#define SKIP_UNDER_TSAN() skip()
#else
#define SKIP_UNDER_TSAN() ((void)0)
#endif

/* Runs `body` in a child; a failed assertion there ends the child with another code. */
static void in_child(void (*body)(void))
{
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        alarm(TEST_SECONDS);
        body();
        _exit(77); /* the leak check at exit would see what the process's loop rightly keeps */
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 77)
        fail_msg("the child ended with wait status %#x", status);
}

#define CHECK(condition) \
    do { \
        if (!(condition)) { \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
            _exit(1); \
        } \
    } while (0)

struct ping {
    struct cws_task task;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool ran;
    pthread_t thread;
};

static void run_ping(struct cws_task *task)
{
    struct ping *ping = cws_container_of(task, struct ping, task);
    pthread_mutex_lock(&ping->lock);
    ping->ran = true;
    ping->thread = pthread_self();
    pthread_cond_signal(&ping->changed);
    pthread_mutex_unlock(&ping->lock);
}

/* A task through the loop's thread and back. */
static void check_alive(struct cws_loop *loop)
{
    struct ping ping = {.task.run = run_ping,
                        .lock = PTHREAD_MUTEX_INITIALIZER,
                        .changed = PTHREAD_COND_INITIALIZER};
    cws_loop_post(loop, &ping.task);
    pthread_mutex_lock(&ping.lock);
    while (!ping.ran)
        pthread_cond_wait(&ping.changed, &ping.lock);
    pthread_mutex_unlock(&ping.lock);
    CHECK(!pthread_equal(ping.thread, pthread_self()));
}

static struct cws_loop *get_default(void)
{
    struct cws_error err = {0};
    struct cws_loop *loop = cws_loop_default(&err);
    if (!loop)
        fprintf(stderr, "%s\n", err.text);
    CHECK(loop);
    return loop;
}

static void one_for_all(void)
{
    struct cws_loop *loop = get_default();
    CHECK(get_default() == loop);
    check_alive(loop);
}

static void *ask(void *arg)
{
    (void)arg;
    return get_default();
}

static void the_same_for_threads_that_race(void)
{
    pthread_t threads[8];
    void *loops[8];
    for (int i = 0; i < 8; i++)
        CHECK(pthread_create(&threads[i], NULL, ask, NULL) == 0);
    for (int i = 0; i < 8; i++)
        pthread_join(threads[i], &loops[i]);
    for (int i = 0; i < 8; i++)
        CHECK(loops[i] == loops[0]);
    check_alive(loops[0]);
}

static void over_after_shutdown(void)
{
    struct cws_loop *loop = get_default();
    struct ping ping = {.task.run = run_ping,
                        .lock = PTHREAD_MUTEX_INITIALIZER,
                        .changed = PTHREAD_COND_INITIALIZER};
    struct cws_error err = {0};
    check_alive(loop);
    cws_loop_default_shutdown();
    CHECK(!cws_loop_default(&err));
    CHECK(err.status == CWS_CLOSED);
    cws_loop_post(loop, &ping.task); /* its memory is still there; nothing runs */
    cws_loop_default_shutdown();     /* again: harmless */
    CHECK(!ping.ran);
}

static void shutdown_without_a_loop(void)
{
    struct cws_error err = {0};
    cws_loop_default_shutdown();
    CHECK(!cws_loop_default(&err));
    CHECK(err.status == CWS_CLOSED);
}

static void no_memory_is_told_and_the_next_try_works(void)
{
    struct cws_error err = {0};
    cws_alloc_fail_at(1);
    CHECK(!cws_loop_default(&err));
    CHECK(err.status == CWS_NO_MEMORY);
    check_alive(get_default());
}

/* A child of ours: does what an after-fork hook does, then `body`. */
static void fork_and(void (*body)(struct cws_loop *parents))
{
    struct cws_loop *loop = get_default();
    check_alive(loop);
    unsigned generation = cws_loop_generation();
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        cws_loop_after_fork();
        CHECK(cws_loop_generation() == generation + 1);
        body(loop);
        _exit(0);
    }
    int status;
    CHECK(waitpid(pid, &status, 0) == pid);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    CHECK(cws_loop_generation() == generation);
    CHECK(get_default() == loop);
    check_alive(loop); /* the child's end has not touched the parent's epoll */
}

static void use_own_loop(struct cws_loop *parents)
{
    struct cws_loop *own = get_default();
    CHECK(own != parents);
    check_alive(own);
    cws_loop_default_shutdown();
}

static void a_forked_child_starts_afresh(void)
{
    CHECK(cws_loop_generation() == 0);
    fork_and(use_own_loop);
}

static void do_nothing(struct cws_loop *parents)
{
    (void)parents;
}

static void a_forked_child_may_do_nothing(void)
{
    fork_and(do_nothing);
}

static void fork_again(struct cws_loop *parents)
{
    (void)parents;
    fork_and(use_own_loop);
    CHECK(cws_loop_generation() == 1);
}

static void a_grandchild_starts_afresh_too(void)
{
    fork_and(fork_again);
}

static void a_child_may_start_after_the_parents_shutdown(void)
{
    check_alive(get_default());
    cws_loop_default_shutdown();
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        cws_loop_after_fork();
        check_alive(get_default());
        _exit(0);
    }
    int status;
    CHECK(waitpid(pid, &status, 0) == pid);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* --- what the child does to connections of the parent --- */

static struct peer here;
static int there;

struct connect_task {
    struct ping ping;
    struct cws_loop *loop;
};

static void run_connect(struct cws_task *task)
{
    struct connect_task *connect = cws_container_of(task, struct connect_task, ping.task);
    int fds[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) == 0);
    struct cws_sock *sock = cws_sock_new(connect->loop, AF_UNIX);
    CHECK(sock && uv_pipe_open((uv_pipe_t *)cws_sock_stream(sock), fds[0]) == 0);
    there = fds[1];
    peer_start(&here, cws_sock_transport(sock));
    run_ping(task);
}

static void run_close(struct cws_task *task)
{
    (void)task;
    peer_done(&here);
}

static void a_child_lets_go_of_connections_in_silence(void)
{
    struct cws_loop *loop = get_default();
    struct connect_task connect = {.loop = loop};
    pthread_mutex_init(&connect.ping.lock, NULL);
    pthread_cond_init(&connect.ping.changed, NULL);
    connect.ping.task.run = run_connect;
    cws_loop_post(loop, &connect.ping.task);
    pthread_mutex_lock(&connect.ping.lock);
    while (!connect.ping.ran)
        pthread_cond_wait(&connect.ping.changed, &connect.ping.lock);
    pthread_mutex_unlock(&connect.ping.lock);
    int done[2];
    CHECK(pipe(done) == 0);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        cws_loop_after_fork();
        close(there);
        CHECK(write(done[1], "x", 1) == 1);
        pause(); /* lives on, without a copy of the connection */
    }
    char byte;
    CHECK(read(done[0], &byte, 1) == 1);
    CHECK(recv(there, &byte, 1, MSG_DONTWAIT) < 0 &&
          errno == EAGAIN); /* neither bytes nor an end */
    struct cws_task close_task = {.run = run_close};
    cws_loop_post(loop, &close_task);
    struct pollfd end = {.fd = there, .events = POLLIN};
    CHECK(poll(&end, 1, -1) == 1); /* a copy in the child would hold it open */
    CHECK(recv(there, &byte, 1, 0) == 0);
    check_alive(loop);
    cws_loop_default_shutdown();
    CHECK(kill(pid, SIGKILL) == 0);
    CHECK(waitpid(pid, NULL, 0) == pid);
}

#define CHILD_TEST(body) \
    static void test_##body(void **state) \
    { \
        (void)state; \
        in_child(body); \
    }

CHILD_TEST(one_for_all)
CHILD_TEST(the_same_for_threads_that_race)
CHILD_TEST(over_after_shutdown)
CHILD_TEST(shutdown_without_a_loop)
CHILD_TEST(no_memory_is_told_and_the_next_try_works)
CHILD_TEST(a_forked_child_may_do_nothing)
CHILD_TEST(a_child_lets_go_of_connections_in_silence)

#define FORK_CHILD_TEST(body) \
    static void test_##body(void **state) \
    { \
        (void)state; \
        SKIP_UNDER_TSAN(); \
        in_child(body); \
    }

FORK_CHILD_TEST(a_forked_child_starts_afresh)
FORK_CHILD_TEST(a_grandchild_starts_afresh_too)
FORK_CHILD_TEST(a_child_may_start_after_the_parents_shutdown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_for_all),
        cmocka_unit_test(test_the_same_for_threads_that_race),
        cmocka_unit_test(test_over_after_shutdown),
        cmocka_unit_test(test_shutdown_without_a_loop),
        cmocka_unit_test(test_no_memory_is_told_and_the_next_try_works),
        cmocka_unit_test(test_a_forked_child_starts_afresh),
        cmocka_unit_test(test_a_forked_child_may_do_nothing),
        cmocka_unit_test(test_a_grandchild_starts_afresh_too),
        cmocka_unit_test(test_a_child_may_start_after_the_parents_shutdown),
        cmocka_unit_test(test_a_child_lets_go_of_connections_in_silence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
