/* sandbox/trace: how operations ended, in the order in which they did, for whoever takes that. */
#include "support/unit.h"

#include <string.h>

#include "base/clock.h"
#include "sandbox/trace.h"

static struct cws_trace *new_trace(struct cws_queue *queue, int *owner)
{
    struct cws_trace *trace = cws_trace_new(queue, owner);
    assert_non_null(trace);
    return trace;
}

static void test_taken_in_order(void **state)
{
    (void)state;
    struct cws_queue *queue = cws_queue_new();
    int owners[3];
    assert_false(cws_queue_has_any(queue));
    assert_null(cws_trace_take(queue));
    for (int i = 0; i < 3; i++) {
        struct cws_trace *trace = new_trace(queue, &owners[i]);
        char text[] = "a text";
        cws_trace_end(trace,
                      &(struct cws_trace_end){.how = "exited", .exit_code = i, .text = text});
        memset(text, 'x', sizeof(text) - 1); /* it was copied */
        cws_trace_end(trace, &(struct cws_trace_end){.how = "second"});
        cws_trace_unref(trace);
    }
    for (int i = 0; i < 3; i++) {
        assert_true(cws_queue_has_any(queue));
        struct cws_trace *trace = cws_trace_take(queue);
        assert_ptr_equal(trace->owner, &owners[i]);
        assert_string_equal(trace->end.how, "exited");
        assert_int_equal(trace->end.exit_code, i);
        assert_string_equal(trace->end.text, "a text");
        assert_null(trace->end.reason);
        cws_trace_unref(trace);
    }
    assert_false(cws_queue_has_any(queue));
    cws_queue_unref(queue);
    cws_queue_unref(NULL);
    cws_trace_unref(NULL);
}

static void test_times(void **state)
{
    (void)state;
    struct cws_queue *queue = cws_queue_new();
    struct cws_trace *trace = new_trace(queue, NULL);
    uint64_t before = cws_clock_wall_ns();
    cws_trace_sent(NULL);
    cws_trace_sent(trace);
    uint64_t first = trace->end.sent_ns;
    assert_true(first >= before);
    cws_trace_sent(trace); /* once more, on another connection */
    assert_true(trace->end.sent_ns == first);
    cws_trace_end(trace, &(struct cws_trace_end){.how = "done", .text = (char *)"", .sent_ns = 1});
    assert_true(trace->end.sent_ns == first);
    assert_true(trace->end.ended_ns >= first);
    assert_null(trace->end.text);
    cws_trace_unref(cws_trace_take(queue));
    cws_trace_unref(trace);
    cws_queue_unref(queue);
}

struct watcher {
    struct cws_observer observer;
    int notified;
};

static void notify(struct cws_observer *observer)
{
    cws_container_of(observer, struct watcher, observer)->notified++;
}

static void test_who_waits_is_told(void **state)
{
    (void)state;
    struct cws_queue *queue = cws_queue_new();
    struct watcher watcher = {.observer = {.notify = notify}};
    cws_list_init(&watcher.observer.node);
    assert_false(cws_queue_observe(queue, &watcher.observer));
    assert_int_equal(watcher.notified, 0);
    struct cws_trace *trace = new_trace(queue, NULL);
    cws_trace_end(trace, &(struct cws_trace_end){.how = "done"});
    assert_int_equal(watcher.notified, 1);
    assert_true(cws_queue_observe(queue, &watcher.observer)); /* and it is not registered */
    cws_trace_unref(cws_trace_take(queue));
    cws_trace_unref(trace);
    cws_queue_unref(queue);
}

static enum cws_status add(struct cws_trace *trace, const char *name, size_t value_len)
{
    static const char value[CWS_TRACE_MAX_SIZE] = {[0 ... CWS_TRACE_MAX_SIZE - 1] = 'v'};
    struct cws_error err;
    return cws_trace_add(trace, name, strlen(name), value, value_len, &err);
}

static void test_limits_of_the_fields(void **state)
{
    (void)state;
    struct cws_queue *queue = cws_queue_new();
    struct cws_trace *trace = new_trace(queue, NULL);
    assert_null(cws_trace_metadata(NULL));
    assert_ptr_equal(cws_trace_metadata(trace), &trace->metadata);
    assert_int_equal(add(trace, "traceparent", CWS_TRACE_MAX_SIZE), CWS_INVALID);
    assert_int_equal(add(trace, "grpc-status", 1), CWS_INVALID);
    for (int i = 0; i < CWS_CALL_MAX_FIELDS; i++)
        assert_int_equal(add(trace, "name", 5), CWS_OK);
    assert_int_equal(add(trace, "name", 5), CWS_INVALID);
    assert_int_equal(trace->metadata.count, CWS_CALL_MAX_FIELDS);
    cws_trace_unref(trace);
    cws_queue_unref(queue);
}

static const struct CMUnitTest tests[] = {
    UNIT_TEST(test_taken_in_order),
    UNIT_TEST(test_times),
    UNIT_TEST(test_who_waits_is_told),
    UNIT_TEST(test_limits_of_the_fields),
};

UNIT_MAIN(tests)
