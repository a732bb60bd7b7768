/* io/proxy: what the environment's variables mean. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "io/proxy.h"

static const char *const names[] = {"grpc_proxy", "https_proxy", "http_proxy", "no_grpc_proxy",
                                    "no_proxy"};

static int clear(void **state)
{
    (void)state;
    for (size_t i = 0; i < CWS_ARRAY_LEN(names); i++)
        unsetenv(names[i]);
    return 0;
}

static void expect_proxy(const char *host, const char *address, const char *auth)
{
    struct cws_proxy proxy;
    struct cws_error err = {0};
    size_t live = cws_alloc_live();
    if (cws_proxy_for(host, &proxy, &err) != CWS_OK)
        fail_msg("%s", err.text);
    if (address)
        assert_string_equal(proxy.address, address);
    else if (proxy.address)
        fail_msg("%s goes through %s", host, proxy.address);
    if (auth)
        assert_string_equal(proxy.auth, auth);
    else
        assert_null(proxy.auth);
    cws_proxy_done(&proxy);
    assert_int_equal(cws_alloc_live(), live);
}

static void test_none(void **state)
{
    (void)state;
    expect_proxy("example.test", NULL, NULL);
    setenv("https_proxy", "", 1); /* empty is not set */
    expect_proxy("example.test", NULL, NULL);
}

static void test_order_of_the_variables(void **state)
{
    (void)state;
    setenv("http_proxy", "http://third:3", 1);
    expect_proxy("example.test", "third:3", NULL);
    setenv("https_proxy", "http://second:2", 1);
    expect_proxy("example.test", "second:2", NULL);
    setenv("grpc_proxy", "http://first:1", 1);
    expect_proxy("example.test", "first:1", NULL);
    setenv("grpc_proxy", "", 1);
    expect_proxy("example.test", "second:2", NULL);
}

static void test_forms_of_the_value(void **state)
{
    (void)state;
    const struct {
        const char *value, *address, *auth;
    } cases[] = {
        {"http://proxy.test:3128", "proxy.test:3128", NULL},
        {"http://proxy.test:3128/", "proxy.test:3128", NULL},
        {"HTTP://proxy.test", "proxy.test:80", NULL},
        {"proxy.test:3128", "proxy.test:3128", NULL},
        {"proxy.test", "proxy.test:80", NULL},
        {"http://10.0.0.1:65535", "10.0.0.1:65535", NULL},
        {"http://[::1]:3128", "[::1]:3128", NULL},
        {"http://[fe80::1]", "[fe80::1]:80", NULL},
        {"http://user:secret@proxy.test:3128", "proxy.test:3128", "user:secret"},
        {"http://user@proxy.test:3128", "proxy.test:3128", "user:"},
        {"http://user:@[::1]:3128", "[::1]:3128", "user:"},
        {"http://us%65r:p%40ss%3Aword@proxy.test:1", "proxy.test:1", "user:p@ss:word"},
        {"http://u:p@ss@proxy.test:1", "proxy.test:1", "u:p@ss"},
        {"u:p@proxy.test:1", "proxy.test:1", "u:p"},
    };
    for (size_t i = 0; i < CWS_ARRAY_LEN(cases); i++) {
        setenv("https_proxy", cases[i].value, 1);
        expect_proxy("example.test", cases[i].address, cases[i].auth);
    }
}

static void test_bad_values_are_named(void **state)
{
    (void)state;
    const struct {
        const char *value, *text;
    } cases[] = {
        {"https://proxy.test:1", "cannot use grpc_proxy=https://proxy.test:1: only http://"},
        {"socks5h://u:secret@proxy.test:1", "grpc_proxy=socks5h://***@proxy.test:1: only http://"},
        {"http://", "no host name or address"},
        {"http://:3128", "no host name or address"},
        {"http://pro xy:3128", "no host name or address"},
        {"http://[::1:3128", "no host name or address"},
        {"http://[proxy]:3128", "no host name or address"},
        {"http://proxy.test:", "from 1 to 65535"},
        {"http://proxy.test:0", "from 1 to 65535"},
        {"http://proxy.test:65536", "from 1 to 65535"},
        {"http://proxy.test:123456789", "from 1 to 65535"},
        {"http://proxy.test:80x", "from 1 to 65535"},
        {"1:2:3", "from 1 to 65535"},
        {"http://u:secret%4@proxy.test", "***@proxy.test: a bad %-escape"},
        {"http://u:secret%zz@proxy.test", "a bad %-escape"},
        {"http://u:secret%00@proxy.test", "a bad %-escape"},
        {"http://u:secret/secret@proxy.test", "***@proxy.test"},
        {"u:secret@:80", "***@:80"},
    };
    for (size_t i = 0; i < CWS_ARRAY_LEN(cases); i++) {
        struct cws_proxy proxy;
        struct cws_error err = {0};
        setenv("grpc_proxy", cases[i].value, 1);
        assert_int_equal(cws_proxy_for("example.test", &proxy, &err), CWS_INVALID);
        if (!strstr(err.text, cases[i].text) || strstr(err.text, "secret"))
            fail_msg("'%s' instead of '%s'", err.text, cases[i].text);
        assert_null(proxy.address);
    }
}

static void test_exceptions(void **state)
{
    (void)state;
    const struct {
        const char *list, *host;
        bool covered;
    } cases[] = {
        {"*", "example.test", true},
        {"example.test", "example.test", true},
        {"EXAMPLE.test", "example.TEST", true},
        {"example.test", "example.test.", true},
        {"example.test", "a.b.example.test", true},
        {".example.test", "a.example.test", true},
        {".example.test", "example.test", true},
        {"*.example.test", "a.example.test", true},
        {"example.test", "counterexample.test", false},
        {"a.example.test", "example.test", false},
        {"other.test, example.test\t,x", "example.test", true},
        {"", "example.test", false},
        {",, ,", "example.test", false},
        {".", "example.test", false},
        {"*.", "example.test", false},
        {"127.0.0.1", "127.0.0.1", true},
        {"127.0.0.1", "127.0.0.10", false},
        {"0.1", "127.0.0.1", false},
        {"10.0.0.0/8", "10.255.1.2", true},
        {"10.0.0.0/8", "11.0.0.1", false},
        {"10.0.0.128/25", "10.0.0.129", true},
        {"10.0.0.128/25", "10.0.0.127", false},
        {"10.1.2.3/32", "10.1.2.3", true},
        {"10.1.2.3/32", "10.1.2.2", false},
        {"0.0.0.0/0", "203.0.113.9", true},
        {"0.0.0.0/0", "::1", false},
        {"0.0.0.0/0", "example.test", false},
        {"10.0.0.0/33", "10.0.0.1", false},
        {"10.0.0.0/", "10.0.0.1", false},
        {"10.0.0.0/x", "10.0.0.1", false},
        {"fd00::/8", "fd12::1", true},
        {"fd00::/8", "fe80::1", false},
        {"[::1]", "::1", true},
        {"::1", "0:0:0:0:0:0:0:1", true},
        {"fe80::1", "fe80::1%eth0", true},
        {"::1/128", "::1", true},
        {"::1/129", "::1", false},
        {"1", "127.0.0.1", false},
    };
    setenv("http_proxy", "http://proxy.test:3128", 1);
    for (size_t i = 0; i < CWS_ARRAY_LEN(cases); i++) {
        setenv("no_proxy", cases[i].list, 1);
        expect_proxy(cases[i].host, cases[i].covered ? NULL : "proxy.test:3128", NULL);
    }
    setenv("no_proxy", "example.test", 1);
    setenv("no_grpc_proxy", "other.test", 1); /* stands alone when set */
    expect_proxy("example.test", "proxy.test:3128", NULL);
    expect_proxy("other.test", NULL, NULL);
    setenv("no_grpc_proxy", "", 1);
    expect_proxy("example.test", NULL, NULL);
    setenv("http_proxy", "socks5://x", 1); /* nobody looks at it then */
    expect_proxy("example.test", NULL, NULL);
}

static void test_no_memory(void **state)
{
    (void)state;
    setenv("grpc_proxy", "http://user:secret@proxy.test:3128", 1);
    size_t live = cws_alloc_live();
    for (size_t n = 1; n <= 2; n++) {
        struct cws_proxy proxy;
        struct cws_error err = {0};
        cws_alloc_fail_at(n);
        assert_int_equal(cws_proxy_for("example.test", &proxy, &err), CWS_NO_MEMORY);
        assert_int_equal(cws_alloc_live(), live);
    }
    cws_alloc_fail_at(0);
    expect_proxy("example.test", "proxy.test:3128", "user:secret");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, clear, clear)
        TEST(test_none),
        TEST(test_order_of_the_variables),
        TEST(test_forms_of_the_value),
        TEST(test_bad_values_are_named),
        TEST(test_exceptions),
        TEST(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
