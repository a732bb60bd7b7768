#include "host/lifeline.h"

#include <errno.h>
#include <unistd.h>

static void on_closed(struct cwsd_watch *watch)
{
    (void)watch; /* the memory is the caller's */
}

static void on_readable(struct cwsd_watch *watch, int events)
{
    struct cwsd_lifeline *lifeline = cws_container_of(watch, struct cwsd_lifeline, watch);
    char bytes[64];
    (void)events;
    ssize_t len = read(watch->fd, bytes, sizeof(bytes));
    if (len < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (len > 0) {
        lifeline->asked(lifeline);
        return;
    }
    cwsd_watch_close(watch, on_closed);
    lifeline->lost(lifeline);
}

enum cws_status cwsd_lifeline_open(struct cwsd_lifeline *lifeline, struct cws_loop *loop, int fd,
                                   struct cws_error *err)
{
    enum cws_status status = cwsd_watch_open(loop, &lifeline->watch, fd, on_readable, err);
    if (status == CWS_OK)
        cwsd_watch_for(&lifeline->watch, UV_READABLE);
    return status;
}

int cwsd_lifeline_release(struct cwsd_lifeline *lifeline)
{
    return cwsd_watch_take(&lifeline->watch, on_closed);
}
