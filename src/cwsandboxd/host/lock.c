#include "host/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/clock.h"

#define CHILDREN_NS (5 * CWS_NS_PER_S)
#define PAUSE_US    5000

static int lock_process(int fd)
{
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    int rc = fcntl(fd, F_SETLK, &whole);
    if (rc < 0 && errno == EACCES)
        errno = EWOULDBLOCK;
    return rc;
}

static int lock_descriptor(int fd)
{
    return flock(fd, LOCK_EX | LOCK_NB);
}

static int try_for(int (*take)(int fd), int fd, uint64_t patience_ns)
{
    uint64_t until_ns = cws_clock_now_ns() + patience_ns;
    int rc;
    while ((rc = take(fd)) < 0 && errno == EWOULDBLOCK && cws_clock_now_ns() < until_ns)
        usleep(PAUSE_US);
    return rc;
}

int cwsd_lock_take(int dir_fd, const char *path, uint64_t patience_ns)
{
    int fd = openat(dir_fd, path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0 || (try_for(lock_process, fd, patience_ns) == 0 &&
                   try_for(lock_descriptor, fd, CHILDREN_NS) == 0))
        return fd;
    int saved = errno;
    close(fd);
    errno = saved;
    return -1;
}
