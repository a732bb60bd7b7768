/* sandbox/unary: a unary call as an operation, its result on any thread, its cancelling at any
 * time. */
#include "support/client_peer.h"
#include "support/failing.h"

#include <pthread.h>

#include "sandbox/cancel.h"
#include "sandbox/extensions.h"
#include "sandbox/unary.h"

static struct cws_block *request_of(size_t len)
{
    struct cws_block *block = cws_block_new(CWS_FRAME_PREFIX + len);
    assert_non_null(block);
    fill_pattern(block->data + CWS_FRAME_PREFIX, len, 0);
    return block;
}

static struct cws_unary *start(struct client_bed *bed, const char *path, size_t len,
                               double timeout_s)
{
    struct cws_unary *unary;
    assert_int_equal(cws_unary_start(bed->channel, path, request_of(len), timeout_s, NULL, &unary),
                     CWS_OK);
    return unary;
}

static void wait_done(struct client_bed *bed, struct cws_unary *unary)
{
    WAIT_FOR(bed->loop, cws_future_is_done(&unary->future));
}

static void assert_code(const struct cws_unary *unary, int code)
{
    assert_true(cws_future_is_done(&unary->future));
    if (unary->status.code != code)
        fail_msg("%s '%s', not %s", cws_grpc_code_name(unary->status.code),
                 unary->status.message ? unary->status.message : "", cws_grpc_code_name(code));
    assert_int_equal(unary->reply != NULL, code == CWS_GRPC_OK); /* a reply exactly when it is OK */
}

static void test_a_reply(void **state)
{
    struct client_bed *bed = *state;
    static const size_t lens[] = {0, 1, 5000, 2 << 20};
    client_bed_open(bed, NULL);
    for (size_t i = 0; i < CWS_ARRAY_LEN(lens); i++) {
        char path[40] = ECHO_PATH;
        struct cws_unary *unary = start(bed, path, lens[i], -1);
        memset(path, 'x', sizeof(path)); /* it was copied */
        wait_done(bed, unary);
        assert_code(unary, CWS_GRPC_OK);
        assert_int_equal(unary->reply_len, lens[i]);
        assert_true(is_pattern(unary->reply, lens[i]));
        cws_unary_unref(unary);
    }
    cws_unary_unref(NULL);
    client_bed_close(bed);
}

static void test_an_error_with_details(void **state)
{
    struct client_bed *bed = *state;
    client_bed_open(bed, NULL);
    struct cws_unary *unary = start(bed, HOLD_PATH, 5, 60);
    struct served *served = wait_served(bed, 0);
    served_send(served, 10); /* a reply that the status makes worthless */
    cws_server_call_finish(served->call, CWS_GRPC_ALREADY_EXISTS, "twice", (const uint8_t *)"d", 1);
    wait_done(bed, unary);
    assert_code(unary, CWS_GRPC_ALREADY_EXISTS);
    assert_string_equal(unary->status.message, "twice");
    assert_int_equal(unary->status.details_len, 5);
    cws_unary_unref(unary);
    client_bed_close(bed);
}

/* One call that is answered with this header; what the channel has noted then. */
static unsigned extensions_after(struct client_bed *bed, size_t n, const char *value, int code)
{
    struct cws_unary *unary = start(bed, HOLD_PATH, 5, 60);
    struct served *served = wait_served(bed, n);
    if (value)
        cws_server_call_set_header(served->call, "cwsandboxd-extensions", value);
    served_send(served, 10);
    served_finish(served, code, NULL);
    wait_done(bed, unary);
    assert_code(unary, code);
    cws_unary_unref(unary);
    return cws_channel_extensions(bed->channel);
}

static void test_extensions_are_those_of_the_last_answer(void **state)
{
    struct client_bed *bed = *state;
    client_bed_open(bed, NULL);
    assert_int_equal(cws_channel_extensions(bed->channel), 0);
    assert_int_equal(extensions_after(bed, 0, "cwd", CWS_GRPC_OK), CWS_EXTENSION_CWD);
    assert_int_equal(extensions_after(bed, 1, NULL, CWS_GRPC_NOT_FOUND), CWS_EXTENSION_CWD);
    assert_int_equal(extensions_after(bed, 2, "later, cwd", CWS_GRPC_OK), CWS_EXTENSION_CWD);
    assert_int_equal(extensions_after(bed, 3, NULL, CWS_GRPC_OK), 0); /* another service by now */
    assert_int_equal(extensions_after(bed, 4, "later", CWS_GRPC_OK), 0);
    client_bed_close(bed);
}

static void test_ok_without_a_reply_is_an_error(void **state)
{
    struct client_bed *bed = *state;
    client_bed_open(bed, NULL);
    struct cws_unary *unary = start(bed, HOLD_PATH, 5, -1);
    served_finish(wait_served(bed, 0), CWS_GRPC_OK, NULL);
    wait_done(bed, unary);
    assert_code(unary, CWS_GRPC_INTERNAL);
    cws_unary_unref(unary);
    client_bed_close(bed);
}

static void test_two_replies_are_an_error(void **state)
{
    struct client_bed *bed = *state;
    client_bed_open(bed, NULL);
    struct cws_unary *unary = start(bed, HOLD_PATH, 5, -1);
    struct served *served = wait_served(bed, 0);
    served_send(served, 10);
    served_send(served, 20);
    served_finish(served, CWS_GRPC_OK, NULL);
    wait_done(bed, unary);
    assert_code(unary, CWS_GRPC_INTERNAL);
    cws_unary_unref(unary);
    client_bed_close(bed);
}

static void test_the_time_is_up(void **state)
{
    struct client_bed *bed = *state;
    client_bed_open(bed, NULL);
    static const double timeouts[] = {0.03, 0.0};
    for (size_t i = 0; i < CWS_ARRAY_LEN(timeouts); i++) {
        struct cws_unary *unary = start(bed, HOLD_PATH, 5, timeouts[i]);
        wait_done(bed, unary);
        assert_code(unary, CWS_GRPC_DEADLINE_EXCEEDED);
        assert_true(unary->status.local);
        cws_unary_unref(unary);
    }
    client_bed_close(bed);
}

/* --- cancelling --- */

static void assert_cancelled(const struct cws_unary *unary)
{
    assert_code(unary, CWS_GRPC_CANCELLED);
    assert_true(unary->status.local);
    assert_int_equal(unary->status.details_len, 0);
}

static void test_cancelled_at_once(void **state)
{
    struct client_bed *bed = *state;
    client_bed_open(bed, NULL);
    struct cws_unary *unary = start(bed, HOLD_PATH, 5, -1);
    assert_true(cws_unary_cancel(unary));
    assert_true(cws_unary_cancel(unary)); /* by an earlier call */
    wait_done(bed, unary);
    assert_cancelled(unary);
    assert_true(cws_unary_cancel(unary)); /* still: it ended so */
    cws_unary_unref(unary);
    client_bed_close(bed);
}

static void test_cancelled_while_it_runs(void **state)
{
    struct client_bed *bed = *state;
    client_bed_open(bed, NULL);
    struct cws_unary *unary = start(bed, HOLD_PATH, 5, -1);
    struct served *served = wait_served(bed, 0);
    assert_true(cws_unary_cancel(unary));
    cws_unary_unref(unary); /* nobody waits for it: it ends all the same */
    WAIT_FOR(bed->loop, served->closed);
    assert_int_equal(served->why, CWS_GRPC_CANCELLED);
    client_bed_close(bed);
}

static void test_cancelled_too_late(void **state)
{
    struct client_bed *bed = *state;
    client_bed_open(bed, NULL);
    struct cws_unary *unary = start(bed, ECHO_PATH, 5, -1);
    wait_done(bed, unary);
    assert_false(cws_unary_cancel(unary));
    assert_code(unary, CWS_GRPC_OK);
    cws_unary_unref(unary);
    client_bed_close(bed);
}

/* The answer is there before the wish has reached the loop: "yes" stays "yes", and nothing of the
 * answer is shown. */
static void test_the_answer_overtakes_the_wish(void **state)
{
    struct client_bed *bed = *state;
    static const enum cws_grpc_code codes[] = {CWS_GRPC_OK, CWS_GRPC_ABORTED};
    for (size_t i = 0; i < CWS_ARRAY_LEN(codes); i++) {
        bool first;
        client_bed_open(bed, NULL);
        struct cws_unary *unary = start(bed, HOLD_PATH, 5, -1);
        struct served *served = wait_served(bed, 0);
        /* what cws_unary_cancel does first, on a thread that is then held up */
        assert_true(cws_phase_cancel(&unary->phase, &first));
        served_send(served, 10);
        cws_server_call_finish(served->call, codes[i], "x", (const uint8_t *)"d", 1);
        wait_done(bed, unary);
        assert_cancelled(unary);
        cws_unary_unref(unary);
        client_bed_close(bed);
    }
}

/* --- memory and threads --- */

/* Whatever allocation fails, it ends: with the reply or with an error. */
static bool run_with_failing(struct client_bed *bed, size_t n)
{
    client_bed_open(bed, NULL);
    struct cws_block *request = request_of(100000);
    struct cws_unary *unary = NULL;
    cws_alloc_fail_at(n);
    if (cws_unary_start(bed->channel, ECHO_PATH, request, 30, NULL, &unary) != CWS_OK)
        cws_block_settle(request, CWS_CLOSED); /* not taken over */
    else
        wait_done(bed, unary);
    bool reached = failing_was_reached(n);
    if (unary && unary->status.code == CWS_GRPC_OK)
        assert_true(unary->reply_len == 100000 && is_pattern(unary->reply, 100000));
    else
        assert_true(reached);
    if (unary)
        assert_int_not_equal(unary->status.code, CWS_GRPC_DEADLINE_EXCEEDED);
    cws_unary_unref(unary);
    client_bed_close(bed);
    return reached;
}

static void test_each_allocation_may_fail(void **state)
{
    size_t n = 1;
    while (run_with_failing(*state, n))
        n++;
    assert_true(n > 20);
}

struct caller {
    pthread_t thread;
    struct client_bed *bed;
    unsigned ok, cancelled;
};

static void *call_and_cancel(void *arg)
{
    struct caller *caller = arg;
    for (unsigned i = 0; i < 200; i++) {
        struct cws_unary *unary = start(caller->bed, ECHO_PATH, 100, 30);
        bool told_yes = i % 2 && cws_unary_cancel(unary);
        while (!cws_future_is_done(&unary->future))
            told_yes |= i % 4 == 3 && cws_unary_cancel(unary);
        assert_int_equal(unary->status.code, told_yes ? CWS_GRPC_CANCELLED : CWS_GRPC_OK);
        assert_int_equal(unary->reply != NULL, !told_yes);
        caller->ok += !told_yes;
        caller->cancelled += told_yes;
        cws_unary_unref(unary);
    }
    return NULL;
}

static void test_callers_on_many_threads(void **state)
{
    struct client_bed *bed = *state;
    struct caller callers[3];
    struct cws_error err = {0};
    client_bed_open(bed, NULL);
    assert_int_equal(cws_loop_start(bed->loop, &err), CWS_OK); /* server and client in its thread */
    for (int i = 0; i < 3; i++) {
        callers[i] = (struct caller){.bed = bed};
        assert_int_equal(pthread_create(&callers[i].thread, NULL, call_and_cancel, &callers[i]), 0);
    }
    for (int i = 0; i < 3; i++) {
        pthread_join(callers[i].thread, NULL);
        assert_true(callers[i].ok >= 100);
        assert_int_equal(callers[i].ok + callers[i].cancelled, 200);
    }
    client_bed_stop_thread(bed);
    client_bed_close(bed);
}

#define UNARY_TEST(function) TEST_WITH(struct client_bed, function)

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNARY_TEST(test_a_reply),
        UNARY_TEST(test_an_error_with_details),
        UNARY_TEST(test_extensions_are_those_of_the_last_answer),
        UNARY_TEST(test_ok_without_a_reply_is_an_error),
        UNARY_TEST(test_two_replies_are_an_error),
        UNARY_TEST(test_the_time_is_up),
        UNARY_TEST(test_cancelled_at_once),
        UNARY_TEST(test_cancelled_while_it_runs),
        UNARY_TEST(test_cancelled_too_late),
        UNARY_TEST(test_the_answer_overtakes_the_wish),
        UNARY_TEST(test_each_allocation_may_fail),
        UNARY_TEST(test_callers_on_many_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
