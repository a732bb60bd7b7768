/*
 * Scratch volumes: file systems of their own, which the daemon gets a descriptor of, and what of
 * them is seen where.
 *
 * No path is followed blindly. What a volume brings may have been made by a hostile sandbox, so of
 * a source no symbolic link is followed, nor of a target where it leads through a volume. Outside
 * of volumes a target may lie behind links, but never over what the init itself depends on. What
 * was looked at is held by its descriptor until it is used, since another container that has the
 * same volume may rename what is there.
 */
#include <linux/fcntl.h>
#include <linux/limits.h>
#include <linux/mount.h>
#include <linux/stat.h>

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

static long open_root(void)
{
    return SYS4(openat, AT_FDCWD, "/", FOLDER_FLAGS, 0);
}

static char *end_of_part(char *part)
{
    while (*part && *part != '/')
        part++;
    return part;
}

/* Opens what has that name in the directory, be it a link. What is missing is made, of this kind
 * and with this mode, by us or by another sandbox. */
static long open_part(long dir, const char *name, long flags, uint32_t mode)
{
    long fd = SYS4(openat, dir, name, flags, 0);
    if (fd != -ENOENT)
        return fd;
    long rc = (mode & S_IFMT) == S_IFDIR ? SYS3(mkdirat, dir, name, mode & 07777)
                                         : SYS4(mknodat, dir, name, mode, 0);
    return rc < 0 && rc != -EEXIST ? rc : SYS4(openat, dir, name, flags, 0);
}

/* Opens a directory of a volume, and makes what is missing. Modifies the path while it goes. */
static long open_source(char *path)
{
    long fd = open_root();
    while (fd >= 0 && *path) {
        char *end = end_of_part(++path);
        char last = *end;
        *end = '\0';
        long next =
            *path ? open_part(fd, path, FOLDER_FLAGS | O_NOFOLLOW, S_IFDIR | VOLUME_DIRECTORY_MODE)
                  : -EINVAL;
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

/* ---- places --------------------------------------------------------------------------------- */

#define MAX_VOLUME_MOUNTS 128

static struct {
    uint64_t ids[MAX_VOLUME_MOUNTS];
    unsigned count;
} volume_mounts;

/* The mount that the descriptor is of, and what it is; both 0 if that cannot be told. */
static void look_at(long fd, uint64_t *out_mount, unsigned *out_type)
{
    struct statx status;
    long rc = SYS5(statx, fd, "", AT_EMPTY_PATH, STATX_TYPE | STATX_MNT_ID, &status);
    *out_mount = rc == 0 ? status.stx_mnt_id : 0;
    *out_type = rc == 0 ? status.stx_mode & S_IFMT : 0;
}

static bool is_in_volume(long fd)
{
    uint64_t mount;
    unsigned type;
    look_at(fd, &mount, &type);
    for (unsigned i = 0; i < volume_mounts.count; i++)
        if (volume_mounts.ids[i] == mount)
            return true;
    return false;
}

/* As many as the kernel follows. */
#define MAX_LINKS 40

/* Puts where the link leads in front of what is left of the path. */
static long follow(long link, char path[PATH_MAX], const char *rest)
{
    char whole[PATH_MAX];
    long len = SYS4(readlinkat, link, "", whole, sizeof(whole));
    if (len < 0)
        return len;
    if (len + text_len(rest) >= sizeof(whole))
        return -ENAMETOOLONG;
    whole[len] = '\0';
    text_append(whole, sizeof(whole), rest);
    memcpy(path, whole, len + text_len(rest) + 1);
    return 0;
}

/* Opens what the path leads to, which is changed on the way. Links are followed here rather than by
 * the kernel: what they name may lead through a volume, too. */
static long open_way(char path[PATH_MAX], uint32_t mode)
{
    uint64_t mount;
    unsigned type, links = 0;
    char *at = path;
    long dir = open_root();
    while (dir >= 0 && *at) {
        at += *at == '/';
        char *end = end_of_part(at);
        char last = *end;
        *end = '\0';
        long next = open_part(dir, *at ? at : ".", O_PATH | O_NOFOLLOW | O_CLOEXEC,
                              last ? S_IFDIR | 0755 : mode);
        *end = last;
        at = end;
        look_at(next, &mount, &type);
        if (type == S_IFLNK) {
            long link = next;
            next = is_in_volume(dir) || links++ == MAX_LINKS ? -ELOOP : follow(link, path, end);
            SYS1(close, link);
            at = path;
            if (next == 0 && *path != '/')
                continue;
            next = next < 0 ? next : open_root();
        }
        SYS1(close, dir);
        dir = next;
    }
    return dir;
}

/* Whether the init depends on what is there, or it cannot be told. */
static bool is_taken(long fd)
{
    static char real[PATH_MAX];
    char link[32];
    descriptor_path(link, fd);
    long len = SYS4(readlinkat, AT_FDCWD, link, real, PATH_MAX - 1);
    real[len > 0 ? len : 0] = '\0';
    return is_kept_free(real);
}

long volume_open_place(const char *path, uint32_t mode)
{
    char way[PATH_MAX] = "";
    uint64_t mount;
    unsigned type;
    if (text_len(path) >= sizeof(way))
        return -ENAMETOOLONG;
    text_append(way, sizeof(way), path);
    long fd = open_way(way, mode);
    if (fd < 0)
        return fd;
    look_at(fd, &mount, &type);
    bool folder = (mode & S_IFMT) == S_IFDIR;
    long rc = 0;
    if ((type == S_IFDIR) != folder)
        rc = -ENOTDIR;
    else if (folder && is_taken(fd))
        rc = -EPERM;
    if (rc == 0)
        return fd;
    SYS1(close, fd);
    return rc;
}

long volume_clone(long fd, bool read_only)
{
    struct mount_attr attr = {.attr_set = MOUNT_ATTR_RDONLY};
    long tree = SYS3(open_tree, fd, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    if (tree < 0 || !read_only)
        return tree;
    long rc = SYS5(mount_setattr, tree, "", AT_EMPTY_PATH, &attr, sizeof(attr));
    if (rc == 0)
        return tree;
    SYS1(close, tree);
    return rc;
}

int volume_attach(long tree, long place)
{
    return (int)SYS5(move_mount, tree, "", place, "",
                     MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
}

/* Closes the tree, which is a volume's. */
static int attach_volume(long tree, const char *path)
{
    uint64_t mount;
    unsigned type;
    long rc = volume_open_place(path, S_IFDIR | VOLUME_DIRECTORY_MODE);
    if (rc >= 0) {
        long place = rc;
        look_at(tree, &mount, &type);
        rc = volume_mounts.count == MAX_VOLUME_MOUNTS ? -E2BIG : volume_attach(tree, place);
        if (rc == 0)
            volume_mounts.ids[volume_mounts.count++] = mount;
        SYS1(close, place);
    }
    SYS1(close, tree);
    return (int)rc;
}

int volume_mount(const char *path, char *source, bool read_only)
{
    long folder = open_source(source);
    if (folder < 0)
        return (int)folder;
    long tree = volume_clone(folder, read_only);
    SYS1(close, folder);
    return tree < 0 ? (int)tree : attach_volume(tree, path);
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
    long folder = open_source(source);
    if (folder < 0)
        return (int)folder;
    long tree = volume_clone(folder, read_only);
    SYS1(close, folder);
    if (tree < 0)
        return (int)tree;
    int rc = report_volume(tree);
    SYS1(close, tree);
    return rc;
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

int volume_take(const char *path)
{
    long tree = receive_tree();
    return tree < 0 ? (int)tree : attach_volume(tree, path);
}

/* Only the init has been here so far. */
int volume_adopt(char *path)
{
    bool made;
    long tree = receive_tree();
    if (tree < 0)
        return (int)tree;
    long rc = ensure_directory(path, VOLUME_DIRECTORY_MODE, &made);
    if (rc == 0)
        rc = SYS5(move_mount, tree, "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH);
    SYS1(close, tree);
    return (int)rc;
}
