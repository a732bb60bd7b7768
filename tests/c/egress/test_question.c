/* cwsandbox-egress/question: what a sandbox asks, and what it is answered. */
#include "support/unit.h"

#include <arpa/inet.h>
#include <arpa/nameser.h>

#include "cwsandbox-egress/question.h"

#define HEADER "\x12\x34\x01\x00\0\x01\0\0\0\0\0\0"
#define NAME   "\7Example\3org\0"
#define ASKED  HEADER NAME "\0\1\0\1"

static struct cwse_question question;

/* A literal without its end. */
#define READ(literal) cwse_question_read((const uint8_t *)(literal), sizeof(literal) - 1, &question)

static void good(void **state)
{
    (void)state;
    assert_int_equal(READ(ASKED), ns_r_noerror);
    assert_string_equal(question.name, "example.org");
    assert_true(question.wants_ipv4);
    assert_int_equal(question.end, sizeof(ASKED) - 1);
    assert_int_equal(READ(HEADER NAME "\0\x1c\0\1"), ns_r_noerror);
    assert_false(question.wants_ipv4);
    /* With EDNS, as most resolvers ask. */
    assert_int_equal(READ("\x12\x34\x01\x20\0\1\0\0\0\0\0\1" NAME "\0\1\0\1"
                          "\0\0\x29\x04\xd0\0\0\0\0\0\0"),
                     ns_r_noerror);
    assert_int_equal(question.end, sizeof(ASKED) - 1);
}

static void no_host(void **state)
{
    (void)state;
    assert_int_equal(READ(HEADER "\0\0\2\0\1"), ns_r_noerror);
    assert_string_equal(question.name, "");
    assert_int_equal(READ(HEADER "\3a.b\3org\0\0\1\0\1"), ns_r_noerror);
    assert_string_equal(question.name, "");
    assert_int_equal(READ(HEADER "\3a\0b\3org\0\0\1\0\1"), ns_r_noerror);
    assert_string_equal(question.name, "");
}

static void bad(void **state)
{
    (void)state;
    assert_int_equal(READ(""), -1);
    assert_int_equal(READ("\x12\x34\x01\x00\0\x01\0\0\0\0\0"), -1);
    assert_int_equal(READ("\x12\x34\x81\x00\0\x01\0\0\0\0\0\0" NAME "\0\1\0\1"), -1);
    assert_int_equal(READ(HEADER), ns_r_formerr);
    assert_int_equal(READ("\x12\x34\x01\x00\0\0\0\0\0\0\0\0"), ns_r_formerr);
    assert_int_equal(READ(HEADER NAME "\0\1\0"), ns_r_formerr);
    assert_int_equal(READ(HEADER "\x3fxx"), ns_r_formerr);
    assert_int_equal(READ(HEADER "\xc0\x0c\0\1\0\1"), ns_r_formerr);
    assert_int_equal(READ("\x12\x34\x01\x00\0\x02\0\0\0\0\0\0" NAME "\0\1\0\1" NAME "\0\1\0\1"),
                     ns_r_formerr);
    assert_int_equal(READ("\x12\x34\x29\x00\0\x01\0\0\0\0\0\0" NAME "\0\1\0\1"), ns_r_notimpl);
    assert_int_equal(READ(HEADER NAME "\0\1\0\3"), ns_r_refused);
    /* A name that points into the header: 1, 'x', and on to the null there. */
    assert_int_equal(READ("\x12\x34\x01\x00\0\1\0\0\0\0\0\0\1x\xc0\x08\0\1\0\1"), ns_r_formerr);
}

static void answers(void **state)
{
    struct in_addr addresses[2];
    uint8_t out[CWSE_ANSWER_SIZE];
    ns_msg parsed;
    ns_rr record;
    (void)state;
    inet_pton(AF_INET, "203.0.113.5", &addresses[0]);
    inet_pton(AF_INET, "203.0.113.6", &addresses[1]);
    assert_int_equal(READ(ASKED), 0);
    size_t len =
        cwse_answer_write((const uint8_t *)ASKED, &question, ns_r_noerror, addresses, 2, out);
    assert_int_equal(ns_initparse(out, (int)len, &parsed), 0);
    assert_int_equal(ns_msg_id(parsed), 0x1234);
    assert_int_equal(ns_msg_getflag(parsed, ns_f_qr), 1);
    assert_int_equal(ns_msg_getflag(parsed, ns_f_rd), 1);
    assert_int_equal(ns_msg_getflag(parsed, ns_f_ra), 1);
    assert_int_equal(ns_msg_count(parsed, ns_s_an), 2);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(ns_parserr(&parsed, ns_s_an, i, &record), 0);
        assert_string_equal(ns_rr_name(record), "Example.org");
        assert_int_equal(ns_rr_type(record), ns_t_a);
        assert_memory_equal(ns_rr_rdata(record), &addresses[i], 4);
    }
}

static void refusals(void **state)
{
    uint8_t out[CWSE_ANSWER_SIZE];
    (void)state;
    assert_int_equal(READ(ASKED), 0);
    size_t len = cwse_answer_write((const uint8_t *)ASKED, &question, ns_r_nxdomain, NULL, 0, out);
    assert_int_equal(len, sizeof(ASKED) - 1);
    assert_int_equal(out[3] & 0xf, ns_r_nxdomain);
    assert_int_equal(cwse_answer_write((const uint8_t *)HEADER, NULL, ns_r_formerr, NULL, 0, out),
                     NS_HFIXEDSZ);
    assert_memory_equal(out, "\x12\x34\x81\x81\0\0\0\0\0\0\0\0", NS_HFIXEDSZ);
}

/* The longest question has room for fewer addresses. */
static void no_answer_is_too_long(void **state)
{
    struct in_addr addresses[40] = {0};
    uint8_t out[CWSE_ANSWER_SIZE];
    (void)state;
    assert_int_equal(READ(ASKED), 0);
    assert_in_range(cwse_answer_write((const uint8_t *)ASKED, &question, 0, addresses, 40, out),
                    sizeof(ASKED) - 1 + 16, CWSE_ANSWER_SIZE);
}

static const struct CMUnitTest tests[] = {
    UNIT_TEST(good),    UNIT_TEST(no_host),  UNIT_TEST(bad),
    UNIT_TEST(answers), UNIT_TEST(refusals), UNIT_TEST(no_answer_is_too_long),
};

UNIT_MAIN(tests)
