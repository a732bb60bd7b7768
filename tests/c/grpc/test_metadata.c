/* grpc/metadata: which fields are taken, and how they are kept. */
#include "support/unit.h"

#include "grpc/metadata.h"

static enum cws_status add(struct cws_metadata *metadata, const char *name, const char *value,
                           struct cws_error *err)
{
    return cws_metadata_add(metadata, name, strlen(name), value, strlen(value), err);
}

static void test_fields_are_kept_in_order(void **state)
{
    (void)state;
    struct cws_metadata metadata;
    cws_metadata_init(&metadata);
    assert_int_equal(add(&metadata, "authorization", "Bearer abc", NULL), CWS_OK);
    assert_int_equal(add(&metadata, "X-Trace.Id_9", "1", NULL), CWS_OK);
    assert_int_equal(add(&metadata, "x-trace.id_9", "2", NULL), CWS_OK);
    assert_int_equal(add(&metadata, "empty", "", NULL), CWS_OK);
    assert_int_equal(metadata.count, 4);
    assert_string_equal(metadata.fields[1].name, "x-trace.id_9"); /* lower case on the wire */
    assert_int_equal(metadata.fields[1].name_len, strlen("x-trace.id_9"));
    assert_string_equal(metadata.fields[0].value, "Bearer abc");
    assert_int_equal(metadata.fields[0].value_len, strlen("Bearer abc"));
    assert_string_equal(metadata.fields[1].value, "1");
    assert_string_equal(metadata.fields[2].value, "2");
    assert_string_equal(metadata.fields[3].value, "");
    cws_metadata_done(&metadata);
    assert_int_equal(metadata.count, 0);
}

static void test_binary_values_are_encoded(void **state)
{
    (void)state;
    struct cws_metadata metadata;
    cws_metadata_init(&metadata);
    assert_int_equal(cws_metadata_add(&metadata, "Trace-BIN", 9, "\0\xff\n", 3, NULL), CWS_OK);
    assert_string_equal(metadata.fields[0].name, "trace-bin");
    assert_string_equal(metadata.fields[0].value, "AP8K");
    assert_int_equal(metadata.fields[0].value_len, 4);
    assert_int_equal(cws_metadata_add(&metadata, "a-bin", 5, "A", 1, NULL), CWS_OK);
    assert_string_equal(metadata.fields[1].value, "QQ"); /* unpadded */
    assert_int_equal(cws_metadata_add(&metadata, "b-bin", 5, NULL, 0, NULL), CWS_OK);
    assert_string_equal(metadata.fields[2].value, "");
    cws_metadata_done(&metadata);
}

static void assert_refused(const char *name, size_t name_len, const char *value, size_t value_len,
                           const char *says)
{
    struct cws_metadata metadata;
    struct cws_error err = {0};
    cws_metadata_init(&metadata);
    if (cws_metadata_add(&metadata, name, name_len, value, value_len, &err) != CWS_INVALID)
        fail_msg("'%s: %s' was taken", name, value);
    assert_int_equal(err.status, CWS_INVALID);
    if (!strstr(err.text, says))
        fail_msg("'%s' does not say '%s'", err.text, says);
    assert_int_equal(metadata.count, 0);
    cws_metadata_done(&metadata);
}

static void test_names_that_are_refused(void **state)
{
    (void)state;
    static const char *const spelt[] = {":path",       "a b", "a:b", "a\n",
                                        "caf\xc3\xa9", "a/b", "a@b", "x\x7f"};
    static const char *const reserved[] = {
        "te",           "content-type",     "Content-Type",      "content-length", "connection",
        "keep-alive",   "proxy-connection", "transfer-encoding", "upgrade",        "host",
        "grpc-timeout", "GRPC-Status",      "grpc-x-bin",
    };
    assert_refused("", 0, "v", 1, "must not be empty");
    assert_refused("a\0b", 3, "v", 1, "may only have");
    assert_refused("te\0", 3, "v", 1, "may only have");
    for (size_t i = 0; i < CWS_ARRAY_LEN(spelt); i++)
        assert_refused(spelt[i], strlen(spelt[i]), "v", 1, "may only have");
    for (size_t i = 0; i < CWS_ARRAY_LEN(reserved); i++)
        assert_refused(reserved[i], strlen(reserved[i]), "v", 1, "is reserved");
}

static void test_names_that_only_look_reserved(void **state)
{
    (void)state;
    static const char *const names[] = {"tea",   "grpc",          "grpcx", "x-grpc-timeout",
                                        "hosts", "content-types", "-bin"};
    struct cws_metadata metadata;
    cws_metadata_init(&metadata);
    for (size_t i = 0; i < CWS_ARRAY_LEN(names); i++)
        assert_int_equal(add(&metadata, names[i], "v", NULL), CWS_OK);
    cws_metadata_done(&metadata);
}

static void test_values_that_are_refused(void **state)
{
    (void)state;
    assert_refused("x-key", 5, "a\nb", 3, "byte 1 is 0x0a");
    assert_refused("x-key", 5, "a\0b", 3, "byte 1 is 0x00");
    assert_refused("x-key", 5, "\x7f", 1, "byte 0 is 0x7f");
    assert_refused("x-key", 5, "caf\xc3\xa9", 5, "byte 3 is 0xc3");
    assert_refused("x-key", 5, "a\tb", 3, "byte 1 is 0x09");
    /* HTTP/2 peers drop such a field without a word. */
    assert_refused("x-key", 5, " a", 2, "begin or end with a space");
    assert_refused("x-key", 5, "a ", 2, "begin or end with a space");
    assert_refused("x-key", 5, " ", 1, "begin or end with a space");
}

/* The value may be a secret. */
static void test_errors_do_not_tell_the_value(void **state)
{
    (void)state;
    struct cws_metadata metadata;
    struct cws_error err = {0};
    cws_metadata_init(&metadata);
    assert_int_equal(add(&metadata, "authorization", "Bearer s3cret\n", &err), CWS_INVALID);
    assert_non_null(strstr(err.text, "authorization"));
    assert_null(strstr(err.text, "s3cret"));
    cws_metadata_done(&metadata);
}

static void test_long_names_do_not_overflow_the_error(void **state)
{
    (void)state;
    char name[1000];
    memset(name, 'n', sizeof(name));
    name[999] = '!';
    assert_refused(name, sizeof(name), "v", 1, "may only have");
}

static void test_no_more_fields_than_the_limit(void **state)
{
    (void)state;
    struct cws_metadata metadata;
    struct cws_error err = {0};
    cws_metadata_init(&metadata);
    for (int i = 0; i < CWS_METADATA_MAX_FIELDS; i++)
        assert_int_equal(add(&metadata, "x", "1", &err), CWS_OK);
    assert_int_equal(add(&metadata, "one-more", "1", &err), CWS_INVALID);
    assert_string_equal(err.text, "metadata 'one-more' is one too many: there may be 100");
    assert_int_equal(metadata.count, CWS_METADATA_MAX_FIELDS);
    cws_metadata_done(&metadata);
}

static void test_no_more_bytes_than_the_limit(void **state)
{
    (void)state;
    struct cws_metadata metadata;
    struct cws_error err = {0};
    char *value = test_malloc(CWS_METADATA_MAX_SIZE);
    size_t most = CWS_METADATA_MAX_SIZE - (1 + 1 + 32) - (5 + 32);
    memset(value, 'v', CWS_METADATA_MAX_SIZE);
    cws_metadata_init(&metadata);
    assert_int_equal(add(&metadata, "a", "1", NULL), CWS_OK);
    assert_int_equal(cws_metadata_add(&metadata, "large", 5, value, most + 1, &err), CWS_INVALID);
    assert_string_equal(err.text, "metadata 'large' makes all of it larger than 32768 bytes");
    assert_int_equal(cws_metadata_add(&metadata, "large", 5, value, most, &err), CWS_OK);
    assert_int_equal(add(&metadata, "b", "", &err), CWS_INVALID);
    assert_int_equal(metadata.count, 2);
    cws_metadata_done(&metadata);
    test_free(value);
}

static void test_failed_memory_leaves_it_as_it_was(void **state)
{
    (void)state;
    struct cws_metadata metadata;
    cws_metadata_init(&metadata);
    assert_int_equal(add(&metadata, "first", "1", NULL), CWS_OK);
    for (int binary = 0; binary < 2; binary++) {
        const char *name = binary ? "second-bin" : "second";
        for (size_t n = 1; n <= 3; n++) {
            struct cws_error err = {0};
            cws_alloc_fail_at(n);
            assert_int_equal(add(&metadata, name, "2", &err), CWS_NO_MEMORY);
            assert_int_equal(err.status, CWS_NO_MEMORY);
            assert_int_equal(metadata.count, 1);
            assert_string_equal(metadata.fields[0].name, "first");
            assert_string_equal(metadata.fields[0].value, "1");
        }
        cws_alloc_fail_at(0);
    }
    cws_metadata_done(&metadata);
}

static const struct CMUnitTest tests[] = {
    UNIT_TEST(test_fields_are_kept_in_order),
    UNIT_TEST(test_binary_values_are_encoded),
    UNIT_TEST(test_names_that_are_refused),
    UNIT_TEST(test_names_that_only_look_reserved),
    UNIT_TEST(test_values_that_are_refused),
    UNIT_TEST(test_errors_do_not_tell_the_value),
    UNIT_TEST(test_long_names_do_not_overflow_the_error),
    UNIT_TEST(test_no_more_fields_than_the_limit),
    UNIT_TEST(test_no_more_bytes_than_the_limit),
    UNIT_TEST(test_failed_memory_leaves_it_as_it_was),
};

UNIT_MAIN(tests)
