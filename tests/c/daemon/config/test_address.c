/* cwsandboxd/address: what a refusal says, and the edges of what is taken. What is refused:
 * test_config.c. */
#include "support/unit.h"

#include "config/address.h"

static void assert_refused(const char *text, const char *value, const char *rule)
{
    struct cwsd_address address;
    struct cws_error err = {CWS_OK, ""};
    assert_int_equal(cwsd_address_parse(text, &address, &err), CWS_INVALID);
    assert_int_equal(err.status, CWS_INVALID);
    if (!strstr(err.text, value) || !strstr(err.text, rule))
        fail_msg("\"%s\" does not name \"%s\" and \"%s\"", err.text, value, rule);
}

static void test_refusals_name_value_and_rule(void **state)
{
    (void)state;
    static const struct {
        const char *text, *rule;
    } rows[] = {
        {"localhost:80", "names are not looked up"}, {"[::1%lo]:80", "names are not looked up"},
        {"127.1:80", "names are not looked up"},     {" 127.0.0.1:80", "names are not looked up"},
        {"127.0.0.1:00080x", "from 0 to 65535"},     {"127.0.0.1:100000", "from 0 to 65535"},
        {"127.0.0.1: 80", "from 0 to 65535"},        {"127.0.0.1:+80", "from 0 to 65535"},
        {"[::1]:65536", "from 0 to 65535"},          {"unix://run/x.sock", "an absolute path"},
        {"unix:///run/", "an absolute path"},        {"UNIX:///run/x.sock", "unix:///path"},
    };
    for (size_t i = 0; i < CWS_ARRAY_LEN(rows); i++)
        assert_refused(rows[i].text, rows[i].text, rows[i].rule);
}

/* However long the value is, the rule is still in the message. */
static void test_the_rule_survives_a_long_value(void **state)
{
    (void)state;
    char text[1000];
    memset(text, 'a', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    assert_refused(text, "aaaa", "names are not looked up");
    memcpy(text, "127.0.0.1:", 10);
    assert_refused(text, "127.0.0.1:aaaa", "from 0 to 65535");
    memcpy(text, "unix://aaaa", 11);
    assert_refused(text, "unix://aaaa", "an absolute path");
    text[7] = '/';
    assert_refused(text, "992", "at most 107 bytes");
}

static void test_what_is_taken(void **state)
{
    (void)state;
    static const struct {
        const char *text, *host;
        uint16_t port;
        bool is_loopback;
        const char *url;
    } rows[] = {
        {"127.0.0.1:0", "127.0.0.1", 0, true, "https://127.0.0.1:0"},
        {"127.255.255.254:1", "127.255.255.254", 1, true, "https://127.255.255.254:1"},
        {"0.0.0.0:65535", "0.0.0.0", 65535, false, "https://0.0.0.0:65535"},
        {"128.0.0.1:00080", "128.0.0.1", 80, false, "https://128.0.0.1:80"},
        {"[::]:80", "::", 80, false, "https://[::]:80"},
        {"[0:0:0:0:0:0:0:1]:80", "0:0:0:0:0:0:0:1", 80, true, "https://[0:0:0:0:0:0:0:1]:80"},
        /* a stranger's way in as far as the rules for TLS are concerned */
        {"[::ffff:127.0.0.1]:80", "::ffff:127.0.0.1", 80, false, "https://[::ffff:127.0.0.1]:80"},
        {"[1111:2222:3333:4444:5555:6666:101.102.103.104]:65535",
         "1111:2222:3333:4444:5555:6666:101.102.103.104", 65535, false,
         "https://[1111:2222:3333:4444:5555:6666:101.102.103.104]:65535"},
    };
    for (size_t i = 0; i < CWS_ARRAY_LEN(rows); i++) {
        struct cwsd_address address;
        char url[CWSD_ADDRESS_URL_SIZE];
        if (cwsd_address_parse(rows[i].text, &address, NULL) != CWS_OK)
            fail_msg("\"%s\" was refused", rows[i].text);
        assert_false(address.is_unix);
        assert_string_equal(address.host, rows[i].host);
        assert_int_equal(address.port, rows[i].port);
        assert_int_equal(address.is_loopback, rows[i].is_loopback);
        cwsd_address_url(&address, true, url);
        assert_string_equal(url, rows[i].url);
    }
}

static void test_the_longest_urls_fit(void **state)
{
    (void)state;
    struct cwsd_address address;
    char text[7 + sizeof(address.path)] = "unix:///", url[CWSD_ADDRESS_URL_SIZE];
    memset(text + 8, 'a', sizeof(text) - 9);
    text[sizeof(text) - 1] = '\0';
    assert_int_equal(cwsd_address_parse(text, &address, NULL), CWS_OK);
    assert_true(address.is_unix && address.is_loopback);
    cwsd_address_url(&address, true, url);
    assert_string_equal(url, text);
}

static const struct CMUnitTest tests[] = {
    UNIT_TEST(test_refusals_name_value_and_rule),
    UNIT_TEST(test_the_rule_survives_a_long_value),
    UNIT_TEST(test_what_is_taken),
    UNIT_TEST(test_the_longest_urls_fit),
};

UNIT_MAIN(tests)
