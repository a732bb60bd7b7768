#include "host/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define CLONE_FLAGS (OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH)

/* ---- the mount ------------------------------------------------------------------------------ */

/* Returns the mount's descriptor, or -1 with errno. `users` -1: no other owners. */
static int make_tree(int folder, bool read_only, int users)
{
    struct mount_attr attr = {.attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV};
    if (read_only)
        attr.attr_set |= MOUNT_ATTR_RDONLY;
    if (users >= 0) {
        attr.attr_set |= MOUNT_ATTR_IDMAP;
        attr.userns_fd = (uint64_t)users;
    }
    /* By their numbers: before 2.36, glibc has no functions for them. */
    int tree = (int)syscall(SYS_open_tree, folder, "", CLONE_FLAGS);
    if (tree >= 0 && syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0) {
        int error = errno;
        close(tree);
        errno = error;
        tree = -1;
    }
    return tree;
}

/* ---- in a child, for those who may not mount --------------------------------------------------
 */

/* A new mount namespace has copies of all mounts, and only those can be copied in it: the directory
 * is opened anew by its path. A sandbox may have changed that meanwhile, so no link is followed,
 * and it must be the same directory. */
static int open_again(int folder)
{
    char link[32], path[PATH_MAX];
    struct open_how how = {.flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
                           .resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS};
    struct stat before, after;
    snprintf(link, sizeof(link), "/proc/self/fd/%d", folder);
    ssize_t len = readlink(link, path, sizeof(path) - 1);
    if (len < 0)
        return -1;
    path[len] = '\0';
    int fd = (int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof(how));
    if (fd < 0 || fstat(folder, &before) < 0 || fstat(fd, &after) < 0)
        return -1;
    if (before.st_dev != after.st_dev || before.st_ino != after.st_ino) {
        errno = ESTALE;
        return -1;
    }
    return fd;
}

union control {
    struct cmsghdr head;
    char room[CMSG_SPACE(sizeof(int))];
};

/* The errno, and the mount if that is 0. */
static int send_outcome(int socket, int error, int tree)
{
    union control control = {0};
    struct iovec part = {.iov_base = &error, .iov_len = sizeof(error)};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (error == 0) {
        message.msg_control = &control;
        message.msg_controllen = sizeof(control);
        control.head = (struct cmsghdr){
            .cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
        memcpy(CMSG_DATA(&control.head), &tree, sizeof(tree));
    }
    return sendmsg(socket, &message, MSG_NOSIGNAL) < 0;
}

static int receive_outcome(int socket, int *out_tree)
{
    union control control;
    int error = EIO;
    struct iovec part = {.iov_base = &error, .iov_len = sizeof(error)};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof(control)};
    if (recvmsg(socket, &message, MSG_CMSG_CLOEXEC) != sizeof(error))
        return EIO;
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    if (error == 0 && !head)
        return EIO;
    if (error == 0)
        memcpy(out_tree, CMSG_DATA(head), sizeof(*out_tree));
    return error;
}

static _Noreturn void run_child(int folder, bool read_only, int socket)
{
    int tree = -1;
    if (unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0) {
        int own = open_again(folder);
        tree = own < 0 ? -1 : make_tree(own, read_only, -1);
    }
    _exit(send_outcome(socket, tree < 0 ? errno : 0, tree));
}

/* Returns 0 or an errno. */
static int make_in_child(int folder, bool read_only, int *out_tree)
{
    int ends[2], error = 0;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        return errno;
    pid_t pid = fork();
    if (pid == 0)
        run_child(folder, read_only, ends[1]);
    if (pid < 0)
        error = errno;
    close(ends[1]);
    if (pid > 0) {
        error = receive_outcome(ends[0], out_tree);
        waitpid(pid, NULL, 0);
    }
    close(ends[0]);
    return error;
}

/* ---- owners -----------------------------------------------------------------------------------
 */

static int write_map(pid_t pid, const char *name, uid_t user)
{
    char path[64], line[64];
    snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
    int len = snprintf(line, sizeof(line), "%u %u 1\n", (unsigned)CWSD_TREE_OWNER, (unsigned)user);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return errno;
    int error = write(fd, line, (size_t)len) == len ? 0 : errno;
    close(fd);
    return error;
}

/* The namespace of a child that has said that it is in one. */
static int map_users(pid_t pid, uid_t user, int *out_users)
{
    char path[64];
    int error = write_map(pid, "uid_map", user);
    if (error == 0)
        error = write_map(pid, "gid_map", user);
    if (error != 0)
        return error;
    snprintf(path, sizeof(path), "/proc/%d/ns/user", (int)pid);
    *out_users = open(path, O_RDONLY | O_CLOEXEC);
    return *out_users < 0 ? errno : 0;
}

static _Noreturn void hold_namespace(int socket)
{
    char byte;
    int error = unshare(CLONE_NEWUSER) < 0 ? errno : 0;
    ssize_t done = write(socket, &error, sizeof(error));
    if (done == sizeof(error) && error == 0)
        done = read(socket, &byte, 1); /* until the parent closes its end */
    _exit(done < 0);
}

/* A user namespace in which the owner of the files is `user`. Returns 0 or an errno. */
static int make_users(uid_t user, int *out_users)
{
    int ends[2], error = EIO;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        return errno;
    pid_t pid = fork();
    if (pid == 0) {
        close(ends[0]);
        hold_namespace(ends[1]);
    }
    if (pid < 0)
        error = errno;
    close(ends[1]);
    if (pid > 0) {
        if (read(ends[0], &error, sizeof(error)) != sizeof(error))
            error = EIO;
        if (error == 0)
            error = map_users(pid, user, out_users);
    }
    close(ends[0]);
    if (pid > 0)
        waitpid(pid, NULL, 0);
    return error;
}

enum cws_status cwsd_tree_make(int folder, bool read_only, uid_t user, int *out_tree,
                               struct cws_error *err)
{
    int users = -1, error = 0;
    if (user && (error = make_users(user, &users)) != 0)
        return cws_error_set_errno(err, CWS_SYSTEM, error, "a user namespace for a mount");
    *out_tree = make_tree(folder, read_only, users);
    if (*out_tree < 0)
        error = errno;
    if (users >= 0)
        close(users);
    if (error == EPERM && !user)
        error = make_in_child(folder, read_only, out_tree);
    if (error == EINVAL && user)
        return cws_error_set(err, CWS_SYSTEM,
                             "the file system, or the kernel, has no id-mapped mounts");
    if (error != 0)
        return cws_error_set_errno(err, CWS_SYSTEM, error, "a mount of the volume's directory");
    return CWS_OK;
}
