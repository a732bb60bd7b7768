/* sandbox/exec_wire: what is written is read by the general decoder, and the other way round. */
#include "support/unit.h"

#include "grpc/call.h"
#include "proto/generated/sandbox.pb-c.h"
#include "proto/unpack.h"
#include "sandbox/exec_wire.h"
#include "sandbox/extensions.h"
#include "support/failing.h"

typedef Coreweave__Sandbox__V1__ExecStreamRequest Request;
typedef Coreweave__Sandbox__V1__ExecStreamResponse Response;
typedef Coreweave__Sandbox__V1__ExecStreamOutput Output;

/* A literal where a char * is asked for, which is only read. */
#define TEXT(literal) ((char *)(uintptr_t)(literal))

/* --- requests --- */

static Request *unpack_request(const struct cws_block *block)
{
    ProtobufCMessage *message = NULL;
    assert_non_null(block);
    assert_int_equal(cws_proto_unpack(&coreweave__sandbox__v1__exec_stream_request__descriptor,
                                      block->data + CWS_FRAME_PREFIX, block->len - CWS_FRAME_PREFIX,
                                      &message),
                     CWS_OK);
    return (Request *)message;
}

static void check_init(char **argv, size_t argc, const char *container, const char *id)
{
    uint8_t *init;
    size_t init_len;
    const struct cws_exec_wire_command command = {
        .argv = argv, .argc = argc, .container = container};
    assert_int_equal(cws_exec_wire_init(&command, &init, &init_len), CWS_OK);
    const struct cws_exec_wire_target target = {.sandbox_id = id, .extensions = ~0u};
    struct cws_block *block = cws_exec_wire_init_block(init, init_len, &target);
    Request *request = unpack_request(block);
    assert_int_equal(request->message_case,
                     COREWEAVE__SANDBOX__V1__EXEC_STREAM_REQUEST__MESSAGE_INIT);
    assert_string_equal(request->init->sandbox_id, id);
    assert_int_equal(request->init->n_command, argc);
    for (size_t i = 0; i < argc; i++)
        assert_string_equal(request->init->command[i], argv[i]);
    assert_string_equal(request->init->container, container ? container : "");
    assert_string_equal(request->init->cwd, "");
    assert_false(request->init->tty);
    cws_proto_free((ProtobufCMessage *)request);
    cws_block_settle(block, CWS_OK);
    cws_free(init);
}

static void test_init(void **state)
{
    (void)state;
    char *one[] = {TEXT("true")};
    char *several[] = {TEXT("sh"), TEXT("-c"), TEXT(""), TEXT("caf\xc3\xa9 'x'\n"), TEXT("--")};
    char *long_one = test_malloc(300001);
    memset(long_one, 'a', 300000);
    long_one[300000] = '\0';
    char *large[] = {TEXT("printf"), long_one, long_one};
    char id[301];
    memset(id, 'i', 300);
    id[300] = '\0';
    check_init(one, 1, NULL, "sb-1");
    check_init(one, 1, "", "");
    check_init(several, 5, "sidecar", "sb-1");
    check_init(large, 3, "c", id);
    check_init(NULL, 0, "", "sb-1");
    /* lengths whose length takes another byte */
    for (size_t len = 120; len < 132; len++) {
        id[len] = '\0';
        check_init(one, 1, "", id);
        id[len] = 'i';
    }
    test_free(long_one);
}

/* The words before argv that are sent for `cwd`, and the directory field. */
static void check_directory(const char *cwd, unsigned extensions, const char *field,
                            const char *const *before, size_t before_count)
{
    char *argv[] = {TEXT("printf"), TEXT(""), TEXT("a b")};
    uint8_t *init;
    size_t init_len;
    const struct cws_exec_wire_target target = {
        .sandbox_id = "sb-1", .cwd = cwd, .extensions = extensions};
    const struct cws_exec_wire_command command = {.argv = argv, .argc = 3, .container = "c"};
    assert_int_equal(cws_exec_wire_init(&command, &init, &init_len), CWS_OK);
    struct cws_block *block = cws_exec_wire_init_block(init, init_len, &target);
    Request *request = unpack_request(block);
    assert_string_equal(request->init->sandbox_id, "sb-1");
    assert_string_equal(request->init->cwd, field);
    assert_string_equal(request->init->container, "c");
    assert_int_equal(request->init->n_command, before_count + 3);
    for (size_t i = 0; i < before_count; i++)
        assert_string_equal(request->init->command[i], before[i]);
    for (size_t i = 0; i < 3; i++)
        assert_string_equal(request->init->command[before_count + i], argv[i]);
    cws_proto_free((ProtobufCMessage *)request);
    cws_block_settle(block, CWS_OK);
    cws_free(init);
}

static void test_directory(void **state)
{
    (void)state;
    char long_one[400];
    memset(long_one, '/', sizeof(long_one));
    for (size_t len = 1; len < sizeof(long_one); len++) {
        long_one[len] = '\0';
        const char *const shell[] = {"/bin/sh", "-c", "cd -- \"$1\" && shift && exec \"$@\"", "sh",
                                     long_one};
        check_directory(long_one, CWS_EXTENSION_CWD, long_one, NULL, 0);
        check_directory(long_one, ~CWS_EXTENSION_CWD, "", shell, CWS_ARRAY_LEN(shell));
        long_one[len] = '/';
    }
}

static void check_terminal(bool tty, struct cws_exec_size size, size_t len)
{
    char *argv[] = {TEXT("sh")};
    uint8_t *init;
    size_t init_len;
    const struct cws_exec_wire_command command = {
        .argv = argv, .argc = 1, .tty = tty, .size = size};
    assert_int_equal(cws_exec_wire_init(&command, &init, &init_len), CWS_OK);
    assert_int_equal(init_len, 4 + len);
    const struct cws_exec_wire_target target = {.sandbox_id = "sb-1"};
    struct cws_block *block = cws_exec_wire_init_block(init, init_len, &target);
    Request *request = unpack_request(block);
    assert_int_equal(request->init->tty, tty);
    assert_int_equal(request->init->tty_width, tty ? size.width : 0);
    assert_int_equal(request->init->tty_height, tty ? size.height : 0);
    cws_proto_free((ProtobufCMessage *)request);
    cws_block_settle(block, CWS_OK);
    cws_free(init);
}

static void test_terminal(void **state)
{
    (void)state;
    check_terminal(false, (struct cws_exec_size){80, 24}, 0);
    check_terminal(true, (struct cws_exec_size){0, 0}, 2);
    check_terminal(true, (struct cws_exec_size){80, 24}, 6);
    check_terminal(true, (struct cws_exec_size){0, 128}, 5);
    check_terminal(true, (struct cws_exec_size){65535, UINT32_MAX}, 12);
}

static void test_resize(void **state)
{
    (void)state;
    static const struct cws_exec_size sizes[] = {{80, 24}, {1, 1},     {0, 0},
                                                 {0, 7},   {127, 128}, {65535, UINT32_MAX}};
    for (size_t i = 0; i < CWS_ARRAY_LEN(sizes); i++) {
        struct cws_block *block = cws_exec_wire_resize_block(sizes[i]);
        Request *request = unpack_request(block);
        assert_int_equal(request->message_case,
                         COREWEAVE__SANDBOX__V1__EXEC_STREAM_REQUEST__MESSAGE_RESIZE);
        assert_int_equal(request->resize->width, sizes[i].width);
        assert_int_equal(request->resize->height, sizes[i].height);
        cws_proto_free((ProtobufCMessage *)request);
        cws_block_settle(block, CWS_OK);
    }
}

static void test_stdin(void **state)
{
    (void)state;
    static const size_t lens[] = {0, 1, 127, 128, 16383, 16384, CWS_EXEC_STDIN_MAX};
    uint8_t *bytes = test_malloc(CWS_EXEC_STDIN_MAX);
    for (size_t i = 0; i < CWS_EXEC_STDIN_MAX; i++)
        bytes[i] = (uint8_t)(i * 7 + (i >> 8));
    for (size_t i = 0; i < CWS_ARRAY_LEN(lens); i++) {
        struct cws_block *block = cws_exec_wire_stdin_block(bytes, lens[i]);
        Request *request = unpack_request(block);
        assert_int_equal(request->message_case,
                         COREWEAVE__SANDBOX__V1__EXEC_STREAM_REQUEST__MESSAGE_STDIN);
        assert_int_equal(request->stdin.len, lens[i]);
        if (lens[i])
            assert_memory_equal(request->stdin.data, bytes, lens[i]);
        cws_proto_free((ProtobufCMessage *)request);
        cws_block_settle(block, CWS_OK);
    }
    test_free(bytes);
}

static void test_init_with_variables(void **state)
{
    (void)state;
    char *argv[] = {TEXT("env")};
    char *long_one = test_malloc(100001);
    memset(long_one, 'v', 100000);
    long_one[100000] = '\0';
    const struct cws_exec_variable env[] = {{"A", "1"}, {"EMPTY", ""}, {"caf\xc3\xa9", long_one}};
    const struct cws_exec_wire_command command = {
        .argv = argv, .argc = 1, .container = "", .env = env, .env_count = 3};
    uint8_t *init;
    size_t init_len;
    assert_int_equal(cws_exec_wire_init(&command, &init, &init_len), CWS_OK);
    const struct cws_exec_wire_target target = {.sandbox_id = "id"};
    struct cws_block *block = cws_exec_wire_init_block(init, init_len, &target);
    Request *request = unpack_request(block);
    assert_string_equal(request->init->command[0], "env");
    assert_int_equal(request->init->n_env, 3);
    for (size_t i = 0; i < 3; i++) {
        assert_string_equal(request->init->env[i]->key, env[i].name);
        assert_string_equal(request->init->env[i]->value, env[i].value);
    }
    cws_proto_free((ProtobufCMessage *)request);
    cws_block_settle(block, CWS_OK);
    cws_free(init);
    test_free(long_one);
}

static void test_close(void **state)
{
    (void)state;
    struct cws_block *block = cws_exec_wire_close_block();
    Request *request = unpack_request(block);
    assert_int_equal(request->message_case,
                     COREWEAVE__SANDBOX__V1__EXEC_STREAM_REQUEST__MESSAGE_CLOSE);
    cws_proto_free((ProtobufCMessage *)request);
    cws_block_settle(block, CWS_OK);
}

static void test_requests_without_memory(void **state)
{
    (void)state;
    char *argv[] = {TEXT("true")};
    uint8_t *init;
    size_t len;
    cws_alloc_fail_at(1);
    const struct cws_exec_wire_command command = {.argv = argv, .argc = 1, .container = ""};
    assert_int_equal(cws_exec_wire_init(&command, &init, &len), CWS_NO_MEMORY);
    cws_alloc_fail_at(1);
    const struct cws_exec_wire_target target = {.sandbox_id = "id"};
    assert_null(cws_exec_wire_init_block((const uint8_t *)"", 0, &target));
    cws_alloc_fail_at(1);
    assert_null(cws_exec_wire_stdin_block((const uint8_t *)"x", 1));
    cws_alloc_fail_at(1);
    assert_null(cws_exec_wire_resize_block((struct cws_exec_size){80, 24}));
    cws_alloc_fail_at(1);
    assert_null(cws_exec_wire_close_block());
}

/* --- responses --- */

/* The frame of these bytes, given in a block of exactly their size. */
static enum cws_status parse(const void *bytes, size_t len, struct cws_exec_frame *frame,
                             uint8_t **out_copy)
{
    *out_copy = malloc(len ? len : 1);
    if (len)
        memcpy(*out_copy, bytes, len);
    return cws_exec_frame_parse(*out_copy, len, frame);
}

static void pack(const Response *response, uint8_t *to, size_t *len)
{
    *len = coreweave__sandbox__v1__exec_stream_response__pack(response, to);
}

/* What the first `len` bytes of a message say, given in a block of exactly their size. */
static bool begin(const uint8_t *bytes, size_t len, size_t message_len,
                  struct cws_exec_frame *frame, uint8_t **out_copy)
{
    *out_copy = malloc(len ? len : 1);
    memcpy(*out_copy, bytes, len);
    return cws_exec_frame_begin(*out_copy, len, message_len, frame);
}

/* Known from where the data begins on, not before, and with the data that are there. */
static void check_beginnings(const uint8_t *packed, size_t packed_len, size_t len,
                             enum cws_exec_frame_kind kind)
{
    for (size_t n = 0; n <= packed_len; n += n < 40 ? 1 : packed_len / 3 + 1) {
        struct cws_exec_frame frame;
        uint8_t *copy;
        bool known = begin(packed, n, packed_len, &frame, &copy);
        if (known != (n >= packed_len - len))
            fail_msg("%zu of %zu bytes with %zu of data: %d", n, packed_len, len, (int)known);
        if (known) {
            assert_int_equal(frame.kind, kind);
            assert_int_equal(frame.len, n - (packed_len - len));
            assert_ptr_equal(frame.data, copy + packed_len - len);
            assert_null(frame.unpacked);
        }
        free(copy);
        /* of a message that is longer, or shorter, than it says */
        assert_false(begin(packed, n, packed_len + 1, &frame, &copy));
        free(copy);
        if (n < packed_len) {
            assert_false(begin(packed, n, packed_len - 1, &frame, &copy));
            free(copy);
        }
    }
}

static void check_output(int stream, size_t len, enum cws_exec_frame_kind kind)
{
    uint8_t *data = test_malloc(len + 1), *packed = test_malloc(len + 40), *copy;
    for (size_t i = 0; i < len; i++)
        data[i] = (uint8_t)(i * 3 + len);
    Output output = COREWEAVE__SANDBOX__V1__EXEC_STREAM_OUTPUT__INIT;
    output.stream = stream;
    output.data.data = data;
    output.data.len = len;
    Response response = COREWEAVE__SANDBOX__V1__EXEC_STREAM_RESPONSE__INIT;
    response.message_case = COREWEAVE__SANDBOX__V1__EXEC_STREAM_RESPONSE__MESSAGE_OUTPUT;
    response.output = &output;
    size_t packed_len;
    pack(&response, packed, &packed_len);
    struct cws_exec_frame frame;
    assert_int_equal(parse(packed, packed_len, &frame, &copy), CWS_OK);
    assert_int_equal(frame.kind, kind);
    assert_int_equal(frame.len, len);
    if (len)
        assert_memory_equal(frame.data, data, len);
    cws_exec_frame_done(&frame);
    free(copy);
    /* No data at all are left out; a negative number of ten bytes is for the general decoder. */
    if (len > 0 && stream >= 0)
        check_beginnings(packed, packed_len, len, kind);
    test_free(data);
    test_free(packed);
}

static void test_output(void **state)
{
    (void)state;
    static const size_t lens[] = {0, 1, 100, 127, 128, 16383, 16384, 65536, 1 << 20, 3 << 20};
    for (size_t i = 0; i < CWS_ARRAY_LEN(lens); i++) {
        check_output(1, lens[i], CWS_EXEC_FRAME_STDOUT);
        check_output(2, lens[i], CWS_EXEC_FRAME_STDERR);
        check_output(0, lens[i], CWS_EXEC_FRAME_STDOUT); /* one that does not say */
        check_output(7, lens[i], CWS_EXEC_FRAME_STDOUT); /* a stream of the future */
        check_output(-1, lens[i], CWS_EXEC_FRAME_STDOUT);
    }
}

/* The same output in forms that no plain encoder writes, and their end cut off at each place. */
static void test_output_in_other_forms(void **state)
{
    (void)state;
    static const struct {
        const char bytes[24];
        size_t len;
        enum cws_exec_frame_kind kind;
    } rows[] = {
        /* plain, the other way round, with a longer varint than need be */
        {"\x12\x06\x08\x02\x12\x02hi", 8, CWS_EXEC_FRAME_STDERR},
        {"\x12\x06\x12\x02hi\x08\x02", 8, CWS_EXEC_FRAME_STDERR},
        {"\x12\x86\x00\x08\x02\x12\x02hi", 9, CWS_EXEC_FRAME_STDERR},
        /* the stream given twice: the last one counts */
        {"\x12\x08\x08\x01\x08\x02\x12\x02hi", 10, CWS_EXEC_FRAME_STDERR},
        /* fields of the future, inside and outside */
        {"\x12\x08\x08\x02\x12\x02hi\x18\x05", 10, CWS_EXEC_FRAME_STDERR},
        {"\x12\x06\x08\x02\x12\x02hi\x58\x01", 10, CWS_EXEC_FRAME_STDERR},
    };
    for (size_t i = 0; i < CWS_ARRAY_LEN(rows); i++) {
        struct cws_exec_frame frame;
        uint8_t *copy;
        assert_int_equal(parse(rows[i].bytes, rows[i].len, &frame, &copy), CWS_OK);
        assert_int_equal(frame.kind, rows[i].kind);
        assert_int_equal(frame.len, 2);
        assert_memory_equal(frame.data, "hi", 2);
        cws_exec_frame_done(&frame);
        free(copy);
        for (size_t len = 0; i > 0 && len < rows[i].len; len++) {
            /* may be taken for a beginning only where the data are last, and then rightly */
            if (!cws_exec_frame_begin((const uint8_t *)rows[i].bytes, len, rows[i].len, &frame))
                continue;
            assert_int_equal(frame.kind, rows[i].kind);
            assert_memory_equal(rows[i].bytes + rows[i].len - 2, "hi", 2);
        }
        for (size_t len = 0; len < rows[i].len; len++) {
            enum cws_status status = parse(rows[i].bytes, len, &frame, &copy);
            assert_true(status == CWS_OK || status == CWS_PROTOCOL);
            if (status == CWS_OK)
                cws_exec_frame_done(&frame);
            free(copy);
        }
    }
}

static void check_frame(const Response *response, enum cws_exec_frame_kind kind, int exit_code,
                        const char *message, const char *code)
{
    uint8_t packed[200], *copy;
    size_t len;
    struct cws_exec_frame frame;
    pack(response, packed, &len);
    assert_int_equal(parse(packed, len, &frame, &copy), CWS_OK);
    assert_int_equal(frame.kind, kind);
    if (kind == CWS_EXEC_FRAME_EXIT)
        assert_int_equal(frame.exit_code, exit_code);
    if (kind == CWS_EXEC_FRAME_ERROR) {
        assert_string_equal(frame.message, message);
        assert_string_equal(frame.code, code);
    }
    cws_exec_frame_done(&frame);
    free(copy);
}

static void test_other_frames(void **state)
{
    (void)state;
    Response response = COREWEAVE__SANDBOX__V1__EXEC_STREAM_RESPONSE__INIT;
    check_frame(&response, CWS_EXEC_FRAME_NONE, 0, NULL, NULL);
    Coreweave__Sandbox__V1__ExecStreamReady ready = COREWEAVE__SANDBOX__V1__EXEC_STREAM_READY__INIT;
    response.message_case = COREWEAVE__SANDBOX__V1__EXEC_STREAM_RESPONSE__MESSAGE_READY;
    response.ready = &ready;
    check_frame(&response, CWS_EXEC_FRAME_READY, 0, NULL, NULL);
    Coreweave__Sandbox__V1__ExecStreamExit end = COREWEAVE__SANDBOX__V1__EXEC_STREAM_EXIT__INIT;
    response.message_case = COREWEAVE__SANDBOX__V1__EXEC_STREAM_RESPONSE__MESSAGE_EXIT;
    response.exit = &end;
    static const int codes[] = {0, 1, 255, -1, INT32_MAX, INT32_MIN};
    for (size_t i = 0; i < CWS_ARRAY_LEN(codes); i++) {
        end.exit_code = codes[i];
        check_frame(&response, CWS_EXEC_FRAME_EXIT, codes[i], NULL, NULL);
    }
    Coreweave__Sandbox__V1__ExecStreamError error = COREWEAVE__SANDBOX__V1__EXEC_STREAM_ERROR__INIT;
    response.message_case = COREWEAVE__SANDBOX__V1__EXEC_STREAM_RESPONSE__MESSAGE_ERROR;
    response.error = &error;
    check_frame(&response, CWS_EXEC_FRAME_ERROR, 0, "", "");
    error.message = TEXT("it broke");
    error.code = TEXT("BROKEN");
    check_frame(&response, CWS_EXEC_FRAME_ERROR, 0, "it broke", "BROKEN");
}

static void test_frames_of_the_future_are_none(void **state)
{
    (void)state;
    static const char bytes[] = "\x4a\x03"
                                "abc";
    struct cws_exec_frame frame;
    uint8_t *copy;
    assert_int_equal(parse(bytes, 5, &frame, &copy), CWS_OK);
    assert_int_equal(frame.kind, CWS_EXEC_FRAME_NONE);
    cws_exec_frame_done(&frame);
    free(copy);
}

static void test_what_is_no_message(void **state)
{
    (void)state;
    static const struct {
        const char bytes[16];
        size_t len;
    } rows[] = {
        {"\xff", 1},
        {"\x12", 1},
        {"\x12\x05\x08", 3},
        {"\x12\x02\x12\x05", 4},
        {"\x1a\x01\x08", 3},
        {"not protobuf", 12},
        {"\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11},
    };
    for (size_t i = 0; i < CWS_ARRAY_LEN(rows); i++) {
        struct cws_exec_frame frame;
        uint8_t *copy;
        if (parse(rows[i].bytes, rows[i].len, &frame, &copy) != CWS_PROTOCOL)
            fail_msg("row %zu was taken", i);
        free(copy);
    }
}

static void test_responses_without_memory(void **state)
{
    (void)state;
    static const char error[] = "\x22\x06\x0a\x01"
                                "a\x12\x01"
                                "b";
    for (size_t n = 1;; n++) {
        struct cws_exec_frame frame;
        uint8_t *copy;
        cws_alloc_fail_at(n);
        enum cws_status status = parse(error, sizeof(error) - 1, &frame, &copy);
        bool reached = failing_was_reached(n);
        if (status == CWS_OK)
            cws_exec_frame_done(&frame);
        free(copy);
        if (!reached) {
            assert_true(n > 2);
            break;
        }
        assert_int_equal(status, CWS_NO_MEMORY);
    }
}

static const struct CMUnitTest tests[] = {
    UNIT_TEST(test_init),
    UNIT_TEST(test_init_with_variables),
    UNIT_TEST(test_directory),
    UNIT_TEST(test_terminal),
    UNIT_TEST(test_resize),
    UNIT_TEST(test_stdin),
    UNIT_TEST(test_close),
    UNIT_TEST(test_requests_without_memory),
    UNIT_TEST(test_output),
    UNIT_TEST(test_output_in_other_forms),
    UNIT_TEST(test_other_frames),
    UNIT_TEST(test_frames_of_the_future_are_none),
    UNIT_TEST(test_what_is_no_message),
    UNIT_TEST(test_responses_without_memory),
};

UNIT_MAIN(tests)
