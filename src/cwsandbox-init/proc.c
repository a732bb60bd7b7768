/* /proc: what commands may not touch in it, and who our children are. */
#include <linux/fcntl.h>
#include <linux/mount.h>
#include <linux/signal.h>
#include <linux/stat.h>

#include "init.h"

#define DT_DIR 4
#define DT_REG 8

struct entry {
    uint64_t inode;
    int64_t offset;
    uint16_t size;
    uint8_t type;
    char name[];
};

static int make_read_only(const char *path)
{
    struct mount_attr attr = {.attr_set = MOUNT_ATTR_RDONLY};
    long rc = SYS5(mount, path, path, NULL, MS_BIND | MS_REC, NULL);
    if (rc == 0)
        rc = SYS5(mount_setattr, AT_FDCWD, path, AT_RECURSIVE, &attr, sizeof(attr));
    return (int)rc;
}

/*
 * A rule instead of a list, so that it holds for what other kernels have in there. It matters most
 * when the daemon is root: root in the sandbox is then root for these files' permission bits, and a
 * write to /proc/sys/kernel/core_pattern or /proc/sysrq-trigger asks for nothing else.
 */
static int seal(const char *name, unsigned type)
{
    char path[280] = "/proc/";
    struct statx status;
    text_append(path, sizeof(path), name);
    if (type == DT_DIR)
        return make_read_only(path);
    long rc = SYS5(statx, AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, STATX_MODE, &status);
    if (rc == 0 && !(status.stx_mode & 0004))
        rc = SYS5(mount, "/dev/null", path, NULL, MS_BIND, NULL);
    else if (rc == 0 && status.stx_mode & 0222)
        rc = make_read_only(path);
    return (int)rc;
}

int proc_seal(void)
{
    char buffer[4096] __attribute__((aligned(8)));
    long fd = SYS4(openat, AT_FDCWD, "/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    long rc = fd;
    long got;
    while (rc >= 0 && (got = SYS3(getdents64, fd, buffer, sizeof(buffer))) != 0) {
        if (got < 0)
            rc = got;
        for (long at = 0; rc >= 0 && at < got;) {
            struct entry *entry = (void *)(buffer + at);
            at += entry->size;
            bool is_process = entry->name[0] >= '0' && entry->name[0] <= '9';
            if (!is_process && entry->name[0] != '.' &&
                (entry->type == DT_DIR || entry->type == DT_REG))
                rc = seal(entry->name, entry->type);
        }
    }
    if (fd >= 0)
        SYS1(close, fd);
    return rc < 0 ? (int)rc : 0;
}

void proc_kill_children(void)
{
    char buffer[4096];
    long got;
    int pid = 0;
    long fd = SYS4(openat, AT_FDCWD, "/proc/thread-self/children", O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0)
        return;
    while ((got = SYS3(read, fd, buffer, sizeof(buffer))) > 0) {
        for (long i = 0; i < got; i++) {
            if (buffer[i] >= '0' && buffer[i] <= '9') {
                pid = pid * 10 + (buffer[i] - '0');
            } else if (pid > 0) {
                SYS2(kill, pid, SIGKILL);
                pid = 0;
            }
        }
    }
    SYS1(close, fd);
}
