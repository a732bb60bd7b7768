#include "box/line.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Retries when too many of this user's descriptors are in flight. An init takes its own within a
 * millisecond. But a command in some sandbox may leave any number of them in its own sockets, so
 * the wait is limited. */
#define RETRY_NS   (2 * CWS_NS_PER_MS)
#define PATIENCE_S 5

/* Reports taken in one go, so that one sandbox cannot keep the loop from the others. */
#define MAX_REPORTS_AT_ONCE 64

union control {
    char bytes[CMSG_SPACE(CWSI_MAX_FDS * sizeof(int))];
    struct cmsghdr align;
};

/* ---- sending -------------------------------------------------------------------------------- */

static int send_request(int socket, const struct cwsd_request *request)
{
    union control control = {0};
    struct iovec parts[] = {
        {.iov_base = (void *)&request->packet, .iov_len = sizeof(request->packet)},
        {.iov_base = request->block, .iov_len = request->packet.size}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = request->block ? 2 : 1};
    if (request->fd_count) {
        size_t size = request->fd_count * sizeof(int);
        message.msg_control = control.bytes;
        message.msg_controllen = CMSG_SPACE(size);
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(size);
        memcpy(CMSG_DATA(header), request->fds, size);
    }
    return sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? errno : 0;
}

/* The first request of the queue was refused. True: it is given up, as it and the line have waited
 * long enough. What carries no descriptors, like a kill, is kept for as long as it takes. */
static bool give_up(struct cwsd_line *line, struct cwsd_request *request, int error)
{
    struct cws_error err;
    uint64_t now = cws_clock_now_ns();
    if (!line->refused_since_ns)
        line->refused_since_ns = now;
    uint64_t since =
        request->queued_ns > line->refused_since_ns ? request->queued_ns : line->refused_since_ns;
    if (!request->fd_count || now - since < PATIENCE_S * CWS_NS_PER_S)
        return false;
    if (!request->refused) {
        cwsd_request_done(request);
        return true;
    }
    cws_error_set_errno(&err, CWS_TOO_LARGE, error,
                        "the kernel has taken no descriptors for the sandbox's init for %d s; this "
                        "user has too many on their way through Unix sockets",
                        PATIENCE_S);
    cws_list_remove(&request->node);
    request->refused(request, &err);
    return true;
}

static void flush(struct cwsd_line *line)
{
    int events = UV_READABLE;
    while (line->watch.fd >= 0 && !cws_list_is_empty(&line->queue)) {
        struct cwsd_request *request = cws_list_entry(line->queue.next, struct cwsd_request, node);
        int error = send_request(line->watch.fd, request);
        if (error == EINTR)
            continue;
        if (error == EAGAIN) {
            events |= UV_WRITABLE;
            break;
        }
        if (error == ETOOMANYREFS || error == ENOBUFS || error == ENOMEM) {
            if (give_up(line, request, error))
                continue;
            if (cws_timer_set(line->loop, &line->retry, cws_clock_now_ns() + RETRY_NS) != CWS_OK)
                events |= UV_WRITABLE; /* then try in every round of the loop */
            break;
        }
        /* Sent; or the init is gone, which reading will tell. */
        line->refused_since_ns = 0;
        cwsd_request_done(request);
    }
    cwsd_watch_for(&line->watch, events);
}

static void on_retry(struct cws_timer *timer)
{
    flush(cws_container_of(timer, struct cwsd_line, retry));
}

void cwsd_line_send(struct cwsd_line *line, struct cwsd_request *request)
{
    bool first = cws_list_is_empty(&line->queue);
    if (line->watch.fd < 0) {
        cwsd_request_done(request);
        return;
    }
    request->queued_ns = cws_clock_now_ns();
    cws_list_push_back(&line->queue, &request->node);
    if (first)
        flush(line);
}

/* ---- receiving ------------------------------------------------------------------------------ */

/* The one descriptor of a message; further ones are closed, and *out_count tells. */
static int take_fd(struct msghdr *message, unsigned *out_count)
{
    int kept = -1;
    *out_count = 0;
    for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header;
         header = CMSG_NXTHDR(message, header)) {
        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
            continue;
        size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof(fd));
            if ((*out_count)++ == 0)
                kept = fd;
            else
                close(fd);
        }
    }
    return kept;
}

static bool is_sound(const struct cwsi_report *report, ssize_t size, const struct msghdr *message,
                     unsigned fd_count)
{
    return size == sizeof(*report) && !(message->msg_flags & (MSG_TRUNC | MSG_CTRUNC)) &&
           report->op >= CWSI_HELLO && report->op <= CWSI_VOLUME &&
           fd_count == (report->op == CWSI_HELLO || report->op == CWSI_VOLUME) &&
           report->id < CWSI_MAX_COMMANDS && memchr(report->path, '\0', sizeof(report->path));
}

/* False when there is nothing more for now, or ever. */
static bool receive(struct cwsd_line *line)
{
    struct cwsi_report report;
    union control control;
    unsigned fd_count;
    struct cws_error err;
    struct iovec part = {.iov_base = &report, .iov_len = sizeof(report)};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof(control.bytes)};
    ssize_t size = recvmsg(line->watch.fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    /* A peer that went without having read everything leaves a reset, once, and its reports behind
     * it. */
    if (size < 0 && (errno == EINTR || errno == ECONNRESET))
        return true;
    if (size < 0 && errno == EAGAIN)
        return false;
    if (size <= 0) {
        line->on_end(line, NULL);
        return false;
    }
    int fd = take_fd(&message, &fd_count);
    if (is_sound(&report, size, &message, fd_count)) {
        line->on_report(line, &report, fd);
        return true;
    }
    if (fd >= 0)
        close(fd);
    cws_error_set(&err, CWS_PROTOCOL,
                  "the sandbox's init sent what is no report (%zd bytes, %u descriptors)", size,
                  fd_count);
    line->on_end(line, &err);
    return false;
}

static void on_ready(struct cwsd_watch *watch, int events)
{
    struct cwsd_line *line = cws_container_of(watch, struct cwsd_line, watch);
    if (events & UV_WRITABLE)
        flush(line);
    for (int i = 0; events & UV_READABLE && i < MAX_REPORTS_AT_ONCE && watch->fd >= 0; i++)
        if (!receive(line))
            break;
}

/* ---- life ----------------------------------------------------------------------------------- */

enum cws_status cwsd_line_open(struct cws_loop *loop, struct cwsd_line *line, int fd,
                               struct cws_error *err)
{
    line->loop = loop;
    line->refused_since_ns = 0;
    cws_list_init(&line->queue);
    cws_timer_init(&line->retry, on_retry);
    enum cws_status status = cwsd_watch_open(loop, &line->watch, fd, on_ready, err);
    if (status == CWS_OK)
        cwsd_watch_for(&line->watch, UV_READABLE);
    return status;
}

void cwsd_line_take_no_fds(struct cwsd_line *line)
{
    const int pass = 0;
    setsockopt(line->watch.fd, SOL_SOCKET, CWSD_LINE_PASS_RIGHTS, &pass, sizeof(pass));
}

void cwsd_line_end(struct cwsd_line *line)
{
    if (line->watch.fd >= 0)
        shutdown(line->watch.fd, SHUT_WR);
}

void cwsd_line_close(struct cwsd_line *line, void (*closed)(struct cwsd_watch *watch))
{
    while (!cws_list_is_empty(&line->queue))
        cwsd_request_done(cws_list_entry(line->queue.next, struct cwsd_request, node));
    cws_timer_cancel(line->loop, &line->retry);
    cwsd_watch_close(&line->watch, closed);
}
