/* values/http_head: what an endpoint must know of a request. */
#include "support/daemon_help.h"

#include "values/http_head.h"

#define TOKEN "0123456789abcdef"

static size_t len_of(const char *text)
{
    return cwsd_http_head_len((const uint8_t *)text, strlen(text));
}

static void where_it_ends(void **state)
{
    (void)state;
    assert_int_equal(len_of(""), 0);
    assert_int_equal(len_of("GET / HTTP/1.1\r\n"), 0);
    assert_int_equal(len_of("GET / HTTP/1.1\r\nA: b\r\n\r"), 0);
    assert_int_equal(len_of("GET / HTTP/1.1\r\n\r\nbody\r\n\r\n"), 18);
}

static bool is_plausible(const char *text)
{
    return cwsd_http_head_is_plausible((const uint8_t *)text, strlen(text));
}

static void what_can_be_one(void **state)
{
    (void)state;
    assert_true(is_plausible(""));
    assert_true(is_plausible("G"));
    assert_true(is_plausible("GET"));
    assert_true(is_plausible("PROPFIND /x"));
    assert_false(is_plausible(" "));
    assert_false(is_plausible("get /"));
    assert_false(is_plausible("\x16\x03\x01"));
    assert_false(is_plausible("GET\r\n"));
}

static bool has_token(const char *text)
{
    return cwsd_http_head_has_token((const uint8_t *)text, strlen(text), TOKEN);
}

static void token_in_a_header(void **state)
{
    (void)state;
    assert_true(has_token("GET / HTTP/1.1\r\nX-Sandbox-Share-Token: " TOKEN "\r\n\r\n"));
    assert_true(has_token("GET / HTTP/1.1\r\nA: b\r\nx-sandbox-share-token:" TOKEN " \r\n\r\n"));
    assert_false(has_token("GET / HTTP/1.1\r\nX-Sandbox-Share-Token: " TOKEN "0\r\n\r\n"));
    assert_false(has_token("GET / HTTP/1.1\r\nX-Sandbox-Share-Token: 0123\r\n\r\n"));
    assert_false(has_token("GET / HTTP/1.1\r\nX-Sandbox-Share-Token:\r\n\r\n"));
    assert_false(has_token("GET / HTTP/1.1\r\nX-Sandbox-Share-Tok: " TOKEN "\r\n\r\n"));
    assert_false(has_token("GET / HTTP/1.1\r\nCookie: X-Sandbox-Share-Token: " TOKEN "\r\n\r\n"));
    assert_false(has_token("GET / HTTP/1.1\r\n\r\n"));
}

static void token_in_the_query(void **state)
{
    (void)state;
    assert_true(has_token("GET /?share_token=" TOKEN " HTTP/1.1\r\n\r\n"));
    assert_true(has_token("GET /a?b=c&share_token=" TOKEN "&d HTTP/1.1\r\n\r\n"));
    assert_true(has_token("GET /?share_token=1&share_token=" TOKEN " HTTP/1.1\r\n\r\n"));
    assert_false(has_token("GET /share_token=" TOKEN " HTTP/1.1\r\n\r\n"));
    assert_false(has_token("GET /?x#?share_token=" TOKEN " HTTP/1.1\r\n\r\n"));
    assert_false(has_token("GET /#?share_token=" TOKEN " HTTP/1.1\r\n\r\n"));
    assert_false(has_token("GET /?a_share_token=" TOKEN " HTTP/1.1\r\n\r\n"));
    assert_false(has_token("GET /?share_token=" TOKEN "x HTTP/1.1\r\n\r\n"));
    assert_false(has_token("GET / ?share_token=" TOKEN "\r\n\r\n"));
    assert_false(has_token("?share_token=" TOKEN "\r\n\r\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CWSD_TEST(where_it_ends),
        CWSD_TEST(what_can_be_one),
        CWSD_TEST(token_in_a_header),
        CWSD_TEST(token_in_the_query),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
