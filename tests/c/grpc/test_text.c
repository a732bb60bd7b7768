/* grpc/text: timeouts, base64 and percent-encoding, well-formed and not. */
#include "support/unit.h"

#include "base/clock.h"
#include "grpc/metadata.h"

#define MINUTE_NS (60 * CWS_NS_PER_S)
#define HOUR_NS   (3600 * CWS_NS_PER_S)

/* --- timeouts --- */

static void test_timeouts_are_written_short_and_rounded_up(void **state)
{
    (void)state;
    static const struct {
        uint64_t ns;
        const char *text;
    } rows[] = {
        {0, "1m"},
        {1, "1m"},
        {CWS_NS_PER_MS, "1m"},
        {CWS_NS_PER_MS + 1, "2m"},
        {1234 * CWS_NS_PER_MS, "1234m"},
        {99999999 * CWS_NS_PER_MS, "99999999m"},
        {99999999 * CWS_NS_PER_MS + 1, "100000S"},
        {100000 * CWS_NS_PER_S + 1, "100001S"},
        {99999999 * CWS_NS_PER_S, "99999999S"},
        {99999999 * CWS_NS_PER_S + 1, "1666667M"},
        {99999999 * MINUTE_NS, "99999999M"},
        {99999999 * MINUTE_NS + 1, "1666667H"},
        {UINT64_MAX, "5124096H"},
    };
    for (size_t i = 0; i < CWS_ARRAY_LEN(rows); i++) {
        char out[16];
        memset(out, '?', sizeof(out));
        cws_timeout_format(rows[i].ns, out);
        assert_string_equal(out, rows[i].text);
    }
}

static void test_timeouts_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t ns;
    } rows[] = {
        {"1n", 1},
        {"1u", 1000},
        {"1m", CWS_NS_PER_MS},
        {"1S", CWS_NS_PER_S},
        {"1M", MINUTE_NS},
        {"1H", HOUR_NS},
        {"0m", 0},
        {"00000012S", 12 * CWS_NS_PER_S},
        {"99999999n", 99999999},
        {"99999999M", 99999999 * MINUTE_NS},
        {"5124095H", 5124095 * HOUR_NS},
        {"99999999H", UINT64_MAX}, /* more than can be counted: for ever */
    };
    for (size_t i = 0; i < CWS_ARRAY_LEN(rows); i++) {
        uint64_t ns = 77;
        assert_true(cws_timeout_parse(rows[i].text, &ns));
        assert_true(ns == rows[i].ns);
    }
}

static void test_malformed_timeouts_are_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {"",     "S",          "1",   "1s",  "1h",   "1 S",
                                        " 1S",  "1S ",        "-1S", "+1S", "1.5S", "1SS",
                                        "0x1S", "123456789S", "1mS", "1\n", "m1"};
    for (size_t i = 0; i < CWS_ARRAY_LEN(texts); i++) {
        uint64_t ns = 77;
        if (cws_timeout_parse(texts[i], &ns))
            fail_msg("'%s' was taken for a timeout", texts[i]);
        assert_true(ns == 77);
    }
}

static void test_what_is_written_is_read_as_no_less(void **state)
{
    (void)state;
    for (uint64_t ns = 1; ns < UINT64_MAX / 3; ns = ns * 3 + 1) {
        char text[16];
        uint64_t back;
        cws_timeout_format(ns, text);
        assert_true(cws_timeout_parse(text, &back));
        assert_true(back >= ns);
        assert_true(back - ns <= CWS_NS_PER_MS || back - ns <= ns / 1000); /* and hardly more */
    }
}

/* --- base64 --- */

static void assert_decodes(const char *text, const char *bytes, size_t len)
{
    struct cws_buf out;
    cws_buf_init(&out, 1000);
    assert_int_equal(cws_buf_append(&out, "<", 1), CWS_OK); /* it is appended to what is there */
    enum cws_status status = cws_base64_decode(text, strlen(text), &out);
    if (status != CWS_OK)
        fail_msg("'%s' was refused", text);
    assert_int_equal(out.len, len + 1);
    assert_memory_equal(cws_buf_bytes(&out) + 1, bytes, len);
    cws_buf_done(&out);
}

static void test_base64_is_decoded(void **state)
{
    (void)state;
    assert_decodes("", "", 0);
    assert_decodes("QQ==", "A", 1);
    assert_decodes("QQ", "A", 1);
    assert_decodes("QUI=", "AB", 2);
    assert_decodes("QUI", "AB", 2);
    assert_decodes("QUJD", "ABC", 3);
    assert_decodes("QUJDRA", "ABCD", 4);
    assert_decodes("AAAA", "\0\0\0", 3);
    assert_decodes("+/+/", "\xfb\xff\xbf", 3);
    assert_decodes("-_-_", "\xfb\xff\xbf", 3);
    assert_decodes("+_-/", "\xfb\xff\xbf", 3);
}

static void test_malformed_base64_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "A",    "QUJDR",  "=",    "==",    "====", "A===",  "Q=UI",   "QU\nI", "QU I",
        "QUI,", "Q\x80I", "QUI.", "QUI==", "QQ=",  "QUJD=", "QUJD==", "=QUI",
    };
    for (size_t i = 0; i < CWS_ARRAY_LEN(texts); i++) {
        struct cws_buf out;
        cws_buf_init(&out, 1000);
        if (cws_base64_decode(texts[i], strlen(texts[i]), &out) != CWS_INVALID)
            fail_msg("'%s' was taken for base64", texts[i]);
        assert_int_equal(out.len, 0);
        cws_buf_done(&out);
    }
    struct cws_buf out;
    cws_buf_init(&out, 1000);
    assert_int_equal(cws_base64_decode("QU\0D", 4, &out), CWS_INVALID);
    cws_buf_done(&out);
}

static void test_base64_decoding_fails_without_room(void **state)
{
    (void)state;
    struct cws_buf out;
    cws_buf_init(&out, 2);
    assert_int_equal(cws_base64_decode("QUJDRA", 6, &out), CWS_TOO_LARGE);
    assert_int_equal(out.len, 0);
    cws_buf_init(&out, 100);
    cws_alloc_fail_at(1);
    assert_int_equal(cws_base64_decode("QUJD", 4, &out), CWS_NO_MEMORY);
    cws_buf_done(&out);
}

static void test_base64_is_encoded(void **state)
{
    (void)state;
    static const struct {
        const char *bytes, *padded, *bare;
    } rows[] = {
        {"", "", ""},
        {"A", "QQ==", "QQ"},
        {"AB", "QUI=", "QUI"},
        {"ABC", "QUJD", "QUJD"},
        {"\xfb\xff\xbf\xfe", "+/+//g==", "+/+//g"},
    };
    for (size_t i = 0; i < CWS_ARRAY_LEN(rows); i++) {
        const uint8_t *bytes = (const uint8_t *)rows[i].bytes;
        char *padded = cws_base64_encode(bytes, strlen(rows[i].bytes), true);
        char *bare = cws_base64_encode(bytes, strlen(rows[i].bytes), false);
        assert_string_equal(padded, rows[i].padded);
        assert_string_equal(bare, rows[i].bare);
        cws_free(padded);
        cws_free(bare);
    }
    assert_null(cws_base64_encode((const uint8_t *)"", SIZE_MAX, true));
    cws_alloc_fail_at(1);
    assert_null(cws_base64_encode((const uint8_t *)"A", 1, true));
}

static void test_base64_there_and_back(void **state)
{
    (void)state;
    uint8_t bytes[257];
    for (size_t len = 0; len < sizeof(bytes); len++) {
        for (size_t i = 0; i < len; i++)
            bytes[i] = (uint8_t)(i * 7 + len);
        for (int padded = 0; padded < 2; padded++) {
            struct cws_buf out;
            cws_buf_init(&out, 1000);
            char *text = cws_base64_encode(bytes, len, padded);
            assert_int_equal(cws_base64_decode(text, strlen(text), &out), CWS_OK);
            assert_int_equal(out.len, len);
            if (len)
                assert_memory_equal(cws_buf_bytes(&out), bytes, len);
            cws_buf_done(&out);
            cws_free(text);
        }
    }
}

/* --- percent-encoding --- */

static void test_percent_decoding(void **state)
{
    (void)state;
    static const struct {
        const char *text, *decoded;
    } rows[] = {
        {"", ""},
        {"plain text", "plain text"},
        {"%41%62", "Ab"},
        {"%e2%82%AC", "\xe2\x82\xac"},
        {"100%25", "100%"},
        {"%25%2541", "%%41"}, /* once only */
        /* malformed: as they stand */
        {"%", "%"},
        {"%4", "%4"},
        {"%4g", "%4g"},
        {"%g4", "%g4"},
        {"%%41", "%A"},
        {"%-1", "%-1"},
        {"% 1", "% 1"},
        {"a%00b", "a%00b"}, /* would end the text */
    };
    for (size_t i = 0; i < CWS_ARRAY_LEN(rows); i++) {
        /* in a block of exactly its size: nothing behind it may be read */
        size_t len = strlen(rows[i].text);
        char *text = malloc(len ? len : 1);
        memcpy(text, rows[i].text, len);
        char *decoded = cws_percent_decode(text, len);
        assert_string_equal(decoded, rows[i].decoded);
        cws_free(decoded);
        free(text);
    }
}

static void test_percent_encoding(void **state)
{
    (void)state;
    static const struct {
        const char *text, *encoded;
    } rows[] = {
        {"", ""},
        {" plain ~text", " plain ~text"},
        {"100%", "100%25"},
        {"\xe2\x82\xac", "%E2%82%AC"},
        {"a\nb\r\t\x7f", "a%0Ab%0D%09%7F"},
    };
    for (size_t i = 0; i < CWS_ARRAY_LEN(rows); i++) {
        char *encoded = cws_percent_encode(rows[i].text, strlen(rows[i].text));
        assert_string_equal(encoded, rows[i].encoded);
        cws_free(encoded);
    }
    assert_null(cws_percent_encode("", SIZE_MAX / 2));
    cws_alloc_fail_at(1);
    assert_null(cws_percent_encode("x", 1));
    cws_alloc_fail_at(1);
    assert_null(cws_percent_decode("x", 1));
}

static void test_percent_there_and_back(void **state)
{
    (void)state;
    char text[256];
    for (int c = 1; c < 256; c++)
        text[c - 1] = (char)c;
    text[255] = '\0';
    char *encoded = cws_percent_encode(text, 255);
    for (const char *at = encoded; *at; at++)
        assert_true(*at >= 0x20 && *at <= 0x7e);
    char *decoded = cws_percent_decode(encoded, strlen(encoded));
    assert_string_equal(decoded, text);
    cws_free(encoded);
    cws_free(decoded);
}

static const struct CMUnitTest tests[] = {
    UNIT_TEST(test_timeouts_are_written_short_and_rounded_up),
    UNIT_TEST(test_timeouts_are_read),
    UNIT_TEST(test_malformed_timeouts_are_refused),
    UNIT_TEST(test_what_is_written_is_read_as_no_less),
    UNIT_TEST(test_base64_is_decoded),
    UNIT_TEST(test_malformed_base64_is_refused),
    UNIT_TEST(test_base64_decoding_fails_without_room),
    UNIT_TEST(test_base64_is_encoded),
    UNIT_TEST(test_base64_there_and_back),
    UNIT_TEST(test_percent_decoding),
    UNIT_TEST(test_percent_encoding),
    UNIT_TEST(test_percent_there_and_back),
};

UNIT_MAIN(tests)
