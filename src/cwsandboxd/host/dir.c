#include "host/dir.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"

#define LONGEST_PATH 4095

/* Makes the directory dir->path[0..len). */
static enum cws_status make_part(struct cwsd_dir *dir, size_t len, struct cws_error *err)
{
    char end = dir->path[len];
    enum cws_status status = CWS_OK;
    dir->path[len] = '\0';
    if (mkdir(dir->path, 0700) == 0)
        dir->made_from = dir->made_from ? dir->made_from : len;
    else if (errno != EEXIST)
        status =
            cws_error_set_errno(err, CWS_SYSTEM, errno, "cannot make the directory %s", dir->path);
    dir->path[len] = end;
    return status;
}

enum cws_status cwsd_dir_make(const char *path, struct cwsd_dir *out_dir, struct cws_error *err)
{
    size_t len = strlen(path);
    memset(out_dir, 0, sizeof(*out_dir));
    if (len > LONGEST_PATH)
        return cws_error_set(err, CWS_INVALID, "the path is too long: %s", path);
    out_dir->path = cws_strdup(path);
    if (!out_dir->path)
        return cws_error_set(err, CWS_NO_MEMORY, "out of memory");
    size_t done = 0;
    for (size_t at = 1; at <= len; at++) {
        if (path[at] != '/' && path[at] != '\0')
            continue;
        if (make_part(out_dir, at, err) != CWS_OK) {
            out_dir->path[done] = '\0';
            cwsd_dir_remove(out_dir);
            return err->status;
        }
        done = at;
    }
    return CWS_OK;
}

enum cws_status cwsd_dir_check_parent(const char *path, struct cws_error *err)
{
    struct stat info;
    const char *end = strrchr(path, '/');
    char *parent = cws_strndup(path, end && end > path ? (size_t)(end - path) : 1);
    enum cws_status status = CWS_OK;
    if (!parent)
        return cws_error_set(err, CWS_NO_MEMORY, "out of memory");
    if (stat(parent, &info) < 0)
        status = cws_error_set_errno(err, CWS_SYSTEM, errno, "cannot look at %s", parent);
    else if ((info.st_uid != geteuid() && info.st_uid != 0) ||
             ((info.st_mode & S_IWOTH) && !(info.st_mode & S_ISVTX)))
        status =
            cws_error_set(err, CWS_INVALID,
                          "%s cannot be used: others may change what is in it (it is user "
                          "%lu's, mode 0%o)",
                          parent, (unsigned long)info.st_uid, (unsigned)(info.st_mode & 07777));
    cws_free(parent);
    return status;
}

void cwsd_dir_remove(struct cwsd_dir *dir)
{
    size_t len = dir->path ? strlen(dir->path) : 0;
    while (dir->made_from && len >= dir->made_from && rmdir(dir->path) == 0) {
        while (len > dir->made_from && dir->path[len - 1] != '/')
            len--;
        if (len <= dir->made_from)
            break;
        dir->path[--len] = '\0';
    }
    cwsd_dir_keep(dir);
}

void cwsd_dir_keep(struct cwsd_dir *dir)
{
    cws_free(dir->path);
    memset(dir, 0, sizeof(*dir));
}
