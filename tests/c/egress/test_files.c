/* cwsandbox-egress/files: what is left to read. */
#include "support/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cwsandbox-egress/files.h"

static bool has_landlock(void)
{
    return syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION) > 0;
}

static bool is_closed(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC, 0600);
    if (fd >= 0)
        close(fd);
    return fd < 0 && errno == EACCES;
}

/* In a process of its own, since there is no way back. Returns which step has failed. */
static int look(const char *file, const char *folder)
{
    struct addrinfo *found;
    char made[64];
    snprintf(made, sizeof(made), "%s/made", folder);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return 1;
    cwse_files_close();
    if (!is_closed(file, O_RDONLY) || !is_closed(file, O_WRONLY))
        return 2;
    if (!is_closed(made, O_WRONLY | O_CREAT) || !is_closed(folder, O_RDONLY | O_DIRECTORY))
        return 3;
    if (unlink(file) == 0 || mkdir(made, 0700) == 0)
        return 4;
    if (is_closed("/etc/hosts", O_RDONLY) || !is_closed("/etc/hosts", O_WRONLY))
        return 5;
    if (getaddrinfo("localhost", NULL, NULL, &found) != 0)
        return 6;
    freeaddrinfo(found);
    return 0;
}

static void what_names_take_and_no_more(void **state)
{
    (void)state;
    char folder[] = "/tmp/cws-files-XXXXXX", file[64];
    int status = 0;
    if (!has_landlock())
        skip();
    assert_non_null(mkdtemp(folder));
    snprintf(file, sizeof(file), "%s/file", folder);
    int fd = open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    close(fd);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(look(file, folder));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(unlink(file), 0);
    assert_int_equal(rmdir(folder), 0);
    assert_int_equal(status, 0);
}

static const struct CMUnitTest tests[] = {
    UNIT_TEST(what_names_take_and_no_more),
};

UNIT_MAIN(tests)
