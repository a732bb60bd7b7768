#include "host/data_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "host/dir.h"

#define LOCK_NAME "lock"

/* A daemon that was killed may have the lock until its last process is gone. */
#define LOCK_TRIES  100
#define LOCK_NAP_NS (20 * CWS_NS_PER_MS)

static enum cws_status check(int fd, const char *path, struct cws_error *err)
{
    struct stat info;
    if (fstat(fd, &info) < 0)
        return cws_error_set_errno(err, CWS_SYSTEM, errno, "cannot look at %s", path);
    if (info.st_uid == geteuid() && (info.st_mode & 077) == 0)
        return CWS_OK;
    return cws_error_set(err, CWS_INVALID,
                         "the data directory %s must be this user's and closed to others (mode "
                         "0700); it is user %lu's, mode 0%o",
                         path, (unsigned long)info.st_uid, (unsigned)(info.st_mode & 07777));
}

/* 0 or an errno; EWOULDBLOCK: another daemon has it, and does not let go. */
static int take_lock(int fd)
{
    const struct timespec nap = {.tv_nsec = LOCK_NAP_NS};
    int error = 0;
    for (int i = 0; i < LOCK_TRIES; i++) {
        error = flock(fd, LOCK_EX | LOCK_NB) < 0 ? errno : 0;
        if (error != EWOULDBLOCK)
            break;
        nanosleep(&nap, NULL);
    }
    return error;
}

/* The lock is on a file, since the directory itself may be opened by anybody's `ls`. */
static enum cws_status lock(int dir_fd, const char *path, int *out_fd, struct cws_error *err)
{
    int fd = openat(dir_fd, LOCK_NAME, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return cws_error_set_errno(err, CWS_SYSTEM, errno, "cannot open %s/" LOCK_NAME, path);
    int error = take_lock(fd);
    if (error == 0) {
        *out_fd = fd;
        return CWS_OK;
    }
    if (error == EWOULDBLOCK)
        cws_error_set(err, CWS_INVALID, "the data directory %s is in use by another cwsandboxd",
                      path);
    else
        cws_error_set_errno(err, CWS_SYSTEM, error, "cannot lock %s/" LOCK_NAME, path);
    close(fd);
    return err->status;
}

enum cws_status cwsd_data_dir_open(const char *path, struct cwsd_data_dir *out_dir,
                                   struct cws_error *err)
{
    struct cwsd_dir made;
    int fd = -1;
    memset(out_dir, 0, sizeof(*out_dir));
    out_dir->lock_fd = -1;
    if (cwsd_dir_make(path, &made, err) != CWS_OK)
        return err->status;
    if (cwsd_dir_check_parent(path, err) != CWS_OK)
        goto done;
    fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        cws_error_set_errno(err, CWS_SYSTEM, errno, "cannot open the data directory %s", path);
    else if (check(fd, path, err) == CWS_OK && lock(fd, path, &out_dir->lock_fd, err) == CWS_OK) {
        out_dir->path = made.path;
        made = (struct cwsd_dir){0};
    }
done:
    if (fd >= 0)
        close(fd);
    cwsd_dir_remove(&made);
    return out_dir->path ? CWS_OK : err->status;
}

void cwsd_data_dir_close(struct cwsd_data_dir *dir)
{
    if (!dir->path)
        return;
    close(dir->lock_fd);
    cws_free(dir->path);
    dir->path = NULL;
}
