#include "io/sock.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/sigpipe.h"
#include "io/scratch.h"
#include "io/uv_socket.h"

/* Far above what a writer leaves pending that heeds cws_transport_pending; stops one that does
 * not. */
#define PENDING_CEILING ((size_t)256 << 20)

/* How many buffers full are still taken from a connection whose sending side broke: more than a
 * socket's receive buffer holds, and an end for a peer that never stops. */
#define LAST_READS 256

struct cws_sock {
    struct cws_transport transport;
    union cws_uv_socket uv;
    struct cws_loop *loop;
    const struct cws_transport_events *events; /* NULL: not started */
    void *ctx;
    uv_write_t write;
    struct cws_buf flying;     /* what `write` is about; empty: no write under way */
    struct cws_buf queued;     /* written since; follows when `write` has ended */
    struct cws_buf unread;     /* given back by cws_sock_rewind */
    struct cws_deferred later; /* delivers `unread`, reports `error` */
    struct cws_error error;    /* why sending broke */
    bool reading;
    bool paused;
    bool half_closed; /* the peer sends nothing more; on_half_closed was called */
    bool finishing;   /* nothing more is written: the stream ends after what is pending */
    bool broken;      /* sending failed, on_closed is due */
    bool ended;       /* on_closed was called */
    bool closing;     /* the owner has let go */
};

static struct cws_sock *sock_of(const struct cws_transport *t)
{
    return cws_container_of(t, struct cws_sock, transport);
}

static void run_later(struct cws_sock *sock)
{
    if (cws_list_is_empty(&sock->later.node))
        cws_loop_defer(sock->loop, &sock->later);
}

/* The last event. */
static void report_end(struct cws_sock *sock, const struct cws_error *err)
{
    if (sock->ended || sock->closing || !sock->events)
        return;
    sock->ended = true;
    sock->reading = false;
    uv_read_stop(&sock->uv.stream);
    sock->events->on_closed(sock->ctx, err);
}

static void report_data(struct cws_sock *sock, const uint8_t *data, size_t len)
{
    sock->events->on_data(sock->ctx, data, len);
}

/* --- reading --- */

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *out_buf)
{
    (void)suggested;
    struct cws_sock *sock = handle->data;
    uint8_t *memory = cws_loop_scratch(sock->loop, CWS_SCRATCH_RECEIVED);
    *out_buf = uv_buf_init((char *)memory, memory ? CWS_SCRATCH_SIZE : 0);
}

static void update_reading(struct cws_sock *sock);

static void on_read(uv_stream_t *stream, ssize_t nread, const uv_buf_t *buf)
{
    struct cws_sock *sock = stream->data;
    struct cws_error err = {.status = CWS_OK};
    if (sock->closing || sock->ended || nread == 0)
        return;
    if (nread > 0) {
        report_data(sock, (const uint8_t *)buf->base, (size_t)nread);
        return;
    }
    if (nread == UV_EOF && sock->events->on_half_closed) {
        sock->half_closed = true;
        update_reading(sock);
        sock->events->on_half_closed(sock->ctx);
        return;
    }
    if (nread == UV_ENOBUFS)
        cws_error_set(&err, CWS_NO_MEMORY, "no memory to read into");
    else if (nread != UV_EOF)
        cws_error_set_uv(&err, CWS_IO, (int)nread, "cannot read");
    report_end(sock, &err);
}

/* Reads exactly when it should; reading is a state libuv keeps. */
static void update_reading(struct cws_sock *sock)
{
    bool want = sock->events && !sock->paused && !sock->broken && !sock->ended && !sock->closing &&
                !sock->half_closed && sock->unread.len == 0;
    if (want == sock->reading)
        return;
    sock->reading = want;
    if (!want) {
        uv_read_stop(&sock->uv.stream);
        return;
    }
    int rc = cws_loop_reserve_handle(sock->loop, &sock->uv.handle);
    if (rc == 0)
        rc = uv_read_start(&sock->uv.stream, on_alloc, on_read);
    if (rc == 0)
        return;
    sock->reading = false;
    sock->broken = true;
    cws_error_set_uv(&sock->error, CWS_IO, rc, "cannot read");
    run_later(sock);
}

/* Takes what the kernel already holds: the answer that explains why sending broke is often among
 * it. */
static void read_rest(struct cws_sock *sock)
{
    uint8_t *memory = cws_loop_scratch(sock->loop, CWS_SCRATCH_RECEIVED);
    uv_os_fd_t fd = -1;
    if (!memory || uv_fileno(&sock->uv.handle, &fd) != 0)
        return;
    for (int i = 0; i < LAST_READS && sock->events && !sock->paused && !sock->closing; i++) {
        ssize_t n = recv(fd, memory, CWS_SCRATCH_SIZE, MSG_DONTWAIT);
        if (n > 0)
            report_data(sock, memory, (size_t)n);
        else if (n == 0 || errno != EINTR)
            return;
    }
}

static void on_later(struct cws_deferred *later)
{
    struct cws_sock *sock = cws_container_of(later, struct cws_sock, later);
    if (sock->events && !sock->paused && sock->unread.len > 0) {
        struct cws_buf unread =
            sock->unread; /* out of the field first: the owner may hand over again */
        cws_buf_init(&sock->unread, PENDING_CEILING);
        report_data(sock, cws_buf_bytes(&unread), unread.len);
        cws_buf_done(&unread);
    }
    if (sock->broken && !sock->ended) {
        read_rest(sock);
        report_end(sock, &sock->error);
    }
    if (!sock->closing)
        update_reading(sock);
}

/* --- writing --- */

/* Sending failed for good, sock->error says why: on_closed comes later, never inside the owner's
 * own call. */
static void set_broken(struct cws_sock *sock)
{
    sock->broken = true;
    update_reading(sock);
    run_later(sock);
}

static void set_broken_uv(struct cws_sock *sock, int uv_code)
{
    if (sock->broken || sock->ended)
        return;
    cws_error_set_uv(&sock->error, CWS_IO, uv_code, "cannot write");
    set_broken(sock);
}

static void drop_pending(struct cws_sock *sock)
{
    cws_buf_done(&sock->flying);
    cws_buf_done(&sock->queued);
}

/* A connection that is broken shows in the reading. */
static void finish_stream(struct cws_sock *sock)
{
    uv_os_fd_t fd;
    if (uv_fileno(&sock->uv.handle, &fd) == 0)
        (void)shutdown(fd, SHUT_WR);
}

static void on_written(uv_write_t *write, int status);

/* Sends `flying`. */
static void fly(struct cws_sock *sock)
{
    struct cws_buf *out = &sock->flying;
    uv_buf_t piece = uv_buf_init((char *)out->data + out->head, (unsigned)out->len);
    int rc = cws_loop_reserve_handle(sock->loop, &sock->uv.handle);
    if (rc == 0)
        rc = uv_write(&sock->write, &sock->uv.stream, &piece, 1, on_written);
    if (rc != 0) {
        drop_pending(sock);
        set_broken_uv(sock, rc);
    }
}

static void on_written(uv_write_t *write, int status)
{
    struct cws_sock *sock = write->data;
    cws_buf_done(&sock->flying);
    if (sock->closing)
        return;
    if (status != 0) {
        drop_pending(sock);
        set_broken_uv(sock, status);
        return;
    }
    if (sock->queued.len > 0) {
        sock->flying = sock->queued;
        cws_buf_init(&sock->queued, PENDING_CEILING);
        fly(sock);
        return;
    }
    if (sock->finishing)
        finish_stream(sock);
    if (sock->events && !sock->ended)
        sock->events->on_drained(sock->ctx);
}

/* Keeps what the kernel did not take, and sends it when it can. */
static enum cws_status keep_rest(struct cws_sock *sock, const uint8_t *data, size_t len,
                                 bool part_sent)
{
    enum cws_status status = cws_buf_append(&sock->flying, data, len);
    if (status == CWS_OK) {
        fly(sock);
        return sock->broken ? CWS_CLOSED : CWS_OK;
    }
    if (part_sent) { /* half of something is out: nothing sensible can follow */
        cws_error_set(&sock->error, status, "cannot write: %s", cws_status_text(status));
        set_broken(sock);
    }
    return status;
}

static enum cws_status sock_write(struct cws_transport *t, const uint8_t *data, size_t len)
{
    struct cws_sock *sock = sock_of(t);
    if (sock->broken || sock->ended || sock->closing || sock->finishing)
        return CWS_CLOSED;
    if (len == 0)
        return CWS_OK;
    if (sock->flying.len > 0)
        return cws_buf_append(&sock->queued, data, len);

    size_t most = len < PENDING_CEILING ? len : PENDING_CEILING; /* uv_buf_init takes an unsigned */
    uv_buf_t piece = uv_buf_init((char *)data, (unsigned)most);
    int taken = uv_try_write(&sock->uv.stream, &piece, 1);
    if (taken == UV_EAGAIN)
        taken = 0;
    if (taken < 0) {
        set_broken_uv(sock, taken);
        return CWS_CLOSED;
    }
    if ((size_t)taken == len)
        return CWS_OK;
    return keep_rest(sock, data + taken, len - (size_t)taken, taken > 0);
}

static size_t sock_pending(const struct cws_transport *t)
{
    const struct cws_sock *sock = sock_of(t);
    return sock->flying.len + sock->queued.len;
}

/* --- the rest of the transport --- */

static void sock_start(struct cws_transport *t, const struct cws_transport_events *events,
                       void *ctx)
{
    struct cws_sock *sock = sock_of(t);
    assert(!sock->events && cws_loop_is_current(sock->loop));
    sock->events = events;
    sock->ctx = ctx;
    if (sock->unread.len > 0 || sock->broken)
        run_later(sock);
    update_reading(sock);
}

static void sock_pause(struct cws_transport *t, bool paused)
{
    struct cws_sock *sock = sock_of(t);
    sock->paused = paused;
    if (!paused && sock->unread.len > 0)
        run_later(sock);
    update_reading(sock);
}

static void sock_finish(struct cws_transport *t)
{
    struct cws_sock *sock = sock_of(t);
    if (sock->finishing)
        return;
    sock->finishing = true;
    if (sock_pending(t) == 0 && !sock->broken && !sock->ended)
        finish_stream(sock);
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct cws_sock *sock = handle->data;
    drop_pending(sock);
    cws_buf_done(&sock->unread);
    cws_free(sock);
}

static void sock_close(struct cws_transport *t)
{
    struct cws_sock *sock = sock_of(t);
    assert(!sock->closing && cws_loop_is_current(sock->loop));
    sock->closing = true;
    cws_list_remove(&sock->later.node);
    uv_close(&sock->uv.handle, on_handle_closed);
}

static const struct cws_transport_ops sock_ops = {
    .start = sock_start,
    .write = sock_write,
    .pending = sock_pending,
    .pause = sock_pause,
    .close = sock_close,
    .finish = sock_finish,
};

struct cws_sock *cws_sock_new(struct cws_loop *loop, int family)
{
    sigset_t before;
    struct cws_sock *sock = cws_calloc(1, sizeof(*sock));
    if (!sock)
        return NULL;
    sock->transport.ops = &sock_ops;
    sock->loop = loop;
    cws_buf_init(&sock->flying, PENDING_CEILING);
    cws_buf_init(&sock->queued, PENDING_CEILING);
    cws_buf_init(&sock->unread, PENDING_CEILING);
    cws_list_init(&sock->later.node);
    sock->later.run = on_later;
    cws_uv_socket_init(&sock->uv, loop, family == AF_UNIX, sock);
    if (family != AF_UNIX)
        (void)uv_tcp_nodelay(&sock->uv.tcp, 1); /* remembered until there is a descriptor */
    sock->write.data = sock;
    (void)cws_sigpipe_block(&before);
    return sock;
}

uv_stream_t *cws_sock_stream(struct cws_sock *sock)
{
    return &sock->uv.stream;
}

/* After 30 s of silence the kernel asks the peer's host every 10 s; 30 s without any
 * acknowledgement, of such a question or of data, end the connection. */
void cws_sock_watch_host(struct cws_sock *sock)
{
    static const struct {
        int level, name, value;
    } options[] = {
        {SOL_SOCKET, SO_KEEPALIVE, 1},
        {IPPROTO_TCP, TCP_KEEPIDLE, 30},
        {IPPROTO_TCP, TCP_KEEPINTVL, 10},
        {IPPROTO_TCP, TCP_USER_TIMEOUT, 30 * 1000},
    };
    uv_os_fd_t fd = -1;
    if (sock->uv.handle.type != UV_TCP || uv_fileno(&sock->uv.handle, &fd) != 0)
        return;
    /* A kernel that refuses one of them notices later: no reason to give the connection up. */
    for (size_t i = 0; i < CWS_ARRAY_LEN(options); i++)
        (void)setsockopt(fd, options[i].level, options[i].name, &options[i].value, sizeof(int));
}

struct cws_transport *cws_sock_transport(struct cws_sock *sock)
{
    return &sock->transport;
}

enum cws_status cws_sock_rewind(struct cws_sock *sock, const uint8_t *data, size_t len)
{
    assert(sock->events && sock->unread.len == 0);
    enum cws_status status = len > 0 ? cws_buf_append(&sock->unread, data, len) : CWS_OK;
    if (status != CWS_OK)
        return status;
    sock->events = NULL;
    sock->ctx = NULL;
    update_reading(sock);
    return CWS_OK;
}
