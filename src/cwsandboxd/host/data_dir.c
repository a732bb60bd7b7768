#include "host/data_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "host/dir.h"
#include "host/lock.h"

#define LOCK_NAME "lock"

/* For a daemon that is ending. */
#define PATIENCE_NS (2 * CWS_NS_PER_S)

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

/* The lock is on a file, since the directory itself may be opened by anybody's `ls`. */
static enum cws_status lock(int dir_fd, const char *path, int *out_fd, struct cws_error *err)
{
    *out_fd = cwsd_lock_take(dir_fd, LOCK_NAME, PATIENCE_NS);
    if (*out_fd >= 0)
        return CWS_OK;
    if (errno == EWOULDBLOCK)
        return cws_error_set(err, CWS_INVALID,
                             "the data directory %s is in use by another cwsandboxd", path);
    return cws_error_set_errno(err, CWS_SYSTEM, errno, "cannot lock %s/" LOCK_NAME, path);
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
