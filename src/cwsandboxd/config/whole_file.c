#include "config/whole_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* So that the name, too, outlives a loss of power. */
static int sync_folder_of(int dir, const char *name)
{
    char folder[PATH_MAX];
    const char *end = strrchr(name, '/');
    size_t len = !end ? 0 : end == name ? 1 : (size_t)(end - name);
    snprintf(folder, sizeof(folder), "%.*s", len ? (int)len : 1, len ? name : ".");
    int fd = openat(dir, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int error = fd < 0 || fsync(fd) < 0 ? errno : 0;
    if (fd >= 0)
        close(fd);
    return error;
}

static int write_whole(int fd, mode_t mode, const void *data, size_t len)
{
    if (fchmod(fd, mode) < 0)
        return errno;
    ssize_t done = write(fd, data, len);
    if (done < 0)
        return errno;
    if ((size_t)done < len)
        return ENOSPC;
    return fsync(fd) < 0 ? errno : 0;
}

int cwsd_whole_file_make(int dir, const char *name, mode_t mode, const void *data, size_t len)
{
    char temporary[PATH_MAX];
    if (snprintf(temporary, sizeof(temporary), "%s-%ld", name, (long)getpid()) >=
        (int)sizeof(temporary))
        return ENAMETOOLONG;
    int fd = openat(dir, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, mode);
    if (fd < 0)
        return errno;
    int error = write_whole(fd, mode, data, len);
    if (close(fd) < 0 && error == 0)
        error = errno;
    /* Not rename: what another daemon has just made stays. */
    if (error == 0 && linkat(dir, temporary, dir, name, 0) < 0)
        error = errno;
    unlinkat(dir, temporary, 0);
    return error ? error : sync_folder_of(dir, name);
}
