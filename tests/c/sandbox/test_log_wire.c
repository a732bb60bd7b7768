/* sandbox/log_wire: the entries that are read in place, and those that are not, say the same. */
#include "sandbox/log_wire.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "proto/generated/sandbox.pb-c.h"
#include "support/unit.h"

typedef Coreweave__Sandbox__V1__LogEntry log_entry;

static uint8_t packed[512];

static size_t pack(const log_entry *entry)
{
    size_t len = coreweave__sandbox__v1__log_entry__get_packed_size(entry);
    assert_true(len <= sizeof(packed));
    return coreweave__sandbox__v1__log_entry__pack(entry, packed);
}

static void assert_entry(const uint8_t *bytes, size_t len, bool is_plain, const char *data,
                         const char *session, uint64_t next_offset)
{
    struct cws_log_entry entry;
    assert_int_equal(cws_log_entry_parse(bytes, len, &entry), CWS_OK);
    assert_int_equal(entry.unpacked == NULL, is_plain);
    assert_int_equal(entry.len, strlen(data));
    if (entry.len)
        assert_memory_equal(entry.data, data, entry.len);
    assert_int_equal(entry.session_len, strlen(session));
    if (entry.session_len)
        assert_memory_equal(entry.session, session, entry.session_len);
    assert_true(entry.next_offset == next_offset);
    assert_null(entry.code);
    cws_log_entry_done(&entry);
}

static void test_entries(void **state)
{
    (void)state;
    log_entry entry = COREWEAVE__SANDBOX__V1__LOG_ENTRY__INIT;
    Google__Protobuf__Timestamp time = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
    static char data[] = "one\ntwo", session[] = "session-1";
    assert_entry(packed, 0, true, "", "", 0);
    entry.data = (ProtobufCBinaryData){.len = strlen(data), .data = (uint8_t *)data};
    assert_entry(packed, pack(&entry), true, data, "", 0);
    entry.log_session_id = session;
    entry.next_log_offset = UINT64_MAX;
    time.seconds = -1;
    entry.timestamp = &time;
    assert_entry(packed, pack(&entry), true, data, session, UINT64_MAX);
    size_t len = pack(&entry);
    memcpy(packed + len, "\x78\x01", 2); /* a field of a newer service */
    assert_entry(packed, len + 2, false, data, session, UINT64_MAX);
    memcpy(packed, "\x1a\x01\x61\x1a\x01\x62\x20\x01\x20\x02", 10); /* the last one counts */
    assert_entry(packed, 10, true, "", "b", 2);
}

static void test_errors(void **state)
{
    (void)state;
    log_entry entry = COREWEAVE__SANDBOX__V1__LOG_ENTRY__INIT;
    Coreweave__Sandbox__V1__LogStreamError error = COREWEAVE__SANDBOX__V1__LOG_STREAM_ERROR__INIT;
    static char code[] = "CODE", message[] = "in words";
    struct cws_log_entry parsed;
    entry.error = &error;
    assert_entry(packed, pack(&entry), false, "", "", 0); /* one without a code is none */
    error.message = message;
    assert_entry(packed, pack(&entry), false, "", "", 0);
    error.code = code;
    assert_int_equal(cws_log_entry_parse(packed, pack(&entry), &parsed), CWS_OK);
    assert_string_equal(parsed.code, code);
    assert_string_equal(parsed.message, message);
    cws_log_entry_done(&parsed);
}

/* Every beginning of an entry is an entry, or refused; none is read beyond its end. */
static void test_cut_anywhere(void **state)
{
    (void)state;
    size_t live = cws_alloc_live();
    log_entry entry = COREWEAVE__SANDBOX__V1__LOG_ENTRY__INIT;
    Google__Protobuf__Timestamp time = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
    static char data[] = "data", session[] = "session";
    time.seconds = 1 << 30;
    entry.data = (ProtobufCBinaryData){.len = 4, .data = (uint8_t *)data};
    entry.timestamp = &time;
    entry.log_session_id = session;
    entry.next_log_offset = 1 << 20;
    size_t len = pack(&entry);
    for (size_t n = 0; n <= len; n++) {
        uint8_t *copy = malloc(n + 1); /* so that a sanitizer sees its end */
        struct cws_log_entry parsed;
        memcpy(copy, packed, n);
        enum cws_status status = cws_log_entry_parse(copy, n, &parsed);
        assert_true(status == CWS_OK || status == CWS_PROTOCOL);
        if (status == CWS_OK)
            cws_log_entry_done(&parsed);
        free(copy);
    }
    assert_int_equal(cws_alloc_live(), live);
}

static void test_details_that_say_nothing(void **state)
{
    (void)state;
    static const char *const cases[] = {"", "\xff\xff\xff", "\x1a\x02\x0a\x00",
                                        "\x1a\x05\x0a\x03x/y"};
    for (size_t i = 0; i < CWS_ARRAY_LEN(cases); i++) {
        struct cws_grpc_status status;
        cws_grpc_status_init(&status);
        assert_int_equal(
            cws_grpc_status_add_details(&status, (const uint8_t *)cases[i], strlen(cases[i])),
            CWS_OK);
        struct cws_log_advice advice = cws_log_wire_advice(&status);
        assert_false(advice.is_final);
        assert_int_equal(advice.delay_ns, 0);
        cws_grpc_status_done(&status);
    }
}

static const struct CMUnitTest tests[] = {
    UNIT_TEST(test_entries),
    UNIT_TEST(test_errors),
    UNIT_TEST(test_cut_anywhere),
    UNIT_TEST(test_details_that_say_nothing),
};

UNIT_MAIN(tests)
