#include "host/watch.h"

#include <unistd.h>

#define RETRY_NS (10 * CWS_NS_PER_MS)

static void on_poll(uv_poll_t *poll, int status, int events);

/* Whatever the kernel had for it before, libuv gives back first. Without memory for a retry it is
 * left to libuv. */
static void start(struct cwsd_watch *watch)
{
    uv_poll_start(&watch->poll, watch->wanted, on_poll);
    if (cws_loop_reserve(watch->loop, watch->fd) != 0 &&
        cws_timer_set(watch->loop, &watch->retry, cws_clock_now_ns() + RETRY_NS) == CWS_OK)
        uv_poll_stop(&watch->poll);
}

static void on_retry(struct cws_timer *retry)
{
    start(cws_container_of(retry, struct cwsd_watch, retry));
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct cwsd_watch *watch = cws_container_of(poll, struct cwsd_watch, poll);
    /* An error is learnt, with its cause, by the read or write that is tried now. libuv has stopped
     * the handle because of it, but one read need not take all that is left behind the error. */
    if (status < 0) {
        events = UV_READABLE | UV_WRITABLE;
        start(watch);
    }
    watch->ready(watch, events);
}

enum cws_status cwsd_watch_open(struct cws_loop *loop, struct cwsd_watch *watch, int fd,
                                void (*ready)(struct cwsd_watch *watch, int events),
                                struct cws_error *err)
{
    int rc = uv_poll_init(cws_loop_uv(loop), &watch->poll, fd);
    watch->fd = -1;
    watch->busy = false;
    if (rc < 0)
        return cws_error_set_uv(err, CWS_SYSTEM, rc, "watching a descriptor");
    watch->loop = loop;
    cws_timer_init(&watch->retry, on_retry);
    watch->fd = fd;
    watch->wanted = 0;
    watch->busy = true;
    watch->ready = ready;
    return CWS_OK;
}

void cwsd_watch_for(struct cwsd_watch *watch, int events)
{
    if (watch->fd < 0 || watch->wanted == events)
        return;
    watch->wanted = events;
    cws_timer_cancel(watch->loop, &watch->retry);
    if (events)
        start(watch);
    else
        uv_poll_stop(&watch->poll);
}

static void on_close(uv_handle_t *handle)
{
    struct cwsd_watch *watch = cws_container_of((uv_poll_t *)handle, struct cwsd_watch, poll);
    watch->busy = false;
    watch->closed(watch);
}

int cwsd_watch_take(struct cwsd_watch *watch, void (*closed)(struct cwsd_watch *watch))
{
    int fd = watch->fd;
    if (fd < 0)
        return fd;
    watch->closed = closed;
    cws_timer_cancel(watch->loop, &watch->retry);
    uv_close((uv_handle_t *)&watch->poll, on_close);
    watch->fd = -1;
    return fd;
}

void cwsd_watch_close(struct cwsd_watch *watch, void (*closed)(struct cwsd_watch *watch))
{
    int fd = cwsd_watch_take(watch, closed);
    if (fd >= 0)
        close(fd);
}
