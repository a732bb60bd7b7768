/* cwsandboxd/config, cwsandboxd/address: the command line and its rules. */
#include "support/daemon_help.h"

#include <fcntl.h>

#include "config/config.h"

static const struct cwsd_surroundings root = {0, "/run/user/0"};
static const struct cwsd_surroundings user = {1000, "/run/user/1000"};
static const struct cwsd_surroundings bare_user = {1000, NULL};

static enum cws_status parse(struct cwsd_config *config, struct cws_error *err,
                             const struct cwsd_surroundings *surroundings, const char *const *words)
{
    char *argv[16] = {(char *)"cwsandboxd"};
    int argc = 1;
    for (; *words; words++)
        argv[argc++] = (char *)*words;
    return cwsd_config_parse(argc, argv, surroundings, config, err);
}

#define PARSE(config, err, ...) parse(config, err, &user, (const char *const[]){__VA_ARGS__, NULL})

/* Refused with a text that names `named`. */
#define REFUSED(named, ...) \
    do { \
        struct cwsd_config config_; \
        struct cws_error err_ = {CWS_OK, ""}; \
        assert_int_equal(PARSE(&config_, &err_, __VA_ARGS__), CWS_INVALID); \
        if (!strstr(err_.text, named)) \
            fail_msg("\"%s\" does not name %s", err_.text, named); \
    } while (0)

static void defaults(void **state)
{
    (void)state;
    struct cwsd_config config;
    struct cws_error err;
    const char *const nothing[] = {NULL};
    assert_int_equal(parse(&config, &err, &root, nothing), CWS_OK);
    assert_int_equal(config.action, CWSD_ACTION_SERVE);
    assert_int_equal(config.listen_count, 1);
    assert_string_equal(config.listen[0].path, "/run/cwsandboxd/cwsandboxd.sock");
    assert_string_equal(config.state_dir, "/run/cwsandboxd/state");
    assert_int_equal(config.ready_fd, -1);
    assert_int_equal(config.life_fd, -1);
    assert_false(config.detach);
    assert_false(config.isolation_none);
    assert_int_equal(config.egress, CWSD_EGRESS_OFF);
    assert_int_equal(config.limits.processes, 0);
    assert_int_equal(config.limits.open_files, 0);
    assert_int_equal(config.limits.written_bytes, 0);
    assert_int_equal(parse(&config, &err, &user, nothing), CWS_OK);
    assert_string_equal(config.listen[0].path, "/run/user/1000/cwsandboxd.sock");
    assert_string_equal(config.state_dir, "/run/user/1000/cwsandboxd/state");
    assert_int_equal(parse(&config, &err, &bare_user, nothing), CWS_OK);
    assert_string_equal(config.listen[0].path, "/tmp/cwsandboxd-1000/cwsandboxd.sock");
    assert_string_equal(config.state_dir, "/tmp/cwsandboxd-1000/state");
}

static void values_are_taken(void **state)
{
    (void)state;
    struct cwsd_config config;
    struct cws_error err;
    assert_int_equal(PARSE(&config, &err, "--listen", "unix:///a/b", "--listen=127.0.0.1:0",
                           "--token-file", "/t", "--isolation=none", "--max-sandboxes=7",
                           "--state-dir", "/s", "--data-dir=/d", "--ready-fd=1", "--life-fd=0",
                           "--detach"),
                     CWS_OK);
    assert_int_equal(config.listen_count, 2);
    assert_true(config.listen[0].is_unix);
    assert_string_equal(config.listen[0].path, "/a/b");
    assert_string_equal(config.listen[1].host, "127.0.0.1");
    assert_string_equal(config.token_file, "/t");
    assert_true(config.isolation_none);
    assert_int_equal(config.max_sandboxes, 7);
    assert_string_equal(config.state_dir, "/s");
    assert_string_equal(config.data_dir, "/d");
    assert_int_equal(config.life_fd, 0);
    assert_true(config.detach);
    assert_int_equal(config.ready_fd, 1);
    assert_int_equal(PARSE(&config, &err, "--help", "--nonsense"), CWS_OK);
    assert_int_equal(config.action, CWSD_ACTION_HELP);
    assert_int_equal(PARSE(&config, &err, "--version"), CWS_OK);
    assert_int_equal(config.action, CWSD_ACTION_VERSION);
}

static void limits_are_taken(void **state)
{
    (void)state;
    struct cwsd_config config;
    struct cws_error err;
    assert_int_equal(
        PARSE(&config, &err, "--max-processes=8", "--max-open-files", "4096", "--max-written=16M"),
        CWS_OK);
    assert_int_equal(config.limits.processes, 8);
    assert_int_equal(config.limits.open_files, 4096);
    assert_int_equal(config.limits.written_bytes, 16u << 20);
    assert_int_equal(PARSE(&config, &err, "--max-written=16777217"), CWS_OK);
    assert_int_equal(config.limits.written_bytes, 16777217);
    assert_int_equal(PARSE(&config, &err, "--max-written=3T"), CWS_OK);
    assert_int_equal(config.limits.written_bytes, 3ull << 40);
    assert_int_equal(config.log_bytes, 16u << 20);
    assert_int_equal(PARSE(&config, &err, "--log-bytes=1M"), CWS_OK);
    assert_int_equal(config.log_bytes, 1u << 20);
    REFUSED("--log-bytes: \"1023K\" is not a number of bytes of 1M or more", "--log-bytes=1023K");
    REFUSED("\"7\" is not a number from 8 to", "--max-processes=7");
    REFUSED("\"many\"", "--max-processes=many");
    REFUSED("\"1023\" is not a number from 1024 to", "--max-open-files=1023");
    static const char *const sizes[] = {
        "15M", "M", "1G ", "-1G", "1.5G", "1GB", "16777215", "9999999T", "99999999999999999999999",
        ""};
    for (size_t i = 0; i < CWS_ARRAY_LEN(sizes); i++)
        REFUSED("is not a number of bytes of 16M or more", "--max-written", sizes[i]);
}

static void mistakes_are_named(void **state)
{
    (void)state;
    REFUSED("--no-such", "--no-such");
    REFUSED("-x", "-x");
    REFUSED("stray", "stray");
    REFUSED("--listen", "--listen");
    REFUSED("ftp://x", "--listen", "ftp://x");
    REFUSED("99999", "--listen", "127.0.0.1:99999");
    REFUSED("localhost:1", "--listen", "localhost:1");
    REFUSED("perhaps", "--isolation", "perhaps");
    REFUSED("perhaps", "--egress", "perhaps");
    REFUSED("--egress: needs isolation", "--egress=auto", "--isolation=none");
    REFUSED("0x10", "--max-sandboxes=0x10");
    REFUSED("\"0\"", "--max-sandboxes=0");
    REFUSED("-1", "--life-fd=-1");
    REFUSED("977", "--life-fd=977");
    REFUSED("relative", "--state-dir=relative");
    REFUSED("--data-dir: \"relative\"", "--data-dir=relative");
    REFUSED("token-file", "--token-file=");
    REFUSED("977", "--ready-fd=977");
}

static void tcp_needs_a_token_and_strangers_need_tls(void **state)
{
    (void)state;
    struct cwsd_config config;
    struct cws_error err;
    REFUSED("token", "--listen", "127.0.0.1:0");
    REFUSED("0.0.0.0", "--listen", "0.0.0.0:80", "--token-file=/t");
    REFUSED("[::]", "--listen", "[::]:80", "--token-file=/t");
    REFUSED("--tls-key is missing", "--listen", "127.0.0.1:0", "--token-file=/t", "--tls-cert=/c");
    REFUSED("--tls-cert is missing", "--listen", "127.0.0.1:0", "--token-file=/t", "--tls-key=/k");
    REFUSED("TCP", "--tls-cert=/c", "--tls-key=/k");
    REFUSED("token", "--listen", "0.0.0.0:80", "--tls-cert=/c", "--tls-key=/k");
    assert_int_equal(PARSE(&config, &err, "--listen", "0.0.0.0:80", "--token-file=/t",
                           "--tls-cert=/c", "--tls-key=/k"),
                     CWS_OK);
    assert_int_equal(PARSE(&config, &err, "--listen", "127.9.9.9:80", "--token-file=/t"), CWS_OK);
    assert_int_equal(PARSE(&config, &err, "--listen", "[::1]:80", "--token-file=/t"), CWS_OK);
}

static void too_many_listeners(void **state)
{
    (void)state;
    struct cwsd_config config;
    struct cws_error err;
    const char *words[CWSD_MAX_LISTENERS + 2] = {NULL};
    for (size_t i = 0; i < CWSD_MAX_LISTENERS; i++)
        words[i] = "--listen=unix:///s";
    assert_int_equal(parse(&config, &err, &user, words), CWS_OK);
    words[CWSD_MAX_LISTENERS] = "--listen=unix:///s";
    assert_int_equal(parse(&config, &err, &user, words), CWS_INVALID);
}

static void addresses(void **state)
{
    (void)state;
    struct cwsd_address address;
    struct cws_error err;
    char url[CWSD_ADDRESS_URL_SIZE];
    static const char *const wrong[] = {"",
                                        ":",
                                        "1",
                                        "127.0.0.1",
                                        "127.0.0.1:",
                                        "127.0.0.1:x",
                                        "127.0.0.1:-1",
                                        "127.0.0.1:65536",
                                        "::1:1",
                                        "[::1]",
                                        "[::1]1",
                                        "[::1:1",
                                        "[127.0.0.1]:1",
                                        "]:1",
                                        "unix://",
                                        "unix://a",
                                        "unix:///a/",
                                        "unix:/a",
                                        "256.0.0.1:1"};
    for (size_t i = 0; i < CWS_ARRAY_LEN(wrong); i++)
        if (cwsd_address_parse(wrong[i], &address, &err) == CWS_OK)
            fail_msg("\"%s\" was taken", wrong[i]);
    assert_int_equal(cwsd_address_parse("[::1]:65535", &address, &err), CWS_OK);
    assert_int_equal(address.port, 65535);
    assert_true(address.is_loopback);
    cwsd_address_url(&address, true, url);
    assert_string_equal(url, "https://[::1]:65535");
    assert_int_equal(cwsd_address_parse("10.0.0.1:1", &address, &err), CWS_OK);
    assert_false(address.is_loopback);
    cwsd_address_url(&address, false, url);
    assert_string_equal(url, "http://10.0.0.1:1");
    assert_int_equal(cwsd_address_parse("unix:///run/x", &address, &err), CWS_OK);
    cwsd_address_url(&address, false, url);
    assert_string_equal(url, "unix:///run/x");
}

static void longest_socket_path(void **state)
{
    (void)state;
    struct cwsd_address address;
    struct cws_error err;
    char text[200] = "unix:///";
    memset(text + strlen(text), 'a', 106);
    assert_int_equal(cwsd_address_parse(text, &address, &err), CWS_OK);
    strcat(text, "a");
    assert_int_equal(cwsd_address_parse(text, &address, &err), CWS_INVALID);
}

static void the_data_plane(void **state)
{
    (void)state;
    struct cwsd_config config;
    struct cws_error err;
    assert_int_equal(PARSE(&config, &err, "--listen", "unix:///a/b"), CWS_OK);
    assert_false(config.has_data_plane);
    assert_int_equal(
        PARSE(&config, &err, "--listen", "unix:///a/b", "--listen=127.0.0.2:80", "--token-file=/t"),
        CWS_OK);
    assert_true(config.has_data_plane);
    assert_string_equal(config.data_plane.host, "127.0.0.2");
    assert_int_equal(config.data_plane.port, 0);
    assert_int_equal(PARSE(&config, &err, "--listen=127.0.0.1:80", "--listen=10.0.0.1:80",
                           "--token-file=/t", "--tls-cert=/c", "--tls-key=/k"),
                     CWS_OK);
    assert_false(config.has_data_plane);
    assert_int_equal(
        PARSE(&config, &err, "--data-plane=off", "--listen=127.0.0.1:80", "--token-file=/t"),
        CWS_OK);
    assert_false(config.has_data_plane);
    assert_int_equal(PARSE(&config, &err, "--data-plane", "10.0.0.1:4711"), CWS_OK);
    assert_true(config.has_data_plane);
    assert_string_equal(config.data_plane.host, "10.0.0.1");
    assert_int_equal(config.data_plane.port, 4711);
    REFUSED("--data-plane: \"0.0.0.0:1\" must be", "--data-plane=0.0.0.0:1");
    REFUSED("--data-plane: \"[::]:1\" must be", "--data-plane=[::]:1");
    REFUSED("--data-plane: \"unix:///a\" must be", "--data-plane=unix:///a");
    REFUSED("--data-plane: \"here\" is neither", "--data-plane=here");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CWSD_TEST(defaults),
        CWSD_TEST(values_are_taken),
        CWSD_TEST(the_data_plane),
        CWSD_TEST(limits_are_taken),
        CWSD_TEST(mistakes_are_named),
        CWSD_TEST(tcp_needs_a_token_and_strangers_need_tls),
        CWSD_TEST(too_many_listeners),
        CWSD_TEST(addresses),
        CWSD_TEST(longest_socket_path),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
