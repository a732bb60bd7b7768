/* What commands see of the host and must not change. Rules instead of lists, so that they hold for
 * what other kernels and other versions of bubblewrap put there. */
#include <linux/fcntl.h>
#include <linux/mount.h>
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

/* Calls `seal` with the path and type of everything in `folder` ("/proc/") until it fails. */
static int for_each(const char *folder, int (*seal)(const char *path, unsigned type))
{
    char buffer[4096] __attribute__((aligned(8)));
    char path[280];
    long fd = SYS4(openat, AT_FDCWD, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    long rc = fd;
    long got;
    while (rc >= 0 && (got = SYS3(getdents64, fd, buffer, sizeof(buffer))) != 0) {
        if (got < 0)
            rc = got;
        for (long at = 0; rc >= 0 && at < got;) {
            struct entry *entry = (void *)(buffer + at);
            at += entry->size;
            if (entry->name[0] == '.')
                continue;
            path[0] = '\0';
            text_append(path, sizeof(path), folder);
            text_append(path, sizeof(path), entry->name);
            rc = seal(path, entry->type);
        }
    }
    if (fd >= 0)
        SYS1(close, fd);
    return rc < 0 ? (int)rc : 0;
}

static int set_read_only(const char *path, unsigned flags)
{
    struct mount_attr attr = {.attr_set = MOUNT_ATTR_RDONLY};
    return (int)SYS5(mount_setattr, AT_FDCWD, path, flags, &attr, sizeof(attr));
}

static int make_read_only(const char *path)
{
    long rc = SYS5(mount, path, path, NULL, MS_BIND | MS_REC, NULL);
    return rc < 0 ? (int)rc : set_read_only(path, AT_RECURSIVE);
}

/* Keyrings belong to users, and commands have none: their calls are filtered. */
static bool lists_keys(const char *path)
{
    return text_starts(path, "/proc/key");
}

/*
 * It matters most when the daemon is root: root in the sandbox is then root for these files'
 * permission bits, and a write to /proc/sys/kernel/core_pattern or /proc/sysrq-trigger asks for
 * nothing else.
 */
static int seal_proc_entry(const char *path, unsigned type)
{
    struct statx status;
    char first = path[sizeof("/proc/") - 1];
    if ((first >= '0' && first <= '9') || (type != DT_DIR && type != DT_REG))
        return 0;
    if (type == DT_DIR)
        return make_read_only(path);
    long rc = SYS5(statx, AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, STATX_MODE, &status);
    if (rc == 0 && (!(status.stx_mode & 0004) || lists_keys(path)))
        rc = SYS5(mount, "/dev/null", path, NULL, MS_BIND, NULL);
    else if (rc == 0 && status.stx_mode & 0222)
        rc = make_read_only(path);
    return (int)rc;
}

int seal_proc(void)
{
    return for_each("/proc/", seal_proc_entry);
}

/* Each is a mount of the host's node on an empty file. Reading and writing the device is not what a
 * read-only mount forbids; changing the node's mode, owner and times is. */
static int seal_dev_entry(const char *path, unsigned type)
{
    struct statx status;
    if (type != DT_REG)
        return 0;
    long rc = SYS5(statx, AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, STATX_TYPE, &status);
    if (rc == 0 && (status.stx_mode & S_IFMT) != S_IFREG)
        rc = set_read_only(path, 0);
    return (int)rc;
}

int seal_dev(void)
{
    return for_each("/dev/", seal_dev_entry);
}
