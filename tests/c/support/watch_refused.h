/*
 * A kernel that has no epoll watches left, because other programs of the same user hold all that
 * the user may have. libuv's calls go through here, too.
 */
#pragma once

#include <errno.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

static bool no_watches;
static unsigned watches_refused;

int epoll_ctl(int epoll_fd, int op, int fd, struct epoll_event *event)
{
    if (no_watches && op == EPOLL_CTL_ADD) {
        /* A descriptor that is watched already does not count. */
        int rc = (int)syscall(SYS_epoll_ctl, epoll_fd, EPOLL_CTL_ADD, fd, event);
        if (rc < 0 && errno == EEXIST)
            return rc;
        if (rc == 0)
            syscall(SYS_epoll_ctl, epoll_fd, EPOLL_CTL_DEL, fd, event);
        watches_refused++;
        errno = ENOSPC;
        return -1;
    }
    return (int)syscall(SYS_epoll_ctl, epoll_fd, op, fd, event);
}
