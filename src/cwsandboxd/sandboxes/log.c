#include "sandboxes/log.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"

static void take(struct cwsd_log *log);

static uint64_t wall_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static void tell_listeners(struct cwsd_log *log)
{
    for (struct cws_list *node = log->listeners.next, *next; node != &log->listeners; node = next) {
        next = node->next;
        struct cwsd_log_listener *listener = cws_list_entry(node, struct cwsd_log_listener, node);
        listener->grown(listener);
    }
}

/* ---- work on other threads ------------------------------------------------------------------ */

static void start_work(struct cwsd_log *log, void (*run)(uv_work_t *),
                       void (*done)(uv_work_t *, int))
{
    int rc = uv_queue_work(cws_loop_uv(log->loop), &log->work, run, done);
    assert(rc == 0);
    (void)rc;
    log->working = true;
    cws_loop_hold(log->loop);
}

static void end_work(struct cwsd_log *log)
{
    log->working = false;
    cws_loop_release(log->loop);
}

static void run_append(uv_work_t *work)
{
    struct cwsd_log *log = cws_container_of(work, struct cwsd_log, work);
    log->appended = cwsd_ring_append(&log->ring, log->record, log->record_us);
}

static void on_appended(uv_work_t *work, int status)
{
    struct cwsd_log *log = cws_container_of(work, struct cwsd_log, work);
    (void)status;
    end_work(log);
    log->disk_fails = !log->appended;
    cws_free(log->record);
    log->record = NULL;
    cwsd_log_ref(log);
    if (log->writers_gone)
        take(log);
    else
        cwsd_watch_for(&log->pipe, UV_READABLE);
    tell_listeners(log);
    cwsd_log_unref(log);
}

static void append(struct cwsd_log *log, const uint8_t *data, size_t len)
{
    log->record = cws_malloc(CWSD_RING_SIZE(len));
    if (!log->record) {
        cwsd_ring_lose(&log->ring, data, len);
        return;
    }
    log->record->len = (uint32_t)len;
    log->record_us = wall_us();
    memcpy(log->record->data, data, len);
    cwsd_watch_for(&log->pipe, 0);
    start_work(log, run_append, on_appended);
}

/* ---- the pipe ------------------------------------------------------------------------------- */

static void finish(struct cwsd_log *log)
{
    log->ended = true;
    if (!log->readers)
        cwsd_ring_rest(&log->ring);
    tell_listeners(log);
}

static void on_pipe_closed(struct cwsd_watch *watch)
{
    struct cwsd_log *log = cws_container_of(watch, struct cwsd_log, pipe);
    if (log->writers_gone)
        finish(log);
    cwsd_log_unref(log);
}

static void take(struct cwsd_log *log)
{
    uint8_t data[CWSD_RING_MAX_LEN];
    if (log->working || log->pipe.fd < 0)
        return;
    ssize_t len;
    do
        len = read(log->pipe.fd, data, sizeof(data));
    while (len < 0 && errno == EINTR);
    if (len > 0) {
        log->taken += (uint64_t)len;
        append(log, data, (size_t)len);
    } else if (len == 0 || errno != EAGAIN || log->writers_gone) {
        cwsd_watch_close(&log->pipe, on_pipe_closed);
    }
}

static void on_readable(struct cwsd_watch *watch, int events)
{
    (void)events;
    take(cws_container_of(watch, struct cwsd_log, pipe));
}

enum cws_status cwsd_log_open(struct cwsd_log *log, int *out_fd, struct cws_error *err)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return cws_error_set_errno(err, CWS_SYSTEM, errno, "a pipe for the main command");
    enum cws_status status = cwsd_watch_open(log->loop, &log->pipe, ends[0], on_readable, err);
    if (status != CWS_OK) {
        close(ends[0]);
        close(ends[1]);
        return status;
    }
    cwsd_log_ref(log); /* the pipe's */
    cwsd_watch_for(&log->pipe, UV_READABLE);
    *out_fd = ends[1];
    return CWS_OK;
}

void cwsd_log_end(struct cwsd_log *log)
{
    log->writers_gone = true;
    if (log->pipe.busy)
        take(log); /* if that is closed by now, on_pipe_closed does the rest */
    else if (!log->ended)
        finish(log);
}

uint64_t cwsd_log_written(const struct cwsd_log *log)
{
    int waiting = 0;
    if (log->pipe.fd >= 0 && ioctl(log->pipe.fd, FIONREAD, &waiting) < 0)
        waiting = 0;
    return log->taken + (uint64_t)waiting;
}

/* ---- life ----------------------------------------------------------------------------------- */

struct cwsd_log *cwsd_log_new(struct cws_loop *loop, const char *path, uint64_t capacity)
{
    struct cwsd_log *log = cws_calloc(1, sizeof(*log));
    if (!log)
        return NULL;
    if (cwsd_ring_init(&log->ring, path, capacity) != CWS_OK) {
        cws_free(log);
        return NULL;
    }
    log->loop = loop;
    log->refs = 1;
    log->pipe.fd = -1;
    cws_list_init(&log->listeners);
    return log;
}

struct cwsd_log *cwsd_log_ref(struct cwsd_log *log)
{
    log->refs++;
    return log;
}

void cwsd_log_keep(struct cwsd_log *log)
{
    log->ring.kept = true;
}

void cwsd_log_discard(struct cwsd_log *log)
{
    log->ring.kept = false;
}

void cwsd_log_take_over(struct cwsd_log *log)
{
    cwsd_ring_take_over(&log->ring);
    cwsd_log_end(log);
}

static void run_removal(uv_work_t *work)
{
    cwsd_ring_done(&cws_container_of(work, struct cwsd_log, work)->ring);
}

static void on_removed(uv_work_t *work, int status)
{
    struct cwsd_log *log = cws_container_of(work, struct cwsd_log, work);
    (void)status;
    end_work(log);
    cws_free(log);
}

void cwsd_log_unref(struct cwsd_log *log)
{
    if (!log || --log->refs)
        return;
    assert(!log->working && !log->pipe.busy && cws_list_is_empty(&log->listeners));
    if (log->taken || cwsd_ring_size(&log->ring)) {
        start_work(log, run_removal, on_removed);
        return;
    }
    cwsd_ring_done(&log->ring);
    cws_free(log);
}

static void run_forget(uv_work_t *work)
{
    cwsd_ring_forget(&cws_container_of(work, struct cwsd_log, work)->ring);
}

static void on_forgotten(uv_work_t *work, int status)
{
    struct cwsd_log *log = cws_container_of(work, struct cwsd_log, work);
    (void)status;
    end_work(log);
    cwsd_log_unref(log);
}

void cwsd_log_forget(struct cwsd_log *log)
{
    assert(log->ended && log->working == log->recovering);
    log->forgets = log->recovering;
    if (log->forgets)
        return;
    cwsd_log_ref(log);
    start_work(log, run_forget, on_forgotten);
}

static void run_recovery(uv_work_t *work)
{
    struct cwsd_log *log = cws_container_of(work, struct cwsd_log, work);
    log->recovery.status = cwsd_ring_recover(&log->ring, &log->recovery);
}

static void on_recovered(uv_work_t *work, int status)
{
    struct cwsd_log *log = cws_container_of(work, struct cwsd_log, work);
    (void)status;
    end_work(log);
    log->recovering = false;
    if (log->forgets)
        cwsd_log_forget(log);
    tell_listeners(log);
    cwsd_log_unref(log);
}

void cwsd_log_recover(struct cwsd_log *log)
{
    if (log->working)
        return;
    cwsd_log_ref(log);
    log->recovering = true;
    start_work(log, run_recovery, on_recovered);
}

void cwsd_log_join(struct cwsd_log *log, struct cwsd_log_listener *listener)
{
    cwsd_log_ref(log);
    log->readers++;
    cws_list_push_back(&log->listeners, &listener->node);
}

void cwsd_log_leave(struct cwsd_log *log, struct cwsd_log_listener *listener)
{
    cws_list_remove(&listener->node);
    if (--log->readers == 0 && log->ended)
        cwsd_ring_rest(&log->ring);
    cwsd_log_unref(log);
}
