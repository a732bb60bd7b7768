/* config/authority: the files of the endpoints' certificate authority. */
#include "support/own_folder.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "config/authority.h"

static char *path_of(const char *name)
{
    static char path[128];
    snprintf(path, sizeof(path), "%s/%s", own_folder, name);
    return path;
}

static size_t read_file(const char *path, char *into, size_t cap)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    ssize_t len = read(fd, into, cap);
    close(fd);
    assert_true(len > 0);
    return (size_t)len;
}

static void the_next_daemon_has_the_same(void **state)
{
    (void)state;
    struct cwsd_authority authority;
    struct cws_error err;
    struct stat info;
    char first[8192], second[8192];
    assert_int_equal(cwsd_authority_open(own_folder, &authority, &err), CWS_OK);
    assert_string_equal(authority.cert_path, path_of("endpoints-ca.pem"));
    size_t len = read_file(authority.cert_path, first, sizeof(first));
    cwsd_authority_close(&authority);
    assert_int_equal(stat(path_of("endpoints-ca.key"), &info), 0);
    assert_int_equal(info.st_mode & 07777, 0600);
    assert_int_equal(unlink(path_of("endpoints-ca.pem")), 0);
    assert_int_equal(cwsd_authority_open(own_folder, &authority, &err), CWS_OK);
    assert_int_equal(read_file(authority.cert_path, second, sizeof(second)), len);
    assert_memory_equal(first, second, len);
    cwsd_authority_close(&authority);
}

static void keys_that_cannot_be_used(void **state)
{
    (void)state;
    struct cwsd_authority authority;
    struct cws_error err;
    assert_int_equal(cwsd_authority_open(own_folder, &authority, &err), CWS_OK);
    cwsd_authority_close(&authority);
    assert_int_equal(chmod(path_of("endpoints-ca.key"), 0640), 0);
    assert_int_equal(cwsd_authority_open(own_folder, &authority, &err), CWS_INVALID);
    assert_non_null(strstr(err.text, "endpoints-ca.key must be this user's"));
    assert_int_equal(chmod(path_of("endpoints-ca.key"), 0600), 0);
    assert_int_equal(truncate(path_of("endpoints-ca.key"), 100), 0);
    assert_int_equal(cwsd_authority_open(own_folder, &authority, &err), CWS_INVALID);
    assert_non_null(strstr(err.text, "is not a private key with its certificate"));
    assert_int_equal(cwsd_authority_open("/no/such", &authority, &err), CWS_SYSTEM);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FOLDER_TEST(the_next_daemon_has_the_same),
        FOLDER_TEST(keys_that_cannot_be_used),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
