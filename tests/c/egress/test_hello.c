/* cwsandbox-egress/hello: the name in the first message of TLS. */
#include "support/client_hello.h"

#include <stdlib.h>

static char found[CWSE_NAME_SIZE];

/* From memory of exactly this size, so that a read past its end is seen. */
static enum cwse_hello read_some(const struct making *made, size_t len)
{
    uint8_t *copy = malloc(len ? len : 1);
    assert_non_null(copy);
    memcpy(copy, made->bytes, len);
    enum cwse_hello result = cwse_hello_read(copy, len, found);
    free(copy);
    return result;
}

static enum cwse_hello read_all(struct making made)
{
    return read_some(&made, made.len);
}

static void named(void **state)
{
    (void)state;
    assert_int_equal(read_all(hello_for("Example.ORG", 16384)), CWSE_HELLO_NAMED);
    assert_string_equal(found, "example.org");
    assert_int_equal(read_all(hello_for("example.org.", 16384)), CWSE_HELLO_NAMED);
    assert_string_equal(found, "example.org");
}

static void in_many_records(void **state)
{
    (void)state;
    for (size_t piece = 1; piece < 20; piece++) {
        found[0] = '\0';
        assert_int_equal(read_all(hello_for("example.org", piece)), CWSE_HELLO_NAMED);
        assert_string_equal(found, "example.org");
    }
}

static void in_parts(void **state)
{
    (void)state;
    for (size_t piece = 3; piece < 300; piece += 96) {
        struct making made = hello_for("example.org", piece);
        for (size_t len = 0; len < made.len; len++)
            assert_int_equal(read_some(&made, len), CWSE_HELLO_PARTIAL);
    }
}

static void what_follows_does_not_count(void **state)
{
    struct making made = hello_for("example.org", 16384);
    (void)state;
    put(&made, "GET / HTTP/1.1\r\n", 16);
    assert_int_equal(read_all(made), CWSE_HELLO_NAMED);
}

static void nameless(void **state)
{
    struct making nothing = {.len = 0}, whole = message(NULL);
    struct making other = extension(0xfe0d, &nothing), without = message(&other);
    (void)state;
    assert_int_equal(read_all(records(&whole, 16384)), CWSE_HELLO_NAMELESS);
    assert_int_equal(read_all(records(&without, 16384)), CWSE_HELLO_NAMELESS);
}

static void foreign(void **state)
{
    struct making made = {.len = 0};
    (void)state;
    put(&made, "GET / HTTP/1.1\r\n\r\n", 18);
    assert_int_equal(read_some(&made, 1), CWSE_HELLO_FOREIGN);
    assert_int_equal(read_all(made), CWSE_HELLO_FOREIGN);
}

static enum cwse_hello read_extensions(const struct making *extensions)
{
    struct making whole = message(extensions);
    return read_all(records(&whole, 16384));
}

static void two_names(void **state)
{
    struct making both = name_list((const char *const[]){"a.org", "b.org", NULL});
    struct making one = name_list((const char *const[]){"a.org", NULL});
    struct making extensions = extension(0, &both), again = extension(0, &one);
    (void)state;
    assert_int_equal(read_extensions(&extensions), CWSE_HELLO_BROKEN);
    extensions = extension(0, &one);
    put(&extensions, again.bytes, again.len);
    assert_int_equal(read_extensions(&extensions), CWSE_HELLO_BROKEN);
}

static void no_host_names(void **state)
{
    static const char *const names[] = {"", "203.0.113.5", "::1", "a b", "*.example.org", "a..b"};
    (void)state;
    for (size_t i = 0; i < CWS_ARRAY_LEN(names); i++)
        assert_int_equal(read_all(hello_for(names[i], 16384)), CWSE_HELLO_BROKEN);
    struct making empty = {.bytes = {0, 0}, .len = 2}, extensions = extension(0, &empty);
    assert_int_equal(read_extensions(&extensions), CWSE_HELLO_BROKEN);
}

/* Every length in it too large by one: somewhere it must come out. */
static void lengths_that_lie(void **state)
{
    struct making made = hello_for("example.org", 16384);
    static const size_t lengths[] = {8, 43, 45, 48, 51, 55, 57, 60};
    (void)state;
    for (size_t i = 0; i < CWS_ARRAY_LEN(lengths); i++) {
        struct making lying = made;
        lying.bytes[lengths[i]]++;
        enum cwse_hello result = read_all(lying);
        assert_true(result == CWSE_HELLO_PARTIAL || result == CWSE_HELLO_BROKEN);
    }
}

static void broken_records(void **state)
{
    static const char *const starts[] = {"\x16\2\1\0\1\1", "\x16\3\1\0\0\1", "\x16\3\1\x40\1\1",
                                         "\x16\3\1\0\1\2"};
    (void)state;
    for (size_t i = 0; i < CWS_ARRAY_LEN(starts); i++) {
        struct making made = {.len = 0};
        put(&made, starts[i], 6);
        assert_int_equal(read_all(made), CWSE_HELLO_BROKEN);
    }
}

static void too_long(void **state)
{
    struct making padding = {.len = 14000}, extensions = extension(21, &padding);
    struct making list = name_list((const char *const[]){"example.org", NULL});
    struct making name = extension(0, &list);
    (void)state;
    put(&extensions, name.bytes, name.len);
    assert_int_equal(read_extensions(&extensions), CWSE_HELLO_NAMED);
    padding.len = 17000;
    extensions = extension(21, &padding);
    struct making whole = message(&extensions), made = records(&whole, 16000);
    assert_int_equal(read_some(&made, CWSE_MAX_HELLO - 1), CWSE_HELLO_PARTIAL);
    assert_int_equal(read_some(&made, CWSE_MAX_HELLO), CWSE_HELLO_BROKEN);
}

static const struct CMUnitTest tests[] = {
    UNIT_TEST(named),          UNIT_TEST(in_many_records),
    UNIT_TEST(in_parts),       UNIT_TEST(what_follows_does_not_count),
    UNIT_TEST(nameless),       UNIT_TEST(foreign),
    UNIT_TEST(two_names),      UNIT_TEST(no_host_names),
    UNIT_TEST(too_long),       UNIT_TEST(lengths_that_lie),
    UNIT_TEST(broken_records),
};

UNIT_MAIN(tests)
