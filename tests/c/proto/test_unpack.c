/* proto/registry, proto/field, proto/unpack: descriptors by name, and messages from hostile
 * bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "proto/field.h"
#include "proto/generated/all.pb-c.h"
#include "proto/registry.h"
#include "proto/unpack.h"

#define DESC(name)    (&coreweave__sandbox__v1__##name##__descriptor)
#define ADDRESS(name) &(name),

static const ProtobufCServiceDescriptor *const services[] = {CWS_PROTO_SERVICES(ADDRESS)};
static const ProtobufCMessageDescriptor *const messages[] = {CWS_PROTO_MESSAGES(ADDRESS)};

static int live_before(void **state)
{
    *state = (void *)cws_alloc_live(); /* NOLINT(performance-no-int-to-ptr): a number to remember */
    return 0;
}

static int nothing_leaked(void **state)
{
    cws_alloc_fail_at(0);
    return (size_t)*state == cws_alloc_live() ? 0 : -1;
}

static enum cws_status unpack(const ProtobufCMessageDescriptor *desc, const void *data, size_t len)
{
    /* A block of exactly this size: reading past its end is seen. */
    uint8_t *copy = cws_malloc(len == 0 ? 1 : len);
    assert_non_null(copy);
    memcpy(copy, data, len);
    ProtobufCMessage *msg;
    enum cws_status status = cws_proto_unpack(desc, copy, len, &msg);
    assert_int_equal(status == CWS_OK, msg != NULL);
    cws_proto_free(msg);
    cws_free(copy);
    return status;
}

static void every_method_is_found(void **state)
{
    (void)state;
    size_t count = 0;
    for (size_t i = 0; i < CWS_ARRAY_LEN(services); i++) {
        for (unsigned j = 0; j < services[i]->n_methods; j++) {
            const ProtobufCMethodDescriptor *method = &services[i]->methods[j];
            char name[CWS_PROTO_PATH_MAX];
            char expected[CWS_PROTO_PATH_MAX];
            char path[CWS_PROTO_PATH_MAX];
            snprintf(name, sizeof(name), "%s/%s?", services[i]->short_name, method->name);
            snprintf(expected, sizeof(expected), "/coreweave.sandbox.v1.%s/%s",
                     services[i]->short_name, method->name);
            assert_ptr_equal(cws_proto_method(name, strlen(name) - 1), method);
            assert_ptr_equal(cws_proto_method_path(name, strlen(name) - 1, path), method);
            assert_string_equal(path, expected);
            count++;
        }
    }
    assert_int_equal(count, 48);
}

static void a_method_has_its_messages(void **state)
{
    (void)state;
    static const char name[] = "SandboxService/StreamExec";
    const ProtobufCMethodDescriptor *method = cws_proto_method(name, strlen(name));
    assert_ptr_equal(method->input, DESC(exec_stream_request));
    assert_ptr_equal(method->output, DESC(exec_stream_response));
}

static void other_names_are_no_methods(void **state)
{
    (void)state;
    static const char *const names[] = {
        "",
        "/",
        "SandboxService",
        "SandboxService/",
        "/CreateSandbox",
        "SandboxService/createSandbox",
        "SandboxService/CreateSandbox/",
        "SandboxService/CreateSandboxe",
        "coreweave.sandbox.v1.SandboxService/CreateSandbox",
    };
    for (size_t i = 0; i < CWS_ARRAY_LEN(names); i++) {
        char path[CWS_PROTO_PATH_MAX] = "left";
        assert_null(cws_proto_method_path(names[i], strlen(names[i]), path));
        assert_string_equal(path, "");
    }
}

static void every_message_is_found(void **state)
{
    (void)state;
    for (size_t i = 0; i < CWS_ARRAY_LEN(messages); i++)
        assert_ptr_equal(cws_proto_message(messages[i]->name, strlen(messages[i]->name)),
                         messages[i]);
    assert_non_null(cws_proto_message("google.rpc.ErrorInfo!", 20));
    assert_null(cws_proto_message("google.rpc.ErrorInfo!", 21));
    assert_null(cws_proto_message("google.rpc.ErrorInf", 19));
    assert_null(cws_proto_message("", 0));
}

static void maps_are_told_from_lists(void **state)
{
    (void)state;
    size_t maps = 0;
    for (size_t i = 0; i < CWS_ARRAY_LEN(messages); i++) {
        for (unsigned j = 0; j < messages[i]->n_fields; j++) {
            const ProtobufCFieldDescriptor *field = &messages[i]->fields[j];
            bool map = cws_proto_is_map(messages[i], field);
            maps += map;
            if (map)
                assert_non_null(
                    strstr(((const ProtobufCMessageDescriptor *)field->descriptor)->name, "Entry"));
        }
    }
    assert_int_equal(maps, 16);
}

static void no_bytes_are_an_empty_message(void **state)
{
    (void)state;
    ProtobufCMessage *msg;
    assert_int_equal(cws_proto_unpack(DESC(sandbox), NULL, 0, &msg), CWS_OK);
    assert_string_equal(((Coreweave__Sandbox__V1__Sandbox *)msg)->sandbox_id, "");
    cws_proto_free(msg);
    cws_proto_free(NULL);
}

static void presence_is_kept(void **state)
{
    (void)state;
    ProtobufCMessage *msg;
    assert_int_equal(cws_proto_unpack(DESC(sandbox_status), (const uint8_t *)"\x48\0", 2, &msg),
                     CWS_OK);
    assert_int_equal(((Coreweave__Sandbox__V1__SandboxStatus *)msg)->_exit_code_case,
                     COREWEAVE__SANDBOX__V1__SANDBOX_STATUS___EXIT_CODE_EXIT_CODE);
    cws_proto_free(msg);
}

static void a_nul_does_not_cut_text(void **state)
{
    (void)state;
    static const uint8_t data[] = "\x0a\x04"
                                  "a\0b\0"
                                  "\x12\x01"
                                  "c";
    ProtobufCMessage *msg;
    assert_int_equal(cws_proto_unpack(DESC(exec_stream_error), data, sizeof(data) - 1, &msg),
                     CWS_OK);
    const Coreweave__Sandbox__V1__ExecStreamError *error = (void *)msg;
    assert_string_equal(error->message, "a\xff"
                                        "b\xff");
    assert_string_equal(error->code, "c");
    cws_proto_free(msg);
}

/* Wraps `depth` messages, ListValue and Value in turn, the outermost a ListValue; returns where
 * they start. */
static const uint8_t *nest(uint8_t *end, unsigned depth)
{
    uint8_t *at = end;
    for (unsigned level = depth - 1; level > 0; level--) {
        size_t size = (size_t)(end - at);
        uint8_t header[6];
        size_t len = 0;
        header[len++] = level % 2 == 1 ? 0x0a : 0x32;
        for (; size > 0x7f; size >>= 7)
            header[len++] = (uint8_t)(size | 0x80);
        header[len++] = (uint8_t)size;
        at -= len;
        memcpy(at, header, len);
    }
    return at;
}

static void nesting_is_limited(void **state)
{
    (void)state;
    static uint8_t room[1 << 20];
    const uint8_t *end = room + sizeof(room);
    const ProtobufCMessageDescriptor *desc = &google__protobuf__list_value__descriptor;
    const uint8_t *start = nest(room + sizeof(room), CWS_PROTO_MAX_DEPTH);
    assert_int_equal(unpack(desc, start, (size_t)(end - start)), CWS_OK);
    start = nest(room + sizeof(room), CWS_PROTO_MAX_DEPTH + 1);
    assert_int_equal(unpack(desc, start, (size_t)(end - start)), CWS_PROTOCOL);
    start = nest(room + sizeof(room), 200000);
    assert_int_equal(unpack(desc, start, (size_t)(end - start)), CWS_PROTOCOL);
}

static void a_submessage_over_and_over_is_refused(void **state)
{
    (void)state;
    static const uint8_t once[] = {0x12, 0x03, 0x42, 0x01, 'x'}; /* Sandbox.spec.tags = "x" */
    static uint8_t many[200 * sizeof(once)];
    for (size_t i = 0; i < sizeof(many); i += sizeof(once))
        memcpy(many + i, once, sizeof(once));
    assert_int_equal(unpack(DESC(sandbox), many, 2 * sizeof(once)), CWS_OK);
    assert_int_equal(unpack(DESC(sandbox), many, sizeof(many)), CWS_PROTOCOL);
}

static void broken_bytes_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *data;
        size_t len;
    } cases[] = {
        {"\x0a", 1}, /* no length */
        {"\x0a\x05"
         "abc",
         5},                                                      /* shorter than its length */
        {"\x0a\xff\xff\xff\xff\x7f", 6},                          /* a length of 34 bits */
        {"\x0a\x80\x80\x80\x80\x80\x01", 7},                      /* a length of six bytes */
        {"\x80\x80\x80\x80\x80\x01", 6},                          /* a tag of six bytes */
        {"\x08\x01", 2},                                          /* a number where text belongs */
        {"\x18\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 12}, /* a number of 11 bytes */
        {"\x19\0\0\0\0\0\0\0", 8},                                /* seven of eight bytes */
        {"\x1d\0\0\0", 4},                                        /* three of four bytes */
        {"\x1b\x1c", 2},                                          /* a group */
        {"\x00\x01", 2},                                          /* field 0 */
        {"\x80\x00\x01", 3},                                      /* field 0, written longer */
        {"\x1e", 1},                                              /* wire type 6 */
    };
    for (size_t i = 0; i < CWS_ARRAY_LEN(cases); i++)
        assert_int_equal(unpack(DESC(exec_stream_error), cases[i].data, cases[i].len),
                         CWS_PROTOCOL);
}

static void every_failed_allocation_is_told(void **state)
{
    (void)state;
    static const uint8_t data[] = "\x0a\x03"
                                  "a\0b"      /* sandbox_id */
                                  "\x12\x0c"  /* spec */
                                  "\x42\x01x" /* tags */
                                  "\x42\x01y" /* tags */
                                  "\x5a\x04\x0a\x02"
                                  "kk"               /* annotations */
                                  "\x12\x02\x0a\x00" /* spec once more, with a container */
                                  "\xfa\x01\x01?";   /* unknown */
    size_t failures = 0;
    enum cws_status status;
    do {
        ProtobufCMessage *msg;
        size_t live = cws_alloc_live();
        cws_alloc_fail_at(++failures);
        status = cws_proto_unpack(DESC(sandbox), data, sizeof(data) - 1, &msg);
        cws_alloc_fail_at(0);
        cws_proto_free(msg);
        assert_int_equal(cws_alloc_live(), live);
        assert_true(status == CWS_OK || status == CWS_NO_MEMORY);
    } while (status != CWS_OK);
    assert_true(failures > 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_method_is_found),
        cmocka_unit_test(a_method_has_its_messages),
        cmocka_unit_test(other_names_are_no_methods),
        cmocka_unit_test(every_message_is_found),
        cmocka_unit_test(maps_are_told_from_lists),
        cmocka_unit_test_setup_teardown(no_bytes_are_an_empty_message, live_before, nothing_leaked),
        cmocka_unit_test_setup_teardown(presence_is_kept, live_before, nothing_leaked),
        cmocka_unit_test_setup_teardown(a_nul_does_not_cut_text, live_before, nothing_leaked),
        cmocka_unit_test_setup_teardown(nesting_is_limited, live_before, nothing_leaked),
        cmocka_unit_test_setup_teardown(a_submessage_over_and_over_is_refused, live_before,
                                        nothing_leaked),
        cmocka_unit_test_setup_teardown(broken_bytes_are_refused, live_before, nothing_leaked),
        cmocka_unit_test_setup_teardown(every_failed_allocation_is_told, live_before,
                                        nothing_leaked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
