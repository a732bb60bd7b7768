/* cwsandboxd/quantity: every suffix, and what only looks like one. */
#include "support/unit.h"

#include "values/quantity.h"

#define THIRTY_DIGITS "123456789012345678901234567890"

static void test_every_suffix(void **state)
{
    (void)state;
    static const char *const numbers[] = {"0", "1", "007", "12.5", ".5", "5.", THIRTY_DIGITS};
    static const char *const suffixes[] = {"",   "n",  "u",  "m",  "k",   "M",   "G",
                                           "T",  "P",  "E",  "Ki", "Mi",  "Gi",  "Ti",
                                           "Pi", "Ei", "e0", "E9", "e+3", "E-03"};
    for (size_t i = 0; i < CWS_ARRAY_LEN(numbers); i++) {
        for (size_t j = 0; j < CWS_ARRAY_LEN(suffixes); j++) {
            char text[64];
            snprintf(text, sizeof(text), "%s%s", numbers[i], suffixes[j]);
            if (!cwsd_quantity_is_valid(text))
                fail_msg("\"%s\" was refused", text);
        }
    }
}

static void test_what_is_none(void **state)
{
    (void)state;
    static const char *const texts[] = {" 1",
                                        "1 ",
                                        "1\n",
                                        "1K",
                                        "1ki",
                                        "1KI",
                                        "1mi",
                                        "1B",
                                        "1MiB",
                                        "1ni",
                                        "1Zi",
                                        "1Y",
                                        "1mm",
                                        "1Gi2",
                                        "1e",
                                        "1e+",
                                        "1E-",
                                        "1e1.5",
                                        "1e3m",
                                        "1e3e",
                                        "1e--3",
                                        "1,5",
                                        "1..5",
                                        ".",
                                        ".Gi",
                                        "-.5",
                                        "--1",
                                        "1e3 ",
                                        "inf",
                                        "nan",
                                        "1_000",
                                        "1\xc2\xb5",
                                        "\xd9\xa1",
                                        "1\xff",
                                        THIRTY_DIGITS "1",
                                        THIRTY_DIGITS "."};
    for (size_t i = 0; i < CWS_ARRAY_LEN(texts); i++)
        if (cwsd_quantity_is_valid(texts[i]))
            fail_msg("\"%s\" was taken for a quantity", texts[i]);
}

/* In a block of exactly its size: nothing behind the text is read. */
static void test_every_cut(void **state)
{
    (void)state;
    static const char whole[] = "12.50Gi";
    for (size_t len = 0; len < sizeof(whole); len++) {
        char *cut = cws_strndup(whole, len);
        assert_int_equal(cwsd_quantity_is_valid(cut), len > 0);
        cws_free(cut);
    }
}

static void test_bytes(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t bytes;
    } rows[] = {
        {"0", 0},
        {"1", 1},
        {"512Mi", 512ull << 20},
        {"1.5Gi", 3ull << 29},
        {"2G", 2000000000},
        {"3k", 3000},
        {"1Ki", 1024},
        {"1e3", 1000},
        {"2E+2", 200},
        {"5e-1", 1},
        {"1E", 1000000000000000000},
        {"7Ei", 7ull << 60},
        {"1m", 1}, /* a part of a byte is a byte */
        {"1500m", 2},
        {"0.0001k", 1},
    };
    for (size_t i = 0; i < CWS_ARRAY_LEN(rows); i++) {
        uint64_t bytes = 0;
        if (!cwsd_quantity_to_bytes(rows[i].text, &bytes) || bytes != rows[i].bytes)
            fail_msg("\"%s\" became %llu", rows[i].text, (unsigned long long)bytes);
    }
}

static void test_bytes_of_no_file(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "", "x", "-1", "8Ei", "9999999999999999999", "1e99", "1e99999999999999999999"};
    for (size_t i = 0; i < CWS_ARRAY_LEN(texts); i++) {
        uint64_t bytes;
        if (cwsd_quantity_to_bytes(texts[i], &bytes))
            fail_msg("\"%s\" became %llu", texts[i], (unsigned long long)bytes);
    }
}

static const struct CMUnitTest tests[] = {
    UNIT_TEST(test_bytes),        UNIT_TEST(test_bytes_of_no_file), UNIT_TEST(test_every_suffix),
    UNIT_TEST(test_what_is_none), UNIT_TEST(test_every_cut),
};

UNIT_MAIN(tests)
