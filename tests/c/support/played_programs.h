/*
 * For the tests of what runs other programs: shell scripts in a folder of the test's own, which do
 * what files beside them say. NAME.says: it fails with this text on its stderr. NAME.waits: a FIFO
 * from which it reads a line first. NAME.in has its last input, NAME.runs a line with the words of
 * each run.
 */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "support/descriptors.h"
#include "support/own_folder.h"
#include "support/peer.h"

static char played_text[4096];

static inline char *played_path(const char *name)
{
    static char paths[8][128];
    static unsigned next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof(paths[0]), "%s/%s", own_folder, name);
    return path;
}

/* The path of a program, which stays as it is until some tests later. */
static inline char *played_program_path(const char *name)
{
    static char paths[16][128];
    static unsigned next;
    char *path = paths[next++ % 16];
    snprintf(path, sizeof(paths[0]), "%s/%s", own_folder, name);
    return path;
}

static inline void played_write(const char *name, const char *text, mode_t mode)
{
    int fd = open(played_path(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

/* What is in the file; "": there is none. */
static inline const char *played_read(const char *name)
{
    int fd = open(played_path(name), O_RDONLY | O_CLOEXEC);
    ssize_t len = fd < 0 ? 0 : read(fd, played_text, sizeof(played_text) - 1);
    if (fd >= 0)
        close(fd);
    played_text[len > 0 ? len : 0] = '\0';
    return played_text;
}

static inline unsigned played_runs(const char *name)
{
    char file[64];
    unsigned runs = 0;
    snprintf(file, sizeof(file), "%s.runs", name);
    for (const char *at = played_read(file); (at = strchr(at, '\n')) != NULL; at++)
        runs++;
    return runs;
}

/* `last` is what the script does in the end. */
static inline char *played_program(const char *name, const char *last)
{
    char text[600];
    snprintf(text, sizeof(text),
             "#!/bin/sh\n"
             "echo \"$*\" >> \"$0.runs\"\n"
             "[ -p \"$0.waits\" ] && read -r line < \"$0.waits\"\n"
             "[ -e \"$0.says\" ] && { cat \"$0.says\" >&2; exit 1; }\n"
             "%s\n",
             last);
    played_write(name, text, 0700);
    return played_program_path(name);
}

#define PLAYED_READS "cat > \"$0.in\""

/* In place of cwsandbox-init, which gives up rights and enters namespaces first. */
static inline char *played_init(void)
{
    played_write("init",
                 "#!/bin/sh\n"
                 "case $1 in\n"
                 "helper) shift 3 ;;\n"
                 "manage) shift 2 ;;\n"
                 "*) exit 99 ;;\n"
                 "esac\n"
                 "exec \"$@\"\n",
                 0700);
    return played_program_path("init");
}

static inline void played_says(const char *name, const char *text)
{
    char file[64];
    snprintf(file, sizeof(file), "%s.says", name);
    played_write(file, text, 0600);
}

/* The next runs wait for a line. Returns the end to write it to, which the caller closes. */
static inline int played_wait(const char *name)
{
    char file[64];
    snprintf(file, sizeof(file), "%s.waits", name);
    assert_int_equal(mkfifo(played_path(file), 0600), 0);
    int fd = open(played_path(file), O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

static inline void played_go_on(int fd)
{
    assert_int_equal(write(fd, "\n", 1), 1);
}

/* Of the group of tests: what libuv opens once per process is open before descriptors are counted.
 */
static inline int played_programs_begin(void **state)
{
    (void)state;
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    loop_close(loop_open());
    return 0;
}

static inline void assert_no_children(void)
{
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
}
