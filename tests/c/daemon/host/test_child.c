/* A child of the daemon's: it goes with all that it started, also when it cannot be watched. */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include "host/child.h"
#include "support/unit.h"

static int refuse_with;   /* errno of the next pidfd_open; 0: it works */
static int members_first; /* of the child's group, which it waits for */

static int count_group(pid_t group)
{
    int count = 0;
    struct dirent *entry;
    DIR *folder = opendir("/proc");
    while ((entry = readdir(folder)) != NULL)
        if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9' &&
            getpgid(atoi(entry->d_name)) == group)
            count++;
    closedir(folder);
    return count;
}

/* Stands in for libc's. */
long syscall(long number, ...)
{
    const struct timespec moment = {.tv_nsec = 1000000};
    va_list args;
    va_start(args, number);
    long a = va_arg(args, long), b = va_arg(args, long), c = va_arg(args, long);
    long d = va_arg(args, long);
    va_end(args);
    if (number != SYS_pidfd_open) {
        errno = ENOSYS;
        return -1;
    }
    if (!refuse_with) {
        long (*real)(long, ...) = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
        return real(number, a, b);
    }
    (void)b, (void)c, (void)d;
    while (members_first && count_group((pid_t)a) < members_first)
        nanosleep(&moment, NULL);
    errno = refuse_with;
    return -1;
}

static void on_end(struct cwsd_child *child, int wait_status)
{
    (void)child, (void)wait_status;
    fail_msg("nobody was started");
}

/* As bubblewrap's two processes: one of them alone would wait for the other for ever. */
static void test_that_cannot_be_watched(void **state)
{
    static const int errors[] = {EMFILE, ENFILE, ENOMEM};
    char *argv[] = {(char *)"/bin/sh", (char *)"-c",
                    (char *)"sleep 1000 & (sleep 1000 & wait) & wait", NULL};
    struct cws_loop *loop;
    struct cws_error err;
    (void)state;
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    assert_int_equal(cws_loop_new(&loop, &err), CWS_OK);
    int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    int fd = fcntl(null_fd, F_DUPFD_CLOEXEC, 20);
    for (size_t i = 0; i < CWS_ARRAY_LEN(errors); i++) {
        struct cwsd_child child = {0};
        struct cwsd_spawn_options options = {
            .argv = argv, .stderr_fd = fd, .socket_fd = fd, .program_fd = -1};
        refuse_with = errors[i];
        members_first = 4;
        assert_int_equal(cwsd_child_spawn(loop, &child, &options, on_end, &err), CWS_SYSTEM);
        assert_non_null(strstr(err.text, "pidfd_open"));
        assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* not even a dead one */
        assert_int_equal(errno, ECHILD);
    }
    close(fd);
    close(null_fd);
    cws_loop_free(loop);
}

static int ended_with = -1;

static void note_end(struct cwsd_child *child, int wait_status)
{
    (void)child;
    ended_with = wait_status;
}

/* A pipe whose writing end has this number. */
static int open_pipe_at(int number)
{
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    int reading = fcntl(ends[0], F_DUPFD_CLOEXEC, 20), writing = fcntl(ends[1], F_DUPFD, 20);
    close(ends[0]);
    close(ends[1]);
    assert_int_equal(dup3(writing, number, O_CLOEXEC), number);
    close(writing);
    return reading;
}

static void assert_says(int fd, const char *text)
{
    char said[10] = "";
    assert_int_equal(read(fd, said, sizeof(said) - 1), (int)strlen(text));
    assert_string_equal(said, text);
    close(fd);
}

/* Each has the number that another one gets in the child. */
static void test_descriptors_in_each_others_way(void **state)
{
    char *argv[] = {(char *)"/bin/sh", (char *)"-c",
                    (char *)"echo socket >&3; echo program >&4; echo network >&5", NULL};
    enum { LOW = 3, COUNT = 3 };
    int before[COUNT];
    struct cws_loop *loop;
    struct cws_error err;
    struct cwsd_child child = {0};
    (void)state;
    refuse_with = 0;
    for (int i = 0; i < COUNT; i++)
        before[i] = fcntl(LOW + i, F_DUPFD_CLOEXEC, 20);
    int network = open_pipe_at(3), socket = open_pipe_at(4), program = open_pipe_at(5);
    assert_int_equal(cws_loop_new(&loop, &err), CWS_OK);
    int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    const struct cwsd_spawn_options options = {
        .argv = argv, .stderr_fd = null_fd, .socket_fd = 4, .program_fd = 5, .network_fd = 3};
    assert_int_equal(cwsd_child_spawn(loop, &child, &options, note_end, &err), CWS_OK);
    while (ended_with < 0)
        uv_run(cws_loop_uv(loop), UV_RUN_ONCE);
    assert_int_equal(ended_with, 0);
    for (int i = 0; i < COUNT; i++) {
        close(LOW + i);
        if (before[i] >= 0 && dup3(before[i], LOW + i, O_CLOEXEC) >= 0)
            close(before[i]);
    }
    assert_says(socket, "socket\n");
    assert_says(program, "program\n");
    assert_says(network, "network\n");
    close(null_fd);
    cws_loop_free(loop);
}

static const struct CMUnitTest tests[] = {
    UNIT_TEST(test_descriptors_in_each_others_way),
    UNIT_TEST(test_that_cannot_be_watched),
};

UNIT_MAIN(tests)
