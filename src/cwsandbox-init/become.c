/* Before there is a sandbox: the daemon, as root, has its bubblewrap started by a user who may do
 * nothing. */
#include <linux/capability.h>
#include <linux/fcntl.h>
#include <linux/prctl.h>

#include "init.h"

static long read_number(const char *text)
{
    long number = 0;
    for (; *text >= '0' && *text <= '9' && number < 1l << 32; text++)
        number = number * 10 + (*text - '0');
    return *text ? -1 : number;
}

static long drop_to(long id)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    const struct __user_cap_data_struct nothing[2] = {0};
    if (id <= 0 || id >= 0xffffffffl)
        return -EINVAL;
    long rc = SYS2(setgroups, 0, NULL);
    if (rc == 0)
        rc = SYS3(setresgid, id, id, id);
    if (rc == 0)
        rc = SYS3(setresuid, id, id, id);
    /* They went with user 0, unless the daemon was told to keep them. */
    if (rc == 0)
        rc = SYS2(capset, &header, nothing);
    /* A bubblewrap that is setuid would do other things than the one that we know. */
    if (rc == 0)
        rc = SYS5(prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    return rc;
}

/* By its path, so that it is known by its name; or else, where that user cannot come to it, as it
 * was found before. A script needs the descriptor too, and the init closes it. */
static long execute(long fd, char **argv, char **envp)
{
    long rc = SYS3(execve, argv[0], argv, envp);
    if (rc != -EACCES || fd < 0)
        return rc;
    SYS3(fcntl, fd, F_SETFD, 0);
    return SYS5(execveat, fd, "", argv, envp, AT_EMPTY_PATH);
}

__attribute__((noreturn)) static void fail(const char *what, const char *name, long rc)
{
    char line[400] = "cwsandbox-init: ";
    text_append(line, sizeof(line), what);
    text_append(line, sizeof(line), name);
    text_append(line, sizeof(line), ": ");
    if (text_error((int)-rc))
        text_append(line, sizeof(line), text_error((int)-rc));
    else
        text_append_number(line, sizeof(line), (unsigned long)-rc);
    text_append(line, sizeof(line) - 1, "\n");
    SYS3(write, 2, line, text_len(line));
    for (;;)
        SYS1(exit_group, 1);
}

static bool is(const char *word, const char *text)
{
    return word && text_len(word) == text_len(text) && text_starts(word, text);
}

/* What comes before USER. */
struct words {
    bool make, open, join, manage, alone, helper;
    long number; /* COUNT or PARENT */
};

static struct words read_words(char ***argv)
{
    struct words words = {.open = is((*argv)[0], "open"),
                          .join = is((*argv)[0], "join"),
                          .manage = is((*argv)[0], "manage"),
                          .alone = is((*argv)[0], "alone"),
                          .helper = is((*argv)[0], "helper")};
    words.make = words.open || is((*argv)[0], "make");
    if ((words.make || words.helper) && (*argv)[1])
        words.number = read_number(*++*argv);
    if (words.make || words.join || words.manage || words.alone || words.helper)
        ++*argv;
    return words;
}

static long enter_network(const struct words *words)
{
    if (words->make)
        return network_make(words->number, words->open);
    if (words->join)
        return network_join();
    if (words->manage)
        return network_manage();
    return words->alone ? network_alone() : 0;
}

void become(char **argv, char **envp)
{
    struct words words = read_words(&argv);
    bool keeps_user = (words.make || words.join || words.manage || words.alone || words.helper) &&
                      is(argv[0], "0");
    if (!argv[0] || !argv[1])
        fail("there is no program to execute", "", -EINVAL);
    long fd = SYS4(openat, AT_FDCWD, argv[1], O_PATH | O_CLOEXEC, 0);
    if (!keeps_user) {
        guard_oom(); /* as root, so that it cannot be lowered again */
        long rc = drop_to(read_number(argv[0]));
        if (rc < 0)
            fail("becoming user ", argv[0], rc);
    }
    long rc = enter_network(&words);
    if (rc < 0)
        fail("the sandbox's shared network", "", rc);
    if (words.helper) {
        rc = helper_confine(words.number, argv[1]);
        if (rc < 0)
            fail("the limits of ", argv[1], rc);
    }
    fail("", argv[1], execute(fd, argv + 1, envp));
}
