/* cwsandboxd/pem: a server's certificate from files, and what is said when that fails. */
#include "support/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "base/base.h"
#include "config/pem.h"
#include "support/certs.h"
#include "support/failing.h"

enum { MIB = 1024 * 1024 };

static struct cert own, other;
static char dir[64], cert_path[96], key_path[96], other_path[96], odd_path[96];

static void write_file(const char *path, const char *text, size_t len)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, len), len);
    close(fd);
}

static int set_up(void **state)
{
    (void)state;
    cert_make(&own, &(struct cert_wish){.name = "own", .san = "DNS:localhost"});
    cert_make(&other, &(struct cert_wish){.name = "other", .san = "DNS:localhost"});
    strcpy(dir, "/tmp/cws-pem-XXXXXX");
    if (!mkdtemp(dir))
        return -1;
    snprintf(cert_path, sizeof(cert_path), "%s/cert.pem", dir);
    snprintf(key_path, sizeof(key_path), "%s/key.pem", dir);
    snprintf(other_path, sizeof(other_path), "%s/other.pem", dir);
    snprintf(odd_path, sizeof(odd_path), "%s/odd.pem", dir);
    write_file(cert_path, own.pem, strlen(own.pem));
    write_file(key_path, own.key_pem, strlen(own.key_pem));
    write_file(other_path, other.key_pem, strlen(other.key_pem));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    cert_done(&own);
    cert_done(&other);
    unlink(cert_path);
    unlink(key_path);
    unlink(other_path);
    unlink(odd_path);
    return rmdir(dir);
}

/* Refused, and the message names both. */
static void assert_refused(const char *cert, const char *key, enum cws_status status,
                           const char *value, const char *rule)
{
    struct cws_tls_config *config = NULL;
    struct cws_error err = {CWS_OK, ""};
    assert_int_equal(cwsd_pem_load_server(cert, key, &config, &err), status);
    assert_int_equal(err.status, status);
    if (!strstr(err.text, value) || !strstr(err.text, rule))
        fail_msg("\"%s\" does not name \"%s\" and \"%s\"", err.text, value, rule);
    assert_null(config);
}

static void assert_taken(const char *cert, const char *key)
{
    struct cws_tls_config *config = NULL;
    struct cws_error err = {CWS_OK, ""};
    if (cwsd_pem_load_server(cert, key, &config, &err) != CWS_OK)
        fail_msg("%s", err.text);
    assert_non_null(config);
    cws_tls_config_unref(config);
}

static void test_a_pair(void **state)
{
    (void)state;
    assert_taken(cert_path, key_path);
}

static void test_files_that_cannot_be_read(void **state)
{
    (void)state;
    assert_refused("/no/such/cert", key_path, CWS_SYSTEM, "/no/such/cert", strerror(ENOENT));
    assert_refused(cert_path, "/no/such/key", CWS_SYSTEM, "/no/such/key", strerror(ENOENT));
    assert_refused(cert_path, dir, CWS_SYSTEM, dir, strerror(EISDIR));
}

static void test_what_is_no_pair(void **state)
{
    (void)state;
    assert_refused(cert_path, other_path, CWS_TLS, cert_path, other_path);
    assert_refused(key_path, cert_path, CWS_TLS, key_path, cert_path); /* the wrong way round */
    assert_refused(cert_path, cert_path, CWS_TLS, "--tls-key", cert_path);
    write_file(odd_path, "", 0);
    assert_refused(odd_path, key_path, CWS_TLS, "--tls-cert", odd_path);
    assert_refused(cert_path, odd_path, CWS_TLS, "--tls-key", odd_path);
    write_file(odd_path, own.pem, strlen(own.pem) / 2);
    assert_refused(odd_path, key_path, CWS_TLS, "--tls-cert", odd_path);
    write_file(odd_path, "\0\xff\n-----BEGIN CERTIFICATE-----", 30);
    assert_refused(odd_path, key_path, CWS_TLS, "--tls-cert", odd_path);
}

/* The certificate, and what nobody reads behind it up to `size` bytes. */
static void write_long(size_t size)
{
    char *text = test_malloc(size);
    memset(text, '\n', size);
    memcpy(text, own.pem, strlen(own.pem));
    write_file(odd_path, text, size);
    test_free(text);
}

static void test_the_longest_file(void **state)
{
    (void)state;
    static const size_t fine[] = {16384, 16385, MIB - 16383, MIB - 1, MIB};
    for (size_t i = 0; i < CWS_ARRAY_LEN(fine); i++) {
        write_long(fine[i]);
        assert_taken(odd_path, key_path);
    }
    write_long(MIB + 1);
    assert_refused(odd_path, key_path, CWS_SYSTEM, odd_path, "more than 1 MiB");
    assert_refused(cert_path, "/dev/zero", CWS_SYSTEM, "/dev/zero", "more than 1 MiB");
}

static void test_each_allocation_may_fail(void **state)
{
    (void)state;
    for (size_t n = 1;; n++) {
        struct cws_tls_config *config = NULL;
        struct cws_error err = {CWS_OK, ""};
        cws_alloc_fail_at(n);
        enum cws_status status = cwsd_pem_load_server(cert_path, key_path, &config, &err);
        if (!failing_was_reached(n)) {
            assert_int_equal(status, CWS_OK);
            cws_tls_config_unref(config);
            assert_true(n > 2);
            break;
        }
        assert_int_equal(status, CWS_NO_MEMORY);
        assert_null(config);
    }
}

static const struct CMUnitTest tests[] = {
    UNIT_TEST(test_a_pair),
    UNIT_TEST(test_files_that_cannot_be_read),
    UNIT_TEST(test_what_is_no_pair),
    UNIT_TEST(test_the_longest_file),
    UNIT_TEST(test_each_allocation_may_fail),
};

int main(void)
{
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
