/* The daemon's steps: what the file system of this sandbox looks like. */
#include <asm/statfs.h>
#include <linux/fcntl.h>
#include <linux/limits.h>
#include <linux/mount.h>
#include <linux/stat.h>

#include "init.h"

#define MNT_DETACH     2
#define DIRECTORY_MODE 0755

int make_parents(int base, char *path)
{
    for (char *c = path + 1; *c; c++) {
        if (*c != '/')
            continue;
        *c = '\0';
        long rc = SYS3(mkdirat, base, path, DIRECTORY_MODE);
        *c = '/';
        if (rc < 0 && rc != -EEXIST)
            return (int)rc;
    }
    return 0;
}

/* Tries without the parents first: they are nearly always there. */
#define WITH_PARENTS(rc, path, call) \
    do { \
        rc = (call); \
        if (rc == -ENOENT && (rc = make_parents(AT_FDCWD, path)) == 0) \
            rc = (call); \
    } while (0)

int ensure_directory(char *path, uint32_t mode, bool *out_made)
{
    long rc;
    WITH_PARENTS(rc, path, SYS3(mkdirat, AT_FDCWD, path, mode));
    *out_made = rc == 0;
    if (rc == -EEXIST) {
        struct statx status;
        rc = SYS5(statx, AT_FDCWD, path, 0, STATX_TYPE, &status);
        if (rc == 0 && (status.stx_mode & S_IFMT) != S_IFDIR)
            rc = -ENOTDIR;
    }
    return (int)rc;
}

static int make_directory(char *path, uint32_t mode)
{
    bool made;
    int rc = ensure_directory(path, mode, &made);
    if (rc == 0 && !made)
        rc = (int)SYS3(fchmodat, AT_FDCWD, path, mode);
    return rc;
}

int write_all(long fd, const char *data, uint64_t len)
{
    while (len) {
        long written = SYS3(write, fd, data, len);
        if (written < 0)
            return (int)written;
        data += written;
        len -= (uint64_t)written;
    }
    return 0;
}

static long create(char *path, uint32_t mode)
{
    long fd;
    WITH_PARENTS(fd, path,
                 SYS4(openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode));
    return fd;
}

/* A new, empty file; one that was there is replaced. Returns its descriptor. */
static long new_file(char *path, uint32_t mode)
{
    long fd = create(path, mode);
    if (fd == -EEXIST) {
        SYS3(unlinkat, AT_FDCWD, path, 0);
        fd = create(path, mode);
    }
    return fd;
}

static int write_file(char *path, const char *data, uint64_t len, uint32_t mode)
{
    long fd = new_file(path, mode);
    if (fd < 0)
        return (int)fd;
    int rc = write_all(fd, data, len);
    SYS1(close, fd);
    return rc;
}

static int make_symlink(char *path, const char *target)
{
    long rc;
    WITH_PARENTS(rc, path, SYS3(symlinkat, target, AT_FDCWD, path));
    if (rc == -EEXIST) {
        SYS3(unlinkat, AT_FDCWD, path, 0);
        rc = SYS3(symlinkat, target, AT_FDCWD, path);
    }
    return (int)rc;
}

static int copy_symlink(const char *source, char *path)
{
    char target[PATH_MAX];
    long rc = SYS4(readlinkat, AT_FDCWD, source, target, sizeof(target) - 1);
    if (rc < 0)
        return (int)rc;
    target[rc] = '\0';
    return make_symlink(path, target);
}

static int copy_content(long from, char *path, uint64_t size, uint32_t mode)
{
    long rc = 0;
    long to = new_file(path, mode & 0777);
    if (to < 0)
        return (int)to;
    /* No more than there was, no matter what is written to the host's file meanwhile. */
    while (size && (rc = SYS4(sendfile, to, from, NULL, size)) > 0)
        size -= (uint64_t)rc;
    SYS1(close, to);
    return rc < 0 ? (int)rc : 0;
}

static int copy(const char *source, char *path)
{
    struct statx status;
    long from = SYS4(openat, AT_FDCWD, source, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0);
    if (from == -ELOOP)
        return copy_symlink(source, path);
    if (from < 0)
        return (int)from;
    long rc = SYS5(statx, from, "", AT_EMPTY_PATH, STATX_MODE | STATX_TYPE | STATX_SIZE, &status);
    /* A file that not everybody on the host may read is treated as missing. */
    if (rc == 0 && ((status.stx_mode & S_IFMT) != S_IFREG || !(status.stx_mode & 0004)))
        rc = -ENOENT;
    if (rc == 0)
        rc = copy_content(from, path, status.stx_size, status.stx_mode);
    SYS1(close, from);
    return (int)rc;
}

static int bind(const char *source, char *path)
{
    struct statx status;
    long rc = SYS5(statx, AT_FDCWD, source, 0, STATX_TYPE, &status);
    if (rc < 0)
        return (int)rc;
    if ((status.stx_mode & S_IFMT) == S_IFDIR) {
        WITH_PARENTS(rc, path, SYS3(mkdirat, AT_FDCWD, path, DIRECTORY_MODE));
    } else {
        WITH_PARENTS(rc, path, SYS4(mknodat, AT_FDCWD, path, S_IFREG | 0644, 0));
    }
    if (rc == 0 || rc == -EEXIST)
        rc = SYS5(mount, source, path, NULL, MS_BIND | MS_REC, NULL);
    return (int)rc;
}

/* What is mounted on a directory hides what lies below it; this shows it. */
static int view(const char *source, char *path)
{
    bool made;
    int rc = ensure_directory(path, DIRECTORY_MODE, &made);
    return rc < 0 ? rc : (int)SYS5(mount, source, path, NULL, MS_BIND, NULL);
}

static int overlay(const char *path, const char *upper)
{
    char options[1024] = "userxattr,lowerdir=";
    char directory[PATH_MAX] = "";
    static const char *const parts[] = {"/up", "/work"};
    text_append(options, sizeof(options), path);
    for (size_t i = 0; i < 2; i++) {
        directory[0] = '\0';
        text_append(directory, sizeof(directory), upper);
        text_append(directory, sizeof(directory), parts[i]);
        long rc;
        WITH_PARENTS(rc, directory, SYS3(mkdirat, AT_FDCWD, directory, DIRECTORY_MODE));
        if (rc < 0 && rc != -EEXIST)
            return (int)rc;
        text_append(options, sizeof(options), i == 0 ? ",upperdir=" : ",workdir=");
        text_append(options, sizeof(options), directory);
    }
    return (int)SYS5(mount, "cwsandbox", path, "overlay", MS_NOSUID | MS_NODEV, options);
}

/* The content lies where commands cannot reach it, and shows through a mount that cannot be written
 * to. Where mounts are refused the file itself is there. */
static int mount_file(char *path, const char *data, uint64_t len, uint32_t mode)
{
    static unsigned long count;
    char hidden[64] = CWSI_HIDDEN "/files/";
    text_append_number(hidden, sizeof(hidden), count++);
    int rc = write_file(hidden, data, len, mode);
    if (rc != 0)
        return rc;
    long place = volume_open_place(path, S_IFREG | 0644);
    if (place < 0)
        return (int)place;
    long file = SYS4(openat, AT_FDCWD, hidden, O_PATH | O_CLOEXEC, 0);
    long tree = file < 0 ? file : volume_clone(file, true);
    rc = tree < 0 ? (int)tree : volume_attach(tree, place);
    SYS1(close, place);
    if (file >= 0)
        SYS1(close, file);
    if (tree >= 0)
        SYS1(close, tree);
    return rc == -EPERM || rc == -EACCES ? write_file(path, data, len, mode) : rc;
}

static int detach(const char *path)
{
    long rc = SYS2(umount2, path, MNT_DETACH);
    if (rc == 0) {
        rc = SYS3(unlinkat, AT_FDCWD, path, AT_REMOVEDIR);
        if (rc == -ENOTDIR)
            rc = SYS3(unlinkat, AT_FDCWD, path, 0);
    }
    return (int)rc;
}

static int set(const char *setting, const char *value, uint64_t len)
{
    long fd = SYS4(openat, AT_FDCWD, setting, O_WRONLY | O_CLOEXEC, 0);
    if (fd < 0)
        return (int)fd;
    int rc = write_all(fd, value, len);
    SYS1(close, fd);
    return rc;
}

/* What else the mount forbids stays as it is. */
static int resize(const char *path, const char *limits)
{
    struct statfs status;
    long rc = SYS2(statfs, path, &status);
    if (rc < 0)
        return (int)rc;
    unsigned long kept = status.f_flags & (MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC);
    return (int)SYS5(mount, NULL, path, NULL, MS_REMOUNT | kept, limits);
}

static int limit_resource(uint32_t resource, const char *value, uint64_t len)
{
    uint64_t most;
    if (len != sizeof(most))
        return -EINVAL;
    memcpy(&most, value, sizeof(most));
    return guard_limit((int)resource, most, most);
}

static int run_step(const struct cwsi_step *step, char *a, char *b)
{
    bool made;
    switch (step->op) {
    case CWSI_STEP_PRIVATE:
        return (int)SYS5(mount, NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
    case CWSI_STEP_MKDIR:
        return make_directory(a, step->mode);
    case CWSI_STEP_FILE:
        return write_file(a, b, step->b_len, step->mode);
    case CWSI_STEP_SYMLINK:
        return make_symlink(a, b);
    case CWSI_STEP_COPY:
        return copy(a, b);
    case CWSI_STEP_VIEW:
        return view(a, b);
    case CWSI_STEP_BIND:
        return bind(a, b);
    case CWSI_STEP_OVERLAY:
        return overlay(a, b);
    case CWSI_STEP_MOUNT_FILE:
        return mount_file(a, b, step->b_len, step->mode);
    case CWSI_STEP_SEAL_PROC:
        return seal_proc();
    case CWSI_STEP_SEAL_DEV:
        return seal_dev();
    case CWSI_STEP_DETACH:
        return detach(a);
    case CWSI_STEP_SETTING:
        return set(a, b, step->b_len);
    case CWSI_STEP_RESIZE:
        return resize(a, b);
    case CWSI_STEP_LIMIT:
        return limit_resource(step->mode, b, step->b_len);
    case CWSI_STEP_ENSURE_DIR:
        return ensure_directory(a, DIRECTORY_MODE, &made);
    case CWSI_STEP_VOLUME:
        return volume_make(a, b);
    case CWSI_STEP_AWAIT:
        return volume_await();
    case CWSI_STEP_LEND:
        return volume_lend(a, step->mode);
    case CWSI_STEP_TAKE:
        return volume_take(a);
    case CWSI_STEP_ADOPT:
        return volume_adopt(a);
    case CWSI_STEP_MOUNT_VOLUME:
        return volume_mount(a, b, step->mode);
    default:
        return -EINVAL;
    }
}

static bool may_go_on(const struct cwsi_step *step, int rc)
{
    return rc == 0 || step->flags & CWSI_STEP_TRY ||
           (step->flags & CWSI_STEP_IF_EXISTS &&
            (rc == -ENOENT || rc == -ENOTDIR || rc == -EACCES));
}

int setup_run(char *block, uint64_t size, struct fault *fault)
{
    SYS1(umask, 0); /* what is made has the mode that it is made with */
    for (uint64_t at = 0; at < size;) {
        struct cwsi_step *step = (void *)(block + at);
        uint64_t left = size - at;
        if (left < sizeof(*step) || step->a_len >= left - sizeof(*step) ||
            step->b_len >= left - sizeof(*step) - step->a_len - 1)
            return -EINVAL;
        char *a = (char *)(step + 1);
        char *b = a + step->a_len + 1;
        int rc = run_step(step, a, b);
        fault->detail = step->op;
        fault->path = a;
        if (!may_go_on(step, rc))
            return rc;
        at += (sizeof(*step) + step->a_len + 1 + step->b_len + 1 + 7) & ~7ull;
    }
    return 0;
}
