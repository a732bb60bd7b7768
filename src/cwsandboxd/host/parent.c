#include "host/parent.h"

#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

static void on_readable(uv_poll_t *poll, int status, int events)
{
    (void)status, (void)events; /* a pidfd becomes readable once: when the process has ended */
    struct cwsd_parent *parent = poll->data;
    uv_poll_stop(poll);
    parent->died(parent->ctx);
}

enum cws_status cwsd_parent_watch(struct cwsd_parent *parent, struct cws_loop *loop, pid_t pid,
                                  void (*died)(void *ctx), void *ctx, struct cws_error *err)
{
    /* The descriptor first: if `pid` is still the parent afterwards, the descriptor is the
     * parent's and not that of a process that got its number since. */
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (fd < 0 && errno != ESRCH)
        return cws_error_set_errno(err, CWS_SYSTEM, errno, "--parent: cannot watch process %d",
                                   (int)pid);
    if (fd < 0 || getppid() != pid) {
        if (fd >= 0)
            close(fd);
        return cws_error_set(
            err, CWS_INVALID,
            "--parent: %d is not the process that started this one (that is %d), or has ended",
            (int)pid, (int)getppid());
    }
    int rc = uv_poll_init(cws_loop_uv(loop), &parent->poll, fd);
    if (rc < 0) {
        close(fd);
        return cws_error_set_uv(err, CWS_SYSTEM, rc, "--parent");
    }
    parent->fd = fd;
    parent->died = died;
    parent->ctx = ctx;
    parent->poll.data = parent;
    rc = uv_poll_start(&parent->poll, UV_READABLE, on_readable);
    if (rc < 0) {
        cwsd_parent_stop(parent);
        return cws_error_set_uv(err, CWS_SYSTEM, rc, "--parent");
    }
    return CWS_OK;
}

void cwsd_parent_stop(struct cwsd_parent *parent)
{
    if (parent->fd <= 0)
        return;
    uv_close((uv_handle_t *)&parent->poll, NULL);
    close(parent->fd);
    parent->fd = 0;
}
