/* sandbox/log_retry: a followed log goes on where it was, and when it gives up. */
#include "support/fake_clock.h"
#include "support/log_peer.h"

#include "proto/generated/error_details.pb-c.h"
#include "proto/generated/status.pb-c.h"

static void pass(struct log_bed *bed, double seconds)
{
    fake_clock_advance(log_loop(bed), (uint64_t)(seconds * (double)CWS_NS_PER_S));
}

/* The request that comes after the pause for the n-th failure. */
static struct asked *next_asked(struct log_bed *bed, struct cws_log *log)
{
    size_t n = bed->count;
    WAIT_FOR(log_loop(bed), log->loop_only.state == CWS_LOG_PAUSING);
    pass(bed, 5);
    return wait_asked(bed, n);
}

static const struct cws_log_options windowed = {
    .follow = true,
    .window = {.tail_lines = 7, .has_since = true, .since = {12, 34}, .timestamps = true},
    .timeout_s = -1,
};

static void test_it_goes_on_where_it_was(void **state)
{
    struct log_bed *bed = *state;
    static const enum cws_grpc_code codes[] = {CWS_GRPC_UNAVAILABLE, CWS_GRPC_INTERNAL,
                                               CWS_GRPC_UNKNOWN};
    log_bed_open(bed);
    struct cws_log *log = log_start_with(bed, windowed);
    struct asked *asked = wait_asked(bed, 0);
    assert_asked(asked, true, 7, true, true, "", 0);
    asked_send(asked, "one\ntw", "first", 6);
    for (size_t i = 0; i < CWS_ARRAY_LEN(codes); i++) {
        asked_finish(asked, codes[i]);
        asked = next_asked(bed, log);
        assert_asked(asked, true, 0, false, false, "first", 6);
    }
    asked_error(asked, "STREAM_INTERRUPTED");
    asked = next_asked(bed, log);
    assert_asked(asked, true, 0, false, false, "first", 6);
    asked_send(asked, "o\nthree\n", "second", 77); /* another session in mid-stream */
    asked_finish(asked, CWS_GRPC_UNAVAILABLE);
    asked = next_asked(bed, log);
    assert_asked(asked, true, 0, false, false, "second", 77);
    asked_finish(asked, CWS_GRPC_OK);
    assert_log_line(bed, log, "one\n");
    assert_log_line(bed, log, "two\n");
    assert_log_line(bed, log, "three\n");
    assert_log_end(bed, log, CWS_LOG_COMPLETE);
    log_bed_close(bed);
}

/* A session that is known without a byte of it is gone on with, too; one that is not known leaves
 * the caller's window. */
static void test_it_goes_on_before_the_first_byte(void **state)
{
    struct log_bed *bed = *state;
    log_bed_open(bed);
    struct cws_log *log = log_start_with(bed, windowed);
    asked_finish(wait_asked(bed, 0), CWS_GRPC_UNAVAILABLE);
    struct asked *asked = next_asked(bed, log);
    assert_asked(asked, true, 7, true, true, "", 0);
    assert_int_equal(asked->request->since_time->seconds, 12);
    asked_send(asked, "", "s", 0);
    asked_finish(asked, CWS_GRPC_UNAVAILABLE);
    asked = next_asked(bed, log);
    assert_asked(asked, true, 0, false, false, "s", 0);
    asked_finish(asked, CWS_GRPC_OK);
    assert_log_end(bed, log, CWS_LOG_COMPLETE);
    log_bed_close(bed);
}

static void test_a_new_session_begins_a_new_line(void **state)
{
    struct log_bed *bed = *state;
    static const char *const codes[] = {"SESSION_NOT_FOUND", "REPLAY_GAP", "RUNNER_UNAVAILABLE",
                                        "RUNNER_DRAINING"};
    log_bed_open(bed);
    struct cws_log *log = log_start_with(bed, windowed);
    struct asked *asked = wait_asked(bed, 0);
    for (size_t i = 0; i < CWS_ARRAY_LEN(codes); i++) {
        struct timespec before;
        clock_gettime(CLOCK_REALTIME, &before);
        asked_send(asked, "whole\npart", "s", 10);
        asked_error(asked, codes[i]);
        asked = next_asked(bed, log);
        assert_asked(asked, true, 0, true, true, "", 0);
        assert_true(asked->request->since_time->seconds >= before.tv_sec);
        assert_true(asked->request->since_time->seconds <= before.tv_sec + 60);
        assert_log_line(bed, log, "whole\n");
        assert_next(&log->output, CWS_OUTPUT_EMPTY);
    }
    asked_send(asked, "end\n", "t", 4);
    asked_finish(asked, CWS_GRPC_OK);
    assert_log_line(bed, log, "end\n");
    assert_int_equal(cws_output_held(&log->output), 0); /* the parts are not held */
    assert_log_end(bed, log, CWS_LOG_COMPLETE);
    log_bed_close(bed);
}

/* After a gap the service has nothing any more that was in the last entry: what was printed since
 * then is what it still has. */
static void test_a_gap_loses_no_more_than_it_must(void **state)
{
    struct log_bed *bed = *state;
    Coreweave__Sandbox__V1__LogEntry entry = COREWEAVE__SANDBOX__V1__LOG_ENTRY__INIT;
    Google__Protobuf__Timestamp time = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
    static char data[] = "a\n", session[] = "s";
    log_bed_open(bed);
    struct cws_log *log = log_follow(bed);
    entry.data = (ProtobufCBinaryData){.len = 2, .data = (uint8_t *)data};
    entry.log_session_id = session;
    entry.timestamp = &time;
    time.seconds = 77;
    time.nanos = 88;
    asked_entry(wait_asked(bed, 0), &entry);
    asked_finish(wait_asked(bed, 0), CWS_GRPC_UNAVAILABLE);
    asked_error(next_asked(bed, log), "REPLAY_GAP");
    struct asked *asked = next_asked(bed, log);
    assert_asked(asked, true, 0, true, false, "", 0);
    assert_int_equal(asked->request->since_time->seconds, 77);
    assert_int_equal(asked->request->since_time->nanos, 88);
    asked_finish(asked, CWS_GRPC_OK);
    assert_log_line(bed, log, "a\n");
    assert_log_end(bed, log, CWS_LOG_COMPLETE);
    log_bed_close(bed);
}

/* Nothing came behind the part: it is all there is of the line. */
static void test_a_part_that_nothing_follows_is_not_lost(void **state)
{
    struct log_bed *bed = *state;
    log_bed_open(bed);
    struct cws_log *log = log_follow(bed);
    asked_send(wait_asked(bed, 0), "part", "s", 4);
    asked_error(wait_asked(bed, 0), "REPLAY_GAP");
    asked_finish(next_asked(bed, log), CWS_GRPC_OK);
    assert_log_line(bed, log, "part");
    assert_log_end(bed, log, CWS_LOG_COMPLETE);
    log_bed_close(bed);
}

static void test_what_is_final(void **state)
{
    struct log_bed *bed = *state;
    static const enum cws_grpc_code codes[] = {
        CWS_GRPC_CANCELLED, CWS_GRPC_DEADLINE_EXCEEDED,  CWS_GRPC_NOT_FOUND,
        CWS_GRPC_ABORTED,   CWS_GRPC_RESOURCE_EXHAUSTED, CWS_GRPC_PERMISSION_DENIED};
    static const char *const frames[] = {"STREAM_TRUNCATED", "INVALID_RESUME_OFFSET", "ELSE"};
    log_bed_open(bed);
    for (size_t i = 0; i < CWS_ARRAY_LEN(codes); i++) {
        struct cws_log *log = log_follow(bed);
        asked_finish(wait_asked(bed, bed->count), codes[i]);
        WAIT_FOR(log_loop(bed), cws_future_is_done(&log->future));
        assert_int_equal(log->status.code, codes[i]);
        assert_null(log->frame_code);
        assert_log_end(bed, log, CWS_LOG_STATUS);
    }
    for (size_t i = 0; i < CWS_ARRAY_LEN(frames); i++) {
        struct cws_log *log = log_follow(bed);
        asked_error(wait_asked(bed, bed->count), frames[i]);
        WAIT_FOR(log_loop(bed), cws_future_is_done(&log->future));
        assert_string_equal(log->frame_code, frames[i]);
        assert_log_end(bed, log, CWS_LOG_FRAME);
    }
    pass(bed, 60);
    settle(log_loop(bed));
    assert_int_equal(bed->count, CWS_ARRAY_LEN(codes) + CWS_ARRAY_LEN(frames));
    log_bed_close(bed);
}

/* ---- how long it tries ---------------------------------------------------------------------- */

static void test_it_gives_up_after_thirty_seconds(void **state)
{
    struct log_bed *bed = *state;
    log_bed_open(bed);
    struct cws_log *log = log_follow(bed);
    asked_send(wait_asked(bed, 0), "a\n", "s", 2);
    asked_finish(wait_asked(bed, 0), CWS_GRPC_UNAVAILABLE);
    double passed = 0;
    for (size_t n = 1; !cws_future_is_done(&log->future); n = bed->count) {
        WAIT_FOR(log_loop(bed),
                 log->loop_only.state == CWS_LOG_PAUSING || cws_future_is_done(&log->future));
        while (bed->count == n && !cws_future_is_done(&log->future)) {
            pass(bed, 0.1);
            passed += 0.1;
            settle(log_loop(bed));
        }
        if (bed->count > n) {
            asked_send(wait_asked(bed, n), "", "s", 2); /* an entry without data is no progress */
            asked_finish(wait_asked(bed, n), CWS_GRPC_UNAVAILABLE);
            settle(log_loop(bed));
        }
    }
    assert_true(passed > 25 && passed < 31); /* the next try would have been too late */
    assert_in_range(bed->count, 8, 20);
    assert_log_line(bed, log, "a\n");
    assert_int_equal(log->status.code, CWS_GRPC_UNAVAILABLE);
    assert_log_end(bed, log, CWS_LOG_LOST);
    log_bed_close(bed);
}

static void test_data_begins_the_time_anew(void **state)
{
    struct log_bed *bed = *state;
    log_bed_open(bed);
    struct cws_log *log = log_follow(bed);
    struct asked *asked = wait_asked(bed, 0);
    for (size_t i = 0; i < 20; i++) { /* 100 s of failures */
        asked_send(asked, "a\n", "s", i + 1);
        asked_finish(asked, CWS_GRPC_UNAVAILABLE);
        asked = next_asked(bed, log);
        assert_log_line(bed, log, "a\n");
    }
    asked_finish(asked, CWS_GRPC_OK);
    assert_log_end(bed, log, CWS_LOG_COMPLETE);
    log_bed_close(bed);
}

/* A log in which nothing happens is cut off by a proxy every minute, for hours. */
static void test_a_call_that_was_open_for_long_is_no_failure_in_a_row(void **state)
{
    struct log_bed *bed = *state;
    log_bed_open(bed);
    struct cws_log *log = log_follow(bed);
    struct asked *asked = wait_asked(bed, 0);
    for (size_t i = 0; i < 20; i++) {
        pass(bed, 60);
        asked_finish(asked, CWS_GRPC_UNAVAILABLE);
        asked = next_asked(bed, log);
    }
    asked_finish(asked, CWS_GRPC_OK);
    assert_log_end(bed, log, CWS_LOG_COMPLETE);
    log_bed_close(bed);
}

/* ---- what the details of a status say ------------------------------------------------------- */

static Google__Protobuf__Any any_of(const ProtobufCMessage *message, char *url, uint8_t *bytes)
{
    Google__Protobuf__Any any = GOOGLE__PROTOBUF__ANY__INIT;
    any.type_url = url;
    any.value.len = protobuf_c_message_pack(message, bytes);
    any.value.data = bytes;
    return any;
}

/* Ends the call with UNAVAILABLE and these details; `reason` may be NULL, `delay_s` 0. */
static void asked_detailed(struct asked *asked, const char *domain, const char *reason,
                           int64_t delay_s)
{
    static char info_url[] = "type.googleapis.com/google.rpc.ErrorInfo";
    static char retry_url[] = "type.googleapis.com/google.rpc.RetryInfo";
    uint8_t info_bytes[256], retry_bytes[64], bytes[512];
    Google__Rpc__ErrorInfo info = GOOGLE__RPC__ERROR_INFO__INIT;
    Google__Rpc__RetryInfo retry = GOOGLE__RPC__RETRY_INFO__INIT;
    Google__Protobuf__Duration delay = GOOGLE__PROTOBUF__DURATION__INIT;
    Google__Rpc__Status status = GOOGLE__RPC__STATUS__INIT;
    Google__Protobuf__Any anys[2], *details[2];
    if (reason) {
        info.domain = (char *)(uintptr_t)domain;
        info.reason = (char *)(uintptr_t)reason;
        anys[status.n_details++] = any_of(&info.base, info_url, info_bytes);
    }
    delay.seconds = delay_s;
    retry.retry_delay = &delay;
    if (delay_s)
        anys[status.n_details++] = any_of(&retry.base, retry_url, retry_bytes);
    for (size_t i = 0; i < status.n_details; i++)
        details[i] = &anys[i];
    status.details = details;
    size_t len = protobuf_c_message_pack(&status.base, bytes);
    cws_server_call_finish(asked->call, CWS_GRPC_UNAVAILABLE, "over", bytes, len);
}

static void test_the_reason_decides(void **state)
{
    struct log_bed *bed = *state;
    static const struct {
        const char *domain, *reason;
        bool is_final;
    } cases[] = {
        {"cwsandbox.com", "CWSANDBOX_SANDBOX_NOT_FOUND", true},
        {"cwsandbox.com", "CWSANDBOX_SANDBOX_NOT_RUNNING", true},
        {"cwsandbox.com", "CWSANDBOX_RUNNER_UNAVAILABLE", false},
        {"cwsandbox.com", "CWSANDBOX_RUNNER_SHARD_RETIRING", false},
        {"elsewhere.com", "CWSANDBOX_SANDBOX_NOT_FOUND", false}, /* anybody can say that */
        {"", "", false},
    };
    log_bed_open(bed);
    for (size_t i = 0; i < CWS_ARRAY_LEN(cases); i++) {
        struct cws_log *log = log_follow(bed);
        asked_detailed(wait_asked(bed, bed->count), cases[i].domain, cases[i].reason, 0);
        if (!cases[i].is_final)
            asked_finish(next_asked(bed, log), CWS_GRPC_OK);
        assert_log_end(bed, log, cases[i].is_final ? CWS_LOG_STATUS : CWS_LOG_COMPLETE);
    }
    log_bed_close(bed);
}

static void test_the_service_says_when(void **state)
{
    struct log_bed *bed = *state;
    static const struct {
        int64_t asks, gets;
    } cases[] = {{3, 3}, {10, 10}, {3600, 10}, {INT64_MAX, 10}};
    log_bed_open(bed);
    for (size_t i = 0; i < CWS_ARRAY_LEN(cases); i++) {
        struct cws_log *log = log_follow(bed);
        asked_detailed(wait_asked(bed, bed->count), NULL, NULL, cases[i].asks);
        WAIT_FOR(log_loop(bed), log->loop_only.state == CWS_LOG_PAUSING);
        size_t n = bed->count;
        pass(bed, (double)cases[i].gets - 1);
        settle(log_loop(bed));
        assert_int_equal(bed->count, n);
        pass(bed, 1.5);
        asked_finish(wait_asked(bed, n), CWS_GRPC_OK);
        assert_log_end(bed, log, CWS_LOG_COMPLETE);
    }
    log_bed_close(bed);
}

/* ---- the reader, and the sandbox ------------------------------------------------------------ */

/* However often the call is lost, what nobody reads does not grow; the time for tries does not run
 * meanwhile. */
static void test_it_is_not_asked_for_more_than_is_read(void **state)
{
    struct log_bed *bed = *state;
    char lines[64 * 1024];
    memset(lines, '\n', sizeof(lines));
    log_bed_open(bed);
    struct cws_log *log = log_follow(bed);
    struct asked *asked = wait_asked(bed, 0);
    for (size_t i = 0; i < 5; i++)
        asked_bytes(asked, lines, sizeof(lines), "s", (i + 1) * sizeof(lines));
    asked_finish(asked, CWS_GRPC_UNAVAILABLE);
    WAIT_FOR(log_loop(bed), log->loop_only.state == CWS_LOG_PAUSING);
    pass(bed, 1);
    WAIT_FOR(log_loop(bed), log->loop_only.state == CWS_LOG_PARKED);
    pass(bed, 3600);
    settle(log_loop(bed));
    assert_int_equal(bed->count, 1);
    for (size_t i = 0; i < sizeof(lines) * 2; i++)
        assert_next(&log->output, CWS_OUTPUT_TAKEN);
    asked = wait_asked(bed, 1);
    assert_asked(asked, true, 0, false, false, "s", 5 * sizeof(lines));
    asked_finish(asked, CWS_GRPC_UNAVAILABLE); /* it still tries */
    asked_finish(next_asked(bed, log), CWS_GRPC_OK);
    for (size_t i = 0; i < sizeof(lines) * 3; i++)
        assert_next(&log->output, CWS_OUTPUT_TAKEN);
    assert_log_end(bed, log, CWS_LOG_COMPLETE);
    log_bed_close(bed);
}

static void test_a_stopped_sandbox_is_not_waited_for_without_end(void **state)
{
    struct log_bed *bed = *state;
    log_bed_open(bed);
    struct cws_log *log = log_follow(bed);
    struct asked *asked = wait_asked(bed, 0);
    assert_int_equal(cws_sandbox_close(bed->base.sandbox), CWS_OK);
    WAIT_FOR(log_loop(bed), log->loop_only.is_closing);
    for (int i = 0; i < 5; i++) { /* as long as something comes */
        pass(bed, 4);
        asked_send(asked, "a\n", "s", 2);
        assert_log_line(bed, log, "a\n");
        pass(bed, 2);
        assert_false(cws_future_is_done(&log->future));
    }
    asked_send(asked, "unread\n", "s", 2);
    WAIT_FOR(log_loop(bed), cws_output_held(&log->output) > 0);
    pass(bed, 6);
    pass(bed, 6);
    assert_false(cws_future_is_done(&log->future)); /* as long as it is not read */
    assert_log_line(bed, log, "unread\n");
    pass(bed, 6);
    assert_log_end(bed, log, CWS_LOG_CLOSED);
    WAIT_FOR(log_loop(bed), asked->gone);
    log_bed_close(bed);
}

static void test_a_stopped_sandbox_is_not_asked_again(void **state)
{
    struct log_bed *bed = *state;
    log_bed_open(bed);
    struct cws_log *a = log_follow(bed), *b = log_follow(bed), *c = log_follow(bed);
    wait_asked(bed, 2);
    assert_int_equal(cws_sandbox_close(bed->base.sandbox), CWS_OK);
    WAIT_FOR(log_loop(bed), c->loop_only.is_closing);
    asked_finish(&bed->asked[0], CWS_GRPC_UNAVAILABLE);
    asked_error(&bed->asked[1], "RUNNER_DRAINING");
    asked_error(&bed->asked[2], "STREAM_TRUNCATED");
    assert_log_end(bed, a, CWS_LOG_CLOSED);
    assert_log_end(bed, b, CWS_LOG_CLOSED);
    assert_log_end(bed, c, CWS_LOG_FRAME);
    log_bed_close(bed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOG_TEST(test_it_goes_on_where_it_was),
        LOG_TEST(test_it_goes_on_before_the_first_byte),
        LOG_TEST(test_a_new_session_begins_a_new_line),
        LOG_TEST(test_a_gap_loses_no_more_than_it_must),
        LOG_TEST(test_a_part_that_nothing_follows_is_not_lost),
        LOG_TEST(test_what_is_final),
        LOG_TEST(test_it_gives_up_after_thirty_seconds),
        LOG_TEST(test_data_begins_the_time_anew),
        LOG_TEST(test_a_call_that_was_open_for_long_is_no_failure_in_a_row),
        LOG_TEST(test_the_reason_decides),
        LOG_TEST(test_the_service_says_when),
        LOG_TEST(test_it_is_not_asked_for_more_than_is_read),
        LOG_TEST(test_a_stopped_sandbox_is_not_waited_for_without_end),
        LOG_TEST(test_a_stopped_sandbox_is_not_asked_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
