/* sandbox/log: one call of a log, from its start to its end, and what holds it back. */
#include "support/log_peer.h"

enum { PIECE = 32 * 1024, WINDOW = 1024 * 1024, MUCH = 8 * WINDOW };

static void test_what_is_asked_for(void **state)
{
    struct log_bed *bed = *state;
    log_bed_open(bed);
    const struct cws_log_options options = {
        .container = "db",
        .window = {.tail_lines = 7, .has_since = true, .since = {12, 34}, .timestamps = true},
        .timeout_s = -1,
    };
    struct cws_log *log = log_start_with(bed, options);
    struct asked *asked = wait_asked(bed, 0);
    assert_asked(asked, false, 7, true, true, "", 0);
    assert_string_equal(asked->request->container, "db");
    assert_int_equal(asked->request->since_time->seconds, 12);
    assert_int_equal(asked->request->since_time->nanos, 34);
    asked_finish(asked, CWS_GRPC_OK);
    assert_log_end(bed, log, CWS_LOG_COMPLETE);
    log_bed_close(bed);
}

static void test_lines_are_whole_however_entries_are_cut(void **state)
{
    struct log_bed *bed = *state;
    log_bed_open(bed);
    struct cws_log *log = log_follow(bed);
    struct asked *asked = wait_asked(bed, 0);
    asked_send(asked, "a\n\nb", "s", 4);
    asked_send(asked, "c\r\nre", "s", 9);
    asked_send(asked, "", "s", 9);
    asked_send(asked, "st", "s", 11);
    asked_finish(asked, CWS_GRPC_OK);
    assert_log_line(bed, log, "a\n");
    assert_log_line(bed, log, "\n");
    assert_log_line(bed, log, "bc\r\n");
    assert_log_line(bed, log, "rest");
    assert_log_end(bed, log, CWS_LOG_COMPLETE);
    log_bed_close(bed);
}

static void assert_long_line(struct log_bed *bed, size_t len, size_t first)
{
    struct cws_log *log = log_follow(bed);
    struct asked *asked = wait_asked(bed, bed->count);
    uint8_t *bytes = malloc(len);
    assert_non_null(bytes);
    memset(bytes, 'x', len);
    bytes[len - 1] = '\n';
    for (size_t at = 0; at < len; at += PIECE)
        asked_bytes(asked, bytes + at, len - at < PIECE ? len - at : PIECE, "s", at);
    asked_finish(asked, CWS_GRPC_OK);
    WAIT_FOR(log_loop(bed), log->output.synced.size >= WINDOW - PIECE);
    for (size_t taken = 0; taken < len;) { /* a reader that waits for the rest lets it come */
        struct watcher watcher = {.observer.notify = count_notice};
        struct cws_output_line line;
        cws_list_init(&watcher.observer.node);
        if (cws_output_take(&log->output, CWS_OUTPUT_LINE, &line, &watcher.observer) ==
            CWS_OUTPUT_EMPTY) {
            WAIT_FOR(log_loop(bed), watcher.notified);
            continue;
        }
        if (taken == 0)
            assert_int_equal(line.len + line.rest, first);
        taken += line.len + line.rest;
    }
    free(bytes);
    assert_log_end(bed, log, CWS_LOG_COMPLETE);
}

static void test_the_longest_line_comes_whole(void **state)
{
    struct log_bed *bed = *state;
    log_bed_open(bed);
    assert_long_line(bed, CWS_LOG_LINE_MAX, CWS_LOG_LINE_MAX);
    log_bed_close(bed);
}

static void test_a_longer_line_comes_in_pieces(void **state)
{
    struct log_bed *bed = *state;
    log_bed_open(bed);
    assert_long_line(bed, 3 * CWS_LOG_LINE_MAX, CWS_LOG_LINE_MAX);
    log_bed_close(bed);
}

static void test_an_unread_log_holds_the_service_back(void **state)
{
    struct log_bed *bed = *state;
    log_bed_open(bed);
    struct cws_log *log = log_follow(bed);
    struct asked *asked = wait_asked(bed, 0);
    uint8_t lines[PIECE];
    for (size_t i = 0; i < PIECE; i++)
        lines[i] = i % 64 == 63 ? '\n' : 'x';
    for (size_t at = 0; at < MUCH; at += PIECE)
        asked_bytes(asked, lines, PIECE, "s", at + PIECE);
    asked_finish(asked, CWS_GRPC_OK);
    WAIT_FOR(log_loop(bed), log->output.synced.size > WINDOW - 2 * PIECE);
    settle(log_loop(bed));
    assert_true(log->output.synced.size <= WINDOW);
    assert_true(cws_server_call_pending(asked->call) > 0);
    size_t taken = 0, most = 0;
    struct cws_output_line line;
    while (taken < MUCH) {
        if (cws_output_take(&log->output, CWS_OUTPUT_LINE, &line, NULL) == CWS_OUTPUT_TAKEN)
            taken += line.len + line.rest;
        else
            pump(log_loop(bed));
        size_t held = cws_output_held(&log->output);
        most = held > most ? held : most;
    }
    assert_true(most <= WINDOW);
    assert_log_end(bed, log, CWS_LOG_COMPLETE);
    log_bed_close(bed);
}

static void test_without_follow_nothing_is_asked_again(void **state)
{
    struct log_bed *bed = *state;
    log_bed_open(bed);
    struct cws_log *log = log_start_with(bed, (struct cws_log_options){.timeout_s = -1});
    asked_send(wait_asked(bed, 0), "a\nrest", "s", 6);
    asked_finish(wait_asked(bed, 0), CWS_GRPC_UNAVAILABLE);
    assert_log_line(bed, log, "a\n");
    assert_log_line(bed, log, "rest"); /* what has come is not kept back */
    assert_int_equal(log->status.code, CWS_GRPC_UNAVAILABLE);
    assert_log_end(bed, log, CWS_LOG_STATUS);
    log = log_start_with(bed, (struct cws_log_options){.timeout_s = -1});
    asked_error(wait_asked(bed, 1), "STREAM_INTERRUPTED");
    WAIT_FOR(log_loop(bed), cws_future_is_done(&log->future));
    assert_string_equal(log->frame_code, "STREAM_INTERRUPTED");
    assert_string_equal(log->status.message, "in words");
    assert_log_end(bed, log, CWS_LOG_FRAME);
    assert_int_equal(bed->count, 2);
    log_bed_close(bed);
}

static void test_a_time_limit_is_for_logs_that_are_not_followed(void **state)
{
    struct log_bed *bed = *state;
    log_bed_open(bed);
    struct cws_log *followed =
        log_start_with(bed, (struct cws_log_options){.follow = true, .timeout_s = 0.05});
    struct cws_log *log = log_start_with(bed, (struct cws_log_options){.timeout_s = 0.1});
    asked_send(wait_asked(bed, 1), "a\n", "s", 2);
    WAIT_FOR(log_loop(bed), cws_future_is_done(&log->future));
    assert_log_line(bed, log, "a\n");
    assert_int_equal(log->status.code, CWS_GRPC_DEADLINE_EXCEEDED);
    assert_log_end(bed, log, CWS_LOG_STATUS);
    assert_false(cws_future_is_done(&followed->future));
    asked_finish(wait_asked(bed, 0), CWS_GRPC_OK);
    assert_log_end(bed, followed, CWS_LOG_COMPLETE);
    log_bed_close(bed);
}

static void test_what_cannot_be_decoded(void **state)
{
    struct log_bed *bed = *state;
    log_bed_open(bed);
    struct cws_log *log = log_follow(bed);
    struct cws_block *block = cws_server_message_new(3);
    memcpy(block->data + CWS_FRAME_PREFIX, "\x0a\x7fx", 3);
    cws_server_call_send(wait_asked(bed, 0)->call, block);
    WAIT_FOR(log_loop(bed), cws_future_is_done(&log->future));
    assert_int_equal(log->status.code, CWS_GRPC_INTERNAL);
    assert_log_end(bed, log, CWS_LOG_STATUS);
    WAIT_FOR(log_loop(bed), bed->asked[0].gone);
    log_bed_close(bed);
}

/* ---- its end comes from this side ----------------------------------------------------------- */

static void test_cancelled_at_any_time(void **state)
{
    struct log_bed *bed = *state;
    log_bed_init(bed);
    struct cws_log *waits = log_follow(bed);
    assert_true(cws_log_cancel(waits));
    assert_log_end(bed, waits, CWS_LOG_CANCELLED);
    exec_bed_open_sandbox(&bed->base);
    struct cws_log *asks = log_follow(bed);
    asked_send(wait_asked(bed, 0), "a\n", "s", 2);
    WAIT_FOR(log_loop(bed), asks->output.synced.size);
    cws_output_close(&asks->output);
    assert_true(cws_log_cancel(asks));
    assert_true(cws_log_cancel(asks));
    WAIT_FOR(log_loop(bed), bed->asked[0].gone);
    assert_int_equal(bed->asked[0].why, CWS_GRPC_CANCELLED);
    assert_log_end(bed, asks, CWS_LOG_CANCELLED);
    struct cws_log *pauses = log_follow(bed);
    asked_finish(wait_asked(bed, 1), CWS_GRPC_UNAVAILABLE);
    WAIT_FOR(log_loop(bed), pauses->loop_only.state == CWS_LOG_PAUSING);
    assert_true(cws_log_cancel(pauses));
    assert_log_end(bed, pauses, CWS_LOG_CANCELLED);
    struct cws_log *ended = log_follow(bed);
    asked_finish(wait_asked(bed, 2), CWS_GRPC_OK);
    WAIT_FOR(log_loop(bed), cws_future_is_done(&ended->future));
    assert_false(cws_log_cancel(ended));
    assert_log_end(bed, ended, CWS_LOG_COMPLETE);
    log_bed_close(bed);
}

static void test_a_sandbox_that_does_not_open(void **state)
{
    struct log_bed *bed = *state;
    log_bed_init(bed);
    struct cws_log *log = log_follow(bed);
    assert_int_equal(cws_sandbox_fail(bed->base.sandbox), CWS_OK);
    assert_log_end(bed, log, CWS_LOG_NOT_OPEN);
    log = log_follow(bed);
    assert_int_equal(cws_sandbox_close(bed->base.sandbox), CWS_OK);
    assert_log_end(bed, log, CWS_LOG_CLOSED);
    assert_log_end(bed, log_follow(bed), CWS_LOG_CLOSED);
    assert_int_equal(bed->count, 0);
    log_bed_close(bed);
}

/* What the service still sends when the sandbox is stopped is read to its end. */
static void test_a_sandbox_that_is_stopped(void **state)
{
    struct log_bed *bed = *state;
    log_bed_open(bed);
    struct cws_log *log = log_follow(bed), *pauses = log_follow(bed);
    wait_asked(bed, 1);
    asked_finish(&bed->asked[1], CWS_GRPC_UNAVAILABLE);
    WAIT_FOR(log_loop(bed), pauses->loop_only.state == CWS_LOG_PAUSING);
    assert_int_equal(cws_sandbox_close(bed->base.sandbox), CWS_OK);
    assert_log_end(bed, pauses, CWS_LOG_CLOSED);
    asked_send(&bed->asked[0], "last\n", "s", 5);
    asked_finish(&bed->asked[0], CWS_GRPC_OK);
    assert_log_line(bed, log, "last\n");
    assert_log_end(bed, log, CWS_LOG_COMPLETE);
    log_bed_close(bed);
}

static void test_out_of_memory(void **state)
{
    struct log_bed *bed = *state;
    log_bed_open(bed);
    settle(log_loop(bed));
    for (size_t n = 1; n <= 2; n++) {
        struct cws_log *log = log_follow(bed);
        cws_alloc_fail_at(n); /* the request, the call */
        WAIT_FOR(log_loop(bed), cws_future_is_done(&log->future));
        cws_alloc_fail_at(0);
        assert_int_equal(log->status.code, CWS_GRPC_RESOURCE_EXHAUSTED);
        assert_log_end(bed, log, CWS_LOG_STATUS);
    }
    log_bed_close(bed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOG_TEST(test_what_is_asked_for),
        LOG_TEST(test_lines_are_whole_however_entries_are_cut),
        LOG_TEST(test_the_longest_line_comes_whole),
        LOG_TEST(test_a_longer_line_comes_in_pieces),
        LOG_TEST(test_an_unread_log_holds_the_service_back),
        LOG_TEST(test_without_follow_nothing_is_asked_again),
        LOG_TEST(test_a_time_limit_is_for_logs_that_are_not_followed),
        LOG_TEST(test_what_cannot_be_decoded),
        LOG_TEST(test_cancelled_at_any_time),
        LOG_TEST(test_a_sandbox_that_does_not_open),
        LOG_TEST(test_a_sandbox_that_is_stopped),
        LOG_TEST(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
