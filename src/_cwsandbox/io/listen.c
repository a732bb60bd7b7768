#include "io/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "io/sock.h"
#include "io/timer.h"
#include "io/uv_socket.h"

#define BACKLOG 4096 /* the kernel lowers it to net.core.somaxconn */

/* A peer gets this long for its TLS handshake; one that connects and says nothing must not be
 * kept. */
#define HANDSHAKE_NS (30 * CWS_NS_PER_S) /* unless the options say otherwise */

/* Pause before the next try when there was no memory for a connection that is waiting to be
 * accepted. */
#define RETRY_NS (100 * CWS_NS_PER_MS)

struct cws_listener {
    union cws_uv_socket uv;
    struct cws_loop *loop;
    cws_accept_fn accept;
    void *ctx;
    struct cws_tls_config *tls;
    struct cws_list handshakes; /* oldest first */
    size_t handshake_count;
    uint64_t handshake_ns; /* how long each may take */
    struct cws_timer retry;
    int family;
    uint16_t port;
    bool closing;
    char *unix_path; /* unlinked when it still is the socket made here */
    dev_t unix_dev;
    ino_t unix_ino;
};

/* --- TLS: a connection is handed out when its handshake has finished --- */

struct handshake {
    struct cws_list node;
    struct cws_listener *listener;
    struct cws_tls_start *start;
    struct cws_timer timer;
};

static void handshake_free(struct handshake *handshake)
{
    cws_timer_cancel(handshake->listener->loop, &handshake->timer);
    if (!cws_list_is_empty(&handshake->node)) {
        cws_list_remove(&handshake->node);
        handshake->listener->handshake_count--;
    }
    cws_free(handshake);
}

static void on_handshake(void *ctx, struct cws_transport *transport, const struct cws_error *err)
{
    struct handshake *handshake = ctx;
    struct cws_listener *listener = handshake->listener;
    (void)err; /* the peer got an alert; a server has no one to tell about each stranger */
    handshake_free(handshake);
    if (transport)
        listener->accept(listener->ctx, transport);
}

static void handshake_drop(struct handshake *handshake)
{
    cws_tls_cancel(handshake->start);
    handshake_free(handshake);
}

static void on_handshake_late(struct cws_timer *timer)
{
    handshake_drop(cws_container_of(timer, struct handshake, timer));
}

static void handshake_begin(struct cws_listener *listener, struct cws_transport *below)
{
    if (listener->handshake_count == CWS_LISTEN_MAX_HANDSHAKES)
        handshake_drop(cws_list_entry(listener->handshakes.next, struct handshake, node));
    struct handshake *handshake = cws_calloc(1, sizeof(*handshake));
    if (!handshake) {
        cws_transport_close(below);
        return;
    }
    handshake->listener = listener;
    cws_list_init(&handshake->node);
    cws_timer_init(&handshake->timer, on_handshake_late);
    handshake->start =
        cws_tls_start(listener->loop, listener->tls, below, NULL, on_handshake, handshake);
    if (!handshake->start) {
        handshake_free(handshake);
        return;
    }
    cws_list_push_back(&listener->handshakes, &handshake->node);
    listener->handshake_count++;
    uint64_t due_ns = cws_clock_now_ns() + listener->handshake_ns;
    if (cws_timer_set(listener->loop, &handshake->timer, due_ns) != CWS_OK)
        handshake_drop(handshake);
}

/* --- accepting --- */

static void accept_next(struct cws_listener *listener)
{
    struct cws_sock *sock = cws_sock_new(listener->loop, listener->family);
    if (!sock) { /* libuv waits with the connection until it is taken */
        uint64_t due_ns = cws_clock_now_ns() + RETRY_NS;
        (void)!cws_timer_set(listener->loop, &listener->retry, due_ns);
        return;
    }
    struct cws_transport *transport = cws_sock_transport(sock);
    if (uv_accept(&listener->uv.stream, cws_sock_stream(sock)) != 0)
        cws_transport_close(transport);
    else if (listener->tls)
        handshake_begin(listener, transport);
    else
        listener->accept(listener->ctx, transport);
}

static void on_connection(uv_stream_t *stream, int status)
{
    struct cws_listener *listener = stream->data;
    if (status == 0 && !listener->closing)
        accept_next(listener);
}

static void on_retry(struct cws_timer *timer)
{
    accept_next(cws_container_of(timer, struct cws_listener, retry));
}

/* --- binding --- */

/* Clears the way for a new socket at `addr`: a socket file nobody listens on any more is
 * removed. */
static enum cws_status remove_stale(const struct sockaddr_un *addr, struct cws_error *err)
{
    struct stat st;
    if (lstat(addr->sun_path, &st) != 0) {
        if (errno == ENOENT)
            return CWS_OK;
        return cws_error_set_errno(err, CWS_IO, errno, "cannot listen on %s", addr->sun_path);
    }
    if (!S_ISSOCK(st.st_mode))
        return cws_error_set(err, CWS_IO, "cannot listen on %s: exists and is not a socket",
                             addr->sun_path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return cws_error_set_errno(err, CWS_IO, errno, "cannot listen on %s", addr->sun_path);
    int refused = 0;
    if (connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) != 0)
        refused = errno;
    close(fd);
    if (refused == 0 || refused == EAGAIN)
        return cws_error_set(err, CWS_IO, "cannot listen on %s: in use by a live server",
                             addr->sun_path);
    if (refused != ECONNREFUSED)
        return cws_error_set_errno(err, CWS_IO, refused,
                                   "cannot tell whether a server is live at %s", addr->sun_path);
    if (unlink(addr->sun_path) != 0 && errno != ENOENT)
        return cws_error_set_errno(err, CWS_IO, errno, "cannot remove the stale socket %s",
                                   addr->sun_path);
    return CWS_OK;
}

/* A socket bound at `addr`, or -1 with errno. fchmod before bind: the file has this mode from
 * birth, and the process's umask, which other threads share, is left alone. */
static int bind_private(const struct sockaddr_un *addr)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    if (fchmod(fd, S_IRUSR | S_IWUSR) == 0 &&
        bind(fd, (const struct sockaddr *)addr, sizeof(*addr)) == 0)
        return fd;
    int saved = errno;
    close(fd);
    errno = saved;
    return -1;
}

static enum cws_status open_unix(struct cws_listener *listener, const char *path,
                                 struct cws_error *err)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    size_t len = strlen(path);
    if (len == 0 || len >= sizeof(addr.sun_path))
        return cws_error_set(err, CWS_INVALID,
                             "cannot listen: a socket's path has 1 to %zu bytes, not '%s'",
                             sizeof(addr.sun_path) - 1, path);
    memcpy(addr.sun_path, path, len);
    enum cws_status status = remove_stale(&addr, err);
    if (status != CWS_OK)
        return status;
    listener->unix_path = cws_strdup(path);
    if (!listener->unix_path)
        return cws_error_set(err, CWS_NO_MEMORY, "cannot listen on %s: out of memory", path);

    int fd = bind_private(&addr);
    if (fd < 0) {
        int bind_errno = errno;
        cws_free(listener->unix_path);
        listener->unix_path = NULL; /* not made here */
        return cws_error_set_errno(err, CWS_IO, bind_errno, "cannot listen on %s", path);
    }
    struct stat st;
    if (stat(path, &st) == 0) {
        listener->unix_dev = st.st_dev;
        listener->unix_ino = st.st_ino;
    }
    int rc = uv_pipe_open(&listener->uv.pipe, fd);
    if (rc != 0) {
        close(fd);
        return cws_error_set(err, CWS_IO, "cannot listen on %s: %s", path, uv_strerror(rc));
    }
    return CWS_OK;
}

static enum cws_status open_tcp(struct cws_listener *listener, const char *host, uint16_t port,
                                struct cws_error *err)
{
    struct sockaddr_storage addr = {.ss_family = AF_UNSPEC};
    if (uv_ip4_addr(host, port, (struct sockaddr_in *)&addr) != 0 &&
        uv_ip6_addr(host, port, (struct sockaddr_in6 *)&addr) != 0)
        return cws_error_set(err, CWS_INVALID, "cannot listen on %s: not an IP address", host);
    int rc = uv_tcp_bind(&listener->uv.tcp, (struct sockaddr *)&addr, 0);
    int len = sizeof(addr);
    if (rc == 0)
        rc = uv_tcp_getsockname(&listener->uv.tcp, (struct sockaddr *)&addr, &len);
    if (rc != 0)
        return cws_error_set(err, CWS_IO, "cannot listen on %s port %u: %s", host, port,
                             uv_strerror(rc));
    /* The port is at the same place in both families. */
    listener->port = ntohs(((struct sockaddr_in *)&addr)->sin_port);
    return CWS_OK;
}

static void on_handle_closed(uv_handle_t *handle)
{
    cws_free(handle->data);
}

/* Closes what is open and frees the listener. */
static void close_handle(struct cws_listener *listener)
{
    struct stat st;
    if (listener->unix_path && lstat(listener->unix_path, &st) == 0 &&
        st.st_dev == listener->unix_dev && st.st_ino == listener->unix_ino)
        unlink(listener->unix_path);
    cws_free(listener->unix_path);
    listener->closing = true;
    uv_close(&listener->uv.handle, on_handle_closed);
}

enum cws_status cws_listener_new(struct cws_loop *loop, const struct cws_listen_options *options,
                                 cws_accept_fn accept, void *ctx,
                                 struct cws_listener **out_listener, struct cws_error *err)
{
    struct cws_listener *listener = cws_calloc(1, sizeof(*listener));
    if (!listener)
        return cws_error_set(err, CWS_NO_MEMORY, "cannot listen: out of memory");
    listener->loop = loop;
    listener->accept = accept;
    listener->ctx = ctx;
    listener->handshake_ns = options->handshake_ns ? options->handshake_ns : HANDSHAKE_NS;
    listener->family = options->unix_path ? AF_UNIX : AF_INET;
    cws_list_init(&listener->handshakes);
    cws_timer_init(&listener->retry, on_retry);
    cws_uv_socket_init(&listener->uv, loop, options->unix_path != NULL, listener);

    enum cws_status status = options->unix_path
                                 ? open_unix(listener, options->unix_path, err)
                                 : open_tcp(listener, options->host, options->port, err);
    if (status == CWS_OK) {
        int rc = uv_listen(&listener->uv.stream, BACKLOG, on_connection);
        if (rc == 0)
            rc = cws_loop_reserve_handle(loop, &listener->uv.handle);
        if (rc != 0)
            status = cws_error_set(err, CWS_IO, "cannot listen on %s port %u: %s",
                                   options->unix_path ? options->unix_path : options->host,
                                   options->port, uv_strerror(rc));
    }
    if (status != CWS_OK) {
        close_handle(listener);
        return status;
    }
    if (options->tls) {
        cws_tls_config_ref(options->tls);
        listener->tls = options->tls;
    }
    *out_listener = listener;
    return CWS_OK;
}

uint16_t cws_listener_port(const struct cws_listener *listener)
{
    return listener->port;
}

void cws_listener_free(struct cws_listener *listener)
{
    if (!listener)
        return;
    assert(cws_loop_is_current(listener->loop));
    while (!cws_list_is_empty(&listener->handshakes))
        handshake_drop(cws_list_entry(listener->handshakes.next, struct handshake, node));
    cws_timer_cancel(listener->loop, &listener->retry);
    cws_tls_config_unref(listener->tls);
    close_handle(listener);
}
