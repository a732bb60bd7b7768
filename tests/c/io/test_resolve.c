/* io/resolve: look-ups in threads of their own, given up on, and outlasting what asked for them. */
#include "support/peer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>

#include "io/resolve.h"

/* A resolver that does as it is told. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool held;
    unsigned asked;
    int rc, errnum;
    bool took_signals;
    char host[64], service[8];
    struct sockaddr_in addr;
    struct addrinfo info;
    unsigned freed;
} resolver = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

int getaddrinfo(const char *host, const char *service, const struct addrinfo *hints,
                struct addrinfo **out)
{
    sigset_t blocked;
    pthread_sigmask(SIG_SETMASK, NULL, &blocked);
    pthread_mutex_lock(&resolver.lock);
    resolver.asked++;
    resolver.took_signals = !sigismember(&blocked, SIGINT);
    snprintf(resolver.host, sizeof(resolver.host), "%s", host);
    snprintf(resolver.service, sizeof(resolver.service), "%s", service);
    assert(hints->ai_socktype == SOCK_STREAM);
    pthread_cond_broadcast(&resolver.changed);
    while (resolver.held)
        pthread_cond_wait(&resolver.changed, &resolver.lock);
    resolver.info.ai_addr = (struct sockaddr *)&resolver.addr;
    *out = &resolver.info;
    int rc = resolver.rc;
    errno = resolver.errnum;
    pthread_mutex_unlock(&resolver.lock);
    return rc;
}

void freeaddrinfo(struct addrinfo *info)
{
    assert_ptr_equal(info, &resolver.info);
    resolver.freed++;
}

static void hold(bool held)
{
    pthread_mutex_lock(&resolver.lock);
    resolver.held = held;
    pthread_cond_broadcast(&resolver.changed);
    pthread_mutex_unlock(&resolver.lock);
}

static void wait_until_asked(unsigned times)
{
    pthread_mutex_lock(&resolver.lock);
    while (resolver.asked < times)
        pthread_cond_wait(&resolver.changed, &resolver.lock);
    pthread_mutex_unlock(&resolver.lock);
}

struct answer {
    int times;
    struct addrinfo *found;
    struct cws_error err;
};

static void on_done(void *ctx, struct addrinfo *found, const struct cws_error *err)
{
    struct answer *answer = ctx;
    answer->times++;
    answer->found = found;
    answer->err = *err;
}

static struct cws_loop *new_loop(void)
{
    struct cws_loop *loop;
    resolver.asked = resolver.freed = 0;
    resolver.rc = resolver.errnum = 0;
    resolver.held = false;
    assert_int_equal(cws_loop_new(&loop, NULL), CWS_OK);
    return loop;
}

static void test_found(void **state)
{
    (void)state;
    struct cws_loop *loop = new_loop();
    struct answer answer = {0};
    hold(true);
    assert_non_null(cws_resolve_start(loop, "sandbox.test", 443, on_done, &answer, NULL));
    wait_until_asked(1);
    settle(loop);
    assert_int_equal(answer.times, 0);
    hold(false);
    PUMP_UNTIL(loop, answer.times);
    assert_ptr_equal(answer.found, &resolver.info);
    assert_int_equal(answer.err.status, CWS_OK);
    assert_string_equal(resolver.host, "sandbox.test");
    assert_string_equal(resolver.service, "443");
    assert_false(resolver.took_signals);
    loop_close(loop);
    assert_int_equal(answer.times, 1);
    assert_int_equal(resolver.freed, 0); /* that is up to who asked */
}

static void fails_with(int rc, int errnum, enum cws_status status, const char *text)
{
    struct cws_loop *loop = new_loop();
    struct answer answer = {0};
    resolver.rc = rc;
    resolver.errnum = errnum;
    assert_non_null(cws_resolve_start(loop, "sandbox.test", 1, on_done, &answer, NULL));
    PUMP_UNTIL(loop, answer.times);
    assert_null(answer.found);
    assert_int_equal(answer.err.status, status);
    assert_string_equal(answer.err.text, text);
    loop_close(loop);
}

static void test_not_found(void **state)
{
    (void)state;
    fails_with(EAI_NONAME, 0, CWS_RESOLVE, "name look-up failed: Name or service not known");
    fails_with(EAI_MEMORY, 0, CWS_NO_MEMORY, "out of memory");
    fails_with(EAI_SYSTEM, EMFILE, CWS_RESOLVE, "name look-up failed: Too many open files");
}

static void test_several_at_once(void **state)
{
    (void)state;
    struct cws_loop *loop = new_loop();
    struct answer answers[10] = {0};
    hold(true);
    for (size_t i = 0; i < CWS_ARRAY_LEN(answers); i++)
        assert_non_null(cws_resolve_start(loop, "sandbox.test", 1, on_done, &answers[i], NULL));
    wait_until_asked(CWS_ARRAY_LEN(answers)); /* none waits for another */
    hold(false);
    for (size_t i = 0; i < CWS_ARRAY_LEN(answers); i++)
        PUMP_UNTIL(loop, answers[i].times);
    loop_close(loop);
}

static void test_cancelled(void **state)
{
    (void)state;
    struct cws_loop *loop = new_loop();
    struct answer answer = {0};
    hold(true);
    cws_resolve_cancel(cws_resolve_start(loop, "sandbox.test", 1, on_done, &answer, NULL));
    wait_until_asked(1);
    settle(loop);
    hold(false);
    PUMP_UNTIL(loop, resolver.freed);
    assert_int_equal(answer.times, 0);
    loop_close(loop);
}

static void *let_go(void *arg)
{
    (void)arg;
    wait_until_asked(1);
    hold(false);
    return NULL;
}

static void test_loop_freed_while_looking_up(void **state)
{
    (void)state;
    struct cws_loop *loop = new_loop();
    struct answer answer = {0};
    pthread_t thread;
    hold(true);
    cws_resolve_cancel(cws_resolve_start(loop, "sandbox.test", 1, on_done, &answer, NULL));
    assert_int_equal(pthread_create(&thread, NULL, let_go, NULL), 0);
    loop_close(loop); /* waits: the thread will post to it */
    pthread_join(thread, NULL);
    assert_int_equal(answer.times, 0);
    assert_int_equal(resolver.freed, 1);
}

static void test_no_memory(void **state)
{
    (void)state;
    struct cws_loop *loop = new_loop();
    struct answer answer = {0};
    struct cws_error err;
    cws_alloc_fail_at(1);
    assert_null(cws_resolve_start(loop, "sandbox.test", 1, on_done, &answer, &err));
    assert_int_equal(err.status, CWS_NO_MEMORY);
    loop_close(loop);
    assert_int_equal(resolver.asked, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_found),           cmocka_unit_test(test_not_found),
        cmocka_unit_test(test_several_at_once), cmocka_unit_test(test_cancelled),
        cmocka_unit_test(test_no_memory),       cmocka_unit_test(test_loop_freed_while_looking_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
