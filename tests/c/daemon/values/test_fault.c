/* cwsandboxd/text, fault, wire: text from outside, failures as status details, requests from
 * bytes. */
#include "support/daemon_help.h"

#include "proto/generated/error_details.pb-c.h"
#include "proto/generated/status.pb-c.h"
#include "values/text.h"

static bool is_utf8(const char *text)
{
    return cwsd_text_is_utf8((const uint8_t *)text, strlen(text));
}

static void utf8(void **state)
{
    (void)state;
    static const char *const fine[] = {"",
                                       "a",
                                       "\xc3\xa4",
                                       "\xe2\x82\xac",
                                       "\xf0\x9f\x98\x80",
                                       "\xed\x9f\xbf",
                                       "\xf4\x8f\xbf\xbf"};
    static const char *const wrong[] = {
        "\x80",         "\xc3",         "\xc0\x80",         "\xc1\xbf",         "\xe2\x82",
        "\xe0\x9f\xbf", "\xed\xa0\x80", "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80",
        "a\xff",        "\xe2\x28\xa1"};
    for (size_t i = 0; i < CWS_ARRAY_LEN(fine); i++)
        if (!is_utf8(fine[i]))
            fail_msg("fine %zu", i);
    for (size_t i = 0; i < CWS_ARRAY_LEN(wrong); i++)
        if (is_utf8(wrong[i]))
            fail_msg("wrong %zu", i);
}

static void cleaning(void **state)
{
    (void)state;
    char text[] = "a\xff\n\xc3\xa4\x7f\xe2\x82";
    cwsd_text_clean(text);
    assert_string_equal(text, "a??\xc3\xa4???");
}

static void shortening(void **state)
{
    (void)state;
    char text[201];
    assert_string_equal(cwsd_text_short("short\x01").text, "short?");
    memset(text, 'a', 200);
    text[200] = '\0';
    memcpy(text + 59, "\xe2\x82\xac", 3); /* where it is cut */
    struct cwsd_short_text cut = cwsd_text_short(text);
    assert_true(is_utf8(cut.text));
    assert_int_equal(strlen(cut.text), 59 + 3);
    assert_string_equal(cut.text + 59, "...");
    text[63] = '\0'; /* fits as it is */
    assert_string_equal(cwsd_text_short(text).text, text);
}

/* The status a fault packs to, and its details. */
struct unpacked {
    Google__Rpc__Status *status;
    Google__Rpc__ErrorInfo *info;
    Google__Rpc__BadRequest *bad_request; /* NULL: none */
};

static void unpack(const struct cwsd_fault *fault, struct unpacked *out)
{
    size_t len;
    uint8_t *bytes = cwsd_fault_pack(fault, &len);
    assert_non_null(bytes);
    memset(out, 0, sizeof(*out));
    out->status = google__rpc__status__unpack(NULL, len, bytes);
    cws_free(bytes);
    assert_non_null(out->status);
    assert_true(out->status->n_details >= 1);
    const Google__Protobuf__Any *first = out->status->details[0];
    assert_string_equal(first->type_url, "type.googleapis.com/google.rpc.ErrorInfo");
    out->info = google__rpc__error_info__unpack(NULL, first->value.len, first->value.data);
    assert_non_null(out->info);
    if (out->status->n_details == 1)
        return;
    const Google__Protobuf__Any *second = out->status->details[1];
    assert_string_equal(second->type_url, "type.googleapis.com/google.rpc.BadRequest");
    out->bad_request =
        google__rpc__bad_request__unpack(NULL, second->value.len, second->value.data);
    assert_non_null(out->bad_request);
}

static void unpacked_done(struct unpacked *unpacked)
{
    google__rpc__status__free_unpacked(unpacked->status, NULL);
    google__rpc__error_info__free_unpacked(unpacked->info, NULL);
    if (unpacked->bad_request)
        google__rpc__bad_request__free_unpacked(unpacked->bad_request, NULL);
}

static void details(void **state)
{
    (void)state;
    struct cwsd_fault fault;
    struct unpacked unpacked;
    cwsd_fault_set(&fault, CWS_GRPC_NOT_FOUND, CWSD_REASON_SANDBOX_NOT_FOUND, "no %s", "sandbox");
    cwsd_fault_note(&fault, "sandbox_id", "sb-1");
    unpack(&fault, &unpacked);
    assert_int_equal(unpacked.status->code, 5);
    assert_string_equal(unpacked.status->message, "no sandbox");
    assert_string_equal(unpacked.info->domain, "cwsandbox.com");
    assert_string_equal(unpacked.info->reason, "CWSANDBOX_SANDBOX_NOT_FOUND");
    assert_int_equal(unpacked.info->n_metadata, 1);
    assert_string_equal(unpacked.info->metadata[0]->key, "sandbox_id");
    assert_string_equal(unpacked.info->metadata[0]->value, "sb-1");
    assert_null(unpacked.bad_request);
    unpacked_done(&unpacked);

    cwsd_fault_set_invalid(&fault, "page_size", "%d is wrong", -1);
    unpack(&fault, &unpacked);
    assert_int_equal(unpacked.status->code, 3);
    assert_string_equal(unpacked.status->message, "page_size: -1 is wrong");
    assert_int_equal(unpacked.info->n_metadata, 0);
    assert_non_null(unpacked.bad_request);
    assert_int_equal(unpacked.bad_request->n_field_violations, 1);
    assert_string_equal(unpacked.bad_request->field_violations[0]->field, "page_size");
    unpacked_done(&unpacked);
}

/* After the others, with and without a field at fault. */
static void when_to_try_again(void **state)
{
    (void)state;
    for (int with_field = 0; with_field < 2; with_field++) {
        struct cwsd_fault fault;
        size_t len;
        if (with_field)
            cwsd_fault_set_invalid(&fault, "page_size", "is wrong");
        else
            cwsd_fault_set(&fault, CWS_GRPC_UNAVAILABLE, CWSD_REASON_OVERLOADED, "busy");
        cwsd_fault_retry(&fault, 7);
        uint8_t *bytes = cwsd_fault_pack(&fault, &len);
        Google__Rpc__Status *status = google__rpc__status__unpack(NULL, len, bytes);
        assert_non_null(status);
        assert_int_equal(status->n_details, with_field ? 3 : 2);
        const Google__Protobuf__Any *last = status->details[status->n_details - 1];
        assert_string_equal(last->type_url, "type.googleapis.com/google.rpc.RetryInfo");
        Google__Rpc__RetryInfo *info =
            google__rpc__retry_info__unpack(NULL, last->value.len, last->value.data);
        assert_int_equal(info->retry_delay->seconds, 7);
        google__rpc__retry_info__free_unpacked(info, NULL);
        google__rpc__status__free_unpacked(status, NULL);
        cws_free(bytes);
    }
}

static void texts_are_always_utf8(void **state)
{
    (void)state;
    struct cwsd_fault fault;
    struct unpacked unpacked;
    char longer[1000];
    for (size_t shift = 0; shift < 3; shift++) { /* the cut falls on each byte of a character */
        memset(longer, 'a', shift);
        for (size_t i = shift; i + 3 < sizeof(longer); i += 3)
            memcpy(longer + i, "\xe2\x82\xac", 4);
        cwsd_fault_set_invalid(&fault, longer, "%s", longer);
        cwsd_fault_note(&fault, "key", longer);
        cwsd_fault_note(&fault, "key", "\xff");
        cwsd_fault_note(&fault, "key", "the last one");
        cwsd_fault_note(&fault, "key", "one too many");
        assert_int_equal(fault.metadata_count, 3);
        assert_string_equal(fault.metadata[2].value, "the last one");
        unpack(&fault, &unpacked);
        assert_true(is_utf8(unpacked.status->message));
        assert_true(is_utf8(unpacked.info->metadata[0]->value));
        assert_true(is_utf8(unpacked.bad_request->field_violations[0]->field));
        unpacked_done(&unpacked);
    }
}

static void about_a_file(void **state)
{
    (void)state;
    static const char path[] = "/tmp/line\nbreak and \xe2\x82\xac";
    struct cwsd_fault fault;
    struct unpacked unpacked;
    cwsd_fault_set_file(&fault, CWS_GRPC_NOT_FOUND, CWSD_REASON_FILE_NOT_FOUND, path, "is %s",
                        "gone");
    cwsd_fault_note(&fault, "operation", "read_file");
    unpack(&fault, &unpacked);
    assert_string_equal(unpacked.status->message, "/tmp/line?break and \xe2\x82\xac: is gone");
    assert_int_equal(unpacked.info->n_metadata, 2);
    assert_string_equal(unpacked.info->metadata[0]->key, "operation");
    assert_string_equal(unpacked.info->metadata[1]->key, "filepath");
    assert_string_equal(unpacked.info->metadata[1]->value, path); /* as it was sent */
    assert_null(unpacked.bad_request);
    unpacked_done(&unpacked);

    char longest[CWSD_MAX_PATH_BYTES + 1], longer[CWSD_MAX_PATH_BYTES + 100];
    memset(longest, 'a', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = '\0';
    cwsd_fault_set_file(&fault, CWS_GRPC_NOT_FOUND, CWSD_REASON_FILE_NOT_FOUND, longest, "x");
    assert_string_equal(fault.filepath, longest);
    for (size_t i = 0; i + 4 < sizeof(longer); i += 3)
        memcpy(longer + i, "\xe2\x82\xac", 4);
    cwsd_fault_set_file(&fault, CWS_GRPC_NOT_FOUND, CWSD_REASON_FILE_NOT_FOUND, longer, "x");
    unpack(&fault, &unpacked);
    assert_true(is_utf8(unpacked.info->metadata[0]->value));
    unpacked_done(&unpacked);

    cwsd_fault_set_file(&fault, CWS_GRPC_NOT_FOUND, CWSD_REASON_FILE_NOT_FOUND, "", "x");
    unpack(&fault, &unpacked);
    assert_int_equal(unpacked.info->n_metadata, 1);
    assert_string_equal(unpacked.info->metadata[0]->value, "");
    unpacked_done(&unpacked);
}

static void packing_without_memory(void **state)
{
    (void)state;
    struct cwsd_fault fault;
    size_t len;
    cwsd_fault_set_invalid(&fault, "x", "y");
    for (size_t n = 1; n <= 3; n++) {
        cws_alloc_fail_at(n);
        assert_null(cwsd_fault_pack(&fault, &len));
    }
}

/* A GetSandboxRequest with these bytes as its id. */
static void *unpack_id(const char *id, size_t len, struct cwsd_fault *fault)
{
    uint8_t bytes[64] = {0x0a, (uint8_t)len};
    memcpy(bytes + 2, id, len);
    fault->code = CWS_GRPC_OK;
    return cwsd_wire_unpack(&coreweave__sandbox__v1__get_sandbox_request__descriptor, bytes,
                            len + 2, fault);
}

static void strings_of_requests(void **state)
{
    (void)state;
    struct cwsd_fault fault;
    cwsd_pb_get_request *request = unpack_id("sb-\xc3\xa4", 5, &fault);
    assert_non_null(request);
    assert_string_equal(request->sandbox_id, "sb-\xc3\xa4");
    cwsd_wire_free(request);
    request = unpack_id("", 0, &fault);
    assert_non_null(request);
    cwsd_wire_free(request);
    assert_null(unpack_id("sb\0x", 4, &fault));
    assert_invalid(&fault, "sandbox_id");
    assert_null(unpack_id("\xc3", 1, &fault));
    assert_invalid(&fault, "sandbox_id");
}

/* NULs hide everywhere: in lists, maps, submessages and members of a oneof. */
static void strings_deep_inside(void **state)
{
    (void)state;
    struct cwsd_fault fault = {.code = CWS_GRPC_OK};
    cwsd_pb_stream_request frame = COREWEAVE__SANDBOX__V1__EXEC_STREAM_REQUEST__INIT;
    cwsd_pb_stream_init init = COREWEAVE__SANDBOX__V1__EXEC_STREAM_INIT__INIT;
    Coreweave__Sandbox__V1__ExecStreamInit__EnvEntry entry =
        COREWEAVE__SANDBOX__V1__EXEC_STREAM_INIT__ENV_ENTRY__INIT;
    Coreweave__Sandbox__V1__ExecStreamInit__EnvEntry *entries[] = {&entry};
    char *command[] = {(char *)"cat", (char *)"file@name"};
    uint8_t bytes[100];
    frame.message_case = COREWEAVE__SANDBOX__V1__EXEC_STREAM_REQUEST__MESSAGE_INIT;
    frame.init = &init;
    init.n_command = 2;
    init.command = command;
    init.n_env = 1;
    init.env = entries;
    entry.key = (char *)"A";
    entry.value = (char *)"x";
    size_t len = protobuf_c_message_pack(&frame.base, bytes);
    cwsd_pb_stream_request *copy = cwsd_wire_unpack(frame.base.descriptor, bytes, len, &fault);
    assert_non_null(copy);
    cwsd_wire_free(copy);

    uint8_t *at = memchr(bytes, '@', len);
    *at = '\0';
    assert_null(cwsd_wire_unpack(frame.base.descriptor, bytes, len, &fault));
    assert_invalid(&fault, "command");
    *at = '@';
    at = memchr(bytes, 'x', len);
    *at = '\0';
    assert_null(cwsd_wire_unpack(frame.base.descriptor, bytes, len, &fault));
    assert_invalid(&fault, "value");

    /* stdin is bytes: anything goes */
    frame.message_case = COREWEAVE__SANDBOX__V1__EXEC_STREAM_REQUEST__MESSAGE_STDIN;
    frame.stdin.data = (uint8_t *)"\0\xff";
    frame.stdin.len = 2;
    len = protobuf_c_message_pack(&frame.base, bytes);
    copy = cwsd_wire_unpack(frame.base.descriptor, bytes, len, &fault);
    assert_non_null(copy);
    assert_int_equal(copy->stdin.len, 2);
    cwsd_wire_free(copy);
}

static void bytes_that_are_no_message(void **state)
{
    (void)state;
    struct cwsd_fault fault = {.code = CWS_GRPC_OK};
    assert_null(cwsd_wire_unpack(&coreweave__sandbox__v1__get_sandbox_request__descriptor,
                                 (const uint8_t *)"\x0a\x05x", 3, &fault));
    assert_int_equal(fault.code, CWS_GRPC_INVALID_ARGUMENT);
    assert_non_null(strstr(fault.message, "GetSandboxRequest"));
}

static void unpacking_without_memory(void **state)
{
    (void)state;
    struct cwsd_fault fault;
    cws_alloc_fail_at(1);
    assert_null(unpack_id("sb-1", 4, &fault));
    assert_int_equal(fault.code, CWS_GRPC_RESOURCE_EXHAUSTED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CWSD_TEST(utf8),
        CWSD_TEST(cleaning),
        CWSD_TEST(shortening),
        CWSD_TEST(details),
        CWSD_TEST(when_to_try_again),
        CWSD_TEST(texts_are_always_utf8),
        CWSD_TEST(about_a_file),
        CWSD_TEST(packing_without_memory),
        CWSD_TEST(strings_of_requests),
        CWSD_TEST(strings_deep_inside),
        CWSD_TEST(bytes_that_are_no_message),
        CWSD_TEST(unpacking_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
