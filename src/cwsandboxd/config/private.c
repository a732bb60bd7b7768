#include "config/private.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

bool cwsd_private(const struct stat *info)
{
    return info->st_uid == geteuid() && (info->st_mode & 077) == 0;
}

enum cws_status cwsd_private_check(int fd, mode_t kind, const char *path, struct cws_error *err)
{
    struct stat info;
    bool folder = kind == S_IFDIR;
    if (fstat(fd, &info) < 0)
        return cws_error_set_errno(err, CWS_SYSTEM, errno, "cannot look at %s", path);
    if ((info.st_mode & S_IFMT) != kind)
        return cws_error_set(err, CWS_INVALID, "%s is not a %s", path,
                             folder ? "directory" : "regular file");
    if (!cwsd_private(&info))
        return cws_error_set(err, CWS_INVALID,
                             "%s must be this user's and for nobody else (mode %s, not 0%o)", path,
                             folder ? "0700" : "0600", (unsigned)(info.st_mode & 07777));
    return CWS_OK;
}

enum cws_status cwsd_private_open(const char *path, int *out_fd, struct cws_error *err)
{
    if (mkdir(path, 0700) < 0 && errno != EEXIST)
        return cws_error_set_errno(err, CWS_SYSTEM, errno, "%s", path);
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return cws_error_set_errno(err, CWS_SYSTEM, errno, "a folder at %s (no link)", path);
    enum cws_status status = cwsd_private_check(fd, S_IFDIR, path, err);
    if (status == CWS_OK)
        *out_fd = fd;
    else
        close(fd);
    return status;
}
