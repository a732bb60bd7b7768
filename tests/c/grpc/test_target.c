/* grpc/target: base URLs, good and bad. */
#include "support/unit.h"

#include "grpc/target.h"

static void test_good_urls(void **state)
{
    (void)state;
    static const struct {
        const char *url, *host, *authority, *unix_path;
        uint16_t port;
        bool tls;
    } rows[] = {
        {"https://api.example.com", "api.example.com", "api.example.com:443", NULL, 443, true},
        {"http://api.example.com", "api.example.com", "api.example.com:80", NULL, 80, false},
        {"HTTPS://Api.Example.com", "Api.Example.com", "Api.Example.com:443", NULL, 443, true},
        {"https://h:8443", "h", "h:8443", NULL, 8443, true},
        {"https://h:8443/", "h", "h:8443", NULL, 8443, true},
        {"https://h:", "h", "h:443", NULL, 443, true},
        {"https://h:0", "h", "h:443", NULL, 443, true},
        {"http://h:00080", "h", "h:80", NULL, 80, false},
        {"http://h:65535", "h", "h:65535", NULL, 65535, false},
        {"http://127.0.0.1:50051", "127.0.0.1", "127.0.0.1:50051", NULL, 50051, false},
        {"http://[::1]:50051", "::1", "[::1]:50051", NULL, 50051, false},
        {"https://[2001:db8::7]", "2001:db8::7", "[2001:db8::7]:443", NULL, 443, true},
        {"http://[fe80::1%eth0]:1", "fe80::1%eth0", "[fe80::1%eth0]:1", NULL, 1, false},
        {"https://user:pw@h:1", "h", "h:1", NULL, 1, true},
        {"https://user@pw@h:1", "h", "h:1", NULL, 1, true},
        {"https://h/?q=1#f", "h", "h:443", NULL, 443, true},
        {"https://h?q=1", "h", "h:443", NULL, 443, true},
        {"https://h#f/g", "h", "h:443", NULL, 443, true},
        {"unix:///run/cws.sock", "localhost", "localhost", "/run/cws.sock", 0, false},
        {"UNIX:///a", "localhost", "localhost", "/a", 0, false},
        {"unix:///with space?and#more", "localhost", "localhost", "/with space?and#more", 0, false},
    };
    for (size_t i = 0; i < CWS_ARRAY_LEN(rows); i++) {
        struct cws_target target;
        struct cws_error err = {0};
        if (cws_target_parse(rows[i].url, &target, &err) != CWS_OK)
            fail_msg("%s: %s", rows[i].url, err.text);
        assert_string_equal(target.host, rows[i].host);
        assert_string_equal(target.authority, rows[i].authority);
        if (rows[i].unix_path)
            assert_string_equal(target.unix_path, rows[i].unix_path);
        else
            assert_null(target.unix_path);
        assert_int_equal(target.port, rows[i].port);
        assert_int_equal(target.tls, rows[i].tls);
        cws_target_done(&target);
        assert_null(target.host);
    }
}

static void test_bad_urls(void **state)
{
    (void)state;
    static const struct {
        const char *url, *says;
    } rows[] = {
        {"", "scheme"},
        {"api.example.com", "scheme"},
        {"api.example.com:443", "scheme"},
        {"ftp://h", "scheme"},
        {"https:/h", "scheme"},
        {"https:h", "scheme"},
        {" https://h", "scheme"},
        {"unix:/a", "scheme"},
        {"https://", "hostname"},
        {"https:///", "hostname"},
        {"https://:443", "hostname"},
        {"https://user@", "hostname"},
        {"https://[]:1", "hostname"},
        {"https://h/v1", "URL paths"},
        {"https://h//", "URL paths"},
        {"https://h:1/a?b", "URL paths"},
        {"https://h:65536", "65535"},
        {"https://h:99999999999999999999", "65535"},
        {"https://h:-1", "65535"},
        {"https://h:+1", "65535"},
        {"https://h:1x", "65535"},
        {"https://h: 1", "65535"},
        {"https://[::1", "without ']'"},
        {"https://[::1]x", "after ']'"},
        {"https://[::1]443", "after ']'"},
        {"https://::1", "brackets"},
        {"https://2001:db8::7:443", "brackets"},
        {"https://ho st", "hostname"},
        {"https://h\n", "hostname"},
        {"https://h\x7f", "hostname"},
        {"https://caf\xc3\xa9.example", "hostname"},
        {"https://a\\b", "hostname"},
        {"https://[::1 ]", "hostname"},
        {"https://[fe80::1%]", "hostname"},
        {"https://[fe80::1%a b]", "hostname"},
        {"https://[host]", "hostname"},
        {"unix://a", "absolute path"},
        {"unix://", "absolute path"},
    };
    for (size_t i = 0; i < CWS_ARRAY_LEN(rows); i++) {
        struct cws_target target = {.port = 7};
        struct cws_error err = {0};
        if (cws_target_parse(rows[i].url, &target, &err) != CWS_INVALID)
            fail_msg("'%s' was taken", rows[i].url);
        if (!strstr(err.text, rows[i].says) || !strstr(err.text, rows[i].url))
            fail_msg("'%s' does not say '%s' and name the URL", err.text, rows[i].says);
        assert_int_equal(target.port, 7); /* left alone */
    }
}

static void test_the_longest_socket_path(void **state)
{
    (void)state;
    char url[7 + 200] = "unix:///";
    memset(url + 8, 'p', 106);
    struct cws_target target;
    struct cws_error err = {0};
    assert_int_equal(cws_target_parse(url, &target, &err), CWS_OK);
    assert_int_equal(strlen(target.unix_path), 107);
    cws_target_done(&target);
    url[8 + 106] = 'p';
    assert_int_equal(cws_target_parse(url, &target, &err), CWS_INVALID);
    assert_non_null(strstr(err.text, "107"));
}

static void test_failed_memory_is_told(void **state)
{
    (void)state;
    static const char *const urls[] = {"https://h:1", "unix:///a"};
    static const size_t allocations[] = {2, 3};
    for (size_t i = 0; i < CWS_ARRAY_LEN(urls); i++) {
        for (size_t n = 1; n <= allocations[i]; n++) {
            struct cws_target target;
            struct cws_error err = {0};
            cws_alloc_fail_at(n);
            assert_int_equal(cws_target_parse(urls[i], &target, &err), CWS_NO_MEMORY);
            assert_int_equal(err.status, CWS_NO_MEMORY);
        }
    }
}

static const struct CMUnitTest tests[] = {
    UNIT_TEST(test_good_urls),
    UNIT_TEST(test_bad_urls),
    UNIT_TEST(test_the_longest_socket_path),
    UNIT_TEST(test_failed_memory_is_told),
};

UNIT_MAIN(tests)
