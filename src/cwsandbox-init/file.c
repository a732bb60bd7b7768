/*
 * Reading and writing one file for the daemon, in a child of the init: with the sandbox's root,
 * user and view of paths. Whatever a path leads to, and however long that takes, only this child is
 * concerned. It executes no program, so it stays what the init is: nobody can trace it.
 *
 * A written file appears whole or not at all. Its content goes into a file without a name in the
 * target's directory, which gets a temporary name and then the target's. Where a file system has no
 * nameless files, it has the temporary name from the beginning.
 */
#include <linux/fcntl.h>
#include <linux/limits.h>
#include <linux/signal.h>
#include <linux/stat.h>

#include "init.h"

#define NEW_FILE_MODE 0644
#define MAX_LINKS     40 /* as the kernel */

/* Untouched pages of the init cost nothing: only the child writes to it. */
static char buffer[65536];

/* 0 for a regular file. Nothing else is opened: a FIFO would wait, a device would do things. */
static long look(long fd, const char *path, unsigned flags, struct statx *status)
{
    long rc = SYS5(statx, fd, path, flags, STATX_BASIC_STATS, status);
    if (rc < 0 || (status->stx_mode & S_IFMT) == S_IFREG)
        return rc;
    return (status->stx_mode & S_IFMT) == S_IFDIR ? -EISDIR : CWSI_FILE_NOT_REGULAR;
}

/* ---- reading -------------------------------------------------------------------------------- */

static long send_content(long fd, uint64_t limit)
{
    long got;
    uint64_t sent = 0;
    while ((got = SYS3(read, fd, buffer, sizeof(buffer))) > 0) {
        if ((uint64_t)got > limit - sent)
            return CWSI_FILE_TOO_LARGE;
        long rc = write_all(1, buffer, (uint64_t)got);
        if (rc < 0)
            return rc;
        sent += (uint64_t)got;
    }
    return got;
}

static long read_file(const char *path, uint64_t limit)
{
    struct statx status;
    long rc = look(AT_FDCWD, path, 0, &status);
    if (rc != 0)
        return rc;
    long fd = SYS4(openat, AT_FDCWD, path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0);
    if (fd < 0)
        return fd;
    rc = look(fd, "", AT_EMPTY_PATH, &status); /* it may be another one by now */
    if (rc != 0)
        return rc;
    const struct cwsi_file_head head = {.size = status.stx_size};
    rc = write_all(1, (const char *)&head, sizeof(head));
    if (rc < 0)
        return rc;
    return head.size > limit ? CWSI_FILE_TOO_LARGE : send_content(fd, limit);
}

/* ---- writing -------------------------------------------------------------------------------- */

struct target {
    long dir;         /* the directory that the file is or will be in */
    const char *name; /* in there; no symbolic link */
    bool exists;
    struct statx status; /* of the file that exists */
    long fd;             /* the new content */
    bool named;          /* it has a name in `dir`: */
    char temporary[40];
};

/* The part after the last slash. NULL if the path can only be a directory's. */
static char *last_name(char *path)
{
    char *name = path;
    for (char *c = path; *c; c++)
        if (*c == '/')
            name = c + 1;
    bool dots = name[0] == '.' && (!name[1] || (name[1] == '.' && !name[2]));
    return name[0] && !dots ? name : NULL;
}

/* Opens the directory that `name`, the end of `path`, is in, and makes it if it is missing. */
static long open_parent(long base, char *path, char *name)
{
    const int flags = O_PATH | O_DIRECTORY | O_CLOEXEC;
    if (name == path)
        return SYS4(openat, base, ".", flags, 0);
    char end = *name;
    *name = '\0'; /* "a/b/" */
    long dir = SYS4(openat, base, path, flags, 0);
    *name = end;
    if (dir != -ENOENT)
        return dir;
    long rc = make_parents((int)base, path);
    if (rc < 0)
        return rc;
    *name = '\0';
    dir = SYS4(openat, base, path, flags, 0);
    *name = end;
    return dir;
}

/* Follows the symbolic links at the path's end, even to what does not exist yet. */
static long find(struct target *target, char *path)
{
    static char link[PATH_MAX];
    target->dir = AT_FDCWD;
    for (int links = 0; links <= MAX_LINKS; links++) {
        char *name = last_name(path);
        if (!name)
            return -EISDIR;
        long dir = open_parent(target->dir, path, name);
        if (dir < 0)
            return dir;
        target->dir = dir;
        target->name = name;
        long len = SYS4(readlinkat, dir, name, link, sizeof(link) - 1);
        if (len < 0)
            return len == -EINVAL || len == -ENOENT ? 0 : len; /* no link, or nothing there */
        link[len] = '\0';
        path = link;
    }
    return -ELOOP;
}

static void invent_name(struct target *target)
{
    unsigned long number = 0;
    SYS3(getrandom, &number, sizeof(number), 0);
    text_append(target->temporary, sizeof(target->temporary), ".cwsandbox-");
    text_append_number(target->temporary, sizeof(target->temporary), number);
}

static long create(struct target *target)
{
    const int flags = O_WRONLY | O_CLOEXEC;
    invent_name(target);
    target->fd = SYS4(openat, target->dir, ".", O_TMPFILE | flags, 0600);
    if (target->fd >= 0)
        return 0;
    target->fd = SYS4(openat, target->dir, target->temporary, O_CREAT | O_EXCL | flags, 0600);
    target->named = target->fd >= 0;
    /* /proc and its like have files that are written in place only. */
    if (target->fd == -ENOENT && target->exists)
        return -EPERM;
    return target->fd < 0 ? target->fd : 0;
}

/* An end before all has come means that nobody wants the file any more. */
static long receive_content(long fd, uint64_t size)
{
    while (size) {
        long got = SYS3(read, 0, buffer, size < sizeof(buffer) ? size : sizeof(buffer));
        if (got <= 0)
            return got < 0 ? got : CWSI_FILE_INCOMPLETE;
        long rc = write_all(fd, buffer, (uint64_t)got);
        if (rc < 0)
            return rc;
        size -= (uint64_t)got;
    }
    return 0;
}

/* The owner is kept where we may; if not, the file is ours, with no rights of somebody else's. */
static long keep_attributes(const struct target *target)
{
    const struct statx *old = &target->status;
    if (!target->exists)
        return SYS2(fchmod, target->fd, NEW_FILE_MODE);
    long rc = SYS3(fchown, target->fd, old->stx_uid, old->stx_gid);
    return SYS2(fchmod, target->fd, old->stx_mode & (rc < 0 ? 0777 : 07777));
}

static long give_name(struct target *target)
{
    char path[40] = "/proc/self/fd/";
    if (target->named)
        return 0;
    text_append_number(path, sizeof(path), (unsigned long)target->fd);
    long rc = SYS5(linkat, AT_FDCWD, path, target->dir, target->temporary, AT_SYMLINK_FOLLOW);
    target->named = rc == 0;
    return rc;
}

static long write_file(char *path, uint64_t size)
{
    struct target target = {.fd = -1};
    long rc = look(AT_FDCWD, path, 0, &target.status);
    target.exists = rc == 0;
    if (rc == CWSI_FILE_NOT_REGULAR || rc == -EISDIR)
        return rc;
    rc = find(&target, path);
    if (rc == 0)
        rc = create(&target);
    if (rc == 0)
        rc = receive_content(target.fd, size);
    if (rc == 0)
        rc = keep_attributes(&target);
    if (rc == 0)
        rc = give_name(&target);
    if (rc == 0)
        rc = SYS4(renameat, target.dir, target.temporary, target.dir, target.name);
    if (rc != 0 && target.named)
        SYS3(unlinkat, target.dir, target.temporary, 0);
    return rc;
}

/* ---- the child ------------------------------------------------------------------------------ */

static long run(const struct cwsi_file *file, bool writes, int pipe)
{
    char *path = (char *)file + file->path;
    /* Nothing of the init's stays open in here, its socket least of all. */
    SYS3(dup3, pipe, writes ? 0 : 1, 0);
    SYS3(close_range, CWSI_SOCKET, ~0u, 0);
    long rc = path[0] ? 0 : -ENOENT;
    if (rc == 0 && path[0] != '/')
        rc = SYS1(chdir, (const char *)file + file->working_dir);
    if (rc == 0)
        rc = writes ? write_file(path, file->size) : read_file(path, file->size);
    return rc < 0 ? -rc : rc;
}

long file_start(char *block, uint64_t size, bool writes, int pipe)
{
    const struct cwsi_file *file = (const void *)block;
    if (size <= sizeof(*file) || block[size - 1] != '\0' || file->working_dir >= size ||
        file->path >= size)
        return -EINVAL;
    long pid = SYS5(clone, SIGCHLD, NULL, NULL, NULL, NULL);
    if (pid == 0)
        SYS1(exit_group, run(file, writes, pipe));
    return pid;
}
