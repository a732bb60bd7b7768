#include "proxy.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "hello.h"
#include "lookup.h"
#include "relay.h"

#define HELLO_MS   10000 /* for the whole first message */
#define ATTEMPT_MS 5000  /* for each address of the server */
#define LAST_MS    2000  /* for the sandbox to take the reason why it is refused */

#define BACKLOG 128

/* Why a connection is refused, as TLS numbers it (RFC 8446, 6.2; RFC 6066, 3). */
enum alert {
    ALERT_NONE = -1, /* who speaks no TLS sees a reset */
    ALERT_DECODE_ERROR = 50,
    ALERT_INTERNAL_ERROR = 80, /* the server cannot be reached */
    ALERT_UNRECOGNIZED_NAME = 112,
};

struct connection {
    struct cwse_proxy *proxy;
    struct cwse_relay relay;
    uv_timer_t timer;
    uv_connect_t connect;
    struct cwse_lookup lookup;
    size_t attempts; /* how many addresses were tried */
    bool has_outer;  /* the handle is in use */
    bool looking;    /* the lookup is */
    bool refused;
    unsigned closing; /* handles that are not closed yet */
    uint8_t *hello;
    size_t hello_len;
};

/* ---- the end -------------------------------------------------------------------------------- */

static void free_if_unused(struct connection *connection)
{
    if (connection->closing > 0 || connection->looking)
        return;
    connection->proxy->connections--;
    cwse_relay_done(&connection->relay);
    free(connection->hello);
    free(connection);
}

static bool is_ending(const struct connection *connection)
{
    return uv_is_closing((const uv_handle_t *)&connection->timer);
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct connection *connection = cws_container_of(handle, struct connection, timer);
    connection->closing--;
    free_if_unused(connection);
}

static void on_inner_closed(uv_handle_t *handle)
{
    struct connection *connection = cws_container_of(handle, struct connection, relay.inner.tcp);
    connection->closing--;
    free_if_unused(connection);
}

static void try_next(struct connection *connection);

static void on_outer_closed(uv_handle_t *handle)
{
    struct connection *connection = cws_container_of(handle, struct connection, relay.outer.tcp);
    connection->closing--;
    connection->has_outer = false;
    if (is_ending(connection))
        free_if_unused(connection);
    else
        try_next(connection);
}

/* A reset tells the peer that what it got is not all. */
static void close_tcp(uv_tcp_t *tcp, bool broken, uv_close_cb on_closed)
{
    if (!broken || uv_tcp_close_reset(tcp, on_closed))
        uv_close((uv_handle_t *)tcp, on_closed);
}

static void end(struct connection *connection, bool broken)
{
    if (is_ending(connection))
        return;
    connection->closing += 2;
    uv_close((uv_handle_t *)&connection->timer, on_timer_closed);
    close_tcp(&connection->relay.inner.tcp, broken, on_inner_closed);
    if (connection->has_outer && !uv_is_closing((uv_handle_t *)&connection->relay.outer.tcp)) {
        connection->closing++;
        close_tcp(&connection->relay.outer.tcp, broken, on_outer_closed);
    }
}

static void on_relay_ended(struct cwse_relay *relay, bool broken)
{
    end(cws_container_of(relay, struct connection, relay), broken);
}

static void on_timer(uv_timer_t *timer);
static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *out_buf);
static void on_read(uv_stream_t *stream, ssize_t len, const uv_buf_t *buf);

static void on_reason_sent(uv_shutdown_t *request, int status)
{
    (void)request;
    (void)status; /* the sandbox ends the connection, or the timer does */
}

/* What the sandbox still sends is read and dropped: to close with some unread would reset the
 * connection, and the reason might be lost. */
static void refuse(struct connection *connection, enum alert why)
{
    uint8_t record[] = {21, 3, 3, 0, 2, 2, (uint8_t)why};
    uv_buf_t buf = uv_buf_init((char *)record, sizeof(record));
    uv_stream_t *inner = (uv_stream_t *)&connection->relay.inner.tcp;
    connection->refused = true;
    if (why == ALERT_NONE || uv_try_write(inner, &buf, 1) != sizeof(record) ||
        uv_shutdown(&connection->relay.inner.shutdown, inner, on_reason_sent) ||
        (!uv_is_active((uv_handle_t *)inner) && uv_read_start(inner, on_alloc, on_read)))
        end(connection, true);
    else
        uv_timer_start(&connection->timer, on_timer, LAST_MS, 0);
}

/* ---- the server ----------------------------------------------------------------------------- */

static void on_connected(uv_connect_t *request, int status)
{
    struct connection *connection = cws_container_of(request, struct connection, connect);
    if (is_ending(connection) || status == UV_ECANCELED)
        return;
    if (status < 0) {
        connection->closing++;
        uv_close((uv_handle_t *)&connection->relay.outer.tcp, on_outer_closed);
        return;
    }
    uv_timer_stop(&connection->timer);
    cwse_relay_start(&connection->relay, connection->hello, connection->hello_len, on_relay_ended);
    free(connection->hello);
    connection->hello = NULL;
}

/* libuv watches descriptors later, but aborts the process if the kernel refuses. It may refuse: the
 * number of watches per user is limited. */
static int reserve_watch(uv_tcp_t *tcp)
{
    uv_os_fd_t fd;
    struct epoll_event none = {0};
    int rc = uv_fileno((uv_handle_t *)tcp, &fd);
    if (rc == 0 && epoll_ctl(uv_backend_fd(tcp->loop), EPOLL_CTL_ADD, fd, &none) < 0 &&
        errno != EEXIST)
        rc = -errno;
    return rc;
}

static void try_next(struct connection *connection)
{
    uv_tcp_t *outer = &connection->relay.outer.tcp;
    if (connection->attempts == connection->lookup.count) {
        refuse(connection, ALERT_INTERNAL_ERROR);
        return;
    }
    const struct sockaddr_storage *to = &connection->lookup.addresses[connection->attempts++];
    int rc = uv_tcp_init(connection->timer.loop, outer);
    connection->has_outer = true;
    if (rc == 0)
        rc = uv_tcp_connect(&connection->connect, outer, (const struct sockaddr *)to, on_connected);
    if (rc == 0)
        rc = reserve_watch(outer);
    if (rc == 0) {
        uv_timer_start(&connection->timer, on_timer, ATTEMPT_MS, 0);
    } else if (!uv_is_closing((uv_handle_t *)outer)) {
        connection->closing++;
        uv_close((uv_handle_t *)outer, on_outer_closed);
    }
}

static void on_looked_up(struct cwse_lookup *lookup)
{
    struct connection *connection = cws_container_of(lookup, struct connection, lookup);
    connection->looking = false;
    if (is_ending(connection))
        free_if_unused(connection);
    else
        try_next(connection);
}

static void on_timer(uv_timer_t *timer)
{
    struct connection *connection = cws_container_of(timer, struct connection, timer);
    uv_handle_t *outer = (uv_handle_t *)&connection->relay.outer.tcp;
    if (connection->refused || !connection->has_outer) {
        end(connection, true);
    } else if (!uv_is_closing(outer)) {
        connection->closing++;
        uv_close(outer, on_outer_closed); /* the next address */
    }
}

/* ---- the sandbox ---------------------------------------------------------------------------- */

static void on_name(struct connection *connection, const char *name)
{
    if (!cwse_grants_have(connection->proxy->grants, name)) {
        refuse(connection, ALERT_UNRECOGNIZED_NAME);
        return;
    }
    uv_read_stop((uv_stream_t *)&connection->relay.inner.tcp);
    uv_timer_stop(&connection->timer); /* a look-up ends by itself */
    connection->looking = true;
    if (cwse_lookup_start(connection->timer.loop, &connection->lookup, name, true, on_looked_up)) {
        connection->looking = false;
        end(connection, true);
    }
}

static void on_hello(struct connection *connection)
{
    char name[CWSE_NAME_SIZE];
    switch (cwse_hello_read(connection->hello, connection->hello_len, name)) {
    case CWSE_HELLO_PARTIAL:
        break;
    case CWSE_HELLO_NAMED:
        on_name(connection, name);
        break;
    case CWSE_HELLO_NAMELESS:
        refuse(connection, ALERT_UNRECOGNIZED_NAME);
        break;
    case CWSE_HELLO_BROKEN:
        refuse(connection, ALERT_DECODE_ERROR);
        break;
    case CWSE_HELLO_FOREIGN:
        refuse(connection, ALERT_NONE);
        break;
    }
}

static void on_read(uv_stream_t *stream, ssize_t len, const uv_buf_t *buf)
{
    struct connection *connection = cws_container_of(stream, struct connection, relay.inner.tcp);
    (void)buf;
    if (len < 0) {
        end(connection, !connection->refused);
    } else if (len > 0 && !connection->refused) {
        connection->hello_len += (size_t)len;
        on_hello(connection);
    }
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *out_buf)
{
    struct connection *connection = cws_container_of(handle, struct connection, relay.inner.tcp);
    size_t at = connection->refused ? 0 : connection->hello_len;
    (void)suggested;
    *out_buf = uv_buf_init((char *)connection->hello + at, (unsigned)(CWSE_MAX_HELLO - at));
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct cwse_proxy *proxy = listener->data;
    struct connection *connection = status < 0 ? NULL : calloc(1, sizeof(*connection));
    if (!connection)
        return;
    uv_tcp_t *inner = &connection->relay.inner.tcp;
    connection->proxy = proxy;
    connection->hello = malloc(CWSE_MAX_HELLO);
    bool room = proxy->connections++ < CWSE_MAX_CONNECTIONS;
    /* Neither fails without a descriptor to make. */
    (void)uv_tcp_init(listener->loop, inner);
    (void)uv_timer_init(listener->loop, &connection->timer);
    if (uv_accept(listener, (uv_stream_t *)inner) || !room || !connection->hello ||
        reserve_watch(inner) || uv_read_start((uv_stream_t *)inner, on_alloc, on_read) ||
        uv_timer_start(&connection->timer, on_timer, HELLO_MS, 0))
        end(connection, true);
}

int cwse_proxy_start(struct cwse_proxy *proxy, uv_loop_t *loop, int fd,
                     const struct cwse_grants *grants)
{
    proxy->grants = grants;
    proxy->connections = 0;
    int rc = uv_tcp_init(loop, &proxy->listener);
    proxy->listener.data = proxy;
    if (rc == 0)
        rc = uv_tcp_open(&proxy->listener, fd);
    return rc ? rc : uv_listen((uv_stream_t *)&proxy->listener, BACKLOG, on_connection);
}
