/*
 * Scratch volumes: file systems of their own, which the daemon gets a descriptor of, and what of
 * them is seen where.
 *
 * No path is followed blindly. What a volume brings may have been made by a hostile sandbox, so of
 * a source no symbolic link is followed. A target may lie behind the links that are in sight of
 * commands, too, but never over what the init itself depends on.
 */
#include <linux/fcntl.h>
#include <linux/limits.h>
#include <linux/mount.h>

#include "init.h"
#include "message.h"

/* As directories of Kubernetes' empty volumes. */
#define VOLUME_DIRECTORY_MODE 0777

#define FOLDER_FLAGS (O_PATH | O_DIRECTORY | O_CLOEXEC)

static int report_volume(long fd)
{
    static uint32_t count;
    struct cwsi_report report = {.op = CWSI_VOLUME, .id = count++};
    long rc = report_descriptor(&report, (int)fd);
    return rc < 0 ? (int)rc : 0;
}

int volume_make(char *path, const char *options)
{
    bool made;
    int rc = ensure_directory(path, VOLUME_DIRECTORY_MODE, &made);
    if (rc == 0)
        rc = (int)SYS5(mount, "cwsandbox", path, "tmpfs", MS_NOSUID | MS_NODEV, options);
    if (rc != 0)
        return rc;
    long fd = SYS4(openat, AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    if (fd < 0)
        return (int)fd;
    rc = report_volume(fd);
    SYS1(close, fd);
    return rc;
}

/* A directory inside of a directory; made if it is missing, no link. */
static long open_part(long dir, const char *name)
{
    long fd = SYS4(openat, dir, name, FOLDER_FLAGS | O_NOFOLLOW, 0);
    if (fd != -ENOENT)
        return fd;
    long rc = SYS3(mkdirat, dir, name, VOLUME_DIRECTORY_MODE);
    return rc < 0 ? rc : SYS4(openat, dir, name, FOLDER_FLAGS | O_NOFOLLOW, 0);
}

/* Modifies the path while it goes. */
static long open_source(char *path)
{
    long fd = SYS4(openat, AT_FDCWD, "/", FOLDER_FLAGS, 0);
    while (fd >= 0 && *path) {
        char *end = ++path;
        while (*end && *end != '/')
            end++;
        char last = *end;
        *end = '\0';
        long next = *path ? open_part(fd, path) : -EINVAL;
        *end = last;
        SYS1(close, fd);
        fd = next;
        path = end;
    }
    return fd;
}

static void descriptor_path(char path[32], long fd)
{
    path[0] = '\0';
    text_append(path, 32, "/proc/self/fd/");
    text_append_number(path, 32, (unsigned long)fd);
}

static bool is_at_or_below(const char *path, const char *folder)
{
    char next = text_starts(path, folder) ? path[text_len(folder)] : 'x';
    return next == '\0' || next == '/';
}

/* `path` is without links. */
static bool is_kept_free(const char *path)
{
    static const char *const folders[] = {"/proc", "/dev", "/sys", CWSI_HIDDEN};
    for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++)
        if (is_at_or_below(path, folders[i]))
            return true;
    return path[0] != '/' || !path[1];
}

/* The directory's descriptor, and where it really is. */
static long open_target(char *path, char real[PATH_MAX])
{
    char link[32];
    bool made;
    long rc = ensure_directory(path, VOLUME_DIRECTORY_MODE, &made);
    if (rc < 0)
        return rc;
    long fd = SYS4(openat, AT_FDCWD, path, FOLDER_FLAGS, 0);
    if (fd < 0)
        return fd;
    descriptor_path(link, fd);
    rc = SYS4(readlinkat, AT_FDCWD, link, real, PATH_MAX - 1);
    if (rc >= 0) {
        real[rc] = '\0';
        rc = is_kept_free(real) ? -EPERM : 0;
    }
    if (rc == 0)
        return fd;
    SYS1(close, fd);
    return rc;
}

int volume_mount(char *path, char *source, bool read_only)
{
    static char real[PATH_MAX];
    char from[32], to[32];
    struct mount_attr attr = {.attr_set = MOUNT_ATTR_RDONLY};
    long target = open_target(path, real);
    if (target < 0)
        return (int)target;
    long rc = open_source(source);
    if (rc >= 0) {
        descriptor_path(from, rc);
        descriptor_path(to, target);
        long mounted = SYS5(mount, from, to, NULL, MS_BIND, NULL);
        SYS1(close, rc);
        rc = mounted;
    }
    SYS1(close, target);
    if (rc == 0 && read_only)
        rc = SYS5(mount_setattr, AT_FDCWD, real, 0, &attr, sizeof(attr));
    return (int)rc;
}

int volume_await(void)
{
    struct cwsi_request request;
    long got = SYS6(recvfrom, CWSI_SOCKET, &request, sizeof(request), 0, NULL, NULL);
    if (got < 0)
        return (int)got;
    return got == sizeof(request) && request.op == CWSI_GO ? 0 : -ECANCELED;
}

/* ---- between the containers of a sandbox ----------------------------------------------------- */

/* Each has mounts and users of its own. A mount that is nowhere yet can go from one to the other.
 */
int volume_lend(char *source, bool read_only)
{
    struct mount_attr attr = {.attr_set = MOUNT_ATTR_RDONLY};
    long folder = open_source(source);
    if (folder < 0)
        return (int)folder;
    long tree = SYS3(open_tree, folder, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    SYS1(close, folder);
    if (tree < 0)
        return (int)tree;
    long rc = 0;
    if (read_only)
        rc = SYS5(mount_setattr, tree, "", AT_EMPTY_PATH, &attr, sizeof(attr));
    if (rc == 0)
        rc = report_volume(tree);
    SYS1(close, tree);
    return (int)rc;
}

/* The mount that comes next. */
static long receive_tree(void)
{
    struct cwsi_request request;
    struct message_part part = {.base = &request, .len = sizeof(request)};
    struct control control = {0};
    struct message message = {
        .parts = &part, .part_count = 1, .control = &control, .control_len = sizeof(control)};
    long got = SYS3(recvmsg, CWSI_SOCKET, &message, MSG_CLOSE_ON_EXEC);
    if (got < 0)
        return got;
    if (got != sizeof(request) || request.op != CWSI_GIVE || message.flags & MSG_CUT ||
        control.len != offsetof(struct control, fds) + sizeof(int))
        return -ECANCELED;
    return control.fds[0];
}

int volume_take(char *path)
{
    static char real[PATH_MAX];
    long tree = receive_tree();
    if (tree < 0)
        return (int)tree;
    long rc = open_target(path, real);
    if (rc >= 0) {
        long target = rc;
        rc = SYS5(move_mount, tree, "", target, "",
                  MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
        SYS1(close, target);
    }
    SYS1(close, tree);
    return (int)rc;
}
