/* cwsandboxd/wire: requests of hostile bytes, and responses. More of strings: test_fault.c. */
#include "support/unit.h"

#include "grpc/server.h"
#include "support/daemon_help.h"
#include "support/failing.h"

#define CREATE_REQUEST (&coreweave__sandbox__v1__create_sandbox_request__descriptor)
#define FRAME          (&coreweave__sandbox__v1__exec_stream_request__descriptor)

/* A create request with something in every kind of field. */
static size_t pack_request(uint8_t out_bytes[200])
{
    Coreweave__Sandbox__V1__Container__EnvironmentVariablesEntry variable =
        COREWEAVE__SANDBOX__V1__CONTAINER__ENVIRONMENT_VARIABLES_ENTRY__INIT;
    Coreweave__Sandbox__V1__Container__EnvironmentVariablesEntry *variables[] = {&variable};
    cwsd_pb_create_request request = COREWEAVE__SANDBOX__V1__CREATE_SANDBOX_REQUEST__INIT;
    cwsd_pb_sandbox sandbox = COREWEAVE__SANDBOX__V1__SANDBOX__INIT;
    cwsd_pb_file file = COREWEAVE__SANDBOX__V1__FILE_MOUNT__INIT;
    cwsd_pb_file *files[] = {&file};
    cwsd_pb_container container, *containers[1];
    char *tags[] = {(char *)"one", (char *)"two"};
    cwsd_pb_spec spec;
    plain_spec(&spec, &container, containers);
    spec.tags = tags;
    spec.n_tags = 2;
    spec.max_lifetime_seconds = 300;
    variable.key = (char *)"A";
    variable.value = (char *)"1";
    container.environment_variables = variables;
    container.n_environment_variables = 1;
    file.path = (char *)"/a";
    file.content = (ProtobufCBinaryData){4, (uint8_t *)"\0\xff\n\x80"};
    container.files = files;
    container.n_files = 1;
    sandbox.spec = &spec;
    request.sandbox = &sandbox;
    request.request_id = (char *)"again";
    assert_true(protobuf_c_message_get_packed_size(&request.base) <= 200);
    return protobuf_c_message_pack(&request.base, out_bytes);
}

/* Unpacks from a block of exactly its size. Whatever the bytes are: a message, or a client's
 * fault. */
static bool try_bytes(const ProtobufCMessageDescriptor *descriptor, const uint8_t *bytes,
                      size_t len)
{
    struct cwsd_fault fault = {.code = CWS_GRPC_OK};
    uint8_t *exact = test_malloc(len + !len);
    memcpy(exact, bytes, len);
    void *message = cwsd_wire_unpack(descriptor, exact, len, &fault);
    bool taken = message != NULL;
    test_free(exact);
    assert_int_equal(fault.code, taken ? CWS_GRPC_OK : CWS_GRPC_INVALID_ARGUMENT);
    if (!taken) {
        assert_string_equal(fault.reason, CWSD_REASON_INVALID_REQUEST);
        assert_true(fault.message[0] != '\0');
    }
    cwsd_wire_free(message);
    return taken;
}

static void test_requests_cut_anywhere(void **state)
{
    (void)state;
    uint8_t bytes[200];
    size_t len = pack_request(bytes);
    assert_true(try_bytes(CREATE_REQUEST, bytes, len));
    assert_true(try_bytes(CREATE_REQUEST, bytes, 0)); /* all fields at their defaults */
    size_t refused = 0;
    for (size_t cut = 1; cut < len; cut++)
        refused += !try_bytes(CREATE_REQUEST, bytes, cut);
    assert_true(refused >= len - 4); /* a cut between fields leaves a smaller request */
}

static void test_requests_with_a_changed_byte(void **state)
{
    (void)state;
    uint8_t bytes[200];
    size_t len = pack_request(bytes), refused = 0;
    for (size_t i = 0; i < len; i++) {
        uint8_t kept = bytes[i];
        for (unsigned value = 0; value < 256; value++) {
            bytes[i] = (uint8_t)value;
            refused += !try_bytes(CREATE_REQUEST, bytes, len);
        }
        bytes[i] = kept;
    }
    assert_true(refused > 0);
    assert_true(try_bytes(CREATE_REQUEST, bytes, len));
}

static void test_lengths_and_tags_that_lie(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t len;
    } rows[] = {
        {"\x0a", 1},                                              /* no length */
        {"\x0a\x80", 2},                                          /* half a length */
        {"\x0a\x7f", 2},                                          /* more than there is */
        {"\x0a\xff\xff\xff\xff\x0f", 6},                          /* 4 GiB */
        {"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11},     /* 2^64 - 1 */
        {"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 12}, /* a number without an end */
        {"\x00\x00", 2},                                          /* field 0 */
        {"\x0f\x00", 2},                                          /* no such kind of field */
        {"\xff\xff\xff\xff\xff\xff", 6},                          /* a tag without an end */
        {"\x08\x01", 2},                                          /* a number for a message */
    };
    for (size_t i = 0; i < CWS_ARRAY_LEN(rows); i++)
        if (try_bytes(FRAME, (const uint8_t *)rows[i].bytes, rows[i].len))
            fail_msg("row %zu was taken", i);
}

/* Groups, opened far deeper than the stack goes. */
static void test_a_million_groups(void **state)
{
    (void)state;
    enum { DEEP = 1 << 20 };
    uint8_t *bytes = test_malloc(DEEP);
    memset(bytes, 0x0b, DEEP);
    assert_false(try_bytes(FRAME, bytes, DEEP));
    test_free(bytes);
}

static void test_the_message_that_was_not_understood_is_named(void **state)
{
    (void)state;
    struct cwsd_fault fault = {.code = CWS_GRPC_OK};
    assert_null(cwsd_wire_unpack(FRAME, (const uint8_t *)"\x0a", 1, &fault));
    assert_non_null(strstr(fault.message, "coreweave.sandbox.v1.ExecStreamRequest"));
    assert_string_equal(fault.field, "");
}

static void test_each_allocation_may_fail(void **state)
{
    (void)state;
    uint8_t bytes[200];
    size_t len = pack_request(bytes), n = 1;
    for (;; n++) {
        struct cwsd_fault fault = {.code = CWS_GRPC_OK};
        cws_alloc_fail_at(n);
        void *message = cwsd_wire_unpack(CREATE_REQUEST, bytes, len, &fault);
        if (!failing_was_reached(n)) {
            assert_non_null(message);
            cwsd_wire_free(message);
            break;
        }
        assert_null(message);
        assert_int_equal(fault.code, CWS_GRPC_RESOURCE_EXHAUSTED);
    }
    assert_true(n > 10);
}

static void test_parts_are_taken_out_and_freed(void **state)
{
    (void)state;
    uint8_t bytes[200];
    struct cwsd_fault fault = {.code = CWS_GRPC_OK};
    size_t len = pack_request(bytes);
    cwsd_pb_create_request *request = cwsd_wire_unpack(CREATE_REQUEST, bytes, len, &fault);
    assert_non_null(request);
    cwsd_pb_spec *spec = request->sandbox->spec;
    request->sandbox->spec = NULL;
    cwsd_wire_free(request);
    ProtobufCBinaryData *content = &spec->containers[0]->files[0]->content;
    assert_int_equal(content->len, 4);
    assert_memory_equal(content->data, "\0\xff\n\x80", 4);
    cwsd_wire_free_bytes(content);
    assert_null(content->data);
    assert_int_equal(content->len, 0);
    cwsd_wire_free_bytes(content); /* there are none any more */
    assert_string_equal(spec->tags[1], "two");
    cwsd_wire_free(spec);
    cwsd_wire_free(NULL);
}

static void test_responses(void **state)
{
    (void)state;
    cwsd_pb_stream_response response = COREWEAVE__SANDBOX__V1__EXEC_STREAM_RESPONSE__INIT;
    struct cws_block *block = cwsd_wire_pack(&response); /* without a byte, and still a message */
    assert_non_null(block);
    assert_int_equal(block->len, CWS_FRAME_PREFIX);
    cws_block_settle(block, CWS_OK);

    cwsd_pb_delete_request request = COREWEAVE__SANDBOX__V1__DELETE_SANDBOX_REQUEST__INIT;
    request.sandbox_id = (char *)"sb-1";
    block = cwsd_wire_pack(&request);
    assert_non_null(block);
    assert_int_equal(block->len, CWS_FRAME_PREFIX + 6);
    assert_memory_equal(block->data + CWS_FRAME_PREFIX, "\x0a\x04sb-1", 6);
    cws_block_settle(block, CWS_OK);
    cws_alloc_fail_at(1);
    assert_null(cwsd_wire_pack(&request));
}

static const struct CMUnitTest tests[] = {
    UNIT_TEST(test_requests_cut_anywhere),
    UNIT_TEST(test_requests_with_a_changed_byte),
    UNIT_TEST(test_lengths_and_tags_that_lie),
    UNIT_TEST(test_a_million_groups),
    UNIT_TEST(test_the_message_that_was_not_understood_is_named),
    UNIT_TEST(test_each_allocation_may_fail),
    UNIT_TEST(test_parts_are_taken_out_and_freed),
    UNIT_TEST(test_responses),
};

UNIT_MAIN(tests)
