/* sandbox/file: one ReadFile or WriteFile as an operation; what it leaves unfinished comes out of
 * the queue, and somebody else finishes it. */
#include "sandbox/file.h"

#include "sandbox/file_wire.h"
#include "support/exec_peer.h"
#include "support/failing.h"

/* ---- the server's side ---------------------------------------------------------------------- */

/* One call as the server knows it. */
struct asked {
    struct cws_server_call *call; /* NULL once closed */
    ProtobufCMessage *request;
    bool is_read;
    bool gone;
    enum cws_grpc_code why;
};

static struct asked asked[64];
static size_t asked_count;
static size_t answer_at_once; /* content of so many bytes; SIZE_MAX: the test answers */

static void ask_start(struct cws_server_call *call, void *ctx)
{
    (void)ctx;
    assert_true(asked_count < CWS_ARRAY_LEN(asked));
    asked[asked_count] = (struct asked){.call = call};
    cws_server_call_set_user(call, &asked[asked_count++]);
}

static void ask(struct cws_server_call *call, const ProtobufCMessageDescriptor *type,
                const uint8_t *data, size_t len)
{
    struct asked *one = cws_server_call_user(call);
    assert_null(one->request);
    if (cws_proto_unpack(type, data, len, &one->request) != CWS_OK)
        cws_server_call_finish(call, CWS_GRPC_ABORTED, "no memory for the request", NULL, 0);
}

static void ask_read(struct cws_server_call *call, const uint8_t *data, size_t len)
{
    ((struct asked *)cws_server_call_user(call))->is_read = true;
    ask(call, &coreweave__sandbox__v1__read_file_request__descriptor, data, len);
}

static void ask_write(struct cws_server_call *call, const uint8_t *data, size_t len)
{
    ask(call, &coreweave__sandbox__v1__write_file_request__descriptor, data, len);
}

static bool answer_bytes(struct asked *one, const uint8_t *bytes, size_t len)
{
    struct cws_block *block = cws_server_message_new(len);
    if (!block)
        return false;
    if (len)
        memcpy(block->data + CWS_FRAME_PREFIX, bytes, len);
    cws_server_call_send(one->call, block);
    return true;
}

static bool answer_content(struct asked *one, size_t len)
{
    Coreweave__Sandbox__V1__ReadFileResponse reply =
        COREWEAVE__SANDBOX__V1__READ_FILE_RESPONSE__INIT;
    reply.content.data = malloc(len + 1);
    reply.content.len = len;
    fill_pattern(reply.content.data, len, 0);
    size_t size = coreweave__sandbox__v1__read_file_response__get_packed_size(&reply);
    uint8_t *packed = malloc(size + 1);
    coreweave__sandbox__v1__read_file_response__pack(&reply, packed);
    bool answered = answer_bytes(one, packed, size);
    free(packed);
    free(reply.content.data);
    return answered;
}

static void ask_half_closed(struct cws_server_call *call)
{
    struct asked *one = cws_server_call_user(call);
    if (answer_at_once == SIZE_MAX || !one->request)
        return;
    if (one->is_read ? answer_content(one, answer_at_once) : answer_bytes(one, NULL, 0))
        cws_server_call_finish(call, CWS_GRPC_OK, NULL, NULL, 0);
    else
        cws_server_call_finish(call, CWS_GRPC_ABORTED, "no memory for the answer", NULL, 0);
}

static void ask_closed(struct cws_server_call *call, enum cws_grpc_code why)
{
    struct asked *one = cws_server_call_user(call);
    one->call = NULL;
    one->gone = true;
    one->why = why;
}

static const struct cws_server_method methods[] = {
    {CWS_GATEWAY_PATH "ReadFile", ask_start, ask_read, ask_half_closed, NULL, ask_closed, false,
     NULL},
    {CWS_GATEWAY_PATH "WriteFile", ask_start, ask_write, ask_half_closed, NULL, ask_closed, false,
     NULL},
};

static void answer_status(struct asked *one, enum cws_grpc_code code, const char *details)
{
    cws_server_call_finish(one->call, code, "because", (const uint8_t *)details, strlen(details));
}

/* ---- the bed -------------------------------------------------------------------------------- */

struct bed {
    struct exec_bed exec;
    struct cws_queue *queue;
};

static struct cws_loop *loop_of(struct bed *bed)
{
    return bed->exec.client.loop;
}

static void bed_init(struct bed *bed)
{
    struct cws_server_options options = {.methods = methods,
                                         .method_count = CWS_ARRAY_LEN(methods)};
    asked_count = 0;
    answer_at_once = SIZE_MAX;
    exec_bed_init_with(&bed->exec, &options, (struct cws_channel_options){0});
    bed->queue = cws_queue_new();
    assert_non_null(bed->queue);
}

static void bed_open(struct bed *bed)
{
    bed_init(bed);
    exec_bed_open_sandbox(&bed->exec);
}

static void bed_close(struct bed *bed)
{
    for (size_t i = 0; i < asked_count; i++)
        cws_proto_free(asked[i].request);
    cws_queue_unref(bed->queue);
    exec_bed_close(&bed->exec);
    for (size_t i = 0; i < asked_count; i++)
        assert_true(asked[i].gone);
}

static struct cws_file *start(struct bed *bed, struct cws_file_options options)
{
    struct cws_file *file = NULL;
    options.unfinished = bed->queue;
    if (!options.path)
        options.path = "/a/file";
    if (!options.container)
        options.container = "";
    assert_int_equal(cws_file_start(bed->exec.sandbox, &options, &file), CWS_OK);
    return file;
}

static struct cws_file *start_read(struct bed *bed)
{
    return start(bed, (struct cws_file_options){.timeout_s = -1});
}

static struct asked *wait_asked(struct bed *bed, size_t n)
{
    WAIT_FOR(loop_of(bed), asked_count > n && asked[n].request);
    return &asked[n];
}

static void wait_done(struct bed *bed, struct cws_file *file)
{
    WAIT_FOR(loop_of(bed), cws_future_is_done(&file->future));
}

static void end_as(struct bed *bed, struct cws_file *file, enum cws_file_end end, int code)
{
    wait_done(bed, file);
    assert_int_equal(file->end, end);
    assert_int_equal(file->status.code, code);
    cws_file_unref(file);
}

/* ---- reading -------------------------------------------------------------------------------- */

static void test_content_of_any_size(void **state)
{
    static const size_t lens[] = {0, 1, 127, 128, 1024, 20000, 300000, 5 << 20};
    struct bed *bed = *state;
    bed_open(bed);
    for (size_t i = 0; i < CWS_ARRAY_LEN(lens); i++) {
        struct cws_file *file = start(
            bed, (struct cws_file_options){.container = i % 2 ? "side" : "", .timeout_s = 60});
        struct asked *one = wait_asked(bed, i);
        const Coreweave__Sandbox__V1__ReadFileRequest *request = (const void *)one->request;
        assert_true(one->is_read);
        assert_string_equal(request->sandbox_id, SANDBOX_ID);
        assert_string_equal(request->path, "/a/file");
        assert_string_equal(request->container, i % 2 ? "side" : "");
        assert_true(answer_content(one, lens[i]));
        cws_server_call_finish(one->call, CWS_GRPC_OK, NULL, NULL, 0);
        wait_done(bed, file);
        assert_int_equal(file->end, CWS_FILE_DONE);
        assert_int_equal(cws_output_size(&file->content), lens[i]);
        uint8_t *copy = malloc(lens[i] + 1);
        cws_output_copy(&file->content, copy, lens[i]);
        assert_true(is_pattern(copy, lens[i]));
        free(copy);
        cws_file_unref(file);
    }
    cws_file_unref(NULL);
    bed_close(bed);
}

/* A field that is not known, in front of the content and behind it. */
static void test_a_reply_in_an_unusual_form(void **state)
{
    static const char reply[] = "\x78\x05\x0a\x03"
                                "abc"
                                "\x78\x06";
    struct bed *bed = *state;
    bed_open(bed);
    struct cws_file *file = start_read(bed);
    struct asked *one = wait_asked(bed, 0);
    assert_true(answer_bytes(one, (const uint8_t *)reply, sizeof(reply) - 1));
    cws_server_call_finish(one->call, CWS_GRPC_OK, NULL, NULL, 0);
    wait_done(bed, file);
    assert_int_equal(file->end, CWS_FILE_DONE);
    uint8_t copy[3];
    assert_int_equal(cws_output_size(&file->content), 3);
    cws_output_copy(&file->content, copy, 3);
    assert_memory_equal(copy, "abc", 3);
    cws_file_unref(file);
    bed_close(bed);
}

static void test_answers_that_are_none(void **state)
{
    struct bed *bed = *state;
    bed_open(bed);
    for (size_t i = 0; i < 8; i++) {
        bool is_write = i % 2;
        struct cws_file *file =
            start(bed, (struct cws_file_options){.is_write = is_write, .timeout_s = -1});
        struct asked *one = wait_asked(bed, i);
        size_t replies = i / 2 == 0 ? 0 : i / 2 == 1 ? 2 : 1;
        for (size_t n = 0; n < replies; n++)
            assert_true(answer_bytes(one, (const uint8_t *)"\x0a\x7fshort", i / 2 == 1 ? 0 : 7));
        if (i / 2 == 3) /* cut off inside of a message that came in pieces */
            assert_true(answer_content(one, 1 << 20));
        cws_server_call_finish(one->call, CWS_GRPC_OK, NULL, NULL, 0);
        end_as(bed, file, CWS_FILE_STATUS, CWS_GRPC_INTERNAL);
    }
    bed_close(bed);
}

/* ---- writing -------------------------------------------------------------------------------- */

static void test_content_is_sent_from_where_it_lies(void **state)
{
    static const size_t lens[] = {0,    1,      CWS_FILE_COPIED_MAX, CWS_FILE_COPIED_MAX + 1,
                                  1000, 3 << 20};
    struct bed *bed = *state;
    bed_open(bed);
    for (size_t i = 0; i < CWS_ARRAY_LEN(lens); i++) {
        uint8_t *content = malloc(lens[i] + 1);
        fill_pattern(content, lens[i], 0);
        struct cws_file *file = start(bed, (struct cws_file_options){.is_write = true,
                                                                     .container = "side",
                                                                     .content = content,
                                                                     .content_len = lens[i],
                                                                     .timeout_s = -1});
        if (lens[i] <= CWS_FILE_COPIED_MAX)
            memset(content, 'x', lens[i]); /* it was copied */
        struct asked *one = wait_asked(bed, i);
        const Coreweave__Sandbox__V1__WriteFileRequest *request = (const void *)one->request;
        assert_string_equal(request->sandbox_id, SANDBOX_ID);
        assert_string_equal(request->path, "/a/file");
        assert_string_equal(request->container, "side");
        assert_int_equal(request->content.len, lens[i]);
        assert_true(is_pattern(request->content.data, lens[i]));
        assert_true(answer_bytes(one, NULL, 0));
        cws_server_call_finish(one->call, CWS_GRPC_OK, NULL, NULL, 0);
        end_as(bed, file, CWS_FILE_DONE, CWS_GRPC_OK);
        free(content);
    }
    bed_close(bed);
}

/* ---- what is unfinished --------------------------------------------------------------------- */

struct failure {
    bool is_write;
    enum cws_grpc_code code;
    const char *details;
    bool is_unfinished;
};

static const struct failure failures[] = {
    {false, CWS_GRPC_NOT_FOUND, "", false},
    {false, CWS_GRPC_RESOURCE_EXHAUSTED, "", true},
    {true, CWS_GRPC_RESOURCE_EXHAUSTED, "", true},
    {false, CWS_GRPC_INTERNAL, "..CWSANDBOX_FILE_TOO_LARGE..", true},
    {true, CWS_GRPC_INVALID_ARGUMENT, "..CWSANDBOX_FILE_TOO_LARGE..", true},
    {false, CWS_GRPC_UNAVAILABLE, "", false},
    {false, CWS_GRPC_UNAVAILABLE, "..google.rpc.RetryInfo..", true},
    {true, CWS_GRPC_UNAVAILABLE, "..google.rpc.RetryInfo..", false},
    {false, CWS_GRPC_INTERNAL, "..google.rpc.RetryInfo..", false},
};

static void test_what_one_call_does_not_complete_is_queued(void **state)
{
    struct bed *bed = *state;
    bool is_unfinished = false;
    bed_open(bed);
    for (size_t i = 0; i < CWS_ARRAY_LEN(failures); i++) {
        const struct failure *failure = &failures[i];
        struct cws_file *file =
            start(bed, (struct cws_file_options){.is_write = failure->is_write, .timeout_s = 60});
        answer_status(wait_asked(bed, i), failure->code, failure->details);
        if (failure->is_unfinished) {
            struct cws_file *popped = NULL;
            WAIT_FOR(loop_of(bed),
                     (popped = cws_file_pop(bed->queue, &is_unfinished, NULL)) != NULL);
            assert_ptr_equal(popped, file);
            assert_true(is_unfinished);
            assert_false(cws_future_is_done(&file->future));
            assert_true(file->deadline_ns != CWS_NO_DEADLINE);
            cws_file_unref(popped); /* the queue's reference */
            cws_file_finish(file);
        }
        end_as(bed, file, CWS_FILE_STATUS, (int)failure->code);
        assert_null(cws_file_pop(bed->queue, &is_unfinished, NULL));
    }
    bed_close(bed);
}

static void note_notified(struct cws_observer *observer)
{
    observer->notify = NULL;
}

static void test_who_waits_for_the_queue_is_notified(void **state)
{
    struct bed *bed = *state;
    bool is_unfinished;
    struct cws_observer observer = {.notify = note_notified};
    bed_open(bed);
    cws_list_init(&observer.node);
    assert_null(cws_file_pop(bed->queue, &is_unfinished, &observer));
    struct cws_file *file = start_read(bed);
    answer_status(wait_asked(bed, 0), CWS_GRPC_RESOURCE_EXHAUSTED, "");
    WAIT_FOR(loop_of(bed), !observer.notify);
    struct cws_file *popped = cws_file_pop(bed->queue, &is_unfinished, NULL);
    assert_ptr_equal(popped, file);
    cws_file_unref(popped);
    cws_file_finish(file);
    end_as(bed, file, CWS_FILE_STATUS, CWS_GRPC_RESOURCE_EXHAUSTED);
    bed_close(bed);
}

/* Left before its call has ended, and then unfinished: it comes out twice. */
static void test_an_operation_that_is_left(void **state)
{
    struct bed *bed = *state;
    bool is_unfinished = true;
    bed_open(bed);
    struct cws_file *file = start_read(bed);
    struct asked *one = wait_asked(bed, 0);
    cws_file_leave(file);
    cws_file_leave(file); /* it is there already */
    struct cws_file *popped = cws_file_pop(bed->queue, &is_unfinished, NULL);
    assert_ptr_equal(popped, file);
    assert_false(is_unfinished);
    assert_null(cws_file_pop(bed->queue, &is_unfinished, NULL));
    cws_file_unref(popped);
    answer_status(one, CWS_GRPC_RESOURCE_EXHAUSTED, "");
    WAIT_FOR(loop_of(bed), (popped = cws_file_pop(bed->queue, &is_unfinished, NULL)) != NULL);
    assert_true(is_unfinished);
    cws_file_unref(popped);
    cws_file_finish(file);
    end_as(bed, file, CWS_FILE_STATUS, CWS_GRPC_RESOURCE_EXHAUSTED);
    bed_close(bed);
}

/* ---- other ends ----------------------------------------------------------------------------- */

static void test_cancelling(void **state)
{
    struct bed *bed = *state;
    bool is_unfinished;
    bed_open(bed);
    struct cws_file *under_way = start_read(bed);
    struct asked *one = wait_asked(bed, 0);
    assert_true(cws_file_cancel(under_way));
    assert_true(cws_file_cancel(under_way));
    end_as(bed, under_way, CWS_FILE_CANCELLED, CWS_GRPC_OK);
    WAIT_FOR(loop_of(bed), one->gone);
    assert_int_equal(one->why, CWS_GRPC_CANCELLED);
    struct cws_file *queued = start_read(bed);
    answer_status(wait_asked(bed, 1), CWS_GRPC_RESOURCE_EXHAUSTED, "");
    WAIT_FOR(loop_of(bed), !cws_list_is_empty(&bed->queue->nodes));
    assert_true(cws_file_cancel(queued));
    end_as(bed, queued, CWS_FILE_CANCELLED, CWS_GRPC_RESOURCE_EXHAUSTED);
    assert_null(cws_file_pop(bed->queue, &is_unfinished, NULL));
    struct cws_file *done = start_read(bed);
    answer_status(wait_asked(bed, 2), CWS_GRPC_NOT_FOUND, "");
    wait_done(bed, done);
    assert_false(cws_file_cancel(done));
    end_as(bed, done, CWS_FILE_STATUS, CWS_GRPC_NOT_FOUND);
    bed_close(bed);
}

static void test_the_sandbox_ends_it(void **state)
{
    struct bed *bed = *state;
    bed_init(bed);
    struct cws_file *not_open = start_read(bed);
    assert_int_equal(cws_sandbox_fail(bed->exec.sandbox), CWS_OK);
    end_as(bed, not_open, CWS_FILE_NOT_OPEN, CWS_GRPC_OK);
    exec_bed_open_sandbox(&bed->exec);
    struct cws_file *under_way = start_read(bed);
    wait_asked(bed, 0);
    assert_int_equal(cws_sandbox_close(bed->exec.sandbox), CWS_OK);
    end_as(bed, under_way, CWS_FILE_CLOSED, CWS_GRPC_OK);
    end_as(bed, start_read(bed), CWS_FILE_CLOSED, CWS_GRPC_OK);
    assert_int_equal(asked_count, 1);
    bed_close(bed);
}

static void test_the_time_is_up(void **state)
{
    struct bed *bed = *state;
    bed_open(bed);
    struct cws_file *file = start(bed, (struct cws_file_options){.timeout_s = 0.05});
    end_as(bed, file, CWS_FILE_STATUS, CWS_GRPC_DEADLINE_EXCEEDED);
    bed_close(bed);
}

static void test_no_memory(void **state)
{
    struct bed *bed = *state;
    struct cws_file *file = NULL;
    bed_open(bed);
    settle(loop_of(bed));
    const struct cws_file_options options = {
        .path = "/x", .container = "", .timeout_s = -1, .unfinished = bed->queue};
    cws_alloc_fail_at(1);
    assert_int_equal(cws_file_start(bed->exec.sandbox, &options, &file), CWS_NO_MEMORY);
    cws_alloc_fail_at(1);
    assert_null(cws_queue_new());
    bed_close(bed);
}

/* Whatever allocation fails, it ends: with the content, or with an error. */
static bool run_with_failing(struct bed *bed, bool is_write, size_t n)
{
    static uint8_t content[100000];
    struct cws_file *file = NULL, *popped;
    bool is_unfinished;
    bed_open(bed);
    answer_at_once = 300000;
    const struct cws_file_options options = {.is_write = is_write,
                                             .path = "/x",
                                             .container = "",
                                             .content = content,
                                             .content_len = is_write ? sizeof(content) : 0,
                                             .timeout_s = 30,
                                             .unfinished = bed->queue};
    cws_alloc_fail_at(n);
    if (cws_file_start(bed->exec.sandbox, &options, &file) == CWS_OK) {
        WAIT_FOR(loop_of(bed),
                 cws_future_is_done(&file->future) || !cws_list_is_empty(&bed->queue->nodes));
        while ((popped = cws_file_pop(bed->queue, &is_unfinished, NULL)) != NULL) {
            cws_file_finish(popped);
            cws_file_unref(popped);
        }
        wait_done(bed, file);
    }
    bool reached = failing_was_reached(n);
    if (file && file->end == CWS_FILE_DONE)
        assert_int_equal(cws_output_size(&file->content), is_write ? 0 : answer_at_once);
    else
        assert_true(reached);
    if (file)
        assert_int_not_equal(file->status.code, CWS_GRPC_DEADLINE_EXCEEDED);
    cws_file_unref(file);
    bed_close(bed);
    return reached;
}

static void test_each_allocation_may_fail(void **state)
{
    for (int is_write = 0; is_write < 2; is_write++) {
        size_t n = 1;
        while (run_with_failing(*state, is_write, n))
            n++;
        assert_true(n > 15);
    }
}

#define FILE_TEST(function) TEST_WITH(struct bed, function)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FILE_TEST(test_content_of_any_size),
        FILE_TEST(test_a_reply_in_an_unusual_form),
        FILE_TEST(test_answers_that_are_none),
        FILE_TEST(test_content_is_sent_from_where_it_lies),
        FILE_TEST(test_what_one_call_does_not_complete_is_queued),
        FILE_TEST(test_who_waits_for_the_queue_is_notified),
        FILE_TEST(test_an_operation_that_is_left),
        FILE_TEST(test_cancelling),
        FILE_TEST(test_the_sandbox_ends_it),
        FILE_TEST(test_the_time_is_up),
        FILE_TEST(test_no_memory),
        FILE_TEST(test_each_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
