/* cwsandboxd/digest: equal requests are equal, and nothing else is. Maps: test_spec.c. */
#include "support/unit.h"

#include "store/digest.h"
#include "support/daemon_help.h"

static struct cwsd_digest digest_of_words(const char *const *words, size_t count,
                                          const char *container)
{
    cwsd_pb_exec_request request = COREWEAVE__SANDBOX__V1__EXEC_REQUEST__INIT;
    request.command = (char **)words;
    request.n_command = count;
    request.container = (char *)container;
    return cwsd_digest_of(&request.base);
}

/* The same text, cut into words in other places or put into other fields, is another request. */
static void test_where_the_text_is_counts(void **state)
{
    (void)state;
    static const struct {
        const char *words[3];
        size_t count;
        const char *container;
    } rows[] = {
        {{NULL}, 0, ""},      {{""}, 1, ""},        {{"", ""}, 2, ""},    {{"abc"}, 1, ""},
        {{"ab", "c"}, 2, ""}, {{"a", "bc"}, 2, ""}, {{"bc", "a"}, 2, ""}, {{"a", "b", "c"}, 3, ""},
        {{"abc", ""}, 2, ""}, {{"ab"}, 1, "c"},     {{NULL}, 0, "abc"},   {{"abd"}, 1, ""},
        {{"Abc"}, 1, ""},
    };
    struct cwsd_digest digests[CWS_ARRAY_LEN(rows)];
    for (size_t i = 0; i < CWS_ARRAY_LEN(rows); i++) {
        digests[i] = digest_of_words(rows[i].words, rows[i].count, rows[i].container);
        assert_true(cwsd_digest_equal(
            digests[i], digest_of_words(rows[i].words, rows[i].count, rows[i].container)));
        for (size_t j = 0; j < i; j++) {
            /* each half for itself tells them apart: a page token holds only the first */
            if (digests[i].half[0] == digests[j].half[0] ||
                digests[i].half[1] == digests[j].half[1])
                fail_msg("rows %zu and %zu are one", j, i);
        }
    }
}

static void test_each_bit_counts(void **state)
{
    (void)state;
    uint8_t bytes[64] = {0};
    cwsd_pb_file file = COREWEAVE__SANDBOX__V1__FILE_MOUNT__INIT;
    file.content = (ProtobufCBinaryData){sizeof(bytes), bytes};
    struct cwsd_digest zeros = cwsd_digest_of(&file.base);
    for (size_t bit = 0; bit < 8 * sizeof(bytes); bit++) {
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        struct cwsd_digest changed = cwsd_digest_of(&file.base);
        assert_true(changed.half[0] != zeros.half[0]);
        assert_true(changed.half[1] != zeros.half[1]);
        bytes[bit / 8] = 0;
    }
    file.content.len--;
    assert_false(cwsd_digest_equal(cwsd_digest_of(&file.base), zeros));
}

/* A request that came over the wire and the one it was made from. */
static void test_copies_are_equal(void **state)
{
    (void)state;
    cwsd_pb_spec spec;
    cwsd_pb_container container, *containers[1];
    plain_spec(&spec, &container, containers);
    size_t live = cws_alloc_live();
    struct cwsd_digest digest = cwsd_digest_of(&spec.base);
    assert_int_equal(cws_alloc_live(), live);
    cwsd_pb_spec *copy = copy_of(&spec);
    assert_true(cwsd_digest_equal(cwsd_digest_of(&copy->base), digest));
    copy->max_lifetime_seconds = 1;
    assert_false(cwsd_digest_equal(cwsd_digest_of(&copy->base), digest));
    cwsd_wire_free(copy);
}

static void test_both_halves_are_compared(void **state)
{
    (void)state;
    const struct cwsd_digest digest = {{1, 2}};
    assert_true(cwsd_digest_equal(digest, (struct cwsd_digest){{1, 2}}));
    assert_false(cwsd_digest_equal(digest, (struct cwsd_digest){{1, 3}}));
    assert_false(cwsd_digest_equal(digest, (struct cwsd_digest){{0, 2}}));
    assert_false(cwsd_digest_equal(digest, (struct cwsd_digest){{2, 1}}));
}

static const struct CMUnitTest tests[] = {
    UNIT_TEST(test_where_the_text_is_counts),
    UNIT_TEST(test_each_bit_counts),
    UNIT_TEST(test_copies_are_equal),
    UNIT_TEST(test_both_halves_are_compared),
};

UNIT_MAIN(tests)
