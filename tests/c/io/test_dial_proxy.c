/* io/dial with io/tunnel: the way through a proxy. */
#include "support/dial_world.h"

/* --- through a proxy --- */

static void test_tunnel(void **state)
{
    struct fixture *f = *state;
    use_proxy(f, PROXY_TUNNEL);
    dial(f, (struct cws_dial_options){
                .host = "behind.test", .port = 50051, .proxy = proxy_address(f)});
    assert_string_equal(cws_buf_bytes(&f->request),
                        "CONNECT behind.test:50051 HTTP/1.1\r\nHost: behind.test:50051\r\n\r\n");
    exchange(f);
    assert_false(resolver_asked()); /* the name is the proxy's to look up */
    disconnect(f);

    dial(f, (struct cws_dial_options){.host = "::1",
                                      .port = 1,
                                      .proxy = proxy_address(f),
                                      .proxy_auth = "Aladdin:open sesame"});
    assert_string_equal(cws_buf_bytes(&f->request),
                        "CONNECT [::1]:1 HTTP/1.1\r\nHost: [::1]:1\r\n"
                        "Proxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n\r\n");
    exchange(f);
}

static void test_basic_auth_of_each_length(void **state)
{
    struct fixture *f = *state;
    const struct {
        const char *auth, *base64;
    } cases[] = {{"a:", "YTo=\r\n"},
                 {"a:b", "YTpi\r\n"},
                 {"a:bc", "YTpiYw==\r\n"},
                 {"\xff\xfe:", "//46\r\n"}};
    for (size_t i = 0; i < CWS_ARRAY_LEN(cases); i++) {
        use_proxy(f, PROXY_TUNNEL);
        dial(f, (struct cws_dial_options){.host = "behind.test",
                                          .port = 1,
                                          .proxy = proxy_address(f),
                                          .proxy_auth = cases[i].auth});
        const char *basic = strstr((const char *)cws_buf_bytes(&f->request), "Basic ");
        assert_non_null(basic);
        assert_memory_equal(basic + 6, cases[i].base64, strlen(cases[i].base64));
        disconnect(f);
    }
}

static void test_early_bytes_belong_to_the_tunnel(void **state)
{
    struct fixture *f = *state;
    use_proxy(f, PROXY_EARLY);
    dial(f, (struct cws_dial_options){.host = "behind.test", .port = 1, .proxy = proxy_address(f)});
    PUMP_UNTIL(f->loop, f->client.received.len == 5);
    assert_true(peer_has(&f->client, "early"));
    exchange(f);
}

static void test_tls_through_a_proxy(void **state)
{
    struct fixture *f = *state;
    use_tls(f);
    use_proxy(f, PROXY_TUNNEL);
    dial(f,
         (struct cws_dial_options){.host = "sandbox.test", .port = 443, .proxy = proxy_address(f)});
    exchange(f);
    disconnect(f);
    dial(f,
         (struct cws_dial_options){.host = "other.test", .port = 443, .proxy = proxy_address(f)});
    expect_error(f, CWS_TLS, "it is not valid for 'other.test'");
    expect_error(f, CWS_TLS, "cannot connect to other.test:443 through proxy 127.0.0.1:");
}

static void test_proxies_that_do_not_help(void **state)
{
    struct fixture *f = *state;
    const struct {
        enum proxy_script script;
        const char *text;
    } cases[] = {
        {PROXY_REFUSES, "the proxy answered 407 Proxy Auth?[31m Required"},
        {PROXY_GARBAGE, "the proxy's answer is not HTTP"},
        {PROXY_OTHER_HTTP, "the proxy's answer is not HTTP/1.1"},
        {PROXY_NO_CODE, "the proxy's answer has no status code"},
        {PROXY_OVERSIZED, "larger than 16384 bytes"},
        {PROXY_HANGS_UP, "the proxy closed the connection"},
    };
    for (size_t i = 0; i < CWS_ARRAY_LEN(cases); i++) {
        use_proxy(f, cases[i].script);
        dial(f, (struct cws_dial_options){
                    .host = "behind.test", .port = 443, .proxy = proxy_address(f)});
        expect_error(f, CWS_PROXY, cases[i].text);
        expect_error(f, CWS_PROXY, "cannot connect to behind.test:443 through proxy 127.0.0.1:");
        disconnect(f);
    }
    char address[32];
    snprintf(address, sizeof(address), "127.0.0.1:%u", closed_port());
    dial(f, (struct cws_dial_options){.host = "behind.test", .port = 443, .proxy = address});
    expect_error(f, CWS_CONNECT, "connection refused");
    disconnect(f);
    dial(f,
         (struct cws_dial_options){.host = "behind.test", .port = 443, .proxy = "nowhere.test:80"});
    expect_error(f, CWS_RESOLVE, "through proxy nowhere.test:80: name look-up failed");
}

static void test_proxy_at_an_ipv6_address(void **state)
{
    struct fixture *f = *state;
    listen_on(f, "::1");
    use_proxy(f, PROXY_TUNNEL);
    char address[32];
    snprintf(address, sizeof(address), "[::1]:%u", f->port);
    dial(f, (struct cws_dial_options){.host = "behind.test", .port = 443, .proxy = address});
    exchange(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(test_tunnel),
        TEST(test_basic_auth_of_each_length),
        TEST(test_early_bytes_belong_to_the_tunnel),
        TEST(test_tls_through_a_proxy),
        TEST(test_proxies_that_do_not_help),
        TEST(test_proxy_at_an_ipv6_address),
    };
    return cmocka_run_group_tests(tests, make_certificates, drop_certificates);
}
